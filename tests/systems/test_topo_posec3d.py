"""TopoPoseC3D: the 41-joint diagram, alignment by interpolation, and the contract."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.systems.test_jsse import SMALL
from torch import Tensor, nn

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.core.track import project
from microgesture.layers.batch import PoseBatch
from microgesture.systems.topo_posec3d import LAYOUT, TopoPoseC3D, align, known_part
from microgesture.testing.systems import CHECKS, Case

# the points' numbers among OpenPose's 70 of the face
FACE = (0, 4, 8, 12, 16, 17, 21, 22, 26, 48, 50, 51, 52, 54, 56, 57, 58, 62, 66)


def small(skeleton: Skeleton = LAYOUT, frames: int = 8, **more: Any) -> TopoPoseC3D:
    torch.manual_seed(0)
    return TopoPoseC3D(skeleton, IMIGUE, frames, 1, **{**SMALL, **more})


def clips(count: int = 3, frames: int = 6, joints: int = 41, persons: int = 1) -> PoseBatch:
    make = torch.Generator().manual_seed(1)
    shape = (count, persons, frames, joints)
    score = torch.rand(shape, generator=make) * 0.5 + 0.5
    return PoseBatch(torch.randn(*shape, 2, generator=make), score, torch.arange(count))


# ---- the diagram


def test_the_points_are_those_of_openpose() -> None:
    whole = SKELETONS["openpose137"]
    assert LAYOUT.joints[:22] == SKELETONS["imigue22"].joints
    assert LAYOUT.joints[22:] == tuple(whole.joints[25 + number] for number in FACE)
    assert (len(LAYOUT), len(LAYOUT.bones), LAYOUT.joints[LAYOUT.root]) == (41, 41, "neck")
    assert LAYOUT.bones[:21] == SKELETONS["imigue22"].bones


def test_the_diagram_hangs_together() -> None:
    assert LAYOUT.parents.count(-1) == 1  # raises if a joint is not reached
    assert len({frozenset(bone) for bone in LAYOUT.bones}) == 41


def test_mirroring_keeps_the_diagram() -> None:
    flip = LAYOUT.flip
    assert all(flip[flip[j]] == j for j in range(41))
    pairs = {(22, 26), (23, 25), (27, 30), (28, 29), (31, 35), (32, 34), (38, 36)}
    assert pairs == {pair for pair in LAYOUT.mirror if pair[0] > 21}
    assert [j for j in range(22, 41) if flip[j] == j] == [24, 33, 37, 39, 40]
    edges = {frozenset(bone) for bone in LAYOUT.bones}
    assert {frozenset(flip[j] for j in edge) for edge in edges} == edges


@pytest.mark.parametrize(
    ("layout", "joints", "bones"),
    [
        ("openpose137", 41, 41),
        ("wholebody133", 41, 41),
        ("imigue22", 22, 21),
        ("canonical", 29, 25),
        ("coco17", 12, 11),
    ],
)
def test_what_other_layouts_have_of_it(layout: str, joints: int, bones: int) -> None:
    part = known_part(SKELETONS[layout])
    assert (len(part), len(part.bones)) == (joints, bones)
    named = {frozenset(LAYOUT.joints[j] for j in bone) for bone in LAYOUT.bones}
    assert {frozenset(part.joints[j] for j in bone) for bone in part.bones} <= named
    model = small(SKELETONS[layout], stream="limb")
    assert model.net.backbone.conv1.conv.in_channels == bones


def test_layouts_that_have_nothing_of_it_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'hand21' has none of the joints of 'imigue41'.*jsse\.JSSE draws any joints"):
        small(SKELETONS["hand21"])
    lonely = Skeleton("lonely", ("nose", "l_wrist"), ((0, 1),))
    with pytest.raises(UsageError, match="'lonely' has no two joints of 'imigue41' that an edge joins"):
        small(lonely, stream="limb")
    assert small(lonely).drawn.joints == ("nose", "l_wrist")


@pytest.mark.parametrize("layout", ["openpose137", "coco17", "canonical", "mediapipe33"])
def test_joints_are_found_by_name_as_elsewhere(layout: str) -> None:
    skeleton = SKELETONS[layout]
    model, batch = small(skeleton, frames=6), clips(joints=len(skeleton))
    batch.score[0, :, :, ::3] = 0
    batch.xy[batch.score == 0] = 0
    xy, score = project(batch.xy.numpy(), batch.score.numpy(), skeleton, model.drawn)
    arranged = model.arrange(batch)
    assert torch.equal(arranged.score, torch.from_numpy(score))
    torch.testing.assert_close(arranged.xy, torch.from_numpy(xy))


# ---- alignment


def line(frames: int, joints: int = 3, clips: int = 2) -> tuple[Tensor, Tensor]:
    """Joints that move evenly, each its own way; scores that rise evenly."""
    t = torch.arange(frames, dtype=torch.float32).view(1, 1, -1, 1)
    start, speed = torch.randn(2, clips, 1, 1, joints, 2, generator=torch.Generator().manual_seed(0))
    return start + speed * t.unsqueeze(-1) * 0.1, (0.2 + 0.005 * t).expand(clips, 1, frames, joints)


@pytest.mark.parametrize("frames", [2, 5, 30, 47, 49, 120])
def test_linear_motion_is_met_exactly(frames: int) -> None:
    xy, score = line(frames)
    got, sure = align(xy, score, 48)
    whole = torch.linspace(0, 1, 48).view(1, 1, -1, 1)
    assert (got - torch.lerp(xy[:, :, :1], xy[:, :, -1:], whole.unsqueeze(-1))).abs().max() < 1e-5
    assert (sure - torch.lerp(score[:, :, :1], score[:, :, -1:], whole)).abs().max() < 1e-5


def test_the_right_length_is_left_alone() -> None:
    batch = clips(frames=48)
    batch.score[:, :, :9, 4], batch.xy[:, :, :9, 4] = 0, 0
    got, sure = align(batch.xy, batch.score, 48)
    assert torch.equal(got, batch.xy)
    assert torch.equal(sure, batch.score)


def test_one_frame_is_shown_all_the_time() -> None:
    batch = clips(frames=1)
    got, sure = align(batch.xy, batch.score, 48)
    assert torch.equal(got, batch.xy.expand_as(got))
    assert torch.equal(sure, batch.score.expand_as(sure))
    got, _ = align(*line(9), 1)
    assert torch.equal(got, line(9)[0][:, :, :1])


def test_ends_are_the_clips_own() -> None:
    batch = clips(frames=7)
    got, _ = align(batch.xy, batch.score, 20)
    assert torch.equal(got[:, :, 0], batch.xy[:, :, 0])
    assert torch.equal(got[:, :, -1], batch.xy[:, :, -1])


def test_gaps_are_closed_along_a_line() -> None:
    xy, score = line(10)
    holed, unsure = xy.clone(), score.clone()
    for gap in (slice(2, 4), slice(6, 9)):
        holed[0, :, gap, 1] = 0
        unsure[0, :, gap, 1] = 0
    got, sure = align(holed, unsure, 10)
    torch.testing.assert_close(got, xy)
    torch.testing.assert_close(sure, score)


def test_what_is_missing_at_an_end_stays_missing() -> None:
    xy, score = line(10)
    xy, score = xy.clone(), score.clone()
    xy[:, :, :4, 1], score[:, :, :4, 1] = 0, 0
    got, sure = align(xy, score, 19)  # every second frame is one of the clip's
    assert (sure[:, :, :7, 1] == 0).all()
    assert (got[:, :, :7, 1] == 0).all()
    # half-way between a frame in which it is missing and one in which it is seen: what is seen
    assert torch.equal(got[:, :, 7, 1], xy[:, :, 4, 1])
    assert torch.equal(sure[:, :, 7, 1], score[:, :, 4, 1])
    assert (sure[..., 0] > 0).all()


def test_empty_frames_at_the_ends_are_left_out() -> None:
    """Padded to 90 frames, or preceded by nothing, a clip is aligned as it is alone; each of a batch by itself."""
    batch = clips(count=2, frames=90)
    xy, score = torch.zeros_like(batch.xy), torch.zeros_like(batch.score)
    for clip, part in enumerate((slice(0, 33), slice(20, 81))):
        xy[clip, :, part], score[clip, :, part] = batch.xy[clip, :, part], batch.score[clip, :, part]
        alone = align(batch.xy[clip : clip + 1, :, part], batch.score[clip : clip + 1, :, part], 48)
        together = align(xy, score, 48)
        assert torch.equal(together[0][clip : clip + 1], alone[0])
        assert torch.equal(together[1][clip : clip + 1], alone[1])


def test_nothing_seen_stays_so() -> None:
    got, sure = align(torch.zeros(2, 1, 5, 3, 2), torch.zeros(2, 1, 5, 3), 8)
    assert not got.any()
    assert not sure.any()


def test_a_clip_slowed_down_gets_the_same_answer() -> None:
    model = small(frames=9).eval()
    batch = clips(frames=5)
    xy, score = align(batch.xy, batch.score, 9)
    slow = PoseBatch(xy, score)
    torch.testing.assert_close(model(slow).logits, model(batch).logits, atol=1e-5, rtol=0)


# ---- the network


def test_sizes() -> None:
    for stream in ("joint", "limb"):
        model = TopoPoseC3D(LAYOUT, IMIGUE, 48, 1, stream=stream)
        assert sum(p.numel() for p in model.net.backbone.parameters()) == 2_031_712
        assert sum(p.numel() for p in model.parameters()) == 2_031_712 + 16_416 + 153_900
        batch = clips(count=2, frames=30)
        (volume,) = model.train().views(model.arrange(batch))
        assert volume.shape == (2, 41, 48, 56, 56)
    assert model.eval().views(model.arrange(clips(count=1)))[1].shape == (1, 41, 48, 64, 64)


def test_outputs_and_losses_at_the_start() -> None:
    model, batch = small().eval(), replace(clips(32), label=torch.arange(32))
    out = model(batch)
    assert (out.logits.shape, out.embedding.shape) == ((32, 32), (32, 300))
    losses = model.losses(out, batch)
    assert losses["class"].item() == pytest.approx(math.log(32), abs=0.01)
    assert losses["embedding"].item() == pytest.approx(20 * 0.0785, abs=0.02)


@pytest.mark.parametrize("stream", ["joint", "limb"])
def test_a_mirrored_clip_gets_the_same_answer(stream: str) -> None:
    skeleton = SKELETONS["openpose137"]
    model, batch = small(skeleton, stream=stream, size=24).eval(), clips(joints=137)
    nn.init.normal_(model.net.classifier.weight)
    order = list(skeleton.flip)
    xy = batch.xy[..., order, :] * torch.tensor([-1.0, 1.0])
    other = replace(batch, xy=xy, score=batch.score[..., order])
    torch.testing.assert_close(model(other).logits, model(batch).logits, atol=1e-4, rtol=0)


def test_the_order_of_persons_does_not_matter() -> None:
    model, batch = small().eval(), clips(persons=3)
    order = [2, 0, 1]
    out = model(replace(batch, xy=batch.xy[:, order], score=batch.score[:, order]))
    torch.testing.assert_close(out.logits, model(batch).logits)


def test_scores_that_are_no_numbers_are_refused_before_they_are_interpolated() -> None:
    batch = clips()
    batch.score[1, 0, 2, 3] = math.nan
    with pytest.raises(FormatError, match=r"clip 1: coordinates or scores are not finite"):
        small()(batch)


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check: str) -> None:
    CHECKS[check](Case(TopoPoseC3D, SKELETONS["canonical"], SMG, (16, 21), (1, 2), SMALL))


@pytest.mark.parametrize("stream", ["joint", "limb"])
def test_learns_by_heart(stream: str) -> None:
    CHECKS["learns_by_heart"](
        Case(TopoPoseC3D, SKELETONS["canonical"], SMG, (16, 21), (1, 2), SMALL | {"stream": stream})
    )
