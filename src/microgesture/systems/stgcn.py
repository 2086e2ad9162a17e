"""ST-GCN: convolution over the bones of a skeleton and over time.

Paper      S. Yan, Y. Xiong, D. Lin: Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action
           Recognition, AAAI 2018, https://arxiv.org/abs/1801.07455
Input      xy (B, M, T, V, C) and score (B, M, T, V): M persons, T frames, V joints of `skeleton`
Output     logits (B, K) for the K labels of `taxonomy`
Losses     class (cross-entropy)
Fidelity   verified against the implementation in PYSKL. Holes: none. As there, empty persons take part in the mean.
           compat="official": joints far from the root are partitioned as in the released code, see `stgcn_spatial`
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.graph import aggregate, stgcn_spatial
from microgesture.layers.losses import class_loss
from microgesture.layers.norm import JointNorm
from microgesture.layers.official import Keys
from microgesture.layers.temporal import TemporalConv, shortcut
from microgesture.layers.trunk import GROWTH, STRIDES, Trunk


class GraphConv(nn.Module):
    """1x1 convolution per subset, sum over neighbours weighted by A * importance (section 3.4), batch norm, ReLU."""

    adjacency: Tensor

    def __init__(self, channels: int, width: int, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency.clone())
        self.importance = nn.Parameter(torch.ones_like(adjacency))
        self.conv = nn.Conv2d(channels, width * len(adjacency), 1)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = aggregate(self.conv(x), self.adjacency * self.importance)
        return F.relu(self.bn(y), inplace=True)


class Block(nn.Module):
    """Space, then time, then the residual sum."""

    def __init__(self, channels: int, width: int, stride: int, adjacency: Tensor, residual: bool) -> None:
        super().__init__()
        self.space = GraphConv(channels, width, adjacency)
        self.time = TemporalConv(width, width, kernel=9, stride=stride)
        self.residual = shortcut(channels, width, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.time(self.space(x))
        return F.relu(y if self.residual is None else y.add_(self.residual(x)), inplace=True)


class STGCN(nn.Module):
    """ST-GCN recogniser.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length and number of persons is accepted.
        in_channels: C + 1 to read coordinates and score, C to read coordinates alone.
        width, growth, strides: see `Trunk`; the defaults are the published network.
        compat: see `stgcn_spatial`.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import SMG
        >>> model = STGCN(SKELETONS["kinect25"], SMG, frames=60, persons=1)
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
        compat: str | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        adjacency = torch.from_numpy(stgcn_spatial(skeleton, compat=compat)).float()

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


def official_keys(model: STGCN) -> Keys:
    """Keys of PYSKL's STGCN (`graph_cfg.mode="stgcn_spatial"`) with its GCNHead."""
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
            return (f"backbone.gcn.{i}.gcn.{'A' if leaf == 'adjacency' else 'PA'}",)
        case ["trunk", "blocks", i, "space", part]:
            return (f"backbone.gcn.{i}.gcn.{part}.{leaf}",)
        case ["trunk", "blocks", i, "time", part]:
            return (f"backbone.gcn.{i}.tcn.{part}.{leaf}",)
    raise KeyError(key)
