"""SFINGE 3D: gestures of one hand before a finger tracker, 13 classes, single clips and sequences of gestures.

Data       `sfinge3d_v1_isolated.npz` (468 clips) and `sfinge3d_v1_continuous.npz` (36 sequences, 137 gestures), in the
           layout of `plain_npz`, below any folder; 20 joints in three dimensions, 20 frames per second
Protocol   learn from the single clips, test on the sequences: `clips("test")` are their true segments, and the whole
           sequences with their timelines are in the store, for spotting. A gesture counts as found if its label is
           right and it begins inside the true interval, or at most `SLACK` frames before it
Facts      counts are those of these two files; who moves is not told

No micro-gestures, but real hands: here recognition and spotting are measured in the open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from microgesture.core.errors import CheckFailed, FormatError
from microgesture.datasets.plain_npz import classes, layout, read_plain
from microgesture.datasets.prepare import Finding, Found, Recorded, Unit
from microgesture.datasets.rows import walk
from microgesture.datasets.store import StoredDataset

FPS, SLACK = 20.0, 20
FILES = {"train": "sfinge3d_v1_isolated.npz", "test": "sfinge3d_v1_continuous.npz"}
NAMES = (
    *("one", "two", "three", "four", "ok", "pinch", "grab", "expand", "tap"),
    *("swipe_left", "swipe_right", "swipe_v", "swipe_o"),
)
GROUPS = ["static"] * 5 + ["fine"] * 4 + ["coarse"] * 4
TAXONOMY = classes("sfinge3d", "SFINGE 3D gestures", NAMES, GROUPS)
FINGERS = {"thumb": ("a", "b", "end"), **dict.fromkeys(("index", "middle", "ring", "pinky"), ("a", "b", "c", "end"))}
JOINTS = ("palm", *(f"{finger}_{part}" for finger, parts in FINGERS.items() for part in parts))
SKELETON = layout(
    "sfinge3d", "sfinge20", JOINTS,
    [(f"{f}_{a}" if a else "palm", f"{f}_{b}") for f, p in FINGERS.items() for a, b in zip(("", *p), p, strict=False)],
    "palm",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """SFINGE 3D as two archives."""

    key: ClassVar[str] = "sfinge3d"
    skeleton: ClassVar = SKELETON
    taxonomy: ClassVar = TAXONOMY
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 3
    fps: ClassVar[float] = FPS
    states: ClassVar[tuple[str, ...]] = ()
    expected: ClassVar = {"train": {"recordings": 468, "clips": 468}, "test": {"recordings": 36, "clips": 137}}
    expected_classes: ClassVar[dict[str, tuple[int, ...]]] = {}

    def find(self, root: Path) -> Found:
        """One unit per archive."""
        _, files = walk(root)
        units, findings = [], []
        for split, name in FILES.items():
            path = next((p for p in files if p.name == name), None)
            if path is None:
                findings.append(Finding("missing", "no archive", name, "", "", split))
            else:
                units.append(Unit(path.stem, (path,), {"split": split}))
        if not units:
            raise CheckFailed(f"{root}: this is not SFINGE 3D. Looked for {' and '.join(FILES.values())}")
        return Found(tuple(units), tuple(findings))

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The clips, or the sequences."""
        path, split = unit.files[0], unit.facts["split"]
        data = read_plain(path, self.key)
        if data.skeleton.joints != JOINTS or data.taxonomy.names != TAXONOMY.names:
            raise FormatError(
                path, f"has {len(data.skeleton)} joints and {len(data.taxonomy)} classes of other names",
                expected="the 20 joints and 13 classes of SFINGE 3D",
                remedy="prepare it as a set of your own: microgesture prepare folder",
            )  # fmt: skip
        for i, name in enumerate(data.names):
            xy, score, cuts = data.item(i)
            yield Recorded(name, split, xy, score, data.fps, cuts)


class SFINGE3D(StoredDataset):
    """SFINGE 3D: single clips to learn from, segments of sequences to test on.

    Args:
        root, longest: see `StoredDataset`.

    Example:
        >>> len(SFINGE3D().skeleton), len(SFINGE3D().taxonomy)
        (20, 13)
    """

    key = "sfinge3d"
    skeleton = SKELETON
    taxonomy = TAXONOMY
    fps = FPS
    coordinates = 3
    splits = ("train", "test")
    slack = SLACK / FPS
    """Seconds before a gesture in which its detection may begin."""
