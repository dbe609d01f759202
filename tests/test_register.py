"""Registers: the last writer wins, and one transaction's writes share a group. [MERGE-REG]"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_strategies import FIELD_VALUES, groups

from replication.crdt.incarnation import clone
from replication.crdt.register import (
    Groups,
    Order,
    default,
    explicit,
    grouped,
    in_order,
    merge_groups,
    order_of,
    put,
    read,
    seen_stamp,
)
from replication.model.encoding import pack

NAMES = [f"p{number:02}" for number in range(14)]
GROUPS = st.randoms(use_true_random=False).map(lambda rng: groups(rng, NAMES, FIELD_VALUES))
STAMPS = st.tuples(st.integers(1, 9), st.integers(0, 3))


def writes(state: Groups) -> dict[Any, tuple[Order, bytes, Any]]:
    return {
        name: (order_of(group), pack(value), value)
        for group in state
        for name, value in group[2].items()
    }


@given(GROUPS, GROUPS)
def test_the_greatest_order_key_wins_at_every_name(left: Groups, right: Groups) -> None:
    """[MERGE-REG-1] Equal keys: the greater canonical bytes. [MERGE-TIE]"""
    ours, theirs = writes(left), writes(right)
    expected = {
        name: max(side[name][:2] for side in (ours, theirs) if name in side)
        for name in {*ours, *theirs}
    }
    merged = merge_groups(clone(left), right)
    assert {name: write[:2] for name, write in writes(merged).items()} == expected


@pytest.mark.parametrize("others", [0, 12])
def test_equal_order_keys_leave_the_greater_bytes(others: int) -> None:
    """[MERGE-TIE] Where few writes are merged and where many are; 1 and 1.0 are no tie either."""
    beside = {f"z{number:02}": number for number in range(others)}
    values = sorted(FIELD_VALUES, key=pack)
    for lesser, greater in pairwise(values):
        low: Groups = [[5, 2, {"a": lesser, **beside}]]
        high: Groups = [[5, 2, {"a": greater, **beside}]]
        for left, right in ((low, high), (high, low), (high, high)):
            assert pack(merge_groups(clone(left), right)) == pack(high)


def test_a_default_replaces_what_its_author_saw() -> None:
    """[MERGE-REG-2]"""
    seen = [[5, 2, {"a": "old"}]]
    state = merge_groups(clone(seen), grouped({"a": (default((9, 3), (5, 2)), "default")}))
    assert read(state, "a") == "default"


def test_a_default_loses_to_every_explicit_write_its_author_did_not_see() -> None:
    """[MERGE-REG-2] Earlier or later by the clock: the explicit write wins."""
    for time in (1, 20):
        unseen = grouped({"a": (explicit((time, 7)), "meant")})
        fresh = grouped({"a": (default((9, 3), (0, 0)), "default")})
        assert read(merge_groups(clone(fresh), unseen), "a") == "meant"
        assert read(merge_groups(clone(unseen), fresh), "a") == "meant"


def test_a_default_loses_to_explicit_writes_later_than_the_one_it_saw() -> None:
    """[MERGE-REG-2] and beats the unseen ones that had lost to that one already."""
    over = grouped({"a": (default((9, 3), (5, 2)), "default")})
    assert read(merge_groups(clone(over), [[5, 3, {"a": "later"}]]), "a") == "later"
    assert read(merge_groups(clone(over), [[4, 9, {"a": "earlier"}]]), "a") == "default"


def test_a_default_over_a_default_keeps_what_was_seen() -> None:
    """[MERGE-REG-2]"""
    state: Groups = [[5, 2, {"a": 1}]]
    assert seen_stamp(state, "a") == (5, 2)
    put(state, default((6, 2), seen_stamp(state, "a")), "a", 2)
    assert seen_stamp(state, "a") == (5, 2)
    put(state, default((7, 2), seen_stamp(state, "a")), "a", 3)
    assert state == [[5, 2, {"a": 3}, 7, 2]]
    assert seen_stamp(state, "b") == (0, 0)


@given(GROUPS, GROUPS)
def test_groups_stay_canonical(left: Groups, right: Groups) -> None:
    """[MERGE-REG-3] Ascending, none empty, a name in one only, names ascending."""
    merged = merge_groups(clone(left), right)
    orders = [order_of(group) for group in merged]
    assert orders == sorted(set(orders))
    assert all(group[2] for group in merged)
    names = [name for group in merged for name in group[2]]
    assert len(names) == len(set(names))
    assert all(list(group[2]) == sorted(group[2]) for group in merged)
    assert pack(grouped({name: (w[0], w[2]) for name, w in writes(merged).items()})) == pack(merged)


@given(GROUPS, st.sampled_from(NAMES), STAMPS)
def test_a_later_write_is_put_as_it_would_be_merged(
    state: Groups, name: str, stamp: tuple[int, int]
) -> None:
    """[EDIT-1] `put` and `merge_groups` agree where the write is the latest."""
    order = explicit((2**63 - 1, 2**48 - 1 - stamp[1]))
    merged = merge_groups(clone(state), grouped({name: (order, "new")}))
    held = clone(state)
    if any(write[0] >= order for write in writes(held).values()):
        return
    put(held, order, name, "new")
    assert pack(in_order(held)) == pack(merged)


def test_defaults_of_one_transaction_are_one_group() -> None:
    """[MERGE-REG-2] [MERGE-REG-3]"""
    held: Any = []
    order = default((9, 2), (3, 2))
    put(held, order, "a", 1)
    put(held, order, "b", 2)
    assert held == [[3, 2, {"a": 1, "b": 2}, 9, 2]]
    assert order_of(held[0]) == order
