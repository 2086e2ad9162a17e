"""What a pose estimator makes of the picture: MediaPipe's noise, scores, drop-outs and inventions.

Figures measured on real tracks (still stretches, in SW): rms .002-.004 for head and shoulders, .0013-.006 wrists,
.002-.003 seen fingers, .022-.028 guessed fingers, .004-.010 hips behind a table; 80-90 % of the power lies below
4 Hz, time constant about .1 s (Pose) and .05 s (fingers). A hand vanishes when hands meet or fold, in runs of
1-9 frames or for the whole posture, and Pose's own knuckles then take its place. Face points vanish all at once
under masks. Legs behind a table are invented, like a standing person's, with visibility near 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microgesture.simulation.body import SKELETON, Array

_J = {joint: i for i, joint in enumerate(SKELETON.joints)}
_FACE_MESH = [_J[j] for j in ("r_brow", "l_brow", "upper_lip", "lower_lip", "chin", "r_jaw", "l_jaw", "forehead")]
_FACE_POSE = [_J[j] for j in ("nose", "r_eye", "l_eye", "r_ear", "l_ear", "r_mouth", "l_mouth")]
_HEAD = _FACE_MESH + _FACE_POSE
_LEGS = [_J[f"{s}_{j}"] for s in "rl" for j in ("knee", "ankle", "toe")]
_HIPS = [_J[j] for j in ("mid_hip", "r_hip", "l_hip")]
_HAND = {s: list(range(_J[f"{s}_thumb_tip"], _J[f"{s}_thumb_tip"] + 8)) for s in "rl"}
_KNUCKLES = [0, 1, 6]  # thumb tip, index mcp, pinky mcp: what Pose itself knows of a hand

# invented legs are those of somebody who stands: knee, ankle, toe of the right and the left leg, below the neck
_STANDING = ((-0.31, 2.3), (-0.31, 3.2), (-0.27, 3.6), (0.31, 2.3), (0.31, 3.2), (0.27, 3.6))

_STILL = np.full(len(SKELETON), 0.0026, np.float32)
_STILL[_FACE_MESH] = 0.0040
_STILL[[_J["r_elbow"], _J["l_elbow"], _J["r_wrist"], _J["l_wrist"]]] = 0.0032
_STILL[_HAND["r"] + _HAND["l"]] = 0.0032
_STILL[_HIPS] = 0.0055
_STILL[_LEGS] = 0.0035
_BIAS = np.full(len(SKELETON), 0.012, np.float32)
_BIAS[[_J[f"{s}_{j}"] for s in "rl" for j in ("elbow", "wrist")]] = 0.035
_BIAS[_HAND["r"] + _HAND["l"]] = 0.025
_BIAS[_HIPS] = 0.05
_BIAS[_LEGS] = 0.06


def observe(rng: np.random.Generator, xy: Array, fps: float, desk: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Add the estimator to projected joints.

    Args:
        xy: (N, T, 47, 2) in SW, as `Camera.project` gives.
        fps: frames per second.
        desk: (N,), the person sits behind a table.

    Returns:
        xy (N, T, 47, 2), 0 where missing, and score (N, T, 47).
    """
    n, t, v, _ = xy.shape
    out = xy.copy()
    score = _scores(rng, n, t, v)
    level = np.exp(rng.uniform(np.log(0.35), np.log(2.6), n)).astype(np.float32)

    # the estimator's idea of a joint is not the anatomist's: a bias of its own for every clip
    out += rng.normal(0, 1, (n, 1, v, 2)).astype(np.float32) * _BIAS[:, None]
    _hide_legs(rng, out, score, desk)
    masked = rng.random(n) < np.where(desk, 0.12, 0.45)  # MA-52's public clips wear masks, press conferences do not
    _mask_face(rng, out, score, masked)
    out = _smooth(rng, out)
    guessed = _drop_hands(rng, out, score, xy, fps) + _cover_face(rng, xy)

    # coloured noise, larger where things move and where the estimator guesses
    speed = np.zeros((n, t, v), np.float32)
    speed[:, 1:] = np.linalg.norm(np.diff(out, axis=1), axis=-1) * fps
    amount = level[:, None, None] * (_STILL + guessed * 0.022 + 0.006 * np.minimum(speed, 3.0))
    keep = np.exp(-1 / (fps * rng.uniform(0.05, 0.15, n))).astype(np.float32)[:, None, None, None]
    out += amount[..., None] * ar1(rng, (n, t, v, 2), keep)
    drift = ar1(rng, (n, t, v, 2), np.float32(np.exp(-1 / (2.0 * fps))))
    out += (level * 0.004)[:, None, None, None] * drift
    _slow_source(rng, out, fps)

    out[score <= 0] = 0
    return out, score


