"""`microgesture export`: a saved model as a file for other runtimes, checked against the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from microgesture.cli.console import Debug, Json, Quiet, data, data_json, say


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
        str, typer.Option(help="f32, or bf16: weights and products in bfloat16, about twice as fast; torch alone.")
    ] = "f32",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Export a model; it is run beside the original on random clips and refused if they differ.

    The file reads xy (clips, persons, frames, joints, coordinates) and score (clips, persons, frames, joints), and
    gives logits (clips, classes). Labels, joints and everything else one must know are in its metadata.

    Example:  microgesture export base --out base.onnx

    Example:  microgesture export runs/imigue/stgcnpp --format openvino --out stgcnpp.xml

    Example:  microgesture export runs/imigue/stgcnpp --format torch --precision bf16
    """
    from microgesture.learning.export import export_model

    kind: Any = format
    numbers: Any = precision
    done = export_model(model, kind, out, precision=numbers)
    if as_json:
        about = {"path": str(done.path), "format": done.kind, "precision": done.precision, "parity_error": done.error}
        data_json(about | {"batch": done.batch, "frames": done.frames, "metadata": done.metadata})
        return
    clips = "any number of clips" if done.batch is None else f"{done.batch} clip at a time"
    frames = "any length" if done.frames is None else f"{done.frames} frames each"
    say(f"{done.path}: {clips}, {frames}; largest difference to the model {done.error:.1e}")
    data(str(done.path))
