"""`microgesture prepare`: data as distributed, verified and converted once into a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microgesture.cli.console import Debug, Json, Quiet, complain, data, data_json, progress, say, table
from microgesture.core.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from microgesture.datasets.prepare import Report


def prepare(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Which data set: see microgesture datasets.")],
    root: Annotated[Path, typer.Option(readable=False, help="Folder of the data as distributed.")],
    out: Annotated[Path, typer.Option(readable=False, help="Folder of the store.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Any deviation from the published data is an error.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever is in the folder.")] = False,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the data set, repeatable.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; one per core if not given.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Verify a data set and convert it into a store; goes on where it was interrupted.

    Ends with found and official numbers. The exit code is 1 if something in the data had to be refused.

    Example:  microgesture prepare imigue --root /data/imigue --out stores/imigue
    """
    from microgesture.datasets import prepare as prepared

    source = prepared.source_of(dataset, dict(pair(text) for text in option or ()))
    with progress() as show:
        report = prepared.prepare(source, root, out, strict=strict, fresh=fresh, workers=workers, progress=show)
    if as_json:
        data_json(_plain(report))
    else:
        _print(report)
        data(str(report.store))
    if report.refused:
        lines = "\n".join(f"  {line}" for line in report.summary("refused"))
        raise CheckFailed(f"{root}: {report.refused} things had to be refused; the store holds the rest\n{lines}")


def pair(text: str) -> tuple[str, str]:
    """Name and value of a `--set`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {text}: expected NAME=VALUE")
    return name.strip().replace("-", "_"), value.strip()


def _print(report: Report) -> None:
    columns = ("split", "recordings", "official", "clips", "official", "withheld")
    rows = [
        [
            split,
            *(_shown(row[key]) for key in ("recordings", "recordings_official", "clips", "clips_official", "withheld")),
        ]
        for split, row in report.rows.items()
    ]
    table(columns, rows)
    named = [split for split, (counts, official) in report.classes.items() if sum(counts) or official]
    if named:
        names = report.taxonomy.names
        both = [(report.classes[split][0], _official(report.classes[split][1], len(names))) for split in named]
        cells = [[f"{_shown(a[k])} / {_shown(b[k])}" for a, b in both] for k in range(len(names))]
        table(
            ("id", "class", *(f"{s} / official" for s in named)),
            [[str(k), names[k], *cells[k]] for k in range(len(names))],
        )
    for line in report.explained:
        say(line)
    for line in report.summary("missing", "quirk"):
        say(line)
    if report.simulated:
        complain("these data are simulated: they have the layout of the data set, and no person in them")


def _official(counts: list[int] | None, classes: int) -> list[int | None]:
    return [None] * classes if counts is None else list(counts)


def _shown(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _plain(report: Report) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "store": str(report.store),
        "simulated": report.simulated,
        "splits": dict(report.rows),
        "classes": {s: {"found": a, "official": b} for s, (a, b) in report.classes.items()},
        "explained": list(report.explained),
        "findings": [asdict(finding) for finding in report.findings],
        "refused": report.refused,
    }
