"""Past a horizon: interleavings that lead through one point, where all that is dead is forgotten.

At a point some changesets of each replica are merged. There everything dead is forgotten; what is
left to come was written before, so its author re-bases it on what is left. Then it comes in every
order, step by step as in `campaign.py`, and what it comes to obeys the laws of `reference_ages.py`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import product
from math import factorial
from typing import Any, NamedTuple, TypeAlias, TypeVar

from reference import operations
from reference_ages import Aged, alike, places_in

from replication.crdt.forget import forget
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, merge
from replication.crdt.rebase import Rebase
from replication.crdt.view import object_view
from replication.model.encoding import pack, unpack_trusted

T = TypeVar("T")
#: How many changesets of each replica lie before the horizon.
Point: TypeAlias = tuple[int, ...]
POINTS: list[Point] = list(product(range(3), repeat=3))


#: What a replica wrote, in its order.
Deltas: TypeAlias = Sequence[ObjectState]


class Late(NamedTuple):
    """A changeset that comes behind the horizon: as it was written, and as it is merged.

    Attributes:
        facts: of what was written, for the model.
        knew: the places its author knew.
    """

    written: ObjectState
    delta: ObjectState
    facts: list[Any]
    knew: frozenset[Any]


def chance(among: Sequence[T], *what: Any) -> T:
    """One of some things: by chance, but the same each time."""
    return among[zlib.crc32(repr(what).encode()) % len(among)]


def runs_through(point: Point) -> int:
    """How many interleavings lead through a point."""
    return _ways(point) * _ways([2 - count for count in point])


def _ways(counts: Sequence[int]) -> int:
    out = factorial(sum(counts))
    for count in counts:
        out //= factorial(count)
    return out


def past_horizon(start: bytes, here: bytes, point: Point, written: Sequence[Deltas]) -> str | None:
    """Forget at a point, and deliver the rest in all orders.

    Args:
        start: the bytes that all replicas began with; `here`: those at the point.
        written: the deltas of each replica.

    Returns:
        what is wrong, or None.
    """
    left = forget(unpack_trusted(here))
    if pack(object_view(unpack_trusted(here))) != pack(object_view(left)):
        return "forgetting changed what shows"
    settled = pack(left)
    if pack(forget(left)) != settled:
        return "forgetting twice"
    base = operations(unpack_trusted(start))
    each = zip(written, point, strict=True)
    rest = [_late(start, settled, base, deltas, count) for deltas, count in each]
    end = _delivered(settled, rest)
    if end is None:
        return "an order of what came late"
    return _breaks_a_law(end, base, point, written, rest)


def _late(start: bytes, settled: bytes, base: list[Any], deltas: Deltas, count: int) -> list[Late]:
    """What one replica has yet to send after ``count`` of its deltas, re-based."""
    if count == len(deltas):
        return []
    before = unpack_trusted(start)
    for delta in deltas[:count]:
        before = merge(before, delta)
    past = Rebase(before, unpack_trusted(settled), held=True)
    facts = [operations(delta) for delta in deltas]
    knew = places_in([*base, *(fact for each in facts for fact in each)])
    return [
        Late(delta, past.take(clone(delta)), said, knew)
        for delta, said in zip(deltas[count:], facts[count:], strict=True)
    ]


def _delivered(settled: bytes, rest: list[list[Late]]) -> bytes | None:
    """The bytes that all orders lead to; None if they differ."""
    points: dict[tuple[int, ...], bytes] = {}
    for counts in product(*(range(len(each) + 1) for each in rest)):
        ways = set()
        for number, count in enumerate(counts):
            if count:
                before = (*counts[:number], count - 1, *counts[number + 1 :])
                state = unpack_trusted(points[before])
                ways.add(pack(merge(state, rest[number][count - 1].delta)))
        if len(ways) > 1:
            return None
        points[counts] = ways.pop() if ways else settled
    return points[counts]


def _breaks_a_law(
    end: bytes, base: list[Any], point: Point, written: Sequence[Deltas], rest: list[list[Late]]
) -> str | None:
    model, original = Aged(), Aged()
    for each in (model, original):
        each.take_facts("start", base)
        for number, (deltas, count) in enumerate(zip(written, point, strict=True)):
            for at in range(count):
                each.take((number, at), deltas[at])
        each.forget()
    late = [
        ((number, at, "late"), item)
        for number, items in enumerate(rest)
        for at, item in enumerate(items)
    ]
    for name, item in late:
        changed = item.delta != item.written
        model.take_facts(name, operations(item.delta) if changed else item.facts)
        original.take_facts(name, item.facts)
    if pack(object_view(unpack_trusted(end))) != pack(model.value()):
        return "Law 1"
    if any(item.delta != item.written for _, item in late):
        known = [item.knew for _, item in late]
        if not alike(model.value(named=True), original.value(named=True), known):
            return "Law 3"
    return None
