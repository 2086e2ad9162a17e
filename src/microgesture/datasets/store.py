"""The store: one folder that holds a prepared data set and is read without being loaded.

    frames.bin        float32 (F, M, V, C + 1): coordinates and score of every frame of every recording, in one file
    recordings.arrow  one row per recording: where it lies in frames.bin, split, subject, rate, picture size
    clips.arrow       one row per labelled clip: a stretch of a recording
    states.arrow      one row per emotional state: a stretch of a recording
    store.json        what the data are, sizes and SHA-256 of the files above; written last, so half a store cannot open

Clips are stretches of recordings, so overlapping clips cost nothing and spotting reads the same store. A clip is read
by mapping its stretch alone: memory does not grow with the size of the store, nor with how much of it was read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import sha256
from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import known
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack, project
from microgesture.formats.safe_json import parse_json
from microgesture.formats.source import read_text

if TYPE_CHECKING:
    import pyarrow as pa

    from microgesture.datasets.recordings import LabelledRecording

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

INDEX, FRAMES = "store.json", "frames.bin"
RECORDINGS, CLIPS, STATES = "recordings.arrow", "clips.arrow", "states.arrow"
FILES = (FRAMES, RECORDINGS, CLIPS, STATES)
FORMAT, VERSION = "microgesture-store", 1
_AGAIN = "prepare the data set again, with --fresh"

# columns and their types; `start` and `frames` of clips and states count inside their recording
COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    RECORDINGS: (
        ("name", "string"), ("split", "string"), ("subject", "int64"), ("group", "string"), ("row", "int64"),
        ("frames", "int64"), ("fps", "float64"), ("width", "int64"), ("height", "int64"), ("video", "string"),
    ),
    CLIPS: (
        ("name", "string"), ("label", "int64"), ("recording", "int64"), ("start", "int64"), ("frames", "int64"),
    ),
    STATES: (
        ("name", "string"), ("label", "int64"), ("recording", "int64"), ("start", "int64"), ("frames", "int64"),
        ("split", "string"),
    ),
}  # fmt: skip


def schema(file: str) -> pa.Schema:
    """The Arrow schema of one of the tables."""
    import pyarrow as pa

    types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    return pa.schema([pa.field(name, types[kind], nullable=False) for name, kind in COLUMNS[file]])


@dataclass(frozen=True, eq=False)
class Store:
    """An opened store; see the head of this file. `open_store` makes it.

    Args:
        path: the folder.
        index: what `store.json` says: dataset, options, root, fps, states, simulated, report, files.
        persons: M.
        coordinates: C, 2 or 3.
    """

    path: Path
    index: dict[str, Any]
    skeleton: Skeleton
    taxonomy: Taxonomy
    persons: int
    coordinates: int

    @property
    def dataset(self) -> str:
        """Key of the data set."""
        return str(self.index["dataset"])

    @property
    def simulated(self) -> bool:
        """Whether the data were made by the simulator, in the layout of the data set."""
        return bool(self.index["simulated"])

    @property
    def states_of(self) -> tuple[str, ...]:
        """Names of the emotional states, in the order of their ids."""
        return tuple(self.index["states"])

    @cached_property
    def recordings(self) -> pa.Table:
        """Rows of recordings, mapped from disk."""
        return self._table(RECORDINGS)

    @cached_property
    def clips(self) -> pa.Table:
        """Rows of clips, mapped from disk."""
        return self._table(CLIPS)

    @cached_property
    def states(self) -> pa.Table:
        """Rows of emotional states, mapped from disk."""
        return self._table(STATES)

    def column(self, file: str, name: str) -> NDArray[Any]:
        """One column as an array; numbers only."""
        table = {RECORDINGS: self.recordings, CLIPS: self.clips, STATES: self.states}[file]
        array: NDArray[Any] = table.column(name).to_numpy()
        return array

    @cached_property
    def _row(self) -> Ids:
        """First row in frames.bin of every recording."""
        return self.column(RECORDINGS, "row")

    @cached_property
    def _length(self) -> Ids:
        return self.column(RECORDINGS, "frames")

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.persons, len(self.skeleton), self.coordinates + 1

    def frames(self, recording: int, start: int = 0, count: int | None = None) -> tuple[Floats, Floats]:
        """Coordinates (M, T, V, C) and scores (M, T, V) of `count` frames of a recording from `start` on."""
        length = int(self._length[recording])
        count = length - start if count is None else count
        if not 0 <= start < start + count <= length:
            raise FormatError(
                self.path / CLIPS,
                f"frames {start} to {start + count} of a recording of {length}",
                place=f"recording {recording}",
                remedy=_AGAIN,
            )
        m, v, c = self._shape
        place = (int(self._row[recording]) + start) * m * v * c * 4
        try:
            mapped = np.memmap(self.path / FRAMES, "<f4", "r", place, (count, m, v, c))
        except (OSError, ValueError) as error:
            raise FormatError(self.path / FRAMES, f"cannot be read ({error})", remedy=_AGAIN) from error
        both = np.moveaxis(mapped, 0, 1)
        # copies: with them the mapping can go, and its pages do not stay with the process
        return np.array(both[..., :-1], np.float32), np.array(both[..., -1], np.float32)

    def film(self, about: Mapping[str, Any], source: str) -> Path:
        """Where the film of a row of `recordings` is.

        Args:
            source: what a message names.

        Raises:
            UsageError: the recording was prepared without one.
        """
        if not about["video"]:
            raise UsageError(f"{source}: recording '{about['name']}' has no film; prepare the data with their films")
        return Path(self.index["root"], about["video"])

    def track(self, recording: int, person: int = 0) -> PoseTrack:
        """A whole recording of one person."""
        xy, score = self.frames(recording)
        row = self.recordings.slice(recording, 1).to_pylist()[0]
        size = (row["width"], row["height"])
        return PoseTrack(xy[person], score[person], row["fps"], size, self.skeleton, person=person)

    def timeline(self, recording: int) -> Timeline:
        """The labelled clips of a recording, in seconds; clips whose label is withheld are left out."""
        fps = float(self.column(RECORDINGS, "fps")[recording])
        where = np.flatnonzero(self.column(CLIPS, "recording") == recording)
        label, start, frames = (self.column(CLIPS, name)[where] for name in ("label", "start", "frames"))
        segments = (
            Segment(s / fps, (s + n) / fps, k)
            for k, s, n in zip(label.tolist(), start.tolist(), frames.tolist(), strict=True)
            if k >= 0
        )
        return Timeline(tuple(segments), self.taxonomy, int(self._length[recording]) / fps)

    def select(self, rows: Ids, name: str) -> StoredClips:
        """The clips of these rows of `clips`."""
        return StoredClips(self, np.asarray(rows, np.int64), name)

    def split_of_clips(self) -> NDArray[np.object_]:
        """Split of the recording of every clip, as distributed."""
        return self.of_clips("split")

    def of_clips(self, name: str) -> NDArray[Any]:
        """A column of `recordings`, for every clip."""
        values = self.recordings.column(name).to_numpy(zero_copy_only=False)
        array: NDArray[Any] = values[self.column(CLIPS, "recording")]
        return array

    def verify(self) -> None:
        """Read every byte and compare with what was written.

        Raises:
            FormatError: a file is damaged.
        """
        for name in FILES:
            if sha256(self.path / name) != self.index["files"][name]["sha256"]:
                raise FormatError(self.path / name, "is damaged: its SHA-256 does not fit", remedy=_AGAIN)

    def _table(self, file: str) -> pa.Table:
        import pyarrow as pa

        try:
            with pa.memory_map(str(self.path / file)) as mapped:
                table = pa.ipc.open_file(mapped).read_all()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise FormatError(self.path / file, f"cannot be read ({error})", remedy=_AGAIN) from error
        if not table.schema.equals(schema(file)):
            raise FormatError(self.path / file, "has other columns than this version writes", remedy=_AGAIN)
        return table

    def __reduce__(self) -> tuple[Any, ...]:  # worker processes open it themselves
        return open_store, (str(self.path),)


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a store: checks its index, the sizes of its files and the digests of its tables.

    Raises:
        NoInput: there is no store, or its preparation has not ended.
        FormatError: a file is missing, damaged, or was written by another version.
    """
    folder = Path(path)
    index = folder / INDEX
    if not index.is_file():
        begun = (
            "; its preparation was interrupted: call prepare again, it goes on" if (folder / "parts").exists() else ""
        )
        raise NoInput(f"{folder}: holds no prepared data set (no {INDEX}){begun}")
    fields = parse_json(index, read_text(index))
    try:
        if fields["format"] != FORMAT or fields["version"] != VERSION:
            raise FormatError(
                index, f"is {fields['format']} {fields['version']}", expected=f"{FORMAT} {VERSION}", remedy=_AGAIN
            )
        stated = fields.pop("digest")
        if digest(fields) != stated:
            raise FormatError(index, "was changed after it was written: its digest does not fit", remedy=_AGAIN)
        persons, coordinates = int(fields["persons"]), int(fields["coordinates"])
        skeleton, taxonomy = Skeleton.from_plain(fields["skeleton"]), known(fields["taxonomy"])
        for name in FILES:
            _check_size(folder / name, int(fields["files"][name]["bytes"]))
            if name != FRAMES and sha256(folder / name) != fields["files"][name]["sha256"]:
                raise FormatError(folder / name, "is damaged: its SHA-256 does not fit", remedy=_AGAIN)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(index, f"lacks or misstates {error}", remedy=_AGAIN) from error
    return Store(folder, fields, skeleton, taxonomy, persons, coordinates)


