"""Weights as others hand them out: safetensors, torch checkpoints, pickles of arrays. Nothing in them can run code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microgesture.core.errors import FormatError
from microgesture.formats import safe_pickle
from microgesture.formats.source import PathLike, read_bytes

if TYPE_CHECKING:
    from torch import Tensor

_EXPECTED = "tensors by name, as safetensors and torch.save write them"
_AGAIN = "copy the file again"


def read_state(path: PathLike) -> dict[str, Tensor]:
    """The tensors of a file by name; those of a checkpoint that also holds other things are looked for in `state_dict`.

    Args:
        path: .safetensors, .pkl with a dictionary of arrays, or anything else as `torch.save` writes it.

    Raises:
        NoInput, NotPermitted, FormatError: damaged, above a ceiling, no tensors by name, or it asks for anything but
            data.
    """
    import torch

    value = _read(path)
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not isinstance(value, dict) or not value:
        raise FormatError(path, f"holds a {type(value).__name__}", expected=_EXPECTED)
    state = {}
    for name, entry in value.items():
        tensor = entry
        if isinstance(entry, np.ndarray) and entry.dtype.kind in "biuf":
            tensor = torch.from_numpy(entry.astype(entry.dtype.newbyteorder("=")))
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            place = f"entry {str(name)[:60]!r}"
            raise FormatError(path, f"holds a {type(entry).__name__}", place=place, expected=_EXPECTED)
        state[name] = tensor.detach()
    return state


def _read(path: PathLike) -> Any:
    suffix = Path(path).suffix.lower()
    if suffix in (".pkl", ".pickle"):
        return safe_pickle.load(path)
    if suffix != ".safetensors":
        return safe_pickle.load_torch(path)
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = read_bytes(path, safe_pickle.SIZE_LIMIT)
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        words = str(error)[:120]
        raise FormatError(path, f"cannot be read ({words})", expected="safetensors", remedy=_AGAIN) from error
