"""The page about a prepared store: what is in it, how it differs from what was published, and what it looks like.

One file that asks nobody for anything, without scripts, under 1 MB: charts and figures are inline SVG.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from importlib.resources import files
from itertools import pairwise
from math import ceil, log10
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import replacing
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack
from microgesture.datasets.catalogue import DATASETS
from microgesture.datasets.prepare import Finding, Report, report_of
from microgesture.datasets.statistics import Joints, Spread, Statistics, Tail, statistics
from microgesture.datasets.store import CLIPS, RECORDINGS, Ids, Store
from microgesture.report.draw import OTHER, group_colour, svg_interval, svg_poses

Progress = Callable[[str, float, float], None]

PAGE = "inspect.html"
SAMPLES = 3
"""Clips drawn per class at most."""
BUDGET = 420_000
"""Characters of drawings: every class has its first clip before any has its second, as far as this reaches."""
ROWS = 1000
"""Findings listed on the page; all of them are in store.json."""
_INSTANTS = 9  # frames of a clip that are looked at to find three in which somebody is seen
_LINE, _SOFT, _INK = "#e1e5e8", "#59646c", "#1f272d"
_OTHER_SPLITS = ("#1f272d", "#b5608d", "#009e73")


def write_page(
    store: Store,
    path: str | Path | None = None,
    *,
    numbers: Statistics | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the page about a store (durably).

    Args:
        path: the file; by default `inspect.html` in the store.
        numbers: of this store, if they are there already.

    Raises:
        FormatError: a file of the store cannot be read.
        NotPermitted, CannotCreate, OutputFailed: see `core.durable`.
    """
    from jinja2 import Environment

    target = Path(path) if path is not None else store.path / PAGE
    numbers = numbers or statistics(store, progress=progress)
    # escaping is on: names of files, classes and recordings are data
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "count": lambda n: "?" if n is None else f"{n:,}",
        "percent": lambda x: "–" if x is None else f"{100 * x:.1f} %",
        "number": lambda x: f"{x:.3g}" if x < 100 else f"{x:,.0f}",
    }
    template = environment.from_string((files(__package__) / "inspect.html").read_text("utf-8"))
    with replacing(target) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for piece in template.generate(**_content(store, numbers, progress)):
            file.write(piece)
    return target


def plain(store: Store, numbers: Statistics) -> dict[str, Any]:
    """Everything on the page but its drawings, as JSON holds it."""
    report = report_of(store.path, store.index)
    counted = {name: value for name, value in asdict(numbers).items() if name != "durations"}
    counted["joints"].pop("pose")
    return {
        "store": str(store.path),
        "dataset": store.dataset,
        "simulated": store.simulated,
        "options": store.index["options"],
        "skeleton": store.skeleton.name,
        "taxonomy": store.taxonomy.key,
        "persons": store.persons,
        "coordinates": store.coordinates,
        "official": dict(report.rows),
        "classes": [
            {"id": k.id, "name": k.name, "group": k.group, "seconds": None if d is None else asdict(d)}
            for k, d in zip(store.taxonomy, numbers.durations, strict=True)
        ],
        "official_counts": {split: official for split, (_, official) in report.classes.items()},
        "explained": list(report.explained),
        "findings": [asdict(finding) for finding in report.findings],
        "joint_names": list(store.skeleton.joints),
        **counted,
    }


def _content(store: Store, numbers: Statistics, progress: Progress | None) -> dict[str, Any]:
    from microgesture import __version__

    report = report_of(store.path, store.index)
    info = DATASETS.get(store.dataset)
    minutes = sum(s.minutes for s in numbers.splits)
    people = [s.subjects for s in numbers.splits if s.subjects is not None]
    return {
        "version": __version__,
        "store": store,
        "info": info,
        "title": info.title if info else store.dataset,
        "options": ", ".join(f"{k} = {v}" for k, v in store.index["options"].items()),
        "n": numbers,
        "hours": minutes / 60,
        "clips": sum(s.clips for s in numbers.splits),
        "people": sum(people) - numbers.shared_subjects if len(people) == len(numbers.splits) else None,
        "official": [report.rows.get(s.name, {}) for s in numbers.splits],
        "explained": report.explained,
        "most_of": [store.taxonomy[s.majority].name if s.majority >= 0 else "" for s in numbers.splits],
        "tail": numbers.tail and _tail(numbers.tail, numbers, report, store.taxonomy),
        "others": [s.name for s in numbers.splits if numbers.tail and s.name != numbers.tail.split and s.majority >= 0],
        "colours": _OTHER_SPLITS,
        "classes": list(_classes(store.taxonomy, numbers, report)),
        "spreads": list(_spreads(store, numbers)),
        "figure": _figure(store.skeleton, numbers.joints),
        "joints": _joints(store.skeleton, numbers.joints),
        "confidence": [(group, _columns(bins), sum(bins)) for group, bins in numbers.joints.confidence.items()],
        "samples": list(_samples(store, numbers, progress)),
        "findings": list(_grouped(report.findings[:ROWS])),
        "told": len(report.findings),
        "rows": ROWS,
    }


