"""Changes of training windows: what happens in them stays true, and moves along with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.datasets.augment_windows import (
    Copies,
    Mirror,
    Mosaic,
    Noise,
    Rotate,
    Speed,
    Window,
    WindowAugmentation,
)

ALL: list[WindowAugmentation] = [Copies(), Speed(), Noise(), Mosaic()]
POSES: list[WindowAugmentation] = [*ALL, Mirror("imigue22", p=1), Rotate()]


def window(steps: int = 32, valid: float = 1.0, features: bool = True) -> Window:
    """Two gestures; features 0 and 1 say how far into which gesture a step is, feature 2 which step it is."""
    draw = np.random.default_rng(0)
    frames = 4 * steps
    segments = np.array([[0.25, 0.5], [0.7, 1.1]], np.float32) * valid
    at = (np.arange(steps) + 0.5) / steps
    series = np.zeros((3, steps), np.float32)
    for row, (begin, end) in zip(series, segments, strict=False):
        row[:] = np.clip((at - begin) / (end - begin), 0, 1)
    series[2] = np.arange(steps)
    score = draw.uniform(0.5, 1, (1, frames, 22)).astype(np.float32) * (draw.random((1, frames, 22)) > 0.1)
    xy = draw.normal(size=(1, frames, 22, 2)).astype(np.float32)
    score[:, np.arange(frames) / frames >= valid - 1e-6] = 0
    series[:, np.arange(steps) / steps >= valid - 1e-6] = 0
    return Window(
        np.where(score[..., None] > 0, xy, np.float32(0)), score, series if features else None, segments,
        np.array([4, 2]), valid,
    )  # fmt: skip


@pytest.mark.parametrize("valid", [1.0, 0.6])
@pytest.mark.parametrize("augmentation", POSES, ids=lambda a: type(a).__name__)
def test_every_augmentation_keeps_the_contract(augmentation: WindowAugmentation, valid: float) -> None:
    before = window(valid=valid, features=augmentation in ALL)
    copy = before.xy.copy(), None if before.series is None else before.series.copy()
    for seed in range(10):
        after, again = (augmentation(before, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(after.xy, again.xy)
        assert after.xy.dtype == after.score.dtype == after.segments.dtype == np.float32
        assert (after.xy.shape, after.score.shape) == (before.xy.shape, before.score.shape)
        assert not after.xy[after.score == 0].any(), "a missing joint got a place"
        assert after.segments.shape == (len(after.classes), 2)
        assert 0 < after.valid <= 1
        behind = np.arange(128) / 128 >= after.valid
        assert not after.score[:, behind].any(), "something is seen behind the recording"
        if before.series is not None:
            assert after.series is not None
            assert after.series.dtype == np.float32
            assert after.series.shape == before.series.shape
            assert not after.series[:, behind[::4]].any()
    np.testing.assert_array_equal(before.xy, copy[0])
    if copy[1] is not None:
        np.testing.assert_array_equal(before.series, copy[1])


def test_rare_classes_are_shown_more_often() -> None:
    shown = [np.array([0])] * 100 + [np.array([1])] * 36 + [np.array([2, 0])] * 4 + [np.array([], np.int64)]
    copies = Copies().copies(shown)
    assert copies[0] == copies[100] == copies[-1] == 1
    assert copies[136] == 3, "the median class is shown 36 times: sqrt(36 / 4)"
    assert Copies(most=2).copies(shown)[136] == 2
    assert Copies().copies([]) == []
    assert Copies().copies([np.array([], np.int64)]) == [1]
    before = window()
    assert Copies()(before, np.random.default_rng(0)) is before


@pytest.mark.parametrize("pace", [0.8, 1.25])
def test_begins_and_ends_move_with_the_speed(pace: float) -> None:
    before = window(steps=128)
    for seed in range(5):
        after = Speed(pace, pace)(before, np.random.default_rng(seed))
        assert after.series is not None
        at = (np.arange(128) + 0.5) / 128
        seen = at < after.valid - 0.02
        for (begin, end), kind in zip(after.segments, after.classes, strict=True):
            row = after.series[0 if kind == 4 else 1]
            progress = np.clip((at - begin) / (end - begin), 0, 1)
            np.testing.assert_allclose(row[seen], progress[seen], atol=0.03)
            assert end - begin == pytest.approx((0.25 if kind == 4 else 0.4) / pace, abs=1e-5)
        assert after.valid == pytest.approx(min(1, 1 / pace))


def test_poses_and_features_run_at_one_speed() -> None:
    before = window(steps=32)
    at = np.arange(128, dtype=np.float32)
    moving = replace(
        before,
        xy=np.broadcast_to(at[None, :, None, None], (1, 128, 22, 2)).copy(),
        score=np.ones((1, 128, 22), np.float32),
    )
    after = Speed(0.9, 0.9)(moving, np.random.default_rng(3))
    assert after.series is not None
    inner = slice(2, -2)
    of_poses = after.xy[0, :, 0, 0].reshape(32, 4).mean(1)
    np.testing.assert_allclose(of_poses[inner], (4 * after.series[2] + 1.5)[inner], atol=1e-3)


def test_a_gesture_of_which_little_is_left_is_not_looked_for() -> None:
    before = window()
    kept = [len(Speed(0.5, 0.5, keep=0.75)(before, np.random.default_rng(seed)).classes) for seed in range(20)]
    assert set(kept) == {0, 1}, "half a window shows three quarters of one gesture or of none"
    assert len(Speed(1, 1)(before, np.random.default_rng(0)).classes) == 2, "what was cut before stays"


def test_noise_has_the_size_asked_for() -> None:
    before = window(steps=512, valid=0.75)
    after = Noise(poses=0.02, features=0.1)(before, np.random.default_rng(0))
    seen = before.score > 0
    assert (after.xy - before.xy)[seen].std() == pytest.approx(0.02, rel=0.03)
    assert before.series is not None
    assert after.series is not None
    steps = slice(0, 384)
    share = (after.series - before.series)[:, steps].std(1) / before.series[:, steps].std(1)
    np.testing.assert_allclose(share, 0.1, rtol=0.15)


def test_a_mosaic_spares_gestures_and_moves_all_arrays_alike() -> None:
    before = window()
    changed = False
    for seed in range(10):
        after = Mosaic(pieces=4, longest=0.2)(before, np.random.default_rng(seed))
        assert after.series is not None
        came = after.series[2].astype(int)
        moved = came != np.arange(32)
        changed |= bool(moved.any())
        at = np.arange(32) / 32
        for begin, end in before.segments:
            inside = (at + 1 / 32 > begin) & (at < end)
            assert not moved[inside].any(), "a gesture is painted over"
            assert not (inside[came] & moved).any(), "a gesture is copied"
        frames = (came[:, None] * 4 + np.arange(4)).ravel()
        np.testing.assert_array_equal(after.xy, before.xy[:, frames])
    assert changed
    full = replace(before, segments=np.array([[0, 1]], np.float32), classes=np.array([1]))
    np.testing.assert_array_equal(Mosaic()(full, np.random.default_rng(0)).xy, full.xy)


def test_mirror_and_rotation() -> None:
    before, draw = window(features=False), np.random.default_rng(0)
    twice = Mirror("imigue22", p=1)(Mirror("imigue22", p=1)(before, draw), draw)
    np.testing.assert_array_equal(twice.xy, before.xy)
    once = Mirror("imigue22", p=1)(before, draw)
    right, left = (SKELETONS["imigue22"].index(f"{side}_wrist") for side in "rl")
    np.testing.assert_array_equal(once.xy[:, :, left], before.xy[:, :, right] * [-1, 1])
    assert Mirror("imigue22", p=0)(before, draw) is before
    turned = Rotate(10)(before, draw)
    np.testing.assert_allclose(np.linalg.norm(turned.xy, axis=-1), np.linalg.norm(before.xy, axis=-1), rtol=1e-4)
    angle = np.degrees(np.arccos((turned.xy * before.xy).sum(-1)[0, 0, 0] / (before.xy[0, 0, 0] ** 2).sum()))
    assert 0 < angle <= 10


def test_what_does_not_fit_is_refused() -> None:
    draw = np.random.default_rng(0)
    with pytest.raises(UsageError, match="layout is 'imigue23', expected one of"):
        Mirror("imigue23")
    with pytest.raises(UsageError, match="layout 'kinect25' has 25 joints, the windows have 22"):
        Mirror("kinect25")(window(features=False), draw)
    with pytest.raises(UsageError, match="features cannot be mirrored with the poses"):
        Mirror("imigue22")(window(), draw)
    with pytest.raises(UsageError, match="features cannot be turned with the poses"):
        Rotate()(window(), draw)
    with pytest.raises(UsageError, match="pictures cannot be turned with the poses"):
        Rotate()(replace(window(features=False), rgb=np.zeros((4, 2, 2, 3), np.uint8)), draw)
