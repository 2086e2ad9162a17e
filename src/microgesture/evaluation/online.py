"""Metrics for spotting: who finds which gesture when, in long recordings.

All of them take one `Timeline` per recording, in the same order for truth and prediction, and pool over the
recordings. Only label and time are compared; score several people by `Timeline.of_person`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment, Timeline


@dataclass(frozen=True)
class Spotting:
    """Pooled counts of a spotting result; the shares follow from them.

    Args:
        hits: true segments that were found.
        truth, predicted: number of true and predicted segments.
        minutes: length of all recordings.
    """

    hits: int
    truth: int
    predicted: int
    minutes: float

    @property
    def recall(self) -> float:
        """Found / true; 0 if there is nothing to find."""
        return self.hits / self.truth if self.truth else 0.0

    @property
    def precision(self) -> float:
        """Found / predicted; 0 if nothing was predicted."""
        return self.hits / self.predicted if self.predicted else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision; 0 if both are."""
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0

    @property
    def false_alarms_per_minute(self) -> float:
        """Predictions that are no hit, per minute of recording; 0 for recordings without length."""
        return (self.predicted - self.hits) / self.minutes if self.minutes else 0.0


def f1_at_iou(
    truth: Sequence[Timeline],
    predicted: Sequence[Timeline],
    iou: float = 0.3,
    mode: Literal["strict", "smg2023"] = "strict",
    illustrative: bool = True,
) -> Spotting:
    """Recall, precision and F1 over all recordings; a hit has the right label and an IoU above `iou`.

    Args:
        iou: threshold; the comparison is `>`, as in the SMG start kit.
        mode: `"strict"` pairs one prediction with one true segment, best IoU first. `"smg2023"` does what the
            released SMG code does (mikecheninoulu/SMG, `tester_SMG`): it forgets to remove a prediction it has
            used, so that one may hit several true segments and the figure comes out too high.
        illustrative: count the class of non-micro-gestures like any other, as the SMG code does; False leaves
            it out on both sides.

    Raises:
        UsageError: numbers of recordings or taxonomies differ, or the mode is unknown.
    """
    if mode not in ("strict", "smg2023"):
        raise UsageError(f"mode '{mode}' is unknown; choose 'strict' or 'smg2023'")
    hits = n_truth = n_predicted = 0
    for true, guess in _recordings(truth, predicted):
        skip = None if illustrative else true.taxonomy.illustrative
        wanted = [s for s in true if s.label != skip]
        found = [s for s in guess if s.label != skip]
        n_truth, n_predicted = n_truth + len(wanted), n_predicted + len(found)
        passing = [(a.iou(b), i, j) for i, a, j, b in _same_label(wanted, found) if a.iou(b) > iou]
        if mode == "smg2023":
            hits += len({i for _, i, _ in passing})
        else:
            hits += len(_one_to_one(passing))
    return Spotting(hits, n_truth, n_predicted, sum(t.duration for t in truth) / 60)


def begin_hits(truth: Sequence[Timeline], predicted: Sequence[Timeline], slack: float) -> Spotting:
    """Gestures found by their begin: the right label, beginning inside the true segment or up to `slack` s before it.

    The rule of the SFINGE 3D contest. One prediction finds one gesture, the earlier ones first; what finds none is a
    false positive, and their number is often given as a share of the true gestures.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> truth, found = (Timeline((Segment(a, 4.0, 7),), SMG, 10) for a in (2.0, 1.5))
        >>> begin_hits([truth], [found], 1.0).hits, begin_hits([truth], [found], 0.25).hits
        (1, 0)
    """
    hits = n_truth = n_predicted = 0
    for true, guess in _recordings(truth, predicted):
        n_truth, n_predicted = n_truth + len(true), n_predicted + len(guess)
        free = list(guess)
        for gesture in true:
            for found in free:
                if found.label == gesture.label and gesture.start - slack <= found.start < gesture.end:
                    free.remove(found)
                    hits += 1
                    break
    return Spotting(hits, n_truth, n_predicted, sum(t.duration for t in truth) / 60)


def f1_sweep(
    truth: Sequence[Timeline], predicted: Sequence[Timeline], ious: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5)
) -> dict[float, float]:
    """Strict F1 at several thresholds: how much of the loss is timing."""
    return {iou: f1_at_iou(truth, predicted, iou).f1 for iou in ious}


