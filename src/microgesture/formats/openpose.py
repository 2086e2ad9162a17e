"""OpenPose output in its four packings: CSV and XLSX tables of iMiGUE, JSON files, folders of JSON files.

Points are (x, y, confidence) in pixels; confidence 0 means missing.
CSV   `*_light_hand.csv`: a frame number, then 35 points (layout `imigue35`); `*_light.csv`: 25 (`openpose25`)
XLSX  `*_openpose.xlsx`: 137 points (`openpose137`), with or without a frame number
JSON  one object per frame, `people` with `pose_keypoints_2d` (25 or 18 points), face (70) and hands (21 each)
Sources: mikecheninoulu/SMG (classification/iMiGUE), momiji-bit/MM-Gesture (dataset/tools), CMU OpenPose doc/02_output.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import make_folder
from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.formats.pose_table import check_tracks
from microgesture.formats.safe_json import read_json, write_json
from microgesture.formats.safe_zip import damaged, open_zip
from microgesture.formats.segments import PERSON_LIMIT, Problems, each_row
from microgesture.formats.source import PathLike, read_text

Matrix = NDArray[np.float64]

COORDINATE_LIMIT = 1e6
"""Pixels; OpenPose writes nothing beyond the image, a little outside at most."""


class SwappedHands(UserWarning):
    """Finger tips lie at the other hand's wrist: the file's left and right hand seem exchanged."""


def read_openpose_csv(
    path: PathLike, *, fps: float, size: tuple[int, int] = (1280, 720), problems: Problems | None = None
) -> PoseTrack:
    """One person from a CSV table, with or without a header line.

    A first line that counts the columns (0, 1, 2, ...), holds words only, or breaks the frame numbers is a header.

    Args:
        fps: frames per second of the video the table was made from; take it from the video.
        size: (width, height) of that video; iMiGUE's is 1280 x 720.
        problems: see `segments.Problems`; a frame that is refused has score 0.

    Raises:
        NoInput, NotPermitted, FormatError: naming line and column, e.g. of a NaN or a missing column.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        cells = [(f"line {rows.line_num}", row) for row in rows if row]
    except csv.Error as error:
        raise FormatError(path, f"not a CSV table ({error})", place=f"line {rows.line_num}", remedy=_AGAIN) from error
    track = _table(path, cells, {106: "imigue35", 76: "openpose25"}, fps, size, problems)
    if track.skeleton.name == "imigue35":
        _compare_hands(path, track)
    return track


