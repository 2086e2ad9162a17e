from __future__ import annotations

import pytest
import torch
from tests.systems.golden import Golden
from torch import nn

from microgesture.core.errors import UsageError
from microgesture.layers.mamba import Direction, MambaBlock, Mixer, drop_path, official_mixer_key, scale_to_depth
from microgesture.layers.official import load_official
from microgesture.layers.scan import Scan


def mixer(both: bool, scan: Scan = "auto", width: int = 12) -> Mixer:
    """In float64, with step sizes and decays of a trained layer rather than of a fresh one."""
    torch.manual_seed(0)
    made = Mixer(width, state=5, both=both, scan=scan).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.4)
    return made


@pytest.fixture(params=["loop", "chunk", "assoc"])
def form(request: pytest.FixtureRequest) -> Scan:
    return request.param


@pytest.mark.parametrize("name", ["mamba_mixer_uni", "mamba_mixer_bi"])
def test_reference_mixer(name: str, form: Scan) -> None:
    golden = Golden(name)
    args = golden.meta["args"]
    ours = Mixer(
        args["d_model"],
        state=args["d_state"],
        kernel=args["d_conv"],
        expand=args["expand"],
        both=args["bimamba"],
        scan=form,
    )
    keys = {key: (official_mixer_key(key),) for key in ours.state_dict()}
    load_official(ours, golden.state, keys)
    out = ours(golden.inputs["x"])
    golden.close(out, "out")
    out.square().sum().backward()
    norms = [key for key in golden.outputs if key.startswith("grad_norm/")]
    assert len(norms) >= 3
    for key in norms:
        own = next(k for k, (official,) in keys.items() if official == key.removeprefix("grad_norm/"))
        gradient = ours.get_parameter(own).grad
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(golden.outputs[key].item(), rel=1e-4)


def test_reference_steps() -> None:
    golden = Golden("mamba_mixer_uni")
    ours = Mixer(16, state=8)
    load_official(ours, golden.state, {key: (official_mixer_key(key),) for key in ours.state_dict()})
    cache, out = ours.start(2), []
    for token in golden.inputs["x"].unbind(1):
        y, cache = ours.step(token, cache)
        out.append(y)
    golden.close(torch.stack(out, 1), "step_out")
    golden.close(cache.state, "step_ssm_state")
    # the official cache keeps the newest input twice as long as it needs it: 4 inputs for a kernel of 4
    theirs = golden.outputs["step_conv_state"][..., 1:]
    assert torch.allclose(cache.inputs.transpose(1, 2), theirs, rtol=0, atol=1e-5)


def test_token_by_token_equals_at_once(form: Scan) -> None:
    ours, x = mixer(both=False, scan=form), torch.randn(3, 70, 12, dtype=torch.float64)
    cache, out = ours.start(3), []
    for token in x.unbind(1):
        y, cache = ours.step(token, cache)
        out.append(y)
    assert torch.allclose(torch.stack(out, 1), ours(x), rtol=0, atol=1e-10)


def test_one_way_is_causal_and_both_ways_are_not() -> None:
    x = torch.randn(2, 12, 12, dtype=torch.float64)
    changed = torch.cat((x[:, :7], x[:, 7:] + 1), 1)
    one, two = mixer(both=False), mixer(both=True)
    assert torch.equal(one(x)[:, :7], one(changed)[:, :7])
    assert not torch.allclose(two(x)[:, :7], two(changed)[:, :7])


def test_shared_directions_commute_with_the_flip(form: Scan) -> None:
    ours, x = mixer(both=True, scan=form), torch.randn(2, 13, 12, dtype=torch.float64)
    assert not torch.allclose(ours(x.flip(1)), ours(x).flip(1))
    assert ours.back is not None
    ours.back.load_state_dict(ours.ahead.state_dict())
    assert torch.allclose(ours(x.flip(1)), ours(x).flip(1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("width, parameters", [(192, 281_856), (384, 1_042_944), (576, 2_283_264)])
def test_parameters_of_a_bidirectional_mixer(width: int, parameters: int) -> None:
    assert sum(p.numel() for p in Mixer(width, both=True).parameters()) == parameters


def test_parameters_of_a_mixer_of_one_direction() -> None:
    assert sum(p.numel() for p in Mixer(512).parameters()) == 1_694_720


def test_parameters_follow_the_formula() -> None:
    d, n, k = 40, 7, 3
    e, r = 3 * d, 3
    for both in (False, True):
        ways = 2 if both else 1
        expected = 2 * d * e + d * e + ways * (e * k + e + e * (r + 2 * n) + r * e + e + e * n + e)
        ours = Mixer(d, state=n, kernel=k, expand=3, both=both)
        assert sum(p.numel() for p in ours.parameters()) == expected


def test_fusing_with_nothing_changes_nothing() -> None:
    ours, x = mixer(both=True), torch.randn(2, 9, 12, dtype=torch.float64)
    shapes = []

    def keep(h: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
        shapes.append((tuple(h.shape), tuple(channels.shape)))
        return h

    assert torch.allclose(ours(x, keep), ours(x), rtol=0, atol=1e-12)
    assert shapes == [((2, 9, 24, 5), (2, 9, 24))] * 2


def test_a_fresh_direction_has_steps_of_a_thousandth_to_a_tenth() -> None:
    torch.manual_seed(0)
    fresh = Direction(4096, 16, 4, 8, "auto", "euler")
    steps = nn.functional.softplus(fresh.dt_proj.bias)
    assert steps.min() >= 0.00099
    assert steps.max() <= 0.1001
    assert steps.log().mean().item() == pytest.approx(torch.tensor([1e-3, 1e-1]).log().mean().item(), abs=0.1)
    assert torch.equal(fresh.A_log.exp().round(), torch.arange(1.0, 17).expand(4096, 16))
    assert fresh.dt_proj.weight.abs().max() <= 8**-0.5


def test_block_adds_to_what_comes_in_and_goes_step_by_step() -> None:
    torch.manual_seed(0)
    block = MambaBlock(8).double()
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    assert torch.allclose(block(x) - x, block.mixer(block.norm(x)), rtol=0, atol=1e-12)
    cache = block.mixer.start(2)
    for t in range(9):
        y, cache = block.step(x[:, t], cache)
        assert torch.allclose(y, block(x)[:, t], rtol=0, atol=1e-10)


def test_mixed_precision_keeps_states_in_single() -> None:
    torch.manual_seed(0)
    block = MambaBlock(16, both=True)
    x = torch.randn(2, 30, 16)
    with torch.autocast("cpu", torch.bfloat16):
        y = block(x)
    assert y.dtype == torch.float32
    assert torch.allclose(y, block(x), atol=0.02)


def test_drop_path() -> None:
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 3)
    assert drop_path(x, 0.3, training=False) is x
    assert drop_path(x, 0.0, training=True) is x
    dropped = drop_path(x, 0.3, training=True)
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(x))
    assert sorted(dropped.unique().tolist()) == pytest.approx([0, 1 / 0.7])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)


def test_depth_scales_the_last_projection() -> None:
    blocks = nn.ModuleList(MambaBlock(8) for _ in range(4))
    before = blocks[2].mixer.out_proj.weight.clone()
    scale_to_depth(blocks)
    assert torch.allclose(blocks[2].mixer.out_proj.weight, before / 2)


def test_both_ways_do_not_stream() -> None:
    ours = mixer(both=True)
    with pytest.raises(UsageError, match="cannot go token by token; build it with both=False"):
        ours.step(torch.zeros(1, 12, dtype=torch.float64), ours.start(1))
