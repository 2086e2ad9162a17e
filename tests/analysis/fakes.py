"""Stand-ins with the shape of the real parts, quick enough to be killed a hundred times."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microgesture.core.layouts import skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack

# half a person, shoulder widths from the neck, y down; the left half is its mirror image
_BODY = {
    "nose": (0, -0.62),
    "r_shoulder": (-0.5, 0.02),
    "r_elbow": (-0.65, 0.7),
    "r_wrist": (-0.35, 1.1),
    "mid_hip": (0, 1.35),
    "r_hip": (-0.25, 1.35),
    "r_eye": (-0.09, -0.72),
    "r_ear": (-0.2, -0.66),
    "r_brow": (-0.1, -0.8),
    "r_mouth": (-0.08, -0.45),
    "upper_lip": (0, -0.47),
    "lower_lip": (0, -0.42),
    "chin": (0, -0.3),
    "r_jaw": (-0.17, -0.42),
    "forehead": (0, -0.98),
    "r_thumb_tip": (-0.22, 1.0),
    "r_index_mcp": (-0.2, 1.12),
    "r_index_tip": (-0.08, 1.12),
    "r_middle_mcp": (-0.2, 1.16),
    "r_middle_tip": (-0.06, 1.17),
    "r_ring_tip": (-0.08, 1.21),
    "r_pinky_mcp": (-0.22, 1.22),
    "r_pinky_tip": (-0.12, 1.26),
}


def invented_track(seconds: float, fps: float = 25.0, person: int = 0) -> PoseTrack:
    """A stick figure that lifts its right hand to its face every four seconds; legs are never seen."""
    layout = skeleton("canonical")
    frames = max(1, round(seconds * fps))
    body = np.zeros((len(layout), 2), np.float32)
    score = np.full((frames, len(layout)), 0.9, np.float32)
    for i, joint in enumerate(layout.joints):
        x, y = _BODY.get("r_" + joint[2:] if joint.startswith("l_") else joint, (0, 0))
        body[i] = (-x if joint.startswith("l_") else x, y)
        if joint.endswith(("knee", "ankle", "toe")):
            score[:, i] = 0
    xy = np.repeat(body[None], frames, 0)
    lift = np.clip(1.4 * np.sin(2 * np.pi * np.arange(frames) / fps / 8), 0, 1)[:, None, None].astype(np.float32)
    hand = [i for i, j in enumerate(layout.joints) if j == "r_wrist" or (j[:2] == "r_" and ("tip" in j or "mcp" in j))]
    xy[:, hand] += lift * np.array([0.22, -1.35], np.float32)
    xy[:, [layout.index("r_elbow")]] += lift * np.array([-0.1, -0.25], np.float32)
    pixels = (xy * 90 + (320, 130)).astype(np.float32)
    return PoseTrack(pixels, score, fps, (640, 360), layout, person=person)


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


def peak_megabytes() -> float:
    """Largest resident memory of this process so far; `getrusage` would count what its parent held before the fork."""
    (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
