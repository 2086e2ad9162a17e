"""ProtoMG: pictures and poses that gate each other's channels, and prototypes that calibrate the clips in between.

Paper      G. Chen, F. Wang, K. Li, Z. Wu, H. Fan, Y. Yang, M. Wang, D. Guo: Prototype Learning for Micro-gesture
           Classification, MiGA at IJCAI 2024, https://arxiv.org/abs/2408.03097
Input      rgb (B, F, H, W, 3), xy (B, M, T, V, C) and score (B, M, T, V): F pictures and T = 4 F poses of one clip,
           M persons, V joints of `skeleton`; `ProtoPose` reads xy and score alone
Output     logits (B, K) of the mean of both streams' probabilities, those of the two streams, and the features of each
           that are compared with prototypes; `ProtoPose`: logits and features
Losses     of each stream: class (cross-entropy), prototypes (0.2)
Fidelity   reconstructed: no code was released, and only the abstract and summaries could be read. Holes and what we
           chose: the fusion of the streams is that of PCAN, by the same group a year later (attention over pictures, or
           over channels, as summaries say: `axis`); the refinement is PCAN's without groups, at 0.2 of the class
           losses, for all 32 classes; joints, not limbs, of the 22-joint layout; prototypes do not take part in the
           test; streams count alike. Whether the network was trained on MA-52 before is not known; see `rgbpose.merge`
           for a start from networks trained alone. `ProtoPose`, the pose stream by itself, is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch, VideoBatch
from microgesture.layers.interaction import Gates, Interaction
from microgesture.layers.losses import class_loss
from microgesture.layers.prototypes import Prototypes
from microgesture.systems.pcan import likeliest, mean
from microgesture.systems.posec3d import PoseC3D
from microgesture.systems.rgbpose import RATIO, RGBPoseConv3D

# weight of the losses about prototypes
PROTOTYPES = 0.2
# moments of a clip that attention over channels compares: the published number of pictures
MOMENTS = 8


class Output(NamedTuple):
    """What `ProtoMG` predicts: (B, K) and, of features, (B, D)."""

    logits: Tensor
    """Logarithm of the mean of both streams' probabilities."""
    rgb: Tensor
    pose: Tensor
    rgb_features: Tensor
    pose_features: Tensor


class PoseOutput(NamedTuple):
    """What `ProtoPose` predicts."""

    logits: Tensor
    """(B, K)."""
    features: Tensor
    """(B, D), to be compared with the prototypes."""


class ChannelInteraction(Interaction):
    """Both streams as a token per channel, whose course over eight moments is what attention compares.

    Clips of another number of pictures are pooled to eight moments, and their gates spread over the pictures.

    Args:
        rgb_channels, pose_channels, width, ratio, dropout: see `Interaction`.
    """

    def __init__(
        self, rgb_channels: int, pose_channels: int, width: int, ratio: int = RATIO, dropout: float = 0.1
    ) -> None:
        super().__init__(rgb_channels, pose_channels, width, 1, ratio, dropout)
        self.rgb_attention = nn.MultiheadAttention(MOMENTS, 1, dropout, batch_first=True)
        self.pose_attention = nn.MultiheadAttention(MOMENTS, 1, dropout, batch_first=True)

    def gates(self, rgb: Tensor, pose: Tensor) -> Gates:
        """See `Interaction`."""
        pictures = rgb.shape[2]
        courses = (x.flatten(3).amax(3) for x in (self.from_rgb(rgb), self.from_pose(pose)))
        rgb, pose = (F.adaptive_max_pool1d(x, MOMENTS) for x in courses)  # (B, width, 8)
        rgb, _ = self.rgb_attention(rgb, pose, pose, need_weights=False)
        pose, _ = self.pose_attention(pose, rgb, rgb, need_weights=False)
        rgb, pose = (F.interpolate(x, pictures)[..., None, None] for x in (rgb, pose))
        return Gates(self.to_rgb(rgb), self.to_pose(pose))


