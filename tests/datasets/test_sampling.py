from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.datasets.sampling import (
    EpochSampler,
    Release,
    at_times,
    epoch,
    repeat_factors,
    resample,
    segment_frames,
    uniform_frames,
    uniform_views,
)

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(("file", "release"), [("uniform_sampling", "pyskl"), ("uniform_sampling_mm2", "mmaction2")])
def test_uniform_sampling_equals_the_official_one(file: str, release: Release) -> None:
    z = np.load(GOLDEN / f"{file}.npz")
    for total in map(int, z["in/total_frames"]):
        for length in map(int, z["in/clip_len"]):
            for seed in (0, 42):
                draw = np.random.RandomState(seed)
                expected = z[f"out/train/T{total}_L{length}_clips1_seed{seed}"]
                np.testing.assert_array_equal(uniform_frames(total, length, draw, release), expected)
            for views in (1, 10) if release == "pyskl" else (10,):
                found = np.concatenate(uniform_views(total, length, views, release))
                np.testing.assert_array_equal(found, z[f"out/test/T{total}_L{length}_clips{views}"])
        draw = np.random.RandomState(0)  # pictures, then poses, from one stream
        for stream, length in (("RGB", 8), ("Pose", 32)):
            expected = z[f"out/mm_train/T{total}_seed0/{stream}"]
            np.testing.assert_array_equal(uniform_frames(total, length, draw, release), expected)
            found = np.concatenate(uniform_views(total, length, 10, release))
            np.testing.assert_array_equal(found, z[f"out/mm_test_clips10/T{total}/{stream}"])


def test_segments_equal_mmaction2() -> None:
    z = np.load(GOLDEN / "tsn_segment_sampling.npz")
    for total in map(int, z["in/total_frames"]):
        np.testing.assert_array_equal(segment_frames(total, 8), z[f"out/test/T{total}_segments8"])
        for seed in (0, 42):
            found = segment_frames(total, 8, np.random.RandomState(seed))
            np.testing.assert_array_equal(found, z[f"out/train/T{total}_segments8_seed{seed}"])


def test_uniform_frames_by_the_length_of_the_clip() -> None:
    draw = np.random.RandomState(0)
    short = uniform_frames(30, 48, draw)
    assert (np.diff(short) % 30 == 1).all()
    middling = uniform_frames(60, 48, draw)
    assert set(np.diff(middling)) == {1, 2}
    border = np.arange(49) * 200 // 48
    long = uniform_frames(200, 48, draw)
    assert ((border[:-1] <= long) & (long < border[1:])).all()


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


def test_progressive_balance_moves_from_clips_to_classes() -> None:
    label, draw = np.array([0] * 1900 + [1] * 100), np.random.default_rng(0)
    share = [(label[epoch(label, "progressive", draw, part)] == 1).mean() for part in (0, 0.5, 1)]
    assert share == pytest.approx([0.05, 0.275, 0.5], abs=0.04)
    sampler = EpochSampler(2000, label, "progressive", seed=0, epochs=10)
    sampler.set_epoch(9)  # (1 - 0.9) * 0.05 + 0.9 * 0.5
    assert (label[[t % 2000 for t in sampler]] == 1).mean() == pytest.approx(0.455, abs=0.04)


def test_repeat_factors() -> None:
    counts = np.array([9900, 100, 25, 1, 0])
    found = repeat_factors(counts, rare=100 / counts.sum())
    np.testing.assert_allclose(found, [1, 1, 2, 10, 10])
    assert (repeat_factors(np.array([500, 20, 10]))[:2] == 1).all()  # shares of 1 % and more


def test_frequent_clips_are_shown_once_and_rare_ones_as_often_as_they_should() -> None:
    label, draw = np.repeat([0, 1, 2], [9860, 120, 20]), np.random.default_rng(0)
    factor = repeat_factors(np.bincount(label))
    times = np.zeros(len(label))
    for _ in range(200):
        order = epoch(label, "repeat-factor", draw)
        shown = np.bincount(order, minlength=len(label))
        assert len(order) == len(epoch(label, "repeat-factor", draw))
        assert (shown[:9980] == 1).all()
        assert set(shown[9980:]) <= {2, 3}
        times += shown / 200
    assert times[9980:].mean() == pytest.approx(factor[2], abs=0.03)  # sqrt(5) = 2.236
    assert times[9980:].std() < 0.05


def test_replicate_shows_every_class_as_often_as_asked() -> None:
    label = np.repeat([0, 1, 2], [150, 30, 7])
    order = epoch(label, "replicate", np.random.default_rng(0))
    assert np.bincount(label[order]).tolist() == [150, 100, 100]
    shown = np.bincount(order)
    assert set(shown[:150]) == {1}
    assert set(shown[150:180]) == {3, 4}
    assert set(shown[180:]) == {14, 15}
    assert len(epoch(label, "replicate", np.random.default_rng(0), least=7)) == len(label)
    assert len(EpochSampler(187, label, "replicate", 0, least=40)) == 230


def test_a_clip_shown_twice_has_two_tickets() -> None:
    sampler = EpochSampler(3, np.array([0, 0, 1]), "replicate", seed=0, least=6)
    tickets = list(sampler)
    assert len(tickets) == len(set(tickets)) == len(sampler) == 12
    assert sorted(t % 3 for t in tickets) == [0] * 3 + [1] * 3 + [2] * 6
    sampler.set_epoch(1)
    assert not set(tickets) & set(sampler)


def test_what_balance_needs() -> None:
    with pytest.raises(UsageError, match="'progressive' needs to know the number of epochs"):
        EpochSampler(3, np.zeros(3, np.int64), "progressive", seed=0)
    with pytest.raises(UsageError, match=r"2 training clips have no label: loading.balance must be 'instance'"):
        epoch(np.array([0, -1, -1]), "sqrt", np.random.default_rng(0))
