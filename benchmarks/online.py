"""The table of spotters: what every trained one finds in the recordings of a split, beside the shipped model.

    python benchmarks/online.py runs/online/* --out docs/results/online.md

Reads the `test.json` of each run, which `microgesture test` wrote; seeds of one recipe are one row. Runs on different
data are in different tables. Where the data are simulated recordings, the shipped model searches the same ones, with
the thresholds it ships with.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from conditions import commit

from microgesture.analysis.recogniser import Recogniser
from microgesture.core.decode import decode
from microgesture.core.detections import Detections
from microgesture.core.segment import Timeline
from microgesture.datasets.simulated import SimulatedRecordings
from microgesture.evaluation.records import read_record
from microgesture.learning.spotting import online_metrics

COLUMNS = (
    ("F1@0.3", "f1@0.3", 100), ("as released", "f1@0.3_smg2023", 100), ("recall", "recall@0.3", 100),
    ("precision", "precision@0.3", 100), ("F1@0.5", "f1_by_iou.0.5", 100), ("mAP@0.3", "map@0.3", 100),
    ("mAP@0.5", "map@0.5", 100), ("delay s", "delay_median", 1), ("wrong / min", "wrong_per_minute", 1),
    ("false alarms / min", "false_alarms_per_minute", 1),
)  # fmt: skip
BEGIN = (("found by begin", "begin.detection_rate", 100), ("false positives", "begin.false_positives", 100))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="Markdown file; printed if not given")
    asked = parser.parse_args()
    tables: dict[tuple[Any, ...], dict[tuple[str, str], list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for run in sorted(asked.runs):
        record = read_record(run)
        m = record["metrics"]
        place = record["dataset"], record["taxonomy"], record["split"], record["clips"], m["true"], m["minutes"]
        tables[place][record["key"], record["recipe"]].append(record)
    text = "# Finding gestures in recordings: results\n\n"
    names = sorted(str(run) for run in asked.runs)
    text += f"Made by `python benchmarks/online.py {' '.join(names)}` at commit {commit()}. "
    text += (
        "Figures in percent unless a unit is given; several seeds: mean ± standard deviation. In brackets: 95 % "
        "interval of the pooled F1 from drawing recordings anew, first seed. F1 is strict: one detection for one "
        'gesture; "as released" counts as the SMG code does. Each threshold was chosen on other people than were '
        "learnt from. The delay is that of an offline result: from the true to the found begin.\n"
    )  # fmt: skip
    for place, rows in tables.items():
        text += table(place, rows)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")
    print(text)


def table(place: tuple[Any, ...], rows: dict[tuple[str, str], list[dict[str, Any]]]) -> str:
    dataset, taxonomy, split, recordings, gestures, minutes = place
    first = next(iter(rows.values()))[0]
    kind = "SIMULATED data, no recordings of people" if first["simulated"] else "recordings of people"
    text = f"\n## {dataset}, split {split}\n\n{kind}; labels of {taxonomy}; "
    text += f"{recordings} recordings, {minutes:.0f} minutes, {gestures} gestures.\n\n"
    columns = [*COLUMNS, *(BEGIN if "begin" in first["metrics"] else ())]
    text += f"| method | seeds | {' | '.join(name for name, _, _ in columns)} | parameters |\n"
    text += f"|---|---|{'---:|' * len(columns)}---:|\n"
    lines = []
    for (key, recipe), records in rows.items():
        values = [[_value(r["metrics"], name, scale) for r in records] for _, name, scale in columns]
        low, high = records[0]["metrics"]["f1@0.3_per_recording"]["bootstrap95"]
        cells = [_cell(v) for v in values]
        cells[0] += f" [{100 * low:.1f}, {100 * high:.1f}]"
        name = recipe.rpartition("/")[2]
        shown = key if name == key else f"{key} ({name})"
        seeds = ", ".join(str(s) for s in sorted(r["seed"] for r in records))
        lines.append((np.mean([r["metrics"]["f1@0.3"] for r in records]),
                      f"| {shown} | {seeds} | {' | '.join(cells)} | {records[0]['parameters']:,} |\n"))  # fmt: skip
    if dataset == SimulatedRecordings.key and split == "test":
        metrics = shipped(taxonomy, minutes)
        cells = [_cell([_value(metrics, name, scale)]) for _, name, scale in columns]
        lines.append((metrics["f1@0.3"], f"| the shipped model, windows | – | {' | '.join(cells)} | |\n"))
    text += "".join(line for _, line in sorted(lines, key=lambda pair: -pair[0]))
    commits = sorted({r["commit"][:12] for records in rows.values() for r in records if r["commit"]})
    return text + f"\nRuns made at commit {', '.join(commits)}.\n"


def shipped(taxonomy: str, minutes: float) -> dict[str, Any]:
    """Figures of the shipped recogniser on the same simulated recordings, thresholds as shipped."""
    recogniser = Recogniser.from_pretrained("base")
    truth, found = [], []
    for recording in SimulatedRecordings(taxonomy, test_minutes=minutes).recordings("test"):
        line, track = recording.timeline, recording.track
        times = np.arange(0.125, line.duration, 0.25)
        p = recogniser.windows(track, line.taxonomy, times)
        segments = decode(times, p, line.taxonomy, line.duration, recogniser.decoding(line.taxonomy))
        truth.append(line)
        found.append(_detections(Timeline(segments, line.taxonomy, line.duration)))
    return online_metrics(truth, found, 0.0)


def _detections(line: Timeline) -> Detections:
    rows = [(s.start, s.end, s.label, s.score) for s in line]
    return Detections(*(np.array(column) for column in zip(*rows, strict=True))) if rows else Detections.none()


def _value(metrics: dict[str, Any], name: str, scale: float) -> float | None:
    value: Any = metrics
    for part in name.split(".", 1) if name.startswith(("f1_by_iou", "begin")) else [name]:
        value = value[part]
    return None if value is None else scale * value


def _cell(values: list[float | None]) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return "–"
    digits = 1 if max(map(abs, known)) >= 5 else 2
    mean = f"{np.mean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ± {np.std(known, ddof=1):.{digits}f}"


if __name__ == "__main__":
    main()
