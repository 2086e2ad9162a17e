"""Attention between pictures and poses against PCAN's FeatureInteraction (golden file pcan_feature_interaction)."""

from __future__ import annotations

import pytest
import torch
from tests.systems.golden import Golden, official_gradient
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.layers.interaction import Interaction
from microgesture.layers.official import Keys, load_official

NAMES = {"from_rgb": "conv1", "from_pose": "conv2", "to_rgb": "conv4", "to_pose": "conv5"}
ATTENTION = {"rgb_attention": "rgb_cross_attn", "pose_attention": "skt_cross_attn"}


def keys() -> Keys:
    out = {}
    for leaf in ("weight", "bias"):
        out |= {f"{own}.{leaf}": (f"{name}.{leaf}",) for own, name in NAMES.items()}
        for own, name in ATTENTION.items():
            out[f"{own}.in_proj_{leaf}"] = tuple(f"{name}.{x}_proj.{leaf}" for x in "qkv")
            out[f"{own}.out_proj.{leaf}"] = (f"{name}.fc.{leaf}",)
    return out


@pytest.fixture
def loaded() -> tuple[Golden, Interaction]:
    golden = Golden("pcan_feature_interaction")
    block = Interaction(32, 16, 16)
    load_official(block, golden.state, keys())
    return golden, block.eval()


def test_output_and_every_part(loaded: tuple[Golden, Interaction]) -> None:
    golden, block = loaded
    seen: dict[str, Tensor] = {}
    for own, name in (NAMES | ATTENTION).items():
        part = block.get_submodule(own)
        part.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y[0] if isinstance(y, tuple) else y}))
    rgb, pose = block(golden.inputs["rgb"], golden.inputs["skt"])
    golden.close(rgb, "rgb")
    golden.close(pose, "skt")
    assert set(seen) == {name.removeprefix("part/") for name in golden.outputs if name.startswith("part/")}
    for name, y in seen.items():
        golden.close(y, f"part/{name}")


def test_gradients(loaded: tuple[Golden, Interaction]) -> None:
    golden, block = loaded
    rgb, pose = block(golden.inputs["rgb"], golden.inputs["skt"])
    (rgb.sum() + pose.sum()).backward()
    names = [name for name in golden.outputs if name.startswith("grad_norm/")]
    assert names
    for name in names:
        ours = official_gradient(block, keys(), golden.state, name.removeprefix("grad_norm/")).norm().item()
        assert ours == pytest.approx(golden.outputs[name].item(), rel=0.01), name


def test_gradients_in_float64() -> None:
    """Of strided convolutions on CPU in particular."""
    block = Interaction(3, 2, 4, heads=2, dropout=0).double()
    inputs = (torch.randn(2, 3, 2, 2, 2), torch.randn(2, 2, 8, 2, 2))
    x = tuple(t.double().requires_grad_() for t in inputs)
    assert torch.autograd.gradcheck(block, x)


@pytest.mark.parametrize("pictures", [1, 3, 8])
def test_any_number_of_pictures(pictures: int) -> None:
    block = Interaction(6, 4, 8)
    rgb, pose = torch.randn(2, 6, pictures, 5, 4), torch.randn(2, 4, 4 * pictures, 5, 4)
    assert [y.shape for y in block(rgb, pose)] == [rgb.shape, pose.shape]


def test_gates_of_zero_change_nothing() -> None:
    block = Interaction(6, 4, 8)
    for layer in (block.to_rgb, block.to_pose):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    rgb, pose = torch.randn(2, 6, 2, 3, 3), torch.randn(2, 4, 8, 3, 3)
    out = block(rgb, pose)
    assert torch.equal(out[0], rgb)
    assert torch.equal(out[1], pose)


def test_poses_ask_what_the_pictures_have_learnt() -> None:
    """Without values in the pictures' attention their tokens are alike, and so are the gates of all frames."""
    block = Interaction(6, 4, 8).eval()
    nn.init.zeros_(block.rgb_attention.out_proj.weight)
    gates = block.gates(torch.randn(2, 6, 3, 3, 3), torch.randn(2, 4, 12, 3, 3))
    torch.testing.assert_close(gates.rgb, gates.rgb[:1, :, :1].expand_as(gates.rgb))
    torch.testing.assert_close(gates.pose[:, :, :4], gates.pose[:, :, 4:8])


def test_a_width_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(UsageError, match="tokens of width 12 cannot be shared among 8 heads"):
        Interaction(6, 4, 12)
    with pytest.raises(UsageError, match="tokens of width 0 cannot be shared among 8 heads"):
        Interaction(2, 4, 0)


def test_parameters_as_measured() -> None:
    counts = [
        sum(p.numel() for p in Interaction(c, d, h).parameters()) for c, d, h in ((512, 128, 128), (1024, 256, 256))
    ]
    assert counts == [395_136, 1_576_704]
