"""Every pose layout the package reads or writes, as `Skeleton`s in `SKELETONS`.

A joint name means the same point of the body in all layouts; `r_` and `l_` are the person's own sides.
`neck` is the point between the shoulders (OpenPose's definition; Kinect v2 calls it SpineShoulder and its
higher Neck joint is `upper_neck` here), `mid_hip` the point between the hips (Kinect: SpineBase, HipCenter).

Bones are written as chains, `*_` standing for both sides. All layouts are trees. Layouts without a neck hang
from the nose, as PYSKL's COCO graph does, so that adjacency matrices of official checkpoints come out equal.

Projection uses a stand-in only where a layout lacks a joint: the neck between the shoulders, the hips'
middle, the head between the ears; from Kinect the head for the nose, the hand tip for the middle finger's tip
and the foot for the toe. Any other joint a layout lacks stays missing (score 0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton

FINGERS = ("thumb", "index", "middle", "ring", "pinky")

# ---- parts that several layouts share; the order is that of the files
_TIPS = " ".join(f"*_{finger}_tip" for finger in FINGERS)
_BODY18 = (
    "nose neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist "
    "r_hip r_knee r_ankle l_hip l_knee l_ankle r_eye l_eye r_ear l_ear"
)
_BODY25 = (
    "nose neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist mid_hip r_hip r_knee r_ankle l_hip l_knee l_ankle "
    "r_eye l_eye r_ear l_ear l_toe l_small_toe l_heel r_toe r_small_toe r_heel"
)
_COCO = (
    "nose l_eye r_eye l_ear r_ear l_shoulder r_shoulder l_elbow r_elbow l_wrist r_wrist l_hip r_hip l_knee r_knee "
    "l_ankle r_ankle"
)
_HAND = "wrist thumb_cmc thumb_mcp thumb_ip thumb_tip " + " ".join(
    f"{finger}_{part}" for finger in FINGERS[1:] for part in ("mcp", "pip", "dip", "tip")
)
# iBUG's 68 points run from the person's right ear along the jaw to the left ear, then brows, nose, eyes, lips
_FACE68 = (
    "r_jaw_0 r_jaw_1 r_jaw_2 r_jaw_3 r_jaw r_jaw_5 r_jaw_6 r_jaw_7 chin "
    "l_jaw_7 l_jaw_6 l_jaw_5 l_jaw l_jaw_3 l_jaw_2 l_jaw_1 l_jaw_0 "
    "r_brow_0 r_brow_1 r_brow r_brow_3 r_brow_4 l_brow_4 l_brow_3 l_brow l_brow_1 l_brow_0 "
    "nose_bridge_0 nose_bridge_1 nose_bridge_2 nose_tip r_nostril_0 r_nostril_1 nose_base l_nostril_1 l_nostril_0 "
    "r_eye_0 r_eye_1 r_eye_2 r_eye_3 r_eye_4 r_eye_5 l_eye_3 l_eye_2 l_eye_1 l_eye_0 l_eye_5 l_eye_4 "
    "r_mouth r_upper_lip_0 r_upper_lip_1 upper_lip l_upper_lip_1 l_upper_lip_0 l_mouth "
    "l_lower_lip_0 l_lower_lip_1 lower_lip r_lower_lip_1 r_lower_lip_0 "
    "r_inner_mouth r_inner_upper_lip inner_upper_lip l_inner_upper_lip l_inner_mouth "
    "l_inner_lower_lip inner_lower_lip r_inner_lower_lip"
)
_ARMS = "neck *_shoulder *_elbow *_wrist"
_HEAD = "neck nose *_eye *_ear"
_LEGS25 = "neck mid_hip *_hip *_knee *_ankle *_toe *_small_toe | *_ankle *_heel"
_TIP_BONES = " | ".join(f"*_wrist *_{finger}_tip" for finger in FINGERS)
_COCO_BONES = "nose *_eye *_ear | nose *_shoulder *_elbow *_wrist | *_shoulder *_hip *_knee *_ankle"
_HAND_BONES = "wrist thumb_cmc thumb_mcp thumb_ip thumb_tip | " + " | ".join(
    f"wrist {finger}_mcp {finger}_pip {finger}_dip {finger}_tip" for finger in FINGERS[1:]
)
_FACE_BONES = (
    "nose nose_tip nose_bridge_2 nose_bridge_1 nose_bridge_0 *_brow_4 *_brow_3 *_brow *_brow_1 *_brow_0 | "
    "nose_bridge_0 *_eye_3 *_eye_2 *_eye_1 *_eye_0 | *_eye_3 *_eye_4 *_eye_5 | "
    "nose_tip nose_base *_nostril_1 *_nostril_0 | nose_base upper_lip *_upper_lip_1 *_upper_lip_0 *_mouth | "
    "upper_lip inner_upper_lip *_inner_upper_lip *_inner_mouth | inner_upper_lip inner_lower_lip *_inner_lower_lip | "
    "inner_lower_lip lower_lip *_lower_lip_1 *_lower_lip_0 | "
    "lower_lip chin *_jaw_7 *_jaw_6 *_jaw_5 *_jaw *_jaw_3 *_jaw_2 *_jaw_1 *_jaw_0"
)
_MEDIAPIPE = (
    "nose l_eye_inner l_eye l_eye_outer r_eye_inner r_eye r_eye_outer l_ear r_ear l_mouth r_mouth "
    "l_shoulder r_shoulder l_elbow r_elbow l_wrist r_wrist l_pinky_mcp r_pinky_mcp l_index_mcp r_index_mcp "
    "l_thumb_ip r_thumb_ip l_hip r_hip l_knee r_knee l_ankle r_ankle l_heel r_heel l_toe r_toe"
)
_MEDIAPIPE_BONES = (
    "nose *_eye_inner *_eye *_eye_outer *_ear | nose *_mouth | nose *_shoulder *_elbow *_wrist *_pinky_mcp | "
    "*_wrist *_index_mcp | *_wrist *_thumb_ip | *_shoulder *_hip *_knee *_ankle *_heel | *_ankle *_toe"
)
_FACE_OF_CANONICAL = "r_brow l_brow r_mouth l_mouth upper_lip lower_lip chin r_jaw l_jaw forehead"
_FACE_BONES_OF_CANONICAL = "*_eye *_brow | nose upper_lip lower_lip chin *_jaw | upper_lip *_mouth | nose forehead"

FACE_MESH: dict[str, int] = {
    "r_brow": 105,  # middle of the upper edge of the brow
    "l_brow": 334,
    "r_mouth": 61,  # outer corners
    "l_mouth": 291,
    "upper_lip": 0,  # middle of the outer edge: tells pressed lips, which the inner points 13 and 14 do not
    "lower_lip": 17,
    "chin": 152,
    "r_jaw": 172,  # angle of the jaw, iBUG points 4 and 12
    "l_jaw": 397,
    "forehead": 10,  # top of the face oval, at the hair line
}
"""Index in MediaPipe FaceMesh (468 or 478 points) of each face joint of the layouts `mediapipe` and `canonical`."""


def _sided(words: str) -> list[str]:
    """`"*_a b"` -> the same words for the right and the left side, or the words alone if none has a side."""
    return [words.replace("*_", side) for side in ("r_", "l_")] if "*_" in words else [words]


def _layout(
    name: str, joints: str, bones: str, root: str = "neck", stand_ins: Mapping[str, tuple[str, ...]] = {}
) -> Skeleton:
    order = joints.split()
    pairs: dict[tuple[int, int], None] = {}  # a dict keeps the order and drops what both sides share
    for chain in bones.split("|"):
        for words in _sided(chain):
            path = [order.index(joint) for joint in words.split()]
            pairs.update(dict.fromkeys(pairwise(path)))
    middles = {"neck": "shoulder", "mid_hip": "hip", "head": "ear"}
    known: dict[str, tuple[str, ...]] = {
        joint: (f"r_{part}", f"l_{part}")
        for joint, part in middles.items()
        if joint not in order and f"r_{part}" in order
    }
    known.update(stand_ins)
    return Skeleton(name, tuple(order), tuple(pairs), order.index(root), tuple(known.items()))


def _prefixed(words: str, prefix: str) -> str:
    """Put a prefix before every word of a list of joints or chains of bones."""
    return " ".join(w if w == "|" else prefix + w for w in words.split())


def _hand(side: str) -> str:
    """The 21 hand points of one side; its wrist is not the body's wrist, which the body detector gives."""
    return _prefixed(_HAND.replace("wrist", "hand_wrist"), side)


