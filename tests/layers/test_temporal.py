from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from microgesture.layers.temporal import BranchedConv, DilatedConv, PooledBranches, TemporalConv, every

UNITS = [TemporalConv, BranchedConv, PooledBranches]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("frames", "stride", "expected"), [(9, 1, 9), (9, 2, 5), (8, 2, 4), (1, 2, 1)])
def test_length(unit: type[nn.Module], frames: int, stride: int, expected: int) -> None:
    assert unit(6, 16, stride=stride).eval()(torch.randn(2, 6, frames, 5)).shape == (2, 16, expected, 5)


@pytest.mark.parametrize("unit", UNITS)
def test_joints_do_not_mix(unit: type[nn.Module]) -> None:
    layer, x = unit(6, 16).eval(), torch.randn(2, 6, 9, 5)
    moved = x.clone()
    moved[..., 3] += 1
    unchanged = (layer(moved) == layer(x)).all(dim=2).all(dim=1).all(dim=0)
    assert unchanged.tolist() == [True, True, True, False, True]


@pytest.mark.parametrize(("unit", "reach"), [(TemporalConv, 4), (BranchedConv, 4), (PooledBranches, 4)])
def test_reach_in_time(unit: type[nn.Module], reach: int) -> None:
    """A frame is heard `reach` frames to either side: (9 - 1) / 2, the dilation 4 of 3 frames, the dilation 2 of 5."""
    torch.manual_seed(0)
    layer, x = unit(6, 16).eval(), torch.randn(1, 6, 21, 1)
    moved = x.clone()
    moved[:, :, 10] += 5
    changed = (layer(moved) != layer(x)).any(dim=1).flatten().nonzero().flatten()
    assert (int(changed.min()), int(changed.max())) == (10 - reach, 10 + reach)


def test_widths_of_the_branches() -> None:
    """The first branch of ST-GCN++ takes what six do not divide; in CTR-GCN the last of four does."""
    assert [c.out_channels for c in BranchedConv(6, 32).dilated] == [7, 5, 5, 5]
    four = PooledBranches(6, 18)
    assert [c.out_channels for c in four.dilated] + [four.plain.out_channels] == [4, 4, 6]


@pytest.mark.parametrize("unit", UNITS)
def test_storage_stays_channels_last(unit: type[nn.Module]) -> None:
    """Speed depends on it: elsewhere the products would copy their input."""
    x = torch.randn(2, 16, 9, 5).contiguous(memory_format=torch.channels_last)
    assert unit(16, 16).eval()(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [3, 7, 8, 13])
def test_strided_shortcuts_of_few_channels_keep_to_their_memory(channels: int) -> None:
    # a strided 1x1 convolution ends the whole process here (torch 2.13 on CPU), so it is tried in another one
    code = (
        "import torch; from microgesture.layers.temporal import BranchedConv, PooledBranches as Pooled, shortcut\n"
        f"for unit in (shortcut({channels}, 16, 2), BranchedConv({channels}, 12, 2), Pooled({channels}, 12, 2)):\n"
        "    for _ in range(8):\n"
        f"        x = torch.randn(7, {channels}, 64, 22).to(memory_format=torch.channels_last).requires_grad_()\n"
        "        unit(x).sum().backward()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_gradients_of_a_stride_stay_channels_last() -> None:
    x = torch.rand(2, 16, 6, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(every(x, 2).square().sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_every_frame_of_a_stride() -> None:
    x = torch.arange(10.0).view(1, 1, 5, 2)
    conv = torch.nn.Conv2d(1, 1, 1, (2, 1))
    still = torch.nn.Conv2d(1, 1, 1)
    still.load_state_dict(conv.state_dict())
    assert torch.equal(conv(x), still(every(x, 2)))


@pytest.mark.parametrize("channels", [24, 40])
def test_dilated_convolutions_learn_in_bfloat16_as_in_float32(channels: int) -> None:
    torch.manual_seed(0)
    conv = DilatedConv(channels, 3, 1, 2)
    x = torch.randn(4, channels, 20, 9).to(memory_format=torch.channels_last)
    gradients = []
    for half in (False, True):
        conv.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = conv(x.bfloat16() if half else x)
        assert out.dtype == (torch.bfloat16 if half else torch.float32)
        out.float().square().sum().backward()
        assert conv.weight.grad is not None
        gradients.append(conv.weight.grad.clone())
    assert (gradients[0] - gradients[1]).abs().max() < 0.02 * gradients[0].abs().max()