def read_openpose_xlsx(
    path: PathLike, *, fps: float, size: tuple[int, int] = (1280, 720), problems: Problems | None = None
) -> PoseTrack:
    """One person from the first sheet of a workbook of 137 points. Arguments and errors as `read_openpose_csv`."""
    import openpyxl

    open_zip(path).close()
    cells: list[tuple[str, Sequence[object]]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles it does not know
        try:
            with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
                for number, row in enumerate(book.worksheets[0].iter_rows(max_col=420, values_only=True), 1):
                    width = len(row)
                    while width and row[width - 1] is None:
                        width -= 1
                    if not width:
                        raise FormatError(path, "the row is empty", place=f"line {number}", remedy="remove empty rows")
                    cells.append((f"line {number}", row[:width]))
        except FormatError:
            raise
        except Exception as error:  # openpyxl hands on what its parts raise on bad XML
            raise damaged(path, error, "workbook") from error
    return _table(path, cells, {411: "openpose137", 412: "openpose137"}, fps, size, problems)


_AGAIN = "export it again"


def _table(
    path: PathLike,
    cells: Sequence[tuple[str, Sequence[object]]],
    layouts: dict[int, str],
    fps: float,
    size: tuple[int, int],
    problems: Problems | None,
) -> PoseTrack:
    if cells and _is_header([row for _, row in cells[:3]]):
        cells = cells[1:]
    if not cells:
        raise FormatError(path, "no frames", place="table", expected="one row per frame", remedy=_AGAIN)
    width = len(cells[0][1])
    if width not in layouts:
        known = " or ".join(f"{n} ({_words_for(n, SKELETONS[name])})" for n, name in layouts.items())
        raise FormatError(path, f"{width} columns", place=cells[0][0], expected=known, remedy="check that it is whole")
    values, sound = np.zeros((len(cells), width)), []
    for i, (place, row) in enumerate(cells):
        with each_row(problems):
            if len(row) != width:
                raise FormatError(
                    path, f"{len(row)} columns", place=place, expected=f"{width} as in the rows before", remedy=_AGAIN
                )
            values[i] = [_real(cell) for cell in row]
            sound.append(i)
    numbers = values[sound, 0]
    for i in _out_of_order(numbers) if width % 3 else ():
        with each_row(problems):
            raise FormatError(
                path,
                f"frame number {numbers[i]:g} after {numbers[i - 1]:g}",
                place=cells[sound[i]][0],
                expected="numbers that rise",
                remedy="sort the rows by frame and keep one of each",
            )
    skeleton = SKELETONS[layouts[width]]
    points = values[:, width - 3 * len(skeleton) :].reshape(len(cells), len(skeleton), 3)
    good = _possible(points)
    for frame in np.flatnonzero(~good.all((1, 2))):
        joint, part = np.argwhere(~good[frame])[0]
        column = width - 3 * len(skeleton) + 3 * joint + part
        with each_row(problems):
            raise FormatError(
                path,
                f"{'xyc'[part]} of {skeleton.joints[joint]} is {str(cells[frame][1][column])[:30]!r}",
                place=f"{cells[frame][0]}, column {column + 1}",
                expected="a confidence from 0 to 1" if part == 2 else "a position in pixels",
                remedy="a missing joint is written 0,0,0",
            )
        points[frame] = 0
    return _track(points, skeleton, fps, size)


def _out_of_order(numbers: Matrix) -> NDArray[np.intp]:
    """Rows whose frame number does not rise; a column that says the same everywhere is none of frame numbers."""
    if not len(numbers) or (numbers == numbers[0]).all():
        return np.zeros(0, np.intp)
    return np.flatnonzero(~(np.diff(numbers) > 0)) + 1  # NaN does not rise either


def _words_for(width: int, skeleton: Skeleton) -> str:
    return ("frame number, " if width % 3 else "") + f"{len(skeleton)} points x 3"


def _real(cell: object) -> float:
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return np.nan
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return np.nan


def _is_header(rows: Sequence[Sequence[object]]) -> bool:
    first = [_real(cell) for cell in rows[0]]
    if first == [float(i) for i in range(len(first))] or np.isnan(first[1:] or first).all():
        return True
    if len(rows) < 3:
        return False
    a, b, c = (_real(row[0]) for row in rows)
    return c == b + 1 and a != b - 1


def _possible(points: Matrix) -> NDArray[np.bool_]:
    """Which numbers can be (False for NaN); OpenPose's confidences may exceed 1 a little."""
    with np.errstate(invalid="ignore"):
        good: NDArray[np.bool_] = np.abs(points) < COORDINATE_LIMIT
        good[..., 2] = (points[..., 2] >= 0) & (points[..., 2] <= 1.5)
    return good


def _track(points: Matrix, skeleton: Skeleton, fps: float, size: tuple[int, int], person: int = 0) -> PoseTrack:
    score = np.clip(points[..., 2], 0, 1)
    return PoseTrack(points[..., :2].astype(np.float32), score.astype(np.float32), fps, size, skeleton, person=person)


def _compare_hands(path: PathLike, track: PoseTrack) -> None:
    """Warn if both hands' finger tips are much nearer to the other wrist."""
    joints = track.skeleton.joints

    def distance(fingers: str, wrist: str) -> float:
        at = track.skeleton.index(f"{wrist}_wrist")
        tips = [i for i, joint in enumerate(joints) if joint.startswith(f"{fingers}_") and joint.endswith("_tip")]
        both = (track.score[:, tips] > 0) & (track.score[:, [at]] > 0)
        gaps = np.linalg.norm(track.xy[:, tips] - track.xy[:, [at]], axis=-1)
        return float(np.median(gaps[both])) if both.any() else np.nan

    # by far: folded hands bring all tips to either wrist
    if distance("r", "l") < distance("r", "r") / 2 and distance("l", "r") < distance("l", "l") / 2:
        warnings.warn(
            f"{path}: the finger tips of each hand lie at the other hand's wrist; left and right hand seem exchanged",
            SwappedHands,
            stacklevel=3,
        )


_PARTS = (("pose", 25), ("face", 70), ("hand_left", 21), ("hand_right", 21))  # the order of openpose137
_FRAME = re.compile(r"(\d{1,12})_keypoints\.json\Z", re.ASCII)


def read_openpose_json(
    path: PathLike, *, fps: float, size: tuple[int, int] = (0, 0), problems: Problems | None = None
) -> tuple[PoseTrack, ...]:
    """All persons of a recording: a folder of `*_<frame>_keypoints.json`, or a file with one frame or a list of them.

    OpenPose does not follow people from frame to frame; they are joined here to the nearest of the frame before.
    Frames missing from a folder, and frames without a person, have score 0. The most visible person comes first.

    Args:
        size: (width, height) of the video, which the files do not hold.
        problems: see `segments.Problems`; frames and people that are refused are left out.

    Raises:
        NoInput, NotPermitted, FormatError: naming file, frame and person.
    """
    frames = dict((_folder if Path(path).is_dir() else _file)(Path(path), problems))
    people: dict[int, list[Matrix]] = {}
    for index, row in frames.items():
        people[index] = []
        for where, place, value in row:
            with each_row(problems):
                people[index].append(_person(where, place, value))
    lengths = {len(points) for row in people.values() for points in row}
    if len(lengths - {25}) == 1 and lengths <= {25, 137}:  # face and hands may be absent in some frames
        people = {i: [np.pad(p, ((0, 137 - len(p)), (0, 0))) for p in row] for i, row in people.items()}
        lengths = {137}
    if len(lengths) > 1:
        raise FormatError(
            path, "BODY_25 and COCO people in one recording", place="people", remedy="use one model for all frames"
        )
    if not lengths:
        return ()
    skeleton = SKELETONS[{18: "openpose18", 25: "openpose25", 137: "openpose137"}[lengths.pop()]]
    first = min(frames)
    count = max(frames) - first + 1
    tracks = []
    for member in _joined(path, people):
        points = np.zeros((count, len(skeleton), 3))
        for index, pose in member.items():
            points[index - first] = pose
        tracks.append(points)
    tracks.sort(key=lambda points: -float(points[..., 2].sum()))
    return tuple(_track(points, skeleton, fps, size, i) for i, points in enumerate(tracks))


def write_openpose_json(folder: PathLike, tracks: Sequence[PoseTrack], *, name: str = "pose") -> None:
    """A file `<name>_<frame>_keypoints.json` per frame, as OpenPose's --write_json makes them; folders are created.

    Coordinates come back exactly. Frame rate, size and who is who are not held: readers follow people by nearness.

    Raises:
        UsageError: a layout that is not OpenPose's; a folder that holds .json files already; see
            `pose_table.check_tracks`.
        CannotCreate, NotPermitted, OutputFailed: it cannot be written.
    """
    first = check_tracks(folder, tracks, "OpenPose")
    if first.skeleton.name not in ("openpose18", "openpose25", "openpose137"):
        raise UsageError(
            f"{folder}: OpenPose holds the layouts openpose18, openpose25 and openpose137, not {first.skeleton.name}"
        )
    out = make_folder(folder)
    if any(out.glob("*.json")):
        raise UsageError(f"{out}: holds .json files already, whose frames would mix with the new ones")
    parts = (("pose", 18),) if len(first.skeleton) == 18 else _PARTS
    for frame in range(len(first)):
        people = []
        for track in tracks:
            if not track.score[frame].any():
                continue
            points = np.concatenate((track.xy[frame], track.score[frame, :, None]), 1).astype(np.float64)
            person: dict[str, Any] = {"person_id": [-1]}
            for part, count in parts:
                person[f"{part}_keypoints_2d"] = points[:count].ravel().tolist()
                points = points[count:]
            people.append(person)
        write_json(out / f"{name}_{frame:012d}_keypoints.json", {"version": 1.3, "people": people})


_People = list[tuple[Path, str, Any]]  # file, place, the person's object


def _folder(folder: Path, problems: Problems | None) -> Iterator[tuple[int, _People]]:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise NoInput(f"{folder}: holds no .json files; name the folder OpenPose wrote with --write_json")
    found = [_FRAME.search(file.name) for file in files]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) < len(files):
        numbers = list(range(len(files)))
    order = sorted(zip(numbers, files, strict=True))
    for (a, _), (b, file) in pairwise(order):
        if b == a or b - a > 10_000:
            raise FormatError(
                file,
                f"frame number {b} after {a}",
                place="file name",
                expected="numbers that count up",
                remedy="keep one recording per folder",
            )
    for number, file in order:
        with each_row(problems):
            yield number, _people(file, "", read_json(file))


