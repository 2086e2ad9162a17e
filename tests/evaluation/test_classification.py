from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.evaluation.classification import (
    clopper_pearson,
    coarse_summary,
    emotion_summary,
    expected_calibration_error,
    ma52_f1,
    macro_f1,
    majority_floor,
    mean_class,
    micro_f1,
    per_subject,
    shots,
    summary,
    to_coarse,
    top_k,
    wilson,
)

GOLDEN = Path(__file__).parents[1] / "golden"


def test_top_k_and_mean_class_equal_pyskl() -> None:
    z = np.load(GOLDEN / "pyskl_metrics.npz")
    scores, labels = z["in/scores"], z["in/labels"]
    found = [top_k(scores, labels, k) for k in (1, 2, 5)]
    assert found == pytest.approx(z["out/top_1_2_5"], abs=1e-6)
    assert mean_class(labels, scores.argmax(1), classes=8) == pytest.approx(
        float(z["out/mean_class_accuracy"]), abs=1e-6
    )


def test_ma52_f1_mean_equals_the_released_scorer() -> None:
    z = np.load(GOLDEN / "ma52_f1_mean.npz")
    labels, predicted = z["in/labels"], z["in/scores"].argmax(1)
    four = ma52_f1(labels, predicted, z["out/action_to_body"])
    expected = {"coarse_macro": "lv1_f1_macro", "coarse_micro": "lv1_f1_micro"}
    expected |= {"fine_macro": "lv2_f1_macro", "fine_micro": "lv2_f1_micro", "f1_mean": "F1_mean_mac2024"}
    for name, official in expected.items():
        assert four[name] == pytest.approx(float(z[f"out/{official}"]), abs=1e-9), name
    assert macro_f1(z["in/labels_plain"], z["in/predictions_plain"]) == pytest.approx(
        float(z["out/plain_f1_macro"]), abs=1e-9
    )


@pytest.mark.parametrize(
    "four, mean",
    # published rows of MANet, TSM and C3D
    [
        ((72.87, 78.95, 49.22, 61.33), 65.59),
        ((70.98, 77.64, 40.19, 56.75), 61.39),
        ((66.60, 74.04, 40.86, 52.22), 58.43),
    ],
)
def test_published_f1_means_are_the_mean_of_their_four(four: tuple[float, ...], mean: float) -> None:
    assert np.mean(four) == pytest.approx(mean, abs=0.01)


def test_micro_f1_is_accuracy_and_absent_classes_lower_macro_f1() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert micro_f1(labels, predicted) == 0.75
    assert macro_f1(labels, predicted, 4) == pytest.approx(macro_f1(labels, predicted) / 2)


def test_own_coarse_predictions_replace_the_derived_ones() -> None:
    derived = ma52_f1([0, 1], [1, 1], [0, 1])
    own = ma52_f1([0, 1], [1, 1], [0, 1], coarse_predicted=[0, 1])
    assert own["coarse_micro"] == 1.0 > derived["coarse_micro"]
    assert own["fine_micro"] == derived["fine_micro"]


def test_shots_divide_clips_by_training_counts() -> None:
    # classes with 101, 100, 20 and 19 training clips: the borders belong to medium
    result = shots([0, 1, 2, 3], [0, 0, 2, 0], [101, 100, 20, 19])
    assert result == {"many": 1.0, "medium": 0.5, "few": 0.0}
    assert shots([0], [0], [101]) == {"many": 1.0}


def test_majority_floor_of_the_smg_test_set() -> None:
    counts = [13, 3, 15, 2, 49, 1, 3, 191, 243, 34, 8, 30, 4, 5, 0, 0, 9]
    assert majority_floor(np.repeat(np.arange(17), counts)) == pytest.approx(243 / 610)


def test_intervals_hold_the_share_and_the_exact_one_is_wider() -> None:
    for hits, total in ((0, 7), (7, 7), (3, 7), (410, 430)):
        low, high = wilson(hits, total)
        exact_low, exact_high = clopper_pearson(hits, total)
        assert 0 <= low <= hits / total + 1e-12
        assert hits / total - 1e-12 <= high <= 1
        assert exact_low <= hits / total <= exact_high
        assert exact_high - exact_low > high - low
    assert clopper_pearson(0, 10)[1] == pytest.approx(1 - 0.025 ** (1 / 10))  # closed form
    with pytest.raises(UsageError, match="5 hits of 3"):
        wilson(5, 3)


