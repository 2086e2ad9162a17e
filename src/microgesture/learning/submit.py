"""From a trained system to the file a challenge expects."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from microgesture.core.errors import UsageError
from microgesture.datasets.store import StoredDataset
from microgesture.evaluation.submissions import CHALLENGES, ClipPredictions, Detections, write_submission
from microgesture.learning.runs import load, predict
from microgesture.learning.sliding import detect, fps_of

_FILMS = ("mac2024", "codabench-9066")
"""Challenges whose clips are named by their files."""


def submit(
    run: str | os.PathLike[str],
    challenge: str,
    *,
    split: str = "test",
    overrides: tuple[str, ...] = (),
    weights: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    threshold: float = 0.3,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[str, float, float], None] | None = None,
) -> Path:
    """Predict a split and write the challenge's file, checked before it is packed.

    Args:
        run: see `runs.test`.
        challenge: a key of `submissions.CHALLENGES`.
        out: folder of the file; the run if not given.
        threshold: probability a gesture must reach, for challenges on long recordings.
        options: of the challenge, see `submissions.Options`.

    Raises:
        UsageError: no such challenge, or the data set does not fit it.
        FormatError: what was made is not what the challenge accepts; nothing is written.
    """
    if challenge not in CHALLENGES:
        raise UsageError(f"no challenge '{challenge}'; known: {', '.join(CHALLENGES)}")
    loaded = load(run, overrides, weights)
    dataset, system = loaded.plan.dataset, loaded.saved.system
    made: ClipPredictions | Detections
    if CHALLENGES[challenge].kind is ClipPredictions:
        clips = dataset.clips(split)
        table = predict(system, clips, loaded.plan.loading, loaded.table, progress)
        names = [f"{n}.mp4" if challenge in _FILMS and not n.endswith(".mp4") else n for n in clips.names]
        made = ClipPredictions(names, table, loaded.facts.taxonomy)
    else:
        if not isinstance(dataset, StoredDataset):
            raise UsageError(f"{challenge} is about long recordings; '{dataset.key}' has single clips")
        lines = detect(
            system, dataset, split, loaded.plan.loading, table=loaded.table, threshold=threshold, progress=progress
        )
        made = Detections(lines, {name: rate for name, rate in fps_of(dataset).items() if name in lines})
    return write_submission(challenge, made, out or loaded.saved.folder, **(options or {}))
