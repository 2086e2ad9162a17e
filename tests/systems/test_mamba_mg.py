from __future__ import annotations

import time
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.systems.golden import Golden, numbered
from torch import Tensor, nn

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch, VideoBatch
from microgesture.layers.official import load_official
from microgesture.layers.scan import Scan
from microgesture.systems.mamba_mg import (
    DEVIATION,
    MEAN,
    SIZES,
    MambaMG,
    ScaleFusion,
    SkeletonMamba,
    StateFusion,
    fuse_on_grid,
    official_keys,
)
from microgesture.testing import check_system

SKELETON = SKELETONS["openpose18"]
FUSIONS = ("none", "single", "multi")


def video(taxonomy: Taxonomy = SMG, frames: int = 4, seed: int = 0, **arguments: Any) -> MambaMG:
    torch.manual_seed(seed)
    sizes = {"size": 16, "patch": 4, "width": 16, "depth": 2, "state": 4} | arguments
    return MambaMG(SKELETON, taxonomy, frames, 1, **sizes)


def clips(count: int = 2, frames: int = 4, height: int = 16, width: int = 16, seed: int = 1) -> VideoBatch:
    make = torch.Generator().manual_seed(seed)
    return pictures(torch.rand(count, frames, height, width, 3, generator=make) * 255, torch.arange(count))


def pictures(rgb: Tensor, label: Tensor | None = None) -> VideoBatch:
    """Clips with pictures and no joints: the system reads none."""
    none = torch.zeros(len(rgb), 1, 1, 0)
    return VideoBatch(
        none[..., None].expand(-1, -1, -1, -1, 2),
        none,
        label,
        rgb=rgb,
        origin=torch.zeros(len(rgb), 1, 2),
        scale=torch.ones(len(rgb), 1),
    )


def scatter(model: nn.Module, std: float = 0.3) -> nn.Module:
    """Kernels that are no longer the identity."""
    for module in model.modules():
        if isinstance(module, StateFusion):
            with torch.no_grad():
                module.weight += torch.randn_like(module.weight) * std
    return model


# ---- the backbone, against the official VideoMamba


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("videomamba")


def official(golden: Golden, **arguments: Any) -> MambaMG:
    args = golden.meta["args"]
    return video(
        numbered(args["num_classes"]),
        args["num_frames"],
        size=args["img_size"],
        patch=args["patch_size"],
        width=args["embed_dim"],
        depth=args["depth"],
        state=16,
        **arguments,
    )


@pytest.mark.parametrize("scan", ["loop", "chunk", "assoc"])
@pytest.mark.parametrize("recompute", [False, True])
def test_videomamba(golden: Golden, scan: Scan, recompute: bool) -> None:
    model = official(golden, scan=scan, recompute=recompute)
    keys = official_keys(model)
    load_official(model, golden.state, keys)
    model.eval()
    golden.close(model.features(model.tokens(golden.inputs["x"])), "cls_feature")
    logits = model.classifier(model.features(model.tokens(golden.inputs["x"])))
    golden.close(logits, "logits")
    logits.sum().backward()
    norms = [key for key in golden.outputs if key.startswith("grad_norm/")]
    assert len(norms) == 4
    for key in norms:
        own = next(k for k, (name,) in keys.items() if name == key.removeprefix("grad_norm/"))
        gradient = model.get_parameter(own).grad
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(golden.outputs[key].item(), rel=1e-3)


def test_every_official_tensor_is_used_once(golden: Golden) -> None:
    model = official(golden)
    keys = official_keys(model)
    assert sorted(name for names in keys.values() for name in names) == sorted(golden.state)
    assert set(keys) == set(model.state_dict())


