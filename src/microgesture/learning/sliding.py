"""Finding gestures in long recordings with a recogniser of clips: the sliding window that every spotter is measured by.

Windows as long as a typical training clip move over the recording; their class probabilities are decoded as in
`core.decode`. A recogniser trained on clips knows no background, so the threshold decides what is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from microgesture.core.decode import decode
from microgesture.core.errors import UsageError
from microgesture.core.segment import Timeline
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.core.track import project
from microgesture.datasets.store import RECORDINGS, StoredDataset
from microgesture.learning.motions import untuned

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from microgesture.datasets.loading import Loading

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
OVERLAP = 4
"""Windows that cover a moment."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows over one recording, with the reading interface of `LabelledClips`.

    Args:
        xy, score: (M, T, V, C) and (M, T, V) of the whole recording.
        starts: int64 (N,), first frame of each window.
        length: frames per window.
    """

    xy: Floats
    score: Floats
    starts: Ids
    length: int
    skeleton: Skeleton
    taxonomy: Taxonomy
    source: str

    soft = None

    @property
    def label(self) -> Ids:
        return np.full(len(self), -1, np.int64)

    subject = label

    @property
    def names(self) -> list[str]:
        return [str(start) for start in self.starts]

    @property
    def counts(self) -> Ids:
        return np.zeros(len(self.taxonomy), np.int64)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> tuple[Floats, Floats]:
        frames = slice(self.starts[i], self.starts[i] + self.length)
        return self.xy[:, frames], self.score[:, frames]


def detect(
    system: nn.Module,
    dataset: StoredDataset,
    split: str,
    loading: Loading,
    *,
    table: NDArray[np.float32] | None = None,
    threshold: float = 0.3,
    seconds: float | None = None,
    progress: Callable[[str, float, float], None] | None = None,
) -> dict[str, Timeline]:
    """Gestures in every recording of a split.

    Args:
        table: (motions, K) if the system predicts motions.
        threshold: probability a gesture must reach.
        seconds: length of the windows; the median of the training clips if not given.

    Returns:
        name of the recording -> its timeline.

    Raises:
        UsageError: the split has no recordings, or the length makes no sense.
    """
    from microgesture.learning.runs import predict

    store = dataset.store
    if seconds is None:
        rates = store.of_clips("fps")
        clips = dataset.clips("train")
        seconds = float(np.median(clips.length / rates[clips.rows]))
    if not seconds > 0:
        raise UsageError(f"windows of {seconds} seconds make no sense")
    rows = store.recordings.to_pydict()
    chosen = [i for i, s in enumerate(rows["split"]) if s == split]
    if not chosen:
        raise UsageError(f"{dataset.key} has no recordings in split '{split}'")
    loading = replace(loading, views=1)
    found: dict[str, Timeline] = {}
    for done, i in enumerate(chosen, 1):
        fps, name = float(rows["fps"][i]), str(rows["name"][i])
        xy, score = project(*store.frames(i), store.skeleton, dataset.skeleton)
        length = max(1, min(round(seconds * fps), xy.shape[1]))
        starts = np.arange(0, max(1, xy.shape[1] - length + 1), max(1, length // OVERLAP), dtype=np.int64)
        windows = Windows(xy, score, starts, length, dataset.skeleton, dataset.taxonomy, f"{store.path}, {name}")
        p = predict(system, windows, loading, table).astype(np.float32)
        empty = [not score[:, s : s + length].any() for s in starts]
        p[empty] = 0  # nobody is there
        duration = xy.shape[1] / fps
        segments = decode((starts + length / 2) / fps, p, dataset.taxonomy, duration, untuned(seconds, threshold))
        found[name] = Timeline(segments, dataset.taxonomy, duration)
        if progress:
            progress("windows", done, len(chosen))
    return found


def fps_of(dataset: StoredDataset) -> dict[str, float]:
    """Frames per second of every recording."""
    names = dataset.store.recordings.column("name").to_pylist()
    return dict(zip(names, dataset.store.column(RECORDINGS, "fps").tolist(), strict=True))
