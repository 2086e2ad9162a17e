"""How long `microgesture --help` takes.

Run with `python benchmarks/startup.py`. Target: below 0.5 s on a quiet machine. A fresh process each time; the first
run, which compiles, is left out.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(*arguments: str, repeats: int = 7) -> list[float]:
    """Wall time of a command, one value per repeat."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "microgesture", *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times[1:]


if __name__ == "__main__":
    for arguments in (("--help",), ("version",), ("systems", "--json"), ("datasets", "--json"), ("analyze", "--help")):
        times = seconds(*arguments)
        print(f"microgesture {' '.join(arguments):16} median {statistics.median(times):.2f} s, best {min(times):.2f} s")
