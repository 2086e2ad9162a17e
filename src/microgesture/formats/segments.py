"""What all timeline files share: milliseconds, labels by name, persons by name, and refusing what cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite
from types import TracebackType

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.formats.source import EVENT_LIMIT, PathLike

TIME_LIMIT = 48 * 3600.0
"""Latest second a segment may end at."""
PERSON_LIMIT = 64
"""Persons a timeline may have."""

_NUMBER = re.compile(r"[+-]?(\d{1,18}(\.\d{0,25})?|\.\d{1,25})([eE][+-]?\d{1,3})?\Z", re.ASCII)
_PERSON = re.compile(r"person (\d{1,3})(?:\D|\Z)", re.ASCII | re.IGNORECASE)

Problems = list[FormatError]
"""Where readers put what they refuse, if they are given such a list: the row is left out and the next one is read."""


class each_row:
    """What is wrong inside the block ends the reading, or, with a list of problems, is added to it.

    Example:
        >>> found: Problems = []
        >>> for text in ("1", "x", "2"):
        ...     with each_row(found):
        ...         _ = number("t.csv", f"line {text}", "start", text)
        >>> [problem.place for problem in found]
        ['line x']
    """

    __slots__ = ("_problems",)

    def __init__(self, problems: Problems | None) -> None:
        self._problems = problems

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._problems is None or not isinstance(error, FormatError):
            return False
        self._problems.append(error)
        return True


def milliseconds(segment: Segment) -> tuple[int, int]:
    """Start and end as files hold them; a segment shorter than a millisecond keeps one."""
    start = round(segment.start * 1000)
    return start, max(round(segment.end * 1000), start + 1)


def rounded(timeline: Timeline) -> Timeline:
    """The timeline as it comes back from a file: times to milliseconds, scores to four decimals.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> rounded(Timeline((Segment(0.12345, 1.99999, 3, score=0.123456),), SMG, 10.0004)).segments
        (Segment(start=0.123, end=2.0, label=3, score=0.1235, person=0),)
    """
    segments = []
    for segment in timeline:
        start, end = milliseconds(segment)
        segments.append(replace(segment, start=start / 1000, end=end / 1000, score=round(segment.score, 4)))
    return replace(timeline, segments=tuple(segments), duration=round(timeline.duration, 3))


def number(path: PathLike, place: str, name: str, text: str) -> float:
    """A plain finite number. `FormatError` for NaN, infinity, `1_000` and words."""
    value = float(text) if _NUMBER.match(text.strip()) else float("nan")
    if not isfinite(value):
        raise FormatError(
            path,
            f"{name} is {_short(text)}",
            place=place,
            expected="a finite number such as 12.345",
            remedy="correct the value or remove the row",
        )
    return value


def person_number(path: PathLike, place: str, text: str) -> int:
    """A whole number from 0 to 63; see `number`."""
    value = number(path, place, "person", text)
    if value != int(value) or not 0 <= value < PERSON_LIMIT:
        whole = value == int(value)
        raise FormatError(
            path,
            f"person is {int(value) if whole else value}",
            place=place,
            expected=f"0 to {PERSON_LIMIT - 1}" if whole else "a whole number",
            remedy="number the persons from 0",
        )
    return int(value)


def label(path: PathLike, place: str, taxonomy: Taxonomy, text: str) -> Label:
    """The label a name, alias or code means in a taxonomy."""
    try:
        return taxonomy.find(text)
    except KeyError as error:
        raise FormatError(
            path,
            str(error.args[0]) if len(text) <= 80 else f"taxonomy '{taxonomy.key}' has no label {_short(text)}",
            place=place,
            remedy=f"use the class names of '{taxonomy.key}' or name the right taxonomy",
        ) from error


def segment(
    path: PathLike, place: str, start: float, end: float, label: Label, score: float = 1.0, person: int = 0
) -> Segment:
    """A segment of a file, its numbers checked."""
    if not 0 <= start < end:
        raise FormatError(
            path,
            f"the segment runs from {start:.3f} s to {end:.3f} s",
            place=place,
            expected="0 <= start < end",
            remedy="correct the times or remove the segment",
        )
    if end > TIME_LIMIT:
        raise FormatError(
            path,
            f"the segment ends at {end:.0f} s",
            place=place,
            expected="at most 48 h",
            remedy="check the unit: times are seconds",
        )
    if not 0 <= score <= 1:
        raise FormatError(
            path, f"score is {score:g}", place=place, expected="0 to 1", remedy="divide percentages by 100"
        )
    if not 0 <= person < PERSON_LIMIT:
        raise FormatError(
            path,
            f"person is {person}",
            place=place,
            expected=f"0 to {PERSON_LIMIT - 1}",
            remedy="number the persons from 0",
        )
    first = round(start * 1000)
    return Segment(first / 1000, max(round(end * 1000), first + 1) / 1000, label.id, score, person)


def timeline(
    path: PathLike, segments: Iterable[Segment], taxonomy: Taxonomy, duration: float | None = None
) -> Timeline:
    """A timeline of checked segments; a file that does not hold the duration gives that of its last segment."""
    held = tuple(segments)
    if len(held) > EVENT_LIMIT:
        raise too_many(path, len(held))
    last = max((s.end for s in held), default=0.0)
    if duration is not None and not 0 <= duration <= TIME_LIMIT:
        raise FormatError(
            path, f"duration is {duration:g} s", place="header", expected="0 to 48 h", remedy="correct it"
        )
    return Timeline(held, taxonomy, last if duration is None else duration)


def too_many(path: PathLike, count: int, limit: int | None = None) -> FormatError:
    """The `FormatError` for more segments than a timeline may have."""
    return FormatError(
        path,
        f"{count:,} segments",
        place="whole file",
        expected=f"at most {limit or EVENT_LIMIT:,}",
        remedy="split the recording",
    )


def raters(path: PathLike, line: Timeline | Mapping[str, Timeline]) -> tuple[Timeline, dict[str, Timeline]]:
    """One timeline as {"": timeline}, several as they are; the first stands for taxonomy and duration.

    Raises:
        UsageError: no rater, names that are empty or cannot be printed, or raters of different recordings.
    """
    if isinstance(line, Timeline):
        return line, {"": line}
    if not line:
        raise UsageError(f"{path}: no rater; give at least one")
    for name in line:
        if not name or name != name.strip() or not name.isprintable() or len(name) > 80:
            raise UsageError(f"{path}: rater {name[:40]!r}; expected a name of 1 to 80 letters, no blanks around it")
    first = next(iter(line.values()))
    for name, other in line.items():
        if other.taxonomy != first.taxonomy:
            raise UsageError(f"{path}: rater '{name}' uses '{other.taxonomy.key}', others '{first.taxonomy.key}'")
        if round(other.duration, 3) != round(first.duration, 3):
            raise UsageError(
                f"{path}: the recording of rater '{name}' lasts {other.duration:.3f} s, that of others"
                f" {first.duration:.3f} s; give all of them the same duration"
            )
    return first, dict(line)


def one_of(path: PathLike, found: Mapping[str, Timeline], rater: str | None) -> Timeline:
    """The timeline of the rater asked for, or of the only one there is."""
    if rater is None and len(found) == 1:
        return next(iter(found.values()))
    if rater is None or rater not in found:
        names = ", ".join(name[:40] or "(no name)" for name in list(found)[:20]) or "none"
        raise FormatError(
            path,
            f"holds {len(found)} raters" if rater is None else f"no rater {_short(rater)}",
            place="raters",
            expected=f"one of {names}",
            remedy="name one with rater= (--rater on the command line)",
        )
    return found[rater]


class Persons:
    """Numbers for the names of persons: `"person 3"` is 3, no name is 0, other names take the lowest free numbers."""

    def __init__(self, path: PathLike, names: Iterable[str]) -> None:
        self._numbers: dict[str, int] = {"": 0, "no focal subject": 0}
        plain = list(dict.fromkeys(name.strip() for name in names))
        others = []
        for name in plain:
            match = _PERSON.match(name)
            if match:
                self._numbers[name] = int(match[1])
            elif name.casefold() not in self._numbers:
                others.append(name)
        taken = {n for name, n in self._numbers.items() if name in plain}
        free = (n for n in range(len(taken) + len(others)) if n not in taken)
        for name in others:
            self._numbers[name] = next(free)
        if max(self._numbers.values()) >= PERSON_LIMIT:
            raise FormatError(
                path,
                f"person {max(self._numbers.values())} occurs",
                place="names of persons",
                expected=f"at most {PERSON_LIMIT} persons, numbered from 0",
                remedy="check the column or tier that names them",
            )

    def __getitem__(self, name: str) -> int:
        name = name.strip()
        return self._numbers[name.casefold() if name.casefold() in ("", "no focal subject") else name]


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
