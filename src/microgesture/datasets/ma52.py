"""MA-52 and MMA-52: micro-actions of people in psychological interviews, 52 classes, as clips and in whole videos.

Papers     D. Guo, K. Li, B. Hu, Y. Zhang, M. Wang: Benchmarking Micro-action Recognition: Dataset, Methods, and
           Applications, IEEE TCSVT 2024, https://arxiv.org/abs/2403.05234 (MA-52: 22,422 clips of 205 people)
           K. Li et al.: MMAD: Multi-label Micro-Action Detection in Videos, ICCV 2025,
           https://arxiv.org/abs/2407.05311 (MMA-52: 6,528 videos)
Licence    form and agreement with HFUT, non-commercial research; nothing of it is shipped here
MA-52      {train,val,test}_list_videos.txt    `name.mp4 label` per line; of test the names alone
           label_name.txt                      `id<TAB>name`, compared with our class table
           MA52_{train,val,test}.pkl           poses of 28 joints as PYSKL keeps them; distributed apart from the videos
           videos_{train,val}/0003_01_0001.mp4, videos_test/test0000.mp4, or all in raw_videos/; optional
MMA-52     anns/{train,val,test}.csv           id,video_id,start_frame,end_frame,class,total_frames,fps
           mmad.json                           in seconds: {video: {subset, duration, actions: [[class, s, e]]}}
           mmad_frames.json                    {video: frames}; they count at 25 frames per second
           {train,val,test}/train0000.mp4      videos of 5 to 15 seconds
           There are no official poses. Ours beside: poses/VIDEO.npz, or MMA52_{train,val,test}.pkl with 28 joints
           as above, or `estimate`, which makes them from the videos.
Protocols  MA-52   official       11,250 / 5,586 / 5,586 clips. Not subject-disjoint: all 186 prefixes of the names
                                  occur in train and in val
                   cross-subject  ours: train and val re-split by prefix, see `subject_split`
           MMA-52  official       4,534 / 1,475 / 519 videos, cross-subject
Facts      fact sheet "datasets", sections 3 and 4; csv and json of the MMAD baseline, github.com/VUT-HFUT/
           MAC_2024_baseline, for frame rates and ends

Known and handled: labels are in the lists and in the pickles, the lists win; test labels are withheld, and what the
public files of MMA-52 say of test is a dummy (one segment of 20 frames per video, classes in turn), which is never
read; nearly all videos of MMA-52 have overlapping instances; some run at 29 frames per second, not 30. An instance
ends at `end_frame / fps` seconds in the official json: the store keeps frames `[start, end)`, so that its times are
those.
The released list of joints to exchange in a mirror forgets the fingers: `layouts.RELEASED_MIRROR` keeps it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import CheckFailed, FormatError, MicrogestureError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import MA52 as TAXONOMY
from microgesture.core.track import PoseTrack
from microgesture.datasets.prepare import Cut, Finding, Found, Recorded, Unit, cache_folder
from microgesture.datasets.rows import walk
from microgesture.datasets.store import CLIPS, StoredClips, StoredDataset
from microgesture.formats.pose_npz import read_npz
from microgesture.formats.pyskl import PysklClip, read_pyskl
from microgesture.formats.safe_csv import read_table
from microgesture.formats.safe_json import read_json
from microgesture.formats.segments import Problems
from microgesture.formats.source import read_text

SPLITS = ("train", "val", "test")
SKELETON = SKELETONS["ma52_28"]
VAL_COUNTS = (
    *(
        153,
        74,
        9,
        3,
        76,
        168,
        121,
        228,
        480,
        641,
        595,
        112,
        56,
        47,
        21,
        41,
        37,
        176,
        43,
        138,
        73,
        177,
        186,
        197,
        119,
        33,
    ),
    *(46, 48, 30, 115, 128, 198, 30, 40, 25, 16, 21, 20, 44, 40, 28, 63, 33, 72, 25, 2, 12, 34, 209, 248, 45, 10),
)
"""Clips per class of MA-52's val list."""
EXTRACTED_FPS = 25.0
"""Frames per second that mmad_frames.json counts at."""
SLACK = 2
"""Frames by which lengths and ends may differ: rounding to whole frames and seconds of four digits."""
_NAME = re.compile(r"(\d{4})_\d{2}_\d{4}\Z", re.ASCII)
_FILM = re.compile(r"\.(mp4|avi|mkv)\Z", re.IGNORECASE)


