"""DyFADet with attention: against the official detector (golden files dyfadet_*), closed forms, and what it learns."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from tests.systems.golden import Golden, numbered, official_gradient
from torch import Tensor, nn

from microgesture.core.detections import Detections
from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment, Timeline
from microgesture.core.suppression import soft_nms
from microgesture.evaluation.online import average_precision
from microgesture.layers.batch import WindowBatch
from microgesture.layers.official import load_official
from microgesture.systems.dyfadet_sta import (
    DyFADetSTA,
    DynE,
    GatedShift,
    ModulatedShift,
    ScaleLayer,
    SpatialTemporalGate,
    diou,
    encoder_keys,
    focal,
    geretanh,
    layer_keys,
    neighbours,
    official_keys,
    pyramid,
    shift_keys,
    targets,
)
from microgesture.testing import check_spotter

SKELETON = SKELETONS["imigue22"]
CPU = torch.device("cpu")
Module = TypeVar("Module", bound=nn.Module)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def build(classes: int = 3, features: int = 12, **sizes: object) -> DyFADetSTA:
    """A small detector."""
    small: dict[str, object] = {"width": 32, "hidden": 32, "depth": (1, 1, 3), "head": 1}
    return DyFADetSTA(SKELETON, numbered(classes), 64, 1, features=features, **(small | sizes))  # type: ignore[arg-type]


def windows(series: Tensor, valid: list[float] | None = None) -> WindowBatch:
    """(B, D, F) as windows without poses and gestures."""
    count = len(series)
    return WindowBatch(
        torch.zeros(count, 1, 4, 22, 2),
        torch.zeros(count, 1, 4, 22),
        valid=torch.tensor(valid or [1.0] * count),
        segments=torch.zeros(count, 1, 2),
        classes=torch.full((count, 1), -1),
        series=series,
    )


def wake(model: Module) -> Module:
    """Let everything take part that begins at zero."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


# against the official detector


def released(golden: Golden) -> DyFADetSTA:
    model = DyFADetSTA(
        SKELETON, numbered(5), 64, 1, features=20, attention=False, width=32, hidden=24, depth=(2, 2, 3),
        drop=0.005, noise=0.0, top=200, compat="official",
    )  # fmt: skip
    load_official(model, golden.state, official_keys(model))
    return model.eval()


def padded(series: Tensor) -> tuple[Tensor, float]:
    """Features of up to 64 steps as a window of 64, and its valid share."""
    steps = series.shape[1]
    return torch.nn.functional.pad(series, (0, 64 - steps)), steps / 64


def test_released_levels_and_heads() -> None:
    golden = Golden("dyfadet_detector")
    model = released(golden)
    series, valid = padded(golden.inputs["feats"])
    necks: list[Tensor] = []
    for norm in model.neck:
        norm.register_forward_hook(lambda _, __, y: necks.append(y))
    with torch.no_grad():
        out = model(windows(series[None], [valid]))
    levels = out.levels
    parts = (out.logits, out.distances, out.mask)
    by_level = zip(*(part.split(levels.lengths, 1) for part in parts), strict=True)
    for i, (logits, distances, mask) in enumerate(by_level):
        golden.close(necks[i], f"feat{i}")
        golden.close(logits.transpose(1, 2), f"cls{i}")
        golden.close(distances.transpose(1, 2), f"reg{i}")
        assert torch.equal(mask[:, None], golden.outputs[f"mask{i}"])
        points = golden.outputs[f"points{i}"]
        assert torch.equal(levels.time[levels.level == i], points[:, 0])
        assert torch.equal(levels.stride[levels.level == i], points[:, 3])


def test_released_detections() -> None:
    golden = Golden("dyfadet_detector")
    model = released(golden)
    series, valid = padded(golden.inputs["feats"])
    with torch.no_grad():
        candidates = model.candidates(model(windows(series[None], [valid])), 0)
    kept = soft_nms(candidates, 0.5, least=0.01, most=60)
    seconds = (np.stack([kept.start, kept.end], 1) * 4 + 8) / 28
    order, theirs = np.argsort(-kept.score), np.argsort(-golden.outputs["det_scores"].numpy())
    np.testing.assert_allclose(kept.score[order], golden.outputs["det_scores"].numpy()[theirs], atol=5e-5)
    np.testing.assert_allclose(seconds[order].clip(0, 9), golden.outputs["det_segments"].numpy()[theirs], atol=5e-4)
    assert kept.label[order].tolist() == golden.outputs["det_labels"][theirs].tolist()


