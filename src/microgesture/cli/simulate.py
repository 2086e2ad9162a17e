"""`microgesture simulate`: labelled motion of every class, as clips or as a long recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microgesture.cli.console import Debug, Quiet, data, say
from microgesture.core.errors import UsageError
from microgesture.core.taxonomy import Taxonomy

LIKE = ("imigue", "smg", "ma52")


def simulate(
    out: Annotated[Path, typer.Option(readable=False, help="Folder for the results.")],
    like: Annotated[
        str,
        typer.Option(help=f"Whose classes and setting: {', '.join(LIKE)}; with --layout any data set of the survey."),
    ] = "imigue",
    layout: Annotated[
        str, typer.Option(help="'distributed' writes the files of that data set, byte for byte in its layout.")
    ] = "",
    recordings: Annotated[
        int, typer.Option(min=3, max=10_000, help="With --layout: long recordings, over all splits.")
    ] = 12,
    films: Annotated[bool, typer.Option(help="With --layout: write small films beside, for the frame rate.")] = True,
    clips: Annotated[int | None, typer.Option(min=1, max=100_000, help="Make that many clips ...")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, max=1440, help="... or one recording so long.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same motion.")] = 0,
    preview: Annotated[bool, typer.Option("--preview", help="Draw a contact sheet per class.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate people who make micro-gestures: clips.npz, or recording.npz with its true timeline and states.

    Example:  microgesture simulate --like smg --clips 170 --preview --out simulated

    Example:  microgesture simulate --like imigue --layout distributed --recordings 12 --minutes 1 --out rehearsal
    """
    if layout:
        _distributed(out, like, layout, recordings, minutes, clips, films, seed, preview)
        return
    if like not in LIKE:
        raise UsageError(f"unknown data set '{like}' for --like; known: {', '.join(LIKE)}")
    if (clips is None) == (minutes is None):
        raise UsageError("say either --clips N or --minutes M")
    from microgesture.core.durable import make_folder
    from microgesture.core.taxonomies import taxonomy

    folder = make_folder(out)
    if clips is not None:
        _clips(folder, like, clips, seed)
    elif minutes is not None:
        _recording(folder, like, minutes, seed)
    if preview:
        _contact_sheets(folder / "preview", taxonomy(like), seed)
    data(str(folder))


def _distributed(
    out: Path,
    like: str,
    layout: str,
    recordings: int,
    minutes: float | None,
    clips: int | None,
    films: bool,
    seed: int,
    preview: bool,
) -> None:
    from microgesture.cli.console import progress
    from microgesture.simulation.lookalikes.write import Size, write_lookalike

    if layout != "distributed":
        raise UsageError(f"unknown layout '{layout}'; known: distributed")
    if preview:
        raise UsageError("--preview draws clips and recordings; look at a data set with: microgesture inspect")
    standard = Size()
    size = Size(recordings, minutes or standard.minutes, clips or standard.clips, films)
    with progress() as show:
        folder = write_lookalike(like, out, size, seed, show)
    say(f"simulated data in the layout of {like}; next: microgesture prepare {like} --root {folder} --out STORE")
    data(str(folder))


def _clips(folder: Path, like: str, count: int, seed: int) -> None:
    import numpy as np

    from microgesture.formats.safe_npz import write_arrays
    from microgesture.simulation.clips import simulate_clips

    made = simulate_clips(like, count, seed)
    write_arrays(
        folder / "clips.npz",
        {
            "xy": made.xy,
            "score": made.score,
            "label": made.label,
            "subject": made.subject,
            "fps": np.array(made.fps),
            "joints": np.array(made.skeleton.joints),
            "taxonomy": np.array(like),
        },
    )
    say(f"{count} clips of {made.xy.shape[1]} frames at {made.fps:g} frames per second")


def _recording(folder: Path, like: str, minutes: float, seed: int) -> None:
    from microgesture.core.durable import write_text
    from microgesture.formats.eaf import write_eaf
    from microgesture.formats.pose_npz import write_npz
    from microgesture.formats.timeline_csv import write_csv
    from microgesture.formats.timeline_json import write_timeline_json
    from microgesture.simulation.recording import simulate_recording

    made = simulate_recording(like, minutes, seed)
    write_npz(folder / "recording.npz", [made.track])
    write_csv(made.timeline, folder / "truth.csv")
    write_timeline_json(made.timeline, folder / "truth.json")
    write_eaf(made.timeline, folder / "truth.eaf")
    rows = [f"{start:.3f},{end:.3f},{name}" for start, end, name in made.states]
    write_text(folder / "states.csv", "\n".join(["start,end,state", *rows]) + "\n")
    say(f"{len(made.timeline)} micro-gestures in {minutes:g} minutes")


def _contact_sheets(folder: Path, labels: Taxonomy, seed: int, examples: int = 4) -> None:
    import numpy as np

    from microgesture.core.durable import make_folder
    from microgesture.simulation.clips import simulate_clips
    from microgesture.simulation.preview import contact_sheet

    make_folder(folder)
    made = simulate_clips(labels.key, len(labels) * examples, seed, classes=np.repeat(np.arange(len(labels)), examples))
    for label in labels:
        tracks = [made.track(label.id * examples + i) for i in range(examples)]
        name = "-".join("".join(c if c.isalnum() else " " for c in label.name.lower()).split())
        titles = [f"{label.id} {label.name}, subject {made.subject[label.id * examples + i]}" for i in range(examples)]
        contact_sheet(tracks, titles, folder / f"{label.id:02}-{name}.png")
    say(f"{len(labels)} contact sheets in {folder}")
