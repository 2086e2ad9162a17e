from __future__ import annotations

import math

import pytest
import torch
from tests.systems.golden import Golden
from torch import Tensor

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.layers.batch import PoseBatch
from microgesture.layers.heatmaps import PoseVolume, joint_heatmaps, limb_heatmaps, mirror, mirrored_limbs

SIZE = (24, 24)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("pose_heatmaps")


def one(x: float, y: float, score: float = 1.0) -> tuple[Tensor, Tensor]:
    """A clip of one joint in one frame."""
    return torch.tensor([[[[[x, y]]]]]), torch.full((1, 1, 1, 1), score)


def two(
    a: tuple[float, float], z: tuple[float, float], scores: tuple[float, float] = (1.0, 1.0)
) -> tuple[Tensor, Tensor]:
    return torch.tensor([[[[a, z]]]]).float(), torch.tensor([[[scores]]]).float()


@pytest.mark.parametrize("kind", ["joint", "limb"])
@pytest.mark.parametrize(
    ("suffix", "scaling", "sigma", "scored"),
    [("", 1, 0.6, True), ("_noscore", 1, 0.6, False), ("_scaling0.25_sigma0.7", 0.25, 0.7, True)],
)
def test_equal_to_pyskl(golden: Golden, kind: str, suffix: str, scaling: float, sigma: float, scored: bool) -> None:
    """Two persons; joints outside the picture, scores at the threshold, limbs without length or along an axis."""
    xy, score = golden.inputs["keypoint"][None] * scaling, golden.inputs["keypoint_score"][None]
    score = score if scored else torch.ones_like(score)
    size = (int(56 * scaling), int(56 * scaling))
    limbs = golden.inputs["skeletons"].tolist()
    maps = joint_heatmaps(xy, score, size, sigma) if kind == "joint" else limb_heatmaps(xy, score, limbs, size, sigma)
    expected = golden.outputs[kind + suffix].transpose(0, 1)[None]
    torch.testing.assert_close(maps, expected, atol=golden.meta["tolerance"], rtol=0)


def test_mirrored_as_pyskl_doubles(golden: Golden) -> None:
    xy, score = golden.inputs["keypoint"][None], golden.inputs["keypoint_score"][None]
    flip = SKELETONS["coco17"].flip
    limbs = golden.inputs["skeletons"].tolist()
    order = mirrored_limbs(limbs, flip)
    for kind, maps in (
        ("joint", mirror(joint_heatmaps(xy, score, (56, 56)), flip)),
        ("limb", mirror(limb_heatmaps(xy, score, limbs, (56, 56)), order)),
    ):
        torch.testing.assert_close(maps[0].transpose(0, 1), golden.outputs[f"{kind}_double"], atol=1e-5, rtol=0)
    left, right = golden.inputs["left_limb"].tolist(), golden.inputs["right_limb"].tolist()
    assert [order[a] for a in left] == right
    mirrored = golden.outputs["flipped_keypoint"][None], golden.outputs["flipped_score"][None]
    again = joint_heatmaps(*mirrored, (56, 56))[0].transpose(0, 1)
    torch.testing.assert_close(again, golden.outputs["joint_of_flipped"], atol=1e-5, rtol=0)


def test_a_joint_by_hand() -> None:
    """Score 0.8 at (10, 10): cells 8 to 11, since 8.2 and 11.8 are cut off towards zero."""
    maps = joint_heatmaps(*one(10, 10, 0.8), SIZE)[0, 0, 0]
    assert maps.nonzero().min() == 8
    assert maps.nonzero().max() == 11
    profile = {d: 0.8 * math.exp(-(d**2) / 0.72) for d in (0, 1, 2)}
    assert maps[10, 10].item() == pytest.approx(profile[0])
    assert maps[10, 11].item() == pytest.approx(profile[1])
    assert maps[10, 9].item() == pytest.approx(0.19948, abs=1e-5)
    assert maps[11, 11].item() == pytest.approx(0.0497, abs=1e-4)
    assert maps[10, 8].item() == pytest.approx(0.00309, abs=1e-5)
    assert maps.sum().item() == pytest.approx(1.8062, abs=1e-4)


