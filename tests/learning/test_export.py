from __future__ import annotations

import importlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from microgesture.core.errors import CannotCreate, CheckFailed, FormatError, MissingExtra, NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import SMG
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch, VideoBatch
from microgesture.layers.heatmaps import joint_heatmaps
from microgesture.learning import export as under_test
from microgesture.learning.checkpoint import Facts, from_pretrained, save_pretrained
from microgesture.learning.export import (
    BF16_TOLERANCE,
    INT8_SAME,
    INT8_TOLERANCE,
    NORMALISATION,
    OPSET,
    _differences,
    _nanmedian,
    _random_feeds,
    describe,
    export_model,
)
from microgesture.learning.quantise import inner, split_norms
from microgesture.systems.bodygcn import BodyGCN
from microgesture.systems.ctrgcn import CTRGCN
from microgesture.systems.stgcn import STGCN

FACTS = Facts(SKELETONS["imigue22"], (SMG,), 16, 2, 3, 28.0)


def needs(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed; pip install 'microgesture[export]'")


def saved(folder: Path, cls: type[nn.Module], facts: Facts = FACTS, **arguments: Any) -> Path:
    torch.manual_seed(0)
    system = cls(**facts.arguments(cls), **arguments)
    for name, value in system.named_buffers():  # statistics as after training
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    for module in system.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return save_pretrained(folder, system, facts, arguments)


def clips(count: int, frames: int, joints: int = 22) -> tuple[Tensor, Tensor]:
    torch.manual_seed(count + frames)
    return torch.randn(count, 2, frames, joints, 2), torch.rand(count, 2, frames, joints)


def test_onnx_says_what_it_is_and_answers_as_the_system(tmp_path: Path) -> None:
    needs("onnx", "onnxscript", "onnxruntime")
    import onnx
    import onnxruntime

    folder = saved(tmp_path / "model", STGCN, width=8, growth=(1,), strides=(2,))
    (folder / "README.md").write_text("---\nlibrary_name: microgesture\nlicense: cc-by-4.0\n---\n\nlicense: no\n")
    done = export_model(folder, out=tmp_path / "a.onnx")
    assert (done.kind, done.batch, done.frames) == ("onnx", None, None)
    assert [p.name for p in tmp_path.glob("*.onnx")] == ["a.onnx"]
    session = onnxruntime.InferenceSession(str(done.path), providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape) for i in session.get_inputs()] == [
        ("xy", ["batch", 2, "time", 22, 2]),
        ("score", ["batch", 2, "time", 22]),
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("logits", ["batch", 17])]
    model = from_pretrained(folder)
    for xy, score in (clips(1, 16), clips(5, 37)):
        expected = model.system(PoseBatch(xy, score)).detach().numpy()
        found = session.run(None, {"xy": xy.numpy(), "score": score.numpy()})[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)

    proto = onnx.load(done.path)
    onnx.checker.check_model(proto)
    assert [(o.domain, o.version) for o in proto.opset_import if o.domain == ""] == [("", OPSET)]
    about = session.get_modelmeta().custom_metadata_map
    assert about == done.metadata
    assert about["system"] == "microgesture.systems.stgcn.STGCN"
    assert json.loads(about["labels"]) == [[label.name, label.group] for label in SMG]
    assert json.loads(about["joints"]) == list(FACTS.skeleton.joints)
    assert about["weights_sha256"] == model.config["sha256"]
    assert about["taxonomy_sha256"] == SMG.digest
    assert (about["sample_rate"], about["frames"], about["persons"], about["coordinates"]) == ("28", "16", "2", "2")
    assert (about["licence"], about["opset"], about["normalisation"]) == ("cc-by-4.0", str(OPSET), NORMALISATION)
    assert float(about["parity_error"]) == pytest.approx(done.error, rel=0.01, abs=1e-12)
    assert done.error < 1e-5
    # no weights outside of the file, no paths of this machine inside
    assert not any(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer)
    assert str(Path(under_test.__file__).parents[2]).encode() not in done.path.read_bytes()