def ar1(rng: np.random.Generator, shape: tuple[int, ...], keep: Array | np.float32) -> Array:
    """First-order noise of unit variance along axis 1, float32; `keep` broadcasts over `shape`."""
    white = rng.standard_normal(shape, dtype=np.float32)
    white[:, 1:] *= np.sqrt(1 - np.square(keep))
    for i in range(1, shape[1]):
        white[:, i] += white[:, i - 1] * (keep[:, 0] if np.ndim(keep) else keep)  # type: ignore[index]
    return white


def _scores(rng: np.random.Generator, n: int, t: int, v: int) -> Array:
    score = np.ones((n, t, v), np.float32)
    per_clip = rng.random((n, 1, 6), dtype=np.float32)
    for i, joint in enumerate(("r_elbow", "l_elbow")):
        score[..., _J[joint]] = 0.86 + 0.14 * per_clip[..., i]
    for i, joint in enumerate(("r_wrist", "l_wrist")):
        score[..., _J[joint]] = 0.80 + 0.20 * per_clip[..., 2 + i]
    for i, side in enumerate("rl"):
        score[..., _HAND[side]] = 0.80 + 0.19 * per_clip[..., 4 + i, None]
    return score


def _hide_legs(rng: np.random.Generator, xy: Array, score: Array, desk: NDArray[np.bool_]) -> None:
    """Behind a table hips are guessed and legs invented; wrists under it are less sure."""
    rows = np.flatnonzero(desk)
    if not len(rows):
        return
    t = xy.shape[1]
    neck = xy[rows][:, :, _J["neck"]]
    follow = ar1(rng, (len(rows), t, len(_HIPS + _LEGS), 2), np.float32(0.9)) * 0.007
    base = np.array([(0, 1.27), (-0.33, 1.27), (0.33, 1.27), *_STANDING], np.float32)
    base = base + rng.normal(0, 0.07, (len(rows), 1, len(base), 2)).astype(np.float32)
    where = np.ix_(rows, np.arange(t), np.array(_HIPS + _LEGS))
    xy[where] = neck[:, :, None] + base + follow
    hip = rng.uniform(0.13, 0.65, (len(rows), 1, 1)).astype(np.float32)
    score[np.ix_(rows, np.arange(t), np.array(_HIPS))] = hip
    score[np.ix_(rows, np.arange(t), np.array(_LEGS))] = 0.01 * rng.random((len(rows), 1, 1), dtype=np.float32)
    edge = rng.uniform(0.95, 1.35, (len(rows), 1)).astype(np.float32)
    for side in "rl":
        joint = _J[f"{side}_wrist"]
        below = (xy[rows][:, :, joint, 1] - neck[..., 1]) > edge
        part = score[rows]
        part[..., joint] = np.where(below, 0.45 * part[..., joint], part[..., joint])
        for finger in _HAND[side]:  # a hand under the table is not found
            part[..., finger] = np.where(below, 0.0, part[..., finger])
        score[rows] = part


def _mask_face(rng: np.random.Generator, xy: Array, score: Array, masked: NDArray[np.bool_]) -> None:
    """Under a mask FaceMesh finds nothing, and Pose's head points follow the head by 50 to 100 %."""
    rows = np.flatnonzero(masked)
    if len(rows):
        follow = rng.uniform(0.5, 1.0, (len(rows), 1, 1, 1)).astype(np.float32)
        part = xy[rows]
        neck = part[:, :, _J["neck"], None]
        head = part[:, :, _HEAD] - neck
        middle = np.median(head, axis=1, keepdims=True)
        part[:, :, _HEAD] = neck + middle + follow * (head - middle)
        # features of a masked face lie closer together
        centre = part[:, :, _HEAD].mean(2, keepdims=True)
        squeeze = rng.uniform(0.6, 1.0, (len(rows), 1, 1, 1)).astype(np.float32)
        part[:, :, _HEAD] = centre + (part[:, :, _HEAD] - centre) * np.concatenate([squeeze, np.ones_like(squeeze)], -1)
        xy[rows] = part
        some = score[rows]
        some[:, :, _FACE_MESH] = 0
        score[rows] = some


def _smooth(rng: np.random.Generator, xy: Array) -> Array:
    """The estimator's own smoothing filter lags behind fast movements."""
    n, t = xy.shape[:2]
    follow = rng.uniform(0.55, 1.0, (n, 1, 1)).astype(np.float32)
    out = xy.copy()
    for i in range(1, t):
        out[:, i] = out[:, i - 1] + follow * (xy[:, i] - out[:, i - 1])
    return out


def _cover_face(rng: np.random.Generator, xy: Array) -> Array:
    """A hand in front of the face moves the points of the face mesh; (N, T, V), how much in units of a guess."""
    n, t, v, _ = xy.shape
    amount = np.zeros((n, t, v), np.float32)
    tips = xy[:, :, [_J[f"{s}_{f}"] for s in "rl" for f in ("index_tip", "middle_tip", "index_mcp")]]
    near = np.linalg.norm(tips - xy[:, :, _J["nose"], None], axis=-1).min(-1) < 0.3
    amount[:, :, _FACE_MESH] = (near * rng.uniform(0, 1.5, (n, 1)))[..., None]
    amount[:, :, _FACE_POSE] = (near * rng.uniform(0, 0.5, (n, 1)))[..., None]
    return amount


