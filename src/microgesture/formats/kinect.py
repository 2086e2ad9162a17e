"""Tables of a Kinect v2 as SMG holds them: no header, one row per frame, 25 joints of 11 numbers = 275 columns.

Of each joint: x, y, z in metres in the sensor's space [0:3], the bone's orientation as a quaternion [3:7], its pixel in
the colour picture [7:9], two more [9:11]. Positions alone are read: the sensor writes infinity for pixels outside its
picture, and no orientation for the last joint of a limb. A joint at 0, 0, 0 is missing.

The sensor's x grows to its own left and its y upwards. Half a turn about the line of sight makes them a picture's, x to
the right and y down; z stays the distance. A turn keeps left and right of the person what they are, a mirror would not.
Source: mikecheninoulu/SMG (online recognition/SMG).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.core.track import PoseTrack
from microgesture.formats.segments import Problems, each_row
from microgesture.formats.source import PathLike, check_file

SKELETON = SKELETONS["kinect25"]
PER_JOINT = 11
COLUMNS = PER_JOINT * len(SKELETON)
TO_PICTURE = np.array([-1, -1, 1], np.float32)
"""Half a turn about the line of sight; its own inverse."""

DISTANCE_LIMIT = 100.0
"""Metres; the sensor sees 8 at most, and numbers beyond are another unit."""
SIZE_LIMIT = 512 << 20
"""Bytes; a quarter of an hour with all digits has about 120 million. Rows are read one by one."""
_LINE_LIMIT = 64 * COLUMNS
_POSITIONS = [PER_JOINT * joint + axis for joint in range(len(SKELETON)) for axis in range(3)]
_AGAIN = "fetch or export it again"


def read_kinect_csv(path: PathLike, *, fps: float, problems: Problems | None = None) -> PoseTrack:
    """One person in metres, layout `kinect25`, axes of a picture; score 1 where a joint is seen.

    Args:
        fps: frames per second; SMG says them in `*_data.csv`.
        problems: see `segments.Problems`; a frame that is refused has score 0.

    Raises:
        NoInput, NotPermitted, FormatError: naming line and column, e.g. of a NaN or a missing column.
    """
    rows: list[NDArray[np.float64]] = []
    for place, cells in _rows(path):
        if not rows and len(cells) != COLUMNS:
            expected = f"{COLUMNS} ({len(SKELETON)} joints x {PER_JOINT})"
            raise FormatError(
                path, f"{len(cells)} columns", place=place, expected=expected, remedy="check that it is whole"
            )
        rows.append(np.zeros(len(_POSITIONS)))
        with each_row(problems):
            rows[-1] = _positions(path, place, cells)
    if not rows:
        raise FormatError(path, "no frames", place="table", expected="one row per frame", remedy=_AGAIN)
    xyz = np.array(rows, np.float32).reshape(len(rows), len(SKELETON), 3)
    score = xyz.any(-1).astype(np.float32)
    return PoseTrack(xyz * TO_PICTURE, score, fps, (0, 0), SKELETON)


def _positions(path: PathLike, place: str, cells: Sequence[str]) -> NDArray[np.float64]:
    if len(cells) != COLUMNS:
        raise FormatError(
            path, f"{len(cells)} columns", place=place, expected=f"{COLUMNS} as in every row", remedy=_AGAIN
        )
    values = np.array([_real(cells[column]) for column in _POSITIONS])
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~(np.abs(values) <= DISTANCE_LIMIT))
    if len(bad):
        column = _POSITIONS[bad[0]]
        joint, axis = divmod(column, PER_JOINT)
        raise FormatError(
            path,
            f"{'xyz'[axis]} of {SKELETON.joints[joint]} is {cells[column].strip()[:30]!r}",
            place=f"{place}, column {column + 1}",
            expected="a position in metres",
            remedy="a missing joint is written 0,0,0",
        )
    return values


def _real(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def _rows(path: PathLike) -> Iterator[tuple[str, list[str]]]:
    """Rows as (place, cells), one in memory at a time; blank lines at the end are none."""
    file = check_file(path)
    if (size := file.stat().st_size) > SIZE_LIMIT:
        raise FormatError(path, f"the file has {size:,} bytes", expected=f"at most {SIZE_LIMIT:,}", remedy="split it")
    blank = 0
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            blank = blank or number
            continue
        if blank:  # a frame that is left out would move all that follow away from their labels
            raise FormatError(path, "an empty line", place=f"line {blank}", remedy="a frame without a person is zeros")
        yield f"line {number}", line.split(",")


def _lines(file: Path) -> Iterator[str]:
    number = 1
    try:
        with file.open(encoding="utf-8-sig") as handle:
            while line := handle.readline(_LINE_LIMIT):
                if len(line) == _LINE_LIMIT:
                    problem = f"a line of more than {_LINE_LIMIT:,} characters"
                    raise FormatError(file, problem, place=f"line {number}", remedy="check that this is the right file")
                yield line
                number += 1
    except UnicodeDecodeError as error:
        raise FormatError(
            file,
            f"byte 0x{error.object[error.start]:02x} is not UTF-8 text",
            place=f"near line {number}",
            remedy="save it as text in UTF-8; if it is not a text file, the wrong file was named",
        ) from error
    except OSError as error:
        raise FormatError(file, f"reading failed ({error.strerror})", remedy="check the disk") from error
