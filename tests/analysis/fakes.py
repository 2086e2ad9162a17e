"""Stand-ins with the shape of the real parts, quick enough to be killed a hundred times."""

from __future__ import annotations

import numpy as np

from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack
from microgesture.report.sample import invented_track

__all__ = ["HandUp", "invented_track"]


class HandUp:
    """Finds class 6 where the right wrist is above the chest, and class 28 in the rest of every second ten seconds."""

    fps = 12.5
    frames = 32
    digest = "hand-up-1"

    def __init__(self) -> None:
        self.calls = 0

    def windows(self, track: PoseTrack, taxonomy: Taxonomy, centres: np.ndarray) -> np.ndarray:
        self.calls += 1
        wrist = track.xy[:, track.skeleton.index("r_wrist"), 1]
        up = np.interp(centres, track.times, wrist) < 190
        p = np.full((len(centres), len(taxonomy)), 0.02, np.float32)
        p[up, 6 % len(taxonomy)] = 0.9
        p[~up & (centres % 20 < 10), -1] = 0.7
        return p

    def clip(self, track: PoseTrack, taxonomy: Taxonomy) -> np.ndarray:
        p = np.full(len(taxonomy), 0.01, np.float32)
        p[6 % len(taxonomy)] = 0.9
        return p

    def unusual(self, track: PoseTrack) -> list[str]:
        return ["the hands move 3.1 times as fast as in training"]
