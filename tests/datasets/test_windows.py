"""Cutting recordings: what a window holds, where windows begin, how they become batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.learning.toy_recordings import FPS, Speeds, ToyRecordings

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.datasets.augment_windows import Copies, Mirror, Mosaic, Speed, Window
from microgesture.datasets.pictures import Pictures, filmed
from microgesture.datasets.recordings import LabelledRecording
from microgesture.datasets.simulated import SimulatedRecordings
from microgesture.datasets.windows import Windowing, collate, describe, search_windows, starts, train_windows, whole
from microgesture.formats.video import VideoWriter


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
        ({"frames": 4, "pictures": Pictures(5)}, r"loading.pictures.frames is 5; a window has 4 frames"),
        ({"workers": -1}, "loading.workers is -1; it must be at least 0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Windowing(**settings)  # type: ignore[arg-type]


def test_no_window_to_learn_from() -> None:
    (one,), windowing = described(empty=False, frames=10, stride=1, keep=1.0)
    with pytest.raises(UsageError, match="no window of the training recordings holds a gesture"):
        train_windows([one], windowing, 0)


# pictures

COUNT = 120  # frames of the film; brightness counts them, two by two


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film at 10 per second, like the recordings; the left of each picture is 2 times its number, the right 0."""
    path = tmp_path_factory.mktemp("film") / "counting.mp4"
    with VideoWriter(path, FPS, (32, 16)) as video:
        for i in range(COUNT):
            picture = np.zeros((16, 32, 3), np.uint8)
            picture[:, :16] = 2 * i
            video.write(picture, i / FPS)
    return path


def filmed_recording(film: Path | None, frames: int = COUNT) -> LabelledRecording:
    one = ToyRecordings(1).recordings("train")[0]
    return replace(one, track=one.track[:frames], film=film)


def numbers(rgb: np.ndarray) -> np.ndarray:
    """Which frame of the film each picture (F, H, W, 3) is."""
    return rgb[:, 4:12, 4:12].mean((1, 2, 3)) / 2


def with_pictures(film: Path | None, frames: int = COUNT, **settings: object):
    windowing = Windowing(**({"frames": 40, "pictures": Pictures(40, 16, 32)} | settings))  # type: ignore[arg-type]
    return describe([filmed_recording(film, frames)], windowing, FPS)[0], windowing


def test_every_frame_of_a_window_has_its_picture(film: Path) -> None:
    one, windowing = with_pictures(film)
    for start in (0, 33, 80):
        window = one.window(start, windowing)
        assert window.rgb is not None
        np.testing.assert_allclose(numbers(window.rgb), start + np.arange(40), atol=1.4)


def test_fewer_pictures_are_the_middles_of_equal_parts(film: Path) -> None:
    one, windowing = with_pictures(film, pictures=Pictures(8, 16, 32))
    rgb = one.window(20, windowing).rgb
    assert rgb is not None
    np.testing.assert_allclose(numbers(rgb), 22 + 5 * np.arange(8), atol=1.4)


def test_pictures_keep_time_where_poses_are_resampled(film: Path) -> None:
    windowing = Windowing(frames=20, pictures=Pictures(20, 16, 32))
    (one,) = describe([filmed_recording(film)], windowing, FPS / 2)  # two frames of the film for each pose
    rgb = one.window(10, windowing).rgb
    assert rgb is not None
    np.testing.assert_allclose(numbers(rgb), 20 + 2 * np.arange(20), atol=2)


def test_pictures_are_black_behind_the_recording(film: Path) -> None:
    one, windowing = with_pictures(film, frames=100)
    rgb = one.window(90, windowing).rgb
    assert rgb is not None
    assert numbers(rgb[:10]).min() > 85
    assert not rgb[10:].any()
    few, windowing = with_pictures(film, frames=81, pictures=Pictures(2, 16, 32))
    rgb = few.window(80, windowing).rgb  # not one of the two moments lies within
    assert rgb is not None
    assert not rgb.any()


