"""Corners and bounds of rules, each in a table: mutants survived there. [RULES]"""

from __future__ import annotations

from typing import Any

import pytest

from replication.crdt import object as obj
from replication.crdt.container import default_id
from replication.crdt.parts import Parts, Path, part_name
from replication.crdt.view import QueryFields
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import ERASED, Container
from replication.rules import access
from replication.rules.access import ALL, NONE, Access
from replication.rules.project import (
    UnknownHomeError,
    is_hidden,
    owner_of,
    projected,
    projected_delta,
    projected_parts,
    seen_fields,
)

#: Of objects, the field `a`; of anything else, nothing.
A = access.access(False, {"a": ALL})


def only(**named: Access) -> Access:
    """Some fields and no others."""
    return access.access(False, named)


# -- what is left of a state -----------------------------------------------------------------------
INNER: dict[int, Any] = {obj.REGISTER: [[5, 2, {"a": 1, "b": 2}], [6, 2, {"c": 3}]]}
LEFT: dict[int, Any] = {obj.REGISTER: [[5, 2, {"a": 1}]]}
IN_PART: list[tuple[str, int, Any, Any]] = [
    ("an embedded object", obj.EMBEDDED, [1, 1, [], INNER], [1, 1, [], LEFT]),
    (
        "a dictionary: that keys were removed, and its objects",
        obj.DICTIONARY,
        [[7, 2, 2, 1], [[3, 2, {"n": 1, "old": ERASED}, 9, 2], [5, 2, {"k": 1, "gone": ERASED}],
                        [6, 2, {"l": 1}]],
         {"e": [1, 1, [], INNER]}],
        [[7, 2, 2, 1], [[3, 2, {"old": ERASED}, 9, 2], [5, 2, {"gone": ERASED}]],
         {"e": [1, 1, [], LEFT]}],
    ),
    (
        "a list: its places, and its objects",
        obj.LIST,
        [[], [[[2, 1, 0, 5, 2, ["v", None]], [2, 3, 0, 5, 2, 2]], [[2, 1, 6, 2, "set"]],
              [[2, 1, 6, 2, 2, 2]], [[2, 9, 1]], [[2, 2, INNER]]]],
        [[], [[[2, 1, 0, 5, 2, [None, None]], [2, 3, 0, 5, 2, 2]], [[2, 1, 6, 2, None]],
              [[2, 1, 6, 2, 2, 2]], [[2, 9, 1]], [[2, 2, LEFT]]]],
    ),
    ("a list whose elements are in parts", obj.LIST, [[], [[0, 0, 0]], 1], [[], [[0, 0, 0]], 1]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "held", "left"), [row[1:] for row in IN_PART],
                         ids=[row[0] for row in IN_PART])  # fmt: skip
def test_of_what_may_be_read_in_part(kind: int, held: Any, left: Any) -> None:
    """[RULES-HIDE-2]"""
    state = [3, 1, [9, 2, 2, 5], {kind: {"x": held}}]
    for now in (state, [1, 1, [], {}], [1, 1, [], {kind: {"y": held}}]):
        assert projected(state, only(x=A), now) == [*state[:3], {kind: {"x": left}}]
        assert projected(state, only(x=ALL), now) == state
        assert projected(state, only(x=NONE, y=ALL), now) == [*state[:3], {}]


@pytest.mark.parametrize("kind", [obj.COUNTER, obj.SET, obj.TEXT])
def test_what_holds_no_objects_is_read_whole_or_not_at_all(kind: int) -> None:
    """[RULES-HIDE-2]"""
    state = [1, 1, [], {kind: {"x": 5, "y": 6}}]
    assert projected(state, only(x=A, y=ALL), state)[3] == {kind: {"y": 6}}
    assert projected(state, only(x=A), state)[3] == {}


def test_a_delta_of_which_nothing_is_left_is_not_sent() -> None:
    """[RULES-HIDE-2]: what only edits hidden fields; that the object lives, or not, is told."""
    now = [1, 1, [], {}]
    written = {obj.REGISTER: [[5, 2, {"b": 1}]]}
    for delta, left in (
        ([0, 1, [], written], None),
        ([1, 1, [], written], [1, 1, [], {}]),
        ([2, 1, [], {}], [2, 1, [], {}]),
        ([0, 1, [], INNER], [0, 1, [], LEFT]),
    ):
        found = projected_delta(pack(delta), A, now)
        assert found == (None if left is None else pack(left))
        assert is_hidden(pack(delta), A, now) is (left is None)


# -- containers ------------------------------------------------------------------------------------
ONE, TWO, THREE = (pack([obj.LIST, 2, number]) for number in (1, 2, 3))
EMPTY: Any = [[], [[], [], [], [], []]]