# ---- classes


def _tail(tail: Tail, numbers: Statistics, report: Report, taxonomy: Taxonomy) -> str:
    """Counts per class on a logarithmic scale, the most frequent class first; other splits as dots."""
    counts = {s.name: s.counts for s in numbers.splits if s.majority >= 0}
    official = report.classes[tail.split][1] if tail.split in report.classes else None
    # classes that were found equally often stand in the order of the published counts
    order = sorted(tail.order, key=lambda k: (-counts[tail.split][k], -(official[k] if official else 0), k))
    most = max(10, *(max(c) for c in counts.values()), *(official or ()))
    decades = ceil(log10(most) - 1e-9)
    left, top, height = 44, 14, 220
    step = max(10.0, min(30.0, 1040 / len(order)))
    width = left + step * len(order) + 70

    def y(n: float) -> float:
        """A single clip stands above the ground; none lies below it."""
        return top + height * (1 - (log10(max(n, 0.6)) + 0.22) / (decades + 0.22))

    parts = []
    for decade in range(decades + 1):
        at = y(10**decade)
        parts.append(f'<path d="M{left} {at:.1f}H{width - 66:.1f}" stroke="{_LINE}"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{10**decade:,}</text>')
    for limit, above, below in ((100, "many", "medium"), (20, "", "few")):
        if limit < 10**decades:
            at, x = y(limit), width - 62
            parts.append(f'<path d="M{left} {at:.1f}H{width - 66:.1f}" stroke="#8a4b00" stroke-dasharray="3 3"/>')
            parts.append(f'<text x="{x:.1f}" y="{at - 5:.1f}" fill="#8a4b00">{above}</text>')
            parts.append(f'<text x="{x:.1f}" y="{at + 13:.1f}" fill="#8a4b00">{below}</text>')
    ground = top + height
    for i, k in enumerate(order):
        x, n = left + step * i, counts[tail.split][k]
        words = f"{k} {taxonomy[k].name}: " + ", ".join(f"{split} {c[k]:,}" for split, c in counts.items())
        if official:
            words += f", official {official[k]:,}"
        parts.append(f"<g><title>{escape(words)}</title>")
        parts.append(f'<path d="M{x:.1f} {top}h{step:.1f}V{ground}h{-step:.1f}z" fill="transparent"/>')
        if n:
            bar = f'x="{x + 0.15 * step:.1f}" y="{y(n):.1f}" width="{0.7 * step:.1f}" height="{ground - y(n):.1f}"'
            parts.append(f'<rect {bar} fill="{group_colour(taxonomy, k)}"/>')
        if official and official[k] and official[k] != n:
            parts.append(f'<path d="M{x + 0.05 * step:.1f} {y(official[k]):.1f}h{0.9 * step:.1f}" stroke="{_INK}"/>')
        others = [c for split, c in counts.items() if split != tail.split]
        for colour, c in zip(_OTHER_SPLITS, others, strict=False):
            if c[k]:
                parts.append(
                    f'<circle cx="{x + step / 2:.1f}" cy="{y(c[k]):.1f}" r="3" fill="#fff" stroke="{colour}" '
                    'stroke-width="1.6"/>'
                )
        parts.append("</g>")
        if step >= 14 or i % 5 == 0:
            parts.append(f'<text x="{x + step / 2:.1f}" y="{ground + 15}" text-anchor="middle">{k}</text>')
    words = f"Clips per class in {tail.split}, the most frequent first; the table below holds the same numbers"
    return (
        f'<svg class="tail" viewBox="0 0 {width:.0f} {ground + 22}" role="img" aria-label="{escape(words)}" '
        f'font-size="11" fill="{_SOFT}">{"".join(parts)}</svg>'
    )


