from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.evaluation.online import average_precision, f1_at_iou, f1_sweep, jaccard

GOLDEN = Path(__file__).parents[1] / "golden"


def space(classes: int, illustrative: int | None = None) -> Taxonomy:
    return Taxonomy("toy", "Toy", tuple(Label(i, f"c{i}", "g") for i in range(classes)), ("g",), illustrative)


def line(
    *rows: tuple[float, ...], classes: int = 4, duration: float = 600, illustrative: int | None = None
) -> Timeline:
    """Rows (class, start, end[, score])."""
    segments = tuple(Segment(float(r[1]), float(r[2]), int(r[0]), *map(float, r[3:])) for r in rows)
    return Timeline(segments, space(classes, illustrative), duration)


def test_the_threshold_of_a_third() -> None:
    truth = [line((0, 10, 20))]
    assert f1_at_iou(truth, [line((0, 15, 25))]).f1 == 1.0  # IoU 5 / 15
    assert f1_at_iou(truth, [line((0, 16, 26))]).f1 == 0.0  # IoU 4 / 16
    # IoU exactly at the threshold is no hit
    assert f1_at_iou(truth, [line((0, 10, 15))], iou=0.5).f1 == 0.0


def test_one_prediction_over_two_gestures_hits_twice_only_in_the_released_mode() -> None:
    truth, guess = [line((0, 0, 10), (0, 2, 12))], [line((0, 0, 12))]
    assert f1_at_iou(truth, guess, mode="smg2023").hits == 2
    assert f1_at_iou(truth, guess).hits == 1


def test_smg_mode_equals_the_start_kit() -> None:
    z = np.load(GOLDEN / "smg_f1_metric.npz")
    truth = [line(*z[f"in/gt_{i}"], classes=20) for i in range(5)]
    guess = [line(*z[f"in/pred_{i}"], classes=20) for i in range(5)]
    pooled = f1_at_iou(truth, guess, mode="smg2023")
    assert pooled.recall == pytest.approx(float(z["out/recall"]), abs=1e-9)
    assert pooled.precision == pytest.approx(float(z["out/precision"]), abs=1e-9)
    # the start kit adds 1e-7 to the denominator of F1
    assert pooled.f1 == pytest.approx(float(z["out/f1"]), abs=1e-7)
    for row, a, b in zip(z["out/per_recording_f1_recall_precision"], truth, guess, strict=True):
        each = f1_at_iou([a], [b], mode="smg2023")
        assert (each.f1, each.recall, each.precision) == pytest.approx(tuple(row), abs=1e-5)
    assert f1_at_iou(truth, guess).hits < pooled.hits  # the file holds double matches


def test_best_overlap_is_matched_first() -> None:
    # in list order the long prediction would take the first gesture and leave the second one unmatched
    truth = [line((0, 0, 10), (0, 6, 16))]
    guess = [line((0, 1, 16), (0, 0, 9))]
    assert f1_at_iou(truth, guess).hits == 2


def test_invariants() -> None:
    rng = np.random.default_rng(3)
    rows = [(int(rng.integers(4)), a := float(rng.uniform(0, 500)), a + float(rng.uniform(1, 9))) for _ in range(60)]
    guess_rows = [(c, s + rng.normal(0, 1) + 5, e + 5) for c, s, e in rows[:40]]
    truth, guess = [line(*rows)], [line(*guess_rows)]
    base = f1_at_iou(truth, guess)
    later = f1_at_iou(
        [line(*[(c, s + 30, e + 30) for c, s, e in rows])], [line(*[(c, s + 30, e + 30) for c, s, e in guess_rows])]
    )
    assert later == base
    order = [2, 0, 3, 1]
    renamed = f1_at_iou(
        [line(*[(order[c], s, e) for c, s, e in rows])], [line(*[(order[c], s, e) for c, s, e in guess_rows])]
    )
    assert renamed == base
    worse = f1_at_iou(truth, [line(*guess_rows, (0, 590, 599))])
    assert worse.recall == base.recall
    assert worse.precision < base.precision
    assert f1_at_iou(truth, truth).f1 == 1.0


def test_false_alarms_per_minute() -> None:
    result = f1_at_iou([line((0, 1, 2), duration=120)], [line((0, 1, 2), (1, 5, 6), (2, 8, 9), duration=120)])
    assert result.false_alarms_per_minute == 1.0


