"""What the commands write and say when all is well."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.core.durable import sha256
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.formats.pose_npz import read_npz
from microgesture.formats.timeline_csv import read_csv, write_csv
from microgesture.formats.timeline_json import read_timeline_json, write_timeline_json
from microgesture.formats.video import VideoWriter


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def facts(path: Path) -> dict[str, object]:
    result = run("info", path, "--json")
    assert result.exit_code == 0, result.stderr
    known: dict[str, object] = json.loads(result.stdout)
    return known


def test_simulated_clips_are_labelled_and_repeatable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        result = run("simulate", "--like", "smg", "--clips", "20", "--seed", "3", "--out", tmp_path / name)
        assert (result.exit_code, result.stdout) == (0, f"{tmp_path / name}\n")
    with np.load(tmp_path / "a" / "clips.npz") as clips:
        assert clips["xy"].shape[0] == clips["score"].shape[0] == 20
        assert clips["xy"].shape[2] == len(clips["joints"])
        assert set(clips["label"].tolist()) == set(range(len(SMG)))  # each class once before any comes twice
    assert sha256(tmp_path / "a" / "clips.npz") == sha256(tmp_path / "b" / "clips.npz")


def test_simulated_recording_comes_with_its_truth(tmp_path: Path) -> None:
    result = run("simulate", "--minutes", "1", "--seed", "7", "--out", tmp_path, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    (track,) = read_npz(tmp_path / "recording.npz")
    truth = read_timeline_json(tmp_path / "truth.json")
    assert track.duration == pytest.approx(60, abs=0.1)
    assert truth.taxonomy == IMIGUE
    assert len(truth) > 0
    assert len(read_csv(tmp_path / "truth.csv", IMIGUE)) == len(truth)
    states = (tmp_path / "states.csv").read_text().splitlines()
    assert states[0] == "start,end,state"
    assert {line.split(",")[2] for line in states[1:]} <= {"calm", "tense"}


def test_preview_draws_a_sheet_per_class(tmp_path: Path) -> None:
    assert run("simulate", "--like", "smg", "--clips", "1", "--preview", "--out", tmp_path).exit_code == 0
    sheets = sorted(p.name for p in (tmp_path / "preview").iterdir())
    assert len(sheets) == len(SMG)
    assert sheets[2] == "02-folding-arms.png"


def test_info_knows_a_video(tmp_path: Path) -> None:
    path = tmp_path / "grey.mp4"
    with VideoWriter(path, 25.0, (64, 48)) as video:
        for _ in range(10):
            video.write(np.full((48, 64, 3), 128, np.uint8))
    known = facts(path)
    assert (known["kind"], known["size"], known["frames"], known["fps"]) == ("video", [64, 48], 10, 25.0)


def test_info_knows_poses(tmp_path: Path) -> None:
    run("simulate", "--minutes", "0.1", "--out", tmp_path)
    known = facts(tmp_path / "recording.npz")
    assert (known["kind"], known["layout"], known["persons"], known["duration"]) == ("poses", "canonical", 1, 6.0)


def test_info_knows_clips_and_what_only_looks_like_them(tmp_path: Path) -> None:
    run("simulate", "--like", "smg", "--clips", "20", "--out", tmp_path)
    known = facts(tmp_path / "clips.npz")
    assert (known["kind"], known["taxonomy"], known["clips"], known["frames"]) == ("clips", "smg", 20, 48)
    assert (known["fps"], known["joints"], known["classes"]) == (15.0, 47, 17)
    other = tmp_path / "other.npz"
    np.savez(other, label=np.arange(3))
    result = run("info", other)
    assert (result.exit_code, result.stderr) == (
        65,
        f"microgesture: {other}: its arrays are not those of clips; expected xy (N, T, V, 2), label, subject, fps and"
        " taxonomy. Simulate the clips again\n",
    )


def test_info_knows_timelines(tmp_path: Path) -> None:
    line = Timeline((Segment(1.0, 2.0, 2), Segment(3.0, 4.5, 5)), SMG, 10.0)
    write_csv(line, tmp_path / "line.csv")
    write_timeline_json(line, tmp_path / "line.json")
    known = facts(tmp_path / "line.json")
    assert (known["kind"], known["taxonomy"], known["segments"], known["duration"]) == ("timeline", "smg", 2, 10.0)
    result = run("info", tmp_path / "line.csv", "--taxonomy", "smg")
    assert "labels     Folding arms, Touching or scratching neck\n" in result.stdout


def test_info_refuses_a_folder_it_does_not_know(tmp_path: Path) -> None:
    result = run("info", tmp_path)
    assert result.exit_code == 65
    assert result.stderr == (
        f"microgesture: {tmp_path}: this folder is none of ours; expected a model, an analysis or poses."
        " Name the folder that holds model.safetensors, analysis.json or index.json\n"
    )


def test_doctor_names_the_remedy_for_every_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microgesture.cli.doctor.find_spec", lambda name: None)
    known = json.loads(run("doctor", "--json").stdout)
    assert {"pose", "web", "mllm", "emg", "export", "ray"} == set(known["extras"])
    for extra, state in known["extras"].items():
        assert state["present"] is False
        assert state["remedy"] == f"pip install 'microgesture[{extra}]'"
    assert (
        "extra    pose (poses from video): missing mediapipe: pip install 'microgesture[pose]'" in run("doctor").stdout
    )


def test_selftest_says_exactly_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microgesture.cli.doctor._analysis", lambda folder: "one found")
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    result = run("doctor", "--selftest")
    lines = [line for line in result.stdout.splitlines() if line.startswith("selftest")]
    assert lines == [
        "selftest analysis: ok, one found",
        "selftest video: finding people in a video needs the extra 'pose': pip install 'microgesture[pose]'",
    ]
    assert (result.exit_code, result.stderr) == (69, "microgesture: the self-test failed at: video\n")


def test_selftest_that_fails_otherwise_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> str:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("microgesture.cli.doctor._analysis", broken)
    monkeypatch.setattr("microgesture.cli.doctor._video", lambda folder: "5 frames")
    result = run("doctor", "--selftest", "--json")
    assert json.loads(result.stdout)["selftest"] == [
        {"step": "analysis", "ok": False, "detail": "RuntimeError: no such thing"},
        {"step": "video", "ok": True, "detail": "ok, 5 frames"},
    ]
    assert (result.exit_code, result.stderr) == (1, "microgesture: the self-test failed at: analysis\n")


def test_version_is_one_line() -> None:
    assert run("version").stdout == "0.1.0\n"


@pytest.fixture
def recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recogniser that has seen two people, the second one badly."""
    top = [{"label": "Folding arms", "id": 2, "score": 0.9}, {"label": "Rubbing eyes", "id": 1, "score": 0.05}]
    found = {
        "input": "clip.gif",
        "taxonomy": "smg",
        "people": [
            {"person": 0, "top": top, "outcome": "recognised", "frames": 48, "valid": 47, "warnings": []},
            {
                "person": 1,
                "top": top[1:],
                "outcome": "do not know",
                "frames": 48,
                "valid": 9,
                "warnings": ["seen from the side"],
            },
        ],
    }
    monkeypatch.setattr("microgesture.analysis.recognise.recognise", lambda *_, **__: found)


