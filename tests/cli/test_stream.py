from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.core.track import PoseTrack
from microgesture.formats.pose_npz import write_npz
from microgesture.simulation.recording import simulate_recording


@cache
def recording() -> PoseTrack:
    return simulate_recording("imigue", 0.2, 3).track


def lines(track: PoseTrack) -> list[str]:
    rows = zip(track.times.tolist(), track.xy.tolist(), track.score.tolist(), strict=True)
    return [json.dumps({"time": t, "xy": xy, "score": score}) for t, xy, score in rows]


def run(*arguments: str | Path, given: str = "") -> Result:
    return CliRunner().invoke(app, ["stream", *map(str, arguments)], input=given)


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_stdin_and_file_agree(tmp_path: Path) -> None:
    write_npz(tmp_path / "poses.npz", [recording()])
    piped = run("-", given="\n".join(lines(recording())))
    assert piped.exit_code == 0, piped.stderr
    filed = run(tmp_path / "poses.npz")
    assert filed.exit_code == 0, filed.stderr
    found = events(piped)
    assert found == events(filed)
    assert found[0]["event"] == "found"
    gestures = [e for e in found if e["event"] == "gesture"]
    assert gestures
    assert all(e["version"] == 1 and e["start"] < e["end"] and 0 < e["score"] <= 1 for e in gestures)
    said = piped.stderr.splitlines()
    assert said[0] == f"{len(recording())} frames, {len(gestures)} gesture{'s' * (len(gestures) != 1)}"
    assert said[1] == "a gesture is reported at most 3.51 s after its end"
    assert said[2].startswith("ms per frame: median ")
    assert "99 %" in said[2]


def test_bad_lines_are_events_and_the_stream_goes_on() -> None:
    given = lines(recording())
    clean = events(run("-", given="\n".join(given)))
    bad = json.dumps({"time": 3.0, "xy": [[0, 0]] * 5})
    broken = [*given[:40], '{"time": NaN}', bad, given[3], *given[40:], given[-1][:50]]
    result = run("-", given="\n".join(broken))
    assert result.exit_code == 0, result.stderr
    notes = [e["note"] for e in events(result) if e["event"] == "bad frame"]
    assert len(notes) == 4
    assert "<stdin>, line 41: the number NaN" in notes[0]
    assert "<stdin>, line 42: xy holds 5 joints; expected 47" in notes[1]
    assert "time 0.200 s is not after 2.600 s" in notes[2]
    assert f"line {len(broken)}: not valid JSON" in notes[3]
    assert [e for e in events(result) if e["event"] != "bad frame"] == clean
    assert ", 4 bad frames" in result.stderr


def test_ten_seconds_without_a_frame_and_a_file_that_ends_in_the_middle(tmp_path: Path) -> None:
    given = [json.loads(line) for line in lines(recording())]
    shift = given[-1]["time"] + 10
    late = [frame | {"time": frame["time"] + shift} for frame in given]
    text = "\n".join(map(json.dumps, given + late))
    (tmp_path / "poses.jsonl").write_text(text[:-40])
    result = run(tmp_path / "poses.jsonl")
    assert result.exit_code == 0, result.stderr
    found = events(result)
    (gap,) = (e for e in found if e["event"] == "gap")
    assert (gap["start"], gap["end"]) == pytest.approx((given[-1]["time"], shift), abs=1e-3)
    # each stretch as if the other were not; the second one lacks the line that was cut
    alone = events(run("-", given="\n".join(map(json.dumps, given))))
    cut = events(run("-", given="\n".join(map(json.dumps, late[:-1]))))
    parts = [[e for e in part if e["event"] == "gesture"] for part in (found, alone, cut)]
    assert parts[1]
    keys = ("start", "end", "id", "score")
    assert [[e[k] for k in keys] for e in parts[0]] == [[e[k] for k in keys] for e in parts[1] + parts[2]]
    (bad,) = (e for e in found if e["event"] == "bad frame")
    assert f"poses.jsonl, line {2 * len(given)}: not valid JSON" in bad["note"]


def test_several_persons() -> None:
    given = [json.loads(line) | {"person": p} for line in lines(recording())[:60] for p in (0, 2)]
    result = run("-", "--taxonomy", "smg", given="\n".join(map(json.dumps, given)))
    assert result.exit_code == 0, result.stderr
    assert {e["person"] for e in events(result)} == {0, 2}
    assert "person 2: ms per frame" in result.stderr


def test_nothing_comes() -> None:
    result = run("-")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no frame came\n"
    assert "1 could not be read" in run("-", given="x").stderr


def test_refusals(tmp_path: Path) -> None:
    for arguments, code, words in (
        ((tmp_path / "none.mp4",), 66, "does not exist"),
        (("-", "--model", "nothing"), 66, "no model there"),
        (("-", "--layout", "mediapip"), 2, "mediapip"),
        (("-", "--taxonomy", "none"), 2, "none"),
        (("-", "--hop", "0"), 2, "hop is 0 s; it must be above 0"),
        (("-", "--lag", "-1"), 2, "lag is -1 s"),
        (("-", "--causal"), 2, "leave out causal"),
    ):
        result = run(*arguments)
        assert result.exit_code == code, result.stderr
        assert words in result.stderr
    text = run("--help").stdout
    assert "rtsp://" in text
    assert "microgesture stream" in text


def started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "microgesture", "stream", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # tests that a shell started in the background ignore Ctrl-C, and so would their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_ctrl_c_writes_what_is_left() -> None:
    whole = events(run("-", given="\n".join(lines(recording()))))
    with started() as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write(("\n".join(lines(recording())) + "\nend\n").encode())
        child.stdin.flush()
        told = []
        while not told or told[-1]["event"] != "bad frame":  # flushed at once, though the input goes on
            told.append(json.loads(child.stdout.readline()))
        child.send_signal(signal.SIGINT)
        rest = child.stdout.read().decode().splitlines()
        assert child.wait(20) == 130
        said = child.stderr.read().decode()
        assert "ms per frame" in said
        assert "Traceback" not in said
    assert [*told[:-1], *map(json.loads, rest)] == whole


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_leaves() -> None:
    with started() as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write((lines(recording())[0] + "\n").encode())
        child.stdin.flush()
        child.stdout.readline()
        child.stdout.close()
        late = json.loads(lines(recording())[1])
        for shift in (10, 20, 30):
            child.stdin.write((json.dumps(late | {"time": float(shift)}) + "\n").encode())
        child.stdin.close()
        assert child.wait(20) == 0
        assert child.stderr.read() == b""
