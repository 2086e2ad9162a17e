"""After training: make probabilities mean what they say, and find the decoder's settings, on validation people.

Nothing here sees a test person or a real clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.analysis.analyze import STEP
from microgesture.analysis.recogniser import Recogniser
from microgesture.analysis.tune import Known, tune
from microgesture.core.decode import DecodeSettings, decode
from microgesture.core.segment import Timeline
from microgesture.core.taxonomies import taxonomy
from microgesture.evaluation.online import Spotting, f1_at_iou
from microgesture.learning.motions import Calibration, class_probabilities, motion_table
from microgesture.simulation.clips import simulate_clips
from microgesture.simulation.recording import Recording, simulate_recording

_TEMPERATURES = np.exp(np.linspace(np.log(0.4), np.log(3.0), 40))


def calibrate(
    recogniser: Recogniser, *, clips: int = 600, minutes: float = 10.0, recordings: int = 4, seed: int = 0
) -> tuple[Recogniser, dict[str, Any]]:
    """The same model with fitted calibration and decoders, and what to save of them in its config.

    Args:
        clips: simulated clips per taxonomy for the temperature.
        minutes, recordings: length and number of simulated recordings per taxonomy for the rest.

    Returns:
        The recogniser, and `{"calibration": ..., "decoding": {taxonomy: settings}}`.
    """
    temperature = _temperature(recogniser, clips, seed)
    films = {
        key: [simulate_recording(key, minutes, 1000 * seed + i, split="val") for i in range(recordings)]
        for key in recogniser.taxonomies
    }
    odds = {key: [log_odds(recogniser, film) for film in list_] for key, list_ in films.items()}
    scale, shift = _platt(films, odds)
    calibration = Calibration(round(temperature, 4), round(scale, 4), round(shift, 4))
    decodings = {}
    for key, list_ in films.items():
        known = [
            Known(times, calibration.probabilities(z), film.timeline)
            for film, (times, z) in zip(list_, odds[key], strict=True)
        ]
        decodings[key] = tune(known, DecodeSettings(on=0.3)).settings
    notes = {"calibration": asdict(calibration), "decoding": {key: asdict(d) for key, d in decodings.items()}}
    return replace(recogniser, calibration=calibration, decodings=decodings), notes


def log_odds(recogniser: Recogniser, film: Recording) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Window centres (N,) and log odds (N, K) along a recording, as `analyze` asks for them."""
    times = np.arange(int(film.timeline.duration / STEP)) * STEP + STEP / 2
    return times, recogniser.log_odds(film.track, film.timeline.taxonomy, times)


def _temperature(recogniser: Recogniser, count: int, seed: int) -> float:
    """Temperature of the smallest log loss over the clips of all taxonomies."""
    loss = np.zeros(len(_TEMPERATURES))
    for key in recogniser.taxonomies:
        table = motion_table(recogniser.model, taxonomy(key))
        for part, frames in enumerate((24, 36, 54)):
            made = simulate_clips(key, count // 3, 77 * seed + part, frames=frames, split="val")
            logits = np.stack([recogniser.motions(made.track(i)) for i in range(len(made))])
            for i, t in enumerate(_TEMPERATURES):
                p = class_probabilities(logits / t, table)[np.arange(len(made)), made.label]
                loss[i] -= np.log(np.maximum(p, 1e-9)).sum()
    return float(_TEMPERATURES[loss.argmin()])


def _platt(
    films: dict[str, list[Recording]],
    odds: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float32]]]],
) -> tuple[float, float]:
    """Scale and shift that make the log odds of windows fit how often the class really goes on."""
    from sklearn.linear_model import LogisticRegression

    z, y = [], []
    for key, list_ in films.items():
        for film, (times, values) in zip(list_, odds[key], strict=True):
            z.append(values.ravel())
            y.append(truth(film, times).ravel())
    x = np.concatenate(z)
    known = np.isfinite(x)
    fit = LogisticRegression(C=1e6).fit(x[known, None], np.concatenate(y)[known])
    return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def truth(film: Recording, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which class goes on at which time, (N, K)."""
    on = np.zeros((len(times), len(film.timeline.taxonomy)), bool)
    for segment in film.timeline:
        on[(times >= segment.start) & (times < segment.end), segment.label] = True
    return on


def spotting(recogniser: Recogniser, key: str, seeds: Sequence[int], minutes: float = 10.0) -> Spotting:
    """How well recordings of simulated test people are spotted: strict, IoU above 0.3."""
    true, found = [], []
    for seed in seeds:
        film = simulate_recording(key, minutes, seed, split="test")
        times, odds = log_odds(recogniser, film)
        space, duration = film.timeline.taxonomy, film.timeline.duration
        p = recogniser.calibration.probabilities(odds)
        true.append(film.timeline)
        found.append(Timeline(decode(times, p, space, duration, recogniser.decoding(space)), space, duration))
    return f1_at_iou(true, found, 0.3)
