"""SMG: micro-gestures of people in a story-telling game, 17 classes, 40 recordings of a Kinect v2.

Paper      H. Chen, H. Shi, X. Liu, X. Li, G. Zhao: SMG: A Micro-gesture Dataset Towards Spontaneous Body Gestures for
           Emotional Stress State Analysis, IJCV 2023, https://doi.org/10.1007/s11263-023-01761-6
Licence    agreement with the University of Oulu, non-commercial research; nothing of it is shipped here
Layouts    tables, experimentWell_skeleton/SampleNNNN/SampleNNNN_{..}.csv:
               skeleton      25 joints x 11 numbers, see `formats.kinect`
               data          number of frames, frames per second, greatest depth
               finelabels    label 1..17, start, end
               tflabels_new  number, start, end, code of the emotion
           the baseline's arrays: SMGskeleton/{train,test}_data.npy (N, 3, 60, 25, 1), {..}_label.pkl (names, labels)
           beside the tables, optional: films of clips, SampleNNNN_start_end.mp4, or of recordings, SampleNNNN.mp4
Protocols  miga   subjects 1-30 / 31-35 / 36-40; which five of the first 35 are set aside is ours
           paper  subjects 1-35 / 36-40
           emotion by the same 35 / 5 subjects: the paper's lists are not released, so this is ours
Facts      fact sheet "datasets", section 2

Known and handled: ends of segments are exclusive, unlike iMiGUE's; labels count from 1 in tables and from 0 in arrays;
the code of an emotion has two digits, the hidden state and then the normal one + 1; the rate is that of `_data.csv`;
the sensor's axes point up and to its left, see `formats.kinect`. Clips are named as their films are. 243 of the 610
test clips are of one class (39.8 %), and two classes have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import CheckFailed, FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG as TAXONOMY
from microgesture.core.taxonomies import SMG_TEST_COUNTS
from microgesture.datasets.arrays import padded_clips
from microgesture.datasets.prepare import Cut, Finding, Found, Recorded, StateCut, Unit
from microgesture.datasets.rows import walk, whole_rows
from microgesture.datasets.store import CLIPS, StoredDataset
from microgesture.formats.kinect import TO_PICTURE, read_kinect_csv
from microgesture.formats.safe_csv import read_rows
from microgesture.formats.segments import Problems, number

SUBJECTS = 40
VAL_SUBJECTS = range(31, 36)
TEST_SUBJECTS = range(36, 41)
TEST_CLIPS = {36: 155, 37: 164, 38: 57, 39: 121, 40: 113}
"""Clips of every test subject."""
STATES = ("relaxed", "stressed")
CLIPS_IN_ALL = 3_692
FPS = 28.0
_ARRAYS = ("train_data.npy", "test_data.npy")
_SAMPLE = re.compile(r"Sample(\d{4})", re.ASCII)
_TABLE = re.compile(r"(Sample\d{4})_skeleton\.csv\Z", re.ASCII)
_FILM = re.compile(r"(Sample\d{4})(_\d+_\d+)?\.mp4\Z", re.ASCII)


def split_of(subject: int) -> str:
    """MiGA split of a subject; the number of a sample is that of its subject."""
    return "val" if subject in VAL_SUBJECTS else "test" if subject in TEST_SUBJECTS else "train"


@dataclass(frozen=True)
class Source:
    """SMG as distributed.

    Args:
        frame_offset: added to the frame numbers of labels; they are taken to count from 0.
        fps: of recordings whose `_data.csv` does not say.
        emotion: which digit of the code is the state: `"normal"`, the second, or `"hidden"`, the first.
    """

    key: ClassVar[str] = "smg"
    skeleton: ClassVar = SKELETONS["kinect25"]
    taxonomy: ClassVar = TAXONOMY
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 3
    states: ClassVar[tuple[str, ...]] = STATES
    expected: ClassVar = {
        "train": {"recordings": 30, "clips": 2_452},
        "val": {"recordings": 5, "clips": CLIPS_IN_ALL - 2_452 - 610},
        "test": {"recordings": 5, "clips": 610},
    }
    expected_classes: ClassVar = {"train": tuple(label.train_count for label in TAXONOMY), "test": SMG_TEST_COUNTS}

    frame_offset: int = 0
    fps: float = FPS
    emotion: Literal["normal", "hidden"] = "normal"

    def __post_init__(self) -> None:
        if self.emotion not in ("normal", "hidden"):
            raise UsageError(f"{self.key}: emotion is '{self.emotion}'; choose normal or hidden")
        if not 0.1 <= self.fps <= 1000:
            raise UsageError(f"{self.key}: fps is {self.fps:g}; expected 0.1 to 1000 frames per second")

    def find(self, root: Path) -> Found:
        """One unit per sample, or one per array."""
        folders, files = walk(root)
        tables: dict[str, Path] = {}
        findings: list[Finding] = []
        for path in files:
            named = _TABLE.match(path.name)
            if named and named[1] in tables:
                split = split_of(_subject(path.name))
                findings.append(
                    Finding("quirk", "a sample is there twice; the first is read", str(path), "", "", split)
                )
            elif named:
                tables[named[1]] = path
        if not tables:
            return _arrays(root, files)
        for folder in folders:
            if _SAMPLE.fullmatch(folder.name) and folder.name not in tables:
                split = split_of(_subject(folder.name))
                findings.append(Finding("missing", "no table of points", str(folder), "", "", split))
        films, clips = _films(root, files)
        units = []
        for name, points in sorted(tables.items()):
            subject = _subject(name)
            if not 1 <= subject <= SUBJECTS:
                findings.append(Finding("refused", f"a sample that is none of the {SUBJECTS}", str(points)))
                continue
            split = split_of(subject)
            beside = [points.with_name(f"{name}_{part}.csv") for part in ("finelabels", "tflabels_new", "data")]
            for path, what in zip(beside, ("labels", "emotions"), strict=False):
                if not path.is_file():
                    findings.append(Finding("missing", f"no {what}", str(path), "", "", split))
            facts = {"split": split, "subject": subject, "video": films.get(name, "")}
            units.append(Unit(name, (points, *(path for path in beside if path.is_file())), facts))
        for split in self.expected:
            wanted = [f"Sample{s:04}" for s in range(1, SUBJECTS + 1) if split_of(s) == split]
            absent = [name for name in wanted if name not in tables]
            if absent:
                detail = f"{len(absent)} of {len(wanted)}: {', '.join(absent[:8])}{' ...' if len(absent) > 8 else ''}"
                findings.append(Finding("missing", "no table for samples of the official list", "", "", detail, split))
        if clips:
            detail = f"{len(clips)} of them; clips of the store are named as they are, without .mp4"
            findings.append(Finding("quirk", "films of single clips", clips[0], "", detail))
        return Found(tuple(units), tuple(findings))

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The recording of a sample, or all clips of an array."""
        if unit.files[0].suffix == ".npy":
            yield from _read_arrays(unit, self.fps)
            return
        split, name = unit.facts["split"], unit.name
        points, *beside = unit.files
        files = {path.stem.removeprefix(f"{name}_"): path for path in beside}
        frames, fps = 0, self.fps
        if "data" in files:
            try:
                frames, fps = _stated(files["data"])
            except FormatError as error:
                yield Finding.of(error, f"the frame rate cannot be read; {self.fps:g} is assumed", split)
        else:
            detail = f"{self.fps:g} is assumed"
            yield Finding("quirk", "nominal frame rate", str(points), "", detail, split)
        problems: Problems = []
        track = read_kinect_csv(points, fps=fps, problems=problems)
        for problem in problems:
            yield Finding.of(problem, "a frame cannot be read; it has no points", split)
        if frames and frames != len(track):
            detail = f"{len(track):,} rows, {frames:,} stated"
            yield Finding("quirk", "the table has another number of frames than stated", str(points), "", detail, split)
        cuts: list[Cut] = []
        states: list[StateCut] = []
        for row in self._labels(files.get("finelabels"), name, split):
            if isinstance(row, Finding):
                yield row
            else:
                cuts.append(row)
        for state in self._emotions(files.get("tflabels_new"), name, split):
            if isinstance(state, Finding):
                yield state
            else:
                states.append(state)
        yield Recorded(
            name, split, track.xy[None], track.score[None], fps, cuts, states, unit.facts["subject"],
            video=unit.facts["video"],
        )  # fmt: skip

    def _labels(self, path: Path | None, sample: str, split: str) -> Iterator[Cut | Finding]:
        for row in whole_rows(path, 3, split) if path else ():
            if isinstance(row, Finding):
                yield row
                continue
            line, (code, start, end) = row
            if not 1 <= code <= len(TAXONOMY):
                detail = f"{code}; expected 1..{len(TAXONOMY)}"
                yield Finding("refused", "a label is out of range", str(path), f"line {line}", detail, split)
            elif (cut := self._frames(start, end)) is None:
                yield _backwards(path, line, start, end, split)
            else:
                yield Cut(f"{sample}_{start}_{end}", code - 1, *cut)

    def _emotions(self, path: Path | None, sample: str, split: str) -> Iterator[StateCut | Finding]:
        for row in whole_rows(path, 4, split) if path else ():
            if isinstance(row, Finding):
                yield row
                continue
            line, (code_of, start, end, code) = row
            hidden, shown = code // 10, code % 10 - 1
            if not (hidden in (0, 1) and shown in (0, 1)):
                detail = f"{code}; expected 1, 2, 11 or 12"
                yield Finding("refused", "an emotion is out of range", str(path), f"line {line}", detail, split)
            elif (cut := self._frames(start, end)) is None:
                yield _backwards(path, line, start, end, split)
            else:
                state = hidden if self.emotion == "hidden" else shown
                yield StateCut(f"{sample}_{code_of}", state, *cut, "test" if split == "test" else "train")

    def _frames(self, start: int, end: int) -> tuple[int, int] | None:
        """Frames [start, end): the end of the files is exclusive."""
        start, end = start + self.frame_offset, end + self.frame_offset
        return (start, end) if 0 <= start < end else None


