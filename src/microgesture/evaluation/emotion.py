"""How much the occurrence of micro-gestures tells about the state of a person (won or lost, relaxed or stressed).

Every emotional stretch of a store (a whole recording of iMiGUE, a state of SMG) becomes a row of rates; a plain
classifier learns the state from them. Segments are those of the data set (oracle) or a recogniser's: the difference is
what its errors cost. Nothing is tuned, and every accuracy stands with its exact interval, the majority floor and a test
against always answering the most frequent state.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import NoInput, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.store import CLIPS, RECORDINGS, Store
from microgesture.evaluation.classification import emotion_summary
from microgesture.evaluation.uncertainty import mcnemar
from microgesture.formats.timeline_json import read_timeline_json

Array = NDArray[np.float64]
Ids = NDArray[np.int64]
Protocol = Literal["official", "loso"]

MODELS = ("logistic", "svm", "forest")
FORMAT, VERSION = "microgesture-emotion", 1


@dataclass(frozen=True, eq=False)
class Occurrences:
    """A row per emotional stretch.

    Args:
        row: (N,) row of the store's table of states.
        label: (N,) state.
        split: (N,) `train`, `test` or empty, as the data set's emotion protocol has it.
        group: (N,) who moves, or where nobody knows the recording: left out together.
        x: (N, D) features.
        columns: their names.
        counts: (N, K) segments per class.
        minutes: (N,) length.
    """

    row: Ids
    label: Ids
    split: list[str]
    group: Ids
    x: Array
    columns: tuple[str, ...]
    counts: Ids
    minutes: Array

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: Sequence[int]) -> Occurrences:
        """Some of the rows."""
        at = list(rows)
        return Occurrences(
            self.row[at], self.label[at], [self.split[i] for i in at], self.group[at], self.x[at],
            self.columns, self.counts[at], self.minutes[at],
        )  # fmt: skip


def columns(taxonomy: Taxonomy) -> tuple[str, ...]:
    """Names of the features `rate_vector` gives."""
    names = taxonomy.names
    return (
        *(f"rate: {name}" for name in names),
        *(f"share: {name}" for name in names),
        *(f"group: {group}" for group in taxonomy.groups),
        "rate of all",
        "gap",
    )


def rate_vector(segments: Sequence[Segment], minutes: float, taxonomy: Taxonomy) -> Array:
    """Features of a stretch: per class and body group log(1 + segments per minute), shares of classes, the median gap.

    The class of illustrative gestures has a rate, but counts neither in shares nor in the rate of all nor in gaps:
    it is no micro-gesture.

    Args:
        minutes: length of the stretch.

    Returns:
        (2 K + G + 2,), see `columns`; the gap is log(1 + seconds) from the end of one segment to the start of the
        next, the whole stretch where there are fewer than two.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> row = rate_vector([Segment(0, 1, 5, 1.0), Segment(4, 5, 5, 1.0)], 0.5, SMG)
        >>> [round(float(row[columns(SMG).index(name)]), 3) for name in ("rate: Touching or scratching neck", "gap")]
        [1.609, 1.386]
    """
    counts = np.bincount([s.label for s in segments], minlength=len(taxonomy)).astype(np.float64)
    gestures = counts.copy()
    if taxonomy.illustrative is not None:
        gestures[taxonomy.illustrative] = 0
    total = gestures.sum()
    parts = np.zeros(len(taxonomy.groups))
    for id in range(len(taxonomy)):
        if taxonomy.group_of(id) >= 0:
            parts[taxonomy.group_of(id)] += gestures[id]
    ordered = sorted((s for s in segments if s.label != taxonomy.illustrative), key=lambda s: s.start)
    gaps = [max(b.start - a.end, 0.0) for a, b in pairwise(ordered)]
    gap = float(np.median(gaps)) if gaps else 60 * minutes
    return np.concatenate(
        [
            np.log1p(counts / minutes),
            gestures / max(total, 1.0),
            np.log1p(parts / minutes),
            [np.log1p(total / minutes), np.log1p(gap)],
        ]
    )


def occurrences(store: Store, timelines: Sequence[Timeline | None]) -> Occurrences:
    """The rows of a store whose states are known.

    Args:
        timelines: one per recording of the store; stretches of recordings without one are left out.

    Raises:
        UsageError: no state is known, or no stretch is left.
    """
    table = store.states.to_pydict()
    recordings = store.recordings.to_pydict()
    known = [i for i, label in enumerate(table["label"]) if label >= 0]
    if not known:
        remedy = "; iMiGUE's outcomes come with labels.csv of iMiGUE-Speech" if store.dataset == "imigue" else ""
        raise UsageError(f"{store.path} holds no recording whose emotional state is known{remedy}")
    rows = [i for i in known if timelines[table["recording"][i]] is not None]
    if not rows:
        raise UsageError(f"{store.path}: no emotional stretch lies in a recording with segments")
    x, counts, minutes = [], [], []
    for i in rows:
        recording = table["recording"][i]
        line = timelines[recording]
        assert line is not None
        fps = recordings["fps"][recording]
        start, end = table["start"][i] / fps, (table["start"][i] + table["frames"][i]) / fps
        inside = [s for s in line if start <= (s.start + s.end) / 2 < end]
        minutes.append((end - start) / 60)
        counts.append(np.bincount([s.label for s in inside], minlength=len(line.taxonomy)))
        x.append(rate_vector(inside, minutes[-1], line.taxonomy))
    where = np.array([table["recording"][i] for i in rows])
    subject = np.array(recordings["subject"])[where]
    group = where if (subject < 0).any() else subject
    label = np.array([table["label"][i] for i in rows], np.int64)
    spaces = {line.taxonomy.digest: line.taxonomy for line in timelines if line is not None}
    if len(spaces) > 1:
        raise UsageError(f"segments are named in different label spaces: {', '.join(t.key for t in spaces.values())}")
    (space,) = spaces.values()
    return Occurrences(
        np.array(rows, np.int64), label, [table["split"][i] for i in rows], group.astype(np.int64), np.array(x),
        columns(space), np.array(counts, np.int64), np.array(minutes),
    )  # fmt: skip


def true_timelines(store: Store) -> list[Timeline | None]:
    """The data set's own segments of every recording; None where their labels are withheld."""
    recording, label = store.column(CLIPS, "recording"), store.column(CLIPS, "label")
    hidden = set(recording[label < 0].tolist())
    splits = np.array(store.recordings.column("split").to_pylist())
    for split in np.unique(splits):
        of_split = label[splits[recording] == split]
        if len(of_split) and (of_split < 0).all():  # no segments in a recording of such a split does not mean none
            hidden |= set(np.flatnonzero(splits == split).tolist())
    return [None if i in hidden else store.timeline(i) for i in range(len(splits))]


