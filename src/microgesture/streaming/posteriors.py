"""From frames to class probabilities over time: a recogniser that goes on frame by frame, or looks at windows.

Both take frames at the rate of the model, in its layout, and give `(time, probabilities (K,))` at even steps; times are
seconds since the first frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from microgesture.core.errors import UsageError
from microgesture.core.normalise import body_normalise
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.augment import Motion, mirror
from microgesture.layers.batch import PoseBatch
from microgesture.learning.checkpoint import Saved
from microgesture.learning.motions import class_log_odds, motion_table, tuned
from microgesture.streaming.continual import continual
from microgesture.streaming.normalise import RunningNormaliser
from microgesture.systems.bodygcn import BodyGCN

Array = NDArray[np.float32]
Moment = tuple[float, Array]
"""Seconds since the first frame, and the probability (K,) of each class."""

_SHORTEST = 12  # frames; what is shorter is held at its last pose


class Posteriors(ABC):
    """What both kinds share.

    Args:
        saved: the model.
        taxonomy: the classes to answer in.
        step: seconds between two answers; rounded to whole frames of the model.
    """

    def __init__(self, saved: Saved, taxonomy: Taxonomy, step: float) -> None:
        if not step > 0:
            raise UsageError(f"hop is {step:g} s; it must be above 0")
        self.saved, self.taxonomy = saved, taxonomy
        self.fps, self.skeleton = saved.facts.fps, saved.facts.skeleton
        self.hop = max(1, round(step * self.fps))
        self.window = int(saved.config.get("window", saved.facts.frames))
        self.probabilities = _probabilities(saved, taxonomy)
        self._due = 0
        """Answers so far; the next one is for frame `hop / 2 + due * hop`."""
        self._frames = 0

    @property
    def step(self) -> float:
        """Seconds between two answers."""
        return self.hop / self.fps

    @property
    def lookahead(self) -> float:
        """Seconds of motion behind a time that an answer for it waits for."""
        raise NotImplementedError

    @property
    def opening(self) -> float:
        """Seconds before the first answer."""
        return self.lookahead

    @abstractmethod
    def push(self, xy: Array, score: Array) -> list[Moment]:
        """The next frame (V, C), (V,), 0 where a joint is missing; the answers that it completes."""

    @abstractmethod
    def finish(self) -> list[Moment]:
        """The stream has ended: the answers still to come. Then everything begins anew."""

    def _place(self, due: int) -> int:
        return self.hop // 2 + due * self.hop

    def _times(self, upto: int) -> list[float]:
        """The times up to frame `upto` that no answer was promised for yet; they count as answered now."""
        times = []
        while self._place(self._due) <= upto:
            times.append((self._due + 0.5) * self.step)
            self._due += 1
        return times

    def _moments(self, upto: int, p: Array) -> list[Moment]:
        """Answer `p` for all frames that are due up to frame `upto`."""
        return [(time, p) for time in self._times(upto)]


class WindowPosteriors(Posteriors):
    """A window that ends now, looked at every `hop` frames: for systems that need their clip whole.

    Inside a recording the answers are those of the same windows cut from it afterwards, and at its ends the first and
    the last window serve for what has no window around it. Models of motions see each window also in a mirror; to keep
    the cost of a frame low, the window is made at one frame, looked at with the next, and in the mirror with the third.
    """

    def __init__(self, saved: Saved, taxonomy: Taxonomy, step: float = 0.25) -> None:
        super().__init__(saved, taxonomy, step)
        self.mirror = "serves" in saved.config
        self.system = saved.system.settled() if isinstance(saved.system, BodyGCN) else saved.system
        self._start()

    @property
    def lookahead(self) -> float:
        return (self.window - self.window // 2 + 2 * self.mirror) / self.fps

    @property
    def opening(self) -> float:
        return (self.window + 2 * self.mirror) / self.fps

    def _start(self) -> None:
        self._due = self._frames = 0
        self._held: deque[tuple[Array, Array]] = deque(maxlen=self.window)
        self._looks: list[Iterator[list[Moment]]] = []  # those that go on, the oldest first

    def push(self, xy: Array, score: Array) -> list[Moment]:
        self._held.append((xy, score))
        self._frames += 1
        # the last frame that is the middle of a complete window
        middle = self._frames - self.window + self.window // 2
        if self._frames >= self.window and (times := self._times(middle)):
            self._looks.append(self._look(times))
        steps = [next(look, None) for look in self._looks]
        self._looks = [look for look, moments in zip(self._looks, steps, strict=True) if moments is not None]
        return [moment for moments in steps for moment in moments or []]

    def finish(self) -> list[Moment]:
        if times := self._times(self._frames - 1):
            self._looks.append(self._look(times))
        moments = [moment for look in self._looks for step in look for moment in step]
        self._start()
        return moments

    def _look(self, times: list[float]) -> Iterator[list[Moment]]:
        """The present window, a frame for each step; the last one brings its answer, for all of `times`."""
        window = self._window()
        p = np.zeros(len(self.taxonomy), np.float32)
        if self.mirror:
            yield []
        if window is not None:
            logits = self._logits(*window)
        if self.mirror:
            yield []
            if window is not None:
                seen = mirror(Motion(*window, self.skeleton))
                logits = (logits + self._logits(seen.xy, seen.score)) / 2
        yield [(time, p if window is None else self.probabilities(logits)) for time in times]

    def _window(self) -> tuple[Array, Array] | None:
        """The normalised window; None if nobody is seen in half of it."""
        xy, score = (np.stack(part) for part in zip(*self._held, strict=True))
        if (score > 0).any(1).mean() < 0.5:
            return None
        short = _SHORTEST - len(xy)
        if short > 0:
            xy, score = (np.concatenate([part, np.repeat(part[-1:], short, 0)]) for part in (xy, score))
        return body_normalise(xy, score, self.skeleton).xy, score

    def _logits(self, xy: Array, score: Array) -> Array:
        people = self.saved.facts.persons
        batch = _alone(xy, score, people)
        with torch.inference_mode():
            out = self.system(batch)
        logits: Array = (out if isinstance(out, torch.Tensor) else out[0])[0].float().numpy()
        return logits


class ContinualPosteriors(Posteriors):
    """A network that goes on frame by frame, see `streaming.continual`; poses by `RunningNormaliser`.

    Args:
        pooled: seconds the answer is the mean over; the window of the model if not given.
        causal: see `continual`.
    """

    def __init__(
        self,
        saved: Saved,
        taxonomy: Taxonomy,
        step: float = 0.25,
        *,
        pooled: float | None = None,
        causal: bool = False,
    ) -> None:
        super().__init__(saved, taxonomy, step)
        if pooled is not None:
            self.window = max(1, round(pooled * self.fps))
        self.net = continual(saved.system, self.window, causal=causal)
        self.normaliser = RunningNormaliser(self.skeleton, fps=self.fps)
        self._start()

    @property
    def lookahead(self) -> float:
        return (self.net.lookahead + self.window - self.window // 2 + self.net.stride) / self.fps

    def _start(self) -> None:
        self._due = self._frames = 0
        self.net.reset()
        self.normaliser.reset()
        self._seen: deque[bool] = deque(maxlen=self.window)
        self._latest: Array = np.zeros(len(self.taxonomy), np.float32)

    def push(self, xy: Array, score: Array) -> list[Moment]:
        body = self.normaliser(xy, score)
        self._frames += 1
        self._seen.append(bool((score > 0).any()))
        before = self.net.outputs
        answer = self.net.step(_alone(body[None], score[None], self.saved.facts.persons))
        return [] if answer is None or self.net.outputs == before else self._answer(answer, self.net.outputs)

    def finish(self) -> list[Moment]:
        moments: list[Moment] = []
        outputs = self.net.outputs
        for answer in self.net.flush():
            outputs += 1
            moments += self._answer(answer, outputs)
        moments += self._moments(self._frames - 1, self._latest)
        self._start()
        return moments

    def _answer(self, answer: torch.Tensor, outputs: int) -> list[Moment]:
        # the frame in the middle of a full window that ends with this output
        middle = (outputs - 1) * self.net.stride - (self.window - self.window // 2 - 1)
        middle = min(middle, self._frames - 1)
        if self._place(self._due) > middle:
            return []
        seen = sum(self._seen) / len(self._seen)
        self._latest = self.probabilities(answer[0].float().numpy()) if seen >= 0.5 else np.zeros_like(self._latest)
        return self._moments(middle, self._latest)


def _alone(xy: Array, score: Array, persons: int) -> PoseBatch:
    """One person (T, V, C) as a batch; the places of others are empty."""
    batch = PoseBatch(torch.from_numpy(xy)[None, None], torch.from_numpy(score)[None, None])
    if persons > 1:
        more = (0, 0) * (batch.score.ndim - 2) + (0, persons - 1)
        batch = PoseBatch(torch.nn.functional.pad(batch.xy, (0, 0, *more)), torch.nn.functional.pad(batch.score, more))
    return batch


def _probabilities(saved: Saved, taxonomy: Taxonomy) -> Callable[[Array], Array]:
    """From logits to the probabilities (K,) of classes along a recording.

    Models of motions are calibrated and judge each class by itself; recognisers of clips let the classes compete.

    Raises:
        UsageError: the model knows other classes.
        FormatError: its config states a strange calibration.
    """
    if "serves" not in saved.config:
        if taxonomy.digest != saved.facts.taxonomy.digest:
            raise UsageError(
                f"the model in {saved.folder} knows the classes of '{saved.facts.taxonomy.key}', not '{taxonomy.key}'"
            )
        return _softmax
    table, (calibration, _) = motion_table(saved, taxonomy), tuned(saved)
    return lambda logits: calibration.probabilities(class_log_odds(logits, table))


def _softmax(logits: Array) -> Array:
    e: Array = np.exp(logits - logits.max())
    return e / e.sum()  # type: ignore[no-any-return]
