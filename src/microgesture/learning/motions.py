"""From motions, which a model predicts, to the classes of a taxonomy.

A model that predicts motions carries in its config, under `serves`, for each taxonomy and class the names of the
motions that show it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.taxonomy import Taxonomy
from microgesture.learning.checkpoint import CONFIG, Saved

Array = NDArray[np.float32]


def motion_table(model: Saved, taxonomy: Taxonomy) -> Array:
    """Which motions show which class: (motions, K) of 0 and 1.

    Raises:
        UsageError: the model does not serve this taxonomy.
        FormatError: the config names an unknown motion, or another number of classes.
    """
    serves = model.config.get("serves", {})
    if taxonomy.key not in serves:
        raise UsageError(
            f"the model in {model.folder} does not know '{taxonomy.key}'; it knows {', '.join(serves) or 'no taxonomy'}"
        )
    classes = serves[taxonomy.key]
    names = model.facts.taxonomy.names
    if len(classes) != len(taxonomy) or any(name not in names for group in classes for name in group):
        problem = f"its table for '{taxonomy.key}' does not fit its motions or the {len(taxonomy)} classes"
        raise FormatError(model.folder / CONFIG, problem, remedy="fetch or save the model again")
    table = np.zeros((len(names), len(taxonomy)), np.float32)
    for k, group in enumerate(classes):
        table[[names.index(name) for name in group], k] = 1
    return table


def class_probabilities(logits: Array, table: Array) -> Array:
    """Classes in competition: softmax over the motions any class owns, summed per class.

    A motion that serves several classes is shared between them.

    Args:
        logits: (..., motions).

    Returns:
        (..., K), summing to one.
    """
    owned = table.sum(1) > 0
    z = np.where(owned, logits, -np.inf)
    z = np.exp(z - z.max(-1, keepdims=True))
    p: Array = (z @ (table / np.maximum(table.sum(1, keepdims=True), 1))).astype(np.float32)
    return p / p.sum(-1, keepdims=True)  # type: ignore[no-any-return]


def class_log_odds(logits: Array, table: Array) -> Array:
    """Classes for themselves: log odds that at least one of a class's motions goes on, (..., K)."""
    log_none = -np.logaddexp(0, logits) @ table  # motions taken as independent
    p = -np.expm1(log_none)
    odds: Array = (np.log(np.maximum(p, 1e-12)) - log_none).astype(np.float32)
    return odds
