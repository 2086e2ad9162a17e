"""BORIS projects: what the fields mean, frames and rates, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import MA52, SMG
from microgesture.formats.boris_project import read_boris_project, read_boris_project_raters, write_boris_project

LINE = Timeline((Segment(0.5, 1.5, 2, 0.75), Segment(1.5, 2, 2), Segment(1, 3, 5, person=1)), SMG, 60.0)


def project(events: list[Any], kind: str = "State event", **observation: Any) -> dict[str, Any]:
    return {
        "project_format_version": "7.0",
        "behaviors_conf": {"0": {"type": kind, "key": "f", "code": "folding arms"}},
        "observations": {"morning": {"type": "MEDIA", "time offset": 0.0, "events": events, **observation}},
    }


def on(time: object, *rest: object) -> list[object]:
    return [time, "Bea", "folding arms", "", "", *rest]


def test_the_project_is_what_boris_reads(tmp_path: Path) -> None:
    write_boris_project(LINE, tmp_path / "t.boris", media=tmp_path / "my talk.mp4", fps=30000 / 1001)
    value = json.loads((tmp_path / "t.boris").read_text())
    assert value["project_format_version"] == "7.0"
    assert value["behaviors_conf"]["2"]["code"] == "Folding arms"
    assert {b["type"] for b in value["behaviors_conf"].values()} == {"State event"}
    assert [s["name"] for s in value["subjects_conf"].values()] == ["person 0", "person 1"]
    (observation,) = value["observations"].values()
    assert observation["file"]["1"] == ["./my talk.mp4"]
    assert observation["media_info"]["length"] == {"./my talk.mp4": 60.0}
    assert observation["media_info"]["fps"] == {"./my talk.mp4": 30000 / 1001}
    assert observation["events"][:4] == [
        [0.5, "person 0", "Folding arms", "", "score 0.7500", 15],
        [1.0, "person 1", SMG.names[5], "", "score 1.0000", 30],
        [1.5, "person 0", "Folding arms", "", "", 45],  # the stop comes before the start of the next
        [1.5, "person 0", "Folding arms", "", "score 1.0000", 45],
    ]
    assert read_boris_project(tmp_path / "t.boris", SMG) == LINE


def test_every_class_has_a_key_of_its_own_as_far_as_there_are_any(tmp_path: Path) -> None:
    write_boris_project(Timeline((), MA52, 5), tmp_path / "t.boris")
    keys = [b["key"] for b in json.loads((tmp_path / "t.boris").read_text())["behaviors_conf"].values()]
    assert len(set(keys)) == len(keys) == 52
    assert read_boris_project(tmp_path / "t.boris", MA52) == Timeline((), MA52, 5)


def test_starts_and_stops_take_turns_for_each_subject_and_modifier(tmp_path: Path) -> None:
    events = [on(3), on(1), [2, "", "folding arms", "", ""], [4, "", "folding arms", "", ""]]
    events += [[5, "Bea", "folding arms", "left", ""], [6, "Bea", "folding arms", "left", ""]]
    (tmp_path / "t").write_text("\ufeff" + json.dumps(project(events)).replace(",", ",\r\n"), encoding="utf-8")
    found = read_boris_project(tmp_path / "t", SMG)
    assert found.segments == (Segment(1, 3, 2, 1, 1), Segment(2, 4, 2), Segment(5, 6, 2, 1, 1))
    assert found.duration == 6


def test_the_rate_of_frames_is_read_once_and_never_guessed(tmp_path: Path) -> None:
    events = [on("NA", 30), on(None, 60)]
    (tmp_path / "t").write_text(json.dumps(project(events)))
    message = r"observation 'morning', event 0: the event is at frame 30, and no frame rate is known; expected fps in"
    with pytest.raises(FormatError, match=message):
        read_boris_project(tmp_path / "t", SMG)
    assert read_boris_project(tmp_path / "t", SMG, fps=30).segments == (Segment(1, 2, 2),)
    media = {"file": {"1": ["a.mp4"]}, "media_info": {"length": {"a.mp4": 9.5}, "fps": {"a.mp4": 30000 / 1001}}}
    (tmp_path / "t").write_text(json.dumps(project(events, **media)))
    assert read_boris_project(tmp_path / "t", SMG) == Timeline((Segment(1.001, 2.002, 2),), SMG, 9.5)
    with pytest.raises(FormatError, match=r"'morning': frame rates 29\.97, 25; expected one frame rate per recording"):
        read_boris_project(tmp_path / "t", SMG, fps=25)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"top level: not a project of BORIS; expected objects 'observations' and 'behaviors_conf'"),
        (project([on(1)]), r"'morning', event 0: 'Folding arms' is started and never stopped; expected START and STOP"),
        (project([on(1), on(1)]), r"event 1: the segment runs from 1\.000 s to 1\.000 s"),
        (project([on(1)], "Point event"), r"event 0: 'folding arms' is a Point event; expected state events"),
        (project([[1, "", "waving", "", ""]]), r"event 0: no behavior 'waving'; expected state events of the ethogram"),
        (project([on("1:30")]), r"event 0: time is '1:30'; expected a number of seconds"),
        (project([on("NA")]), r"event 0: neither a time nor a frame; expected a time in seconds"),
        (project([[1, "", "folding arms"]]), r"event 0: not an event; expected \[time, subject, code"),
        (project([], **{"time offset": 5}), r"'morning': time offset is 5 s; expected times of the recording itself"),
        ({"behaviors_conf": {}, "observations": {"a": {}}}, r"observation 'a': no list 'events'"),
        ({"behaviors_conf": {"0": {}}, "observations": {}}, r"behavior 0: 'code' is missing or not text"),
        ({"behaviors_conf": {}, "observations": {}}, r"raters: holds 0 raters; expected one of none"),
    ],
)
def test_messages(value: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.boris").write_text(json.dumps(value))
    with pytest.raises(FormatError, match=message):
        read_boris_project(tmp_path / "t.boris", SMG)


def test_all_problems_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    events = [on(1), on(2), on("x"), [3, "Bea", "waving", "", ""], on(5)]
    (tmp_path / "t").write_text(json.dumps(project(events)))
    problems: list[FormatError] = []
    found = read_boris_project_raters(tmp_path / "t", SMG, problems=problems)
    assert found["morning"].segments == (Segment(1, 2, 2),)
    assert [p.place for p in problems] == [f"observation 'morning', event {i}" for i in (2, 3, 4)]


def test_a_label_twice_at_once_is_refused(tmp_path: Path) -> None:
    line = Timeline((Segment(0, 2, 2), Segment(1, 3, 2)), SMG, 5)
    with pytest.raises(UsageError, match=r"cannot hold 'Folding arms' of person 0 twice at once, at 1\.000 s"):
        write_boris_project(line, tmp_path / "t.boris")
