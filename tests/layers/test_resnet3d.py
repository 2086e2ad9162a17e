from __future__ import annotations

import pytest
import torch
from torch import nn

from microgesture.layers.resnet3d import Bottleneck, Conv, ConvNorm, SlowOnly, classifier


@pytest.mark.parametrize(
    ("joints", "parameters"), [(17, 1_994_080), (22, 2_001_920), (28, 2_011_328), (36, 2_023_872), (41, 2_031_712)]
)
def test_parameters_as_measured(joints: int, parameters: int) -> None:
    """Measured on PYSKL's ResNet3dSlowOnly."""
    assert sum(p.numel() for p in SlowOnly(joints).parameters()) == parameters


@pytest.mark.parametrize(
    ("strides", "lengths", "macs"),
    [((1, 1, 2), (48, 48, 24), 15.63), ((1, 1, 1), (48, 48, 48), None)],
)
def test_shapes_and_work_of_the_published_network(
    strides: tuple[int, ...], lengths: tuple[int, ...], macs: float | None
) -> None:
    """Table of stages for 17 joints, 48 frames of 56 x 56; 15.63 G products in convolutions."""
    model = SlowOnly(17, temporal_strides=strides).to("meta")
    total = 0

    def count(conv: nn.Conv3d, _: object, y: torch.Tensor) -> None:
        nonlocal total
        total += conv.weight.numel() * y[0, 0].numel()

    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            module.register_forward_hook(count)
    x = model.stem(torch.empty(1, 17, 48, 56, 56, device="meta"))
    assert x.shape == (1, 32, 48, 56, 56)
    for stage, channels, length, side in zip(model.stages, (128, 256, 512), lengths, (28, 14, 7), strict=True):
        x = stage(x)
        assert x.shape == (1, channels, length, side, side)
    if macs is not None:
        assert total / 1e9 == pytest.approx(macs, abs=0.005)


def test_the_network_for_pictures() -> None:
    model = SlowOnly(
        3,
        64,
        (3, 4, 6, 3),
        inflated=(False, False, True, True),
        spatial_strides=(1, 2, 2, 2),
        temporal_strides=(1, 1, 1, 1),
        stem_stride=2,
    ).to("meta")
    x = model.stem(torch.empty(1, 3, 8, 224, 224, device="meta"))
    assert x.shape == (1, 64, 8, 56, 56)
    for stage, channels, side in zip(model.stages, (256, 512, 1024, 2048), (56, 28, 14, 7), strict=True):
        x = stage(x)
        assert x.shape == (1, channels, 8, side, side)


def test_a_fresh_block_is_its_shortcut() -> None:
    block = SlowOnly(3, 4, (2, 1, 1)).stages[0][1].eval()
    x = torch.rand(2, 16, 3, 5, 5)
    assert torch.equal(block(x), x)


def test_a_slice_equals_a_stride() -> None:
    unit = ConvNorm(3, 5, stride=(2, 2, 2)).eval()
    x = torch.rand(2, 3, 5, 6, 7)
    expected = unit.bn(nn.functional.conv3d(x, unit.conv.weight, stride=2))
    torch.testing.assert_close(unit(x), expected)


@pytest.mark.parametrize(("kernel", "stride", "frames"), [(3, 1, 5), (3, 1, 2), (7, 4, 8)])
def test_frames_are_convolved_as_in_three_dimensions(kernel: int, stride: int, frames: int) -> None:
    conv = Conv(6, 5, (kernel, 1, 1), (stride, 1, 1), (kernel // 2, 0, 0))
    x = torch.rand(2, 6, frames, 3, 4)
    expected = nn.functional.conv3d(x, conv.weight, conv.bias, (stride, 1, 1), (kernel // 2, 0, 0))
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize(("kernel", "stride"), [(1, (1, 1, 1)), (3, (1, 2, 2)), (3, (2, 1, 1)), (7, (1, 1, 2))])
def test_pixels_are_convolved_as_in_three_dimensions(kernel: int, stride: tuple[int, int, int]) -> None:
    padding = (0, kernel // 2, kernel // 2)
    conv = Conv(6, 17, (1, kernel, kernel), stride, padding)
    x = torch.rand(2, 6, 5, 8, 9).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    y, expected = conv(x), nn.functional.conv3d(x, conv.weight, conv.bias, stride, padding)
    torch.testing.assert_close(y, expected)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)
    ours, theirs = (torch.autograd.grad(z.square().sum(), (x, conv.weight)) for z in (y, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_gradients_of_a_slice_keep_their_storage() -> None:
    x = torch.rand(2, 16, 4, 6, 6).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    (gradient,) = torch.autograd.grad(ConvNorm(16, 16, stride=(2, 2, 2))(x).square().sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last_3d)


def test_bfloat16_gradients_of_short_clips() -> None:
    """Two frames under a kernel of three: the weight's gradient in float32, within the half precision's digits."""
    torch.manual_seed(0)
    conv = Conv(160, 32, (3, 1, 1), padding=(1, 0, 0), bias=False)
    x = torch.randn(4, 160, 2, 4, 4)
    target = torch.randn(4, 32, 2, 4, 4)
    (conv(x) * target).sum().backward()
    [exact, conv.weight.grad] = [conv.weight.grad, None]
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    (y * target).sum().backward()
    assert exact is not None
    assert (conv.weight.grad - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 1, 1), (1, 3, 3), (1, 7, 7)])
def test_without_learning_the_norm_is_in_the_weight(kernel: tuple[int, int, int]) -> None:
    unit = ConvNorm(3, 6, kernel, (1, 2, 2) if kernel[1] != 1 else (2, 2, 2) if kernel[0] == 1 else (1, 1, 1)).eval()
    for tensor in (unit.bn.weight, unit.bn.bias, unit.bn.running_mean, unit.bn.running_var):
        tensor.data.uniform_(0.5, 2)
    x = torch.randn(2, 3, 4, 6, 6)
    with torch.no_grad():
        folded = unit(x)
    torch.testing.assert_close(folded, unit(x), atol=1e-5, rtol=1e-5)


def test_gradients_of_few_channels() -> None:
    """Narrow strided blocks, against finite differences."""
    torch.manual_seed(0)
    block = Bottleneck(3, 2, (2, 2, 2), inflated=True, project=True).double().eval()
    x = torch.rand(1, 3, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, x)


def test_the_classifier_starts_small() -> None:
    layer = classifier(512, 60)
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not layer.bias.any()
