from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from microgesture.core.decode import DecodeSettings, decode
from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment
from microgesture.core.taxonomies import SMG
from microgesture.streaming.decode import FixedLagDecoder

STEP = 0.25
K = len(SMG)
SETTINGS = st.builds(
    DecodeSettings,
    on=st.floats(0.2, 0.8),
    smooth=st.sampled_from([0.0, 0.75, 1.5]),
    gap=st.floats(0, 1.5),
    pad=st.floats(-0.2, 0.3),
    longest=st.sampled_from([3.0, 20.0]),
    overlap=st.floats(0.1, 1),
    compete=st.sampled_from(["none", "group", "all"]),
)


def noise(count: int, seed: int) -> np.ndarray:
    """Probabilities that wander: a few classes rise and fall."""
    draw = np.random.default_rng(seed)
    p = np.zeros((count, K), np.float32)
    for k in draw.choice(K, 5, replace=False):
        walk = np.convolve(draw.normal(0, 1, count + 6), np.ones(7) / 2.5, "valid")
        p[:, k] = 1 / (1 + np.exp(2 - 1.5 * walk[:count]))
    return p


def fed(decoder: FixedLagDecoder, p: np.ndarray) -> tuple[list[tuple[int, Segment]], list[Segment]]:
    settled = [(i, s) for i, row in enumerate(p) for s in decoder.push((i + 0.5) * STEP, row)]
    return settled, decoder.close(len(p) * STEP)


@trials(max_examples=20)
@given(SETTINGS, st.integers(1, 120), st.integers(0, 999), st.booleans())
def test_a_lag_of_the_length_is_exact(settings: DecodeSettings, count: int, seed: int, endless: bool) -> None:
    p = noise(count, seed)
    decoder = FixedLagDecoder(SMG, settings, STEP, float("inf") if endless else count * STEP + 2)
    settled, rest = fed(decoder, p)
    offline = decode((np.arange(count) + 0.5) * STEP, p, SMG, count * STEP, settings)
    assert sorted([s for _, s in settled] + rest) == list(offline)


@trials(max_examples=20)
@given(SETTINGS, st.integers(0, 999), st.integers(20, 79), st.floats(0, 3))
def test_settled_in_time_and_by_the_past_alone(settings: DecodeSettings, seed: int, cut: int, lag: float) -> None:
    p, other = noise(80, seed), noise(80, seed + 1)
    other[:cut] = p[:cut]
    a, b = (fed(FixedLagDecoder(SMG, settings, STEP, lag), each)[0] for each in (p, other))
    assert [x for x in a if x[0] < cut] == [x for x in b if x[0] < cut]
    for i, s in a:
        assert s.end + lag <= (i + 1) * STEP + 1e-9  # not before
        assert s.end + lag > i * STEP - 1e-9  # nor after


@trials(max_examples=20)
@given(SETTINGS, st.integers(0, 999), st.floats(0, 3))
def test_nothing_is_told_twice(settings: DecodeSettings, seed: int, lag: float) -> None:
    settled, rest = fed(FixedLagDecoder(SMG, settings, STEP, lag), noise(100, seed))
    told = [s for _, s in settled] + rest
    for i, s in enumerate(told):
        assert not any(s.label == t.label and s & t for t in told[:i])


def test_lonely_gestures_are_found_as_offline_with_the_usual_lag() -> None:
    p = np.zeros((200, K), np.float32)
    for i, k in enumerate((3, 3, 8, 1)):
        p[20 + 45 * i : 26 + 45 * i + i, k] = 0.9
    settings = DecodeSettings()
    decoder = FixedLagDecoder(SMG, settings, STEP)
    assert decoder.lag == 0.5 + 0.375 + 0.25
    settled, rest = fed(decoder, p)
    assert [s for _, s in settled] + rest == list(decode((np.arange(200) + 0.5) * STEP, p, SMG, 50.0, settings))
    assert not rest


def test_one_that_goes_on_is_told_in_parts() -> None:
    settings = DecodeSettings(smooth=0.0, edge=1.0, gap=0.0, off=0.2)
    p = np.full((60, K), 0.0, np.float32)
    p[4:60, 2] = 0.6
    p[4:10, 2] = 0.7
    p[30:50, 2] = 0.9
    settled, _ = fed(FixedLagDecoder(SMG, settings, STEP, 0.5), p)
    # the first peak; then the higher one, which offline is all that is left of it
    assert [(s.start, s.end) for _, s in settled] == [(1.0, 2.5), (7.5, 12.5)]
    assert [(s.start, s.end) for s in decode((np.arange(60) + 0.5) * STEP, p, SMG, 15.0, settings)] == [(7.5, 12.5)]


def test_open_ones() -> None:
    decoder = FixedLagDecoder(SMG, DecodeSettings(smooth=0.0), STEP)
    row = np.zeros(K, np.float32)
    assert decoder.open() == []
    for i in range(8):
        row[5] = 0.9 if i >= 3 else 0.0
        decoder.push((i + 0.5) * STEP, row.copy())
    assert [(s.label, s.start, s.end) for s in decoder.open()] == [(5, 0.75, 2.0)]
    assert len(decoder.close(2.0)) == 1
    assert decoder.open() == []


def test_memory_is_bounded() -> None:
    decoder = FixedLagDecoder(SMG, DecodeSettings(), STEP, memory=10.0)
    for i, row in enumerate(noise(600, 1)):
        decoder.push((i + 0.5) * STEP, row)
    assert len(decoder._times) <= 10 / STEP + decoder.lag / STEP + 2
    assert len(decoder._told) < 60


def test_refusal() -> None:
    with pytest.raises(UsageError, match=r"lag is -0.5 s; it must be 0 or more"):
        FixedLagDecoder(SMG, lag=-0.5)
