"""The skeleton as a graph: adjacency stacks, and sums over neighbours.

Orientation, everywhere: in a stack A (K, V, V) row v is the joint a feature comes from, column w the joint it
goes to. Columns are normalised, so every joint takes a mean over its neighbours.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.layers.temporal import shortcut

Stack = NDArray[np.float64]


def hop_distance(skeleton: Skeleton) -> Stack:
    """Number of bones between any two joints (V, V); infinite where no path exists."""
    return _hops(_bones(skeleton))


def binary(skeleton: Skeleton) -> Stack:
    """1 for each bone, in both directions (1, V, V)."""
    return _bones(skeleton)[None]


def spatial(skeleton: Skeleton) -> Stack:
    """Three subsets (3, V, V): each joint itself, its parent, its children. Where ST-GCN++ and CTR-GCN start from."""
    size = len(skeleton)
    parent_to_child = np.zeros((size, size))
    for parent, child in skeleton.bones:
        parent_to_child[parent, child] = 1
    return np.stack([np.eye(size), _mean_over_rows(parent_to_child), _mean_over_rows(parent_to_child.T)])


def stgcn_spatial(skeleton: Skeleton, hops: int = 1, compat: str | None = None) -> Stack:
    """Spatial configuration partitioning (2 * hops + 1, V, V) of ST-GCN (Yan et al., AAAI 2018, section 3.3).

    Neighbours at each number of hops are split by their distance to the root: the same as or farther than the
    joint itself, or nearer. Hop 0 is the joint itself.

    Args:
        skeleton: its `root` is the centre of gravity of the paper.
        hops: radius of the neighbourhood.
        compat: `"official"` keeps what the released code does: distances beyond `hops` are unknown to it, so
            far from the root all neighbours count as equally distant.
    """
    distance = hop_distance(skeleton)
    near = distance <= hops
    weight = _mean_over_rows(near.astype(np.float64))
    to_root = distance[:, skeleton.root]
    if compat == "official":
        to_root = np.where(to_root <= hops, to_root, np.inf)
    closer = to_root[:, None] < to_root[None, :]
    subsets = [np.where(distance == 0, weight, 0)]
    for hop in range(1, hops + 1):
        ring = distance == hop
        subsets += [np.where(ring & ~closer, weight, 0), np.where(ring & closer, weight, 0)]
    return np.stack(subsets)


def multiscale(skeleton: Skeleton, scales: int, window: int = 1) -> Stack:
    """Disentangled neighbourhoods of MS-G3D (Liu et al., CVPR 2020, eq. 3), column-normalised.

    Scale k holds each joint itself and the joints at exactly k hops. With `window` > 1 the graph spans that many
    frames, and a joint is also linked to itself and to its neighbours in all of them (eq. 6).

    Returns:
        (scales, window * V, window * V).
    """
    adjacency = np.tile(_bones(skeleton) + np.eye(len(skeleton)), (window, window))
    return np.stack([_mean_over_rows(k_hop) for k_hop in k_adjacency(adjacency, scales)])


def k_adjacency(adjacency: Stack, scales: int, with_self: bool = True) -> Stack:
    """1 where two nodes are exactly k steps apart, k = 0 .. scales-1; `with_self` adds the diagonal to each."""
    distance = _hops(adjacency)
    ring: Stack = np.stack([distance == k for k in range(scales)]).astype(np.float64)
    return np.maximum(ring, np.eye(len(adjacency))) if with_self else ring


def aggregate(h: Tensor, adjacency: Tensor) -> Tensor:
    """Sum over subsets k and source joints v of A[k, v, w] * h[k, v].

    One batched product for all subsets; free of copies if `h` is stored channels-last.

    Args:
        h: (N, K * D, T, V), the channels of subset 0 first.
        adjacency: (K, V, W).

    Returns:
        (N, D, T, W), channels-last.
    """
    subsets, sources, targets = adjacency.shape
    n, _, frames, _ = h.shape
    h = h.permute(0, 2, 3, 1).reshape(n * frames, sources * subsets, -1)  # (N*T, V*K, D)
    a = adjacency.permute(2, 1, 0).reshape(targets, sources * subsets)  # (W, V*K)
    h = torch.bmm(a.expand(n * frames, -1, -1), h)  # (N*T, W, D)
    return h.view(n, frames, targets, -1).permute(0, 3, 1, 2)


def spread(x: Tensor, adjacency: Tensor) -> Tensor:
    """Sum over source joints v of A[k, v, w] * x[v], for every subset k by itself.

    The counterpart of `aggregate` for a 1x1 convolution that comes after the sum.

    Args:
        x: (N, C, T, V).
        adjacency: (K, V, W), or (N, K, V, W) for a graph per clip.

    Returns:
        (N, K * C, T, W), the channels of subset 0 first, channels-last.
    """
    n, channels, frames, sources = x.shape
    targets = adjacency.shape[-1]
    if adjacency.ndim == 3 and channels < 16:
        # one product for all frames: a graph per frame would cost more in its gradient than all else
        y = torch.einsum("nctv,kvw->ntwkc", x, adjacency)
        return y.reshape(n, frames, targets, -1).permute(0, 3, 1, 2)
    a = adjacency.movedim(-1, -3).flatten(-3, -2)  # (..., W*K, V)
    if adjacency.ndim == 4:
        a = a[:, None].expand(-1, frames, -1, -1).flatten(0, 1)
    h = x.permute(0, 2, 3, 1).reshape(n * frames, sources, channels)
    h = torch.bmm(a.expand(n * frames, -1, -1), h)  # (N*T, W*K, C)
    return h.view(n, frames, targets, -1).permute(0, 3, 1, 2)


class AdaptiveGraphConv(nn.Module):
    """Graph convolution of 2s-AGCN and AAGCN: the graph is learned, and every clip adds a graph of its own.

    Subset k sums over neighbours with A_k + alpha * tanh(source_k . target_k / (E * T)), E = D // 4 channels that tell
    how much two joints have to do with each other, and has a 1x1 convolution; the sum of the subsets passes batch norm,
    shortcut and ReLU. All 1x1 convolutions of one kind are one product here.

    Args:
        channels: C.
        width: D, at least 4.
        adjacency: (K, V, V), where the learned graph starts; alpha starts at 0.

    Raises:
        UsageError: the width is below 4.
    """

    def __init__(self, channels: int, width: int, adjacency: Tensor) -> None:
        super().__init__()
        if width < 4:
            raise UsageError(f"width {width} is too small: a quarter of it compares joints")
        self.adjacency = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.relation = nn.Conv2d(channels, 2 * len(adjacency) * (width // 4), 1)  # the K sources, then the K targets
        self.value = nn.Conv2d(channels, len(adjacency) * width, 1)
        self.bn = nn.BatchNorm2d(width)
        nn.init.constant_(self.bn.weight, 1e-6)  # the unit starts as its shortcut
        self.shortcut = shortcut(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self._mix(spread(x, self.graph(x))))
        return F.relu(y.add_(self.shortcut(x)), inplace=True)

    def graph(self, x: Tensor) -> Tensor:
        """The graph of each clip (N, K, V, V)."""
        n, _, _, joints = x.shape
        related = self.relation(x).contiguous().view(n, 2, len(self.adjacency), -1, joints)
        source, target = related.unbind(1)  # (N, K, E*T, V)
        return self.adjacency + self.alpha * torch.tanh(source.transpose(2, 3) @ target / source.shape[2])

    def _mix(self, h: Tensor) -> Tensor:
        """The convolutions of all subsets (N, K * C, T, V) and their sum (N, D, T, V)."""
        subsets = len(self.adjacency)
        weight = self.value.weight
        weight = weight.view(subsets, -1, *weight.shape[1:]).transpose(0, 1).flatten(1, 2)  # (D, K*C, 1, 1)
        assert self.value.bias is not None
        return F.conv2d(h, weight, self.value.bias.view(subsets, -1).sum(0))


def _bones(skeleton: Skeleton) -> Stack:
    a = np.zeros((len(skeleton), len(skeleton)))
    for i, j in skeleton.bones:
        a[i, j] = a[j, i] = 1
    return a


def _hops(adjacency: Stack) -> Stack:
    size = len(adjacency)
    distance = np.full((size, size), np.inf)
    reached = np.eye(size, dtype=bool)
    step = adjacency > 0
    for k in range(size):
        distance[reached & np.isinf(distance)] = k
        reached = reached @ step
    return distance


def _mean_over_rows(a: Stack) -> Stack:
    total = a.sum(0, keepdims=True)
    return np.divide(a, total, out=np.zeros_like(a), where=total > 0)
