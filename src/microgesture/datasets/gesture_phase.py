"""Gesture Phase Segmentation: people tell a story, seated before a Kinect; five phases, frame by frame.

Data       `gesture_phase_continuous.npz`, in the layout of `plain_npz`, below any folder: 5 recordings of 6 joints in
           three dimensions, at a nominal 30 frames per second, `frame_labels`, and `gesture_units` as rows of
           recording, start, end
Protocol   leave one recording out: learn from the others, test on it; as a rule the mean over all is told
Labels     a segment is a stretch of frames of one phase, rest included. Whole units of gesture, from rest to rest, are
           kept beside them as states of the store
Facts      counts are those of this file

Known and handled: recording b3 is in other units than the others. Coordinates are normalised clip by clip; where no
shoulders are seen, as here, by the extent of all joints, so that units do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import CheckFailed, FormatError
from microgesture.datasets.plain_npz import PlainSet, classes, layout, read_plain
from microgesture.datasets.prepare import Finding, Found, Recorded, StateCut, Unit
from microgesture.datasets.rows import walk
from microgesture.datasets.store import CLIPS, StoredDataset

FILE, FPS = "gesture_phase_continuous.npz", 30.0
RECORDED = ("a1", "a2", "a3", "b1", "b3")
PHASES = ("Rest", "Preparation", "Stroke", "Hold", "Retraction")
TAXONOMY = classes("gesture_phase", "Phases of gesticulation", PHASES)
JOINTS = ("l_hand", "r_hand", "head", "spine", "l_wrist", "r_wrist")
SKELETON = layout("gesture_phase", "gesture_phase6", JOINTS, [(3, 2), (3, 4), (3, 5), (4, 0), (5, 1)], "spine")
UNIT = "gesture unit"
OTHER_UNITS = "b3"


@dataclass(frozen=True)
class Source:
    """Gesture Phase Segmentation as one archive."""

    key: ClassVar[str] = "gesture_phase"
    skeleton: ClassVar = SKELETON
    taxonomy: ClassVar = TAXONOMY
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 3
    fps: ClassVar[float] = FPS
    states: ClassVar[tuple[str, ...]] = (UNIT,)
    expected: ClassVar = {"train": {"recordings": 5}}
    expected_classes: ClassVar[dict[str, tuple[int, ...]]] = {}

    def find(self, root: Path) -> Found:
        """One unit: the archive."""
        path = next((p for p in walk(root)[1] if p.name == FILE), None)
        if path is None:
            raise CheckFailed(f"{root}: this is not Gesture Phase Segmentation. Looked for {FILE}")
        return Found((Unit(path.stem, (path,)),))

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The recordings."""
        path = unit.files[0]
        # frames carry the labels; `events`, which leave out rest, follow from them
        data = read_plain(path, self.key, labels="frame_labels")
        if data.skeleton.joints != JOINTS or data.taxonomy.names != TAXONOMY.names:
            raise FormatError(
                path, f"has the joints {', '.join(data.skeleton.joints[:6])} and {len(data.taxonomy)} classes",
                expected=f"{', '.join(JOINTS)} and 5 phases",
                remedy="prepare it as a set of your own: microgesture prepare folder",
            )  # fmt: skip
        for i, name in enumerate(data.names):
            xy, score, cuts = data.item(i)
            if name == OTHER_UNITS:
                detail = "normalising every clip to the body makes them equal"
                yield Finding("quirk", "a recording in other units", str(path), f"recording {name}", detail, "train")
            states = list(_units(data, i))
            yield Recorded(name, "train", xy, score, data.fps, cuts, states, int(data.subject[i]))


def _units(data: PlainSet, recording: int) -> Iterator[StateCut]:
    """Whole units of gesture of a recording."""
    rows = data.arrays.get("gesture_units", np.zeros((0, 4), np.int64))
    if rows.ndim != 2 or rows.shape[1] < 3 or rows.dtype.kind not in "iu":
        expected = "rows of recording, start, end"
        raise FormatError(data.path, f"has shape {rows.shape}", place="array 'gesture_units'", expected=expected)
    for n, row in enumerate(rows.astype(np.int64).tolist()):
        if row[0] == recording:
            yield StateCut(f"{data.names[recording]}_unit{n}", 0, row[1], row[2])


class GesturePhase(StoredDataset):
    """Phases of gesticulation, one recording left out for testing.

    Args:
        root, longest: see `StoredDataset`.
        test_recording: the one that is left out.

    Example:
        >>> GesturePhase(test_recording="b1").splits
        ('train', 'test')
    """

    key = "gesture_phase"
    skeleton = SKELETON
    taxonomy = TAXONOMY
    fps = FPS
    coordinates = 3
    splits = ("train", "test")

    def __init__(
        self,
        root: str | None = None,
        longest: int = 0,
        test_recording: Literal["a1", "a2", "a3", "b1", "b3"] = "b3",
    ) -> None:
        super().__init__(root, longest)
        self.test_recording = test_recording

    def chosen(self, split: str) -> NDArray[np.bool_]:
        """See `StoredDataset`."""
        names: NDArray[Any] = self.store.of_clips("name")
        keep: NDArray[np.bool_] = (names == self.test_recording) == (split == "test")
        return keep & (self.store.column(CLIPS, "label") >= 0)
