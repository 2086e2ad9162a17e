"""`Stream`: the frames of one person in, one by one; events out, as soon as they are certain.

    stream = Stream("base", "imigue", skeleton=SKELETONS["mediapipe33"])
    for frame in frames:
        for event in stream.step(frame):
            print(event.to_plain())
    stream.close()

A stretch without a break is a run: within it a stream finds what the same model finds in a recording of the run, apart
from what the fixed lag costs. A gap in time, or a person who is gone for a while, ends the run; what was open is
settled, and the next frame begins anew. Memory does not grow with the length of the stream.
"""

from __future__ import annotations

import time as clock
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, isfinite, log
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microgesture.core.decode import DecodeSettings
from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import taxonomy as taxonomy_of
from microgesture.core.taxonomy import Taxonomy
from microgesture.learning.checkpoint import Saved, from_pretrained
from microgesture.learning.motions import tuned, untuned
from microgesture.learning.spotting import Spotter, is_spotter
from microgesture.streaming.decode import FixedLagDecoder
from microgesture.streaming.finders import ClassFinder, Finder, StateFinder, WindowFinder, has_states
from microgesture.streaming.posteriors import ContinualPosteriors, Posteriors, WindowPosteriors
from microgesture.systems.mamba_mg import SkeletonMamba
from microgesture.systems.stgcn import STGCN
from microgesture.systems.stgcnpp import STGCNpp

Array = NDArray[np.float32]
Kind = Literal["start", "gesture", "found", "lost", "gap", "restart", "bad frame"]

