"""Data sets made alike, so that one system can read several: joints, frame rate, coordinates and labels.

    data:
      class_path: microgesture.datasets.harmonised.Harmonised
      init_args:
        labels: unified
        data: {class_path: microgesture.datasets.smg.SMG}

`Harmonised` wraps one data set, `Together` puts several of them into one training set. The origin at the neck and the
shoulder width as unit come later and for all data alike (`core.normalise`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import skeleton
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import BODY_LEVEL, MA52_BODY, TAXONOMIES, UNIFIED, UNIFIED_TAXONOMY, to_unified
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.core.track import project
from microgesture.datasets.clips import ClipDataset, Floats, Ids, LabelledClips
from microgesture.datasets.sampling import at_times
from microgesture.datasets.store import RECORDINGS, StoredClips

Rates = NDArray[np.float64]

UNSEEN_IN_SMG = ("r_eye", "l_eye", "r_ear", "l_ear")
"""Joints of `upper12` that Kinect does not give."""


@dataclass(frozen=True, eq=False)
class ClipView:
    """Clips of another source, chosen, and changed when they are read. The same reading interface as `Clips`.

    Args:
        base: where the clips come from.
        rows: int64 (N,), which of them.
        rate: float64 (N,), frames per second of the chosen clips as the base gives them.
        name: what was chosen, for messages.
        target: layout the clips are given in; that of the base if None.
        fps: rate the clips are given in; 0 = their own.
        coordinates: C of what is given, 2 drops the depth of three; 0 = that of the base.
        relabel: int64 (K,), new id of every label of the base, -1 where there is none; with it `space`.
        hide: joints, by their index in the layout, that are given as missing.
    """

    base: LabelledClips
    rows: Ids
    rate: Rates
    name: str
    target: Skeleton | None = None
    fps: float = 0.0
    coordinates: int = 0
    relabel: Ids | None = None
    space: Taxonomy | None = None
    hide: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.rows):
            remedy = "check the split, the labels and the subjects asked for"
            raise FormatError(self.source, "holds no clips", expected="at least one", remedy=remedy)

    @property
    def source(self) -> str:
        """Where the clips come from, for messages."""
        return f"{self.base.source}, {self.name}"

    @property
    def skeleton(self) -> Skeleton:
        """Layout the clips are given in."""
        return self.target or self.base.skeleton

    @property
    def taxonomy(self) -> Taxonomy:
        """Label space of the clips."""
        return self.space or self.base.taxonomy

    @cached_property
    def label(self) -> Ids:
        """(N,) class ids; -1 where there is none."""
        label = self.base.label[self.rows]
        return label if self.relabel is None else np.where(label < 0, -1, self.relabel[label])

    @cached_property
    def subject(self) -> Ids:
        """(N,) who moves; -1 = unknown."""
        return self.base.subject[self.rows]

    @property
    def soft(self) -> Floats | None:
        """Soft targets of the base; none in another label space."""
        return None if self.base.soft is None or self.relabel is not None else self.base.soft[self.rows]

    @property
    def names(self) -> list[str]:
        """The data set's own names of the clips."""
        names = self.base.names
        return [names[i] for i in self.rows]

    @property
    def counts(self) -> Ids:
        """Clips per class, (K,)."""
        return np.bincount(self.label[self.label >= 0], minlength=len(self.taxonomy)).astype(np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[Floats, Floats]:
        """Coordinates (M, T, V, C) and scores (M, T, V) of clip i."""
        xy, score = self.base[int(self.rows[i])]
        if self.coordinates:
            xy = xy[..., : self.coordinates]
        if self.skeleton != self.base.skeleton:
            xy, score = project(xy, score, self.base.skeleton, self.skeleton)
        if self.hide:
            seen = np.ones(len(self.skeleton), np.float32)
            seen[list(self.hide)] = 0
            xy, score = xy * seen[:, None], score * seen
        if self.fps and not np.isclose(self.fps, self.rate[i]):
            step = self.rate[i] / self.fps
            count = int((xy.shape[1] - 1) / step + 1e-6) + 1
            xy, score = at_times(xy, score, np.minimum(np.arange(count) * step, xy.shape[1] - 1))
        return xy, score

    def __iter__(self) -> Iterator[tuple[Floats, Floats]]:
        return (self[i] for i in range(len(self)))

    def where(self, keep: NDArray[np.bool_], name: str) -> ClipView:
        """The clips marked in `keep` (N,); `name` is added to the source."""
        return replace(self, rows=self.rows[keep], rate=self.rate[keep], name=f"{self.name}, {name}")


@dataclass(frozen=True, eq=False)
class JoinedClips:
    """The clips of several sources, one after the other. The same reading interface as `Clips`.

    Args:
        parts: of one layout.
        shift: added to the labels of each part.
        space: label space of the result.
        fps: rate of parts that do not state their own.
        same_people: a subject has the same id in all parts, as in splits of one data set.
    """

    parts: tuple[LabelledClips, ...]
    shift: tuple[int, ...]
    space: Taxonomy
    fps: float
    same_people: bool = False

    @property
    def skeleton(self) -> Skeleton:
        """Layout the clips are given in."""
        return self.parts[0].skeleton

    @property
    def taxonomy(self) -> Taxonomy:
        """Label space of the clips."""
        return self.space

    @property
    def source(self) -> str:
        """Where the clips come from, for messages."""
        return " and ".join(part.source for part in self.parts)

    @cached_property
    def part(self) -> Ids:
        """(N,) number of the source each clip comes from."""
        return np.repeat(np.arange(len(self.parts)), [len(part) for part in self.parts])

    @cached_property
    def label(self) -> Ids:
        """(N,) class ids; -1 where there is none."""
        parts = zip(self.parts, self.shift, strict=True)
        return np.concatenate([np.where(p.label < 0, -1, p.label + shift) for p, shift in parts])

    @cached_property
    def subject(self) -> Ids:
        """(N,) who moves, other people in each source getting other numbers; -1 = unknown."""
        found, first = [], 0
        for part in self.parts:
            found.append(np.where(part.subject < 0, -1, part.subject + first))
            first += 0 if self.same_people else max(int(part.subject.max()) + 1, 0)
        return np.concatenate(found)

    @cached_property
    def rate(self) -> Rates:
        """(N,) frames per second of every clip."""
        return np.concatenate([view(part, self.fps, "whole").rate for part in self.parts])

    @property
    def soft(self) -> None:
        """No soft targets."""
        return None

    @property
    def names(self) -> list[str]:
        """The data sets' own names of the clips."""
        return [name for part in self.parts for name in part.names]

    @property
    def counts(self) -> Ids:
        """Clips per class, (K,)."""
        return np.bincount(self.label[self.label >= 0], minlength=len(self.space)).astype(np.int64)

    @cached_property
    def _first(self) -> Ids:
        return np.concatenate(([0], np.cumsum([len(part) for part in self.parts])))

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, i: int) -> tuple[Floats, Floats]:
        """Coordinates (M, T, V, C) and scores (M, T, V) of clip i."""
        part = int(self.part[i])
        return self.parts[part][int(i - self._first[part])]

    def __iter__(self) -> Iterator[tuple[Floats, Floats]]:
        return (self[i] for i in range(len(self)))

    def where(self, keep: NDArray[np.bool_], name: str) -> ClipView:
        """The clips marked in `keep` (N,); `name` is added to the source."""
        return ClipView(self, np.flatnonzero(keep), self.rate[keep], name)


