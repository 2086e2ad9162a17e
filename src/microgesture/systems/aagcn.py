"""AAGCN: the adaptive graph convolution of 2s-AGCN, followed by attention to joints, frames and channels.

Paper      L. Shi, Y. Zhang, J. Cheng, H. Lu: Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph
           Convolutional Networks, IEEE Transactions on Image Processing 29, 2020, https://arxiv.org/abs/1912.06971
Input      xy (B, M, T, V, C) and score (B, M, T, V): M persons, T frames, V joints of `skeleton`. The
           streams of the paper are such networks for joints, bones and their motion; probabilities are added.
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
from microgesture.layers.graph import AdaptiveGraphConv, spatial
from microgesture.layers.losses import class_loss
from microgesture.layers.norm import PersonJointNorm
from microgesture.layers.official import Keys
from microgesture.layers.temporal import TemporalConv, shortcut
from microgesture.layers.trunk import GROWTH, STRIDES, Trunk


class Attention(nn.Module):
    """Raises joints, then frames, then channels, each by a factor between 1 and 2: what is there is never shut out."""

    def __init__(self, width: int, joints: int) -> None:
        super().__init__()
        reach = joints - 1 + joints % 2  # the largest odd number of joints
        self.joints = nn.Conv1d(width, 1, reach, padding=reach // 2)
        self.frames = nn.Conv1d(width, 1, 9, padding=4)
        self.squeeze = nn.Linear(width, width // 2)
        self.excite = nn.Linear(width // 2, width)
        # frames and channels start alike: all are raised by one half
        for parameter in (*self.frames.parameters(), *self.excite.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, T, V) to the same shape."""
        x = x * (1 + torch.sigmoid(self.joints(x.mean(2)))).unsqueeze(2)  # (N, 1, 1, V)
        x = x * (1 + torch.sigmoid(self.frames(x.mean(3)))).unsqueeze(3)  # (N, 1, T, 1)
        channels = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * (1 + channels)[..., None, None]


class Block(nn.Module):
    """Space, attention, time, then the residual sum."""

    def __init__(self, channels: int, width: int, stride: int, adjacency: Tensor, residual: bool) -> None:
        super().__init__()
        self.space = AdaptiveGraphConv(channels, width, adjacency)
        self.attention = Attention(width, adjacency.shape[-1])
        self.time = TemporalConv(width, width, kernel=9, stride=stride)
        self.residual = shortcut(channels, width, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.time(self.attention(self.space(x)))
        return F.relu(y if self.residual is None else y.add_(self.residual(x)), inplace=True)


class AAGCN(nn.Module):
    """AAGCN recogniser, one stream.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length is accepted, `persons` is fixed:
            the batch norm of the input has statistics for each of them.
        in_channels: C + 1 to read coordinates and score, C to read coordinates alone.
        width, growth, strides: see `Trunk`; the defaults are the published network.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = AAGCN(SKELETONS["imigue22"], IMIGUE, frames=90, persons=1)
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


def official_keys(model: AAGCN) -> Keys:
    """Keys of PYSKL's AAGCN with its GCNHead."""
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
        case ["trunk", "blocks", i, "attention", part]:
            names = {"joints": "conv_sa", "frames": "conv_ta", "squeeze": "fc1c", "excite": "fc2c"}
            return (f"backbone.gcn.{i}.gcn.{names[part]}.{leaf}",)
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
