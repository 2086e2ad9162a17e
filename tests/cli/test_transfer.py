from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.learning.test_transfer import SMG_ALONE, TWIN, written
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.learning import train


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["transfer", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    return train(written(folder, TWIN.replace("epochs: 40", "epochs: 2"), "imigue"), [], folder / "run")


def test_a_table_with_floor_and_interval(model: Path, tmp_path: Path) -> None:
    smg = written(tmp_path, SMG_ALONE, "smg")
    result = run(model, "--to", smg, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    header, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert header == ["cell", "clips", "top1", "low", "high", "majority_floor", "macro_f1"]
    assert [row[:2] for row in rows] == [["with illustrative", "18"], ["without illustrative", "12"]]
    assert all(float(row[3]) <= float(row[2]) <= float(row[4]) for row in rows)
    assert [row[5] for row in rows] == ["0.3333", "0.5000"]
    assert (tmp_path / "out" / "zero-shot.json").is_file()


def test_json_seeds_and_shots(model: Path, tmp_path: Path) -> None:
    smg = written(tmp_path, SMG_ALONE, "smg")
    options = ("--protocol", "k-shot", "--shots", "1,5", "--seeds", "3", "--out", tmp_path / "out")
    result = run(model, "training.epochs=3", "--to", smg, *options, "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert list(record["cells"]) == ["shots=1 seed=3", "shots=5 seed=3"]
    again = run(model, "training.epochs=3", "--to", smg, *options)
    assert "shots=5: top-1" in again.stderr
    assert "over 1 seeds" in again.stderr


def test_usage_errors(model: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (("--protocol", "zero"), "no protocol 'zero'; choose zero-shot, probe, knn, k-shot, fine-tune, joint"),
        (("--shots", "one"), "--shots one: expected whole numbers with commas"),
        (("--seeds", "1;2"), "--seeds 1;2: expected whole numbers with commas"),
        ((), "zero-shot needs the recipe that names the target data: --to"),
    ):
        result = run(model, *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr
    missing = run(tmp_path / "none", "--to", written(tmp_path, SMG_ALONE, "smg"))
    assert missing.exit_code == 66
    assert "no model there" in missing.stderr


def test_the_protocols_offered_are_those_there_are() -> None:
    from microgesture.cli import transfer as command
    from microgesture.learning import transfer as protocols

    assert command.__name__ == "microgesture.cli.transfer"
    assert command.PROTOCOLS == protocols.PROTOCOLS
