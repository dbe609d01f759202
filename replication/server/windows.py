"""Windows: what SORT and LIMIT leave of a class, moved along with the log.

Rule 1: what was in the window before a stretch of the log, and what the stretch touched, is all
        that is looked at. Whatever else there is stood behind all of the window then, and stands
        there still: what now ranks no lower than the last of the window did is certain.
Rule 2: a window that was not full held all there was. One in which fewer are certain than it holds
        is for somebody else to work out from the whole class.
Rule 3: objects that SORT leaves equal stand in the order of the bytes of their keys. [QUERY-152]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from replication.model.encoding import key_bytes
from replication.model.values import Key, Link
from replication.query import Query
from replication.query.ast import Branch, Limit
from replication.query.ordering import arranged
from replication.query.paths import Get
from replication.server.touches import Touched
from replication.storage.graph import Graph


class _Row(NamedTuple):
    """What has a rank: an object as it is, or a member as it was before it was touched."""

    key: bytes
    was: bool
    name: Key
    was_member: bool
    get: Get


def window_after(
    class_name: str,
    branch: Branch,
    graph: Graph,
    before: Mapping[bytes, Key],
    touched: Iterable[Touched],
) -> list[Key] | None:
    """What is in a window after a stretch; None where that takes the whole class. Rule 2.

    Args:
        branch: a condition on the objects alone, SORT by their own fields, LIMIT.
        before: what was in it, by the bytes of the keys.
        touched: the objects of the class that the stretch touched.
    """
    *order, last = branch.modifiers
    assert isinstance(last, Limit)
    rows = sorted(_rows(class_name, Query.of(branch.root), graph, before, touched), key=_by_key)
    ranked = arranged(replace(branch, modifiers=tuple(order)), rows, lambda row: row.get)
    if len(before) >= last.count:
        ends = [at for at, row in enumerate(ranked) if row.was_member]
        ranked = ranked[: ends[-1] + 1] if ends else []
    found = [row.name for row in ranked if not row.was]
    if len(before) >= last.count > len(found):
        return None
    return found[: last.count]


def _by_key(row: _Row) -> tuple[bytes, bool]:
    return row.key, row.was


def _rows(
    class_name: str,
    condition: Query,
    graph: Graph,
    before: Mapping[bytes, Key],
    touched: Iterable[Touched],
) -> Iterable[_Row]:
    moved = {key_bytes(item.key): item for item in touched}
    for key, item in moved.items():
        if key in before:
            yield _Row(key, True, item.key, True, item.before.get)
        node = graph.judged(Link(class_name, item.key))
        if node is not None and condition.matches(node):
            yield _Row(key, False, item.key, False, node)
    for key, name in before.items():
        if key not in moved:
            kept = graph.judged(Link(class_name, name))
            assert kept is not None, f"{class_name} {name!r} went without being touched"
            yield _Row(key, False, name, True, kept)
