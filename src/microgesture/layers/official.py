"""Weights of official checkpoints, where several official tensors are one tensor here.

A system's `official_keys` maps each key of its own `state_dict` to the official keys that are laid one after the
other along the first axis. Parallel branches that we compute as one product need nothing more; a key with none keeps
what it has. Under `""` stand official keys that hold nothing learned and are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from microgesture.core.errors import FormatError

Keys = Mapping[str, tuple[str, ...]]


def gather(parts: Sequence[Tensor]) -> Tensor | None:
    """Official tensors laid one after the other; None if their shapes do not allow it.

    Batch counters are scalars: those of parallel branches agree, and the first stands for all.
    """
    if len(parts) == 1 or parts[0].ndim == 0:
        return parts[0]
    same = all(part.shape[1:] == parts[0].shape[1:] and part.ndim == parts[0].ndim for part in parts)
    return torch.cat(list(parts)) if same else None


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
        if not keys[key]:  # the official code does not keep it
            own[key] = mine
            continue
        parts = [state[name] for name in keys[key]]
        theirs = gather(parts)
        if theirs is None or theirs.shape != mine.shape:
            raise FormatError(
                source,
                f"{keys[key][0]} has shape {tuple((parts[0] if theirs is None else theirs).shape)}",
                expected=str(tuple(mine.shape)),
                remedy="check skeleton, persons, width and number of classes",
            )
        own[key] = theirs
    model.load_state_dict(own)
