"""A spotter in the pipeline of `analyze`: what it finds comes out as segments, wherever pieces are cut."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from microgesture.analysis.analyze import analyze
from microgesture.analysis.poses import TrackPoses
from microgesture.analysis.recogniser import Recogniser
from microgesture.analysis.spotted import SpottedRecogniser, load_recogniser
from microgesture.core.detections import Detections
from microgesture.core.errors import UsageError
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.core.track import PoseTrack
from microgesture.simulation.recording import simulate_recording

TRUTH = [(3.0, 5.0, 4, 0.9), (18.0, 22.5, 7, 0.6), (40.0, 41.0, 2, 0.2), (50.0, 53.0, 1, 0.8)]


class Knowing:
    """Finds TRUTH in whatever stretch of the recording it is shown."""

    fps, threshold = 15.0, 0.5
    windowing = SimpleNamespace(frames=150)
    saved = SimpleNamespace(facts=SimpleNamespace(taxonomy=SMG), config={"sha256": "0" * 64})

    def detections(self, track: PoseTrack) -> Detections:
        first, last = float(track.times[0]), float(track.times[-1]) + 1 / 15
        inside = [(max(a, first) - first, min(b, last) - first, k, s) for a, b, k, s in TRUTH if a < last and b > first]
        return Detections(*map(np.array, zip(*inside, strict=True))) if inside else Detections.none()


def test_what_is_found_comes_out_of_the_pipeline(tmp_path) -> None:  # type: ignore[no-untyped-def]
    track = simulate_recording("smg", 1.0, seed=1).track
    result = analyze(
        tmp_path / "x.npz", tmp_path / "out", taxonomy="smg", poses=TrackPoses([track]),
        recogniser=SpottedRecogniser(Knowing()),  # type: ignore[arg-type]
    )  # fmt: skip
    found = [(s.start, s.end, s.label, s.score) for s in result.timeline]
    assert [k for *_, k, _ in found] == [4, 7, 1]
    for (a, b, _, s), (start, end, _, score) in zip([t for t in TRUTH if t[3] > 0.5], found, strict=True):
        assert abs(a - start) <= 0.25
        assert abs(b - end) <= 0.25
        assert score == pytest.approx(s, abs=1e-3)


def test_other_labels_are_refused() -> None:
    with pytest.raises(UsageError, match="the model finds 'smg', not 'imigue'; choose --taxonomy smg"):
        SpottedRecogniser(Knowing()).windows(None, IMIGUE, np.zeros(1))  # type: ignore[arg-type]


def test_a_recogniser_of_motions_is_loaded_as_such() -> None:
    assert isinstance(load_recogniser("base"), Recogniser)
