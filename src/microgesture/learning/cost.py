"""What a system costs: parameters, floating-point operations and milliseconds per clip."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from microgesture.core.errors import UsageError

SECONDS = 0.8
"""Time for which forward passes are repeated; with the warm-up a measurement takes about a second."""
RUNS = 50
"""Passes at most."""


@dataclass(frozen=True)
class Cost:
    """Cost of one clip.

    Args:
        parameters: of the system, also those that only training uses.
        flops: operations of matrix products, convolutions and attention in one forward pass, as PyTorch's own
            counter finds them: 2 per multiply-add; element-wise operations and normalisation are not counted. Papers
            that count a multiply-add once print half of it.
        latency_ms: median milliseconds of a forward pass over one clip on one thread of this processor.
    """

    parameters: int
    flops: int
    latency_ms: float


def cost(system: nn.Module, batch: Any, seconds: float = SECONDS) -> Cost:
    """Measure a system on the first clip of a batch, as a single view.

    It is measured on the processor in eval mode; afterwards mode, device and number of threads are as before.

    Args:
        batch: what `forward` reads: a tensor, or a dataclass of tensors with the clips first.
        seconds: time for repeated passes; a system slower than that is timed by one pass.

    Raises:
        UsageError: the batch is neither.
    """
    one = _first(batch)
    with _at_rest(system), torch.no_grad():
        # the counted pass warms up as well
        with FlopCounterMode(display=False) as counter:
            system(one)
        times: list[float] = []
        began = time.perf_counter()
        while len(times) < RUNS and (not times or time.perf_counter() - began < seconds):
            start = time.perf_counter()
            system(one)
            times.append(1000 * (time.perf_counter() - start))
    parameters = sum(p.numel() for p in system.parameters())
    return Cost(parameters, int(counter.get_total_flops()), median(times))


@contextmanager
def _at_rest(system: nn.Module) -> Iterator[None]:
    threads, modes = torch.get_num_threads(), {module: module.training for module in system.modules()}
    learning = [p for p in system.parameters() if p.requires_grad]
    device = next((p.device for p in system.parameters()), torch.device("cpu"))
    try:
        torch.set_num_threads(1)
        # PyTorch's counter follows modules by gradients and fails where one is given a parameter, as in CTR-GCN
        system.to("cpu").eval().requires_grad_(False)
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)
        system.to(device)
        for module, training in modes.items():  # parts may be frozen in eval mode
            module.training = training
        torch.set_num_threads(threads)


def _first(batch: Any) -> Any:
    if isinstance(batch, Tensor):
        return batch[:1].cpu()
    if is_dataclass(batch) and not isinstance(batch, type):
        tensors = {f.name: value for f in fields(batch) if isinstance(value := getattr(batch, f.name), Tensor)}
        return replace(batch, **{name: value[:1].cpu() for name, value in tensors.items()})
    raise UsageError(f"a batch of type {type(batch).__name__} cannot be cut to one clip; give a tensor or a dataclass")
