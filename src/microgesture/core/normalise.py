"""Body coordinates: the neck as origin, the shoulder width as unit. The one place where coordinates are normalised."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.skeleton import Skeleton

# lengths in shoulder widths, between anatomical tables (Drillis and Contini 1966: 1.12 and 0.74) and what Kinect v1
# reports of people in UTD-MHAD (1.28 and 0.46)
_TORSO, _HIPS = 1.2, 0.6
_HUB = Skeleton("hub", ("neck", "mid_hip", "r_shoulder", "l_shoulder", "r_hip", "l_hip"), ())


class Normalised(NamedTuple):
    """Body coordinates and what they were made with: `xy * scale + origin` are the input's coordinates.

    Args:
        xy: float32 (..., T, V, C), in shoulder widths from the neck; 0 where a joint is missing.
        origin: float32 (..., C), in the input's unit.
        scale: float32 (...), the input's unit per shoulder width; positive.
    """

    xy: NDArray[np.float32]
    origin: NDArray[np.float32]
    scale: NDArray[np.float32]


def body_normalise(xy: ArrayLike, score: ArrayLike, skeleton: Skeleton) -> Normalised:
    """Make coordinates independent of where a person is in the picture and how large.

    One origin and one scale serve a whole clip, so that leaning, turning and walking stay visible.

    * origin: median position of the neck; without a neck (or the shoulders to find it between) the median of
      all joints seen; without any the zero point.
    * scale: median distance of the shoulders; where both are never seen together, or lie on each other, the
      torso's length / 1.2, else the distance of the hips / 0.6, else the median diagonal of the box around the
      joints of a frame (the size of a hand, not of the path it takes), else that of the box around all, else 1.

    Directions of the axes stay as they are, pixels and metres are treated alike. A person seen from the side has
    narrow shoulders and comes out larger; this is not corrected.

    Args:
        xy: (..., T, V, C); any leading axes are clips or persons, each normalised by itself.
        score: (..., T, V), 0 = missing.
        skeleton: the meaning of axis V.

    Raises:
        ValueError: shapes do not agree, or a coordinate of a seen joint is not finite.

    Example:
        >>> from microgesture.core.layouts import skeleton
        >>> xy = np.zeros((1, 22, 2)); xy[0, 2], xy[0, 5], xy[0, 1] = (300, 200), (500, 200), (400, 200)
        >>> body = body_normalise(xy, np.ones((1, 22)), skeleton("imigue22"))
        >>> body.xy[0, 5].tolist(), body.origin.tolist(), float(body.scale)
        ([0.5, 0.0], [400.0, 200.0], 200.0)
    """
    points, seen = np.asarray(xy, np.float64), np.asarray(score) > 0
    if points.ndim < 3 or seen.shape != points.shape[:-1] or seen.shape[-1] != len(skeleton):
        raise ValueError(
            f"xy has shape {points.shape} and score {seen.shape}, expected (..., T, {len(skeleton)}, C) and "
            f"(..., T, {len(skeleton)}) for skeleton '{skeleton.name}'"
        )
    points = np.where(seen[..., None], points, 0)
    if not np.isfinite(points).all():
        raise ValueError("coordinates must be finite where the score is above 0")

    place: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}
    for joint, sources in zip(_HUB.joints, skeleton.projection(_HUB), strict=True):
        parts = list(sources)
        place[joint] = (
            (points[..., parts, :].mean(-2), seen[..., parts].all(-1))
            if parts
            else (np.zeros_like(points[..., 0, :]), np.zeros_like(seen[..., 0]))
        )

    def length(a: str, b: str) -> NDArray[np.float64]:
        """Median distance of two joints over the frames that show both; 0 if there is none. (...)"""
        distance = np.linalg.norm(place[a][0] - place[b][0], axis=-1)
        return _median(distance[..., None], place[a][1] & place[b][1])[..., 0]

    # (..., T*V, C): what is left when the body's own joints are not seen
    spots = seen.shape[-2] * seen.shape[-1]  # not -1: that cannot be inferred where there are no clips
    cloud = points.reshape(*points.shape[:-3], spots, points.shape[-1])
    cloud_seen = seen.reshape(*seen.shape[:-2], spots)
    neck, neck_seen = place["neck"]
    origin, necked = _median(neck, neck_seen), neck_seen.any(-1)
    if not necked.all():
        origin = np.where(necked[..., None], origin, _median(cloud, cloud_seen))

    scale = np.zeros(points.shape[:-3])
    box = _extent(cloud, cloud_seen)
    tiny = 1e-6 * np.maximum(box, np.finfo(np.float32).tiny)  # relative: metres and pixels alike
    for candidate in (
        lambda: length("r_shoulder", "l_shoulder"),
        lambda: length("neck", "mid_hip") / _TORSO,
        lambda: length("r_hip", "l_hip") / _HIPS,
        lambda: _median(_extent(points, seen)[..., None], seen.any(-1))[..., 0],
        lambda: box,
        lambda: np.ones_like(box),
    ):
        if scale.all():  # most people show both shoulders: the rest need not be worked out
            break
        found = candidate()
        scale = np.where((scale == 0) & (found > tiny), found, scale)
    body = (points - origin[..., None, None, :]) / scale[..., None, None, None]
    return Normalised(
        np.where(seen[..., None], body, 0).astype(np.float32), origin.astype(np.float32), scale.astype(np.float32)
    )


def _median(values: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median over axis -2 of the rows that are seen; 0 where none is. (..., N, C) and (..., N) -> (..., C)"""
    if values.shape[-2] == 0:
        return np.zeros(values.shape[:-2] + values.shape[-1:])
    count = seen.sum(-1)
    # sorting puts the unseen rows last: many times faster than nanmedian, and silent where nothing is seen
    ordered = np.sort(np.where(seen[..., None], values, np.inf), axis=-2)

    def pick(rank: NDArray[np.int64]) -> NDArray[np.float64]:
        index = np.maximum(rank, 0)[..., None, None]
        row: NDArray[np.float64] = np.take_along_axis(ordered, index, axis=-2)[..., 0, :]
        return np.where(count[..., None] > 0, row, 0)

    return (pick((count - 1) // 2) + pick(count // 2)) / 2


def _extent(values: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Diagonal of the box around the rows seen; 0 where none is. (..., N, C) -> (...)"""
    top = np.where(seen[..., None], values, -np.inf).max(-2, initial=-np.inf)
    bottom = np.where(seen[..., None], values, np.inf).min(-2, initial=np.inf)
    diagonal: NDArray[np.float64] = np.linalg.norm(np.where(seen.any(-1)[..., None], top - bottom, 0), axis=-1)
    return diagonal
