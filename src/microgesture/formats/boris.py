"""Timelines as BORIS exports its events: a table with a START and a STOP row per segment (a "state event").

BORIS switches a behaviour of a subject on and off, so one subject cannot show the same behaviour twice at
once. Its aggregated export (one row with `Start (s)` and `Stop (s)`) is read as well.
Format: user guide of BORIS 8, "Export events" (boris.unito.it).
"""

from __future__ import annotations

import re

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.safe_csv import guard, read_table, write_table
from microgesture.formats.segments import Persons, Problems, each_row, label, milliseconds, number, segment, timeline
from microgesture.formats.source import PathLike

COLUMNS = (
    "Observation id",
    "Observation date",
    "Description",
    "Observation duration",
    "Observation type",
    "Source",
    "Time offset (s)",
    "Coding duration",
    "Media duration (s)",
    "FPS (frame/s)",
    "Subject",
    "Behavior",
    "Behavioral category",
    "Behavior type",
    "Time",
    "Media file name",
    "Comment",
)
_SCORE = re.compile(r"score (\S+)\Z")


def write_boris(line: Timeline, path: PathLike, *, media: str = "", fps: float | None = None) -> None:
    """Two rows per segment, in the order of time; the score stands in the comment of the START row.

    Args:
        media: name of the recording.
        fps: its frame rate, if known.

    Raises:
        UsageError: one person shows the same label twice at once.
    """
    events = start_stop(line, path)
    length, name = f"{line.duration:.3f}", guard(media)
    rows = [
        (
            *(name, "", "", length, "Media file(s)", name, "0.000", length, length, f"{fps:.3f}" if fps else ""),
            *(f"person {s.person}", guard(line.taxonomy[s.label].name), guard(line.taxonomy[s.label].group)),
            *(kind, f"{time / 1000:.3f}", name, f"score {s.score:.4f}" if kind == "START" else ""),
        )
        for time, _, s, kind in events
    ]
    write_table(path, COLUMNS, rows)


def start_stop(line: Timeline, path: PathLike) -> list[tuple[int, int, Segment, str]]:
    """(millisecond, 0 or 1, segment, "STOP" or "START") in the order of time; at one moment, stops come first.

    Raises:
        UsageError: one person shows the same label twice at once.
    """
    busy: dict[tuple[int, int], int] = {}
    events: list[tuple[int, int, Segment, str]] = []
    for s in line:
        start, end = milliseconds(s)
        if busy.get((s.person, s.label), 0) > start:
            raise UsageError(
                f"{path}: BORIS cannot hold '{line.taxonomy[s.label].name}' of person {s.person} twice at once, "
                f"at {start / 1000:.3f} s: merge overlapping segments of one label first"
            )
        busy[s.person, s.label] = end
        events += [(start, 1, s, "START"), (end, 0, s, "STOP")]
    events.sort(key=lambda event: event[:2])
    return events


def score_of(path: PathLike, place: str, comment: str) -> float:
    """The score in a comment `score 0.8731`; 1 in comments of other kinds."""
    found = _SCORE.match(comment.strip())
    return number(path, place, "score", found[1]) if found else 1.0


def unpaired(path: PathLike, place: str, problem: str) -> FormatError:
    """The `FormatError` for starts and stops that do not take turns."""
    return FormatError(
        path,
        problem,
        place=place,
        expected="START and STOP in turn for each subject and behavior",
        remedy="close unpaired events in BORIS (Observations > Fix unpaired events)",
    )


def read_boris(
    path: PathLike, taxonomy: Taxonomy, duration: float | None = None, *, problems: Problems | None = None
) -> Timeline:
    """Events of a BORIS table, tabular (START/STOP rows) or aggregated.

    Args:
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: naming the line, e.g. of a START without STOP or a point event.
    """
    rows = list(read_table(path, ("Subject", "Behavior", "Behavior type"), problems))
    persons = Persons(path, (row["Subject"] for _, row in rows))
    segments: list[Segment] = []
    begun: dict[tuple[int, int], tuple[str, float, float]] = {}
    for place, row in rows:
        with each_row(problems):
            meaning, person = label(path, place, taxonomy, row["Behavior"]), persons[row["Subject"]]
            key, kind = (person, meaning.id), row["Behavior type"].strip().upper()
            known = row.get("Media duration (s)", "").strip()
            if duration is None and known:
                duration = number(path, place, "Media duration (s)", known)
            if kind == "STATE" and "Start (s)" in row and "Stop (s)" in row:
                start, stop = (number(path, place, name, row[name]) for name in ("Start (s)", "Stop (s)"))
                segments.append(segment(path, place, start, stop, meaning, 1.0, person))
                continue
            if kind not in ("START", "STOP") or "Time" not in row:
                raise FormatError(
                    path,
                    f"a {kind[:20] or 'nameless'} event",
                    place=place,
                    expected="state events: START and STOP rows with a Time",
                    remedy="make the behavior a state event in the ethogram",
                )
            time = number(path, place, "Time", row["Time"])
            if (kind == "START") == (key in begun):
                what = "while it is going on" if kind == "START" else "without a START"
                raise unpaired(path, place, f"{kind} of '{meaning.name}' {what}")
            if kind == "START":
                begun[key] = (place, time, score_of(path, place, row.get("Comment", "")))
            else:
                _, start, grade = begun.pop(key)
                segments.append(segment(path, place, start, time, meaning, grade, person))
    for (_, id), (place, _, _) in begun.items():
        with each_row(problems):
            raise unpaired(path, place, f"START of '{taxonomy[id].name}' without a STOP")
    return timeline(path, segments, taxonomy, duration)