def average_precision(
    truth: Sequence[Timeline], predicted: Sequence[Timeline], ious: ArrayLike = 0.5, slack: float = 0.0
) -> NDArray[np.float64]:
    """Average precision per threshold and class, as the ActivityNet evaluator defines it.

    Per class, predictions of all recordings in falling order of score take the free true segment of their
    recording with the best IoU `>= threshold`; the area under the precision envelope is the result.

    Args:
        slack: seconds added to the union; PointTAD uses 1e-4.

    Returns:
        (thresholds, K); NaN where a class never occurs in the truth, so average with `np.nanmean`.
    """
    pairs = _recordings(truth, predicted)
    if not pairs:
        raise UsageError("there are no recordings to score")
    thresholds = np.atleast_1d(np.asarray(ious, np.float64))
    table = np.full((len(thresholds), len(truth[0].taxonomy)), np.nan)
    for label in range(table.shape[1]):
        wanted = [[s for s in true if s.label == label] for true, _ in pairs]
        total = sum(map(len, wanted))
        ranked = sorted(
            ((s, r) for r, (_, guess) in enumerate(pairs) for s in guess if s.label == label),
            key=lambda pair: -pair[0].score,
        )
        overlap = [np.array([_iou(s, g, slack) for g in wanted[r]]) for s, r in ranked]
        for row, threshold in enumerate(thresholds if total else ()):
            taken = [np.zeros(len(w), bool) for w in wanted]
            hit = np.zeros(len(ranked))
            for n, (_, r) in enumerate(ranked):
                free = np.where(taken[r], -1.0, overlap[n])
                if len(free) and free.max() >= threshold:
                    taken[r][free.argmax()] = True
                    hit[n] = 1
            table[row, label] = _envelope_area(hit, total)
    return table


@dataclass(frozen=True)
class MeanAP:
    """Mean average precision.

    Args:
        per_threshold: mean over the classes that occur in the truth, for every IoU threshold.
        mean: mean over the thresholds.
        table: (thresholds, K) of `average_precision`, NaN for classes that never occur.
    """

    per_threshold: dict[float, float]
    mean: float
    table: NDArray[np.float64]


def mean_average_precision(
    truth: Sequence[Timeline],
    predicted: Sequence[Timeline],
    flavour: Literal["activitynet", "pointtad"] = "activitynet",
    ious: Sequence[float] | None = None,
) -> MeanAP:
    """mAP as the released evaluators compute it; both use all points under the precision envelope.

    Args:
        flavour: `"activitynet"` (ActivityNet, OpenTAD): thresholds 0.5, 0.55, ... 0.95; annotations of one class
            whose borders differ by at most 1 ms count once. `"pointtad"` (MMA-52, PointTAD): thresholds 0.1, 0.2,
            ... 0.9; 1e-4 s added to the union.
        ious: other thresholds.

    Raises:
        UsageError: the flavour is unknown, or nothing is annotated.

    Example:
        >>> from microgesture.core.taxonomies import MA52
        >>> line = Timeline((Segment(1, 2, 6), Segment(4, 9, 40)), MA52, 10)
        >>> mean_average_precision([line], [line], "pointtad").mean
        1.0
    """
    if flavour == "activitynet":
        thresholds, slack = ious or [round(0.5 + 0.05 * i, 2) for i in range(10)], 0.0
        truth = [_without_repeats(line) for line in truth]
    elif flavour == "pointtad":
        thresholds, slack = ious or [round(0.1 * i, 1) for i in range(1, 10)], 1e-4
    else:
        raise UsageError(f"flavour '{flavour}' is unknown; choose 'activitynet' or 'pointtad'")
    if not any(map(len, truth)):
        raise UsageError("no segment is annotated; average precision is not defined")
    table = average_precision(truth, predicted, thresholds, slack)
    means = np.nanmean(table, 1)
    per_threshold = {float(iou): float(mean) for iou, mean in zip(thresholds, means, strict=True)}
    return MeanAP(per_threshold, float(means.mean()), table)