@pytest.mark.parametrize("fusion, cfd", [("single", "central"), ("single", "symmetric"), ("multi", "central")])
def test_weights_of_videomamba_keep_their_answer_with_fusion(golden: Golden, fusion: str, cfd: str) -> None:
    plain = official(golden)
    load_official(plain, golden.state, official_keys(plain))
    fused = official(golden, fusion=fusion, cfd=cfd, head="cls")
    missing, unexpected = fused.load_state_dict(plain.state_dict(), strict=False)
    assert missing
    assert all(key.startswith("trunk.fusions.") for key in missing)
    assert not unexpected
    golden.close(fused.eval().classifier(fused.features(fused.tokens(golden.inputs["x"]))), "logits")


# ---- counts


@pytest.mark.parametrize(
    "size, fusion, classes, parameters",
    [
        ("ti", "none", 1000, 7_151_080),
        ("s", "none", 1000, 25_802_728),
        ("m", "none", 1000, 74_226_664),
        ("ti", "none", 32, 6_964_256),
        ("s", "none", 32, 25_430_048),
        ("m", "none", 32, 73_668_128),
        ("ti", "single", 32, 10_945_568),
        ("s", "single", 32, 33_392_672),
        ("m", "single", 32, 89_593_376),
    ],
)
def test_parameters(size: str, fusion: Any, classes: int, parameters: int) -> None:
    with torch.device("meta"):
        model = MambaMG(SKELETON, numbered(classes), 16, 1, fusion=fusion, **SIZES[size])
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    "width, plain, fused", [(192, 281_856, 447_744), (384, 1_042_944, 1_374_720), (576, 2_283_264, 2_780_928)]
)
def test_parameters_of_a_block(width: int, plain: int, fused: int) -> None:
    for fusion, expected in (("none", plain), ("single", fused)):
        with torch.device("meta"):
            model = MambaMG(SKELETON, SMG, 16, 1, fusion=fusion, width=width, depth=1)
        mixer = model.trunk.blocks[0].mixer
        assert sum(p.numel() for p in (*mixer.parameters(), *model.trunk.fusions.parameters())) == expected


def test_several_scales_come_near_the_published_count() -> None:
    with torch.device("meta"):
        model = MambaMG(SKELETON, SMG, 16, 1, fusion="multi", **SIZES["s"])
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(97.28e6, rel=1e-3)


# ---- state fusion


def test_identity_kernels_change_nothing() -> None:
    plain, single, multi = (video(fusion=fusion, head="gap").double().eval() for fusion in FUSIONS)
    for fused in (single, multi):
        fused.load_state_dict(plain.state_dict(), strict=False)
    batch = clips()
    batch.rgb = batch.rgb.double()
    g = torch.randn(1, 8, 4, 3, 5)
    assert torch.equal(StateFusion(8)(g), g)
    assert torch.equal(StateFusion(8, theta=1.0, dilation=(2, 3))(g), g)
    assert torch.allclose(single(batch), plain(batch), rtol=0, atol=1e-12)
    assert torch.allclose(multi(batch), plain(batch), rtol=0, atol=1e-12)


def test_theta_zero_is_a_depthwise_convolution() -> None:
    torch.manual_seed(0)
    fusion = scatter(StateFusion(6, theta=0.0))
    g = torch.randn(2, 6, 4, 5, 5)
    expected = F.conv3d(F.pad(g, (1,) * 6, mode="replicate"), fusion.weight, groups=6)
    assert torch.equal(fusion(g), expected)


