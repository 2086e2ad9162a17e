"""Recipes: YAML whose keys are constructor arguments. A wrong one is refused before anything is built.

    system:    {class_path: microgesture.systems.stgcnpp.STGCNpp, init_args: {width: 32}}
    data:      {class_path: microgesture.datasets.utd_mhad.UTDMHAD}
    loading:   {frames: 64, streams: [joint, bone]}              arguments of `Loading`, for spotters of `Windowing`
    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.002}}
    training:  {epochs: 40, seed: 0}                             arguments of `Training`
    longtail:  {class_path: microgesture.learning.longtail.LDAM} a remedy or a list of them; may be left out

Facts of the data (skeleton, taxonomy, frames, ...) are not written: the dataset fills them in. `${NAME:-value}` in a
text stands for the environment variable NAME, or for the value where it is not set.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from argparse import ArgumentError
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import yaml

from microgesture.core.errors import FormatError, MicrogestureError, UsageError
from microgesture.datasets.clips import ClipDataset
from microgesture.datasets.loading import Loading
from microgesture.datasets.recordings import RecordingDataset
from microgesture.datasets.windows import Windowing
from microgesture.formats.source import read_bytes
from microgesture.learning.checkpoint import FACTS
from microgesture.learning.longtail import Remedy, clash
from microgesture.learning.spotting import is_spotter

# True: class_path and init_args
_SECTIONS = {"system": True, "data": True, "optimizer": True, "longtail": True, "loading": False, "training": False}
_MAX_BYTES, _MAX_DEPTH = 1 << 20, 64

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Training:
    """How long and how a system learns.

    Args:
        epochs: passes over the training clips; 0 for a recogniser that has learnt all it can by `observe`.
        warmup: epochs in which the learning rate rises from 0; then it falls as a half cosine to 0.
        drops: in place of the cosine, epochs after each of which the rate is multiplied by `drop`; rising. A recipe's
            lie below its `epochs`.
        drop: above 0, below 1; without `drops` it does nothing.
        label_smoothing: share of a clip's target spread over all classes.
        clip: largest norm of the gradient; 0 = no limit.
        ema: decay of the running average of the weights, which is what gets saved; 0 = no averaging.
        precision: as Lightning names it.
        seed: of weights, order and augmentation.
        validate_every: epochs between looks at the split `val`, where the dataset has one; 0 = never.
    """

    epochs: int = 40
    warmup: float = 2.0
    drops: Sequence[int] = ()
    drop: float = 0.1
    label_smoothing: float = 0.0
    clip: float = 0.0
    ema: float = 0.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: int = 0
    validate_every: int = 1

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 0, 1_000_000),
            ("warmup", 0, self.epochs),
            ("label_smoothing", 0, 0.9),
            ("clip", 0, float("inf")),
            ("ema", 0, 0.99999),
            ("seed", 0, 2**32 - 1),
            ("validate_every", 0, 1_000_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"training.{name} is {getattr(self, name)}; it must lie in {low}..{high}")
        if any(later <= earlier for earlier, later in pairwise((0, *self.drops))):
            raise UsageError(f"training.drops is {list(self.drops)}; expected rising numbers of epochs from 1 on")
        if not 0 < self.drop < 1:
            raise UsageError(f"training.drop is {self.drop}; it must be above 0 and below 1")


@dataclass(frozen=True)
class Part:
    """A class and its arguments, not yet built. `args` is plain data, as written in the recipe."""

    cls: Callable[..., Any]
    class_path: str
    args: dict[str, Any] = field(default_factory=dict)

    def build(self, **facts: Any) -> Any:
        """Build it from the recipe's arguments and the facts it needs besides.

        Raises:
            UsageError: the constructor refuses the arguments.
        """
        parser, _ = _parser(self.cls)
        arguments = parser.instantiate(parser.parse_object(deepcopy(self.args))).as_dict()
        try:
            return self.cls(**facts, **arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.class_path}: {error}") from error


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Args:
        path: where it was read.
        plain: what was read, overrides applied: write it beside the result.
        system, optimizer: to be built from the facts of the data and from the parameters.
        dataset, loading, training: built; no data are read for it.
        windowing: in place of `loading`, for systems that find gestures in long recordings.
        weights: folder or shipped name of the model that `test` takes if none is given.
        longtail: what is done for rare classes, see `longtail`.
    """

    path: Path
    plain: dict[str, Any]
    system: Part
    optimizer: Part
    dataset: ClipDataset
    loading: Loading
    training: Training
    weights: str | None = None
    longtail: tuple[Remedy, ...] = ()
    windowing: Windowing | None = None

    @property
    def name(self) -> str:
        """Folder and stem, e.g. `utd_mhad/stgcnpp`."""
        return f"{self.path.resolve().parent.name}/{self.path.stem}"