@dataclass(frozen=True)
class Delays:
    """How late the gestures that were found were reported.

    Args:
        seconds: per gesture that was found: time of decision - true start; negative if the decision came earlier.
        truth: number of true gestures.
    """

    seconds: tuple[float, ...]
    truth: int

    @property
    def mean(self) -> float | None:
        """Mean delay; None if nothing was found."""
        return float(np.mean(self.seconds)) if self.seconds else None

    @property
    def median(self) -> float | None:
        """Median delay; None if nothing was found."""
        return self.quantile(0.5)

    def quantile(self, share: float) -> float | None:
        """Delay that this share of the gestures found does not exceed; None if nothing was found."""
        return float(np.quantile(self.seconds, share)) if self.seconds else None


def detection_delay(
    truth: Sequence[Timeline],
    predicted: Sequence[Timeline],
    decided: Sequence[ArrayLike] | None = None,
    iou: float = 0.0,
) -> Delays:
    """Time from the true start of a gesture to the decision that first reports it.

    A prediction reports a gesture if it has its label and an IoU above `iou`; of those the earliest decision counts.
    A prediction reports one gesture only, the earliest still unreported one.

    Args:
        decided: per recording (S,) seconds at which each segment of the predicted timeline was given out, in the order
            of the timeline (sorted by start). None takes the start of the segment: the least delay an offline result
            could have had, which flatters systems that look ahead.

    Raises:
        UsageError: as `f1_at_iou`, or the times of decision do not fit.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> truth, found = (Timeline((Segment(a, 4.0, 7),), SMG, 10) for a in (2.0, 2.5))
        >>> detection_delay([truth], [found]).median, detection_delay([truth], [found], [[4.25]]).median
        (0.5, 2.25)
    """
    pairs = _recordings(truth, predicted)
    times = [np.array([s.start for s in guess]) for _, guess in pairs] if decided is None else _decided(decided, pairs)
    delays: list[float] = []
    for (true, guess), at in zip(pairs, times, strict=True):
        segments = list(true), list(guess)
        passing = [(float(at[j]), a.start, i, j) for i, a, j, b in _same_label(*segments) if a.iou(b) > iou]
        reported: set[int] = set()
        used: set[int] = set()
        for time, start, i, j in sorted(passing):
            if i not in reported and j not in used:
                reported.add(i)
                used.add(j)
                delays.append(time - start)
    return Delays(tuple(delays), sum(map(len, truth)))


@dataclass(frozen=True)
class FalseAlarms:
    """Predictions where nothing happens.

    Args:
        alarms: predictions that touch no true gesture.
        minutes: time without a true gesture.
    """

    alarms: int
    minutes: float

    @property
    def per_minute(self) -> float | None:
        """Alarms per minute without a gesture; None if gestures fill all of the time."""
        return self.alarms / self.minutes if self.minutes > 0 else None


def false_alarms(
    truth: Sequence[Timeline], predicted: Sequence[Timeline], margin: float = 0.0, illustrative: bool = False
) -> FalseAlarms:
    """False alarms on stretches without a micro-gesture, of whatever label.

    A prediction with a wrong label or bad borders is no false alarm here; `Spotting.false_alarms_per_minute` counts it.

    Args:
        margin: seconds around every true gesture that count neither as time nor as alarm.
        illustrative: True counts non-micro-gestures as gestures; False counts them as stretches without one, and
            leaves out predictions of them.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> truth = Timeline((Segment(0, 30, 7),), SMG, 90)
        >>> found = Timeline((Segment(25, 35, 3), Segment(60, 62, 7)), SMG, 90)
        >>> false_alarms([truth], [found]).per_minute
        1.0
    """
    alarms, seconds = 0, 0.0
    for true, guess in _recordings(truth, predicted):
        skip = None if illustrative else true.taxonomy.illustrative
        length = max(true.duration, guess.duration)
        busy = _union([(s.start - margin, s.end + margin) for s in true if s.label != skip], length)
        seconds += length - sum(end - start for start, end in busy)
        alarms += sum(not any(s.start < end and start < s.end for start, end in busy) for s in guess if s.label != skip)
    return FalseAlarms(alarms, seconds / 60)


