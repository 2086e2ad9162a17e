"""DyFADet with spatial-temporal attention: a pyramid over features, each point of which says what happens there and
how far its begin and end are.

Paper      P. Liu, H. Li, X. Wang, Y. Wei, X. She, D. Guo: Online Micro-gesture Recognition Using Data Augmentation and
           Spatial-Temporal Attention, MiGA@IJCAI 2025, https://arxiv.org/abs/2507.09512; its detector is that of
           L. Yang et al.: DyFADet: Dynamic Feature Aggregation for Temporal Action Detection, ECCV 2024,
           https://arxiv.org/abs/2407.03197
Input      series (B, D, F), features of F steps of a window from any frozen backbone
Output     logits (B, P, K) of the P points of the pyramid, distances (B, P, 2) to begin and end in strides of their
           level, mask (B, P)
Losses     class (focal), segment (1 - IoU and distance of the centres), both over a running mean of the positives
Fidelity   reconstructed: the paper has no code, and no text beyond its abstract could be read. The detector is verified
           against the official DyFADet. Holes, and our choice:
           - features: the paper's come from VideoMAEv2-g, whose weights are not here; any features are read,
             standardised by what the training recordings show. Its adapters in the backbone are left out
           - spatial-temporal attention: a gate over time and, on features with places, one over places
           - augmentation: `datasets.augment_windows`
           compat="official": the detector as released. Padding counts in means and norms; weights of the dynamic
           encoder begin at zero, where none of them has a gradient, so that they never learn; features enter the first
           gates squared, and with gates per tap they meet the weights of other channels; no voting per class; features
           are not standardised
Letters    B windows, F steps, P points, L places in the packed pyramid, G gestures, K classes, D and C channels
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.detections import Detections
from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.suppression import soft_nms, voted
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import WindowBatch
from microgesture.layers.official import Keys

Gate = Literal["c", "k", "ck"]
Compat = Literal["official"]

GROUPS = 16
TAPS = 3
TAU = 1.5


class SpatialTemporalGate(nn.Module):
    """Weighs moments, and places where there are some: x + x * (2 sigmoid(time) 2 sigmoid(place) - 1).

    Both gates begin at zero weights, so that the module begins as the identity.

    Args:
        channels: C.
        space: whether there is a gate over places.

    Shapes: (B, C, F) or, with places, (B, C, F, H, W), to the same.
    """

    def __init__(self, channels: int, space: bool = True) -> None:
        super().__init__()
        self.time = nn.Conv1d(channels, 1, 3, padding=1)
        self.space = nn.Conv2d(2, 1, 7, padding=3) if space else None
        for conv in (self.time, self.space):
            if conv is not None:
                nn.init.zeros_(conv.weight)
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return x * (2 * torch.sigmoid(self.time(x)))
        gate = 2 * torch.sigmoid(self.time(x.mean((-2, -1))))[..., None, None]  # (B, 1, F, 1, 1)
        if self.space is not None:
            seen = torch.stack((x.mean(1), x.amax(1)), 2).flatten(0, 1)  # (B * F, 2, H, W)
            place = 2 * torch.sigmoid(self.space(seen))
            gate = gate * place.view(len(x), 1, -1, *place.shape[2:])
        return x * gate


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, F)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        y = F.layer_norm(x.transpose(1, 2), (channels,), self.gain.view(-1), self.shift.view(-1))
        return y.transpose(1, 2)


class DropPath(nn.Module):
    """A learned scale per channel that begins small; in training the whole branch falls out at `rate`."""

    def __init__(self, channels: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.scale = nn.Parameter(torch.full((1, channels, 1), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        if not self.training or not self.rate:
            return x
        stays = torch.rand(len(x), 1, 1, dtype=x.dtype, device=x.device) >= self.rate
        return x * stays / (1 - self.rate)


class DynE(nn.Module):
    """Dynamic encoder layer: features weighted by what the window, the moment and its neighbourhood hold; then an MLP.

    Args:
        channels, hidden: of the features and of the MLP.
        kernel: taps of the short convolutions; the long one has about `(kernel + 1) * widen`.
        pooled: halve the number of steps first.
        drop: rate of `DropPath`; 0 = no such scale.
        official: padding counts in the means; weights begin at zero.
    """

    def __init__(
        self, channels: int, hidden: int, kernel: int = 1, widen: float = 5, *,
        pooled: bool = False, drop: float = 0.0, official: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.pooled, self.official = pooled, official
        long = round((kernel + 1) * widen)
        long += long % 2 == 0

        def depthwise(taps: int) -> nn.Conv1d:
            conv = nn.Conv1d(channels, channels, taps, padding=taps // 2, groups=channels)
            nn.init.normal_(conv.weight, std=0.0 if official else 0.1)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            return conv

        self.norm = ChannelNorm(channels)
        self.moment, self.near, self.wide = depthwise(kernel), depthwise(kernel), depthwise(long)
        self.level, self.window = depthwise(1), depthwise(1)
        self.mlp_norm = nn.GroupNorm(GROUPS, channels)
        self.mlp = nn.Sequential(nn.Conv1d(channels, hidden, 1), nn.GELU(), nn.Conv1d(hidden, channels, 1))
        self.drop = DropPath(channels, drop) if drop else None
        self.drop_mlp = DropPath(channels, drop) if drop else None

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, F) and bool (B, 1, F), to the same or to half the steps."""
        if self.pooled:
            if not self.official:
                x = x.masked_fill(~mask, -torch.inf)
            x, mask = F.max_pool1d(x, 3, 2, 1), mask[..., ::2]
        if not self.official:
            x = x.masked_fill(~mask, 0.0)
        o = self.norm(x)
        mean = o.mean(-1, keepdim=True)
        if not self.official:
            o = o * mask
            mean = o.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
        y = _depthwise(self.level, o) * F.relu(_depthwise(self.window, mean))
        y = y + F.relu(_depthwise(self.near, o) + self.wide(o)) * _depthwise(self.moment, o) + o
        x = x * mask + (y if self.drop is None else self.drop(y))
        y = self.mlp(self.mlp_norm(x) if self.official else _masked_group_norm(self.mlp_norm, x, mask))
        x = x + (y if self.drop_mlp is None else self.drop_mlp(y))
        return x, mask


