"""ProtoMG and its pose stream alone. Its parts are held against PCAN's code in the tests of layers.

The two-stream base is RGBPose-Conv3D, measured in test_rgbpose.py.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.systems.golden import numbered
from tests.systems.test_rgbpose import APPLICABLE as WITH_PICTURES
from tests.systems.test_rgbpose import SKELETON, VideoCase, video
from torch import nn

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, MA52, SMG
from microgesture.layers.batch import PoseBatch
from microgesture.layers.prototypes import Prototypes, cosines
from microgesture.systems.proto_mg import (
    ChannelInteraction,
    PoseOutput,
    ProtoMG,
    ProtoPose,
    clearest,
    refine,
)
from microgesture.testing.systems import CHECKS, Case

STILL: dict[str, Any] = {"train_size": 32, "size": 32, "area": 1, "dropout": 0, "width": 16}
SMALL: dict[str, Any] = {"rgb_width": 4, "pose_width": 4, "rgb_blocks": (1, 1, 1, 1), "pose_blocks": (1, 1, 1), **STILL}
POSE: dict[str, Any] = {
    "pose_width": 4, "pose_blocks": (1, 1, 1), "size": 12, "train_size": 12, "area": 1, "dropout": 0, "width": 16,
}  # fmt: skip
AXES = pytest.mark.parametrize("axis", ["time", "channel"])


def small(**more: Any) -> ProtoMG:
    torch.manual_seed(0)
    return ProtoMG(SKELETON, SMG, 8, 1, **{**SMALL, **more})


def poses(**more: Any) -> ProtoPose:
    torch.manual_seed(0)
    return ProtoPose(SKELETON, SMG, 8, 1, **{**POSE, **more})


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# ---- two streams


def test_sizes_are_those_of_its_parts() -> None:
    """The backbone with attention over pictures is PCAN's, measured for 28 joints."""
    model = ProtoMG(SKELETONS["ma52_28"], MA52, 32, 1)
    assert [count(part) for part in model.interactions] == [395_136, 1_576_704]
    assert count(model.base.backbone) + count(model.interactions) == 37_983_296
    assert (count(model.rgb_prototypes), count(model.pose_prototypes)) == (2048 * 256 + 256, 512 * 256 + 256)
    assert model.rgb_prototypes.memory.shape == (256, 52)
    other = ProtoPose(SKELETONS["imigue22"], IMIGUE, 32, 1)
    assert count(other.base.backbone) == 2_001_920


def test_shapes_of_the_published_network() -> None:
    model = ProtoMG(SKELETON, IMIGUE, 32, 1).to("meta")
    rgb, pose = torch.empty(1, 3, 8, 224, 224, device="meta"), torch.empty(1, 22, 32, 56, 56, device="meta")
    features = model.base.backbone(rgb, pose, model.interactions)
    assert features.rgb.shape == (1, 2048, 8, 7, 7)
    assert features.pose.shape == (1, 512, 32, 7, 7)


@AXES
@pytest.mark.parametrize("pictures", [1, 2, 3, 8, 11])
def test_any_number_of_pictures(axis: str, pictures: int) -> None:
    out = small(axis=axis).eval()(video(2, pictures))
    assert out.logits.shape == out.rgb.shape == out.pose.shape == (2, len(SMG))
    assert out.rgb_features.shape == out.pose_features.shape == (2, 16)
    mean = (out.rgb.softmax(1) + out.pose.softmax(1)) / 2
    torch.testing.assert_close(out.logits.exp(), mean)


@AXES
def test_closed_gates_leave_the_two_streams_as_they_were(axis: str) -> None:
    model, clip = small(axis=axis).eval(), video()
    for parameter in model.base.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.1, 0.3)
    before = model(clip)
    for interaction in model.interactions:
        for layer in (interaction.to_rgb, interaction.to_pose):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    alone, out = model.base(clip), model(clip)
    for name in ("logits", "rgb", "pose"):
        torch.testing.assert_close(getattr(out, name), getattr(alone, name))
        assert not torch.allclose(getattr(before, name), getattr(out, name))


def test_attention_over_channels_compares_their_course() -> None:
    """Tokens are the channels: where every course is the same, so is what attention gives, whatever the others do."""
    torch.manual_seed(0)
    layer = ChannelInteraction(6, 5, 8).eval()
    assert layer.rgb_attention.embed_dim == 8
    assert layer.rgb_attention.num_heads == 1
    rgb, pose = torch.randn(2, 6, 8, 3, 3), torch.randn(2, 5, 32, 3, 3)
    gates = layer.gates(rgb, pose)
    assert gates.rgb.shape == (2, 6, 8, 1, 1)
    assert gates.pose.shape == (2, 5, 32, 1, 1)
    # one head with the scale of eight moments
    course, other = layer.from_rgb(rgb).amax((3, 4)), layer.from_pose(pose).amax((3, 4))
    weight, bias = layer.rgb_attention.in_proj_weight, layer.rgb_attention.in_proj_bias
    q, k, v = (x @ weight[8 * i : 8 * i + 8].T + bias[8 * i : 8 * i + 8] for i, x in enumerate((course, other, other)))
    mixed = (q @ k.transpose(1, 2) / math.sqrt(8)).softmax(-1) @ v
    expected = layer.to_rgb(layer.rgb_attention.out_proj(mixed)[..., None, None])
    torch.testing.assert_close(gates.rgb, expected)
    gated, _ = layer(rgb, pose)
    torch.testing.assert_close(gated, rgb * (1 + gates.rgb))


