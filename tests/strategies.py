"""What property tests draw: timelines with touching and overlapping segments, pose tracks with gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from microgesture.core.layouts import SKELETONS
from microgesture.core.segment import Segment, Timeline
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import TAXONOMIES
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import PoseTrack
from microgesture.formats.segments import milliseconds

_MOMENTS = st.one_of(st.integers(0, 60_000).map(lambda ms: ms / 1000), st.floats(0, 172_000, allow_subnormal=False))


@st.composite
def segments(draw: st.DrawFn, taxonomy: Taxonomy) -> Segment:
    """A segment between 0.1 ms and an hour long, anywhere in two days."""
    start = draw(_MOMENTS)
    length = draw(st.one_of(st.integers(1, 5_000).map(lambda ms: ms / 1000), st.floats(1e-4, 600)))
    label = draw(st.integers(0, len(taxonomy) - 1))
    return Segment(start, start + length, label, draw(st.floats(0, 1)), draw(st.integers(0, 3)))


@st.composite
def timelines(
    draw: st.DrawFn, *, exclusive: bool = False, max_size: int = 12, taxonomy: Taxonomy | None = None
) -> Timeline:
    """A timeline in any taxonomy; segments touch, overlap and repeat.

    Args:
        exclusive: one person never shows the same label twice at once.
    """
    taxonomy = taxonomy or draw(st.sampled_from(list(TAXONOMIES.values())))
    drawn = draw(st.lists(segments(taxonomy), max_size=max_size))
    if drawn and draw(st.booleans()):
        first = min(drawn)
        drawn.append(Segment(first.end, first.end + 1, first.label, 0.5, first.person))  # touching, same label
    if exclusive:
        free: dict[tuple[int, int], int] = {}
        kept = []
        for s in sorted(drawn):
            start, end = milliseconds(s)
            if start >= free.get((s.person, s.label), 0):
                free[s.person, s.label] = end
                kept.append(s)
        drawn = kept
    last = max((s.end for s in drawn), default=0.0)
    return Timeline(tuple(drawn), taxonomy, min(172_800.0, last + draw(st.floats(0, 100))))


RATERS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12) | st.sampled_from(
    ["anna", "anna (2)", "李明", "Zoë K.", "person 0", "<&>", "a score", "a"]
)


@st.composite
def raters(draw: st.DrawFn, *, exclusive: bool = False) -> dict[str, Timeline]:
    """One to three raters of one recording, some of whom saw nothing."""
    names = draw(st.lists(RATERS, min_size=1, max_size=3, unique=True))
    taxonomy = draw(st.sampled_from(list(TAXONOMIES.values())))
    lines = [draw(timelines(exclusive=exclusive, max_size=5, taxonomy=taxonomy)) for _ in names]
    duration = max(line.duration for line in lines)
    return {name: replace(line, duration=duration) for name, line in zip(names, lines, strict=True)}


@st.composite
def people(draw: st.DrawFn, skeleton: Skeleton, max_frames: int = 8) -> tuple[PoseTrack, ...]:
    """One to three persons of the same frames, even times from 0, positions in pixels."""
    first = draw(tracks(skeleton, max_frames, min_frames=1, axes=2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    numbers = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
    made = []
    for number in sorted(numbers):
        xy = rng.uniform(-200, 2000, first.xy.shape).astype(np.float32)
        score = np.where(rng.random(first.score.shape) < 0.3, 0, first.score)
        made.append(PoseTrack(xy, score, first.fps, first.size, skeleton, None, number))  # type: ignore[arg-type]
    return tuple(made)


@st.composite
def tracks(
    draw: st.DrawFn, skeleton: Skeleton | None = None, max_frames: int = 40, *, min_frames: int = 0, axes: int = 0
) -> PoseTrack:
    """A track with missing joints, whole missing frames and, sometimes, uneven times."""
    skeleton = skeleton or SKELETONS[draw(st.sampled_from(sorted(SKELETONS)))]
    frames = draw(st.integers(min_frames, max_frames))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fps = draw(st.sampled_from([10.0, 25.0, 29.97, 30.0, 60.0]))
    xy = rng.uniform(-200, 2000, (frames, len(skeleton), axes or draw(st.sampled_from([2, 3])))).astype(np.float32)
    score = rng.uniform(0.01, 1, (frames, len(skeleton))).astype(np.float32)
    score[rng.random(score.shape) < draw(st.sampled_from([0.0, 0.2, 1.0]))] = 0
    score[rng.random(frames) < 0.1] = 0
    times = np.cumsum(rng.uniform(0.5, 1.5, frames) / fps) if draw(st.booleans()) else None
    size = draw(st.sampled_from([(0, 0), (1280, 720), (600, 338)]))
    return PoseTrack(xy, score, fps, size, skeleton, times, draw(st.integers(0, 5)))
