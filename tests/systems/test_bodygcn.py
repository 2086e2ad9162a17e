from __future__ import annotations

import torch

from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG
from microgesture.layers.batch import PoseBatch
from microgesture.layers.graph import aggregate
from microgesture.layers.temporal import every
from microgesture.systems.bodygcn import PARTS, REGIONS, Block, BodyFeatures, BodyGCN
from microgesture.testing import check_system

CANONICAL = SKELETONS["canonical"]
SMALL = {"joint_width": 8, "widths": (12, 12), "strides": (1, 2), "hide": 0.0, "dropout": 0.0}


def test_contract() -> None:
    check_system(
        BodyGCN,
        skeleton=CANONICAL,
        persons=(1,),
        known_failures={"losses": "soft targets are several motions at once, not a distribution over classes"},
        **SMALL,
    )


def trained() -> BodyGCN:
    """A model in eval mode whose batch norms have seen something."""
    torch.manual_seed(0)
    model = BodyGCN(CANONICAL, SMG, 24, 1, **SMALL)  # type: ignore[arg-type]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
                module.weight.uniform_(0.5, 2)
                module.bias.normal_()
                module.running_mean.normal_()  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        for block in (model.joints, *model.blocks):
            block.adjacency.add_(0.1 * torch.randn_like(block.adjacency))  # type: ignore[operator,arg-type]
    return model.eval()


def test_summing_over_neighbours_first_changes_nothing() -> None:
    block = trained().joints
    assert isinstance(block, Block)
    x = torch.randn(2, 13, 9, 47)
    with torch.no_grad():
        space = torch.relu(block.bn(aggregate(block.conv(x), block.adjacency)))
        wanted = torch.relu(block.time(space) + block.residual(every(x, 2)))
        torch.testing.assert_close(block(x), wanted, rtol=1e-4, atol=1e-4)


def test_settled_it_answers_the_same_and_learns_no_more() -> None:
    model = trained()
    keys = list(model.state_dict())
    settled = model.settled()
    batch = PoseBatch(torch.randn(2, 1, 24, 47, 2), torch.rand(2, 1, 24, 47))
    with torch.no_grad():
        wanted = model(batch)
        torch.testing.assert_close(settled(batch), wanted, rtol=1e-4, atol=1e-4)
        model.classifier.weight.zero_()
        model.joints.adjacency.zero_()  # type: ignore[operator]
        torch.testing.assert_close(settled(batch), wanted, rtol=1e-4, atol=1e-4)
    assert not any(parameter.requires_grad for parameter in settled.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert list(model.state_dict()) == keys


def test_every_joint_is_in_one_part_and_every_part_in_one_region() -> None:
    joints = [joint for part in PARTS.values() for joint in part]
    assert sorted(joints) == sorted(CANONICAL.joints)
    parts = [part for region in REGIONS.values() for part in region]
    assert sorted(parts) == sorted(PARTS)


def test_undecided_motions_are_not_punished_by_themselves() -> None:
    torch.manual_seed(0)
    model = BodyGCN(CANONICAL, SMG, 16, 1, **SMALL)  # type: ignore[arg-type]
    soft = torch.zeros(2, len(SMG))
    soft[:, 3] = 1
    soft[:, 5] = -1
    batch = PoseBatch(torch.randn(2, 1, 16, 47, 2), torch.ones(2, 1, 16, 47), torch.tensor([3, -1]), soft=soft)
    out = torch.randn(2, len(SMG), requires_grad=True)
    terms = model.losses(out, batch)
    terms["several"].backward(retain_graph=True)
    assert out.grad is not None
    assert (out.grad[:, 5] == 0).all()
    assert (out.grad[:, 3] != 0).all()
    terms["main"].backward()
    assert out.grad[0, 5] > 0  # but it must not outrank the main motion
    assert out.grad[1, 5] == 0


def test_features_do_not_see_where_a_clip_starts_in_the_picture_of_missing_joints() -> None:
    """A joint without score gives zeros in every channel, whatever its coordinates say."""
    torch.manual_seed(0)
    features = BodyFeatures(CANONICAL)
    xy, score = torch.randn(1, 1, 12, 47, 2), torch.ones(1, 1, 12, 47)
    score[..., 30] = 0
    garbage = xy.clone()
    garbage[..., 30, :] = 5
    a = features(xy * (score > 0)[..., None], score)
    b = features(garbage * (score > 0)[..., None], score)
    assert torch.equal(a, b)
    assert (a[..., 30, :] == 0).all()


def test_nearness_is_one_on_contact_and_fades() -> None:
    features = BodyFeatures(CANONICAL)
    xy = torch.full((1, 1, 4, 47, 2), 3.0)
    nose, tip = CANONICAL.index("nose"), CANONICAL.index("r_index_tip")
    xy[..., nose, :] = xy[..., tip, :] = torch.tensor([0.0, -0.6])
    xy[..., CANONICAL.index("neck"), :] = 0
    x = features(xy, torch.ones(1, 1, 4, 47))
    assert torch.allclose(x[..., nose, 11], torch.tensor(1.0), atol=1e-4)
    assert (x[..., CANONICAL.index("neck"), 11] < 0.1).all()
    assert (x[..., tip, 11] == 0).all()  # a hand is not near itself
