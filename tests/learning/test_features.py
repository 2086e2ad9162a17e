"""What describes a recording: a frozen recogniser, files of any backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.normalise import body_normalise
from microgesture.core.track import PoseTrack
from microgesture.datasets.simulated import SimulatedRecordings
from microgesture.layers.batch import PoseBatch
from microgesture.learning.features import ClipFeatures, FeatureFiles


@pytest.fixture(scope="module")
def track() -> PoseTrack:
    return SimulatedRecordings("smg", test_minutes=0.25).recordings("test")[0].track


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MICROGESTURE_HOME", str(tmp_path))
    torch.set_num_threads(1)
    return tmp_path


def test_a_step_is_what_the_recogniser_says_about_the_clip_around_it(track: PoseTrack) -> None:
    features = ClipFeatures("base", frames=40, stride=4, layer="logits")
    made = features.of(track, "r")
    assert made.shape == (features.width, -(-len(track) // 4))
    step = 20
    first = round((step + 0.5) * 4 - 20)
    clip = track[first : first + 40]
    xy = body_normalise(clip.xy[None], clip.score[None], clip.skeleton).xy
    with torch.inference_mode():
        said = features.saved.system(PoseBatch(torch.from_numpy(xy[:, None]), torch.from_numpy(clip.score[None, None])))
    np.testing.assert_allclose(made[:, step], said[0], atol=0.02)  # float16


def test_hidden_features_give_the_logits_through_the_last_layer(track: PoseTrack) -> None:
    hidden, logits = (ClipFeatures("base", layer=layer) for layer in ("features", "logits"))  # type: ignore[arg-type]
    assert hidden.width == 1536
    made = torch.from_numpy(hidden.of(track, "r")).T
    np.testing.assert_allclose(hidden.saved.system.classifier(made).detach().T, logits.of(track, "r"), atol=0.05)


def test_features_are_kept_and_depend_on_everything_that_makes_them(track: PoseTrack, home: Path) -> None:
    features = ClipFeatures("base", layer="logits")
    first = features.of(track, "r")
    (kept,) = (home / "cache" / "features").iterdir()
    when = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(features.of(track, "another name"), first)
    assert kept.stat().st_mtime_ns == when
    ClipFeatures("base", layer="logits", frames=20).of(track, "r")
    features.of(track[:30], "r")
    assert len(list((home / "cache" / "features").iterdir())) == 3
    kept.write_bytes(b"damaged")
    with pytest.raises(FormatError, match="not a sound archive"):
        features.of(track, "r")


def test_another_rate_is_refused(track: PoseTrack) -> None:
    with pytest.raises(UsageError, match="base looks at 15 frames per second, the track has 10"):
        ClipFeatures("base").of(track.resampled(10.0), "r")


def test_a_recording_shorter_than_a_clip(track: PoseTrack) -> None:
    assert ClipFeatures("base", layer="logits").of(track[:9], "r").shape[1] == 3


def test_files_of_a_backbone_may_lie_either_way(track: PoseTrack, tmp_path: Path) -> None:
    steps = -(-len(track) // 4)
    values = np.random.default_rng(0).normal(size=(7, steps)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", values[:, :-1].T)
    files = FeatureFiles(str(tmp_path), width=7)
    np.testing.assert_array_equal(files.of(track, "a"), values)
    np.testing.assert_array_equal(files.of(track, "b")[:, -1], values[:, -2])


def test_files_that_do_not_fit(track: PoseTrack, tmp_path: Path) -> None:
    files = FeatureFiles(str(tmp_path), width=7)
    with pytest.raises(NoInput, match="no features for recording 'a'"):
        files.of(track, "a")
    np.save(tmp_path / "a.npy", np.zeros((7, 5), np.float32))
    with pytest.raises(FormatError, match="has 5 steps for a recording of 225 frames"):
        files.of(track, "a")
    np.save(tmp_path / "a.npy", np.zeros((3, 57), np.float32))
    with pytest.raises(FormatError, match=r"holds float32 of shape \(3, 57\)"):
        files.of(track, "a")
    np.save(tmp_path / "a.npy", np.full((7, 57), np.nan, np.float32))
    with pytest.raises(FormatError, match="not finite"):
        files.of(track, "a")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY no")
    with pytest.raises(FormatError, match="not a sound archive"):
        files.of(track, "a")


@pytest.mark.parametrize("make", [lambda: ClipFeatures(frames=0), lambda: FeatureFiles(".", 0)])
def test_sizes_that_make_no_sense(make: object) -> None:
    with pytest.raises(UsageError, match="must be positive"):
        make()  # type: ignore[operator]
