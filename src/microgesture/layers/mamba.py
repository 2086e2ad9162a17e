"""Mamba mixers: a selective scan between two projections, forwards or both ways, at once or token by token.

Source     A. Gu, T. Dao: Mamba, 2023, https://arxiv.org/abs/2312.00752; both ways: L. Zhu et al.: Vision Mamba, ICML
           2024, https://arxiv.org/abs/2401.09417
Letters    B batch, L tokens, D width outside, E = expand * D channels inside, N states per channel, R rank of Δ
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.layers.scan import Rule, Scan, read, scan_step, selective_scan, states

Fuse = Callable[[Tensor, Tensor], Tensor]
"""Changes states (B, L, E, N), given the channels (B, L, E) they come from."""


class Cache(NamedTuple):
    """What a mixer remembers between two tokens: its last k - 1 inputs (B, k - 1, E) and its states (B, E, N)."""

    inputs: Tensor
    state: Tensor


class Direction(nn.Module):
    """Short causal convolution, SiLU and selective scan of (B, L, E), one way along L.

    Step sizes, decays and states stay in float32 under mixed precision: bfloat16 loses small steps.
    """

    def __init__(self, width: int, state: int, kernel: int, rank: int, scan: Scan, rule: Rule) -> None:
        super().__init__()
        self.sizes = (rank, state, state)
        self.scan: Scan = scan
        self.rule: Rule = rule
        self.conv1d = nn.Conv1d(width, width, kernel, groups=width)
        self.x_proj = nn.Linear(width, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(rank, width)
        self.A_log = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(width, 1))  # S4D-real
        self.D = nn.Parameter(torch.ones(width))
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        # the softplus of the bias is log-uniform in 0.001..0.1
        step = torch.exp(torch.rand(width) * math.log(100) + math.log(0.001))
        with torch.no_grad():
            self.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))

    def forward(self, x: Tensor, fuse: Fuse | None = None, *, reverse: bool = False) -> Tensor:
        weight = self.conv1d.weight.flip(-1) if reverse else self.conv1d.weight
        before = weight.shape[-1] - 1
        padded = F.pad(x.transpose(1, 2), (0, before) if reverse else (before, 0))
        x = F.silu(F.conv1d(padded, weight, self.conv1d.bias, groups=len(weight))).transpose(1, 2)
        low, B, C = self.x_proj(x).split(self.sizes, -1)
        with torch.autocast(x.device.type, enabled=False):
            x, low, B, C = (_single(t) for t in (x, low, B, C))
            A, delta = -self.A_log.exp(), F.softplus(self.dt_proj(low))
            if fuse is None:
                y, _ = selective_scan(x, delta, A, B, C, self.D, reverse=reverse, scan=self.scan, rule=self.rule)
                return y
            h = states(x, delta, A, B, reverse=reverse, scan=self.scan, rule=self.rule)
            return read(fuse(h, x), C) + self.D * x

    def step(self, x: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """One token (B, E)."""
        window = torch.cat((cache.inputs, x.unsqueeze(1)), 1)  # (B, k, E)
        x = F.silu(F.conv1d(window.transpose(1, 2), self.conv1d.weight, self.conv1d.bias, groups=x.shape[-1])[..., 0])
        low, B, C = self.x_proj(x).split(self.sizes, -1)
        with torch.autocast(x.device.type, enabled=False):
            x, low, B, C = (_single(t) for t in (x, low, B, C))
            A, delta = -self.A_log.exp(), F.softplus(self.dt_proj(low))
            y, state = scan_step(x, delta, A, B, C, self.D, cache.state, self.rule)
        return y, Cache(window[:, 1:], state)


class Mixer(nn.Module):
    """Mamba mixer of (B, L, D): project to x and z, scan x, gate by SiLU(z), project back.

    Args:
        width: D.
        state: N.
        kernel: tokens the short convolution sees, itself among them.
        expand: E / D.
        rank: R; D / 16, rounded up, by default.
        both: scan backwards as well, with parameters of its own between the shared projections, and add.
        scan, rule: see `layers.scan`.

    Example:
        >>> Mixer(16, both=True)(torch.zeros(2, 21, 16)).shape
        torch.Size([2, 21, 16])
    """

    def __init__(
        self,
        width: int,
        *,
        state: int = 16,
        kernel: int = 4,
        expand: int = 2,
        rank: int | None = None,
        both: bool = False,
        scan: Scan = "auto",
        rule: Rule = "euler",
    ) -> None:
        super().__init__()
        inner = expand * width
        rank = math.ceil(width / 16) if rank is None else rank
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.ahead = Direction(inner, state, kernel, rank, scan, rule)
        self.back = Direction(inner, state, kernel, rank, scan, rule) if both else None
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, u: Tensor, fuse: Fuse | None = None) -> Tensor:
        """(B, L, D) to the same shape; `fuse` changes the states of either direction before they are read."""
        x, z = self.in_proj(u).chunk(2, -1)
        y: Tensor = self.ahead(x, fuse)
        if self.back is not None:
            y = y + self.back(x, fuse, reverse=True)
        out: Tensor = self.out_proj(y * F.silu(z))
        return out

    def start(self, batch: int) -> Cache:
        """The cache before the first token."""
        weight = self.ahead.conv1d.weight
        inputs = weight.new_zeros(batch, weight.shape[-1] - 1, len(weight))
        return Cache(inputs, weight.new_zeros(batch, *self.ahead.A_log.shape))

    def step(self, u: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """One token (B, D): what `forward` answers at its place, and the cache for the next.

        Raises:
            UsageError: the mixer looks both ways.
        """
        if self.back is not None:
            raise UsageError("a mixer that scans both ways cannot go token by token; build it with both=False")
        x, z = self.in_proj(u).chunk(2, -1)
        y, cache = self.ahead.step(x, cache)
        return self.out_proj(y * F.silu(z)), cache


class MambaBlock(nn.Module):
    """RMS norm and mixer, added to what comes in, which stays in float32; `drop` leaves whole clips out in training.

    Further arguments as of `Mixer`.
    """

    def __init__(
        self,
        width: int,
        *,
        state: int = 16,
        kernel: int = 4,
        expand: int = 2,
        both: bool = False,
        drop: float = 0.0,
        scan: Scan = "auto",
        rule: Rule = "euler",
    ) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.mixer = Mixer(width, state=state, kernel=kernel, expand=expand, both=both, scan=scan, rule=rule)
        self.drop = drop

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> Tensor:
        x = _single(x)
        return x + drop_path(self.mixer(self.norm(x), fuse), self.drop, self.training)

    def step(self, x: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """One token (B, D), see `Mixer.step`."""
        y, cache = self.mixer.step(self.norm(x), cache)
        return x + y, cache


def drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    """In training, each clip of (B, ...) becomes zero with probability `rate`; the others grow by 1 / (1 - rate)."""
    if not rate or not training:
        return x
    keep = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= rate
    return x * keep / (1 - rate)


def scale_to_depth(blocks: nn.ModuleList) -> None:
    """Divide the last projection of every block by sqrt(number of blocks), so that the sum of all keeps its size."""
    with torch.no_grad():
        for block in blocks:
            assert isinstance(block, MambaBlock)
            block.mixer.out_proj.weight /= math.sqrt(len(blocks))


def official_mixer_key(key: str) -> str:
    """Official name of a key of `Mixer`: the second direction ends in `_b`, and `A_log` there becomes `A_b_log`."""
    way, _, rest = key.partition(".")
    if way not in ("ahead", "back"):
        return key
    name, dot, leaf = rest.partition(".")
    if way == "back":
        name = "A_b_log" if name == "A_log" else f"{name}_b"
    return f"{name}{dot}{leaf}"


def _single(x: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 stay."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
