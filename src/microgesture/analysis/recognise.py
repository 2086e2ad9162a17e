"""One pre-cut clip in, ranked classes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import UsageError
from microgesture.core.taxonomies import taxonomy as taxonomy_of
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack

UNKNOWN_BELOW = 0.2
"""Without a class above this probability the answer is `"do not know"`."""
STILL_BELOW = 0.02
"""Shoulder widths: a clip in which no joint strays further from its place than this shows no movement to name."""


class ClipRecogniser(Protocol):
    """What `recognise` needs; `analysis.recogniser.Recogniser` has it."""

    def clip(self, track: PoseTrack, taxonomy: Taxonomy) -> NDArray[np.float32]: ...
    def unusual(self, track: PoseTrack) -> list[str]: ...


def recognise(
    path: str | Path,
    taxonomy: str | Taxonomy = "imigue",
    *,
    top: int = 5,
    persons: int = 1,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    model: str | Path = "base",
    recogniser: ClipRecogniser | None = None,
) -> dict[str, Any]:
    """Rank the classes for a clip that shows one gesture.

    Args:
        path: video, GIF or pose file.
        taxonomy: label space or its key.
        top: classes to list, at most K.
        persons: people to follow in a video.
        fps, size: frame rate and picture size (width, height) of pose files that do not say them.
        model: name of a shipped model, or a folder.
        recogniser: used instead of loading `model`.

    Returns:
        `{"input", "taxonomy", "people": [{"person", "top": [{"label", "id", "score"}], "outcome", "frames", "valid",
        "warnings"}]}`. `outcome` is `"recognised"`, `"do not know"` (no class is likely enough), `"not enough
        movement"` or `"nobody found"`; the ranking is given in any case. `frames` is the length of the clip, `valid`
        the number of frames in which the person was found.

    Raises:
        UsageError: `top` is not in 1..K, or the label space is unknown.
        NoInput, FormatError: the clip cannot be read.
    """
    labels = taxonomy if isinstance(taxonomy, Taxonomy) else taxonomy_of(taxonomy)
    if not 1 <= top <= len(labels):
        raise UsageError(f"top {top} is outside 1..{len(labels)}, the classes of '{labels.key}'")
    tracks = _tracks(Path(path), persons, fps, size)
    if recogniser is None:
        from microgesture.analysis.recogniser import Recogniser

        recogniser = Recogniser.from_pretrained(str(model))
    people = [_ranked(track, labels, top, recogniser) for track in tracks]
    return {"input": str(path), "taxonomy": labels.key, "people": people}


def _tracks(path: Path, persons: int, fps: float | None, size: tuple[int, int] | None) -> list[PoseTrack]:
    from microgesture.analysis.inputs import check_recording
    from microgesture.pose.estimate import estimate_clip, read_pose_file

    check_recording(path)
    tracks = read_pose_file(path, fps, size)
    return estimate_clip(path, persons=persons) if tracks is None else tracks[:persons]


def _ranked(track: PoseTrack, labels: Taxonomy, top: int, recogniser: ClipRecogniser) -> dict[str, Any]:
    valid = int((track.score > 0).any(1).sum())
    scores = recogniser.clip(track, labels) if valid else np.zeros(len(labels), np.float32)
    order = np.argsort(-scores, kind="stable")[:top]
    if not valid:
        outcome = "nobody found"
    elif movement(track) < STILL_BELOW:
        outcome = "not enough movement"
    elif scores[order[0]] < UNKNOWN_BELOW:
        outcome = "do not know"
    else:
        outcome = "recognised"
    return {
        "person": track.person,
        "top": [{"label": labels[k].name, "id": k, "score": round(float(scores[k]), 4)} for k in order.tolist()],
        "outcome": outcome,
        "frames": len(track),
        "valid": valid,
        "warnings": recogniser.unusual(track) if valid else [],
    }


def movement(track: PoseTrack) -> float:
    """How far the joint that moves most strays from its median place, in shoulder widths (90th percentile of frames).

    0 for clips of one frame or without shoulders to measure by.
    """
    if len(track) < 2 or not {"r_shoulder", "l_shoulder"} <= set(track.skeleton.joints):
        return 0.0
    seen = track.score > 0
    right, left = track.skeleton.index("r_shoulder"), track.skeleton.index("l_shoulder")
    both = seen[:, right] & seen[:, left]
    if not both.any():
        return 0.0
    width = float(np.median(np.linalg.norm(track.xy[both, right] - track.xy[both, left], axis=-1)))
    most = 0.0
    for joint in range(len(track.skeleton)):
        path = track.xy[seen[:, joint], joint]
        if len(path) >= 2:
            stray = np.linalg.norm(path - np.median(path, 0), axis=-1)
            most = max(most, float(np.percentile(stray, 90)))
    return most / width if width > 0 else 0.0
