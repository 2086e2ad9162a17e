"""The drawing primitives: what is drawn where, and the contact sheet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.simulation.preview import PAPER, contact_sheet, draw, frame_of, strokes

ARM = Skeleton("arm", ("neck", "r_wrist", "l_wrist"), ((0, 1), (0, 2)))


def motion(frames: int = 8) -> PoseTrack:
    xy = np.zeros((frames, 3, 2), np.float32)
    xy[:, 1] = np.linspace([-50, 60], [-20, 0], frames)
    xy[:, 2] = (50, 60)
    return PoseTrack(xy + 100, np.ones((frames, 3), np.float32), 10.0, (200, 200), ARM)


def paper(size: int = 120) -> np.ndarray:
    image = np.empty((size, size, 3), np.uint8)
    image[:] = PAPER
    return image


def test_every_bone_of_a_plain_layout_is_a_stroke_of_its_side() -> None:
    assert {(s.joints, s.side) for s in strokes(ARM)} == {((0, 1), "r"), ((0, 2), "l")}


def test_missing_joints_are_not_drawn() -> None:
    track, image = motion(), paper()
    draw(image, track.xy[0], np.zeros(3, np.float32), ARM, frame_of(track.xy, track.score, (120, 120)))
    assert (image == paper()).all()
    draw(image, track.xy[0], track.score[0], ARM, frame_of(track.xy, track.score, (120, 120)))
    assert (image != paper()).any()


def test_frame_of_fits_the_motion_into_the_panel() -> None:
    track = motion()
    zoom, dx, dy = frame_of(track.xy, track.score, (120, 80))
    placed = track.xy[..., :2] * zoom + (dx, dy)
    assert placed.min() > 0
    assert (placed.max((0, 1)) < (120, 80)).all()
    assert frame_of(track.xy, np.zeros_like(track.score), (120, 80)) == (1.0, 0.0, 0.0)


def test_joints_an_estimator_invents_neither_show_nor_shrink_the_rest() -> None:
    track = motion()
    invented = track.xy.copy(), track.score.copy()
    invented[0][:, 2] = (100, 2000)  # a wrist far below the desk ...
    invented[1][:, 2] = 0.09  # ... of which the estimator says that it does not see it
    absent = track.score * (1, 1, 0)
    place = frame_of(*invented, (120, 120))
    assert place == frame_of(track.xy, absent.astype(np.float32), (120, 120))
    with_it, without_it = paper(), paper()
    draw(with_it, invented[0][0], invented[1][0], ARM, place)
    draw(without_it, track.xy[0], absent[0].astype(np.float32), ARM, place)
    assert (with_it == without_it).all()
    assert (with_it != paper()).any()


def test_wild_coordinates_do_not_break_the_drawing() -> None:
    image = paper()
    draw(image, np.full((3, 2), 1e30, np.float32), np.ones(3, np.float32), ARM)
    draw(image, np.full((3, 2), -1e30, np.float32), np.ones(3, np.float32), ARM)


def test_contact_sheet_has_a_strip_per_motion_also_for_empty_ones(tmp_path: Path) -> None:
    path = contact_sheet(
        [motion(), motion()[0:0]], ["0 one", "1 é"], tmp_path / "sheet.png", instants=3, panel=(60, 60)
    )
    image = cv2.imread(str(path))
    assert image.shape == (2 * 86 + 10, 3 * 60 + 16, 3)
    assert (image[30:80] < 200).any()  # the first strip holds a figure ...
    assert (image[120:170] > 200).all()  # ... the second only paper
    with pytest.raises(ValueError, match="1 tracks but 0 titles"):
        contact_sheet([motion()], [], tmp_path / "none.png")
