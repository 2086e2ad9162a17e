from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.learning.blobs import CLASSES, Blobs, Network, learn
from tests.learning.test_recipe import GOOD, recipe
from tests.learning.toy import Toy
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.core.taxonomies import IMIGUE
from microgesture.datasets.clips import Clips
from microgesture.datasets.sampling import repeat_factors
from microgesture.evaluation.classification import macro_f1
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_loss
from microgesture.learning import train
from microgesture.learning.checkpoint import from_pretrained
from microgesture.learning.longtail import (
    LDAM,
    ArcFace,
    ClassBalanced,
    ClassifierRetraining,
    Focal,
    GeneralisedCE,
    InverseSqrt,
    LogitAdjustment,
    LongTail,
    Orthogonality,
    PostHocAdjustment,
    Remedy,
    Run,
    SoftF1,
    TauNorm,
    arc,
    class_balanced,
    find_classifiers,
    focal,
    generalised_ce,
    inverse_sqrt,
    margins,
    overlap,
    prior,
    soft_f1,
)
from microgesture.learning.recipe import Training, read_recipe
from microgesture.learning.recognise import Recognise
from microgesture.learning.runs import load, predict

PUBLISHED = np.array([label.train_count for label in IMIGUE.labels])
COUNTS = np.array([90, 9, 0])
KIT = "microgesture.learning.longtail"


def batch(labels: Sequence[int] = (0, 1, 2, 1), weight: Tensor | None = None) -> PoseBatch:
    n = len(labels)
    return PoseBatch(torch.zeros(n, 1, 1, 4, 2), torch.ones(n, 1, 1, 4), torch.tensor(labels), weight)


class Given(nn.Module):
    """Its logits are its weights; it has a coarse head too."""

    def __init__(self, rows: int = 4, classes: int = 3) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(rows, classes, generator=torch.Generator().manual_seed(1)))

    def forward(self, batch: PoseBatch) -> tuple[Tensor, Tensor]:
        return self.logits, self.logits[:, :2]

    def losses(self, out: tuple[Tensor, Tensor], batch: PoseBatch) -> dict[str, Tensor]:
        assert batch.label is not None
        coarse = PoseBatch(batch.xy, batch.score, batch.label.clamp(max=1), batch.weight)
        return {"class": class_loss(out[0], batch), "coarse": class_loss(out[1], coarse)}


