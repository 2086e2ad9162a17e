# ruff: noqa: PT028  `test` is no test of pytest's
"""`train` and `test`: what the command line calls. A run is a folder; see `checkpoint` for the model in it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microgesture.core.durable import make_folder, write_text
from microgesture.core.errors import NoInput, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from microgesture.datasets.clips import Clips
    from microgesture.datasets.loading import Loading
    from microgesture.learning.checkpoint import Facts
    from microgesture.learning.recipe import Recipe

RECIPE, RECORD = "recipe.yaml", "test.json"
_Path = str | os.PathLike[str]


def train(
    recipe: _Path,
    overrides: Sequence[str] = (),
    out: _Path | None = None,
    resume: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Train a system by a recipe and save it.

    Args:
        overrides: settings that replace the recipe's, see `read_recipe`.
        out: folder of the run, by default `runs/<dataset>/<recipe>`.
        resume: go on from `last.ckpt` in that folder, if there is one.
        tell: gets a line of figures after every epoch.

    Returns:
        The folder: `model.safetensors`, `config.json`, `recipe.yaml`, `log.jsonl`, `last.ckpt`.

    Raises:
        UsageError: the recipe is wrong, or the folder holds a finished or another run.
        NoInput, FormatError: the data are missing or damaged.
    """
    from microgesture.learning.recipe import read_recipe, write_recipe

    plan = read_recipe(recipe, overrides)
    folder = make_folder(out or Path("runs") / plan.name)
    written = write_recipe(plan.plain)
    before = folder / RECIPE
    if before.exists() and not resume and (folder / "last.ckpt").exists():
        raise UsageError(f"{folder} holds a run already; go on with --resume or choose another folder with --out")
    if before.exists() and resume and before.read_text(encoding="utf-8") != written:
        raise UsageError(f"{before} differs from this recipe: a run is resumed with the settings it began with")

    import torch

    from microgesture.datasets.loading import test_loader, train_loader
    from microgesture.learning.checkpoint import save_pretrained
    from microgesture.learning.recognise import Recognise, fit

    dataset, loading, facts = plan.dataset, plan.loading, _facts(plan)
    settings = plan.training
    torch.manual_seed(settings.seed)
    system = plan.system.build(**facts.arguments(plan.system.cls))
    plan.optimizer.build(params=[torch.nn.Parameter(torch.zeros(1))])  # refuse wrong settings before data are read
    task = Recognise(system, lambda params: plan.optimizer.build(params=params), settings, len(facts.taxonomy))
    batches = train_loader(dataset, loading, settings.seed)
    look = settings.validate_every and "val" in dataset.splits
    validation = test_loader(dataset.clips("val"), replace(loading, views=1)) if look else None
    write_text(before, written)
    goes_on = resume and (folder / "last.ckpt").exists()
    trained = fit(task, batches, validation, folder, goes_on, tell)
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
    )


def test(
    recipe_or_run: _Path,
    overrides: Sequence[str] = (),
    weights: _Path | None = None,
    split: str = "test",
    out: _Path | None = None,
) -> dict[str, Any]:
    """Measure a trained system on a split.

    Args:
        recipe_or_run: a folder `train` has written, or a recipe: then the model is `weights`, else the recipe's
            own `weights`, else the run `train` writes by default.
        out: folder for `test.json`, by default the run.

    Returns:
        The record: system, recipe, commit, seed, split, parameters, metrics with intervals and floor.

    Raises:
        NoInput: the model or the data are missing.
        FormatError: one of them is damaged, or the model knows other labels than the data.
    """
    from microgesture.datasets.clips import EndlessDataset
    from microgesture.learning.checkpoint import from_pretrained
    from microgesture.learning.recipe import read_recipe

    given = Path(recipe_or_run)
    path = given / RECIPE if given.is_dir() else given
    plan = read_recipe(path, overrides)
    default = given if given.is_dir() else plan.weights or Path("runs") / plan.name
    model = Path(weights or default)
    dataset, facts = plan.dataset, _facts(plan)
    try:
        saved = from_pretrained(model)
        if saved.facts.taxonomy.key != "motions":
            saved = from_pretrained(model, taxonomy=facts.taxonomy)
    except NoInput as error:
        raise NoInput(f"{error}. Train one: microgesture train {path}") from error
    if saved.facts.skeleton != facts.skeleton:
        raise UsageError(f"{model} reads '{saved.facts.skeleton.name}', the data have '{facts.skeleton.name}'")

    from microgesture.evaluation.classification import summary
    from microgesture.learning.motions import motion_table

    clips = dataset.clips(split)
    taxonomy = facts.taxonomy
    # a model of motions answers in any taxonomy it carries a table for
    table = None if saved.facts.taxonomy == taxonomy else motion_table(saved, taxonomy)
    probabilities = predict(saved.system, clips, plan.loading, table)
    shown = None if isinstance(dataset, EndlessDataset) else dataset.clips("train").counts
    coarse = [taxonomy.group_of(i) for i in range(len(taxonomy))] if taxonomy.key == "ma52" else None
    record: dict[str, Any] = {
        "system": saved.config["system"]["class_path"],
        "recipe": plan.name,
        "model": str(saved.folder),
        "weights_sha256": saved.config["sha256"],
        "commit": commit(),
        "seed": saved.config.get("seed"),
        "dataset": dataset.key,
        "taxonomy": taxonomy.key,
        "split": split,
        "source": clips.source,
        "parameters": saved.config["parameters"],
        "metrics": summary(probabilities, clips.label, subjects=clips.subject, train_counts=shown, coarse_of=coarse),
    }
    target = Path(out) if out else (saved.folder if os.access(saved.folder, os.W_OK) and not plan.weights else None)
    if target is not None:
        write_text(make_folder(target) / RECORD, json.dumps(record, indent=1) + "\n")
    return record


def predict(
    system: nn.Module, clips: Clips, loading: Loading, table: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """Class probabilities (N, K) of all clips, the mean over a clip's views.

    Args:
        table: (motions, K) if the system predicts motions.
    """
    import numpy as np
    import torch

    from microgesture.datasets.loading import test_loader
    from microgesture.learning.motions import class_probabilities

    device = "cuda" if torch.cuda.is_available() else "cpu"
    system = system.to(device).eval()
    rows = []
    with torch.inference_mode():
        for batch in test_loader(clips, loading):
            logits = system(batch.to(device)).float().cpu()
            p = logits.softmax(-1).double().numpy() if table is None else class_probabilities(logits.numpy(), table)
            rows.append(p.reshape(-1, loading.views, p.shape[-1]).mean(1).astype(np.float64))
    return np.concatenate(rows)


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


def _facts(plan: Recipe) -> Facts:
    from microgesture.core.taxonomies import taxonomy as find_taxonomy
    from microgesture.learning.checkpoint import Facts

    data, loading = plan.dataset, plan.loading
    channels = loading.channels(data)
    serves = [find_taxonomy(key) for key in getattr(data, "serves", ())]
    return Facts(data.skeleton, (data.taxonomy, *serves), loading.frames, data.persons, channels, data.fps)
