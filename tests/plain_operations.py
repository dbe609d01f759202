"""Operations on the fields of an object, done twice: by a transaction, and to plain Python values.

What the transaction then shows has to be what plain assignment, `list.insert`, `set.add` and so
on give. Each operation gets the scope to edit and `here`, the value a reader saw there, which it
changes in place; what it does is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeAlias

from hypothesis import strategies as st
from replicas import KEYS, VALUES, WORDS, Edit

from replication.crdt import object as obj
from replication.crdt import register
from replication.crdt.container import collection_of, container_id, property_container
from replication.crdt.edit import Scope
from replication.crdt.object import absent
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import ERASED

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
Here: TypeAlias = dict[str, Any]
#: How deep embedded objects stand inside each other here.
DEPTH = 2

some_value = st.sampled_from(VALUES)
some_key = st.sampled_from(KEYS)


def wrapped(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63


def transaction(draw: Draw, value: Any) -> tuple[Callable[[Edit], None], list[Any]]:
    """One to three operations on the object that shows ``value`` (None: not alive).

    Returns:
        what to do, and a list that holds the expected value once it is done.
    """
    shown = [value]

    def act(edit: Edit) -> None:
        for _ in range(draw(st.integers(1, 3))):
            if shown[0] is None:
                edit.create()
                edit.scope().set("n", 0)
                shown[0] = {"n": 0}
            elif draw(st.integers(0, 19)) == 0:
                edit.delete()
                shown[0] = None
            else:
                inside(draw, edit, edit.scope(), shown[0], 0)

    return act, shown


def inside(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    """One operation on these fields, or on those of an embedded object below."""
    draw(st.sampled_from(OPERATIONS))(draw, edit, scope, here, depth)


# -- registers, counters, sets, dictionaries ---------------------------------------------------
def _set(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    name = draw(st.sampled_from(["n", "q", "r"]))
    here[name] = draw(some_value)
    scope.set(name, here[name])


def _default(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    name = draw(st.sampled_from(["n", "q", "r"]))
    here[name] = draw(some_value)
    scope.set_default(name, here[name])


def _add(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    if "n" not in here:
        return
    amount = draw(st.sampled_from([1, -1, 5, 2**63 - 1]))
    scope.add("n", amount)
    if type(here["n"]) is int:
        here["n"] = wrapped(here["n"] + amount)


def _member(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    value, present = draw(some_value), draw(st.booleans())
    scope.set_member("s", value, present=present)
    members = set(map(pack, here.get("s", [])))
    members = members | {pack(value)} if present else members - {pack(value)}
    here["s"] = list(map(unpack_trusted, sorted(members)))


def _item(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    key, value = draw(some_key), draw(st.sampled_from([*VALUES, ERASED]))
    scope.put_item("d", key, value)
    items = here.setdefault("d", {})
    if value is ERASED:
        items.pop(key, None)
    else:
        items[key] = value


def _clear(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    kind, name = draw(st.sampled_from(_COLLECTIONS))
    scope.restart(kind, name)
    edit.forget((*scope.path, kind, name))
    here[name] = {} if kind == obj.DICTIONARY else []


_COLLECTIONS = [
    (obj.SET, "s"), (obj.DICTIONARY, "d"), (obj.DICTIONARY, "m"), (obj.LIST, "l"), (obj.LIST, "o"),
]  # fmt: skip


# -- embedded objects ------------------------------------------------------------------------
def _embedded(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    path = (*scope.path, obj.EMBEDDED, "e")
    start = edit.start_of(path, scope.view.get(obj.EMBEDDED, {}).get("e", absent())[0])
    choice = draw(st.integers(0, 9))
    if choice == 0:
        scope.erase_embedded("e", start)
        edit.forget(path)
        here["e"] = None
    elif choice > 3 and here.get("e") is not None:
        if depth < DEPTH:
            inside(draw, edit, scope.embedded("e"), here["e"], depth + 1)
    else:
        inner = scope.create_embedded("e", start)
        edit.forget(path)
        inner.set("n", choice)
        here["e"] = {"n": choice}


def _object_item(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    key, items = draw(some_key), here.setdefault("m", {})
    held = scope.view.get(obj.DICTIONARY, {}).get("m", [[], [], {}])[2].get(key, absent())
    path = (*scope.path, obj.DICTIONARY, "m", key)
    start = edit.start_of(path, held[0])
    choice = draw(st.integers(0, 9))
    if choice == 0:
        scope.erase_item("m", key, start)
        edit.forget(path)
        items.pop(key, None)
    elif choice > 3 and key in items:
        if depth < DEPTH:
            inside(draw, edit, scope.item("m", key), items[key], depth + 1)
    else:
        inner = scope.create_item("m", key, start)
        edit.forget(path)
        inner.set("n", choice)
        items[key] = {"n": choice}


# -- lists -----------------------------------------------------------------------------------
def _insert(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    editor, shown = edit.editor(scope, "l"), here.setdefault("l", [])
    at = draw(st.integers(0, len(shown)))
    run = draw(st.lists(some_value, min_size=1, max_size=4))
    scope.list_insert("l", editor, at, run)
    shown[at:at] = run


def _insert_object(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    editor, shown = edit.editor(scope, "o"), here.setdefault("o", [])
    at = draw(st.integers(0, len(shown)))
    (new,) = scope.list_insert("o", editor, at, [None])
    scope.element("o", editor, new).set("n", at)
    shown.insert(at, {"n": at})


def _on_element(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    name = draw(st.sampled_from("lo"))
    shown = here.get(name, [])
    if not shown:
        return
    editor, at = edit.editor(scope, name), draw(st.integers(0, len(shown) - 1))
    choice = draw(st.integers(0, 2))
    if choice == 0:
        path = (*scope.path, obj.LIST, name, editor.id_at(at))
        scope.list_erase(name, editor, at)
        edit.forget(path)
        del shown[at]
    elif choice == 1:
        target = draw(st.integers(0, len(shown) - 1))
        scope.list_move(name, editor, at, target)
        shown.insert(target, shown.pop(at))
    elif name == "l":
        shown[at] = draw(some_value)
        scope.list_set("l", editor, at, shown[at])
    elif depth < DEPTH:
        inside(draw, edit, scope.element("o", editor, editor.id_at(at)), shown[at], depth + 1)


# -- mixed values ----------------------------------------------------------------------------
nested_value = st.recursive(
    some_value,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(some_key, inner, max_size=3),
    max_leaves=6,
)


def _nested(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    here["v"] = draw(nested_value)
    write = edit.nested(scope)
    slot = property_container(scope.view, "v")
    default = draw(st.booleans()) and not (slot and isinstance(here["v"], list | dict))
    (write.set_default if default else write.set)("v", deepcopy(here["v"]))


def _in_nested(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    """One operation in the mixed value, or in one of those inside of it."""
    slot, value = property_container(scope.view, "v"), here.get("v")
    while isinstance(value, list | dict):
        assert slot is not None
        if isinstance(value, dict):
            key = draw(some_key)
            inner = register.read(collection_of(scope.view, obj.DICTIONARY, slot)[1], key)
            further = value.get(key)
        elif value:
            at = draw(st.integers(0, len(value) - 1))
            inner, further = edit.editor(scope, slot).value_at(at), value[at]
        else:
            further = None
        if not isinstance(further, list | dict) or draw(st.booleans()):
            break
        slot, value = container_id(inner), further
    if isinstance(value, dict):
        value[key] = draw(nested_value)
        edit.nested(scope).put_item(slot, key, deepcopy(value[key]))
    elif isinstance(value, list):
        _in_nested_list(draw, edit, scope, slot, value)


def _in_nested_list(draw: Draw, edit: Edit, scope: Scope, slot: bytes, value: list[Any]) -> None:
    nested, editor, choice = edit.nested(scope), edit.editor(scope, slot), draw(st.integers(0, 4))
    if choice > 2 or not value:
        at, run = draw(st.integers(0, len(value))), draw(st.lists(nested_value, max_size=3))
        nested.list_insert(slot, at, deepcopy(run))
        value[at:at] = run
        return
    at = draw(st.integers(0, len(value) - 1))
    if choice == 0:
        scope.list_erase(slot, editor, at)
        del value[at]
    elif choice == 1:
        target = draw(st.integers(0, len(value) - 1))
        scope.list_move(slot, editor, at, target)
        value.insert(target, value.pop(at))
    else:
        value[at] = draw(nested_value)
        nested.list_set(slot, at, deepcopy(value[at]))


# -- texts -----------------------------------------------------------------------------------
_FORMATS: list[dict[str, Any]] = [{}, {"b": True}, {"b": None}, {"n": 1, "b": 1}]


def _type(draw: Draw, edit: Edit, scope: Scope, here: Here, depth: int) -> None:
    shown = here.get("t", "")
    pieces = shown if isinstance(shown, list) else [[shown, {}]]
    characters = [(char, formats) for text, formats in pieces for char in text]
    at = draw(st.integers(0, len(characters)))
    count = draw(st.integers(0, min(3, len(characters) - at)))
    formats = draw(st.sampled_from(_FORMATS))
    choice = draw(st.integers(0, 3))
    if choice < 2 or not count:
        word = draw(st.sampled_from(WORDS))
        edit.text_insert(scope, "t", at, word, formats)
        characters[at:at] = [(char, _kept(formats)) for char in word]
    elif choice == 2:
        edit.text_erase(scope, "t", at, count)
        del characters[at : at + count]
    else:
        edit.text_format(scope, "t", at, count, formats)
        for index in range(at, at + count):
            char, held = characters[index]
            characters[index] = (char, _kept({**held, **formats}))
    if "t" in here or characters:
        here["t"] = _pieces(characters)


def _kept(formats: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sorted(formats.items()) if value is not None}


def _pieces(characters: list[tuple[str, dict[str, Any]]]) -> Any:
    """The canonical value of a text."""
    out: list[list[Any]] = []
    for char, formats in characters:
        if out and pack(out[-1][1]) == pack(formats):
            out[-1][0] += char
        else:
            out.append([char, formats])
    if any(formats for _, formats in out):
        return out
    return "".join(text for text, _ in out)


OPERATIONS: list[Callable[[Draw, Edit, Scope, Here, int], None]] = [
    _set, _default, _add, _member, _item, _clear, _embedded, _object_item, _insert, _insert_object,
    _on_element, _on_element, _nested, _in_nested, _in_nested, _type, _type,
]  # fmt: skip
