"""Metrics for spotting: who finds which gesture when, in long recordings.

All of them take one `Timeline` per recording, in the same order for truth and prediction, and pool over the
recordings. Only label and time are compared; score several people by `Timeline.of_person`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
