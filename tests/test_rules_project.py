"""Projections: what is left of states and deltas where only some fields may be read."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from replicas import Edit, wander

from replication.crdt import object as obj
from replication.crdt.edit import Author
from replication.crdt.object import ObjectState, absent, merge
from replication.crdt.parts import Parts
from replication.crdt.view import object_view
from replication.crdt.whole import check_parts, joined
from replication.model.encoding import pack, unpack_trusted
from replication.rules import access
from replication.rules.access import Access
from replication.rules.project import (
    UnknownHomeError,
    projected_delta,
    projected_head,
    projected_parts,
)


def some_access(rng: Random, depth: int = 2) -> Access:
    """A random set of the names that `wander` writes to."""
    named = {}
    for name in "rnxcsdloemt":
        choice = rng.random()
        if choice < 0.3:
            named[name] = access.ALL
        elif choice < 0.5:
            named[name] = access.NONE
        elif choice < 0.7 and depth:
            named[name] = some_access(rng, depth - 1)
    return access.access(rng.random() < 0.3, named)


def deltas(rng: Random, count: int) -> list[ObjectState]:
    """What one device and then another wrote to one object."""
    out, state, sequence = [], absent(), 0

    def mint() -> int:
        nonlocal sequence
        sequence += 1
        return sequence

    for time in range(count):
        edit = Edit(state, Author((time + 1, 2 + time % 2), mint))
        wander(rng, 6)(edit)
        delta = edit.finish()[0]
        out.append(delta)
        state = merge(state, unpack_trusted(pack(delta)))
    return out


@pytest.mark.parametrize("seed", range(60))
def test_projecting_commutes_with_merging(seed: int) -> None:
    """[RULES-HIDE-1]"""
    rng = Random(seed)
    held = some_access(rng)
    whole, seen = absent(), absent()
    for delta in deltas(rng, 12):
        whole = merge(whole, unpack_trusted(pack(delta)))
        try:
            part = projected_delta(pack(delta), held, whole)
        except UnknownHomeError:
            seen = unpack_trusted(projected_head(pack(whole), held))
            continue
        if part is not None:
            seen = merge(seen, unpack_trusted(part))
        assert pack(seen) == projected_head(pack(whole), held), f"seed {seed}"


@pytest.mark.parametrize("seed", range(20))
def test_everything_readable_is_left_as_it_is(seed: int) -> None:
    whole = absent()
    for delta in deltas(Random(seed), 4):
        whole = merge(whole, unpack_trusted(pack(delta)))
        if delta[0] or delta[3]:
            assert projected_delta(pack(delta), access.ALL, whole) == pack(delta)
        assert projected_head(pack(delta), access.NONE) == pack([*delta[:3], {}])


def long_list(embedded: bool) -> tuple[ObjectState, Parts]:
    """An object with a list that is spread over parts."""
    state, parts = [1, 1, [], {}], Parts()
    edit = Edit(state, Author((5, 2), iter(range(1, 10_000)).__next__))
    scope = edit.scope()
    scope.set("r", "canary-r")
    editor = edit.editor(scope, "o" if embedded else "l")
    name = "o" if embedded else "l"
    values = [None if embedded else f"canary-{at}" for at in range(600)]
    for at, here in enumerate(scope.list_insert(name, editor, 0, values)):
        if embedded:
            scope.element("o", editor, here).set("r", f"canary-{at}")
    return merge(absent(), unpack_trusted(pack(edit.finish()[0])), parts), parts


def travelling(parts: Parts) -> list[list[Any]]:
    return [[name, 7, parts.read(name)] for name in parts.names()]


def test_parts_of_a_hidden_list_stay() -> None:
    """[RULES-HIDE-2]"""
    state, parts = long_list(embedded=False)
    assert len(travelling(parts)) > 1
    hidden = access.access(True, {"l": access.NONE})
    assert projected_parts(travelling(parts), hidden, state) == []
    assert b"canary-599" not in projected_head(pack(state), hidden)
    shown = access.access(False, {"l": access.ALL})
    assert projected_parts(travelling(parts), shown, state) == travelling(parts)
    head = unpack_trusted(projected_head(pack(state), shown))
    assert b"canary-r" not in pack(head)
    held = {name: data for name, _, data in travelling(parts)}
    assert joined(head, Parts(held.get, held.keys))[3][obj.LIST]["l"]


def test_objects_in_a_spread_list_are_read_in_part() -> None:
    """[RULES-HIDE-2]"""
    state, parts = long_list(embedded=True)
    some = access.access(False, {"o": access.access(False, {"n": access.ALL})})
    head = unpack_trusted(projected_head(pack(state), some))
    left = projected_parts(travelling(parts), some, state)
    assert b"canary" not in pack([head, left])
    held = {name: data for name, _, data in left}
    check_parts(head, Parts(held.get, held.keys))
    assert len(joined(head, Parts(held.get, held.keys))[3][obj.LIST]["o"][1][0]) == 1


@pytest.mark.parametrize("count", [1, 600])
def test_lists_in_mixed_values_of_objects_in_a_list(count: int) -> None:
    """[RULES-HIDE-1] [RULES-HIDE-2]: each belongs to its property; the longest is spread, too."""
    edit = Edit(absent(), Author((5, 2), iter(range(1, 10**6)).__next__))
    edit.create()
    scope = edit.scope()
    editor = edit.editor(scope, "o")
    for at, here in enumerate(scope.list_insert("o", editor, 0, [None] * count)):
        nested = edit.nested(scope.element("o", editor, here))
        nested.set("x", [f"shown-{at}", {"deep": [f"shown-{at}"]}])
        nested.set("y", [f"canary-{at}"] * (600 if at == 0 else 1))
    parts = Parts()
    state = merge(absent(), unpack_trusted(pack(edit.finish()[0])), parts)
    some = access.access(False, {"o": access.access(False, {"x": access.ALL})})
    head = unpack_trusted(projected_head(pack(state), some))
    left = projected_parts(travelling(parts), some, state)
    assert b"canary" not in pack([head, left])
    held = {name: data for name, _, data in left}
    check_parts(head, Parts(held.get, held.keys))
    view = object_view(head, Parts(held.get, held.keys)) or {}
    assert view["o"] == [{"x": [f"shown-{at}", {"deep": [f"shown-{at}"]}]} for at in range(count)]
    other = access.access(False, {"o": access.access(False, {"y": access.ALL})})
    head = unpack_trusted(projected_head(pack(state), other))
    left = projected_parts(travelling(parts), other, state)
    assert b"shown" not in pack([head, left])
    held = {name: data for name, _, data in left}
    view = object_view(head, Parts(held.get, held.keys)) or {}
    assert view["o"][0] == {"y": ["canary-0"] * 600}


def test_an_edit_in_a_mixed_value_of_an_object_in_a_list() -> None:
    """[RULES-HIDE-1]: known where the object is in the head, else the state has to be sent."""
    edit = Edit([1, 1, [], {}], Author((5, 2), iter(range(1, 10**6)).__next__))
    scope = edit.scope()
    editor = edit.editor(scope, "o")
    (here,) = scope.list_insert("o", editor, 0, [None])
    edit.nested(scope.element("o", editor, here)).set("x", [1])
    start, state = edit.finish()
    again = Edit(state, Author((6, 2), iter(range(10**6, 10**7)).__next__))
    editor = again.editor(again.scope(), "o")
    inner = again.scope().element("o", editor, here)
    (name,) = inner.view[obj.CONTAINER]
    inner.list_insert(name, again.editor(inner, name), 0, [2])
    delta = pack(again.finish()[0])
    of_x = access.access(False, {"o": access.access(False, {"x": access.ALL})})
    of_y = access.access(False, {"o": access.access(False, {"y": access.ALL})})
    assert projected_delta(delta, of_x, state) == delta
    hidden = projected_delta(delta, of_y, state)
    assert hidden is None or obj.CONTAINER not in unpack_trusted(hidden)[3]
    with pytest.raises(UnknownHomeError):
        projected_delta(delta, of_x, [1, 1, [], {}])
    assert start


def test_a_stamp_that_only_hidden_fields_share_stays() -> None:
    """[RULES-HIDE-2]: one that a readable field shares is that field's."""
    groups = [[5, 2, {"a": 1, "b": 2}], [77, 3, {"b": 3, "c": 4}]]
    head = pack([1, 1, [], {obj.REGISTER: groups}])
    held = access.access(False, {"a": access.ALL})
    assert unpack_trusted(projected_head(head, held)) == [1, 1, [], {0: [[5, 2, {"a": 1}]]}]


def test_an_edit_of_a_container_that_is_gone_needs_the_state() -> None:
    name = pack([obj.LIST, 2, 9])
    edit = pack([0, 1, [], {obj.CONTAINER: {name: [[], [[], [[], [], [], [], []]]]}}])
    with pytest.raises(UnknownHomeError):
        projected_delta(edit, access.access(True, {"a": access.NONE}), [1, 1, [], {}])


def test_the_property_can_fail() -> None:
    """Hiding a field in states alone is found."""
    delta = pack([1, 1, [], {obj.REGISTER: [[5, 2, {"a": 1}]]}])
    held = access.access(False, {})
    assert projected_head(delta, held) != delta
    assert json.loads(json.dumps(held.key)) == [False, []]
