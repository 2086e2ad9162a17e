from __future__ import annotations

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.evaluation.probe import GRID, knn, linear_probe


def blobs(seed: int, distance: float, n: int = 40, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    label = np.arange(n * classes) % classes
    centres = np.eye(classes, 8) * distance
    return centres[label] + draw.normal(0, 1, (len(label), 8)), label


@pytest.mark.parametrize("probe", [linear_probe, knn])
def test_blobs_apart_are_told_apart_and_noise_is_not(probe) -> None:  # type: ignore[no-untyped-def]
    apart = probe(*blobs(0, 9.0), *blobs(1, 9.0))
    assert apart.accuracy > 0.97
    noise = probe(*blobs(0, 0.0), *blobs(1, 0.0, n=100))
    low, high = noise.metrics()["top1_exact95"]
    assert low < 1 / 3 < high
    assert noise.metrics()["majority_floor"] == pytest.approx(1 / 3)


def test_probabilities_cover_all_classes() -> None:
    x, y = blobs(0, 6.0)
    for probe in (linear_probe(x, y, x, y, classes=7), knn(x, y, x, y, classes=7)):
        assert probe.probabilities.shape == (120, 7)
        np.testing.assert_allclose(probe.probabilities.sum(1), 1)
        assert not probe.probabilities[:, 3:].any()


def test_features_of_any_scale_give_the_same_probe() -> None:
    (x, y), (a, b) = blobs(0, 3.0), blobs(1, 3.0)
    scale = np.array([1e4, 1e-3, 1, 1, 10, 1, 1, 1])
    np.testing.assert_allclose(
        linear_probe(x, y, a, b).probabilities,
        linear_probe(x * scale + 5, y, a * scale + 5, b).probabilities,
        atol=1e-4,
    )


def test_regularisation_is_chosen_on_training_clips_alone() -> None:
    (x, y), (a, b) = blobs(0, 1.0), blobs(1, 1.0)
    found = linear_probe(x, y, a, b)
    assert found.settings["c"] in GRID
    assert found.settings["held_out_clips"] == 24
    other = linear_probe(x, y, a, np.roll(b, 1))
    assert other.settings == found.settings
    np.testing.assert_array_equal(other.probabilities, found.probabilities)
    assert "held_out_top1" not in linear_probe(x[:3], y[:3], a, b).settings  # one clip per class


def test_neighbours_vote_with_their_similarity() -> None:
    train = np.array([[1.0, 0.0], [0.0, 1.0], [-0.1, 1.0]])
    found = knn(train, [0, 1, 1], [[1.0, 0.05]], [0], k=3)
    cosine = (train @ [1.0, 0.05]) / np.linalg.norm(train, axis=1) / np.linalg.norm([1.0, 0.05])
    assert found.probabilities[0, 0] == pytest.approx(cosine[0] / np.maximum(cosine, 1e-9).sum())
    assert found.settings == {"neighbours": 3}
    assert knn(train, [0, 1, 1], train, [0, 1, 1], k=50).settings == {"neighbours": 3}


def test_what_cannot_be_probed() -> None:
    x, y = blobs(0, 1.0)
    with pytest.raises(UsageError, match="the training clips show 1 class; a probe needs two"):
        linear_probe(x, np.zeros(len(x)), x, y)
    with pytest.raises(UsageError, match=r"features have shapes \(120, 8\) and \(120, 7\)"):
        linear_probe(x, y, x[:, 1:], y)
    with pytest.raises(UsageError, match="119 and 120 labels for 120 and 120 clips"):
        knn(x, y[1:], x, y)
    with pytest.raises(UsageError, match="features are not finite"):
        knn(np.where(x > 0, np.nan, x), y, x, y)
    with pytest.raises(UsageError, match=r"labels lie in 0\.\.2, expected 0\.\.1"):
        linear_probe(x, y, x, y, classes=2)
    with pytest.raises(UsageError, match="0 neighbours"):
        knn(x, y, x, y, k=0)
