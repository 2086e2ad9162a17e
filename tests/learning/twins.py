"""Two tiny data sets that show the same motions under their own classes, joints and rates."""

from __future__ import annotations

import numpy as np

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, SMG, to_unified
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.clips import Clips

SHOWN = (2, 5, 10)
"""Unified classes that both show: the wrist moves sideways, up and down, and not at all."""


class Twin:
    """iMiGUE's or SMG's classes of `SHOWN`, and one class more that the other one does not have."""

    splits: tuple[str, ...] = ("train", "test")
    persons = 1

    def __init__(self, like: str = "imigue", clips: int = 24, withheld: bool = False) -> None:
        self.key = f"twin_{like}"
        self.taxonomy: Taxonomy = {"imigue": IMIGUE, "smg": SMG}[like]
        self.skeleton = SKELETONS[{"imigue": "imigue22", "smg": "kinect25"}[like]]
        self.fps, self.coordinates = {"imigue": (25.0, 2), "smg": (50.0, 3)}[like]
        self.count, self.hidden = clips, withheld
        table = to_unified(like)
        self.own = [table.index(u) for u in SHOWN] + [table.index(-1)]

    def clips(self, split: str) -> Clips:
        if split not in self.splits:
            raise UsageError(f"no split '{split}'")
        n, v, c = self.count, len(self.skeleton), self.coordinates
        t = round(0.64 * self.fps)
        draw = np.random.default_rng([self.splits.index(split), v])
        way = np.arange(n) % 4
        xy = np.full((n, t, v, c), 300.0)
        for joint, place in {"neck": (300, 200), "r_shoulder": (250, 200), "l_shoulder": (350, 200)}.items():
            xy[:, :, self.skeleton.index(joint), :2] = place
        wave = np.sin(np.linspace(0, 6, t))[:, None] * 80
        for i, k in enumerate(way):
            move = [(1, 0), (0, 1), (0, 0), (1, 1)][k]
            xy[i, :, self.skeleton.index("r_wrist"), :2] = (300, 300) + wave * move
        xy += draw.normal(0, 1, xy.shape)
        label = np.array(self.own)[way]
        if self.hidden and split == "test":
            label = np.full(n, -1)
        soft = np.zeros((n, len(self.taxonomy)), np.float32) if self.hidden else None
        return Clips(
            xy.reshape(n * t, 1, v, c).astype(np.float32), np.ones((n * t, 1, v), np.float32), np.arange(n + 1) * t,
            label, np.arange(n) // 4, self.skeleton, self.taxonomy, f"{self.key} {split}", soft,
        )  # fmt: skip
