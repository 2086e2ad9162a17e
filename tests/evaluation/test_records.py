from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import FormatError, NoInput
from microgesture.evaluation.classification import summary
from microgesture.evaluation.records import (
    Predictions,
    is_simulated,
    read_predictions,
    read_record,
    record,
    write_predictions,
    write_record,
)

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6]])
LABELS = np.array([0, 1, 0, 2])


def made(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "system": "microgesture.systems.stgcnpp.STGCNpp",
        "recipe": "smg/stgcnpp",
        "dataset": "smg",
        "taxonomy": "smg",
        "protocol": "cross-subject",
        "split": "test",
        "source": "SMG, subjects 36-40",
        "commit": "0123456789abcdef",
        "seed": 0,
        "clips": 4,
        "metrics": summary(PROBABILITIES, LABELS, subjects=np.array([1, 1, 2, 2]), coarse_of=[0, 1, 1]),
        "parameters": 1_000,
        "flops": 2.5e9,
        "latency_ms": 3.25,
        "weights_sha256": "ab" * 32,
    }
    return record(**(fields | changes))


def test_a_record_comes_back_and_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_record(tmp_path / name / "test.json", made())
    assert (tmp_path / "a/test.json").read_bytes() == (tmp_path / "b/test.json").read_bytes()
    found = read_record(tmp_path / "a")
    assert found == read_record(tmp_path / "a" / "test.json") == made()
    assert (found["format"], found["version"], found["key"]) == ("microgesture-result", 1, "stgcnpp")
    assert found["metrics"]["top1"] == 0.75
    assert found["metrics"]["top1_exact95"][0] < 0.75 < found["metrics"]["top1_exact95"][1]
    assert found["metrics"]["ma52"]["f1_mean"] == pytest.approx(made()["metrics"]["ma52"]["f1_mean"])
    assert not {"date", "time", "path", "host"} & set(found)


def test_numbers_of_numpy_and_keys_that_are_numbers_become_plain() -> None:
    metrics = {"accuracy": np.float64(0.5), "majority_floor": 0.5, "f1": {0: np.float32(0.25)}, "range": (0.1, 0.2)}
    found = made(metrics=metrics | {"above_floor": False, "nothing": None})
    assert json.loads(json.dumps(found))["metrics"]["f1"] == {"0": 0.25}
    assert found["metrics"]["range"] == [0.1, 0.2]


def test_simulated_sources_are_known_by_their_words() -> None:
    assert is_simulated("simulated", "simulated imigue, test")
    assert is_simulated("imigue", "Look-alike of iMiGUE")
    assert not is_simulated("imigue", "iMiGUE, 104 test videos")
    assert made(source="look-alike of SMG")["simulated"] is True
    assert made(simulated=True)["simulated"] is True


WRONG = [
    ({"format": "other"}, "field 'format': not a result record; expected \"microgesture-result\""),
    ({"version": 2}, "field 'version': version 2; expected 1"),
    ({"seed": "0"}, "field 'seed': '0'; expected int or null"),
    ({"seed": True}, "field 'seed': True; expected int or null"),
    ({"split": ""}, "field 'split': ''; expected str"),
    ({"simulated": 0}, "field 'simulated': 0; expected bool"),
    ({"clips": 0}, "field 'clips': 0; expected a number from 1 on"),
    ({"flops": -1.0}, "field 'flops': -1.0; expected a number from 0 on"),
    ({"when": "today"}, "record: unknown field 'when'"),
    ({"metrics": {"top1": 0.5}}, "metrics: 'top1' stands without 'majority_floor'"),
    ({"metrics": {"accuracy": 0.5}}, "metrics: 'accuracy' stands without 'majority_floor'"),
    ({"metrics": {"top1": 75.0, "majority_floor": 0.5}}, "metric 'top1': 75.0; expected a share in"),
    ({"metrics": {"a": {"b": "x"}}}, "metric 'a.b': 'x'; expected a finite number"),
    ({"metrics": {"a": [0.2, 0.1]}}, r"metric 'a': \[0.2, 0.1\]; expected a finite number"),
    ({"metrics": {"a": [0.2]}}, r"metric 'a': \[0.2\]; expected"),
    ({"metrics": {"<b>": 0.2}}, "metric '<b>': 0.2"),
]


@pytest.mark.parametrize("change, words", WRONG, ids=[str(change) for change, _ in WRONG])
def test_wrong_records_are_refused_with_their_place(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "test.json"
    path.write_text(json.dumps(made() | change))
    with pytest.raises(FormatError, match=words):
        read_record(path)
    with pytest.raises(FormatError, match=words):
        write_record(tmp_path / "other.json", made() | change)
    assert not (tmp_path / "other.json").exists()


def test_a_missing_field_and_what_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    short = made()
    del short["commit"]
    path.write_text(json.dumps(short))
    with pytest.raises(FormatError, match=r"test.json, record: field 'commit' is missing"):
        read_record(path)
    path.write_text("[1, 2]")
    with pytest.raises(FormatError, match=r"not a result record.*Measure the model again"):
        read_record(path)
    path.write_text('{"format": NaN}')
    with pytest.raises(FormatError, match="the number NaN"):
        read_record(path)


def test_a_run_that_was_not_tested(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match=r"holds no test.json; run `microgesture test"):
        read_record(tmp_path)
    with pytest.raises(NoInput, match="does not exist"):
        read_record(tmp_path / "gone.json")


def test_metrics_that_are_not_finite_are_refused() -> None:
    with pytest.raises(FormatError, match="metric 'top1': nan"):
        made(metrics={"top1": float("nan"), "majority_floor": 0.5})


def predictions() -> Predictions:
    return Predictions(np.array(["a", "b", "ç", "d"]), LABELS, PROBABILITIES)


def test_predictions_come_back(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_predictions(tmp_path / name, predictions())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = read_predictions(tmp_path / "a.npz")
    assert found.names.tolist() == ["a", "b", "ç", "d"]
    assert np.array_equal(found.probabilities, PROBABILITIES)
    assert found.right.tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"label": None}, "array 'label': array 'label' is missing; expected names"),
        ({"label": LABELS.astype(float)}, "array 'label' has type float64"),
        ({"probabilities": LABELS.astype(float)}, r"array 'probabilities' has type float64 and shape \(4,\)"),
        ({"label": LABELS[:2]}, "4 names, 2 label, 4 probabilities do not belong together"),
        ({"probabilities": PROBABILITIES * np.nan}, "probabilities are empty or not finite"),
        ({"probabilities": PROBABILITIES[:, :0]}, "probabilities are empty or not finite"),
    ],
)
def test_wrong_predictions_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    arrays = vars(predictions()) | change
    np.savez(tmp_path / "p.npz", **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(FormatError, match=words):
        read_predictions(tmp_path / "p.npz")