# ---- MA-52: clips


@dataclass(frozen=True)
class Source:
    """MA-52 as distributed. A pickle of poses is read as a whole and takes a few times its size in memory.

    Args:
        fps: frames per second of the clips; the poses do not say.
    """

    key: ClassVar[str] = "ma52"
    skeleton: ClassVar = SKELETON
    taxonomy: ClassVar = TAXONOMY
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 2
    states: ClassVar[tuple[str, ...]] = ()
    expected: ClassVar = {
        split: {"recordings": clips, "clips": clips}
        for split, clips in zip(SPLITS, (11_250, 5_586, 5_586), strict=True)
    }
    expected_classes: ClassVar = {"train": tuple(label.train_count for label in TAXONOMY), "val": VAL_COUNTS}

    fps: float = 30.0

    def find(self, root: Path) -> Found:
        """One unit per pickle of poses."""
        _, files = walk(root)
        findings: list[Finding] = []
        units = []
        for split in SPLITS:
            poses = _only(files, f"MA52_{split}.pkl", findings, split)
            names = _only(files, f"{split}_list_videos.txt", findings, split)
            if poses is None:
                findings.append(Finding("missing", "no poses of a split", f"MA52_{split}.pkl", "", "", split))
                continue
            if names is None:
                detail = "labels are read from the poses" if split != "test" else ""
                findings.append(Finding("missing", "no list of clips", f"{split}_list_videos.txt", "", detail, split))
            facts = {"split": split, "films": _films(files, root, f"videos_{split}")}
            units.append(Unit(split, (poses, *([names] if names else [])), facts))
        if not units:
            films = any(_FILM.search(p.name) for p in files)
            raise CheckFailed(
                f"{root}: this is not MA-52 with its poses. Looked for MA52_train.pkl, MA52_val.pkl and MA52_test.pkl, "
                "and for train_list_videos.txt and so on"
                + ("; there are videos, but the poses are distributed apart (MA-52_openpose_28kp)" if films else "")
            )
        table = _only(files, "label_name.txt", findings)
        if table is None:
            detail = "the order of the classes cannot be checked"
            findings.append(Finding("missing", "no table of classes", "label_name.txt", "", detail))
        else:
            try:
                findings += _order(table)
            except MicrogestureError as error:
                findings.append(Finding.of(error))
        return Found(tuple(units), tuple(findings))

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The clips of a split, in the order of its list."""
        poses, *lists = unit.files
        split, films = unit.facts["split"], unit.facts["films"]
        clips, twice = _clips(poses, self.fps, split)
        yield from twice
        listed = {name: (clip.label, "") for name, clip in clips.items()}
        if lists:
            listed = {}
            for row in _listed(lists[0], split):
                if isinstance(row, Finding):
                    yield row
                elif row[0] in listed:
                    yield Finding("refused", "a clip is listed twice", str(lists[0]), row[2], row[0], split)
                else:
                    listed[row[0]] = row[1:]
            for name in clips:
                if name not in listed:
                    yield Finding("refused", "poses of a clip that is not listed", str(poses), name, "", split)
        withheld = 0
        for name, (label, line) in listed.items():
            if name not in clips:
                place = line or name
                yield Finding("missing", "a listed clip has no poses", str(lists[0]), place, name, split)
                continue
            clip = clips[name]
            if split == "test" and (label is None or not lists):
                withheld += clip.label is not None
                label = None
            elif label is None:
                detail = f"{name}; the label of the poses is read"
                yield Finding("quirk", "a clip without a label in its list", str(lists[0]), line, detail, split)
                label = clip.label
            elif clip.label not in (None, label):
                detail = f"{name}: {label} in the list, {clip.label} in the poses; the list is believed"
                yield Finding("quirk", "list and poses disagree on a label", str(lists[0]), line, detail, split)
            yield from _told(clip, name, split, poses)
            prefix = _NAME.match(name)
            track = clip.tracks[0]
            yield Recorded(
                name, split, np.stack([t.xy for t in clip.tracks]), np.stack([t.score for t in clip.tracks]), self.fps,
                [Cut(name, -1 if label is None else label, 0, len(track))], (), int(prefix[1]) if prefix else -1,
                prefix[1] if prefix else "", track.size, films.get(name, ""),
            )  # fmt: skip
        if withheld:
            detail = f"{withheld} clips; the test labels are withheld, so these are placeholders and not read"
            yield Finding("quirk", "the poses of test carry labels", str(poses), "", detail, split)


def _only(files: Iterable[Path], name: str, findings: list[Finding], split: str = "") -> Path | None:
    """The file of that name, wherever it lies; the first one if there are several."""
    found = [p for p in files if p.name == name]
    for other in found[1:]:
        detail = f"{found[0]} is read"
        findings.append(Finding("quirk", "a file is there twice", str(other), "", detail, split))
    return found[0] if found else None


def _films(files: Iterable[Path], root: Path, folder: str) -> dict[str, str]:
    """Videos by the names of their clips, those in `folder` before those in any other."""
    films = sorted((p for p in files if _FILM.search(p.name)), key=lambda p: p.parent.name == folder)
    return {p.stem: str(p.relative_to(root)) for p in films}


def _stem(name: str) -> str:
    """Name of a clip without folder and ending."""
    return _FILM.sub("", re.split(r"[/\\]", name)[-1])


def _clips(path: Path, fps: float, split: str) -> tuple[dict[str, PysklClip], list[Finding]]:
    """Clips of a pickle by name."""
    clips: dict[str, PysklClip] = {}
    findings = []
    for clip in read_pyskl(path, SKELETON, fps=fps).clips:
        name = _stem(clip.name)
        if clip.tracks[0].xy.shape[-1] != 2:
            findings.append(Finding("refused", "3-D poses; expected pixels", str(path), name, "", split))
        elif name in clips:
            findings.append(Finding("refused", "poses are there twice", str(path), name, "", split))
        else:
            clips[name] = clip
    return clips, findings


def _listed(path: Path, split: str) -> Iterator[tuple[str, int | None, str] | Finding]:
    """Lines of a list as (clip, label, line); the label is None where there is none."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        cells, place = line.split(), f"line {number}"
        if not cells:
            continue
        name, label = " ".join(cells[:-1]), cells[-1]
        if not name or _FILM.search(label):  # nothing but a name
            yield _stem(line.strip()), None, place
        elif not re.fullmatch(r"-?\d{1,9}", label, re.ASCII):
            detail = f"{line.strip()[:60]!r}; expected a name and a label"
            yield Finding("refused", "the line cannot be read", str(path), place, detail, split)
        elif not 0 <= int(label) < len(TAXONOMY):
            if split == "test" and int(label) == -1:
                yield _stem(name), None, place
            else:
                detail = f"{label}; expected 0..{len(TAXONOMY) - 1}"
                yield Finding("refused", "a label is out of range", str(path), place, detail, split)
        else:
            yield _stem(name), int(label), place


