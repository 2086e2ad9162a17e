"""A whole study on simulated data, command by command, for every data set of the survey: what a user rehearses."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from microgesture.cli.app import app

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = ("--training.epochs", "2", "--system.width", "12", "--loading.batch", "8", "--loading.workers", "0")
# key -> how much is simulated, and the challenges its systems can enter
STUDIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "imigue": (("--recordings", "4", "--minutes", "0.5"), ("miga-classification", "miga-online")),
    "smg": (("--recordings", "4", "--minutes", "0.5"), ("predictions",)),
    "spontaneous2019": (("--recordings", "4", "--minutes", "0.5"), ("predictions",)),
    "ma52": (("--clips", "104"), ("mac2024", "codabench-9066")),
    "mma52": (("--recordings", "6", "--minutes", "0.2"), ("mma52",)),
    "eald": (("--recordings", "4", "--minutes", "0.5"), ("predictions",)),
    "deemo": (("--recordings", "4", "--minutes", "0.5"), ("predictions",)),
}


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [*(str(a) for a in arguments), "--quiet"])
    assert result.exit_code == 0, f"{arguments[0]}: {result.stderr}"
    return result


@pytest.mark.parametrize("key", STUDIES)
def test_from_look_alike_to_submission(key: str, tmp_path: Path) -> None:
    size, challenges = STUDIES[key]
    raw, store, out = tmp_path / "raw", tmp_path / "store", tmp_path / "run"
    run("simulate", "--like", key, "--layout", "distributed", *size, "--no-films", "--out", raw)
    run("prepare", key, "--root", raw, "--out", store)
    run("inspect", store)
    assert "simulated" in (store / "inspect.html").read_text(encoding="utf-8")
    run("train", RECIPES / key / "stgcnpp.yaml", "--data.root", store, *SMALL, "--out", out)
    result = json.loads(run("test", out, "--data.root", store, "--json").stdout)
    assert (result["dataset"], result["simulated"]) == (key, True)
    assert 0 <= result["metrics"]["top1"] <= 1
    assert 0 < result["metrics"]["majority_floor"] <= 1
    for challenge in challenges:
        path = Path(run("submit", out, "--challenge", challenge, "--threshold", "0.05").stdout.strip())
        assert path.stat().st_size > 0
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
    run("compare", out, "--out", tmp_path / "tables")
    assert "simulated" in (tmp_path / "tables" / "comparison.md").read_text(encoding="utf-8")


def test_a_recipe_runs_on_the_data_as_distributed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prepare: the store goes into the cache."""
    monkeypatch.setenv("MICROGESTURE_HOME", str(tmp_path / "home"))
    raw = tmp_path / "raw"
    run(
        "simulate", "--like", "imigue", "--layout", "distributed", "--recordings", "3", "--minutes", "0.5",
        "--no-films", "--out", raw,
    )  # fmt: skip
    recipe = RECIPES / "imigue" / "stgcnpp.yaml"
    run("train", recipe, f"--data.init_args.root={raw}", *SMALL, "--out", tmp_path / "run")
    assert len(list((tmp_path / "home" / "cache" / "stores").iterdir())) == 1
