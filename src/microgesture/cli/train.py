"""`microgesture train` and `microgesture test`: a system by its recipe, and how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microgesture.cli.console import Debug, Json, Quiet, data, data_json, progress, say, table

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Settings that replace the recipe's.")
]


def train(
    recipe: Annotated[Path, typer.Argument(readable=False, metavar="RECIPE", help="A YAML file under recipes/.")],
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(readable=False, help="Folder of the run; runs/<dataset>/<recipe> if not given.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a system by a recipe. Settings may be replaced: training.epochs=3, or --training.epochs 3.

    Example:  microgesture train recipes/utd_mhad/stgcnpp.yaml training.epochs=3
    """
    from microgesture.learning import runs

    with progress() as show:
        folder = runs.train(recipe, overrides or (), out, resume, tell=say, progress=show)
    data(str(folder))


def test(
    recipe_or_run: Annotated[
        Path, typer.Argument(readable=False, metavar="RECIPE|RUN", help="A recipe, or a folder of train.")
    ],
    overrides: Overrides = None,
    weights: Annotated[
        Path | None, typer.Option(readable=False, help="Folder of the model; the run's if not given.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which clips to measure on; test, or val where test labels are withheld.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(readable=False, help="Folder for test.json and predictions.npz; the run if not given."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure a trained system; the share of the most frequent class stands beside its accuracy.

    Example:  microgesture test recipes/simulated/imigue.yaml --json
    """
    from microgesture.learning import runs

    with progress() as show:
        record = runs.test(recipe_or_run, overrides or (), weights, split, out, show)
    if as_json:
        data_json(record)
        return
    simulated = ", simulated data" if record["simulated"] else ""
    say(f"{record['system']} on {record['dataset']}, split {record['split']}: {record['clips']} clips{simulated}")
    table(("metric", "value"), [[name, _shown(value)] for name, value in _flat(record["metrics"])])


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested figures as dotted names."""
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " to ".join(map(_shown, value)) if len(value) == 2 else ", ".join(map(_shown, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)
