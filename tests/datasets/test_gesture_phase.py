from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import CheckFailed
from microgesture.datasets.gesture_phase import FILE, PHASES, RECORDED, SKELETON, GesturePhase
from microgesture.datasets.prepare import prepare, source_of
from microgesture.datasets.store import open_store

DATA = Path(os.environ.get("MICROGESTURE_DATA", "../shared/data"))
JOINTS = ("left_hand", "right_hand", "head", "spine", "left_wrist", "right_wrist")


def archive(root: Path, **changes: Any) -> Path:
    """Five recordings of 20 frames: rest, preparation, stroke, rest."""
    root.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {
        "keypoints": np.random.default_rng(0).normal(size=(100, 6, 3)).astype(np.float32),
        "offsets": np.arange(6) * 20,
        "frame_labels": np.tile(np.repeat([0, 1, 2, 0], 5), 5).astype(np.int8),
        "events": np.array([[0, 5, 10, 1]], np.int32),
        "gesture_units": np.array([[i, 5, 15, 0] for i in range(5)], np.int32),
        "subject": np.array([1, 1, 1, 2, 2]),
        "sample_id": np.array(RECORDED),
        "class_names": np.array(PHASES),
        "joint_names": np.array(JOINTS),
        "bones": np.array([[2, 3], [0, 4], [1, 5], [4, 3], [5, 3]]),
        "fps": np.float32(30),
    }
    np.savez(root / FILE, **(arrays | changes))
    return root


def test_one_recording_is_left_out(tmp_path: Path) -> None:
    report = prepare(source_of("gesture_phase"), archive(tmp_path / "data"), tmp_path / "store", workers=1)
    assert "a recording in other units" in report.summary()[0]
    for left_out, person in (("b3", 2), ("a2", 1)):
        data = GesturePhase(str(tmp_path / "store"), test_recording=left_out)  # type: ignore[arg-type]
        train, test = data.clips("train"), data.clips("test")
        assert (len(train), len(test)) == (16, 4), "segments of equal phase, rest included"
        assert test.label.tolist() == [0, 1, 2, 0]
        assert test.length.tolist() == [5] * 4
        assert set(test.subject.tolist()) == {person}
        assert not set(test.names) & set(train.names)


def test_units_of_gesture_are_states_of_the_store(tmp_path: Path) -> None:
    prepare(source_of("gesture_phase"), archive(tmp_path / "data"), tmp_path / "store", workers=1)
    store = open_store(tmp_path / "store")
    assert store.states_of == ("gesture unit",)
    assert [(s["recording"], s["start"], s["frames"]) for s in store.states.to_pylist()] == [
        (i, 5, 10) for i in range(5)
    ]


def test_units_of_length_do_not_matter(tmp_path: Path) -> None:
    """b3 is in other units: what a system sees of a clip is the same in any."""
    from microgesture.core.normalise import body_normalise

    points = np.random.default_rng(1).normal(size=(1, 9, 6, 3))
    a, b = (body_normalise(points * unit, np.ones((1, 9, 6)), SKELETON).xy for unit in (1, 37.5))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_bad_input_is_told(tmp_path: Path) -> None:
    root = archive(tmp_path / "data", gesture_units=np.zeros((2, 2), int))
    report = prepare(source_of("gesture_phase"), root, tmp_path / "store", workers=1)
    assert "has shape (2, 2); expected rows of recording, start, end" in report.summary("refused")[0]
    archive(root, joint_names=np.array(["a", "b", "c", "d", "e", "f"]))
    report = prepare(source_of("gesture_phase"), root, tmp_path / "store", workers=1, fresh=True)
    assert "has the joints a, b, c, d, e, f and 5 classes" in report.summary("refused")[0]
    (root / FILE).unlink()
    with pytest.raises(
        CheckFailed, match=r"this is not Gesture Phase Segmentation. Looked for gesture_phase_continuous"
    ):
        prepare(source_of("gesture_phase"), root, tmp_path / "store")


@pytest.mark.skipif(not (DATA / "skeleton" / FILE).is_file(), reason=f"no gesture phases in {DATA}")
def test_the_real_file(tmp_path: Path) -> None:
    report = prepare(source_of("gesture_phase"), DATA / "skeleton", tmp_path / "store", workers=1)
    assert report.rows["train"]["recordings"] == 5
    assert not report.refused
    assert not report.explained
    store = open_store(tmp_path / "store")
    assert store.states.num_rows == 40
    assert store.clips.num_rows == 283
    assert int(store.column("recordings.arrow", "frames").sum()) == 7342