def read_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        overrides: `key=value`, `--key=value` or `--key`, `value` as on a command line; keys are dotted and may
            leave out `init_args`: `data.root=/data`, `--training.epochs 3`.

    Raises:
        NoInput: there is no such file.
        FormatError: it is not YAML, or too large or deep.
        UsageError: all keys and values that are wrong, one per line: file, line, problem, nearest known key.
    """
    path = Path(path)
    plain, lines = read_yaml(path)
    _override(plain, lines, overrides)
    check = Check(path, lines)
    plain = check.expand(plain)
    for key in plain:
        if key not in (*_SECTIONS, "weights"):
            check.unknown((key,), (*_SECTIONS, "weights"))
    parts = {name: check.part(plain, name) for name in ("system", "data", "optimizer")}
    spots = parts["system"] is not None and is_spotter(parts["system"].cls)
    for name, cls in (("loading", Windowing if spots else Loading), ("training", Training)):
        parts[name] = check.arguments((name,), cls, name, plain.get(name) or {})
    built = {name: check.build((name,), parts[name]) for name in ("data", "loading", "training")}
    training = built["training"]
    # not for Training to say: what retrains a classifier has fewer epochs and passes over the drops
    if training is not None and training.drops and training.drops[-1] >= training.epochs:
        told = f"is {list(training.drops)}; they must lie below the {training.epochs} epochs; [] gives the cosine"
        check.say(("training", "drops"), told)
    if training is not None and training.epochs == 0 and parts["system"] is not None:
        if spots or not hasattr(parts["system"].cls, "observe"):
            check.say(("training", "epochs"), "is 0; only recognisers that learn by `observe` can do without")
        elif plain.get("longtail"):
            check.say(("longtail",), "acts while a system is trained; set training.epochs above 0")
    wanted, words = (RecordingDataset, "long recordings") if spots else (ClipDataset, "clips")
    if parts["data"] is not None and built["data"] is not None and not isinstance(built["data"], wanted):
        check.say(("data", "class_path"), f"names {parts['data'].class_path}, which is no dataset of {words}")
    weights = plain.get("weights")
    if weights is not None and not isinstance(weights, str):
        check.say(("weights",), f"is {weights!r}; expected the folder or name of a model")
    remedies = check.remedies(plain.get("longtail"))
    system, optimizer = parts["system"], parts["optimizer"]
    if check.problems or system is None or optimizer is None:
        raise UsageError("\n".join(check.problems))
    loading, windowing = (Loading(), built["loading"]) if spots else (built["loading"], None)
    return Recipe(
        path, plain, system, optimizer, built["data"], loading, built["training"], weights, remedies, windowing
    )


def build_windowing(plain: Mapping[str, Any], path: Path) -> Windowing:
    """The section `loading` of a spotter's recipe, as it was saved with the model.

    Raises:
        UsageError: it says something that `Windowing` does not know.
    """
    check = Check(path, {})
    windowing = check.build(("windowing",), check.arguments(("windowing",), Windowing, "windowing", dict(plain)))
    if check.problems:
        raise UsageError("\n".join(check.problems))
    assert isinstance(windowing, Windowing)
    return windowing


def write_recipe(plain: Mapping[str, Any]) -> str:
    """A recipe's content as YAML."""
    return yaml.safe_dump(dict(plain), sort_keys=False, allow_unicode=True)


