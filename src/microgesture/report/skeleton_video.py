"""`skeleton.mp4`: the recording as moving stick figures with captions. No pixel of a person is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from microgesture.analysis.analyze import Analysis
from microgesture.analysis.inputs import Progress
from microgesture.analysis.poses import PIECE, piece_count
from microgesture.core.segment import Segment
from microgesture.core.track import PoseTrack
from microgesture.formats.video import VideoWriter
from microgesture.report.chart import clock
from microgesture.report.draw import group_colour
from microgesture.simulation.preview import INK, MUTED, PAPER, Colour, draw, write_words

WIDTH = 640
"""Pixels; the height follows the recording, plus a strip for captions."""
STRIP = 84
LINES = 3
"""Captions shown at a time."""
FPS_LIMIT = 30.5


def write_skeleton_video(analysis: Analysis, path: str | Path | None = None, progress: Progress | None = None) -> Path:
    """Draw the recording from its joints alone, in constant memory (durably).

    Args:
        path: the file; by default `skeleton.mp4` in the folder of results.

    Raises:
        NotPermitted, CannotCreate, OutputFailed: see `core.durable`.
    """
    target = Path(path) if path is not None else analysis.out / "skeleton.mp4"
    width, height = analysis.poses.info.size
    zoom = WIDTH / width if width > 0 else 1.0
    picture_height = round(height * zoom) if width > 0 else 360
    picture_height = int(np.clip(picture_height, 160, 1280)) // 2 * 2
    blank = np.empty((picture_height + STRIP, WIDTH, 3), np.uint8)
    blank[:] = PAPER
    cv2.line(blank, (0, picture_height), (WIDTH, picture_height), (222, 224, 226), 1)
    canvas = blank.copy()
    picture = canvas[:picture_height]  # who stands below the picture's edge does not walk through the captions
    waiting = sorted(analysis.timeline.segments, key=lambda s: s.start, reverse=True)
    current: list[Segment] = []
    total = analysis.timeline.duration
    with VideoWriter(target, min(analysis.poses.info.fps, 30.0), (WIDTH, canvas.shape[0])) as video:
        last = -1.0
        for time, people in _frames(analysis):
            if last >= 0 and time - last < 1 / FPS_LIMIT:
                continue  # screens show 30 a second; what happens between is in the data
            last = time
            while waiting and waiting[-1].start <= time:
                current.append(waiting.pop())
            current = [s for s in current if time < s.end]
            np.copyto(canvas, blank)
            for track, frame in people:
                draw(picture, track.xy[frame], track.score[frame], track.skeleton, (zoom, 0.0, 0.0), thickness=4)
            _captions(canvas, picture_height, time, current, analysis)
            video.write(canvas, time)
            if progress:
                progress("drawing skeletons", time, total)
        if last < 0:  # a video needs a frame; an empty recording shows an empty page
            video.write(blank, 0.0)
    if progress:
        progress("drawing skeletons", total, total)
    return target


def _frames(analysis: Analysis) -> Iterator[tuple[float, list[tuple[PoseTrack, int]]]]:
    """Time and, per person, track and index of the frame; one piece of the recording is held at a time."""
    poses = analysis.poses
    for piece in range(piece_count(poses.info.duration)):
        # the last frame may lie exactly at the end
        stop = (piece + 1) * PIECE
        tracks = [poses.track(m, piece * PIECE, stop) for m in range(poses.persons)]
        for frame, time in enumerate(tracks[0].times.tolist() if tracks else []):
            yield time, [(t, frame) for t in tracks if frame < len(t)]


def _captions(canvas: NDArray[np.uint8], top: int, time: float, current: list[Segment], analysis: Analysis) -> None:
    taxonomy = analysis.timeline.taxonomy
    write_words(canvas, clock(time), (WIDTH - 96, top + 24), size=0.5, ink=MUTED)
    for row, s in enumerate(sorted(current, key=lambda s: -s.score)[:LINES]):
        y = top + 10 + row * 24
        cv2.rectangle(canvas, (14, y + 3), (24, y + 13), _rgb(group_colour(taxonomy, s.label)), cv2.FILLED)
        who = f"{s.person + 1}: " if analysis.persons > 1 else ""
        write_words(canvas, f"{who}{taxonomy[s.label].name}  {s.score:.0%}", (34, y + 14), size=0.5, ink=INK)


def _rgb(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