def test_the_same_model_gives_the_same_file(tmp_path: Path) -> None:
    needs("onnx", "onnxscript", "onnxruntime")
    folder = outside(tmp_path, "")
    first, second = (export_model(folder, out=tmp_path / f"{name}.onnx", system=Outside).path for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_torch_program_carries_the_same(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", STGCN, width=8, growth=(1,), strides=(2,))
    done = export_model(folder, "torch", tmp_path / "a.pt2")
    assert (done.batch, done.frames, done.error) == (None, None, pytest.approx(0, abs=1e-6))
    about = {"microgesture.json": ""}
    program = torch.export.load(done.path, extra_files=about)
    assert json.loads(about["microgesture.json"]) == done.metadata
    assert "opset" not in done.metadata
    xy, score = clips(3, 31)  # an odd number of frames, while the traced clips had an even one
    assert program.module()(xy, score).shape == (3, 17)
    assert str(Path(under_test.__file__).parents[2]).encode() not in done.path.read_bytes()


def test_bfloat16_is_in_the_weights_and_says_how_far_it_is_off(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", STGCN, width=8, growth=(1,), strides=(2,))
    done = export_model(folder, "torch", tmp_path / "a.pt2", precision="bf16")
    assert (done.batch, done.frames, done.precision) == (None, None, "bf16")
    assert done.metadata["precision"] == "bf16"
    assert 1e-4 < done.error < BF16_TOLERANCE
    program = torch.export.load(done.path)
    large = [value for value in (*program.state_dict.values(), *program.constants.values()) if value.ndim == 4]
    assert large
    assert {value.dtype for value in large} == {torch.bfloat16}
    xy, score = clips(3, 31)
    found = program.module()(xy, score)
    expected = from_pretrained(folder).system(PoseBatch(xy, score))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_bfloat16_of_a_system_that_is_exported_in_other_words_than_it_runs(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", CTRGCN, width=8, growth=(1,), strides=(2,))
    done = export_model(folder, "torch", tmp_path / "a.pt2", precision="bf16")
    assert (done.batch, done.frames) == (None, None)
    assert 1e-4 < done.error < BF16_TOLERANCE


def test_a_precision_has_its_formats() -> None:
    with pytest.raises(UsageError, match="precision bf16 is for format torch, not for onnx"):
        export_model("base", "onnx", precision="bf16")
    with pytest.raises(UsageError, match="precision int8 is for format onnx or openvino, not for torch"):
        export_model("base", "torch", precision="int8")
    with pytest.raises(UsageError, match="no precision 'int4'; choose f32, bf16, int8"):
        export_model("base", "torch", precision="int4")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="precision f32 needs none"):
        export_model("base", "torch", calibrate="a.yaml")


def simulated(path: Path, **changed: Any) -> Path:
    """A recipe with 64 clips of the shipped model's kind."""
    data = {"taxonomy": "smg", "length": 48, "test_clips": 64} | changed.pop("data", {})
    recipe = {
        "system": {"class_path": "microgesture.systems.bodygcn.BodyGCN"},
        "data": {"class_path": "microgesture.datasets.simulated.Simulated", "init_args": data},
        "loading": {"frames": 48},
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
        "training": {"epochs": 1, "warmup": 0},
    }
    path.write_text(json.dumps(recipe | changed))
    return path


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_eight_bits_are_in_the_file_and_the_classes_stay(tmp_path: Path, kind: str) -> None:
    needs("onnx", "onnxscript", "onnxruntime", *(["openvino"] if kind == "openvino" else []))
    import onnxruntime

    recipe = simulated(tmp_path / "some.yaml")
    path, told = tmp_path / f"a{under_test.SUFFIXES[kind]}", []
    one = export_model(
        "base",
        kind,  # type: ignore[arg-type]
        path,
        precision="int8",
        calibrate=recipe,
        progress=lambda *news: told.append(news),
    )
    assert told == [("ranges", done, 2) for done in range(3)]
    assert (one.batch, one.frames, one.precision, one.metadata["precision"]) == (None, None, "int8", "int8")
    assert one.same >= INT8_SAME
    assert float(one.metadata["same_class"]) == pytest.approx(one.same, abs=1e-4)
    assert 1e-3 < one.error < INT8_TOLERANCE
    if kind == "openvino":
        return
    plain = export_model("base", kind, tmp_path / "b.onnx")
    assert one.path.stat().st_size < 0.6 * plain.path.stat().st_size
    session = onnxruntime.InferenceSession(str(one.path), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == one.metadata
    xy, score = np.random.default_rng(0).normal(size=(3, 1, 31, 47, 2)), np.ones((3, 1, 31, 47))
    (logits,) = session.run(None, {"xy": xy.astype(np.float32), "score": score.astype(np.float32)})
    assert logits.shape == (3, 70)


def test_eight_bits_need_clips_of_the_model_s_kind(tmp_path: Path) -> None:
    needs("onnx", "onnxscript", "onnxruntime")

    def refused(words: str, calibrate: Path | None) -> None:
        with pytest.raises(UsageError, match=words):
            export_model("base", out=tmp_path / "a.onnx", precision="int8", calibrate=calibrate)

    refused("base: no recipe.yaml beside the model.* with --calibrate", None)
    refused("its clips have frames 40, the model reads 48", simulated(tmp_path / "frames.yaml", loading={"frames": 40}))
    refused("1 clips; int8 needs some to set its ranges", simulated(tmp_path / "one.yaml", data={"test_clips": 1}))
    with pytest.raises(NoInput, match=r"none\.yaml"):
        export_model("base", out=tmp_path / "a.onnx", precision="int8", calibrate=tmp_path / "none.yaml")
    assert not list(tmp_path.glob("*.onnx"))


def test_a_system_that_does_not_bear_eight_bits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("onnx", "onnxscript", "onnxruntime")
    monkeypatch.setattr(under_test, "_differences", lambda *arguments: (0.2, 0, 0.84))
    with pytest.raises(CheckFailed, match=r"the same class .* to 84% of the clips compared; 90% are asked"):
        export_model("base", out=tmp_path / "a.onnx", precision="int8", calibrate=simulated(tmp_path / "some.yaml"))
    assert not (tmp_path / "a.onnx").exists()


def test_a_batch_norm_is_a_product_and_a_sum(tmp_path: Path) -> None:
    needs("onnx", "onnxruntime")
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    shape, rng = (2, 5, 3, 4), np.random.default_rng(0)
    values = {name: rng.uniform(0.5, 2, 5).astype(np.float32) for name in ("weight", "bias", "mean", "variance")}
    tensors = [numpy_helper.from_array(value, name) for name, value in values.items()]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    node = helper.make_node("BatchNormalization", ["x", *values], ["y"], "norm", epsilon=0.5)
    model = helper.make_model(helper.make_graph([node], "one", ends[:1], ends[1:], tensors))
    model.ir_version = 9

    def answer() -> Any:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {"x": rng.normal(size=shape).astype(np.float32)})[0]

    rng = np.random.default_rng(1)
    before = answer()
    split_norms(model.graph)
    assert [n.op_type for n in model.graph.node] == ["Mul", "Add"]
    assert {t.name for t in model.graph.initializer} == {"y.scale", "y.shift"}
    rng = np.random.default_rng(1)
    np.testing.assert_allclose(answer(), before, rtol=1e-5)


def test_what_lies_between_two_products() -> None:
    class Node(NamedTuple):
        name: str
        op_type: str
        input: tuple[str, ...]
        output: tuple[str, ...]

    class Tensor(NamedTuple):
        name: str

    class Graph(NamedTuple):
        node: list[Node]
        initializer: list[Tensor]

    nodes = [
        Node("scaled", "Add", ("xy", "score"), ("a",)),
        Node("first", "Conv", ("a", "w"), ("b",)),
        Node("relu", "Relu", ("b",), ("c",)),
        Node("tanh", "Tanh", ("c",), ("d",)),
        Node("graph", "MatMul", ("c", "d"), ("e",)),
        Node("head", "Gemm", ("e", "v"), ("f",)),
        Node("shift", "Add", ("f", "g"), ("logits",)),
    ]
    assert inner(Graph(nodes, [Tensor("w"), Tensor("v")])) == ["first", "relu", "graph", "head"]


def test_another_class_is_refused_however_small_the_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = outside(tmp_path, "")
    model = from_pretrained(folder, system=Outside)

    def swapped(xy: Any, score: Any) -> Any:
        """The best two classes change places."""
        logits = model.system(PoseBatch(torch.from_numpy(xy), torch.from_numpy(score))).logits.detach().numpy()
        order = logits.argsort(1)[:, -2:]
        np.put_along_axis(logits, order, np.take_along_axis(logits, order[:, ::-1], 1), 1)
        return logits

    lengths = 3  # of 1 and of 3 clips each

    def differences(tolerance: float) -> tuple[float, int, float]:
        return _differences(model, swapped, _random_feeds(model.facts, None, None), tolerance)

    assert differences(0.0)[1:] == (4 * lengths, 0.0)
    assert differences(100.0)[1] == 0  # no class is clear
    monkeypatch.setattr(under_test, "_differences", lambda *arguments: (0.0, 2, 0.9))
    with pytest.raises(CheckFailed, match="gives another class to 2 clips whose class is clear"):
        export_model(folder, out=tmp_path / "a.pt2", system=Outside)
    assert not (tmp_path / "a.pt2").exists()


def test_openvino_lies_in_two_files(tmp_path: Path) -> None:
    needs("openvino", "onnx", "onnxscript", "onnxruntime")
    import openvino

    folder = saved(tmp_path / "model", STGCN, width=8, growth=(1,), strides=(1,))
    done = export_model(folder, out=tmp_path / "a.xml")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "a.xml", "model"]
    assert done.kind == "openvino"
    model = openvino.Core().read_model(str(done.path))
    assert model.get_rt_info(["microgesture", "weights_sha256"]).value == done.metadata["weights_sha256"]
    assert model.inputs[0].partial_shape[0].is_dynamic
    assert model.inputs[0].partial_shape[2].is_dynamic


def test_the_median_that_onnx_lacks(tmp_path: Path) -> None:
    needs("onnx", "onnxscript", "onnxruntime")
    done = export_model(outside(tmp_path, "median"), out=tmp_path / "a.onnx", system=Outside)
    assert (done.batch, done.frames) == (None, None)
    assert done.error < 1e-6


@pytest.mark.slow
def test_the_system_of_the_shipped_model(tmp_path: Path) -> None:
    needs("onnx", "onnxscript", "onnxruntime")
    facts = replace(FACTS, skeleton=SKELETONS["canonical"], persons=1)
    arguments = {"joint_width": 4, "widths": (4,), "strides": (1,)}
    done = export_model(saved(tmp_path / "model", BodyGCN, facts, **arguments), out=tmp_path / "a.onnx")
    assert (done.batch, done.frames) == (None, None)
    assert done.error < 1e-5


def test_the_shipped_model_tells_how_it_answers_in_other_classes() -> None:
    about = describe(from_pretrained("base"))
    assert about["licence"] == "apache-2.0"
    assert set(json.loads(about["serves"])) == {"imigue", "smg", "ma52"}
    assert json.loads(about["window"]) == 40
    assert all(isinstance(value, str) for value in about.values())


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("keepdim", [True, False])
def test_median_of_what_is_there(dim: int, keepdim: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 6, 7)
    x[torch.rand(x.shape) < 0.4] = torch.nan
    x[0], x[:, 0], x[..., 0] = torch.nan, torch.nan, torch.nan
    expected = x.nanmedian(dim, keepdim=keepdim).values
    torch.testing.assert_close(_nanmedian(x, dim, keepdim)[0], expected, rtol=0, atol=0, equal_nan=True)


def test_a_graph_draws_the_same_heatmaps_for_any_number_of_clips() -> None:
    class Draw(nn.Module):
        def forward(self, xy: Tensor, score: Tensor) -> Tensor:
            return joint_heatmaps(xy, score, (12, 16))

    def poses(clips: int, frames: int) -> tuple[Tensor, Tensor]:
        xy, score = torch.rand(clips, 2, frames, 4, 2) * 20 - 2, torch.rand(clips, 2, frames, 4)
        score[0, 1], score[1, :, :2] = 0, 0
        return xy, score

    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    traced = torch.export.export(Draw(), poses(3, 5), dynamic_shapes=(free, free)).module()
    for clips, frames in ((3, 5), (2, 8)):
        batch = poses(clips, frames)
        torch.testing.assert_close(traced(*batch), joint_heatmaps(*batch, (12, 16)), rtol=0, atol=0)


class Answer(NamedTuple):
    logits: Tensor
    feature: Tensor


class Outside(nn.Module):
    """Mean of the coordinates; what `kind` adds to `forward` makes it hard to export."""

    def __init__(self, skeleton: Skeleton, taxonomy: Taxonomy, frames: int, persons: int, kind: str = "") -> None:
        super().__init__()
        self.linear, self.kind = nn.Linear(2, len(taxonomy)), kind

    def forward(self, batch: PoseBatch) -> Answer:
        feature = batch.features(2).mean((1, 2, 3))
        if self.kind == "median":
            middle = batch.xy.where(batch.score[..., None] > 0, torch.nan).nanmedian(2).values
            feature = middle.nan_to_num().mean((1, 2))
        if self.kind == "one by one":
            feature = torch.stack([feature[i] * 2 for i in range(len(feature))])
        if self.kind == "by length" and batch.xy.shape[2] > 12:
            feature = feature * 2
        if self.kind == "peeks" and feature.sum() > 0:
            feature = -feature
        if self.kind == "traced" and torch.compiler.is_compiling():
            feature = feature + 0.01
        if self.kind == "nan" and not torch.compiler.is_compiling():
            feature = feature / 0
        return Answer(self.linear(feature), feature)


class Pictures(Outside):
    def forward(self, batch: VideoBatch) -> Answer:  # type: ignore[override]
        return super().forward(batch)


def outside(tmp_path: Path, kind: str, cls: type[nn.Module] = Outside) -> Path:
    return saved(tmp_path / "model", cls, kind=kind)


def test_the_first_entry_of_an_answer_is_exported(tmp_path: Path) -> None:
    done = export_model(outside(tmp_path, ""), out=tmp_path / "a.pt2", system=Outside)
    assert torch.export.load(done.path).module()(*clips(4, 9)).shape == (4, 17)
    assert done.metadata["licence"] == "not stated"


@pytest.mark.parametrize("kind, batch, frames", [("one by one", 1, None), ("by length", None, 16)])
def test_a_system_bound_to_a_size_says_so(tmp_path: Path, kind: str, batch: int | None, frames: int | None) -> None:
    done = export_model(outside(tmp_path, kind), out=tmp_path / "a.pt2", system=Outside)
    assert (done.batch, done.frames) == (batch, frames)


def test_onnx_states_the_size_it_is_bound_to(tmp_path: Path) -> None:
    needs("onnx", "onnxscript", "onnxruntime")
    import onnxruntime

    done = export_model(outside(tmp_path, "one by one"), out=tmp_path / "a.onnx", system=Outside)
    session = onnxruntime.InferenceSession(str(done.path), providers=["CPUExecutionProvider"])
    assert [i.shape for i in session.get_inputs()] == [[1, 2, "time", 22, 2], [1, 2, "time", 22]]


@pytest.mark.parametrize("kind, value", [("traced", r"0\.0\d+"), ("nan", "nan")])
def test_a_model_that_answers_otherwise_is_refused(tmp_path: Path, kind: str, value: str) -> None:
    path = tmp_path / "a.pt2"
    path.write_text("kept")
    with pytest.raises(CheckFailed, match=rf"a.pt2: the exported model differs .* by {value}; allowed is 0.0001"):
        export_model(outside(tmp_path, kind), out=path, system=Outside)
    assert path.read_text() == "kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt2", "model"]


def test_what_fails_only_afterwards_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> Any:
        def run(xy: Any, score: Any) -> Any:
            raise RuntimeError(f"no kernel for {xy.shape}")

        return run

    folder = outside(tmp_path, "")
    monkeypatch.setattr(under_test._Torch, "runner", lambda self, path: broken(path))
    with pytest.raises(CheckFailed, match=r"fails on 1 clips of 8 frames \(no kernel for \(1, 2, 8, 22, 2\)\)"):
        export_model(folder, out=tmp_path / "a.pt2", system=Outside)
    monkeypatch.undo()
    monkeypatch.setattr(under_test._Torch, "metadata", lambda self, path: {"weights_sha256": "0"})
    with pytest.raises(CheckFailed, match="does not read back"):
        export_model(folder, out=tmp_path / "a.pt2", system=Outside)
    assert not (tmp_path / "a.pt2").exists()


def test_what_cannot_be_traced_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be exported: torch.export says .*data-dependent"):
        export_model(outside(tmp_path, "peeks"), out=tmp_path / "a.pt2", system=Outside)
    with pytest.raises(UsageError, match="Pictures reads a VideoBatch; only systems that read poses alone"):
        export_model(outside(tmp_path, "", Pictures), out=tmp_path / "a.pt2", system=Pictures)


def test_streams_are_taken_from_the_recipe_of_the_run(tmp_path: Path) -> None:
    folder = outside(tmp_path, "")
    for text, streams in (("loading: {streams: [bone]}", ["bone"]), ("loading:", ["joint"]), ("{}", ["joint"])):
        (folder / "recipe.yaml").write_text(text)
        done = export_model(folder, out=tmp_path / "a.pt2", system=Outside)
        assert json.loads(done.metadata["streams"]) == streams
    for text in ("[", "- a"):
        (folder / "recipe.yaml").write_text(text)
        with pytest.raises(FormatError, match=r"recipe.yaml: cannot be read"):
            export_model(folder, out=tmp_path / "a.pt2", system=Outside)


def test_format_and_name(tmp_path: Path) -> None:
    for kind, out, words in (
        ("tflite", None, "no format 'tflite'; choose onnx, openvino, torch"),
        ("torch", "a.onnx", "a.onnx: a file of format torch ends with .pt2"),
        (None, "a.bin", "a.bin: the format is not clear; choose onnx, openvino, torch with --format"),
    ):
        with pytest.raises(UsageError, match=re.escape(words)):
            export_model("base", kind, out)  # type: ignore[arg-type]
    with pytest.raises(NoInput, match="nowhere: no model there"):
        export_model("nowhere", "torch")
    with pytest.raises(CannotCreate, match="cannot be created"):
        export_model(outside(tmp_path, ""), out=tmp_path / "none" / "a.pt2", system=Outside)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module
    for gone, kind, extra in (
        ("onnx", "onnx", "export"),
        ("onnxruntime", "onnx", "export"),
        ("onnxscript", "onnx", "export"),
        ("openvino", "openvino", "openvino"),
    ):

        def missing(name: str, package: str | None = None, gone: str = gone) -> Any:
            if name == gone:
                raise ImportError(name)
            return sys if name.startswith("onnx") else real(name, package)

        monkeypatch.setattr(importlib, "import_module", missing)
        with pytest.raises(MissingExtra, match=rf"exporting to .* needs the extra '{extra}': pip install"):
            export_model("base", kind)  # type: ignore[arg-type]


def test_a_long_clip_is_compared_as_well(tmp_path: Path) -> None:
    facts = replace(FACTS, frames=9, persons=1)
    folder = saved(tmp_path / "model", STGCN, facts, width=6, growth=(1,), strides=(1,))
    seen = []
    run = under_test._Torch().runner

    def watched(path: Path) -> Any:
        inner = run(path)
        return lambda xy, score: seen.append(xy.shape[:3]) or inner(xy, score)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(under_test._Torch, "runner", lambda self, path: watched(path))
        export_model(folder, out=tmp_path / "a.pt2")
    assert seen == [(b, 1, t) for b in (1, 3) for t in (8, 9, 19)]
