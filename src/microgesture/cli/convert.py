"""`microgesture convert`: a timeline or poses from one format into another, and what is lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microgesture.cli.check import Labels, Layout, Rate, Size
from microgesture.cli.console import Debug, Quiet, complain, data, say
from microgesture.core.errors import FormatError, NoInput, UsageError

if TYPE_CHECKING:
    from microgesture.core.track import PoseTrack


def convert(
    source: Annotated[Path, typer.Argument(readable=False, metavar="IN", help="A timeline or a pose file.")],
    target: Annotated[Path, typer.Argument(readable=False, metavar="OUT", help="File, or folder for OpenPose JSON.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Format, where the name of OUT does not say: csv, boris-csv, events, json, boris, eaf, vtt;"
            " npz, openpose, mediapipe, deeplabcut, pyskl.",
        ),
    ] = None,
    taxonomy: Labels = None,
    fps: Rate = None,
    size: Size = None,
    layout: Layout = None,
    rater: Annotated[str | None, typer.Option(help="Whose segments, where several raters are in IN.")] = None,
    media: Annotated[Path | None, typer.Option(readable=False, help="The recording, to be linked from OUT.")] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert a timeline (CSV, JSON, ELAN, WebVTT, BORIS, BIDS) or poses; say what the other format cannot hold.

    Example:  microgesture convert coded.eaf coded.boris --taxonomy smg --media interview.mp4
    """
    from microgesture.formats import poses, timelines

    if not source.exists():
        raise NoInput(f"{source}: does not exist")
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target}: is the input; give the output another name")
    is_timeline = timelines.timeline_kind(source) is not None
    if not is_timeline and poses.pose_kind(source) is None:
        raise FormatError(source, "neither a timeline nor a pose file", remedy="see 'microgesture convert --help'")
    kinds, others = (timelines, poses) if is_timeline else (poses, timelines)
    kind = to or kinds.kind_to_write(target)
    if kind is None and target.suffix not in ("", ".csv", ".json"):  # these do not say what they would hold
        kind = others.kind_to_write(target)
    if kind in others.KINDS:
        have, want = ("a timeline", "poses") if is_timeline else ("poses", "a timeline")
        raise UsageError(f"{source}: holds {have}, and {target} would hold {want} ({kind}); neither becomes the other")
    if kind not in kinds.KINDS:
        raise UsageError(f"{target}: the format is not clear; choose one of {', '.join(kinds.KINDS)} with --to")
    if is_timeline:
        lost = _timeline(source, target, kind, taxonomy, fps, rater, media)
    else:
        lost = _poses(source, target, kind, fps, size, layout)
    for what in lost:
        say(f"{target}: {kind} does not hold {what}")
    data(str(target))


def _timeline(
    source: Path, target: Path, kind: str, name: str | None, fps: str | None, rater: str | None, media: Path | None
) -> list[str]:
    from microgesture.core.taxonomies import taxonomy
    from microgesture.formats import eaf, timelines
    from microgesture.formats.segments import one_of
    from microgesture.formats.source import frame_rate

    rate = frame_rate(fps) if fps else None
    own = timelines.timeline_kind(source) == "json" and name is None
    found = timelines.read_raters(source, None if own else taxonomy(name or "imigue"), fps=rate)
    if rater is not None:
        found = {rater: one_of(source, found, rater)}
    named = not set(found) <= {"", eaf.MACHINE}
    if "" in found and len(found) > 1 and kind in timelines.WITH_RATERS:
        found["unknown"] = found.pop("")
    line = found if named and kind in timelines.WITH_RATERS else one_of(source, found, None)
    timelines.write_timeline(line, target, kind=kind, media=media, fps=rate)
    lost = list(dict.fromkeys(what for each in found.values() for what in timelines.not_held(each, kind)))
    if named and kind not in timelines.WITH_RATERS:
        lost.append(f"the rater ({', '.join(found)})")
    if media is not None and kind in ("csv", "events", "vtt"):
        lost.append("the name of the recording")
    return lost


def _poses(source: Path, target: Path, kind: str, fps: str | None, size: str | None, layout: str | None) -> list[str]:
    from microgesture.core.layouts import skeleton
    from microgesture.formats import poses
    from microgesture.formats.source import frame_rate, frame_size

    tracks: Sequence[PoseTrack] = poses.read_poses(
        source,
        fps=frame_rate(fps) if fps else None,
        size=frame_size(size) if size else None,
        skeleton=skeleton(layout) if layout else None,
    )
    if size and any(track.size == (0, 0) for track in tracks):
        from dataclasses import replace

        tracks = [replace(track, size=frame_size(size)) for track in tracks]
    tracks = [_projected(track, kind) for track in tracks]
    if not any(track.score.any() for track in tracks):
        complain(f"warning: {source}: nobody is seen in any frame")
    poses.write_poses(tracks, target, kind=kind)
    return poses.not_held(tracks, kind)


def _projected(track: PoseTrack, kind: str) -> PoseTrack:
    """The track in the layout that the format needs; what that layout lacks is said."""
    from microgesture.core.layouts import SKELETONS

    name = track.skeleton.name
    wanted = {"mediapipe": "mediapipe33", "openpose": "openpose25"}.get(kind, name)
    if kind == "openpose" and name in ("openpose18", "openpose137"):
        wanted = name
    if wanted == name:
        return track
    target = SKELETONS[wanted]
    shared = sum(joint in track.skeleton for joint in target.joints)
    if not shared:
        raise UsageError(f"layout '{name}' shares no joint with '{wanted}', which {kind} needs")
    say(f"{kind} needs layout {wanted}: {shared} of its {len(target)} joints are in {name}")
    return track.project(target)
