"""iMiGUE: facts of the lists, quirks of the files, and what is refused. Each quirk fails without its handling."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import CheckFailed, UsageError
from microgesture.core.layouts import IMIGUE22_OF_35
from microgesture.core.taxonomies import IMIGUE
from microgesture.datasets import imigue
from microgesture.datasets.imigue import IMiGUE, Source, split_of
from microgesture.datasets.prepare import Report, prepare
from microgesture.datasets.store import open_store
from microgesture.simulation.lookalikes.write import Size, write_lookalike

TRAIN = "imigue_data_phase1/datasets/imigue_skeleton_train"
TEST = "imigue_data_phase1/datasets/imigue_skeleton_test"


@pytest.fixture(scope="module")
def distributed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_lookalike(
        "imigue", tmp_path_factory.mktemp("imigue"), Size(recordings=4, minutes=0.3, films=False), seed=3
    )
    for video in ("0184", "0185"):
        (root / TRAIN / video / f"{video}_label.csv").write_text("17,10,59\n29,70,99\n99,90,200\n")
    return root


@pytest.fixture
def copy(distributed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(distributed, tmp_path / "数据 data")  # names in any script


def run(root: Path, source: Source | None = None) -> Report:
    return prepare(source or Source(), root, root.parent / "store", fresh=True, workers=1)


def test_official_lists() -> None:
    train, test = imigue.TRAIN_SUBJECTS, imigue.TEST_SUBJECTS
    assert (len(train), len(test), len(train & test), train | test) == (37, 35, 0, set(range(1, 73)))
    assert (len(imigue.EMOTION_TRAIN), len(imigue.EMOTION_TEST)) == (102, 100)
    assert not imigue.EMOTION_TRAIN & imigue.EMOTION_TEST
    assert (len(imigue.VAL_VIDEOS), len(imigue.TEST_VIDEOS)) == (10, 104)
    assert not imigue.VAL_VIDEOS & imigue.TEST_VIDEOS
    assert not imigue.UNUSABLE & imigue.TEST_VIDEOS
    # the emotion split is not aligned with that of gestures
    assert len(imigue.EMOTION_TRAIN & imigue.TEST_VIDEOS) == 38
    assert len(imigue.EMOTION_TEST & imigue.TEST_VIDEOS) == 33
    assert [split_of(v) for v in (1, 5, 54, 184)] == ["val", "train", "test", "train"]


def test_official_counts() -> None:
    counts = Source.expected_classes
    assert sum(counts["train"]) == Source.expected["train"]["clips"] == 12_893
    assert sum(counts["val"]) == Source.expected["val"]["clips"] == 777
    assert sum(r["recordings"] for r in Source.expected.values()) == 355
    both = np.add(counts["train"], counts["val"])
    assert (both.sum(), both.max(), both.min(), both.max() // both.min()) == (13_670, 4_023, 2, 2_011)


def test_a_whole_store(distributed: Path, tmp_path: Path) -> None:
    report = prepare(Source(), distributed, tmp_path, workers=1)
    assert report.simulated
    assert report.refused == 0
    assert [row["recordings"] for row in report.rows.values()] == [2, 1, 1]
    data = IMiGUE(str(tmp_path))
    clips = data.clips("train")
    assert clips.skeleton.name == "imigue22"
    assert clips.names[0] == "0184_0"  # counted from 0 in the order of the file
    xy, score = clips[0]
    assert xy.shape == (1, clips.length[0], 22, 2)
    full, seen = IMiGUE(str(tmp_path), joints="imigue35").clips("train")[0]
    assert np.array_equal(full[:, :, list(IMIGUE22_OF_35)], xy)
    assert np.array_equal(seen[:, :, list(IMIGUE22_OF_35)], score)
    assert [s.label for s in data.store.timeline(0)] == data.store.select(
        np.flatnonzero(clips.store.column("clips.arrow", "recording") == 0), "first"
    ).label.tolist()


def test_ends_are_inclusive_and_rows_count_from_zero(copy: Path) -> None:
    (copy / TRAIN / "0184" / "0184_label.csv").write_text("17,10,19\n99,30,30\n")
    run(copy)
    clips = IMiGUE(str(copy.parent / "store")).clips("train")
    where = [i for i, name in enumerate(clips.names) if name.startswith("0184")]
    assert [(clips.names[i], int(clips.start[i]), int(clips.length[i])) for i in where] == [
        ("0184_0", 10, 10),
        ("0184_1", 30, 1),
    ]


def test_the_offset_of_frame_numbers_is_an_option(copy: Path) -> None:
    (copy / TRAIN / "0184" / "0184_label.csv").write_text("17,10,19\n")
    run(copy, Source(frame_offset=-1))
    assert IMiGUE(str(copy.parent / "store")).clips("train").start[0] == 9


def test_code_99_is_the_last_class(copy: Path) -> None:
    (copy / TRAIN / "0184" / "0184_label.csv").write_text("99,1,5\n31,6,9\n1,10,12\n")
    run(copy)
    assert IMiGUE(str(copy.parent / "store")).clips("train").label[:3].tolist() == [31, 30, 0]


def test_a_line_of_column_numbers_is_no_frame(copy: Path) -> None:
    """With and without it the same arrays come out."""
    table = copy / TRAIN / "0184" / "0184_light_hand.csv"
    lines = table.read_text().splitlines()
    assert lines[0].startswith("0,")
    assert lines[0].count(",") == 105
    run(copy)
    plain = open_store(copy.parent / "store").frames(1)
    table.write_text("\n".join([",".join(map(str, range(106))), *lines]) + "\n")
    run(copy)
    headed = open_store(copy.parent / "store").frames(1)
    assert np.array_equal(plain[0], headed[0])
    assert plain[0].shape[1] == len(lines)


def test_windows_line_ends_and_a_byte_order_mark(copy: Path) -> None:
    (copy / TRAIN / "0184" / "0184_label.csv").write_bytes("\ufeff17,10,19\r\n99,30,35\r\n".encode())
    assert run(copy).refused == 0
    assert IMiGUE(str(copy.parent / "store")).clips("train").label[:2].tolist() == [16, 31]


def test_official_lists_decide_about_the_split(copy: Path) -> None:
    """Validation videos lie among the training data in some releases."""
    shutil.move(copy / TRAIN.replace("train", "validate") / "0001", copy / TRAIN / "0001")
    report = run(copy)
    assert report.rows["val"]["recordings"] == 1
    assert [f.topic for f in report.findings if f.kind == "quirk"][1] == "a video lies in the folder of another split"


def test_unusable_folders_are_left_out(copy: Path) -> None:
    shutil.copytree(copy / TEST / "0054", copy / TEST / "0319")
    for file in (copy / TEST / "0319").iterdir():
        file.rename(file.with_name(file.name.replace("0054", "0319")))
    report = run(copy)
    assert report.rows["test"]["recordings"] == 1
    assert [f.path[-4:] for f in report.findings if "unusable" in f.topic] == ["0218", "0319"]


def test_test_labels_are_placeholders(copy: Path) -> None:
    run(copy)
    data = IMiGUE(str(copy.parent / "store"))
    assert set(data.clips("test").label.tolist()) == {-1}
    assert data.withheld("test")
    assert not data.withheld("val")
    labels = copy / TEST / "0054" / "0054_label.csv"
    labels.write_text(labels.read_text().replace("0,", "5,", 1))
    run(copy, Source(test_labels=False))
    assert IMiGUE(str(copy.parent / "store")).withheld("test")


def test_the_last_90_frames(copy: Path) -> None:
    (copy / TRAIN / "0184" / "0184_label.csv").write_text("17,0,119\n")
    run(copy)
    clips = IMiGUE(str(copy.parent / "store"), longest=90).clips("train")
    assert (clips.start[0], clips.length[0]) == (30, 90)  # the onset is gone, as in the released baseline


def test_the_frame_rate_is_read_from_the_films(tmp_path: Path) -> None:
    root = write_lookalike("imigue", tmp_path / "raw", Size(recordings=3, minutes=0.1), seed=1)
    report = prepare(Source(), root, tmp_path / "store", workers=1)
    store = open_store(tmp_path / "store")
    assert store.column("recordings.arrow", "fps").tolist() == [30.0, 30.0, 30.0]  # not the nominal 25
    assert store.recordings.column("video").to_pylist()[0].endswith(".mp4")
    assert not [f for f in report.findings if f.topic == "nominal frame rate"]


def test_emotions_come_with_the_table_of_imigue_speech(copy: Path) -> None:
    run(copy)
    states = open_store(copy.parent / "store").states.to_pylist()
    assert {(s["name"], s["split"]) for s in states} == {("0001", "train"), ("0054", "test"), ("0185", "test")}
    assert all(s["label"] in (0, 1) for s in states)
    shutil.rmtree(copy / "imigue-speech")
    run(copy)
    assert {s["label"] for s in open_store(copy.parent / "store").states.to_pylist()} == {-1}


def test_the_protocol_of_the_paper_needs_subjects(copy: Path) -> None:
    run(copy)
    data = IMiGUE(str(copy.parent / "store"), protocol="paper")
    with pytest.raises(UsageError, match=r"needs subjects\.csv \(video_id,subject\)"):
        data.clips("train")
    (copy / "subjects.csv").write_text("video_id,subject\n184,2\n185,1\n1,4\n54,3\n")
    run(copy)
    data = IMiGUE(str(copy.parent / "store"), protocol="paper")
    assert set(data.clips("train").subject.tolist()) == {2, 4}
    assert set(data.clips("test").subject.tolist()) <= {1, 3}


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """The baseline's arrays: zero padding, and validation clips in the training labels."""
    root = tmp_path / "imigue_processed"
    root.mkdir()
    data = np.zeros((3, 3, 90, 22, 1), np.float32)
    data[0, :, :40] = 100
    data[1, :, :] = 50
    data[2, :, :7] = 25
    data[:, 2] = np.where(data[:, 2] > 0, 0.5, 0)
    np.save(root / "train_data.npy", data)
    (root / "train_label.pkl").write_bytes(pickle.dumps((["0184_0", "0184_1", "0001_0"], [5, 31, 30])))
    return root


