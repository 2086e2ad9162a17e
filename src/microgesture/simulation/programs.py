"""Motion programs: the declarative description of every motion, read from `programs/*.yaml` and checked.

A *motion* is one way of moving that a label can name ("rubbing the eyes"). Each motion says which classes of
which taxonomies show it; a class may own several motions and a motion may serve several taxonomies. The shipped
recogniser predicts motions, and a taxonomy is a table over them. The schema is in `programs/README.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from microgesture.core.errors import FormatError
from microgesture.core.taxonomies import taxonomy
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.simulation.body import CONTACT, DOF, SHAPE

_DIRECTIONS = {
    "up": (0, -1, 0),
    "down": (0, 1, 0),
    "in": (1, 0, 0),  # towards the other hand, written for the right one
    "out": (-1, 0, 0),
    "forward": (0, 0, 1),
    "back": (0, 0, -1),
}
_TOUCH = {"tips": 0.92, "palm": 0.50, "wrist": 0.0}
_STYLES = ("rub", "tap", "roam", "still")
_HOWS = ("hold", "step", "swing", "bob", "pulse")
GROUPS = {"head": "Head", "head_hand": "Head-Hand", "body_hand": "Body-Hand", "hands": "Hand", "body": "Body"} | {
    "legs": "Leg",
    "leg_hand": "Leg-Hand",
}
TAXONOMY_KEYS = ("imigue", "smg", "ma52")

Range = tuple[float, float]


@dataclass(frozen=True)
class Move:
    """Movement in contact: amplitude ranges along x, y, z in SW, rate range in Hz, style."""

    size: tuple[Range, Range, Range] = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
    hz: Range = (0.5, 1.0)
    style: str = "still"


@dataclass(frozen=True)
class Hand:
    """Where a hand goes and how it is held; alternatives are tuples to draw from."""

    at: tuple[int, ...]
    touch: tuple[float, ...] = (0.5,)
    fingers: tuple[tuple[float, float, float], ...] = ((0, 0, 1),)
    palm: tuple[tuple[float, float, float], ...] = ((0, 1, 0),)
    shape: tuple[int, ...] = (1,)
    move: Move = Move()
    fidget: tuple[Range, Range] | None = None


@dataclass(frozen=True)
class Element:
    """Motion of one degree of freedom: which, how, size range, rate range; `sign`: "", "either" or "same"."""

    dof: str
    how: str
    size: Range
    hz: Range = (1.0, 1.0)
    sign: str = ""


@dataclass(frozen=True)
class Way:
    """One of the alternatives of a motion."""

    weight: float = 1.0
    hands: str = "none"  # none, one, both, together
    hand: Hand | None = None
    other: Hand | None = None
    start: tuple[int, ...] = ()  # contact the hands come from, instead of the rest posture
    elbow: tuple[float, float, float] | None = None
    apart: float = 0.03
    spread_wrists: float = 0.0
    opposite: bool = False
    body: tuple[Element, ...] = ()
    before: tuple[Element, ...] = ()


@dataclass(frozen=True)
class Motion:
    """A named motion with its alternatives and the classes that show it."""

    name: str
    group: str
    classes: dict[str, tuple[int, ...]]
    seconds: Range
    holds: float
    stays: float
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Rest:
    """A rest posture of the hands and the motions it cannot be told from when still."""

    name: str
    where: str
    weight: float
    together: bool
    hand: Hand
    other: Hand | None
    unsure: tuple[str, ...]


@cache
def motions() -> tuple[Motion, ...]:
    """All motions in a fixed order; the index is the motion's id everywhere."""
    found: list[Motion] = []
    for stem, group in GROUPS.items():
        for name, entry in _read(f"{stem}.yaml").items():
            found.append(_motion(f"{stem}.yaml", name, group, entry))
    return tuple(found)


@cache
def motion_index() -> dict[str, int]:
    """Motion id by name."""
    return {motion.name: i for i, motion in enumerate(motions())}


@cache
def motion_taxonomy() -> Taxonomy:
    """The motions as a label space of its own: what the shipped recogniser predicts."""
    labels = tuple(Label(i, m.name.replace("_", " "), m.group) for i, m in enumerate(motions()))
    return Taxonomy("motions", "Motions of the simulator", labels, tuple(GROUPS.values()))


@cache
def rests() -> tuple[Rest, ...]:
    """All rest postures."""
    out = []
    for name, entry in _read("rests.yaml").items():
        where = f"rests.yaml:{name}"
        other = {**entry, "at": entry["other"]} if "other" in entry else None
        known = motion_index()
        unsure = tuple(entry.get("unsure", ()))
        for motion in unsure:
            if motion not in known:
                raise FormatError("rests.yaml", f"unknown motion '{motion}'", place=name)
        out.append(
            Rest(
                name, entry["where"], float(entry.get("weight", 1)), bool(entry.get("together", False)),
                _hand(where, entry), _hand(where, other) if other else None, unsure,
            )
        )  # fmt: skip
    return tuple(out)