def test_a_joint_between_cells() -> None:
    maps = joint_heatmaps(*one(10.5, 10.5), SIZE)[0, 0, 0]
    assert maps[10:12, 10:12].flatten().tolist() == pytest.approx([0.49935] * 4, abs=1e-5)
    assert (maps.nonzero().min(), maps.nonzero().max()) == (8, 12)


def test_a_sure_joint_hides_an_unsure_one() -> None:
    """Persons join by the maximum; scores below 0.001 draw nothing."""
    xy = torch.tensor([5.0, 5.0]).expand(1, 3, 1, 1, 2)
    score = torch.tensor([0.3, 0.9, 0.0009]).view(1, 3, 1, 1)
    for maps in (joint_heatmaps(xy, score, SIZE), limb_heatmaps(xy, score, [(0, 0)], SIZE)):
        torch.testing.assert_close(maps, joint_heatmaps(xy[:, 1:2], score[:, 1:2], SIZE), atol=1e-6, rtol=0)
    assert not joint_heatmaps(*one(5, 5, 0.0009), SIZE).any()
    assert not limb_heatmaps(*two((5, 5), (9, 9), (1, 0.0009)), [(0, 1)], SIZE).any()


@pytest.mark.parametrize("place", [(-500.0, 5.0), (5.0, 1e30), (-2.9, 8.0)])
def test_joints_outside_the_canvas(place: tuple[float, float]) -> None:
    maps = joint_heatmaps(*one(*place), SIZE)
    assert torch.isfinite(maps).all()
    assert not maps.any()


def test_a_joint_just_outside_reaches_in() -> None:
    """At x = -1.5 the window ends at 0.3, which is cell 0."""
    maps = joint_heatmaps(*one(-1.5, 8), SIZE)[0, 0, 0]
    assert maps[8].nonzero().flatten().tolist() == [0]
    assert maps[8, 0].item() == pytest.approx(math.exp(-(1.5**2) / 0.72))


def test_a_limb_without_length_is_its_first_joint() -> None:
    xy, score = two((7.3, 8.1), (7.3, 8.1), (0.5, 0.9))
    expected = joint_heatmaps(xy[..., :1, :], score[..., :1], SIZE)
    torch.testing.assert_close(limb_heatmaps(xy, score, [(0, 1)], SIZE), expected, atol=1e-6, rtol=0)


def test_a_limb_by_hand() -> None:
    """From (4, 10) to (12, 10): the lower score on the line, a Gaussian of the distance off it and past its ends."""
    maps = limb_heatmaps(*two((4, 10), (12, 10), (0.6, 0.9)), [(0, 1)], SIZE)[0, 0, 0]
    assert maps[10, 4:13].tolist() == pytest.approx([0.6] * 9)
    assert maps[11, 8].item() == pytest.approx(0.6 * math.exp(-1 / 0.72))
    assert maps[10, 13].item() == pytest.approx(0.6 * math.exp(-1 / 0.72))
    assert maps[9, 3].item() == pytest.approx(0.6 * math.exp(-2 / 0.72), rel=1e-5)
    assert (maps.nonzero().amin(0).tolist(), maps.nonzero().amax(0).tolist()) == ([8, 2], [11, 13])


def test_a_slanted_limb_against_the_definition() -> None:
    (ax, ay), (zx, zy) = (3.2, 4.7), (15.1, 11.4)
    maps = limb_heatmaps(*two((ax, ay), (zx, zy)), [(0, 1)], SIZE, sigma=0.7)[0, 0, 0]
    length2 = (zx - ax) ** 2 + (zy - ay) ** 2
    for y in range(3, 13):
        for x in range(2, 17):
            t = min(1, max(0, ((x - ax) * (zx - ax) + (y - ay) * (zy - ay)) / length2))
            distance2 = (x - ax - t * (zx - ax)) ** 2 + (y - ay - t * (zy - ay)) ** 2
            assert maps[y, x].item() == pytest.approx(math.exp(-distance2 / 0.98), abs=1e-5)


