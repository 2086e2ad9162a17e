"""Tables of text: a reader that checks them, and cells a spreadsheet cannot take for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from microgesture.core.durable import write_text
from microgesture.core.errors import FormatError
from microgesture.formats.source import PathLike, read_text

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


def write_table(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV file durably; the caller guards cells of free text."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    write_text(path, text.getvalue())


def read_table(path: PathLike, required: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file as (place, {column: cell}); commas or semicolons; blank lines are skipped.

    Raises:
        FormatError: not text, not a table, a required column is missing, a row has another number of cells.
    """
    text = read_text(path)
    first = text.split("\n", 1)[0]
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if ";" in first and "," not in first else ",", strict=True
    )
    try:
        header = [unguard(cell.strip()) for cell in next(rows, [])]
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
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise FormatError(
                    path,
                    f"{len(row)} cells",
                    place=f"line {rows.line_num}",
                    expected=f"{len(header)} as in the header",
                    remedy="quote cells that hold the separator",
                )
            yield f"line {rows.line_num}", {name: unguard(cell) for name, cell in zip(header, row, strict=True)}
    except csv.Error as error:
        raise FormatError(
            path, f"not a CSV table ({error})", place=f"line {rows.line_num}", remedy="save it again as CSV in UTF-8"
        ) from error
