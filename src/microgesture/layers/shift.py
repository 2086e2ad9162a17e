"""The temporal shift module: a network over single pictures that sees the pictures before and after, at no cost.

Source: J. Lin, C. Gan, S. Han: TSM: Temporal Shift Module for Efficient Video Understanding, ICCV 2019,
https://arxiv.org/abs/1811.08383
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from microgesture.core.errors import UsageError


class TemporalShift(nn.Module):
    """An eighth of the channels comes from the next picture, an eighth from the one before, the others stay.

    Beyond both ends of a clip there are zeros.

    Args:
        share: C // `share` channels are moved each way.

    Example:
        >>> ramp = torch.arange(1.0, 5).view(4, 1, 1, 1).expand(4, 8, 1, 1)  # one clip of four pictures
        >>> TemporalShift()(ramp, 4)[:, :3, 0, 0].T.tolist()
        [[2.0, 3.0, 4.0, 0.0], [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]]
    """

    def __init__(self, share: int = 8) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(B*F, C, H, W) to the same shape, F = `frames`.

        Raises:
            UsageError: the pictures do not make whole clips.
        """
        if frames < 1 or len(x) % frames:
            raise UsageError(f"{len(x)} pictures do not make clips of {frames}")
        y = torch.empty_like(x)  # keeps channels-last storage, which joining three parts would not
        fold = x.shape[1] // self.share
        new, old = (z.view(-1, frames, *z.shape[1:]) for z in (y, x))
        new[:, :-1, :fold] = old[:, 1:, :fold]
        new[:, -1:, :fold] = 0
        new[:, 1:, fold : 2 * fold] = old[:, :-1, fold : 2 * fold]
        new[:, :1, fold : 2 * fold] = 0
        new[:, :, 2 * fold :] = old[:, :, 2 * fold :]
        return y


def parameter_groups(model: nn.Module, boosted: nn.Linear) -> list[dict[str, Any]]:
    """Groups of parameters with their shares of the learning rate and weight decay, as TSM is trained.

    Biases learn twice as fast and do not decay, nor do batch norms; `boosted`, which starts from nothing when the
    rest starts from ImageNet, learns five times as fast and its bias ten times.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        >>> [(group["rate"], group["decay"]) for group in parameter_groups(model, model[1])]
        [(1.0, 1.0), (2.0, 0.0), (5.0, 1.0), (10.0, 0.0)]
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module in model.modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name, parameter in module.named_parameters(recurse=False):
            bias = name == "bias"
            rate = 1.0 if norm else (5.0 if module is boosted else 1.0) * (2.0 if bias else 1.0)
            groups.setdefault((rate, 0.0 if norm or bias else 1.0), []).append(parameter)
    return [{"params": params, "rate": rate, "decay": decay} for (rate, decay), params in groups.items()]