def test_the_property_that_a_container_belongs_to() -> None:
    """[RULES-HIDE-2] By way of those it is in; what is known here before what a delta says."""
    home = {ONE: [[obj.REGISTER, "x"], EMPTY]}
    inside = {TWO: [[obj.CONTAINER, ONE, [2, 5]], EMPTY]}
    assert owner_of(ONE, {}, home) == owner_of(ONE, home, {}) == "x"
    assert owner_of(TWO, inside, home) == owner_of(TWO, home, inside) == "x"
    lie = {ONE: [[obj.REGISTER, "y"], EMPTY], TWO: [[obj.REGISTER, "y"], EMPTY]}
    assert owner_of(TWO, lie, {**home, **inside}) == "x"
    assert owner_of(TWO, inside, {}) is None
    assert owner_of(ONE, {ONE: [[], EMPTY]}, {}) is None
    round_and_round = {
        ONE: [[obj.CONTAINER, TWO, [2, 5]], EMPTY],
        TWO: [[obj.CONTAINER, ONE, [2, 5]], EMPTY],
    }
    assert owner_of(ONE, {}, round_and_round) is None
    assert owner_of(default_id(obj.LIST, "x", (0, 0)), {}, {}) == "x"
    in_default = {ONE: [[obj.CONTAINER, default_id(obj.LIST, "x", (3, 2)), [2, 5]], EMPTY]}
    assert owner_of(ONE, {}, in_default) == "x"


def test_containers_go_with_their_property() -> None:
    """[RULES-HIDE-2] One without a home is hidden in a state, and unknown in a delta."""
    held = {
        ONE: [[obj.REGISTER, "x"], EMPTY],
        TWO: [[obj.REGISTER, "y"], EMPTY],
        THREE: [[], EMPTY],
    }
    state = [1, 1, [], {obj.CONTAINER: held}]
    assert projected(state, only(x=ALL, y=A), state)[3] == {obj.CONTAINER: {ONE: held[ONE]}}
    assert projected(state, only(z=ALL), state)[3] == {}
    but_y = projected(state, access.access(True, {"y": NONE}), state)
    assert but_y[3] == {obj.CONTAINER: {ONE: held[ONE]}}, "whose THREE is nobody knows"
    delta = [0, 1, [], {obj.CONTAINER: {ONE: [[], EMPTY]}}]
    assert projected(delta, only(x=ALL), state) == delta
    assert is_hidden(pack(delta), only(y=ALL), state)
    with pytest.raises(UnknownHomeError):
        projected([0, 1, [], {obj.CONTAINER: {THREE: [[], EMPTY]}}], only(x=ALL), state)
    assert not is_hidden(pack(delta), only(y=ALL), [1, 1, [], {}]), "it can't be told"


INSIDE: list[tuple[int, Any]] = [
    (obj.EMBEDDED, lambda fields: [1, 1, [], fields]),
    (obj.DICTIONARY, lambda fields: [[], [], {"k": [1, 1, [], fields]}]),
    (obj.LIST, lambda fields: [[], [[], [], [], [], [[2, 1, fields]]]]),
]


@pytest.mark.parametrize(("kind", "holding"), INSIDE)
def test_containers_of_objects_inside_are_looked_up_there(kind: int, holding: Any) -> None:
    """[RULES-HIDE-2] Where the object is not here, or its list is in parts, it can't be told."""

    def state(containers: Any) -> Any:
        return [0, 1, [], {kind: {"x": holding({obj.CONTAINER: containers})}}]

    now = state({ONE: [[obj.REGISTER, "a"], EMPTY]})
    edit = state({ONE: [[], EMPTY]})
    assert projected(edit, only(x=A), now) == edit
    assert projected(edit, only(x=only(b=ALL)), now)[3] == {kind: {"x": holding({})}}
    elsewhere = [[1, 1, [], {}], [1, 1, [], {kind: {"y": holding({})}}]]
    if kind == obj.LIST:
        elsewhere.append([1, 1, [], {kind: {"x": [[], [[0, 0, 0]], 1]}}])
    for other in elsewhere:
        with pytest.raises(UnknownHomeError):
            projected(edit, only(x=A), other)


