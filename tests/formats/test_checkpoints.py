from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.formats import hostile_pickles

from microgesture.core.errors import FormatError, MicrogestureError, NoInput
from microgesture.formats.checkpoints import read_state

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "n": torch.tensor(7)}


def write(path: Path) -> Path:
    match path.name:
        case "a.safetensors":
            save_file(STATE, path)
        case "zip.pth":
            torch.save(STATE, path)
        case "old.pth":
            torch.save(STATE, path, _use_new_zipfile_serialization=False)
        case "nested.pth":
            torch.save({"epoch": 3, "state_dict": STATE}, path)
        case "arrays.pkl":
            path.write_bytes(pickle.dumps({name: value.numpy() for name, value in STATE.items()}))
    return path


@pytest.mark.parametrize("name", ["a.safetensors", "zip.pth", "old.pth", "nested.pth", "arrays.pkl"])
def test_tensors_by_name(name: str, tmp_path: Path) -> None:
    state = read_state(write(tmp_path / name))
    assert state.keys() == STATE.keys()
    for key, value in STATE.items():
        assert torch.equal(state[key], value)


def test_arrays_of_the_other_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"w": np.arange(3, dtype=">f4")}))
    assert read_state(path)["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["a.safetensors", "arrays.pkl"])
def test_damaged_files_are_refused_or_read(name: str, tmp_path: Path) -> None:
    data = write(tmp_path / name).read_bytes()
    make = np.random.default_rng(0)
    refused = 0
    for i in range(120):
        broken = bytearray(data)
        for place in make.integers(0, len(data), 1 + i % 3):
            broken[place] = make.integers(0, 256)
        (tmp_path / name).write_bytes(broken if i % 2 else broken[: make.integers(1, len(data))])
        try:
            read_state(tmp_path / name)
        except MicrogestureError:
            refused += 1
    assert refused > 50


def test_what_is_no_state(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save([torch.zeros(1)], path)
    with pytest.raises(
        FormatError, match=r"a\.pth: holds a list; expected tensors by name, as safetensors and torch\.save"
    ):
        read_state(path)
    torch.save({"w": torch.zeros(1), "epoch": 3}, path)
    with pytest.raises(FormatError, match=r"a\.pth, entry 'epoch': holds a int; expected tensors by name"):
        read_state(path)
    with pytest.raises(NoInput, match="does not exist"):
        read_state(tmp_path / "b.pth")
    (tmp_path / "c.safetensors").write_bytes(b"12345678")
    with pytest.raises(
        FormatError, match=r"c\.safetensors: cannot be read \(.*\); expected safetensors\. Copy the file again"
    ):
        read_state(tmp_path / "c.safetensors")


def test_no_hostile_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hostile.pth"
    for name in ("global posix system", *list(hostile_pickles.corpus())[:10]):
        data = hostile_pickles.corpus()[name]
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/version", "3\n")
        with pytest.raises(FormatError):
            read_state(path)


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(32 << 20))
    with pytest.raises(FormatError, match="would inflate"):
        read_state(path)
