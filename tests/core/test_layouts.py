"""Every index of every layout against the sources that define it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.core.layouts import (
    FACE_MESH,
    FINGERS,
    IMIGUE22_OF_35,
    RELEASED_BONES,
    RELEASED_MIRROR,
    SKELETONS,
    skeleton,
)
from microgesture.core.skeleton import Skeleton

ALL = pytest.mark.parametrize("layout", SKELETONS.values(), ids=SKELETONS)

COUNTS = {
    "canonical": 47,
    "imigue35": 35,
    "imigue22": 22,
    "upper12": 12,
    "openpose18": 18,
    "openpose25": 25,
    "openpose137": 137,
    "kinect25": 25,
    "kinect20": 20,
    "coco17": 17,
    "wholebody133": 133,
    "ma52_28": 28,
    "mediapipe33": 33,
    "hand21": 21,
    "mediapipe": 33 + 21 + 21 + 10,
}


def undirected(bones: Iterable[Iterable[int]]) -> set[frozenset[int]]:
    return {frozenset(int(j) for j in bone) for bone in bones}


def edges(text: str) -> set[frozenset[int]]:
    """`"1-0 4-12..16"` -> the edges 1-0, 4-12, 4-13, ..."""
    found = set()
    for edge in text.split():
        a, b = edge.split("-")
        first, _, last = b.partition("..")
        found |= {frozenset((int(a), j)) for j in range(int(first), int(last or first) + 1)}
    return found


def pairs(text: str) -> set[frozenset[int]]:
    return {frozenset(map(int, pair.split(","))) for pair in text.split()}


def test_names_and_counts() -> None:
    assert {name: len(layout) for name, layout in SKELETONS.items()} == COUNTS


@ALL
def test_bones_form_a_tree_from_the_root(layout: Skeleton) -> None:
    assert len(layout.bones) == len(layout) - 1
    assert all(layout.parents[child] == parent for parent, child in layout.bones)


@ALL
def test_mirror_is_an_involution_that_maps_bones_to_bones(layout: Skeleton) -> None:
    flip = np.array(layout.flip)
    assert (flip[flip] == np.arange(len(layout))).all()
    assert {(int(flip[a]), int(flip[b])) for a, b in layout.bones} == set(layout.bones)


@ALL
def test_every_sided_joint_has_its_partner(layout: Skeleton) -> None:
    sided = sum(joint.startswith(("r_", "l_")) for joint in layout.joints)
    assert 2 * len(layout.mirror) == sided


@ALL
def test_projection_to_itself_is_the_identity(layout: Skeleton) -> None:
    assert layout.projection(layout) == tuple((i,) for i in range(len(layout)))


@ALL
def test_every_layout_projects_to_every_other(layout: Skeleton) -> None:
    for target in SKELETONS.values():
        for joint, sources in zip(target.joints, layout.projection(target), strict=True):
            assert (layout.index(joint),) == sources if joint in layout else len(sources) <= 2


CENTRES = {"imigue22": 1, "openpose18": 1, "ma52_28": 1, "kinect25": 20, "coco17": 0, "hand21": 0, "canonical": 1}


@pytest.mark.parametrize(("name", "centre"), CENTRES.items())
def test_centre(name: str, centre: int) -> None:
    assert SKELETONS[name].root == centre


BONES = {
    "imigue22": "0-1 1-2 2-3 3-4 1-5 5-6 6-7 0-8 8-10 0-9 9-11 4-12..16 7-17..21",
    "ma52_28": "4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15 16-14 4-23..27 7-18..22",
    "openpose18": "4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15 16-14",
    "kinect25": "0-1 1-20 20-2 2-3 20-4 4-5 5-6 6-7 7-21 6-22 20-8 8-9 9-10 10-11 11-23 10-24 "
    "0-12 12-13 13-14 14-15 0-16 16-17 17-18 18-19",
    "coco17": "15-13 13-11 16-14 14-12 11-5 12-6 9-7 7-5 10-8 8-6 5-0 6-0 1-0 3-1 2-0 4-2",
    "openpose25": "1-8 1-2 1-5 2-3 3-4 5-6 6-7 8-9 9-10 10-11 8-12 12-13 13-14 1-0 0-15 15-17 0-16 16-18 "
    "14-19 19-20 14-21 11-22 22-23 11-24",
    "hand21": "0-1 1-2 2-3 3-4 0-5 5-6 6-7 7-8 0-9 9-10 10-11 11-12 0-13 13-14 14-15 15-16 0-17 17-18 18-19 19-20",
}


@pytest.mark.parametrize(("name", "text"), BONES.items())
def test_published_bones(name: str, text: str) -> None:
    assert undirected(SKELETONS[name].bones) == edges(text)


MIRRORS = {
    "imigue22": "2,5 3,6 4,7 8,9 10,11 12,17 13,18 14,19 15,20 16,21",
    "ma52_28": "2,5 3,6 4,7 8,11 9,12 10,13 14,15 16,17 23,18 24,19 25,20 26,21 27,22",
    "kinect25": "4,8 5,9 6,10 7,11 12,16 13,17 14,18 15,19 21,23 22,24",
}


@pytest.mark.parametrize(("name", "text"), MIRRORS.items())
def test_published_mirror_pairs(name: str, text: str) -> None:
    assert undirected(SKELETONS[name].mirror) == pairs(text)


def test_imigue22_is_a_subset_of_imigue35() -> None:
    assert list(IMIGUE22_OF_35) == [0, 1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 18, *range(25, 35)]
    large, small = SKELETONS["imigue35"], SKELETONS["imigue22"]
    assert tuple(large.joints[i] for i in IMIGUE22_OF_35) == small.joints
    assert large.projection(small) == tuple((i,) for i in IMIGUE22_OF_35)
    assert large.joints[:25] == SKELETONS["openpose25"].joints


def test_imigue35_fingers_hang_from_their_own_wrists() -> None:
    layout = SKELETONS["imigue35"]
    assert [layout.parents[j] for j in range(25, 30)] == [4] * 5 == [layout.index("r_wrist")] * 5
    assert [layout.parents[j] for j in range(30, 35)] == [7] * 5 == [layout.index("l_wrist")] * 5


def test_imigue35_to_ma52() -> None:
    sources = SKELETONS["imigue35"].projection(SKELETONS["ma52_28"])
    order = [*range(8), *range(9, 15), *range(15, 19), *range(30, 35), *range(25, 30)]
    assert sources == tuple((i,) for i in order)


def test_kinect_lends_its_head_to_the_nose_and_nothing_to_eyes_and_ears() -> None:
    kinect, target = SKELETONS["kinect25"], SKELETONS["openpose18"]
    sources = dict(zip(target.joints, kinect.projection(target), strict=True))
    assert sources["nose"] == (3,)
    assert sources["neck"] == (20,)
    assert sources["r_wrist"] == (10,)
    assert all(sources[j] == () for j in ("r_eye", "l_eye", "r_ear", "l_ear"))


def test_layouts_without_a_neck_use_the_middle_of_the_shoulders() -> None:
    for name in ("coco17", "wholebody133", "mediapipe33", "mediapipe"):
        layout = SKELETONS[name]
        sources = dict(zip(SKELETONS["canonical"].joints, layout.projection(SKELETONS["canonical"]), strict=True))
        assert sources["neck"] == (layout.index("r_shoulder"), layout.index("l_shoulder"))
        assert sources["mid_hip"] == (layout.index("r_hip"), layout.index("l_hip"))


def test_what_cannot_be_seen_stays_missing() -> None:
    sources = SKELETONS["imigue22"].projection(SKELETONS["canonical"])
    by_name = dict(zip(SKELETONS["canonical"].joints, sources, strict=True))
    assert by_name["mid_hip"] == by_name["r_hip"] == by_name["chin"] == by_name["r_index_mcp"] == ()
    assert by_name["r_index_tip"] == (13,)


def test_canonical_order() -> None:
    hand = "#_thumb_tip #_index_mcp #_index_tip #_middle_mcp #_middle_tip #_ring_tip #_pinky_mcp #_pinky_tip"
    assert " ".join(SKELETONS["canonical"].joints) == (
        "nose neck r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist mid_hip r_hip l_hip r_eye l_eye r_ear l_ear "
        "r_brow l_brow r_mouth l_mouth upper_lip lower_lip chin r_jaw l_jaw forehead "
        f"{hand.replace('#', 'r')} {hand.replace('#', 'l')} r_knee r_ankle r_toe l_knee l_ankle l_toe"
    )


def test_upper12_is_what_the_data_sets_share() -> None:
    upper = SKELETONS["upper12"]
    for name in ("imigue35", "imigue22", "ma52_28", "openpose18"):
        assert all(joint in SKELETONS[name] for joint in upper.joints)
    kinect = SKELETONS["kinect25"]
    seen = dict(zip(upper.joints, kinect.projection(upper), strict=True))
    assert seen["nose"] == (kinect.index("head"),)
    assert [joint for joint, sources in seen.items() if not sources] == ["r_eye", "l_eye", "r_ear", "l_ear"]


def test_only_mediapipe_sees_the_whole_canonical_layout() -> None:
    whole = {s.name for s in SKELETONS.values() if all(s.projection(SKELETONS["canonical"]))}
    assert whole == {"canonical", "mediapipe"}


@pytest.mark.parametrize(
    ("name", "face", "left", "right"), [("openpose137", 25, 95, 116), ("wholebody133", 23, 91, 112)]
)
def test_face_and_hand_ranges(name: str, face: int, left: int, right: int) -> None:
    layout = SKELETONS[name]
    for side, first in (("l_", left), ("r_", right)):
        block = layout.joints[first : first + 21]
        assert block == tuple(side + j.replace("wrist", "hand_wrist") for j in SKELETONS["hand21"].joints)
        assert layout.parents[first] == layout.index(f"{side}wrist")
        assert [layout.index(f"{side}{f}_tip") - first for f in FINGERS] == [4, 8, 12, 16, 20]
    known = {"r_jaw": 4, "chin": 8, "l_jaw": 12, "r_brow": 19, "l_brow": 24, "nose_tip": 30, "nose_base": 33}
    known |= {"r_eye_0": 36, "l_eye_0": 45, "r_mouth": 48, "upper_lip": 51, "l_mouth": 54, "lower_lip": 57}
    known |= {"inner_upper_lip": 62, "inner_lower_lip": 66}
    assert {joint: layout.index(joint) - face for joint in known} == known


def test_the_face_is_mirrored_as_ibug_numbers_it() -> None:
    layout, face = SKELETONS["openpose137"], 25
    text = " ".join(f"{i},{16 - i}" for i in range(8)) + " " + " ".join(f"{17 + i},{26 - i}" for i in range(5))
    text += " 31,35 32,34 36,45 37,44 38,43 39,42 40,47 41,46 48,54 49,53 50,52 59,55 58,56 60,64 61,63 67,65 68,69"
    own = {p for p in undirected(layout.mirror) if min(p) >= face and max(p) < 95}
    assert own == {frozenset(j + face for j in pair) for pair in pairs(text)}
    assert undirected(layout.mirror) - own >= {frozenset((95 + i, 116 + i)) for i in range(21)}


def test_wholebody_feet_and_body() -> None:
    layout = SKELETONS["wholebody133"]
    assert layout.joints[:17] == SKELETONS["coco17"].joints
    assert layout.joints[17:23] == ("l_toe", "l_small_toe", "l_heel", "r_toe", "r_small_toe", "r_heel")


def test_utd_kinect_layout_agrees_with_the_recordings(data: Path) -> None:
    with np.load(data / "skeleton" / "utd_mhad.npz") as file:
        names, bones = [str(n) for n in file["joint_names"]], file["bones"]
    ours = {"shoulder_center": "neck", "hip_center": "mid_hip"}
    assert SKELETONS["kinect20"].joints == tuple(
        ours.get(n, n.replace("left_", "l_").replace("right_", "r_")) for n in names
    )
    assert undirected(SKELETONS["kinect20"].bones) == undirected(bones)


def test_mediapipe_indices() -> None:
    layout = SKELETONS["mediapipe33"]
    known = {"nose": 0, "l_eye": 2, "r_eye": 5, "l_ear": 7, "r_ear": 8, "l_mouth": 9, "r_mouth": 10}
    known |= {"l_shoulder": 11, "r_shoulder": 12, "l_wrist": 15, "r_wrist": 16, "l_pinky_mcp": 17, "r_index_mcp": 20}
    known |= {"l_thumb_ip": 21, "l_hip": 23, "r_knee": 26, "l_ankle": 27, "r_heel": 30, "l_toe": 31, "r_toe": 32}
    assert {joint: layout.index(joint) for joint in known} == known


def test_combined_mediapipe_blocks() -> None:
    layout, hand = SKELETONS["mediapipe"], SKELETONS["hand21"]
    assert layout.joints[33:54] == ("r_hand_wrist", *(f"r_{j}" for j in hand.joints[1:]))
    assert layout.joints[54:75] == ("l_hand_wrist", *(f"l_{j}" for j in hand.joints[1:]))
    assert layout.joints[75:] == tuple(FACE_MESH)
    assert layout.index("l_pose_mouth") == 9
    assert layout.index("r_pose_index_mcp") == 20


def test_face_mesh_points_are_where_their_names_say() -> None:
    connections = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections", reason="needs [pose]")

    def points(name: str) -> set[int]:
        return {i for edge in getattr(connections, f"FACEMESH_{name}") for i in edge}

    assert FACE_MESH["r_brow"] in points("RIGHT_EYEBROW")
    assert FACE_MESH["l_brow"] in points("LEFT_EYEBROW")
    assert {FACE_MESH[j] for j in ("r_mouth", "l_mouth", "upper_lip", "lower_lip")} <= points("LIPS")
    assert {FACE_MESH[j] for j in ("chin", "r_jaw", "l_jaw", "forehead")} <= points("FACE_OVAL")


def test_released_variants_show_their_errors() -> None:
    bones = RELEASED_BONES["imigue22"]
    assert len(bones) == 22
    assert (5, 12) in bones
    assert (10, 11) in bones
    assert undirected(bones) != undirected(SKELETONS["imigue22"].bones)
    assert (1, 2) in RELEASED_MIRROR["imigue22"], "the released lists move the neck"
    moved = {j for pair in RELEASED_MIRROR["ma52_28"] for j in pair}
    assert moved == set(range(2, 18))
    assert set(map(frozenset, RELEASED_MIRROR["ma52_28"])) < undirected(SKELETONS["ma52_28"].mirror)


def test_unknown_layout_offers_near_names() -> None:
    with pytest.raises(UsageError, match=r"no pose layout 'imigue_22'; did you mean imigue22"):
        skeleton("imigue_22")
    with pytest.raises(UsageError, match=r"no pose layout 'zzz'; known: canonical, imigue35"):
        skeleton("zzz")
