"""Counters: sums of increments beside a register. [MERGE-COUNTER]

State: a register (see `register`) and, beside it, `total`, the wrapping 64-bit sum of all
increments. A set records, where it is not zero, the total its author saw (`Based`).

Rule 1: merging adds totals: each increment counts once, whatever the order. It is the one merge
        that is not idempotent; the exactly-once upload makes up for it. [MERGE-COUNTER-1]
Rule 2: the value is what was set plus (total - seen): increments that the setter had not seen
        count on top, whatever the clocks say. [MERGE-COUNTER-2]
Rule 3: on null or anything that is no integer an increment shows nothing and is not lost.
        Where nothing was ever set, it counts from 0. [MERGE-COUNTER-3]
Rule 4: a total of zero is left out. [MERGE-COUNTER-4]
"""

from __future__ import annotations

from typing import Any, TypeAlias

from replication.model.encoding import sorted_map
from replication.model.values import Based

#: {name: total}, names ascending, totals not zero.
Totals: TypeAlias = dict[str, int]


def wrap(number: int) -> int:
    """Two's complement in 64 bits."""
    return (number + 2**63) % 2**64 - 2**63


def merge_totals(state: Totals, delta: Totals) -> Totals:
    """Both sums, name by name."""
    for name, amount in delta.items():
        state = add(state, name, amount)
    return state


def add(state: Totals, name: str, amount: int) -> Totals:
    """One more increment."""
    total = wrap(state.get(name, 0) + amount)
    if total == 0:
        state.pop(name, None)
        return state
    known = name in state
    state[name] = total
    return state if known else sorted_map(state)


def shown(stored: Any, total: int) -> Any:
    """What a reader sees of a register whose increments sum up to ``total``."""
    if type(stored) is Based:
        value, seen = stored.value, stored.seen
    else:
        value, seen = stored, 0
    if type(value) is int:
        return wrap(value + total - seen)
    return value


def based(value: Any, total: int) -> Any:
    """What a set of ``value`` writes, where its author sees ``total``."""
    return Based(value, total) if total else value