@pytest.mark.parametrize("theta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 3)])
def test_central_difference_is_its_formula(theta: float, dilation: tuple[int, int]) -> None:
    torch.manual_seed(0)
    fusion = scatter(StateFusion(3, theta=theta, dilation=dilation)).double()
    g = torch.randn(1, 3, 5, 6, 4, dtype=torch.float64)
    edge = (dilation[1],) * 4 + (dilation[0],) * 2
    padded = F.pad(g, edge, mode="replicate")
    expected = torch.zeros_like(g)
    for t in range(3):
        for y in range(3):
            for x in range(3):
                here = padded[:, :, t * dilation[0] :, y * dilation[1] :, x * dilation[1] :][:, :, :5, :6, :4]
                w = fusion.weight[:, 0, t, y, x].view(1, 3, 1, 1, 1)
                expected += w * here if t == 1 else w * ((1 - theta) * here + theta * (here - g))
    assert torch.allclose(fusion(g), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_kernel_along_time_alone(dilation: int) -> None:
    torch.manual_seed(0)
    flat = scatter(StateFusion(4, kernel=(3, 1, 1), dilation=(dilation, 1), theta=0.3))
    cube = StateFusion(4, dilation=(dilation, 1), theta=0.3)
    with torch.no_grad():
        cube.weight.zero_()
        cube.weight[..., 1:2, 1:2] = flat.weight
    g = torch.randn(2, 4, 5, 3, 2)
    assert torch.allclose(flat(g), cube(g), atol=1e-6)


def test_constant_states_have_no_difference() -> None:
    torch.manual_seed(0)
    fusion = scatter(StateFusion(16, theta=1.0))
    with torch.no_grad():
        fusion.weight[:, :, 1] = 0
    g = torch.randn(2, 16, 1, 1, 1).expand(-1, -1, 4, 5, 5)
    assert fusion(g).abs().max() <= 2e-6


def test_difference_of_a_still_clip_is_zero_and_a_moving_dot_is_not() -> None:
    torch.manual_seed(0)
    fusion = scatter(StateFusion(4, theta=1.0))
    with torch.no_grad():
        fusion.weight[:, :, 1] = 0
        fusion.weight[:, :, [0, 2], :, :] *= torch.tensor([0.0, 1, 0])  # one place, its neighbours in time
        fusion.weight *= torch.tensor([0.0, 1, 0]).view(3, 1)
    still = torch.randn(1, 4, 1, 6, 6).expand(-1, -1, 5, -1, -1)
    assert fusion(still).abs().max() <= 2e-6
    dot = torch.zeros(1, 4, 5, 6, 6)
    for t in range(5):
        dot[:, :, t, 2, t] = 1
    assert fusion(dot).abs().max() > 0.05
    assert not torch.allclose(fusion(dot), fusion(dot.roll(1, 2)))


def test_symmetric_difference() -> None:
    torch.manual_seed(0)
    fusion = StateFusion(2, cfd="symmetric")
    g = torch.randn(1, 2, 5, 3, 3)
    assert torch.equal(fusion(g), g)
    with torch.no_grad():
        fusion.beta.fill_(0.5)  # type: ignore[union-attr]
    expected = g.clone()
    expected[:, :, 1:-1] += 0.5 * (g[:, :, 2:] - g[:, :, :-2])
    expected[:, :, 0] += 0.5 * (g[:, :, 1] - g[:, :, 0])
    expected[:, :, -1] += 0.5 * (g[:, :, -1] - g[:, :, -2])
    assert torch.allclose(fusion(g), expected, atol=1e-6)


def test_learned_theta_starts_where_it_is_told() -> None:
    fixed, learned = StateFusion(3, theta=0.3), StateFusion(3, theta=0.3, learn_theta=True)
    weight = torch.randn_like(fixed.weight)
    for fusion in (fixed, learned):
        fusion.weight.data.copy_(weight)
    assert torch.allclose(fixed.kernel(), learned.kernel(), atol=1e-6)
    learned.kernel().square().sum().backward()
    assert learned.theta_logit is not None
    assert learned.theta_logit.grad
    assert sum(p.numel() for p in learned.parameters()) == 3 * 27 + 1


def test_scales_are_weighted_by_the_clip() -> None:
    torch.manual_seed(0)
    fusion = scatter(ScaleFusion(6, 12, dilations=[(1, 1), (2, 2)]))
    g, pooled = torch.randn(2, 12, 4, 3, 3), torch.randn(2, 6)
    branches = [branch(g) for branch in fusion.branches]
    assert torch.allclose(fusion(g, pooled), (branches[0] + branches[1]) / 2, atol=1e-6)
    with torch.no_grad():
        fusion.weigh.weight.normal_()
        fusion.weigh.bias.copy_(torch.tensor([0.0, 100.0]))
    assert torch.allclose(fusion(g, pooled), branches[1], atol=1e-5)


def test_the_class_token_is_not_fused_and_places_are_right() -> None:
    h, x = torch.randn(2, 1 + 4 * 2 * 3, 5, 2), torch.randn(2, 25, 5)
    shift = StateFusion(10, theta=0.0)
    with torch.no_grad():
        shift.weight.zero_()
        shift.weight[:, 0, 0, 1, 1] = 1  # the frame before
    fused = fuse_on_grid(h, x, fusion=shift, grid=(4, 2, 3))
    assert torch.equal(fused[:, 0], h[:, 0])
    assert torch.equal(fused[:, 1:7], h[:, 1:7])
    assert torch.equal(fused[:, 7:], h[:, 1:19])


def test_pictures_are_normalised() -> None:
    x = video().pixels(
        pictures(torch.tensor([0, 255], dtype=torch.uint8).view(1, 2, 1, 1, 1).expand(1, 2, 4, 4, 3), None)
    )
    assert x.shape == (1, 3, 2, 4, 4)
    assert x[0, :, 0, 0, 0].tolist() == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rel=1e-5)
    assert x[0, :, 1, 0, 0].tolist() == pytest.approx([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225], rel=1e-5)


def test_pictures_that_hold_nothing_or_no_number_are_refused() -> None:
    with pytest.raises(FormatError, match=r"clips of 0 pictures of 16 x 16 pixels hold nothing\. Leave such clips out"):
        video()(clips(frames=0))
    batch = clips()
    batch.rgb[1, 2, 3, 4, 0] = torch.nan
    with pytest.raises(FormatError, match=r"clip 1: pixels are not finite"):
        video()(batch)


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match=r"theta is 1.5; it lies in 0..1"):
        StateFusion(2, theta=1.5)
    with pytest.raises(UsageError, match=r"theta is 1.0; .* strictly inside where it is learned"):
        StateFusion(2, theta=1.0, learn_theta=True)
    with pytest.raises(UsageError, match="cfd is 'next'; there are central and symmetric"):
        StateFusion(2, cfd="next")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="fusion is 'both'; there are none, single and multi"):
        video(fusion="both")
    with pytest.raises(UsageError, match="size 30 is no multiple of the patch, 4"):
        video(size=30)
    with pytest.raises(UsageError, match="head is 'max'; there are auto, cls and gap"):
        video(head="max")
    with pytest.raises(UsageError, match=r"frames of \[16, 18\] pixels are not made of patches of 4 per side"):
        video()(clips(width=18))
    with pytest.raises(UsageError, match="tokens is 'part'; there are frame and joint"):
        SkeletonMamba(SKELETON, SMG, 16, 1, tokens="part")  # type: ignore[arg-type]