# -- parts -----------------------------------------------------------------------------------------
SPREAD: Any = [[], [[0, 0, 0]], 1]
LISTS: dict[int, Any] = {
    obj.LIST: {"l": SPREAD}, obj.CONTAINER: {ONE: [[obj.REGISTER, "x"], SPREAD]}
}  # fmt: skip
ELEMENT: Any = [[], [[[2, 1, 0, 5, 2, [None]]], [], [], [], [[2, 1, LISTS]]]]
STATE: Any = [1, 1, [], {
    obj.DICTIONARY: {"d": [[], [], {"k": [1, 1, [], LISTS]}]},
    obj.LIST: {"l": SPREAD, "o": ELEMENT},
    obj.EMBEDDED: {"e": [1, 1, [], LISTS]},
    obj.CONTAINER: {ONE: [[obj.REGISTER, "x"], SPREAD], THREE: [[], EMPTY]},
}]  # fmt: skip
L, X, NOT_L = only(l=ALL), only(x=ALL), only(m=ALL)
PATHS: list[tuple[Path, list[Access], list[Access]]] = [
    ((obj.LIST, "l"), [ALL, L], [NONE, NOT_L]),
    ((obj.TEXT, "l"), [ALL, L], [NONE, NOT_L, only(l=A)]),
    ((obj.EMBEDDED, "e", obj.LIST, "l"), [ALL, only(e=ALL), only(e=L)], [only(e=NOT_L), L]),
    (
        (obj.DICTIONARY, "d", "k", obj.LIST, "l"),
        [ALL, only(d=ALL), only(d=L)],
        [only(d=NOT_L), only(k=ALL), L],
    ),
    (
        (obj.LIST, "o", (2, 1), obj.LIST, "l"),
        [ALL, only(o=ALL), only(o=L)],
        [only(o=NOT_L), L],
    ),
    ((obj.EMBEDDED, "e", obj.CONTAINER, ONE), [ALL, only(e=X)], [only(e=L), X]),
    ((obj.DICTIONARY, "d", "k", obj.CONTAINER, ONE), [ALL, only(d=X)], [only(d=L), X]),
    ((obj.LIST, "o", (2, 1), obj.CONTAINER, ONE), [ALL, only(o=X)], [only(o=L), X]),
    ((obj.CONTAINER, ONE), [ALL, X], [only(x=A), only(y=ALL), NONE]),
    ((obj.CONTAINER, THREE), [ALL], [X, access.access(True, {"x": NONE})]),
    ((obj.CONTAINER, TWO), [ALL], [X, access.access(True, {"x": NONE})]),
    ((obj.CONTAINER, default_id(obj.LIST, "x", (0, 0))), [ALL], [X]),  # not there
]


@pytest.mark.parametrize(("path", "shown", "hidden"), PATHS, ids=[str(row[0]) for row in PATHS])
def test_parts_go_with_what_they_are_of(
    path: Path, shown: list[Access], hidden: list[Access]
) -> None:
    """[RULES-HIDE-2]"""
    part = [part_name(path, [], 0), 7, pack("canary")]
    for held in shown:
        assert projected_parts([part], held, STATE) == [part]
    for held in hidden:
        assert projected_parts([part], held, STATE) == []


def test_parts_of_objects_that_are_not_here_are_judged_by_their_path() -> None:
    """[RULES-HIDE-2] Of containers in them nobody knows the property: they are hidden."""
    gone = [1, 1, [], {}]
    for start in ((obj.EMBEDDED, "e"), (obj.DICTIONARY, "e", "k"), (obj.LIST, "e", (2, 1))):
        part = [part_name((*start, obj.LIST, "l"), [], 0), 7, pack("canary")]
        assert projected_parts([part], only(e=L), gone) == [part]
        assert projected_parts([part], only(e=NOT_L), gone) == []
        part = [part_name((*start, obj.EMBEDDED, "f", obj.LIST, "l"), [], 0), 7, pack("canary")]
        assert projected_parts([part], only(e=only(f=L)), gone) == [part]
        assert projected_parts([part], only(e=only(f=NOT_L)), gone) == []
        part = [part_name((*start, obj.CONTAINER, ONE), [], 0), 7, pack("canary")]
        assert projected_parts([part], only(e=L), gone) == []


