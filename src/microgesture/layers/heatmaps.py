"""Heatmap volumes: joints or limbs drawn as Gaussians, a picture per frame, on the model's own device.

A Gaussian is the outer product of a profile along x and one along y. A limb is the set of points near a segment: the
distance along the segment and the distance across it are sums of a profile along x and one along y. As in PYSKL's
GeneratePoseTarget, Gaussians end three sigma away, at cells truncated towards zero, and persons join by the maximum.

Source: Duan et al., Revisiting Skeleton-based Action Recognition, CVPR 2022, section 3.2,
https://arxiv.org/abs/2104.13586.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from microgesture.core.errors import UsageError
from microgesture.layers.batch import PoseBatch
from microgesture.layers.compact import AROUND_THE_NECK, into_box, pose_box, random_part

Limbs = Sequence[tuple[int, int]]

# a joint less certain than this is not drawn
LEAST_SCORE = 1e-3
# limbs are drawn this many values at a time: what a processor's cache holds
_CHUNK = 1 << 17
# what is below exp of this is 0: exp takes ten times as long where it comes near the smallest numbers there are
_FAR = -80.0


@torch.no_grad()
def joint_heatmaps(xy: Tensor, score: Tensor, size: tuple[int, int], sigma: float = 0.6) -> Tensor:
    """A Gaussian of height `score` around every joint. No gradient reaches the coordinates.

    Args:
        xy: (B, M, T, V, 2), in pixels of the canvas.
        score: (B, M, T, V).
        size: height and width of the canvas.
        sigma: in pixels.

    Returns:
        (B, V, T, height, width).
    """
    xy, score = xy.transpose(2, 3), score.transpose(2, 3)  # (B, M, V, T, ...)
    height = torch.where(score >= LEAST_SCORE, score, 0)
    across = _profile(xy[..., 0], size[1], sigma)  # (B, M, V, T, W)
    down = _profile(xy[..., 1], size[0], sigma) * height.unsqueeze(-1)
    if torch.compiler.is_compiling():  # an exported graph cannot take clips one by one
        return (down.unsqueeze(-1) * across.unsqueeze(-2)).amax(1)
    b, m, v, t = score.shape
    volume = _empty((b, v, t, *size), down)
    torch.mul(down[:, 0].unsqueeze(-1), across[:, 0].unsqueeze(-2), out=volume)
    for person in range(1, m):
        for clip in range(b):  # one by one: the memory for a clip is used again and again
            gaussians = down[clip, person].unsqueeze(-1) * across[clip, person].unsqueeze(-2)
            torch.maximum(volume[clip], gaussians, out=volume[clip])
    return volume


@torch.no_grad()
def limb_heatmaps(xy: Tensor, score: Tensor, limbs: Limbs, size: tuple[int, int], sigma: float = 0.6) -> Tensor:
    """A Gaussian of the distance to every limb, as high as the lower score of its ends. No gradient, as above.

    A limb shorter than a pixel is drawn as its first joint.

    Args:
        limbs: pairs of joints.

    Returns:
        (B, len(limbs), T, height, width); see `joint_heatmaps` for the rest.
    """
    b, m, t, _ = score.shape
    first, second = ([limb[end] for limb in limbs] for end in (0, 1))
    xy, score = xy.transpose(2, 3), score.transpose(2, 3)  # (B, M, V, T, ...)
    a, z = xy[:, :, first], xy[:, :, second]  # (B, M, L, T, 2)
    coefficient = torch.minimum(score[:, :, first], score[:, :, second])
    drawn = coefficient >= LEAST_SCORE
    length = (z - a).square().sum(-1).sqrt()
    point = length < 1
    z = torch.where(point.unsqueeze(-1), a, z)
    coefficient = torch.where(drawn, torch.where(point, score[:, :, first], coefficient), 0)
    along = torch.where(point.unsqueeze(-1), xy.new_tensor((1.0, 0.0)), (z - a) / length.clamp(min=1).unsqueeze(-1))

    # lengths in units of sqrt(2) sigma from here on: exp(-distance ** 2) is the Gaussian
    unit = 1 / (math.sqrt(2) * sigma)
    centre, half = (a + z) / 2, torch.where(point, 0, length / 2 * unit)
    offsets, windows = [], []
    for axis, pixels in ((0, size[1]), (1, size[0])):
        cells = torch.arange(pixels, device=xy.device, dtype=xy.dtype)
        offsets.append((cells - centre[..., axis].unsqueeze(-1)) * unit)  # (B, M, L, T, pixels)
        low, high = torch.minimum(a, z)[..., axis], torch.maximum(a, z)[..., axis]
        windows.append(_window(cells, low, high, sigma))
    (dx, dy), (ux, uy) = offsets, along.unsqueeze(-2).unbind(-1)
    lengthwise = dx * ux, dy * uy  # their sum is the distance from the centre along the limb
    # their sum is the distance across the limb; infinite outside the window
    crosswise = (dx * -uy).masked_fill(~windows[0], math.inf), (dy * ux).masked_fill(~windows[1], math.inf)

    volume = _empty((b, len(limbs), t, *size), xy)
    maps = [values.flatten(2, 3) for values in (*lengthwise, *crosswise)]  # (B, M, L*T, pixels)
    half, height = (values.flatten(2)[..., None, None] for values in (half, coefficient.log()))  # -inf: not drawn
    flat = volume.flatten(1, 2)  # (B, L*T, H, W), the same memory
    step = max(1, _CHUNK // (size[0] * size[1])) if xy.device.type == "cpu" else len(limbs) * t
    for clip in range(b):
        for start in range(0, len(limbs) * t, step):
            part = slice(start, start + step)
            for person in range(m):
                x, y, across, down = (values[clip, person, part] for values in maps)
                beyond = (x.unsqueeze(-2) + y.unsqueeze(-1)).abs_().sub_(half[clip, person, part]).clamp_(min=0)
                distance = across.unsqueeze(-2) + down.unsqueeze(-1)
                exponent = torch.addcmul(height[clip, person, part], beyond, beyond, value=-1)
                exponent.addcmul_(distance, distance, value=-1).clamp_(min=_FAR)
                if person == 0:
                    torch.exp(exponent, out=flat[clip, part])
                else:
                    torch.maximum(flat[clip, part], exponent.exp_(), out=flat[clip, part])
            torch.threshold_(flat[clip, part], 2 * math.exp(_FAR), 0)
    return volume


def mirror(volume: Tensor, order: Sequence[int]) -> Tensor:
    """Heatmaps (B, K, T, H, W) of the mirrored picture; channel k is what channel `order[k]` was before.

    For joints `order` is the skeleton's `flip`, for limbs `mirrored_limbs`. A joint at x comes to W - 1 - x.
    """
    return volume[:, list(order)].flip(-1)


def mirrored_limbs(limbs: Limbs, flip: Sequence[int]) -> tuple[int, ...]:
    """For each limb the limb on the other side; a limb that has no partner is its own."""
    places = {frozenset(limb): i for i, limb in enumerate(limbs)}
    return tuple(places.get(frozenset(flip[j] for j in limb), i) for i, limb in enumerate(limbs))


class PoseVolume(nn.Module):
    """Poses to heatmap volumes of what the pose fills: crop, in training a random part of it, draw.

    Args:
        limbs: draws these instead of the joints.
        size: height and width of the canvas in eval mode, in pixels.
        train_size: the same in training.
        area: in training, the least share of the crop that is shown; 1 shows all of it.
        sigma: in pixels.
        padding: see `pose_box`.
    """

    def __init__(
        self,
        limbs: Limbs | None = None,
        *,
        size: int = 64,
        train_size: int = 56,
        area: float = 0.56,
        sigma: float = 0.6,
        padding: float = 0.25,
    ) -> None:
        super().__init__()
        self.limbs = None if limbs is None else tuple(limbs)
        self.size, self.train_size, self.area = size, train_size, area
        self.sigma, self.padding = sigma, padding

    def forward(self, batch: PoseBatch) -> Tensor:
        """(B, K, T, size, size), K joints or limbs; of three coordinates, x and y: what a camera along z sees.

        Raises:
            UsageError: there are more, so not joints alone.
            FormatError: a value is not finite, or there is no person or no frame.
        """
        coordinates = batch.xy.shape[-1]
        if coordinates not in (2, 3):
            raise UsageError(
                f"heatmaps are drawn from the places of joints, x y or x y z; the batch has {coordinates} numbers per "
                "joint: set loading.streams to [joint]"
            )
        joints = batch.features(coordinates + 1)
        xy, score = joints[..., :2], joints[..., -1]
        box = pose_box(xy, score > 0, xy.new_tensor(AROUND_THE_NECK), padding=self.padding)
        if self.training and self.area < 1:
            box = random_part(box, self.area)
        side = self.train_size if self.training else self.size
        return self.draw(into_box(xy, box, (side, side)), score, (side, side))

    def draw(self, xy: Tensor, score: Tensor, size: tuple[int, int]) -> Tensor:
        """The volume of joints whose place on the canvas is known, in pixels."""
        if self.limbs is None:
            return joint_heatmaps(xy, score, size, self.sigma)
        return limb_heatmaps(xy, score, self.limbs, size, self.sigma)


def _profile(centre: Tensor, pixels: int, sigma: float) -> Tensor:
    """The Gaussian around `centre` (...) at the cells 0 .. pixels-1: (..., pixels). Computed where it is not zero."""
    centre = centre.clamp(-pixels - 9 * sigma, 2 * pixels + 9 * sigma)  # fits an integer
    start, end = (centre - 3 * sigma).trunc(), (centre + 3 * sigma).trunc()
    cells = start.unsqueeze(-1) + torch.arange(int(6 * sigma) + 2, device=centre.device)
    gaussian = torch.exp((cells - centre.unsqueeze(-1)).square_().mul_(-0.5 / sigma**2))
    gaussian.masked_fill_(cells > end.unsqueeze(-1), 0)
    padded = centre.new_zeros((*centre.shape, pixels + 2))  # the first and the last cell take what lies outside
    padded.scatter_(-1, cells.clamp_(-1, pixels).add_(1).long(), gaussian)
    return padded[..., 1:-1]


def _window(cells: Tensor, low: Tensor, high: Tensor, sigma: float) -> Tensor:
    """Which cells lie within three sigma of low .. high (...): bool (..., cells)."""
    start, end = (low - 3 * sigma).trunc(), (high + 3 * sigma).trunc()
    return (cells >= start.unsqueeze(-1)) & (cells <= end.unsqueeze(-1))


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Memory for a volume. On CPU from numpy, which asks for huge pages: touching it takes a quarter of the time."""
    if like.device.type != "cpu" or like.dtype != torch.float32 or torch.compiler.is_compiling():
        return like.new_empty(shape)
    return torch.from_numpy(np.empty(shape, np.float32))
