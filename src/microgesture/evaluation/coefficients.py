"""Coefficients of agreement: those of plain ratings, and the formulas that the coefficients of timelines share.

A coefficient that is not defined has the value None and a reason in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.errors import UsageError
from microgesture.evaluation.uncertainty import percentile_interval

Table = NDArray[np.float64]
Weights = Literal["linear", "quadratic"] | None

FEWEST = 10
"""Units below which there is no interval: a percentile interval of so few is far too narrow."""
_UNIT = ("unit", "units")
MISSING = -2
"""Code of a rater who did not judge a unit; no category has it."""


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Args:
        by: `"stretches"` of time of `stretch` seconds, cut from the start of each recording, or whole
            `"recordings"`: the better choice with a dozen or more, because a recording resembles itself.
        samples: resampled coefficients.
        level: share of them inside the interval.
        seed: the same seed gives the same interval.
    """

    by: Literal["stretches", "recordings"] = "stretches"
    stretch: float = 10.0
    samples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.by not in ("stretches", "recordings"):
            raise UsageError(f"resampling by '{self.by}' is unknown; choose 'stretches' or 'recordings'")
        if not self.stretch > 0:
            raise UsageError(f"stretch is {self.stretch} s, expected more than 0")


RESAMPLING = Resampling()
"""A thousand samples of stretches of 10 s, seed 0."""


