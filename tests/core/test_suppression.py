"""Suppression of double detections against DyFADet and OpenTAD. Golden files dyfadet_nms, opentad_nms."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from microgesture.core.detections import Detections
from microgesture.core.suppression import nms, soft_nms, voted

GOLDEN = Path(__file__).parents[1] / "golden"
Arrays = dict[str, NDArray[np.float64]]


def golden(name: str) -> tuple[Detections, Arrays]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files if key != "meta"}
    start, end = arrays["in/segments"].T
    return Detections(start, end, arrays["in/labels"], arrays["in/scores"]), arrays


def same(ours: Detections, arrays: Arrays, name: str) -> None:
    assert ours.label.tolist() == arrays[f"out/{name}/labels"].tolist()
    np.testing.assert_allclose(np.stack([ours.start, ours.end], 1), arrays[f"out/{name}/segments"], atol=2e-5)
    np.testing.assert_allclose(ours.score, arrays[f"out/{name}/scores"], atol=2e-5)


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_modes_of_dyfadet(kind: str, per_class: bool) -> None:
    found, arrays = golden("dyfadet_nms")
    if kind == "soft":
        kept = soft_nms(found, 0.5, least=0.05, per_class=per_class, most=40)
    else:
        kept = nms(found, 0.3, per_class, least=0.05, most=40)
    if per_class:
        same(kept, arrays, f"{kind}_multiclass")
    else:
        same(voted(kept, found, 0.75, per_class=False), arrays, f"{kind}_agnostic_vote")
    if kind == "soft" and not per_class:
        same(kept, arrays, "soft_agnostic_novote")


@pytest.mark.parametrize(("number", "method"), [(0, "hard"), (1, "linear"), (2, "gaussian")])
def test_methods_of_dyfadet(number: int, method: str) -> None:
    found, arrays = golden("dyfadet_nms")
    kept = soft_nms(found, 0.4, method, 0.3, 0.02, per_class=False)
    same(kept, arrays, f"softop_method{number}")


def test_voting_of_dyfadet() -> None:
    found, arrays = golden("dyfadet_nms")
    moved = voted(found[:10], found, 0.5, per_class=False)
    np.testing.assert_allclose(np.stack([moved.start, moved.end], 1), arrays["out/voting"], atol=2e-5)


def test_methods_of_opentad() -> None:
    found, arrays = golden("opentad_nms")
    for name, kept in {
        "gaussian_multiclass": soft_nms(found, 0.5, least=0.02, most=40),
        "linear_multiclass": soft_nms(found, 0.5, "linear", 0.3, 0.02, most=40),
        "vanilla_multiclass": soft_nms(found, 0.5, "hard", 0.3, 0.02, most=40),
        "hard_multiclass": nms(found, 0.3, least=0.02, most=40),
        "bmn_multiclass": soft_nms(found, 0.5, "bmn", 0.2, 0.02, most=40, slope=0.02),
        "bmn_agnostic": soft_nms(found, 0.75, "bmn", 0.3, 0.02, per_class=False, most=40, slope=0.01),
    }.items():
        same(kept, arrays, name)
    kept = soft_nms(found, 0.5, least=0.02, per_class=False, most=40)
    same(voted(kept, found, 0.7, per_class=False), arrays, "gaussian_agnostic_vote")


def random(count: int, classes: int = 32, length: float = 900.0) -> Detections:
    draw = np.random.default_rng(count)
    start = draw.uniform(0, length, count)
    return Detections(
        start, start + draw.uniform(0.3, 8, count), draw.integers(classes, size=count), draw.random(count)
    )


def overlaps(found: Detections) -> NDArray[np.float64]:
    """IoU of all with all, the slow way."""
    common = np.minimum.outer(found.end, found.end) - np.maximum.outer(found.start, found.start)
    length = found.end - found.start + 1e-6
    return np.asarray(np.maximum(common, 0) / (np.add.outer(length, length) - np.maximum(common, 0)))


def test_no_two_that_stay_are_double() -> None:
    found = random(400, classes=3, length=100.0)
    kept = nms(found, 0.4)
    double = (overlaps(kept) >= 0.4) & np.equal.outer(kept.label, kept.label)
    assert double.sum() == len(kept), "each with itself only"
    assert (np.diff(kept.score) <= 0).all()
    again = nms(kept, 0.4)
    assert again.start.tolist() == kept.start.tolist()


def test_the_decay_in_closed_form() -> None:
    found = Detections([0, 1, 50], [2, 3, 52], [0, 0, 0], [0.9, 0.8, 0.7])  # IoU of the first two: 1/3
    for method, factor in (("gaussian", np.exp(-1 / 9 / 0.5)), ("linear", 2 / 3), ("bmn", np.exp(-1 / 9 / 0.5))):
        kept = soft_nms(found, 0.5, method)
        assert sorted(kept.score) == pytest.approx(sorted([0.9, 0.7, 0.8 * factor]), abs=1e-6)
    assert soft_nms(found, 0.5, "bmn", slope=0.2).score.tolist() == [0.9, 0.8, 0.7], "1/3 is below 0.1 + 0.2 * 2"
    assert soft_nms(found, 0.5, "hard").score.tolist() == [0.9, 0.7]


def test_the_most_certain_stays_whatever_its_score() -> None:
    low = Detections([0, 10], [1, 11], [0, 1], [1e-5, 1e-6])
    assert soft_nms(low, least=0.001, per_class=False).score.tolist() == [1e-5]
    assert soft_nms(low, least=0.001).score.tolist() == [1e-5, 1e-6]
    assert len(nms(low, least=1e-5)) == 0


def test_times_shift_and_nothing_else() -> None:
    found = random(300, classes=4, length=60.0)
    later = Detections(found.start + 1000, found.end + 1000, found.label, found.score)
    a, b = (voted(soft_nms(f, 0.3), f) for f in (found, later))
    np.testing.assert_allclose(a.start + 1000, b.start, atol=1e-6)
    np.testing.assert_allclose(a.score, b.score, atol=1e-9)


def test_voting_keeps_to_the_class_and_to_close_ones() -> None:
    found = Detections([0.0, 0.2, 0.1, 0.0], [2.0, 2.0, 2.0, 9.0], [3, 3, 4, 3], [0.4, 0.6, 1.0, 1.0])
    moved = voted(found[:1], found)
    assert moved.start[0] == pytest.approx(0.12)
    assert voted(found[:1], found, per_class=False).start[0] == pytest.approx((0.2 * 0.6 + 0.1) / 2)
    assert moved.score.tolist() == [0.4]
    silent = Detections([0.0], [1.0], [0], [0.0])
    assert voted(silent, silent).end.tolist() == [1.0]


def test_nothing_gives_nothing() -> None:
    for per_class in (True, False):
        assert len(nms(Detections.none(), per_class=per_class)) == 0
        kept = soft_nms(Detections.none(), per_class=per_class)
        assert len(voted(kept, random(5), per_class=per_class)) == 0
    assert len(nms(random(5), most=0)) == 0


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="method is 'cubic', expected one of gaussian, linear, hard, bmn"):
        soft_nms(random(3), method="cubic")


def test_a_long_recording_takes_no_time() -> None:
    found = random(5000)
    before = time.process_time()
    voted(soft_nms(found, most=2000), found)
    nms(found)
    assert time.process_time() - before < 1.5, "about 0.2 s on one core"
