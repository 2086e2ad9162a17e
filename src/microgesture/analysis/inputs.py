"""What an analysis starts from: a video, or a file of poses made elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from microgesture.analysis.poses import Poses
from microgesture.formats.source import check_file

Progress = Callable[[str, float, float], None]
"""`progress(stage, done, total)`; a total of 0 means that it is unknown."""


def check_recording(path: Path) -> None:
    """Refuse what cannot be read before anything is made for it; a folder may hold OpenPose's JSON files.

    Raises:
        NoInput, NotPermitted, FormatError: it is missing, closed or empty.
    """
    if not path.is_dir() or not any(path.glob("*.json")):
        check_file(path)


def open_poses(
    path: Path,
    folder: Path,
    *,
    persons: int,
    fps: float | None,
    size: tuple[int, int] | None,
    resume: bool,
    progress: Progress,
) -> Poses:
    """Poses of a recording, kept in `folder` and taken from there the next time; see `pose.estimate.estimate`.

    What is wrong with the recording is not warned of here but stands in `notes`.

    Raises:
        NoInput, NotPermitted, FormatError: the recording cannot be read.
        UsageError: a file of poses without a frame rate, and no `fps`.
    """
    from microgesture.pose.estimate import estimate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return estimate(
            path,
            folder,
            persons=persons,
            fps=fps,
            size=size,
            resume=resume,
            progress=lambda done, total: progress("finding poses", done, total or 0.0),
        )
