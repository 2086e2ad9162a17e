"""ST-GCN++: graph convolution with a learned adjacency, temporal convolution in several branches.

Paper      H. Duan, J. Wang, K. Chen, D. Lin: PYSKL: Towards Good Practices for Skeleton Action Recognition,
           ACM Multimedia 2022, https://arxiv.org/abs/2205.09443
Input      xy (B, M, T, V, C) and score (B, M, T, V): M persons, T frames, V joints of `skeleton`
Output     logits (B, K) for the K labels of `taxonomy`
Losses     class (cross-entropy)
Fidelity   verified against the official implementation. Holes: none. As there, empty persons take part in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.graph import aggregate, spatial
from microgesture.layers.losses import class_loss
from microgesture.layers.norm import JointNorm
from microgesture.layers.official import Keys
from microgesture.layers.temporal import BranchedConv, shortcut
from microgesture.layers.trunk import GROWTH, STRIDES, Trunk


class GraphConv(nn.Module):
    """1x1 convolution per subset, sum over neighbours with a learned adjacency, batch norm, shortcut, ReLU."""

    def __init__(self, channels: int, width: int, adjacency: Tensor) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(adjacency.clone())
        self.conv = nn.Conv2d(channels, width * len(adjacency), 1)
        self.bn = nn.BatchNorm2d(width)
        self.shortcut = shortcut(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(aggregate(self.conv(x), self.adjacency))
        return F.relu(y.add_(self.shortcut(x)), inplace=True)


class Block(nn.Module):
    """Space, then time, then the residual sum."""

    def __init__(self, channels: int, width: int, stride: int, adjacency: Tensor, residual: bool) -> None:
        super().__init__()
        self.space = GraphConv(channels, width, adjacency)
        self.time = BranchedConv(width, width, stride)
        self.residual = shortcut(channels, width, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.time(self.space(x))
        return F.relu(y if self.residual is None else y.add_(self.residual(x)), inplace=True)


class STGCNpp(nn.Module):
    """ST-GCN++ recogniser.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length and number of persons is accepted.
        in_channels: C + 1 to read coordinates and score, C to read coordinates alone.
        width, growth, strides: see `Trunk`; the defaults are the published network.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = STGCNpp(SKELETONS["imigue22"], IMIGUE, frames=90, persons=1)
    """

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        in_channels: int = 3,
        width: int = 64,
        growth: Sequence[int] = GROWTH,
        strides: Sequence[int] = STRIDES,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        adjacency = torch.from_numpy(spatial(skeleton)).float()

        def block(channels: int, width: int, stride: int, residual: bool) -> Block:
            return Block(channels, width, stride, adjacency, residual)

        self.trunk = Trunk(JointNorm(len(skeleton), in_channels), block, in_channels, width, growth, strides)
        self.classifier = nn.Linear(self.trunk.width, len(taxonomy))

    def forward(self, batch: PoseBatch) -> Tensor:
        x = self.trunk(batch.features(self.in_channels))  # (B, M, D, T', V)
        x = x.mean((-2, -1)).mean(1)  # (B, D)
        logits: Tensor = self.classifier(x)
        return logits

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, batch)}


def official_keys(model: STGCNpp) -> Keys:
    """Keys of PYSKL's STGCN (`gcn_adaptive="init"`, `gcn_with_res`, `tcn_type="mstcn"`) with its GCNHead."""
    return {key: _official(key) for key in model.state_dict()}


def _official(key: str) -> tuple[str, ...]:
    *path, leaf = key.split(".")
    match path:
        case ["classifier"]:
            return (f"cls_head.fc_cls.{leaf}",)
        case ["trunk", "norm", "bn"]:
            return (f"backbone.data_bn.{leaf}",)
        case ["trunk", "blocks", i, "residual", part]:
            return (f"backbone.gcn.{i}.residual.{part}.{leaf}",)
        case ["trunk", "blocks", i, "space"]:
            return (f"backbone.gcn.{i}.gcn.A",)
        case ["trunk", "blocks", i, "space", "shortcut", part]:
            return (f"backbone.gcn.{i}.gcn.down.{('conv', 'bn').index(part)}.{leaf}",)
        case ["trunk", "blocks", i, "space", part]:
            return (f"backbone.gcn.{i}.gcn.{part}.{leaf}",)
        case ["trunk", "blocks", i, "time", *part]:
            tcn = f"backbone.gcn.{i}.tcn"
            match part:
                case ["reduce"]:
                    return tuple(f"{tcn}.branches.{b}.0.{leaf}" for b in range(5))
                case ["reduce_bn"]:
                    return tuple(f"{tcn}.branches.{b}.1.{leaf}" for b in range(5))
                case ["dilated", b]:
                    return (f"{tcn}.branches.{b}.3.conv.{leaf}",)
                case ["plain"]:
                    return (f"{tcn}.branches.5.{leaf}",)
                case ["merge_bn"]:
                    return (f"{tcn}.transform.0.{leaf}",)
                case ["merge"]:
                    return (f"{tcn}.transform.2.{leaf}",)
                case ["bn"]:
                    return (f"{tcn}.bn.{leaf}",)
    raise KeyError(key)
