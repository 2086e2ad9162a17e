"""MANet against the official code (golden files manet_resnet_tsm_se, manet_optimizer_groups), and its contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.systems.golden import Golden, official_gradient
from tests.systems.test_tsm import APPLICABLE, SKELETON, SMALL, VideoCase, video
from torch import Tensor, nn

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.taxonomies import MA52, SMG
from microgesture.layers.embedding import words_of
from microgesture.layers.official import Keys, load_official
from microgesture.layers.shift import TemporalShift
from microgesture.learning.checkpoint import Facts, from_pretrained, save_pretrained
from microgesture.systems import tsm
from microgesture.systems.manet import ExciteShift, MANet, official_keys
from microgesture.testing.systems import CHECKS

Loaded = tuple[Golden, MANet, Keys]


@pytest.fixture
def loaded() -> Loaded:
    golden = Golden("manet_resnet_tsm_se")
    model = MANet(SKELETON, MA52, 8, 1, width=8, blocks=golden.meta["kwargs"]["stage_blocks"])
    keys = official_keys(model)
    load_official(model, golden.state, keys)
    model.embedding.vectors[golden.inputs["label"]] = golden.inputs["target_embedding"]
    return golden, model.eval(), keys


def test_features_heads_and_losses(loaded: Loaded) -> None:
    golden, model, _ = loaded
    golden.close(model.backbone(golden.inputs["imgs"]), "feat")
    out = model.classify(model.backbone.pooled(golden.inputs["imgs"]))
    golden.close(out.logits, "cls_score")
    golden.close(out.embedding, "emb_score")
    losses = model.losses(out, replace(video(2), label=golden.inputs["label"]))
    assert losses["class"].item() == pytest.approx(golden.outputs["ce_only"].item(), abs=1e-5)
    assert losses["embedding"].item() == pytest.approx(50 * golden.outputs["mse_only"].item(), abs=1e-4)
    assert sum(losses.values()).item() == pytest.approx(golden.outputs["loss_total"].item(), abs=1e-4)


def test_every_stage(loaded: Loaded) -> None:
    """Large outputs were stored for the first clip and four channels alone."""
    golden, model, _ = loaded
    seen: dict[str, Tensor] = {}

    def watch(module: nn.Module, name: str, after: Any = lambda y: y) -> None:
        module.register_forward_hook(lambda _, __, y: seen.update({name: after(y.detach().clone())}))

    watch(model.backbone.conv1, "stage/conv1", F.relu)
    watch(model.backbone.pool, "stage/maxpool")
    for i, stage in enumerate(model.backbone.stages):
        watch(stage[-1], f"stage/layer{i + 1}")  # type: ignore[index]
    block = model.backbone.stages[0][0]  # type: ignore[index]
    watch(block.before, "block0/after_se_and_shift")
    watch(block.conv1.conv, "block0/tsm_out")
    model.backbone(golden.inputs["imgs"])
    names = {name for name in golden.outputs if name.startswith(("stage/", "block0/"))}
    assert set(seen) == names - {"block0/tsm_in", "block0/se_scale"}
    for name, ours in seen.items():
        clips, channels = golden.outputs[name].shape[:2]
        golden.close(ours[:clips, :channels], name)
    golden.close(block.before.scale(golden.outputs["block0/tsm_in"]), "block0/se_scale")


def test_gradients(loaded: Loaded) -> None:
    golden, model, keys = loaded
    out = model.classify(model.backbone.pooled(golden.inputs["imgs"]))
    sum(model.losses(out, replace(video(2), label=golden.inputs["label"])).values()).backward()
    names = [name for name in golden.outputs if name.startswith("grad_norm_of_loss/")]
    assert len(names) == 5
    for name in names:
        ours = official_gradient(model, keys, golden.state, name.removeprefix("grad_norm_of_loss/")).norm().item()
        # ReLU kinks move these norms by up to 0.3 % between float32 and float64
        assert ours == pytest.approx(golden.outputs[name].item(), rel=0.01)


def test_every_official_tensor_is_used_once(loaded: Loaded) -> None:
    golden, model, keys = loaded
    used = [name for key, names in keys.items() for name in names if key]
    assert sorted(used) == sorted(golden.state)
    assert set(keys) - {""} == set(model.state_dict())


def test_unused_layers_of_released_files_are_passed_over(loaded: Loaded) -> None:
    golden, model, keys = loaded
    unused = keys[""]
    assert len(unused) == 3 * 6
    assert "backbone.layer1.1.conv1.conv.action_p2_squeeze.weight" in unused
    state = golden.state | {name: torch.zeros(1) for name in unused}
    load_official(model, state, keys)
    with pytest.raises(FormatError, match=r"1 tensors have no place in this system: backbone.extra"):
        load_official(model, state | {"backbone.extra": torch.zeros(1)}, keys)


def rates(compat: Any) -> dict[str, tuple[float, float]]:
    """Shares of rate and decay for each parameter, by its official name."""
    model = small(compat=compat, blocks=Golden("manet_resnet_tsm_se").meta["kwargs"]["stage_blocks"])
    keys = official_keys(model)
    found = {id(p): (g["rate"], g["decay"]) for g in model.parameter_groups() for p in g["params"]}
    return {keys[name][0]: found[id(p)] for name, p in model.named_parameters()}


def test_rates_of_the_official_training() -> None:
    golden = Golden("manet_optimizer_groups")
    ours = rates("official")
    assert set(ours) == set(golden.meta["names"])
    for i, name in enumerate(golden.meta["names"]):
        theirs = (golden.outputs["lr_mult"][i].item(), golden.outputs["wd_mult"][i].item())
        assert ours[name] == pytest.approx(theirs, abs=1e-9), name
    meant = rates(None)
    assert {name for name in ours if ours[name] != meant[name]} == {
        f"cls_head.{layer}.{leaf}" for layer in ("fc_cls", "fc_emb_t") for leaf in ("weight", "bias")
    }
    assert meant["cls_head.fc_cls.weight"] == pytest.approx((5, 1))
    assert meant["cls_head.fc_cls.bias"] == pytest.approx((10, 0))
    with pytest.raises(UsageError, match="compat is 'released'; it can be None, 'official'"):
        small(compat="released")


def test_parameters_as_published() -> None:
    with torch.device("meta"):
        model = MANet(SKELETON, MA52, 8, 1)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert sum(counts.values()) == 32_284_252
    assert counts["classifier"] == 106_548
    assert counts["embedding"] == 705_000
    assert counts["backbone"] == 23_508_032 + 7_964_672
    excite = [m for m in model.modules() if isinstance(m, ExciteShift)]
    assert len(excite) == 16
    assert sum(p.numel() for m in excite for p in m.parameters()) == 7_964_672


def test_untrained_weights_of_nothing_halve_every_channel() -> None:
    part = ExciteShift(16)
    nn.init.zeros_(part.excite.weight)
    x = torch.randn(8, 16, 3, 3)
    assert (part.scale(x) == 0.5).all()
    assert torch.equal(part(x, 4), TemporalShift()(x * 0.5, 4))


def test_without_excitation_it_is_tsm() -> None:
    """Factors of one half, and a first convolution of twice the weight: what is left is TSM, number by number."""
    model, clips = small(), video()
    plain = tsm.TSM(SKELETON, SMG, 4, 1, **SMALL)
    nn.init.normal_(model.classifier.weight)
    missing = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing.missing_keys
    with torch.no_grad():
        for stage in model.backbone.stages:
            for block in stage:  # type: ignore[union-attr]
                block.before.excite.weight.zero_()
                block.conv1.conv.weight *= 2
        torch.testing.assert_close(model.eval()(clips).logits, plain.eval()(clips))


def small(**more: Any) -> MANet:
    torch.manual_seed(0)
    return MANet(SKELETON, SMG, 4, 1, **{**SMALL, "hidden": 16, **more})


@pytest.mark.parametrize("check", APPLICABLE)
def test_contract(check: str) -> None:
    # 16: of two squeezed channels both may be dead, and no gradient would reach what is in front of them
    CHECKS[check](VideoCase(MANet, SKELETON, SMG, (4, 6), (1, 2), {**SMALL, "width": 16, "hidden": 16}))


def test_the_embedding_changes_no_logit() -> None:
    model, clips = small().eval(), video()
    before = model(clips)
    with torch.no_grad():
        for parameter in model.embedding.parameters():
            parameter.zero_()
    after = model(clips)
    assert torch.equal(before.logits, after.logits)
    assert not after.embedding.any()


def test_the_weight_of_the_embedding() -> None:
    model, clips = small(embedding_weight=0), video()
    sum(model.losses(model(clips), clips).values()).backward()
    assert all(not p.grad.any() for p in model.embedding.parameters() if p.grad is not None)
    out = model(clips)
    perfect = out._replace(embedding=model.embedding.vectors[clips.label])
    assert small().losses(perfect, clips)["embedding"] == 0


def test_the_embedding_loss_starts_where_it_is_published_to() -> None:
    """50 times the mean square of the vectors, 3.9, since the head gives next to nothing."""
    model = MANet(SKELETON, MA52, 8, 1, **SMALL)
    clips = replace(video(52), label=torch.arange(52))
    assert model.losses(model.eval()(clips), clips)["embedding"].item() == pytest.approx(3.93, abs=0.02)


def test_learns_by_heart() -> None:
    model, clips = small().train(), video(6)
    descent = torch.optim.Adam(model.parameters(), lr=0.01)
    near = []
    for _ in range(40):
        descent.zero_grad()
        losses = model.losses(model(clips), clips)
        near.append(losses["embedding"].item())
        sum(losses.values()).backward()
        descent.step()
    assert torch.equal(model(clips).logits.argmax(1), clips.label)
    assert near[-1] < near[0] / 2


def test_vectors_of_a_file(tmp_path: Path) -> None:
    words = sorted({word for name in SMG.names for word in words_of(name)})
    path = tmp_path / "glove.txt"
    path.write_text("".join(f"{word} {i} {-i} 0.5\n" for i, word in enumerate(words)))
    model = small(vectors=str(path))
    assert model.origin == {"weights": "from scratch", "vectors": "glove.txt"}
    assert small().origin == {"weights": "from scratch", "vectors": "class names and body groups"}
    mean = sum(map(words.index, words_of(SMG[4].name))) / len(words_of(SMG[4].name))
    torch.testing.assert_close(model.embedding.vectors[4], torch.tensor([mean, -mean, 0.5]))
    assert model(video()).embedding.shape == (3, 3)
    with pytest.raises(NoInput, match=r"none\.txt: does not exist"):
        small(vectors=str(tmp_path / "none.txt"))
    facts = Facts(SKELETON, (SMG,), 8, 1, 3, 25.0)
    saved = save_pretrained(tmp_path / "model", model, facts, {**SMALL, "hidden": 16, "vectors": str(path)})
    keys = official_keys(model)
    assert keys["embedding.vectors"] == ()
    assert set(keys) - {""} == set(model.state_dict())
    path.write_text("hands 1 2 3\n")
    again = from_pretrained(saved).system  # the file is of no use any more, and is not asked
    assert torch.equal(again.embedding.vectors, model.embedding.vectors)
    with pytest.raises(FormatError, match=r"glove\.txt: has no vector for \d+ of \d+ words"):
        small(vectors=str(path))


def test_weights_to_start_from(tmp_path: Path) -> None:
    from tests.layers.test_resnet import torchvision

    path = tmp_path / "resnet.pth"
    state = torchvision(8, (1, 1, 1))
    torch.save(state, path)
    model, fresh = small(weights=str(path)), small()
    assert model.origin["weights"] == "resnet.pth"
    assert torch.equal(model.backbone.conv1.conv.weight, state["conv1.weight"])
    before = "backbone.stages.1.0.before.squeeze.weight"  # made anew, as in the official code
    assert torch.equal(model.state_dict()[before], fresh.state_dict()[before])
