"""Kills an analysis at its first, second, third ... durable step, resumes it, and compares every byte.

    python -m tests.analysis.kill_everywhere FOLDER

Prints at how many steps it was killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.analysis.fakes import HandUp, invented_track

from microgesture.analysis.analyze import JOURNAL, Analysis, analyze
from microgesture.analysis.poses import TrackPoses

TIMELINES = ("timeline.csv", "timeline.json", "timeline.eaf", "timeline.vtt", "boris.csv")


def run(out: Path, seconds: float = 65.0, **more: object) -> Analysis:
    """One analysis of an invented recording; nothing is loaded or estimated."""
    options: dict[str, object] = {"poses": TrackPoses([invented_track(seconds)]), "recogniser": HandUp(), **more}
    return analyze("talk.mp4", out, **options)  # type: ignore[arg-type]


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in (*TIMELINES, "analysis.json", JOURNAL)}


def _killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that is killed at its `step`-th durable step; whether it was still running then."""
    child = os.fork()
    if child == 0:
        count = 0

        def dying(real: Callable[..., object]) -> Callable[..., object]:
            def act(*args: object, **more: object) -> object:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **more)

            return act

        os.fsync, os.replace = dying(os.fsync), dying(os.replace)  # type: ignore[assignment]
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def kill_everywhere(folder: Path) -> int:
    """Number of durable steps; `AssertionError` if a resumed run differs from one in a single go."""
    poses = TrackPoses([invented_track(65.0)])
    run(folder / "whole", poses=poses)
    expected = contents(folder / "whole")
    step = 1
    while _killed_at(step, partial(run, folder / f"k{step}", poses=poses)):
        out = folder / f"k{step}"
        done_before = (out / JOURNAL).read_bytes().count(b"\n") - 1 if (out / JOURNAL).exists() else 0
        second = HandUp()
        run(out, poses=poses, recogniser=second)
        assert contents(out) == expected, f"killed at step {step}"
        # a finished piece is never worked out again
        assert second.calls == 4 - max(0, done_before), f"killed at step {step}"
        step += 1
    return step - 1


if __name__ == "__main__":
    print(kill_everywhere(Path(sys.argv[1])))
