"""Rank of the true class on real, labelled clips, for one or several models.

    python benchmarks/real_clips.py ../shared/data/clips                         the shipped model
    python benchmarks/real_clips.py ../shared/data/clips runs/a runs/b --json    one column per model

The folder holds videos and a `labels.json`: {"clips": [{"file", "dataset", "label", "imigue_class_hint"}, ...]}.
A handful of clips are anecdotes: read the column of ranks, not a mean, and look at several seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from microgesture.analysis.recogniser import Recogniser
from microgesture.core.taxonomies import taxonomy
from microgesture.learning.runs import commit
from microgesture.pose.estimate import estimate_clip

SETS = {"iMiGUE": "imigue", "MA-52": "ma52", "SMG": "smg"}


def ranks(folder: Path, models: list[str]) -> dict[str, Any]:
    """For each labelled clip: its class, and rank, probability and first guess per model."""
    entries = json.loads((folder / "labels.json").read_text())["clips"]
    loaded = [Recogniser.from_pretrained(model) for model in models]
    rows = []
    for entry in entries:
        key = SETS.get(entry.get("dataset", ""))
        if key is None:
            continue
        space = taxonomy(key)
        true = space.find(entry.get("imigue_class_hint") or entry["label"]).id
        track = estimate_clip(folder / entry["file"])[0]
        row: dict[str, Any] = {"clip": entry["file"], "taxonomy": key, "label": space[true].name, "models": []}
        for model in loaded:
            p = model.clip(track, space)
            first = int(p.argmax())
            row["models"].append(
                {"rank": int((p > p[true]).sum()) + 1, "p": round(float(p[true]), 3), "first": space[first].name}
            )
        rows.append(row)
    return {"commit": commit(), "models": models, "clips": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=["base"])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = ranks(given.folder, given.models or ["base"])
    if given.json:
        json.dump(found, sys.stdout, indent=1)
        return
    print(f"commit {found['commit']}; rank (probability, first guess) of the true class")
    for row in found["clips"]:
        cells = [f"{m['rank']:>3} ({m['p']:.2f}, {m['first']})" for m in row["models"]]
        print(f"{row['clip'][:34]:34} {row['taxonomy']:7} {row['label'][:22]:22} " + "  ".join(cells))
    for i, model in enumerate(found["models"]):
        all_ranks = np.array([row["models"][i]["rank"] for row in found["clips"]])
        print(
            f"{model}: {(all_ranks == 1).sum()} of {len(all_ranks)} first, {(all_ranks <= 3).sum()} in the first three"
        )


if __name__ == "__main__":
    main()
