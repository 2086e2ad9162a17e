"""Video and GIF in and out, through PyAV.

Times are seconds from the start of the container, as its own time stamps say (variable frame rates
included), so that an event found here is at the same place in a player or in ELAN. Images are upright
(the rotation flag is applied) and have square pixels.

A decoder is native code that reads bytes of unknown origin. `isolated=True` runs it in a child process with
a memory and a time limit and sends the frames through a pipe: a crash becomes a `FormatError`, and decoding
runs beside the caller's own work on a second core.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from microgesture.core.durable import replacing
from microgesture.core.errors import FormatError, MicrogestureError, NoInput, NotPermitted
from microgesture.formats.source import PathLike, check_file

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SIDE_LIMIT = 16_384
"""Pixels per side."""
PIXEL_LIMIT = 64_000_000
"""Pixels per frame."""
DURATION_LIMIT = 48 * 3600.0
"""Seconds."""
MEMORY_LIMIT = 4 << 30
"""Address space of the decoding child, bytes."""
CPU_LIMIT = 30
"""CPU seconds the decoding child may spend on one frame."""

_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,flv,asf,ogg,mxf,wav,mp3,flac,aac"
_REENCODE = "open it in a player; if it plays there, convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"
_DEFAULT_FPS = 25.0


@dataclass(frozen=True)
class VideoInfo:
    """What a container says about its video stream.

    Args:
        path: the file.
        fps: mean frames per second; 25 if the file does not say and it cannot be measured.
        size: (width, height) of the frames `read_frames` gives, in pixels.
        frames: number of frames announced or counted; damaged files deliver fewer.
        duration: seconds.
        rotation: degrees counter-clockwise that are applied to make the picture upright.
        codec, container: FFmpeg's names.
    """

    path: str
    fps: float
    size: tuple[int, int]
    frames: int
    duration: float
    rotation: int
    codec: str
    container: str


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: `index` from the start of the file, `time` in seconds, `image` uint8 (H, W, 3) RGB."""

    index: int
    time: float
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Damage:
    """What could not be read of a video that was read otherwise.

    Args:
        path: the file.
        frames, end: frames read, and the time of the last one in seconds.
        missing: frames that the file announces and does not hold, 0 if it does not say how many it should.
        duration: seconds announced, if the pictures end well before, else 0.
        broken: packets that could not be decoded, and pictures the decoder calls corrupt.
        retimed: frames whose time stamp was missing or did not increase.
        first: where the first of these problems was, e.g. `"near frame 36 (1.200 s)"`.
    """

    path: str
    frames: int
    end: float
    missing: int
    duration: float
    broken: int
    retimed: int
    first: str

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"{self.frames} of {self.frames + self.missing} frames could be read")
        if self.duration:
            parts.append(f"the pictures end at {self.end:.3f} s of {self.duration:.3f} s")
        if self.broken:
            parts.append(f"{self.broken} packets could not be decoded")
        if self.retimed:
            parts.append(f"{self.retimed} frames had a missing or repeated time stamp")
        where = f", the first {self.first}" if self.first else ""
        return f"{self.path}: damaged video: {'; '.join(parts)}{where}. Results cover only what could be read"


class DamagedVideo(UserWarning):
    """A video was read only in part; the message is a `Damage` in words."""


def probe(path: PathLike) -> VideoInfo:
    """What the container says, without decoding more than its first frames.

    Raises:
        NoInput, NotPermitted: the file is missing or may not be read.
        FormatError: not a video, no video stream, or above a limit.
    """
    file = check_file(path)
    with ExitStack() as stack:
        return _Source(file, stack).info


def read_frames(
    path: PathLike,
    start: float = 0.0,
    *,
    isolated: bool = False,
    on_damage: Callable[[Damage], None] | None = None,
) -> Iterator[Frame]:
    """Frames in the order of display, from the first whose time is >= `start` seconds.

    A damaged file yields what can be decoded, then reports once through `on_damage`, or as a
    `DamagedVideo` warning if none is given. Memory holds one frame, whatever the length.

    Args:
        isolated: decode in a child process (see the module).

    Raises:
        NoInput, NotPermitted, FormatError: as `probe`; and if not one frame can be decoded.
    """
    report = on_damage or (lambda damage: warnings.warn(str(damage), DamagedVideo, stacklevel=3))
    file = check_file(path)
    return _from_child(file, start, report) if isolated else _decode(file, start, report)


