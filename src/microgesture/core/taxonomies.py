"""The class tables of iMiGUE, SMG and MA-52, and the maps between them.

Sources: iMiGUE (Liu et al., CVPR 2021, arXiv 2107.00285; github.com/linuxsino/iMiGUE), counts of the MiGA training
split (12,893 clips in 241 videos). SMG (Chen et al., IJCV 2023, doi 10.1007/s11263-023-01761-6; github.com/
mikecheninoulu/SMG), counts of the 2,452 clips of subjects 1-30 as a re-implementation prints them (github.com/
andradediana/microgesture-recognition). MA-52 (Guo et al., TCSVT 2024, arXiv 2403.05234; github.com/VUT-HFUT/
Micro-Action), counts of the 11,250 training clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from microgesture.core.errors import UsageError
from microgesture.core.taxonomy import Label, Taxonomy

_Row = tuple[str, str, str, int, tuple[str, ...]]  # name, group, code, train count, aliases


def _taxonomy(
    key: str,
    title: str,
    groups: Sequence[str],
    rows: Sequence[_Row],
    illustrative: int | None,
    uncertain: Sequence[int],
) -> Taxonomy:
    labels = tuple(
        Label(i, name, group, aliases, code, count, i in uncertain)
        for i, (name, group, code, count, aliases) in enumerate(rows)
    )
    return Taxonomy(key, title, labels, tuple(groups), illustrative)


# ---- iMiGUE. The first alias is the short prompt of the MiGA 2023 winner, except for class 3, which that list calls
# "touch face": a person who types this means class 7.
_IMIGUE: tuple[tuple[str, str, int, tuple[str, ...]], ...] = (
    ("Turtle neck", "Head", 10, ()),
    ("Bulging face, deep breath", "Head", 393, ("deep breath", "bulging face")),
    ("Touching hat", "Head-Hand", 38, ("touch hat",)),
    ("Touching or scratching head", "Head-Hand", 199, ("touch head", "scratching head")),
    ("Touching or scratching forehead", "Head-Hand", 80, ("touch forehead", "scratching forehead")),
    ("Covering face", "Head-Hand", 23, ("cover face",)),
    ("Rubbing eyes", "Head-Hand", 57, ("rub eyes",)),
    ("Touching or scratching facial parts", "Head-Hand", 824, ("touch other face part", "touch face", "touching face")),
    ("Touching ears", "Head-Hand", 80, ("touch ears",)),
    ("Biting nails", "Head-Hand", 3, ("bite nails", "nail biting")),
    ("Touching jaw", "Head-Hand", 284, ("touch chin", "touching chin")),
    ("Touching or scratching neck", "Body-Hand", 137, ("touch neck", "scratching neck")),
    ("Playing or adjusting hair", "Body-Hand", 97, ("play hair", "playing with hair")),
    (
        "Buckle button, pulling shirt collar, adjusting tie",
        "Body-Hand",
        41,
        ("adjust tie", "adjusting tie", "pulling shirt collar", "buckle button"),
    ),
    ("Touching or covering suprasternal notch", "Body-Hand", 26, ("touch chest", "touching suprasternal notch")),
    ("Scratching back", "Body-Hand", 24, ("scratch back",)),
    ("Folding arms", "Body-Hand", 304, ("fold arm", "crossing arms", "crossed arms")),
    ("Dusting off clothes", "Body-Hand", 82, ("tidy sleeve", "dusting clothes")),
    ("Putting arms behind body", "Body-Hand", 1, ("put arm back", "arms behind body")),
    ("Moving torso", "Body", 887, ("move torso",)),
    ("Sitting straightly", "Body", 157, ("sit straight", "sitting straight")),
    ("Scratching or touching arms", "Hand", 360, ("scratch arm", "touching arms")),
    ("Rubbing or holding hands", "Hand", 656, ("rub hand", "rubbing hands", "holding hands")),
    ("Crossing fingers", "Hand", 690, ("cross finger", "interlacing fingers")),
    ("Minaret gesture", "Hand", 11, ("minaret hand", "finger steeple", "steepling")),
    ("Playing or manipulating objects", "Hand", 280, ("play things", "playing with objects")),
    ("Hold back arms", "Hand", 84, ("withdraw arms", "retracting arms")),
    ("Head up", "Head", 60, ()),
    ("Pressing lips", "Head", 1155, ("bite lip", "lip pressing", "biting lips")),
    ("Arms akimbo", "Hand", 6, ("arm akimbo", "hands on hips")),
    ("Shaking shoulders", "Body", 2079, ("shake shoulder",)),
    ("Illustrative body language", "none", 3765, ("illustrative", "illustrative gestures", "non-MG")),
)
IMIGUE = _taxonomy(
    "imigue",
    "iMiGUE",
    ("Body", "Head", "Hand", "Body-Hand", "Head-Hand"),
    tuple((name, group, f"C{i + 1}", count, aliases) for i, (name, group, count, aliases) in enumerate(_IMIGUE)),
    illustrative=31,
    uncertain=(),
)

# ---- SMG. The regions are ours; the published order of names and of counts may differ, so read no sense into counts.
_SMG: tuple[tuple[str, str, int, tuple[str, ...]], ...] = (
    ("Turtling neck and shoulder", "Head", 40, ("turtle neck",)),
    ("Rubbing eyes and forehead", "Head-Hand", 48, ("rubbing eyes", "touching forehead")),
    ("Folding arms", "Body-Hand", 175, ("crossing arms", "crossed arms")),
    ("Touching or covering suprasternal notch", "Body-Hand", 9, ("touching suprasternal notch", "touching chest")),
    ("Moving legs", "Lower limb", 720, ("shaking legs",)),
    ("Touching or scratching neck", "Body-Hand", 21, ("scratching neck", "touching neck")),
    ("Folding arms behind body", "Body-Hand", 101, ("arms behind body",)),
    ("Rubbing hands and crossing fingers", "Hand", 249, ("rubbing hands", "crossing fingers")),
    ("Arms akimbo", "Hand", 724, ("hands on hips",)),
    ("Crossing legs", "Lower limb", 11, ("crossed legs",)),
    ("Scratching some part of body", "Body-Hand", 14, ("scratching body",)),
    (
        "Scratching or touching facial parts other than eyes",
        "Head-Hand",
        167,
        ("touching face", "scratching face", "touching facial parts"),
    ),
    ("Playing or adjusting hair", "Head-Hand", 41, ("playing with hair",)),
    ("Holding arms", "Hand", 63, ("holding arm",)),
    ("Pulling shirt collar", "Body-Hand", 11, ("adjusting collar",)),
    (
        "Playing with jewellery and manipulating other objects",
        "Hand",
        19,
        ("playing with objects", "playing with jewellery", "playing with jewelry"),
    ),
    ("Illustrative hand gestures", "none", 39, ("illustrative", "illustrative gestures", "non-MG")),
)
SMG = _taxonomy(
    "smg",
    "SMG",
    ("Head", "Hand", "Body-Hand", "Head-Hand", "Lower limb"),
    tuple((name, group, "", count, aliases) for name, group, count, aliases in _SMG),
    illustrative=16,
    uncertain=(),
)
SMG_TEST_COUNTS: tuple[int, ...] = (13, 3, 15, 2, 49, 1, 3, 191, 243, 34, 8, 30, 4, 5, 0, 0, 9)
"""Clips per class of SMG's test subjects 36-40."""

