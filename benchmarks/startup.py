"""How long `microgesture --help` and its like take.

Run with `python benchmarks/startup.py`. Target: `--help` below 0.5 s on a quiet machine; on a busy one compare
the time of the processor. A fresh process each time; the first run, which compiles, is left out.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time


def seconds(*arguments: str, repeats: int = 7) -> tuple[float, float]:
    """Median wall time and median processor time of a command."""
    wall, processor = [], []
    for _ in range(repeats + 1):
        before, start = os.times(), time.perf_counter()
        subprocess.run([sys.executable, "-m", "microgesture", *arguments], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        wall.append(time.perf_counter() - start)
        used = after.children_user + after.children_system - before.children_user - before.children_system
        processor.append(used)
    return statistics.median(wall[1:]), statistics.median(processor[1:])


if __name__ == "__main__":
    for arguments in (("--help",), ("version",), ("systems", "--json"), ("datasets", "--json"), ("analyze", "--help")):
        wall, processor = seconds(*arguments)
        print(f"microgesture {' '.join(arguments):16} {wall:.2f} s, processor {processor:.2f} s")
