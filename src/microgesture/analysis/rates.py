"""How often gestures happen, with the uncertainty that counting has, and what may be concluded from it.

Rates are events per minute in which the person was visible. Intervals are exact Poisson intervals (Garwood, 1936,
doi 10.1093/biomet/28.3-4.437); two states are compared by the exact conditional test (given the total, the count in
one state is binomial; Przyborowski & Wilenski, 1940) and corrected for the number of classes by Benjamini & Hochberg
(1995). This is the first tier of emotion evidence: occurrence statistics, no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.analysis.states import State
from microgesture.core.segment import Segment, Timeline

MEANING = {
    "rate": "How often the gesture was found per minute of visible person. Detection is not perfect: missed and"
    " invented gestures are not in the interval, which covers chance alone.",
    "interval": "If the same person behaved in the same way again, 95 % of such intervals would hold the true rate,"
    " provided that events come independently. Gestures often come in bursts; the true uncertainty is then larger.",
    "share": "What part of all found micro-gestures this group makes up. Shares move together: one can rise only if"
    " another falls.",
    "gap": "The median pause between the end of one micro-gesture and the start of the next. Short pauses mean bursts;"
    " the figure says nothing about why.",
    "comparison": "A rate ratio above 1 means that the gesture was more frequent in the first state. q below 0.05"
    " says that chance alone is an unlikely reason among all classes compared. It does not say that the state caused"
    " it, nor that the next person will show it.",
    "emotion": "No single micro-gesture means an emotion. Published systems that guess win or lose from such statistics"
    " reach about 60 % where guessing reaches 50 %. Use the figures to find moments worth looking at, never to judge"
    " a person, and not for lie detection, hiring or diagnosis.",
}


@dataclass(frozen=True)
class Rate:
    """Occurrence of one class or group.

    Args:
        name: class or group.
        label: label id, -1 for groups and totals.
        count: segments.
        seconds: total duration.
        per_minute, low, high: rate and its exact interval.
        share: count relative to all micro-gestures, 0 if there are none.
    """

    name: str
    label: int
    count: int
    seconds: float
    per_minute: float
    low: float
    high: float
    share: float


@dataclass(frozen=True)
class Comparison:
    """The same class in two states.

    Args:
        name, label: see `Rate`.
        states: names of the two states.
        counts: events that begin in each.
        minutes: length of each.
        ratio, low, high: rate in the first over rate in the second, exact interval; infinite where the second is 0.
        p: exact two-sided p-value; q: the same after Benjamini-Hochberg over all classes of the comparison.
    """

    name: str
    label: int
    states: tuple[str, str]
    counts: tuple[int, int]
    minutes: tuple[float, float]
    ratio: float
    low: float
    high: float
    p: float
    q: float


@dataclass(frozen=True)
class Evidence:
    """Occurrence statistics of one person.

    Args:
        person: number of the person.
        minutes: exposure.
        total: all micro-gestures; `illustrative` movements are counted apart.
        illustrative: speaking gestures and other non-micro-gestures, or None if the label space has none.
        classes: every class of the label space, in the order of ids.
        groups: body groups.
        gap: median pause between micro-gestures in seconds, or None with fewer than two.
        log_rates: log(1 + rate) per class, the feature vector of occurrence-based emotion studies.
        comparisons: between states, if any were given.
    """

    person: int
    minutes: float
    total: Rate
    illustrative: Rate | None
    classes: tuple[Rate, ...]
    groups: tuple[Rate, ...]
    gap: float | None
    log_rates: tuple[float, ...]
    comparisons: tuple[Comparison, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; infinite limits become null."""
        plain: dict[str, Any] = _finite(asdict(self))
        return plain | {"meaning": MEANING}


def evidence(timeline: Timeline, person: int, minutes: float, states: Sequence[State] = ()) -> Evidence:
    """Occurrence statistics of one person.

    Args:
        minutes: time the person was visible.
        states: annotated stretches, e.g. relaxed and stressed; every pair of state names is compared.

    Raises:
        ValueError: minutes is negative.
    """
    taxonomy = timeline.taxonomy
    events = [s for s in timeline if s.person == person]
    micro = [s for s in events if s.label != taxonomy.illustrative]

    def rate(name: str, chosen: list[Segment], label: int = -1) -> Rate:
        low, high = poisson_interval(len(chosen), minutes)
        per_minute = len(chosen) / minutes if minutes else 0.0
        share = len(chosen) / len(micro) if micro and label != taxonomy.illustrative else 0.0
        return Rate(name, label, len(chosen), sum(s.duration for s in chosen), per_minute, low, high, share)

    classes = tuple(rate(k.name, [s for s in events if s.label == k.id], k.id) for k in taxonomy)
    groups = tuple(rate(g, [s for s in micro if taxonomy[s.label].group == g]) for g in taxonomy.groups)
    other = None if taxonomy.illustrative is None else classes[taxonomy.illustrative]
    gaps = [max(0.0, b.start - a.end) for a, b in pairwise(micro)]
    return Evidence(
        person=person,
        minutes=minutes,
        total=rate("all micro-gestures", micro),
        illustrative=other,
        classes=classes,
        groups=groups,
        gap=float(np.median(gaps)) if gaps else None,
        log_rates=tuple(float(np.log1p(c.per_minute)) for c in classes),
        comparisons=compare_states(Timeline(tuple(events), taxonomy, timeline.duration), states),
    )


