"""Hidden Markov models of gestures: every class passes through S states from left to right, all else is one background.

Source     D. Wu, L. Shao: Leveraging Hierarchical Parametric Networks for Skeletal Joints Based Action Segmentation and
           Recognition, CVPR 2014; the SMG start kit (mikecheninoulu/SMG), where its code went on
Letters    T frames, K classes, S states per class, N = K * S + 1 states; state k * S + i is the i-th of class k, the
           last one is the background

Emissions come from a network, transitions from annotated segments. hmmlearn has no place here: it holds neither exact
counts nor transitions that do not sum to one, which the released decoder uses. The functions above `GestureHMM` are
numpy; a recording decoded at once and one decoded frame by frame pass through the same two functions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from microgesture.core.detections import Detections
from microgesture.core.errors import UsageError
from microgesture.layers.batch import WindowBatch

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Transitions = Literal["row_normalised", "released"]

FLOOR = 1e-12
"""Least probability: its logarithm is finite."""
EDGE = 5
"""Frames at both ends of a recording that the released code calls background."""
_ENTRY = 3  # first and last states of a class through which the released code lets a gesture begin and end
_SHORTEST, _RATE = 15, -3.0  # frames from first to last, gain per frame: what the released code keeps lies above


class Counts(NamedTuple):
    """How often one state followed another (N, N), and how often each was left (N,)."""

    transition: Ids
    prior: Ids


def aligned(length: int, states: int) -> Ids:
    """State 0..S-1 of each of the `length` frames of a gesture, (length,).

    Example:
        >>> aligned(10, 5).tolist()
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """
    ends = np.round(length * np.arange(1, states + 1) / states)
    return np.searchsorted(ends, np.arange(length), side="right")


def frame_states(segments: ArrayLike, classes: Iterable[int], frames: int, states: int, count: int) -> Ids:
    """State of each frame, (T,); of two gestures at once the later one counts.

    Args:
        segments: (G, 2), frame indices, half-open; parts outside 0..T are cut off.
        classes: (G,).
        states, count: S and K.
    """
    result = np.full(frames, states * count, np.int64)
    for (start, end), label in zip(np.asarray(segments, np.int64).reshape(-1, 2).tolist(), classes, strict=True):
        inside = slice(max(start, 0), max(min(end, frames), 0))
        result[inside] = (label * states + aligned(end - start, states))[inside.start - start : inside.stop - start]
    return result


def counted(segments: ArrayLike, classes: Iterable[int], frames: int, states: int, count: int) -> Counts:
    """Transitions within one recording, as the SMG start kit counts them.

    A gesture of n frames gives n - 4 transitions along `floor(S f / (n - 1))`, two from the background into its
    first state and one from where it ends back; shorter ones than five frames give none. Whatever is left of the
    frames stays in the background.

    Args:
        segments: (G, 2), frame indices, half-open.
        classes: (G,).
        states, count: S and K.
    """
    size = states * count + 1
    transition, prior = np.zeros((size, size), np.int64), np.zeros(size, np.int64)
    transition[-1, -1] = frames
    for (start, end), label in zip(np.asarray(segments, np.int64).reshape(-1, 2).tolist(), classes, strict=True):
        step = np.arange(max(0, end - start - 4))
        if not len(step):
            continue
        source, target = (label * states + states * (step + i) // (end - start - 1) for i in (0, 1))
        np.add.at(transition, (source, target), 1)
        np.add.at(prior, source, 1)
        np.add.at(transition, (-1, source[:2]), 1)
        transition[target[-1], -1] += 1
        transition[-1, -1] -= len(step)
        prior[-1] += len(source[:2]) + 1
    return Counts(transition, prior)


def log_transitions(counts: Counts, form: Transitions = "row_normalised") -> Floats:
    """Logarithm of the weight (N, N) of going from one state to another; -inf where that was never seen.

    Args:
        form: `"row_normalised"`: the weights of a state sum to one. `"released"`: transitions by prior counts, as the
            start kit divides them. Its prior of the background counts three per gesture instead of frames, so that
            staying there gains some 4 nats per frame; the exponent of `log_emissions` makes up for it.

    Raises:
        UsageError: the form is unknown.
    """
    transition = np.maximum(counts.transition, 0).astype(np.float64)
    if form == "row_normalised":
        total = transition.sum(1)
    elif form == "released":
        total = np.asarray(counts.prior, np.float64)
    else:
        raise UsageError(f"transitions '{form}' are unknown; choose 'row_normalised' or 'released'")
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(transition) - np.log(np.where(total > 0, total, 1.0))[:, None]
    return logs


def log_emissions(posterior: ArrayLike, mu: float = -2.5, lam: float = 2.1, edge: int = 0) -> Floats:
    """Logarithm of what frames say for each state, (T, N), from the network's posteriors.

    A gesture's posterior p is multiplied by 1 + mu * w, where w is the softmax of p^2 / 9 over the gesture states of
    the frame; the background's is raised to the power `lam`. As w is near 1 / (N - 1) everywhere, the power is what
    acts: above 1 an uncertain background loses. `mu=0, lam=1` leaves the posteriors alone.

    Args:
        posterior: (T, N), background last.
        edge: frames at both ends where the background counts as certain.
    """
    p = np.maximum(np.asarray(posterior, np.float64), FLOOR)
    gesture = p[:, :-1]
    weight = np.exp(gesture**2 / 9)
    weight /= weight.sum(1, keepdims=True)
    log = np.empty_like(p)
    log[:, :-1] = np.log(np.maximum(gesture * (1 + mu * weight), FLOOR))
    log[:, -1] = lam * np.log(p[:, -1])
    if edge:
        log[:edge, -1] = log[-edge:, -1] = 0
    return log


def advance(score: Floats, log_emission: Floats, into: Floats) -> tuple[Floats, Ids, float]:
    """One step of the Viterbi recursion.

    Args:
        score: (N,), of the best path into each state, its largest taken off.
        log_emission: (N,), of this frame.
        into: (N, N), transposed logarithms of transitions: row = target.

    Returns:
        The new score, the state (N,) each best path comes from, and what was taken off this time.
    """
    total = into + score
    back = total.argmax(1)
    score = total[np.arange(len(back)), back] + log_emission
    return (*_lowered(score, back),)


def _lowered(score: Floats, back: Ids) -> tuple[Floats, Ids, float]:
    peak = float(score.max())
    peak = peak if np.isfinite(peak) else 0.0
    return score - peak, back, peak


def viterbi(log_emission: Floats, log_transition: Floats) -> Ids:
    """The most likely path (T,) through (T, N) frames; no state is preferred at the beginning.

    Example:
        >>> with np.errstate(divide="ignore"):
        ...     viterbi(np.log([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]]), np.log([[0.5, 0.5], [0.0, 1.0]])).tolist()
        [0, 1, 1]
    """
    decoder = FixedLagViterbi(log_transition, len(log_emission))
    for row in log_emission:
        decoder.step(row)
    return decoder.flush()


def gains(path: Ids, log_emission: Floats, log_transition: Floats) -> Floats:
    """What each frame adds (T,) to the score of a path; their running sum is the score."""
    result: Floats = log_emission[np.arange(len(path)), path]
    result[1:] += log_transition[path[:-1], path[1:]]
    return result


class FixedLagViterbi:
    """Viterbi with an answer for every frame `lag` frames later; from the length of the recording on it is exact.

    Memory is `lag` rows of back-pointers, whatever the length: scores are taken down at each step.

    Args:
        log_transition: (N, N).
        lag: frames to wait; 30 is a second of SMG.

    Raises:
        UsageError: the lag is negative.
    """

    def __init__(self, log_transition: Floats, lag: int = 30) -> None:
        if lag < 0:
            raise UsageError(f"lag is {lag}; it must be 0 or more")
        self.into = np.ascontiguousarray(log_transition.T)
        self.lag, self.seen = lag, 0
        self._score = np.zeros(len(self.into))
        self._back = np.zeros((max(lag, 1), len(self.into)), np.int16 if len(self.into) < 1 << 15 else np.int64)

    def step(self, log_emission: Floats) -> int | None:
        """Take frame t (N,), and decide on the state of frame t - lag; None before there is one."""
        if self.seen:
            self._score, back, _ = advance(self._score, log_emission, self.into)
            self._back[self.seen % len(self._back)] = back
        else:
            self._score, *_ = _lowered(np.array(log_emission, np.float64), self._back[0])
        self.seen += 1
        if self.seen <= self.lag:
            return None
        *_, state = self._trace(self.lag)
        return state

    def flush(self) -> Ids:
        """States of the last frames, min(lag, T), on which `step` has not decided; the recording is over."""
        count = min(self.lag, self.seen)
        states = np.array([*self._trace(count - 1)][::-1], np.int64) if count else np.zeros(0, np.int64)
        self.seen = 0
        return states

    def _trace(self, steps: int) -> Iterator[int]:
        """States of this frame and `steps` frames back, the latest first."""
        state = int(self._score.argmax())
        yield state
        for i in range(self.seen - 1, self.seen - 1 - steps, -1):
            state = int(self._back[i % len(self._back), state])
            yield state


class Found(NamedTuple):
    """A gesture on a path: label, frames `[start, end)`, mean probability of its class, gain per frame along it."""

    label: int
    start: int
    end: int
    score: float
    rate: float


class Segmenter:
    """From a path to gestures, one frame after the other.

    A gesture is a run of states of one class; where the class changes without background between, one ends and
    another begins, and the end of the recording ends it.

    Args:
        states, count: S and K.
        shortest: frames; shorter gestures are dropped.
        compat: `"official"` does what the start kit does: a gesture opens where the background is left for one of the
            first three states of a class, and closes where any class is left from one of its last three, whatever
            happened between; it needs more than 15 frames from first to last and a gain above -3 per frame. What is
            open on frame 0 or at the end is lost.
    """

    def __init__(self, states: int, count: int, *, shortest: int = 1, compat: str | None = None) -> None:
        self.states, self.background = states, states * count
        self.official = compat == "official"
        self.shortest = shortest
        self._start, self._label, self._frame, self._before = -1, -1, 0, -1
        self._gain = self._mass = 0.0

    def feed(self, state: int, gain: float = 0.0, mass: float = 1.0) -> Found | None:
        """The state of the next frame, what it adds to the score, the probability of its class; a gesture that ends."""
        found, silent = None, state == self.background
        label = -1 if silent else state // self.states
        if self.official:
            closes = silent and self._leaves(self._before)
            opens = self._before == self.background and not silent and state % self.states < _ENTRY
        else:
            closes, opens = label != self._label, not silent
        if self._start >= 0 and closes:
            found = self._closed()
        if self._start < 0 and opens:
            self._start, self._label, self._gain, self._mass = self._frame, label, 0.0, 0.0
            gain = 0.0  # of the way to the first frame
        if self._start >= 0:
            self._gain, self._mass = self._gain + gain, self._mass + mass
        self._before = state
        self._frame += 1
        return found

    def finish(self) -> Found | None:
        """The recording is over: the gesture that still lasts."""
        return None if self.official or self._start < 0 else self._closed()

    def _leaves(self, state: int) -> bool:
        return 0 <= state < self.background and state % self.states >= self.states - _ENTRY

    def _closed(self) -> Found | None:
        length = self._frame - self._start
        rate = self._gain / max(1, length - 1)
        found = Found(self._label, self._start, self._frame, min(1.0, self._mass / length), rate)
        self._start = self._label = -1
        if self.official:
            return found if length - 1 > _SHORTEST and rate > _RATE else None
        return found if length >= self.shortest else None


def class_mass(posterior: ArrayLike, states: int) -> Floats:
    """Probability of each class and the background, (T, K + 1), in posteriors (T, N) that need not sum to one."""
    p = np.maximum(np.asarray(posterior, np.float64), FLOOR)
    gesture = p[:, :-1].reshape(len(p), -1, states).sum(-1)
    mass: Floats = np.concatenate((gesture, p[:, -1:]), 1) / p.sum(1, keepdims=True)
    return mass


@dataclass(frozen=True)
class Decoding:
    """How posteriors become gestures.

    Args:
        states, count: S and K.
        log_transition: (N, N).
        mu, lam: see `log_emissions`.
        shortest, compat: see `Segmenter`; `"official"` also takes the first and last five frames for background.
    """

    states: int
    count: int
    log_transition: Floats
    mu: float = -2.5
    lam: float = 2.1
    shortest: int = 1
    compat: str | None = None

    def gestures(self, posterior: Floats) -> list[Found]:
        """All of a recording (T, N), with the whole of it in view."""
        edge = EDGE if self.compat == "official" else 0
        emission = log_emissions(posterior, self.mu, self.lam, edge)
        path = viterbi(emission, self.log_transition)
        mass = class_mass(posterior, self.states)[np.arange(len(path)), path // self.states]
        segmenter = self.segmenter()
        gain = gains(path, emission, self.log_transition)
        fed = [segmenter.feed(*row) for row in zip(path.tolist(), gain.tolist(), mass.tolist(), strict=True)]
        return [found for found in (*fed, segmenter.finish()) if found is not None]

    def segmenter(self) -> Segmenter:
        return Segmenter(self.states, self.count, shortest=self.shortest, compat=self.compat)


class StreamDecoder:
    """Posteriors frame by frame to gestures as they end, `lag` frames late; what `Decoding` says, seen from within.

    From the length of the recording on it gives exactly `Decoding.gestures`, except that a stream whose end is unknown
    cannot take its last frames for background, as `"official"` does.

    Example:
        >>> hmm = GestureHMM(2)
        >>> stream = StreamDecoder(hmm.decoding(), lag=30)
        >>> stream.step(np.eye(11)[10]), stream.finish()
        ([], [])
    """

    def __init__(self, decoding: Decoding, lag: int = 30) -> None:
        self.decoding = decoding
        self._viterbi = FixedLagViterbi(decoding.log_transition, lag)
        self._segmenter = decoding.segmenter()
        self._waiting: deque[tuple[Floats, Floats]] = deque()
        self._before = -1

    def step(self, posterior: Floats) -> list[Found]:
        """The next frame (N,); gestures now known to have ended."""
        d = self.decoding
        edge = int(d.compat == "official" and self._viterbi.seen < EDGE)
        emission = log_emissions(posterior[None], d.mu, d.lam, edge)[0]
        self._waiting.append((emission, class_mass(posterior[None], d.states)[0]))
        state = self._viterbi.step(emission)
        return [] if state is None else self._decided(state)

    def finish(self) -> list[Found]:
        """The stream is over: all that is left."""
        found = [f for state in self._viterbi.flush().tolist() for f in self._decided(state)]
        last = self._segmenter.finish()
        return found if last is None else [*found, last]

    def _decided(self, state: int) -> list[Found]:
        emission, mass = self._waiting.popleft()
        gain = emission[state]
        if self._before >= 0:
            gain += self.decoding.log_transition[self._before, state]
        self._before = state
        found = self._segmenter.feed(state, float(gain), float(mass[state // self.decoding.states]))
        return [] if found is None else [found]


@dataclass
class StateScores:
    """What a network says about frames.

    Args:
        logits: (R, N), of some or all frames of a batch.
        rows: int64 (R,), which: frame t of window b is b * T + t.
        background: weight of a background frame in the loss; 1 if they have been thinned already.
    """

    logits: Tensor
    rows: Tensor
    background: float = 1.0


class GestureHMM(nn.Module):
    """States, counts and decoding of a system whose network tells states from frames.

    Before it has observed recordings it counts each class as seen once, for 30 of 120 frames.

    Args:
        classes: K.
        states: S.
        mu, lam: see `log_emissions`.
        transitions: see `log_transitions`.
        background: background frames to learn from for each gesture frame, as a ratio.
        balance: classes weigh as their number of frames to the power -balance: 0 = alike, 0.5 = inverse square root.
        shortest: frames; shorter gestures are dropped.
        compat: see `Segmenter`.

    Raises:
        UsageError: the form of transitions or the compat mode is unknown.
    """

    transition: Tensor
    prior: Tensor

    def __init__(
        self,
        classes: int,
        states: int = 5,
        *,
        mu: float = -2.5,
        lam: float = 2.1,
        transitions: Transitions = "row_normalised",
        background: float = 1.0,
        balance: float = 0.0,
        shortest: int = 1,
        compat: str | None = None,
    ) -> None:
        super().__init__()
        if compat not in (None, "official"):
            raise UsageError(f"compat '{compat}' is unknown; choose 'official' or leave it out")
        if states < 1 or background < 0:
            raise UsageError(f"states is {states} and background {background}; they must be at least 1 and 0")
        self.classes, self.states, self.size = classes, states, classes * states + 1
        self.mu, self.lam, self.transitions = mu, lam, transitions
        self.background, self.balance = background, balance
        self.shortest, self.compat = shortest, compat
        begins = 120 * np.arange(classes)
        made = counted(np.stack((begins, begins + 30), 1), range(classes), 120 * classes, states, classes)
        log_transitions(made, transitions)  # an unknown form is refused here
        self.register_buffer("transition", torch.from_numpy(made.transition))
        self.register_buffer("prior", torch.from_numpy(made.prior))

    def observe(self, recordings: Iterable[WindowBatch]) -> None:
        """Count anew, in whole recordings."""
        self.transition.zero_()
        self.prior.zero_()
        for batch in recordings:
            for (segments, classes), frames in zip(_gestures(batch), lengths(batch), strict=True):
                counts = counted(segments, classes, frames, self.states, self.classes)
                self.transition += torch.from_numpy(counts.transition).to(self.transition.device)
                self.prior += torch.from_numpy(counts.prior).to(self.prior.device)

    def targets(self, batch: WindowBatch) -> Tensor:
        """State of each frame, int64 (B, T); -100 behind the recording."""
        frames = batch.xy.shape[2]
        rows = [frame_states(s, k, frames, self.states, self.classes) for s, k in _gestures(batch)]
        target = torch.from_numpy(np.stack(rows)).to(batch.xy.device)
        return target.where(batch.mask(frames), -100)

    def rows(self, batch: WindowBatch, thin: bool) -> tuple[Tensor, float]:
        """Frames to learn from, and the weight that background ones keep in the loss.

        Args:
            thin: leave background frames out at random, so that the loss need not weigh them down.
        """
        frames = batch.xy.shape[0] * batch.xy.shape[2]
        everything = torch.arange(frames, device=batch.xy.device)
        share = self.background_share()
        if not thin or batch.segments is None:
            return everything, share
        target = self.targets(batch).flatten()
        kept = (target >= 0) & ((target < self.size - 1) | (torch.rand(frames, device=target.device) < share))
        rows = everything[kept]
        # batch norm needs two
        return (rows, 1.0) if len(rows) > 1 else (everything[target >= 0][:2].repeat(2), share)

    def background_share(self) -> float:
        """Share of background frames that makes `background` of them for each gesture frame."""
        gesture, silent = int(self.prior[:-1].sum()), int(self.transition[-1, -1])
        return min(1.0, self.background * gesture / max(1, silent))

    def loss(self, out: StateScores, batch: WindowBatch, log_posterior: Tensor | None = None) -> Tensor:
        """Cross-entropy of states, weighted mean over frames.

        Args:
            log_posterior: (R, N), what takes the place of the log-softmax of the logits.
        """
        target = self.targets(batch).flatten()[out.rows]
        weight = self.weights().to(out.logits.dtype)
        weight[-1] = out.background
        log = F.log_softmax(out.logits, -1) if log_posterior is None else log_posterior
        loss = F.nll_loss(log, target, weight, reduction="sum")
        return loss / weight[target.clamp(min=0)].mul(target >= 0).sum().clamp(min=FLOOR)

    def weights(self) -> Tensor:
        """Weight of each state (N,) in the loss; 1 on average over gesture frames."""
        frames = self.prior[:-1].view(self.classes, self.states).sum(1).clamp(min=1).float()
        weight = frames**-self.balance
        weight = weight * frames.sum() / (weight * frames).sum()
        return F.pad(weight.repeat_interleave(self.states), (0, 1), value=1.0)

    def decoding(self) -> Decoding:
        """How posteriors become gestures, with the transitions counted so far."""
        counts = Counts(self.transition.cpu().numpy(), self.prior.cpu().numpy())
        logs = log_transitions(counts, self.transitions)
        return Decoding(self.states, self.classes, logs, self.mu, self.lam, self.shortest, self.compat)

    def detections(self, posterior: Tensor, batch: WindowBatch) -> list[Detections]:
        """Gestures of each window, (B, T, N) posteriors decoded whole."""
        decoding = self.decoding()
        p = posterior.detach().double().cpu().numpy()
        frames = p.shape[1]
        return [shares(decoding.gestures(one[:n]), frames) for one, n in zip(p, lengths(batch), strict=True)]


def shares(found: Iterable[Found], frames: int) -> Detections:
    """Gestures in frames as detections in shares of a window of T frames."""
    rows = [(f.start / frames, f.end / frames, f.label, f.score) for f in found]
    start, end, label, score = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Detections(np.array(start), np.array(end), np.array(label, np.int64), np.array(score))


def lengths(batch: WindowBatch) -> list[int]:
    """Frames of each window that lie within its recording."""
    counts: list[int] = batch.mask(batch.xy.shape[2]).sum(1).tolist()
    return counts


def _gestures(batch: WindowBatch) -> Iterator[tuple[Ids, Ids]]:
    """Gestures of each window in frames: (G, 2), half-open, and classes; a frame belongs where its time stamp does."""
    frames = batch.xy.shape[2]
    for segments, classes in batch.targets():
        at = np.ceil(segments.detach().double().cpu().numpy() * frames - 1e-3).astype(np.int64)
        yield at, classes.cpu().numpy()
