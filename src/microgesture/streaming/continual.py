"""Recognisers frame by frame: every layer remembers what it needs, so that a new frame costs one step, not a window.

Idea       L. Hedegaard, N. Heidari, A. Iosifidis: Continual spatio-temporal graph convolutional networks, Pattern
           Recognition 2023, https://arxiv.org/abs/2203.11009. Ours keeps the strides of the network.
Exact      The answer is the mean over the last outputs that the same network, put over the whole stream from its first
           frame on, has had so far: to rounding, for every frame. A window cut out of the stream sees zeros around it
           instead of the stream, so its answer differs near its borders.
Delay      A temporal convolution looks ahead by half its kernel. An output therefore comes `lookahead` frames after
           the frame it is centred on; or, with `causal=True`, all kernels are moved into the past. That is another
           network of the same weights, with a twin that goes over whole clips: `CausalTwin`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.layers.batch import PoseBatch
from microgesture.layers.mamba import MambaBlock
from microgesture.layers.temporal import BranchedConv, TemporalConv, every
from microgesture.systems import stgcn, stgcnpp
from microgesture.systems.mamba_mg import Memory, SkeletonMamba
from microgesture.systems.stgcn import STGCN
from microgesture.systems.stgcnpp import STGCNpp

Affine = tuple[Tensor, Tensor]
"""Weight (C, D) and bias (D,) of a product with rows of C channels."""

# why a system has no exact form frame by frame
_WHOLE_CLIP = {
    "CTRGCN": "its graphs are refined by the mean over the whole clip",
    "AAGCN": "its graphs come from the whole clip, and it weighs frames by all others",
    "AGCN": "its graphs come from the whole clip",
    "BodyGCN": "it removes medians of the clip and takes maxima over it",
}


def continual(system: nn.Module, pooled: int | None = None, *, causal: bool = False) -> ContinualNet:
    """The same network frame by frame.

    Args:
        system: an ST-GCN, an ST-GCN++, or a SkeletonMamba of frames that scans forwards alone; in eval mode. What it
            learns later does not reach the result.
        pooled: frames the answer is the mean over, as a window has; all frames so far if not given.
        causal: look into the past alone. A SkeletonMamba does so anyway.

    Raises:
        UsageError: the system has no exact form of this kind, or is in training mode.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import SMG
        >>> model = STGCN(SKELETONS["kinect25"], SMG, frames=60, persons=1, width=8).eval()
        >>> continual(model, pooled=60).lookahead, continual(model, pooled=60, causal=True).lookahead
        (76, 0)
    """
    if system.training:
        raise UsageError("frames one by one have no batch statistics: call eval() first")
    if pooled is not None and pooled < 1:
        raise UsageError(f"pooled is {pooled}; the answer needs at least 1 frame")
    if isinstance(system, (STGCN, STGCNpp)):
        return ContinualGCN(system, pooled, causal)
    if isinstance(system, SkeletonMamba):
        return ContinualMamba(system, pooled)
    name = type(system).__name__
    why = _WHOLE_CLIP.get(name, "only STGCN, STGCNpp and SkeletonMamba are known here")
    raise UsageError(f"{name} does not go frame by frame: {why}; let it look at a window every few frames instead")


class ContinualNet(ABC):
    """A network that takes frames one by one.

    Args:
        lookahead: frames between the frame an output is centred on and the one that completes it.
        stride: frames from one output to the next; between them the answer stays the same.
        pooled: outputs the answer is the mean over, None for all.
    """

    def __init__(self, lookahead: int, stride: int, pooled: int | None) -> None:
        self.lookahead, self.stride, self.pooled = lookahead, stride, pooled
        self.outputs = 0
        """Outputs so far; one more after a step means that the answer is a new one."""
        self._recent = _Recent(pooled)

    def step(self, batch: PoseBatch) -> Tensor | None:
        """One frame: logits (B, K), or None while no output is complete.

        Args:
            batch: the next frame (T = 1) of B streams with M persons, the same B and M in every step.

        Raises:
            UsageError: the batch holds several frames, or another number of streams or persons than before.
            FormatError: a value is not finite.
        """
        if batch.xy.shape[2] != 1:
            raise UsageError(f"a step takes one frame, the batch has {batch.xy.shape[2]}")
        shape = batch.xy.shape
        if self._shape is not None and self._shape != shape:
            raise UsageError(f"a frame has shape {[*shape]}, those before had {[*self._shape]}; call reset() between")
        self._shape = shape
        with torch.inference_mode():
            out = self._advance(batch)
            if out is not None:
                self._take(out)
        return self._recent.mean

    def flush(self) -> list[Tensor]:
        """The stream has ended: the answers (B, K) still to come, with zeros behind the end as over a whole clip.

        The network then begins anew.
        """
        with torch.inference_mode():
            answers = [self._take(out) for out in self._rest()]
        self.reset()
        return answers

    def reset(self) -> None:
        """Forget everything: the next frame is the first of a stream."""
        self.outputs = 0
        self._recent = _Recent(self.pooled)
        self._shape = None
        self._forget()

    _shape: torch.Size | None = None

    def _take(self, out: Tensor) -> Tensor:
        self.outputs += 1
        return self._recent.push(out)

    @abstractmethod
    def _advance(self, batch: PoseBatch) -> Tensor | None:
        """Logits (B, K) of the output that this frame completes, if it does."""

    @abstractmethod
    def _rest(self) -> list[Tensor]:
        """Outputs that wait for frames behind the end."""

    @abstractmethod
    def _forget(self) -> None: ...


class _Recent:
    """Mean over the last `size` outputs, or over all. The classifiers are linear: logits are averaged, not features."""

    def __init__(self, size: int | None) -> None:
        self.size, self.count = size, 0
        self.mean: Tensor | None = None
        self._held: Tensor | None = None

    def push(self, x: Tensor) -> Tensor:
        if self._held is None:
            self._held = x.new_zeros((self.size or 1, *x.shape), dtype=torch.float32 if self.size else torch.float64)
        if self.size:
            self._held[self.count % self.size] = x
            self.count += 1
            self.mean = self._held[: self.count].mean(0)  # of all anew: a running sum would drift
        else:
            self._held[0] += x
            self.count += 1
            self.mean = (self._held[0] / self.count).to(x.dtype)
        return self.mean


class ContinualGCN(ContinualNet):
    """ST-GCN and ST-GCN++ frame by frame; batch norms are folded into the products before them.

    Frames are rows (N * V, C), N = B * M, so that every layer is one or two matrix products.
    """

    def __init__(self, system: STGCN | STGCNpp, pooled: int | None, causal: bool) -> None:
        self.blocks = [_Block(block, causal) for block in system.trunk.blocks]
        lookahead, stride = 0, 1
        for block in self.blocks:
            lookahead += stride * block.delay
            stride *= block.stride
        super().__init__(lookahead, stride, None if pooled is None else -(-pooled // stride))
        self.in_channels = system.in_channels
        scale, shift = _norm(system.trunk.norm.bn)  # type: ignore[arg-type]
        joints = scale.numel() // self.in_channels
        self.scale, self.shift = (a.view(joints, -1).float() for a in (scale, shift))
        self.weight = system.classifier.weight.detach().t().contiguous()
        self.bias = system.classifier.bias.detach().clone()
        self.persons = 1

    def _advance(self, batch: PoseBatch) -> Tensor | None:
        x = batch.features(self.in_channels)[:, :, 0]  # (B, M, V, C)
        self.persons = x.shape[1]
        rows: Tensor | None = torch.addcmul(self.shift, x, self.scale).flatten(0, 2)
        for block in self.blocks:
            assert rows is not None
            rows = block.push(rows)
            if rows is None:
                return None
        assert rows is not None
        return self._classify(rows)

    def _rest(self) -> list[Tensor]:
        waiting: list[Tensor] = []
        for block in self.blocks:
            passed = [y for x in waiting if (y := block.push(x)) is not None]
            waiting = passed + block.flush()
        return [self._classify(rows) for rows in waiting]

    def _classify(self, rows: Tensor) -> Tensor:
        x = rows.view(-1, self.persons * self.blocks[-1].joints, rows.shape[-1]).mean(1)
        return torch.addmm(self.bias, x, self.weight)

    def _forget(self) -> None:
        for block in self.blocks:
            block.forget()


class _Block:
    """A block: space at once, then the temporal unit and the residual, `delay` frames later."""

    def __init__(self, block: nn.Module, causal: bool) -> None:
        assert isinstance(block, (stgcn.Block, stgcnpp.Block))
        self.space = _Space(block.space)
        self.joints = self.space.joints
        self.time: _Conv | _Branches
        if isinstance(block.time, TemporalConv):
            self.time = _Conv(block.time)
            self.stride = block.time.conv.stride[0]
        else:
            self.time = _Branches(block.time, causal)
            self.stride = block.time.stride
        self.delay = 0 if causal else self.time.reach
        self.residual = isinstance(block.residual, nn.Identity)
        self.shortcut: Affine | None = None
        if isinstance(block.residual, TemporalConv):
            self.shortcut = _folded(block.residual.conv, block.residual.bn)
        self.forget()

    def forget(self) -> None:
        self.seen = 0
        self.held = _Ring(2 * self.time.reach + 1)
        self.inputs = _Ring(self.delay + 1)

    def push(self, x: Tensor) -> Tensor | None:
        """One frame in; the output that it completes, if it does."""
        if self.residual or self.shortcut:
            self.inputs.push(x)
        return self._next(self.time.enter(self.space(x)))

    def flush(self) -> list[Tensor]:
        """The outputs that wait for frames: behind the end there are zeros before the temporal unit."""
        outputs = []
        for _ in range(self.delay if self.seen else 0):
            nothing = torch.zeros_like(self.held.last[:, -1])
            if self.residual or self.shortcut:
                self.inputs.push(torch.zeros_like(self.inputs.last[:, -1]))
            y = self._next(nothing)
            if y is not None:
                outputs.append(y)
        return outputs

    def _next(self, entered: Tensor) -> Tensor | None:
        self.held.push(entered)
        centre = self.seen - self.delay
        self.seen += 1
        if centre < 0 or centre % self.stride:
            return None
        y = self.time(self.held.last)
        if self.residual:
            y += self.inputs.last[:, 0]
        elif self.shortcut:
            y.addmm_(self.inputs.last[:, 0], self.shortcut[0]).add_(self.shortcut[1])
        return y.relu_()


class _Ring:
    """The last `size` frames (R, C) of a stream as (R, size, C), the oldest first; zeros before its beginning.

    They lie in twice the room, one behind the other, and move to its front when it is full: all of them are always
    one piece of memory, and a convolution over them is a matrix product without a copy.
    """

    def __init__(self, size: int) -> None:
        self.size, self.end = size, size
        self.room: Tensor | None = None

    def push(self, x: Tensor) -> None:
        if self.room is None:
            self.room = x.new_zeros(len(x), 2 * self.size, x.shape[1])
        if self.end == 2 * self.size:
            self.room[:, : self.size - 1] = self.room[:, self.size + 1 :]
            self.end = self.size - 1
        self.room[:, self.end] = x
        self.end += 1

    @property
    def last(self) -> Tensor:
        assert self.room is not None
        return self.room[:, self.end - self.size : self.end]


class _Space:
    """Graph convolution with batch norm, shortcut and ReLU as two products: over channels, then over joints."""

    def __init__(self, space: nn.Module) -> None:
        assert isinstance(space, (stgcn.GraphConv, stgcnpp.GraphConv))
        adjacency = space.adjacency.detach().double()
        if isinstance(space, stgcn.GraphConv):
            adjacency = adjacency * space.importance.detach().double()
        subsets, self.joints, targets = adjacency.shape
        scale, shift = _norm(space.bn)
        weight = space.conv.weight.detach().double().flatten(1).view(subsets, -1, space.conv.in_channels)
        weight = weight * scale[:, None]  # (K, D, C)
        assert space.conv.bias is not None
        each = space.conv.bias.detach().double().view(subsets, -1) * scale  # (K, D)
        bias = adjacency.sum(1).t() @ each + shift  # (W, D): a joint's bias is weighted like its neighbours
        link = getattr(space, "shortcut", None)
        self.identity = isinstance(link, nn.Identity)
        if isinstance(link, TemporalConv):  # one more subset, in which each joint has itself alone
            more, offset = _folded(link.conv, link.bn, torch.float64)
            weight = torch.cat((weight, more.t()[None]))
            adjacency = torch.cat((adjacency, torch.eye(self.joints, dtype=torch.float64, device=more.device)[None]))
            bias = bias + offset
        self.weight = weight.flatten(0, 1).t().contiguous().float()  # (C, K*D)
        self.graph = adjacency.permute(2, 1, 0).reshape(targets, -1).contiguous().float()  # (W, V*K)
        self.bias = bias.float()

    def __call__(self, x: Tensor) -> Tensor:
        """Rows (N * V, C) to rows (N * V, D)."""
        h = torch.mm(x, self.weight).view(-1, self.graph.shape[1], self.bias.shape[1])  # (N, V*K, D)
        if len(h) == 1:
            y = torch.addmm(self.bias, self.graph, h[0])
        else:
            y = torch.matmul(self.graph, h).add_(self.bias).flatten(0, 1)
        if self.identity:
            y += x
        return y.relu_()


class _Conv:
    """`TemporalConv` as one product."""

    def __init__(self, time: TemporalConv) -> None:
        self.reach = time.conv.kernel_size[0] // 2
        self.weight, self.bias = _folded(time.conv, time.bn)

    def enter(self, x: Tensor) -> Tensor:
        """What of a frame is remembered."""
        return x

    def __call__(self, last: Tensor) -> Tensor:
        """(R, kernel, C), the frames around the output, to (R, D)."""
        return torch.addmm(self.bias, last.flatten(1), self.weight)


class _Branches:
    """`BranchedConv`: the products in front of the branches when a frame enters, the rest when an output is due."""

    def __init__(self, time: BranchedConv, causal: bool) -> None:
        self.reach = max(time.dilations)
        weight, bias = _folded(time.reduce, time.reduce_bn)
        plain, more = _folded(time.plain)
        self.reduced = weight.shape[1]
        self.enter_weight, self.enter_bias = torch.cat((weight, plain), 1), torch.cat((bias, more))
        edges = list(accumulate((*time.parts, plain.shape[1]), initial=0))
        self.parts = [slice(a, b) for a, b in pairwise(edges)]  # of the result: convolutions, maximum, plain
        self.convs = [_folded(conv) for conv in time.dilated]  # type: ignore[arg-type]
        # which channels of which frames each part reads: three frames, `d` apart, around the middle or up to the last
        channels, frames = torch.arange(edges[-1]), torch.arange(-1, 2)[:, None]
        last = 2 * self.reach
        reads = []
        for part, d in zip(self.parts, (*time.dilations, 1), strict=False):
            at = frames * d + (last - d if causal else self.reach)
            reads.append((at * edges[-1] + channels[part]).flatten())
        reads.append((last if causal else self.reach) * edges[-1] + channels[self.parts[-1]])
        self.read = torch.cat(reads).to(weight.device)
        self.places = [slice(a, b) for a, b in pairwise(accumulate(map(len, reads), initial=0))]
        self.scale, self.shift = (a.float() for a in _norm(time.merge_bn))
        self.merge_weight, self.merge_bias = _folded(time.merge, time.bn)

    def enter(self, x: Tensor) -> Tensor:
        y = torch.addmm(self.enter_bias, x, self.enter_weight)
        y[:, : self.reduced].relu_()  # zeros before the beginning are harmless to the maximum for that reason
        return y

    def __call__(self, last: Tensor) -> Tensor:
        read = last.flatten(1).index_select(1, self.read)
        y = read.new_empty(len(read), len(self.scale))
        for (weight, bias), place, part in zip(self.convs, self.places, self.parts, strict=False):
            torch.addmm(bias, read[:, place], weight, out=y[:, part])
        torch.amax(read[:, self.places[-2]].view(len(read), 3, -1), 1, out=y[:, self.parts[-2]])
        y[:, self.parts[-1]] = read[:, self.places[-1]]
        merged = torch.addcmul(self.shift, y, self.scale).relu_()
        return torch.addmm(self.merge_bias, merged, self.merge_weight)


def _norm(bn: nn.Module) -> Affine:
    """A batch norm of eval mode as scale and shift, in double precision."""
    assert isinstance(bn, (nn.BatchNorm1d, nn.BatchNorm2d))
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = bn.weight.detach().double() / torch.sqrt(bn.running_var.double() + bn.eps)
    return scale, bn.bias.detach().double() - bn.running_mean.double() * scale


def _folded(conv: nn.Conv2d, bn: nn.Module | None = None, kind: torch.dtype = torch.float32) -> Affine:
    """A convolution along time and the batch norm behind it: weight (kernel * C, D), frames first, and bias (D,)."""
    weight = conv.weight.detach().double()[..., 0].permute(2, 1, 0)  # (kernel, C, D)
    assert conv.bias is not None
    bias = conv.bias.detach().double()
    if bn is not None:
        scale, shift = _norm(bn)
        weight, bias = weight * scale, bias * scale + shift
    return weight.flatten(0, 1).contiguous().to(kind), bias.to(kind)


class ContinualMamba(ContinualNet):
    """A SkeletonMamba by its own `step`: the states go on for ever, the answer is a mean over the last frames.

    Without `pooled` it is the answer of `forward` for all frames so far. With it, persons count as present if they are
    in the frame, not if they are somewhere in the window.
    """

    def __init__(self, system: SkeletonMamba, pooled: int | None) -> None:
        both = any(isinstance(b, MambaBlock) and b.mixer.back is not None for b in system.trunk.blocks)
        if system.per_joint or system.trunk.fusions or both:
            raise UsageError(
                "only a SkeletonMamba with tokens='frame', fusion='none' and both=False goes frame by frame"
            )
        super().__init__(0, 1, pooled)
        self.system = system
        self._memory: Memory | None = None

    def _advance(self, batch: PoseBatch) -> Tensor | None:
        memory = self._memory
        if memory is not None and self.pooled is not None:  # what this frame alone says
            total, present = torch.zeros_like(memory.total), torch.zeros_like(memory.present)
            memory = replace(memory, frames=0, total=total, present=present)
        out, self._memory = self.system.step(batch, memory)
        return out

    def _take(self, out: Tensor) -> Tensor:
        if self.pooled is not None:
            return super()._take(out)
        self.outputs += 1
        self._recent.mean = out  # a mean already, over all frames
        return out

    def _rest(self) -> list[Tensor]:
        return []

    def _forget(self) -> None:
        self._memory = None


class CausalTwin(nn.Module):
    """What `continual(system, causal=True)` computes, over whole clips: every kernel ends at its frame.

    A module of the same parameters; it can be trained and tested like the system itself.

    Args:
        system: shared, not copied.
    """

    def __init__(self, system: STGCN | STGCNpp) -> None:
        super().__init__()
        self.system = system

    def forward(self, batch: PoseBatch) -> Tensor:
        return self.outputs(batch).mean(1)

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return self.system.losses(out, batch)

    def outputs(self, batch: PoseBatch) -> Tensor:
        """Logits (B, T', K) of every output by itself."""
        system = self.system
        x = batch.features(system.in_channels)
        persons = x.shape[1]
        x = system.trunk.norm(x).flatten(0, 1).permute(0, 3, 1, 2)  # (B*M, C, T, V)
        for block in system.trunk.blocks:
            assert isinstance(block, (stgcn.Block, stgcnpp.Block))
            y = _causal(block.time, block.space(x))
            x = F.relu(y if block.residual is None else y + block.residual(x))
        x = x.mean(-1).view(-1, persons, *x.shape[1:3]).mean(1)  # (B, D, T')
        logits: Tensor = system.classifier(x.transpose(1, 2))
        return logits


def _causal(time: nn.Module, x: Tensor) -> Tensor:
    if isinstance(time, TemporalConv):
        y: Tensor = time.bn(_past(time.conv, x))
        return y
    assert isinstance(time, BranchedConv)
    *to_conv, to_pool = torch.split(F.relu(time.reduce_bn(time.reduce(x))), time.parts, 1)
    parts = [_past(conv, part) for conv, part in zip(time.dilated, to_conv, strict=True)]
    # zeros are harmless to the maximum: nothing behind the ReLU is smaller
    parts.append(F.max_pool2d(F.pad(to_pool, (0, 0, 2, 0)), (3, 1), (time.stride, 1)))
    parts.append(time.plain(every(x, time.stride)))
    out: Tensor = time.bn(time.merge(F.relu(time.merge_bn(torch.cat(parts, 1)))))
    return out


def _past(conv: nn.Module, x: Tensor) -> Tensor:
    """A temporal convolution that ends at its frame."""
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(conv.padding[0], int)
    x = F.pad(x, (0, 0, 2 * conv.padding[0], 0))
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, 0, conv.dilation)
