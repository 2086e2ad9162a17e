"""`microgesture export`: a saved model as a file for other runtimes, checked against the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microgesture.cli.console import Debug, Json, Quiet, data, data_json, progress, say


def export(
    model: Annotated[
        Path, typer.Argument(readable=False, metavar="MODEL", help="A folder of train, or the name of a shipped model.")
    ],
    format: Annotated[
        str | None, typer.Option("--format", help="onnx (default), openvino or torch (a .pt2 of torch.export).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(readable=False, help="File that ends with .onnx, .xml or .pt2; MODEL.onnx here if not given."),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="f32; bf16: weights and products in bfloat16, torch alone; int8: in whole numbers of 8 bits, onnx and "
            "openvino. Which is faster, and by how much, is a matter of the processor: up to three times."
        ),
    ] = "f32",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="RECIPE",
            help="For int8: the recipe or run whose clips show which numbers occur; that of the run if not given.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Export a model; it is run beside the original and refused if they differ.

    The file reads xy (clips, persons, frames, joints, coordinates) and score (clips, persons, frames, joints), and
    gives logits (clips, classes). Labels, joints and everything else one must know are in its metadata.

    Example:  microgesture export base --out base.onnx

    Example:  microgesture export runs/imigue/stgcnpp --format openvino --out stgcnpp.xml

    Example:  microgesture export runs/imigue/stgcnpp --format torch --precision bf16

    Example:  microgesture export base --precision int8 --calibrate recipes/simulated/base.yaml
    """
    from microgesture.learning.export import export_model

    kind: Any = format
    numbers: Any = precision
    with progress() as show:
        done = export_model(model, kind, out, precision=numbers, calibrate=calibrate, progress=show)
    if as_json:
        about = {"path": str(done.path), "format": done.kind, "precision": done.precision, "parity_error": done.error}
        data_json(
            about | {"same_class": done.same, "batch": done.batch, "frames": done.frames, "metadata": done.metadata}
        )
        return
    clips = "any number of clips" if done.batch is None else f"{done.batch} clip at a time"
    frames = "any length" if done.frames is None else f"{done.frames} frames each"
    same = "" if done.precision == "f32" else f", the same class for {done.same:.1%} of the clips compared"
    say(f"{done.path}: {clips}, {frames}; largest difference to the model {done.error:.1e}{same}")
    data(str(done.path))