def test_a_window_reads_its_film_once(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from microgesture.datasets import pictures

    decoded: list[float] = []

    def counted(path: Path, start: float, **options: object):
        for frame in read(path, start, **options):
            decoded.append(frame.time)
            yield frame

    read = pictures.read_frames
    monkeypatch.setattr(pictures, "read_frames", counted)
    one, windowing = with_pictures(film)
    one.window(30, windowing)
    assert len(decoded) == len(set(decoded)) == 40
    decoded.clear()
    assert whole(one, windowing).rgb is None
    assert not decoded


def test_pictures_in_batches(film: Path) -> None:
    one, windowing = with_pictures(film, overlap=0.0, batch=2)
    (places, batch), (_, last) = search_windows(one, windowing)
    assert places == [0, 40]
    assert batch.rgb is not None
    assert last.rgb is not None
    assert batch.rgb.shape == (2, 40, 16, 32, 3)
    np.testing.assert_allclose(numbers(batch.rgb[1].numpy()), 40 + np.arange(40), atol=1.4)
    assert len(last.rgb) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_training_pictures_belong_to_their_windows_and_depend_on_the_seed_alone(film: Path, workers: int) -> None:
    one, windowing = with_pictures(film, workers=workers, batch=3)
    seen = []
    for seed in (3, 3, 4):
        batches = list(train_windows([one], windowing, seed))
        assert all(b.rgb is not None for b in batches)
        seen.append(np.concatenate([b.rgb.numpy() for b in batches if b.rgb is not None]))
        # poses are where the pictures say: both are cut from the same frame on
        xy = np.concatenate([b.xy.numpy() for b in batches])
        for rgb, poses in zip(seen[-1], xy, strict=True):
            start = round(float((numbers(rgb) - np.arange(40)).mean()))
            np.testing.assert_allclose(poses, one.window(start, replace(windowing, pictures=None)).xy, atol=1e-6)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_what_is_wrong_with_a_film_is_said_by_name(film: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recording 'train0' has no film, and loading\.pictures"):
        with_pictures(None)
    with pytest.raises(NoInput, match=r"nowhere\.mp4"):
        with_pictures(tmp_path / "nowhere.mp4")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    one, windowing = with_pictures(broken)
    with pytest.raises(FormatError, match=r"broken\.mp4"):
        one.window(0, windowing)
    for workers in (0, 1):  # what goes wrong in another process is no other error
        with pytest.raises(FormatError, match=r"broken\.mp4"):
            next(iter(train_windows([one], replace(windowing, workers=workers), 0)))
    one, windowing = with_pictures(film, frames=600)
    with pytest.raises(FormatError, match=r"counting\.mp4.*holds no picture from 50\.000 s on"):
        one.window(500, windowing)
    with pytest.raises(UsageError, match=r"toy_recordings: loading\.pictures needs a data set with films"):
        filmed(ToyRecordings(), "train")  # type: ignore[arg-type]


def test_augmentations_move_pictures_along(film: Path) -> None:
    one, windowing = with_pictures(film)
    window = one.window(20, windowing)
    assert window.rgb is not None
    fast = Speed(1.25, 1.25)(window, np.random.default_rng(0))
    assert fast.rgb is not None
    assert fast.valid == pytest.approx(0.8)
    np.testing.assert_allclose(np.diff(numbers(fast.rgb[:32])).mean(), 1.25, atol=0.1)
    assert not fast.rgb[32:].any()
    turned = Mirror("imigue22", p=1)(window, np.random.default_rng(0))
    np.testing.assert_array_equal(turned.rgb, window.rgb[:, :, ::-1])
    mixed = Mosaic(pieces=4, longest=0.2)(replace(window, segments=window.segments[:0]), np.random.default_rng(1))
    assert mixed.rgb is not None
    changed = np.abs(numbers(mixed.rgb) - numbers(window.rgb)) > 1.5
    assert changed.any()
    np.testing.assert_array_equal(changed, (mixed.xy != window.xy).any((0, 2, 3)))