def _decode(file: Path, start: float, report: Callable[[Damage], None]) -> Iterator[Frame]:
    with ExitStack() as stack:
        source = _Source(file, stack)
        index = source.seek(start)
        step = 1 / source.info.fps
        last: float | None = None
        broken, retimed, first, problem = 0, 0, "", ""
        for pictures in source.pictures():
            if isinstance(pictures, str):  # the reason why a packet gave none
                broken += 1
                problem = problem or pictures
                first = first or _near(index, last)
                continue
            for picture, stamp in pictures:
                if picture.is_corrupt:
                    broken += 1
                    first = first or _near(index, last)
                if stamp is None or (last is not None and stamp <= last):
                    # a missing stamp continues at the nominal rate; a repeated one goes in between
                    if last is not None and not source.unordered:
                        retimed += 1
                        first = first or _near(index, last)
                    stamp = 0.0 if last is None else last + (step if stamp is None else step / 2)
                if stamp > DURATION_LIMIT:
                    raise FormatError(
                        file,
                        f"time stamp {stamp:.0f} s is beyond the limit",
                        place=f"frame {index}",
                        expected="at most 48 h",
                        remedy="cut the recording into parts",
                    )
                last = stamp
                if stamp >= start - 1e-9:
                    yield Frame(index, stamp, source.image_of(picture))
                index += 1
    if last is None:
        raise FormatError(
            file,
            "no frame could be decoded" + (f" ({problem})" if problem else ""),
            place="video stream",
            remedy=_REENCODE,
        )
    missing = source.announced - index
    if missing <= max(2, source.announced // 100):  # encoders announce a frame or two they never write
        missing = 0
    duration = source.info.duration if source.alone and last + step < source.info.duration - max(0.5, 3 * step) else 0.0
    if broken or retimed or missing or duration:
        report(Damage(str(file), index, last, missing, duration, broken, retimed, first))


def _near(index: int, time: float | None) -> str:
    return "at the start" if time is None else f"near frame {index - 1} ({time:.3f} s)"


def _reason(error: BaseException) -> str:
    """FFmpeg's words for an error, without the misleading number."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__).splitlines()[0][:200]


class _Source:
    """An open container with its video stream; `stack` closes it."""

    def __init__(self, file: Path, stack: ExitStack) -> None:
        import av
        from av.error import FFmpegError

        av.logging.set_level(av.logging.PANIC)  # FFmpeg writes to stderr what we report ourselves
        self.file = file
        try:
            # an absolute path is never taken for a protocol; the lists keep play-lists and scripts,
            # which name other files or hosts, from being opened at all
            self.container: InputContainer = stack.enter_context(
                av.open(
                    os.path.abspath(file),
                    metadata_errors="replace",
                    container_options={"protocol_whitelist": "file", "format_whitelist": _FORMATS},
                    options={"max_pixels": str(PIXEL_LIMIT)},
                )
            )
            self.stream = self._choose()
            if self.stream.codec_context is None:
                raise FormatError(file, "the codec is unknown", place="video stream", remedy=_REENCODE)
            self._check_size(self.stream.codec_context.width, self.stream.codec_context.height)
            self.stream.codec_context.options = {"max_pixels": str(PIXEL_LIMIT)}
            # threads by frame hold a picture each and report damage several frames late
            self.stream.thread_type = "SLICE"
            self._measure()
        except MicrogestureError:
            raise
        except (FFmpegError, OSError, ValueError, LookupError, RuntimeError, MemoryError, ArithmeticError) as error:
            raise FormatError(
                file, f"cannot be read as a video ({_reason(error)})", place="container", remedy=_REENCODE
            ) from error

    def _choose(self) -> VideoStream:
        from av.stream import Disposition

        videos = [s for s in self.container.streams.video if not s.disposition & Disposition.attached_pic]
        if not videos:
            kinds = ", ".join(s.type for s in self.container.streams if s not in self.container.streams.video)
            raise FormatError(
                self.file,
                f"holds no video stream (found: {kinds or 'nothing'})",
                place="container",
                remedy="name the file that holds the picture",
            )
        best = self.container.streams.best("video")
        return next((s for s in videos if best is not None and s.index == best.index), videos[0])

    def _check_size(self, width: int, height: int) -> None:
        if not (width and height):
            raise FormatError(
                self.file,
                "the size of the picture is not given, or beyond what can be decoded",
                place="video stream",
                expected=f"at most {SIDE_LIMIT} pixels per side and {PIXEL_LIMIT // 1_000_000} megapixels",
                remedy=_REENCODE,
            )
        if not (0 < width <= SIDE_LIMIT and 0 < height <= SIDE_LIMIT and width * height <= PIXEL_LIMIT):
            raise FormatError(
                self.file,
                f"the picture is {width} x {height} pixels",
                place="video stream",
                expected=f"1 to {SIDE_LIMIT} pixels per side and at most {PIXEL_LIMIT // 1_000_000} megapixels",
                remedy="scale it down: ffmpeg -i IN -vf scale=1280:-2 OUT.mp4",
            )

    def _measure(self) -> None:
        stream, container = self.stream, self.container
        base = stream.time_base or Fraction(1, 1000)
        self.base = float(base)
        fps = next((float(r) for r in (stream.average_rate, stream.guessed_rate) if r and 0.01 < r < 1000), 0.0)
        duration = float(stream.duration * base) if stream.duration and stream.duration > 0 else 0.0
        if not duration and container.duration:
            # Matroska counts from 0 wherever the first picture is
            late = (container.start_time or 0) if "matroska" in container.format.name else 0
            duration = max(0.0, (container.duration - late) / 1e6)
        frames = max(0, stream.frames)
        first = None
        if not duration or not (fps or frames):
            # no index (raw streams, live captures): walk once through the packets, decoding nothing
            stamps = self._stamps()
            frames = frames or len(stamps)
            known = sorted(s for s in stamps if s is not None)
            if len(known) > 1:
                first = known[0] * self.base
                span = (known[-1] - known[0]) * self.base
                fps = fps or (len(known) - 1) / max(span, 1e-3)
                duration = duration or span + 1 / fps
        fps = fps or (frames / duration if frames and duration else 0.0)
        fps = fps if 0.01 < fps < 1000 else _DEFAULT_FPS
        self.announced = frames
        # without a count the duration is the promise, if it is the picture's alone
        self.alone = not frames and len(container.streams) == 1
        frames = frames or round(duration * fps)
        duration = duration or frames / fps
        if duration > DURATION_LIMIT:
            raise FormatError(
                self.file,
                f"lasts {duration / 3600:.0f} h",
                place="container",
                expected="at most 48 h",
                remedy="cut the recording into parts",
            )
        # where players have their zero; a file without one starts with its first frame
        self.unordered = container.format.name == "avi"
        start = None if self.unordered else container.start_time
        self.zero = start / 1e6 if start is not None else first
        context = stream.codec_context
        self.rotation = self._rotation()
        ratio = stream.sample_aspect_ratio or context.sample_aspect_ratio
        width, height = context.width, context.height
        if ratio and 0.1 < ratio < 10 and ratio != 1:
            width = max(1, round(width * ratio))
        self._check_size(width, height)
        self.shape = (width, height)
        size = (height, width) if self.rotation % 180 else (width, height)
        self.info = VideoInfo(
            str(self.file), fps, size, frames, duration, self.rotation, context.name, container.format.name
        )

    def _stamps(self) -> list[int | None]:
        from av.error import FFmpegError

        stamps: list[int | None] = []
        try:
            stamps.extend(p.pts for p in self.container.demux(self.stream) if p.size)
        except (FFmpegError, OSError, ValueError, LookupError, RuntimeError) as error:
            if not stamps:
                raise FormatError(
                    self.file, f"cannot be read as a video ({_reason(error)})", place="container", remedy=_REENCODE
                ) from error
        self._rewind()
        return stamps

    def _rewind(self) -> None:
        from av.error import FFmpegError

        with suppress(FFmpegError, OSError, ValueError):  # a file of one key frame cannot be sought, nor need it be
            self.container.seek(0, backward=True, any_frame=False)

    def _rotation(self) -> int:
        """From the first decodable frame: PyAV shows the display matrix only there."""
        from av.error import FFmpegError

        turn = 0
        try:
            for tried, packet in enumerate(self.container.demux(self.stream)):
                pictures = packet.decode()
                if pictures:
                    turn = round(pictures[0].rotation / 90) * 90
                if pictures or tried > 50:
                    break
        except (FFmpegError, OSError, ValueError, LookupError, RuntimeError, MemoryError):
            turn = 0  # reading the frames will meet the same error and report it
        self._rewind()
        return turn % 360

    def seek(self, start: float) -> int:
        """Go to the last key frame at or before `start`; the index of the first frame that will be decoded."""
        if start <= 0 or self.unordered:
            return 0
        from av.error import FFmpegError

        stamps = self._stamps()
        if None in stamps or not stamps:
            return 0  # no way to know which frame a seek lands on: decode from the beginning
        if self.zero is None:
            self.zero = min(s for s in stamps if s is not None) * self.base
        target = round((start + self.zero) / self.base)
        try:
            self.container.seek(target, stream=self.stream, backward=True, any_frame=False)
            landing = next(p.pts for p in self.container.demux(self.stream) if p.size)
            self.container.seek(target, stream=self.stream, backward=True, any_frame=False)
        except (FFmpegError, OSError, ValueError, StopIteration):
            landing = None
        if landing is None or landing > target:
            self._rewind()
            return 0
        return sum(s < landing for s in stamps if s is not None)

    def pictures(self) -> Iterator[list[tuple[VideoFrame, float | None]] | str]:
        """What each packet decodes to, with times, or the reason why it does not; the decoder is emptied at the end."""
        from av.error import FFmpegError

        # PyAV hands on FFmpeg's number as whatever Python error shares it, be it PermissionError or IndexError
        errors = (FFmpegError, OSError, ValueError, LookupError, RuntimeError, MemoryError, ArithmeticError)
        packets = self.container.demux(self.stream)

        def timed(picture: VideoFrame) -> tuple[VideoFrame, float | None]:
            stamp = picture.dts if self.unordered else picture.pts
            if stamp is None:
                return picture, None
            if self.zero is None:
                self.zero = stamp * self.base
            return picture, stamp * self.base - self.zero

        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except errors as error:  # the container itself breaks off; frames may still wait in the decoder
                yield _reason(error)
                with suppress(*errors):
                    yield [timed(p) for p in self.stream.codec_context.decode(None)]
                return
            try:
                yield [timed(p) for p in packet.decode()]
            except errors as error:
                yield _reason(error)

    def image_of(self, picture: VideoFrame) -> NDArray[np.uint8]:
        self._check_size(picture.width, picture.height)
        width, height = self.shape
        image: NDArray[Any] = picture.reformat(width=width, height=height, format="rgb24").to_ndarray()
        turns = self.rotation // 90
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


# Decoding in a child: each message is a header (kind, index, time, length, height, width) and a body.
_HEADER = struct.Struct("<cqdQII")


def serve(arguments: list[str]) -> None:
    """The child's side of `isolated=True`: decode `arguments[0]` from `arguments[1]` seconds on to stdout."""
    file, start = Path(arguments[0]), float(arguments[1])
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not fall among the frames
    _limit_memory()

    def send(kind: bytes, body: bytes | memoryview, index: int = 0, time: float = 0.0, h: int = 0, w: int = 0) -> None:
        head = _HEADER.pack(kind, index, time, len(body), h, w)
        for piece in (memoryview(head), memoryview(body)):
            while piece:
                piece = piece[out.write(piece) :]

    try:
        _limit_time()
        for frame in _decode(file, start, lambda damage: send(b"D", json.dumps(asdict(damage)).encode())):
            h, w = frame.image.shape[:2]
            send(b"F", frame.image.reshape(-1).data, frame.index, frame.time, h, w)
            _limit_time()
        send(b"Z", b"")
    except FormatError as error:
        fields = [error.path, error.problem, error.place, error.expected, error.remedy]
        send(b"E", json.dumps(fields).encode())
    except MicrogestureError as error:
        send(b"N" if isinstance(error, NoInput) else b"P", str(error).encode())


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time() -> None:
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + CPU_LIMIT
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _from_child(file: Path, start: float, report: Callable[[Damage], None]) -> Iterator[Frame]:
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # they reserve address space per thread
    command = "import sys; from microgesture.formats.video import serve; serve(sys.argv[1:])"
    child = subprocess.Popen(
        [sys.executable, "-c", command, str(file), repr(start)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    assert child.stdout is not None
    after = "at the start"
    try:
        while True:
            head = child.stdout.read(_HEADER.size)
            if len(head) < _HEADER.size:
                break
            kind, index, time, length, height, width = _HEADER.unpack(head)
            body = bytearray(length)
            if not _fill(child.stdout, body):
                break
            if kind == b"F":
                after = f"after frame {index} ({time:.3f} s)"
                yield Frame(index, time, np.frombuffer(body, np.uint8).reshape(height, width, 3))
            elif kind == b"D":
                report(Damage(**json.loads(body)))
            elif kind == b"E":
                path, problem, place, expected, remedy = json.loads(body)
                raise FormatError(path, problem, place=place, expected=expected, remedy=remedy)
            elif kind in b"NP":
                raise (NoInput if kind == b"N" else NotPermitted)(body.decode())
            else:
                return
        code = child.wait()
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise FormatError(file, f"the decoder crashed ({cause})", place=after, remedy=_REENCODE)
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


def _fill(pipe: IO[bytes], body: bytearray) -> bool:
    view = memoryview(body)
    while view:
        got = pipe.readinto(view)  # type: ignore[attr-defined]  # BufferedReader has it, IO[bytes] does not
        if not got:
            return False
        view = view[got:]
    return True


class VideoWriter:
    """An mp4 (H.264, or MPEG-4 where the encoder is missing) that appears only when it is complete.

    Odd sizes are padded by one repeated row or column: the pixel format needs even ones.

    Args:
        path: target; what stood there stays until the new file is complete.
        fps: nominal rate.
        size: (width, height) in pixels.

    Example:
        with VideoWriter("out.mp4", 25, (640, 360)) as video:
            video.write(image)
    """

    def __init__(self, path: PathLike, fps: float, size: tuple[int, int]) -> None:
        if not 0.01 <= fps <= 1000:
            raise ValueError(f"fps is {fps}, expected 0.01 to 1000")
        if not (0 < size[0] <= SIDE_LIMIT and 0 < size[1] <= SIDE_LIMIT):
            raise ValueError(f"size is {size}, expected 1 to {SIDE_LIMIT} pixels per side")
        self.path, self.fps, self.size = Path(path), fps, size
        self._last = -1

    def __enter__(self) -> VideoWriter:
        import av
        from av.error import FFmpegError

        self._stack = ExitStack()
        # the order matters: the container closes first, then the file takes its place
        temporary = self._stack.enter_context(replacing(self.path))
        try:
            self._container = self._stack.enter_context(av.open(str(temporary), "w", format="mp4"))
            codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
            options = {"crf": "23", "preset": "veryfast"} if codec == "libx264" else {"qscale:v": "4"}
            rate = Fraction(self.fps).limit_denominator(1001)
            self._stream = cast("VideoStream", self._container.add_stream(codec, rate=rate, options=options))
            self._stream.width, self._stream.height = (n + n % 2 for n in self.size)
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = Fraction(1, 90_000)
        except (FFmpegError, OSError) as error:
            self._fail(error)
        return self

    def _fail(self, error: BaseException) -> NoReturn:
        """Take everything back; a number of the system becomes one of our own errors on the way out."""
        from av.error import FFmpegError

        if isinstance(error, FFmpegError) and not isinstance(error, OSError) and error.errno in errno.errorcode:
            error = OSError(error.errno, error.strerror)
        self._stack.__exit__(type(error), error, error.__traceback__)
        raise error

    def write(self, image: NDArray[np.uint8], time: float | None = None) -> None:
        """Append a picture uint8 (H, W, 3) RGB, shown from `time` seconds on (by default the nominal rate).

        Raises:
            ValueError: another shape or type than announced, or a time that does not increase.
        """
        import av

        width, height = self.size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {image.shape}, expected uint8 {(height, width, 3)}")
        stamp = round(time * 90_000) if time is not None else self._last + max(1, round(90_000 / self.fps))
        if time is None and self._last < 0:
            stamp = 0
        if stamp <= self._last:
            raise ValueError(f"time {time} does not increase")
        if width % 2 or height % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = stamp, Fraction(1, 90_000)
        self._container.mux(self._stream.encode(frame))
        self._last = stamp

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from av.error import FFmpegError

        if error is None:
            try:
                if self._last < 0:
                    raise ValueError(f"{self.path}: no picture was written")
                self._container.mux(self._stream.encode(None))
                self._container.close()  # here, where its errors are still turned into ours
            except (FFmpegError, OSError, ValueError) as late:
                self._fail(late)
        self._stack.__exit__(kind, error, trace)
