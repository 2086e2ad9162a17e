"""From clips to batches: normalise, augment, streams, fixed length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from microgesture.core.errors import UsageError
from microgesture.core.normalise import Normalised, body_normalise
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.augment import Augmentation, Motion, mirror, sided
from microgesture.datasets.clips import (
    ClipDataset,
    EndlessBatches,
    EndlessDataset,
    Floats,
    LabelledClips,
    PicturedClips,
)
from microgesture.datasets.pictures import Pictures
from microgesture.datasets.sampling import Balance, EpochSampler, padded, resample, uniform_frames, uniform_views
from microgesture.datasets.store import StoredClips
from microgesture.datasets.streams import Stream, streams
from microgesture.layers.batch import PoseBatch, VideoBatch

Sample = tuple[Floats, Floats]
Sight = tuple[NDArray[np.uint8], Floats, Floats]  # pictures, and where each person's neck and unit are in them


@dataclass(frozen=True)
class Loading:
    """How clips become batches.

    Args:
        frames: T of every sample.
        streams: one or more of joint, bone, joint_motion, bone_motion; several lie beside each other on axis C.
        sampling: `"resample"` stretches the whole clip to `frames`; `"uniform"` takes random frames in order.
        views: samples per clip that are averaged in a test, for `"uniform"`.
        flip: in a test every view is seen a second time as in a mirror, and averaged with the rest; only for classes
            that do not tell sides apart, see `mirrorable`.
        pad_to: clips with fewer frames get empty ones behind them before they are sampled, as the arrays of the
            challenges' baselines have; 0 = none. What cuts longer ones is `longest` of the data set.
        balance: how often a class is shown, see `sampling.epoch`.
        least: clips an epoch shows of a class at least, for the balance `"replicate"`.
        batch: clips per batch.
        augment: changes of training clips, in order.
        pictures: pictures of each clip besides, for systems that read them; needs a data set with films.
        workers: processes that prepare batches; 0 prepares them in the main one.
    """

    frames: int = 64
    streams: Sequence[Stream] = ("joint",)
    sampling: Literal["resample", "uniform"] = "resample"
    views: int = 1
    flip: bool = False
    pad_to: int = 0
    balance: Balance = "instance"
    least: int = 100
    batch: int = 32
    augment: Sequence[Augmentation] = field(default_factory=tuple)
    pictures: Pictures | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        for name, least in (("frames", 1), ("pad_to", 0), ("views", 1), ("least", 1), ("batch", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"loading.{name} is {getattr(self, name)}; it must be at least {least}")
        if not self.streams:
            raise UsageError("loading.streams is empty; name joint, bone, joint_motion or bone_motion")
        if self.pictures is not None and (self.augment or self.pad_to or tuple(self.streams) != ("joint",)):
            raise UsageError(
                "loading.pictures goes with joints as they are: leave out loading.augment, .streams and .pad_to; "
                "systems that read pictures crop and mirror both"
            )
        if self.views > 1 and self.sampling != "uniform":
            raise UsageError("loading.views above 1 needs loading.sampling 'uniform': resampling has one view only")

    @property
    def samples(self) -> int:
        """Samples per clip in a test: the views, and their mirror images with `flip`."""
        return self.views * (2 if self.flip else 1)

    def channels(self, dataset: ClipDataset) -> int:
        """Channels per joint that a batch of this dataset offers: coordinates of all streams and the score."""
        return dataset.coordinates * len(self.streams) + 1


def mirrorable(skeleton: Skeleton, taxonomy: Taxonomy) -> None:
    """Refuse mirror images that would be of another class, or of no body.

    Raises:
        UsageError: the layout has no pairs of right and left joints, or the classes tell sides or turns apart.
    """
    if not skeleton.mirror:
        raise UsageError(
            f"loading.flip needs joints in pairs of right and left; the layout '{skeleton.name}' has none: leave it out"
        )
    if names := sided(taxonomy):
        shown = ", ".join(f"'{name}'" for name in names[:4])
        raise UsageError(f"loading.flip would turn classes of '{taxonomy.key}' into others: {shown}; leave it out")


def train_loader(dataset: ClipDataset, loading: Loading, seed: int, epochs: int | None = None) -> DataLoader[PoseBatch]:
    """Batches of one epoch after the other; the trainer calls `sampler.set_epoch`.

    Args:
        epochs: how many there will be, for the balance `"progressive"`.
    """
    if loading.flip:
        mirrorable(dataset.skeleton, dataset.taxonomy)
    if isinstance(dataset, (EndlessDataset, EndlessBatches)):
        changed = loading.augment or loading.pictures is not None or tuple(loading.streams) != ("joint",)
        if isinstance(dataset, EndlessBatches) and (changed or loading.pad_to):
            raise UsageError(
                f"'{dataset.key}' makes whole batches: loading.augment, .streams, .pad_to and .pictures do nothing here"
            )
        batches = -(-dataset.epoch_clips // loading.batch)
        fresh = _Fresh(dataset, loading, seed, batches)
        sampler = EpochSampler(batches, None, "instance", seed)
        return _loader(fresh, loading, sampler=sampler, batch_size=None)
    clips = dataset.clips("train")
    stored = _Stored(clips, loading, seed, training=True)
    sampler = EpochSampler(len(clips), clips.label, loading.balance, seed, epochs, loading.least)
    # a last batch of one clip has no variance for batch norm to use
    odd = len(sampler) % loading.batch == 1 and len(sampler) > 1
    return _loader(stored, loading, sampler=sampler, batch_size=loading.batch, collate_fn=stored.collate, drop_last=odd)


def test_loader(clips: LabelledClips, loading: Loading) -> DataLoader[PoseBatch]:
    """Batches in the order of the clips; with several views a clip's samples follow each other, each before its mirror
    image.

    Raises:
        UsageError: `loading.flip` for clips that have no mirror images, see `mirrorable`.
    """
    if loading.flip:
        mirrorable(clips.skeleton, clips.taxonomy)
    stored = _Stored(clips, loading, 0, training=False)
    return _loader(stored, loading, batch_size=loading.batch, collate_fn=stored.collate)


def _loader(data: Dataset[object], loading: Loading, **options: object) -> DataLoader[PoseBatch]:
    many: dict[str, object] = {"persistent_workers": True} if loading.workers else {}
    return DataLoader(data, num_workers=loading.workers, **options, **many)  # type: ignore[arg-type]


class _Stored(Dataset[object]):
    """Clips read and normalised when they are asked for; a ticket is `epoch * N + clip`."""

    def __init__(self, clips: LabelledClips, loading: Loading, seed: int, training: bool) -> None:
        if loading.pictures is not None and not isinstance(clips, StoredClips):
            raise UsageError(f"{clips.source}: loading.pictures needs a data set with films")
        if loading.pad_to and isinstance(clips, PicturedClips):
            raise UsageError(f"{clips.source}: has pictures of every clip, and none for frames of loading.pad_to")
        self.clips, self.loading, self.seed, self.training = clips, loading, seed, training

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, ticket: int) -> tuple[int, list[Sample], list[Sight]]:
        i = ticket % len(self)
        xy, score = self.clips[i]
        body = body_normalise(xy, score, self.clips.skeleton)
        motion = Motion(*padded(body.xy, score, self.loading.pad_to), self.clips.skeleton)
        views = (
            [_train_sample(motion, self.loading, (self.seed, ticket))]
            if self.training
            else _views(motion, self.loading)
        )
        return i, views, self._sights(i, ticket, body)

    def _sights(self, i: int, ticket: int, body: Normalised) -> list[Sight]:
        """What belongs to each sample of a clip; nothing where there are no pictures."""
        if self.loading.pictures is not None and isinstance(self.clips, StoredClips):
            draw = np.random.default_rng((self.seed, ticket, 1)) if self.training else None
            rgb, factor = self.loading.pictures.read(self.clips.film(i), draw)
        elif isinstance(self.clips, PicturedClips):
            rgb, factor = self.clips.pictures(i), 1.0
        else:
            return []
        one = rgb, body.origin * np.float32(factor), body.scale * np.float32(factor)
        if self.training:
            return [one]
        return [one, _mirrored(*one)] * self.loading.views if self.loading.flip else [one] * self.loading.views

    def collate(self, items: list[tuple[int, list[Sample], list[Sight]]]) -> PoseBatch:
        batch = _batch([i for i, _, _ in items], [views for _, views, _ in items], self.clips)
        seen = [sight for _, _, sights in items for sight in sights]
        if not seen:
            return batch
        rgb, origin, scale = (torch.from_numpy(np.stack([sight[part] for sight in seen])) for part in range(3))
        return VideoBatch(batch.xy, batch.score, batch.label, soft=batch.soft, rgb=rgb, origin=origin, scale=scale)


class _Fresh(Dataset[object]):
    """New clips for every ticket, a batch at a time."""

    def __init__(self, dataset: EndlessDataset | EndlessBatches, loading: Loading, seed: int, batches: int) -> None:
        self.dataset, self.loading, self.seed, self.batches = dataset, loading, seed, batches

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, ticket: int) -> PoseBatch:
        if isinstance(self.dataset, EndlessBatches):
            return self.dataset.fresh_batch(self.loading.batch, (self.seed, ticket))
        clips = self.dataset.fresh(self.loading.batch, (self.seed, ticket))
        samples = [
            _train_sample(_normalise(*clips[i], clips, self.loading.pad_to), self.loading, (self.seed, ticket, i))
            for i in range(len(clips))
        ]
        return _batch(list(range(len(clips))), [[sample] for sample in samples], clips)


def _normalise(xy: Floats, score: Floats, clips: LabelledClips, pad_to: int) -> Motion:
    return Motion(*padded(body_normalise(xy, score, clips.skeleton).xy, score, pad_to), clips.skeleton)


def _train_sample(motion: Motion, loading: Loading, seed: tuple[int, ...]) -> Sample:
    draw = np.random.default_rng(seed)
    for augmentation in loading.augment:
        motion = augmentation(motion, draw)
    xy, score = streams(*motion, loading.streams)
    if loading.sampling == "resample":
        xy, score = resample(xy, score, loading.frames)
    else:
        frames = uniform_frames(xy.shape[1], loading.frames, np.random.RandomState(draw.integers(1 << 32)))
        xy, score = xy[:, frames], score[:, frames]
    return xy, score


def _views(motion: Motion, loading: Loading) -> list[Sample]:
    seen = [streams(*side, loading.streams) for side in ((motion, mirror(motion)) if loading.flip else (motion,))]
    if loading.sampling == "resample":
        return [resample(xy, score, loading.frames) for xy, score in seen]
    frames = uniform_views(motion.xy.shape[1], loading.frames, loading.views)
    return [(xy[:, f], score[:, f]) for f in frames for xy, score in seen]


def _mirrored(rgb: NDArray[np.uint8], origin: Floats, scale: Floats) -> Sight:
    turned = origin.copy()
    turned[..., 0] = rgb.shape[2] - origin[..., 0]
    return rgb[:, :, ::-1], turned, scale


def _batch(index: list[int], samples: list[list[Sample]], clips: LabelledClips) -> PoseBatch:
    """Samples of the clips `index`, a list of views each, as one batch; every view has its clip's targets."""
    flat = [sample for views in samples for sample in views]
    of = np.repeat(index, [len(views) for views in samples])
    return PoseBatch(
        torch.from_numpy(np.stack([xy for xy, _ in flat])),
        torch.from_numpy(np.stack([score for _, score in flat])),
        torch.from_numpy(clips.label[of].astype(np.int64)),
        soft=None if clips.soft is None else torch.from_numpy(clips.soft[of].astype(np.float32)),
    )