def test_losses_at_the_start() -> None:
    """Class losses near ln K; those about prototypes are their loss by itself, at 0.2."""
    model, clip = small(), video(6)
    out = model.eval()(clip)
    losses = model.losses(out, clip)
    assert list(losses) == ["rgb_class", "pose_class", "rgb_prototypes", "pose_prototypes"]
    for stream in ("rgb", "pose"):
        assert losses[f"{stream}_class"].item() == pytest.approx(math.log(17), abs=0.05)
        prototypes = getattr(model, f"{stream}_prototypes")
        alone = prototypes.loss(getattr(out, f"{stream}_features"), getattr(out, stream), clip.label).mean()
        torch.testing.assert_close(losses[f"{stream}_prototypes"], 0.2 * alone)


def test_weights_soft_targets_and_order_of_clips() -> None:
    model, clip = small().eval(), video(4)
    out = model(clip)
    losses = model.losses(out, clip)
    weighted = model.losses(out, replace(clip, weight=torch.tensor([1.0, 1.0, 0.0, 0.0])))
    first = model.losses(type(out)(*(x[:2] for x in out)), replace(clip, label=clip.label[:2]))
    soft = model.losses(out, replace(clip, label=None, soft=nn.functional.one_hot(clip.label, len(SMG)).float()))
    order = torch.tensor([2, 0, 3, 1])
    turned = model.losses(type(out)(*(x[order] for x in out)), replace(clip, label=clip.label[order]))
    for name, loss in losses.items():
        torch.testing.assert_close(weighted[name], first[name])
        torch.testing.assert_close(soft[name], loss)
        torch.testing.assert_close(turned[name], loss)
    with pytest.raises(UsageError, match="the batch has neither labels nor soft targets: nothing to learn from"):
        model.losses(out, replace(clip, label=None))


@AXES
@pytest.mark.parametrize("check", WITH_PICTURES)
def test_contract_of_both_streams(check: str, axis: str) -> None:
    CHECKS[check](VideoCase(ProtoMG, SKELETON, SMG, (8, 12), (1, 2), {**SMALL, "axis": axis}))


def test_both_streams_learn_by_heart() -> None:
    model, clip = small().train(), video(6)
    descent = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        descent.zero_grad()
        sum(model.losses(model(clip), clip).values()).backward()
        descent.step()
    assert torch.equal(model(clip).logits.argmax(1), clip.label)


# ---- prototypes


def hand_made() -> tuple[PoseOutput, PoseBatch]:
    """Five clips of three classes: two hits of class 0, one of class 1, a clip of 2 taken for 0, a clip of 1 for 2."""
    label = torch.tensor([0, 0, 1, 2, 1])
    guess = torch.tensor([0, 0, 1, 0, 2])
    features = torch.randn(5, 16, generator=torch.Generator().manual_seed(3))
    batch = PoseBatch(torch.empty(5), torch.empty(5), label)
    return PoseOutput(4.0 * nn.functional.one_hot(guess, len(SMG)).float(), features), batch


def test_prototypes_move_a_tenth_towards_the_mean_of_their_hits() -> None:
    model = poses().train()
    before = model.prototypes.memory.clone()
    out, batch = hand_made()
    model.losses(out, batch)
    after = model.prototypes.memory
    torch.testing.assert_close(after[:, 0], 0.9 * before[:, 0] + 0.1 * out.features[:2].mean(0))
    torch.testing.assert_close(after[:, 1], 0.9 * before[:, 1] + 0.1 * out.features[2])
    assert torch.equal(after[:, 2:], before[:, 2:])  # no hits
    model.eval().losses(out, batch)
    assert torch.equal(model.prototypes.memory, after)


