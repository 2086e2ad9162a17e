"""RGBPose-Conv3D: pictures seldom and poses often, two networks that tell each other what they see.

Paper      H. Duan, Y. Zhao, K. Chen, D. Lin, B. Dai: Revisiting Skeleton-based Action Recognition, CVPR 2022,
           https://arxiv.org/abs/2104.13586, section 3.4
Input      rgb (B, F, H, W, 3), xy (B, M, T, V, C) and score (B, M, T, V): F pictures and T = 4 F poses of one clip,
           M persons, V joints of `skeleton`
Output     logits (B, K) of the mean of both streams' probabilities, then those of the two streams
Losses     rgb, pose (cross-entropy of each stream)
Fidelity   verified against the official implementation, from pictures and joints on the canvas to the logits. Holes:
           none. The crop is the official one but for its rounding to whole pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import DEVIATION, MEAN, VideoBatch
from microgesture.layers.compact import cut, into_box, pose_box, random_part
from microgesture.layers.heatmaps import joint_heatmaps
from microgesture.layers.losses import class_loss
from microgesture.layers.official import Keys
from microgesture.layers.resnet3d import Conv, SlowOnly, classifier, initialise, official_key

# poses per picture, pictures' pixels per heatmap pixel, and pose channels per picture channel
RATIO = 4
# channels of a lateral from the pictures: those of their feature divided by this
LATERAL = 16
# a pose smaller than this many pixels is not cropped to
LEAST_PIXELS = 10


class Output(NamedTuple):
    """What `RGBPoseConv3D` predicts, each (B, K)."""

    logits: Tensor
    """Logarithm of the mean of both streams' probabilities."""
    rgb: Tensor
    pose: Tensor


class Features(NamedTuple):
    """A feature of each stream, (B, C, F, H, W) and (B, D, 4 F, H, W)."""

    rgb: Tensor
    pose: Tensor


