"""Batch norm of the raw joints, before the first graph convolution."""

from __future__ import annotations

from torch import Tensor, nn

from microgesture.core.errors import UsageError


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
