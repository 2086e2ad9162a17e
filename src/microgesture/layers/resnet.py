"""A ResNet-50 over the pictures of a clip, with room for a module in each residual branch, and how it sees a picture.

Source: K. He et al., Deep Residual Learning for Image Recognition, CVPR 2016, with the stride on the 3x3 convolution,
as torchvision has it. Crops: L. Wang et al., Temporal Segment Networks, ECCV 2016, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import FormatError, UsageError
from microgesture.layers.batch import DEVIATION, MEAN, PoseBatch, VideoBatch
from microgesture.layers.compact import cut
from microgesture.layers.official import load_official

# a stage is as wide at its end as this many times its bottleneck
EXPANSION = 4
# where a random crop may lie, in quarters of what it leaves free: corners, centre, middles of the sides, half-way
_PLACES = ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3))


class Pictures(nn.Module):
    """Pictures of a batch, cropped and normalised as networks trained on ImageNet want them.

    In eval mode the square in the middle of the picture. In training each clip has a crop of its own: height and width
    are neighbouring `scales` of the short side, at one of 13 places.

    Args:
        size: height and width of the result.
        short: pixels of the short side of which `size` are shown; equal to `size`, the whole short side.
        scales: of the short side, in training; from large to small.
        flip: probability that a clip is mirrored in training.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, size: int = 224, short: int = 256, scales: Sequence[float] = (1, 0.875, 0.75, 0.66), flip: float = 0.5
    ) -> None:
        super().__init__()
        self.size, self.short, self.flip = size, short, flip
        sides = [int(short * scale) for scale in scales]
        sides = [size if abs(side - size) < 3 else side for side in sides]
        # width and height of the crops, in pixels of a picture whose short side is `short`
        self.crops = [(w, h) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

    def forward(self, batch: PoseBatch) -> Tensor:
        """(B, F, 3, size, size).

        Raises:
            UsageError: the batch has no pictures.
            FormatError: a clip has none, or a pixel is not finite.
        """
        if not isinstance(batch, VideoBatch):
            raise UsageError("this system reads pictures, the batch holds poses alone")
        rgb = batch.rgb
        if not torch.compiler.is_compiling():
            if 0 in rgb.shape[1:]:
                frames, height, width = rgb.shape[1:4]
                problem = f"clips of {frames} pictures of {width} x {height} pixels hold nothing"
                raise FormatError("<batch>", problem, remedy="leave such clips out")
            if rgb.is_floating_point() and not torch.isfinite(rgb).all():
                clip = int((~torch.isfinite(rgb)).flatten(1).any(1).nonzero()[0])
                raise FormatError("<batch>", "pixels are not finite", place=f"clip {clip}", expected="0 to 255")
        x = cut(rgb, self.boxes(batch), (self.size, self.size)).transpose(1, 2)
        return (x - self.mean) / self.deviation

    def boxes(self, batch: VideoBatch) -> Tensor:
        """What is shown of each clip (B, 4): left, top, width, height in pixels; a width below 0 mirrors."""
        clips, _, height, width = batch.rgb.shape[:4]
        whole = self.mean.new_tensor((width, height))
        pixel = min(width, height) / self.short
        if not self.training:
            shown = whole.new_full((2,), pixel * self.size)
            return torch.cat(((whole - shown) / 2, shown)).expand(clips, 4)
        device = whole.device
        shown = whole.new_tensor(self.crops)[torch.randint(len(self.crops), (clips,), device=device)] * pixel
        place = whole.new_tensor(_PLACES)[torch.randint(len(_PLACES), (clips,), device=device)] / 4
        start = place * (whole - shown)
        mirrored = torch.rand(clips, device=device) < self.flip
        left = torch.where(mirrored, start[:, 0] + shown[:, 0], start[:, 0])
        across = torch.where(mirrored, -shown[:, 0], shown[:, 0])
        return torch.stack((left, start[:, 1], across, shown[:, 1]), -1)


class ConvNorm(nn.Module):
    """Convolution that keeps the size but for its stride, without bias, and batch norm; no activation.

    A 1x1 convolution reads a slice instead of striding: on CPU the gradient of the strided one writes beyond its
    memory for few channels (torch 2.13).
    """

    def __init__(self, channels: int, width: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.skip, stride = (stride, 1) if kernel == 1 else (1, stride)
        self.conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.skip > 1:
            x = x[:, :, :: self.skip, :: self.skip]
        y: Tensor = self.bn(self.conv(x))
        return y


class Bottleneck(nn.Module):
    """Narrow, look around, widen, add the input. `before` changes what the branch reads, not what is added."""

    def __init__(self, channels: int, width: int, stride: int, project: bool, before: nn.Module) -> None:
        super().__init__()
        out = width * EXPANSION
        self.before = before
        self.conv1 = ConvNorm(channels, width)
        self.conv2 = ConvNorm(width, width, 3, stride)
        self.conv3 = ConvNorm(width, out)
        self.shortcut = ConvNorm(channels, out, stride=stride) if project else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        y = F.relu(self.conv1(self.before(x, frames)), inplace=True)
        y = F.relu(self.conv2(y), inplace=True)
        y = self.conv3(y)
        return F.relu(y.add_(x if self.shortcut is None else self.shortcut(x)), inplace=True)


class ResNet(nn.Module):
    """Stem and stages, each picture for itself but for what `before` does.

    Args:
        before: makes, from a block's number of channels, the module in front of its first convolution, called with
            (B*F, C, H, W) and the number of frames F.
        width: channels after the stem, and of the first stage's bottlenecks; every stage doubles them.
        blocks: blocks of each stage; the default is ResNet-50.
    """

    def __init__(
        self, before: Callable[[int], nn.Module], width: int = 64, blocks: Sequence[int] = (3, 4, 6, 3)
    ) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, width, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = [width, *(width * EXPANSION * 2**i for i in range(len(blocks)))]
        self.width = widths[-1]
        """Channels of the output."""
        self.stages = nn.ModuleList()
        for i, ((channels, out), count) in enumerate(zip(pairwise(widths), blocks, strict=True)):
            narrow = out // EXPANSION
            first = Bottleneck(channels, narrow, 1 if i == 0 else 2, True, before(channels))
            rest = (Bottleneck(out, narrow, 1, False, before(out)) for _ in range(count - 1))
            self.stages.append(nn.ModuleList((first, *rest)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, 3, H, W) to features (B*F, width, H / 32, W / 32)."""
        frames = x.shape[1]
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = self.pool(F.relu(self.conv1(x), inplace=True))
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            for block in stage:
                x = block(x, frames)
        return x

    def pooled(self, x: Tensor) -> Tensor:
        """(B, F, 3, H, W) to the mean feature of each picture, (B, F, width)."""
        y: Tensor = self(x)
        return y.mean((-2, -1)).view(*x.shape[:2], -1)


class Plain(nn.Module):
    """In front of a block nothing happens: pictures do not know of each other."""

    def forward(self, x: Tensor, frames: int) -> Tensor:
        return x


def classifier(channels: int, classes: int) -> nn.Linear:
    """The linear layer behind pooled features, with the small weights these networks start from."""
    layer = nn.Linear(channels, classes)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer


def load_imagenet(network: ResNet, state: Mapping[str, Tensor], source: str = "<checkpoint>") -> None:
    """Start from a ResNet of torchvision or timm; what stands in front of the blocks keeps its weights.

    Args:
        state: with or without its classifier `fc`.

    Raises:
        FormatError: a tensor is missing, has another shape, or would be left over.
    """
    blocks = [len(stage) for stage in network.stages if isinstance(stage, nn.ModuleList)]
    plain = ResNet(lambda _: Plain(), network.conv1.conv.out_channels, blocks)
    keys = {key: (_torchvision(key),) for key in plain.state_dict()}
    # torchvision's older files do not count batches
    counters = {name: torch.tensor(0) for (name,) in keys.values() if name.endswith("num_batches_tracked")}
    load_official(plain, counters | dict(state), keys | {"": ("fc.weight", "fc.bias")}, source)
    network.load_state_dict(plain.state_dict(), strict=False)


def _torchvision(key: str) -> str:
    """Name torchvision gives to a tensor of `ResNet`."""
    *path, layer, part, leaf = key.split(".")
    if path:
        path = [f"layer{int(path[1]) + 1}", path[2]]
    if layer == "shortcut":
        return ".".join((*path, "downsample", str(("conv", "bn").index(part)), leaf))
    return ".".join((*path, layer if part == "conv" else layer.replace("conv", "bn"), leaf))


def shifted_key(key: str) -> str:
    """Name MMAction2's ResNetTSM gives to a tensor of `ResNet`, without its prefix; `before` aside.

    There the shift wraps the convolution it stands in front of.
    """
    *path, layer, part, leaf = key.split(".")
    if path:
        path = [f"layer{int(path[1]) + 1}", path[2]]
        part = "conv.net" if (layer, part) == ("conv1", "conv") else part
    return ".".join((*path, "downsample" if layer == "shortcut" else layer, part, leaf))