def _order(path: Path) -> Iterator[Finding]:
    """Where `label_name.txt` contradicts our class table: ids are what counts, names follow them."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        place, cells = f"line {number}", line.strip().split(maxsplit=1)
        if len(cells) != 2 or not cells[0].isascii() or not cells[0].isdigit():
            yield Finding("refused", "the line cannot be read", str(path), place, f"{line.strip()[:60]!r}")
            continue
        id, name = int(cells[0]), cells[1].strip()
        try:
            ours = TAXONOMY.find(name)
        except KeyError as error:
            yield Finding("quirk", "a class of another name", str(path), place, str(error.args[0]))
            continue
        if ours.id != id:
            detail = f"{id} is '{name}' here, {ours.id} in the published table; ids are read as published"
            sort: Literal["quirk", "refused"] = "quirk" if ours.name_uncertain else "refused"
            yield Finding(sort, "the classes have another order", str(path), place, detail)


def _told(clip: PysklClip, name: str, split: str, path: Path) -> Iterator[Finding]:
    """What a reader should know of a clip."""
    if not any(track.score.any() for track in clip.tracks):
        yield Finding("quirk", "nobody was found in a clip", str(path), name, "all scores are 0", split)
    if split != "test" and not _NAME.match(name):
        detail = "expected PPPP_SS_CCCC; its person is unknown"
        yield Finding("quirk", "a name of another form", str(path), name, detail, split)


def subject_split(groups: Sequence[str], labels: NDArray[np.int64], seed: int = 0) -> frozenset[str]:
    """The test part of the cross-subject protocol: a third of the prefixes, whatever clips they have.

    Ours, not published. A prefix is taken for a person (there are 186 of them, and 205 participants). Drawn from
    the seed, then pairs are exchanged between the parts as long as that brings the classes of the test part nearer to
    a third of each. In whole numbers and without a random generator: the same on every machine and in every version.

    Args:
        groups: (N,) prefix of every clip.
        labels: (N,) its class.

    Raises:
        UsageError: there are fewer than three prefixes.

    Example:
        >>> sorted(subject_split(["0001", "0002", "0003"] * 2, np.zeros(6, np.int64)))
        ['0002']
    """
    names = sorted(set(groups), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    if len(names) < 3:
        raise UsageError(f"{len(names)} prefixes of names; a cross-subject split needs three or more")
    place = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(TAXONOMY)), np.int64)
    np.add.at(counts, (np.array([place[name] for name in groups]), labels), 1)
    total = counts.sum(0)
    weight = 1_000_000 // np.maximum(total, 1)  # of squared deviations: rare classes count as much as frequent ones
    test = np.arange(len(names)) < round(len(names) / 3)
    while True:
        out, inside = np.flatnonzero(~test), np.flatnonzero(test)
        off = 3 * counts[test].sum(0) - total
        changed = off + 3 * (counts[out][:, None] - counts[inside][None])  # (out, inside, classes)
        cost = (weight * changed**2).sum(-1)
        best = int(cost.argmin())
        if cost.flat[best] >= (weight * off**2).sum():
            return frozenset(names[i] for i in inside)
        test[out[best // len(inside)]], test[inside[best % len(inside)]] = True, False


class MA52(StoredDataset):
    """MA-52 by one of its protocols.

    Args:
        root, longest: see `StoredDataset`.
        protocol: `"official"`, with a test split without labels, or `"cross-subject"`, ours: train and val re-split
            into train and test without a person in both.
        seed: of the cross-subject split.

    Example:
        >>> MA52().splits, MA52(protocol="cross-subject").splits
        (('train', 'val', 'test'), ('train', 'test'))
    """

    key = "ma52"
    skeleton = SKELETON
    taxonomy = TAXONOMY
    fps = 30.0

    def __init__(
        self,
        root: str | None = None,
        longest: int = 0,
        protocol: Literal["official", "cross-subject"] = "official",
        seed: int = 0,
    ) -> None:
        super().__init__(root, longest)
        self.protocol, self.seed = protocol, seed
        self.splits = SPLITS if protocol == "official" else ("train", "test")

    def chosen(self, split: str) -> NDArray[np.bool_]:
        """See `StoredDataset`."""
        if self.protocol == "official":
            return super().chosen(split)
        label, group = self.store.column(CLIPS, "label"), self.store.of_clips("group").astype(str)
        pool: NDArray[np.bool_] = (self.store.split_of_clips() != "test") & (label >= 0) & (group != "")
        test = subject_split(group[pool].tolist(), label[pool], self.seed)
        pool &= np.isin(group, sorted(test)) == (split == "test")
        return pool


# ---- MMA-52: instances in videos


@dataclass(frozen=True)
class DetectionSource:
    """MMA-52 as distributed.

    Args:
        estimate: make the poses that are missing from the videos, into the cache. Slow: MediaPipe needs ten hours of
            one core or more for all videos; a run that is stopped goes on.
    """

    key: ClassVar[str] = "mma52"
    skeleton: ClassVar = SKELETON
    taxonomy: ClassVar = TAXONOMY
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 2
    fps: ClassVar[float] = 30.0
    states: ClassVar[tuple[str, ...]] = ()
    expected: ClassVar = {
        "train": {"recordings": 4_534, "clips": 13_698},
        "val": {"recordings": 1_475, "clips": 4_735},
        "test": {"recordings": 519, "clips": 0},  # the labels of test are withheld
    }
    expected_classes: ClassVar[Mapping[str, Sequence[int]]] = {}

    estimate: bool = False

    def find(self, root: Path) -> Found:
        """One unit per video, or per pickle of poses."""
        _, files = walk(root)
        findings: list[Finding] = []
        index, lengths = (_only(files, name, findings) for name in ("mmad.json", "mmad_frames.json"))
        tables = {split: _only(files, f"{split}.csv", findings, split) for split in SPLITS}
        videos = _annotations(index, tables, lengths, findings)
        if not videos:
            raise CheckFailed(
                f"{root}: this is not MMA-52. Looked for anns/train.csv, anns/val.csv and anns/test.csv, and for "
                "mmad.json"
            )
        npz = {p.stem: p for p in files if p.suffix == ".npz" and p.parent.name == "poses"}
        films = {p.stem: p for p in files if _FILM.search(p.name)}
        pickles = {split: _only(files, f"MMA52_{split}.pkl", findings, split) for split in SPLITS}
        if not npz and not any(pickles.values()) and not (self.estimate and films):
            raise CheckFailed(_no_poses(root, len(videos), len(films), self.estimate))
        cache = cache_folder() / "poses" / f"mma52-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]}"
        units = []
        for split in SPLITS:
            beside = [p for p in (index, tables[split]) if p is not None]
            named = {name: video for name, video in sorted(videos.items()) if video.split == split}
            plain = {name: video.plain(films.get(name), root) for name, video in named.items()}
            pickle = pickles[split]
            if pickle is not None:
                units.append(Unit(split, (pickle, *beside), {"split": split, "videos": plain}))
                continue
            for name in named:
                poses = npz.get(name) or (films.get(name) if self.estimate else None)
                if poses is None:
                    findings.append(Finding("missing", "no poses of a video", name, "", "", split))
                    continue
                facts = {"split": split, "videos": {name: plain[name]}, "cache": str(cache / name)}
                units.append(Unit(name, (poses, *beside), facts))
        return Found(tuple(units), tuple(findings))

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The recordings of a unit, those of test without a clip."""
        path, split, videos = unit.files[0], unit.facts["split"], unit.facts["videos"]
        if path.suffix != ".pkl":
            track = self._track(path, unit.facts)
            yield from _recorded(unit.name, split, videos[unit.name], track, path)
            return
        clips, twice = _clips(path, self.fps, split)
        yield from twice
        for name in clips:
            if name not in videos:
                yield Finding("refused", "poses of a video that is not listed", str(path), name, "", split)
        for name, facts in videos.items():
            if name in clips:
                yield from _recorded(name, split, facts, clips[name].tracks[0], path)
            else:
                yield Finding("missing", "no poses of a video", str(path), name, "", split)

    def _track(self, path: Path, facts: Mapping[str, Any]) -> PoseTrack:
        """Poses of one video, in the layout of the store."""
        if path.suffix != ".npz":
            from microgesture.pose.estimate import estimate

            return estimate(path, facts["cache"]).track().project(SKELETON)
        tracks = read_npz(path)
        if not tracks or tracks[0].xy.shape[-1] != 2:
            problem = "holds 3-D poses" if tracks else "holds nobody"
            raise FormatError(path, problem, expected="a person in pixels", remedy="estimate the pose again")
        return tracks[0].project(SKELETON)


