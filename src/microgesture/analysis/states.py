"""Annotated states of a recording, e.g. relaxed and stressed: stretches of time with a name."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path

from microgesture.core.errors import FormatError
from microgesture.formats.source import read_text

LIMIT = 10_000
"""Stretches a file may hold."""


@dataclass(frozen=True, order=True)
class State:
    """A stretch `[start, end)` in seconds, with the name of the state."""

    start: float
    end: float
    name: str

    def __post_init__(self) -> None:
        if not (isfinite(self.start) and isfinite(self.end) and 0 <= self.start < self.end):
            raise ValueError(f"state '{self.name}' [{self.start}, {self.end}) is empty, negative or not finite")


def read_states(path: str | Path) -> tuple[State, ...]:
    """States from a CSV file with the columns `start`, `end` (seconds) and `state`.

    Raises:
        NoInput, NotPermitted, FormatError: the file cannot be read, a column is missing, a time is no number,
            a stretch is empty, or stretches overlap.
    """
    rows = csv.DictReader(io.StringIO(read_text(path)))
    expected = "the columns start, end (seconds) and state"
    try:
        columns = {c.strip().casefold(): c for c in rows.fieldnames or () if c}
        missing = [c for c in ("start", "end", "state") if c not in columns]
        if missing:
            raise FormatError(path, f"column '{missing[0]}' is missing", place="line 1", expected=expected)
        found: list[State] = []
        for row in rows:
            place = f"line {rows.line_num}"
            start, end, name = ((row[columns[c]] or "").strip() for c in ("start", "end", "state"))
            if not name:
                raise FormatError(path, "the state has no name", place=place, expected=expected)
            try:
                found.append(State(float(start), float(end), name))
            except ValueError as error:
                problem = f"'{start}' to '{end}' is no stretch of time"
                raise FormatError(path, problem, place=place, expected="seconds with 0 <= start < end") from error
            if len(found) > LIMIT:
                raise FormatError(path, f"more than {LIMIT:,} states", remedy="keep the states you compare")
    except csv.Error as error:
        raise FormatError(path, f"not a CSV file ({error})", expected=expected) from error
    found.sort()
    for a, b in pairwise(found):
        if b.start < a.end:
            raise FormatError(
                path,
                f"states '{a.name}' and '{b.name}' overlap at {b.start:g} s",
                remedy="give every moment at most one state",
            )
    return tuple(found)
