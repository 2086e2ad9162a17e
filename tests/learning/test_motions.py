from __future__ import annotations

import numpy as np
import pytest

from microgesture.learning.motions import class_log_odds, class_probabilities


def test_classes_compete_over_the_motions_they_own() -> None:
    table = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], np.float32)  # the last motion serves no class
    p = class_probabilities(np.log(np.array([1, 2, 3, 100], np.float32)), table)
    assert p == pytest.approx([0.5, 0.5])


def test_a_motion_of_two_classes_is_shared() -> None:
    table = np.array([[1, 1], [0, 1]], np.float32)
    assert class_probabilities(np.zeros(2, np.float32), table) == pytest.approx([0.25, 0.75])


def test_log_odds_of_one_motion_are_its_logit() -> None:
    logits = np.array([[-3.0, 0.0, 2.5]], np.float32)
    assert class_log_odds(logits, np.eye(3, dtype=np.float32)) == pytest.approx(logits, abs=1e-4)


def test_log_odds_of_several_motions_are_those_of_any() -> None:
    odds = class_log_odds(np.zeros((1, 2), np.float32), np.ones((2, 1), np.float32))
    assert odds[0, 0] == pytest.approx(np.log(0.75 / 0.25))


def test_extreme_logits_stay_finite() -> None:
    table = np.ones((2, 1), np.float32)
    for value in (-200.0, 200.0):
        assert np.isfinite(class_log_odds(np.full((1, 2), value, np.float32), table)).all()
