"""The part of the picture that a pose fills: boxes, coordinates inside them, pictures cut to them.

What PoseCompact of PYSKL and MMCompact of MMAction2 do, as tensor operations: a model crops on its own device. A box is
a row (left, top, width, height) in the unit of the coordinates: pixels, or shoulder widths of a body. `body_normalise`
turns one into the other by one shift and one scale, so relative to the box of all joints seen they are the same.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Around a body of which too little is seen to find its extent: two shoulder widths to each side of the neck
AROUND_THE_NECK = (-2.0, -2.0, 4.0, 4.0)


def pose_box(
    xy: Tensor,
    seen: Tensor,
    whole: Tensor,
    *,
    padding: float = 0.25,
    threshold: float = 0.0,
    ratio: tuple[float, float] | None = (1.0, 1.0),
    inside: bool = False,
    snap: bool = False,
) -> Tensor:
    """The box around all joints of a clip that are seen in any frame and person, one box for all of them.

    Args:
        xy: (B, ..., V, 2).
        seen: bool (B, ..., V), or as `xy` where x and y are missing apart from each other.
        whole: (B, 4) or (4,), the box of clips whose pose is too small to be cropped to: the picture, if there is one.
        padding: the box is 1 + `padding` times as large as the pose.
        threshold: a pose whose extent in x or y is below this is not cropped to; neither is one without extent.
        ratio: least and largest height per width, reached by growing; None leaves the pose's own.
        inside: keep the box within `whole`.
        snap: move the corners to whole pixels towards zero, as the official code does.

    Returns:
        (B, 4): left, top, width, height.
    """
    seen = (seen if seen.ndim == xy.ndim else seen.unsqueeze(-1)).expand(xy.shape)
    low = xy.masked_fill(~seen, math.inf).flatten(1, -2).amin(1)  # (B, 2)
    high = xy.masked_fill(~seen, -math.inf).flatten(1, -2).amax(1)
    extent = high - low
    small = ~((extent >= threshold) & (extent > 0)).all(-1, keepdim=True)  # (B, 1)
    centre, half = (low + high) / 2, extent / 2 * (1 + padding)
    width, height = half.unbind(-1)
    if ratio is not None:
        height = torch.maximum(height, ratio[0] * width)
        width = torch.maximum(width, height / ratio[1])
    half = torch.stack((width, height), -1)
    start, end = centre - half, centre + half
    if inside:
        start, end = torch.maximum(start, whole[..., :2]), torch.minimum(end, whole[..., :2] + whole[..., 2:])
    if snap:
        start, end = start.trunc(), end.trunc()
    return torch.where(small, whole, torch.cat((start, end - start), -1))


def random_part(
    box: Tensor, area: float = 0.56, aspect: float = 4 / 3, tries: int = 10, generator: torch.Generator | None = None
) -> Tensor:
    """A random part of each box: RandomResizedCrop as training uses it.

    Args:
        box: (B, 4).
        area: least share of the box's area; the share is uniform from there to 1.
        aspect: width per height lies between 1 / `aspect` and `aspect`, uniform on a log scale.
        tries: a part that does not fit into its box is drawn anew this often; then the largest central square is taken.
    """
    left, top, width, height = box.unbind(-1)
    draw = torch.rand((4, tries, len(box)), generator=generator, device=box.device, dtype=box.dtype)
    size = (width * height * (area + (1 - area) * draw[0])).sqrt()
    stretch = aspect ** (draw[1] - 0.5)
    w, h = size * stretch, size / stretch  # (tries, B)
    fits = (w <= width) & (h <= height)
    first = fits.to(torch.int64).argmax(0, keepdim=True)  # the first try that fits
    w, h, x, y = (values.gather(0, first)[0] for values in (w, h, draw[2], draw[3]))
    square = torch.minimum(width, height)
    found = fits.any(0)
    w, h = torch.where(found, w, square), torch.where(found, h, square)
    x, y = torch.where(found, x, 0.5), torch.where(found, y, 0.5)
    return torch.stack((left + x * (width - w), top + y * (height - h), w, h), -1)


def into_box(xy: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Coordinates on a canvas of `size` (height, width) pixels that the box fills.

    Args:
        xy: (B, ..., 2).
        box: (B, 4).
    """
    box = box.view(-1, *(1,) * (xy.ndim - 2), 4)
    return (xy - box[..., :2]) * (box.new_tensor((size[1], size[0])) / box[..., 2:])


def cut(rgb: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures cut to their clip's box and resized bilinearly; zero where a box lies outside its picture.

    Args:
        rgb: (B, T, H, W, 3), any number type.
        box: (B, 4), in pixels.
        size: height and width of the result.

    Returns:
        float (B, 3, T, height, width), in the range of `rgb`.
    """
    b, t, h, w, _ = rgb.shape
    rgb = rgb.to(box.dtype).flatten(0, 1).permute(0, 3, 1, 2)  # (B*T, 3, H, W)
    axes = []
    for axis, (pixels, full) in enumerate(((size[1], w), (size[0], h))):
        centre = (torch.arange(pixels, device=box.device, dtype=box.dtype) + 0.5) / pixels
        place = box[:, axis, None] + centre * box[:, axis + 2, None]  # (B, pixels), in pixels of the picture
        axes.append(place * (2 / full) - 1)
    x, y = axes
    grid = torch.stack((x[:, None].expand(-1, size[0], -1), y[:, :, None].expand(-1, -1, size[1])), -1)
    grid = grid.repeat_interleave(t, 0)  # (B*T, height, width, 2)
    out = F.grid_sample(rgb, grid, "bilinear", "zeros", align_corners=False)
    return out.view(b, t, 3, *size).transpose(1, 2)
