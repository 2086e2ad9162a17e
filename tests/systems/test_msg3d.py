from __future__ import annotations

import pytest
import torch

from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.systems.catalogue import SYSTEMS
from microgesture.systems.msg3d import MSG3D, windows
from microgesture.testing import check_system


def test_contract() -> None:
    check_system(
        MSG3D,
        width=12,
        growth=(1, 2),
        strides=(1, 2),
        gcn_scales=4,
        g3d_scales=3,
        known_failures={"empty_person": "the official network is built for a fixed number of persons"},
    )


@pytest.mark.parametrize(
    ("layout", "persons", "parameters"),
    [("coco17", 2, 2_952_663), ("kinect25", 2, 3_171_495), ("imigue22", 1, 3_079_536)],
)
def test_parameters_as_published(layout: str, persons: int, parameters: int) -> None:
    """Measured on PYSKL with 100 frames, without the classifier."""
    model = MSG3D(SKELETONS[layout], IMIGUE, 100, persons)
    assert sum(p.numel() for p in model.trunk.parameters()) == parameters
    assert parameters in dict(SYSTEMS["msg3d"].parameters).values()


def test_widths_of_the_stages() -> None:
    """96, 192 and 384 channels at one, a half and a quarter of the frames."""
    model = MSG3D(SKELETONS["coco17"], IMIGUE, 20, 1).eval()
    x, shapes = torch.randn(1, 3, 20, 17).contiguous(memory_format=torch.channels_last), []
    for stage in model.trunk.blocks:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
        assert x.is_contiguous(memory_format=torch.channels_last)
    assert shapes == [(96, 20, 17), (192, 10, 17), (384, 5, 17)]


@pytest.mark.parametrize(("window", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_windows_hold_the_frames_around_them(window: int, stride: int) -> None:
    x = torch.arange(1.0, 8.0).view(1, 1, 7, 1).expand(2, 3, 7, 4)
    y = windows(x, window, stride).view(2, 3, -1, window, 4)
    assert y.shape[2] == -(-7 // stride)
    for i, frames in enumerate(y[0, 0, :, :, 0].tolist()):
        around = range(i * stride - window // 2, i * stride + window // 2 + 1)
        assert frames == [t + 1 if 0 <= t < 7 else 0 for t in around]
    assert (y == y[:1, :1, :, :, :1]).all()


def test_a_joint_hears_the_whole_body_at_once() -> None:
    """With 13 scales the first stage reaches every joint of COCO, where one hop would not."""
    torch.manual_seed(0)
    heard = []
    for scales in (2, 13):
        model = MSG3D(SKELETONS["coco17"], IMIGUE, 8, 1, width=12, gcn_scales=scales, g3d_scales=2).eval()
        unit = model.trunk.blocks[0].factorised[0]
        with torch.no_grad():
            unit.residual.zero_()
        x = torch.rand(1, 3, 1, 17, requires_grad=True)
        unit(x)[..., 10].sum().backward()
        assert x.grad is not None
        heard.append(int((x.grad != 0).any(1).sum()))
    assert heard == [2, 17]


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="window_sizes are odd numbers of frames, 4 is not"):
        MSG3D(SKELETONS["coco17"], IMIGUE, 8, 1, window_sizes=(3, 4))
    with pytest.raises(UsageError, match="width 5 is too small: six branches share it"):
        MSG3D(SKELETONS["coco17"], IMIGUE, 8, 1, width=5)
