"""DEEMO: interviews after a match, de-identified: body language with times, emotions of clips, and clues to them.

Paper      DEEMO: De-identity Multimodal Emotion Recognition and Reasoning, ACM MM 2025, https://arxiv.org/abs/2504.19549
Licence    by request; nothing of it is shipped here
Layout     OURS, until the release shows another:
               records.json        a list of {video, audio, text, nfbl, label, clues} and perhaps id, start, end, split:
                                   video, audio  files relative to the root
                                   text          what is said
                                   nfbl          [{start, end, label}, ...] in seconds of the video
                                   label         positive, negative, or null where it is withheld
                                   clues         texts that reason about it
                                   start, end    seconds of the clip in its video; the whole video without them
               nfbl_classes.txt    the classes, one a line, optional
               poses/<stem>.npz    poses of this package per video (with its folder, where stems are not unique)
Classes    those of nfbl_classes.txt, else those the records name: iMiGUE's 32 where all of them are among these
Splits     none is published: records may state one, else every fifth video is for testing and for validation
Tasks      recognition of the stretches of body language; emotion of clips, told as accuracy and F1; reasoning, told as
           overlap of clues and labels: `records` gives what these need
Facts      fact sheet "datasets", section 7
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from microgesture.core.errors import CheckFailed, FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE, known
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.eald import EMOTIONS, FPS, SPLITS, pose_of, recorded, without_poses
from microgesture.datasets.folder import every_fifth
from microgesture.datasets.folder_settings import folded
from microgesture.datasets.plain_npz import classes
from microgesture.datasets.prepare import Finding, Found, Recorded, StateCut, Unit
from microgesture.datasets.store import StoredDataset
from microgesture.formats import segments
from microgesture.formats.safe_json import read_json
from microgesture.formats.source import read_text

RECORDS, CLASSES = "records.json", "nfbl_classes.txt"
_REMEDY = "correct the record"


@dataclass(frozen=True)
class Record:
    """One record, checked.

    Args:
        nfbl: (start, end, label) in seconds of the video, as written; nothing is known yet of the label.
        label: positive, negative, or empty where it is withheld.
        span: seconds of the clip in its video, None for all of it.
    """

    id: str
    video: str
    audio: str
    text: str
    nfbl: tuple[tuple[float, float, str], ...]
    label: str
    clues: tuple[str, ...]
    span: tuple[float, float] | None
    split: str


def records(root: Path) -> list[Record]:
    """The records in their order, each with its split.

    Raises:
        CheckFailed: there is no such file.
        FormatError: naming the record and what is wrong with it.
    """
    path = root / RECORDS
    if not path.is_file():
        raise CheckFailed(f"{root}: this is not DEEMO in our layout. Looked for {RECORDS}")
    value = read_json(path)
    if not isinstance(value, list) or not value:
        raise FormatError(path, "holds no records", expected="a list of objects", remedy="name the right file")
    plain = [_record(path, number, row) for number, row in enumerate(value)]
    ids = [record.id for record in plain]
    twice = next((id for id in ids if ids.count(id) > 1), None) if len(set(ids)) < len(ids) else None
    if twice is not None:
        raise FormatError(path, f"the id {twice[:40]!r} occurs twice", remedy="give every record an id of its own")
    split = every_fifth([record.video for record in plain]) | {r.video: r.split for r in plain if r.split}
    apart = next((r for r in plain if r.split and r.split != split[r.video]), None)
    if apart is not None:
        problem = f"clips of {apart.video[:60]} lie in {apart.split} and in {split[apart.video]}"
        raise FormatError(path, problem, remedy="keep the clips of a video together")
    return [Record(**(vars(record) | {"split": split[record.video]})) for record in plain]


def _record(path: Path, number: int, row: Any) -> Record:
    place = f"record {number}"

    def wrong(problem: str, expected: str) -> FormatError:
        return FormatError(path, problem, place=place, expected=expected, remedy=_REMEDY)

    def text(name: str, default: str | None = None) -> str:
        value = row.get(name)
        value = default if value is None else value
        if not isinstance(value, str):
            raise wrong(f"'{name}' is {value!r:.40}", "text")
        return value

    def seconds(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= segments.TIME_LIMIT:
            raise wrong(f"'{name}' is {value!r:.40}", "seconds")
        return float(value)

    if not isinstance(row, dict):
        raise wrong("is no object", "{video, audio, text, nfbl, label, clues}")
    video = text("video")
    if not video or PurePosixPath(video).is_absolute() or ".." in PurePosixPath(video).parts or "\0" in video:
        raise wrong(f"'video' is {video[:60]!r}", "a file below the root")
    label, split = text("label", "").casefold(), text("split", "").casefold()
    if label not in ("", *EMOTIONS):
        raise wrong(f"'label' is {label[:40]!r}", " or ".join(EMOTIONS))
    if split not in ("", *SPLITS):
        raise wrong(f"'split' is {split[:40]!r}", ", ".join(SPLITS))
    clues, nfbl = row.get("clues") or [], row.get("nfbl") or []
    clues = [clues] if isinstance(clues, str) else clues
    if not isinstance(clues, list) or not all(isinstance(clue, str) for clue in clues):
        raise wrong(f"'clues' is {clues!r:.40}", "a list of texts")
    if not isinstance(nfbl, list) or not all(isinstance(s, dict) and isinstance(s.get("label"), str) for s in nfbl):
        raise wrong(f"'nfbl' is {nfbl!r:.40}", "a list of {start, end, label}")
    spans = [(seconds("start", s.get("start")), seconds("end", s.get("end")), s["label"].strip()) for s in nfbl]
    span = None
    if row.get("start") is not None or row.get("end") is not None:
        span = seconds("start", row.get("start")), seconds("end", row.get("end"))
        if span[0] >= span[1]:
            raise wrong(f"the clip runs from {span[0]:g} to {span[1]:g} s", "start < end")
    name = text("id", f"{PurePosixPath(video).stem}_{number}")
    return Record(name, video, text("audio", ""), text("text", ""), tuple(spans), label, tuple(clues), span, split)


def vocabulary(root: Path, found: list[Record]) -> Taxonomy:
    """The classes of body language; see the head of the module."""
    path = root / CLASSES
    if path.is_file():
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        if len({folded(name) for name in names}) < len(names) or not names:
            raise FormatError(path, f"{len(names)} classes", expected="every class once", remedy="correct the list")
    else:
        names = sorted({folded(label): label for record in found for _, _, label in record.nfbl}.values())
    if {folded(name) for name in names} <= {folded(label.name) for label in IMIGUE}:
        return IMIGUE
    return classes("deemo", "DEEMO non-facial body language", names)


@dataclass(frozen=True)
class Source:
    """DEEMO in the layout of this module.

    Args:
        estimate: find the people in films without poses.
    """

    key: ClassVar[str] = "deemo"
    skeleton: ClassVar = SKELETONS["canonical"]
    taxonomy: ClassVar = IMIGUE  # `find` states those of the data
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 2
    fps: ClassVar[float] = FPS
    states: ClassVar[tuple[str, ...]] = EMOTIONS
    expected: ClassVar[dict[str, dict[str, int]]] = {}
    expected_classes: ClassVar[dict[str, tuple[int, ...]]] = {}

    estimate: bool = False

    def find(self, root: Path) -> Found:
        """One unit per video, with all of its records."""
        held = records(root)
        taxonomy = vocabulary(root, held)
        findings = [Finding("quirk", "layout and splits are ours", "", "", "none is published")]
        if not (root / CLASSES).is_file():
            detail = "iMiGUE's" if taxonomy is IMIGUE else f"{len(taxonomy)} names"
            findings.append(Finding("quirk", "classes are those the records name", RECORDS, "", detail))
        videos: dict[str, list[Record]] = {}
        for record in held:
            videos.setdefault(record.video, []).append(record)
        units = []
        for video, clips in videos.items():
            stem, split = PurePosixPath(video).stem, clips[0].split
            if sum(PurePosixPath(v).stem == stem for v in videos) > 1:  # the folder tells them apart
                stem = str(PurePosixPath(video).with_suffix(""))
            paths = {"poses": root / "poses" / f"{stem}.npz", "film": root / video}
            there = {name: path for name, path in paths.items() if path.is_file()}
            if "poses" not in there and not (self.estimate and there):
                findings.append(Finding("missing", "no poses", str(paths["poses"]), "", without_poses(there), split))
                continue
            facts = {
                "split": split, "subject": -1, "video": video if "film" in there else "", "nfbl": str(root / RECORDS),
                "taxonomy": taxonomy.to_plain(), "records": [vars(clip) for clip in clips],
            }  # fmt: skip
            files = (*there.values(), *(p for p in (root / RECORDS, root / CLASSES) if p.is_file()))
            units.append(Unit(stem, files, facts | {k: str(v) for k, v in there.items()}))
        if not units:
            stem = PurePosixPath(held[0].video).stem
            raise CheckFailed(f"{root}: {len(videos)} videos and no poses. Looked for poses/{stem}.npz")
        return Found(tuple(units), tuple(findings), taxonomy=taxonomy)

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The recording of a video."""
        facts, path = unit.facts, unit.facts["nfbl"]
        taxonomy, track = known(facts["taxonomy"]), pose_of(facts)
        lines: dict[tuple[float, float, int], Segment] = {}  # clips that overlap tell the same segment twice
        states: list[StateCut] = []
        for record in facts["records"]:
            place = f"record {record['id']}"
            for start, end, text in record["nfbl"]:
                try:
                    label = segments.label(path, place, taxonomy, text)
                    lines[start, end, label.id] = segments.segment(path, place, start, end, label)
                except FormatError as error:
                    yield Finding.of(error, "body language that cannot be", facts["split"])
            emotion = EMOTIONS.index(record["label"]) if record["label"] else -1
            start, end = record["span"] or (0.0, track.duration)
            first, last = round(start * track.fps), min(round(end * track.fps), len(track))
            states.append(StateCut(record["id"], emotion, first, last, facts["split"]))
        line = Timeline(tuple(lines.values()), taxonomy, track.duration)
        yield from recorded(unit.name, track, line, states, facts)


class DEEMO(StoredDataset):
    """Stretches of body language of DEEMO.

    Args:
        root, longest: see `StoredDataset`.
        joints: layout the clips are given in.

    Example:
        >>> DEEMO().skeleton.name
        'imigue22'
    """

    key = "deemo"
    fps = FPS

    def __init__(
        self, root: str | None = None, longest: int = 0, joints: Literal["imigue22", "canonical"] = "imigue22"
    ) -> None:
        super().__init__(root, longest)
        self.skeleton = SKELETONS[joints]

    @property
    def taxonomy(self) -> Taxonomy:  # type: ignore[override]
        """The classes of the data; before these are there, iMiGUE's, which they are assumed to be near."""
        root = self.root or os.environ.get("MICROGESTURE_DEEMO")
        return self.store.taxonomy if root and Path(root).is_dir() else IMIGUE
