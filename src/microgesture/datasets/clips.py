"""`Clips`: pre-cut, labelled clips in memory; `LabelledClips`: the same, wherever they are; `ClipDataset`: what a
dataset states and gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


@runtime_checkable
class LabelledClips(Protocol):
    """N clips with labels, read one by one: `Clips` in memory, `store.StoredClips` on disk.

    Args:
        label: int64 (N,), ids in `taxonomy`; -1 where there is none.
        subject: int64 (N,), who moves; -1 = unknown.
        soft: float32 (N, K) or None, see `Clips`.
        names: the data set's own names of the clips, for submissions.
        source: file or generator, named in errors and records.
        counts: int64 (K,), clips per class.
    """

    @property
    def label(self) -> Ids: ...
    @property
    def subject(self) -> Ids: ...
    @property
    def soft(self) -> Floats | None: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def skeleton(self) -> Skeleton: ...
    @property
    def taxonomy(self) -> Taxonomy: ...
    @property
    def source(self) -> str: ...
    @property
    def counts(self) -> Ids: ...
    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> tuple[Floats, Floats]:
        """Coordinates (M, T, V, C) and scores (M, T, V) of clip i."""
        ...


@runtime_checkable
class PicturedClips(LabelledClips, Protocol):
    """Clips that bring pictures of their own, without a film; coordinates are pixels of these pictures."""

    def pictures(self, i: int, /) -> NDArray[np.uint8]:
        """Pictures (F, H, W, 3) of clip i, red first; F, H and W are the same for all clips."""
        ...


@dataclass(frozen=True, eq=False)
class Clips:
    """N clips of M persons, one behind the other on the time axis; clip i is frames `offsets[i]:offsets[i + 1]`.

    Args:
        xy: float32 (sum of T, M, V, C), pixels or metres, y downwards.
        score: float32 (sum of T, M, V), 0 = missing.
        offsets: int64 (N + 1,), rising from 0 to the sum of T.
        label: int64 (N,), ids in `taxonomy`; -1 is allowed beside `soft`, for clips without a main class.
        subject: int64 (N,), who moves.
        source: file or generator, named in errors.
        soft: float32 (N, K), targets where several classes may be shown at once: 1 shown, 0 not, -1 cannot be told.

    Raises:
        FormatError: parts do not agree, a clip is empty, a seen joint is not finite, or there are no clips.
    """

    xy: Floats
    score: Floats
    offsets: Ids
    label: Ids
    subject: Ids
    skeleton: Skeleton
    taxonomy: Taxonomy
    source: str
    soft: Floats | None = None

    def __post_init__(self) -> None:
        n, v, k = len(self.label), len(self.skeleton), len(self.taxonomy)
        if not n:
            raise self._wrong("holds no clips", "at least one", "check the split and the subjects asked for")
        if self.xy.ndim != 4 or self.xy.shape[2] != v or self.xy.shape[3] not in (2, 3):
            raise self._wrong(f"coordinates have shape {self.xy.shape}", f"(T, M, {v}, 2 or 3)")
        if self.score.shape != self.xy.shape[:3]:
            raise self._wrong(f"scores have shape {self.score.shape}", str(self.xy.shape[:3]))
        if self.offsets.shape != (n + 1,) or self.subject.shape != (n,) or self.label.shape != (n,):
            raise self._wrong(
                f"{n} labels, {len(self.subject)} subjects and {len(self.offsets)} offsets do not belong together",
                "one subject per label and one offset more",
            )
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.xy) or (np.diff(self.offsets) <= 0).any():
            raise self._wrong("clip borders are not rising", f"0 to {len(self.xy)} without empty clips")
        least = 0 if self.soft is None else -1
        if self.label.min() < least or self.label.max() >= k:
            raise self._wrong(f"labels lie in {self.label.min()}..{self.label.max()}", f"{least}..{k - 1}")
        if self.soft is not None and self.soft.shape != (n, k):
            raise self._wrong(f"soft targets have shape {self.soft.shape}", f"({n}, {k})")
        bad = ~np.isfinite(self.xy).all(-1) & (self.score > 0) | ~np.isfinite(self.score)
        if bad.any():
            clip = int(np.searchsorted(self.offsets, np.argwhere(bad)[0][0], side="right")) - 1
            raise self._wrong(
                "coordinates or scores are not finite",
                "finite numbers",
                "mark missing joints with score 0",
                place=f"clip {clip}",
            )

    def _wrong(self, problem: str, expected: str, remedy: str | None = None, place: str | None = None) -> FormatError:
        remedy = remedy or "fetch or convert the file again"
        return FormatError(self.source, problem, place=place, expected=expected, remedy=remedy)

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, i: int) -> tuple[Floats, Floats]:
        """Coordinates (M, T, V, C) and scores (M, T, V) of clip i."""
        frames = slice(self.offsets[i], self.offsets[i + 1])
        return self.xy[frames].swapaxes(0, 1), self.score[frames].swapaxes(0, 1)

    def __iter__(self) -> Iterator[tuple[Floats, Floats]]:
        return (self[i] for i in range(len(self)))

    @property
    def names(self) -> list[str]:
        """Clips in memory have no names of their own: their numbers."""
        return [str(i) for i in range(len(self))]

    @property
    def counts(self) -> Ids:
        """Clips per class, (K,)."""
        return np.bincount(self.label[self.label >= 0], minlength=len(self.taxonomy)).astype(np.int64)

    def where(self, keep: NDArray[np.bool_], name: str) -> Clips:
        """The clips marked in `keep` (N,); `name` is added to the source."""
        lengths = np.diff(self.offsets)
        frames = np.repeat(keep, lengths)
        return Clips(
            self.xy[frames],
            self.score[frames],
            np.concatenate(([0], np.cumsum(lengths[keep]))).astype(np.int64),
            self.label[keep],
            self.subject[keep],
            self.skeleton,
            self.taxonomy,
            f"{self.source} ({name})",
            None if self.soft is None else self.soft[keep],
        )


@runtime_checkable
class ClipDataset(Protocol):
    """A dataset of clips. Its constructor does no work; what it states must be known without reading a file.

    Args:
        key: name of the dataset, e.g. `"utd_mhad"`.
        fps: frames per second of the clips.
        persons: M.
        coordinates: C, 2 or 3.
        splits: names `clips` accepts; `"train"` and `"test"` at least, `"val"` where there is one.
    """

    key: str
    skeleton: Skeleton
    taxonomy: Taxonomy
    fps: float
    persons: int
    coordinates: int
    splits: tuple[str, ...]

    def clips(self, split: str) -> LabelledClips:
        """All clips of a split, always the same and in the same order.

        Raises:
            NoInput, FormatError: the data are missing or damaged.
            UsageError: there is no such split.
        """
        ...


@runtime_checkable
class EndlessDataset(ClipDataset, Protocol):
    """A dataset that makes new training clips at any time.

    Args:
        epoch_clips: clips called one epoch.
    """

    epoch_clips: int

    def fresh(self, count: int, seed: tuple[int, ...]) -> Clips:
        """`count` new training clips; the same seed gives the same clips."""
        ...


@runtime_checkable
class EndlessBatches(ClipDataset, Protocol):
    """A dataset that makes new training batches, with targets a list of labels cannot express.

    Args:
        epoch_clips: clips called one epoch.
    """

    epoch_clips: int

    def fresh_batch(self, count: int, seed: tuple[int, ...]) -> PoseBatch:
        """`count` new clips, normalised, as a batch; the same seed gives the same batch."""
        ...
