# ruff: noqa: PT028  `test` is no test of pytest's
"""`train` and `test`: what the command line calls. A run is a folder; see `checkpoint` for the model in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microgesture.core.durable import make_folder, write_text
from microgesture.core.errors import NoInput, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from microgesture.datasets.clips import ClipDataset, LabelledClips
    from microgesture.datasets.loading import Loading
    from microgesture.learning.checkpoint import Facts, Saved
    from microgesture.learning.longtail import LongTail, Run
    from microgesture.learning.recipe import Recipe

RECIPE = "recipe.yaml"
_Path = str | os.PathLike[str]
Progress = Callable[[str, float, float], None]


def train(
    recipe: _Path,
    overrides: Sequence[str] = (),
    out: _Path | None = None,
    resume: bool = False,
    tell: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a system by a recipe and save it; or all members of an ensemble, each into a folder of its own.

    Args:
        overrides: settings that replace the recipe's, see `read_recipe`.
        out: folder of the run, by default `runs/<dataset>/<recipe>`.
        resume: go on from `last.ckpt` in that folder, if there is one.
        tell: gets a line of figures after every epoch.
        progress: called after every batch.

    Returns:
        The folder: `model.safetensors`, `config.json`, `recipe.yaml`, `log.jsonl`, `last.ckpt`.

    Raises:
        UsageError: the recipe is wrong, or the folder holds a finished or another run.
        NoInput, FormatError: the data are missing or damaged.
    """
    from microgesture.learning.ensemble import is_ensemble, train_ensemble
    from microgesture.learning.recipe import read_recipe, write_recipe

    if is_ensemble(recipe):
        return train_ensemble(recipe, overrides, out, resume, tell, progress)
    plan = read_recipe(recipe, overrides)
    folder = make_folder(out or Path("runs") / plan.name)
    written = write_recipe(plan.plain)
    before = folder / RECIPE
    # a system that learns without gradient leaves a model and no training state
    if before.exists() and not resume and any((folder / name).exists() for name in ("last.ckpt", "config.json")):
        raise UsageError(f"{folder} holds a run already; go on with --resume or choose another folder with --out")
    if before.exists() and resume and before.read_text(encoding="utf-8") != written:
        raise UsageError(f"{before} differs from this recipe: a run is resumed with the settings it began with")

    import torch

    from microgesture.datasets.loading import test_loader, train_loader
    from microgesture.learning.checkpoint import save_pretrained
    from microgesture.learning.longtail import LongTail
    from microgesture.learning.recognise import Recognise, fit, observe

    dataset, loading, facts = plan.dataset, plan.loading, facts_of(plan)
    settings = plan.training
    torch.manual_seed(settings.seed)
    system = plan.system.build(**facts.arguments(plan.system.cls))
    plan.optimizer.build(params=[torch.nn.Parameter(torch.zeros(1))])  # refuse wrong settings before data are read
    goes_on = resume and (folder / "last.ckpt").exists()
    if plan.windowing is not None:
        from microgesture.learning.spotting import fit_spotter

        write_text(before, written)
        trained, notes = fit_spotter(plan, system, folder, goes_on, tell, progress)
    else:
        batches = train_loader(dataset, loading, settings.seed, settings.epochs)
        longtail = after = None
        if plan.longtail:
            longtail = LongTail(plan.longtail, _train_counts(dataset))
            after = _after_training(plan, system, longtail, folder, goes_on, tell, progress)
            longtail.check(after)
        task = Recognise(
            system, lambda params: plan.optimizer.build(params=params), settings, len(facts.taxonomy), longtail
        )
        look = settings.validate_every and "val" in dataset.splits
        validation = test_loader(dataset.clips("val"), replace(loading, views=1, flip=False)) if look else None
        write_text(before, written)
        if not goes_on:  # a resumed run finds what was observed in its checkpoint
            observe(system, dataset, loading, batches, progress)
        trained = fit(task, batches, validation, folder, goes_on, tell, progress)
        done = longtail.finish(after) if longtail and after else {}
        notes = {"longtail": done} if done else {}
    return save_pretrained(
        folder,
        trained,
        facts,
        plan.system.args,
        recipe=plan.name,
        commit=commit(),
        seed=settings.seed,
        epochs=settings.epochs,
        **({"serves": dataset.serves} if hasattr(dataset, "serves") else {}),
        **({"origin": trained.origin} if hasattr(trained, "origin") else {}),
        **notes,
    )


