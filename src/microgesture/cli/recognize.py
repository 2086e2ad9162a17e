"""`microgesture recognize`: one pre-cut clip in, ranked classes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microgesture.cli.analyze import Model, Persons, Taxonomy
from microgesture.cli.check import Rate, Size
from microgesture.cli.console import Debug, Json, Quiet, complain, data_json, say, table


def recognize(
    clip: Annotated[
        Path,
        typer.Argument(
            readable=False, metavar="CLIP", help="Video, GIF or pose file (.npz, OpenPose) that shows one gesture."
        ),
    ],
    taxonomy: Taxonomy = "imigue",
    top: Annotated[int, typer.Option(help="How many classes to print, up to all of them.")] = 5,
    persons: Persons = 1,
    fps: Rate = None,
    size: Size = None,
    model: Model = "base",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Rank the classes for a clip that shows one gesture.

    Example:  microgesture recognize clip.gif --taxonomy imigue --top 5
    """
    from microgesture.analysis.recognise import recognise
    from microgesture.formats.source import frame_rate, frame_size

    found = recognise(
        clip,
        taxonomy,
        top=top,
        persons=persons,
        fps=frame_rate(fps) if fps else None,
        size=frame_size(size) if size else None,
        model=model,
    )
    for person in found["people"]:
        for warning in person["warnings"]:
            complain(f"person {person['person'] + 1}: {warning}")
        if person["outcome"] != "recognised":
            advice = "; the ranking is not to be trusted" if person["valid"] else ""
            say(f"person {person['person'] + 1}: {person['outcome']}{advice}")
    if as_json:
        people = [{key: person[key] for key in ("top", "frames", "valid")} for person in found["people"]]
        data_json({"input": found["input"], "taxonomy": found["taxonomy"], "people": people})
        return
    rows = [
        [str(person["person"] + 1), str(rank), f"{entry['score']:.3f}", str(entry["id"]), entry["label"]]
        for person in found["people"]
        if person["valid"]
        for rank, entry in enumerate(person["top"], 1)
    ]
    table(("person", "rank", "score", "id", "label"), rows)
