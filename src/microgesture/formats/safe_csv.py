"""Tables of text: a reader that checks them, and cells a spreadsheet cannot take for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from microgesture.core.durable import write_text
from microgesture.core.errors import FormatError
from microgesture.formats.segments import Problems, each_row
from microgesture.formats.source import PathLike, read_text

COLUMN_LIMIT = 200_000
"""Cells a line may have: 64 persons of 1,000 body parts."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def guard(text: str) -> str:
    """A cell that spreadsheets show as text: those that would run as a formula get an apostrophe.

    Example:
        >>> guard("=HYPERLINK(1)"), guard("neck")
        ("'=HYPERLINK(1)", 'neck')
    """
    return "'" + text if text.startswith((*_FORMULA, "'")) else text


def unguard(text: str) -> str:
    """What `guard` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith((*_FORMULA, "'")) else text


def write_table(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[str]], separator: str = ",") -> None:
    """Write a CSV file durably; the caller guards cells of free text."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n", delimiter=separator)
    table.writerow(header)
    table.writerows(rows)
    write_text(path, text.getvalue())


def separator_of(line: str) -> str:
    """What separates the cells of a header line: the comma, else the semicolon, else the tabulator."""
    return next((sign for sign in ",;\t" if sign in line), ",")


def read_rows(path: PathLike, separator: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """Rows of a table as (place, cells), the header among them; blank lines are skipped.

    Args:
        separator: by default, what the first line uses; see `separator_of`. Tabulators: quotes mean themselves.

    Raises:
        FormatError: not text, not a table.
    """
    text = read_text(path)
    separator = separator or separator_of(text.split("\n", 1)[0])
    stream = _lines(path, text, separator)
    if separator == "\t":
        rows = csv.reader(stream, delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)
    else:
        rows = csv.reader(stream, delimiter=separator, strict=True)
    try:
        for row in rows:
            if row:
                yield f"line {rows.line_num}", row
    except csv.Error as error:
        raise FormatError(
            path, f"not a CSV table ({error})", place=f"line {rows.line_num}", remedy="save it again as CSV in UTF-8"
        ) from error


def _lines(path: PathLike, text: str, separator: str) -> Iterator[str]:
    for i, line in enumerate(io.StringIO(text, newline=""), 1):
        if line.count(separator) >= COLUMN_LIMIT:
            raise FormatError(
                path,
                f"{line.count(separator) + 1:,} cells",
                place=f"line {i}",
                expected=f"at most {COLUMN_LIMIT:,}",
                remedy="check that this is the right file",
            )
        yield line


def read_table(
    path: PathLike, required: Sequence[str] = (), problems: Problems | None = None, separator: str | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file as (place, {column: cell}); commas, semicolons or tabulators; blank lines are skipped.

    Args:
        required: columns that must be there.
        problems: rows with another number of cells than the header go there and are left out.

    Raises:
        FormatError: not text, not a table, a required column is missing, a row has another number of cells.
    """
    rows = read_rows(path, separator)
    header = [unguard(cell.strip()) for cell in next(rows, ("", []))[1]]
    missing = [name for name in required if name not in header]
    if missing:
        raise FormatError(
            path,
            f"column {', '.join(repr(m) for m in missing)} is missing",
            place="line 1",
            expected=f"a header line with {', '.join(required)}",
            remedy="add the column, or check that this is the right file",
        )
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise FormatError(
            path, f"column {twice[:40]!r} occurs twice", place="line 1", remedy="rename or remove one of them"
        )
    for place, row in rows:
        with each_row(problems):
            if len(row) != len(header):
                raise FormatError(
                    path,
                    f"{len(row)} cells",
                    place=place,
                    expected=f"{len(header)} as in the header",
                    remedy="quote cells that hold the separator",
                )
        if len(row) == len(header):
            yield place, {name: unguard(cell) for name, cell in zip(header, row, strict=True)}