def view(clips: LabelledClips, fps: float, name: str, rows: Ids | None = None) -> ClipView:
    """All clips, or those of `rows`, as a view.

    Args:
        fps: rate of clips that do not state their own; those of a store and of views do.
    """
    if isinstance(clips, StoredClips):
        rate = clips.store.column(RECORDINGS, "fps")[clips.recording]
    elif isinstance(clips, ClipView):
        rate = np.full(len(clips), clips.fps) if clips.fps else clips.rate
    else:
        rate = clips.rate if isinstance(clips, JoinedClips) else np.full(len(clips), fps)
    rows = np.arange(len(clips)) if rows is None else rows
    return ClipView(clips, rows, np.asarray(rate, np.float64)[rows], name)


class GivesClips(Protocol):
    """What a recipe may nest in a data set: `ClipDataset`, said so that the recipe's parser understands it.

    The parser compares signatures exactly and would refuse data sets whose `clips` return more than is asked for.
    """

    def clips(self, split: str) -> Any: ...


class Wrapped:
    """A data set around another one: states the same facts and gives the same clips, until a subclass changes some.

    Args:
        data: the data set inside; a recipe writes it as class_path and init_args.

    Raises:
        UsageError: `data` is no data set of clips.
    """

    def __init__(self, data: GivesClips) -> None:
        if not isinstance(data, ClipDataset):
            raise UsageError(f"{type(data).__name__} is no dataset of clips; name one by class_path and init_args")
        self.data: ClipDataset = data
        self.key, self.skeleton, self.taxonomy, self.fps = data.key, data.skeleton, data.taxonomy, data.fps
        self.persons, self.coordinates = data.persons, data.coordinates
        self.splits: tuple[str, ...] = data.splits

    @property
    def simulated(self) -> bool:
        """Whether the data were made by a simulator."""
        return is_simulated(self.data)

    @property
    def protocol(self) -> str | None:
        """How the data inside are divided into splits, for records."""
        return getattr(self.data, "protocol", None)

    @property
    def unified_ids(self) -> tuple[int, ...]:
        """Unified classes that the data inside can show."""
        return unified_ids(self.data)

    def withheld(self, split: str) -> bool:
        """Whether the data set withholds the labels of a split."""
        inside = getattr(self.data, "withheld", None)
        return inside is not None and bool(inside(split))

    def clips(self, split: str) -> LabelledClips:
        """The clips of a split."""
        return self.data.clips(split)


