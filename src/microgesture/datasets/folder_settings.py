"""`dataset.yaml`: what files of one's own do not say, checked. The keys are in the head of `folder`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomies import TAXONOMIES
from microgesture.core.taxonomy import Taxonomy
from microgesture.datasets.plain_npz import classes
from microgesture.formats.source import frame_rate, frame_size

SETTINGS = "dataset.yaml"
SPLITS = ("train", "val", "test")
_KNOWN = (
    *("name", "taxonomy", "skeleton", "fps", "size", "persons", "split", "subjects", "only", "rater", "y_up"),
    "estimate",
)


@dataclass(frozen=True)
class Settings:
    """What dataset.yaml, the command and the recipe say, checked; see the head of the module."""

    name: str = "folder"
    taxonomy: Taxonomy | None = None
    layout: Skeleton | None = None
    joints: tuple[str, ...] = ()
    bones: tuple[tuple[int | str, int | str], ...] = ()
    root: str | None = None
    fps: float = 0.0
    size: tuple[int, int] = (0, 0)
    persons: int = 1
    split: str | Mapping[str, Sequence[str]] = ""
    subjects: Mapping[str, str] | None = None
    only: str = ""
    rater: str | None = None
    y_up: bool = False
    estimate: bool = True

    def wants(self, path: Path, root: Path) -> bool:
        """Whether a file is to be read."""
        return not self.only or any(fnmatchcase(text, self.only) for text in (path.name, str(path.relative_to(root))))


def read_settings(path: Path, plain: Any) -> Settings:
    """Settings from plain data.

    Args:
        path: where they stand, for messages.

    Raises:
        FormatError: naming the key.
    """

    def wrong(key: str, value: Any, expected: str) -> FormatError:
        return FormatError(path, f"is {value!r:.60}", place=f"key '{key}'", expected=expected, remedy="correct it")

    if not isinstance(plain, Mapping):
        raise FormatError(path, "is no list of settings", expected="lines like 'fps: 25'", remedy="correct it")
    given: dict[str, Any] = {}
    for key, value in plain.items():
        if key not in _KNOWN:
            near = get_close_matches(str(key), _KNOWN, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(_KNOWN)}"
            raise FormatError(path, f"unknown key {key!r:.40}", remedy=hint)
        if value is None:
            continue
        if key in ("only", "rater", "name"):
            if not isinstance(value, str) or not value:
                raise wrong(key, value, "text")
            if key == "name" and (value in TAXONOMIES or not re.fullmatch(r"[\w\-]{1,40}", value)):
                raise wrong(key, value, f"a word that is none of {', '.join(TAXONOMIES)}")
            given[key] = value
        elif key in ("y_up", "estimate"):
            if not isinstance(value, bool):
                raise wrong(key, value, "true or false")
            given[key] = value
        elif key == "persons":
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 64:
                raise wrong(key, value, "1 to 64")
            given[key] = value
        elif key in ("fps", "size"):
            try:
                given[key] = (frame_rate if key == "fps" else frame_size)(str(value))
            except UsageError as error:
                raise wrong(key, value, str(error).partition("expected ")[2]) from error
        elif key == "split":
            if isinstance(value, Mapping):
                rows = {str(name): [patterns] if isinstance(patterns, str) else patterns
                        for name, patterns in value.items()}  # fmt: skip
                if not set(rows) <= set(SPLITS) or not all(_texts(row) for row in rows.values()):
                    raise wrong(key, value, "patterns of recordings under train, val and test")
                given[key] = rows
            elif isinstance(value, str):
                given[key] = value
            else:
                raise wrong(key, value, "subject, recording, the name of a split, or patterns under train, val, test")
        elif key == "subjects":
            if not isinstance(value, Mapping) or not all(isinstance(v, (str, int)) for v in value.values()):
                raise wrong(key, value, "patterns of recordings with the person of each")
            given[key] = {str(pattern): str(person) for pattern, person in value.items()}
        elif key == "skeleton":
            given |= _skeleton(value, wrong)
    if plain.get("taxonomy") is not None:
        given["taxonomy"] = _taxonomy(plain["taxonomy"], given.get("name", "folder"), wrong)
    return Settings(**given)


def _texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(v, str) and v for v in value)


def _skeleton(value: Any, wrong: Any) -> dict[str, Any]:
    if isinstance(value, str):
        if value not in SKELETONS:
            raise wrong("skeleton", value, f"one of {', '.join(SKELETONS)}, or joints and bones")
        return {"layout": SKELETONS[value]}
    expected = "joints: [names], bones: [[a, b], ...] and perhaps root: name"
    if not isinstance(value, Mapping) or not set(value) <= {"joints", "bones", "root"}:
        raise wrong("skeleton", value, expected)
    joints, bones, root = value.get("joints") or (), value.get("bones") or (), value.get("root")
    pairs = isinstance(bones, (list, tuple)) and all(
        isinstance(b, (list, tuple)) and len(b) == 2 and all(isinstance(end, (str, int)) for end in b) for b in bones
    )
    if not pairs or (joints and not _texts(joints)) or not isinstance(root, (str, type(None))):
        raise wrong("skeleton", value, expected)
    return {"joints": tuple(joints), "bones": tuple((a, b) for a, b in bones), "root": root}


def _taxonomy(value: Any, name: str, wrong: Any) -> Taxonomy:
    expected = f"one of {', '.join(TAXONOMIES)}, a list of class names, or lists of them under their groups"
    if isinstance(value, str):
        if value not in TAXONOMIES:
            raise wrong("taxonomy", value, expected)
        return TAXONOMIES[value]
    grouped = value if isinstance(value, Mapping) else {"all": value}
    if not grouped or not all(_texts(row) for row in grouped.values()):
        raise wrong("taxonomy", value, expected)
    names = [label for row in grouped.values() for label in row]
    groups = [str(group) for group, row in grouped.items() for _ in row]
    if len({folded(n) for n in names}) < len(names):
        raise wrong("taxonomy", value, "every class once")
    return classes(name, name, names, groups)


def folded(text: str) -> str:
    """A class name as names are compared: case, hyphens and underscores do not matter."""
    return " ".join(re.sub(r"[_\-]", " ", text.casefold()).split())


def parse_settings(path: Path, text: str) -> Any:
    """YAML as plain data.

    Raises:
        FormatError: it is not YAML.
    """
    try:
        return yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else None
        problem = f"is not YAML ({getattr(error, 'problem', None) or type(error).__name__})"
        raise FormatError(path, problem, place=place, expected="lines like 'fps: 25'", remedy="correct it") from error
