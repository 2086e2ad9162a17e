from __future__ import annotations

import pytest

from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.systems.ctrgcn import CTRGCN
from microgesture.testing import check_system


def test_contract() -> None:
    check_system(
        CTRGCN,
        width=8,
        growth=(1, 2, 2),
        strides=(1, 2, 1),
        known_failures={"empty_person": "the official network is built for a fixed number of persons"},
    )


@pytest.mark.parametrize(
    ("layout", "persons", "parameters"),
    [("coco17", 2, 1_421_076), ("kinect25", 2, 1_431_252), ("imigue22", 1, 1_426_854)],
)
def test_parameters_as_published(layout: str, persons: int, parameters: int) -> None:
    """Measured on PYSKL with 100 frames, without the classifier."""
    model = CTRGCN(SKELETONS[layout], IMIGUE, 100, persons)
    assert sum(p.numel() for p in model.trunk.parameters()) == parameters
