from __future__ import annotations

import pytest
import torch

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.layers.graph import AdaptiveGraphConv, spread
from microgesture.systems.agcn import AGCN
from microgesture.systems.catalogue import SYSTEMS
from microgesture.testing import check_system


def test_contract() -> None:
    check_system(
        AGCN,
        width=8,
        growth=(1, 2, 2),
        strides=(1, 2, 1),
        known_failures={"empty_person": "the official network is built for a fixed number of persons"},
    )


@pytest.mark.parametrize(
    ("layout", "persons", "parameters"),
    [("coco17", 2, 3_443_924), ("kinect25", 2, 3_454_100), ("imigue22", 1, 3_449_702)],
)
def test_parameters_as_published(layout: str, persons: int, parameters: int) -> None:
    """Measured on PYSKL with 100 frames, without the classifier."""
    model = AGCN(SKELETONS[layout], IMIGUE, 100, persons)
    assert sum(p.numel() for p in model.trunk.parameters()) == parameters
    assert parameters in dict(SYSTEMS["agcn"].parameters).values()


def adaptive(channels: int = 6, width: int = 8, joints: int = 5) -> AdaptiveGraphConv:
    torch.manual_seed(0)
    unit = AdaptiveGraphConv(channels, width, torch.rand(3, joints, joints)).eval()
    torch.nn.init.constant_(unit.alpha, 0.5)
    torch.nn.init.ones_(unit.bn.weight)
    return unit


def test_a_clip_bends_the_graph_by_no_more_than_alpha() -> None:
    unit, x = adaptive(), 100 * torch.randn(4, 6, 7, 5)
    change = unit.graph(x) - unit.adjacency
    assert change.shape == (4, 3, 5, 5)
    assert 0.4 < change.abs().max() <= 0.5 + 1e-6
    assert (change[0] - change[1]).abs().max() > 0.1


def test_the_graph_of_a_clip_knows_neither_the_order_nor_the_number_of_frames() -> None:
    unit, x = adaptive(), torch.randn(2, 6, 7, 5)
    torch.testing.assert_close(unit.graph(x[:, :, torch.randperm(7)]), unit.graph(x))
    torch.testing.assert_close(unit.graph(torch.cat((x, x), 2)), unit.graph(x))


def test_a_unit_is_the_sum_of_its_subsets() -> None:
    """Subset by subset, in the order of the paper: neighbours first, then the 1x1 convolution."""
    unit, x = adaptive(), torch.randn(2, 6, 7, 5)
    graph = unit.graph(x)
    weight, bias = unit.value.weight.view(3, 8, 6), unit.value.bias.view(3, 8, 1, 1)
    total = sum(torch.einsum("dc,nctv,nvw->ndtw", weight[k], x, graph[:, k]) + bias[k] for k in range(3))
    torch.testing.assert_close(unit(x), torch.relu(unit.bn(total) + unit.shortcut(x)))


def test_a_new_unit_is_its_shortcut() -> None:
    unit, x = AdaptiveGraphConv(8, 8, torch.rand(3, 5, 5)).eval(), torch.randn(2, 8, 7, 5)
    torch.testing.assert_close(unit(x), torch.relu(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("channels", [5, 20])
@pytest.mark.parametrize("clips", [(), (2,)], ids=["one graph", "a graph per clip"])
def test_spread_keeps_the_subsets_apart(channels: int, clips: tuple[int, ...], channels_last: bool) -> None:
    x, a = torch.randn(2, channels, 4, 6), torch.randn(*clips, 3, 6, 7)
    stored = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    expected = torch.einsum("nctv,nkvw->nkctw", x, a.expand(2, 3, 6, 7)).flatten(1, 2)
    y = spread(stored, a)
    torch.testing.assert_close(y, expected)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_a_width_without_a_quarter_is_refused() -> None:
    with pytest.raises(UsageError, match="width 3 is too small: a quarter of it compares joints"):
        AGCN(SKELETONS["coco17"], IMIGUE, 8, 1, width=3)
