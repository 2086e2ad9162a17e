"""Weights that others released, as a folder of ours: `from_pretrained`, `test` and `submit` load it.

The file says most of what the system must be built with. Every number a constructor takes (width, channels, persons,
classes, blocks) is changed by one on a model without memory; the tensors that change tell which number they
depend on and how, and the tensors of the file then tell its value.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import typing
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from microgesture.core.durable import sha256, write_text
from microgesture.core.errors import FormatError, MicrogestureError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import TAXONOMIES
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.formats import safe_pickle
from microgesture.formats.safe_npz import read_arrays
from microgesture.formats.source import read_bytes
from microgesture.layers.official import Keys, gather
from microgesture.learning.checkpoint import CONFIG, FACTS, Facts, save_pretrained
from microgesture.learning.spotting import is_spotter, settle_spotter
from microgesture.systems.catalogue import SystemInfo
from microgesture.systems.catalogue import system as find_system

CARD = "README.md"
Shape = tuple[int, ...]
_Path = str | os.PathLike[str]
_Told = tuple[str, Shape | None]

_CEILING = 2 << 30
_DEPTH = 6  # of dicts within dicts
# the same layer under the name another toolbox gives it: GCNHead of MMAction2 and of PYSKL
_ALIASES = (("cls_head.fc_cls.", "cls_head.fc."),)
# what profilers and averages of weights leave among them
_NO_COUNTERPART = "has no official counterpart"
_COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params", "steps")
_BESIDE = (
    "optimizer",
    "optim",
    "scheduler",
    "lr_scheduler",
    "param_schedulers",
    "scaler",
    "amp",
    "message_hub",
    "meta",
)
_FRAMES, _FPS, _PERSONS, _CHANNELS = 64, 25.0, 1, 3
# what is searched for like an argument; no constructor has one of that name
_JOINTS, _CLASSES = "number of joints", "number of classes"


@dataclass(frozen=True)
class Argument:
    """An argument of the system and how it is known: `tensor` (from a shape), `given`, or `default`."""

    value: Any
    known: str
    evidence: str = ""


@dataclass(frozen=True)
class Left:
    """A tensor of the file without a place, or one of the system that the file does not fill.

    Args:
        name: in the file, or the first official name.
        shape: in the file; None if it is not there.
        expected: in the system; None if it has no place there.
        why: in words.
    """

    name: str
    shape: Shape | None
    expected: Shape | None
    why: str


@dataclass(frozen=True)
class Coverage:
    """What became of a file.

    Args:
        file, sha256: of the file.
        system: key.
        class_path: of its class.
        prefix: what stands before the official names in the file.
        arguments: of the constructor, facts of the data first.
        used: own key -> names in the file.
        unused: tensors of the file that were passed over.
        fresh: tensors of the system that start as they were initialised.
        parameters: of the system.
        loaded: how many of them came from the file.
        notes: what a user should know besides.
    """

    file: str
    sha256: str
    system: str
    class_path: str
    prefix: str
    arguments: Mapping[str, Argument]
    used: Mapping[str, tuple[str, ...]]
    unused: tuple[Left, ...]
    fresh: tuple[Left, ...]
    parameters: int
    loaded: int
    notes: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""

        def left(entry: Left) -> dict[str, Any]:
            shape, expected = (None if s is None else list(s) for s in (entry.shape, entry.expected))
            return {"name": entry.name, "shape": shape, "expected": expected, "why": entry.why}

        return {
            "file": self.file,
            "sha256": self.sha256,
            "system": self.system,
            "class_path": self.class_path,
            "prefix": self.prefix,
            "arguments": {
                n: {"value": a.value, "known": a.known, "from": a.evidence} for n, a in self.arguments.items()
            },
            "tensors": {"used": len(self.used), "unused": len(self.unused), "fresh": len(self.fresh)},
            "parameters": {"system": self.parameters, "loaded": self.loaded},
            "used": {key: list(names) for key, names in self.used.items()},
            "unused": [left(entry) for entry in self.unused],
            "fresh": [left(entry) for entry in self.fresh],
            "notes": list(self.notes),
        }


def import_checkpoint(
    file: _Path,
    system: str,
    out: _Path,
    *,
    taxonomy: Taxonomy | None = None,
    skeleton: Skeleton | None = None,
    frames: int | None = None,
    persons: int | None = None,
    fps: float | None = None,
    options: Mapping[str, Any] | None = None,
    prefix: str | None = None,
    recipe: _Path | None = None,
    partial: bool = False,
    progress: Callable[[str, float, float], None] | None = None,
) -> Coverage:
    """Turn a released checkpoint into a model folder.

    Args:
        file: `.pth` or `.pt` of `torch.save`, `.safetensors`, `.npz`, or a pickle of arrays.
        system: key of an available system that names the keys of official checkpoints.
        out: folder to make.
        taxonomy, skeleton: by default the ones that alone have as many labels and joints as the file.
        frames, persons, fps: facts of the data; where no tensor tells, 64, 1 and 25.
        options: further arguments of the system; those that shapes tell are found without.
        prefix: where the weights lie in the file, such as `ema_state_dict.`, if several copies do.
        recipe: names the data; its facts are taken and it is written into the folder, so that `test` and `submit`
            need only that. For systems that find gestures in recordings the data are read: their statistics are taken
            and the threshold is chosen as in training, since no file of others holds them.
        partial: keep what fits, and leave the rest as it was initialised.
        progress: called while data are read.

    Raises:
        NoInput, NotPermitted, FormatError: the file cannot be read, or does not fit the system.
        UsageError: no such system or argument, the folder holds a model, or something must be given by name.
    """
    info = find_system(system)
    cls, official_keys = _system(info)
    if (Path(out) / CONFIG).exists():
        raise UsageError(f"{out} holds a model already; choose another folder with --out")
    given: dict[str, Any] = _checked(cls, options or {})
    known = {"taxonomy": taxonomy, "skeleton": skeleton, "frames": frames, "persons": persons, "fps": fps}
    given |= {name: value for name, value in known.items() if value is not None}
    plan: Any = None
    served: tuple[Taxonomy, ...] = ()
    if recipe is not None:
        plan, facts = _of_recipe(recipe)
        served = facts.taxonomies[1:]
        told = {name: getattr(facts, name) for name in FACTS}
        given = told | given
    tensors = read_tensors(file)
    layout = getattr(importlib.import_module(info.module), "official_layout", None)
    if layout is not None:  # tensors of another framework, e.g. Keras
        tensors = layout(tensors)
    fit = _Fit(Path(file), tensors, cls, official_keys, given, prefix, partial)
    arguments = fit.arguments()
    model, coverage = fit.load(info, arguments)
    value = {name: argument.value for name, argument in arguments.items()}
    facts = Facts(
        fit.skeleton,
        (fit.taxonomy, *served),
        value["frames"],
        value["persons"],
        value["in_channels"],
        value["fps"],
        value.get("features", 0),
    )
    init_args = {name: v for name, v in value.items() if name not in FACTS and v != fit.defaults.get(name)}
    about = {"file": Path(file).name, "sha256": coverage.sha256, "system": system, "prefix": coverage.prefix}
    figures = {"parameters": coverage.loaded, "fresh": [entry.name for entry in coverage.fresh], "licence": "unknown"}
    settled: dict[str, Any] = {}
    if is_spotter(cls):
        if plan is None:
            note = "no recording can be searched yet: import with the recipe of its data, for windows and threshold"
            coverage = replace(coverage, notes=(*coverage.notes, note))
        else:
            settled = settle_spotter(plan, model, progress=progress)
    folder = save_pretrained(Path(out), model, facts, init_args, imported=about | figures, **settled)
    if plan is not None:
        from microgesture.learning.recipe import write_recipe
        from microgesture.learning.runs import RECIPE

        # lists of their own: what two arguments share would be written as an alias, which recipes may not hold
        part = {"class_path": coverage.class_path, "init_args": json.loads(json.dumps(init_args))}
        write_text(folder / RECIPE, write_recipe(plan.plain | {"system": part}))
    write_text(folder / CARD, _card(info, official_keys, coverage, facts))
    return coverage


def read_tensors(path: _Path) -> dict[str, Tensor]:
    """Every tensor of a file by name; the keys of dicts within dicts are joined by dots.

    Of an `.npz` whose names begin with `state/` only those are tensors.

    Raises:
        NoInput, NotPermitted, FormatError: damaged, above a ceiling, without tensors, or it asks for anything but data.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".safetensors":
        value: Any = _safetensors(path)
    elif suffix == ".npz":
        value = read_arrays(path)
        if any(name.startswith("state/") for name in value):
            value = {name.removeprefix("state/"): v for name, v in value.items() if name.startswith("state/")}
    else:
        value = safe_pickle.load(path) if suffix in (".pkl", ".pickle") else safe_pickle.load_torch(path)
    found: dict[str, Tensor] = {}
    _collect(value, "", 0, found)
    if not found:
        expected = "tensors by name, in the file itself or in dicts within it"
        raise FormatError(path, f"holds no tensors ({type(value).__name__})", expected=expected)
    return found


