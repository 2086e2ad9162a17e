"""From the points of a body, a hand and a face detector to the joints of the `canonical` layout.

Which detector gives which joint is fixed, except for the fingers: a joint that changed its source from frame to
frame would jump, and the jump looks like a gesture. The nose of MediaPipe's Pose lies about 0.065 shoulder widths
from FaceMesh's, as far as a nod moves it, while both are equally quiet; so nose, eyes, ears and corners of the
mouth always come from the body detector, which also follows heads whose face is masked or turned away.

| joints | from | score |
|---|---|---|
| body, legs, nose, eyes, ears, mouth corners | body detector | its visibility |
| neck, mid_hip | middle of the two shoulders, hips | the lower of the two |
| brows, lips, chin, jaw, forehead | face detector | 1, or 0 (missing) without a face |
| fingers | hand detector | its confidence, never below 0.5 (`HAND_SCORE`) |
| thumb tip, knuckles of index and little finger, if no hand is found | body detector | 0.4 x visibility |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microgesture.core.layouts import FACE_MESH, skeleton

Array = NDArray[np.float32]

CANONICAL = skeleton("canonical")
HAND_SCORE = 0.5
"""Finger joints of a detected hand never score less."""
KNUCKLE_SCORE = 0.4
"""Finger joints guessed by the body detector never score more."""
REACH = 0.4
"""A hand belongs to the nearest wrist within this many shoulder widths; a face to the nearest nose likewise."""

_POSE = skeleton("mediapipe33")
_HAND = skeleton("hand21")
_SIDES = ("r_", "l_")


def _pairs(names: Sequence[tuple[str, int]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Joint names with the index in the detector's output -> (indices in canonical, indices in the detector)."""
    return np.array([CANONICAL.index(n) for n, _ in names]), np.array([i for _, i in names])


_BODY = _pairs([(n, _POSE.index(n)) for n in CANONICAL.joints if n in _POSE and not n.endswith("_mcp")])
_KNUCKLES = {
    s: _pairs([(s + "thumb_tip", _POSE.index(s + "thumb_ip"))]
              + [(s + f, _POSE.index(s + f)) for f in ("index_mcp", "pinky_mcp")])
    for s in _SIDES
}  # fmt: skip
_FINGERS = {s: _pairs([(n, _HAND.index(n[2:])) for n in CANONICAL.joints if n[:2] == s and n[2:] in _HAND
                       and n[2:] != "wrist"]) for s in _SIDES}  # fmt: skip
_FACE_NAMES = [n for n in FACE_MESH if not n.endswith("_mouth")]
_FACE = _pairs([(n, i) for i, n in enumerate(_FACE_NAMES)])
FACE_POINTS: tuple[int, ...] = (1, *(FACE_MESH[n] for n in _FACE_NAMES))
"""Indices of the FaceMesh points that are used: the tip of the nose, which tells whose face it is, then the joints."""
_NOSE, _NECK, _MID_HIP = (CANONICAL.index(n) for n in ("nose", "neck", "mid_hip"))
_SHOULDERS = [CANONICAL.index(s + "shoulder") for s in _SIDES]
_HIPS = [CANONICAL.index(s + "hip") for s in _SIDES]
_WRIST = {s: CANONICAL.index(s + "wrist") for s in _SIDES}


@dataclass(frozen=True, eq=False)
class Hand:
    """A detected hand: points float32 (21, 2) in pixels, wrist first, and the detector's confidence."""

    xy: Array
    score: float


def body_scale(xy: Array) -> float:
    """Shoulder width of one canonical pose (V, 2), or 0.7 of the torso's length if that is more (a turned body)."""
    width = float(np.linalg.norm(np.subtract(*xy[_SHOULDERS])))
    return max(width, 0.7 * float(np.linalg.norm(xy[_MID_HIP] - xy[_NECK])))


def assemble(
    bodies: Sequence[Array | None], hands: Sequence[Hand] = (), faces: Sequence[Array] = ()
) -> tuple[Array, Array]:
    """Put together one frame of all persons.

    Hands go to wrists one to one, the nearest pair first, at most `REACH` shoulder widths apart; what is left over
    (a hand of somebody else, a hand found on a poster) is dropped. Faces go to noses in the same way.

    Args:
        bodies: per person (33, 3) = x, y in pixels and visibility, in the order of `mediapipe33`; None = not found.
        hands: hands of all persons, in any order.
        faces: per face (len(FACE_POINTS), 2) in pixels.

    Returns:
        xy float32 (M, V, 2) in pixels, score float32 (M, V), canonical layout.
    """
    xy = np.zeros((len(bodies), len(CANONICAL), 2), np.float32)
    score = np.zeros(xy.shape[:2], np.float32)
    reach = np.zeros(len(bodies))
    for m, body in enumerate(bodies):
        if body is None:
            continue
        xy[m, _BODY[0]], score[m, _BODY[0]] = body[_BODY[1], :2], body[_BODY[1], 2]
        for middle, pair in ((_NECK, _SHOULDERS), (_MID_HIP, _HIPS)):
            xy[m, middle], score[m, middle] = xy[m, pair].mean(0), score[m, pair].min()
        for joints, points in _KNUCKLES.values():
            xy[m, joints], score[m, joints] = body[points, :2], KNUCKLE_SCORE * body[points, 2]
        reach[m] = REACH * body_scale(xy[m])
    found = [m for m, body in enumerate(bodies) if body is not None]

    wrists = [(m, s) for m in found for s in _SIDES]
    places = [(xy[m, _WRIST[s]], reach[m]) for m, s in wrists]
    for k, w in _nearest([hand.xy[0] for hand in hands], places):
        (m, s), hand = wrists[w], hands[k]
        joints, points = _FINGERS[s]
        xy[m, joints], score[m, joints] = hand.xy[points], max(HAND_SCORE, hand.score)
    for k, n in _nearest([face[0] for face in faces], [(xy[m, _NOSE], reach[m]) for m in found]):
        xy[found[n], _FACE[0]], score[found[n], _FACE[0]] = faces[k][1:][_FACE[1]], 1
    return xy, np.clip(score, 0, 1)


def _nearest(things: Sequence[Array], places: Sequence[tuple[Array, float]]) -> list[tuple[int, int]]:
    """One-to-one pairs (thing, place), nearest first, each within the place's reach."""
    distances = sorted(
        (distance, k, w)
        for k, thing in enumerate(things)
        for w, (place, reach) in enumerate(places)
        if (distance := float(np.linalg.norm(thing - place))) <= reach
    )
    pairs: list[tuple[int, int]] = []
    for _, k, w in distances:
        if all(k != a and w != b for a, b in pairs):
            pairs.append((k, w))
    return pairs
