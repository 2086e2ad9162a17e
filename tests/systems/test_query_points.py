"""Query points against the official PointTAD, number by number, and by what must hold. Golden files pointtad_*."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tests.systems.golden import Golden, numbered, official_gradient
from torch import Tensor, nn

from microgesture.core.detections import Detections
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.layers import i3d
from microgesture.layers.batch import WindowBatch
from microgesture.layers.i3d import I3D, Maps
from microgesture.layers.official import Keys, load_official
from microgesture.systems import query_points
from microgesture.systems.query_points import (
    Deformation,
    Layer,
    Output,
    ParallelMixing,
    PictureFeatures,
    QueryPoints,
    centre_length,
    official_keys,
    overlap,
    points_to_segments,
    start_end,
)

SMALL: dict[str, Any] = {
    "features": 6,
    "width": 32,
    "layers": 3,
    "queries": 8,
    "points": 9,
    "heads": 4,
    "feedforward": 48,
    "mixing": 16,
    "dropout": 0.0,
}


def system(classes: int = 3, seed: int = 0, **sizes: Any) -> QueryPoints:
    torch.manual_seed(seed)
    return QueryPoints(SKELETONS["kinect25"], numbered(classes), 128, 1, **(SMALL | sizes))


def windows(
    series: Tensor | None,
    gestures: list[list[tuple[float, float, int]]],
    valid: list[float] | None = None,
    rgb: Tensor | None = None,
) -> WindowBatch:
    """Each gesture is begin, end, class."""
    n, most = len(gestures), max(1, *map(len, gestures))
    segments, classes = torch.zeros(n, most, 2), torch.full((n, most), -1)
    for i, rows in enumerate(gestures):
        for j, (start, end, label) in enumerate(rows):
            segments[i, j], classes[i, j] = torch.tensor((start, end)), label
    return WindowBatch(
        torch.zeros(n, 1, 8, 25, 2),
        torch.zeros(n, 1, 8, 25),
        valid=torch.ones(n) if valid is None else torch.tensor(valid),
        segments=segments,
        classes=classes,
        series=series,
        rgb=rgb,
    )


def some(windows_: int = 2, steps: int = 32, seed: int = 1) -> WindowBatch:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(windows_, 6, steps, generator=draw)
    return windows(x, [[(0.1, 0.3, 0), (0.5, 0.6, 2)], *[[(0.4, 0.45, 1)]] * (windows_ - 1)])


# against the official code


class Given(nn.Module):
    """A backbone whose answer is known."""

    def __init__(self, maps: Maps) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, _: Tensor) -> Maps:
        return self.maps


def part_keys(module: nn.Module, path: str, official: str) -> Keys:
    """Keys of a part of the system on its own, as the golden files of parts name them."""
    whole = ((key, query_points._official(f"{path}{key}")) for key in module.state_dict())
    return {key: tuple(name.removeprefix(official) for name in names) for key, names in whole}


def gradients(golden: Golden, module: nn.Module, keys: Keys, loss: Tensor, rel: float = 1e-3) -> None:
    loss.backward()
    names = [name for name in golden.outputs if name.startswith("grad_norm/")]
    assert names
    for name in names:
        official = name.removeprefix("grad_norm/")
        ours = official_gradient(module, keys, golden.state, official).norm().item()
        assert ours == pytest.approx(golden.outputs[name].item(), rel=rel), official


def test_official_deformation() -> None:
    golden = Golden("pointtad_deformation")
    look = Deformation(24, 9)
    keys = part_keys(look, "layers.0.look.", "decoder.head_series.0.point_deformation.")
    load_official(look, golden.state, keys)
    vectors = golden.inputs["query_vectors"].view(2, 6, 24)
    seen = look(golden.inputs["features"], golden.inputs["points"], vectors)  # (B, Q, S, D)
    golden.close(seen.flatten(0, 1).transpose(0, 1), "sampled")
    gradients(golden, look, keys, seen.sum())


@pytest.mark.parametrize("points", [4, 6, 9, 10, 21, 30])
def test_official_segments_of_points(points: int) -> None:
    golden = Golden("pointtad_points_to_segments")
    segments = points_to_segments(golden.inputs[f"points_{points}"])
    golden.close(segments, f"segment_se_{points}")
    golden.close(centre_length(segments), f"segment_cl_{points}")
    golden.close(start_end(centre_length(segments)), f"segment_back_{points}")


def test_official_mixing() -> None:
    golden = Golden("pointtad_parallel_mixing")
    mix = ParallelMixing(24, 9)
    keys = part_keys(mix, "layers.0.mix.", "decoder.head_series.0.inst_parallel_mix.")
    load_official(mix, golden.state, keys)
    seen = golden.inputs["point_features"].transpose(0, 1)[None]  # (1, B * Q, S, D)
    mixed = mix(seen, golden.inputs["query_vectors"])
    golden.close(mixed[0], "mixed")
    gradients(golden, mix, keys, mixed.sum())


def official_size(**options: Any) -> QueryPoints:
    sizes: dict[str, Any] = {"width": 24, "queries": 6, "heads": 8, "feedforward": 40, "mixing": 64}
    return system(5, mixer="mhsa", **(sizes | options)).eval()


def test_official_decoder_layer() -> None:
    golden = Golden("pointtad_decoder_layer")
    layer = official_size().layers[0]
    assert isinstance(layer, Layer)
    keys = part_keys(layer, "layers.0.", "decoder.head_series.0.")
    load_official(layer, golden.state, keys)
    vectors = golden.inputs["query_vectors"].view(2, 6, 24)
    logits, points, out = layer(golden.inputs["features"], golden.inputs["points"], vectors)
    golden.close(logits, "class_logits")
    golden.close(points, "points")
    golden.close(out.view(1, 12, 24), "vectors")
    gradients(golden, layer, keys, logits.sum() + points.sum())


@pytest.fixture
def official() -> tuple[Golden, QueryPoints, Keys, WindowBatch]:
    """The whole of PointTAD behind its backbone, with the windows of the file."""
    golden = Golden("pointtad_model_losses")
    model = official_size(compat="official")
    given = Given(Maps(golden.inputs["mixed_4f"], golden.inputs["mixed_5c"]))
    model.encoder = PictureFeatures(24, given, (10, 12)).eval()
    keys = official_keys(model)
    load_official(model, golden.state, keys)
    gestures = [
        [(*s, int(k)) for s, k in zip(golden.inputs[f"target{i}_segments"].tolist(), labels, strict=True)]
        for i, labels in enumerate((golden.inputs["target0_labels"], golden.inputs["target1_labels"]))
    ]
    return golden, model, keys, windows(None, gestures, rgb=torch.zeros(2, 4, 4, 4, 3))  # type: ignore[arg-type]


Official = tuple[Golden, QueryPoints, Keys, WindowBatch]


def test_official_model(official: Official) -> None:
    golden, model, _, batch = official
    out = model(batch)
    golden.close(out.logits, "pred_logits")
    golden.close(out.segments, "pred_segments")
    golden.close(out.dense, "dense_logits")
    for i, (logits, segments) in enumerate(out.earlier):
        golden.close(logits, f"aux{i}_pred_logits")
        golden.close(segments, f"aux{i}_pred_segments")


def test_official_losses_and_gradients(official: Official) -> None:
    golden, model, keys, batch = official
    terms = model.losses(model(batch), batch)
    names = {"class": ("ce", 1), "segment": ("seg", 5), "iou": ("giou", 5), "dense": ("dense", 10)}
    for name, value in terms.items():
        stem, _, number = name.partition("_")
        theirs, weight = names[stem]
        expected = weight * golden.outputs[f"loss/loss_{theirs}{number and '_' + number}"].item()
        assert value.item() == pytest.approx(expected, rel=5e-5), name
    assert len(terms) == 4 + 3 * golden.outputs["num_aux"].item()
    total = torch.stack(list(terms.values())).sum()
    assert total.item() == pytest.approx(golden.outputs["loss_total"].item(), rel=5e-5)
    gradients(golden, model, keys, total)


def test_official_matching(official: Official) -> None:
    golden, model, _, batch = official
    out = model(batch)
    for i, (gestures, classes) in enumerate(batch.targets()):
        query, gesture = model.match(out.logits[i], out.segments[i], gestures, classes)
        assert torch.stack((query, gesture)).tolist() == golden.outputs[f"match{i}"].tolist()


def test_official_detections(official: Official) -> None:
    golden, model, _, batch = official
    found = model.detections(model(batch), batch)
    for i, (one, base) in enumerate(zip(found, golden.inputs["base_frame"].tolist(), strict=True)):
        times = golden.outputs[f"post{i}_segments"].numpy()
        shown = times[:, 1] > times[:, 0]
        placed = one.placed(base, 64)
        assert_allclose(np.stack((placed.start, placed.end), 1), times[shown], atol=5e-3)
        assert_allclose(one.score, golden.outputs[f"post{i}_scores"].numpy()[shown], atol=5e-5)
        assert one.label.tolist() == golden.outputs[f"post{i}_labels"][torch.from_numpy(shown)].tolist()


def test_every_official_tensor_is_used_once(official: Official) -> None:
    golden, model, keys, _ = official
    assert sorted(name for names in keys.values() for name in names) == sorted(golden.state)
    assert set(keys) == set(model.state_dict())


def test_the_unread_table_is_passed_over(official: Official) -> None:
    golden, model, _, batch = official
    ours = official_size()
    ours.encoder = model.encoder
    load_official(ours, golden.state, official_keys(ours))
    golden.close(ours(batch).logits, "pred_logits")


def test_weights_of_pointtad_leave_mamba_as_it_is(official: Official) -> None:
    golden, model, _, _ = official
    ours = system(5, width=24, queries=6, heads=8, feedforward=40, mixing=64)
    ours.encoder = model.encoder
    before = ours.layers[1].interact.mambas[0].in_proj.weight.clone()
    load_official(ours, golden.state, official_keys(ours))
    assert torch.equal(ours.layers[1].interact.mambas[0].in_proj.weight, before)
    assert torch.equal(ours.vectors, golden.state["init_proposal_features.weight"])


def test_checkpoints_of_other_sizes_are_refused(official: Official) -> None:
    golden, model, keys, _ = official
    state = golden.state | {"init_proposal_points.weight": torch.zeros(6, 21)}
    with pytest.raises(FormatError, match=r"init_proposal_points.weight has shape \(6, 21\); expected \(6, 9\)"):
        load_official(model, state, keys)


def test_the_backbone_has_official_names_too() -> None:
    model = system(encoder="i3d", mixer="mhsa", compat="official")
    names = [name for names in official_keys(model).values() for name in names]
    assert sum(name.startswith("backbone._model.") for name in names) == 342
    assert "backbone._model.Mixed_5c.b1a.conv3d.weight" in names
    assert len(names) == len(set(names))
    with pytest.raises(KeyError, match="elsewhere"):
        query_points._official("elsewhere.weight")


# sizes


def published(classes: int, **sizes: Any) -> QueryPoints:
    with torch.device("meta"):
        return QueryPoints(SKELETONS["kinect25"], numbered(classes), 128, 1, encoder="i3d", **sizes)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_as_measured() -> None:
    model = published(17, mixer="mhsa", compat="official")
    assert count(model.layers) == 196_373_096
    assert count(model) == 210_059_657
    assert count(published(17, mixer="mhsa")) == 210_059_657 - 48 * 512
    assert count(published(52, mixer="mhsa", layers=2, points=30, queries=24).layers) == 108_139_846


def test_parameters_of_mamba() -> None:
    interact = published(17, layers=1).layers[0].interact
    assert [count(mamba) for mamba in interact.mambas] == [1_694_720] * 2


def test_shapes_of_the_published_network() -> None:
    model = published(17, queries=24, layers=1, mixer="mhsa")
    out = model.decode(torch.empty(2, 32, 512, device="meta"))
    assert [t.shape for t in (out.logits, out.segments, out.dense)] == [(2, 24, 18), (2, 24, 2), (2, 32, 17)]


# what must hold


def permuted(model: QueryPoints, features: Tensor) -> tuple[Output, Output, Tensor]:
    """What the queries say in their order, and in another one."""
    order = torch.randperm(len(model.vectors), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        plain = model.decode(features)
        model.vectors.copy_(model.vectors[order])
        model.points.copy_(model.points[order])
        return plain, model.decode(features), order


@pytest.mark.parametrize(
    ("options", "same"),
    [({"mixer": "mhsa"}, True), ({}, False), ({"both": True}, False), ({"order": "parallel"}, False)],
)
def test_the_order_of_queries_matters_to_mamba_alone(options: dict[str, Any], same: bool) -> None:
    plain, other, order = permuted(system(**options).eval(), torch.randn(2, 32, 32))
    assert torch.allclose(plain.logits[:, order], other.logits, atol=1e-4) == same
    assert torch.allclose(plain.segments[:, order], other.segments, atol=1e-4) == same


@pytest.mark.parametrize("order", ["mamba_first", "mhsa_first", "parallel"])
@pytest.mark.parametrize("both", [False, True])
def test_ways_to_join_mamba_and_attention(order: Any, both: bool) -> None:
    """Mamba of no effect leaves attention alone; with an effect, the ways differ."""
    x = torch.randn(2, 8, 32)
    interact = system(order=order, both=both).eval().layers[0].interact
    alone = interact.norm(x + interact.attention(x, x, x)[0])
    assert not torch.allclose(interact(x), alone, atol=1e-3)
    for mamba in interact.mambas:
        nn.init.zeros_(mamba.out_proj.weight)
    torch.testing.assert_close(interact(x), alone)


def test_mamba_goes_one_way() -> None:
    """Before attention, a query knows of those before it alone; both ways, of all."""
    x = torch.randn(1, 8, 32)
    for both in (False, True):
        interact = system(both=both).layers[0].interact
        changed = x.clone()
        changed[:, 4] = torch.randn(32)
        differs = (interact._scan(x) - interact._scan(changed)).abs().amax(-1)[0] > 1e-6
        assert differs.tolist() == [both] * 4 + [True] * 4


def looking(at: float, steps: int, offset: float = 0.0) -> Tensor:
    """What a point sees that looks at one place only."""
    look = Deformation(8, 3)
    with torch.no_grad():
        look.looks.weight.zero_()
        look.looks.bias.zero_()
        look.looks.bias[:8] = offset
    features = torch.randn(1, steps, 8, generator=torch.Generator().manual_seed(0))
    seen = look(features, torch.full((1, 1, 3), at), torch.zeros(1, 1, 8))
    return torch.stack((seen[0, 0, 0], features[0, 0], features[0, -1], features[0, steps // 2]))


@pytest.mark.parametrize("steps", [1, 2, 7, 33])
def test_points_at_the_ends_see_the_ends(steps: int) -> None:
    seen, first, last, middle = looking(0.0, steps)
    assert torch.equal(seen, first)
    seen, first, last, middle = looking(1.0, steps)
    assert torch.equal(seen, last)
    if steps % 2:
        seen, first, last, middle = looking(0.5, steps)
        torch.testing.assert_close(seen, middle)


def test_points_beyond_the_window_see_its_ends() -> None:
    assert torch.equal(*looking(-0.7, 9)[:2])
    assert torch.equal(*looking(0.95, 9, offset=4)[[0, 2]])


def test_between_two_steps_is_a_mixture() -> None:
    look = Deformation(8, 3)
    look.reset(offsets=True)
    nn.init.zeros_(look.looks.bias)
    features = torch.randn(1, 5, 8)
    seen = look(features, torch.full((1, 1, 3), (2 + 0.25) / 4), torch.randn(1, 1, 8))[0, 0, 2]
    torch.testing.assert_close(seen, 0.75 * features[0, 2] + 0.25 * features[0, 3])


def test_two_thirds_of_the_points_frame_the_segment() -> None:
    assert points_to_segments(torch.tensor([0.2, 0.5, 0.9, 0.0])).tolist() == pytest.approx([0.2, 0.5])
    for points, framing in ((3, 2), (15, 10), (21, 14), (30, 20)):
        x = torch.full((points,), 0.5)
        x[framing:] = torch.rand(points - framing)
        x[framing - 1] = 0.9
        assert points_to_segments(x).tolist() == pytest.approx([0.5, 0.9])


def test_overlap() -> None:
    a = torch.tensor([[0.0, 0.4], [0.0, 0.2], [0.3, 0.5], [0.5, 0.5]])
    b = torch.tensor([[0.2, 0.6], [0.6, 1.0], [0.3, 0.5], [0.0, 1.0]])
    assert overlap(a, b, generalised=False).tolist() == pytest.approx([1 / 3, 0, 1, 0], abs=1e-6)
    assert overlap(a, b).tolist() == pytest.approx([1 / 3, -0.4, 1, 0], abs=1e-6)


def test_losses_do_not_depend_on_the_order_of_gestures() -> None:
    model, x = system(), torch.randn(2, 6, 32)
    rows = [(0.1, 0.2, 0), (0.3, 0.35, 1), (0.32, 0.5, 2), (0.7, 0.9, 0)]
    one = windows(x, [rows, rows[:2]])
    other = windows(x, [rows[::-1], rows[1::-1]])
    model.eval()
    first, second = model.losses(model(one), one), model.losses(model(other), other)
    assert len(first) == 10
    for name, value in first.items():
        assert value.item() == pytest.approx(second[name].item(), rel=1e-6), name


def test_each_gesture_gets_the_query_that_suits_it() -> None:
    model = system()
    segments = torch.tensor([[0.5, 0.2], [0.1, 0.1], [0.9, 0.1], [0.52, 0.2]])
    logits = torch.zeros(4, 4)
    logits[3, 1] = 3  # of the two in the middle, this one says what it is
    gestures, classes = torch.tensor([[0.85, 0.95], [0.4, 0.6]]), torch.tensor([0, 1])
    query, gesture = model.match(logits, segments, gestures, classes)
    assert list(zip(query.tolist(), gesture.tolist(), strict=True)) == [(2, 0), (3, 1)]


def test_more_gestures_than_queries() -> None:
    model = system(queries=2)
    batch = windows(torch.randn(1, 6, 32), [[(i / 10, i / 10 + 0.05, i % 3) for i in range(8)]])
    terms = model.losses(model(batch), batch)
    assert all(torch.isfinite(value) for value in terms.values())


def test_all_earlier_layers_learn() -> None:
    """Released code counts the earlier layers along the batch."""
    batch = some(1)
    for compat, earlier in ((None, 2), ("official", 1)):
        model = system(compat=compat)
        terms = model.losses(model(batch), batch)
        assert sum(name.startswith("class_") for name in terms) == earlier
        sum(terms.values()).backward()
        reached = [layer.name[3].weight.grad is not None for layer in model.layers]
        assert reached == [True, earlier == 2, True]


def test_windows_without_gestures_teach_background() -> None:
    model = system(layers=1)
    batch = windows(torch.randn(2, 6, 32), [[], []])
    learn(model, [batch] * 30, 3e-3)
    out = model(batch)
    assert out.logits.softmax(-1)[..., -1].min() > 0.95
    assert all(one.score.max() < 0.05 for one in model.detections(out, batch))


def test_released_code_learns_no_background_from_them() -> None:
    model = system(compat="official")
    batch = windows(torch.randn(2, 6, 32), [[], []])
    terms = model.losses(model(batch), batch)
    assert terms["class"].item() == 0
    terms["class"].backward()
    assert not model.vectors.grad.any()


def test_points_in_one_place_get_no_gradient() -> None:
    batch = some()
    moved = {}
    for init in ("half", "spread"):
        model = system(layers=1, point_init=init)
        sum(model.losses(model(batch), batch).values()).backward()
        moved[init] = float(model.layers[0].move[-1].weight.grad.abs().max())
    assert moved["half"] == 0
    assert moved["spread"] > 0


def test_where_points_begin() -> None:
    assert (system(point_init="half").points == 0.5).all()
    spread = points_to_segments(system(point_init="spread", queries=24, points=21).points)
    middle, length = centre_length(spread).unbind(-1)
    assert_allclose(middle.detach(), (np.arange(24) + 0.5) / 24, atol=0.3 / 24)
    assert (length > 1.5 / 24).all()
    assert (length < 2.6 / 24).all()


def test_offsets_begin_alike_for_all_queries_unless_released() -> None:
    for compat in (None, "official"):
        looks = system(compat=compat).layers[0].look.looks
        assert looks.bias.tolist() == [1, 2, 3, 4, 1, 2, 3, 4] + [0] * 8
        assert bool(looks.weight.any()) == (compat == "official")


def test_classes_begin_rare_at_each_step_unless_released() -> None:
    batch = windows(torch.zeros(1, 6, 32), [[]])
    for compat, start in ((None, 0.01), ("official", 0.5)):
        dense = system(compat=compat).eval()(batch).dense.sigmoid()
        assert dense.mean().item() == pytest.approx(start, rel=0.3)


def test_gestures_are_learnt_as_far_as_the_window_shows_them() -> None:
    model, x = system().eval(), torch.randn(1, 6, 32)
    cut = windows(x, [[(-0.1, 0.2, 0), (0.7, 1.3, 1), (0.85, 0.95, 2)]], valid=[0.8])
    shown = windows(x, [[(0.0, 0.2, 0), (0.7, 0.8, 1)]], valid=[0.8])
    for (name, a), b in zip(
        model.losses(model(cut), cut).items(), model.losses(model(shown), shown).values(), strict=True
    ):
        assert a.item() == pytest.approx(b.item(), rel=1e-6), name


def test_steps_that_a_gesture_touches() -> None:
    gestures, classes = torch.tensor([[0.24, 0.5], [0.9, 0.91], [0.3, 0.4]]), torch.tensor([0, 1, 0])
    target = query_points.going_on([(gestures, classes)], torch.empty(1, 8, 3))
    assert target[0].T.tolist() == [[0, 1, 1, 1, 0, 0, 0, 0], [0] * 7 + [1], [0] * 8]


def test_detections() -> None:
    """Of the best class of each query, within the recording; a segment of no length is none."""
    model = system(2)
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]).expand(2, -1, -1)
    segments = torch.tensor([[0.5, 0.2], [0.05, 0.3], [0.95, 0.2], [0.4, 0.0]]).expand(2, -1, -1)
    batch = windows(torch.zeros(2, 6, 8), [[], []], valid=[1.0, 0.55])
    whole, part = model.detections(Output(logits, segments, torch.zeros(2, 8, 2), []), batch)
    assert_allclose(np.stack((whole.start, whole.end), 1), [[0.4, 0.6], [0.0, 0.2], [0.85, 1.0]], atol=1e-6)
    assert whole.label[:2].tolist() == [1, 0]
    assert_allclose(whole.score, logits[0, :3].softmax(-1)[:, :2].amax(-1), rtol=1e-6)
    assert_allclose(np.stack((part.start, part.end), 1), [[0.4, 0.55], [0.0, 0.2]], atol=1e-6)


def test_nothing_is_found_behind_the_recording() -> None:
    batch = some()
    batch.valid = torch.tensor([0.3, 0.6])
    model = system().eval()
    for found, valid in zip(model.detections(model(batch), batch), (0.3, 0.6), strict=True):
        assert len(found)
        assert (found.end <= valid + 1e-6).all()
        assert (found.end > found.start).all()


def test_what_lies_behind_the_recording_is_not_read() -> None:
    batch, other = some(), some()
    batch.valid = other.valid = torch.tensor([0.5, 1.0])
    other.series[0, :, 16:] = 7
    model = system().eval()
    assert torch.equal(model(batch).logits, model(other).logits)


@pytest.mark.parametrize("steps", [1, 2, 31])
@pytest.mark.parametrize("options", [{}, {"points": 3}, {"points": 4, "layers": 1}, {"queries": 1}])
def test_windows_of_any_length(steps: int, options: dict[str, Any]) -> None:
    model, batch = system(**options), some(2, steps)
    out = model(batch)
    queries, layers = options.get("queries", 8), options.get("layers", 3)
    assert out.logits.shape == (2, queries, 4)
    assert out.segments.shape == (2, queries, 2)
    assert out.dense.shape == (2, steps, 3)
    assert len(out.earlier) == layers - 1
    sum(model.losses(out, batch).values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_every_parameter_learns() -> None:
    model, batch = system(), some()
    sum(model.losses(model(batch), batch).values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_features_are_standardised() -> None:
    model = system()
    draw = torch.Generator().manual_seed(0)
    scale, shift = torch.tensor([1e-3, 1, 10, 5, 2, 0]), torch.tensor([0.0, 3, -40, 2, 1, 7])
    x = torch.randn(3, 6, 64, generator=draw) * scale[:, None] + shift[:, None]
    recordings = [windows(one[None], [[]], valid=[valid]) for one, valid in zip(x, (1.0, 0.5, 1.0), strict=True)]
    model.observe(iter(recordings))
    seen = torch.cat([x[0], x[1, :, :32], x[2]], 1)
    assert_allclose(model.encoder.mean, seen.mean(1), rtol=1e-4, atol=1e-6)
    assert_allclose(model.encoder.deviation, seen.std(1, correction=0), rtol=1e-4, atol=1e-4)
    features = model.encoder(recordings[0])
    assert torch.isfinite(features).all()
    scaled = system()
    scaled.observe(windows(one.series * 100, [[]], valid=[float(one.valid)]) for one in recordings)
    torch.testing.assert_close(scaled.encoder(windows(x[:1] * 100, [[]])), features, atol=1e-2, rtol=1e-3)
    with pytest.raises(UsageError, match="no recording to take the mean"):
        model.observe(iter(()))


def test_pictures() -> None:
    """A small whole: I3D, decoder, losses; the picture's middle grey is zero."""
    torch.manual_seed(0)
    model = system(encoder="i3d", features=0)
    rgb = torch.randint(0, 256, (1, 8, 32, 32, 3), dtype=torch.uint8)
    batch = windows(None, [[(0.2, 0.6, 1)]], rgb=rgb)
    out = model(batch)
    assert out.dense.shape == (1, 2, 3)
    sum(model.losses(out, batch).values()).backward()
    assert model.encoder.backbone.conv1.conv.weight.grad.any()
    model.observe(iter((batch,)))
    seen: list[Tensor] = []
    model.encoder.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(batch)
    torch.testing.assert_close(seen[0], rgb.permute(0, 4, 1, 2, 3) / 127.5 - 1)


