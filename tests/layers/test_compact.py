from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from microgesture.core.layouts import SKELETONS
from microgesture.core.normalise import body_normalise
from microgesture.datasets.sampling import uniform_views
from microgesture.layers.compact import cut, into_box, pose_box, random_part
from microgesture.layers.heatmaps import joint_heatmaps, mirror

FOLDER = Path(__file__).parents[1] / "golden"
FLIP = SKELETONS["coco17"].flip


class Clip:
    """A clip of the pipeline's golden file; coordinates that are exactly 0 are missing, x and y apart."""

    def __init__(self, name: str) -> None:
        self.file, self.name = np.load(FOLDER / "posec3d_pipeline.npz"), name
        self.xy = torch.from_numpy(self.file[f"in/{name}/keypoint"]).nan_to_num()[None]
        self.score = torch.from_numpy(self.file[f"in/{name}/score"])[None]
        height, width = self.file[f"in/{name}/img_shape"]
        self.whole = torch.tensor([0.0, 0.0, width, height])

    def out(self, name: str) -> Tensor:
        return torch.from_numpy(self.file[f"out/{self.name}/{name}"])

    def compact(self, frames: Any = slice(None), **options: Any) -> tuple[Tensor, Tensor]:
        """Box, and coordinates relative to its corner, those that are missing left at 0."""
        xy = self.xy[:, :, frames]
        seen = xy != 0
        box = pose_box(xy, seen, self.whole, threshold=10, snap=True, **options)
        return box, torch.where(seen, into_box(xy, box, shape(box)), xy)


def shape(box: Tensor) -> tuple[int, int]:
    return int(box[0, 3]), int(box[0, 2])


@pytest.mark.parametrize("clip", ["c0", "c1", "c2"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hw1", {}),
        ("hw1_nopad", {"inside": True}),
        ("none", {"ratio": None}),
        ("none_nopad", {"ratio": None, "inside": True}),
        ("pad0.5_hw2", {"padding": 0.5, "ratio": (2, 2)}),
        ("hwrange", {"padding": 0.5, "ratio": (1, 0.8)}),
    ],
)
def test_boxes_equal_pyskl(clip: str, name: str, options: dict[str, Any]) -> None:
    """The pose of c2 is too small: its box is the picture."""
    made = Clip(clip)
    box, xy = made.compact(**options)
    torch.testing.assert_close(xy[0], made.out(f"{name}/keypoint"), atol=1e-4, rtol=0)
    assert shape(box) == tuple(made.out(f"{name}/img_shape").tolist())
    share = box[0].double() / made.whole[[2, 3, 2, 3]]
    torch.testing.assert_close(share, made.out(f"{name}/crop_quadruple_xywh").double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["c0", "c1"])
@pytest.mark.parametrize("seed", range(4))
def test_training_chain_equals_pyskl(name: str, seed: int) -> None:
    """Frames, compact, 64 pixels, the crop that was drawn there, 56 pixels, mirrored or not, heatmaps."""
    clip = Clip(name)
    frames = clip.out(f"train_seed{seed}/frame_inds")
    box, xy = clip.compact(frames)
    height, width = shape(box)
    on_64 = tuple(int(side * 64 / min(height, width) + 0.5) for side in (height, width))
    xy = xy * torch.tensor([on_64[1] / width, on_64[0] / height])
    left, top, right, bottom = clip.out(f"train_seed{seed}/crop_bbox").tolist()
    xy = into_box(xy, torch.tensor([[left, top, right - left, bottom - top]]), (56, 56))
    score = clip.score[:, :, frames]
    if clip.out(f"train_seed{seed}/flip"):
        xy[..., 0] = torch.where(xy[..., 0] != 0, 56 - xy[..., 0], 0)
        xy, score = xy[..., FLIP, :], score[..., FLIP]
    torch.testing.assert_close(xy[0].double(), clip.out(f"train_seed{seed}/keypoint"), atol=1e-4, rtol=0)
    torch.testing.assert_close(score[0], clip.out(f"train_seed{seed}/score"))
    if seed == 1:
        maps = joint_heatmaps(xy, score, (56, 56))
        torch.testing.assert_close(maps[:, :, :4], clip.out("train_seed1/imgs_first4frames"), atol=1e-4, rtol=0)
        torch.testing.assert_close(maps.sum((-2, -1)), clip.out("train_seed1/imgs_sum_over_space"), atol=1e-3, rtol=0)


def test_test_chain_equals_pyskl() -> None:
    """Three views of four frames share a box; then the same views mirrored."""
    clip = Clip("c0")
    frames = np.concatenate(uniform_views(clip.xy.shape[2], 4, 3))
    box, xy = clip.compact(frames)
    xy = xy * (64 / box[0, 2:])
    maps = joint_heatmaps(xy, clip.score[:, :, frames], (64, 64))[0].unflatten(1, (3, 4)).transpose(0, 1)
    views = torch.cat((maps, mirror(maps, FLIP)))
    sums = clip.out("test_len4_clips3_double/imgs_sum_over_space")
    torch.testing.assert_close(views.sum((-2, -1)), sums, atol=1e-3, rtol=0)
    torch.testing.assert_close(views[[0, 3]], clip.out("test_len4_clips3_double/imgs_views0and3"), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["c0", "c1"])
