"""PCAN: pictures and poses, classes in two levels, and prototypes that calibrate the clips in between.

Paper      K. Li, D. Guo, G. Chen, C. Fan, J. Xu, Z. Wu, H. Fan, M. Wang: Prototypical Calibrating Ambiguous Samples for
           Micro-Action Recognition, AAAI 2025, https://arxiv.org/abs/2412.14719
Input      rgb (B, F, H, W, 3), xy (B, M, T, V, C) and score (B, M, T, V): F pictures and T = 4 F poses of one clip,
           M persons, V joints of `skeleton`
Output     logits (B, K) of the mean of both streams' probabilities, coarse logits (B, G) over the groups of the
           taxonomy, and what each stream contributes
Losses     of each stream: class and group (cross-entropy), prototypes of classes and of groups (0.2), tree
Fidelity   verified against the official implementation, from pictures and heatmaps to logits, losses and prototypes.
           Holes: none. Ours: labels without a group share one of their own; a clip with soft targets counts as its
           likeliest class where a single one is needed. Under several processes the prototypes are those of the first.
           compat="official": the diversity of the prototypes is part of the loss but teaches nothing, and prototypes of
           groups are not saved, as in the released code
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch, VideoBatch
from microgesture.layers.interaction import Interaction
from microgesture.layers.losses import class_loss
from microgesture.layers.official import Keys
from microgesture.layers.prototypes import Ambiguous, Prototypes, confusion, diversity
from microgesture.layers.resnet3d import classifier
from microgesture.systems import rgbpose
from microgesture.systems.rgbpose import RATIO, Features, RGBPoseConv3D, fused

# weight of the losses about prototypes
PROTOTYPES = 0.2
# of missed clips: sharpness where only the class is wrong, only the group, and both
MISSED = (1.0, 0.1, 0.5)
# channels of the pictures' features per channel of a token
TOKEN = 4


class Stream(NamedTuple):
    """What one stream says."""

    scores: Tensor
    """(B, K), logits rectified by the similarity with the prototypes: what counts in the end."""
    logits: Tensor
    """(B, K), of the classifier alone."""
    coarse: Tensor
    """(B, G)."""
    features: Tensor
    """(B, D), to be compared with the prototypes of classes."""
    coarse_features: Tensor
    """(B, E), to be compared with those of groups."""


class Output(NamedTuple):
    """What `PCAN` predicts."""

    logits: Tensor
    """(B, K), logarithm of the mean of both streams' probabilities."""
    coarse: Tensor
    """(B, G), the same for groups."""
    rgb: Stream
    pose: Stream


class TreePrototypes(Prototypes):
    """Prototypes of classes that belong to groups; how a clip is missed at both levels decides what becomes of it."""

    def sets(
        self, logits: Tensor, coarse: Tensor, label: Tensor, group: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, tuple[Ambiguous, ...]]:
        """Clips recognised at both levels (B, K), and those that are not.

        The latter are in this order: only the class is wrong, only the group, both; then, under the class they were
        taken for, all whose class is wrong.

        Args:
            logits: (B, K).
            coarse: (B, G), logits of the groups.
            label, group: (B,), the true ones.
            weight: (B,), of the clips.
        """
        right, wrong, mistaken = confusion(logits, label, weight)
        known = (coarse.argmax(1) == group).unsqueeze(1)
        missed = (wrong * known, right * ~known, wrong * ~known)
        drawn = (Ambiguous(members, 1, sharpness) for members, sharpness in zip(missed, MISSED, strict=True))
        return right * known, (*drawn, Ambiguous(mistaken, -1))


