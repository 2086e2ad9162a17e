"""From frames to segments: what a `Stream` asks at every frame, whichever kind of model answers.

A finder takes the frames of one person without a break, at its rate and in its layout. Its times are seconds since
the first of them. What ended at t is reported by the time the frames up to t + `lookahead` are known, or never.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from microgesture.core.detections import Detections
from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment
from microgesture.core.skeleton import Skeleton
from microgesture.core.suppression import nms
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack
from microgesture.layers.batch import WindowBatch
from microgesture.layers.hmm import Found, StreamDecoder
from microgesture.learning.spotting import DOUBLE, Spotter
from microgesture.streaming.decode import FixedLagDecoder
from microgesture.streaming.normalise import RunningNormaliser
from microgesture.streaming.posteriors import Moment, Posteriors

Array = NDArray[np.float32]


class Finder(ABC):
    """
    Args:
        fps, skeleton, axes: of the frames: rate, layout, coordinates per joint.
        taxonomy: of the segments.
        lookahead: seconds.
    """

    fps: float
    skeleton: Skeleton
    axes: int
    taxonomy: Taxonomy
    lookahead: float

    @abstractmethod
    def push(self, xy: Array, score: Array) -> list[Segment]:
        """The next frame (V, C), (V,), 0 where a joint is missing; segments that are settled now."""

    @abstractmethod
    def finish(self) -> list[Segment]:
        """There are no more frames: the segments left. Then everything begins anew."""

    def open(self) -> list[Segment]:
        """Segments that begin to show and are not settled."""
        return []


class ClassFinder(Finder):
    """Class probabilities over time, decoded with a fixed lag; one frame later, so that no frame bears both costs."""

    def __init__(self, posteriors: Posteriors, decoder: FixedLagDecoder) -> None:
        facts = posteriors.saved.facts
        self.posteriors, self.decoder = posteriors, decoder
        self.fps, self.skeleton, self.axes = facts.fps, facts.skeleton, facts.in_channels - 1
        self.taxonomy = posteriors.taxonomy
        self.lookahead = max(posteriors.lookahead + decoder.lag + posteriors.step, posteriors.opening) + 1 / self.fps
        self._frames = 0
        self._waiting: list[Moment] = []
        self._moved = False

    def push(self, xy: Array, score: Array) -> list[Segment]:
        self._frames += 1
        moments, self._waiting = self._waiting, self.posteriors.push(xy, score)
        self._moved = bool(moments)
        return [s for time, p in moments for s in self.decoder.push(time, p)]

    def finish(self) -> list[Segment]:
        moments = self._waiting + self.posteriors.finish()
        found = [s for time, p in moments for s in self.decoder.push(time, p)]
        found += self.decoder.close(self._frames / self.fps)
        self._frames, self._waiting = 0, []
        return found

    def open(self) -> list[Segment]:
        return self.decoder.open() if self._moved else []


class WindowFinder(Finder):
    """A spotter that looks at a window every `hop` seconds.

    It reports what ended `margin` before the end of the window, above the spotter's threshold, once; a gesture that is
    longer than a window less hop and margin is seen cut. A detection that
    overlaps one of its class reported before by an IoU of 0.5 is taken for the same, and one that ended before what is
    settled comes too late.

    Args:
        hop: seconds from window to window.
        margin: seconds at the end of a window that are left to the next ones.
    """

    def __init__(self, spotter: Spotter, hop: float = 1.0, margin: float = 0.5) -> None:
        if not (hop > 0 and margin >= 0):
            raise UsageError(
                f"hop is {hop:g} s and margin {margin:g} s; the first must be above 0, the second 0 or more"
            )
        facts = spotter.saved.facts
        self.spotter, self.margin = spotter, margin
        self.fps, self.skeleton, self.axes = spotter.fps, facts.skeleton, facts.in_channels - 1
        self.taxonomy = facts.taxonomy
        self.hop = max(1, round(hop * self.fps))
        if self.hop > spotter.windowing.frames:
            raise UsageError(f"hop is {hop:g} s, longer than a window of {spotter.windowing.frames / self.fps:g} s")
        self.lookahead = self.hop / self.fps + margin
        self._start()

    def _start(self) -> None:
        self._held: deque[tuple[Array, Array]] = deque(maxlen=self.spotter.windowing.frames)
        self._frames = 0
        self._settled = -np.inf
        self._told = Detections.none()

    def push(self, xy: Array, score: Array) -> list[Segment]:
        self._held.append((xy, score))
        self._frames += 1
        return [] if self._frames % self.hop else self._look(self._frames / self.fps - self.margin)

    def finish(self) -> list[Segment]:
        found = self._look(np.inf) if self._held else []
        self._start()
        return found

    def _look(self, until: float) -> list[Segment]:
        xy, score = (np.stack(part) for part in zip(*self._held, strict=True))
        begin = (self._frames - len(xy)) / self.fps
        found = self.spotter.detections(PoseTrack(xy, score, self.fps, (0, 0), self.skeleton)).placed(begin, 1.0)
        due = (found.score >= self.spotter.threshold) & (found.end > self._settled) & (found.end <= until)
        # those told win over whatever is new; among the new ones the more certain
        told = Detections(self._told.start, self._told.end, self._told.label, self._told.score + 2)
        kept = nms(Detections.joined([told, found[due]]), DOUBLE)
        new = kept[kept.score <= 1]
        self._settled = max(self._settled, until)
        self._told = Detections.joined([self._told, new])
        self._told = self._told[self._told.end > begin]
        line = new.timeline(self.taxonomy, self._frames / self.fps)
        return list(line)


class StateFinder(Finder):
    """A spotter of hidden Markov states: its network on the latest frames, and Viterbi with a fixed lag.

    Args:
        lag: frames of Viterbi; 30 is a second of SMG.
        hop: frames the network takes at once.
    """

    context = 8
    """Frames on both sides that the features of a frame may read; systems of this kind read 5 at most."""

    def __init__(self, spotter: Spotter, lag: int = 30, hop: int = 4) -> None:
        facts = spotter.saved.facts
        self.system: Any = spotter.saved.system
        self.fps, self.skeleton, self.axes = spotter.fps, facts.skeleton, facts.in_channels - 1
        self.taxonomy, self.hop, self.lag = facts.taxonomy, hop, lag
        self.lookahead = (self.context + hop + lag + 1) / self.fps
        self.normaliser = RunningNormaliser(self.skeleton, fps=self.fps)
        self._start()

    def _start(self) -> None:
        self.normaliser.reset()
        self._held: deque[tuple[Array, Array]] = deque(maxlen=self.hop + 2 * self.context)
        self._frames = self._told = 0
        self._decoder = StreamDecoder(self.system.hmm.decoding(), self.lag)

    def push(self, xy: Array, score: Array) -> list[Segment]:
        self._held.append((self.normaliser(xy, score), score))
        self._frames += 1
        ready = self._frames - self.context
        return self._advance(ready) if ready - self._told >= self.hop else []

    def finish(self) -> list[Segment]:
        found = self._advance(self._frames) if self._frames else []
        found += self._segments(self._decoder.finish())
        self._start()
        return found

    def _advance(self, upto: int) -> list[Segment]:
        """Posteriors of the frames up to `upto`, and the gestures that are known to have ended."""
        xy, score = (torch.from_numpy(np.stack(part))[None, None] for part in zip(*self._held, strict=True))
        first = self._frames - xy.shape[2]
        with torch.inference_mode():
            out = self.system(WindowBatch(xy, score, valid=torch.ones(1)))
            posterior = self.system.posterior(out.logits.float()).double().numpy()
        new = posterior[self._told - first : upto - first]
        self._told = upto
        return self._segments([f for row in new for f in self._decoder.step(row)])

    def _segments(self, found: list[Found]) -> list[Segment]:
        return [Segment(f.start / self.fps, f.end / self.fps, f.label, f.score) for f in found]


def has_states(spotter: Spotter) -> bool:
    """Whether a spotter tells hidden Markov states frame by frame."""
    return hasattr(spotter.saved.system, "hmm") and hasattr(spotter.saved.system, "posterior")
