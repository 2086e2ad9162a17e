"""A store of 1,000,000 simulated clips beside one of 10,000: how fast it opens, what reading in random order costs.

    python benchmarks/store.py [--clips 1000000] [--folder DIR]

10,000 clips are simulated (24 frames, 22 joints); the large store holds them again and again, which changes nothing for
reading. Each store is read by a process of its own with two workers; memory is the resident size of all three.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.core.track import project
from microgesture.datasets.prepare import Cut, Found, Recorded, Unit, prepare
from microgesture.datasets.store import StoredDataset, open_store
from microgesture.formats.safe_npz import read_arrays, write_arrays
from microgesture.simulation.clips import simulate_clips

BLOCK, FRAMES = 10_000, 24
LAYOUT = SKELETONS["imigue22"]


@dataclass(frozen=True)
class Simulated:
    """One file of clips, read `copies` times over."""

    key: ClassVar[str] = "benchmark"
    skeleton: ClassVar = LAYOUT
    taxonomy: ClassVar = IMIGUE
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 2
    fps: ClassVar[float] = 15.0
    states: ClassVar[tuple[str, ...]] = ()
    expected: ClassVar[dict[str, dict[str, int]]] = {}
    expected_classes: ClassVar[dict[str, list[int]]] = {}

    copies: int = 1

    def find(self, root: Path) -> Found:
        return Found(tuple(Unit(f"block{i}", (root / "clips.npz",)) for i in range(self.copies)))

    def read(self, unit: Unit) -> Iterator[Recorded]:
        made = read_arrays(unit.files[0])
        cuts = [Cut(f"{unit.name}_{i}", int(k), i * FRAMES, (i + 1) * FRAMES) for i, k in enumerate(made["label"])]
        yield Recorded(unit.name, "train", made["xy"][None], made["score"][None], 15.0, cuts)


class Stored(StoredDataset):
    key, skeleton, taxonomy, fps = "benchmark", LAYOUT, IMIGUE, 15.0


def measure(folder: str, samples: int) -> dict[str, float]:
    import psutil
    import torch

    from microgesture.datasets.loading import Loading, train_loader

    torch.set_num_threads(1)
    start = time.perf_counter()
    store = open_store(folder)
    clips = store.clips.num_rows
    opened = time.perf_counter() - start
    loader = train_loader(Stored(folder), Loading(frames=FRAMES, batch=64, workers=2), 0)
    start, read = time.perf_counter(), 0
    for batch in loader:
        read += len(batch)
        if read >= samples:
            break
    me = psutil.Process()
    resident = sum(p.memory_info().rss for p in (me, *me.children(recursive=True))) / 2**20
    return {
        "clips": clips,
        "open_s": round(opened, 3),
        "resident_mb": round(resident),
        "clips_per_s": round(read / (time.perf_counter() - start)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "stores")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.samples)))
        return
    raw = options.folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    made = simulate_clips("imigue", BLOCK, 0, frames=FRAMES)
    xy, score = project(made.xy, made.score, made.skeleton, LAYOUT)
    write_arrays(
        raw / "clips.npz", {"xy": xy.reshape(-1, 22, 2), "score": score.reshape(-1, 22), "label": np.array(made.label)}
    )
    rows = []
    for copies in (1, options.clips // BLOCK):
        folder = options.folder / f"{copies}"
        start = time.perf_counter()
        prepare(Simulated(copies), raw, folder)
        seconds = time.perf_counter() - start
        command = [sys.executable, __file__, "--measure", str(folder), "--samples", str(options.samples)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        size = sum(f.stat().st_size for f in folder.iterdir()) / 2**30
        rows.append({"prepare_s": round(seconds, 1), "size_gb": round(size, 2)} | json.loads(done.stdout))
        print(json.dumps(rows[-1]))
    print(f"resident memory grows by {rows[1]['resident_mb'] - rows[0]['resident_mb']} MB")
    shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
