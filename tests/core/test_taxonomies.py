"""The class tables against the published counts, groups and codes."""

from __future__ import annotations

import pytest

from microgesture.core.errors import UsageError
from microgesture.core.taxonomies import (
    BODY_LEVEL,
    IMIGUE,
    MA52,
    MA52_BODY,
    SMG,
    SMG_TEST_COUNTS,
    TAXONOMIES,
    UNIFIED,
    UNIFIED_TAXONOMY,
    frequency_bands,
    imigue_code,
    imigue_id,
    imigue_id_from_mod99,
    taxonomy,
    to_unified,
)
from microgesture.core.taxonomy import Label, Taxonomy

ALL = pytest.mark.parametrize("labels", TAXONOMIES.values(), ids=TAXONOMIES)

# train and val of the 13,670 clips together, as the challenge's label file has them
IMIGUE_TRAIN_VAL = (
    *(10, 418, 39, 207, 80, 23, 64, 858, 87, 3, 302, 154, 97, 41, 28, 27, 322, 83, 2, 942, 170, 373, 657, 700, 11, 287),
    *(87, 60, 1237, 6, 2272, 4023),
)
IMIGUE_VAL = (
    *(0, 25, 1, 8, 0, 0, 7, 34, 7, 0, 18, 17, 0, 0, 2, 3, 18, 1, 1, 55, 13, 13, 1, 10, 0, 7, 3, 0, 82, 0, 193, 258),
)
MA52_TRAIN = (
    *(309, 150, 20, 9, 156, 337, 242, 456, 962, 1283, 1193, 227, 112, 95, 42, 82, 76, 355, 87, 277, 147, 356, 373, 397),
    *(
        238,
        66,
        92,
        97,
        60,
        231,
        259,
        398,
        63,
        82,
        53,
        33,
        43,
        43,
        89,
        82,
        58,
        126,
        66,
        147,
        52,
        6,
        25,
        68,
        421,
        497,
        92,
    ),
    20,
)


def counts(labels: Taxonomy) -> tuple[int, ...]:
    return tuple(label.train_count for label in labels)


def sizes(labels: Taxonomy) -> dict[str, int]:
    return {group: sum(label.group == group for label in labels) for group in (*labels.groups, "none")}


def test_sizes() -> None:
    assert {key: len(labels) for key, labels in TAXONOMIES.items()} == {
        "imigue": 32,
        "smg": 17,
        "ma52": 52,
        "ma52_body": 7,
        "unified": 25,
    }


def test_train_counts() -> None:
    assert counts(IMIGUE) == tuple(a - b for a, b in zip(IMIGUE_TRAIN_VAL, IMIGUE_VAL, strict=True))
    assert sum(counts(IMIGUE)) == 12_893
    assert counts(MA52) == MA52_TRAIN
    assert sum(MA52_TRAIN) == 11_250
    assert counts(MA52_BODY) == (644, 4473, 2626, 1441, 317, 719, 1030)
    assert sum(counts(SMG)) == 2_452
    assert sum(SMG_TEST_COUNTS) == 610


def test_group_sizes() -> None:
    assert sizes(IMIGUE) == {"Body": 3, "Head": 4, "Hand": 7, "Body-Hand": 8, "Head-Hand": 9, "none": 1}
    assert list(sizes(MA52).values()) == [5, 6, 13, 8, 6, 10, 4, 0]
    assert sizes(SMG)["none"] == 1
    assert [MA52.group_of(i) for i in (0, 4, 5, 10, 11, 23, 24, 31, 32, 37, 38, 47, 48, 51)] == [
        *(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6)
    ]


def test_illustrative_classes() -> None:
    assert [t.illustrative for t in (IMIGUE, SMG, MA52, MA52_BODY)] == [31, 16, 23, None]
    assert all("illustrative" in t.names[i].lower() for t, i in ((IMIGUE, 31), (SMG, 16), (MA52, 23)))
    assert IMIGUE.group_of(31) == SMG.group_of(16) == -1


def test_codes() -> None:
    assert [label.code for label in IMIGUE] == [f"C{i}" for i in range(1, 33)]
    # within each group of MA-52 the codes are numbered without gaps, but for the two uncertain ones
    for group, letter in zip(MA52.groups, "ABCDEFG", strict=True):
        numbers = {int(label.code[1:]) for label in MA52 if label.group == group and label.code}
        assert all(label.code[:1] in (letter, "") for label in MA52 if label.group == group)
        assert numbers == set(range(1, 1 + list(sizes(MA52).values())["ABCDEFG".index(letter)])) - (
            {2, 5} if letter == "A" else set()
        )
    assert [label.id for label in MA52 if label.name_uncertain] == [3, 4]


@ALL
def test_every_name_alias_and_code_finds_its_own_class(labels: Taxonomy) -> None:
    for label in labels:
        for text in (label.name, *label.aliases, *filter(None, [label.code])):
            assert labels.find(text).id == label.id
            assert labels.find(text.upper().replace(" ", "_")).id == label.id


def test_find_examples() -> None:
    assert IMIGUE.find("finger steeple").name == "Minaret gesture"
    assert IMIGUE.find("shake shoulder").id == 30
    assert MA52.find("folding arms").name == "crossing arms"
    with pytest.raises(KeyError, match=r"taxonomy 'imigue' has no label 'rubing eyes'; did you mean 'Rubbing eyes'"):
        IMIGUE.find("rubing eyes")


def test_class_names_are_frozen() -> None:
    # shipped weights carry these digests: renaming or reordering a class makes them refuse to load
    assert {key: labels.digest[:16] for key, labels in TAXONOMIES.items()} == {
        "imigue": "49b7967e960274e8",
        "smg": "5d882d080e4f3014",
        "ma52": "2d375062edcac48f",
        "ma52_body": "84079e21393e0a42",
        "unified": "4ab5d83e47a17133",
    }


