"""Checks that every spotter passes: systems that find gestures in long recordings.

from microgesture.testing import check_spotter

def test_contract():
    check_spotter(MySpotter, features=12, width=8)
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import nn

from microgesture.core.detections import Detections
from microgesture.core.errors import MicrogestureError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import SMG
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import WindowBatch


def check_spotter(
    cls: type[nn.Module],
    *,
    skeleton: Skeleton | None = None,
    taxonomy: Taxonomy = SMG,
    frames: int = 64,
    features: int = 0,
    **arguments: Any,
) -> None:
    """Run every check of `SPOTTER_CHECKS` on a spotter.

    Args:
        cls: built as `cls(skeleton, taxonomy, frames, 1, **facts, **arguments)`; see `learning.spotting` for what it
            must have.
        skeleton: layout of the poses; OpenPose-18 by default.
        frames: of the windows.
        features: numbers per step that describe the windows, one step every four frames; 0 = none.
        arguments: further constructor arguments; choose small sizes.

    Raises:
        AssertionError: lists every check that failed, and why.
    """
    case = SpotterCase(cls, skeleton or SKELETONS["openpose18"], taxonomy, frames, features, arguments)
    problems = []
    for name, check in SPOTTER_CHECKS.items():
        try:
            check(case)
        except (AssertionError, MicrogestureError, RuntimeError, ValueError, TypeError, IndexError) as error:
            problems.append(f"{name}: {type(error).__name__}: {error}")
    if problems:
        raise AssertionError(f"{cls.__name__} breaks the contract of a spotter:\n  " + "\n  ".join(problems))


@dataclass(frozen=True)
class SpotterCase:
    """A spotter under test and the windows it is shown."""

    cls: type[nn.Module]
    skeleton: Skeleton
    taxonomy: Taxonomy
    frames: int
    features: int
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 0) -> nn.Module:
        """A fresh spotter with its statistics taken; the same seed gives the same weights."""
        known = inspect.signature(self.cls).parameters
        facts = {"in_channels": 3, "features": self.features, "fps": 15.0}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = self.cls(
                self.skeleton, self.taxonomy, self.frames, 1,
                **{name: value for name, value in facts.items() if name in known}, **self.arguments,
            )  # fmt: skip
            if hasattr(made, "observe"):
                made.observe([self.windows(1, seed=s) for s in range(3)])  # type: ignore[operator]
        return made

    def windows(self, count: int = 3, valid: float = 1.0, seed: int = 1, empty: bool = False) -> WindowBatch:
        """Windows with two gestures each, the second one cut by the end of the window."""
        make = torch.Generator().manual_seed(seed)
        shape = (count, 1, self.frames, len(self.skeleton))
        xy = torch.randn(*shape[:2], 1, shape[3], 2, generator=make)
        xy = xy + torch.randn(*shape, 2, generator=make).cumsum(2) * 0.1
        score = torch.rand(shape, generator=make) * 0.5 + 0.5
        steps = self.frames // 4
        series = torch.randn(count, self.features, steps, generator=make) if self.features else None
        seen = torch.arange(self.frames) / self.frames < valid - 1e-6
        xy, score = xy * seen[:, None, None], score * seen[:, None]
        if series is not None:
            series = series * (torch.arange(steps) / steps < valid - 1e-6)
        classes = torch.randint(0, len(self.taxonomy), (count, 2), generator=make)
        segments = torch.tensor([[0.1, 0.35], [0.8, 1.1]]).expand(count, 2, 2).clone() * valid
        return WindowBatch(
            xy, score, valid=torch.full((count,), valid), segments=segments,
            classes=torch.full_like(classes, -1) if empty else classes, series=series,
        )  # fmt: skip

    def found(self, model: nn.Module, batch: WindowBatch) -> list[Detections]:
        """What a spotter finds in eval mode."""
        with torch.no_grad():
            found: list[Detections] = model.eval().detections(model(batch), batch)  # type: ignore[operator]
        return found

    def total(self, model: nn.Module, batch: WindowBatch) -> torch.Tensor:
        """Sum of all losses of one forward pass in the mode the model is in."""
        losses: dict[str, torch.Tensor] = model.losses(model(batch), batch)  # type: ignore[operator]
        for name, value in losses.items():
            assert value.ndim == 0, f"loss '{name}' has shape {tuple(value.shape)}, expected a scalar"
            assert torch.isfinite(value), f"loss '{name}' is not finite"
        return torch.stack(list(losses.values())).sum()


def described(case: SpotterCase) -> None:
    """The file opens with paper, input, output, losses and fidelity."""
    text = sys.modules[case.cls.__module__].__doc__ or ""
    missing = [word for word in ("Paper", "Input", "Output", "Losses", "Fidelity") if f"\n{word} " not in text]
    assert not missing, f"the module's docstring has no line for {', '.join(missing)}"


def constructor(case: SpotterCase) -> None:
    """It says that it spots, data facts lead, and no argument can sink unread."""
    assert getattr(case.cls, "task", None) == "spot", "the class does not say task = 'spot'"
    parameters = list(inspect.signature(case.cls).parameters.values())
    names = [p.name for p in parameters[:4]]
    assert names == ["skeleton", "taxonomy", "frames", "persons"], f"the constructor begins with {', '.join(names)}"
    loose = [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert not loose, f"the constructor takes *{loose[0]}: mistyped options would be lost"


def detections(case: SpotterCase) -> None:
    """One list for each window, of known classes, with scores in [0, 1], within what the window holds."""
    for valid in (1.0, 0.5):
        batch = case.windows(valid=valid)
        found = case.found(case.build(), batch)
        assert len(found) == len(batch), f"{len(found)} lists of detections for {len(batch)} windows"
        for one in found:
            known = (one.label >= 0) & (one.label < len(case.taxonomy))
            assert known.all(), "a detection has a class that does not exist"
            assert ((one.score >= 0) & (one.score <= 1)).all(), "a score lies outside [0, 1]"
            assert (one.end <= valid + 1e-6).all(), f"a detection ends behind the recording, at {one.end.max():.3f}"
            assert (one.end > one.start).all(), "a detection ends before it begins"


def repeatable(case: SpotterCase) -> None:
    """The same windows give the same detections, alone or with others, and looking leaves no trace."""
    model, batch = case.build(), case.windows()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, again = case.found(model, batch), case.found(model, batch)
    alone = [case.found(model, case.windows())[0]]
    for one, other in zip([*first, first[0]], [*again, *alone], strict=True):
        _same(one, other)
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert not changed, f"a forward pass in eval mode changes {changed[0]}"


def same_seed_same_system(case: SpotterCase) -> None:
    """Weights depend on the seed alone."""
    one, other = case.build(3).state_dict(), case.build(3).state_dict()
    differ = [name for name in one if not torch.equal(one[name], other[name])]
    assert not differ, f"{differ[0]} differs between two systems of one seed"


def losses(case: SpotterCase) -> None:
    """Finite scalars and finite gradients, with and without gestures, with windows that end early, with one window."""
    for batch in (
        case.windows(), case.windows(empty=True), case.windows(valid=0.5), case.windows(1) if not _norms(case) else
        case.windows(2),
    ):  # fmt: skip
        model = case.build().train()
        case.total(model, batch).backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            finite = parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
            assert finite, f"the gradient of {name} is not finite"


def learns(case: SpotterCase) -> None:
    """Loss falls when the same windows are shown again and again."""
    model, batch = case.build().train(), case.windows()
    descent = torch.optim.Adam(model.parameters(), lr=0.003)
    torch.manual_seed(0)
    values = []
    for _ in range(12):
        descent.zero_grad()
        total = case.total(model, batch)
        total.backward()  # type: ignore[no-untyped-call]
        descent.step()
        values.append(float(total.detach()))
    assert np.mean(values[-3:]) < np.mean(values[:3]), f"the loss goes from {values[0]:.3f} to {values[-1]:.3f}"


def not_finite(case: SpotterCase) -> None:
    """A value that is not finite is refused by name, not turned into detections."""
    batch = case.windows()
    if batch.series is not None:
        bad = replace(batch, series=batch.series.clone().index_fill_(2, torch.tensor([3]), float("nan")))
    else:
        bad = replace(batch, xy=batch.xy.clone().index_fill_(2, torch.tensor([3]), float("nan")))
    try:
        case.found(case.build(), bad)
        words = "NaN passes without a word"
    except MicrogestureError as error:
        words = str(error)
    assert "finite" in words, f"a value that is not finite is not named: {words}"


def save_and_load(case: SpotterCase) -> None:
    """The state, saved as safetensors, makes another instance the same spotter."""
    model, batch = case.build(), case.windows()
    other = case.build(seed=9)
    other.load_state_dict(load(save({key: value.contiguous() for key, value in model.state_dict().items()})))
    for one, two in zip(case.found(model, batch), case.found(other, batch), strict=True):
        _same(one, two)


SPOTTER_CHECKS: dict[str, Callable[[SpotterCase], None]] = {
    check.__name__: check
    for check in (
        described, constructor, detections, repeatable, same_seed_same_system, losses, learns, not_finite,
        save_and_load,
    )
}  # fmt: skip
"""Name of each check -> the check."""


def _norms(case: SpotterCase) -> bool:
    """Whether the spotter has batch norms, which cannot learn from one value."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in case.build().modules())


def _same(one: Detections, other: Detections) -> None:
    assert len(one) == len(other), f"{len(one)} and {len(other)} detections"
    assert (one.label == other.label).all(), "classes differ"
    for name in ("start", "end", "score"):
        gap = float(np.abs(getattr(one, name) - getattr(other, name)).max(initial=0.0))
        assert gap < 1e-4, f"{name} differs by {gap:.2g}"