VERSION = 1
"""Of the JSON form of events."""
HOLE = 0.5
"""Seconds without a frame over which joints are not interpolated; they count as missing there."""
_BACKWARDS = 5  # frames in a row, all before the last sound one, that show that the clock was set back


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of one person.

    Args:
        time: seconds, on any clock that runs forward.
        xy: (V, C), in any unit; what stands where the score is 0 means nothing.
        score: (V,), confidence in [0, 1]; 0 = missing. All 0: nobody is there.
    """

    time: float
    xy: ArrayLike
    score: ArrayLike


@dataclass(frozen=True)
class Event:
    """What a stream has to say.

    Args:
        kind: `"gesture"`, with start, end, label and score; `"start"` of one that goes on, if asked for: it may come to
            nothing; `"found"` or `"lost"`, a person from start on; `"gap"`, no frames between start and end;
            `"restart"`, the clock was set back; `"bad frame"`, one was left out, see note.
        start, end: seconds, on the clock of the frames; end is None for what has none.
        decided: time of the frame at which it became known.
        label, name, score: class id, its name, probability; None but for gestures.
        person: see `Stream`.
        note: what is wrong with a bad frame.
    """

    kind: Kind
    start: float
    end: float | None
    decided: float
    label: int | None = None
    name: str | None = None
    score: float | None = None
    person: int = 0
    note: str = ""

    @property
    def delay(self) -> float:
        """Seconds of the stream from what is reported, the end of a gesture for example, to the report."""
        return self.decided - (self.start if self.end is None else self.end)

    def to_plain(self) -> dict[str, Any]:
        """For JSON; times in milliseconds' precision, what does not apply left out.

        Example:
            >>> Event("found", 0.04, None, 0.04).to_plain()
            {'version': 1, 'event': 'found', 'person': 0, 'start': 0.04, 'decided': 0.04, 'delay': 0.0}
        """
        plain: dict[str, Any] = {"version": VERSION, "event": self.kind, "person": self.person}
        plain["start"] = round(self.start, 3)
        if self.end is not None:
            plain["end"] = round(self.end, 3)
        if self.label is not None and self.score is not None:
            plain |= {"label": self.name, "id": self.label, "score": round(self.score, 4)}
        plain |= {"decided": round(self.decided, 3), "delay": round(self.delay, 3)}
        return plain | ({"note": self.note} if self.note else {})


class Latency:
    """Percentiles of times in bounded memory: counts in classes that are 3 % wide, from a microsecond to minutes.

    Example:
        >>> latency = Latency()
        >>> for ms in range(1, 101):
        ...     latency.add(ms / 1000)
        >>> 0.048 < latency.percentile(50) < 0.053, latency.most
        (True, 0.1)
    """

    _ratio = log(1.03)

    def __init__(self) -> None:
        self.count, self.total, self.most = 0, 0.0, 0.0
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        self.most = max(self.most, seconds)
        self._counts[floor(log(min(max(seconds, 1e-6), 1e3)) / self._ratio)] += 1

    def percentile(self, q: float) -> float:
        """Seconds that `q` percent of the times stay below; NaN of none."""
        reached = 0
        for place in sorted(self._counts):
            reached += self._counts[place]
            if reached >= q / 100 * self.count:
                return min(self.most, float(np.exp((place + 1) * self._ratio)))
        return float("nan")


class Stream:
    """Finds the gestures of one person while they happen.

    Args:
        model: name of a shipped model, folder of a model, or a loaded one. An ST-GCN, ST-GCN++ or forward SkeletonMamba
            goes on frame by frame; other recognisers and spotters look at a window every `hop`.
        taxonomy: label space or its key; where not given, that of the model, or imigue for a model that serves several.
        skeleton: layout of the frames; that of the model if not given.
        hop: seconds between two looks; where not given 0.25, for spotters 1.
        lag: seconds to wait before a segment is settled, see `FixedLagDecoder`; of a spotter of states the lag of its
            Viterbi, 1 s if not given; of other spotters the margin at the end of its windows, 0.5 s if not given.
        causal: see `streaming.continual`; only for those that go frame by frame.
        settings: of the decoder; those that suit the model if not given.
        starts: report the start of gestures too, before their end is known.
        absent: seconds without any joint after which a person counts as lost.
        forget: seconds without a frame after which everything begins anew.
        person: number that events carry.

    Raises:
        NoInput, FormatError: there is no such model, or it is damaged.
        UsageError: the model cannot answer in the taxonomy, or an argument makes no sense for it.

    Example:
        >>> stream = Stream("base", "smg")
        >>> nobody = Frame(0.0, np.zeros((47, 2)), np.zeros(47))
        >>> stream.step(nobody), stream.close()
        ([], [])
    """

    def __init__(
        self,
        model: str | Path | Saved | Spotter,
        taxonomy: str | Taxonomy | None = None,
        *,
        skeleton: Skeleton | None = None,
        hop: float | None = None,
        lag: float | None = None,
        causal: bool = False,
        settings: DecodeSettings | None = None,
        starts: bool = False,
        absent: float = 1.0,
        forget: float = 2.0,
        person: int = 0,
    ) -> None:
        if not (absent > 0 and forget > 0):
            raise UsageError(f"absent is {absent:g} s and forget {forget:g} s; both must be above 0")
        self.finder = _finder(model, taxonomy, hop, lag, causal, settings)
        self.skeleton = skeleton or self.finder.skeleton
        self._layout = _Layout(self.skeleton, self.finder.skeleton)
        self.absent, self.forget, self.starts, self.person = absent, forget, starts, person
        self.latency = Latency()
        self.events: Counter[str] = Counter()
        """How many events of each kind."""
        self._last = -np.inf  # time of the last sound frame
        self._seen_at: float | None = None  # when the person was last seen; None: lost
        self._grid: _Grid | None = None  # of the current run
        self._started: list[Segment] = []
        self._problem = ""
        self._behind: list[float] = []

    @property
    def taxonomy(self) -> Taxonomy:
        """Classes of the events."""
        return self.finder.taxonomy

    @property
    def lookahead(self) -> float:
        """Seconds: a gesture that ends at t depends on frames up to t + lookahead, and on the one after these."""
        return self.finder.lookahead + 1 / self.finder.fps

    def step(self, frame: Frame) -> list[Event]:
        """Take the next frame; the events it brings about.

        A frame that cannot be used is reported and left out; of several in a row for the same reason only the first is.
        """
        begun = clock.perf_counter()
        events = list(self._step(frame))
        self.latency.add(clock.perf_counter() - begun)
        return events

    def close(self) -> list[Event]:
        """The stream has ended: what is left. A later frame would begin anew."""
        events = list(self._end_run())
        self._last, self._seen_at, self._behind = -np.inf, None, []
        return events

    def _step(self, frame: Frame) -> Iterator[Event]:
        try:
            time, xy, score = self._checked(frame)
        except ValueError as error:
            yield from self._bad(float(frame.time) if _is_time(frame.time) else self._last, str(error))
            return
        if time <= self._last:
            later = not self._behind or time > self._behind[-1]
            self._behind = [*self._behind, time] if later else [time]
            if len(self._behind) < _BACKWARDS:
                yield from self._bad(
                    time, f"time {time:.3f} s is not after {self._last:.3f} s, that of the frame before"
                )
                return
            yield from self._end_run()
            yield self._event("restart", time, None, time, note=f"the clock was set back from {self._last:.3f} s")
            self._seen_at = None
        elif time - self._last > self.forget and isfinite(self._last):
            yield from self._end_run()
            yield self._event("gap", self._last, time, time)
        self._problem, self._behind, self._last = "", [], time
        if (score > 0).any():
            if self._seen_at is None:
                yield self._event("found", time, None, time)
            self._seen_at = time
        elif self._seen_at is None:
            return
        elif time - self._seen_at >= self.absent:
            yield from self._end_run()
            yield self._event("lost", self._seen_at, None, time)
            self._seen_at = None
            return
        elif self._grid is None:
            return  # a run begins with a frame that shows somebody
        if self._grid is None:
            self._grid = _Grid(self.finder.fps, time)
        for pose in self._grid.push(time, *self._layout(xy, score)):
            for segment in self.finder.push(*pose):
                yield self._gesture(segment, "gesture")
            if self.starts:
                yield from self._beginnings()

    def _checked(self, frame: Frame) -> tuple[float, Array, Array]:
        """Time, coordinates and scores, 0 where a joint is missing; ValueError says what is wrong."""
        if not _is_time(frame.time):
            raise ValueError(f"time {frame.time!r} is not a number of seconds")
        try:
            xy, score = np.asarray(frame.xy, np.float32), np.asarray(frame.score, np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"joints are no numbers ({error})") from error
        joints, axes = len(self.skeleton), self.finder.axes
        if xy.shape != (joints, axes) or score.shape != (joints,):
            raise ValueError(
                f"coordinates {[*xy.shape]} and scores {[*score.shape]} do not fit, expected {[joints, axes]} and "
                f"{[joints]} for layout '{self.skeleton.name}'"
            )
        if not ((score >= 0) & (score <= 1)).all():
            raise ValueError("a score is not in 0..1")
        seen = score > 0
        if not np.isfinite(xy[seen]).all():
            joint = self.skeleton.joints[int(np.flatnonzero(seen & ~np.isfinite(xy).all(-1))[0])]
            raise ValueError(f"coordinates of {joint} are not finite; missing joints have score 0")
        return float(frame.time), np.where(seen[:, None], xy, np.float32(0)), score

    def _bad(self, time: float, problem: str) -> Iterator[Event]:
        kind = problem.partition(" ")[0]
        if kind != self._problem:
            at = time if isfinite(time) else 0.0
            yield self._event("bad frame", at, None, self._last if isfinite(self._last) else at, note=problem)
        else:
            self.events["bad frame"] += 1
        self._problem = kind

    def _end_run(self) -> Iterator[Event]:
        if self._grid is not None:
            for segment in self.finder.finish():
                yield self._gesture(segment, "gesture")
        self._grid, self._started = None, []

    def _beginnings(self) -> Iterator[Event]:
        for s in self.finder.open():
            if not any(s.label == known.label and s.start < known.end for known in self._started):
                yield self._gesture(s, "start")
                self._started.append(s)
            self._started = [s if s.label == k.label and s.start < k.end else k for k in self._started]
        self._started = self._started[-64:]

    def _gesture(self, s: Segment, kind: Literal["gesture", "start"]) -> Event:
        assert self._grid is not None
        zero = self._grid.zero
        end = zero + s.end if kind == "gesture" else None
        decided = max(self._last, zero + s.end) if kind == "gesture" else self._last
        return self._event(kind, zero + s.start, end, decided, s)

    def _event(
        self, kind: Kind, start: float, end: float | None, decided: float, s: Segment | None = None, note: str = ""
    ) -> Event:
        self.events[kind] += 1
        if s is None:
            return Event(kind, start, end, decided, person=self.person, note=note)
        return Event(kind, start, end, decided, s.label, self.taxonomy[s.label].name, s.score, self.person)


class _Layout:
    """`core.track.project` for frame after frame: the joints that are copied at once, only midpoints one by one."""

    def __init__(self, skeleton: Skeleton, target: Skeleton) -> None:
        self.same = skeleton == target
        sources = list(enumerate(skeleton.projection(target)))
        self.to = [joint for joint, parts in sources if len(parts) == 1]
        self.copied = [parts[0] for _, parts in sources if len(parts) == 1]
        self.middles = [(joint, list(parts)) for joint, parts in sources if len(parts) > 1]
        self.joints = len(target)

    def __call__(self, xy: Array, score: Array) -> tuple[Array, Array]:
        """(V, C) and (V,), 0 where a joint is missing, in the target's layout."""
        if self.same:
            return xy, score
        moved, seen = np.zeros((self.joints, xy.shape[1]), np.float32), np.zeros(self.joints, np.float32)
        moved[self.to], seen[self.to] = xy[self.copied], score[self.copied]
        for joint, parts in self.middles:
            seen[joint] = score[parts].min()
            if seen[joint] > 0:
                moved[joint] = xy[parts].mean(0)
        return moved, seen


