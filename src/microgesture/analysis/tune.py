"""Finding the decoder's settings on recordings whose truth is known. Tune on people who are in no test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.decode import DecodeSettings, decode, with_thresholds
from microgesture.core.segment import Timeline
from microgesture.evaluation.online import f1_at_iou

GRID: Mapping[str, Sequence[Any]] = {
    "on": (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9),
    "edge": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "off": (0.3, 0.45, 0.6, 0.75, 0.9),
    "smooth": (0.0, 0.5, 0.75, 1.0, 1.5, 2.0),
    "gap": (0.0, 0.25, 0.5, 1.0, 1.5),
    "pad": (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75),
    "shortest": (0.25, 0.5, 0.75, 1.0),
    "longest": (6.0, 10.0, 20.0),
    "compete": ("none", "group", "all"),
    "overlap": (0.1, 0.2, 0.3, 0.4, 0.6, 0.8),
    "prior": (0.0, 0.1, 0.25, 0.5),
    "keep": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
}
"""Values tried for each setting, in the order in which they are tuned."""


@dataclass(frozen=True, eq=False)
class Known:
    """A recording of one person with truth: window centres (N,), posteriors (N, K), true timeline."""

    times: NDArray[np.float64]
    posteriors: NDArray[np.float32]
    truth: Timeline


@dataclass(frozen=True)
class Tuned:
    """The best settings found and their F1; `start` is the F1 of the settings the search began with."""

    settings: DecodeSettings
    f1: float
    start: float


def score(recordings: Sequence[Known], settings: DecodeSettings, iou: float = 0.3) -> float:
    """Strict F1 over all recordings."""
    found = [
        Timeline(
            decode(r.times, r.posteriors, r.truth.taxonomy, r.truth.duration, settings),
            r.truth.taxonomy,
            r.truth.duration,
        )
        for r in recordings
    ]
    return f1_at_iou([r.truth for r in recordings], found, iou).f1


def tune(
    recordings: Sequence[Known],
    start: DecodeSettings | None = None,
    *,
    grid: Mapping[str, Sequence[Any]] = GRID,
    rounds: int = 2,
    iou: float = 0.3,
    classes: bool = False,
    progress: Callable[[str, float], None] | None = None,
) -> Tuned:
    """Search one setting after the other, `rounds` times; the result is never worse than the start.

    Args:
        grid: values to try per setting.
        classes: afterwards give each class its own threshold. Needs many recordings: a class with a handful of
            events gets a threshold that fits these events.
        progress: called with the setting just tuned and the F1 reached.

    Raises:
        ValueError: there is no recording to tune on.
    """
    if not recordings:
        raise ValueError("there is no recording to tune on")
    best = start or DecodeSettings()
    first = f1 = score(recordings, best, iou)
    for _ in range(rounds):
        before = f1
        for name, values in grid.items():
            for value in values:
                if value == getattr(best, name):
                    continue
                f1, best = _better(recordings, replace(best, **{name: value}), best, f1, iou)
            if progress:
                progress(name, f1)
        if f1 == before:
            break
    if classes:
        count = len(recordings[0].truth.taxonomy)
        on = np.broadcast_to(np.asarray(best.on, np.float64), (count,)).copy()
        for label in range(count):
            for value in grid["on"]:
                trial = on.copy()
                trial[label] = value
                f1, best = _better(recordings, with_thresholds(best, trial), best, f1, iou)
            on = np.broadcast_to(np.asarray(best.on, np.float64), (count,)).copy()
            if progress:
                progress(f"on[{label}]", f1)
    return Tuned(best, f1, first)


def _better(
    recordings: Sequence[Known], trial: DecodeSettings, best: DecodeSettings, f1: float, iou: float
) -> tuple[float, DecodeSettings]:
    reached = score(recordings, trial, iou)
    return (reached, trial) if reached > f1 else (f1, best)
