from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.learning.test_importing import made
from tests.systems.golden import numbered
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.learning.checkpoint import from_pretrained


def run(*arguments: str | Path) -> Result:
    short = ("--set", "growth=1,2", "--set", "strides=1,2")
    return CliRunner().invoke(app, ["import-checkpoint", *map(str, arguments), *short])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    _, state = made("stgcnpp")
    torch.save({"state_dict": state, "optimizer": {"momentum": torch.zeros(9)}}, tmp_path / "best.pth")
    return tmp_path / "best.pth"


def test_a_report_and_a_folder(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    result = run(file, "--system", "stgcnpp", "--out", out, "--frames", "60", "--fps", "28")
    assert result.exit_code == 0, result.stderr
    header, *rows, folder = [line.split("\t") for line in result.stdout.splitlines()]
    assert header == ["argument", "value", "known from"]
    assert folder == [str(out)]
    told = {name: (value, known) for name, value, known in rows}
    assert told["frames"] == ("60", "given")
    assert told["persons"] == ("1", "assumed: the file does not tell")
    assert told["width"][0] == "12"
    assert told["width"][1].startswith("state_dict.backbone.gcn.0.")
    parameters = from_pretrained(out).config["parameters"]
    assert f"{parameters:,} of {parameters:,} parameters (100.0 %)" in result.stderr
    assert "not used: 1 tensors\n  optimizer.momentum (9,): lies beside the weights" in result.stderr
    assert "nothing is known of the licence" in result.stderr
    assert from_pretrained(out).facts.fps == 28


def test_json(file: Path, tmp_path: Path) -> None:
    result = run(file, "--system", "stgcnpp", "--out", tmp_path / "m", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["arguments"]["taxonomy"] == {
        "value": "imigue",
        "known": "tensor",
        "from": "state_dict.cls_head.fc_cls.weight (32, 24)",
    }
    assert record["prefix"] == "state_dict."
    assert record["unused"] == [
        {"name": "optimizer.momentum", "shape": [9], "expected": None, "why": "lies beside the weights"}
    ]


def test_partial_says_what_starts_afresh(tmp_path: Path) -> None:
    _, state = made("stgcnpp", taxonomy=numbered(60))
    torch.save(state, tmp_path / "a.pth")
    common = (tmp_path / "a.pth", "--system", "stgcnpp", "--out", tmp_path / "m", "--taxonomy", "imigue")
    refused = run(*common)
    assert (refused.exit_code, refused.stdout) == (65, "")
    assert "makes 60 classes; expected 32 of 'imigue'" in refused.stderr
    result = run(*common, "--partial")
    assert result.exit_code == 0, result.stderr
    assert "note: 2 tensors start as they were initialised" in result.stderr
    line = "  cls_head.fc_cls.bias (60,): has another shape, expected (32,)"
    assert (
        f"started afresh: 2 tensors\n  cls_head.fc_cls.weight (60, 24): has another shape, expected (32, 24)\n{line}"
        in (result.stderr)
    )


def test_usage_errors(file: Path, tmp_path: Path) -> None:
    for arguments, code, words in (
        (("--set", "width"), 2, "--set width: expected NAME=VALUE"),
        (("--set", "width=[1"), 2, "--set width=[1: the value cannot be read"),
        (("--set", "depth=3"), 2, "STGCNpp has no argument 'depth'"),
        (("--taxonomy", "imigu"), 2, "imigu"),
        (("--skeleton", "coco"), 2, "no pose layout 'coco'; did you mean coco17"),
        (("--recipe", str(tmp_path / "none.yaml")), 66, "none.yaml: does not exist"),
    ):
        result = run(file, "--system", "stgcnpp", "--out", tmp_path / "m", *arguments)
        assert (result.exit_code, result.stdout) == (code, ""), result.stderr
        assert words in result.stderr
    assert run(tmp_path / "no.pth", "--system", "stgcnpp", "--out", tmp_path / "m").exit_code == 66
