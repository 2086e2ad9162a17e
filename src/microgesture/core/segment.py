"""`Segment` and `Timeline`: what happened when.

Time rule, fixed here once: seconds as float, half-open `[start, end)`; a frame belongs to a segment if its
time stamp does. Files round to milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite

from microgesture.core.taxonomy import Taxonomy


@dataclass(frozen=True, order=True)
class Segment:
    """A labelled stretch of time.

    Args:
        start, end: seconds, half-open, `0 <= start < end`.
        label: label id in the timeline's taxonomy.
        score: probability in [0, 1]; 1 for human annotation.
        person: number of the person in the recording.

    Example:
        >>> a, b = Segment(1.0, 3.0, 6), Segment(2.0, 4.0, 6)
        >>> a & b
        (2.0, 3.0)
        >>> round(a.iou(b), 3)
        0.333
        >>> 2.5 in a, 3.0 in a
        (True, False)
    """

    start: float
    end: float
    label: int
    score: float = 1.0
    person: int = 0

    def __post_init__(self) -> None:
        if not (isfinite(self.start) and isfinite(self.end) and 0 <= self.start < self.end):
            raise ValueError(f"segment [{self.start}, {self.end}) is empty, negative or not finite")
        if not 0 <= self.score <= 1:
            raise ValueError(f"score {self.score} is outside [0, 1]")

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start

    def __contains__(self, time: float) -> bool:
        return self.start <= time < self.end

    def __and__(self, other: Segment) -> tuple[float, float] | None:
        """The common stretch `(start, end)`, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return (start, end) if start < end else None

    def iou(self, other: Segment) -> float:
        """Intersection over union in time, 0 if disjoint; labels are not compared."""
        common = self & other
        if common is None:
            return 0.0
        shared = common[1] - common[0]
        return shared / (self.duration + other.duration - shared)

    def shifted(self, seconds: float) -> Segment:
        """The same segment `seconds` later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


@dataclass(frozen=True)
class Timeline:
    """Sorted segments of one recording, with their label space.

    Args:
        segments: any order; kept sorted by start, end, label.
        taxonomy: meaning of the labels.
        duration: length of the recording in seconds.

    Raises:
        ValueError: a label id is outside the taxonomy.
    """

    segments: tuple[Segment, ...]
    taxonomy: Taxonomy
    duration: float

    def __post_init__(self) -> None:
        if not (isfinite(self.duration) and self.duration >= 0):
            raise ValueError(f"duration {self.duration} is negative or not finite")
        for s in self.segments:
            if not 0 <= s.label < len(self.taxonomy):
                raise ValueError(
                    f"label {s.label} is outside taxonomy '{self.taxonomy.key}' (0..{len(self.taxonomy) - 1})"
                )
        object.__setattr__(self, "segments", tuple(sorted(self.segments)))

    def __len__(self) -> int:
        return len(self.segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def at(self, time: float) -> tuple[Segment, ...]:
        """Segments that contain a time."""
        return tuple(s for s in self.segments if time in s)

    def of_person(self, person: int) -> Timeline:
        """Only the segments of one person."""
        return replace(self, segments=tuple(s for s in self.segments if s.person == person))

    @property
    def persons(self) -> tuple[int, ...]:
        """Numbers of the persons that occur."""
        return tuple(sorted({s.person for s in self.segments}))
