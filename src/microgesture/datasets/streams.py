"""Streams: what is told about each joint. Its place, its bone, or how these change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from microgesture.core.skeleton import Skeleton
from microgesture.datasets.clips import Floats

Stream = Literal["joint", "bone", "joint_motion", "bone_motion"]


def stream(xy: Floats, score: Floats, skeleton: Skeleton, name: Stream) -> tuple[Floats, Floats]:
    """One stream of a clip.

    * `bone`: joint minus its parent, 0 for the root; its score is the mean of both.
    * `..._motion`: next frame minus this one, 0 in the last; its score is the mean of both.

    A difference with a missing joint is missing: 0, score 0. (PYSKL subtracts the zeros; where all joints are
    seen the results are equal.)

    Args:
        xy, score: (M, T, V, C) and (M, T, V).
    """
    if name.startswith("bone"):
        parents = [joint if parent < 0 else parent for joint, parent in enumerate(skeleton.parents)]
        xy, score = _difference(xy, score, xy[..., parents, :], score[..., parents])
    if name.endswith("motion"):
        after = np.minimum(np.arange(xy.shape[1]) + 1, xy.shape[1] - 1)
        xy, score = _difference(xy[:, after], score[:, after], xy, score)
    return xy, score


def streams(xy: Floats, score: Floats, skeleton: Skeleton, names: Sequence[Stream]) -> tuple[Floats, Floats]:
    """Several streams beside each other, (M, T, V, C * streams); the score is that of the first."""
    parts = [stream(xy, score, skeleton, name) for name in names]
    return np.concatenate([part[0] for part in parts], -1), parts[0][1]


def _difference(a: Floats, a_score: Floats, b: Floats, b_score: Floats) -> tuple[Floats, Floats]:
    seen = (a_score > 0) & (b_score > 0)
    return np.where(seen[..., None], a - b, np.float32(0)), np.where(seen, (a_score + b_score) / 2, np.float32(0))
