"""`Detections`: what a spotter says about one window or recording, before a threshold makes segments of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Taxonomy


@dataclass(frozen=True, eq=False)
class Detections:
    """N detections. Times in the unit of whoever made them: shares of a window, or seconds of a recording.

    Args:
        start, end: float64 (N,).
        label: int64 (N,).
        score: float64 (N,), in [0, 1].

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    label: NDArray[np.int64]
    score: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, kind in (("start", np.float64), ("end", np.float64), ("label", np.int64), ("score", np.float64)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        shapes = {part.shape for part in (self.start, self.end, self.label, self.score)}
        if len(shapes) != 1 or self.start.ndim != 1:
            raise ValueError(f"parts of detections have shapes {sorted(shapes)}, expected one (N,)")
        if not all(np.isfinite(part).all() for part in (self.start, self.end, self.score)):
            raise ValueError("a detection is not finite")

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Detections:
        """Some of them, in the order asked for."""
        return Detections(self.start[which], self.end[which], self.label[which], self.score[which])

    @classmethod
    def none(cls) -> Detections:
        """No detection."""
        return cls(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), np.zeros(0))

    @classmethod
    def joined(cls, parts: Iterable[Detections]) -> Detections:
        """All of several, one behind the other."""
        found = list(parts)
        if not found:
            return cls.none()
        return cls(*(np.concatenate([getattr(p, name) for p in found]) for name in ("start", "end", "label", "score")))

    def placed(self, start: float, length: float) -> Detections:
        """Shares of a window as times: the window begins at `start` and is `length` long.

        Example:
            >>> Detections([0.5], [1.0], [3], [0.9]).placed(10.0, 4.0).start.tolist()
            [12.0]
        """
        return Detections(start + length * self.start, start + length * self.end, self.label, self.score)

    def timeline(self, taxonomy: Taxonomy, duration: float, least: float = 0.0, person: int = 0) -> Timeline:
        """Segments of those whose score is `least` or more, in seconds, clipped to the recording; empty ones go."""
        start, end = np.clip(self.start, 0, duration), np.clip(self.end, 0, duration)
        kept = np.flatnonzero((self.score >= least) & (end > start))
        score = np.clip(self.score, 0, 1)
        rows = (Segment(float(start[i]), float(end[i]), int(self.label[i]), float(score[i]), person) for i in kept)
        return Timeline(tuple(rows), taxonomy, duration)
