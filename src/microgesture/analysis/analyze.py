"""The main job: a recording in, a timeline of named micro-gestures out, with everything that supports it.

    video -> poses (pieces on disk) -> posteriors (journal on disk) -> segments -> timeline, rates, quality

The recording passes through in pieces of `PIECE` seconds, so memory does not grow with its length. What is finished
is on disk: a run that was killed goes on where it stopped and ends with the same bytes.
"""

from __future__ import annotations

import json
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from microgesture.analysis.inputs import Progress, check_recording, open_poses
from microgesture.analysis.journal import Journal
from microgesture.analysis.poses import PIECE, Poses, piece_count
from microgesture.analysis.quality import Quality, measure
from microgesture.analysis.rates import Evidence, evidence
from microgesture.analysis.states import State
from microgesture.core.decode import DecodeSettings, decode
from microgesture.core.durable import held, make_folder, write_text
from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import taxonomy as taxonomy_of
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack

STEP = 0.25
"""Seconds between window centres."""
JOURNAL = "posteriors.jsonl"
MARGIN = 4.0
"""Seconds of motion around a piece that its windows may look at, at least; longer windows take half their length."""


class WindowRecogniser(Protocol):
    """What `analyze` needs of a model; `analysis.recogniser.Recogniser` has it."""

    @property
    def fps(self) -> float: ...
    @property
    def frames(self) -> int: ...
    def windows(self, track: PoseTrack, taxonomy: Taxonomy, centres: NDArray[np.float64]) -> NDArray[np.float32]: ...
    def unusual(self, track: PoseTrack) -> list[str]: ...


