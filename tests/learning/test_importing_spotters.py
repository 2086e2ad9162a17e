"""Released weights of systems that find gestures in recordings, and the golden files of official code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.learning.toy_recordings import ToyRecordings
from tests.systems.golden import FOLDER, Golden, numbered
from torch import Tensor, nn

from microgesture.core.errors import FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG
from microgesture.layers.batch import WindowBatch
from microgesture.layers.i3d import Mixed
from microgesture.layers.official import Keys
from microgesture.learning import runs
from microgesture.learning.checkpoint import from_pretrained
from microgesture.learning.importing import import_checkpoint
from microgesture.learning.spotting import Spotter
from microgesture.systems import aed_bilstm, dyfadet_sta, query_points

KINECT = SKELETONS["kinect25"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def official(model: nn.Module, keys: Keys) -> dict[str, Tensor]:
    """What the official code would save of one of our systems."""
    state: dict[str, Tensor] = {}
    modules = dict(model.named_modules())
    for own, tensor in model.state_dict().items():
        names = keys[own]
        block = modules.get(own.rpartition(".reduce.")[0])
        if tensor.ndim == 0:
            parts: Any = [tensor] * len(names)
        elif isinstance(block, Mixed):  # branches of different widths
            parts = tensor.split(block.split)
        elif own.rpartition(".")[0].endswith("modulate"):  # so many channels, and a gate
            parts = tensor.split([len(tensor) - 1, 1])
        else:
            parts = tensor.chunk(len(names)) if names else ()
        state.update({name: part.clone() for name, part in zip(names, parts, strict=True)})
    return state


def series(x: Tensor, valid: list[float]) -> WindowBatch:
    """Features (B, D, F) as windows without poses."""
    poses = torch.zeros(len(x), 1, 4, 25, 2)
    return WindowBatch(poses, poses[..., 0], valid=torch.tensor(valid), series=x)


def test_the_official_detector_answers_as_in_its_golden_file(tmp_path: Path) -> None:
    coverage = import_checkpoint(
        FOLDER / "dyfadet_detector.npz", "dyfadet_sta", tmp_path / "m", taxonomy=numbered(5), skeleton=KINECT
    )
    golden, saved = Golden("dyfadet_detector"), from_pretrained(tmp_path / "m")
    found = {"features": 20, "attention": False, "width": 32, "hidden": 24, "depth": (2, 2, 3), "compat": "official"}
    assert {key: coverage.arguments[key].value for key in found} == found
    assert coverage.loaded == coverage.parameters
    assert not coverage.fresh
    assert saved.facts.features == 20
    feats = golden.inputs["feats"]
    x = nn.functional.pad(feats, (0, 64 - feats.shape[1]))[None]
    with torch.inference_mode():
        out = saved.system(series(x, [feats.shape[1] / 64]))
    for i, (logits, distances) in enumerate(
        zip(*(part.split(out.levels.lengths, 1) for part in (out.logits, out.distances)), strict=True)
    ):
        golden.close(logits.transpose(1, 2), f"cls{i}")
        golden.close(distances.transpose(1, 2), f"reg{i}")


@pytest.mark.parametrize("gate", ["c", "k", "ck"])
def test_the_kind_of_gate_is_told_by_shapes(gate: Any, tmp_path: Path) -> None:
    model = dyfadet_sta.DyFADetSTA(
        KINECT, SMG, 64, 1, features=3, attention=False, width=32, hidden=8, depth=(2, 1, 1), head=1, gate=gate
    )
    torch.save(official(model, dyfadet_sta.official_keys(model)), tmp_path / "a.pth")
    coverage = import_checkpoint(
        tmp_path / "a.pth", "dyfadet_sta", tmp_path / "m", skeleton=KINECT, options={"head": 1, "depth": [2, 1, 1]}
    )
    ours = from_pretrained(tmp_path / "m").system.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in model.state_dict().items() if name in coverage.used)
    assert coverage.loaded == coverage.parameters


def pointtad() -> query_points.QueryPoints:
    return query_points.QueryPoints(
        KINECT, SMG, 64, 1, width=24, layers=2, queries=5, points=9, mixer="mhsa", feedforward=40, mixing=8,
        compat="official",
    ).eval()  # fmt: skip


def test_pointtad_with_its_backbone(tmp_path: Path) -> None:
    model = pointtad()
    state = official(model, query_points.official_keys(model))
    assert sum(name.startswith("backbone._model.") for name in state) == 342
    torch.save({"model": state, "epoch": 3}, tmp_path / "checkpoint_best.pth")
    coverage = import_checkpoint(tmp_path / "checkpoint_best.pth", "query_points", tmp_path / "m", skeleton=KINECT)
    found = {"width": 24, "layers": 2, "queries": 5, "points": 9, "mixer": "mhsa", "feedforward": 40, "mixing": 8}
    assert {key: coverage.arguments[key].value for key in found} == found
    assert coverage.arguments["taxonomy"].value == "smg"
    assert coverage.loaded == coverage.parameters
    assert not coverage.fresh
    rgb = torch.randint(0, 256, (1, 8, 32, 32, 3), dtype=torch.uint8)
    poses = torch.zeros(1, 1, 8, 25, 2)
    batch = WindowBatch(poses, poses[..., 0], valid=torch.ones(1), rgb=rgb)
    with torch.inference_mode():
        ours, theirs = from_pretrained(tmp_path / "m").system(batch), model(batch)
    assert torch.equal(ours.logits, theirs.logits)
    assert torch.equal(ours.segments, theirs.segments)


def test_the_decoder_of_a_golden_file_without_its_backbone(tmp_path: Path) -> None:
    coverage = import_checkpoint(
        FOLDER / "pointtad_model_losses.npz", "query_points", tmp_path / "m", taxonomy=numbered(5), skeleton=KINECT,
        options={"encoder": "i3d", "layers": 3}, partial=True,
    )  # fmt: skip
    golden, system = Golden("pointtad_model_losses"), from_pretrained(tmp_path / "m").system
    assert isinstance(system, query_points.QueryPoints)
    # the maps of the file have 10 and 12 channels, the backbone is not in it; all else is there
    keys = query_points.official_keys(system)
    for own, tensor in system.state_dict().items():
        if not own.startswith("encoder."):
            assert torch.equal(tensor, torch.cat([golden.state[name] for name in keys[own]])), own
    assert {entry.name.partition(".")[0] for entry in coverage.fresh} == {"backbone", "input_proj_4f", "input_proj_5c"}


def keras(model: aed_bilstm.AEDBiLSTM) -> dict[str, NDArray[Any]]:
    """The weights as Keras keeps them: the way back of `official_layout`."""
    state = official(model, aed_bilstm.official_keys(model))
    made: dict[str, NDArray[Any]] = {}
    for name, tensor in state.items():
        if "_Bidirectional/" in name:
            reset, update, candidate = tensor.chunk(3)
            tensor = torch.cat((update, reset, candidate))
        made[f"state/{name}"] = (tensor.T if name.endswith("kernel") else tensor).numpy()
    for name in [name for name in made if name.endswith("bias/input")]:
        stem = name.removesuffix("/input")
        made[stem] = np.stack((made.pop(name), made.pop(f"{stem}/recurrent")))
    return made


@pytest.mark.parametrize("network", ["attention", "perceptron", "birnn"])
def test_networks_of_the_start_kit(network: Any, tmp_path: Path) -> None:
    model = aed_bilstm.AEDBiLSTM(KINECT, SMG, 64, 1, in_channels=4, network=network, width=8, compat="official").eval()
    np.savez(tmp_path / "keras.npz", **keras(model))  # type: ignore[arg-type]
    coverage = import_checkpoint(tmp_path / "keras.npz", "aed_bilstm", tmp_path / "m", taxonomy=SMG, skeleton=KINECT)
    assert coverage.loaded == coverage.parameters
    saved = from_pretrained(tmp_path / "m")
    assert saved.facts.in_channels == 4
    assert saved.config["system"]["init_args"] == {"width": 8, "compat": "official"} | (
        {} if network == "attention" else {"network": network}
    )
    assert all(torch.equal(ours, model.state_dict()[name]) for name, ours in saved.system.state_dict().items())
    batch = WindowBatch(torch.randn(1, 1, 20, 25, 3), torch.ones(1, 1, 20, 25), valid=torch.ones(1))
    with torch.inference_mode():
        torch.testing.assert_close(saved.system(batch).logits, model(batch).logits)


@pytest.mark.parametrize(("number", "network"), [(1, "attention"), (2, "perceptron"), (4, "birnn")])
def test_golden_networks_of_the_start_kit(number: int, network: str, tmp_path: Path) -> None:
    """They read 9 numbers in 5 steps, which no poses give; all but the first layer's kernel is taken."""
    file = FOLDER / f"smg_net_model{number}.npz"
    with pytest.raises(FormatError, match=r"/kernel has shape .*It depends on in_channels: give --set in_channels=N"):
        import_checkpoint(file, "aed_bilstm", tmp_path / "m", taxonomy=numbered(4), skeleton=KINECT)
    coverage = import_checkpoint(
        file, "aed_bilstm", tmp_path / "m", taxonomy=numbered(4), skeleton=KINECT, partial=True
    )
    assert {key: coverage.arguments[key].value for key in ("width", "states")} == {"width": 8, "states": 5}
    assert from_pretrained(tmp_path / "m").config["system"]["init_args"].get("network", "attention") == network
    assert {e.name.rpartition("/")[2] for e in coverage.fresh} == {"kernel"}
    assert len(coverage.fresh) == (1 if network == "perceptron" else 2)


