"""A tiny dataset for the learning tests: three ways of moving the right wrist, learnable in seconds."""

from __future__ import annotations

import numpy as np

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.datasets.clips import Clips


class Toy:
    key = "toy"
    skeleton = SKELETONS["imigue22"]
    taxonomy = Taxonomy("toy", "Toy", tuple(Label(i, f"way {i}", "arm") for i in range(3)), ("arm",))
    fps = 20.0
    persons = 1
    coordinates = 2
    splits: tuple[str, ...] = ("train", "val", "test")

    def __init__(self, clips: int = 24) -> None:
        self.count = clips

    def clips(self, split: str) -> Clips:
        if split not in self.splits:
            raise UsageError(f"no split '{split}'")
        rng = np.random.default_rng(self.splits.index(split))
        label = np.arange(self.count) % 3
        xy = np.tile(rng.normal(0, 1, (1, 1, 22, 2)) * 50 + 300, (self.count, 16, 1, 1))
        xy[:, :, 2], xy[:, :, 5], xy[:, :, 1] = (250, 200), (350, 200), (300, 200)
        wave = np.sin(np.linspace(0, 6, 16))[:, None] * 80
        for i, k in enumerate(label):
            xy[i, :, 4] = (300, 300) + wave * [(1, 0), (0, 1), (0, 0)][k]
        xy += rng.normal(0, 2, xy.shape)
        frames = self.count * 16
        return Clips(
            xy.reshape(frames, 1, 22, 2).astype(np.float32),
            np.ones((frames, 1, 22), np.float32),
            np.arange(self.count + 1) * 16,
            label,
            np.arange(self.count) // 3,
            self.skeleton,
            self.taxonomy,
            f"toy {split}",
        )
