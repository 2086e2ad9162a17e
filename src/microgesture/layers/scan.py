"""Selective scan (S6): the recurrence of state-space layers, in three forms that agree.

Source     A. Gu, T. Dao: Mamba: Linear-Time Sequence Modeling with Selective State Spaces, 2023,
           https://arxiv.org/abs/2312.00752
Letters    B batch, L tokens, E channels, N states per channel

Per channel and state h_t = exp(Δ_t A) h_{t-1} + B̄_t x_t and y_t = Σ_n C_t h_t + D x_t; h = 0 before the first token.
The closed form with one cumulative product is not offered: the product underflows within a few hundred tokens.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from microgesture.core.errors import UsageError

Scan = Literal["auto", "loop", "chunk", "assoc"]
Rule = Literal["euler", "zoh"]

# tokens whose states fit into the cache together (64 x 768 channels x 16 states in float32: 3 MB)
SPAN = 64


def recurrence(a: Tensor, b: Tensor, scan: Scan = "auto", *, reverse: bool = False) -> Tensor:
    """All h_t = a_t * h_{t-1} + b_t, element by element.

    Args:
        a, b: (B, L, ...), of one shape.
        scan: `"loop"` takes one token after the other; `"chunk"` runs about sqrt(L) chunks side by side and then
            carries each chunk's end into the next; `"assoc"` doubles the reach in log2(L) rounds, at L log L work.
            `"auto"` is the loop on a CPU, chunks on other devices, and `"assoc"` in a graph that is being exported.
        reverse: from the last token to the first, h_t = a_t * h_{t+1} + b_t.

    Returns:
        (B, L, ...). The gradient keeps a and h alone.

    Raises:
        UsageError: no such form, or shapes that differ.

    Example:
        >>> recurrence(torch.full((1, 4), 0.5), torch.ones(1, 4))
        tensor([[1.0000, 1.5000, 1.7500, 1.8750]])
    """
    if scan not in ("auto", *_FORMS):
        raise UsageError(f"scan is '{scan}'; there are auto, {', '.join(_FORMS)}")
    if a.shape != b.shape or a.ndim < 2:
        raise UsageError(f"factors and terms must have one shape (B, L, ...), not {[*a.shape]} and {[*b.shape]}")
    if scan == "auto":
        scan = "assoc" if torch.compiler.is_compiling() else "loop" if a.device.type == "cpu" else "chunk"
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        h: Tensor = _Recurrence.apply(a, b, scan, reverse)  # type: ignore[no-untyped-call]
        return h
    return _states(a, b, scan, reverse)


class _Recurrence(torch.autograd.Function):
    """The gradient of a recurrence is one that runs the other way: G_t = g_t + a_{t+1} G_{t+1}."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, scan: str, reverse: bool) -> Tensor:
        h = _states(a, b, scan, reverse)
        ctx.save_for_backward(a, h)
        ctx.scan, ctx.reverse = scan, reverse
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        a, h = ctx.saved_tensors
        shift = 1 if ctx.reverse else -1
        # what wraps round meets the state before the start, which is zero
        to_b = _states(a.roll(shift, 1), gradient, ctx.scan, not ctx.reverse)
        to_a = torch.zeros_like(a)
        later, earlier = slice(1, None), slice(None, -1)
        if ctx.reverse:
            later, earlier = earlier, later
        torch.mul(to_b[:, later], h[:, earlier], out=to_a[:, later])
        return to_a, to_b, None, None


def _states(a: Tensor, b: Tensor, scan: str, reverse: bool) -> Tensor:
    if not b.shape[1]:
        return b.clone()
    if reverse and scan != "loop":
        return _FORMS[scan](a.flip(1), b.flip(1)).flip(1)
    return _loop(a, b, reverse) if scan == "loop" else _FORMS[scan](a, b)


def _loop(a: Tensor, b: Tensor, reverse: bool = False) -> Tensor:
    h = torch.empty_like(b, memory_format=torch.contiguous_format)
    steps = list(zip(a.unbind(1), b.unbind(1), h.unbind(1), strict=True))
    if reverse:
        steps.reverse()
    _, first, last = steps[0]
    last.copy_(first)
    for a_t, b_t, h_t in steps[1:]:
        torch.addcmul(b_t, a_t, last, out=h_t)
        last = h_t
    return h


