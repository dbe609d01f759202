"""A menu of concrete operations over all types, and the object they are done to.

One fixture that every replica holds; each entry of the menu is one transaction on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replicas import Edit, Replica

from replication.crdt import object as obj
from replication.crdt.container import property_container
from replication.crdt.edit import Scope
from replication.crdt.object import ObjectState, is_alive
from replication.model.values import ERASED, Link

#: Operations by name.
MENU: dict[str, Callable[[Edit], Any]] = {}


def on(name: str, *steps: Callable[[Edit, Any], Any]) -> None:
    """An entry of the menu: steps that get the transaction and the scope of its object."""

    def act(edit: Edit) -> None:
        for step in steps:
            step(edit, edit.scope() if is_alive(edit.view) else None)

    MENU[name] = act


def editor(edit: Edit, scope: Scope, name: str = "l") -> Any:
    return edit.editor(scope, name)


def element(edit: Edit, scope: Scope, index: int) -> Scope:
    held = editor(edit, scope, "o")
    return scope.element("o", held, held.id_at(index))


def mixed(scope: Scope) -> bytes:
    """What the mixed property holds."""
    slot = property_container(scope.view, "v")
    assert slot is not None
    return slot


# -- the menu --------------------------------------------------------------------------------
on("delete", lambda e, s: e.delete())
on(
    "delete and create",
    lambda e, s: e.delete(),
    lambda e, s: e.create(),
    lambda e, s: s.set("r", "new"),
)
on("set", lambda e, s: s.set("r", 1))
on("set another", lambda e, s: s.set("r2", 1))
on("set null", lambda e, s: s.set("r", None))
on("set a link", lambda e, s: s.set("r", Link("Book", 1)))
on("set default", lambda e, s: s.set_default("r", 2))
on("set default on nothing", lambda e, s: s.set_default("r2", 2))
on("set many", *[lambda e, s, n=n: s.set(f"w{n}", n) for n in range(10)])
on("add", lambda e, s: s.add("n", 5))
on("set a counter", lambda e, s: s.set("n", 100))
on("set a counter, add", lambda e, s: s.set("n", 100), lambda e, s: s.add("n", 1))
on("insert member", lambda e, s: s.set_member("s", 1, present=True))
on("remove member", lambda e, s: s.set_member("s", "m", present=False))
on("clear set", lambda e, s: s.restart(obj.SET, "s"))
on(
    "assign set",
    lambda e, s: s.restart(obj.SET, "s"),
    lambda e, s: s.set_member("s", 9, present=True),
)
on("put key", lambda e, s: s.put_item("d", "k", 5))
on("put new key", lambda e, s: s.put_item("d", "k2", 5))
on("remove key", lambda e, s: s.put_item("d", "k", ERASED))
on("clear dictionary", lambda e, s: s.restart(obj.DICTIONARY, "d"))
on("create at key", lambda e, s: s.create_item("m", "new", 0).set("a", 1))
on("replace at key", lambda e, s: s.create_item("m", "k", 1).set("b", 1))
on("edit at key", lambda e, s: s.item("m", "k").set("a", 2))
on("erase at key", lambda e, s: s.erase_item("m", "k", 1))
on("clear embedded dictionary", lambda e, s: s.restart(obj.DICTIONARY, "m"))
on("create embedded", lambda e, s: s.create_embedded("f", 0).set("a", 1))
on("replace embedded", lambda e, s: s.create_embedded("e", 1).set("b", 1))
on("edit embedded", lambda e, s: s.embedded("e").set("a", 2))
on("count in embedded", lambda e, s: s.embedded("e").add("n", 2))
on("null embedded", lambda e, s: s.erase_embedded("e", 1))
on("null over null", lambda e, s: s.erase_embedded("f", 0))
on(
    "null, create embedded",
    lambda e, s: s.erase_embedded("e", 1),
    lambda e, s: s.create_embedded("e", 1),
)
on("insert first", lambda e, s: s.list_insert("l", editor(e, s), 0, ["x", "y"]))
on(
    "insert within",
    lambda e, s: s.list_insert("l", editor(e, s), 1, ["w"]),
    lambda e, s: s.list_insert("l", editor(e, s), 3, ["x", "y"]),
)
on("append", lambda e, s: s.list_insert("l", editor(e, s), 4, ["x", "y"]))
on("set element", lambda e, s: s.list_set("l", editor(e, s), 1, "X"))
on("move to front", lambda e, s: s.list_move("l", editor(e, s), 1, 0))
on("move to end", lambda e, s: s.list_move("l", editor(e, s), 1, 3))
on("swap", lambda e, s: s.list_move("l", editor(e, s), 2, 1))
on("erase element", lambda e, s: s.list_erase("l", editor(e, s), 1))
on("erase another", lambda e, s: s.list_erase("l", editor(e, s), 2))
on("erase all", *[lambda e, s: s.list_erase("l", editor(e, s), 0)] * 4)
on(
    "insert, erase",
    lambda e, s: s.list_insert("l", editor(e, s), 2, ["gone"]),
    lambda e, s: s.list_erase("l", editor(e, s), 2),
)
on("clear list", lambda e, s: s.restart(obj.LIST, "l"))
on(
    "insert embedded",
    lambda e, s: s.list_insert("o", editor(e, s, "o"), 1, [None]),
    lambda e, s: element(e, s, 1).set("a", 3),
)
on("edit element", lambda e, s: element(e, s, 0).set("a", 4))
on("move embedded", lambda e, s: s.list_move("o", editor(e, s, "o"), 0, 1))
on("erase embedded", lambda e, s: s.list_erase("o", editor(e, s, "o"), 0))
on("set a nested list", lambda e, s: e.nested(s).set("v", [1, ["z"]]))
on("set a nested dictionary", lambda e, s: e.nested(s).set("v", {"k": 1}))
on("put in nested", lambda e, s: e.nested(s).put_item(mixed(s), "q", ["new"]))
on("clear nested", lambda e, s: s.restart(obj.DICTIONARY, mixed(s)))
on("default list", lambda e, s: e.nested(s).set_default("w", ["a"]))
on("default dictionary", lambda e, s: e.nested(s).set_default("w", {"a": 1}))
on("insert nested", lambda e, s: e.nested(s).list_insert("l", 1, [{"k": []}]))
on("type", lambda e, s: e.text_insert(s, "t", 2, "xy"))
on("type at the end", lambda e, s: e.text_insert(s, "t", 4, "z", {"b": True}))
on("erase text", lambda e, s: e.text_erase(s, "t", 1, 2))
on("format text", lambda e, s: e.text_format(s, "t", 1, 2, {"b": True}))
on("set x", lambda e, s: s.set("x", 1))
on("x as a set", lambda e, s: s.set_member("x", 1, present=True))
on("x as an embedded object", lambda e, s: s.create_embedded("x", 0).set("a", 1))
NAMES = list(MENU)


def fixture() -> Replica:
    """An object with something of everything."""

    def fill(edit: Edit) -> None:
        edit.create()
        scope = edit.scope()
        scope.set("r", 0)
        scope.add("n", 3)
        scope.set_member("s", "m", present=True)
        scope.put_item("d", "k", 0)
        scope.create_item("m", "k", 0).set("a", 0)
        scope.create_embedded("e", 0).set("a", 0)
        scope.list_insert("l", edit.editor(scope, "l"), 0, "abcd")
        scope.list_insert("o", edit.editor(scope, "o"), 0, [None, None])
        for index in range(2):
            element(edit, scope, index).set("a", index)
        edit.text_insert(scope, "t", 0, "abcd")
        edit.nested(scope).set("v", {"k": 0, "l": ["a"]})

    device = Replica(2)
    device.write(fill)
    return device


def prepared() -> tuple[ObjectState, dict[tuple[int, str], ObjectState]]:
    """The fixture's state, and the delta of every operation by each of three replicas.

    Replicas 3 and 4 write in the same millisecond, 5 a second later.
    """
    base = fixture()
    deltas = {}
    for ident, late in ((3, 0), (4, 0), (5, 1000)):
        for name in NAMES:
            device = Replica(ident, wall_ms=base.wall_ms + late)
            device.read(base)
            deltas[ident, name] = device.write(MENU[name])
    return base.state, deltas
