"""From posteriors over time to segments: smoothing, hysteresis, durations, suppression. Pure numpy.

Classes are independent (a person may cross fingers and press lips at once); only classes that are easily taken
for each other compete for the same stretch of time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from microgesture.core.segment import Segment
from microgesture.core.taxonomy import Taxonomy


@dataclass(frozen=True)
class DecodeSettings:
    """What counts as a segment. Times in seconds, thresholds as probabilities.

    Args:
        on: a segment must reach it; one value, or one per class.
        off: share of `on` above which a segment goes on.
        edge: share of its own peak at which a segment begins and ends, if that is above `off`. Windows smear a
            gesture over their own length; half the peak undoes it.
        smooth: full width of the triangular kernel that calms the posteriors; 0 = none.
        gap: stretches of a class that are at most so far apart are one.
        pad: added at both ends; negative cuts.
        shortest, longest: durations outside are dropped; a longer one is cut to the `longest` around its peak.
        typical: median of the duration prior.
        spread: standard deviation of the log duration under the prior.
        prior: weight of the duration prior in the score; 0 = none.
        keep: segments whose final score is lower are dropped.
        overlap: of two competing segments whose IoU is larger, the less certain is dropped; 1 = none is.
        compete: which classes compete: `"none"` (each for itself), `"group"` (the same body group), `"all"`.
    """

    on: float | tuple[float, ...] = 0.5
    off: float = 0.6
    edge: float = 0.5
    smooth: float = 0.75
    gap: float = 0.5
    pad: float = 0.0
    shortest: float = 0.3
    longest: float = 20.0
    typical: float = 1.8
    spread: float = 0.9
    prior: float = 0.0
    keep: float = 0.0
    overlap: float = 0.4
    compete: str = "group"

    def __post_init__(self) -> None:
        if self.compete not in ("none", "group", "all"):
            raise ValueError(f"compete is '{self.compete}', expected 'none', 'group' or 'all'")
        if not 0 < self.shortest <= self.longest:
            raise ValueError(f"shortest {self.shortest} and longest {self.longest} are no range of durations")


def decode(
    times: NDArray[np.float64],
    posteriors: NDArray[np.float32],
    taxonomy: Taxonomy,
    duration: float,
    settings: DecodeSettings | None = None,
    *,
    person: int = 0,
) -> tuple[Segment, ...]:
    """Segments of one person, sorted; no two of the same class overlap or touch.

    Args:
        times: (N,) window centres in seconds, evenly spaced and increasing.
        posteriors: (N, K) independent probabilities; NaN (nobody there) counts as 0.
        taxonomy: K labels and their body groups.
        duration: seconds of the recording; segments are clipped to it.
        settings: thresholds; the defaults suit the shipped model.

    Raises:
        ValueError: shapes do not agree.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> p = np.zeros((40, len(SMG)), np.float32); p[10:20, 3] = 0.9
        >>> [(s.label, s.start, s.end) for s in decode(np.arange(40) / 4, p, SMG, 10.0)]
        [(3, 2.375, 4.875)]
    """
    s = settings or DecodeSettings()
    posteriors = np.asarray(posteriors, np.float32)
    if posteriors.ndim != 2 or posteriors.shape != (len(times), len(taxonomy)):
        raise ValueError(f"posteriors have shape {posteriors.shape}, expected ({len(times)}, {len(taxonomy)})")
    if len(times) == 0:
        return ()
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.25
    p = smoothed(np.clip(np.nan_to_num(posteriors, nan=0.0), 0, 1), s.smooth / step)
    found = _hysteresis(times, p, step, duration, s)
    found = _joined(found, s.gap)
    found = _timed(found, s)
    found = _suppressed(found, _competitors(taxonomy, s.compete), s.overlap)
    return tuple(
        sorted(
            Segment(float(a), float(b), int(k), float(score), person)
            for a, b, k, score, _ in zip(*found, strict=True)
            if b > a
        )
    )


def smoothed(posteriors: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """Triangular smoothing along time with a kernel `width` windows wide; mirrored at the ends, constants unchanged.

    Args:
        posteriors: (N, K).
        width: full width in windows; below 2 nothing happens.
    """
    half = int(width // 2)
    if half < 1 or len(posteriors) < 2:
        return posteriors
    half = min(half, len(posteriors) - 1)
    kernel = np.concatenate([np.arange(1, half + 2), np.arange(half, 0, -1)]).astype(np.float32)
    kernel /= kernel.sum()
    padded = np.pad(posteriors, ((half, half), (0, 0)), mode="reflect")
    result = np.zeros_like(posteriors)
    for k, weight in enumerate(kernel):
        result += weight * padded[k : k + len(posteriors)]
    return result


# Candidates travel as five arrays: start, end, label, score, time of the peak.
_Found = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def _hysteresis(
    times: NDArray[np.float64], p: NDArray[np.float32], step: float, duration: float, s: DecodeSettings
) -> _Found:
    """Stretches above `off` that reach `on`, trimmed to `edge` of their peak; score = mean inside."""
    on = np.broadcast_to(np.asarray(s.on, np.float32), p.shape[1:])
    above = np.zeros((p.shape[1], len(p) + 2), np.int8)
    above[:, 1:-1] = (p >= on * np.float32(s.off)).T & (p > 0).T
    change = np.diff(above, axis=1)
    label, first = np.nonzero(change == 1)
    end = np.nonzero(change == -1)[1]
    rows: list[tuple[float, float, int, float, float]] = []
    for k, a, b in zip(label.tolist(), first.tolist(), end.tolist(), strict=True):
        stretch = p[a:b, k]
        peak = int(stretch.argmax())
        if stretch[peak] < on[k]:
            continue
        inside = np.flatnonzero(stretch >= s.edge * stretch[peak])
        low, high = a + int(inside[0]), a + int(inside[-1])
        start = max(0.0, float(times[low]) - step / 2 - s.pad)
        stop = min(duration, float(times[high]) + step / 2 + s.pad)
        if start < stop:
            rows.append((start, stop, k, min(1.0, float(p[low : high + 1, k].mean())), float(times[a + peak])))
    return _columns(rows)


def _columns(rows: list[tuple[float, float, int, float, float]]) -> _Found:
    start, end, label, score, peak = (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    return (
        np.array(start, np.float64),
        np.array(end, np.float64),
        np.array(label, np.int64),
        np.array(score, np.float64),
        np.array(peak, np.float64),
    )


def _joined(found: _Found, gap: float) -> _Found:
    """Neighbours of one class at most `gap` apart become one; its score is their mean, weighted by duration."""
    rows: list[tuple[float, float, int, float, float]] = []
    best = 0.0  # score of the part the peak is in
    for a, b, k, score, peak in sorted(
        zip(*(c.tolist() for c in found), strict=True), key=lambda row: (row[2], row[0])
    ):
        if rows and rows[-1][2] == k and a - rows[-1][1] <= max(gap, 0.0):
            a0, b0, _, score0, peak0 = rows[-1]
            mean = (score0 * (b0 - a0) + score * (b - a)) / (b0 - a0 + b - a)
            rows[-1] = (a0, max(b, b0), k, mean, peak0 if best >= score else peak)
            best = max(best, score)
        else:
            rows.append((a, b, k, score, peak))
            best = score
    return _columns(rows)


def _timed(found: _Found, s: DecodeSettings) -> _Found:
    """Durations within the allowed range; the score bends to the log-normal prior."""
    start, end, label, score, peak = found
    long = end - start > s.longest
    middle = np.clip(peak, start + s.longest / 2, end - s.longest / 2)
    start, end = np.where(long, middle - s.longest / 2, start), np.where(long, middle + s.longest / 2, end)
    z = np.log(np.maximum(end - start, 1e-9) / s.typical) / s.spread
    score = score * np.exp(-s.prior * z**2 / 2)
    good = (end - start >= s.shortest - 1e-9) & (score >= s.keep)
    return start[good], end[good], label[good], score[good], peak[good]


def _competitors(taxonomy: Taxonomy, compete: str) -> NDArray[np.bool_]:
    """(K, K): whether two classes compete for the same stretch of time."""
    count = len(taxonomy)
    if compete == "all":
        return np.ones((count, count), bool)
    own = np.eye(count, dtype=bool)
    if compete == "none":
        return own
    group = np.array([taxonomy.group_of(k) for k in range(count)])
    same: NDArray[np.bool_] = (group[:, None] == group) & (group >= 0)
    return own | same


def _suppressed(found: _Found, competes: NDArray[np.bool_], overlap: float) -> _Found:
    """Non-maximum suppression: the most certain first, competitors that overlap it too much go."""
    start, end, label, score, peak = found
    order = np.lexsort((start, label, -score))
    alive = np.ones(len(order), bool)
    by_start = np.argsort(start, kind="stable")
    sorted_start = start[by_start]
    reach = float((end - start).max()) if len(start) else 0.0
    for i in order:
        if not alive[i]:
            continue
        # only candidates that begin within one longest duration can overlap
        near = by_start[np.searchsorted(sorted_start, start[i] - reach) : np.searchsorted(sorted_start, end[i])]
        shared = np.minimum(end[i], end[near]) - np.maximum(start[i], start[near])
        union = end[i] - start[i] + end[near] - start[near] - shared
        rival = competes[label[i], label[near]] & (shared > overlap * union) & alive[near] & (near != i)
        alive[near[rival]] = False
    return start[alive], end[alive], label[alive], score[alive], peak[alive]


def with_thresholds(settings: DecodeSettings, on: NDArray[np.float64]) -> DecodeSettings:
    """The same settings with one threshold per class, (K,)."""
    return replace(settings, on=tuple(float(x) for x in on))
