from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from microgesture.core.layouts import SKELETONS
from microgesture.core.normalise import Normalised, body_normalise
from microgesture.core.skeleton import Skeleton

BODY = SKELETONS["openpose25"]
layouts = st.sampled_from(list(SKELETONS.values()))


def person(frames: int = 9, coordinates: int = 2, unit: float = 100.0) -> NDArray[np.float64]:
    """A standing body of shoulder width `unit`, neck at (3, 2) units, that sways a little. (T, 25, C)"""
    rest = np.zeros((25, coordinates))
    for joint, x, y in (
        *(("nose", 0.0, -0.8), ("neck", 0.0, 0.0), ("r_shoulder", -0.5, 0.0), ("l_shoulder", 0.5, 0.0)),
        *(("r_wrist", -0.6, 1.2), ("l_wrist", 0.6, 1.2), ("mid_hip", 0.0, 1.5), ("r_hip", -0.3, 1.5)),
        ("l_hip", 0.3, 1.5),
    ):
        rest[BODY.index(joint), :2] = x, y
    sway = np.linspace(-0.2, 0.2, frames)[:, None, None] * np.eye(coordinates)[0]
    return np.asarray((rest + sway + 2 + np.eye(coordinates)[0]) * unit)


def seen(*joints: str, frames: int = 9) -> NDArray[np.float64]:
    score = np.zeros((frames, 25))
    score[:, [BODY.index(j) for j in joints]] = 0.7
    return score


@pytest.mark.parametrize(("coordinates", "unit"), [(2, 180.0), (3, 0.38)])
def test_pixels_and_metres_become_shoulder_widths(coordinates: int, unit: float) -> None:
    body = body_normalise(person(9, coordinates, unit), np.ones((9, 25)), BODY)
    assert body.scale == pytest.approx(unit)
    assert body.origin[:2] == pytest.approx([3 * unit, 2 * unit])
    np.testing.assert_allclose(body.xy[4, BODY.index("l_shoulder"), :2], [0.5, 0], atol=1e-5)
    np.testing.assert_allclose(body.xy[4, BODY.index("nose"), :2], [0, -0.8], atol=1e-5)
    assert body.xy.dtype == np.float32


def test_swaying_stays_visible() -> None:
    body = body_normalise(person(), np.ones((9, 25)), BODY)
    np.testing.assert_allclose(body.xy[:, BODY.index("neck"), 0], np.linspace(-0.2, 0.2, 9), atol=1e-5)


def test_an_outlier_frame_moves_nothing() -> None:
    xy = person()
    xy[3] += 5000
    wild, calm = body_normalise(xy, np.ones((9, 25)), BODY), body_normalise(person(), np.ones((9, 25)), BODY)
    assert abs(wild.origin - calm.origin).max() < 10
    assert wild.scale == pytest.approx(calm.scale)


@pytest.mark.parametrize(
    ("joints", "scale"),
    [
        (("neck", "r_shoulder", "l_shoulder"), 100),
        (("neck", "mid_hip", "l_shoulder"), 150 / 1.2),
        (("neck", "r_hip", "l_hip"), 60 / 0.6),
        (("r_wrist", "l_wrist", "neck"), np.hypot(120, 120)),  # wrists and neck, without the sway of 40
        (("neck",), 40),  # one joint has no size but its path
    ],
)
def test_scales_of_bodies_seen_in_part(joints: tuple[str, ...], scale: float) -> None:
    body = body_normalise(person(), seen(*joints), BODY)
    assert float(body.scale) == pytest.approx(scale, rel=1e-5)


def test_origin_without_a_neck() -> None:
    score = seen("r_wrist", "l_wrist", "mid_hip")
    body = body_normalise(person(), score, BODY)
    assert body.origin == pytest.approx(np.median(person()[score > 0], 0))


def test_shoulders_on_one_spot_are_no_measure() -> None:
    xy = person()
    xy[:, BODY.index("r_shoulder")] = xy[:, BODY.index("l_shoulder")]
    assert body_normalise(xy, np.ones((9, 25)), BODY).scale == pytest.approx(150 / 1.2)


@given(layouts, st.integers(0, 6), st.sampled_from((2, 3)), st.floats(0, 1), st.integers(0, 99))
def test_result_is_finite_and_can_be_undone(layout: Skeleton, frames: int, c: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    xy, score = rng.normal(50, 30, (frames, len(layout), c)), rng.random((frames, len(layout))) < share
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        body = body_normalise(xy, score, layout)
    assert np.isfinite(body.xy).all()
    assert np.isfinite(body.origin).all()
    assert body.scale > 0
    assert (body.xy[~score] == 0).all()
    np.testing.assert_allclose((body.xy * body.scale + body.origin)[score], xy[score], atol=0.05)


@given(st.floats(0.01, 100), st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_place_and_size_of_the_person_do_not_matter(size: float, x: float, y: float) -> None:
    here = body_normalise(person(), np.ones((9, 25)), BODY)
    there = body_normalise(person() * size + [x, y], np.ones((9, 25)), BODY)
    np.testing.assert_allclose(there.xy, here.xy, atol=1e-4)


def test_nobody_gives_zeros() -> None:
    body = body_normalise(np.full((4, 25, 2), np.nan), np.zeros((4, 25)), BODY)
    assert (body.xy == 0).all()
    assert (body.origin == 0).all()
    assert body.scale == 1


def test_many_clips_at_once_are_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    xy, score = rng.normal(size=(3, 2, 8, 25, 2)), rng.random((3, 2, 8, 25)) < 0.4
    score[0, 1] = False
    score[1, 0, :, BODY.index("neck")] = False
    together = body_normalise(xy, score, BODY)
    for i, m in np.ndindex(3, 2):
        alone: Normalised = body_normalise(xy[i, m], score[i, m], BODY)
        np.testing.assert_array_equal(together.xy[i, m], alone.xy)
        assert together.scale[i, m] == alone.scale
        assert (together.origin[i, m] == alone.origin).all()


def test_median_ignores_missing_frames() -> None:
    xy, score = person(), np.ones((9, 25))
    score[:3, BODY.index("neck")] = 0
    neck = body_normalise(xy, score, BODY).origin
    assert neck == pytest.approx(np.median(xy[3:, BODY.index("neck")], 0), rel=1e-6)


@pytest.mark.parametrize(
    ("xy", "score", "message"),
    [
        (np.zeros((4, 24, 2)), np.ones((4, 24)), r"xy has shape \(4, 24, 2\) .* \(\.\.\., T, 25\) for .* 'openpose25'"),
        (np.zeros((4, 25, 2)), np.ones((5, 25)), r"score \(5, 25\)"),
        (np.zeros((25, 2)), np.ones(25), r"xy has shape \(25, 2\)"),
        (np.full((4, 25, 2), np.nan), np.ones((4, 25)), r"finite where the score is above 0"),
    ],
)
def test_wrong_shapes_and_nan_are_refused(xy: NDArray[np.float64], score: NDArray[np.float64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        body_normalise(xy, score, BODY)
