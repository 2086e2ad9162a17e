"""RGBPose-Conv3D against PYSKL (golden file rgbposeconv3d), and the contract of a system on clips with pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.systems.golden import Golden, numbered, official_gradient
from torch import Tensor, nn

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import SMG
from microgesture.layers.batch import VideoBatch
from microgesture.layers.official import Keys, load_official
from microgesture.layers.resnet3d import SlowOnly
from microgesture.systems.rgbpose import Features, Output, RGBPoseConv3D, TwoStreams, fused, merge, official_keys
from microgesture.testing.systems import CHECKS, Case

SMALL = {"rgb_width": 4, "pose_width": 4, "rgb_blocks": (1, 1, 1, 1), "pose_blocks": (1, 1, 1), "size": 32}
SKELETON = SKELETONS["imigue22"]

Loaded = tuple[Golden, RGBPoseConv3D, Keys]


@pytest.fixture
def loaded() -> Loaded:
    golden = Golden("rgbposeconv3d")
    model = RGBPoseConv3D(SKELETONS["coco17"], numbered(5), 8, 1, rgb_width=4, pose_width=2)
    keys = official_keys(model)
    load_official(model, golden.state, keys)
    return golden, model.eval(), keys


def outputs(golden: Golden, model: RGBPoseConv3D) -> tuple[Features, Output]:
    features = model.backbone(golden.inputs["imgs"], golden.inputs["heatmap_imgs"])
    return features, model.classify(features)


def video(clips: int = 3, pictures: int = 2, persons: int = 1, seed: int = 0) -> VideoBatch:
    """Bodies about 40 pixels wide in the middle of pictures of 96 x 72 pixels of noise."""
    make = torch.Generator().manual_seed(seed)
    shape = (clips, persons, 4 * pictures, len(SKELETON))
    return VideoBatch(
        torch.randn(*shape, 2, generator=make),
        torch.rand(shape, generator=make) * 0.5 + 0.5,
        torch.arange(clips) % len(SMG),
        rgb=torch.randint(0, 256, (clips, pictures, 72, 96, 3), generator=make, dtype=torch.uint8),
        origin=torch.tensor([48.0, 36.0]).expand(clips, persons, 2),
        scale=torch.full((clips, persons), 10.0),
    )


def small(**more: object) -> RGBPoseConv3D:
    torch.manual_seed(0)
    options = {**SMALL, "train_size": 32, "area": 1, "dropout": 0, **more}
    return RGBPoseConv3D(SKELETON, SMG, 8, 1, **options)


def test_features_logits_and_losses(loaded: Loaded) -> None:
    golden, model, _ = loaded
    features, out = outputs(golden, model)
    golden.close(features.rgb, "feat_rgb")
    golden.close(features.pose, "feat_pose")
    golden.close(out.rgb, "logits_rgb")
    golden.close(out.pose, "logits_pose")
    golden.close(out.logits.softmax(1), "prob_mean")
    losses = model.losses(out, replace(video(2), label=golden.inputs["label"]))
    for name in ("rgb", "pose"):
        assert losses[name].item() == pytest.approx(golden.outputs[f"loss_ce_{name}"].item(), abs=1e-5)


def test_every_stage_and_lateral(loaded: Loaded) -> None:
    golden, model, _ = loaded
    seen: dict[str, Tensor] = {}
    backbone = model.backbone
    parts = {"rgb_path.maxpool": backbone.rgb.pool, "pose_path.maxpool": backbone.pose.pool}
    parts |= {f"rgb_path.layer{i + 1}": stage for i, stage in enumerate(backbone.rgb.stages)}
    parts |= {f"pose_path.layer{i + 1}": stage for i, stage in enumerate(backbone.pose.stages)}
    parts |= {f"rgb_path.layer{i + 2}_lateral": lateral for i, lateral in enumerate(backbone.to_rgb)}
    parts |= {f"pose_path.layer{i + 1}_lateral": lateral for i, lateral in enumerate(backbone.to_pose)}
    for name, part in parts.items():
        part.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y[:1, :, :2]}))
    outputs(golden, model)
    names = {name.removeprefix("stage/") for name in golden.outputs if name.startswith("stage/")}
    assert names - set(seen) == {"rgb_path.conv1", "pose_path.conv1"}
    for name in names & set(seen):
        golden.close(seen[name], f"stage/{name}")
    for stream, x in (("rgb", golden.inputs["imgs"]), ("pose", golden.inputs["heatmap_imgs"])):
        stem = getattr(backbone, stream).conv1(x).relu()
        golden.close(stem[:1, :, :2], f"stage/{stream}_path.conv1")


def test_gradients(loaded: Loaded) -> None:
    golden, model, keys = loaded
    _, out = outputs(golden, model)
    (out.rgb.sum() + out.pose.sum()).backward()
    names = [name for name in golden.outputs if name.startswith("grad_norm/")]
    assert names
    for name in names:
        ours = official_gradient(model, keys, golden.state, name.removeprefix("grad_norm/")).norm().item()
        assert ours == pytest.approx(golden.outputs[name].item(), rel=0.01), name


def test_every_official_tensor_is_used_once(loaded: Loaded) -> None:
    golden, model, keys = loaded
    assert sorted(name for names in keys.values() for name in names) == sorted(golden.state)
    assert set(keys) == set(model.state_dict())


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_as_measured() -> None:
    """Measured on PCAN's code for 28 joints; each path owns the laterals that lead into it."""
    backbone = TwoStreams(28)
    assert [count(lateral) for lateral in backbone.to_rgb] == [114_688, 458_752]
    assert [count(lateral) for lateral in backbone.to_pose] == [114_752, 458_880]
    assert count(backbone.rgb) + count(backbone.to_rgb) == 33_354_816
    assert count(backbone.pose) + count(backbone.to_pose) == 2_656_640
    assert count(backbone) == 36_011_456


