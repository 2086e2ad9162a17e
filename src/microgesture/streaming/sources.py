"""Where frames come from: JSON lines, a file of poses, a video, a camera or a network stream.

One line of JSON per frame and person:

    {"time": 0.04, "xy": [[412.0, 160.5], null, ...], "score": [0.98, 0, ...], "person": 0}

`time` in seconds on any clock that runs forward; `xy` a pair (or three, for layouts in space) for each joint of the
layout, in its order, null for a missing joint, y downwards; `score` confidences in [0, 1], 1 for each joint that is
there if left out; `person` a number, 0 if left out. A person who is not there: all null, or no line. Blank lines are
skipped.

A source gives `(person, frame)`, or a `FormatError` that names the line for one that could not be read, and goes on.
"""

from __future__ import annotations

import re
import time as clock
from collections.abc import Iterator
from contextlib import ExitStack
from heapq import merge
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError, NoInput
from microgesture.core.skeleton import Skeleton
from microgesture.core.track import PoseTrack
from microgesture.formats.safe_json import parse_json
from microgesture.streaming.session import Frame

Arrival = tuple[int, Frame] | FormatError
"""A frame of a person, or what was wrong instead of one."""

LINE_LIMIT = 1 << 20
"""Bytes of a line of JSON."""
PERSON_LIMIT = 64
WARM_UP = 20
"""Times the first picture is shown to the pose estimator before it counts; its smoothing has settled by then."""
_KEYS = {"time", "xy", "score", "person"}
_ADDRESS = re.compile(r"(rtsp|rtsps|http|https|udp|tcp|rtmp)://", re.IGNORECASE)


def json_lines(stream: IO[bytes], skeleton: Skeleton, name: str = "<stdin>") -> Iterator[Arrival]:
    """Frames from lines of JSON as described above, as they arrive; ends with the input, even within a line."""
    number = 0
    while line := stream.readline(LINE_LIMIT + 1):
        number += 1
        if not line.strip():
            continue
        try:
            yield _parsed(line, skeleton, name, f"line {number}")
        except FormatError as error:
            yield error
        while len(line) >= LINE_LIMIT and not line.endswith(b"\n"):  # the rest of a line that is too long
            line = stream.readline(LINE_LIMIT)


def _parsed(line: bytes, skeleton: Skeleton, name: str, place: str) -> tuple[int, Frame]:
    def refuse(problem: str, expected: str) -> FormatError:
        return FormatError(name, problem, place=place, expected=expected)

    if len(line) > LINE_LIMIT:
        raise refuse(f"is longer than {LINE_LIMIT:,} bytes", "one frame")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(f"byte 0x{line[error.start]:02x} is not UTF-8 text", "JSON") from error
    held = parse_json(name, text, place)
    if not isinstance(held, dict):
        raise refuse(f"is a {type(held).__name__}", "an object with time and xy")
    unknown = sorted(set(held) - _KEYS)
    if unknown:
        raise refuse(f"key '{unknown[0][:40]}' is unknown", ", ".join(sorted(_KEYS)))
    for key in ("time", "xy"):
        if key not in held:
            raise refuse(f"has no {key}", "time and xy")
    if not _number(held["time"]):
        raise refuse(f"time is {held['time']!r:.40}", "seconds")
    person = held.get("person", 0)
    if not isinstance(person, int) or isinstance(person, bool) or not 0 <= person < PERSON_LIMIT:
        raise refuse(f"person is {person!r:.40}", f"a whole number from 0 to {PERSON_LIMIT - 1}")
    points, joints = held["xy"], len(skeleton)
    if not isinstance(points, list) or len(points) != joints:
        count = f"{len(points)} joints" if isinstance(points, list) else f"a {type(points).__name__}"
        raise refuse(f"xy holds {count}", f"{joints}, those of layout '{skeleton.name}'")
    axes = {len(p) if isinstance(p, list) and all(map(_number, p)) else 0 for p in points if p is not None} or {2}
    if len(axes) > 1 or not axes <= {2, 3}:
        raise refuse("a joint of xy is no pair of numbers", "[x, y] or null")
    there = np.array([p is not None for p in points], np.float32)
    xy = np.array([p or (0,) * min(axes) for p in points], np.float64)
    scores = held.get("score")
    if scores is None:
        return person, Frame(float(held["time"]), xy, there)
    if not isinstance(scores, list) or len(scores) != joints or not all(map(_number, scores)):
        raise refuse("score does not hold one number for each joint", f"{joints} numbers")
    return person, Frame(float(held["time"]), xy, np.array(scores, np.float32) * there)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def of_tracks(tracks: list[PoseTrack]) -> Iterator[Arrival]:
    """The frames of tracks in the order of time; all have one layout."""

    def frames(track: PoseTrack) -> Iterator[tuple[float, int, Frame]]:
        for time, xy, score in zip(track.times.tolist(), track.xy, track.score, strict=True):
            yield time, track.person, Frame(time, xy, score)

    for _, person, frame in merge(*map(frames, tracks), key=lambda row: row[:2]):
        yield person, frame


