"""`microgesture submit`: the file a challenge expects, checked before it is packed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microgesture.cli.console import Debug, Quiet, data, progress
from microgesture.cli.prepare import pair

KNOWN = "miga-classification, miga-online, mac2024, codabench-9066, mma52, predictions"


def submit(
    run: Annotated[Path, typer.Argument(readable=False, metavar="RUN", help="A folder of train.")],
    challenge: Annotated[str, typer.Option(help=f"Which file: {KNOWN}.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Settings that replace the recipe's.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which clips or recordings to predict.")] = "test",
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Probability a gesture must reach, in long recordings.")
    ] = 0.3,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the challenge, repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(readable=False, help="Folder of the file; the run if not given.")] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict the test data and write the challenge's submission file.

    Example:  microgesture submit runs/imigue/stgcnpp --challenge miga-classification

    Example:  microgesture submit runs/mma52/stgcnpp --challenge mma52 --threshold 0.1
    """
    from microgesture.learning.submit import submit as write

    options = dict(pair(text) for text in option or ())
    with progress() as show:
        path = write(
            run,
            challenge,
            split=split,
            overrides=tuple(overrides or ()),
            out=out,
            threshold=threshold,
            options={
                name: int(value) if value.isdigit() and name == "base" else value for name, value in options.items()
            },
            progress=show,
        )
    data(str(path))
