"""From probabilities over time to segments, while time goes on: `core.decode` with a fixed lag."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from microgesture.core.decode import DecodeSettings, decode
from microgesture.core.errors import UsageError
from microgesture.core.segment import Segment
from microgesture.core.taxonomy import Taxonomy

Array = NDArray[np.float32]


class FixedLagDecoder:
    """Decodes what is remembered anew with every step, and settles what ended `lag` seconds ago.

    A segment that ends at t is settled, or not, as soon as probabilities up to t + `lag` are known, and never taken
    back; so nothing later than that changes it. With a lag as long as the recording, `close` gives exactly what
    `core.decode` gives; with a shorter one, what follows later can no longer lengthen a segment, join it to its
    successor or outdo it. A segment that was settled already is not reported again: if it turns out longer, the rest
    is, where it is the larger part.

    Args:
        taxonomy, settings: see `core.decode`.
        step: seconds between two probabilities.
        lag: seconds; where not given, the gap over which segments are joined, the smoothing, and one step. Infinity
            waits for `close`.
        memory: seconds remembered besides the lag; where not given, twice the longest segment. An infinite lag
            remembers everything.

    Raises:
        UsageError: the lag is negative.

    Example:
        >>> from microgesture.core.taxonomies import SMG
        >>> decoder = FixedLagDecoder(SMG, DecodeSettings(), 0.25)
        >>> p = np.zeros((40, len(SMG)), np.float32); p[10:20, 3] = 0.9
        >>> found = [(i, s.label, s.start, s.end) for i in range(40) for s in decoder.push(i / 4, p[i])]
        >>> found
        [(24, 3, 2.375, 4.875)]
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        settings: DecodeSettings | None = None,
        step: float = 0.25,
        lag: float | None = None,
        memory: float | None = None,
    ) -> None:
        self.taxonomy, self.settings, self.step = taxonomy, settings or DecodeSettings(), step
        s = self.settings
        self.lag = s.gap + s.smooth / 2 + step if lag is None else lag
        if not self.lag >= 0:
            raise UsageError(f"lag is {self.lag:g} s; it must be 0 or more")
        rows = (2 * s.longest if memory is None else memory) + self.lag
        self._rows = int(rows / step) + 2 if np.isfinite(rows) else None
        group = np.array([taxonomy.group_of(k) for k in range(len(taxonomy))])
        same = (group[:, None] == group) & (group >= 0)
        everyone = np.ones_like(same)
        self._rivals = {"none": ~everyone, "group": same, "all": everyone}[s.compete]
        self.reset()

    def reset(self) -> None:
        """The next probabilities are the first of a recording."""
        self._times: deque[float] = deque(maxlen=self._rows)
        self._p: deque[Array] = deque(maxlen=self._rows)
        self._settled = -np.inf
        self._told: list[Segment] = []  # those that what is remembered can still bring up

    def push(self, time: float, p: Array) -> list[Segment]:
        """Probabilities (K,) at `time`, one step after those before; the segments that are settled now."""
        self._times.append(time)
        self._p.append(p)
        if not np.isfinite(self.lag):
            return []
        now = time + self.step / 2
        return self._settle(now - self.lag, np.inf)

    def open(self) -> list[Segment]:
        """Segments that are not settled: those that go on, or ended less than the lag ago."""
        return [s for s in self._decoded(np.inf) if s.end > self._settled and self._fresh(s)]

    def close(self, duration: float) -> list[Segment]:
        """The recording has ended after `duration` seconds: the segments left. Then everything begins anew."""
        found = self._settle(np.inf, duration)
        self.reset()
        return found

    def _decoded(self, duration: float) -> tuple[Segment, ...]:
        if not self._times:
            return ()
        return decode(np.array(self._times), np.stack(self._p), self.taxonomy, duration, self.settings)

    def _settle(self, until: float, duration: float) -> list[Segment]:
        due = [s for s in self._decoded(duration) if self._settled < s.end <= until]
        settled = [rest for s in due if (rest := self._fresh(s)) is not None]
        self._settled = max(self._settled, until)
        if self._times:
            self._told = [s for s in self._told + settled if s.end > self._times[0]]
        return settled

    def _fresh(self, s: Segment) -> Segment | None:
        """What of a segment is news beside those told: all, the rest behind them, or nothing."""
        start = s.start
        for told in self._told:
            if told.label == s.label and told.end > start and told.start < s.end:
                start = told.end
            elif self._rivals[told.label, s.label] and told.iou(s) > self.settings.overlap:
                return None
        if start == s.start:
            return s
        if s.end - start < max(self.settings.shortest, s.duration / 2):
            return None
        return Segment(start, s.end, s.label, s.score, s.person)