def _coarse(words: str) -> str:
    return re.sub("_(pinky|index|thumb|mouth)", r"_pose_\1", words)


_HANDS_BONES = "*_wrist *_hand_wrist | " + _prefixed(_HAND_BONES.replace("wrist", "hand_wrist"), "*_")
_FINGER_TIPS = (_TIPS.replace("*_", "r_"), _TIPS.replace("*_", "l_"))
_KINECT = {"nose": ("head",), "r_toe": ("r_foot",), "l_toe": ("l_foot",)}

SKELETONS: dict[str, Skeleton] = {
    s.name: s
    for s in (
        # the layout of the package's own models: what tells micro-gestures apart and most detectors can see
        _layout(
            "canonical",
            "nose neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist mid_hip r_hip l_hip "
            "r_eye l_eye r_ear l_ear "
            + _FACE_OF_CANONICAL
            + "".join(
                f" {s}_thumb_tip {s}_index_mcp {s}_index_tip {s}_middle_mcp {s}_middle_tip {s}_ring_tip {s}_pinky_mcp "
                f"{s}_pinky_tip"
                for s in "rl"
            )
            + " r_knee r_ankle r_toe l_knee l_ankle l_toe",
            f"{_HEAD} | {_ARMS} | neck mid_hip *_hip *_knee *_ankle *_toe | {_FACE_BONES_OF_CANONICAL} | "
            "*_wrist *_thumb_tip | *_wrist *_index_mcp *_index_tip | *_wrist *_middle_mcp *_middle_tip | "
            "*_middle_mcp *_ring_tip | *_wrist *_pinky_mcp *_pinky_tip",
        ),
        # iMiGUE as distributed (`VVVV_light_hand.csv`): BODY_25, then five finger tips per hand
        _layout("imigue35", " ".join((_BODY25, *_FINGER_TIPS)), f"{_HEAD} | {_ARMS} | {_LEGS25} | {_TIP_BONES}"),
        # columns 0-7, 15-18, 25-34 of it: the baseline's subset
        _layout(
            "imigue22",
            "nose neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist r_eye l_eye r_ear l_ear "
            + " ".join(_FINGER_TIPS),
            f"{_HEAD} | {_ARMS} | {_TIP_BONES}",
        ),
        # what iMiGUE, SMG and MA-52 have in common, for transfer between them
        _layout(
            "upper12",
            "nose neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist r_eye l_eye r_ear l_ear",
            f"{_HEAD} | {_ARMS}",
        ),
        # OpenPose's COCO model; hips hang from the shoulders as in PYSKL and the MA-52 configurations
        _layout("openpose18", _BODY18, f"{_HEAD} | {_ARMS} | *_shoulder *_hip *_knee *_ankle"),
        _layout("openpose25", _BODY25, f"{_HEAD} | {_ARMS} | {_LEGS25}"),
        # OpenPose body 25, face 70 (iBUG 68 and the pupils), left hand 21, right hand 21
        _layout(
            "openpose137",
            " ".join((_BODY25, _FACE68, "r_pupil l_pupil", _hand("l_"), _hand("r_"))),
            f"{_HEAD} | {_ARMS} | {_LEGS25} | {_FACE_BONES} | *_eye *_pupil | {_HANDS_BONES}",
        ),
        # SMG: Kinect v2
        _layout(
            "kinect25",
            "mid_hip spine upper_neck head l_shoulder l_elbow l_wrist l_hand r_shoulder r_elbow r_wrist r_hand "
            "l_hip l_knee l_ankle l_foot r_hip r_knee r_ankle r_foot "
            "neck l_hand_tip l_thumb_tip r_hand_tip r_thumb_tip",
            f"neck spine mid_hip *_hip *_knee *_ankle *_foot | neck upper_neck head | {_ARMS} *_hand *_hand_tip | "
            "*_wrist *_thumb_tip",
            stand_ins=_KINECT | {"r_middle_tip": ("r_hand_tip",), "l_middle_tip": ("l_hand_tip",)},
        ),
        # UTD-MHAD: Kinect v1
        _layout(
            "kinect20",
            "head neck spine mid_hip l_shoulder l_elbow l_wrist l_hand r_shoulder r_elbow r_wrist r_hand "
            "l_hip l_knee l_ankle l_foot r_hip r_knee r_ankle r_foot",
            f"neck head | neck spine mid_hip *_hip *_knee *_ankle *_foot | {_ARMS} *_hand",
            stand_ins=_KINECT,
        ),
        _layout("coco17", _COCO, _COCO_BONES, "nose"),
        # COCO-WholeBody: body 17, feet 6, face 68, left hand 21, right hand 21
        _layout(
            "wholebody133",
            f"{_COCO} l_toe l_small_toe l_heel r_toe r_small_toe r_heel {_FACE68} {_hand('l_')} {_hand('r_')}",
            f"{_COCO_BONES} | *_ankle *_toe *_small_toe | *_ankle *_heel | {_FACE_BONES} | {_HANDS_BONES}",
            "nose",
        ),
        # MA-52 as distributed: OpenPose-18, then finger tips, the left hand's (joint 7) before the right's (joint 4)
        _layout(
            "ma52_28",
            " ".join((_BODY18, *reversed(_FINGER_TIPS))),
            f"{_HEAD} | {_ARMS} | *_shoulder *_hip *_knee *_ankle | {_TIP_BONES}",
        ),
        _layout("mediapipe33", _MEDIAPIPE, _MEDIAPIPE_BONES, "nose"),
        # one hand of MediaPipe Hands or OpenPose, either side
        _layout("hand21", _HAND, _HAND_BONES, "wrist"),
        # MediaPipe Pose 33, right hand 21, left hand 21, ten FaceMesh points (`FACE_MESH`). The finer detectors have
        # the plain names; the body detector's own knuckles and mouth corners are `r_pose_mouth` etc.
        _layout(
            "mediapipe",
            " ".join((_coarse(_MEDIAPIPE), _hand("r_"), _hand("l_"), _FACE_OF_CANONICAL)),
            f"{_coarse(_MEDIAPIPE_BONES)} | {_HANDS_BONES} | {_FACE_BONES_OF_CANONICAL}",
            "nose",
        ),
    )
}

