"""What all tables of poses share: a cell is a number or missing, a row is a frame, rows become tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.formats.safe_zip import INFLATED_LIMIT
from microgesture.formats.segments import PERSON_LIMIT, number
from microgesture.formats.source import PathLike

Points = NDArray[np.float64]
"""Joints of a person in a frame, (V, 3): x, y and score; score 0 is missing."""

COORDINATE_LIMIT = 1e6
"""Pixels; nothing lies farther away."""
GAP_LIMIT = 10_000
"""Frames that may be missing in one place; more is a wrong number."""


def point(path: PathLike, place: str, joint: str, cells: Sequence[str]) -> tuple[float, float, float]:
    """x, y and score of a joint; no cell for the score counts as 1. Empty or NaN coordinates are a missing joint.

    Raises:
        FormatError: a word, infinity, half a position, a score outside [0, 1], a coordinate beyond 10^6.
    """
    x, y, *rest = (None if cell.strip().lower() in ("", "nan") else cell for cell in cells)
    if x is None and y is None:
        return 0.0, 0.0, 0.0
    if x is None or y is None or None in rest:
        raise FormatError(
            path,
            f"half of {joint} is missing",
            place=place,
            expected="x, y and confidence, or none of them",
            remedy="leave all cells of a missing joint empty",
        )
    at = [number(path, place, f"{axis} of {joint}", cell) for axis, cell in (("x", x), ("y", y))]
    score = number(path, place, f"confidence of {joint}", rest[0] or "") if rest else 1.0
    if not 0 <= score <= 1 or max(map(abs, at)) > COORDINATE_LIMIT:
        raise FormatError(
            path,
            f"{joint} is at {at[0]:g}, {at[1]:g} with confidence {score:g}",
            place=place,
            expected="a position in the picture and a confidence from 0 to 1",
            remedy="correct it, or leave the cells empty",
        )
    return (at[0], at[1], score) if score else (0.0, 0.0, 0.0)


def tracks_of(
    path: PathLike,
    people: Mapping[int, Mapping[int, Points]],
    skeleton: Skeleton,
    fps: float,
    size: tuple[int, int],
    times: Mapping[int, float] | None = None,
) -> tuple[PoseTrack, ...]:
    """One track per person over the frames of all; a frame without a person has score 0.

    Args:
        people: {person: {frame: points}}.
        times: {frame: seconds}. Without them frame n lies at n / fps, and frames that are left out are filled in.

    Raises:
        FormatError: no frame; more than 64 persons; frames far apart; times that do not increase.
    """
    if len(people) > PERSON_LIMIT:
        raise FormatError(
            path,
            f"{len(people)} persons",
            place="whole file",
            expected=f"at most {PERSON_LIMIT}",
            remedy="check the column that names them",
        )
    frames = sorted({frame for rows in people.values() for frame in rows})
    for a, b in pairwise(frames):
        if b - a > GAP_LIMIT and times is None:
            raise FormatError(
                path, f"frame {b} after {a}", place="frames", expected="numbers that count up", remedy="correct them"
            )
        if times is not None and times[b] <= times[a]:
            raise FormatError(
                path,
                f"frame {b} is at {times[b]:g} s, frame {a} at {times[a]:g} s",
                place="times",
                expected="times that increase",
                remedy="correct them or remove the column",
            )
    if not frames:
        raise FormatError(path, "no frames", place="table", expected="one row per frame", remedy="export it again")
    if times is None:
        count = frames[-1] - frames[0] + 1
        if 24 * count * len(people) * len(skeleton) > INFLATED_LIMIT:
            raise FormatError(
                path, f"{count:,} frames in {len(frames):,} rows", place="frames", expected="numbers that count up",
                remedy="correct the numbers, or split the recording",
            )  # fmt: skip
        frames = list(range(frames[0], frames[-1] + 1))
    row_of = {frame: row for row, frame in enumerate(frames)}
    stamps = np.array([times[frame] if times is not None else frame / fps for frame in frames])
    tracks = []
    for person, rows in sorted(people.items()):
        points = np.zeros((len(frames), len(skeleton), 3))
        for frame, pose in rows.items():
            points[row_of[frame]] = pose
        xy, score = points[..., :2].astype(np.float32), points[..., 2].astype(np.float32)
        tracks.append(PoseTrack(xy, score, fps, size, skeleton, stamps, person))
    return tuple(tracks)


def frame_number(path: PathLike, place: str, text: str) -> int:
    """A whole number from 0 to 10^9."""
    value = number(path, place, "frame", text)
    if value != int(value) or not 0 <= value <= 1e9:
        raise FormatError(
            path, f"frame is {value:g}", place=place, expected="a whole number from 0", remedy="correct the number"
        )
    return int(value)


def check_tracks(path: PathLike, tracks: Sequence[PoseTrack], kind: str) -> PoseTrack:
    """The first of tracks that a table can hold together.

    Raises:
        UsageError: no track or frame, 3-D points, persons of different frames or layouts, or one person twice.
    """
    if not tracks or not len(tracks[0]):
        raise UsageError(f"{path}: no pose to write")
    first = tracks[0]
    if any(track.xy.shape[2] != 2 for track in tracks):
        raise UsageError(f"{path}: {kind} holds positions in pixels, these poses are 3-D")
    if any(track.skeleton != first.skeleton for track in tracks):
        raise UsageError(f"{path}: {kind} holds one layout, these poses have several")
    if any(not np.array_equal(track.times, first.times) for track in tracks):
        raise UsageError(f"{path}: {kind} holds the same frames for everybody, these persons have different ones")
    if len({track.person for track in tracks}) < len(tracks):
        raise UsageError(f"{path}: two tracks of the same person; number the persons")
    return first


def text_of(value: np.float32 | float) -> str:
    """A float32 in the fewest digits that give it back."""
    return f"{value:.9g}"
