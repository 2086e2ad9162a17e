"""`microgesture agree`: do several raters, or raters and the model, see the same thing?"""

from __future__ import annotations

from dataclasses import asdict, replace
from enum import Enum
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microgesture.cli.analyze import Taxonomy
from microgesture.cli.console import Debug, Json, Quiet, data, data_json, table
from microgesture.core.errors import NoInput, UsageError

if TYPE_CHECKING:
    from microgesture.core.segment import Timeline
    from microgesture.evaluation.coefficients import Agreement


class Coefficient(str, Enum):
    """What `--coefficient` may name."""

    event_f1 = "event-f1"
    event_kappa = "event-kappa"
    linked_kappa = "linked-kappa"
    label_kappa = "label-kappa"
    time_kappa = "time-kappa"
    alpha = "alpha"
    ac1 = "ac1"


USUAL = [each for each in Coefficient if each is not Coefficient.label_kappa]


def agree(
    files: Annotated[
        list[Path],
        typer.Argument(
            readable=False,
            metavar="FILE",
            help="Timelines of one recording, one per rater, whose name is that of the file; the model is one more.",
        ),
    ],
    taxonomy: Taxonomy = "imigue",
    duration: Annotated[
        float | None,
        typer.Option(
            help="Seconds the recording lasts; if not given, what the files say or the end of the last event."
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Seconds by which borders may differ, for event-f1.")] = 0.5,
    overlap: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of the longer event that linked events have in common.")
    ] = 0.6,
    coefficient: Annotated[
        list[Coefficient] | None,
        typer.Option(help="What to compute, may be repeated; all but label-kappa if not given."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say how far raters agree: on events, on their names, and at every moment, with 95 % intervals.

    Example:  microgesture agree anna.eaf ben.eaf interview-microgesture/timeline.csv
    """
    raters = _raters(files, taxonomy, duration)
    if len(raters) < 2:
        raise UsageError(f"{', '.join(raters)}: one rater only; name the timelines of two or more")
    wanted = list(dict.fromkeys(coefficient or USUAL))
    found = [each for one in wanted for each in _agreements(one, raters, tolerance, overlap)]
    if as_json:
        data_json({"raters": list(raters), "agreement": [asdict(each) | {"sentence": each.sentence} for each in found]})
        return
    rows = [
        [each.coefficient, ", ".join(each.raters), *map(_figure, (each.value, each.low, each.high)), each.on]
        for each in found
    ]
    table(("coefficient", "raters", "value", "low", "high", "on"), rows, optional=("on", "raters"))
    data("")
    for each in found:
        data(each.sentence)


def _agreements(wanted: Coefficient, raters: dict[str, Timeline], tolerance: float, overlap: float) -> list[Agreement]:
    from microgesture.evaluation import agreement

    if wanted is Coefficient.alpha:
        return [agreement.time_alpha(raters)]
    if wanted is Coefficient.ac1:
        return [agreement.time_ac1(raters)]
    if wanted is Coefficient.label_kappa:
        return list(agreement.kappa_per_label(raters, overlap).values())
    # each pair, then the mean over them
    groups = [*combinations(raters, 2), *([tuple(raters)] if len(raters) > 2 else [])]
    chosen = [{name: raters[name] for name in group} for group in groups]
    if wanted is Coefficient.event_f1:
        return [agreement.event_f1(each, tolerance, tolerance) for each in chosen]
    if wanted is Coefficient.time_kappa:
        return [agreement.time_kappa(each) for each in chosen]
    unlinked = wanted is Coefficient.event_kappa
    return [agreement.linked_kappa(each, overlap, unlinked) for each in chosen]


def _raters(files: list[Path], taxonomy: str, duration: float | None) -> dict[str, Timeline]:
    """Timelines by name of the rater: the file's, or those of the raters where it holds several."""
    stems = [path.stem for path in files]
    raters: dict[str, Timeline] = {}
    for path in files:
        if not path.exists():
            raise NoInput(f"{path}: does not exist")
        own = path.stem if stems.count(path.stem) == 1 else str(path)
        held = _read(path, taxonomy, duration)
        for annotator, line in held.items():
            name = annotator if annotator and len(held) > 1 else own
            if name in raters:
                raise UsageError(f"rater '{name}' is named twice, the second time by {path}; rename one of the files")
            raters[name] = line
    return raters


def _read(path: Path, taxonomy: str, duration: float | None) -> dict[str, Timeline]:
    from microgesture.core.taxonomies import taxonomy as taxonomy_of
    from microgesture.formats.segments import TIME_LIMIT
    from microgesture.formats.timelines import read_raters, timeline_kind

    if duration is not None and not 0 < duration <= TIME_LIMIT:
        raise UsageError(f"--duration is {duration:g}, expected seconds, up to {TIME_LIMIT:.0f}")
    # JSON of this package states its own label space
    found = read_raters(path, None if timeline_kind(path) == "json" else taxonomy_of(taxonomy))
    return {name: replace(line, duration=duration or line.duration) for name, line in found.items()}


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
