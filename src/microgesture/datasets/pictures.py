"""Pictures of a clip: a few frames of the film it is cut from, on a canvas of one size for all clips."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError, UsageError
from microgesture.datasets.sampling import segment_frames
from microgesture.datasets.store import Film
from microgesture.formats.video import read_frames


@dataclass(frozen=True)
class Pictures:
    """How many pictures of a clip are taken and how large they become.

    A picture keeps its proportions; what is left of the canvas on the right or below stays black. Crops and mirror
    images are made by the systems, which see joints and pictures together.

    Args:
        frames: F, one out of each of F equal parts of the clip: a random one in training, the middle one in a test.
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
        half = 0.5 / film.fps
        canvas = np.zeros((self.frames, self.height, self.width, 3), np.uint8)
        taken, factor = 0, 1.0
        for frame in read_frames(film.path, max(0.0, float(wanted[0]) - half), on_damage=lambda _: None):
            height, width = frame.image.shape[:2]
            zoom = min(self.height / height, self.width / width)
            factor = zoom * width / (film.width or width)
            sides = (max(1, round(width * zoom)), max(1, round(height * zoom)))
            small: NDArray[np.uint8] | None = None
            while taken < self.frames and frame.time >= wanted[taken] - half:
                if small is None:
                    small = np.asarray(cv2.resize(frame.image, sides, interpolation=cv2.INTER_AREA), np.uint8)
                canvas[taken, : sides[1], : sides[0]] = small
                taken += 1
            if taken == self.frames:
                break
        if not taken:
            raise FormatError(
                film.path,
                f"holds no picture from {wanted[0]:.3f} s on",
                place="end of the film",
                remedy="check that film and annotations belong together",
            )
        canvas[taken:] = canvas[taken - 1]  # a film may end a few frames before its poses
        return canvas, factor
