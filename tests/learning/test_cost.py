from __future__ import annotations

import inspect
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.layouts import skeleton
from microgesture.core.taxonomies import SMG
from microgesture.layers.batch import PoseBatch
from microgesture.learning.cost import RUNS, cost
from microgesture.systems.catalogue import SYSTEMS as catalogue
from microgesture.systems.stgcn import STGCN


def test_a_matrix_product_costs_two_operations_per_weight() -> None:
    measured = cost(nn.Linear(30, 7), torch.zeros(5, 30), seconds=0.01)
    assert (measured.parameters, measured.flops) == (30 * 7 + 7, 2 * 30 * 7)
    assert measured.latency_ms > 0


def test_a_convolution_costs_two_operations_per_weight_and_place() -> None:
    conv = nn.Conv2d(3, 8, kernel_size=(5, 3), padding=(2, 1), bias=False)
    measured = cost(conv, torch.zeros(4, 3, 10, 6), seconds=0.01)
    assert measured.flops == 2 * (3 * 8 * 5 * 3) * (10 * 6)


def test_only_the_first_clip_counts_and_labels_are_cut_too() -> None:
    coco = skeleton("coco17")
    system = STGCN(coco, SMG, frames=8, persons=1)
    one, four = (
        cost(
            system,
            PoseBatch(torch.zeros(n, 1, 8, 17, 2), torch.zeros(n, 1, 8, 17), torch.zeros(n, dtype=torch.long)),
            seconds=0.01,
        )
        for n in (1, 4)
    )
    assert one.flops == four.flops > 1e6
    assert one.parameters == sum(p.numel() for p in system.parameters())


class Slow(nn.Module):
    def __init__(self, pause: float) -> None:
        super().__init__()
        self.pause, self.passes = pause, 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        assert torch.get_num_threads() == 1
        assert not self.training
        assert len(x) == 1
        time.sleep(self.pause)
        return x


def test_latency_is_the_time_of_a_pass_and_the_time_is_bounded() -> None:
    slow = Slow(0.02)
    began = time.perf_counter()
    measured = cost(slow, torch.zeros(3, 1), seconds=0.1)
    assert time.perf_counter() - began < 1
    assert 20 <= measured.latency_ms < 200
    assert 2 <= slow.passes <= 1 + RUNS
    assert measured.flops == measured.parameters == 0
    very_slow = Slow(0.05)
    cost(very_slow, torch.zeros(1, 1), seconds=0)
    assert very_slow.passes == 2  # warm-up and one timed pass


def test_system_and_threads_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        system = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout())
        system.train()
        system[1].eval()  # frozen
        state = {name: value.clone() for name, value in system.state_dict().items()}
        cost(system, torch.randn(6, 4), seconds=0.01)
        assert torch.get_num_threads() == 2
        assert [m.training for m in system] == [True, False, True]
        assert all(torch.equal(value, state[name]) for name, value in system.state_dict().items())

        class Fails(nn.Linear):
            def forward(self, x: Tensor) -> Tensor:
                raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            cost(Fails(1, 1), torch.zeros(1, 1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_other_batches_are_refused() -> None:
    @dataclass
    class Words:
        text: Any

    cost(nn.Identity(), Words("a"), seconds=0)
    with pytest.raises(UsageError, match="a batch of type list cannot be cut to one clip"):
        cost(nn.Identity(), [1, 2])


SYSTEMS = [
    key
    for key, info in catalogue.items()
    if info.status == "available" and info.task == "recognise" and "rgb" not in info.modalities
]


@pytest.mark.parametrize("key", SYSTEMS)
def test_every_recogniser_of_skeletons_can_be_measured(key: str) -> None:
    """PyTorch's counter stumbled over modules that are given a parameter."""
    module = import_module(f"microgesture.systems.{key}")
    cls = next(v for v in vars(module).values() if inspect.isclass(v) and v.__module__ == module.__name__ and _leads(v))
    size = {"width": 16} if "width" in inspect.signature(cls).parameters else {}
    body = skeleton("canonical")
    system = cls(body, SMG, frames=16, persons=1, **size)
    learning = [p.requires_grad for p in system.parameters()]
    batch = PoseBatch(torch.randn(2, 1, 16, 47, 2), torch.ones(2, 1, 16, 47), torch.zeros(2, dtype=torch.long))
    assert cost(system, batch, seconds=0.01).flops > 0
    assert [p.requires_grad for p in system.parameters()] == learning


def _leads(cls: type) -> bool:
    return list(inspect.signature(cls).parameters)[:2] == ["skeleton", "taxonomy"]
