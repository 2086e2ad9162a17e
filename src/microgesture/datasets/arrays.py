"""Arrays of the MiGA baselines: clips (N, 3, T, V, 1) padded with zeros at the end, names and labels in a pickle."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError
from microgesture.datasets.prepare import Finding
from microgesture.formats import safe_pickle

_AGAIN = "fetch the file again"


def padded_clips(
    data: Path, labels: Path, shape: tuple[int, int, int, int], name: re.Pattern[str]
) -> Iterator[tuple[str, int, NDArray[np.float32]] | Finding]:
    """Clips as (name, label, numbers (T, V, 3)) without their padding; one of zeros alone comes as a finding.

    Args:
        shape: (3, T, V, 1) of every clip; T = 0 takes any length.
        name: what every name begins with.

    Raises:
        NoInput, NotPermitted, FormatError: a file is no such array or pickle, or they do not fit.
    """
    names, codes = _names(labels, name)
    try:
        clips = np.load(data, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise FormatError(data, f"not an array ({error})", remedy=_AGAIN) from error
    wanted = (len(names), shape[0], shape[1] or (clips.shape[2] if clips.ndim > 2 else "T"), *shape[2:])
    if clips.dtype.kind != "f":
        raise FormatError(data, f"holds {clips.dtype}", expected="real numbers", remedy=_AGAIN)
    if clips.shape != wanted:
        expected = f"({', '.join(map(str, wanted))})"
        raise FormatError(data, f"has shape {clips.shape}", expected=expected, remedy=_AGAIN)
    for title, code, clip in zip(names, codes, clips, strict=True):
        points = np.moveaxis(np.asarray(clip[..., 0], np.float32), 0, -1)
        seen = np.flatnonzero(points.any((1, 2)))
        if len(seen):
            yield title, code, points[: seen[-1] + 1]  # the padding at the end is no motion
        else:
            yield Finding("refused", "a clip without any point", str(data), f"clip {title}")


def _names(path: Path, name: re.Pattern[str]) -> tuple[Sequence[str], Sequence[int]]:
    value = safe_pickle.load(path)
    good = (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(part, (tuple, list, np.ndarray)) for part in value)
        and len(value[0]) == len(value[1])
        and all(isinstance(n, str) and name.match(n) for n in value[0])
        and all(isinstance(label, (int, np.integer)) for label in value[1])
    )
    if not good:
        raise FormatError(path, "not names and labels", expected="a pair of lists", remedy=_AGAIN)
    return value[0], [int(label) for label in value[1]]
