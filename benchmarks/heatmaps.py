"""Time to draw heatmap volumes, beside PYSKL's, and what the network behind them takes.

    OMP_NUM_THREADS=1 python benchmarks/heatmaps.py

Prints a Markdown table with commit and machine: milliseconds of CPU time on one thread per clip of 48 frames, 17 joints
and 64 x 64 pixels, in batches of 8; the least of several rounds, since a busy machine only ever adds time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from conditions import commit, cpu_ms, machine
from torch import Tensor

from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.layers.batch import PoseBatch
from microgesture.layers.heatmaps import joint_heatmaps, limb_heatmaps
from microgesture.systems.posec3d import PoseC3D

CLIPS, FRAMES, SIDE = 8, 48, 64

# kennymckormick/pyskl at 3f6795f2, same shapes, measured on 2026-11-20 on one thread of an x86-64 with AVX-512
PYSKL = {"joints, 1 person": 11.7, "joints, 2 persons": 22.5, "PoseC3D forward, 56 x 56": 745.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)

    skeleton = SKELETONS["coco17"]
    model = PoseC3D(skeleton, IMIGUE, FRAMES, 1, size=56).eval()
    one, two = pose(1), pose(2)
    batch = PoseBatch(*one)
    work: dict[str, Callable[[], object]] = {
        "joints, 1 person": lambda: joint_heatmaps(*one, (SIDE, SIDE)),
        "joints, 2 persons": lambda: joint_heatmaps(*two, (SIDE, SIDE)),
        "limbs, 1 person": lambda: limb_heatmaps(*one, skeleton.bones, (SIDE, SIDE)),
        "crop and joints, 1 person": lambda: model.volume(batch),
        "PoseC3D forward, 56 x 56": lambda: model(batch),
    }
    print(f"commit {commit()}, torch {torch.__version__}, {machine()}, one thread, least of {rounds} rounds\n")
    print("| work | ms/clip | PYSKL | times faster |")
    print("|---|---|---|---|")
    for name, task in work.items():
        with torch.inference_mode():
            took = min(cpu_ms(task) for _ in range(rounds + 1 if "forward" not in name else 2)) / CLIPS
        theirs = PYSKL.get(name)
        print(f"| {name} | {took:.1f} | {theirs or ''} | {f'{theirs / took:.1f}' if theirs else ''} |")


def pose(persons: int) -> tuple[Tensor, Tensor]:
    """Joints that wander over the canvas, and their scores."""
    make = torch.Generator().manual_seed(0)
    shape = (CLIPS, persons, FRAMES, 17)
    rest = torch.rand(CLIPS, persons, 1, 17, 2, generator=make) * (SIDE - 16) + 8
    walk = torch.randn(*shape, 2, generator=make).cumsum(2) * 0.2
    return rest + walk, torch.rand(shape, generator=make) * 0.5 + 0.5


if __name__ == "__main__":
    main()
