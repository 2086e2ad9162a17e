"""`Taxonomy`: a label space, and the maps between label spaces. The class tables are in `taxonomies.py`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Label:
    """One class.

    Args:
        id: 0-based id, the index of the class everywhere in this package.
        name: name as the data set prints it.
        group: body group, e.g. `"Head-Hand"`; `"none"` for non-micro-gestures.
        aliases: other names; accepted by `Taxonomy.find`.
        code: the paper's own code (`"C17"`, `"B2"`), or empty.
        train_count: clips in the published training list; 0 if unknown.
        name_uncertain: the published sources contradict each other about the name.
    """

    id: int
    name: str
    group: str
    aliases: tuple[str, ...] = ()
    code: str = ""
    train_count: int = 0
    name_uncertain: bool = False


@dataclass(frozen=True)
class Taxonomy:
    """The classes of a data set.

    Args:
        key: `"imigue"`, `"smg"`, `"ma52"`.
        title: full name.
        labels: in the order of their ids.
        groups: body groups in the order of their ids.
        illustrative: id of the class of non-micro-gestures, or None.
    """

    key: str
    title: str
    labels: tuple[Label, ...]
    groups: tuple[str, ...]
    illustrative: int | None = None

    def __post_init__(self) -> None:
        for i, label in enumerate(self.labels):
            if label.id != i:
                raise ValueError(f"taxonomy '{self.key}': label '{label.name}' has id {label.id} at place {i}")

    def to_plain(self) -> dict[str, Any]:
        """Key, names, groups and digest, as JSON holds them. Aliases, codes and counts stay with the class tables."""
        return {
            "key": self.key,
            "title": self.title,
            "labels": [[label.name, label.group] for label in self.labels],
            "groups": list(self.groups),
            "illustrative": self.illustrative,
            "digest": self.digest,
        }

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> Taxonomy:
        """A label space from what `to_plain` made; see `taxonomies.known` for the tables of this package.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or makes no sense, or the digest does not fit.
        """
        labels = tuple(Label(i, str(name), str(group)) for i, (name, group) in enumerate(fields["labels"]))
        illustrative = fields["illustrative"]
        space = cls(str(fields["key"]), str(fields["title"]), labels, tuple(fields["groups"]), illustrative)
        if space.digest != fields["digest"]:
            raise ValueError(f"the digest of the labels of '{space.key}' does not fit them")
        return space

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __getitem__(self, id: int) -> Label:
        return self.labels[id]

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return tuple(label.name for label in self.labels)

    def find(self, text: str) -> Label:
        """Label by name, alias or code; case, hyphens and underscores do not matter.

        Raises:
            KeyError: no such label; the message offers the nearest names.
        """
        found = self._by_name.get(_plain(text))
        if found is None:
            from difflib import get_close_matches

            near = get_close_matches(_plain(text), self._by_name, n=3)
            hint = f"; did you mean {' or '.join(repr(self._by_name[n].name) for n in near)}?" if near else ""
            raise KeyError(f"taxonomy '{self.key}' has no label '{text}'{hint}")
        return found

    @cached_property
    def _by_name(self) -> dict[str, Label]:
        table: dict[str, Label] = {}
        for label in self.labels:
            for text in (*label.aliases, label.code, label.name):
                if text:
                    table[_plain(text)] = label
        return table

    def group_of(self, id: int) -> int:
        """Index of the body group of a label; -1 for `"none"`."""
        group = self.labels[id].group
        return self.groups.index(group) if group in self.groups else -1

    @cached_property
    def digest(self) -> str:
        """SHA-256 over key and class names: weights carry it and refuse another label space."""
        text = json.dumps([self.key, *self.names], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())