# ---- MA-52, in the order of the ids of its lists. Codes are the paper's, sorted by frequency within a group. Names 3
# and 4 contradict the paper's figure (turning around 308, rising up 15), so their codes are unknown too.
_BODY, _HEAD, _UPPER, _LOWER = "Body", "Head", "Upper limb", "Lower limb"
_BODY_HAND, _HEAD_HAND, _LEG_HAND = "Body-hand", "Head-hand", "Leg-hand"
_MA52: tuple[_Row, ...] = (
    ("shaking body", _BODY, "A1", 309, ()),
    ("sitting straightly", _BODY, "A3", 150, ("sitting straight",)),
    ("shrugging", _BODY, "A4", 20, ("shrugging shoulders",)),
    ("turning around", _BODY, "", 9, ()),
    ("rising up", _BODY, "", 156, ("standing up",)),
    ("bowing head", _HEAD, "B5", 337, ("lowering head",)),
    ("head up", _HEAD, "B6", 242, ("raising head",)),
    ("tilting head", _HEAD, "B4", 456, ()),
    ("turning head", _HEAD, "B3", 962, ()),
    ("nodding", _HEAD, "B1", 1283, ("nodding head",)),
    ("shaking head", _HEAD, "B2", 1193, ("head shaking",)),
    ("scratching arms", _UPPER, "C6", 227, ("touching arms",)),
    ("playing objects", _UPPER, "C8", 112, ("playing with objects",)),
    ("putting hands together", _UPPER, "C9", 95, ("palms together",)),
    ("rubbing hands", _UPPER, "C13", 42, ()),
    ("pointing oneself", _UPPER, "C11", 82, ("pointing at oneself",)),
    ("clenching fist", _UPPER, "C12", 76, ("clenching fists",)),
    ("stretching arms", _UPPER, "C4", 355, ()),
    ("retracting arms", _UPPER, "C10", 87, ("withdrawing arms",)),
    ("waving", _UPPER, "C5", 277, ("waving hands",)),
    ("spreading hands", _UPPER, "C7", 147, ("opening hands",)),
    ("hands touching fingers", _UPPER, "C3", 356, ("touching fingers",)),
    ("other finger movements", _UPPER, "C2", 373, ("finger movements",)),
    ("illustrative gestures", _UPPER, "C1", 397, ("illustrative",)),
    ("shaking legs", _LOWER, "D3", 238, ()),
    ("curling legs", _LOWER, "D7", 66, ()),
    ("spread legs", _LOWER, "D6", 92, ("spreading legs",)),
    ("closing legs", _LOWER, "D5", 97, ()),
    ("crossing legs", _LOWER, "D8", 60, ("crossed legs",)),
    ("stretching feet", _LOWER, "D4", 231, ()),
    ("retracting feet", _LOWER, "D2", 259, ()),
    ("tiptoe", _LOWER, "D1", 398, ("standing on tiptoe", "raising heels")),
    ("scratching or touching neck", _BODY_HAND, "E2", 63, ("touching neck", "scratching neck")),
    ("scratching or touching chest", _BODY_HAND, "E1", 82, ("touching chest", "scratching chest")),
    ("scratching or touching back", _BODY_HAND, "E3", 53, ("touching back", "scratching back")),
    ("scratching or touching shoulder", _BODY_HAND, "E6", 33, ("touching shoulder", "scratching shoulder")),
    ("arms akimbo", _BODY_HAND, "E4", 43, ("hands on hips",)),
    ("crossing arms", _BODY_HAND, "E5", 43, ("folding arms", "crossed arms")),
    ("playing or tidying hair", _HEAD_HAND, "F3", 89, ("playing with hair", "tidying hair")),
    ("scratching or touching hindbrain", _HEAD_HAND, "F4", 82, ("touching back of head", "scratching head")),
    ("scratching or touching forehead", _HEAD_HAND, "F7", 58, ("touching forehead", "scratching forehead")),
    ("scratching or touching face", _HEAD_HAND, "F2", 126, ("touching face", "scratching face")),
    ("rubbing eyes", _HEAD_HAND, "F6", 66, ()),
    ("touching nose", _HEAD_HAND, "F1", 147, ()),
    ("touching ears", _HEAD_HAND, "F8", 52, ()),
    ("covering face", _HEAD_HAND, "F10", 6, ()),
    ("covering mouth", _HEAD_HAND, "F9", 25, ()),
    ("pushing glasses", _HEAD_HAND, "F5", 68, ("adjusting glasses",)),
    ("patting legs", _LEG_HAND, "G2", 421, ()),
    ("touching legs", _LEG_HAND, "G1", 497, ()),
    ("scratching legs", _LEG_HAND, "G3", 92, ()),
    ("scratching feet", _LEG_HAND, "G4", 20, ()),
)
_LEVELS = (_BODY, _HEAD, _UPPER, _LOWER, _BODY_HAND, _HEAD_HAND, _LEG_HAND)
MA52 = _taxonomy("ma52", "MA-52", _LEVELS, _MA52, illustrative=23, uncertain=(3, 4))
MA52_BODY = _taxonomy(
    "ma52_body",
    "MA-52 body level",
    _LEVELS,
    tuple((g, g, code, sum(r[3] for r in _MA52 if r[1] == g), ()) for g, code in zip(_LEVELS, "ABCDEFG", strict=True)),
    illustrative=None,
    uncertain=(),
)

