"""Odd numbers on the way from poses to segments: each part answers with finite numbers or says what is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.analysis.fakes import invented_track

from microgesture.analysis.poses import TrackPoses
from microgesture.analysis.quality import measure
from microgesture.analysis.recognise import movement
from microgesture.core.decode import decode
from microgesture.core.normalise import body_normalise
from microgesture.core.taxonomies import SMG
from microgesture.core.track import PoseTrack


def late(track: PoseTrack) -> PoseTrack:
    score = track.score.copy()
    score[: len(track) // 2] = 0
    return replace(track, score=score)


def swapped(track: PoseTrack) -> PoseTrack:
    """Right and left are taken for each other in every other frame."""
    xy = track.xy.copy()
    xy[::2] = xy[::2][:, list(track.skeleton.flip)]
    return replace(track, xy=xy)


ODD = {
    "unseen": lambda track: replace(track, score=0 * track.score),
    "late": late,
    "swapped": swapped,
    "still": lambda track: replace(track, xy=track.xy[:1].repeat(len(track), 0)),
    "in one spot": lambda track: replace(track, xy=0 * track.xy),
    "whole pixels": lambda track: replace(track, xy=track.xy.astype(np.int16).astype(np.float32)),
    "frames dropped": lambda track: replace(track[::7], times=track.times[::7]),
    "one frame": lambda track: track[:1],
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_tracks_are_normalised_and_measured(kind: str) -> None:
    track = ODD[kind](invented_track(8.0))
    body = body_normalise(track.xy, track.score, track.skeleton)
    assert np.isfinite(body.xy).all()
    assert np.isfinite(body.origin).all()
    assert body.scale > 0
    assert movement(track) >= 0
    quality = measure(TrackPoses([track]), 0).as_dict()
    numbers = [v for v in quality.values() if isinstance(v, float)]
    assert numbers
    assert np.isfinite(numbers).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_coordinates_that_are_no_numbers_are_refused_at_the_door(value: float) -> None:
    track = invented_track(1.0)
    xy = track.xy.copy()
    xy[3, 5] = value
    with pytest.raises(ValueError, match="finite"):
        replace(track, xy=xy)
    with pytest.raises(ValueError, match="finite where the score is above 0"):
        body_normalise(xy, track.score, track.skeleton)


def test_no_persons_are_normalised_to_none() -> None:
    track = invented_track(1.0)
    body = body_normalise(track.xy[None][:0], track.score[None][:0], track.skeleton)
    assert (body.xy.shape, body.scale.shape) == ((0, *track.xy.shape), (0,))
    with pytest.raises(ValueError, match="at least one person and one frame"):
        TrackPoses([])


@pytest.mark.parametrize(("value", "found"), [(np.nan, 0), (-np.inf, 0), (np.inf, 1), (1e30, 1)])
def test_posteriors_beyond_all_measure_decode_to_sound_segments(value: float, found: int) -> None:
    p = np.zeros((80, len(SMG)), np.float32)
    p[20:40, 3] = value
    segments = decode(np.arange(80) / 4, p, SMG, 20.0)
    assert len(segments) == found
    assert all(0 <= s.start < s.end <= 20 and 0 <= s.score <= 1 for s in segments)
