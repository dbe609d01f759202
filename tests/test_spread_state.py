"""Lists at every place a list may stand, spread over parts: each function finds the parts of each.

[STATE-WHOLE]
"""

from __future__ import annotations

from typing import Any

import pytest
from replicas import Stored

from replication.crdt import check
from replication.crdt import list as lists
from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.forget import forget
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, merge
from replication.crdt.view import QueryFields, column_values, object_view, query_values
from replication.crdt.whole import check_parts, joined
from replication.errors import DecodeError
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import SPREAD, Container


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lists, check):
        monkeypatch.setattr(module, "LIST_PART_ELEMENTS_MAX", 2)


def a_list(first: int, *values: Any, contents: Any = ()) -> Any:
    """Elements of file 2, the second and the last of them erased."""
    return [
        [],
        [
            [[2, first, 0, 9, 2, 1], [2, first + 1, 1, 9, 2, [*values]],
             [2, first + 1 + len(values), 1, 9, 2, 2]],
            [], [],
            [[2, first, 1], [2, first + 1 + len(values), 2]],
            [[2, first + 1 + at, fields] for at, fields in enumerate(contents)],
        ],
    ]  # fmt: skip


def minted(sequence: int) -> Container:
    return Container(obj.LIST, 2, sequence)


def named(sequence: int) -> bytes:
    return pack([obj.LIST, 2, sequence])


ITEMS = pack([obj.DICTIONARY, 2, 904])
DEFAULT = pack([obj.LIST, "def", 0, 0])
#: Of the containers, 902 is an element of 901, 903 one of a list, and 905 at a key of 904.
STATE: Any = [1, 1, [], {
    obj.REGISTER: [
        [0, 0, {"def": Container(obj.LIST, 0, 0)}, 9, 2],
        [9, 2, {"deep": Container(obj.DICTIONARY, 2, 904), "mix": minted(901)}],
    ],
    obj.DICTIONARY: {"d": [[], [], {
        "k": [1, 1, [], {obj.LIST: {"l": a_list(100, "in", "a", "dictionary")}}]}]},
    obj.LIST: {
        "l": a_list(200, "a", minted(903), "c"),
        "o": a_list(300, None, None, contents=[
            {obj.LIST: {"l": a_list(320, "in", "an", "element")}},
            {obj.LIST: {"l": a_list(340, "in", "another")}},
        ]),
    },
    obj.EMBEDDED: {"e": [1, 1, [], {obj.LIST: {"l": a_list(400, "in", "an", "object")}}]},
    obj.CONTAINER: {
        ITEMS: [[obj.REGISTER, "deep"], [[], [[9, 2, {"k": minted(905)}]], {}]],
        named(901): [[obj.REGISTER, "mix"], a_list(500, "x", minted(902), "y")],
        named(902): [[obj.CONTAINER, named(901), [2, 502]], a_list(600, "in", "a", "list")],
        named(903): [[obj.LIST, "l", [2, 202]], a_list(700, "mixed", "element")],
        named(905): [[obj.CONTAINER, ITEMS, "k"], a_list(800, "at", "key")],
        DEFAULT: [[obj.REGISTER, "def"], a_list(950, "shared", "by", "all")],
    },
}]  # fmt: skip
SHOWN = {
    "d": {"k": {"l": ["in", "a", "dictionary"]}},
    "deep": {"k": ["at", "key"]},
    "def": ["shared", "by", "all"],
    "e": {"l": ["in", "an", "object"]},
    "l": ["a", ["mixed", "element"], "c"],
    "mix": ["x", ["in", "a", "list"], "y"],
    "o": [{"l": ["in", "an", "element"]}, {"l": ["in", "another"]}],
}


def stored() -> Stored:
    out = Stored()
    out.merge(clone(STATE))
    assert len(out.parts) > 20
    return out


def plain(value: Any) -> Any:
    """What a query sees, as lists and dictionaries."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def test_what_is_spread_is_whole_and_shows_the_same() -> None:
    check_object(STATE)
    held = stored()
    assert pack(held.whole()) == pack(merge(absent(), clone(STATE))) == pack(STATE)
    head = unpack_trusted(held.head)
    assert object_view(head, held.access()) == object_view(STATE) == SHOWN
    assert plain(dict(QueryFields(head[3], held.access()))) == SHOWN


def test_a_store_sees_of_a_spread_list_that_it_is() -> None:
    held = stored()
    head = unpack_trusted(held.head)
    assert query_values(held.head)["l"] is SPREAD
    assert column_values(head, ["l", "s"], SPREAD) == {"l": SPREAD, "s": None}
    assert column_values(head, ["l", "s"]) == {"l": None, "s": None}
    unread = QueryFields(head[3])
    assert (plain(unread["mix"]), plain(unread["deep"]), unread.get("l")) == ([], {"k": []}, None)


def test_what_is_forgotten_of_it_is_the_same() -> None:
    """[FORGET-1]"""
    held = stored()
    parts = held.access()
    after = forget(unpack_trusted(held.head), parts)
    whole = forget(clone(STATE))
    assert pack(whole) != pack(STATE)
    assert pack(joined(after, parts)) == pack(whole)
    assert check_parts(after, parts) == set(parts.names())
    assert object_view(after, parts) == SHOWN


def test_containers_that_nothing_refers_to_go_with_their_parts() -> None:
    """[FORGET-10]"""
    held = stored()
    held.merge([0, 1, [], {obj.REGISTER: [[10, 2, {"deep": 1, "mix": 2}]]}])
    parts = held.access()
    after = forget(unpack_trusted(held.head), parts)
    assert [*after[3][obj.CONTAINER]] == [named(903), DEFAULT]
    assert check_parts(after, parts) == set(parts.names())


def test_deleting_it_drops_every_part() -> None:
    held = stored()
    held.merge([2, 0, [], {}])
    assert held.parts == {}


def test_a_part_that_is_missing_is_noticed_wherever_it_stands() -> None:
    held = stored()
    head, names = unpack_trusted(held.head), sorted(held.parts)
    for name in names:
        data = held.parts.pop(name)
        with pytest.raises(DecodeError, match="is missing"):
            check_parts(head, held.access())
        held.parts[name] = data
    assert check_parts(head, held.access()) == set(names)


def test_replacing_it_drops_every_part() -> None:
    held = stored()
    held.merge([3, 3, [], {obj.LIST: {"l": a_list(100, "x")}}])
    assert [unpack_trusted(name)[0] for name in held.parts] == [[obj.LIST, "l"]] * 2
    assert object_view(held.whole()) == {"l": ["x"]}