class Check:
    """Collects everything that is wrong with one recipe."""

    def __init__(self, path: Path, lines: dict[Key, int]) -> None:
        self.path, self.lines = path, lines
        self.problems: list[str] = []

    def say(self, key: Key, problem: str) -> None:
        """Add `file:line  key problem`."""
        near = key
        while near and near not in self.lines:
            near = near[:-1]
        line = self.lines.get(near, 1)
        where = f"{self.path}:{line}" if line else "command line"
        self.problems.append(f"{where}  '{'.'.join(map(str, key))}' {problem}")

    def unknown(self, key: Key, known: Sequence[str]) -> None:
        near = get_close_matches(str(key[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}"
        self.say(key, f"is no known key; {hint}")

    def expand(self, value: Any, key: Key = ()) -> Any:
        """Replace `${NAME:-value}` in every text."""
        if isinstance(value, dict):
            return {k: self.expand(v, (*key, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self.expand(v, (*key, i)) for i, v in enumerate(value)]
        if not isinstance(value, str):
            return value

        def variable(match: re.Match[str]) -> str:
            name, fallback = match[1], match[2]
            if name not in os.environ and fallback is None:
                self.say(key, f"needs the environment variable {name}, which is not set")
            return os.environ.get(name, fallback or "")

        return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", variable, value)

    def part(self, plain: Mapping[str, Any], name: str) -> Part | None:
        """A section with `class_path` and `init_args`."""
        if name not in plain:
            self.say((name,), "is missing; expected class_path and init_args")
            return None
        return self.nested((name,), plain[name])

    def nested(self, key: Key, value: Any) -> Part | None:
        if not isinstance(value, dict) or not isinstance(value.get("class_path"), str):
            self.say(key, "needs a class_path, e.g. {class_path: torch.optim.AdamW, init_args: {lr: 0.001}}")
            return None
        for other in value:
            if other not in ("class_path", "init_args"):
                self.unknown((*key, other), ("class_path", "init_args"))
        cls = self.load((*key, "class_path"), value["class_path"])
        args = value.get("init_args")
        if args is not None and not isinstance(args, dict):
            self.say((*key, "init_args"), f"is {args!r}; expected arguments by name")
            return None
        return None if cls is None else self.arguments((*key, "init_args"), cls, value["class_path"], args or {})

    def load(self, key: Key, class_path: str) -> Callable[..., Any] | None:
        """Import a class by its path."""
        module_name, _, name = class_path.rpartition(".")
        try:
            module = importlib.import_module(module_name)
        except (ImportError, ValueError) as error:
            self.say(key, f"names '{class_path}', but module '{module_name}' cannot be imported ({error})")
            return None
        found = getattr(module, name, None)
        if not callable(found):
            own = [n for n, v in vars(module).items() if inspect.isclass(v)]
            near = get_close_matches(name, own, n=1, cutoff=0.4)
            hint = f"; did you mean '{module_name}.{near[0]}'?" if near else ""
            self.say(key, f"names '{class_path}', which does not exist{hint}")
            return None
        if not inspect.isclass(found):
            self.say(key, f"names '{class_path}', which is no class")
            return None
        return found

    def arguments(self, key: Key, cls: Callable[..., Any], class_path: str, args: Any) -> Part | None:
        """Check names, then types, of a constructor's arguments, and those of classes named inside them."""
        if not isinstance(args, dict):
            self.say(key, f"is {args!r}; expected arguments by name")
            return None
        before = len(self.problems)
        parser, known = _parser(cls)
        for name, value in args.items():
            if name in FACTS and name in inspect.signature(cls).parameters and name not in known:
                self.say((*key, name), "follows from the data and is not written in a recipe")
            elif name not in known:
                self.unknown((*key, name), known)
            elif isinstance(value, (dict, list)):
                for i, inner in enumerate(value) if isinstance(value, list) else [(None, value)]:
                    if isinstance(inner, dict) and "class_path" in inner:
                        self.nested((*key, name) if i is None else (*key, name, i), inner)
        if len(self.problems) > before:
            return None
        remaining = dict(args)
        while True:  # the parser stops at the first problem: take it out and ask again
            try:
                parser.parse_object(deepcopy(remaining))
                break
            except (ArgumentError, TypeError, ValueError, KeyError) as error:
                text = " ".join(str(error).split())
                guilty = re.search(r'[Kk]ey "(\w+)', text)
                if guilty is None or guilty[1] not in remaining:
                    self.say(key, text)
                    break
                self.say((*key, guilty[1]), f"does not fit: {text.split(': ', 1)[-1]}")
                del remaining[guilty[1]]
        return None if len(self.problems) > before else Part(cls, class_path, dict(args))

    def remedies(self, value: Any) -> tuple[Remedy, ...]:
        """The section `longtail`: one part, or a list of them."""
        if value is None:
            return ()
        listed = isinstance(value, list)
        found: list[Remedy] = []
        for i, inner in enumerate(value if listed else [value]):
            key: Key = ("longtail", i) if listed else ("longtail",)
            part = self.nested(key, inner)
            built = self.build(key, part)
            if isinstance(built, Remedy):
                found.append(built)
            elif part is not None and built is not None:
                self.say((*key, "class_path"), f"names {part.class_path}, which is no remedy of learning.longtail")
        if problem := clash(found):
            self.say(("longtail",), problem)
        return tuple(found)

    def build(self, key: Key, part: Part | None) -> Any:
        """Build a section that needs no facts; its own checks count as problems of the recipe."""
        try:
            return None if part is None else part.build()
        except MicrogestureError as error:
            self.say(key, str(error))
            return None


@lru_cache
def _parser(cls: Callable[..., Any]) -> tuple[Any, list[str]]:
    """A parser for the arguments a recipe may state, and their names."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    signature = inspect.signature(cls).parameters
    skip = {"params", "self"} | ({n for n in FACTS if n in signature} if "skeleton" in signature else set())
    names = parser.add_class_arguments(cls, skip={n for n in skip if n in signature}, fail_untyped=False)
    return parser, list(names)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Key, int]]:
    """A recipe's content and the line of every key, unchecked; errors as in `read_recipe`."""
    data = read_bytes(path, _MAX_BYTES)
    try:
        text = data.decode("utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise FormatError(path, "uses an alias", place=_line(event), remedy="write the value out")
            depth += isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent))
            depth -= isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent))
            if depth > _MAX_DEPTH:
                raise FormatError(path, f"is nested deeper than {_MAX_DEPTH}", place=_line(event))
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[Key, int] = {}
        if node is not None:
            _mark(path, node, (), lines)
        plain = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}" if error.problem_mark else None
        raise FormatError(path, f"is not YAML ({error.problem})", place=place, expected="a recipe") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError, TypeError) as error:
        raise FormatError(path, f"is not YAML ({error})", expected="a recipe in UTF-8") from error
    if not isinstance(plain, dict) or not all(isinstance(key, str) for key in plain):
        raise FormatError(path, "is no recipe", expected="the sections system, data and optimizer")
    return plain, lines


