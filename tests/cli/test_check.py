"""`microgesture check`: every refused row, a summary by reason, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import SMG
from microgesture.core.track import PoseTrack
from microgesture.formats.pose_npz import write_npz
from microgesture.formats.poses import write_poses
from microgesture.formats.pyskl import PysklClip, write_pyskl
from microgesture.formats.timelines import write_timeline

LINE = Timeline((Segment(0.5, 1.5, 2, 0.75), Segment(1, 3, 5, person=1)), SMG, 60.0)
HEAD = "start_s,end_s,label\n"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def track(layout: str = "mediapipe33") -> PoseTrack:
    joints = len(SKELETONS[layout])
    return PoseTrack(np.full((2, joints, 2), 50.0), np.ones((2, joints)), 25, (640, 480), SKELETONS[layout])  # type: ignore[arg-type]


def test_sound_timelines_of_all_kinds() -> None:
    names = ["t.csv", "boris.csv", "t.tsv", "t.json", "t.boris", "t.eaf", "t.vtt"]
    for name in names:
        if name == "t.json":  # the description that .tsv left there
            Path(name).unlink()
        write_timeline(LINE, name)
    result = run(*names, "--taxonomy", "smg")
    assert (result.exit_code, result.stderr) == (0, "")
    kinds = ["csv", "boris-csv", "events", "json", "boris", "eaf", "vtt"]
    assert result.stdout.splitlines() == [
        f"{name}: timeline ({kind}), 2 segments, sound" for name, kind in zip(names, kinds, strict=True)
    ]


def test_raters_are_named() -> None:
    write_timeline({"anna": LINE, "李明": LINE}, "t.eaf")
    assert run("t.eaf", "-t", "smg").stdout == "t.eaf: timeline (eaf), 4 segments, raters anna, 李明, sound\n"


def test_json_states_its_own_label_space() -> None:
    write_timeline(LINE, "t.json")
    assert run("t.json").exit_code == 0
    result = run("t.json", "--taxonomy", "imigue")
    assert result.exit_code == 1
    assert "t.json, taxonomy: the label space is 'smg'; expected 'imigue'" in result.stdout


def test_sound_poses_of_all_kinds() -> None:
    write_npz("p.npz", [track()])
    for kind, name in (("mediapipe", "m.csv"), ("deeplabcut", "d.csv"), ("pyskl", "p.pkl")):
        write_poses([track()], name, kind=kind)
    write_poses([track("openpose25")], "frames")
    write_pyskl("many.pkl", [PysklClip(name, 1, (track(),)) for name in "abc"], {})
    files = ["p.npz", "m.csv", "d.csv", "frames", "p.pkl", "many.pkl"]
    result = run(*files, "--size", "640x480", "--layout", "mediapipe33")
    assert result.exit_code == 0, result.stdout
    assert result.stdout.splitlines() == [
        "p.npz: poses (npz), 1 person, 2 frames, sound",
        "m.csv: poses (mediapipe), 1 person, 2 frames, sound",
        "d.csv: poses (deeplabcut), 1 person, 2 frames, sound",
        "frames: poses (openpose), 1 person, 2 frames, sound",
        "p.pkl: poses (pyskl), 1 clip, sound",
        "many.pkl: poses (pyskl), 3 clips, sound",
    ]


def test_every_refused_row_is_named_with_line_and_reason() -> None:
    Path("t.csv").write_text(
        HEAD + "0,1,folding arms\n1,x,folding arms\n0,1\n3,4,waving\n5,6,jumping\n9,8,folding arms\n"
    )
    result = run("t.csv", "--taxonomy", "smg")
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        "t.csv, line 3: end_s is 'x'; expected a finite number such as 12.345. Correct the value or remove the row",
        "t.csv, line 4: 2 cells; expected 3 as in the header. Quote cells that hold the separator",
    ]
    assert {line.split(":")[0] for line in lines[:5]} == {f"t.csv, line {n}" for n in (3, 4, 5, 6, 7)}
    assert lines[5] == "t.csv: timeline (csv), 1 segment, 5 refused"
    assert set(lines[6:]) == {
        "       2 x taxonomy '...' has no label '...'",
        "       1 x end_s is '...'",
        "       1 x # cells",
        "       1 x the segment runs from # s to # s",
    }
    assert lines[6] == "       2 x taxonomy '...' has no label '...'"
    assert (result.exit_code, result.stderr) == (1, "microgesture: 5 refused in 1 of 1 file\n")


def test_fifty_rows_are_printed_unless_all_are_wanted() -> None:
    Path("t.csv").write_text(HEAD + "0,1,waving\n" * 60)
    lines = run("t.csv").stdout.splitlines()
    assert lines[49].startswith("t.csv, line 51: taxonomy 'imigue' has no label 'waving'")
    assert lines[50] == "... and 10 more; --all shows them"
    assert lines[52] == "      60 x taxonomy '...' has no label '...'"
    assert run("t.csv", "--all").stdout.splitlines()[59].startswith("t.csv, line 61")


def test_json_for_machines() -> None:
    Path("t.csv").write_text(HEAD + "0,1,waving\n2,3,folding arms\n")
    write_timeline(LINE, "t.json")
    result = run("t.csv", "t.json", "--json")
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)["files"]
    assert (first["path"], first["kind"], first["segments"]) == ("t.csv", "timeline (csv)", 1)
    (row,) = first["refused"]
    assert (row["place"], row["remedy"]) == ("line 2", "use the class names of 'imigue' or name the right taxonomy")
    assert first["reasons"] == {"taxonomy '...' has no label '...'": 1}
    assert second["refused"] == []


def test_files_that_are_broken_as_a_whole() -> None:
    Path("t.eaf").write_text("<a>")
    Path("t.csv").write_text("")
    Path("t.txt").write_text("x")
    result = run("t.eaf", "t.csv", "t.txt")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("t.eaf, line 1: not valid XML")
    assert "t.csv: the file is empty (0 bytes). Copy or record it again" in lines
    assert "t.csv: unknown, 1 refused" in lines
    assert any(line.startswith("t.txt: neither a timeline nor a pose file. Name a timeline (.csv") for line in lines)
    assert result.stderr == "microgesture: 3 refused in 3 of 3 files\n"


def test_what_is_not_there_ends_with_66() -> None:
    Path("t.csv").write_text(HEAD)
    result = run("t.csv", "gone.eaf")
    assert (result.exit_code, result.stdout, result.stderr) == (66, "", "microgesture: gone.eaf: does not exist\n")


def test_what_only_the_user_knows_is_asked_for() -> None:
    write_poses([track()], "m.csv", kind="mediapipe")
    result = run("m.csv")
    assert result.exit_code == 1
    assert "Give it with --size, such as 1280x720" in result.stdout
    Path("b.boris").write_text(
        json.dumps(
            {
                "behaviors_conf": {"0": {"type": "State event", "code": "folding arms"}},
                "observations": {"a": {"events": [["NA", "", "folding arms", "", "", f] for f in (30, 60)]}},
            }
        )
    )
    assert "the event is at frame 30, and no frame rate is known" in run("b.boris").stdout
    assert run("b.boris", "--fps", "30000/1001").exit_code == 0
    assert run("b.boris", "--fps", "fast").stderr == (
        "microgesture: frame rate 'fast'; expected 0.1 to 1000 per second, such as 25, 29.97 or 30000/1001\n"
    )
    assert run("b.boris", "--size", "big").exit_code == 2
    assert run("b.boris", "--fps", "0").exit_code == 2