def test_the_illustrative_class_can_be_left_out() -> None:
    truth = [line((0, 0, 2), (3, 5, 9), illustrative=3)]
    guess = [line((3, 5, 9), illustrative=3)]
    assert f1_at_iou(truth, guess).hits == 1
    without = f1_at_iou(truth, guess, illustrative=False)
    assert (without.hits, without.truth, without.predicted) == (0, 1, 0)


def test_nothing_predicted_or_nothing_there_gives_zero() -> None:
    assert f1_at_iou([line((0, 1, 2))], [line()]).f1 == 0
    assert f1_at_iou([line()], [line()]).precision == 0
    assert f1_at_iou([], []).false_alarms_per_minute == 0


def test_sweep_falls_with_the_threshold() -> None:
    sweep = f1_sweep([line((0, 10, 20))], [line((0, 12, 22))])  # IoU 8 / 12
    assert sweep == {0.1: 1.0, 0.2: 1.0, 0.3: 1.0, 0.4: 1.0, 0.5: 1.0}
    assert list(f1_sweep([line((0, 10, 20))], [line((0, 15, 25))]).values()) == [1, 1, 1, 0, 0]


def test_impossible_comparisons_are_refused() -> None:
    with pytest.raises(UsageError, match="1 true timelines but 0 predicted"):
        f1_at_iou([line()], [])
    with pytest.raises(UsageError, match="different label spaces"):
        f1_at_iou([line()], [line(classes=5)])
    with pytest.raises(UsageError, match="'loose' is unknown"):
        f1_at_iou([line()], [line()], mode="loose")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no recordings"):
        average_precision([], [])


def test_average_precision_by_hand() -> None:
    truth = [line((0, 0, 10), (0, 20, 30), classes=2)]
    guess = [line((0, 0, 10, 0.9), (0, 50, 60, 0.8), (0, 20, 30, 0.7), classes=2)]
    table = average_precision(truth, guess, 0.5)
    assert table[0, 0] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert np.isnan(table[0, 1])


@pytest.mark.parametrize("name, slack", [("pointtad_map", 1e-4), ("opentad_map", 0.0)])
def test_average_precision_equals_the_released_evaluators(name: str, slack: float) -> None:
    z = np.load(GOLDEN / f"{name}.npz")
    expected = z["out/ap"]
    classes = expected.shape[1]
    gt, pred = z["in/ground_truth"], z["in/predictions"]
    # OpenTAD drops annotations without length and repeated ones; a Timeline cannot hold the former
    rows: dict[tuple[float, ...], np.ndarray] = {tuple(np.round(r, 2)): r for r in gt if r[3] > r[2]}
    truth, guess = [], []
    for video in sorted({*gt[:, 0], *pred[:, 0]}):
        # some predictions begin before the video: all times 10 s later
        wanted = [(c, a + 10, b + 10) for v, c, a, b in rows.values() if v == video]
        found = [(c, a + 10, b + 10, score) for v, a, b, score, c in pred if v == video and c < classes]
        truth.append(line(*wanted, classes=classes))
        guess.append(line(*found, classes=classes))
    table = average_precision(truth, guess, z["in/thresholds"], slack)
    np.testing.assert_allclose(table, expected, atol=1e-8)
    assert np.nanmean(table, 1) == pytest.approx(z["out/map"], abs=1e-8)


def test_jaccard_equals_the_released_code() -> None:
    z = np.load(GOLDEN / "chalearn_jaccard.npz")
    truth, guess = [], []
    for i, frames in enumerate(z["in/lengths"]):
        for lines, key in ((truth, "gt"), (guess, "pred")):
            rows = [(c - 1, s - 1, e - 1) for c, s, e in z[f"in/{key}_{i}"] if e > s]
            lines.append(line(*rows, classes=40, duration=float(frames)))
    for a, b, expected in zip(truth, guess, z["out/per_sequence"], strict=True):
        assert jaccard([a], [b], fps=1, released=True) == pytest.approx(expected, abs=1e-9)
    assert jaccard(truth, guess, fps=1, released=True) == pytest.approx(float(z["out/mean"]), abs=1e-9)


def test_jaccard_counts_classes_that_were_only_predicted() -> None:
    truth, guess = [line((0, 0, 10), duration=20)], [line((0, 0, 10), (1, 12, 14), duration=20)]
    assert jaccard(truth, guess, fps=10) == 0.5
    assert jaccard(truth, guess, fps=10, released=True) == 1.0
    assert jaccard([line()], [line()], fps=10) == 0.0
