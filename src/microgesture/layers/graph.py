"""The skeleton as a graph: adjacency stacks, and sums over neighbours.

Orientation, everywhere: in a stack A (K, V, V) row v is the joint a feature comes from, column w the joint it
goes to. Columns are normalised, so every joint takes a mean over its neighbours.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microgesture.core.skeleton import Skeleton

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
