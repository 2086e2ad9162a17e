"""Choosing: which frames of a clip make a sample of fixed length, which clips make an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microgesture.datasets.clips import Floats, Ids

Balance = Literal["instance", "sqrt", "class"]


def resample(xy: Floats, score: Floats, length: int) -> tuple[Floats, Floats]:
    """The whole clip stretched or squeezed to `length` frames by linear interpolation over axis 1.

    A joint between a frame where it is seen and one where it is missing stays missing.

    Args:
        xy, score: (M, T, V, C) and (M, T, V).
    """
    return at_times(xy, score, np.linspace(0, xy.shape[1] - 1, length))


def at_times(xy: Floats, score: Floats, times: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Linear interpolation at `times` (L,), in frames, within 0..T-1; see `resample`."""
    left = np.clip(times.astype(np.int64), 0, max(xy.shape[1] - 2, 0))
    right = np.minimum(left + 1, xy.shape[1] - 1)
    w = (times - left).astype(np.float32)
    a, b = score[:, left], score[:, right]
    seen = ((a > 0) | (w[:, None] == 1)) & ((b > 0) | (w[:, None] == 0))
    at = xy[:, left] + w[:, None, None] * (xy[:, right] - xy[:, left])
    return np.where(seen[..., None], at, np.float32(0)), np.where(seen, a + w[:, None] * (b - a), np.float32(0))


def uniform_frames(total: int, length: int, draw: np.random.RandomState) -> Ids:
    """One random frame out of each of `length` equal stretches, as in PYSKL (`UniformSampleFrames`, training).

    A clip shorter than `length` is repeated in a circle from a random frame; one shorter than twice `length`
    keeps its order and skips frames at random places.

    Args:
        draw: the legacy generator, whose stream makes the indices equal to the official ones.

    Returns:
        int64 (length,), frame indices.
    """
    draw.rand()  # the official code draws a crop ratio first, also where it is fixed
    if total < length:
        return _circle(int(draw.randint(0, total)), total, length)
    if total < 2 * length:
        skip = np.zeros(length + 1, np.int64)
        skip[draw.choice(length + 1, total - length, replace=False)] = 1
        return np.arange(length) + np.cumsum(skip)[:-1]
    border = np.arange(length + 1) * total // length
    return border[:-1] + draw.randint(np.diff(border))


def uniform_views(total: int, length: int, views: int) -> list[Ids]:
    """The samples of a clip that are averaged in a test: `uniform_frames` from a fixed seed, as in PYSKL.

    Short clips start `views` times at evenly spaced frames instead.
    """
    draw = np.random.RandomState(255)
    if total >= length:
        return [uniform_frames(total, length, draw) for _ in range(views)]
    return [_circle(i if total < views else i * total // views, total, length) for i in range(views)]


def _circle(start: int, total: int, length: int) -> Ids:
    return (start + np.arange(length, dtype=np.int64)) % total


def epoch(label: Ids, balance: Balance, draw: np.random.Generator) -> Ids:
    """Order of the clips in one epoch, (N,).

    Args:
        balance: `"instance"` shows every clip once. The others draw with replacement, so that a class of n clips
            is shown in proportion to sqrt(n) (`"sqrt"`) or as often as any other (`"class"`).

    Example:
        >>> rare = epoch(np.array([0] * 99 + [1]), "class", np.random.default_rng(0))
        >>> bool(40 < (rare == 99).sum() < 60)
        True
    """
    if balance == "instance":
        return draw.permutation(len(label))
    counts = np.bincount(label).astype(np.float64)
    weight = counts[label] ** (-0.5 if balance == "sqrt" else -1.0)
    return draw.choice(len(label), len(label), p=weight / weight.sum())


class EpochSampler:
    """Tickets of one epoch for a data loader: `epoch number * N + clip`.

    The ticket carries the epoch, so that random choices depend on seed, epoch and clip alone: the number of
    worker processes and an interruption do not change them.

    Args:
        label: (N,) for `balance`, or None for tickets in order.
    """

    def __init__(self, count: int, label: Ids | None, balance: Balance, seed: int) -> None:
        self.count, self.label, self.balance, self.seed = count, label, balance, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.count)
        if self.label is not None:
            order = epoch(self.label, self.balance, np.random.default_rng((self.seed, self.epoch)))
        return (self.epoch * self.count + int(i) for i in order)
