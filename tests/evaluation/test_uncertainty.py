from __future__ import annotations

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import SMG
from microgesture.evaluation.classification import clopper_pearson, wald, wilson
from microgesture.evaluation.online import f1_at_iou
from microgesture.evaluation.uncertainty import bootstrap, mcnemar, percentile_interval


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean(np.asarray(labels) == np.asarray(predicted)))


def test_intervals_of_sixty_in_a_hundred() -> None:
    assert clopper_pearson(60, 100) == pytest.approx((0.497, 0.697), abs=5e-4)
    assert wilson(60, 100) == pytest.approx((0.502, 0.691), abs=5e-4)
    assert wald(60, 100) == pytest.approx((0.504, 0.696), abs=5e-4)
    # emotion on a hundred videos: the exact interval reaches below the floor of 50 %
    assert clopper_pearson(60, 100)[0] < 0.5 < wald(60, 100)[0]
    assert wald(0, 5) == (0.0, 0.0)


def test_bootstrap_of_an_accuracy_is_close_to_the_exact_interval() -> None:
    labels, predicted = np.zeros(100, int), np.repeat([0, 1], [60, 40])
    found = bootstrap(accuracy, labels, predicted, samples=2000)
    assert (found.value, found.units, found.samples) == (0.6, 100, 2000)
    assert (found.low, found.high) == pytest.approx(wald(60, 100), abs=0.02)
    assert bootstrap(accuracy, labels, predicted, samples=50) == bootstrap(accuracy, labels, predicted, samples=50)
    assert bootstrap(accuracy, labels, predicted, samples=50, seed=1) != bootstrap(
        accuracy, labels, predicted, samples=50
    )
    narrow = bootstrap(accuracy, labels, predicted, level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_clusters_widen_the_interval_and_are_drawn_whole() -> None:
    # ten subjects, each of whom is always right or always wrong: there are ten observations, not a hundred
    subjects = np.repeat(np.arange(10), 10)
    labels, predicted = np.zeros(100, int), (subjects >= 6).astype(int)
    alone, clustered = bootstrap(accuracy, labels, predicted), bootstrap(accuracy, labels, predicted, clusters=subjects)
    assert clustered.units == 10
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)

    def whole(labels: np.ndarray, who: np.ndarray) -> float:
        return float((np.unique(who, return_counts=True)[1] % 10 == 0).all())

    assert bootstrap(whole, labels, subjects, clusters=subjects, samples=50).low == 1.0


def test_bootstrap_of_whole_recordings() -> None:
    def line(*starts: float) -> Timeline:
        return Timeline(tuple(Segment(t, t + 2, 7) for t in starts), SMG, 60)

    truth, found = [line(1, 10, 20)] * 6, [line(1, 10, 20)] * 3 + [line(1)] * 3
    result = bootstrap(lambda a, b: f1_at_iou(a, b).f1, truth, found, samples=200)
    assert result.value == pytest.approx(0.8)
    assert 0.5 <= result.low < 0.8 < result.high <= 1.0
    assert bootstrap(lambda a, b: f1_at_iou(a, b).f1, truth, truth, samples=20).low == 1.0


def test_impossible_bootstraps_are_refused() -> None:
    with pytest.raises(UsageError, match=r"one length, got \[2, 3\]"):
        bootstrap(accuracy, [0, 1], [0, 1, 1])
    with pytest.raises(UsageError, match=r"clusters have shape \(3,\), expected \(2,\)"):
        bootstrap(accuracy, [0, 1], [0, 1], clusters=[1, 1, 1])
    with pytest.raises(UsageError, match="1 unit cannot be resampled"):
        bootstrap(accuracy, [0, 1], [0, 1], clusters=["anna", "anna"])
    with pytest.raises(UsageError, match="the metric is nan on the whole data"):
        bootstrap(lambda x: float("nan"), [0, 1])
    with pytest.raises(UsageError, match="level is 95, expected a share"):
        bootstrap(accuracy, [0, 1], [0, 1], level=95)
    with pytest.raises(UsageError, match="defined in only 1 of 4 samples"):
        percentile_interval(np.array([np.nan, 0.5, np.nan, np.nan]))


def test_mcnemar_by_hand() -> None:
    # 8 clips on which one of two systems is right: 1 to 7 gives 2 (1 + 8) / 2^8
    labels = np.zeros(10, int)
    first, second = np.array([1] * 7 + [0] + [0, 1]), np.array([0] * 7 + [1] + [0, 1])
    found = mcnemar(labels, first, second)
    assert (found.only_first, found.only_second) == (1, 7)
    assert found.exact == pytest.approx(2 * 9 / 256)
    assert found.mid_p == pytest.approx(2 * 9 / 256 - 8 / 256)
    other = mcnemar(labels, second, first)
    assert (other.exact, other.mid_p) == (found.exact, found.mid_p)


def test_mcnemar_of_equal_systems() -> None:
    same = mcnemar([0, 1], [0, 0], [0, 0])
    assert (same.only_first, same.only_second, same.exact) == (0, 0, 1.0)
    balanced = mcnemar([0, 0], [1, 0], [0, 1])
    assert balanced.exact == 1.0
    assert balanced.mid_p == pytest.approx(1 - 0.5 / 2)  # the point probability of 1 in 2 is 1/2
    with pytest.raises(UsageError, match="2 labels but 1 and 2 predictions"):
        mcnemar([0, 1], [0], [0, 1])


def test_mcnemar_keeps_its_level() -> None:
    # two systems of equal accuracy: over all outcomes of 12 discordant clips the exact test errs at most 5 times in 100
    from scipy.stats import binom

    results = {b: mcnemar([0] * 12, [0] * b + [1] * (12 - b), [1] * b + [0] * (12 - b)) for b in range(13)}
    error = {kind: sum(binom.pmf(b, 12, 0.5) for b in results if getattr(results[b], kind) <= 0.05)
             for kind in ("exact", "mid_p")}  # fmt: skip
    assert error["exact"] <= error["mid_p"] <= 0.05
