from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import CheckFailed
from microgesture.datasets.prepare import prepare, source_of
from microgesture.datasets.sfinge3d import FILES, JOINTS, NAMES, SFINGE3D, SKELETON, TAXONOMY
from microgesture.datasets.store import open_store

DATA = Path(os.environ.get("MICROGESTURE_DATA", "../shared/data"))
BONES = np.array(SKELETON.bones, np.int16)


def archives(root: Path, **changes: Any) -> Path:
    """Thirteen clips, one of each class, and two sequences with three gestures."""
    root.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    about: dict[str, Any] = {
        "class_names": np.array(NAMES), "joint_names": np.array(JOINTS), "bones": BONES, "fps": np.float32(20),
    }  # fmt: skip
    isolated = {
        "keypoints": rng.normal(size=(130, 20, 3)).astype(np.float32),
        "offsets": np.arange(14) * 10,
        "labels": np.arange(13, dtype=np.int16),
        "sample_id": np.array([f"{i}/1" for i in range(13)]),
    }
    continuous = {
        "keypoints": rng.normal(size=(90, 20, 3)).astype(np.float32),
        "offsets": np.array([0, 40, 90]),
        "events": np.array([[0, 5, 15, 7], [0, 20, 30, 0], [1, 0, 50, 12]], np.int32),
        "sample_id": np.array(["1", "2"]),
    }
    np.savez(root / FILES["train"], **{**about, **isolated, **changes})
    np.savez(root / FILES["test"], **{**about, **continuous})
    return root


def test_single_clips_train_and_segments_of_sequences_test(tmp_path: Path) -> None:
    report = prepare(source_of("sfinge3d"), archives(tmp_path / "data"), tmp_path / "store", workers=1)
    assert {s: (r["recordings"], r["clips"]) for s, r in report.rows.items()} == {"train": (13, 13), "test": (2, 3)}
    data = SFINGE3D(str(tmp_path / "store"))
    train, test = data.clips("train"), data.clips("test")
    assert train.label.tolist() == list(range(13))
    assert test.label.tolist() == [7, 0, 12]
    assert test.start.tolist() == [5, 20, 0]
    assert test.length.tolist() == [10, 10, 50]
    raw = np.load(tmp_path / "data" / FILES["test"])["keypoints"]
    np.testing.assert_array_equal(test[1][0][0], raw[20:30])
    # the whole sequence and its timeline are there for spotting
    store = open_store(tmp_path / "store")
    assert [(s.start, s.end, s.label) for s in store.timeline(13)] == [(0.25, 0.75, 7), (1.0, 1.5, 0)]
    assert len(store.track(13)) == 40


def test_facts() -> None:
    assert len(SKELETON) == 20
    assert SKELETON.parents[SKELETON.index("index_end")] == SKELETON.index("index_c")
    assert [TAXONOMY.find(n).group for n in ("ok", "tap", "swipe_o")] == ["static", "fine", "coarse"]
    assert SFINGE3D.splits == ("train", "test")


def test_what_is_missing_or_of_another_set_is_told(tmp_path: Path) -> None:
    root = archives(tmp_path / "data", joint_names=np.array([f"j{i}" for i in range(20)]))
    report = prepare(source_of("sfinge3d"), root, tmp_path / "store", workers=1)
    assert "has 20 joints and 13 classes of other names" in report.summary("refused")[0]
    (root / FILES["train"]).unlink()
    report = prepare(source_of("sfinge3d"), root, tmp_path / "store", workers=1, fresh=True)
    assert report.summary("missing") == [f"missing: no archive (1): {FILES['train']}"]
    (root / FILES["test"]).unlink()
    with pytest.raises(CheckFailed, match=r"this is not SFINGE 3D. Looked for sfinge3d_v1_isolated.npz and"):
        prepare(source_of("sfinge3d"), root, tmp_path / "store")


@pytest.mark.skipif(not (DATA / "skeleton" / FILES["train"]).is_file(), reason=f"no SFINGE 3D in {DATA}")
def test_the_real_files(tmp_path: Path) -> None:
    report = prepare(source_of("sfinge3d"), DATA / "skeleton", tmp_path / "store", workers=1, strict=True)
    assert report.classes["train"][0] == [36] * 13
    assert sum(report.classes["test"][0]) == 137
