"""Against the SMG start kit: golden file smg_online_features."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.systems.golden import Golden

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.layers.batch import WindowBatch
from microgesture.layers.pose_differences import FrameFeatures, JointReader, moving_pose, realtime, stacked

KINECT, UPPER = SKELETONS["kinect25"], SKELETONS["upper12"]


def window(skeleton: Skeleton, frames: int, coordinates: int = 3, batch: int = 1, valid: float = 1.0) -> WindowBatch:
    xy = torch.randn(batch, 1, frames, len(skeleton), coordinates)
    score = torch.ones(batch, 1, frames, len(skeleton))
    return WindowBatch(xy, score, valid=torch.full((batch,), valid))


def test_features_are_those_of_the_start_kit() -> None:
    golden = Golden("smg_online_features")
    points = golden.inputs["skeleton"].view(1, 14, 25, 3)
    assert torch.allclose(realtime(points)[0], golden.outputs["realtime"], atol=1e-9)
    assert torch.allclose(moving_pose(points)[0], golden.outputs["moving_pose"], atol=1e-9)
    five = stacked(moving_pose(points)[0]).flatten(-2)
    assert torch.allclose(five, golden.outputs["moving_pose_stacked5"], atol=1e-9)


def test_rows_are_those_of_the_start_kit_where_nothing_is_cut() -> None:
    golden = Golden("smg_online_features")
    points = golden.inputs["skeleton"].view(1, 1, 14, 25, 3).float()
    batch = WindowBatch(points, torch.ones(1, 1, 14, 25), valid=torch.ones(1))
    rows = torch.arange(14)
    for kind, part, theirs in (
        ("moving_pose", slice(4, 10), "moving_pose_stacked5"),
        ("realtime", slice(0, 13), "realtime"),
        ("realtime_reshaped", slice(0, 13), "realtime"),
    ):
        features = FrameFeatures(KINECT, 3, kind, center=None)  # type: ignore[arg-type]
        ours = features(features.poses(batch), rows)
        assert ours.shape[1:] == features.shape
        assert torch.allclose(ours[part].flatten(1).double(), golden.outputs[theirs], atol=1e-5)


@pytest.mark.parametrize("kind, shape", [("moving_pose", (5, 525)), ("realtime", (1, 2775)),
                                         ("realtime_reshaped", (5, 555))])  # fmt: skip
def test_published_sizes(kind: Any, shape: tuple[int, int]) -> None:
    assert FrameFeatures(KINECT, 3, kind).shape == shape


def test_any_layout_is_cut_into_five_slices() -> None:
    features = FrameFeatures(UPPER, 2, "realtime_reshaped", center=None)  # 420 numbers
    assert features.shape == (5, 84)
    features = FrameFeatures(UPPER, 2, "realtime_reshaped", joints=["nose", "neck", "r_wrist"])
    assert features.width == 24
    assert features.shape == (5, 5)  # the last slice is filled up with a zero
    batch = window(UPPER, 4, 2)
    assert (features(features.poses(batch), torch.arange(4))[:, -1, -1] == 0).all()


def test_shift_of_the_whole_body() -> None:
    points = torch.randn(9, 25, 3, dtype=torch.double)
    moved = points + torch.tensor([1.0, -2.0, 3.0])
    assert torch.allclose(realtime(points), realtime(moved))
    plain, shifted = moving_pose(points), moving_pose(moved)
    assert not torch.allclose(plain[:, :75], shifted[:, :75])
    assert torch.allclose(plain[:, 75:], shifted[:, 75:])
    reader = JointReader(KINECT, 3, (), "hip")
    batch = window(KINECT, 9)
    away = WindowBatch(batch.xy + 5.0, batch.score, valid=batch.valid)
    assert torch.allclose(reader(batch).points, reader(away).points, atol=1e-5)


def test_features_by_hand() -> None:
    points = torch.tensor([0.0, 1.0, 3.0, 6.0, 10.0]).view(5, 1, 1).repeat(1, 2, 1)
    points[:, 1] += 2
    assert moving_pose(points).tolist() == [[3, 5, 5, 5, 10 - 6, 10 - 6, 2]]
    assert realtime(points[:2]).tolist() == [[-2, 1, -1, 3, 1]]


def test_what_a_missing_joint_takes_part_in_is_zero() -> None:
    points = torch.randn(5, 3, 2)
    seen = torch.ones(5, 3, dtype=torch.bool)
    seen[3, 1] = False  # the frame after the middle one
    pose, velocity, acceleration, distance = moving_pose(points, seen)[0].split([6, 6, 6, 3])
    assert (pose != 0).all()
    assert (distance != 0).all()
    assert (acceleration != 0).all()
    assert (velocity.view(3, 2) != 0).all(1).tolist() == [True, False, True]
    within, between = realtime(points, seen)[2].split([6, 18])  # from frame 2 to 3
    assert (within != 0).all()
    assert (between.view(3, 3, 2) != 0).all(-1).tolist() == [[True] * 3, [False] * 3, [True] * 3]
    within, between = realtime(points, seen)[3].split([6, 18])
    assert (within.view(3, 2) != 0).all(-1).tolist() == [False, True, False]  # pairs 01, 02, 12
    assert (between.view(3, 3, 2) != 0).all(-1).tolist() == [[True, False, True]] * 3


def test_missing_hip_is_where_it_was_last_seen() -> None:
    batch = window(KINECT, 6)
    hip = KINECT.index("mid_hip")
    for frame in (0, 3, 4):
        batch.xy[:, :, frame, hip], batch.score[:, :, frame, hip] = 0, 0
    nose = KINECT.index("head")
    at = batch.xy[0, 0]
    held = [1, 1, 2, 2, 2, 5]
    points = JointReader(KINECT, 3, ["head", "mid_hip"], "hip")(batch).points[0]
    assert torch.allclose(points[:, 0], at[:, nose] - at[held, hip])
    assert points[:, 1].tolist() == [[0, 0, 0]] * 6
    batch.score[:, :, :, hip], batch.xy[:, :, :, hip] = 0, 0
    assert torch.equal(JointReader(KINECT, 3, ["head"], "hip")(batch).points[0, :, 0], at[:, nose])


def test_layouts_without_a_middle_of_the_hips() -> None:
    coco, batch = SKELETONS["coco17"], window(SKELETONS["coco17"], 3, 2)
    hips = batch.xy[0, 0, :, [coco.index("r_hip"), coco.index("l_hip")]].mean(1)
    points = JointReader(coco, 2, ["nose"], "hip")(batch).points
    assert torch.allclose(points[0, :, 0], batch.xy[0, 0, :, coco.index("nose")] - hips)
    assert (JointReader(UPPER, 2, ["neck"], "hip")(window(UPPER, 3, 2)).points == 0).all()


def test_padding_changes_no_row() -> None:
    batch = window(KINECT, 12)
    padded = WindowBatch(
        torch.cat((batch.xy, torch.zeros(1, 1, 8, 25, 3)), 2),
        torch.cat((batch.score, torch.zeros(1, 1, 8, 25)), 2),
        valid=torch.tensor([0.6]),
    )
    for kind in ("moving_pose", "realtime"):
        features = FrameFeatures(KINECT, 3, kind)  # type: ignore[arg-type]
        rows = torch.arange(12)
        assert torch.equal(features(features.poses(batch), rows), features(features.poses(padded), rows))


def test_observed_numbers_have_mean_0_and_deviation_1() -> None:
    features = FrameFeatures(UPPER, 2, "realtime")
    recordings = [window(UPPER, n, 2) for n in (40, 5000)]
    features.observe(recordings)
    x = torch.cat([features(features.poses(r), torch.arange(r.xy.shape[2])) for r in recordings])[:, 0]
    assert torch.allclose(x.mean(0), torch.zeros(420), atol=1e-4)
    moving = x.std(0, correction=0)
    assert torch.allclose(moving[moving > 0], torch.ones(()), atol=1e-3)
    with pytest.raises(UsageError, match="the recordings to take statistics from hold no frame"):
        features.observe([])


def test_numbers_that_never_change_stay_finite() -> None:
    features = FrameFeatures(UPPER, 2)
    still = window(UPPER, 1, 2)
    features.observe(
        [WindowBatch(still.xy.expand(-1, -1, 9, -1, -1), still.score.expand(-1, -1, 9, -1), valid=still.valid)]
    )
    assert (features.deviation == 1).all()


def test_wrong_names() -> None:
    with pytest.raises(UsageError, match="inputs 'poses' are unknown; choose 'moving_pose', 'realtime', 'realtime_res"):
        FrameFeatures(UPPER, 2, "poses")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="skeleton 'upper12' has no joint 'tail'"):
        FrameFeatures(UPPER, 2, joints=["neck", "tail"])
    with pytest.raises(UsageError, match="center is 'neck'; choose 'hip' or null"):
        FrameFeatures(UPPER, 2, center="neck")
    with pytest.raises(UsageError, match="differences between joints need at least two of them"):
        FrameFeatures(UPPER, 2, joints=["neck"])
