"""iMiGUE: micro-gestures of tennis players in press conferences, 32 classes, 359 videos of 72 people.

Paper      X. Liu, H. Shi, H. Chen, Z. Yu, X. Li, G. Zhao: iMiGUE: An Identity-free Video Dataset for Micro-Gesture
           Understanding and Emotion Analysis, CVPR 2021, https://arxiv.org/abs/2107.00285
Licence    signed agreement with the University of Oulu, non-commercial research; nothing of it is shipped here
Layouts    skeletons as the MiGA challenges give them out:
               imigue_skeleton_{train,validate,test}/VVVV/VVVV_light_hand.csv    frame number, 35 points x (x, y, c)
                                                         VVVV_label.csv          label 1..31 or 99, start, end
           the baseline's arrays: {train,valid,test}_data.npy (N, 3, 90, 22, 1), {..}_label.pkl (names, labels)
           beside either, optional: VVVV.mp4 below any folder (for the frame rate), labels.csv of iMiGUE-Speech
           (video_id, win_or_lose) for emotion, subjects.csv (video_id, subject; ours) for the paper's protocol
Protocols  miga   241 / 10 / 104 videos: what every challenge paper means by "iMiGUE"
           paper  37 / 35 subjects; the files do not say who is who, so it needs subjects.csv
           emotion 102 / 100 videos, won or lost; by video, and not aligned with the other two
Facts      fact sheet "datasets", section 1

Known and handled: code 99 is class 32; some releases begin the table of points with a line of column numbers; ends of
segments are inclusive; validation videos also lie among the training labels; four test folders are unusable; test
labels are placeholders; videos run at 30 frames per second by their frame count though 25 is stated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import CheckFailed, FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE as TAXONOMY
from microgesture.core.taxonomies import imigue_id
from microgesture.datasets.arrays import padded_clips
from microgesture.datasets.prepare import Cut, Finding, Found, Recorded, StateCut, Unit
from microgesture.datasets.rows import ids, walk, whole_rows
from microgesture.datasets.store import RECORDINGS, StoredDataset
from microgesture.formats.openpose import read_openpose_csv
from microgesture.formats.safe_csv import read_table
from microgesture.formats.video import probe

VAL_VIDEOS = ids("1-4,6-11")
TEST_VIDEOS = ids(
    "54,67,69-72,74,77,79,85,98,105,106,109-112,114,116,118,125,126,133,135,138,144,148,154,156,161,163,166-169,196,198,"
    "200,201,205,208,212,213,220,235,237,238,241-244,262,274,280,292,303,318,320,322,327,329,346,349,355,368,371,375,378,"
    "380,385,396,406,410,411,413-417,421,423-425,428,429,431,436-453"
)
UNUSABLE = ids("218,319,347,348")
"""Folders of the test release that participants leave out."""
TRAIN_SUBJECTS = ids("2,4,5,6,9,10,12-15,17,18,20-23,25,28-31,35,36,38,39,41-44,46-48,52,53,59,61,62")
TEST_SUBJECTS = ids("1-72") - TRAIN_SUBJECTS
EMOTION_TRAIN = ids(
    "1,7,8,11,26,27,46-48,53,55,57,63,66,67,74,77,84-86,91,96,102-106,108,109,112,114,117,124,132,134,140,148,157,"
    "161-164,167,169,170,172,176,186,196,216,233,236,237,239-243,249,252,266,290,297,300,306,310,314,318-320,324,334,339,"
    "359,360,365,369,377,381,385,392,402,407,410,411,413-415,420,429,433,435,436,440,441,445,448-453"
)
EMOTION_TEST = ids(
    "9,10,12,16,28,35,43,49-52,54,56,60,71,72,83,89,95,100,107,110,111,121,131,136,144,145,165,166,168,171,174,179,185,"
    "191,193,212,220,223,230-232,234,235,238,244,246,254,258,262,263,268,270,276,280,282,303,304,311-313,315-317,322,323,"
    "325,327-329,333,337,341,343,344,363,374,400,401,403-406,408,416,417,419,421,428,430,431,437-439,442-444,446,447"
)
EMOTIONS = ("lost", "won")
VAL_COUNTS = (
    *(0, 25, 1, 8, 0, 0, 7, 34, 7, 0, 18, 17, 0, 0, 2, 3, 18, 1, 1, 55, 13, 13, 1, 10, 0, 7, 3, 0, 82, 0, 193, 258),
)
SIZE = (1280, 720)
_FOLDERS = {"imigue_skeleton_train": "train", "imigue_skeleton_validate": "val", "imigue_skeleton_test": "test"}
_ARRAYS = ("train_data.npy", "valid_data.npy", "test_data.npy")
_VIDEO = re.compile(r"\d{4}\Z", re.ASCII)
_ARRAY_NAME = re.compile(r"\d{4}", re.ASCII)


def split_of(video: int) -> str:
    """MiGA split of a video, whatever folder it lies in."""
    return "val" if video in VAL_VIDEOS else "test" if video in TEST_VIDEOS else "train"


@dataclass(frozen=True)
class Source:
    """iMiGUE as distributed.

    Args:
        frame_offset: added to the frame numbers of labels; they are taken to count from 0.
        fps: of videos that are not there to be asked; the paper states 25.
        test_labels: read the labels of the test folders; False treats them as placeholders, whatever they are.
    """

    key: ClassVar[str] = "imigue"
    skeleton: ClassVar = SKELETONS["imigue35"]
    taxonomy: ClassVar = TAXONOMY
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 2
    states: ClassVar[tuple[str, ...]] = EMOTIONS
    expected: ClassVar = {
        "train": {"recordings": 241, "clips": 12_893},
        "val": {"recordings": 10, "clips": 777},
        "test": {"recordings": 104, "clips": 4_562},
    }
    expected_classes: ClassVar = {"train": tuple(label.train_count for label in TAXONOMY), "val": VAL_COUNTS}

    frame_offset: int = 0
    fps: float = 25.0
    test_labels: bool = True

    def find(self, root: Path) -> Found:
        """One unit per video folder, or one per array."""
        videos: dict[str, tuple[Path, str]] = {}
        findings: list[Finding] = []
        folders, files = walk(root)
        for folder in folders:
            where = _FOLDERS.get(folder.parent.name)
            if _VIDEO.match(folder.name) and (where or (folder / f"{folder.name}_light_hand.csv").exists()):
                findings += _placed(folder, where, videos)
        if not videos:
            return _arrays(root, files)
        films = {p.stem: p for p in files if p.suffix == ".mp4" and _VIDEO.match(p.stem)}
        won, people = _emotions(files), _subjects(files)
        units = []
        for name, (folder, split) in sorted(videos.items()):
            points, labels = folder / f"{name}_light_hand.csv", folder / f"{name}_label.csv"
            if not points.is_file():
                findings.append(Finding("missing", "no table of points", str(points), "", "", split))
                continue
            if not labels.is_file():
                findings.append(Finding("missing", "no labels", str(labels), "", "", split))
            film = films.get(name)
            facts = {
                "split": split, "video": "" if film is None else str(film.relative_to(root)),
                "won": won.get(int(name), -1), "subject": people.get(int(name), -1),
            }  # fmt: skip
            paths = (points, *([labels] if labels.is_file() else []), *([film] if film else []))
            units.append(Unit(name, paths, facts))
        for split, wanted in (("val", VAL_VIDEOS), ("test", TEST_VIDEOS)):
            absent = sorted(f"{v:04}" for v in wanted if f"{v:04}" not in videos)
            if absent:
                detail = f"{len(absent)} of {len(wanted)}: {', '.join(absent[:8])}{' ...' if len(absent) > 8 else ''}"
                findings.append(Finding("missing", "no folder for videos of the official list", "", "", detail, split))
        if not films:
            detail = f"no mp4 to read the frame rate from: {self.fps:g} is assumed; by frame count it is 30"
            findings.append(Finding("quirk", "nominal frame rate", "", "", detail))
        return Found(tuple(units), tuple(findings))

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The recording of a video folder, or all clips of an array."""
        if unit.files[0].suffix == ".npy":
            yield from _read_arrays(unit, self.fps)
            return
        split, film = unit.facts["split"], next((f for f in unit.files if f.suffix == ".mp4"), None)
        fps = self.fps if film is None else probe(film).fps
        track = read_openpose_csv(unit.files[0], fps=fps, size=SIZE)
        cuts: list[Cut] = []
        if len(unit.files) > 1 and unit.files[1].suffix == ".csv":
            for row in self._labels(unit.files[1], unit.name, split):
                if isinstance(row, Finding):
                    yield row
                else:
                    cuts.append(row)
        video = int(unit.name)
        emotion = "train" if video in EMOTION_TRAIN else "test" if video in EMOTION_TEST else ""
        states = [StateCut(unit.name, unit.facts["won"], 0, len(track), emotion)] if emotion else []
        yield Recorded(
            unit.name, split, track.xy[None], track.score[None], fps, cuts, states, unit.facts["subject"], "", SIZE,
            unit.facts["video"],
        )  # fmt: skip

    def _labels(self, path: Path, video: str, split: str) -> Iterator[Cut | Finding]:
        number = -1
        for row in whole_rows(path, 3, split):
            number += 1  # a row that is refused keeps its number: names of clips count the rows of the file
            if isinstance(row, Finding):
                yield row
                continue
            line, (code, start, end) = row
            place, name = f"line {line}", f"{video}_{number}"
            try:
                label = imigue_id(code)
            except ValueError as error:
                if split != "test" or code not in (0, -1):
                    yield Finding("refused", "a label is out of range", str(path), place, str(error), split)
                    continue
                label = -1
            if split == "test" and not self.test_labels:
                label = -1
            start, end = start + self.frame_offset, end + self.frame_offset + 1  # the end is inclusive
            if not 0 <= start < end:
                detail = f"frames {start} to {end - 1}"
                yield Finding("refused", "the segment ends before it starts", str(path), place, detail, split)
                continue
            yield Cut(name, label, start, end)


