from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microgesture.datasets.sampling import EpochSampler, at_times, epoch, resample, uniform_frames, uniform_views

GOLDEN = Path(__file__).parents[1] / "golden" / "uniform_sampling.npz"


def test_uniform_sampling_equals_pyskl() -> None:
    z = np.load(GOLDEN)
    for total in z["in/total_frames"]:
        for length in z["in/clip_len"]:
            for seed in (0, 42):
                draw = np.random.RandomState(seed)
                expected = z[f"out/train/T{total}_L{length}_clips1_seed{seed}"]
                np.testing.assert_array_equal(uniform_frames(int(total), int(length), draw), expected)
            for views in (1, 10):
                found = np.concatenate(uniform_views(int(total), int(length), views))
                np.testing.assert_array_equal(found, z[f"out/test/T{total}_L{length}_clips{views}"])


def test_resampling_keeps_ends_and_lines() -> None:
    t = np.arange(5, dtype=np.float32)
    xy, score = np.stack((t, 2 * t), -1)[None, :, None], np.ones((1, 5, 1), np.float32)
    out, seen = resample(xy, score, 9)
    np.testing.assert_allclose(out[0, :, 0, 0], np.linspace(0, 4, 9), atol=1e-6)
    assert seen.min() == 1
    same, _ = resample(xy, score, 5)
    np.testing.assert_array_equal(same, xy)


def test_one_frame_becomes_a_still() -> None:
    out, seen = resample(np.full((1, 1, 2, 2), 7, np.float32), np.ones((1, 1, 2), np.float32), 4)
    assert out.shape == (1, 4, 2, 2)
    assert (out == 7).all()
    assert (seen == 1).all()


def test_gaps_are_neither_filled_nor_eaten_into() -> None:
    xy = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1).repeat(2, -1)
    score = np.array([1, 0, 1, 1], np.float32).reshape(1, 4, 1)
    out, seen = at_times(xy, score, np.array([0.0, 0.5, 1.5, 2.0, 2.5]))
    assert (seen[0, :, 0] > 0).tolist() == [True, False, False, True, True]
    assert (out[0, 1:3] == 0).all()


def test_balance() -> None:
    label = np.array([0] * 900 + [1] * 100)
    draw = np.random.default_rng(0)
    assert sorted(epoch(label, "instance", draw)) == list(range(1000))
    share = {b: (label[epoch(label, b, draw)] == 1).mean() for b in ("sqrt", "class")}
    assert share["sqrt"] == pytest.approx(0.25, abs=0.05)  # sqrt(100) : sqrt(900) = 1 : 3
    assert share["class"] == pytest.approx(0.5, abs=0.06)


def test_tickets_carry_the_epoch() -> None:
    sampler = EpochSampler(6, np.zeros(6, np.int64), "instance", seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(6)) == list(range(len(sampler)))
    sampler.set_epoch(2)
    later = list(sampler)
    assert sorted(later) == list(range(12, 18))
    assert [t - 12 for t in later] != first
    assert later == list(sampler)
