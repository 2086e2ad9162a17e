"""Changes of training windows that leave what happens in them true, and copies of windows that show rare classes.

Written after the idea of hand-made augmentation in the first place of MiGA 2025 (https://arxiv.org/abs/2507.09512),
whose text gives no settings: kinds and amounts here are our reconstruction. Each is a callable named by its class path
in `loading.augment`: `(Window, generator) -> Window`.

    Copies          which windows are shown: those of rare classes several times
    Speed           poses, features, pictures, begins and ends
    Noise           poses and features
    Mosaic          poses, features and pictures, where nothing happens
    Mirror          poses and pictures; windows with features are refused, since the features would tell another story
    Rotate          poses; windows with features or pictures are refused
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.datasets.augment import Motion, mirror, rotation
from microgesture.datasets.sampling import at_times

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Window:
    """A stretch of a recording, zeros behind its end. Times are shares of the window.

    Args:
        xy: (M, T, V, C), body-normalised; 0 where a joint is missing.
        score: (M, T, V).
        series: (D, F), features of F equal stretches, or None.
        segments: (G, 2), begin and end of the gestures; those cut by the window reach outside [0, 1].
        classes: (G,).
        valid: share of the window that lies within the recording, in (0, 1].
        rgb: uint8 (F, H, W, 3), pictures of F equal stretches, red first, or None.
    """

    xy: Floats
    score: Floats
    series: Floats | None
    segments: Floats
    classes: Ids
    valid: float = 1.0
    rgb: NDArray[np.uint8] | None = None


class WindowAugmentation(Protocol):
    """Anything that turns a `Window` into another, drawing from a generator."""

    def __call__(self, window: Window, draw: np.random.Generator) -> Window: ...


@dataclass(frozen=True)
class Copies:
    """Show windows of rare classes several times in an epoch; the window itself stays as it is.

    A class shown N times, fewer than the median class, counts sqrt(median / N) times; a window counts as often as its
    rarest class.

    Args:
        most: the largest number of copies.
    """

    most: int = 8

    def copies(self, shown: Sequence[Ids]) -> list[int]:
        """How often each window is shown, from the classes in it.

        Example:
            >>> Copies().copies([np.array([0])] * 16 + [np.array([1, 0]), np.array([], int)])[-3:]
            [1, 3, 1]
        """
        classes, counts = np.unique(np.concatenate([*shown, np.zeros(0, np.int64)]), return_counts=True)
        often = {
            int(k): int(np.clip(round(float(np.sqrt(np.median(counts) / n))), 1, self.most))
            for k, n in zip(classes, counts, strict=True)
        }
        return [max((often[int(k)] for k in window), default=1) for window in shown]

    def __call__(self, window: Window, draw: np.random.Generator) -> Window:
        return window


@dataclass(frozen=True)
class Speed:
    """Play the window faster or slower; begins and ends move along.

    Faster, it ends before the window does and zeros follow; slower, a part of it is shown.

    Args:
        slowest, fastest: the factor is drawn between them, evenly in its logarithm.
        keep: share of what was visible of a gesture that must stay visible for it to be looked for.
    """

    slowest: float = 0.8
    fastest: float = 1.25
    keep: float = 0.75

    def __call__(self, window: Window, draw: np.random.Generator) -> Window:
        pace = float(np.exp(draw.uniform(np.log(self.slowest), np.log(self.fastest))))
        begin = float(draw.uniform(0, max(0.0, window.valid - pace)))
        valid = min(1.0, (window.valid - begin) / pace)
        frames = window.score.shape[1]
        xy, score = at_times(window.xy, window.score, _places(frames, begin, pace, window.valid))
        behind = _behind(frames, valid)
        xy[:, behind], score[:, behind] = 0, 0
        series = window.series
        if series is not None:
            steps = series.shape[1]
            at = _places(steps, begin, pace, window.valid)
            left = np.minimum(at.astype(np.int64), max(steps - 2, 0))
            right, share = np.minimum(left + 1, steps - 1), (at - left).astype(np.float32)
            series = series[:, left] * (1 - share) + series[:, right] * share
            series[:, _behind(steps, valid)] = 0
        rgb = window.rgb
        if rgb is not None:
            rgb = rgb[np.round(_places(len(rgb), begin, pace, window.valid)).astype(np.int64)]
            rgb[_behind(len(rgb), valid)] = 0
        before = _visible(window.segments, window.valid)
        segments = ((window.segments - begin) / pace).astype(np.float32)
        kept = _visible(segments, valid) * pace >= self.keep * before - 1e-6
        return Window(xy, score, series, segments[kept], window.classes[kept], valid, rgb)


def _places(count: int, begin: float, pace: float, valid: float) -> NDArray[np.float64]:
    """Where the middles of `count` new stretches lie among the old ones that are within the recording."""
    last = max(0, int(np.ceil(valid * count - 1e-6)) - 1)
    return np.clip(begin * count + (np.arange(count) + 0.5) * pace - 0.5, 0, last)


def _behind(count: int, valid: float) -> NDArray[np.bool_]:
    """Which of `count` stretches begin behind the recording."""
    behind: NDArray[np.bool_] = np.arange(count) / count >= valid - 1e-6
    return behind


def _visible(segments: Floats, valid: float) -> Floats:
    """Length of what is seen of each gesture."""
    seen: Floats = np.clip(segments, 0, valid) @ np.array([-1, 1], np.float32)
    return seen


@dataclass(frozen=True)
class Noise:
    """Add white noise.

    Args:
        poses: standard deviation in shoulder widths, for seen joints.
        features: standard deviation as a share of each feature's own within the window.
    """

    poses: float = 0.01
    features: float = 0.1

    def __call__(self, window: Window, draw: np.random.Generator) -> Window:
        xy, series = window.xy, window.series
        noise = draw.standard_normal(xy.shape, np.float32) * np.float32(self.poses)
        xy = np.where(window.score[..., None] > 0, xy + noise, np.float32(0))
        if series is not None:
            within = ~_behind(series.shape[1], window.valid)
            amount = np.float32(self.features) * series[:, within].std(1, keepdims=True)
            series = series + draw.standard_normal(series.shape, np.float32) * amount * within
        return replace(window, xy=xy, series=series)


@dataclass(frozen=True)
class Mosaic:
    """Lay stretches in which nothing happens over others in which nothing happens, so that backgrounds vary.

    Args:
        pieces: how many stretches.
        longest: the longest of them, as a share of the window.
    """

    pieces: int = 3
    longest: float = 0.1

    def __call__(self, window: Window, draw: np.random.Generator) -> Window:
        # steps of the features, pictures or frames, whichever are the fewest: what all arrays can be cut at
        steps = min(
            window.score.shape[1],
            *(() if window.series is None else window.series.shape[1:]),
            *(() if window.rgb is None else window.rgb.shape[:1]),
        )
        at = np.arange(steps) / steps
        quiet = ~_behind(steps, window.valid)
        for begin, end in window.segments:
            quiet &= (at + 1 / steps <= begin) | (at >= end)
        xy, score = window.xy.copy(), window.score.copy()
        series = None if window.series is None else window.series.copy()
        rgb = None if window.rgb is None else window.rgb.copy()
        for _ in range(self.pieces):
            length = int(draw.integers(1, max(1, round(self.longest * steps)) + 1))
            run = np.convolve(quiet, np.ones(length), "valid") > length - 0.5
            if not run.any():
                continue
            source, target = draw.choice(np.flatnonzero(run), 2)
            stretch = source / steps, target / steps, length / steps
            _lay(window.xy, xy, 1, *stretch)
            _lay(window.score, score, 1, *stretch)
            if series is not None and window.series is not None:
                _lay(window.series, series, 1, *stretch)
            if rgb is not None and window.rgb is not None:
                _lay(window.rgb, rgb, 0, *stretch)
        return replace(window, xy=xy, score=score, series=series, rgb=rgb)


def _lay(old: NDArray[Any], new: NDArray[Any], axis: int, source: float, target: float, length: float) -> None:
    """Copy a stretch of one array to another place in the other; the times are shares of the axis."""
    count = old.shape[axis]
    a, b = round(source * count), round(target * count)
    n = min(round(length * count), count - a, count - b)
    new.swapaxes(0, axis)[b : b + n] = old.swapaxes(0, axis)[a : a + n]


@dataclass(frozen=True)
class Mirror:
    """Mirror person and pictures with probability `p`; only for label spaces that do not tell sides apart.

    Args:
        layout: name of the joints' layout, e.g. "imigue22".

    Raises:
        UsageError: there is no such layout, the windows have another number of joints, or they carry features.
    """

    layout: str
    p: float = 0.5

    def __post_init__(self) -> None:
        if self.layout not in SKELETONS:
            raise UsageError(f"layout is '{self.layout}', expected one of {', '.join(SKELETONS)}")

    def __call__(self, window: Window, draw: np.random.Generator) -> Window:
        _without_features(window, "mirrored")
        skeleton, joints = SKELETONS[self.layout], window.score.shape[2]
        if joints != len(skeleton):
            raise UsageError(f"layout '{self.layout}' has {len(skeleton)} joints, the windows have {joints}")
        if draw.random() >= self.p:
            return window
        seen = mirror(Motion(window.xy, window.score, skeleton))
        rgb = None if window.rgb is None else np.ascontiguousarray(window.rgb[:, :, ::-1])
        return replace(window, xy=seen.xy, score=seen.score, rgb=rgb)


@dataclass(frozen=True)
class Rotate:
    """Turn the person about the neck in the picture plane, by up to `roll` degrees either way.

    Raises:
        UsageError: the windows carry features or pictures.
    """

    roll: float = 10.0

    def __call__(self, window: Window, draw: np.random.Generator) -> Window:
        _without_features(window, "turned")
        if window.rgb is not None:
            raise UsageError("pictures cannot be turned with the poses: leave this out of loading.augment")
        coordinates = window.xy.shape[-1]
        turn = rotation(np.radians([0.0, 0.0, self.roll * draw.uniform(-1, 1)]))[:coordinates, :coordinates]
        return replace(window, xy=window.xy @ turn.T)


def _without_features(window: Window, done: str) -> None:
    if window.series is not None:
        raise UsageError(f"features cannot be {done} with the poses: leave this out of loading.augment")