TAXONOMIES: dict[str, Taxonomy] = {t.key: t for t in (IMIGUE, SMG, MA52, MA52_BODY)}

_PARTS: dict[str, dict[str, tuple[int, ...]]] = {
    "imigue": {
        _BODY: (19, 20, 30),
        _HEAD: (0, 1, 27, 28),
        _UPPER: (*range(21, 27), 31),
        _HEAD_HAND: (*range(2, 11), 12),
    },
    "smg": {_HEAD: (0,), _UPPER: (7, 13, 15, 16), _LOWER: (4, 9), _HEAD_HAND: (1, 11, 12)},
}
BODY_LEVEL: dict[str, tuple[int, ...]] = {
    # what none of the other parts claims is body-hand in both
    key: tuple(next((_LEVELS.index(p) for p, ids in parts.items() if i in ids), 4) for i in range(len(TAXONOMIES[key])))
    for key, parts in _PARTS.items()
} | {"ma52": tuple(MA52.group_of(i) for i in range(len(MA52))), "ma52_body": tuple(range(7))}
"""Body-level class (id in `MA52_BODY`) of every class of every taxonomy: a common coarse label space."""


@dataclass(frozen=True)
class Unified:
    """A class that data sets share.

    Args:
        id: number in the common space, U0-U24.
        name: its name.
        imigue, smg, ma52: ids that mean it.
        loose: further ids per taxonomy that mean it only roughly; left out by default.
    """

    id: int
    name: str
    imigue: tuple[int, ...] = ()
    smg: tuple[int, ...] = ()
    ma52: tuple[int, ...] = ()
    loose: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def core(self) -> bool:
        """All three data sets have it (U0-U10)."""
        return bool(self.imigue and self.smg and self.ma52)

    def ids(self, taxonomy: str, *, loose: bool = False) -> tuple[int, ...]:
        """Ids of a taxonomy that mean this class; with `loose` also the rough ones."""
        own = {"imigue": self.imigue, "smg": self.smg, "ma52": self.ma52, "unified": (self.id,)}
        exact: tuple[int, ...] = own.get(taxonomy, ())
        return exact + (dict(self.loose).get(taxonomy, ()) if loose else ())


