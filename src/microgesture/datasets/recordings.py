"""`LabelledRecording`: one person for minutes, with what they did when. `RecordingDataset`: data that have such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from microgesture.core.segment import Timeline
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack


@dataclass(frozen=True, eq=False)
class LabelledRecording:
    """A long recording of one person.

    Args:
        name: the data set's own.
        track: the poses; its first frame lies at second 0.
        timeline: the gestures.
        subject: who moves; -1 = unknown.
        film: the pictures, from the same second 0 on; None where there are none or nobody asked for them.
    """

    name: str
    track: PoseTrack
    timeline: Timeline
    subject: int = -1
    film: Path | None = None

    def at_rate(self, fps: float) -> LabelledRecording:
        """The same recording at another rate."""
        return self if abs(self.track.fps - fps) < 1e-6 else replace(self, track=self.track.resampled(fps))


@runtime_checkable
class RecordingDataset(Protocol):
    """A data set of long recordings, of one person each."""

    @property
    def key(self) -> str: ...
    @property
    def skeleton(self) -> Skeleton: ...
    @property
    def taxonomy(self) -> Taxonomy: ...
    @property
    def coordinates(self) -> int: ...
    @property
    def persons(self) -> int: ...
    @property
    def fps(self) -> float: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    def recordings(self, split: str) -> Sequence[LabelledRecording]: ...