def predicted_timelines(store: Store, folder: str | os.PathLike[str]) -> list[Timeline | None]:
    """A recogniser's segments: `<recording>.json` or `<recording>/timeline.json` in the folder, as `analyze` writes.

    Raises:
        NoInput: the folder, or the file of a recording whose state is known, is not there.
        FormatError: a file is damaged.
    """
    root = Path(folder)
    if not root.is_dir():
        raise NoInput(f"{root}: no such folder; it should hold a timeline for every recording")
    names = store.recordings.column("name").to_pylist()
    states = store.states.to_pydict()
    needed = {r for r, label in zip(states["recording"], states["label"], strict=True) if label >= 0}
    found: list[Timeline | None] = [None] * len(names)
    missing = []
    for i in sorted(needed):
        places = (root / f"{names[i]}.json", root / names[i] / "timeline.json")
        place = next((p for p in places if p.is_file()), None)
        if place is None:
            missing.append(names[i])
        else:
            found[i] = read_timeline_json(place)
    if missing:
        listed = ", ".join(missing[:6]) + (" ..." if len(missing) > 6 else "")
        raise NoInput(f"{root}: no timeline of {len(missing)} of {len(needed)} recordings ({listed})")
    return found


def emotion(
    store: Store,
    predictions: str | os.PathLike[str] | None = None,
    protocol: Protocol = "official",
    models: Sequence[str] = MODELS,
    seed: int = 0,
) -> dict[str, Any]:
    """States from occurrences, by every model, from true and from predicted segments.

    Args:
        predictions: folder of timelines, see `predicted_timelines`.
        protocol: `official` trains and tests as the data set divides its states; `loso` leaves out one subject at a
            time, or one recording where nobody knows the subjects.
        models: some of `MODELS`: logistic regression, linear support vectors, random forest, with fixed settings.
        seed: of the forest and the support vectors.

    Returns:
        A record: `cells` by segments and model, `propagation` from oracle to predicted, `classes` with their tests,
        and `notes` that belong to every quotation of the figures.

    Raises:
        UsageError: states are unknown, there is one state only, or a split is empty.
        NoInput, FormatError: predictions are missing or damaged.
    """
    if protocol not in ("official", "loso"):
        raise UsageError(f"no protocol '{protocol}'; choose official or loso")
    unknown = [name for name in models if name not in MODELS]
    if unknown or not models:
        raise UsageError(f"no model '{', '.join(unknown)}'; choose {', '.join(MODELS)}")
    notes = []
    true = true_timelines(store)
    hidden = sum(line is None for line in true)
    if hidden and predictions is not None and hidden == len(true):
        notes.append("the data set withholds all labels: there is no oracle")
    sources: dict[str, Occurrences] = {}
    if hidden < len(true):
        sources["oracle"] = occurrences(store, true)
        if hidden:
            notes.append(f"oracle: {hidden} of {len(true)} recordings have withheld labels and are left out")
    elif predictions is None:
        raise UsageError(f"{store.path}: the labels of all segments are withheld; give --predictions")
    if predictions is not None:
        sources["predicted"] = occurrences(store, predicted_timelines(store, predictions))
    if protocol == "loso" and (store.column(RECORDINGS, "subject") < 0).any():
        notes.append(
            "nobody knows the subjects: one recording at a time is left out, and a person may be on both sides"
        )
    cells: dict[str, Any] = {}
    answers: dict[tuple[str, str], dict[int, int]] = {}
    for kind, rows in sources.items():
        try:
            folds = list(_folds(rows, protocol))
        except UsageError as error:
            if kind == "predicted" or "predicted" not in sources:
                raise
            notes.append(f"oracle: {error}")  # what is withheld from the oracle need not stop the predictions
            continue
        for model in models:
            label, predicted, row = _answers(rows, rows, folds, model, seed)
            cells[f"{kind} {model}"] = _cell(label, predicted)
            answers[kind, model] = dict(zip(row.tolist(), (predicted == label).astype(int).tolist(), strict=True))
    record: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": store.dataset,
        "simulated": store.simulated,
        "protocol": protocol,
        "states": list(store.states_of),
        "seed": seed,
        "cells": cells,
    }
    if {kind for kind, _ in answers} == {"oracle", "predicted"}:
        record["propagation"] = {m: _propagation(sources, answers, protocol, m, seed) for m in models}
    record["classes"] = class_tests(next(iter(sources.values())))
    tested = next(iter(cells.values()))["recordings"]
    return record | {"notes": notes + guard_rails(tested, store.dataset, protocol)}


