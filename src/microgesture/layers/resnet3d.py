"""SlowOnly: a ResNet-50 over volumes (B, C, T, H, W) whose early stages look at single frames, later ones at three.

Used by the recognisers that read heatmap volumes and by the two-stream ones that also read pictures.

Source: Feichtenhofer et al., SlowFast Networks for Video Recognition, ICCV 2019; its small form for heatmaps: Duan et
al., Revisiting Skeleton-based Action Recognition, CVPR 2022, table 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.layers.norm import folded

# a stage is as wide at its end as this many times its bottleneck
EXPANSION = 4

Size3 = tuple[int, int, int]


class Conv(nn.Conv3d):
    """A 3-D convolution. What does not look at frames and pixels at once is one in two dimensions on CPU.

    A kernel (1, h, w) runs over each frame, a kernel (t, 1, 1) over the plane of frames and pixels. On one thread the
    1x1x1 takes a third to a half of the time and (t, 1, 1) a fifth of it, forward and backward; and the gradient of
    the latter in three dimensions is wrong in bfloat16 for clips shorter than the kernel (torch 2.13).
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.apply_weight(x, self.weight, self.bias)

    def apply_weight(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same convolution with another weight and bias."""
        still = self.kernel_size[0] == 1 and not self.padding[0]
        if still and x.device.type == "cpu" and not torch.compiler.is_exporting():
            frames = x.movedim(1, -1)[:, :: self.stride[0]]  # (B, T, H, W, C)
            y = frames.flatten(0, 1).movedim(-1, 1)
            y = F.conv2d(y, weight.squeeze(2), bias, self.stride[1:], self.padding[1:])
            return y.view(*frames.shape[:2], *y.shape[1:]).transpose(1, 2)
        if self.kernel_size[1:] != (1, 1):
            return F.conv3d(x, weight, bias, self.stride, self.padding)
        y = F.conv2d(x.flatten(3), weight.flatten(3), bias, self.stride[:2], self.padding[:2])
        return y.view(*y.shape[:3], *x.shape[3:])


class ConvNorm(nn.Module):
    """Convolution that keeps the size but for its stride, without bias, and batch norm; no activation.

    A 1x1x1 convolution reads a slice instead of striding: on CPU the gradient of the strided one writes beyond its
    memory for few channels (torch 2.13).
    """

    def __init__(self, channels: int, width: int, kernel: Size3 = (1, 1, 1), stride: Size3 = (1, 1, 1)) -> None:
        super().__init__()
        still = (1, 1, 1)
        self.skip, stride = (stride, still) if kernel == still else (still, stride)
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv = Conv(channels, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.skip != (1, 1, 1):
            t, h, w = self.skip
            # sliced with the channels last, or their gradient comes back channels-first and slows all before it down
            x = x.movedim(1, -1)[:, ::t, ::h, ::w].movedim(-1, 1)
        if self.training or torch.is_grad_enabled():
            y: Tensor = self.bn(self.conv(x))
            return y
        # nobody learns: the batch norm goes into the weight, which saves a pass over the volume, a quarter of the time
        scale, shift = folded(self.bn)
        return self.conv.apply_weight(x, self.conv.weight * scale.view(-1, 1, 1, 1, 1), shift)


class Bottleneck(nn.Module):
    """Narrow, look around, widen, add the input. `inflated` blocks look at three frames while they narrow."""

    def __init__(self, channels: int, width: int, stride: Size3, inflated: bool, project: bool) -> None:
        super().__init__()
        out = width * EXPANSION
        self.conv1 = ConvNorm(channels, width, (3, 1, 1) if inflated else (1, 1, 1))
        self.conv2 = ConvNorm(width, width, (1, 3, 3), stride)
        self.conv3 = ConvNorm(width, out)
        self.shortcut = ConvNorm(channels, out, stride=stride) if project else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv1(x), inplace=True)
        y = F.relu(self.conv2(y), inplace=True)
        y = self.conv3(y)
        return F.relu(y.add_(x if self.shortcut is None else self.shortcut(x)), inplace=True)


class SlowOnly(nn.Module):
    """Stem and stages. `stem` and `stages[i]` may be called one by one, to put something between them.

    The defaults are the network for heatmaps, 2.0 M parameters.

    Args:
        channels: C.
        width: channels after the stem, and of the first stage's bottlenecks; every stage doubles them.
        blocks: blocks of each stage.
        inflated: per stage, whether its blocks look at three frames.
        spatial_strides, temporal_strides: of the first block of each stage.
        stem_stride: spatial stride of the stem's convolution and of its pooling.
        joining: channels that are laid beside the output of the stage before, for each stage.
    """

    def __init__(
        self,
        channels: int,
        width: int = 32,
        blocks: Sequence[int] = (4, 6, 3),
        *,
        inflated: Sequence[bool] = (False, True, True),
        spatial_strides: Sequence[int] = (2, 2, 2),
        temporal_strides: Sequence[int] = (1, 1, 2),
        stem_stride: int = 1,
        joining: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, width, (1, 7, 7), (1, stem_stride, stem_stride))
        self.pool = nn.MaxPool3d((1, 3, 3), (1, stem_stride, stem_stride), (0, 1, 1))
        widths = [width, *(width * EXPANSION * 2**i for i in range(len(blocks)))]
        self.width = widths[-1]
        """Channels of the output."""
        self.stages = nn.ModuleList()
        for (before, after), count, inflate, space, time, more in zip(
            pairwise(widths),
            blocks,
            inflated,
            spatial_strides,
            temporal_strides,
            joining or (0,) * len(blocks),
            strict=True,
        ):
            bottleneck = after // EXPANSION
            first = Bottleneck(before + more, bottleneck, (time, space, space), inflate, project=True)
            rest = (Bottleneck(after, bottleneck, (1, 1, 1), inflate, project=False) for _ in range(count - 1))
            self.stages.append(nn.Sequential(first, *rest))
        initialise(self)

    def stem(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) to what the first stage reads."""
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last_3d)  # a quarter less time, kept through all stages
        y: Tensor = self.pool(F.relu(self.conv1(x), inplace=True))
        return y

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, width, T', H', W')."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x


def initialise(network: nn.Module) -> None:
    """Convolutions as He et al. (2015); batch norms that end a block start at zero: the block is its shortcut."""
    for module in network.modules():
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, Bottleneck):
            nn.init.zeros_(module.conv3.bn.weight)


def classifier(channels: int, classes: int) -> nn.Linear:
    """The linear layer behind pooled features, with the small weights these networks start from."""
    layer = nn.Linear(channels, classes)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


def official_key(key: str) -> str:
    """Name that PYSKL and MMAction2 give to a tensor of `SlowOnly`, without their prefix."""
    path = key.split(".")
    if path[0] == "stages":
        path = [f"layer{int(path[1]) + 1}", *path[2:]]
    return ".".join("downsample" if part == "shortcut" else part for part in path)