class ProtoMG(nn.Module):
    """RGBPose-Conv3D whose streams gate each other, with prototypes of the classes in each.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; see `RGBPoseConv3D`. Published: 32 poses, 8 pictures.
        rgb_width, pose_width, rgb_blocks, pose_blocks, size, train_size, area, sigma, dropout: see `RGBPoseConv3D`; the
            defaults are the published network.
        axis: what attention between the streams compares: pictures, as PCAN's code does, or channels.
        width: of the prototypes.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = ProtoMG(SKELETONS["imigue22"], IMIGUE, frames=32, persons=1, rgb_width=8, pose_width=4)
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
        axis: Literal["time", "channel"] = "time",
        width: int = 256,
    ) -> None:
        super().__init__()
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
        # after the pictures' second and third stage, and the poses' first and second; tokens as wide as the poses
        kind = Interaction if axis == "time" else ChannelInteraction
        self.interactions = nn.ModuleList(
            kind(rgb_width * 8 * i, pose_width * 4 * i, pose_width * 4 * i, ratio=RATIO) for i in (1, 2)
        )
        self.rgb_prototypes, self.pose_prototypes = (
            Prototypes(stream.width, len(taxonomy), width)
            for stream in (self.base.backbone.rgb, self.base.backbone.pose)
        )

    def forward(self, batch: VideoBatch) -> Output:
        features = self.base.backbone(*self.base.inputs(batch), self.interactions)
        out = self.base.classify(features)
        rgb, pose = (clearest(x) for x in features)
        return Output(*out, self.rgb_prototypes(rgb), self.pose_prototypes(pose))

    def losses(self, out: Output, batch: PoseBatch) -> dict[str, Tensor]:
        """In training this moves the prototypes, once per call."""
        return {
            "rgb_class": class_loss(out.rgb, batch),
            "pose_class": class_loss(out.pose, batch),
            "rgb_prototypes": PROTOTYPES * refine(self.rgb_prototypes, out.rgb_features, out.rgb, batch),
            "pose_prototypes": PROTOTYPES * refine(self.pose_prototypes, out.pose_features, out.pose, batch),
        }


class ProtoPose(nn.Module):
    """The pose stream of `ProtoMG` by itself: PoseC3D that keeps all frames, with prototypes of the classes.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length and number of persons is accepted.
        stream: draws joints, or limbs.
        pose_width, pose_blocks: of the network, see `SlowOnly`.
        size, train_size, area, sigma, dropout: see `PoseC3D`.
        width: of the prototypes.
    """

    classifiers = ("base.classifier",)

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        stream: Literal["joint", "limb"] = "joint",
        pose_width: int = 32,
        pose_blocks: Sequence[int] = (4, 6, 3),
        size: int = 64,
        train_size: int = 56,
        area: float = 0.56,
        sigma: float = 0.7,
        dropout: float = 0.5,
        width: int = 256,
    ) -> None:
        super().__init__()
        self.base = PoseC3D(
            skeleton,
            taxonomy,
            frames,
            persons,
            stream=stream,
            width=pose_width,
            blocks=pose_blocks,
            temporal_strides=(1,) * len(pose_blocks),
            size=size,
            train_size=train_size,
            area=area,
            sigma=sigma,
            dropout=dropout,
        )
        self.prototypes = Prototypes(self.base.backbone.width, len(taxonomy), width)

    def forward(self, batch: PoseBatch) -> PoseOutput:
        x = self.base.backbone(self.base.volume(batch))
        logits = self.base.classifier(self.base.dropout(x.mean((2, 3, 4))))
        return PoseOutput(logits, self.prototypes(clearest(x)))

    def losses(self, out: PoseOutput, batch: PoseBatch) -> dict[str, Tensor]:
        """In training this moves the prototypes, once per call."""
        near = refine(self.prototypes, out.features, out.logits, batch)
        return {"class": class_loss(out.logits, batch), "prototypes": PROTOTYPES * near}


def clearest(x: Tensor) -> Tensor:
    """What is compared with prototypes: of a feature (B, C, T, H, W) the largest mean over time anywhere, (B, C)."""
    return x.mean(2).amax((-2, -1))


def refine(prototypes: Prototypes, features: Tensor, logits: Tensor, batch: PoseBatch) -> Tensor:
    """Mean of the loss that draws ambiguous clips to their class; with soft targets that is the likeliest one."""
    return mean(prototypes.loss(features, logits, likeliest(batch), batch.weight), batch)
