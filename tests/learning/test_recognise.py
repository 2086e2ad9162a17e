from __future__ import annotations

import json
import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.learning.test_recipe import GOOD, recipe
from torch import nn
from torch.optim.swa_utils import AveragedModel

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.layers.batch import PoseBatch
from microgesture.learning import test as measure
from microgesture.learning import train
from microgesture.learning.checkpoint import from_pretrained
from microgesture.learning.recipe import Training
from microgesture.learning.recognise import (
    Checkpoints,
    Recognise,
    Retrain,
    learning_rate,
    parameter_groups,
    running_average,
)
from microgesture.systems.stgcnpp import STGCNpp

QUICK = GOOD.replace("lr: 0.01", "lr: 0.03")


class Paced(STGCNpp):
    """Its classifier learns five times as fast, the rest does not decay."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        fast = list(self.classifier.parameters())
        rest = [p for name, p in self.named_parameters() if not name.startswith("classifier.")]
        return [{"params": rest, "rate": 1.0, "decay": 0.0}, {"params": fast, "rate": 5.0, "decay": 0.5}]


PACED = QUICK.replace("microgesture.systems.stgcnpp.STGCNpp", f"{__name__}.Paced").replace("0.03", "0.006")


def weights(folder: Path, system: type[nn.Module] | None = None) -> dict[str, torch.Tensor]:
    return from_pretrained(folder, system=system).system.state_dict()


def test_a_run_from_recipe_to_record(tmp_path: Path) -> None:
    told: list[str] = []
    folder = train(
        recipe(tmp_path, QUICK),
        ["training.epochs=40", "loading.batch=8", "loading.streams=[joint_motion]"],
        tmp_path / "run",
        tell=told.append,
    )
    record = measure(folder)
    assert record["metrics"]["top1"] >= 0.9
    assert record["metrics"]["majority_floor"] == pytest.approx(1 / 3)
    assert {"system", "recipe", "commit", "seed", "split", "parameters", "metrics"} <= set(record)
    assert json.loads((folder / "test.json").read_text()) == json.loads(json.dumps(record))
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == list(range(1, 41))
    assert log[-1]["loss"] < log[0]["loss"]
    assert "val/top1" in log[0]
    assert len(told) == 40


def test_the_same_seed_gives_the_same_weights_whatever_the_workers(tmp_path: Path) -> None:
    path = recipe(tmp_path, QUICK)
    one, two = (weights(train(path, [f"loading.workers={n}"], tmp_path / str(n))) for n in (0, 1))
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=0, atol=0)
    other = weights(train(path, ["training.seed=1"], tmp_path / "other"))
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize(
    ("system", "setting"), [(None, "ema=0"), (None, "ema=0.9"), (Paced, "drops=[1, 3]")], ids=["plain", "ema", "paced"]
)
def test_an_interrupted_run_ends_with_the_same_weights(
    tmp_path: Path, system: type[nn.Module] | None, setting: str
) -> None:
    path, settings = recipe(tmp_path, PACED if system else QUICK), ["training.epochs=4", f"training.{setting}"]
    whole = weights(train(path, settings, tmp_path / "whole"), system)

    def stop(line: str) -> None:
        if line.startswith("epoch 3"):  # told before the third epoch is saved: two are on disk
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(path, settings, tmp_path / "cut", tell=stop)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    resumed = weights(train(path, settings, tmp_path / "cut", resume=True), system)
    for name, value in whole.items():
        torch.testing.assert_close(value, resumed[name], rtol=0, atol=1e-6)
    # a finished run may be resumed once more and stays as it is
    again = weights(train(path, settings, tmp_path / "cut", resume=True), system)
    for name, value in resumed.items():
        torch.testing.assert_close(value, again[name], rtol=0, atol=0)


def test_a_run_killed_at_any_durable_write_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    path, settings = recipe(tmp_path, QUICK), ["training.epochs=2", "training.validate_every=0"]
    whole = weights(train(path, settings, tmp_path / "whole"))
    rename, left = os.replace, 0

    def dying(*names: str | Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        rename(*names)

    monkeypatch.setattr(os, "replace", dying)
    for step in range(50):
        out, left = tmp_path / f"cut{step}", step
        try:
            train(path, settings, out)
        except Killed:
            left = 1000
            resumed = weights(train(path, settings, out, resume=True))
            for name, value in whole.items():
                torch.testing.assert_close(value, resumed[name], rtol=0, atol=1e-6)
            assert len((out / "log.jsonl").read_text().splitlines()) == 2
        else:
            break
    assert step == 7  # recipe, two logs, two states, weights, config


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(tmp_path: Path) -> None:
    path, out = recipe(tmp_path, QUICK), tmp_path / "run"
    train(path, ["training.epochs=1"], out)
    with pytest.raises(UsageError, match="holds a run already; go on with --resume"):
        train(path, ["training.epochs=1"], out)
    with pytest.raises(UsageError, match="resumed with the settings it began with"):
        train(path, ["training.epochs=2"], out, resume=True)


def test_a_damaged_training_state_is_refused(tmp_path: Path) -> None:
    path, io, rng = tmp_path / "last.ckpt", Checkpoints(), random.Random(1)
    io.save_checkpoint({"epoch": 3, "state_dict": {"w": torch.ones(3)}}, path)
    assert io.load_checkpoint(path)["epoch"] == 3
    good = path.read_bytes()
    for _ in range(200):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(FormatError, match=r"last.ckpt: is damaged"):
            io.load_checkpoint(path)
    with pytest.raises(NoInput, match="no training state"):
        io.load_checkpoint(tmp_path / "none.ckpt")


def test_a_model_that_was_never_trained_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoInput, match=r"no model there .* Train one: microgesture train"):
        measure(recipe(tmp_path))


def test_wrong_optimizer_settings_are_refused_before_data_are_read(tmp_path: Path) -> None:
    lost = ["data.class_path=microgesture.datasets.utd_mhad.UTDMHAD", "data.root=/nowhere"]
    with pytest.raises(UsageError, match="Invalid learning rate"):
        train(recipe(tmp_path), [*lost, "optimizer.lr=-1"], tmp_path / "run")
    with pytest.raises(NoInput, match="/nowhere"):
        train(recipe(tmp_path), lost, tmp_path / "run2")


def test_mixed_precision_runs(tmp_path: Path) -> None:
    folder = train(recipe(tmp_path, QUICK), ["training.epochs=1", "training.precision=bf16-mixed"], tmp_path / "run")
    assert all(torch.isfinite(value).all() for value in weights(folder).values())


def test_simulated_clips_train(tmp_path: Path) -> None:
    data = ["data.class_path=microgesture.datasets.simulated.Simulated", "data.taxonomy=smg", "data.epoch_clips=8"]
    small = ["data.test_clips=17", "data.length=12", "loading.batch=4", "training.epochs=1"]
    folder = train(recipe(tmp_path, QUICK), [*data, *small], tmp_path / "run")
    assert measure(folder)["metrics"]["clips"] == 17
    assert from_pretrained(folder).facts.taxonomy.key == "smg"


def test_label_smoothing_is_the_textbook_loss() -> None:
    system = torch.nn.Linear(1, 1)
    task = Recognise(system, torch.optim.SGD, Training(label_smoothing=0.2), classes=4)
    batch = PoseBatch(torch.zeros(3, 1, 2, 5, 2), torch.zeros(3, 1, 2, 5), label=torch.tensor([0, 3, 1]))
    logits = torch.randn(3, 4)
    expected = torch.nn.functional.cross_entropy(logits, batch.label, label_smoothing=0.2)  # type: ignore[arg-type]
    soft = task._smooth(batch).soft
    assert soft is not None
    torch.testing.assert_close(torch.nn.functional.cross_entropy(logits, soft), expected)


def test_schedule_and_groups() -> None:
    rates = [learning_rate(step, 10, 100) for step in range(101)]
    assert max(rates) == rates[10] == 1.0
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(0, 0, 1) == 1.0
    decay, plain = parameter_groups(torch.nn.Linear(2, 3))
    assert [p.ndim for p in decay["params"] + plain["params"]] == [2, 1]
    assert [(g["rate"], g["decay"]) for g in (decay, plain)] == [(1, 1), (1, 0)]


def test_steps_down_in_place_of_the_cosine() -> None:
    rates = [learning_rate(step, 0, 300, drops=(100, 200)) for step in range(301)]
    assert rates == pytest.approx([1.0] * 100 + [0.1] * 100 + [0.01] * 101)
    slow = [learning_rate(step, 10, 300, drops=(5, 200), drop=0.5) for step in range(301)]
    assert slow[:7] == pytest.approx([1 / 11, 2 / 11, 3 / 11, 4 / 11, 5 / 11, 3 / 11, 3.5 / 11])
    assert set(slow[10:200]) == {0.5}
    assert set(slow[200:]) == {0.25}
    assert learning_rate(5, 1, 10, drops=()) == learning_rate(5, 1, 10)


class Parts(nn.Module):
    """Groups as a test wants them."""

    def __init__(self, *groups: dict[str, Any]) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(2, 3), nn.Linear(3, 4)
        self.groups = groups

    def parameter_groups(self) -> list[dict[str, Any]]:
        parts = {name: getattr(self, name) for name in ("body", "head")}
        return [g | {"params": [p for name in g["params"] for p in parts[name].parameters()]} for g in self.groups]


SHARES = ({"params": ["body"], "rate": 0.05, "decay": 1.0}, {"params": ["head"], "rate": 5.0, "decay": 0.5})


def stepped(task: Recognise, steps: int = 100) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Its optimizer and schedule, as for a run of so many steps."""
    task._trainer = SimpleNamespace(estimated_stepping_batches=steps)  # type: ignore[assignment]
    made = task.configure_optimizers()
    return made["optimizer"], made["lr_scheduler"]["scheduler"]