class Head(nn.Module):
    """What a stream has beside its classifier: one for groups, and prototypes at both levels.

    Args:
        channels: C of the stream's last feature.
        groups: for each of the K classes the index of its group.
        count: G, how many groups there are.
        width, coarse_width: of the prototypes of classes and of groups.
        rectify: weight of the similarity with the prototypes in the scores.
        compat: see `PCAN`.
    """

    groups: Tensor

    def __init__(
        self,
        channels: int,
        groups: Sequence[int],
        count: int,
        width: int,
        coarse_width: int,
        rectify: float,
        compat: Literal["official"] | None,
    ) -> None:
        super().__init__()
        self.count, self.rectify, self.compat = count, rectify, compat
        self.register_buffer("groups", torch.tensor(groups), persistent=False)
        self.coarse_classifier = classifier(channels, count)
        self.prototypes = TreePrototypes(channels, len(groups), width)
        self.coarse_prototypes = Prototypes(channels, count, coarse_width, saved=compat != "official")

    def forward(self, x: Tensor, logits: Tensor, dropped: Tensor) -> Stream:
        """The last feature (B, C, T, H, W), the classifier's logits (B, K), and what it read (B, C)."""
        clearest = x.mean(2).amax((-2, -1))
        similar = self.prototypes.similarity(self.prototypes(x.mean((2, 3, 4))))
        return Stream(
            logits + self.rectify * similar,
            logits,
            self.coarse_classifier(dropped),
            self.prototypes(clearest),
            self.coarse_prototypes(clearest),
        )

    def losses(self, out: Stream, batch: PoseBatch) -> dict[str, Tensor]:
        """Weighted terms; in training the prototypes move."""
        coarse_batch = self.of_groups(batch)
        terms = {"class": class_loss(out.logits, batch), "coarse": class_loss(out.coarse, coarse_batch)}
        label, group = likeliest(batch), likeliest(coarse_batch)

        loss = self.coarse_prototypes.loss(out.coarse_features, out.coarse, group, batch.weight)
        terms["coarse_prototypes"] = PROTOTYPES * mean(loss, batch)

        hits, ambiguous = self.prototypes.sets(out.logits, out.coarse, label, group, batch.weight)
        prototypes = self.prototypes.update(out.features, hits)
        loss = self.prototypes.contrast(out.features, prototypes, out.logits, label, ambiguous)
        # the released code measures diversity on a copy that nothing learns from
        apart = diversity(prototypes.detach() if self.compat == "official" else prototypes)
        terms["prototypes"] = PROTOTYPES * (mean(loss, batch) + apart)

        target = F.one_hot(label, len(self.groups)) if batch.soft is None else batch.soft
        terms["tree"] = mean(tree_loss(out.logits, out.coarse, target, self.groups), batch)
        return terms

    def of_groups(self, batch: PoseBatch) -> PoseBatch:
        """The batch with groups for classes."""
        label = None if batch.label is None else self.groups[batch.label]
        soft = batch.soft
        if soft is not None:
            soft = soft @ F.one_hot(self.groups, self.count).to(soft.dtype)
        return replace(batch, label=label, soft=soft)


