"""SMG: facts of the lists, quirks of the files, and what is refused. Each quirk fails without its handling."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import CheckFailed, UsageError
from microgesture.core.taxonomies import SMG as TAXONOMY
from microgesture.core.taxonomies import SMG_TEST_COUNTS
from microgesture.datasets import smg
from microgesture.datasets.prepare import Report, prepare, source_of
from microgesture.datasets.smg import SMG, Source, split_of
from microgesture.datasets.store import open_store
from microgesture.simulation.lookalikes.write import Size, write_lookalike

WELL = "experimentWell_skeleton"


@pytest.fixture(scope="module")
def distributed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lookalike("smg", tmp_path_factory.mktemp("smg"), Size(recordings=4, minutes=0.15, films=False), seed=3)
    for subject in (1, 2, 31, 36):
        table(root, f"Sample{subject:04}", "finelabels").write_text("9,10,71\n1,80,90\n17,100,120\n")
    return root


@pytest.fixture
def copy(distributed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(distributed, tmp_path / "数据 data")  # names in any script


def table(root: Path, sample: str, part: str) -> Path:
    return root / WELL / sample / f"{sample}_{part}.csv"


def run(root: Path, source: Any = None) -> Report:
    return prepare(source or Source(), root, root.parent / "store", fresh=True, workers=1)


def rows(root: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = getattr(open_store(root.parent / "store"), name).to_pylist()
    return found


def test_official_facts() -> None:
    assert sum(smg.TEST_CLIPS.values()) == sum(SMG_TEST_COUNTS) == Source.expected["test"]["clips"] == 610
    assert list(smg.TEST_CLIPS) == list(smg.TEST_SUBJECTS)
    assert tuple(smg.TEST_CLIPS.values()) == (155, 164, 57, 121, 113)
    assert round(100 * max(SMG_TEST_COUNTS) / 610, 1) == 39.8  # always naming class 8
    assert SMG_TEST_COUNTS[14] == SMG_TEST_COUNTS[15] == 0
    assert round(100 * 253 / 610, 2) == 41.48  # the baseline is 10 clips better
    assert sum(row["clips"] for row in Source.expected.values()) == 3_692
    assert Source.expected["train"]["clips"] + Source.expected["val"]["clips"] == 3_082
    assert sum(Source.expected_classes["train"]) == Source.expected["train"]["clips"] == 2_452
    splits = [split_of(s) for s in range(1, 41)]
    assert [splits.count(s) for s in ("train", "val", "test")] == [30, 5, 5]
    assert [row["recordings"] for row in Source.expected.values()] == [30, 5, 5]


def test_a_whole_store(distributed: Path, tmp_path: Path) -> None:
    report = prepare(Source(), distributed, tmp_path, workers=1)
    assert report.simulated
    assert report.refused == 0
    assert {s: (row["recordings"], row["clips"]) for s, row in report.rows.items()} == {
        "train": (2, 6), "val": (1, 3), "test": (1, 3),
    }  # fmt: skip
    assert "missing: no table for samples of the official list (3): 28 of 30: Sample0003" in report.summary()[0]
    data = SMG(str(tmp_path))
    clips = data.clips("train")
    assert clips.names[:2] == ["Sample0001_10_71", "Sample0001_80_90"]  # as their films are named
    assert clips.label.tolist()[:3] == [8, 0, 16]  # labels count from 1
    assert clips.subject.tolist() == [1, 1, 1, 2, 2, 2]
    xyz, score = clips[0]
    assert xyz.shape == (1, 61, 25, 3)
    assert score.shape == (1, 61, 25)
    assert (data.coordinates, data.persons, len(data.skeleton)) == (3, 1, 25)


def test_ends_are_exclusive_and_the_baseline_keeps_the_last_sixty(distributed: Path, tmp_path: Path) -> None:
    prepare(Source(), distributed, tmp_path, workers=1)
    whole, last = SMG(str(tmp_path)).clips("test"), SMG(str(tmp_path), longest=60).clips("test")
    assert whole.length.tolist() == [61, 10, 20]  # frames 10..70, not 71
    assert last.length.tolist() == [60, 10, 20]
    assert last.start.tolist() == [11, 80, 100]
    np.testing.assert_array_equal(last[0][0], whole[0][0][:, 1:])


def test_axes_are_those_of_a_picture(distributed: Path, tmp_path: Path) -> None:
    """The person looks at the sensor: head above hips, right shoulder left in the picture."""
    prepare(Source(), distributed, tmp_path, workers=1)
    track = open_store(tmp_path).track(0)
    x, y, z = np.moveaxis(track.xy[track.score.min(1) > 0].mean(0), -1, 0)
    at = track.skeleton.index
    assert y[at("head")] < y[at("neck")] < y[at("mid_hip")] < y[at("l_foot")]
    assert x[at("r_shoulder")] < x[at("l_shoulder")]
    assert 2 < z[at("neck")] < 4
    assert 0.2 < x[at("l_shoulder")] - x[at("r_shoulder")] < 0.5  # metres
    lost = track.score.max(1) == 0
    assert lost.sum() == 4  # frames of zeros


def test_the_rate_and_the_number_of_frames_are_stated_beside(distributed: Path, tmp_path: Path, copy: Path) -> None:
    report = prepare(Source(), distributed, tmp_path, workers=1)
    fps = {r["name"]: r["fps"] for r in open_store(tmp_path).recordings.to_pylist()}
    assert fps == {"Sample0001": 28.0, "Sample0002": 27.5, "Sample0031": 28.0, "Sample0036": 28.0}
    assert any(
        "another number of frames than stated (1)" in s and "252 rows, 253 stated" in s for s in report.summary()
    )
    table(copy, "Sample0001", "data").unlink()
    table(copy, "Sample0002", "data").write_text("252,0,4500\n")
    report = run(copy, Source(fps=30))
    assert [r["fps"] for r in rows(copy, "recordings")] == [30.0, 30.0, 28.0, 28.0]
    summary = "\n".join(report.summary())
    assert "quirk: nominal frame rate (1)" in summary
    assert "the frame rate cannot be read; 30 is assumed (1)" in summary
    assert "not the facts of a recording; expected frames, frames per second, greatest depth" in summary


def test_emotions_have_two_digits(copy: Path) -> None:
    table(copy, "Sample0001", "tflabels_new").write_text("1,0,50,1\n2,50,100,2\n3,100,150,11\n4,150,200,12\n")
    table(copy, "Sample0036", "tflabels_new").write_text("1,0,50,12\n")
    for emotion, labels in (("normal", [0, 1, 0, 1]), ("hidden", [0, 0, 1, 1])):
        run(copy, source_of("smg", {"emotion": emotion}))
        states = [s for s in rows(copy, "states") if s["name"].startswith("Sample0001")]
        assert [s["label"] for s in states] == labels
        assert [(s["start"], s["frames"]) for s in states] == [(0, 50), (50, 50), (100, 50), (150, 50)]
    split = {s["name"][:10]: s["split"] for s in rows(copy, "states")}
    assert split == {"Sample0001": "train", "Sample0002": "train", "Sample0031": "train", "Sample0036": "test"}
    assert open_store(copy.parent / "store").states_of == ("relaxed", "stressed")


def test_the_protocol_of_the_paper_trains_on_all_thirty_five(copy: Path) -> None:
    run(copy)
    store = str(copy.parent / "store")
    miga, paper = SMG(store), SMG(store, protocol="paper")
    assert set(miga.clips("train").subject) == {1, 2}
    assert set(miga.clips("val").subject) == {31}
    assert set(paper.clips("train").subject) == {1, 2, 31}
    assert set(paper.clips("test").subject) == set(miga.clips("test").subject) == {36}
    with pytest.raises(UsageError, match="smg has no split 'val'; choose train, test"):
        paper.clips("val")


def test_where_labels_begin_to_count(copy: Path) -> None:
    run(copy, Source(frame_offset=-1))
    assert rows(copy, "clips")[0]["start"] == 9
    assert rows(copy, "clips")[0]["frames"] == 61


@pytest.mark.parametrize(
    "part, text, topic, words",
    [
        ("finelabels", "18,1,5\n0,1,5\n", "a label is out of range (2)", "line 1: 18; expected 1..17"),
        (
            "finelabels",
            "3,9,9\n",
            "the segment ends before it starts (1)",
            "line 1: start 9, end 9, which is",
        ),
        ("finelabels", "3,10,999\n", "a segment lies outside its recording (1)", "frames 10 to 999 of 252"),
        ("finelabels", "3,a,9\n", "the row cannot be read (1)", "'3,a,9'; expected 3 whole numbers"),
        ("tflabels_new", "1,0,9,3\n2,0,9,21\n", "an emotion is out of range (2)", "3; expected 1, 2, 11 or 12"),
        ("tflabels_new", "1,9,3,12\n", "the segment ends before it starts (1)", "start 9, end 3"),
        ("skeleton", "1,2,3\n", "the file cannot be read (1)", "3 columns; expected 275 (25 joints x 11)"),
    ],
)
def test_rows_that_cannot_be_right(copy: Path, part: str, text: str, topic: str, words: str) -> None:
    table(copy, "Sample0001", part).write_text(text)
    report = run(copy)
    refused = report.summary("refused")
    assert len(refused) == 1
    assert topic in refused[0]
    assert words in refused[0]


def test_a_frame_that_cannot_be_read_costs_that_frame_alone(copy: Path) -> None:
    path = table(copy, "Sample0001", "skeleton")
    lines = path.read_text().splitlines()
    before = open_store(run(copy).store).track(0)
    lines[200] = lines[200].replace(",", ",NaN,", 1)
    path.write_text("\n".join(lines))
    report = run(copy)
    assert "a frame cannot be read; it has no points (1)" in report.summary("refused")[0]
    assert "line 201" in report.summary("refused")[0]
    after = open_store(report.store).track(0)
    assert len(after) == len(before)
    assert not after.score[200].any()
    np.testing.assert_array_equal(np.delete(after.xy, 200, 0), np.delete(before.xy, 200, 0))


def test_files_that_are_missing_or_there_twice(copy: Path) -> None:
    table(copy, "Sample0001", "finelabels").unlink()
    table(copy, "Sample0002", "tflabels_new").unlink()
    table(copy, "Sample0031", "skeleton").unlink()
    shutil.copytree(copy / WELL / "Sample0036", copy / "z" / "Sample0036")
    shutil.copytree(copy / WELL / "Sample0036", copy / "z" / "Sample0041")
    (copy / "z" / "Sample0041" / "Sample0036_skeleton.csv").rename(
        copy / "z" / "Sample0041" / "Sample0041_skeleton.csv"
    )
    report = run(copy)
    summary = "\n".join(report.summary())
    for topic in (
        "missing: no labels (1)",
        "missing: no emotions (1)",
        "missing: no table of points (1)",
        "quirk: a sample is there twice; the first is read (1)",
        "refused: a sample that is none of the 40 (1)",
    ):
        assert topic in summary
    assert [r["name"] for r in rows(copy, "recordings")] == ["Sample0001", "Sample0002", "Sample0036"]


def test_films_of_clips_and_recordings_are_noted(copy: Path) -> None:
    for name in ("Sample0036_10_71.mp4", "Sample0036_80_90.mp4", "Sample0001.mp4"):
        (copy / name).touch()
    report = run(copy)
    assert any("quirk: films of single clips (1): Sample0036_10_71.mp4: 2 of them" in s for s in report.summary())
    assert [r["video"] for r in rows(copy, "recordings")] == ["Sample0001.mp4", "", "", ""]
    assert "Sample0036_10_71" in SMG(str(copy.parent / "store")).clips("test").names


def test_line_ends_of_windows(copy: Path) -> None:
    run(copy)
    plain = rows(copy, "clips"), rows(copy, "states"), rows(copy, "recordings")
    for path in (copy / WELL).glob("*/*.csv"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert run(copy).refused == 0
    assert (rows(copy, "clips"), rows(copy, "states"), rows(copy, "recordings")) == plain


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """The baseline's arrays: zero padding, one missing joint, names that count within the file."""
    root = tmp_path / "SMGskeleton"
    root.mkdir()
    for split, samples in (("train", (1, 31)), ("test", (36, 40))):
        data = np.zeros((2, 3, 60, 25, 1), np.float32)
        data[0, :, :17] = np.reshape((0.1, 0.2, 2.0), (3, 1, 1, 1))
        data[1, :, :] = 1
        data[0, :, 3, 7] = 0
        np.save(root / f"{split}_data.npy", data)
        names = [f"Sample{sample:04}{k}" for k, sample in enumerate(samples)]
        (root / f"{split}_label.pkl").write_bytes(pickle.dumps((names, [0, 16])))
    return root


