"""Cutting recordings: what a window holds, where windows begin, how they become batches."""

from __future__ import annotations

import numpy as np
import pytest
from tests.learning.toy_recordings import FPS, Speeds, ToyRecordings

from microgesture.core.errors import UsageError
from microgesture.datasets.augment_windows import Copies, Window
from microgesture.datasets.simulated import SimulatedRecordings
from microgesture.datasets.windows import Windowing, collate, describe, search_windows, starts, train_windows, whole


def described(count: int = 1, **settings: object):
    windowing = Windowing(**({"frames": 100, "features": Speeds()} | settings))  # type: ignore[arg-type]
    return describe(ToyRecordings(count).recordings("train"), windowing, FPS), windowing


def test_a_window_says_when_its_gestures_are() -> None:
    (one,), windowing = described()
    for start in (0, 40, 500):
        window = one.window(start, windowing)
        for (a, b), k in zip(window.segments, window.classes, strict=True):
            times = (start + 100 * a) / FPS, (start + 100 * b) / FPS
            near = [s for s in one.recording.timeline if abs(s.start - times[0]) < 1e-4]
            assert [(s.label, round(s.end, 4)) for s in near] == [(k, round(times[1], 4))]
    assert len(one.window(500, windowing).classes) > 0


def test_features_and_poses_of_a_window_cover_the_same_stretch() -> None:
    (one,), windowing = described()
    window = one.window(40, windowing)
    assert window.xy.shape == (1, 100, 22, 2)
    assert window.series is not None
    assert one.series is not None
    np.testing.assert_array_equal(window.series, one.series[:, 20:70])


def test_a_window_behind_the_end_is_filled_with_zeros() -> None:
    (one,), windowing = described()
    window = one.window(550, windowing)
    assert window.valid == 0.5
    assert not window.score[:, 50:].any()
    assert not window.xy[:, 50:].any()
    assert window.series is not None
    assert not window.series[:, 25:].any()


def test_gestures_cut_by_the_window_count_by_their_visible_share() -> None:
    (one,), windowing = described(keep=0.6)
    segment = one.recording.timeline.segments[0]
    begin, length = segment.start * FPS, segment.duration * FPS
    shown = lambda share: one.gestures(round(begin + (1 - share) * length), windowing)[1]  # noqa: E731
    assert len(shown(0.8)) == len(shown(0.4)) + 1


def test_search_windows_cover_every_frame_and_end_with_the_recording() -> None:
    for frames in (1, 99, 100, 101, 250, 999):
        places = starts(frames, Windowing(frames=100, overlap=0.3))
        seen = np.zeros(max(frames, 100), bool)
        for start in places:
            seen[start : start + 100] = True
        assert seen[:frames].all()
        assert places[-1] == max(0, frames - 100)


def test_batches_fill_up_gestures_with_minus_one() -> None:
    (one,), windowing = described()
    batch = collate([one.window(0, windowing), one.window(500, windowing), one.window(590, windowing)])
    assert batch.classes is not None
    assert [len(k) for _, k in batch.targets()] == [(batch.classes[i] >= 0).sum() for i in range(3)]
    assert len(batch.targets()[2][1]) == 0


def test_training_windows_move_in_every_epoch_and_depend_on_the_seed_alone() -> None:
    many, windowing = described(2, stride=0.5)
    loader = train_windows(many, windowing, seed=3)
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        epochs.append([batch.xy.sum().item() for batch in loader])
    assert epochs[0] == epochs[2]
    assert epochs[0] != epochs[1]


def test_an_augmentation_may_show_windows_more_often_and_change_them() -> None:
    class Twice(Copies):
        def copies(self, shown):
            return [2 if len(k) else 1 for k in shown]

        def __call__(self, window: Window, draw: np.random.Generator) -> Window:
            return Window(window.xy * 0, window.score, window.series, window.segments, window.classes, window.valid)

    many, plain = described(1, stride=1)
    _, windowing = described(1, stride=1, augment=(Twice(),))
    once, twice = train_windows(many, plain, 0), train_windows(many, windowing, 0)
    shown = sum(len(many[0].gestures(s, plain)[1]) > 0 for s in range(0, 501, 100))
    assert len(twice.dataset) == len(once.dataset) + shown  # type: ignore[arg-type]
    assert all(not batch.xy.any() for batch in twice)


def test_whole_recordings_are_one_window() -> None:
    (one,), windowing = described()
    batch = whole(one, windowing)
    assert batch.xy.shape[2] == 600
    assert batch.series is not None
    assert batch.series.shape == (1, 2, 300)
    assert len(batch.targets()[0][1]) == len(one.recording.timeline)


def test_recordings_at_another_rate_keep_their_times() -> None:
    recording = SimulatedRecordings("smg", test_minutes=0.5).recordings("test")[0]
    (slow,) = describe([recording], Windowing(frames=50), 10.0)
    assert slow.recording.track.fps == 10
    assert abs(slow.frames - 300) <= 2
    assert slow.recording.timeline == recording.timeline


def test_batches_of_one_recording_come_in_order() -> None:
    (one,), windowing = described(batch=4, overlap=0.5)
    places = [start for some, batch in search_windows(one, windowing) for start in some]
    assert places == starts(600, windowing)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"frames": 0}, "loading.frames is 0"),
        ({"stride": 0}, "loading.stride is 0"),
        ({"overlap": 1.0}, "loading.overlap is 1.0"),
        ({"frames": 101, "features": Speeds()}, "must be a multiple of the 2 frames"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Windowing(**settings)  # type: ignore[arg-type]


def test_no_window_to_learn_from() -> None:
    (one,), windowing = described(empty=False, frames=10, stride=1, keep=1.0)
    with pytest.raises(UsageError, match="no window of the training recordings holds a gesture"):
        train_windows([one], windowing, 0)
