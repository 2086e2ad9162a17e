from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import FormatError
from microgesture.datasets.plain_npz import is_plain, joint_name, layout, read_plain


def plain(path: Path, **changes: Any) -> Path:
    """Twelve clips of three classes and four people, in four joints of 3-D; `name=None` leaves an array out."""
    points = np.random.default_rng(0).normal(size=(60, 4, 3)).astype(np.float32)
    points[7, 2] = np.nan
    arrays: dict[str, Any] = {
        "keypoints": points,
        "offsets": np.arange(13) * 5,
        "labels": np.repeat([0, 1, 2], 4),
        "subject": np.tile([1, 2, 3, 4], 3),
        "class_names": np.array(["wave", "nod", "shrug"]),
        "joint_names": np.array(["left_hand", "right_hand", "shoulder_center", "head"]),
        "bones": np.array([[0, 2], [2, 1], [3, 2]]),
        "fps": np.float32(20),
    }
    np.savez_compressed(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


def test_a_set_is_read_with_joints_named_as_ours_and_bones_turned_away_from_the_centre(tmp_path: Path) -> None:
    data = read_plain(plain(tmp_path / "set.npz"), "own")
    assert data.skeleton.joints == ("l_hand", "r_hand", "neck", "head")
    assert data.skeleton.bones == ((2, 0), (2, 1), (2, 3))
    assert data.skeleton.root == 2
    assert data.skeleton.flip == (1, 0, 2, 3)
    xy, score, cuts = data.item(1)
    assert xy.shape == (1, 5, 4, 3)
    assert (cuts[0].label, cuts[0].start, cuts[0].end) == (0, 0, 5)
    assert score[0, 2, 2] == 0, "NaN is a missing joint"
    assert not xy[0, 2, 2].any()
    assert (data.fps, data.taxonomy.names, data.continuous) == (20, ("wave", "nod", "shrug"), False)


def test_axes_can_be_turned(tmp_path: Path) -> None:
    path = plain(tmp_path / "set.npz")
    up, down = read_plain(path, "own", y_up=True).xy, read_plain(path, "own").xy
    np.testing.assert_array_equal(up, down * np.float32([-1, -1, 1]))


def test_events_and_frame_labels_make_recordings_with_segments(tmp_path: Path) -> None:
    events = np.array([[0, 1, 3, 2], [2, 0, 5, 1]])
    data = read_plain(plain(tmp_path / "set.npz", labels=None, events=events), "own")
    assert data.continuous
    assert data.segments[0] == [(2, 1, 3)]
    assert data.segments[2] == [(1, 0, 5)]
    frames = np.repeat([0, 1, 2, -1, 0, 1], 10)
    data = read_plain(plain(tmp_path / "set.npz", labels=None, frame_labels=frames), "own")
    assert data.segments[1:3] == [[(0, 0, 5)], [(1, 0, 5)]]
    assert data.segments[6] == []


def test_what_the_file_lacks_may_be_stated(tmp_path: Path) -> None:
    path = plain(tmp_path / "set.npz", joint_names=None, bones=None, fps=None, class_names=None)
    data = read_plain(path, "own", joints="abcd", bones=[("a", "b"), ("b", "c"), (2, 3)], root="a", fps=50)
    assert data.skeleton.joints == ("a", "b", "c", "d")
    assert data.skeleton.parents == (-1, 0, 1, 2)
    assert data.fps == 50
    assert data.taxonomy.names == ("class 0", "class 1", "class 2")
    assert read_plain(plain(tmp_path / "set.npz"), "own", fps=50).fps == 20, "what the file says wins"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"keypoints": np.zeros((60, 4), np.float32)}, r"'keypoints': has shape \(60, 4\); expected \(T, V, 2 or 3\)"),
        ({"keypoints": np.zeros((60, 4, 3), int)}, "'keypoints': holds int64; expected real numbers"),
        ({"offsets": np.arange(13) * 4}, "'offsets': do not rise; expected 0 to 60 without empty clips"),
        ({"labels": np.zeros(11, int)}, r"'labels': has shape \(11,\); expected \(12,\)"),
        ({"labels": np.full(12, 3)}, "'class_names': 3 names; expected one for each of the 4 classes"),
        ({"labels": np.full(12, -2)}, "'labels': holds -2"),
        ({"labels": None}, "'frame_labels': is missing"),
        ({"labels": None, "frame_labels": np.zeros(3, int)}, r"'frame_labels': has shape \(3,\); expected \(60,\)"),
        ({"events": np.array([[0, 3, 9, 1]])}, "'events': row 0 is 0, 3, 9, 1; expected recording, start < end"),
        ({"events": np.zeros((1, 3), int)}, r"'events': has shape \(1, 3\)"),
        ({"class_names": np.array(["a", "a", "b"])}, "3 names, 'a' twice"),
        ({"joint_names": np.array(["a", "b"])}, "'joint_names': 2 names; expected one for each of the 4 joints"),
        ({"bones": None}, "'bones': is missing; expected pairs of joints. State joints and bones in the recipe"),
        ({"bones": np.array([[0, 1]])}, "no bone leads to"),
        ({"bones": np.array([[0, 9]])}, "there is no joint 9"),
        ({"fps": None}, "'fps': is missing; expected 0.1 to 1000 per second. State fps in the recipe"),
        ({"fps": np.float32(-1)}, "'fps': is -1.0"),
        ({"subject": np.zeros(2, int)}, r"'subject': has shape \(2,\)"),
    ],
)
def test_a_wrong_array_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read_plain(plain(tmp_path / "set.npz", **changes), "own")


def test_layouts_that_cannot_be_are_refused() -> None:
    with pytest.raises(FormatError, match="joint names occur twice: l_hand"):
        layout("own", "own", ["left_hand", "hand_l"], [(0, 1)])
    with pytest.raises(FormatError, match=r"the bone \(0,\); expected a pair of joints"):
        layout("own", "own", ["a", "b"], [(0,)])
    with pytest.raises(FormatError, match="there is no joint 'tip'"):
        layout("own", "own", ["a", "b"], [("a", "tip")])


def test_archives_of_other_kinds_are_told_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", xy_0=np.zeros(3))
    assert is_plain(plain(tmp_path / "set.npz"))
    assert not is_plain(tmp_path / "other.npz")


def test_names_of_joints() -> None:
    assert [joint_name(n) for n in ("Left Wrist", "wrist_right", "SPINE_BASE", "l_toe", "rib")] == [
        "l_wrist",
        "r_wrist",
        "mid_hip",
        "l_toe",
        "rib",
    ]