def _placed(folder: Path, where: str | None, videos: dict[str, tuple[Path, str]]) -> Iterator[Finding]:
    """Note the folder of a video under its official split."""
    video, split = int(folder.name), split_of(int(folder.name))
    if video in UNUSABLE:
        yield Finding("quirk", "an unusable folder of the test release, left out", str(folder), "", "", "test")
        return
    if where not in (None, split):
        detail = f"lies among {where}, belongs to {split}"
        yield Finding("quirk", "a video lies in the folder of another split", str(folder), "", detail, split)
    if folder.name in videos:
        yield Finding("quirk", "a video is there twice; the first folder is read", str(folder), "", "", split)
        return
    videos[folder.name] = (folder, split)


def _arrays(root: Path, files: list[Path]) -> Found:
    arrays = [p for name in _ARRAYS for p in files if p.name == name]
    units = []
    for array in arrays:
        labels = array.with_name(array.name.replace("_data.npy", "_label.pkl"))
        if labels.is_file():
            units.append(Unit(array.stem, (array, labels)))
    if not units:
        raise CheckFailed(
            f"{root}: this is not iMiGUE. Looked for imigue_skeleton_train/0184/0184_light_hand.csv and the like, and "
            "for train_data.npy with train_label.pkl; name the folder that holds them"
        )
    quirk = Finding("quirk", "processed arrays", "", "", "clips are cut to their last 90 frames; 22 joints")
    return Found(tuple(units), (quirk,), skeleton=SKELETONS["imigue22"])


