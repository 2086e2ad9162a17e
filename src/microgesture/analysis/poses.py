"""Poses of a recording, read piece by piece so that memory does not grow with its length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from microgesture.core.track import PoseTrack

PIECE = 20.0
"""Seconds that are held in memory at a time."""


class PoseInfo(Protocol):
    """What is known of the recording: rate, (width, height) in pixels, seconds."""

    @property
    def fps(self) -> float: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def duration(self) -> float: ...


class Poses(Protocol):
    """A recording's poses; `pose.store.PoseStore` is one, `TrackPoses` another.

    `fingerprint` and `settings` tell what the poses were made from and how; `notes` say what was wrong with it.
    """

    @property
    def info(self) -> PoseInfo: ...
    @property
    def persons(self) -> int: ...
    @property
    def fingerprint(self) -> dict[str, Any]: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    def track(self, person: int, start: float, end: float) -> PoseTrack:
        """Frames with `start <= time < end` of one person."""
        ...


@dataclass(frozen=True)
class TrackInfo:
    """See `PoseInfo`."""

    fps: float
    size: tuple[int, int]
    duration: float


class TrackPoses:
    """Poses that are in memory already, e.g. simulated ones.

    Args:
        tracks: one per person of the same recording, times from 0, none empty.
    """

    def __init__(self, tracks: Sequence[PoseTrack]) -> None:
        if not tracks or not all(len(t) for t in tracks):
            raise ValueError("a recording needs at least one person and one frame")
        self._tracks = tuple(tracks)
        self.info = TrackInfo(tracks[0].fps, tracks[0].size, max(float(t.times[0]) + t.duration for t in tracks))
        self.persons = len(tracks)
        digest = hashlib.sha256()
        for track in tracks:
            for array in (track.xy, track.score, track.times):
                digest.update(array.tobytes())
        self.fingerprint: dict[str, Any] = {"sha256": digest.hexdigest()}
        self.settings: dict[str, Any] = {"from": tracks[0].skeleton.name, "persons": len(tracks)}
        self.notes: tuple[str, ...] = ()

    def track(self, person: int, start: float, end: float) -> PoseTrack:
        """See `Poses.track`."""
        track = self._tracks[person]
        a, b = np.searchsorted(track.times, [start, end])
        return track[int(a) : int(b)]


def pieces(poses: Poses, person: int, seconds: float = PIECE) -> Iterator[PoseTrack]:
    """The recording of one person from start to end, `seconds` at a time; pieces without a frame are left out."""
    for number in range(piece_count(poses.info.duration, seconds)):
        track = poses.track(person, number * seconds, (number + 1) * seconds)
        if len(track):
            yield track


def piece_count(duration: float, seconds: float = PIECE) -> int:
    """Number of pieces; the last one reaches beyond the end by up to its length."""
    return max(1, int(np.ceil(duration / seconds - 1e-9)))
