from __future__ import annotations

import pytest

from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.systems.stgcn import STGCN
from microgesture.testing import check_system


def test_contract() -> None:
    check_system(
        STGCN,
        width=8,
        growth=(1, 2, 2),
        strides=(1, 2, 1),
        known_failures={"empty_person": "the official head takes the mean over all persons, empty ones too"},
    )


@pytest.mark.parametrize(
    ("layout", "persons", "parameters"),
    [("coco17", 2, 3_073_284), ("kinect25", 2, 3_083_412), ("imigue22", 1, 3_079_164)],
)
def test_parameters_as_published(layout: str, persons: int, parameters: int) -> None:
    """Measured on PYSKL with 100 frames, without the classifier."""
    model = STGCN(SKELETONS[layout], IMIGUE, 100, persons)
    assert sum(p.numel() for p in model.trunk.parameters()) == parameters