def _file(file: Path, problems: Problems | None) -> Iterator[tuple[int, _People]]:
    value = read_json(file)
    for number, frame in enumerate(value if isinstance(value, list) else [value]):
        with each_row(problems):
            yield number, _people(file, f"frame {number}, " if isinstance(value, list) else "", frame)


def _people(file: Path, place: str, frame: Any) -> _People:
    people = frame.get("people") if isinstance(frame, dict) else None
    if not isinstance(people, list) or len(people) > PERSON_LIMIT:
        raise FormatError(
            file,
            "no list 'people'" if not isinstance(people, list) else f"{len(people)} people",
            place=f"{place}top level",
            expected=f"OpenPose's JSON, at most {PERSON_LIMIT} people",
            remedy="name the output of OpenPose's --write_json",
        )
    return [(file, f"{place}person {i}", person) for i, person in enumerate(people)]


def _person(file: Path, place: str, person: Any) -> Matrix:
    if not isinstance(person, dict):
        raise FormatError(file, "not an object", place=place, remedy="write it again with OpenPose")
    parts = []
    for name, count in _PARTS:
        key = f"{name}_keypoints_2d"
        numbers = person.get(key, person.get(f"{name}_keypoints", []))  # version 1.0 had no suffix
        if not isinstance(numbers, list) or not all(type(n) in (int, float) for n in numbers):
            raise FormatError(file, f"'{key}' is not a list of numbers", place=place, remedy="write it again")
        if len(numbers) not in (0, 3 * count, *([54] if name == "pose" else [])):
            raise FormatError(
                file,
                f"'{key}' has {len(numbers)} numbers",
                place=place,
                expected=f"{3 * count} (x, y, confidence of {count} points)" + (" or 54" if name == "pose" else ""),
                remedy="use OpenPose's BODY_25 model",
            )
        points = np.array([_real(n) for n in numbers]).reshape(-1, 3)
        bad = np.flatnonzero(~_possible(points).all(1))
        if len(bad):
            raise FormatError(
                file,
                f"point {bad[0]} of '{key}' is out of range",
                place=place,
                expected="pixels and a confidence from 0 to 1",
                remedy="scale with --keypoint_scale 0 (pixels)",
            )
        parts.append(points)
    body, *rest = parts
    if len(body) == 18:
        return body  # layout COCO; its faces and hands have no layout here
    if not any(len(part) for part in rest):
        return body if len(body) else np.zeros((25, 3))
    whole = [p if len(p) else np.zeros((n, 3)) for p, (_, n) in zip(parts, _PARTS, strict=True)]
    return np.concatenate(whole)