def training(golden: Golden) -> WindowBatch:
    """The two training clips of the golden file; segments in steps become shares."""
    series, valid = zip(*(padded(golden.inputs[f"train_feats{i}"]) for i in (0, 1)), strict=True)
    segments, classes = torch.zeros(2, 6, 2), torch.full((2, 6), -1)
    for i in (0, 1):
        labels = golden.inputs[f"train_labels{i}"]
        classes[i, : len(labels)] = labels
        segments[i, : len(labels)] = (golden.inputs[f"train_segments{i}"] + 0.5) / 64
    return replace(windows(torch.stack(series), list(valid)), segments=segments, classes=classes)


def test_released_targets() -> None:
    golden = Golden("dyfadet_detector")
    for i in (0, 1):
        labels, distances = targets(
            pyramid(64, 4, CPU), golden.inputs[f"train_segments{i}"], golden.inputs[f"train_labels{i}"], 5
        )
        golden.close(labels, f"cls_targets{i}")
        golden.close(distances, f"reg_targets{i}")


def test_released_losses_and_gradients() -> None:
    golden = Golden("dyfadet_detector")
    model, batch = released(golden).train(), training(golden)
    for layer in model.branch:
        layer.drop.rate = layer.drop_mlp.rate = 0.0
    losses = model.losses(model(batch), batch)
    golden.close(losses["class"], "loss_cls")
    golden.close(losses["segment"], "loss_reg")
    assert float(model.running) == pytest.approx(float(golden.outputs["loss_normalizer_after"]))
    total = sum(losses.values())
    golden.close(total, "loss_final")
    total.backward()
    names = [name for name in golden.outputs if name.startswith("grad_norm/")]
    assert len(names) == 4
    for name in names:
        ours = official_gradient(model, official_keys(model), golden.state, name.removeprefix("grad_norm/")).norm()
        assert ours.item() == pytest.approx(golden.outputs[name].item(), rel=1e-3)


def test_every_official_tensor_is_used_once() -> None:
    golden = Golden("dyfadet_detector")
    for attention in (True, False):
        model = DyFADetSTA(
            SKELETON, numbered(5), 64, 1, features=20, attention=attention, width=32, hidden=24, depth=(2, 2, 3)
        )
        keys = official_keys(model)
        assert sorted(name for names in keys.values() for name in names) == sorted(golden.state)
        assert set(keys) - {""} == set(model.state_dict())


@pytest.mark.parametrize("stride", [1, 2])
def test_released_encoder_layer(stride: int) -> None:
    golden = Golden(f"dyfadet_dyne_stride{stride}")
    layer = DynE(32, 40, pooled=stride == 2, drop=0.1 if stride == 2 else 0.0, official=True)
    keys = {key: encoder_keys(key) for key in layer.state_dict()}
    load_official(layer, golden.state, keys)
    out, mask = layer.eval()(golden.inputs["x"], golden.inputs["mask"])
    golden.close(out, "out")
    assert torch.equal(mask, golden.outputs["mask"])
    gradients(layer, out, golden, keys)


@pytest.mark.parametrize("kind", ["gate_c", "gate_k", "gate_ck", "conv_c"])
def test_released_shifts(kind: str) -> None:
    golden = Golden(f"dyfadet_dtfam_{kind}")
    gate = kind.removeprefix("gate_")
    layer = ModulatedShift(32) if kind == "conv_c" else GatedShift(32, gate, official=True)  # type: ignore[arg-type]
    keys = {key: shift_keys(key) for key in layer.state_dict()} | {"": ("shift_conv.weight",)}
    load_official(layer, golden.state, keys)
    out = layer(golden.inputs["x"], golden.inputs["mask"])
    golden.close(out, "out")
    gradients(layer, out, golden, keys)


