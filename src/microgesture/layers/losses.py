"""Losses used by more than one system."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from microgesture.core.errors import UsageError
from microgesture.layers.batch import PoseBatch


def class_loss(logits: Tensor, batch: PoseBatch) -> Tensor:
    """Cross-entropy against `batch.label`, or against `batch.soft` where the batch has soft targets.

    Rows of `soft` need not sum to one: two classes at once count as two targets. With `batch.weight` the
    result is the weighted mean over the clips.

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
    if batch.weight is None:
        return F.cross_entropy(logits, target)
    loss = F.cross_entropy(logits, target, reduction="none")
    return (loss * batch.weight).sum() / batch.weight.sum()
