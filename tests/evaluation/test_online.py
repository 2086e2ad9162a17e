from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.evaluation.online import (
    average_precision,
    detection_delay,
    f1_at_iou,
    f1_sweep,
    false_alarms,
    jaccard,
    mean_average_precision,
)
from microgesture.evaluation.published import published
from microgesture.systems.catalogue import SYSTEMS

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


def evaluator_input(name: str) -> tuple[list[Timeline], list[Timeline], dict[str, np.ndarray]]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        z = dict(file)
    classes = z["out/ap"].shape[1]
    truth, guess = [], []
    for video in sorted({*z["in/ground_truth"][:, 0], *z["in/predictions"][:, 0]}):
        # some predictions begin before the video: all times 10 s later; a Timeline cannot hold events without length
        wanted = [(c, a + 10, b + 10) for v, c, a, b in z["in/ground_truth"] if v == video and b > a]
        found = [(c, a + 10, b + 10, score) for v, a, b, score, c in z["in/predictions"] if v == video and c < classes]
        truth.append(line(*wanted, classes=classes))
        guess.append(line(*found, classes=classes))
    return truth, guess, z


@pytest.mark.parametrize("flavour", ["pointtad", "activitynet"])
def test_mean_average_precision_equals_the_released_evaluators(flavour: Literal["pointtad", "activitynet"]) -> None:
    truth, guess, z = evaluator_input({"pointtad": "pointtad_map", "activitynet": "opentad_map"}[flavour])
    found = mean_average_precision(truth, guess, flavour, [float(t) for t in z["in/thresholds"]])
    np.testing.assert_allclose(found.table, z["out/ap"], atol=1e-8)
    assert list(found.per_threshold.values()) == pytest.approx(z["out/map"], abs=1e-8)
    assert found.mean == pytest.approx(float(z["out/average_map"]), abs=1e-8)
    if flavour == "pointtad":
        assert mean_average_precision(truth, guess, "pointtad").mean == pytest.approx(found.mean)


def test_repeated_annotations_count_once_for_activitynet_only() -> None:
    truth = [line((0, 10, 20), (0, 10.0004, 20.0009), (1, 10, 20), (0, 10.01, 20))]
    once = mean_average_precision(truth, truth, "activitynet", [0.5])
    # three predictions of class 0 for two annotations: both are found before the third
    assert once.table[0, :2].tolist() == [1.0, 1.0]
    assert average_precision([line((0, 10, 20))], truth, 0.5)[0, 0] == 1.0
    guess = [line((0, 10, 20), (1, 10, 20), (0, 10.01, 20))]
    assert mean_average_precision(truth, guess, "activitynet", [0.5]).table[0, 0] == 1.0
    assert mean_average_precision(truth, guess, "pointtad", [0.5]).table[0, 0] == pytest.approx(2 / 3)


def test_perfect_predictions_have_a_map_of_one() -> None:
    # 1e-4 s in the union cost the shortest micro-actions of 0.27 s less than a tenth
    truth = [line((0, 1, 1.27), (1, 5, 9), (1, 20, 21)), line((2, 3, 6))]
    for flavour, thresholds in (("pointtad", 9), ("activitynet", 10)):
        found = mean_average_precision(truth, truth, flavour)  # type: ignore[arg-type]
        assert found.mean == 1.0
        assert list(found.per_threshold.values()) == [1.0] * thresholds
    assert max(mean_average_precision(truth, truth, "pointtad").per_threshold) == 0.9


def test_map_is_refused_where_it_is_not_defined() -> None:
    with pytest.raises(UsageError, match="no segment is annotated"):
        mean_average_precision([line()], [line((0, 1, 2))])
    with pytest.raises(UsageError, match="flavour 'coco' is unknown"):
        mean_average_precision([line((0, 1, 2))], [line()], "coco")  # type: ignore[arg-type]