# ---- the whole system on pixels


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize("taxonomy", [SMG, IMIGUE])
def test_other_lengths_and_sizes(fusion: str, difference: bool, taxonomy: Taxonomy) -> None:
    model = video(taxonomy, fusion=fusion, difference=difference).eval()
    for frames, height, width in ((4, 16, 16), (1, 16, 16), (7, 16, 16), (4, 12, 24)):
        logits = model(clips(2, frames, height, width))
        assert logits.shape == (2, len(taxonomy))
        assert torch.isfinite(logits).all()


def test_embeddings_of_another_size_are_interpolated() -> None:
    model = video()
    with torch.no_grad():
        model.place.fill_(0.5)
        model.time.copy_(torch.arange(4.0)[None, :, None].expand(1, 4, 16))
        model.embed.weight.zero_()
        model.embed.bias.zero_()
    tokens, grid = model.tokens(torch.zeros(1, 3, 8, 8, 12))
    assert grid == (8, 2, 3)
    frames = tokens[0, 1:, 0].view(8, 6)
    assert torch.allclose(frames, frames[:, :1].expand_as(frames), atol=1e-6)
    assert torch.allclose(frames[:, 0] - 0.5, torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]), atol=1e-6)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_reach_everything(fusion: str) -> None:
    # what the class token reads in the last block has no past, so that its decay forwards would have no gradient
    model = scatter(video(fusion=fusion, learn_theta=fusion == "single", head="gap")).train()
    batch = clips(4)
    descent = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        descent.zero_grad()
        model.losses(model(batch), batch)["class"].backward()
        descent.step()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("fusion", ["none", "single"])