def test_refinement_by_hand() -> None:
    """Each clip's two cross-entropies, written out: strength and temperature an eighth, in the column of its class."""
    model = poses().eval()
    out, batch = hand_made()
    unit, centre = nn.functional.normalize(out.features, dim=1), nn.functional.normalize(out.features, dim=1)
    cosine = unit @ nn.functional.normalize(model.prototypes.memory, dim=0)
    missed = {2: centre[3], 1: centre[4]}  # the only missed clip of its class
    mistaken = {0: centre[3], 2: centre[4]}  # the only clip taken for the class
    total = 0.0
    for n, label in enumerate(batch.label.tolist()):
        unsure = 0.125 * (1 - out.logits[n].softmax(0)[label])
        drawn, pushed = cosine[n].clone(), cosine[n].clone()
        if label in missed:
            drawn[label] += (unit[n] @ missed[label] - 1) * unsure
        if label in mistaken:
            pushed[label] += (-(unit[n] @ mistaken[label]) - 1) * unsure
        for scores in (drawn, pushed):
            total -= (8 * scores).log_softmax(0)[label].item() / 5
    assert model.losses(out, batch)["prototypes"].item() == pytest.approx(0.2 * total, abs=1e-5)


def test_ambiguous_clips_score_lower_the_stronger_the_loss() -> None:
    out, batch = hand_made()
    torch.manual_seed(0)
    losses = []
    for strength in (0.0, 0.125, 0.5):
        torch.manual_seed(0)
        prototypes = Prototypes(4, len(SMG), 16, strength=strength).eval()
        losses.append(refine(prototypes, out.features, out.logits, batch).item())
    assert losses[0] < losses[1] < losses[2]


def test_refinement_parts_two_classes_that_are_taken_for_each_other() -> None:
    """Features of two classes lie close together; the margin between own and other prototype grows."""
    torch.manual_seed(0)
    label = torch.arange(2).repeat(16)
    x = torch.randn(8) + 0.6 * torch.randn(32, 8) + 0.5 * (2 * label - 1).unsqueeze(1) * torch.randn(8)
    prototypes = Prototypes(8, 2, 16)
    batch = PoseBatch(torch.empty(32), torch.empty(32), label)
    logits = nn.functional.one_hot((label + (torch.arange(32) % 4 == 0)) % 2, 2).float()  # a quarter is confused

    def margin() -> float:
        similar = cosines(prototypes(x), prototypes.memory)
        own = similar.gather(1, label.unsqueeze(1)).squeeze(1)
        return (2 * own - similar.sum(1)).mean().item()

    before = margin()
    descent = torch.optim.Adam(prototypes.parameters(), lr=0.01)
    for _ in range(60):
        descent.zero_grad()
        refine(prototypes, prototypes(x), logits, batch).backward()
        descent.step()
    assert margin() > before + 0.5


# ---- the pose stream alone


def test_features_are_the_largest_mean_over_time() -> None:
    x = torch.zeros(1, 2, 4, 3, 3)
    x[0, 0, :, 1, 2] = torch.tensor([1.0, 2.0, 3.0, 6.0])
    x[0, 0, 0, 0, 0] = 8.0  # for a moment only
    assert clearest(x).tolist() == [[3.0, 0.0]]


def test_the_pose_stream_keeps_all_frames() -> None:
    model = poses().eval()
    volume = model.base.volume(PoseBatch(torch.randn(1, 1, 7, 22, 2), torch.ones(1, 1, 7, 22)))
    assert model.base.backbone(volume).shape[2] == 7
    assert model.base.volume.sigma == 0.7


def test_the_order_of_persons_does_not_matter() -> None:
    model = poses().eval()
    xy, score = torch.randn(2, 3, 5, 22, 2), torch.rand(2, 3, 5, 22)
    out, other = model(PoseBatch(xy, score)), model(PoseBatch(xy[:, [2, 0, 1]], score[:, [2, 0, 1]]))
    torch.testing.assert_close(out.logits, other.logits)


def test_prototypes_are_saved() -> None:
    model, other = poses(), poses()
    nn.init.normal_(model.prototypes.memory)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.prototypes.memory, model.prototypes.memory)


@pytest.mark.parametrize("check", CHECKS)
def test_contract_of_poses(check: str) -> None:
    CHECKS[check](Case(ProtoPose, SKELETON, SMG, (16, 21), (1, 2), POSE))


@pytest.mark.parametrize("stream", ["joint", "limb"])
def test_poses_learn_by_heart(stream: str) -> None:
    CHECKS["learns_by_heart"](Case(ProtoPose, SKELETON, SMG, (16, 21), (1, 2), POSE | {"stream": stream}))


@pytest.mark.parametrize(("layout", "classes"), [("coco17", 5), ("ma52_28", 52)])
def test_other_layouts_and_classes(layout: str, classes: int) -> None:
    skeleton = SKELETONS[layout]
    model = ProtoPose(skeleton, numbered(classes), 4, 2, pose_width=6, pose_blocks=(2, 1, 1), size=16, width=9).eval()
    shape = (2, 2, 7, len(skeleton))
    out = model(PoseBatch(torch.randn(*shape, 2), torch.ones(shape)))
    assert (out.logits.shape, out.features.shape) == ((2, classes), (2, 9))