def test_the_baselines_arrays(arrays: Path, tmp_path: Path) -> None:
    report = prepare(Source(), arrays, tmp_path / "store", workers=1)
    assert {s: row["clips"] for s, row in report.rows.items()} == {"train": 2, "val": 1, "test": 0}
    clips = IMiGUE(str(tmp_path / "store")).clips("train")
    assert clips.length.tolist() == [40, 90]  # without the padding
    assert clips.label.tolist() == [5, 31]


def test_arrays_that_do_not_fit_their_labels(arrays: Path, tmp_path: Path) -> None:
    (arrays / "train_label.pkl").write_bytes(pickle.dumps((["0184_0"], [5])))
    report = prepare(Source(), arrays, tmp_path / "store", workers=1)
    assert "has shape (3, 3, 90, 22, 1); expected (1, 3, 90, 22, 1)" in report.summary("refused")[0]


@pytest.mark.parametrize(
    "rows, topic, words",
    [
        ("17,10,19\n55,1,2\n0,3,4\n", "a label is out of range (2)", "line 2: iMiGUE class code 55 is neither"),
        ("17,19,10\n", "the segment ends before it starts (1)", "line 1: frames 19 to 10"),
        ("17,-5,10\n", "the segment ends before it starts (1)", "line 1: frames -5 to 10"),
        ("17,10,900000\n", "a segment lies outside its recording (1)", "clip 0184_0: frames 10 to 900001 of 540"),
        ("17,10,19\nneck,a,b\n17;1;2\n", "the row cannot be read (2)", "line 2: 'neck,a,b'; expected 3 whole numbers"),
        ("17,10,nan\n", "the row cannot be read (1)", "line 1: '17,10,nan'"),
    ],
)  # fmt: skip
def test_rows_that_are_refused(copy: Path, rows: str, topic: str, words: str) -> None:
    (copy / TRAIN / "0184" / "0184_label.csv").write_text(rows)
    report = run(copy)
    (line,) = report.summary("refused")
    assert line.startswith(f"refused: {topic}")
    assert words in line
    assert "0184" in line


