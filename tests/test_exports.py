"""The names offered to visitors."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import microgesture

NAMES = [
    "FormatError",
    "MicrogestureError",
    "PoseTrack",
    "Recogniser",
    "Segment",
    "Signal",
    "Skeleton",
    "Spotter",
    "Stream",
    "Taxonomy",
    "Timeline",
    "__version__",
    "analyze",
    "simulate_clips",
    "simulate_recording",
    "skeleton",
    "taxonomy",
]


def test_the_list_is_what_we_mean_to_offer() -> None:
    assert microgesture.__all__ == NAMES
    assert dir(microgesture) == NAMES


@pytest.mark.parametrize("name", [n for n in NAMES if n != "__version__"])
def test_each_name_leads_to_the_module_that_defines_it(name: str) -> None:
    thing = getattr(microgesture, name)
    assert thing.__name__ == name
    assert thing.__module__.startswith("microgesture.")
    assert thing.__doc__


def test_type_checkers_see_the_same_names() -> None:
    source = Path(microgesture.__file__).read_text()
    typed = [line.split(" as ")[-1] for line in source.splitlines() if line.startswith("    from microgesture.")]
    assert sorted(typed) == [n for n in NAMES if n != "__version__"]


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'microgesture' has no attribute 'segment'"):
        microgesture.segment  # noqa: B018


def test_version_is_that_of_the_package() -> None:
    assert microgesture.__version__ == version("microgesture")


def test_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "microgesture", "version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{microgesture.__version__}\n"
