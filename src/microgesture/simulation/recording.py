"""Long untrimmed recordings with ground truth: one person, one camera, many motions, two emotional states.

A recording is planned as consecutive scenes of a few seconds, each with at most one main motion; a scene ends in
the rest posture the next one starts from, so that joints move on without a jump. Camera and sensor then see the
whole as one recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import taxonomy as find_taxonomy
from microgesture.core.track import PoseTrack
from microgesture.simulation.body import SKELETON, Array, Body
from microgesture.simulation.camera import Camera
from microgesture.simulation.clips import FPS, PIXELS_PER_SW, SUBJECTS, draw_setting, people
from microgesture.simulation.motion import Planner, log_uniform
from microgesture.simulation.programs import class_table, motions
from microgesture.simulation.sensor import observe

SCENE = 6.4  # seconds; at most one main motion in each
# gestures per minute: published clips over published minutes; MA-52 has no long recordings, so that figure is ours
RATES = {"imigue": 8.8, "smg": 7.5, "ma52": 8.0}


@dataclass(frozen=True, eq=False)
class Recording:
    """What was seen, and what really happened.

    Args:
        track: the observed person, pixels, canonical layout.
        timeline: true segments of the classes of the taxonomy.
        states: (start, end, name) of the emotional states, "calm" and "tense" in turn.
        points: float32 (T, 47, 3), where the joints really were, in the space and units of `body`.
    """

    track: PoseTrack
    timeline: Timeline
    states: tuple[tuple[float, float, str], ...]
    points: Array


def simulate_recording(
    taxonomy: str,
    minutes: float,
    seed: int,
    *,
    fps: float = FPS,
    split: str = "test",
    tail: float = 0.5,
    rate: float | None = None,
) -> Recording:
    """One person for some minutes.

    Args:
        taxonomy: "imigue", "smg" or "ma52": classes, setting, published frequencies.
        tail: class frequencies are the published counts to this power; 1 = as published, 0 = uniform.
        rate: gestures per minute; the published mean if None. In the tense state self-touching doubles and
            illustrative gestures halve.

    Raises:
        ValueError: `minutes` is not positive.

    Example:
        >>> recording = simulate_recording("imigue", 0.5, seed=3)
        >>> len(recording.track), recording.timeline.duration
        (450, 30.0)
    """
    if not minutes > 0:
        raise ValueError(f"minutes is {minutes}, expected a positive number")
    rng = np.random.default_rng([seed, 1903])
    space = find_taxonomy(taxonomy)
    table = class_table(taxonomy)
    frames = max(1, round(minutes * 60 * fps))
    scene = round(SCENE * fps)
    count = -(-frames // scene)
    setting = draw_setting(rng, taxonomy, -1)
    weights = np.maximum([label.train_count for label in space], 1.0) ** tail
    touching = np.array([label.group.casefold() in ("head-hand", "body-hand") for label in space])
    states = _states(rng, minutes * 60)

    planner = Planner(rng, scene, fps)
    segments: list[Segment] = []
    posture = planner.rest(setting)
    wanted = (RATES[taxonomy] if rate is None else rate) * SCENE / 60
    for i in range(count):
        start = i * scene / fps
        tense = any(a <= start < b and name == "tense" for a, b, name in states)
        probability = weights * np.where(touching, 2.0 if tense else 1.0, 1.0)
        if space.illustrative is not None:
            probability[space.illustrative] *= 0.5 if tense else 1.0
        label = int(rng.choice(len(space), p=probability / probability.sum()))
        following = planner.rest(setting) if rng.random() < 0.25 else posture
        chance = min(wanted, 0.95) * (1.15 if tense else 0.85)
        if rng.random() < chance:
            motion = motions()[int(rng.choice(np.flatnonzero(table[:, label])))]
            length = log_uniform(rng, motion.seconds) + 0.6
            length = min(length, SCENE - 1.6)
            onset = rng.uniform(0.6, SCENE - 0.9 - length)
            planner.add(motion, setting, rest=(posture, following), when=(onset, onset + length), busy=0.0, leaves=True)
            if start + onset + length < minutes * 60:
                segments.append(Segment(start + onset, start + onset + length, label))
        else:
            planner.add(None, setting, rest=(posture, following), busy=0.0)
        posture = following

    body = people(np.full(1, rng.integers(*SUBJECTS[split])))
    body = Body(*(np.repeat(getattr(body, f), count) for f in Body.__dataclass_fields__))
    points = planner.points(body)  # (scenes, frames, V, 3)
    whole = _join(points)[None, :frames]
    flat = Camera.draw(rng, 1).project(whole)
    xy, score = observe(rng, flat, fps, np.array([setting == "desk"]))
    centre = np.array([4 * PIXELS_PER_SW, 2.6 * PIXELS_PER_SW], np.float32)
    pixels = np.where(score[0][..., None] > 0, xy[0] * PIXELS_PER_SW + centre, 0)
    size = (int(8 * PIXELS_PER_SW), int(6 * PIXELS_PER_SW))
    track = PoseTrack(pixels, score[0], fps, size, SKELETON)
    return Recording(track, Timeline(tuple(segments), space, frames / fps), states, whole[0])


def _states(rng: np.random.Generator, seconds: float) -> tuple[tuple[float, float, str], ...]:
    """Calm and tense in turn, two to five minutes each, at least one of each."""
    out: list[tuple[float, float, str]] = []
    name = "calm" if rng.random() < 0.5 else "tense"
    start = 0.0
    while start < seconds:
        end = min(start + min(rng.uniform(120, 300), max(seconds / 2, 1.0)), seconds)
        if seconds - end < 20:
            end = seconds
        out.append((start, end, name))
        name = "tense" if name == "calm" else "calm"
        start = end
    return tuple(out)


def _join(points: Array) -> NDArray[np.float32]:
    """Scenes (S, T, V, 3) to one motion (S * T, V, 3): the jump at each seam is spread over the second before it."""
    scenes, frames = points.shape[:2]
    blend = min(frames, 15)
    ramp = (np.arange(1, blend + 1) / blend)[:, None, None] ** 2
    out = points.copy()
    for i in range(scenes - 1):
        out[i, -blend:] += (ramp * (points[i + 1, 0] - points[i, -1])).astype(np.float32)
    return out.reshape(scenes * frames, *points.shape[2:])
