"""Transfer between data sets: what a model trained on one of them is worth on another.

    zero-shot    the model as it is; its classes are summed into the unified ones that both data sets share
    probe        logistic regression on its frozen features
    knn          nearest neighbours on its frozen features
    k-shot       all weights trained further on k clips per class
    fine-tune    all weights trained further on all clips, beside the same system trained from nothing
    joint        one model for several data sets: a head for each and one for the unified classes

Leaving one data set out needs no protocol of its own: train on `Together` of the others with unified labels, then go
zero-shot to the one left out (recipes/transfer).

Every figure is a cell of one JSON file, which is written anew after each: what was interrupted goes on. In every cell
an accuracy stands with its interval and the majority floor.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from microgesture.core.durable import make_folder, write_text
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import TAXONOMIES, UNIFIED_TAXONOMY, to_unified
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.datasets.clips import ClipDataset, LabelledClips
from microgesture.datasets.folds import FewShots, k_shot
from microgesture.datasets.harmonised import Harmonised, Head, Together, is_simulated, own_head, unified_ids, view
from microgesture.evaluation.classification import summary
from microgesture.formats.safe_json import read_json, write_json
from microgesture.layers.batch import PoseBatch
from microgesture.learning.checkpoint import Facts, Saved, from_pretrained, save_pretrained
from microgesture.learning.recipe import Recipe, read_recipe, write_recipe
from microgesture.learning.runs import RECIPE, commit, labelled_split, predict

if TYPE_CHECKING:
    from microgesture.datasets.loading import Loading
    from microgesture.evaluation.probe import Probe
    from microgesture.learning.recipe import Training

PROTOCOLS = ("zero-shot", "probe", "knn", "k-shot", "fine-tune", "joint")
FORMAT, VERSION = "microgesture-transfer", 1
Tell = Callable[[str], None]
_Path = str | os.PathLike[str]
_Array = NDArray[np.float64]
_IDLE = UNIFIED_TAXONOMY.illustrative


def transfer(
    source: _Path,
    to: _Path | None,
    protocol: str,
    *,
    overrides: Sequence[str] = (),
    shots: Sequence[int] = (1, 5, 10, 20),
    seeds: Sequence[int] = (0, 1, 2),
    split: str | None = None,
    out: _Path | None = None,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Measure one protocol and keep the record as `<protocol>.json`.

    Args:
        source: folder or shipped name of a model; for `joint` a recipe whose data are `Together(heads: true)`.
        to: recipe that names the target data; `k-shot` and `fine-tune` take its optimizer and training too. Its
            system is not used, nor its loading where the model keeps the recipe it was trained by: a model reads
            what it learnt to read. Clips are given to it in its joints and at its rate; where it reads more joints than
            the recipe's data show, name a recipe of the data set as it is.
        overrides: settings that replace those of the recipe.
        shots, seeds: clips per class and random seeds of the protocols that have them.
        split: split to measure on; by default `test`, or `val` where the test labels are withheld.
        out: folder for the record and for trained models, by default `runs/transfer/<model>-to-<recipe>`.
        tell: gets a line for every cell and after every epoch.

    Returns:
        The record: protocol, source, target, split, notes, `cells` by name, and their `summary` over seeds.

    Raises:
        UsageError: arguments do not fit together, or `out` holds another measurement.
        NoInput, FormatError: the model, the recipe or the data are missing or damaged.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"no protocol '{protocol}'; choose {', '.join(PROTOCOLS)}")
    if not seeds or not shots or min(shots) < 1 or min(seeds) < 0:
        raise UsageError(f"shots {list(shots)} and seeds {list(seeds)}: name shots from 1 and seeds from 0 on")
    say = tell or (lambda line: None)
    if protocol == "joint":
        if to is not None:
            raise UsageError("joint takes one recipe, whose data are several data sets together, and no --to")
        return _joint(_without_remedies(read_recipe(source, overrides)), seeds, split, out, say)
    if to is None:
        raise UsageError(f"{protocol} needs the recipe that names the target data: --to")
    plan = _without_remedies(read_recipe(to, overrides))
    model = open_source(source)
    pair = _Pair(model, plan, target(model, plan), split)
    folder = make_folder(out or Path("runs") / "transfer" / f"{model.saved.folder.name}-to-{pair.target_name}")
    record = _Record(folder / f"{protocol}.json", pair.about(protocol), say)
    {
        "zero-shot": lambda: _zero_shot(pair, record),
        "probe": lambda: _probes(pair, record, "probe"),
        "knn": lambda: _probes(pair, record, "knn"),
        "k-shot": lambda: _few_shots(pair, record, folder, shots, seeds),
        "fine-tune": lambda: _fine_tune(pair, record, folder, seeds),
    }[protocol]()
    return record.finished()


def _without_remedies(plan: Recipe) -> Recipe:
    if plan.longtail:
        raise UsageError(f"{plan.path}: transfer trains without a long-tail kit; leave it out with longtail=null")
    return plan


# ---- the two sides


@dataclass(frozen=True)
class Source:
    """A trained model and what it was trained on.

    Args:
        plan: the recipe beside the model, or None.
        unified: unified classes it was trained for.
    """

    saved: Saved
    plan: Recipe | None
    unified: tuple[int, ...]

    @property
    def heads(self) -> tuple[Head, ...]:
        """Heads of a model trained jointly."""
        return getattr(self.plan.dataset, "heads", ()) if self.plan else ()


def open_source(run: _Path) -> Source:
    """A model and, where it is there, the recipe it was trained by."""
    saved = from_pretrained(Path(run))
    path = saved.folder / RECIPE
    if path.is_file():
        plan = read_recipe(path)
        return Source(saved, plan, unified_ids(plan.dataset))
    key = saved.facts.taxonomy.key
    known = sorted({i for i in to_unified(key) if i >= 0}) if key in TAXONOMIES else ()
    return Source(saved, None, tuple(known))


def target(source: Source, plan: Recipe) -> ClipDataset:
    """The target data as the model reads them: its joints, rate and number of coordinates.

    Raises:
        UsageError: the data cannot be brought there.
    """
    facts, data = source.saved.facts, plan.dataset
    loading = _loading(source, plan)
    coordinates, rest = divmod(facts.in_channels - 1, len(loading.streams))
    if loading.frames != facts.frames or rest or coordinates not in (2, 3):
        raise UsageError(
            f"{source.saved.folder} reads {facts.frames} frames of {facts.in_channels} channels, the recipe loads "
            f"{loading.frames} frames with {len(loading.streams)} streams: set loading as it was in training"
        )
    if data.persons != facts.persons:
        raise UsageError(f"{source.saved.folder} reads {facts.persons} persons, {data.key} shows {data.persons}")
    if (data.skeleton, data.fps, data.coordinates) == (facts.skeleton, facts.fps, coordinates):
        return data
    if facts.skeleton.name not in SKELETONS:
        raise UsageError(f"{source.saved.folder} reads joints of its own ('{facts.skeleton.name}'): nothing projects")
    return Harmonised(data, facts.skeleton.name, facts.fps, coordinates=2 if coordinates == 2 else 3)


def _loading(source: Source, plan: Recipe) -> Loading:
    return source.plan.loading if source.plan else plan.loading


@dataclass
class _Pair:
    """A model on its target."""

    source: Source
    plan: Recipe
    dataset: ClipDataset
    asked: str | None

    @property
    def loading(self) -> Loading:
        return _loading(self.source, self.plan)

    @cached_property
    def split(self) -> str:
        return self.asked or measured_split(self.dataset)

    @property
    def target_name(self) -> str:
        return self.plan.name.replace("/", "-")

    def labelled(self, split: str) -> LabelledClips:
        return labelled(self.dataset, split)

    def about(self, protocol: str) -> dict[str, Any]:
        saved, data = self.source.saved, self.dataset
        return {
            "protocol": protocol,
            "source": {
                "system": saved.config["system"]["class_path"],
                "recipe": saved.config.get("recipe"),
                "taxonomy": saved.facts.taxonomy.key,
                "seed": saved.config.get("seed"),
                "weights_sha256": saved.config["sha256"],
            },
            "target": {
                "recipe": self.plan.name,
                "dataset": data.key,
                "taxonomy": data.taxonomy.key,
                "division": getattr(data, "protocol", None),
                "joints": data.skeleton.name,
                "fps": data.fps,
                "coordinates": data.coordinates,
            },
            "split": self.split,
            "simulated": is_simulated(data),
            "settings": _digest({k: self.plan.plain.get(k) for k in ("data", "loading", "optimizer", "training")}),
        }


def labelled(dataset: ClipDataset, split: str) -> LabelledClips:
    """The clips of a split whose labels are known.

    Raises:
        UsageError: none is.
    """
    clips = dataset.clips(split)
    rows = np.flatnonzero(clips.label >= 0)
    if not len(rows):
        raise UsageError(f"{dataset.key} gives no labels for split '{split}': choose another with --split")
    return clips if len(rows) == len(clips) else view(clips, dataset.fps, "labelled", rows)


def measured_split(dataset: ClipDataset) -> str:
    """`test`, or `val` where no test clip has a label."""
    split = labelled_split(dataset)
    if split == "test" and "val" in dataset.splits and (dataset.clips(split).label < 0).all():
        return "val"
    return split


class _Record:
    """The file of one measurement: cells that are there stay, cells that come are written at once."""

    def __init__(self, path: Path, about: dict[str, Any], tell: Tell) -> None:
        self.path, self.tell = path, tell
        self.value: dict[str, Any] = {"format": FORMAT, "version": VERSION, **about, "notes": [], "cells": {}}
        if not path.exists():
            return
        before = read_json(path)
        if not isinstance(before, dict) or before.get("format") != FORMAT or before.get("version") != VERSION:
            raise FormatError(path, "is no record of a transfer", remedy="choose another folder with --out")
        changed = [name for name in about if before.get(name) != json.loads(json.dumps(about[name]))]
        if changed or not isinstance(before.get("cells"), dict):
            raise UsageError(
                f"{path} holds another measurement ({', '.join(changed) or 'cells'} differ): choose another folder "
                "with --out"
            )
        self.value["cells"] = before["cells"]

    def note(self, text: str) -> None:
        self.value["notes"].append(text)
        self.tell(text)

    def begin(self) -> None:
        """Write the record before anything is trained: a state that training leaves is resumed by the same settings."""
        write_json(self.path, self.value)

    def cell(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The cell of that name, measured unless it is there."""
        cells = self.value["cells"]
        if name not in cells:
            cells[name] = measure()
            write_json(self.path, self.value)
        shown = cells[name]
        if "top1" in shown:
            self.tell(f"{name}: top-1 {shown['top1']:.3f} (floor {shown['majority_floor']:.3f})")
        found: dict[str, Any] = shown
        return found

    def finished(self, **summaries: Any) -> dict[str, Any]:
        self.value["commit"] = commit()
        if summaries:
            self.value["summary"] = summaries
        write_json(self.path, self.value)
        return self.value