def test_the_baselines_arrays(arrays: Path, tmp_path: Path) -> None:
    report = run(arrays)
    assert {s: row["clips"] for s, row in report.rows.items()} == {"train": 1, "val": 1, "test": 2}
    assert "quirk: processed arrays (1): clips are cut to their last 60 frames" in report.summary()[0]
    clips = SMG(str(tmp_path / "store")).clips("test")
    assert clips.names == ["Sample00360", "Sample00401"]
    assert clips.label.tolist() == [0, TAXONOMY.illustrative]  # labels count from 0 here
    assert clips.length.tolist() == [17, 60]  # without the padding
    assert clips.subject.tolist() == [36, 40]
    xyz, score = clips[0]
    np.testing.assert_allclose(xyz[0, 0, 0], (-0.1, -0.2, 2.0))
    assert (score[0, 3, 7], score.sum()) == (0, 17 * 25 - 1)


@pytest.mark.parametrize(
    "content, words",
    [
        ((["Sample00360"], [0]), "has shape (2, 3, 60, 25, 1); expected (1, 3, 60, 25, 1)"),
        ((["clip 1", "clip 2"], [0, 1]), "not names and labels; expected a pair of lists"),
        ((["Sample00360", "Sample00361"], ["a", "b"]), "not names and labels; expected a pair of lists"),
        (["Sample00360"], "not names and labels; expected a pair of lists"),
    ],
)
def test_arrays_that_do_not_fit_their_labels(arrays: Path, content: object, words: str) -> None:
    (arrays / "test_label.pkl").write_bytes(pickle.dumps(content))
    assert words in run(arrays).summary("refused")[0]