def of_video(source: str, persons: int = 1) -> Iterator[Arrival]:
    """The people of a video file, a camera (its number, `0`), or a network stream (`rtsp://...`), in canonical layout.

    Raises:
        NoInput, NotPermitted, FormatError: it cannot be opened or decoded.
        MissingExtra: MediaPipe is not installed.
    """
    from microgesture.pose.estimate import shrunk
    from microgesture.pose.mediapipe import MediaPipeDetector

    if is_live(source):
        pictures = _live(source)
    else:
        from microgesture.formats.video import read_frames

        pictures = ((f.time, f.image) for f in read_frames(source, isolated=True))
    with MediaPipeDetector(persons) as detector:
        first = True
        for time, image in pictures:
            small, scale = shrunk(image, detector.side)
            if first:
                detector.restart([None] * persons, (small.shape[1], small.shape[0]))
            for _ in range(WARM_UP if first else 1):
                xy, score = detector.read(small)
            first = False
            for person in range(persons):
                yield person, Frame(time, xy[person] * scale, score[person])


def is_live(source: str) -> bool:
    """Whether a source is a camera or an address rather than a file."""
    return source.isdecimal() or _ADDRESS.match(source) is not None


def _live(source: str) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Pictures as they come, with the seconds since the first one by the clock of this machine."""
    import av
    from av.error import FFmpegError

    camera = source.isdecimal()
    with ExitStack() as stack:
        try:
            container = stack.enter_context(
                av.open(f"/dev/video{source}", format="v4l2") if camera else av.open(source, timeout=(10.0, 10.0))
            )
        except (FFmpegError, OSError, ValueError) as error:
            what = f"camera {source}" if camera else source
            reason = str(getattr(error, "strerror", None) or error)
            raise NoInput(f"{what}: cannot be opened ({reason})") from error
        begun: float | None = None
        try:
            for picture in container.decode(video=0):
                now = clock.monotonic()
                begun = now if begun is None else begun
                yield now - begun, cast("NDArray[np.uint8]", picture.to_ndarray(format="rgb24"))
        except (FFmpegError, OSError, IndexError) as error:
            problem = f"breaks off ({getattr(error, 'strerror', None) or error})"
            raise FormatError(source, problem, remedy="check the camera or the connection") from error


def open_source(
    source: str,
    skeleton: Skeleton | None,
    *,
    stdin: IO[bytes],
    persons: int = 1,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[Iterator[Arrival], Skeleton]:
    """The frames of any source, and their layout.

    Args:
        source: `-` for JSON lines on `stdin`; number of a camera; an address; or a file of poses or a video.
        skeleton: layout of JSON lines; canonical if not given.
        persons: people to follow in pictures.
        fps, size: of files of poses that do not say.

    Raises:
        NoInput, NotPermitted, FormatError, UsageError: it cannot be read.
    """
    from microgesture.core.layouts import SKELETONS

    canonical = SKELETONS["canonical"]
    if source == "-":
        skeleton = skeleton or canonical
        return json_lines(stdin, skeleton), skeleton
    if is_live(source):
        return of_video(source, persons), canonical
    from microgesture.formats.source import check_file
    from microgesture.pose.estimate import read_pose_file

    path = Path(source)
    if path.suffix.casefold() == ".jsonl":
        skeleton = skeleton or canonical
        return json_lines(check_file(path).open("rb"), skeleton, source), skeleton
    if not path.is_dir():
        check_file(path)
    tracks = read_pose_file(path, fps, size)
    if tracks is None:
        return of_video(source, persons), canonical
    return of_tracks(tracks), tracks[0].skeleton
