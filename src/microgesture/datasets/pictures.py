"""Pictures of a clip or a window: frames of the film it is cut from, on a canvas of one size for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError, UsageError
from microgesture.datasets.recordings import LabelledRecording, RecordingDataset
from microgesture.datasets.sampling import segment_frames
from microgesture.datasets.store import Film, StoredDataset
from microgesture.formats.video import read_frames


@dataclass(frozen=True)
class Pictures:
    """How many pictures of a clip or a window are taken and how large they become.

    A picture keeps its proportions; what is left of the canvas on the right or below stays black. Crops and mirror
    images are made by the systems, which see joints and pictures together.

    Args:
        frames: F, one out of each of F equal parts: of a clip a random one in training and the middle one in a test, of
            a window always the middle one.
        height, width: of the canvas in pixels.
    """

    frames: int = 8
    height: int = 180
    width: int = 320

    def __post_init__(self) -> None:
        for name in ("frames", "height", "width"):
            if getattr(self, name) < 1:
                raise UsageError(f"pictures.{name} is {getattr(self, name)}; it must be at least 1")

    def read(self, film: Film, draw: np.random.Generator | None = None) -> tuple[NDArray[np.uint8], float]:
        """Pictures uint8 (F, H, W, 3), red first, and how many of their pixels make one of the joints' picture.

        Raises:
            NoInput, NotPermitted, FormatError: the film is missing, damaged, or ends before the clip begins.
        """
        chance = None if draw is None else np.random.RandomState(int(draw.integers(1 << 32)))
        wanted = film.start + segment_frames(film.frames, self.frames, chance) / film.fps
        canvas, zoom, width = self._at(film.path, wanted, film.fps)
        return canvas, zoom * width / (film.width or width)

    def window(self, film: Path, start: int, frames: int, within: int, fps: float) -> NDArray[np.uint8]:
        """Pictures uint8 (F, H, W, 3) of a stretch of a film, red first; black behind the end of the recording.

        Args:
            start, frames: where the stretch begins and how long it is, in frames at `fps`.
            within: how many of them lie within the recording.

        Raises:
            NoInput, NotPermitted, FormatError: the film is missing, damaged, or ends before the stretch begins.
        """
        canvas = np.zeros((self.frames, self.height, self.width, 3), np.uint8)
        at = segment_frames(frames, self.frames)
        at = at[at < within]
        if len(at):
            canvas[: len(at)], *_ = self._at(film, (start + at) / fps, fps)
        return canvas

    def _at(self, film: Path, wanted: NDArray[np.float64], fps: float) -> tuple[NDArray[np.uint8], float, int]:
        """Pictures at rising times, in seconds; by what they were scaled, and how wide they were before."""
        half = 0.5 / fps
        canvas = np.zeros((len(wanted), self.height, self.width, 3), np.uint8)
        taken, zoom, width = 0, 1.0, 0
        for frame in read_frames(film, max(0.0, float(wanted[0]) - half), on_damage=lambda _: None):
            height, width = frame.image.shape[:2]
            zoom = min(self.height / height, self.width / width)
            sides = (max(1, round(width * zoom)), max(1, round(height * zoom)))
            small: NDArray[np.uint8] | None = None
            while taken < len(wanted) and frame.time >= wanted[taken] - half:
                if small is None:
                    small = np.asarray(cv2.resize(frame.image, sides, interpolation=cv2.INTER_AREA), np.uint8)
                canvas[taken, : sides[1], : sides[0]] = small
                taken += 1
            if taken == len(wanted):
                break
        if not taken:
            raise FormatError(
                film,
                f"holds no picture from {wanted[0]:.3f} s on",
                place="end of the film",
                remedy="check that film and annotations belong together",
            )
        canvas[taken:] = canvas[taken - 1]  # a film may end a few frames before its poses
        return canvas, zoom, width


def filmed(data: RecordingDataset, split: str) -> Sequence[LabelledRecording]:
    """The recordings of a split with their films.

    Raises:
        UsageError: there is no such split, or the data set or a recording has no films.
        NoInput, FormatError: the data are missing or damaged.
    """
    if not isinstance(data, StoredDataset):
        raise UsageError(f"{data.key}: loading.pictures needs a data set with films")
    return data.recordings(split, films=True)