def _drop_hands(rng: np.random.Generator, xy: Array, score: Array, true: Array, fps: float) -> Array:
    """Hands that meet or hide vanish in runs; returns which joints are guessed, (N, T, V) in 0..1."""
    n, t, v = score.shape
    guessed = np.zeros((n, t, v), np.float32)
    apart = np.linalg.norm(true[:, :, _J["r_wrist"]] - true[:, :, _J["l_wrist"]], axis=-1)
    near = apart < 0.55
    folded = (
        (apart < 0.75) & (np.abs(true[:, :, _J["r_wrist"], 0]) < 0.5) & (np.abs(true[:, :, _J["l_wrist"], 0]) < 0.5)
    )
    careless = rng.beta(1.2, 3.0, n)  # how easily this clip loses hands: resolution, light
    first = rng.integers(0, 2, n)
    for index, side in enumerate("rl"):
        weaker = (first == index)[:, None]
        rate = np.where(near, np.where(weaker, 0.16, 0.03), 0.012) * careless[:, None] * 2.0
        rate = rate * (15 / fps)
        length = np.maximum(np.round(rng.exponential(0.25 * fps, (n, t))), 1)
        starts = rng.random((n, t)) < rate
        lost = np.zeros((n, t), bool)
        left = np.zeros(n)
        for i in range(t):
            left = np.where(starts[:, i], np.maximum(left, length[:, i]), left)
            lost[:, i] = left > 0
            left -= 1
        gone = (rng.random(n) < 0.45)[:, None] & weaker & folded  # for the whole posture
        never = (rng.random(n) < 0.06)[:, None]  # too small or too fast in this recording
        lost |= gone | never
        hand = _HAND[side]
        wrist = xy[:, :, _J[f"{side}_wrist"]]
        for k, joint in enumerate(hand):
            if k in _KNUCKLES:
                shrink = rng.uniform(0.55, 0.95, (n, 1, 1)).astype(np.float32)
                bias = rng.normal(0, 0.05, (n, 1, 2)).astype(np.float32)
                guess = wrist + shrink * (xy[:, :, joint] - wrist) + bias
                xy[:, :, joint] = np.where(lost[..., None], guess, xy[:, :, joint])
                score[:, :, joint] = np.where(lost, np.minimum(score[:, :, joint], 0.37), score[:, :, joint])
            else:
                score[:, :, joint] = np.where(lost, 0, score[:, :, joint])
        guessed[:, :, hand] = np.where(lost, 0.5, np.where(gone | (near & (careless[:, None] > 0.4)), 0.35, 0.0))[
            ..., None
        ]
    # names of the hands change places for a moment when they are near each other
    swap = near & (rng.random((n, t)) < 0.004)
    for i in range(1, t):
        swap[:, i] |= swap[:, i - 1] & (rng.random(n) < 0.6) & near[:, i]
    rows, frames = np.nonzero(swap)
    if len(rows):
        right, left = np.array(_HAND["r"]), np.array(_HAND["l"])
        for array in (xy, score):
            keep = array[rows[:, None], frames[:, None], right].copy()
            array[rows[:, None], frames[:, None], right] = array[rows[:, None], frames[:, None], left]
            array[rows[:, None], frames[:, None], left] = keep
    return guessed


def _slow_source(rng: np.random.Generator, xy: Array, fps: float) -> None:
    """Some videos have 10 to 12.5 frames per second: what lies between their frames is a straight line."""
    n, t = xy.shape[:2]
    rows = np.flatnonzero(rng.random(n) < 0.3)
    if not len(rows):
        return
    for rate in (10.0, 12.5):
        some = rows[rng.random(len(rows)) < 0.6] if rate == 10.0 else rows
        if rate >= fps or not len(some):
            continue
        times = np.arange(t) / fps
        phase = rng.random() / rate
        left = np.floor((times - phase) * rate) / rate + phase
        a = np.clip(left * fps, 0, t - 1)
        b = np.clip((left + 1 / rate) * fps, 0, t - 1)
        w = np.clip((times - left) * rate, 0, 1).astype(np.float32)[None, :, None, None]

        def at(position: NDArray[np.float64], part: Array) -> Array:
            low = np.floor(position).astype(int)
            high = np.minimum(low + 1, t - 1)
            f = (position - low).astype(np.float32)[None, :, None, None]
            between: Array = part[:, low] * (1 - f) + part[:, high] * f
            return between

        part = xy[some]
        xy[some] = (1 - w) * at(a, part) + w * at(b, part)
        rows = np.setdiff1d(rows, some)
