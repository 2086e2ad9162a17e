"""`microgesture export`: the path on stdout, what the file reads on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG
from microgesture.learning.checkpoint import Facts, save_pretrained
from microgesture.systems.stgcnpp import STGCNpp

FACTS = Facts(SKELETONS["imigue22"], (SMG,), 16, 1, 3, 28.0)
SMALL = {"width": 6, "growth": [1], "strides": [1]}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save_pretrained(tmp_path / "small", STGCNpp(**FACTS.arguments(STGCNpp), **SMALL), FACTS, SMALL)


def test_a_file_here_with_the_model_s_name(model: Path) -> None:
    result = run(model, "--format", "torch")
    assert (result.exit_code, result.stdout) == (0, "small.pt2\n"), result.stderr
    assert result.stderr.startswith("small.pt2: any number of clips, any length; largest difference to the model ")
    assert Path("small.pt2").stat().st_size > 1000
    assert run(model, "--format", "torch", "--quiet").stderr == ""


def test_json(model: Path) -> None:
    result = run(model, "--out", "a.pt2", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    about = json.loads(result.stdout)
    assert about["path"] == "a.pt2"
    assert (about["format"], about["precision"], about["batch"], about["frames"]) == ("torch", "f32", None, None)
    assert about["parity_error"] <= 1e-6
    assert about["metadata"]["taxonomy"] == "smg"


def test_bfloat16(model: Path) -> None:
    result = run(model, "--format", "torch", "--precision", "bf16", "--json")
    assert result.exit_code == 0, result.stderr
    about = json.loads(result.stdout)
    assert (about["precision"], about["metadata"]["precision"]) == ("bf16", "bf16")
    assert 0 < about["parity_error"] < 0.05


def test_eight_bits_without_clips(model: Path) -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason=f"{module} is not installed; pip install 'microgesture[export]'")
    result = run(model, "--precision", "int8")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no recipe.yaml beside the model" in " ".join(result.stderr.split())
    assert not Path("small.onnx").exists()


def test_onnx_is_the_default(model: Path) -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason=f"{module} is not installed; pip install 'microgesture[export]'")
    result = run(model)
    assert (result.exit_code, result.stdout) == (0, "small.onnx\n"), result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gone", "--format", "torch"], 66, "gone: no model there"),
        (["small", "--precision", "bf16"], 2, "precision bf16 is for format torch, not for onnx"),
        (["small", "--format", "tflite"], 2, "no format 'tflite'; choose onnx, openvino, torch"),
        (["small", "--format", "torch", "--out", "a.onnx"], 2, "a.onnx: a file of format torch ends with .pt2"),
        (["small", "--out", "none/a.pt2"], 73, "cannot be created"),
    ],
)
def test_refusals(model: Path, arguments: list[str], code: int, message: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
