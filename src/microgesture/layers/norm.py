"""Batch norm: of the raw joints, before the first graph convolution, and as a part of the convolution before it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError


def conv_norm(conv: nn.Conv2d, bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """`bn(conv(x))`; where nobody learns, as one convolution, which saves a pass over its output."""
    if bn.training or torch.is_grad_enabled():
        y: Tensor = bn(conv(x))
        return y
    scale, shift = folded(bn)
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    weight = conv.weight * scale.view(-1, 1, 1, 1)
    return F.conv2d(x, weight, shift, conv.stride, conv.padding, conv.dilation, conv.groups)


def folded(bn: nn.BatchNorm2d | nn.BatchNorm3d) -> tuple[Tensor, Tensor]:
    """Scale and shift of each channel (D,) in a batch norm that goes by its running statistics.

    Worked out anew each time: it is cheap, and nothing can be out of date.
    """
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = bn.weight * (bn.running_var + bn.eps).rsqrt()
    return scale, bn.bias - bn.running_mean * scale


class JointNorm(nn.Module):
    """Batch norm over (V * C), the same for every person, statistics over clips, persons and frames."""

    def __init__(self, joints: int, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(joints * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, T, V, C) to the same shape."""
        y: Tensor = self.bn(x.flatten(3).flatten(0, 2))
        return y.view(x.shape)


class PersonJointNorm(nn.Module):
    """Batch norm over (M * V * C): each person has its own statistics, so the number of persons is fixed."""

    def __init__(self, persons: int, joints: int, channels: int) -> None:
        super().__init__()
        self.persons = persons
        self.bn = nn.BatchNorm1d(persons * joints * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, T, V, C) to the same shape.

        Raises:
            UsageError: another number of persons than the layer was built for.
        """
        b, m, t, v, c = x.shape
        if m != self.persons:
            raise UsageError(f"the system was built for {self.persons} persons, the batch has {m}")
        y: Tensor = self.bn(x.transpose(1, 2).reshape(b * t, m * v * c))
        return y.view(b, t, m, v, c).transpose(1, 2)