def _classes(taxonomy: Taxonomy, numbers: Statistics, report: Report) -> Iterator[dict[str, Any]]:
    """Rows of the table of classes, by id."""
    named = [s for s in numbers.splits if s.majority >= 0]
    band: dict[int, str] = {}
    if numbers.tail:
        for name in ("many", "medium", "few"):
            band |= dict.fromkeys(getattr(numbers.tail, name), name)
    most = max((d.high for d in numbers.durations if d), default=1.0)
    for label, seconds in zip(taxonomy, numbers.durations, strict=True):
        colour = group_colour(taxonomy, label.id)
        cells = []
        for split in named:
            official = report.classes[split.name][1] if split.name in report.classes else None
            wanted = None if official is None else official[label.id]
            cells.append((split.counts[label.id], wanted))
        yield {
            "label": label,
            "colour": colour,
            "cells": cells,
            "band": band.get(label.id, ""),
            "seconds": seconds,
            "svg": svg_interval(seconds.median, seconds.low, seconds.high, most, colour) if seconds else "",
        }


# ---- recordings and people


def _spreads(store: Store, numbers: Statistics) -> Iterator[tuple[str, str, Spread, str]]:
    """What, split, spread, and a histogram."""
    recording = store.column(CLIPS, "recording")
    per_recording = np.bincount(recording, minlength=store.recordings.num_rows)
    split = store.recordings.column("split").to_numpy(zero_copy_only=False)
    subject = store.column(RECORDINGS, "subject")
    for s in numbers.splits:
        mine = split == s.name
        if s.per_recording:
            yield "recording", s.name, s.per_recording, _histogram(per_recording[mine])
    for s in numbers.splits:
        mine = (split == s.name) & (subject >= 0)
        if s.per_subject:
            _, who = np.unique(subject[mine], return_inverse=True)
            clips = np.bincount(who, weights=per_recording[mine]).astype(np.int64)
            yield "person", s.name, s.per_subject, _histogram(clips)


def _histogram(values: Ids, bins: int = 24) -> str:
    """How often each number occurs, from 0 to the greatest."""
    edges = np.linspace(0, max(int(values.max()) + 1, 1), min(bins, int(values.max()) + 1) + 1)
    return _columns(np.histogram(values, edges)[0].tolist())


def _columns(counts: Sequence[int], width: int = 160, height: int = 34) -> str:
    """Small columns side by side; the numbers stand beside them."""
    step, most = width / len(counts), max(max(counts), 1)
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{height - height * n / most:.1f}" width="{0.86 * step:.1f}" '
        f'height="{height * n / most:.1f}"><title>{n:,}</title></rect>'
        for i, n in enumerate(counts)
        if n
    )
    return (
        f'<svg class="columns" viewBox="0 0 {width} {height + 1}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="M0 {height + 0.5}H{width}" stroke="#cdd4d9"/><g fill="#4d8fb5">{bars}</g></svg>'
    )


# ---- joints


def _shade(share: float) -> str:
    """From pale (never missing) to dark (always missing); lightness alone tells."""
    pale, dark = np.array((222, 234, 242)), np.array((122, 30, 10))
    middle = np.array((222, 140, 60))
    a, b, t = (pale, middle, 2 * share) if share < 0.5 else (middle, dark, 2 * share - 1)
    return "rgb({},{},{})".format(*(a + (b - a) * t).round().astype(int))


def _figure(skeleton: Skeleton, joints: Joints) -> str:
    """The median pose, every joint in the colour of how often it is missing."""
    known = [p for p in joints.pose if p is not None]
    if not known:
        return ""
    places: NDArray[np.float64] = np.array([p or (np.nan, np.nan) for p in joints.pose])
    low, high = np.nanmin(places, 0), np.nanmax(places, 0)
    zoom = min(300 / max(high[0] - low[0], 1e-6), 400 / max(high[1] - low[1], 1e-6))
    places = (places - low) * zoom + 14
    width, height = (high - low) * zoom + 28
    parts = []
    for a, b in skeleton.bones:
        if joints.pose[a] is not None and joints.pose[b] is not None:
            (ax, ay), (bx, by) = places[[a, b]]
            parts.append(f'<path d="M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}" stroke="#cdd4d9" stroke-width="2"/>')
    # the worst are drawn last, so that they are not hidden
    for j in sorted(range(len(skeleton)), key=lambda j: joints.missing[j]):
        if joints.pose[j] is not None:
            x, y = places[j]
            words = escape(f"{skeleton.joints[j]}: missing in {joints.missing[j]:.1%}")
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{_shade(joints.missing[j])}" stroke="#7d8890">'
                f"<title>{words}</title></circle>"
            )
    return (
        f'<svg class="figure" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="Median pose; the table holds how often each joint is missing">{"".join(parts)}</svg>'
    )


