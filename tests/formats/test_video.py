"""Video in and out: what was written is read, odd media are understood, damage is said and never silent."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.formats import media
from tests.formats.mutations import COUNT, mutated

from microgesture.core.errors import CannotCreate, FormatError, NoInput, NotPermitted, OutputFailed
from microgesture.formats import video
from microgesture.formats.video import Damage, DamagedVideo, Frame, VideoWriter, probe, read_frames

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
WORDS = r"Open it in a player; if it plays there, convert it"


def all_frames(path: Path, **options: object) -> list[Frame]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return list(read_frames(path, **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 frames at 25 fps, key frames every 10, index at the front."""
    folder = tmp_path_factory.mktemp("clip")
    options = {"g": "10", "keyint_min": "10", "sc_threshold": "0"}
    return media.write(folder / "clip.mp4", frames=25, options={"movflags": "faststart"}, codec_options=options)


def test_frames_times_and_facts(clip: Path) -> None:
    info = probe(clip)
    assert (info.fps, info.size, info.frames, info.duration, info.rotation) == (25, (64, 48), 25, 1.0, 0)
    frames = all_frames(clip)
    assert [f.index for f in frames] == list(range(25))
    np.testing.assert_allclose([f.time for f in frames], np.arange(25) / 25, atol=1e-6)
    np.testing.assert_allclose([media.shade(f.image) for f in frames], range(25), atol=0.4)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image[0, 0].min() > 240  # the corner: RGB, upright


def test_a_child_process_gives_the_same(clip: Path) -> None:
    for start in (0.0, 0.5):
        here, there = all_frames(clip, start=start), all_frames(clip, start=start, isolated=True)
        assert [(f.index, f.time) for f in here] == [(f.index, f.time) for f in there]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize("start", [0.0, 0.04, 0.41, 0.42, 0.96, 5.0])
def test_starting_later_gives_the_same_frames_with_the_same_numbers(clip: Path, start: float) -> None:
    late = all_frames(clip, start=start)
    expected = [f for f in all_frames(clip) if f.time >= start - 1e-9]
    assert [(f.index, f.time) for f in late] == [(f.index, f.time) for f in expected]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(late, expected, strict=True))


# --- R4: odd but legal. Each makes a file; frames, fps, size and times it must give.

Odd = Callable[[Path], Path]


def two_streams(folder: Path) -> Path:
    import av

    path = folder / "two.mkv"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((64, 48), (32, 32)), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for stream, size in zip(streams, ((64, 48), (32, 32)), strict=True):
            for i in range(12):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(media.picture(i, size), format="rgb24")))
            out.mux(stream.encode(None))
    return path


def no_duration(folder: Path) -> Path:
    """Written to a pipe, as live captures are: the header's duration is left open."""
    path = media.write(folder / "live.mkv", options={"live": "1"})
    assert probe(path).frames
    return path


def linked(folder: Path) -> Path:
    media.write(folder / "real.mp4")
    (folder / "link.mp4").symlink_to("real.mp4")
    return folder / "link.mp4"


def read_only(folder: Path) -> Path:
    path = media.write(folder / "ro.mp4")
    path.chmod(0o444)
    return path