def _chunk(a: Tensor, b: Tensor) -> Tensor:
    batch, length, shape = b.shape[0], b.shape[1], b.shape
    size = math.ceil(math.sqrt(length))
    chunks = -(-length // size)
    fill = (0, 0, 0, chunks * size - length)
    a = F.pad(a.reshape(batch, length, -1), fill, value=1.0).view(batch, chunks, size, -1)
    b = F.pad(b.reshape(batch, length, -1), fill).view(a.shape)
    h = _loop(a.flatten(0, 1), b.flatten(0, 1)).view(a.shape)  # as if every chunk began with zero
    reach = a.cumprod(2)
    ends = _loop(reach[:, :, -1], h[:, :, -1])
    h[:, 1:].addcmul_(reach[:, 1:], ends[:, :-1, None])
    return h.flatten(1, 2)[:, :length].reshape(shape)


def _assoc(a: Tensor, b: Tensor) -> Tensor:
    reach = 1
    while reach < b.shape[1]:
        b = torch.cat((b[:, :reach], torch.addcmul(b[:, reach:], a[:, reach:], b[:, :-reach])), 1)
        a = torch.cat((a[:, :reach], a[:, reach:] * a[:, :-reach]), 1)
        reach *= 2
    return b.clone() if b.shape[1] == 1 else b


_FORMS = {"loop": _loop, "chunk": _chunk, "assoc": _assoc}


def discretise(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, rule: Rule = "euler") -> tuple[Tensor, Tensor]:
    """Factors exp(Δ A) and terms B̄ x of the recurrence.

    Args:
        x, delta: (B, L, E); delta > 0.
        A: (E, N), negative.
        B: (B, L, N) for all channels, (B, L, G, N) for G groups of channels, or (E, N) for all tokens.
        rule: `"euler"`, B̄ = Δ B, as in all released code; `"zoh"`, the exact B (exp(Δ A) - 1) / A. Weights learnt
            with one do not fit the other.

    Returns:
        Both (B, L, E, N).
    """
    if rule not in ("euler", "zoh"):
        raise UsageError(f"the rule for B is '{rule}'; there are euler and zoh")
    exponent = delta.unsqueeze(-1) * A
    B = _per_channel(B, x.shape[-1])
    if rule == "euler":
        return exponent.exp(), (delta * x).unsqueeze(-1) * B
    return exponent.exp(), exponent.expm1() / A * B * x.unsqueeze(-1)


def read(h: Tensor, C: Tensor) -> Tensor:
    """y = Σ_n C h: states (B, L, E, N) to channels (B, L, E); C is shaped like B of `discretise`."""
    C = _per_channel(C, h.shape[-2])
    if C.shape[2] == 1:  # one C for all channels: a matrix product
        return torch.matmul(h, C.transpose(-1, -2)).squeeze(-1)
    return (h * C).sum(-1)


def states(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    *,
    start: Tensor | None = None,
    reverse: bool = False,
    scan: Scan = "auto",
    rule: Rule = "euler",
) -> Tensor:
    """All states h (B, L, E, N). Arguments as in `selective_scan`; takes 3 times the memory of what it returns."""
    a, b = discretise(x, delta, A, B, rule)
    if start is not None:
        first = slice(-1, None) if reverse else slice(0, 1)
        rest = slice(0, -1) if reverse else slice(1, None)
        with_start = b[:, first] + a[:, first] * start.unsqueeze(1)
        b = torch.cat((b[:, rest], with_start) if reverse else (with_start, b[:, rest]), 1)
    return recurrence(a, b, scan, reverse=reverse)


def selective_scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    start: Tensor | None = None,
    reverse: bool = False,
    scan: Scan = "auto",
    rule: Rule = "euler",
) -> tuple[Tensor, Tensor]:
    """What the layer answers, and the state after the last token.

    Args:
        x, delta: (B, L, E), L > 0; delta > 0, after the softplus.
        A: (E, N), negative.
        B, C: (B, L, N), (B, L, G, N) or (E, N), see `discretise`.
        D: (E,), share of x that is added to y.
        start: (B, E, N), state before the first token (after the last one if `reverse`); zero by default.
        reverse: scan from the last token to the first; y stays in the order of x.
        scan: see `recurrence`.
        rule: see `discretise`.

    Returns:
        y (B, L, E) and h (B, E, N). By the loop, `SPAN` tokens are expanded to states at a time, so that without
        gradients the memory does not grow with L * E * N.
    """
    if not x.shape[1]:
        raise UsageError("a selective scan needs at least one token")
    whole = scan in ("chunk", "assoc") or (scan == "auto" and (x.device.type != "cpu" or torch.compiler.is_compiling()))
    span = x.shape[1] if whole else SPAN
    parts = [slice(t, t + span) for t in range(0, x.shape[1], span)]
    y = []
    for part in reversed(parts) if reverse else parts:
        h = states(x[:, part], delta[:, part], A, _tokens(B, part), start=start, reverse=reverse, scan=scan, rule=rule)
        y.append(read(h, _tokens(C, part)))
        start = h[:, 0 if reverse else -1]
    out = y[0] if len(y) == 1 else torch.cat(y[::-1] if reverse else y, 1)
    assert start is not None
    return out if D is None else out + D * x, start


def scan_step(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    start: Tensor,
    rule: Rule = "euler",
) -> tuple[Tensor, Tensor]:
    """One token of `selective_scan`: x, delta (B, E), B, C (B, N), state (B, E, N) to y (B, E) and the next state."""
    a, b = discretise(x.unsqueeze(1), delta.unsqueeze(1), A, B.unsqueeze(1), rule)
    h = torch.addcmul(b.squeeze(1), a.squeeze(1), start)
    y = torch.matmul(h, C.unsqueeze(-1)).squeeze(-1)
    return y if D is None else y + D * x, h


def _per_channel(B: Tensor, channels: int) -> Tensor:
    """To (B or 1, L or 1, E or 1, N)."""
    if B.ndim == 2:
        return B[None, None]
    if B.ndim == 3:
        return B.unsqueeze(2)
    return B.repeat_interleave(channels // B.shape[2], 2)


def _tokens(B: Tensor, part: slice) -> Tensor:
    return B if B.ndim == 2 else B[:, part]
