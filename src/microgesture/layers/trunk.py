"""What ST-GCN and its successors share: joints are normalised, then pass through a row of blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

# the published network: width of each block in multiples of the first, and its temporal stride
GROWTH = (1, 1, 1, 1, 2, 2, 2, 4, 4, 4)
STRIDES = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)


class Trunk(nn.Module):
    """Joints to features: (B, M, T, V, C) to (B, M, D, T', V), D = `width * growth[-1]`, T' = T / product of strides.

    Args:
        norm: keeps the shape (B, M, T, V, C).
        block: makes a block from channels in, channels out, stride, and whether it has a residual (all but the first).
        channels: C.
        width: channels of the first block.
        growth: width of each block in multiples of `width`; its length is the number of blocks.
        strides: temporal stride of each block.
    """

    def __init__(
        self,
        norm: nn.Module,
        block: Callable[[int, int, int, bool], nn.Module],
        channels: int,
        width: int,
        growth: Sequence[int],
        strides: Sequence[int],
    ) -> None:
        super().__init__()
        widths = [channels, *(width * g for g in growth)]
        self.width = widths[-1]
        self.norm = norm
        self.blocks = nn.Sequential(
            *(block(c, d, s, i > 0) for i, (c, d, s) in enumerate(zip(widths[:-1], widths[1:], strides, strict=True)))
        )

    def forward(self, x: Tensor) -> Tensor:
        b, m = x.shape[:2]
        x = self.norm(x).flatten(0, 1).permute(0, 3, 1, 2)  # (B*M, C, T, V), channels-last
        x = self.blocks(x)  # (B*M, D, T', V)
        return x.view(b, m, *x.shape[1:])