def test_computing_again_changes_no_gradient(fusion: str) -> None:
    gradients = []
    for recompute in (False, True):
        model = scatter(video(fusion=fusion, recompute=recompute, drop_path=0.3)).double().train()
        torch.manual_seed(5)  # the same clips are dropped
        batch = clips()
        batch.rgb = batch.rgb.double()
        model.losses(model(batch), batch)["class"].backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_mixed_precision(fusion: str) -> None:
    model, batch = scatter(video(fusion=fusion), 0.1).train(), clips()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.losses(model(batch), batch)["class"]
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = model.eval()(batch)
    assert torch.allclose(rough.float(), model(batch), atol=0.05)


def test_an_exported_graph_gives_the_same_answer() -> None:
    torch.manual_seed(0)
    model = SkeletonMamba(SKELETON, SMG, 16, 1, width=16, depth=2, fusion="single").eval()

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, xy: Tensor, score: Tensor) -> Tensor:
            return self.model(PoseBatch(xy, score))  # type: ignore[no-any-return]

    clip = torch.randn(2, 1, 16, 18, 2), torch.rand(2, 1, 16, 18)
    with torch.no_grad():
        exported = torch.export.export(Whole(), clip).module()
        assert torch.allclose(exported(*clip), model(PoseBatch(*clip)), atol=1e-5)


def test_difference_shows_the_next_frame() -> None:
    batch = clips()
    x = video(difference=True).pixels(batch)
    assert x.shape == (2, 6, 4, 16, 16)
    deviation = 255 * torch.tensor([0.229, 0.224, 0.225])
    expected = ((batch.rgb[:, 1:] - batch.rgb[:, :-1]).abs() / deviation).movedim(-1, 1)
    assert torch.allclose(x[:, 3:, :-1], expected, atol=1e-5)
    assert not x[:, 3:, -1].any()


def test_time_grows_with_the_number_of_frames() -> None:
    model = video(width=32, size=32, patch=4, drop_path=0.0).eval()

    def seconds(frames: int) -> float:
        batch = clips(1, frames, 32, 32)
        best = float("inf")
        with torch.no_grad():
            for _ in range(5):
                start = time.process_time()
                model(batch)
                best = min(best, time.process_time() - start)
        return best

    seconds(8)
    assert seconds(16) / seconds(8) < 2.6


def dots(count: int, make: torch.Generator) -> VideoBatch:
    """8 frames of 8 x 8: a bright pixel on the mean colour runs left or right along a random row.

    The mean over time is the same for both.
    """
    rgb = torch.zeros(count, 8, 8, 8, 3)
    label = torch.randint(2, (count,), generator=make)
    row = torch.randint(8, (count,), generator=make)
    for t in range(8):
        rgb[torch.arange(count), t, row, torch.where(label == 1, t, 7 - t)] = 1
    return pictures(torch.tensor(MEAN) + torch.tensor(DEVIATION) * rgb, label)  # 0 and 1 to the network


def toy(steps: int, model: nn.Module, see: Any) -> float:
    """The best top-1 on new clips, looked at every 50 steps of training on fresh ones."""
    make = torch.Generator().manual_seed(3)
    descent = torch.optim.AdamW(model.parameters(), lr=5e-3)
    best = 0.0
    for step in range(1, steps + 1):
        batch = dots(32, make)
        descent.zero_grad()
        F.cross_entropy(model(see(batch)), batch.label).backward()
        descent.step()
        if step % 50 == 0:
            batch = dots(256, make)
            with torch.no_grad():
                best = max(best, float((model(see(batch)).argmax(1) == batch.label).float().mean()))
            if best > 0.95:
                break
    return best