class ToPictures(nn.Module):
    """Every fourth pose feature, over seven frames, for the stream of pictures."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = Conv(channels, width, (7, 1, 1), (RATIO, 1, 1), (3, 0, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class ToPoses(nn.Module):
    """Picture features spread over four times as many frames, for the stream of poses."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        stride, gap = (RATIO, 1, 1), (RATIO - 1, 0, 0)
        self.conv = nn.ConvTranspose3d(channels, width, (7, 1, 1), stride, (3, 0, 0), gap, bias=False)
        self.bn = nn.BatchNorm3d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class TwoStreams(nn.Module):
    """Both networks and the laterals between them.

    After the pictures' second and third stage, and the poses' first and second, each stream is given a lateral of the
    other's feature. `rgb.stages`, `pose.stages`, `to_rgb` and `to_pose` may be called one by one.

    Args:
        joints: heatmap channels.
        rgb_width, pose_width: channels after the stems.
        rgb_blocks, pose_blocks: blocks per stage, four stages and three.
    """

    def __init__(
        self,
        joints: int,
        rgb_width: int = 64,
        pose_width: int = 32,
        rgb_blocks: Sequence[int] = (3, 4, 6, 3),
        pose_blocks: Sequence[int] = (4, 6, 3),
    ) -> None:
        super().__init__()
        rgb = [rgb_width * 8, rgb_width * 16]  # after the second and third stage
        pose = [pose_width * 4, pose_width * 8]  # after the first and second
        self.rgb = SlowOnly(
            3,
            rgb_width,
            rgb_blocks,
            inflated=(False, False, True, True),
            spatial_strides=(1, 2, 2, 2),
            temporal_strides=(1, 1, 1, 1),
            stem_stride=2,
            joining=(0, 0, *pose),
        )
        self.pose = SlowOnly(
            joints, pose_width, pose_blocks, temporal_strides=(1, 1, 1), joining=(0, *(c // LATERAL for c in rgb))
        )
        self.to_rgb = nn.ModuleList(ToPictures(c, c) for c in pose)
        self.to_pose = nn.ModuleList(ToPoses(c, c // LATERAL) for c in rgb)
        for laterals in (self.to_rgb, self.to_pose):
            initialise(laterals)

    def forward(self, rgb: Tensor, pose: Tensor, gates: Sequence[nn.Module] | nn.ModuleList = ()) -> Features:
        """Pictures (B, 3, F, H, W) and heatmaps (B, V, 4 F, H / 4, W / 4) to the last feature of each stream.

        Args:
            gates: for each of the two exchanges a module that looks at both features and gives both anew.
        """
        rgb = self.rgb.stages[0](self.rgb.stem(rgb))
        pose = self.pose.stem(pose)
        for i in (0, 1):
            rgb, pose = self.rgb.stages[i + 1](rgb), self.pose.stages[i](pose)
            rgb, pose = self.exchange(i, Features(rgb, pose), gates[i] if gates else None)
        return Features(self.rgb.stages[3](rgb), self.pose.stages[2](pose))

    def exchange(self, i: int, own: Features, gate: nn.Module | None = None) -> Features:
        """The features after exchange `i`, 0 or 1: each with the other's lateral behind its own, gated, channels.

        The laterals show each stream as it was before the gate.
        """
        rgb, pose = own if gate is None else gate(*own)
        return Features(torch.cat((rgb, self.to_rgb[i](own.pose)), 1), torch.cat((pose, self.to_pose[i](own.rgb)), 1))


class RGBPoseConv3D(nn.Module):
    """RGBPose-Conv3D recogniser: `backbone` looks, `rgb_classifier` and `pose_classifier` decide.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any number of frames that is four times that of the
            pictures, and any number of persons, is accepted. Published: 32 poses, 8 pictures.
        rgb_width, pose_width, rgb_blocks, pose_blocks: see `TwoStreams`; the defaults are the published network.
        size, train_size: height and width of the pictures' crop in eval mode and in training; multiples of 4.
        area: in training, the least share of the box around the pose that is shown; 1 shows all of it.
        sigma: of the heatmaps, in their pixels.
        dropout: in front of the classifiers.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = RGBPoseConv3D(SKELETONS["imigue22"], IMIGUE, frames=32, persons=1, rgb_width=8, pose_width=4)
    """

    mean: Tensor
    deviation: Tensor
    classifiers = ("rgb_classifier", "pose_classifier")

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
    ) -> None:
        super().__init__()
        self.size, self.train_size, self.area, self.sigma = size, train_size, area, sigma
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1, 1), persistent=False)
        self.backbone = TwoStreams(len(skeleton), rgb_width, pose_width, rgb_blocks, pose_blocks)
        self.dropout = nn.Dropout(dropout)
        self.rgb_classifier = classifier(self.backbone.rgb.width, len(taxonomy))
        self.pose_classifier = classifier(self.backbone.pose.width, len(taxonomy))

    def inputs(self, batch: VideoBatch) -> Features:
        """Pictures (B, 3, F, size, size) and heatmaps (B, V, T, size / 4, size / 4) of the box around the pose.

        Raises:
            UsageError: the number of poses is not four times that of the pictures.
            FormatError: a value is not finite, or a clip holds nothing.
        """
        xy = batch.pixels()
        pictures, height, width = batch.rgb.shape[1:4]
        if batch.xy.shape[2] != RATIO * pictures:
            raise UsageError(
                f"the batch has {batch.xy.shape[2]} poses and {pictures} pictures per clip; "
                f"this system reads {RATIO} poses per picture"
            )
        whole = xy.new_tensor((0, 0, width, height))
        box = pose_box(xy, batch.score > 0, whole, threshold=LEAST_PIXELS)
        if self.training and self.area < 1:
            box = random_part(box, self.area)
        side = self.train_size if self.training else self.size
        small = (side // RATIO, side // RATIO)
        rgb = (cut(batch.rgb, box, (side, side)) - self.mean) / self.deviation
        return Features(rgb, joint_heatmaps(into_box(xy, box, small), batch.score, small, self.sigma))

    def classify(self, features: Features) -> Output:
        """The last feature of each stream to logits."""
        rgb, pose = (F.adaptive_avg_pool3d(x, 1).flatten(1) for x in features)
        rgb, pose = self.rgb_classifier(self.dropout(rgb)), self.pose_classifier(self.dropout(pose))
        return Output(fused(rgb, pose), rgb, pose)

    def forward(self, batch: VideoBatch) -> Output:
        return self.classify(self.backbone(*self.inputs(batch)))

    def losses(self, out: Output, batch: VideoBatch) -> dict[str, Tensor]:
        return {"rgb": class_loss(out.rgb, batch), "pose": class_loss(out.pose, batch)}


def fused(rgb: Tensor, pose: Tensor, share: float = 0.5) -> Tensor:
    """Logarithm of the mean of two streams' probabilities, (B, K); `share` is the weight of the pictures."""
    both = torch.stack((rgb.log_softmax(-1), pose.log_softmax(-1)))
    weights = both.new_tensor((share, 1 - share)).log()
    return (both + weights.view(2, *(1,) * rgb.ndim)).logsumexp(0)


def merge(backbone: TwoStreams, rgb: Mapping[str, Tensor], pose: Mapping[str, Tensor]) -> None:
    """Start from networks that were trained alone: their weights, and zeros for what comes through the laterals.

    Until the first step of training each stream answers as it did alone.

    Args:
        rgb, pose: state of two `SlowOnly` built as the streams here, without `joining`.

    Raises:
        UsageError: a tensor is missing, or of another shape than the laterals account for.
    """
    for name, stream, state in (("rgb", backbone.rgb, rgb), ("pose", backbone.pose, pose)):
        widened = {}
        for key, mine in stream.state_dict().items():
            theirs = state.get(key)
            if theirs is None or not _fits(key, theirs, mine):
                found = "missing" if theirs is None else f"of shape {tuple(theirs.shape)}"
                raise UsageError(f"the {name} network does not fit: {key} is {found}, expected {tuple(mine.shape)}")
            widened[key] = torch.zeros_like(mine)
            widened[key][tuple(slice(n) for n in theirs.shape)] = theirs
        stream.load_state_dict(widened)


def _fits(key: str, theirs: Tensor, mine: Tensor) -> bool:
    """Whether the shapes agree, but for the input channels of a stage, to which laterals may add."""
    if theirs.shape == mine.shape:
        return True
    same = theirs.ndim == mine.ndim == 5 and theirs.shape[0] == mine.shape[0] and theirs.shape[2:] == mine.shape[2:]
    return key.startswith("stages.") and same and theirs.shape[1] < mine.shape[1]


def official_keys(model: RGBPoseConv3D) -> Keys:
    """Keys of PYSKL's RGBPoseConv3D with its RGBPoseHead."""
    return {key: (_official(key),) for key in model.state_dict()}


def _official(key: str) -> str:
    match key.split("."):
        case ["rgb_classifier", leaf]:
            return f"cls_head.fc_rgb.{leaf}"
        case ["pose_classifier", leaf]:
            return f"cls_head.fc_pose.{leaf}"
        case ["backbone", "to_rgb", i, *rest]:
            return f"backbone.rgb_path.layer{int(i) + 2}_lateral.{'.'.join(rest)}"
        case ["backbone", "to_pose", i, *rest]:
            return f"backbone.pose_path.layer{int(i) + 1}_lateral.{'.'.join(rest)}"
        case ["backbone", stream, *rest]:
            return f"backbone.{stream}_path.{official_key('.'.join(rest))}"
    raise KeyError(key)
