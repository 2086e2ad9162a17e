"""From a video (or a file of poses made elsewhere) to a `PoseStore`."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.track import Array, PoseTrack
from microgesture.formats.poses import pose_kind, read_poses
from microgesture.formats.source import check_file
from microgesture.formats.video import Damage, Frame, probe, read_frames
from microgesture.pose.assemble import CANONICAL, body_scale
from microgesture.pose.mediapipe import MediaPipeDetector
from microgesture.pose.people import Image
from microgesture.pose.store import (
    CHUNK_SECONDS,
    PoseStore,
    Recording,
    create_store,
    fingerprint,
    open_store,
)

WARM_UP = 10
"""Frames before a chunk that its fresh detector sees first: smoothing and tracking have settled by then."""
FIRST_WARM_UP = 20
"""Times the very first frame is shown before it counts: it would be off by up to 5 pixels, as much as a nod."""
FADE = 1.0
"""Seconds over which a chunk leaves the place where the previous one ended. A fresh detector settles about 0.01 to
0.02 shoulder widths beside the old one, however long it warms up: as a step that would look like a small nod."""
PERSON_LIMIT = 64

Progress = Callable[[float, "float | None"], None]


class NobodyFound(UserWarning):
    """A recording was read to the end and nobody was found in it."""


class Detector(Protocol):
    """Finds people in picture after picture; see `MediaPipeDetector`."""

    side: int

    @property
    def settings(self) -> dict[str, Any]: ...
    def __enter__(self) -> Detector: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def restart(self, expected: Sequence[tuple[Array, Array] | None], size: tuple[int, int]) -> None: ...
    def read(self, image: Image) -> tuple[Array, Array]: ...


def estimate(
    path: str | PathLike[str],
    out: str | PathLike[str],
    *,
    persons: int = 1,
    resume: bool = True,
    progress: Progress | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    detector: Callable[[int], Detector] = MediaPipeDetector,
) -> PoseStore:
    """Poses of the people in a recording, kept in the folder `out`.

    Poses that are there already, made from the same file with the same settings, are used again; what a killed
    run left is continued. Each chunk starts with a fresh detector, so that a continued run writes the same bytes
    as one in a single go. Two runs on one folder do the same work twice and harm nothing.

    Args:
        path: a video or GIF; or poses made elsewhere: `.npz` of this package, OpenPose's `.csv`, `.xlsx`, `.json`, or
            a folder of its JSON files.
        persons: how many people to follow, 1 to 64. With more than one, see `pose.people` for the limits.
        resume: False starts anew.
        progress: called after every frame with seconds done and seconds in all (None if unknown).
        fps, size: frames per second and picture size of pose files that do not say; not used otherwise.
        detector: makes the detector for a number of persons.

    Returns:
        The complete store. If nobody was found it holds zero scores, and `NobodyFound` is warned of.

    Raises:
        NoInput, NotPermitted, FormatError: the recording cannot be read, or has no frame; a chunk of `out` is damaged.
        MissingExtra: MediaPipe is not installed.
        CannotCreate, NotPermitted, OutputFailed: `out` cannot be written.
        UsageError: `persons` out of range, or `fps` missing where it is needed.

    Example:
        store = estimate("interview.mp4", "interview.poses")
        track = store.track(person=0, start=60, end=90)
    """
    if not 1 <= persons <= PERSON_LIMIT:
        raise UsageError(f"persons is {persons}, expected 1 to {PERSON_LIMIT}")
    tracks = read_pose_file(path, fps, size)
    if tracks is not None:
        more = len(tracks) - persons
        notes = [f"{Path(path).name} holds {len(tracks)} people; followed: {persons}"] if more > 0 else []
        return store_tracks(tracks[:persons], path, out, resume=resume, notes=notes)
    file = check_file(path)
    finder = detector(persons)
    store = _matching(out, fingerprint(file), finder.settings) if resume else None
    if store is None or not store.complete:
        video = probe(file)
        if store is None:
            info = Recording(file.name, video.fps, video.size, video.duration)
            store = create_store(out, info, persons, fingerprint(file), finder.settings)
        with finder:
            _fill(store, file, finder, progress)
    for note in store.notes:
        warnings.warn(note, stacklevel=2)
    if not store.seen_share:
        frames = f"{store.frames} frame{'s' if store.frames != 1 else ''}"
        warnings.warn(f"{file}: nobody was found in {frames}", NobodyFound, stacklevel=2)
    return store


def estimate_clip(
    path: str | PathLike[str], *, persons: int = 1, detector: Callable[[int], Detector] = MediaPipeDetector
) -> list[PoseTrack]:
    """Poses of a short clip in memory, one track per person that was seen, or the empty track of one if nobody was.

    Raises:
        as `estimate`.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = estimate(path, folder, persons=persons, detector=detector)
        tracks = [store.track(m) for m in range(persons)]
    return [t for t in tracks if t.score.any()] or tracks[:1]


