from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from microgesture.core.errors import FormatError, UsageError
from microgesture.layers.batch import PoseBatch, VideoBatch
from microgesture.layers.resnet import DEVIATION, MEAN, ConvNorm, Pictures, Plain, ResNet, load_imagenet
from microgesture.layers.shift import TemporalShift


def clips(rgb: Tensor) -> VideoBatch:
    none = torch.zeros(len(rgb), 1, 1, 0)
    origin, scale = torch.zeros(len(rgb), 1, 2), torch.ones(len(rgb), 1)
    return VideoBatch(none[..., None].expand(-1, -1, -1, -1, 2), none, rgb=rgb, origin=origin, scale=scale)


def place(height: int, width: int, count: int = 1) -> VideoBatch:
    """Pictures whose red is x and whose green is y, at the centres of the pixels."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return clips(torch.stack((x, y, 0 * x), -1).expand(count, 2, height, width, 3))


def seen(pictures: Pictures, batch: VideoBatch) -> Tensor:
    """What the pictures show, before it is normalised."""
    return pictures(batch) * torch.tensor(DEVIATION).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)


def test_the_middle_of_the_picture() -> None:
    """56 of 64 pixels of the short side: as large as that side was, of which 48 pixels are 42."""
    shown = seen(Pictures(56, 64).eval(), place(48, 96))
    assert shown.shape == (1, 2, 3, 56, 56)
    step = 48 / 64
    across = 48 + step * (torch.arange(56) - 27.5)
    torch.testing.assert_close(shown[0, 1, 0, 5], across, atol=1e-3, rtol=0)
    torch.testing.assert_close(shown[0, 0, 1, :, 7], across - 24, atol=1e-3, rtol=0)


def test_whole_pictures_of_the_right_size_stay_as_they_are() -> None:
    rgb = torch.randint(0, 256, (2, 3, 32, 32, 3), dtype=torch.uint8)
    shown = seen(Pictures(32, 32).eval(), clips(rgb))
    torch.testing.assert_close(shown, rgb.permute(0, 1, 4, 2, 3).float(), atol=1e-3, rtol=0)


def test_mean_colour_is_zero() -> None:
    rgb = torch.tensor(MEAN).expand(1, 1, 8, 8, 3)
    assert Pictures(8, 8).eval()(clips(rgb)).abs().max() < 1e-5


def test_crops_of_the_official_configuration() -> None:
    """Scales 1, .875, .75, .66 of 256 are 256, 224, 192, 168; sides are equal or neighbours: ten of sixteen pairs."""
    crops = Pictures().crops
    assert len(crops) == len(set(crops)) == 10
    assert {side for crop in crops for side in crop} == {256, 224, 192, 168}
    assert (256, 192) not in crops
    assert (256, 224) in crops


def test_random_crops_lie_in_the_picture_at_thirteen_places() -> None:
    torch.manual_seed(0)
    pictures = Pictures(flip=0.5).train()
    left, top, width, height = pictures.boxes(place(128, 192, 4000)).double().unbind(-1)
    mirrored = width < 0
    assert 0.45 < mirrored.double().mean() < 0.55
    left, width = torch.where(mirrored, left + width, left), width.abs()
    assert (left >= -1e-4).all()
    assert (top >= -1e-4).all()
    assert (left + width <= 192 + 1e-4).all()
    assert (top + height <= 128 + 1e-4).all()
    assert {(round(2 * w), round(2 * h)) for w, h in zip(width.tolist(), height.tolist(), strict=True)} == {
        (w, h) for w, h in pictures.crops
    }
    free = height < 127  # where the crop is as high as the picture, its place in y does not show
    places = torch.stack((left / (192 - width), top / (128 - height)), -1)[free] * 4
    assert len({(round(x), round(y)) for x, y in places.tolist()}) == 13
    torch.testing.assert_close(places, places.round(), atol=1e-3, rtol=0)


def test_all_pictures_of_a_clip_get_one_crop_and_clips_differ() -> None:
    torch.manual_seed(1)
    shown = seen(Pictures(16, 18).train(), place(36, 40, 8))
    assert torch.equal(shown[:, 0], shown[:, 1])
    assert len({tuple(clip[0, 0, 0].tolist()) for clip in shown}) > 3


def test_a_mirrored_clip() -> None:
    torch.manual_seed(0)
    straight = seen(Pictures(16, 16, scales=(1,), flip=0).train(), place(16, 16))
    mirrored = seen(Pictures(16, 16, scales=(1,), flip=1).train(), place(16, 16))
    torch.testing.assert_close(mirrored, straight.flip(-1), atol=1e-3, rtol=0)


def test_what_is_refused() -> None:
    pictures = Pictures(8, 8)
    with pytest.raises(UsageError, match="this system reads pictures, the batch holds poses alone"):
        pictures(PoseBatch(torch.zeros(1, 1, 1, 3, 2), torch.zeros(1, 1, 1, 3)))
    with pytest.raises(FormatError, match="clips of 0 pictures of 9 x 8 pixels hold nothing"):
        pictures(clips(torch.zeros(2, 0, 8, 9, 3)))
    rgb = torch.zeros(2, 1, 8, 8, 3)
    rgb[1, 0, 3, 4, 1] = float("nan")
    with pytest.raises(FormatError, match="clip 1: pixels are not finite; expected 0 to 255"):
        pictures(clips(rgb))


def test_a_strided_projection_is_a_strided_convolution() -> None:
    torch.manual_seed(0)
    layer, x = ConvNorm(5, 7, stride=2).eval(), torch.randn(2, 5, 9, 6)
    expected = layer.bn(F.conv2d(x, layer.conv.weight, stride=2))
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=0)


def test_resnet50_has_the_published_size() -> None:
    with torch.device("meta"):
        net = ResNet(lambda _: TemporalShift())
    assert sum(p.numel() for p in net.parameters()) == 23_508_032
    assert sum(len(stage) for stage in net.stages) == 16  # type: ignore[arg-type]
    assert net.width == 2048


def test_shapes_and_independence_of_pictures() -> None:
    torch.manual_seed(0)
    net = ResNet(lambda _: Plain(), 4, (1, 2, 1)).eval()
    x = torch.randn(2, 3, 3, 40, 33)
    y = net(x)
    assert y.shape == (6, 64, 3, 3)
    torch.testing.assert_close(net(x[1:, 2:]), y[5:], atol=1e-5, rtol=0)
    torch.testing.assert_close(net.pooled(x)[1, 2], y[5].mean((-2, -1)), atol=1e-6, rtol=0)


def torchvision(width: int = 4, blocks: tuple[int, ...] = (2, 1), counters: bool = True) -> dict[str, Tensor]:
    """The state of a ResNet as torchvision lays it out, of random numbers."""
    make = torch.Generator().manual_seed(3)
    state: dict[str, Tensor] = {}

    def layer(conv: str, norm: str, out: int, into: int, kernel: int) -> None:
        state[f"{conv}.weight"] = torch.randn(out, into, kernel, kernel, generator=make)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{name}"] = torch.rand(out, generator=make) + 0.5
        if counters:
            state[f"{norm}.num_batches_tracked"] = torch.tensor(5)

    layer("conv1", "bn1", width, 3, 7)
    into = width
    for i, count in enumerate(blocks):
        narrow = width * 2**i
        for b in range(count):
            name = f"layer{i + 1}.{b}"
            layer(f"{name}.conv1", f"{name}.bn1", narrow, into, 1)
            layer(f"{name}.conv2", f"{name}.bn2", narrow, narrow, 3)
            layer(f"{name}.conv3", f"{name}.bn3", 4 * narrow, narrow, 1)
            if b == 0:
                layer(f"{name}.downsample.0", f"{name}.downsample.1", 4 * narrow, into, 1)
            into = 4 * narrow
    state |= {"fc.weight": torch.randn(1000, into, generator=make), "fc.bias": torch.zeros(1000)}
    return state


def torchvision_forward(state: dict[str, Tensor], x: Tensor, blocks: tuple[int, ...] = (2, 1)) -> Tensor:
    """The network of that state, written down once more."""

    def layer(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        y = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        return F.batch_norm(y, *(state[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")))

    x = F.max_pool2d(F.relu(layer(x, "conv1", "bn1", 2)), 3, 2, 1)
    for i, count in enumerate(blocks):
        for b in range(count):
            name, stride = f"layer{i + 1}.{b}", 2 if i and not b else 1
            y = F.relu(layer(x, f"{name}.conv1", f"{name}.bn1"))
            y = F.relu(layer(y, f"{name}.conv2", f"{name}.bn2", stride))
            y = layer(y, f"{name}.conv3", f"{name}.bn3")
            x = F.relu(y + (x if b else layer(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)))
    return x


@pytest.mark.parametrize("counters", [True, False])
def test_weights_of_torchvision(counters: bool) -> None:
    state = torchvision(counters=counters)
    net = ResNet(lambda _: Plain(), 4, (2, 1)).eval()
    load_imagenet(net, state)
    x = torch.randn(1, 2, 3, 32, 32)
    expected = torchvision_forward(state, x[0])
    torch.testing.assert_close(net(x), expected, atol=1e-4 * float(expected.abs().max()), rtol=0)
    load_imagenet(net, {name: value for name, value in state.items() if not name.startswith("fc.")})


def test_weights_that_do_not_fit_are_refused() -> None:
    net = ResNet(lambda _: Plain(), 4, (2, 1))
    state = torchvision()
    with pytest.raises(FormatError, match=r"a\.pth: conv1.weight has shape \(8, 3, 7, 7\); expected \(4, 3, 7, 7\)"):
        load_imagenet(net, torchvision(width=8), "a.pth")
    with pytest.raises(FormatError, match=r"1 tensors have no place in this system: layer3.0.extra"):
        load_imagenet(net, state | {"layer3.0.extra": torch.zeros(1)})
    del state["layer2.0.bn3.bias"]
    with pytest.raises(FormatError, match=r"1 tensors are missing: layer2.0.bn3.bias"):
        load_imagenet(net, state)
