"""The real detector on real people: what it finds, that it repeats itself, that it tells two people apart."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import MissingExtra
from microgesture.formats.video import VideoWriter, read_frames
from microgesture.pose.assemble import CANONICAL
from microgesture.pose.estimate import NobodyFound, estimate, estimate_clip
from microgesture.pose.mediapipe import MediaPipeDetector

real = pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed")


def found(score: np.ndarray, joint: str, least: float = 0.0) -> float:
    """Share of frames in which a joint scores more than `least`."""
    return float((score[:, CANONICAL.index(joint)] > least).mean())


def test_without_mediapipe_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with (
        pytest.raises(MissingExtra, match=r"finding people in a video needs the extra 'pose': pip install"),
        MediaPipeDetector(),
    ):
        pass


@real
def test_a_room_without_people(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with VideoWriter(tmp_path / "grey.mp4", 25, (320, 240)) as video:
        for _ in range(5):
            video.write(np.full((240, 320, 3), 128, np.uint8))
    with pytest.warns(NobodyFound):
        store = estimate(tmp_path / "grey.mp4", tmp_path / "poses")
    assert store.seen == (0.0,)
    assert capfd.readouterr() == ("", "")  # the native code's start-up notes stay away


@real
def test_a_person_at_a_desk(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (track,) = estimate_clip(data / "clips/imigue_rubbing-eyes.gif")
    assert len(track) == 49
    for joint in ("nose", "r_shoulder", "l_wrist", "r_middle_tip", "l_index_tip"):
        assert found(track.score, joint) == 1.0, joint
    assert found(track.score, "chin") > 0.8
    assert found(track.score, "l_ankle", 0.2) == 0.0  # legs are under the table
    # both hands are at the face: finger tips are nearer to the nose than the shoulders are
    at = {
        n: track.xy[:, CANONICAL.index(n)] for n in ("nose", "r_index_tip", "l_index_tip", "r_shoulder", "l_shoulder")
    }
    tips = np.minimum(*(np.linalg.norm(at[n] - at["nose"], axis=-1) for n in ("r_index_tip", "l_index_tip")))
    assert np.median(tips) < 0.5 * np.linalg.norm(at["r_shoulder"] - at["l_shoulder"], axis=-1).mean()
    assert (at["r_shoulder"][:, 0] < at["l_shoulder"][:, 0]).all()  # the person's right is on the left of the picture
    assert capfd.readouterr().err == ""


@real
def test_a_restarted_detector_repeats_itself_to_the_bit(data: Path) -> None:
    images = [f.image for f in read_frames(data / "clips/imigue_folding-arms.gif")]
    with MediaPipeDetector() as detector:
        first = [detector.read(image) for image in images[:6]]
        for image in images[20:26]:
            detector.read(image)
        detector.restart([None])
        again = [detector.read(image) for image in images[:6]]
    with MediaPipeDetector() as detector:
        other = [detector.read(image) for image in images[:6]]
    for a, b, c in zip(first, again, other, strict=True):
        assert all(np.array_equal(a[k], b[k]) and np.array_equal(a[k], c[k]) for k in (0, 1))


@real
def test_two_people_keep_their_slots_while_they_meet(data: Path) -> None:
    one, two = estimate_clip(data / "clips/ntu_two-person_pyskl-demo.avi", persons=2)
    assert found(one.score, "neck") == found(two.score, "neck") == 1.0
    right, left = (t.xy[:, CANONICAL.index("neck"), 0] for t in (one, two))
    if right[0] < left[0]:
        right, left = left, right
    # they start 300 pixels apart, shake hands and embrace; an exchange would show as a step
    assert right[0] - left[0] > 250
    assert (right[:57] - left[:57] > 50).all()
    assert np.abs(np.diff(left)).max() < 40
    assert np.abs(np.diff(right)).max() < 40
