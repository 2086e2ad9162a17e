"""Divisions beyond the official splits: leave one subject out, folds of subjects, few shots per class.

The functions give row numbers; the classes wrap a data set, so that a recipe can name one division of it:

    data:
      class_path: microgesture.datasets.folds.WithoutSubject
      init_args: {subject: 3, data: {class_path: microgesture.datasets.smg.SMG}}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from microgesture.core.errors import UsageError
from microgesture.datasets.clips import Ids, LabelledClips
from microgesture.datasets.harmonised import ClipView, GivesClips, JoinedClips, Wrapped, view


@dataclass(frozen=True, eq=False)
class Fold:
    """One division.

    Args:
        name: `"subject 7"` or `"fold 2 of 5"`.
        train, test: row numbers, rising, without overlap.
    """

    name: str
    train: Ids
    test: Ids


def leave_one_subject_out(subject: ArrayLike) -> Iterator[Fold]:
    """One fold per subject, in the order of their ids.

    Raises:
        UsageError: subjects are unknown (-1), or there is only one.

    Example:
        >>> [fold.test.tolist() for fold in leave_one_subject_out([5, 2, 5])]
        [[1], [0, 2]]
    """
    who = _known(subject)
    for each in np.unique(who):
        yield Fold(f"subject {each}", np.flatnonzero(who != each), np.flatnonzero(who == each))


def subject_folds(subject: ArrayLike, folds: int = 5) -> Iterator[Fold]:
    """Whole subjects in each fold, the folds nearly alike in size.

    Raises:
        UsageError: subjects are unknown, or fewer than `folds`.

    Example:
        >>> [fold.test.tolist() for fold in subject_folds([0, 0, 1, 2], 2)]
        [[0, 1], [2, 3]]
    """
    from sklearn.model_selection import GroupKFold

    who = _known(subject)
    people = len(np.unique(who))
    if not 2 <= folds <= people:
        raise UsageError(f"{folds} folds of {people} subjects; choose 2 to {people}")
    divided = GroupKFold(folds).split(who, groups=who)
    for number, (train, test) in enumerate(divided):
        yield Fold(f"fold {number + 1} of {folds}", np.asarray(train, np.int64), np.asarray(test, np.int64))


@dataclass(frozen=True, eq=False)
class Shots:
    """The chosen clips of a few-shot subset.

    Args:
        rows: row numbers, rising.
        short: classes that have fewer clips than were asked for, and how many they have; classes without any clip
            are not among them.
    """

    rows: Ids
    short: dict[int, int]


def k_shot(label: ArrayLike, shots: int, seed: int = 0) -> Shots:
    """`shots` clips per class, or as many as it has. With one seed a smaller subset lies inside each larger one.

    Args:
        label: (N,) class ids; clips without a label (-1) are never chosen.

    Raises:
        UsageError: fewer than one shot, or no clip has a label.

    Example:
        >>> found = k_shot([0, 0, 0, 1], 2)
        >>> len(found.rows), found.short
        (3, {1: 1})
    """
    if shots < 1:
        raise UsageError(f"{shots} shots per class; at least 1 is needed")
    ids = np.asarray(label, np.int64)
    classes = np.unique(ids[ids >= 0])
    if not len(classes):
        raise UsageError("no clip has a label: there is nothing to choose shots from")
    rows, short = [], {}
    for each in classes:
        own = np.flatnonzero(ids == each)
        # a generator per class: what is drawn does not depend on which other classes are there
        rows.append(np.random.default_rng([seed, int(each)]).permutation(own)[:shots])
        if len(own) < shots:
            short[int(each)] = len(own)
    return Shots(np.sort(np.concatenate(rows)), short)


class _Divided(Wrapped):
    """All labelled clips of a data set, divided anew into `train` and `test`."""

    def __init__(self, data: GivesClips, pool: Sequence[str] = ()) -> None:
        super().__init__(data)
        self.pool = tuple(pool) or self.data.splits
        for split in self.pool:
            if split not in self.data.splits:
                raise UsageError(f"{self.key} has no split '{split}' to pool; choose {', '.join(self.data.splits)}")
        self.splits = ("train", "test")

    def clips(self, split: str) -> ClipView:
        """The clips of `train` or `test`.

        Raises:
            UsageError: there is no such split or subject, or the data do not say who moves.
            NoInput, FormatError: see the data set inside.
        """
        if split not in self.splits:
            raise UsageError(f"{self.key} divided anew has no split '{split}'; choose {', '.join(self.splits)}")
        parts = tuple(view(self.data.clips(name), self.fps, f"pooled for {split}") for name in self.pool)
        together = JoinedClips(parts, (0,) * len(parts), self.taxonomy, self.fps, same_people=True)
        labelled = np.flatnonzero(together.label >= 0)
        fold = self._fold(together.subject[labelled])
        rows = labelled[fold.train if split == "train" else fold.test]
        return ClipView(together, rows, together.rate[rows], fold.name)

    def _fold(self, subject: Ids) -> Fold:
        raise NotImplementedError


class WithoutSubject(_Divided):
    """Leave one subject out: `test` is what this subject shows, `train` all the rest.

    Args:
        data: the data set inside.
        subject: who is left out; `subjects` lists whom there is.
        pool: splits of the data set to divide anew, by default all. Clips whose labels are withheld stay out.
    """

    def __init__(self, data: GivesClips, subject: int, pool: Sequence[str] = ()) -> None:
        super().__init__(data, pool)
        self.subject = subject

    @property
    def protocol(self) -> str:
        """What records call it."""
        return f"without-subject-{self.subject}"

    def _fold(self, subject: Ids) -> Fold:
        who = _known(subject)
        if self.subject not in who:
            raise UsageError(f"{self.key} has no subject {self.subject}; it has {_listed(np.unique(who))}")
        return Fold(f"subject {self.subject}", np.flatnonzero(who != self.subject), np.flatnonzero(who == self.subject))


class SubjectFold(_Divided):
    """One of several folds of subjects, see `subject_folds`.

    Args:
        data: the data set inside.
        fold: which one is `test`, from 0.
        folds: how many there are.
        pool: see `WithoutSubject`.
    """

    def __init__(self, data: GivesClips, fold: int, folds: int = 5, pool: Sequence[str] = ()) -> None:
        super().__init__(data, pool)
        if not 0 <= fold < folds:
            raise UsageError(f"fold is {fold}; it must lie in 0..{folds - 1}")
        self.fold, self.folds = fold, folds

    @property
    def protocol(self) -> str:
        """What records call it."""
        return f"subject-fold-{self.fold + 1}-of-{self.folds}"

    def _fold(self, subject: Ids) -> Fold:
        return list(subject_folds(subject, self.folds))[self.fold]


class FewShots(Wrapped):
    """A data set with `shots` training clips per class; the other splits stay as they are. See `k_shot`.

    Args:
        data: the data set inside.
        seed: of the choice.
    """

    def __init__(self, data: GivesClips, shots: int, seed: int = 0) -> None:
        super().__init__(data)
        if shots < 1:
            raise UsageError(f"{shots} shots per class; at least 1 is needed")
        self.shots, self.seed = shots, seed

    @property
    def protocol(self) -> str:
        """What records call it."""
        return f"{self.shots}-shot-seed-{self.seed}"

    def clips(self, split: str) -> LabelledClips:
        """The clips of a split."""
        inside = self.data.clips(split)
        if split != "train":
            return inside
        rows = k_shot(inside.label, self.shots, self.seed).rows
        return view(inside, self.fps, f"{self.shots} per class, seed {self.seed}", rows)


def _known(subject: ArrayLike) -> Ids:
    who = np.asarray(subject, np.int64)
    unknown = int((who < 0).sum())
    if unknown:
        raise UsageError(f"the data do not say who moves in {unknown} of {len(who)} clips: no subject can be left out")
    if len(np.unique(who)) < 2:
        raise UsageError(f"{len(np.unique(who))} subject cannot be divided; two or more are needed")
    return who


def _listed(ids: Ids) -> str:
    shown = ", ".join(map(str, ids[:12].tolist()))
    return shown + (f" and {len(ids) - 12} more" if len(ids) > 12 else "")