def _joints(skeleton: Skeleton, joints: Joints) -> list[tuple[str, float, str]]:
    """Name, share missing, colour; the worst first."""
    rows = [(name, share, _shade(share)) for name, share in zip(skeleton.joints, joints.missing, strict=True)]
    return sorted(rows, key=lambda row: -row[1])


# ---- samples


def _samples(store: Store, numbers: Statistics, progress: Progress | None) -> Iterator[dict[str, Any]]:
    """Some clips of every class, the same every time: from the split of the long tail, else from all."""
    label = store.column(CLIPS, "label")
    split = store.recordings.column("split").to_numpy(zero_copy_only=False)
    preferred = np.zeros(len(label), np.bool_)
    if numbers.tail:
        preferred = (split == numbers.tail.split)[store.column(CLIPS, "recording")]
    chosen: dict[int, list[int]] = {}
    # one pass over the table: sorted by class, those of the preferred split first
    order = np.lexsort((~preferred, label))
    edges = np.searchsorted(label[order], np.arange(-1, len(store.taxonomy) + 1))
    for k, (a, b) in enumerate(pairwise(edges.tolist()), start=-1):
        if a < b:
            own = int(preferred[order[a:b]].sum()) or b - a
            places = np.unique(np.linspace(0, own - 1, min(SAMPLES + 2, own + 2)).round().astype(int)[1:-1])
            chosen[k] = order[a + places].tolist()
    spent, cards = 0, []
    wanted = sorted((i, k < 0, k) for k, rows in chosen.items() for i in range(len(rows)))
    for n, (i, _, k) in enumerate(wanted):
        if progress is not None:
            progress("drawing", n + 1, len(wanted))
        card = _card(store, chosen[k][i], k)
        spent += len(card["svg"])
        if spent > BUDGET:
            if progress is not None:
                progress("drawing", len(wanted), len(wanted))
            break
        cards.append(((k < 0, k, i), card))
    yield from (card for _, card in sorted(cards, key=lambda c: c[0]))


def _card(store: Store, row: int, k: int) -> dict[str, Any]:
    """A clip at three instants, of the person who is seen best."""
    clip = store.clips.slice(row, 1).to_pylist()[0]
    recording = store.recordings.slice(clip["recording"], 1).to_pylist()[0]
    instants = np.unique(np.linspace(0.1, 0.9, _INSTANTS) * (clip["frames"] - 1)).round().astype(int).tolist()
    pieces = [store.frames(clip["recording"], clip["start"] + t, 1) for t in instants]
    xy, score = np.concatenate([p[0] for p in pieces], 1), np.concatenate([p[1] for p in pieces], 1)
    person = int(score.sum((1, 2)).argmax())
    track = PoseTrack(xy[person], score[person], recording["fps"], (0, 0), store.skeleton)
    here = np.flatnonzero((track.score > 0).any(1))
    frames = [int(here[round(q * (len(here) - 1))]) for q in (0.0, 0.5, 1.0)] if len(here) else [0]
    name = store.taxonomy[k].name if k >= 0 else "label withheld"
    words = f"Skeleton at {len(frames)} instants: {name}, clip {clip['name']}"
    group = store.taxonomy[k].group if k >= 0 else ""
    return {
        "name": name,
        "clip": clip["name"],
        "split": recording["split"],
        "seconds": clip["frames"] / recording["fps"],
        "colour": group_colour(store.taxonomy, k) if k >= 0 else OTHER,
        "svg": svg_poses(track, frames, words, group) if len(here) else "",
    }


# ---- findings


def _grouped(findings: Sequence[Finding]) -> Iterator[tuple[str, str, list[Finding]]]:
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, finding.topic), []).append(finding)
    order: Mapping[str, int] = {"refused": 0, "missing": 1, "quirk": 2}
    for (kind, topic), group in sorted(groups.items(), key=lambda item: order.get(item[0][0], 3)):
        yield kind, topic, group
