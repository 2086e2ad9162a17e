"""Several raters of one recording: ELAN tiers and BORIS observations, and the EAF schema's own rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from tests.formats.mutations import COUNT, hold_the_contract
from tests.strategies import raters

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.formats.boris_project import (
    read_boris_project,
    read_boris_project_raters,
    write_boris_project,
)
from microgesture.formats.eaf import read_eaf, read_eaf_raters, write_eaf
from microgesture.formats.segments import rounded
from microgesture.formats.timelines import read_raters, read_timeline, write_timeline

Lines = dict[str, Timeline]
FORMATS: dict[str, tuple[Callable[..., None], Callable[..., Lines]]] = {
    "eaf": (write_eaf, read_eaf_raters),
    "boris": (write_boris_project, read_boris_project_raters),
}
ANNA = Timeline((Segment(0, 2, 2), Segment(1, 3, 5), Segment(4, 5, 2, 0.5, 1)), SMG, 20.0)
BOTH = {"anna": ANNA, "李明": Timeline((Segment(0.5, 2, 2),), SMG, 20.0)}


@pytest.mark.parametrize("name", FORMATS)
def test_all_raters_come_back(name: str, tmp_path: Path) -> None:
    write, read = FORMATS[name]
    path = tmp_path / f"t.{name}"

    @settings(max_examples=max(300, COUNT // 10), deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(raters(exclusive=name == "boris"))
    def round_trip(lines: Lines) -> None:
        lines = {rater: replace(line, duration=line.duration + 1) for rater, line in lines.items()}
        write(lines, path, media="talk.mp4")
        again = read(path, next(iter(lines.values())).taxonomy)
        assert again == {rater: rounded(line) for rater, line in lines.items()}
        if name == "eaf":
            check_against_the_schema(path)

    round_trip()


# the order that the schema's sequence of ANNOTATION_DOCUMENT asks for, as far as we write it
ORDER = (
    *("LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT"),
    *("CONTROLLED_VOCABULARY", "LEXICON_REF", "REF_LINK_SET", "EXTERNAL_REF"),
)


def check_against_the_schema(path: Path) -> None:
    """What the EAF schema asks of a document: order, required attributes, ids that are unique, references that hold."""
    root = ElementTree.parse(path).getroot()
    assert root.attrib["FORMAT"] == "3.0"
    assert {"AUTHOR", "DATE", "VERSION"} <= root.attrib.keys()
    where = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
    assert root.attrib[where] == "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
    places = [ORDER.index(child.tag) for child in root]
    assert places == sorted(places)
    assert [child.tag for child in root].count("HEADER") == [child.tag for child in root].count("TIME_ORDER") == 1
    header = root.find("HEADER")
    assert header is not None
    assert header.attrib["TIME_UNITS"] == "milliseconds"
    order = [child.tag for child in header]
    assert order == sorted(order, key=("MEDIA_DESCRIPTOR", "LINKED_FILE_DESCRIPTOR", "PROPERTY").index)

    def unique(tag: str, attribute: str) -> set[str]:
        found = [element.attrib[attribute] for element in root.iter(tag)]
        assert len(set(found)) == len(found)
        return set(found)

    slots = unique("TIME_SLOT", "TIME_SLOT_ID")
    times = [int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")]
    assert times == sorted(times)
    tiers, kinds = unique("TIER", "TIER_ID"), unique("LINGUISTIC_TYPE", "LINGUISTIC_TYPE_ID")
    stereotypes, languages = unique("CONSTRAINT", "STEREOTYPE"), unique("LANGUAGE", "LANG_ID")
    vocabularies = unique("CONTROLLED_VOCABULARY", "CV_ID")
    unique("CV_ENTRY_ML", "CVE_ID")
    notes = [note for tag in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION") for note in root.iter(tag)]
    ids = {note.attrib["ANNOTATION_ID"] for note in notes}
    assert len(ids) == len(notes)
    last = next(p.text for p in root.iter("PROPERTY") if p.attrib["NAME"] == "lastUsedAnnotationId")
    assert all(int(id[1:]) <= int(last or 0) for id in ids)
    for tier in root.iter("TIER"):
        assert tier.attrib["LINGUISTIC_TYPE_REF"] in kinds
        assert tier.get("PARENT_REF") in {None, *tiers}
        for note in tier.iter("ALIGNABLE_ANNOTATION"):
            assert {note.attrib["TIME_SLOT_REF1"], note.attrib["TIME_SLOT_REF2"]} <= slots
        for note in tier.iter("REF_ANNOTATION"):
            assert note.attrib["ANNOTATION_REF"] in ids
    for kind in root.iter("LINGUISTIC_TYPE"):
        assert kind.get("CONSTRAINTS") in {None, *stereotypes}
        assert kind.get("CONTROLLED_VOCABULARY_REF") in {None, *vocabularies}
        assert kind.get("TIME_ALIGNABLE") in ("true", "false")
    for value in root.iter("CVE_VALUE"):
        assert value.attrib["LANG_REF"] in languages


def test_eaf_has_a_tier_per_person_and_rater(tmp_path: Path) -> None:
    write_eaf(BOTH, tmp_path / "t.eaf")
    tiers = [t for t in ElementTree.parse(tmp_path / "t.eaf").iter("TIER") if not t.get("PARENT_REF")]
    assert [(t.get("TIER_ID"), t.get("PARTICIPANT"), t.get("ANNOTATOR")) for t in tiers] == [
        ("person 0 @ anna", "person 0", "anna"),
        ("person 0 @ anna (2)", "person 0", "anna"),
        ("person 1 @ anna", "person 1", "anna"),
        ("person 0 @ 李明", "person 0", "李明"),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_one_rater_is_asked_for_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{name}"
    write_timeline(BOTH, path)
    read = {"eaf": read_eaf, "boris": read_boris_project}[name]
    assert read(path, SMG, rater="anna") == read_timeline(path, SMG, rater="anna") == ANNA
    with pytest.raises(FormatError, match=r"raters: holds 2 raters; expected one of anna, 李明\. Name one with rater="):
        read(path, SMG)
    with pytest.raises(FormatError, match=r"raters: no rater 'bo'; expected one of anna, 李明"):
        read_timeline(path, SMG, rater="bo")
    write_timeline(ANNA, path)
    assert read_timeline(path, SMG) == ANNA
    assert list(read_raters(path, SMG)) == ["microgesture"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({}, "t: no rater; give at least one"),
        ({" anna": ANNA}, r"t: rater ' anna'; expected a name of 1 to 80 letters, no blanks around it"),
        ({"a\nb": ANNA}, r"t: rater 'a\\nb'; expected a name"),
        ({"a": ANNA, "b": replace(ANNA, taxonomy=IMIGUE)}, "t: rater 'b' uses 'imigue', others 'smg'"),
        (
            {"a": ANNA, "b": replace(ANNA, duration=9)},
            r"t: the recording of rater 'b' lasts 9\.000 s, that of others 20\.000 s; give all of them the same",
        ),
    ],
)
@pytest.mark.parametrize("name", FORMATS)
def test_raters_that_cannot_be(name: str, lines: Lines, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        FORMATS[name][0](lines, tmp_path / "t")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["csv", "json", "vtt", "tsv"])
def test_formats_of_one_rater_say_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds one rater; write \.eaf or \.boris, or name a rater"):
        write_timeline(BOTH, tmp_path / f"t.{name}")


def test_old_elan_files_are_read(tmp_path: Path) -> None:
    write_eaf(ANNA, tmp_path / "t.eaf")
    text = (tmp_path / "t.eaf").read_text().replace("3.0", "2.7").replace("\n", "\r\n")
    (tmp_path / "old.eaf").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_eaf(tmp_path / "old.eaf", SMG) == ANNA


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_of_raters(name: str, tmp_path: Path) -> None:
    write, read = FORMATS[name]
    path = tmp_path / f"m.{name}"
    write(BOTH, path, media="talk.mp4")
    hold_the_contract(lambda p: read(p, SMG), path.read_bytes(), path)
