"""Families of operations for the campaign: for each type six that meet in one place.

Each family has an object of its own to start from. An operation is one transaction; it is possible
in whatever state the ones before it left: it makes what it needs, or does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from replicas import Edit

from replication.crdt import object as obj
from replication.crdt.container import property_container
from replication.crdt.edit import ListEditor, Scope
from replication.crdt.object import absent, is_alive
from replication.model.values import ERASED, Link

Act: TypeAlias = Callable[[Edit], Any]


@dataclass
class Family:
    """What the object holds at first, and the operations by name."""

    fill: Act
    operations: dict[str, Act] = field(default_factory=dict)


FAMILIES: dict[str, Family] = {}


def living(edit: Edit) -> Scope:
    """The fields of the object, which is created if need be."""
    if not is_alive(edit.view):
        edit.create()
    return edit.scope()


def family(name: str, fill: Callable[[Edit, Scope], Any], **operations: Any) -> None:
    """Six operations, each called with the transaction and the object's scope."""

    def act(do: Callable[[Edit, Scope], Any]) -> Act:
        return lambda edit: do(edit, living(edit))

    named = {key.replace("_", " "): act(do) for key, do in operations.items()}
    FAMILIES[name] = Family(act(fill), named)


def all_of(*steps: Callable[[Edit, Scope], Any]) -> Callable[[Edit, Scope], None]:
    """Several steps in one transaction."""

    def do(edit: Edit, _scope: Scope) -> None:
        for step in steps:
            step(edit, living(edit))

    return do


def nothing(_edit: Edit, _scope: Scope) -> None:
    """An object without fields."""


# -- embedded objects ------------------------------------------------------------------------
def create(edit: Edit, scope: Scope, name: str) -> Scope:
    held = scope.view.get(obj.EMBEDDED, {}).get(name, absent())
    path = (*scope.path, obj.EMBEDDED, name)
    inner = scope.create_embedded(name, edit.start_of(path, held[0]))
    edit.forget(path)
    return inner


def null(edit: Edit, scope: Scope, name: str) -> None:
    held = scope.view.get(obj.EMBEDDED, {}).get(name, absent())
    path = (*scope.path, obj.EMBEDDED, name)
    scope.erase_embedded(name, edit.start_of(path, held[0]))
    edit.forget(path)


def embedded(edit: Edit, scope: Scope, name: str) -> Scope:
    held = scope.view.get(obj.EMBEDDED, {}).get(name, absent())
    return scope.embedded(name) if is_alive(held) else create(edit, scope, name)


def _item(scope: Scope, name: str, key: str) -> Any:
    return scope.view.get(obj.DICTIONARY, {}).get(name, [[], [], {}])[2].get(key, absent())


def create_item(edit: Edit, scope: Scope, name: str, key: str) -> Scope:
    path = (*scope.path, obj.DICTIONARY, name, key)
    inner = scope.create_item(name, key, edit.start_of(path, _item(scope, name, key)[0]))
    edit.forget(path)
    return inner


def erase_item(edit: Edit, scope: Scope, name: str, key: str) -> None:
    path = (*scope.path, obj.DICTIONARY, name, key)
    scope.erase_item(name, key, edit.start_of(path, _item(scope, name, key)[0]))
    edit.forget(path)


def item(edit: Edit, scope: Scope, name: str, key: str) -> Scope:
    if is_alive(_item(scope, name, key)):
        return scope.item(name, key)
    return create_item(edit, scope, name, key)


# -- lists -----------------------------------------------------------------------------------
def on_list(
    name: str, do: Callable[[Scope, ListEditor], Any], least: int = 0
) -> Callable[[Edit, Scope], None]:
    """Something done to a list that has ``least`` elements or more."""

    def act(edit: Edit, scope: Scope) -> None:
        editor = edit.editor(scope, name)
        if len(editor) >= least:
            do(scope, editor)

    return act


def insert(index: int, *values: Any) -> Callable[[Edit, Scope], None]:
    def do(scope: Scope, editor: ListEditor) -> None:
        scope.list_insert("l", editor, min(index, len(editor)), values)

    return on_list("l", do)


def move(source: int, target: int) -> Callable[[Edit, Scope], None]:
    def do(scope: Scope, editor: ListEditor) -> None:
        last = len(editor) - 1
        scope.list_move("l", editor, min(source, last), min(target, last))

    return on_list("l", do, 1)


def erase(index: int) -> Callable[[Edit, Scope], None]:
    return on_list("l", lambda s, e: s.list_erase("l", e, min(index, len(e) - 1)), 1)


def replace(index: int, value: Any) -> Callable[[Edit, Scope], None]:
    return on_list("l", lambda s, e: s.list_set("l", e, min(index, len(e) - 1), value), 1)


def restart(kind: int, name: str) -> Callable[[Edit, Scope], None]:
    def do(edit: Edit, scope: Scope) -> None:
        scope.restart(kind, name)
        edit.forget((*scope.path, kind, name))

    return do


def insert_object(index: int, value: int) -> Callable[[Edit, Scope], None]:
    def do(scope: Scope, editor: ListEditor) -> None:
        (here,) = scope.list_insert("l", editor, min(index, len(editor)), [None])
        scope.element("l", editor, here).set("a", value)

    return on_list("l", do)


