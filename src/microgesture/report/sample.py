"""An invented analysis, to look at pages with and to measure them by."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microgesture.analysis.analyze import STEP, Analysis, versions
from microgesture.analysis.poses import TrackPoses
from microgesture.analysis.quality import measure
from microgesture.analysis.rates import evidence
from microgesture.analysis.states import State
from microgesture.core.layouts import skeleton
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import taxonomy as taxonomy_of
from microgesture.core.track import PoseTrack

# half a person, shoulder widths from the neck, y down; the left half is its mirror image
_BODY = {
    "nose": (0, -0.62),
    "r_shoulder": (-0.5, 0.02),
    "r_elbow": (-0.65, 0.7),
    "r_wrist": (-0.35, 1.1),
    "mid_hip": (0, 1.35),
    "r_hip": (-0.25, 1.35),
    "r_eye": (-0.09, -0.72),
    "r_ear": (-0.2, -0.66),
    "r_brow": (-0.1, -0.8),
    "r_mouth": (-0.08, -0.45),
    "upper_lip": (0, -0.47),
    "lower_lip": (0, -0.42),
    "chin": (0, -0.3),
    "r_jaw": (-0.17, -0.42),
    "forehead": (0, -0.98),
    "r_thumb_tip": (-0.22, 1.0),
    "r_index_mcp": (-0.2, 1.12),
    "r_index_tip": (-0.08, 1.12),
    "r_middle_mcp": (-0.2, 1.16),
    "r_middle_tip": (-0.06, 1.17),
    "r_ring_tip": (-0.08, 1.21),
    "r_pinky_mcp": (-0.22, 1.22),
    "r_pinky_tip": (-0.12, 1.26),
}


def invented_track(seconds: float, fps: float = 25.0, person: int = 0) -> PoseTrack:
    """A stick figure that lifts its right hand to its face every four seconds; legs are never seen."""
    layout = skeleton("canonical")
    frames = max(1, round(seconds * fps))
    body = np.zeros((len(layout), 2), np.float32)
    score = np.full((frames, len(layout)), 0.9, np.float32)
    for i, joint in enumerate(layout.joints):
        x, y = _BODY.get("r_" + joint[2:] if joint.startswith("l_") else joint, (0, 0))
        body[i] = (-x if joint.startswith("l_") else x, y)
        if joint.endswith(("knee", "ankle", "toe")):
            score[:, i] = 0
    xy = np.repeat(body[None], frames, 0)
    lift = np.clip(1.4 * np.sin(2 * np.pi * np.arange(frames) / fps / 8), 0, 1)[:, None, None].astype(np.float32)
    hand = [i for i, j in enumerate(layout.joints) if j == "r_wrist" or (j[:2] == "r_" and ("tip" in j or "mcp" in j))]
    xy[:, hand] += lift * np.array([0.22, -1.35], np.float32)
    xy[:, [layout.index("r_elbow")]] += lift * np.array([-0.1, -0.25], np.float32)
    pixels = (xy * 90 + (320, 130)).astype(np.float32)
    return PoseTrack(pixels, score, fps, (640, 360), layout, person=person)


def invented(minutes: float = 3.0, seed: int = 0, *, taxonomy: str = "imigue", events: int | None = None) -> Analysis:
    """An analysis of an invented recording with a realistic rate of events.

    Args:
        events: number of segments; by default about ten per minute.
    """
    rng = np.random.default_rng(seed)
    labels, duration = taxonomy_of(taxonomy), minutes * 60
    track = invented_track(min(duration, 600))
    poses = TrackPoses([track])
    weight = np.array([max(1, k.train_count) for k in labels], float) ** 0.7
    count = events or max(1, round(10 * minutes))
    start = np.sort(rng.uniform(0, duration - 4, count))
    length = np.clip(rng.lognormal(0.4, 0.6, count), 0.5, 4)
    label = rng.choice(len(labels), count, p=weight / weight.sum())
    score = rng.beta(6, 2, count)
    segments = tuple(
        Segment(round(float(a), 3), round(float(a + d), 3), int(k), round(float(s), 4))
        for a, d, k, s in zip(start, length, label, score, strict=True)
    )
    times = np.arange(int(duration / STEP)) * STEP + STEP / 2
    posteriors = rng.beta(1, 30, (len(times), len(labels))).astype(np.float32)
    for s in segments:
        inside = np.exp(-0.5 * ((times - (s.start + s.end) / 2) / (s.duration / 2)) ** 2) * s.score
        posteriors[:, s.label] = np.maximum(posteriors[:, s.label], inside)
    line = Timeline(segments, labels, duration)
    quality = measure(poses, 0)
    states = (State(0, duration / 2, "relaxed"), State(duration / 2, duration, "stressed"))
    return Analysis(
        source=Path("invented-interview.mp4"),
        out=Path("."),
        timeline=line,
        persons=1,
        poses=poses,
        times=times,
        posteriors=(posteriors,),
        quality=(quality,),
        evidence=(evidence(line, 0, minutes, states),),
        warnings=(*quality.warnings, "this recording is invented; it shows what a report looks like"),
        settings={"model": "base", "step": STEP, "taxonomy": taxonomy},
        versions=versions(),
        states=states,
    )
