from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from microgesture.analysis.recogniser import Recogniser
from microgesture.core.decode import DecodeSettings
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, MA52_BODY, SMG, taxonomy
from microgesture.core.track import PoseTrack
from microgesture.learning.checkpoint import Facts, save_pretrained
from microgesture.learning.motions import Calibration
from microgesture.simulation.clips import simulate_clips
from microgesture.simulation.programs import TAXONOMY_KEYS, class_table, motion_taxonomy
from microgesture.systems.bodygcn import BodyGCN

SMALL = {"joint_width": 8, "widths": [12], "strides": [2]}


def save(folder: Path, **notes: object) -> Path:
    torch.manual_seed(0)
    motions = motion_taxonomy()
    facts = Facts(SKELETONS["canonical"], (motions, *(taxonomy(k) for k in TAXONOMY_KEYS)), 48, 1, 3, 15.0)
    system = BodyGCN(facts.skeleton, motions, 48, 1, **SMALL)  # type: ignore[arg-type]
    names = motions.names
    serves = {
        key: [[names[i] for i in np.flatnonzero(column)] for column in class_table(key).T] for key in TAXONOMY_KEYS
    }
    return save_pretrained(folder, system, facts, SMALL, **{"serves": serves, "window": 24, **notes})


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Recogniser:
    return Recogniser.from_pretrained(save(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def track() -> PoseTrack:
    return simulate_clips("imigue", 32, 3, frames=60).track(6)


@pytest.mark.parametrize("key", TAXONOMY_KEYS)
def test_probabilities_of_a_clip_sum_to_one(recogniser: Recogniser, track: PoseTrack, key: str) -> None:
    p = recogniser.clip(track, taxonomy(key))
    assert p.shape == (len(taxonomy(key)),)
    assert p.sum() == pytest.approx(1, abs=1e-4)
    assert (p >= 0).all()


def test_a_clip_and_its_mirror_image_are_the_same(recogniser: Recogniser, track: PoseTrack) -> None:
    np.testing.assert_allclose(recogniser.clip(track, SMG), recogniser.clip(track.mirrored(), SMG), atol=2e-4)


def test_place_and_size_in_the_picture_do_not_matter(recogniser: Recogniser, track: PoseTrack) -> None:
    moved = PoseTrack(track.xy * 0.5 + 100, track.score, track.fps, track.size, track.skeleton)
    np.testing.assert_allclose(recogniser.clip(track, SMG), recogniser.clip(moved, SMG), atol=2e-4)


@pytest.mark.parametrize("frames", [1, 2, 11, 25, 60])
def test_any_length_is_answered(recogniser: Recogniser, track: PoseTrack, frames: int) -> None:
    assert np.isfinite(recogniser.clip(track[:frames], IMIGUE)).all()


def test_windows_do_not_depend_on_how_many_are_asked_for(recogniser: Recogniser, track: PoseTrack) -> None:
    centres = np.arange(0.5, 3.5, 0.25)
    together = recogniser.windows(track, SMG, centres)
    assert together.shape == (len(centres), len(SMG))
    assert ((together >= 0) & (together <= 1)).all()
    one_by_one = np.concatenate([recogniser.windows(track, SMG, centres[i : i + 1]) for i in range(len(centres))])
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)


def test_where_nobody_is_nothing_goes_on(recogniser: Recogniser, track: PoseTrack) -> None:
    nobody = PoseTrack(track.xy * 0, track.score * 0, track.fps, track.size, track.skeleton)
    assert (recogniser.windows(nobody, SMG, np.array([1.0, 2.0])) == 0).all()


def test_calibration_bends_probabilities(tmp_path: Path, recogniser: Recogniser, track: PoseTrack) -> None:
    decoding = {"smg": {"on": 0.7}}
    calibration = {"temperature": 4.0, "scale": 0.5, "shift": 1.0}
    mild = Recogniser.from_pretrained(save(tmp_path, calibration=calibration, decoding=decoding))
    assert mild.calibration == Calibration(4.0, 0.5, 1.0)
    assert mild.decoding(SMG) == DecodeSettings(on=0.7)
    assert mild.decoding(IMIGUE) == DecodeSettings()
    assert mild.clip(track, SMG).max() < recogniser.clip(track, SMG).max()


def test_an_unknown_taxonomy_is_refused_with_the_known_ones(recogniser: Recogniser, track: PoseTrack) -> None:
    with pytest.raises(UsageError, match="does not know 'ma52_body'; it knows imigue, smg, ma52"):
        recogniser.clip(track, MA52_BODY)


def test_an_empty_track_is_refused(recogniser: Recogniser, track: PoseTrack) -> None:
    with pytest.raises(UsageError, match="the track has no frames"):
        recogniser.clip(track[:0], SMG)


def test_a_config_without_table_or_with_a_strange_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no usable calibration"):
        Recogniser.from_pretrained(save(tmp_path / "a", calibration={"heat": 1.0}))
    with pytest.raises(FormatError, match="does not fit its motions"):
        Recogniser.from_pretrained(save(tmp_path / "b", serves={"smg": [["no such motion"]] * 17})).clip(
            simulate_clips("smg", 1, 0, frames=20).track(0), SMG
        )


def test_what_is_unlike_the_training_data_is_said(recogniser: Recogniser, track: PoseTrack) -> None:
    assert recogniser.unusual(track) == []
    slow = PoseTrack(track.xy[::3], track.score[::3], 5.0, track.size, track.skeleton)
    assert any("5 frames per second" in text for text in recogniser.unusual(slow))
    upside_down = PoseTrack(-track.xy + 2000, track.score, track.fps, track.size, track.skeleton)
    assert any("is the picture turned?" in text for text in recogniser.unusual(upside_down))
    handless = track.score.copy()
    handless[:, 25:41] = 0
    assert any("hands are hardly found" in text for text in recogniser.unusual(
        PoseTrack(track.xy, handless, track.fps, track.size, track.skeleton)))  # fmt: skip
    tiny = PoseTrack(track.xy * 0.05, track.score, track.fps, track.size, track.skeleton)
    assert any("the person is small" in text for text in recogniser.unusual(tiny))
    absent = track.score.copy()
    absent[: len(track) // 2] = 0
    assert any("in 50% of the frames only" in text for text in recogniser.unusual(
        PoseTrack(track.xy, absent, track.fps, track.size, track.skeleton)))  # fmt: skip
    walk = track.xy + np.linspace(0, 800, len(track), dtype=np.float32)[:, None, None] * np.array([1, 0], np.float32)
    walking = PoseTrack(walk, track.score, track.fps, track.size, track.skeleton)
    assert any("walks or the camera moves" in text for text in recogniser.unusual(walking))
    side = PoseTrack(track.xy * np.array([0.3, 1], np.float32), track.score, track.fps, track.size, track.skeleton)
    assert any("seen from the side" in text for text in recogniser.unusual(side))
