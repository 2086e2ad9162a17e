"""Timelines as a plain CSV table, one row per segment. Times are seconds with milliseconds."""

from __future__ import annotations

from microgesture.core.errors import FormatError
from microgesture.core.segment import Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.safe_csv import guard, read_table, write_table
from microgesture.formats.segments import (
    Problems,
    each_row,
    label,
    milliseconds,
    number,
    person_number,
    segment,
    timeline,
)
from microgesture.formats.source import PathLike

COLUMNS = ("start_s", "end_s", "duration_s", "label", "label_id", "group", "score", "person")


def write_csv(line: Timeline, path: PathLike) -> None:
    """One row per segment; an empty timeline is a header without rows. The duration of the recording is not held."""

    def rows() -> list[tuple[str, ...]]:
        table = []
        for s in line:
            start, end = milliseconds(s)
            meaning = line.taxonomy[s.label]
            times = (f"{ms / 1000:.3f}" for ms in (start, end, end - start))
            name, group = guard(meaning.name), guard(meaning.group)
            table.append((*times, name, str(s.label), group, f"{s.score:.4f}", str(s.person)))
        return table

    write_table(path, COLUMNS, rows())


def read_csv(
    path: PathLike, taxonomy: Taxonomy, duration: float | None = None, *, problems: Problems | None = None
) -> Timeline:
    """Columns `start_s`, `end_s` and `label` are needed; `label_id`, `score` and `person` are used if present.

    Args:
        duration: length of the recording in seconds; the end of the last segment if not given.
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: naming the line.
    """
    segments = []
    for place, row in read_table(path, ("start_s", "end_s", "label"), problems):
        with each_row(problems):
            meaning = label(path, place, taxonomy, row["label"])
            if row.get("label_id", "") and number(path, place, "label_id", row["label_id"]) != meaning.id:
                raise FormatError(
                    path,
                    f"label_id {row['label_id'][:20]} is not '{meaning.name}' in taxonomy '{taxonomy.key}'",
                    place=place,
                    expected=str(meaning.id),
                    remedy="name the right taxonomy, or remove the column label_id",
                )
            person = person_number(path, place, row.get("person") or "0")
            start, end = (number(path, place, name, row[name]) for name in ("start_s", "end_s"))
            score = number(path, place, "score", row.get("score") or "1")
            segments.append(segment(path, place, start, end, meaning, score, person))
    return timeline(path, segments, taxonomy, duration)
