"""Dictionaries: last writer wins for each key; removing a key is a write. [MERGE-DICT]

State: `[incarnation, groups, {key: embedded object}]`. Plain values live in the groups (see
`register`), ERASED where a key was removed; in a dictionary of embedded objects the third item
holds them and the groups are empty.

Rule 1: keys merge one by one, the later write wins; removing a key is a write. [MERGE-DICT-1]
Rule 2: embedded objects merge key by key as in `object`; where a key has both, a living one is
        shown. [MERGE-DICT-2]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replication.crdt.incarnation import Collection
from replication.crdt.register import flat, merge_groups
from replication.model.values import ERASED

if TYPE_CHECKING:
    from replication.crdt.parts import Parts, Path


def merge_dictionary(
    state: Collection, delta: Collection, parts: Parts | None, path: Path
) -> Collection:
    """The later incarnation, or key by key."""
    from replication.crdt.object import merge_objects  # the types nest in each other

    if delta[0] > state[0]:
        if parts is not None:
            parts.drop(path)
        state = [list(delta[0]), [], {}]
    if delta[0] == state[0]:
        state[1] = merge_groups(state[1], delta[1])
        state[2] = merge_objects(state[2], delta[2], parts, path)
    return state


def plain_items(state: Collection) -> dict[str, Any]:
    """The keys that are there, with plain values, by key."""
    items = ((key, value) for key, value in flat(state[1]).items() if value is not ERASED)
    return dict(sorted(items))
