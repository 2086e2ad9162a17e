"""The recognition task on Lightning: any system that turns a `PoseBatch` into class logits learns here.

The task adds up `system.losses`, steps the optimizer along a warm-up and a cosine, or along steps down, and keeps
`last.ckpt` so that an interrupted run goes on where it stopped and ends with the same weights.

A system whose parts learn at rates of their own has a method `parameter_groups`, see the function of that name; one
that takes statistics of the clips, or solves for its weights, before any gradient step has a method `observe`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor, nn
from torch.optim import Optimizer

from microgesture.core.durable import replacing, write_text
from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.datasets.clips import ClipDataset, EndlessBatches, EndlessDataset
from microgesture.datasets.loading import Loading, test_loader
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_logits
from microgesture.layers.rates import decay_groups
from microgesture.learning.longtail import LongTail
from microgesture.learning.recipe import Training

LAST, LOG = "last.ckpt", "log.jsonl"
Progress = Callable[[str, float, float], None]


class Recognise(pl.LightningModule):
    """Trains `system` to name clips.

    Args:
        system: `forward(batch) -> logits (B, K)` and `losses(out, batch) -> named terms`.
        optimizer: makes the optimizer from the parameters.
        classes: K.
        longtail: what is done for rare classes.
    """

    def __init__(
        self,
        system: nn.Module,
        optimizer: Callable[[Any], Optimizer],
        training: Training,
        classes: int,
        longtail: LongTail | None = None,
    ) -> None:
        super().__init__()
        self.system, self.training_settings, self.classes, self.longtail = system, training, classes, longtail
        self._make_optimizer = optimizer

    def on_train_epoch_start(self) -> None:
        # dropout must not depend on whether the run was interrupted before this epoch
        torch.manual_seed(self.training_settings.seed * 1_000_003 + self.current_epoch)

    def training_step(self, batch: PoseBatch, _: int) -> Tensor:
        out = self.system(batch)
        terms = self._terms(out, batch)
        loss = torch.stack(list(terms.values())).sum()
        self.log_dict(
            {f"loss/{name}": term for name, term in terms.items()}, on_epoch=True, on_step=False, batch_size=len(batch)
        )
        self.log("loss", loss, prog_bar=True, on_epoch=True, on_step=False, batch_size=len(batch))
        return loss

    def validation_step(self, batch: PoseBatch, _: int) -> None:
        logits = class_logits(self.system(batch))
        assert batch.label is not None  # clips of a split carry one
        right = (logits.argmax(-1) == batch.label).float().mean()
        self.log("val/top1", right, prog_bar=True, batch_size=len(batch))

    def _terms(self, out: Any, batch: PoseBatch) -> dict[str, Tensor]:
        if self.longtail is None:
            terms: dict[str, Tensor] = self.system.losses(out, self._smooth(batch))  # type: ignore[operator]
            return terms
        weighed = self.longtail.weigh(batch, self.current_epoch / self.training_settings.epochs)
        return self.longtail.losses(self.system, out, self._smooth(weighed))

    def _smooth(self, batch: PoseBatch) -> PoseBatch:
        amount = self.training_settings.label_smoothing
        if not amount or batch.soft is not None or batch.label is None:
            return batch
        soft = F.one_hot(batch.label, self.classes).to(batch.xy.dtype) * (1 - amount) + amount / self.classes
        return replace(batch, soft=soft)

    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer(parameter_groups(self.system))
        apply_shares(optimizer)
        settings, steps = self.training_settings, max(1, int(self.trainer.estimated_stepping_batches))
        warm, *drops = (epochs * steps / settings.epochs for epochs in (settings.warmup, *settings.drops))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate(step, warm, steps, drops, settings.drop)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: PoseBatch, device: torch.device, _: int) -> PoseBatch:
        return batch.to(device)


def observe(
    system: nn.Module, dataset: ClipDataset, loading: Loading, batches: Any, progress: Progress | None = None
) -> None:
    """Show a system the training clips before it is trained, if it has a method `observe(passes, progress)`.

    `passes` never end; each is the batches of all clips: first as they are, where the data set has a list of them, then
    as they are trained on, augmented anew each time. The system takes as many as it needs.

    Args:
        batches: what `train_loader` gave.
    """
    look: Callable[..., None] | None = getattr(system, "observe", None)
    if look is None:
        return

    def passes() -> Iterator[Iterable[PoseBatch]]:
        if not isinstance(dataset, (EndlessDataset, EndlessBatches)):
            yield test_loader(dataset.clips("train"), replace(loading, views=1, flip=False))
        for epoch in count():
            batches.sampler.set_epoch(epoch)
            yield batches

    look(passes(), progress)


class Retrain(Recognise):
    """Trains one layer anew: everything else keeps its weights, statistics and the mode it has in a test.

    The layer learns at its share of the rate. Its epochs are few, so the rate falls as a cosine whatever
    `training.drops` says.
    """

    def __init__(
        self,
        system: nn.Module,
        layer: nn.Linear,
        optimizer: Callable[[Any], Optimizer],
        training: Training,
        classes: int,
    ) -> None:
        super().__init__(system, optimizer, replace(training, drops=()), classes)
        system.requires_grad_(False)
        layer.requires_grad_(True)
        layer.reset_parameters()

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.system.eval()


def parameter_groups(system: nn.Module) -> list[dict[str, Any]]:
    """What learns of a system, in groups of one learning rate and weight decay.

    Returns:
        `params`, and `rate` and `decay`, their shares of the recipe's learning rate and weight decay. A system may say
        them in a method `parameter_groups()` that gives such groups of all its parameters. One without it learns at the
        whole rate, and decays as `decay_groups` says. Frozen parameters are left out, and groups in which nothing
        learns.

    Raises:
        UsageError: the system's groups do not state their shares, or hold a parameter twice or not at all.

    Example:
        >>> [(len(g["params"]), g["rate"], g["decay"]) for g in parameter_groups(nn.Linear(2, 3))]
        [(1, 1.0, 1.0), (1, 1.0, 0.0)]
    """
    stated: Callable[[], list[dict[str, Any]]] | None = getattr(system, "parameter_groups", None)
    groups = decay_groups(system) if stated is None else stated()
    named = {id(p): name for name, p in system.named_parameters()}
    times = Counter(id(p) for group in groups for p in group.get("params", ()))
    odd = [name for key, name in named.items() if times[key] != 1]
    if odd or len(times) > len(named) or any({"params", "rate", "decay"} - set(group) for group in groups):
        raise UsageError(
            f"{type(system).__name__}.parameter_groups must give each parameter once, in groups with 'params', 'rate' "
            f"and 'decay'; twice or left out: {', '.join(odd[:4]) or 'none'}"
        )
    learning = [group | {"params": [p for p in group["params"] if p.requires_grad]} for group in groups]
    return [group for group in learning if group["params"]]


def apply_shares(optimizer: Optimizer) -> None:
    """Multiply learning rate and weight decay of each group by its `rate` and `decay`, before a schedule is made."""
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * group["rate"]
        if "weight_decay" in group:  # Rprop has none
            group["weight_decay"] = group["weight_decay"] * group["decay"]


def learning_rate(step: int, warm: float, steps: int, drops: Sequence[float] = (), drop: float = 0.1) -> float:
    """Factor on the learning rate: linear up to `warm` steps, then half a cosine down to 0.

    Args:
        drops: steps after each of which it is multiplied by `drop`, in place of the cosine.

    Example:
        >>> [learning_rate(s, 2, 10) for s in (0, 1, 2, 6, 10)]
        [0.333..., 0.666..., 1.0, 0.5, 0.0]
        >>> [learning_rate(s, 2, 10, drops=(4, 8), drop=0.5) for s in (0, 1, 2, 3, 4, 7, 8, 10)]
        [0.333..., 0.666..., 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    if drops:
        return min(1.0, (step + 1) / (warm + 1)) * drop ** sum(step >= after for after in drops)
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1.0, steps - warm))))


