"""The graph recognisers against PYSKL, number by number. Golden files stgcn, stgcnpp, ctrgcn, agcn, aagcn, msg3d."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from tests.systems.golden import Golden, numbered, official_gradient
from torch import nn

from microgesture.core.errors import FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.layers.official import Keys, load_official
from microgesture.systems import aagcn, agcn, ctrgcn, msg3d, stgcn, stgcnpp

SYSTEMS: dict[str, tuple[Callable[..., nn.Module], Callable[..., Keys]]] = {
    "stgcn": (stgcn.STGCN, stgcn.official_keys),
    "stgcnpp": (stgcnpp.STGCNpp, stgcnpp.official_keys),
    "ctrgcn": (ctrgcn.CTRGCN, ctrgcn.official_keys),
    "agcn": (agcn.AGCN, agcn.official_keys),
    "aagcn": (aagcn.AAGCN, aagcn.official_keys),
    "msg3d": (partial(msg3d.MSG3D, g3d_scales=4), msg3d.official_keys),
}


@pytest.fixture(params=SYSTEMS)
def loaded(request: pytest.FixtureRequest) -> tuple[Golden, nn.Module, Keys]:
    """The golden file, our system with its weights in eval mode, and the keys."""
    golden = Golden(request.param)
    build, official_keys = SYSTEMS[request.param]
    width = golden.meta["backbone_kwargs"]["base_channels"]
    model = build(SKELETONS["coco17"], numbered(5), 15, 2, width=width)
    keys = official_keys(model)
    load_official(model, golden.state, keys)
    return golden, model.eval(), keys


def test_features_and_logits(loaded: tuple[Golden, nn.Module, Keys]) -> None:
    golden, model, _ = loaded
    golden.close(model.trunk(golden.inputs["x"]), "feat")
    logits = model(golden.batch())
    golden.close(logits, "logits")
    assert abs(model.losses(logits, golden.batch())["class"].item() - golden.outputs["loss_ce"].item()) <= 1e-5


def test_every_block(loaded: tuple[Golden, nn.Module, Keys]) -> None:
    golden, model, _ = loaded
    names = [name for name in golden.outputs if name.startswith("block/")]
    assert len(names) in (9, 10)
    seen: dict[str, torch.Tensor] = {}
    for name in names:
        for part in parts(model, name.removeprefix("block/")):
            # the official module adds up what several of ours give
            part.register_forward_hook(lambda _, __, y, name=name: seen.update({name: seen.get(name, 0) + y[:1]}))
    model(golden.batch())
    for name in names:
        golden.close(seen[name], name)


def parts(model: nn.Module, official: str) -> list[nn.Module]:
    """What we call the official module `gcn.4` (a block), `sgcn2`, `gcn3d2` or `tcn2` (in stage 2)."""
    number = int(official[-1])
    match official.rstrip("0123456789"):
        case "gcn." | "net.":
            return [model.trunk.blocks[number]]
        case "sgcn":
            return [model.trunk.blocks[number - 1].factorised]
        case "gcn3d":
            return list(model.trunk.blocks[number - 1].unified)
        case "tcn":
            return [model.trunk.blocks[number - 1].time]
    raise KeyError(official)


def test_training_mode(loaded: tuple[Golden, nn.Module, Keys]) -> None:
    golden, model, _ = loaded
    golden.close(model.train()(golden.batch()), "logits_train")
    golden.close(model.trunk.norm.bn.running_mean, "train_running_mean/data_bn")
    golden.close(model.trunk.norm.bn.running_var, "train_running_var/data_bn")


def test_gradients(loaded: tuple[Golden, nn.Module, Keys]) -> None:
    golden, model, keys = loaded
    model(golden.batch()).sum().backward()
    names = [name for name in golden.outputs if name.startswith("grad_norm/")]
    assert names
    for name in names:
        ours = official_gradient(model, keys, golden.state, name.removeprefix("grad_norm/")).norm().item()
        # ReLU kinks move these norms by up to 0.3 % between float32 and float64
        assert ours == pytest.approx(golden.outputs[name].item(), rel=0.01)


def test_every_official_tensor_is_used_once(loaded: tuple[Golden, nn.Module, Keys]) -> None:
    golden, model, keys = loaded
    used = [name for names in keys.values() for name in names]
    assert sorted(used) == sorted(golden.state)
    assert set(keys) - {""} == set(model.state_dict())


def test_other_checkpoints_are_refused(loaded: tuple[Golden, nn.Module, Keys]) -> None:
    golden, model, keys = loaded
    state = dict(golden.state)
    state["cls_head.fc_cls.bias"] = torch.zeros(7)
    with pytest.raises(FormatError, match=r"cls_head.fc_cls.bias has shape \(7,\); expected \(5,\)"):
        load_official(model, state, keys)
    del state["cls_head.fc_cls.bias"]
    with pytest.raises(FormatError, match=r"1 tensors are missing: cls_head.fc_cls.bias"):
        load_official(model, state, keys)
    with pytest.raises(FormatError, match=r"1 tensors have no place in this system: backbone.extra"):
        load_official(model, golden.state | {"backbone.extra": torch.zeros(1)}, keys)