def test_arrays_of_another_type(arrays: Path) -> None:
    np.save(arrays / "test_data.npy", np.zeros((2, 3, 60, 25, 1), np.int64))
    assert "test_data.npy: holds int64; expected real numbers" in run(arrays).summary("refused")[0]
    (arrays / "test_data.npy").write_bytes(b"\x93NUMPY and no more")
    assert "test_data.npy: not an array (" in run(arrays).summary("refused")[0]


def test_a_clip_of_zeros(arrays: Path) -> None:
    np.save(arrays / "test_data.npy", np.zeros((2, 3, 60, 25, 1), np.float32))
    assert "a clip without any point (2)" in run(arrays).summary("refused")[0]


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"this is not SMG\. Looked for Sample0001/Sample0001_skeleton\.csv and the"):
        prepare(Source(), tmp_path, tmp_path / "store", workers=1)


def test_options_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="smg: emotion is 'joy'; choose normal or hidden"):
        source_of("smg", {"emotion": "joy"})
    with pytest.raises(UsageError, match=r"smg: fps is 0; expected 0\.1 to 1000 frames per second"):
        source_of("smg", {"fps": "0"})


def test_the_lookalike_keeps_the_quirks(tmp_path: Path) -> None:
    root = write_lookalike("smg", tmp_path / "a", Size(recordings=3, minutes=0.4), seed=1)
    lines = table(root, "Sample0001", "skeleton").read_text().splitlines()
    numbers = np.array([line.split(",") for line in lines], np.float64).reshape(len(lines), 25, 11)
    seen = numbers[..., :3].any(-1)
    assert numbers.shape == (672, 25, 11)
    assert (numbers[..., 3, 1][seen[:, 3]] > numbers[..., 0, 1][seen[:, 3]]).all()  # y of the head above SpineBase
    turned = np.linalg.norm(numbers[seen][:, 3:7], axis=-1)
    assert np.logical_or(np.abs(turned - 1) < 1e-3, turned == 0).all()  # quaternions; the ends of limbs have none
    assert not numbers[:, [3, 15, 19, 21, 22, 23, 24], 3:7].any()
    at = numbers[seen][:, :3]
    np.testing.assert_allclose(numbers[seen][:, 7], 960 + 1060 * at[:, 0] / at[:, 2], atol=0.1)
    assert table(root, "Sample0001", "data").read_text() == "672,28,4500\n"
    codes = {int(line.split(",")[3]) for p in root.glob(f"{WELL}/*/*_tflabels_new.csv") for line in p.open()}
    assert codes <= {1, 2, 11, 12}
    films = {path.stem for path in (root / "smg_rgb_test").iterdir()}
    prepare(Source(), root, tmp_path / "store", workers=1)
    assert films == set(SMG(str(tmp_path / "store")).clips("test").names)
    again = write_lookalike("smg", tmp_path / "b", Size(recordings=3, minutes=0.4, films=False), seed=1)
    assert table(again, "Sample0036", "skeleton").read_bytes() == table(root, "Sample0036", "skeleton").read_bytes()
    with pytest.raises(UsageError, match="41 recordings; SMG has 40"):
        write_lookalike("smg", tmp_path / "c", Size(recordings=41))