VFR = [0, 40, 80, 200, 1000, 1040, 1100, 2000, 2030, 2500, 2600, 3000]
ODD: dict[str, tuple[Odd, int, float | None, tuple[int, int], list[float] | None]] = {
    "variable rate": (lambda d: media.write(d / "v.mp4", stamps=VFR), 12, None, (64, 48), [t / 1000 for t in VFR]),
    "variable rate mkv": (lambda d: media.write(d / "v.mkv", stamps=VFR), 12, None, (64, 48), [t / 1000 for t in VFR]),
    "one frame": (lambda d: media.write(d / "1.mp4", frames=1), 1, 25, (64, 48), [0]),
    "one-frame gif": (lambda d: media.write(d / "1.gif", frames=1, codec="gif", pixels="rgb8"), 1, None, (64, 48), [0]),
    "gif": (lambda d: media.write(d / "a.gif", codec="gif", pixels="rgb8", rate=10), 12, 10, (64, 48), None),
    "odd size": (lambda d: media.write(d / "o.mp4", size=(63, 47), pixels="yuv444p"), 12, 25, (63, 47), None),
    "tiny": (lambda d: media.write(d / "t.avi", size=(2, 2), codec="ffv1", pixels="yuv444p"), 12, 25, (2, 2), None),
    "rotated 90": (lambda d: media.rotated(media.write(d / "r.mp4"), 90), 12, 25, (48, 64), None),
    "rotated 180": (lambda d: media.rotated(media.write(d / "r.mp4"), 180), 12, 25, (64, 48), None),
    "rotated 270": (lambda d: media.rotated(media.write(d / "r.mp4"), 270), 12, 25, (48, 64), None),
    "wide pixels": (lambda d: media.write(d / "p.mp4", aspect=Fraction(4, 3)), 12, 25, (85, 48), None),
    "fragmented": (lambda d: media.write(d / "f.mp4", options=FRAGMENTED), 12, 25, (64, 48), None),
    "no duration": (no_duration, 12, 25, (64, 48), None),
    "transport stream": (lambda d: media.write(d / "a.ts", container="mpegts"), 12, 25, (64, 48), None),
    "two streams": (two_streams, 12, 25, (64, 48), None),
    "10 bit": (lambda d: media.write(d / "x.mp4", codec="libx265", pixels="yuv420p10le"), 12, 25, (64, 48), None),
    "alpha": (lambda d: media.write(d / "a.webm", codec="libvpx-vp9", pixels="yuva420p"), 12, 25, (64, 48), None),
    "ntsc rate": (lambda d: media.write(d / "n.mp4", rate=Fraction(30000, 1001)), 12, 30000 / 1001, (64, 48), None),
    "four hours in": (
        lambda d: media.write(d / "4.mkv", stamps=[14_400_000 + 40 * i for i in range(12)]),
        *(12, None, (64, 48), [0.04 * i for i in range(12)]),
    ),
    "mjpeg avi": (lambda d: media.write(d / "m.avi", codec="mjpeg", pixels="yuvj420p"), 12, 25, (64, 48), None),
    "avi with b-frames": (lambda d: media.write(d / "b.avi"), 12, 25, (64, 48), None),
    "with sound": (lambda d: media.write(d / "s.mp4", audio=True), 12, 25, (64, 48), None),
    "wrong extension": (lambda d: media.write(d / "w.mp4").rename(d / "w.txt"), 12, 25, (64, 48), None),
    "name in another script": (lambda d: media.write(d / "微表情 – ñ.mp4"), 12, 25, (64, 48), None),
    "name of 255 bytes": (lambda d: media.write(d / "n.mp4").rename(d / ("n" * 251 + ".mp4")), 12, 25, (64, 48), None),
    "name like a protocol": (lambda d: media.write(d / "a.mp4").rename(d / "concat:a|b.mp4"), 12, 25, (64, 48), None),
    "symlink": (linked, 12, 25, (64, 48), None),
    "read-only": (read_only, 12, 25, (64, 48), None),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_but_legal(name: str, tmp_path: Path) -> None:
    make, count, fps, size, times = ODD[name]
    path = make(tmp_path)
    info = probe(path)
    frames = all_frames(path)
    assert len(frames) == count
    assert info.size == size
    assert all(f.image.shape == (size[1], size[0], 3) for f in frames)
    if fps is not None:
        assert info.fps == pytest.approx(fps, rel=1e-3)
    stamps = [f.time for f in frames]
    assert all(a < b for a, b in pairwise(stamps))
    expected = times if times is not None else (np.arange(count) / info.fps).tolist()
    np.testing.assert_allclose(np.subtract(stamps, stamps[0]), np.subtract(expected, expected[0]), atol=2e-3)
    assert 0 <= stamps[0] < 0.2
    if name != "tiny":
        seen = [media.shade(np.rot90(f.image, -info.rotation // 90)) for f in frames]
        np.testing.assert_allclose(seen, range(count), atol=2.6 if "gif" in name else 0.6)  # a gif has few greys


@pytest.mark.parametrize("degrees, corner", [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_rotation_makes_the_picture_upright(degrees: int, corner: tuple[int, int], tmp_path: Path) -> None:
    """The flag turns clockwise: the white corner of the stored picture, top left, ends top right after 90 degrees."""
    frames = all_frames(media.rotated(media.write(tmp_path / "r.mp4", frames=2), degrees))
    image = frames[0].image
    white = [(y, x) for y in (0, -1) for x in (0, -1) if image[y, x].min() > 200]
    assert white == [corner]


def test_a_gif_without_delays_gets_a_rate(tmp_path: Path) -> None:
    path = media.write(tmp_path / "z.gif", codec="gif", pixels="rgb8", rate=10)
    data = bytearray(path.read_bytes())
    at = data.find(b"\x21\xf9\x04")
    while at >= 0:  # the delay of every graphic control block
        data[at + 4 : at + 6] = b"\0\0"
        at = data.find(b"\x21\xf9\x04", at + 8)
    path.write_bytes(data)
    frames = all_frames(path)
    assert len(frames) == 12
    assert all(a.time < b.time for a, b in pairwise(frames))
    assert 1 <= probe(path).fps <= 100


def test_frames_that_change_their_size_are_brought_to_the_first(tmp_path: Path) -> None:
    a = media.write(tmp_path / "a.ts", container="mpegts").read_bytes()
    b = media.write(tmp_path / "b.ts", container="mpegts", size=(96, 64)).read_bytes()
    (tmp_path / "c.ts").write_bytes(a + b)
    shapes = {f.image.shape for f in read_frames(tmp_path / "c.ts", on_damage=lambda damage: None)}
    assert shapes == {(48, 64, 3)}


# --- what is no video


def empty(folder: Path) -> Path:
    (folder / "v.mp4").write_bytes(b"")
    return folder / "v.mp4"


def text(folder: Path) -> Path:
    (folder / "v.mp4").write_text("just some words\n" * 100)
    return folder / "v.mp4"


def script(folder: Path) -> Path:
    media.write(folder / "real.mp4")
    (folder / "v.mp4").write_text("ffconcat version 1.0\nfile real.mp4\n")
    return folder / "v.mp4"


def playlist(folder: Path) -> Path:
    media.write(folder / "real.ts", container="mpegts")
    (folder / "v.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nreal.ts\n#EXT-X-ENDLIST\n")
    return folder / "v.m3u8"


def no_frames(folder: Path) -> Path:
    """A sound header that announces a stream and holds no packet."""
    path = media.write(folder / "v.mp4", options=FRAGMENTED)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moof") - 4])
    return path


def no_index(folder: Path) -> Path:
    data = media.write(folder / "v.mp4").read_bytes()
    (folder / "v.mp4").write_bytes(data[: data.index(b"moov") - 4])
    return folder / "v.mp4"


def gif_bomb(folder: Path) -> Path:
    (folder / "v.gif").write_bytes(
        b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"
    )
    return folder / "v.gif"  # fmt: skip


BAD: dict[str, tuple[Odd, type[Exception], str]] = {
    "missing": (lambda d: d / "v.mp4", NoInput, r"v\.mp4: does not exist"),
    "folder": (lambda d: d, NoInput, r": is a folder, expected a file"),
    "empty": (empty, FormatError, r"v\.mp4: the file is empty \(0 bytes\)\. Copy or record it again"),
    "text": (text, FormatError, r"v\.mp4, container: cannot be read as a video \(Invalid data found.*\)\. " + WORDS),
    "script": (script, FormatError, r"v\.mp4, container: cannot be read as a video \(Invalid argument\)\. " + WORDS),
    "play-list": (playlist, FormatError, r"v\.m3u8, container: cannot be read as a video .*\. " + WORDS),
    "audio only": (
        lambda d: media.write(d / "v.mp4", frames=0, audio=True),
        *(FormatError, r"v\.mp4, container: holds no video stream \(found: audio\)\. Name the file that holds"),
    ),
    "no frames": (no_frames, FormatError, r"v\.mp4, (video stream|container): (no frame could|cannot be read)"),
    "no index": (no_index, FormatError, r"v\.mp4, container: cannot be read as a video \(Invalid data found"),
    "gif of 65535 x 65535": (gif_bomb, FormatError, r"v\.gif, video stream: the size .* not given, or beyond .* 16384"),
    "20000 pixels wide": (
        lambda d: media.write(d / "v.mkv", frames=1, size=(20000, 16), codec="ffv1"),
        *(FormatError, r"v\.mkv, video stream: the picture is 20000 x 16 pixels; expected 1 to 16384 pixels per side"),
    ),
    "8192 x 8192": (
        lambda d: media.write(d / "v.avi", frames=1, size=(8192, 8192), codec="mjpeg", pixels="yuvj420p"),
        *(FormatError, r"v\.avi, video stream: .* at most (64 megapixels|16384 pixels per side and 64 megapixels)\. "),
    ),
}  # fmt: skip


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_video(name: str, isolated: bool, tmp_path: Path) -> None:
    make, kind, message = BAD[name]
    path = make(tmp_path)
    with pytest.raises(kind, match=message):
        list(read_frames(path, isolated=isolated))
    if name != "no frames":
        with pytest.raises(kind, match=message):
            probe(path)


def test_pipes_loops_and_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(NoInput, match=r"pipe\.mp4: is a pipe or device"):
        probe(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    with pytest.raises(NoInput, match=r"loop\.mp4: cannot be opened \(Too many levels of symbolic links\)"):
        probe(tmp_path / "loop.mp4")
    with pytest.raises(NoInput, match=r"cannot be opened \(File name too long\)"):
        probe(tmp_path / ("n" * 300))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NotPermitted, match=r"clip\.mp4: may not be read \(Permission denied\)"):
        probe(clip)


def test_times_beyond_two_days_are_refused(tmp_path: Path) -> None:
    path = media.write(tmp_path / "v.mkv", frames=2, stamps=[0, 200_000_000])
    with pytest.raises(
        FormatError, match=r"(lasts 56 h|time stamp 200000 s is beyond the limit).*expected at most 48 h"
    ):
        list(read_frames(path))


# --- damage


@pytest.mark.parametrize("isolated", [False, True])
def test_a_truncated_file_gives_its_frames_and_says_so(clip: Path, isolated: bool, tmp_path: Path) -> None:
    data = clip.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: data.index(b"mdat") + (len(data) - data.index(b"mdat")) * 9 // 10])
    damages: list[Damage] = []
    frames = list(read_frames(cut, isolated=isolated, on_damage=damages.append))
    assert 3 < len(frames) < 22
    assert [(d.frames, d.missing) for d in damages] == [(len(frames), 25 - len(frames))]
    with pytest.warns(DamagedVideo, match=rf"cut\.mp4: damaged video: .*{len(frames)} of 25 frames could be read"):
        list(read_frames(cut, isolated=isolated))


def test_holes_in_the_middle_are_reported_and_passed_over(tmp_path: Path) -> None:
    path = media.write(tmp_path / "v.avi", frames=40, codec="png", pixels="rgb24")
    data = bytearray(path.read_bytes())
    at = [i for i in range(len(data)) if data[i : i + 8] == b"\x89PNG\r\n\x1a\n"][20]
    data[at + 8 : at + 60] = bytes(52)  # the header of picture 20, but not its signature
    path.write_bytes(data)
    with pytest.warns(DamagedVideo, match=r"1 packets could not be decoded, the first near frame 19 \(0\.760 s\)"):
        frames = list(read_frames(path))
    lost = set(range(40)) - {round(25 * f.time) for f in frames}
    assert 20 in lost
    assert lost <= {20, 21}  # the container's parser may take the next picture for a part of the damaged one
    for frame in frames[:18]:
        assert media.shade(frame.image) == pytest.approx(25 * frame.time, abs=0.5)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no such signals")
def test_a_crash_of_the_decoder_is_a_format_error(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.Popen

    def crashing(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        child = "import os, sys; sys.stdout.flush(); os.kill(os.getpid(), 11)"
        return started([command[0], "-c", child], **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(video.subprocess, "Popen", crashing)
    with pytest.raises(FormatError, match=rf"clip\.mp4, at the start: the decoder crashed \(signal 11\)\. {WORDS}"):
        list(read_frames(clip, isolated=True))


def test_giving_up_early_leaves_no_child(clip: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}  # other tests may have left a fork server
    frames = read_frames(clip, isolated=True)
    next(frames)
    assert {child.pid for child in psutil.Process().children()} > before
    frames.close()  # type: ignore[attr-defined]
    assert {child.pid for child in psutil.Process().children()} == before


# --- R2: mutants and truncations, in a child so that a signal is seen as one

CHILD = """
import sys, warnings
from pathlib import Path
from microgesture.core.errors import FormatError
from microgesture.formats.video import probe, read_frames
for name in sys.stdin:
    path, damages = Path(name.strip()), []
    try:
        probe(path)
        count = sum(1 for _ in read_frames(path, on_damage=damages.append))
        print(path.name, "ok" if count else "EMPTY", count, len(damages), flush=True)
    except FormatError as error:
        good = error.path == str(path) and error.place and error.remedy
        print(path.name, "refused" if good else f"POOR {error}", 0, 0, flush=True)
    except BaseException as error:
        print(path.name, f"ESCAPED {type(error).__name__} {error}", 0, 0, flush=True)
"""


def outcomes(files: list[Path]) -> dict[str, list[str]]:
    """Word and counts for each file; fails if the child dies."""
    root = Path(video.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input="\n".join(map(str, files)) + "\n",
        text=True,
        capture_output=True,
        timeout=60 + 10 * len(files),
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"signal or exit {done.returncode} at {files[len(lines)]}"
    bad = [line for line in lines if line[1] not in ("ok", "refused")]
    assert not bad, bad[:5]
    assert len(lines) == len(files)
    return {line[0]: line[1:] for line in lines}


def test_mutated_videos(tmp_path: Path, clip: Path) -> None:
    count = max(100, COUNT // 20)
    originals = [
        clip,
        media.write(tmp_path / "a.avi", codec="mpeg4"),
        media.write(tmp_path / "a.gif", codec="gif", pixels="rgb8"),
        media.write(tmp_path / "a.mkv"),
    ]
    files = []
    for seed in range(count):
        source = originals[seed % 4]
        file = tmp_path / f"m{seed}{source.suffix}"
        data = source.read_bytes()
        rng = random.Random(seed)
        head = 4096 if rng.random() < 0.5 else len(data)  # half of the wounds go into the headers
        file.write_bytes(mutated(data[:head], seed) + data[head:])
        files.append(file)
    words = [row[0] for row in outcomes(files).values()]
    assert words.count("ok") > 0
    assert words.count("refused") > 0


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}, FRAGMENTED])
def test_truncated_heads(options: dict[str, str], tmp_path: Path) -> None:
    data = media.write(tmp_path / "v.mp4", frames=25, options=options).read_bytes()
    step = 64 if COUNT <= 2000 else 1
    files = []
    for length in range(step, min(len(data), 4096), step):
        files.append(tmp_path / f"t{length}.mp4")
        files[-1].write_bytes(data[:length])
    results = outcomes(files)
    for name, (word, frames, damages) in results.items():
        if word == "ok" and int(frames) < (12 if options == FRAGMENTED else 22):  # those announce only their length
            assert damages == "1", name


# --- writing


def test_what_is_written_is_read(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 0.9, 1.0]
    with VideoWriter(tmp_path / "w.mp4", 10, (63, 47)) as out:
        for i, time in enumerate(times):
            out.write(media.picture(i, (63, 47)), time)
    assert probe(tmp_path / "w.mp4").size == (64, 48)
    frames = all_frames(tmp_path / "w.mp4")
    np.testing.assert_allclose([f.time for f in frames], times, atol=1e-4)
    np.testing.assert_allclose([media.shade(f.image) for f in frames], range(5), atol=0.5)
    with VideoWriter(tmp_path / "w.mp4", 29.97, (64, 48)) as out:
        for i in range(30):
            out.write(media.picture(i))
    assert probe(tmp_path / "w.mp4").fps == pytest.approx(29.97, rel=1e-3)
    assert os.listdir(tmp_path) == ["w.mp4"]


def test_writing_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.mp4"
    path.write_text("old")

    def half() -> None:
        with VideoWriter(path, 25, (64, 48)) as out:
            out.write(media.picture(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    with pytest.raises(ValueError, match=r"w\.mp4: no picture was written"), VideoWriter(path, 25, (64, 48)):
        pass
    with (
        pytest.raises(ValueError, match=r"image is uint8 \(48, 65, 3\), expected uint8 \(48, 64, 3\)"),
        VideoWriter(path, 25, (64, 48)) as out,
    ):
        out.write(media.picture(0, (65, 48)))
    with VideoWriter(tmp_path / "x.mp4", 25, (64, 48)) as out:
        out.write(media.picture(0), 0.0)
        with pytest.raises(ValueError, match=r"time 0\.0 does not increase"):
            out.write(media.picture(0), 0.0)
    (tmp_path / "x.mp4").unlink()
    with pytest.raises(ValueError, match="fps is nan"):
        VideoWriter(path, float("nan"), (64, 48))
    with pytest.raises(ValueError, match=r"size is \(0, 48\)"):
        VideoWriter(path, 25, (0, 48))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["w.mp4"]
    with (
        pytest.raises(CannotCreate, match=r"absent/w\.mp4: cannot be created"),
        VideoWriter(tmp_path / "absent" / "w.mp4", 25, (64, 48)) as out,
    ):
        out.write(media.picture(0))


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("bash") is None, reason="needs a limit on file sizes")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk: writing beyond 8 kB fails with EFBIG."""
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from microgesture.formats.video import VideoWriter\n"
        "from microgesture.core.errors import MicrogestureError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "rng = np.random.default_rng(0)\n"
        "try:\n"
        "    with VideoWriter(sys.argv[1], 25, (320, 240)) as out:\n"
        "        for _ in range(50):\n"
        "            out.write(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8))\n"
        "except MicrogestureError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    path = tmp_path / "w.mp4"
    path.write_text("old")
    root = Path(video.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(root)}, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(OutputFailed.__name__)
    assert "writing failed (File too large); the old content is untouched" in done.stdout
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["w.mp4"]
