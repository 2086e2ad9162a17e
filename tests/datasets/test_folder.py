from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.datasets.test_plain_npz import plain

from microgesture.core.errors import CheckFailed, FormatError, NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment, Timeline
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import SMG
from microgesture.core.track import PoseTrack
from microgesture.datasets import folder as module
from microgesture.datasets.folder import Folder, Source, every_fifth
from microgesture.datasets.plain_npz import classes
from microgesture.datasets.prepare import Report, prepare, source_of
from microgesture.datasets.store import Store, open_store
from microgesture.formats.poses import write_poses
from microgesture.formats.pyskl import PysklClip, write_pyskl
from microgesture.formats.timelines import write_timeline

BODY = SKELETONS["openpose18"]
OWN = classes("folder", "folder", ["nod", "shrug", "wave"])
DATA = Path(os.environ.get("MICROGESTURE_DATA", "../shared/data"))


def track(frames: int = 30, seed: int = 0, skeleton: Skeleton = BODY, fps: float = 10, person: int = 0) -> PoseTrack:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 600, (frames, len(skeleton), 2)).astype(np.float32)
    return PoseTrack(xy, np.ones(xy.shape[:2], np.float32), fps, (640, 480), skeleton, person=person)


def line(*rows: tuple[float, float, int], space: Any = OWN, person: int = 0) -> Timeline:
    return Timeline(tuple(Segment(a, b, k, person=person) for a, b, k in rows), space, 3.0)


def recordings(root: Path, count: int = 5, suffix: str = ".vtt", **options: Any) -> Path:
    root.mkdir(exist_ok=True)
    for i in range(count):
        write_poses([track(seed=i, **options)], root / f"rec{i}.npz")
        write_timeline(line((0.5, 1.0, i % 3), (2.0, 2.5, (i + 1) % 3)), root / f"rec{i}{suffix}")
    return root


def made(root: Path, **options: Any) -> tuple[Report, Store]:
    out = root.parent / f"{root.name}_store"
    report = prepare(source_of("folder", options), root, out, workers=1, fresh=True)
    return report, open_store(out)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MICROGESTURE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MICROGESTURE_FOLDER", raising=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*prepared once")
        yield


def test_poses_and_annotations_of_one_stem_make_a_recording(tmp_path: Path) -> None:
    report, store = made(recordings(tmp_path / "own"))
    assert store.taxonomy.names == ("nod", "shrug", "wave")
    assert store.skeleton == BODY
    assert {split: row["recordings"] for split, row in report.rows.items()} == {"train": 3, "val": 1, "test": 1}
    first = store.clips.to_pylist()[0]
    assert (first["label"], first["start"], first["frames"]) == (0, 5, 5), "half-open: 0.5 to 1.0 s at 10 per second"
    assert [s.label for s in store.timeline(0)] == [0, 1]
    told = "\n".join(report.summary())
    assert "split by recording, ours" in told
    assert "one person may be in train and in test" in told


@pytest.mark.parametrize("suffix", [".eaf", ".csv", ".vtt", ".boris", "_boris.csv", "_events.tsv"])
def test_every_format_of_annotations_is_read(tmp_path: Path, suffix: str) -> None:
    report, store = made(recordings(tmp_path / "own", 3, suffix))
    assert store.clips.num_rows == 6
    assert not report.refused
    assert set(store.taxonomy.names) == {"nod", "shrug", "wave"}


@pytest.mark.parametrize(
    "name, kind",
    [("rec0.json", "openpose"), ("rec0_openpose", "openpose"), ("rec0DLC_resnet50_x.csv", "deeplabcut"),
     ("rec0_mediapipe.csv", "mediapipe")],
)  # fmt: skip
def test_poses_of_other_tools_are_read(tmp_path: Path, name: str, kind: str) -> None:
    layout = SKELETONS["mediapipe33" if kind == "mediapipe" else "openpose25"]
    root = tmp_path / "own"
    root.mkdir()
    if name.endswith(".json"):
        write_poses([track(skeleton=layout)], root / "frames", kind=kind)
        import json

        frames = [json.loads(p.read_text()) for p in sorted((root / "frames").glob("*.json"))]
        (root / name).write_text(json.dumps(frames))
        for p in (root / "frames").glob("*.json"):
            p.unlink()
    else:
        write_poses([track(skeleton=layout)], root / name, kind=kind)
    write_timeline(line((0.5, 1.0, 2)), root / "rec0.vtt")
    (root / "dataset.yaml").write_text("fps: 10\nsize: 640x480\nsplit: {train: ['*']}\n")
    report, store = made(root)
    assert report.rows["train"]["clips"] == 1, report.summary()
    assert store.skeleton == layout
    assert store.recordings.to_pylist()[0]["fps"] == pytest.approx(10)


