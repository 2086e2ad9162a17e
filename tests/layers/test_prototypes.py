"""Prototypes against PCAN's RenovateNet (golden file pcan_renovate_coarse), closed forms, and what the loss is for."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from tests.systems.golden import Golden
from torch import Tensor

from microgesture.layers.prototypes import Ambiguous, Prototypes, confusion, cosines, diversity


@pytest.fixture
def golden() -> Golden:
    return Golden("pcan_renovate_coarse")


@pytest.fixture
def loaded(golden: Golden) -> Prototypes:
    block = Prototypes(24, 7, 16)
    project = {f"project.{leaf}": golden.state[f"cl_fc.{leaf}"] for leaf in ("weight", "bias")}
    block.load_state_dict(project | {"memory": golden.inputs["memory0"]})
    return block.train()


def test_two_steps(golden: Golden, loaded: Prototypes) -> None:
    """The second one starts from the prototypes that the first has moved."""
    for step in (0, 1):
        loaded.zero_grad()
        x, logits = (golden.inputs[name][step].clone().requires_grad_() for name in ("feature", "logits"))
        loss = loaded.loss(loaded(x), logits, golden.inputs["label"][step]).mean()
        loss.backward()
        assert loss.item() == pytest.approx(golden.outputs[f"step{step}/loss"].item(), abs=1e-5)
        golden.close(loaded.memory, f"step{step}/memory")
        golden.close(x.grad, f"step{step}/grad_feature")
        golden.close(logits.grad, f"step{step}/grad_logits")
        norm = golden.outputs[f"step{step}/grad_norm/cl_fc.weight"].item()
        assert loaded.project.weight.grad.norm().item() == pytest.approx(norm, rel=0.01)


def test_sets_and_scores(golden: Golden, loaded: Prototypes) -> None:
    x, logits, label = (golden.inputs[name][0] for name in ("feature", "logits", "label"))
    hits, missed, mistaken = confusion(logits, label)
    for name, ours in (("tp", hits), ("fn", missed), ("fp", mistaken)):
        assert torch.equal(ours, golden.outputs[f"set/{name}"])
    features = loaded(x)
    sets = (Ambiguous(missed, 1), Ambiguous(mistaken, -1))
    scores = loaded.scores(features, loaded.update(features, hits), logits, label, sets)
    golden.close(scores[0], "scores_fn")
    golden.close(scores[1], "scores_fp")


def test_every_clip_is_hit_or_missed_and_mistaken_once() -> None:
    logits, label = torch.randn(50, 6), torch.arange(50) % 6
    hits, missed, mistaken = confusion(logits, label)
    assert torch.equal(hits + missed, F.one_hot(label, 6).float())
    assert torch.equal(mistaken.sum(1), missed.sum(1))
    assert not (mistaken * F.one_hot(label, 6)).any()


def test_prototypes_move_by_hand() -> None:
    """Class 0 has two hits, class 1 none."""
    block = Prototypes(4, 2, 3).train()
    before = block.memory.clone()
    features = torch.tensor([[1.0, 2, 3], [3, 4, 5], [9, 9, 9]])
    hits = torch.tensor([[1.0, 0], [1, 0], [0, 0]])
    moved = block.update(features, hits)
    torch.testing.assert_close(moved[:, 0], 0.9 * before[:, 0] + 0.1 * torch.tensor([2.0, 3, 4]))
    assert torch.equal(moved[:, 1], before[:, 1])
    assert torch.equal(block.memory, moved)


def test_prototypes_rest_outside_training() -> None:
    block = Prototypes(4, 3, 5).eval()
    before = block.memory.clone()
    block.loss(torch.randn(6, 5), torch.randn(6, 3), torch.arange(6) % 3)
    assert torch.equal(block.memory, before)


def test_gradient_comes_through_the_new_part_of_a_prototype() -> None:
    block = Prototypes(4, 2, 3).train()
    features = torch.randn(2, 3, requires_grad=True)
    block.update(features, torch.eye(2)).sum().backward()
    torch.testing.assert_close(features.grad, torch.full((2, 3), 0.1))
    assert not block.memory.requires_grad


def test_a_clip_of_weight_0_is_as_if_left_out() -> None:
    x, logits, label = torch.randn(6, 4), torch.randn(6, 3), torch.arange(6) % 3
    torch.manual_seed(0)
    first = Prototypes(4, 3, 5)
    torch.manual_seed(0)
    second = Prototypes(4, 3, 5)
    weight = torch.tensor([1.0, 1, 1, 1, 0, 0])
    all_six = first.loss(first(x), logits, label, weight)
    four = second.loss(second(x[:4]), logits[:4], label[:4])
    torch.testing.assert_close(all_six[:4], four)
    torch.testing.assert_close(first.memory, second.memory)


def test_strength_lowers_the_score_of_the_true_class_alone() -> None:
    features, logits, label = torch.randn(8, 5), torch.randn(8, 3), torch.arange(8) % 3
    _, missed, mistaken = confusion(logits, label)
    sets = (Ambiguous(missed, 1), Ambiguous(mistaken, -1))
    memory = torch.randn(5, 3)
    own = F.one_hot(label, 3).bool()

    def scores(strength: float) -> Tensor:
        block = Prototypes(4, 3, 5, strength=strength)
        return torch.stack(block.scores(features, memory, logits, label, sets))

    plain, weak, strong = (scores(s) for s in (0.0, 0.1, 0.4))
    torch.testing.assert_close(plain, (cosines(features, memory) / 0.125).expand(2, -1, -1))
    assert torch.equal(strong[:, ~own], plain[:, ~own])
    assert (weak <= plain).all()
    assert (strong <= weak).all()
    assert (strong < weak).any()


def test_diversity_between_its_bounds() -> None:
    basis, _ = torch.linalg.qr(torch.randn(9, 9))
    assert diversity(3 * basis).item() == pytest.approx(3, abs=1e-4)
    assert diversity(torch.ones(4, 9)).item() == pytest.approx(9, abs=1e-4)
    torch.manual_seed(0)
    assert diversity(torch.randn(256, 52)).item() == pytest.approx(math.sqrt(52 + 52 * 51 / 256), abs=0.15)


def test_diversity_as_measured(golden: Golden) -> None:
    expected = golden.outputs["diversity_of_memory0"].item()
    assert diversity(golden.inputs["memory0"]).item() == pytest.approx(expected, abs=1e-5)


def test_two_confusable_classes_come_apart() -> None:
    """Features of two classes that overlap: learning makes each nearer to its own prototype than to the other."""
    torch.manual_seed(0)
    label = torch.arange(64) % 2
    x = torch.randn(64, 8)
    x[:, 0] += label * 2.0
    logits = torch.stack((1 - x[:, 0], x[:, 0] - 1), 1)
    block = Prototypes(8, 2, 4).train()

    def margin() -> float:
        near = block.similarity(block(x))
        return float((near.gather(1, label[:, None]) - near.gather(1, 1 - label[:, None])).mean().detach())

    before = margin()
    descent = torch.optim.SGD(block.parameters(), lr=0.05)
    for _ in range(60):
        descent.zero_grad()
        block.loss(block(x), logits, label).mean().backward()
        descent.step()
    assert margin() > before + 0.5


def test_unsaved_prototypes_are_no_part_of_the_state() -> None:
    assert "memory" in Prototypes(4, 3, 5).state_dict()
    assert "memory" not in Prototypes(4, 3, 5, saved=False).state_dict()
