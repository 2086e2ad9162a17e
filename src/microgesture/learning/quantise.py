"""Eight bits in place of thirty-two: an ONNX graph whose weights and activations are whole numbers.

What an activation reaches on real clips decides which numbers its 256 steps stand for, so that clips of the model's own
kind are needed, a few hundred, without labels. Processors multiply eight bits three to four times as fast as 32
(VNNI, since 2019), and the weights take a quarter of the space.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import UsageError
from microgesture.learning.checkpoint import Facts
from microgesture.learning.runs import RECIPE, Progress, facts_of

Feed = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Coordinates `xy` (B, M, T, V, C) and `score` (B, M, T, V) of some clips."""

CLIPS = 512
"""Clips that are looked at: every second batch sets the ranges, the others tell how far the answers are off."""
_BATCH = 16
_PRODUCTS = ("Conv", "MatMul", "Gemm")
# what passes numbers on: between two products nothing goes back to floats
_BETWEEN = ("Add", "Mul", "Relu", "MaxPool", "Concat", "Split", "Reshape", "Transpose", "Squeeze", "Unsqueeze")


def sample(recipe: str | Path, facts: Facts) -> tuple[list[Feed], list[Feed]]:
    """Clips of a recipe's data set: those that set the ranges, and others to compare answers on.

    They come from the validation split, from the training clips where there is none; clips of a test are not looked at.

    Args:
        recipe: file, or folder of a run.
        facts: of the model that will read them.

    Raises:
        NoInput, FormatError, UsageError: the recipe or its data are missing or damaged, its clips are not what the
            model reads, or there are fewer than two of them.
    """
    from microgesture.datasets.loading import test_loader
    from microgesture.learning.recipe import read_recipe

    path = Path(recipe)
    path = path / RECIPE if path.is_dir() else path
    plan = read_recipe(path)
    if plan.windowing is not None:
        raise UsageError(f"{path}: finds gestures in recordings; ranges of int8 are taken from clips")
    for name in ("skeleton", "persons", "in_channels", "frames"):
        ours, theirs = getattr(facts, name), getattr(facts_of(plan), name)
        if ours != theirs:
            ours, theirs = getattr(ours, "name", ours), getattr(theirs, "name", theirs)
            raise UsageError(f"{path}: its clips have {name} {theirs}, the model reads {ours}")
    clips = plan.dataset.clips("val" if "val" in plan.dataset.splits else "train")
    if len(clips) > CLIPS:
        chosen = np.zeros(len(clips), np.bool_)
        chosen[np.random.default_rng(0).permutation(len(clips))[:CLIPS]] = True
        clips = clips.where(chosen, f"{CLIPS} clips")  # type: ignore[attr-defined]
    size = max(1, min(_BATCH, len(clips) // 2))
    loading = replace(plan.loading, views=1, flip=False, batch=size, workers=0)
    feeds = [(b.xy.numpy(), b.score.numpy()) for b in test_loader(clips, loading)]
    if len(feeds) < 2:
        raise UsageError(f"{clips.source}: {len(clips)} clips; int8 needs some to set its ranges and others to check")
    return feeds[::2], feeds[1::2]


def quantised(proto: Any, feeds: Sequence[Feed], progress: Progress | None = None) -> Any:
    """The ONNX model with 8 bit weights, one scale per channel, and 8 bit activations, one scale per tensor."""
    from onnx import load_model
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.shown = 0

        def get_next(self) -> dict[str, Any] | None:
            if progress:
                progress("ranges", self.shown, len(feeds))
            if self.shown == len(feeds):
                return None
            xy, score = feeds[self.shown]
            self.shown += 1
            return {"xy": xy, "score": score}

    with tempfile.TemporaryDirectory() as folder:
        plain, ready, done = (Path(folder, f"{name}.onnx") for name in ("plain", "ready", "done"))
        plain.write_bytes(proto.SerializeToString())
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        model = load_model(ready)
        split_norms(model.graph)
        ready.write_bytes(model.SerializeToString())
        quantize_static(
            ready,
            done,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*_PRODUCTS, *_BETWEEN],
            nodes_to_quantize=inner(model.graph),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        made = load_model(done)
    del made.graph.value_info[:]
    return made


def split_norms(graph: Any) -> None:
    """Write each batch norm that is not part of a convolution as a product and a sum: these have a form for 8 bits."""
    from onnx import helper, numpy_helper

    known = {tensor.name: tensor for tensor in graph.initializer}
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*graph.value_info, *graph.input)}
    nodes = []
    for node in graph.node:
        x, *others = node.input
        if node.op_type != "BatchNormalization" or x not in ranks or not known.keys() >= set(others):
            nodes.append(node)
            continue
        weight, bias, mean, variance = (numpy_helper.to_array(known[name]).astype(np.float64) for name in others)
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        scale = weight / np.sqrt(variance + epsilon)
        for name, value in (("scale", scale), ("shift", bias - mean * scale)):
            column = value.astype(np.float32).reshape(-1, *[1] * (ranks[x] - 2))
            graph.initializer.append(numpy_helper.from_array(column, f"{node.output[0]}.{name}"))
        y, scaled = node.output[0], f"{node.output[0]}.scaled"
        nodes.append(helper.make_node("Mul", [x, f"{y}.scale"], [scaled], name=f"{node.name}.scaled"))
        nodes.append(helper.make_node("Add", [scaled, f"{y}.shift"], [y], name=f"{node.name}.shifted"))
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def inner(graph: Any) -> list[str]:
    """Names of the nodes to calculate in 8 bits: the products, and of what passes numbers on what lies between two.

    What is done to coordinates before the first product stays in floats, since one joint far away would coarsen all
    others; so does what is done to logits.
    """
    weights = {tensor.name for tensor in graph.initializer}
    after: set[str] = set()
    for node in graph.node:
        if after.intersection(node.input) or (node.op_type in _PRODUCTS and weights.intersection(node.input)):
            after.update(node.output)
    before: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in _PRODUCTS or before.intersection(node.output):
            before.update(node.input)
    return [
        node.name
        for node in graph.node
        if (node.op_type in _PRODUCTS and after.intersection(node.output))
        or (node.op_type in _BETWEEN and after.intersection(node.input) and before.intersection(node.output))
    ]