def poisson_interval(count: int, minutes: float, level: float = 0.95) -> tuple[float, float]:
    """Exact (Garwood) interval of a rate per minute; (0, inf) without exposure.

    Example:
        >>> low, high = poisson_interval(10, 1.0)
        >>> round(low, 3), round(high, 3)
        (4.795, 18.39)
    """
    from scipy.stats import chi2

    if count < 0 or minutes < 0:
        raise ValueError(f"{count} events in {minutes} minutes make no rate")
    if minutes == 0:
        return 0.0, float("inf")
    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    high = float(chi2.isf(tail, 2 * count + 2)) / 2
    return low / minutes, high / minutes


def rate_ratio(
    counts: tuple[int, int], minutes: tuple[float, float], level: float = 0.95
) -> tuple[float, float, float, float]:
    """Ratio of two rates with its exact interval and exact two-sided p-value.

    Args:
        counts: events in each; minutes: exposure of each, positive.

    Returns:
        ratio, low, high, p. Without any event: NaN ratio, (0, inf), p = 1.
    """
    from scipy.stats import binomtest

    (a, b), (t, u) = counts, minutes
    if min(t, u) <= 0:
        raise ValueError(f"exposures {t} and {u} minutes cannot be compared")
    if a + b == 0:
        return float("nan"), 0.0, float("inf"), 1.0
    test = binomtest(a, a + b, t / (t + u))
    limits = test.proportion_ci(confidence_level=level, method="exact")
    low, high = (float(x / (1 - x) * u / t) if x < 1 else float("inf") for x in (limits.low, limits.high))
    return (a / t) / (b / u) if b else float("inf"), low, high, float(test.pvalue)


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values (n,) in the order given.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.04, 0.04]
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values)[::-1]
    ranks = np.arange(len(values), 0, -1)
    adjusted = np.minimum.accumulate(values[order] * len(values) / ranks)
    result = np.empty_like(values)
    result[order] = np.minimum(adjusted, 1)
    return result


def compare_states(timeline: Timeline, states: Sequence[State]) -> tuple[Comparison, ...]:
    """Rates of each class in each pair of states; an event belongs to the state it begins in.

    Classes that occur in neither state are left out, and do not count in the correction. States count up to the end
    of the recording; one that begins later is left out.
    """
    states = [replace(s, end=min(s.end, timeline.duration)) for s in states if s.start < timeline.duration]
    names = list(dict.fromkeys(s.name for s in states))
    taxonomy = timeline.taxonomy
    found: list[Comparison] = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            parts = [[s for s in states if s.name == name] for name in (first, second)]
            minutes = tuple(sum(s.end - s.start for s in part) / 60 for part in parts)
            counts = np.zeros((2, len(taxonomy)), int)
            for side, part in enumerate(parts):
                for event in timeline:
                    counts[side, event.label] += any(s.start <= event.start < s.end for s in part)
            micro = [k.id for k in taxonomy if k.id != taxonomy.illustrative]
            columns = [("all micro-gestures", -1, counts[:, micro].sum(1))]
            columns += [(k.name, k.id, counts[:, k.id]) for k in taxonomy if counts[:, k.id].any()]
            tested = [
                (n, k, (int(c[0]), int(c[1])), rate_ratio((int(c[0]), int(c[1])), (minutes[0], minutes[1])))
                for n, k, c in columns
            ]
            q = benjamini_hochberg([r[3] for *_, r in tested])
            found += [
                Comparison(n, k, (first, second), c, (minutes[0], minutes[1]), *r, float(q[row]))
                for row, (n, k, c, r) in enumerate(tested)
            ]
    return tuple(found)


def _finite(value: Any) -> Any:
    """Plain data whose floats are finite, rounded; JSON has no infinity."""
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value
