from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomies import SMG

starts = st.integers(0, 10_000).map(lambda ms: ms / 1000)
segments = st.builds(
    lambda start, length, label, person: Segment(start, start + length, label, 1.0, person),
    starts,
    st.integers(1, 5_000).map(lambda ms: ms / 1000),
    st.integers(0, 16),
    st.integers(0, 2),
)


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [(2.0, 2.0, "[2.0, 2.0)"), (3.0, 2.0, "[3.0, 2.0)"), (-1.0, 2.0, "[-1.0, 2.0)"), (0.0, float("inf"), "inf")],
)
def test_impossible_stretches_are_refused(start: float, end: float, shown: str) -> None:
    with pytest.raises(ValueError, match="is empty, negative or not finite") as error:
        Segment(start, end, 0)
    assert shown in str(error.value)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_scores_are_probabilities(score: float) -> None:
    with pytest.raises(ValueError, match=rf"score {score} is outside \[0, 1\]"):
        Segment(0, 1, 0, score)


@given(segments, segments)
def test_overlap_is_symmetric_and_iou_is_a_share(a: Segment, b: Segment) -> None:
    assert a & b == b & a
    assert a.iou(b) == pytest.approx(b.iou(a))
    assert 0 <= a.iou(b) <= 1 + 1e-12
    assert (a.iou(b) > 0) == ((a & b) is not None)
    assert a.iou(a) == pytest.approx(1)


@given(segments, segments, starts)
def test_iou_does_not_depend_on_when(a: Segment, b: Segment, later: float) -> None:
    # touching ends may come to overlap by a rounding error
    assert a.shifted(later).iou(b.shifted(later)) == pytest.approx(a.iou(b), abs=1e-9)


def test_touching_segments_do_not_overlap() -> None:
    assert Segment(0, 1, 0) & Segment(1, 2, 0) is None
    assert Segment(0, 1, 0).iou(Segment(1, 2, 0)) == 0


@given(st.lists(segments, max_size=8), starts)
def test_a_timeline_is_sorted_and_knows_its_persons(items: list[Segment], time: float) -> None:
    timeline = Timeline(tuple(items), SMG, 20.0)
    assert list(timeline) == sorted(items)
    assert len(timeline) == len(items)
    assert Timeline(tuple(reversed(items)), SMG, 20.0) == timeline
    assert set(timeline.at(time)) == {s for s in items if s.start <= time < s.end}
    assert sum(len(timeline.of_person(p)) for p in timeline.persons) == len(items)


def test_labels_must_belong_to_the_taxonomy() -> None:
    with pytest.raises(ValueError, match=r"label 17 is outside taxonomy 'smg' \(0..16\)"):
        Timeline((Segment(0, 1, 17),), SMG, 5.0)


@pytest.mark.parametrize("duration", [-1.0, float("nan"), float("inf")])
def test_impossible_durations_are_refused(duration: float) -> None:
    with pytest.raises(ValueError, match=f"duration {duration} is negative or not finite"):
        Timeline((), SMG, duration)
