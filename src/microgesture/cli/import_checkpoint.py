"""`microgesture import-checkpoint`: weights that others released, as a model folder of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microgesture.cli.console import Debug, Json, Quiet, complain, data, data_json, progress, say, table
from microgesture.cli.prepare import pair
from microgesture.core.errors import UsageError

if TYPE_CHECKING:
    from microgesture.learning.importing import Coverage, Left

SHOWN = 8


def import_checkpoint(
    file: Annotated[
        Path, typer.Argument(readable=False, metavar="FILE", help="A .pth, .pt, .safetensors, .npz or .pkl file.")
    ],
    system: Annotated[str, typer.Option(metavar="KEY", help="Which system: see microgesture systems.")],
    out: Annotated[Path, typer.Option(readable=False, help="Folder of the model.")],
    taxonomy: Annotated[
        str | None, typer.Option(metavar="KEY", help="Its classes; by default by their number in the file.")
    ] = None,
    skeleton: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its pose layout; by default by the joints in the file.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames per clip, where the file does not tell.")] = None,
    persons: Annotated[int | None, typer.Option(min=1, help="Persons per clip, where the file does not tell.")] = None,
    fps: Annotated[float | None, typer.Option(min=0.1, max=1000, help="Frames per second of the clips.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An argument of the system, repeatable; lists as 1,1,2."),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Where the weights lie, e.g. ema_state_dict., if there are copies.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(readable=False, help="Names the data; then test and submit need the folder alone.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Keep what fits, start the rest afresh.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Turn a released checkpoint into a model that test, submit and transfer load. Nothing in the file can run code.

    Widths, persons, channels and classes come from the shapes in the file; what came from where is reported.

    Example:  microgesture import-checkpoint best.pth --system stgcnpp --out models/stgcnpp
    """
    options = {name: _value(text, value) for text in option or () for name, value in [pair(text)]}
    from microgesture.core.layouts import skeleton as layout_of
    from microgesture.core.taxonomies import taxonomy as taxonomy_of
    from microgesture.learning.importing import import_checkpoint as read

    with progress() as show:
        coverage = read(
            file,
            system,
            out,
            taxonomy=None if taxonomy is None else taxonomy_of(taxonomy),
            skeleton=None if skeleton is None else layout_of(skeleton),
            frames=frames,
            persons=persons,
            fps=fps,
            options=options,
            prefix=prefix,
            recipe=recipe,
            partial=partial,
            progress=show,
        )
    for note in coverage.notes:
        complain(f"note: {note}")
    if as_json:
        data_json({"folder": str(out), **coverage.to_plain()})
        return
    _print(coverage)
    data(str(out))


def _value(text: str, value: str) -> Any:
    """A value as YAML writes it, or several with commas between them."""
    import yaml

    try:
        return yaml.safe_load(f"[{value}]" if "," in value and not value.startswith("[") else value)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {text}: the value cannot be read ({' '.join(str(error).split())})") from error


def _print(coverage: Coverage) -> None:
    words = {"given": "given", "default": "assumed: the file does not tell"}
    rows = [[name, str(a.value), a.evidence or words.get(a.known, a.known)] for name, a in coverage.arguments.items()]
    table(("argument", "value", "known from"), rows)
    share = 100 * coverage.loaded / max(1, coverage.parameters)
    say(
        f"used: {len(coverage.used)} tensors, {coverage.loaded:,} of {coverage.parameters:,} parameters ({share:.1f} %)"
    )
    _list("started afresh", coverage.fresh)
    _list("not used", coverage.unused)
    say(f"nothing is known of the licence of these weights (SHA-256 {coverage.sha256[:12]}...)")


def _list(title: str, entries: tuple[Left, ...]) -> None:
    if entries:
        say(f"{title}: {len(entries)} tensors")
    for entry in entries[:SHOWN]:
        shape = f" {entry.shape}" if entry.shape else ""
        expected = f", expected {entry.expected}" if entry.expected else ""
        say(f"  {entry.name}{shape}: {entry.why}{expected}")
    if len(entries) > SHOWN:
        say(f"  ... and {len(entries) - SHOWN} more; --json lists them")
