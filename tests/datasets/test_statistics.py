"""What is counted in a store, by numbers that can be checked by hand."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.datasets.made import PLAIN, made, recorded

from microgesture.core.errors import FormatError
from microgesture.core.layouts import SKELETONS
from microgesture.datasets.prepare import Cut, StateCut
from microgesture.datasets.statistics import BINS, Spread, joint_groups, sample_joints, statistics, tail_of
from microgesture.datasets.store import CLIPS, RECORDINGS, Store, schema


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    waves = [Cut(f"w{i}", 0, i, i + 10) for i in (0, 10, 20)]
    return made(
        tmp_path_factory.mktemp("made"),
        [
            recorded("a", "train", cuts=[*waves, Cut("n", 1, 25, 40)], subject=1, size=(640, 480)),
            recorded("b", "train", 60, cuts=[], subject=2, size=(640, 480)),
            recorded("c", "val", fps=20.0, cuts=[Cut("v", 1, 0, 20)], subject=1),
            recorded("d", "test", cuts=[Cut("t", -1, 0, 5)], states=[StateCut("d", 1, 0, 30)]),
        ],
        states=("calm", "tense"),
    )


def test_splits_are_counted(store: Store) -> None:
    train, val, test = statistics(store).splits
    assert [s.name for s in (train, val, test)] == ["train", "val", "test"]
    assert (train.recordings, train.clips, train.withheld, train.counts) == (2, 4, 0, (3, 1, 0))
    assert (train.majority, train.floor, train.minutes) == (0, 0.75, pytest.approx(10 / 60))
    assert (val.counts, val.floor, val.minutes) == ((0, 1, 0), 1.0, pytest.approx(2 / 60))
    assert (test.clips, test.withheld, test.majority, test.floor) == (1, 1, -1, None)


def test_recordings_and_people_without_clips_count_as_0(store: Store) -> None:
    train, _, test = statistics(store).splits
    assert train.per_recording == train.per_subject == Spread.of([0, 4])
    assert (train.subjects, test.subjects, test.per_subject) == (2, None, None)


def test_people_in_two_splits_are_told(store: Store) -> None:
    assert statistics(store).shared_subjects == 1


def test_durations_are_in_the_seconds_of_each_recording(store: Store) -> None:
    numbers = statistics(store)
    assert numbers.durations == (Spread.of([1.0] * 3), Spread.of([1.5, 1.0]), None)
    assert numbers.duration is not None
    assert (numbers.duration.count, numbers.duration.most) == (6, 1.5)


def test_frames_in_several_clips_count_once(store: Store) -> None:
    numbers = statistics(store)
    assert numbers.labelled == pytest.approx((40 + 20 + 5) / 180)
    assert numbers.overlapping == 1


def test_rates_and_sizes_met(store: Store) -> None:
    numbers = statistics(store)
    assert numbers.rates == ((10.0, 3), (20.0, 1))
    assert numbers.sizes == ((0, 0, 2), (640, 480, 2))


def test_the_tail_is_that_of_train_or_of_the_first_split_with_labels(store: Store) -> None:
    splits = statistics(store).splits
    tail = tail_of(splits)
    assert tail is not None
    assert (tail.split, tail.order, tail.few, tail.absent, tail.imbalance) == ("train", (0, 1, 2), (0, 1, 2), (2,), 3.0)
    large = tail_of((replace(splits[0], counts=(20, 101, 19)),))
    assert large is not None
    assert (large.order, large.many, large.medium, large.few) == ((1, 0, 2), (1,), (0,), (2,))
    other = tail_of(splits[1:])
    assert other is not None
    assert other.split == "val"
    assert tail_of(splits[2:]) is None


def test_states_have_the_split_of_their_protocol_or_of_their_recording(tmp_path: Path) -> None:
    store = made(
        tmp_path,
        [
            recorded("a", "train", 60, states=[StateCut("a", 0, 0, 30, "test"), StateCut("a2", 0, 30, 60)]),
            recorded("b", "test", 60, states=[StateCut("b", -1, 0, 60), StateCut("b2", 7, 0, 6)]),
        ],
        states=("calm",),
    )
    found = [(s.split, s.name, s.count, s.minutes) for s in statistics(store).states]
    assert found == [
        ("train", "calm", 1, pytest.approx(0.05)),
        ("test", "withheld", 1, pytest.approx(0.1)),
        ("test", "calm", 1, pytest.approx(0.05)),
        ("test", "state 7", 1, pytest.approx(0.01)),
    ]


def test_missing_joints_are_shares_of_the_poses_seen(tmp_path: Path) -> None:
    recording = recorded("a", "train", 40, persons=2)
    recording.score[0, :10] = 0  # the first person comes later
    recording.score[0, 10:25, 3] = 0
    recording.score[1] = 0
    joints = statistics(made(tmp_path, [recording], persons=2)).joints
    assert (joints.frames, joints.total, joints.people, joints.nobody) == (40, 40, 30, 0.25)
    assert joints.missing == (0, 0, 0, pytest.approx(0.5))
    assert joints.confidence == {
        "head": (0,) * (BINS - 1) + (15,),
        "trunk and arms": (0,) * (BINS - 1) + (90,),
    }


def test_the_pose_does_not_depend_on_place_and_size(tmp_path: Path) -> None:
    near, far = recorded("near", "train"), recorded("far", "train")
    far.xy[:] = far.xy / 10 + 300
    far.score[..., 2] = 0
    one = statistics(made(tmp_path, [near, far])).joints.pose
    assert one[0] == (0, 0)
    assert one[2] is not None
    assert one[1] == pytest.approx((-one[2][0], one[2][1]), abs=0.1)  # by the box of all joints, which one lacks
    far.score[..., 2:] = 0
    near.score[..., 2:] = 0
    (tmp_path / "two").mkdir()
    assert statistics(made(tmp_path / "two", [near, far])).joints.pose[2:] == (None, None)


def test_the_sample_is_spread_evenly_and_the_same_every_time(tmp_path: Path) -> None:
    long = recorded("long", "train", 900)
    long.score[0, :, 3] = np.arange(900) % 100 < 25
    store = made(tmp_path, [long, recorded("short", "val", 100)])
    told: list[tuple[str, float, float]] = []
    joints = sample_joints(store, 500, lambda *news: told.append(news))
    assert (joints.frames, joints.total) == (500, 1000)
    assert joints.missing[3] == pytest.approx(0.9 * 0.75, abs=0.01)
    assert joints == sample_joints(store, 500)
    assert told[0] == ("reading frames", 1, 500)
    assert told[-1] == ("reading frames", 500, 500)


def test_every_joint_of_every_layout_has_its_part_of_the_body() -> None:
    parts = dict(zip(SKELETONS["openpose137"].joints, joint_groups(SKELETONS["openpose137"]), strict=True))
    assert {parts[j] for j in ("nose_tip", "r_brow_0", "l_inner_lower_lip", "r_pupil", "chin")} == {"head"}
    assert {parts[j] for j in ("neck", "r_wrist", "mid_hip", "l_hip", "l_elbow")} == {"trunk and arms"}
    assert {parts[j] for j in ("r_hand_wrist", "l_index_tip", "r_thumb_cmc")} == {"hands"}
    assert {parts[j] for j in ("r_knee", "l_small_toe", "r_heel")} == {"legs"}
    kinect = dict(zip(SKELETONS["kinect25"].joints, joint_groups(SKELETONS["kinect25"]), strict=True))
    assert (kinect["head"], kinect["l_hand_tip"], kinect["r_foot"]) == ("head", "hands", "legs")


@pytest.mark.parametrize("recordings", [0, 1])
def test_nothing_at_all_is_counted_too(tmp_path: Path, recordings: int) -> None:
    store = made(tmp_path, [recorded("a", "train")] * recordings)
    numbers = statistics(store)
    assert (numbers.tail, numbers.duration, numbers.labelled, numbers.states) == (None, None, 0.0, ())
    assert numbers.durations == (None,) * 3
    assert numbers.joints.total == 40 * recordings
    assert len(numbers.joints.pose) == len(PLAIN)


def test_a_million_clips_take_seconds(tmp_path: Path) -> None:
    """Nothing here may loop over clips: that would take a minute."""
    store, n = made(tmp_path, [recorded("a", "train")]), 1_000_000
    many = np.arange(n)
    columns = [pa.array(["c"] * n), many % 3, many * 0, many % 30, 1 + many % 10]
    store.__dict__["clips"] = pa.table(columns, schema=schema(CLIPS))
    begun = time.monotonic()
    numbers = statistics(store)
    assert time.monotonic() - begun < 8
    assert numbers.splits[0].counts == (333_334, 333_333, 333_333)
    assert numbers.overlapping > 999_000
    assert store.column(RECORDINGS, "frames").tolist() == [40]


def test_frames_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    store = made(tmp_path, [recorded("a", "train")])
    (store.path / "frames.bin").write_bytes(b"")
    with pytest.raises(FormatError, match=r"frames\.bin: cannot be read"):
        statistics(store)