def test_a_table_of_points_that_is_damaged_leaves_the_others(copy: Path) -> None:
    table = copy / TRAIN / "0184" / "0184_light_hand.csv"
    lines = table.read_text().splitlines()
    lines[6] = lines[6].replace(",", ",x", 1)
    table.write_text("\n".join(lines))
    report = run(copy)
    assert "0184_light_hand.csv, line 7, column 2: x of nose is" in report.summary("refused")[0]
    assert report.rows["train"]["recordings"] == 1


def test_what_is_missing_is_said(copy: Path) -> None:
    (copy / TRAIN / "0184" / "0184_light_hand.csv").unlink()
    (copy / TRAIN / "0185" / "0185_label.csv").unlink()
    report = run(copy)
    told = "\n".join(report.summary("missing"))
    assert "no table of points (1): " in told
    assert "no labels (1): " in told
    assert "no folder for videos of the official list (2): 9 of 10: 0002" in told


def test_a_wrong_root(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(
        CheckFailed, match=r"this is not iMiGUE\. Looked for imigue_skeleton_train/0184/0184_light_hand"
    ):
        run(tmp_path)


def test_class_table() -> None:
    groups = [label.group for label in IMIGUE]
    assert [groups.count(g) for g in ("Body", "Head", "Hand", "Body-Hand", "Head-Hand", "none")] == [3, 4, 7, 8, 9, 1]


def test_frames_out_of_order_are_refused_with_their_line(copy: Path) -> None:
    table = copy / TRAIN / "0184" / "0184_light_hand.csv"
    lines = table.read_text().splitlines()
    lines[20], lines[21] = lines[21], lines[20]
    table.write_text("\n".join(lines))
    (line,) = run(copy).summary("refused")
    assert "0184_light_hand.csv, line 22: frame number 20 after 21; expected numbers that rise. Sort the rows" in line
