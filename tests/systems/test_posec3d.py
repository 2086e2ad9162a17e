"""PoseC3D against PYSKL. Golden files posec3d_slowonly and, with all frames kept, posec3d_slowonly_mm2strides."""

from __future__ import annotations

import pytest
import torch
from tests.systems.golden import Golden, numbered, official_gradient
from torch import Tensor, nn

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import IMIGUE
from microgesture.layers.batch import PoseBatch
from microgesture.layers.heatmaps import limb_heatmaps
from microgesture.layers.official import Keys, load_official
from microgesture.layers.resnet3d import SlowOnly
from microgesture.systems.posec3d import PoseC3D, official_keys
from microgesture.testing import check_system

SMALL = {"width": 4, "blocks": (1, 1, 1), "size": 12, "train_size": 12, "area": 1, "dropout": 0}

Loaded = tuple[Golden, PoseC3D, Keys]


@pytest.fixture(params=["posec3d_slowonly", "posec3d_slowonly_mm2strides"])
def loaded(request: pytest.FixtureRequest) -> Loaded:
    golden = Golden(request.param)
    made = golden.meta["backbone_kwargs"]
    model = PoseC3D(
        SKELETONS[{17: "coco17", 22: "imigue22"}[made["in_channels"]]],
        numbered(golden.meta["head_kwargs"]["num_classes"]),
        8,
        1,
        width=made["base_channels"],
        blocks=made["stage_blocks"],
        temporal_strides=made["temporal_strides"],
    )
    keys = official_keys(model)
    load_official(model, golden.state, keys)
    return golden, model.eval(), keys


def logits(model: PoseC3D, volume: Tensor) -> Tensor:
    return model.classifier(model.features(volume))


def test_features_logits_and_loss(loaded: Loaded) -> None:
    golden, model, _ = loaded
    golden.close(model.backbone(golden.inputs["x"]), "feat")
    out = logits(model, golden.inputs["x"])
    golden.close(out, "logits")
    batch = PoseBatch(torch.empty(0), torch.empty(0), label=golden.inputs["label"])
    assert model.losses(out, batch)["class"].item() == pytest.approx(golden.outputs["loss_ce"].item(), abs=1e-5)


def test_every_stage(loaded: Loaded) -> None:
    golden, model, _ = loaded
    stages = [name for name in golden.outputs if name.startswith("stage/")]
    assert len(stages) == 5
    x = model.backbone.conv1(golden.inputs["x"]).relu()
    golden.close(x[:1, :, :3], "stage/conv1")
    x = model.backbone.stem(golden.inputs["x"])
    golden.close(x[:1, :, :3], "stage/maxpool")
    for i, stage in enumerate(model.backbone.stages):
        x = stage(x)
        golden.close(x[:1, :, :3], f"stage/layer{i + 1}")


def test_training_mode(loaded: Loaded) -> None:
    golden, model, _ = loaded
    model.train()
    golden.close(logits(model, golden.inputs["x"]), "logits_train_bn_no_dropout")


def test_gradients(loaded: Loaded) -> None:
    golden, model, keys = loaded
    logits(model, golden.inputs["x"]).sum().backward()
    names = [name for name in golden.outputs if name.startswith("grad_norm/")]
    assert names
    for name in names:
        ours = official_gradient(model, keys, golden.state, name.removeprefix("grad_norm/")).norm().item()
        assert ours == pytest.approx(golden.outputs[name].item(), rel=0.01)


def test_every_official_tensor_is_used_once(loaded: Loaded) -> None:
    golden, model, keys = loaded
    assert sorted(name for names in keys.values() for name in names) == sorted(golden.state)
    assert set(keys) == set(model.state_dict())


def test_checkpoints_of_other_joints_are_refused(loaded: Loaded) -> None:
    golden, model, keys = loaded
    state = golden.state | {"backbone.conv1.conv.weight": torch.zeros(8, 41, 1, 7, 7)}
    with pytest.raises(FormatError, match=r"backbone.conv1.conv.weight has shape \(8, 41, 1, 7, 7\)"):
        load_official(model, state, keys)


