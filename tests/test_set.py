"""Sets: last writer for each member. [MERGE-SET]"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from model_strategies import VALUES
from replicas import Replica

from replication.crdt import object as obj
from replication.crdt.object import merge
from replication.crdt.set import member_bytes, members, merge_set
from replication.crdt.view import object_view
from replication.model.encoding import pack
from replication.model.values import Float32

ONE = pack(1)


def test_the_later_write_to_a_member_wins() -> None:
    """[MERGE-SET]"""
    insert, remove = [[], [[5, 2, {ONE: True}]]], [[], [[6, 3, {ONE: False}]]]
    for order in permutations([insert, remove]):
        state: Any = [[], []]
        for delta in order:
            state = merge_set(state, delta)
        assert state == [[], [[6, 3, {ONE: False}]]]
        assert members(state) == []


def test_a_removed_member_comes_back_with_a_later_insert() -> None:
    """[MERGE-SET]"""
    state: Any = [[], [[6, 3, {ONE: False}]]]
    assert members(merge_set(state, [[], [[7, 2, {ONE: True}]]])) == [1]


@given(st.lists(VALUES, max_size=8))
def test_members_are_one_when_their_bytes_are(values: list[Any]) -> None:
    """[MERGE-SET-1]"""
    device = Replica(2)
    device.write(lambda edit: edit.create())

    def insert(edit: Any) -> None:
        for value in values:
            edit.scope().set_member("s", value, present=True)

    device.write(insert)
    state = device.state[3].get(obj.SET, {}).get("s", [[], []])
    assert member_bytes(state) == sorted({pack(value) for value in values})
    assert [pack(value) for value in members(state)] == member_bytes(state)


def test_numbers_that_python_calls_equal_are_different_members() -> None:
    """[MERGE-SET-1]"""
    numbers = [1, 1.0, True, Float32(1), 0.0, -0.0]
    device = Replica(2)
    device.write(lambda edit: edit.create())
    for number in numbers:
        device.write(lambda edit, n=number: edit.scope().set_member("s", n, present=True))  # type: ignore[misc]
    assert len(members(device.state[3][obj.SET]["s"])) == len(numbers)


def test_a_cleared_set_drops_concurrent_inserts() -> None:
    """[MERGE-INC-1] The last replacement wins whole."""
    left, right = Replica(2), Replica(3)
    left.write(lambda edit: edit.create())
    left.write(lambda edit: edit.scope().set_member("s", 1, present=True))
    right.read(left)
    left.write(lambda edit: edit.scope().restart(obj.SET, "s"))
    left.write(lambda edit: edit.scope().set_member("s", 2, present=True))
    right.write(lambda edit: edit.scope().set_member("s", 3, present=True))
    right.read(left)
    assert object_view(right.state) == {"s": [2]}
    assert members(merge(right.state, left.state)[3][obj.SET]["s"]) == [2]