def test_delay_runs_from_the_true_start_to_the_first_decision() -> None:
    truth = [line((0, 10, 14), (1, 20, 25), (2, 40, 44))]
    guess = [line((0, 11, 13), (0, 12, 15), (1, 19, 24), (3, 40, 44))]
    found = detection_delay(truth, guess)
    assert sorted(found.seconds) == [-1.0, 1.0]  # the second prediction of class 0 comes later, class 2 is missed
    assert (found.truth, found.mean, found.median) == (3, 0.0, 0.0)
    assert found.quantile(1.0) == 1.0
    # decided in the order of the timeline: the later segment was given out first
    told = detection_delay(truth, guess, [[16.0, 15.5, 24.5, 44.0]])
    assert sorted(told.seconds) == [4.5, 5.5]
    assert detection_delay(truth, guess, iou=0.4).seconds == (1.0, -1.0)
    assert detection_delay(truth, guess, iou=0.5).seconds == (-1.0,)  # IoU 4 / 6 in class 1, 2 / 4 in class 0


def test_one_prediction_reports_one_gesture() -> None:
    truth, guess = [line((0, 0, 4), (0, 5, 9))], [line((0, 1, 9))]
    assert detection_delay(truth, guess).seconds == (1.0,)
    nothing = detection_delay(truth, [line()])
    assert (nothing.seconds, nothing.mean, nothing.median, nothing.truth) == ((), None, None, 2)


def test_times_of_decision_must_fit() -> None:
    truth = [line((0, 0, 4))]
    with pytest.raises(UsageError, match=r"shapes \[\(2,\)\], expected \[\(1,\)\]"):
        detection_delay(truth, truth, [[1.0, 2.0]])
    with pytest.raises(UsageError, match="not finite"):
        detection_delay(truth, truth, [[float("nan")]])


def test_false_alarms_on_stretches_without_a_gesture() -> None:
    # 180 s with gestures in 60 of them (two overlap): two minutes without
    truth = [line((0, 0, 30), (1, 20, 40), (0, 100, 120), duration=180)]
    guess = [line((2, 5, 8), (0, 39, 45), (0, 50, 60), (1, 130, 131), (1, 140, 141), duration=180)]
    found = false_alarms(truth, guess)
    assert (found.alarms, found.minutes, found.per_minute) == (3, 2.0, 1.5)
    # ten seconds around the gestures say nothing: 0-50 and 90-130 are out, and with them what touches them
    wide = false_alarms(truth, guess, margin=10)
    assert (wide.alarms, wide.minutes) == (3, pytest.approx(1.5))
    assert false_alarms(truth, guess, margin=10.5).alarms == 1
    assert false_alarms([line((0, 0, 60), duration=60)], [line((0, 1, 2), duration=60)]).per_minute is None


def test_non_micro_gestures_are_time_without_a_gesture() -> None:
    truth = [line((3, 0, 60), duration=120, illustrative=3)]
    guess = [line((3, 10, 20), (0, 30, 31), duration=120, illustrative=3)]
    assert false_alarms(truth, guess).per_minute == 0.5
    as_gestures = false_alarms(truth, guess, illustrative=True)
    assert (as_gestures.alarms, as_gestures.minutes) == (0, 1.0)


def test_segments_that_outlast_the_recording_count_up_to_its_end() -> None:
    truth = [line((0, 50, 80), (0, 90, 95), duration=60)]
    assert false_alarms(truth, [line(duration=60)]).minutes == pytest.approx(50 / 60)


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


def test_the_leap_of_the_online_challenge_is_relative() -> None:
    # the winner of 2025 tells of 37.9 % more F1: its 38.03 over the 27.57 of 2024, not points
    (after,) = (r.value for s in SYSTEMS.values() for r in s.reported if r.split == "MiGA 2025 track 2")
    (before,) = (p.figure("F1") for p in published() if p.method.startswith("NPU-MUCIS (MiGA 2024"))
    assert before is not None
    assert after / before == pytest.approx(1.379, abs=5e-4)