@dataclass
class _Video:
    """What the annotations say of a video; instances are (class, start, end) in seconds."""

    split: str
    fps: float = DetectionSource.fps
    seconds: float = 0.0
    instances: list[tuple[int, float, float]] = field(default_factory=list)

    def plain(self, film: Path | None, root: Path) -> dict[str, Any]:
        where = "" if film is None else str(film.relative_to(root))
        return {"fps": self.fps, "seconds": self.seconds, "instances": self.instances, "film": where}


def _no_poses(root: Path, videos: int, films: int, estimate: bool) -> str:
    wanted = (
        "put them beside as poses/VIDEO.npz (files of this package) or as MMA52_train.pkl, MMA52_val.pkl and "
        "MMA52_test.pkl (PYSKL, 28 joints)"
    )
    if estimate:
        return f"{root}: annotations of {videos:,} videos, but no video to estimate poses from; {wanted}"
    return (
        f"{root}: annotations of {videos:,} videos, but no poses: MMA-52 is distributed without any. Either {wanted}, "
        f"or let them be estimated from the {films:,} videos found, with --set estimate=true (slow: ten hours of "
        "one core or more for all of MMA-52)"
    )


def _annotations(
    index: Path | None, tables: Mapping[str, Path | None], lengths: Path | None, findings: list[Finding]
) -> dict[str, _Video]:
    """All videos; where json and csv disagree, the json is believed: it is what the official metric reads."""
    videos: dict[str, _Video] = {}
    by_table: dict[str, _Video] = {}
    for split, table in tables.items():
        if table is None:
            findings.append(Finding("missing", "no table of instances", f"anns/{split}.csv", "", "", split))
        else:
            by_table |= _of_table(table, split, findings)
    if index is None:
        findings.append(Finding("missing", "no mmad.json", "mmad.json", "", "the tables alone are read"))
        videos = by_table
    else:
        videos = _of_index(index, findings)
        for name, video in videos.items():
            if name in by_table:
                video.fps = by_table[name].fps
                findings += _compared(name, video, by_table[name], tables[by_table[name].split])
            elif tables.get(video.split) is not None:
                findings.append(_disagree(name, video.split, tables[video.split], "is in mmad.json alone"))
        for name in sorted(by_table.keys() - videos.keys()):
            table = tables[by_table[name].split]
            findings.append(_disagree(name, by_table[name].split, table, "is in the table alone; left out"))
    dummies = sum(video.split == "test" for video in videos.values())
    if dummies:
        detail = f"one made-up segment in each of {dummies} videos; the test labels are withheld"
        findings.append(
            Finding("quirk", "the public annotations of test are a dummy, not read", "", "", detail, "test")
        )
    if lengths is not None:
        findings += _lengths(lengths, videos)
    return videos