@dataclass(frozen=True, eq=False)
class Analysis:
    """All that was found in a recording.

    Args:
        source: the recording; out: the folder of results.
        timeline: the micro-gestures of all persons.
        persons: number of people followed.
        poses: their poses, to draw from.
        times: (N,) window centres in seconds.
        posteriors: one float32 (N, K) per person.
        quality, evidence: one per person.
        warnings: sentences a reader of the results must see.
        settings, versions: what the results depend on, as plain data.
        seconds: wall time per stage of this run (not part of the results: a resumed run is faster).
    """

    source: Path
    out: Path
    timeline: Timeline
    persons: int
    poses: Poses
    times: NDArray[np.float64]
    posteriors: tuple[NDArray[np.float32], ...]
    quality: tuple[Quality, ...]
    evidence: tuple[Evidence, ...]
    warnings: tuple[str, ...]
    settings: dict[str, Any]
    versions: dict[str, str]
    states: tuple[State, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `analysis.json`: everything but poses, posteriors and the segments themselves."""
        return {
            "format": "microgesture analysis 1",
            "source": self.source.name,
            "duration": round(self.timeline.duration, 3),
            "fps": self.poses.info.fps,
            "size": list(self.poses.info.size),
            "taxonomy": self.timeline.taxonomy.key,
            "persons": self.persons,
            "segments": len(self.timeline),
            "warnings": list(self.warnings),
            "settings": self.settings,
            "versions": self.versions,
            "states": [asdict(s) for s in self.states],
            "quality": [q.as_dict() for q in self.quality],
            "rates": [e.as_dict() for e in self.evidence],
        }


def analyze(
    path: str | Path,
    out: str | Path,
    *,
    taxonomy: str | Taxonomy = "imigue",
    persons: int = 1,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    model: str | Path = "base",
    resume: bool = True,
    progress: Progress | None = None,
    decoding: DecodeSettings | None = None,
    states: Sequence[State] = (),
    recogniser: WindowRecogniser | None = None,
    poses: Poses | None = None,
) -> Analysis:
    """Find and name the micro-gestures of a recording; write timelines and `analysis.json` into `out`.

    Written: `timeline.csv .json .eaf .vtt`, `boris.csv`, `analysis.json`, `pose/` and `posteriors.jsonl` (what a
    later run resumes from). Report and skeleton video are made from the returned value by `report`.

    Args:
        path: video or pose file.
        out: folder for the results; created if absent.
        taxonomy: label space or its key.
        persons: people to follow in a video.
        fps, size: frame rate and picture size (width, height) of pose files that do not say them.
        model: name of a shipped model, or folder of one, e.g. of a trained spotter.
        resume: go on where an earlier run of the same settings stopped; False begins anew.
        progress: called as `progress(stage, done, total)`.
        decoding: thresholds; None takes those that suit the model.
        states: annotated stretches whose rates are compared.
        recogniser: used instead of loading `model`; poses: used instead of reading `path`.

    Raises:
        TryAgain: another process works in `out`.
        NoInput, FormatError: the recording cannot be read.
        NotPermitted, CannotCreate, OutputFailed: the results cannot be written.
    """
    labels = taxonomy if isinstance(taxonomy, Taxonomy) else taxonomy_of(taxonomy)
    if persons < 1:
        raise UsageError(f"persons is {persons}, expected at least 1")
    tell = progress or (lambda stage, done, total: None)
    source, clock = Path(path), _Clock()
    if poses is None:
        check_recording(source)  # before a folder is made for nothing
    folder = make_folder(out)
    with held(folder):
        if not resume:
            (folder / JOURNAL).unlink(missing_ok=True)
        with clock("pose"):
            if poses is None:
                poses = open_poses(
                    source, folder / "pose", persons=persons, fps=fps, size=size, resume=resume, progress=tell
                )
        with clock("model"):
            if recogniser is None:
                from microgesture.analysis.spotted import load_recogniser

                recogniser = load_recogniser(model)
        if decoding is None:
            tuned = getattr(recogniser, "decoding", None)
            decoding = tuned(labels) if tuned else DecodeSettings()
        header = {
            "format": "microgesture posteriors 1",
            "source": poses.fingerprint,
            "poses": poses.settings,
            "taxonomy": labels.digest,
            "model": getattr(recogniser, "digest", "") or str(model),
            "calibration": asdict(found) if (found := getattr(recogniser, "calibration", None)) else None,
            "version": versions()["microgesture"],
            "step": STEP,
            "piece": PIECE,
        }
        with clock("recognition"), Journal(folder / JOURNAL, header) as journal:
            times, posteriors, unusual = _posteriors(poses, recogniser, labels, journal, tell)
        with clock("decoding"):
            duration = poses.info.duration
            segments: list[Segment] = []
            for person, p in enumerate(posteriors):
                segments += decode(times, p, labels, duration, decoding, person=person)
            timeline = Timeline(tuple(_rounded(segments, duration)), labels, duration)
        with clock("statistics"):
            quality = tuple(measure(poses, person) for person in range(poses.persons))
            result = Analysis(
                source=source,
                out=folder,
                timeline=timeline,
                persons=poses.persons,
                poses=poses,
                times=times,
                posteriors=posteriors,
                quality=quality,
                evidence=tuple(evidence(timeline, q.person, q.minutes, states) for q in quality),
                warnings=tuple(
                    dict.fromkeys(
                        [*poses.notes, *(w for q in quality for w in q.warnings), *unusual, *_beyond(states, duration)]
                    )
                ),
                settings={
                    "model": str(model),
                    "model_digest": header["model"],
                    "taxonomy": labels.key,
                    "taxonomy_digest": labels.digest,
                    "step": STEP,
                    "decoding": asdict(decoding),
                    "poses": poses.settings,
                    "source": poses.fingerprint,
                },
                versions=versions(),
                states=tuple(states),
                seconds=clock.seconds,
            )
        with clock("writing"):
            _write(result, tell)
    return result


def _posteriors(
    poses: Poses, recogniser: WindowRecogniser, labels: Taxonomy, journal: Journal, tell: Progress
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float32], ...], list[str]]:
    """Window centres (N,), posteriors (N, K) per person, and warnings about motion unlike the training data."""
    duration = poses.info.duration
    count = int(np.floor(duration / STEP - 1e-9)) + 1 if duration > 0 else 0
    times = np.arange(count) * STEP + min(STEP, duration) / 2
    times = times[times < duration]
    margin = max(MARGIN, recogniser.frames / recogniser.fps / 2)
    total = piece_count(duration) * poses.persons
    told: list[list[tuple[str, ...]]] = []
    result = []
    for person in range(poses.persons):
        parts = [np.zeros((0, len(labels)), np.float32)]
        told.append([])
        for piece in range(piece_count(duration)):
            tell("recognising", person * piece_count(duration) + piece, total)
            centres = times[(times >= piece * PIECE) & (times < (piece + 1) * PIECE)]
            if not len(centres):
                continue
            known = journal.get(person, piece)
            if known is None or known[0].shape != (len(centres), len(labels)):
                # a little beyond the end: the last frame's own time may be the duration
                track = poses.track(person, max(0.0, centres[0] - margin), centres[-1] + margin + STEP)
                known = _recognised(track, recogniser, labels, centres)
                journal.add(person, piece, *known)
            parts.append(known[0])
            told[-1].append(known[1])
        result.append(np.concatenate(parts))
    tell("recognising", total, total)
    return times, tuple(result), _summed_up(told)


def _recognised(
    track: PoseTrack, recogniser: WindowRecogniser, labels: Taxonomy, centres: NDArray[np.float64]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    if not (track.score > 0).any():
        return np.zeros((len(centres), len(labels)), np.float32), ()
    p = np.asarray(recogniser.windows(track, labels, centres), np.float32)
    if p.shape != (len(centres), len(labels)) or not np.isfinite(p).all():
        raise RuntimeError(f"the model returned {p.shape} or values that are not finite for {len(centres)} windows")
    return p, tuple(recogniser.unusual(track))


def _summed_up(told: list[list[tuple[str, ...]]]) -> list[str]:
    """Warnings of pieces as warnings of the recording: those met in at least a fifth of it, with how often.

    Messages that differ in their numbers only count as one, shown as first met.
    """
    found = []
    for person, pieces in enumerate(told):
        kinds = Counter(kind for messages in pieces for kind in {re.sub(r"\d+(\.\d+)?", "#", m) for m in messages})
        for kind, times in kinds.most_common():
            if times >= 0.2 * len(pieces):
                words = next(m for ms in pieces for m in ms if re.sub(r"\d+(\.\d+)?", "#", m) == kind)
                found.append(f"person {person + 1}: {words} (in {times / len(pieces):.0%} of the recording)")
    return found


def _beyond(states: Sequence[State], duration: float) -> list[str]:
    """What to say of states that do not fit; a second is forgiven, for rounding."""
    return [
        f"state '{s.name}' ends at {s.end:g} s, the recording at {duration:.1f} s; only what lies inside counts"
        for s in states
        if s.end > duration + 1
    ]


def _rounded(segments: Sequence[Segment], duration: float) -> Iterator[Segment]:
    """Times to milliseconds and scores to 4 digits, as files have them, so that files and objects agree."""
    for s in segments:
        start, end = round(s.start, 3), min(round(s.end, 3), duration)
        if start < end:
            yield Segment(start, end, s.label, round(s.score, 4), s.person)


def _write(result: Analysis, tell: Progress) -> None:
    from microgesture.formats.boris import write_boris
    from microgesture.formats.eaf import write_eaf
    from microgesture.formats.timeline_csv import write_csv
    from microgesture.formats.timeline_json import write_timeline_json
    from microgesture.formats.webvtt import write_vtt

    line, out, name = result.timeline, result.out, result.source.name
    text = json.dumps(result.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files: tuple[Callable[[], None], ...] = (
        lambda: write_csv(line, out / "timeline.csv"),
        lambda: write_timeline_json(line, out / "timeline.json", media=name),
        lambda: write_eaf(line, out / "timeline.eaf", media=result.source),
        lambda: write_vtt(line, out / "timeline.vtt"),
        lambda: write_boris(line, out / "boris.csv", media=name, fps=result.poses.info.fps),
        lambda: write_text(out / "analysis.json", text),
    )
    for done, write in enumerate(files):
        tell("writing", done, len(files))
        write()
    tell("writing", len(files), len(files))


def versions() -> dict[str, str]:
    """Versions of what the results depend on."""
    names = ("microgesture", "numpy", "torch", "mediapipe", "opencv-python-headless", "av")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


class _Clock:
    """Wall time per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = time.perf_counter() - begun
