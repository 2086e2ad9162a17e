"""JSSE against the official head (golden file miga23_embedding_head) and, below it, PYSKL's network."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.systems.golden import Golden, numbered
from torch import nn

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import RELEASED_BONES, SKELETONS
from microgesture.core.taxonomies import IMIGUE, MA52
from microgesture.layers.batch import PoseBatch
from microgesture.layers.embedding import words_of
from microgesture.layers.official import load_official
from microgesture.learning.checkpoint import Facts, from_pretrained, save_pretrained
from microgesture.systems.jsse import JSSE, Output, ensemble, official_keys, released_flip, short_names
from microgesture.testing.systems import CHECKS, Case

SKELETON = SKELETONS["imigue22"]
FACTS = Facts(SKELETON, (IMIGUE,), 8, 1, 3, 25.0)
SMALL: dict[str, Any] = {"width": 4, "blocks": (1, 1, 1), "size": 12, "train_size": 12, "area": 1, "dropout": 0}


def small(**more: Any) -> JSSE:
    torch.manual_seed(0)
    return JSSE(SKELETON, IMIGUE, 8, 1, **{**SMALL, **more})


def clips(count: int = 3, persons: int = 1, seed: int = 1) -> PoseBatch:
    make = torch.Generator().manual_seed(seed)
    shape = (count, persons, 5, len(SKELETON))
    score = torch.rand(shape, generator=make) * 0.5 + 0.5
    return PoseBatch(torch.randn(*shape, 2, generator=make), score, torch.arange(count))


# ---- against the official code


@pytest.fixture
def golden() -> Golden:
    return Golden("miga23_embedding_head")


def head(golden: Golden) -> JSSE:
    """A network that ends in as many channels as the official head was measured with."""
    model = small(width=4)
    model.embedding.vectors.copy_(golden.inputs["class_embeddings"])
    keys = {k: v for k, v in official_keys(model).items() if not v[0].startswith("backbone.")}
    own = nn.ModuleDict({"net": nn.ModuleDict({"classifier": model.net.classifier}), "embedding": model.embedding})
    load_official(own, {f"cls_head.{k}": v for k, v in golden.state.items()}, keys)
    return model.eval()


def test_heads_and_losses(golden: Golden) -> None:
    model = head(golden)
    features = golden.inputs["feat"].mean((2, 3, 4))
    out = model.classify(features)
    golden.close(out.logits, "cls_score")
    golden.close(out.embedding, "emb_score")
    batch = replace(clips(6), label=golden.inputs["label"])
    losses = model.losses(out, batch)
    assert losses["class"].item() == pytest.approx(golden.outputs["ce_only"].item(), abs=1e-5)
    assert losses["embedding"].item() == pytest.approx(20 * golden.outputs["mse_only"].item(), abs=1e-5)
    total = golden.outputs["loss_cls_total_eval_scores"].item()
    assert sum(losses.values()).item() == pytest.approx(total, abs=2e-5)


def test_gradients_of_the_heads(golden: Golden) -> None:
    model = head(golden)
    features = golden.inputs["feat"].clone().requires_grad_()
    out = model.classify(features.mean((2, 3, 4)))
    sum(model.losses(out, replace(clips(6), label=golden.inputs["label"])).values()).backward()
    for name, layer in (("fc_cls", model.net.classifier), ("emb_fc", model.embedding.layers[0])):
        for leaf in ("weight", "bias"):
            expected = golden.outputs[f"grad_norm_of_loss/{name}.{leaf}"].item()
            assert layer.get_parameter(leaf).grad.norm().item() == pytest.approx(expected, rel=0.01)
    expected = golden.outputs["grad_of_loss/feat_spatial_sum"]
    torch.testing.assert_close(features.grad.sum((2, 3, 4)), expected, atol=1e-5, rtol=1e-4)


def test_a_perfect_embedding_leaves_the_cross_entropy(golden: Golden) -> None:
    model = head(golden)
    label = golden.inputs["label"]
    out = model.classify(golden.inputs["feat"].mean((2, 3, 4)))
    losses = model.losses(Output(out.logits, model.embedding.vectors[label]), replace(clips(6), label=label))
    assert losses["embedding"].item() == 0
    expected = golden.outputs["loss_with_perfect_embedding"].item()
    assert sum(losses.values()).item() == pytest.approx(expected, abs=1e-5)


def test_the_embedding_reads_features_without_dropout(golden: Golden) -> None:
    model = head(golden)
    model.net.dropout.p = 0.5
    out = model.train().classify(golden.inputs["feat"].mean((2, 3, 4)))
    golden.close(out.embedding, "train_emb_score_equals_eval")
    assert not torch.allclose(out.logits, golden.outputs["cls_score"])


def test_network_and_heads_of_one_checkpoint() -> None:
    """The network's part of the keys is PoseC3D's, measured in test_posec3d.py."""
    network = Golden("posec3d_slowonly_mm2strides")
    made = network.meta["backbone_kwargs"]
    options = {"blocks": made["stage_blocks"], "temporal_strides": made["temporal_strides"]}
    classes = network.meta["head_kwargs"]["num_classes"]
    model = JSSE(SKELETON, numbered(classes), 8, 1, width=made["base_channels"], **options).eval()
    width = model.net.backbone.width
    state = network.state | {"cls_head.emb_fc.weight": torch.randn(300, width), "cls_head.emb_fc.bias": torch.ones(300)}
    keys = official_keys(model)
    load_official(model, state, keys)
    assert sorted(name for names in keys.values() for name in names) == sorted(state)
    assert set(keys) == set(model.state_dict())
    features = model.net.features(network.inputs["x"])
    out = model.classify(features)
    network.close(out.logits, "logits")
    expected = features @ state["cls_head.emb_fc.weight"].T + 1
    torch.testing.assert_close(out.embedding, expected, atol=1e-4, rtol=1e-5)


def test_sizes_as_measured() -> None:
    model = JSSE(SKELETON, IMIGUE, 48, 1)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_modules()}
    assert count["net.backbone"] == 2_001_920
    assert count["net.classifier"] == 16_416
    assert count["embedding"] == 153_900
    assert count[""] == 2_172_236
    assert count["net"] == 2_018_336
    assert (model.embedding_weight, model.embedding.vectors.shape) == (20, (32, 300))


# ---- names and losses


def test_losses_at_the_start() -> None:
    """Both heads start near zero: ln 32, and 20 times the mean square of the vectors."""
    model, batch = small().eval(), replace(clips(32), label=torch.arange(32))
    out = model(batch)
    assert (out.logits.shape, out.embedding.shape) == ((32, 32), (32, 300))
    losses = model.losses(out, batch)
    assert losses["class"].item() == pytest.approx(math.log(32), abs=0.01)
    assert losses["embedding"].item() == pytest.approx(20 * 0.0785, abs=0.02)


def test_without_weight_nothing_teaches_the_embedding() -> None:
    model, batch = small(embedding_weight=0.0), clips()
    sum(model.losses(model(batch), batch).values()).backward()
    assert all(not p.grad.any() for p in model.embedding.parameters())
    assert model.net.classifier.weight.grad.any()


def test_names_that_are_looked_up() -> None:
    names = short_names(IMIGUE)
    assert (names[3], names[7], names[28], names[31]) == (
        "touch face",
        "touch other face part",
        "bit lip",
        "illustrative",
    )
    assert len({word for name in names for word in words_of(name)}) == 48
    assert short_names(MA52) == list(MA52.names)


def test_vectors_from_a_file(tmp_path: Path, golden: Golden) -> None:
    words = sorted({word for name in short_names(IMIGUE) for word in words_of(name)})
    table = np.random.default_rng(0).standard_normal((48, 7)).astype(np.float32)
    file = tmp_path / "words.txt"
    file.write_text("".join(f"{w} {' '.join(map(str, row))}\n" for w, row in zip(words, table.tolist(), strict=True)))
    model = small(vectors=str(file))
    assert model.origin == {"vectors": "words.txt"}
    rows = [words.index(word) for word in ("touch", "other", "face", "part")]
    torch.testing.assert_close(model.embedding.vectors[7], torch.from_numpy(table[rows].mean(0)))
    assert model(clips()).embedding.shape == (3, 7)
    saved = save_pretrained(tmp_path / "model", model, FACTS, {**SMALL, "vectors": str(file)})
    file.write_text("touch 1 2\n")
    again = from_pretrained(saved).system  # the file is of no use any more, and is not asked
    assert torch.equal(again.embedding.vectors, model.embedding.vectors)
    torch.testing.assert_close(again(clips()), model.eval()(clips()))
    with pytest.raises(FormatError, match=r"words.txt: has no vector for 47 of 48 words: adjust, akimbo, arm"):
        small(vectors=str(file))


def test_vectors_as_numbers() -> None:
    table = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
    model = small(vectors=table)
    assert model.origin == {"vectors": "given"}
    assert torch.equal(model.state_dict()["embedding.vectors"], table)
    assert "embedding.vectors" not in small().state_dict(), "what names alone make is made again"
    with pytest.raises(UsageError, match=r"vectors are of shape \(31, 5\); 'imigue' needs \(32, numbers of each\)"):
        small(vectors=table[:31])


def test_released_weights_beside_vectors_of_ones_own() -> None:
    table = torch.randn(32, 300)
    model, other = small(vectors=table), small()
    named = official_keys(other)
    state = {named[key][0]: value for key, value in other.state_dict().items()}
    load_official(model, state, official_keys(model))
    assert torch.equal(model.embedding.vectors, table)
    assert torch.equal(model.net.classifier.weight, other.net.classifier.weight)


def test_nearest_name_tells_a_toy_set_apart() -> None:
    """Four classes, each with joints of its own in one place: after some steps the nearest name is mostly right."""
    model = small(mirrored=False)
    make = torch.Generator().manual_seed(0)
    label = torch.arange(4).repeat_interleave(8)
    xy = torch.randn(len(SKELETON), 2, generator=make).expand(32, 1, 3, -1, -1).clone()
    for k in range(4):
        xy[label == k, :, :, 4 * k + 2 : 4 * k + 6, 0] += 2
    batch = PoseBatch(xy + 0.1 * torch.randn(xy.shape, generator=make), torch.ones(xy.shape[:-1]), label)
    descent = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        descent.zero_grad()
        sum(model.losses(model(batch), batch).values()).backward()
        descent.step()
    out = model(batch)
    assert model.nearness(out.embedding).shape == (32, 32)
    assert (model.nearness(out.embedding).argmax(1) == label).float().mean() > 0.75  # chance: one in 32
    cosine = F.normalize(out.embedding, dim=1) @ F.normalize(model.embedding.vectors, dim=1).T
    assert (cosine.argmax(1) == label).float().mean() > 0.75


def test_nearness_is_minus_the_distance() -> None:
    model = small()
    near = model.nearness(model.embedding.vectors[[5, 9]])
    assert near.argmax(1).tolist() == [5, 9]
    apart = (model.embedding.vectors[5] - model.embedding.vectors[9]).norm()
    torch.testing.assert_close(near[0, 9], -apart)


def test_ensemble_votes_four_to_six() -> None:
    joint, limb = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]]), torch.tensor([[0.3, 0.5, 0.2], [0.0, 1.0, 0.0]])
    vote = ensemble(joint.log(), limb.log())
    torch.testing.assert_close(vote.exp(), torch.tensor([[0.46, 0.38, 0.16], [0.4, 0.6, 0.0]]))
    assert vote.argmax(1).tolist() == [0, 1]


# ---- both sides of the body, and persons


@pytest.mark.parametrize("stream", ["joint", "limb"])
def test_a_mirrored_clip_gets_the_same_answer(stream: str) -> None:
    model, batch = small(stream=stream, size=24).eval(), clips()
    nn.init.normal_(model.net.classifier.weight)
    other = model.mirror_image(batch)
    torch.testing.assert_close(model(other).logits, model(batch).logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(model(other).embedding, model(batch).embedding, atol=1e-4, rtol=0)
    once = small(stream=stream, size=24, mirrored=False).eval()
    once.load_state_dict(model.state_dict())
    assert (once(other).logits - once(batch).logits).abs().max() > 1e-3
    mean = (once(other).logits.softmax(1) + once(batch).logits.softmax(1)) / 2
    torch.testing.assert_close(model(batch).logits.exp(), mean)


def test_mirror_image_is_its_own_inverse() -> None:
    for compat in (None, "official"):
        model, batch = small(compat=compat), clips()
        twice = model.mirror_image(model.mirror_image(batch))
        assert torch.equal(twice.xy, batch.xy)
        assert torch.equal(twice.score, batch.score)


def test_released_pairs_and_limbs() -> None:
    """COCO's pairs on another layout: the neck changes places with a shoulder."""
    model, batch = small(compat="official", stream="limb"), clips()
    assert model.flip == released_flip(SKELETON)
    assert (model.flip[0], model.flip[1], model.flip[2], model.flip[19], model.flip[21]) == (0, 2, 1, 20, 21)
    assert small().flip == SKELETON.flip
    assert model.net.backbone.conv1.conv.in_channels == 22
    assert small(stream="limb").net.backbone.conv1.conv.in_channels == 21
    assert model.net.volume.limbs == RELEASED_BONES["imigue22"]
    one, other = model.eval().views(batch)
    assert torch.equal(other[:, 1], one[:, 2].flip(-1))
    assert torch.equal(other[:, 21], one[:, 21].flip(-1))


