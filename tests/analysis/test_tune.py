"""Tuning the decoder: it finds what was hidden, and never makes things worse."""

from __future__ import annotations

import numpy as np
import pytest

from microgesture.analysis.tune import Known, score, tune
from microgesture.core.decode import DecodeSettings
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import SMG


def known(seed: int, height: float = 0.4, minutes: float = 3.0) -> Known:
    """Posteriors as a model with windows of 2 s would give them: smeared, noisy, never above `height`."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(minutes * 240)) / 4
    p = rng.beta(1, 20, (len(times), len(SMG))).astype(np.float32) * height
    segments = []
    for start in np.arange(2, minutes * 60 - 8, 6.0):
        label, length = int(rng.integers(len(SMG))), float(rng.uniform(1, 3))
        segments.append(Segment(start, start + length, label))
        near = np.clip((length + 2 - 2 * np.abs(times - start - length / 2)) / 2, 0, 1)
        p[:, label] = np.maximum(p[:, label], height * near)
    return Known(times, p, Timeline(tuple(segments), SMG, minutes * 60))


def test_a_threshold_that_was_too_high_is_found() -> None:
    recordings = [known(seed) for seed in range(2)]
    start = DecodeSettings(on=0.5)
    assert score(recordings, start) == 0.0
    tuned = tune(recordings, start, rounds=1)
    assert (tuned.start, tuned.f1) == (0.0, score(recordings, tuned.settings))
    assert tuned.f1 > 0.9
    assert score([known(9)], tuned.settings) > 0.85  # it holds for a recording it was not tuned on


def test_classes_may_have_thresholds_of_their_own() -> None:
    low, high = known(1, 0.3), known(2, 0.9)
    low.posteriors[:, 8:] = 0  # the model is unsure about the first classes only
    high.posteriors[:, :8] = 0
    mixed = [low, high]
    grid = {"on": (0.15, 0.25, 0.5, 0.8)}
    together = tune(mixed, grid=grid)
    apart = tune(mixed, grid=grid, classes=True)
    assert apart.f1 >= together.f1
    assert isinstance(apart.settings.on, tuple) or apart.f1 == together.f1


def test_nothing_to_tune_on() -> None:
    with pytest.raises(ValueError, match="no recording to tune on"):
        tune([])
