"""TSM, and the contract of a system on clips with pictures. Its parts are held against MANet's in test_manet.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.systems.golden import numbered

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import MA52, SMG
from microgesture.layers.batch import PoseBatch, VideoBatch
from microgesture.layers.official import load_official
from microgesture.systems.tsm import TSM, official_keys
from microgesture.testing.systems import CHECKS, Case

SKELETON = SKELETONS["ma52_28"]
# without what is random in training
STILL: dict[str, Any] = {"size": 32, "short": 32, "scales": (1,), "flip": 0, "dropout": 0}
SMALL: dict[str, Any] = {"width": 8, "blocks": (1, 1, 1), **STILL}


def video(count: int = 3, frames: int = 4, seed: int = 0, label: bool = True) -> VideoBatch:
    """Pictures of noise of 40 x 36 pixels, and poses nobody reads."""
    make = torch.Generator().manual_seed(seed)
    shape = (count, 1, 2, len(SKELETON))
    return VideoBatch(
        torch.randn(*shape, 2, generator=make),
        torch.ones(shape),
        torch.arange(count) % len(SMG) if label else None,
        rgb=torch.randint(0, 256, (count, frames, 36, 40, 3), generator=make, dtype=torch.uint8),
        origin=torch.zeros(count, 1, 2),
        scale=torch.ones(count, 1),
    )


def small(**more: Any) -> TSM:
    torch.manual_seed(0)
    return TSM(SKELETON, SMG, 4, 1, **{**SMALL, **more})


class VideoCase(Case):
    """The contract's clips, with pictures."""

    def clips(self, count: int = 4, persons: int | None = None, frames: int | None = None, seed: int = 1) -> VideoBatch:
        return video(count, frames or self.frames[0], seed)


# what is left out builds a batch of poses alone, or is about joints and persons, which are not read
APPLICABLE = [
    "described",
    "constructor",
    "shapes",
    "one_frame",
    "same_seed_same_system",
    "repeatable",
    "eval_leaves_no_trace",
    "gradients",
    "mixed_precision",
    "save_and_load",
]


@pytest.mark.parametrize("check", APPLICABLE)
def test_contract(check: str) -> None:
    CHECKS[check](VideoCase(TSM, SKELETON, SMG, (4, 6), (1, 2), SMALL))


def test_parameters_as_published() -> None:
    with torch.device("meta"):
        model = TSM(SKELETON, MA52, 8, 1)
    assert sum(p.numel() for p in model.parameters()) == 23_614_580
    assert sum(p.numel() for p in model.backbone.parameters()) == 23_508_032


def test_alone_or_together() -> None:
    model, clips = small().eval(), video()
    names = ("xy", "score", "rgb", "origin", "scale", "label")
    alone = [model(replace(clips, **{n: getattr(clips, n)[i : i + 1] for n in names})) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), model(clips), atol=1e-6, rtol=1e-4)


def test_losses_weigh_clips_and_take_soft_targets() -> None:
    model, clips = small().eval(), video()
    out = model(clips)
    half = model.losses(out, replace(clips, weight=torch.tensor([1.0, 0, 0])))["class"]
    torch.testing.assert_close(half, torch.nn.functional.cross_entropy(out[:1], clips.label[:1]))
    soft = torch.nn.functional.one_hot(clips.label, len(SMG)).float()
    torch.testing.assert_close(
        model.losses(out, replace(clips, label=None, soft=soft))["class"], model.losses(out, clips)["class"]
    )


def test_other_sizes_and_lengths() -> None:
    assert small(size=48, short=56, width=12, blocks=(1, 2), share=4).eval()(video(2, 7)).shape == (2, len(SMG))


def test_the_order_of_pictures_counts() -> None:
    """A bag of pictures has none; the shift makes one."""
    model, clips = small().eval(), video(1, 8)
    with torch.no_grad():
        torch.nn.init.normal_(model.classifier.weight)
        turned = replace(clips, rgb=clips.rgb.flip(1))
        assert (model(clips) - model(turned)).abs().max() > 1e-3
        bag = small(share=10_000).eval()
        bag.load_state_dict(model.state_dict())
        torch.testing.assert_close(bag(clips), bag(turned), atol=1e-4, rtol=1e-4)