def losses(
    *remedies: Remedy, progress: float = 0.0, given: PoseBatch | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits of `Given` and its losses under the remedies."""
    system, kit, clips = Given(), LongTail(remedies, COUNTS), given or batch()
    return system.logits, kit.losses(system, system(clips), kit.weigh(clips, progress))


# ---- formulas


def test_weights_at_the_ends_of_beta() -> None:
    np.testing.assert_allclose(class_balanced(PUBLISHED, 0), 1)
    np.testing.assert_allclose(class_balanced(PUBLISHED, 1e-9), 1, atol=1e-6)
    inverse = (1 / PUBLISHED) / (1 / PUBLISHED).mean()
    np.testing.assert_allclose(class_balanced(PUBLISHED, 1), inverse)
    np.testing.assert_allclose(class_balanced(PUBLISHED, 1 - 1e-9), inverse, rtol=1e-5)
    by_hand = (1 - 0.999) / (1 - 0.999 ** PUBLISHED.astype(float))
    np.testing.assert_allclose(class_balanced(PUBLISHED, 0.999), by_hand * 32 / by_hand.sum())
    assert inverse_sqrt(PUBLISHED).mean() == pytest.approx(1)
    assert inverse_sqrt([100, 4])[1] / inverse_sqrt([100, 4])[0] == pytest.approx(5)


def test_the_rarest_class_has_the_largest_margin() -> None:
    found = margins(PUBLISHED)
    assert found.max() == found[18] == 0.5
    np.testing.assert_allclose(found * PUBLISHED**0.25, 0.5)


def test_the_class_of_one_clip_comes_first_in_every_scheme() -> None:
    assert PUBLISHED[18] == 1
    schemes = [inverse_sqrt(PUBLISHED), margins(PUBLISHED), -np.log(prior(PUBLISHED)), repeat_factors(PUBLISHED)]
    schemes += [class_balanced(PUBLISHED, beta) for beta in (0.9, 0.99, 0.999, 0.9999, 1)]
    for scheme in schemes:
        assert scheme.argmax() == 18
        assert (scheme[18] > np.delete(scheme, 18)).all()


def test_a_class_without_clips_counts_as_if_it_had_one() -> None:
    np.testing.assert_allclose(prior(COUNTS), [90 / 99, 9 / 99, 1 / 99])
    for formula in (inverse_sqrt, margins, partial(class_balanced, beta=0.99), partial(class_balanced, beta=1)):
        np.testing.assert_array_equal(formula(COUNTS), formula([90, 9, 1]))


def test_losses_that_replace_the_cross_entropy() -> None:
    z, y = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 1])
    one_hot = F.one_hot(y, 4).double()
    p, ce = z.softmax(1)[range(5), y], F.cross_entropy(z, y, reduction="none")
    torch.testing.assert_close(focal(z, one_hot, 0), ce)
    torch.testing.assert_close(focal(z, one_hot, 2), -((1 - p) ** 2) * p.log())
    torch.testing.assert_close(generalised_ce(z, one_hot, 0.7), (1 - p**0.7) / 0.7)
    torch.testing.assert_close(generalised_ce(z, one_hot, 1e-9), ce)
    torch.testing.assert_close(generalised_ce(z, one_hot, 1), 1 - p)


def test_soft_f1_of_sure_logits_is_the_f1() -> None:
    truth, guess = torch.tensor([0, 1, 2, 3, 1, 0]), torch.tensor([0, 1, 2, 3, 0, 2])
    sure = 1e4 * F.one_hot(guess, 4).float()
    expected = 1 - macro_f1(truth.numpy(), guess.numpy(), 4)
    assert float(soft_f1(sure, F.one_hot(truth, 4).float())) == pytest.approx(expected)


# ---- remedies on a system that knows nothing of them


def test_logit_adjustment_is_the_cross_entropy_of_shifted_logits() -> None:
    log_prior = torch.tensor(np.log(prior(COUNTS)), dtype=torch.float32)
    z, terms = losses(LogitAdjustment())
    torch.testing.assert_close(terms["class"], F.cross_entropy(z + log_prior, batch().label))  # balanced softmax
    torch.testing.assert_close(terms["coarse"], F.cross_entropy(z[:, :2], torch.tensor([0, 1, 1, 1])))
    z, terms = losses(LogitAdjustment(t=0))
    torch.testing.assert_close(terms["class"], F.cross_entropy(z, batch().label))


def test_ldam_by_hand() -> None:
    z, terms = losses(LDAM())
    moved = z.detach().clone()
    for row, label in enumerate(batch().label.tolist()):  # type: ignore[union-attr]
        moved[row, label] -= margins(COUNTS)[label]
    torch.testing.assert_close(terms["class"], F.cross_entropy(30 * moved, batch().label))


def test_weights_are_those_of_torch_and_can_wait() -> None:
    table = torch.tensor(class_balanced(COUNTS, 0.9999), dtype=torch.float32)
    remedy = ClassBalanced(beta=0.9999, since=0.8)
    z, late = losses(remedy, progress=0.8)
    torch.testing.assert_close(late["class"], F.cross_entropy(z, batch().label, table))
    _, early = losses(remedy, progress=0.79)
    torch.testing.assert_close(early["class"], F.cross_entropy(z, batch().label))
    # a clip that weighs nothing stays out; soft targets weigh as their classes do
    _, out = losses(InverseSqrt(), given=batch(weight=torch.tensor([1.0, 1, 0, 1])))
    table = torch.tensor(inverse_sqrt(COUNTS), dtype=torch.float32)
    kept = F.cross_entropy(z[[0, 1, 3]], torch.tensor([0, 1, 1]), table)
    torch.testing.assert_close(out["class"], kept)
    soft = replace(batch(), label=None, soft=F.one_hot(torch.tensor([0, 1, 2, 1])).float())
    weight = LongTail([InverseSqrt()], COUNTS).weigh(soft, 0).weight
    torch.testing.assert_close(weight, table[[0, 1, 2, 1]])


def test_remedies_work_together() -> None:
    table = torch.tensor(inverse_sqrt(COUNTS), dtype=torch.float32)[[0, 1, 2, 1]]
    z, terms = losses(LogitAdjustment(), InverseSqrt(), Focal(gamma=1), SoftF1(share=0.25))
    one_hot = F.one_hot(torch.tensor([0, 1, 2, 1])).float()
    each = focal(z + torch.tensor(np.log(prior(COUNTS)), dtype=torch.float32), one_hot, 1)
    torch.testing.assert_close(terms["class"], (each * table).sum() / table.sum())
    torch.testing.assert_close(terms["soft_f1"], 0.25 * soft_f1(z, one_hot))
    assert not torch.equal(class_loss(z, batch()), terms["class"])  # nothing is left behind outside


def test_the_trainer_smooths_labels_after_it_has_weighed() -> None:
    system, kit = Given(), LongTail([InverseSqrt()], COUNTS)
    task = Recognise(system, torch.optim.SGD, Training(label_smoothing=0.3), 3, kit)
    table = torch.tensor(inverse_sqrt(COUNTS), dtype=torch.float32)[[0, 1, 2, 1]]
    each = F.cross_entropy(system.logits, batch().label, label_smoothing=0.3, reduction="none")  # type: ignore[arg-type]
    found = task._terms(system(batch()), batch())["class"]
    torch.testing.assert_close(found, (each * table).sum() / table.sum())


def test_a_system_with_a_loss_of_its_own_is_told_so() -> None:
    class Own(Given):
        def losses(self, out: tuple[Tensor, Tensor], batch: PoseBatch) -> dict[str, Tensor]:
            return {"class": F.cross_entropy(out[0], batch.label)}  # type: ignore[arg-type]

    system = Own()
    with pytest.raises(UsageError, match="LDAM changes the class loss, but Own computes its own"):
        LongTail([SoftF1(), LDAM()], COUNTS).losses(system, system(batch()), batch())
    assert set(LongTail([SoftF1()], COUNTS).losses(system, system(batch()), batch())) == {"class", "soft_f1"}


def test_what_cannot_be() -> None:
    with pytest.raises(UsageError, match="no training clip has a label"):
        LongTail([InverseSqrt()], np.zeros(3, np.int64))
    with pytest.raises(UsageError, match="names Focal and GeneralisedCE, which both replace the class loss: keep one"):
        LongTail([Focal(), GeneralisedCE()], COUNTS)
    with pytest.raises(UsageError, match="Given has no linear layer with 3 outputs"):
        find_classifiers(Given(), 3)
    with pytest.raises(UsageError, match="neither labels nor soft targets"):
        LongTail([InverseSqrt()], COUNTS).weigh(replace(batch(), label=None), 0)


# ---- after training


def after(system: nn.Module, data: Blobs, splits: tuple[str, ...] = ("train", "val")) -> Run:
    def validate() -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            return system(data.whole()).softmax(1).double().numpy(), data.label.numpy()

    return Run(system, data.counts, splits, lambda layer, share: None, validate)


def test_the_classifier_is_found_by_name_or_as_the_last_of_its_size() -> None:
    system = Network()
    system.later = nn.Linear(3, CLASSES)
    assert list(find_classifiers(system, CLASSES)) == [system.classifier]
    plain = nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 5), nn.Linear(5, 2))
    assert list(find_classifiers(plain, 5)) == [plain[1]]
    plain.classifiers = ("0", "1")  # two streams
    assert list(find_classifiers(plain, 5)) == [plain[0], plain[1]]


def test_tau_norm() -> None:
    data, system = Blobs.draw(0, 10), Network()
    before = system.classifier.weight.detach().clone()
    norm = before.norm(dim=1, keepdim=True)
    assert TauNorm(0.7).finish(after(system, data)) == {"t": 0.7}
    torch.testing.assert_close(system.classifier.weight, before / norm**0.7)
    assert not system.classifier.bias.any()
    TauNorm(1).finish(after(system, data))
    torch.testing.assert_close(system.classifier.weight.norm(dim=1), torch.ones(CLASSES))


def test_ldam_leaves_the_softmax_it_learnt() -> None:
    data, system = Blobs.draw(0, 10), Network()
    with torch.no_grad():
        expected = (30 * system(data.whole())).softmax(1)
        LongTail([LDAM()], data.counts).finish(after(system, data))
        torch.testing.assert_close(system(data.whole()).softmax(1), expected)


def test_post_hoc_adjustment_moves_the_bias_by_the_best_t() -> None:
    data, system = Blobs.draw(0, 100), Network()
    learn(system, data, 3)
    balanced = Blobs.draw(1, 1)
    with torch.no_grad():
        before = system(balanced.whole())
        run = replace(after(system, balanced), counts=data.counts)
        said = PostHocAdjustment().finish(run)
        shifted = {
            t: before - t * torch.tensor(np.log(prior(data.counts)), dtype=torch.float32) for t in (0, 0.25, 0.5, 1)
        }
        scores = {t: macro_f1(balanced.label.numpy(), z.argmax(1).numpy()) for t, z in shifted.items()}
        assert said["macro_f1"] == {str(float(t)): pytest.approx(f1) for t, f1 in scores.items()}
        assert said["t"] == max(scores, key=lambda t: scores[t]) > 0
        torch.testing.assert_close(system(balanced.whole()), shifted[said["t"]])
        now = system(balanced.whole())
        again = PostHocAdjustment(t=[0]).finish(run)  # t = 0 is the identity
        torch.testing.assert_close(system(balanced.whole()), now, rtol=0, atol=0)
    assert again["t"] == 0
    assert again["added_to_bias"] == [0] * CLASSES


def test_post_hoc_adjustment_needs_a_bias_that_reaches_the_logits_and_a_split_to_choose_on() -> None:
    data = Blobs.draw(0, 10)
    with pytest.raises(UsageError, match="chooses on the split 'val'; the data have train, test only"):
        PostHocAdjustment().check(after(Network(), data, ("train", "test")))
    with pytest.raises(UsageError, match="the classifier of Network has no bias to adjust"):
        PostHocAdjustment().check(after(Network(bias=False), data))

    class Unbiased(Network):
        def forward(self, batch: PoseBatch) -> Tensor:
            return super().forward(batch) * 0

    with pytest.raises(UsageError, match="does not reach the logits of Unbiased"):
        PostHocAdjustment(t=[1]).finish(after(Unbiased(), data))


def test_post_hoc_adjustment_of_two_streams_adjusts_each() -> None:
    class Two(Network):
        classifiers = ("classifier", "other")

        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Linear(16, CLASSES)

        def streams(self, batch: PoseBatch) -> tuple[Tensor, Tensor]:
            x = self.trunk(batch.xy.flatten(1))
            return self.classifier(x), self.other(x)

        def forward(self, batch: PoseBatch) -> Tensor:
            return sum(z.softmax(1) for z in self.streams(batch)).log()  # type: ignore[union-attr]

    data, system = Blobs.draw(0, 100), Two()
    learn(system, data, 3)
    balanced = Blobs.draw(1, 1)
    with torch.no_grad():
        before = system.streams(balanced.whole())
        said = PostHocAdjustment(t=[1]).finish(replace(after(system, balanced), counts=data.counts))
        log_prior = torch.tensor(np.log(prior(data.counts)), dtype=torch.float32)
        for now, z in zip(system.streams(balanced.whole()), before, strict=True):
            torch.testing.assert_close(now, z - log_prior)
    assert said["macro_f1"] == {"1": pytest.approx(blob_score(system, balanced))}


def blob_score(system: nn.Module, data: Blobs) -> float:
    with torch.no_grad():
        return macro_f1(data.label.numpy(), system(data.whole()).argmax(1).numpy())


def test_ldam_and_tau_norm_change_both_streams() -> None:
    system = nn.Sequential(nn.Linear(2, 3), nn.Linear(5, 3))
    system.classifiers = ("0", "1")
    start = [(layer.weight.clone(), layer.bias.clone()) for layer in find_classifiers(system, 3)]
    run = Run(system, COUNTS, ("train",), lambda *_: None, lambda: (np.zeros((0, 3)), np.zeros(0, np.int64)))
    LDAM(scale=30).finish(run)
    for layer, (weight, bias) in zip(find_classifiers(system, 3), start, strict=True):
        torch.testing.assert_close(layer.weight, 30 * weight)
        torch.testing.assert_close(layer.bias, 30 * bias)
    TauNorm(1).finish(run)
    for layer in find_classifiers(system, 3):
        torch.testing.assert_close(layer.weight.norm(dim=1), torch.ones(3))


# ---- what classifiers read


def test_arc_is_the_cosine_of_the_angle_and_the_margin() -> None:
    angle = torch.linspace(0, math.pi, 61, dtype=torch.float64)
    one, both = torch.ones(61, 1), angle.cos()[:, None]
    lowered = arc(both, one, 0.5)[:, 0]
    before = angle + 0.5 <= math.pi
    torch.testing.assert_close(lowered[before], (angle + 0.5).cos()[before], atol=1e-6, rtol=0)
    assert (lowered.diff() < 0).all(), "it falls over the whole half-turn"
    assert torch.equal(arc(both, 0 * one), both), "classes that are not the clip's stay"
    cosines = torch.tensor([[1.0, -1.0, 0.0]], requires_grad=True)
    arc(cosines, torch.eye(3)[:1]).sum().backward()
    assert torch.isfinite(cosines.grad).all()  # type: ignore[arg-type]


def test_arc_face_by_hand() -> None:
    """One clip along the weights of its class: 30 cos(0.5) against 0."""
    x, weight = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    one = PoseBatch(torch.zeros(1, 1, 1, 1, 2), torch.ones(1, 1, 1, 1), torch.tensor([0]))
    target = torch.tensor([[1.0, 0.0]])
    loss = ArcFace(share=1).angles(x, weight, one, target)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-30 * math.cos(0.5))), abs=1e-9)
    wrong = ArcFace(share=1).angles(x.flip(1), weight, one, target)  # a right angle off
    assert wrong.item() == pytest.approx(30 + 30 * math.sin(0.5), abs=1e-4)
    pictures = torch.stack((x, x.flip(1)), 1)  # cosines of two pictures, whose mean is 1/2 with each class
    middle = ArcFace(share=1, margin=0).angles(pictures, weight, one, target)
    assert middle.item() == pytest.approx(math.log(2))


def test_overlap_of_class_vectors() -> None:
    assert overlap(torch.eye(4)).item() == 0
    assert overlap(torch.ones(4, 3)).item() == pytest.approx(1)
    half = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])  # squares of the cosines 1/2, 0, 1/2
    assert overlap(half).item() == pytest.approx(1 / 3)


def test_terms_of_the_classifier_join_the_losses_and_leave_no_trace() -> None:
    data, system = Blobs.draw(0, 100), Network()
    kit = LongTail([ArcFace(), Orthogonality(), InverseSqrt()], data.counts)
    kit.check(after(system, data))
    learn(system, data, 15, kit)
    assert overlap(system.classifier.weight) < 0.1
    given = data.whole()
    terms = kit.losses(system, system(given), kit.weigh(given, 0))
    assert set(terms) == {"class", "arc_face", "orthogonality"}
    with torch.no_grad():
        features = system.trunk(given.xy.flatten(1))
    target = F.one_hot(data.label, CLASSES).float()
    expected = ArcFace().angles(features, system.classifier.weight, kit.weigh(given, 0), target)
    torch.testing.assert_close(terms["arc_face"], expected)
    assert kit.finish(after(system, data)) == {}
    assert not system.classifier._forward_pre_hooks
    with pytest.raises(UsageError, match="ArcFace reads what a classifier is given; Given used none"):
        LongTail([ArcFace()], COUNTS).losses(Given(), Given()(batch()), batch())


@pytest.fixture(scope="module")
def cross_entropy() -> list[float]:
    return [blob_f1(seed) for seed in range(5)]


def blob_f1(seed: int, *remedies: Remedy) -> float:
    """Macro-F1 on balanced blobs of a network that learnt from some 100 times rarer than others."""
    data, test = Blobs.draw(2 * seed, 100), Blobs.draw(2 * seed + 1, 1)
    torch.manual_seed(seed)
    system, kit = Network(), LongTail(remedies, data.counts)
    retrain = learn(system, data, 20, kit)
    kit.finish(replace(after(system, data), retrain=retrain))
    with torch.no_grad():
        return macro_f1(test.label.numpy(), system(test.whole()).argmax(1).numpy())


@pytest.mark.parametrize(
    "remedies",
    [[LogitAdjustment()], [LDAM(), ClassBalanced(0.9999, since=0.8)], [ClassifierRetraining()]],
    ids=["logit adjustment", "LDAM-DRW", "cRT"],
)
def test_rare_classes_are_found_more_often(cross_entropy: list[float], remedies: list[Remedy]) -> None:
    better = [blob_f1(seed, *remedies) > plain for seed, plain in enumerate(cross_entropy)]
    assert sum(better) >= 4


# ---- recipes and runs

RARE = GOOD.replace("tests.learning.toy.Toy", "tests.learning.test_longtail.RareToy")


class RareToy(Toy):
    """The toy data with a third class of two clips."""

    def clips(self, split: str) -> Clips:
        whole = super().clips(split)
        return whole.where((whole.label < 2) | (np.arange(len(whole)) < 6), "rare")


def section(*remedies: str) -> str:
    lines = "".join(f"  - {{class_path: {KIT}.{remedy}}}\n" for remedy in remedies)
    return f"{RARE}longtail:\n{lines}"


def test_a_recipe_names_one_remedy_or_several(tmp_path: Path) -> None:
    assert read_recipe(recipe(tmp_path)).longtail == ()
    one = f"{GOOD}longtail: {{class_path: {KIT}.LDAM, init_args: {{scale: 5}}}}\n"
    assert read_recipe(recipe(tmp_path, one), ["longtail.largest=0.25"]).longtail == (LDAM(0.25, 5.0),)
    assert read_recipe(recipe(tmp_path, one), ["longtail=null"]).longtail == ()
    several = read_recipe(recipe(tmp_path, section("LDAM", "ClassBalanced, init_args: {since: 0.8}"))).longtail
    assert several == (LDAM(), ClassBalanced(since=0.8))


@pytest.mark.parametrize(
    "text, words",
    [
        ("longtail: 3", "toy.yaml:11  'longtail' needs a class_path"),
        (f"longtail: {{class_path: {KIT}.LDMA}}", f"which does not exist; did you mean '{KIT}.LDAM'?"),
        (
            f"longtail:\n  - {{class_path: {KIT}.LDAM, init_args: {{scal: 3}}}}",
            "toy.yaml:12  'longtail.0.init_args.scal'",
        ),
        (
            "longtail: {class_path: torch.nn.Identity}",
            "names torch.nn.Identity, which is no remedy of learning.longtail",
        ),
        (
            f"longtail: {{class_path: {KIT}.Focal, init_args: {{gamma: -1}}}}",
            "longtail Focal.gamma is -1.0; it must lie in 0",
        ),
        (f"longtail: {{class_path: {KIT}.PostHocAdjustment, init_args: {{t: []}}}}", "PostHocAdjustment.t is empty"),
        (
            f"longtail:\n  - {{class_path: {KIT}.LDAM}}\n  - {{class_path: {KIT}.LDAM}}",
            "toy.yaml:11  'longtail' names LDAM twice: keep one",
        ),
    ],
)
def test_a_wrong_section_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_recipe(recipe(tmp_path, f"{GOOD}{text}\n"))
    assert words in str(caught.value)


def test_endless_data_have_no_tail(tmp_path: Path) -> None:
    data = ["data.class_path=microgesture.datasets.simulated.Simulated", "data.taxonomy=smg"]
    with pytest.raises(UsageError, match="'simulated' makes new clips in every epoch, so no class of it is rare"):
        train(recipe(tmp_path, section("LDAM")), data, tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_a_run_says_what_was_done_and_its_model_does_it(tmp_path: Path) -> None:
    text = section("ClassifierRetraining, init_args: {epochs: 0.5}", "PostHocAdjustment, init_args: {t: [0, 0.5]}")
    settings = ["training.epochs=4", "loading.balance=progressive"]
    folder = train(recipe(tmp_path, text), settings, tmp_path / "run")
    said = from_pretrained(folder).config["longtail"]
    assert said["ClassifierRetraining"] == {"epochs": 0.5}
    assert set(said["PostHocAdjustment"]["macro_f1"]) == {"0.0", "0.5"}
    assert len((folder / "crt" / "log.jsonl").read_text().splitlines()) == 2
    # all but the classifier is as it was when training ended
    plain = train(recipe(tmp_path, RARE), settings, tmp_path / "plain")
    one, two = (from_pretrained(f).system.state_dict() for f in (folder, plain))
    differ = {name for name in one if not torch.equal(one[name], two[name])}
    assert differ == {"classifier.weight", "classifier.bias"}
    # predictions carry the adjustment without being told
    run = load(folder)
    clips = run.plan.dataset.clips("val")
    p = predict(run.saved.system, clips, run.plan.loading)
    best = said["PostHocAdjustment"]
    assert macro_f1(clips.label, p.argmax(1)) == pytest.approx(best["macro_f1"][str(best["t"])])


def test_terms_of_the_classifier_in_a_run_with_averaged_weights(tmp_path: Path) -> None:
    settings = ["training.epochs=3", "training.ema=0.9", "training.label_smoothing=0.1"]
    folder = train(recipe(tmp_path, section("ArcFace", "Orthogonality")), settings, tmp_path / "run")
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all({"loss/class", "loss/arc_face", "loss/orthogonality"} < set(line) for line in log)
    assert log[-1]["loss/arc_face"] < log[0]["loss/arc_face"]
    assert "longtail" not in from_pretrained(folder).config, "the saved system is as it would be without"


def test_a_run_killed_at_any_durable_write_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    path = recipe(
        tmp_path, section("LDAM", "ClassBalanced, init_args: {since: 0.5}", "ClassifierRetraining", "TauNorm")
    )
    settings = ["training.epochs=2", "training.validate_every=0", "loading.balance=repeat-factor"]
    whole = from_pretrained(train(path, settings, tmp_path / "whole")).system.state_dict()
    rename, left = os.replace, 0

    def dying(*names: str | Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        rename(*names)

    monkeypatch.setattr(os, "replace", dying)
    for step in range(2, 50, 2):  # two logs and two states, then a log and a state of the classifier, weights, config
        out, left = tmp_path / f"cut{step}", step
        try:
            train(path, settings, out)
        except Killed:
            left = 1000
            resumed = from_pretrained(train(path, settings, out, resume=True)).system.state_dict()
            for name, value in whole.items():
                torch.testing.assert_close(value, resumed[name], rtol=0, atol=0)
        else:
            break
    assert step == 10
    assert json.loads((out / "config.json").read_text())["longtail"]["TauNorm"] == {"t": 0.7}


def test_the_prior_of_published_counts() -> None:
    assert math.isclose(float(prior(PUBLISHED)[30] + prior(PUBLISHED)[31]), (2079 + 3765) / 12893, rel_tol=2e-3)
