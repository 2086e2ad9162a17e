"""Sets of skeleton clips as one NumPy archive, the plain layout in which small real sets are kept for measuring.

keypoints     (sum of T, V, C) real; NaN = missing          offsets   (N + 1,) rising from 0 to the sum of T
labels        (N,) class of every clip                      or, where the N are whole recordings,
events        (E, 4) recording, start, end (half-open, inside it), class; or else
frame_labels  (sum of T,) class of every frame: a segment is a stretch of equal ones
class_names, joint_names, bones (B, 2), fps                 may be stated elsewhere where they are missing
subject (N,), sample_id (N,), split_<name> (N,) 0 train, 1 test, 2 val, class_group    optional
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.datasets.prepare import Cut
from microgesture.formats.safe_npz import read_arrays
from microgesture.formats.safe_zip import open_zip

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

_AGAIN = "write the file again"
_SIDE = re.compile(r"(?:(?P<before>left|right|l|r)_(?P<a>.+)|(?P<b>.+)_(?P<after>left|right|l|r))\Z")
_SAME = {"shoulder_center": "neck", "spine_shoulder": "neck", "hip_center": "mid_hip", "spine_base": "mid_hip"}
_STAND_INS = (("neck", ("r_shoulder", "l_shoulder")), ("mid_hip", ("r_hip", "l_hip")), ("head", ("r_ear", "l_ear")))


def is_plain(path: Path) -> bool:
    """Whether an archive holds the arrays of such a set; reads its table of contents only.

    Raises:
        NoInput, NotPermitted, FormatError: not a sound archive.
    """
    with open_zip(path) as archive:
        return {"keypoints.npy", "offsets.npy"} <= set(archive.namelist())


def joint_name(text: str) -> str:
    """A joint's name as this package writes it, so that sides can be mirrored and shoulders be found.

    Example:
        >>> joint_name("left_wrist"), joint_name("Wrist-R"), joint_name("shoulder_center"), joint_name("thumb_a")
        ('l_wrist', 'r_wrist', 'neck', 'thumb_a')
    """
    plain = re.sub(r"[\s\-]+", "_", text.strip()).casefold()
    found = _SIDE.match(plain)
    if found is None:
        return _SAME.get(plain, plain)
    side = found["before"] or found["after"]
    return f"{side[0]}_{found['a'] or found['b']}"


def layout(
    source: Any, name: str, joints: Sequence[str], bones: Sequence[Sequence[int | str]], root: str | None = None
) -> Skeleton:
    """A skeleton of someone's own, its bones turned away from the root.

    Args:
        source: where it stands, for messages.
        bones: pairs of joints, by name or number.
        root: joint the tree hangs from; by default the one from which the farthest is nearest.

    Raises:
        FormatError: a joint is twice or unknown, or the bones do not reach all joints.

    Example:
        >>> layout("own", "arm", ["hand", "elbow", "shoulder"], [(0, 1), ("elbow", "shoulder")]).bones
        ((1, 0), (1, 2))
    """
    names = tuple(joint_name(str(joint)) for joint in joints)

    def wrong(problem: str, expected: str | None = None) -> FormatError:
        return FormatError(source, problem, place="joints and bones", expected=expected, remedy="correct them")

    def number(joint: int | str) -> int:
        found = names.index(joint_name(joint)) if isinstance(joint, str) and joint_name(joint) in names else joint
        if isinstance(found, (str, bool)) or not 0 <= int(found) < len(names):
            raise wrong(f"there is no joint {joint!r}", f"one of {', '.join(names)}, or 0 to {len(names) - 1}")
        return int(found)

    pairs = []
    for bone in bones:
        if isinstance(bone, str) or len(bone) != 2:
            raise wrong(f"the bone {bone!r}", "a pair of joints")
        pairs.append((number(bone[0]), number(bone[1])))
    near: list[set[int]] = [set() for _ in names]
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    hops = [_hops(near, joint) for joint in range(len(names))]
    if root is None:
        start = min(range(len(names)), key=lambda joint: (len(names) - len(hops[joint]), max(hops[joint].values())))
    else:
        start = number(root)
    lost = [names[joint] for joint in range(len(names)) if joint not in hops[start]]
    if lost:
        raise wrong(f"no bone leads to {', '.join(lost[:5])}", "bones that join all joints")
    turned = tuple((a, b) if hops[start][a] <= hops[start][b] else (b, a) for a, b in pairs)
    stand_ins = tuple((j, parts) for j, parts in _STAND_INS if j not in names and set(parts) <= set(names))
    try:
        return Skeleton(name, names, turned, start, stand_ins)
    except ValueError as error:
        raise wrong(str(error)) from error


def _hops(near: Sequence[set[int]], start: int) -> dict[int, int]:
    found, queue = {start: 0}, [start]
    for joint in queue:
        for other in near[joint]:
            if other not in found:
                found[other] = found[joint] + 1
                queue.append(other)
    return found


def classes(key: str, title: str, names: Sequence[str], groups: Sequence[str] | None = None) -> Taxonomy:
    """A label space from names, and the group of each if there are groups."""
    of = list(groups or ["all"] * len(names))
    return Taxonomy(
        key, title, tuple(Label(i, n, g) for i, (n, g) in enumerate(zip(names, of, strict=True))),
        tuple(dict.fromkeys(of)),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class PlainSet:
    """A set that was read and checked.

    Args:
        xy, score: float32 (sum of T, V, C) and (sum of T, V), 0 = missing.
        offsets: int64 (N + 1,).
        segments: per clip or recording its (class, start, end), end exclusive, inside it.
        continuous: whether the N are whole recordings with segments inside.
        subject: int64 (N,), -1 = unknown.
        splits: every `split_<name>`, int64 (N,).
        arrays: everything in the file.
    """

    path: Path
    xy: Floats
    score: Floats
    offsets: Ids
    segments: list[list[tuple[int, int, int]]]
    continuous: bool
    names: list[str]
    subject: Ids
    splits: Mapping[str, Ids]
    skeleton: Skeleton
    taxonomy: Taxonomy
    fps: float
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def item(self, i: int) -> tuple[Floats, Floats, list[Cut]]:
        """Coordinates (1, T, V, C), scores (1, T, V) and labelled stretches of clip or recording i."""
        frames = slice(self.offsets[i], self.offsets[i + 1])
        many = self.continuous
        cuts = [
            Cut(f"{self.names[i]}_{n}" if many else self.names[i], label, start, end)
            for n, (label, start, end) in enumerate(self.segments[i])
        ]
        return self.xy[None, frames], self.score[None, frames], cuts


def read_plain(
    path: Path,
    key: str,
    *,
    joints: Sequence[str] = (),
    bones: Sequence[Sequence[int | str]] = (),
    root: str | None = None,
    names: Sequence[str] = (),
    fps: float = 0.0,
    y_up: bool = False,
    labels: str = "",
) -> PlainSet:
    """Read a set; joints, bones and names that are given take the place of those in the file.

    Args:
        key: of its label space.
        joints, bones, root: see `layout`.
        names: class names in the order of their ids.
        fps: frames per second, if the file does not say it.
        labels: which of events, labels and frame_labels to read; by default the first that is there.
        y_up: the axes point up and to the sensor's left: half a turn makes them a picture's.

    Raises:
        NoInput, NotPermitted, FormatError: naming the array.
    """
    arrays = read_arrays(path)
    points = _array(path, arrays, "keypoints", "f")
    offsets = _array(path, arrays, "offsets", "iu").astype(np.int64)
    if points.ndim != 3 or points.shape[2] not in (2, 3) or not points.shape[1]:
        raise _wrong(path, "keypoints", f"has shape {points.shape}", "(T, V, 2 or 3)")
    if offsets.ndim != 1 or len(offsets) < 2 or (np.diff(offsets) <= 0).any() or (offsets[0], offsets[-1]) != (
        0, len(points),
    ):  # fmt: skip
        raise _wrong(path, "offsets", "do not rise", f"0 to {len(points)} without empty clips")
    count = len(offsets) - 1
    skeleton = _layout(path, arrays, points.shape[1], joints, bones, root)
    seen = np.isfinite(points).all(-1)
    xy = np.where(seen[..., None], points, 0).astype(np.float32)
    if y_up:
        xy[..., :2] *= -1
    segments, continuous = _segments(path, arrays, offsets, labels)
    stated = list(names) or [str(n) for n in arrays.get("class_names", np.zeros(0, "U1")).tolist()]
    top = max((label for row in segments for label, _, _ in row), default=-1) + 1
    stated = stated or [f"class {i}" for i in range(top)]
    twice = [name for name, n in Counter(stated).items() if n > 1]
    if top > len(stated) or twice:
        raise _wrong(path, "class_names", f"{len(stated)} names{f', {twice[0]!r} twice' if twice else ''}",
                     f"one for each of the {top} classes")  # fmt: skip
    groups = [str(g) for g in arrays.get("class_group", np.zeros(0, "U1")).tolist()]
    taxonomy = classes(key, path.stem, stated, groups if len(groups) == len(stated) else None)
    rate = _rate(path, arrays, fps)
    ids = [str(s) for s in arrays.get("sample_id", np.zeros(0)).tolist()]
    usable = len(ids) == count and len(set(ids)) == count
    splits = {
        name.removeprefix("split_"): _per_item(path, arrays, name, count)
        for name in arrays
        if name.startswith("split_") and arrays[name].dtype.kind in "iu"
    }
    subject = _per_item(path, arrays, "subject", count) if "subject" in arrays else np.full(count, -1)
    return PlainSet(
        path, xy, seen.astype(np.float32), offsets, segments, continuous, ids if usable else [*map(str, range(count))],
        subject, splits, skeleton, taxonomy, rate, arrays,
    )  # fmt: skip


def _wrong(path: Path, name: str, problem: str, expected: str | None, remedy: str = _AGAIN) -> FormatError:
    return FormatError(path, problem, place=f"array '{name}'", expected=expected, remedy=remedy)


def _array(path: Path, arrays: Mapping[str, NDArray[Any]], name: str, kinds: str) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None or array.dtype.kind not in kinds:
        found = "is missing" if array is None else f"holds {array.dtype}"
        raise _wrong(path, name, found, "real numbers" if kinds == "f" else "whole numbers")
    return array


def _per_item(path: Path, arrays: Mapping[str, NDArray[Any]], name: str, count: int) -> Ids:
    array = _array(path, arrays, name, "iu")
    if array.shape != (count,):
        raise _wrong(path, name, f"has shape {array.shape}", f"({count},)")
    return array.astype(np.int64)


def _layout(
    path: Path, arrays: Mapping[str, NDArray[Any]], count: int, joints: Sequence[str],
    bones: Sequence[Sequence[int | str]], root: str | None,
) -> Skeleton:  # fmt: skip
    names = list(joints) or [str(j) for j in arrays.get("joint_names", np.zeros(0)).tolist()]
    names = names or [f"joint {i}" for i in range(count)]
    if len(names) != count:
        raise _wrong(path, "joint_names", f"{len(names)} names", f"one for each of the {count} joints")
    pairs: Sequence[Sequence[int | str]] = bones or arrays.get("bones", np.zeros((0, 2), int)).tolist()
    if not pairs and count > 1:
        remedy = "state joints and bones in the recipe or in dataset.yaml"
        raise _wrong(path, "bones", "is missing", "pairs of joints", remedy)
    return layout(path, "own", names, pairs, root)


def _segments(
    path: Path, arrays: Mapping[str, NDArray[Any]], offsets: Ids, kind: str
) -> tuple[list[list[tuple[int, int, int]]], bool]:
    """Per item its (class, start, end), and whether the items are whole recordings."""
    length, count = np.diff(offsets), len(offsets) - 1
    rows: list[list[tuple[int, int, int]]] = [[] for _ in range(count)]
    kind = kind or next((name for name in ("events", "labels") if name in arrays), "frame_labels")
    if kind == "events":
        events = _array(path, arrays, "events", "iu").astype(np.int64)
        if events.ndim != 2 or events.shape[1] != 4:
            raise _wrong(path, "events", f"has shape {events.shape}", "(E, 4)")
        for n, (item, start, end, label) in enumerate(events.tolist()):
            if not (0 <= item < count and 0 <= start < end <= length[item] and label >= 0):
                raise _wrong(path, "events", f"row {n} is {item}, {start}, {end}, {label}",
                             "recording, start < end inside it, class")  # fmt: skip
            rows[item].append((label, start, end))
        return rows, True
    if kind == "labels":
        labels = _per_item(path, arrays, "labels", count)
        if labels.min() < -1:
            raise _wrong(path, "labels", f"holds {labels.min()}", "classes from 0 on, -1 where there is none")
        return [[(int(k), 0, int(n))] for k, n in zip(labels, length, strict=True)], False
    frame = _array(path, arrays, "frame_labels", "iu").astype(np.int64)
    if frame.shape != (offsets[-1],):
        raise _wrong(path, "frame_labels", f"has shape {frame.shape}", f"({offsets[-1]},)")
    return [list(runs(frame[a:b])) for a, b in pairwise(offsets.tolist())], True


def runs(frame: Ids) -> Iterator[tuple[int, int, int]]:
    """Stretches of equal labels as (label, start, end); negative labels are none.

    Example:
        >>> list(runs(np.array([0, 0, 2, 2, 2, -1, 1])))
        [(0, 0, 2), (2, 2, 5), (1, 6, 7)]
    """
    borders = [0, *(np.flatnonzero(np.diff(frame)) + 1).tolist(), len(frame)]
    for start, end in pairwise(borders):
        if frame[start] >= 0:
            yield int(frame[start]), start, end


def _rate(path: Path, arrays: Mapping[str, NDArray[Any]], stated: float) -> float:
    if "fps" not in arrays and stated:
        return stated
    array = arrays.get("fps")
    rate = float(array) if array is not None and array.ndim == 0 and array.dtype.kind in "iuf" else float("nan")
    if not 0.1 <= rate <= 1000:
        remedy = "state fps in the recipe or in dataset.yaml"
        problem = "is missing" if array is None else f"is {array!s:.20}"
        raise _wrong(path, "fps", problem, "0.1 to 1000 per second", remedy)
    return rate
