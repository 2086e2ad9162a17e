"""Skeletons and small charts as inline SVG, and the colours of body groups."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack
from microgesture.simulation.preview import SEEN, SIDES, frame_of, rounded, strokes

# Okabe & Ito's colours, a little darker where text on paper needs it; told apart by all colour-blind readers
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#b5608d", "#c98a00", "#3d9bd1", "#7a5c2e")
OTHER = "#8a949c"


def group_colour(taxonomy: Taxonomy, label: int) -> str:
    """Colour of the body group of a label; grey for non-micro-gestures."""
    group = taxonomy.group_of(label)
    if group < 0 or label == taxonomy.illustrative:
        return OTHER
    return PALETTE[group % len(PALETTE)]


def svg_poses(track: PoseTrack, frames: list[int], words: str, group: str = "", size: int = 96) -> str:
    """Some frames of a motion side by side, in one framing, as an `<svg>` of a few kilobytes.

    Args:
        frames: indices into the track, left to right.
        words: what a screen reader says.
        group: body group of the gesture; heads are drawn larger for those of the head, legs come in for those of
            the legs, everything above the hips is shown for the rest.
        size: side of one panel in SVG units.
    """
    xy, score = track.xy[frames], track.score[frames]
    zoom, dx, dy = frame_of(xy, _fitted(track.skeleton, score, group.casefold()), (size, size))
    panels = []
    for k, (joints, seen) in enumerate(zip(xy, score, strict=True)):
        points = joints[:, :2] * zoom + (dx + k * size, dy)
        panels.append(_paths(points, seen, track.skeleton))
    return (
        f'<svg viewBox="0 0 {size * len(frames)} {size}" role="img" aria-label="{escape(words)}" '
        f'stroke-linecap="round" stroke-linejoin="round" fill="none">{"".join(panels)}</svg>'
    )


def _fitted(skeleton: Skeleton, score: NDArray[np.float32], group: str) -> NDArray[np.float32]:
    """Scores (T, V) with 0 for the joints that may leave the picture."""
    low: tuple[str, ...] = ("hip", "knee", "ankle", "toe", "heel")
    if group.startswith(("lower", "leg")):
        low = ()
    elif group == "head":
        low += ("elbow", "wrist", "tip", "mcp")
    fitted = score.copy()
    fitted[:, [i for i, joint in enumerate(skeleton.joints) if joint.endswith(low)]] = 0
    return fitted if (fitted >= SEEN).any() else score


def _paths(points: NDArray[np.float32], seen: NDArray[np.float32], skeleton: Skeleton) -> str:
    paths: dict[tuple[str, float], list[str]] = {}
    for stroke in strokes(skeleton):
        ids = [j for j in stroke.joints if seen[j] >= SEEN]
        if not ids or len(ids) < min(2, len(stroke.joints)):
            continue
        closed = stroke.closed and len(ids) > 2
        line = points[ids]
        if closed:
            line = rounded((line * 64).astype(np.int32)) / 64
        text = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
        # a line of no length with round ends is a dot
        paths.setdefault((stroke.side, stroke.weight), []).append(text + ("z" if closed or len(ids) == 1 else ""))
    return "".join(
        f'<path d="{"".join(lines)}" stroke="rgb{SIDES[side]}" stroke-width="{2.2 * weight:.1f}"/>'
        for (side, weight), lines in paths.items()
    )


def svg_interval(value: float, low: float, high: float, most: float, colour: str) -> str:
    """A dot with its interval on a scale from 0 to `most`; the numbers stand beside it in the table."""
    x, a, b = (100 * min(max(v, 0.0), most) / most if most > 0 else 0.0 for v in (value, low, high))
    return (
        '<svg class="interval" viewBox="-3 0 106 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="M0 6H100" stroke="#e3e6e8"/><path d="M{a:.1f} 6H{b:.1f}" stroke="{colour}" stroke-width="2"/>'
        f'<path d="M{x:.1f} 2V10" stroke="{colour}" stroke-width="3"/></svg>'
    )
