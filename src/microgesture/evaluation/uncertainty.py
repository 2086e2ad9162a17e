"""How sure a figure is, and whether two systems differ: bootstrap intervals and McNemar's test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.errors import UsageError


@dataclass(frozen=True)
class Bootstrap:
    """A figure and its percentile interval.

    Args:
        value: the figure on all data.
        low, high: borders of the interval.
        level: share of the resampled figures between the borders.
        units: clips, recordings or clusters that were resampled.
        samples: resampled figures that the interval rests on.
    """

    value: float
    low: float
    high: float
    level: float
    units: int
    samples: int


def bootstrap(
    metric: Callable[..., float],
    *data: Sequence[Any] | NDArray[Any],
    clusters: ArrayLike | None = None,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Percentile interval of any metric (Efron 1979).

    Args:
        metric: gets the resampled `data`, in the same order and number, and returns a figure.
        data: arrays or lists of the same length N, one entry per clip or recording.
        clusters: (N,) ids, for example of the subjects: whole clusters are drawn, with all that belongs to them.
            Clips of one person resemble each other; drawing clips one by one makes the interval too narrow.
        seed: the same seed gives the same interval.

    Raises:
        UsageError: lengths differ, there are fewer than two units, the metric is not finite on all data, or it is
            finite in less than half of the samples.

    Example:
        >>> from microgesture.evaluation.classification import micro_f1
        >>> labels, predicted = [0, 1] * 50, [0, 1] * 40 + [0, 0] * 10
        >>> found = bootstrap(micro_f1, labels, predicted)
        >>> found.value, found.low < 0.9 < found.high
        (0.9, True)
    """
    lengths = {len(each) for each in data}
    if len(lengths) != 1:
        raise UsageError(f"data to resample must have one length, got {sorted(lengths)}")
    (n,) = lengths
    ids = np.arange(n) if clusters is None else np.asarray(clusters)
    if ids.shape != (n,):
        raise UsageError(f"clusters have shape {ids.shape}, expected ({n},)")
    members = [np.flatnonzero(ids == each) for each in np.unique(ids)]
    if len(members) < 2:
        raise UsageError(f"{len(members)} unit cannot be resampled; a bootstrap needs two or more")
    value = float(metric(*data))
    if not isfinite(value):
        raise UsageError(f"the metric is {value} on the whole data; it has no interval")
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(samples):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        drawn.append(float(metric(*(_take(each, rows) for each in data))))
    low, high, used = percentile_interval(np.array(drawn), level)
    return Bootstrap(value, low, high, level, len(members), used)


def percentile_interval(figures: NDArray[np.float64], level: float = 0.95) -> tuple[float, float, int]:
    """Borders between which the middle `level` of the resampled figures lies, and how many were finite.

    Raises:
        UsageError: the level is no share, or less than half of the figures are finite.
    """
    if not 0 < level < 1:
        raise UsageError(f"level is {level}, expected a share such as 0.95")
    finite = figures[np.isfinite(figures)]
    if 2 * len(finite) < len(figures) or not len(finite):
        raise UsageError(f"the metric is defined in only {len(finite)} of {len(figures)} samples; it has no interval")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), len(finite)


@dataclass(frozen=True)
class McNemar:
    """Two systems on the same clips.

    Args:
        only_first, only_second: clips that one system names right and the other one wrong.
        exact: two-sided p of the exact conditional test.
        mid_p: two-sided p of its mid-p version, which is less timid and hardly ever above its level
            (Fagerland, Lydersen and Laake 2013).
    """

    only_first: int
    only_second: int
    exact: float
    mid_p: float


def mcnemar(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Do two systems differ in accuracy (McNemar 1947)? Only clips on which one of them is wrong say anything.

    Args:
        labels, first, second: (N,) true class ids and those of the two systems.

    Raises:
        UsageError: lengths differ or there are no clips.

    Example:
        >>> found = mcnemar([0] * 8, [1] * 7 + [0], [0] * 7 + [1])
        >>> found.only_first, found.only_second, round(found.exact, 4), round(found.mid_p, 4)
        (1, 7, 0.0703, 0.0391)
    """
    from scipy.stats import binom

    truth, one, other = (np.asarray(each) for each in (labels, first, second))
    if not len(truth) == len(one) == len(other) or not len(truth):
        raise UsageError(f"{len(truth)} labels but {len(one)} and {len(other)} predictions")
    b = int(((one == truth) & (other != truth)).sum())
    c = int(((one != truth) & (other == truth)).sum())
    fewer, point = min(b, c), float(binom.pmf(b, b + c, 0.5))
    exact = min(1.0, 2 * float(binom.cdf(fewer, b + c, 0.5)))
    return McNemar(b, c, exact, exact - (point if b != c else point / 2))


def _take(data: Sequence[Any] | NDArray[Any], rows: NDArray[np.intp]) -> Sequence[Any] | NDArray[Any]:
    return data[rows] if isinstance(data, np.ndarray) else [data[i] for i in rows]
