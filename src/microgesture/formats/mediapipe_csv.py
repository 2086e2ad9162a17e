"""Tables of MediaPipe Pose's 33 landmarks: one row per frame and person.

Columns: `frame` (a whole number), `time_s` or `time_ms` (`time` is seconds), `person`, and for each landmark
`<landmark>_x`, `_y`, `_z`, `_visibility`, in any order and case. A landmark is MediaPipe's name (`left_shoulder`), its
index (`11`), or either after `landmark_`. `frame` or a time is needed; z is not read. Where a landmark has no
`_visibility`, it counts as seen wherever it has a position. Empty cells and NaN are missing.
MediaPipe gives positions as shares of the picture, from 0 to 1 and a little beyond, so the picture's size is needed;
positions in pixels are read too. Landmarks: Google AI Edge, "Pose landmark detection guide".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.track import PoseTrack
from microgesture.formats.pose_table import Points, check_tracks, frame_number, point, text_of, tracks_of
from microgesture.formats.safe_csv import read_table, write_table
from microgesture.formats.segments import TIME_LIMIT, Problems, each_row, number, person_number
from microgesture.formats.source import PathLike

SKELETON = SKELETONS["mediapipe33"]
LANDMARKS = (
    *("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index"),
    *("left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    *("left_heel", "right_heel", "left_foot_index", "right_foot_index"),
)
"""MediaPipe's names in the order of the layout `mediapipe33`."""

SHARE_LIMIT = 10.0
"""Positions below it are shares of the picture: those far outside it are not estimated, and no person is 10 pixels."""

_COLUMN = re.compile(r"(?:landmark_)?(.+)_(x|y|z|visibility)")
_TIMES = {"time": 1.0, "time_s": 1.0, "time_ms": 1000.0, "timestamp_ms": 1000.0}
_OTHERS = ("frame", "person", "timestamp", *_TIMES)


def write_mediapipe_csv(path: PathLike, tracks: Sequence[PoseTrack]) -> None:
    """One row per frame and person, positions as shares of the picture; `read_mediapipe_csv` gives them back exactly.

    Raises:
        UsageError: another layout than `mediapipe33`, a picture of unknown size, or as `pose_table.check_tracks`.
    """
    first = check_tracks(path, tracks, "a table of MediaPipe")
    if first.skeleton != SKELETON:
        raise UsageError(f"{path}: a table of MediaPipe holds the layout mediapipe33, not {first.skeleton.name}")
    size = np.array(first.size, np.float64)
    if not size.all() or any(track.size != first.size for track in tracks):
        raise UsageError(f"{path}: MediaPipe gives shares of the picture; say its size in pixels with --size")
    if any((np.abs(track.xy / size) >= SHARE_LIMIT).any() for track in tracks):
        raise UsageError(f"{path}: a point lies {SHARE_LIMIT:g} pictures away; the size {first.size} cannot be right")
    header = [
        "frame",
        "time_s",
        "person",
        *(f"{name}_{part}" for name in LANDMARKS for part in ("x", "y", "visibility")),
    ]
    rows = []
    for frame, time in enumerate(first.times):
        for track in tracks:
            cells = []
            for (x, y), score in zip(track.xy[frame] / size, track.score[frame], strict=True):
                cells += [repr(float(x)), repr(float(y)), text_of(score)] if score > 0 else ["", "", "0"]
            rows.append([str(frame), repr(float(time)), str(track.person), *cells])
    write_table(path, header, rows)


