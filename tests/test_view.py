"""What a reader sees of a state: values without metadata. [STATE-VIEW]"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from replicas import Edit, Replica
from state_strategies import OBJECTS

from replication.crdt import object as obj
from replication.crdt.view import (
    column_values,
    fields_view,
    list_values,
    object_view,
    query_values,
    queryable,
    register_value,
    registers,
    shows,
)
from replication.model.encoding import pack, storable
from replication.model.values import ERASED, Based, Container
from replication.query.columns import column_value

#: Every kind once.
FIELDS: dict[int, Any] = {
    obj.REGISTER: [[5, 2, {"a": 1, "n": Based(10, 4)}]],
    obj.COUNTER: {"m": 3, "n": 6},
    obj.SET: {"s": [[], [[5, 2, {pack(2): True, pack(1): True, pack(3): False}]]]},
    obj.DICTIONARY: {
        "d": [[], [[5, 2, {"k": 1}], [6, 2, {"gone": ERASED}]], {}],
        "m": [[], [], {"dead": [2, 0, [], {}], "k": [1, 1, [], {obj.COUNTER: {"n": 1}}]}],
    },
    obj.LIST: {
        "l": [[], [[[2, 1, 0, 5, 2, ["x", "y"]]], [], [], [], []]],
        "o": [[], [[[2, 3, 0, 5, 2, [None]]], [], [], [], [[2, 3, {obj.COUNTER: {"n": 2}}]]]],
    },
    obj.EMBEDDED: {"e": [1, 1, [], {obj.COUNTER: {"n": 5}}], "f": [2, 0, [], {}]},
}
SHOWN = {
    "a": 1,
    "d": {"k": 1},
    "e": {"n": 5},
    "f": None,
    "l": ["x", "y"],
    "m": 3,
    "n": 12,
    "o": [{"n": 2}],
    "s": [1, 2],
}


def test_every_kind_is_shown() -> None:
    """[STATE-VIEW] Names ascending. The greater kind that shows something wins a name."""
    assert object_view([1, 1, [], FIELDS]) == SHOWN | {"m": {"k": {"n": 1}}}
    assert list(fields_view(FIELDS)) == sorted(SHOWN)


def test_what_is_not_alive_shows_nothing() -> None:
    """[STATE-VIEW]"""
    for length, at in [(0, 1), (2, 0), (2, 3), (1, 3)]:
        assert object_view([length, at, [], FIELDS if at else {}]) is None
        assert dict(queryable([length, at, [], FIELDS if at else {}])) == {}
        assert dict(query_values(pack([length, at, [], FIELDS if at else {}]))) == {}
        assert column_values([length, at, [], {}], ["a"]) is None


def test_a_dead_embedded_object_hides_no_other_kind() -> None:
    """[STATE-VIEW] It shows null only where nothing else has the name."""
    dead = {"x": [2, 0, [], {}]}
    assert fields_view({obj.EMBEDDED: dead}) == {"x": None}
    assert fields_view({obj.REGISTER: [[1, 1, {"x": 5}]], obj.EMBEDDED: dead}) == {"x": 5}


def test_queries_see_everything_but_text() -> None:
    """[STATE-VIEW] And of what is spread over parts, nothing."""
    seen = {name: value for name, value in SHOWN.items() if name != "t"} | {"m": {"k": {"n": 1}}}
    assert dict(queryable([1, 1, [], FIELDS])) == seen
    assert dict(query_values(pack([1, 1, [], FIELDS]))) == seen
    assert len(queryable([1, 1, [], FIELDS])) == len(seen)
    spread = {obj.LIST: {"l": [[], [[0, 0, 0]], 1]}}
    assert queryable([1, 1, [], spread]).get("l") is None
    assert column_values([1, 1, [], FIELDS], []) == {}
    with pytest.raises(KeyError, match="nothing of this name"):
        queryable([1, 1, [], FIELDS])["nothing of this name"]


def test_columns_are_the_fields_asked_for() -> None:
    """[STATE-VIEW] Null where there is nothing, with and without collections."""
    assert column_values([1, 1, [], FIELDS], ["a", "n", "s", "none"]) == {
        "a": 1, "n": 12, "s": [1, 2], "none": None
    }  # fmt: skip
    plain = {kind: FIELDS[kind] for kind in (obj.REGISTER, obj.COUNTER)}
    assert column_values([1, 1, [], plain], ["n", "m", "none"]) == {"n": 12, "m": 3, "none": None}


@pytest.mark.parametrize("stored", [Container(4, 2, 1), Based(Container(4, 2, 1), 3)])
def test_references_to_containers_that_are_not_there_show_null(stored: Any) -> None:
    """[STATE-VIEW] In every place that can hold one."""
    fields: dict[int, Any] = {
        obj.REGISTER: [[5, 2, {"a": stored}]],
        obj.DICTIONARY: {"d": [[], [[5, 2, {"k": Container(3, 2, 1)}]], {}]},
        obj.LIST: {"l": [[], [[[2, 1, 0, 5, 2, [Container(3, 2, 1)]]], [], [], [], []]]},
    }
    assert fields_view(fields) == {"a": None, "d": {"k": None}, "l": [None]}
    assert register_value(fields, "a") == Container(4, 2, 1)
    assert registers(fields) == {"a": Container(4, 2, 1)}
    assert list(list_values(fields[obj.LIST]["l"])) == [(Container(3, 2, 1), None)]


@given(OBJECTS)
def test_any_state_has_a_view_of_nothing_but_values(state: Any) -> None:
    """[STATE-VIEW] No marker of the engine's own is ever shown."""

    def hold(value: Any, marks: tuple[type, ...] = (Based, Container)) -> None:
        if isinstance(value, dict):
            for item in value.values():
                hold(item, marks)
        elif isinstance(value, list):
            for item in value:
                hold(item, marks)
        else:
            assert not isinstance(value, marks)
            assert value is not ERASED
            storable(value)

    hold(object_view(state))
    shown = queryable(state)
    hold(dict(shown))
    for name in ("a", "b"):
        columns = column_values(state, [name]) or {}
        assert repr(columns.get(name)) == repr(shown.get(name))
        column_value(shown.get(name))


def test_a_list_shows_the_fields_of_its_elements() -> None:
    """[STATE-VIEW]"""
    device = Replica(2)
    device.write(lambda edit: edit.create())

    def write(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "o")
        for number in range(2):
            (here,) = scope.list_insert("o", editor, number, [None])
            if number:
                scope.element("o", editor, here).set("a", number)

    device.write(write)
    assert object_view(device.state) == {"o": [None, {"a": 1}]}
    state = device.state[3][obj.LIST]["o"]
    assert [fields is None for _, fields in list_values(state)] == [True, False]


def test_a_head_tells_by_its_first_bytes_whether_it_shows() -> None:
    """[MERGE-OBJ-4]"""
    assert not shows(None)
    for length in (0, 1, 2, 3, 126, 127, 128, 129, 255, 257, 65_535, 65_537):
        for at in {0, length | 1, length, 1} - {length & ~1}:
            state = [length, at, [], {}]
            assert shows(pack(state)) is obj.is_alive(state), state