def _of_table(path: Path, split: str, findings: list[Finding]) -> dict[str, _Video]:
    """Videos of a csv; of test the names and lengths alone."""
    videos: dict[str, _Video] = {}
    columns = ("video_id", "start_frame", "end_frame", "class", "total_frames", "fps")
    problems: Problems = []
    for place, row in read_table(path, columns, problems):
        name = _stem(row["video_id"].strip())
        numbers = [_number(row[column]) for column in columns[1:]]
        if not name or not all(math.isfinite(n) for n in numbers) or numbers[4] <= 0:
            detail = f"{','.join(row.values())[:60]!r}; expected numbers, and a rate above 0"
            findings.append(Finding("refused", "the row cannot be read", str(path), place, detail, split))
            continue
        start, end, label, total, fps = numbers
        video = videos.setdefault(name, _Video(split, fps, total / fps))
        if split != "test":
            _add(video, (label, start / fps, end / fps), Finding("refused", "", str(path), place, "", split), findings)
    findings += [Finding.of(problem, "the row cannot be read", split) for problem in problems]
    return videos


def _of_index(path: Path, findings: list[Finding]) -> dict[str, _Video]:
    """Videos of mmad.json; of test the names and lengths alone."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise FormatError(path, "not a dictionary of videos", expected='{"train0000": {...}}', remedy="fetch it again")
    videos: dict[str, _Video] = {}
    for name, entry in content.items():
        rows = entry.get("actions") if isinstance(entry, dict) else None
        if not isinstance(rows, list) or entry.get("subset") not in SPLITS:
            detail = "expected subset (train, val or test), duration and actions"
            findings.append(Finding("refused", "a video cannot be read", str(path), f"video {name[:40]}", detail))
            continue
        split = entry["subset"]
        duration = _number(entry.get("duration"))
        video = videos[name] = _Video(split, seconds=duration if math.isfinite(duration) else 0.0)
        for i, row in enumerate(rows if split != "test" else ()):
            place = f"video {name}, action {i}"
            numbers = [_number(n) for n in row] if isinstance(row, list) else []
            if len(numbers) != 3 or not all(math.isfinite(n) for n in numbers):
                detail = f"{str(row)[:60]}; expected class, start, end"
                findings.append(Finding("refused", "an instance cannot be read", str(path), place, detail, split))
            else:
                _add(video, numbers, Finding("refused", "", str(path), place, "", split), findings)
    return videos


def _number(value: object) -> float:
    """A number, or NaN where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _add(video: _Video, row: Sequence[float], at: Finding, findings: list[Finding]) -> None:
    """Add an instance, or the reason why it cannot be one, told as `at`."""
    label, start, end = row
    topic, detail = "", ""
    if not 0 <= label < len(TAXONOMY) or label % 1:
        topic, detail = "a label is out of range", f"{label:g}; expected 0..{len(TAXONOMY) - 1}"
    elif not 0 <= start < end:
        topic, detail = "the instance ends before it starts", f"{start:.3f} s to {end:.3f} s"
    if topic:
        findings.append(Finding(at.kind, topic, at.path, at.place, detail, at.split))
    else:
        video.instances.append((int(label), start, end))


