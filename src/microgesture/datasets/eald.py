"""EALD: long interviews of athletes after a match, de-identified, an emotion each and body language with times.

Paper      D. Li, X. Liu, B. Xing, B. Xia, Y. Zong, B. Wen, H. Kälviäinen, on EALD and EALD-MLLM, 2024,
           https://arxiv.org/abs/2405.00574
Licence    not released when this was written; nothing of it is shipped here
Layout     OURS, until the release shows another:
               labels.csv          video,emotion and perhaps split, subject; emotion is positive, negative or empty
               videos/<id>.mp4     de-identified films, optional
               audio/<id>.wav      de-identified voices, optional
               nfbl/<id>.csv       start,end,class in seconds: non-facial body language
               poses/<id>.npz      poses of this package; the release has none: estimate them, or set estimate=true
Classes    assumed to be iMiGUE's 32, which are said to be near; a name that is none of them is refused and told
Splits     none is published: labels.csv may state one, else every fifth subject or video is for testing and for
           validation, see `folder.every_fifth`
Tasks      recognition of the stretches of body language; emotion of the whole video (`records`, and states of the
           store), told as accuracy and F1
Facts      fact sheet "datasets", section 6
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from microgesture.core.errors import CheckFailed, FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE as TAXONOMY
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack
from microgesture.datasets.folder import cuts_of, estimated, even, every_fifth
from microgesture.datasets.prepare import Cut, Finding, Found, Recorded, StateCut, Unit
from microgesture.datasets.store import StoredDataset
from microgesture.formats import segments
from microgesture.formats.pose_npz import read_npz
from microgesture.formats.safe_csv import read_table

EMOTIONS = ("negative", "positive")
SPLITS = ("train", "val", "test")
FPS = 25.0  # nominal; every recording has that of its poses
_REMEDY = "correct the row"


@dataclass(frozen=True)
class LongVideoEmotion:
    """One interview.

    Args:
        video, audio: files relative to the root; empty where they are not there.
        nfbl: body language as (start, end, class name), in seconds.
        label: positive, negative, or empty where it is withheld.
        split: train, val or test.
    """

    video: str
    audio: str
    nfbl: tuple[tuple[float, float, str], ...]
    label: str
    split: str


def records(root: Path) -> Iterator[LongVideoEmotion]:
    """The interviews of `labels.csv`, in its order, for systems that read films, voices or words.

    Raises:
        CheckFailed: there is no such table.
        FormatError: a row of a table cannot be right.
    """
    for row in _labels(root):
        nfbl = root / "nfbl" / f"{row.video}.csv"
        lines: list[tuple[float, float, str]] = []
        for item in read_nfbl(nfbl, TAXONOMY, "") if nfbl.is_file() else ():
            if isinstance(item, Finding):
                raise FormatError(item.path, item.detail, place=item.place, remedy=_REMEDY)
            lines.append((item.start, item.end, TAXONOMY[item.label].name))
        yield LongVideoEmotion(
            _below(root, "videos", row.video, ".mp4"), _below(root, "audio", row.video, ".wav"), tuple(lines),
            row.emotion, row.split,
        )  # fmt: skip


@dataclass(frozen=True)
class Source:
    """EALD in the layout of this module.

    Args:
        estimate: find the people in films without poses; about as long as the films last, 32 hours in all.
    """

    key: ClassVar[str] = "eald"
    skeleton: ClassVar = SKELETONS["canonical"]
    taxonomy: ClassVar = TAXONOMY
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 2
    fps: ClassVar[float] = FPS
    states: ClassVar[tuple[str, ...]] = EMOTIONS
    expected: ClassVar[dict[str, dict[str, int]]] = {}
    expected_classes: ClassVar[dict[str, tuple[int, ...]]] = {}

    estimate: bool = False

    def find(self, root: Path) -> Found:
        """One unit per interview."""
        findings = [Finding("quirk", "classes are assumed to be iMiGUE's", "", "", "no vocabulary is published")]
        rows = _labels(root)
        if all(not row.stated for row in rows):
            findings.append(Finding("quirk", "splits are ours", "", "", "none is published"))
        units = []
        for row in rows:
            paths = {
                "poses": root / "poses" / f"{row.video}.npz", "nfbl": root / "nfbl" / f"{row.video}.csv",
                "film": root / "videos" / f"{row.video}.mp4",
            }  # fmt: skip
            there = {name: path for name, path in paths.items() if path.is_file()}
            if "nfbl" not in there:
                findings.append(Finding("missing", "no body language", str(paths["nfbl"]), "", "", row.split))
            if "poses" not in there and not (self.estimate and "film" in there):
                findings.append(
                    Finding("missing", "no poses", str(paths["poses"]), "", without_poses(there), row.split)
                )
                continue
            facts = {
                "split": row.split, "emotion": row.emotion, "subject": row.subject,
                "video": _below(root, "videos", row.video, ".mp4"),
            }  # fmt: skip
            units.append(
                Unit(row.video, (*there.values(), root / "labels.csv"), facts | {k: str(v) for k, v in there.items()})
            )
        if not units:
            raise CheckFailed(f"{root}: {len(rows)} interviews and no poses. Looked for poses/{rows[0].video}.npz")
        return Found(tuple(units), tuple(findings))

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The recording of an interview."""
        facts = unit.facts
        track = pose_of(facts)
        lines: list[Segment] = []
        for item in read_nfbl(Path(facts["nfbl"]), TAXONOMY, facts["split"]) if "nfbl" in facts else ():
            if isinstance(item, Finding):
                yield item
            else:
                lines.append(item)
        emotion = EMOTIONS.index(facts["emotion"]) if facts["emotion"] else -1
        states = [StateCut(unit.name, emotion, 0, len(track), facts["split"])]
        yield from recorded(unit.name, track, Timeline(tuple(lines), TAXONOMY, track.duration), states, facts)