def test_released_pairs_are_no_mirror() -> None:
    released, correct, batch = small(compat="official").eval(), small().eval(), clips()
    nn.init.normal_(released.net.classifier.weight)
    mirrored = correct.mirror_image(batch)
    assert (released(mirrored).logits - released(batch).logits).abs().max() > 1e-3


def test_half_of_the_training_clips_are_mirrored_as_released() -> None:
    model, batch = small(compat="official").train(), clips(40)
    torch.manual_seed(0)
    (volume,) = model.views(batch)
    plain, turned = model.net.volume(batch), model.net.volume(model.mirror_image(batch))
    straight = [torch.equal(v, p) for v, p in zip(volume, plain, strict=True)]
    assert 10 < sum(straight) < 30
    assert all(s or torch.equal(v, t) for s, v, t in zip(straight, volume, turned, strict=True))
    assert torch.equal(small().train().views(batch)[0], plain)


def test_nothing_was_released_for_other_layouts() -> None:
    with pytest.raises(UsageError, match="compat='official' knows the limbs of imigue22, the data have 'coco17'"):
        JSSE(SKELETONS["coco17"], IMIGUE, 8, 1, compat="official", **SMALL)


def test_the_order_of_persons_does_not_matter() -> None:
    model, batch = small().eval(), clips(persons=3)
    order = [2, 0, 1]
    out = model(replace(batch, xy=batch.xy[:, order], score=batch.score[:, order]))
    torch.testing.assert_close(out.logits, model(batch).logits)


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check: str) -> None:
    CHECKS[check](Case(JSSE, SKELETON, MA52, (16, 21), (1, 2), SMALL))


@pytest.mark.parametrize("options", [{}, {"stream": "limb"}, {"compat": "official", "stream": "limb"}])
def test_learns_by_heart(options: dict[str, Any]) -> None:
    CHECKS["learns_by_heart"](Case(JSSE, SKELETON, MA52, (16, 21), (1, 2), SMALL | options))


@pytest.mark.parametrize(("layout", "classes"), [("coco17", 5), ("ma52_28", 52), ("kinect25", 17)])
def test_other_layouts_widths_and_classes(layout: str, classes: int) -> None:
    skeleton = SKELETONS[layout]
    model = JSSE(skeleton, numbered(classes), 4, 2, width=6, blocks=(2, 1, 1), size=16).eval()
    shape = (2, 2, 7, len(skeleton))
    out = model(PoseBatch(torch.randn(*shape, 2), torch.ones(shape)))
    assert (out.logits.shape, out.embedding.shape) == ((2, classes), (2, 300))
