"""`microgesture systems` and `microgesture datasets`: the survey's tables. Neither imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from microgesture.cli.console import Debug, Json, Quiet, data_json, table
from microgesture.core.errors import UsageError

STATUSES = ("planned", "available")
Status = Annotated[str, typer.Option(help=f"Only those with this status: {' or '.join(STATUSES)}.")]


def systems(status: Status = "", as_json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """List the systems of the survey: what each is, how faithful our version is, whether it is there yet.

    Example:  microgesture systems --status available
    """
    from microgesture.systems.catalogue import SYSTEMS

    columns = ("key", "title", "venue", "year", "paradigm", "task", "fidelity", "status")
    _list(list(SYSTEMS.values()), columns, ("title", "venue", "paradigm"), status, as_json)


def datasets(status: Status = "", as_json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """List the data sets of the survey: people, clips, how one gets it, and whether a reader is there yet.

    Example:  microgesture datasets --json
    """
    from microgesture.datasets.catalogue import DATASETS

    columns = ("key", "title", "venue", "year", "subjects", "clips", "modalities", "emotion", "access", "status")
    _list(list(DATASETS.values()), columns, ("title", "emotion", "modalities", "access"), status, as_json)


def _list(infos: Sequence[Any], columns: Sequence[str], optional: Sequence[str], status: str, as_json: bool) -> None:
    if status and status not in STATUSES:
        raise UsageError(f"unknown status '{status}'; known: {', '.join(STATUSES)}")
    chosen = [info for info in infos if status in ("", info.status)]
    if as_json:
        data_json([asdict(info) for info in chosen])
    else:
        table(columns, [[_cell(getattr(info, column)) for column in columns] for info in chosen], optional)


def _cell(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
