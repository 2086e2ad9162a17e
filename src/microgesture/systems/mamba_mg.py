"""Mamba for micro-gestures: VideoMamba on clips, with motion-aware fusion of its states, and a twin for skeletons.

Paper      Micro-gesture recognition using Mamba, thesis, LUT University 2025,
           https://lutpub.lut.fi/handle/10024/170090; its successor D. Li et al.: MSF-Mamba: Motion-aware State Fusion
           Mamba for Efficient Micro-Gesture Recognition, IEEE TMM 2026, https://arxiv.org/abs/2510.10478; the backbone
           of both K. Li et al.: VideoMamba, ECCV 2024, https://arxiv.org/abs/2403.06977
Input      MambaMG: rgb (B, T, H, W, 3), 0 to 255, as published 16 frames of 224 x 224
           SkeletonMamba: xy (B, M, T, V, C) and score (B, M, T, V) of `skeleton`, body-normalised
Output     logits (B, K) for the K labels of `taxonomy`
Losses     class (cross-entropy)
Fidelity   reconstructed: neither the thesis nor its successor has code, and of their texts only abstracts and summaries
           could be read. The backbone is numerically equal to the official VideoMamba. Holes, and our choice:
           - the thesis: VideoMamba as it is (`fusion="none"`); `difference` adds |next frame - frame| as channels
           - state fusion (`fusion="single"`): one depthwise 3 x 3 x 3 kernel per block over all E * N states, the same
             for both directions; that explains the published 33.38 M parameters to 0.04 %
           - central frame difference: the neighbouring frames' taps see g(neighbour) - theta g(here); theta 0.5, fixed.
             `cfd="symmetric"` instead adds beta * (g of the next frame - g of the frame before), beta learned from 0
           - edges of the clip repeat; the class token is not fused; kernels begin as the identity, so that weights of
             VideoMamba keep their answer
           - several scales (`fusion="multi"`): nine such kernels of dilation {1, 2, 3} in time x {1, 2, 3} in space,
             weighted by a softmax of a two-layer network on the block's mean features; 97.24 of the published 97.28 M
           - what is classified: the class token without fusion, the mean of the patches with it (`head`)
           - classification losses of the VideoMamba recipes mix clips; here labels stay as they are
           SkeletonMamba is ours: no paper has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import DEVIATION, MEAN, PoseBatch, VideoBatch
from microgesture.layers.losses import class_loss
from microgesture.layers.mamba import Cache, Fuse, MambaBlock, official_mixer_key, scale_to_depth
from microgesture.layers.norm import JointNorm
from microgesture.layers.official import Keys
from microgesture.layers.scan import Rule, Scan

Fusion = Literal["none", "single", "multi"]
Difference = Literal["central", "symmetric"]
Kernel = tuple[int, int, int]

# (frames, rows and columns) between the taps of each branch
SCALES = tuple((time, space) for time in (1, 2, 3) for space in (1, 2, 3))


class StateFusion(nn.Module):
    """Mixes the states of neighbours in time and space, (B, S, T, H, W) to the same shape, S = E * N.

    Args:
        channels: S; each has a kernel of its own.
        kernel: odd taps along T, H, W.
        dilation: along T, and along H and W.
        theta: 0 = a plain convolution, 1 = neighbouring frames count by their difference from this one.
        learn_theta: start from `theta`, strictly between 0 and 1, and learn it.
        cfd: `"central"` or `"symmetric"`, see the top of this file.
    """

    centre: Tensor
    others: Tensor

    def __init__(
        self,
        channels: int,
        *,
        kernel: Kernel = (3, 3, 3),
        dilation: tuple[int, int] = (1, 1),
        theta: float = 0.5,
        learn_theta: bool = False,
        cfd: Difference = "central",
    ) -> None:
        super().__init__()
        if not 0 <= theta <= 1 or (learn_theta and theta in (0, 1)):
            raise UsageError(f"theta is {theta}; it lies in 0..1, and strictly inside where it is learned")
        if cfd not in ("central", "symmetric"):
            raise UsageError(f"cfd is '{cfd}'; there are central and symmetric")
        self.dilation = (dilation[0], dilation[1], dilation[1])
        self.edges = [d * (k // 2) for d, k in zip(self.dilation, kernel, strict=True)]
        centre = torch.zeros(kernel)
        centre[tuple(k // 2 for k in kernel)] = 1
        self.register_buffer("centre", centre, persistent=False)
        self.register_buffer("others", 1 - centre.sum((1, 2)), persistent=False)  # 1 for the frames beside this one
        self.weight = nn.Parameter(centre.repeat(channels, 1, 1, 1, 1))
        self.theta = theta
        self.theta_logit = nn.Parameter(torch.logit(torch.tensor(theta))) if learn_theta else None
        self.beta = nn.Parameter(torch.zeros(1)) if cfd == "symmetric" else None

    def forward(self, g: Tensor) -> Tensor:
        time, rows, columns = self.edges
        if self.beta is not None:
            padded = F.pad(g, (0, 0, 0, 0, 1, 1), mode="replicate")
            g = g + self.beta * (padded[:, :, 2:] - padded[:, :, :-2])
        g = F.pad(g, (columns, columns, rows, rows, time, time), mode="replicate")
        kernel = self.kernel()
        if kernel.shape[3:] == (1, 1):  # along time alone: in 2-D its gradient takes a fifth of the time
            y = F.conv2d(g.flatten(3), kernel.flatten(3), dilation=(self.dilation[0], 1), groups=len(kernel))
            return y.view(*y.shape[:3], *g.shape[3:])
        return F.conv3d(g, kernel, dilation=self.dilation, groups=len(kernel))

    def kernel(self) -> Tensor:
        """(S, 1, ...): the central difference only lowers the middle tap, by theta * sum of the other frames' taps."""
        if self.beta is not None:
            return self.weight
        theta = self.theta if self.theta_logit is None else self.theta_logit.sigmoid()
        others = (self.weight.sum((3, 4)) * self.others).sum(2)  # (S, 1)
        return self.weight - theta * others[:, :, None, None, None] * self.centre


