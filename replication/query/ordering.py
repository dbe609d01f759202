"""The order of values, and SORT, DISTINCT and LIMIT applied to objects. [QUERY-120] [QUERY-122]

Rule 1: values of all kinds have one order: null and what has no kind first, then by kind as
        `compare.Kind` lists them, then as queries compare; NaN before all numbers.
Rule 2: sorting is stable, downwards too: objects that are equal in all paths keep their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from replication.model.encoding import pack
from replication.query.ast import Branch, Distinct, Follow, Limit, Sort
from replication.query.columns import column_value
from replication.query.compare import KINDS, Kind, number
from replication.query.paths import Get, path_value

T = TypeVar("T")
_RANKS: Final = {kind: rank for rank, kind in enumerate(Kind, start=1)}


def sort_key(value: Any) -> tuple[int, Any]:
    """What orders values among each other. Rule 1."""
    kind = KINDS.get(type(value))
    if value is None or kind is None:
        return (0, 0)
    if kind is Kind.LINK:
        return (_RANKS[kind], pack(value))
    if kind is Kind.NUMBER:
        exact = number(value)
        return (_RANKS[kind], (exact == exact, exact if exact == exact else 0))
    return (_RANKS[kind], value)


def arranged(branch: Branch, rows: Iterable[T], get_of: Callable[[T], Get]) -> list[T]:
    """The objects that satisfy a condition, with what its modifiers do to them.

    Args:
        rows: in the order they have without SORT.
        get_of: gives what a path reads of one.
    """
    found = list(rows)
    for modifier in branch.modifiers:
        if isinstance(modifier, Sort):
            found = _sorted(modifier, found, get_of)
        elif isinstance(modifier, Distinct):
            found = _distinct(modifier, found, get_of)
        elif isinstance(modifier, Limit):
            found = found[: modifier.count]
        else:
            assert isinstance(modifier, Follow)
    return found


def _sorted(sort: Sort, rows: Sequence[T], get_of: Callable[[T], Get]) -> list[T]:
    out = list(rows)
    for path, descending in reversed(sort.keys):
        read = path_value(path)
        keys = [sort_key(read(get_of(row))) for row in out]
        order = sorted(range(len(out)), key=keys.__getitem__, reverse=descending)
        out = [out[at] for at in order]
    return out


def _distinct(distinct: Distinct, rows: Sequence[T], get_of: Callable[[T], Get]) -> list[T]:
    reads = [path_value(path) for path in distinct.paths]
    seen: dict[tuple[Any, ...], T] = {}
    for row in rows:
        get = get_of(row)
        # Values are equal exactly where their columns are; 1 and 1.0 are one key of a dict too.
        seen.setdefault(tuple([column_value(read(get)) for read in reads]), row)
    return list(seen.values())