class _Grid:
    """Frames at an even rate from `zero` on, as `PoseTrack.resampled` makes them from a whole track."""

    def __init__(self, fps: float, zero: float) -> None:
        self.fps, self.zero = fps, zero
        self._next = 0
        self._before: tuple[float, Array, Array] | None = None

    def push(self, time: float, xy: Array, score: Array) -> Iterator[tuple[Array, Array]]:
        before, self._before = self._before, (time, xy, score)
        while (at := self.zero + self._next / self.fps) <= time + 1e-6 / self.fps:
            self._next += 1
            if before is None:
                yield xy, score
                continue
            then, xy0, score0 = before
            w = np.float32(min(1.0, max(0.0, (at - then) / (time - then))))
            w = np.float32(0 if w < 1e-5 else 1 if w > 1 - 1e-5 else w)
            seen = ((score0 > 0) | (w == 1)) & ((score > 0) | (w == 0))
            if time - then > HOLE and 0 < w < 1:
                seen = np.zeros_like(seen)
            mixed = (1 - w) * xy0 + w * xy
            yield (
                np.where(seen[:, None], mixed, 0).astype(np.float32),
                np.where(seen, (1 - w) * score0 + w * score, 0).astype(np.float32),
            )


def _is_time(value: object) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and isfinite(value)  # type: ignore[arg-type]


