"""Small scope, exhaustively: every pair of operations of a menu, in every order. [MERGE]

One fixture that every replica holds, a menu of concrete operations over all types, one operation
a replica. All ordered pairs run; of the triples, every so many.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product
from random import Random
from typing import Any

import pytest
from replicas import Edit, Replica

from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.edit import Scope
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, is_alive, merge
from replication.crdt.view import object_view
from replication.model.encoding import pack
from replication.model.values import ERASED, Link

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
on("add back", lambda e, s: s.add("n", -7))
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
on("insert within", lambda e, s: s.list_insert("l", editor(e, s), 2, ["x", "y"]))
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
on("count in element", lambda e, s: element(e, s, 0).add("n", 4))
on("move embedded", lambda e, s: s.list_move("o", editor(e, s, "o"), 0, 1))
on("erase embedded", lambda e, s: s.list_erase("o", editor(e, s, "o"), 0))
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

    device = Replica(2)
    device.write(fill)
    return device


@pytest.fixture(scope="module")
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


def results(state: ObjectState, deltas: list[ObjectState]) -> set[bytes]:
    """The states of every order and grouping."""
    found = set()
    for order in permutations(deltas):
        after = clone(state)
        for delta in order:
            after = merge(after, delta)
        found.add(pack(after))
        together = clone(order[0])
        for delta in order[1:]:
            together = merge(together, delta)
        found.add(pack(merge(clone(state), together)))
    return found


def test_the_menu_covers_every_type() -> None:
    assert len(NAMES) >= 50


def test_every_pair_in_every_order(prepared: Any) -> None:
    """All ordered pairs of the menu, at the same time and one later than the other."""
    state, deltas = prepared
    for first, second in product(NAMES, repeat=2):
        for ident in (4, 5):
            pair = [deltas[3, first], deltas[ident, second]]
            assert len(results(state, pair)) == 1, (first, second, ident)


def test_every_pair_shows_something_and_passes_the_gate(prepared: Any) -> None:
    state, deltas = prepared
    for first, second in product(NAMES, repeat=2):
        after = merge(merge(clone(state), deltas[3, first]), deltas[5, second])
        check_object(after)
        shown = object_view(after)
        gone = "delete" in (first, second) and "delete and create" not in (first, second)
        assert (shown is None) == gone, (first, second)


def test_triples_in_every_order(prepared: Any) -> None:
    """A sample of all ordered triples: all six orders, and the groupings."""
    state, deltas = prepared
    rng = Random(1)
    for _ in range(1500):
        names = rng.choices(NAMES, k=3)
        triple = [deltas[ident, name] for ident, name in zip((3, 4, 5), names, strict=True)]
        assert len(results(state, triple)) == 1, names


def test_what_was_written_to_different_places_is_all_there(prepared: Any) -> None:
    """Operations on different fields do not touch each other, whoever wrote them."""
    state, deltas = prepared
    apart = ["set", "add", "insert member", "put new key", "edit at key", "edit embedded", "append"]
    after = clone(state)
    for number, name in enumerate(apart):
        after = merge(after, deltas[3 + number % 3, name])
    assert object_view(after) == {
        "r": 1,
        "n": 8,
        "s": [1, "m"],
        "d": {"k": 0, "k2": 5},
        "m": {"k": {"a": 2}},
        "e": {"a": 2},
        "l": ["a", "b", "c", "d", "x", "y"],
        "o": [{"a": 0}, {"a": 1}],
    }
