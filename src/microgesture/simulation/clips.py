"""Isolated simulated clips: many short ones at once, with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import taxonomy as find_taxonomy
from microgesture.core.track import PoseTrack
from microgesture.simulation.body import SKELETON, Array, Body
from microgesture.simulation.camera import Camera
from microgesture.simulation.motion import Planner, Script
from microgesture.simulation.programs import class_table, motions
from microgesture.simulation.sensor import observe

FPS = 15.0
# subjects are numbered; the shipped model trains on the first range, and is tested on people it never met
SUBJECTS = {"train": (0, 20_000), "val": (20_000, 22_000), "test": (22_000, 26_000)}
PIXELS_PER_SW = 170.0


@dataclass(frozen=True, eq=False)
class Clips:
    """N clips of equal length.

    Args:
        xy: float32 (N, T, 47, 2), pixels; `score` (N, T, 47), 0 = missing.
        label: int64 (N,), class in the taxonomy asked for; -1 in clips that show none.
        motion: int64 (N,), id of the main motion; -1 = none.
        shown: float32 (N, motions), 1 where a motion is visible; `sure` is 0 where that cannot be decided.
        subject: int64 (N,); fps: frames per second.
    """

    xy: Array
    score: Array
    label: NDArray[np.int64]
    motion: NDArray[np.int64]
    shown: Array
    sure: Array
    subject: NDArray[np.int64]
    fps: float
    skeleton: Skeleton = SKELETON

    def __len__(self) -> int:
        return len(self.xy)

    def track(self, index: int) -> PoseTrack:
        """One clip as a `PoseTrack`."""
        size = (int(8 * PIXELS_PER_SW), int(6 * PIXELS_PER_SW))
        return PoseTrack(self.xy[index], self.score[index], self.fps, size, self.skeleton)


def simulate_clips(
    taxonomy: str,
    count: int,
    seed: int,
    *,
    frames: int = 48,
    fps: float = FPS,
    split: str = "test",
    classes: NDArray[np.int64] | None = None,
) -> Clips:
    """Clips of the classes of one taxonomy, uniformly unless `classes` (N,) names them.

    A clip shows one class of the taxonomy. Other movements may come with it, but none that has a class of its own.

    Args:
        taxonomy: "imigue", "smg" or "ma52"; decides the setting too (desk, standing, chair).
        split: which people are shown: "train", "val" or "test".

    Example:
        >>> clips = simulate_clips("smg", 4, seed=1)
        >>> clips.xy.shape, clips.label.shape
        ((4, 48, 47, 2), (4,))
    """
    rng = np.random.default_rng([seed, len(find_taxonomy(taxonomy))])
    table = class_table(taxonomy)
    if classes is None:
        # fewer clips than classes begin anywhere, so that many small batches show them all
        first = int(rng.integers(table.shape[1])) if count < table.shape[1] else 0
        classes = rng.permutation((first + np.arange(count)) % table.shape[1])
    which = np.array([rng.choice(np.flatnonzero(table[:, k])) for k in classes], np.int64)
    settings = [draw_setting(rng, taxonomy, int(m)) for m in which]
    # one label per clip must be the truth: no motion of another class comes before or beside
    owned = table.any(1)
    barred = [frozenset(np.flatnonzero(owned & (table[:, k] == 0)).tolist()) for k in classes]
    clips = simulate_motions(rng, which, settings, frames=frames, fps=fps, split=split, barred=barred)
    return replace(clips, label=np.asarray(classes, np.int64))


def draw_setting(rng: np.random.Generator, taxonomy: str, motion: int) -> str:
    """Where people of a data set are: iMiGUE at a desk, SMG standing or seated, MA-52 on a chair."""
    if taxonomy == "imigue":
        return "desk" if rng.random() < 0.85 else "chair"
    if taxonomy == "smg":
        legs = motion >= 0 and motions()[motion].group in ("Leg", "Leg-Hand")
        return "stand" if rng.random() < 0.5 and not legs else "chair"
    return "chair" if rng.random() < 0.95 else "desk"


def any_setting(rng: np.random.Generator, motion: int) -> str:
    """A setting for a motion, whatever the data set: motions of legs need legs to be seen."""
    if motion >= 0 and (motions()[motion].group in ("Leg", "Leg-Hand") or motions()[motion].name == "rise_up"):
        return "chair"
    return str(rng.choice(("desk", "chair", "stand"), p=(0.48, 0.42, 0.10)))


def simulate_motions(
    rng: np.random.Generator,
    which: NDArray[np.int64],
    settings: list[str],
    *,
    frames: int,
    fps: float = FPS,
    split: str = "train",
    busy: float = 1.0,
    barred: Sequence[frozenset[int]] | None = None,
) -> Clips:
    """Clips of given motions (ids, -1 = nothing but talk and posture) in given settings; labels are left at -1.

    Args:
        busy: scale of the probability of other motions before and beside.
        barred: for each clip, motions that must not be among these.
    """
    planner = Planner(rng, frames, fps)
    for i, (motion, setting) in enumerate(zip(which, settings, strict=True)):
        planner.barred = barred[i] if barred is not None else frozenset()
        planner.add(motions()[motion] if motion >= 0 else None, setting, busy=busy)
    low, high = SUBJECTS[split]
    subject = rng.integers(low, high, len(which))
    points = planner.points(people(subject))
    flat = Camera.draw(rng, len(which)).project(points)
    desk = np.array([s == "desk" for s in settings])
    xy, score = observe(rng, flat, fps, desk)
    shown, sure = _targets(planner.scripts)
    centre = np.array([4 * PIXELS_PER_SW, 2.6 * PIXELS_PER_SW], np.float32)
    pixels = np.where(score[..., None] > 0, xy * PIXELS_PER_SW + centre, 0).astype(np.float32)
    none = np.full(len(which), -1, np.int64)
    return Clips(pixels, score, none, np.asarray(which, np.int64), shown, sure, subject, fps)


def people(subjects: NDArray[np.int64]) -> Body:
    """Bodies of numbered subjects: the same number is always the same person."""
    unique, place = np.unique(subjects, return_inverse=True)
    bodies = [Body.draw(np.random.default_rng([int(s), 52]), 1) for s in unique]
    return Body(*(np.concatenate([getattr(b, f) for b in bodies])[place] for f in Body.__dataclass_fields__))


def _targets(scripts: list[Script]) -> tuple[Array, Array]:
    """What each clip shows (N, motions), and where that can be decided (1) or not (0)."""
    count = len(motions())
    shown = np.zeros((len(scripts), count), np.float32)
    sure = np.ones((len(scripts), count), np.float32)
    for i, script in enumerate(scripts):
        for motion in script.unsure:
            sure[i, motion] = 0
        for m in script.moving:
            visible = min(m.end, script.seconds) - max(m.start, 0.0)
            length = m.end - m.start
            if m.main or visible >= min(0.6, 0.6 * length):
                shown[i, m.motion] = 1
                sure[i, m.motion] = 1
            elif visible > 0.1:
                sure[i, m.motion] = min(sure[i, m.motion], shown[i, m.motion])
    return shown, sure