@dataclass(frozen=True)
class Agreement:
    """One coefficient, with what is needed to print it.

    Args:
        coefficient: its name, such as `"kappa of linked events"`.
        raters: their names.
        value: the coefficient; None if it is not defined.
        low, high: borders of the interval; None if there is none.
        level: of the interval.
        on: what it rests on, in words.
        resampled: what the interval rests on, in words.
        reason: why there is no value or no interval, in words; empty if there are both.
    """

    coefficient: str
    raters: tuple[str, ...]
    value: float | None
    low: float | None
    high: float | None
    level: float
    on: str
    resampled: str
    reason: str = ""

    @property
    def sentence(self) -> str:
        """One sentence that may be printed."""
        *others, last = self.raters
        start = f"Agreement between {', '.join(others)} and {last}: {self.coefficient}"
        if self.value is None:
            return f"{start} is not defined, because {self.reason} ({self.on})."
        if self.low is None:
            return f"{start} {self.value:.2f}, without an interval, because {self.reason}, on {self.on}."
        interval = f"{100 * self.level:g} % interval {self.low:.2f} to {self.high:.2f}"
        return f"{start} {self.value:.2f} ({interval}, from resampling {self.resampled}), on {self.on}."


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    weights: Weights = None,
    raters: tuple[str, str] = ("first", "second"),
    resampling: Resampling = RESAMPLING,
) -> Agreement:
    """Cohen's kappa (1960) of two raters who judged the same units, or his weighted one (1968).

    Args:
        first, second: (N,) whole numbers; units are resampled one by one.
        weights: `"linear"` or `"quadratic"`: disagreement counts by the distance of the numbers.

    Raises:
        UsageError: lengths differ or there are no units.

    Example:
        >>> round(cohen_kappa([1] * 25 + [0] * 25, [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15).value, 3)
        0.4
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 1 or one.shape != other.shape or not len(one):
        raise UsageError(f"ratings have shapes {one.shape} and {other.shape}, expected the same (N,), N above 0")
    present, index = np.unique([one, other], return_inverse=True)
    cells, times = np.unique(index.reshape(2, -1), axis=1, return_counts=True)
    tables = np.zeros((len(times), len(present), len(present)))
    tables[np.arange(len(times)), cells[0], cells[1]] = 1
    distance = distance_of(present, weights)
    return estimate(
        f"{weights} weighted kappa" if weights else "kappa",
        raters,
        tables,
        lambda sums: kappa_of(sums, distance),
        on=_units(len(one)),
        reason="only one category occurs",
        resampling=resampling,
        times=times,
    )


def krippendorff_alpha(
    ratings: ArrayLike,
    level: Literal["nominal", "ordinal", "interval", "ratio"] = "nominal",
    raters: Sequence[str] = (),
    resampling: Resampling = RESAMPLING,
) -> Agreement:
    """Krippendorff's alpha of any number of raters, computed by the library `krippendorff`.

    Args:
        ratings: (raters, N), NaN where a rater did not judge a unit; units are resampled one by one.
        level: of measurement.

    Raises:
        UsageError: the ratings are no table of at least two raters.
    """
    import krippendorff

    table = _ratings(ratings)
    table = table[:, np.isfinite(table).sum(0) > 1]
    domain = np.unique(table[np.isfinite(table)])
    rng = np.random.default_rng(resampling.seed)
    n = table.shape[1]

    def alpha(units: Table) -> float:
        if len(np.unique(units[np.isfinite(units)])) < 2:
            return float("nan")
        return float(krippendorff.alpha(units, value_domain=domain, level_of_measurement=level))

    value = alpha(table)
    figures = [alpha(table[:, rng.integers(0, n, n)]) for _ in range(resampling.samples)] if n >= FEWEST else []
    on = f"{_units(n)} that two or more raters judged"
    reason = "only one value occurs" if n else "no unit was judged twice"
    name = f"Krippendorff's {level} alpha"
    return _agreement(name, _names(raters, table), value, np.array(figures), _units(n), on, reason, resampling)


def gwet_ac1(ratings: ArrayLike, raters: Sequence[str] = (), resampling: Resampling = RESAMPLING) -> Agreement:
    """Gwet's AC1 (2008) of any number of raters.

    Agreement by chance is the sum of p (1 - p) over the K categories that occur, divided by K - 1, where p is the mean
    share of a category over the units. Units judged once count for p only.

    Args:
        ratings: (raters, N) whole numbers, NaN where a rater did not judge a unit; units are resampled one by one.

    Raises:
        UsageError: the ratings are no table of at least two raters.
    """
    table = _ratings(ratings)
    present = np.unique(table[np.isfinite(table)])
    codes = np.where(np.isfinite(table), np.searchsorted(present, table), MISSING)
    judged = int((np.isfinite(table).sum(0) > 1).sum())
    patterns, times = np.unique(codes, axis=1, return_counts=True)
    return estimate(
        "Gwet's AC1",
        _names(raters, table),
        ac1_terms(patterns.T),
        ac1_of,
        on=f"{_units(judged)} that two or more raters judged",
        reason="only one category occurs" if judged else "no unit was judged twice",
        resampling=resampling,
        times=times,
    )


def kappa_of(tables: Table, distance: Table | None = None) -> Table:
    """1 - observed / expected disagreement; NaN where no disagreement is expected or the table is empty."""
    cost = 1 - np.eye(tables.shape[-1]) if distance is None else distance
    whole = tables.sum((-1, -2))
    observed = (tables * cost).sum((-1, -2)) * whole
    expected = np.einsum("...k,...l,kl->...", tables.sum(-1), tables.sum(-2), cost)
    return 1 - divide(observed, expected)


def kappa_with_absence(tables: Table) -> Table:
    """Kappa of a table whose last category, "no event", both raters cannot choose at once.

    Quasi-independence m = a b with m = 0 in the last corner and the margins of the table has the closed form
    m_kl = r_k c_l L / (R C) for k, l other than the last: r, c margins, R, C their sums, L the sum of linked events.
    """
    whole, linked = tables.sum((-1, -2)), tables[..., :-1, :-1].sum((-1, -2))
    rows, columns = tables[..., :-1, :].sum(-1), tables[..., :, :-1].sum(-2)
    expected = divide(linked * (rows * columns).sum(-1), rows.sum(-1) * columns.sum(-1) * whole)
    observed = divide(np.trace(tables[..., :-1, :-1], axis1=-2, axis2=-1), whole)
    # with a single label chance explains every link: nothing is left to measure
    measurable = ((rows + columns > 0).sum(-1) > 1) & (expected < 1)
    return np.where(measurable, divide(observed - expected, 1 - expected), np.nan)


def alpha_of(coincidences: Table) -> Table:
    """Krippendorff's nominal alpha of coincidence matrices."""
    margins = coincidences.sum(-1)
    whole = margins.sum(-1)
    observed = whole - np.trace(coincidences, axis1=-2, axis2=-1)
    return 1 - divide((whole - 1) * observed, whole**2 - (margins**2).sum(-1))


