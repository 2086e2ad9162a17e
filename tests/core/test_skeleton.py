from __future__ import annotations

import pytest

from microgesture.core.skeleton import Skeleton


def test_a_joint_name_may_occur_once() -> None:
    with pytest.raises(ValueError, match=r"skeleton 'x': joint names occur twice: nose"):
        Skeleton("x", ("nose", "neck", "nose"), ())


@pytest.mark.parametrize("bone", [(0, 2), (-1, 0)])
def test_a_bone_must_name_joints(bone: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"bone \({bone[0]}, {bone[1]}\) names a joint outside 0..1"):
        Skeleton("x", ("nose", "neck"), (bone,))


def test_unreached_joints_are_named() -> None:
    lonely = Skeleton("x", ("nose", "neck", "tail"), ((0, 1),))
    with pytest.raises(ValueError, match=r"skeleton 'x': bones do not reach tail"):
        _ = lonely.parents


def test_index_and_membership() -> None:
    two = Skeleton("x", ("nose", "neck"), ((0, 1),))
    assert two.index("neck") == 1
    assert "nose" in two
    assert "tail" not in two
    assert 3 not in two
    with pytest.raises(KeyError, match=r"skeleton 'x' has no joint 'tail'"):
        two.index("tail")


def test_parents_do_not_depend_on_the_direction_of_bones() -> None:
    joints = ("a", "b", "c", "d")
    there = Skeleton("x", joints, ((0, 1), (1, 2), (1, 3)), root=2)
    back = Skeleton("x", joints, ((1, 0), (2, 1), (3, 1)), root=2)
    assert there.parents == back.parents == (1, 2, -1, 1)


def test_an_unpaired_side_stays_where_it_is() -> None:
    assert Skeleton("x", ("r_hand", "r_foot", "l_hand"), ()).flip == (2, 1, 0)
