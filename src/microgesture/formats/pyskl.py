"""Annotation pickles of PYSKL and MMAction2, in and out.

A dict of `split` (name -> list of clip names) and `annotations`, each `frame_dir`, `label`, `img_shape` (h, w),
`original_shape`, `total_frames`, `keypoint` (M, T, V, C) and `keypoint_score` (M, T, V). A bare list of annotations is
read too. Layout after kennymckormick/pyskl, tools/data/README.md.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import write_bytes
from microgesture.core.errors import FormatError
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.formats import safe_pickle
from microgesture.formats.segments import PERSON_LIMIT
from microgesture.formats.source import PathLike


@dataclass(frozen=True, eq=False)
class PysklClip:
    """One annotation: `name` is its `frame_dir`, one track per person; `label` is None where it is withheld (-1)."""

    name: str
    label: int | None
    tracks: tuple[PoseTrack, ...]


@dataclass(frozen=True, eq=False)
class PysklFile:
    """The clips of a file in its order, and its splits as names of clips."""

    clips: tuple[PysklClip, ...]
    split: Mapping[str, tuple[str, ...]]


def write_pyskl(path: PathLike, clips: Sequence[PysklClip], split: Mapping[str, Sequence[str]]) -> None:
    """Write clips durably in the layout above, float32. All tracks of a clip must have the same frames."""
    annotations = []
    for clip in clips:
        first = clip.tracks[0]
        shape = (first.size[1], first.size[0])
        annotation: dict[str, Any] = {
            "frame_dir": clip.name,
            "img_shape": shape,
            "original_shape": shape,
            "total_frames": len(first),
            "keypoint": np.stack([track.xy for track in clip.tracks]),
            "keypoint_score": np.stack([track.score for track in clip.tracks]),
        }
        annotations.append(annotation | ({} if clip.label is None else {"label": clip.label}))
    value = {"split": {name: list(names) for name, names in split.items()}, "annotations": annotations}
    write_bytes(path, pickle.dumps(value, protocol=4))


def read_pyskl(path: PathLike, skeleton: Skeleton, *, fps: float) -> PysklFile:
    """Read annotations; frames beyond `total_frames` (zero padding) are cut, NaN marks a missing joint.

    Args:
        skeleton: the meaning of the joints; the file does not say.
        fps: frames per second; the file does not say either.

    Raises:
        NoInput, NotPermitted, FormatError: naming the annotation; also if the pickle would run code.
    """
    value = safe_pickle.load(path)
    rows = value.get("annotations") if isinstance(value, dict) else value
    named = value.get("split", {}) if isinstance(value, dict) else {}
    if not isinstance(rows, list) or not isinstance(named, dict):
        raise _wrong(path, "top level", "no list of annotations", "a dict with 'split' and 'annotations'")
    split: dict[str, tuple[str, ...]] = {}
    for name, members in named.items():
        if not isinstance(name, str) or not isinstance(members, (list, tuple, set)):
            raise _wrong(path, "split", "not names of clips", "lists of text")
        if not all(isinstance(member, str) for member in members):
            raise _wrong(path, f"split '{name[:40]}'", "not names of clips", "lists of text")
        split[name] = tuple(str(member) for member in members)
    return PysklFile(tuple(_clip(path, i, row, skeleton, fps) for i, row in enumerate(rows)), split)


def _clip(path: PathLike, number: int, row: Any, skeleton: Skeleton, fps: float) -> PysklClip:
    place = f"annotation {number}"
    if not isinstance(row, dict) or not isinstance(row.get("frame_dir"), str):
        raise _wrong(path, place, "'frame_dir' is missing", "a dict with a name")
    name, label = str(row["frame_dir"]), row.get("label")
    place += f" ('{name[:40]}')"
    if label is not None and not (isinstance(label, (int, np.integer)) and -1 <= label < 1 << 31):
        raise _wrong(path, place, "'label' is not a class", "a whole number from 0, or -1 where it is withheld")
    label = None if label == -1 else label
    points = _floats(path, place, row, "keypoint")
    if points.ndim == 3:
        points = points[None]
    if points.ndim != 4 or points.shape[2] != len(skeleton) or points.shape[3] not in (2, 3):
        raise _wrong(
            path,
            place,
            f"'keypoint' has shape {points.shape}",
            f"(persons, frames, {len(skeleton)}, 2 or 3) for layout '{skeleton.name}'",
        )
    if not (0 < len(points) <= PERSON_LIMIT and points.shape[1]):
        raise _wrong(path, place, f"{len(points)} persons, {points.shape[1]} frames", f"1 to {PERSON_LIMIT} and some")
    if "keypoint_score" in row:
        score = _floats(path, place, row, "keypoint_score")
        score = score[None] if score.ndim == 2 else score
        if score.shape != points.shape[:3]:
            raise _wrong(path, place, f"'keypoint_score' has shape {score.shape}", f"{points.shape[:3]}")
    else:  # 3-D sensors give none; they write zeros for what they do not see
        score = np.asarray((points != 0).any(-1), np.float64)
    frames = row.get("total_frames", points.shape[1])
    if not (isinstance(frames, (int, np.integer)) and 0 < frames <= points.shape[1]):
        raise _wrong(path, place, "'total_frames' does not fit", f"1 to {points.shape[1]}")
    seen = np.isfinite(points).all(-1) & np.isfinite(score) & (np.abs(points) < 1e6).all(-1)
    score = np.where(seen, np.clip(np.nan_to_num(score), 0, 1), 0)[:, :frames]
    points = np.where(seen[..., None], points, 0)[:, :frames]
    size = _size(row.get("img_shape"))
    tracks = (
        PoseTrack(p, s, fps, size, skeleton, person=i) for i, (p, s) in enumerate(zip(points, score, strict=True))
    )
    return PysklClip(name, None if label is None else int(label), tuple(tracks))


def _floats(path: PathLike, place: str, row: dict[Any, Any], name: str) -> NDArray[np.float64]:
    value = row.get(name)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        raise _wrong(path, place, f"'{name}' is missing or not an array", "an array of numbers")
    return value.astype(np.float64)


def _size(shape: Any) -> tuple[int, int]:
    """(width, height) of `img_shape` (height, width); (0, 0), unknown, if it is absent or makes no sense."""
    if isinstance(shape, (tuple, list)) and len(shape) == 2:
        height, width = shape
        if all(isinstance(side, (int, np.integer)) and 0 < side <= 1 << 20 for side in shape):
            return int(width), int(height)
    return 0, 0


def _wrong(path: PathLike, place: str, problem: str, expected: str) -> FormatError:
    return FormatError(
        path, problem, place=place, expected=expected, remedy="check the file and the layout named for it"
    )
