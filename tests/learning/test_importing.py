"""Released checkpoints as model folders: golden files of official code, and files as toolboxes write them."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from tests.formats import hostile_pickles
from tests.formats.mutations import hold_the_contract
from tests.learning.toy import Toy
from tests.systems.golden import FOLDER, Golden, numbered
from torch import Tensor, nn

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, MA52, SMG
from microgesture.formats import safe_pickle
from microgesture.layers.batch import PoseBatch
from microgesture.layers.official import Keys
from microgesture.learning import importing
from microgesture.learning import test as measure
from microgesture.learning.checkpoint import from_pretrained
from microgesture.learning.importing import Coverage, import_checkpoint, read_tensors
from microgesture.learning.submit import submit
from microgesture.systems import aagcn, agcn, ctrgcn, mamba_mg, manet, msg3d, posec3d, rgbpose, stgcn, stgcnpp
from microgesture.systems.catalogue import SYSTEMS

GRAPHS: dict[str, tuple[type[nn.Module], Callable[[Any], Keys]]] = {
    "stgcn": (stgcn.STGCN, stgcn.official_keys),
    "stgcnpp": (stgcnpp.STGCNpp, stgcnpp.official_keys),
    "ctrgcn": (ctrgcn.CTRGCN, ctrgcn.official_keys),
    "agcn": (agcn.AGCN, agcn.official_keys),
    "aagcn": (aagcn.AAGCN, aagcn.official_keys),
    "msg3d": (msg3d.MSG3D, msg3d.official_keys),
}

# golden file -> system, classes, what must be said, what must be found
CASES: dict[str, tuple[str, int, dict[str, Any], dict[str, Any]]] = {
    "stgcn": ("stgcn", 5, {}, {"width": 8, "skeleton": "coco17"}),
    "stgcnpp": ("stgcnpp", 5, {}, {"width": 8, "skeleton": "coco17"}),
    "ctrgcn": ("ctrgcn", 5, {}, {"width": 8, "persons": 2}),
    "agcn": ("agcn", 5, {}, {"width": 8, "persons": 2}),
    "aagcn": ("aagcn", 5, {}, {"width": 8, "persons": 2}),
    "msg3d": ("msg3d", 5, {}, {"width": 12, "persons": 2, "gcn_scales": 13, "g3d_scales": 4}),
    "posec3d_slowonly": ("posec3d", 6, {}, {"width": 8, "skeleton": "coco17"}),
    "posec3d_slowonly_mm2strides": (
        *("posec3d", 5, {"options": {"temporal_strides": [1, 1, 1]}}),
        {"width": 8, "blocks": (2, 2, 2), "skeleton": "imigue22"},
    ),
    "rgbposeconv3d": ("rgbpose", 5, {}, {"rgb_width": 4, "pose_width": 2}),
    "videomamba": (
        *("mamba_mg", 5, {"skeleton": SKELETONS["imigue22"], "options": {"size": 32}}),
        {"depth": 3, "width": 16, "frames": 4},
    ),
    "manet_resnet_tsm_se": (
        *("manet", 52, {"taxonomy": MA52, "skeleton": SKELETONS["ma52_28"]}),
        {"width": 8, "blocks": (2, 2, 1, 1), "hidden": 300},
    ),
}  # fmt: skip


def outputs(golden: Golden, model: nn.Module) -> dict[str, Tensor]:
    """What the loaded system gives for the stored input, by the name of the stored output."""
    if isinstance(model, posec3d.PoseC3D):
        return {"logits": model.classifier(model.features(golden.inputs["x"]))}
    if isinstance(model, rgbpose.RGBPoseConv3D):
        out = model.classify(model.backbone(golden.inputs["imgs"], golden.inputs["heatmap_imgs"]))
        return {"logits_rgb": out.rgb, "logits_pose": out.pose}
    if isinstance(model, mamba_mg.MambaMG):
        return {"cls_feature": model.features(model.tokens(golden.inputs["x"]))}
    if isinstance(model, manet.MANet):
        return {"cls_score": model.classify(model.backbone.pooled(golden.inputs["imgs"])).logits}
    return {"logits": model(golden.batch())}


@pytest.mark.parametrize("name", CASES)
def test_golden_files_answer_as_official_code_does(name: str, tmp_path: Path) -> None:
    system, classes, more, found = CASES[name]
    more = {"taxonomy": numbered(classes), **more}
    coverage = import_checkpoint(FOLDER / f"{name}.npz", system, tmp_path / "m", **more)
    golden, saved = Golden(name), from_pretrained(tmp_path / "m")
    with torch.inference_mode():
        for key, ours in outputs(golden, saved.system).items():
            golden.close(ours, key)
    assert {key: coverage.arguments[key].value for key in found} == found
    assert all(coverage.arguments[key].known == "tensor" for key in found)
    assert coverage.loaded == coverage.parameters == saved.config["parameters"]
    assert not coverage.fresh
    taken = [n for names in coverage.used.values() for n in names] + [entry.name for entry in coverage.unused]
    assert sorted(taken) == sorted(golden.state)


def test_every_golden_file_of_a_whole_recogniser_is_tried() -> None:
    """Those with a backbone and a head; parts of systems are tried with their systems."""
    whole = set()
    for path in FOLDER.glob("*.npz"):
        with np.load(path) as file:
            parts = {name.split("/")[1].split(".")[0] for name in file.files if name.startswith("state/")}
        if {"backbone", "cls_head"} <= parts and "reg_head" not in parts:  # that is a detector's
            whole.add(path.stem)
    assert whole <= set(CASES)
    assert len(whole) >= 9


SHORT = {"growth": (1, 2), "strides": (1, 2)}
"""Two blocks instead of ten, which no tensor tells: to be said where it is imported."""


def official(model: nn.Module, keys: Keys) -> OrderedDict[str, Tensor]:
    """The official tensors of one of our systems; branches are of one width."""
    state: OrderedDict[str, Tensor] = OrderedDict()
    for own, tensor in model.state_dict().items():
        names = keys[own]
        parts = [tensor.clone() for _ in names] if tensor.ndim == 0 else tensor.chunk(len(names))
        state.update(zip(names, parts, strict=True))
    return state


def made(key: str = "ctrgcn", persons: int = 1, **options: Any) -> tuple[nn.Module, OrderedDict[str, Tensor]]:
    """A system for iMiGUE with weights of its own, and their official names."""
    torch.manual_seed(3)
    cls, official_keys = GRAPHS[key]
    taxonomy = options.pop("taxonomy", IMIGUE)
    skeleton = options.pop("skeleton", SKELETONS["imigue22"])
    model = cls(skeleton, taxonomy, 16, persons, **{"width": 12, **SHORT, **options}).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) * 0.4 + 0.1)
    return model, official(model, official_keys(model))


def same(folder: Path, model: nn.Module) -> bool:
    ours = from_pretrained(folder).system.state_dict()
    return all(torch.equal(value, ours[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("key", GRAPHS)
def test_arguments_follow_from_shapes(key: str, tmp_path: Path) -> None:
    persons = 1 if key in ("stgcn", "stgcnpp") else 3
    model, state = made(key, persons, in_channels=2, width=24, taxonomy=SMG, skeleton=SKELETONS["coco17"])
    torch.save(state, tmp_path / "a.pth")
    coverage = short(tmp_path / "a.pth", tmp_path / "m", key)
    wanted = {"skeleton": "coco17", "taxonomy": "smg", "persons": persons, "in_channels": 2, "width": 24}
    assert {name: coverage.arguments[name].value for name in wanted} == wanted
    assert {name for name, a in coverage.arguments.items() if a.known == "default"} <= {"frames", "fps", "persons"}
    assert same(tmp_path / "m", model)
    saved = from_pretrained(tmp_path / "m")
    batch = PoseBatch(torch.randn(2, persons, 16, 17, 2), torch.ones(2, persons, 16, 17))
    with torch.inference_mode():
        assert torch.equal(saved.system(batch), model(batch))


def short(file: Path, folder: Path, key: str = "ctrgcn", **more: Any) -> Coverage:
    return import_checkpoint(file, key, folder, **{"options": SHORT, **more})


def as_zip(state: Any, path: Path) -> None:
    torch.save(state, path)


def as_legacy(state: Any, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def as_safetensors(state: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


def as_npz(state: Any, path: Path) -> None:
    np.savez(path, **{f"state/{name}": tensor.numpy() for name, tensor in state.items()}, meta=np.array("{}"))


@pytest.mark.parametrize(
    "write, name",
    [
        *((as_zip, "a.pth"), (as_zip, "a.pt"), (as_legacy, "a.pth.tar"), (as_safetensors, "a.safetensors")),
        (as_npz, "a.npz"),
    ],
)  # fmt: skip
def test_every_kind_of_file(write: Callable[[Any, Path], None], name: str, tmp_path: Path) -> None:
    model, state = made()
    write(state, tmp_path / name)
    coverage = short(tmp_path / name, tmp_path / "m")
    assert same(tmp_path / "m", model)
    assert coverage.prefix == ""
    assert coverage.notes == ()


def test_a_file_as_training_leaves_it(tmp_path: Path) -> None:
    """Weights of a parallel module, their average, the optimizer's momenta, settings and dates."""
    model, state = made()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(PoseBatch(torch.randn(2, 1, 16, 22, 2), torch.ones(2, 1, 16, 22))).sum().backward()
    optimizer.step()
    whole = {f"module.{name}": tensor for name, tensor in state.items()}
    average = {f"module.{name}": tensor + 1 for name, tensor in state.items()}
    note = {"args": argparse.Namespace(lr=0.1), "when": datetime.datetime(2026, 1, 1), "best": np.float64(0.5)}
    buffers = {f"ema_{name.replace('.', '_')}": tensor for name, tensor in state.items()}
    checkpoint = {
        "meta": note,
        "state_dict": OrderedDict(whole | buffers),
        "ema_state_dict": OrderedDict(average | {"steps": torch.tensor(7)}),
        "optimizer": optimizer.state_dict(),
    }
    for write, file in ((as_zip, tmp_path / "new.pth"), (as_legacy, tmp_path / "old.pth")):
        write(checkpoint, file)
        coverage = short(file, tmp_path / file.stem)
        assert coverage.prefix == "state_dict.module."
        assert len(coverage.used) == len(model.state_dict())
        assert {entry.why for entry in coverage.unused} == {"lies beside the weights"}
        assert any(entry.name.startswith("optimizer.state.") for entry in coverage.unused)
        copies = "the file holds several copies; taken: 'state_dict.module.', not 'ema_state_dict.module.'"
        assert coverage.notes == (copies,)
        stored = from_pretrained(tmp_path / file.stem).system.state_dict()["classifier.bias"]
        assert torch.equal(stored, state["cls_head.fc_cls.bias"])
    short(tmp_path / "new.pth", tmp_path / "ema", prefix="ema_state_dict.module.")
    stored = from_pretrained(tmp_path / "ema").system.state_dict()["classifier.bias"]
    assert torch.equal(stored, state["cls_head.fc_cls.bias"] + 1)
    with pytest.raises(FormatError, match=r"none of its \d+ tensors has a name of CTRGCN behind 'model\.'"):
        short(tmp_path / "new.pth", tmp_path / "other", prefix="model.")


