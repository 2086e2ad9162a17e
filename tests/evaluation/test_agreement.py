from __future__ import annotations

import warnings

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.evaluation.agreement import (
    event_f1,
    kappa_per_label,
    link,
    linked_kappa,
    time_ac1,
    time_alpha,
    time_kappa,
)
from microgesture.evaluation.coefficients import Resampling, gwet_ac1, kappa_with_absence

FAST = Resampling(samples=50)


def line(*rows: tuple[float, ...], duration: float = 100) -> Timeline:
    """Rows (label, start, end[, score[, person]])."""
    segments = tuple(Segment(float(r[1]), float(r[2]), int(r[0]), *r[3:4], *map(int, r[4:])) for r in rows)
    return Timeline(segments, SMG, duration)


def noisy(seed: int, share: float = 0.7, duration: float = 200) -> tuple[Timeline, Timeline]:
    """A rater with an event every eight seconds and one who follows them some of the time; borders whole seconds."""
    rng = np.random.default_rng(seed)
    rows = [(int(rng.integers(4)), float(t), float(t + rng.integers(2, 6))) for t in range(0, int(duration) - 8, 8)]
    other = [
        (c if rng.random() < share else int(rng.integers(4)), a + float(rng.integers(0, 2)), b + 1)
        for c, a, b in rows
        if rng.random() < 0.9
    ]
    return line(*rows, duration=duration), line(*other, duration=duration)


def every_second(one: Timeline) -> np.ndarray:
    return np.array([next((s.label for s in one.at(t)), -1) for t in range(int(one.duration))])


def test_events_match_within_the_tolerance_and_one_to_one() -> None:
    anna = line((7, 10, 12), (7, 11, 13), (3, 40, 42), (1, 60, 61))
    model = line((7, 10.5, 12.5), (7, 10.4, 12.4), (3, 40.501, 42), (2, 60, 61))
    found = event_f1({"anna": anna, "model": model}, resampling=FAST)
    # 10.4 has 10 alone within reach and 10.5 both: in list order one would be lost
    assert found.value == pytest.approx(2 * 2 / 8)
    assert found.on == "2 matched and 4 unmatched events"
    assert event_f1({"anna": anna, "model": model}, 0.6, 0.6, FAST).value == pytest.approx(2 * 3 / 8)
    longer = line((7, 10, 20))
    assert event_f1({"a": longer, "b": line((7, 10.2, 14))}, resampling=FAST).value == 0.0
    starts = event_f1({"a": longer, "b": line((7, 10.2, 14))}, offset=None, resampling=FAST)
    assert (starts.value, starts.coefficient) == (1.0, "F1 of events within 0.5 s at the start")
    other = event_f1({"a": longer, "b": longer}, 0.5, 1.0, FAST)
    assert other.coefficient == "F1 of events within 0.5 s at the start and 1 s at the end"


def test_a_tolerance_met_exactly_is_met_whatever_the_rounding() -> None:
    assert event_f1({"a": line((7, 1.1, 2)), "b": line((7, 1.6, 2.5))}, resampling=FAST).value == 1.0


def test_events_of_different_persons_do_not_match() -> None:
    one, other = line((7, 1, 2, 1, 0)), line((7, 1, 2, 1, 1))
    assert event_f1({"a": one, "b": other}, resampling=FAST).value == 0.0
    assert linked_kappa({"a": one, "b": other}).on == "0 linked and 2 unlinked events"


def test_linking_takes_the_largest_share_of_the_longer_event_first() -> None:
    # (0, 10) shares 0.6 with (4, 14) and 0.9 with (0, 9); then (4, 14) is free for (5, 15)
    pairs = link(line((7, 0, 10), (7, 5, 15)), line((3, 0, 9), (7, 4, 14)))
    assert [(a.start, b.start) for a, b in pairs if a and b] == [(0, 0), (5, 4)]
    # a short event inside a long one is not the same event
    alone = link(line((7, 0, 10)), line((7, 0, 5.9)))
    assert [(bool(a), bool(b)) for a, b in alone] == [(True, False), (False, True)]
    assert len(link(line((7, 0, 10)), line((7, 0, 5.9)), overlap=0.5)) == 1
    # of equal shares the one with the same label
    (first, *_) = link(line((7, 0, 10)), line((3, 0, 10), (7, 0, 10)))
    assert first[0] is not None
    assert first[1] is not None
    assert first[1].label == 7
    with pytest.raises(UsageError, match="overlap is 0, expected a share"):
        link(line(), line(), 0)


