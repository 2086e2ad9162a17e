"""What one detector is shown so that it finds one of several people."""

from __future__ import annotations

import numpy as np

from microgesture.pose.assemble import CANONICAL
from microgesture.pose.people import box, hide_others, same_person

FIGURE = {"nose": (0, -60), "r_shoulder": (-50, 0), "l_shoulder": (50, 0), "neck": (0, 0), "r_hip": (-30, 120),
          "l_hip": (30, 120), "mid_hip": (0, 120), "r_wrist": (-60, 110), "l_wrist": (60, 110)}  # fmt: skip
IMAGE = np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)


def person(x: float = 0.0, y: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Canonical pose of somebody 100 pixels wide at the shoulders, whose neck is at (x, y)."""
    xy, score = np.zeros((len(CANONICAL), 2), np.float32), np.zeros(len(CANONICAL), np.float32)
    for name, (right, down) in FIGURE.items():
        xy[CANONICAL.index(name)], score[CANONICAL.index(name)] = (x + right, y + down), 0.9
    return xy, score


def test_alone_the_picture_is_shown_itself() -> None:
    assert hide_others(IMAGE, [(0, 0, 9, 9)], 0) is IMAGE
    assert hide_others(IMAGE, [None, None], 1) is IMAGE


def test_others_are_painted_over_but_not_where_the_own_person_is() -> None:
    before = IMAGE.copy()
    view = hide_others(IMAGE, [(10, 10, 40, 50), (30, 20, 60, 40), None], 1)
    assert (view[10:50, 10:30] == 128).all()
    assert (view[20:40, 30:60] == IMAGE[20:40, 30:60]).all()
    assert (view[:10] == IMAGE[:10]).all()
    assert np.array_equal(before, IMAGE)


def test_only_the_own_box_is_left_to_find_a_known_person() -> None:
    view = hide_others(IMAGE, [(10, 10, 40, 50), (30, 20, 60, 40)], 0, only_own=True)
    assert (view[10:50, 10:40] == IMAGE[10:50, 10:40]).all()
    view[10:50, 10:40] = 128
    assert (view == 128).all()


def test_an_empty_slot_sees_whoever_is_left() -> None:
    view = hide_others(IMAGE, [(0, 0, 40, 60), None], 1, only_own=True)
    assert (view[:, :40] == 128).all()
    assert (view[:, 40:] == IMAGE[:, 40:]).all()


def test_box_holds_the_visible_figure_and_stays_in_the_picture() -> None:
    xy, score = person(300, 200)
    left, top, right, bottom = box(xy, score, (640, 480)) or (0, 0, 0, 0)
    assert 0 <= left < 240
    assert 0 <= top < 140
    assert 360 < right <= 640
    assert 320 < bottom <= 480
    assert box(xy, score * 0.5, (640, 480)) is None
    assert box(xy - 5000, score, (640, 480)) is None


def test_the_same_person_found_twice_is_told_from_a_neighbour() -> None:
    one, shaken, neighbour = (person(x, y)[0] for x, y in ((0, 0), (8, -5), (60, 0)))
    assert same_person(one, shaken)
    assert not same_person(one, neighbour)