def test_crops_of_pictures() -> None:
    """In the middle when it is measured; in training somewhere, one place and side for the whole window."""
    encoder = PictureFeatures(8, nn.Identity(), crop=4, flip=0.5)
    at = torch.arange(6 * 9).view(6, 9)  # the number of the pixel
    rgb = at.view(1, 1, 6, 9, 1).expand(40, 3, 6, 9, 3)
    assert torch.equal(encoder.eval().shown(rgb)[7, 2, ..., 1], at[1:5, 2:6])
    shown = encoder.train().shown(rgb)
    assert torch.equal(shown, shown[:, :1, :, :, :1].expand_as(shown))
    corner, step = shown[:, 0, 0, 0, 0], shown[:, 0, 0, 1, 0] - shown[:, 0, 0, 0, 0]
    assert set(step.tolist()) == {1, -1}
    assert len(corner.unique()) > 10
    plain = PictureFeatures(8, nn.Identity()).train()
    assert torch.equal(plain.shown(rgb), rgb)
    with pytest.raises(UsageError, match=r"crop is 7; the windows' pictures have 9 x 6 pixels"):
        PictureFeatures(8, nn.Identity(), crop=7).shown(rgb)


def official_i3d(network: I3D) -> dict[str, Tensor]:
    """What the official code would save."""
    state: dict[str, Tensor] = {}
    for key, tensor in network.state_dict().items():
        names = i3d.official_keys(key)
        sizes = network.mixed[key.split(".")[1]].split if len(names) > 1 else (len(tensor),) if tensor.ndim else ()
        parts = tensor.split(sizes) if sizes and tensor.ndim else [tensor] * len(names)
        state.update({name: part.clone() for name, part in zip(names, parts, strict=True)})
    return state