def is_simulated(data: ClipDataset) -> bool:
    """Whether the clips of a data set were made by a simulator."""
    return bool(getattr(data, "simulated", data.key.startswith("simulated")))


class Harmonised(Wrapped):
    """A data set in the joints, rate, coordinates and labels that others share.

    Args:
        data: the data set inside.
        joints: a layout of `core.layouts`: `"upper12"` is what iMiGUE, SMG and MA-52 have in common, `"imigue22"`
            besides the finger tips that iMiGUE and MA-52 have. Joints the data lack are missing; SMG's head stands
            for the nose.
        fps: every clip is resampled to this rate, from its recording's own where the data state it.
        labels: `"own"` classes, the `"unified"` ones (U0-U24) or the seven of the `"body"` level. Clips without a
            class there are left out.
        illustrative: keep the clips that show no micro-gesture; without them a figure speaks of micro-gestures alone.
        loose: count classes that mean a unified one only roughly, too.
        coordinates: 2 drops the depth of three; 0 keeps what there is.
        hide: joints to give as missing, so that a model does not come to rely on what the other data lack, e.g.
            `UNSEEN_IN_SMG`.

    Raises:
        UsageError: an argument makes no sense for these data.

    Example:
        >>> from microgesture.datasets.imigue import IMiGUE
        >>> alike = Harmonised(IMiGUE(), labels="unified")
        >>> alike.skeleton.name, alike.taxonomy.key, alike.unified_ids[-3:]
        ('upper12', 'unified', (22, 23, 24))
    """

    def __init__(
        self,
        data: GivesClips,
        joints: str = "upper12",
        fps: float = 25.0,
        labels: Literal["own", "unified", "body"] = "own",
        illustrative: bool = True,
        loose: bool = False,
        coordinates: Literal[0, 2, 3] = 0,
        hide: Sequence[str] = (),
    ) -> None:
        super().__init__(data)
        if not 0 < fps <= 1000:
            raise UsageError(f"fps is {fps}; it must lie in 0..1000")
        if coordinates > self.data.coordinates:
            raise UsageError(f"coordinates is {coordinates}, but {self.key} has {self.data.coordinates}")
        if loose and labels != "unified":
            raise UsageError(f"loose does nothing for labels '{labels}'; it belongs to 'unified'")
        self.skeleton, self.fps, self.illustrative = skeleton(joints), fps, illustrative
        self.coordinates = coordinates or self.data.coordinates
        unknown = [joint for joint in hide if joint not in self.skeleton]
        if unknown:
            known = ", ".join(self.skeleton.joints)
            raise UsageError(f"hide names {', '.join(unknown)}; the joints of {joints} are {known}")
        self._hide = tuple(self.skeleton.index(joint) for joint in hide)
        self._relabel: Ids | None = None
        if labels != "own":
            table, self.taxonomy = _table(self.data, labels, loose)
            self._relabel = np.array(table, np.int64)

    @property
    def unified_ids(self) -> tuple[int, ...]:
        """Unified classes that the data inside can show."""
        inside = unified_ids(self.data) if self._relabel is None else self._shown
        return inside if self.illustrative else tuple(i for i in inside if i != UNIFIED_TAXONOMY.illustrative)

    @property
    def _shown(self) -> tuple[int, ...]:
        if self.taxonomy.key != UNIFIED_TAXONOMY.key or self._relabel is None:
            return ()
        return tuple(sorted({int(i) for i in self._relabel if i >= 0}))

    def clips(self, split: str) -> ClipView:
        """The clips of a split, those without a class in the label space left out.

        Raises:
            NoInput, FormatError, UsageError: see the data set inside; no clip is left.
        """
        inside = self.data.clips(split)
        keep = np.ones(len(inside), np.bool_)
        if self._relabel is not None:
            keep = (inside.label >= 0) & (self._relabel[np.maximum(inside.label, 0)] >= 0)
        idle = self.data.taxonomy.illustrative
        if not self.illustrative and idle is not None:
            keep &= inside.label != idle
        chosen = view(inside, self.data.fps, f"harmonised to {self.skeleton.name}", np.flatnonzero(keep))
        return replace(
            chosen,
            target=self.skeleton,
            fps=self.fps,
            coordinates=self.coordinates if self.coordinates != self.data.coordinates else 0,
            relabel=self._relabel,
            space=None if self._relabel is None else self.taxonomy,
            hide=self._hide,
        )


