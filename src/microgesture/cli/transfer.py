"""`microgesture transfer`: what a model trained on one data set is worth on another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microgesture.cli.console import Debug, Json, Quiet, data_json, say, table
from microgesture.core.errors import UsageError

PROTOCOLS = ("zero-shot", "probe", "knn", "k-shot", "fine-tune", "joint")


def transfer(
    source: Annotated[
        Path,
        typer.Argument(readable=False, metavar="RUN", help="Model: a folder of train, or a name; for joint a recipe."),
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Settings that replace the recipe's.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(readable=False, metavar="RECIPE", help="Recipe that names the target data.")
    ] = None,
    protocol: Annotated[str, typer.Option(help=", ".join(PROTOCOLS) + ".")] = "zero-shot",
    shots: Annotated[str, typer.Option(help="Training clips per class, for k-shot.")] = "1,5,10,20",
    seeds: Annotated[str, typer.Option(help="Of k-shot, fine-tune and joint.")] = "0,1,2",
    split: Annotated[
        str | None, typer.Option(help="Which clips to measure on; test if not given, val where it has no labels.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(readable=False, help="Folder of the record; runs/transfer/... if not given.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Carry a model over to another data set. What was interrupted goes on; finished figures are kept.

    Classes are compared through the 25 unified ones. Leaving one data set out: train on the others together
    (recipes/transfer), then go zero-shot to it.

    Example:  microgesture transfer runs/transfer/imigue --to recipes/transfer/smg.yaml --protocol zero-shot
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"no protocol '{protocol}'; choose {', '.join(PROTOCOLS)}")
    counts, numbers = _numbers("--shots", shots), _numbers("--seeds", seeds)
    from microgesture.learning.transfer import transfer as measure

    options: dict[str, Any] = {"shots": counts, "seeds": numbers, "split": split, "out": out, "tell": say}
    record = measure(source, to, protocol, overrides=overrides or (), **options)
    if as_json:
        data_json(record)
        return
    rows = []
    for cell, figures in record["cells"].items():
        for name, shown in _figures(cell, figures):
            low, high = shown["top1_wilson95"]
            values = (shown["top1"], low, high, shown["majority_floor"], shown["macro_f1_present"])
            rows.append([name, str(shown["clips"]), *(f"{value:.4f}" for value in values)])
    table(("cell", "clips", "top1", "low", "high", "majority_floor", "macro_f1"), rows)
    for name, figures in record.get("summary", {}).items():
        top, f1 = figures["top1"], figures["macro_f1_present"]
        sd = "" if top["sd"] is None else f" (sd {top['sd']:.3f})"
        say(f"{name}: top-1 {top['mean']:.3f}{sd}, macro-F1 {f1['mean']:.3f} over {figures['seeds']} seeds")
    if record["simulated"]:
        say("the target data are simulated: no person was recorded")


def _figures(cell: str, figures: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The tables of metrics in a cell: itself, or those of every data set of a joint model."""
    if "parts" not in figures:
        return [(cell, figures)]
    return [
        (f"{cell} {key} {kind}", shown)
        for key, part in figures["parts"].items()
        for kind, shown in part.items()
        if isinstance(shown, dict)
    ]


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: expected whole numbers with commas between them, e.g. 1,5,10") from None