# ---- zero-shot


def shared_probabilities(p: ArrayLike, table: Sequence[int], shared: Sequence[int]) -> _Array:
    """Probabilities of the unified classes both sides have: sums over the classes that mean one, renormalised.

    Args:
        p: (N, K) of the source's classes.
        table: (K,) unified id of each, -1 where there is none.
        shared: unified ids.

    Returns:
        (N, len(shared)); uniform where the source gives none of them any probability.

    Example:
        >>> shared_probabilities([[0.1, 0.2, 0.3, 0.4]], (5, 5, 7, -1), (5, 7)).round(6).tolist()
        [[0.5, 0.5]]
    """
    one_hot = np.array([[float(u == s) for s in shared] for u in table])
    summed = np.asarray(p, np.float64) @ one_hot
    total = summed.sum(1, keepdims=True)
    return np.where(total > 0, summed / np.maximum(total, np.finfo(np.float64).tiny), 1 / len(shared))


def zero_shot_metrics(
    p: ArrayLike, table: Sequence[int], truth: ArrayLike, shared: Iterable[int], *, illustrative: bool = True
) -> dict[str, Any]:
    """How well a source names the target clips whose class both sides share.

    Args:
        p, table: see `shared_probabilities`.
        truth: (N,) unified ids of the target clips, -1 = none.
        shared: unified ids both sides have.
        illustrative: with or without the class of no micro-gesture.

    Returns:
        `classification.summary` over the shared classes, `classes` by name, and `left_out`: clips of other classes.

    Raises:
        UsageError: fewer than two classes are shared, or no clip shows one.
    """
    space = sorted(set(shared) if illustrative else set(shared) - {_IDLE})
    if len(space) < 2:
        raise UsageError(f"source and target share {len(space)} unified classes; two are needed to tell them apart")
    ids = np.asarray(truth, np.int64)
    keep = np.isin(ids, space)
    if not keep.any():
        raise UsageError("no target clip shows a class that the source knows")
    scores = shared_probabilities(np.asarray(p)[keep], table, space)
    metrics = summary(scores, np.searchsorted(space, ids[keep]))
    names = [UNIFIED_TAXONOMY[i].name for i in space]
    return metrics | {"classes": names, "left_out": int((~keep).sum())}


