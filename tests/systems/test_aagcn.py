from __future__ import annotations

import pytest
import torch

from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.systems.aagcn import AAGCN, Attention
from microgesture.systems.catalogue import SYSTEMS
from microgesture.testing import check_system


def test_contract() -> None:
    check_system(
        AAGCN,
        width=8,
        growth=(1, 2, 2),
        strides=(1, 2, 1),
        known_failures={"empty_person": "the official network is built for a fixed number of persons"},
    )


@pytest.mark.parametrize(
    ("layout", "persons", "parameters"),
    [("coco17", 2, 3_744_808), ("kinect25", 2, 3_766_248), ("imigue22", 1, 3_756_218)],
)
def test_parameters_as_published(layout: str, persons: int, parameters: int) -> None:
    """Measured on PYSKL with 100 frames, without the classifier."""
    model = AAGCN(SKELETONS[layout], IMIGUE, 100, persons)
    assert sum(p.numel() for p in model.trunk.parameters()) == parameters
    assert parameters in dict(SYSTEMS["aagcn"].parameters).values()


@pytest.mark.parametrize("joints", [17, 22, 1])
def test_attention_raises_by_a_factor_of_one_to_eight(joints: int) -> None:
    """Three attentions after each other, each between once and twice; the shape stays for an even number of joints."""
    attention, x = Attention(6, joints), torch.rand(2, 6, 5, joints) + 0.1
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    factor = attention(x) / x
    assert factor.shape == x.shape
    assert 1 <= factor.min() < factor.max() <= 8


def test_attention_starts_alike_for_frames_and_channels() -> None:
    attention, x = Attention(6, 17), torch.rand(2, 6, 5, 17) + 0.1
    joints = attention(x) / x / 1.5**2
    torch.testing.assert_close(joints, joints[:, :1, :1].expand_as(joints))