def test_calibration_error_closed_forms() -> None:
    sure = np.tile([1.0, 0.0], (10, 1))
    assert expected_calibration_error(sure, np.zeros(10, int)) == 0
    assert expected_calibration_error(sure, np.ones(10, int)) == 1
    assert expected_calibration_error(np.tile([0.7, 0.3], (10, 1)), [0] * 9 + [1]) == pytest.approx(0.2)


def test_every_subject_weighs_the_same() -> None:
    spread = per_subject([0, 0, 0, 1], [0, 0, 0, 0], [5, 5, 5, 9])
    assert (spread.subjects, spread.mean, spread.worst, spread.best) == (2, 0.5, 0.0, 1.0)
    assert spread.sd == pytest.approx(np.sqrt(0.5))


def test_summary_is_plain_and_complete() -> None:
    import json

    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(4), 30)
    record = summary(
        table, rng.integers(0, 4, 30), subjects=np.arange(30) % 3, train_counts=[5] * 4, coarse_of=[0, 0, 1, 1]
    )
    json.dumps(record)
    assert record["clips"] == 30
    assert record["top5"] == 1.0
    assert {"per_subject", "shots", "ma52"} <= set(record)


def test_permuting_classes_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    table, labels, order = rng.dirichlet(np.ones(5), 40), rng.integers(0, 5, 40), rng.permutation(5)
    one, other = summary(table, labels), summary(table[:, order], np.argsort(order)[labels])
    for key, value in one.items():
        assert other[key] == pytest.approx(value), key


@pytest.mark.parametrize(
    "labels, predicted, words", [([], [], "non-empty"), ([0, 1], [0], "2 labels but 1 predictions")]
)
def test_impossible_input_is_refused(labels: list[int], predicted: list[int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        micro_f1(labels, predicted)


def test_scores_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(UsageError, match=r"shape \(3,\), expected \(2, K\)"):
        top_k(np.zeros(3), [0, 1])


def test_both_coarse_rules_agree_where_one_class_has_more_than_half() -> None:
    rng = np.random.default_rng(2)
    table, parent = rng.dirichlet(np.full(9, 0.3), 400), np.arange(9) // 3
    sure = table.max(1) > 0.5
    ways = {rule: to_coarse(table, parent, rule) for rule in ("map", "pooled")}  # type: ignore[arg-type]
    assert 0 < sure.sum() < 400
    assert (ways["map"] == ways["pooled"])[sure].all()
    assert (ways["map"] != ways["pooled"]).any()
    pooled = np.stack([table[:, parent == c].sum(1) for c in range(3)], 1)
    assert (ways["pooled"] == pooled.argmax(1)).all()


def test_coarse_summary_by_hand() -> None:
    table = [[0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.1, 0.2, 0.7]]
    found = coarse_summary(table, [1, 2, 0, 2], [0, 1, 1])
    assert (found["top1_map"], found["top1_pooled"]) == (0.75, 1.0)
    assert found["coarse_right_fine_wrong"] == 0.25
    assert found["majority_floor"] == 0.75
    assert summary(table, [1, 2, 0, 2], coarse_of=[0, 1, 1])["coarse"] == found


def test_impossible_coarse_levels_are_refused() -> None:
    with pytest.raises(UsageError, match=r"shape \(1, 3\), expected \(N, 2\)"):
        to_coarse([[0.2, 0.3, 0.5]], [0, 1])
    with pytest.raises(UsageError, match="coarse id -1 is negative"):
        to_coarse([[0.5, 0.5]], [0, -1])
    with pytest.raises(UsageError, match="rule 'sum' is unknown"):
        to_coarse([[0.5, 0.5]], [0, 1], "sum")  # type: ignore[arg-type]


def test_emotion_is_told_with_its_floor_and_interval() -> None:
    labels = np.repeat([0, 1], 50)
    found = emotion_summary(labels, np.where(np.arange(100) % 5 < 3, labels, 1 - labels))
    assert (found["accuracy"], found["majority_floor"], found["recordings"]) == (0.6, 0.5, 100)
    assert found["accuracy_exact95"] == pytest.approx([0.497, 0.697], abs=5e-4)
    assert not found["above_floor"]
    assert emotion_summary(labels, np.where(np.arange(100) % 5 < 4, labels, 1 - labels))["above_floor"]
    # always the same answer: half right, and no F1 for the other state
    constant = emotion_summary(labels, np.zeros(100, int))
    assert constant["f1"] == {0: pytest.approx(2 / 3), 1: 0.0}
    assert constant["macro_f1"] == pytest.approx(1 / 3)