def _subject(name: str) -> int:
    """Subject of a sample, by the name of its file or folder."""
    return int(name[len("Sample") :][:4])


def _backwards(path: Path | None, line: int, start: int, end: int, split: str) -> Finding:
    detail = f"start {start}, end {end}, which is exclusive"
    return Finding("refused", "the segment ends before it starts", str(path), f"line {line}", detail, split)


def _films(root: Path, files: list[Path]) -> tuple[dict[str, str], list[str]]:
    """Films of whole recordings by sample, and those of clips."""
    whole: dict[str, str] = {}
    clips: list[str] = []
    for path in files:
        named = _FILM.match(path.name)
        if named and named[2]:
            clips.append(str(path))
        elif named:
            whole.setdefault(named[1], str(path.relative_to(root)))
    return whole, clips


def _stated(path: Path) -> tuple[int, float]:
    """Number and rate of frames as `_data.csv` states them."""
    for place, row in read_rows(path, ","):
        values = [number(path, place, "a fact", cell) for cell in row]
        if len(values) < 2 or not values[0] >= 0 or not 0.1 <= values[1] <= 1000:
            break
        return int(values[0]), values[1]
    expected = "frames, frames per second, greatest depth"
    raise FormatError(path, "not the facts of a recording", place="line 1", expected=expected, remedy="fetch it again")


