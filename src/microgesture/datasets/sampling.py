"""Choosing: which frames of a clip make a sample of fixed length, which clips make an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import UsageError
from microgesture.datasets.clips import Floats, Ids

Balance = Literal["instance", "sqrt", "class", "progressive", "repeat-factor", "replicate"]

Release = Literal["pyskl", "mmaction2"]


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


def padded(xy: Floats, score: Floats, length: int) -> tuple[Floats, Floats]:
    """A clip with empty frames behind it until it has `length`, as baselines fill their arrays.

    Args:
        xy, score: (M, T, V, C) and (M, T, V); a clip of `length` frames or more stays as it is.

    Example:
        >>> padded(np.ones((1, 2, 1, 2), np.float32), np.ones((1, 2, 1), np.float32), 4)[1].ravel().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """
    more = (0, max(0, length - xy.shape[1]))
    return np.pad(xy, ((0, 0), more, (0, 0), (0, 0))), np.pad(score, ((0, 0), more, (0, 0)))


def uniform_frames(total: int, length: int, draw: np.random.RandomState, release: Release = "pyskl") -> Ids:
    """One random frame out of each of `length` equal stretches (`UniformSampleFrames` of PYSKL, in training).

    A clip shorter than `length` is repeated in a circle from a random frame; one shorter than twice `length`
    keeps its order and skips frames at random places. Pictures and poses of one clip are drawn one after the other.

    Args:
        draw: the legacy generator, whose stream makes the indices equal to the official ones.
        release: whose stream; the rule is the same.

    Returns:
        int64 (length,), frame indices.
    """
    if release == "pyskl":
        draw.rand()  # a crop ratio, also where it is fixed
    if total < length:
        return _circle(int(draw.randint(0, total)), total, length)
    if total < 2 * length:
        skip = np.zeros(length + 1, np.int64)
        skip[draw.choice(length + 1, total - length, replace=False)] = 1
        return np.arange(length) + np.cumsum(skip)[:-1]
    border = np.arange(length + 1) * total // length
    return border[:-1] + draw.randint(np.diff(border))


def uniform_views(total: int, length: int, views: int, release: Release = "pyskl") -> list[Ids]:
    """The samples of a clip that are averaged in a test: `uniform_frames` from a fixed seed.

    Short clips start `views` times at evenly spaced frames instead.
    """
    draw = np.random.RandomState(255)
    if total >= length:
        return [uniform_frames(total, length, draw, release) for _ in range(views)]
    return [_circle(i if total < views else i * total // views, total, length) for i in range(views)]


def segment_frames(total: int, segments: int, draw: np.random.RandomState | None = None) -> Ids:
    """One frame out of each of `segments` equal parts of a clip: temporal segment networks, as in MMAction2.

    Random ones with `draw`, else the middle ones. Parts of a clip shorter than `segments` share frames.

    Source: Wang et al., Temporal Segment Networks, ECCV 2016; MMAction2's `SampleFrames` with clips of one frame.

    Returns:
        int64 (segments,), ascending.

    Example:
        >>> segment_frames(80, 8).tolist()
        [5, 15, 25, 35, 45, 55, 65, 75]
    """
    part = np.arange(segments)
    if draw is None:
        return ((part + 0.5) * (total / segments)).astype(np.int64)
    if total < segments:
        return np.asarray(np.around(part * (total / segments)), np.int64) % total
    return part * (total // segments) + draw.randint(total // segments, size=segments)


def _circle(start: int, total: int, length: int) -> Ids:
    return (start + np.arange(length, dtype=np.int64)) % total


def epoch(label: Ids, balance: Balance, draw: np.random.Generator, progress: float = 0.0, least: int = 100) -> Ids:
    """Order of the clips in one epoch.

    Args:
        balance: `"instance"` shows every clip once. Three draw N clips with replacement: `"sqrt"` shows a class of n
            clips in proportion to sqrt(n), `"class"` as often as any other, `"progressive"` moves from the clips' own
            shares to equal ones while training goes on. Two show every clip, and those of rare classes again:
            `"repeat-factor"` as often as `repeat_factors` says on average, `"replicate"` until the class has `least`.
        progress: share of the epochs that is over, for `"progressive"`.

    Returns:
        Indices of clips; the number of them depends on the labels alone.

    Raises:
        UsageError: a clip has no label to balance by.

    Example:
        >>> rare = epoch(np.array([0] * 99 + [1]), "class", np.random.default_rng(0))
        >>> bool(40 < (rare == 99).sum() < 60)
        True
    """
    if balance == "instance":
        return draw.permutation(len(label))
    if (label < 0).any():
        raise UsageError(f"{(label < 0).sum()} training clips have no label: loading.balance must be 'instance'")
    counts = np.bincount(label)
    if balance == "repeat-factor":
        return _repeated(label, repeat_factors(counts)[label], draw)
    if balance == "replicate":
        return _repeated(label, np.maximum(1.0, least / counts[label]), draw)
    size = counts[label].astype(np.float64)
    if balance == "progressive":
        weight = (1 - progress) / len(label) + progress / (size * np.count_nonzero(counts))
    else:
        weight = size ** (-0.5 if balance == "sqrt" else -1.0)
    return draw.choice(len(label), len(label), p=weight / weight.sum())


def repeat_factors(counts: Ids, rare: float = 1e-2) -> NDArray[np.float64]:
    """How often an epoch shows each clip of a class, (K,): max(1, sqrt(rare / share of the class)).

    Source: Gupta et al., LVIS, CVPR 2019. Classes without clips count as one.

    Example:
        >>> repeat_factors(np.array([990, 9, 1])).round(2).tolist()
        [1.0, 1.05, 3.16]
    """
    return np.asarray(np.maximum(1.0, np.sqrt(rare * counts.sum() / np.maximum(counts, 1))))


def _repeated(label: Ids, times: NDArray[np.float64], draw: np.random.Generator) -> Ids:
    """Every clip `times` (N,) times on average, at least rounded down; the sum is always the same."""
    whole = np.floor(times).astype(np.int64)
    order = draw.permutation(len(label))
    order = order[np.argsort(label[order], kind="stable")]  # so that each class gets its share of the extra ones
    reach = np.cumsum((times - whole)[order])
    extra = round(float(reach[-1]))
    if extra:
        marks = (draw.random() + np.arange(extra)) * reach[-1] / extra
        np.add.at(whole, order[np.minimum(np.searchsorted(reach, marks, side="right"), len(order) - 1)], 1)
    return draw.permutation(np.repeat(np.arange(len(label)), whole))


class EpochSampler:
    """Tickets of one epoch for a data loader: `turn * N + clip`.

    The turn is the number of the epoch, and besides says how often the clip was shown in it before. So random choices
    depend on seed, epoch, clip and turn alone: the number of worker processes and an interruption do not change
    them, and a clip that is shown twice is augmented in two ways.

    Args:
        label: (N,) for `balance`, or None for tickets in order.
        epochs: how many there will be, for `"progressive"`.
        least: clips per class, for `"replicate"`.

    Raises:
        UsageError: `"progressive"` without `epochs`, or a clip has no label to balance by.
    """

    def __init__(
        self, count: int, label: Ids | None, balance: Balance, seed: int, epochs: int | None = None, least: int = 100
    ) -> None:
        if balance == "progressive" and epochs is None:
            raise UsageError("loading.balance 'progressive' needs to know the number of epochs: choose another here")
        self.count, self.label, self.balance, self.seed = count, label, balance, seed
        self.epochs, self.least = epochs or 1, least
        self.epoch = 0
        self._length = len(self._order())

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        order = self._order()
        rank = np.argsort(order, kind="stable")
        again = np.empty_like(order)
        again[rank] = np.arange(len(order)) - np.searchsorted(order[rank], order[rank])
        turns = ((int(a) << 32) + self.epoch for a in again)
        return (turn * self.count + int(i) for turn, i in zip(turns, order, strict=True))

    def _order(self) -> Ids:
        if self.label is None:
            return np.arange(self.count)
        draw = np.random.default_rng((self.seed, self.epoch))
        return epoch(self.label, self.balance, draw, self.epoch / self.epochs, self.least)