def test_released_scale_layer() -> None:
    golden = Golden("dyfadet_dynamic_scale")
    layer = ScaleLayer(32, "c", official=True)
    fixed = tuple(f"{part}.shift_conv.weight" for part in ("dynamic_convs.0", "dynamic_convs.1", "depth_module"))
    keys = {key: layer_keys(key) for key in layer.state_dict()} | {"": fixed}
    load_official(layer, golden.state, keys)
    levels = pyramid(24, 3, CPU)
    x, mask = (levels.packed([golden.inputs[f"{part}{i}"] for i in range(3)]) for part in ("level", "mask"))
    out = layer(x, mask, levels)
    for i, part in enumerate(out[..., levels.place].split(levels.lengths, -1)):
        golden.close(part, f"level{i}")
    gradients(layer, out, golden, keys)


def gradients(layer: nn.Module, out: Tensor, golden: Golden, keys: dict[str, tuple[str, ...]]) -> None:
    out.sum().backward()
    for name in (name for name in golden.outputs if name.startswith("grad_norm/")):
        ours = official_gradient(layer, keys, golden.state, name.removeprefix("grad_norm/")).norm().item()
        assert ours == pytest.approx(golden.outputs[name].item(), rel=2e-3), name


def test_released_losses_of_points() -> None:
    golden = Golden("dyfadet_losses")
    loss = focal(golden.inputs["logits"], golden.inputs["targets"])
    golden.close(loss, "focal")
    golden.close(loss.sum(), "focal_sum")
    golden.close(diou(golden.inputs["pred_offsets"], golden.inputs["gt_offsets"]), "diou")


# closed forms


@pytest.mark.parametrize(("classes", "count"), [(16, 27_527_972), (17, 27_529_509), (20, 27_534_120)])
def test_parameters_as_published(classes: int, count: int) -> None:
    with torch.device("meta"):
        model = DyFADetSTA(SKELETON, numbered(classes), 512, 1, attention=False)

    def parameters(*parts: nn.Module) -> int:
        return sum(p.numel() for part in parts for p in part.parameters())

    assert parameters(model) == count
    assert parameters(model.embed, model.embed_norm, model.stem, model.branch) == 8_556_288
    assert parameters(model.segments, model.scales) == 9_472_014
    if classes == 17:
        assert parameters(model.classes) == 9_495_063


def test_levels_of_the_published_window() -> None:
    levels = pyramid(2304, 6, CPU)
    assert levels.lengths == (2304, 1152, 576, 288, 144, 72)
    assert levels.stride.unique().tolist() == [1, 2, 4, 8, 16, 32]


def test_levels_know_their_neighbours() -> None:
    levels = pyramid(8, 3, CPU)
    x = levels.packed(
        [torch.arange(8.0).view(1, 1, -1), torch.arange(4.0).view(1, 1, -1) + 10, torch.tensor([[[20.0, 21]]])]
    )
    finer, coarser = (x[0, 0, index][levels.place].tolist() for index in (levels.finer, levels.coarser))
    assert finer == [0.0] * 8 + [0, 2, 4, 6, 10, 12]
    assert coarser == [10, 10, 11, 11, 12, 12, 13, 13, 20, 20, 21, 21, 0, 0]
    assert not x[0, 0, ~levels.inside].any()


def test_gate() -> None:
    x = torch.tensor([-5.0, 0.0, 1.5, 50.0])
    torch.testing.assert_close(geretanh(x), torch.tensor([0.0, 0.0, math.tanh(1.5) / (1 + math.tanh(1.5)), 1.0]))
    assert geretanh(x)[2] == pytest.approx(0.475, abs=1e-3)


def test_encoder_without_weights_adds_the_norm() -> None:
    layer, x = DynE(16, 8), torch.randn(2, 16, 10)
    for conv in (layer.moment, layer.near, layer.wide, layer.level, layer.window):
        nn.init.zeros_(conv.weight)
    nn.init.zeros_(layer.mlp[2].weight)
    nn.init.zeros_(layer.mlp[2].bias)
    y, _ = layer(x, torch.ones(2, 1, 10, dtype=torch.bool))
    torch.testing.assert_close(y, x + layer.norm(x))


