"""Against the SMG start kit: golden files smg_hmm_statistics, smg_emission_transform, smg_decoding,
smg_path_to_segments."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.systems.golden import Golden, numbered

from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.evaluation.online import f1_at_iou
from microgesture.layers.batch import WindowBatch
from microgesture.layers.hmm import (
    Counts,
    Decoding,
    FixedLagViterbi,
    Found,
    GestureHMM,
    Segmenter,
    StateScores,
    StreamDecoder,
    advance,
    aligned,
    class_mass,
    counted,
    frame_states,
    gains,
    log_emissions,
    log_transitions,
    viterbi,
)

Floats = NDArray[np.float64]


def arrays(name: str) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    golden = Golden(name)
    return {k: v.numpy() for k, v in golden.inputs.items()}, {k: v.numpy() for k, v in golden.outputs.items()}


def random_hmm(rng: np.random.Generator, frames: int, size: int, holes: float = 0.3) -> tuple[Floats, Floats]:
    """Emissions (T, N) and transitions (N, N), some of them impossible; the last state can always stay."""
    weight = rng.random((size, size)) * (rng.random((size, size)) > holes)
    weight[-1, -1] = 1.0
    with np.errstate(divide="ignore"):
        return np.log(rng.dirichlet(np.ones(size), frames)), np.log(weight)


def posteriors(rng: np.random.Generator, frames: int, classes: int = 3, states: int = 5) -> Floats:
    """Of frames in which gestures come and go, rather uncertain."""
    size = classes * states + 1
    segments = np.array([(s, s + int(rng.integers(6, 30))) for s in range(10, max(11, frames - 40), 45)])
    target = frame_states(segments, rng.integers(classes, size=len(segments)), frames, states, classes)
    return 0.4 * np.eye(size)[target] + 0.6 * rng.dirichlet(np.ones(size), frames)


def windows(frames: int, segments: list[tuple[float, float, int]], valid: float = 1.0) -> WindowBatch:
    """One window with gestures (start, end, label) in frames."""
    return WindowBatch(
        torch.zeros(1, 1, frames, 3, 2),
        torch.ones(1, 1, frames, 3),
        valid=torch.tensor([valid]),
        segments=torch.tensor([[(a / frames, b / frames) for a, b, _ in segments]]).view(1, -1, 2),
        classes=torch.tensor([[k for *_, k in segments]]).view(1, -1),
    )


def test_targets_are_those_of_the_start_kit() -> None:
    _, theirs = arrays("smg_hmm_statistics")
    table = theirs["state_alignment_table"]
    for n in range(1, len(table) + 1):
        assert aligned(n, 5).tolist() == table[n - 1, :n].tolist()
    inputs, _ = arrays("smg_hmm_statistics")
    rows = [label * 5 + aligned(end - start, 5) for _, label, start, end in inputs["segments"]]
    assert np.concatenate(rows).tolist() == theirs["gesture_row_states"].tolist()


def test_ten_frames_take_two_per_state() -> None:
    assert aligned(10, 5).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    states = frame_states([(-4, 6), (8, 10), (9, 30)], [1, 0, 0], 12, 5, 2)
    assert states.tolist() == [7, 7, 8, 8, 9, 9, 10, 10, 1, 0, 0, 0]


def test_counts_are_those_of_the_start_kit() -> None:
    inputs, theirs = arrays("smg_hmm_statistics")
    transition, prior = 0, 0
    for recording, frames in enumerate(inputs["num_frames"]):
        mine = inputs["segments"][inputs["segments"][:, 0] == recording]
        segments = np.stack((mine[:, 2] - 1, mine[:, 3]), 1)  # 1-based and inclusive there
        counts = counted(segments, mine[:, 1], int(frames), 5, 4)
        transition, prior = transition + counts.transition, prior + counts.prior
    assert np.array_equal(transition, theirs["transition_counts"])
    assert np.array_equal(prior, theirs["prior_counts"])


def test_short_gestures_give_no_transitions() -> None:
    counts = counted([(3, 7)], [0], 50, 5, 1)
    assert counts.prior.sum() == 0
    assert counts.transition[-1, -1] == counts.transition.sum() == 50


def test_weights_of_a_state_sum_to_one_or_not() -> None:
    inputs, _ = arrays("smg_decoding")
    counts = Counts(inputs["transition_counts"], inputs["prior_counts"])
    assert np.exp(log_transitions(counts)).sum(1) == pytest.approx(1)
    released = np.exp(log_transitions(counts, "released"))
    # a state's last transition is counted from where it leads
    assert released[0].sum() == pytest.approx(1)
    assert released[-1, -1] == pytest.approx(counts.transition[-1, -1] / counts.prior[-1])
    assert released[-1, -1] > 5
    with pytest.raises(UsageError, match="transitions 'smoothed' are unknown; choose 'row_normalised' or 'released'"):
        log_transitions(counts, "smoothed")  # type: ignore[arg-type]


def test_emissions_are_those_of_the_start_kit() -> None:
    inputs, theirs = arrays("smg_emission_transform")
    p = inputs["posterior"]
    assert log_emissions(p) == pytest.approx(theirs["log_emission"].T, abs=1e-9)
    assert log_emissions(p, 0, 1) == pytest.approx(theirs["log_emission_mu0_lambda1"].T, abs=1e-9)
    assert log_emissions(p, 0, 1) == pytest.approx(theirs["log_emission_off"].T, abs=1e-9)
    assert log_emissions(p) == pytest.approx(theirs["log_emission_float32"].T, rel=1e-4, abs=1e-4)


def test_emission_transform_by_hand() -> None:
    p = np.zeros((1, 86))
    p[0, 3], p[0, -1] = 0.6, 0.4
    log = log_emissions(p)[0]
    assert np.exp(log[3]) / 0.6 == pytest.approx(0.9694, abs=1e-4)
    assert log[-1] == pytest.approx(-1.924, abs=1e-3)
    assert log[0] == pytest.approx(np.log(1e-12), rel=1e-2)
    assert log_emissions(np.full((12, 3), 1 / 3), edge=5)[:, -1].nonzero()[0].tolist() == [5, 6]
    assert np.isfinite(log_emissions(np.array([[1.0, 0.0]]))).all()  # one state: 1 + mu * w is negative


def test_decoding_is_that_of_the_start_kit() -> None:
    inputs, theirs = arrays("smg_decoding")
    logs = log_transitions(Counts(inputs["transition_counts"], inputs["prior_counts"]), "released")
    decoding = Decoding(5, 4, logs, compat="official")
    true, guess = [], []
    for i in range(5):
        p = inputs[f"posterior_{i}"]
        emission = log_emissions(p, edge=5)
        path = viterbi(emission, logs)
        assert path.tolist() == theirs[f"path_{i}"].tolist()
        final = theirs[f"final_scores_{i}"]
        assert gains(path, emission, logs).sum() == pytest.approx(final.max(), rel=1e-5)
        found = decoding.gestures(p)
        assert [(f.label, f.start, f.end - 1) for f in found] == [tuple(s) for s in theirs[f"segments_{i}"].tolist()]
        assert [f.rate for f in found] == pytest.approx(theirs[f"segment_scores_{i}"].tolist(), rel=1e-5)
        guess.append(timeline((f.label, f.start, f.end - 1) for f in found))
        true.append(timeline(inputs[f"gt_{i}"].tolist()))
    pooled = f1_at_iou(true, guess, 0.3, "smg2023")
    assert (pooled.recall, pooled.precision) == pytest.approx((float(theirs["recall"]), float(theirs["precision"])))
    assert pooled.f1 == pytest.approx(float(theirs["f1"]), abs=1e-6)


def test_every_score_of_the_recursion() -> None:
    inputs, theirs = arrays("smg_decoding")
    logs = log_transitions(Counts(inputs["transition_counts"], inputs["prior_counts"]), "released")
    emission = log_emissions(inputs["posterior_0"], edge=5)
    assert emission == pytest.approx(theirs["log_emission_0"].T, abs=1e-5)
    score, taken = emission[0], 0.0
    for t, theirs_now in enumerate(theirs["viterbi_scores_0"].T):
        if t:
            score, _, peak = advance(score, emission[t], np.ascontiguousarray(logs.T))
            taken += peak
        assert score + taken == pytest.approx(theirs_now, rel=1e-5, abs=1e-5)


def timeline(rows: Any) -> Timeline:
    return Timeline(tuple(Segment(a, b, k) for k, a, b in rows), numbered(8), 1e5)


@pytest.mark.parametrize("i", range(10))
def test_segments_are_those_of_the_start_kit(i: int) -> None:
    inputs, theirs = arrays("smg_path_to_segments")
    segmenter = Segmenter(5, 4, compat="official")
    gain = np.diff(inputs[f"path_score_{i}"], prepend=0)
    fed = [segmenter.feed(int(s), g) for s, g in zip(inputs[f"path_{i}"], gain.tolist(), strict=True)]
    found = [f for f in (*fed, segmenter.finish()) if f]
    assert [[f.label, f.start, f.end - 1] for f in found] == theirs[f"segments_{i}"].tolist()
    assert [f.rate for f in found] == pytest.approx(theirs[f"scores_{i}"].tolist(), abs=1e-9)


def runs(path: list[int], **options: Any) -> list[tuple[int, int, int]]:
    segmenter = Segmenter(2, 2, **options)
    fed = [*map(segmenter.feed, path), segmenter.finish()]
    return [f[:3] for f in fed if f]


def test_sane_segments() -> None:
    """From the first frame on, split where the class changes, closed at the end, no matter which states."""
    assert runs([0, 1, 4, 4, 1, 3, 3, 4, 2]) == [(0, 0, 2), (0, 4, 5), (1, 5, 7), (1, 8, 9)]
    assert runs([0, 1, 4, 4, 1, 3, 3, 4, 2], shortest=2) == [(0, 0, 2), (1, 5, 7)]
    assert runs([4, 4]) == runs([]) == []


def test_score_is_the_mean_probability() -> None:
    segmenter = Segmenter(1, 2)
    for state, gain, mass in ((2, -1.0, 0.9), (0, -2.0, 0.5), (0, -4.0, 0.7)):
        assert segmenter.feed(state, gain, mass) is None
    assert segmenter.feed(2) == Found(0, 1, 3, pytest.approx(0.6), -4.0)


@pytest.mark.parametrize("seed", range(30))
def test_viterbi_is_the_best_of_all_paths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames, size = int(rng.integers(1, 7)), int(rng.integers(2, 6))
    emission, transition = random_hmm(rng, frames, size)
    path = viterbi(emission, transition)
    every = [gains(np.array(p), emission, transition).sum() for p in product(range(size), repeat=frames)]
    assert gains(path, emission, transition).sum() == pytest.approx(max(every))


@pytest.mark.parametrize("form", ["row_normalised", "released"])
def test_legal_sequence_comes_back(form: Any) -> None:
    hmm = GestureHMM(3, transitions=form)
    target = frame_states([(20, 50), (70, 90)], [2, 0], 110, 5, 3)
    p = np.full((110, 16), 1e-4)
    p[np.arange(110), target] = 1
    assert viterbi(np.log(p), hmm.decoding().log_transition).tolist() == target.tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(0, 10))
def test_fixed_lag_of_the_whole_length_is_exact(seed: int, frames: int, more: int) -> None:
    emission, transition = random_hmm(np.random.default_rng(seed), frames, 5)
    decoder = FixedLagViterbi(transition, frames + more)
    assert all(decoder.step(row) is None for row in emission)
    assert decoder.flush().tolist() == viterbi(emission, transition).tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(0, 12))
def test_fixed_lag_is_the_best_path_up_to_now(seed: int, frames: int, lag: int) -> None:
    """Frame t - lag is decided by what was seen up to t: causal by construction, and one answer per frame."""
    emission, transition = random_hmm(np.random.default_rng(seed), frames, 5)
    decoder = FixedLagViterbi(transition, lag)
    states = []
    for t, row in enumerate(emission):
        state = decoder.step(row)
        if t < lag:
            assert state is None
        else:
            assert state == viterbi(emission[: t + 1], transition)[t - lag]
            states.append(state)
    rest = decoder.flush().tolist()
    assert len(states) + len(rest) == frames
    assert rest == viterbi(emission, transition)[frames - len(rest) :].tolist()


def test_scores_stay_finite_however_long() -> None:
    emission, transition = random_hmm(np.random.default_rng(0), 8, 3, holes=0)
    decoder = FixedLagViterbi(transition * 1e302, 2)  # ten such steps would overflow
    held = decoder._back.nbytes
    for t in range(1000):
        decoder.step(emission[t % 8])
    assert np.isfinite(decoder._score).all()
    decoder = FixedLagViterbi(transition, 2)
    for t in range(100_000):
        decoder.step(emission[t % 8])
    assert decoder._score.max() == 0
    assert decoder._score.min() > -100
    assert decoder._back.nbytes <= held
    assert decoder._back.shape == (2, 3)


def test_negative_lag() -> None:
    with pytest.raises(UsageError, match="lag is -1; it must be 0 or more"):
        FixedLagViterbi(np.zeros((2, 2)), -1)


@pytest.mark.parametrize("seed", range(8))
def test_stream_and_whole_recording_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(1, 300))
    p = posteriors(rng, frames)
    decoding = GestureHMM(3, shortest=4).decoding()
    stream = StreamDecoder(decoding, lag=frames + int(rng.integers(0, 5)))
    assert not any(stream.step(row) for row in p)
    assert stream.finish() == decoding.gestures(p)


def test_stream_tells_a_gesture_when_its_end_is_older_than_the_lag() -> None:
    p = np.full((120, 11), 1e-3)
    p[np.arange(120), frame_states([(30, 60)], [1], 120, 5, 2)] = 1
    stream = StreamDecoder(GestureHMM(2).decoding(), lag=15)
    told = [(t, f) for t, row in enumerate(p) for f in stream.step(row)]
    assert [(t, f[:3]) for t, f in told] == [(75, (1, 30, 60))]
    assert stream.finish() == []


def test_official_stream_has_no_gesture_at_its_beginning() -> None:
    p = np.full((60, 11), 1e-3)
    p[np.arange(60), frame_states([(2, 35)], [1], 60, 5, 2)] = 1
    hmm = GestureHMM(2, transitions="released", compat="official")
    stream = StreamDecoder(hmm.decoding(), lag=60)
    told = [f for row in p for f in stream.step(row)] + stream.finish()
    assert [f[:3] for f in told] == [f[:3] for f in hmm.decoding().gestures(p)]


def toy(mass: float, form: Any, mu: float, lam: float, seed: int = 0) -> float:
    """F1@0.3 on 40 gestures of two classes; the true state has `mass` on top of sparse noise."""
    rng = np.random.default_rng(seed)
    start, rows = 30, []
    for i in range(40):
        end = start + int(rng.integers(25, 80))
        rows.append((i % 2, start, end))
        start = end + int(rng.integers(30, 100))
    label, segments = [r[0] for r in rows], [r[1:] for r in rows]
    target = frame_states(segments, label, start, 5, 2)
    p = mass * np.eye(11)[target] + (1 - mass) * rng.dirichlet(np.full(11, 0.3), start)
    logs = log_transitions(counted(segments, label, start, 5, 2), form)
    found = Decoding(5, 2, logs, mu, lam, compat="official").gestures(p)
    assert all(f.end - 1 - f.start > 15 for f in found)
    return f1_at_iou([timeline(rows)], [timeline(f[:3] for f in found)]).f1


@pytest.mark.parametrize("form", ["row_normalised", "released"])
@pytest.mark.parametrize("mu, lam", [(0, 1), (-2.5, 2.1)])
def test_clear_posteriors_are_decoded_in_all_four_settings(form: str, mu: float, lam: float) -> None:
    assert toy(0.7, form, mu, lam) == 1


def test_emission_transform_makes_up_for_the_released_transitions() -> None:
    plain, transformed = (
        np.mean([toy(0.15, "released", *how, seed) for seed in range(3)]) for how in ((0, 1), (-2.5, 2.1))
    )
    assert transformed - plain > 0.3
    assert transformed > 0.95
    # with transitions that sum to one there is nothing to make up for
    plain, transformed = (
        np.mean([toy(0.15, "row_normalised", *how, seed) for seed in range(3)]) for how in ((0, 1), (-2.5, 2.1))
    )
    assert plain > 0.95
    assert transformed <= plain


def test_class_mass_sums_to_one() -> None:
    p = np.array([[0.2, 0.1, 0.3, 0.2, 0.2], [2.0, 0, 0, 0, 0]])
    mass = class_mass(p, 2)
    assert mass[0].tolist() == pytest.approx([0.3, 0.5, 0.2])
    assert mass.sum(1) == pytest.approx(1)


def test_observed_recordings_replace_the_first_guess() -> None:
    hmm = GestureHMM(2)
    batch = windows(200, [(50.0, 80.0, 1), (150.0, 190.0, 0)])
    hmm.observe([batch, batch])
    mine = counted([(50, 80), (150, 190)], [1, 0], 200, 5, 2)
    assert np.array_equal(hmm.transition, 2 * mine.transition)
    assert np.array_equal(hmm.prior, 2 * mine.prior)


def test_targets_behind_the_recording_are_left_out() -> None:
    hmm = GestureHMM(2)
    target = hmm.targets(windows(20, [(5.0, 15.0, 1)], valid=0.5))
    assert target[0].tolist() == [10] * 5 + [5, 5, 6, 6, 7] + [-100] * 10
    whole = hmm.targets(windows(20, [(15.0, 25.0, 1)]))
    assert whole[0, 15:].tolist() == [5, 5, 6, 6, 7]


def test_background_is_thinned_to_the_ratio() -> None:
    torch.manual_seed(0)
    batch = windows(4000, [(1000.0, 1200.0, 1), (3000.0, 3200.0, 0)])
    hmm = GestureHMM(2, background=0.5)
    hmm.observe([batch])
    rows, weight = hmm.rows(batch, thin=True)
    silent = (hmm.targets(batch).flatten()[rows] == 10).sum().item()
    assert weight == 1
    assert len(rows) - silent == 400
    assert 140 < silent < 260
    rows, weight = hmm.rows(batch, thin=False)
    assert len(rows) == 4000
    assert weight == pytest.approx(0.5 * 392 / 3608)


def test_windows_of_nothing_still_give_rows() -> None:
    hmm = GestureHMM(2, background=0)
    hmm.observe([windows(100, [(10.0, 30.0, 0)])])
    empty = WindowBatch(torch.zeros(1, 1, 1, 3, 2), torch.ones(1, 1, 1, 3), valid=torch.ones(1),
                        segments=torch.zeros(1, 0, 2), classes=torch.zeros(1, 0, dtype=torch.long))  # fmt: skip
    rows, _ = hmm.rows(empty, thin=True)
    assert rows.tolist() == [0, 0]


def test_loss_by_hand() -> None:
    hmm = GestureHMM(1, 2, balance=0.5)
    batch = windows(4, [(0.0, 2.0, 0)])
    logits = torch.randn(4, 3)
    log = logits.log_softmax(-1)
    by_hand = -(log[0, 0] + log[1, 1] + 0.25 * (log[2, 2] + log[3, 2])) / 2.5
    assert hmm.loss(StateScores(logits, torch.arange(4), 0.25), batch).item() == pytest.approx(by_hand.item())


def test_rare_classes_weigh_more() -> None:
    hmm = GestureHMM(2, 5, balance=0.5)
    hmm.prior[:5], hmm.prior[5:10] = 400, 100
    weight = hmm.weights()
    assert (weight[5] / weight[0]).item() == pytest.approx(2)
    assert ((weight[:10] * hmm.prior[:10]).sum() / hmm.prior[:10].sum()).item() == pytest.approx(1)
    assert weight[-1] == 1


def test_unknown_settings() -> None:
    with pytest.raises(UsageError, match="compat 'smg' is unknown; choose 'official' or leave it out"):
        GestureHMM(2, compat="smg")
    with pytest.raises(UsageError, match=r"states is 0 and background 1.0; they must be at least 1 and 0"):
        GestureHMM(2, 0)
    with pytest.raises(UsageError, match="transitions 'none' are unknown"):
        GestureHMM(2, transitions="none")  # type: ignore[arg-type]
