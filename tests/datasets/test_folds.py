from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG
from microgesture.datasets.clips import ClipDataset, Clips
from microgesture.datasets.folds import (
    FewShots,
    SubjectFold,
    WithoutSubject,
    k_shot,
    leave_one_subject_out,
    subject_folds,
)
from microgesture.datasets.harmonised import Harmonised

subjects = st.lists(st.integers(0, 9), min_size=2, max_size=60).filter(lambda each: len(set(each)) > 1)


class People:
    """Splits of one data set: subjects 0-3 in train, 3-4 in val, 5-6 in test; one test label is withheld."""

    key, skeleton, taxonomy = "people", SKELETONS["upper12"], SMG
    fps, persons, coordinates = 20.0, 1, 2
    splits: tuple[str, ...] = ("train", "val", "test")

    def clips(self, split: str) -> Clips:
        who = {"train": [0, 0, 1, 2, 3, 3], "val": [3, 4], "test": [5, 6, 6]}[split]
        n = len(who)
        label = np.arange(n) % 3
        soft = np.zeros((n, len(SMG)), np.float32)
        if split == "test":
            label[0] = -1
        return Clips(
            np.full((n * 5, 1, 12, 2), 1.0, np.float32), np.ones((n * 5, 1, 12), np.float32), np.arange(n + 1) * 5,
            label, np.array(who), self.skeleton, self.taxonomy, split, soft,
        )  # fmt: skip


@given(subjects)
def test_every_subject_is_left_out_once(who: list[int]) -> None:
    folds = list(leave_one_subject_out(who))
    ids = np.array(who)
    assert len(folds) == len(set(who))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(who)))
    for fold in folds:
        assert len(set(ids[fold.test])) == 1
        assert set(ids[fold.test]).isdisjoint(ids[fold.train])
        assert sorted([*fold.train, *fold.test]) == list(range(len(who)))


@given(subjects, st.integers(2, 5))
def test_folds_of_subjects_are_disjoint_and_exhaustive(who: list[int], count: int) -> None:
    ids = np.array(who)
    if count > len(set(who)):
        with pytest.raises(UsageError, match=rf"{count} folds of {len(set(who))} subjects; choose 2 to"):
            list(subject_folds(who, count))
        return
    folds = list(subject_folds(who, count))
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(who)))
    for fold in folds:
        assert set(ids[fold.test]).isdisjoint(ids[fold.train])
    again = list(subject_folds(who, count))
    assert all((a.test == b.test).all() for a, b in zip(folds, again, strict=True))
    assert folds[0].name == f"fold 1 of {count}"


def test_unknown_or_single_subjects_cannot_be_divided() -> None:
    with pytest.raises(UsageError, match="the data do not say who moves in 2 of 3 clips"):
        list(leave_one_subject_out([-1, 4, -1]))
    with pytest.raises(UsageError, match="1 subject cannot be divided"):
        list(subject_folds([4, 4], 2))


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=80).filter(lambda each: max(each) >= 0), st.integers(0, 3))
def test_shots_are_nested_and_counted(label: list[int], seed: int) -> None:
    ids = np.array(label)
    before: set[int] = set()
    for shots in (1, 5, 10, 20):
        found = k_shot(ids, shots, seed)
        chosen = set(found.rows.tolist())
        assert before <= chosen
        before = chosen
        assert (ids[found.rows] >= 0).all()
        for each in set(label) - {-1}:
            there = label.count(each)
            assert (ids[found.rows] == each).sum() == min(shots, there)
            assert (each in found.short) == (there < shots)
            assert found.short.get(each, there) == there
        np.testing.assert_array_equal(found.rows, k_shot(ids, shots, seed).rows)


def test_seeds_choose_differently_and_classes_independently() -> None:
    label = np.repeat([0, 1], 50)
    assert not np.array_equal(k_shot(label, 5, 0).rows, k_shot(label, 5, 1).rows)
    alone = k_shot(label[:50], 5, 0).rows
    np.testing.assert_array_equal(alone, [row for row in k_shot(label, 5, 0).rows if row < 50])


def test_no_shots_are_refused() -> None:
    with pytest.raises(UsageError, match="0 shots per class; at least 1"):
        k_shot([0, 1], 0)
    with pytest.raises(UsageError, match="0 shots per class; at least 1"):
        FewShots(People(), 0)
    with pytest.raises(UsageError, match="no clip has a label"):
        k_shot([-1, -1], 1)


def test_without_a_subject_over_all_splits() -> None:
    data = WithoutSubject(People(), 3)
    assert isinstance(data, ClipDataset)
    assert data.splits == ("train", "test")
    train, test = data.clips("train"), data.clips("test")
    assert test.subject.tolist() == [3, 3, 3]  # two of train, one of val
    assert sorted(train.subject.tolist()) == [0, 0, 1, 2, 4, 6, 6]  # the withheld clip of subject 5 stays out
    assert data.protocol == "without-subject-3"
    only = WithoutSubject(People(), 3, pool=["train"])
    assert only.clips("test").subject.tolist() == [3, 3]
    inside = Harmonised(data, fps=10.0).clips("test")
    assert inside[0][0].shape[1] == 3


def test_folds_as_a_data_set() -> None:
    seen = [SubjectFold(People(), fold, 3).clips("test").subject for fold in range(3)]
    assert sorted(np.concatenate(seen).tolist()) == [0, 0, 1, 2, 3, 3, 3, 4, 6, 6]
    assert SubjectFold(People(), 1, 3).protocol == "subject-fold-2-of-3"
    with pytest.raises(UsageError, match=r"fold is 3; it must lie in 0\.\.2"):
        SubjectFold(People(), 3, 3)


def test_wrappers_state_what_the_data_set_states() -> None:
    class Server(People):
        protocol, simulated = "official", True

        def withheld(self, split: str) -> bool:
            return split == "test"

    few = FewShots(Server(), 1)
    assert few.simulated
    assert few.withheld("test")
    assert not few.withheld("train")
    assert Harmonised(Server()).protocol == "official"
    assert not Harmonised(People()).simulated
    assert few.unified_ids == Harmonised(People()).unified_ids


def test_divisions_that_are_not_there() -> None:
    with pytest.raises(UsageError, match=r"people has no subject 9; it has 0, 1, 2, 3, 4, 6"):
        WithoutSubject(People(), 9).clips("train")
    with pytest.raises(UsageError, match="people has no split 'dev' to pool; choose train, val, test"):
        WithoutSubject(People(), 1, pool=["dev"])
    with pytest.raises(UsageError, match="people divided anew has no split 'val'"):
        WithoutSubject(People(), 1).clips("val")


def test_few_shots_as_a_data_set() -> None:
    few = FewShots(People(), 1, seed=2)
    assert few.clips("train").counts[:3].tolist() == [1, 1, 1]
    assert len(few.clips("test")) == 3
    assert few.protocol == "1-shot-seed-2"
    soft = few.clips("train").soft
    assert soft is not None
    assert soft.shape == (3, len(SMG))