class ScaleFusion(nn.Module):
    """State fusions of several dilations, weighted for each clip from the mean of its channels.

    Args:
        width: E.
        channels: S = E * N.
        dilations: one branch each.
    """

    def __init__(
        self,
        width: int,
        channels: int,
        *,
        kernel: Kernel = (3, 3, 3),
        dilations: Sequence[tuple[int, int]] = SCALES,
        theta: float = 0.5,
        learn_theta: bool = False,
        cfd: Difference = "central",
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            StateFusion(channels, kernel=kernel, dilation=d, theta=theta, learn_theta=learn_theta, cfd=cfd)
            for d in dilations
        )
        squeezed = max(8, width // 96)
        self.squeeze = nn.Linear(width, squeezed)
        self.weigh = nn.Linear(squeezed, len(self.branches))
        for parameter in self.weigh.parameters():
            nn.init.zeros_(parameter)  # all scales count alike at first

    def forward(self, g: Tensor, pooled: Tensor) -> Tensor:
        """States (B, S, T, H, W) and mean channels (B, E) to states."""
        shares = self.weigh(F.gelu(self.squeeze(pooled))).softmax(-1).unbind(1)
        fused = torch.zeros_like(g)
        for share, branch in zip(shares, self.branches, strict=True):
            fused = fused + share.view(-1, 1, 1, 1, 1) * branch(g)
        return fused


def fuse_on_grid(h: Tensor, x: Tensor, *, fusion: nn.Module, grid: Kernel) -> Tensor:
    """Fuse the states h (B, L, E, N) of the last T * H * W tokens on their grid; those before them stay.

    x (B, L, E) are the channels the states come from.
    """
    before = h.shape[1] - prod(grid)
    kept, tokens = h[:, :before], h[:, before:]
    g = tokens.flatten(2).transpose(1, 2).view(len(h), -1, *grid)  # (B, E * N, T, H, W)
    fused: Tensor = fusion(g, x[:, before:].mean(1)) if isinstance(fusion, ScaleFusion) else fusion(g)
    fused = fused.flatten(2).transpose(1, 2).reshape(tokens.shape)
    return torch.cat((kept, fused), 1) if before else fused


class Blocks(nn.Module):
    """Mamba blocks, each with its state fusion, and the last norm: tokens (B, L, D) to the same shape.

    Args:
        width: D.
        depth: number of blocks.
        drop_path: of the last block; it grows from 0 at the first.
        fusion: `"none"`, `"single"` or `"multi"`.
        kernel, dilations, theta, learn_theta, cfd: see `StateFusion` and `ScaleFusion`.
        recompute: keep no states for the gradient: a block's memory instead of all blocks', at one more forward pass.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        state: int,
        both: bool,
        drop_path: float,
        fusion: Fusion,
        kernel: Kernel,
        dilations: Sequence[tuple[int, int]],
        theta: float,
        learn_theta: bool,
        cfd: Difference,
        scan: Scan,
        rule: Rule,
        recompute: bool,
    ) -> None:
        super().__init__()
        if fusion not in ("none", "single", "multi"):
            raise UsageError(f"fusion is '{fusion}'; there are none, single and multi")
        drops = [drop_path * i / max(1, depth - 1) for i in range(depth)]
        self.blocks = nn.ModuleList(
            MambaBlock(width, state=state, both=both, drop=drop, scan=scan, rule=rule) for drop in drops
        )
        scale_to_depth(self.blocks)
        inner = 2 * width
        self.fusions = nn.ModuleList()
        for _ in self.blocks if fusion != "none" else ():
            self.fusions.append(
                StateFusion(inner * state, kernel=kernel, theta=theta, learn_theta=learn_theta, cfd=cfd)
                if fusion == "single"
                else ScaleFusion(
                    inner,
                    inner * state,
                    kernel=kernel,
                    dilations=[(t, s) for t, s in dilations],
                    theta=theta,
                    learn_theta=learn_theta,
                    cfd=cfd,
                )
            )
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.recompute = recompute

    def forward(self, x: Tensor, grid: Kernel) -> Tensor:
        """`grid` is T, H, W of the last T * H * W tokens."""
        for i, block in enumerate(self.blocks):
            fuse: Fuse | None = partial(fuse_on_grid, fusion=self.fusions[i], grid=grid) if self.fusions else None
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, fuse, use_reentrant=False)
            else:
                x = block(x, fuse)
        out: Tensor = self.norm(x)
        return out


class MambaMG(nn.Module):
    """VideoMamba, and MSF-Mamba with `fusion`, on clips of pixels.

    Args:
        skeleton, persons: not read.
        taxonomy, frames: facts of the data; other lengths and sizes interpolate the position embeddings.
        size: pixels per side the position embeddings are made for.
        patch: pixels per side of a token; H and W are multiples of it.
        width, depth: see `SIZES`.
        state: N.
        both: scan backwards as well.
        difference: three further channels, |next frame - frame|; the last frame's are zero.
        fusion, theta, learn_theta, cfd: see the top of this file.
        dilations: (time, space) of each branch of `fusion="multi"`; `[[1, 1], [2, 2], [3, 3]]` is a lighter choice.
        head: `"cls"`, `"gap"` (mean of the patches), or `"auto"`: the first without, the second with fusion.
        drop_path, dropout: of the blocks, and before the classifier.
        scan, rule: see `layers.scan`.
        recompute: see `Blocks`.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import SMG
        >>> model = MambaMG(SKELETONS["kinect25"], SMG, frames=16, persons=1, fusion="single", **SIZES["ti"])
    """

    no_decay = ("A_log", "cls_token", "place", "time")

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        size: int = 224,
        patch: int = 16,
        width: int = 192,
        depth: int = 24,
        state: int = 16,
        both: bool = True,
        difference: bool = False,
        fusion: Fusion = "none",
        dilations: Sequence[Sequence[int]] = SCALES,
        theta: float = 0.5,
        learn_theta: bool = False,
        cfd: Difference = "central",
        head: Literal["auto", "cls", "gap"] = "auto",
        drop_path: float = 0.1,
        dropout: float = 0.0,
        scan: Scan = "auto",
        rule: Rule = "euler",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if size % patch:
            raise UsageError(f"size {size} is no multiple of the patch, {patch}")
        if head not in ("auto", "cls", "gap"):
            raise UsageError(f"head is '{head}'; there are auto, cls and gap")
        self.patch, self.difference = patch, difference
        self.side = size // patch
        self.head = ("cls" if fusion == "none" else "gap") if head == "auto" else head
        self.embed = nn.Conv3d(6 if difference else 3, width, (1, patch, patch), (1, patch, patch))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(torch.zeros(1, 1 + self.side**2, width))
        self.time = nn.Parameter(torch.zeros(1, frames, width))
        self.trunk = Blocks(
            width,
            depth,
            state=state,
            both=both,
            drop_path=drop_path,
            fusion=fusion,
            kernel=(3, 3, 3),
            dilations=[(t, s) for t, s in dilations],
            theta=theta,
            learn_theta=learn_theta,
            cfd=cfd,
            scan=scan,
            rule=rule,
            recompute=recompute,
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, len(taxonomy))
        for parameter in (self.cls_token, self.place, self.classifier.weight):
            nn.init.trunc_normal_(parameter, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, batch: VideoBatch) -> Tensor:
        x = self.features(self.tokens(self.pixels(batch)))
        logits: Tensor = self.classifier(self.dropout(x))
        return logits

    def pixels(self, batch: VideoBatch) -> Tensor:
        """Normalised pictures (B, 3 or 6, T, H, W).

        Raises:
            FormatError: there is no picture, or a value is not finite.
        """
        rgb = batch.rgb
        if not torch.compiler.is_compiling():
            if not rgb.numel():
                frames, height, width = rgb.shape[1:4]
                problem = f"clips of {frames} pictures of {width} x {height} pixels hold nothing"
                raise FormatError("<batch>", problem, remedy="leave such clips out")
            if not torch.isfinite(rgb).all():
                clip = int((~torch.isfinite(rgb)).flatten(1).any(1).nonzero()[0])
                raise FormatError("<batch>", "pixels are not finite", place=f"clip {clip}", expected="0 to 255")
        mean, deviation = self.place.new_tensor(MEAN), self.place.new_tensor(DEVIATION)
        x = ((rgb - mean) / deviation).movedim(-1, 1)
        if self.difference:
            later = torch.cat((x[:, :, 1:], x[:, :, -1:]), 2)
            x = torch.cat((x, (later - x).abs()), 1)
        return x

    def tokens(self, x: Tensor) -> tuple[Tensor, Kernel]:
        """Class token and patches, frame after frame, (B, 1 + T * H' * W', D), and T, H', W'."""
        if x.shape[-1] % self.patch or x.shape[-2] % self.patch:
            raise UsageError(f"frames of {[*x.shape[-2:]]} pixels are not made of patches of {self.patch} per side")
        x = self.embed(x)
        t, h, w = x.shape[2:]
        grid = self.place[:, 1:].transpose(1, 2).reshape(1, -1, self.side, self.side)
        if (h, w) != (self.side, self.side):
            grid = F.interpolate(grid, (h, w), mode="bicubic", align_corners=False)
        time = self.time.transpose(1, 2)
        if t != time.shape[2]:
            time = F.interpolate(time, t, mode="linear", align_corners=False)
        x = x + grid.unsqueeze(2) + time[..., None, None]
        first = (self.cls_token + self.place[:, :1]).expand(len(x), -1, -1)
        return torch.cat((first, x.flatten(2).transpose(1, 2)), 1), (t, h, w)

    def features(self, tokens: tuple[Tensor, Kernel]) -> Tensor:
        """What is classified, (B, D)."""
        x: Tensor = self.trunk(*tokens)
        return x[:, 0] if self.head == "cls" else x[:, 1:].mean(1)

    def losses(self, out: Tensor, batch: VideoBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, batch)}


@dataclass(frozen=True)
class Memory:
    """What `SkeletonMamba.step` remembers: B clips, M persons.

    Args:
        caches: one per block.
        joints: (B, M, 1, V, C) of the frame before.
        seen: (B, M, 1, V, 1), 1 where a joint was seen then.
        total: (B, M, D), sum of all frames' features.
        frames: how many.
        present: (B, M), 1 once a joint of the person was seen.
    """

    caches: tuple[Cache, ...]
    joints: Tensor
    seen: Tensor
    total: Tensor
    frames: int
    present: Tensor


class SkeletonMamba(nn.Module):
    """Mamba on joints, ours: a token per frame or per joint, blocks as above, mean over tokens and persons.

    With `both=False` and tokens of frames it also goes frame by frame, see `step`.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length and number of persons is accepted.
        in_channels: C + 1 to read coordinates and score, C to read coordinates alone.
        width, depth, state: D, number of blocks, N.
        tokens: `"frame"`, all joints of a frame are one token; `"joint"`, each is one, frame after frame.
        both: scan backwards as well.
        difference: the change since the frame before as further channels, where a joint was seen in both.
        fusion, theta, learn_theta, cfd: as of `MambaMG`, along time alone.
        dilations: of each branch of `fusion="multi"`, in frames.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import SMG
        >>> model = SkeletonMamba(SKELETONS["kinect25"], SMG, frames=48, persons=1, both=False)
    """

    no_decay = ("A_log", "joint")

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        in_channels: int = 3,
        width: int = 128,
        depth: int = 4,
        state: int = 16,
        tokens: Literal["frame", "joint"] = "frame",
        both: bool = True,
        difference: bool = True,
        fusion: Fusion = "none",
        dilations: Sequence[int] = (1, 2, 3),
        theta: float = 0.5,
        learn_theta: bool = False,
        cfd: Difference = "central",
        drop_path: float = 0.1,
        dropout: float = 0.0,
        scan: Scan = "auto",
        rule: Rule = "euler",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if tokens not in ("frame", "joint"):
            raise UsageError(f"tokens is '{tokens}'; there are frame and joint")
        self.in_channels, self.per_joint, self.difference = in_channels, tokens == "joint", difference
        channels = 2 * in_channels if difference else in_channels
        self.norm = JointNorm(len(skeleton), channels)
        self.embed = nn.Linear(channels if self.per_joint else len(skeleton) * channels, width)
        self.joint = nn.Parameter(torch.randn(len(skeleton), width) * 0.02) if self.per_joint else None
        self.trunk = Blocks(
            width,
            depth,
            state=state,
            both=both,
            drop_path=drop_path,
            fusion=fusion,
            kernel=(3, 1, 1),
            dilations=[(d, 1) for d in dilations],
            theta=theta,
            learn_theta=learn_theta,
            cfd=cfd,
            scan=scan,
            rule=rule,
            recompute=recompute,
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, len(taxonomy))

    def forward(self, batch: PoseBatch) -> Tensor:
        x = batch.features(self.in_channels)  # (B, M, T, V, C)
        seen = (batch.score > 0).to(x.dtype).unsqueeze(-1)
        persons, frames = x.shape[1:3]
        if self.difference:
            x = self._with_change(x, torch.cat((x[:, :, :1], x[:, :, :-1]), 2), seen, seen.roll(1, 2))
        x = self._tokens(x).flatten(0, 1)  # (B * M, L, D)
        x = self.trunk(x, (frames, x.shape[1] // frames, 1)).mean(1)
        return self._classify(x.unflatten(0, (-1, persons)), seen.amax((2, 3, 4)))

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, batch)}

    def step(self, batch: PoseBatch, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """One frame: the logits (B, K) that `forward` gives for all frames so far, and what to pass with the next.

        Args:
            batch: T = 1, the next frame of each clip.
            memory: None before the first frame.

        Raises:
            UsageError: the system looks ahead, is in training mode, or the batch holds several frames.
        """
        if self.per_joint or self.trunk.fusions:
            raise UsageError("only tokens='frame' with fusion='none' goes frame by frame")
        if self.training:
            raise UsageError("frames one by one have no batch statistics: call eval() first")
        x = batch.features(self.in_channels)
        if x.shape[2] != 1:
            raise UsageError(f"a step takes one frame, the batch has {x.shape[2]}")
        persons = x.shape[1]
        seen = (batch.score > 0).to(x.dtype).unsqueeze(-1)
        blocks = [block for block in self.trunk.blocks if isinstance(block, MambaBlock)]
        if memory is None:
            caches = tuple(block.mixer.start(len(batch) * persons) for block in blocks)
            nothing = x.new_zeros(len(batch), persons)
            memory = Memory(caches, x, seen, nothing.unsqueeze(-1), 0, nothing)
        y = self._with_change(x, memory.joints, seen, memory.seen) if self.difference else x
        token, new = self._tokens(y).flatten(0, 2), []
        for block, cache in zip(blocks, memory.caches, strict=True):
            token, cache = block.step(token, cache)
            new.append(cache)
        memory = replace(
            memory,
            caches=tuple(new),
            joints=x,
            seen=seen,
            total=memory.total + self.trunk.norm(token).unflatten(0, (-1, persons)),
            frames=memory.frames + 1,
            present=torch.maximum(memory.present, seen.amax((2, 3, 4))),
        )
        return self._classify(memory.total / memory.frames, memory.present), memory

    @staticmethod
    def _with_change(x: Tensor, before: Tensor, seen: Tensor, seen_before: Tensor) -> Tensor:
        return torch.cat((x, (x - before) * seen * seen_before), -1)

    def _tokens(self, x: Tensor) -> Tensor:
        """(B, M, T, V, C) to (B, M, L, D)."""
        x = self.norm(x)
        y: Tensor = self.embed(x.flatten(3) if self.joint is None else x)
        return y if self.joint is None else (y + self.joint).flatten(2, 3)

    def _classify(self, x: Tensor, present: Tensor) -> Tensor:
        """Features (B, M, D) to logits (B, K); persons nobody saw are left out, unless there is no other."""
        share = present + (present.sum(1, keepdim=True) == 0)
        x = (x * share.unsqueeze(-1)).sum(1) / share.sum(1, keepdim=True)
        logits: Tensor = self.classifier(self.dropout(x))
        return logits


SIZES: dict[str, dict[str, int]] = {
    "ti": {"width": 192, "depth": 24},
    "s": {"width": 384, "depth": 24},
    "m": {"width": 576, "depth": 32},
}
"""Published sizes of VideoMamba: `MambaMG(..., **SIZES["s"])`."""


def official_keys(model: MambaMG) -> Keys:
    """Keys of OpenGVLab's VideoMamba (`video_sm`, VisionMamba).

    For a model with `fusion`, load a plain one first and hand its weights on: `load_state_dict(..., strict=False)`.
    """
    return {key: (_official(key),) for key in model.state_dict() if not key.startswith("trunk.fusions.")}


def _official(key: str) -> str:
    match key.split("."):
        case ["embed", leaf]:
            return f"patch_embed.proj.{leaf}"
        case ["cls_token"]:
            return "cls_token"
        case ["place"]:
            return "pos_embed"
        case ["time"]:
            return "temporal_pos_embedding"
        case ["trunk", "blocks", i, "norm", leaf]:
            return f"layers.{i}.norm.{leaf}"
        case ["trunk", "blocks", i, "mixer", *rest]:
            return f"layers.{i}.mixer.{official_mixer_key('.'.join(rest))}"
        case ["trunk", "norm", leaf]:
            return f"norm_f.{leaf}"
        case ["classifier", leaf]:
            return f"head.{leaf}"
    raise KeyError(key)