def test_recognize_prints_the_agreed_json(recognised: None) -> None:
    result = run("recognize", "clip.gif", "--taxonomy", "smg", "--top", "2", "--json")
    assert json.loads(result.stdout) == {
        "input": "clip.gif",
        "taxonomy": "smg",
        "people": [
            {
                "top": [
                    {"label": "Folding arms", "id": 2, "score": 0.9},
                    {"label": "Rubbing eyes", "id": 1, "score": 0.05},
                ],
                "frames": 48,
                "valid": 47,
            },
            {"top": [{"label": "Rubbing eyes", "id": 1, "score": 0.05}], "frames": 48, "valid": 9},
        ],
    }
    assert result.stderr == ("person 2: seen from the side\nperson 2: do not know; the ranking is not to be trusted\n")


def test_recognize_prints_a_table(recognised: None) -> None:
    lines = run("recognize", "clip.gif", "--taxonomy", "smg", "--quiet").stdout.splitlines()
    assert lines[:2] == ["person\trank\tscore\tid\tlabel", "1\t1\t0.900\t2\tFolding arms"]
    assert len(lines) == 4


def test_the_main_job_with_the_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("simulate", "--minutes", "0.2", "--seed", "7", "--out", "recording").exit_code == 0
    result = run("analyze", "recording/recording.npz", "--state", "recording/states.csv", "--quiet")
    assert (result.exit_code, result.stdout) == (0, "recording-microgesture/report.html\n"), result.stderr
    written = {path.name for path in Path("recording-microgesture").iterdir()}
    lines = {"timeline.csv", "timeline.json", "timeline.eaf", "timeline.vtt", "boris.csv"}
    assert written >= {"report.html", "skeleton.mp4", "analysis.json", *lines}
    known = facts(Path("recording-microgesture"))
    assert (known["kind"], known["source"], known["duration"]) == ("analysis", "recording.npz", 12.0)
    again = run("analyze", "recording/recording.npz", "--json", "--quiet")
    assert json.loads(again.stdout)["segments"] == known["segments"]
    ranked = json.loads(run("recognize", "recording/recording.npz", "--top", "32", "--json").stdout)
    assert ranked["taxonomy"] == "imigue"
    assert [len(person["top"]) for person in ranked["people"]] == [32]


def test_selftest_is_green(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="reading videos needs the extra 'pose'")
    result = run("doctor", "--selftest")
    assert result.exit_code == 0, result.stdout
    assert result.stderr.endswith("the self-test is green\n")
