"""`PoseStore`: the poses of a recording as a folder of short chunks, so that its length costs disk and not memory.

    index.json          format version, source fingerprint, settings, recording facts, one line per chunk
    poses-00000.npz     xy float32 (M, T, V, 2) pixels, score float32 (M, T, V), times float64 (T,) seconds
    poses-00001.npz     ...

A chunk is written durably before the index names it, with its SHA-256. Killed at any moment, the folder holds
the finished chunks and goes on from there. Layout of the joints: `canonical`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import make_folder, sha256, write_text
from microgesture.core.errors import FormatError, NoInput
from microgesture.core.track import Array, PoseTrack
from microgesture.formats.safe_npz import read_arrays, write_arrays
from microgesture.pose.assemble import CANONICAL

VERSION = 1
CHUNK_SECONDS = 20.0
_INDEX = "index.json"


@dataclass(frozen=True)
class Chunk:
    """One file of a store.

    Args:
        file: its name in the folder.
        sha256: of the file.
        frames: number of frames.
        start, end: times of the first and the last frame, seconds.
        seen: per person, frames in which the person was found.
    """

    file: str
    sha256: str
    frames: int
    start: float
    end: float
    seen: tuple[int, ...]


@dataclass(frozen=True)
class Recording:
    """What is known of the recording.

    Args:
        source: name of the file the poses come from.
        fps: nominal frames per second.
        size: (width, height) in pixels, (0, 0) if unknown.
        duration: seconds from the container's zero to the end of the last frame; as announced until complete.
    """

    source: str
    fps: float
    size: tuple[int, int]
    duration: float


@dataclass
class PoseStore:
    """Poses of a recording on disk; `open_store` reads one, `estimate` makes one.

    Args:
        folder: where it is.
        info: the recording.
        persons: number M of slots; a slot may be empty throughout.
        fingerprint, settings: what the poses were made from and how; compared before they are used again.
        chunks: in the order of time.
        complete: whether the whole recording is in.
        notes: sentences about what was wrong with the source.
    """

    folder: Path
    info: Recording
    persons: int
    fingerprint: dict[str, Any]
    settings: dict[str, Any]
    chunks: list[Chunk] = field(default_factory=list)
    complete: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._loaded: dict[int, tuple[Array, Array, NDArray[np.float64]]] = {}

    @property
    def frames(self) -> int:
        """Frames of the recording that are in."""
        return sum(c.frames for c in self.chunks)

    @property
    def seen(self) -> tuple[float, ...]:
        """Per person, share of the frames in which the person was found."""
        return tuple(sum(c.seen[m] for c in self.chunks) / max(1, self.frames) for m in range(self.persons))

    @property
    def seen_share(self) -> float:
        """Share of the frames in which the person seen most was found; 0 = nobody was ever found."""
        return max(self.seen)

    def track(self, person: int = 0, start: float = 0.0, end: float = float("inf")) -> PoseTrack:
        """Frames of one person with `start <= time < end` seconds; loads only the chunks they lie in.

        Raises:
            FormatError: a chunk is damaged; names the file.
            IndexError: no such person.
        """
        if not 0 <= person < self.persons:
            raise IndexError(f"no person {person}: {self.folder} holds {self.persons}, counted from 0")
        xy, score, times = [np.zeros((0, len(CANONICAL), 2), np.float32)], [], [np.zeros(0)]
        score.append(np.zeros(xy[0].shape[:2], np.float32))
        for number, chunk in enumerate(self.chunks):
            if chunk.start < end and chunk.end >= start:
                part_xy, part_score, part_times = self.load(number)
                a, b = np.searchsorted(part_times, [start, end])
                xy.append(part_xy[person, a:b])
                score.append(part_score[person, a:b])
                times.append(part_times[a:b])
        return PoseTrack(
            np.concatenate(xy), np.concatenate(score), self.info.fps, self.info.size, CANONICAL,
            np.concatenate(times), person,
        )  # fmt: skip

    def load(self, number: int) -> tuple[Array, Array, NDArray[np.float64]]:
        """xy (M, T, V, 2), score (M, T, V), times (T,) of one chunk, checked against the index.

        Raises:
            FormatError: the file is missing or not what was written.
        """
        if number not in self._loaded:
            if len(self._loaded) > 1:
                self._loaded.pop(next(iter(self._loaded)))
            self._loaded[number] = self._read(self.chunks[number])
        return self._loaded[number]

    def _read(self, chunk: Chunk) -> tuple[Array, Array, NDArray[np.float64]]:
        path = self.folder / chunk.file
        remedy = f"delete the folder {self.folder} and run the command again"
        if not path.is_file():
            raise FormatError(path, "the file is missing", remedy=remedy)
        if sha256(path) != chunk.sha256:
            raise FormatError(path, "the file is damaged: its SHA-256 is not the recorded one", remedy=remedy)
        shape = (self.persons, chunk.frames, len(CANONICAL))
        arrays = read_arrays(path)
        xy, score, times = (arrays.get(name, np.zeros(0)) for name in ("xy", "score", "times"))
        if xy.shape != (*shape, 2) or score.shape != shape or times.shape != shape[1:2]:
            problem = f"is not a chunk of poses (shapes {xy.shape}, {score.shape}, {times.shape})"
            raise FormatError(path, problem, remedy=remedy)
        return xy, score, times

    def verify(self) -> None:
        """Check every chunk against its checksum.

        Raises:
            FormatError: names the first damaged one.
        """
        for chunk in self.chunks:
            self._read(chunk)

    def append(self, times: NDArray[np.float64], xy: Array, score: Array) -> None:
        """Write the next chunk durably: times (T,), xy (M, T, V, 2), score (M, T, V)."""
        name = f"poses-{len(self.chunks):05d}.npz"
        write_arrays(self.folder / name, {"xy": xy, "score": score, "times": times})
        seen = tuple(int(n) for n in (score > 0).any(-1).sum(-1))
        digest = sha256(self.folder / name)
        self.chunks.append(Chunk(name, digest, len(times), float(times[0]), float(times[-1]), seen))
        self.save()

    def finish(self, notes: Sequence[str] = ()) -> None:
        """Mark the store as complete."""
        end = self.chunks[-1].end + 1 / self.info.fps if self.chunks else 0.0
        self.info = Recording(self.info.source, self.info.fps, self.info.size, end)
        self.notes, self.complete = tuple(notes), True
        self.save()

    def save(self) -> None:
        """Write the index durably."""
        content = {
            "format": "microgesture poses",
            "version": VERSION,
            "layout": CANONICAL.name,
            "recording": asdict(self.info),
            "persons": self.persons,
            "fingerprint": self.fingerprint,
            "settings": self.settings,
            "complete": self.complete,
            "notes": list(self.notes),
            "chunks": [asdict(c) for c in self.chunks],
        }
        write_text(self.folder / _INDEX, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def create_store(
    folder: str | PathLike[str], info: Recording, persons: int, fingerprint: dict[str, Any], settings: dict[str, Any]
) -> PoseStore:
    """An empty store; what an older one of that folder held is given up.

    Raises:
        CannotCreate, NotPermitted: see `core.durable.make_folder`.
    """
    path = make_folder(folder)
    store = PoseStore(path, info, persons, fingerprint, settings)
    store.save()  # from here on the old chunks belong to no store
    for old in path.glob("poses-*.npz"):
        old.unlink()
    return store


def open_store(folder: str | PathLike[str]) -> PoseStore:
    """The store in a folder, complete or not.

    Raises:
        NoInput: the folder holds no store.
        FormatError: its index is not one of this version.
    """
    index = Path(folder) / _INDEX
    remedy = f"delete the folder {folder} and run the command again"
    if not index.is_file():
        raise NoInput(f"{folder}: holds no poses ({_INDEX} is missing)")
    try:
        content = json.loads(index.read_bytes())
        if content["format"] != "microgesture poses" or content["layout"] != CANONICAL.name:
            raise ValueError("it was not written by this package")
        if content["version"] != VERSION:
            raise ValueError(f"it has version {content['version']}, this is version {VERSION}")
        recording = dict(content["recording"])
        recording["size"] = (int(recording["size"][0]), int(recording["size"][1]))
        persons = int(content["persons"])
        chunks = [Chunk(**{**c, "seen": tuple(c["seen"])}) for c in content["chunks"]]
        if not 1 <= persons <= 64 or any(len(c.seen) != persons or c.frames < 1 for c in chunks):
            raise ValueError("its numbers contradict each other")
        if any(Path(c.file).name != c.file for c in chunks):
            raise ValueError("it names files outside the folder")
        return PoseStore(
            Path(folder), Recording(**recording), persons, dict(content["fingerprint"]), dict(content["settings"]),
            chunks, bool(content["complete"]), tuple(str(n) for n in content["notes"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise FormatError(index, f"is not a readable index of poses ({error})", remedy=remedy) from error


def fingerprint(path: str | PathLike[str]) -> dict[str, Any]:
    """What tells whether a file is still the same: size, time of change, SHA-256 of its first and last MiB.

    Of a folder: number, time of the last change, SHA-256 of the names and sizes of its files.
    """
    file = Path(path)
    status = file.stat()
    digest = hashlib.sha256()
    if file.is_dir():
        states = {f.name: f.stat() for f in sorted(file.iterdir())}
        digest.update(repr([(name, s.st_size) for name, s in states.items()]).encode())
        newest = max((s.st_mtime_ns for s in states.values()), default=0)
        return {"files": len(states), "mtime_ns": newest, "sha256_names": digest.hexdigest()}
    with file.open("rb") as handle:
        digest.update(handle.read(1 << 20))
        handle.seek(max(0, status.st_size - (1 << 20)))
        digest.update(handle.read(1 << 20))
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256_ends": digest.hexdigest()}