def _depthwise(conv: nn.Conv1d, x: Tensor) -> Tensor:
    if conv.kernel_size[0] > 1 or conv.bias is None:
        y: Tensor = conv(x)
        return y
    return torch.addcmul(conv.bias[:, None], x, conv.weight[:, 0])


def _masked_group_norm(norm: nn.GroupNorm, x: Tensor, mask: Tensor) -> Tensor:
    """Group norm whose statistics know the marked steps alone."""
    b, c, f = x.shape
    grouped = (x * mask).view(b, norm.num_groups, -1)
    count = (mask.sum((1, 2)) * (c // norm.num_groups)).clamp(min=1).view(b, 1, 1)
    mean = grouped.sum(-1, keepdim=True) / count
    variance = (grouped**2).sum(-1, keepdim=True) / count - mean**2
    y = (x.view(b, norm.num_groups, -1) - mean) * (variance.clamp(min=0) + norm.eps).rsqrt()
    return torch.addcmul(norm.bias[:, None], y.view(b, c, f), norm.weight[:, None])


def geretanh(x: Tensor, tau: float = TAU) -> Tensor:
    """Gate in [0, 1], 0 up to x = 0: max(0, tanh(x - tau) + tanh(tau)) / (1 + tanh(tau))."""
    return F.relu((torch.tanh(x - tau) + math.tanh(tau)) / (1 + math.tanh(tau)))


class GatedShift(nn.Module):
    """Dynamic feature aggregation, first kind: each step sees its neighbours through gates of its own.

    Args:
        channels: C.
        gate: a gate per channel ("c"), per tap ("k"), or for each of both ("ck").
        official: neighbours count squared, and with "k" they meet the weights of other channels.
    """

    def __init__(self, channels: int, gate: Gate = "c", official: bool = False) -> None:
        super().__init__()
        self.kind, self.official = gate, official
        outs, groups = {"c": (channels, channels), "k": (TAPS, 1), "ck": (channels * TAPS, channels)}[gate]
        self.gate = nn.Conv1d(channels, outs, TAPS, padding=TAPS // 2, groups=groups)
        self.conv = nn.Conv1d(channels * TAPS, channels, 1)
        self.norm = ChannelNorm(channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C, F) and bool (B, 1, F), to (B, C, F); 0 outside the mask."""
        taps = neighbours(x)  # (B, C, 3, F)
        gate = geretanh(self.gate(x)) * mask
        match self.kind:
            case "c":
                gate = gate[:, :, None]
            case "k":
                gate = gate[:, None]
            case "ck":
                gate = gate.view(taps.shape)
        weight = taps * gate if self.official else gate
        if (
            self.official and self.kind == "k"
        ):  # released code lays these out tap by tap, but the taps channel by channel
            weight = weight.transpose(1, 2).reshape(taps.shape)
        y: Tensor = self.norm(self.conv((taps * weight).flatten(1, 2)))
        return y * mask


class ModulatedShift(nn.Module):
    """Dynamic feature aggregation, second kind: neighbours weighted by a gated convolution of themselves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # the modulation of C channels, and the gate as channel C
        self.modulate = nn.Conv1d(channels * TAPS, channels + 1, TAPS, padding=TAPS // 2)
        self.modulate_norm = ChannelNorm(channels)
        self.conv = nn.Conv1d(channels * TAPS, channels, 1)
        self.norm = ChannelNorm(channels)

    def forward(self, x: Tensor, mask: Tensor, inside: Tensor | None = None) -> Tensor:
        """(B, C, F) and bool (B, 1, F), to (B, C, F); 0 outside the mask.

        Args:
            inside: bool (F,), False between sequences that lie one behind the other in x.
        """
        taps = neighbours(x)
        if inside is not None:
            taps = taps * inside
        weight, gate = self.modulate(taps.flatten(1, 2)).split([x.shape[1], 1], 1)
        weight = self.modulate_norm(weight) * (geretanh(gate) * mask)
        y: Tensor = self.norm(self.conv((taps * weight[:, :, None]).flatten(1, 2)))
        return y * mask


def neighbours(x: Tensor) -> Tensor:
    """(B, C, F) to (B, C, 3, F): the step before, the step, the step behind; 0 beyond the ends."""
    return F.pad(x, (TAPS // 2, TAPS // 2)).unfold(-1, x.shape[-1], 1)


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Where the points of all levels are. Levels lie one behind the other, a gap behind each, so that one pass of a
    head sees them all and none sees another.

    Args:
        place: int64 (P,), place of each point in the packed sequence of L.
        inside: bool (L,), False in the gaps.
        finer, coarser: int64 (L,), place of the same moment one level below and above; a gap where there is none.
        level: int64 (P,).
        time, stride: float (P,), in steps.
        lengths: points of each level.
    """

    place: Tensor
    inside: Tensor
    finer: Tensor
    coarser: Tensor
    level: Tensor
    time: Tensor
    stride: Tensor
    lengths: tuple[int, ...]

    def packed(self, levels: Sequence[Tensor]) -> Tensor:
        """(B, C, F_l) of every level to (B, C, L), zeros in the gaps."""
        return torch.cat([F.pad(x, (0, 1)) for x in levels], -1)


@cache
@torch.inference_mode(False)  # whoever asks first may be in it, and training may come later
def pyramid(steps: int, levels: int, device: torch.device) -> Pyramid:
    """Points of `levels` levels over `steps` steps, a multiple of 2 ** (levels - 1)."""
    lengths = [steps >> i for i in range(levels)]
    begins = [sum(lengths[:i]) + i for i in range(levels + 1)]
    gap = begins[-1] - 1
    finer, coarser = torch.full((2, gap + 1), gap)
    for i, (begin, length) in enumerate(zip(begins, lengths, strict=False)):
        own = torch.arange(length)
        if i > 0:
            finer[begin : begin + length] = begins[i - 1] + 2 * own
        if i < levels - 1:
            coarser[begin : begin + length] = begins[i + 1] + own // 2
    level = torch.repeat_interleave(torch.arange(levels), torch.tensor(lengths))
    number = torch.cat([torch.arange(length) for length in lengths])
    place = torch.tensor(begins)[level] + number
    inside = torch.zeros(gap + 1, dtype=torch.bool)
    inside[place] = True
    stride = (2**level).float()
    return Pyramid(
        place.to(device), inside.to(device), finer.to(device), coarser.to(device),
        level.to(device), (number * stride).to(device), stride.to(device), tuple(lengths),
    )  # fmt: skip


class ScaleLayer(nn.Module):
    """A layer of a head: each level with what the levels below and above add, then its own neighbourhood."""

    def __init__(self, channels: int, gate: Gate, official: bool) -> None:
        super().__init__()
        self.official = official
        self.finer = GatedShift(channels, gate, official)
        self.coarser = GatedShift(channels, gate, official)
        self.depth = ModulatedShift(channels)
        self.others = nn.Parameter(torch.zeros(1))
        self.own = nn.Parameter(torch.ones(1))
        self.unused = ChannelNorm(channels)  # read by nothing in the released code either, but counted and saved

    def forward(self, x: Tensor, mask: Tensor, levels: Pyramid) -> Tensor:
        """(B, C, L) and bool (B, 1, L), to (B, C, L)."""
        around = self.finer(x, mask)[..., levels.finer] + self.coarser(x, mask)[..., levels.coarser]
        y = self.others * around + self.own * x
        if not self.official:
            y = y * mask
        deep: Tensor = self.depth(y, mask, levels.inside)
        return deep


class Head(nn.Module):
    """Layers shared by all levels, then a convolution to `outs` numbers per point."""

    def __init__(self, channels: int, outs: int, depth: int, gate: Gate, official: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ScaleLayer(channels, gate, official) for _ in range(depth))
        self.last = nn.Conv1d(channels, outs, 3, padding=1)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor, levels: Pyramid) -> Tensor:
        """(B, C, L) to (B, P, outs); 0 outside the mask."""
        for layer in self.layers:
            x = F.relu(layer(x, mask, levels))
        x = self.last(x) * mask
        return x[..., levels.place].transpose(1, 2)


@dataclass
class Output:
    """What the detector says of the points of `levels`.

    Args:
        logits: (B, P, K); 0 outside the mask.
        distances: (B, P, 2), from the point back to the begin and on to the end, in strides of its level.
        mask: bool (B, P), points within the recording.
        steps: F, before padding.
    """

    logits: Tensor
    distances: Tensor
    mask: Tensor
    levels: Pyramid
    steps: int


class DyFADetSTA(nn.Module):
    """DyFADet on features of a window, with gates over time in front.

    Args:
        skeleton, frames, persons: facts of the data; the detector reads features alone, of windows of any length.
        taxonomy: its K labels.
        features: D of the windows' series; the published ones have 1408.
        attention: put the gate in front.
        width: C, a multiple of 16.
        hidden: of the MLPs.
        depth: convolutions that embed, layers of the stem, layers that halve; levels are one more than the latter.
        head: layers of each head before its last convolution.
        kernel, widen: see `DynE`.
        gate: see `GatedShift`.
        drop: rate of the layers that halve.
        noise: standard deviation of what is added to the features in training.
        radius: how far from the middle of a gesture, in strides, a point answers for it.
        positives: what the running mean of positive points begins with; few of them, and the first steps are large.
        least: candidates below are dropped.
        top: most candidates of a level.
        compat: `"official"` for the detector as released, see above.

    Raises:
        UsageError: the windows carry no features, the width is no multiple of 16, or `compat` is unknown.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import SMG
        >>> model = DyFADetSTA(SKELETONS["kinect25"], SMG, frames=512, persons=1, features=192, width=64)
    """

    task: ClassVar[str] = "spot"
    whole: ClassVar[bool] = False
    no_decay = ("gain", "shift", "scale")

    running: Tensor
    centre: Tensor
    deviation: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        features: int = 1408,
        attention: bool = True,
        width: int = 512,
        hidden: int = 768,
        depth: Sequence[int] = (2, 2, 5),
        head: int = 2,
        kernel: int = 1,
        widen: float = 5,
        gate: Gate = "c",
        drop: float = 0.005,
        noise: float = 1e-5,
        radius: float = 1.5,
        positives: float = 100.0,
        least: float = 0.001,
        top: int = 2000,
        compat: Compat | None = None,
    ) -> None:
        super().__init__()
        if compat not in (None, "official"):
            raise UsageError(f"compat is {compat!r}; it can be None or 'official'")
        if features < 1:
            raise UsageError("the system reads features of the windows, and there are none: set loading.features")
        if width % GROUPS:
            raise UsageError(f"width is {width}; it must be a multiple of {GROUPS}")
        official = compat == "official"
        self.features, self.official, self.noise, self.radius = features, official, noise, radius
        self.least, self.top, self.levels = least, top, depth[2] + 1
        self.attention = SpatialTemporalGate(features, space=False) if attention else None
        inputs = [features, *[width] * (depth[0] - 1)]
        self.embed = nn.ModuleList(nn.Conv1d(c, width, 3, padding=1, bias=False) for c in inputs)
        self.embed_norm = nn.ModuleList(ChannelNorm(width) for _ in inputs)
        self.stem = nn.ModuleList(DynE(width, hidden, kernel, widen, official=official) for _ in range(depth[1]))
        self.branch = nn.ModuleList(
            DynE(width, hidden, kernel, widen, pooled=True, drop=drop, official=official) for _ in range(depth[2])
        )
        for layer in (*self.stem, *self.branch):
            for conv in layer.mlp[::2]:
                nn.init.zeros_(conv.bias)
        self.neck = nn.ModuleList(ChannelNorm(width) for _ in range(self.levels))
        self.classes = Head(width, len(taxonomy), head, gate, official)
        nn.init.constant_(self.classes.last.bias, -math.log(99))  # type: ignore[arg-type]  # a score of 0.01
        self.segments = Head(width, 2, head, gate, official)
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(1.0)) for _ in range(self.levels))
        self.register_buffer("running", torch.tensor(float(positives)))
        self.register_buffer("centre", torch.zeros(features, 1))
        self.register_buffer("deviation", torch.ones(features, 1))

    def observe(self, recordings: Iterable[WindowBatch]) -> None:
        """Mean and deviation of every feature over the training recordings."""
        if self.official:
            return
        sums = []
        for one in recordings:
            x = one.described(self.features)[0].double()
            x = x[:, one.mask(x.shape[1])[0]]
            sums.append(torch.stack((torch.full((self.features,), x.shape[1]), x.sum(1), (x**2).sum(1))))
        if sums:
            count, total, squares = torch.stack(sums).sum(0)
            mean = total / count
            self.centre.copy_(mean[:, None])
            self.deviation.copy_((squares / count - mean**2).clamp(min=1e-8).sqrt()[:, None])

    def forward(self, batch: WindowBatch) -> Output:
        x = (batch.described(self.features) - self.centre) / self.deviation
        steps = x.shape[2]
        mask = F.pad(batch.mask(steps), (0, -steps % 2 ** (self.levels - 1)))[:, None]  # (B, 1, F')
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        x = F.pad(x, (0, mask.shape[2] - steps)) * mask
        if self.attention is not None:
            x = self.attention(x)
        for conv, norm in zip(self.embed, self.embed_norm, strict=True):
            x = F.relu(norm(conv(x) * mask))
            if not self.official:
                x = x * mask
        for layer in self.stem:
            x, mask = layer(x, mask)
        features, masks = [x], [mask]
        for layer in self.branch:
            x, mask = layer(x, mask)
            features.append(x)
            masks.append(mask)
        levels = pyramid(masks[0].shape[2], self.levels, x.device)
        necks = [norm(x) for norm, x in zip(self.neck, features, strict=True)]
        if not self.official:
            necks = [x * m for x, m in zip(necks, masks, strict=True)]
        x, mask = levels.packed(necks), levels.packed(masks)  # (B, C, L), (B, 1, L)
        logits = self.classes(x, mask, levels)
        scales = torch.stack(list(self.scales))[levels.level]
        distances = F.relu(self.segments(x, mask, levels) * scales[:, None])
        return Output(logits, distances, mask[:, 0, levels.place], levels, steps)

    def losses(self, out: Output, batch: WindowBatch) -> dict[str, Tensor]:
        made = [
            targets(out.levels, segments * out.steps - 0.5, classes, out.logits.shape[2], self.radius)
            for segments, classes in batch.targets()
        ]
        classes, distances = (torch.stack(parts) for parts in zip(*made, strict=True))  # (B, P, K), (B, P, 2)
        positive = (classes.sum(-1) > 0) & out.mask
        if self.training:
            self.running.mul_(0.9).add_(0.1 * positive.sum().clamp(min=1))
        return {
            "class": focal(out.logits[out.mask], classes[out.mask]).sum() / self.running,
            # a point that answers for two gestures of one length counts twice
            "segment": (diou(out.distances[positive], distances[positive]) * classes[positive].sum(-1)).sum()
            / self.running,
        }

    def candidates(self, out: Output, window: int) -> Detections:
        """Every point of a window that says more than `least`, in steps of the features, begins and ends unbounded."""
        score = out.logits[window].sigmoid() * out.mask[window, :, None]  # (P, K)
        parts = []
        per_point = (score, out.distances[window], out.levels.time, out.levels.stride)
        by_level = zip(*(torch.split(part, list(out.levels.lengths)) for part in per_point), strict=True)
        for scores, distances, time, stride in by_level:
            flat = scores.flatten()
            best, index = flat.topk(min(self.top, len(flat)))
            index = index[best > self.least]
            point = index // scores.shape[1]
            begin = time[point] - distances[point, 0] * stride[point]
            end = time[point] + distances[point, 1] * stride[point]
            parts.append(torch.stack((begin, end, index % scores.shape[1], flat[index])))
        begin, end, label, certain = torch.cat(parts, 1).detach().double().cpu().numpy()
        kept = end - begin > 0.05
        return Detections(begin, end, label, certain)[kept]

    def detections(self, out: Output, batch: WindowBatch) -> list[Detections]:
        found = []
        for window, valid in enumerate(batch.valid.tolist()):
            # step f is what lies around its middle, (f + 1/2) / F
            one = self.candidates(out, window).placed(0.5 / out.steps, 1 / out.steps)
            one = Detections(one.start.clip(0, valid), one.end.clip(0, valid), one.label, one.score)
            found.append(one[one.end > one.start])
        return found

    def merged(self, found: Detections) -> Detections:
        """Soft suppression per class, then voting."""
        kept = soft_nms(found, 0.5, least=self.least, most=self.top)
        return kept if self.official else voted(kept, found, 0.7)


def targets(
    levels: Pyramid, segments: Tensor, classes: Tensor, count: int, radius: float = 1.5
) -> tuple[Tensor, Tensor]:
    """What each point should say: the shortest gesture around it whose length suits its level and whose middle is near.

    Args:
        segments: (G, 2), in steps.
        classes: int64 (G,).
        count: K.
        radius: in strides of the point's level.

    Returns:
        Classes (P, K), 0 or 1, several for gestures of one length; distances (P, 2) in strides.
    """
    points = len(levels.time)
    if not len(classes):
        return segments.new_zeros(points, count), segments.new_zeros(points, 2)
    time, stride = levels.time[:, None], levels.stride[:, None]
    begin, end = segments.T
    distances = torch.stack((time - begin, end - time), -1)  # (P, G, 2)
    middle = (begin + end) / 2
    near = (
        torch.stack(
            (
                time - torch.maximum(middle - radius * stride, begin),
                torch.minimum(middle + radius * stride, end) - time,
            ),
            -1,
        ).amin(-1)
        > 0
    )
    # level 0 answers up to 4 steps, level l from 2 * 2^l to 4 * 2^l, the last for everything longer
    reach = distances.amax(-1)
    low = torch.where(levels.level > 0, 2 * levels.stride, 0)[:, None]
    high = torch.where(levels.level < len(levels.lengths) - 1, 4 * levels.stride, 1e4)[:, None]
    length = (end - begin).expand(points, -1).masked_fill(~(near & (reach >= low) & (reach <= high)), torch.inf)
    shortest, which = length.min(1)
    answers = (length <= shortest[:, None] + 1e-3) & (length < torch.inf)
    labels = (answers.float() @ F.one_hot(classes, count).float()).clamp(max=1)
    return labels, distances[torch.arange(points, device=which.device), which] / levels.stride[:, None]


def focal(logits: Tensor, wanted: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of each independent class, same shape; what is certain and right counts little.

    T.-Y. Lin et al.: Focal Loss for Dense Object Detection, ICCV 2017, https://arxiv.org/abs/1708.02002
    """
    p = logits.sigmoid()
    off = p + wanted - 2 * p * wanted  # 1 - probability of what is wanted
    share = alpha * wanted + (1 - alpha) * (1 - wanted)
    return share * off**gamma * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


def diou(predicted: Tensor, true: Tensor) -> Tensor:
    """1 - IoU + (distance of the centres / length of both together)^2 of segments around common points.

    Z. Zheng et al.: Distance-IoU Loss, AAAI 2020, https://arxiv.org/abs/1911.08287

    Args:
        predicted, true: (N, 2), distances to begin and end, not negative.

    Returns:
        (N,).
    """
    common = torch.minimum(predicted, true).sum(1)
    union = (predicted + true).sum(1) - common
    hull = torch.maximum(predicted, true).sum(1)
    apart = (predicted[:, 1] - predicted[:, 0] - true[:, 1] + true[:, 0]) / 2
    return 1 - common / union.clamp(min=1e-8) + (apart / hull.clamp(min=1e-8)) ** 2


def official_keys(model: DyFADetSTA) -> Keys:
    """Keys of DyFADet (yangle15/DyFADet-pytorch). The gate in front and the standardisation are not among them."""
    fixed = [
        f"{head}.head.{i}.{part}.shift_conv.weight"
        for head, ours in (("cls_head", model.classes), ("reg_head", model.segments))
        for i in range(len(ours.layers))
        for part in ("dynamic_convs.0", "dynamic_convs.1", "depth_module")
    ]
    return {key: _official(key) for key in model.state_dict()} | {"": tuple(fixed)}


def _official(key: str) -> tuple[str, ...]:
    *path, leaf = key.split(".")
    norm = {"gain": "weight", "shift": "bias"}.get(leaf, leaf)
    match path:
        case [] | ["attention", *_]:
            return ()
        case ["embed", i]:
            return (f"backbone.embd.{i}.conv.{leaf}",)
        case ["embed_norm", i]:
            return (f"backbone.embd_norm.{i}.{norm}",)
        case [("stem" | "branch") as part, i, *rest]:
            return tuple(f"backbone.{part}.{i}.{name}" for name in encoder_keys(".".join((*rest, leaf))))
        case ["neck", i]:
            return (f"neck.fpn_norms.{i}.{norm}",)
        case ["scales"]:
            return (f"reg_head.scale.{leaf}.scale",)
        case [("classes" | "segments") as head, "last"]:
            return (f"{'cls_head.cls_head' if head == 'classes' else 'reg_head.offset_head'}.conv.{leaf}",)
        case [("classes" | "segments") as head, "layers", i, *rest]:
            official = f"{'cls' if head == 'classes' else 'reg'}_head.head.{i}"
            return tuple(f"{official}.{name}" for name in layer_keys(".".join((*rest, leaf))))
    raise KeyError(key)


def encoder_keys(key: str) -> tuple[str, ...]:
    """Official keys of `DynE` (DynELayer)."""
    *path, leaf = key.split(".")
    names = {
        "norm": "ln", "mlp_norm": "gn", "moment": "psi", "near": "convw", "wide": "convkw", "level": "fc",
        "window": "global_fc", "drop": "drop_path_out", "drop_mlp": "drop_path_mlp", "mlp": "mlp",
    }  # fmt: skip
    leaf = {"gain": "weight", "shift": "bias"}.get(leaf, leaf)
    return (".".join((names[path[0]], *path[1:], leaf)),)


def layer_keys(key: str) -> tuple[str, ...]:
    """Official keys of `ScaleLayer` (DynamicScale_chk)."""
    part, _, rest = key.partition(".")
    match part:
        case "others":
            return ("scale_weight",)
        case "own":
            return ("output_weight",)
        case "unused":
            return (f"norm.{'weight' if rest == 'gain' else 'bias'}",)
    name = {"finer": "dynamic_convs.0", "coarser": "dynamic_convs.1", "depth": "depth_module"}[part]
    return tuple(f"{name}.{official}" for official in shift_keys(rest))


def shift_keys(key: str) -> tuple[str, ...]:
    """Official keys of `GatedShift` and `ModulatedShift` (DTFAM)."""
    part, leaf = key.split(".")
    norm = {"gain": "weight", "shift": "bias"}.get(leaf, leaf)
    match part:
        case "gate":
            return (f"kernel_conv.gate_conv.{leaf}",)
        case "modulate":
            return (f"kernel_conv.convs.0.{leaf}", f"kernel_conv.gate.gate_conv.{leaf}")
        case "modulate_norm":
            return (f"kernel_conv.convs.1.{norm}",)
    return (f"{part}.{norm}",)
