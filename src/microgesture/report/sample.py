"""The analysis of a simulated recording, to look at pages with and to measure them by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from microgesture.analysis.analyze import STEP, Analysis, versions
from microgesture.analysis.poses import TrackPoses
from microgesture.analysis.quality import measure
from microgesture.analysis.rates import evidence
from microgesture.analysis.states import State
from microgesture.core.segment import Timeline
from microgesture.core.taxonomies import taxonomy as taxonomy_of
from microgesture.simulation.recording import simulate_recording


def invented(minutes: float = 3.0, seed: int = 0, taxonomy: str = "imigue") -> Analysis:
    """What a nearly perfect model would find in a simulated recording."""
    rng = np.random.default_rng(seed)
    recording = simulate_recording(taxonomy, minutes, seed)
    poses, labels, duration = TrackPoses([recording.track]), taxonomy_of(taxonomy), recording.timeline.duration
    segments = tuple(
        replace(s, score=round(float(score), 4))
        for s, score in zip(recording.timeline, rng.beta(6, 2, len(recording.timeline)), strict=True)
    )
    times = np.arange(int(duration / STEP)) * STEP + STEP / 2
    posteriors = rng.beta(1, 30, (len(times), len(labels))).astype(np.float32)
    for s in segments:
        inside = np.exp(-0.5 * ((times - (s.start + s.end) / 2) / (s.duration / 2)) ** 2) * s.score
        posteriors[:, s.label] = np.maximum(posteriors[:, s.label], inside)
    line = Timeline(segments, labels, duration)
    quality, states = measure(poses, 0), tuple(State(*state) for state in recording.states)
    return Analysis(
        source=Path("simulated-interview.mp4"),
        out=Path("."),
        timeline=line,
        persons=1,
        poses=poses,
        times=times,
        posteriors=(posteriors,),
        quality=(quality,),
        evidence=(evidence(line, 0, quality.minutes, states),),
        warnings=(*quality.warnings, "this recording is simulated; it shows what a report looks like"),
        settings={"model": "none", "step": STEP, "taxonomy": taxonomy},
        versions=versions(),
        states=states,
    )