def test_objects_of_toolboxes_are_names_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What MMEngine logs lies in the checkpoint as objects of its classes, methods among them."""
    package, module = ModuleType("mmengine"), ModuleType("mmengine.logging")

    class HistoryBuffer:
        def __init__(self) -> None:
            self.values, self.ways = np.arange(3.0), {"mean": HistoryBuffer.mean}

        def mean(self) -> float:
            return float(self.values.mean())

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = "mmengine.logging", "HistoryBuffer"
    HistoryBuffer.mean.__module__, HistoryBuffer.mean.__qualname__ = "mmengine.logging", "HistoryBuffer.mean"
    module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mmengine", package)
        patch.setitem(sys.modules, "mmengine.logging", module)
        torch.save({"state_dict": {"a": torch.ones(2)}, "message_hub": HistoryBuffer()}, tmp_path / "a.pth")
    value = safe_pickle.load_torch(tmp_path / "a.pth")
    assert value["message_hub"] == safe_pickle.Foreign("mmengine.logging.HistoryBuffer")
    assert list(read_tensors(tmp_path / "a.pth")) == ["state_dict.a"]


def test_names_of_other_toolboxes_and_times(tmp_path: Path) -> None:
    """MMAction2 calls the classifier `fc`; before torch 0.4.1 batch norm had no counters; halves become floats."""
    model, state = made()
    state = OrderedDict((name.replace("fc_cls", "fc"), tensor) for name, tensor in state.items())
    old = {name: tensor.half() for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save({"model": {"params": old}}, tmp_path / "a.pth")
    coverage = short(tmp_path / "a.pth", tmp_path / "m")
    assert coverage.prefix == "model.params."
    assert not coverage.fresh
    loaded = from_pretrained(tmp_path / "m").system.state_dict()["classifier.weight"]
    assert torch.equal(loaded, model.state_dict()["classifier.weight"].half().float())


def test_bfloat16_and_views(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.bfloat16).view(4, 6)
    torch.save(
        {"a": base.T, "b": base[1:3, ::2], "c": torch.zeros(0, 3), "d": nn.Parameter(torch.ones(2))}, tmp_path / "a.pth"
    )
    found = read_tensors(tmp_path / "a.pth")
    assert torch.equal(found["a"], base.T.float())
    assert torch.equal(found["b"], base[1:3, ::2].float())
    assert found["c"].shape == (0, 3)
    assert torch.equal(found["d"], torch.ones(2))


def imported(state: Any, folder: Path, key: str = "ctrgcn", **more: Any) -> Coverage:
    torch.save(state, folder / "a.pth")
    return short(folder / "a.pth", folder / "m", key, **more)


def test_another_number_of_classes(tmp_path: Path) -> None:
    _, state = made(taxonomy=numbered(60))
    words = r"a\.pth: cls_head\.fc_cls\.weight \(60, 24\) makes 60 classes, which no taxonomy here has; give --taxonomy"
    with pytest.raises(UsageError, match=words):
        imported(state, tmp_path)
    words = r"cls_head\.fc_cls\.weight \(60, 24\) makes 60 classes; expected 32 of 'imigue'\. Name the right --taxonomy"
    with pytest.raises(FormatError, match=words):
        imported(state, tmp_path, taxonomy=IMIGUE)
    assert not (tmp_path / "m").exists()
    coverage = imported(state, tmp_path, taxonomy=IMIGUE, partial=True)
    assert [(e.name, e.shape, e.expected) for e in coverage.fresh] == [
        ("cls_head.fc_cls.weight", (60, 24), (32, 24)),
        ("cls_head.fc_cls.bias", (60,), (32,)),
    ]
    assert coverage.notes == ("2 tensors start as they were initialised: train the model before use",)
    assert coverage.parameters - coverage.loaded == 25 * 32
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "- `cls_head.fc_cls.bias`: has another shape" in card


def test_without_a_classifier(tmp_path: Path) -> None:
    """The backbone alone, under its own names."""
    model, state = made()
    alone = {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}
    with pytest.raises(UsageError, match=r"nothing tells the classes; give --taxonomy"):
        imported(alone, tmp_path)
    words = (
        r"2 tensors are missing: cls_head\.fc_cls\.weight \(32, 24\), cls_head\.fc_cls\.bias \(32,\)\. Check system and"
    )
    with pytest.raises(FormatError, match=words):
        imported(alone, tmp_path, taxonomy=IMIGUE)
    coverage = imported(alone, tmp_path, taxonomy=IMIGUE, partial=True)
    assert [e.why for e in coverage.fresh] == ["is not in the file"] * 2
    ours = from_pretrained(tmp_path / "m").system.state_dict()
    theirs = {k: v for k, v in model.state_dict().items() if not k.startswith("classifier")}
    assert all(torch.equal(ours[k], v) for k, v in theirs.items())


def test_layouts_with_as_many_joints_are_asked_for(tmp_path: Path) -> None:
    _, state = made(skeleton=SKELETONS["kinect25"])
    words = r"makes 25 joints, which several have; give --skeleton \(choose openpose25 or kinect25\)"
    with pytest.raises(UsageError, match=words):
        imported(state, tmp_path)
    with pytest.raises(
        FormatError, match=r"\(3, 25, 25\) makes 25 joints; expected 22 of 'imigue22'\. Name the right --skeleton"
    ):
        imported(state, tmp_path, skeleton=SKELETONS["imigue22"])
    assert imported(state, tmp_path, skeleton=SKELETONS["kinect25"]).arguments["skeleton"].known == "given"


def test_what_was_said_must_be_what_is_there(tmp_path: Path) -> None:
    _, state = made(persons=2)
    words = r"a\.pth: backbone\.data_bn\.weight \(132,\) makes persons 2; expected 1, as given\. Leave it out, or"
    with pytest.raises(FormatError, match=words):
        imported(state, tmp_path, persons=1)
    with pytest.raises(FormatError, match=r"makes width 12; expected 64, as given"):
        imported(state, tmp_path, options={**SHORT, "width": 64})
    with pytest.raises(UsageError, match=r"CTRGCN has no argument 'widht'; did you mean 'width'\?"):
        imported(state, tmp_path, options={"widht": 12})
    with pytest.raises(UsageError, match=r"CTRGCN cannot be built with these arguments"):
        imported(state, tmp_path, options={"growth": [1, 2], "strides": [1]})


def test_other_systems_and_broken_weights_are_refused(tmp_path: Path) -> None:
    _, state = made()
    with pytest.raises(
        FormatError, match=r"\d+ tensors are missing: backbone\.gcn\.0.* expected a checkpoint of STGCNpp"
    ):
        imported(state, tmp_path, "stgcnpp")
    with pytest.raises(FormatError, match=r"1 tensors have no place in CTRGCN: backbone\.extra \(1,\)\. Check system"):
        imported(state | {"backbone.extra": torch.zeros(1)}, tmp_path)
    with pytest.raises(
        FormatError, match=r"none of its 1 tensors has a name of CTRGCN; its names are like x; expected"
    ):
        imported({"x": torch.zeros(1)}, tmp_path)
    wrong = state | {"backbone.net.0.gcn1.bn.weight": torch.zeros(5)}
    with pytest.raises(FormatError, match=r"backbone\.net\.0\.gcn1\.bn\.weight has shape \(5,\); expected \(12,\)"):
        imported(wrong, tmp_path)
    broken = state | {"cls_head.fc_cls.bias": torch.full((32,), float("nan"))}
    with pytest.raises(FormatError, match=r"a\.pth, tensor 'cls_head\.fc_cls\.bias': holds values that are not finite"):
        imported(broken, tmp_path)
    with pytest.raises(FormatError, match=r"no tensor fits CTRGCN; expected a checkpoint of that system"):
        imported({"backbone.net.0.gcn1.bn.num_batches_tracked": torch.zeros(())}, tmp_path, **known(), partial=True)
    with pytest.raises(FormatError, match=r"holds no tensors \(dict\); expected tensors by name"):
        imported({"epoch": 3}, tmp_path)
    assert not (tmp_path / "m").exists()


def known() -> dict[str, Any]:
    return {"taxonomy": IMIGUE, "skeleton": SKELETONS["imigue22"]}


def test_what_shapes_do_not_tell_exactly_is_asked_for_by_name(tmp_path: Path) -> None:
    words = r"pos_embed has shape \(1, 17, 16\); expected \(1, 785, 16\)\. It depends on size: give --set size=N"
    more = {"taxonomy": numbered(5), "skeleton": SKELETONS["imigue22"]}
    with pytest.raises(FormatError, match=words):
        import_checkpoint(FOLDER / "videomamba.npz", "mamba_mg", tmp_path / "m", **more)
    with pytest.raises(UsageError, match=r"nothing tells the joints; give --skeleton \(known: canonical, imigue35"):
        import_checkpoint(FOLDER / "videomamba.npz", "mamba_mg", tmp_path / "m", taxonomy=numbered(5))


def test_what_is_not_there_does_not_make_the_system_smaller(tmp_path: Path) -> None:
    model = posec3d.PoseC3D(SKELETONS["imigue22"], IMIGUE, 16, 1, width=4)
    state = {k: v for k, v in official(model, posec3d.official_keys(model)).items() if k.startswith("cls_head")}
    more = {"options": {}, "partial": True, "skeleton": SKELETONS["imigue22"]}
    coverage = imported(state, tmp_path, "posec3d", **more)
    assert "blocks" not in coverage.arguments
    assert coverage.arguments["width"].value == 4
    assert len(coverage.used) == 2


@pytest.mark.parametrize("key", [info.key for info in SYSTEMS.values() if info.status == "available"])
def test_the_class_of_every_system_that_names_official_keys(key: str) -> None:
    if not hasattr(importlib.import_module(SYSTEMS[key].module), "official_keys"):
        with pytest.raises(UsageError, match="names no keys of official checkpoints"):
            importing._system(SYSTEMS[key])
        return
    cls, _ = importing._system(SYSTEMS[key])
    assert issubclass(cls, nn.Module)
    assert cls.__module__ == SYSTEMS[key].module


def test_systems_that_have_nothing_to_import(tmp_path: Path) -> None:
    planned = next(info.key for info in SYSTEMS.values() if info.status == "planned")
    for key, words in (
        (planned, f"system '{planned}' is planned, not available yet"),
        ("bodygcn", "system 'bodygcn' names no keys of official checkpoints"),
        ("stgcnp", "no system 'stgcnp'; did you mean stgcnpp"),
    ):
        with pytest.raises(UsageError, match=words):
            import_checkpoint(tmp_path / "a.pth", key, tmp_path / "m")
    with pytest.raises(NoInput, match=r"a\.pth: does not exist"):
        import_checkpoint(tmp_path / "a.pth", "stgcnpp", tmp_path / "m")


def test_a_folder_that_holds_a_model_is_left_alone(tmp_path: Path) -> None:
    _, state = made()
    imported(state, tmp_path)
    with pytest.raises(UsageError, match=r"m holds a model already; choose another folder with --out"):
        imported(state, tmp_path)


def test_what_is_written_beside_the_weights(tmp_path: Path) -> None:
    _, state = made()
    coverage = imported(state, tmp_path)
    config = from_pretrained(tmp_path / "m").config
    assert config["imported"] == {
        "file": "a.pth",
        "sha256": coverage.sha256,
        "system": "ctrgcn",
        "prefix": "",
        "parameters": coverage.parameters,
        "fresh": [],
        "licence": "unknown",
    }
    assert config["system"]["init_args"] == {"width": 12, "growth": [1, 2], "strides": [1, 2]}
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    for words in (
        *("license: unknown", f"file `a.pth`, SHA-256 `{coverage.sha256}`", "Keys of PYSKL's CTRGCN with its GCNHead."),
        *("Nothing is known of the licence", "| width | 12 | backbone.net.0.gcn1"),
        *("https://arxiv.org/abs/2107.12213", "| frames | 64 | assumed |"),
    ):
        assert words in card
    plain = json.loads(json.dumps(coverage.to_plain(), allow_nan=False))
    assert plain["tensors"] == {"used": len(coverage.used), "unused": 0, "fresh": 0}
    assert plain["arguments"]["width"]["from"].startswith("backbone.net.0.gcn1")


RECIPE = """\
system: {class_path: microgesture.systems.stgcnpp.STGCNpp, init_args: {width: 8}}
data: {class_path: tests.learning.toy.Toy, init_args: {clips: 6}}
loading: {frames: 16, batch: 8}
optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}
training: {epochs: 1, warmup: 0}
"""


def test_the_folder_is_measured_and_submitted(tmp_path: Path) -> None:
    """With a recipe the folder says where the data are; without one it is the `weights` of any recipe."""
    _, state = made(taxonomy=Toy.taxonomy, in_channels=3)
    torch.save(state, tmp_path / "a.pth")
    (tmp_path / "toy.yaml").write_text(RECIPE)
    coverage = short(tmp_path / "a.pth", tmp_path / "m", recipe=tmp_path / "toy.yaml")
    assert {name: coverage.arguments[name].value for name in ("frames", "fps", "taxonomy")} == {
        "frames": 16,
        "fps": 20.0,
        "taxonomy": "toy",
    }
    record = measure(tmp_path / "m")
    assert record["system"] == "microgesture.systems.ctrgcn.CTRGCN"
    assert record["clips"] == 6
    assert submit(tmp_path / "m", "predictions").is_file()
    short(tmp_path / "a.pth", tmp_path / "n", taxonomy=Toy.taxonomy)
    again = measure(tmp_path / "toy.yaml", weights=tmp_path / "n")
    assert again["metrics"] == record["metrics"]
    _, other = made(taxonomy=Toy.taxonomy, in_channels=2)
    with pytest.raises(FormatError, match=r"makes in_channels 2; expected 3, as given"):
        imported(other, tmp_path / "n", recipe=tmp_path / "toy.yaml")


def test_graphs_of_other_joints_are_noticed(tmp_path: Path) -> None:
    _, state = made("stgcn")
    assert imported(state, tmp_path, "stgcn").notes == (
        "the graph in the file is not that of 'imigue22'; the file's is kept",
    )


# ---- nothing in a file runs


def wrapped(data: bytes, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", bytes(64))
        archive.writestr("archive/version", "3\n")


def test_no_hostile_checkpoint_runs_anything(tmp_path: Path) -> None:
    corpus = {n: d for n, d in hostile_pickles.corpus().items() if len(d) < 100_000}
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i, data in enumerate(corpus.values()):
        wrapped(data, folder / f"{i}.pth")
        (folder / f"{i}.pt").write_bytes(safe_pickle._LEGACY + b"\x80\x02M\xe9\x03." + b"\x80\x02}." + data)
    code = (
        "import sys; from pathlib import Path; from tests.formats import hostile_pickles as h;"
        "from microgesture.core.errors import FormatError; from microgesture.formats import safe_pickle as s;"
        "files = sorted(Path(sys.argv[1]).iterdir()); h.fence(); n = 0\n"
        "for file in files:\n"
        "    try:\n        s.load_torch(file)\n"
        "    except FormatError:\n        n += 1\n"
        "print(len(files), n)"
    )
    places = os.pathsep.join([str(Path(importing.__file__).parents[2]), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": places},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-500:]
    assert not (tmp_path / hostile_pickles.CANARY).exists()
    total, refused = map(int, done.stdout.split())
    assert total == 2 * len(corpus) >= 80
    assert refused >= 0.9 * total


@pytest.mark.parametrize(
    "data, words",
    [
        (b"\x80\x02cposix\nsystem\n(Vtrue\ntR.", r"this pickle asks for posix\.system; expected numpy arrays, tensors"),
        (b"\x80\x02cbuiltins\ngetattr\n(Va\nVb\ntR.", r"this pickle asks for an attribute"),
        (b"\x80\x02(Vmodule\nVa\ntQ.", r"this pickle asks for something that is no storage of numbers"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor\n(K\x01K\x00))tR.", r"this pickle builds a tensor without a storage"),
        (b"\x80\x02(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nK\x07tQ.", r"a storage of 16 numbers where 7 were"),
        (b"\x80\x02(Vstorage\nctorch\nFloatStorage\nV9\nVcpu\nK\x10tQ.", r"not a sound pickle\. Copy the file again"),
        (
            b"\x80\x02ctorch._utils\n_rebuild_tensor\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nK\x10tQK\x00K\x63\x85K\x00\x85tR.",
            r"a tensor larger than its storage",
        ),
    ],
)  # fmt: skip
def test_messages_about_checkpoints(data: bytes, words: str, tmp_path: Path) -> None:
    wrapped(data, tmp_path / "a.pth")
    with pytest.raises(FormatError, match=r"a\.pth, byte \d+: .*" + words):
        read_tensors(tmp_path / "a.pth")


def test_files_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    file.write_bytes(b"hello, world, this is no checkpoint")
    with pytest.raises(
        FormatError, match=r"a\.pth, byte 0: begins with 68 65 6c 6c 6f 2c 20 77; expected what torch\.save"
    ):
        read_tensors(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"x")
    with pytest.raises(FormatError, match=r"the archive holds 0 members data\.pkl; expected one"):
        read_tensors(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/byteorder", b"big")
    with pytest.raises(FormatError, match=r"its tensors are big-endian"):
        read_tensors(file)
    (tmp_path / "a.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(FormatError, match=r"a\.safetensors: cannot be read \(.*\); expected safetensors"):
        read_tensors(tmp_path / "a.safetensors")
    as_legacy({"a": torch.zeros(40)}, file)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(FormatError, match=r"ends within a tensor\. Copy the file again"):
        read_tensors(file)


@pytest.mark.parametrize("write", [as_zip, as_legacy])
def test_mutated_checkpoints(write: Callable[[Any, Path], None], tmp_path: Path) -> None:
    write({"a": torch.arange(6.0), "b": {"c": torch.ones(2, 2)}}, tmp_path / "whole.pth")
    hold_the_contract(safe_pickle.load_torch, (tmp_path / "whole.pth").read_bytes(), tmp_path / "a.pth", 500)