def _compared(name: str, index: _Video, table: _Video, path: Path | None) -> Iterator[Finding]:
    """What json and csv say of a video, in whole frames."""
    if index.split != table.split:
        yield _disagree(name, index.split, path, f"is in {index.split} by mmad.json")
        return
    both = [sorted((k, round(s * v.fps), round(e * v.fps)) for k, s, e in v.instances) for v in (index, table)]
    if len(both[0]) != len(both[1]):
        yield _disagree(name, index.split, path, f"{len(both[0])} instances in mmad.json, {len(both[1])} in the table")
        return
    for a, b in zip(*both, strict=True):
        if a[0] != b[0] or max(abs(a[1] - b[1]), abs(a[2] - b[2])) > 1:
            yield _disagree(name, index.split, path, f"class, start and end are {a} in mmad.json, {b} in the table")
            return


def _disagree(name: str, split: str, path: Path | None, detail: str) -> Finding:
    text = f"{detail}; mmad.json is believed"
    return Finding("quirk", "mmad.json and the table disagree", "" if path is None else str(path), name, text, split)


def _lengths(path: Path, videos: Mapping[str, _Video]) -> Iterator[Finding]:
    """Videos whose length in mmad_frames.json, counted at 25 per second, is not that of the other files."""
    frames = read_json(path)
    if not isinstance(frames, dict):
        raise FormatError(path, "not a dictionary of lengths", expected='{"train0000": 140}', remedy="fetch it again")
    for name, video in videos.items():
        count, wanted = _number(frames.get(name)), video.seconds * EXTRACTED_FPS
        if not abs(count - wanted) <= SLACK:
            said = "nothing" if math.isnan(count) else f"{count:g}"
            detail = f"{said} for {video.seconds:.2f} s; expected about {wanted:.0f} frames at 25 per second"
            yield Finding(
                "quirk", "mmad_frames.json and the annotations disagree", str(path), name, detail, video.split
            )