def test_a_rate_that_nothing_says_is_asked_for(tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    write_poses([track(skeleton=SKELETONS["openpose25"])], root / "rec0DLC_a.csv", kind="deeplabcut")
    write_timeline(line((0.5, 1.0, 2)), root / "rec0.vtt")
    report, _ = made(root)
    assert any("fps in dataset.yaml" in text and "rec0DLC_a.csv" in text for text in report.summary("refused"))
    (root / "dataset.yaml").write_text("fps: 30000/1001\nsize: 640x480\n")
    _, store = made(root)
    assert store.recordings.to_pylist()[0]["fps"] == pytest.approx(29.97, abs=1e-3)


def test_names_found_twice_keep_their_folders(tmp_path: Path) -> None:
    root = tmp_path / "own"
    for who in ("anna", "ben"):
        (root / who).mkdir(parents=True)
        write_poses([track()], root / who / "rec.npz")
        write_timeline(line((0.5, 1.0, 1)), root / who / "rec.vtt")
    (root / "dataset.yaml").write_text("subjects: {'anna/*': anna, 'ben/*': ben}\n")
    report, store = made(root)
    assert store.recordings.column("name").to_pylist() == ["anna/rec", "ben/rec"]
    assert store.recordings.column("subject").to_pylist() == [0, 1]
    assert [row["recordings"] for row in report.rows.values()] == [1, 1]
    assert "split by subject, ours" in "\n".join(report.summary())


def test_every_annotated_person_is_a_recording_unless_persons_says_otherwise(tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    write_poses([track(seed=1), track(seed=2, person=1)], root / "two.npz")
    both = Timeline((*line((0.5, 1.0, 0)), *line((1.0, 2.0, 1), person=1), *line((1.0, 2.0, 1), person=5)), OWN, 3.0)
    write_timeline(both, root / "two.csv")
    report, store = made(root, settings="{taxonomy: [nod, shrug, wave]}")
    assert store.recordings.column("name").to_pylist() == ["two", "two, person 1"]
    assert store.clips.column("label").to_pylist() == [0, 1]
    np.testing.assert_array_equal(store.track(1).xy, track(seed=2).xy)
    assert "segments of a person without poses (1): two.csv: person 5; the poses hold 2" in "\n".join(report.summary())
    _, store = made(root, settings="{persons: 2, taxonomy: [nod, shrug, wave]}")
    assert store.persons == 2
    assert store.recordings.num_rows == 1


def test_segments_that_miss_their_recording_are_told(tmp_path: Path) -> None:
    root = recordings(tmp_path / "own", 1)
    write_timeline(line((0.5, 1.0, 0), (2.5, 9.0, 1), (7.0, 8.0, 2)), root / "rec0.vtt")
    report, store = made(root)
    told = "\n".join(report.summary())
    assert "refused: a segment holds no frame of its recording (1)" in told
    assert "7.000 to 8.000 s" in told
    assert "a segment ends after its recording, and is cut (1)" in told
    assert "at 9.000 s" in told
    assert [(c["start"], c["frames"]) for c in store.clips.to_pylist()] == [(5, 5), (25, 5)]
    assert "nothing to test on" in told


def test_what_is_wrong_with_one_file_does_not_stop_the_others(tmp_path: Path) -> None:
    root = recordings(tmp_path / "own", 4)
    (root / "rec0.npz").write_bytes(b"")
    (root / "rec1.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nnod\n\n00:02.000 --> 00:01.000\nnod\n")
    (root / "rec2.vtt").unlink()
    write_timeline(line((0, 1, 0)), root / "lonely.vtt")
    report, store = made(root)
    told = "\n".join(report.summary())
    assert "the file is empty (0 bytes)" in told
    assert "rec0.npz" in told
    assert "an annotation cannot be read (1): rec1.vtt" in told
    assert "missing: no annotations (1): rec2.npz" in told
    assert "annotations without a film or poses (1): lonely.vtt" in told
    assert store.clips.num_rows == 3


def test_splits_are_as_stated(tmp_path: Path) -> None:
    root = recordings(tmp_path / "own")
    (root / "dataset.yaml").write_text(
        "split: {train: ['rec[01]'], test: rec3}\ntaxonomy: {Head: [nod], Arms: [wave, shrug]}\n"
    )
    report, store = made(root)
    assert {s: r["recordings"] for s, r in report.rows.items()} == {"train": 2, "test": 1}
    assert "in no split of dataset.yaml, left out (2): rec2; rec4" in "\n".join(report.summary())
    assert store.taxonomy.groups == ("Head", "Arms")
    assert store.taxonomy.find("SHRUG").id == 2
    assert every_fifth([str(i) for i in range(10)])["6"] == "test"


def test_names_of_a_taxonomy_of_ours_are_noticed_and_a_timeline_of_ours_brings_its_own(tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    for i, suffix in enumerate((".vtt", ".eaf")):
        write_poses([track(seed=i)], root / f"rec{i}.npz")
        write_timeline(line((0.5, 1.0, 3), space=SMG), root / f"rec{i}{suffix}")
    report, _ = made(root)
    told = "\n".join(report.summary())
    assert "those of imigue and of smg (1): 1 occur; state taxonomy: imigue to have all of its classes" in told
    write_timeline(line((0.5, 1.0, 3), space=SMG), root / "rec1.json")
    (root / "rec1.eaf").unlink()
    assert made(root)[1].taxonomy == SMG


def test_layouts_may_differ_and_be_ones_own(tmp_path: Path) -> None:
    root = recordings(tmp_path / "own", 1)
    write_poses([track(skeleton=SKELETONS["openpose25"])], root / "rec1.npz")
    write_timeline(line((0.5, 1.0, 1)), root / "rec1.vtt")
    _, store = made(root)
    assert store.skeleton == BODY
    assert store.recordings.num_rows == 2
    np.testing.assert_allclose(store.track(1).xy[:, 0], track(skeleton=SKELETONS["openpose25"]).xy[:, 0])
    own = "{skeleton: {joints: [nose, l_wrist], bones: [[nose, l_wrist]]}}"
    _, store = made(root, settings=own)
    assert store.skeleton.joints == ("nose", "l_wrist")


def test_uneven_times_are_evened_out(tmp_path: Path) -> None:
    root = recordings(tmp_path / "own", 1)
    one = track()
    times = np.cumsum(np.where(np.arange(30) % 2, 0.05, 0.15))
    write_poses([PoseTrack(one.xy, one.score, 10, one.size, BODY, times)], root / "rec0.npz")
    _, store = made(root)
    clip = store.clips.to_pylist()[0]
    # frame 0 lies at 0.15 s: 0.5 to 1.0 s are the frames at 0.55, 0.65, ..., 0.95 s
    assert (clip["start"], clip["frames"]) == (4, 5)


def test_films_without_poses_are_estimated_or_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "own"
    root.mkdir()
    (root / "film.mp4").write_bytes(b"film")
    write_timeline(line((0.5, 1.0, 1)), root / "film.eaf")
    asked: list[tuple[Path, int]] = []

    def estimated(film: Path, persons: int) -> tuple[PoseTrack, ...]:
        asked.append((film, persons))
        return (track(skeleton=SKELETONS["canonical"]),)

    monkeypatch.setattr(module, "estimated", estimated)
    report, store = made(root)
    assert asked == [(root / "film.mp4", 1)]
    assert store.skeleton.name == "canonical"
    assert store.recordings.to_pylist()[0]["video"] == "film.mp4"
    assert "poses are estimated (1): 1 films; kept in" in "\n".join(report.summary())
    with pytest.raises(CheckFailed, match=r"no recordings\. Looked for films"):
        made(root, estimate=False)


def test_estimated_poses_are_kept(tmp_path: Path) -> None:
    from microgesture.pose import estimate as estimation

    seen: list[Any] = []

    class Kept:
        def track(self, person: int) -> int:
            return person

    def estimate(film: Path, out: Path, *, persons: int) -> Kept:
        seen.append((film, out, persons))
        return Kept()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimation, "estimate", estimate)
        assert module.estimated(tmp_path / "a.mp4", 2) == (0, 1)
    assert seen[0][1].parent == tmp_path / "home" / "cache" / "poses"
    assert seen[0][2] == 2


@pytest.mark.parametrize(
    "text, words",
    [
        ("fsp: 25", r"dataset.yaml: unknown key 'fsp'. Did you mean 'fps'\?"),
        ("fps: quick", "key 'fps': is 'quick'; expected 0.1 to 1000 per second"),
        ("size: 12", "key 'size': is 12; expected width x height"),
        ("persons: 0", "key 'persons': is 0; expected 1 to 64"),
        ("persons: true", "key 'persons': is True"),
        ("taxonomy: fish", "key 'taxonomy': is 'fish'; expected one of imigue"),
        ("taxonomy: [a, A]", "expected every class once"),
        ("taxonomy: []", r"key 'taxonomy': is \[\]"),
        ("name: imigue", "key 'name': is 'imigue'; expected a word that is none of"),
        ("skeleton: fish", "key 'skeleton': is 'fish'; expected one of canonical"),
        ("skeleton: {joints: [a], bones: [[a]]}", "expected joints:"),
        ("skeleton: {joints: [a, b], bones: [[a, c]]}", "there is no joint 'c'"),
        ("split: {try: [a]}", "expected patterns of recordings under train, val and test"),
        ("split: 3", "key 'split': is 3; expected subject, recording"),
        ("split: sideways", "split is 'sideways': the data have no such split"),
        ("split: subject", "split: subject needs a subject for every recording; rec0 has none"),
        ("subjects: [a]", "key 'subjects': is"),
        ("y_up: maybe", "key 'y_up': is 'maybe'; expected true or false"),
        ("only: [a]", r"key 'only': is \['a'\]; expected text"),
        ("only: nothing*", "no recordings"),
        ("- a", "is no list of settings"),
        ("a: [", "line 1: is not YAML|line 2: is not YAML"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, text: str, words: str) -> None:
    root = recordings(tmp_path / "own", 1)
    (root / "dataset.yaml").write_text(text + "\n")
    with pytest.raises(CheckFailed, match=words):
        made(root)


def test_no_annotation_at_all_is_told(tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    write_poses([track()], root / "rec0.npz")
    with pytest.raises(CheckFailed, match=r"1 recordings and not one annotated segment\. Put annotations beside them"):
        made(root)


def test_two_and_three_coordinates_do_not_mix(tmp_path: Path) -> None:
    root = recordings(tmp_path / "own", 1)
    one = track()
    solid = PoseTrack(np.concatenate([one.xy, one.xy[..., :1]], -1), one.score, 10, (0, 0), BODY)
    write_poses([solid], root / "rec1.npz")
    report, _ = made(root)
    assert "has 3 coordinates; expected 2, as the other recordings have" in "\n".join(report.summary("refused"))


def test_clips_of_pyskl(tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    names = [f"clip{i}" for i in range(6)]
    held = [PysklClip(n, i % 2, (track(20, i, SKELETONS["coco17"]),)) for i, n in enumerate(names)]
    write_pyskl(root / "set.pkl", held, {"xsub_train": names[:4], "xsub_test": names[4:]})
    with pytest.raises(CheckFailed, match=r"does not say its layout. State skeleton in dataset.yaml"):
        made(root)
    report, store = made(root, settings="{skeleton: coco17, fps: 30, taxonomy: [a, b], split: xsub}")
    assert [row["clips"] for row in report.rows.values()] == [4, 2]
    np.testing.assert_array_equal(store.track(5).xy, held[5].tracks[0].xy)


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "set.npz").write_bytes(b"PK")
    with pytest.raises(CheckFailed, match=r"set.npz, zip directory: "):
        made(tmp_path / "own")


def test_one_archive(tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    plain(root / "set.npz", split_cross=np.tile([0, 0, 1, 1], 3))
    report, store = made(root)
    assert {s: r["clips"] for s, r in report.rows.items()} == {"train": 6, "test": 6}
    assert not report.summary()
    assert store.coordinates == 3
    assert store.clips.column("label").to_pylist() == np.repeat([0, 1, 2], 4).tolist()
    report, _ = made(root, settings="{split: subject}")
    assert "split by subject, ours" in report.summary()[0]
    assert {s: r["clips"] for s, r in report.rows.items()} == {"train": 6, "val": 3, "test": 3}
    report, store = made(root, settings="{split: recording, subjects: {'nobody': a}}")
    by_class = [np.bincount([c["label"] for c in store.clips.to_pylist()])]
    assert by_class[0].tolist() == [4, 4, 4]
    assert "split by clip, ours" in report.summary()[0]
    assert report.classes["test"][0] == [1, 1, 1], "every fifth is counted within each class"
    with pytest.raises(CheckFailed, match="has no split 'view'; it has cross"):
        made(root, settings="{split: view}")
    plain(root / "more.npz")
    with pytest.raises(CheckFailed, match=r"holds 2 sets \(more.npz, set.npz\); choose one: only: more.npz"):
        made(root)
    assert made(root, only="set.npz")[1].clips.num_rows == 12
    plain(root / "set.npz", split_a=np.zeros(12, int), split_b=np.zeros(12, int))
    with pytest.raises(CheckFailed, match="has the splits a, b; choose one"):
        made(root, only="set.npz")


def test_the_dataset_takes_its_facts_from_the_data(tmp_path: Path) -> None:
    data = Folder(str(plain(tmp_path / "set.npz")))
    assert (data.persons, data.coordinates, data.fps) == (1, 3, 20)
    assert data.splits == ("train", "val", "test")
    assert data.skeleton.joints[2] == "neck"
    assert data.taxonomy.names == ("wave", "nod", "shrug")
    xy, _ = data.clips("test")[0]
    assert xy.shape == (1, 5, 4, 3)
    assert set(data.clips("test").subject.tolist()) == {2}
    root = recordings(tmp_path / "own")
    assert Folder(str(root), layout="imigue22").clips("train")[0][0].shape == (1, 5, 22, 2)
    made(root)
    assert Folder(str(tmp_path / "own_store")).skeleton == BODY
    with pytest.raises(UsageError, match="folder has no split 'fish'"):
        Folder(str(root)).clips("fish")


def test_data_that_changed_are_prepared_again(tmp_path: Path) -> None:
    root = recordings(tmp_path / "own")
    assert len(Folder(str(root)).clips("train")) == 6
    write_timeline(line((0.5, 1.0, 0)), root / "rec0.vtt")
    assert len(Folder(str(root)).clips("train")) == 5


def test_facts_may_be_stated_before_the_data_are_there() -> None:
    data = Folder("nowhere", taxonomy=["a", "b"], joints=["x", "left_y"], bones=[["x", "left_y"]], fps="30000/1001")
    assert data.skeleton.joints == ("x", "l_y")
    assert data.taxonomy.names == ("a", "b")
    assert data.fps == pytest.approx(29.97, abs=1e-3)
    assert data.splits == ("train", "val", "test")
    with pytest.raises(NoInput, match=r"nowhere: there is no such folder. folder: where are the data\?"):
        data.clips("train")
    with pytest.raises(NoInput, match=r"Set --data\.root or MICROGESTURE_FOLDER"):
        _ = Folder().taxonomy
    with pytest.raises(UsageError, match="recipe, key 'persons': is 0"):
        Folder(persons=0)
    with pytest.raises(UsageError, match="no layout 'fish'"):
        Folder(layout="fish")


def test_a_store_of_other_classes_is_refused(tmp_path: Path) -> None:
    made(recordings(tmp_path / "own"))
    with pytest.raises(
        FormatError, match=r"holds 'folder' with the classes nod, shrug, wave ...; expected 'folder' with a"
    ):
        _ = Folder(str(tmp_path / "own_store"), taxonomy=["a"]).store


RECIPE = """\
# microgesture train
system: {class_path: microgesture.systems.stgcnpp.STGCNpp, init_args: {width: 8, growth: [1], strides: [1]}}
data: {class_path: microgesture.datasets.folder.Folder, init_args: {root: SET, joints: [a, b, c, d], bones: BONES}}
loading: {frames: 8, streams: [joint, bone], batch: 4}
optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.003}}
training: {epochs: 1, warmup: 0}
"""


def test_an_unknown_skeleton_is_learnt_by_a_recipe_alone(tmp_path: Path) -> None:
    from microgesture.learning.runs import test as measure
    from microgesture.learning.runs import train

    path = plain(tmp_path / "set.npz", joint_names=None, bones=None)
    text = RECIPE.replace("SET", str(path)).replace("BONES", "[[a, b], [b, c], [c, d]]")
    (tmp_path / "own.yaml").write_text(text)
    run = train(tmp_path / "own.yaml", out=tmp_path / "run")
    record = measure(run)
    assert record["dataset"] == "folder"
    assert record["metrics"]["clips"] == 3


@pytest.mark.parametrize(
    "name, clips", [("utd_mhad.npz", 861), ("sfinge3d_v1_isolated.npz", 468), ("gesture_phase_continuous.npz", 239)]
)
def test_real_sets(tmp_path: Path, name: str, clips: int) -> None:
    path = DATA / "skeleton" / name
    if not path.is_file():
        pytest.skip(f"no {name} in {DATA}")
    report = prepare(Source(only=name), path.parent, tmp_path / "store")  # type: ignore[arg-type]
    assert sum(row["clips"] or 0 for row in report.rows.values()) == clips
    assert not report.refused
