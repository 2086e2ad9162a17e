"""Training and using spotters: systems that find gestures in long recordings. `runs.train` and `runs.test` call this.

A spotter is a system with `task = "spot"`. It learns on windows of recordings, a threshold on its scores is chosen on
people it did not learn from, and it is measured on whole recordings:

    forward(WindowBatch) -> out
    losses(out, batch) -> named terms
    detections(out, batch) -> Detections of each window, in shares of the window
    observe(recordings)        before training, if it has statistics to take; with `progress` if that takes long
    merged(detections)         of one recording, if it has its own way to drop double ones
    whole = True               if it wants recordings whole in a test
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microgesture.core.detections import Detections
from microgesture.core.errors import FormatError, UsageError
from microgesture.core.segment import Timeline
from microgesture.core.suppression import nms
from microgesture.core.track import PoseTrack
from microgesture.datasets.clips import ClipDataset
from microgesture.datasets.pictures import filmed
from microgesture.datasets.recordings import LabelledRecording, RecordingDataset
from microgesture.datasets.windows import Described, Windowing, describe, search_windows, train_windows, whole
from microgesture.evaluation.online import (
    average_precision,
    begin_hits,
    detection_delay,
    f1_at_iou,
    f1_sweep,
    false_alarms,
)

if TYPE_CHECKING:
    from torch import nn

    from microgesture.learning.checkpoint import Saved
    from microgesture.learning.recipe import Recipe

Progress = Callable[[str, float, float], None]
DOUBLE = 0.5
"""IoU above which of two detections of one class the less certain one goes, for spotters with no way of their own."""
THRESHOLDS = np.round(np.arange(0.02, 0.96, 0.01), 2)
IOU = 0.3


def is_spotter(cls: Any) -> bool:
    """Whether a class of systems finds gestures in recordings, rather than naming clips."""
    return getattr(cls, "task", "recognise") == "spot"


def fit_spotter(
    plan: Recipe,
    system: nn.Module,
    folder: Path,
    goes_on: bool,
    tell: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a spotter; returns it and what must be kept beside its weights: windows, threshold, how that was chosen.

    Raises:
        UsageError: the recipe does not fit spotters, or the data leave nobody to choose a threshold on.
        NoInput, FormatError: the data are missing or damaged.
    """
    from microgesture.learning.recognise import fit
    from microgesture.learning.spot import Spot

    if plan.longtail:
        raise UsageError("longtail: spotters take no remedy of the long-tail kit; weigh windows by loading.augment")
    windowing, settings = plan.windowing, plan.training
    assert windowing is not None
    described, judges, how = _prepared(plan, system, not goes_on, progress)
    task = Spot(system, lambda params: plan.optimizer.build(params=params), settings, len(plan.dataset.taxonomy))
    fit(task, train_windows(described, windowing, settings.seed), None, folder, goes_on, tell, progress)
    del described
    return system, _decided(plan, system.eval(), judges, how, tell, progress)