def test_shapes_of_the_published_network() -> None:
    backbone = TwoStreams(28).to("meta")
    out = backbone(torch.empty(1, 3, 8, 224, 224, device="meta"), torch.empty(1, 28, 32, 56, 56, device="meta"))
    assert out.rgb.shape == (1, 2048, 8, 7, 7)
    assert out.pose.shape == (1, 512, 32, 7, 7)
    assert backbone.rgb.stages[2][0].conv1.conv.in_channels == 640
    assert backbone.rgb.stages[3][0].conv1.conv.in_channels == 1280
    assert backbone.pose.stages[1][0].conv1.conv.in_channels == 160
    assert backbone.pose.stages[2][0].conv1.conv.in_channels == 320


def alone(joints: int) -> tuple[SlowOnly, SlowOnly]:
    rgb = SlowOnly(
        3,
        4,
        (1, 2, 1, 1),
        inflated=(False, False, True, True),
        spatial_strides=(1, 2, 2, 2),
        temporal_strides=(1, 1, 1, 1),
        stem_stride=2,
    )
    return rgb, SlowOnly(joints, 4, (1, 1, 2), temporal_strides=(1, 1, 1))


def test_merged_streams_answer_as_they_did_alone() -> None:
    torch.manual_seed(0)
    rgb, pose = alone(9)
    for network in (rgb, pose):
        for parameter in network.parameters():
            nn.init.uniform_(parameter, -0.2, 0.3)
    both = TwoStreams(9, 4, 4, (1, 2, 1, 1), (1, 1, 2))
    merge(both, rgb.state_dict(), pose.state_dict())
    pictures, maps = torch.rand(2, 3, 2, 32, 32), torch.rand(2, 9, 8, 8, 8)
    for network in (rgb, pose, both):
        network.eval()
    out = both(pictures, maps)
    torch.testing.assert_close(out.rgb, rgb(pictures), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out.pose, pose(maps), atol=1e-5, rtol=1e-5)


def test_networks_that_do_not_fit_are_refused() -> None:
    rgb, pose = alone(7)
    both = TwoStreams(9, 4, 4, (1, 2, 1, 1), (1, 1, 2))
    words = r"pose network does not fit: conv1.conv.weight is of shape \(4, 7, 1, 7, 7\), expected \(4, 9, 1, 7, 7\)"
    with pytest.raises(UsageError, match=words):
        merge(both, rgb.state_dict(), pose.state_dict())
    with pytest.raises(UsageError, match=r"the rgb network does not fit: conv1.conv.weight is missing, expected"):
        merge(both, {}, pose.state_dict())


def test_fusion_is_the_mean_of_probabilities() -> None:
    rgb, pose = torch.randn(4, 6), torch.randn(4, 6)
    mean = (2 * rgb.softmax(1) + pose.softmax(1)) / 3
    torch.testing.assert_close(fused(rgb, pose, 2 / 3).exp(), mean)
    torch.testing.assert_close(fused(rgb, pose).softmax(1), (rgb.softmax(1) + pose.softmax(1)) / 2)


