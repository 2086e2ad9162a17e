"""`microgesture check`: is a timeline or pose file sound? Names every row that is refused, with line and reason."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from microgesture.cli.console import Debug, Json, Quiet, data, data_json
from microgesture.core.errors import CheckFailed, FormatError, NoInput

LIMIT = 50
"""Refused rows printed per file, unless --all."""
ANY_RATE = 25.0
"""For files that hold no times at all: nothing that is checked depends on their rate."""

# types that `convert` shares
Labels = Annotated[
    str | None,
    typer.Option("--taxonomy", "-t", help="Label space: imigue, smg or ma52; imigue, where a file does not say."),
]
Rate = Annotated[str | None, typer.Option("--fps", help="Frame rate where a file is silent: 25, 29.97 or 30000/1001.")]
Size = Annotated[str | None, typer.Option("--size", help="Size of the picture in pixels, such as 1280x720.")]
Layout = Annotated[str | None, typer.Option("--layout", help="Pose layout of a file of PYSKL, such as coco17.")]


def check(
    files: Annotated[list[Path], typer.Argument(readable=False, metavar="FILE...", help="Timelines or pose files.")],
    taxonomy: Labels = None,
    fps: Rate = None,
    size: Size = None,
    layout: Layout = None,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Print all refused rows, not only {LIMIT} per file.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check timelines (CSV, JSON, ELAN, WebVTT, BORIS, BIDS) and pose files; name every refused row and its reason.

    Example:  microgesture check coded.eaf --taxonomy smg
    """
    for path in files:
        if not path.exists():
            raise NoInput(f"{path}: does not exist")
    known = [_examined(path, taxonomy, fps, size, layout) for path in files]
    if as_json:
        data_json({"files": known})
    else:
        for facts in known:
            _print(facts, len(facts["refused"]) if show_all else LIMIT)
    refused = sum(len(facts["refused"]) for facts in known)
    if refused:
        broken = sum(bool(facts["refused"]) for facts in known)
        raise CheckFailed(f"{refused} refused in {broken} of {len(known)} file{'s' if len(known) != 1 else ''}")


def _examined(
    path: Path, taxonomy: str | None, fps: str | None, size: str | None, layout: str | None
) -> dict[str, Any]:
    from microgesture.core.layouts import skeleton
    from microgesture.core.taxonomies import taxonomy as taxonomy_of
    from microgesture.formats.eaf import MACHINE
    from microgesture.formats.poses import pose_kind, read_poses
    from microgesture.formats.pyskl import read_pyskl
    from microgesture.formats.segments import Problems
    from microgesture.formats.source import frame_rate, frame_size
    from microgesture.formats.timelines import read_raters, timeline_kind

    rate, sides = frame_rate(fps) if fps else None, frame_size(size) if size else None
    problems: Problems = []
    facts: dict[str, Any] = {"path": str(path), "kind": None}
    try:
        kind = timeline_kind(path)
        if kind is not None:
            facts["kind"] = f"timeline ({kind})"
            # JSON states its own label space: only one that is asked for can be wrong
            labels = None if kind == "json" and taxonomy is None else taxonomy_of(taxonomy or "imigue")
            lines = read_raters(path, labels, fps=rate, problems=problems)
            facts["segments"] = sum(map(len, lines.values()))
            facts["raters"] = [name for name in lines if name not in ("", MACHINE)]
        else:
            kind = pose_kind(path)
            if kind is None:
                remedy = (
                    "name a timeline (.csv, .tsv, .json, .eaf, .vtt, .boris) or poses (.npz, .csv, .xlsx, .pkl, ...)"
                )
                raise FormatError(path, "neither a timeline nor a pose file", remedy=remedy)
            facts["kind"] = f"poses ({kind})"
            wanted = skeleton(layout) if layout else None
            if kind == "pyskl" and wanted is not None:
                facts["clips"] = len(read_pyskl(path, wanted, fps=rate or ANY_RATE).clips)
            else:
                some = rate if kind == "mediapipe" else rate or ANY_RATE
                tracks = read_poses(path, fps=some, size=sides, skeleton=wanted, problems=problems)
                facts |= {"persons": len(tracks), "frames": max(map(len, tracks), default=0)}
    except FormatError as error:  # of the whole file
        problems.append(error)
    facts["refused"] = [
        {"place": p.place, "problem": p.problem, "expected": p.expected, "remedy": p.remedy, "text": str(p)}
        for p in problems
    ]
    facts["reasons"] = dict(Counter(_reason(p.problem) for p in problems).most_common())
    return facts


def _reason(problem: str) -> str:
    """A problem without the values that differ from row to row."""
    plain = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", problem.partition("; did you mean")[0])
    return re.sub(r"\d+(?:[.,:]\d+)*", "#", plain)


def _print(facts: dict[str, Any], limit: int) -> None:
    refused = facts["refused"]
    for row in refused[:limit]:
        data(row["text"])
    if len(refused) > limit:
        data(f"... and {len(refused) - limit} more; --all shows them")
    names = ("segments", "clips", "persons", "frames")
    counts = [f"{facts[name]} {name[: -1 if facts[name] == 1 else None]}" for name in names if name in facts]
    if facts.get("raters"):
        counts.append(f"raters {', '.join(facts['raters'])}")
    verdict = f"{len(refused)} refused" if refused else "sound"
    data(f"{facts['path']}: {', '.join([facts['kind'] or 'unknown', *counts, verdict])}")
    if refused:
        for reason, count in facts["reasons"].items():
            data(f"  {count:6} x {reason}")
