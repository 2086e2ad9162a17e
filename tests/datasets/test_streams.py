from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.datasets.streams import stream, streams

GOLDEN = Path(__file__).parents[1] / "golden" / "gcn_pipeline.npz"
TREE = Skeleton("tree", ("neck", "r_elbow", "r_wrist"), ((0, 1), (1, 2)))


def test_streams_equal_pyskl_where_joints_are_seen() -> None:
    z = np.load(GOLDEN)
    base = z["out/skefeat_j"]
    xy, score = base[..., :2], base[..., 2]
    pairs = z["in/bone_pairs"]  # (joint, parent), the root is its own parent
    bones = tuple((int(p), int(j)) for j, p in pairs if j != p)
    coco = Skeleton("coco", SKELETONS["coco17"].joints, bones, root=int(next(j for j, p in pairs if j == p)))
    assert {(j, p) for j, p in enumerate(coco.parents) if p >= 0} == {(int(j), int(p)) for j, p in pairs if j != p}
    seen_pair = {
        "bone": (score > 0) & (score[..., [p if p >= 0 else j for j, p in enumerate(coco.parents)]] > 0),
        "joint_motion": np.concatenate((score[:, :-1] * score[:, 1:] > 0, score[:, -1:] > 0), 1),
    }
    for name, key in (("bone", "b"), ("joint_motion", "jm")):
        found, found_score = stream(xy, score, coco, name)  # type: ignore[arg-type]
        expected, seen = z[f"out/skefeat_{key}"], seen_pair[name]
        assert seen.mean() > 0.5
        np.testing.assert_allclose(found[seen], expected[..., :2][seen], atol=1e-5)
        if name == "bone":
            np.testing.assert_allclose(found_score[seen], expected[..., 2][seen], atol=1e-5)


def test_a_bone_with_a_missing_end_is_missing() -> None:
    xy = np.array([[[[1, 1], [3, 2], [0, 0]]]], np.float32)
    score = np.array([[[1, 0.5, 0]]], np.float32)
    bone, seen = stream(xy, score, TREE, "bone")
    assert bone[0, 0].tolist() == [[0, 0], [2, 1], [0, 0]]
    assert seen[0, 0].tolist() == [1, 0.75, 0]


def test_motion_is_the_next_frame_and_ends_at_rest() -> None:
    xy = np.array([0, 1, 4], np.float32).reshape(1, 3, 1, 1).repeat(3, 2).repeat(2, 3)
    motion, seen = stream(xy, np.ones((1, 3, 3), np.float32), TREE, "joint_motion")
    assert motion[0, :, 0, 0].tolist() == [1, 3, 0]
    assert (seen == 1).all()
    both, _ = stream(xy, np.ones((1, 3, 3), np.float32), TREE, "bone_motion")
    assert not both.any()  # all joints move together


@pytest.mark.parametrize("names, channels", [(("joint",), 2), (("joint", "bone", "bone_motion"), 6)])
def test_streams_lie_beside_each_other(names: tuple[str, ...], channels: int) -> None:
    xy = np.random.default_rng(0).normal(size=(2, 4, 3, 2)).astype(np.float32)
    out, score = streams(xy, np.ones((2, 4, 3), np.float32), TREE, names)  # type: ignore[arg-type]
    assert out.shape == (2, 4, 3, channels)
    np.testing.assert_array_equal(out[..., :2], xy)
    assert score.shape == (2, 4, 3)