def _joined(path: PathLike, people: dict[int, list[Matrix]]) -> list[dict[int, Matrix]]:
    """Persons as {frame: pose}, each pose joined to the nearest last one not farther away than a body is large."""
    tracks: list[dict[int, Matrix]] = []
    last: list[tuple[NDArray[np.float64], float]] = []  # centre and extent
    for index in sorted(people):
        seen = [pose[pose[:, 2] > 0, :2] for pose in people[index]]
        poses = [
            (pose, xy.mean(0), float(np.ptp(xy, 0).max()))
            for pose, xy in zip(people[index], seen, strict=True)
            if len(xy)
        ]
        pairs = sorted(
            (float(np.linalg.norm(centre - last[t][0])), p, t)
            for p, (_, centre, _) in enumerate(poses)
            for t in range(len(tracks))
        )
        taken: dict[int, int] = {}
        for distance, p, t in pairs:
            if p not in taken and t not in taken.values() and distance <= max(last[t][1], poses[p][2], 1.0):
                taken[p] = t
        for p, (pose, centre, extent) in enumerate(poses):
            t = taken.get(p, len(tracks))
            if t == len(tracks):
                tracks.append({})
                last.append((centre, extent))
            tracks[t][index] = pose
            last[t] = (centre, extent)
        if len(tracks) > PERSON_LIMIT:
            raise FormatError(
                path,
                f"more than {PERSON_LIMIT} persons come and go",
                place=f"frame {index}",
                expected=f"at most {PERSON_LIMIT}",
                remedy="split the recording",
            )
    return tracks