def test_pictures_and_heatmaps_show_the_same_place() -> None:
    """A bright spot at a joint lies in the crop where the heatmap has its peak, four pixels to one."""
    clip = video(1)
    x, y = (int(v) for v in clip.pixels()[0, 0, 0, 5])
    clip.rgb[:] = 0
    clip.rgb[0, 0, y - 1 : y + 2, x - 1 : x + 2] = 255
    rgb, maps = small(size=64).eval().inputs(clip)
    assert rgb.shape == (1, 3, 2, 64, 64)
    assert maps.shape == (1, 22, 8, 16, 16)
    bright = (rgb[0, 0, 0] == rgb[0, 0, 0].max()).nonzero().float().mean(0) / 4
    peak = maps[0, 5, 0].flatten().argmax()
    place = torch.tensor([peak // 16, peak % 16])
    assert (bright - place).abs().max() <= 1.0


def test_pictures_are_normalised_as_imagenet() -> None:
    clip = video(1)
    clip.rgb[:] = torch.tensor([124, 116, 104], dtype=torch.uint8)
    clip = replace(clip, scale=clip.scale * 0.2)  # the box lies within the picture
    rgb, _ = small().eval().inputs(clip)
    assert rgb.abs().max() < 0.01


def test_random_part_in_training_only() -> None:
    model, clip = small(area=0.56), video()
    assert torch.equal(model.eval().inputs(clip).rgb, model.inputs(clip).rgb)
    model.train()
    assert not torch.equal(model.inputs(clip).rgb, model.inputs(clip).rgb)


def test_losses_weigh_clips_and_take_soft_targets() -> None:
    model, clip = small().eval(), video()
    out = model(clip)
    weighted = model.losses(out, replace(clip, weight=torch.tensor([1.0, 0.0, 0.0])))
    first = model.losses(Output(*(x[:1] for x in out)), replace(clip, label=clip.label[:1]))
    soft = model.losses(out, replace(clip, label=None, soft=nn.functional.one_hot(clip.label, len(SMG)).float()))
    for name, loss in model.losses(out, clip).items():
        torch.testing.assert_close(weighted[name], first[name])
        torch.testing.assert_close(soft[name], loss)


def test_other_ratios_of_poses_to_pictures_are_refused() -> None:
    clip = video()
    with pytest.raises(UsageError, match="the batch has 8 poses and 1 pictures per clip; this system reads 4"):
        small()(replace(clip, rgb=clip.rgb[:, :1]))


def test_clips_without_pictures_are_refused() -> None:
    clip = video()
    with pytest.raises(FormatError, match="clips of 0 pictures of 96 x 72 pixels hold nothing"):
        small()(replace(clip, rgb=clip.rgb[:, :0]))


class VideoCase(Case):
    """The contract's clips, with pictures; logits are the first of three."""

    def clips(self, count: int = 4, persons: int | None = None, frames: int | None = None, seed: int = 1) -> VideoBatch:
        return video(count, (frames or self.frames[0]) // 4, persons or 1, seed)


# what is left out builds a batch of poses alone, or asks the model for nothing but logits
APPLICABLE = [
    "described",
    "constructor",
    "shapes",
    "same_seed_same_system",
    "repeatable",
    "eval_leaves_no_trace",
    "missing_joints",
    "nothing_seen",
    "standing_still",
    "not_finite",
    "nobody",
    "gradients",
    "mixed_precision",
    "save_and_load",
]


@pytest.mark.parametrize("check", APPLICABLE)
def test_contract(check: str) -> None:
    arguments = {**SMALL, "train_size": 32, "area": 1, "dropout": 0}
    CHECKS[check](VideoCase(RGBPoseConv3D, SKELETON, SMG, (8, 12), (1, 2), arguments))


def test_alone_or_together_and_an_empty_second_person() -> None:
    model, clip = small().eval(), video()
    out = model(clip)
    names = ("xy", "score", "rgb", "origin", "scale", "label")
    parts = [replace(clip, **{n: getattr(clip, n)[i : i + 1] for n in names}) for i in range(3)]
    torch.testing.assert_close(torch.cat([model(part).logits for part in parts]), out.logits, atol=1e-4, rtol=0)
    empty = {n: torch.cat((getattr(clip, n), 0 * getattr(clip, n)), 1) for n in ("xy", "score", "origin", "scale")}
    torch.testing.assert_close(model(replace(clip, **empty)).logits, out.logits, atol=1e-4, rtol=0)


def test_learns_by_heart() -> None:
    model, clip = small().train(), video(6)
    descent = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        descent.zero_grad()
        sum(model.losses(model(clip), clip).values()).backward()
        descent.step()
    assert torch.equal(model(clip).logits.argmax(1), clip.label)
