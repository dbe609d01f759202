"""Objects: causal length, incarnations, fields by kind. [MERGE-OBJ]"""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicas import Edit, Replica, folded

from replication.crdt import object as obj
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, is_alive, merge
from replication.crdt.view import object_view
from replication.limits import NESTING_MAX
from replication.model.encoding import pack

NEWER = [9, 2, 2, 1]
STATES: list[Any] = [
    [length, at, incarnation, {}]
    for length, at, incarnation in product(range(5), [0, 1, 3, 5], [[], NEWER])
    if at >= length or at == 0
    if at or not incarnation
]


def devices(count: int = 2) -> list[Replica]:
    """Devices that hold one living object."""
    out = [Replica(ident) for ident in range(2, 2 + count)]
    out[0].write(lambda edit: edit.create())
    for device in out[1:]:
        device.read(out[0])
    return out


def meet(*known: Replica) -> Any:
    """Everyone tells everyone; returns what all of them show."""
    for _ in range(2):
        for device in known:
            for other in known:
                device.read(other)
    assert len({pack(device.state) for device in known}) == 1
    return object_view(known[0].state)


# -- causal length ---------------------------------------------------------------------------
def test_lengths_merge_by_maximum_and_content_by_incarnation() -> None:
    """[MERGE-OBJ-1], [MERGE-OBJ-2] and [MERGE-OBJ-3] on every pair of small states."""
    for left, right in product(STATES, STATES):
        length = max(left[0], right[0])
        content = max((left[1], left[2]), (right[1], right[2]))
        if content[0] < length:
            content = (0, [])
        assert merge(clone(left), right) == [length, *content, {}], (left, right)


def test_alive_is_an_odd_length_with_its_content() -> None:
    """[MERGE-OBJ-4] Content of a length not reached is kept and not shown."""
    assert [is_alive([length, at, [], {}]) for length, at in
            [(0, 0), (1, 1), (2, 0), (1, 3), (3, 3), (2, 3), (0, 1), (1, 0)]] == [
        False, True, False, False, True, False, False, False
    ]  # fmt: skip
    early = merge(absent(), [0, 1, [], {obj.COUNTER: {"n": 1}}])
    assert object_view(early) is None
    assert object_view(merge(early, [1, 1, [], {}])) == {"n": 1}


def test_content_that_was_passed_is_dropped() -> None:
    """[MERGE-OBJ-3]"""
    state = merge(absent(), [1, 1, [], {obj.COUNTER: {"n": 1}}])
    assert merge(state, [2, 0, [], {}]) == [2, 0, [], {}]
    assert merge([2, 0, [], {}], [0, 1, [], {obj.COUNTER: {"n": 1}}]) == [2, 0, [], {}]


def test_deleting_beats_concurrent_edits_and_creates_of_what_was_seen() -> None:
    """[MERGE-OBJ-1] However late they are."""
    left, right = devices()
    left.write(lambda edit: edit.delete())
    blind = Replica(9)  # which never heard of the object
    for device in (right, blind):
        device.wall_ms += 10_000
    blind.write(lambda edit: edit.create())
    for device in (right, blind):
        device.write(lambda edit: edit.scope().set("a", 1))
    assert meet(left, right, blind) is None


def test_creating_again_after_a_delete_was_seen_beats_older_deletes() -> None:
    """[MERGE-OBJ-1]"""
    left, right = devices()
    left.write(lambda edit: edit.delete())
    left.write(lambda edit: edit.create())
    left.write(lambda edit: edit.scope().set("a", 1))
    right.wall_ms += 10_000
    right.write(lambda edit: edit.delete())
    assert meet(left, right) == {"a": 1}


def test_the_same_key_created_twice_is_one_object() -> None:
    """[MERGE-OBJ-2] Its fields merge one by one."""
    left, right = Replica(2), Replica(3)
    for device, name in ((left, "a"), (right, "b")):
        device.write(lambda edit: edit.create())
        device.write(lambda edit, name=name: edit.scope().set(name, 1))  # type: ignore[misc]
    assert meet(left, right) == {"a": 1, "b": 1}


# -- embedded objects ------------------------------------------------------------------------
def test_created_from_null_on_both_sides_the_fields_merge() -> None:
    """[MERGE-OBJ-2]"""
    left, right = devices()
    left.write(lambda edit: edit.scope().create_embedded("e", 0).set("a", 1))
    right.write(lambda edit: edit.scope().create_embedded("e", 0).set("b", 2))
    assert meet(left, right) == {"e": {"a": 1, "b": 2}}


