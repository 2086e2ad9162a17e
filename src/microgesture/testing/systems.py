"""Checks that every skeleton recogniser passes, offered to authors outside as well.

    from microgesture.testing import check_system

    def test_contract():
        check_system(MySystem, width=8)

A system that breaks a rule on purpose says so with the reason: `known_failures={"empty_person": "..."}`.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from microgesture.core.errors import MicrogestureError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import SMG
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_logits

# float32 sums in another order differ by about 1e-6 of the largest logit per layer; ten layers and a margin
TOLERANCE = 1e-4


def check_system(
    cls: type[nn.Module],
    *,
    skeleton: Skeleton | None = None,
    taxonomy: Taxonomy = SMG,
    frames: tuple[int, int] = (16, 21),
    persons: Sequence[int] = (1, 2),
    known_failures: Mapping[str, str] | None = None,
    **arguments: Any,
) -> None:
    """Run every check of `CHECKS` on a recogniser.

    Args:
        cls: built as `cls(skeleton, taxonomy, frames, persons, **arguments)`; `forward(PoseBatch)` gives logits (B, K)
            and `losses(out, batch)` named scalars.
        skeleton: layout of the clips; OpenPose-18 by default.
        frames: two clip lengths; the first is the one the system is built for.
        persons: numbers of persons the system can be built for.
        known_failures: name of a check -> why the system does not pass it. A known failure that passes is reported too.
        arguments: further constructor arguments; choose a small width, the checks train.

    Raises:
        AssertionError: lists every check that failed, and why.
    """
    known = dict(known_failures or {})
    problems = [f"known failure '{name}' is no check; there are {', '.join(CHECKS)}" for name in known.keys() - CHECKS]
    case = Case(cls, skeleton or SKELETONS["openpose18"], taxonomy, frames, tuple(persons), arguments)
    for name, check in CHECKS.items():
        try:
            check(case)
        except (AssertionError, MicrogestureError, RuntimeError, ValueError, TypeError, IndexError) as error:
            if name not in known:
                problems.append(f"{name}: {type(error).__name__}: {error}")
        else:
            if name in known:
                problems.append(f"{name} passes, but is listed as a known failure ({known[name]})")
    if problems:
        raise AssertionError(f"{cls.__name__} breaks the contract of a system:\n  " + "\n  ".join(problems))


@dataclass(frozen=True)
class Case:
    """A system under test and the clips it is shown."""

    cls: type[nn.Module]
    skeleton: Skeleton
    taxonomy: Taxonomy
    frames: tuple[int, int]
    persons: tuple[int, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def build(self, persons: int | None = None, skeleton: Skeleton | None = None, seed: int = 0) -> nn.Module:
        """A fresh system; the same seed gives the same weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            facts = (skeleton or self.skeleton, self.taxonomy, self.frames[0], persons or self.persons[0])
            return self.cls(*facts, **self.arguments)

    def clips(self, count: int = 4, persons: int | None = None, frames: int | None = None, seed: int = 1) -> PoseBatch:
        """Bodies of a width of about 1 whose joints wander, each clip its own class."""
        make = torch.Generator().manual_seed(seed)
        shape = (count, persons or self.persons[0], frames or self.frames[0], len(self.skeleton))
        rest = torch.randn(*shape[:2], 1, shape[3], 2, generator=make)
        walk = torch.randn(*shape, 2, generator=make).cumsum(2) * 0.1
        score = torch.rand(shape, generator=make) * 0.5 + 0.5
        return PoseBatch(rest + walk, score, torch.arange(count) % len(self.taxonomy))

    def logits(self, model: nn.Module, batch: PoseBatch) -> Tensor:
        """Eval mode, no gradients."""
        with torch.no_grad():
            return class_logits(model.eval()(batch))

    def losses(self, model: nn.Module, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = model.losses(out, batch)  # type: ignore[operator]
        return losses

    def total(self, model: nn.Module, batch: PoseBatch) -> Tensor:
        """Sum of all losses of one forward pass in the mode the model is in."""
        return torch.stack(list(self.losses(model, model(batch), batch).values())).sum()


def described(case: Case) -> None:
    """The file opens with paper, input, output, losses and fidelity."""
    text = sys.modules[case.cls.__module__].__doc__ or ""
    missing = [word for word in ("Paper", "Input", "Output", "Losses", "Fidelity") if f"\n{word} " not in text]
    assert not missing, f"the module's docstring has no line for {', '.join(missing)}"


def constructor(case: Case) -> None:
    """Data facts lead, and no argument can sink unread."""
    parameters = list(inspect.signature(case.cls).parameters.values())
    names = [p.name for p in parameters[:4]]
    assert names == ["skeleton", "taxonomy", "frames", "persons"], f"the constructor begins with {', '.join(names)}"
    loose = [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert not loose, f"the constructor takes *{loose[0]}: mistyped options would be lost"


def shapes(case: Case) -> None:
    """Logits (B, K) for two lengths and every number of persons."""
    for persons in case.persons:
        model = case.build(persons)
        for frames in case.frames:
            _sound(case, case.logits(model, case.clips(3, persons, frames)), 3)


def one_frame(case: Case) -> None:
    """A clip of a single frame has an answer."""
    _sound(case, case.logits(case.build(), case.clips(2, frames=1)), 2)


def same_seed_same_system(case: Case) -> None:
    """Weights depend on the seed alone."""
    first, second = case.build(seed=3).state_dict(), case.build(seed=3).state_dict()
    differs = [key for key in first if not torch.equal(first[key], second[key])]
    assert not differs, f"{differs[0]} differs between two systems made with one seed"


def repeatable(case: Case) -> None:
    """In eval mode the same clip gets the same answer, bit by bit."""
    model, batch = case.build(), case.clips()
    assert torch.equal(case.logits(model, batch), case.logits(model, batch)), "two runs on the same clips differ"


def eval_leaves_no_trace(case: Case) -> None:
    """Eval mode changes neither the weights, nor the statistics, nor the clips."""
    model, batch = case.build().eval(), case.clips()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    xy, score = batch.xy.clone(), batch.score.clone()
    case.logits(model, batch)
    changed = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    assert not changed, f"{changed[0]} changed in eval mode"
    same = torch.equal(batch.xy, xy) and torch.equal(batch.score, score)
    assert same, "forward wrote into the batch"


def alone_or_together(case: Case) -> None:
    """A clip's answer does not depend on the clips beside it."""
    model, batch = _trained(case), case.clips(8)
    alone = torch.cat([case.logits(model, PoseBatch(batch.xy[i : i + 1], batch.score[i : i + 1])) for i in range(8)])
    _close(alone, case.logits(model, batch), "clips one by one and in one batch")


def empty_person(case: Case) -> None:
    """A second person that is not there changes nothing."""
    if max(case.persons) < 2:
        return
    model, one = _trained(case, max(case.persons)), case.clips(persons=1)
    two = PoseBatch(torch.cat((one.xy, 0 * one.xy), 1), torch.cat((one.score, 0 * one.score), 1))
    _close(case.logits(model, two), case.logits(model, one), "with and without an empty second person")


def missing_joints(case: Case) -> None:
    """Joints that are missing or change sides for a while, and a person who comes late, give finite numbers."""
    batch = case.clips()
    batch.score[0, :, :, ::2] = 0
    batch.score[1, :, : case.frames[0] // 2] = 0
    batch.score[2, :, 1::3, 1] = 0
    batch.xy[3, :, ::2] = batch.xy[3, :, ::2][..., list(case.skeleton.flip), :]
    batch.xy[batch.score == 0] = 0
    _sound_in_training(case, batch)


def nothing_seen(case: Case) -> None:
    """Clips in which every confidence is 0 give finite numbers."""
    batch = case.clips()
    _sound_in_training(case, replace(batch, xy=0 * batch.xy, score=0 * batch.score))


def standing_still(case: Case) -> None:
    """A constant pose gives finite numbers."""
    batch = case.clips()
    _sound_in_training(case, replace(batch, xy=batch.xy[:, :, :1].expand_as(batch.xy).clone()))


def not_finite(case: Case) -> None:
    """NaN and infinity are refused with an error of this package."""
    for value in (math.nan, math.inf, -math.inf):
        for name in ("xy", "score"):
            batch = case.clips(2)
            getattr(batch, name)[1, 0, 3, 2] = value
            try:
                case.logits(case.build(), batch)
            except MicrogestureError:
                continue
            raise AssertionError(f"{name} of {value} is accepted")


def nobody(case: Case) -> None:
    """A batch without persons or without frames gets finite logits or an error of this package."""
    batch = case.clips(2)
    for kept in (batch.xy[:, :0], batch.xy[:, :, :0]):
        try:
            out = case.logits(case.build(), replace(batch, xy=kept, score=kept[..., 0]))
        except MicrogestureError:
            continue
        _sound(case, out, 2)


def mirrored(case: Case) -> None:
    """A mirrored body, and a layout that lists the other side first, work like any other."""
    batch, flip = case.clips(), list(case.skeleton.flip)
    mirror = torch.tensor([-1.0, 1.0])
    _sound(case, case.logits(case.build(), PoseBatch(batch.xy[..., flip, :] * mirror, batch.score[..., flip])), 4)
    joints = tuple(case.skeleton.joints[i] for i in flip)
    bones = tuple((flip[a], flip[b]) for a, b in case.skeleton.bones)
    swapped = replace(case.skeleton, name="mirrored", joints=joints, bones=bones, root=flip[case.skeleton.root])
    _sound(case, case.logits(case.build(skeleton=swapped), batch), 4)


def losses(case: Case) -> None:
    """Losses are named finite scalars; weight 0 removes a clip; one-hot soft targets equal labels."""
    model, batch = case.build().eval(), case.clips()
    terms = case.losses(model, model(batch), batch)
    assert terms, "losses() returned nothing"
    for name, term in terms.items():
        sound = term.ndim == 0 and bool(torch.isfinite(term))
        assert sound, f"loss '{name}' is not a finite scalar"
    assert batch.label is not None
    half = replace(batch, weight=torch.tensor([1.0, 1.0, 0.0, 0.0]))
    kept = PoseBatch(batch.xy[:2], batch.score[:2], batch.label[:2])
    with torch.no_grad():
        _close(case.total(model, half), case.total(model, kept), "a clip of weight 0 and a clip left out")
        soft = nn.functional.one_hot(batch.label, len(case.taxonomy)).float()
        hard = case.total(model, batch)
        _close(case.total(model, replace(batch, label=None, soft=soft)), hard, "labels and one-hot soft targets")


def gradients(case: Case) -> None:
    """After two steps every parameter has a gradient, and every weight one that is not zero."""
    model = case.build().train()
    descent = torch.optim.SGD(model.parameters(), lr=0.01)
    batch = case.clips()
    for _ in range(3):  # parameters may start behind a factor that is zero until the first step
        descent.zero_grad()
        case.total(model, batch).backward()  # type: ignore[no-untyped-call]
        descent.step()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite"
        # a bias in front of a batch norm has none in exact arithmetic
        assert name.endswith("bias") or parameter.grad.any(), f"the gradient of {name} is zero"


def mixed_precision(case: Case) -> None:
    """Learning under bfloat16 autocast works and stays finite."""
    model, batch = case.build().train(), case.clips()
    with torch.autocast("cpu", torch.bfloat16):
        total = case.total(model, batch)
    total.backward()  # type: ignore[no-untyped-call]
    _finite_gradients(model)


def learns_by_heart(case: Case) -> None:
    """Six clips of six classes are learnt to the last one in 60 steps."""
    model, batch = case.build().train(), case.clips(6)
    descent = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        descent.zero_grad()
        case.total(model, batch).backward()  # type: ignore[no-untyped-call]
        descent.step()
    assert batch.label is not None
    with torch.no_grad():
        right = int(class_logits(model(batch)).argmax(1).eq(batch.label).sum())
    assert right == 6, f"{right} of 6 clips learnt"


def save_and_load(case: Case) -> None:
    """The state, saved as safetensors, makes another instance the same system."""
    model, batch = _trained(case), case.clips()
    other = case.build(seed=9)
    other.load_state_dict(load(save({key: value.contiguous() for key, value in model.state_dict().items()})))
    assert torch.equal(case.logits(other, batch), case.logits(model, batch)), "the loaded system answers otherwise"


CHECKS: dict[str, Callable[[Case], None]] = {
    check.__name__: check
    for check in (
        described,
        constructor,
        shapes,
        one_frame,
        same_seed_same_system,
        repeatable,
        eval_leaves_no_trace,
        alone_or_together,
        empty_person,
        missing_joints,
        nothing_seen,
        standing_still,
        not_finite,
        nobody,
        mirrored,
        losses,
        gradients,
        mixed_precision,
        learns_by_heart,
        save_and_load,
    )
}
"""Name of each check -> the check; for `pytest.mark.parametrize` where one line per check is wanted."""


def _trained(case: Case, persons: int | None = None) -> nn.Module:
    """A system after a few training passes, so that no batch statistic is at its starting value."""
    model, batch = case.build(persons).train(), case.clips(6, persons, seed=5)
    descent = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        descent.zero_grad()
        case.total(model, batch).backward()  # type: ignore[no-untyped-call]
        descent.step()
    return model.eval()


def _sound(case: Case, out: Tensor, clips: int) -> None:
    expected = (clips, len(case.taxonomy))
    assert tuple(out.shape) == expected, f"logits have shape {tuple(out.shape)}, expected {expected}"
    assert torch.isfinite(out).all(), "logits are not finite"


def _sound_in_training(case: Case, batch: PoseBatch) -> None:
    model = case.build()
    _sound(case, case.logits(model, batch), len(batch))
    case.total(model.train(), batch).backward()  # type: ignore[no-untyped-call]
    _finite_gradients(model)


def _finite_gradients(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        finite = parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
        assert finite, f"the gradient of {name} is not finite"


def _close(a: Tensor, b: Tensor, what: str) -> None:
    scale = max(1.0, float(b.abs().max()))
    gap = float((a - b).abs().max())
    assert gap <= TOLERANCE * scale, f"{what}: results differ by {gap:.2g}"
