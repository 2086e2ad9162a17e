"""UTD-MHAD: 27 everyday actions of 8 people before a Kinect v1, 861 clips.

Paper      C. Chen, R. Jafari, N. Kehtarnavaz: UTD-MHAD: A Multimodal Dataset for Human Action Recognition Utilizing a
           Depth Camera and a Wearable Inertial Sensor, ICIP 2015
Data       `utd_mhad.npz`: keypoints (sum of T, 20, 3) in metres, offsets, labels, subject
Protocol   cross-subject: people 1, 3, 5, 7 train, people 2, 4, 6, 8 test

No micro-gestures, but real motion: the set on which the recognisers of this package are measured in the open.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.datasets.clips import Clips
from microgesture.formats.safe_npz import read_arrays

_AGAIN = "fetch or convert the file again"
_LEGS = ("jog", "walk", "lunge")
_BODY = (
    "bowling",
    "baseball swing",
    "tennis swing",
    "tennis serve",
    "pickup throw",
    "sit to stand",
    "stand to sit",
    "squat",
)


def _labels(names: str) -> tuple[Label, ...]:
    def group(name: str) -> str:
        return "Legs" if name in _LEGS else "Body" if name in _BODY else "Arms"

    return tuple(Label(i, name, group(name)) for i, name in enumerate(names.split(", ")))


UTD_MHAD = Taxonomy(
    "utd_mhad",
    "UTD-MHAD actions",
    _labels(
        "swipe left, swipe right, wave, clap, throw, arm cross, basketball shoot, draw x, draw circle cw, "
        "draw circle ccw, draw triangle, bowling, boxing, baseball swing, tennis swing, arm curl, tennis serve, push, "
        "knock, catch, pickup throw, jog, walk, sit to stand, stand to sit, lunge, squat"
    ),
    ("Arms", "Body", "Legs"),
)


class UTDMHAD:
    """UTD-MHAD by its official subject split.

    Args:
        root: folder that holds `skeleton/utd_mhad.npz`, or the file itself; without it the environment variable
            MICROGESTURE_DATA names the folder.
        val_subjects: training people set aside to choose settings on, e.g. `[7]`; the test people stay untouched.

    Example:
        >>> UTDMHAD(val_subjects=[7]).splits
        ('train', 'val', 'test')
    """

    key = "utd_mhad"
    skeleton = SKELETONS["kinect20"]
    taxonomy = UTD_MHAD
    fps = 30.0
    persons = 1
    coordinates = 3

    def __init__(self, root: str | None = None, val_subjects: Sequence[int] = ()) -> None:
        self.root, self.val_subjects = root, tuple(val_subjects)
        wrong = sorted(set(self.val_subjects) - {1, 3, 5, 7})
        if wrong or len(set(self.val_subjects)) == 4:
            raise UsageError(f"val_subjects {list(self.val_subjects)}: choose up to three of 1, 3, 5, 7")
        self.splits: tuple[str, ...] = ("train", "val", "test") if self.val_subjects else ("train", "test")

    @property
    def path(self) -> Path:
        """Where the file is expected."""
        root = self.root or os.environ.get("MICROGESTURE_DATA")
        if not root:
            raise NoInput("UTD-MHAD: where are the data? Set MICROGESTURE_DATA or --data.root to their folder")
        path = Path(root)
        return path if path.suffix == ".npz" else path / "skeleton" / "utd_mhad.npz"

    def clips(self, split: str) -> Clips:
        """Clips of `"train"`, `"val"` or `"test"`."""
        if split not in self.splits:
            raise UsageError(f"UTD-MHAD has no split '{split}'; choose {', '.join(self.splits)}")
        train, val = self._all.subject % 2 == 1, np.isin(self._all.subject, self.val_subjects)
        keep = {"train": train & ~val, "val": val, "test": ~train}[split]
        return self._all.where(keep, split)

    @cached_property
    def _all(self) -> Clips:
        path = self.path
        if not path.exists():
            raise NoInput(f"{path}: UTD-MHAD is not there. Set MICROGESTURE_DATA or --data.root to the data's folder")
        data = read_arrays(path)
        for name, kinds in (("keypoints", "f"), ("offsets", "iu"), ("labels", "iu"), ("subject", "iu")):
            if name not in data or data[name].dtype.kind not in kinds:
                found = data[name].dtype if name in data else "nothing"
                expected = "real numbers" if kinds == "f" else "integers"
                raise FormatError(path, f"holds {found}", place=f"array '{name}'", expected=expected, remedy=_AGAIN)
        xy = data["keypoints"].astype(np.float32)
        if xy.ndim != 3 or xy.shape[1:] != (20, 3):
            raise FormatError(path, f"keypoints have shape {xy.shape}", expected="(T, 20, 3)", remedy=_AGAIN)
        # Kinect axes point up and to the sensor's left: half a turn about the line of sight makes them a picture's
        xy = xy * np.array([-1, -1, 1], np.float32)
        offsets, label, subject = (data[name].astype(np.int64) for name in ("offsets", "labels", "subject"))
        score = np.ones((len(xy), 1, 20), np.float32)
        return Clips(xy[:, None], score, offsets, label, subject, self.skeleton, self.taxonomy, str(path))