def without_poses(there: dict[str, Any]) -> str:
    """What to do about a recording without poses."""
    return "set estimate=true to find the person in the film" if "film" in there else "there is no film either"


def pose_of(facts: Any) -> PoseTrack:
    """The one person of a recording, from its poses or else its film.

    Raises:
        FormatError: nobody is in it, or it has three coordinates.
    """
    tracks = read_npz(facts["poses"]) if "poses" in facts else estimated(Path(facts["film"]), 1)
    if not tracks or not len(tracks[0]) or tracks[0].xy.shape[2] != 2:
        problem = "holds no frame with a pose" if not tracks or not len(tracks[0]) else "holds 3-D poses"
        raise FormatError(
            facts.get("poses") or facts["film"], problem, expected="2-D poses", remedy="export them again"
        )
    return even(tracks[0])


def recorded(
    name: str, track: PoseTrack, line: Timeline, states: Sequence[StateCut], facts: Any
) -> Iterator[Recorded | Finding]:
    """A recording with the stretches of its timeline, in the canonical layout."""
    cuts: list[Cut] = []
    for item in cuts_of(name, line, track, facts.get("nfbl", ""), facts["split"]):
        if isinstance(item, Finding):
            yield item
        else:
            cuts.append(item)
    placed = track.project(SKELETONS["canonical"])
    yield Recorded(
        name, facts["split"], placed.xy[None], placed.score[None], placed.fps, cuts, states, facts["subject"], "",
        placed.size, facts["video"],
    )  # fmt: skip


def read_nfbl(path: Path, taxonomy: Taxonomy, split: str) -> Iterator[Segment | Finding]:
    """Rows of `start,end,class`; those that cannot be right come as findings.

    Raises:
        NoInput, NotPermitted, FormatError: the file is no such table.
    """
    for place, row in read_table(path, ("start", "end", "class")):
        try:
            start, end = (segments.number(path, place, name, row[name]) for name in ("start", "end"))
            yield segments.segment(path, place, start, end, segments.label(path, place, taxonomy, row["class"]))
        except FormatError as error:
            yield Finding.of(error, "a row of body language cannot be read", split)


@dataclass(frozen=True)
class _Row:
    video: str
    emotion: str
    split: str
    subject: int
    stated: bool


def _labels(root: Path) -> list[_Row]:
    path = root / "labels.csv"
    if not path.is_file():
        raise CheckFailed(f"{root}: this is not EALD in our layout. Looked for labels.csv with video,emotion")
    plain: list[tuple[str, dict[str, str]]] = []
    for place, row in read_table(path, ("video", "emotion")):
        cells = {name: cell.strip() for name, cell in row.items()}
        video, emotion, split = cells["video"], cells["emotion"].casefold(), cells.get("split", "").casefold()
        if not re.fullmatch(r"[^/\\\0]+", video) or video in (".", "..") or video in [v["video"] for _, v in plain]:
            problem = "occurs twice" if video in [v["video"] for _, v in plain] else "is no name of a file"
            raise FormatError(path, f"video {video[:40]!r} {problem}", place=place, remedy=_REMEDY)
        if emotion not in ("", *EMOTIONS) or split not in ("", *SPLITS):
            wrong, expected = (emotion, EMOTIONS) if emotion not in ("", *EMOTIONS) else (split, SPLITS)
            raise FormatError(path, f"{wrong[:40]!r}", place=place, expected=" or ".join(expected), remedy=_REMEDY)
        plain.append((place, cells | {"emotion": emotion, "split": split}))
    if not plain:
        raise CheckFailed(f"{path}: lists no video")
    people = [row.get("subject", "") for _, row in plain]
    keys = people if all(people) else [row["video"] for _, row in plain]
    ours = every_fifth(keys)
    order = sorted(set(people))
    return [
        _Row(
            row["video"], row["emotion"], row["split"] or ours[key], order.index(who) if who else -1, bool(row["split"])
        )
        for (_, row), key, who in zip(plain, keys, people, strict=True)
    ]


def _below(root: Path, folder: str, video: str, suffix: str) -> str:
    path = Path(folder) / f"{video}{suffix}"
    return str(path) if (root / path).is_file() else ""


class EALD(StoredDataset):
    """Stretches of body language of EALD.

    Args:
        root, longest: see `StoredDataset`.
        joints: layout the clips are given in.

    Example:
        >>> EALD().skeleton.name, len(EALD().taxonomy)
        ('imigue22', 32)
    """

    key = "eald"
    taxonomy = TAXONOMY
    fps = FPS

    def __init__(
        self, root: str | None = None, longest: int = 0, joints: Literal["imigue22", "canonical"] = "imigue22"
    ) -> None:
        super().__init__(root, longest)
        self.skeleton = SKELETONS[joints]
