"""Prototypes of classes, and a loss that draws the clips a classifier gets wrong towards the right one.

Clips recognised correctly move their class's prototype. Of each class those missed are drawn towards their own centre,
and those taken for it by mistake are pushed from theirs, the more the less sure the classifier was of the true class.

Source: H. Zhou et al., Learning Discriminative Representations for Skeleton Based Action Recognition, CVPR 2023,
https://arxiv.org/abs/2303.03729; in two levels: K. Li et al., Prototypical Calibrating Ambiguous Samples for
Micro-Action Recognition, AAAI 2025, https://arxiv.org/abs/2412.14719.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Ambiguous(NamedTuple):
    """A set of clips for every class, and what becomes of them."""

    members: Tensor
    """(B, K), the weight of each clip in the set of each class; 0 = not in it."""
    sign: float
    """1: drawn towards the centre of the set. -1: pushed away from it."""
    sharpness: float = 1.0
    """Factor of the scores within the set's cross-entropy."""


class Prototypes(nn.Module):
    """Projects features, keeps a prototype per class, and compares.

    Args:
        channels: C of the features.
        classes: K.
        width: D of the prototypes.
        momentum: of the prototypes, which move only in training.
        strength, temperature: alpha and tau of the loss.
        saved: whether the prototypes are part of the state.
    """

    memory: Tensor

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int,
        *,
        momentum: float = 0.9,
        strength: float = 0.125,
        temperature: float = 0.125,
        saved: bool = True,
    ) -> None:
        super().__init__()
        self.momentum, self.strength, self.temperature = momentum, strength, temperature
        self.project = nn.Linear(channels, width)
        self.register_buffer("memory", torch.randn(width, classes), persistent=saved)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) to (B, D)."""
        y: Tensor = self.project(x)
        return y

    def similarity(self, features: Tensor) -> Tensor:
        """Cosines between features (B, D) and prototypes, (B, K)."""
        return cosines(features, self.memory)

    def update(self, features: Tensor, hits: Tensor) -> Tensor:
        """The prototypes (D, K) after one step towards the mean of each class's hits; outside training as they are.

        Classes without a hit stay where they are. The result lets gradients through to `features`.

        Args:
            features: (B, D).
            hits: (B, K), the weight of each clip that was recognised as its class.
        """
        if not self.training:
            return self.memory
        total = hits.sum(0)
        mean = features.T @ hits / torch.where(total > 0, total, 1)
        moved = torch.where(total > 0, self.momentum * self.memory + (1 - self.momentum) * mean, self.memory)
        with torch.no_grad():
            self.memory.copy_(moved)
        return moved

    def contrast(
        self, features: Tensor, prototypes: Tensor, logits: Tensor, label: Tensor, ambiguous: Sequence[Ambiguous]
    ) -> Tensor:
        """The loss of each clip, (B,): cross-entropies, one per set, over cosines with the prototypes.

        Args:
            features: (B, D).
            prototypes: (D, K), as `update` gave them.
            logits: (B, K) of the classifier.
            label: (B,), the true class.
            ambiguous: see `scores`.
        """
        total = torch.zeros(len(label), device=features.device)
        for part, scores in zip(ambiguous, self.scores(features, prototypes, logits, label, ambiguous), strict=True):
            total = total + F.cross_entropy(part.sharpness * scores, label, reduction="none")
        return total

    def scores(
        self, features: Tensor, prototypes: Tensor, logits: Tensor, label: Tensor, ambiguous: Sequence[Ambiguous]
    ) -> list[Tensor]:
        """Per set (B, K), cosines over the temperature; the true class's is lowered where a clip is off centre."""
        score = cosines(features, prototypes)
        unsure = self.strength * (1 - logits.softmax(1)) * F.one_hot(label, logits.shape[1])
        out = []
        for members, sign, _ in ambiguous:
            off_centre = sign * cosines(features, features.T @ members) - 1  # in [-2, 0]
            out.append((score + off_centre * unsure * (members.sum(0) > 0)) / self.temperature)
        return out

    def loss(self, features: Tensor, logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss of each clip, (B,), with the clips missed and those mistaken of each class; moves the prototypes."""
        hits, missed, mistaken = confusion(logits, label, weight)
        ambiguous = (Ambiguous(missed, 1), Ambiguous(mistaken, -1))
        return self.contrast(features, self.update(features, hits), logits, label, ambiguous)


def confusion(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Hits and missed clips of the true class, and clips mistaken for the predicted one, each (B, K) in weights."""
    classes = logits.shape[1]
    guess = logits.argmax(1)
    weight = logits.new_ones(len(label)) if weight is None else weight
    right = ((guess == label) * weight).unsqueeze(1)
    wrong = ((guess != label) * weight).unsqueeze(1)
    own = F.one_hot(label, classes)
    return own * right, own * wrong, F.one_hot(guess, classes) * wrong


def cosines(features: Tensor, centres: Tensor) -> Tensor:
    """Cosines of features (B, D) with centres (D, K), (B, K); 0 with a centre that is all zeros."""
    cosine: Tensor = F.normalize(features, dim=1) @ F.normalize(centres, dim=0)
    return cosine


def diversity(prototypes: Tensor) -> Tensor:
    """Frobenius norm of the cosines between all prototypes (D, K): sqrt(K) if orthogonal, K if all point one way."""
    unit = F.normalize(prototypes, dim=0)
    norm: Tensor = torch.linalg.matrix_norm(unit.T @ unit)
    return norm
