"""Sets: last writer wins for each member. [MERGE-SET]

State: `[incarnation, groups]`; the groups (see `register`) map a member's canonical bytes to
true (a member) or false (removed).

Rule 1: members are equal when their canonical bytes are: 1 and 1.0 are two members. [MERGE-SET-1]
"""

from __future__ import annotations

from typing import Any

from replication.crdt.incarnation import Collection
from replication.crdt.register import flat, merge_groups
from replication.model.encoding import unpack_trusted


def merge_set(state: Collection, delta: Collection) -> Collection:
    """The later incarnation, or member by member."""
    if delta[0] > state[0]:
        state = [list(delta[0]), []]
    if delta[0] == state[0]:
        state[1] = merge_groups(state[1], delta[1])
    return state


def member_bytes(state: Collection) -> list[bytes]:
    """The canonical bytes of the members, ascending."""
    return sorted(member for member, present in flat(state[1]).items() if present)


def members(state: Collection) -> list[Any]:
    """The members, in the order of their canonical bytes."""
    return [unpack_trusted(member) for member in member_bytes(state)]
