"""BIDS events: the table, its description, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import SMG
from microgesture.formats.events_tsv import read_events, write_events

LINE = Timeline((Segment(0.5, 1.75, 2, 0.25), Segment(1, 3, 5, person=1)), SMG, 60.0)
HEAD = "onset\tduration\ttrial_type\tscore\tperson\n"


def test_the_table_and_its_description(tmp_path: Path) -> None:
    write_events(LINE, tmp_path / "sub-01_events.tsv")
    lines = (tmp_path / "sub-01_events.tsv").read_text().splitlines()
    assert lines[:2] == [HEAD.rstrip(), "0.500\t1.250\tFolding arms\t0.2500\t0"]
    value = json.loads((tmp_path / "sub-01_events.json").read_text())
    assert list(value["trial_type"]["Levels"]) == list(SMG.names)
    assert value["onset"]["Units"] == value["duration"]["Units"] == "s"
    write_events(LINE, tmp_path / "sub-01_events.tsv")  # again, over its own description
    assert read_events(tmp_path / "sub-01_events.tsv", SMG, 60.0) == LINE


def test_another_file_is_not_overwritten_by_the_description(tmp_path: Path) -> None:
    for text in ('{"format": "mine"}', "no json"):
        (tmp_path / "truth.json").write_text(text)
        with pytest.raises(UsageError, match=r"truth\.json: exists and does not describe events"):
            write_events(LINE, tmp_path / "truth.tsv")
        assert (tmp_path / "truth.json").read_text() == text
    with pytest.raises(UsageError, match="does not describe events"):
        write_events(LINE, tmp_path / "truth.json")
    write_events(LINE, tmp_path / "truth.tsv", describe=False)
    assert read_events(tmp_path / "truth.tsv", SMG).segments == LINE.segments


def test_events_of_others_with_quotes_blanks_and_windows_line_ends(tmp_path: Path) -> None:
    text = 'onset\tduration\ttrial_type\tnote\r\n1\t2\tfolding arms\t"a, 5\r\n'
    (tmp_path / "t.tsv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_events(tmp_path / "t.tsv", SMG).segments == (Segment(1, 3, 2),)
    (tmp_path / "t.tsv").write_text(HEAD + "1\t2\tfolding arms\tn/a\tn/a\n")
    assert read_events(tmp_path / "t.tsv", SMG).segments == (Segment(1, 3, 2),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("onset\tduration\n", r"line 1: column 'trial_type' is missing; expected a header line with onset, duration"),
        (HEAD + "1\t0\tfolding arms\t1\t0\n", r"line 2: a point event \(duration 0\); expected a duration above 0 s"),
        (HEAD + "1\tn/a\tfolding arms\t1\t0\n", r"line 2: a point event \(duration n/a\)"),
        (HEAD + "-1\t2\tfolding arms\t1\t0\n", r"line 2: the segment runs from -1\.000 s to 1\.000 s"),
        (HEAD + "n/a\t2\tfolding arms\t1\t0\n", r"line 2: onset is 'n/a'; expected a finite number"),
        (HEAD + "1\t2\tn/a\t1\t0\n", r"line 2: taxonomy 'smg' has no label 'n/a'"),
        (HEAD + "1\t2\tfolding arms\t1\t0.5\n", r"line 2: person is 0\.5; expected a whole number"),
        (HEAD + "1\t2\tfolding arms\n", r"line 2: 3 cells; expected 5 as in the header"),
    ],
)
def test_messages(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(FormatError, match=r"t\.tsv, " + message):
        read_events(tmp_path / "t.tsv", SMG)
