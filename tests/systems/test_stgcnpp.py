from __future__ import annotations

import pytest

from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE
from microgesture.systems.stgcnpp import STGCNpp
from microgesture.testing import check_system


def test_contract() -> None:
    check_system(
        STGCNpp,
        width=8,
        growth=(1, 2, 2),
        strides=(1, 2, 1),
        known_failures={"empty_person": "the official head takes the mean over all persons, empty ones too"},
    )


@pytest.mark.parametrize(
    ("layout", "persons", "parameters"),
    [("coco17", 2, 1_377_596), ("kinect25", 2, 1_387_724), ("imigue22", 1, 1_383_476)],
)
def test_parameters_as_published(layout: str, persons: int, parameters: int) -> None:
    """Measured on PYSKL with 100 frames, without the classifier."""
    model = STGCNpp(SKELETONS[layout], IMIGUE, 100, persons)
    assert sum(p.numel() for p in model.trunk.parameters()) == parameters