def _collect(value: Any, name: str, depth: int, found: dict[str, Tensor]) -> None:
    if isinstance(value, Tensor):
        found[name] = value
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        # the byte order of this machine, and memory of its own
        found[name] = torch.from_numpy(value.astype(value.dtype.newbyteorder("="), copy=True))
    elif isinstance(value, dict) and depth < _DEPTH:
        for key, inner in value.items():
            if isinstance(key, (str, int)):
                _collect(inner, f"{name}.{key}" if name else str(key), depth + 1, found)


def _safetensors(path: _Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = read_bytes(path, _CEILING)
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise FormatError(path, f"cannot be read ({error})", expected="safetensors", remedy="copy it again") from error


def _system(info: SystemInfo) -> tuple[type[nn.Module], Callable[[Any], Keys]]:
    """The class of a system and its `official_keys`."""
    if info.status != "available":
        raise UsageError(f"system '{info.key}' is planned, not available yet: nothing can be imported for it")
    module = importlib.import_module(info.module)
    official_keys = getattr(module, "official_keys", None)
    if official_keys is None:
        raise UsageError(f"system '{info.key}' names no keys of official checkpoints: there is none to import")
    cls: type[nn.Module] = next(iter(typing.get_type_hints(official_keys).values()))
    return cls, official_keys


def _checked(cls: type[nn.Module], options: Mapping[str, Any]) -> dict[str, Any]:
    known = [name for name in inspect.signature(cls).parameters if name not in ("skeleton", "taxonomy")]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"{cls.__name__} has no argument '{name}'; {hint}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _of_recipe(recipe: _Path) -> tuple[Any, Facts]:
    from microgesture.learning.recipe import read_recipe
    from microgesture.learning.runs import facts_of

    plan = read_recipe(recipe)
    return plan, facts_of(plan)


@dataclass(frozen=True)
class _Plan:
    """What a system would hold: shape of each own key, the official names, and which keys are learned."""

    shapes: Mapping[str, Shape]
    keys: Keys
    learned: frozenset[str]


@dataclass
class _Fit:
    """One file, one system: which arguments, which tensors."""

    file: Path
    tensors: dict[str, Tensor]
    cls: type[nn.Module]
    official_keys: Callable[[Any], Keys]
    given: dict[str, Any]
    wanted_prefix: str | None
    partial: bool
    skeleton: Skeleton = field(init=False)
    taxonomy: Taxonomy = field(init=False)
    prefix: str = field(init=False)
    added: str = field(init=False)
    copies: list[str] = field(init=False)
    words: dict[str, tuple[Any, ...]] = field(init=False)  # options that are one of a few words, and these
    chosen: dict[str, _Told] = field(default_factory=dict)  # those that are not left at their default, and why
    asked: dict[str, str] = field(default_factory=dict)  # name in the file -> argument its shape does not tell exactly

    def __post_init__(self) -> None:
        self.signature = inspect.signature(self.cls).parameters
        self.skeleton = self.given.get("skeleton") or SKELETONS["imigue22"]
        self.taxonomy = self.given.get("taxonomy") or TAXONOMIES["imigue"]
        self.defaults = {name: p.default for name, p in self.signature.items() if p.default is not p.empty}
        start = {"frames": _FRAMES, "persons": _PERSONS} | self.defaults
        start |= {name: value for name, value in self.given.items() if name in self.signature}
        self.words = {name: words for name, words in _words_of(self.cls).items() if name in self.defaults}
        if is_spotter(self.cls) and "compat" in self.defaults and "compat" not in self.given:
            start["compat"] = "official"
            self.chosen["compat"] = ("as the released code, which these weights learnt with", None)
        for name, words in self.words.items():
            if name not in self.given and name != "compat":
                best = min((start[name], *words), key=lambda word: self._strange(start | {name: word}))
                if best != start[name]:
                    start[name], self.chosen[name] = best, ("names of the tensors", None)
        model = self._try(start, self.skeleton, self.taxonomy)
        if model is None:
            self.built(start, self.skeleton, self.taxonomy)  # raises, with the reason
        assert model is not None
        self.prefix, self.added = self._place(self.official_keys(model))
        self.start = start

    def _strange(self, values: Mapping[str, Any]) -> int:
        """Tensors that such a system misses in the file, wherever they lie there, and those it has no place for."""
        model = self._try(values, self.skeleton, self.taxonomy)
        plan = None if model is None else self.plan(model)
        if plan is None:
            return 1 << 30
        official = {name for names in plan.keys.values() for name in names}
        ends = [{name.split(".", i)[-1] for i in range(_DEPTH)} for name in self.tensors]
        there = set[str]().union(*ends)
        wanted = [plan.keys.get(own, ()) for own in plan.learned]
        missing = sum(not names or not there.issuperset(names) for names in wanted)
        return missing + sum(official.isdisjoint(some) for some in ends)

    def built(self, values: Mapping[str, Any], skeleton: Skeleton, taxonomy: Taxonomy) -> nn.Module:
        """The system with these arguments."""
        arguments = {name: value for name, value in values.items() if name in self.signature}
        try:
            return self.cls(**(arguments | {"skeleton": skeleton, "taxonomy": taxonomy}))
        except MicrogestureError:
            raise
        except Exception as error:  # a constructor raises what it likes on arguments that make no sense
            words = " ".join(str(error).split())[:300]
            raise UsageError(f"{self.cls.__name__} cannot be built with these arguments: {words}") from error

    def _try(self, values: Mapping[str, Any], skeleton: Skeleton, taxonomy: Taxonomy) -> nn.Module | None:
        """The system, if possible without memory for its weights; None for arguments that make no sense."""
        for place in ("meta", "cpu"):  # some constructors look at numbers they have made
            try:
                with torch.random.fork_rng(devices=[]), torch.device(place):
                    return self.built(values, skeleton, taxonomy)
            except (MicrogestureError, RuntimeError):
                continue
        return None

    def _place(self, keys: Keys) -> tuple[str, str]:
        """What stands before official names in the file, and what of them is left out there."""
        official = {name for names in keys.values() for name in names}
        shorter = {name.partition(".")[2]: f"{name.partition('.')[0]}." for name in official if "." in name}
        votes: Counter[tuple[str, str]] = Counter()
        for name in self.tensors:
            parts = name.split(".")
            for i in range(min(len(parts), _DEPTH)):
                before, rest = "".join(f"{part}." for part in parts[:i]), ".".join(parts[i:])
                if rest in official:
                    votes[before, ""] += 1
                if rest in shorter:
                    votes[before, shorter[rest]] += 1
        if self.wanted_prefix is not None:
            votes = Counter({place: n for place, n in votes.items() if place[0] == self.wanted_prefix})
        if not votes:
            where = "" if self.wanted_prefix is None else f" behind '{self.wanted_prefix}'"
            problem = f"none of its {len(self.tensors)} tensors has a name of {self.cls.__name__}{where}"
            begins = f"its names are like {', '.join(list(self.tensors)[:3])}"
            raise FormatError(self.file, f"{problem}; {begins}", expected=f"names like {min(official)}")
        most = max(votes.values())
        self.copies = sorted({place[0] for place, n in votes.items() if n == most})
        # of several copies the one that is no average, then the one that lies nearest
        return min(votes, key=lambda place: (-votes[place], "ema" in place[0].lower(), len(place[0]) + len(place[1])))

    def in_file(self, official: str) -> str:
        """Name in the file of an official tensor."""
        plain = official.removeprefix(self.added)
        if self.prefix + plain not in self.tensors:
            for name, other in ((official, official), *((a, b) for a, b in _ALIASES if official.startswith(a))):
                other = self.prefix + official.replace(name, other, 1)
                if other in self.tensors:
                    return other
        return self.prefix + plain

    def fill(self, plan: _Plan) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """For each own key the names in the file; or, if some are not there, the official names that are missing."""
        used: dict[str, tuple[str, ...]] = {}
        missing: dict[str, tuple[str, ...]] = {}
        for own in plan.shapes:
            official = plan.keys.get(own, ())
            if not official and own not in plan.learned:
                continue  # made by the constructor, not learned
            names = tuple(self.in_file(name) for name in official)
            absent = tuple(o for o, name in zip(official, names, strict=True) if name not in self.tensors)
            if absent or not names:
                missing[own] = absent
            else:
                used[own] = names
        return used, missing

    def shape(self, names: tuple[str, ...]) -> Shape:
        """Of tensors of the file laid one after the other; of the first if they do not allow it."""
        shapes = [tuple(self.tensors[name].shape) for name in names]
        first = shapes[0]
        together = len(first) > 0 and all(shape[1:] == first[1:] and shape for shape in shapes)
        return (sum(shape[0] for shape in shapes), *first[1:]) if together else first

    def left_over(self, plan: _Plan) -> list[str]:
        """Names in the file, behind the prefix, that the system has no place for."""
        known = {self.in_file(name) for names in plan.keys.values() for name in names}
        return [name for name in self.tensors if name.startswith(self.prefix) and name not in known]

    def plan(self, model: nn.Module) -> _Plan | None:
        """What a system would hold; None if no official file can be of its kind."""
        shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        try:
            keys = self.official_keys(model)
        except UsageError:
            return None
        return _Plan(shapes, keys, frozenset(name for name, _ in model.named_parameters()))

    def arguments(self) -> dict[str, Argument]:
        """Every argument of the constructor, from the shapes in the file where they tell it.

        Raises:
            FormatError: a shape contradicts what was given.
            UsageError: several layouts or label spaces fit.
        """
        values, evidence = _Search(self).run()
        evidence = self.chosen | evidence
        if not self.partial:
            self._recognise(values)
        found = {name: _words(told) for name, told in evidence.items()}
        self._choose(values, evidence)
        arguments: dict[str, Argument] = {}
        start = {"skeleton": self.skeleton.name, "taxonomy": self.taxonomy.key}
        rest = {"frames": _FRAMES, "persons": _PERSONS, "in_channels": _CHANNELS, "fps": _FPS}
        for name in (*start, *rest, *(n for n in self.signature if n not in (*start, *rest))):
            if name in start:
                seen = {"skeleton": _JOINTS, "taxonomy": _CLASSES}[name]
                known = "given" if name in self.given else "tensor"
                arguments[name] = Argument(start[name], known, found.get(seen, ""))
                continue
            value = values[name] if name in values else self.given.get(name, rest.get(name))
            if name in self.given and name in found and value != self.given[name]:
                if not self.partial:
                    raise FormatError(
                        self.file,
                        f"{found[name]} makes {name} {value}",
                        expected=f"{self.given[name]}, as given",
                        remedy="leave it out, or keep what fits with --partial",
                    )
                value = self.given[name]
            known = "given" if name in self.given else ("tensor" if name in found else "default")
            if known != "default" or name in rest:
                arguments[name] = Argument(value, known, found.get(name, ""))
        return arguments

    def _recognise(self, values: Mapping[str, Any]) -> None:
        """Refuse a file that has hardly a name in common with the system, before asking for anything."""
        model = self._try(values, _sized(self.skeleton, values[_JOINTS]), _numbered(values[_CLASSES]))
        plan = None if model is None else self.plan(model)
        used, missing = ({}, {}) if plan is None else self.fill(plan)
        if len(missing) > len(used):
            absent = [name for names in missing.values() for name in names]
            problem = f"{len(absent)} tensors are missing: {', '.join(absent[:3])} ..."
            raise FormatError(
                self.file, problem, expected=f"a checkpoint of {self.cls.__name__}", remedy="check --system"
            )

    def _choose(self, values: dict[str, Any], evidence: dict[str, _Told]) -> None:
        """Layout and label space, by the number of joints and classes."""
        offers: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
            ("skeleton", _JOINTS, SKELETONS),
            ("taxonomy", _CLASSES, TAXONOMIES),
        )
        for name, number, table in offers:
            count, what = values.pop(number), number.removeprefix("number of ")
            chosen = self.given.get(name)
            where = _words(evidence[number]) if number in evidence else ""
            if chosen is None:
                fitting = [key for key, entry in table.items() if where and len(entry) == count]
                if len(fitting) != 1:
                    offer = f"choose {' or '.join(fitting)}" if fitting else f"known: {', '.join(table)}"
                    seen = (
                        f"{where} makes {count} {what}, which no {name} here has"
                        if where
                        else f"nothing tells the {what}"
                    )
                    if where and fitting:
                        seen = f"{where} makes {count} {what}, which several have"
                    raise UsageError(f"{self.file}: {seen}; give --{name} ({offer})")
                setattr(self, name, table[fitting[0]])
            elif where and len(chosen) != count and not self.partial:
                raise FormatError(
                    self.file,
                    f"{where} makes {count} {what}",
                    expected=f"{len(chosen)} of '{getattr(chosen, 'name', None) or chosen.key}'",
                    remedy=f"name the right --{name}, or keep what fits with --partial",
                )

    def load(self, info: SystemInfo, arguments: Mapping[str, Argument]) -> tuple[nn.Module, Coverage]:
        """The system with the file's weights, and what became of every tensor.

        Raises:
            FormatError: something is missing, left over, of another shape or not finite.
        """
        values = {name: argument.value for name, argument in arguments.items() if name in self.signature}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # what starts afresh starts the same every time
            model = self.built(values, self.skeleton, self.taxonomy)
        plan = self.plan(model) or _NOTHING
        used, missing = self.fill(plan)
        state, parameters = model.state_dict(), dict(model.named_parameters())
        fresh: list[Left] = []
        notes: list[str] = []
        other_graph = False
        for own, mine in state.items():
            shape = tuple(mine.shape)
            if own not in used and own not in missing:
                continue
            names = missing.get(own)
            if names is not None:
                # counters of batches are younger than many released files
                if not own.endswith(_COUNTERS):
                    why = "is not in the file" if names else _NO_COUNTERPART
                    fresh.append(Left(names[0] if names else own, None, shape, why))
                continue
            found = gather([self.tensors[name] for name in used[own]])
            if found is None or tuple(found.shape) != shape:
                fresh.append(Left(used[own][0], self.shape(used[own]), shape, "has another shape"))
                del used[own]
                continue
            if not torch.isfinite(found).all():
                raise FormatError(self.file, "holds values that are not finite", place=f"tensor {used[own][0]!r}")
            if own not in parameters and own.endswith("adjacency"):
                other_graph |= not torch.allclose(found.to(mine.dtype), mine, atol=1e-3)
            state[own] = found.to(mine.dtype)
        over = set(self.left_over(plan))
        nothing = {self.in_file(name) for name in plan.keys.get("", ())}
        taken = {name for names in used.values() for name in names}
        taken |= {entry.name for entry in fresh}
        unused, strangers = [], []
        for name in sorted(self.tensors.keys() - taken):
            shape = tuple(self.tensors[name].shape)
            if name in over and name not in nothing and not self._excused(name):
                strangers.append(Left(name, shape, None, "has no place in this system"))
            else:
                why = "holds nothing learned" if name in nothing else "lies beside the weights"
                unused.append(Left(name, shape, None, why))
        if not used or not any(own in parameters for own in used):
            raise FormatError(self.file, f"no tensor fits {self.cls.__name__}", expected="a checkpoint of that system")
        if not self.partial:
            # what no official file can hold is no reason to refuse this one
            self._refuse([entry for entry in fresh if entry.why != _NO_COUNTERPART], strangers)
        model.load_state_dict(state)
        if other_graph:
            notes.append(f"the graph in the file is not that of '{self.skeleton.name}'; the file's is kept")
        if fresh:
            notes.append(f"{len(fresh)} tensors start as they were initialised: train the model before use")
        if len(self.copies) > 1:
            others = ", ".join(f"'{place}'" for place in self.copies if place != self.prefix)
            notes.append(f"the file holds several copies; taken: '{self.prefix}', not {others}")
        loaded = sum(p.numel() for own, p in parameters.items() if own in used)
        return model.eval(), Coverage(
            str(self.file),
            sha256(self.file),
            info.key,
            f"{self.cls.__module__}.{self.cls.__qualname__}",
            self.prefix,
            dict(arguments),
            used,
            tuple(unused + strangers),
            tuple(fresh),
            sum(p.numel() for p in parameters.values()),
            loaded,
            tuple(notes),
        )

    def _excused(self, name: str) -> bool:
        """Whether a tensor behind the prefix is known to be no weight, or a copy."""
        first, _, rest = name.removeprefix(self.prefix).partition(".")
        apart = bool(rest) and (first in _BESIDE or first.startswith("ema_") or first == "ema")
        return apart or name.endswith(_COUNTERS) or first.startswith("ema_")

    def _refuse(self, fresh: list[Left], strangers: list[Left]) -> None:
        shaped = [entry for entry in fresh if entry.shape is not None]
        absent = [entry for entry in fresh if entry.shape is None]
        remedy = "check system and arguments (--set NAME=VALUE), or keep what fits with --partial"
        if shaped:
            first = shaped[0]
            more = f" (and {len(shaped) - 1} more)" if len(shaped) > 1 else ""
            problem = f"{first.name} has shape {first.shape}{more}"
            if name := self.asked.get(first.name):
                flags = {
                    "frames": "--frames N",
                    "persons": "--persons N",
                    _JOINTS: "--skeleton",
                    _CLASSES: "--taxonomy",
                }
                option = flags.get(name, f"--set {name}=N")
                remedy = f"it depends on {name}: give {option}, or keep what fits with --partial"
            raise FormatError(self.file, problem, expected=str(first.expected), remedy=remedy)
        if absent:
            names = ", ".join(f"{e.name} {e.expected}" for e in absent[:3])
            problem = f"{len(absent)} tensors are missing: {names}{' ...' if len(absent) > 3 else ''}"
            raise FormatError(self.file, problem, remedy=remedy)
        if strangers:
            names = ", ".join(f"{e.name} {e.shape}" for e in strangers[:3])
            more = " ..." if len(strangers) > 3 else ""
            problem = f"{len(strangers)} tensors have no place in {self.cls.__name__}: {names}{more}"
            raise FormatError(self.file, problem, remedy=remedy)


