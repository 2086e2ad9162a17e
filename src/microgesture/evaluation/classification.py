"""Metrics for pre-cut clips: who is right how often, how sure that figure is, and what guessing would give.

Shapes: N clips, K classes. `scores` (N, K) rank the classes of each clip, `labels` and `predicted` (N,) are class ids.
All results are fractions in [0, 1]. Where scikit-learn has the metric, it computes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.errors import UsageError

Ids = NDArray[np.int64]


def top_k(scores: ArrayLike, labels: ArrayLike, k: int = 1) -> float:
    """Share of clips whose label is among the k highest scores; of equal scores the higher id ranks first.

    Example:
        >>> top_k([[0.1, 0.9], [0.8, 0.2]], [1, 1])
        0.5
    """
    table, truth = np.asarray(scores), _ids(labels)
    if table.ndim != 2 or len(table) != len(truth):
        raise UsageError(f"scores have shape {table.shape}, expected ({len(truth)}, K)")
    # not scikit-learn's: that one refuses tables of two classes
    best = np.argsort(table, axis=1, kind="stable")[:, ::-1][:, :k]
    return float((best == truth[:, None]).any(1).mean())


def macro_f1(labels: ArrayLike, predicted: ArrayLike, classes: int | None = None) -> float:
    """Mean F1 over classes.

    Args:
        classes: K averages over all K classes, absent ones counting 0; None over the classes that occur
            in labels or predictions, as scikit-learn and the MA-52 scorer do.
    """
    from sklearn.metrics import f1_score

    truth, guess = _pair(labels, predicted)
    over = None if classes is None else np.arange(classes)
    return float(f1_score(truth, guess, labels=over, average="macro", zero_division=0))


def micro_f1(labels: ArrayLike, predicted: ArrayLike) -> float:
    """F1 over pooled counts; for one label per clip this is the accuracy."""
    from sklearn.metrics import f1_score

    return float(f1_score(*_pair(labels, predicted), average="micro"))


def mean_class(labels: ArrayLike, predicted: ArrayLike, classes: int | None = None) -> float:
    """Mean recall over the classes that occur in the labels, or over all K `classes`, absent ones counting 0."""
    from sklearn.metrics import recall_score

    truth, guess = _pair(labels, predicted)
    over = np.unique(truth) if classes is None else np.arange(classes)
    return float(recall_score(truth, guess, labels=over, average="macro", zero_division=0))


def ma52_f1(
    labels: ArrayLike, predicted: ArrayLike, coarse_of: ArrayLike, coarse_predicted: ArrayLike | None = None
) -> dict[str, float]:
    """The four F1 of MA-52 and their mean, by which its challenges rank.

    Args:
        coarse_of: (K,) body-level id of every action.
        coarse_predicted: (N,) body-level predictions of a system that makes its own; otherwise they follow
            from the actions.

    Returns:
        `coarse_macro`, `coarse_micro`, `fine_macro`, `fine_micro`, `f1_mean`.

    Example:
        >>> ma52_f1([0, 1, 2], [0, 2, 2], [0, 1, 1])["coarse_micro"]
        1.0
    """
    truth, guess = _pair(labels, predicted)
    parent = _ids(coarse_of)
    coarse = parent[guess] if coarse_predicted is None else _ids(coarse_predicted)
    four = {
        "coarse_macro": macro_f1(parent[truth], coarse),
        "coarse_micro": micro_f1(parent[truth], coarse),
        "fine_macro": macro_f1(truth, guess),
        "fine_micro": micro_f1(truth, guess),
    }
    return four | {"f1_mean": float(np.mean(list(four.values())))}


def to_coarse(
    probabilities: ArrayLike, coarse_of: ArrayLike, rule: Literal["map", "pooled"] = "pooled"
) -> NDArray[np.int64]:
    """Coarse class of every clip, from the probabilities of the fine ones.

    Args:
        probabilities: (N, K).
        coarse_of: (K,) coarse id of every fine class, from 0.
        rule: `"map"` takes the parent of the best fine class, `"pooled"` the coarse class whose fine classes sum
            highest. They agree wherever one fine class has more than half.

    Raises:
        UsageError: shapes do not fit, a coarse id is negative, or the rule is unknown.

    Example:
        >>> [int(to_coarse([[0.4, 0.3, 0.3]], [0, 1, 1], rule)[0]) for rule in ("map", "pooled")]
        [0, 1]
    """
    table, parent = np.asarray(probabilities, np.float64), _ids(coarse_of)
    if table.ndim != 2 or table.shape[1] != len(parent):
        raise UsageError(f"probabilities have shape {table.shape}, expected (N, {len(parent)})")
    if parent.min() < 0:
        raise UsageError(f"coarse id {parent.min()} is negative; give every class a coarse one")
    if rule not in ("map", "pooled"):
        raise UsageError(f"rule '{rule}' is unknown; choose 'map' or 'pooled'")
    coarse = parent[table.argmax(1)] if rule == "map" else (table @ np.eye(parent.max() + 1)[parent]).argmax(1)
    return np.asarray(coarse, np.int64)


def coarse_summary(probabilities: ArrayLike, labels: ArrayLike, coarse_of: ArrayLike) -> dict[str, float]:
    """How well the coarse class is known, by both rules of `to_coarse`, and where the rest goes.

    Args:
        probabilities: (N, K); labels are fine ones.

    Returns:
        `top1_map`, `top1_pooled`, `macro_f1_map`, `macro_f1_pooled`, `majority_floor` of the coarse classes, and
        `coarse_right_fine_wrong`: the share of clips whose best fine class is wrong but has the right parent.

    Example:
        >>> coarse_summary([[0.4, 0.3, 0.3], [0.1, 0.8, 0.1]], [1, 2], [0, 1, 1])["coarse_right_fine_wrong"]
        0.5
    """
    table, truth, parent = np.asarray(probabilities, np.float64), _ids(labels), _ids(coarse_of)
    wanted, record = parent[truth], {}
    rules: tuple[Literal["map", "pooled"], ...] = ("map", "pooled")
    for rule in rules:
        guess = to_coarse(table, parent, rule)
        record[f"top1_{rule}"] = micro_f1(wanted, guess)
        record[f"macro_f1_{rule}"] = macro_f1(wanted, guess)
    best = table.argmax(1)
    near = (best != truth) & (parent[best] == wanted)
    return record | {"majority_floor": majority_floor(wanted), "coarse_right_fine_wrong": float(near.mean())}


def emotion_summary(labels: ArrayLike, predicted: ArrayLike) -> dict[str, Any]:
    """What is printed for predicted states of people (win or lose, stressed or relaxed), floor and interval included.

    With a hundred videos an accuracy of 0.6 lies between 0.50 and 0.70: the record says whether guessing is
    ruled out. Compare two systems by `uncertainty.mcnemar`.

    Returns:
        `recordings`, `accuracy`, `accuracy_exact95` (Clopper-Pearson), `majority_floor`, `above_floor` (the whole
        interval is), `macro_f1` and `f1` per state that occurs.

    Example:
        >>> found = emotion_summary([0] * 50 + [1] * 50, [0] * 30 + [1] * 50 + [0] * 20)
        >>> found["accuracy"], [round(x, 3) for x in found["accuracy_exact95"]], found["above_floor"]
        (0.6, [0.497, 0.697], False)
    """
    from sklearn.metrics import f1_score

    truth, guess = _pair(labels, predicted)
    hits, states = int((truth == guess).sum()), np.unique(np.concatenate([truth, guess]))
    exact, floor = clopper_pearson(hits, len(truth)), majority_floor(truth)
    each = f1_score(truth, guess, labels=states, average=None, zero_division=0)
    return {
        "recordings": len(truth),
        "accuracy": hits / len(truth),
        "accuracy_exact95": list(exact),
        "majority_floor": floor,
        "above_floor": exact[0] > floor,
        "macro_f1": macro_f1(truth, guess),
        "f1": {int(state): float(f1) for state, f1 in zip(states, each, strict=True)},
    }


def shots(
    labels: ArrayLike, predicted: ArrayLike, train_counts: ArrayLike, many: int = 100, few: int = 20
) -> dict[str, float]:
    """Accuracy over the clips of classes with `> many`, `few..many` and `< few` training clips.

    A group without clips is left out.
    """
    truth, guess = _pair(labels, predicted)
    counts = _ids(train_counts)[truth]
    groups = {"many": counts > many, "medium": (counts >= few) & (counts <= many), "few": counts < few}
    return {name: float((guess == truth)[group].mean()) for name, group in groups.items() if group.any()}


def majority_floor(labels: ArrayLike) -> float:
    """Accuracy of the best constant answer: the share of the most frequent label.

    Example:
        >>> majority_floor([4, 4, 4, 1])
        0.75
    """
    return float(np.unique(_ids(labels), return_counts=True)[1].max() / len(_ids(labels)))


def wilson(hits: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927): close to its level on average, narrow.

    Example:
        >>> [round(x, 4) for x in wilson(8, 10)]
        [0.4902, 0.9433]
    """
    from scipy.stats import norm

    _count(hits, total)
    z, p = float(norm.ppf(0.5 + level / 2)), hits / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def clopper_pearson(hits: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934): never below its level, wide.

    Example:
        >>> [round(x, 4) for x in clopper_pearson(8, 10)]
        [0.4439, 0.9748]
    """
    from scipy.stats import beta

    _count(hits, total)
    a = (1 - level) / 2
    low = float(beta.ppf(a, hits, total - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - a, hits + 1, total - hits)) if hits < total else 1.0
    return low, high


def wald(hits: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share by the normal approximation, as papers often print it: too narrow near 0 and 1.

    Example:
        >>> [round(x, 3) for x in wald(60, 100)]
        [0.504, 0.696]
    """
    from scipy.stats import norm

    _count(hits, total)
    p = hits / total
    half = float(norm.ppf(0.5 + level / 2)) * float(np.sqrt(p * (1 - p) / total))
    return max(0.0, p - half), min(1.0, p + half)


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Mean distance between the probability of the answer and how often it is right (Guo et al. 2017).

    `bins` bins of equal width over (0, 1], each weighted by its clips.

    Example:
        >>> round(expected_calibration_error([[0.8, 0.2]] * 5, [0, 0, 0, 0, 1]), 6)
        0.0
    """
    table, truth = np.asarray(probabilities, np.float64), _ids(labels)
    sure, right = table.max(1), table.argmax(1) == truth
    bin_of = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    return float(sum(abs((sure[b] - right[b]).sum()) for b in (bin_of == i for i in range(bins))) / len(truth))


@dataclass(frozen=True)
class Spread:
    """Accuracy per subject: the mean, standard deviation, worst and best over subjects."""

    subjects: int
    mean: float
    sd: float
    worst: float
    best: float


def per_subject(labels: ArrayLike, predicted: ArrayLike, subjects: ArrayLike) -> Spread:
    """How much the accuracy differs between people; every subject weighs the same."""
    truth, guess = _pair(labels, predicted)
    who = _ids(subjects)
    each = np.array([(guess == truth)[who == s].mean() for s in np.unique(who)])
    sd = float(each.std(ddof=1)) if len(each) > 1 else 0.0
    return Spread(len(each), float(each.mean()), sd, float(each.min()), float(each.max()))


def summary(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    subjects: ArrayLike | None = None,
    train_counts: ArrayLike | None = None,
    coarse_of: ArrayLike | None = None,
) -> dict[str, Any]:
    """The table printed for a recogniser: every metric here that its arguments allow, ready for JSON.

    Args:
        probabilities: (N, K), rows sum to 1.
        coarse_of: (K,) coarse id of every class, for the MA-52 and the coarse figures.

    Raises:
        UsageError: there are no clips.
    """
    table, truth = np.asarray(probabilities, np.float64), _ids(labels)
    guess = table.argmax(1)
    hits = int((guess == truth).sum())
    record: dict[str, Any] = {
        "clips": len(truth),
        "top1": hits / len(truth),
        "top1_wilson95": list(wilson(hits, len(truth))),
        "top1_exact95": list(clopper_pearson(hits, len(truth))),
        "majority_floor": majority_floor(truth),
        "top5": top_k(table, truth, 5),
        "macro_f1": macro_f1(truth, guess, table.shape[1]),
        "macro_f1_present": macro_f1(truth, guess),
        "mean_class": mean_class(truth, guess),
        "calibration_error": expected_calibration_error(table, truth),
    }
    if subjects is not None:
        record["per_subject"] = vars(per_subject(truth, guess, subjects))
    if train_counts is not None:
        record["shots"] = shots(truth, guess, train_counts)
    if coarse_of is not None:
        record["ma52"] = ma52_f1(truth, guess, coarse_of)
        record["coarse"] = coarse_summary(table, truth, coarse_of)
    return record


def _ids(values: ArrayLike) -> Ids:
    ids = np.asarray(values)
    if ids.ndim != 1 or not len(ids):
        raise UsageError(f"expected a non-empty list of class ids, got shape {ids.shape}")
    return ids.astype(np.int64)


def _pair(labels: ArrayLike, predicted: ArrayLike) -> tuple[Ids, Ids]:
    truth, guess = _ids(labels), _ids(predicted)
    if len(truth) != len(guess):
        raise UsageError(f"{len(truth)} labels but {len(guess)} predictions")
    return truth, guess


def _count(hits: int, total: int) -> None:
    if not 0 <= hits <= total or total == 0:
        raise UsageError(f"{hits} hits of {total} is not a share")