class PCAN(nn.Module):
    """PCAN recogniser: RGBPose-Conv3D whose streams gate each other, with a head of two levels for each.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; see `RGBPoseConv3D`. Groups are those of `taxonomy`.
        rgb_width, pose_width, rgb_blocks, pose_blocks: see `TwoStreams`; the defaults are the published network.
        size, train_size, area, sigma, dropout: see `RGBPoseConv3D`.
        width, coarse_width: of the prototypes of classes and of groups.
        rectify: weight of the similarity with the prototypes in the scores of pictures and of poses.
        compat: `"official"` reproduces the released code, see above.

    Raises:
        UsageError: another `compat`, or `rgb_width` is no multiple of 4.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import MA52
        >>> model = PCAN(SKELETONS["ma52_28"], MA52, frames=32, persons=1, rgb_width=8, pose_width=4)
    """

    classifiers = ("base.rgb_classifier", "base.pose_classifier")

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        rgb_width: int = 64,
        pose_width: int = 32,
        rgb_blocks: Sequence[int] = (3, 4, 6, 3),
        pose_blocks: Sequence[int] = (4, 6, 3),
        size: int = 256,
        train_size: int = 224,
        area: float = 0.56,
        sigma: float = 0.7,
        dropout: float = 0.5,
        width: int = 256,
        coarse_width: int = 128,
        rectify: tuple[float, float] = (5.0, 1.0),
        compat: Literal["official"] | None = None,
    ) -> None:
        super().__init__()
        if compat not in (None, "official"):
            raise UsageError(f"compat is {compat!r}; it can be None or 'official'")
        self.base = RGBPoseConv3D(
            skeleton,
            taxonomy,
            frames,
            persons,
            rgb_width=rgb_width,
            pose_width=pose_width,
            rgb_blocks=rgb_blocks,
            pose_blocks=pose_blocks,
            size=size,
            train_size=train_size,
            area=area,
            sigma=sigma,
            dropout=dropout,
        )
        # after the pictures' second and third stage, and the poses' first and second
        self.interactions = nn.ModuleList(
            Interaction(rgb_width * 8 * i, pose_width * 4 * i, rgb_width * 8 * i // TOKEN, ratio=RATIO) for i in (1, 2)
        )
        groups = group_indices(taxonomy)
        count = max(len(taxonomy.groups), max(groups) + 1)
        streams = zip((self.base.backbone.rgb, self.base.backbone.pose), rectify, strict=True)
        self.rgb, self.pose = (
            Head(stream.width, groups, count, width, coarse_width, weight, compat) for stream, weight in streams
        )

    def classify(self, features: Features) -> Output:
        """The last feature of each stream to logits."""
        rgb, pose = (self.base.dropout(x.mean((2, 3, 4))) for x in features)
        out_rgb = self.rgb(features.rgb, self.base.rgb_classifier(rgb), rgb)
        out_pose = self.pose(features.pose, self.base.pose_classifier(pose), pose)
        logits, coarse = fused(out_rgb.scores, out_pose.scores), fused(out_rgb.coarse, out_pose.coarse)
        return Output(logits, coarse, out_rgb, out_pose)

    def forward(self, batch: VideoBatch) -> Output:
        return self.classify(self.base.backbone(*self.base.inputs(batch), self.interactions))

    def losses(self, out: Output, batch: PoseBatch) -> dict[str, Tensor]:
        """Terms `rgb_class`, `pose_class`, ...; in training this moves the prototypes, once per call."""
        heads = (("rgb", self.rgb, out.rgb), ("pose", self.pose, out.pose))
        return {f"{name}_{term}": loss for name, head, o in heads for term, loss in head.losses(o, batch).items()}


def tree_loss(logits: Tensor, coarse: Tensor, target: Tensor, groups: Tensor) -> Tensor:
    """Loss of each clip (B,): how unlikely its class and group are among the states that the tree allows.

    A state is a group alone, or a class with its group; its score is the sum of their sigmoids.

    Args:
        logits: (B, K).
        coarse: (B, G).
        target: (B, K), share of each class.
        groups: (K,), group of each class.
    """
    group = coarse.sigmoid()
    both = logits.sigmoid() + group[:, groups]
    among = torch.cat((group, both), 1).logsumexp(1, keepdim=True)
    return ((among - both) * target).sum(1)


def group_indices(taxonomy: Taxonomy) -> list[int]:
    """The group of each class; those that have none share one behind the others."""
    groups = (taxonomy.group_of(i) for i in range(len(taxonomy)))
    return [len(taxonomy.groups) if group < 0 else group for group in groups]


def likeliest(batch: PoseBatch) -> Tensor:
    """(B,), the class of each clip, or that of its largest soft target."""
    if batch.label is not None:
        return batch.label
    if batch.soft is None:
        raise UsageError("the batch has neither labels nor soft targets: nothing to learn from")
    return batch.soft.argmax(1)


def mean(loss: Tensor, batch: PoseBatch) -> Tensor:
    """Mean of (B,) with the weights of the clips."""
    return loss.mean() if batch.weight is None else (loss * batch.weight).sum() / batch.weight.sum()


def official_keys(model: PCAN) -> Keys:
    """Keys of PCAN's RGBPoseConv3D with its RGBPoseHead; prototypes of groups have none and keep their values."""
    keys = {f"base.{key}": names for key, names in rgbpose.official_keys(model.base).items()}
    return keys | {key: _official(key) for key in model.state_dict() if not key.startswith("base.")}


def _official(key: str) -> tuple[str, ...]:
    match key.split("."):
        case [stream, "coarse_classifier", leaf]:
            return (f"cls_head.fc_{stream}_coarse.{leaf}",)
        case [_, "coarse_prototypes", "memory"]:
            return ()
        case [stream, "coarse_prototypes", "project", leaf]:
            return (f"cls_head.fr_coarse_{stream}.spatio_cl_net.cl_fc.{leaf}",)
        case [stream, "prototypes", "memory"]:
            return (f"cls_head.fr_{stream}.spatio_cl_net.avg_f",)
        case [stream, "prototypes", "project", leaf]:
            return (f"cls_head.fr_{stream}.spatio_cl_net.cl_fc.{leaf}",)
        case ["interactions", i, part, *rest]:
            prefix, leaf = f"backbone.featuredifference{int(i) + 2}", ".".join(rest)
            if not part.endswith("_attention"):
                number = {"from_rgb": 1, "from_pose": 2, "to_rgb": 4, "to_pose": 5}[part]
                return (f"{prefix}.conv{number}.{leaf}",)
            prefix = f"{prefix}.{'rgb' if part == 'rgb_attention' else 'skt'}_cross_attn"
            if leaf.startswith("in_proj_"):
                return tuple(f"{prefix}.{x}_proj.{leaf.removeprefix('in_proj_')}" for x in "qkv")
            return (f"{prefix}.fc.{leaf.removeprefix('out_proj.')}",)
    raise KeyError(key)