@cache
def class_table(taxonomy_key: str) -> NDArray[np.float32]:
    """Which motions show which class: float32 (motions, K) of 0 and 1.

    Raises:
        ValueError: a class of the taxonomy has no motion.
    """
    space = taxonomy(taxonomy_key)
    table = np.zeros((len(motions()), len(space)), np.float32)
    for i, motion in enumerate(motions()):
        table[i, list(motion.classes.get(taxonomy_key, ()))] = 1
    empty = [space[k].name for k in np.flatnonzero(table.sum(0) == 0)]
    if empty:
        raise ValueError(f"no motion program for {taxonomy_key}: {', '.join(empty)}")
    return table


def _read(file: str) -> dict[str, dict[str, Any]]:
    text = (files("microgesture.simulation") / "programs" / file).read_text("utf-8")
    data = yaml.safe_load(text)
    if not isinstance(data, dict):
        raise FormatError(file, "no motions found")
    return data


def _motion(file: str, name: str, group: str, entry: dict[str, Any]) -> Motion:
    known = {"is", "seconds", "holds", "stays", "ways"}
    if unknown := set(entry) - known:
        raise FormatError(file, f"unknown key {sorted(unknown)}", place=name, expected=f"one of {sorted(known)}")
    classes = {}
    for key, names in entry["is"].items():
        space = taxonomy(key)
        try:
            classes[key] = tuple(space.find(text).id for text in names)
        except KeyError as error:
            raise FormatError(file, str(error.args[0]), place=name) from error
    ways = tuple(_way(f"{file}:{name}", way) for way in entry["ways"])
    uses_hands = any(way.hands != "none" for way in ways)
    return Motion(
        name, group, classes, _range(entry["seconds"]), float(entry.get("holds", 0.25 if uses_hands else 0.0)),
        float(entry.get("stays", 0.15 if uses_hands else 0.0)), ways,
    )  # fmt: skip


def _way(where: str, entry: dict[str, Any]) -> Way:
    known = {"weight", "hands", "at", "touch", "fingers", "palm", "shape", "move", "fidget", "other", "from", "elbow"}
    known |= {"apart", "spread_wrists", "phase", "body", "before"}
    if unknown := set(entry) - known:
        raise FormatError(where, f"unknown key {sorted(unknown)}", expected=f"one of {sorted(known)}")
    hands = entry.get("hands", "none")
    elbow = entry.get("elbow")
    return Way(
        weight=float(entry.get("weight", 1)),
        hands=hands,
        hand=_hand(where, entry) if hands != "none" else None,
        other=_hand(where, entry["other"]) if "other" in entry else None,
        start=tuple(_pick(where, CONTACT, x) for x in _list(entry.get("from", []))),
        elbow=(float(elbow[0]), float(elbow[1]), float(elbow[2])) if elbow else None,
        apart=float(entry.get("apart", 0.03)),
        spread_wrists=float(entry.get("spread_wrists", 0)),
        opposite=entry.get("phase", "same") == "opposite",
        body=tuple(_element(where, e) for e in entry.get("body", ())),
        before=tuple(Element(_dof(where, e[0]), "hold", _range(e[1])) for e in entry.get("before", ())),
    )


def _hand(where: str, entry: dict[str, Any]) -> Hand:
    move = entry.get("move", {})
    style = move.get("style", "still")
    if style not in _STYLES:
        raise FormatError(where, f"unknown style '{style}'", expected=f"one of {_STYLES}")
    fidget = entry.get("fidget")
    return Hand(
        at=tuple(_pick(where, CONTACT, x) for x in _list(entry["at"])),
        touch=tuple(_pick(where, _TOUCH, x) for x in _list(entry.get("touch", "palm"))),
        fingers=tuple(_pick(where, _DIRECTIONS, x) for x in _list(entry.get("fingers", "forward"))),
        palm=tuple(_pick(where, _DIRECTIONS, x) for x in _list(entry.get("palm", "down"))),
        shape=tuple(_pick(where, SHAPE, x) for x in _list(entry.get("shape", "relaxed"))),
        move=Move(
            (_range(move.get("x", (0, 0))), _range(move.get("y", (0, 0))), _range(move.get("z", (0, 0)))),
            _range(move.get("hz", (0.5, 1))),
            style,
        ),
        fidget=(_range(fidget["size"]), _range(fidget["hz"])) if fidget else None,
    )


def _element(where: str, entry: list[Any]) -> Element:
    sign = entry[-1] if isinstance(entry[-1], str) and len(entry) > 2 else ""
    values = entry[:-1] if sign else entry
    if values[1] not in _HOWS:
        raise FormatError(where, f"unknown movement '{values[1]}'", expected=f"one of {_HOWS}")
    return Element(
        _dof(where, values[0]), values[1], _range(values[2]), _range(values[3]) if len(values) > 3 else (1.0, 1.0), sign
    )


def _dof(where: str, name: str) -> str:
    stem = name.removesuffix("_one").removesuffix("_both")
    if name not in DOF and f"{stem}_r" not in DOF:
        raise FormatError(where, f"unknown degree of freedom '{name}'", expected=f"one of {', '.join(DOF)}")
    return name


def _pick(where: str, table: dict[str, Any], name: str) -> Any:
    if name not in table:
        raise FormatError(where, f"unknown word '{name}'", expected=f"one of {', '.join(table)}")
    return table[name]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _range(value: Any) -> Range:
    low, high = value
    return float(low), float(high)
