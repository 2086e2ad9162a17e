from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.datasets.utd_mhad import UTD_MHAD, UTDMHAD

DATA = Path(os.environ.get("MICROGESTURE_DATA", "../shared/data"))


def store(path: Path, **changes: np.ndarray) -> Path:
    """A store of two clips per person and the same person twice as tall as wide."""
    arrays: dict[str, np.ndarray] = {
        "keypoints": np.random.default_rng(0).normal(size=(48, 20, 3)).astype(np.float32),
        "offsets": np.arange(17) * 3,
        "labels": np.arange(16, dtype=np.int16),
        "subject": np.repeat(np.arange(1, 9), 2).astype(np.int16),
    }
    np.savez_compressed(path, **{k: v for k, v in (arrays | changes).items() if len(v)})
    return path


def test_the_subject_split_and_the_axes(tmp_path: Path) -> None:
    path = store(tmp_path / "utd.npz")
    data = UTDMHAD(str(path), val_subjects=[7])
    people = {split: set(data.clips(split).subject.tolist()) for split in data.splits}
    assert people == {"train": {1, 3, 5}, "val": {7}, "test": {2, 4, 6, 8}}
    raw = np.load(path)["keypoints"][:3]
    np.testing.assert_array_equal(data.clips("train")[0][0][0], raw * np.float32([-1, -1, 1]))
    assert UTDMHAD().splits == ("train", "test")
    assert len(UTD_MHAD) == 27


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"keypoints": np.zeros((48, 25, 3), np.float32)},
            r"keypoints have shape \(48, 25, 3\); expected \(T, 20, 3\)",
        ),
        ({"keypoints": np.full((48, 20, 3), np.nan)}, "clip 0: coordinates or scores are not finite"),
        ({"labels": np.arange(16) + 20}, r"labels lie in 20..35; expected 0..26"),
        ({"labels": np.array(["a"] * 16)}, "array 'labels': holds <U1; expected integers"),
        ({"labels": np.array([{}] * 16)}, "not a sound archive"),
        ({"subject": np.full(16, 3)}, "holds no clips"),
        ({"offsets": np.arange(17)}, "clip borders are not rising"),
        ({"offsets": np.zeros(0)}, "array 'offsets': holds nothing; expected integers"),
    ],
)
def test_a_damaged_store_is_a_format_error(tmp_path: Path, changes: dict[str, np.ndarray], words: str) -> None:
    path = store(tmp_path / "utd.npz", **changes)
    with pytest.raises(FormatError, match=words):
        UTDMHAD(str(path)).clips("test")


def test_missing_data_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoInput, match=r"utd_mhad.npz: UTD-MHAD is not there. Set MICROGESTURE_DATA or --data.root"):
        UTDMHAD(str(tmp_path)).clips("train")
    monkeypatch.delenv("MICROGESTURE_DATA", raising=False)
    with pytest.raises(NoInput, match="where are the data"):
        UTDMHAD().clips("train")
    monkeypatch.setenv("MICROGESTURE_DATA", str(tmp_path))
    assert UTDMHAD().path == tmp_path / "skeleton" / "utd_mhad.npz"


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose up to three of 1, 3, 5, 7"):
        UTDMHAD(val_subjects=[2])
    with pytest.raises(UsageError, match="no split 'val'; choose train, test"):
        UTDMHAD(str(store(tmp_path / "utd.npz"))).clips("val")


def test_a_bomb_is_refused_before_it_inflates(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, keypoints=np.zeros(1 << 27, np.uint8))
    with pytest.raises(FormatError, match="would inflate"):
        UTDMHAD(str(path)).clips("train")


def test_mutated_stores_never_raise_anything_else(tmp_path: Path) -> None:
    rng, path = random.Random(2), tmp_path / "utd.npz"
    good = store(path).read_bytes()
    refused = 0
    for _ in range(2000):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(bad))
            if rng.random() < 0.7:
                bad[place] = rng.randrange(256)
            else:
                del bad[place : place + rng.randint(1, 40)]
        path.write_bytes(bytes(bad))
        try:
            UTDMHAD(str(path)).clips("train")
        except FormatError:
            refused += 1
    assert refused > 1000


@pytest.mark.skipif(not (DATA / "skeleton" / "utd_mhad.npz").is_file(), reason=f"no UTD-MHAD in {DATA}")
def test_the_real_file() -> None:
    data = UTDMHAD(str(DATA))
    train, test = data.clips("train"), data.clips("test")
    assert (len(train), len(test)) == (431, 430)
    # y grows downwards, the person's right is on the picture's left
    xy = np.concatenate([xy.mean((0, 1)) for xy, _ in test]).reshape(-1, 20, 3).mean(0)
    s = data.skeleton
    assert xy[s.index("head"), 1] < xy[s.index("l_foot"), 1]
    assert xy[s.index("r_shoulder"), 0] < xy[s.index("l_shoulder"), 0]