def test_kappa_of_linked_events_by_hand() -> None:
    # the textbook table: 20 and 15 linked with one name, 5 and 10 with two
    names = [(1, 1)] * 20 + [(1, 2)] * 5 + [(2, 1)] * 10 + [(2, 2)] * 15
    anna = line(*[(a, 4 * i, 4 * i + 2) for i, (a, _) in enumerate(names)], (1, 300, 301), duration=400)
    model = line(*[(b, 4 * i, 4 * i + 2) for i, (_, b) in enumerate(names)], (2, 350, 351), duration=400)
    found = linked_kappa({"anna": anna, "model": model}, unlinked=False)
    assert found.value == pytest.approx(0.4)
    assert found.on == "50 linked and 2 unlinked events"
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.4 < found.high
    assert found.sentence == (
        f"Agreement between anna and model: kappa of linked events 0.40 (95 % interval {found.low:.2f} to"
        f" {found.high:.2f}, from resampling 40 stretches of 10 s), on 50 linked and 2 unlinked events."
    )
    with_all = linked_kappa({"anna": anna, "model": model})
    table = np.array([[40, 10, 1], [20, 30, 0], [0, 1, 0]], float)
    assert with_all.value == pytest.approx(float(kappa_with_absence(table)))
    assert with_all.value < 0.4


def test_kappa_per_label_collapses_the_table() -> None:
    anna = line((1, 0, 2), (1, 10, 12), (2, 20, 22), (3, 30, 32), (1, 40, 42))
    model = line((1, 0, 2), (2, 10, 12), (2, 20, 22), (3, 30, 32))
    found = kappa_per_label({"anna": anna, "model": model}, resampling=FAST)
    assert list(found) == [SMG[i].name for i in (1, 2, 3)]
    # linked events count twice: 9 judgements; of label 1: both 2, anna alone 3, the rest 4
    ones = np.repeat([[1, 1], [1, 0], [0, 0]], [2, 3, 4], axis=0)
    assert found[SMG[1].name].value == pytest.approx(cohen_kappa_score(ones[:, 0], ones[:, 1]))
    assert found[SMG[3].name].value == 1.0
    assert found[SMG[1].name].on == "2 agreeing and 3 other judgements"


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_over_frames_equals_scikit_learn(weights: str | None) -> None:
    one, other = noisy(0)
    expected = cohen_kappa_score(every_second(one), every_second(other), weights=weights)
    raters = {"anna": one, "ben": other}
    assert time_kappa(raters, 1.0, weights, FAST).value == pytest.approx(expected)  # type: ignore[arg-type]
    # borders are whole seconds: continuous time gives the same
    assert time_kappa(raters, None, weights, FAST).value == pytest.approx(expected)  # type: ignore[arg-type]


def test_kappa_over_time_needs_no_grid() -> None:
    # pi and e seconds: the four stretches and their weights by hand
    one, other = line((7, 1, 1 + np.pi), duration=10), line((7, 1, 1 + np.e), duration=10)
    both, alone = np.e / 10, (np.pi - np.e) / 10
    chance = np.pi / 10 * np.e / 10 + (1 - np.pi / 10) * (1 - np.e / 10)
    found = time_kappa({"a": one, "b": other}, resampling=FAST)
    assert found.value == pytest.approx((1 - alone - chance) / (1 - chance))
    assert both < 1
    fine = time_kappa({"a": one, "b": other}, 1000.0, resampling=FAST)
    assert fine.value == pytest.approx(found.value, abs=1e-3)
    assert (found.on, fine.on) == ("0.2 minutes", "10000 frames")


def test_of_overlapping_segments_the_surer_and_then_the_later_counts() -> None:
    plain = line((1, 0, 10, 0.9), (2, 10, 20, 0.5))
    assert time_kappa({"a": line((1, 0, 10, 0.9), (2, 5, 20, 0.5)), "b": plain}, resampling=FAST).value == 1.0
    assert time_kappa({"a": line((1, 0, 20), (2, 10, 20)), "b": plain}, resampling=FAST).value == 1.0


def test_alpha_over_frames_equals_the_library_with_gaps() -> None:
    anna, ben = noisy(1)
    carl = noisy(2)[1]
    first, second = {"anna": anna, "ben": ben, "carl": carl}, {"anna": anna, "carl": ben}
    rows = [np.concatenate([every_second(anna), every_second(anna)]).astype(float),
            np.concatenate([every_second(ben), np.full(200, np.nan)]),
            np.concatenate([every_second(carl), every_second(ben)]).astype(float)]  # fmt: skip
    expected = krippendorff.alpha(np.array(rows), level_of_measurement="nominal")
    found = time_alpha([first, second], fps=1, resampling=FAST)
    assert found.value == pytest.approx(expected)
    assert (found.raters, found.on) == (("anna", "ben", "carl"), "400 frames")
    ac1 = time_ac1([first, second], resampling=FAST)
    assert ac1.value == pytest.approx(gwet_ac1(np.array(rows), resampling=FAST).value)
    assert ac1.value == pytest.approx(time_ac1([first, second], fps=1, resampling=FAST).value)


def test_more_than_two_raters_give_the_mean_over_pairs() -> None:
    anna, ben = noisy(3)
    carl = noisy(3, share=0.3)[1]
    for coefficient in (event_f1, linked_kappa, time_kappa):
        each = [
            coefficient(pair, resampling=FAST).value  # type: ignore[operator]
            for pair in ({"a": anna, "b": ben}, {"a": anna, "b": carl}, {"a": ben, "b": carl})
        ]
        found = coefficient({"a": anna, "b": ben, "c": carl}, resampling=FAST)  # type: ignore[operator]
        assert found.value == pytest.approx(np.mean(each))
        assert found.coefficient.startswith("mean over 3 pairs of the ")
        assert found.low < found.value < found.high