def guard_rails(tested: int, dataset: str, protocol: str) -> list[str]:
    """Sentences that belong beside the figures.

    Example:
        >>> guard_rails(100, "smg", "loso")[0]
        'with 100 tested stretches the 95 % interval of an accuracy of .60 is about +-.096: smaller differences ...'
    """
    half = 1.96 * (0.6 * 0.4 / tested) ** 0.5
    notes = [
        f"with {tested} tested stretches the 95 % interval of an accuracy of .60 is about +-{f'{half:.3f}'[1:]}: "
        "smaller differences say nothing",
        "no single micro-gesture stands for an emotion; the figures speak of groups of recordings, not of a person",
    ]
    if dataset == "imigue":
        from microgesture.datasets.imigue import EMOTION_TEST, TEST_VIDEOS

        seen = EMOTION_TEST - TEST_VIDEOS
        notes.append(
            f"{len(seen)} of {len(EMOTION_TEST)} emotion-test videos are training or validation material of the MiGA "
            "split: predicted segments of these are honest only from a model that did not train on them"
        )
        if protocol == "official":
            notes.append("iMiGUE's emotion split is by video: the same person may be on both sides")
    return notes


def class_tests(rows: Occurrences) -> list[dict[str, Any]]:
    """Does a class occur more often in one state? Mann-Whitney U on its rates, p corrected by Benjamini and Hochberg.

    All stretches are used, so this describes the data; it is no test of a recogniser.

    Returns:
        For every class that occurs: `name`, `median_rates` per minute of states 0 and 1, `u`, `p`, `q`,
        `rank_biserial` (positive: more often in state 1), and of occurring at all `odds_ratio` (state 1 over 0, 1/2
        added to each count) with its 95 % interval. Sorted by p; empty unless there are two states.
    """
    from scipy.stats import false_discovery_control, mannwhitneyu

    states = np.unique(rows.label)
    if states.tolist() != [0, 1]:
        return []
    found: list[dict[str, Any]] = []
    names = [name.removeprefix("rate: ") for name in rows.columns[: rows.counts.shape[1]]]
    second = rows.label == 1
    for k in np.flatnonzero(rows.counts.any(0)):
        rate = rows.counts[:, k] / rows.minutes
        u, p = mannwhitneyu(rate[second], rate[~second], alternative="two-sided")
        shown = rows.counts[:, k] > 0
        # shown in state 1, not in state 0; shown in state 0, not in state 1
        table = ((shown, second), (~shown, ~second), (shown, ~second), (~shown, second))
        cells = [float((a & b).sum()) + 0.5 for a, b in table]
        odds = cells[0] * cells[1] / (cells[2] * cells[3])
        wide = np.exp(1.96 * np.sqrt(sum(1 / c for c in cells)))
        found.append(
            {
                "name": names[k],
                "median_rates": [float(np.median(rate[~second])), float(np.median(rate[second]))],
                "u": float(u),
                "p": float(p) if np.isfinite(p) else 1.0,  # the rates are all alike
                "rank_biserial": float(2 * u / (second.sum() * (~second).sum()) - 1),
                "odds_ratio": float(odds),
                "odds_ratio95": [float(odds / wide), float(odds * wide)],
            }
        )
    for each, q in zip(found, false_discovery_control([c["p"] for c in found]) if found else [], strict=True):
        each["q"] = float(q)
    return sorted(found, key=lambda each: (each["p"], each["name"]))


