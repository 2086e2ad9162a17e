"""Time per clip of the skeleton recognisers, beside PYSKL's.

    OMP_NUM_THREADS=1 python benchmarks/recognizers.py

Prints a Markdown table with commit and machine: milliseconds of CPU time on one thread per clip of 2 persons, 100
frames and 17 joints, in batches of 8, published widths; the least of several rounds, since a busy machine only ever
adds time. Rounds alternate between the systems, so that all of them see the same neighbours.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.layers.batch import PoseBatch
from microgesture.systems.ctrgcn import CTRGCN
from microgesture.systems.stgcn import STGCN
from microgesture.systems.stgcnpp import STGCNpp

CLIPS, PERSONS, FRAMES = 8, 2, 100
SYSTEMS: dict[str, type[nn.Module]] = {"ST-GCN": STGCN, "ST-GCN++": STGCNpp, "CTR-GCN": CTRGCN}

# kennymckormick/pyskl at 3f6795f2, torch 2.13.0, same shapes, measured on 2026-11-20 on 2 cores of an x86-64 with
# AVX-512: forward in CPU time on one thread; forward and backward in wall time on two threads of a quiet machine
PYSKL_FORWARD = {"ST-GCN": 68, "ST-GCN++": 73, "CTR-GCN": 61}
PYSKL_BOTH_TWO_THREADS = {"ST-GCN": 98, "ST-GCN++": 128, "CTR-GCN": 112}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)

    skeleton = SKELETONS["coco17"]
    shape = (CLIPS, PERSONS, FRAMES, len(skeleton))
    batch = PoseBatch(torch.randn(*shape, 2), torch.rand(shape), torch.arange(CLIPS))
    models = {name: cls(skeleton, IMIGUE, FRAMES, PERSONS) for name, cls in SYSTEMS.items()}
    forward = {name: float("inf") for name in models}
    both = dict(forward)
    for _ in range(rounds + 1):  # the first round warms up, and can hardly be the fastest
        for name, model in models.items():
            forward[name] = min(forward[name], cpu_ms(lambda m=model: infer(m, batch)) / CLIPS)
            both[name] = min(both[name], cpu_ms(lambda m=model: learn(m, batch)) / CLIPS)

    print(
        f"commit {commit()}, torch {torch.__version__}, {machine()}, one thread, CPU time, least of {rounds} rounds\n"
    )
    print("| system | parameters | forward ms/clip | PYSKL | forward + backward ms/clip | PYSKL, 2 threads, wall |")
    print("|---|---|---|---|---|---|")
    for name, model in models.items():
        parameters = sum(p.numel() for p in model.parameters())
        print(
            f"| {name} | {parameters:,} | {forward[name]:.0f} | {PYSKL_FORWARD[name]} "
            f"| {both[name]:.0f} | {PYSKL_BOTH_TWO_THREADS[name]} |"
        )


def infer(model: nn.Module, batch: PoseBatch) -> None:
    with torch.inference_mode():
        model.eval()(batch)


def learn(model: nn.Module, batch: PoseBatch) -> None:
    model.zero_grad()
    model.losses(model.train()(batch), batch)["class"].backward()


def cpu_ms(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    main()
