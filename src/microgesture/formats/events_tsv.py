"""Timelines as `events.tsv` of BIDS: onset and duration in seconds, `trial_type`, score and person.

Tabulators separate, `n/a` stands for what is missing. A JSON file of the same name describes the columns; its `Levels`
are the labels. Format: BIDS specification, "Task events" and "Tabular files" (bids-specification.readthedocs.io).
"""

from __future__ import annotations

from pathlib import Path

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.safe_csv import guard, read_table, write_table
from microgesture.formats.safe_json import read_json, write_json
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

COLUMNS = ("onset", "duration", "trial_type", "score", "person")
MISSING = "n/a"


def write_events(line: Timeline, path: PathLike, *, describe: bool = True) -> None:
    """One row per segment in the order of time. The duration of the recording is not held.

    Args:
        describe: write the description of the columns beside it, too.

    Raises:
        UsageError: what stands in the description's place is something else.
    """
    table = Path(path)
    beside = table.with_suffix(".json")
    if describe and (beside == table or (beside.exists() and not _describes_events(beside))):
        raise UsageError(f"{beside}: exists and does not describe events; give the .tsv another name")
    rows = []
    for s in line:
        start, end = milliseconds(s)
        name = line.taxonomy[s.label].name
        rows.append(
            (f"{start / 1000:.3f}", f"{(end - start) / 1000:.3f}", guard(name), f"{s.score:.4f}", str(s.person))
        )
    write_table(table, COLUMNS, rows, separator="\t")
    if describe:
        write_json(beside, _description(line.taxonomy))


def _description(taxonomy: Taxonomy) -> dict[str, object]:
    return {
        "onset": {"Description": "Start of the micro-gesture", "Units": "s"},
        "duration": {"Description": "Length of the micro-gesture", "Units": "s"},
        "trial_type": {
            "LongName": "Micro-gesture",
            "Description": f"Class in the label space {taxonomy.key}",
            "Levels": {guard(meaning.name): meaning.group for meaning in taxonomy},
        },
        "score": {"Description": "Probability of the class, 1 for human annotation"},
        "person": {"Description": "Number of the person in the recording, from 0"},
    }


def _describes_events(path: Path) -> bool:
    try:
        value = read_json(path)
    except FormatError:
        return False
    return isinstance(value, dict) and isinstance(value.get("trial_type"), dict)


def read_events(
    path: PathLike, taxonomy: Taxonomy, duration: float | None = None, *, problems: Problems | None = None
) -> Timeline:
    """Columns `onset`, `duration` and `trial_type` are needed; `score` and `person` are used if present.

    Args:
        duration: length of the recording in seconds; the end of the last segment if not given.
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: naming the line, e.g. of an event without a duration.
    """
    segments = []
    for place, row in read_table(path, COLUMNS[:3], problems, separator="\t"):
        with each_row(problems):
            given = {name: "" if cell.strip() == MISSING else cell for name, cell in row.items()}
            length = number(path, place, "duration", given["duration"]) if given["duration"] else 0.0
            if length == 0:
                raise FormatError(
                    path,
                    f"a point event (duration {row['duration'][:20] or 'empty'})",
                    place=place,
                    expected="a duration above 0 s",
                    remedy="give the event its duration, or remove the row",
                )
            onset = number(path, place, "onset", row["onset"])
            meaning = label(path, place, taxonomy, row["trial_type"])
            score = number(path, place, "score", given.get("score") or "1")
            person = person_number(path, place, given.get("person") or "0")
            segments.append(segment(path, place, onset, onset + length, meaning, score, person))
    return timeline(path, segments, taxonomy, duration)