def read_pose_file(
    path: str | PathLike[str], fps: float | None = None, size: tuple[int, int] | None = None
) -> list[PoseTrack] | None:
    """Tracks of a file or folder of poses, one per person, times from 0; None if its name is not that of one.

    Args:
        fps, size: what the file does not say, see `formats.poses.read_poses`; tables of OpenPose are taken to be
            iMiGUE's, of 1280 x 720 pixels, unless a size is given.

    Raises:
        NoInput, NotPermitted, FormatError: it cannot be read, or holds no frame.
        UsageError: the frame rate is needed and not given.
    """
    file = Path(path)
    if not file.is_dir() and file.suffix.casefold() not in (".npz", ".csv", ".xlsx", ".json"):
        return None
    table = file.suffix.casefold() in (".csv", ".xlsx")
    if size is None and table and pose_kind(file) == "openpose":
        size = (1280, 720)
    tracks = [t for t in read_poses(file, fps=fps, size=size) if len(t)]
    if not tracks:
        raise FormatError(file, "holds no frame with a pose", remedy="check what was exported")
    first = min(t.times[0] for t in tracks)
    return [replace(t, times=t.times - first) for t in tracks]


def store_tracks(
    tracks: Sequence[PoseTrack],
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    resume: bool = True,
    notes: Sequence[str] = (),
) -> PoseStore:
    """Keep poses that come from elsewhere as a store, projected to the canonical layout.

    Args:
        tracks: one per person, the same frames in each.
        source: the file they were read from.
        resume: False writes them anew.
        notes: kept with them, see `PoseStore`.

    Raises:
        FormatError: no frame, 3-D coordinates, or persons whose times differ.
    """
    if not tracks or not len(tracks[0]):
        raise FormatError(source, "holds no frame with a pose", remedy="check what was exported")
    first = tracks[0]
    if first.xy.shape[2] != 2:
        raise FormatError(source, "holds 3-D poses", expected="2-D poses in pixels", remedy="export the 2-D ones")
    if any(not np.array_equal(t.times, first.times) for t in tracks):
        raise FormatError(source, "its persons have different times", remedy="export all persons for all frames")
    settings = {"from": first.skeleton.name, "persons": len(tracks), "fps": first.fps}
    info = Recording(Path(source).name, first.fps, first.size, first.duration)
    store = _matching(out, fingerprint(source), settings) if resume else None
    if store is None or not store.complete:
        store = create_store(out, info, len(tracks), fingerprint(source), settings)
        projected = [t.project(CANONICAL) for t in tracks]
        xy, score = np.stack([t.xy for t in projected]), np.stack([t.score for t in projected])
        numbers = ((first.times - first.times[0]) // CHUNK_SECONDS).astype(int)
        for number in np.unique(numbers):
            part = numbers == number
            store.append(first.times[part], xy[:, part], score[:, part])
        store.finish(notes)
    return store


def _matching(out: str | PathLike[str], source: dict[str, Any], settings: dict[str, Any]) -> PoseStore | None:
    """The store in `out` if it was made from this file in this way."""
    if not (Path(out) / "index.json").exists():
        return None
    store = open_store(out)
    # compared as JSON: what was read back has lists for tuples
    if (store.fingerprint, store.settings) != (source, json.loads(json.dumps(settings))):
        return None
    store.verify()
    return store


def _fill(store: PoseStore, file: Path, detector: Detector, progress: Progress | None) -> None:
    """Add chunks until the recording ends."""
    notes: list[str] = []
    total = store.info.duration or None
    xy: list[Array] = []
    score: list[Array] = []
    times: list[float] = []
    recent: deque[Image] = deque(maxlen=WARM_UP)  # scaled pictures before the coming chunk

    def close_chunk() -> None:
        store.append(np.array(times), np.stack(xy, 1), np.stack(score, 1))
        for part in (xy, score, times):
            part.clear()

    with closing(_frames(store, file, lambda damage: notes.append(str(damage)), recent)) as frames:
        for frame in frames:
            small, scale = shrunk(frame.image, detector.side)
            if times and frame.time >= times[0] + CHUNK_SECONDS:
                close_chunk()
            if not times:
                shift, since = _warm_up(store, detector, recent or [small] * FIRST_WARM_UP, scale), frame.time
            found, confidence = detector.read(small)
            fade = np.float32(max(0.0, 1 - (frame.time - since) / FADE))
            xy.append(np.where(confidence[..., None] > 0, found * scale + fade * shift, 0))
            score.append(confidence)
            times.append(frame.time)
            recent.append(small)
            if progress:
                progress(frame.time, total)
    if times:
        close_chunk()
    if not store.chunks:
        raise FormatError(file, "no frame could be decoded", place="video stream", remedy="convert it with ffmpeg")
    store.finish(notes)


def _warm_up(store: PoseStore, detector: Detector, pictures: Sequence[Image] | deque[Image], scale: Array) -> Array:
    """Show a fresh detector the pictures before a chunk; by how much (M, V, 2) the last chunk ended elsewhere."""
    expected: list[tuple[Array, Array] | None] = [None] * store.persons
    if store.chunks:
        xy, score, times = store.load(len(store.chunks) - 1)
        first = max(0, len(times) - len(pictures))
        expected = [(xy[m, first] / scale, score[m, first]) for m in range(store.persons)]
    height, width = pictures[0].shape[:2]
    detector.restart(expected, (width, height))
    for picture in pictures:
        found, confidence = detector.read(picture)
    shift = np.zeros_like(found)
    if store.chunks:
        both = (confidence > 0) & (score[:, -1] > 0)
        shift = np.where(both[..., None], xy[:, -1] - found * scale, 0)
        for m in range(store.persons):  # what lies far apart is not the same point seen twice
            shift[m][np.linalg.norm(shift[m], axis=-1) > 0.15 * body_scale(xy[m, -1])] = 0
    return shift


def _frames(
    store: PoseStore, file: Path, on_damage: Callable[[Damage], None], recent: deque[Image]
) -> Generator[Frame, None, None]:
    """The frames that are still missing; `recent` receives the scaled ones just before them.

    Read from the start even if most is done: that costs little beside finding people, and neither what is damaged
    nor which frame is which depends on where a seek lands.
    """
    side = int(store.settings["side"])
    known = store.frames
    done = store.chunks[-1].end if store.chunks else -1.0
    skipped = 0
    for frame in read_frames(file, isolated=True, on_damage=on_damage):
        if frame.time > done:
            if skipped != known:
                break
            yield frame
        else:
            skipped += 1
            if skipped > known - WARM_UP:
                recent.append(shrunk(frame.image, side)[0])
    if skipped != known:
        raise FormatError(
            file,
            f"has {skipped} frames up to {done:.3f} s",
            expected=f"the {known} the poses in {store.folder} were begun with",
            remedy=f"delete the folder {store.folder} and run the command again",
        )


def shrunk(image: NDArray[np.uint8], side: int) -> tuple[Image, Array]:
    """The picture with its longest side at most `side`, and the factors (x, y) back to the original's pixels."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return image, np.ones(2, np.float32)
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
    return scaled, np.array((width / small[0], height / small[1]), np.float32)
