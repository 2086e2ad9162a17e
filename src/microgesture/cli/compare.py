"""`microgesture compare`: results beside each other and beside published figures."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from microgesture.cli.console import Debug, Json, Quiet, data_json, say, table
from microgesture.core.errors import UsageError


def compare(
    results: Annotated[
        list[Path] | None, typer.Argument(readable=False, metavar="RESULTS...", help="Runs, or files test.json.")
    ] = None,
    like: Annotated[
        str,
        typer.Option(help="survey: the tables of the field's survey, with published figures in blocks of their own."),
    ] = "",
    dataset: Annotated[str | None, typer.Option(help="Only the figures of this data set.")] = None,
    metric: Annotated[str | None, typer.Option(help="Sort and test by it, e.g. top1 or ma52.f1_mean.")] = None,
    out: Annotated[
        Path | None, typer.Option(readable=False, help="Folder for comparison.md, comparison.tex and comparison.html.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare results: seeds are pooled, the majority floor is shown, simulated data are marked.

    Example:  microgesture compare runs/imigue/stgcnpp --like survey --dataset imigue --out tables
    """
    if like not in ("", "survey"):
        raise UsageError(f"--like {like} is unknown; choose survey, or leave it out")
    from microgesture.core.durable import make_folder, write_text
    from microgesture.evaluation.comparison import compare as tables_of
    from microgesture.evaluation.comparison import read_result
    from microgesture.evaluation.tables import html, latex, markdown

    options = {"--like": like, "--dataset": dataset, "--metric": metric}
    words = [*map(str, results or ()), *(w for name, value in options.items() if value for w in (name, value))]
    command = shlex.join(["microgesture", "compare", *words])
    read = [read_result(path) for path in results or ()]
    tables = tables_of(read, command=command, survey=like == "survey", dataset=dataset, metric=metric)
    if out is not None:
        folder = make_folder(out)
        for name, written in (("md", markdown(tables)), ("tex", latex(tables)), ("html", html(tables))):
            write_text(folder / f"comparison.{name}", written)
    if as_json:
        data_json([asdict(t) for t in tables])
        return
    for t in tables:
        say(f"{t.title}. {t.caption}")
        columns = ("block", *t.columns)
        rows = [[block.heading, *row.cells] for block in t.blocks for row in block.rows]
        table(columns, rows, (t.columns[-1], t.columns[1]))
        for note in t.notes:
            say(note)
