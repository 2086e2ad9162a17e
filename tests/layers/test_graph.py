"""Adjacency stacks against PYSKL's (golden file gcn_graphs) and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.systems.golden import Golden, pyskl_layout

from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.layers.graph import aggregate, binary, hop_distance, k_adjacency, multiscale, spatial, stgcn_spatial

LAYOUTS = ("coco", "openpose", "handmp")
CHAIN = Skeleton("chain", ("a", "b", "c", "d"), ((0, 1), (1, 2), (2, 3)))


@pytest.fixture(scope="module")
def graphs() -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in Golden("gcn_graphs").outputs.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_official_stacks(graphs: dict[str, np.ndarray], layout: str) -> None:
    skeleton = pyskl_layout(layout)
    bones = binary(skeleton)
    ours = {
        "spatial/max_hop1": spatial(skeleton),
        "stgcn_spatial/max_hop1": stgcn_spatial(skeleton, compat="official"),
        "stgcn_spatial/max_hop2": stgcn_spatial(skeleton, hops=2, compat="official"),
        "binary_adj/max_hop1": bones,
        "hop_distance_max_hop1": np.where(hop_distance(skeleton) <= 1, hop_distance(skeleton), np.inf),
        "k_adjacency_0to5_with_self_True": k_adjacency(bones[0], 6),
        "k_adjacency_0to5_with_self_False": k_adjacency(bones[0], 6, with_self=False),
        "msgcn13_normalised": multiscale(skeleton, 13),
        "g3d_window3_scales6_normalised": multiscale(skeleton, 6, window=3),
    }
    assert {f"{layout}/{name}" for name in ours} == {name for name in graphs if name.startswith(layout)}
    for name, stack in ours.items():
        np.testing.assert_allclose(stack, graphs[f"{layout}/{name}"], atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("house", "official"), [("coco17", "coco"), ("openpose18", "openpose")])
def test_our_layouts_have_the_official_bones(house: str, official: str) -> None:
    ours, theirs = SKELETONS[house], pyskl_layout(official)
    assert (set(ours.bones), ours.root) == (set(theirs.bones), theirs.root)


def test_hop_distance_of_a_chain() -> None:
    assert hop_distance(CHAIN).tolist() == [[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0]]


@pytest.mark.parametrize("layout", ["coco17", "imigue22", "canonical"])
@pytest.mark.parametrize("hops", [1, 2])
def test_partitions_add_up_to_a_mean(layout: str, hops: int) -> None:
    """The subsets share out each joint's neighbourhood: nothing twice, nothing lost, weights sum to one."""
    skeleton = SKELETONS[layout]
    stack = stgcn_spatial(skeleton, hops)
    assert stack.shape == (2 * hops + 1, len(skeleton), len(skeleton))
    assert ((stack > 0).sum(0) == (hop_distance(skeleton) <= hops)).all()
    np.testing.assert_allclose(stack.sum((0, 1)), 1)


def test_partition_follows_the_distance_to_the_root() -> None:
    """Away from the root, too: b and c hear the inner neighbour in the last subset, the outer one in the middle one."""
    _, outer, inner = stgcn_spatial(CHAIN)
    third = 1 / 3
    assert inner.tolist() == [[0, third, 0, 0], [0, 0, third, 0], [0, 0, 0, 0.5], [0, 0, 0, 0]]
    assert outer.tolist() == [[0, 0, 0, 0], [0.5, 0, 0, 0], [0, third, 0, 0], [0, 0, third, 0]]
    # the released code does not know that c is nearer to the root than d
    assert stgcn_spatial(CHAIN, compat="official")[1][2, 3] == 0.5


def test_bones_outside_the_tree_count() -> None:
    ring = Skeleton("ring", ("a", "b", "c"), ((0, 1), (1, 2), (2, 0)))
    assert spatial(ring)[1].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("channels_last", [True, False])
def test_aggregate_is_the_sum_it_says(channels_last: bool) -> None:
    h, a = torch.randn(2, 3 * 5, 4, 6), torch.randn(3, 6, 6)
    stored = h.contiguous(memory_format=torch.channels_last) if channels_last else h
    expected = torch.einsum("nkdtv,kvw->ndtw", h.view(2, 3, 5, 4, 6), a)
    y = aggregate(stored, a)
    torch.testing.assert_close(y, expected)
    assert y.is_contiguous(memory_format=torch.channels_last)
