"""Decoding: what the settings mean, and what holds for any posteriors."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from microgesture.core.decode import DecodeSettings, decode, smoothed
from microgesture.core.taxonomies import SMG

K = len(SMG)
PLAIN = DecodeSettings(on=0.5, off=0.6, edge=0.0, smooth=0.0, gap=0.0, shortest=0.01, compete="none")


def posteriors(count: int, *bumps: tuple[int, int, int, float]) -> np.ndarray:
    p = np.zeros((count, K), np.float32)
    for label, a, b, value in bumps:
        p[a:b, label] = value
    return p


def times(count: int, step: float = 0.25) -> np.ndarray:
    return np.arange(count) * step + step / 2


def found(p: np.ndarray, s: DecodeSettings = PLAIN) -> list[tuple[int, float, float]]:
    segments = decode(times(len(p)), p, SMG, len(p) / 4, s)
    return [(x.label, round(x.start, 4), round(x.end, 4)) for x in segments]


def test_a_segment_covers_its_windows() -> None:
    assert found(posteriors(40, (3, 8, 16, 0.9))) == [(3, 2.0, 4.0)]


def test_hysteresis_begins_high_and_ends_low() -> None:
    p = posteriors(40, (3, 8, 20, 0.4), (3, 10, 12, 0.6))
    assert found(p) == [(3, 2.0, 5.0)]
    assert found(np.minimum(p, 0.45)) == []


def test_edge_trims_to_a_share_of_the_peak() -> None:
    p = posteriors(40, (3, 8, 20, 0.35), (3, 10, 12, 0.9))
    assert found(p, replace(PLAIN, edge=0.5)) == [(3, 2.5, 3.0)]


def test_near_stretches_of_a_class_are_joined() -> None:
    p = posteriors(40, (3, 4, 8, 0.9), (3, 10, 12, 0.8))
    assert len(found(p)) == 2
    assert found(p, replace(PLAIN, gap=0.5)) == [(3, 1.0, 3.0)]


def test_durations_outside_the_range_go_or_are_cut_around_the_peak() -> None:
    p = posteriors(80, (3, 4, 5, 0.9), (5, 10, 70, 0.8))
    p[60, 5] = 0.95
    assert found(p, replace(PLAIN, shortest=0.5, longest=4.0)) == [(5, 13.125, 17.125)]


def test_the_prior_lowers_the_score_of_odd_durations() -> None:
    p = posteriors(80, (3, 4, 11, 0.9), (5, 20, 60, 0.9))
    s = replace(PLAIN, prior=1.0, typical=1.75, spread=0.5)
    usual, odd = decode(times(80), p, SMG, 20.0, s)
    assert usual.score == pytest.approx(0.9, abs=1e-6)
    assert odd.score < 0.1
    assert len(decode(times(80), p, SMG, 20.0, replace(s, keep=0.5))) == 1


def test_competitors_leave_the_more_certain_one() -> None:
    same_group = [k.id for k in SMG if k.group == "Body-Hand"][:2]
    a, b = same_group
    p = posteriors(40, (a, 8, 16, 0.9), (b, 8, 16, 0.8), (0, 8, 16, 0.7))
    assert {x[0] for x in found(p)} == {a, b, 0}
    assert {x[0] for x in found(p, replace(PLAIN, compete="group"))} == {a, 0}
    assert {x[0] for x in found(p, replace(PLAIN, compete="all"))} == {a}
    assert {x[0] for x in found(p, replace(PLAIN, compete="all", overlap=1.0))} == {a, b, 0}


def test_one_threshold_per_class() -> None:
    on = [0.5] * K
    on[3] = 0.95
    p = posteriors(40, (3, 8, 16, 0.9), (5, 8, 16, 0.9))
    assert [x[0] for x in found(p, replace(PLAIN, on=tuple(on)))] == [5]


def test_smoothing_removes_a_single_spike_and_keeps_constants() -> None:
    p = posteriors(40, (3, 8, 9, 0.9), (5, 0, 40, 0.7))
    assert [x[0] for x in found(p, replace(PLAIN, smooth=1.0))] == [5]
    assert np.allclose(smoothed(p, 4)[:, 5], 0.7)


def test_empty_and_single_inputs() -> None:
    assert decode(np.zeros(0), np.zeros((0, K), np.float32), SMG, 0.0) == ()
    (only,) = decode(np.array([0.1]), np.ones((1, K), np.float32)[:, :], SMG, 0.2, replace(PLAIN, compete="all"))
    assert (only.start, only.end) == (0.0, 0.2)


def test_nan_counts_as_nobody_there() -> None:
    p = posteriors(40, (3, 8, 16, 0.9))
    p[12:] = np.nan
    assert found(p) == [(3, 2.0, 3.0)]


@pytest.mark.parametrize("shape", [(4, K - 1), (3, K), (4,)])
def test_wrong_shapes_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"expected \(4, {K}\)"):
        decode(times(4), np.zeros(shape, np.float32), SMG, 1.0)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="compete is 'some', expected 'none', 'group' or 'all'"):
        DecodeSettings(compete="some")
    with pytest.raises(ValueError, match="shortest 2 and longest 1 are no range"):
        DecodeSettings(shortest=2, longest=1)


ANY = arrays(np.float32, st.tuples(st.integers(0, 60), st.just(K)), elements=st.floats(0, 1, width=32))
SETTINGS = st.builds(
    DecodeSettings,
    on=st.floats(0.05, 0.95),
    off=st.floats(0.1, 1),
    edge=st.floats(0, 1),
    smooth=st.floats(0, 2),
    gap=st.floats(0, 2),
    pad=st.floats(-0.5, 0.5),
    prior=st.floats(0, 2),
    longest=st.floats(0.5, 30),
    overlap=st.floats(0, 1),
    compete=st.sampled_from(["none", "group", "all"]),
)


@settings(max_examples=150, deadline=None)
@given(ANY, SETTINGS)
def test_segments_are_sorted_inside_and_disjoint_within_a_class(p: np.ndarray, s: DecodeSettings) -> None:
    duration = len(p) / 4
    segments = decode(times(len(p)), p, SMG, duration, s)
    assert list(segments) == sorted(segments)
    assert all(0 <= x.start < x.end <= duration for x in segments)
    assert all(s.shortest - 1e-6 <= x.duration <= s.longest + 1e-6 for x in segments)
    for label in {x.label for x in segments}:
        mine = [x for x in segments if x.label == label]
        assert all(a.end < b.start for a, b in pairwise(mine))


@settings(max_examples=60, deadline=None)
@given(ANY, SETTINGS, st.integers(1, 100))
def test_shifting_time_shifts_the_segments(p: np.ndarray, s: DecodeSettings, windows: int) -> None:
    later = np.concatenate([np.zeros((windows, K), np.float32), p, np.zeros((9, K), np.float32)])
    early = np.concatenate([np.zeros((9, K), np.float32), p, np.zeros((9, K), np.float32)])
    a = decode(times(len(early)), early, SMG, 1e3, s)
    b = decode(times(len(later)), later, SMG, 1e3, s)
    if windows >= 9:  # enough room in front that nothing is cut off at 0
        assert [x.label for x in a] == [x.label for x in b]
        shift = (windows - 9) / 4
        assert np.allclose([x.start + shift for x in a], [x.start for x in b], atol=1e-6)
        assert np.allclose([x.score for x in a], [x.score for x in b], atol=1e-6)


@given(st.floats(0, 1, width=32), SETTINGS)
def test_constant_posteriors_give_at_most_one_segment_per_class(value: float, s: DecodeSettings) -> None:
    segments = decode(times(40), np.full((40, K), value, np.float32), SMG, 10.0, s)
    assert len(segments) == len({x.label for x in segments})
    assert bool(segments) <= (value >= s.on - 1e-6)
