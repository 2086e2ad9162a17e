"""MS-G3D: every neighbourhood of the skeleton by itself, and graphs that span several frames.

Paper      Z. Liu, H. Zhang, Z. Chen, Z. Wang, W. Ouyang: Disentangling and Unifying Graph Convolutions for
           Skeleton-Based Action Recognition, CVPR 2020, https://arxiv.org/abs/2003.14111
Input      xy (B, M, T, V, C) and score (B, M, T, V): M persons, T frames, V joints of `skeleton`
Output     logits (B, K) for the K labels of `taxonomy`
Losses     class (cross-entropy)
Fidelity   verified against the implementation in PYSKL. Holes: none. The temporal unit is PYSKL's, not the
           authors' own. As there, empty persons take part in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.graph import multiscale, spread
from microgesture.layers.losses import class_loss
from microgesture.layers.norm import PersonJointNorm
from microgesture.layers.official import Keys
from microgesture.layers.temporal import PooledBranches, shortcut
from microgesture.layers.trunk import Trunk


class MultiScaleConv(nn.Module):
    """Sum over the neighbours of every scale, one 1x1 convolution of all scales, batch norm, ReLU.

    The graph is the skeleton's plus a learned residual that starts near zero.
    """

    adjacency: Tensor

    def __init__(self, channels: int, width: int, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency.clone())
        self.residual = nn.Parameter(torch.empty_like(adjacency).uniform_(-1e-6, 1e-6))
        self.conv = nn.Conv2d(len(adjacency) * channels, width, 1)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(spread(x, self.adjacency + self.residual))
        return F.relu(self.bn(y), inplace=True)


class TimeUnit(nn.Module):
    """Dilated branches, the residual sum, and ReLU unless the unit ends a path whose sum has its own."""

    def __init__(self, channels: int, width: int, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.branches = PooledBranches(channels, width, stride, kernel=3, dilations=(1, 2, 3, 4))
        self.residual = shortcut(channels, width, stride)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.branches(x) + self.residual(x)
        return F.relu(y, inplace=True) if self.relu else y


class G3D(nn.Module):
    """Unified space-time graph convolution: the joints of `window` frames are the nodes of one graph, see `multiscale`.

    Args:
        channels, embed, width: before the graph, after it, and after the convolution over the window.
        adjacency: (K, window * V, window * V).
        window: odd number of frames.
        stride: frames from one window to the next.
    """

    def __init__(self, channels: int, embed: int, width: int, adjacency: Tensor, window: int, stride: int) -> None:
        super().__init__()
        self.window, self.stride = window, stride
        self.graph = MultiScaleConv(channels, embed, adjacency)
        self.collapse = nn.Conv3d(embed, width, (1, window, 1))
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        joints = x.shape[3]
        x = self.graph(windows(x, self.window, self.stride))  # (N, E, T', window * V)
        x = self.collapse(x.view(*x.shape[:3], self.window, joints)).squeeze(3)  # (N, D, T', V)
        y: Tensor = self.bn(x)
        return y


def windows(x: Tensor, window: int, stride: int) -> Tensor:
    """Frames around every `stride`-th frame, side by side: (N, C, T, V) to (N, C, T', window * V), channels-last.

    Beyond the ends stand zeros.
    """
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, 0, window // 2, window // 2))  # (N, T + window - 1, V, C)
    x = x.unfold(1, window, stride).permute(0, 1, 4, 2, 3)  # (N, T', window, V, C)
    return x.flatten(2, 3).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Space then time on one path, windows of frames on the others; their sum, ReLU, and a temporal unit."""

    def __init__(
        self, channels: int, embed: int, width: int, stride: int, spaces: Tensor, spans: dict[int, Tensor]
    ) -> None:
        super().__init__()
        self.factorised = nn.Sequential(
            MultiScaleConv(channels, embed, spaces),
            TimeUnit(embed, width, stride),
            TimeUnit(width, width, relu=False),
        )
        self.unified = nn.ModuleList(
            G3D(channels, embed, width, adjacency, window, stride) for window, adjacency in spans.items()
        )
        self.time = TimeUnit(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.factorised(x)
        for path in self.unified:
            y = y + path(x)
        z: Tensor = self.time(F.relu(y, inplace=True))
        return z


class MSG3D(nn.Module):
    """MS-G3D recogniser.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length is accepted, `persons` is fixed:
            the batch norm of the input has statistics for each of them.
        in_channels: C + 1 to read coordinates and score, C to read coordinates alone.
        width, growth, strides: see `Trunk`; the defaults are the published network. Widths are at least 6.
        gcn_scales: neighbourhoods on the path that takes space and time in turn, hops 0 to gcn_scales - 1.
        g3d_scales: the same inside the windows.
        window_sizes: odd numbers of frames, one path for each.

    Raises:
        UsageError: a window has an even number of frames, or the width leaves branches without channels.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import IMIGUE
        >>> model = MSG3D(SKELETONS["imigue22"], IMIGUE, frames=90, persons=1)
    """

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        in_channels: int = 3,
        width: int = 96,
        growth: Sequence[int] = (1, 2, 4),
        strides: Sequence[int] = (1, 2, 2),
        gcn_scales: int = 13,
        g3d_scales: int = 6,
        window_sizes: Sequence[int] = (3, 5),
    ) -> None:
        super().__init__()
        even = [size for size in window_sizes if size % 2 == 0]
        if even:
            raise UsageError(f"window_sizes are odd numbers of frames, {even[0]} is not")
        if width < 6:
            raise UsageError(f"width {width} is too small: six branches share it")
        self.in_channels = in_channels
        spaces = torch.from_numpy(multiscale(skeleton, gcn_scales)).float()
        spans = {size: torch.from_numpy(multiscale(skeleton, g3d_scales, size)).float() for size in window_sizes}

        def block(channels: int, width: int, stride: int, residual: bool) -> Stage:
            # the first stage widens inside its graphs, the others behind them
            embed = channels if residual else width
            return Stage(channels, embed, width, stride, spaces, spans)

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


def official_keys(model: MSG3D) -> Keys:
    """Keys of PYSKL's MSG3D with its GCNHead."""
    keys = {key: _official(key) for key in model.state_dict()}
    return keys | {"": ("backbone.A",)}  # the skeleton, which the graphs are made of


def _official(key: str) -> tuple[str, ...]:
    *path, leaf = key.split(".")
    match path:
        case ["classifier"]:
            return (f"cls_head.fc_cls.{leaf}",)
        case ["trunk", "norm", "bn"]:
            return (f"backbone.data_bn.{leaf}",)
        case ["trunk", "blocks", i, "factorised", "0", *part]:
            return _scales(f"backbone.sgcn{int(i) + 1}.0", part, leaf)
        case ["trunk", "blocks", i, "factorised", unit, *part]:
            return _time(f"backbone.sgcn{int(i) + 1}.{unit}", part, leaf)
        case ["trunk", "blocks", i, "unified", w, "graph", *part]:
            return _scales(f"backbone.gcn3d{int(i) + 1}.gcn3d.{w}.gcn3d.1", part, leaf)
        case ["trunk", "blocks", i, "unified", w, part]:
            name = {"collapse": "out_conv", "bn": "out_bn"}[part]
            return (f"backbone.gcn3d{int(i) + 1}.gcn3d.{w}.{name}.{leaf}",)
        case ["trunk", "blocks", i, "time", *part]:
            return _time(f"backbone.tcn{int(i) + 1}", part, leaf)
    raise KeyError(key)


def _scales(prefix: str, part: list[str], leaf: str) -> tuple[str, ...]:
    match part:
        case []:
            return (f"{prefix}.{'A' if leaf == 'adjacency' else 'PA'}",)
        case [layer]:
            return (f"{prefix}.mlp.layers.{('conv', 'bn').index(layer)}.{leaf}",)
    raise KeyError(f"{prefix}.{leaf}")


def _time(prefix: str, part: list[str], leaf: str) -> tuple[str, ...]:
    tcn = f"{prefix}.branches"
    match part:
        case ["residual", layer]:
            return (f"{prefix}.residual.{layer}.{leaf}",)
        case ["branches", "reduce"]:
            return tuple(f"{tcn}.{b}.0.{leaf}" for b in range(5))
        case ["branches", "reduce_bn"]:
            return tuple(f"{tcn}.{b}.1.{leaf}" for b in range(5))
        case ["branches", "dilated", b]:
            return (f"{tcn}.{b}.3.conv.{leaf}",)
        case ["branches", "plain"]:
            return (f"{tcn}.5.0.{leaf}",)
        case ["branches", "bn"]:
            return tuple(f"{tcn}.{b}.{leaf}" for b in (*(f"{b}.3.bn" for b in range(4)), "4.4", "5.1"))
    raise KeyError(f"{prefix}.{leaf}")
