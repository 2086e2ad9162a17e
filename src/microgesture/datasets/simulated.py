"""Simulated micro-gestures: new training clips in every epoch, fixed validation and test clips of unseen people.

Clips come from `microgesture.simulation`; every class is equally frequent, except in `SimulatedTail`. Training,
validation and test people are disjoint there. What is drawn depends on seeds alone, so every machine measures on the
same test clips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.normalise import body_normalise
from microgesture.core.taxonomies import taxonomy as find_taxonomy
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.clips import Clips, Floats, Ids
from microgesture.datasets.recordings import LabelledRecording
from microgesture.layers.batch import PoseBatch
from microgesture.simulation.clips import Clips as Made
from microgesture.simulation.clips import any_setting, simulate_clips, simulate_motions
from microgesture.simulation.programs import TAXONOMY_KEYS, class_table, motion_taxonomy
from microgesture.simulation.recording import simulate_recording

_SEEDS = {"val": 1, "test": 2}


class Simulated:
    """Clips of the classes of one taxonomy, made on the spot.

    Args:
        taxonomy: `"imigue"`, `"smg"` or `"ma52"`.
        length: frames per clip, at `fps` frames per second.
        epoch_clips: clips called one epoch.
        test_clips: clips in each of the splits val and test.

    Example:
        >>> Simulated("smg").skeleton.name
        'canonical'
    """

    key = "simulated"
    skeleton = SKELETONS["canonical"]
    persons = 1
    coordinates = 2
    splits: tuple[str, ...] = ("train", "val", "test")
    taxonomy: Taxonomy

    def __init__(
        self, taxonomy: str, length: int = 48, fps: float = 15.0, epoch_clips: int = 8192, test_clips: int = 2048
    ) -> None:
        if taxonomy not in TAXONOMY_KEYS:
            raise UsageError(f"the simulator knows no '{taxonomy}'; choose {', '.join(TAXONOMY_KEYS)}")
        self.taxonomy = find_taxonomy(taxonomy)
        self._set(length, fps, epoch_clips, test_clips)

    def _set(self, length: int, fps: float, epoch_clips: int, test_clips: int) -> None:
        for name, value in (("length", length), ("epoch_clips", epoch_clips), ("test_clips", test_clips)):
            if value < 1:
                raise UsageError(f"{name} is {value}; it must be at least 1")
        if not fps > 0:
            raise UsageError(f"fps is {fps}; it must be positive")
        self.length, self.fps, self.epoch_clips, self.test_clips = length, fps, epoch_clips, test_clips

    def clips(self, split: str) -> Clips:
        """The fixed clips of `"val"` or `"test"`; for `"train"` a sample as large as an epoch."""
        if split not in self.splits:
            raise UsageError(f"the simulator has no split '{split}'; choose {', '.join(self.splits)}")
        if split == "train":
            return self.fresh(self.epoch_clips, (0,))
        return self._simulate(self.test_clips, _SEEDS[split], split, self.length)

    def fresh(self, count: int, seed: tuple[int, ...]) -> Clips:
        """`count` new clips of training people."""
        number = int(np.random.SeedSequence(seed).generate_state(1)[0])
        return self._simulate(count, number, "train", self.length)

    def _simulate(self, count: int, seed: int, split: str, length: int) -> Clips:
        made = simulate_clips(self.taxonomy.key, count, seed, frames=length, fps=self.fps, split=split)
        return self._clips(made, made.label, f"{split}, seed {seed}")

    def _clips(self, made: Made, label: Ids, which: str, soft: Floats | None = None) -> Clips:
        count, length = made.xy.shape[:2]
        return Clips(
            made.xy.reshape(-1, 1, *made.xy.shape[2:]),
            made.score.reshape(-1, 1, made.score.shape[2]),
            np.arange(count + 1, dtype=np.int64) * length,
            label,
            made.subject,
            self.skeleton,
            self.taxonomy,
            f"simulated {self.taxonomy.key}, {which}",
            soft,
        )


class SimulatedTail:
    """A fixed number of clips in the shares that the classes have in the real data set: a long tail to learn on.

    Args:
        taxonomy: `"imigue"`, `"smg"` or `"ma52"`.
        length, fps: see `Simulated`.
        train_clips: about how many; a class has one at least.
        test_clips: about how many in each of the splits val and test; a class has `least` at least.

    Example:
        >>> int(SimulatedTail("imigue").counts("train")[18])
        1
    """

    key = "simulated_tail"
    skeleton, persons, coordinates, splits = Simulated.skeleton, 1, 2, Simulated.splits

    def __init__(
        self,
        taxonomy: str,
        length: int = 40,
        fps: float = 15.0,
        train_clips: int = 4000,
        test_clips: int = 1500,
        least: int = 5,
    ) -> None:
        made = Simulated(taxonomy, length, fps, train_clips, test_clips)
        if least < 1:
            raise UsageError(f"least is {least}; it must be at least 1")
        self.taxonomy, self.fps, self._made, self._least = made.taxonomy, fps, made, least
        self._clips: dict[str, Clips] = {}

    def counts(self, split: str) -> Ids:
        """Clips per class of a split, (K,)."""
        published = np.array([label.train_count for label in self.taxonomy.labels])
        clips, least = (self._made.epoch_clips, 1) if split == "train" else (self._made.test_clips, self._least)
        return np.asarray(np.maximum(np.round(clips * published / published.sum()), least), np.int64)

    def clips(self, split: str) -> Clips:
        """All clips of a split; they are kept once made."""
        if split not in self.splits:
            raise UsageError(f"the simulator has no split '{split}'; choose {', '.join(self.splits)}")
        if split not in self._clips:
            seed, length = {"train": 0, **_SEEDS}[split], self._made.length
            label = np.repeat(np.arange(len(self.taxonomy)), self.counts(split))
            made = simulate_clips(
                self.taxonomy.key, len(label), seed, frames=length, fps=self.fps, split=split, classes=label
            )
            self._clips[split] = self._made._clips(made, made.label, f"long tail, {split}")
        return self._clips[split]


class SimulatedRecordings:
    """Long simulated recordings; training, validation and test people are different.

    Args:
        taxonomy: `"imigue"`, `"smg"` or `"ma52"`: classes, and how often each is shown.
        train_minutes, val_minutes, test_minutes: length of each split.
        minutes: of one recording, one person.
        fps: frames per second.
        tail: classes are as frequent as in the real data set to this power; 1 = as published, 0 = equally.

    Example:
        >>> data = SimulatedRecordings("smg", train_minutes=1, minutes=0.5)
        >>> [round(r.timeline.duration) for r in data.recordings("train")]
        [30, 30]
    """

    key = "simulated_recordings"
    skeleton = SKELETONS["canonical"]
    persons = 1
    coordinates = 2
    splits: tuple[str, ...] = ("train", "val", "test")

    def __init__(
        self,
        taxonomy: str,
        train_minutes: float = 120.0,
        val_minutes: float = 30.0,
        test_minutes: float = 30.0,
        minutes: float = 10.0,
        fps: float = 15.0,
        tail: float = 0.5,
    ) -> None:
        if taxonomy not in TAXONOMY_KEYS:
            raise UsageError(f"the simulator knows no '{taxonomy}'; choose {', '.join(TAXONOMY_KEYS)}")
        lengths = dict(zip(self.splits, (train_minutes, val_minutes, test_minutes), strict=True))
        for name, value in {**{f"{k}_minutes": v for k, v in lengths.items()}, "minutes": minutes, "fps": fps}.items():
            if not 0 < value < float("inf"):
                raise UsageError(f"{name} is {value}; it must be positive")
        if not 0 <= tail <= 1:
            raise UsageError(f"tail is {tail}; it must lie in 0..1")
        self.taxonomy, self.fps, self._lengths, self._minutes, self._tail = (
            find_taxonomy(taxonomy), fps, lengths, minutes, tail,
        )  # fmt: skip

    def recordings(self, split: str) -> Sequence[LabelledRecording]:
        """The recordings of a split, made anew and always the same.

        Raises:
            UsageError: there is no such split.
        """
        if split not in self.splits:
            raise UsageError(f"the simulator has no split '{split}'; choose {', '.join(self.splits)}")
        count = int(np.ceil(self._lengths[split] / self._minutes - 1e-9))
        made = []
        for i in range(count):
            seed = 1000 * self.splits.index(split) + i
            minutes = min(self._minutes, self._lengths[split] - i * self._minutes)
            one = simulate_recording(self.taxonomy.key, minutes, seed, fps=self.fps, split=split, tail=self._tail)
            made.append(LabelledRecording(f"{split}{i:03d}", one.track, one.timeline, seed))
        return made


class SimulatedMotions(Simulated):
    """Clips of motions in any setting, each batch of another length: what the shipped model trains on.

    The label space `motions` is the simulator's own: the programs behind the classes of all three data sets. Targets
    are soft, since several motions go on at once.

    Args:
        lengths: frames per clip to draw from; validation and test clips have the longest.
        fps, epoch_clips, test_clips: see `Simulated`.
        idle: share of training clips that show no motion: talk, posture, noise.
    """

    key = "simulated_motions"

    def __init__(
        self,
        lengths: Sequence[int] = (20, 28, 36, 48),
        fps: float = 15.0,
        epoch_clips: int = 9600,
        test_clips: int = 1024,
        idle: float = 0.1,
    ) -> None:
        if not lengths or min(lengths) < 1:
            raise UsageError(f"lengths are {list(lengths)}; each must be at least 1")
        if not 0 <= idle < 1:
            raise UsageError(f"idle is {idle}; it must lie in 0..1")
        self._set(max(lengths), fps, epoch_clips, test_clips)
        self.taxonomy, self.lengths, self.idle = motion_taxonomy(), tuple(lengths), idle

    @property
    def serves(self) -> dict[str, list[list[str]]]:
        """For each taxonomy and class the names of the motions that show it; saved with the model."""
        names = self.taxonomy.names
        return {
            key: [[names[i] for i in np.flatnonzero(column)] for column in class_table(key).T] for key in TAXONOMY_KEYS
        }

    def fresh_batch(self, count: int, seed: tuple[int, ...]) -> PoseBatch:
        """`count` new clips of one length, normalised together."""
        draw = np.random.default_rng(seed)
        length = int(draw.choice(self.lengths))
        clips = self._simulate(count, int(draw.integers(1 << 32)), "train", length)
        assert clips.soft is not None
        xy = clips.xy.reshape(count, length, -1, 2)
        score = clips.score.reshape(count, length, -1)
        return PoseBatch(
            torch.from_numpy(body_normalise(xy, score, self.skeleton).xy[:, None]),
            torch.from_numpy(score[:, None]),
            torch.from_numpy(clips.label),
            soft=torch.from_numpy(clips.soft),
        )

    def _simulate(self, count: int, seed: int, split: str, length: int) -> Clips:
        draw = np.random.default_rng([seed, len(self.taxonomy)])
        label = draw.permutation(np.arange(count) % len(self.taxonomy))
        label[draw.random(count) < (self.idle if split == "train" else 0.0)] = -1
        places = [any_setting(draw, int(motion)) for motion in label]
        made = simulate_motions(draw, label, places, frames=length, fps=self.fps, split=split)
        return self._clips(made, label, f"{split}, seed {seed}", np.where(made.sure > 0, made.shown, np.float32(-1)))
