from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microgesture.core.detections import Detections
from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment
from microgesture.core.taxonomies import SMG
from microgesture.core.track import PoseTrack
from microgesture.datasets.windows import Windowing
from microgesture.layers.batch import WindowBatch
from microgesture.learning.checkpoint import Facts, Saved
from microgesture.learning.spotting import Spotter
from microgesture.streaming.finders import Finder, StateFinder, WindowFinder, has_states
from microgesture.streaming.normalise import RunningNormaliser
from microgesture.streaming.session import Frame, Stream
from microgesture.systems.aed_bilstm import AEDBiLSTM

SKELETON = SKELETONS["imigue22"]
FPS = 10.0
TRUTH = ((1.0, 2.4, 3), (4.0, 4.9, 3), (5.0, 7.8, 7), (9.0, 9.9, 1))


class Marks(torch.nn.Module):
    """Finds what the first joint says: its x is 1 + the class while a gesture goes on."""

    task = "spot"

    def forward(self, batch: WindowBatch) -> WindowBatch:
        return batch

    def detections(self, out: WindowBatch, batch: WindowBatch) -> list[Detections]:
        raise NotImplementedError  # `Spotted` answers for it


class Spotted(Spotter):
    def detections(self, track: PoseTrack, name: str = "") -> Detections:
        label = np.round(track.xy[:, 0, 0]).astype(int) - 1
        rows = []
        for edge in np.flatnonzero(np.diff(label, prepend=-1)):
            if label[edge] >= 0:
                length = int(np.argmax(np.append(label[edge:], -1) != label[edge]))
                rows.append((edge / track.fps, (edge + length) / track.fps, label[edge], 0.9))
                rows.append((edge / track.fps, (edge + length) / track.fps + 0.01, label[edge], 0.6))  # a double
                rows.append((edge / track.fps, (edge + length) / track.fps, label[edge], 0.1))  # below the threshold
        return Detections(*(np.array(column) for column in zip(*rows, strict=True))) if rows else Detections.none()


class Moody(Spotted):
    """What it says of the whole window hangs on the last frame."""

    def detections(self, track: PoseTrack, name: str = "") -> Detections:
        found = super().detections(track, name)
        return replace(found, label=(found.label + int(track.xy[-1, 0, 0])) % len(SMG))


def spotter(kind: type[Spotter], system: Any, frames: int, fps: float = FPS) -> Any:
    facts = Facts(SKELETON, (SMG,), frames, 1, 3, fps)
    return kind(Saved(system, facts, {}, Path("spotter")), Windowing(frames=frames), 0.5, fps)


def marked(seconds: float) -> list[tuple[Any, Any]]:
    frames = []
    for i in range(round(seconds * FPS)):
        xy = np.zeros((22, 2), np.float32)
        for start, end, label in TRUTH:
            if start <= i / FPS + 1e-9 < end:
                xy[0, 0] = 1 + label
        frames.append((xy, np.ones(22, np.float32)))
    return frames


@pytest.mark.parametrize("hop", [0.1, 0.5, 1.3])
def test_windows_report_each_gesture_once(hop: float) -> None:
    finder = WindowFinder(spotter(Spotted, Marks(), 50), hop, 0.5)
    told = []
    for i, frame in enumerate(marked(9.7)):
        told += [((i + 1) / FPS, s) for s in finder.push(*frame)]
    told += [(9.7, s) for s in finder.finish()]
    assert [(round(s.start, 2), round(s.end, 2), s.label) for _, s in told] == [*TRUTH[:3], (9.0, 9.7, 1)]
    assert {s.score for _, s in told} == {0.9}
    assert all(now - s.end <= finder.lookahead + 1e-9 for now, s in told)
    assert all(now - s.end >= 0.5 - 1e-9 for now, s in told[:3])
    # and it begins anew
    again = [s for frame in marked(9.7) for s in finder.push(*frame)] + finder.finish()
    assert again == [s for _, s in told]


def test_a_spotter_in_a_stream() -> None:
    stream = Stream(spotter(Spotted, Marks(), 50), "smg")
    events = [e for i, (xy, score) in enumerate(marked(9.7)) for e in stream.step(Frame(5 + i / FPS, xy, score))]
    found = [e for e in events + stream.close() if e.kind == "gesture"]
    assert [(round(e.start, 2), e.label) for e in found] == [(6.0, 3), (9.0, 3), (10.0, 7), (14.0, 1)]
    assert found[0].name == SMG[3].name