def test_shares_reach_the_optimizer_and_the_schedule_keeps_them() -> None:
    system = Parts(*SHARES)
    training = Training(epochs=10, warmup=0, drops=[3, 6])
    task = Recognise(system, lambda params: torch.optim.AdamW(params, lr=0.1, weight_decay=0.02), training, 4)
    optimizer, schedule = stepped(task)
    body, head = optimizer.param_groups
    assert [id(p) for p in body["params"]] == [id(p) for p in system.body.parameters()]
    for step in range(100):
        fallen = 0.1 ** ((step >= 30) + (step >= 60))
        assert body["lr"] == pytest.approx(0.1 * 0.05 * fallen), step
        assert head["lr"] == pytest.approx(0.1 * 5 * fallen), step
        optimizer.step()
        schedule.step()
    assert (body["weight_decay"], head["weight_decay"]) == (0.02, 0.01)


def test_shares_move_weights_as_far_as_they_say() -> None:
    system = Parts(*SHARES)
    task = Recognise(system, lambda params: torch.optim.SGD(params, lr=0.1), Training(epochs=1, warmup=0), 4)
    optimizer, _ = stepped(task)
    before = [p.detach().clone() for p in system.parameters()]
    for p in system.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    moved = [(b - p).detach().mean().item() for b, p in zip(before, system.parameters(), strict=True)]
    assert moved == pytest.approx([0.005, 0.005, 0.5, 0.5], rel=1e-4)


