"""How many clips the simulator makes per second, with one process per core.

python benchmarks/simulator.py            2 processes, 2,000 clips of 64 frames each
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from multiprocessing import get_context

from microgesture.learning.runs import commit
from microgesture.simulation.clips import simulate_clips


def work(job: tuple[int, int, int]) -> int:
    seed, clips, frames = job
    return len(simulate_clips("imigue", clips, seed, frames=frames))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--clips", type=int, default=2000, help="per process")
    parser.add_argument("--frames", type=int, default=64)
    given = parser.parse_args()
    batch = 250
    with get_context("spawn").Pool(given.processes) as pool:
        pool.map(work, [(0, 32, 16)] * given.processes)  # imports and programs are read here
        jobs = [(seed, batch, given.frames) for seed in range(given.processes * given.clips // batch)]
        begun = time.perf_counter()
        made = sum(pool.imap_unordered(work, jobs))
        seconds = time.perf_counter() - begun
    print(
        f"{made / seconds:.0f} clips of {given.frames} frames per second ({given.processes} processes, {made} clips, "
        f"load {os.getloadavg()[0]:.1f}, {platform.processor() or platform.machine()}, commit {(commit() or '?')[:8]})"
    )


if __name__ == "__main__":
    main()