def walk(seed: int = 0) -> Any:
    """Joints (150, 22, 2) that move at random."""
    draw = np.random.default_rng(seed)
    return np.float32(300 + 60 * draw.normal(size=(22, 2)) + np.cumsum(draw.normal(0, 9, (150, 22, 2)), 0))


def states() -> tuple[AEDBiLSTM, WindowBatch]:
    """A system of hidden states with new weights, and the batch of `walk()` that it knows the features of."""
    torch.manual_seed(0)
    normalise = RunningNormaliser(SKELETON)
    system = AEDBiLSTM(SKELETON, SMG, 64, 1, fps=15.0, width=8, shortest=0.1, mu=0.0, lam=0.3).eval()
    score = np.ones((150, 22), np.float32)
    body = np.stack([normalise(*row) for row in zip(walk(), score, strict=True)])
    batch = WindowBatch(torch.from_numpy(body)[None, None], torch.from_numpy(score)[None, None], valid=torch.ones(1))
    system.features.observe([batch])
    with torch.no_grad():
        for parameter in system.network.parameters():
            parameter.mul_(6)
    return system, batch


def told(finder: Finder, path: Any) -> list[Segment]:
    score = np.ones(len(SKELETON), np.float32)
    return [s for xy in path for s in finder.push(xy, score)] + finder.finish()


@settings(max_examples=20)
@given(seed=st.integers(0, 99), cut=st.integers(1, 119), hop=st.sampled_from([0.1, 0.5, 1.3]))
def test_later_frames_change_nothing_a_window_finds(seed: int, cut: int, hop: float) -> None:
    draw = np.random.default_rng(seed)
    one, other = np.zeros((2, 120, 22, 2), np.float32)
    for path in (one, other):
        path[:, 0, 0] = np.repeat(draw.choice([0, 0, 2, 5, 8], 24), 5)
    mixed = np.concatenate([one[:cut], other[cut:]])
    finder = WindowFinder(spotter(Moody, Marks(), 50), hop, 0.5)
    known = cut / FPS - finder.lookahead
    first, second = (told(finder, path) for path in (one, mixed))
    assert [s for s in first if s.end <= known] == [s for s in second if s.end <= known]


@settings(max_examples=6)
@given(seed=st.integers(1, 99), cut=st.integers(1, 149), lag=st.sampled_from([0, 10]))
def test_later_frames_change_no_states(seed: int, cut: int, lag: int) -> None:
    system, _ = states()
    mixed = np.concatenate([walk()[:cut], walk(seed)[cut:]])
    finder = StateFinder(spotter(Spotter, system, 64, 15.0), lag)
    known = cut / 15 - finder.lookahead
    first, second = (told(finder, path) for path in (walk(), mixed))
    assert any(s.end <= known for s in first) or cut < 120
    assert [s for s in first if s.end <= known] == [s for s in second if s.end <= known]


def test_states_are_those_of_the_recording() -> None:
    system, batch = states()
    path, score = walk(), np.ones((150, 22), np.float32)
    with torch.no_grad():
        (offline,) = system.detections(system(batch), batch)
    assert len(offline) >= 2
    one = spotter(Spotter, system, 64, 15.0)
    assert has_states(one)
    assert not has_states(spotter(Spotter, Marks(), 64))
    finder = StateFinder(one, lag=200)
    found = [s for row in zip(path, score, strict=True) for s in finder.push(*row)]
    assert not found
    found = finder.finish()
    assert [(s.label, s.start, s.end) for s in found] == [
        (k, pytest.approx(a * 10), pytest.approx(b * 10))
        for k, a, b in zip(offline.label, offline.start, offline.end, strict=True)
    ]
    assert [s.score for s in found] == pytest.approx(offline.score.tolist(), abs=1e-4)
    stream = Stream(one, lag=1.0)
    events = [e for t in range(150) for e in stream.step(Frame(t / 15, path[t], score[t]))] + stream.close()
    gestures = [e for e in events if e.kind == "gesture"]
    assert gestures
    assert all(e.delay <= stream.lookahead for e in gestures)


def test_refusals() -> None:
    one = spotter(Spotted, Marks(), 30)
    with pytest.raises(UsageError, match=r"hop is 0 s and margin 0\.5 s"):
        WindowFinder(one, 0)
    with pytest.raises(UsageError, match="hop is 9 s, longer than a window of 3 s"):
        WindowFinder(one, 9)
    with pytest.raises(UsageError, match="leave out settings and causal"):
        Stream(one, causal=True)
    with pytest.raises(UsageError, match="finds gestures of 'smg' alone"):
        Stream(one, "imigue")
