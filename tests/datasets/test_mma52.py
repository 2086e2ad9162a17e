"""MMA-52: annotations in two files that must agree, a dummy for test, and poses that are not part of the set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import CheckFailed, FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.core.track import PoseTrack
from microgesture.datasets.ma52 import MMA52, SPLITS, DetectionSource
from microgesture.datasets.prepare import Report, prepare, source_of
from microgesture.datasets.store import Store, open_store
from microgesture.formats.pose_npz import write_npz
from microgesture.formats.pyskl import PysklClip, write_pyskl
from microgesture.pose.estimate import store_tracks
from microgesture.simulation.lookalikes.write import Size, write_lookalike

LAYOUT = SKELETONS["ma52_28"]
HEAD = "id,video_id,start_frame,end_frame,class,total_frames,fps"


def test_official_numbers() -> None:
    counts = DetectionSource.expected
    assert [counts[split]["recordings"] for split in SPLITS] == [4_534, 1_475, 519]
    assert sum(counts[split]["recordings"] for split in SPLITS) == 6_528
    assert [counts[split]["clips"] for split in SPLITS] == [13_698, 4_735, 0]
    assert 19_782 - 13_698 - 4_735 == 1_349, "instances of test, by difference from the paper's total"
    assert MMA52.taxonomy.key == "ma52"


# ---- the look-alike, from end to end


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = Size(recordings=12, minutes=0.25, films=False)
    return write_lookalike("mma52", tmp_path_factory.mktemp("mma52") / "data", size, seed=1)


@pytest.fixture(scope="module")
def report(root: Path) -> Report:
    return prepare(DetectionSource(), root, root.parent / "store", workers=1)


def test_lookalike_is_read_and_only_the_dummy_is_told(root: Path, report: Report) -> None:
    assert [(f.kind, f.topic) for f in report.findings] == [
        ("quirk", "the public annotations of test are a dummy, not read")
    ]
    index = json.loads((root / "datasets" / "mmad.json").read_text())
    for split in ("train", "val"):
        videos = [video for video in index.values() if video["subset"] == split]
        assert report.rows[split]["recordings"] == len(videos)
        assert report.rows[split]["clips"] == sum(len(video["actions"]) for video in videos)


def test_times_are_those_of_the_official_json(root: Path, report: Report) -> None:
    index, store = json.loads((root / "datasets" / "mmad.json").read_text()), open_store(report.store)
    rates = set()
    for i, row in enumerate(store.recordings.to_pylist()):
        rates.add(row["fps"])
        if row["split"] == "test":
            assert not len(store.timeline(i))
            continue
        segments = sorted((s.label, s.start, s.end) for s in store.timeline(i))
        np.testing.assert_allclose(segments, sorted(index[row["name"]]["actions"]), atol=1e-4)
    assert rates == {29.0, 30.0}


def test_instances_overlap(report: Report) -> None:
    clips = MMA52(str(report.store)).clips("train")
    end = clips.start + clips.length
    overlapping = (clips.recording[1:] == clips.recording[:-1]) & (clips.start[1:] < end[:-1])
    assert overlapping.any()
    xy, score = clips[1]
    assert (xy.shape, score.shape) == ((1, clips.length[1], 28, 2), (1, clips.length[1], 28))
    assert score.any()


def test_test_has_recordings_and_no_clips(root: Path, report: Report) -> None:
    assert [report.rows["test"][k] for k in ("clips", "withheld")] == [0, 0]
    assert report.rows["test"]["recordings"] >= 1
    dummy = json.loads((root / "datasets" / "mmad.json").read_text())["test0000"]["actions"]
    assert dummy == [[1, 0.0, pytest.approx(20 / 30, abs=0.03)]], "the look-alike has the dummy"
    data = MMA52(str(report.store))
    assert data.withheld("test")
    with pytest.raises(FormatError, match="the labels of test are withheld, so it has no clips"):
        data.clips("test")
    names = [row["name"] for row in data.store.recordings.to_pylist() if row["split"] == "test"]
    assert names[0] == "test0000"
    assert data.store.track(data.store.recordings.num_rows - 1).score.any()


# ---- small data made by hand


def _pose(path: Path, frames: int = 60, fps: float = 30.0, layout: str = "ma52_28", coordinates: int = 2) -> None:
    skeleton = SKELETONS[layout]
    xy = np.ones((frames, len(skeleton), coordinates), np.float32)
    path.parent.mkdir(exist_ok=True)
    write_npz(path, [PoseTrack(xy, np.ones(xy.shape[:2]), fps, (0, 0), skeleton)])


def _entry(*actions: list[Any], subset: str = "train", duration: float = 2.0) -> dict[str, Any]:
    return {"subset": subset, "duration": duration, "actions": list(actions)}


def _made(
    folder: Path,
    index: dict[str, Any] | None = None,
    rows: list[str] | None = None,
    lengths: dict[str, int] | None = None,
) -> Path:
    """Annotations, and poses of 60 frames for `train0000`."""
    folder.mkdir()
    if index is not None:
        (folder / "mmad.json").write_text(json.dumps(index), encoding="utf-8")
    if rows is not None:
        (folder / "anns").mkdir()
        text = "\r\n".join([HEAD, *(f"{i},{row}" for i, row in enumerate(rows))])
        (folder / "anns" / "train.csv").write_bytes(text.encode())
    if lengths is not None:
        (folder / "mmad_frames.json").write_text(json.dumps(lengths), encoding="utf-8")
    _pose(folder / "poses" / "train0000.npz")
    return folder


def _prepared(root: Path, source: DetectionSource | None = None) -> tuple[Report, Store]:
    report = prepare(source or DetectionSource(), root, root.parent / "store", workers=1, fresh=True)
    return report, open_store(report.store)


def _cuts(store: Store) -> list[tuple[str, int, int, int]]:
    return [(c["name"], c["label"], c["start"], c["frames"]) for c in store.clips.to_pylist()]


def _told(report: Report, topic: str) -> list[tuple[str, str, str]]:
    return [(f.kind, f.place, f.detail) for f in report.findings if f.topic == topic]


DISAGREE = "mmad.json and the table disagree"


def test_json_and_table_that_agree(tmp_path: Path) -> None:
    index = {"train0000": _entry([9, 0.7667, 1.5], [21, 0.0, 1.9667])}
    rows = ["train0000,23,45,9,60,30.0", "train0000,0,59,21,60,30.0"]
    report, store = _prepared(_made(tmp_path / "d", index, rows, {"train0000": 50}))
    assert _cuts(store) == [("train0000_0", 9, 23, 22), ("train0000_1", 21, 0, 59)]
    assert {f.topic for f in report.findings} == {"no table of instances"}, "of val and test, which are not there"


@pytest.mark.parametrize(
    ("rows", "place", "detail"),
    [
        (["train0000,23,45,8,60,30"], "train0000", "(9, 23, 45) in mmad.json, (8, 23, 45) in the table"),
        (["train0000,23,50,9,60,30"], "train0000", "(9, 23, 45) in mmad.json, (9, 23, 50) in the table"),
        (["train0000,23,45,9,60,30"] * 2, "train0000", "1 instances in mmad.json, 2 in the table"),
        (["train0000,23,45,9,60,30", "train0001,1,9,9,60,30"], "train0001", "is in the table alone; left out"),
        ([], "train0000", "is in mmad.json alone"),
    ],
)
def test_json_is_believed_where_they_disagree(tmp_path: Path, rows: list[str], place: str, detail: str) -> None:
    root = _made(tmp_path / "d", {"train0000": _entry([9, 0.7667, 1.5])}, rows)
    report, store = _prepared(root)
    assert _cuts(store) == [("train0000_0", 9, 23, 22)]
    ((kind, where, text),) = _told(report, DISAGREE)
    assert (kind, where) == ("quirk", place)
    assert detail in text


def test_json_is_believed_about_splits(tmp_path: Path) -> None:
    index = {"train0000": _entry([9, 0.7667, 1.5], subset="val")}
    report, store = _prepared(_made(tmp_path / "d", index, ["train0000,23,45,9,60,30"]))
    assert store.recordings.to_pylist()[0]["split"] == "val"
    assert _told(report, DISAGREE)[0][2] == "is in val by mmad.json; mmad.json is believed"


def test_one_frame_is_no_disagreement(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", {"train0000": _entry([9, 0.75, 1.5])}, ["train0000,23,45,9,60,30"])
    assert not _told(_prepared(root)[0], DISAGREE)


def test_tables_alone_will_do(tmp_path: Path) -> None:
    report, store = _prepared(_made(tmp_path / "d", None, ["train0000,23,45,9,60,30.0"]))
    assert _cuts(store) == [("train0000_0", 9, 23, 22)]
    assert _told(report, "no mmad.json") == [("missing", "", "the tables alone are read")]


def test_rate_of_29_moves_no_frame(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", None, ["train0000,23,45,9,60,29.0"])
    _, store = _prepared(root)
    assert _cuts(store) == [("train0000_0", 9, 23, 22)]
    assert store.recordings.to_pylist()[0]["fps"] == 29.0, "the rate of the video, not that of the poses"


def test_dummy_of_test_is_never_read(tmp_path: Path) -> None:
    index = {"test0000": _entry([1, 0.0, 0.6667], subset="test"), "test0001": _entry([2, 0.0, 0.6667], subset="test")}
    root = _made(tmp_path / "d", index)
    for name in index:
        _pose(root / "poses" / f"{name}.npz")
    (root / "anns").mkdir()
    (root / "anns" / "test.csv").write_text(f"{HEAD}\n0,test0000,0,20,1,60,30\n1,test0001,0,20,2,60,30\n")
    report, store = _prepared(root)
    assert _cuts(store) == []
    assert [row["name"] for row in store.recordings.to_pylist()] == ["test0000", "test0001"]
    (dummy,) = _told(report, "the public annotations of test are a dummy, not read")
    assert dummy[2].startswith("one made-up segment in each of 2 videos")
    assert not _told(report, DISAGREE)


def test_rows_of_the_table_that_cannot_be_right(tmp_path: Path) -> None:
    rows = [
        "train0000,23,45,52,60,30", "train0000,45,23,9,60,30", "train0000,x,45,9,60,30", "train0000,1,2,9,60,0",
        "train0000,1,2", "train0000,nan,2,9,60,30", "train0000,10,20,9.5,60,30", "train0000,10,20,9,60,30",
    ]  # fmt: skip
    report, store = _prepared(_made(tmp_path / "d", None, rows))
    assert _cuts(store) == [("train0000_0", 9, 10, 10)]
    assert _told(report, "a label is out of range") == [
        ("refused", "line 2", "52; expected 0..51"),
        ("refused", "line 8", "9.5; expected 0..51"),
    ]
    assert _told(report, "the instance ends before it starts") == [("refused", "line 3", "1.500 s to 0.767 s")]
    bad = _told(report, "the row cannot be read")
    assert sorted(place for _, place, _ in bad) == ["line 4", "line 5", "line 6", "line 7"]
    assert "train0000,x,45,9,60,30" in bad[0][2]


def test_entries_of_the_json_that_cannot_be_right(tmp_path: Path) -> None:
    index = {
        "train0000": _entry([-1, 0.1, 0.2], [9, 0.5, 0.5], [9, 0.1], ["a", 0, 1], [True, 0, 1], [9, 0.5, 1.0]),
        "train0001": {"subset": "training", "actions": []},
        "train0002": [],
    }
    report, store = _prepared(_made(tmp_path / "d", index))
    assert _cuts(store) == [("train0000_0", 9, 15, 15)]
    assert _told(report, "a label is out of range") == [("refused", "video train0000, action 0", "-1; expected 0..51")]
    assert len(_told(report, "the instance ends before it starts")) == 1
    assert [place for _, place, _ in _told(report, "an instance cannot be read")] == [
        f"video train0000, action {i}" for i in (2, 3, 4)
    ]
    assert [place for _, place, _ in _told(report, "a video cannot be read")] == ["video train0001", "video train0002"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("mmad.json", "[1]", "not a dictionary of videos"),
        ("mmad.json", '{"train0000": {"subset": "train", "duration": NaN}}', "NaN"),
        ("mmad_frames.json", "[]", "not a dictionary of lengths"),
        ("anns/train.csv", "video,start\n", "column 'video_id', .* is missing"),
    ],
)
def test_annotations_that_are_none(tmp_path: Path, name: str, text: str, words: str) -> None:
    root = _made(tmp_path / "d", {"train0000": _entry()}, [], {"train0000": 50})
    (root / name).write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=words):
        DetectionSource().find(root)


def test_frames_of_mmad_frames_count_at_25_per_second(tmp_path: Path) -> None:
    index = {name: _entry() for name in ("train0000", "train0001", "train0002")}
    root = _made(tmp_path / "d", index, None, {"train0000": 50, "train0001": 60})
    told = _told(_prepared(root)[0], "mmad_frames.json and the annotations disagree")
    assert told == [
        ("quirk", "train0001", "60 for 2.00 s; expected about 50 frames at 25 per second"),
        ("quirk", "train0002", "nothing for 2.00 s; expected about 50 frames at 25 per second"),
    ]


# ---- where the poses come from


def test_without_poses_the_three_ways_are_named(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", {"train0000": _entry([9, 0.5, 1.0])})
    (root / "poses" / "train0000.npz").unlink()
    (root / "train0000.mp4").write_bytes(b"film")
    with pytest.raises(CheckFailed) as caught:
        prepare(DetectionSource(), root, tmp_path / "store")
    for words in (
        "annotations of 1 videos, but no poses: MMA-52 is distributed without any", "poses/VIDEO.npz",
        "MMA52_train.pkl", "from the 1 videos found, with --set estimate=true (slow",
    ):  # fmt: skip
        assert words in str(caught.value)
    (root / "train0000.mp4").unlink()
    with pytest.raises(CheckFailed, match=r"no video to estimate poses from; put them beside as poses/VIDEO.npz"):
        prepare(DetectionSource(estimate=True), root, tmp_path / "store")


def test_a_folder_that_is_not_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"this is not MMA-52. Looked for anns/train.csv"):
        prepare(DetectionSource(), tmp_path, tmp_path / "store")


def test_poses_are_estimated_into_the_cache_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _made(tmp_path / "d", {"train0000": _entry([9, 0.5, 1.0]), "train0001": _entry([8, 0.5, 1.0])})
    (root / "train").mkdir()
    (root / "train" / "train0001.mp4").write_bytes(b"film")
    monkeypatch.setenv("MICROGESTURE_HOME", str(tmp_path / "home"))
    asked = []

    def estimated(path: Path, out: str) -> Any:
        asked.append((Path(path), Path(out)))
        skeleton = SKELETONS["canonical"]
        xy = np.full((60, len(skeleton), 2), 7, np.float32)
        track = PoseTrack(xy, np.ones(xy.shape[:2]), 30.0, (1920, 1080), skeleton)
        return store_tracks([track], path, out)

    monkeypatch.setattr("microgesture.pose.estimate.estimate", estimated)
    source = source_of("mma52", {"estimate": "true"})
    assert isinstance(source, DetectionSource)
    report, store = _prepared(root, source)
    ((film, cache),) = asked
    assert film == root / "train" / "train0001.mp4", "what has poses is not estimated"
    assert cache.is_relative_to(tmp_path / "home" / "cache" / "poses")
    assert cache.name == "train0001"
    assert _cuts(store)[1] == ("train0001_0", 8, 15, 15)
    row = store.recordings.to_pylist()[1]
    assert (row["video"], row["width"]) == ("train/train0001.mp4", 1920)
    track = store.track(1)
    assert track.skeleton == LAYOUT
    assert track.score[:, 18:].any(), "finger tips come from the canonical layout"
    assert report.refused == 0


def test_pickles_of_poses(tmp_path: Path) -> None:
    index = {f"train000{i}": _entry([9, 0.5, 1.0]) for i in range(3)}
    root = _made(tmp_path / "d", index, [f"{name},15,30,9,60,29" for name in index])
    clips = [
        PysklClip(name, None, (PoseTrack(np.ones((60, 28, 2)), np.ones((60, 28)), 30.0, (0, 0), LAYOUT),))
        for name in ("train0000", "train0001", "train0009")
    ]
    write_pyskl(root / "MMA52_train.pkl", clips, {})
    report, store = _prepared(root)
    assert [row["name"] for row in store.recordings.to_pylist()] == ["train0000", "train0001"]
    assert {row["fps"] for row in store.recordings.to_pylist()} == {29.0}
    assert _told(report, "no poses of a video") == [("missing", "train0002", "")]
    assert _told(report, "poses of a video that is not listed") == [("refused", "train0009", "")]


def test_poses_that_are_missing_damaged_or_of_another_kind(tmp_path: Path) -> None:
    index = {f"train000{i}": _entry([9, 0.5, 1.0]) for i in range(5)}
    root = _made(tmp_path / "d", index)
    (root / "poses" / "train0001.npz").write_bytes((root / "poses" / "train0000.npz").read_bytes()[:200])
    _pose(root / "poses" / "train0002.npz", layout="openpose25")
    _pose(root / "poses" / "train0003.npz", coordinates=3)
    report, store = _prepared(root)
    assert [row["name"] for row in store.recordings.to_pylist()] == ["train0000", "train0002"]
    score = store.track(1).score
    assert score[:, :18].all()
    assert not score[:, 18:].any(), "OpenPose's body model has no fingers"
    assert [f.path for f in report.findings if f.topic == "no poses of a video"] == ["train0004"]
    refused = {f.path: f.detail for f in report.findings if f.kind == "refused"}
    assert set(refused) == {"poses/train0001.npz", "poses/train0003.npz"}
    assert "holds 3-D poses" in refused["poses/train0003.npz"]


def test_poses_at_another_rate_keep_the_times(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", None, ["train0000,30,45,9,60,30"])
    _pose(root / "poses" / "train0000.npz", frames=30, fps=15.0)
    report, store = _prepared(root)
    assert _cuts(store) == [("train0000_0", 9, 15, 7)]
    assert [(s.start, s.end) for s in store.timeline(0)] == [(1.0, pytest.approx(1.5, abs=0.04))]
    assert not _told(report, "poses and annotations differ in length")


def test_poses_of_another_length_are_told(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", None, ["train0000,0,30,9,60,30", "train0000,0,59,9,60,30"])
    _pose(root / "poses" / "train0000.npz", frames=40)
    report, store = _prepared(root)
    assert _cuts(store) == [("train0000_0", 9, 0, 30)]
    assert _told(report, "poses and annotations differ in length") == [
        ("quirk", "train0000", "40 frames at 30 per second, but 2.00 s")
    ]
    assert _told(report, "a segment lies outside its recording")[0][2] == "frames 0 to 59 of 40"


def test_an_end_a_frame_late_is_rounding(tmp_path: Path) -> None:
    root = _made(tmp_path / "d", {"train0000": _entry([9, 0.5, 2.05])})
    report, store = _prepared(root)
    assert _cuts(store) == [("train0000_0", 9, 15, 45)]
    assert report.refused == 0
