"""Which format a pose file has, and reading and writing it whatever it is.

| kind         | file                                        | what only the user knows        |
|--------------|---------------------------------------------|---------------------------------|
| `npz`        | .npz of this package                        |                                 |
| `openpose`   | folder of .json, .json, .xlsx, other .csv   | frame rate, size of the picture |
| `mediapipe`  | .csv with `<landmark>_x`                    | size; the rate, without times   |
| `deeplabcut` | .csv that begins with `scorer`              | frame rate, size                |
| `kinect`     | .csv of 275 columns (25 joints x 11)        | frame rate                      |
| `pyskl`      | .pkl, .pickle                               | frame rate, layout              |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.formats.deeplabcut import read_deeplabcut, write_deeplabcut
from microgesture.formats.kinect import COLUMNS as KINECT_COLUMNS
from microgesture.formats.kinect import read_kinect_csv
from microgesture.formats.mediapipe_csv import read_mediapipe_csv, write_mediapipe_csv
from microgesture.formats.openpose import (
    read_openpose_csv,
    read_openpose_json,
    read_openpose_xlsx,
    write_openpose_json,
)
from microgesture.formats.pose_npz import read_npz, write_npz
from microgesture.formats.pyskl import PysklClip, read_pyskl, write_pyskl
from microgesture.formats.segments import Problems
from microgesture.formats.source import PathLike
from microgesture.formats.timelines import header_of, timeline_kind

KINDS = ("npz", "openpose", "mediapipe", "deeplabcut", "pyskl")
"""What is written; a `kinect` table is only read."""

_OF_SUFFIX = {".npz": "npz", ".json": "openpose", ".xlsx": "openpose", ".pkl": "pyskl", ".pickle": "pyskl"}


def pose_kind(path: PathLike) -> str | None:
    """The kind of a pose file by its suffix and, for tables, its header; None for other files and for timelines.

    Raises:
        NoInput, NotPermitted, FormatError: it cannot be opened, or is empty.
    """
    file = Path(path)
    if file.is_dir():
        return "openpose" if any(file.glob("*.json")) else None
    suffix = file.suffix.lower()
    if suffix == ".csv":
        header = [cell.lower() for cell in header_of(file)]
        if header[0] == "scorer":
            return "deeplabcut"
        if len(header) == KINECT_COLUMNS:
            return "kinect"
        if timeline_kind(file) is not None:
            return None
        axes = sum(cell.endswith(("_x", "_y")) for cell in header)
        return "mediapipe" if axes >= 2 else "openpose"
    if suffix == ".json" and timeline_kind(file) is not None:
        return None
    return _OF_SUFFIX.get(suffix)


def read_poses(
    path: PathLike,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    skeleton: Skeleton | None = None,
    problems: Problems | None = None,
) -> tuple[PoseTrack, ...]:
    """The persons of a recording in any of the formats; nothing a file does not say is guessed.

    Args:
        fps: frames per second; not used for `npz`.
        size: (width, height) of the picture in pixels; not used for `npz` and `pyskl`.
        skeleton: the layout of a `pyskl` file, or of a `deeplabcut` table with other body parts than its own.
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: not a pose file; naming the place; a size or rate that is needed.
        UsageError: a frame rate or layout that the file cannot say is not given; a `pyskl` file of several clips.
    """
    file, kind = Path(path), pose_kind(path)
    if kind is None:
        raise FormatError(
            path,
            "not a pose file",
            expected="npz, OpenPose JSON, CSV or XLSX, MediaPipe CSV, DeepLabCut CSV or a pickle of PYSKL",
            remedy="check that this is the right file",
        )
    if kind == "npz":
        return read_npz(file)
    if kind == "mediapipe":
        return read_mediapipe_csv(file, fps=fps, size=size, problems=problems)
    if fps is None:
        names = {"openpose": "OpenPose", "deeplabcut": "DeepLabCut", "pyskl": "PYSKL", "kinect": "Kinect"}
        raise UsageError(f"{file}: a file of {names[kind]} does not say its frame rate; give it with --fps")
    if kind == "deeplabcut":
        return read_deeplabcut(file, fps=fps, size=size, skeleton=skeleton, problems=problems)
    if kind == "kinect":
        return (read_kinect_csv(file, fps=fps, problems=problems),)
    if kind == "pyskl":
        return _only_clip(file, skeleton, fps)
    if file.is_dir() or file.suffix.lower() == ".json":
        return read_openpose_json(file, fps=fps, size=size or (0, 0), problems=problems)
    read = read_openpose_csv if file.suffix.lower() == ".csv" else read_openpose_xlsx
    return (read(file, fps=fps, size=size or (0, 0), problems=problems),)


def _only_clip(file: Path, skeleton: Skeleton | None, fps: float) -> tuple[PoseTrack, ...]:
    if skeleton is None:
        raise UsageError(f"{file}: a file of PYSKL does not say its layout; give it with --layout")
    clips = read_pyskl(file, skeleton, fps=fps).clips
    if len(clips) != 1:
        raise UsageError(f"{file}: holds {len(clips)} clips, expected one recording; the data sets read such files")
    return clips[0].tracks


def kind_to_write(path: PathLike) -> str | None:
    """The kind that a name asks for: .npz, .pkl, or OpenPose for a folder (no suffix); names of tables do not say."""
    file = Path(path)
    if file.is_dir() or not file.suffix:
        return "openpose"
    return {".npz": "npz", ".pkl": "pyskl", ".pickle": "pyskl"}.get(file.suffix.lower())


def write_poses(tracks: Sequence[PoseTrack], path: PathLike, *, kind: str | None = None) -> None:
    """Write the persons of a recording; their layout must be one that the format holds.

    Args:
        kind: one of `KINDS`; by default what the name asks for. `openpose` is a folder.

    Raises:
        UsageError: a name that asks for no format, and what the writers refuse.
        CannotCreate, NotPermitted, OutputFailed: it cannot be written.
    """
    kind = kind or kind_to_write(path)
    if kind not in KINDS:
        raise UsageError(f"{path}: the name does not say the format; choose one of {', '.join(KINDS)} with --to")
    if kind == "npz":
        write_npz(path, tracks)
    elif kind == "openpose":
        write_openpose_json(path, tracks)
    elif kind == "mediapipe":
        write_mediapipe_csv(path, tracks)
    elif kind == "deeplabcut":
        write_deeplabcut(path, tracks)
    else:
        if not tracks or any(len(track) != len(tracks[0]) for track in tracks):
            raise UsageError(f"{path}: PYSKL holds one or more persons of the same frames")
        write_pyskl(path, [PysklClip(Path(path).stem, None, tuple(tracks))], {})


def not_held(tracks: Sequence[PoseTrack], kind: str) -> list[str]:
    """What a format cannot hold of a recording's poses, in words."""
    lost: list[str] = []
    if kind == "npz" or not tracks:
        return lost
    first = tracks[0]
    if kind != "mediapipe":  # it holds times
        lost.append(f"the frame rate ({first.fps:g} per second)")
        if not np.allclose(np.diff(first.times), 1 / first.fps, atol=1e-6):
            lost.append("uneven times")
        elif len(first) and abs(first.times[0]) > 1e-6:
            lost.append(f"the time of the first frame ({first.times[0]:.3f} s)")
    if kind == "pyskl":
        lost.append(f"the layout ({first.skeleton.name})")
    elif any(first.size):
        lost.append(f"the size of the picture ({first.size[0]} x {first.size[1]})")
    if kind == "openpose" and len(tracks) > 1:
        lost.append("who is who from frame to frame")
    return lost