def in_object(index: int, do: Callable[[Edit, Scope], Any]) -> Callable[[Edit, Scope], None]:
    def act(edit: Edit, scope: Scope) -> None:
        editor = edit.editor(scope, "l")
        if len(editor) > index:
            do(edit, scope.element("l", editor, editor.id_at(index)))

    return act


# -- lists in objects inside of others ---------------------------------------------------------
def longer(edit: Edit, inner: Scope) -> None:
    """An increment, and an element at the end of a list."""
    editor = edit.editor(inner, "l")
    inner.add("n", 2)
    inner.list_insert("l", editor, len(editor), [len(editor)])


def shorter(edit: Edit, inner: Scope) -> None:
    """A write, and the last element of a list erased."""
    editor = edit.editor(inner, "l")
    inner.set("a", 2)
    if len(editor):
        inner.list_erase("l", editor, len(editor) - 1)


# -- texts -----------------------------------------------------------------------------------
def on_text(do: Callable[[Edit, Scope, int], Any]) -> Callable[[Edit, Scope], None]:
    """Something done to a text of that many characters."""
    return lambda edit, scope: do(edit, scope, edit.text_size(scope, "t"))


def typing(at: int, text: str, formats: Any = None) -> Callable[[Edit, Scope], None]:
    return on_text(lambda e, s, size: e.text_insert(s, "t", min(at, size), text, formats))


# -- lists and dictionaries in mixed values --------------------------------------------------
def inside(
    name: str, kind: int, do: Callable[[Edit, Scope, bytes], Any]
) -> Callable[[Edit, Scope], None]:
    """Something done in what a mixed property holds; where that is of no such kind, it is made."""

    def act(edit: Edit, scope: Scope) -> None:
        slot = property_container(scope.view, name)
        if slot is None or obj.container_kind(slot) != kind:
            edit.nested(scope).set(name, [] if kind == obj.LIST else {})
            slot = property_container(scope.view, name)
            assert slot is not None
        do(edit, scope, slot)

    return act


def _empty(edit: Edit, scope: Scope, slot: bytes) -> None:
    editor = edit.editor(scope, slot)
    while len(editor):
        scope.list_erase(slot, editor, 0)


def _clear(edit: Edit, scope: Scope, slot: bytes) -> None:
    scope.restart(obj.container_kind(slot), slot)
    edit.forget((*scope.path, obj.CONTAINER, slot))


