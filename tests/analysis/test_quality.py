"""Quality measures of poses whose faults are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.analysis.fakes import invented_track

from microgesture.analysis.poses import TrackPoses, pieces
from microgesture.analysis.quality import measure


def test_a_clean_recording_has_no_warning() -> None:
    q = measure(TrackPoses([invented_track(45.0)]), 0)
    assert (q.frames, q.visible, q.any_hand, q.face, q.view) == (1125, 1.0, 1.0, 1.0, "frontal")
    assert q.minutes == pytest.approx(0.75)
    assert q.fps == pytest.approx(25.0)
    assert q.shoulders == pytest.approx(90.0, abs=0.1)
    assert q.warnings == ()


def test_missing_frames_hands_and_face_are_counted() -> None:
    track = invented_track(40.0)
    score = track.score.copy()
    score[:250] = 0  # nobody for 10 of 40 s
    joints = track.skeleton.joints
    score[:, [i for i, j in enumerate(joints) if "tip" in j or "mcp" in j]] = 0
    score[500:, joints.index("nose")] = 0
    q = measure(TrackPoses([replace(track, score=score)]), 0)
    assert (q.visible, q.any_hand) == (0.75, 0.0)
    assert q.face == pytest.approx(1 / 3)
    assert q.minutes == pytest.approx(0.5)
    assert list(q.warnings) == [
        "person 1 was not found in 25% of the frames; rates refer to the rest",
        "person 1: no hand was seen in 100% of the frames; hand gestures are missed",
        "person 1: the face was not seen in 67% of the frames",
    ]


def test_view_size_rate_and_gaps() -> None:
    track = invented_track(10.0)
    xy = track.xy.copy()
    nose, ear = track.skeleton.index("nose"), track.skeleton.index("r_ear")
    xy[:, nose, 0] = 3 * xy[:, ear, 0] - 2 * xy[:, nose, 0]  # three half distances to the side
    times = np.arange(len(track)) / 10.0
    times[100:] += 2.0
    q = measure(TrackPoses([replace(track, xy=xy * 0.3, times=times, fps=10.0)]), 0)
    assert (q.view, round(q.turned)) == ("profile", 66)
    assert q.longest_gap == pytest.approx(2.1)
    assert q.uneven == pytest.approx(1 / 249)
    text = " / ".join(q.warnings)
    assert "mostly from the side" in text
    assert "small in the picture (shoulders 27 px)" in text
    assert "gap of 2.1 s" in text
    assert "9.3 frames per second" in text


def test_nobody_says_one_thing() -> None:
    track = invented_track(3.0)
    q = measure(TrackPoses([replace(track, score=track.score * 0)]), 0)
    assert q.warnings == ("person 1: nobody was found in any frame",)


def test_pieces_hold_every_frame_once() -> None:
    track = invented_track(41.0)
    parts = list(pieces(TrackPoses([track]), 0))
    assert [len(p) for p in parts] == [500, 500, 25]
    assert np.array_equal(np.concatenate([p.times for p in parts]), track.times)
