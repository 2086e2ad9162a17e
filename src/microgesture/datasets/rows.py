"""Small tables that data sets are distributed with: rows of whole numbers, and lists of ids."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from microgesture.core.errors import CheckFailed, FormatError
from microgesture.datasets.prepare import Finding
from microgesture.formats.source import read_text

FILE_LIMIT = 5_000_000
"""Files and folders below a root; no data set has so many, a home folder may."""
_WHOLE = re.compile(r"[+-]?\d{1,15}(\.0*)?\Z", re.ASCII)


def whole_rows(path: Path, width: int, split: str = "") -> Iterator[tuple[int, tuple[int, ...]] | Finding]:
    """Rows of `width` whole numbers as (line, numbers); rows that are none come as findings.

    A first line of words is a header and passed over; empty cells count as -1. Line ends of Windows, a byte order mark
    and blanks around numbers do not matter.

    Raises:
        NoInput, NotPermitted, FormatError: the file cannot be read as text.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            good = len(cells) >= width and all(_WHOLE.match(cell) or not cell for cell in cells[:width])
            if good:
                yield rows.line_num, tuple(int(float(cell)) if cell else -1 for cell in cells[:width])
            elif not (rows.line_num == 1 and not any(_WHOLE.match(cell) for cell in cells)):
                shown = ",".join(cells)[:60]
                detail = f"{shown!r}; expected {width} whole numbers"
                yield Finding("refused", "the row cannot be read", str(path), f"line {rows.line_num}", detail, split)
    except csv.Error as error:
        raise FormatError(
            path, f"not a table ({error})", place=f"line {rows.line_num}", remedy="fetch the file again"
        ) from error


def walk(root: Path) -> tuple[list[Path], list[Path]]:
    """All folders and all files below a root, each sorted by path.

    Raises:
        PermissionError: the system refuses to list a folder.
    """
    folders, files = [], []

    def refuse(error: OSError) -> None:
        raise error

    for place, inner, names in os.walk(root, onerror=refuse, followlinks=True):
        folders += [Path(place, name) for name in inner]
        files += [Path(place, name) for name in names]
        if len(folders) + len(files) > FILE_LIMIT:
            raise CheckFailed(f"{root}: holds more than {FILE_LIMIT:,} files; name the folder of the data set itself")
    return sorted(folders), sorted(files)


def ids(text: str) -> frozenset[int]:
    """Numbers written as a list with ranges.

    Example:
        >>> sorted(ids("1,3-5"))
        [1, 3, 4, 5]
    """
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)