class Checkpoints(CheckpointIO):
    """Training states: 32 bytes SHA-256, then what `torch.save` writes. Written durably, read without pickled code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        data = buffer.getvalue()
        with replacing(path) as temporary:
            temporary.write_bytes(hashlib.sha256(data).digest() + data)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise NoInput(f"{path}: no training state there ({error.strerror})") from error
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            raise FormatError(path, "is damaged: its SHA-256 does not fit", remedy="train again without --resume")
        state: dict[str, Any] = torch.load(BytesIO(data[32:]), map_location=map_location, weights_only=True)
        return state

    def remove_checkpoint(self, path: Any) -> None:
        os.unlink(path)


class Journal(pl.Callback):
    """After every epoch: the training state into `last.ckpt`, one line of figures into `log.jsonl`."""

    def __init__(
        self, folder: Path, tell: Callable[[str], None] | None = None, progress: Progress | None = None
    ) -> None:
        self.folder, self.tell, self.progress, self.start = folder, tell, progress, time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.progress is not None:
            self.progress("training", trainer.global_step, trainer.estimated_stepping_batches)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        figures = {name: round(float(value), 5) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(figures.get("loss", 0.0)):
            raise UsageError(
                f"the loss is {figures['loss']} after epoch {trainer.current_epoch + 1}: training has diverged; "
                "lower optimizer.lr or set training.clip. The state of the epoch before is kept"
            )
        seconds = round(time.perf_counter() - self.start, 2)
        line = {"epoch": trainer.current_epoch + 1, **figures, "seconds": seconds}
        log = self.folder / LOG
        before = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        # a run that died after this line and before its state was saved repeats the epoch
        write_text(log, "\n".join([*before[: trainer.current_epoch], json.dumps(line)]) + "\n")
        if self.tell is not None:
            self.tell("  ".join(f"{name} {value}" for name, value in line.items()))
        trainer.save_checkpoint(self.folder / LAST, weights_only=False)  # optimizer and schedule too


def running_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A running average of weights and batch norm statistics; its memory grows with the steps, up to that of `decay`.

    With a constant decay of 0.99 the statistics of the first step, far from those of trained layers, would still count
    5 % after 300 steps: enough to leave a network at the majority floor.
    """

    def average(mean: Tensor, current: Tensor, steps: Tensor) -> Tensor:
        keep = ((1 + steps) / (10 + steps)).clamp(max=decay)
        return mean * keep + current * (1 - keep)

    return average