class _Search:
    """Finds the arguments of a system for which its tensors have the names and shapes of the file."""

    def __init__(self, fit: _Fit) -> None:
        self.fit = fit
        self.values: dict[str, Any] = dict(fit.start) | {_JOINTS: len(fit.skeleton), _CLASSES: len(fit.taxonomy)}
        self.evidence: dict[str, _Told] = {}
        self._plans: dict[str, _Plan | None] = {}

    def run(self) -> tuple[dict[str, Any], dict[str, _Told]]:
        """The arguments, with `joints` and `classes`; and for each that the file tells a tensor and its shape."""
        self._structure()
        self._numbers()
        self._switches()
        return self.values, self.evidence

    def _plan(self, **changed: Any) -> _Plan | None:
        """What the system holds with these arguments; None if they make no sense."""
        values = self.values | changed
        known = repr(sorted(values.items()))
        if known not in self._plans:
            skeleton, taxonomy = _sized(self.fit.skeleton, values[_JOINTS]), _numbered(values[_CLASSES])
            model = self.fit._try(values, skeleton, taxonomy)
            self._plans[known] = None if model is None else self.fit.plan(model)
        return self._plans[known]

    def _astray(self, plan: _Plan | None, shapes: bool = False) -> int:
        """Tensors that are missing, left over or, if asked for, of another shape."""
        if plan is None:
            return 1 << 30
        used, missing = self.fit.fill(plan)
        count = sum(not own.endswith(_COUNTERS) for own in missing)
        count += sum(not self.fit._excused(name) for name in self.fit.left_over(plan))
        if shapes:
            count += sum(self.fit.shape(names) != plan.shapes[own] for own, names in used.items())
        return count

    def _structure(self) -> None:
        """Numbers of blocks and layers, by which names there are: the best step is taken until none helps."""
        score = self._astray(self._plan())
        steps = self._steps() if score else []
        before = dict(self.values)
        while score:
            trials = []
            for name, place, step in steps:
                trial = self._moved(name, place, step)
                gain = 0 if trial is None else score - self._astray(self._plan(**{name: trial}))
                if gain > 0:
                    trials.append((gain, name, place, step))
            if not trials:
                break
            gain, name, place, step = max(trials, key=lambda t: t[0])
            values = [self._moved(name, place, step * n) for n in sorted({1, max(1, score // gain)})]
            scored = [(self._astray(self._plan(**{name: v})), v) for v in values if v is not None]
            score, self.values[name] = min(scored, key=lambda s: s[0])
            self.evidence[name] = ("names of the tensors", None)
        used, missing = self.fit.fill(self._plan() or _NOTHING)
        if len(missing) > len(used):  # what is not in the file says nothing about how much of it there would be
            self.values, self.evidence = before, {}

    def _steps(self) -> list[tuple[str, int | None, int]]:
        """Arguments, places in them and steps that change which tensors there are."""
        steps: list[tuple[str, int | None, int]] = []
        for name, value in self.fit.defaults.items():
            places: range | tuple[None] = (None,)
            if isinstance(value, tuple) and value and all(type(v) is int for v in value):
                places = range(len(value))
            elif type(value) not in (int, bool):
                continue
            if name in self.fit.given or name == "in_channels":
                continue
            # the first place speaks for the others
            if any(self._names(name, self._moved(name, places[0], step)) != self._names() for step in (1, -1)):
                steps += [
                    (name, place, step) for place in places for step in (1, -1)[: 1 if value in (True, False) else 2]
                ]
        return steps

    def _names(self, name: str | None = None, value: Any = None) -> frozenset[str]:
        plan = self._plan() if name is None or value is None else self._plan(**{name: value})
        return frozenset((plan or self._plan() or _NOTHING).shapes)

    def _moved(self, name: str, place: int | None, step: int) -> Any:
        """A value one or more steps away; None below one."""
        value = self.values[name]
        if isinstance(value, bool):
            return not value
        if place is None:
            return value + step if value + step >= 1 else None
        moved = (*value[:place], value[place] + step, *value[place + 1 :])
        return moved if moved[place] >= 1 else None

    def _numbers(self) -> None:
        """Numbers by the sides of tensors that depend on one of them alone; each that is known frees others."""
        options = [name for name, value in self.fit.defaults.items() if type(value) is int]
        unknown = [name for name in (_JOINTS, _CLASSES, "frames", "persons", *options) if name in self.values]
        slopes = {name: self._slopes(name) for name in unknown}
        while (plan := self._plan()) is not None and unknown:
            used, _ = self.fit.fill(plan)
            votes: dict[str, Counter[int | None]] = defaultdict(Counter)
            told: dict[tuple[str, int | None], _Told] = {}
            for own, names in used.items():
                shape = self.fit.shape(names)
                if len(shape) != len(plan.shapes[own]):
                    continue
                for axis, (mine, theirs) in enumerate(zip(plan.shapes[own], shape, strict=True)):
                    depends = [name for name in unknown if (own, axis) in slopes[name]]
                    if len(depends) == 1:
                        exact = self.values[depends[0]] + (theirs - mine) / slopes[depends[0]][own, axis]
                        value = int(exact) if exact == int(exact) and exact >= 1 else None
                        votes[depends[0]][value] += 1
                        if value is None:
                            self.fit.asked.setdefault(names[0], depends[0])
                        told.setdefault((depends[0], value), (names[0], shape))
            if not votes:  # where two decide on every side, what was said of one leaves the other
                said = {name for name, by in ((_JOINTS, "skeleton"), (_CLASSES, "taxonomy")) if by in self.fit.given}
                if not said & set(unknown):
                    return
                unknown = [name for name in unknown if name not in said]
                continue
            name = max(votes, key=lambda n: votes[n].total())
            value = votes[name].most_common(1)[0][0]
            unknown.remove(name)
            if value is None or self._plan(**{name: value}) is None:
                continue
            self.evidence[name] = told[name, value]
            if value != self.values[name]:
                self.values[name] = value
                slopes = {other: self._slopes(other) for other in unknown}

    def _slopes(self, name: str) -> dict[tuple[str, int], float]:
        """How much each side of each tensor grows with an argument, where it does."""
        value, now = self.values[name], self._plan()
        for other in (value + 1, 2 * value, value - 1):
            then = self._plan(**{name: other}) if other >= 1 else None
            if now is None or then is None:
                continue
            return {
                (own, axis): (b - a) / (other - value)
                for own in now.shapes.keys() & then.shapes.keys()
                if len(now.shapes[own]) == len(then.shapes[own])
                for axis, (a, b) in enumerate(zip(now.shapes[own], then.shapes[own], strict=True))
                if a != b
            }
        return {}

    def _switches(self) -> None:
        """Arguments that are true or false, or one of a few words, where another leaves fewer tensors astray."""
        for name, value in self.fit.defaults.items():
            if name in self.fit.given or name == "compat":
                continue
            for other in (not self.values[name],) if type(value) is bool else self.fit.words.get(name, ()):
                score = self._astray(self._plan(), shapes=True)
                if not score:
                    return
                if self._astray(self._plan(**{name: other}), shapes=True) < score:
                    self.values[name] = other
                    self.evidence[name] = ("shapes of the tensors", None)


_NOTHING = _Plan({}, {}, frozenset())


def _words_of(cls: type[nn.Module]) -> dict[str, tuple[Any, ...]]:
    """The words that arguments of a constructor can be, for those that are one of a few."""
    found = {}
    for name, hint in typing.get_type_hints(cls.__init__).items():
        for part in (hint, *typing.get_args(hint)):
            if typing.get_origin(part) is typing.Literal:
                found[name] = typing.get_args(part)
    return found


def _words(told: _Told) -> str:
    return told[0] if told[1] is None else f"{told[0]} {told[1]}"


def _sized(skeleton: Skeleton, joints: int) -> Skeleton:
    """A layout with that many joints; further ones hang from the root, since only the number matters here."""
    size = len(skeleton)
    if joints == size:
        return skeleton
    names = (*skeleton.joints[:joints], *(f"joint {i}" for i in range(size, joints)))
    bones = tuple(bone for bone in skeleton.bones if max(bone) < joints)
    root = min(skeleton.root, joints - 1)
    return replace(
        skeleton, joints=names, bones=(*bones, *((root, i) for i in range(size, joints))), root=root, stand_ins=()
    )


def _numbered(classes: int) -> Taxonomy:
    return Taxonomy("numbers", "Numbers", tuple(Label(i, str(i), "none") for i in range(classes)), ())


def _card(info: SystemInfo, official_keys: Callable[[Any], Keys], coverage: Coverage, facts: Facts) -> str:
    """The card of an imported model."""
    share = 100 * coverage.loaded / max(1, coverage.parameters)
    keys = (inspect.getdoc(official_keys) or "").split("\n\n")[0].replace("\n", " ")
    rows = "\n".join(
        f"| {name} | {a.value} | {a.evidence or {'given': 'given', 'default': 'assumed'}.get(a.known, a.known)} |"
        for name, a in coverage.arguments.items()
    )
    fresh = "\n".join(f"- `{e.name}`: {e.why}" for e in coverage.fresh) or "Nothing."
    return f"""---
library_name: microgesture
license: unknown
tags: [micro-gesture, imported]
---

# {info.key}, imported weights

{info.title} ({info.venue} {info.year}){f", {info.link}" if info.link else ""}

These weights were not trained with this package. They come from a file of its user:

- file `{Path(coverage.file).name}`, SHA-256 `{coverage.sha256}`
- read as: {keys or "names of the official implementation."}
- {coverage.loaded:,} of {coverage.parameters:,} parameters ({share:.1f} %) come from it

## Licence

Nothing is known of the licence of these weights. They stay the property of those who made them; ask there before you
pass them on.

## Before you trust them

Class ids, order of joints and preprocessing are those of the training of that file, which it does not tell. This
package reads poses normalised to the body, labels as in `{facts.taxonomy.key}` and joints as in
`{facts.skeleton.name}`. Measure the model with `microgesture test` first.

## Arguments

| argument | value | known from |
|---|---|---|
{rows}

## Started afresh

{fresh}
"""
