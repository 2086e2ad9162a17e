"""Several people with a detector that sees one: each is shown a picture in which the others are painted over.

Every person has a slot with a body detector of its own, which follows the person from frame to frame. What the
other slots follow is painted grey before a slot looks, except where it overlaps the slot's own person; so an empty
slot finds whoever is left, and a slot that lost its person cannot jump to somebody else's.

Limits: people hidden behind each other for a while may come back exchanged; a person who leaves and another who
enters look like one; people smaller than about a fifth of the picture's height are easily missed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from microgesture.pose.assemble import CANONICAL, Array, body_scale

Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, right and bottom excluded."""

_GREY = 128
_TRUNK = [CANONICAL.index(n) for n in ("nose", "r_shoulder", "l_shoulder", "r_hip", "l_hip")]
_FIGURE = [i for i, n in enumerate(CANONICAL.joints) if n.partition("_")[2] in
           ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe", "ear", "eye") or n == "nose"]  # fmt: skip


def box(xy: Array, score: Array, size: tuple[int, int], margin: float = 0.3) -> Box | None:
    """Box around the joints of one pose (V, 2), (V,) that score at least 0.5, `margin` shoulder widths wider.

    None if none does, or the box lies outside the picture of `size` (width, height).
    """
    seen = [j for j in _FIGURE if score[j] >= 0.5]
    if not seen:
        return None
    edge = margin * body_scale(xy)
    # hair lies above the eyes as far as the neck below them
    low = np.maximum(xy[seen].min(0) - (edge, 1.5 * edge), 0)
    high = np.minimum(xy[seen].max(0) + edge, size)
    left, top, right, bottom = (round(float(v)) for v in (*low, *high))
    return (left, top, right, bottom) if left < right and top < bottom else None


def hide_others(image: Image, boxes: Sequence[Box | None], slot: int, *, only_own: bool = False) -> Image:
    """A copy of the picture (H, W, 3) as `slot` is to see it; the picture itself if nothing is to be hidden.

    Args:
        boxes: where the person of each slot was last; None = nowhere.
        only_own: hide all but the own box, to find a known person again.
    """
    own = boxes[slot]
    others = [b for k, b in enumerate(boxes) if k != slot and b is not None]
    if not (others or (only_own and own)):
        return image
    view = np.full_like(image, _GREY) if only_own and own else image.copy()
    for left, top, right, bottom in others:
        view[top:bottom, left:right] = _GREY
    if own:
        left, top, right, bottom = own
        view[top:bottom, left:right] = image[top:bottom, left:right]
    return view


def same_person(a: Array, b: Array) -> bool:
    """Whether two poses (V, 2) lie on each other: trunk joints on average less than 0.35 shoulder widths apart."""
    apart = float(np.linalg.norm(a[_TRUNK] - b[_TRUNK], axis=-1).mean())
    return apart < 0.35 * min(body_scale(a), body_scale(b))
