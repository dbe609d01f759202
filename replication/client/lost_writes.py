"""Writes of properties, members, keys and elements, as losing compares them. [JOURNAL-LOST]"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from replication.client.losses import EXPLICIT, LATER, Cause
from replication.crdt.register import Group, Groups, Stamp, find, order_of
from replication.model.encoding import pack
from replication.model.values import Based


def writes_of(groups: Groups, names: Any) -> Iterator[tuple[Group, Any, Any]]:
    """What groups write, name by name; to some names only, if they are given."""
    for group in groups:
        for name, value in group[2].items():
            if names is None or name in names:
                yield group, name, value


def names_of(groups: Iterable[Group]) -> set[Any]:
    """The names that groups write to."""
    return {name for group in groups for name in group[2]}


def stands(groups: Groups, write: Group, name: Any, value: Any) -> bool:
    """Whether a write is the one that stands at a name."""
    held = find(groups, name)
    return held is not None and order_of(held) == order_of(write) and same(held[2][name], value)


def still_shows(groups: Groups, write: Group, key: Any, value: Any, *, removal: Any) -> bool:
    """The same for members and keys, where a removal shows on once it is forgotten.

    Args:
        removal: what removes: False a member, ERASED a key, at which False is a value.
    """
    forgotten = value is removal and find(groups, key) is None
    return forgotten or stands(groups, write, key, value)


def won_by(loser: Group, winner: Group | None) -> Cause:
    """Why a write is lost to another one."""
    if winner is None:
        return Cause(LATER, None)
    default = len(loser) == 5 and len(winner) == 3
    return Cause(EXPLICIT if default else LATER, stamp_of(winner))


def stamp_of(group: Group) -> Stamp:
    """The stamp of a group of writes."""
    return (group[0], group[1]) if len(group) == 3 else (group[3], group[4])


def unbased(value: Any) -> Any:
    """A value without what its author had seen."""
    return value.value if type(value) is Based else value


def same_write(left: tuple[int, int, Any] | None, right: tuple[int, int, Any]) -> bool:
    """Whether two values of an element are of one write."""
    return left is not None and left[:2] == right[:2] and same(left[2], right[2])


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same bytes."""
    # Python finds 1 and True equal, 0.0 and -0.0, and NaN unlike itself.
    return left is right or pack(left) == pack(right)
