"""What `refused_parts` tells of a delta of each kind: all of it, nothing, and what was left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from replicas import WALL_MS, Replica
from test_lost_parts import both, in_list, nested, nothing, on

from replication.client.lost import refused_parts
from replication.crdt import object as obj
from replication.crdt.incarnation import clone
from replication.crdt.text import empty_text
from replication.model.values import ERASED

Change = Callable[[Any], Any]


def typed(edit: Any) -> None:
    scope = edit.scope()
    edit.text_insert(scope, "t", 0, "abc")
    edit.text_format(scope, "t", 0, 2, {"b": True})


def marked(edit: Any) -> None:
    edit.text_insert(edit.scope(), "t", 0, "abc")


def formatted(edit: Any) -> None:
    edit.text_format(edit.scope(), "t", 0, 2, {"b": True})


def of_list(part: int) -> Change:
    """Leave out what a delta of a list says of one kind."""
    return lambda fields: fields[obj.LIST]["l"][1].__setitem__(part, [])


LETTERS = in_list("list_insert", 0, ["x", "y", "z"])
EMBEDDED = on(lambda s: s.create_embedded("e", 0))
ITEM = on(lambda s: s.create_item("d", "k", 0))
TYPED = [(("t",), "typed", "abc", None), (("t",), "formatted", ["", {"b": True}], None)]
IN_LIST = [
    (("l", (1, 1)), "set", "s", None),
    (("l", (1, 2)), "moved", None, None),
    (("l", (2, 1)), "inserted", "n", None),
]
MEMBERS = [(("s",), "inserted", 1, None), (("s",), "removed", None, 2)]
KEYS = [(("d", "j"), "set", None, None), (("d", "k"), "removed", None, None)]
#: What was there; what was written; all that may be told; what was left out, and the numbers of
#: the parts that are told then.
ROWS: dict[str, tuple[Any, Any, list[Any], list[tuple[Change, list[int]]]]] = {
    "a text": (
        nothing,
        typed,
        TYPED,
        [(lambda fields: fields.pop(obj.TEXT), [0, 1]),
         (lambda fields: fields[obj.TEXT].update(t=empty_text()), [0, 1])],
    ),
    "formats": (marked, formatted, TYPED[1:], [(lambda fields: fields.pop(obj.TEXT), [0])]),
    "an increment": (
        nothing,
        on(lambda s: (s.add("n", 1), s.add("m", 2))),
        [(("m",), "added", 2, None), (("n",), "added", 1, None)],
        [(lambda fields: fields.pop(obj.COUNTER), [0, 1]),
         (lambda fields: fields[obj.COUNTER].pop("n"), [1]),
         (lambda fields: fields[obj.COUNTER].update(n=7), [1])],
    ),
    "a null": (nothing, on(lambda s: (s.set("a", None), s.set_default("b", None))),
        [(("b",), "set", None, None), (("a",), "set", None, None)],
        [(lambda fields: fields[obj.REGISTER].pop(0), [0]),
         (lambda fields: fields[obj.REGISTER].pop(1), [1])]),
    "no embedded object": (
        EMBEDDED,
        on(lambda s: s.erase_embedded("e", 1)),
        [(("e",), "deleted", None, None)],
        [(lambda fields: fields.pop(obj.EMBEDDED), [0])],
    ),
    "an embedded object": (
        EMBEDDED,
        on(lambda s: s.create_embedded("e", 1).set("a", 1)),
        [(("e",), "created", None, None), (("e", "a"), "set", 1, None)],
        [(lambda fields: fields.pop(obj.EMBEDDED), [0, 1]),
         (lambda fields: fields[obj.EMBEDDED]["e"][3].clear(), [1])],
    ),
    "in an embedded object": (
        EMBEDDED,
        on(lambda s: s.embedded("e").set("a", 1)),
        [(("e", "a"), "set", 1, None)],
        [(lambda fields: fields.pop(obj.EMBEDDED), [0])],
    ),
    "elements": (
        LETTERS,
        both(in_list("list_insert", 3, ["n"]), in_list("list_set", 0, "s"),
             in_list("list_move", 1, 0)),
        IN_LIST,
        [(lambda fields: fields.pop(obj.LIST), [0, 1, 2]), (of_list(1), [0]), (of_list(2), [1]),
         (of_list(0), [2])],
    ),
    "a cleared list": (
        LETTERS,
        both(on(lambda s: s.restart(obj.LIST, "l")), in_list("list_insert", 0, ["n"])),
        [(("l", (2, 2)), "inserted", "n", None)],
        [(lambda fields: fields.pop(obj.LIST), [0])],
    ),
    "a list in a mixed value": (
        nothing,
        nested(lambda n: n.set("a", {"k": [1]})),
        [(("a",), "set", {"k": [1]}, None)],
        [(lambda fields: fields.pop(obj.REGISTER), [0])],
    ),
    "a list that is a default": (
        nothing,
        nested(lambda n: n.set_default("a", [1])),
        [(("a", (2, 1)), "inserted", 1, None)],
        [(lambda fields: fields.pop(obj.REGISTER), [0]),
         (lambda fields: fields.pop(obj.CONTAINER), [0])],
    ),
    "members": (
        nothing,
        on(lambda s: (s.set_member("s", 1, present=True), s.set_member("s", 2, present=False))),
        MEMBERS,
        [(lambda fields: fields.pop(obj.SET), [0, 1]),
         (lambda fields: fields[obj.SET]["s"][1][0][2].pop(b"\x01"), [0]),
         (lambda fields: fields[obj.SET]["s"][1][0][2].pop(b"\x02"), [1])],
    ),
    "keys": (
        nothing,
        on(lambda s: (s.put_item("d", "k", ERASED), s.put_item("d", "j", None))),
        KEYS,
        [(lambda fields: fields.pop(obj.DICTIONARY), [0, 1]),
         (lambda fields: fields[obj.DICTIONARY]["d"][1][0][2].pop("k"), [1])],
    ),
    "in an item": (
        ITEM,
        on(lambda s: (s.item("d", "k").set("a", 1), s.put_item("d", "j", 2))),
        [(("d", "j"), "set", 2, None), (("d", "k", "a"), "set", 1, None)],
        [(lambda fields: fields[obj.DICTIONARY]["d"][2].clear(), [1])],
    ),
    "no item": (
        ITEM,
        on(lambda s: s.erase_item("d", "k", 1)),
        [(("d", "k"), "deleted", None, None)],
        [(lambda fields: fields.pop(obj.DICTIONARY), [0])],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_what_was_left_out_is_told_and_nothing_else(name: str) -> None:
    """JOURNAL-9"""
    start, act, expected, changes = ROWS[name]
    first, mine = Replica(1), Replica(2, wall_ms=WALL_MS + 10)
    first.write(lambda edit: edit.create())
    first.write(start)
    mine.read(first)
    delta, stamp = mine.write(act), (mine.clock.last, 2)
    assert refused_parts(delta, clone(delta), stamp) == []
    assert [tuple(each) for each in refused_parts(delta, None, stamp)] == expected
    for change, told in changes:
        integrated = clone(delta)
        change(integrated[3])
        found = [tuple(each) for each in refused_parts(delta, integrated, stamp)]
        assert found == [expected[number] for number in told]
