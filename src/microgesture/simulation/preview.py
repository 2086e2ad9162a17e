"""Drawing people as stick figures: contact sheets of motions, and the strokes every other drawing is made of.

Only joints are drawn, so no picture made here shows who the person is. Colours keep right and left apart for
colour-blind readers too (Okabe-Ito orange and blue; the person's own right and left).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import write_bytes
from microgesture.core.errors import OutputFailed
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

INK: Colour = (43, 52, 60)  # RGB throughout
RIGHT: Colour = (197, 90, 17)
LEFT: Colour = (0, 104, 163)
MUTED: Colour = (120, 130, 138)
PAPER: Colour = (250, 250, 248)
SIDES = {"r": RIGHT, "l": LEFT, "": INK}

# outlines that make a face and a palm readable; drawn as far as their joints exist, dropped where fewer than three do
_OUTLINES = (
    ("forehead", "r_ear", "r_jaw", "chin", "l_jaw", "l_ear"),
    ("r_mouth", "upper_lip", "l_mouth", "lower_lip"),
    ("r_wrist", "r_index_mcp", "r_middle_mcp", "r_pinky_mcp"),
    ("l_wrist", "l_index_mcp", "l_middle_mcp", "l_pinky_mcp"),
)
_FACE = frozenset(
    ["nose", "upper_lip", "lower_lip", "chin", "forehead"]
    + [side + part for side in ("r_", "l_") for part in ("eye", "ear", "brow", "mouth", "jaw")]
)
_DOTS = ("nose", "r_eye", "l_eye", "r_brow", "l_brow")
SEEN = 0.1
"""Joints with a lower score are not drawn: estimators invent legs behind a desk, and the score tells."""


@dataclass(frozen=True)
class Stroke:
    """A line through joints.

    Args:
        joints: indices on axis V; one joint is a dot, more are a polyline.
        closed: whether the last joint is joined to the first.
        side: `"r"`, `"l"` or `""` for the middle of the body.
        weight: thickness relative to a limb.
    """

    joints: tuple[int, ...]
    closed: bool
    side: str
    weight: float


@lru_cache(maxsize=32)
def strokes(skeleton: Skeleton) -> tuple[Stroke, ...]:
    """The lines and dots a figure is drawn with: bones, and outlines of face, lips and palms where joints allow."""
    found: list[Stroke] = []
    outlined: set[int] = set()
    for names in _OUTLINES:
        joints = tuple(skeleton.index(n) for n in names if n in skeleton)
        if len(joints) >= 3:
            outlined.update(joints)
            side = names[0][0] if names[0].endswith("_wrist") else ""
            found.append(Stroke(joints, True, side, 0.45))
    face = any(skeleton.joints[j] in ("chin", "forehead") for j in outlined)
    for a, b in skeleton.bones:
        names_ab = skeleton.joints[a], skeleton.joints[b]
        if face and set(names_ab) == {"neck", "nose"} and "chin" in skeleton:
            found.append(Stroke((skeleton.index("neck"), skeleton.index("chin")), False, "", 1.0))
            continue
        if face and all(n in _FACE for n in names_ab):
            continue  # spokes between face points hide what the lips and brows do
        if a in outlined and b in outlined and not face:
            continue
        sides = [n[0] for n in names_ab if n[:2] in ("r_", "l_")]
        fine = any("_tip" in n or "_mcp" in n for n in names_ab) or all(n in _FACE for n in names_ab)
        found.append(Stroke((a, b), False, sides[-1] if sides else "", 0.45 if fine else 1.0))
    if face:
        found += [Stroke((skeleton.index(n),), False, "", 0.9) for n in _DOTS if n in skeleton]
    return tuple(found)


def frame_of(xy: NDArray[np.float32], score: NDArray[np.float32], size: tuple[int, int]) -> tuple[float, float, float]:
    """Zoom and offset that fit a motion into a panel: `panel = joint * zoom + offset`.

    Args:
        xy: (T, V, 2 or 3), pixels or metres; z is not drawn.
        score: (T, V); joints below `SEEN` do not count.
        size: (width, height) of the panel in pixels.

    Returns:
        zoom, x offset, y offset. Outliers beyond the 1st and 99th percentile may leave the panel.
    """
    seen = xy[score >= SEEN][:, :2]
    if not len(seen):
        return 1.0, 0.0, 0.0
    low, high = np.percentile(seen, [1, 99], axis=0)
    span = np.maximum(high - low, 1e-6)
    zoom = float(0.86 * min(size[0] / span[0], size[1] / span[1]))
    centre = (low + high) / 2 * zoom
    return zoom, float(size[0] / 2 - centre[0]), float(size[1] / 2 - centre[1])


def draw(
    image: Image,
    joints: NDArray[np.float32],
    score: NDArray[np.float32],
    skeleton: Skeleton,
    place: tuple[float, float, float] = (1.0, 0.0, 0.0),
    *,
    thickness: float = 3.0,
    fade: float = 0.0,
) -> None:
    """Draw one pose onto an RGB image (H, W, 3), in place.

    Args:
        joints: (V, 2 or 3); `score` (V,), joints below `SEEN` are left out.
        place: zoom and offset, see `frame_of`.
        thickness: pixels of a limb.
        fade: 0 = full colour, 1 = the colour of the paper.
    """
    zoom, dx, dy = place
    # 3 fractional bits give smooth motion; the clip keeps wild coordinates inside what OpenCV can draw
    points = np.clip((joints[:, :2] * zoom + (dx, dy)) * 8, -1e6, 1e6).round().astype(np.int32)
    for stroke in strokes(skeleton):
        ids = [j for j in stroke.joints if score[j] >= SEEN]
        if len(ids) < min(2, len(stroke.joints)) or (len(stroke.joints) == 2 and len(ids) < 2):
            continue
        ink = tuple(round(c + (p - c) * fade) for c, p in zip(SIDES[stroke.side], PAPER, strict=True))
        width = max(1, round(thickness * stroke.weight))
        if len(ids) == 1:
            radius = max(12, round(thickness * stroke.weight * 5))
            cv2.circle(image, points[ids[0]].tolist(), radius, ink, cv2.FILLED, cv2.LINE_AA, 3)
        else:
            closed = stroke.closed and len(ids) > 2
            line = rounded(points[ids]) if closed else points[ids]
            cv2.polylines(image, [line.reshape(-1, 1, 2)], closed, ink, width, cv2.LINE_AA, 3)


def rounded(corners: NDArray[np.int32]) -> NDArray[np.int32]:
    """A closed outline (N, 2) with its corners cut twice (Chaikin), (4 N, 2): a head instead of a polygon."""
    for _ in range(2):
        following = np.roll(corners, -1, 0)
        corners = np.stack([3 * corners + following, corners + 3 * following], 1).reshape(-1, 2) // 4
    return corners


def write_words(image: Image, text: str, at: tuple[int, int], *, size: float = 0.45, ink: Colour = INK) -> None:
    """Put a line of text on an RGB image, in place; letters OpenCV's font lacks become `?`."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(image, plain, at, cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)


