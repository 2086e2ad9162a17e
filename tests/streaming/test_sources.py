from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import FormatError, NoInput
from microgesture.core.layouts import SKELETONS
from microgesture.core.track import PoseTrack
from microgesture.formats.pose_npz import write_npz
from microgesture.streaming.session import Frame
from microgesture.streaming.sources import Arrival, is_live, json_lines, of_tracks, open_source

SKELETON = SKELETONS["imigue22"]


def line(**changes: Any) -> str:
    plain = {"time": 0.5, "xy": [[1.0, 2]] * 21 + [None], "score": [0.9] * 22, "person": 0} | changes
    return json.dumps({key: value for key, value in plain.items() if value != "left out"})


def read(text: str | bytes) -> list[Arrival]:
    return list(json_lines(io.BytesIO(text if isinstance(text, bytes) else text.encode()), SKELETON))


def test_lines() -> None:
    (one, two) = read(line() + "\n\n" + line(person=3, score="left out", xy=[[1, 2, 3]] * 22))
    assert isinstance(one, tuple)
    person, frame = one
    assert (person, frame.time) == (0, 0.5)
    assert np.asarray(frame.xy)[[0, 21]].tolist() == [[1, 2], [0, 0]]
    assert np.asarray(frame.score)[[0, 21]].tolist() == pytest.approx([0.9, 0])
    assert isinstance(two, tuple)
    assert two[0] == 3
    assert np.asarray(two[1].xy).shape == (22, 3)
    assert np.asarray(two[1].score).tolist() == [1.0] * 22
    (none,) = read(line(xy=[None] * 22))
    assert isinstance(none, tuple)
    assert not np.asarray(none[1].score).any()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"not valid JSON"),
        (line()[:60], "not valid JSON"),
        (line().replace("0.5", "NaN"), "the number NaN; expected finite numbers"),
        ("[1]", "is a list; expected an object with time and xy"),
        (line(joints=3), "key 'joints' is unknown; expected person, score, time, xy"),
        (line(time="left out"), "has no time"),
        (line(time="0.5"), "time is '0.5'; expected seconds"),
        (line(time=True), "time is True"),
        (line(person=-1), "person is -1; expected a whole number from 0 to 63"),
        (line(person=1.5), "person is 1.5"),
        (line(xy=[[1, 2]] * 17), "xy holds 17 joints; expected 22, those of layout 'imigue22'"),
        (line(xy=7), "xy holds a int"),
        (line(xy=[[1, 2]] * 21 + [[1]]), "a joint of xy is no pair of numbers"),
        (line(xy=[[1, 2]] * 21 + [[1, "2"]]), "a joint of xy is no pair of numbers"),
        (line(xy=[[1, 2]] * 21 + [[1, 2, 3]]), "a joint of xy is no pair of numbers"),
        (line(score=[1.0]), "score does not hold one number for each joint"),
        (line(score=[None] * 22), "score does not hold"),
        ("x" * (1 << 20) + "y" * (1 << 20) + "z", "is longer than 1,048,576 bytes"),
    ],
)
def test_bad_lines_name_their_number_and_the_rest_goes_on(text: str, words: str) -> None:
    found = read(f"{line()}\n{text}\n{line(time=1.0)}\n")
    assert [isinstance(each, FormatError) for each in found] == [False, True, False]
    with pytest.raises(FormatError, match=words) as caught:
        raise found[1]  # type: ignore[misc]
    assert str(caught.value).startswith("<stdin>, line 2: ")


def test_bytes_that_are_no_text_and_an_end_within_a_line() -> None:
    bad, good, cut = read(b"\xff\xfe\n" + line().encode() + b"\n" + line().encode()[:30])
    assert "byte 0xff is not UTF-8 text" in str(bad)
    assert isinstance(good, tuple)
    assert "line 3: not valid JSON" in str(cut)
    (endless,) = read("x" * (3 << 20))
    assert "longer" in str(endless)
    assert read("") == []


def track(person: int, start: float) -> PoseTrack:
    xy = np.full((4, 22, 2), person + 1, np.float32)
    return PoseTrack(xy, np.ones((4, 22), np.float32), 10.0, (0, 0), SKELETON, start + np.arange(4) / 10, person)


def test_tracks_in_the_order_of_time() -> None:
    got = [a for a in of_tracks([track(0, 0.0), track(1, 0.05)]) if isinstance(a, tuple)]
    assert [person for person, _ in got] == [0, 1] * 4
    times = [frame.time for _, frame in got]
    assert times == sorted(times)
    assert all(np.asarray(frame.xy)[0, 0] == person + 1 for person, frame in got)


def test_files(tmp_path: Path) -> None:
    nothing = io.BytesIO()
    write_npz(tmp_path / "poses.npz", [track(0, 2.0)])
    arrivals, layout = open_source(str(tmp_path / "poses.npz"), None, stdin=nothing)
    assert layout == SKELETON
    assert [a[1].time for a in arrivals if isinstance(a, tuple)] == pytest.approx([0, 0.1, 0.2, 0.3])
    (tmp_path / "poses.jsonl").write_text(line() + "\n")
    arrivals, layout = open_source(str(tmp_path / "poses.jsonl"), SKELETON, stdin=nothing)
    assert len(list(arrivals)) == 1
    arrivals, layout = open_source("-", None, stdin=nothing)
    assert (layout.name, list(arrivals)) == ("canonical", [])
    with pytest.raises(NoInput, match="does not exist"):
        open_source(str(tmp_path / "none.mp4"), None, stdin=nothing)


def test_cameras_and_addresses() -> None:
    assert is_live("0")
    assert is_live("rtsp://camera/1")
    assert not is_live("0.mp4")
    assert not is_live("C://x")
    with pytest.raises(NoInput, match="camera 97: cannot be opened"):
        next(iter(open_source("97", None, stdin=io.BytesIO())[0]))
    with pytest.raises(NoInput, match=r"rtsp://127\.0\.0\.1:9/: cannot be opened"):
        next(iter(open_source("rtsp://127.0.0.1:9/", None, stdin=io.BytesIO())[0]))


def test_a_video(data: Path) -> None:
    from itertools import islice

    clips = sorted(p for p in data.rglob("*") if p.suffix in (".mp4", ".gif", ".avi"))
    if not clips:
        pytest.skip("no video there")
    arrivals, layout = open_source(str(clips[0]), None, stdin=io.BytesIO(), persons=1)
    got = [a for a in islice(arrivals, 8) if isinstance(a, tuple)]
    assert len(got) == 8
    assert all(isinstance(frame, Frame) and np.asarray(frame.xy).shape == (len(layout), 2) for _, frame in got)
    assert any(np.asarray(frame.score).any() for _, frame in got)
