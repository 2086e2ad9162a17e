"""Tables of MediaPipe: every accepted header, units that are said and never guessed, exact round trips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.formats.mutations import COUNT, hold_the_contract
from tests.formats.test_pose_files import same
from tests.strategies import people

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.track import PoseTrack
from microgesture.formats.mediapipe_csv import LANDMARKS, SKELETON, read_mediapipe_csv, write_mediapipe_csv

SIZE = (640, 480)


def table(header: str, *rows: str) -> str:
    return "\n".join((header, *rows)) + "\n"


def one(skeleton: str = "mediapipe33", size: tuple[int, int] = SIZE, axes: int = 2) -> PoseTrack:
    joints = len(SKELETONS[skeleton])
    return PoseTrack(np.ones((2, joints, axes)), np.ones((2, joints)), 25, size, SKELETONS[skeleton])  # type: ignore[arg-type]


def test_landmarks_are_those_of_the_layout() -> None:
    words = {"left": "l", "right": "r", "pinky": "pinky_mcp", "thumb": "thumb_ip"}
    for name, joint in zip(LANDMARKS, SKELETON.joints, strict=True):
        side, _, part = name.partition("_")
        if side == "mouth":
            side, part = part, "mouth"
        plain = {"index": "index_mcp", "foot_index": "toe"}.get(part, words.get(part, part))
        assert joint == (f"{words[side]}_{plain}" if side in words else name)


def test_tracks_come_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"

    @settings(max_examples=max(300, COUNT // 10), deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(people(SKELETON, max_frames=4))
    def round_trip(tracks: tuple[PoseTrack, ...]) -> None:
        size = tracks[0].size if any(tracks[0].size) else (999, 1001)
        tracks = tuple(PoseTrack(t.xy, t.score, t.fps, size, SKELETON, t.times, t.person) for t in tracks)
        write_mediapipe_csv(path, tracks)
        again = read_mediapipe_csv(path, fps=tracks[0].fps, size=size)
        # with nobody seen at all, the file cannot tell shares from pixels, and need not
        assert all(same(a, b) for a, b in zip(tracks, again, strict=True))

    round_trip()


@pytest.mark.parametrize(
    "header",
    [
        "frame,time,left_wrist_x,left_wrist_y,left_wrist_z,left_wrist_visibility",
        "time_s,Frame,LEFT_WRIST_z,LEFT_WRIST_visibility,LEFT_WRIST_x,LEFT_WRIST_y",
        "frame,timestamp_ms,15_x,15_y,15_z,15_visibility",
        "frame,time_ms,landmark_15_x,landmark_15_y,landmark_15_z,landmark_15_visibility",
        "frame;time_s;landmark_left_wrist_x;landmark_left_wrist_y;landmark_left_wrist_z;landmark_left_wrist_visibility",
    ],
)
def test_headers_of_all_kinds_mean_the_same(header: str, tmp_path: Path) -> None:
    values = {
        "e": "0",
        "x": "0.5",
        "y": "0.25",
        "z": "-0.1",
        "visibility": "0.75",
        "time": "1.0",
        "s": "1.0",
        "ms": "1000",
    }
    sign = ";" if ";" in header else ","
    first = [
        values[c.lower() if c == "time" else c.rsplit("_", 1)[-1].lower() if "_" in c else "e"]
        for c in header.split(sign)
    ]
    later = ["1" if c.lower() == "frame" else "1040" if c.endswith("ms") else "1.04" if "time" in c else v
             for c, v in zip(header.split(sign), first, strict=True)]  # fmt: skip
    text = "\r\n".join((header, sign.join(first), sign.join(later), ""))
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (track,) = read_mediapipe_csv(tmp_path / "m.csv", size=SIZE)
    wrist = SKELETON.index("l_wrist")
    assert track.xy[0, wrist].tolist() == [320, 120]
    assert track.score[0, wrist] == 0.75
    assert np.count_nonzero(track.score[0]) == 1
    assert track.times.tolist() == [1.0, 1.04]
    assert track.fps == pytest.approx(25)


def test_pixels_are_pixels_and_frames_that_are_left_out_are_empty(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(table("frame,nose_x,nose_y", "4,320,100", "6,330,101", "7,,", "8,nan,NaN"))
    (track,) = read_mediapipe_csv(tmp_path / "m.csv", fps=30000 / 1001)
    assert (len(track), track.size, track.fps) == (5, (0, 0), 30000 / 1001)
    assert track.xy[:, 0].tolist() == [[320, 100], [0, 0], [330, 101], [0, 0], [0, 0]]
    assert track.score[:, 0].tolist() == [1, 0, 1, 0, 0]
    assert track.times[0] == pytest.approx(4 * 1001 / 30000)


HEAD = "frame,nose_x,nose_y,nose_visibility"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table(HEAD, "0,0.5,1.25,1"), r"table: the positions are shares of the picture \(none above 1\.25\), whose size"
         r" is not in the file; expected the size of the picture in pixels\. Give it with --size, such as 1280x720"),
        (table("frame,timestamp,nose_x", "0,0,5"), r"half of nose is missing; expected nose_x and nose_y"),
        (table("timestamp,nose_x,nose_y", "0,0,5"), r"line 1: column 'timestamp' does not say its unit; .*time_ms"),
        (table("nose_x,nose_y", "0,5"), r"line 1: columns 'frame' and 'time_s' are missing"),
        (table("frame,tail_x,tail_y", "0,0,5"), r"line 1: column 'tail_x' is no landmark of MediaPipe Pose"),
        (table("frame,33_x,33_y", "0,0,5"), r"column '33_x' is no landmark of MediaPipe Pose; expected names such as"),
        (table("frame,nose_x,nose_y,0_x", "0,0,5,5"), r"line 1: nose has two columns x"),
        (table("frame,a", "0,1"), r"line 1: no column of a landmark"),
        (table(HEAD), r"table: no frames; expected one row per frame"),
        (table(HEAD, "0,50,,1"), r"line 2: half of nose is missing; expected x, y and confidence, or none of them"),
        (table(HEAD, "0,50,60,"), r"line 2: half of nose is missing"),
        (table(HEAD, "0,50,inf,1"), r"line 2: y of nose is 'inf'; expected a finite number"),
        (table(HEAD, "0,50,60,1.5"), r"line 2: nose is at 50, 60 with confidence 1\.5; expected a position in the"),
        (table(HEAD, "0,50,60,1", "0,50,60,1"), r"line 3: frame 0 of person 0 occurs twice"),
        (table(HEAD, "0.5,50,60,1"), r"line 2: frame is 0\.5; expected a whole number from 0"),
        (table(HEAD, "0,50,60,1", "90000,50,60,1"), r"frames: frame 90000 after 0; expected numbers that count up"),
        (table("person," + HEAD, "64,0,50,60,1"), r"line 2: person is 64; expected 0 to 63"),
        (table("time_s," + HEAD, "2,0,50,60,1", "1,1,50,60,1"), r"times: frame 1 is at 1 s, frame 0 at 2 s; exp"),
        (table("time_s," + HEAD, "999999,0,50,60,1"), r"line 2: frame 0 is at 999999 s; .*time_s is seconds"),
    ],
)  # fmt: skip
def test_messages(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_mediapipe_csv(tmp_path / "m.csv", fps=25)


def test_a_rate_is_asked_for_and_never_guessed(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(table(HEAD, "0,50,60,1"))
    with pytest.raises(FormatError, match=r"table: the table holds no times; expected a column time_s.*with --fps"):
        read_mediapipe_csv(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text(table("time_s," + HEAD, "1,0,50,60,1"))
    with pytest.raises(FormatError, match=r"table: the times do not tell a frame rate; expected several frames"):
        read_mediapipe_csv(tmp_path / "m.csv")


def test_all_problems_are_named_and_their_frames_are_empty(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(table(HEAD, "0,50,60,1", "1,x,60,1", "2,50,60", "3,50,60,2", "4,50,61,1"))
    problems: list[FormatError] = []
    (track,) = read_mediapipe_csv(tmp_path / "m.csv", fps=25, problems=problems)
    assert [p.place for p in problems] == ["line 3", "line 4", "line 5"]
    assert track.score[:, 0].tolist() == [1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ([], "no pose to write"),
        ([one("coco17")], "a table of MediaPipe holds the layout mediapipe33, not coco17"),
        ([one(size=(0, 0))], "MediaPipe gives shares of the picture; say its size in pixels with --size"),
        ([one(axes=3)], "a table of MediaPipe holds positions in pixels, these poses are 3-D"),
        ([one(), one()], "two tracks of the same person; number the persons"),
        ([one(), one()[:1]], "holds the same frames for everybody, these persons have different ones"),
        ([one(), one("coco17")], "holds one layout, these poses have several"),
    ],
)
def test_what_the_table_cannot_hold(tracks: list[PoseTrack], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        write_mediapipe_csv(tmp_path / "m.csv", tracks)
    far = PoseTrack(np.full((1, 33, 2), 99.0), np.ones((1, 33)), 25, (1, 1), SKELETON)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"a point lies 10 pictures away; the size \(1, 1\) cannot be right"):
        write_mediapipe_csv(tmp_path / "m.csv", [far])


def test_mutated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    track = PoseTrack(rng.uniform(0, 640, (2, 33, 2)), rng.uniform(0, 1, (2, 33)), 25, SIZE, SKELETON)  # type: ignore[arg-type]
    path = tmp_path / "m.csv"
    write_mediapipe_csv(path, [track])
    hold_the_contract(lambda p: read_mediapipe_csv(p, fps=25, size=SIZE), path.read_bytes(), path)