def test(
    recipe_or_run: _Path,
    overrides: Sequence[str] = (),
    weights: _Path | None = None,
    split: str | None = None,
    out: _Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a trained system, or an ensemble of them, on a split.

    Args:
        recipe_or_run: a folder `train` has written, or a recipe: then the model is `weights`, else the recipe's
            own `weights`, else the run `train` writes by default.
        split: by default `test`, or `val` where the data set withholds the labels of its test clips.
        out: folder for `test.json` and `predictions.npz`, by default the run.

    Returns:
        The record, see `evaluation.records`: system, recipe, commit, seed, split, parameters, cost, metrics with
        intervals and floor.

    Raises:
        NoInput: the model or the data are missing.
        FormatError: one of them is damaged, or the model knows other labels than the data.
        UsageError: the labels of the split are withheld.
    """
    from microgesture.datasets.loading import test_loader
    from microgesture.learning.cost import cost
    from microgesture.learning.ensemble import is_ensemble, measure_ensemble

    if is_ensemble(recipe_or_run):
        return measure_ensemble(recipe_or_run, overrides, weights, split, out, progress)
    measured = load(recipe_or_run, overrides, weights)
    if measured.plan.windowing is not None:
        return _measured_spotter(measured, split, out, progress)
    dataset, saved = measured.plan.dataset, measured.saved
    split, clips = labelled_clips(dataset, split)
    probabilities = predict(saved.system, clips, measured.plan.loading, measured.table, progress)
    price = cost(saved.system, next(iter(test_loader(clips, measured.plan.loading))))
    result = result_of(
        dataset,
        split,
        clips,
        probabilities,
        system=saved.config["system"]["class_path"],
        recipe=saved.config.get("recipe", measured.plan.name),
        weights_sha256=saved.config["sha256"],
        commit=commit(),
        seed=saved.config.get("seed"),
        parameters=price.parameters,
        flops=price.flops,
        latency_ms=round(price.latency_ms, 3),
    )
    target = _target(measured, out)
    if target is not None:
        write_result(target, result, clips, probabilities)
    return result


def labelled_clips(dataset: ClipDataset, split: str | None) -> tuple[str, LabelledClips]:
    """A split, by default `labelled_split`, and those of its clips that have labels.

    Raises:
        UsageError: none has.
    """
    split = split or labelled_split(dataset)
    clips = dataset.clips(split)
    if clips.soft is None and (clips.label < 0).any():
        if (clips.label < 0).all():
            raise UsageError(f"{dataset.key} gives no labels for split '{split}': its figures come from its server")
        clips = clips.where(clips.label >= 0, "labelled")  # type: ignore[attr-defined]
    return split, clips


def result_of(
    dataset: ClipDataset, split: str, clips: LabelledClips, probabilities: NDArray[np.float64], **about: Any
) -> dict[str, Any]:
    """The record of class probabilities (N, K); `about` is what it says about the system."""
    from microgesture.datasets.clips import EndlessDataset
    from microgesture.evaluation.classification import summary
    from microgesture.evaluation.records import record

    taxonomy = dataset.taxonomy
    shown = None if isinstance(dataset, EndlessDataset) else dataset.clips("train").counts
    coarse = [taxonomy.group_of(i) for i in range(len(taxonomy))] if taxonomy.key == "ma52" else None
    subjects = None if (clips.subject < 0).any() else clips.subject
    return record(
        dataset=dataset.key,
        taxonomy=taxonomy.key,
        protocol=getattr(dataset, "protocol", None),
        split=split,
        source=f"{dataset.key}, split {split}",
        simulated=getattr(dataset, "simulated", dataset.key.startswith("simulated")),
        clips=len(clips),
        metrics=summary(probabilities, clips.label, subjects=subjects, train_counts=shown, coarse_of=coarse),
        **about,
    )


def write_result(
    folder: Path, result: dict[str, Any], clips: LabelledClips, probabilities: NDArray[np.float64]
) -> None:
    """`test.json`, and `predictions.npz` beside it."""
    import numpy as np

    from microgesture.evaluation.records import PREDICTIONS, RECORD, Predictions, write_predictions, write_record

    folder = make_folder(folder)
    names = np.array(clips.names, dtype=np.str_)
    write_predictions(folder / PREDICTIONS, Predictions(names, clips.label, probabilities))
    write_record(folder / RECORD, result)


def _target(measured: Measured, out: _Path | None) -> Path | None:
    """Where figures are written: the folder asked for, else the run; nowhere for models that cannot hold them."""
    if out:
        return Path(out)
    folder = measured.saved.folder
    return folder if os.access(folder, os.W_OK) and not measured.shipped else None


def _measured_spotter(
    measured: Measured, split: str | None, out: _Path | None, progress: Progress | None
) -> dict[str, Any]:
    """`test` for systems that find gestures in recordings: `test.json`, and what was found in `found/`."""
    from microgesture.evaluation.records import RECORD, record, write_record
    from microgesture.formats.timeline_json import write_timeline_json
    from microgesture.learning.spotting import measure_spotter

    dataset, saved = measured.plan.dataset, measured.saved
    split = split or labelled_split(dataset)
    tested = measure_spotter(measured.plan, saved, split, progress)
    result = record(
        system=saved.config["system"]["class_path"],
        recipe=saved.config.get("recipe", measured.plan.name),
        weights_sha256=saved.config["sha256"],
        commit=commit(),
        seed=saved.config.get("seed"),
        dataset=dataset.key,
        taxonomy=dataset.taxonomy.key,
        protocol=getattr(dataset, "protocol", None),
        split=split,
        source=f"{dataset.key}, split {split}",
        simulated=getattr(dataset, "simulated", dataset.key.startswith("simulated")),
        clips=len(tested.names),
        parameters=sum(p.numel() for p in saved.system.parameters()),
        metrics=tested.metrics,
    )
    target = _target(measured, out)
    if target is not None:
        folder = make_folder(target)
        for name, line in zip(tested.names, tested.lines, strict=True):
            write_timeline_json(line, make_folder(folder / "found") / f"{name}.json")
        write_record(folder / RECORD, result)
    return result


@dataclass(frozen=True)
class Measured:
    """A trained system and the data it is measured on.

    Args:
        plan: the recipe, its data set built.
        saved: the model.
        facts: of the data.
        table: (motions, K) if the model predicts motions.
        shipped: the model is one that ships with the package.
    """

    plan: Recipe
    saved: Saved
    facts: Facts
    table: NDArray[np.float32] | None
    shipped: bool


def load(recipe_or_run: _Path, overrides: Sequence[str] = (), weights: _Path | None = None) -> Measured:
    """The model of a run or recipe and the data it names; see `test` for the arguments and errors."""
    from microgesture.learning.checkpoint import from_pretrained
    from microgesture.learning.ensemble import is_ensemble
    from microgesture.learning.motions import motion_table
    from microgesture.learning.recipe import read_recipe

    given = Path(recipe_or_run)
    path = given / RECIPE if given.is_dir() else given
    if is_ensemble(path):
        raise UsageError(f"{path} is an ensemble; expected a single system, e.g. one of its members' folders")
    plan = read_recipe(path, overrides)
    default = given if given.is_dir() else plan.weights or Path("runs") / plan.name
    model = Path(weights or default)
    facts = facts_of(plan)
    try:
        saved = from_pretrained(model)
        if saved.facts.taxonomy.key != "motions":
            saved = from_pretrained(model, taxonomy=facts.taxonomy)
    except NoInput as error:
        raise NoInput(f"{error}. Train one: microgesture train {path}") from error
    if saved.facts.skeleton != facts.skeleton:
        raise UsageError(f"{model} reads '{saved.facts.skeleton.name}', the data have '{facts.skeleton.name}'")
    # a model of motions answers in any taxonomy it carries a table for
    table = None if saved.facts.taxonomy == facts.taxonomy else motion_table(saved, facts.taxonomy)
    return Measured(plan, saved, facts, table, plan.weights is not None and weights is None)


def labelled_split(dataset: ClipDataset) -> str:
    """`test`, or `val` where the data set withholds the labels of its test clips."""
    withheld = getattr(dataset, "withheld", None)
    return "val" if withheld is not None and withheld("test") and "val" in dataset.splits else "test"


def predict(
    system: nn.Module,
    clips: LabelledClips,
    loading: Loading,
    table: NDArray[np.float32] | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Class probabilities (N, K) of all clips, the mean over a clip's views.

    Args:
        table: (motions, K) if the system predicts motions.
    """
    import numpy as np
    import torch

    from microgesture.datasets.loading import test_loader
    from microgesture.layers.losses import class_logits
    from microgesture.learning.motions import class_probabilities

    device = "cuda" if torch.cuda.is_available() else "cpu"
    system = system.to(device).eval()
    rows: list[NDArray[np.float64]] = []
    done = 0
    with torch.inference_mode():
        for batch in test_loader(clips, loading):
            logits = class_logits(system(batch.to(device))).float().cpu()
            p = logits.softmax(-1).double().numpy() if table is None else class_probabilities(logits.numpy(), table)
            rows.append(p.reshape(-1, loading.samples, p.shape[-1]).mean(1).astype(np.float64))
            done += len(rows[-1])
            if progress:
                progress("clips", done, len(clips))
    return np.concatenate(rows)


def _train_counts(dataset: ClipDataset) -> NDArray[np.int64]:
    """Clips per class that the long-tail kit reckons from."""
    from microgesture.datasets.clips import EndlessBatches, EndlessDataset

    if isinstance(dataset, (EndlessDataset, EndlessBatches)):
        raise UsageError(f"longtail: '{dataset.key}' makes new clips in every epoch, so no class of it is rare")
    return dataset.clips("train").counts


def _after_training(
    plan: Recipe,
    system: nn.Module,
    longtail: LongTail,
    folder: Path,
    goes_on: bool,
    tell: Callable[[str], None] | None,
    progress: Progress | None,
) -> Run:
    """What those remedies of the long-tail kit may use that act when `system` is trained."""
    import torch

    from microgesture.datasets.loading import train_loader
    from microgesture.learning.longtail import Run
    from microgesture.learning.recognise import Retrain, fit

    dataset, settings = plan.dataset, plan.training

    def retrain(classifier: nn.Linear, share: float) -> None:
        place, epochs = make_folder(folder / "crt"), max(1, round(share * settings.epochs))
        short = replace(settings, epochs=epochs, warmup=0.0, ema=0.0, validate_every=0)
        torch.manual_seed(settings.seed)
        task = Retrain(
            system, classifier, lambda params: plan.optimizer.build(params=params), short, len(longtail.counts)
        )
        batches = train_loader(dataset, replace(plan.loading, balance="class"), settings.seed)
        fit(task, batches, None, place, goes_on and (place / "last.ckpt").exists(), tell, progress)
        system.requires_grad_(True)

    def validate() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        clips = dataset.clips("val")
        known = clips.label >= 0
        return predict(system, clips, replace(plan.loading, views=1, flip=False))[known], clips.label[known]

    return Run(system, longtail.counts, dataset.splits, retrain, validate)


def commit() -> str | None:
    """Commit of the working tree the package runs from; None for an installed package."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git on this machine: the record says so by leaving it open
    return done.stdout.strip()


def facts_of(plan: Recipe) -> Facts:
    """What a system must know about the data of a recipe; no data are read for it, only the model of `features`."""
    from microgesture.core.taxonomies import taxonomy as find_taxonomy
    from microgesture.learning.checkpoint import Facts

    data, loading = plan.dataset, plan.loading
    if plan.windowing is not None:
        from microgesture.learning.spotting import rate

        described, windowing = plan.windowing.features, plan.windowing
        width = 0 if described is None else described.width
        channels = data.coordinates + 1
        return Facts(
            data.skeleton, (data.taxonomy,), windowing.frames, data.persons, channels, rate(windowing, data), width
        )
    channels = loading.channels(data)
    serves = [find_taxonomy(key) for key in getattr(data, "serves", ())]
    return Facts(data.skeleton, (data.taxonomy, *serves), loading.frames, data.persons, channels, data.fps)
