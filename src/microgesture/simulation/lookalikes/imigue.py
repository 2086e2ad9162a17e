"""iMiGUE's look-alike: `imigue_skeleton_{train,validate,test}` as the MiGA challenges give them out.

Quirks kept: code 99 for non-micro-gestures, inclusive ends, a first line of column numbers in every second table,
`VVVV_light.csv` beside some, placeholder labels in the test folders, an unusable test folder, films at 30 frames per
second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microgesture.core.durable import make_folder, write_text
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import imigue_code
from microgesture.core.track import PoseTrack
from microgesture.simulation.lookalikes.write import Progress, Size, film, seeds, shares
from microgesture.simulation.recording import simulate_recording

FPS = 30.0
# the first ids of the official lists; the names carry the split
_IDS = {
    "train": ("0184", "0185", "0186", "0187", "0188", "0189", "0190", "0191", "0192", "0193", "0194", "0195", "0005"),
    "val": ("0001", "0002", "0003", "0004", "0006", "0007", "0008", "0009", "0010", "0011"),
    "test": ("0054", "0067", "0069", "0070", "0071", "0072", "0074", "0077", "0079", "0085", "0098", "0105", "0106"),
}
_FOLDER = {"train": "imigue_skeleton_train", "val": "imigue_skeleton_validate", "test": "imigue_skeleton_test"}
_FILMS = {"train": "train_data", "val": "validation_data"}
_LIGHT = 25


def write(folder: Path, size: Size, seed: int, progress: Progress) -> None:
    """Write the look-alike; see `write_lookalike`."""
    done, numbers = 0, seeds(seed)
    for split, count in zip(_IDS, shares(size.recordings, (241, 10, 104)), strict=True):
        names = list(_IDS[split][:count])
        names += [f"{i:04}" for i in range(500, 500 + count - len(names))] if split == "train" else []
        for name in names:
            made = simulate_recording(
                "imigue", size.minutes, next(numbers), fps=FPS, split="test" if split == "test" else "train"
            )
            track = made.track.project(SKELETONS["imigue35"])
            place = make_folder(folder / "imigue_data_phase1" / "datasets" / _FOLDER[split] / name)
            _points(place / f"{name}_light_hand.csv", track, header=done % 2 == 1)
            if done % 3 == 0:
                _points(place / f"{name}_light.csv", track[:], joints=_LIGHT)
            rows = []
            for s in made.timeline:
                start, end = round(s.start * FPS), max(round(s.end * FPS), round(s.start * FPS) + 1)
                code = 0 if split == "test" else imigue_code(s.label)
                rows.append(f"{code},{start},{min(end, len(track)) - 1}")
            write_text(place / f"{name}_label.csv", "".join(f"{row}\n" for row in rows) or "\n")
            if size.films:
                films = (
                    folder / "imigue_rgb_phase1" / _FILMS[split] if split in _FILMS else folder / "imigue_rgb_phase2"
                )
                film(make_folder(films / name) / f"{name}.mp4", made.track)
            done += 1
            progress("recordings", done, size.recordings)
    write_text(
        make_folder(folder / "imigue_data_phase1" / "datasets" / _FOLDER["test"] / "0218") / "0218_label.csv", "\n"
    )
    won = [f"{name},{'Win' if i % 2 else 'Lose'}" for i, name in enumerate(n for ids in _IDS.values() for n in ids)]
    write_text(make_folder(folder / "imigue-speech") / "labels.csv", "\n".join(["video_id,win_or_lose", *won]) + "\n")


def _points(path: Path, track: PoseTrack, *, header: bool = False, joints: int | None = None) -> None:
    """The table of points: frame number, then x, y, c per point; missing points are zeros."""
    table = np.concatenate((track.xy, track.score[..., None]), -1)[:, :joints]
    flat = table.reshape(len(table), -1)
    lines = [",".join(map(str, range(flat.shape[1] + 1)))] if header else []
    for i, row in enumerate(flat):
        lines.append(f"{i}," + ",".join(f"{value:.6g}" for value in row))
    write_text(path, "\n".join(lines) + "\n")
