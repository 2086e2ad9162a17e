from __future__ import annotations

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.datasets.augment import (
    Augmentation,
    CropTime,
    DropJoints,
    Flip,
    Motion,
    Noise,
    Rotate,
    Scale,
    WarpTime,
    mirror,
    rotation,
)

ALL: list[Augmentation] = [
    Flip(), Rotate(roll=20), Scale(), Noise(), DropJoints(p=0.5), CropTime(least=0.5), WarpTime()
]  # fmt: skip


def clip(layout: str = "imigue22", frames: int = 20, coordinates: int = 2) -> Motion:
    rng = np.random.default_rng(0)
    skeleton = SKELETONS[layout]
    score = (rng.random((2, frames, len(skeleton))) > 0.2).astype(np.float32)
    xy = rng.normal(size=(*score.shape, coordinates)).astype(np.float32)
    return Motion(np.where(score[..., None] > 0, xy, np.float32(0)), score, skeleton)


@pytest.mark.parametrize("augmentation", ALL, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("frames", [1, 2, 20])
def test_every_augmentation_keeps_the_contract(augmentation: Augmentation, frames: int) -> None:
    before = clip(frames=frames)
    copy = before.xy.copy()
    for seed in range(5):
        after = augmentation(before, np.random.default_rng(seed))
        again = augmentation(before, np.random.default_rng(seed))
        np.testing.assert_array_equal(after.xy, again.xy)
        assert after.xy.dtype == after.score.dtype == np.float32
        assert after.xy.shape == (*after.score.shape, 2)
        assert np.isfinite(after.xy).all()
        assert not after.xy[after.score == 0].any(), "a missing joint got a place"
    np.testing.assert_array_equal(before.xy, copy)


@pytest.mark.parametrize("layout", ["imigue22", "openpose25", "kinect20", "ma52_28", "canonical"])
def test_mirroring_exchanges_sides_and_is_its_own_inverse(layout: str) -> None:
    before = clip(layout)
    after = mirror(before)
    right, left = (before.skeleton.index(f"{side}_wrist") for side in "rl")
    np.testing.assert_array_equal(after.xy[:, :, left], before.xy[:, :, right] * [-1, 1])
    np.testing.assert_array_equal(after.score[:, :, left], before.score[:, :, right])
    twice = mirror(after)
    np.testing.assert_array_equal(twice.xy, before.xy)
    assert Flip(p=0)(before, np.random.default_rng(0)) is before


def test_rotation_keeps_lengths_and_turns_the_right_way() -> None:
    np.testing.assert_allclose(rotation(np.radians([0, 0, 90])) @ [1, 0, 0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(rotation(np.radians([90, 0, 0])) @ [0, 1, 0], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rotation(np.radians([0, 90, 0])) @ [0, 0, 1], [1, 0, 0], atol=1e-6)
    before = clip("kinect20", coordinates=3)
    after = Rotate(pitch=40, yaw=40, roll=40)(before, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.norm(after.xy, axis=-1), np.linalg.norm(before.xy, axis=-1), rtol=1e-4)
    assert not np.allclose(after.xy, before.xy)
    # yaw leaves heights alone
    level = Rotate(yaw=40)(before, np.random.default_rng(1))
    np.testing.assert_allclose(level.xy[..., 1], before.xy[..., 1], atol=1e-5)


def test_two_coordinates_cannot_be_turned_out_of_the_picture() -> None:
    with pytest.raises(UsageError, match="pitch and yaw need three coordinates; the clip has two"):
        Rotate(yaw=10)(clip(), np.random.default_rng(0))


def test_sizes_of_the_changes() -> None:
    before, draw = clip(frames=100), np.random.default_rng(0)
    ratio = Scale(0.1)(before, draw).xy[before.score > 0] / before.xy[before.score > 0]
    assert 0.9 <= ratio.min() <= ratio.max() <= 1.1
    moved = Noise(0.05)(before, draw).xy - before.xy
    assert moved[before.score > 0].std() == pytest.approx(0.05, rel=0.1)
    dropped = DropJoints(p=1, longest=0.5)(before, draw)
    lost = 1 - dropped.score.sum() / before.score.sum()
    assert 0.1 < lost < 0.4
    assert 50 <= CropTime(least=0.5)(before, draw).score.shape[1] <= 100


def test_warping_keeps_ends_order_and_length() -> None:
    t = np.arange(50, dtype=np.float32)
    before = Motion(
        np.tile(t[None, :, None, None], (1, 1, 22, 2)), np.ones((1, 50, 22), np.float32), SKELETONS["imigue22"]
    )
    after = WarpTime(strength=0.5)(before, np.random.default_rng(0)).xy[0, :, 0, 0]
    assert after[0] == 0
    assert after[-1] == pytest.approx(49, abs=1e-4)
    assert (np.diff(after) > 0).all()
    assert np.abs(after - t).max() > 1