def _arrays(root: Path, files: list[Path]) -> Found:
    units = []
    for array in [p for name in _ARRAYS for p in files if p.name == name]:
        labels = array.with_name(array.name.replace("_data.npy", "_label.pkl"))
        if labels.is_file():
            units.append(Unit(array.stem, (array, labels)))
    if not units:
        raise CheckFailed(
            f"{root}: this is not SMG. Looked for Sample0001/Sample0001_skeleton.csv and the like, and for "
            "train_data.npy with train_label.pkl; name the folder that holds them"
        )
    detail = f"clips are cut to their last 60 frames; {FPS:g} frames per second are assumed, and emotions are not there"
    return Found(tuple(units), (Finding("quirk", "processed arrays", "", "", detail),))


def _read_arrays(unit: Unit, fps: float) -> Iterator[Recorded | Finding]:
    """The baseline's arrays: zero-padded clips in metres; names are the sample and a count within the file."""
    for item in padded_clips(unit.files[0], unit.files[1], (3, 0, 25, 1), _SAMPLE):
        if isinstance(item, Finding):
            yield item
            continue
        name, code, points = item
        subject, score = _subject(name), points.any(-1).astype(np.float32)
        cut = Cut(name, code, 0, len(points))
        xyz = points * TO_PICTURE
        yield Recorded(name, split_of(subject), xyz[None], score[None], fps, [cut], subject=subject)


class SMG(StoredDataset):
    """SMG by one of its protocols; metres, x to the right of the picture, y down, z away from the sensor.

    Args:
        root, longest: see `StoredDataset`; the released baseline has `longest` 60.
        protocol: `"miga"` or `"paper"`, see the head of the module.

    Example:
        >>> SMG(protocol="paper").splits
        ('train', 'test')
    """

    key = "smg"
    skeleton = SKELETONS["kinect25"]
    taxonomy = TAXONOMY
    fps = FPS
    coordinates = 3

    def __init__(self, root: str | None = None, longest: int = 0, protocol: Literal["miga", "paper"] = "miga") -> None:
        super().__init__(root, longest)
        self.protocol = protocol
        self.splits = ("train", "val", "test") if protocol == "miga" else ("train", "test")

    def chosen(self, split: str) -> NDArray[np.bool_]:
        """See `StoredDataset`."""
        keep = super().chosen(split)
        if self.protocol == "paper" and split == "train":
            label: NDArray[Any] = self.store.column(CLIPS, "label")
            keep |= (self.store.split_of_clips() == "val") & (label >= 0)
        return keep
