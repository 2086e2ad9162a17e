from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgesture.core.layouts import SKELETONS
from microgesture.core.track import PoseTrack, Signal

BODY = SKELETONS["imigue22"]


def track(frames: int = 5, *, seed: int = 0, seen: float = 0.8, **changes: Any) -> PoseTrack:
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        "xy": rng.normal(300, 100, (frames, 22, 2)),
        "score": (rng.random((frames, 22)) < seen) * rng.uniform(0.1, 1, (frames, 22)),
        "fps": 30.0,
        "size": (1280, 720),
        "skeleton": BODY,
    }
    return PoseTrack(**values | changes)


tracks = st.builds(
    track, st.integers(0, 40), seed=st.integers(0, 999), seen=st.sampled_from((0.0, 0.5, 1.0)), fps=st.floats(5, 60)
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xy": np.zeros((5, 22))}, r"xy has shape \(5, 22\), expected \(T, V, 2\) or \(T, V, 3\)"),
        ({"xy": np.zeros((5, 22, 4))}, r"xy has shape \(5, 22, 4\)"),
        ({"xy": np.zeros((5, 21, 2))}, r"xy has 21 joints, skeleton 'imigue22' has 22"),
        ({"score": np.zeros((4, 22))}, r"score has shape \(4, 22\), expected \(5, 22\)"),
        ({"xy": np.full((5, 22, 2), np.nan)}, r"must be finite; mark missing joints with score 0"),
        ({"xy": np.full((5, 22, 2), np.inf)}, r"must be finite"),
        ({"score": np.full((5, 22), np.nan)}, r"must be finite"),
        ({"fps": 0.0}, r"fps is 0.0, expected a positive number"),
        ({"fps": float("nan")}, r"fps is nan"),
        ({"times": np.array([0, 1, 1, 2, 3])}, r"times must be finite and strictly increasing"),
        ({"times": np.array([0, 1, np.nan, 2, 3])}, r"times must be finite"),
        ({"times": np.arange(4)}, r"one per frame"),
    ],
)
def test_what_is_not_a_track_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        track(**changes)


def test_coordinates_of_missing_joints_are_zero() -> None:
    t = track(seen=0.5)
    assert (t.xy[t.score == 0] == 0).all()
    assert (t.xy[t.score > 0] != 0).all()


def test_slicing_keeps_absolute_times() -> None:
    part = track(30)[10:20]
    assert len(part) == 10
    assert part.times[0] == pytest.approx(10 / 30)
    assert part.duration == pytest.approx(10 / 30)
    assert track(0).duration == 0


@given(tracks)
def test_mirrored_twice_is_the_same(t: PoseTrack) -> None:
    twice = t.mirrored().mirrored()
    np.testing.assert_allclose(twice.xy, t.xy, atol=1e-3)  # float32 at image width 1280
    np.testing.assert_array_equal(twice.score, t.score)


def test_mirroring_exchanges_the_hands() -> None:
    t = track(seen=1)
    right, left = BODY.index("r_wrist"), BODY.index("l_wrist")
    np.testing.assert_allclose(t.mirrored().xy[:, left, 0], 1280 - t.xy[:, right, 0], rtol=1e-6)
    np.testing.assert_array_equal(t.mirrored().xy[:, left, 1], t.xy[:, right, 1])
    unknown = track(seen=1, size=(0, 0))
    np.testing.assert_array_equal(unknown.mirrored().xy[:, left, 0], -unknown.xy[:, right, 0])


def test_projection_marks_what_is_missing() -> None:
    t = track(seen=1).project(SKELETONS["canonical"])
    canonical = SKELETONS["canonical"]
    np.testing.assert_array_equal(t.xy[:, canonical.index("nose")], track(seen=1).xy[:, 0])
    assert (t.score[:, canonical.index("chin")] == 0).all()
    assert (t.xy[:, canonical.index("chin")] == 0).all()


def test_a_midpoint_needs_both_parts() -> None:
    coco = SKELETONS["coco17"]
    xy, score = np.ones((2, 17, 2), np.float32), np.ones((2, 17), np.float32)
    score[0, coco.index("r_shoulder")] = 0
    score[1, coco.index("r_shoulder")] = 0.25
    t = PoseTrack(xy, score, 30, (0, 0), coco).project(SKELETONS["openpose18"])
    assert t.score[:, 1].tolist() == [0, 0.25]
    assert t.xy[:, 1].tolist() == [[0, 0], [1, 1]]


@given(tracks)
def test_resampling_to_the_same_rate_changes_nothing(t: PoseTrack) -> None:
    same = t.resampled(t.fps)
    assert len(same) == len(t)
    np.testing.assert_allclose(same.xy, t.xy, atol=1e-2)
    np.testing.assert_allclose(same.score, t.score, atol=1e-4)


@given(tracks, st.floats(1, 120))
def test_resampling_invents_no_joint(t: PoseTrack, fps: float) -> None:
    new = t.resampled(fps)
    assert np.isfinite(new.xy).all()
    assert (new.score <= 1 + 1e-6).all()
    never = (t.score == 0).all(0)
    assert (new.score[:, never] == 0).all()
    always = (t.score > 0).all(0)
    hole = (np.diff(t.times) > max(0.5, 2.5 / t.fps)).any()
    assert len(new) == 0 or hole or (new.score[:, always] > 0).all()
    if len(t) > 1:
        assert new.times[-1] <= t.times[-1] + 1e-5 / fps


def test_resampling_is_exact_on_straight_motion() -> None:
    times = np.array([0.0, 0.1, 0.15, 0.4, 0.5])  # a variable frame rate
    xy = np.repeat(times[:, None, None] * [[100.0, -40.0]], 22, 1)
    t = track(5, xy=xy, score=np.ones((5, 22)), times=times).resampled(25)
    assert len(t) == 13
    np.testing.assert_allclose(t.xy[:, 3, 0], 100 * np.arange(13) / 25, atol=1e-4)


def test_nothing_is_known_inside_a_hole_in_the_time_stamps() -> None:
    times = np.array([0.0, 0.1, 10.0, 10.1])
    t = track(4, xy=np.ones((4, 22, 2)), score=np.ones((4, 22)), times=times, fps=10).resampled(10)
    known = (t.score > 0).all(1)
    assert known[[0, 1, 100, 101]].all()
    assert not known[2:100].any()


def test_a_gap_is_neither_filled_nor_eaten_into() -> None:
    score = np.ones((6, 22))
    score[2:4, 7] = 0
    t = track(6, xy=np.ones((6, 22, 2)), score=score, fps=10).resampled(20)
    assert (t.score[:, 7] > 0).tolist() == [True] * 3 + [False] * 5 + [True] * 3


def test_short_tracks_survive_resampling() -> None:
    assert len(track(0).resampled(10)) == 0
    assert len(track(1).resampled(10)) == 1
    assert track(1).resampled(10).fps == 10


@pytest.mark.parametrize(
    ("values", "rate", "message"),
    [
        (np.zeros(5), 100.0, r"values have shape \(5,\), expected \(2, samples\)"),
        (np.zeros((3, 5)), 100.0, r"values have shape \(3, 5\), expected \(2, samples\)"),
        (np.zeros((2, 5)), -1.0, r"rate is -1.0, expected a positive number of Hz"),
    ],
)
def test_what_is_not_a_signal_is_refused(values: Any, rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Signal(values, rate, ("a", "b"))


def test_signal_duration() -> None:
    assert Signal(np.zeros((2, 50), np.float32), 100, ("a", "b")).duration == 0.5
