"""MMA-52's look-alike: annotations as csv and json, poses beside, and films if wanted.

Quirks kept: instances overlap, every fourth video runs at 29 frames per second, mmad_frames.json counts at 25, and the
public annotations of test are a dummy. The folder `poses/` is ours: the data set is distributed without poses. A person
here makes one movement at a time, so instances are written longer than they are until they overlap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from microgesture.core.durable import make_folder
from microgesture.core.layouts import SKELETONS
from microgesture.formats.pose_npz import write_npz
from microgesture.formats.safe_csv import write_table
from microgesture.formats.safe_json import write_json
from microgesture.simulation.lookalikes.write import Progress, Size, film, seeds, shares
from microgesture.simulation.recording import simulate_recording

_SPLITS = ("train", "val", "test")
_COLUMNS = ("id", "video_id", "start_frame", "end_frame", "class", "total_frames", "fps")
_LONGEST = 15.0  # seconds
_RATE = 60.0  # movements per minute: as many as the simulator has room for
_OVERLAP = 0.3  # seconds


def write(folder: Path, size: Size, seed: int, progress: Progress) -> None:
    """Write the look-alike; see `write_lookalike`."""
    index: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    done, numbers = 0, seeds(seed)
    minutes = min(size.minutes, _LONGEST / 60)
    annotations = make_folder(folder / "data" / "mmad_video" / "anns")
    poses = make_folder(folder / "poses")
    for split, count in zip(_SPLITS, shares(size.recordings, (4_534, 1_475, 519)), strict=True):
        rows: list[list[str]] = []
        for i in range(count):
            name, fps = f"{split}{i:04}", 29.0 if done % 4 == 3 else 30.0
            made = simulate_recording("ma52", minutes, next(numbers), fps=fps, split=split, rate=_RATE)
            total = len(made.track)
            if split == "test":
                instances = [(1 + i % 51, 0, 20)]
            else:
                instances = _instances([(s.label, s.start, s.end) for s in made.timeline], fps, total)
            for label, start, end in instances:
                rows.append([str(n) for n in (len(rows), name, start, end, label, total, fps)])
            seconds = [[label, round(start / fps, 4), round(end / fps, 4)] for label, start, end in instances]
            index[name] = {"subset": split, "duration": round(total / fps, 4), "actions": seconds}
            lengths[name] = round(total / fps * 25)
            write_npz(poses / f"{name}.npz", [made.track.project(SKELETONS["ma52_28"])])
            if size.films:
                film(make_folder(folder / "data" / "mmad_video" / split) / f"{name}.mp4", made.track)
            done += 1
            progress("recordings", done, size.recordings)
        write_table(annotations / f"{split}.csv", _COLUMNS, rows)
    write_json(make_folder(folder / "datasets") / "mmad.json", index)
    write_json(folder / "datasets" / "mmad_frames.json", lengths)


def _instances(segments: list[tuple[int, float, float]], fps: float, total: int) -> list[tuple[int, int, int]]:
    """Rows of class, first and last frame, each reaching into the next. The real set has no video without any."""
    borders = [*(start + _OVERLAP for _, start, _ in segments[1:]), 0.0]
    ends = [max(end, border) for (_, _, end), border in zip(segments, borders, strict=True)] if segments else []
    rows = [
        (label, round(start * fps), min(round(end * fps), total - 1))
        for (label, start, _), end in zip(segments, ends, strict=True)
    ]
    return rows or [(1, 0, total - 1)]  # sitting straightly