def _finder(
    model: str | Path | Saved | Spotter,
    taxonomy: str | Taxonomy | None,
    hop: float | None,
    lag: float | None,
    causal: bool,
    settings: DecodeSettings | None,
) -> Finder:
    if isinstance(model, (str, Path)):
        model = from_pretrained(model)
    if isinstance(model, Saved) and is_spotter(type(model.system)):
        model = Spotter.of(model)
    if isinstance(model, Spotter):
        if settings is not None or causal:
            raise UsageError("a spotter decides by itself what a gesture is: leave out settings and causal")
        own = model.saved.facts.taxonomy
        if taxonomy is not None and _labels(taxonomy).digest != own.digest:
            raise UsageError(f"the spotter in {model.saved.folder} finds gestures of '{own.key}' alone")
        if has_states(model):
            return StateFinder(model, round((1.0 if lag is None else lag) * model.fps))
        return WindowFinder(model, 1.0 if hop is None else hop, 0.5 if lag is None else lag)
    serves = "serves" in model.config
    labels = _labels(taxonomy) if taxonomy is not None else taxonomy_of("imigue") if serves else model.facts.taxonomy
    step = 0.25 if hop is None else hop
    posteriors: Posteriors
    if isinstance(model.system, (STGCN, STGCNpp, SkeletonMamba)):
        posteriors = ContinualPosteriors(model, labels, step, causal=causal)
    elif causal:
        raise UsageError(f"a {type(model.system).__name__} looks at whole windows: leave out causal")
    else:
        posteriors = WindowPosteriors(model, labels, step)
    decoder = FixedLagDecoder(labels, settings or _settings(model, labels, posteriors), posteriors.step, lag)
    return ClassFinder(posteriors, decoder)


def _labels(taxonomy: str | Taxonomy) -> Taxonomy:
    return taxonomy if isinstance(taxonomy, Taxonomy) else taxonomy_of(taxonomy)


def _settings(model: Saved, taxonomy: Taxonomy, posteriors: Posteriors) -> DecodeSettings:
    """Settings of the decoder that were tuned for a model, or what suits one trained on clips alone."""
    clips = untuned(posteriors.window / posteriors.fps)
    return tuned(model)[1].get(taxonomy.key, DecodeSettings() if "serves" in model.config else clips)