def ac1_terms(codes: NDArray[np.intp]) -> Table:
    """(N, raters) codes to (N, 3 + K) terms that add up: judged twice, agreement, judged, share per category."""
    present = np.unique(codes[codes > MISSING])
    votes = np.stack([(codes == k).sum(1) for k in present], 1) if len(present) else np.zeros((len(codes), 0))
    m = votes.sum(1)
    agreement = np.where(m > 1, (votes * (votes - 1)).sum(1) / np.maximum(m * (m - 1), 1), 0)
    return np.column_stack([m > 1, agreement, m > 0, votes / np.maximum(m, 1)[:, None]]).astype(np.float64)


def ac1_of(sums: Table) -> Table:
    """AC1 of sums of `ac1_terms`; NaN if fewer than two categories occur."""
    if sums.shape[-1] < 3 + 2:
        return np.full(sums.shape[:-1], np.nan)
    observed, share = divide(sums[..., 1], sums[..., 0]), divide(sums[..., 3:], sums[..., 2:3])
    chance = (share * (1 - share)).sum(-1) / (share.shape[-1] - 1)
    return divide(observed - chance, 1 - chance)


def distance_of(categories: Table, weights: Weights) -> Table:
    """(K, K) cost of calling one category another."""
    if weights not in (None, "linear", "quadratic"):
        raise UsageError(f"weights '{weights}' are unknown; choose 'linear' or 'quadratic'")
    apart = np.abs(categories[:, None] - categories[None])
    if weights is None:
        return (apart > 0).astype(np.float64)
    return np.asarray(apart ** {"linear": 1, "quadratic": 2}[weights], np.float64)


def divide(above: Table, below: Table) -> Table:
    """Quotient, NaN where the divisor is not above 0."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def estimate(
    name: str,
    raters: tuple[str, ...],
    parts: Table,
    figure: Callable[[Table], Table],
    *,
    on: str,
    reason: str,
    resampling: Resampling,
    times: NDArray[np.intp] | None = None,
    unit: tuple[str, str] = _UNIT,
) -> Agreement:
    """A coefficient of sums, and its interval.

    Args:
        parts: (P, ...) what each unit adds to the sums; to draw units anew is to draw how often each part counts.
        figure: (S, ...) sums to (S,) coefficients, NaN where one is not defined.
        times: (P,) number of units that add the same; 1 each if not given.
        unit: what is drawn, one and many.
    """
    occurs = np.ones(len(parts), np.intp) if times is None else times
    n = int(occurs.sum())

    def of(counts: Table) -> Table:
        return figure((counts @ parts.reshape(len(parts), -1)).reshape(len(counts), *parts.shape[1:]))

    value = float(of(occurs[None].astype(np.float64))[0]) if n else float("nan")
    drawn = (
        np.random.default_rng(resampling.seed).multinomial(n, occurs / n, resampling.samples) if n >= FEWEST else None
    )
    figures = np.zeros(0) if drawn is None else of(drawn.astype(np.float64))
    return _agreement(name, raters, value, figures, f"{n} {unit[n != 1]}", on, reason, resampling)


def _agreement(
    name: str,
    raters: tuple[str, ...],
    value: float,
    figures: Table,
    resampled: str,
    on: str,
    reason: str,
    resampling: Resampling,
) -> Agreement:
    if np.isnan(value):
        return Agreement(name, raters, None, None, None, resampling.level, on, resampled, reason)
    if not len(figures):
        why = f"there is too little to resample ({resampled})"
        return Agreement(name, raters, value, None, None, resampling.level, on, resampled, why)
    try:
        low, high, _ = percentile_interval(figures, resampling.level)
    except UsageError:
        why = f"it is not defined in most samples of {resampled}"
        return Agreement(name, raters, value, None, None, resampling.level, on, resampled, why)
    return Agreement(name, raters, value, low, high, resampling.level, on, resampled)


def _ratings(ratings: ArrayLike) -> Table:
    table = np.asarray(ratings, np.float64)
    if table.ndim != 2 or len(table) < 2:
        raise UsageError(f"ratings have shape {table.shape}, expected (raters, N) with two raters or more")
    return table


def _names(raters: Sequence[str], table: Table) -> tuple[str, ...]:
    names = tuple(raters) or tuple(f"rater {i + 1}" for i in range(len(table)))
    if len(names) != len(table):
        raise UsageError(f"{len(names)} names for {len(table)} raters")
    return names


def _units(n: int) -> str:
    return f"{n} {_UNIT[n != 1]}"
