"""Strict F1@0.3 of the analysis pipeline on simulated ten-minute recordings of people the model never met.

    python benchmarks/spotting.py                       the shipped model, all taxonomies, four recordings each
    python benchmarks/spotting.py runs/base --like imigue --recordings 10

These recordings are simulated. Published systems reach 0.20 to 0.44 on real ones; the figures cannot be compared.
"""

from __future__ import annotations

import argparse

from microgesture.analysis.calibrate import spotting
from microgesture.analysis.recogniser import Recogniser
from microgesture.learning.runs import commit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="base")
    parser.add_argument("--like", choices=("imigue", "smg", "ma52"), action="append")
    parser.add_argument("--recordings", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=900, help="of the first recording; the others follow")
    given = parser.parse_args()
    recogniser = Recogniser.from_pretrained(given.model)
    seeds = range(given.seed, given.seed + given.recordings)
    told = f"seeds {seeds[0]}..{seeds[-1]}, {given.minutes:g} minutes each"
    print(f"simulated test people, {told}, commit {commit()}")
    print("taxonomy  F1@0.3  precision  recall  true  found  false alarms per minute")
    for key in given.like or recogniser.taxonomies:
        s = spotting(recogniser, key, seeds, given.minutes)
        print(
            f"{key:8}  {s.f1:6.3f}  {s.precision:9.3f}  {s.recall:6.3f}  {s.truth:4d}  {s.predicted:5d}  "
            f"{s.false_alarms_per_minute:.2f}"
        )


if __name__ == "__main__":
    main()
