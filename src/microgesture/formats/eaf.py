"""Timelines as ELAN annotation files (.eaf, schema 2.8), written with pympi.

One tier per person, with the taxonomy as controlled vocabulary; ELAN allows no overlap within a tier, so
simultaneous gestures of a person continue on tiers `person 0 (2)`, `(3)`. Scores stand in dependent tiers.
"""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element

from microgesture.core.durable import replacing
from microgesture.core.errors import FormatError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.safe_xml import read_xml
from microgesture.formats.segments import Persons, label, milliseconds, number, segment, timeline, too_many
from microgesture.formats.source import PathLike

EVENT_LIMIT = 100_000
"""Segments an ELAN file may have here: it is read as a whole, and ELAN itself is slow long before."""

_GESTURE, _SCORE = "micro-gesture", "score"
_DURATION = "microgesture:duration_ms"
_NO_DATE = "1970-01-01T00:00:00+00:00"  # the same timeline gives the same bytes; the file system knows the date


def write_eaf(line: Timeline, path: PathLike, *, media: PathLike | None = None) -> None:
    """Write an ELAN file.

    Args:
        media: the recording; linked by its place relative to the file, so that a folder can be moved as a whole.

    Raises:
        FormatError: more than 100,000 segments.
    """
    from pympi.Elan import Eaf

    if len(line) > EVENT_LIMIT:
        raise too_many(path, len(line), EVENT_LIMIT)

    eaf = Eaf(author="microgesture")
    eaf.remove_tier("default")
    eaf.adocument["DATE"] = _NO_DATE
    if media is not None:
        relative = os.path.relpath(media, Path(path).parent).replace(os.sep, "/")
        url = quote(relative if relative.startswith("../") else f"./{relative}")
        kind = mimetypes.guess_type(os.fspath(media))[0] or "video/mp4"
        eaf.add_linked_file(url, relpath=url, mimetype=kind)
    eaf.add_property(_DURATION, str(round(line.duration * 1000)))
    vocabulary = f"{_GESTURE} {line.taxonomy.key}"
    eaf.add_language("eng", "http://cdb.iso.org/lg/CDB-00138502-001", "English (eng)")
    eaf.add_controlled_vocabulary(vocabulary)
    for meaning in line.taxonomy:
        eaf.add_cv_entry(vocabulary, f"cveid{meaning.id}", [(meaning.name, "eng", meaning.group)])
    eaf.add_linguistic_type(_GESTURE)
    eaf.linguistic_types[_GESTURE]["CONTROLLED_VOCABULARY_REF"] = vocabulary
    eaf.add_linguistic_type(_SCORE, constraints="Symbolic_Association", timealignable=False)
    for name, person, lane in _lanes(line):
        eaf.add_tier(name, ling=_GESTURE, part=f"person {person}", ann="microgesture")
        eaf.add_tier(f"{name} score", ling=_SCORE, parent=name, part=f"person {person}", ann="microgesture")
        for s in lane:
            eaf.add_annotation(name, *milliseconds(s), value=line.taxonomy[s.label].name)
            # pympi would look for the parent by time, through the whole tier, for every score
            parent, own = f"a{eaf.maxaid}", eaf.generate_annotation_id()
            eaf.annotations[own] = f"{name} score"
            eaf.tiers[f"{name} score"][1][own] = (parent, f"{s.score:.4f}", None, None)
    with replacing(path) as temporary:
        eaf.to_file(str(temporary))


def _lanes(line: Timeline) -> list[tuple[str, int, list[Segment]]]:
    """Tier name, person and segments that do not overlap."""
    tiers = []
    for person in line.persons:
        lanes: list[list[Segment]] = []
        for s in line.of_person(person):
            free = next((lane for lane in lanes if milliseconds(lane[-1])[1] <= milliseconds(s)[0]), None)
            if free is None:
                lanes.append(free := [])
            free.append(s)
        tiers += [(f"person {person}" + (f" ({i + 1})" if i else ""), person, lane) for i, lane in enumerate(lanes)]
    return tiers


def read_eaf(
    path: PathLike, taxonomy: Taxonomy, duration: float | None = None, *, tiers: tuple[str, ...] | None = None
) -> Timeline:
    """Annotations whose values are labels of the taxonomy.

    Args:
        tiers: names of the tiers to read; by default those of linguistic type `micro-gesture`, or, in files of
            others, all time-aligned tiers without a parent.

    Raises:
        NoInput, NotPermitted, FormatError: naming the annotation or tier.
    """
    root = read_xml(path)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise FormatError(
            path, f"the root element is <{root.tag[:40]}>", place="root", expected="<ANNOTATION_DOCUMENT>",
            remedy="name a file saved by ELAN",
        )  # fmt: skip
    times: dict[str, int] = {}
    for slot in root.iterfind("TIME_ORDER/TIME_SLOT"):
        if "TIME_VALUE" in slot.attrib:
            name = _attribute(path, slot, "TIME_SLOT_ID")
            times[name] = _milliseconds(path, f"time slot {name[:40]}", slot.attrib["TIME_VALUE"])
    chosen = _choose(path, root, tiers)
    scores = {
        _attribute(path, note, "ANNOTATION_REF"): (note.findtext("ANNOTATION_VALUE") or "").strip()
        for tier in root.iterfind("TIER")
        if tier.get("LINGUISTIC_TYPE_REF") == _SCORE
        for note in tier.iterfind("ANNOTATION/REF_ANNOTATION")
    }
    names = {id(tier): tier.get("PARTICIPANT") or _person_of(tier) for tier in chosen}
    persons = Persons(path, names.values())
    segments: list[Segment] = []
    for tier in chosen:
        for note in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
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
    return timeline(path, segments, taxonomy, duration)


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