def digest(fields: dict[str, Any]) -> str:
    """SHA-256 over the content of an index."""
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_size(path: Path, wanted: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != wanted:
        problem = "is missing" if found is None else f"has {found:,} bytes"
        raise FormatError(path, problem, expected=f"{wanted:,} bytes", remedy=_AGAIN)


@dataclass(frozen=True)
class Film:
    """Where the pictures of a clip are.

    Args:
        path: the film.
        start: seconds at which the clip begins.
        frames: length of the clip, at `fps`.
        width: of the picture the joints are given in, in pixels; 0 = that of the film.
    """

    path: Path
    start: float
    frames: int
    fps: float
    width: int


@dataclass(frozen=True, eq=False)
class StoredClips:
    """Clips of a store, read one by one when asked for. The same reading interface as `Clips`.

    Args:
        rows: int64 (N,), rows of the store's table of clips.
        name: what was selected, for messages.
        target: layout the clips are given in; that of the store if None.
        longest: longer clips give their last `longest` frames only; 0 = whole clips.
    """

    store: Store
    rows: Ids
    name: str
    target: Skeleton | None = None
    longest: int = 0

    def __post_init__(self) -> None:
        if not len(self.rows):
            raise FormatError(
                self.source,
                "holds no clips",
                expected="at least one",
                remedy="check the split and whether the data set is complete: microgesture inspect",
            )

    @property
    def source(self) -> str:
        """Where the clips come from, for messages and records."""
        return f"{self.store.path} ({self.name})"

    @property
    def skeleton(self) -> Skeleton:
        """Layout the clips are given in."""
        return self.target or self.store.skeleton

    @property
    def taxonomy(self) -> Taxonomy:
        """Label space of the clips."""
        return self.store.taxonomy

    @property
    def soft(self) -> None:
        """No soft targets."""
        return None

    @cached_property
    def label(self) -> Ids:
        """(N,) class ids; -1 where the data set withholds them."""
        return self._column("label")

    @cached_property
    def subject(self) -> Ids:
        """(N,) who moves; -1 where the data set does not say."""
        return self.store.column(RECORDINGS, "subject")[self.recording].astype(np.int64)

    @cached_property
    def recording(self) -> Ids:
        """(N,) row of the recording each clip is cut from."""
        return self._column("recording")

    @cached_property
    def start(self) -> Ids:
        """(N,) first frame inside the recording."""
        return self._column("start") + self._column("frames") - self.length

    @cached_property
    def length(self) -> Ids:
        """(N,) frames of each clip."""
        frames = self._column("frames")
        return np.minimum(frames, self.longest) if self.longest else frames

    @property
    def names(self) -> list[str]:
        """The data set's own names of the clips."""
        taken: list[str] = self.store.clips.column("name").take(self.rows).to_pylist()
        return taken

    @property
    def counts(self) -> Ids:
        """Clips per class, (K,)."""
        return np.bincount(self.label[self.label >= 0], minlength=len(self.taxonomy)).astype(np.int64)

    def _column(self, name: str) -> Ids:
        taken: Ids = self.store.column(CLIPS, name)[self.rows]
        return taken

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[Floats, Floats]:
        """Coordinates (M, T, V, C) and scores (M, T, V) of clip i."""
        xy, score = self.store.frames(int(self.recording[i]), int(self.start[i]), int(self.length[i]))
        if self.skeleton == self.store.skeleton:
            return xy, score
        return project(xy, score, self.store.skeleton, self.skeleton)

    def __iter__(self) -> Iterator[tuple[Floats, Floats]]:
        return (self[i] for i in range(len(self)))

    def film(self, i: int) -> Film:
        """Where the pictures of clip i are.

        Raises:
            UsageError: the data set was prepared without films.
        """
        row = self.store.recordings.slice(int(self.recording[i]), 1).to_pylist()[0]
        path = self.store.film(row, self.source)
        return Film(path, int(self.start[i]) / row["fps"], int(self.length[i]), row["fps"], row["width"])

    def where(self, keep: NDArray[np.bool_], name: str) -> StoredClips:
        """The clips marked in `keep` (N,); `name` is added to the source."""
        return replace(self, rows=self.rows[keep], name=f"{self.name}, {name}")


@dataclass(frozen=True, eq=False)
class _StoredRecordings(Sequence["LabelledRecording"]):
    """Recordings of a store, the first person of each."""

    store: Store
    rows: tuple[int, ...]
    target: Skeleton
    films: bool

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, i: int) -> LabelledRecording: ...
    @overload
    def __getitem__(self, i: slice) -> _StoredRecordings: ...
    def __getitem__(self, i: int | slice) -> LabelledRecording | _StoredRecordings:
        from microgesture.datasets.recordings import LabelledRecording

        if isinstance(i, slice):
            return replace(self, rows=self.rows[i])
        row = self.rows[i]
        about = self.store.recordings.slice(row, 1).to_pylist()[0]
        track = self.store.track(row).project(self.target)
        film = self.store.film(about, str(self.store.path)) if self.films else None
        return LabelledRecording(about["name"], track, self.store.timeline(row), about["subject"], film)


