"""MA-52's look-alike: lists of clips, pickles of 28 joints, the table of classes, and films.

Quirks kept: every class is split exactly 2 : 1 : 1, every prefix of the names occurs in train and in val, the test list
has names alone and its pickle no labels. A prefix is a number only: bodies change from clip to clip.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microgesture.core.durable import make_folder, write_text
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import MA52
from microgesture.formats.pyskl import PysklClip, write_pyskl
from microgesture.simulation.clips import simulate_clips
from microgesture.simulation.lookalikes.write import Progress, Size, film, seeds

FPS = 30.0
_SPLITS = ("train", "train", "val", "test")  # of the four clips of a block, which show one class
_LENGTHS = (42, 60, 78)  # frames
_BLOCKS = 5  # per prefix


def write(folder: Path, size: Size, seed: int, progress: Progress) -> None:
    """Write the look-alike; see `write_lookalike`."""
    common = np.argsort([-label.train_count for label in MA52], kind="stable")
    blocks = [int(common[i % len(MA52)]) for i in range(max(3, size.clips // 4))]  # frequent classes fill what is left
    people = max(3, len(blocks) // _BLOCKS)
    clips: dict[str, list[PysklClip]] = {split: [] for split in _SPLITS}
    listed: dict[str, list[str]] = {split: [] for split in _SPLITS}
    numbers, done = seeds(seed), 0
    for part, frames in enumerate(_LENGTHS):
        mine = range(part, len(blocks), len(_LENGTHS))
        labels = np.repeat([blocks[b] for b in mine], len(_SPLITS)).astype(np.int64)
        made = simulate_clips("ma52", len(labels), next(numbers), frames=frames, fps=FPS, classes=labels)
        for i, label in enumerate(labels.tolist()):
            block, split = mine[i // len(_SPLITS)], _SPLITS[i % len(_SPLITS)]
            withheld = split == "test"
            count = len(clips[split])
            name = f"test{count:04}" if withheld else f"{3 + block % people:04}_{block % 7:02}_{done:04}"
            track = made.track(i)
            clips[split].append(PysklClip(name, None if withheld else label, (track.project(SKELETONS["ma52_28"]),)))
            listed[split].append(f"{name}.mp4" if withheld else f"{name}.mp4 {label}")
            if size.films:
                film(make_folder(folder / f"videos_{split}") / f"{name}.mp4", track)
            done += 1
            progress("clips", done, len(_SPLITS) * len(blocks))
    for split, rows in listed.items():
        write_pyskl(folder / f"MA52_{split}.pkl", clips[split], {split: [clip.name for clip in clips[split]]})
        write_text(folder / f"{split}_list_videos.txt", "".join(f"{row}\n" for row in rows))
    write_text(folder / "label_name.txt", "".join(f"{label.id}\t{label.name}\n" for label in MA52))
