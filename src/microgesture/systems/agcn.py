"""2s-AGCN, one of its two streams: graph convolution with a graph that is learned and one that each clip adds.

Paper      L. Shi, Y. Zhang, J. Cheng, H. Lu: Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action
           Recognition, CVPR 2019, https://arxiv.org/abs/1805.07694
Input      xy (B, M, T, V, C) and score (B, M, T, V): M persons, T frames, V joints of `skeleton`. The two
           streams of the paper are two such networks, for joints and for bones; their probabilities are added.
Output     logits (B, K) for the K labels of `taxonomy`
Losses     class (cross-entropy)
Fidelity   verified against the implementation in PYSKL, AAGCN without attention. Holes: none. The paper adds a learned
           graph to the fixed one and weighs joint pairs by a softmax; here, as there, the graph itself is learned and
           alpha * tanh is added. As there, empty persons take part in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.graph import AdaptiveGraphConv, spatial
from microgesture.layers.losses import class_loss
from microgesture.layers.norm import PersonJointNorm
from microgesture.layers.official import Keys
from microgesture.layers.temporal import TemporalConv, shortcut
from microgesture.layers.trunk import GROWTH, STRIDES, Trunk


class Block(nn.Module):
    """Space, then time, then the residual sum."""

    def __init__(self, channels: int, width: int, stride: int, adjacency: Tensor, residual: bool) -> None:
        super().__init__()
        self.space = AdaptiveGraphConv(channels, width, adjacency)
        self.time = TemporalConv(width, width, kernel=9, stride=stride)
        self.residual = shortcut(channels, width, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.time(self.space(x))
        return F.relu(y if self.residual is None else y.add_(self.residual(x)), inplace=True)


class AGCN(nn.Module):
    """One stream of 2s-AGCN.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length is accepted, `persons` is fixed:
            the batch norm of the input has statistics for each of them.
        in_channels: C + 1 to read coordinates and score, C to read coordinates alone.
        width, growth, strides: see `Trunk`; the defaults are the published network.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = AGCN(SKELETONS["imigue22"], IMIGUE, frames=90, persons=1)
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


def official_keys(model: AGCN) -> Keys:
    """Keys of PYSKL's AAGCN (`gcn_attention=False`) with its GCNHead."""
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
            return (f"backbone.gcn.{i}.residual.{part}.{leaf}",)
        case ["trunk", "blocks", i, "time", part]:
            return (f"backbone.gcn.{i}.tcn.{part}.{leaf}",)
        case ["trunk", "blocks", i, "space", *part]:
            gcn = f"backbone.gcn.{i}.gcn"
            match part:
                case []:
                    return (f"{gcn}.{'A' if leaf == 'adjacency' else leaf}",)
                case ["relation"]:
                    return tuple(f"{gcn}.conv_{side}.{k}.{leaf}" for side in "ab" for k in range(3))
                case ["value"]:
                    return tuple(f"{gcn}.conv_d.{k}.{leaf}" for k in range(3))
                case ["bn"]:
                    return (f"{gcn}.bn.{leaf}",)
                case ["shortcut", part]:
                    return (f"{gcn}.down.{('conv', 'bn').index(part)}.{leaf}",)
    raise KeyError(key)