def contact_sheet(
    tracks: Sequence[PoseTrack],
    titles: Sequence[str],
    path: str | Path,
    *,
    instants: int = 6,
    columns: int = 1,
    panel: tuple[int, int] = (170, 170),
) -> Path:
    """A PNG with one strip per motion: its title, and its pose at evenly spaced instants.

    Each pose stands on the faint pose of the instant before, so that small movements show.

    Args:
        tracks: the motions, in any one or several layouts; an empty one gives an empty strip.
        titles: one line per motion.
        path: the PNG to write (durably).
        instants: poses per strip.
        columns: strips side by side.
        panel: (width, height) in pixels of one pose.

    Raises:
        ValueError: the numbers of tracks and titles differ.
    """
    if len(tracks) != len(titles):
        raise ValueError(f"{len(tracks)} tracks but {len(titles)} titles")
    width, height, head = panel[0] * instants, panel[1], 26
    rows = max(1, -(-len(tracks) // columns))
    sheet = np.empty((rows * (height + head) + 10, columns * (width + 16), 3), np.uint8)
    sheet[:] = PAPER
    for number, (track, title) in enumerate(zip(tracks, titles, strict=True)):
        top, left = (number // columns) * (height + head), (number % columns) * (width + 16) + 8
        cv2.line(sheet, (left, top + 4), (left + width, top + 4), (222, 224, 226), 1)
        write_words(sheet, title, (left + 2, top + 20))
        if not len(track):
            continue
        place = frame_of(track.xy, track.score, panel)
        chosen = np.linspace(0, len(track) - 1, instants).round().astype(int)
        for k, t in enumerate(chosen):
            cell = sheet[top + head : top + head + height, left + k * panel[0] : left + (k + 1) * panel[0]]
            if k:
                before = chosen[k - 1]
                draw(cell, track.xy[before], track.score[before], track.skeleton, place, thickness=2, fade=0.8)
            draw(cell, track.xy[t], track.score[t], track.skeleton, place, thickness=2)
            seconds = track.times[t] - track.times[0]
            write_words(cell, f"{seconds:.1f} s", (5, height - 6), size=0.32, ink=MUTED)
    done, data = cv2.imencode(".png", sheet[..., ::-1])
    if not done:
        raise OutputFailed(f"{path}: the picture could not be encoded")
    write_bytes(path, data.tobytes())
    return Path(path)
