"""The long-tail kit with every recogniser: one step of training under all remedies that go together, then the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.systems.test_rgbpose import video
from torch import nn

from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG
from microgesture.datasets.clips import Ids
from microgesture.layers.batch import VideoBatch
from microgesture.layers.losses import class_logits
from microgesture.learning.longtail import (
    LDAM,
    ArcFace,
    ClassBalanced,
    ClassifierRetraining,
    Focal,
    LogitAdjustment,
    LongTail,
    Orthogonality,
    PostHocAdjustment,
    Run,
    SoftF1,
    TauNorm,
)
from microgesture.learning.recipe import Training
from microgesture.learning.recognise import Retrain
from microgesture.systems.aagcn import AAGCN
from microgesture.systems.agcn import AGCN
from microgesture.systems.bodygcn import BodyGCN
from microgesture.systems.catalogue import SYSTEMS
from microgesture.systems.ctrgcn import CTRGCN
from microgesture.systems.jsse import JSSE
from microgesture.systems.mamba_mg import MambaMG, SkeletonMamba
from microgesture.systems.manet import MANet
from microgesture.systems.msg3d import MSG3D
from microgesture.systems.pcan import PCAN
from microgesture.systems.posec3d import PoseC3D
from microgesture.systems.proto_mg import ProtoMG, ProtoPose
from microgesture.systems.rgbpose import RGBPoseConv3D
from microgesture.systems.rocket import Rocket
from microgesture.systems.stgcn import STGCN
from microgesture.systems.stgcnpp import STGCNpp
from microgesture.systems.topo_posec3d import TopoPoseC3D
from microgesture.systems.tsm import TSM

GRAPH: dict[str, Any] = {"width": 8, "growth": (1,), "strides": (1,)}
DRAWN: dict[str, Any] = {"width": 4, "blocks": (1, 1, 1), "size": 12, "train_size": 12}
PICTURES: dict[str, Any] = {"width": 4, "blocks": (1, 1, 1, 1), "size": 32, "short": 36}
BOTH: dict[str, Any] = {
    "rgb_width": 4, "pose_width": 4, "rgb_blocks": (1, 1, 1, 1), "pose_blocks": (1, 1, 1), "size": 32, "train_size": 32
}  # fmt: skip
RECOGNISERS: list[tuple[type[nn.Module], dict[str, Any], int]] = [
    (STGCN, GRAPH, 1),
    (STGCNpp, GRAPH, 1),
    (AGCN, GRAPH, 1),
    (AAGCN, GRAPH, 1),
    (CTRGCN, GRAPH, 1),
    (MSG3D, {"width": 12}, 1),
    (PoseC3D, DRAWN, 1),
    (JSSE, DRAWN, 1),
    (TopoPoseC3D, DRAWN, 1),
    (ProtoPose, {"pose_width": 4, "pose_blocks": (1, 1, 1), "size": 12, "train_size": 12}, 1),
    (SkeletonMamba, {"width": 16, "depth": 1}, 1),
    (Rocket, {"kernels": 8}, 1),
    (TSM, PICTURES, 1),
    (MANet, {**PICTURES, "width": 16, "hidden": 16}, 1),
    (MambaMG, {"width": 16, "depth": 1, "size": 32, "patch": 16, "fusion": "single"}, 1),
    (RGBPoseConv3D, BOTH, 2),
    (ProtoMG, BOTH, 2),
    (PCAN, BOTH, 2),
]
COUNTS: Ids = np.arange(len(SMG))[::-1] ** 2


def built(cls: type[nn.Module], options: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return cls(SKELETONS["imigue22"], SMG, 8, 1, **options)


def clips() -> VideoBatch:
    batch = video(6)
    if isinstance(batch.rgb, torch.Tensor):
        batch.rgb = batch.rgb[:, :, :64, :64]  # whole patches
    return batch


@pytest.mark.parametrize(("cls", "options", "streams"), RECOGNISERS, ids=[cls.__name__ for cls, _, _ in RECOGNISERS])
def test_every_recogniser_takes_the_kit(cls: type[nn.Module], options: dict[str, Any], streams: int) -> None:
    system, batch = built(cls, options), clips()
    kit = LongTail(
        [
            LogitAdjustment(), LDAM(), Focal(), ClassBalanced(), SoftF1(), ArcFace(), Orthogonality(),
            ClassifierRetraining(), TauNorm(), PostHocAdjustment(t=[1.0]),
        ],
        COUNTS,
    )  # fmt: skip
    run = after(system, batch)
    assert len(run.classifiers) == streams
    kit.check(run)
    before = [layer.weight.detach().clone() for layer in run.classifiers]
    descent = torch.optim.SGD(system.parameters(), lr=0.01)
    terms = kit.losses(system, system(batch), kit.weigh(batch, 0.9))
    assert {"soft_f1", "arc_face", "orthogonality"} < set(terms)
    assert all(torch.isfinite(term) for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    descent.step()
    moved = [layer.weight for layer in run.classifiers]
    assert all(not torch.equal(a, b) for a, b in zip(before, moved, strict=True))
    said = kit.finish(run)
    assert set(said) == {"LDAM", "ClassifierRetraining", "TauNorm", "PostHocAdjustment"}
    shift = torch.tensor(said["PostHocAdjustment"]["added_to_bias"], dtype=torch.float32)
    for layer in run.classifiers:
        assert torch.equal(layer.bias, shift), "tau-normalisation empties the bias, the adjustment comes after it"
    assert torch.isfinite(class_logits(system.eval()(batch))).all()


def after(system: nn.Module, batch: VideoBatch) -> Run:
    def retrain(classifier: nn.Module, share: float) -> None:
        Retrain(system, classifier, torch.optim.SGD, Training(), len(SMG))  # type: ignore[arg-type]
        learning = {id(p) for p in system.parameters() if p.requires_grad}
        assert learning == {id(p) for p in classifier.parameters()}
        system.requires_grad_(True)

    def validate() -> tuple[np.ndarray, Ids]:
        assert batch.label is not None
        with torch.no_grad():
            return class_logits(system.eval()(batch)).softmax(1).double().numpy(), batch.label.numpy()

    return Run(system, COUNTS, ("train", "val"), retrain, validate)


def test_no_recogniser_is_left_out() -> None:
    here = {cls.__module__ for cls, _, _ in RECOGNISERS} | {BodyGCN.__module__}
    built = [info for info in SYSTEMS.values() if (info.status, info.task) == ("available", "recognise")]
    there = {info.module for info in built}
    assert there <= here