def _cell(label: Ids, predicted: Ids) -> dict[str, Any]:
    states, counts = np.unique(label, return_counts=True)
    majority = np.full(len(label), states[counts.argmax()])
    test = mcnemar(label, majority, predicted)
    return emotion_summary(label, predicted) | {"against_majority": asdict(test)}


def _propagation(
    sources: dict[str, Occurrences], answers: dict[tuple[str, str], dict[int, int]], protocol: Protocol, model: str,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """From true to predicted segments, on the stretches that have both."""
    oracle, predicted = sources["oracle"], sources["predicted"]
    right, other = answers["oracle", model], answers["predicted", model]
    shared = [row for row in right if row in other]
    both = np.flatnonzero(np.isin(predicted.row, oracle.row)).tolist()
    mixed: float | None = None
    if oracle.columns == predicted.columns and len(both) == len(oracle):
        truth, guess, _ = _answers(oracle, predicted.take(both), list(_folds(oracle, protocol)), model, seed)
        mixed = float((truth == guess).mean())
    if not shared:
        return {"stretches": 0}
    first, second = (np.array([each[row] for row in shared]) for each in (right, other))
    test = mcnemar(np.ones(len(shared)), first, second)
    return {
        "stretches": len(shared),
        "oracle": float(first.mean()),
        "learnt_from_oracle_tested_on_predicted": mixed,
        "predicted": float(second.mean()),
        "lost": float(first.mean() - second.mean()),
        "mcnemar": asdict(test),
    }


def _folds(rows: Occurrences, protocol: Protocol) -> Iterator[tuple[Ids, Ids]]:
    """Rows to train on and to test on."""
    if len(np.unique(rows.label)) < 2:
        raise UsageError("all stretches show one state: there is nothing to tell apart")
    if protocol == "official":
        train, test = (np.flatnonzero([s == split for s in rows.split]) for split in ("train", "test"))
        if not len(train) or not len(test):
            raise UsageError(
                f"the official division has {len(train)} stretches to train on and {len(test)} to test on: complete "
                "the data, or choose --protocol loso"
            )
        yield train, test
        return
    groups = np.unique(rows.group)
    if len(groups) < 3:
        raise UsageError(f"leaving one out needs three subjects or recordings, there are {len(groups)}")
    for each in groups:
        yield np.flatnonzero(rows.group != each), np.flatnonzero(rows.group == each)


def _answers(
    train: Occurrences, test: Occurrences, folds: Sequence[tuple[Ids, Ids]], model: str, seed: int
) -> tuple[Ids, Ids, Ids]:
    """True and predicted states of all tested rows, and their rows in the store."""
    label, predicted, row = [], [], []
    for fit, ask in folds:
        label.append(test.label[ask])
        row.append(test.row[ask])
        if len(np.unique(train.label[fit])) < 2:
            predicted.append(np.full(len(ask), train.label[fit][0]))
            continue
        learnt = _model(model, seed).fit(train.x[fit], train.label[fit])
        predicted.append(learnt.predict(test.x[ask]))
    return np.concatenate(label), np.concatenate(predicted).astype(np.int64), np.concatenate(row)


def _model(name: str, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    # strong regularisation: there are about as many features as recordings
    made: dict[str, Any] = {
        "logistic": LogisticRegression(C=0.1, max_iter=2000),
        "svm": LinearSVC(C=0.01, random_state=seed, max_iter=20_000),
        "forest": RandomForestClassifier(100, min_samples_leaf=2, random_state=seed),
    }
    return make_pipeline(StandardScaler(), made[name])