def test_values_lie_between_nothing_and_the_highest_score() -> None:
    xy, score = torch.rand(2, 2, 3, 6, 2) * 24, torch.rand(2, 2, 3, 6) * 0.7
    for maps in (joint_heatmaps(xy, score, SIZE), limb_heatmaps(xy, score, [(0, 1), (2, 5)], SIZE)):
        assert maps.min() >= 0
        assert maps.max() <= score.max()


def test_mirroring_twice_changes_nothing() -> None:
    maps = torch.rand(1, 22, 2, 6, 6)
    flip = SKELETONS["imigue22"].flip
    assert torch.equal(mirror(mirror(maps, flip), flip), maps)
    order = mirrored_limbs(SKELETONS["imigue22"].bones, flip)
    assert sorted(order) == list(range(21))
    assert [order[i] for i in order] == list(range(21))
    assert mirrored_limbs([(1, 2), (3, 4)], flip) == (0, 1)  # neither has its partner in the list


def test_the_layer_draws_what_it_crops() -> None:
    """Every seen joint has its peak on the canvas, sized for learning or for tests; a third coordinate is left out."""
    batch = PoseBatch(torch.randn(3, 2, 4, 22, 3), torch.ones(3, 2, 4, 22))
    layer = PoseVolume(size=64, train_size=56)
    maps = layer.eval()(batch)
    assert maps.shape == (3, 22, 4, 64, 64)
    assert (maps.amax((-2, -1)) > 0.4).all()
    assert torch.equal(maps, layer(PoseBatch(batch.xy[..., :2], batch.score)))
    assert layer.train()(batch).shape == (3, 22, 4, 56, 56)
    limbs = SKELETONS["imigue22"].bones
    assert PoseVolume(limbs)(batch).shape == (3, 21, 4, 56, 56)


def test_more_than_joints_cannot_be_drawn() -> None:
    batch = PoseBatch(torch.randn(1, 1, 4, 22, 4), torch.ones(1, 1, 4, 22))
    with pytest.raises(UsageError, match=r"the batch has 4 numbers per joint: set loading.streams to \[joint\]"):
        PoseVolume()(batch)


def test_the_random_part_is_drawn_in_training_only() -> None:
    batch = PoseBatch(torch.randn(2, 1, 3, 9, 2), torch.ones(2, 1, 3, 9))
    layer = PoseVolume(size=32, train_size=32)
    assert not torch.equal(layer.train()(batch), layer(batch))
    assert torch.equal(layer.eval()(batch), layer(batch))
    whole = PoseVolume(size=32, train_size=32, area=1)
    assert torch.equal(whole.train()(batch), layer(batch))


def test_an_empty_second_person_and_nobody_at_all() -> None:
    xy, score = torch.randn(2, 1, 3, 9, 2), torch.rand(2, 1, 3, 9)
    layer = PoseVolume(size=32).eval()
    alone = layer(PoseBatch(xy, score))
    both = layer(PoseBatch(torch.cat((xy, 0 * xy), 1), torch.cat((score, 0 * score), 1)))
    assert torch.equal(alone, both)
    assert not layer(PoseBatch(0 * xy, 0 * score)).any()


def test_the_layer_refuses_what_is_not_finite() -> None:
    batch = PoseBatch(torch.zeros(2, 1, 3, 9, 2), torch.full((2, 1, 3, 9), math.nan))
    with pytest.raises(FormatError, match="clip 0: coordinates or scores are not finite"):
        PoseVolume()(batch)
