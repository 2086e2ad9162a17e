"""From motions, which a model predicts, to the classes of a taxonomy.

A model that predicts motions carries in its config, under `serves`, for each taxonomy and class the names of the
motions that show it; under `calibration` and `decoding` what was fitted after training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microgesture.core.decode import DecodeSettings
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.taxonomy import Taxonomy
from microgesture.learning.checkpoint import CONFIG, Saved

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities mean what they say, fitted on people the model never met.

    Args:
        temperature: of the competition between classes of a clip.
        scale, shift: of the log odds of a class along a recording.
    """

    temperature: float = 1.0
    scale: float = 1.0
    shift: float = 0.0

    def probabilities(self, odds: Array) -> Array:
        """Of the log odds of classes along a recording."""
        with np.errstate(over="ignore"):
            p: Array = 1 / (1 + np.exp(-(self.scale * odds + self.shift)))
        return p


def tuned(model: Saved) -> tuple[Calibration, dict[str, DecodeSettings]]:
    """What was fitted to a model after its training: the calibration, and settings of the decoder by taxonomy.

    Raises:
        FormatError: the config states them wrongly.
    """
    notes = model.config
    try:
        calibration = Calibration(**{name: float(value) for name, value in notes.get("calibration", {}).items()})
        decodings = {key: DecodeSettings(**values) for key, values in notes.get("decoding", {}).items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise FormatError(model.folder / CONFIG, f"states no usable calibration or decoding ({error})") from error
    return calibration, decodings


def untuned(seconds: float, threshold: float = 0.3) -> DecodeSettings:
    """Settings of the decoder for a recogniser of clips, which knows no background: the threshold says what is nothing.

    Args:
        seconds: length of its windows.
    """
    return DecodeSettings(on=threshold, smooth=0.0, longest=max(20.0, 4 * seconds), typical=seconds)


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
