"""Body coordinates of a stream: `core.normalise`, from what was seen lately instead of from a whole clip."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from microgesture.core.normalise import body_normalise
from microgesture.core.skeleton import Skeleton

Array = NDArray[np.float32]
_RATE = 8.0  # frames remembered per second, at least


class RunningNormaliser:
    """Normalises frame after frame with the origin and the scale of the last seconds.

    It never looks ahead and remembers a fixed number of frames. In that it differs from a clip, whose one origin and
    scale come from all its frames: here both wander slowly, so that whoever walks or leans for long is back at the
    origin after half the memory, and the first frames have little to take a median of.

    Args:
        skeleton: the meaning of axis V.
        seconds, fps: memory, and rate of the frames; about eight frames a second are remembered, since medians need no
            more, and with each of them origin and scale are found anew.

    Example:
        >>> from microgesture.core.layouts import skeleton
        >>> xy = np.zeros((22, 2), np.float32); xy[2], xy[5], xy[1] = (300, 200), (500, 200), (400, 200)
        >>> RunningNormaliser(skeleton("imigue22"))(xy, np.ones(22, np.float32))[5].tolist()
        [0.5, 0.0]
    """

    def __init__(self, skeleton: Skeleton, seconds: float = 4.0, fps: float = 15.0) -> None:
        self.skeleton = skeleton
        self.every = max(1, round(fps / _RATE))
        self.frames = max(1, ceil(seconds * fps / self.every))
        self.reset()

    def reset(self) -> None:
        """Forget: the next frame is another person's, or a later one's."""
        self._count = 0
        self._xy: Array | None = None
        self._score: Array = np.zeros((self.frames, len(self.skeleton)), np.float32)

    def __call__(self, xy: Array, score: Array) -> Array:
        """(V, C) and (V,) of the next frame to body coordinates (V, C); 0 where a joint is missing."""
        if self._xy is None:
            self._xy = np.zeros((self.frames, *xy.shape), np.float32)
        if self._count % self.every == 0:
            place = self._count // self.every
            self._xy[place % self.frames], self._score[place % self.frames] = xy, score
            known = min(place + 1, self.frames)
            _, self._origin, self._scale = body_normalise(self._xy[:known], self._score[:known], self.skeleton)
        self._count += 1
        body: Array = np.where(score[:, None] > 0, (xy - self._origin) / self._scale, 0).astype(np.float32)
        return body
