"""How good the poses of a recording are: what the results rest on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microgesture.analysis.poses import Poses, pieces
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import Array

Mask = NDArray[np.bool_]

_UPPER = ("nose", "neck", "r_shoulder", "l_shoulder", "r_elbow", "l_elbow", "r_wrist", "l_wrist")
_FINGERS = ("thumb_tip", "index_mcp", "index_tip", "middle_mcp", "middle_tip", "ring_tip", "pinky_mcp", "pinky_tip")


@dataclass(frozen=True)
class Quality:
    """Measures of one person's poses; shares are in [0, 1] and refer to frames with the person unless stated.

    Args:
        person: number of the person.
        frames: frames of the recording.
        visible: share of all frames in which the person was found.
        minutes: time the person was visible, the exposure of all rates.
        right_hand, left_hand, any_hand: share of frames with fingers seen.
        face: share of frames with nose and at least one eye.
        confidence: mean confidence of the upper body.
        shoulders: median shoulder width in the units of the poses (pixels), 0 if never seen.
        turned: median turn of the head to either side in degrees, estimated from nose and ears; 0 if never seen.
        view: `"frontal"` (below 20 degrees), `"three-quarter"` (below 50), `"profile"` or `"unknown"`.
        fps: measured mean rate.
        longest_gap: seconds between two neighbouring frames at worst.
        uneven: share of frames that came more than half a frame late.
    """

    person: int
    frames: int
    visible: float
    minutes: float
    right_hand: float
    left_hand: float
    any_hand: float
    face: float
    confidence: float
    shoulders: float
    turned: float
    view: str
    fps: float
    longest_gap: float
    uneven: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, rounded to what the measures are worth."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for whatever makes the results less trustworthy."""
        who = f"person {self.person + 1}"
        if not self.visible:
            return (f"{who}: nobody was found in any frame",)
        found = []
        if self.visible < 0.9:
            found.append(f"{who} was not found in {1 - self.visible:.0%} of the frames; rates refer to the rest")
        if self.any_hand < 0.5:
            found.append(f"{who}: no hand was seen in {1 - self.any_hand:.0%} of the frames; hand gestures are missed")
        if self.face < 0.5:
            found.append(f"{who}: the face was not seen in {1 - self.face:.0%} of the frames")
        if self.view == "profile":
            found.append(f"{who} is seen mostly from the side; the model knows frontal to three-quarter views")
        if self.confidence < 0.5:
            found.append(f"{who}: the mean pose confidence is {self.confidence:.2f}; treat all results as uncertain")
        if 0 < self.shoulders < 40:
            found.append(
                f"{who} is small in the picture (shoulders {self.shoulders:.0f} px); fingers and lips are not resolved"
            )
        if self.fps < 12:
            found.append(f"the recording has {self.fps:.1f} frames per second; brief gestures are missed below 12")
        if self.longest_gap > 1:
            found.append(f"the recording has a gap of {self.longest_gap:.1f} s between two frames")
        return tuple(found)


def measure(poses: Poses, person: int) -> Quality:
    """Walk through the recording once, in constant memory."""
    frames = visible = right = left = either = face = late = 0
    confidence = 0.0
    shoulders: list[float] = []
    turns: list[float] = []
    first = last = None
    gap = 0.0
    for track in pieces(poses, person):
        seen = track.score > 0  # (T, V)
        here = seen.any(1)
        frames += len(track)
        visible += int(here.sum())
        on_right, on_left = (_any_finger(track.skeleton, seen, side) for side in ("r_", "l_"))
        right, left = right + int(on_right.sum()), left + int(on_left.sum())
        either += int((on_right | on_left).sum())
        face += int(_face(track.skeleton, seen).sum())
        upper = [track.skeleton.index(j) for j in _UPPER if j in track.skeleton]
        part = track.score[here][:, upper]
        # a joint that was not seen counts as 0: missing arms are bad poses, too
        confidence += float(part.mean(1).sum()) if upper else 0.0
        shoulders += _shoulders(track.xy, seen, track.skeleton)
        turns += _turns(track.xy, seen, track.skeleton)
        times = track.times if last is None else np.concatenate([[last], track.times])
        steps = np.diff(times)
        if len(steps):
            gap = max(gap, float(steps.max()))
            late += int((steps > 1.5 / track.fps).sum())
        first = float(track.times[0]) if first is None else first
        last = float(track.times[-1])
    span = (last or 0.0) - (first or 0.0)
    share = visible / frames if frames else 0.0
    turned = float(np.median(turns)) if turns else 0.0
    some = max(visible, 1)
    return Quality(
        person=person,
        frames=frames,
        visible=share,
        minutes=share * poses.info.duration / 60,
        right_hand=right / some,
        left_hand=left / some,
        any_hand=either / some,
        face=face / some,
        confidence=confidence / some,
        shoulders=float(np.median(shoulders)) if shoulders else 0.0,
        turned=turned,
        view="unknown" if not turns else "frontal" if turned < 20 else "three-quarter" if turned < 50 else "profile",
        fps=(frames - 1) / span if span > 0 else poses.info.fps,
        longest_gap=gap,
        uneven=late / max(frames - 1, 1),
    )


def _any_finger(skeleton: Skeleton, seen: Mask, side: str) -> Mask:
    joints = [skeleton.index(side + f) for f in _FINGERS if side + f in skeleton]
    if not joints and side + "wrist" in skeleton:  # layouts without fingers
        joints = [skeleton.index(side + "wrist")]
    found: Mask = seen[:, joints].any(1)
    return found


def _face(skeleton: Skeleton, seen: Mask) -> Mask:
    eyes = [skeleton.index(j) for j in ("r_eye", "l_eye") if j in skeleton]
    if "nose" not in skeleton or not eyes:
        return np.zeros(len(seen), bool)
    found: Mask = seen[:, skeleton.index("nose")] & seen[:, eyes].any(1)
    return found


def _shoulders(xy: Array, seen: Mask, skeleton: Skeleton) -> list[float]:
    """Median shoulder width of the piece, as a list of at most one: medians of medians need no memory."""
    if not {"r_shoulder", "l_shoulder"} <= set(skeleton.joints):
        return []
    right, left = skeleton.index("r_shoulder"), skeleton.index("l_shoulder")
    both = seen[:, right] & seen[:, left]
    return [float(np.median(np.linalg.norm(xy[both, right] - xy[both, left], axis=-1)))] if both.any() else []


def _turns(xy: Array, seen: Mask, skeleton: Skeleton) -> list[float]:
    """Median turn of the head in the piece, degrees, as a list of at most one.

    The nose lies about 4/3 of half the distance between the ears in front of them: turned by an angle a, it leaves
    their middle by 4/3 tan(a) half distances.
    """
    if not {"r_ear", "l_ear", "nose"} <= set(skeleton.joints):
        return []
    nose, right, left = (skeleton.index(j) for j in ("nose", "r_ear", "l_ear"))
    ok = seen[:, [nose, right, left]].all(1)
    if not ok.any():
        return []
    half = np.abs(xy[ok, right, 0] - xy[ok, left, 0]) / 2
    aside = np.abs(xy[ok, nose, 0] - (xy[ok, right, 0] + xy[ok, left, 0]) / 2)
    return [float(np.degrees(np.median(np.arctan2(3 * aside, 4 * half))))]