def test_queries_see_what_may_be_read_of_lists_in_parts() -> None:
    """[RULES-HIDE-2]: as if the rest was null."""
    values = [[[2, 1, 0, 5, 2, ["canary"]]], [], [], [], []]
    objects = [[[2, 1, 0, 5, 2, [None]]], [], [], [], [[2, 1, INNER]]]
    spread = [[], [[0, 0, 0]], 1]
    fields: dict[int, Any] = {
        obj.REGISTER: [[5, 2, {"a": 1, "b": 2}]], obj.LIST: {"l": spread, "o": spread}
    }  # fmt: skip
    stored = {
        part_name((obj.LIST, "l"), [], 0): pack(values),
        part_name((obj.LIST, "o"), [], 0): pack(objects),
    }
    held = QueryFields(fields, Parts(stored.get))

    def seen(some: Access, names: str) -> list[Any]:
        found = seen_fields(held, some)
        return [found.get(name) for name in names]

    assert seen(only(a=ALL, o=A), "abl") == [1, None, None]
    assert dict(seen(only(o=A), "o")[0][0]) == {"a": 1}
    assert dict(seen(only(o=ALL), "o")[0][0]) == {"a": 1, "b": 2, "c": 3}
    assert seen(only(l=ALL), "l") == [["canary"]]
    alone = seen_fields(QueryFields(fields), only(a=ALL, o=ALL))
    assert [alone.get(name) for name in "abo"] == [1, None, None], "without parts as everywhere"
    del stored[part_name((obj.LIST, "o"), [], 0)]
    with pytest.raises(AssertionError, match="missing from the store"):
        seen(only(o=A), "o")


# -- sets of fields --------------------------------------------------------------------------------
def test_sets_of_fields() -> None:
    """A set in normal form; who has all, and who lacks something."""
    some = access.access(True, {"a": NONE, "b": ALL, "c": A})
    assert some.key == [True, [["a", [False, []]], ["c", A.key]]]
    assert [some.of(name) for name in "abcd"] == [NONE, ALL, A, ALL]
    assert (some.is_all, some.is_none) == (False, False)
    assert (ALL.is_all, ALL.is_none, NONE.is_all, NONE.is_none) == (True, False, False, True)
    assert some.lacks({"a", "b", "c", "d"}) == {"a", "c"}
    other = access.access(False, {"a": ALL, "b": NONE, "c": A})
    assert other.lacks({"a", "b", "c", "d"}) == {"b", "c", "d"}
    assert [some.has(path) for path in (["a"], ["c"], ["c", "a"], ["c", "b"], [])] == [
        False, False, True, False, False,
    ]  # fmt: skip
    both = access.union(some, other)
    assert both == access.access(True, {"c": A})
    assert access.union(NONE, A) == A
    assert access.union(A, ALL) == ALL
    assert len({some, access.from_key(some.key), both}) == 2
    assert some != some.key
    assert access.access(True, {"a": A}) != access.access(True, {"a": NONE})


def test_containers_in_elements_are_those_of_the_objects_there() -> None:
    """[RULES-HIDE-2]: looked up in the element itself."""
    inner = {
        obj.REGISTER: [[5, 2, {"a": Container(obj.LIST, 2, 1)}]],
        obj.CONTAINER: {ONE: [[obj.REGISTER, "a"], [[], [[0, 0, 0]], 1]]},
    }
    chunk = [[[2, 1, 0, 5, 2, [None]]], [], [], [], [[2, 1, inner]]]
    part = [part_name((obj.LIST, "o", (2, 1), obj.CONTAINER, ONE), [], 0), 7, pack("canary")]
    whole = [1, 1, [], {obj.LIST: {"o": [[], chunk]}}]
    spread = [1, 1, [], {obj.LIST: {"o": [[], [[0, 0, 0]], 1]}}]
    beside = [part_name((obj.LIST, "o"), [], 0), 7, pack(chunk)]
    for state, parts in ((whole, [part]), (spread, [beside, part])):
        assert projected_parts(parts, only(o=A), state)[-1] == part
        left = projected_parts(parts, only(o=only(b=ALL)), state)
        assert [name for name, *_ in left] == [name for name, *_ in parts[:-1]]
        assert b"canary" not in pack([unpack_trusted(data) for *_, data in left])


def test_containers_in_elements_of_a_list_in_an_element() -> None:
    """[RULES-HIDE-2]: the inner list is in parts as well."""
    inner = {obj.CONTAINER: {ONE: [[obj.REGISTER, "a"], SPREAD]}}
    chunk = [[[2, 7, 0, 5, 2, [None]]], [], [], [], [[2, 7, inner]]]
    outer = [[[2, 1, 0, 5, 2, [None]]], [], [], [], [[2, 1, {obj.LIST: {"p": SPREAD}}]]]
    above: Path = (obj.LIST, "o", (2, 1), obj.LIST, "p")
    beside = [part_name(above, [], 0), 7, pack(chunk)]
    part = [part_name((*above, (2, 7), obj.CONTAINER, ONE), [], 0), 7, pack("canary")]
    state = [1, 1, [], {obj.LIST: {"o": [[], outer]}}]
    assert projected_parts([beside, part], only(o=only(p=A)), state)[1:] == [part]
    assert projected_parts([beside, part], only(o=only(p=only(b=ALL))), state)[1:] == []
