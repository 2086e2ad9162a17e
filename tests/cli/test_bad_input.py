"""What a user is told of input that cannot be used, word by word, and that nothing finished is lost over it."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.analysis.fakes import HandUp, invented_track
from typer.testing import CliRunner, Result

from microgesture.analysis.recogniser import Recogniser
from microgesture.cli.app import app
from microgesture.core.durable import sha256
from microgesture.formats.pose_npz import write_npz
from microgesture.formats.video import VideoWriter

NO_VIDEO = (
    "cannot be read as a video (Invalid data found when processing input)."
    " Open it in a player; if it plays there, convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"
)
AGAIN = "Copy or record it again"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def hand_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bad input is to be found before a model is asked; where one is, this one answers at once."""
    monkeypatch.setattr(Recogniser, "of", lambda model: HandUp())
    monkeypatch.chdir(tmp_path)


class Harmful:
    """Unpickled carelessly, it leaves a file behind."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, ("harmed",)


def video(path: str, frames: int = 20) -> None:
    """Noise: nobody is in it, and it does not compress to nothing."""
    random = np.random.default_rng(0)
    with VideoWriter(Path(path), 25.0, (64, 48)) as out:
        for _ in range(frames):
            out.write(random.integers(0, 255, (48, 64, 3), np.uint8))


def make(kind: str) -> None:
    """Write the file `kind` into the current folder."""
    path = Path(kind)
    frame = [str(v) for v in np.tile([100.0, 100.0, 0.9], 25)]
    if kind.startswith("empty"):
        path.touch()
    elif kind == "text.mp4":
        path.write_text("not a video at all\n" * 50)
    elif kind == "cut.mp4":
        video("whole.mp4")
        path.write_bytes(Path("whole.mp4").read_bytes()[:-1000])
    elif kind == "nan.csv":
        path.write_text("\n".join([",".join(["0", *frame]), ",".join(["1", *frame[:33], "nan", *frame[34:]])]))
    elif kind == "column.csv":
        path.write_text(",".join(["0", *frame[:-1]]) + "\n")
    elif kind == "harmful.npz":
        np.savez(path, meta=np.array([Harmful()], dtype=object))
    else:
        path.write_bytes(pickle.dumps({"annotations": Harmful()} if kind == "harmful.pkl" else [1]))


@pytest.mark.parametrize("command", ["recognize", "analyze"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.mp4", f"empty.mp4: the file is empty (0 bytes). {AGAIN}"),
        ("empty.csv", f"empty.csv: the file is empty (0 bytes). {AGAIN}"),
        ("text.mp4", f"text.mp4, container: {NO_VIDEO}"),
        ("cut.mp4", f"cut.mp4, container: {NO_VIDEO}"),
        (
            "nan.csv",
            "nan.csv, line 2, column 35: x of r_ankle is 'nan'; expected a position in pixels."
            " A missing joint is written 0,0,0",
        ),
        (
            "column.csv",
            "column.csv, line 1: 75 columns; expected 106 (frame number, 35 points x 3) or 76 (frame number, 25 points"
            " x 3). Check that it is whole",
        ),
        (
            "harmful.npz",
            "harmful.npz, array 'meta.npy': not a sound archive (type |O is not numbers or text)."
            " Copy or write the file again",
        ),
        ("harmful.pkl", f"harmful.pkl, container: {NO_VIDEO}"),
    ],
)
def test_bad_input_is_named_and_ends_with_65(command: str, name: str, message: str) -> None:
    make(name)
    result = run(command, name, "--fps", "25")
    assert (result.exit_code, result.stdout, result.stderr) == (65, "", f"microgesture: {message}\n")
    assert not Path("harmed").exists()
    left = {path.name for path in Path().rglob("*") if path.is_file()}
    assert left <= {name, "whole.mp4", ".lock"}


def test_info_refuses_a_pickle_that_would_run_code() -> None:
    make("harmful.pkl")
    result = run("info", "harmful.pkl")
    assert (result.exit_code, result.stderr) == (
        65,
        f"microgesture: harmful.pkl, byte 43: this pickle asks for {os.name}.mkdir; expected numpy arrays, tensors and"
        " plain containers. Do not load it with other tools either unless you trust its author; ask for .npz\n",
    )
    assert not Path("harmed").exists()
    make("list.pkl")
    assert run("info", "list.pkl").stdout == "kind       clips of PYSKL\nclips      1\nsplits     \n"


def test_a_drawing_of_one_frame_gets_an_answer() -> None:
    pytest.importorskip("mediapipe", reason="reading videos needs the extra 'pose'")
    from PIL import Image

    image = np.full((240, 320, 3), 250, np.uint8)
    cv2.circle(image, (160, 60), 30, (0, 0, 0), 2)
    cv2.line(image, (160, 90), (160, 180), (0, 0, 0), 3)
    Image.fromarray(image).save("one.gif")
    result = run("recognize", "one.gif")
    assert (result.exit_code, result.stdout) == (0, "person\trank\tscore\tid\tlabel\n")
    assert result.stderr == "warning: one.gif: nobody was found in 1 frame\nperson 1: nobody found\n"


def test_a_video_without_a_person_is_analysed_and_said_so() -> None:
    pytest.importorskip("mediapipe", reason="reading videos needs the extra 'pose'")
    video("noise.mp4")
    result = run("analyze", "noise.mp4", "--no-progress")
    assert (result.exit_code, result.stdout) == (0, "noise-microgesture/report.html\n")
    assert result.stderr == "warning: person 1: nobody was found in any frame\n0 micro-gestures in 0.0 minutes\n"


def test_where_the_results_cannot_go_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz("talk.npz", [invented_track(8.0)])
    Path("taken").write_text("mine")
    result = run("analyze", "talk.npz", "--out", "taken")
    assert (result.exit_code, result.stderr) == (73, "microgesture: taken: cannot be created (File exists)\n")
    assert Path("taken").read_text() == "mine"
    # a refusal is imitated: tests may run as root, whom nobody refuses
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    for command in (["analyze", "talk.npz", "--out", "closed"], ["simulate", "--clips", "1", "--out", "closed"]):
        result = run(*command)
        assert result.exit_code == 77
        assert result.stderr == "microgesture: closed: folder is not writable; choose another with --out\n"
        assert list(Path("closed").iterdir()) == []


def test_what_may_not_be_read_is_no_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz("talk.npz", [invented_track(1.0)])

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(Path, "open", refuse)
    for command in ("recognize", "analyze", "info"):
        result = run(command, "talk.npz")
        assert (result.exit_code, result.stdout) == (77, "")
        assert result.stderr == "microgesture: talk.npz: may not be read (Permission denied)\n"


@pytest.mark.parametrize("stage", ["poses", "windows", "timeline", "report", "video"])
def test_ctrl_c_in_the_middle_keeps_what_an_earlier_run_finished(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz("talk.npz", [invented_track(24.0, fps=5.0)])
    assert run("analyze", "talk.npz", "--out", "out").exit_code == 0
    before = {path: sha256(path) for path in Path("out").rglob("*") if path.is_file()}
    assert {"timeline.csv", "report.html", "skeleton.mp4"} <= {path.name for path in before}

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    place = {
        "poses": "microgesture.analysis.analyze.open_poses",
        "windows": "tests.analysis.fakes.HandUp.windows",
        "timeline": "microgesture.formats.eaf.write_eaf",
        "report": "microgesture.report.html._pictures",
        "video": "microgesture.report.skeleton_video._captions",
    }[stage]
    with monkeypatch.context() as patched:
        patched.setattr(place, interrupted)
        result = run("analyze", "talk.npz", "--out", "out", "--fresh", "--no-progress")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "interrupted; what was finished is kept\n"
    after = {path: sha256(path) for path in Path("out").rglob("*") if path.is_file()}
    # what later runs resume from is made anew; every result is the one of before, and none is half-written
    journal = Path("out/posteriors.jsonl")
    assert {p: s for p, s in after.items() if p != journal} == {p: s for p, s in before.items() if p != journal}
    assert run("analyze", "talk.npz", "--out", "out", "--resume").exit_code == 0
    assert {path: sha256(path) for path in before} == before
