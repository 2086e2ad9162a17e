"""`microgesture analyze`: a recording in; timeline, rates, report and exports out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microgesture.cli.check import Rate, Size
from microgesture.cli.console import Debug, Json, Quiet, complain, data, data_json, progress, say

Taxonomy = Annotated[str, typer.Option("--taxonomy", "-t", help="Label space: imigue, smg or ma52.")]
Persons = Annotated[int, typer.Option(min=1, max=64, help="How many people to follow.")]
Model = Annotated[str, typer.Option(help="Name of a shipped model, or its folder.")]


# `readable=False` here and elsewhere: the library below would call a refusal by the system a usage error
def analyze(
    recording: Annotated[
        Path, typer.Argument(readable=False, metavar="INPUT", help="Video, GIF or pose file (.npz, OpenPose).")
    ],
    out: Annotated[
        Path | None, typer.Option(readable=False, help="Folder for the results; <input>-microgesture if not given.")
    ] = None,
    taxonomy: Taxonomy = "imigue",
    persons: Persons = 1,
    fps: Rate = None,
    size: Size = None,
    model: Model = "base",
    state: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="CSV with start, end (seconds) and state: rates are compared between states."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Go on from an earlier run, or begin anew.")] = True,
    show_progress: Annotated[bool, typer.Option("--progress/--no-progress", help="Show how far it has come.")] = True,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find and name the micro-gestures of a recording; write timelines, rates, a report and a skeleton video.

    Example:  microgesture analyze interview.mp4 --taxonomy imigue
    """
    from microgesture.analysis import analyze as analysis
    from microgesture.analysis.states import read_states
    from microgesture.formats.source import frame_rate, frame_size
    from microgesture.report.html import write_report
    from microgesture.report.skeleton_video import write_skeleton_video

    states = read_states(state) if state else ()
    folder = out or Path(f"{recording.stem}-microgesture")
    with progress(show_progress) as show:
        result = analysis.analyze(
            recording,
            folder,
            taxonomy=taxonomy,
            persons=persons,
            fps=frame_rate(fps) if fps else None,
            size=frame_size(size) if size else None,
            model=model,
            resume=resume,
            progress=show,
            states=states,
        )
        write_report(result, folder / "report.html")
        write_skeleton_video(result, folder / "skeleton.mp4", progress=show)
    for warning in result.warnings:
        complain(f"warning: {warning}")
    found = len(result.timeline)
    say(f"{found} micro-gesture{'s' if found != 1 else ''} in {result.timeline.duration / 60:.1f} minutes")
    if as_json:
        data_json(result.as_dict())
    else:
        data(str(folder / "report.html"))
