"""`microgesture inspect`: what goes where, and what is said of stores that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.datasets.made import made, recorded
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.datasets.prepare import Cut, Finding, StateCut
from microgesture.datasets.store import Store


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    nod = recorded("b", "val", cuts=[Cut("b0", 1, 0, 20)], subject=4)
    nod.score[0, :10, 3] = 0
    return made(
        tmp_path,
        [
            recorded("a", "train", cuts=[Cut("a0", 0, 0, 10), Cut("a1", 0, 5, 20)], states=[StateCut("a", 0, 0, 30)]),
            nod,
        ],
        states=("calm",),
        expected={"train": {"clips": 5}},
        expected_classes={"train": (4, 1, 0)},
        findings=[Finding("missing", "no labels", "x.csv")],
    )


def test_tables_to_stdout_talk_to_stderr_and_a_page(store: Store) -> None:
    result = run("inspect", store.path)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "split\trecordings\tofficial\tclips\tof official\twithheld\thours\tpeople\tfloor\tmost frequent class",
        "train\t1\t?\t2\t5\t0\t0.00\t?\t100.0%\twave",
        "val\t1\t?\t1\t?\t0\t0.00\t1\t100.0%\tnod",
        "id\tclass\ttrain / official\tval / official\tmedian s\t5 %\t95 %",
        "0\twave\t2 / 4\t0 / ?\t1.25\t1.02\t1.48",
        "1\tnod\t0 / 1\t1 / ?\t2.00\t2.00\t2.00",
        "2\trest\t0 / 0\t0 / ?\t–\t–\t–",
        "split\tstate\tstretches\tminutes",
        "train\tcalm\t1\t0.1",
        "joint\tmissing",
        "nose\t12.5%",
        "neck\t0.0%",
        "r_wrist\t0.0%",
        "l_wrist\t0.0%",
        str(store.path / "inspect.html"),
    ]
    for line in (
        "joints: from 80 of 80 frames; nobody is seen in 0.0% of them",
        "frames per second (recordings): 10 (2)",
        "50.0% of all frames lie in a clip; 1 clips overlap an earlier one",
        "long tail (train): 0 classes with many clips, 0 medium, 3 few, 2 of them without any; imbalance factor 1",
        "train: 2 clips, official 5: 1 x missing: no labels",
        "missing: no labels (1): x.csv",
    ):
        assert line in result.stderr.splitlines()
    assert "simulated" not in result.stderr
    assert (store.path / "inspect.html").read_text("utf-8").startswith("<!doctype html>")


def test_json_is_all_there_is_on_stdout(store: Store, tmp_path: Path) -> None:
    result = run("inspect", store.path, "--out", tmp_path / "page.html", "--json", "--quiet", "--verify")
    assert (result.exit_code, result.stderr) == (0, "")
    numbers = json.loads(result.stdout)
    assert (numbers["page"], numbers["verified"]) == (str(tmp_path / "page.html"), True)
    assert numbers["splits"][0]["counts"] == [2, 0, 0]
    assert numbers["classes"][1]["seconds"]["median"] == 2.0
    assert numbers["classes"][2]["seconds"] is None
    assert not (store.path / "inspect.html").exists()


def test_verify_finds_a_flipped_bit_and_says_how_far_it_is(store: Store) -> None:
    assert "verifying: 100 %" in run("inspect", store.path, "--verify").stderr
    frames = store.path / "frames.bin"
    content = bytearray(frames.read_bytes())
    content[100] ^= 1
    frames.write_bytes(content)
    assert run("inspect", store.path).exit_code == 0  # quick looks do not read every byte
    result = run("inspect", store.path, "--verify", "--quiet")
    message = (
        f"microgesture: {frames}: is damaged: its SHA-256 does not fit. Prepare the data set again, with --fresh\n"
    )
    assert (result.exit_code, result.stderr) == (65, message)


def test_a_folder_that_is_no_store(tmp_path: Path) -> None:
    result = run("inspect", tmp_path, "--quiet")
    assert (result.exit_code, result.stderr) == (
        66,
        f"microgesture: {tmp_path}: holds no prepared data set (no store.json)\n",
    )


def test_the_page_cannot_be_where_there_is_no_folder(store: Store, tmp_path: Path) -> None:
    result = run("inspect", store.path, "--out", tmp_path / "no" / "page.html", "--quiet")
    assert (result.exit_code, result.stderr) == (
        73,
        f"microgesture: {tmp_path / 'no' / 'page.html'}: cannot be created (No such file or directory)\n",
    )
