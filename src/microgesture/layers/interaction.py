"""Pictures and poses that tell each other, picture by picture, which channels matter.

Source: K. Li et al., Prototypical Calibrating Ambiguous Samples for Micro-Action Recognition, AAAI 2025,
https://arxiv.org/abs/2412.14719.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.layers.resnet3d import Conv


class Gates(NamedTuple):
    """What each stream's channels are multiplied with is 1 plus these: (B, C, F, 1, 1) and (B, D, ratio * F, 1, 1)."""

    rgb: Tensor
    pose: Tensor


class Interaction(nn.Module):
    """Both streams as a token per picture, attention from one to the other and back, and gates from its outcome.

    There are as many tokens as pictures; the released code fixes them at eight, the length it was trained with.

    Args:
        rgb_channels, pose_channels: C and D of the features.
        width: of the tokens.
        heads: of the attention; must divide `width`.
        ratio: poses per picture.
        dropout: of the attention's weights.

    Raises:
        UsageError: `width` cannot be shared among the heads.
    """

    def __init__(
        self, rgb_channels: int, pose_channels: int, width: int, heads: int = 8, ratio: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if width < heads or width % heads:
            raise UsageError(f"tokens of width {width} cannot be shared among {heads} heads")
        steps = (ratio, 1, 1)
        self.from_rgb = Conv(rgb_channels, width, (1, 1, 1))
        self.from_pose = Conv(pose_channels, width, steps, steps)
        self.rgb_attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.pose_attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.to_rgb = Conv(width, rgb_channels, (1, 1, 1))
        self.to_pose = nn.ConvTranspose3d(width, pose_channels, steps, steps)

    def gates(self, rgb: Tensor, pose: Tensor) -> Gates:
        """See `forward`."""
        rgb, pose = (x.flatten(3).amax(3).transpose(1, 2) for x in (self.from_rgb(rgb), self.from_pose(pose)))
        rgb, _ = self.rgb_attention(rgb, pose, pose, need_weights=False)  # (B, F, width)
        pose, _ = self.pose_attention(pose, rgb, rgb, need_weights=False)  # it asks what the pictures have just learnt
        rgb, pose = (x.transpose(1, 2)[..., None, None] for x in (rgb, pose))
        return Gates(self.to_rgb(rgb), self.to_pose(pose))

    def forward(self, rgb: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, F, H, W) and (B, D, ratio * F, H, W) to the same, gated."""
        gates = self.gates(rgb, pose)
        return torch.addcmul(rgb, rgb, gates.rgb), torch.addcmul(pose, pose, gates.pose)
