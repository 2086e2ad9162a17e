"""Augmentations: changes of a clip that leave its label true. Each is a callable named by its class path in a recipe.

They act on body coordinates (origin at the neck, unit shoulder widths) before streams are made:
`(Motion, generator) -> Motion`. Missing joints stay missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.clips import Floats
from microgesture.datasets.sampling import at_times

_SIDED = frozenset({"left", "right", "cw", "ccw", "clockwise", "counterclockwise", "anticlockwise"})


class Motion(NamedTuple):
    """One clip in body coordinates: `xy` float32 (M, T, V, C), `score` float32 (M, T, V)."""

    xy: Floats
    score: Floats
    skeleton: Skeleton


class Augmentation(Protocol):
    """Anything that turns a `Motion` into another, drawing from a generator."""

    def __call__(self, motion: Motion, draw: np.random.Generator) -> Motion: ...


@dataclass(frozen=True)
class Flip:
    """Mirror the person with probability `p`: x reflected, right and left exchanged.

    Only for label spaces that do not tell sides or directions apart.
    """

    p: float = 0.5

    def __call__(self, motion: Motion, draw: np.random.Generator) -> Motion:
        return mirror(motion) if draw.random() < self.p else motion


def mirror(motion: Motion) -> Motion:
    """As seen in a mirror; its own inverse."""
    order = list(motion.skeleton.flip)
    xy = motion.xy[..., order, :].copy()
    xy[..., 0] *= -1
    return Motion(xy, motion.score[..., order], motion.skeleton)


def sided(taxonomy: Taxonomy) -> tuple[str, ...]:
    """Names of the classes that tell sides or turns apart: a mirror makes another class of them.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> sided(SMG)
        ()
    """
    return tuple(name for name in taxonomy.names if _SIDED.intersection(re.split(r"[^a-z]+", name.casefold())))


@dataclass(frozen=True)
class Rotate:
    """Turn the whole clip about the neck by angles drawn evenly from ± these limits.

    Args:
        pitch, yaw: degrees about the horizontal and the vertical axis; they need three coordinates.
        roll: degrees in the picture plane.

    Raises:
        UsageError: pitch or yaw for a clip with two coordinates.
    """

    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0

    def __call__(self, motion: Motion, draw: np.random.Generator) -> Motion:
        angles = np.radians([self.pitch, self.yaw, self.roll]) * draw.uniform(-1, 1, 3)
        if motion.xy.shape[-1] == 2 and (self.pitch or self.yaw):
            raise UsageError("pitch and yaw need three coordinates; the clip has two")
        turn = rotation(angles)[: motion.xy.shape[-1], : motion.xy.shape[-1]]
        return motion._replace(xy=motion.xy @ turn.T)


def rotation(angles: NDArray[np.float64]) -> Floats:
    """Rotation matrix (3, 3) about x, then y, then z; angles (3,) in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turn: Floats = (z @ y @ x).astype(np.float32)
    return turn


@dataclass(frozen=True)
class Scale:
    """Stretch every axis by its own factor out of `1 ± amount`: other proportions, other cameras."""

    amount: float = 0.1

    def __call__(self, motion: Motion, draw: np.random.Generator) -> Motion:
        factor = draw.uniform(1 - self.amount, 1 + self.amount, motion.xy.shape[-1])
        return motion._replace(xy=motion.xy * factor.astype(np.float32))


@dataclass(frozen=True)
class Noise:
    """Add white noise of `sd` shoulder widths to seen joints."""

    sd: float = 0.01

    def __call__(self, motion: Motion, draw: np.random.Generator) -> Motion:
        noise = draw.standard_normal(motion.xy.shape, np.float32) * np.float32(self.sd)
        return motion._replace(xy=np.where(motion.score[..., None] > 0, motion.xy + noise, np.float32(0)))


@dataclass(frozen=True)
class DropJoints:
    """Lose each joint with probability `p` for a stretch of up to `longest` of the clip."""

    p: float = 0.05
    longest: float = 0.5

    def __call__(self, motion: Motion, draw: np.random.Generator) -> Motion:
        m, t, v = motion.score.shape
        start = draw.uniform(0, t, (m, 1, v))
        length = draw.uniform(0, self.longest * t, (m, 1, v)) * (draw.random((m, 1, v)) < self.p)
        frame = np.arange(t)[None, :, None]
        lost = (frame >= start) & (frame < start + length)
        return motion._replace(
            xy=np.where(lost[..., None], np.float32(0), motion.xy), score=np.where(lost, np.float32(0), motion.score)
        )


@dataclass(frozen=True)
class CropTime:
    """Keep a random stretch of at least `least` of the clip."""

    least: float = 0.8

    def __call__(self, motion: Motion, draw: np.random.Generator) -> Motion:
        t = motion.score.shape[1]
        length = max(1, round(t * draw.uniform(self.least, 1)))
        start = int(draw.integers(0, t - length + 1))
        keep = slice(start, start + length)
        return motion._replace(xy=motion.xy[:, keep], score=motion.score[:, keep])


@dataclass(frozen=True)
class WarpTime:
    """Run some stretches faster and others slower: local speed `exp(± strength)`, `knots` changes per clip."""

    strength: float = 0.3
    knots: int = 4

    def __call__(self, motion: Motion, draw: np.random.Generator) -> Motion:
        t = motion.score.shape[1]
        if t < 2:
            return motion
        pace = np.exp(draw.uniform(-self.strength, self.strength, self.knots))
        speed = np.interp(np.arange(t - 1), np.linspace(0, t - 2, self.knots), pace)
        times = np.concatenate(([0.0], np.cumsum(speed)))
        return Motion(*at_times(motion.xy, motion.score, times * (t - 1) / times[-1]), motion.skeleton)