def unified_ids(data: ClipDataset) -> tuple[int, ...]:
    """Unified classes that a data set can show; none if it is outside of their map."""
    stated = getattr(data, "unified_ids", None)
    if stated is not None:
        return tuple(stated)
    if data.taxonomy.key not in TAXONOMIES:
        return ()
    return tuple(sorted({i for i in to_unified(data.taxonomy.key) if i >= 0}))


def _table(data: ClipDataset, labels: str, loose: bool) -> tuple[Sequence[int], Taxonomy]:
    """New id of every class of a data set, and the label space of the new ids."""
    key = data.taxonomy.key
    if labels == "body":
        if key not in BODY_LEVEL:
            raise UsageError(f"no body level is known for the classes of '{key}'; known: {', '.join(BODY_LEVEL)}")
        return BODY_LEVEL[key], MA52_BODY
    row = list(to_unified(key)) if key in TAXONOMIES else [-1] * len(data.taxonomy)
    if loose:
        for unified in UNIFIED:
            for id in unified.ids(key, loose=True):
                row[id] = unified.id
    if max(row) < 0:
        raise UsageError(f"no class of '{key}' is among the unified classes: use labels 'own'")
    return row, UNIFIED_TAXONOMY


@dataclass(frozen=True)
class Head:
    """A data set's place in the label space of `Together(heads=True)`.

    Args:
        first, classes: its own classes are `first` to `first + classes`.
        to_unified: (classes,) unified id of each, -1 where there is none.
    """

    key: str
    first: int
    classes: int
    to_unified: tuple[int, ...]


