"""What a command says, and where: data to stdout, talk to stderr.

Rich honours NO_COLOR, FORCE_COLOR and TERM=dumb; where stderr is no terminal, progress is a line every ten seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

Progress = Callable[[str, float, float], None]
"""`progress(stage, done, total)`: how far a stage has come, in any unit; a total of 0 means that it is unknown."""

SECONDS_BETWEEN_LINES = 10.0


@dataclass
class Settings:
    """Set anew by the options of every command."""

    quiet: bool = False
    debug: bool = False


settings = Settings()


def _set_quiet(value: bool) -> bool:
    settings.quiet = value
    return value


def _set_debug(value: bool) -> bool:
    settings.debug = value
    return value


Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=_set_quiet, help="Print data and errors only.")]
Debug = Annotated[bool, typer.Option("--debug", callback=_set_debug, help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, for machines.")]


def say(text: str) -> None:
    """Talk: one line to stderr, unless --quiet."""
    if not settings.quiet:
        print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """An error or a warning that matters: one line to stderr, even with --quiet."""
    print(text, file=sys.stderr, flush=True)


def data(text: str) -> None:
    """A result: one line to stdout."""
    print(text)


def data_json(value: Any) -> None:
    """A result as JSON; NaN and Infinity are refused because most readers refuse them."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], optional: Sequence[str] = ()) -> None:
    """Rows to stdout: a drawn table on a terminal, tab-separated lines with a header elsewhere.

    Where the terminal is too narrow, `optional` columns are left out, the first ones first.
    """
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(row))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    width = {name: max(len(row[i]) for row in (columns, *rows)) + 3 for i, name in enumerate(columns)}
    left_out = [name for i, name in enumerate(optional) if _too_wide(width, optional[:i], console.width)]
    drawn = Table(*(name for name in columns if name not in left_out), box=SIMPLE_HEAD)
    for row in rows:
        drawn.add_row(*(Text(cell) for name, cell in zip(columns, row, strict=True) if name not in left_out))
    console.print(drawn)
    if left_out:
        say(f"left out to fit: {', '.join(left_out)}; --json shows them")


def _too_wide(width: dict[str, int], left_out: Sequence[str], limit: int) -> bool:
    return sum(w for name, w in width.items() if name not in left_out) + 1 > limit


@contextmanager
def progress(wanted: bool = True) -> Iterator[Progress]:
    """A callback that shows how far the work has come: bars on a terminal, plain lines in a log, nothing if quiet."""
    if settings.quiet or not wanted:
        yield lambda stage, done, total: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines()
        return
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: float, total: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield show


class _Lines:
    """Progress for logs: the first and last news of a stage, and one line every ten seconds between them."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def __call__(self, stage: str, done: float, total: float) -> None:
        now = time.monotonic()
        finished = total > 0 and done >= total
        if stage in self._told and not finished and now - self._told[stage] < SECONDS_BETWEEN_LINES:
            return
        if self._told.get(stage) == float("inf"):
            return
        self._told[stage] = float("inf") if finished else now
        say(f"{stage}: {100 * done / total:.0f} %" if total > 0 else f"{stage}: {done:.0f}")
