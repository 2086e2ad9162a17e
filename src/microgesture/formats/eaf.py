"""Timelines as ELAN annotation files (.eaf): written with pympi by schema 3.0, read in all versions.

One tier per person and rater, with the taxonomy as controlled vocabulary; ELAN allows no overlap within a tier, so
simultaneous gestures of a person continue on tiers `person 0 (2)`, `(3)`. The rater is the tier's ANNOTATOR. Scores
stand in dependent tiers. pympi writes the structure of 2.8, which 3.0 keeps; what 3.0 adds to it is not used here.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element

from microgesture.core.durable import replacing
from microgesture.core.errors import FormatError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.safe_xml import read_xml
from microgesture.formats.segments import (
    Persons,
    Problems,
    each_row,
    label,
    milliseconds,
    number,
    one_of,
    raters,
    segment,
    timeline,
    too_many,
)
from microgesture.formats.source import PathLike

EVENT_LIMIT = 100_000
"""Segments an ELAN file may have here: it is read as a whole, and ELAN itself is slow long before."""

VERSION = "3.0"
MACHINE = "microgesture"
"""The annotator of a timeline that no rater is named for."""

_GESTURE, _SCORE = "micro-gesture", "score"
_DURATION = "microgesture:duration_ms"
_NO_DATE = "1970-01-01T00:00:00+00:00"  # the same timeline gives the same bytes; the file system knows the date


def write_eaf(line: Timeline | Mapping[str, Timeline], path: PathLike, *, media: PathLike | None = None) -> None:
    """Write an ELAN file.

    Args:
        line: one timeline, or one per rater of the same recording, by name.
        media: the recording; linked by its place relative to the file, so that a folder can be moved as a whole.

    Raises:
        FormatError: more than 100,000 segments.
        UsageError: raters without a name, or of different recordings.
    """
    from pympi.Elan import Eaf

    first, lines = raters(path, line)
    count = sum(map(len, lines.values()))
    if count > EVENT_LIMIT:
        raise too_many(path, count, EVENT_LIMIT)

    eaf = Eaf(author=MACHINE)
    eaf.remove_tier("default")
    eaf.remove_linguistic_type("default-lt")
    eaf.adocument |= {"DATE": _NO_DATE, "FORMAT": VERSION, "VERSION": VERSION}
    eaf.adocument["xsi:noNamespaceSchemaLocation"] = f"http://www.mpi.nl/tools/elan/EAFv{VERSION}.xsd"
    eaf.header["TIME_UNITS"] = "milliseconds"
    if media is not None:
        url = relative_url(media, path)
        kind = mimetypes.guess_type(os.fspath(media))[0] or "video/mp4"
        eaf.add_linked_file(url, relpath=url, mimetype=kind)
    vocabulary = f"{_GESTURE} {first.taxonomy.key}"
    eaf.add_language("eng", "http://cdb.iso.org/lg/CDB-00138502-001", "English (eng)")
    eaf.add_controlled_vocabulary(vocabulary)
    for meaning in first.taxonomy:
        eaf.add_cv_entry(vocabulary, f"cveid{meaning.id}", [(meaning.name, "eng", meaning.group)])
    eaf.add_linguistic_type(_GESTURE)
    eaf.linguistic_types[_GESTURE]["CONTROLLED_VOCABULARY_REF"] = vocabulary
    eaf.add_linguistic_type(_SCORE, constraints="Symbolic_Association", timealignable=False)
    for rater, own in lines.items():
        for name, person, lane in _lanes(own, rater):
            while {name, f"{name} score"} & eaf.tiers.keys():  # raters called "ann" and "ann (2)"
                name += "'"
            who = {"part": f"person {person}", "ann": rater or MACHINE}
            eaf.add_tier(name, ling=_GESTURE, **who)
            eaf.add_tier(f"{name} score", ling=_SCORE, parent=name, **who)
            for s in lane:
                eaf.add_annotation(name, *milliseconds(s), value=first.taxonomy[s.label].name)
                # pympi would look for the parent by time, through the whole tier, for every score
                parent, note = f"a{eaf.maxaid}", eaf.generate_annotation_id()
                eaf.annotations[note] = f"{name} score"
                eaf.tiers[f"{name} score"][1][note] = (parent, f"{s.score:.4f}", None, None)
    _in_order_of_time(eaf)
    eaf.properties = [("lastUsedAnnotationId", eaf.maxaid), (_DURATION, str(round(first.duration * 1000)))]
    with replacing(path) as temporary:
        eaf.to_file(str(temporary))


def relative_url(media: PathLike, path: PathLike) -> str:
    """The place of a recording seen from the folder of the file that names it, percent-encoded."""
    relative = os.path.relpath(media, Path(path).parent).replace(os.sep, "/")
    return quote(relative if relative.startswith("../") else f"./{relative}")


def _in_order_of_time(eaf: Any) -> None:
    """Number the time slots from the earliest to the latest, as ELAN itself does."""
    order = sorted(eaf.timeslots, key=lambda slot: (eaf.timeslots[slot], int(slot[2:])))
    names = {slot: f"ts{i}" for i, slot in enumerate(order, 1)}
    eaf.timeslots = {names[slot]: eaf.timeslots[slot] for slot in order}
    for notes, *_ in eaf.tiers.values():
        for key, (start, end, value, drawing) in notes.items():
            notes[key] = (names[start], names[end], value, drawing)


def _lanes(line: Timeline, rater: str) -> list[tuple[str, int, list[Segment]]]:
    """Tier name, person and segments that do not overlap; a rater who saw nothing has an empty tier."""
    tiers = []
    for person in line.persons or ((0,) if rater else ()):
        lanes: list[list[Segment]] = []
        for s in line.of_person(person):
            free = next((lane for lane in lanes if milliseconds(lane[-1])[1] <= milliseconds(s)[0]), None)
            if free is None:
                lanes.append(free := [])
            free.append(s)
        name = f"person {person} @ {rater}" if rater else f"person {person}"
        tiers += [(name + (f" ({i + 1})" if i else ""), person, lane) for i, lane in enumerate(lanes or [[]])]
    return tiers


def read_eaf(
    path: PathLike,
    taxonomy: Taxonomy,
    duration: float | None = None,
    *,
    tiers: tuple[str, ...] | None = None,
    rater: str | None = None,
    problems: Problems | None = None,
) -> Timeline:
    """Annotations whose values are labels of the taxonomy.

    Args:
        tiers: names of the tiers to read, whoever annotated them; by default those of linguistic type
            `micro-gesture`, or, in files of others, all time-aligned tiers without a parent.
        rater: whose tiers to read, where there are several raters; see `read_eaf_raters`.
        problems: see `segments.Problems`.

    Raises:
        NoInput, NotPermitted, FormatError: naming the annotation or tier; several raters, and none named.
    """
    found = _read(path, taxonomy, duration, tiers, problems)
    if tiers is not None:
        together = (s for line in found.values() for s in line)
        return timeline(path, together, taxonomy, next(line.duration for line in found.values()))
    return one_of(path, found, rater)


def read_eaf_raters(
    path: PathLike, taxonomy: Taxonomy, duration: float | None = None, *, problems: Problems | None = None
) -> dict[str, Timeline]:
    """One timeline per rater, the ANNOTATOR of its tiers; tiers without one make up the rater `""`.

    A person has the same number with every rater. Arguments and errors as `read_eaf`.
    """
    return _read(path, taxonomy, duration, None, problems)


def _read(
    path: PathLike,
    taxonomy: Taxonomy,
    duration: float | None,
    tiers: tuple[str, ...] | None,
    problems: Problems | None,
) -> dict[str, Timeline]:
    root = read_xml(path)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise FormatError(
            path, f"the root element is <{root.tag[:40]}>", place="root", expected="<ANNOTATION_DOCUMENT>",
            remedy="name a file saved by ELAN",
        )  # fmt: skip
    times: dict[str, int] = {}
    for slot in root.iterfind("TIME_ORDER/TIME_SLOT"):
        if "TIME_VALUE" in slot.attrib:
            with each_row(problems):
                name = _attribute(path, slot, "TIME_SLOT_ID")
                times[name] = _milliseconds(path, f"time slot {name[:40]}", slot.attrib["TIME_VALUE"])
    chosen = _choose(path, root, tiers)
    scores: dict[str, str] = {}
    for tier in root.iterfind("TIER"):
        if tier.get("LINGUISTIC_TYPE_REF") == _SCORE:
            for note in tier.iterfind("ANNOTATION/REF_ANNOTATION"):
                with each_row(problems):
                    key = _attribute(path, note, "ANNOTATION_REF")
                    scores[key] = (note.findtext("ANNOTATION_VALUE") or "").strip()
    names = {id(tier): tier.get("PARTICIPANT") or _person_of(tier) for tier in chosen}
    persons = Persons(path, names.values())
    found: dict[str, list[Segment]] = {tier.get("ANNOTATOR", "").strip(): [] for tier in chosen} or {"": []}
    for tier in chosen:
        segments = found[tier.get("ANNOTATOR", "").strip()]
        for note in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
            with each_row(problems):
                key = _attribute(path, note, "ANNOTATION_ID")
                place = f"tier '{(tier.get('TIER_ID') or '')[:40]}', annotation {key[:40]}"
                ends = [times.get(_attribute(path, note, f"TIME_SLOT_REF{i}")) for i in (1, 2)]
                if ends[0] is None or ends[1] is None:
                    raise FormatError(
                        path, "refers to a time slot without a time", place=place, remedy="align the annotation in ELAN"
                    )
                meaning = label(path, place, taxonomy, (note.findtext("ANNOTATION_VALUE") or "").strip())
                score = number(path, place, "score", scores[key]) if key in scores else 1.0
                segments.append(
                    segment(path, place, ends[0] / 1000, ends[1] / 1000, meaning, score, persons[names[id(tier)]])
                )
    if duration is None:
        held = next((p.text or "" for p in root.iterfind("HEADER/PROPERTY") if p.get("NAME") == _DURATION), None)
        duration = _milliseconds(path, f"property {_DURATION}", held) / 1000 if held is not None else None
    if duration is None:  # raters saw the same recording: it lasts as long as the last of all segments
        duration = max((s.end for segments in found.values() for s in segments), default=0.0)
    return {rater: timeline(path, segments, taxonomy, duration) for rater, segments in found.items()}


def _choose(path: PathLike, root: Element, wanted: tuple[str, ...] | None) -> list[Element]:
    tiers = root.findall("TIER")
    if wanted is None:
        ours = [t for t in tiers if t.get("LINGUISTIC_TYPE_REF") == _GESTURE]
        return ours or [t for t in tiers if not t.get("PARENT_REF")]
    names = [t.get("TIER_ID") for t in tiers]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise FormatError(
            path,
            f"no tier '{missing[0]}'",
            place="tiers",
            expected=", ".join(str(n)[:40] for n in names[:20]) or "at least one tier",
            remedy="name one of these",
        )
    return [t for t in tiers if t.get("TIER_ID") in wanted]


def _person_of(tier: Element) -> str:
    """`person 1 (2)` belongs to person 1; tiers of others without a participant belong to person 0."""
    name = tier.get("TIER_ID") or ""
    return name if name.startswith("person ") else ""


def _attribute(path: PathLike, element: Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise FormatError(
            path, f"attribute {name} is missing", place=f"<{element.tag[:40]}>", remedy="open and save it in ELAN"
        )
    return value


def _milliseconds(path: PathLike, place: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise FormatError(
            path, f"time {text[:40]!r}", place=place, expected="whole milliseconds", remedy="open and save it in ELAN"
        )
    return int(text)
