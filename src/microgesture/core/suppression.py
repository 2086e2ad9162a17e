"""Double detections: of several that say the same, one stays. Pure numpy.

Hard and soft suppression and score voting as temporal detectors use them (DyFADet, ActionFormer, OpenTAD). The most
certain candidate wins; what overlaps it is dropped or made less certain; then the next one wins. Lengths count 1e-6
more than they are, so that a detection without length overlaps itself. Among equal scores the earlier begin wins.

Soft suppression: N. Bodla, B. Singh, R. Chellappa, L. Davis: Soft-NMS, ICCV 2017, https://arxiv.org/abs/1704.04503
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from microgesture.core.detections import Detections

Floats = NDArray[np.float64]
Weight = Callable[[Floats, float], Floats]
"""Factors for the scores of others, from their IoU with the winner (N,) and its length; 0 drops them."""

EPSILON = 1e-6
METHODS = ("gaussian", "linear", "hard", "bmn")


def nms(
    found: Detections, iou: float = 0.5, per_class: bool = True, *, least: float = 0.0, most: int | None = None
) -> Detections:
    """Drop what overlaps a more certain detection, most certain first.

    Args:
        iou: IoU from which on two are double.
        per_class: only detections of one class can be double.
        least: detections of this score or less are dropped before.
        most: how many to keep, of each class and in all.

    Example:
        >>> found = Detections([0.0, 0.2, 5.0], [2.0, 2.0, 6.0], [3, 3, 3], [0.6, 0.9, 0.5])
        >>> nms(found, 0.5).start.tolist()
        [0.2, 5.0]
    """

    def weight(overlap: Floats, _: float) -> Floats:
        return (overlap < iou).astype(float)

    return _suppressed(found[found.score > least], weight, 0.0, per_class, most)


def soft_nms(
    found: Detections,
    sigma: float = 0.5,
    method: str = "gaussian",
    iou: float = 0.1,
    least: float = 0.001,
    per_class: bool = True,
    *,
    most: int | None = None,
    slope: float = 0.0,
) -> Detections:
    """Lower the score of what overlaps a more certain detection, most certain first; what falls below `least` goes.

    The most certain detection (of each class, if `per_class`) stays whatever its score.

    Args:
        sigma: width of the Gaussian exp(-IoU^2 / sigma).
        method: "gaussian" at every IoU; "linear": 1 - IoU, and "hard": 0, both from `iou` on; "bmn": Gaussian from
            `iou` + `slope` * length of the winner on, so that long ones may overlap more.
        most: how many to keep, of each class and in all.

    Raises:
        ValueError: there is no such method.

    Example:
        >>> soft_nms(Detections([0.0, 0.0], [2.0, 2.0], [3, 3], [0.9, 0.8])).score.round(3).tolist()
        [0.9, 0.108]
    """
    if method not in METHODS:
        raise ValueError(f"method is '{method}', expected one of {', '.join(METHODS)}")

    def weight(overlap: Floats, length: float) -> Floats:
        if method == "gaussian":
            return np.asarray(np.exp(-(overlap**2) / sigma))
        far = overlap < (iou + slope * length if method == "bmn" else iou)
        near = {"linear": 1 - overlap, "hard": 0.0 * overlap, "bmn": np.exp(-(overlap**2) / sigma)}[method]
        return np.where(far, 1.0, near)

    return _suppressed(found, weight, least, per_class, most)


def voted(kept: Detections, found: Detections, iou: float = 0.7, per_class: bool = True) -> Detections:
    """Detections moved to the mean of all that overlap them by `iou` or more, weighted by score.

    Args:
        kept: what is left after suppression.
        found: everything there was before it, with the scores it had.
        per_class: only detections of one class vote.

    Example:
        >>> found = Detections([0.0, 0.2], [2.0, 2.0], [3, 3], [0.4, 0.6])
        >>> voted(nms(found), found).start.round(3).tolist()
        [0.12]
    """
    start, end = kept.start.copy(), kept.end.copy()
    for mine, theirs in zip(*(_groups(part.label, per_class, kept.label) for part in (kept, found)), strict=True):
        order = theirs[np.argsort(found.start[theirs], kind="stable")]
        begins, ends, scores = found.start[order], found.end[order], found.score[order]
        longest = _longest(begins, ends)
        for i in mine:
            near = _near(begins, kept.start[i], kept.end[i], longest)
            overlap = _overlap(begins[near], ends[near], kept.start[i], kept.end[i])
            weight = scores[near] * (overlap >= iou)
            if weight.sum() > 0:
                start[i], end[i] = (weight @ side[near] / weight.sum() for side in (begins, ends))
    return Detections(start, end, kept.label, kept.score)


def _suppressed(found: Detections, weight: Weight, least: float, per_class: bool, most: int | None) -> Detections:
    """The winners, most certain first, with the scores they won with."""
    groups = [found[i] for i in _groups(found.label, per_class, found.label)]
    kept = Detections.joined(_winners(group, weight, least, most) for group in groups)
    return kept[np.argsort(-kept.score, kind="stable")[:most]]


def _groups(label: NDArray[np.int64], per_class: bool, classes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Places of detections that are compared with each other, a group per class."""
    if not per_class:
        return [np.arange(len(label))]
    return [np.flatnonzero(label == k) for k in np.unique(classes)]


def _winners(found: Detections, weight: Weight, least: float, most: int | None) -> Detections:
    found = found[np.argsort(found.start, kind="stable")]
    start, end, score = found.start, found.end, found.score.copy()
    longest = _longest(start, end)
    best = int(score.argmax()) if len(found) else 0
    alive = score >= least
    alive[best : best + 1] = True
    # in the running: the scores; out of it: -1. One array, so that the next winner is one argmax
    running = np.where(alive, score, -1.0)
    winners: list[int] = []
    while len(winners) < (len(found) if most is None else most) and running[best] >= 0:
        winners.append(best)
        score[best], running[best] = running[best], -1.0
        near = _near(start, start[best], end[best], longest)
        factor = weight(_overlap(start[near], end[near], start[best], end[best]), end[best] - start[best])
        lowered = running[near] * factor
        running[near] = np.where((lowered < least) | (factor == 0), -1.0, lowered)
        best = int(running.argmax())
    chosen = np.array(winners, np.int64)
    return Detections(start[chosen], end[chosen], found.label[chosen], score[chosen])


def _longest(start: Floats, end: Floats) -> float:
    return float((end - start).max(initial=0.0))


def _near(starts: Floats, start: float, end: float, longest: float) -> slice:
    """Which of detections sorted by begin can overlap one: by far the fewest in a long recording."""
    return slice(int(starts.searchsorted(start - longest)), int(starts.searchsorted(end, "right")))


def _overlap(start: Floats, end: Floats, begin: float, finish: float) -> Floats:
    """IoU of many with one."""
    common = np.maximum(np.minimum(end, finish) - np.maximum(start, begin), 0)
    return np.asarray(common / (end - start + finish - begin + 2 * EPSILON - common))
