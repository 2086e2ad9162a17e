"""Which format a timeline file has, and reading and writing it whatever it is.

| kind        | file                                                | holds beside the segments      |
|-------------|-----------------------------------------------------|--------------------------------|
| `csv`       | .csv with `start_s`                                 |                                |
| `boris-csv` | .csv or .tsv with `Behavior type`; written to `*boris.csv` | the duration, if not empty |
| `events`    | .tsv with `onset` (BIDS)                            |                                |
| `json`      | .json of this package                               | the duration, the label space  |
| `boris`     | .boris, or .json with `behaviors_conf`              | the duration, raters           |
| `eaf`       | .eaf (ELAN)                                         | the duration, raters           |
| `vtt`       | .vtt                                                | the duration                   |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.boris import read_boris, write_boris
from microgesture.formats.boris_project import read_boris_project_raters, write_boris_project
from microgesture.formats.eaf import read_eaf_raters, write_eaf
from microgesture.formats.events_tsv import read_events, write_events
from microgesture.formats.safe_csv import separator_of, unguard
from microgesture.formats.safe_json import parse_json
from microgesture.formats.segments import Problems, one_of, rounded
from microgesture.formats.source import PathLike, check_file, read_text
from microgesture.formats.timeline_csv import read_csv, write_csv
from microgesture.formats.timeline_json import FORMAT, read_timeline_json, write_timeline_json
from microgesture.formats.webvtt import read_vtt, write_vtt

KINDS = ("csv", "boris-csv", "events", "json", "boris", "eaf", "vtt")
WITH_RATERS = ("eaf", "boris")
"""Kinds that hold several raters."""

_WITH_DURATION = ("json", "boris", "eaf", "vtt")
_OF_SUFFIX = {".eaf": "eaf", ".vtt": "vtt", ".boris": "boris", ".json": "json", ".csv": "csv", ".tsv": "events"}
_HEAD = 64 << 10


def first_line(path: PathLike) -> str:
    """The first line of a file, as far as it is text; at most 64 KiB of it.

    Raises:
        NoInput, NotPermitted, FormatError: see `source.check_file`.
    """
    with check_file(path).open("rb") as file:
        head = file.read(_HEAD)
    lines = head.decode("utf-8-sig", "replace").lstrip("\r\n").splitlines()
    return lines[0] if lines else ""


def header_of(path: PathLike) -> list[str]:
    """The cells of the first line of a table."""
    line = first_line(path)
    return [unguard(cell.strip().strip('"')) for cell in line.split(separator_of(line))]


def timeline_kind(path: PathLike) -> str | None:
    """The kind of a timeline file (see above) by its suffix and, where several share one, its content; None for others.

    Raises:
        NoInput, NotPermitted, FormatError: it cannot be opened, is empty or is broken JSON.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".csv", ".tsv"):
        header = header_of(path)
        if "start_s" in header:
            return "csv"
        if "Behavior type" in header:
            return "boris-csv"
        return "events" if "onset" in header and suffix == ".tsv" else None
    if suffix == ".json" and not Path(path).is_dir():
        text = read_text(path)  # words tell the kind without parsing what the reader parses again
        if '"behaviors_conf"' in text or f'"{FORMAT}"' in text:
            return "boris" if '"behaviors_conf"' in text else "json"
        if '"people"' not in text:
            parse_json(path, text)
        return None
    return _OF_SUFFIX.get(suffix)


def read_timeline(
    path: PathLike,
    taxonomy: Taxonomy | None,
    *,
    rater: str | None = None,
    fps: float | None = None,
    problems: Problems | None = None,
) -> Timeline:
    """A timeline in any of the formats.

    Args:
        taxonomy: its label space; None only for `json`, which states its own.
        rater: whose segments, where the file holds several raters.
        fps: frame rate of a project of BORIS whose events have a frame but no time, if it does not say it.
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: not a timeline; naming the place; several raters, and none named.
        UsageError: no taxonomy.
    """
    return one_of(path, read_raters(path, taxonomy, fps=fps, problems=problems), rater)


def read_raters(
    path: PathLike, taxonomy: Taxonomy | None, *, fps: float | None = None, problems: Problems | None = None
) -> dict[str, Timeline]:
    """One timeline per rater; formats without raters give one, `""`. Arguments and errors as `read_timeline`."""
    kind = timeline_kind(path)
    if kind is None:
        raise FormatError(
            path,
            "not a timeline",
            expected="CSV with start_s, events.tsv, JSON of this package, ELAN, WebVTT or BORIS",
            remedy="check that this is the right file",
        )
    if kind == "json":
        return {"": read_timeline_json(path, taxonomy, problems=problems)}
    if taxonomy is None:
        raise UsageError(f"{path}: the file does not say its label space; name it with --taxonomy")
    if kind == "eaf":
        return read_eaf_raters(path, taxonomy, problems=problems)
    if kind == "boris":
        return read_boris_project_raters(path, taxonomy, fps=fps, problems=problems)
    read = {"csv": read_csv, "boris-csv": read_boris, "events": read_events, "vtt": read_vtt}[kind]
    return {"": read(path, taxonomy, problems=problems)}


def kind_to_write(path: PathLike) -> str | None:
    """The kind that a name asks for: by its suffix, and `boris-csv` for names that end with `boris.csv`."""
    name = Path(path).name.lower()
    return "boris-csv" if name.endswith("boris.csv") else _OF_SUFFIX.get(Path(name).suffix)


def write_timeline(
    line: Timeline | Mapping[str, Timeline],
    path: PathLike,
    *,
    kind: str | None = None,
    media: PathLike | None = None,
    fps: float | None = None,
) -> None:
    """Write a timeline, or one per rater where the format holds them.

    Args:
        kind: one of `KINDS`; by default what the name asks for.
        media, fps: the recording and its frame rate, for the formats that name them.

    Raises:
        UsageError: a name that asks for no format, several raters for a format that holds one, and what the writers
            refuse.
        CannotCreate, NotPermitted, OutputFailed, FormatError: see the writers.
    """
    kind = kind or kind_to_write(path)
    if kind not in KINDS:
        raise UsageError(f"{path}: no format of timelines; name a file with {', '.join(_OF_SUFFIX)}")
    if kind == "eaf":
        write_eaf(line, path, media=media)
        return
    if kind == "boris":
        write_boris_project(line, path, media=media, fps=fps)
        return
    if not isinstance(line, Timeline):
        raise UsageError(f"{path}: {kind} holds one rater; write .eaf or .boris, or name a rater")
    name = os.fspath(media) if media is not None else ""
    if kind == "csv":
        write_csv(line, path)
    elif kind == "events":
        write_events(line, path)
    elif kind == "vtt":
        write_vtt(line, path)
    elif kind == "json":
        write_timeline_json(line, path, media=name or None)
    else:
        write_boris(line, path, media=name, fps=fps)


def not_held(line: Timeline, kind: str) -> list[str]:
    """What a format cannot hold of a timeline, in words."""
    lost = []
    last = max((s.end for s in line), default=0.0)
    if kind not in _WITH_DURATION and not (kind == "boris-csv" and len(line)) and round(line.duration - last, 3) > 0:
        lost.append(f"the duration of the recording ({line.duration:.3f} s)")
    if rounded(line) != line:
        lost.append("more than milliseconds, and more than 4 decimals of a score")
    return lost