UNIFIED: tuple[Unified, ...] = (
    Unified(0, "eyes_or_forehead", (4, 6), (1,), (40, 42)),
    Unified(1, "face_part_other", (7, 8, 10), (11,), (41, 43, 44)),
    Unified(2, "neck", (11,), (5,), (32,)),
    Unified(3, "chest_or_notch", (14,), (3,), (33,)),
    Unified(4, "hair", (12,), (12,), (38,)),
    Unified(5, "fold_arms", (16,), (2,), (37,)),
    Unified(6, "hands_rub_or_interlace", (22, 23), (7,), (14, 21)),
    Unified(7, "touch_or_hold_arm", (21,), (13,), (11,)),
    Unified(8, "arms_akimbo", (29,), (8,), (36,)),
    Unified(9, "manipulate_object", (25,), (15,), (12,)),
    Unified(10, "illustrative", (31,), (16,), (23,), (("ma52", (19, 20)),)),
    Unified(11, "turtle_neck", (0,), (0,), (), (("ma52", (2,)),)),
    Unified(12, "collar_or_clothes", (13,), (14,), (), (("imigue", (17,)),)),
    Unified(13, "arms_behind_body", (18,), (6,), ()),
    Unified(14, "crossing_legs", (), (9,), (25, 28)),
    Unified(15, "moving_legs", (), (4,), (24, 26, 27, 29, 30, 31)),
    Unified(16, "shoulders", (30,), (), (2,)),
    Unified(17, "torso_move", (19,), (), (0,), (("ma52", (3, 4)),)),  # whose names are uncertain
    Unified(18, "sit_straight", (20,), (), (1,)),
    Unified(19, "head_up", (27,), (), (6,)),
    Unified(20, "head_scratch", (3,), (), (39,)),
    Unified(21, "cover_face", (5,), (), (45,)),
    Unified(22, "scratch_back", (15,), (), (34,), (("smg", (10,)),)),
    Unified(23, "retract_arms", (26,), (), (18,)),
    Unified(24, "steeple_or_palms", (24,), (), (13,)),
)
"""Classes that at least two of the data sets share. The assignment is this project's, not a published one."""


