"""Gaussian blobs, each class rarer than the one before, dressed up as clips of one frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from microgesture.datasets.sampling import Balance, epoch
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_loss
from microgesture.learning.longtail import LongTail
from microgesture.learning.recipe import Training
from microgesture.learning.recognise import Retrain

CLASSES, JOINTS = 8, 4


class Network(nn.Module):
    """A system as small as it gets."""

    def __init__(self, hidden: int = 16, bias: bool = True) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(2 * JOINTS, hidden), nn.ReLU())
        self.classifier = nn.Linear(hidden, CLASSES, bias=bias)

    def forward(self, batch: PoseBatch) -> Tensor:
        logits: Tensor = self.classifier(self.trunk(batch.xy.flatten(1)))
        return logits

    def losses(self, out: Tensor, batch: PoseBatch) -> dict[str, Tensor]:
        return {"class": class_loss(out, batch)}


@dataclass
class Blobs:
    """Batches of blobs; every pass over them is another epoch."""

    xy: Tensor
    label: Tensor
    balance: Balance = "instance"
    size: int = 16
    passes: int = 0

    @staticmethod
    def draw(seed: int, imbalance: float, most: int = 300) -> Blobs:
        """`most` clips of class 0, `imbalance` times fewer of the last class."""
        draw = np.random.default_rng(seed)
        centres = np.random.default_rng(seed // 2).normal(0, 1, (CLASSES, 2 * JOINTS))
        counts = np.round(most * imbalance ** (-np.arange(CLASSES) / (CLASSES - 1))).astype(int)
        label = np.repeat(np.arange(CLASSES), counts)
        xy = centres[label] + draw.normal(0, 1, (len(label), 2 * JOINTS))
        return Blobs(torch.from_numpy(xy).float().reshape(-1, 1, 1, JOINTS, 2), torch.from_numpy(label))

    @property
    def counts(self) -> np.ndarray:
        return np.bincount(self.label.numpy(), minlength=CLASSES)

    def whole(self) -> PoseBatch:
        return PoseBatch(self.xy, torch.ones(self.xy.shape[:4]), self.label)

    def balanced(self) -> Blobs:
        return replace(self, balance="class", passes=0)

    def __len__(self) -> int:
        return -(-len(self.label) // self.size)

    def __iter__(self) -> Iterator[PoseBatch]:
        order = torch.from_numpy(epoch(self.label.numpy(), self.balance, np.random.default_rng(self.passes)))
        self.passes += 1
        for rows in order.split(self.size):
            xy = self.xy[rows]
            yield PoseBatch(xy, torch.ones(xy.shape[:4]), self.label[rows])


def learn(
    system: Network, data: Blobs, epochs: int, longtail: LongTail | None = None, rate: float = 0.01
) -> Callable[[nn.Linear, float], None]:
    """What the trainer does, without its weight: cosine schedule, all remedies. Gives what retrains the classifier."""
    steps = torch.optim.Adam([p for p in system.parameters() if p.requires_grad], lr=rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(steps, epochs * len(data))
    for number in range(epochs):
        for batch in data:
            steps.zero_grad()
            if longtail is None:
                terms = system.losses(system(batch), batch)
            else:
                terms = longtail.losses(system, system(batch), longtail.weigh(batch, number / epochs))
            torch.stack(list(terms.values())).sum().backward()
            steps.step()
            falling.step()

    def retrain(classifier: nn.Linear, share: float) -> None:
        Retrain(system, classifier, torch.optim.Adam, Training(), CLASSES)
        learn(system, data.balanced(), round(share * epochs), rate=rate)
        system.requires_grad_(True)

    return retrain
