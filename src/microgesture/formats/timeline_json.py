"""Timelines as JSON: the one format that holds everything a `Timeline` is."""

from __future__ import annotations

from typing import Any

from microgesture.core.errors import FormatError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import TAXONOMIES
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.safe_json import read_json, write_json
from microgesture.formats.segments import Problems, each_row, milliseconds, segment, timeline
from microgesture.formats.source import PathLike

FORMAT, VERSION = "microgesture-timeline", 1


def write_timeline_json(line: Timeline, path: PathLike, *, media: str | None = None) -> None:
    """Segments with names and ids, the taxonomy with its digest, the duration; times in seconds.

    Args:
        media: name of the recording, for the reader's eyes.
    """
    rows = []
    for s in line:
        start, end = milliseconds(s)
        rows.append(
            {
                "start": start / 1000,
                "end": end / 1000,
                "label": line.taxonomy[s.label].name,
                "id": s.label,
                "score": round(s.score, 4),
                "person": s.person,
            }
        )
    value = {
        "format": FORMAT,
        "version": VERSION,
        "media": media,
        "taxonomy": {"key": line.taxonomy.key, "digest": line.taxonomy.digest},
        "duration": round(line.duration, 3),
        "segments": rows,
    }
    write_json(path, value)


def read_timeline_json(
    path: PathLike, taxonomy: Taxonomy | None = None, *, problems: Problems | None = None
) -> Timeline:
    """Read what `write_timeline_json` wrote.

    Args:
        taxonomy: expected label space; by default the one of ours that the file names.
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: naming the segment; also if the label space differs.
    """
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
        raise FormatError(
            path,
            "not a timeline",
            place="top level",
            expected=f'"format": "{FORMAT}", "version": {VERSION}',
            remedy="name a timeline.json written by analyze",
        )
    named = _field(path, "top level", value, "taxonomy", dict)
    key = _field(path, "taxonomy", named, "key", str)
    if taxonomy is None:
        taxonomy = TAXONOMIES.get(key)
    if taxonomy is None or key != taxonomy.key or named.get("digest") != taxonomy.digest:
        raise FormatError(
            path,
            f"the label space is '{key[:40]}'" + (" in another version" if taxonomy and key == taxonomy.key else ""),
            place="taxonomy",
            expected=f"'{taxonomy.key}'" if taxonomy else f"one of {', '.join(TAXONOMIES)}",
            remedy="name the taxonomy the file was written with",
        )
    segments: list[Segment] = []
    for i, row in enumerate(_field(path, "top level", value, "segments", list)):
        place = f"segment {i}"
        with each_row(problems):
            if not isinstance(row, dict):
                raise FormatError(path, "not an object", place=place, remedy="restore the file")
            id, person = (_field(path, place, row, name, int) for name in ("id", "person"))
            if not 0 <= id < len(taxonomy) or row.get("label") != taxonomy[id].name:
                raise FormatError(
                    path,
                    f"id {str(id)[:20]} and label {str(row.get('label'))[:40]!r} do not belong together",
                    place=place,
                    expected=f"a class of '{taxonomy.key}'",
                    remedy="correct one of them",
                )
            numbers = (float(_field(path, place, row, name, (int, float))) for name in ("start", "end", "score"))
            start, end, score = numbers
            segments.append(segment(path, place, start, end, taxonomy[id], score, person))
    return timeline(path, segments, taxonomy, float(_field(path, "top level", value, "duration", (int, float))))


def _field(path: PathLike, place: str, row: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    value = row.get(name)
    whole_too_long = isinstance(value, int) and abs(value) > 10**15  # beyond float
    if isinstance(value, bool) or not isinstance(value, kind) or whole_too_long:
        words = {str: "text", int: "a whole number", list: "a list", dict: "an object"}
        raise FormatError(
            path,
            f"'{name}' is {'missing' if name not in row else 'not ' + words.get(kind, 'a number')}",  # type: ignore[arg-type]
            place=place,
            expected=words.get(kind, "a number"),  # type: ignore[arg-type]
            remedy="restore the file or write it again",
        )
    return value
