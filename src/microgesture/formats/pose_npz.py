"""Pose tracks as .npz: float32 arrays `xy_0`, `score_0`, float64 `times_0` per person, and `meta` in JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from microgesture.core.errors import FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.formats.safe_json import parse_json
from microgesture.formats.safe_npz import read_arrays, text_array, text_of, write_arrays
from microgesture.formats.source import PathLike

FORMAT, VERSION = "microgesture-pose", 1


def write_npz(path: PathLike, tracks: Sequence[PoseTrack]) -> None:
    """Write the tracks of a recording durably; `read_npz` gives them back bit for bit."""
    arrays: dict[str, NDArray[Any]] = {}
    rows = []
    for i, track in enumerate(tracks):
        arrays |= {f"xy_{i}": track.xy, f"score_{i}": track.score, f"times_{i}": track.times}
        rows.append({"skeleton": track.skeleton.name, "fps": track.fps, "size": track.size, "person": track.person})
    skeletons = {
        s.name: {"joints": s.joints, "bones": s.bones, "root": s.root, "stand_ins": s.stand_ins}
        for s in {track.skeleton.name: track.skeleton for track in tracks}.values()
    }
    meta = {"format": FORMAT, "version": VERSION, "tracks": rows, "skeletons": skeletons}
    arrays["meta"] = text_array(json.dumps(meta, allow_nan=False))
    write_arrays(path, arrays)


def read_npz(path: PathLike) -> tuple[PoseTrack, ...]:
    """The tracks of a file that `write_npz` wrote.

    Raises:
        NoInput, NotPermitted, FormatError: damaged, not a pose file, or a layout that is another one here.
    """
    arrays = read_arrays(path)
    meta = parse_json(path, text_of(path, arrays, "meta"), place="array 'meta'")
    if not isinstance(meta, dict) or meta.get("format") != FORMAT or meta.get("version") != VERSION:
        raise _wrong(path, "array 'meta'", "not a pose file", f'"format": "{FORMAT}", "version": {VERSION}')
    try:
        skeletons = {name: _skeleton(path, name, fields) for name, fields in meta["skeletons"].items()}
        rows = list(meta["tracks"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _wrong(path, "array 'meta'", f"the layouts cannot be read ({_words(error)})") from error
    tracks = []
    for i, row in enumerate(rows):
        try:
            xy, score, times = (arrays[f"{name}_{i}"] for name in ("xy", "score", "times"))
            if [array.dtype.str for array in (xy, score, times)] != ["<f4", "<f4", "<f8"]:
                raise ValueError("arrays are not float32, float32 and float64")
            width, height = (int(side) for side in row["size"])
            person, fps = int(row["person"]), float(row["fps"])
            if not (0 <= width <= 1 << 20 and 0 <= height <= 1 << 20 and 0 <= person < 1 << 20):
                raise ValueError("size or person is out of range")
            tracks.append(PoseTrack(xy, score, fps, (width, height), skeletons[row["skeleton"]], times, person))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _wrong(path, f"track {i}", _words(error)) from error
    return tuple(tracks)


def _skeleton(path: PathLike, name: str, fields: dict[str, Any]) -> Skeleton:
    joints = tuple(str(joint) for joint in fields["joints"])
    bones = tuple((int(a), int(b)) for a, b in fields["bones"])
    stand_ins = tuple((str(joint), tuple(str(s) for s in sources)) for joint, sources in fields["stand_ins"])
    known = SKELETONS.get(name)
    if known is not None and known.joints == joints:
        return known  # bones and stand-ins may have been corrected since
    if known is not None:
        raise _wrong(path, f"layout '{name}'", "its joints are not those of this version", f"{len(known)} joints")
    return Skeleton(name, joints, bones, int(fields["root"]), stand_ins)


def _wrong(path: PathLike, place: str, problem: str, expected: str | None = None) -> FormatError:
    return FormatError(path, problem, place=place, expected=expected, remedy="estimate the pose again")


def _words(error: BaseException) -> str:
    text = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
    return text.splitlines()[0][:160] if text else type(error).__name__
