"""Recordings strung together from clips: every clip is there, unchanged, and nothing jumps between them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.learning.toy import Toy

from microgesture.core.errors import UsageError
from microgesture.datasets.composed import Composed


def composed(**settings: object) -> Composed:
    return Composed(Toy(24), **({"recordings": 5, "clips": 3} | settings))  # type: ignore[arg-type]


def test_segments_are_clips_and_keep_their_labels() -> None:
    data = composed(trim=0.0)
    clips = Toy(24).clips("train")
    known = {clips[i][0].tobytes(): int(clips.label[i]) for i in range(len(clips))}
    for recording in data.recordings("train"):
        assert len(recording.timeline) == 3
        for segment in recording.timeline:
            a, b = (round(t * data.fps) for t in (segment.start, segment.end))
            assert known[recording.track.xy[None, a:b].tobytes()] == segment.label


def test_ways_are_as_long_as_asked_and_join_without_a_jump() -> None:
    data = composed(gap=(1.0, 2.0), trim=0.0, wander=0.5)
    clips = Toy(24).clips("train")
    inside = max(float(np.abs(np.diff(xy[0], axis=0)).max()) for xy, _ in clips)
    for recording in data.recordings("train"):
        steps = np.abs(np.diff(recording.track.xy, axis=0)).max((1, 2))
        assert steps.max() < 1.5 * inside
        borders = [0.0, *(t for s in recording.timeline for t in (s.start, s.end)), recording.timeline.duration]
        ways = np.diff(borders)[::2]
        assert ((ways > 0.94) & (ways < 2.06)).all()


def test_trimmed_ends_are_way_not_gesture() -> None:
    (recording, *_) = composed(trim=0.25).recordings("train")
    assert {round(s.duration * 20, 6) for s in recording.timeline} == {8.0}


def test_validation_shows_other_clips_and_everything_follows_from_the_seed() -> None:
    data = composed(recordings=10, trim=0.0)

    def shown(split: str) -> set[bytes]:
        return {
            r.track.xy[round(s.start * 20) : round(s.end * 20)].tobytes()
            for r in data.recordings(split)
            for s in r.timeline
        }

    assert shown("val")
    assert not shown("train") & shown("val")
    again, other = composed(recordings=10, trim=0.0), composed(recordings=10, trim=0.0, seed=1)
    first = data.recordings("train")[0].track.xy
    np.testing.assert_array_equal(again.recordings("train")[0].track.xy, first)
    assert not np.array_equal(other.recordings("train")[0].track.xy, first)


def test_a_data_set_of_clips_alone_has_nothing_to_search() -> None:
    with pytest.raises(UsageError, match="toy has no long recordings to search"):
        composed().recordings("test")
    with pytest.raises(UsageError, match="no split 'dev'"):
        composed().recordings("dev")
    with pytest.raises(UsageError, match="holds 1 clip; two are needed"):
        Composed(Toy(1), recordings=1).recordings("train")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"recordings": 0}, "recordings is 0"),
        ({"trim": 0.5}, "trim is 0.5"),
        ({"gap": (3.0, 1.0)}, r"gap is \[3.0, 1.0\]"),
        ({"wander": -1}, "wander is -1"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        composed(**settings)
