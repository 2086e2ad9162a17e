"""Which parameters decay, and how fast each learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def decay_groups(system: nn.Module, rate: Callable[[str], float] = lambda name: 1.0) -> list[dict[str, Any]]:
    """All parameters in groups of one `rate` and `decay`, shares of a recipe's learning rate and weight decay.

    Weights decay: not biases, norms, other vectors, nor the names in the system's `no_decay`. The fastest come first,
    and what decays before what does not.

    Args:
        rate: from the name of a parameter to its share of the learning rate.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        >>> groups = decay_groups(model, lambda name: 0.5 if name.startswith("0.") else 1.0)
        >>> [(group["rate"], group["decay"]) for group in groups]
        [(1.0, 1.0), (1.0, 0.0), (0.5, 1.0), (0.5, 0.0)]
    """
    exempt: tuple[str, ...] = getattr(system, "no_decay", ())
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in system.named_parameters():
        decays = parameter.ndim > 1 and name.rpartition(".")[2] not in exempt
        groups.setdefault((rate(name), float(decays)), []).append(parameter)
    ordered = sorted(groups.items(), key=lambda group: group[0], reverse=True)
    return [{"params": params, "rate": share, "decay": decay} for (share, decay), params in ordered]
