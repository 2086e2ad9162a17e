"""Recordings of your own: films or poses with annotations beside them, or one NumPy archive. No code is needed.

Layouts    any folders, any depth; files of one stem belong together:
               interview1.mp4                              mp4, avi, mov, mkv, webm, gif
               interview1.npz, interview1_openpose.csv     poses: ours, OpenPose (CSV, XLSX, JSON or a folder of JSON),
                                                           MediaPipe CSV, DeepLabCut CSV; else the film's are estimated
               interview1.eaf, interview1_labels.csv       annotations: ELAN, CSV, WebVTT, BORIS, BIDS events, our JSON
           clips.pkl                                       PYSKL's annotations: clips with labels
           set.npz                                         a set in the layout of `plain_npz`
           dataset.yaml                                    in the root; wherever the files do not say it themselves
Settings   dataset.yaml, all optional:
               name: mystudy                               key of the label space
               taxonomy: imigue                            one of ours; or a list of names; or {group: [names]}; by
                                                           default the names that occur in the annotations, sorted
               skeleton: openpose25                        one of ours; or {joints: [..], bones: [[a, b], ..], root: a}
               fps: 30000/1001                             of poses that do not say it and have no film beside them
               size: 1280x720                              of the picture, likewise
               persons: 1                                  1: every annotated person is a recording of its own
               split: subject                              or recording, or the name of a split the file has, or
                                                           {train: [patterns], val: [...], test: [...]}
               subjects: {"interview[12]": anna}           patterns of recordings to persons
               only: "*.npz"                               which files to read
               rater: anna                                 whose annotations, where a file has several
               y_up: true                                  3-D axes that point up and to the left, as Kinect's do
               estimate: false                             leave films without poses alone
           a recipe may state them too, see `Folder`

Every fifth subject (or recording, where subjects are not known) is for testing and every fifth for validation, always
the same ones; a finding says so. Poses that are estimated are kept in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from microgesture.core.errors import CheckFailed, FormatError, NoInput, NotPermitted, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Timeline
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import IMIGUE, TAXONOMIES, known
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.core.track import PoseTrack
from microgesture.datasets.folder_settings import SETTINGS, SPLITS, Settings, folded, parse_settings, read_settings
from microgesture.datasets.plain_npz import PlainSet, classes, is_plain, layout, read_plain
from microgesture.datasets.prepare import PARTS, PLAN, Cut, Finding, Found, Recorded, Unit, cache_folder, prepare
from microgesture.datasets.rows import walk
from microgesture.datasets.store import INDEX, RECORDINGS, Store, StoredDataset, open_store
from microgesture.formats.poses import pose_kind, read_poses
from microgesture.formats.pyskl import PysklClip, read_pyskl
from microgesture.formats.safe_json import read_json
from microgesture.formats.segments import Problems
from microgesture.formats.source import read_text
from microgesture.formats.timelines import read_raters, read_timeline, timeline_kind

FILMS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".gif")
ESTIMATED = SKELETONS["canonical"]
"""Layout of poses that are estimated from films."""
_MAYBE = (".npz", ".csv", ".tsv", ".json", ".xlsx", ".eaf", ".vtt", ".boris")
# what tools and people add to the stem of a film
_TAIL = re.compile(
    r"([._\- ](poses?|keypoints|openpose|mediapipe|annotations?|labels?|timeline|events|boris)|DLC_.*)\Z", re.I
)
_SLACK = 6e-4  # seconds: times of annotations are rounded to milliseconds


@dataclass(frozen=True)
class Source:
    """A folder of one's own.

    Args:
        only: pattern of the files to read; takes the place of the one in dataset.yaml, as do the others.
        fps: frames per second of files that do not say it and have no film beside them; 0 = as dataset.yaml has it.
        estimate: find the people in films that have no poses beside them.
        settings: any other settings of dataset.yaml, as YAML: `"{persons: 2, split: subject}"`.
    """

    key: ClassVar[str] = "folder"
    skeleton: ClassVar = ESTIMATED  # `find` states those of the data
    taxonomy: ClassVar = IMIGUE
    persons: ClassVar[int] = 1
    coordinates: ClassVar[int] = 2
    states: ClassVar[tuple[str, ...]] = ()
    expected: ClassVar[Mapping[str, Mapping[str, int]]] = {}
    expected_classes: ClassVar[Mapping[str, Sequence[int]]] = {}

    only: str = ""
    fps: float = 0.0
    estimate: bool = True
    settings: str = ""

    def find(self, root: Path) -> Found:
        """One unit per recording, or per file that holds many."""
        settings = self._settings(root)
        folders, files = walk(root)
        files = [p for p in files if _visible(p, root) and settings.wants(p, root)]
        sets = [p for p in files if p.suffix.lower() == ".npz" and _is_set(p, alone=len(files) == 1)]
        pickles = [p for p in files if p.suffix.lower() in (".pkl", ".pickle")]
        together = [*sets, *pickles]
        if len(together) > 1:
            names = ", ".join(str(p.relative_to(root)) for p in together[:6])
            raise CheckFailed(f"{root}: holds {len(together)} sets ({names}); choose one: only: {together[0].name}")
        note = tuple(p for p in (root / SETTINGS,) if p.is_file())
        if sets:
            return _find_set(sets[0], settings, note)
        if pickles:
            return _find_pickle(pickles[0], settings, note)
        return _find_recordings(root, folders, files, settings, note)

    def read(self, unit: Unit) -> Iterator[Recorded | Finding]:
        """The recordings of a unit."""
        kind = unit.facts["kind"]
        if kind == "set":
            yield from _read_set(unit)
        elif kind == "pickle":
            yield from _read_pickle(unit)
        else:
            yield from _read_recording(unit)

    def _settings(self, root: Path) -> Settings:
        path = root / SETTINGS
        plain = parse_settings(path, read_text(path, 1 << 20)) if path.is_file() else {}
        if self.settings:
            more = parse_settings(Path("settings"), self.settings)
            if isinstance(plain, dict) and isinstance(more, dict):
                plain = plain | more
        if isinstance(plain, dict):
            plain |= {"only": self.only} if self.only else {}
            plain |= {"fps": self.fps} if self.fps else {}
            plain |= {} if self.estimate else {"estimate": False}
        return read_settings(path, plain)


def _is_set(path: Path, *, alone: bool) -> bool:
    try:
        return is_plain(path)
    except (FormatError, NoInput, NotPermitted):
        if alone:
            raise
        return False  # one damaged recording among others: `read` refuses it


def _visible(path: Path, root: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(root).parts) and path.name != SETTINGS


# ---- who is for training, who for testing


def every_fifth(keys: Sequence[str]) -> dict[str, str]:
    """The split of every key, by its place among the sorted ones: the 2nd, 7th, ... test, the 4th, 9th, ... val.

    Example:
        >>> every_fifth(["b", "a", "c", "d"])
        {'a': 'train', 'b': 'test', 'c': 'train', 'd': 'val'}
    """
    return {key: {1: "test", 3: "val"}.get(i % 5, "train") for i, key in enumerate(sorted(set(keys)))}


def _matching(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(Path(name).stem, pattern) or fnmatchcase(name, f"*/{pattern}")


def _subjects(names: Sequence[str], settings: Settings) -> list[str]:
    """Who is shown in each recording; empty where the settings do not say."""
    patterns = settings.subjects or {}
    return [next((who for pattern, who in patterns.items() if _matching(pattern, name)), "") for name in names]


def _splits(
    names: Sequence[str], people: Sequence[str], settings: Settings, strata: Sequence[str] = ()
) -> tuple[list[str], list[Finding]]:
    """Split of every recording, empty where it is left out, and what to tell.

    Args:
        strata: class of every clip, where recordings are clips: every fifth is counted within each.
    """
    if isinstance(settings.split, Mapping):
        table = settings.split
        found = [next((s for s, ps in table.items() if any(_matching(p, n) for p in ps)), "") for n in names]
        lost = [n for n, split in zip(names, found, strict=True) if not split]
        findings = [Finding("quirk", "in no split of dataset.yaml, left out", n) for n in lost]
        return found, findings
    if settings.split not in ("", "subject", "recording"):
        raise CheckFailed(f"split is '{settings.split}': the data have no such split; choose subject or recording")
    whole = all(people)
    if settings.split == "subject" and not whole:
        unsaid = next(n for n, who in zip(names, people, strict=True) if not who)
        raise CheckFailed(f"split: subject needs a subject for every recording; {unsaid} has none")
    if whole and settings.split != "recording":
        table_of = every_fifth(people)
        found, what, count = [table_of[who] for who in people], "subject", len(table_of)
    elif strata:
        found, what, count = [""] * len(names), "clip", len(names)
        for stratum in set(strata):
            members = [i for i, s in enumerate(strata) if s == stratum]
            for place, i in enumerate(members):
                found[i] = {1: "test", 3: "val"}.get(place % 5, "train")
    else:
        table_of = every_fifth(names)
        found, what, count = [table_of[n] for n in names], "recording", len(names)
    shares = ", ".join(f"{split} {found.count(split)}" for split in SPLITS if split in found)
    detail = f"every fifth to test, every fifth to val ({shares}); state split in dataset.yaml for another"
    findings = [Finding("quirk", f"split by {what}, ours", "", "", detail)]
    if what != "subject":
        findings.append(Finding("quirk", "subjects are not known", "", "", "one person may be in train and in test"))
    if count < 2:
        findings.append(Finding("missing", "nothing to test on", "", "", f"there is one {what} only"))
    return found, findings


def _numbers(people: Sequence[str]) -> list[int]:
    """Persons as numbers: those they have, else their places among the sorted ones; -1 = unknown."""
    if all(re.fullmatch(r"\d{1,9}", who) for who in people if who):
        return [int(who) if who else -1 for who in people]
    order = sorted({who for who in people if who})
    return [order.index(who) if who else -1 for who in people]


# ---- one archive


def _open_set(path: Path, name: str, facts: Mapping[str, Any]) -> PlainSet:
    return read_plain(
        path, name, joints=facts["joints"], bones=facts["bones"], root=facts["root"], names=facts["names"],
        fps=facts["fps"], y_up=facts["y_up"],
    )  # fmt: skip


def _find_set(path: Path, settings: Settings, note: tuple[Path, ...]) -> Found:
    names = settings.taxonomy.names if settings.taxonomy else ()
    given = settings.layout
    facts: dict[str, Any] = {
        "kind": "set", "name": settings.name, "joints": given.joints if given else settings.joints,
        "bones": given.bones if given else settings.bones,
        "root": given.joints[given.root] if given else settings.root,
        "names": names, "fps": settings.fps, "y_up": settings.y_up,
    }  # fmt: skip
    data = _open_set(path, settings.name, facts)
    if isinstance(settings.split, str) and settings.split not in ("", "subject", "recording"):
        chosen = settings.split.removeprefix("split_")
        if chosen not in data.splits:
            raise CheckFailed(f"{path}: has no split '{chosen}'; it has {', '.join(data.splits) or 'none'}")
    else:
        if len(data.splits) > 1 and not settings.split:
            raise CheckFailed(f"{path}: has the splits {', '.join(data.splits)}; choose one: split: ...")
        chosen = next(iter(data.splits), "") if not settings.split else ""
    people = _subjects(data.names, settings) if settings.subjects else ["" if s < 0 else str(s) for s in data.subject]
    findings: list[Finding] = []
    if chosen:
        split = [{0: "train", 1: "test", 2: "val"}.get(int(v), "") for v in data.splits[chosen]]
    else:
        strata = [] if data.continuous else [str(row[0][0]) for row in data.segments]
        split, findings = _splits(data.names, people, settings, strata)
    facts |= {"split": split, "subject": _numbers(people)}
    unit = Unit(path.stem, (path, *note), facts)
    taxonomy = settings.taxonomy or data.taxonomy
    return Found((unit,), tuple(findings), given or data.skeleton, taxonomy, 1, data.xy.shape[-1])


def _read_set(unit: Unit) -> Iterator[Recorded | Finding]:
    facts = unit.facts
    data = _open_set(unit.files[0], facts["name"], facts)
    for i, (name, split, subject) in enumerate(zip(data.names, facts["split"], facts["subject"], strict=True)):
        if split:
            xy, score, cuts = data.item(i)
            yield Recorded(name, split, xy, score, data.fps, cuts, subject=subject)


# ---- clips of PYSKL


def _clips(path: Path, skeleton: Skeleton, fps: float) -> list[PysklClip]:
    return list(read_pyskl(path, skeleton, fps=fps).clips)


def _find_pickle(path: Path, settings: Settings, note: tuple[Path, ...]) -> Found:
    skeleton = settings.layout or (layout(path, "own", settings.joints, settings.bones, settings.root) if
                                   settings.joints else None)  # fmt: skip
    for what, there in (("its layout", skeleton), ("its frame rate", settings.fps), ("its classes", settings.taxonomy)):
        if not there:
            key = {"its layout": "skeleton", "its frame rate": "fps", "its classes": "taxonomy"}[what]
            raise FormatError(path, f"a file of PYSKL does not say {what}", remedy=f"state {key} in {SETTINGS}")
    assert skeleton is not None
    held = read_pyskl(path, skeleton, fps=settings.fps)
    names = [clip.name for clip in held.clips]
    findings: list[Finding] = []
    if held.split and settings.split not in ("subject", "recording") and not isinstance(settings.split, Mapping):
        # official names are train and test behind the protocol's: xsub_train
        chosen = [n for n in held.split if settings.split in n]
        split = [next((_of_name(s) for s in chosen if name in set(held.split[s])), "") for name in names]
    else:
        strata = [str(clip.label) for clip in held.clips]
        split, findings = _splits(names, _subjects(names, settings), settings, strata)
    facts = {
        "kind": "pickle", "skeleton": skeleton.to_plain(), "fps": settings.fps, "split": split,
        "subject": _numbers(_subjects(names, settings)),
    }  # fmt: skip
    persons = max((len(clip.tracks) for clip in held.clips), default=1)
    return Found(
        (Unit(path.stem, (path, *note), facts),), tuple(findings), skeleton, settings.taxonomy,
        max(settings.persons, persons), 2 if not held.clips else held.clips[0].tracks[0].xy.shape[2],
    )  # fmt: skip


def _of_name(split: str) -> str:
    return "test" if "test" in split else "val" if "val" in split else "train"


def _read_pickle(unit: Unit) -> Iterator[Recorded | Finding]:
    facts = unit.facts
    clips = _clips(unit.files[0], Skeleton.from_plain(facts["skeleton"]), facts["fps"])
    for clip, split, subject in zip(clips, facts["split"], facts["subject"], strict=True):
        if not split:
            continue
        if not clip.tracks or not len(clip.tracks[0]):
            yield Finding("refused", "a clip without any pose", str(unit.files[0]), f"clip {clip.name}", "", split)
            continue
        xy, score = np.stack([t.xy for t in clip.tracks]), np.stack([t.score for t in clip.tracks])
        label = -1 if clip.label is None else clip.label
        cut = Cut(clip.name, label, 0, xy.shape[1])
        yield Recorded(clip.name, split, xy, score, facts["fps"], [cut], subject=subject, size=clip.tracks[0].size)


# ---- recordings with annotations beside them


@dataclass
class _Files:
    """What belongs to one recording."""

    film: Path | None = None
    poses: Path | None = None
    notes: Path | None = None


def _find_recordings(
    root: Path, folders: Sequence[Path], files: Sequence[Path], settings: Settings, note: tuple[Path, ...]
) -> Found:
    found, findings = _together(root, folders, files)
    usable = {name: f for name, f in found.items() if f.poses or (f.film and settings.estimate)}
    for name, f in found.items():
        if name not in usable:
            what = "a film without poses" if f.film else "annotations without a film or poses"
            findings.append(Finding("missing", what, str(f.film or f.notes)))
    if not usable:
        raise CheckFailed(
            f"{root}: no recordings. Looked for films ({', '.join(FILMS)}), for poses (.npz, OpenPose, MediaPipe or "
            "DeepLabCut) with annotations of the same stem (.eaf, .csv, .vtt, .boris, .tsv, .json), and for one .npz "
            "with keypoints and offsets"
        )
    taxonomy = settings.taxonomy or _collect([f.notes for f in usable.values() if f.notes], settings)
    if not len(taxonomy):
        raise CheckFailed(
            f"{root}: {len(usable)} recordings and not one annotated segment. Put annotations beside them, e.g. "
            f"{next(iter(usable))}.csv with start_s, end_s, label; or state taxonomy in {SETTINGS}"
        )
    skeleton, coordinates = _layout_of(usable, settings)
    names = list(usable)
    people = _subjects(names, settings)
    split, told = _splits(names, people, settings)
    ours = [t.key for t in TAXONOMIES.values() if not settings.taxonomy and taxonomy != t and _within(taxonomy, t)]
    if ours:
        detail = f"{len(taxonomy)} occur; state taxonomy: {ours[0]} to have all of its classes"
        told.append(Finding("quirk", f"the names of classes are those of {' and of '.join(ours)}", "", "", detail))
    films = [name for name, f in usable.items() if not f.poses]
    if films:
        detail = f"{len(films)} films; kept in {cache_folder() / 'poses'}; this takes about as long as they last"
        told.append(Finding("quirk", "poses are estimated", "", "", detail))
    units = []
    for name, part, person in zip(names, split, _numbers(people), strict=True):
        f = usable[name]
        if not part:
            continue
        paths = [p for p in (f.film, f.poses, f.notes) if p is not None]
        facts = {
            "kind": "recording", "split": part, "subject": person, "skeleton": skeleton.to_plain(),
            "taxonomy": taxonomy.to_plain(), "fps": settings.fps, "size": settings.size, "persons": settings.persons,
            "rater": settings.rater, "coordinates": coordinates,
            "film": str(f.film or ""), "poses": str(f.poses or ""), "notes": str(f.notes or ""),
            "video": "" if f.film is None else str(f.film.relative_to(root)),
        }  # fmt: skip
        units.append(Unit(name, (*paths, *note), facts))
    return Found(tuple(units), (*findings, *told), skeleton, taxonomy, settings.persons, coordinates)


def _together(root: Path, folders: Sequence[Path], files: Sequence[Path]) -> tuple[dict[str, _Files], list[Finding]]:
    """Files of one stem by recording; where a stem occurs in several folders, the folder is part of the name."""
    findings: list[Finding] = []
    roles: list[tuple[Path, str]] = []
    frames = {p.parent for p in files if p.name.lower().endswith("_keypoints.json")}
    roles += [(folder, "poses") for folder in folders if folder in frames]
    for path in files:
        suffix = path.suffix.lower()
        if suffix in FILMS:
            roles.append((path, "film"))
        elif suffix in _MAYBE and path.parent not in frames:
            try:
                role = "notes" if timeline_kind(path) else "poses" if _holds_poses(path) else ""
            except (FormatError, NoInput, NotPermitted) as error:
                findings.append(Finding.of(error))
                continue
            if role:
                roles.append((path, role))
    stems: dict[str, list[tuple[Path, str]]] = {}
    for path, role in roles:
        stems.setdefault(_stem(path), []).append((path, role))
    found: dict[str, _Files] = {}
    for stem, members in sorted(stems.items()):
        held = [role for _, role in members]
        alone = len(set(held)) == len(held)
        for path, role in members:
            name = stem if alone else str((path.parent / stem).relative_to(root))
            place = found.setdefault(name, _Files())
            if getattr(place, role) is None:
                setattr(place, role, path)
            else:
                detail = f"{getattr(place, role).name} is read"
                what = {"film": "films", "poses": "files of poses", "notes": "annotations"}[role]
                findings.append(Finding("quirk", f"several {what} of one recording", str(path), "", detail))
    return found, findings


def _holds_poses(path: Path) -> bool:
    """Whether a file is one of poses; JSON may be anything, such as the description beside a table of events."""
    if path.suffix.lower() == ".json":
        value = read_json(path)
        first = value[0] if isinstance(value, list) and value else value
        return isinstance(first, dict) and "people" in first
    return pose_kind(path) is not None


def _stem(path: Path) -> str:
    stem = path.name if path.is_dir() else path.stem
    while (shorter := _TAIL.sub("", stem)) != stem and shorter:
        stem = shorter
    return stem


def _within(some: Taxonomy, whole: Taxonomy) -> bool:
    """Whether every class of one label space is a class of another, by its name."""
    return {folded(name) for name in some.names} <= {folded(name) for name in whole.names}


class _AnyLabel(Taxonomy):
    """A label space that takes every name it is asked for, to see which there are."""

    def find(self, text: str) -> Label:
        names: dict[str, str] = self.__dict__.setdefault("met", {})
        names.setdefault(folded(text), text.strip())
        return Label(list(names).index(folded(text)), text, "")

    def __getitem__(self, id: int) -> Label:
        return Label(id, list(self.__dict__.get("met", {}).values())[id], "")

    def __len__(self) -> int:
        return 1 << 30


def _collect(notes: Sequence[Path], settings: Settings) -> Taxonomy:
    """The names that annotations use, sorted; a timeline of this package brings its own label space."""
    any_label = _AnyLabel(settings.name, "", (), ())
    for path in notes:
        problems: Problems = []
        try:
            if timeline_kind(path) == "json":
                return read_timeline(path, None).taxonomy
            read_raters(path, any_label, fps=settings.fps or None, problems=problems)
        except (FormatError, NoInput, NotPermitted):
            continue  # `read` tells what is wrong with the file
    names = sorted(name for name in any_label.__dict__.get("met", {}).values() if name)
    return classes(settings.name, settings.name, names)


def _layout_of(found: Mapping[str, _Files], settings: Settings) -> tuple[Skeleton, int]:
    """Layout and coordinates of the store: as stated, else those of the first poses, else those of estimated ones."""
    own = layout(SETTINGS, "own", settings.joints, settings.bones, settings.root) if settings.joints else None
    stated = settings.layout or own
    for f in found.values():
        if f.poses is None:
            if not stated:
                return ESTIMATED, 2
            continue
        try:
            tracks = _tracks(f.poses, f.film, settings.fps, settings.size, stated)
        except (FormatError, NoInput, NotPermitted):
            continue  # `read` tells what is wrong with the file
        if tracks:
            return stated or tracks[0].skeleton, tracks[0].xy.shape[2]
    return stated or ESTIMATED, 2


def _tracks(
    path: Path, film: Path | None, fps: float, size: tuple[int, int], skeleton: Skeleton | None
) -> tuple[PoseTrack, ...]:
    """Poses of a file; what it does not say is asked of the film beside it."""
    kind = pose_kind(path)
    if film is not None and kind != "npz":
        from microgesture.formats.video import probe

        video = probe(film)
        fps, size = video.fps, video.size
    if kind in ("openpose", "deeplabcut") and not fps:
        raise FormatError(
            path, "does not say its frame rate, and no film is beside it", expected=f"fps in {SETTINGS}",
            remedy=f"write 'fps: 25' into {SETTINGS}",
        )  # fmt: skip
    return read_poses(path, fps=fps or None, size=size if all(size) else None, skeleton=skeleton)


def estimated(film: Path, persons: int) -> tuple[PoseTrack, ...]:
    """Poses of the people in a film, from the cache if they are there.

    Raises:
        as `pose.estimate.estimate`.
    """
    from microgesture.pose.estimate import estimate

    name = hashlib.sha256(str(film.resolve()).encode()).hexdigest()[:12]
    store = estimate(film, cache_folder() / "poses" / f"{film.stem}-{name}", persons=persons)
    return tuple(store.track(person) for person in range(persons))


def even(track: PoseTrack) -> PoseTrack:
    """The track at a constant rate: films from telephones vary theirs."""
    steps = np.diff(track.times)
    regular = len(track) < 3 or bool(np.abs(steps - 1 / track.fps).max() < 0.3 / track.fps)
    return track if regular else track.resampled(track.fps)


def cuts_of(name: str, line: Timeline, track: PoseTrack, path: str, split: str) -> Iterator[Cut | Finding]:
    """Segments as stretches of frames: a frame belongs to a segment if its time does."""
    for n, s in enumerate(line):
        start, end = (int(i) for i in np.searchsorted(track.times, [s.start - _SLACK, s.end - _SLACK]))
        if start < end:
            if s.end > track.times[-1] + 1 / track.fps + 0.5:
                detail = f"at {s.end:.3f} s; the recording at {track.times[-1]:.3f} s"
                yield Finding(
                    "quirk", "a segment ends after its recording, and is cut", path, f"segment {n}", detail, split
                )
            yield Cut(f"{name}_{n}", s.label, start, end)
        else:
            detail = f"{s.start:.3f} to {s.end:.3f} s; frames from {track.times[0]:.3f} to {track.times[-1]:.3f} s"
            topic = "a segment holds no frame of its recording"
            yield Finding("refused", topic, path, f"segment {n}", detail, split)


def _read_recording(unit: Unit) -> Iterator[Recorded | Finding]:
    facts = unit.facts
    split, taxonomy, target = facts["split"], known(facts["taxonomy"]), Skeleton.from_plain(facts["skeleton"])
    line = Timeline((), taxonomy, 0.0)
    if facts["notes"]:
        problems: Problems = []
        raters = read_raters(facts["notes"], taxonomy, fps=facts["fps"] or None, problems=problems)
        for problem in problems:
            yield Finding.of(problem, "an annotation cannot be read", split)
        if facts["rater"] and facts["rater"] in raters:
            line = raters[facts["rater"]]
        elif raters:
            line = next(iter(raters.values()))
        if len(raters) > 1 and facts["rater"] not in raters:
            detail = f"{', '.join(raters)}; the first is taken. State rater in {SETTINGS} for another"
            yield Finding("quirk", "several raters", facts["notes"], "", detail, split)
    else:
        yield Finding("missing", "no annotations", str(unit.files[0]), "", "kept as a recording without clips", split)
    shown = line.persons or (0,)
    if facts["poses"]:
        film = Path(facts["film"]) if facts["film"] else None
        tracks = _tracks(Path(facts["poses"]), film, facts["fps"], tuple(facts["size"]), target)
    else:
        tracks = estimated(Path(facts["film"]), max(facts["persons"], shown[-1] + 1))
    tracks = tuple(even(t) for t in tracks if len(t))
    if not tracks:
        raise FormatError(unit.files[0], "holds no frame with a pose", remedy="check what was exported")
    if tracks[0].xy.shape[2] != facts["coordinates"]:
        expected = f"{facts['coordinates']}, as the other recordings have"
        raise FormatError(unit.files[0], f"has {tracks[0].xy.shape[2]} coordinates", expected=expected,
                          remedy="keep 2-D and 3-D poses in folders of their own")  # fmt: skip
    if facts["persons"] > 1:
        groups = [(unit.name, line, tracks[: facts["persons"]])]
    else:
        groups = []
        for person in shown:
            if person >= len(tracks):
                detail = f"person {person}; the poses hold {len(tracks)}"
                yield Finding("refused", "segments of a person without poses", facts["notes"], "", detail, split)
                continue
            name = unit.name if person == 0 else f"{unit.name}, person {person}"
            groups.append((name, line.of_person(person) if person or len(shown) > 1 else line, (tracks[person],)))
    for name, part, group in groups:
        first = group[0]
        cuts: list[Cut] = []
        for item in cuts_of(name, part, first, facts["notes"], split):
            if isinstance(item, Finding):
                yield item
            else:
                cuts.append(item)
        frames = min(len(t) for t in group)
        placed = [t.project(target) if t.skeleton != target else t for t in group]
        yield Recorded(
            name, split, np.stack([t.xy[:frames] for t in placed]), np.stack([t.score[:frames] for t in placed]),
            first.fps, cuts, subject=facts["subject"], size=first.size, video=facts["video"],
        )  # fmt: skip


class Folder(StoredDataset):
    """Recordings of one's own. Everything it states follows from them: layout, classes, rate, splits.

    Args:
        root, longest: see `StoredDataset`; `root` may also name one .npz file.
        only, fps, persons, split, y_up, estimate: as in dataset.yaml, and in place of what stands there; see the head
            of the module. `fps` serves files that do not say theirs.
        taxonomy: a key of ours, or names of classes.
        joints, bones, centre: the skeleton of the data, where they do not say it.
        layout: a layout of ours to give the clips in, e.g. `"imigue22"`; by default that of the data.
        coordinates: 2 or 3; needed only to build a system before the data are there.

    Example:
        >>> Folder(taxonomy="smg", layout="imigue22", fps=25).skeleton.name
        'imigue22'
    """

    key = "folder"

    def __init__(
        self,
        root: str | None = None,
        longest: int = 0,
        only: str = "",
        taxonomy: str | list[str] | None = None,
        joints: list[str] | None = None,
        bones: list[list[int | str]] | None = None,
        centre: str | None = None,
        layout: str | None = None,
        fps: float | str | None = None,
        persons: int | None = None,
        coordinates: int | None = None,
        split: str | dict[str, list[str]] | None = None,
        y_up: bool | None = None,
        estimate: bool | None = None,
    ) -> None:
        super().__init__(root, longest)
        own = {"joints": joints, "bones": bones, "root": centre} if joints or bones else None
        stated = {
            "only": only or None, "taxonomy": taxonomy, "skeleton": own, "fps": fps, "persons": persons,
            "split": split, "y_up": y_up, "estimate": estimate,
        }  # fmt: skip
        self.stated = {name: value for name, value in stated.items() if value is not None}
        try:
            self._settings = read_settings(Path("recipe"), self.stated)
        except FormatError as error:
            raise UsageError(str(error)) from error
        if layout is not None and layout not in SKELETONS:
            raise UsageError(f"no layout '{layout}'; known: {', '.join(SKELETONS)}")
        self._target, self._coordinates = SKELETONS[layout] if layout else None, coordinates

    @property
    def folder(self) -> Path | None:
        """Where the data are, if they are there."""
        root = self.root or os.environ.get("MICROGESTURE_FOLDER")
        return Path(root) if root and Path(root).exists() else None

    @cached_property
    def store(self) -> Store:
        """The opened store. Data that are not one are prepared into the cache, and again where they have changed.

        Raises:
            NoInput: no folder was named, or it is not there.
            CheckFailed: it holds no recordings, or dataset.yaml is wrong.
            FormatError: the store is of another data set.
        """
        folder = self.folder
        if folder is None:
            where = f"{self.root}: there is no such folder. " if self.root else ""
            raise NoInput(f"{where}folder: where are the data? Set --data.root or MICROGESTURE_FOLDER to their folder")
        if (folder / INDEX).exists() or (folder / PARTS / PLAN).exists():
            store = open_store(folder)
        else:
            store = self._prepared(folder)
        wanted = self._settings.taxonomy
        if store.dataset != self.key or (wanted and wanted.names != store.taxonomy.names):
            raise FormatError(
                store.path / INDEX,
                f"holds '{store.dataset}' with the classes {', '.join(store.taxonomy.names[:4])} ...",
                expected=f"'{self.key}'" + (f" with {', '.join(wanted.names[:4])} ..." if wanted else ""),
                remedy="name the right folder",
            )  # fmt: skip
        return store

    def _prepared(self, folder: Path) -> Store:
        stated = dict(self.stated)
        if folder.is_file():
            stated["only"], folder = folder.name, folder.parent
        source: Any = Source(settings=json.dumps(stated))
        name = hashlib.sha256(f"{folder.resolve()} {source.settings}".encode()).hexdigest()[:12]
        cache = cache_folder() / "stores" / f"folder-{name}"
        if not (cache / INDEX).exists():
            warnings.warn(f"{folder}: prepared once, into {cache}", stacklevel=4)
        try:
            report = prepare(source, folder, cache)
        except UsageError:  # the recordings have changed since
            report = prepare(source, folder, cache, fresh=True)
        for line in report.summary("refused"):
            warnings.warn(f"{folder}: {line}", stacklevel=4)
        return open_store(cache)

    @property
    def skeleton(self) -> Skeleton:  # type: ignore[override]
        """Layout of the clips."""
        s = self._settings
        if self._target is not None:
            return self._target
        if self.folder is None and s.joints and s.bones:
            return layout("recipe", "own", s.joints, s.bones, s.root)
        return self.store.skeleton

    @property
    def taxonomy(self) -> Taxonomy:  # type: ignore[override]
        """The classes, stated or found in the annotations."""
        if self.folder is None and self._settings.taxonomy is not None:
            return self._settings.taxonomy
        return self.store.taxonomy

    @property
    def fps(self) -> float:  # type: ignore[override]
        """Frames per second, the median over the recordings."""
        if self.folder is None and self._settings.fps:
            return self._settings.fps
        return float(np.median(self.store.column(RECORDINGS, "fps")))

    @property
    def persons(self) -> int:  # type: ignore[override]
        """M."""
        return self._settings.persons if self.folder is None else self.store.persons

    @property
    def coordinates(self) -> int:  # type: ignore[override]
        """C."""
        return (self._coordinates or 2) if self.folder is None else self.store.coordinates

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """Splits that have clips."""
        if self.folder is None:
            return SPLITS
        rows = self.store.index["rows"]
        return tuple(name for name in rows if rows[name]["clips"])
