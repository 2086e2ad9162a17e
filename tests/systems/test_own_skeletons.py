"""Joints that no layout of ours has, in one plain archive, learnt by a recipe alone: graphs, heatmaps, Mamba."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.learning.runs import test as measure
from microgesture.learning.runs import train

RECIPE = Path(__file__).parents[2] / "recipes" / "folder" / "stgcn.yaml"
JOINTS = ("palm", "thumb_a", "thumb_tip", "index_a", "index_tip", "long_a", "long_tip", "small_a", "small_tip")
BONES = [(0, 1), (1, 2), (0, 3), (3, 4), (0, 5), (5, 6), (0, 7), (7, 8)]
SYSTEMS = {
    "stgcn.STGCN": "{width: 8, growth: [1, 2], strides: [1, 2]}",
    "posec3d.PoseC3D": "{width: 8, blocks: [1, 1, 1], size: 16, train_size: 16, area: 1, sigma: 1, dropout: 0}",
    "mamba_mg.SkeletonMamba": "{width: 24, depth: 1, fusion: single}",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROGESTURE_HOME", str(tmp_path / "home"))


def hands(path: Path, coordinates: int) -> Path:
    """120 clips of a hand that bends one of three fingers; joints of nobody's naming."""
    draw = np.random.default_rng(0)
    label, frames = np.arange(120) % 3, 12
    points = np.tile(draw.normal(0, 1, (1, 1, 9, coordinates)), (120, frames, 1, 1))
    for i, finger in enumerate(label):
        points[i, :, 2 * finger + 2, 0] += 3 * np.sin(np.linspace(0, 6, frames))
    points += draw.normal(0, 0.1, points.shape)
    np.savez(
        path,
        keypoints=points.reshape(-1, 9, coordinates).astype(np.float32),
        offsets=np.arange(121) * frames,
        labels=label,
        subject=np.arange(120) // 6,
        class_names=np.array(["thumb", "index", "long"]),
        joint_names=np.array(JOINTS),
        bones=np.array(BONES),
        fps=np.float32(20),
    )
    return path


def settings(path: Path, system: str, *more: str) -> list[str]:
    return [
        f"data.root={path}",
        "data.taxonomy=null",
        "data.layout=null",
        f"system={{class_path: microgesture.systems.{system}, init_args: {SYSTEMS[system]}}}",
        "loading.frames=12",
        "loading.batch=8",
        "optimizer.lr=0.01",
        *more,
    ]


@pytest.mark.filterwarnings("ignore:.*prepared once")
@pytest.mark.parametrize("coordinates", [2, 3])
@pytest.mark.parametrize("system", SYSTEMS)
def test_learnt_without_a_line_of_code(system: str, coordinates: int, tmp_path: Path) -> None:
    path = hands(tmp_path / "set.npz", coordinates)
    chosen = settings(path, system, "loading.streams=[joint]", "training.epochs=12")
    record = measure(train(RECIPE, chosen, tmp_path / "run"))
    assert record["metrics"]["top1"] > 0.8  # chance: a third


@pytest.mark.filterwarnings("ignore:.*prepared once")
def test_learnt_without_gradient(tmp_path: Path) -> None:
    recipe = RECIPE.parent / "rocket.yaml"
    chosen = [
        f"data.root={hands(tmp_path / 'set.npz', 2)}", "data.taxonomy=null", "data.layout=null", "loading.frames=12",
        "system.kernels=100",
    ]  # fmt: skip
    run = train(recipe, chosen, tmp_path / "run")
    assert measure(run)["metrics"]["top1"] > 0.8
    assert not (run / "last.ckpt").exists()  # no step was taken
    weights = (run / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="holds a run already"):
        train(recipe, chosen, run)
    assert (train(recipe, chosen, run, resume=True) / "model.safetensors").read_bytes() == weights


@pytest.mark.filterwarnings("ignore:.*prepared once")
def test_heatmaps_of_bones_and_motion_are_refused_with_what_to_do(tmp_path: Path) -> None:
    """The streams of the recipe, which graphs read, are no places of joints."""
    chosen = settings(hands(tmp_path / "set.npz", 3), "posec3d.PoseC3D")
    with pytest.raises(UsageError, match=r"9 numbers per joint: set loading.streams to \[joint\]"):
        train(RECIPE, chosen, tmp_path / "run")
