"""A recording becomes a store: the same one however often the run was interrupted, and never silently a wrong one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.track import PoseTrack
from microgesture.formats.pose_npz import write_npz
from microgesture.formats.video import VideoWriter, read_frames
from microgesture.pose.assemble import CANONICAL, Array
from microgesture.pose.estimate import FADE, NobodyFound, estimate, estimate_clip, store_tracks
from microgesture.pose.people import Image
from microgesture.pose.store import open_store

FPS, SECONDS = 5, 65


class BrightSpot:
    """A detector that is no detector: every joint is in the middle of the bright pixels, smoothed from a start on.

    Like a real one it is drawn to where it is, so its result depends on all it has seen since `restart`.
    """

    side = 64
    opened = 0
    restarts: list[Any]

    def __init__(self, persons: int = 1, bias: float = 0.0) -> None:
        self.persons, self.bias = persons, bias
        self.restarts = []

    @property
    def settings(self) -> dict[str, Any]:
        return {"detector": "bright spot", "side": self.side, "persons": self.persons}

    def __enter__(self) -> BrightSpot:
        type(self).opened += 1
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False

    def restart(self, expected: Sequence[tuple[Array, Array] | None], size: tuple[int, int]) -> None:
        self.restarts.append([e is not None for e in expected])
        self._at: np.ndarray | None = None
        self._count = 0

    def read(self, image: Image) -> tuple[Array, Array]:
        assert self._open
        assert max(image.shape) <= self.side
        grey = image.astype(int).sum(-1)
        y, x = np.nonzero(grey > 300)
        seen = len(x) > 0
        now = np.array((x.mean(), y.mean()) if seen else (0, 0), np.float32)
        self._at = now if self._at is None else np.float32(0.7) * self._at + np.float32(0.3) * now
        self._count += 1
        xy = np.zeros((self.persons, len(CANONICAL), 2), np.float32)
        xy[0] = self._at + self.bias * len(self.restarts)
        # a body, not a point, so that it has a size
        xy[0, CANONICAL.index("r_shoulder"), 0] -= 10
        xy[0, CANONICAL.index("l_shoulder"), 0] += 10
        score = np.zeros(xy.shape[:2], np.float32)
        score[0] = (1 - 0.5**self._count) * seen
        return np.where(score[..., None] > 0, xy, 0), score


def write_video(path: Path, seconds: float = SECONDS, *, fps: float = FPS, scale: int = 1, dark: bool = False) -> Path:
    """A bright spot that wanders through a dark picture of 64 x 48 pixels (times `scale`)."""
    with VideoWriter(path, fps, (64 * scale, 48 * scale)) as video:
        for n in range(round(seconds * fps)):
            image = np.full((48 * scale, 64 * scale, 3), 30, np.uint8)
            x, y = (round(scale * (c + r * np.sin(w * n))) for c, r, w in ((32, 20, 0.21), (24, 12, 0.13)))
            if not dark:
                image[y - 3 * scale : y + 3 * scale, x - 3 * scale : x + 3 * scale] = 230
            video.write(image)
    return path


@pytest.fixture(scope="module", autouse=True)
def decoding_in_this_process() -> Iterator[None]:
    """Some hundred runs: starting the decoder's process each time would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("microgesture.pose.estimate.read_frames", lambda *a, isolated, **k: read_frames(*a, **k))
        yield


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "talk.mp4")


