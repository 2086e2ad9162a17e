"""`PoseTrack`: one person's joints over time. `Signal`: channels of a sensor over time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from microgesture.core.skeleton import Skeleton

Array = NDArray[np.float32]


def project(xy: Array, score: Array, skeleton: Skeleton, target: Skeleton) -> tuple[Array, Array]:
    """Coordinates (..., V, C) and scores (..., V) in another layout; joints `skeleton` does not have get score 0."""
    moved = np.zeros((*xy.shape[:-2], len(target), xy.shape[-1]), np.float32)
    seen = np.zeros((*score.shape[:-1], len(target)), np.float32)
    for joint, sources in enumerate(skeleton.projection(target)):
        if sources:
            parts = list(sources)
            seen[..., joint] = score[..., parts].min(-1)  # a midpoint needs all its parts
            moved[..., joint, :] = np.where(seen[..., joint, None] > 0, xy[..., parts, :].mean(-2), 0)
    return moved, seen


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """Joints of one person over time, in pixels (2-D) or metres (3-D).

    Args:
        xy: float32 (T, V, C), C = 2 or 3; y grows downwards in pixel layouts. Where `score` is 0 the
            joint is missing and its coordinates are 0 and mean nothing.
        score: float32 (T, V), confidence in [0, 1]; 0 = missing.
        fps: frames per second, nominal where `times` is given.
        size: (width, height) of the image in pixels, or (0, 0) if unknown or 3-D.
        skeleton: the meaning of axis V.
        times: float64 (T,), seconds of each frame from the container (variable frame rates); derived
            from `fps` if absent. Strictly increasing.
        person: number of the person in the recording, 0 = most prominent.

    Raises:
        ValueError: shapes do not agree, or values are not finite.
    """

    xy: Array
    score: Array
    fps: float
    size: tuple[int, int]
    skeleton: Skeleton
    times: NDArray[np.float64] = field(default=None)  # type: ignore[arg-type]
    person: int = 0

    def __post_init__(self) -> None:
        xy = np.ascontiguousarray(self.xy, np.float32)
        score = np.ascontiguousarray(self.score, np.float32)
        if xy.ndim != 3 or xy.shape[2] not in (2, 3):
            raise ValueError(f"xy has shape {xy.shape}, expected (T, V, 2) or (T, V, 3)")
        if xy.shape[1] != len(self.skeleton):
            raise ValueError(f"xy has {xy.shape[1]} joints, skeleton '{self.skeleton.name}' has {len(self.skeleton)}")
        if score.shape != xy.shape[:2]:
            raise ValueError(f"score has shape {score.shape}, expected {xy.shape[:2]}")
        if not (np.isfinite(xy).all() and np.isfinite(score).all()):
            raise ValueError("coordinates and scores must be finite; mark missing joints with score 0")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps is {self.fps}, expected a positive number")
        if self.times is None:
            times = np.arange(len(xy), dtype=np.float64) / self.fps
        else:
            times = np.ascontiguousarray(self.times, np.float64)
        if times.shape != (len(xy),) or (np.diff(times) <= 0).any() or not np.isfinite(times).all():
            raise ValueError("times must be finite and strictly increasing, one per frame")
        xy = np.where(score[..., None] > 0, xy, np.float32(0))
        for name, value in (("xy", xy), ("score", score), ("times", times)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one (one nominal frame long)."""
        return float(self.times[-1] - self.times[0] + 1 / self.fps) if len(self) else 0.0

    def __getitem__(self, frames: slice) -> PoseTrack:
        """Frames `[a:b]`; times keep their absolute values."""
        return replace(self, xy=self.xy[frames], score=self.score[frames], times=self.times[frames])

    def project(self, target: Skeleton) -> PoseTrack:
        """The same motion in another layout; joints this layout does not have get score 0."""
        if target == self.skeleton:
            return self
        xy, score = project(self.xy, self.score, self.skeleton, target)
        return replace(self, xy=xy, score=score, skeleton=target)

    def mirrored(self) -> PoseTrack:
        """As seen in a mirror: x reflected (about the image if its size is known), right and left exchanged."""
        order = list(self.skeleton.flip)
        xy = self.xy[:, order].copy()
        xy[..., 0] = (self.size[0] - xy[..., 0]) if self.size[0] else -xy[..., 0]
        return replace(self, xy=xy, score=self.score[:, order])

    def resampled(self, fps: float) -> PoseTrack:
        """Linear interpolation to a constant rate.

        A joint between a frame where it is seen and one where it is missing stays missing, and so does everything
        inside a hole of more than half a second (or 2.5 frames) in the time stamps: gaps are neither filled nor
        eaten into. Frame k of the result lies at `times[0] + k / fps`.
        """
        if len(self) < 2:
            return replace(self, fps=fps)
        count = int(np.floor((self.times[-1] - self.times[0]) * fps + 1e-6)) + 1
        times = self.times[0] + np.arange(count) / fps
        right = np.clip(np.searchsorted(self.times, times, side="left"), 1, len(self) - 1)
        left = right - 1
        w = np.clip((times - self.times[left]) / (self.times[right] - self.times[left]), 0, 1).astype(np.float32)
        w = w[:, None]
        w = np.where(w < 1e-5, 0, np.where(w > 1 - 1e-5, 1, w)).astype(np.float32)
        a, b = self.score[left], self.score[right]
        hole = (self.times[right] - self.times[left] > max(0.5, 2.5 / self.fps))[:, None]
        seen = ((a > 0) | (w == 1)) & ((b > 0) | (w == 0)) & (~hole | (w == 0) | (w == 1))
        score = np.where(seen, (1 - w) * a + w * b, 0)
        xy = (1 - w)[..., None] * self.xy[left] + w[..., None] * self.xy[right]
        return replace(self, xy=xy.astype(np.float32), score=score.astype(np.float32), times=times, fps=fps)


@dataclass(frozen=True, eq=False)
class Signal:
    """Channels of a sensor over time, e.g. wrist sEMG.

    Args:
        values: float32 (channels, samples).
        rate: samples per second, Hz.
        channels: one name per channel.
    """

    values: Array
    rate: float
    channels: tuple[str, ...]

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, np.float32)
        if values.ndim != 2 or len(values) != len(self.channels):
            raise ValueError(f"values have shape {values.shape}, expected ({len(self.channels)}, samples)")
        if not (np.isfinite(self.rate) and self.rate > 0):
            raise ValueError(f"rate is {self.rate}, expected a positive number of Hz")
        object.__setattr__(self, "values", values)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.values.shape[1] / self.rate