@pytest.mark.parametrize(
    ("variant", "options"), [("default", {}), ("nopad", {"inside": True}), ("free", {"ratio": None})]
)
def test_pictures_equal_mmaction2(name: str, variant: str, options: dict[str, Any]) -> None:
    z = np.load(FOLDER / "mm_compact.npz")
    rgb, xy = (
        torch.from_numpy(z[f"in/{name}/imgs"])[None],
        torch.from_numpy(z[f"in/{name}/keypoint"]).nan_to_num()[None],
    )
    whole = torch.tensor([0.0, 0.0, rgb.shape[3], rgb.shape[2]])
    box = pose_box(xy, xy != 0, whole, threshold=10, snap=True, **options)
    expected = {
        key: z[f"out/{name}/{variant}/{key}"] for key in ("img_shape", "keypoint", "imgs_sub4", "imgs_row_sums")
    }
    assert shape(box) == tuple(expected["img_shape"])
    moved = torch.where(xy != 0, into_box(xy, box, shape(box)), xy)[0]
    torch.testing.assert_close(moved, torch.from_numpy(expected["keypoint"]), atol=1e-4, rtol=0)
    pictures = cut(rgb, box, shape(box))[0].permute(1, 2, 3, 0)  # (T, height, width, 3)
    assert (pictures - pictures.round()).abs().max() < 0.01  # whole pixels: nothing is interpolated
    np.testing.assert_array_equal(pictures.round().to(torch.uint8)[:, ::4, ::4].numpy(), expected["imgs_sub4"])
    np.testing.assert_array_equal(pictures.round().sum((2, 3)).numpy(), expected["imgs_row_sums"])


def test_pixels_and_body_coordinates_have_the_same_heatmaps() -> None:
    """The crop undoes any shift and scale, so normalising to the body loses nothing but its own unit."""
    skeleton = SKELETONS["imigue22"]
    draw = np.random.default_rng(0)
    score = draw.uniform(0.3, 1, (3, 1, 6, 22)).astype(np.float32)
    score[0, :, 2:4, 5] = 0
    pixels = (draw.uniform(100, 600, (3, 1, 6, 22, 2)) * (score > 0)[..., None]).astype(np.float32)
    body = body_normalise(pixels, score, skeleton).xy
    assert np.abs(body).max() < 50
    maps = []
    for xy in (torch.from_numpy(pixels), torch.from_numpy(body)):
        seen = torch.from_numpy(score)
        box = pose_box(xy, seen > 0, xy.new_tensor((0.0, 0.0, 1.0, 1.0)))
        maps.append(joint_heatmaps(into_box(xy, box, (56, 56)), seen, (56, 56)))
    # a joint on the border of a cell may fall to either side: few cells, and low ones (exp(-4.5) = 0.011)
    gap = (maps[0] - maps[1]).abs()
    assert gap.max() < 0.012
    assert (gap > 1e-4).float().mean() < 1e-5


def test_a_moved_pose_fills_the_same_crop() -> None:
    xy = torch.rand(2, 1, 5, 9, 2) * 90 + 20
    seen = torch.rand(2, 1, 5, 9) > 0.2
    whole = torch.tensor([0.0, 0.0, 640.0, 480.0])
    place = [into_box(moved, pose_box(moved, seen, whole), (56, 56)) for moved in (xy, xy * 2 + 300)]
    torch.testing.assert_close(place[0][seen], place[1][seen], atol=1e-3, rtol=0)
    assert place[0][seen].min() >= 0
    assert place[0][seen].max() <= 56


@pytest.mark.parametrize("seen", [[0, 0, 0], [1, 0, 0], [1, 1, 0]])
def test_poses_too_small_to_crop_to(seen: list[int]) -> None:
    """Nothing seen, one point, two points above each other."""
    xy = torch.tensor([[1.0, 1.0], [1.0, 9.0], [7.0, 7.0]])[None]
    whole = torch.tensor([0.0, 0.0, 64.0, 48.0])
    assert pose_box(xy, torch.tensor([seen]) > 0, whole)[0].tolist() == whole.tolist()


def test_random_parts_lie_in_the_box() -> None:
    box = torch.tensor([[10.0, -20.0, 40.0, 40.0]]).expand(2000, 4)
    part = random_part(box, 0.56, generator=torch.Generator().manual_seed(0))
    left, top, width, height = part.unbind(-1)
    assert (left >= 10 - 1e-4).all()
    assert (top >= -20 - 1e-4).all()
    assert (left + width <= 50 + 1e-4).all()
    assert (top + height <= 20 + 1e-4).all()
    share, aspect = width * height / 1600, width / height
    assert (share >= 0.56 - 1e-4).all()
    assert ((aspect >= 3 / 4 - 1e-4) & (aspect <= 4 / 3 + 1e-4)).all()
    assert share.std() > 0.1
    assert aspect.std() > 0.1


def test_a_part_that_cannot_fit_is_the_central_square() -> None:
    box = torch.tensor([[0.0, 0.0, 100.0, 10.0]])
    assert random_part(box, 0.99)[0].tolist() == [45.0, 0.0, 10.0, 10.0]


def test_pictures_are_resized_between_pixel_centres() -> None:
    """A ramp stays a ramp: halving the width takes the mean of each pair of pixels."""
    ramp = torch.arange(8, dtype=torch.uint8).expand(1, 2, 4, 8)[..., None].expand(-1, -1, -1, -1, 3)
    small = cut(ramp, torch.tensor([[0.0, 0.0, 8.0, 4.0]]), (2, 4))
    assert small.shape == (1, 3, 2, 2, 4)
    torch.testing.assert_close(small[0, 0, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))
