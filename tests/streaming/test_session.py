from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microgesture.analysis.recogniser import Recogniser
from microgesture.core.decode import DecodeSettings, decode
from microgesture.core.errors import UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.core.track import PoseTrack
from microgesture.learning.checkpoint import Facts, Saved, from_pretrained
from microgesture.simulation.programs import class_table, motion_taxonomy
from microgesture.simulation.recording import simulate_recording
from microgesture.streaming.posteriors import ContinualPosteriors, WindowPosteriors
from microgesture.streaming.session import Event, Frame, Latency, Stream
from microgesture.systems.bodygcn import BodyGCN
from microgesture.systems.ctrgcn import CTRGCN
from microgesture.systems.stgcn import STGCN

BASE = SKELETONS["canonical"]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@cache
def recording() -> PoseTrack:
    return simulate_recording("imigue", 0.4, 3).track


@cache
def base() -> Saved:
    return from_pretrained("base")


def frames(track: PoseTrack) -> list[Frame]:
    return [Frame(*row) for row in zip(track.times.tolist(), track.xy, track.score, strict=True)]


def run(stream: Stream, given: Iterable[Frame]) -> list[Event]:
    return [event for frame in given for event in stream.step(frame)] + stream.close()


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def small(cls: Any = STGCN, frames: int = 24, **options: Any) -> Saved:
    """A recogniser of SMG's clips with few channels, new weights: it says something, if nothing sensible."""
    torch.manual_seed(1)
    facts = Facts(SKELETONS["imigue22"], (SMG,), frames, 1, 3, 15.0)
    system = cls(*(facts.skeleton, SMG, frames, 1), width=8, growth=(1, 2, 2), strides=(1, 2, 1), **options).eval()
    with torch.no_grad():
        system.classifier.weight.mul_(20)
    return Saved(system, facts, {}, Path("small"))


EAGER = DecodeSettings(on=0.2, smooth=0.0, gap=0.3, shortest=0.2, compete="none")


def of_motions() -> Saved:
    """The same for a model of motions, which sees its windows also in a mirror."""
    torch.manual_seed(1)
    motions = motion_taxonomy()
    facts = Facts(BASE, (motions, SMG), 24, 1, 3, 15.0)
    system = BodyGCN(BASE, motions, 24, 1, joint_width=8, widths=(12,), strides=(2,)).eval()
    with torch.no_grad():
        system.classifier.weight.mul_(20)
    serves = [[motions.names[i] for i in np.flatnonzero(column)] for column in class_table("smg").T]
    return Saved(system, facts, {"serves": {"smg": serves}, "calibration": {"shift": -2.0}}, Path("motions"))


def moving(count: int, seed: int = 0, fps: float = 15.0, joints: int = 22) -> list[Frame]:
    """Somebody who moves at random."""
    draw = np.random.default_rng(seed)
    home = draw.normal(300, 60, (joints, 2))
    path = home + np.cumsum(draw.normal(0, 8, (count, joints, 2)), 0)
    return [Frame(t / fps, path[t], np.full(joints, 0.9)) for t in range(count)]


def test_the_shipped_model_finds_what_it_finds_in_the_recording() -> None:
    track = recording()
    stream = Stream(base(), IMIGUE)
    events = run(stream, frames(track))
    assert kinds(events)[0] == "found"
    recogniser = Recogniser(base(), decodings={})
    tuned = Recogniser.from_pretrained("base")
    centres = (np.arange(len(track)) + 0.5) * 4 / 15
    centres = centres[centres < len(track) / 15]
    p = tuned.windows(track, IMIGUE, centres)
    offline = decode(centres, p, IMIGUE, len(track) / 15, tuned.decoding(IMIGUE))
    found = [e for e in events if e.kind == "gesture"]
    assert len(offline) >= 2
    assert [(e.label, round(e.start, 3), round(e.end or 0, 3)) for e in found] == [
        (s.label, round(s.start, 3), round(s.end, 3)) for s in offline
    ]
    assert [e.score for e in found] == pytest.approx([s.score for s in offline], abs=1e-4)
    assert all(0 <= e.delay <= stream.lookahead + 1 / 15 for e in found)
    assert [e.name for e in found] == [IMIGUE[s.label].name for s in offline]
    assert recogniser.fps == 15


