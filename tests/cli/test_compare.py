from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.core.durable import sha256
from microgesture.evaluation.records import record, write_record


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    folders = []
    for seed, top1 in enumerate((0.5, 0.52)):
        folder = tmp_path / f"seed{seed}"
        folder.mkdir()
        made = record(
            system="microgesture.systems.stgcn.STGCN",
            dataset="smg",
            taxonomy="smg",
            split="test",
            source="SMG",
            metrics={"top1": top1, "majority_floor": 0.3984},
            clips=610,
            seed=seed,
            commit="abc123",
        )
        write_record(folder / "test.json", made)
        folders.append(folder)
    return folders


def test_results_beside_published_figures(runs: list[Path], tmp_path: Path) -> None:
    done = run(*runs, "--like", "survey", "--dataset", "smg", "--out", tmp_path / "a")
    assert done.exit_code == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[0] == ["block", "method", "published, or seeds here", "top-1", "top-5", "source, or cost"]
    assert lines[1][1:4] == ["stgcn", "0, 1 (n = 2)", "51.00 ± 1.41 (50.00 to 52.00)"]
    assert "commit abc123, seeds 0, 1, split test" in done.stderr
    for name in ("comparison.md", "comparison.tex", "comparison.html"):
        text = (tmp_path / "a" / name).read_text()
        assert "MS-G3D" in text
        assert "51.00" in text


def test_the_same_results_give_the_same_files(runs: list[Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(*runs, "--like", "survey", "--out", tmp_path / name).exit_code == 0
    for name in ("comparison.md", "comparison.tex", "comparison.html"):
        assert sha256(tmp_path / "a" / name) == sha256(tmp_path / "b" / name)


def test_json_is_for_machines(runs: list[Path]) -> None:
    done = run(runs[0] / "test.json", "--json")
    [table] = json.loads(done.stdout)
    assert table["columns"] == ["method", "seeds", "top-1", "cost"]
    assert [row["cells"][0] for row in table["blocks"][0]["rows"]] == ["stgcn", "majority floor"]


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        ((), 2, "there is nothing to compare"),
        (("--like", "paper"), 2, "--like paper is unknown; choose survey"),
        (("--like", "survey", "--metric", "zzz"), 2, "no metric 'zzz'"),
        (("--like", "survey", "--dataset", "kinetics"), 2, "no figures for data set 'kinetics'"),
        (("gone",), 66, "gone: does not exist"),
    ],
)
def test_what_cannot_be_compared(arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run(*arguments)
    assert done.exit_code == code
    assert words in done.stderr


def test_a_folder_without_a_result_and_a_damaged_one(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "empty")
    assert (done.exit_code, "holds no test.json" in done.stderr) == (66, True)
    (runs[0] / "test.json").write_text('{"top1": 1}')
    done = run(runs[0])
    assert (done.exit_code, "not a result record" in done.stderr) == (65, True)


def test_published_tables_cost_no_torch() -> None:
    code = (
        "import sys\nfrom microgesture.cli.app import app\n"
        "app(['compare', '--like', 'survey', '--quiet'], standalone_mode=False)\n"
        "sys.exit('imports torch' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
