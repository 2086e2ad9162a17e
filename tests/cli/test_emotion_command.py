from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from microgesture.cli.app import app
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE
from microgesture.datasets.prepare import prepare, source_of
from microgesture.datasets.store import open_store
from microgesture.formats.timeline_json import write_timeline_json
from microgesture.simulation.lookalikes.write import Size, write_lookalike


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["emotion", *map(str, arguments)])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """iMiGUE's look-alike: some videos are in the emotion split, the segments of MiGA's test videos are withheld."""
    folder = tmp_path_factory.mktemp("imigue")
    write_lookalike("imigue", folder / "raw", Size(recordings=30, minutes=0.1, films=False), 0)
    prepare(source_of("imigue"), folder / "raw", folder / "store", workers=1)
    return folder / "store"


@pytest.fixture(scope="module")
def predictions(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a recogniser may say: winners touch their necks."""
    folder = tmp_path_factory.mktemp("predictions")
    opened = open_store(store)
    names = opened.recordings.column("name").to_pylist()
    for recording, won in zip(*(opened.states.to_pydict()[c] for c in ("recording", "label")), strict=True):
        count = 4 if won else 1
        line = tuple(Segment(float(t), t + 0.5, 11) for t in np.arange(count))
        write_timeline_json(Timeline(line, IMIGUE, 6.0), folder / f"{names[recording]}.json")
    return folder


def test_true_and_predicted_segments_with_their_notes(store: Path, predictions: Path, tmp_path: Path) -> None:
    result = run(store, "--predictions", predictions, "--protocol", "loso", "--out", tmp_path / "emotion.json")
    assert result.exit_code == 0, result.stderr
    header, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert header == ["segments and model", "tested", "accuracy", "low", "high", "majority_floor", "p"]
    kinds = ["oracle", "predicted"]
    assert [row[0] for row in rows] == [f"{kind} {model}" for kind in kinds for model in ("logistic", "svm", "forest")]
    assert float(rows[3][2]) == 1.0
    assert float(rows[3][3]) < 1.0
    for words in (
        "67 of 100 emotion-test videos are training or validation material",
        "no single micro-gesture stands for an emotion",
        "recordings have withheld labels and are left out",
        "the data are simulated, no person was recorded",
    ):
        assert words in result.stderr
    record = json.loads((tmp_path / "emotion.json").read_text())
    assert record["simulated"] is True
    assert record["states"] == ["lost", "won"]


def test_json_by_the_official_division(store: Path, predictions: Path) -> None:
    result = run(store, "--predictions", predictions, "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    # of the emotion-test videos those of MiGA's test split have no true segments
    assert record["cells"]["oracle svm"]["recordings"] == 3
    assert record["cells"]["predicted svm"]["recordings"] == 6
    assert record["cells"]["predicted svm"]["accuracy"] == 1.0
    assert record["propagation"]["svm"]["stretches"] == 3


def test_usage_errors(store: Path, tmp_path: Path) -> None:
    wrong = run(store, "--protocol", "kfold")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "no protocol 'kfold'; choose official or loso" in wrong.stderr
    none = run(tmp_path)
    assert none.exit_code == 66
    assert "holds no prepared data set" in none.stderr
