"""Agreement between raters, of whom a model may be one.

Input: for one recording a mapping from the rater's name to their `Timeline`, or a list of such mappings, which are
pooled. A rater may be missing from some recordings. Persons are compared one by one and pooled.

Two views are offered, because they answer different questions:

* events: do the raters mark the same events (`event_f1`), and call them by the same name (`linked_kappa`,
  `kappa_per_label`)? With more than two raters the mean over all pairs.
* time: what does each rater say at every moment, "nothing" included (`time_kappa`, `time_alpha`, `time_ac1`)?
  Long events weigh more, and so does doing nothing. Where segments of one rater overlap, the one with the higher
  score counts, of equal scores the one that began later.

Plain ratings of units, without time, go to `evaluation.coefficients`.

Intervals are percentiles of a bootstrap that draws stretches of time, or whole recordings, with all events in them:
see `Resampling`. A coefficient that is not defined has the value None and a reason in words.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from math import ceil

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment, Timeline
from microgesture.core.taxonomy import Taxonomy
from microgesture.evaluation.coefficients import (
    MISSING,
    RESAMPLING,
    Agreement,
    Resampling,
    Table,
    Weights,
    ac1_of,
    ac1_terms,
    alpha_of,
    distance_of,
    divide,
    estimate,
    kappa_of,
    kappa_with_absence,
)

Recordings = Mapping[str, Timeline] | Sequence[Mapping[str, Timeline]]

NOTHING = -1
"""Code of a moment or an event that a rater left blank, beside the label ids."""
EPSILON = 1e-9
"""Slack in seconds and shares, so that times rounded to milliseconds pass thresholds they meet."""

_SAME, _EMPTY = "two raters say one and the same thing all the time", "the recordings have no length"


def event_f1(
    recordings: Recordings,
    onset: float = 0.5,
    offset: float | None = 0.5,
    resampling: Resampling = RESAMPLING,
) -> Agreement:
    """F1 of events: 2 x matched / all events of both raters. It needs no "nothing" and no chance correction.

    Two events match if label and person are the same, their starts differ by at most `onset` and their ends by at most
    `offset` seconds; one to one, as many matches as possible.

    Args:
        offset: None compares the starts only.

    Raises:
        UsageError: fewer than two raters, or different label spaces.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> anna = Timeline((Segment(1.0, 2.0, 7), Segment(5.0, 6.0, 3)), SMG, 60)
        >>> model = Timeline((Segment(1.2, 2.3, 7),), SMG, 60)
        >>> round(event_f1({"anna": anna, "model": model}).value, 3)
        0.667
    """
    if not onset >= 0 or not (offset is None or offset >= 0):
        raise UsageError(f"tolerances are {onset} and {offset} s, expected 0 or more")
    study = _Study(recordings, resampling)
    parts = np.zeros((study.clusters, len(study.pairs), 2))  # matched events, and events of both
    for cluster, p, one, other in study.each_pair():
        for s in (*one, *other):
            parts[cluster(s.start), p, 1] += 1
        for i in _matched(one, other, onset, offset):
            parts[cluster(one.segments[i].start), p, 0] += 1
    matched, both = parts.sum((0, 1))
    name = f"F1 of events within {onset:g} s" + (" at the start" if offset is None else _unless_same(onset, offset))
    return study.estimate(
        name,
        parts,
        lambda sums: divide(2 * sums[..., 0], sums[..., 1]),
        on=f"{matched:.0f} matched and {both - 2 * matched:.0f} unmatched events",
        reason="no event is marked",
    )


def link(one: Timeline, other: Timeline, overlap: float = 0.6) -> list[tuple[Segment | None, Segment | None]]:
    """Which events of two raters are the same event, whatever they call it.

    Two events may be linked if they share at least `overlap` of the longer one's duration; the pair with the largest
    share is linked first, one to one. This is our reading of Holle and Rein (2015, EasyDIAg, doi
    10.3758/s13428-014-0506-7), whose default is 60 %. Of equal shares we take those with one label first.

    Returns:
        linked pairs in the order of time, then events of one rater alone with None in place of the other.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> one, other = (Timeline((Segment(0, end, 7),), SMG, 20) for end in (10, 6))
        >>> len(link(one, other)), len(link(one, other, overlap=0.7))
        (1, 2)
    """
    if not 0 < overlap <= 1:
        raise UsageError(f"overlap is {overlap}, expected a share above 0 and up to 1")
    candidates = []
    starts = [s.start for s in other]
    longest = max((s.duration for s in other), default=0.0)
    for i, a in enumerate(one):
        for j in range(bisect_left(starts, a.start - longest), bisect_left(starts, a.end)):
            b = other.segments[j]
            share = max(0.0, min(a.end, b.end) - max(a.start, b.start)) / max(a.duration, b.duration)
            if share >= overlap - EPSILON:
                candidates.append((-round(share, 9), a.label != b.label, i, j))
    left, right = dict(enumerate(one)), dict(enumerate(other))
    linked: list[tuple[Segment, Segment]] = []
    for _, _, i, j in sorted(candidates):
        if i in left and j in right:
            linked.append((left.pop(i), right.pop(j)))
    return [*sorted(linked), *((a, None) for a in left.values()), *((None, b) for b in right.values())]


def linked_kappa(
    recordings: Recordings, overlap: float = 0.6, unlinked: bool = True, resampling: Resampling = RESAMPLING
) -> Agreement:
    """Cohen's kappa of the labels of linked events (see `link`), after Holle and Rein (2015).

    Args:
        unlinked: True counts an event that only one rater marked against a category "no event". Both raters cannot
            choose that category at once, so the expected table has a zero there; it is the one that iterative
            proportional fitting converges to, in closed form. A linked event counts twice, once per rater, an unlinked
            one once. False leaves unlinked events out: agreement on the name alone. The released tool prints 0 for
            a negative kappa; this function returns it.

    Raises:
        UsageError: as `event_f1`.
    """
    study = _Study(recordings, resampling)
    tables, codes = study.link_tables(overlap)
    linked, alone = _linked_counts(tables)
    if not unlinked:
        tables = tables[..., :-1, :-1]
    if len(codes) == 1:
        reason = "only one label occurs"
    elif not unlinked:
        reason = "the linked events have only one label" if linked else "no event is linked"
    else:
        reason = "a rater marked no event, or two raters used only one label"
    return study.estimate(
        "kappa of events, unlinked ones included" if unlinked else "kappa of linked events",
        tables,
        kappa_with_absence if unlinked else kappa_of,
        on=f"{linked:.0f} linked and {alone:.0f} unlinked events",
        reason=reason,
    )


def kappa_per_label(
    recordings: Recordings, overlap: float = 0.6, resampling: Resampling = RESAMPLING
) -> dict[str, Agreement]:
    """Cohen's kappa of each label against all others and "no event", from the table of `linked_kappa`.

    The table is collapsed to two categories. This is our reading; the released tool counts pairs in which neither
    rater chose the label once instead of twice.

    Returns:
        label name to agreement, for labels that at least one rater used.
    """
    study = _Study(recordings, resampling)
    tables, codes = study.link_tables(overlap)
    found = {}
    for k, code in enumerate(codes):
        own = tables[..., k, k]
        row, column, whole = tables[..., k, :].sum(-1), tables[..., :, k].sum(-1), tables.sum((-1, -2))
        square = np.stack([own, row - own, column - own, whole - row - column + own], -1).reshape(*own.shape, 2, 2)
        name = study.taxonomy[int(code)].name
        other = (row + column - 2 * own).sum()
        found[name] = study.estimate(
            f"kappa of '{name}'",
            square,
            kappa_of,
            on=f"{own.sum():.0f} agreeing and {other:.0f} other judgements",
            reason="no other label and no unlinked event occurs",
        )
    return found


def time_kappa(
    recordings: Recordings,
    fps: float | None = None,
    weights: Weights = None,
    resampling: Resampling = RESAMPLING,
) -> Agreement:
    """Cohen's kappa over time: what do two raters say at every moment? With more raters the mean over pairs.

    Args:
        fps: None weighs every stretch between two borders by its duration, exactly; a number judges the frames at
            n / fps seconds, each with weight 1.
        weights: `"linear"` or `"quadratic"` weigh a disagreement by the distance of the ids, "nothing" being -1: only
            for label spaces whose ids are in an order.

    Raises:
        UsageError: as `event_f1`, or the weights are unknown.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> one = Timeline((Segment(0, 25, 7),), SMG, 50)
        >>> other = Timeline((Segment(0, 20, 7), Segment(25, 35, 7)), SMG, 50)
        >>> round(time_kappa({"anna": one, "ben": other}).value, 3)
        0.4
    """
    study = _Study(recordings, resampling)
    codes, weight, cluster = study.moments(fps)
    present = np.unique(codes[codes > MISSING])
    tables = np.zeros((study.clusters, len(study.pairs), len(present), len(present)))
    index = np.searchsorted(present, codes)
    for p, (a, b) in enumerate(study.pair_columns):
        rows = (codes[:, a] > MISSING) & (codes[:, b] > MISSING)
        np.add.at(tables[:, p], (cluster[rows], index[rows, a], index[rows, b]), weight[rows])
    distance = distance_of(present.astype(np.float64), weights)
    kind = {None: "", "linear": "linearly weighted ", "quadratic": "quadratically weighted "}[weights]
    return study.estimate(
        f"{kind}kappa over {'time' if fps is None else 'frames'}",
        tables,
        lambda sums: kappa_of(sums, distance),
        on=_amount(codes, weight, fps),
        reason=_SAME if weight.sum() else _EMPTY,
    )


def time_alpha(recordings: Recordings, fps: float = 10.0, resampling: Resampling = RESAMPLING) -> Agreement:
    """Krippendorff's nominal alpha over frames, for any number of raters and with gaps.

    Args:
        fps: frames per second on which the timelines are laid out.

    Raises:
        UsageError: as `event_f1`.
    """
    study = _Study(recordings, resampling)
    codes, weight, cluster = study.moments(fps)
    present = np.unique(codes[codes > MISSING])
    index = np.searchsorted(present, codes)
    given = codes > MISSING
    share = 1.0 / np.maximum(given.sum(1) - 1, 1)
    # coincidences add up over frames, so that resampling them costs nothing; the library starts from the ratings
    tables = np.zeros((study.clusters, len(present), len(present)))
    for a, b in study.pair_columns:
        rows = given[:, a] & given[:, b]
        for one, other in ((a, b), (b, a)):
            np.add.at(tables, (cluster[rows], index[rows, one], index[rows, other]), share[rows])
    return study.estimate(
        "Krippendorff's alpha over frames",
        tables,
        alpha_of,
        on=_amount(codes, weight, fps),
        reason=_SAME if weight.sum() else _EMPTY,
        pairs=False,
    )


def time_ac1(recordings: Recordings, fps: float | None = None, resampling: Resampling = RESAMPLING) -> Agreement:
    """Gwet's AC1 over time, for any number of raters and with gaps.

    Unlike kappa it stays high where the raters agree and one answer ("nothing") prevails. Its chance agreement counts
    the categories that occur.

    Args:
        fps: as for `time_kappa`.

    Raises:
        UsageError: as `event_f1`.
    """
    study = _Study(recordings, resampling)
    codes, weight, cluster = study.moments(fps)
    parts = np.zeros((study.clusters, 3 + len(np.unique(codes[codes > MISSING]))))
    np.add.at(parts, cluster, ac1_terms(codes) * weight[:, None])
    return study.estimate(
        f"Gwet's AC1 over {'time' if fps is None else 'frames'}",
        parts,
        ac1_of,
        on=_amount(codes, weight, fps),
        reason=_SAME if weight.sum() else _EMPTY,
        pairs=False,
    )


class _Study:
    """Recordings taken apart: raters, pairs of them, persons, and the stretches that are resampled."""

    def __init__(self, recordings: Recordings, resampling: Resampling) -> None:
        held = [recordings] if isinstance(recordings, Mapping) else list(recordings)
        self.raters = tuple(dict.fromkeys(name for each in held for name in each))
        if len(self.raters) < 2:
            raise UsageError(f"agreement needs two raters or more, got {len(self.raters)}")
        spaces = {line.taxonomy.digest: line.taxonomy for each in held for line in each.values()}
        if len(spaces) > 1:
            keys = ", ".join(sorted(space.key for space in spaces.values()))
            raise UsageError(f"timelines of different label spaces cannot be compared: {keys}")
        self.taxonomy: Taxonomy = next(iter(spaces.values()))
        columns = {name: i for i, name in enumerate(self.raters)}
        self.pairs = [p for p in combinations(self.raters, 2) if any(set(p) <= set(each) for each in held)]
        if not self.pairs:
            raise UsageError("no two raters share a recording")
        self.pair_columns = [(columns[a], columns[b]) for a, b in self.pairs]
        self.resampling, self._held = resampling, [each for each in held if each]
        self._length = [
            max(time for line in each.values() for time in (line.duration, *(s.end for s in line)))
            for each in self._held
        ]
        counts = [1 if resampling.by == "recordings" else max(1, ceil(x / resampling.stretch)) for x in self._length]
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self.clusters = int(self._first[-1])

    def _persons(self) -> Iterator[tuple[int, dict[str, Timeline]]]:
        for r, each in enumerate(self._held):
            for person in sorted({p for line in each.values() for p in line.persons}) or [0]:
                yield r, {name: line.of_person(person) for name, line in each.items()}

    def _cluster(self, recording: int, time: float) -> int:
        first, after = self._first[recording], self._first[recording + 1]
        if self.resampling.by == "recordings":
            return int(first)
        return int(min(first + time // self.resampling.stretch, after - 1))

    def each_pair(self) -> Iterator[tuple[Callable[[float], int], int, Timeline, Timeline]]:
        """(cluster of a time, number of the pair, its two timelines) per recording and person."""
        for r, lines in self._persons():
            for p, (a, b) in enumerate(self.pairs):
                if a in lines and b in lines:
                    yield partial(self._cluster, r), p, lines[a], lines[b]

    def link_tables(self, overlap: float) -> tuple[Table, list[int]]:
        """(clusters, pairs, K + 1, K + 1) of the labels that occur and "no event"; linked events count twice."""
        found = []
        for cluster, p, one, other in self.each_pair():
            for pair in link(one, other, overlap):
                first = next(s for s in pair if s)
                found.append((cluster(first.start), p, *(s.label if s else NOTHING for s in pair)))
        codes = sorted({code for row in found for code in row[2:]} - {NOTHING})
        place = {code: i for i, code in enumerate([*codes, NOTHING])}
        tables = np.zeros((self.clusters, len(self.pairs), len(place), len(place)))
        for where, p, a, b in found:
            tables[where, p, place[a], place[b]] += 2 if a != NOTHING != b else 1
        return tables, codes

    def moments(self, fps: float | None) -> tuple[NDArray[np.intp], Table, NDArray[np.intp]]:
        """(S, raters) codes, (S,) weights and (S,) clusters of stretches in which nothing changes, or of frames."""
        if fps is not None and not fps > 0:
            raise UsageError(f"fps is {fps}, expected more than 0")
        codes, weights, clusters = [], [], []
        for r, lines in self._persons():
            length = self._length[r]
            if fps is None:
                cuts = np.arange(0, length, self.resampling.stretch)
                borders = [t for line in lines.values() for s in line for t in (s.start, s.end)]
                edges = np.unique(np.concatenate([cuts, borders, [length]]))
                middle, weight = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
            else:
                # frames that begin with a segment belong to it, whatever the rounding
                middle = np.arange(ceil(length * fps - 1e-6)) / fps + 1e-6
                weight = np.ones(len(middle))
            said = np.full((len(middle), len(self.raters)), MISSING, np.intp)
            for column, name in enumerate(self.raters):
                if name in lines:
                    said[:, column] = _said(lines[name], middle)
            codes.append(said)
            weights.append(weight)
            clusters.append(np.array([self._cluster(r, t) for t in middle], np.intp))
        return np.concatenate(codes), np.concatenate(weights), np.concatenate(clusters)

    def estimate(
        self,
        name: str,
        parts: Table,
        figure: Callable[[Table], Table],
        *,
        on: str,
        reason: str,
        pairs: bool = True,
    ) -> Agreement:
        """A coefficient from parts (clusters, ...) that add up; with `pairs` the mean over their second axis."""
        if pairs and len(self.pairs) > 1:
            each = figure(parts.sum(0))
            undefined = [" and ".join(p) for p, x in zip(self.pairs, each, strict=True) if np.isnan(x)]
            reason = f"{reason} (between {'; '.join(undefined)})"
            name = f"mean over {len(self.pairs)} pairs of the {name}"
        length = f" of {self.resampling.stretch:g} s"
        stretches = ("stretch" + length, "stretches" + length)
        return estimate(
            name,
            self.raters,
            parts,
            (lambda sums: figure(sums).mean(-1)) if pairs else figure,
            on=on,
            reason=reason,
            resampling=self.resampling,
            unit=("recording", "recordings") if self.resampling.by == "recordings" else stretches,
        )


def _matched(one: Timeline, other: Timeline, onset: float, offset: float | None) -> list[int]:
    """Events of the first rater that have a partner, in the largest possible one-to-one matching."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    starts = [s.start for s in other]
    edges = []
    for i, a in enumerate(one):
        first = bisect_left(starts, a.start - onset - EPSILON)
        for j in range(first, bisect_right(starts, a.start + onset + EPSILON)):
            b = other.segments[j]
            if a.label == b.label and (offset is None or abs(a.end - b.end) <= offset + EPSILON):
                edges.append((i, j))
    if not edges:
        return []
    rows, columns = zip(*edges, strict=True)
    graph = csr_matrix((np.ones(len(edges)), (rows, columns)), shape=(len(one), len(other)))
    return [int(i) for i in np.flatnonzero(maximum_bipartite_matching(graph, perm_type="column") >= 0)]


def _said(line: Timeline, times: Table) -> NDArray[np.intp]:
    """Label a rater gives at each of the sorted times, or `NOTHING`."""
    said = np.full(len(times), NOTHING, np.intp)
    for s in sorted(line, key=lambda s: (s.score, s.start, s.label)):  # what is painted last counts
        first, after = np.searchsorted(times, [s.start, s.end])
        said[first:after] = s.label
    return said


def _linked_counts(tables: Table) -> tuple[float, float]:
    linked = float(tables[..., :-1, :-1].sum())
    return linked / 2, float(tables.sum()) - linked


def _unless_same(onset: float, offset: float) -> str:
    return "" if onset == offset else f" at the start and {offset:g} s at the end"


def _amount(codes: NDArray[np.intp], weight: Table, fps: float | None) -> str:
    judged = float(weight[(codes > MISSING).sum(1) > 1].sum())
    return f"{judged / 60:.1f} minutes" if fps is None else f"{judged:.0f} frames"
