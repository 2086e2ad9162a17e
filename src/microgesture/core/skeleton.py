"""`Skeleton`: the meaning of the joint axis V.

Joint names are shared by all layouts (`r_wrist` is the same joint in OpenPose and Kinect), so that one
layout can be projected to another by name. `r_` and `l_` are the person's own right and left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Skeleton:
    """Joints, bones and symmetry of a pose layout. Holds no coordinates.

    Args:
        name: key of the layout, e.g. `"imigue22"`.
        joints: joint names in the order of axis V.
        bones: pairs (parent, child) of joint indices; they form a connected graph.
        root: index of the joint the tree hangs from (neck or chest).
        stand_ins: joints of another layout may be absent here under their own name but defined by others:
            `(("neck", ("r_shoulder", "l_shoulder")),)` means their midpoint. Used by `projection`.

    Example:
        >>> two = Skeleton("two", ("neck", "r_wrist", "l_wrist"), ((0, 1), (0, 2)), root=0)
        >>> two.flip
        (0, 2, 1)
        >>> two.parents
        (-1, 0, 0)
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    root: int = 0
    stand_ins: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.joints)) != len(self.joints):
            twice = sorted({j for j in self.joints if self.joints.count(j) > 1})
            raise ValueError(f"skeleton '{self.name}': joint names occur twice: {', '.join(twice)}")
        for bone in self.bones:
            if not all(0 <= j < len(self.joints) for j in bone):
                raise ValueError(f"skeleton '{self.name}': bone {bone} names a joint outside 0..{len(self.joints) - 1}")

    def to_plain(self) -> dict[str, Any]:
        """Everything a skeleton is, as JSON holds it; `from_plain` gives it back."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "bones": [list(bone) for bone in self.bones],
            "root": self.root,
            "stand_ins": [[joint, list(parts)] for joint, parts in self.stand_ins],
        }

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> Skeleton:
        """A skeleton from what `to_plain` made.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or makes no sense.

        Example:
            >>> two = Skeleton("two", ("neck", "nose"), ((0, 1),))
            >>> Skeleton.from_plain(two.to_plain()) == two
            True
        """
        joints = tuple(str(joint) for joint in fields["joints"])
        root = int(fields["root"])
        if not 0 <= root < len(joints):
            raise ValueError(f"root {root} is no joint of {len(joints)}")
        return cls(
            str(fields["name"]),
            joints,
            tuple((int(a), int(b)) for a, b in fields["bones"]),
            root,
            tuple((str(joint), tuple(str(part) for part in parts)) for joint, parts in fields["stand_ins"]),
        )

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Index of a joint on axis V; `KeyError` with the layout's name if it has none."""
        try:
            return self._index[joint]
        except KeyError:
            raise KeyError(f"skeleton '{self.name}' has no joint '{joint}'") from None

    def __contains__(self, joint: object) -> bool:
        return joint in self._index

    @cached_property
    def _index(self) -> dict[str, int]:
        return {joint: i for i, joint in enumerate(self.joints)}

    @cached_property
    def mirror(self) -> tuple[tuple[int, int], ...]:
        """Pairs (right, left) of joint indices, derived from the names."""
        return tuple(
            (i, self._index["l_" + joint[2:]])
            for i, joint in enumerate(self.joints)
            if joint.startswith("r_") and "l_" + joint[2:] in self._index
        )

    @cached_property
    def flip(self) -> tuple[int, ...]:
        """Permutation of axis V that exchanges right and left; its own inverse."""
        order = list(range(len(self.joints)))
        for right, left in self.mirror:
            order[right], order[left] = left, right
        return tuple(order)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint in the tree grown from `root` along the bones; -1 for the root.

        Raises:
            ValueError: the bones do not reach every joint.
        """
        parents = [-2] * len(self.joints)
        parents[self.root] = -1
        queue = [self.root]
        for joint in queue:
            for a, b in self.bones:
                for near, far in ((a, b), (b, a)):
                    if near == joint and parents[far] == -2:
                        parents[far] = joint
                        queue.append(far)
        lost = [self.joints[i] for i, p in enumerate(parents) if p == -2]
        if lost:
            raise ValueError(f"skeleton '{self.name}': bones do not reach {', '.join(lost)}")
        return tuple(parents)

    def projection(self, target: Skeleton) -> tuple[tuple[int, ...], ...]:
        """For each joint of `target`, the joints of this layout whose mean it is; `()` where it is missing.

        Example:
            >>> a = Skeleton("a", ("r_shoulder", "l_shoulder"), ((0, 1),),
            ...              stand_ins=(("neck", ("r_shoulder", "l_shoulder")),))
            >>> a.projection(Skeleton("b", ("neck", "nose", "l_shoulder"), ((0, 1), (0, 2))))
            ((0, 1), (), (1,))
        """
        stand_ins = dict(self.stand_ins)
        rows: list[tuple[int, ...]] = []
        for joint in target.joints:
            if joint in self._index:
                rows.append((self._index[joint],))
            else:
                rows.append(tuple(self.index(j) for j in stand_ins.get(joint, ())))
        return tuple(rows)