def test_encoder_in_closed_form() -> None:
    """level * relu(window of the mean) + relu(near + wide) * moment + norm, by hand."""
    layer, x, mask = wake(DynE(16, 8)), torch.randn(1, 16, 9), torch.ones(1, 1, 9, dtype=torch.bool)
    assert layer.wide.weight.shape == (16, 1, 11)
    o = layer.norm(x)
    y = layer.level(o) * layer.window(o.mean(-1, keepdim=True)).relu()
    y = x + y + (layer.near(o) + layer.wide(o)).relu() * layer.moment(o) + o
    torch.testing.assert_close(layer(x, mask)[0], y + layer.mlp(layer.mlp_norm(y)), atol=1e-5, rtol=1e-5)


def test_released_encoder_weights_never_learn_and_ours_do() -> None:
    for official in (True, False):
        layer = DynE(16, 8, official=official)
        layer(torch.randn(2, 16, 10), torch.ones(2, 1, 10, dtype=torch.bool))[0].square().sum().backward()
        for conv in (layer.moment, layer.near, layer.wide, layer.level, layer.window):
            assert conv.weight.grad is not None
            assert bool(conv.weight.grad.any()) != official


def test_gates_act_on_what_they_say() -> None:
    """With open gates and a 1x1 convolution of the middle tap alone, the gated shift is the norm of its input."""
    x, mask = torch.randn(2, 16, 10), torch.ones(2, 1, 10, dtype=torch.bool)
    for kind in ("c", "k", "ck"):
        layer = GatedShift(16, kind)  # type: ignore[arg-type]
        nn.init.zeros_(layer.gate.weight)
        nn.init.constant_(layer.gate.bias, 50.0)
        nn.init.zeros_(layer.conv.bias)
        weight = torch.zeros(16, 16, 3)
        weight[range(16), range(16), 1] = 1
        layer.conv.weight.data = weight.view(16, 48, 1)
        torch.testing.assert_close(layer(x, mask), layer.norm(x))
        squared = GatedShift(16, kind, official=True)  # type: ignore[arg-type]
        squared.load_state_dict(layer.state_dict())
        if kind != "k":
            torch.testing.assert_close(squared(x, mask), layer.norm(x**2))
    assert neighbours(x)[0, 0, :, 0].tolist() == [0, x[0, 0, 0], x[0, 0, 1]]


@pytest.mark.parametrize("compat", [None, "official"])
def test_logits_outside_the_recording_are_zero(compat: str | None) -> None:
    model = wake(build(compat=compat)).eval()
    out = model(windows(torch.randn(2, 12, 32), [0.6, 1.0]))
    assert out.logits.shape == (2, 32 + 16 + 8 + 4, 3)
    assert not out.logits[~out.mask].any()
    assert not out.distances[~out.mask].any()
    assert out.mask.sum(1).tolist() == [20 + 10 + 5 + 3, 60]
    assert out.logits[out.mask].all()


def test_neighbouring_levels_are_silent_at_first() -> None:
    layer, levels = ScaleLayer(16, "c", False), pyramid(8, 3, CPU)
    x = torch.randn(1, 16, len(levels.inside)) * levels.inside
    mask = levels.inside[None, None]
    before = layer(x, mask, levels)
    nn.init.normal_(layer.finer.conv.weight)
    nn.init.normal_(layer.coarser.conv.weight)
    torch.testing.assert_close(layer(x, mask, levels), before)
    nn.init.ones_(layer.others)
    assert not torch.allclose(layer(x, mask, levels), before)


def test_first_scores_are_the_prior() -> None:
    out = build(classes=17, width=64).eval()(windows(torch.randn(2, 12, 64)))
    assert float(out.logits.detach().sigmoid().mean()) == pytest.approx(0.01, abs=0.005)


def test_a_perfect_segment_costs_nothing() -> None:
    d = torch.rand(20, 2) * 5
    torch.testing.assert_close(diou(d, d), torch.zeros(20))
    # same length 2, moved by 1: IoU 1/3, hull 3
    assert float(diou(torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 2.0]]))) == pytest.approx(2 / 3 + 1 / 9)
    assert torch.isfinite(diou(torch.zeros(1, 2), torch.zeros(1, 2))).all()


