from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from microgesture.core.errors import UsageError
from microgesture.evaluation.coefficients import (
    Resampling,
    cohen_kappa,
    gwet_ac1,
    kappa_of,
    kappa_with_absence,
    krippendorff_alpha,
)

_ = np.nan
# Krippendorff's example of four observers and twelve units, one of which has a single value
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
# two abstractors who sort 100 pregnancies into three classes, the example of Gwet's own package irrCAC
ABSTRACTORS = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]])


def listed(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table of counts as two lists of ratings."""
    first, second = np.nonzero(table)
    return np.repeat(first, table[first, second]), np.repeat(second, table[first, second])


def test_kappa_of_the_textbook_table() -> None:
    # agree 20 + 15 of 50; by chance 25 x 30 + 25 x 20 of 2500: (0.7 - 0.5) / (1 - 0.5)
    found = cohen_kappa(*listed(np.array([[20, 5], [10, 15]])))
    assert found.value == pytest.approx(0.4)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.4 < found.high
    assert found.sentence == (
        f"Agreement between first and second: kappa 0.40 (95 % interval {found.low:.2f} to {found.high:.2f},"
        " from resampling 50 units), on 50 units."
    )


def test_kappa_of_gwets_abstractors() -> None:
    assert cohen_kappa(*listed(ABSTRACTORS)).value == pytest.approx(0.7964094, abs=1e-7)


def test_weighted_kappa_by_hand() -> None:
    first, second = [0, 0, 1, 2], [0, 1, 1, 0]
    # distances 0, 1, 0, 2; all 16 pairings of the margins (2, 1, 1) and (2, 2, 0) add up to 12, squared to 16
    assert cohen_kappa(first, second, "linear").value == pytest.approx(1 - (3 / 4) / (12 / 16))
    assert cohen_kappa(first, second, "quadratic").value == pytest.approx(1 - (5 / 4) / (16 / 16))


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_equals_scikit_learn(weights: str | None) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, 200)
    second = np.where(rng.random(200) < 0.6, first, rng.integers(0, 4, 200))
    found = cohen_kappa(first, second, weights)  # type: ignore[arg-type]
    assert found.value == pytest.approx(cohen_kappa_score(first, second, weights=weights))


def test_the_interval_of_kappa_has_the_width_of_its_standard_error() -> None:
    first, second = listed(ABSTRACTORS)
    found = cohen_kappa(first, second, resampling=Resampling(samples=4000))
    # irrCAC gives a standard error of 0.0589
    assert found.low == pytest.approx(0.7964 - 1.96 * 0.0589, abs=0.02)
    assert found.high == pytest.approx(0.7964 + 1.96 * 0.0589, abs=0.02)
    assert found == cohen_kappa(first, second, resampling=Resampling(samples=4000))
    order = np.random.default_rng(0).permutation(100)
    assert cohen_kappa(first[order], second[order], resampling=Resampling(samples=4000)) == found


@pytest.mark.parametrize(
    "level, alpha", [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_of_krippendorffs_example(level: str, alpha: float) -> None:
    found = krippendorff_alpha(OBSERVERS, level, resampling=Resampling(samples=100))  # type: ignore[arg-type]
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert found.low is not None
    assert found.low < alpha
    assert found.on == "11 units that two or more raters judged"


def test_ac1_of_krippendorffs_example_as_gwets_package_gives_it() -> None:
    # the package prints the agreement observed, 0.8181818, that by chance, 0.1903212, and what follows
    found = gwet_ac1(OBSERVERS)
    assert found.value == pytest.approx((0.8181818 - 0.1903212) / (1 - 0.1903212), abs=1e-6)
    assert found.value == pytest.approx(0.77544, abs=5e-6)


def test_ac1_by_hand() -> None:
    # observed 89 of 100; shares (13 + 13) / 200, (27 + 24) / 200, (60 + 63) / 200 of the classes
    share = np.array([26, 51, 123]) / 200
    chance = (share * (1 - share)).sum() / 2
    found = gwet_ac1(listed(ABSTRACTORS), ("anna", "ben"))
    assert found.value == pytest.approx((0.89 - chance) / (1 - chance))
    assert found.value == pytest.approx(0.8493305, abs=1e-7)
    assert found.sentence.startswith("Agreement between anna and ben: Gwet's AC1 0.85 (95 % interval")


def test_kappa_falls_and_ac1_stays_where_one_answer_prevails() -> None:
    # 118 of 125 agree, nearly always on one answer: kappa says chance, AC1 says agreement
    first, second = listed(np.array([[118, 5], [2, 0]]))
    kappa, ac1 = cohen_kappa(first, second).value, gwet_ac1([first, second]).value
    assert kappa is not None
    assert ac1 is not None
    assert kappa < 0 < 0.9 < ac1


def test_absence_is_expected_as_by_iterative_proportional_fitting() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        table = rng.integers(0, 9, (5, 5)).astype(float) + np.eye(5) * 6
        table[:4, :4] *= 2
        table[4, 4] = 0
        expected = np.ones((5, 5))
        expected[4, 4] = 0
        for _ in range(500):
            expected *= (table.sum(1) / expected.sum(1))[:, None]
            expected *= table.sum(0) / expected.sum(0)
        chance, observed = np.trace(expected) / table.sum(), np.trace(table) / table.sum()
        assert kappa_with_absence(table) == pytest.approx((observed - chance) / (1 - chance), abs=1e-9)
    # without unlinked events it is Cohen's
    table[4], table[:, 4] = 0, 0
    assert kappa_with_absence(table) == pytest.approx(kappa_of(table[:4, :4]))


def test_what_is_not_defined_says_why() -> None:
    one = cohen_kappa([3, 3, 3], [3, 3, 3], raters=("anna", "model"))
    assert (one.value, one.low, one.high) == (None, None, None)
    assert one.sentence == (
        "Agreement between anna and model: kappa is not defined, because only one category occurs (3 units)."
    )
    assert gwet_ac1([[1, 1], [1, 1]]).reason == "only one category occurs"
    assert gwet_ac1([[1, _], [_, 2]]).reason == "no unit was judged twice"
    assert krippendorff_alpha([[1, 1], [1, 1]]).reason == "only one value occurs"
    assert krippendorff_alpha([[1, _], [_, 2]]).reason == "no unit was judged twice"


def test_a_value_without_an_interval_says_why() -> None:
    few = cohen_kappa([0, 1, 0] * 3, [1, 1, 0] * 3)
    assert few.low is None
    assert cohen_kappa([0, 1, 0] * 3 + [1], [1, 1, 0] * 3 + [1]).low is not None
    assert krippendorff_alpha([[0, 1, 1], [0, 1, 0]]).low is None
    single = cohen_kappa([0], [1])
    assert (single.value, single.low) == (0.0, None)
    assert single.sentence == (
        "Agreement between first and second: kappa 0.00, without an interval, because there is too little to resample"
        " (1 unit), on 1 unit."
    )
    # a third of the samples lack the second category and say nothing
    rare = cohen_kappa([0] * 300 + [1], [0] * 300 + [1], resampling=Resampling(samples=50))
    assert rare.value == 1.0
    assert (rare.low, rare.high) == (1.0, 1.0)


def test_impossible_ratings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"shapes \(2,\) and \(3,\)"):
        cohen_kappa([1, 2], [1, 2, 3])
    with pytest.raises(UsageError, match="weights 'cubic' are unknown"):
        cohen_kappa([1, 2], [1, 2], "cubic")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"shape \(1, 2\), expected \(raters, N\)"):
        gwet_ac1([[1, 2]])
    with pytest.raises(UsageError, match="3 names for 2 raters"):
        gwet_ac1([[1, 2], [1, 2]], ("a", "b", "c"))
    with pytest.raises(UsageError, match="resampling by 'clips' is unknown"):
        Resampling(by="clips")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="stretch is 0 s"):
        Resampling(stretch=0)
