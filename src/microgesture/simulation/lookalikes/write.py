"""`write_lookalike`: a folder that looks like a data set and holds simulated people only.

For rehearsing a whole study before the licence arrives, and for testing the readers. A file `simulated.json` in the
root says what it is; stores and results made from it carry that on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from microgesture.core.durable import make_folder
from microgesture.core.errors import UsageError
from microgesture.core.track import PoseTrack
from microgesture.datasets.prepare import MARK
from microgesture.formats.safe_json import write_json
from microgesture.formats.video import VideoWriter
from microgesture.simulation.preview import PAPER, draw

LOOKALIKES: dict[str, str] = {
    "imigue": "the skeletons of the MiGA challenges, with small films for the frame rate",
    "smg": "Kinect tables of SMG, with stretches of relaxed and stressed emotion",
    "spontaneous2019": "the first version of SMG",
    "ma52": "lists of clips and the pickles of 28 points",
    "mma52": "annotations of MMA-52, with poses beside",
    "eald": "long interviews with an emotion each",
    "deemo": "records of DEEMO, with poses beside",
}
"""Key of the data set -> what is written; the module of that name has the writer."""

Progress = Callable[[str, float, float], None]
FILM = (160, 90)  # pixels of the films: large enough to carry a frame rate


@dataclass(frozen=True)
class Size:
    """How much to make.

    Args:
        recordings: long recordings, over all splits.
        minutes: length of each.
        clips: clips, for data sets of single clips.
        films: write films; needed only for the frame rate or to look at.
    """

    recordings: int = 12
    minutes: float = 0.5
    clips: int = 260
    films: bool = True


def write_lookalike(
    key: str, out: str | os.PathLike[str], size: Size | None = None, seed: int = 0, progress: Progress | None = None
) -> Path:
    """Write simulated data in the layout of a data set.

    Args:
        key: one of `LOOKALIKES`.
        seed: the same seed and size give the same files.

    Returns:
        The folder.

    Raises:
        UsageError: no such data set, or fewer recordings than splits.
        CannotCreate, NotPermitted, OutputFailed: see `core.durable`.

    Example:
        >>> write_lookalike("octopus", "out")
        Traceback (most recent call last):
        microgesture.core.errors.UsageError: no look-alike of 'octopus'; known: imigue, smg, spontaneous2019, ma52, ...
    """
    if key not in LOOKALIKES:
        raise UsageError(f"no look-alike of '{key}'; known: {', '.join(LOOKALIKES)}")
    size = size or Size()
    if size.recordings < 3:
        raise UsageError(f"{size.recordings} recordings are too few: one per split makes three")
    folder = make_folder(out)
    write = import_module(f"microgesture.simulation.lookalikes.{key}").write
    write(folder, size, seed, progress or (lambda stage, done, total: None))
    about = "made by the simulator of microgesture: no real person, and nothing of the data set itself"
    write_json(folder / MARK, {"about": about, "like": key, "seed": seed, **asdict(size)})
    return folder


def shares(total: int, parts: tuple[float, ...]) -> list[int]:
    """`total` in the proportions of `parts`, at least one each.

    Example:
        >>> shares(12, (241, 10, 104))
        [8, 1, 3]
    """
    counts = [max(1, round(total * part / sum(parts))) for part in parts]
    counts[0] = max(1, total - sum(counts[1:]))
    return counts


def film(path: Path, track: PoseTrack, frames: int | None = None) -> None:
    """A small film of a moving skeleton, with the frame rate of the track."""
    zoom = FILM[0] / max(track.size[0], 1)
    blank = np.empty((FILM[1], FILM[0], 3), np.uint8)
    blank[:] = PAPER
    with VideoWriter(path, track.fps, FILM) as video:
        for i in range(min(len(track), frames or len(track))):
            picture = blank.copy()
            draw(picture, track.xy[i], track.score[i], track.skeleton, (zoom, 0.0, 0.0), thickness=1)
            video.write(picture, i / track.fps)


def seeds(seed: int) -> Iterator[int]:
    """One seed after the other for the recordings of a data set."""
    number = seed * 1_000_003
    while True:
        yield number
        number += 1
