"""From long recordings to batches of windows, for systems that find when something happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from microgesture.core.errors import MicrogestureError, UsageError
from microgesture.core.normalise import body_normalise
from microgesture.core.track import PoseTrack
from microgesture.datasets.augment_windows import Copies, Window, WindowAugmentation
from microgesture.datasets.pictures import Pictures
from microgesture.datasets.recordings import LabelledRecording
from microgesture.datasets.sampling import EpochSampler
from microgesture.formats.source import check_file
from microgesture.layers.batch import WindowBatch

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Progress = Callable[[str, float, float], None]


class Features(ABC):
    """What describes a recording in steps of equal length; named by its class path in a recipe."""

    stride: int
    """Frames of the recording per step."""

    @property
    @abstractmethod
    def width(self) -> int:
        """D, numbers per step."""

    @property
    def fps(self) -> float | None:
        """Rate of the poses it reads; None: any."""
        return None

    @abstractmethod
    def of(self, track: PoseTrack, name: str) -> Floats:
        """(D, F) with F = ceil(T / stride): step f describes frames `[f * stride, (f + 1) * stride)`."""


@dataclass(frozen=True)
class Windowing:
    """How recordings become windows.

    Args:
        frames: T of a window.
        stride: from one training window to the next, as a share of a window; each epoch shifts them anew.
        overlap: of neighbouring windows in a test, as a share of a window.
        keep: share of a gesture that must lie in a window for it to be looked for there.
        empty: train on windows without a gesture too.
        features: describes the recordings besides the poses.
        pictures: pictures of each window besides, for systems that read them; needs a data set with films. They are
            read from the film when a window is asked for.
        batch: windows per batch.
        augment: changes of training windows, in order.
        holdout: share of the training people on whom the threshold is chosen, where the data have no split `val`.
        workers: processes that prepare training batches; 0 prepares them in the main one.
    """

    frames: int = 512
    stride: float = 0.25
    overlap: float = 0.5
    keep: float = 0.5
    empty: bool = True
    features: Features | None = None
    pictures: Pictures | None = None
    batch: int = 8
    augment: Sequence[WindowAugmentation] = field(default_factory=tuple)
    holdout: float = 0.15
    workers: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("stride", 1e-3, 1), ("overlap", 0, 0.95), ("keep", 1e-3, 1), ("holdout", 0.01, 0.9)):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"loading.{name} is {getattr(self, name)}; it must lie in {low}..{high}")
        for name, least in (("frames", 1), ("batch", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"loading.{name} is {getattr(self, name)}; it must be at least {least}")
        if self.features is not None and self.frames % self.features.stride:
            raise UsageError(
                f"loading.frames is {self.frames}; it must be a multiple of the {self.features.stride} frames "
                "that one step of loading.features covers"
            )
        if self.pictures is not None and self.pictures.frames > self.frames:
            raise UsageError(
                f"loading.pictures.frames is {self.pictures.frames}; a window has {self.frames} frames, loading.frames"
            )

    @property
    def step(self) -> int:
        """Frames that windows can be moved by: one, or those of a step of features."""
        return 1 if self.features is None else self.features.stride


@dataclass(frozen=True, eq=False)
class Described:
    """A recording ready to be cut.

    Args:
        series: (D, F) or None.
    """

    recording: LabelledRecording
    series: Floats | None

    @property
    def frames(self) -> int:
        """T."""
        return len(self.recording.track)

    def window(self, start: int, windowing: Windowing) -> Window:
        """`windowing.frames` frames from `start` on, body-normalised; zeros behind the end of the recording."""
        track, length = self.recording.track, windowing.frames
        part = track[start : start + length]
        seen = len(part)
        xy = np.zeros((1, length, *part.xy.shape[1:]), np.float32)
        score = np.zeros((1, length, part.xy.shape[1]), np.float32)
        xy[0, :seen], score[0, :seen] = body_normalise(part.xy, part.score, track.skeleton).xy, part.score
        series = None
        if self.series is not None:
            stride = windowing.step
            series = np.zeros((len(self.series), length // stride), np.float32)
            cut = self.series[:, start // stride : (start + length) // stride]
            series[:, : cut.shape[1]] = cut
        rgb = None
        if windowing.pictures is not None:
            assert self.recording.film is not None  # `describe` has seen to it
            rgb = windowing.pictures.window(self.recording.film, start, length, seen, track.fps)
        segments, classes = self.gestures(start, windowing)
        return Window(xy, score, series, segments, classes, seen / length, rgb)

    def gestures(self, start: int, windowing: Windowing) -> tuple[Floats, Ids]:
        """Begin and end (G, 2), as shares of the window that begins at frame `start`, and classes (G,)."""
        fps, length = self.recording.track.fps, windowing.frames
        rows = [
            ((s.start * fps - start) / length, (s.end * fps - start) / length, s.label) for s in self.recording.timeline
        ]
        rows = [(a, b, k) for a, b, k in rows if min(b, 1.0) - max(a, 0.0) >= windowing.keep * (b - a)]
        segments = np.array([(a, b) for a, b, _ in rows], np.float32).reshape(-1, 2)
        return segments, np.array([k for *_, k in rows], np.int64)


def describe(
    recordings: Sequence[LabelledRecording], windowing: Windowing, fps: float, progress: Progress | None = None
) -> list[Described]:
    """Recordings at the rate `fps` with their features.

    Raises:
        UsageError: features have another number of steps than the recording has stretches, or pictures are wanted of a
            recording without a film.
        NoInput, NotPermitted: its film is not there.
    """
    made = []
    for done, recording in enumerate(recordings, 1):
        recording = recording.at_rate(fps)
        if windowing.pictures is not None:
            if recording.film is None:
                raise UsageError(f"recording '{recording.name}' has no film, and loading.pictures reads one")
            check_file(recording.film)
        series = None
        if windowing.features is not None:
            series = windowing.features.of(recording.track, recording.name)
            wanted = windowing.features.width, -(-len(recording.track) // windowing.features.stride)
            if series.shape != wanted:
                raise UsageError(f"recording '{recording.name}' has features of shape {series.shape}, not {wanted}")
        made.append(Described(recording, series))
        if progress:
            progress("features", done, len(recordings))
    return made


def starts(frames: int, windowing: Windowing) -> list[int]:
    """Where test windows begin: evenly, the last one ends with the recording; all at whole steps of features.

    Example:
        >>> starts(1000, Windowing(frames=400, overlap=0.5))
        [0, 200, 400, 600]
    """
    step = windowing.step
    hop = max(step, round(windowing.frames * (1 - windowing.overlap)) // step * step)
    last = -(-max(0, frames - windowing.frames) // step) * step
    return [*range(0, last, hop), last]


def train_windows(described: Sequence[Described], windowing: Windowing, seed: int) -> DataLoader[WindowBatch]:
    """Batches of one epoch after the other; the trainer calls `sampler.set_epoch`.

    Raises:
        UsageError: no window is left to train on.
    """
    data = _TrainWindows(described, windowing, seed)
    if not len(data):
        raise UsageError("no window of the training recordings holds a gesture; set loading.empty or check the labels")
    sampler = EpochSampler(len(data), np.zeros(len(data), np.int64), "instance", seed)
    odd = len(data) % windowing.batch == 1 and len(data) > 1  # batch norm cannot use a batch of one
    return _Loader(
        data, sampler=sampler, batch_size=windowing.batch, collate_fn=_collate, drop_last=odd,
        num_workers=windowing.workers, persistent_workers=windowing.workers > 0,
    )  # fmt: skip


def search_windows(described: Described, windowing: Windowing) -> Iterator[tuple[list[int], WindowBatch]]:
    """Batches of overlapping windows of one recording, and where each window begins, in frames."""
    places = starts(described.frames, windowing)
    for i in range(0, len(places), windowing.batch):
        some = places[i : i + windowing.batch]
        yield some, collate([described.window(start, windowing) for start in some])


def whole(described: Described, windowing: Windowing) -> WindowBatch:
    """A recording as a single window, without pictures: those of minutes fit into no memory."""
    length = -(-described.frames // windowing.step) * windowing.step
    return collate([described.window(0, replace(windowing, frames=length, pictures=None))])


def collate(windows: Sequence[Window]) -> WindowBatch:
    """Windows of one length as a batch."""
    most = max(1, *(len(w.classes) for w in windows))
    segments = np.zeros((len(windows), most, 2), np.float32)
    classes = np.full((len(windows), most), -1, np.int64)
    for i, w in enumerate(windows):
        segments[i, : len(w.classes)], classes[i, : len(w.classes)] = w.segments, w.classes
    series = [w.series for w in windows if w.series is not None]
    rgb = [w.rgb for w in windows if w.rgb is not None]
    return WindowBatch(
        torch.from_numpy(np.stack([w.xy for w in windows])),
        torch.from_numpy(np.stack([w.score for w in windows])),
        valid=torch.tensor([w.valid for w in windows], dtype=torch.float32),
        segments=torch.from_numpy(segments),
        classes=torch.from_numpy(classes),
        series=torch.from_numpy(np.stack(series)) if series else None,
        rgb=torch.from_numpy(np.stack(rgb)) if rgb else None,
    )


class _Loader(DataLoader[Any]):
    """Raises what went wrong with a window as it is: torch turns errors of other processes into texts."""

    def __iter__(self) -> Iterator[WindowBatch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, MicrogestureError):
                raise batch
            yield batch


def _collate(windows: Sequence[Window | MicrogestureError]) -> WindowBatch | MicrogestureError:
    """A batch, or the first error among its windows."""
    errors = [window for window in windows if isinstance(window, MicrogestureError)]
    return errors[0] if errors else collate([window for window in windows if isinstance(window, Window)])


class _TrainWindows(Dataset[Window | MicrogestureError]):
    """Windows at `stride`, moved by up to half a stride in every epoch; a ticket is `epoch * N + window`."""

    def __init__(self, described: Sequence[Described], windowing: Windowing, seed: int) -> None:
        self.described, self.windowing, self.seed = described, windowing, seed
        self.hop = max(1, round(windowing.stride * windowing.frames))
        self.places = [
            (i, start)
            for i, one in enumerate(described)
            for start in range(0, max(1, one.frames - windowing.frames + 1), self.hop)
            if windowing.empty or len(one.gestures(start, windowing)[1])
        ]
        for augmentation in windowing.augment:
            if isinstance(augmentation, Copies):
                shown = [described[i].gestures(start, windowing)[1] for i, start in self.places]
                copies = augmentation.copies(shown)
                self.places = [place for place, n in zip(self.places, copies, strict=True) for _ in range(n)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, ticket: int) -> Window | MicrogestureError:
        try:
            return self._window(ticket)
        except MicrogestureError as error:
            return error

    def _window(self, ticket: int) -> Window:
        i, start = self.places[ticket % len(self)]
        draw = np.random.default_rng((self.seed, ticket))
        one, step = self.described[i], self.windowing.step
        start += int(draw.integers(-(self.hop // 2), self.hop // 2 + 1))
        start = int(np.clip(start, 0, max(0, one.frames - self.windowing.frames))) // step * step
        window = one.window(start, self.windowing)
        for augmentation in self.windowing.augment:
            window = augmentation(window, draw)
        return window