class StoredDataset:
    """A data set of clips read from a store; each data set derives from it and states its facts and splits.

    Args:
        root: the store, i.e. the folder `microgesture prepare` wrote, or the data as distributed: these are prepared
            on first use, into the cache. Without it the environment variable MICROGESTURE_<KEY> names the folder.
        longest: longer clips give their last `longest` frames only, as released baselines do; 0 = whole clips.
    """

    key: str
    skeleton: Skeleton
    taxonomy: Taxonomy
    fps: float
    persons = 1
    coordinates = 2
    splits: tuple[str, ...] = ("train", "val", "test")

    def __init__(self, root: str | None = None, longest: int = 0) -> None:
        if longest < 0:
            raise UsageError(f"longest is {longest}; it must be 0 (whole clips) or a number of frames")
        self.root, self.longest = root, longest

    @cached_property
    def store(self) -> Store:
        """The opened store.

        Raises:
            NoInput: no folder was named, or it is not there.
            FormatError: the store is damaged or of another data set.
        """
        from microgesture.datasets.prepare import prepared

        variable = f"MICROGESTURE_{self.key.upper()}"
        root = self.root or os.environ.get(variable)
        if not root:
            raise NoInput(f"{self.key}: where are the data? Set --data.root or {variable} to their folder")
        store = prepared(self.key, Path(root))
        if store.dataset != self.key or (store.persons, store.coordinates) != (self.persons, self.coordinates):
            raise FormatError(
                store.path / INDEX,
                f"holds '{store.dataset}' with {store.persons} persons and {store.coordinates} coordinates",
                expected=f"'{self.key}' with {self.persons} and {self.coordinates}",
                remedy="name the folder of the right data set",
            )
        return store

    @property
    def simulated(self) -> bool:
        """Whether the data were made by the simulator."""
        return self.store.simulated

    def clips(self, split: str) -> StoredClips:
        """The clips of a split, in the order of the data set.

        Raises:
            UsageError: there is no such split.
            NoInput, FormatError: the data are missing or damaged.
        """
        if split not in self.splits:
            raise UsageError(f"{self.key} has no split '{split}'; choose {', '.join(self.splits)}")
        chosen = self.store.select(np.flatnonzero(self.chosen(split)), split)
        return replace(chosen, target=self.skeleton, longest=self.longest)

    def recordings(self, split: str, films: bool = False) -> Sequence[LabelledRecording]:
        """The recordings of a split whole, one person in each; read when asked for.

        Args:
            films: with the films they were found in.

        Raises:
            UsageError: there is no such split, it has no recordings, their labels are withheld, or one has no film.
            NoInput, FormatError: the data are missing or damaged.
        """
        if split not in self.splits:
            raise UsageError(f"{self.key} has no split '{split}'; choose {', '.join(self.splits)}")
        store = self.store
        rows = [i for i, s in enumerate(store.recordings.column("split").to_pylist()) if s == split]
        if not rows:
            raise UsageError(f"{store.path}: {self.key} has no recordings in split '{split}'")
        if self.withheld(split):
            raise UsageError(f"{self.key} gives no labels for split '{split}': its figures come from its server")
        return _StoredRecordings(store, tuple(rows), self.skeleton, films)

    def withheld(self, split: str) -> bool:
        """Whether the data set gives no labels for this split."""
        return not (self.store.column(CLIPS, "label")[self.chosen(split)] >= 0).any()

    def chosen(self, split: str) -> NDArray[np.bool_]:
        """Which rows of the store's clips belong to a split, (clips,); by default as distributed."""
        keep: NDArray[np.bool_] = self.store.split_of_clips() == split
        if split == "train":  # nothing can be learnt from a clip without a label
            keep &= self.store.column(CLIPS, "label") >= 0
        return keep