@pytest.mark.parametrize("fusion, theta", [("none", 0.5), ("single", 0.0), ("single", 0.5)])
def test_direction_of_a_moving_dot_is_learnt(fusion: str, theta: float) -> None:
    model = video(numbered(2), 8, size=8, depth=1, fusion=fusion, theta=theta, drop_path=0.0)
    assert toy(300, model, lambda batch: batch) > 0.95


def test_the_mean_frame_does_not_show_the_direction() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    assert toy(300, model, lambda batch: batch.rgb[..., 0].mean(1)) < 0.65


# ---- the skeleton twin


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"both": False, "fusion": "single", "learn_theta": True},
        {"tokens": "joint", "fusion": "multi", "dilations": (1, 2), "depth": 1, "frames": (8, 11)},
    ],
    ids=["plain", "single", "joint-multi"],
)
def test_contract(arguments: dict[str, Any]) -> None:
    check_system(SkeletonMamba, **{"width": 16, "depth": 2, "state": 4, "drop_path": 0.0} | arguments)


def test_frame_by_frame_equals_at_once() -> None:
    torch.manual_seed(0)
    model = SkeletonMamba(SKELETON, SMG, 16, 2, width=16, depth=2, both=False).double()
    nn.init.normal_(model.norm.bn.running_mean)
    model.eval()
    xy, score = torch.randn(3, 2, 16, 18, 2).double(), torch.rand(3, 2, 16, 18).double()
    score[score < 0.2] = 0
    score[0, 1] = 0
    score[1, 0, :5] = 0
    memory = None
    for t in range(16):
        logits, memory = model.step(PoseBatch(xy[:, :, t : t + 1], score[:, :, t : t + 1]), memory)
        whole = model(PoseBatch(xy[:, :, : t + 1], score[:, :, : t + 1]))
        assert torch.allclose(logits, whole, rtol=0, atol=1e-10)


def test_what_cannot_go_frame_by_frame() -> None:
    batch = PoseBatch(torch.zeros(1, 1, 1, 18, 2), torch.ones(1, 1, 1, 18))

    def model(**arguments: Any) -> SkeletonMamba:
        return SkeletonMamba(SKELETON, SMG, 16, 1, width=16, depth=1, **arguments)

    with pytest.raises(UsageError, match="cannot go token by token; build it with both=False"):
        model().eval().step(batch)
    with pytest.raises(UsageError, match="only tokens='frame' with fusion='none' goes frame by frame"):
        model(both=False, fusion="single").eval().step(batch)
    with pytest.raises(UsageError, match=r"frames one by one have no batch statistics: call eval\(\) first"):
        model(both=False).step(batch)
    two = PoseBatch(torch.zeros(1, 1, 2, 18, 2), torch.ones(1, 1, 2, 18))
    with pytest.raises(UsageError, match="a step takes one frame, the batch has 2"):
        model(both=False).eval().step(two)


def test_the_future_changes_nothing_one_way() -> None:
    """The mean over frames aside: features of past frames do not see later ones."""
    torch.manual_seed(0)
    model = SkeletonMamba(SKELETON, SMG, 16, 1, width=16, depth=2, both=False).eval()
    seen: list[Tensor] = []
    model.trunk.register_forward_hook(lambda _, __, y: seen.append(y))
    xy, score = torch.randn(1, 1, 16, 18, 2), torch.ones(1, 1, 16, 18)
    model(PoseBatch(xy, score))
    changed = xy.clone()
    changed[:, :, 9:] += 1
    model(PoseBatch(changed, score))
    assert torch.equal(seen[0][:, :9], seen[1][:, :9])
    assert not torch.equal(seen[0][:, 9:], seen[1][:, 9:])
