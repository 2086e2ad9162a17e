"""Ranking a clip, and the honest answers beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.analysis.fakes import HandUp, invented_track

from microgesture.analysis import recognise as module
from microgesture.analysis.recognise import movement, recognise
from microgesture.core.errors import NoInput, UsageError
from microgesture.core.taxonomies import SMG
from microgesture.core.track import PoseTrack


@pytest.fixture
def clip(monkeypatch: pytest.MonkeyPatch) -> list[PoseTrack]:
    tracks = [invented_track(4.0)]
    monkeypatch.setattr(module, "_tracks", lambda path, persons, fps, size: tracks)
    return tracks


def test_the_shape_of_the_answer(clip: list[PoseTrack]) -> None:
    told = recognise("clip.gif", "imigue", top=3, recogniser=HandUp())
    assert {k: told[k] for k in ("input", "taxonomy")} == {"input": "clip.gif", "taxonomy": "imigue"}
    (person,) = told["people"]
    assert person["top"][0] == {"label": "Rubbing eyes", "id": 6, "score": 0.9}
    assert [t["id"] for t in person["top"]] == [6, 0, 1]
    assert (person["frames"], person["valid"], person["outcome"]) == (100, 100, "recognised")
    assert len(recognise("clip.gif", SMG, top=17, recogniser=HandUp())["people"][0]["top"]) == 17


def test_unsure_still_and_absent_are_said(clip: list[PoseTrack]) -> None:
    class Unsure(HandUp):
        def clip(self, track: PoseTrack, taxonomy: object) -> np.ndarray:
            return np.full(32, 1 / 32, np.float32)

    assert recognise("c", recogniser=Unsure())["people"][0]["outcome"] == "do not know"
    track = clip[0]
    clip[0] = replace(track, xy=track.xy[:1].repeat(len(track), 0))
    assert recognise("c", recogniser=HandUp())["people"][0]["outcome"] == "not enough movement"
    clip[0] = replace(track, score=track.score * 0)
    (nobody,) = recognise("c", recogniser=HandUp())["people"]
    assert (nobody["outcome"], nobody["valid"], nobody["warnings"]) == ("nobody found", 0, [])
    assert all(t["score"] == 0 for t in nobody["top"])


@pytest.mark.parametrize("top", [0, 33])
def test_top_is_checked_before_anything_is_read(top: int) -> None:
    with pytest.raises(UsageError, match=f"top {top} is outside 1..32, the classes of 'imigue'"):
        recognise("missing.gif", top=top)


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match=r"none\.npz: does not exist"):
        recognise(tmp_path / "none.npz", recogniser=HandUp())


def test_movement_is_in_shoulder_widths() -> None:
    track = invented_track(8.0)
    assert 0.5 < movement(track) < 1.5
    assert movement(replace(track, xy=track.xy * 3)) == pytest.approx(movement(track), rel=1e-4)
    assert movement(track[0:1]) == 0.0