def read_mediapipe_csv(
    path: PathLike, *, fps: float | None = None, size: tuple[int, int] | None = None, problems: Problems | None = None
) -> tuple[PoseTrack, ...]:
    """The persons of a table, in the layout `mediapipe33`; landmarks without columns have score 0.

    Args:
        fps: frames per second; without it, the median of the times says it.
        size: (width, height) of the picture in pixels; needed for shares of the picture.
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: naming line and landmark; no rate or no size where one is needed; a unit of
            time that is not said.
    """
    rows = read_table(path, (), problems)
    people: dict[int, dict[int, Points]] = {}
    times: dict[int, float] = {}
    columns: dict[int, list[str]] | None = None
    for count, (place, cells) in enumerate(rows):
        row = {name.strip().lower(): cell for name, cell in cells.items()}
        if columns is None:
            columns = _columns(path, row)
            clock = next((name for name in _TIMES if name in row), None)
            if clock is None and fps is None:
                raise _unsaid(path, "the table holds no times", "a column time_s, or a frame rate", "--fps")
        with each_row(problems):
            frame = frame_number(path, place, row["frame"]) if "frame" in row else count
            person = person_number(path, place, row.get("person") or "0")
            time = number(path, place, clock, row[clock]) / _TIMES[clock] if clock else None
            if time is not None and (not 0 <= time <= TIME_LIMIT or times.get(frame, time) != time):
                other = f", before it was at {times[frame]:g} s" if frame in times else ""
                raise FormatError(
                    path,
                    f"frame {frame} is at {time:g} s{other}",
                    place=place,
                    expected="one time per frame, from 0 to 48 h",
                    remedy="check the unit: time_s is seconds, time_ms milliseconds",
                )
            if frame in people.get(person, {}):
                remedy = "number the frames, and the persons in a column 'person'"
                raise FormatError(path, f"frame {frame} of person {person} occurs twice", place=place, remedy=remedy)
            points = np.zeros((len(SKELETON), 3))
            for joint, names in columns.items():
                points[joint] = point(path, place, LANDMARKS[joint], [row[name] for name in names])
            people.setdefault(person, {})[frame] = points
            if time is not None:
                times[frame] = time
    if columns is None:
        raise FormatError(path, "no frames", place="table", expected="one row per frame", remedy="export it again")
    _to_pixels(path, people, size)
    if fps is None:
        steps = np.diff([times[frame] for frame in sorted(times)])
        if not len(steps) or not 1e-3 <= np.median(steps) <= 100:
            raise _unsaid(path, "the times do not tell a frame rate", "several frames, or a frame rate", "--fps")
        fps = float(1 / np.median(steps))
    return tracks_of(path, people, SKELETON, fps, size or (0, 0), times if times else None)


def _columns(path: PathLike, row: dict[str, str]) -> dict[int, list[str]]:
    """{joint: [column of x, of y, and of the visibility if there is one]}."""
    parts: dict[int, dict[str, str]] = {}
    for name in row:
        found = _COLUMN.fullmatch(name)
        if name in _OTHERS or found is None:
            continue
        word = found[1]
        joint = int(word) if re.fullmatch(r"\d{1,2}", word, re.ASCII) else None
        if word in LANDMARKS:
            joint = LANDMARKS.index(word)
        if joint is None or joint >= len(LANDMARKS):
            raise FormatError(
                path,
                f"column {name[:40]!r} is no landmark of MediaPipe Pose",
                place="line 1",
                expected="names such as left_shoulder_x, or indices from 0_x to 32_x",
                remedy="rename or remove the column",
            )
        if found[2] in parts.setdefault(joint, {}):
            raise FormatError(
                path, f"{LANDMARKS[joint]} has two columns {found[2]}", place="line 1", remedy="remove one of them"
            )
        parts[joint][found[2]] = name
    if not parts or not ("frame" in row or any(name in row for name in _TIMES)):
        what = "columns 'frame' and 'time_s' are missing" if parts else "no column of a landmark"
        expected, remedy = "frame or time_s, and columns such as left_shoulder_x", "export the table with them"
        if "timestamp" in row:
            what, remedy = "column 'timestamp' does not say its unit", "rename it to time_s or time_ms"
        raise FormatError(path, what, place="line 1", expected=expected, remedy=remedy)
    lonely = next((joint for joint, own in parts.items() if not {"x", "y"} <= own.keys()), None)
    if lonely is not None:
        expected = f"{LANDMARKS[lonely]}_x and {LANDMARKS[lonely]}_y"
        raise FormatError(
            path, f"half of {LANDMARKS[lonely]} is missing", place="line 1", expected=expected, remedy="add the column"
        )
    return {joint: [own[p] for p in ("x", "y", "visibility") if p in own] for joint, own in parts.items()}


def _to_pixels(path: PathLike, people: dict[int, dict[int, Points]], size: tuple[int, int] | None) -> None:
    far = max((float(np.abs(pose[:, :2]).max()) for rows in people.values() for pose in rows.values()), default=0.0)
    if far >= SHARE_LIMIT or not far:
        return
    if size is None:
        problem = f"the positions are shares of the picture (none above {far:.2f}), whose size is not in the file"
        raise _unsaid(path, problem, "the size of the picture in pixels", "--size, such as 1280x720")
    for rows in people.values():
        for pose in rows.values():
            pose[:, :2] *= size


def _unsaid(path: PathLike, problem: str, expected: str, option: str) -> FormatError:
    return FormatError(path, problem, place="table", expected=expected, remedy=f"give it with {option}")