def jaccard(truth: Sequence[Timeline], predicted: Sequence[Timeline], fps: float, released: bool = False) -> float:
    """ChaLearn's Jaccard index: per recording the mean over classes of shared / united frames, then the mean.

    Args:
        fps: frames per second on which the segments are laid out; a frame belongs to a segment by its time.
        released: leave out classes that occur only in the prediction, as the released THDHMMBiLSTM code does;
            by default they count 0.

    Returns:
        Mean over the recordings that hold a class at all; 0 if none does.
    """
    scores = []
    for true, guess in _recordings(truth, predicted):
        frames = np.arange(int(np.ceil(max(true.duration, guess.duration) * fps - 1e-6))) / fps
        active = [{s.label for s in true}, {s.label for s in guess}]
        each = []
        for label in sorted(active[0] if released else active[0] | active[1]):
            a, b = (_active(line, label, frames) for line in (true, guess))
            each.append(float((a & b).sum() / max((a | b).sum(), 1)))
        if each:
            scores.append(float(np.mean(each)))
    return float(np.mean(scores)) if scores else 0.0


def _recordings(truth: Sequence[Timeline], predicted: Sequence[Timeline]) -> list[tuple[Timeline, Timeline]]:
    if len(truth) != len(predicted):
        raise UsageError(f"{len(truth)} true timelines but {len(predicted)} predicted ones")
    digests = {line.taxonomy.digest for line in (*truth, *predicted)}
    if len(digests) > 1:
        keys = sorted({line.taxonomy.key for line in (*truth, *predicted)})
        raise UsageError(f"timelines of different label spaces cannot be compared: {', '.join(keys)}")
    return list(zip(truth, predicted, strict=True))


def _same_label(truth: list[Segment], predicted: list[Segment]) -> list[tuple[int, Segment, int, Segment]]:
    return [(i, a, j, b) for i, a in enumerate(truth) for j, b in enumerate(predicted) if a.label == b.label]


def _one_to_one(passing: list[tuple[float, int, int]]) -> list[tuple[int, int]]:
    taken_truth: set[int] = set()
    taken_guess: set[int] = set()
    matches = []
    for _, i, j in sorted(passing, key=lambda p: (-p[0], p[1], p[2])):
        if i not in taken_truth and j not in taken_guess:
            taken_truth.add(i)
            taken_guess.add(j)
            matches.append((i, j))
    return matches


def _without_repeats(line: Timeline, tolerance: float = 1e-3) -> Timeline:
    kept: list[Segment] = []
    for s in line:
        near = (k for k in kept if k.label == s.label and abs(k.start - s.start) <= tolerance)
        if not any(abs(k.end - s.end) <= tolerance for k in near):
            kept.append(s)
    return replace(line, segments=tuple(kept))


def _decided(decided: Sequence[ArrayLike], pairs: list[tuple[Timeline, Timeline]]) -> list[NDArray[np.float64]]:
    times = [np.asarray(each, np.float64) for each in decided]
    wanted = [(len(guess),) for _, guess in pairs]
    if [each.shape for each in times] != wanted:
        raise UsageError(f"times of decision have shapes {[each.shape for each in times]}, expected {wanted}")
    if not all(np.isfinite(each).all() for each in times):
        raise UsageError("a time of decision is not finite")
    return times


def _union(stretches: list[tuple[float, float]], length: float) -> list[tuple[float, float]]:
    """Disjoint stretches that cover the same time, within the recording."""
    merged: list[tuple[float, float]] = []
    inside = sorted((max(0.0, a), min(length, b)) for a, b in stretches if a < length)
    for start, end in inside:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _iou(a: Segment, b: Segment, slack: float) -> float:
    shared = max(0.0, min(a.end, b.end) - max(a.start, b.start))
    return shared / (a.duration + b.duration - shared + slack)


def _envelope_area(hit: NDArray[np.float64], total: int) -> float:
    found = np.cumsum(hit)
    precision = np.concatenate(([0.0], found / np.arange(1, len(hit) + 1), [0.0]))
    recall = np.concatenate(([0.0], found / total, [1.0]))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


def _active(line: Timeline, label: int, frames: NDArray[np.float64]) -> NDArray[np.bool_]:
    on = np.zeros(len(frames), bool)
    for s in line:
        if s.label == label:
            on |= (frames >= s.start - 1e-9) & (frames < s.end - 1e-9)
    return on