def test_an_optimizer_without_weight_decay_learns_too() -> None:
    task = Recognise(Parts(*SHARES), torch.optim.Rprop, Training(), 4)
    optimizer, _ = stepped(task)
    assert all("weight_decay" not in group for group in optimizer.param_groups)


def test_what_is_frozen_is_in_no_group() -> None:
    system = Parts(*SHARES)
    task = Retrain(system, system.head, torch.optim.SGD, Training(epochs=4, warmup=0, drops=[2]), 4)
    optimizer, schedule = stepped(task)
    (head,) = optimizer.param_groups
    assert [id(p) for p in head["params"]] == [id(p) for p in system.head.parameters()]
    rates = []
    for _ in range(100):
        rates.append(head["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(5e-3)  # SGD's own rate is 0.001
    assert rates[50] == pytest.approx(2.5e-3)  # a cosine all the same


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (SHARES[:1], "twice or left out: head.weight, head.bias"),
        ((*SHARES, SHARES[0]), "twice or left out: body.weight, body.bias"),
        ((SHARES[0], {"params": ["head"], "rate": 5.0}), "in groups with 'params', 'rate' and 'decay'"),
    ],
)
def test_groups_that_are_wrong_are_refused(groups: tuple[dict[str, Any], ...], words: str) -> None:
    with pytest.raises(UsageError, match=f"Parts.parameter_groups must give each parameter once, .*{words}"):
        parameter_groups(Parts(*groups))