def dots(count: int, make: torch.Generator) -> VideoBatch:
    """A bright square on grey that moves left or right along a random row; the mean over time tells neither."""
    batch = video(count, 8)
    label = torch.randint(2, (count,), generator=make)
    rgb = torch.full((count, 8, 32, 32, 3), 110.0)
    for clip, row in enumerate(torch.randint(0, 28, (count,), generator=make).tolist()):
        for t in range(8):
            x = 4 * (t if label[clip] else 7 - t)
            rgb[clip, t, row : row + 4, x : x + 4] = 255
    return replace(batch, rgb=rgb, label=label)


def test_direction_of_a_moving_square_is_learnt() -> None:
    torch.manual_seed(0)
    model = TSM(SKELETON, numbered(2), 8, 1, **{**SMALL, "blocks": (1, 1)})
    make = torch.Generator().manual_seed(3)
    descent = torch.optim.Adam(model.parameters(), lr=3e-3)
    best = 0.0
    for step in range(1, 151):
        clips = dots(16, make)
        descent.zero_grad()
        model.losses(model(clips), clips)["class"].backward()
        descent.step()
        if step % 25 == 0:
            clips = dots(128, make)
            with torch.no_grad():
                best = max(best, float((model.eval()(clips).argmax(1) == clips.label).float().mean()))
            model.train()
            if best > 0.95:
                break
    assert best > 0.95


def test_the_classifier_learns_fastest() -> None:
    model = small()
    found = {id(p): (g["rate"], g["decay"]) for g in model.parameter_groups() for p in g["params"]}
    named = {name: found[id(p)] for name, p in model.named_parameters()}
    assert (named.pop("classifier.weight"), named.pop("classifier.bias")) == ((5, 1), (10, 0))
    assert named == {name: (1, 1 if name.endswith("conv.weight") else 0) for name in named}


def test_poses_alone_are_refused() -> None:
    with pytest.raises(UsageError, match="this system reads pictures, the batch holds poses alone"):
        small()(PoseBatch(torch.zeros(1, 1, 4, 28, 2), torch.ones(1, 1, 4, 28)))


def test_official_keys_are_those_of_mmaction() -> None:
    model = small()
    keys = official_keys(model)
    assert set(keys) == set(model.state_dict())
    names = {name for (name,) in keys.values()}
    assert len(names) == len(keys)
    assert {
        "backbone.conv1.conv.weight",
        "backbone.layer1.0.conv1.conv.net.weight",
        "backbone.layer1.0.conv1.bn.running_var",
        "backbone.layer3.0.conv2.conv.weight",
        "backbone.layer2.0.downsample.conv.weight",
        "cls_head.fc_cls.bias",
    } <= names
    official = {keys[key][0]: value for key, value in model.state_dict().items()}
    other = small(flip=0.5)
    torch.nn.init.normal_(other.classifier.weight)
    load_official(other, official, keys)
    clips = video()
    assert torch.equal(other.eval()(clips), model.eval()(clips))


def test_weights_to_start_from(tmp_path: Path) -> None:
    from tests.layers.test_resnet import torchvision

    path = tmp_path / "resnet.pth"
    state = torchvision(8, (1, 1, 1))
    torch.save(state, path)
    model = small(weights=str(path))
    assert model.origin == {"weights": "resnet.pth"}
    assert small().origin == {"weights": "from scratch"}
    assert torch.equal(model.backbone.conv1.conv.weight, state["conv1.weight"])
    block = model.backbone.stages[2][0]  # type: ignore[index]
    assert torch.equal(block.conv3.bn.running_mean, state["layer3.0.bn3.running_mean"])
    with pytest.raises(NoInput, match=r"none\.pth: does not exist"):
        small(weights=str(tmp_path / "none.pth"))
    with pytest.raises(
        FormatError, match=r"resnet\.pth: conv1.weight has shape \(8, 3, 7, 7\); expected \(16, 3, 7, 7\)"
    ):
        small(weights=str(path), width=16)