RECIPE = """
system: {{class_path: microgesture.systems.{system}}}
data: {{class_path: tests.learning.toy_recordings.ToyRecordings}}
loading: {{frames: 64, features: {features}}}
optimizer: {{class_path: torch.optim.AdamW}}
training: {{epochs: 1, warmup: 0}}
"""


def test_a_recipe_makes_it_search_recordings(tmp_path: Path) -> None:
    data = ToyRecordings()
    model = dyfadet_sta.DyFADetSTA(
        data.skeleton, data.taxonomy, 64, 1, features=2, attention=False, width=32, hidden=8, depth=(2, 2, 2)
    )
    torch.save(official(model, dyfadet_sta.official_keys(model)), tmp_path / "a.pth")
    alone = import_checkpoint(
        tmp_path / "a.pth", "dyfadet_sta", tmp_path / "alone", skeleton=data.skeleton, taxonomy=data.taxonomy
    )
    assert any("import with the recipe of its data" in note for note in alone.notes)
    with pytest.raises(FormatError, match=r"lacks or misstates 'windowing'.*import its weights with the recipe"):
        Spotter.from_pretrained(tmp_path / "alone")

    recipe = tmp_path / "toy.yaml"
    features = "{class_path: tests.learning.toy_recordings.Speeds}"
    recipe.write_text(RECIPE.format(system="dyfadet_sta.DyFADetSTA", features=features))
    told: list[str] = []
    coverage = import_checkpoint(
        tmp_path / "a.pth", "dyfadet_sta", tmp_path / "m", recipe=recipe, progress=lambda stage, *_: told.append(stage)
    )
    assert not any("recipe" in note for note in coverage.notes)
    assert "recordings" in told
    spotter = Spotter.from_pretrained(tmp_path / "m")
    assert spotter.windowing.frames == 64
    assert spotter.saved.config["threshold_from"] == "split 'val', 3 recordings"
    metrics = runs.test(tmp_path / "m")["metrics"]
    assert metrics["threshold"] == spotter.threshold
    assert metrics["true"] == 27


def test_statistics_that_no_file_holds_are_those_of_the_recipe(tmp_path: Path) -> None:
    data = ToyRecordings()
    model = aed_bilstm.AEDBiLSTM(data.skeleton, data.taxonomy, 64, 1, width=8, compat="official")
    np.savez(tmp_path / "keras.npz", **keras(model))  # type: ignore[arg-type]
    recipe = tmp_path / "toy.yaml"
    recipe.write_text(RECIPE.format(system="aed_bilstm.AEDBiLSTM", features="null"))
    import_checkpoint(tmp_path / "keras.npz", "aed_bilstm", tmp_path / "m", recipe=recipe)
    system = Spotter.from_pretrained(tmp_path / "m").saved.system
    frames = sum(len(one.track) for one in data.recordings("train"))
    assert isinstance(system, aed_bilstm.AEDBiLSTM)
    assert int(system.hmm.transition.sum()) == pytest.approx(frames, rel=0.05)
    assert system.features.deviation.std() > 0
