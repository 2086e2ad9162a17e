"""CTR-GCN: every channel has its own skeleton graph, refined by the clip itself.

Paper      Y. Chen, Z. Zhang, C. Yuan, B. Li, Y. Deng, W. Hu: Channel-wise Topology Refinement Graph Convolution for
           Skeleton-Based Action Recognition, ICCV 2021, https://arxiv.org/abs/2107.12213
Input      xy (B, M, T, V, C) and score (B, M, T, V): M persons, T frames, V joints of `skeleton`
Output     logits (B, K) for the K labels of `taxonomy`
Losses     class (cross-entropy)
Fidelity   verified against the implementation in PYSKL. Holes: none. As there, empty persons take part in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.graph import spatial
from microgesture.layers.losses import class_loss
from microgesture.layers.norm import PersonJointNorm
from microgesture.layers.official import Keys
from microgesture.layers.temporal import PooledBranches, shortcut
from microgesture.layers.trunk import GROWTH, STRIDES, Trunk


class Topology(nn.Module):
    """One subset: its features, and a graph per clip and channel, A + alpha * refinement (eq. 7)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        relation = 8 if channels <= 16 else channels // 8
        self.source = nn.Conv2d(channels, relation, 1)
        self.target = nn.Conv2d(channels, relation, 1)
        self.value = nn.Conv2d(channels, width, 1)
        self.refine = nn.Conv2d(relation, width, 1)

    def forward(self, x: Tensor, pooled: Tensor, adjacency: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D, T * V) and graphs (N * D, V, W) of x (N, C, T * V) and its mean over time (N, C, 1, V)."""
        relation = torch.tanh(self.source(pooled).transpose(2, 3) - self.target(pooled))  # (N, R, V, W)
        assert self.value.bias is not None
        assert self.refine.bias is not None
        # alpha and A are small here; beside the graphs of all channels each would be a pass over the largest tensor
        offset = adjacency.flatten() + alpha * self.refine.bias[:, None]  # (D, V * W)
        graph = pointwise(alpha * self.refine.weight, offset, relation)
        return pointwise(self.value.weight, self.value.bias[:, None], x), graph.flatten(0, 1)


class GraphConv(nn.Module):
    """Sum of the three subsets, batch norm, shortcut, ReLU."""

    def __init__(self, channels: int, width: int, adjacency: Tensor) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.subsets = nn.ModuleList(Topology(channels, width) for _ in adjacency)
        self.bn = nn.BatchNorm2d(width)
        self.shortcut = shortcut(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        n, _, t, v = x.shape
        # a 1x1 convolution commutes with the mean over T; written as torch sums channels-last storage fastest
        pooled = (x.permute(0, 2, 3, 1).sum(1, keepdim=True) / t).permute(0, 3, 1, 2)
        flat = x.flatten(2)  # once: here the subsets' gradients meet in one storage order
        y: Tensor | None = None
        for subset, adjacency in zip(self.subsets, self.adjacency, strict=True):
            features, graph = subset(flat, pooled, adjacency, self.alpha)
            features = features.reshape(-1, t, v)  # a view but in an exported graph
            y = torch.bmm(features, graph) if y is None else y.baddbmm_(features, graph)
        assert y is not None
        y = y.view(n, -1, t, v).contiguous(memory_format=torch.channels_last)
        return F.relu(self.bn(y).add_(self.shortcut(x)), inplace=True)


def pointwise(weight: Tensor, offset: Tensor, x: Tensor) -> Tensor:
    """A 1x1 convolution as a batched product: its result is contiguous, each channel a (T, V) matrix, for any x.

    Args:
        weight: (D, C, 1, 1).
        offset: what is added to every clip, (D, 1) or (D, T * V).
        x: (N, C, T, V), or (N, C, T * V).
    """
    n = x.shape[0]  # len(x) would fix the batch size of an exported graph
    if torch.compiler.is_exporting() and not torch.is_autocast_enabled("cpu"):
        # other runtimes fuse what follows a convolution, and have one for 8 bits; bfloat16 is for torch, as below
        x = x if x.ndim == 4 else x[..., None]
        if offset.shape[1] == 1:
            return F.conv2d(x, weight, offset.squeeze(1))
        return F.conv2d(x, weight) + offset.view(-1, *x.shape[2:])
    y = torch.baddbmm(offset, weight.flatten(1).expand(n, -1, -1), x.flatten(2))
    return y.view(n, -1, *x.shape[2:])


class Block(nn.Module):
    """Space, then time with a ReLU of its own, then the residual sum."""

    def __init__(self, channels: int, width: int, stride: int, adjacency: Tensor, residual: bool) -> None:
        super().__init__()
        self.space = GraphConv(channels, width, adjacency)
        self.time = PooledBranches(width, width, stride)
        self.residual = shortcut(channels, width, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.time(self.space(x)), inplace=True)
        return y if self.residual is None else F.relu(y + self.residual(x), inplace=True)


class CTRGCN(nn.Module):
    """CTR-GCN recogniser.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length is accepted, `persons` is fixed:
            the batch norm of the input has statistics for each of them.
        in_channels: C + 1 to read coordinates and score, C to read coordinates alone.
        width, growth, strides: see `Trunk`; the defaults are the published network.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = CTRGCN(SKELETONS["imigue22"], IMIGUE, frames=90, persons=1)
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

        self.trunk = Trunk(
            PersonJointNorm(persons, len(skeleton), in_channels), block, in_channels, width, growth, strides
        )
        self.classifier = nn.Linear(self.trunk.width, len(taxonomy))

    def forward(self, batch: PoseBatch) -> Tensor:
        x = self.trunk(batch.features(self.in_channels))  # (B, M, D, T', V)
        x = x.mean((-2, -1)).mean(1)  # (B, D)
        logits: Tensor = self.classifier(x)
        return logits

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, batch)}


