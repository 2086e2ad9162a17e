"""The simulated body: proportions, forward kinematics of trunk, head and legs, two-bone arms, hands.

Axes: x to the right of the picture (the person's left), y down, z towards the camera (the person's front).
Unit: SW, the shoulder width of the person. Origin: the middle of the hips. The chest at rest faces the camera.
Shapes: N clips, T frames; a point is (N, T, 3), a quantity per clip is (N,).

Proportions are anthropometric means with a spread per person, moved to where MediaPipe draws the joints
(measured on real tracks: nose .6 SW above the shoulder line, eyes .2 SW apart).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microgesture.core.layouts import skeleton

Array = NDArray[np.float32]

SKELETON = skeleton("canonical")

# scalar degrees of freedom: angles in radians, lengths in SW; all zero is the upright rest posture
DOFS = (
    "torso_pitch",  # leaning forward +
    "torso_roll",  # leaning to the person's left +
    "torso_yaw",  # turning to the person's left +
    "torso_x",
    "torso_up",  # rising +
    "shoulder_r",  # raising +
    "shoulder_l",
    "hunch",  # shoulders to the front +
    "head_yaw",
    "head_pitch",  # looking down +
    "head_roll",
    "head_fwd",
    "head_up",
    "lips",  # pressed +
    "cheeks",  # blown up +
    "mouth_open",
    "brows",
    "knee_out_r",
    "knee_out_l",
    "foot_fwd_r",
    "foot_fwd_l",
    "thigh_down",  # knees below the hips, high stool +
    "heel_r",
    "heel_l",
    "foot_in_r",  # towards the middle +
    "foot_in_l",
    "cross_r",  # 1 = right leg lies over the left one
    "cross_l",
    "hips_yaw",  # seat turns with the trunk
)
DOF = {name: i for i, name in enumerate(DOFS)}

# head points in the head frame: (x to the person's left, y, z), origin = base of the skull, before subject scaling
_HEAD = {
    "nose": (0, -0.44, 0.30),
    "r_eye": (-0.098, -0.57, 0.22),
    "l_eye": (0.098, -0.57, 0.22),
    "r_ear": (-0.205, -0.51, 0.0),
    "l_ear": (0.205, -0.51, 0.0),
    "r_brow": (-0.125, -0.61, 0.23),
    "l_brow": (0.125, -0.61, 0.23),
    "r_mouth": (-0.072, -0.33, 0.23),
    "l_mouth": (0.072, -0.33, 0.23),
    "upper_lip": (0, -0.325, 0.265),
    "lower_lip": (0, -0.265, 0.26),
    "chin": (0, -0.15, 0.24),
    "r_jaw": (-0.17, -0.29, 0.08),
    "l_jaw": (0.17, -0.29, 0.08),
    "forehead": (0, -0.71, 0.21),
}
HEAD_JOINTS = tuple(_HEAD)
_HEAD_POINTS = np.array(list(_HEAD.values()), np.float32)

# contact points on the head, for the right hand (mirrored for the left): where fingers land
HEAD_CONTACTS = {
    "forehead": (-0.05, -0.68, 0.25),
    "temple": (-0.19, -0.56, 0.12),
    "eye": (-0.10, -0.57, 0.25),
    "nose": (0.0, -0.44, 0.32),
    "cheek": (-0.14, -0.38, 0.18),
    "mouth": (-0.01, -0.31, 0.28),
    "chin": (-0.02, -0.15, 0.27),
    "jaw": (-0.13, -0.22, 0.17),
    "ear": (-0.22, -0.51, 0.0),
    "brim": (-0.07, -0.83, 0.30),
    "crown": (-0.08, -0.92, 0.03),
    "nape": (-0.10, -0.52, -0.24),
    "hair": (-0.22, -0.66, -0.02),
    "glasses": (-0.03, -0.54, 0.29),
    "face": (-0.06, -0.44, 0.30),
}
# contact points on the trunk, relative to the neck point, for the right hand
TORSO_CONTACTS = {
    "neck_side": (-0.17, -0.14, 0.03),
    "neck_front": (-0.02, -0.10, 0.12),
    "neck_back": (-0.08, -0.14, -0.14),
    "collar": (-0.06, 0.04, 0.14),
    "notch": (0.0, 0.05, 0.14),
    "chest": (0.02, 0.35, 0.20),
    "chest_other": (0.25, 0.35, 0.18),
    "belly": (-0.05, 0.95, 0.25),
    "shoulder_other": (0.46, -0.02, 0.08),
    "shoulder_same": (-0.46, -0.04, 0.06),
    "back_over": (-0.25, 0.10, -0.22),
    "back_low": (-0.15, 0.95, -0.22),
    "behind": (-0.05, 1.15, -0.30),
    "waist": (-0.46, 1.10, -0.02),
    "side": (-0.62, 1.25, 0.05),
    "armpit_other": (0.46, 0.72, 0.18),
    "front_high": (0.0, 0.30, 0.60),
    "front": (0.0, 0.75, 0.60),
    "front_low": (0.0, 1.15, 0.60),
    "front_side": (-0.55, 0.65, 0.60),
    "forward": (-0.35, 0.55, 1.20),
    "wide": (-1.05, 0.55, 0.55),
    "raised": (-0.65, -0.05, 0.50),
    "up": (-0.55, -0.95, 0.15),
    "table": (-0.32, 1.05, 0.75),
}
# contacts on the other arm (fractions along it) and on the own leg; resolved in `pose_points`
ARM_CONTACTS = {"other_upper": 0.55, "other_elbow": 0.95, "other_fore": 1.45, "other_wrist": 1.95}
LEG_CONTACTS = {"thigh": 0.6, "knee": 0.95, "shin": 1.4, "foot": 1.95}
CONTACTS = (*HEAD_CONTACTS, *TORSO_CONTACTS, *ARM_CONTACTS, *LEG_CONTACTS)
CONTACT = {name: i for i, name in enumerate(CONTACTS)}
_N_HEAD, _N_TORSO, _N_ARM = len(HEAD_CONTACTS), len(TORSO_CONTACTS), len(ARM_CONTACTS)

FINGERS = ("thumb_tip", "index_mcp", "index_tip", "middle_mcp", "middle_tip", "ring_tip", "pinky_mcp", "pinky_tip")
# (along the hand, towards the thumb, palm side) in hand lengths: open hand and fist
_OPEN = np.array(
    [
        (0.58, 0.42, 0.08),  # thumb tip
        (0.55, 0.17, 0),  # index knuckle
        (0.95, 0.19, 0.02),  # index tip
        (0.57, 0.03, 0),  # middle knuckle
        (1.02, 0.02, 0.02),  # middle tip
        (0.95, -0.12, 0.02),  # ring tip
        (0.50, -0.2, 0),  # little knuckle
        (0.80, -0.27, 0.02),  # little tip
    ],
    np.float32,
)
_FIST = np.array(
    [
        (0.50, 0.12, 0.24),  # thumb tip
        (0.55, 0.17, 0),  # index knuckle
        (0.42, 0.14, 0.22),  # index tip
        (0.57, 0.03, 0),  # middle knuckle
        (0.40, 0.03, 0.24),  # middle tip
        (0.37, -0.08, 0.23),  # ring tip
        (0.50, -0.2, 0),  # little knuckle
        (0.34, -0.18, 0.20),  # little tip
    ],
    np.float32,
)
_FINGER_OF = np.array([0, 1, 1, 2, 2, 3, 4, 4])  # thumb, index, middle, ring, pinky of each point

# hand shapes: curl of thumb, index, middle, ring, pinky (0 = straight, 1 = fist)
SHAPES = {
    "open": (0.0, 0.0, 0.0, 0.0, 0.0),
    "relaxed": (0.25, 0.25, 0.35, 0.4, 0.45),
    "curved": (0.15, 0.35, 0.4, 0.45, 0.5),
    "fist": (0.8, 1.0, 1.0, 1.0, 1.0),
    "point": (0.6, 0.05, 0.85, 0.95, 0.95),
    "pinch": (0.35, 0.5, 0.65, 0.7, 0.7),
    "two": (0.6, 0.1, 0.1, 0.85, 0.9),
}
SHAPE = {name: i for i, name in enumerate(SHAPES)}
_CURLS = np.array(list(SHAPES.values()), np.float32)


@dataclass(frozen=True)
class Body:
    """Lengths of N people in SW (the shoulder width itself is 1)."""

    torso: Array  # hips to shoulder line
    neck: Array  # shoulder line to base of skull
    head: Array  # scale of the head
    upper_arm: Array
    forearm: Array
    hand: Array  # wrist to middle finger tip
    hips: Array  # half distance of the hip joints
    thigh: Array
    shank: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> Body:
        """Proportions of `count` people: means with about 7 % spread, sizes of one person correlated."""
        build = rng.normal(0, 0.04, count)

        def length(mean: float, spread: float = 0.05) -> Array:
            return (mean * (1 + build + rng.normal(0, spread, count))).astype(np.float32)

        return cls(
            torso=length(1.38, 0.06),
            neck=length(0.14, 0.15),
            head=length(1.0, 0.07),
            upper_arm=length(0.91),
            forearm=length(0.81),
            hand=length(0.54, 0.07),
            hips=length(0.31, 0.06),
            thigh=length(1.22),
            shank=length(1.26),
        )


def rotation(yaw: Array, pitch: Array, roll: Array) -> Array:
    """Rotation matrices (..., 3, 3): first roll (about z), then pitch (about x), then yaw (about y).

    Positive yaw turns the front (+z) to +x, positive pitch turns the top (-y) to the front, positive roll
    turns the top to +x.
    """
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    out = np.empty((*np.shape(yaw), 3, 3), np.float32)
    # rows of  Ry @ Rx @ Rz
    out[..., 0, 0] = cy * cr - sy * sp * sr
    out[..., 0, 1] = -cy * sr - sy * sp * cr
    out[..., 0, 2] = sy * cp
    out[..., 1, 0] = cp * sr
    out[..., 1, 1] = cp * cr
    out[..., 1, 2] = sp
    out[..., 2, 0] = -sy * cr - cy * sp * sr
    out[..., 2, 1] = sy * sr - cy * sp * cr
    out[..., 2, 2] = cy * cp
    return out


def unit(v: Array) -> Array:
    """Vectors (..., 3) of length one; a zero vector stays near zero."""
    length = np.sqrt(np.einsum("...i,...i->...", v, v))[..., None]
    return v / np.maximum(length, 1e-6)  # type: ignore[no-any-return]


def turn(matrix: Array, v: Array) -> Array:
    """Apply (..., 3, 3) to (..., 3)."""
    return np.einsum("...ij,...j->...i", matrix, v)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class HandPlan:
    """One hand of N clips at T frames, as targets: all (N, T, ...) unless said otherwise.

    Args:
        contact: int (S, N), index into `CONTACTS` of each of S phases; `blend` (S, N, T) mixes the phases.
        offset: (S, N, T, 3), added to the contact point, for the right hand (x mirrored for the left).
        point: (S, N, 3), preferred direction of the fingers; `palm` (S, N, 3), where the palm looks.
        reach: (S, N), which part of the hand touches, in hand lengths (0.9 finger tips, 0.5 palm, 0 wrist).
        pole: (S, N, 3), where the elbow points.
        curl: (N, T, 5), curl of the five fingers.
        lift: (N, T), bow of the way to the front, SW.
    """

    contact: NDArray[np.int64]
    blend: Array
    offset: Array
    point: Array
    palm: Array
    reach: Array
    pole: Array
    curl: Array
    lift: Array


def curls(shapes: NDArray[np.int64]) -> Array:
    """Finger curls (..., 5) of hand shapes given as indices into `SHAPES`."""
    return _CURLS[shapes]


def pose_points(body: Body, dof: Array, right: HandPlan, left: HandPlan) -> Array:
    """All canonical joints in space.

    Args:
        dof: (N, T, len(DOFS)).

    Returns:
        float32 (N, T, 47, 3) in SW.
    """
    n, t, _ = dof.shape
    out = np.zeros((n, t, len(SKELETON), 3), np.float32)
    d = {name: dof[..., i] for name, i in DOF.items()}
    zero = np.zeros((n, t), np.float32)

    seat = rotation(d["hips_yaw"], zero, zero)
    base = np.stack([d["torso_x"], -d["torso_up"], zero], -1)
    trunk = rotation(d["torso_yaw"], d["torso_pitch"], d["torso_roll"])
    neck = base + turn(trunk, np.broadcast_to(_vec(0, -body.torso, 0)[:, None], (n, t, 3)))
    shoulder = {}
    for side, sign in (("r", -1.0), ("l", 1.0)):
        local = np.stack([zero + 0.5 * sign, -d[f"shoulder_{side}"], d["hunch"]], -1)
        shoulder[side] = neck + turn(trunk, local)
        out[:, :, SKELETON.index(f"{side}_shoulder")] = shoulder[side]
        hip = base + turn(seat, np.broadcast_to(_vec(sign * body.hips, 0, 0)[:, None], (n, t, 3)))
        out[:, :, SKELETON.index(f"{side}_hip")] = hip
    out[:, :, SKELETON.index("neck")] = (shoulder["r"] + shoulder["l"]) / 2
    out[:, :, SKELETON.index("mid_hip")] = base

    # head: turns relative to the trunk, of which it follows half the lean (people keep their eyes level)
    skull = neck + turn(trunk, np.stack([zero, -body.neck[:, None] - d["head_up"], 0.05 + d["head_fwd"]], -1))
    head = rotation(
        d["torso_yaw"] + d["head_yaw"], 0.5 * d["torso_pitch"] + d["head_pitch"], 0.5 * d["torso_roll"] + d["head_roll"]
    )
    points = np.broadcast_to(_HEAD_POINTS, (n, t, *_HEAD_POINTS.shape)).copy()
    _move_face(points, d)
    points *= body.head[:, None, None, None]
    points = np.einsum("ntij,ntkj->ntki", head, points, optimize=True) + skull[:, :, None]
    out[:, :, [SKELETON.index(j) for j in HEAD_JOINTS]] = points

    _place_legs(out, body, d)
    arms = {}
    for side, sign, plan in (("r", -1.0, right), ("l", 1.0, left)):
        flip = np.array([-sign, 1, 1], np.float32)  # contacts are written for the right hand
        arms[side] = _arm(out, body, side, flip, plan, skull, head, neck, trunk, shoulder[side], None)
    for side, sign, plan in (("r", -1.0, right), ("l", 1.0, left)):
        touches_arm = (plan.contact >= _N_HEAD + _N_TORSO) & (plan.contact < _N_HEAD + _N_TORSO + _N_ARM)
        rows = np.flatnonzero(touches_arm.any(0))
        if len(rows):  # only now is the other arm known: place these hands again
            other = arms["l" if side == "r" else "r"]
            flip = np.array([-sign, 1, 1], np.float32)
            some = _rows(plan, rows)
            part = out[rows]
            _arm(
                part, _body_rows(body, rows), side, flip, some, skull[rows], head[rows], neck[rows], trunk[rows],
                shoulder[side][rows], tuple(p[rows] for p in other),
            )  # fmt: skip
            out[rows] = part
    return out


def _vec(x: Array | float, y: Array | float, z: Array | float) -> Array:
    return np.stack(np.broadcast_arrays(*(np.asarray(v, np.float32) for v in (x, y, z))), -1)


def _move_face(points: Array, d: dict[str, Array]) -> None:
    """Lips, cheeks and brows in the head frame, in place."""
    at = {joint: i for i, joint in enumerate(HEAD_JOINTS)}
    lips, cheeks, gap = d["lips"], d["cheeks"], d["mouth_open"]
    points[..., at["upper_lip"], 1] += 0.022 * lips - 0.012 * gap
    points[..., at["lower_lip"], 1] += -0.030 * lips + 0.10 * gap
    points[..., at["chin"], 1] += 0.09 * gap - 0.012 * lips
    points[..., at["upper_lip"], 2] += 0.02 * cheeks
    points[..., at["lower_lip"], 2] += 0.02 * cheeks
    for side, sign in (("r", -1.0), ("l", 1.0)):
        points[..., at[f"{side}_mouth"], 0] += sign * (0.016 * lips - 0.025 * cheeks - 0.012 * gap)
        points[..., at[f"{side}_jaw"], 0] += sign * 0.035 * cheeks
        points[..., at[f"{side}_jaw"], 1] += 0.03 * gap
        points[..., at[f"{side}_brow"], 1] -= 0.03 * d["brows"]


def _place_legs(out: Array, body: Body, d: dict[str, Array]) -> None:
    """Seated legs: thighs to the front, shanks down; rising straightens them."""
    for side, sign in (("r", -1.0), ("l", 1.0)):
        hip = out[:, :, SKELETON.index(f"{side}_hip")]
        crossed = d[f"cross_{side}"]
        out_angle = d[f"knee_out_{side}"] + 0.18 - 0.62 * crossed
        rise = np.clip(d["torso_up"] / (0.8 * body.thigh[:, None]), 0, 1)
        down = 0.15 + d["thigh_down"] + 1.2 * rise - 0.42 * crossed - 0.5 * d[f"heel_{side}"]
        thigh = body.thigh[:, None]
        knee = hip + thigh[..., None] * np.stack(
            [sign * np.sin(out_angle) * np.cos(down), np.sin(down), np.cos(out_angle) * np.cos(down)], -1
        )
        shank = body.shank[:, None]
        swing = d[f"foot_fwd_{side}"] + 0.30 * crossed
        inward = d[f"foot_in_{side}"] + 0.35 * crossed
        ankle = knee + shank[..., None] * np.stack(
            [-sign * np.sin(inward), np.cos(inward) * np.cos(swing), np.sin(swing)], -1
        )
        # when the seat turns, knees follow a little and feet stay where they are
        knee = knee + np.stack([0.22 * thigh * np.sin(d["hips_yaw"]), 0 * swing, 0 * swing], -1)
        toe = ankle + np.stack(
            [sign * 0.10 + 0 * swing, 0.12 + 0.30 * np.clip(d[f"heel_{side}"], 0, 1), 0.36 + 0 * swing], -1
        )
        for joint, value in (("knee", knee), ("ankle", ankle), ("toe", toe)):
            out[:, :, SKELETON.index(f"{side}_{joint}")] = value


def _arm(
    out: Array,
    body: Body,
    side: str,
    flip: Array,
    plan: HandPlan,
    skull: Array,
    head: Array,
    neck: Array,
    trunk: Array,
    shoulder: Array,
    other: tuple[Array, ...] | None,
) -> tuple[Array, Array, Array]:
    """Reach the blended target with one arm and draw the hand; returns shoulder, elbow, wrist."""
    phases, n, t = plan.blend.shape
    target = np.zeros((n, t, 3), np.float32)
    for s in range(phases):
        point = _contact_points(out, body, side, flip, plan.contact[s], skull, head, neck, trunk, other)
        target += plan.blend[s][..., None] * (point + turn(trunk, plan.offset[s] * flip))
    target += turn(trunk, np.stack([0 * plan.lift, 0 * plan.lift, plan.lift], -1))
    weight = plan.blend[..., None]
    reach = np.einsum("snt,sn->nt", plan.blend, plan.reach) * body.hand[:, None]
    want = turn(trunk, (weight * (plan.point * flip)[:, :, None]).sum(0))
    palm = turn(trunk, (weight * (plan.palm * flip)[:, :, None]).sum(0))
    pole = turn(trunk, (weight * (plan.pole * flip)[:, :, None]).sum(0))

    # fingers lie between the direction of the forearm and the preferred one (wrists bend, but not freely)
    elbow = _elbow(shoulder, target - 0.5 * reach[..., None] * unit(want), body, pole)[0]
    finger = unit(0.45 * unit(target - elbow) + 0.55 * unit(want))
    elbow, wrist = _elbow(shoulder, target - reach[..., None] * finger, body, pole)
    normal = unit(palm - finger * np.einsum("nti,nti->nt", palm, finger)[..., None])
    thumb = np.cross(normal, finger) * (1 if side == "r" else -1)

    curl = plan.curl[..., _FINGER_OF][..., None]
    local = (_OPEN + curl * (_FIST - _OPEN)) * body.hand[:, None, None, None]
    frame = np.stack([finger, thumb, normal], -1)  # columns
    tips = np.einsum("ntij,ntkj->ntki", frame, local, optimize=True) + wrist[:, :, None]
    out[:, :, SKELETON.index(f"{side}_elbow")] = elbow
    out[:, :, SKELETON.index(f"{side}_wrist")] = wrist
    first = SKELETON.index(f"{side}_thumb_tip")
    out[:, :, first : first + len(FINGERS)] = tips
    return shoulder, elbow, wrist


def _contact_points(
    out: Array,
    body: Body,
    side: str,
    flip: Array,
    contact: NDArray[np.int64],
    skull: Array,
    head: Array,
    neck: Array,
    trunk: Array,
    other: tuple[Array, ...] | None,
) -> Array:
    """Position (N, T, 3) of one contact per clip, in space."""
    point = np.empty_like(neck)
    on_head = contact < _N_HEAD
    if on_head.any():
        local = _HEAD_CONTACT_POINTS[contact[on_head]] * flip * body.head[on_head, None]
        point[on_head] = skull[on_head] + np.einsum("ntij,nj->nti", head[on_head], local)
    on_torso = (contact >= _N_HEAD) & (contact < _N_HEAD + _N_TORSO)
    if on_torso.any():
        local = _TORSO_CONTACT_POINTS[contact[on_torso] - _N_HEAD] * flip
        local = local * np.stack([np.ones_like(body.torso), body.torso / 1.38, np.ones_like(body.torso)], -1)[on_torso]
        point[on_torso] = neck[on_torso] + np.einsum("ntij,nj->nti", trunk[on_torso], local)
    on_arm = (contact >= _N_HEAD + _N_TORSO) & (contact < _N_HEAD + _N_TORSO + _N_ARM)
    if on_arm.any():
        if other is None:  # first pass: somewhere in front, corrected when the other arm is known
            point[on_arm] = neck[on_arm] + np.array([0, 0.7, 0.4], np.float32)
        else:
            along = _ARM_FRACTIONS[contact[on_arm] - _N_HEAD - _N_TORSO]
            point[on_arm] = _along(tuple(p[on_arm] for p in other), along) + np.array([0, -0.05, 0.05], np.float32)
    on_leg = contact >= _N_HEAD + _N_TORSO + _N_ARM
    if on_leg.any():
        along = _LEG_FRACTIONS[contact[on_leg] - _N_HEAD - _N_TORSO - _N_ARM]
        chain = tuple(out[on_leg][:, :, SKELETON.index(f"{side}_{j}")] for j in ("hip", "knee", "ankle"))
        point[on_leg] = _along(chain, along) + np.array([0, -0.12, 0.06], np.float32)
    return point


def _along(chain: tuple[Array, ...], fraction: Array) -> Array:
    """Point on a two-bone chain; 0..1 first bone, 1..2 second bone."""
    first = np.clip(fraction, 0, 1)[:, None, None]
    second = np.clip(fraction - 1, 0, 1)[:, None, None]
    return chain[0] + first * (chain[1] - chain[0]) + second * (chain[2] - chain[1])  # type: ignore[no-any-return]


def _elbow(shoulder: Array, wrist: Array, body: Body, pole: Array) -> tuple[Array, Array]:
    """Two-bone inverse kinematics: elbow on the side of `pole`; the wrist is pulled in if out of reach."""
    a, b = body.upper_arm[:, None], body.forearm[:, None]
    line = wrist - shoulder
    distance = np.sqrt(np.einsum("nti,nti->nt", line, line))
    bounded = np.clip(distance, np.abs(a - b) + 0.05, 0.985 * (a + b))
    axis = unit(line)
    wrist = shoulder + axis * bounded[..., None]
    along = (a**2 - b**2 + bounded**2) / (2 * bounded)
    height = np.sqrt(np.maximum(a**2 - along**2, 1e-6))
    up = unit(pole - axis * np.einsum("nti,nti->nt", pole, axis)[..., None])
    return shoulder + axis * along[..., None] + up * height[..., None], wrist


def _rows(plan: HandPlan, rows: NDArray[np.int64]) -> HandPlan:
    return HandPlan(
        plan.contact[:, rows], plan.blend[:, rows], plan.offset[:, rows], plan.point[:, rows], plan.palm[:, rows],
        plan.reach[:, rows], plan.pole[:, rows], plan.curl[rows], plan.lift[rows],
    )  # fmt: skip


def _body_rows(body: Body, rows: NDArray[np.int64]) -> Body:
    return Body(*(getattr(body, name)[rows] for name in Body.__dataclass_fields__))


_HEAD_CONTACT_POINTS = np.array(list(HEAD_CONTACTS.values()), np.float32)
_TORSO_CONTACT_POINTS = np.array(list(TORSO_CONTACTS.values()), np.float32)
_ARM_FRACTIONS = np.array(list(ARM_CONTACTS.values()), np.float32)
_LEG_FRACTIONS = np.array(list(LEG_CONTACTS.values()), np.float32)