@pytest.mark.parametrize("stream", ["joint", "limb"])
def test_contract(stream: str) -> None:
    check_system(PoseC3D, stream=stream, **SMALL)


@pytest.mark.parametrize(("layout", "joints"), [("coco17", 17), ("imigue22", 22), ("openpose18", 18)])
@pytest.mark.parametrize("stream", ["joint", "limb"])
def test_streams_and_layouts(layout: str, joints: int, stream: str) -> None:
    skeleton = SKELETONS[layout]
    model = PoseC3D(skeleton, IMIGUE, 48, 1, stream=stream, width=6, blocks=(1, 2, 1), size=16).eval()
    channels = joints if stream == "joint" else len(skeleton.bones)
    assert model.backbone.conv1.conv.in_channels == channels
    batch = PoseBatch(torch.randn(2, 1, 7, joints, 2), torch.ones(2, 1, 7, joints))
    assert model.volume(batch).shape == (2, channels, 7, 16, 16)
    assert model(batch).shape == (2, 32)


def test_limbs_of_ones_own() -> None:
    limbs = [(0, 1), (4, 7)]
    model = PoseC3D(SKELETONS["imigue22"], IMIGUE, 8, 1, stream="limb", limbs=limbs, width=4, blocks=(1, 1, 1)).eval()
    batch = PoseBatch(torch.randn(1, 1, 3, 22, 2), torch.ones(1, 1, 3, 22))
    assert model.volume(batch).shape[1] == 2
    xy = torch.rand(1, 1, 3, 22, 2) * 16
    drawn = model.volume.draw(xy, batch.score, (16, 16))
    assert torch.equal(drawn, limb_heatmaps(xy, batch.score, limbs, (16, 16)))


def test_limbs_of_a_skeleton_without_bones_are_refused() -> None:
    with pytest.raises(UsageError, match="'dots' has no bones to draw as limbs; choose stream: joint"):
        PoseC3D(Skeleton("dots", ("a", "b"), ()), IMIGUE, 8, 1, stream="limb")


def test_moving_or_scaling_the_body_changes_nothing() -> None:
    torch.manual_seed(0)
    model = PoseC3D(SKELETONS["imigue22"], IMIGUE, 8, 1, width=4, blocks=(1, 1, 1), size=32).eval()
    xy, score = torch.randn(2, 1, 4, 22, 2), torch.ones(2, 1, 4, 22)
    # float32 moves a joint by about 1e-6 of the canvas
    torch.testing.assert_close(model(PoseBatch(xy * 2 + 4, score)), model(PoseBatch(xy, score)), atol=1e-4, rtol=0)


def test_published_sizes() -> None:
    model = PoseC3D(SKELETONS["imigue22"], IMIGUE, 48, 1)
    parameters = sum(p.numel() for p in model.backbone.parameters())
    assert parameters == 2_001_920
    assert sum(p.numel() for p in model.parameters()) - parameters == 512 * 32 + 32
    assert isinstance(model.backbone, SlowOnly)
    assert isinstance(model.dropout, nn.Dropout)
    assert (model.volume.size, model.volume.train_size, model.volume.sigma) == (64, 56, 0.6)


def test_exported_for_any_number_of_clips() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.system = PoseC3D(SKELETONS["imigue22"], IMIGUE, 4, 1, width=4, blocks=(1, 1, 1), size=8).eval()

        def forward(self, xy: Tensor, score: Tensor) -> Tensor:
            return self.system(PoseBatch(xy, score))

    def clips(count: int) -> tuple[Tensor, Tensor]:
        return torch.randn(count, 1, 4, 22, 2), torch.rand(count, 1, 4, 22)

    model, any_number = Plain(), torch.export.Dim("clips", min=2)
    program = torch.export.export(model, clips(3), dynamic_shapes=({0: any_number}, {0: any_number}))
    five = clips(5)
    torch.testing.assert_close(program.module()(*five), model(*five))
