"""Inception-I3D against the official code of PointTAD, on weights that a rule makes. Golden file pointtad_i3d."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.systems.golden import FOLDER
from torch import Tensor, nn

from microgesture.core.errors import FormatError
from microgesture.layers.i3d import CHANNELS, I3D, Pool, Unit, official_keys, same
from microgesture.layers.official import load_official


class Facts:
    """The golden file, with the weights that the rule in its remarks makes, held against its sums."""

    def __init__(self) -> None:
        with np.load(FOLDER / "pointtad_i3d.npz") as file:
            self.meta = json.loads(str(file["meta"]))
            self.x = torch.from_numpy(file["in/x_times_127"]).float() / 127
            self.maps = [torch.from_numpy(file[f"out/{name}"]) for name in ("Mixed_4f", "Mixed_5c")]
            names, shapes = file["in/state_names"].tolist(), file["in/state_shapes"].tolist()
            first, total = file["in/check_first"], file["in/check_sum"]
        self.state: dict[str, Tensor] = {}
        for k, (name, text) in enumerate(zip(names, shapes, strict=True)):
            shape = tuple(int(n) for n in text.strip("()").split(",") if n)
            if name.endswith("num_batches_tracked"):
                self.state[name] = torch.tensor(0)
                continue
            values = made(name, k, shape)
            assert values[0] == pytest.approx(first[k], abs=1e-6), name
            assert values.sum() == pytest.approx(total[k], abs=1e-3), name
            self.state[name] = torch.from_numpy(values.astype(np.float32).reshape(shape))


def made(name: str, k: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Elements of the k-th tensor, in order."""
    i = np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.float64)
    u = np.sin(12.9898 * i + 78.233 * (k + 1)) * 43758.5453
    u -= np.floor(u)
    if name.endswith("running_var"):
        return 0.5 + u
    if name.endswith("bn.weight"):
        return 0.8 + 0.4 * u
    if name.endswith(("running_mean", "bias")):
        return 0.2 * (u - 0.5)
    return (u - 0.5) * np.sqrt(12) * np.sqrt(1.4 / np.prod(shape[1:]))


def keys(model: I3D) -> dict[str, tuple[str, ...]]:
    return {key: official_keys(key) for key in model.state_dict()}


@pytest.fixture(scope="module")
def loaded() -> tuple[Facts, I3D]:
    facts, model = Facts(), I3D().eval()
    load_official(model, facts.state, keys(model))
    return facts, model


@pytest.mark.parametrize("learns", [False, True])
def test_maps(loaded: tuple[Facts, I3D], learns: bool) -> None:
    facts, model = loaded
    with torch.set_grad_enabled(learns):
        maps = model(facts.x)
    for ours, theirs in zip(maps, facts.maps, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= facts.meta["tolerance"] * max(1, float(theirs.abs().max()))


def test_every_official_tensor_is_used_once(loaded: tuple[Facts, I3D]) -> None:
    facts, model = loaded
    assert sorted(name for names in keys(model).values() for name in names) == sorted(facts.state)


def test_other_tensors_are_unknown() -> None:
    with pytest.raises(KeyError, match="logits"):
        official_keys("logits.conv.weight")


def test_a_missing_tensor_is_refused(loaded: tuple[Facts, I3D]) -> None:
    facts, model = loaded
    state = {name: value for name, value in facts.state.items() if name != "Mixed_5c.b0.conv3d.weight"}
    with pytest.raises(FormatError, match=r"1 tensors are missing: Mixed_5c.b0.conv3d.weight"):
        load_official(model, state, keys(model))


def test_parameters_as_measured() -> None:
    assert sum(p.numel() for p in I3D().parameters()) == 12_287_264


@pytest.mark.parametrize(("frames", "side"), [(128, 192), (64, 224), (9, 70), (1, 33)])
def test_sizes(frames: int, side: int) -> None:
    maps = I3D().to("meta")(torch.empty(2, 3, frames, side, side, device="meta"))
    for map_, channels, stride in zip(maps, CHANNELS, (16, 32), strict=True):
        assert map_.shape == (2, channels, -(-frames // 4), -(-side // stride), -(-side // stride))


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 1), (3, 2), (2, 2), (1, 1), (1, 2)])
def test_padding_keeps_the_size_and_leans_to_the_end(size: int, kernel: int, stride: int) -> None:
    x = torch.ones(1, 1, size, 3, 3)
    y = same(x, (kernel, 1, 1), (stride, 1, 1))
    assert (y.shape[2] - kernel) // stride + 1 == -(-size // stride)
    added = y.shape[2] - size
    assert y[0, 0, added // 2 : added // 2 + size].eq(1).all()
    assert y.sum() == x.sum()


def test_pooling_of_an_even_length_reads_one_frame_behind() -> None:
    x = torch.arange(1.0, 5).view(1, 1, 4, 1, 1)
    assert Pool((3, 1, 1), (2, 1, 1))(x).flatten().tolist() == [3, 4]  # frames 1-3, and 3-4 with a zero


def test_gradients_of_few_channels() -> None:
    """A strided unit, against finite differences."""
    torch.manual_seed(0)
    unit = Unit(3, 2, (3, 3, 3), (2, 2, 2)).double().eval()
    nn.init.constant_(unit.bn.bias, 0.3)
    x = torch.rand(1, 3, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit, x)


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 3, 3)])
def test_bfloat16_gradients_of_short_clips(kernel: tuple[int, int, int]) -> None:
    """One frame under a kernel of three: the weight's gradient in float32, but for the half precision's digits."""
    torch.manual_seed(0)
    unit = Unit(96, 32, kernel).eval()
    x, target = torch.rand(2, 96, 1, 5, 5), torch.rand(2, 32, 1, 5, 5)
    (unit(x) * target).sum().backward()
    exact, unit.conv.weight.grad = unit.conv.weight.grad, None
    with torch.autocast("cpu", torch.bfloat16):
        y = unit(x)
    (y * target).sum().backward()
    assert exact is not None
    assert (unit.conv.weight.grad - exact).norm() < 0.03 * exact.norm()