def test_i3d_may_start_from_kinetics(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = I3D()
    state = official_i3d(network)
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old | {"logits.conv3d.weight": torch.zeros(400, 1024, 1, 1, 1)}, tmp_path / "rgb_imagenet.pt")
    model = system(features=0, kinetics=str(tmp_path / "rgb_imagenet.pt"))
    assert model.origin == {"i3d": "rgb_imagenet.pt"}
    assert isinstance(model.encoder, PictureFeatures)
    for ours, theirs in zip(model.encoder.backbone.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    torch.save({"Mixed_9z.conv.weight": torch.zeros(1)} | old, tmp_path / "other.pt")
    with pytest.raises(FormatError, match=r"other\.pt: 1 tensors have no place in this system: Mixed_9z"):
        system(features=0, kinetics=str(tmp_path / "other.pt"))
    with pytest.raises(UsageError, match="kinetics is for encoder 'i3d'"):
        system(kinetics="rgb_imagenet.pt")


def test_i3d_may_learn_more_slowly() -> None:
    model = system(features=0, encoder_rate=0.05)
    found = {id(p): (g["rate"], g["decay"]) for g in model.parameter_groups() for p in g["params"]}
    named = {name: found[id(p)] for name, p in model.named_parameters()}
    assert len(found) == len(named)
    slow = {name for name, (rate, _) in named.items() if rate == 0.05}
    assert slow == {name for name in named if name.startswith("encoder.backbone.")}
    assert {rate for name, (rate, _) in named.items() if name not in slow} == {1}
    assert named["encoder.backbone.conv1.conv.weight"] == (0.05, 1)
    assert named["encoder.project_4f.weight"] == (1, 1)
    for still in ("vectors", "points", "dense.0.bias", "layers.0.interact.mambas.0.ahead.A_log"):
        assert named[still] == (1, 0), still
    # a run that does not slow I3D down has the groups of a system that says nothing
    assert [(g["rate"], g["decay"]) for g in system().parameter_groups()] == [(1, 1), (1, 0)]


def test_the_encoder_follows_the_data() -> None:
    assert isinstance(system().encoder, query_points.SeriesFeatures)
    assert isinstance(system(features=0).encoder, PictureFeatures)
    assert isinstance(system(encoder="i3d").encoder, PictureFeatures)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "series", "features": 0}, "encoder 'series' reads features of the windows, and there are none"),
        ({"encoder": "c3d"}, "encoder is 'c3d'; it can be 'series', 'i3d', None"),
        ({"mixer": "mamba"}, "mixer is 'mamba'; it can be 'mhsa', 'mamba_mhsa'"),
        ({"order": "last"}, "order is 'last'"),
        ({"point_init": "zero"}, "point_init is 'zero'"),
        ({"compat": "released"}, "compat is 'released'; it can be None, 'official'"),
        ({"points": 2}, "queries have 2 points; a segment needs at least 3"),
        ({"crop": -1}, "crop is -1 and flip 0.0; they must be 0 or more, and a probability"),
        ({"flip": 1.5}, "crop is 0 and flip 1.5"),
        ({"encoder_rate": 0}, "encoder_rate is 0; it must be above 0 and finite"),
        ({"encoder_rate": 0.05}, "encoder_rate is for encoder 'i3d'; encoder 'series' has no I3D to slow down"),
        ({"heads": 5}, "width is 32; it must be a multiple of the 5 heads"),
    ],
)
def test_what_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        system(**options)


