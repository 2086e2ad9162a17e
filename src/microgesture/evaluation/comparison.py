"""Comparing results: runs are pooled over seeds, and published figures stand beside them, never among them.

A block holds only what was measured on the same clips. Published figures have blocks of their own, one per split;
what is not measured on real people says so in its heading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from microgesture.core.errors import UsageError
from microgesture.evaluation.published import FLOORS, Published, published
from microgesture.evaluation.records import (
    PREDICTIONS,
    Predictions,
    flat,
    read_predictions,
    read_record,
    record_file,
)
from microgesture.evaluation.tables import Block, Row, Table

NONE = "–"

METRICS: dict[str, tuple[str, ...]] = {
    "top-1": ("top1",),
    "top-5": ("top5",),
    "macro F1": ("macro_f1",),
    "mean class": ("mean_class",),
    "body top-1": ("ma52.coarse_micro",),
    "body macro F1": ("ma52.coarse_macro",),
    "action macro F1": ("ma52.fine_macro",),
    "F1 mean": ("ma52.f1_mean",),
    "recall@0.3": ("recall@0.3", "spotting.recall"),
    "precision@0.3": ("precision@0.3", "spotting.precision"),
    "F1@0.3": ("f1@0.3", "spotting.f1"),
    "accuracy": ("accuracy", "emotion.accuracy"),
}
"""Name of a metric in tables and papers -> its names in records, the first that is there counts."""

_INTERVALS = ("_exact95", "_wilson95", "_95", "_interval")


@dataclass(frozen=True)
class Layout:
    """One of the field's tables.

    Args:
        datasets: whose figures it holds.
        columns: metrics.
        needs: a method stands in it if it has one of these; by default any of the columns.
    """

    key: str
    title: str
    datasets: tuple[str, ...]
    columns: tuple[str, ...]
    needs: tuple[str, ...] = ()


SURVEY: tuple[Layout, ...] = (
    Layout("4a", "iMiGUE, classification of clips, 32 classes", ("imigue",), ("top-1", "top-5")),
    Layout("4b", "SMG, classification of clips, 17 classes", ("smg",), ("top-1", "top-5")),
    Layout(
        "4c",
        "Online recognition in long recordings",
        ("smg", "imigue"),
        ("recall@0.3", "precision@0.3", "F1@0.3", "F1"),
    ),
    Layout(
        "4d",
        "MA-52, classification of clips, 52 actions in 7 body parts",
        ("ma52",),
        ("body top-1", "top-1", "top-5", "body macro F1", "action macro F1", "F1 mean"),
    ),
    Layout("4e", "States of people", ("imigue", "smg", "eald", "deemo"), ("accuracy", "F1"), ("accuracy",)),
)
"""The comparison tables of the field's survey."""


@dataclass(frozen=True, eq=False)
class Result:
    """A record, and the predictions beside it if there are any."""

    record: dict[str, Any]
    predictions: Predictions | None = None


def read_result(path: str | Path) -> Result:
    """A record with its predictions; see `read_record`."""
    file = record_file(path)
    beside = file.parent / PREDICTIONS
    return Result(read_record(file), read_predictions(beside) if beside.exists() else None)


@dataclass(frozen=True)
class Pooled:
    """Runs of one system by one recipe on the same clips."""

    runs: tuple[Result, ...]

    @property
    def first(self) -> dict[str, Any]:
        """The record of the first run; all agree in everything but seed and figures."""
        return self.runs[0].record

    @property
    def name(self) -> str:
        """Key of the system, and the recipe where its name says more."""
        key, recipe = str(self.first["key"]), self.first["recipe"]
        return key if recipe is None or recipe.rpartition("/")[2] == key else f"{key} ({recipe})"

    @property
    def place(self) -> tuple[Any, ...]:
        """What must agree for figures to be compared."""
        r = self.first
        floor = r["metrics"].get("majority_floor")
        return r["dataset"], r["taxonomy"], r["protocol"] or "", r["split"], r["simulated"], r["clips"], floor or 0.0

    def values(self, metric: str) -> list[float]:
        """A metric of every run that has it, in percent."""
        found = (_value(run.record, metric) for run in self.runs)
        return [100 * value for value in found if value is not None]


