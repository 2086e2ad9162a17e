"""The exchange formats: what they hold comes back, what they cannot be is refused with words."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from tests.formats.mutations import COUNT, hold_the_contract
from tests.strategies import timelines

from microgesture.core.errors import FormatError, NoInput, NotPermitted, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.boris import read_boris, write_boris
from microgesture.formats.boris_project import read_boris_project, write_boris_project
from microgesture.formats.eaf import read_eaf, write_eaf
from microgesture.formats.events_tsv import read_events, write_events
from microgesture.formats.segments import rounded
from microgesture.formats.timeline_csv import read_csv, write_csv
from microgesture.formats.timeline_json import read_timeline_json, write_timeline_json
from microgesture.formats.webvtt import read_vtt, write_vtt

Read = Callable[..., Timeline]
FORMATS: dict[str, tuple[Callable[..., None], Read]] = {
    "csv": (write_csv, read_csv),
    "json": (write_timeline_json, read_timeline_json),
    "eaf": (write_eaf, read_eaf),
    "vtt": (write_vtt, read_vtt),
    "boris": (write_boris, read_boris),
    "boris_project": (write_boris_project, read_boris_project),
    "events": (partial(write_events, describe=False), read_events),
}
EXAMPLE = Timeline(
    (
        Segment(0.0, 1.5, 16, 0.9),
        Segment(1.0, 2.25, 6, 0.5),
        Segment(1.0, 3.0, 1, 0.25, person=1),
        Segment(2.25, 60.001, 13),
    ),
    IMIGUE,
    125.5,
)
HOLDS_DURATION = {"json", "eaf", "vtt", "boris_project"}


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_holds_comes_back(name: str, tmp_path: Path) -> None:
    write, read = FORMATS[name]
    path = tmp_path / f"timeline.{name}"

    @settings(max_examples=max(300, COUNT // 10), deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(timelines(exclusive=name.startswith("boris")))
    def round_trip(line: Timeline) -> None:
        write(line, path)
        again = read(path, line.taxonomy)
        expected = rounded(line)
        if name not in HOLDS_DURATION and not (name == "boris" and len(line)):  # BORIS: a column of every event
            expected = replace(expected, duration=max((s.end for s in expected), default=0.0))
        if name == "boris_project" and not expected.duration:  # an interval that ends at 0 is none to BORIS
            expected = replace(expected, duration=max((s.end for s in expected), default=0.0))
        assert again == expected
        write(again, path)  # writing what was read changes nothing any more
        assert read(path, line.taxonomy) == again

    round_trip()


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_timeline_is_a_valid_file(name: str, tmp_path: Path) -> None:
    write, read = FORMATS[name]
    write(Timeline((), SMG, 7.0), tmp_path / "t")
    again = read(tmp_path / "t", SMG)
    assert len(again) == 0
    assert again.duration == (7.0 if name in HOLDS_DURATION else 0.0)


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_timeline_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    write, _ = FORMATS[name]
    write(EXAMPLE, tmp_path / "a")
    write(EXAMPLE, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert os.listdir(tmp_path) == ["a", "b"] or sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    write, read = FORMATS[name]
    path = tmp_path / f"t.{name}"
    line = Timeline(EXAMPLE.segments, SMG, 9.0)  # fewer classes, so that most mutants hit what matters
    write(line, path)
    hold_the_contract(lambda p: read(p, SMG), path.read_bytes(), path)


@pytest.mark.parametrize("name", FORMATS)
def test_missing_empty_and_foreign_inputs(name: str, tmp_path: Path) -> None:
    _, read = FORMATS[name]
    with pytest.raises(NoInput, match=r"nothing: does not exist"):
        read(tmp_path / "nothing", IMIGUE)
    with pytest.raises(NoInput, match="is a folder, expected a file"):
        read(tmp_path, IMIGUE)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(FormatError, match=r"empty: the file is empty \(0 bytes\)\. Copy or record it again"):
        read(tmp_path / "empty", IMIGUE)
    (tmp_path / "binary").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(FormatError, match=r"not UTF-8|not valid XML"):
        read(tmp_path / "binary", IMIGUE)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NoInput, match="is a pipe or device"):
        read(tmp_path / "pipe", IMIGUE)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(NoInput, match=r"loop: cannot be opened \(Too many levels"):
        read(tmp_path / "loop", IMIGUE)


@pytest.mark.parametrize("name", FORMATS)
def test_the_system_may_refuse(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, read = FORMATS[name]
    (tmp_path / "secret").write_text("x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NotPermitted, match=r"secret: may not be read \(Permission denied\)"):
        read(tmp_path / "secret", IMIGUE)


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_in_the_way_leaves_nothing_half_written(name: str, tmp_path: Path) -> None:
    write, _ = FORMATS[name]
    with pytest.raises(Exception, match="cannot be created"):
        write(EXAMPLE, tmp_path / "absent" / "t")
    assert not list(tmp_path.iterdir())


def check(read: Read, path: Path, text: str, message: str, taxonomy: Taxonomy = IMIGUE) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        read(path, taxonomy)


HEAD = "start_s,end_s,label,score\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("start_s,end_s\n0,1\n", r"line 1: column 'label' is missing; expected a header line with start_s, end_s"),
        (HEAD + "NaN,1,Folding arms,1\n", r"t\.csv, line 2: start_s is 'NaN'; expected a finite number"),
        (HEAD + "0,inf,Folding arms,1\n", r"line 2: end_s is 'inf'; expected a finite number"),
        (HEAD + "0,1,Folding arms,1\n1_0,11,Folding arms,1\n", r"line 3: start_s is '1_0'"),
        (HEAD + "2,1,Folding arms,1\n", r"line 2: the segment runs from 2.000 s to 1.000 s; expected 0 <= start < end"),
        (HEAD + "0,999999,Folding arms,1\n", r"line 2: the segment ends at 999999 s; expected at most 48 h"),
        (HEAD + "0,1,Folding arms,87\n", r"line 2: score is 87; expected 0 to 1\. Divide percentages by 100"),
        (HEAD + "0,1,Folding armz,1\n", r"line 2: taxonomy 'imigue' has no label 'Folding armz'; did you mean 'Fold"),
        (HEAD + "0,1\n", r"line 2: 2 cells; expected 4 as in the header"),
        ("start_s,start_s,end_s,label\n", r"line 1: column 'start_s' occurs twice"),
        (HEAD + '0,1,"Folding arms\n', r"not a CSV table"),
        ("start_s,end_s,label,label_id\n0,1,Folding arms,3\n", r"line 2: label_id 3 is not 'Folding arms' .*expected"),
        ("start_s,end_s,label,person\n0,1,Folding arms,64\n", r"line 2: person is 64; expected 0 to 63"),
        ("start_s,end_s,label,person\n0,1,Folding arms,0.5\n", r"line 2: person is 0.5; expected a whole number"),
    ],
)  # fmt: skip
def test_csv_messages(text: str, message: str, tmp_path: Path) -> None:
    check(read_csv, tmp_path / "t.csv", text, message)


def test_csv_of_a_spreadsheet_with_semicolons_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("﻿start_s;end_s;label\r\n1;2;crossing arms\r\n", encoding="utf-8")
    assert read_csv(tmp_path / "t", IMIGUE, duration=9).segments == (Segment(1, 2, 16),)


def test_cells_cannot_become_formulas(tmp_path: Path) -> None:
    evil = replace(
        SMG, labels=tuple(replace(m, name=f"{sign}cmd({m.id})") for m, sign in zip(SMG, "=+-@\t", strict=False))
    )
    line = Timeline(tuple(Segment(i, i + 1, i) for i in range(5)), evil, 9)
    for write, read in (FORMATS["csv"], FORMATS["boris"]):
        write(line, tmp_path / "t")
        with open(tmp_path / "t", newline="") as file:
            assert not [c for row in csv.reader(file) for c in row if c.startswith(("=", "+", "-", "@", "\t", "\r"))]
        if write is write_csv:
            assert read(tmp_path / "t", evil).segments == line.segments
    write_boris(EXAMPLE, tmp_path / "t", media="=1+1.mp4")
    assert ",'=1+1.mp4," in (tmp_path / "t").read_text()


TIMELINE = '{"format": "microgesture-timeline", "version": 1, "taxonomy": {"key": "imigue", "digest": "%s"}, %s}'


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", r"line 1, column 2: not valid JSON"),
        ("[" * 1_000_000, r"line 1: nested deeper than 64 levels"),
        ('{"duration": NaN}', r"a number: the number NaN; expected finite numbers\. Write null"),
        ('{"duration": -Infinity}', r"the number -Infinity"),
        ('{"duration": 1e999}', r"the number 1e999"),
        ('{"duration": ' + "9" * 5000 + "}", r"a number has too many digits"),
        ('{"a": 1, "a": 2}', r"key 'a' occurs twice"),
        ("[]", r'top level: not a timeline; expected "format": "microgesture-timeline", "version": 1'),
        (TIMELINE % ("0", '"segments": [], "duration": 1'), r"the label space is 'imigue' in another version"),
        (TIMELINE % (IMIGUE.digest, '"duration": 1'), r"top level: 'segments' is missing; expected a list"),
        (TIMELINE % (IMIGUE.digest, '"segments": [], "duration": true'), r"'duration' is not a number"),
        (TIMELINE % (IMIGUE.digest, '"segments": [3], "duration": 1'), r"segment 0: not an object"),
        (
            TIMELINE % (IMIGUE.digest, '"segments": [{"id": 16, "person": 0, "label": "Biting nails"}], "duration": 1'),
            r"segment 0: id 16 and label 'Biting nails' do not belong together",
        ),
    ],
)
def test_json_messages(text: str, message: str, tmp_path: Path) -> None:
    check(read_timeline_json, tmp_path / "t.json", text, message)


def test_json_knows_its_taxonomy(tmp_path: Path) -> None:
    write_timeline_json(EXAMPLE, tmp_path / "t", media="interview.mp4")
    assert read_timeline_json(tmp_path / "t") == rounded(EXAMPLE)
    with pytest.raises(FormatError, match="the label space is 'imigue'; expected 'smg'"):
        read_timeline_json(tmp_path / "t", SMG)


def test_eaf_has_a_tier_per_person_a_vocabulary_and_a_relative_link(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_eaf(EXAMPLE, tmp_path / "out" / "t.eaf", media=tmp_path / "my talk.mp4")
    root = ElementTree.parse(tmp_path / "out" / "t.eaf").getroot()
    assert [t.get("TIER_ID") for t in root.iter("TIER") if not t.get("PARENT_REF")] == [
        "person 0", "person 0 (2)", "person 1",
    ]  # fmt: skip
    assert {t.get("PARENT_REF") for t in root.iter("TIER")} == {None, "person 0", "person 0 (2)", "person 1"}
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.get("RELATIVE_MEDIA_URL") == "../my%20talk.mp4"
    assert media.get("MIME_TYPE") == "video/mp4"
    assert [e.text for e in root.iter("CVE_VALUE")] == list(IMIGUE.names)
    kind = next(t for t in root.iter("LINGUISTIC_TYPE") if t.get("LINGUISTIC_TYPE_ID") == "micro-gesture")
    assert kind.get("CONTROLLED_VOCABULARY_REF") == next(c.get("CV_ID") for c in root.iter("CONTROLLED_VOCABULARY"))
    for tier in root.iter("TIER"):  # ELAN shows no overlap within a tier
        slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE", "")) for s in root.iter("TIME_SLOT")}
        spans = sorted(
            (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")]) for a in tier.iter("ALIGNABLE_ANNOTATION")
        )
        assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_eaf_of_a_human_coder(tmp_path: Path) -> None:
    from pympi.Elan import Eaf

    eaf = Eaf()
    for name in ("Ann", "Bea"):
        eaf.add_tier(f"MG {name}", part=name)
        eaf.add_annotation(f"MG {name}", 100, 900, "folding arms")
    eaf.add_tier("talk")
    eaf.add_annotation("talk", 0, 50, "good morning")
    eaf.to_file(str(tmp_path / "t.eaf"))
    found = read_eaf(tmp_path / "t.eaf", IMIGUE, tiers=("MG Ann", "MG Bea"))
    assert found.segments == (Segment(0.1, 0.9, 16, 1, 0), Segment(0.1, 0.9, 16, 1, 1))
    with pytest.raises(
        FormatError, match=r"tier 'talk', annotation a\d: taxonomy 'imigue' has no label 'good morning'"
    ):
        read_eaf(tmp_path / "t.eaf", IMIGUE)
    with pytest.raises(FormatError, match=r"tiers: no tier 'MG'; expected default, MG Ann, MG Bea, talk"):
        read_eaf(tmp_path / "t.eaf", IMIGUE, tiers=("MG",))


EAF = '<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="%s"/><TIME_SLOT TIME_SLOT_ID="b"/>'
NOTE = (
    '</TIME_ORDER><TIER TIER_ID="x"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="n" TIME_SLOT_REF1="a" '
    'TIME_SLOT_REF2="%s"><ANNOTATION_VALUE>%s</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>'
    "</ANNOTATION_DOCUMENT>"
)


@pytest.mark.parametrize(
    "text, message",
    [
        ("<a/>", r"root: the root element is <a>; expected <ANNOTATION_DOCUMENT>"),
        ("<a>", r"line 1: not valid XML \(no element found"),
        ('<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', r"line 1: a document type declaration \(DTD\); expected XML"),
        ("<a>" * 100, r"nested deeper than 64 levels"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', r"not valid XML \(unknown encoding"),
        (EAF % "1.5" + NOTE % ("b", ""), r"time slot a: time '1.5'; expected whole milliseconds"),
        (EAF % "100" + NOTE % ("b", ""), r"tier 'x', annotation n: refers to a time slot without a time"),
        (EAF % "100" + NOTE % ("a", "folding arms"), r"annotation n: the segment runs from 0.100 s to 0.100 s"),
    ],
)  # fmt: skip
def test_eaf_messages(text: str, message: str, tmp_path: Path) -> None:
    check(read_eaf, tmp_path / "t.eaf", text, message)


def test_vtt_is_what_players_show(tmp_path: Path) -> None:
    write_vtt(EXAMPLE, tmp_path / "t.vtt")
    text = (tmp_path / "t.vtt").read_text()
    assert text.startswith(
        "WEBVTT\n\nNOTE taxonomy imigue\n\nNOTE duration 125.500 s\n\n0\n00:00:00.000 --> 00:00:01.500\n"
    )
    assert "<v person 1>Bulging face, deep breath (0.2500)" in text


def test_vtt_of_others(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(
        "WEBVTT - by hand\r\nKind: captions\r\n\r\nSTYLE\r\n::cue {}\r\n\r\nNOTE\r\nseen twice\r\n\r\n"
        "01:02.500 --> 01:03.000 align:start\r\n<v Bea>folding <b>arms</b>\r\n\r\n"
        "gesture\r\n00:01:04.000 --> 00:01:05.000\r\n<v.loud Ann>Rubbing\r\neyes\r\n"
    )
    assert read_vtt(tmp_path / "t", IMIGUE).segments == (Segment(62.5, 63, 16), Segment(64, 65, 6, person=1))


@pytest.mark.parametrize(
    "text, message",
    [
        ("1\n00:01.000 --> 00:02.000\nx", r"line 1: not a WebVTT file; expected WEBVTT"),
        ("WEBVTT\n\n00:01 --> 00:02.000\nFolding arms", r"line 3: no times in a cue"),
        ("WEBVTT\n\nname\n\n", r"line 4: no times in a cue"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nwaving", r"line 3: taxonomy 'imigue' has no label 'waving'"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nFolding arms (2)", r"line 3: score is 2; expected 0 to 1"),
        ("WEBVTT\n\nNOTE duration x s\n", r"line 3: duration is 'x'; expected a finite number"),
        ("WEBVTT\n\nNOTE duration 999999 s\n", r"header: duration is 999999 s; expected 0 to 48 h"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n<v person 99>Folding arms", r"names of persons: person 99 occurs"),
    ],
)
def test_vtt_messages(text: str, message: str, tmp_path: Path) -> None:
    check(read_vtt, tmp_path / "t.vtt", text, message)


BORIS = "Subject,Behavior,Behavior type,Time\n"


@pytest.mark.parametrize(
    "text, message",
    [
        (BORIS + ",Folding arms,START,1\n", r"line 2: START of 'Folding arms' without a STOP"),
        (BORIS + ",Folding arms,STOP,1\n", r"line 2: STOP of 'Folding arms' without a START; expected START and"),
        (BORIS + 2 * ",Folding arms,START,1\n", r"line 3: START of 'Folding arms' while it is going on"),
        (BORIS + ",Folding arms,POINT,1\n", r"line 2: a POINT event; expected state events"),
        (BORIS + ",Folding arms,START,x\n", r"line 2: Time is 'x'"),
        ("Behavior,Time\n", r"line 1: column 'Subject', 'Behavior type' is missing"),
    ],
)  # fmt: skip
def test_boris_messages(text: str, message: str, tmp_path: Path) -> None:
    check(read_boris, tmp_path / "t.csv", text, message)


def test_boris_aggregated_events(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(
        "Observation id,Subject,Behavior,Behavior type,Start (s),Stop (s),Duration (s)\n"
        "o,No focal subject,folding arms,STATE,1.000,2.500,1.500\n"
    )
    assert read_boris(tmp_path / "t", IMIGUE).segments == (Segment(1, 2.5, 16),)


def test_boris_cannot_hold_a_label_twice_at_once(tmp_path: Path) -> None:
    line = Timeline((Segment(0, 2, 16), Segment(1, 3, 16)), IMIGUE, 5)
    with pytest.raises(UsageError, match=r"cannot hold 'Folding arms' of person 0 twice at once, at 1.000 s"):
        write_boris(line, tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_more_than_a_million_events_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, read = FORMATS[name]
    write(EXAMPLE, tmp_path / "t")
    for module in ("segments", "webvtt"):
        monkeypatch.setattr(f"microgesture.formats.{module}.EVENT_LIMIT", 3)
    with pytest.raises(FormatError, match=r"whole file: 4 segments; expected at most 3\. Split the recording"):
        read(tmp_path / "t", IMIGUE)


def test_elan_files_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microgesture.formats.eaf.EVENT_LIMIT", 3)
    with pytest.raises(FormatError, match=r"whole file: 4 segments; expected at most 3\. Split the recording"):
        write_eaf(EXAMPLE, tmp_path / "t.eaf")
    assert not list(tmp_path.iterdir())
