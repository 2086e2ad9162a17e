from __future__ import annotations

import numpy as np
import pytest

from microgesture.core.layouts import SKELETONS
from microgesture.core.normalise import body_normalise
from microgesture.streaming.normalise import RunningNormaliser

SKELETON = SKELETONS["imigue22"]
SEEN = np.ones(22, np.float32)


def walk(count: int, drift: float = 0.0) -> np.ndarray:
    draw = np.random.default_rng(2)
    path = draw.normal(300, 60, (22, 2)) + draw.normal(0, 2, (count, 22, 2))
    path[..., 0] += drift * np.arange(count)[:, None]
    return path.astype(np.float32)


def test_a_person_in_place_comes_out_as_in_a_clip() -> None:
    path = walk(120)
    normalise = RunningNormaliser(SKELETON, fps=15)
    body = np.stack([normalise(xy, SEEN) for xy in path])
    clip = body_normalise(path, np.ones((120, 22)), SKELETON).xy
    assert np.abs(body[20:] - clip[20:]).max() < 0.06


@pytest.mark.parametrize(("scale", "move"), [(0.01, (0, 0)), (3.0, (500, -80))])
def test_place_and_size_do_not_matter(scale: float, move: tuple[int, int]) -> None:
    path = walk(60)
    one, other = RunningNormaliser(SKELETON), RunningNormaliser(SKELETON)
    for xy in path:
        np.testing.assert_allclose(one(xy, SEEN), other(scale * xy + np.float32(move), SEEN), atol=1e-4)


def test_the_past_alone_and_a_bounded_part_of_it() -> None:
    path = walk(300, drift=2.0)
    normalise = RunningNormaliser(SKELETON, seconds=2.0, fps=16)
    assert (normalise.every, normalise.frames) == (2, 16)
    long = [normalise(xy, SEEN) for xy in path]
    normalise.reset()
    short = [normalise(xy, SEEN) for xy in path[200:]]
    np.testing.assert_array_equal(long[232:], short[32:])  # after 2 s nothing is left of what was before
    other = path.copy()
    other[150:] += 40
    normalise.reset()
    np.testing.assert_array_equal([normalise(xy, SEEN) for xy in other[:150]], long[:150])


def test_missing_joints_are_zero() -> None:
    score = SEEN.copy()
    score[4] = 0
    normalise = RunningNormaliser(SKELETON)
    assert not normalise(np.full((22, 2), 7, np.float32), 0 * SEEN).any()
    body = normalise(walk(1)[0], score)
    assert not body[4].any()
    assert body[5].any()