def test_of_two_replacements_the_later_wins_whole() -> None:
    """[MERGE-OBJ-2]"""
    left, right = devices()
    left.write(lambda edit: edit.scope().create_embedded("e", 0).set("a", 0))
    right.read(left)
    right.wall_ms += 1
    for device, name in ((left, "left"), (right, "right")):
        device.write(
            lambda edit, name=name: edit.scope().create_embedded("e", 1).set(name, 1)  # type: ignore[misc]
        )
    left.write(lambda edit: edit.scope().embedded("e").set("more", 1))
    assert meet(left, right) == {"e": {"right": 1}}


def test_an_explicit_null_beats_edits_and_replacements() -> None:
    """[MERGE-OBJ-1] Null over null too."""
    left, right = devices()
    left.write(lambda edit: edit.scope().erase_embedded("e", 0))
    right.wall_ms += 10_000
    right.write(lambda edit: edit.scope().create_embedded("e", 0).set("a", 1))
    right.write(lambda edit: edit.scope().create_embedded("e", 1).set("a", 2))
    assert meet(left, right) == {"e": None}
    right.write(lambda edit: edit.scope().create_embedded("e", 2).set("b", 3))
    assert meet(left, right) == {"e": {"b": 3}}


# -- kinds -----------------------------------------------------------------------------------
def test_kinds_stay_in_order_when_a_counter_goes_to_zero_as_another_comes() -> None:
    """Canonical states have ascending keys."""
    state = [1, 1, [], {1: {"n": 5}, 3: {"d": [[], [], {}]}}]
    delta = [0, 1, [], {1: {"n": -5}, 2: {"s": [[], []]}}]
    merged = merge(clone(state), delta)
    assert list(merged[3]) == [2, 3]
    assert pack(merged) == pack(merge(clone(delta), state))


def test_contradicting_kinds_stand_side_by_side() -> None:
    """[MERGE-OBJ] The schema says which is shown; nothing is lost."""
    left, right = devices()
    left.write(lambda edit: edit.scope().set("x", 1))
    right.write(lambda edit: edit.scope().set_member("x", 2, present=True))
    meet(left, right)
    assert set(left.state[3]) == {obj.REGISTER, obj.SET}


@pytest.mark.parametrize("kind", [obj.EMBEDDED, obj.DICTIONARY, obj.LIST])
def test_the_deepest_object_there_may_be_merges_and_shows(kind: int) -> None:
    """[EDIT-5] No recursion ends before NESTING_MAX does."""
    device = Replica(2)
    device.write(lambda edit: edit.create())

    def dig(edit: Edit) -> None:
        scope = edit.scope()
        for _ in range(NESTING_MAX):
            if kind == obj.EMBEDDED:
                scope = scope.create_embedded("x", 0)
            elif kind == obj.DICTIONARY:
                scope = scope.create_item("x", "k", 0)
            else:
                editor = edit.editor(scope, "x")
                (here,) = scope.list_insert("x", editor, 0, [None])
                scope = scope.element("x", editor, here)
        scope.set("bottom", 1)

    delta = device.write(dig)
    state = merge(merge(absent(), delta), device.state)
    assert repr(object_view(state)).count("x") == NESTING_MAX
    assert "bottom" in repr(object_view(state))


@given(st.permutations(range(5)))
def test_a_life_told_in_any_order(order: list[int]) -> None:
    """[MERGE-OBJ] Created, edited, deleted, created again, edited."""
    device = Replica(2)
    steps: list[Any] = [
        lambda edit: edit.create(),
        lambda edit: edit.scope().set("a", 1),
        lambda edit: edit.delete(),
        lambda edit: edit.create(),
        lambda edit: edit.scope().set("b", 2),
    ]
    deltas = [device.write(step) for step in steps]
    state = folded([deltas[index] for index in order])
    assert object_view(state) == {"b": 2}
    assert pack(state) == pack(device.state)


def test_every_order_of_two_lives_agrees() -> None:
    """[MERGE-OBJ] Two devices delete and create the same object over and over."""
    left, right = devices()
    deltas = list(left.known.values())
    for _ in range(2):
        for device in (left, right):
            deltas.append(device.write(lambda edit: edit.delete()))
            deltas.append(device.write(lambda edit: edit.create()))
    expected = pack(folded(deltas))
    for order in list(permutations(deltas))[::97]:
        assert pack(folded(order)) == expected