# the data sets that have a class agree about its part of the body
_LEVEL_OF = tuple(
    next(BODY_LEVEL[key][ids[0]] for key in ("imigue", "smg", "ma52") if (ids := u.ids(key))) for u in UNIFIED
)
UNIFIED_TAXONOMY = Taxonomy(
    "unified",
    "Unified classes of iMiGUE, SMG and MA-52",
    tuple(Label(u.id, u.name, _LEVELS[level], code=f"U{u.id}") for u, level in zip(UNIFIED, _LEVEL_OF, strict=True)),
    _LEVELS,
    illustrative=10,
)
"""The common label space, U0-U24."""
TAXONOMIES[UNIFIED_TAXONOMY.key] = UNIFIED_TAXONOMY
BODY_LEVEL[UNIFIED_TAXONOMY.key] = _LEVEL_OF


def taxonomy(key: str) -> Taxonomy:
    """The label space of that key.

    Raises:
        UsageError: no such taxonomy; the message offers the nearest keys.

    Example:
        >>> taxonomy("imigue").find("finger steeple").name
        'Minaret gesture'
    """
    if key not in TAXONOMIES:
        near = get_close_matches(key, TAXONOMIES, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(TAXONOMIES)}"
        raise UsageError(f"no taxonomy '{key}'; {hint}")
    return TAXONOMIES[key]


def known(fields: dict[str, Any]) -> Taxonomy:
    """The label space a saved file names: the table of this package if the digests agree, else as it was saved.

    Raises:
        KeyError, TypeError, ValueError: see `Taxonomy.from_plain`; or the file has other labels under a name of ours.
    """
    ours = TAXONOMIES.get(fields["key"])
    if ours is None:
        return Taxonomy.from_plain(fields)
    if ours.digest != fields["digest"]:
        raise ValueError(f"other labels under the name '{ours.key}': their digest differs")
    return ours


def to_unified(key: str) -> tuple[int, ...]:
    """Unified id of every class of a taxonomy, -1 for those no other data set has.

    Example:
        >>> to_unified("smg")[7], to_unified("smg")[10]
        (6, -1)
    """
    row = [-1] * len(taxonomy(key))
    for unified in UNIFIED:
        for id in unified.ids(key):
            row[id] = unified.id
    return tuple(row)


def frequency_bands(
    counts: Sequence[int], many: int = 100, few: int = 20
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Split classes by the number of their training clips: more than `many`, between, fewer than `few`.

    Args:
        counts: training clips per class.

    Returns:
        ids of the many-shot, medium-shot and few-shot classes.

    Example:
        >>> frequency_bands((500, 100, 20, 19))
        ((0,), (1, 2), (3,))
    """
    ids = range(len(counts))
    return (
        tuple(i for i in ids if counts[i] > many),
        tuple(i for i in ids if few <= counts[i] <= many),
        tuple(i for i in ids if counts[i] < few),
    )


def imigue_id(code: int) -> int:
    """Id of a class code of iMiGUE's label files: 1..31 are C1..C31, 99 is the non-micro-gesture C32.

    Raises:
        ValueError: any other number.
    """
    if code == 99:
        return 31
    if not 1 <= code <= 31:
        raise ValueError(f"iMiGUE class code {code} is neither 1..31 nor 99")
    return code - 1


def imigue_code(id: int) -> int:
    """Class code in iMiGUE's label files; the inverse of `imigue_id`.

    Raises:
        ValueError: the id is outside 0..31.
    """
    if not 0 <= id <= 31:
        raise ValueError(f"iMiGUE class id {id} is outside 0..31")
    return 99 if id == 31 else id + 1


def imigue_id_from_mod99(number: int) -> int:
    """Id of a class number taken modulo 99, as some participants store it: 0 is C32, 1..31 are C1..C31.

    Raises:
        ValueError: the number is outside 0..31.
    """
    return imigue_id(number or 99)
