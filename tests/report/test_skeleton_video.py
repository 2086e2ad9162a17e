"""The skeleton video: complete, identity-free, captioned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.analysis.fakes import invented_track

from microgesture.analysis.poses import TrackPoses
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE
from microgesture.formats.video import probe, read_frames
from microgesture.report.sample import invented
from microgesture.report.skeleton_video import STRIP, WIDTH, write_skeleton_video

SAMPLE = replace(invented(0.05), poses=TrackPoses([invented_track(3.0)]))


def test_every_frame_is_drawn_at_its_time_with_its_captions(tmp_path: Path) -> None:
    line = Timeline((Segment(1.0, 2.0, 6, 0.9),), IMIGUE, 3.0)
    analysis = replace(SAMPLE, timeline=line)
    told: list[float] = []
    path = write_skeleton_video(analysis, tmp_path / "s.mp4", lambda stage, done, total: told.append(done / total))
    info = probe(path)
    assert info.size == (WIDTH, 360 + STRIP)
    frames = list(read_frames(path))
    assert len(frames) == 75
    assert frames[-1].time == pytest.approx(74 / 25, abs=0.01)
    figure = [f.image[:360] for f in frames]
    assert (figure[0] < 150).any()
    assert np.abs(figure[0].astype(int) - figure[40]).max() > 80  # it moves
    caption = [(f.image[364:, 30:500] < 120).mean() for f in frames]
    assert min(caption[27:48]) > 0.005 > max(caption[:24] + caption[52:])
    assert told[-1] == 1.0


def test_limbs_below_the_picture_stay_out_of_the_captions(tmp_path: Path) -> None:
    low = invented_track(1.0)
    low = replace(low, xy=np.where(low.score[..., None] > 0, low.xy + np.array([0, 200]), 0).astype(np.float32))
    quiet = replace(SAMPLE, poses=TrackPoses([low]), timeline=Timeline((), IMIGUE, 1.0))
    frames = list(read_frames(write_skeleton_video(quiet, tmp_path / "low.mp4")))
    assert min(f.image[366:, :500].min() for f in frames) > 180


def test_fast_recordings_are_thinned_and_empty_ones_show_an_empty_page(tmp_path: Path) -> None:
    analysis, track = SAMPLE, invented_track(3.0)
    fast = TrackPoses([replace(track, times=track.times / 4, fps=100.0)])
    path = write_skeleton_video(replace(analysis, poses=fast), tmp_path / "fast.mp4")
    assert len(list(read_frames(path))) == pytest.approx(75 / 4, abs=2)
    nobody = TrackPoses([replace(track, score=track.score * 0)])
    quiet = replace(analysis, poses=nobody, timeline=Timeline((), IMIGUE, 3.0))
    frames = list(read_frames(write_skeleton_video(quiet, tmp_path / "none.mp4")))
    assert min(f.image[:360].min() for f in frames) > 200