def test_points_answer_for_gestures_of_their_length() -> None:
    levels = pyramid(64, 4, CPU)
    labels, distances = targets(levels, torch.tensor([[9.0, 13.0], [20.0, 40.0]]), torch.tensor([1, 2]), 3)
    short, long = labels[:, 1] > 0, labels[:, 2] > 0
    assert levels.time[short].tolist() == [10, 11, 12], "1.5 steps round the middle; all within 4 steps of both ends"
    places = zip(levels.level[long].tolist(), levels.time[long].tolist(), strict=True)
    assert set(places) == {(2, 28), (2, 32), (3, 24)}, "up to 16 steps to the farther end; from 16 on"
    for point in long.nonzero()[:, 0]:
        reach = distances[point] * levels.stride[point]
        assert [float(levels.time[point] - reach[0]), float(levels.time[point] + reach[1])] == [20, 40]
    # of two around a point the shorter counts; two of one length both do
    labels, _ = targets(levels, torch.tensor([[9.0, 13.0], [9.5, 12.5], [9.5, 12.5]]), torch.tensor([0, 1, 2]), 3)
    assert labels[11].tolist() == [0, 1, 1]
    nothing, _ = targets(levels, torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), 3)
    assert not nothing.any()


def test_attention_begins_as_the_identity_and_learns() -> None:
    for shape in ((2, 6, 10), (2, 6, 10, 4, 5)):
        gate, x = SpatialTemporalGate(6), torch.randn(shape)
        torch.testing.assert_close(gate(x), x)
        gate(x).square().sum().backward()
        assert gate.time.weight.grad.any()
    assert gate.space.weight.grad.any()
    nn.init.constant_(gate.space.bias, 50.0)
    torch.testing.assert_close(gate(x), 2 * x)
    assert SpatialTemporalGate(6, space=False).space is None


def test_a_detector_with_attention_begins_as_one_without() -> None:
    one, other = build(), build(attention=False)
    one.load_state_dict(other.state_dict(), strict=False)
    batch = windows(torch.randn(2, 12, 32))
    torch.testing.assert_close(one.eval()(batch).logits, other.eval()(batch).logits)


# windows


@pytest.mark.parametrize("steps", [1, 3, 20, 33, 64])
def test_any_length_of_window(steps: int) -> None:
    model = build()
    batch = windows(torch.randn(2, 12, steps), [1.0, 0.5])
    for name, loss in model.train().losses(model(batch), batch).items():
        assert torch.isfinite(loss), name
    found = model.eval().detections(model(batch), batch)
    assert [len(one) > 0 for one in found] == [True, True]
    for one, valid in zip(found, (1.0, 0.5), strict=True):
        assert one.start.min() >= 0
        assert one.end.max() <= valid


def test_learns_after_it_was_used() -> None:
    model, batch = build(), windows(torch.randn(1, 12, 28), [1.0])
    with torch.inference_mode():  # what is worked out once for a length must serve training too
        model.eval()(batch)
    sum(model.train().losses(model(batch), batch).values(), torch.zeros(())).backward()
    assert any(p.grad is not None for p in model.parameters())


def test_what_lies_behind_the_recording_changes_nothing() -> None:
    model = wake(build(attention=True)).eval()
    series = torch.randn(1, 12, 20)
    with torch.no_grad():
        (alone,) = model.detections(model(batch := windows(series)), batch)
        longer = torch.cat((series, torch.randn(1, 12, 21)), 2)
        (found,) = model.detections(model(batch := windows(longer, [20 / 41])), batch)
    assert len(found) == len(alone) > 0
    ours = {(k, round(s, 4)): (a * 41, b * 41) for a, b, k, s in zip(*rows(found), strict=True)}
    theirs = {(k, round(s, 4)): (a * 20, b * 20) for a, b, k, s in zip(*rows(alone), strict=True)}
    common = set(ours) & set(theirs)  # a score may round the other way
    assert len(common) > 0.9 * len(theirs)
    for key in common:
        assert ours[key] == pytest.approx(theirs[key], abs=1e-2)


