from __future__ import annotations

from itertools import repeat

import pytest
import torch

from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import SMG
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.systems.rocket import PER_KERNEL, Relations, Rocket, ridge
from microgesture.testing import check_system

ARM = Skeleton("arm", ("neck", "shoulder", "elbow", "wrist", "thumb"), ((0, 1), (1, 2), (2, 3), (3, 4)))
TWO = Taxonomy("two", "Two", (Label(0, "slow", "all"), Label(1, "fast", "all")), ("all",))


def test_contract() -> None:
    check_system(Rocket, kernels=40)


def waves(count: int, seed: int) -> PoseBatch:
    """An arm whose thumb waves once or three times, from where it happens to be."""
    draw = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % 2
    time = torch.linspace(0, 6.28, 48)[None] * torch.where(label == 0, 1, 3)[:, None]
    phase = torch.rand(count, 1, generator=draw) * 6.28
    xy = torch.randn(count, 1, 1, 5, 2, generator=draw).repeat(1, 1, 48, 1, 1)
    xy[:, 0, :, 4, 0] += torch.sin(time + phase)
    xy += 0.05 * torch.randn(xy.shape, generator=draw)
    return PoseBatch(xy, torch.ones(count, 1, 48, 5), label)


def test_learns_by_observing_and_reads_the_joint_that_moves() -> None:
    torch.manual_seed(0)
    model = Rocket(ARM, TWO, 48, 1, kernels=40, passes=1)
    said: list[tuple[str, float, float]] = []
    model.observe(repeat([waves(40, 0)]), lambda *now: said.append(now))
    test = waves(60, 1)
    assert (model.eval()(test).argmax(1) == test.label).float().mean() > 0.95
    assert said == [("observing", 1, 2), ("observing", 2, 2)]
    steps, pairs = model.relations.joint.repeat_interleave(2) == 4, (model.relations.pairs == 4).any(0)
    thumb = torch.cat((steps, steps, pairs))
    assert thumb.float().mean() < 0.4
    assert thumb[model.kernels.channel].float().mean() > 0.8


def test_ancestors_end_in_the_origin() -> None:
    relations = Relations(ARM, 2)
    pairs = list(zip(relations.joint.tolist(), relations.ancestor.tolist(), strict=True))
    assert pairs == [
        (0, 5), (1, 0), (1, 5), (2, 1), (2, 0), (2, 5), (3, 2), (3, 1), (3, 0), (4, 3), (4, 2), (4, 1),
    ]  # fmt: skip
    xy = torch.zeros(1, 20, 5, 2)
    xy[0, :, 0] = torch.tensor([3.0, 4.0])
    xy[0, :, 4, 0] = torch.arange(20.0)
    seen = torch.ones(1, 20, 5, dtype=torch.bool)
    seen[0, 5, 4] = False
    x = relations(xy, seen)
    assert x.shape == (1, 20, relations.size)
    assert x[0, 0, :2].tolist() == [3, 4]  # the root as the origin sees it
    assert x[0, 7, 18].item() == 7  # the thumb as the wrist sees it
    assert [x[0, t, 24 + 18].item() for t in (3, 4, 5, 6, 19)] == [1, 0, 0, 1, 0]  # its change; frame 5 is missing
    assert x[0, 5, 48:].tolist()[3] == 0  # the distance of neck and thumb there
    assert x[0, 0, 48].item() == 5  # the distance of neck and shoulder


def test_ridge_of_few_rows_is_ridge_of_many() -> None:
    torch.manual_seed(0)
    x, y, w = torch.randn(30, 12), torch.randn(30, 3), torch.rand(30) + 0.5
    rows = list(zip(x.split(7), y.split(7), w.split(7), strict=True))
    few, many = ridge(iter(rows), 2.0, True), ridge(iter(rows), 2.0, False)
    torch.testing.assert_close(few, many, rtol=1e-4, atol=1e-5)
    # the gradient of the weighed squares plus penalty vanishes there
    weight, bias = few
    off = (x @ weight + bias - y) * w[:, None]
    torch.testing.assert_close(x.T @ off + 2.0 * weight, torch.zeros(12, 3), rtol=0, atol=1e-4)
    torch.testing.assert_close(off.sum(0), torch.zeros(3), rtol=0, atol=1e-4)


def test_both_ways_of_solving_give_one_model() -> None:
    outputs = []
    for passes in (1, 6):  # 80 rows, 280 rows; 240 features
        torch.manual_seed(0)
        model = Rocket(ARM, TWO, 48, 1, kernels=20, passes=passes)
        model.observe(repeat([waves(40, 0)]))
        model.observe(repeat([waves(40, 0)]))  # what was seen before is forgotten
        outputs.append(model.eval()(waves(20, 1)).argmax(1))
    assert len(model.mean) == 20 * PER_KERNEL
    assert torch.equal(*outputs)


def test_nobody_and_wrong_settings_are_refused() -> None:
    model = Rocket(ARM, TWO, 48, 1, kernels=8)
    empty = PoseBatch(torch.zeros(2, 1, 48, 5, 2), torch.zeros(2, 1, 48, 5), torch.zeros(2, dtype=torch.long))
    with pytest.raises(UsageError, match="no joint of any training clip"):
        model.observe(repeat([empty]))
    with pytest.raises(UsageError, match="multiple of 4"):
        Rocket(ARM, SMG, 48, 1, kernels=10)
    with pytest.raises(UsageError, match=r"loading.streams to \[joint\]"):
        Rocket(ARM, SMG, 48, 1, in_channels=7)
