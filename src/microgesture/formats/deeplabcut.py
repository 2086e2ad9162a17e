"""Tables of DeepLabCut: header rows `scorer`, `individuals` (several animals or people), `bodyparts`, `coords`.

The first column counts the frames from 0; x, y and likelihood of each body part follow, in pixels; empty cells or NaN
are missing. Tables without likelihood are labels by hand and count as 1. The rows of the header were checked against
public tables and the wiki of an exporter; DeepLabCut's own code was not read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from microgesture.core.errors import FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.formats.pose_table import Points, check_tracks, frame_number, point, text_of, tracks_of
from microgesture.formats.safe_csv import guard, read_rows, unguard, write_table
from microgesture.formats.segments import Persons, Problems, each_row
from microgesture.formats.source import PathLike

SCORER = "microgesture"
_LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_PARTS = ("x", "y", "likelihood")
JOINT_LIMIT = 1_000
"""Body parts of a table."""


def write_deeplabcut(path: PathLike, tracks: Sequence[PoseTrack]) -> None:
    """One row per frame, body parts under the names of the joints; one person alone is written without `individuals`.

    Time stamps, frame rate and size of the picture are not held.

    Raises:
        UsageError: see `pose_table.check_tracks`.
    """
    first = check_tracks(path, tracks, "a table of DeepLabCut")
    columns = [(f"person {t.person}", joint, part) for t in tracks for joint in t.skeleton.joints for part in _PARTS]
    alone = len(tracks) == 1 and first.person == 0
    header = [
        ["scorer", *(SCORER for _ in columns)],
        *([] if alone else [["individuals", *(name for name, _, _ in columns)]]),
        ["bodyparts", *(guard(joint) for _, joint, _ in columns)],
        ["coords", *(part for _, _, part in columns)],
    ]
    rows = []
    for frame in range(len(first)):
        cells = [str(frame)]
        for track in tracks:
            for (x, y), score in zip(track.xy[frame], track.score[frame], strict=True):
                cells += [text_of(x), text_of(y), text_of(score)] if score > 0 else ["", "", ""]
        rows.append(cells)
    write_table(path, header[0], [*header[1:], *rows])


def read_deeplabcut(
    path: PathLike,
    *,
    fps: float,
    size: tuple[int, int] | None = None,
    skeleton: Skeleton | None = None,
    problems: Problems | None = None,
) -> tuple[PoseTrack, ...]:
    """The persons of a table; frames that are left out have score 0.

    Args:
        fps: frames per second of the video, which the table does not hold.
        size: (width, height) of the video, which it does not hold either.
        skeleton: layout whose joints the body parts are. By default the one of ours that has exactly these joints, or
            else a layout `deeplabcut` of the body parts as they come, without bones.
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: naming line and body part.
    """
    rows = read_rows(path)
    header: dict[str, list[str]] = {}
    first: tuple[str, list[str]] | None = None
    for place, row in rows:
        level = row[0].strip().lower()
        if level not in _LEVELS:
            first = (place, row)
            break
        header[level] = [unguard(cell.strip()) for cell in row[1:]]
    columns = _columns(path, header)
    layout = _layout(path, [part for _, part, _ in columns], skeleton)
    persons = Persons(path, (name for name, _, _ in columns))
    width = len(header["coords"])
    people: dict[int, dict[int, Points]] = {persons[name]: {} for name, _, _ in columns}
    for place, row in ([first] if first else []) + list(rows):
        with each_row(problems):
            if len(row) != width + 1:
                expected, remedy = f"{width + 1} as in the header", "export it again"
                raise FormatError(path, f"{len(row)} cells", place=place, expected=expected, remedy=remedy)
            frame = frame_number(path, place, row[0])
            if any(frame in own for own in people.values()):
                raise FormatError(path, f"frame {frame} occurs twice", place=place, remedy="remove one of them")
            poses = {person: np.zeros((len(layout), 3)) for person in people}
            for name, part, where in columns:
                joint = layout.index(part)
                poses[persons[name]][joint] = point(path, place, part, [row[1 + i] for i in where])
            for person, pose in poses.items():
                people[person][frame] = pose
    return tracks_of(path, people, layout, fps, size or (0, 0))


def _columns(path: PathLike, header: dict[str, list[str]]) -> list[tuple[str, str, list[int]]]:
    """(individual, body part, [column of x, of y, of the likelihood if there is one]) from the header."""
    missing = [level for level in ("scorer", "bodyparts", "coords") if level not in header]
    if missing or len({len(row) for row in header.values()}) != 1:
        raise FormatError(
            path,
            f"header row {missing[0]!r} is missing" if missing else "header rows of different lengths",
            place="header",
            expected="rows that begin with scorer, (individuals,) bodyparts and coords",
            remedy="name the .csv that DeepLabCut's analyze_videos wrote",
        )
    bodyparts, coords = header["bodyparts"], [cell.lower() for cell in header["coords"]]
    names = header.get("individuals", [""] * len(coords))
    found: dict[tuple[str, str], dict[str, int]] = {}
    for i, (name, bodypart, part) in enumerate(zip(names, bodyparts, coords, strict=True)):
        own = found.setdefault((name, bodypart), {})
        if part not in _PARTS or not bodypart or part in own:
            raise FormatError(
                path,
                f"coordinate {part[:20]!r} of {bodypart[:40]!r}" + (" occurs twice" if part in own else ""),
                place=f"header, column {i + 2}",
                expected="x, y and likelihood of each body part",
                remedy="export it again, 2-D and without edits",
            )
        own[part] = i
    lonely = next((key for key, own in found.items() if not {"x", "y"} <= own.keys()), None)
    if lonely or not found or len(found) > JOINT_LIMIT:
        raise FormatError(
            path,
            f"half of {lonely[1][:40]!r} is missing" if lonely else f"{len(found):,} body parts",
            place="header",
            expected=f"x and y of 1 to {JOINT_LIMIT:,} body parts",
            remedy="export it again",
        )
    return [(name, bodypart, [own[p] for p in _PARTS if p in own]) for (name, bodypart), own in found.items()]


def _layout(path: PathLike, bodyparts: Sequence[str], wanted: Skeleton | None) -> Skeleton:
    joints = tuple(dict.fromkeys(bodyparts))
    if wanted is None:
        own = (s for s in SKELETONS.values() if set(s.joints) == set(joints))
        return next(own, None) or Skeleton("deeplabcut", joints, ())
    foreign = [joint for joint in joints if joint not in wanted]
    if foreign:
        raise FormatError(
            path,
            f"body part {foreign[0][:40]!r} is no joint of layout '{wanted.name}'",
            place="header",
            expected=", ".join(wanted.joints[:8]) + ", ...",
            remedy="rename the body parts, or name no layout",
        )
    return wanted
