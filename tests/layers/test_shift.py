from __future__ import annotations

import pytest
import torch
from tests.systems.golden import Golden
from torch import nn

from microgesture.core.errors import UsageError
from microgesture.layers.shift import TemporalShift, parameter_groups


def test_official_shift() -> None:
    golden = Golden("manet_resnet_tsm_se")
    ours = TemporalShift()(golden.outputs["block0/tsm_in"], 8)
    assert torch.equal(ours, golden.outputs["shift_only_of_tsm_in"])


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_ramp_of_eight_pictures(channels_last: bool) -> None:
    ramp = torch.arange(1.0, 17).view(16, 1, 1, 1).expand(16, 17, 2, 3)  # two clips
    form = torch.channels_last if channels_last else torch.contiguous_format
    y = TemporalShift()(ramp.contiguous(memory_format=form), 8)
    assert y.is_contiguous(memory_format=form)
    expected = torch.arange(1.0, 17).view(2, 8)
    later = torch.cat((expected[:, 1:], torch.zeros(2, 1)), 1).flatten()
    earlier = torch.cat((torch.zeros(2, 1), expected[:, :-1]), 1).flatten()
    for channel in range(17):
        part = (later, later, earlier, earlier)[channel] if channel < 4 else expected.flatten()
        assert torch.equal(y[:, channel], part.view(16, 1, 1).expand(16, 2, 3)), channel


def test_a_clip_that_stands_still_loses_an_eighth_at_each_end() -> None:
    x = torch.rand(1, 32, 2, 2).expand(8, 32, 2, 2) + 1
    y = TemporalShift()(x, 8)
    assert not y[-1, :4].any()
    assert not y[0, 4:8].any()
    changed = (y != x).flatten(2).any(-1)
    assert changed.sum() == 8
    assert torch.equal(y[1:-1], x[1:-1])


def test_shares_and_short_clips() -> None:
    x = torch.rand(3, 8, 1, 1)
    assert torch.equal(TemporalShift(share=9)(x, 3), x)
    y = TemporalShift(share=2)(x, 1)  # nothing beside a single picture
    assert not y.any()


def test_gradients_go_where_the_values_came_from() -> None:
    x = torch.rand(8, 16, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: TemporalShift()(x, 4), x)


@pytest.mark.parametrize("frames", [3, 0])
def test_pictures_that_make_no_whole_clips(frames: int) -> None:
    with pytest.raises(UsageError, match=f"16 pictures do not make clips of {frames}"):
        TemporalShift()(torch.zeros(16, 8, 1, 1), frames)


def test_every_parameter_is_in_one_group() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2), nn.Linear(2, 2))
    last = model[3]
    assert isinstance(last, nn.Linear)
    groups = parameter_groups(model, last)
    rates = {id(p): (g["rate"], g["decay"]) for g in groups for p in g["params"]}
    assert sum(len(g["params"]) for g in groups) == len(rates) == 8
    named = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert named == {
        "0.weight": (1, 1),
        "0.bias": (2, 0),
        "1.weight": (1, 0),
        "1.bias": (1, 0),
        "2.weight": (1, 1),
        "2.bias": (2, 0),
        "3.weight": (5, 1),
        "3.bias": (10, 0),
    }