def test_windows_that_are_refused() -> None:
    with pytest.raises(UsageError, match=r"there are none: set loading\.features"):
        system()(windows(None, [[]]))
    with pytest.raises(UsageError, match="reads 6 features per step, the windows have 5"):
        system()(windows(torch.zeros(1, 5, 8), [[]]))
    pictures = system(features=0)
    with pytest.raises(UsageError, match="encoder 'i3d' reads pictures"):
        pictures(windows(None, [[]]))
    with pytest.raises(FormatError, match="windows without a picture hold nothing"):
        pictures(windows(None, [[]], rgb=torch.zeros(1, 0, 32, 32, 3)))
    rgb = torch.zeros(2, 4, 32, 32, 3)
    rgb[1, 2, 3, 4] = torch.nan
    with pytest.raises(FormatError, match="window 1: pictures are not finite"):
        pictures(windows(None, [[], []], rgb=rgb))
    batch = some()
    batch.classes = None
    with pytest.raises(UsageError, match="carry no gestures to learn from"):
        system().losses(system()(batch), batch)


# learning


def learn(model: QueryPoints, batches: Sequence[WindowBatch], rate: float) -> None:
    """A step per batch; the rate falls to zero over the second half."""
    descent = torch.optim.AdamW(model.parameters(), lr=rate)
    for done, batch in enumerate(batches):
        descent.param_groups[0]["lr"] = rate * min(1, 2 - 2 * done / len(batches))
        descent.zero_grad()
        sum(model.losses(model(batch), batch).values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        descent.step()


@pytest.mark.parametrize("mixer", ["mhsa", "mamba_mhsa"])
def test_learns_a_window_by_heart(mixer: Any) -> None:
    truth = [(0.1, 0.22, 0), (0.4, 0.45, 2), (0.6, 0.9, 1)]
    batch = windows(torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(0)), [truth])
    model = system(mixer=mixer, queries=6, layers=2)
    learn(model, [batch] * 100, 4e-3)
    model.eval()
    (found,) = model.detections(model(batch), batch)
    best = found[np.argsort(-found.score)[:3]]
    best = best[np.argsort(best.start)]
    assert best.label.tolist() == [0, 2, 1]
    assert (best.score > 0.9).all()
    placed = torch.tensor(np.stack((best.start, best.end), 1))
    assert overlap(placed, torch.tensor([row[:2] for row in truth]), generalised=False).min() > 0.9
    others = np.sort(found.score)[:-3]
    assert (others < 0.5).all()


def test_what_windows_find_twice_counts_once_unless_released() -> None:
    found = Detections([0.0, 0.1, 0.1, 5.0], [2.0, 2.1, 2.1, 6.0], [1, 1, 2, 1], [0.6, 0.9, 0.5, 0.4])
    assert sorted(system().merged(found).score.tolist()) == [0.4, 0.5, 0.9]
    assert len(system(compat="official").merged(found)) == 4


def test_weights_and_statistics_are_saved() -> None:
    model, other, batch = system(seed=0).eval(), system(seed=1).eval(), some()
    model.observe(iter((some(1),)))
    assert not torch.equal(model(batch).logits, other(batch).logits)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(batch).logits, other(batch).logits)


def test_mixed_precision() -> None:
    model, batch = system(), some()
    with torch.autocast("cpu", torch.bfloat16):
        out = model(batch)
        terms = model.losses(out, batch)
    sum(terms.values()).backward()
    assert out.segments.dtype == torch.float32  # half precision would know 256 places in a window
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
