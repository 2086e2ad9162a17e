"""Learnable query points: a fixed number of queries per window, each with points in time that settle on one gesture.

Paper      P. Liu et al.: Micro-gesture Online Recognition using Learnable Query Points, MiGA@IJCAI 2024,
           https://arxiv.org/abs/2407.04490; its decoder is that of J. Tan et al.: PointTAD, NeurIPS 2022,
           https://arxiv.org/abs/2210.11035
Input      series (B, D, F), features of a window; or rgb (B, 4 F, H, W, 3), its pictures, published at 192 x 192 pixels
Output     logits (B, Q, K + 1), the last one for "nothing"; segments (B, Q, 2), centre and length as shares of the
           window; dense (B, F, K), what goes on at each step; logits and segments of the earlier layers
Losses     class (cross-entropy over K + 1), segment (L1 of centre and length), iou (1 - generalised IoU), of the last
           layer and, with its number, of every earlier one, after a one-to-one matching; dense (binary cross-entropy)
Fidelity   reconstructed: the paper has no code, and of its text summaries alone could be read. `mixer="mhsa"` is
           PointTAD, numerically equal to its official implementation, I3D included. Holes, and our choice:
           - how Mamba and attention are joined: two blocks, each with a norm before and a residual sum, one way along
             the queries, then attention; `order` and `both` give other ways
           - its sizes: 16 states, kernel 4, expansion 2
           - number of layers, queries and points: those of PointTAD on MultiTHUMOS
           - gestures that the window cuts are learnt as far as the window shows them
           - pictures are cropped and mirrored, but neither turned nor changed in colour
           `encoder="series"` is ours: the decoder reads features of any frozen recogniser, standardised.
           compat="official": what is called generalised IoU is the plain one; a batch without gestures teaches no
           background; of B windows at most B earlier layers learn; what two windows find stays double; a table of
           embeddings that nothing reads; the weights of offsets do not begin at zero, and dense probabilities at a
           half. As released, too: point_init="half", all points in the middle of the window, where segments have no
           length and deltas no gradient at first
Letters    B windows, F steps, Q queries, S points, G gestures, K classes, D channels
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.detections import Detections
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.suppression import nms
from microgesture.core.taxonomy import Taxonomy
from microgesture.formats.checkpoints import read_state
from microgesture.layers import i3d
from microgesture.layers.batch import WindowBatch
from microgesture.layers.i3d import I3D, Maps
from microgesture.layers.mamba import Mixer as Mamba
from microgesture.layers.official import Keys, load_official
from microgesture.layers.rates import decay_groups

Encoder = Literal["series", "i3d"]
Mixing = Literal["mhsa", "mamba_mhsa"]
Order = Literal["mamba_first", "mhsa_first", "parallel"]
PointInit = Literal["spread", "half"]
Compat = Literal["official"]

# places at which each point looks, and points that look as boundaries do
LOOKS = 4
BOUNDARY = 4
DOUBLE = 0.5
"""IoU above which of two detections of one class the less certain one goes."""


@dataclass
class Output:
    """What `QueryPoints` predicts; the last layer's logits (B, Q, K + 1) and segments (B, Q, 2), centre and length."""

    logits: Tensor
    segments: Tensor
    dense: Tensor
    """(B, F, K), logits of each class at each step."""
    earlier: list[tuple[Tensor, Tensor]]
    """Logits and segments of the layers before the last."""