def settle_spotter(
    plan: Recipe,
    system: nn.Module,
    tell: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What must be kept beside weights that were trained elsewhere: statistics are taken and the threshold is chosen on
    the data of a recipe, as `fit_spotter` does.

    Raises:
        UsageError, NoInput, FormatError: see `fit_spotter`.
    """
    described, judges, how = _prepared(plan, system, True, progress)
    del described
    return _decided(plan, system.eval(), judges, how, tell, progress)


def _prepared(
    plan: Recipe, system: nn.Module, observe: bool, progress: Progress | None
) -> tuple[list[Described], Sequence[LabelledRecording], str]:
    """Recordings to learn from, of which the system has taken its statistics, and what `_people` says of the others."""
    windowing, data = plan.windowing, plan.dataset
    assert windowing is not None
    assert isinstance(data, RecordingDataset)
    if windowing.pictures is not None and getattr(system, "whole", False):
        raise UsageError(
            f"loading.pictures: {type(system).__name__} reads recordings whole, without pictures; leave them out"
        )
    learners, judges, how = _people(data, windowing, plan.training.seed)
    described = describe(learners, windowing, rate(windowing, data), progress)
    look: Any = getattr(system, "observe", None)
    if look is not None and observe:  # a resumed run finds its statistics in its checkpoint
        shown = {"progress": progress} if "progress" in inspect.signature(look).parameters else {}
        look((whole(one, windowing) for one in described), **shown)
    return described, judges, how


def _decided(
    plan: Recipe,
    system: nn.Module,
    judges: Sequence[LabelledRecording],
    how: str,
    tell: Callable[[str], None] | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Windows, threshold and how that was chosen, as they are kept beside the weights."""
    windowing = plan.windowing
    assert windowing is not None
    _, truth, found = _searched(system, judges, windowing, rate(windowing, plan.dataset), progress)
    threshold, f1 = choose_threshold(truth, found)
    if tell:
        tell(f"threshold {threshold:g}  F1@{IOU} {f1:.3f} on {how}")
    notes = {"windowing": plan.plain.get("loading") or {}, "threshold": threshold, "threshold_from": how}
    if windowing.features is not None and hasattr(windowing.features, "sha256"):
        notes["features_sha256"] = windowing.features.sha256
    return notes


def rate(windowing: Windowing, data: RecordingDataset | ClipDataset) -> float:
    """Frames per second at which recordings are cut."""
    own = windowing.features.fps if windowing.features is not None else None
    return own or data.fps


def _recordings(data: RecordingDataset, windowing: Windowing, split: str) -> Sequence[LabelledRecording]:
    """The recordings of a split, with their films where windows have pictures."""
    return data.recordings(split) if windowing.pictures is None else filmed(data, split)


def _people(
    data: RecordingDataset, windowing: Windowing, seed: int
) -> tuple[Sequence[LabelledRecording], Sequence[LabelledRecording], str]:
    """Recordings to learn from, recordings to choose a threshold on, and who the latter are in words."""
    learners = _recordings(data, windowing, "train")
    if "val" in data.splits:
        judges = _recordings(data, windowing, "val")
        return learners, judges, f"split 'val', {len(judges)} recordings"
    subject = np.array([r.subject if r.subject >= 0 else -2 - i for i, r in enumerate(learners)])
    people = np.unique(subject)
    if len(people) < 2:
        raise UsageError(
            f"{data.key}: the training recordings show one person; nobody is left to choose a threshold on"
        )
    count = min(len(people) - 1, max(1, round(windowing.holdout * len(people))))
    chosen = np.random.default_rng(seed).permutation(people)[:count]
    aside = np.isin(subject, chosen)
    return (
        [learners[i] for i in np.flatnonzero(~aside)],
        [learners[i] for i in np.flatnonzero(aside)],
        f"{count} of {len(people)} training people, held out",
    )


def search(system: nn.Module, described: Described, windowing: Windowing) -> Detections:
    """All detections in one recording, in seconds, double ones dropped; no threshold."""
    import torch

    fps = described.recording.track.fps
    parts = []
    with torch.inference_mode():
        for places, batch in _batches(system, described, windowing):
            device = next(system.parameters()).device
            out = system(batch.to(device))
            length = batch.xy.shape[2]
            for start, found in zip(places, system.detections(out, batch), strict=True):  # type: ignore[operator]
                parts.append(found.placed(start / fps, length / fps))
    found = Detections.joined(parts)
    end = described.frames / fps
    found = Detections(np.clip(found.start, 0, end), np.clip(found.end, 0, end), found.label, found.score)
    found = found[found.end > found.start]
    merge = getattr(system, "merged", None)
    if merge is not None:
        merged: Detections = merge(found)
        return merged
    return found if getattr(system, "whole", False) else nms(found, DOUBLE)


def _searched(
    system: nn.Module,
    recordings: Sequence[LabelledRecording],
    windowing: Windowing,
    fps: float,
    progress: Progress | None,
) -> tuple[list[str], list[Timeline], list[Detections]]:
    """Names of recordings, what is annotated and what is found; one after the other, since features are large."""
    names, truth, found = [], [], []
    for done, recording in enumerate(recordings, 1):
        (described,) = describe([recording], windowing, fps)
        found.append(search(system, described, windowing))
        truth.append(recording.timeline)
        names.append(recording.name)
        if progress:
            progress("recordings", done, len(recordings))
    return names, truth, found


def _lines(truth: Sequence[Timeline], found: Sequence[Detections], least: float = 0.0) -> list[Timeline]:
    """Detections with a score of `least` or more as timelines like the true ones."""
    return [f.timeline(t.taxonomy, t.duration, least) for f, t in zip(found, truth, strict=True)]


def _batches(system: nn.Module, described: Described, windowing: Windowing) -> Iterator[tuple[list[int], Any]]:
    if getattr(system, "whole", False):
        yield [0], whole(described, windowing)
    else:
        yield from search_windows(described, windowing)


def choose_threshold(truth: Sequence[Timeline], found: Sequence[Detections]) -> tuple[float, float]:
    """The score a detection needs for the best strict F1@0.3 on these recordings, and that F1.

    Raises:
        UsageError: nothing is annotated.
    """
    if not any(map(len, truth)):
        raise UsageError("the recordings to choose a threshold on show no gesture")
    best = (0.5, -1.0)
    for threshold in THRESHOLDS.tolist():
        f1 = f1_at_iou(truth, _lines(truth, found, threshold), IOU).f1
        if f1 > best[1] + 1e-9:
            best = threshold, f1
    return best


@dataclass(frozen=True, eq=False)
class Spotter:
    """A trained spotter at work.

    Args:
        saved: the model.
        windowing: as it was trained.
        threshold: score that makes a detection a segment.
        fps: rate of the recordings it reads.

    Example:
        >>> Spotter.from_pretrained("runs/simulated/dyfadet_sta").timeline(track)  # doctest: +SKIP
    """

    saved: Saved
    windowing: Windowing
    threshold: float
    fps: float

    @classmethod
    def from_pretrained(cls, path_or_name: str | Path) -> Spotter:
        """Load a spotter.

        Raises:
            NoInput: there is no such model.
            FormatError: it is damaged, finds nothing in recordings, or its features have changed.
        """
        from microgesture.learning.checkpoint import from_pretrained

        return cls.of(from_pretrained(path_or_name))

    @classmethod
    def of(cls, saved: Saved) -> Spotter:
        """A spotter that is loaded already."""
        from microgesture.learning.checkpoint import CONFIG
        from microgesture.learning.recipe import build_windowing

        file = saved.folder / CONFIG
        if not is_spotter(type(saved.system)):
            raise FormatError(
                file, f"is a {type(saved.system).__name__}, which names clips", expected="a system that finds gestures",
                remedy="name a model trained by a recipe for long recordings, e.g. recipes/simulated/dyfadet_sta.yaml",
            )  # fmt: skip
        try:
            windowing = build_windowing(saved.config["windowing"], file)
            threshold = float(saved.config["threshold"])
        except (KeyError, TypeError, ValueError) as error:
            remedy = "train the spotter again, or import its weights with the recipe of its data"
            raise FormatError(file, f"lacks or misstates {error}", remedy=remedy) from error
        stated = saved.config.get("features_sha256")
        if stated is not None and getattr(windowing.features, "sha256", None) != stated:
            raise FormatError(
                file, "was trained on features of a model that is not there any more",
                expected=f"a model with SHA-256 {stated[:12]}", remedy="train the spotter again",
            )  # fmt: skip
        return cls(saved, windowing, threshold, saved.facts.fps)

    def detections(self, track: PoseTrack, name: str = "recording", film: Path | None = None) -> Detections:
        """Scored candidates in a recording, in seconds from its first frame; double ones dropped, no threshold.

        Args:
            film: its pictures, from the first frame of the track on, for spotters that read them.

        Raises:
            UsageError: the spotter reads pictures, and there is no film.
            NoInput, NotPermitted, FormatError: the film is missing or damaged.
        """
        moved = track.project(self.saved.facts.skeleton)
        empty = Timeline((), self.saved.facts.taxonomy, 0.0)
        if not len(moved):
            return Detections.none()
        recording = LabelledRecording(name, moved, empty, film=film)
        (described,) = describe([recording], self.windowing, self.fps)
        return search(self.saved.system, described, self.windowing)

    def timeline(
        self, track: PoseTrack, threshold: float | None = None, *, name: str = "recording", film: Path | None = None
    ) -> Timeline:
        """The gestures of a recording, at the threshold chosen in training if no other is given; see `detections`."""
        found = self.detections(track, name, film)
        least = self.threshold if threshold is None else threshold
        return found.timeline(self.saved.facts.taxonomy, track.duration, least, track.person)


def online_metrics(
    truth: Sequence[Timeline], found: Sequence[Detections], threshold: float, slack: float | None = None
) -> dict[str, Any]:
    """The field's figures: F1@0.3 strict and as released, mAP, delay, false alarms; chance has no F1 to speak of.

    Where a class is no micro-gesture, F1@0.3 is also given without it, as some count.

    mAP reads all detections, everything else those that reach the threshold. The delay is that of an offline result:
    from the true to the found begin of a gesture.

    Args:
        slack: seconds, for data sets in which a gesture counts as found by its begin, see `begin_hits`.
    """
    lines, every = _lines(truth, found, threshold), _lines(truth, found)
    strict, released = f1_at_iou(truth, lines, IOU), f1_at_iou(truth, lines, IOU, "smg2023")
    table = average_precision(truth, every, (0.3, 0.5))
    alarms = false_alarms(truth, lines, illustrative=True)
    delay = detection_delay(truth, lines, iou=IOU)
    return {
        "f1@0.3": strict.f1,
        "recall@0.3": strict.recall,
        "precision@0.3": strict.precision,
        "f1@0.3_smg2023": released.f1,
        **_without_illustrative(truth, lines),
        "f1_by_iou": {f"{iou:g}": value for iou, value in f1_sweep(truth, lines).items()},
        "map@0.3": float(np.nanmean(table[0])),
        "map@0.5": float(np.nanmean(table[1])),
        "delay_median": delay.median,
        "wrong_per_minute": strict.false_alarms_per_minute,
        "false_alarms_per_minute": alarms.per_minute,
        "true": strict.truth,
        "found": strict.predicted,
        "minutes": strict.minutes,
        "threshold": threshold,
        "f1@0.3_per_recording": _per_recording(truth, lines),
        **({} if slack is None else _by_begin(truth, lines, slack)),
    }


def _without_illustrative(truth: Sequence[Timeline], lines: Sequence[Timeline]) -> dict[str, Any]:
    if all(line.taxonomy.illustrative is None for line in truth):
        return {}
    return {"f1@0.3_without_illustrative": f1_at_iou(truth, lines, IOU, illustrative=False).f1}


def _by_begin(truth: Sequence[Timeline], lines: Sequence[Timeline], slack: float) -> dict[str, Any]:
    by = begin_hits(truth, lines, slack)
    wrong = by.predicted - by.hits
    return {"begin": {"detection_rate": by.recall, "false_positives": wrong / by.truth if by.truth else None}}


def _per_recording(truth: Sequence[Timeline], lines: Sequence[Timeline]) -> dict[str, Any]:
    """Spread over recordings, and an interval of the pooled F1 from drawing recordings anew."""
    each = [f1_at_iou([t], [p], IOU) for t, p in zip(truth, lines, strict=True)]
    counts: NDArray[np.float64] = np.array([(s.hits, s.truth, s.predicted) for s in each], np.float64)
    draw = np.random.default_rng(0).integers(len(counts), size=(2000, len(counts)))
    pooled = counts[draw].sum(1)
    f1 = 2 * pooled[:, 0] / np.maximum(pooled[:, 1] + pooled[:, 2], 1)
    low, high = np.quantile(f1, [0.025, 0.975])
    scores = [s.f1 for s in each]
    return {"least": min(scores), "most": max(scores), "bootstrap95": [float(low), float(high)]}


@dataclass(frozen=True, eq=False)
class Tested:
    """A spotter measured on a split: names of the recordings, what was found in each, and the figures."""

    names: list[str]
    lines: list[Timeline]
    metrics: dict[str, Any]


def measure_spotter(plan: Recipe, saved: Saved, split: str, progress: Progress | None = None) -> Tested:
    """Search the recordings of a split and compare with what is annotated."""
    spotter = Spotter.of(saved)
    data = plan.dataset
    assert isinstance(data, RecordingDataset)
    recordings = _recordings(data, spotter.windowing, split)
    names, truth, found = _searched(saved.system, recordings, spotter.windowing, spotter.fps, progress)
    metrics = online_metrics(truth, found, spotter.threshold, getattr(data, "slack", None))
    return Tested(names, _lines(truth, found, spotter.threshold), metrics)
