"""Losses used by more than one system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from microgesture.core.errors import UsageError
from microgesture.layers.batch import PoseBatch

Criterion = Callable[[Tensor, Tensor], Tensor]
_CRITERION: ContextVar[Criterion | None] = ContextVar("criterion", default=None)


def class_loss(logits: Tensor, batch: PoseBatch) -> Tensor:
    """Cross-entropy against `batch.label`, or against `batch.soft` where the batch has soft targets.

    Rows of `soft` need not sum to one: two classes at once count as two targets. With `batch.weight` the
    result is the weighted mean over the clips. Inside `class_criterion` another loss takes the cross-entropy's place.

    Args:
        logits: (B, K).

    Returns:
        Scalar.

    Raises:
        UsageError: the batch has neither labels nor soft targets.
    """
    target = batch.label if batch.soft is None else batch.soft
    if target is None:
        raise UsageError("the batch has neither labels nor soft targets: nothing to learn from")
    criterion = _CRITERION.get()
    if criterion is not None:
        loss = criterion(logits, target)
    elif batch.weight is None:
        return F.cross_entropy(logits, target)
    else:
        loss = F.cross_entropy(logits, target, reduction="none")
    return loss.mean() if batch.weight is None else (loss * batch.weight).sum() / batch.weight.sum()


@contextmanager
def class_criterion(criterion: Criterion) -> Iterator[None]:
    """Inside, `class_loss` asks `criterion(logits, target)` for the loss of every clip, (B,).

    So the trainer changes what all systems minimise, and no system has to know. The target is int64 (B,) or
    float (B, K).
    """
    before = _CRITERION.set(criterion)
    try:
        yield
    finally:
        _CRITERION.reset(before)


def class_logits(out: Any) -> Tensor:
    """The logits (B, K) in what a system's `forward` gives: all of it, or its first entry."""
    if isinstance(out, Tensor):
        return out
    first: Tensor = getattr(out, fields(out)[0].name) if is_dataclass(out) else out[0]
    return first
