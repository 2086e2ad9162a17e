"""Rates, intervals and comparisons against published and closed-form values."""

from __future__ import annotations

import json

import numpy as np
import pytest

from microgesture.analysis.rates import benjamini_hochberg, compare_states, evidence, poisson_interval, rate_ratio
from microgesture.analysis.states import State
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE


def line(*events: tuple[float, float, int], duration: float = 120.0) -> Timeline:
    return Timeline(tuple(Segment(a, b, k) for a, b, k in events), IMIGUE, duration)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904), (100, 81.3638, 121.6273)]
)
def test_poisson_intervals_are_garwoods(count: int, low: float, high: float) -> None:
    assert poisson_interval(count, 1.0) == pytest.approx((low, high), abs=1e-3)
    assert poisson_interval(count, 4.0) == pytest.approx((low / 4, high / 4), abs=1e-3)


def test_no_exposure_says_nothing() -> None:
    assert poisson_interval(0, 0.0) == (0.0, float("inf"))
    with pytest.raises(ValueError, match="-1 events in 1 minutes make no rate"):
        poisson_interval(-1, 1)


def test_equal_rates_have_ratio_one_and_mirror_under_exchange() -> None:
    ratio, low, high, p = rate_ratio((10, 10), (2.0, 2.0))
    assert (ratio, p) == (1.0, 1.0)
    assert low == pytest.approx(1 / high)
    a, b = rate_ratio((12, 3), (2.0, 3.0)), rate_ratio((3, 12), (3.0, 2.0))
    assert a[0] == pytest.approx(1 / b[0]) == pytest.approx(6.0)
    assert a[1] == pytest.approx(1 / b[2])
    assert a[3] == pytest.approx(b[3])
    assert a[3] < 0.01


def test_a_state_without_events_has_an_open_interval() -> None:
    ratio, low, high, p = rate_ratio((5, 0), (1.0, 1.0))
    assert ratio == high == float("inf")
    assert low > 0.9
    assert p == pytest.approx(2 / 2**5)
    assert np.isnan(rate_ratio((0, 0), (1.0, 1.0))[0])


def test_the_exact_interval_keeps_its_promise() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for a, b in zip(rng.poisson(6, 400), rng.poisson(3, 400), strict=True):
        _, low, high, _ = rate_ratio((int(a), int(b)), (2.0, 1.0))
        hits += low <= 1.0 <= high
    assert hits >= 0.94 * 400  # exact intervals cover at least 95 %; three standard errors below that is 0.917


def test_benjamini_hochberg_by_hand() -> None:
    assert benjamini_hochberg([0.005, 0.011, 0.02, 0.04, 0.13]) == pytest.approx([0.025, 0.0275, 1 / 30, 0.05, 0.13])
    assert benjamini_hochberg([]).size == 0


def test_evidence_counts_by_class_group_and_pause() -> None:
    e = evidence(line((0, 1, 6), (3, 4, 6), (3.5, 5.5, 28), (10, 12, 31)), 0, 2.0)
    assert (e.total.count, e.total.per_minute, e.total.seconds) == (3, 1.5, 4.0)
    assert e.illustrative is not None
    assert (e.illustrative.count, e.illustrative.share) == (1, 0.0)
    assert e.classes[6].share == pytest.approx(2 / 3)
    assert {g.name: g.count for g in e.groups if g.count} == {"Head-Hand": 2, "Head": 1}
    assert e.gap == pytest.approx(1.0)  # pauses 2 s and 0 s
    assert e.log_rates[6] == pytest.approx(np.log(2))
    assert evidence(line(), 0, 2.0).gap is None


def test_evidence_of_nobody_is_valid_json() -> None:
    text = json.dumps(evidence(line(), 0, 0.0).as_dict(), allow_nan=False)
    assert '"high": null' in text
    assert "never to judge" in text


def test_states_are_compared_by_where_events_begin() -> None:
    states = (State(0, 60, "relaxed"), State(60, 120, "stressed"))
    events = [(float(t), t + 0.5, 6) for t in range(60, 110, 4)] + [(59.9, 61.0, 28)]
    rows = compare_states(line(*events), states)
    assert [(r.name, r.counts) for r in rows] == [
        ("all micro-gestures", (1, 13)),
        (IMIGUE[6].name, (0, 13)),
        (IMIGUE[28].name, (1, 0)),
    ]
    assert rows[1].q == pytest.approx(rows[1].p * 3)
    assert rows[1].ratio == 0.0
    assert rows[1].high < 0.5
    assert compare_states(line(*events), states[:1]) == ()


def test_states_count_up_to_the_end_of_the_recording() -> None:
    states = (State(0, 60, "relaxed"), State(60, 600, "stressed"), State(600, 700, "later"))
    rows = compare_states(line((10, 11, 6), (70, 71, 6)), states)
    assert {r.states for r in rows} == {("relaxed", "stressed")}
    assert {r.minutes for r in rows} == {(1.0, 1.0)}
    assert rows[0].ratio == 1.0
