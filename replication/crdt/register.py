"""Registers: named places where the last writer wins. [MERGE-REG]

Fields of objects, keys of dictionaries and members of sets are all held as **groups**: what one
transaction wrote here, under its one order key. So ten fields written at once cost one stamp.

    explicit write   [time, origin, {name: value}]                          order (t, o, 0, t, o)
    default          [seen time, seen origin, {name: value}, time, origin]  order (st, so, 1, t, o)

Rule 1: of two writes to one name the greater order key wins; equal keys: the greater canonical
        bytes. [MERGE-REG-1]
Rule 2: a default's order starts with the stamp of the explicit write its author saw there (0, 0
        for none): it replaces what its author saw and loses to every later or unseen explicit
        write. [MERGE-REG-2]
Rule 3: canonical form: groups ascend by order key, none is empty, a name stands in one group
        only, names ascend inside a group. [MERGE-REG-3]
"""

from __future__ import annotations

from typing import Any, TypeAlias

from replication.model.encoding import greater, sorted_map

Group: TypeAlias = list[Any]
Groups: TypeAlias = list[Group]
#: (time, origin, 0 explicit | 1 default, own time, own origin)
Order: TypeAlias = tuple[int, int, int, int, int]
Stamp: TypeAlias = tuple[int, int]

#: Writes in a delta up to which finding each one's rival beats rebuilding the groups.
_FEW = 8


def order_of(group: Group) -> Order:
    """The order key of all writes in a group."""
    if len(group) == 3:
        return (group[0], group[1], 0, group[0], group[1])
    return (group[0], group[1], 1, group[3], group[4])


def explicit(stamp: Stamp) -> Order:
    """The order key of an explicit write."""
    return (*stamp, 0, *stamp)


def default(stamp: Stamp, seen: Stamp) -> Order:
    """The order key of a default whose author saw the explicit write ``seen`` there."""
    return (*seen, 1, *stamp)


def _group(order: Order, writes: dict[Any, Any]) -> Group:
    if order[2] == 0:
        return [order[0], order[1], writes]
    return [order[0], order[1], writes, order[3], order[4]]


def find(groups: Groups, name: Any) -> Group | None:
    """The group that holds ``name``, or None."""
    for group in groups:
        if name in group[2]:
            return group
    return None


def read(groups: Groups, name: Any) -> Any:
    """The value at ``name``, or None where nothing was ever written."""
    for group in groups:
        if name in group[2]:
            return group[2][name]
    return None


def flat(groups: Groups) -> dict[Any, Any]:
    """All names with their values."""
    return {name: value for group in groups for name, value in group[2].items()}


def seen_stamp(groups: Groups, name: Any) -> Stamp:
    """What a default written now must record as seen: Rule 2."""
    group = find(groups, name)
    return (0, 0) if group is None else (group[0], group[1])


def put(groups: Groups, order: Order, name: Any, value: Any) -> None:
    """Write without asking who wins: for a write later than all that is held here.

    The names of its group are as they came: see `in_order`.
    """
    _put(groups, find(groups, name), order, name, value)


def _put(groups: Groups, held: Group | None, order: Order, name: Any, value: Any) -> Group:
    # `held` is the group that has the name now; returns the one that has it then.
    if held is not None:
        if order_of(held) == order:
            held[2][name] = value
            return held
        del held[2][name]
        if not held[2]:
            groups.remove(held)
    at = len(groups)
    while at:
        before = order_of(groups[at - 1])
        if before < order:
            break
        at -= 1
        if before == order:
            groups[at][2][name] = value
            return groups[at]
    group = _group(order, {name: value})
    groups.insert(at, group)
    return group


def in_order(groups: Groups) -> Groups:
    """A copy of groups that were put together by `put`, in canonical form."""
    return [[*group[:2], sorted_map(group[2]), *group[3:]] for group in groups]


def merge_groups(state: Groups, delta: Groups) -> Groups:
    """The winner at every name of either."""
    if not state:
        return [[*group[:2], dict(group[2]), *group[3:]] for group in delta]
    if sum(len(group[2]) for group in delta) > _FEW:
        return _merge_many(state, delta)
    for group in delta:
        order = order_of(group)
        changed: Group | None = None
        for name, value in group[2].items():
            held = find(state, name)
            if held is not None:
                theirs = order_of(held)
                if order < theirs or (order == theirs and not greater(value, held[2][name])):
                    continue
            changed = _put(state, held, order, name, value)
        if changed is not None and len(changed[2]) > 1:
            changed[2] = sorted_map(changed[2])
    return state


def _merge_many(state: Groups, delta: Groups) -> Groups:
    winners: dict[Any, tuple[Order, Any]] = {}
    for group in (*state, *delta):
        order = order_of(group)
        for name, value in group[2].items():
            rival = winners.get(name)
            if (
                rival is None
                or order > rival[0]
                or (order == rival[0] and greater(value, rival[1]))
            ):
                winners[name] = (order, value)
    return grouped(winners)


def grouped(writes: dict[Any, tuple[Order, Any]]) -> Groups:
    """The canonical groups of single writes."""
    by_order: dict[Order, dict[Any, Any]] = {}
    for name, (order, value) in writes.items():
        by_order.setdefault(order, {})[name] = value
    return [_group(order, sorted_map(by_order[order])) for order in sorted(by_order)]
