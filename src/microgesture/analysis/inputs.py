"""What an analysis starts from: a video, or a file of poses made elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from microgesture.analysis.poses import Poses
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.track import PoseTrack
from microgesture.formats.source import check_file

OPENPOSE_FILES = (".csv", ".xlsx", ".json")
POSE_FILES = (".npz", *OPENPOSE_FILES)
"""Endings of files that hold poses; everything else is opened as a video."""

Progress = Callable[[str, float, float], None]


def is_pose_file(path: Path) -> bool:
    """Whether a file holds poses, by its ending."""
    return path.suffix.casefold() in POSE_FILES


def read_pose_file(path: Path, fps: float | None = None) -> list[PoseTrack]:
    """Tracks of a pose file, one per person; time begins with the first frame.

    Args:
        fps: frames per second; files of OpenPose do not say it.

    Raises:
        UsageError: `fps` is needed and not given.
        NoInput, NotPermitted, FormatError: it cannot be read, or holds nobody.
    """
    check_file(path)
    ending = path.suffix.casefold()
    if ending in OPENPOSE_FILES:
        from microgesture.formats.openpose import read_openpose_csv, read_openpose_json, read_openpose_xlsx

        if fps is None:
            raise UsageError(f"{path}: a file of OpenPose does not say its frame rate; give it with --fps")
        if ending == ".json":
            found = list(read_openpose_json(path, fps=fps))
        else:
            found = [(read_openpose_csv if ending == ".csv" else read_openpose_xlsx)(path, fps=fps)]
    else:
        from microgesture.formats.pose_npz import read_npz

        found = list(read_npz(path))
    tracks = [t for t in found if len(t)]
    if not tracks:
        raise FormatError(path, "holds no frame with a pose", remedy="check what was exported")
    return [replace(t, times=t.times - t.times[0]) for t in tracks]


def open_poses(path: Path, folder: Path, *, persons: int, fps: float | None, resume: bool, progress: Progress) -> Poses:
    """Poses of a recording, kept in `folder` and taken from there the next time.

    What is wrong with the recording is not warned of here but stands in `notes`; `fps` see `read_pose_file`.

    Raises:
        NoInput, NotPermitted, FormatError: the recording cannot be read.
    """
    from microgesture.pose.estimate import estimate, store_tracks

    check_file(path)
    if is_pose_file(path):
        return store_tracks(read_pose_file(path, fps)[:persons], path, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return estimate(
            path,
            folder,
            persons=persons,
            resume=resume,
            progress=lambda done, total: progress("finding poses", done, total or 0.0),
        )