class Together(Wrapped):
    """Several data sets as one.

    Without heads all must have the same labels: wrap them as `Harmonised(labels="unified")`, say. With heads the
    labels are the classes of every data set one behind the other, and the unified classes behind them; `learning.
    transfer` trains these so that only the classes of a clip's own data set, and the unified ones, compete.
    `microgesture train` treats them as one label space.

    Args:
        data: data sets alike in joints, rate, persons and coordinates.
        heads: see above.

    Raises:
        UsageError: the data sets do not fit together.
    """

    def __init__(self, data: Sequence[GivesClips], heads: bool = False) -> None:
        if len(data) < 2:
            raise UsageError(f"{len(data)} data set is not several; name two or more under data")
        super().__init__(data[0])
        self.parts: tuple[ClipDataset, ...] = tuple(Wrapped(each).data for each in data)
        keys = [part.key for part in self.parts]
        if len(set(keys)) < len(keys):
            raise UsageError(f"a data set is named twice: {', '.join(keys)}")
        for name, fact in (
            ("joints", lambda d: d.skeleton.name), ("fps", lambda d: d.fps), ("persons", lambda d: d.persons),
            ("coordinates", lambda d: d.coordinates),
        ):  # fmt: skip
            values = [fact(part) for part in self.parts]  # type: ignore[no-untyped-call]
            if len(set(values)) > 1:
                found = ", ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
                raise UsageError(f"{name} differ ({found}): wrap them in {Harmonised.__module__}.Harmonised")
        self.key = "+".join(keys)
        self.splits = tuple(s for s in self.parts[0].splits if all(s in part.splits for part in self.parts))
        self.heads: tuple[Head, ...] = ()
        if heads:
            self.heads, self.taxonomy = _heads(self.parts)
        elif len({part.taxonomy.digest for part in self.parts}) > 1:
            found = ", ".join(part.taxonomy.key for part in self.parts)
            raise UsageError(f"labels differ ({found}): wrap them as Harmonised(labels='unified'), or set heads: true")

    @property
    def simulated(self) -> bool:
        """Whether any of the data were made by a simulator."""
        return any(map(is_simulated, self.parts))

    @property
    def unified_ids(self) -> tuple[int, ...]:
        """Unified classes that any of the data sets can show."""
        return tuple(sorted({i for part in self.parts for i in unified_ids(part)}))

    def clips(self, split: str) -> JoinedClips:
        """The clips of a split of all data sets, in their order.

        Raises:
            UsageError: a data set has no such split.
            NoInput, FormatError: see the data sets.
        """
        if split not in self.splits:
            raise UsageError(f"{self.key} has no split '{split}'; choose {', '.join(self.splits)}")
        shift = tuple(head.first for head in self.heads) or (0,) * len(self.parts)
        return JoinedClips(tuple(part.clips(split) for part in self.parts), shift, self.taxonomy, self.fps)


def _heads(parts: Sequence[ClipDataset]) -> tuple[tuple[Head, ...], Taxonomy]:
    heads, names, first = [], [], 0
    for part in parts:
        own = part.taxonomy
        table = to_unified(own.key) if own.key in TAXONOMIES else (-1,) * len(own)
        heads.append(Head(part.key, first, len(own), table))
        names += [(f"{part.key}: {label.name}", label.group) for label in own]
        first += len(own)
    names += [(f"unified: {label.name}", label.group) for label in UNIFIED_TAXONOMY]
    labels = tuple(Label(i, name, group) for i, (name, group) in enumerate(names))
    groups = tuple(dict.fromkeys(group for _, group in names if group != "none"))
    key = "+".join([*(part.key for part in parts), UNIFIED_TAXONOMY.key])
    return tuple(heads), Taxonomy(key, f"Heads for {key}", labels, groups)


def own_head(head: Head, p: Any) -> Any:
    """Probabilities (N, K) of a model with heads -> those of one data set's own classes, (N, classes)."""
    own = p[:, head.first : head.first + head.classes]
    return own / own.sum(1, keepdims=True)
