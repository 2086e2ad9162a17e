"""The first version of SMG: the same files under its own key, and states as its task."""

from __future__ import annotations

from pathlib import Path

import pytest

from microgesture.core.errors import FormatError, UsageError
from microgesture.datasets import smg
from microgesture.datasets.catalogue import DATASETS
from microgesture.datasets.prepare import prepare, source_of
from microgesture.datasets.spontaneous2019 import Source, Spontaneous2019
from microgesture.datasets.store import open_store
from microgesture.simulation.lookalikes.write import Size, write_lookalike


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fg")
    size = Size(recordings=5, minutes=1, films=False)
    prepare(Source(), write_lookalike("spontaneous2019", folder / "data", size, seed=2), folder / "store", workers=1)
    return folder


def test_it_has_a_key_of_its_own_and_the_facts_of_smg() -> None:
    source = source_of("spontaneous2019", {"emotion": "hidden"})
    assert isinstance(source, Source)
    assert (source.key, source.emotion) == ("spontaneous2019", "hidden")
    assert source.expected == smg.Source.expected
    assert (DATASETS["spontaneous2019"].year, DATASETS["smg"].year) == (2019, 2023)
    with pytest.raises(UsageError, match="spontaneous2019: emotion is 'joy'"):
        source_of("spontaneous2019", {"emotion": "joy"})


def test_its_clips_are_those_of_smg_and_its_states_are_there(root: Path, tmp_path: Path) -> None:
    prepare(smg.Source(), root / "data", tmp_path / "smg", workers=1)
    mine, theirs = open_store(root / "store"), open_store(tmp_path / "smg")
    for name in ("clips", "recordings", "states"):
        assert getattr(mine, name).equals(getattr(theirs, name))
    states = mine.states.to_pylist()
    assert {s["label"] for s in states} == {0, 1}
    assert {s["split"] for s in states} == {"train", "test"}
    assert sum(s["frames"] for s in states) == sum(mine.column("recordings.arrow", "frames").tolist())
    data = Spontaneous2019(str(root / "store"))
    assert data.simulated
    assert len(data.clips("train")) == len(smg.SMG(str(tmp_path / "smg"), protocol="paper").clips("train"))


def test_a_store_of_smg_is_not_its_store(root: Path, tmp_path: Path) -> None:
    prepare(smg.Source(), root / "data", tmp_path, workers=1)
    with pytest.raises(FormatError, match="holds 'smg' with 1 persons and 3 coordinates; expected 'spontaneous2019'"):
        Spontaneous2019(str(tmp_path)).clips("train")
