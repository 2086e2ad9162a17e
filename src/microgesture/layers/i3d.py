"""Inception-I3D: an inception network whose convolutions reach over frames as well, as far as its block Mixed_5c.

Source     J. Carreira, A. Zisserman: Quo Vadis, Action Recognition?, CVPR 2017, https://arxiv.org/abs/1705.07750; with
           the temporal stride 4 of its use in C. Lin et al.: AFSD, CVPR 2021, https://arxiv.org/abs/2103.13137, and in
           PointTAD: the pooling before Mixed_5b takes no frames together
Letters    B clips, T frames, H x W pixels

Every layer keeps ceil(size / stride) of what it reads; where the padding is odd, the end gets one more than the
beginning. Parallel 1x1x1 convolutions are one product.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.layers.resnet3d import Conv, Size3

ONE: Size3 = (1, 1, 1)
CHANNELS = (832, 1024)
"""Of Mixed_4f and Mixed_5c."""

# channels of each mixed block: alone, narrow and wide of the first 3x3x3 branch, of the second, behind the pooling
MIXED = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


class Maps(NamedTuple):
    """What `I3D` gives: (B, 832, T', H', W') and (B, 1024, T', H'', W''); T' = T / 4, sides a 16th and a 32nd."""

    mixed_4f: Tensor
    mixed_5c: Tensor


def same(x: Tensor, kernel: Size3, stride: Size3) -> Tensor:
    """Zeros around (B, C, T, H, W), so that a layer without padding gives ceil(size / stride) along each axis."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        pad = max(k - (s if size % s == 0 else size % s), 0)
        pads += [pad // 2, pad - pad // 2]
    return F.pad(x, pads) if any(pads) else x


class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, channels: int, width: int, kernel: Size3 = ONE, stride: Size3 = ONE) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = Conv(channels, width, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(width, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(same(x, self.kernel, self.stride))), inplace=True)


class Pool(nn.Module):
    """Largest value of each box; what is pooled is never negative, so that zeros around it count for nothing."""

    def __init__(self, kernel: Size3, stride: Size3) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(same(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Four branches side by side: 1x1x1; 1x1x1 and 3x3x3, twice; pooling and 1x1x1."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        alone, narrow1, wide1, narrow2, wide2, pooled = widths
        self.split = (alone, narrow1, narrow2)
        self.width = alone + wide1 + wide2 + pooled
        self.reduce = Unit(channels, sum(self.split))
        self.first = Unit(narrow1, wide1, (3, 3, 3))
        self.second = Unit(narrow2, wide2, (3, 3, 3))
        self.pool = Pool((3, 3, 3), ONE)
        self.pooled = Unit(channels, pooled)

    def forward(self, x: Tensor) -> Tensor:
        alone, first, second = self.reduce(x).split(self.split, 1)
        return torch.cat((alone, self.first(first), self.second(second), self.pooled(self.pool(x))), 1)


class I3D(nn.Module):
    """The network from pictures to Mixed_5c, 12.3 M parameters.

    Example:
        >>> import torch
        >>> maps = I3D().to("meta")(torch.zeros(1, 3, 128, 192, 192, device="meta"))
        >>> maps.mixed_4f.shape, maps.mixed_5c.shape
        (torch.Size([1, 832, 32, 12, 12]), torch.Size([1, 1024, 32, 6, 6]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Unit(3, 64, (7, 7, 7), (2, 2, 2))
        self.pool2 = Pool((1, 3, 3), (1, 2, 2))
        self.conv2b = Unit(64, 64)
        self.conv2c = Unit(64, 192, (3, 3, 3))
        self.pool3 = Pool((1, 3, 3), (1, 2, 2))
        self.pool4 = Pool((3, 3, 3), (2, 2, 2))
        self.pool5 = Pool((1, 2, 2), (1, 2, 2))
        self.mixed = nn.ModuleDict()
        channels = 192
        for name, widths in MIXED.items():
            block = Mixed(channels, widths)
            self.mixed[name] = block
            channels = block.width

    def forward(self, x: Tensor) -> Maps:
        """Pictures (B, 3, T, H, W), red first, -1 to 1."""
        x = self.pool2(self.conv1(x))
        x = self.pool3(self.conv2c(self.conv2b(x)))
        before = {"4b": self.pool4, "5b": self.pool5}
        seen: dict[str, Tensor] = {}
        for name, block in self.mixed.items():
            x = seen[name] = block(before[name](x) if name in before else x)
        return Maps(seen["4f"], seen["5c"])


def official_keys(key: str) -> tuple[str, ...]:
    """Names that the official code gives to the tensors which are laid one after the other in a tensor of `I3D`."""
    *path, part, leaf = key.split(".")
    tail = f"{'conv3d' if part == 'conv' else part}.{leaf}"
    match path:
        case ["conv1"]:
            return (f"Conv3d_1a_7x7.{tail}",)
        case ["conv2b"]:
            return (f"Conv3d_2b_1x1.{tail}",)
        case ["conv2c"]:
            return (f"Conv3d_2c_3x3.{tail}",)
        case ["mixed", name, branch]:
            branches = {"reduce": ("b0", "b1a", "b2a"), "first": ("b1b",), "second": ("b2b",), "pooled": ("b3b",)}
            return tuple(f"Mixed_{name}.{b}.{tail}" for b in branches[branch])
    raise KeyError(key)
