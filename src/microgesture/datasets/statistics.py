"""Numbers about a prepared store: how much of what it holds, how long, how unequal, and how well joints are seen.

Tables are counted whole, as arrays. Of the frames a sample is read, evenly spaced over all recordings and the same
every time, so that a store of any size takes seconds and little memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.normalise import body_normalise
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import frequency_bands
from microgesture.datasets.store import CLIPS, RECORDINGS, STATES, Ids, Store

Progress = Callable[[str, float, float], None]

SAMPLE = 4096
"""Frames read by default."""
BINS = 10
"""Columns of the histograms of confidence, of equal width from 0 to 1."""
_EVERY = 256  # frames between two news of progress
_PARTS = {
    "head": "head nose nostril eye pupil ear brow mouth lip jaw chin forehead",
    "hands": "hand thumb index middle ring pinky",
    "legs": "knee ankle toe heel foot",
}
_REST = "trunk and arms"
_GROUPS = ("head", _REST, "hands", "legs")


@dataclass(frozen=True)
class Spread:
    """How a number varies: 5 %, median and 95 % of `count` values, and the greatest."""

    count: int
    low: float
    median: float
    high: float
    most: float

    @classmethod
    def of(cls, values: ArrayLike) -> Spread | None:
        """The spread of some values; None of none.

        Example:
            >>> Spread.of([1, 2, 3])
            Spread(count=3, low=1.1, median=2.0, high=2.9, most=3.0)
        """
        array = np.asarray(values, np.float64)
        if not array.size:
            return None
        low, median, high = (round(float(q), 6) for q in np.percentile(array, (5, 50, 95)))
        return cls(array.size, low, median, high, float(array.max()))


@dataclass(frozen=True)
class SplitNumbers:
    """What a split holds.

    Args:
        withheld: clips without a label.
        minutes: of recordings.
        subjects: people; None if the data set does not say who they are.
        counts: clips of every class, (K,).
        majority: id of the most frequent class, -1 without labels.
        floor: share of the labelled clips that always answering with it gets right; None without labels.
        per_recording, per_subject: clips.
    """

    name: str
    recordings: int
    clips: int
    withheld: int
    minutes: float
    subjects: int | None
    counts: tuple[int, ...]
    majority: int
    floor: float | None
    per_recording: Spread | None
    per_subject: Spread | None


@dataclass(frozen=True)
class Tail:
    """How unequal the classes are.

    Args:
        split: the split it was counted on: `train`, or the first that has labels.
        order: class ids, the most frequent first.
        many, medium, few: class ids by `core.taxonomies.frequency_bands`.
        absent: class ids without a clip; they are among `few` too.
        imbalance: clips of the most frequent class over those of the rarest that has any.
    """

    split: str
    order: tuple[int, ...]
    many: tuple[int, ...]
    medium: tuple[int, ...]
    few: tuple[int, ...]
    absent: tuple[int, ...]
    imbalance: float


@dataclass(frozen=True)
class StateNumbers:
    """Stretches of one emotional state in one split; `label` is -1 where the state is withheld."""

    label: int
    name: str
    split: str
    count: int
    minutes: float


@dataclass(frozen=True)
class Joints:
    """How well joints are seen, in a sample of frames.

    Args:
        frames, total: frames read, and frames of the store.
        nobody: share of the frames read in which no joint of anybody is seen.
        people: poses with at least one joint; several per frame where several people are.
        missing: share of these poses that lack a joint, (V,); NaN-free, 0 without any pose.
        confidence: joint group -> how many joints that are seen have a score in each tenth from 0 to 1.
        pose: median place of every joint over poses normalised to the body, (V, 2); None for joints never seen.
    """

    frames: int
    total: int
    nobody: float
    people: int
    missing: tuple[float, ...]
    confidence: dict[str, tuple[int, ...]]
    pose: tuple[tuple[float, float] | None, ...]


@dataclass(frozen=True)
class Statistics:
    """Everything `statistics` counts.

    Args:
        durations: seconds of the clips of every class, over all splits; None for a class without clips.
        duration: seconds of all clips, those without a label too.
        labelled: share of all frames that lie in a clip.
        overlapping: clips that begin before an earlier one of their recording has ended.
        shared_subjects: people with recordings in more than one split.
        tail: None if no split has labels.
        rates: (frames per second, recordings), the most frequent first.
        sizes: (width, height, recordings), the most frequent first; (0, 0) is unknown.
    """

    splits: tuple[SplitNumbers, ...]
    durations: tuple[Spread | None, ...]
    duration: Spread | None
    labelled: float
    overlapping: int
    shared_subjects: int
    tail: Tail | None
    rates: tuple[tuple[float, int], ...]
    sizes: tuple[tuple[int, int, int], ...]
    states: tuple[StateNumbers, ...]
    joints: Joints


def statistics(store: Store, frames: int = SAMPLE, progress: Progress | None = None) -> Statistics:
    """Count a store.

    Args:
        frames: how many to read at most for the joints.

    Raises:
        FormatError: a file of the store cannot be read.
    """
    names, split = _splits(store)
    label, recording = store.column(CLIPS, "label"), store.column(CLIPS, "recording")
    length = store.column(RECORDINGS, "frames")
    fps = store.column(RECORDINGS, "fps")
    seconds = store.column(CLIPS, "frames") / fps[recording]
    splits = tuple(_split(store, i, name, split, label, recording, length / fps) for i, name in enumerate(names))
    subject = store.column(RECORDINGS, "subject")
    pairs = np.unique(np.stack([subject, split])[:, subject >= 0], axis=1)
    labelled, overlapping = _union(store, recording, length)
    sizes = np.stack([store.column(RECORDINGS, "width"), store.column(RECORDINGS, "height")], 1)
    return Statistics(
        splits=splits,
        durations=_per_class(label, seconds, len(store.taxonomy)),
        duration=Spread.of(seconds),
        labelled=labelled,
        overlapping=overlapping,
        shared_subjects=int((np.unique(pairs[0], return_counts=True)[1] > 1).sum()),
        tail=tail_of(splits),
        rates=tuple((float(rate), n) for rate, n in _met(fps)),
        sizes=tuple((int(size[0]), int(size[1]), n) for size, n in _met(sizes)),
        states=tuple(_states(store, names, split, fps)),
        joints=sample_joints(store, frames, progress),
    )


def tail_of(splits: tuple[SplitNumbers, ...]) -> Tail | None:
    """The long tail of the training split, or of the first split that has labels."""
    chosen = [s for s in splits if s.majority >= 0]
    if not chosen:
        return None
    split = next((s for s in chosen if s.name == "train"), chosen[0])
    counts = split.counts
    order = sorted(range(len(counts)), key=lambda k: (-counts[k], k))
    some = [n for n in counts if n]
    absent = tuple(k for k, n in enumerate(counts) if not n)
    return Tail(split.name, tuple(order), *frequency_bands(counts), absent, max(some) / min(some))


def joint_groups(skeleton: Skeleton) -> tuple[str, ...]:
    """Part of the body of every joint, by its name: head, trunk and arms, hands, or legs.

    Example:
        >>> joint_groups(Skeleton("two", ("r_wrist", "nose_tip"), ((0, 1),)))
        ('trunk and arms', 'head')
    """

    def part(joint: str) -> str:
        words = set(joint.split("_"))
        return next((group for group, some in _PARTS.items() if words & set(some.split())), _REST)

    return tuple(part(joint) for joint in skeleton.joints)


def _splits(store: Store) -> tuple[list[str], Ids]:
    """Names of the splits in the order of the index, and the number of the split of every recording."""
    coded = store.recordings.column("split").combine_chunks().dictionary_encode()
    found = coded.dictionary.to_pylist()
    names = list(dict.fromkeys([*store.index["rows"], *found]))
    place = np.array([names.index(name) for name in found], np.int64)
    codes: Ids = place[coded.indices.to_numpy(zero_copy_only=False)] if found else np.zeros(0, np.int64)
    return names, codes


def _split(
    store: Store, i: int, name: str, split: Ids, label: Ids, recording: Ids, seconds: NDArray[np.float64]
) -> SplitNumbers:
    mine, of_clip = split == i, split[recording] == i
    counts = np.bincount(label[of_clip & (label >= 0)], minlength=len(store.taxonomy))
    per_recording = np.bincount(recording[of_clip], minlength=len(split))[mine]
    subject = store.column(RECORDINGS, "subject")
    named = subject[mine & (subject >= 0)]
    who = subject[recording[of_clip]]
    per_subject = np.unique(np.concatenate([who[who >= 0], named]), return_counts=True)[1]
    # everybody was counted once per recording as well: people without clips have 0
    per_subject = per_subject - np.unique(named, return_counts=True)[1]
    some = int(counts.sum())
    return SplitNumbers(
        name=name,
        recordings=int(mine.sum()),
        clips=int(of_clip.sum()),
        withheld=int(of_clip.sum()) - some,
        minutes=float(seconds[mine].sum()) / 60,
        subjects=len(per_subject) if named.size else None,
        counts=tuple(counts.tolist()),
        majority=int(counts.argmax()) if some else -1,
        floor=float(counts.max() / some) if some else None,
        per_recording=Spread.of(per_recording),
        per_subject=Spread.of(per_subject),
    )


def _per_class(label: Ids, seconds: NDArray[np.float64], classes: int) -> tuple[Spread | None, ...]:
    order = np.argsort(label, kind="stable")
    edges = np.searchsorted(label[order], np.arange(classes + 1))
    ordered = seconds[order]
    return tuple(Spread.of(ordered[a:b]) for a, b in pairwise(edges.tolist()))


def _union(store: Store, recording: Ids, length: Ids) -> tuple[float, int]:
    """Share of all frames that lie in a clip, and how many clips overlap an earlier one."""
    if not recording.size:
        return 0.0, 0
    start = (np.cumsum(length) - length)[recording] + store.column(CLIPS, "start")
    end = start + store.column(CLIPS, "frames")
    order = np.lexsort((end, start))
    start, end = start[order], end[order]
    before = np.concatenate([[0], np.maximum.accumulate(end)[:-1]])
    covered = np.maximum(0, end - np.maximum(start, before)).sum()
    return float(covered / length.sum()), int((start < before).sum())


def _met(values: NDArray[Any]) -> list[tuple[Any, int]]:
    found, counts = np.unique(values, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return list(zip(found[order].tolist(), counts[order].tolist(), strict=True))


def _states(store: Store, names: list[str], split: Ids, fps: NDArray[np.float64]) -> list[StateNumbers]:
    label, recording = store.column(STATES, "label"), store.column(STATES, "recording")
    minutes = store.column(STATES, "frames") / fps[recording] / 60
    # an emotion protocol may have its own split; where it has none, that of the recording counts
    own = store.states.column("split").to_numpy(zero_copy_only=False).astype(np.object_)
    of_recording = np.array(names, np.object_)[split[recording]]
    chosen = np.where(own == "", of_recording, own) if own.size else own
    rows = []
    for name in dict.fromkeys([*names, *sorted(set(chosen.tolist()))]):
        for k in np.unique(label[chosen == name]).tolist() if own.size else ():
            where = (chosen == name) & (label == k)
            words = "withheld" if k < 0 else store.states_of[k] if k < len(store.states_of) else f"state {k}"
            rows.append(StateNumbers(k, words, name, int(where.sum()), float(minutes[where].sum())))
    return rows


def sample_joints(store: Store, frames: int = SAMPLE, progress: Progress | None = None) -> Joints:
    """Read evenly spaced frames and see which joints are there.

    Raises:
        FormatError: the frames cannot be read.
    """
    ends = np.cumsum(store.column(RECORDINGS, "frames"))
    total = int(ends[-1]) if ends.size else 0
    count, joints = min(frames, total), len(store.skeleton)
    places = (2 * np.arange(count, dtype=np.int64) + 1) * total // (2 * max(count, 1))
    recordings = np.searchsorted(ends, places, side="right")
    xy = np.zeros((count, store.persons, joints, store.coordinates), np.float32)
    score = np.zeros((count, store.persons, joints), np.float32)
    first = ends - store.column(RECORDINGS, "frames")
    for i, (place, recording) in enumerate(zip(places.tolist(), recordings.tolist(), strict=True)):
        one, seen = store.frames(recording, place - int(first[recording]), 1)
        xy[i], score[i] = one[:, 0], seen[:, 0]
        if progress is not None and (i % _EVERY == 0 or i == count - 1):
            progress("reading frames", i + 1, count)
    there = score > 0
    poses = there.any(-1)
    people = int(poses.sum())
    part = np.array(joint_groups(store.skeleton))
    return Joints(
        frames=count,
        total=total,
        nobody=float(1 - poses.any(-1).mean()) if count else 0.0,
        people=people,
        missing=tuple((1 - there[poses].mean(0)).tolist()) if people else (0.0,) * joints,
        confidence={
            group: tuple(_tenths(score[..., part == group]).tolist()) for group in _GROUPS if (part == group).any()
        },
        pose=_pose(xy[poses][..., :2], score[poses], store.skeleton),
    )


def _tenths(score: NDArray[np.float32]) -> Ids:
    seen = score[score > 0]
    return np.bincount(np.clip((seen * BINS).astype(np.int64), 0, BINS - 1), minlength=BINS)


def _pose(
    xy: NDArray[np.float32], score: NDArray[np.float32], skeleton: Skeleton
) -> tuple[tuple[float, float] | None, ...]:
    if not len(xy):
        return (None,) * len(skeleton)
    plain = body_normalise(xy[:, None], score[:, None], skeleton).xy[:, 0]
    places: list[tuple[float, float] | None] = []
    for joint in range(len(skeleton)):
        seen = score[:, joint] > 0
        x, y = np.median(plain[seen, joint], 0).tolist() if seen.any() else (0.0, 0.0)
        places.append((x, y) if seen.any() else None)
    return tuple(places)
