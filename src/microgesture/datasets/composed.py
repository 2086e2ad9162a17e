"""Recordings strung together from single clips: what a spotter learns on where only clips are labelled.

    ... way to the next clip ... CLIP ... way to the next clip ... CLIP ...

On the way the body goes from the last pose of a clip to the first one of the next, often by way of a pose in which
some other clip begins or ends, and wanders a little: ways are what "nothing" looks like to the spotter. The whole
recordings of the data set, where it has any, are what is searched in a test.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.track import PoseTrack
from microgesture.datasets.clips import Floats, LabelledClips
from microgesture.datasets.harmonised import GivesClips, Wrapped
from microgesture.datasets.recordings import LabelledRecording, RecordingDataset

Pose = tuple[Floats, Floats]


class Composed(Wrapped):
    """Recordings made of the training clips of a data set; its own recordings are the test.

    Args:
        data: the data set inside.
        recordings: how many to make for training; a fifth as many, of clips kept apart, are the split `val`.
        clips: gestures in each of them.
        gap: least and greatest length of a way, in seconds.
        trim: share of a clip at each end that is way, not gesture, where clips were cut with margins.
        turn: share of ways that pass by a pose of another clip's begin or end.
        wander: how far the body strays on its way, as a share of its own size.
        apart: share of the training clips that only the split `val` shows.
        seed: of all that is drawn.

    Raises:
        UsageError: an argument makes no sense.

    Example:
        >>> from microgesture.datasets.sfinge3d import SFINGE3D
        >>> Composed(SFINGE3D()).splits
        ('train', 'val', 'test')
    """

    splits: tuple[str, ...]

    def __init__(
        self,
        data: GivesClips,
        recordings: int = 200,
        clips: int = 6,
        gap: tuple[float, float] = (0.5, 4.0),
        trim: float = 0.1,
        turn: float = 0.5,
        wander: float = 0.3,
        apart: float = 0.15,
        seed: int = 0,
    ) -> None:
        super().__init__(data)
        for name, value, low, high in (
            ("recordings", recordings, 1, 10**6), ("clips", clips, 1, 10**4), ("trim", trim, 0, 0.45),
            ("turn", turn, 0, 1), ("wander", wander, 0, 10), ("apart", apart, 0.01, 0.9),
        ):  # fmt: skip
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}; it must lie in {low}..{high}")
        if not 0 <= gap[0] <= gap[1] <= 600:
            raise UsageError(f"gap is {list(gap)}; it must be two rising numbers of seconds in 0..600")
        self.count, self.each, self.gap, self.trim = recordings, clips, gap, trim
        self.turn, self.wander, self.apart, self.seed = turn, wander, apart, seed
        self.splits = ("train", "val", "test")

    @property
    def slack(self) -> float | None:
        """Seconds before a gesture in which its detection may begin, for data sets that count begins."""
        return getattr(self.data, "slack", None)

    def recordings(self, split: str) -> Sequence[LabelledRecording]:
        """Composed recordings for `train` and `val`; those of the data set for `test`.

        Raises:
            UsageError: there is no such split, or the data set has no recordings of its own.
            NoInput, FormatError: the data are missing or damaged.
        """
        if split not in self.splits:
            raise UsageError(f"{self.key} has no split '{split}'; choose {', '.join(self.splits)}")
        if split == "test":
            if not isinstance(self.data, RecordingDataset):
                raise UsageError(f"{self.key} has no long recordings to search: it gives clips only")
            return self.data.recordings("test")
        clips = self.data.clips("train")
        order = np.random.default_rng(self.seed).permutation(len(clips))
        kept = max(1, round(self.apart * len(clips)))
        if kept == len(clips):
            raise UsageError(f"{clips.source} holds {len(clips)} clip; two are needed, one of them for the split val")
        chosen = order[:kept] if split == "val" else order[kept:]
        many = self.count if split == "train" else max(1, self.count // 5)
        draw = np.random.default_rng((self.seed, self.splits.index(split)))
        deck = np.concatenate([draw.permutation(chosen) for _ in range(-(-many * self.each // len(chosen)))])
        ends = _ends(clips, chosen)
        return [
            self._compose(f"{split}{i:04d}", clips, deck[i * self.each : (i + 1) * self.each], ends, draw)
            for i in range(many)
        ]

    def _compose(
        self, name: str, clips: LabelledClips, chosen: NDArray[np.int64], ends: list[Pose], draw: np.random.Generator
    ) -> LabelledRecording:
        parts: list[Pose] = []
        segments: list[Segment] = []
        frames, fps = 0, self.fps
        before: Pose = ends[int(draw.integers(len(ends)))]
        for i in [*chosen.tolist(), None]:
            if i is None:
                after: Pose = ends[int(draw.integers(len(ends)))]
                clip = None
            else:
                xy, score = clips[i]
                clip = xy[0], score[0]
                after = clip[0][0], clip[1][0]
            way = self._way(before, after, ends, draw)
            parts.append(way)
            frames += len(way[0])
            if clip is None or i is None:
                break
            length = len(clip[0])
            start, end = frames + self.trim * length, frames + (1 - self.trim) * length
            segments.append(Segment(start / fps, end / fps, int(clips.label[i])))
            parts.append(clip)
            frames += length
            before = clip[0][-1], clip[1][-1]
        xy, score = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        track = PoseTrack(xy, score, fps, (0, 0), clips.skeleton)
        return LabelledRecording(name, track, Timeline(tuple(segments), self.taxonomy, frames / fps))

    def _way(self, before: Pose, after: Pose, ends: list[Pose], draw: np.random.Generator) -> Pose:
        """Poses between two, (T, V, C) and (T, V): minimum-jerk paths through a pose at most, with a slow wander."""
        frames = max(1, round(draw.uniform(*self.gap) * self.fps))
        stops = [before, after]
        if draw.random() < self.turn:
            stops.insert(1, _moved(ends[int(draw.integers(len(ends)))], before, after))
        borders = np.sort(draw.uniform(0.2, 0.8, len(stops) - 2))
        at = np.linspace(0, 1, frames + 2)[1:-1]
        knots = np.array([0.0, *borders, 1.0])
        part = np.clip(np.searchsorted(knots, at, "right") - 1, 0, len(stops) - 2)
        u = (at - knots[part]) / (knots[part + 1] - knots[part])
        u = (u**3 * (10 - 15 * u + 6 * u**2))[:, None, None].astype(np.float32)
        xy = np.stack([s[0] for s in stops])
        seen = np.stack([s[1] for s in stops])
        path = xy[part] * (1 - u) + xy[part + 1] * u
        score = np.minimum(seen[part], seen[part + 1])
        if self.wander:
            size = float(np.linalg.norm(np.ptp(before[0], axis=0)))
            noise = gaussian_filter1d(draw.normal(size=(frames + 2, 1, path.shape[-1])), 0.3 * self.fps, axis=0)
            noise /= max(float(noise.std()), 1e-9)
            ramp = np.sin(np.pi * np.linspace(0, 1, frames + 2))[:, None, None]  # none where clips join
            path = path + (self.wander * size * draw.uniform(0, 1) * noise * ramp)[1:-1].astype(np.float32)
        return path.astype(np.float32), score


def _ends(clips: LabelledClips, chosen: NDArray[np.int64]) -> list[Pose]:
    """First and last pose of every clip."""
    found: list[Pose] = []
    for i in chosen.tolist():
        xy, score = clips[i]
        found += [(xy[0, 0], score[0, 0]), (xy[0, -1], score[0, -1])]
    return found


def _moved(pose: Pose, before: Pose, after: Pose) -> Pose:
    """A pose brought to the middle between two others: what matters is its shape."""
    place = (before[0].mean(0) + after[0].mean(0)) / 2
    return pose[0] - pose[0].mean(0) + place, pose[1]