def test_other_rates_are_resampled_as_a_track_is() -> None:
    track = recording().resampled(27.3)[: 27 * 12]
    stream = Stream(base(), IMIGUE)
    taken: list[tuple[Any, Any]] = []
    stream.finder.push = lambda xy, score: taken.append((xy, score)) or []  # type: ignore[method-assign,func-returns-value]
    for frame in frames(track):
        stream.step(frame)
    even = track.resampled(15.0)
    assert len(taken) == len(even)
    np.testing.assert_allclose(np.stack([xy for xy, _ in taken]), even.xy, atol=1e-3)
    np.testing.assert_allclose(np.stack([score for _, score in taken]), even.score, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_continual_answers_are_those_of_the_network_over_the_stream(causal: bool) -> None:
    from microgesture.layers.batch import PoseBatch
    from microgesture.streaming.continual import CausalTwin

    saved = small()
    given, count = moving(70), 70
    answers = ContinualPosteriors(saved, SMG, 4 / 15, causal=causal)
    xy = np.stack([np.asarray(f.xy, np.float32) for f in given])
    score = np.stack([np.asarray(f.score, np.float32) for f in given])
    moments = [m for row in zip(xy, score, strict=True) for m in answers.push(*row)]
    moments += answers.finish()
    assert [t for t, _ in moments] == pytest.approx([(i + 0.5) * 4 / 15 for i in range(len(moments))])
    assert moments[-1][0] <= count / 15 <= moments[-1][0] + 4 / 15 + 1e-9
    body = np.stack([answers.normaliser(*row) for row in zip(xy, score, strict=True)])
    batch = PoseBatch(torch.from_numpy(body)[None, None], torch.from_numpy(score)[None, None])
    with torch.no_grad():
        if causal:
            out = CausalTwin(saved.system).outputs(batch)  # type: ignore[arg-type]
        else:
            x = saved.system.trunk(batch.features(3)).mean(-1).mean(1)  # type: ignore[operator,union-attr]
            out = saved.system.classifier(x.transpose(1, 2))  # type: ignore[operator]
    # 12 outputs, 24 frames, around the moment: frames 2 * i - 11 .. 2 * i + 11
    for time, p in moments[2:-4]:
        place = round(time * 15)
        last = -(-(place + 11) // 2) + 1
        wanted = out[0, max(0, last - 12) : last].mean(0).softmax(0)
        np.testing.assert_allclose(p, wanted, atol=1e-5)


@pytest.mark.parametrize("hop", [1, 2, 3, 4, 30])
def test_windows_are_those_of_the_recording(hop: int) -> None:
    """Whatever the hop, also where windows overlap with looks that still go on, and where nobody is."""
    given = moving(90, joints=len(BASE))
    xy, score = (np.float32(np.stack([getattr(f, part) for f in given])) for part in ("xy", "score"))
    score[40:58] = 0
    xy[40:58] = 0
    model = of_motions()
    answers = WindowPosteriors(model, SMG, hop / 15)
    moments, late = [], 0
    for t, row in enumerate(zip(xy, score, strict=True)):
        new = answers.push(*row)
        moments += new
        # frames that came after the one an answer is for, once there is a window around it
        late = max([late, *(t + 1 - (time - answers.step / 2) * 15 - hop // 2 for time, _ in new if time > 1)])
    moments += answers.finish()
    places = np.arange(hop // 2, 90, hop)
    assert [time for time, _ in moments] == pytest.approx([(i + 0.5) * hop / 15 for i in range(len(places))])
    wanted = Recogniser.of(model).windows(PoseTrack(xy, score, 15.0, (0, 0), BASE), SMG, places / 15)
    assert (wanted == 0).all(1).any()
    assert np.ptp(wanted, axis=0).max() > 0.1
    np.testing.assert_allclose(np.stack([p for _, p in moments]), wanted, atol=1e-4)
    assert late <= answers.lookahead * 15 + 1e-6


@settings(max_examples=12)
@given(
    seed=st.integers(0, 99),
    cut=st.integers(0, 139),
    kind=st.sampled_from(["as trained", "causal", "windows", "mirrored windows"]),
    hop=st.sampled_from([1 / 15, 0.25, 0.5]),
    lag=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_later_frames_change_no_event(seed: int, cut: int, kind: str, hop: float, lag: float) -> None:
    """Frames after t + look-ahead change nothing of what ended up to t."""
    saved = of_motions() if kind == "mirrored windows" else small(CTRGCN if kind == "windows" else STGCN)
    options: dict[str, Any] = {"settings": EAGER, "hop": hop, "lag": lag, "causal": kind == "causal"}
    a, b = Stream(saved, SMG, **options), Stream(saved, SMG, **options)
    joints = len(a.skeleton)
    one, other = moving(140, seed, joints=joints), moving(140, seed + 1000, joints=joints)
    first, second = run(a, one), run(b, one[:cut] + other[cut:])
    known = (cut - 1) / 15 - a.lookahead
    early = [
        [e for e in events if e.kind == "gesture" and e.end is not None and e.end <= known]
        for events in (first, second)
    ]
    assert early[0] == early[1]
    assert all(e.delay <= a.lookahead + 1e-6 for e in first if e.kind == "gesture" and e.decided < 139 / 15)


def test_an_endless_lag_gives_the_offline_segments() -> None:
    saved = small()
    stream = Stream(saved, settings=EAGER, lag=float("inf"))
    given = moving(140)
    found = [e for e in run(stream, given) if e.kind == "gesture"]
    again = ContinualPosteriors(saved, SMG)
    moments = [m for f in given for m in again.push(np.asarray(f.xy, np.float32), np.asarray(f.score, np.float32))]
    moments += again.finish()
    times, p = (np.array(part) for part in zip(*moments, strict=True))
    offline = decode(times, p, SMG, 140 / 15, EAGER)
    assert offline
    assert sorted((e.label, e.start, e.end) for e in found) == sorted((s.label, s.start, s.end) for s in offline)


def test_windows_of_other_recognisers() -> None:
    stream = Stream(small(CTRGCN), settings=EAGER)
    assert stream.taxonomy == SMG
    events = run(stream, moving(80))
    assert kinds(events)[0] == "found"
    assert "gesture" in kinds(events)


def test_starts_come_before_their_gestures() -> None:
    stream = Stream(small(), settings=EAGER, starts=True)
    events = run(stream, moving(140))
    begun = [e for e in events if e.kind == "start"]
    assert begun
    assert all(e.end is None for e in begun)
    for e in events:
        if e.kind == "gesture" and e.decided < 139 / 15:
            assert any(s.label == e.label and s.decided <= e.decided for s in begun)


def test_bad_frames_are_reported_and_left_out() -> None:
    given = moving(60)
    clean = run(Stream(small(), settings=EAGER), given)
    nan = Frame(20.5 / 15, np.full((22, 2), np.nan), np.ones(22))
    cases: dict[str, Frame] = {
        "coordinates of nose are not finite": nan,
        r"coordinates \[25, 2\] and scores \[25\] do not fit, expected \[22, 2\]": Frame(
            1.4, np.zeros((25, 2)), np.ones(25)
        ),
        r"coordinates \[22, 3\]": Frame(1.4, np.zeros((22, 3)), np.ones(22)),
        "time 0.500 s is not after 1.333 s": Frame(0.5, np.zeros((22, 2)), np.ones(22)),
        "time 1.333 s is not after 1.333 s": Frame(20 / 15, np.zeros((22, 2)), np.ones(22)),
        "time nan is not a number": Frame(float("nan"), np.zeros((22, 2)), np.ones(22)),
        "time None is not a number": Frame(None, np.zeros((22, 2)), np.ones(22)),  # type: ignore[arg-type]
        "a score is not in 0..1": Frame(1.4, np.zeros((22, 2)), np.full(22, 1.5)),
        "joints are no numbers": Frame(1.4, [["a", "b"]] * 22, np.ones(22)),
    }
    import re

    for words, bad in cases.items():
        stream = Stream(small(), settings=EAGER)
        events = run(stream, [*given[:21], bad, *given[21:]])
        said = [e for e in events if e.kind == "bad frame"]
        assert len(said) == 1, words
        assert re.search(words, said[0].note), said[0].note
        assert [e for e in events if e.kind != "bad frame"] == clean
        json.dumps([e.to_plain() for e in events], allow_nan=False)
        # many in a row are reported once, and counted
        stream = Stream(small(), settings=EAGER)
        events = run(stream, [*given[:21], bad, bad, bad, *given[21:]])
        assert kinds(events).count("bad frame") == 1
        assert stream.events["bad frame"] == 3


def test_missing_joints_may_hold_anything() -> None:
    score = np.full(22, 0.9)
    score[7] = 0
    xy = np.random.default_rng(0).normal(300, 60, (22, 2))
    xy[7] = np.nan
    stream = Stream(small())
    assert kinds(run(stream, [Frame(t / 15, xy, score) for t in range(40)])).count("bad frame") == 0


def test_gaps_lost_persons_and_clocks_set_back() -> None:
    given = moving(60)
    late = [Frame(f.time + 14.0, f.xy, f.score) for f in given]
    one, two = (run(Stream(small(), settings=EAGER), part) for part in (given, late))
    stream = Stream(small(), settings=EAGER)
    events = run(stream, given + late)
    gap = next(e for e in events if e.kind == "gap")
    assert (gap.start, gap.end, gap.decided) == pytest.approx((59 / 15, 14.0, 14.0))
    # two runs, each as if the other were not; the first one's rest comes with the news of the gap
    plain = [(e.kind, e.start, e.end, e.label) for e in events if e.kind != "gap"]
    assert plain == [(e.kind, e.start, e.end, e.label) for e in one + two if (e.kind, e.start) != ("found", 14.0)]

    nobody = [Frame(4.0 + t / 15, np.zeros((22, 2)), np.zeros(22)) for t in range(60)]
    events = run(Stream(small(), settings=EAGER), given + nobody + late)
    assert [e.kind for e in events if e.kind in ("found", "lost", "gap")] == ["found", "lost", "gap", "found"]
    lost = next(e for e in events if e.kind == "lost")
    assert lost.start == pytest.approx(59 / 15)
    assert lost.delay == pytest.approx(1.0, abs=0.1)

    events = run(Stream(small(), settings=EAGER), late + given)
    assert [e.kind for e in events if e.kind in ("found", "bad frame", "restart")] == [
        "found",
        "bad frame",
        "restart",
        "found",
    ]
    restart = next(e for e in events if e.kind == "restart")
    assert restart.start == pytest.approx(4 / 15)
    assert restart.note == "the clock was set back from 17.933 s"


def test_a_short_loss_is_bridged() -> None:
    given = moving(60)
    holes = [f for t, f in enumerate(given) if not 20 <= t < 26]
    events = run(Stream(small(), settings=EAGER), holes)
    assert {"gap", "lost"}.isdisjoint(kinds(events))


@pytest.mark.parametrize("layout", ["canonical", "mediapipe33", "openpose25", "coco17"])
def test_layouts_are_projected_as_tracks_are(layout: str) -> None:
    if layout not in SKELETONS:
        pytest.skip(f"no layout {layout}")
    given = SKELETONS[layout]
    draw = np.random.default_rng(0)
    score = (draw.random((20, len(given))) * (draw.random((20, len(given))) > 0.3)).astype(np.float32)
    track = PoseTrack(draw.normal(300, 60, (20, len(given), 2)), score, 15.0, (0, 0), given)
    stream = Stream(base(), skeleton=given)
    wanted = track.project(BASE)
    for xy, seen, there, known in zip(track.xy, track.score, wanted.xy, wanted.score, strict=True):
        moved = stream._layout(xy, seen)
        np.testing.assert_array_equal(moved[1], known)
        np.testing.assert_allclose(moved[0], there, atol=1e-4)


def test_close_begins_anew() -> None:
    stream = Stream(small(), settings=EAGER)
    given = moving(80)
    assert run(stream, given) == run(stream, given)
    assert Stream(small()).close() == []
    assert kinds(run(stream, given[:3]))[0] == "found"


def test_memory_does_not_grow() -> None:
    stream = Stream(small(), settings=EAGER)
    given = moving(150)
    nobody = np.zeros((22, 2)), np.zeros(22)
    held = []
    tracemalloc.start()
    for lap in range(5):
        for t, frame in enumerate(given):
            gone = 100 <= t < 125
            time = (lap * 150 + t) / 15 + lap * (lap % 2)
            stream.step(Frame(time, *(nobody if gone else (frame.xy, frame.score))))
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[-1] - held[2] < 30_000, held
    assert stream.latency.count == 750


def test_latency() -> None:
    latency = Latency()
    assert np.isnan(latency.percentile(50))
    draws = np.random.default_rng(0).lognormal(-6, 1, 5000)
    for seconds in draws.tolist():
        latency.add(seconds)
    for q in (1, 50, 99):
        assert latency.percentile(q) == pytest.approx(np.percentile(draws, q), rel=0.04)
    assert latency.percentile(100) == latency.most == draws.max()
    latency.add(0.0)
    latency.add(1e6)
    assert len(latency._counts) < 1000


def test_events_as_plain_data() -> None:
    event = Event("gesture", 1.23456, 2.0, 3.5, 4, "nodding", 0.87654, person=2)
    assert event.to_plain() == {
        "version": 1, "event": "gesture", "person": 2, "start": 1.235, "end": 2.0, "label": "nodding", "id": 4,
        "score": 0.8765, "decided": 3.5, "delay": 1.5,
    }  # fmt: skip


def test_refusals() -> None:
    with pytest.raises(UsageError, match="absent is 0 s and forget 2 s"):
        Stream(base(), absent=0)
    with pytest.raises(UsageError, match="hop is 0 s"):
        Stream(base(), hop=0)
    with pytest.raises(UsageError, match="lag is -1 s"):
        Stream(base(), lag=-1)
    with pytest.raises(UsageError, match="a BodyGCN looks at whole windows: leave out causal"):
        Stream(base(), causal=True)
    with pytest.raises(UsageError, match="knows the classes of 'smg', not 'imigue'"):
        Stream(small(), IMIGUE)
    assert Stream(base()).taxonomy == IMIGUE
    assert Segment(0, 1, 0)