@pytest.fixture(scope="module")
def whole(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of a store made in one go."""
    folder = tmp_path_factory.mktemp("whole")
    estimate(talk, folder, detector=BrightSpot)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


class Killed(Exception):
    """Stands for a process that ends: nothing after it runs."""


def test_a_recording_becomes_chunks_of_twenty_seconds(talk: Path, tmp_path: Path) -> None:
    calls: list[tuple[float, float | None]] = []
    store = estimate(talk, tmp_path, detector=BrightSpot, progress=lambda *done: calls.append(done))
    assert [c.frames for c in store.chunks] == [100, 100, 100, 25]
    assert (store.info.size, store.info.fps, store.info.source) == ((64, 48), 5.0, "talk.mp4")
    assert store.info.duration == pytest.approx(SECONDS)
    assert store.seen_share == 1.0
    assert np.allclose(store.track(0).times, np.arange(325) / FPS, atol=1e-3)
    assert len(calls) == 325
    assert calls[-1] == (pytest.approx(SECONDS - 1 / FPS), pytest.approx(SECONDS))


@pytest.mark.parametrize("at", [0, 99, 100, 109, 250, 324])
def test_a_run_that_was_stopped_goes_on_and_writes_the_same_bytes(
    talk: Path, whole: dict[str, bytes], tmp_path: Path, at: int
) -> None:
    count = iter(range(1000))

    def stop(done: float, total: float | None) -> None:
        if next(count) == at:
            raise Killed

    with pytest.raises(Killed):
        estimate(talk, tmp_path, detector=BrightSpot, progress=stop)
    assert not open_store(tmp_path).complete
    again: list[float] = []
    estimate(talk, tmp_path, detector=BrightSpot, progress=lambda done, total: again.append(done))
    assert contents(tmp_path) == whole
    assert len(again) == 325 - at // 100 * 100  # finished chunks are not done again


def test_death_at_every_durable_step_loses_no_finished_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace
    talk = write_video(tmp_path / "talk.mp4", 22)
    estimate(talk, tmp_path / "whole", detector=BrightSpot)
    whole = contents(tmp_path / "whole")

    def dies_at(step: int, *, after: bool) -> Callable[[Any, Any], None]:
        count = iter(range(1, 1000))

        def rename(a: Any, b: Any) -> None:
            last = next(count) == step
            if last and not after:
                raise Killed
            real(a, b)
            if last:
                raise Killed

        return rename

    for after in (False, True):
        step = 1
        while True:
            folder = tmp_path / f"{after}{step}"
            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", dies_at(step, after=after))
                try:
                    estimate(talk, folder, detector=BrightSpot)
                    break
                except Killed:
                    pass
            estimate(talk, folder, detector=BrightSpot)
            assert contents(folder) == whole, f"step {step}"
            step += 1
        assert step == 7  # an empty index, two chunks with an index each, the finished index: 6 renames


def test_what_is_there_is_used_again_without_the_detector(talk: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    estimate(talk, tmp_path, detector=BrightSpot)
    opened = BrightSpot.opened
    estimate(talk, tmp_path, detector=BrightSpot)
    assert BrightSpot.opened == opened
    estimate(talk, tmp_path, resume=False, detector=BrightSpot)
    assert BrightSpot.opened == opened + 1
    assert contents(tmp_path) == whole


def test_another_recording_or_other_settings_start_anew(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", 25)
    out = tmp_path / "poses"
    assert estimate(video, out, detector=BrightSpot).frames == 125
    write_video(video, 4)
    assert estimate(video, out, detector=BrightSpot).frames == 20
    assert not (out / "poses-00001.npz").exists()
    assert estimate(video, out, persons=2, detector=BrightSpot).persons == 2


def test_a_damaged_chunk_is_named_before_anything_is_done(talk: Path, tmp_path: Path) -> None:
    estimate(talk, tmp_path, detector=BrightSpot)
    data = bytearray((tmp_path / "poses-00001.npz").read_bytes())
    data[5000] ^= 1
    (tmp_path / "poses-00001.npz").write_bytes(data)
    with pytest.raises(FormatError, match=r"poses-00001\.npz: the file is damaged.*Delete the folder"):
        estimate(talk, tmp_path, detector=BrightSpot)


def test_each_chunk_starts_with_a_fresh_warm_detector_that_is_told_whom_to_expect(talk: Path, tmp_path: Path) -> None:
    made: list[BrightSpot] = []

    def make(persons: int) -> BrightSpot:
        made.append(BrightSpot(persons))
        return made[-1]

    store = estimate(talk, tmp_path, persons=2, detector=make)
    assert made[0].restarts == [[False, False], [True, True], [True, True], [True, True]]
    score = store.track(0).score[:, 0]
    assert score[0] == pytest.approx(1 - 0.5**21)  # the first picture was shown 20 times before
    assert score[100] == pytest.approx(1 - 0.5**11)  # the ten before the chunk


def test_a_fresh_detector_beside_the_old_one_makes_no_step(talk: Path, tmp_path: Path) -> None:
    nose = CANONICAL.index("nose")
    plain = estimate(talk, tmp_path / "a", detector=BrightSpot).track().xy[:, nose]
    biased = estimate(talk, tmp_path / "b", detector=lambda n: BrightSpot(n, bias=1.0)).track().xy[:, nose]
    drift = (biased - plain)[:, 0] - 1
    assert abs(drift[100] - drift[99]) < 0.05
    assert drift[100 + round(FADE * FPS)] == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.diff(drift)).max() < 1.3 / (FADE * FPS)


def test_a_jump_too_large_to_be_the_same_point_is_left_as_it_is(talk: Path, tmp_path: Path) -> None:
    nose = CANONICAL.index("nose")
    plain = estimate(talk, tmp_path / "a", detector=BrightSpot).track().xy[:, nose]
    far = estimate(talk, tmp_path / "b", detector=lambda n: BrightSpot(n, bias=5.0)).track().xy[:, nose]
    assert far[100, 0] - plain[100, 0] == pytest.approx(10, abs=0.5)


def test_large_pictures_are_searched_small_and_answered_in_their_own_pixels(tmp_path: Path) -> None:
    small, large = (
        estimate_clip(write_video(tmp_path / f"{s}.mp4", 3, scale=s), detector=BrightSpot)[0] for s in (1, 5)
    )
    assert large.size == (320, 240)
    nose = CANONICAL.index("nose")
    assert np.abs(large.xy[:, nose] - 5 * small.xy[:, nose]).max() < 5  # 1 pixel of the small picture


def test_nobody_in_the_recording_is_said_and_is_not_an_error(tmp_path: Path) -> None:
    video = write_video(tmp_path / "dark.mp4", 3, dark=True)
    for _ in range(2):  # the second answer comes from the folder
        with pytest.warns(NobodyFound, match=r"dark\.mp4: nobody was found in 15 frames"):
            store = estimate(video, tmp_path / "poses", detector=BrightSpot)
    assert store.seen_share == 0
    assert len(store.track()) == 15
    with pytest.warns(NobodyFound):
        (track,) = estimate_clip(video, detector=BrightSpot)
    assert not track.score.any()


def test_times_are_those_of_the_container(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.5, 0.55, 2.0, 30.0, 30.1, 71.0]
    with VideoWriter(tmp_path / "vfr.mp4", 10, (64, 48)) as video:
        for time in times:
            video.write(np.full((48, 64, 3), 200, np.uint8), time)
    store = estimate(tmp_path / "vfr.mp4", tmp_path / "poses", detector=BrightSpot)
    assert np.allclose(store.track().times, times, atol=1e-3)
    assert [c.frames for c in store.chunks] == [5, 2, 1]


def test_one_picture_is_enough(tmp_path: Path) -> None:
    from PIL import Image as Picture

    image = np.zeros((48, 64, 3), np.uint8)
    image[20:24, 30:34] = 255
    Picture.fromarray(image).save(tmp_path / "one.gif")
    (track,) = estimate_clip(tmp_path / "one.gif", detector=BrightSpot)
    assert len(track) == 1
    assert track.duration > 0


def test_what_was_wrong_with_the_video_is_kept_and_said_every_time(tmp_path: Path) -> None:
    video = write_video(tmp_path / "cut.mp4", 20)
    data = bytearray(video.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    video.write_bytes(data)
    for _ in range(2):
        with pytest.warns(UserWarning, match="damaged video"):
            store = estimate(video, tmp_path / "poses", detector=BrightSpot)
    assert len(store.notes) == 1


def test_damage_before_the_place_where_a_run_goes_on_is_not_forgotten(tmp_path: Path) -> None:
    video = write_video(tmp_path / "cut.mp4", 45)
    data = bytearray(video.read_bytes())
    at = data.index(b"mdat") + 2000
    data[at : at + 150] = bytes(150)
    video.write_bytes(data)

    def stop(done: float, total: float | None) -> None:
        if done > 30:
            raise Killed

    with pytest.raises(Killed):
        estimate(video, tmp_path / "poses", detector=BrightSpot, progress=stop)
    for out in ("poses", "whole"):
        with pytest.warns(UserWarning, match="damaged video"):
            estimate(video, tmp_path / out, detector=BrightSpot)
    assert contents(tmp_path / "poses") == contents(tmp_path / "whole")


def test_a_run_is_not_continued_with_other_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microgesture.pose.estimate.fingerprint", lambda path: {"bytes": 1})
    video = write_video(tmp_path / "a.mp4", 30)

    def stop(done: float, total: float | None) -> None:
        if done > 25:
            raise Killed

    with pytest.raises(Killed):
        estimate(video, tmp_path / "poses", detector=BrightSpot, progress=stop)
    for seconds, fps in ((10, 5), (30, 10)):
        write_video(video, seconds, fps=fps)
        with pytest.raises(FormatError, match=r"a\.mp4: has \d+ frames up to 19\.800 s; expected the 100 the poses in"):
            estimate(video, tmp_path / "poses", detector=BrightSpot)


@pytest.mark.parametrize(
    ("content", "error"), [(b"", FormatError), (b"not a video at all" * 99, FormatError), (None, NoInput)]
)
def test_no_video(tmp_path: Path, content: bytes | None, error: type[Exception]) -> None:
    if content is not None:
        (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(error, match=r"a\.mp4"):
        estimate(tmp_path / "a.mp4", tmp_path / "poses", detector=BrightSpot)
    assert not (tmp_path / "poses").exists()


@pytest.mark.parametrize("persons", [0, 65])
def test_a_number_of_persons_that_cannot_be(talk: Path, tmp_path: Path, persons: int) -> None:
    with pytest.raises(UsageError, match=f"persons is {persons}, expected 1 to 64"):
        estimate(talk, tmp_path, persons=persons)


def tracks_of(persons: int = 2, frames: int = 500) -> list[PoseTrack]:
    random = np.random.default_rng(3)
    shape = (frames, len(CANONICAL))
    return [
        PoseTrack(random.normal(200, 30, (*shape, 2)), random.uniform(0.2, 1, shape), 10.0, (640, 360), CANONICAL,
                  person=m)
        for m in range(persons)
    ]  # fmt: skip


def test_poses_made_elsewhere_become_a_store(tmp_path: Path) -> None:
    tracks = tracks_of()
    write_npz(tmp_path / "a.npz", [replace(t, times=t.times + 7) for t in tracks])
    store = estimate(tmp_path / "a.npz", tmp_path / "poses", persons=2)
    assert [c.frames for c in store.chunks] == [200, 200, 100]
    for track in tracks:
        kept = store.track(track.person)
        assert np.array_equal(kept.xy, track.xy)
        assert np.array_equal(kept.score, track.score)
        assert np.allclose(kept.times, track.times)
    assert estimate(tmp_path / "a.npz", tmp_path / "poses", persons=1).persons == 1
    (tmp_path / "poses" / "poses-00000.npz").write_bytes(b"damaged")
    with pytest.raises(FormatError, match="SHA-256"):
        estimate(tmp_path / "a.npz", tmp_path / "poses", persons=1)
    estimate(tmp_path / "a.npz", tmp_path / "poses", persons=1, resume=False).verify()


def test_openpose_needs_to_be_told_the_rate(tmp_path: Path) -> None:
    folder = tmp_path / "json"
    folder.mkdir()
    keypoints = [float(n) for k in range(25) for n in (100 + k, 200, 0.8)]
    for n in range(3):
        text = str({"people": [{"pose_keypoints_2d": keypoints}]}).replace("'", '"')
        (folder / f"talk_{n:012d}_keypoints.json").write_text(text)
    with pytest.raises(UsageError, match="a file of OpenPose does not say its frame rate; give it with --fps"):
        estimate(folder, tmp_path / "poses")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = estimate(folder, tmp_path / "poses", fps=24)
    assert (store.frames, store.info.fps) == (3, 24)
    assert store.track().xy[0, CANONICAL.index("r_wrist")].tolist() == [104, 200]
    assert estimate(folder, tmp_path / "poses", fps=12).info.fps == 12  # what was kept has another rate


def test_poses_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.npz"
    source.write_bytes(b"x")
    track = tracks_of(1)[0]
    with pytest.raises(FormatError, match="holds no frame"):
        store_tracks([], source, tmp_path / "s")
    with pytest.raises(FormatError, match="its persons have different times"):
        store_tracks([track, track[:100]], source, tmp_path / "s")
    solid = replace(track, xy=np.zeros((len(track), len(CANONICAL), 3), np.float32))
    with pytest.raises(FormatError, match="holds 3-D poses; expected 2-D poses in pixels"):
        store_tracks([solid], source, tmp_path / "s")