# -- the families ----------------------------------------------------------------------------
family(
    "register",
    lambda e, s: s.set("r", 0),
    set=lambda e, s: s.set("r", 1),
    set_null=lambda e, s: s.set("r", None),
    link=lambda e, s: s.set("r", Link("Book", 1)),
    set_two=all_of(lambda e, s: s.set("r", 2), lambda e, s: s.set("q", 2)),
    set_another=lambda e, s: s.set("q", 1),
    set_many=lambda e, s: [s.set(name, 3) for name in "abcdefghqr"],
)
family(
    "default",
    lambda e, s: s.set("r", 0),
    default=lambda e, s: s.set_default("r", 1),
    set=lambda e, s: s.set("r", 2),
    default_on_nothing=lambda e, s: s.set_default("q", 3),
    set_on_nothing=lambda e, s: s.set("q", 4),
    default_both=all_of(lambda e, s: s.set_default("r", 5), lambda e, s: s.set_default("q", 5)),
    set_then_default=all_of(lambda e, s: s.set("q", 6), lambda e, s: s.set_default("q", 7)),
)
family(
    "counter",
    lambda e, s: all_of(lambda e, s: s.set("n", 10), lambda e, s: s.add("n", 3))(e, s),
    add=lambda e, s: s.add("n", 5),
    take_away=lambda e, s: s.add("n", -5),
    set=lambda e, s: s.set("n", 100),
    set_null=lambda e, s: s.set("n", None),
    set_and_add=all_of(lambda e, s: s.set("n", 50), lambda e, s: s.add("n", 1)),
    default=lambda e, s: s.set_default("n", 7),
)
family(
    "set",
    lambda e, s: s.set_member("s", "m", present=True),
    insert=lambda e, s: s.set_member("s", 1, present=True),
    insert_same=lambda e, s: s.set_member("s", "m", present=True),
    remove=lambda e, s: s.set_member("s", "m", present=False),
    remove_other=lambda e, s: s.set_member("s", 1, present=False),
    clear=restart(obj.SET, "s"),
    assign=all_of(restart(obj.SET, "s"), lambda e, s: s.set_member("s", 1.0, present=True)),
)
family(
    "dictionary",
    lambda e, s: s.put_item("d", "k", 0),
    put=lambda e, s: s.put_item("d", "k", 1),
    put_null=lambda e, s: s.put_item("d", "k", None),
    put_new=lambda e, s: s.put_item("d", "q", 2),
    remove=lambda e, s: s.put_item("d", "k", ERASED),
    clear=restart(obj.DICTIONARY, "d"),
    assign=all_of(restart(obj.DICTIONARY, "d"), lambda e, s: s.put_item("d", "k", 3)),
)
family(
    "dictionary of objects",
    lambda e, s: longer(e, create_item(e, s, "m", "k")),
    create=lambda e, s: create_item(e, s, "m", "k").set("b", 1),
    shorter=lambda e, s: shorter(e, item(e, s, "m", "k")),
    longer=lambda e, s: longer(e, item(e, s, "m", "k")),
    erase=lambda e, s: erase_item(e, s, "m", "k"),
    clear=restart(obj.DICTIONARY, "m"),
    plain=lambda e, s: s.put_item("m", "k", 4),
)
family(
    "embedded",
    lambda e, s: longer(e, create(e, s, "e")),
    replace=lambda e, s: create(e, s, "e").set("b", 1),
    shorter=lambda e, s: shorter(e, embedded(e, s, "e")),
    longer=lambda e, s: longer(e, embedded(e, s, "e")),
    null=lambda e, s: null(e, s, "e"),
    null_and_create=all_of(
        lambda e, s: null(e, s, "e"), lambda e, s: create(e, s, "e").set("c", 4)
    ),
    deep=lambda e, s: create(e, embedded(e, s, "e"), "e").set("a", 5),
)
family(
    "object",
    lambda e, s: s.set("r", 0),
    set=lambda e, s: s.set("r", 1),
    add=lambda e, s: s.add("n", 1),
    delete=lambda e, s: e.delete(),
    create_again=all_of(lambda e, s: e.delete(), lambda e, s: s.set("r", 2)),
    empty=all_of(lambda e, s: e.delete(), nothing),
    delete_twice=all_of(lambda e, s: e.delete(), lambda e, s: e.delete()),
)
family(
    "list",
    lambda e, s: all_of(insert(0, "b"), insert(0, "a"))(e, s),
    both_ends=all_of(insert(0, "x"), insert(99, "y")),
    insert=insert(1, "z"),
    append=insert(99, "u", "v"),
    erase=erase(1),
    set=replace(1, "B"),
    clear=restart(obj.LIST, "l"),
)
family(
    "list moves",
    lambda e, s: insert(0, "a", "b", "c")(e, s),
    to_end=move(0, 99),
    to_front=move(99, 0),
    swap=move(1, 0),
    erase=erase(1),
    insert=insert(1, "x"),
    set=replace(1, "B"),
)
family(
    "list of objects",
    lambda e, s: all_of(insert_object(0, 0), insert_object(1, 1), in_object(0, longer))(e, s),
    insert=insert_object(1, 2),
    shorter=in_object(0, shorter),
    longer=in_object(0, longer),
    move=move(0, 99),
    erase=erase(0),
    assign=all_of(restart(obj.LIST, "l"), insert_object(0, 5)),
)
family(
    "mixed",
    lambda e, s: e.nested(s).set("v", {"k": 0, "l": ["a"]}),
    set_list=lambda e, s: e.nested(s).set("v", ["x", ["y"]]),
    set_dictionary=lambda e, s: e.nested(s).set("v", {"k": 1}),
    put=inside("v", obj.DICTIONARY, lambda e, s, v: e.nested(s).put_item(v, "q", [2])),
    remove=inside("v", obj.DICTIONARY, lambda e, s, v: s.put_item(v, "l", ERASED)),
    clear=inside("v", obj.DICTIONARY, _clear),
    set_value=lambda e, s: s.set("v", 3),
)
family(
    "mixed defaults",
    nothing,
    default_list=lambda e, s: e.nested(s).set_default("v", ["a"]),
    default_dictionary=lambda e, s: e.nested(s).set_default("v", {"k": 0}),
    set_list=lambda e, s: e.nested(s).set("v", ["b"]),
    append=inside(
        "v", obj.LIST, lambda e, s, v: e.nested(s).list_insert(v, len(e.editor(s, v)), [1, {}])
    ),
    empty=inside("v", obj.LIST, _empty),
    in_a_list=lambda e, s: e.nested(s).list_insert("l", 0, [["x"], {"y": 2}]),
)
family(
    "text",
    lambda e, s: e.text_insert(s, "t", 0, "abcd"),
    insert=typing(1, "xy"),
    insert_pair=typing(1, "😀"),
    append=typing(99, "z", {"b": True}),
    erase=on_text(lambda e, s, size: e.text_erase(s, "t", min(1, size), min(2, max(0, size - 1)))),
    format=on_text(lambda e, s, size: e.text_format(s, "t", 0, min(2, size), {"b": True})),
    assign=all_of(on_text(lambda e, s, size: e.text_erase(s, "t", 0, size)), typing(0, "new")),
)
family(
    "contradictions",
    nothing,
    value=lambda e, s: s.set("x", 1),
    counter=lambda e, s: s.add("x", 2),
    set=lambda e, s: s.set_member("x", 3, present=True),
    dictionary=lambda e, s: s.put_item("x", "k", 4),
    list=on_list("x", lambda s, e: s.list_insert("x", e, 0, [5])),
    embedded=lambda e, s: embedded(e, s, "x").set("a", 6),
)
