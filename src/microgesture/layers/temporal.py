"""Temporal units of the skeleton graph networks: convolutions along T, each joint for itself.

All of them map (N, C, T, V) to (N, D, ceil(T / stride), V) and want channels-last storage, where a 1x1
convolution is one matrix product and a slice of channels costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.layers.norm import conv_norm


class TemporalConv(nn.Module):
    """Convolution over `kernel` frames and batch norm: the temporal unit of ST-GCN, and with kernel 1 the shortcuts.

    Args:
        channels: C.
        width: D.
        kernel: odd number of frames.
    """

    def __init__(self, channels: int, width: int, kernel: int = 9, stride: int = 1) -> None:
        super().__init__()
        self.skip, stride = (stride, 1) if kernel == 1 else (1, stride)
        self.conv = nn.Conv2d(channels, width, (kernel, 1), (stride, 1), (kernel // 2, 0))
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return conv_norm(self.conv, self.bn, every(x, self.skip))


def every(x: Tensor, stride: int) -> Tensor:
    """Every `stride`-th frame of (N, C, T, V): what a strided 1x1 convolution reads.

    Taken out before an unstrided convolution, because on CPU the gradient of the strided one writes beyond its memory
    for fewer than 16 channels (torch 2.13). The slice is one of channels-last storage, so that its gradient is too.
    """
    return x if stride == 1 else x.permute(0, 2, 3, 1)[:, ::stride].permute(0, 3, 1, 2)


def shortcut(channels: int, width: int, stride: int = 1) -> nn.Module:
    """What a residual sum adds: the input itself where its shape fits, else a 1x1 convolution of it."""
    same = channels == width and stride == 1
    return nn.Identity() if same else TemporalConv(channels, width, kernel=1, stride=stride)


class DilatedConv(nn.Conv2d):
    """Convolution over frames that lie `dilation` apart, as many channels out as in.

    In float32 where it learns in bfloat16 on CPU: there torch 2.13 gives its weights a wrong gradient, or none that is
    finite, for more than 16 channels that are no multiple of 16.
    """

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__(channels, channels, (kernel, 1), (stride, 1), (kernel // 2 * dilation, 0), (dilation, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.dilation[0] > 1 and x.device.type == "cpu" and torch.is_grad_enabled():
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float()).to(x.dtype)
        return super().forward(x)


class BranchedConv(nn.Module):
    """Dilated convolutions, a max-pool and a plain path side by side: temporal unit of ST-GCN++ (Duan et al., 2022).

    Six branches of D // 6 channels, the first takes the remainder: 3-frame convolutions with dilation 1 to 4, a
    3-frame max-pool, a 1x1 convolution. Batch norm, ReLU and a 1x1 convolution merge them. The 1x1 convolutions in
    front of the first five branches are one product here.
    """

    dilations = (1, 2, 3, 4)

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        part = width // (len(self.dilations) + 2)
        first = width - part * (len(self.dilations) + 1)
        self.parts = [first] + [part] * len(self.dilations)
        self.stride = stride
        self.reduce = nn.Conv2d(channels, sum(self.parts), 1)
        self.reduce_bn = nn.BatchNorm2d(sum(self.parts))
        self.dilated = nn.ModuleList(
            DilatedConv(c, 3, stride, d) for c, d in zip(self.parts, self.dilations, strict=False)
        )
        self.plain = nn.Conv2d(channels, part, 1)
        self.merge_bn = nn.BatchNorm2d(width)
        self.merge = nn.Conv2d(width, width, 1)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        reduced = F.relu(conv_norm(self.reduce, self.reduce_bn, x), inplace=True)
        *to_conv, to_pool = torch.split(reduced, self.parts, 1)
        y = [conv(part) for conv, part in zip(self.dilated, to_conv, strict=True)]
        y.append(F.max_pool2d(to_pool, (3, 1), (self.stride, 1), (1, 0)))
        y.append(self.plain(every(x, self.stride)))
        merged = F.relu(self.merge_bn(torch.cat(y, 1)), inplace=True)
        return conv_norm(self.merge, self.bn, merged)


class PooledBranches(nn.Module):
    """Dilated convolutions, a max-pool and a plain path side by side: temporal unit of CTR-GCN and MS-G3D.

    One branch of D // n channels for each dilation, one for the max-pool, one for the plain path, which takes the
    remainder; each ends with its own batch norm, all of them one here. The 1x1 convolutions in front are one product.

    Args:
        channels: C.
        width: D.
        kernel: odd number of frames of the dilated convolutions.
        dilations: one branch each.
    """

    def __init__(self, channels: int, width: int, stride: int = 1, kernel: int = 5, dilations: Sequence[int] = (1, 2)):
        super().__init__()
        branches = len(dilations) + 2
        self.part = part = width // branches
        self.stride = stride
        self.reduce = nn.Conv2d(channels, part * (branches - 1), 1)
        self.reduce_bn = nn.BatchNorm2d(part * (branches - 1))
        self.dilated = nn.ModuleList(DilatedConv(part, kernel, stride, d) for d in dilations)
        self.plain = nn.Conv2d(channels, width - part * (branches - 1), 1)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        reduced = F.relu(conv_norm(self.reduce, self.reduce_bn, x), inplace=True)
        *to_conv, to_pool = torch.split(reduced, self.part, 1)
        y = [conv(part) for conv, part in zip(self.dilated, to_conv, strict=True)]
        y.append(F.max_pool2d(to_pool, (3, 1), (self.stride, 1), (1, 0)))
        y.append(self.plain(every(x, self.stride)))
        out: Tensor = self.bn(torch.cat(y, 1))
        return out
