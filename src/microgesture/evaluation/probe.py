"""How much a frozen representation tells: a linear probe and nearest neighbours on features.

Features in, probabilities out; where the features come from does not matter here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.errors import UsageError
from microgesture.evaluation.classification import summary

Ids = NDArray[np.int64]
Array = NDArray[np.float64]

GRID = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of regularisation a linear probe chooses from."""


@dataclass(frozen=True, eq=False)
class Probe:
    """What a probe says about the test clips.

    Args:
        probabilities: (N, K).
        label: (N,) true classes.
        settings: what was chosen and how, for records.
    """

    probabilities: Array
    label: Ids
    settings: dict[str, float]

    @property
    def predicted(self) -> Ids:
        """(N,) most probable class."""
        return np.asarray(self.probabilities.argmax(1), np.int64)

    @property
    def accuracy(self) -> float:
        """Share of clips named right."""
        return float((self.predicted == self.label).mean())

    def metrics(self) -> dict[str, Any]:
        """Accuracy with interval and floor and the rest of `classification.summary`, and the settings."""
        return summary(self.probabilities, self.label) | self.settings


def linear_probe(
    train_x: ArrayLike,
    train_y: ArrayLike,
    test_x: ArrayLike,
    test_y: ArrayLike,
    *,
    classes: int | None = None,
    held_out: float = 0.2,
    seed: int = 0,
) -> Probe:
    """Logistic regression on standardised features; its regularisation is chosen on a held-out part of the training.

    The strength comes from `GRID`, by accuracy, of equal ones the strongest; then all training clips are used. The
    test clips decide nothing.

    Args:
        train_x, test_x: (N, D) features.
        train_y, test_y: (N,) class ids.
        classes: K; by default the largest id and one.
        held_out: share of every class held out; a class with a single clip stays in the training part.

    Raises:
        UsageError: shapes do not fit, values are not finite, or the training clips show one class only.

    Example:
        >>> x = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
        >>> linear_probe(x, [0, 0, 0, 1, 1, 1], [[0.05], [5.05]], [0, 1]).accuracy
        1.0
    """
    known, truth, asked, wanted, k = _checked(train_x, train_y, test_x, test_y, classes)
    held = _hold_out(truth, held_out, seed)
    scores: dict[float, float] = {}
    if held.any():
        for strength in GRID:
            found = _logistic(strength).fit(known[~held], truth[~held])
            scores[strength] = float((found.predict(known[held]) == truth[held]).mean())
        strength = max(scores, key=lambda each: scores[each])  # the first of equals: the strongest
    else:
        strength = 1.0  # nothing to hold out: one clip per class
    model = _logistic(strength).fit(known, truth)
    settings = {"c": strength, "held_out_clips": int(held.sum())}
    if scores:
        settings["held_out_top1"] = scores[strength]
    return Probe(_spread(model.predict_proba(asked), model.classes_, k), wanted, settings)


def knn(
    train_x: ArrayLike,
    train_y: ArrayLike,
    test_x: ArrayLike,
    test_y: ArrayLike,
    *,
    classes: int | None = None,
    k: int = 20,
) -> Probe:
    """The `k` nearest training clips by cosine vote, each with its similarity.

    Args:
        k: neighbours; all training clips where there are fewer.
        train_x, train_y, test_x, test_y, classes: see `linear_probe`.

    Raises:
        UsageError: see `linear_probe`; fewer than one neighbour.

    Example:
        >>> knn([[1, 0], [0, 1]], [0, 1], [[2, 0.1]], [0], k=1).accuracy
        1.0
    """
    from sklearn.neighbors import KNeighborsClassifier

    if k < 1:
        raise UsageError(f"{k} neighbours; at least 1 is needed")
    known, truth, asked, wanted, size = _checked(train_x, train_y, test_x, test_y, classes)
    near = min(k, len(known))

    def similarity(distance: Array) -> Array:
        return np.maximum(1 - distance, 1e-9)  # opposite clips have a say, if nobody else has

    model = KNeighborsClassifier(near, metric="cosine", algorithm="brute", weights=similarity).fit(known, truth)
    return Probe(_spread(model.predict_proba(asked), model.classes_, size), wanted, {"neighbours": near})


def _logistic(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))


def _hold_out(label: Ids, share: float, seed: int) -> NDArray[np.bool_]:
    """(N,) which clips choose the regularisation: the share of every class with at least two clips."""
    held = np.zeros(len(label), np.bool_)
    for each in np.unique(label):
        own = np.random.default_rng([seed, int(each)]).permutation(np.flatnonzero(label == each))
        if len(own) > 1:
            held[own[: max(1, round(share * len(own)))]] = True
    return held


def _spread(p: Array, seen: Ids, classes: int) -> Array:
    """Probabilities of the classes that were seen in training -> those of all K."""
    table = np.zeros((len(p), classes))
    table[:, seen] = p
    return table


def _checked(
    train_x: ArrayLike, train_y: ArrayLike, test_x: ArrayLike, test_y: ArrayLike, classes: int | None
) -> tuple[Array, Ids, Array, Ids, int]:
    known, asked = np.asarray(train_x, np.float64), np.asarray(test_x, np.float64)
    truth, wanted = np.asarray(train_y, np.int64), np.asarray(test_y, np.int64)
    if known.ndim != 2 or asked.ndim != 2 or known.shape[1] != asked.shape[1]:
        raise UsageError(f"features have shapes {known.shape} and {asked.shape}, expected (N, D) with one D")
    if truth.shape != known.shape[:1] or wanted.shape != asked.shape[:1] or not len(wanted):
        raise UsageError(f"{len(truth)} and {len(wanted)} labels for {len(known)} and {len(asked)} clips")
    if not (np.isfinite(known).all() and np.isfinite(asked).all()):
        raise UsageError("features are not finite")
    if len(np.unique(truth)) < 2:
        raise UsageError(f"the training clips show {len(np.unique(truth))} class; a probe needs two or more")
    size = int(max(truth.max(), wanted.max())) + 1 if classes is None else classes
    if min(truth.min(), wanted.min()) < 0 or max(truth.max(), wanted.max()) >= size:
        low, high = min(truth.min(), wanted.min()), max(truth.max(), wanted.max())
        raise UsageError(f"labels lie in {low}..{high}, expected 0..{size - 1}")
    return known, truth, asked, wanted, size