def points_to_segments(points: Tensor) -> Tensor:
    """Begin and end (..., 2): least and greatest of the first S - ceil(S / 3) of the points (..., S).

    Example:
        >>> points_to_segments(torch.tensor([0.2, 0.5, 0.9, 0.0]))
        tensor([0.2000, 0.5000])
    """
    framing = points[..., : points.shape[-1] - -(-points.shape[-1] // 3)]
    return torch.stack((framing.amin(-1), framing.amax(-1)), -1)


def centre_length(segments: Tensor) -> Tensor:
    """Begin and end (..., 2) as centre and length."""
    start, end = segments.unbind(-1)
    return torch.stack(((start + end) / 2, end - start), -1)


def start_end(segments: Tensor) -> Tensor:
    """Centre and length (..., 2) as begin and end, within the window."""
    centre, length = segments.unbind(-1)
    return torch.stack((centre - length / 2, centre + length / 2), -1).clamp(0, 1)


def overlap(a: Tensor, b: Tensor, generalised: bool = True) -> Tensor:
    """IoU of segments (..., 2), begin and end; the generalised one falls below zero for those apart.

    Source: H. Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.
    """
    shared = (torch.minimum(a[..., 1], b[..., 1]) - torch.maximum(a[..., 0], b[..., 0])).clamp(min=0)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared
    iou = shared / (union + 1e-8)
    if not generalised:
        return iou
    hull = torch.maximum(a[..., 1], b[..., 1]) - torch.minimum(a[..., 0], b[..., 0])
    return iou - (hull - union) / (hull + 1e-8)


class Deformation(nn.Module):
    """What the points of a query see: each looks at four places near it, and the query says where and how much counts.

    One set of offsets and weights serves the first four points, another one the rest.
    """

    kind: Tensor

    def __init__(self, width: int, points: int) -> None:
        super().__init__()
        # offsets of both sets, then weights of both
        self.looks = nn.Linear(width, 4 * LOOKS)
        self.register_buffer("kind", (torch.arange(points) >= BOUNDARY).long(), persistent=False)

    def reset(self, offsets: bool) -> None:
        """One to four steps later, all alike; with `offsets`, which a query does not change at first."""
        with torch.no_grad():
            self.looks.bias.zero_()
            self.looks.bias[: 2 * LOOKS] = torch.arange(1.0, LOOKS + 1).repeat(2)
            if offsets:
                self.looks.weight.zero_()

    def forward(self, features: Tensor, points: Tensor, vectors: Tensor) -> Tensor:
        """Features (B, F, D), points (B, Q, S), vectors (B, Q, D) to (B, Q, S, D)."""
        steps = features.shape[1]
        offsets, weights = self.looks(vectors).unflatten(-1, (2, 2, LOOKS)).unbind(2)  # (B, Q, 2, 4) each
        weights = weights.softmax(-1)
        places = (points.unsqueeze(-1) + offsets[:, :, self.kind] / steps).clamp(0, 1) * (steps - 1)  # (B, Q, S, 4)
        # a place between two steps is a mixture of both, so that all looking is one product
        near = (1 - (places.unsqueeze(-1) - torch.arange(steps, device=places.device)).abs()).relu()
        share = (near * weights[:, :, self.kind].unsqueeze(-1)).sum(-2)  # (B, Q, S, F)
        seen: Tensor = share.flatten(1, 2).to(features.dtype) @ features
        return seen.view(*points.shape, -1)


class Interaction(nn.Module):
    """What queries tell each other, (B, Q, D): attention, and in the paper Mamba along the queries.

    Args:
        width: D.
        heads: of the attention.
        dropout: of the attention.
        blocks: of Mamba; 0 = attention alone.
        state, order, both: see `QueryPoints`.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, blocks: int, state: int, order: Order, both: bool
    ) -> None:
        super().__init__()
        self.order = order
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks))
        self.mambas = nn.ModuleList(Mamba(width, state=state, both=both) for _ in range(blocks))
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        match self.order:
            case "mamba_first":
                return self._attend(self._scan(x))
            case "mhsa_first":
                return self._scan(self._attend(x))
            case "parallel":
                return self._attend(x, self._scan(x) - x)

    def _scan(self, x: Tensor) -> Tensor:
        for norm, mamba in zip(self.norms, self.mambas, strict=True):
            x = x + mamba(norm(x))
        return x

    def _attend(self, x: Tensor, more: Tensor | float = 0.0) -> Tensor:
        told, _ = self.attention(x, x, x, need_weights=False)
        y: Tensor = self.norm(x + self.drop(told) + more)
        return y


class ParallelMixing(nn.Module):
    """Mixes what the points of a query see by matrices that the query makes: over channels, and over points.

    Args:
        width: D.
        points: S.
        inner: channels between the two products over channels.
    """

    def __init__(self, width: int, points: int, inner: int = 64) -> None:
        super().__init__()
        self.points, self.inner = points, inner
        self.over_channels = nn.Linear(width, 2 * width * inner)
        self.over_points = nn.Linear(width, points * points)
        self.norm_inner = nn.LayerNorm(inner)
        self.norm_channels = nn.LayerNorm(width)
        self.norm_points = nn.LayerNorm(points)
        self.out = nn.Linear(2 * points * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, seen: Tensor, vectors: Tensor) -> Tensor:
        """(B, Q, S, D) and (B, Q, D) to (B, Q, D)."""
        width = seen.shape[-1]
        narrow, wide = self.over_channels(vectors).chunk(2, -1)
        x = F.relu(self.norm_inner(seen @ narrow.unflatten(-1, (width, self.inner))))
        x = F.relu(self.norm_channels(x @ wide.unflatten(-1, (self.inner, width))))
        across = self.over_points(vectors).unflatten(-1, (self.points, self.points))
        y = F.relu(self.norm_points(seen.transpose(-1, -2) @ across)).transpose(-1, -2)
        return F.relu(self.norm(self.out(torch.cat((x, y), -1).flatten(2))))


class Layer(nn.Module):
    """A layer of the decoder: look, talk, mix, think; then say what it is and move the points."""

    def __init__(
        self, width: int, classes: int, points: int, feedforward: int, inner: int, dropout: float, interact: Interaction
    ) -> None:
        super().__init__()
        self.look = Deformation(width, points)
        self.interact = interact
        self.mix = ParallelMixing(width, points, inner)
        self.norm_mix = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(feedforward, width)
        )
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        self.name = nn.Sequential(*hidden(width), nn.Linear(width, classes + 1))
        self.move = nn.Sequential(*hidden(width), *hidden(width), *hidden(width), nn.Linear(width, points))

    def forward(self, features: Tensor, points: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, F, D), points (B, Q, S), vectors (B, Q, D) to logits (B, Q, K + 1), points and vectors."""
        seen = self.look(features, points, vectors)
        x = self.interact(vectors)
        x = self.norm_mix(x + self.drop(self.mix(seen, x)))
        x = self.norm(x + self.drop(self.feedforward(x)))
        start, end = points_to_segments(points).unbind(-1)
        points = points + self.move(x) * (end - start).unsqueeze(-1) / 2
        return self.name(x), points, x


def hidden(width: int) -> tuple[nn.Module, ...]:
    """A hidden layer of a head."""
    return nn.Linear(width, width, bias=False), nn.LayerNorm(width), nn.ReLU(inplace=True)


class SeriesFeatures(nn.Module):
    """Features of a window as they come, standardised by what training recordings show, projected to `width`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.project = nn.Linear(features, width)

    def observe(self, recordings: Iterable[WindowBatch]) -> None:
        """Mean and deviation of every feature over all steps of all recordings."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for batch in recordings:
            x = batch.described(len(self.mean)).transpose(1, 2)
            x = x[batch.mask(x.shape[1])].double()
            count, total, squares = count + len(x), total + x.sum(0), squares + x.square().sum(0)
        if not count:
            raise UsageError("there is no recording to take the mean of the features from")
        mean = total / count
        self.mean.copy_(mean)
        self.deviation.copy_((squares / count - mean.square()).clamp(min=0).sqrt())

    def forward(self, batch: WindowBatch) -> Tensor:
        """(B, F, width)."""
        x = batch.described(len(self.mean)).transpose(1, 2)
        x = (x - self.mean) / torch.where(self.deviation > 1e-6, self.deviation, 1)  # a constant says nothing
        y: Tensor = self.project(x * batch.mask(x.shape[1]).unsqueeze(-1))
        return y


class PictureFeatures(nn.Module):
    """Pictures of a window through I3D, one feature for every four of them: the sum of two blocks' projections.

    Args:
        width: channels of the result.
        backbone: pictures (B, 3, T, H, W), -1 to 1, to `Maps`.
        channels: of its two maps.
        crop, flip: see `QueryPoints`.
    """

    def __init__(
        self,
        width: int,
        backbone: nn.Module,
        channels: Sequence[int] = i3d.CHANNELS,
        crop: int = 0,
        flip: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone, self.crop, self.flip = backbone, crop, flip
        self.project_4f, self.project_5c = (nn.Conv2d(c, width, 1) for c in channels)

    def forward(self, batch: WindowBatch) -> Tensor:
        """(B, F, width).

        Raises:
            UsageError: the batch has no pictures, or they are smaller than the crop.
            FormatError: a window has none, or a pixel is not finite.
        """
        if batch.rgb is None:
            raise UsageError(
                "encoder 'i3d' reads pictures of the windows, and there are none: "
                "set loading.pictures, or choose encoder 'series'"
            )
        if not batch.rgb.numel():
            raise FormatError("<batch>", "windows without a picture hold nothing", remedy="leave such windows out")
        x = self.shown(batch.rgb).movedim(-1, 1).float() / 127.5 - 1
        if not torch.isfinite(x).all():
            window = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
            raise FormatError("<batch>", "pictures are not finite", place=f"window {window}")
        maps: Maps = self.backbone(x)
        pooled = (m.mean((-2, -1)).unsqueeze(-1) for m in maps)  # (B, C, F, 1)
        y: Tensor = sum(p(m) for p, m in zip((self.project_4f, self.project_5c), pooled, strict=True))
        return y.squeeze(-1).transpose(1, 2)

    def shown(self, rgb: Tensor) -> Tensor:
        """What the network sees of pictures (B, T, H, W, 3): one crop for each window, mirrored or not."""
        height, width = rgb.shape[2:4]
        side = self.crop
        if side > min(height, width):
            raise UsageError(f"crop is {side}; the windows' pictures have {width} x {height} pixels: loading.pictures")
        if side and not self.training:
            top, left = (height - side) // 2, (width - side) // 2
            rgb = rgb[:, :, top : top + side, left : left + side]
        elif side:
            free = torch.tensor((height - side + 1, width - side + 1))
            places = (torch.rand(len(rgb), 2) * free).long().tolist()
            rgb = torch.stack([w[:, y : y + side, x : x + side] for w, (y, x) in zip(rgb, places, strict=True)])
        if self.training and self.flip:
            mirrored = (torch.rand(len(rgb)) < self.flip).to(rgb.device).view(-1, 1, 1, 1, 1)
            rgb = torch.where(mirrored, rgb.flip(3), rgb)
        return rgb


class QueryPoints(nn.Module):
    """PointTAD with Mamba among the queries. The defaults are the published sizes.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; poses are not read, and any length is accepted.
        features: channels of `batch.series`, 0 if there are none.
        encoder: `"series"` or `"i3d"`; by default, series if there are features.
        kinetics: file with an I3D to start from, .safetensors or .pth, under the names of the official code; None
            starts from nothing. The published figure starts from Kinetics-400.
        encoder_rate: share of the learning rate at which I3D learns, above 0; 0.05 in PointTAD, which starts from
            Kinetics-400. An I3D that starts from nothing wants the whole.
        crop: side of the square of a picture that I3D sees, in pixels: in training at a place of its own in each
            window, else in the middle. PointTAD shows 192 of 256. 0 = whole pictures.
        flip: probability that a window is mirrored in training, 0.5 in PointTAD; only for classes that do not tell
            sides apart.
        width: D.
        layers, queries, points: L, Q and S.
        mixer: `"mamba_mhsa"`, or `"mhsa"` for PointTAD as published.
        mamba_blocks, mamba_state: of Mamba in each layer.
        order: which comes first, or `"parallel"`.
        both: let Mamba go along the queries both ways.
        heads, feedforward, dropout: of the decoder.
        mixing: inner width of the matrices that queries make; they hold most of the parameters.
        point_init: `"spread"`, queries side by side over the window, or `"half"`, all points in its middle.
        no_object: weight of the class "nothing" in the cross-entropy.
        costs: of matching a query to a gesture: class, L1, IoU.
        weights: of the losses: class, segment, iou, dense.
        compat: `"official"` reproduces the released code, see above.

    Raises:
        UsageError: an option is unknown or makes no sense, or encoder "series" has no features to read.
        NoInput, FormatError: `kinetics` cannot be read or hold no I3D.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import SMG
        >>> model = QueryPoints(SKELETONS["kinect25"], SMG, 512, 1, features=64, width=32, feedforward=64, mixing=16)
    """

    task: ClassVar[str] = "spot"
    whole: ClassVar[bool] = False
    starts_from = ("kinetics",)
    no_decay: ClassVar[tuple[str, ...]] = ("A_log", "points", "vectors")

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        features: int = 0,
        encoder: Encoder | None = None,
        kinetics: str | None = None,
        encoder_rate: float = 1.0,
        crop: int = 0,
        flip: float = 0.0,
        width: int = 512,
        layers: int = 4,
        queries: int = 48,
        points: int = 21,
        mixer: Mixing = "mamba_mhsa",
        mamba_blocks: int = 2,
        mamba_state: int = 16,
        order: Order = "mamba_first",
        both: bool = False,
        heads: int = 8,
        feedforward: int = 2048,
        mixing: int = 64,
        dropout: float = 0.1,
        point_init: PointInit = "spread",
        no_object: float = 0.1,
        costs: tuple[float, float, float] = (10.0, 5.0, 5.0),
        weights: tuple[float, float, float, float] = (1.0, 5.0, 5.0, 10.0),
        compat: Compat | None = None,
    ) -> None:
        super().__init__()
        choices: tuple[tuple[str, object, tuple[object, ...]], ...] = (
            ("encoder", encoder, ("series", "i3d", None)),
            ("mixer", mixer, ("mhsa", "mamba_mhsa")),
            ("order", order, ("mamba_first", "mhsa_first", "parallel")),
            ("point_init", point_init, ("spread", "half")),
            ("compat", compat, (None, "official")),
        )
        for name, value, known in choices:
            if value not in known:
                raise UsageError(f"{name} is {value!r}; it can be {', '.join(map(repr, known))}")
        if points < 3:
            raise UsageError(f"queries have {points} points; a segment needs at least 3")
        if width % heads:
            raise UsageError(f"width is {width}; it must be a multiple of the {heads} heads")
        if encoder is None:
            encoder = "series" if features else "i3d"
        if encoder == "series" and not features:
            raise UsageError("encoder 'series' reads features of the windows, and there are none: set loading.features")
        if crop < 0 or not 0 <= flip <= 1:
            raise UsageError(f"crop is {crop} and flip {flip}; they must be 0 or more, and a probability")
        if kinetics is not None and encoder == "series":
            raise UsageError("kinetics is for encoder 'i3d'; encoder 'series' has no I3D to start from")
        if not 0 < encoder_rate < math.inf:
            raise UsageError(f"encoder_rate is {encoder_rate}; it must be above 0 and finite")
        if encoder_rate != 1 and encoder == "series":
            raise UsageError("encoder_rate is for encoder 'i3d'; encoder 'series' has no I3D to slow down")
        classes = len(taxonomy)
        self.costs, self.weights, self.compat, self.encoder_rate = costs, weights, compat, encoder_rate
        self.register_buffer("class_weight", torch.ones(classes + 1), persistent=False)
        self.class_weight[-1] = no_object
        self.encoder: SeriesFeatures | PictureFeatures
        self.origin = {"i3d": "from scratch" if kinetics is None else Path(kinetics).name} if encoder == "i3d" else {}
        """What I3D started from: the name of a file, or `"from scratch"`."""
        if encoder == "series":
            self.encoder = SeriesFeatures(features, width)
        else:
            backbone = I3D()
            if kinetics is not None:
                load_kinetics(backbone, read_state(kinetics), kinetics)
            self.encoder = PictureFeatures(width, backbone, crop=crop, flip=flip)
        self.vectors = nn.Parameter(torch.randn(queries, width))
        self.points = nn.Parameter(_start(queries, points, point_init))
        self.unused = nn.Parameter(torch.randn(queries, width)) if compat else None
        blocks = mamba_blocks if mixer == "mamba_mhsa" else 0
        self.layers = nn.ModuleList(
            Layer(
                width,
                classes,
                points,
                feedforward,
                mixing,
                dropout,
                Interaction(width, heads, dropout, blocks, mamba_state, order, both),
            )
            for _ in range(layers)
        )
        self.dense = nn.Sequential(
            nn.Conv1d(width, width // 2, 3, padding=1), nn.Dropout(0.5), nn.Conv1d(width // 2, classes, 1)
        )
        self._initialise()

    class_weight: Tensor

    def _initialise(self) -> None:
        for name, parameter in self.layers.named_parameters():
            if parameter.ndim > 1 and ".mambas." not in name:
                nn.init.xavier_uniform_(parameter)
        for layer in self.layers:
            assert isinstance(layer, Layer)
            layer.look.reset(offsets=self.compat is None)
        last = self.dense[-1]
        if self.compat is None and isinstance(last, nn.Conv1d) and last.bias is not None:
            # a class goes on at a hundredth of the steps: else the first epochs learn nothing but that
            nn.init.constant_(last.bias, -math.log(99))

    def observe(self, recordings: Iterable[WindowBatch]) -> None:
        """Take mean and deviation of the features, if it reads features."""
        if isinstance(self.encoder, SeriesFeatures):
            self.encoder.observe(recordings)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """I3D learns at `encoder_rate`, the rest at the whole rate; what decays is as in every system."""
        return decay_groups(self, lambda name: self.encoder_rate if name.startswith("encoder.backbone.") else 1.0)

    def forward(self, batch: WindowBatch) -> Output:
        return self.decode(self.encoder(batch))

    def decode(self, features: Tensor) -> Output:
        """Output for encoded windows (B, F, D)."""
        dense = self.dense(features.transpose(1, 2)).transpose(1, 2)
        points = self.points.expand(len(features), -1, -1)
        vectors = self.vectors.expand(len(features), -1, -1)
        found = []
        for layer in self.layers:
            logits, points, vectors = layer(features, points, vectors)
            found.append((logits, centre_length(points_to_segments(points))))
        return Output(*found[-1], dense, found[:-1])

    def losses(self, out: Output, batch: WindowBatch) -> dict[str, Tensor]:
        truth = [_seen(*one, float(valid)) for one, valid in zip(batch.targets(), batch.valid, strict=True)]
        count = max(1, sum(len(classes) for _, classes in truth))
        earlier = out.earlier[: len(batch)] if self.compat else out.earlier
        said = [("", out.logits, out.segments), *((f"_{i}", *one) for i, one in enumerate(earlier))]
        terms: dict[str, Tensor] = {}
        for suffix, logits, segments in said:
            named, placed, shared = self._set_loss(logits.float(), segments.float(), truth, count)
            terms |= {f"class{suffix}": named, f"segment{suffix}": placed, f"iou{suffix}": shared}
        mask = batch.mask(out.dense.shape[1])
        present = going_on(truth, out.dense)
        dense = F.binary_cross_entropy_with_logits(out.dense[mask].float(), present[mask].float())
        return terms | {"dense": self.weights[3] * dense}

    def _set_loss(
        self, logits: Tensor, segments: Tensor, truth: Sequence[tuple[Tensor, Tensor]], count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Weighted losses of one layer: class, segment, iou; `count` gestures in the batch."""
        target = torch.full(logits.shape[:2], logits.shape[-1] - 1, device=logits.device)
        ours, theirs = [], []
        for i, (gestures, classes) in enumerate(truth):
            query, gesture = self.match(logits[i], segments[i], gestures, classes)
            target[i, query] = classes[gesture]
            ours.append(segments[i, query])
            theirs.append(gestures[gesture])
        named = F.cross_entropy(logits.transpose(1, 2), target, self.class_weight.to(logits))
        if self.compat and not any(len(classes) for _, classes in truth):
            named = 0 * logits.sum()
        found, true = torch.cat(ours), torch.cat(theirs)
        placed = (found - centre_length(true)).abs().sum() / count
        shared = (1 - overlap(start_end(found), true, self.compat is None)).sum() / count
        return self.weights[0] * named, self.weights[1] * placed, self.weights[2] * shared

    @torch.no_grad()
    def match(self, logits: Tensor, segments: Tensor, gestures: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Which query answers for which gesture of a window: the pairs of least cost in sum.

        Args:
            logits: (Q, K + 1).
            segments: (Q, 2), centre and length.
            gestures: (G, 2), begin and end.
            classes: (G,).

        Returns:
            Indices of queries and of gestures, both (min(Q, G),).
        """
        from scipy.optimize import linear_sum_assignment

        by_class, by_place, by_overlap = self.costs
        shared = overlap(start_end(segments).unsqueeze(1), gestures, self.compat is None)
        apart = (segments.unsqueeze(1) - centre_length(gestures)).abs().sum(-1)
        cost = by_place * apart - by_class * logits.softmax(-1)[:, classes] - by_overlap * shared
        # what is not a number shows in the losses, and need not stop here
        query, gesture = linear_sum_assignment(cost.double().nan_to_num(nan=1e6).cpu().numpy())
        return torch.from_numpy(query).to(logits.device), torch.from_numpy(gesture).to(logits.device)

    def detections(self, out: Output, batch: WindowBatch) -> list[Detections]:
        """One per query, of its best class."""
        score, label = out.logits.detach().float().softmax(-1)[..., :-1].max(-1)
        segments = start_end(out.segments.detach().float())
        found = []
        for s, (start, end), k, valid in zip(score, segments.movedim(-1, 1), label, batch.valid.tolist(), strict=True):
            end = end.clamp(max=valid)
            kept = end > start
            found.append(Detections(*(t[kept].cpu().numpy() for t in (start, end, k, s))))
        return found

    def merged(self, found: Detections) -> Detections:
        """All windows of a recording: what several queries or windows say of one gesture counts once."""
        return found if self.compat else nms(found, DOUBLE)


def _seen(gestures: Tensor, classes: Tensor, valid: float) -> tuple[Tensor, Tensor]:
    """Gestures (G, 2) and classes (G,) as far as the window shows them."""
    gestures = gestures.clamp(0, valid)
    shown = gestures[:, 1] > gestures[:, 0]
    return gestures[shown], classes[shown]


def going_on(truth: Sequence[tuple[Tensor, Tensor]], like: Tensor) -> Tensor:
    """(B, F, K), shaped like that: 1 for each class at every step that a gesture of it touches.

    Args:
        truth: gestures (G, 2), begin and end, and classes (G,) of each window.
    """
    target = torch.zeros_like(like)
    steps = like.shape[1]
    at = torch.arange(steps, device=like.device).unsqueeze(1)
    for present, (gestures, classes) in zip(target, truth, strict=True):
        touched = (gestures[:, 0] * steps < at + 1) & (gestures[:, 1] * steps > at)  # (F, G)
        present.index_add_(1, classes, touched.to(present.dtype))
    return target.clamp(max=1)


def _start(queries: int, points: int, init: PointInit) -> Tensor:
    """Points (Q, S) to begin with: segments side by side, two places wide, or all points in the middle."""
    if init == "half":
        return torch.full((queries, points), 0.5)
    framing = points - -(-points // 3)
    along = torch.cat((torch.linspace(-1, 1, framing), torch.linspace(-1, 1, points - framing)))
    middle = (torch.arange(queries) + 0.5) / queries
    return middle.unsqueeze(1) + (along + 0.1 * torch.randn(queries, points)) / queries


def load_kinetics(network: I3D, state: Mapping[str, Tensor], source: str = "<checkpoint>") -> None:
    """Start from an I3D of pictures, with or without its classifier `logits`.

    Raises:
        FormatError: a tensor is missing, has another shape, or would be left over.
    """
    keys = {key: i3d.official_keys(key) for key in network.state_dict()}
    every = [name for names in keys.values() for name in names]
    # older files do not count batches
    counters = {name: torch.tensor(0) for name in every if name.endswith("num_batches_tracked")}
    beside = tuple(name for name in state if name.startswith("logits."))
    load_official(network, counters | dict(state), keys | {"": beside}, source)


MIX = {
    "over_channels": "dynamic_layer",
    "over_points": "dynamic_temp_layer",
    "norm_inner": "norm1",
    "norm_channels": "norm2",
    "norm_points": "norm4",
    "out": "out_layer",
    "norm": "norm3",
}
"""Names of the parts of `ParallelMixing` in the official code."""


def official_keys(model: QueryPoints) -> Keys:
    """Keys of PointTAD; what Mamba and a projection of features hold is not among them."""
    keys = {key: _official(key) for key in model.state_dict()}
    return keys if model.compat else keys | {"": ("query_embed.weight",)}


def _official(key: str) -> tuple[str, ...]:
    *path, leaf = key.split(".")
    match path:
        case []:
            table = {"vectors": "init_proposal_features", "points": "init_proposal_points", "unused": "query_embed"}
            return (f"{table[leaf]}.weight",)
        case ["encoder", "backbone", *_]:
            return tuple(f"backbone._model.{name}" for name in i3d.official_keys(".".join(key.split(".")[2:])))
        case ["encoder", "project_4f" | "project_5c" as part]:
            return (f"input_proj_{part[-2:]}.{leaf}",)
        case ["encoder", *_] | ["layers", _, "interact", "norms" | "mambas", *_]:
            return ()
        case ["dense", i]:
            return (f"linear_pred.{i}.{leaf}",)
        case ["layers", i, *part]:
            layer = f"decoder.head_series.{i}"
            match part:
                case ["look", _]:
                    look = f"{layer}.point_deformation"
                    return tuple(
                        f"{look}.{kind}_{what}.{leaf}"
                        for what in ("offsets", "weights")
                        for kind in ("boundary", "center")
                    )
                case ["interact", "attention", *rest]:
                    return (".".join((layer, "self_attn", *rest, leaf)),)
                case ["interact", "norm"]:
                    return (f"{layer}.norm1.{leaf}",)
                case ["mix", name]:
                    return (f"{layer}.inst_parallel_mix.{MIX[name]}.{leaf}",)
                case ["norm_mix" | "norm"]:
                    return (f"{layer}.{'norm2' if part == ['norm_mix'] else 'norm3'}.{leaf}",)
                case ["feedforward", n]:
                    return (f"{layer}.{'linear1' if n == '0' else 'linear2'}.{leaf}",)
                case ["name", n]:
                    return (f"{layer}.class_logits.{leaf}" if n == "3" else f"{layer}.cls_module.{n}.{leaf}",)
                case ["move", n]:
                    return (f"{layer}.points_delta.{leaf}" if n == "9" else f"{layer}.reg_module.{n}.{leaf}",)
    raise KeyError(key)