def fit(
    task: Recognise,
    train_batches: Any,
    val_batches: Any,
    folder: Path,
    resume: bool,
    tell: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Train, from `folder/last.ckpt` on if `resume`; returns the system with its final (averaged) weights."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # its talk about hardware is not ours
    settings = task.training_settings
    if not settings.epochs:  # all was learnt by `observe`
        return task.system
    average = [WeightAveraging(avg_fn=running_average(settings.ema))] if settings.ema else []
    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        accelerator="auto",
        devices=1,
        precision=settings.precision,
        gradient_clip_val=settings.clip or None,
        callbacks=[*average, Journal(folder, tell, progress)],
        plugins=[Checkpoints()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=settings.validate_every or None,
        limit_val_batches=None if settings.validate_every else 0,
        default_root_dir=folder,
    )
    last = folder / LAST if resume else None
    with warnings.catch_warnings():
        for words in (".*no `val_dataloader`", ".*does not have many workers", ".*LeafSpec", ".*end up with different"):
            warnings.filterwarnings("ignore", words)
        try:
            trainer.fit(task, train_batches, val_batches, ckpt_path=last, weights_only=True)
        except SystemExit as stop:
            if trainer.interrupted:  # Lightning turns Ctrl-C into an exit with 1
                raise KeyboardInterrupt from stop
            raise
    for callback in average:  # once more: the hook is left out where a resumed run had no epoch to go
        callback.on_train_end(trainer, task)
    return task.system
