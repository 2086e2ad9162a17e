"""Ensembles: several systems trained by recipes, whose class probabilities are averaged in a test.

    members:                                     each has a folder of its own in the run, by its name
      - {recipe: aagcn.yaml, name: joint}        a recipe, from the folder of this file on
      - {recipe: aagcn.yaml, name: bone, overrides: {loading.streams: [bone]}, weight: 0.5}
    mean: probability                            or logits; may be left out
    name: simulated/aagcn_bone                   in records; the folder and name of this file if left out

`runs.train` and `runs.test` call this for such files. All members must know the same classes and be measured on the
same clips; in all else they may differ.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from microgesture.core.durable import make_folder, write_text
from microgesture.core.errors import UsageError
from microgesture.learning.recipe import Check, read_recipe, read_yaml, write_recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from microgesture.datasets.clips import LabelledClips
    from microgesture.learning.recipe import Recipe

_Path = str | os.PathLike[str]
Mean = Literal["probability", "logits"]
_KEYS = ("members", "mean", "name")


@dataclass(frozen=True)
class Member:
    """One system of an ensemble.

    Args:
        recipe: file, from the folder of the ensemble on.
        name: of its folder in the run; the recipe's if not given, numbered where several members share it.
        overrides: settings that replace the recipe's, by dotted keys, see `read_recipe`.
        weight: of its answer, relative to the others'.
    """

    recipe: str
    name: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise UsageError(f"weight is {self.weight}; it must be positive")
        if self.name and not re.fullmatch(r"\w[\w.+-]{0,63}", self.name):
            raise UsageError(f"name is '{self.name}'; expected letters, digits and _ . + -, as it becomes a folder")

    @property
    def settings(self) -> list[str]:
        """The overrides as `read_recipe` takes them."""
        return [f"{key}={_one_line(value)}" for key, value in _dotted(self.overrides)]


@dataclass(frozen=True)
class Ensemble:
    """A checked ensemble.

    Args:
        path: where it was read.
        members: in their order, all with names.
        plans: the recipe of each.
        mean: what is averaged, see `averaged`.
        name: in records, by default folder and stem, e.g. `simulated/aagcn_four`.
    """

    path: Path
    members: tuple[Member, ...]
    plans: tuple[Recipe, ...]
    mean: Mean
    name: str

    @property
    def written(self) -> str:
        """The ensemble as it stands in its run: members are the recipes in their folders."""
        members = [{"recipe": f"{m.name}/recipe.yaml", "name": m.name, "weight": m.weight} for m in self.members]
        return write_recipe({"members": members, "mean": self.mean, "name": self.name})


def is_ensemble(recipe_or_run: _Path) -> bool:
    """Whether a file, or the recipe of a run, has members.

    Raises:
        NoInput, FormatError: it cannot be read, see `read_recipe`.
    """
    return "members" in read_yaml(_file(recipe_or_run))[0]


def read_ensemble(path: _Path, overrides: Sequence[str] = ()) -> Ensemble:
    """Read and check an ensemble and the recipes of all its members.

    Args:
        overrides: settings that replace those of every member.

    Raises:
        NoInput, FormatError: a file cannot be read.
        UsageError: all that is wrong, one per line: file, line, problem, nearest known key.
    """
    path = _file(path)
    plain, lines = read_yaml(path)
    check = Check(path, lines)
    plain = check.expand(plain)
    for key in plain:
        if key not in _KEYS:
            check.unknown((key,), _KEYS)
    mean = plain.get("mean", "probability")
    if mean not in ("probability", "logits"):
        check.say(("mean",), f"is {mean!r}; expected probability or logits")
    name = plain.get("name", f"{path.resolve().parent.name}/{path.stem}")
    if not isinstance(name, str) or not name:
        check.say(("name",), f"is {name!r}; expected words")
    members = _members(check, plain.get("members"))
    plans: list[Recipe] = []
    for i, member in enumerate(members):
        file = path.parent / member.recipe
        if is_ensemble(file):
            check.say(("members", i, "recipe"), f"names {file}, which is an ensemble; expected a single system")
            continue
        place = f"{path}:{lines.get(('members', i), 1)}  member '{member.name}'"
        try:
            if member.overrides:  # what is wrong with them is said with their place
                read_recipe(file, member.settings)
        except UsageError as error:
            check.problems += [problem.replace("command line", place) for problem in str(error).splitlines()]
            continue
        plan = read_recipe(file, [*member.settings, *overrides])
        if plan.windowing is not None:
            check.say(("members", i, "recipe"), f"names {file}, which finds gestures in recordings; expected clips")
        plans.append(plan)
    if check.problems:
        raise UsageError("\n".join(check.problems))
    return Ensemble(path, members, tuple(plans), mean, name)


def _members(check: Check, value: Any) -> tuple[Member, ...]:
    """The section `members`, every one with a name of its own."""
    if not isinstance(value, list) or len(value) < 2:
        check.say(("members",), "needs a list of two or more, e.g. [{recipe: joint.yaml}, {recipe: limb.yaml}]")
        return ()
    parts = [check.arguments(("members", i), Member, "members", one) for i, one in enumerate(value)]
    found = [check.build(("members", i), part) for i, part in enumerate(parts)]
    known = [m for m in found if isinstance(m, Member)]
    stems = Counter(Path(m.recipe).stem for m in known if not m.name)
    names = []
    for i, m in enumerate(known):
        stem = Path(m.recipe).stem
        names.append(m.name or (f"{stem}_{i + 1}" if stems[stem] > 1 else stem))
    for name, count in Counter(names).items():
        if count > 1:
            check.say(("members",), f"has {count} members called '{name}'; give each a name of its own")
    if len(known) < len(value) or len(set(names)) < len(names):
        return ()
    return tuple(Member(m.recipe, name, m.overrides, m.weight) for m, name in zip(known, names, strict=True))


def train_ensemble(
    path: _Path,
    overrides: Sequence[str] = (),
    out: _Path | None = None,
    resume: bool = False,
    tell: Callable[[str], None] | None = None,
    progress: Callable[[str, float, float], None] | None = None,
) -> Path:
    """Train every member into a folder of its name; see `runs.train`.

    With `resume` finished members are left as they are, and one that was interrupted goes on.

    Returns:
        The folder: a folder per member, and `recipe.yaml`.
    """
    from microgesture.learning.checkpoint import CONFIG
    from microgesture.learning.runs import RECIPE, train

    ensemble = read_ensemble(path, overrides)
    folder = make_folder(out or Path("runs") / ensemble.name)
    before = folder / RECIPE
    begun = before.exists() and any((folder / m.name / "last.ckpt").exists() for m in ensemble.members)
    if begun and not resume:
        raise UsageError(f"{folder} holds a run already; go on with --resume or choose another folder with --out")
    if begun and before.read_text(encoding="utf-8") != ensemble.written:
        raise UsageError(f"{before} differs from this ensemble: a run is resumed with the members it began with")
    write_text(before, ensemble.written)
    for member, plan in zip(ensemble.members, ensemble.plans, strict=True):
        place, text = folder / member.name, write_recipe(plan.plain)
        finished = (place / CONFIG).exists() and (place / RECIPE).read_text(encoding="utf-8") == text
        if tell is not None:
            tell(f"member {member.name}" + (": finished before" if finished else ""))
        if not finished:
            train(plan.path, [*member.settings, *overrides], place, resume, tell, progress)
    return folder


def measure_ensemble(
    recipe_or_run: _Path,
    overrides: Sequence[str] = (),
    weights: _Path | None = None,
    split: str | None = None,
    out: _Path | None = None,
    progress: Callable[[str, float, float], None] | None = None,
) -> dict[str, Any]:
    """Measure the members' weighted mean on a split; see `runs.test`.

    The record is that of a system called e.g. "ensemble of 4 aagcn" whose parameters, operations and milliseconds are
    the sums of its members'; the seed stands in it if all members have the same.

    Args:
        weights: folder of the run.

    Raises:
        UsageError: members are not measured on the same clips.
    """
    from microgesture.datasets.loading import test_loader
    from microgesture.evaluation.records import system_key
    from microgesture.learning.cost import cost
    from microgesture.learning.runs import commit, labelled_clips, load, predict, result_of, write_result

    ensemble = read_ensemble(recipe_or_run, overrides)
    given = Path(recipe_or_run)
    folder = Path(weights or (given if given.is_dir() else Path("runs") / ensemble.name))
    dataset = ensemble.plans[0].dataset
    split, clips = labelled_clips(dataset, split)
    answers, prices, configs = [], [], []
    for member, plan in zip(ensemble.members, ensemble.plans, strict=True):
        measured = load(plan.path, [*member.settings, *overrides], folder / member.name)
        theirs = clips if plan is ensemble.plans[0] else labelled_clips(plan.dataset, split)[1]
        if plan.dataset.taxonomy != dataset.taxonomy or not _same(theirs, clips):
            raise UsageError(
                f"{ensemble.path}: members '{ensemble.members[0].name}' and '{member.name}' are not measured on the "
                f"same clips: {len(clips)} of {clips.source}, {len(theirs)} of {theirs.source}"
            )
        answers.append(predict(measured.saved.system, theirs, measured.plan.loading, measured.table, progress))
        prices.append(cost(measured.saved.system, next(iter(test_loader(theirs, measured.plan.loading)))))
        configs.append(measured.saved.config)
    probabilities = averaged(answers, [m.weight for m in ensemble.members], ensemble.mean)
    keys = Counter(system_key(config["system"]["class_path"]) for config in configs)
    seeds = {config.get("seed") for config in configs}
    votes = [(config["sha256"], m.weight) for config, m in zip(configs, ensemble.members, strict=True)]
    result = result_of(
        dataset,
        split,
        clips,
        probabilities,
        system="ensemble of " + ", ".join(f"{count} {key}" if count > 1 else key for key, count in keys.items()),
        recipe=ensemble.name,
        weights_sha256=hashlib.sha256(repr((votes, ensemble.mean)).encode()).hexdigest(),
        commit=commit(),
        seed=seeds.pop() if len(seeds) == 1 else None,
        parameters=sum(price.parameters for price in prices),
        flops=sum(price.flops for price in prices),
        latency_ms=round(sum(price.latency_ms for price in prices), 3),
    )
    if out or os.access(folder, os.W_OK):
        write_result(Path(out or folder), result, clips, probabilities)
    return result


def averaged(
    answers: Sequence[NDArray[np.float64]], weights: Sequence[float], mean: Mean = "probability"
) -> NDArray[np.float64]:
    """Class probabilities of several systems as one.

    Args:
        answers: of each system (N, K).
        weights: of each, positive; their sum does not matter.
        mean: `"probability"` averages as they are. `"logits"` averages their logarithms, which differ from logits by a
            constant per clip; where a clip has several views, a system's own mean over them comes first.

    Example:
        >>> import numpy as np
        >>> averaged([np.array([[0.8, 0.2]]), np.array([[0.4, 0.6]])], [1, 3]).round(3).tolist()
        [[0.5, 0.5]]
        >>> averaged([np.array([[0.8, 0.2]]), np.array([[0.2, 0.8]])], [1, 1], "logits").round(3).tolist()
        [[0.5, 0.5]]
    """
    import numpy as np

    stacked, share = np.stack(answers), np.asarray(weights, np.float64) / np.sum(weights)
    if mean == "probability":
        return np.asarray(np.tensordot(share, stacked, 1))
    logits = np.tensordot(share, np.log(np.maximum(stacked, np.finfo(np.float64).tiny)), 1)
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(-1, keepdims=True))


def _same(one: LabelledClips, other: LabelledClips) -> bool:
    import numpy as np

    return one is other or (one.names == other.names and np.array_equal(one.label, other.label))


def _file(recipe_or_run: _Path) -> Path:
    """The recipe of a run, or the file itself."""
    from microgesture.learning.runs import RECIPE

    given = Path(recipe_or_run)
    return given / RECIPE if given.is_dir() else given


def _dotted(overrides: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested overrides as dotted keys; a class with its arguments is one value."""
    rows: list[tuple[str, Any]] = []
    for key, value in overrides.items():
        nested = isinstance(value, dict) and value and "class_path" not in value
        rows += _dotted(value, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", value)]
    return rows


def _one_line(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("...\n").strip()