def _read_arrays(unit: Unit, fps: float) -> Iterator[Recorded | Finding]:
    """The baseline's arrays: zero-padded clips of 22 joints. The public training labels hold train and val together."""
    for item in padded_clips(unit.files[0], unit.files[1], (3, 90, 22, 1), _ARRAY_NAME):
        if isinstance(item, Finding):
            yield item
            continue
        name, code, points = item
        split = split_of(int(name[:4]))
        yield Recorded(
            name, split, points[None, ..., :2], np.clip(points[None, ..., 2], 0, 1), fps,
            [Cut(name, code, 0, len(points))], size=SIZE,
        )  # fmt: skip


def _emotions(files: Sequence[Path]) -> dict[int, int]:
    """Won (1) or lost (0) per video, from the table of iMiGUE-Speech if it is there."""
    found: dict[int, int] = {}
    for path in [p for p in files if p.name == "labels.csv"][:1]:
        for place, row in read_table(path, ("video_id", "win_or_lose")):
            won = {"win": 1, "lose": 0}.get(row["win_or_lose"].strip().casefold())
            if won is None or not row["video_id"].strip().isdigit():
                raise FormatError(
                    path, f"{row['video_id']!r}, {row['win_or_lose']!r}", place=place,
                    expected="a video and Win or Lose", remedy="correct the row",
                )  # fmt: skip
            found[int(row["video_id"])] = won
    return found


def _subjects(files: Sequence[Path]) -> dict[int, int]:
    """Subject per video, from a table of the user's own if it is there."""
    found: dict[int, int] = {}
    for path in [p for p in files if p.name == "subjects.csv"][:1]:
        for row in whole_rows(path, 2):
            if isinstance(row, Finding):
                raise FormatError(
                    path, row.topic, place=row.place, expected="video_id,subject", remedy="correct the row"
                )
            found[row[1][0]] = row[1][1]
    return found


class IMiGUE(StoredDataset):
    """iMiGUE by one of its protocols.

    Args:
        root, longest: see `StoredDataset`; the released baseline has `longest` 90.
        joints: `"imigue22"`, the baseline's upper body and finger tips, or `"imigue35"`, all.
        protocol: `"miga"` or `"paper"`, see the head of the module.

    Example:
        >>> IMiGUE(joints="imigue35").skeleton.name
        'imigue35'
    """

    key = "imigue"
    taxonomy = TAXONOMY
    fps = 25.0

    def __init__(
        self,
        root: str | None = None,
        longest: int = 0,
        joints: Literal["imigue22", "imigue35"] = "imigue22",
        protocol: Literal["miga", "paper"] = "miga",
    ) -> None:
        super().__init__(root, longest)
        self.skeleton, self.protocol = SKELETONS[joints], protocol
        self.splits = ("train", "val", "test") if protocol == "miga" else ("train", "test")

    def chosen(self, split: str) -> NDArray[np.bool_]:
        """See `StoredDataset`."""
        if self.protocol == "miga":
            return super().chosen(split)
        subject: NDArray[Any] = self.store.of_clips("subject")
        if (self.store.column(RECORDINGS, "subject") < 0).any():
            raise UsageError(
                "iMiGUE's files do not say who is shown: the paper's protocol needs subjects.csv (video_id,subject) "
                "in the root when it is prepared"
            )
        return np.isin(subject, sorted(TRAIN_SUBJECTS if split == "train" else TEST_SUBJECTS))
