"""Simulated micro-gestures: new training clips in every epoch, fixed validation and test clips of unseen people.

Clips come from `microgesture.simulation`; every class is equally frequent. Training, validation and test people are
disjoint there. What is drawn depends on seeds alone, so every machine measures on the same test clips.
"""

from __future__ import annotations

import numpy as np

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import taxonomy as find_taxonomy
from microgesture.datasets.clips import Clips

_SEEDS = {"val": 1, "test": 2}


class Simulated:
    """Clips of the classes of one taxonomy, made on the spot.

    Args:
        taxonomy: `"imigue"`, `"smg"` or `"ma52"`.
        length: frames per clip, at `fps` frames per second.
        epoch_clips: clips called one epoch.
        test_clips: clips in each of the splits val and test.

    Example:
        >>> Simulated("smg").skeleton.name
        'canonical'
    """

    key = "simulated"
    skeleton = SKELETONS["canonical"]
    persons = 1
    coordinates = 2
    splits: tuple[str, ...] = ("train", "val", "test")

    def __init__(
        self,
        taxonomy: str,
        length: int = 48,
        fps: float = 15.0,
        epoch_clips: int = 8192,
        test_clips: int = 2048,
    ) -> None:
        for name, value in (("length", length), ("epoch_clips", epoch_clips), ("test_clips", test_clips)):
            if value < 1:
                raise UsageError(f"{name} is {value}; it must be at least 1")
        if not fps > 0:
            raise UsageError(f"fps is {fps}; it must be positive")
        self.taxonomy = find_taxonomy(taxonomy)
        self.length, self.fps, self.epoch_clips, self.test_clips = length, fps, epoch_clips, test_clips

    def clips(self, split: str) -> Clips:
        """The fixed clips of `"val"` or `"test"`; for `"train"` a sample as large as an epoch."""
        if split not in self.splits:
            raise UsageError(f"the simulator has no split '{split}'; choose {', '.join(self.splits)}")
        if split == "train":
            return self.fresh(self.epoch_clips, (0,))
        return _simulate(self.taxonomy.key, self.test_clips, _SEEDS[split], self.length, self.fps, split)

    def fresh(self, count: int, seed: tuple[int, ...]) -> Clips:
        """`count` new clips of training people."""
        number = int(np.random.SeedSequence(seed).generate_state(1)[0])
        return _simulate(self.taxonomy.key, count, number, self.length, self.fps, "train")


def _simulate(taxonomy: str, count: int, seed: int, length: int, fps: float, split: str) -> Clips:
    from microgesture.simulation.clips import simulate_clips

    made = simulate_clips(taxonomy, count, seed, frames=length, fps=fps, split=split)
    n, t = made.xy.shape[:2]
    return Clips(
        made.xy.reshape(n * t, 1, *made.xy.shape[2:]),
        made.score.reshape(n * t, 1, -1),
        np.arange(n + 1, dtype=np.int64) * t,
        made.label,
        made.subject,
        made.skeleton,
        find_taxonomy(taxonomy),
        f"simulated {taxonomy}, {split}, seed {seed}",
    )