def _line(event: yaml.Event) -> str | None:
    return f"line {event.start_mark.line + 1}" if event.start_mark else None


def _mark(path: Path, node: yaml.Node, key: Key, lines: dict[Key, int]) -> None:
    """Note the line of every key."""
    lines[key] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _mark(path, item, (*key, i), lines)
    elif isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise FormatError(path, "has a key that is no name", place=f"line {name.start_mark.line + 1}")
            inner = (*key, name.value)
            if inner in lines:
                place = f"line {name.start_mark.line + 1}"
                raise FormatError(path, f"'{name.value}' stands there twice", place=place, remedy="keep one")
            _mark(path, value, inner, lines)
            lines[inner] = name.start_mark.line + 1


def _override(plain: dict[str, Any], lines: dict[Key, int], overrides: Sequence[str]) -> None:
    """Write command-line values into the recipe; their line becomes 0."""
    rest = list(overrides)
    while rest:
        token = rest.pop(0)
        key, equals, text = token.removeprefix("--").partition("=")
        if not equals:
            if not token.startswith("--") or not rest:
                raise UsageError(f"'{token}' is no setting; expected --key value or key=value")
            text = rest.pop(0)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"'{token}': the value is not YAML ({error})") from error
        if not key or not all(key.split(".")):
            raise UsageError(f"'{token}' is no setting; expected --key value or key=value")
        path = key.split(".")
        if len(path) > 1 and _SECTIONS.get(path[0]) and path[1] not in ("class_path", "init_args"):
            path.insert(1, "init_args")
        place: Any = plain
        for step in path[:-1]:
            if place.get(step) is None:
                place[step] = {}
            place = place[step]
            if not isinstance(place, dict):
                raise UsageError(f"'{token}': '{step}' holds a value, not keys")
        place[path[-1]] = value
        lines[tuple(path)] = 0