def test_order_of_raters_and_names_of_labels_do_not_matter() -> None:
    one, other = noisy(4)
    turned = [
        Timeline(tuple(Segment(s.start + 30, s.end + 30, 10 - s.label) for s in x), SMG, 230) for x in (one, other)
    ]
    for coefficient in (event_f1, linked_kappa, time_alpha):
        values = [
            coefficient(pair, resampling=FAST).value  # type: ignore[operator]
            for pair in ({"a": one, "b": other}, {"a": other, "b": one})
        ]
        assert values[0] == pytest.approx(values[1])
    assert linked_kappa({"a": turned[0], "b": turned[1]}).value == pytest.approx(
        linked_kappa({"a": one, "b": other}).value
    )


def test_a_rater_agrees_with_themselves() -> None:
    one = noisy(5)[0]
    for coefficient in (event_f1, linked_kappa, time_kappa, time_alpha, time_ac1):
        found = coefficient({"a": one, "b": one}, resampling=FAST)  # type: ignore[operator]
        assert (found.value, found.low, found.high) == (
            pytest.approx(1), pytest.approx(1), pytest.approx(1)
        )  # fmt: skip


def test_raters_who_guess_agree_by_chance_only() -> None:
    rng = np.random.default_rng(6)
    one, other = (line(*[(int(rng.integers(4)), 4 * i, 4 * i + 3) for i in range(500)], duration=2000) for _ in "ab")
    found = linked_kappa({"a": one, "b": other})
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.value == pytest.approx(0, abs=0.07)


def test_resampling_by_recordings() -> None:
    one, other = noisy(7)
    same = [{"anna": one, "ben": other}] * 12
    by = Resampling(by="recordings", samples=50)
    found = linked_kappa(same, resampling=by)
    # twelve equal recordings leave nothing to chance
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)
    assert found.resampled == "12 recordings"
    alone = linked_kappa(same[:1], resampling=by)
    assert alone.value == pytest.approx(found.value)
    assert (alone.low, alone.reason) == (None, "there is too little to resample (1 recording)")


def test_more_recordings_narrow_the_interval() -> None:
    few = [dict(zip("ab", noisy(s), strict=True)) for s in range(2)]
    many = [dict(zip("ab", noisy(s), strict=True)) for s in range(32)]
    widths = []
    for each in (few, many):
        found = time_kappa(each)
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.5)


def test_what_is_not_defined_says_why() -> None:
    nothing, one = line(), line((7, 1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = event_f1({"anna": nothing, "model": nothing})
        assert (empty.value, empty.reason) == (None, "no event is marked")
        assert linked_kappa({"a": one, "b": one}).reason == "only one label occurs"
        silent = linked_kappa({"a": line((7, 1, 2), (3, 5, 6)), "b": nothing})
        assert silent.reason == "a rater marked no event, or two raters used only one label"
        apart = linked_kappa({"a": one, "b": line((3, 50, 51))}, unlinked=False)
        assert apart.reason == "no event is linked"
        single = linked_kappa({"a": line((7, 1, 2), (3, 50, 51)), "b": one}, unlinked=False)
        assert single.reason == "the linked events have only one label"
        for coefficient in (time_kappa, time_alpha, time_ac1):
            found = coefficient({"a": nothing, "b": nothing})
            assert (found.value, found.reason) == (None, "two raters say one and the same thing all the time")
            length = coefficient({"a": line(duration=0), "b": line(duration=0)})
            assert (length.value, length.reason) == (None, "the recordings have no length")
        assert kappa_per_label({"a": nothing, "b": nothing}) == {}
        assert kappa_per_label({"a": one, "b": one})[SMG[7].name].value is None
        three = time_kappa({"anna": one, "ben": nothing, "carl": nothing})
        assert three.reason == "two raters say one and the same thing all the time (between ben and carl)"
    assert empty.sentence == (
        "Agreement between anna and model: F1 of events within 0.5 s is not defined, because no event is marked"
        " (0 matched and 0 unmatched events)."
    )


def test_impossible_comparisons_are_refused() -> None:
    one = line((7, 1, 2))
    with pytest.raises(UsageError, match="two raters or more, got 1"):
        event_f1({"anna": one})
    with pytest.raises(UsageError, match="no two raters share a recording"):
        time_kappa([{"anna": one}, {"ben": one}])
    with pytest.raises(UsageError, match="different label spaces cannot be compared: imigue, smg"):
        linked_kappa({"anna": one, "ben": Timeline((), IMIGUE, 100)})
    with pytest.raises(UsageError, match=r"tolerances are -1 and 0\.5 s"):
        event_f1({"anna": one, "ben": one}, -1)
    with pytest.raises(UsageError, match="fps is 0, expected more than 0"):
        time_alpha({"anna": one, "ben": one}, fps=0)
    with pytest.raises(UsageError, match="weights 'cubic' are unknown"):
        time_kappa({"anna": one, "ben": one}, weights="cubic")  # type: ignore[arg-type]