def _zero_shot(pair: _Pair, record: _Record) -> None:
    from microgesture.learning.motions import motion_table

    source, dataset = pair.source, pair.dataset
    own = dataset.taxonomy.key
    if own not in TAXONOMIES or not unified_ids(dataset):
        raise UsageError(f"the classes of '{own}' have no place among the unified ones: zero-shot has nothing to name")
    clips = pair.labelled(pair.split)
    truth = np.array(to_unified(own))[clips.label]
    table, known, motions = _source_table(source), set(source.unified), None
    if source.saved.facts.taxonomy.key == "motions":  # such a model answers in the target's own classes
        motions, table, known = motion_table(source.saved, dataset.taxonomy), to_unified(own), set(unified_ids(dataset))
    shared = known & set(unified_ids(dataset))
    p = predict(source.saved.system, clips, pair.loading, motions)
    for name, illustrative in (("with illustrative", True), ("without illustrative", False)):
        record.cell(name, partial(zero_shot_metrics, p, table, truth, shared, illustrative=illustrative))


def _source_table(source: Source) -> Sequence[int]:
    """Unified id of every class the model predicts."""
    if source.heads:  # its last head is the unified one
        own = sum(head.classes for head in source.heads)
        return (-1,) * own + tuple(range(len(UNIFIED_TAXONOMY)))
    key = source.saved.facts.taxonomy.key
    if key not in TAXONOMIES:
        return (-1,) * len(source.saved.facts.taxonomy)
    return to_unified(key)


