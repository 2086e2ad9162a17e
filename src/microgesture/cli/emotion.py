"""`microgesture emotion`: what the occurrence of micro-gestures tells about states of people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microgesture.cli.console import Debug, Json, Quiet, data_json, say, table
from microgesture.core.errors import UsageError


def emotion(
    store: Annotated[
        Path, typer.Argument(readable=False, metavar="STORE", help="A folder of microgesture prepare, with states.")
    ],
    predictions: Annotated[
        Path | None,
        typer.Option(readable=False, help="Folder with RECORDING.json or RECORDING/timeline.json of a recogniser."),
    ] = None,
    protocol: Annotated[str, typer.Option(help="official, or loso: leave one subject out.")] = "official",
    seed: Annotated[int, typer.Option(min=0, help="Of the random forest.")] = 0,
    out: Annotated[Path | None, typer.Option(readable=False, help="File for the record as JSON.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Tell emotional states from the rates of micro-gestures: the data set's segments, and a recogniser's beside.

    Weak evidence by its nature: read the notes with the figures.

    Example:  microgesture emotion stores/imigue --predictions runs/timelines --protocol official
    """
    if protocol not in ("official", "loso"):
        raise UsageError(f"no protocol '{protocol}'; choose official or loso")
    from microgesture.datasets.store import open_store
    from microgesture.evaluation.emotion import emotion as measure
    from microgesture.formats.safe_json import write_json

    options: dict[str, Any] = {"protocol": protocol, "seed": seed}
    record = measure(open_store(store), predictions, **options)
    if out is not None:
        write_json(out, record)
    if as_json:
        data_json(record)
        return
    rows = []
    for name, cell in record["cells"].items():
        low, high = cell["accuracy_exact95"]
        figures = (cell["accuracy"], low, high, cell["majority_floor"], cell["against_majority"]["mid_p"])
        rows.append([name, str(cell["recordings"]), *(f"{value:.3f}" for value in figures)])
    table(("segments and model", "tested", "accuracy", "low", "high", "majority_floor", "p"), rows)
    for model, lost in record.get("propagation", {}).items():
        if lost["stretches"]:
            say(
                f"{model}: {lost['oracle']:.3f} from true segments, {lost['predicted']:.3f} from predicted ones "
                f"(p {lost['mcnemar']['mid_p']:.3f})"
            )
    for each in record["classes"][:5]:
        say(f"{each['name']}: p {each['p']:.3f}, corrected {each['q']:.3f}, odds ratio {each['odds_ratio']:.2f}")
    for note in record["notes"]:
        say(f"note: {note}")
    if record["simulated"]:
        say("note: the data are simulated, no person was recorded")
