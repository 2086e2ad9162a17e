"""Spotters from recipe to figures: they learn, a threshold is chosen on others, the model can be loaded and used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.learning.toy_recordings import ToyRecordings

from microgesture.core.detections import Detections
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import SMG
from microgesture.datasets.imigue import Source
from microgesture.datasets.prepare import prepare
from microgesture.learning import runs
from microgesture.learning.recipe import read_recipe
from microgesture.learning.spotting import Spotter, choose_threshold, online_metrics
from microgesture.simulation.lookalikes.write import Size, write_lookalike

RECIPE = """
system:
  class_path: microgesture.systems.query_points.QueryPoints
  init_args: {width: 16, layers: 1, queries: 6, points: 6, heads: 2, feedforward: 32, mixing: 8, mamba_blocks: 1}
data: {class_path: tests.learning.toy_recordings.ToyRecordings}
loading: {frames: 120, stride: 0.25, features: {class_path: tests.learning.toy_recordings.Speeds}}
optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.003}}
training: {epochs: 2, warmup: 0, clip: 1.0}
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(RECIPE)
    return path


def test_from_recipe_to_figures_and_back(recipe: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = runs.train(recipe, ["training.epochs=25"], tmp_path / "run", tell=said.append)
    assert "threshold" in said[-1]
    assert "split 'val', 3 recordings" in said[-1]
    record = runs.test(run)
    metrics = record["metrics"]
    assert record["clips"] == 3
    assert metrics["f1@0.3"] > 0.6
    assert metrics["true"] == 27
    assert metrics["f1@0.3_smg2023"] >= metrics["f1@0.3"]
    assert json.loads((run / "found" / "test0.json").read_text())
    spotter = Spotter.from_pretrained(run)
    for recording in ToyRecordings().recordings("test"):
        line = spotter.timeline(recording.track)
        assert all(s.score >= spotter.threshold for s in line)
        assert len(spotter.timeline(recording.track, threshold=0.0)) >= len(line)


def test_the_same_seed_gives_the_same_spotter_also_after_an_interruption(recipe: Path, tmp_path: Path) -> None:
    one = runs.train(recipe, out=tmp_path / "one")

    def stop(words: str) -> None:
        if "1" in words.split()[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(recipe, out=tmp_path / "two", tell=stop)
    two = runs.train(recipe, out=tmp_path / "two", resume=True)
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


def test_without_validation_people_some_are_held_out(recipe: Path, tmp_path: Path) -> None:
    said: list[str] = []
    runs.train(recipe, ["data.without_val=true", "training.epochs=1"], tmp_path / "run", tell=said.append)
    assert "1 of 3 training people, held out" in said[-1]
    with pytest.raises(UsageError, match="show one person"):
        runs.train(recipe, ["data.without_val=true", "data.recordings=1"], tmp_path / "other")


def test_a_recipe_for_spotters_is_checked_like_any_other(recipe: Path) -> None:
    with pytest.raises(UsageError) as error:
        read_recipe(recipe, ["loading.overlapp=0.2", "data.class_path=tests.learning.toy.Toy"])
    assert "'loading.overlapp' is no known key; did you mean 'overlap'?" in str(error.value)
    assert "no dataset of long recordings" in str(error.value)


def test_longtail_is_refused(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(RECIPE + "longtail: {class_path: microgesture.learning.longtail.LogitAdjustment}\n")
    with pytest.raises(UsageError, match="spotters take no remedy"):
        runs.train(recipe, out=tmp_path / "run")


def test_what_is_done_before_training_shows_progress(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(
        RECIPE.replace("query_points.QueryPoints", "dbn_hmm.DBNHMM").replace(
            "width: 16, layers: 1, queries: 6, points: 6, heads: 2, feedforward: 32, mixing: 8, mamba_blocks: 1",
            "widths: [8], pretrain_epochs: 2, joints: [nose, neck, r_wrist]",
        )
    )
    told: list[tuple[str, float, float]] = []
    runs.train(recipe, ["training.epochs=1"], tmp_path / "run", progress=lambda *row: told.append(row))
    before = [row for row in told if row[0] == "pre-training"]
    assert before[-1][1] == before[-1][2] == len(before)
    assert told.index(before[-1]) < next(i for i, row in enumerate(told) if row[0] == "training")


def test_augmentations_are_saved_with_the_model(recipe: Path, tmp_path: Path) -> None:
    noise = "[{class_path: microgesture.datasets.augment_windows.Noise, init_args: {features: 0.05}}]"
    run = runs.train(recipe, ["training.epochs=1", f"loading.augment={noise}"], tmp_path / "run")
    (augmentation,) = Spotter.from_pretrained(run).windowing.augment
    assert augmentation.features == 0.05  # type: ignore[attr-defined]


def test_what_is_no_spotter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="BodyGCN, which names clips"):
        Spotter.from_pretrained("base")


def test_an_edited_threshold_is_refused(recipe: Path, tmp_path: Path) -> None:
    run = runs.train(recipe, ["training.epochs=1"], tmp_path / "run")
    config = run / "config.json"
    config.write_text(config.read_text().replace('"threshold": 0', '"threshold": 1'))
    with pytest.raises(FormatError, match=r"config\.json"):
        Spotter.from_pretrained(run)


def test_a_short_recording_and_one_without_frames(recipe: Path, tmp_path: Path) -> None:
    spotter = Spotter.from_pretrained(runs.train(recipe, ["training.epochs=1"], tmp_path / "run"))
    track = ToyRecordings().recordings("test")[0].track
    assert spotter.timeline(track[:1], threshold=0.0).duration == pytest.approx(0.1)
    assert len(spotter.detections(track[:0])) == 0


def test_the_threshold_is_the_one_with_the_best_f1() -> None:
    taxonomy = ToyRecordings.taxonomy
    truth = Timeline((Segment(0, 2, 0), Segment(5, 7, 1)), taxonomy, 10)
    found = Detections([0, 5, 8], [2, 7, 9], [0, 1, 1], [0.8, 0.5, 0.3])
    threshold, f1 = choose_threshold([truth], [found])
    assert 0.3 < threshold <= 0.5
    assert f1 == 1
    with pytest.raises(UsageError, match="show no gesture"):
        choose_threshold([Timeline((), taxonomy, 10)], [found])


def test_figures_of_a_known_result() -> None:
    taxonomy = ToyRecordings.taxonomy
    truth = Timeline((Segment(10, 12, 0), Segment(30, 32, 1), Segment(50, 52, 1)), taxonomy, 60)
    found = Detections([10.5, 30, 45], [12, 32, 46], [0, 1, 0], [0.9, 0.8, 0.7])
    metrics = online_metrics([truth], [found], 0.5)
    assert (metrics["true"], metrics["found"]) == (3, 3)
    assert metrics["f1@0.3"] == pytest.approx(2 / 3)
    assert metrics["delay_median"] == pytest.approx(0.25)
    assert metrics["false_alarms_per_minute"] == pytest.approx(1 / 0.9)
    assert metrics["wrong_per_minute"] == 1
    assert metrics["map@0.5"] == pytest.approx(np.mean([1, 0.5]))


def test_figures_with_and_without_gestures_that_are_not_micro() -> None:
    truth = Timeline((Segment(10, 12, 3), Segment(30, 32, 16)), SMG, 60)
    found = Detections([10, 30], [12, 32], [3, 16], [0.9, 0.8])
    wrong = Detections([10, 40], [12, 42], [3, 16], [0.9, 0.8])
    both, only = (online_metrics([truth], [one], 0.5) for one in (found, wrong))
    assert (both["f1@0.3"], both["f1@0.3_without_illustrative"]) == (1, 1)
    assert (only["f1@0.3"], only["f1@0.3_without_illustrative"]) == (0.5, 1)
    plain = Timeline((Segment(1, 2, 0),), ToyRecordings.taxonomy, 9)
    assert "f1@0.3_without_illustrative" not in online_metrics([plain], [found[:0]], 0.5)


# pictures

RGB = Path(__file__).parents[2] / "recipes" / "smg" / "query_points_rgb.yaml"
SMALL = [
    "data.class_path=microgesture.datasets.imigue.IMiGUE", "system.crop=32", "system.width=16", "system.layers=1",
    "system.queries=4", "system.points=6", "system.heads=2", "system.feedforward=16", "system.mixing=8",
    "system.mamba_blocks=1", "loading.frames=64", "loading.stride=1", "loading.workers=0", "loading.pictures.frames=32",
    "loading.pictures.height=36", "loading.pictures.width=64", "loading.keep=0.3", "loading.empty=true",
    "training.epochs=1", "training.drops=[]", "training.precision=32-true",
]  # fmt: skip


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of simulated people with films."""
    folder = tmp_path_factory.mktemp("films")
    raw = write_lookalike("imigue", folder / "raw", Size(recordings=3, minutes=0.2), seed=5)
    prepare(Source(), raw, folder / "store", workers=1)
    return folder / "store"


def test_query_points_learn_from_films_and_search_them(films: Path, tmp_path: Path) -> None:
    run = runs.train(RGB, [*SMALL, f"data.root={films}"], tmp_path / "run")
    record = runs.test(run)
    assert record["split"] == "val"
    assert record["metrics"]["true"] > 0
    spotter = Spotter.from_pretrained(run)
    assert spotter.saved.config["origin"] == {"i3d": "from scratch"}
    assert spotter.windowing.pictures is not None
    recording = runs.load(run).plan.dataset.recordings("val")[0]  # type: ignore[attr-defined]
    film = next((films.parent / "raw").rglob(f"{recording.name}.mp4"))
    found = spotter.detections(recording.track, film=film)
    assert len(found)
    assert (found.score >= spotter.threshold).sum() == record["metrics"]["found"]
    with pytest.raises(UsageError, match=r"recording 'recording' has no film, and loading\.pictures reads one"):
        spotter.timeline(recording.track)


def test_pictures_for_systems_that_want_none(films: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "whole.yaml"
    recipe.write_text(
        f"""
system: {{class_path: microgesture.systems.fcn_window.FCNWindow}}
data: {{class_path: microgesture.datasets.imigue.IMiGUE, init_args: {{root: {films}}}}}
loading: {{frames: 64, pictures: {{frames: 8}}}}
optimizer: {{class_path: torch.optim.AdamW}}
training: {{epochs: 1, warmup: 0}}
"""
    )
    with pytest.raises(UsageError, match=r"loading\.pictures: FCNWindow reads recordings whole, without pictures"):
        runs.train(recipe, out=tmp_path / "run")
