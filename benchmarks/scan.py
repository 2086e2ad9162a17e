"""The forms of the selective scan side by side.

    OMP_NUM_THREADS=1 python benchmarks/scan.py

Prints a Markdown table with commit and machine: milliseconds of CPU time on one thread for one clip and one direction,
the least of several rounds, since a busy machine only ever adds time; and how far the answer is from the loop in
float64.
"""

from __future__ import annotations

import argparse

import torch
from conditions import commit, cpu_ms, machine
from torch import Tensor

from microgesture.layers.scan import Scan, selective_scan

FORMS: tuple[Scan, ...] = ("loop", "chunk", "assoc")
# tokens and channels: 40 frames of a skeleton; 4 and 16 frames of 224 x 224 pixels in VideoMamba-Ti
SHAPES = ((40, 192), (785, 384), (3137, 384))
STATES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(
        f"commit {commit()}, torch {torch.__version__}, {machine()}, one thread, CPU time, least of {rounds} rounds\n"
    )
    print("| tokens | channels x states | form | forward ms | forward + backward ms | largest difference to float64 |")
    print("|---|---|---|---|---|---|")
    for length, channels in SHAPES:
        inputs = layer(length, channels)
        exact = selective_scan(*(x.double() for x in inputs), scan="loop")[0]
        forward = {form: float("inf") for form in FORMS}
        both = dict(forward)
        for _ in range(rounds + 1):  # the first round warms up, and can hardly be the fastest
            for form in FORMS:
                forward[form] = min(forward[form], cpu_ms(lambda x=inputs, f=form: infer(x, f)))
                both[form] = min(both[form], cpu_ms(lambda x=inputs, f=form: learn(x, f)))
        for form in FORMS:
            gap = (infer(inputs, form).double() - exact).abs().max().item()
            print(
                f"| {length:,} | {channels} x {STATES} | {form} | {forward[form]:.1f} | {both[form]:.1f} | {gap:.1g} |"
            )


def layer(length: int, channels: int) -> list[Tensor]:
    """x, delta, A, B, C, D as in a layer that has just been made."""
    make = torch.Generator().manual_seed(0)
    x, low = (torch.randn(1, length, channels, generator=make) for _ in range(2))
    B, C = (torch.randn(1, length, STATES, generator=make) for _ in range(2))
    A = -torch.arange(1.0, STATES + 1).repeat(channels, 1)
    return [x, torch.nn.functional.softplus(low - 4), A, B, C, torch.ones(channels)]


def infer(inputs: list[Tensor], form: Scan) -> Tensor:
    with torch.inference_mode():
        return selective_scan(*inputs, scan=form)[0]


def learn(inputs: list[Tensor], form: Scan) -> None:
    leaves = [x.detach().requires_grad_() for x in inputs]
    selective_scan(*leaves, scan=form)[0].sum().backward()


if __name__ == "__main__":
    main()
