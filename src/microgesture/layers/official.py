"""Weights of official checkpoints, where several official tensors are one tensor here.

A system's `official_keys` maps each key of its own `state_dict` to the official keys that are laid one after the
other along the first axis. Parallel branches that we compute as one product need nothing more. Under `""` stand
official keys that hold nothing learned and are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from microgesture.core.errors import FormatError

Keys = Mapping[str, tuple[str, ...]]


def load_official(model: nn.Module, state: Mapping[str, Tensor], keys: Keys, source: str = "<checkpoint>") -> None:
    """Copy the tensors of an official checkpoint into `model`.

    Raises:
        FormatError: a tensor is missing, has another shape, or would be left over.
    """
    known = {name for names in keys.values() for name in names}
    missing = sorted(known - set(keys.get("", ())) - set(state))
    if missing:
        raise FormatError(source, f"{len(missing)} tensors are missing: {', '.join(missing[:3])} ...")
    left = sorted(set(state) - known)
    if left:
        raise FormatError(source, f"{len(left)} tensors have no place in this system: {', '.join(left[:3])} ...")
    own: dict[str, Tensor] = {}
    for key, mine in model.state_dict().items():
        parts = [state[name] for name in keys[key]]
        # batch counters are scalars: those of parallel branches agree, and one is left here
        theirs = parts[0] if len(parts) == 1 or parts[0].ndim == 0 else torch.cat(parts)
        if theirs.shape != mine.shape:
            raise FormatError(
                source,
                f"{keys[key][0]} has shape {tuple(theirs.shape)}",
                expected=str(tuple(mine.shape)),
                remedy="check skeleton, persons, width and number of classes",
            )
        own[key] = theirs
    model.load_state_dict(own)
