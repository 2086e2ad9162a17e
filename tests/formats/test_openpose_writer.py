"""Folders of OpenPose JSON that we write: what readers get back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.mutations import COUNT

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.track import PoseTrack
from microgesture.formats.openpose import read_openpose_csv, read_openpose_json, write_openpose_json


@st.composite
def walkers(draw: st.DrawFn) -> tuple[PoseTrack, ...]:
    """One or two persons who move a little from frame to frame, 3,000 pixels apart; the first is seen best."""
    skeleton = SKELETONS[draw(st.sampled_from(["openpose18", "openpose25", "openpose137"]))]
    frames, rng = draw(st.integers(1, 4)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tracks = []
    for person in range(draw(st.integers(1, 2))):
        body = rng.uniform(0, 500, (1, len(skeleton), 2)) + np.array([3000 * person, 100])
        xy = (body + rng.uniform(-5, 5, (frames, len(skeleton), 2))).astype(np.float32)
        score = rng.uniform(0.5, 0.9 - 0.4 * person, (frames, len(skeleton))).astype(np.float32)
        score[:, 2:] *= rng.random((frames, len(skeleton) - 2)) < 0.95  # two joints stay: who is nobody is not followed
        tracks.append(PoseTrack(xy, score, 25.0, (0, 0), skeleton, person=person))
    return tuple(tracks)


def test_people_come_back_exactly(tmp_path: Path) -> None:
    @settings(max_examples=max(300, COUNT // 10), deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(walkers())
    def round_trip(tracks: tuple[PoseTrack, ...]) -> None:
        folder = tmp_path / "frames"
        for old in folder.glob("*.json"):
            old.unlink()
        write_openpose_json(folder, tracks)
        again = read_openpose_json(folder, fps=25)
        assert len(again) == len(tracks)
        for a in tracks:
            b = min(again, key=lambda t: float(np.abs(t.xy - a.xy).sum()))
            np.testing.assert_array_equal(a.xy, b.xy)
            np.testing.assert_array_equal(a.score, b.score)
            assert a.skeleton is b.skeleton

    round_trip()


def one(layout: str = "openpose25") -> PoseTrack:
    joints = len(SKELETONS[layout])
    return PoseTrack(np.ones((2, joints, 2)), np.ones((2, joints)), 25, (9, 9), SKELETONS[layout])  # type: ignore[arg-type]


def test_files_are_named_as_openpose_names_them(tmp_path: Path) -> None:
    write_openpose_json(tmp_path / "out", [one()], name="talk")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "talk_000000000000_keypoints.json", "talk_000000000001_keypoints.json",
    ]  # fmt: skip
    value = json.loads((tmp_path / "out" / "talk_000000000000_keypoints.json").read_text())
    assert value["people"][0]["pose_keypoints_2d"][:3] == [1, 1, 1]
    with pytest.raises(UsageError, match=r"out: holds \.json files already, whose frames would mix"):
        write_openpose_json(tmp_path / "out", [one()])
    with pytest.raises(
        UsageError, match="OpenPose holds the layouts openpose18, openpose25 and openpose137, not coco17"
    ):
        write_openpose_json(tmp_path / "new", [one("coco17")])
    assert not (tmp_path / "new").exists()


def test_all_problems_of_a_table_and_a_folder_are_named(tmp_path: Path) -> None:
    rows = [[str(i), *["1"] * 75] for i in range(4)]
    rows[1][5], rows[3] = "x", rows[3][:-1]
    (tmp_path / "a.csv").write_text("\n".join(map(",".join, rows)))
    problems: list[FormatError] = []
    track = read_openpose_csv(tmp_path / "a.csv", fps=25, problems=problems)
    assert sorted(str(p.place) for p in problems) == ["line 2, column 6", "line 4"]
    assert track.score.any(1).tolist() == [True, False, True, False]
    folder = tmp_path / "frames"
    write_openpose_json(folder, [one()])
    (folder / "pose_000000000002_keypoints.json").write_text("{")
    (folder / "pose_000000000003_keypoints.json").write_text('{"people": [{"pose_keypoints_2d": [1]}]}')
    problems = []
    (track,) = read_openpose_json(folder, fps=25, problems=problems)
    assert [Path(p.path).name[15:17] for p in problems] == ["02", "03"]
    assert track.score.any(1).tolist() == [True, True, False, False]
