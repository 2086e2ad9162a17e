"""MA-52: its published numbers, and lists, pickles and class table as they come."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from microgesture.core.errors import CheckFailed, UsageError
from microgesture.core.layouts import RELEASED_MIRROR, SKELETONS
from microgesture.core.taxonomies import MA52 as TAXONOMY
from microgesture.core.track import PoseTrack
from microgesture.datasets.ma52 import MA52, SPLITS, VAL_COUNTS, Source, subject_split
from microgesture.datasets.prepare import Report, prepare, source_of
from microgesture.datasets.store import open_store
from microgesture.formats.pyskl import PysklClip, read_pyskl, write_pyskl
from microgesture.simulation.lookalikes.write import Size, write_lookalike

LAYOUT = SKELETONS["ma52_28"]
CLIPS = 220


# ---- what is published


def test_official_numbers() -> None:
    assert [Source.expected[split]["clips"] for split in SPLITS] == [11_250, 5_586, 5_586]
    assert sum(Source.expected[split]["clips"] for split in SPLITS) == 22_422
    train, val = (np.array(Source.expected_classes[split]) for split in ("train", "val"))
    assert (train.sum(), val.sum()) == (11_250, 5_586)
    assert (len(VAL_COUNTS), tuple(val)) == (52, VAL_COUNTS)
    body = np.array([TAXONOMY.group_of(i) for i in range(52)])
    assert np.bincount(body, train).tolist() == [644, 4473, 2626, 1441, 317, 719, 1030]
    assert np.bincount(body, val).tolist() == [315, 2233, 1304, 717, 152, 353, 512]
    assert (np.abs(train - 2 * val) <= 5).all(), "every class is split 2 : 1"
    assert (train.argmax(), train.max(), train.argmin(), train.min()) == (9, 1283, 45, 6)
    assert "test" not in Source.expected_classes


def test_fingers_hang_from_the_hand_they_belong_to_and_change_sides_in_a_mirror() -> None:
    bones = {frozenset(bone) for bone in LAYOUT.bones}
    assert {frozenset((7, finger)) for finger in range(18, 23)} <= bones
    assert {frozenset((4, finger)) for finger in range(23, 28)} <= bones
    assert not any({4, finger} in bones for finger in range(18, 23))
    assert LAYOUT.flip[18:28] == (*range(23, 28), *range(18, 23))
    released = np.arange(28)
    for a, b in RELEASED_MIRROR["ma52_28"]:
        released[[a, b]] = released[[b, a]]
    assert (released[18:] == np.arange(18, 28)).all(), "the released lists leave the fingers where they are"
    assert (released[:18] == LAYOUT.flip[:18]).all()


def test_the_pro_version_is_not_released() -> None:
    with pytest.raises(UsageError, match="ma52_pro: not released"):
        source_of("ma52_pro")


# ---- the look-alike, from end to end


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lookalike("ma52", tmp_path_factory.mktemp("ma52") / "data", Size(clips=CLIPS), seed=3)


@pytest.fixture(scope="module")
def report(root: Path) -> Report:
    return prepare(Source(), root, root.parent / "store", workers=1)


def test_lookalike_is_read_without_a_word(report: Report) -> None:
    assert report.findings == ()
    assert report.simulated
    half, quarter = CLIPS // 2, CLIPS // 4
    assert [report.rows[s]["clips"] for s in SPLITS] == [half, quarter, quarter]
    assert [report.rows[s]["withheld"] for s in SPLITS] == [0, 0, quarter]
    train, val = report.classes["train"][0], report.classes["val"][0]
    assert min(val) >= 1
    assert train == [2 * n for n in val], "stratified 2 : 1 : 1"


def test_clips_carry_label_person_and_film(root: Path, report: Report) -> None:
    data, store = MA52(str(report.store)), open_store(report.store)
    for split in ("train", "val"):
        lines = [line.split() for line in (root / f"{split}_list_videos.txt").read_text().splitlines()]
        clips = data.clips(split)
        assert clips.names == [name.removesuffix(".mp4") for name, _ in lines]
        assert clips.label.tolist() == [int(label) for _, label in lines]
        assert clips.subject.tolist() == [int(name[:4]) for name, _ in lines]
    test = data.clips("test")
    assert set(test.label) == {-1}
    assert set(test.subject) == {-1}
    assert test.names[:2] == ["test0000", "test0001"]
    assert data.withheld("test")
    assert not data.withheld("val")
    rows = store.recordings.to_pylist()
    assert {row["fps"] for row in rows} == {30.0}
    filmed = [row["video"] for row in rows if row["video"]]
    assert len(filmed) == len(rows)
    assert all((root / video).is_file() for video in filmed)
    poses = read_pyskl(root / "MA52_val.pkl", LAYOUT, fps=30.0).clips
    by_name = {clip.name: clip.tracks[0] for clip in poses}
    xy, score = data.clips("val")[4]
    assert xy.shape[2:] == (28, 2)
    np.testing.assert_array_equal(xy[0], by_name[data.clips("val").names[4]].xy)
    np.testing.assert_array_equal(score[0], by_name[data.clips("val").names[4]].score)


def test_official_split_has_every_person_on_both_sides(report: Report) -> None:
    data = MA52(str(report.store))
    assert set(data.clips("train").subject) == set(data.clips("val").subject)


def test_cross_subject_protocol_has_no_person_on_both_sides(report: Report) -> None:
    data = MA52(str(report.store), protocol="cross-subject")
    train, test = data.clips("train"), data.clips("test")
    assert not set(train.subject) & set(test.subject)
    assert len(train) + len(test) == CLIPS * 3 // 4
    people = set(train.subject) | set(test.subject)
    assert len(set(test.subject)) == round(len(people) / 3)
    again = MA52(str(report.store), protocol="cross-subject").clips("test")
    other = MA52(str(report.store), protocol="cross-subject", seed=1).clips("test")
    assert again.names == test.names
    assert other.names != test.names
    assert min(test.label) >= 0
    with pytest.raises(UsageError, match="ma52 has no split 'val'; choose train, test"):
        data.clips("val")


# ---- the split by person


def _people(seed: int, people: int = 60) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = np.array([label.train_count for label in TAXONOMY], float)
    sizes = rng.integers(20, 150, people)
    groups = [f"{p:04}" for p, n in enumerate(sizes) for _ in range(n)]
    return groups, rng.choice(52, len(groups), p=weights / weights.sum())


def test_split_by_person_is_stratified_and_depends_on_nothing_but_its_input() -> None:
    groups, labels = _people(5)
    test = subject_split(groups, labels)
    assert len(test) == 20
    total = np.bincount(labels, minlength=52)

    def off(names: list[str]) -> np.ndarray:
        return np.abs(np.bincount(labels[np.isin(groups, names)], minlength=52) / total - 1 / 3)

    ours = off(sorted(test))
    drawn = off([f"{p:04}" for p in np.random.default_rng(0).permutation(60)[:20]])
    assert ours[total >= 100].max() < 0.03
    assert (total * ours**2).sum() < (total * drawn**2).sum() / 4, "far nearer to a third of each class than by chance"
    order = np.random.default_rng(1).permutation(len(groups))
    assert subject_split([groups[i] for i in order], labels[order]) == test
    assert subject_split(groups, labels, seed=1) != test


def test_split_by_person_needs_three() -> None:
    with pytest.raises(UsageError, match="2 prefixes of names; a cross-subject split needs three"):
        subject_split(["0001", "0002"], np.array([1, 2]))


# ---- what can be wrong: small data made by hand


def _clip(name: str, label: int | None, frames: int = 4, scale: float = 1.0) -> PysklClip:
    xy = np.arange(frames * 28 * 2, dtype=np.float32).reshape(frames, 28, 2) + 1
    score = np.full((frames, 28), scale, np.float32)
    return PysklClip(name, label, (PoseTrack(xy, score, 30.0, (1920, 1080), LAYOUT),))


def _made(folder: Path, lines: str | None, clips: list[PysklClip], split: str = "train", names: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    write_pyskl(folder / f"MA52_{split}.pkl", clips, {split: [clip.name for clip in clips]})
    if lines is not None:
        (folder / f"{split}_list_videos.txt").write_bytes(lines.encode())
    table = names or "".join(f"{label.id}\t{label.name}\n" for label in TAXONOMY)
    (folder / "label_name.txt").write_text(table, encoding="utf-8")
    return folder


def _prepared(root: Path) -> tuple[Report, dict[str, int]]:
    """The report without what is missing of other splits, and the label of every clip."""
    report = prepare(Source(), root, root.parent / "store", workers=1, fresh=True)
    table = open_store(report.store).clips.to_pylist()
    return report, {row["name"]: row["label"] for row in table}


def _told(report: Report, topic: str) -> list[tuple[str, str, str]]:
    return [(f.kind, f.place, f.detail) for f in report.findings if f.topic == topic]


A, B, C = "0003_01_0001", "0003_01_0002", "0012_00_0007"


def test_the_list_is_believed_and_the_line_named(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", f"{A}.mp4 9\r\n\r\n{B}.mp4 10\r\n", [_clip(A, 9), _clip(B, 11)])
    report, labels = _prepared(root)
    assert labels == {A: 9, B: 10}
    assert _told(report, "list and poses disagree on a label") == [
        ("quirk", "line 3", f"{B}: 10 in the list, 11 in the poses; the list is believed")
    ]


def test_clips_that_are_on_one_side_alone(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", f"{A}.mp4 9\n{B}.mp4 10\n", [_clip(A, 9), _clip(C, 3)])
    report, labels = _prepared(root)
    assert labels == {A: 9}
    assert _told(report, "a listed clip has no poses") == [("missing", "line 2", B)]
    assert _told(report, "poses of a clip that is not listed") == [("refused", C, "")]
    assert any(
        "train: 1 clips, official 11,250" in line and "a listed clip has no poses" in line for line in report.explained
    )


def test_lines_that_cannot_be_right(tmp_path: Path) -> None:
    lines = f"{A}.mp4 52\n{B}.mp4 x1\n{C}.mp4 7\n{C}.mp4 8\n0004_01_0001.mp4 -1\n"
    report, labels = _prepared(_made(tmp_path / "d", lines, [_clip(C, 7)]))
    assert labels == {C: 7}
    assert _told(report, "a label is out of range") == [
        ("refused", "line 1", "52; expected 0..51"),
        ("refused", "line 5", "-1; expected 0..51"),
    ]
    assert _told(report, "the line cannot be read") == [
        ("refused", "line 2", f"'{B}.mp4 x1'; expected a name and a label")
    ]
    assert _told(report, "a clip is listed twice") == [("refused", "line 4", C)]


def test_names_may_have_folders_and_endings(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", f"videos_train/{A}.mp4 9\n{B}.MP4 10\n", [_clip(f"{A}.mp4", 9), _clip(f"x\\{B}", 10)])
    report, labels = _prepared(root)
    assert labels == {A: 9, B: 10}
    assert not report.refused


def test_names_of_another_form_have_no_person(tmp_path: Path) -> None:
    report, labels = _prepared(_made(tmp_path / "d", "微动作 甲.mp4 9\n", [_clip("微动作 甲", 9)]))
    assert labels == {"微动作 甲": 9}
    assert _told(report, "a name of another form") == [
        ("quirk", "微动作 甲", "expected PPPP_SS_CCCC; its person is unknown")
    ]
    assert open_store(report.store).recordings.to_pylist()[0]["subject"] == -1


def test_a_label_that_the_list_lacks_comes_from_the_poses(tmp_path: Path) -> None:
    report, labels = _prepared(_made(tmp_path / "d", f"{A}.mp4\n", [_clip(A, 9)]))
    assert labels == {A: 9}
    assert _told(report, "a clip without a label in its list")[0][1] == "line 1"


def test_without_lists_the_poses_are_all_there_is(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", None, [_clip(A, 9)])
    _made(root, None, [_clip("test0000", 3)], "test")
    report, labels = _prepared(root)
    assert labels == {A: 9, "test0000": -1}
    assert ("missing", "", "labels are read from the poses") in _told(report, "no list of clips")


def test_labels_of_test_in_the_poses_are_placeholders(tmp_path: Path) -> None:
    root = _made(
        tmp_path / "d", "test0000.mp4\ntest0001.mp4 -1\n", [_clip("test0000", 0), _clip("test0001", 0)], "test"
    )
    report, labels = _prepared(root)
    assert labels == {"test0000": -1, "test0001": -1}
    (finding,) = _told(report, "the poses of test carry labels")
    assert finding[2].startswith("2 clips; the test labels are withheld")


def test_half_precision_poses_are_read(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", f"{A}.mp4 9\n", [_clip(A, 9)])
    xy, score = np.full((1, 5, 28, 2), 100.5, np.float16), np.full((1, 5, 28), 0.5, np.float16)
    row = {
        "frame_dir": A, "label": 9, "total_frames": 5, "img_shape": (1080, 1920), "original_shape": (1080, 1920),
        "keypoint": xy, "keypoint_score": score,
    }  # fmt: skip
    (root / "MA52_train.pkl").write_bytes(pickle.dumps({"split": {"train": [A]}, "annotations": [row]}))
    report, labels = _prepared(root)
    assert labels == {A: 9}
    track = open_store(report.store).track(0)
    assert (track.xy.dtype, float(track.xy[0, 0, 0]), float(track.score[0, 0])) == (np.float32, 100.5, 0.5)
    assert track.size == (1920, 1080)


def test_clips_without_anybody_stay_and_are_told(tmp_path: Path) -> None:
    report, labels = _prepared(_made(tmp_path / "d", f"{A}.mp4 9\n", [_clip(A, 9, scale=0.0)]))
    assert labels == {A: 9}
    assert _told(report, "nobody was found in a clip") == [("quirk", A, "all scores are 0")]


def test_poses_that_are_3d_or_there_twice_are_refused(tmp_path: Path) -> None:
    deep = PoseTrack(np.ones((4, 28, 3)), np.ones((4, 28)), 30.0, (0, 0), LAYOUT)
    clips = [_clip(A, 9), _clip(A, 9), PysklClip(B, 1, (deep,))]
    report, labels = _prepared(_made(tmp_path / "d", f"{A}.mp4 9\n", clips))
    assert labels == {A: 9}
    assert _told(report, "poses are there twice") == [("refused", A, "")]
    assert _told(report, "3-D poses; expected pixels") == [("refused", B, "")]


class _Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("trapped", "w"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = _made(tmp_path / "d", f"{A}.mp4 9\n", [_clip(A, 9)])
    (root / "MA52_val.pkl").write_bytes(pickle.dumps({"annotations": [_Trap()]}))
    report, labels = _prepared(root)
    assert labels == {A: 9}, "the other split is read all the same"
    (finding,) = [f for f in report.findings if f.topic == "the file cannot be read"]
    assert finding.path == "MA52_val.pkl"
    assert not (tmp_path / "trapped").exists()


def test_class_tables_in_another_order(tmp_path: Path) -> None:
    names = [label.name for label in TAXONOMY]
    names[5], names[6] = names[6], names[5]
    names[3], names[4] = names[4], names[3]
    names[7] = "octopus"
    table = "".join(f"{i}\t{name}\n" for i, name in enumerate(names)) + "nonsense\n"
    report, labels = _prepared(_made(tmp_path / "d", f"{A}.mp4 5\n", [_clip(A, 5)], names=table))
    assert labels == {A: 5}, "ids are read as published"
    told = _told(report, "the classes have another order")
    assert [(kind, place) for kind, place, _ in told] == [
        ("quirk", "line 4"), ("quirk", "line 5"), ("refused", "line 6"), ("refused", "line 7"),
    ]  # fmt: skip
    assert told[2][2] == "5 is 'head up' here, 6 in the published table; ids are read as published"
    assert "has no label 'octopus'" in _told(report, "a class of another name")[0][2]
    assert _told(report, "the line cannot be read") == [("refused", "line 53", "'nonsense'")]


def test_class_table_missing_or_unreadable(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", f"{A}.mp4 9\n", [_clip(A, 9)])
    (root / "label_name.txt").write_bytes(b"\xff\xfe")
    assert any("is not UTF-8" in f.detail for f in _prepared(root)[0].findings)
    (root / "label_name.txt").unlink()
    assert _told(_prepared(root)[0], "no table of classes") == [
        ("missing", "", "the order of the classes cannot be checked")
    ]


def test_videos_lie_in_folders_of_their_split_or_all_in_one(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", f"{A}.mp4 9\n{B}.mp4 9\n", [_clip(A, 9), _clip(B, 9)])
    for place in (f"raw_videos/{A}.mp4", f"raw_videos/{B}.mp4", f"videos_train/{A}.mp4", f"videos_val/{A}.mp4"):
        (root / place).parent.mkdir(exist_ok=True)
        (root / place).write_bytes(b"film")
    report, _ = _prepared(root)
    rows = open_store(report.store).recordings.to_pylist()
    assert [row["video"] for row in rows] == [f"videos_train/{A}.mp4", f"raw_videos/{B}.mp4"]


def test_splits_and_files_that_are_missing_or_twice(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", f"{A}.mp4 9\n", [_clip(A, 9)])
    (root / "old").mkdir()
    (root / "old" / "train_list_videos.txt").write_text(f"{A}.mp4 1\n", encoding="utf-8")
    found = Source().find(root)
    assert [unit.name for unit in found.units] == ["train"]
    told = {(f.kind, f.topic, Path(f.path).name, f.split) for f in found.findings}
    assert told == {
        ("missing", "no poses of a split", "MA52_val.pkl", "val"),
        ("missing", "no poses of a split", "MA52_test.pkl", "test"),
        ("quirk", "a file is there twice", "train_list_videos.txt", "train"),
    }


def test_folders_that_are_not_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"this is not MA-52 with its poses. Looked for MA52_train.pkl"):
        prepare(Source(), tmp_path, tmp_path / "store")
    with zipfile.ZipFile(tmp_path / "val.zip", "w") as archive:
        archive.writestr("a", "b")
    (tmp_path / "train.zip").write_bytes((tmp_path / "val.zip").read_bytes()[:30])
    (tmp_path / "videos_train").mkdir()
    (tmp_path / "videos_train" / f"{A}.mp4").write_bytes(b"film")
    with pytest.raises(CheckFailed) as caught:
        prepare(Source(), tmp_path, tmp_path / "store")
    assert "the poses are distributed apart (MA-52_openpose_28kp)" in str(caught.value)
    assert "train.zip: is not a whole archive" in str(caught.value)
    assert "val.zip: is a zip archive; unpack it" in str(caught.value)


def test_rate_is_an_option(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", f"{A}.mp4 9\n", [_clip(A, 9)])
    report = prepare(source_of("ma52", {"fps": "25"}), root, tmp_path / "store", workers=1)
    assert open_store(report.store).timeline(0).duration == 4 / 25


def test_cross_subject_protocol_needs_people(tmp_path: Path) -> None:
    report, _ = _prepared(_made(tmp_path / "d", f"{A}.mp4 9\n{C}.mp4 9\n", [_clip(A, 9), _clip(C, 9)]))
    with pytest.raises(UsageError, match="2 prefixes"):
        MA52(str(report.store), protocol="cross-subject").clips("train")
