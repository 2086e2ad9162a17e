"""`microgesture inspect`: what is in a prepared store, as tables and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microgesture.cli.console import Debug, Json, Quiet, complain, data, data_json, progress, say, table

if TYPE_CHECKING:
    from microgesture.datasets.statistics import Statistics
    from microgesture.datasets.store import Store

WORST = 8
"""Joints listed on the terminal, those that are missing most often; all of them are on the page."""


def inspect(
    store: Annotated[Path, typer.Argument(metavar="STORE", readable=False, help="Folder `prepare` wrote.")],
    out: Annotated[
        Path | None,
        typer.Option(readable=False, help="The page; STORE/inspect.html if not given.", metavar="PAGE.html"),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every byte first and compare with its digest.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Count what a prepared data set holds and write a page about it.

    Found and official numbers, durations, the long tail, how often joints are missing, samples of every class.

    Example:  microgesture inspect stores/imigue --out imigue.html
    """
    from microgesture.datasets.statistics import statistics
    from microgesture.datasets.store import open_store
    from microgesture.report import inspect as page

    opened = open_store(store)
    with progress() as show:
        if verify:
            show("verifying", 0, 1)
            opened.verify()
            show("verifying", 1, 1)
        numbers = statistics(opened, progress=show)
        target = page.write_page(opened, out, numbers=numbers, progress=show)
    if as_json:
        data_json({"page": str(target), "verified": verify} | page.plain(opened, numbers))
    else:
        _print(opened, numbers)
        data(str(target))
    if opened.simulated:
        complain("these data are simulated: they have the layout of the data set, and no person in them")


def _print(store: Store, numbers: Statistics) -> None:
    from microgesture.datasets.prepare import report_of

    report, names = report_of(store.path, store.index), store.taxonomy.names
    table(
        (
            "split", "recordings", "official", "clips", "of official", "withheld", "hours", "people", "floor",
            "most frequent class",
        ),
        [
            [
                s.name, f"{s.recordings:,}", _shown(report.rows.get(s.name, {}).get("recordings_official")),
                f"{s.clips:,}", _shown(report.rows.get(s.name, {}).get("clips_official")), f"{s.withheld:,}",
                f"{s.minutes / 60:.2f}", _shown(s.subjects), "–" if s.floor is None else f"{s.floor:.1%}",
                names[s.majority] if s.majority >= 0 else "–",
            ]
            for s in numbers.splits
        ],
        optional=("most frequent class", "hours", "withheld"),
    )  # fmt: skip
    named = [s for s in numbers.splits if s.majority >= 0]
    official = [report.classes[s.name][1] if s.name in report.classes else None for s in named]
    if named:
        table(
            ("id", "class", *(f"{s.name} / official" for s in named), "median s", "5 %", "95 %"),
            [
                [
                    str(k), names[k],
                    *(f"{s.counts[k]:,} / {_shown(o[k] if o else None)}" for s, o in zip(named, official, strict=True)),
                    *(["–"] * 3 if d is None else (f"{x:.2f}" for x in (d.median, d.low, d.high))),
                ]
                for k, d in enumerate(numbers.durations)
            ],
            optional=("5 %", "95 %"),
        )  # fmt: skip
    if numbers.states:
        table(
            ("split", "state", "stretches", "minutes"),
            [[s.split, s.name, f"{s.count:,}", f"{s.minutes:.1f}"] for s in numbers.states],
        )
    worst = sorted(zip(store.skeleton.joints, numbers.joints.missing, strict=True), key=lambda row: -row[1])
    if numbers.joints.people:
        table(("joint", "missing"), [[joint, f"{share:.1%}"] for joint, share in worst[:WORST]])
    for line in (*_lines(numbers), *report.explained, *report.summary()):
        say(line)


def _lines(numbers: Statistics) -> list[str]:
    """What the tables do not say."""
    joints, tail = numbers.joints, numbers.tail
    rates = ", ".join(f"{rate:g} ({n:,})" for rate, n in numbers.rates[:5])
    more = f" and {len(numbers.rates) - 5} other rates" if len(numbers.rates) > 5 else ""
    lines = [
        f"joints: from {joints.frames:,} of {joints.total:,} frames; nobody is seen in {joints.nobody:.1%} of them",
        f"frames per second (recordings): {rates or 'none'}{more}",
        f"{numbers.labelled:.1%} of all frames lie in a clip; {numbers.overlapping:,} clips overlap an earlier one",
    ]
    if tail:
        lines.append(
            f"long tail ({tail.split}): {len(tail.many)} classes with many clips, {len(tail.medium)} medium, "
            f"{len(tail.few)} few, {len(tail.absent)} of them without any; imbalance factor {tail.imbalance:,.0f}"
        )
    if numbers.shared_subjects:
        lines.append(f"{numbers.shared_subjects:,} people have recordings in more than one split")
    return lines


def _shown(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