def pool(results: Sequence[Result]) -> list[Pooled]:
    """Put runs together that differ in nothing but their seed.

    Raises:
        UsageError: one model was given twice.
    """
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        r = result.record
        groups.setdefault((r["system"], r["recipe"] or "", r["parameters"], *Pooled((result,)).place), []).append(
            result
        )
    for runs in groups.values():
        runs.sort(key=lambda run: (run.record["seed"] is None, run.record["seed"] or 0, str(run.record["commit"])))
        weights = [run.record["weights_sha256"] for run in runs if run.record["weights_sha256"]]
        if len(set(weights)) != len(weights):
            r = runs[0].record
            raise UsageError(
                f"two results of {r['key']} on {r['dataset']}, split {r['split']}, are of the same weights; "
                "name each run once"
            )
    return [Pooled(tuple(groups[key])) for key in sorted(groups, key=repr)]


def metric_name(wanted: str, results: Sequence[Result]) -> str:
    """Name of a metric in tables, from that name or the one in records.

    Raises:
        UsageError: no result has it; the message offers the nearest.

    Example:
        >>> metric_name("top1", ())
        'top-1'
    """
    known = {alias: name for name, aliases in METRICS.items() for alias in (name, *aliases)}
    if wanted in known:
        return known[wanted]
    there = {name for result in results for name, value in flat(result.record["metrics"]) if _is_share(value)}
    if wanted in there:
        return wanted
    near = get_close_matches(wanted, [*known, *sorted(there)], n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    raise UsageError(f"no metric '{wanted}' that is a share; {hint}")


def compare(
    results: Sequence[Result],
    *,
    command: str,
    survey: bool = False,
    dataset: str | None = None,
    metric: str | None = None,
) -> list[Table]:
    """Tables of results.

    Args:
        command: what the caption names as the maker.
        survey: make the survey's tables, published figures in blocks of their own; otherwise one table per data set
            with what was measured here.
        dataset: only this one.
        metric: rows are sorted and tested by it; by default the table's first of top-1, F1 mean, F1@0.3, accuracy.

    Raises:
        UsageError: there is nothing to compare, no such data set or metric, or a model was given twice.
    """
    by = None if metric is None else metric_name(metric, results)
    pooled = pool(results)
    layouts = SURVEY if survey else _own_layouts(pooled)
    known = sorted({key for layout in layouts for key in layout.datasets})
    if dataset is not None and dataset not in known:
        raise UsageError(f"no figures for data set '{dataset}'; there are: {', '.join(known) or 'none'}")
    tables = []
    for layout in layouts:
        keys = [key for key in layout.datasets if dataset in (None, key)]
        needs = layout.needs or _columns(layout, by)
        ours = [p for p in pooled if _data(p) in keys and any(p.values(c) for c in needs)]
        theirs = [p for p in published() if survey and p.dataset in keys and any(m in needs for m, _ in p.figures)]
        if keys and (ours or theirs):
            tables.append(_table(layout, ours, theirs, by, command))
    if not tables:
        raise UsageError("there is nothing to compare; name the folders of runs, or ask for --like survey")
    return tables


def _own_layouts(pooled: Sequence[Pooled]) -> tuple[Layout, ...]:
    layouts = []
    for key in dict.fromkeys(_data(p) for p in pooled):
        columns = tuple(name for name in METRICS if any(p.values(name) for p in pooled if _data(p) == key))
        layouts.append(Layout(key, f"Results on {key}", (key,), columns))
    return tuple(layouts)


def _data(p: Pooled) -> str:
    # what a simulator made in the manner of a data set stands in that set's table, marked as simulated
    return str(p.first["taxonomy"] if p.first["dataset"].startswith("simulated") else p.first["dataset"])


def _columns(layout: Layout, by: str | None) -> tuple[str, ...]:
    return layout.columns if by is None or by in layout.columns else (by, *layout.columns)


def _table(layout: Layout, ours: list[Pooled], theirs: list[Published], by: str | None, command: str) -> Table:
    columns = _columns(layout, by)
    lead = by if by in columns else next((c for c in ("top-1", "F1@0.3", "accuracy") if c in columns), columns[0])
    blocks, notes = [], []
    for place in sorted({p.place for p in ours}, key=lambda place: (place[4], repr(place))):
        here = [p for p in ours if p.place == place]
        blocks.append(_measured(here, columns, lead))
        notes += _tests(here, lead)
    for dataset, split, comparable in dict.fromkeys((p.dataset, p.split, p.comparable) for p in theirs):
        rows = [p for p in theirs if (p.dataset, p.split, p.comparable) == (dataset, split, comparable)]
        blocks.append(_printed(rows, columns, lead))
    if theirs:
        notes.append(
            "Published figures were read at the source named, not measured here; blocks are not ranked together."
        )
    notes.append(
        f"Figures in percent, sorted by {lead} within a block, the best bold. Intervals: 95 %. "
        "Several seeds: mean ± standard deviation (least to most). Each run stands below."
        if ours
        else f"Figures in percent, sorted by {lead} within a block, the best bold."
    )
    notes += [_run(run, columns) for p in ours for run in p.runs]
    head = ("method", "published" if not ours else "seeds" if not theirs else "published, or seeds here")
    last = "cost" if not theirs else "source" if not ours else "source, or cost"
    return Table(
        layout.key, layout.title, (*head, *columns, last), tuple(blocks), _caption(ours, command), tuple(notes)
    )


def _caption(ours: Sequence[Pooled], command: str) -> str:
    runs = [run.record for p in ours for run in p.runs]
    if not runs:
        return f"Made by `{command}` from the published figures this package holds."

    def listed(name: str) -> str:
        values = sorted({run[name] for run in runs if run[name] is not None})
        missing = ["unknown"] if any(run[name] is None for run in runs) else []
        return ", ".join([*(str(v)[:12] if name == "commit" else str(v) for v in values), *missing])

    return (
        f"Made by `{command}`. Measured here at commit {listed('commit')}, seeds {listed('seed')}, "
        f"split {listed('split')}."
    )


def _measured(here: list[Pooled], columns: Sequence[str], lead: str) -> Block:
    dataset, taxonomy, protocol, split, simulated, clips, floor = here[0].place
    cells = []
    for p in here:
        seeds = ", ".join("?" if run.record["seed"] is None else str(run.record["seed"]) for run in p.runs)
        cells.append([p.name, f"{seeds} (n = {len(p.runs)})", *(_cell(p, c) for c in columns), _cost(p.first)])
    means = [[mean(values) if (values := p.values(c)) else None for c in columns] for p in here]
    rows = _ranked(cells, means, columns, lead)
    rows.append(_floor_row(columns, 100 * floor if floor else None, "share of the most frequent class"))
    origin = "SIMULATED data, no recordings of people: " if simulated else ""
    heading = f"Measured here, {origin}{dataset}, {taxonomy} labels, "
    heading += f"{protocol + ', ' if protocol else ''}split {split}, {clips:,} clips"
    return Block(heading, tuple(rows))


def _printed(rows: list[Published], columns: Sequence[str], lead: str) -> Block:
    first = rows[0]
    values = [[p.figure(c) for c in columns] for p in rows]
    cells = []
    for p, each in zip(rows, values, strict=True):
        source = p.source + ("" if p.mark == "read" else f" ({p.mark})") + (f"; {p.note}" if p.note else "")
        cells.append([p.method, f"{p.venue} {p.year}", *(_percent(v) for v in each), source])
    ranked = _ranked(cells, values, columns, lead, first.comparable)
    floor, counted = FLOORS.get((first.dataset, first.split), (None, "not known for this split"))
    ranked.append(_floor_row(columns, floor, counted))
    heading = f"Published, {first.dataset}, {first.split}" + ("" if first.comparable else "; not ranked")
    return Block(heading, tuple(ranked))


def _ranked(
    cells: Sequence[Sequence[str]],
    values: Sequence[Sequence[float | None]],
    columns: Sequence[str],
    lead: str,
    rank: bool = True,
) -> list[Row]:
    """Rows with the best first, those without the leading metric last; the best of each column marked."""
    if not rank:
        return [Row(tuple(row)) for row in cells]
    at = list(columns).index(lead)

    def order(i: int) -> tuple[bool, float, str]:
        value = values[i][at]
        return value is None, -(value or 0.0), cells[i][0]

    tops = [max((v for row in values if (v := row[c]) is not None), default=None) for c in range(len(columns))]
    several = len(cells) > 1  # to lead a block of one is no merit
    return [
        Row(
            tuple(cells[i]),
            tuple(c + 2 for c, top in enumerate(tops) if several and top is not None and values[i][c] == top),
        )
        for i in sorted(range(len(cells)), key=order)
    ]


def _floor_row(columns: Sequence[str], floor: float | None, words: str) -> Row:
    # answering always the most frequent class is right that often; other metrics have other floors
    cells = [_percent(floor) if c in ("top-1", "accuracy") else NONE for c in columns]
    if all(c not in ("top-1", "accuracy") for c in columns):
        words = "not defined for these metrics"
    return Row(("majority floor", NONE, *cells, words), floor=True)


def _cell(p: Pooled, metric: str) -> str:
    values = p.values(metric)
    if not values:
        return NONE
    if len(values) > 1:
        spread = f"{mean(values):.2f} ± {stdev(values):.2f} ({min(values):.2f} to {max(values):.2f})"
        return spread if len(values) == len(p.runs) else f"{spread}, {len(values)} of {len(p.runs)} runs"
    return _percent(values[0]) + _interval(p.first, metric)


def _run(run: Result, columns: Sequence[str]) -> str:
    r = run.record
    floor = r["metrics"].get("majority_floor")
    figures = [f"{c} {_percent(100 * v)}{_interval(r, c)}" for c in columns if (v := _value(r, c)) is not None]
    seed = "unknown" if r["seed"] is None else r["seed"]
    made = [f"seed {seed}", f"commit {(r['commit'] or 'unknown')[:12]}", f"split {r['split']}", f"{r['clips']:,} clips"]
    made += [f"floor {_percent(100 * floor)}"] if floor is not None else []
    return f"{Pooled((run,)).name}, {', '.join(made)}: {', '.join(figures)}. Data: {r['source']}" + (
        " (simulated)." if r["simulated"] else "."
    )


def _value(record: dict[str, Any], metric: str) -> float | None:
    metrics = dict(flat(record["metrics"]))
    names = METRICS.get(metric, (metric,))
    return next((float(metrics[name]) for name in names if _is_share(metrics.get(name))), None)


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _interval(record: dict[str, Any], metric: str) -> str:
    metrics = dict(flat(record["metrics"]))
    names = (name + ending for name in METRICS.get(metric, (metric,)) for ending in _INTERVALS)
    found = next((metrics[name] for name in names if isinstance(metrics.get(name), list)), None)
    return "" if found is None else f" [{100 * found[0]:.2f}, {100 * found[1]:.2f}]"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _cost(record: dict[str, Any]) -> str:
    parts = []
    if record["parameters"] is not None:
        parts.append(f"{record['parameters'] / 1e6:.2f} M parameters")
    if record["flops"] is not None:
        parts.append(f"{record['flops'] / 1e9:.2f} GFLOP")
    if record["latency_ms"] is not None:
        parts.append(f"{record['latency_ms']:.1f} ms")
    return ", ".join(parts) or NONE


def _tests(here: list[Pooled], lead: str) -> list[str]:
    """McNemar's test between the best run of a block and the runs of the other systems, on the same clips."""
    from microgesture.evaluation.uncertainty import mcnemar

    runs = [(p, run, value) for p in here for run in p.runs if (value := _value(run.record, lead)) is not None]
    told = [(p, run, value) for p, run, value in runs if run.predictions is not None]
    if lead not in ("top-1", "accuracy") or len({id(p) for p, _, _ in told}) < 2:
        return []
    top, best, _ = max(told, key=lambda one: one[2])
    lines = []
    for p, run, _ in told:
        if p is top or best.predictions is None or run.predictions is None:
            continue
        pair = f"{_who(top, best)} against {_who(p, run)}"
        same = _same_clips(best.predictions, run.predictions)
        if same is None:
            lines.append(f"McNemar, {pair}: not computed, their predictions are not of the same clips.")
            continue
        one, other = same
        found = mcnemar(one.label, one.probabilities.argmax(1), other.probabilities.argmax(1))
        lines.append(
            f"McNemar, {pair}: {found.only_first} clips only the first knows, {found.only_second} only the second, "
            f"of {len(one.label):,}; exact p = {found.exact:.4f}."
        )
    if len(lines) > 1:
        lines.append(f"{len(lines)} tests against the best run, not corrected for their number.")
    return lines


def _who(p: Pooled, run: Result) -> str:
    return f"{p.name} seed {'unknown' if run.record['seed'] is None else run.record['seed']}"


def _same_clips(one: Predictions, other: Predictions) -> tuple[Predictions, Predictions] | None:
    """Both in one order of clips; None if clips or labels differ."""
    if len(one.names) != len(other.names):
        return None
    if not np.array_equal(one.names, other.names):
        if len(set(one.names.tolist())) != len(one.names):
            return None  # repeated names in another order cannot be told apart
        one, other = (_taken(p, np.argsort(p.names, kind="stable")) for p in (one, other))
    agree = np.array_equal(one.names, other.names) and np.array_equal(one.label, other.label)
    return (one, other) if agree else None


def _taken(p: Predictions, order: Any) -> Predictions:
    return Predictions(p.names[order], p.label[order], p.probabilities[order])