def test_a_classifier_is_retrained_behind_a_run_with_drops(tmp_path: Path) -> None:
    remedy = "longtail: {class_path: microgesture.learning.longtail.ClassifierRetraining, init_args: {epochs: 0.25}}\n"
    folder = train(recipe(tmp_path, PACED + remedy), ["training.epochs=4", "training.drops=[2, 3]"], tmp_path / "run")
    assert len((folder / "crt" / "log.jsonl").read_text().splitlines()) == 1
    assert all(torch.isfinite(value).all() for value in weights(folder, Paced).values())


def test_a_model_of_motions_is_measured_on_classes(tmp_path: Path) -> None:
    module = "data.class_path=microgesture.datasets.simulated"
    small = ["data.epoch_clips=8", "data.test_clips=17", "loading.batch=4", "training.epochs=1"]
    motions = [f"{module}.SimulatedMotions", "data.lengths=[12]", "loading.augment=[]", *small]
    classes = [f"{module}.Simulated", "data.length=12", "data.taxonomy=smg", *small]
    tiny = "system.init_args={joint_width: 4, widths: [4], strides: [1]}"
    path = recipe(tmp_path, QUICK)
    folder = train(path, [*motions, "system.class_path=microgesture.systems.bodygcn.BodyGCN", tiny], tmp_path / "run")
    record = measure(path, classes, weights=folder, out=tmp_path / "record")
    assert record["taxonomy"] == "smg"
    assert record["metrics"]["clips"] == 17
    with pytest.raises(FormatError, match="was trained for the labels"):
        measure(recipe(tmp_path), weights=train(path, classes, tmp_path / "smg"))


def test_a_diverged_run_stops_and_says_so(tmp_path: Path) -> None:
    path = recipe(tmp_path, GOOD.replace("lr: 0.01", "lr: 1.0e+30"))
    with pytest.raises(UsageError, match=r"after epoch \d+: training has diverged; lower optimizer.lr"):
        train(path, ["training.epochs=5"], tmp_path / "run")


def test_the_average_of_a_short_run_forgets_its_first_step() -> None:
    average = AveragedModel(nn.BatchNorm1d(1), avg_fn=running_average(0.99), use_buffers=True)
    model = nn.BatchNorm1d(1)
    average.update_parameters(model)  # running variance 1
    model.running_var = torch.full((1,), 0.01)
    for _ in range(100):
        average.update_parameters(model)
    assert average.module.running_var.item() == pytest.approx(0.01, rel=1e-3)
    assert average.module.num_batches_tracked.item() == 0


def test_what_a_system_exempts_does_not_decay() -> None:
    class Net(nn.Module):
        no_decay = ("A_log",)

        def __init__(self) -> None:
            super().__init__()
            self.A_log, self.W, self.b = (nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4, 3), (5,)))

    decaying, others = parameter_groups(Net())
    assert [p.shape[0] for p in decaying["params"]] == [4]
    assert sorted(p.shape[0] for p in others["params"]) == [2, 5]
    assert (decaying["decay"], others["decay"]) == (1.0, 0.0)