def official_keys(model: CTRGCN) -> Keys:
    """Keys of PYSKL's CTRGCN with its GCNHead."""
    keys = {key: _official(key) for key in model.state_dict()}
    return keys | {"": ("backbone.A",)}  # the graph before learning


def _official(key: str) -> tuple[str, ...]:
    *path, leaf = key.split(".")
    match path:
        case ["classifier"]:
            return (f"cls_head.fc_cls.{leaf}",)
        case ["trunk", "norm", "bn"]:
            return (f"backbone.data_bn.{leaf}",)
        case ["trunk", "blocks", i, "residual", part]:
            return (f"backbone.net.{i}.residual.{part}.{leaf}",)
        case ["trunk", "blocks", i, "space"]:
            return (f"backbone.net.{i}.gcn1.{'A' if leaf == 'adjacency' else leaf}",)
        case ["trunk", "blocks", i, "space", "shortcut", part]:
            return (f"backbone.net.{i}.gcn1.down.{('conv', 'bn').index(part)}.{leaf}",)
        case ["trunk", "blocks", i, "space", "bn"]:
            return (f"backbone.net.{i}.gcn1.bn.{leaf}",)
        case ["trunk", "blocks", i, "space", "subsets", k, part]:
            conv = f"conv{('source', 'target', 'value', 'refine').index(part) + 1}"
            return (f"backbone.net.{i}.gcn1.convs.{k}.{conv}.{leaf}",)
        case ["trunk", "blocks", i, "time", *part]:
            tcn = f"backbone.net.{i}.tcn1.branches"
            match part:
                case ["reduce"]:
                    return tuple(f"{tcn}.{b}.0.{leaf}" for b in range(3))
                case ["reduce_bn"]:
                    return tuple(f"{tcn}.{b}.1.{leaf}" for b in range(3))
                case ["dilated", b]:
                    return (f"{tcn}.{b}.3.conv.{leaf}",)
                case ["plain"]:
                    return (f"{tcn}.3.0.{leaf}",)
                case ["bn"]:
                    return tuple(f"{tcn}.{b}.{leaf}" for b in ("0.3.bn", "1.3.bn", "2.4", "3.1"))
    raise KeyError(key)
