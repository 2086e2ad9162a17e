"""PCAN against its official code (golden files pcan_*), its closed forms, and the contract on clips with pictures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tests.systems.golden import Golden, numbered, official_gradient
from tests.systems.test_rgbpose import APPLICABLE, VideoCase, video
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, MA52, SMG
from microgesture.layers.batch import PoseBatch
from microgesture.layers.official import load_official
from microgesture.layers.prototypes import diversity
from microgesture.systems.catalogue import SYSTEMS
from microgesture.systems.pcan import (
    PCAN,
    Head,
    Output,
    TreePrototypes,
    group_indices,
    official_keys,
    tree_loss,
)
from microgesture.systems.rgbpose import Features, RGBPoseConv3D, merge
from microgesture.testing.systems import CHECKS

BLOCKS = {"rgb_blocks": (1, 1, 1, 1), "pose_blocks": (1, 1, 1)}
SMALL = {
    **BLOCKS,
    "rgb_width": 4,
    "pose_width": 4,
    "size": 32,
    "train_size": 32,
    "area": 1,
    "dropout": 0,
    "width": 12,
    "coarse_width": 6,
}
SKELETON = SKELETONS["imigue22"]
GROUPS = torch.tensor(group_indices(MA52))
STREAMS = ("rgb", "pose")


def look(model: PCAN, rgb: Tensor, pose: Tensor) -> Features:
    features: Features = model.base.backbone(rgb, pose, model.interactions)
    return features


class Loaded:
    """The small backbone and the small heads of the golden files in one model."""

    def __init__(self) -> None:
        self.backbone, self.head = Golden("pcan_backbone"), Golden("pcan_head")
        options = {"rgb_width": 4, "pose_width": 2, "rgb_blocks": (2, 2, 2, 2), "pose_blocks": (2, 2, 2), "dropout": 0}
        self.model = PCAN(SKELETONS["coco17"], MA52, 32, 1, **options, compat="official")
        # the heads were measured on features of other widths
        self.model.base.rgb_classifier, self.model.base.pose_classifier = nn.Linear(64, 52), nn.Linear(32, 52)
        self.model.rgb = Head(64, group_indices(MA52), 7, 24, 16, 5.0, "official")
        self.model.pose = Head(32, group_indices(MA52), 7, 24, 16, 1.0, "official")
        self.state = {f"backbone.{key}": value for key, value in self.backbone.state.items()}
        self.state |= {f"cls_head.{key}": value for key, value in self.head.state.items()}
        self.keys = official_keys(self.model)
        load_official(self.model, self.state, self.keys)
        for stream in STREAMS:
            head = getattr(self.model, stream)
            head.coarse_prototypes.memory.copy_(self.head.inputs[f"coarse_memory_{stream}"])
        self.model.eval()

    def look(self) -> Features:
        return look(self.model, self.backbone.inputs["imgs"], self.backbone.inputs["heatmap_imgs"])

    def classify(self) -> Output:
        return self.model.classify(Features(self.head.inputs["x_rgb"], self.head.inputs["x_pose"]))

    def batch(self) -> PoseBatch:
        label = self.head.inputs["label"]
        return PoseBatch(torch.zeros(len(label), 1, 1, 1, 2), torch.zeros(len(label), 1, 1, 1), label)


@pytest.fixture
def loaded() -> Loaded:
    return Loaded()


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# ---- against the official code


def test_every_stage_interaction_and_lateral(loaded: Loaded) -> None:
    golden, net = loaded.backbone, loaded.model.base.backbone
    seen: dict[str, Tensor] = {}
    parts: dict[str, nn.Module] = {"rgb_path.maxpool": net.rgb.pool, "pose_path.maxpool": net.pose.pool}
    parts |= {f"rgb_path.layer{i + 1}": stage for i, stage in enumerate(net.rgb.stages)}
    parts |= {f"pose_path.layer{i + 1}": stage for i, stage in enumerate(net.pose.stages)}
    parts |= {f"rgb_path.layer{i + 2}_lateral": lateral for i, lateral in enumerate(net.to_rgb)}
    parts |= {f"pose_path.layer{i + 1}_lateral": lateral for i, lateral in enumerate(net.to_pose)}
    for name, part in parts.items():
        part.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y}))
    for i, part in enumerate(loaded.model.interactions):
        names = tuple(f"featuredifference{i + 2}_{stream}" for stream in STREAMS)
        part.register_forward_hook(lambda _, __, y, names=names: seen.update(zip(names, y, strict=True)))
    features = loaded.look()
    golden.close(features.rgb, "feat_rgb")
    golden.close(features.pose, "feat_pose")
    names = {name.removeprefix("stage/") for name in golden.outputs if name.startswith("stage/")}
    assert names - set(seen) == {"rgb_path.conv1", "pose_path.conv1"}
    for name in names & set(seen):
        golden.close(seen[name][:1, :, :2], f"stage/{name}")


def test_gradients_of_the_backbone(loaded: Loaded) -> None:
    sum(x.sum() for x in loaded.look()).backward()
    names = [name for name in loaded.backbone.outputs if name.startswith("grad_norm/")]
    assert names
    for name in names:
        official = name.replace("grad_norm/", "backbone.")
        ours = official_gradient(loaded.model, loaded.keys, loaded.state, official).norm().item()
        assert ours == pytest.approx(loaded.backbone.outputs[name].item(), rel=0.01), name


def test_scores_and_logits(loaded: Loaded) -> None:
    golden, out = loaded.head, loaded.classify()
    for stream in STREAMS:
        ours = getattr(out, stream)
        golden.close(ours.scores, f"eval_score/{stream}")
        golden.close(ours.logits, f"eval_plain_logits_{stream}")
        golden.close(ours.coarse, f"eval_score/{stream}_coarse")
        for scores, name in ((ours.scores, stream), (ours.coarse, f"{stream}_coarse")):
            golden.close(scores.softmax(1).view(2, 5, -1).mean(1), f"eval_prob_clips5/{name}")
    torch.testing.assert_close(out.logits.exp(), (out.rgb.scores.softmax(1) + out.pose.scores.softmax(1)) / 2)
    torch.testing.assert_close(out.coarse.exp(), (out.rgb.coarse.softmax(1) + out.pose.coarse.softmax(1)) / 2)


OFFICIAL = {
    "class": "{}_loss_cls",
    "coarse": "{}_coarse_loss_cls",
    "coarse_prototypes": "{}_fr_coarse_loss",
    "prototypes": "{}_fr_loss",
    "tree": "hierarchy_{}_loss",
}


def test_losses_prototypes_and_gradients(loaded: Loaded) -> None:
    golden, model = loaded.head, loaded.model.train()
    losses = model.losses(loaded.classify(), loaded.batch())
    assert set(losses) == {f"{stream}_{term}" for stream in STREAMS for term in OFFICIAL}
    for stream in STREAMS:
        for term, name in OFFICIAL.items():
            expected = golden.outputs[f"train/{name.format(stream)}"].item()
            assert losses[f"{stream}_{term}"].item() == pytest.approx(expected, abs=1e-5), (stream, term)
        golden.close(getattr(model, stream).prototypes.memory, f"memory_after/fr_{stream}")
        golden.close(getattr(model, stream).coarse_prototypes.memory, f"memory_after/fr_coarse_{stream}")
    total = sum(losses.values())
    assert total.item() == pytest.approx(golden.outputs["train/total"].item(), abs=1e-4)
    total.backward()
    # there the prototypes are parameters; in the first step, and never again, they are given a gradient
    names = [name for name in golden.outputs if name.startswith("grad_norm_of_total/") and "avg_f" not in name]
    assert len(names) == 16
    for name in names:
        official = name.replace("grad_norm_of_total/", "cls_head.")
        ours = official_gradient(model, loaded.keys, loaded.state, official).norm().item()
        assert ours == pytest.approx(golden.outputs[name].item(), rel=0.01), name


def test_every_official_tensor_is_used_once(loaded: Loaded) -> None:
    assert sorted(name for names in loaded.keys.values() for name in names) == sorted(loaded.state)
    assert set(loaded.keys) == set(loaded.model.state_dict())


def test_only_prototypes_of_groups_have_no_official_key() -> None:
    model = small()
    keys = official_keys(model)
    assert set(keys) == set(model.state_dict())
    without = {key for key, names in keys.items() if not names}
    assert without == {"rgb.coarse_prototypes.memory", "pose.coarse_prototypes.memory"}
    released = official_keys(small(compat="official"))
    assert released == {key: names for key, names in keys.items() if names}


def fine() -> tuple[Golden, TreePrototypes]:
    golden = Golden("pcan_renovate_fine")
    block = TreePrototypes(24, 52, 16)
    project = {f"project.{leaf}": golden.state[f"cl_fc.{leaf}"] for leaf in ("weight", "bias")}
    block.load_state_dict(project | {"memory": golden.state["avg_f"]})
    return golden, block.train()


def test_prototypes_of_classes_in_two_steps() -> None:
    golden, block = fine()
    for step in (0, 1):
        block.zero_grad()
        x, logits = (golden.inputs[name][step].clone().requires_grad_() for name in ("feature", "logits_fine"))
        coarse, label, group = (golden.inputs[n][step] for n in ("logits_coarse", "label_fine", "label_coarse"))
        features = block(x)
        hits, ambiguous = block.sets(logits, coarse, label, group)
        prototypes = block.update(features, hits)
        loss = block.contrast(features, prototypes, logits, label, ambiguous).mean()
        loss.backward()
        apart = diversity(prototypes)
        assert apart.item() == pytest.approx(golden.outputs[f"step{step}/diversity"].item(), abs=1e-5)
        assert (loss + apart).item() == pytest.approx(golden.outputs[f"step{step}/loss"].item(), abs=1e-4)
        golden.close(block.memory, f"step{step}/memory")
        golden.close(x.grad, f"step{step}/grad_feature")
        golden.close(logits.grad, f"step{step}/grad_logits_fine")


def test_sets_and_scores_of_classes() -> None:
    golden, block = fine()
    names = ("feature", "logits_fine", "logits_coarse", "label_fine", "label_coarse")
    x, logits, coarse, label, group = (golden.inputs[name][0] for name in names)
    hits, ambiguous = block.sets(logits, coarse, label, group)
    assert torch.equal(hits, golden.outputs["set/tp"])
    features = block(x)
    scores = block.scores(features, block.update(features, hits), logits, label, ambiguous)
    for name, ours, score in zip(("fn1", "fn2", "fn3", "fp"), ambiguous, scores, strict=True):
        assert torch.equal(ours.members, golden.outputs[f"set/{name}"]), name
        golden.close(score, f"scores_{name}")
    assert [part.sharpness for part in ambiguous] == [1.0, 0.1, 0.5, 1.0]


def test_every_clip_is_in_one_set() -> None:
    label = torch.arange(60) % 52
    logits = torch.randn(60, 52) + 4 * F.one_hot(label, 52)
    hits, (*missed, mistaken) = TreePrototypes(4, 52, 5).sets(logits, torch.randn(60, 7), label, GROUPS[label])
    assert torch.equal(hits + sum(part.members for part in missed), F.one_hot(label, 52).float())
    wrong = (logits.argmax(1) != label).float()
    assert torch.equal(mistaken.members.sum(1), wrong)
    assert all(part.members.any() for part in missed)


def test_tree_loss_and_its_gradients() -> None:
    golden = Golden("pcan_tree_loss")
    assert torch.equal(GROUPS, golden.outputs["parent"])
    body, action = (golden.inputs[f"logits_{name}"].clone().requires_grad_() for name in ("body", "action"))
    target = F.one_hot(golden.inputs["label_action"], 52)
    loss = tree_loss(action, body, target, GROUPS)
    loss.mean().backward()
    assert loss.mean().item() == pytest.approx(golden.outputs["loss"].item(), abs=1e-5)
    assert loss[0].item() == pytest.approx(golden.outputs["loss_single_first"].item(), abs=1e-5)
    golden.close(body.grad, "grad_body")
    golden.close(action.grad, "grad_action")


def test_tree_loss_in_closed_form() -> None:
    one, zero = F.one_hot(torch.arange(52), 52), torch.zeros(52, 52)
    undecided = tree_loss(zero, zero[:, :7], one, GROUPS)
    torch.testing.assert_close(undecided, torch.full((52,), math.log(52 + 7 * math.exp(-0.5))))
    never = tree_loss(zero - math.inf, zero[:, :7] - math.inf, one, GROUPS)
    torch.testing.assert_close(never, torch.full((52,), math.log(59)))
    sure = tree_loss(1000.0 * (2 * one - 1), 1000.0 * (2 * F.one_hot(GROUPS, 7) - 1), one, GROUPS)
    perfect = torch.tensor([2.3038, 2.3268, 2.4742, 2.3712, 2.3268, 2.4137, 2.2803])
    torch.testing.assert_close(sure, perfect[GROUPS], atol=5e-5, rtol=0)


# ---- sizes


def test_parameters_as_measured() -> None:
    with torch.device("meta"):
        model = PCAN(SKELETONS["ma52_28"], MA52, 32, 1)
    backbone = count(model.base.backbone) + count(model.interactions)
    assert [count(block) for block in model.interactions] == [395_136, 1_576_704]
    assert count(model) - backbone == 1_134_966
    assert [n for _, n in SYSTEMS["pcan"].parameters] == [backbone, count(model)] == [37_983_296, 39_118_262]
    assert model.base.rgb_classifier.weight.numel() + 52 == 106_548
    assert count(model.rgb.coarse_classifier) == 14_343
    assert model.pose.prototypes.memory.shape == (256, 52)
    assert model.rgb.coarse_prototypes.memory.shape == (128, 7)


def test_shapes_of_the_published_network() -> None:
    with torch.device("meta"):
        model = PCAN(SKELETONS["ma52_28"], MA52, 32, 1)
        out = look(model, torch.empty(1, 3, 8, 224, 224), torch.empty(1, 28, 32, 56, 56))
    assert out.rgb.shape == (1, 2048, 8, 7, 7)
    assert out.pose.shape == (1, 512, 32, 7, 7)


# ---- behaviour


def small(**more: object) -> PCAN:
    torch.manual_seed(0)
    return PCAN(SKELETON, SMG, 8, 1, **{**SMALL, **more})


def test_without_gates_and_rectification_it_is_rgbpose() -> None:
    model, clip = small(rectify=(0.0, 0.0)).eval(), video()
    with torch.no_grad():
        gated = model(clip).logits
        for block in model.interactions:
            for layer in (block.to_rgb, block.to_pose):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
        out, plain = model(clip), model.base(clip)
    torch.testing.assert_close(out.logits, plain.logits)
    torch.testing.assert_close(out.pose.scores, plain.pose)
    assert not torch.allclose(gated, plain.logits)


def test_streams_trained_alone_can_be_merged_into_it() -> None:
    model, alone = small(), RGBPoseConv3D(SKELETON, SMG, 8, 1, rgb_width=4, pose_width=4, **BLOCKS)
    states = [stream.state_dict() for stream in (alone.backbone.rgb, alone.backbone.pose)]
    merge(model.base.backbone, *states)
    assert torch.equal(model.base.backbone.pose.conv1.conv.weight, alone.backbone.pose.conv1.conv.weight)


def test_rectification_draws_towards_the_nearest_prototype() -> None:
    model, clip = small(rectify=(1000.0, 1000.0)).eval(), video()
    with torch.no_grad():
        features = look(model, *model.base.inputs(clip))
        out = model.classify(features)
    for name, volume in zip(STREAMS, features, strict=True):
        block = getattr(model, name).prototypes
        near = block.similarity(block(volume.mean((2, 3, 4))))
        assert torch.equal(getattr(out, name).scores.argmax(1), near.argmax(1))


def test_diversity_teaches_by_default_and_not_in_the_released_code() -> None:
    gradients = {}
    for compat in (None, "official"):
        torch.manual_seed(0)
        head = Head(6, group_indices(MA52), 7, 8, 8, 0.0, compat).train()
        x, label = torch.randn(5, 6, 2, 2, 2), torch.arange(5)
        group = F.one_hot(GROUPS[label], 7) * 9.0
        with torch.no_grad():
            head.coarse_classifier.weight.zero_()
        out = head(x, F.one_hot(label, 52) * 9.0, x.mean((2, 3, 4)))._replace(
            coarse=group
        )  # all right: prototypes move
        batch = PoseBatch(torch.zeros(5, 1, 1, 1, 2), torch.zeros(5, 1, 1, 1), label)
        loss = head.losses(out, batch)["prototypes"]
        loss.backward()
        gradients[compat] = (loss.item(), head.prototypes.project.weight.grad.clone())
    assert gradients[None][0] == gradients["official"][0]
    assert (gradients[None][1] - gradients["official"][1]).abs().max() > 1e-6


def test_prototypes_move_once_per_step_and_rest_in_a_test() -> None:
    model, clip = small(), video()
    with torch.no_grad():  # all clips are right at both levels
        out = model.train()(clip)
        label = clip.label
        sure = {
            "logits": 9.0 * F.one_hot(label, len(SMG)),
            "coarse": 9.0 * F.one_hot(model.rgb.groups[label], model.rgb.count),
        }
        out = out._replace(rgb=out.rgb._replace(**sure), pose=out.pose._replace(**sure))
        before = {name: value.clone() for name, value in model.named_buffers() if name.endswith("memory")}
        assert len(before) == 4
        model.eval().losses(out, clip)
        for name, value in before.items():
            assert torch.equal(model.get_buffer(name), value)
        model.train().losses(out, clip)
    after = model.rgb.prototypes.memory
    expected = 0.9 * before["rgb.prototypes.memory"][:, label] + 0.1 * out.rgb.features.T
    torch.testing.assert_close(after[:, label], expected)
    others = [k for k in range(len(SMG)) if k not in label]
    assert torch.equal(after[:, others], before["rgb.prototypes.memory"][:, others])


def test_groups() -> None:
    assert GROUPS.bincount().tolist() == [5, 6, 13, 8, 6, 10, 4]
    assert group_indices(numbered(3)) == [0, 0, 0]
    # non-micro-gestures belong to none of the five groups
    assert group_indices(IMIGUE)[31] == 5
    with torch.device("meta"):
        model = PCAN(SKELETON, IMIGUE, 32, 1, **SMALL)
    assert model.rgb.coarse_classifier.out_features == model.pose.coarse_prototypes.memory.shape[1] == 6


def test_losses_weigh_clips_and_take_soft_targets() -> None:
    model, clip = small().eval(), video()
    out = model(clip)
    weighted = model.losses(out, replace(clip, weight=torch.tensor([1.0, 0.0, 0.0])))
    first = model.losses(
        Output(out.logits[:1], out.coarse[:1], *(type(s)(*(x[:1] for x in s)) for s in out[2:])),
        replace(clip, label=clip.label[:1]),
    )
    soft = model.losses(out, replace(clip, label=None, soft=F.one_hot(clip.label, len(SMG)).float()))
    for name, loss in model.losses(out, clip).items():
        torch.testing.assert_close(weighted[name], first[name])
        torch.testing.assert_close(soft[name], loss)


def test_mixed_targets_lie_between() -> None:
    """Cross-entropies and the tree loss are linear in the targets."""
    model, clip = small().eval(), video()
    out = model(clip)
    one, two = (F.one_hot((clip.label + i) % len(SMG), len(SMG)).float() for i in (0, 1))
    terms = [model.losses(out, replace(clip, label=None, soft=s)) for s in (one, two, 0.7 * one + 0.3 * two)]
    for name in ("rgb_class", "pose_coarse", "rgb_tree"):
        torch.testing.assert_close(terms[2][name], 0.7 * terms[0][name] + 0.3 * terms[1][name])


def test_what_cannot_be_built_or_learnt_is_refused() -> None:
    with pytest.raises(UsageError, match="compat is 'released'; it can be None or 'official'"):
        small(compat="released")
    with pytest.raises(UsageError, match="tokens of width 4 cannot be shared among 8 heads"):
        small(rgb_width=2)
    model, clip = small(), video()
    with pytest.raises(UsageError, match="the batch has neither labels nor soft targets"):
        model.losses(model(clip), replace(clip, label=None))
    with pytest.raises(UsageError, match="the batch has 8 poses and 1 pictures per clip; this system reads 4"):
        model(replace(clip, rgb=clip.rgb[:, :1]))


@pytest.mark.parametrize("check", APPLICABLE)
def test_contract(check: str) -> None:
    CHECKS[check](VideoCase(PCAN, SKELETON, SMG, (8, 12), (1, 2), SMALL))


def test_alone_or_together_and_an_empty_second_person() -> None:
    model, clip = small().eval(), video()
    out = model(clip)
    names = ("xy", "score", "rgb", "origin", "scale", "label")
    parts = [replace(clip, **{n: getattr(clip, n)[i : i + 1] for n in names}) for i in range(3)]
    torch.testing.assert_close(torch.cat([model(part).logits for part in parts]), out.logits, atol=1e-4, rtol=0)
    empty = {n: torch.cat((getattr(clip, n), 0 * getattr(clip, n)), 1) for n in ("xy", "score", "origin", "scale")}
    torch.testing.assert_close(model(replace(clip, **empty)).logits, out.logits, atol=1e-4, rtol=0)


def test_learns_by_heart() -> None:
    model, clip = small().train(), video(6)
    descent = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        descent.zero_grad()
        sum(model.losses(model(clip), clip).values()).backward()
        descent.step()
    out = model(clip)
    assert torch.equal(out.logits.argmax(1), clip.label)
    assert torch.equal(out.coarse.argmax(1), model.rgb.groups[clip.label])
