"""What an analysis starts from: a video, or a file of poses made elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from microgesture.analysis.poses import Poses
from microgesture.core.errors import FormatError
from microgesture.core.track import PoseTrack
from microgesture.formats.source import check_file

POSE_FILES = (".npz",)
"""Endings of files that hold poses; everything else is opened as a video."""

Progress = Callable[[str, float, float], None]


def is_pose_file(path: Path) -> bool:
    """Whether a file holds poses, by its ending."""
    return path.suffix.casefold() in POSE_FILES


def read_pose_file(path: Path) -> list[PoseTrack]:
    """Tracks of a pose file, one per person; time begins with the first frame.

    Raises:
        NoInput, NotPermitted, FormatError: it cannot be read, or holds nobody.
    """
    from microgesture.formats.pose_npz import read_npz

    tracks = [t for t in read_npz(path) if len(t)]
    if not tracks:
        raise FormatError(path, "holds no frame with a pose", remedy="check what was exported")
    return [replace(t, times=t.times - t.times[0]) for t in tracks]


def open_poses(path: Path, folder: Path, *, persons: int, resume: bool, progress: Progress) -> Poses:
    """Poses of a recording, kept in `folder` and taken from there the next time.

    What is wrong with the recording is not warned of here but stands in `notes`.

    Raises:
        NoInput, NotPermitted, FormatError: the recording cannot be read.
    """
    from microgesture.pose.estimate import estimate, store_tracks

    check_file(path)
    if is_pose_file(path):
        return store_tracks(read_pose_file(path)[:persons], path, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return estimate(
            path,
            folder,
            persons=persons,
            resume=resume,
            progress=lambda done, total: progress("finding poses", done, total or 0.0),
        )
