"""Joints come from the right detector, with the right score, and hands and faces go to whom they belong."""

from __future__ import annotations

import numpy as np
import pytest

from microgesture.core.layouts import FACE_MESH, skeleton
from microgesture.pose.assemble import CANONICAL, FACE_POINTS, HAND_SCORE, KNUCKLE_SCORE, Hand, assemble, body_scale

POSE, HAND = skeleton("mediapipe33"), skeleton("hand21")


def body(x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """A frontal person 100 pixels between the shoulders; every joint has a place of its own."""
    points = np.zeros((33, 3), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = x + np.arange(33) * 3, y + 200 + np.arange(33), 0.9
    for name, at in {"nose": (0, -60), "r_shoulder": (-50, 0), "l_shoulder": (50, 0), "r_hip": (-30, 120),
                     "l_hip": (30, 120), "r_wrist": (-60, 110), "l_wrist": (60, 110)}.items():  # fmt: skip
        points[POSE.index(name), :2] = x + at[0], y + at[1]
    return points


def hand(x: float, y: float, score: float = 0.9) -> Hand:
    return Hand((np.array((x, y)) + np.arange(21)[:, None] * (1.0, 0.5)).astype(np.float32), score)


def at(xy: np.ndarray, name: str) -> list[float]:
    return xy[CANONICAL.index(name)].tolist()


def test_every_body_joint_comes_from_the_joint_of_that_name() -> None:
    points = body()
    (xy,), (score,) = assemble([points])
    fingers = ("thumb_tip", "index_mcp", "index_tip", "middle", "ring", "pinky")
    for name in CANONICAL.joints:
        if name in POSE and not name[2:].startswith(fingers):
            assert at(xy, name) == points[POSE.index(name), :2].tolist(), name
            assert score[CANONICAL.index(name)] == pytest.approx(0.9)


def test_neck_and_middle_of_the_hips_are_midpoints_that_need_both_sides() -> None:
    points = body()
    points[POSE.index("l_hip"), 2] = 0.2
    (xy,), (score,) = assemble([points])
    assert at(xy, "neck") == [0, 0]
    assert at(xy, "mid_hip") == [0, 120]
    assert score[CANONICAL.index("neck")] == pytest.approx(0.9)
    assert score[CANONICAL.index("mid_hip")] == pytest.approx(0.2)


def test_fingers_of_a_found_hand_score_high_and_guessed_knuckles_low() -> None:
    right = hand(-60, 110, score=0.3)
    (xy,), (score,) = assemble([body()], [right])
    for finger in ("thumb_tip", "index_mcp", "index_tip", "middle_mcp", "middle_tip", "ring_tip", "pinky_mcp"):
        assert at(xy, f"r_{finger}") == right.xy[HAND.index(finger)].tolist()
        assert score[CANONICAL.index(f"r_{finger}")] == HAND_SCORE
    guessed = {n for n in CANONICAL.joints if n.startswith("l_") and 0 < score[CANONICAL.index(n)] <= KNUCKLE_SCORE}
    assert guessed == {"l_thumb_tip", "l_index_mcp", "l_pinky_mcp"}
    assert score[CANONICAL.index("l_middle_tip")] == 0


def test_each_hand_goes_to_the_nearest_free_wrist_whatever_their_order() -> None:
    near_right, between = hand(-58, 108), hand(30, 105)
    for hands in ([near_right, between], [between, near_right]):
        (xy,), _ = assemble([body()], hands)
        assert at(xy, "r_index_tip") == near_right.xy[8].tolist()
        assert at(xy, "l_index_tip") == between.xy[8].tolist()


def test_a_hand_or_face_out_of_reach_is_dropped() -> None:
    poster = np.full((len(FACE_POINTS), 2), 300, np.float32)
    (xy,), (score,) = assemble([body()], [hand(200, 110)], [poster])
    assert score[CANONICAL.index("l_middle_tip")] == score[CANONICAL.index("r_middle_tip")] == 0
    assert score[CANONICAL.index("chin")] == 0
    assert at(xy, "chin") == [0, 0]


def test_face_joints_come_from_their_face_mesh_points_and_the_head_stays_with_the_body() -> None:
    mesh = {n: np.array((k, -60 - k), np.float32) for k, n in enumerate(FACE_MESH)}
    by_index = {FACE_MESH[n]: p for n, p in mesh.items()} | {1: np.array((5, -55), np.float32)}
    (xy,), (score,) = assemble([body()], faces=[np.stack([by_index[i] for i in FACE_POINTS])])
    for name in ("r_brow", "l_brow", "upper_lip", "lower_lip", "chin", "r_jaw", "l_jaw", "forehead"):
        assert at(xy, name) == mesh[name].tolist()
        assert score[CANONICAL.index(name)] == 1
    assert at(xy, "nose") == [0, -60]
    assert at(xy, "r_mouth") == body()[POSE.index("r_mouth"), :2].tolist()


def test_two_people_keep_their_own_hands_and_a_missing_one_is_empty() -> None:
    xy, score = assemble([body(), None, body(x=400)], [hand(340, 112)])
    assert xy.shape == (3, 47, 2)
    assert xy.dtype == score.dtype == np.float32
    assert not score[1].any()
    assert at(xy[2], "r_index_tip") == hand(340, 112).xy[8].tolist()
    assert score[0, CANONICAL.index("r_middle_tip")] == 0


def test_scale_of_a_turned_body_is_its_torso() -> None:
    points = body()
    points[[POSE.index("r_shoulder"), POSE.index("l_shoulder")], 0] = -2, 2
    assert body_scale(assemble([points])[0][0]) == pytest.approx(0.7 * 120)
    assert body_scale(assemble([body()])[0][0]) == pytest.approx(100)