# ---- frozen features


def features(system: nn.Module, clips: LabelledClips, loading: Loading) -> NDArray[np.float32]:
    """Penultimate activations (N, D): what goes into the last linear layer, the mean over views, persons and time.

    Raises:
        UsageError: the system has no linear layer.
    """
    from microgesture.datasets.loading import test_loader

    device = "cuda" if torch.cuda.is_available() else "cpu"
    system = system.to(device).eval()
    entered: dict[nn.Module, Tensor] = {}  # in the order of their last call

    def remember(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        entered.pop(layer, None)
        entered[layer] = inputs[0]

    layers = [m for m in system.modules() if isinstance(m, nn.Linear)]
    hooks = [layer.register_forward_pre_hook(remember) for layer in layers]
    rows: list[NDArray[np.float32]] = []
    try:
        with torch.inference_mode():
            for batch in test_loader(clips, loading):
                entered.clear()
                out = system(batch.to(device))
                if not entered:
                    raise UsageError(f"{type(system).__name__} has no linear layer whose input could be its features")
                heads = [m for m in entered if isinstance(out, Tensor) and m.out_features == out.shape[-1]]
                x = entered[heads[-1] if heads else list(entered)[-1]].float()
                x = x.reshape(len(batch) // loading.samples, -1, x.shape[-1]).mean(1)
                rows.append(x.cpu().numpy())
    finally:
        for hook in hooks:
            hook.remove()
    return np.concatenate(rows)


def _probes(pair: _Pair, record: _Record, kind: str) -> None:
    from microgesture.evaluation.probe import knn, linear_probe

    fit: Callable[..., Probe] = linear_probe if kind == "probe" else knn

    def measure() -> dict[str, Any]:
        train, test = pair.labelled("train"), pair.labelled(pair.split)
        system = pair.source.saved.system
        x, asked = features(system, train, pair.loading), features(system, test, pair.loading)
        found = fit(x, train.label, asked, test.label, classes=len(pair.dataset.taxonomy))
        return found.metrics() | {"features": x.shape[1], "train_clips": len(train)}

    record.cell("linear probe" if kind == "probe" else "nearest neighbours", measure)


# ---- training further


def _few_shots(pair: _Pair, record: _Record, folder: Path, shots: Sequence[int], seeds: Sequence[int]) -> None:
    label = pair.labelled("train").label
    record.begin()
    for k in sorted(set(shots)):
        short = k_shot(label, k).short
        if short:
            names = pair.dataset.taxonomy.names
            listed = ", ".join(f"{names[i]} {n}" for i, n in list(short.items())[:6])
            record.note(
                f"{k} shots: {len(short)} classes have fewer clips ({listed}{' ...' if len(short) > 6 else ''})"
            )
        for seed in seeds:
            name = f"shots={k} seed={seed}"

            def measure(k: int = k, seed: int = seed, name: str = name) -> dict[str, Any]:
                chosen = FewShots(pair.dataset, k, seed)
                found = _trained(pair, chosen, seed, folder / name.replace(" ", "_"), True, record.tell)
                return found | {"shots": k, "seed": seed, "train_clips": len(chosen.clips("train"))}

            record.cell(name, measure)
    over = {f"shots={k}": [f"shots={k} seed={seed}" for seed in seeds] for k in sorted(set(shots))}
    record.value["summary"] = _over_seeds(record.value["cells"], over)


def _fine_tune(pair: _Pair, record: _Record, folder: Path, seeds: Sequence[int]) -> None:
    count = len(pair.labelled("train"))
    record.begin()
    for start in ("pretrained", "scratch"):
        for seed in seeds:
            name = f"{start} seed={seed}"

            def measure(start: str = start, seed: int = seed, name: str = name) -> dict[str, Any]:
                place = folder / name.replace(" ", "_")
                found = _trained(pair, pair.dataset, seed, place, start == "pretrained", record.tell)
                return found | {"start": start, "seed": seed, "train_clips": count}

            record.cell(name, measure)
    over = {start: [f"{start} seed={seed}" for seed in seeds] for start in ("pretrained", "scratch")}
    record.value["summary"] = _over_seeds(record.value["cells"], over)


def _trained(
    pair: _Pair, dataset: ClipDataset, seed: int, folder: Path, pretrained: bool, tell: Tell
) -> dict[str, Any]:
    """Train the source's system on the target and measure it."""
    saved, data, loading = pair.source.saved, pair.dataset, pair.loading
    facts = Facts(data.skeleton, (data.taxonomy,), loading.frames, data.persons, loading.channels(data), data.fps)
    args = saved.config["system"]["init_args"]
    settings = replace(pair.plan.training, seed=seed, validate_every=0)

    def build(space: Taxonomy) -> nn.Module:
        made = replace(facts, taxonomies=(space,))
        cls = type(saved.system)
        return cls(**made.arguments(cls), **args)

    head = set() if saved.facts.taxonomy.digest == data.taxonomy.digest else class_weights(build, data.taxonomy)
    torch.manual_seed(seed)
    system = build(data.taxonomy)
    if pretrained:
        adopt(system, saved.system, head)
    trained = _learn(
        system, dataset, loading, pair.plan, settings, len(data.taxonomy), make_folder(folder), tell, not pretrained
    )
    save_pretrained(folder, trained, facts, args, recipe=pair.plan.name, commit=commit(), seed=seed)
    (folder / "last.ckpt").unlink(missing_ok=True)  # the model is saved: nothing is left to resume
    test = pair.labelled(pair.split)
    return summary(predict(trained, test, loading), test.label, train_counts=dataset.clips("train").counts)


def class_weights(build: Callable[[Taxonomy], nn.Module], space: Taxonomy) -> set[str]:
    """Names of the weights that depend on the label space: those that change shape if it has a class more."""
    another = Label(len(space), "another", space.labels[-1].group)
    wider = Taxonomy(space.key, space.title, (*space.labels, another), space.groups, space.illustrative)
    plain, wide = build(space).state_dict(), build(wider).state_dict()
    return {name for name, value in plain.items() if name not in wide or wide[name].shape != value.shape}


def adopt(system: nn.Module, source: nn.Module, head: set[str]) -> None:
    """Copy all weights but those named in `head`.

    Raises:
        UsageError: the two systems differ in more than their heads.
    """
    taken = {name: value.detach().cpu() for name, value in source.state_dict().items() if name not in head}
    own = system.state_dict()
    odd = [n for n, v in own.items() if n not in head and (n not in taken or taken[n].shape != v.shape)]
    if odd:
        raise UsageError(f"the model's weights do not fit the system for these data: {', '.join(odd[:4])} differ")
    system.load_state_dict({name: taken[name] if name in taken else own[name] for name in own})


def _learn(
    system: nn.Module, dataset: ClipDataset, loading: Loading, plan: Recipe, settings: Training, classes: int,
    folder: Path, tell: Tell, new: bool,
) -> nn.Module:  # fmt: skip
    from microgesture.datasets.loading import train_loader
    from microgesture.learning.recognise import LAST, Recognise, fit, observe

    task = Recognise(system, lambda params: plan.optimizer.build(params=params), settings, classes)
    batches, goes_on = train_loader(dataset, loading, settings.seed, settings.epochs), (folder / LAST).exists()
    if new and not goes_on:
        observe(system, dataset, loading, batches)
    return fit(task, batches, None, folder, goes_on, tell)


def _over_seeds(cells: dict[str, Any], over: dict[str, list[str]]) -> dict[str, Any]:
    """Mean, spread and extremes over seeds of the figures that are compared."""
    found: dict[str, dict[str, Any]] = {}
    for name, members in over.items():
        found[name] = {"seeds": len(members)}
        for metric in ("top1", "macro_f1_present"):
            values = np.array([cells[member][metric] for member in members])
            sd = float(values.std(ddof=1)) if len(values) > 1 else None
            found[name][metric] = {
                "mean": float(values.mean()), "sd": sd, "least": float(values.min()), "most": float(values.max()),
            }  # fmt: skip
        found[name]["majority_floor"] = cells[members[0]]["majority_floor"]
    return found


# ---- joint training


class JointHeads(nn.Module):
    """A system trained on `Together(heads=True)`: two losses of its own, each among the classes of one head.

    The head of a clip's data set names the clip's class; the unified head names the unified class, where the class
    has one. All other logits are put out of reach, so that any loss of the system that reads logits works as it is.
    After training the system inside is an ordinary recogniser of the joint label space.

    Args:
        system: `forward(batch) -> logits (B, K)`, K the joint label space.
        share: weight of the unified loss.
    """

    inside: Tensor
    unified: Tensor

    def __init__(self, system: nn.Module, heads: Sequence[Head], share: float = 1.0) -> None:
        super().__init__()
        self.system, self.share = system, share
        own = sum(head.classes for head in heads)
        inside = torch.zeros(own, own + len(UNIFIED_TAXONOMY), dtype=torch.bool)
        unified = torch.full((own,), -1, dtype=torch.long)
        for head in heads:
            rows = slice(head.first, head.first + head.classes)
            inside[rows, rows] = True
            unified[rows] = torch.tensor([own + u if u >= 0 else -1 for u in head.to_unified])
        self.register_buffer("inside", inside, persistent=False)
        self.register_buffer("unified", unified, persistent=False)

    def forward(self, batch: PoseBatch) -> Tensor:
        out = self.system(batch)
        if not isinstance(out, Tensor):
            name = type(self.system).__name__
            raise UsageError(f"{name} gives {type(out).__name__} instead of logits: it cannot be trained with heads")
        return out

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        """The system's own terms, `own/...` and `unified/...`."""
        if batch.label is None:
            raise UsageError("the batch has no labels: heads need to know which data set a clip is from")
        label = batch.label
        terms = self._head("own", out, batch, label, self.inside[label])
        unified = self.unified[label]
        has = (unified >= 0).nonzero()[:, 0]
        if len(has):
            reach = torch.zeros_like(self.inside[label][has])
            reach[:, len(self.inside) :] = True
            for name, term in self._head("unified", out[has], _rows(batch, has), unified[has], reach).items():
                terms[name] = self.share * term
        return terms

    def _head(self, name: str, out: Tensor, batch: PoseBatch, wanted: Tensor, reach: Tensor) -> dict[str, Tensor]:
        soft = None
        if batch.soft is not None and batch.label is not None:  # smoothed labels: the clip's share goes where it is
            soft = batch.soft.clone()
            here, there = batch.label[:, None], wanted[:, None]
            soft.scatter_(1, here, batch.soft.gather(1, there)).scatter_(1, there, batch.soft.gather(1, here))
            soft = soft * reach
            soft = soft / soft.sum(1, keepdim=True)
        near = out.masked_fill(~reach, -1e4)
        terms: dict[str, Tensor] = self.system.losses(near, replace(batch, label=wanted, soft=soft))  # type: ignore[operator]
        return {f"{name}/{term}": value for term, value in terms.items()}


def _rows(batch: PoseBatch, rows: Tensor) -> PoseBatch:
    chosen = {f.name: value[rows] for f in fields(batch) if (value := getattr(batch, f.name)) is not None}
    return replace(batch, **chosen)


def _joint(plan: Recipe, seeds: Sequence[int], split: str | None, out: _Path | None, tell: Tell) -> dict[str, Any]:
    dataset, loading = plan.dataset, plan.loading
    if not isinstance(dataset, Together) or not dataset.heads:
        raise UsageError(f"{plan.path}: joint training needs data of {Together.__module__}.Together with heads: true")
    folder = make_folder(out or Path("runs") / plan.name)
    about = {
        "protocol": "joint",
        "source": {"system": plan.system.class_path, "recipe": plan.name},
        "target": {"dataset": dataset.key, "joints": dataset.skeleton.name, "fps": dataset.fps},
        "split": split,  # None: each data set's own, see the cells
        "simulated": dataset.simulated,
        "settings": _digest({k: v for k, v in plan.plain.items() if k != "weights"}),
    }
    record = _Record(folder / "joint.json", about, tell)
    record.begin()
    facts = Facts(
        dataset.skeleton, (dataset.taxonomy,), loading.frames, dataset.persons, loading.channels(dataset), dataset.fps
    )
    for seed in seeds:

        def measure(seed: int = seed) -> dict[str, Any]:
            settings = replace(plan.training, seed=seed, validate_every=0)
            place = make_folder(folder / f"seed={seed}")
            torch.manual_seed(seed)
            system = JointHeads(plan.system.build(**facts.arguments(plan.system.cls)), dataset.heads)
            trained = _learn(system, dataset, loading, plan, settings, len(dataset.taxonomy), place, tell, False)
            inner = cast(JointHeads, trained).system
            write_text(place / RECIPE, write_recipe(plan.plain))
            save_pretrained(place, inner, facts, plan.system.args, recipe=plan.name, commit=commit(), seed=seed)
            (place / "last.ckpt").unlink(missing_ok=True)
            return {"seed": seed, "parts": _joint_metrics(inner, dataset, loading, split)}

        found = record.cell(f"seed={seed}", measure)
        for key, figures in found["parts"].items():
            own = figures["own"]
            tell(f"{key}: top-1 {own['top1']:.3f} among its own classes (floor {own['majority_floor']:.3f})")
    return record.finished()


def _joint_metrics(system: nn.Module, dataset: Together, loading: Loading, split: str | None) -> dict[str, Any]:
    """For every data set: its own head, the unified head, and the unified classes summed from its own head."""
    found: dict[str, Any] = {}
    first = sum(head.classes for head in dataset.heads)
    for head, part in zip(dataset.heads, dataset.parts, strict=True):
        measured = split or measured_split(part)
        clips = labelled(part, measured)
        p = predict(system, clips, loading)
        own = own_head(head, p)
        truth = np.array(head.to_unified)[clips.label]
        figures: dict[str, Any] = {"split": measured, "own": summary(own, clips.label)}
        shared = set(unified_ids(part))
        if len(shared) > 1 and (truth >= 0).any():
            table = (-1,) * first + tuple(range(len(UNIFIED_TAXONOMY)))
            figures["unified_head"] = zero_shot_metrics(p, table, truth, shared)
            figures["unified_from_own"] = zero_shot_metrics(own, head.to_unified, truth, shared)
        found[head.key] = figures
    return found


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