def rows(found: Detections) -> tuple[list[float], ...]:
    return found.start.tolist(), found.end.tolist(), found.label.tolist(), found.score.tolist()


def test_features_are_standardised_by_the_training_recordings() -> None:
    model = build(classes=2)
    parts = [torch.randn(1, 12, n) * 3 + 7 for n in (40, 24)]
    cut = windows(torch.cat((parts[1], torch.full((1, 12, 8), 99.0)), 2), [0.75])
    model.observe([windows(parts[0]), cut])
    whole = torch.cat(parts, 2)[0]
    torch.testing.assert_close(model.centre[:, 0], whole.mean(1))
    torch.testing.assert_close(model.deviation[:, 0], whole.std(1, correction=0), rtol=1e-4, atol=1e-4)
    as_released = build(compat="official")
    as_released.observe([windows(parts[0])])
    assert not as_released.centre.any()


def test_voting_and_its_absence() -> None:
    found = Detections([0.0, 0.1, 5.0], [2.0, 2.0, 6.0], [1, 1, 1], [0.9, 0.6, 0.4])
    moved = build().merged(found)
    assert moved.start[0] == pytest.approx(0.04)
    assert len(moved) == 3
    assert build(compat="official").merged(found).start[0] == 0


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="width is 24; it must be a multiple of 16"):
        build(width=24)
    with pytest.raises(UsageError, match="compat is 'paper'; it can be None or 'official'"):
        build(compat="paper")
    with pytest.raises(UsageError, match=r"reads features of the windows, and there are none: set loading\.features"):
        build(features=0)


def test_contract() -> None:
    check_spotter(DyFADetSTA, features=12, width=32, hidden=32, depth=(1, 1, 3), head=1, positives=10)


# learning


def bumps(count: int, seed: int, steps: int = 64) -> tuple[WindowBatch, list[Timeline]]:
    """Windows of noise with up to three bumps each; those of class 1 go down. And what is in them, in windows."""
    draw = np.random.default_rng(seed)
    mix = np.random.default_rng(0).normal(size=(2, 12))
    series, segments, classes = (
        draw.normal(0, 0.3, (count, 12, steps)),
        np.zeros((count, 3, 2)),
        np.full((count, 3), -1),
    )
    truth = []
    for i in range(count):
        for g in range(int(draw.integers(0, 4))):
            length = draw.uniform(3, 14)
            begin = g * 21 + draw.uniform(0, 21 - length)
            kind = int(draw.integers(2))
            at = (np.arange(steps) + 0.5 - begin) / length
            series[i] += mix[kind][:, None] * np.where((at > 0) & (at < 1), np.sin(np.pi * at.clip(0, 1)), 0)
            segments[i, g], classes[i, g] = (begin / steps, (begin + length) / steps), kind
        shown = zip(segments[i], classes[i], strict=True)
        rows = tuple(Segment(float(a), float(b), int(k)) for (a, b), k in shown if k >= 0)
        truth.append(Timeline(rows, numbered(2), 1.0))
    batch = windows(torch.from_numpy(series).float())
    return replace(batch, segments=torch.from_numpy(segments).float(), classes=torch.from_numpy(classes)), truth


def test_finds_bumps_of_two_classes() -> None:
    model = build(classes=2, positives=20, depth=(1, 1, 3)).train()
    descent = torch.optim.AdamW(model.parameters(), lr=0.004)
    steps = 50
    schedule = torch.optim.lr_scheduler.OneCycleLR(descent, 0.004, total_steps=steps)
    for step in range(steps):
        batch, _ = bumps(8, seed=step)
        descent.zero_grad()
        sum(model.losses(model(batch), batch).values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        descent.step()
        schedule.step()
    batch, truth = bumps(40, seed=10_000)
    with torch.no_grad():
        found = [model.merged(one) for one in model.eval().detections(model(batch), batch)]
    lines = [one.timeline(numbered(2), 1.0) for one in found]
    precision = average_precision(truth, lines, (0.5,))
    assert float(np.nanmean(precision)) > 0.9
