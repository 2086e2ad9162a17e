"""Simulated micro-gestures with pictures: drawings of stick people, so that systems that read pictures can be trained
and compared without a recording.

These are drawings, not pictures of people: flat limbs in one colour each before a smooth wall, clothes in cold colours
so that hands and face stand out, no light, no texture, no features of anybody. What a system reaches on them says
nothing about films; a system that reaches nothing has a mistake. Each figure is drawn from the poses of its clip as
the simulated estimator reports them, so a joint it loses is missing in the drawing as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from microgesture.core.errors import UsageError
from microgesture.core.normalise import body_normalise
from microgesture.core.skeleton import Skeleton
from microgesture.datasets.clips import Clips, Floats, Ids
from microgesture.datasets.sampling import segment_frames
from microgesture.datasets.simulated import Simulated
from microgesture.layers.batch import VideoBatch
from microgesture.simulation.preview import SEEN

# of a figure: where its neck is on the canvas, in shares of width and height, and how many shoulder widths fit into
# the shorter side; each clip is drawn within these limits
_NECK, _SHOULDERS = ((0.46, 0.54), (0.28, 0.33)), (3.3, 3.9)
_TORSO = 1.25  # from neck to hips in shoulder widths, where a desk hides the hips
_GRAIN = 6.0  # of a camera: standard deviation of a pixel, out of 255


@dataclass(frozen=True)
class _Part:
    """Limbs of one colour, from the back to the front.

    Args:
        colour: which of the figure's colours; `shade` is multiplied with it.
        radius: half of the thickness, in shoulder widths.
        limbs: pairs of joints; a joint with itself is a dot.
    """

    colour: str
    shade: float
    radius: float
    limbs: tuple[tuple[str, str], ...]


_HAND = ("thumb_tip", "index_tip", "middle_tip", "ring_tip", "pinky_tip")
_PARTS = (
    *(_Part("trousers", 1.0, 0.17, ((f"{s}_hip", f"{s}_knee"), (f"{s}_knee", f"{s}_ankle"))) for s in "rl"),
    _Part("shirt", 1.0, 0.36, (("neck", "mid_hip"),)),
    _Part("shirt", 1.0, 0.17, (("r_shoulder", "l_shoulder"),)),
    _Part("skin", 0.85, 0.12, (("neck", "nose"),)),
    _Part("skin", 1.0, 0.22, (("nose", "nose"), ("forehead", "chin"))),  # not every estimator finds a forehead
    _Part("hair", 1.0, 0.09, (("r_ear", "forehead"), ("forehead", "l_ear"))),
    _Part("ink", 1.0, 0.035, (("r_eye", "r_eye"), ("l_eye", "l_eye"))),
    _Part("lips", 1.0, 0.03, (("r_mouth", "upper_lip"), ("upper_lip", "l_mouth"), ("r_mouth", "lower_lip"),
                              ("lower_lip", "l_mouth"))),
    *(_Part("shirt", 0.8, 0.11, ((f"{s}_shoulder", f"{s}_elbow"),)) for s in "rl"),
    *(_Part("sleeve", 0.9, 0.085, ((f"{s}_elbow", f"{s}_wrist"),)) for s in "rl"),
    *(_Part("skin", 0.9, 0.07, ((f"{s}_wrist", f"{s}_middle_mcp"),)) for s in "rl"),
    *(_Part("skin", 0.9, 0.04, tuple((f"{s}_wrist", f"{s}_{tip}") for tip in _HAND)) for s in "rl"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class DrawnClips(Clips):
    """Clips in pixels of a canvas, on which they are drawn when asked for.

    Args:
        look: int64 (N,), seeds of colours, background and grain.
        canvas: (pictures F, height H, width W).
    """

    look: Ids = field(kw_only=True)
    canvas: tuple[int, int, int] = field(kw_only=True)

    def pictures(self, i: int, chance: np.random.RandomState | None = None) -> NDArray[np.uint8]:
        """Drawings (F, H, W, 3) of clip i.

        Args:
            chance: takes a random frame out of each of F equal parts of the clip; else it is the middle one.
        """
        xy, score = self[i]
        pictures, height, width = self.canvas
        frames = segment_frames(xy.shape[1], pictures, chance)
        scale = float(body_normalise(xy, score, self.skeleton).scale[0])
        draw = np.random.default_rng(self.look[i])
        return draw_figures(xy[0, frames], score[0, frames], self.skeleton, scale, (height, width), draw)


class SimulatedPictures(Simulated):
    """Simulated clips and drawings of them: `VideoBatch`es of figures, not of people.

    Args:
        taxonomy, length, fps, epoch_clips, test_clips: see `Simulated`.
        pictures: F drawings per clip, one out of each of F equal parts.
        height, width: of a drawing in pixels.

    Example:
        >>> batch = SimulatedPictures("smg", length=8, pictures=2, height=24, width=32).fresh_batch(3, (0,))
        >>> batch.rgb.shape, batch.rgb.dtype
        (torch.Size([3, 2, 24, 32, 3]), torch.uint8)
    """

    key = "simulated_pictures"

    def __init__(
        self,
        taxonomy: str,
        length: int = 32,
        fps: float = 15.0,
        epoch_clips: int = 4096,
        test_clips: int = 1024,
        pictures: int = 8,
        height: int = 64,
        width: int = 64,
    ) -> None:
        super().__init__(taxonomy, length, fps, epoch_clips, test_clips)
        for name, value, least in (("pictures", pictures, 1), ("height", height, 8), ("width", width, 8)):
            if value < least:
                raise UsageError(f"{name} is {value}; it must be at least {least}")
        self.canvas = (pictures, height, width)

    def _simulate(self, count: int, seed: int, split: str, length: int) -> DrawnClips:
        draw = np.random.default_rng([seed, count, len(self.taxonomy)])
        clips = super()._simulate(count, seed, split, length)
        _, height, width = self.canvas
        (left, right), (top, bottom) = _NECK
        neck = draw.uniform((left * width, top * height), (right * width, bottom * height), (count, 2))
        unit = min(height, width) / draw.uniform(*_SHOULDERS, count)
        score = clips.score.reshape(count, length, -1)
        body = body_normalise(clips.xy.reshape(count, length, -1, 2), score, self.skeleton).xy
        xy = np.where(score[..., None] > 0, body * unit[:, None, None, None] + neck[:, None, None], 0)
        look = draw.integers(1 << 62, size=count)
        return DrawnClips(
            **{**vars(clips), "xy": xy.astype(np.float32).reshape(clips.xy.shape)}, look=look, canvas=self.canvas
        )

    def fresh_batch(self, count: int, seed: tuple[int, ...]) -> VideoBatch:
        """`count` new clips of training people, normalised, with their drawings."""
        number = int(np.random.SeedSequence(seed).generate_state(1)[0])
        clips = self._simulate(count, number, "train", self.length)
        chance = np.random.RandomState(number)
        score = clips.score.reshape(count, 1, self.length, -1)
        body = body_normalise(clips.xy.reshape(*score.shape, 2), score, self.skeleton)
        return VideoBatch(
            torch.from_numpy(body.xy),
            torch.from_numpy(score),
            torch.from_numpy(clips.label),
            rgb=torch.from_numpy(np.stack([clips.pictures(i, chance) for i in range(count)])),
            origin=torch.from_numpy(body.origin),
            scale=torch.from_numpy(body.scale),
        )


def draw_figures(
    xy: Floats,
    score: Floats,
    skeleton: Skeleton,
    scale: float,
    size: tuple[int, int],
    draw: np.random.Generator,
) -> NDArray[np.uint8]:
    """One person at F moments, drawn with soft edges.

    A pixel is covered by a limb as far as its centre lies within the limb's radius, over the width of a pixel.

    Args:
        xy: (F, V, 2), pixels; whole numbers are corners of pixels.
        score: (F, V); limbs with a joint below `preview.SEEN` are left out.
        scale: pixels per shoulder width.
        size: height and width.

    Returns:
        uint8 (F, H, W, 3), red first.
    """
    image = _background(len(xy), size, draw)
    colours = _colours(draw)
    xy, score = _with_hips(xy, score, skeleton, scale)
    for part, (one, other) in zip(_PARTS, _ends(skeleton), strict=True):
        seen = (score[:, one] >= SEEN) & (score[:, other] >= SEEN)  # (F, L)
        if not seen.any():
            continue
        radius = max(part.radius * scale, 0.35)  # thinner than a pixel and it would flicker
        a, b = xy[:, one], xy[:, other]
        ends = np.concatenate((a[seen], b[seen]))
        low = np.clip(np.floor(ends.min(0) - radius - 1), 0, (size[1], size[0])).astype(int)
        high = np.clip(np.ceil(ends.max(0) + radius + 1), 0, (size[1], size[0])).astype(int)
        if (low >= high).any():
            continue
        (left, top), (right, bottom) = low, high
        square = _square_distance(a, b, seen, np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
        cover = np.clip(radius + np.float32(0.5) - np.sqrt(square), 0, 1)  # (F, h, w)
        place = image[:, :, top:bottom, left:right]
        place += cover * (colours[part.colour] * part.shade - place)
    image += draw.random(image.shape, np.float32) * np.float32(_GRAIN * 12**0.5) - np.float32(_GRAIN * 3**0.5)
    return np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8).transpose(1, 2, 3, 0))


def _square_distance(
    a: Floats, b: Floats, seen: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]
) -> Floats:
    """Squared distance of pixels to the nearest limb that is seen, (F, h, w); ends `a`, `b` (F, L, 2)."""
    a, d = a.astype(np.float32), (b - a).astype(np.float32)
    from_x = x.astype(np.float32) - a[..., :1]  # (F, L, w)
    from_y = y.astype(np.float32) - a[..., 1:]
    length = np.maximum((d * d).sum(-1), np.float32(1e-6))[..., None, None]
    along_x, along_y = from_x * d[..., :1], from_y * d[..., 1:]
    along = along_x[:, :, None] + along_y[..., None]  # (F, L, h, w), projection on the limb times its length
    t = np.clip(along / length, 0, 1)
    # |p - a - t d|^2 = |p - a|^2 - t (2 (p - a) d - t d^2)
    along *= 2
    along -= t * length
    along *= t
    square = (from_x * from_x)[:, :, None] + (from_y * from_y)[..., None]
    square -= along
    square[~seen] = np.inf
    nearest: Floats = np.maximum(square.min(1), 0)
    return nearest


def _background(frames: int, size: tuple[int, int], draw: np.random.Generator) -> Floats:
    """A wall: a dull colour that runs into another, with blotches that stay where they are, (3, F, H, W)."""
    height, width = size
    one, other = draw.uniform(90, 180, (2, 1, 1, 1)) + draw.uniform(-12, 12, (2, 3, 1, 1))
    angle = draw.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * np.linspace(-0.5, 0.5, width) + np.sin(angle) * np.linspace(-0.5, 0.5, height)[:, None]
    wall = one + (other - one) * (slope + 0.5)
    blotches = draw.normal(0, 6, (1, -(-height // 8), -(-width // 8))).repeat(8, 1).repeat(8, 2)
    picture = (wall + blotches[:, :height, :width]).astype(np.float32)
    return np.repeat(picture[:, None], frames, 1)


def _colours(draw: np.random.Generator) -> dict[str, Floats]:
    """What the figure wears at random, (3, 1, 1, 1) each; half of the figures have bare forearms."""

    def colour(low: tuple[int, int, int], high: tuple[int, int, int]) -> Floats:
        return draw.uniform(low, high).astype(np.float32).reshape(3, 1, 1, 1)

    light = np.float32(draw.uniform(0.6, 1.0))
    skin = colour((225, 150, 110), (250, 180, 140)) * light
    # cold colours, so that hands and face stand out to a network that starts from nothing
    shirt = np.sort(colour((20, 30, 40), (150, 220, 240)), 0)
    return {
        "skin": skin,
        "shirt": shirt,
        "sleeve": skin if draw.random() < 0.5 else shirt,
        "trousers": colour((10, 10, 10), (120, 120, 140)),
        "hair": colour((20, 15, 10), (110, 80, 60)),
        "lips": colour((130, 40, 40), (190, 90, 90)) * light,
        "ink": np.zeros((3, 1, 1, 1), np.float32),
    }


def _with_hips(xy: Floats, score: Floats, skeleton: Skeleton, scale: float) -> tuple[Floats, Floats]:
    """A torso behind a desk too: hips that are not seen are below the neck."""
    neck, hips = skeleton.index("neck"), skeleton.index("mid_hip")
    hidden = (score[:, hips] < SEEN) & (score[:, neck] >= SEEN)
    xy, score = xy.copy(), score.copy()
    xy[hidden, hips] = xy[hidden, neck] + (0, np.float32(_TORSO * scale))
    score[hidden, hips] = score[hidden, neck]
    return xy, score


@lru_cache
def _ends(skeleton: Skeleton) -> tuple[tuple[list[int], list[int]], ...]:
    """Joint indices of both ends of every part's limbs."""
    return tuple(
        ([skeleton.index(a) for a, _ in part.limbs], [skeleton.index(b) for _, b in part.limbs]) for part in _PARTS
    )
