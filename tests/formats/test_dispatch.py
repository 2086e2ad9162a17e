"""Which format a file has, rates and sizes as text, and reading that names every refused row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import SMG
from microgesture.core.track import PoseTrack
from microgesture.formats import poses, timelines
from microgesture.formats.pyskl import PysklClip, write_pyskl
from microgesture.formats.segments import Problems
from microgesture.formats.source import frame_rate, frame_size

LINE = Timeline((Segment(0.5, 1.5, 2, 0.75), Segment(1, 3, 5, person=1)), SMG, 60.0)
NAMES = {
    "csv": "t.csv", "boris-csv": "t.boris.csv", "events": "t.tsv", "json": "t.json", "boris": "t.boris",
    "eaf": "t.eaf", "vtt": "t.vtt",
}  # fmt: skip


def track(layout: str = "mediapipe33", size: tuple[int, int] = (640, 480)) -> PoseTrack:
    skeleton, rng = SKELETONS[layout], np.random.default_rng(0)
    xy = rng.uniform(100, 400, (1, len(skeleton), 2)) + np.arange(3)[:, None, None]
    return PoseTrack(xy, np.ones(xy.shape[:2]), 25, size, skeleton)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", timelines.KINDS)
def test_a_timeline_is_known_by_name_and_content(kind: str, tmp_path: Path) -> None:
    path = tmp_path / NAMES[kind]
    assert timelines.kind_to_write(path) == kind
    timelines.write_timeline(LINE, path, media="talk.mp4", fps=25)
    assert timelines.timeline_kind(path) == kind
    assert poses.pose_kind(path) is None
    assert timelines.read_timeline(path, SMG).segments == LINE.segments
    assert timelines.not_held(LINE, kind) == (
        ["the duration of the recording (60.000 s)"] if kind in ("csv", "events") else []
    )
    fine = replace(LINE, segments=(Segment(0.12345, 1, 2),), duration=1.0)
    assert timelines.not_held(fine, kind) == ["more than milliseconds, and more than 4 decimals of a score"]


def test_a_table_that_boris_exported_with_tabulators(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(
        "Subject\tBehavior\tBehavior type\tTime\n\tfolding arms\tSTART\t1\n\tfolding arms\tSTOP\t2\n"
    )
    assert timelines.timeline_kind(tmp_path / "t.tsv") == "boris-csv"
    assert timelines.read_timeline(tmp_path / "t.tsv", SMG).segments == (Segment(1, 2, 2),)


def test_a_project_of_boris_under_the_name_of_json(tmp_path: Path) -> None:
    timelines.write_timeline(LINE, tmp_path / "t.boris")
    (tmp_path / "t.boris").rename(tmp_path / "t.json")
    assert timelines.read_timeline(tmp_path / "t.json", SMG) == LINE


def test_json_that_is_neither_is_said_to_be_broken_first(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("[1, ")
    with pytest.raises(FormatError, match=r"t\.json, line 1, column 5: not valid JSON"):
        timelines.timeline_kind(tmp_path / "t.json")
    (tmp_path / "t.json").write_text("[1]")
    assert timelines.timeline_kind(tmp_path / "t.json") is None


def test_lines_of_too_many_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microgesture.formats.safe_csv.COLUMN_LIMIT", 5)
    (tmp_path / "t.csv").write_text("start_s,end_s,label\n" + "," * 9 + "\n")
    with pytest.raises(FormatError, match=r"line 2: 10 cells; expected at most 5\. Check that this is the right file"):
        timelines.read_timeline(tmp_path / "t.csv", SMG)


def test_what_is_no_timeline(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match=r"t\.csv: not a timeline; expected CSV with start_s, events\.tsv, JSON"):
        timelines.read_timeline(tmp_path / "t.csv", SMG)
    with pytest.raises(NoInput, match=r"none\.csv: does not exist"):
        timelines.read_timeline(tmp_path / "none.csv", SMG)
    timelines.write_timeline(LINE, tmp_path / "t.vtt")
    with pytest.raises(UsageError, match=r"t\.vtt: the file does not say its label space; name it with --taxonomy"):
        timelines.read_timeline(tmp_path / "t.vtt", None)
    timelines.write_timeline(LINE, tmp_path / "t.json")
    assert timelines.read_timeline(tmp_path / "t.json", None) == LINE
    with pytest.raises(UsageError, match=r"t\.doc: no format of timelines; name a file with \.eaf, \.vtt"):
        timelines.write_timeline(LINE, tmp_path / "t.doc")


@pytest.mark.parametrize(
    ("kind", "name", "layout"),
    [
        ("npz", "p.npz", "mediapipe33"),
        ("openpose", "frames", "openpose25"),
        ("mediapipe", "m.csv", "mediapipe33"),
        ("deeplabcut", "d.csv", "mediapipe33"),
        ("pyskl", "p.pkl", "mediapipe33"),
    ],
)
def test_poses_are_known_by_name_and_content(kind: str, name: str, layout: str, tmp_path: Path) -> None:
    path, wrote = tmp_path / name, track(layout)
    poses.write_poses([wrote], path, kind=kind)
    assert poses.kind_to_write(path) == (None if name.endswith(".csv") else kind)
    assert poses.pose_kind(path) == kind
    assert timelines.timeline_kind(path) is None
    (again,) = poses.read_poses(path, fps=25, size=(640, 480), skeleton=wrote.skeleton)
    np.testing.assert_array_equal(again.xy, wrote.xy)
    np.testing.assert_array_equal(again.times, wrote.times)
    assert (again.skeleton, again.size, again.fps) == (wrote.skeleton, (640, 480), 25)
    if kind not in ("npz", "mediapipe"):
        with pytest.raises(UsageError, match="does not say its frame rate; give it with --fps"):
            poses.read_poses(path)


def test_openpose_tables_and_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",".join(["0", *["1"] * 75]) + "\n")
    assert poses.pose_kind(tmp_path / "a.csv") == "openpose"
    assert poses.read_poses(tmp_path / "a.csv", fps=25)[0].size == (0, 0)  # not said, not guessed
    (tmp_path / "a.json").write_text(json.dumps({"people": []}))
    assert poses.pose_kind(tmp_path / "a.json") == "openpose"
    assert poses.read_poses(tmp_path / "a.json", fps=25) == ()


def test_what_are_no_poses(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"not a pose file; expected npz, OpenPose JSON"):
        poses.read_poses(tmp_path)
    write_pyskl(tmp_path / "p.pkl", [PysklClip(n, None, (track(),)) for n in ("a", "b")], {})
    with pytest.raises(UsageError, match=r"p\.pkl: a file of PYSKL does not say its layout; give it with --layout"):
        poses.read_poses(tmp_path / "p.pkl", fps=25)
    with pytest.raises(UsageError, match=r"p\.pkl: holds 2 clips, expected one recording"):
        poses.read_poses(tmp_path / "p.pkl", fps=25, skeleton=SKELETONS["mediapipe33"])
    with pytest.raises(UsageError, match=r"x\.csv: the name does not say the format; choose one of npz, openpose"):
        poses.write_poses([track()], tmp_path / "x.csv")
    with pytest.raises(UsageError, match=r"PYSKL holds one or more persons of the same frames"):
        poses.write_poses([track(), track()[:1]], tmp_path / "x.pkl")


def test_what_formats_of_poses_cannot_hold() -> None:
    one = track()
    uneven = replace(one, times=np.array([0, 0.1, 0.3]))
    late = replace(one, times=one.times + 2)
    size, rate = "the size of the picture (640 x 480)", "the frame rate (25 per second)"
    assert poses.not_held([one], "npz") == poses.not_held([], "openpose") == []
    assert poses.not_held([uneven], "mediapipe") == [size]
    assert poses.not_held([uneven], "deeplabcut") == [rate, "uneven times", size]
    assert poses.not_held([late], "deeplabcut") == [rate, "the time of the first frame (2.000 s)", size]
    assert poses.not_held([one], "pyskl") == [rate, "the layout (mediapipe33)"]
    assert poses.not_held([one, one], "openpose") == [rate, size, "who is who from frame to frame"]


def test_rates_are_numbers_or_fractions() -> None:
    assert frame_rate("30000/1001") == 30000 / 1001
    assert frame_rate(" 29.97 ") == 29.97
    for text in ("", "0", "25fps", "1/0", "30/", "2000", "nan", "1e2", "-25", "２５"):
        with pytest.raises(UsageError, match=r"frame rate '.*'; expected 0\.1 to 1000 per second, such as 25, 29\.97"):
            frame_rate(text)


def test_sizes_are_two_numbers() -> None:
    assert frame_size("1280x720") == frame_size("1280X720") == (1280, 720)
    for text in ("1280", "0x1", "16385x1", "1280x", "a x b"):
        with pytest.raises(UsageError, match=r"size '.*'; expected width x height in pixels, such as 1280x720"):
            frame_size(text)


VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\n%s\n\n00:01 --> 2\nx\n\n00:03.000 --> 00:04.000\nfolding arms (7)\n\n" + (
    "00:05.000 --> 00:06.000\nfolding arms\n"
)
ROWS = "0,1,folding arms\n1,x,folding arms\n2,1,folding arms\n0,1\n3,4,waving\n5,6,folding arms\n"
BORIS = "Subject,Behavior,Behavior type,Time\n" + "".join(
    f",folding arms,{kind},{time}\n"
    for kind, time in (("STOP", 0), ("POINT", 1), ("START", "x"), ("START", 5), ("STOP", 6))
)


def eaf(path: Path) -> None:
    timelines.write_timeline(Timeline((Segment(1, 2, 2), Segment(5, 6, 2)), SMG, 9), path)
    text = path.read_text().replace("Folding arms</ANNOTATION_VALUE>", "waving</ANNOTATION_VALUE>", 1)
    path.write_text(text.replace('TIME_VALUE="', 'TIME_VALUE="x', 1))


def own_json(path: Path) -> None:
    timelines.write_timeline(Timeline((Segment(1, 2, 2), Segment(2, 3, 2), Segment(5, 6, 2)), SMG, 9), path)
    value = json.loads(path.read_text())
    value["segments"][0]["score"] = 2
    value["segments"][1]["label"] = "waving"
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("name", "text", "places"),
    [
        ("t.csv", "start_s,end_s,label\n" + ROWS, ["line 3", "line 4", "line 5", "line 6"]),
        ("t.vtt", VTT % "waving", ["line 3", "line 6", "line 9"]),
        ("t.tsv", "onset\tduration\ttrial_type\n5\t1\tfolding arms\n1\t0\tfolding arms\n1\t1\n", ["line 3", "line 4"]),
        ("boris.csv", BORIS, ["line 2", "line 3", "line 4"]),
        ("t.eaf", eaf, ["time slot ts1", "tier 'person 0', annotation a2"]),
        ("t.json", own_json, ["segment 0", "segment 1"]),
    ],
)
def test_every_refused_row_is_named_and_the_others_are_read(
    name: str, text: object, places: list[str], tmp_path: Path
) -> None:
    path = tmp_path / name
    if callable(text):
        text(path)
    else:
        path.write_text(str(text))
    with pytest.raises(FormatError):
        timelines.read_timeline(path, SMG)
    problems: Problems = []
    line = timelines.read_timeline(path, SMG, problems=problems)
    assert sorted(str(p.place) for p in problems) == sorted(places)
    assert Segment(5, 6, 2) in line.segments


def test_a_table_of_kinect_is_known_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "Sample0001_skeleton.csv"
    path.write_text("\n".join([",".join(["0.5"] * 275)] * 3) + "\n")
    assert poses.pose_kind(path) == "kinect"
    with pytest.raises(UsageError, match="a file of Kinect does not say its frame rate"):
        poses.read_poses(path)
    (track,) = poses.read_poses(path, fps=28)
    assert (track.skeleton.name, len(track), track.xy.shape[2]) == ("kinect25", 3, 3)
