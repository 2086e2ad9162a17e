"""Every check can fail: a plain system passes all of them, and each spoilt copy fails the one meant and no other.

Paper      none
Input      xy and score
Output     logits (B, K)
Losses     class
Fidelity   original
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import SMG
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_loss
from microgesture.testing import CHECKS, check_system


class Plain(nn.Module):
    """Mean over the frames in which a person is seen, largest feature over persons, two linear layers."""

    def __init__(self, skeleton: Skeleton, taxonomy: Taxonomy, frames: int, persons: int, *, width: int = 32) -> None:
        super().__init__()
        self.hidden = nn.Linear(3 * len(skeleton), width)
        self.out = nn.Linear(width, len(taxonomy))

    def forward(self, batch: PoseBatch) -> Tensor:
        x = batch.features(3).flatten(3)  # (B, M, T, V * C)
        there = (batch.score > 0).any(-1).float()[..., None]
        x = (torch.tanh(self.hidden(x)) * there).sum((1, 2)) / there.sum((1, 2)).clamp(min=1)
        logits: Tensor = self.out(x)
        return logits

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, batch)}


def spoilt(check: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    def note(cls: type[nn.Module]) -> type[nn.Module]:
        SPOILT[check] = cls
        return cls

    return note


SPOILT: dict[str, type[nn.Module]] = {}


@spoilt("described")
class Undescribed(Plain):
    __module__ = "microgesture.testing"


@spoilt("constructor")
class Loose(Plain):
    def __init__(self, skeleton: Skeleton, taxonomy: Taxonomy, frames: int, persons: int, **options: Any) -> None:
        super().__init__(skeleton, taxonomy, frames, persons)


@spoilt("shapes")
class OneLength(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        return super().forward(batch)[:, : -1 if batch.xy.shape[2] == 21 else None]


@spoilt("one_frame")
class TwoFrames(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        return super().forward(batch) / min(1, batch.xy.shape[2] - 1)


@spoilt("same_seed_same_system")
class Moody(Plain):
    made = 0

    def __init__(self, skeleton: Skeleton, taxonomy: Taxonomy, frames: int, persons: int) -> None:
        super().__init__(skeleton, taxonomy, frames, persons)
        Moody.made += 1
        self.out.bias.data += 1e-3 * Moody.made


@spoilt("repeatable")
class Restless(Plain):
    calls = 0

    def forward(self, batch: PoseBatch) -> Tensor:
        self.calls += 1
        return super().forward(batch) + 1e-6 * (self.calls % 2)


@spoilt("eval_leaves_no_trace")
class Counting(Plain):
    def __init__(self, skeleton: Skeleton, taxonomy: Taxonomy, frames: int, persons: int) -> None:
        super().__init__(skeleton, taxonomy, frames, persons)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, batch: PoseBatch) -> Tensor:
        self.calls += 1
        return super().forward(batch)


@spoilt("alone_or_together")
class Sociable(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        out = super().forward(batch)
        return out + 0.1 * out.mean(0) if len(batch) == 8 else out


@spoilt("empty_person")
class CountsEmptyPersons(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        return super().forward(batch) / batch.xy.shape[1]


@spoilt("missing_joints")
class DividesByJoints(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        seen = batch.score > 0
        partly = (seen.any(-1) & ~seen.all(-1)).flatten(1).any(1)
        return super().forward(batch) * torch.where(partly, torch.nan, 1.0)[:, None]


@spoilt("nothing_seen")
class DividesByScore(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        total = batch.score.sum((1, 2, 3))
        return super().forward(batch) * (total / total)[:, None]


@spoilt("standing_still")
class DividesBySpeed(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        speed = batch.xy.diff(dim=2).abs().sum((1, 2, 3, 4))
        here = (batch.score > 0).any() & torch.tensor(batch.xy.shape[2] > 1)
        return super().forward(batch) * (torch.where(here, speed, 1) / torch.where(here, speed, 1))[:, None]


@spoilt("not_finite")
class Swallows(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        return super().forward(PoseBatch(batch.xy.nan_to_num(0, 0, 0), batch.score))


@spoilt("nobody")
class NeedsSomebody(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        if not batch.xy.shape[1]:
            return torch.full((len(batch), self.out.out_features), torch.nan)
        return super().forward(batch)


@spoilt("mirrored")
class KnowsTheOrder(Plain):
    def __init__(self, skeleton: Skeleton, taxonomy: Taxonomy, frames: int, persons: int) -> None:
        if skeleton.joints.index("r_wrist") > skeleton.joints.index("l_wrist"):
            raise ValueError("right comes first")
        super().__init__(skeleton, taxonomy, frames, persons)


@spoilt("losses")
class IgnoresWeights(Plain):
    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, PoseBatch(batch.xy, batch.score, batch.label, None, batch.soft))}


@spoilt("gradients")
class Idle(Plain):
    def __init__(self, skeleton: Skeleton, taxonomy: Taxonomy, frames: int, persons: int) -> None:
        super().__init__(skeleton, taxonomy, frames, persons)
        self.unused = nn.Parameter(torch.ones(1))


@spoilt("mixed_precision")
class SinglePrecision(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        out = super().forward(batch)
        scale = torch.eye(out.shape[1])
        return torch.empty_like(out, dtype=torch.float32).copy_(out).addmm_(out, scale, beta=0)


@spoilt("learns_by_heart")
class Dull(Plain):
    def forward(self, batch: PoseBatch) -> Tensor:
        return super().forward(batch) * torch.tensor([1.0] + [1e-3] * (self.out.out_features - 1))


@spoilt("save_and_load")
class KeepsSecrets(Plain):
    def __init__(self, skeleton: Skeleton, taxonomy: Taxonomy, frames: int, persons: int) -> None:
        super().__init__(skeleton, taxonomy, frames, persons)
        self.secret = torch.randn(len(taxonomy))

    def forward(self, batch: PoseBatch) -> Tensor:
        return super().forward(batch) + self.secret


def test_a_plain_system_passes() -> None:
    check_system(Plain, width=48)


def test_every_check_is_spoilt_once() -> None:
    assert list(SPOILT) == list(CHECKS)


@pytest.mark.parametrize("check", SPOILT)
def test_a_spoilt_system_fails_its_check_alone(check: str) -> None:
    check_system(SPOILT[check], known_failures={check: "spoilt on purpose"})
    with pytest.raises(AssertionError, match=f"breaks the contract of a system:\n  {check}: "):
        check_system(SPOILT[check])


def test_a_known_failure_that_passes_is_reported() -> None:
    with pytest.raises(AssertionError, match="repeatable passes, but is listed as a known failure"):
        check_system(Plain, taxonomy=SMG, known_failures={"repeatable": "was once so"})


def test_an_unknown_known_failure_is_reported() -> None:
    with pytest.raises(AssertionError, match="known failure 'shape' is no check; there are described,"):
        check_system(Plain, known_failures={"shape": "mistyped"})