IMIGUE22_OF_35: tuple[int, ...] = (*range(8), 15, 16, 17, 18, *range(25, 35))
"""Joints of `imigue35` that make up `imigue22`, in order."""

RELEASED_BONES: dict[str, tuple[tuple[int, int], ...]] = {
    # body edges counted from 1, fingers from 0, (10, 11) for (10, 12): 22 edges, not a tree. VUT-HFUT/MiGA2023_Track1
    "imigue22": (
        *((0, 1), (2, 1), (2, 3), (3, 4), (4, 5), (2, 6), (6, 7), (7, 8), (1, 9), (9, 11), (1, 10), (10, 11)),
        *((5, finger) for finger in range(12, 17)),
        *((8, finger) for finger in range(17, 22)),
    ),
}
"""Edge lists as published with official code, errors included; only for reproducing its figures."""

RELEASED_MIRROR: dict[str, tuple[tuple[int, int], ...]] = {
    # COCO's odd and even joints on a layout that is not COCO: the neck changes places with a shoulder
    "imigue22": tuple((left, left + 1) for left in range(1, 20, 2)),
    # correct for the body, but the fingers (18-22, 23-27) stay where they are
    "ma52_28": ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17)),
}
"""Mirror pairs as published with official code, errors included; only for reproducing its figures."""


def skeleton(name: str) -> Skeleton:
    """The layout of that name.

    Raises:
        UsageError: no such layout; the message offers the nearest names.

    Example:
        >>> len(skeleton("imigue22"))
        22
    """
    if name not in SKELETONS:
        near = get_close_matches(name, SKELETONS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(SKELETONS)}"
        raise UsageError(f"no pose layout '{name}'; {hint}")
    return SKELETONS[name]
