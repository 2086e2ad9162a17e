"""What the remedies of the long-tail kit are worth on simulated clips in iMiGUE's shares.

    python benchmarks/longtail.py --epochs 20 --seeds 3

Trains recipes/simulated/longtail.yaml without and with each remedy and prints a Markdown table: means over the seeds
on the split `test`, whose people are strangers and whose classes have the shares of the training split. The figures
compare the remedies with one another, and say nothing about people.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from microgesture.learning import test as measure
from microgesture.learning import train

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "simulated" / "longtail.yaml"
KIT = "microgesture.learning.longtail"
DRW = ("ClassBalanced", {"beta": 0.9999, "since": 0.8})
REMEDIES: dict[str, list[tuple[str, dict[str, float]]]] = {
    "cross-entropy": [],
    "inverse-sqrt weights": [("InverseSqrt", {})],
    "class-balanced weights": [("ClassBalanced", {"beta": 0.999})],
    "focal": [("Focal", {})],
    "generalised CE": [("GeneralisedCE", {})],
    "logit adjustment": [("LogitAdjustment", {})],
    "LDAM": [("LDAM", {})],
    "LDAM-DRW": [("LDAM", {}), DRW],
    "soft F1": [("SoftF1", {})],
    "cRT": [("ClassifierRetraining", {})],
    "tau-norm": [("TauNorm", {})],
    "post-hoc adjustment": [("PostHocAdjustment", {})],
}
BALANCES = ("sqrt", "class", "progressive", "repeat-factor", "replicate")
COLUMNS = ("top1", "macro_f1_present", "mean_class", "calibration_error")
SHOTS = ("many", "medium", "few")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names of rows")
    parser.add_argument("overrides", nargs="*", help="further settings of the recipe, key=value")
    given = parser.parse_args()
    rows = {name: [f"longtail={section(parts)}"] for name, parts in REMEDIES.items()}
    rows |= {f"balance: {balance}": ["longtail=null", f"loading.balance={balance}"] for balance in BALANCES}
    settings = [f"training.epochs={given.epochs}", *given.overrides]
    print(f"commit {commit()}, {given.epochs} epochs, {given.seeds} seeds\n")
    print(f"| remedy | {' | '.join((*COLUMNS, *SHOTS))} |\n|---|{'---|' * len((*COLUMNS, *SHOTS))}")
    for name in given.only or rows:
        found = [run([*settings, *rows[name], f"training.seed={seed}"]) for seed in range(given.seeds)]
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in np.mean(found, 0))} |", flush=True)


def run(overrides: list[str]) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        metrics = measure(train(RECIPE, overrides, folder))["metrics"]
    return [*(metrics[name] for name in COLUMNS), *(metrics["shots"][name] for name in SHOTS)]


def section(parts: list[tuple[str, dict[str, float]]]) -> str:
    return json.dumps([{"class_path": f"{KIT}.{name}", "init_args": args} for name, args in parts])


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