def _recorded(
    name: str, split: str, facts: Mapping[str, Any], track: PoseTrack, path: Path
) -> Iterator[Recorded | Finding]:
    """A recording with its instances. Poses of every frame go by the rate of the annotations, others by their own."""
    frames = len(track)
    fps = facts["fps"] if abs(frames - facts["seconds"] * facts["fps"]) <= SLACK else track.fps
    if facts["seconds"] and abs(frames - facts["seconds"] * fps) > SLACK:
        detail = f"{frames} frames at {fps:g} per second, but {facts['seconds']:.2f} s"
        yield Finding("quirk", "poses and annotations differ in length", str(path), name, detail, split)
    cuts = []
    for i, (label, start, end) in enumerate(facts["instances"]):
        first, last = round(start * fps), round(end * fps)
        cuts.append(Cut(f"{name}_{i}", label, first, min(last, frames) if last - frames <= SLACK else last))
    yield Recorded(name, split, track.xy[None], track.score[None], fps, cuts, size=track.size, video=facts["film"])


class MMA52(StoredDataset):
    """MMA-52: its labelled instances as clips, which may overlap; whole videos are the store's recordings.

    Args:
        root, longest: see `StoredDataset`.

    Example:
        >>> MMA52().taxonomy.key
        'ma52'
    """

    key = "mma52"
    skeleton = SKELETON
    taxonomy = TAXONOMY
    fps = 30.0
    splits = SPLITS

    def clips(self, split: str) -> StoredClips:
        """The instances of train or val.

        Raises:
            FormatError: of test, whose labels are withheld: no one outside knows where its instances are.
        """
        if split == "test":
            raise FormatError(
                self.store.path,
                "the labels of test are withheld, so it has no clips",
                expected="split train or val",
                remedy="detect in its recordings and submit what was found",
            )
        return super().clips(split)