def test_digests_tell_label_spaces_apart() -> None:
    assert len({labels.digest for labels in TAXONOMIES.values()}) == 5
    renamed = Taxonomy(SMG.key, SMG.title, (Label(0, "other", "Head"), *SMG.labels[1:]), SMG.groups)
    assert renamed.digest != SMG.digest


def test_ids_must_follow_the_order() -> None:
    with pytest.raises(ValueError, match=r"taxonomy 'x': label 'b' has id 0 at place 1"):
        Taxonomy("x", "x", (Label(0, "a", "g"), Label(0, "b", "g")), ("g",))


def test_frequency_bands() -> None:
    many, medium, few = frequency_bands(counts(IMIGUE))
    assert many == (1, 3, 7, 10, 11, 16, 19, 20, 21, 22, 23, 25, 28, 30, 31)
    assert medium == (2, 4, 5, 6, 8, 12, 13, 14, 15, 17, 26, 27)
    assert few == (0, 9, 18, 24, 29)
    many, medium, few = frequency_bands(counts(MA52))
    assert (len(many), len(medium), few) == (25, 25, (3, 45))
    assert {2, 51} <= set(medium)


def test_imigue_codes_are_a_bijection() -> None:
    assert (imigue_id(99), imigue_id(31), imigue_id(1)) == (31, 30, 0)
    assert [imigue_id(imigue_code(i)) for i in range(32)] == list(range(32))
    assert sorted(imigue_id_from_mod99(n) for n in range(32)) == list(range(32))
    assert all(imigue_id_from_mod99(code % 99) == imigue_id(code) for code in (*range(1, 32), 99))


@pytest.mark.parametrize("code", [0, 32, 98, 100, -1])
def test_impossible_codes_are_refused(code: int) -> None:
    with pytest.raises(ValueError, match=f"iMiGUE class code {code} is neither"):
        imigue_id(code)
    with pytest.raises(ValueError, match=f"iMiGUE class id {code + 40} is outside"):
        imigue_code(code + 40)


def test_unified_map_covers_what_was_computed() -> None:
    table = {"imigue": counts(IMIGUE), "smg": SMG_TEST_COUNTS, "ma52": counts(MA52)}
    covered = {k: sum(n[i] for u in UNIFIED if u.core for i in u.ids(k)) for k, n in table.items()}
    assert covered == {"imigue": 7646, "smg": 503, "ma52": 1903}
    mg_only = (covered["imigue"] - 3765) / (12_893 - 3765)
    assert round(mg_only, 3) == 0.425


def test_unified_ids_are_in_range_and_disjoint() -> None:
    assert [u.id for u in UNIFIED] == list(range(25))
    assert [u.id for u in UNIFIED if u.core] == list(range(11))
    for key in ("imigue", "smg", "ma52"):
        ids = [i for u in UNIFIED for i in u.ids(key)]
        assert len(ids) == len(set(ids))
        assert all(0 <= i < len(TAXONOMIES[key]) for i in ids)
        assert all(0 <= i < len(TAXONOMIES[key]) for u in UNIFIED for i in u.ids(key, loose=True))
        assert [i for i, u in enumerate(to_unified(key)) if u >= 0] == sorted(ids)
    assert all(sum(bool(u.ids(k)) for k in ("imigue", "smg", "ma52")) >= 2 for u in UNIFIED)


def test_unified_leaves_out_what_no_other_set_has_and_what_is_uncertain() -> None:
    assert [i for i, u in enumerate(to_unified("imigue")) if u < 0] == [1, 2, 9, 17, 28]
    assert [i for i, u in enumerate(to_unified("smg")) if u < 0] == [10]
    assert to_unified("ma52")[3] == to_unified("ma52")[4] == -1
    assert UNIFIED[17].ids("ma52", loose=True) == (0, 3, 4)
    assert to_unified("ma52_body") == (-1,) * 7


def test_the_unified_classes_are_a_label_space_of_their_own() -> None:
    assert to_unified("unified") == tuple(range(25))
    assert UNIFIED_TAXONOMY.names == tuple(u.name for u in UNIFIED)
    assert UNIFIED_TAXONOMY.find("U5").name == "fold_arms"
    assert UNIFIED_TAXONOMY.illustrative == 10
    for key in ("imigue", "smg", "ma52"):
        for id, unified in enumerate(to_unified(key)):
            assert unified < 0 or BODY_LEVEL[key][id] == BODY_LEVEL["unified"][unified]


def test_common_body_level() -> None:
    parts = {key: [levels.count(i) for i in range(7)] for key, levels in BODY_LEVEL.items()}
    assert parts["imigue"] == [3, 4, 7, 0, 8, 10, 0]
    assert parts["smg"] == [0, 1, 4, 2, 7, 3, 0]
    assert parts["ma52"] == [5, 6, 13, 8, 6, 10, 4]
    body_hand = [i for i, level in enumerate(BODY_LEVEL["imigue"]) if level == 4]
    assert body_hand == [11, 13, 14, 15, 16, 17, 18, 29]
    assert [i for i, level in enumerate(BODY_LEVEL["smg"]) if level == 4] == [2, 3, 5, 6, 8, 10, 14]


def test_unknown_taxonomy_offers_near_keys() -> None:
    with pytest.raises(UsageError, match=r"no taxonomy 'imigu'; did you mean imigue"):
        taxonomy("imigu")
    with pytest.raises(UsageError, match=r"no taxonomy 'q'; known: imigue, smg, ma52, ma52_body"):
        taxonomy("q")
