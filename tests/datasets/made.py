"""A data set of a few numbers, for looking at what is counted in a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.datasets.prepare import Finding, Found, Recorded, Unit, prepare
from microgesture.datasets.store import Store, open_store

PLAIN = Skeleton("plain", ("neck", "r_wrist", "l_wrist", "nose"), ((0, 1), (0, 2), (0, 3)))
THREE = Taxonomy(
    "three", "Three", (Label(0, "wave", "Hand"), Label(1, "nod", "Head"), Label(2, "rest", "none")), ("Hand", "Head"), 2
)
POSE = ((50, 50), (30, 80), (70, 80), (50, 30))
FACTS: dict[str, Any] = {
    "key": "made", "skeleton": PLAIN, "taxonomy": THREE, "persons": 1, "coordinates": 2, "fps": 10.0, "states": (),
    "expected": {}, "expected_classes": {}, "findings": (),
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A `Source` without options; what it states and gives is set by `made`."""

    def find(self, root: Path) -> Found:
        return Found((Unit("all", (root / "all.txt",)),), tuple(self.__dict__["findings"]))

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        yield from self.__dict__["recordings"]


def recorded(
    name: str, split: str, frames: int = 40, fps: float = 10.0, persons: int = 1, c: int = 2, **facts: Any
) -> Recorded:
    """A recording in which nobody moves and every joint is seen with score 0.95."""
    xy = np.zeros((persons, frames, len(POSE), c), np.float32)
    xy[..., :2] = POSE
    return Recorded(name, split, xy, np.full(xy.shape[:-1], 0.95, np.float32), fps, **facts)


def made(folder: Path, recordings: Sequence[Recorded], **facts: Any) -> Store:
    """The store of some recordings, in `folder`/store."""
    source: Any = Made()
    source.__dict__.update(FACTS | {"recordings": recordings} | facts)
    (folder / "root").mkdir()
    (folder / "root" / "all.txt").touch()
    prepare(source, folder / "root", folder / "store", workers=1)
    return open_store(folder / "store")
