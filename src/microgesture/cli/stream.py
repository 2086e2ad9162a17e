"""`microgesture stream`: poses or pictures in as they come, events out as JSON lines."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from microgesture.cli.analyze import Model, Persons
from microgesture.cli.check import Rate, Size
from microgesture.cli.console import Debug, Quiet, complain, data, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from microgesture.streaming.session import Event, Stream


def stream(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="- for poses as JSON lines on stdin; a file of poses (.jsonl, .npz, OpenPose); a video; the number of"
            " a camera; an address such as rtsp://...",
        ),
    ],
    taxonomy: Annotated[
        str | None, typer.Option("--taxonomy", "-t", help="Label space: imigue, smg or ma52; that of the model.")
    ] = None,
    model: Model = "base",
    layout: Annotated[str | None, typer.Option(help="Pose layout of JSON lines, such as mediapipe33.")] = None,
    persons: Persons = 1,
    hop: Annotated[float | None, typer.Option(help="Seconds between two looks; 0.25, for spotters 1.")] = None,
    lag: Annotated[float | None, typer.Option(help="Seconds to wait before an event is settled.")] = None,
    causal: Annotated[
        bool, typer.Option("--causal", help="Look into the past alone; for ST-GCN and ST-GCN++.")
    ] = False,
    starts: Annotated[bool, typer.Option("--starts", help="Report gestures when they begin, too.")] = False,
    fps: Rate = None,
    size: Size = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find micro-gestures while they happen; one line of JSON per event on stdout, latency on stderr at the end.

    A frame on stdin is an object with time in seconds and xy, a pair of numbers or null for each joint of the layout;
    if you like with score, a confidence from 0 to 1 for each joint, and person, a number. What cannot be used is
    reported as an event and left out. Ctrl-C ends cleanly.

    Example:  microgesture stream interview.mp4 | jq 'select(.event == "gesture")'

    Example:  my-pose-estimator | microgesture stream - --layout mediapipe33 --taxonomy smg
    """
    from microgesture.core.errors import FormatError
    from microgesture.core.layouts import skeleton as skeleton_of
    from microgesture.formats.source import frame_rate, frame_size
    from microgesture.learning.checkpoint import from_pretrained
    from microgesture.streaming.session import Event, Stream
    from microgesture.streaming.sources import open_source

    wanted = skeleton_of(layout) if layout else None
    arrivals, skeleton = open_source(
        source,
        wanted,
        stdin=sys.stdin.buffer,
        persons=persons,
        fps=frame_rate(fps) if fps else None,
        size=frame_size(size) if size else None,
    )

    saved = from_pretrained(model)

    def opened(person: int) -> Stream:
        return Stream(saved, taxonomy, skeleton=skeleton, hop=hop, lag=lag, causal=causal, starts=starts, person=person)

    streams = {0: opened(0)}  # at once: what is wrong with the model shows before the first frame
    latest, unread = 0.0, 0
    try:
        for arrival in arrivals:
            if isinstance(arrival, FormatError):
                unread += 1
                _tell([Event("bad frame", latest, None, latest, note=str(arrival))])
                continue
            person, frame = arrival
            if person not in streams:
                streams[person] = opened(person)
            latest = max(latest, frame.time)
            _tell(streams[person].step(frame))
    finally:  # Ctrl-C and a source that breaks off, too
        if sys.exc_info()[0] is not BrokenPipeError:
            for each in streams.values():
                _tell(each.close())
            _sum_up(streams, unread)


def _tell(events: Iterable[Event]) -> None:
    for event in events:
        data(json.dumps(event.to_plain(), ensure_ascii=False, allow_nan=False))
        sys.stdout.flush()  # whoever reads must not wait for a full buffer


def _sum_up(streams: dict[int, Stream], unread: int) -> None:
    frames = sum(s.latency.count for s in streams.values())
    if not frames:
        complain("no frame came" + (f"; {unread} could not be read" if unread else ""))
        return
    gestures = sum(s.events["gesture"] for s in streams.values())
    bad = unread + sum(s.events["bad frame"] for s in streams.values())
    say(
        f"{frames} frames, {gestures} gesture{'s' if gestures != 1 else ''}"
        + (f", {bad} bad frame{'s' if bad != 1 else ''}" if bad else "")
    )
    first = streams[0]
    say(f"a gesture is reported at most {first.lookahead:.2f} s after its end")
    for person, each in sorted(streams.items()):
        if each.latency.count:
            ms = [1000 * each.latency.percentile(q) for q in (50, 95, 99)]
            worst = 1000 * each.latency.most
            whose = f"person {person}: " if len(streams) > 1 else ""
            say(f"{whose}ms per frame: median {ms[0]:.2f}, 95 % {ms[1]:.2f}, 99 % {ms[2]:.2f}, most {worst:.2f}")
