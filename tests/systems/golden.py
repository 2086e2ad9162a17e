"""Golden files of clip recognisers: what official code gave with which weights. See tests/golden/README.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.official import Keys

FOLDER = Path(__file__).parents[1] / "golden"


class Golden:
    """One golden file: `state`, `inputs`, `outputs` by official name, and `meta`."""

    def __init__(self, name: str) -> None:
        with np.load(FOLDER / f"{name}.npz") as file:
            self.meta: dict[str, Any] = json.loads(str(file["meta"]))
            tensors = {key: torch.from_numpy(file[key]) for key in file.files if key != "meta"}
        self.state, self.inputs, self.outputs = (
            {key.removeprefix(f"{part}/"): value for key, value in tensors.items() if key.startswith(f"{part}/")}
            for part in ("state", "in", "out")
        )

    def batch(self) -> PoseBatch:
        x = self.inputs["x"]
        return PoseBatch(x[..., :2], x[..., 2], label=self.inputs["label"])

    def close(self, ours: Tensor, name: str) -> None:
        """|a - b| <= 1e-4 * max(1, max|b|); the stored values are within 6e-6 of a float64 run on that scale."""
        theirs = self.outputs[name]
        assert ours.shape == theirs.shape, name
        gap = float((ours.detach() - theirs).abs().max())
        assert gap <= self.meta["tolerance"] * max(1, float(theirs.abs().max())), f"{name} differs by {gap:.2g}"


def official_gradient(model: nn.Module, keys: Keys, state: Mapping[str, Tensor], name: str) -> Tensor:
    """The gradient of the official parameter `name`, cut out of ours where several official ones lie in one."""
    own = next(key for key, names in keys.items() if name in names)
    gradient = model.get_parameter(own).grad
    assert gradient is not None
    names = list(keys[own])
    return gradient.split([len(state[n]) for n in names])[names.index(name)]


def numbered(classes: int) -> Taxonomy:
    return Taxonomy("numbers", "Numbers", tuple(Label(i, str(i), "none") for i in range(classes)), ())


def pyskl_layout(name: str) -> Skeleton:
    """A graph of PYSKL by its edge list; joints are numbered, since only the edges matter."""
    graph = Golden("gcn_graphs").inputs
    joints = tuple(str(i) for i in range(int(graph[f"{name}/num_node"])))
    bones = tuple((int(parent), int(child)) for child, parent in graph[f"{name}/inward_edges"])
    return Skeleton(name, joints, bones, root=int(graph[f"{name}/center"]))
