"""Local edits: what one transaction of one device writes, as a delta. [EDIT]

A `Scope` is the fields of one object, top-level or embedded, while a transaction edits them: the
`view` that the transaction reads, and the `delta` it will commit. Every operation writes both.

Rule 1: a local write is later than all this device has seen, so it is put, not merged; the
        result is still `merge(state, delta)`. [EDIT-1]
Rule 2: a delta holds the net effect: a second write of one transaction to one place replaces the
        first. [EDIT-2]
Rule 3: any number of creates and deletes in one transaction moves a causal length by the least
        amount that has the right parity and, if there was a delete, is larger. [EDIT-3]
Rule 4: lists are edited by index among the visible elements; the delta names ids only. Lists in
        the view stay as they were until `seal`; `ListEditor` is what the transaction reads.
        [EDIT-4]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from replication.crdt import object as obj
from replication.crdt import register
from replication.crdt.counter import add, based
from replication.crdt.incarnation import Incarnation
from replication.crdt.list import Elements, Id, contract, empty_chunk
from replication.crdt.register import Stamp, explicit
from replication.crdt.sequence import Sequence
from replication.model.encoding import pack, sorted_map


class Author:
    """Who writes: the stamp of the transaction and where fresh ids come from.

    Args:
        stamp: (time, origin) of the transaction.
        mint: returns the next sequence of this file.
    """

    __slots__ = ("_mint", "stamp")

    def __init__(self, stamp: Stamp, mint: Callable[[], int]) -> None:
        self.stamp = stamp
        self._mint = mint

    def id(self) -> Id:
        """A fresh id."""
        return (self.stamp[1], self._mint())

    def incarnation(self) -> Incarnation:
        """A fresh incarnation."""
        return [*self.stamp, *self.id()]


def raised(start: int, now: int, *, alive: bool) -> int:
    """The causal length after a create (``alive``) or delete: Rule 3.

    Args:
        start: the length before the transaction.
        now: the length this transaction left so far (equal to ``start`` if untouched).
    """
    if alive:
        if now % 2 == 1:
            return now
        return start + 1 if start % 2 == 0 else start + 2
    return start + 2 if start % 2 == 0 else start + 1


class ListEditor:
    """One list, open for reading and editing: all its elements and their order."""

    __slots__ = ("elements", "incarnation", "sequence")

    def __init__(self, incarnation: Incarnation, elements: Elements) -> None:
        self.incarnation = incarnation
        self.elements = elements
        self.sequence = Sequence(elements)

    def __len__(self) -> int:
        return len(self.sequence.visible)

    def id_at(self, index: int) -> Id:
        """The element at ``index``."""
        return self.sequence.visible[index]

    def value_at(self, index: int) -> Any:
        """Its value; None for an embedded object."""
        return self.elements.values[self.sequence.visible[index]][2]

    def values(self) -> list[Any]:
        """All values in order."""
        held = self.elements.values
        return [held[here][2] for here in self.sequence.visible]


class Scope:
    """The fields of one object while a transaction edits them.

    Args:
        view: the fields as the transaction sees them; changed in place.
        delta: what the transaction wrote in them; changed in place.
    """

    __slots__ = ("author", "delta", "view")

    def __init__(self, view: obj.Fields, delta: obj.Fields, author: Author) -> None:
        self.view = view
        self.delta = delta
        self.author = author

    # -- registers and counters --------------------------------------------------------------
    def set(self, name: str, value: Any) -> None:
        """An explicit write."""
        stored = based(value, self.view.get(obj.COUNTER, {}).get(name, 0))
        self._put(explicit(self.author.stamp), name, stored)

    def set_default(self, name: str, value: Any) -> None:
        """A default: it loses to every explicit write its author has not seen."""
        stored = based(value, self.view.get(obj.COUNTER, {}).get(name, 0))
        seen = register.seen_stamp(self.view.get(obj.REGISTER, []), name)
        if seen == self.author.stamp:  # explicit earlier in this transaction: that one stands
            self._put(explicit(self.author.stamp), name, stored)
        else:
            self._put(register.default(self.author.stamp, seen), name, stored)

    def _put(self, order: register.Order, name: str, stored: Any) -> None:
        for fields in (self.view, self.delta):
            register.put(_kind(fields, obj.REGISTER, list), order, name, stored)

    def add(self, name: str, amount: int) -> None:
        """An increment."""
        for fields in (self.view, self.delta):
            totals = add(_kind(fields, obj.COUNTER, dict), name, amount)
            if totals:
                fields[obj.COUNTER] = totals
            else:
                del fields[obj.COUNTER]

    # -- sets --------------------------------------------------------------------------------
    def set_member(self, name: str, value: Any, *, present: bool) -> None:
        """Insert or remove a member of a set."""
        order, member = explicit(self.author.stamp), pack(value)
        for state in self._collection(obj.SET, name):
            register.put(state[1], order, member, present)

    # -- dictionaries ------------------------------------------------------------------------
    def put_item(self, name: str, key: str, value: Any) -> None:
        """Set a key of a dictionary; ERASED removes it."""
        order = explicit(self.author.stamp)
        for state in self._collection(obj.DICTIONARY, name):
            register.put(state[1], order, key, value)

    def create_item(self, name: str, key: str, start: int) -> Scope:
        """A fresh embedded object at a key. ``start``: its length before the transaction."""
        view, delta = self._collection(obj.DICTIONARY, name)
        return self._create(view[2], delta[2], key, start)

    def erase_item(self, name: str, key: str, start: int) -> None:
        """Remove the embedded object at a key."""
        view, delta = self._collection(obj.DICTIONARY, name)
        _erase(view[2], delta[2], key, start)

    def item(self, name: str, key: str) -> Scope:
        """The living embedded object at a key, to edit."""
        view, delta = self._collection(obj.DICTIONARY, name)
        return self._enter(view[2], delta[2], key)

    # -- embedded objects --------------------------------------------------------------------
    def create_embedded(self, name: str, start: int) -> Scope:
        """A fresh embedded object. ``start``: the length of its place before the transaction."""
        return self._create(
            _kind(self.view, obj.EMBEDDED, dict), _kind(self.delta, obj.EMBEDDED, dict), name, start
        )

    def erase_embedded(self, name: str, start: int) -> None:
        """An explicit null."""
        _erase(
            _kind(self.view, obj.EMBEDDED, dict), _kind(self.delta, obj.EMBEDDED, dict), name, start
        )

    def embedded(self, name: str) -> Scope:
        """The living embedded object, to edit."""
        return self._enter(self.view[obj.EMBEDDED], _kind(self.delta, obj.EMBEDDED, dict), name)

    def _create(
        self, views: dict[str, Any], deltas: dict[str, Any], name: str, start: int
    ) -> Scope:
        held = views.get(name) or obj.absent()
        if obj.is_alive(held):
            # Over a living one: the length stays, the last replacement wins whole.
            length, at, incarnation = 0, held[1], self.author.incarnation()
        else:
            length = at = raised(start, held[0], alive=True)
            incarnation = []
        views[name] = [max(held[0], length), at, list(incarnation), {}]
        deltas[name] = [length, at, incarnation, {}]
        return Scope(views[name][3], deltas[name][3], self.author)

    def _enter(self, views: dict[str, Any], deltas: dict[str, Any], name: str) -> Scope:
        held = views[name]
        if name not in deltas:
            deltas[name] = [0, held[1], list(held[2]), {}]
        return Scope(held[3], deltas[name][3], self.author)

    # -- whole collections -------------------------------------------------------------------
    def restart(self, kind: int, name: str) -> None:
        """Start a new incarnation of a set, dictionary or list, empty."""
        incarnation = self.author.incarnation()
        for fields in (self.view, self.delta):
            _kind(fields, kind, dict)[name] = [list(incarnation), *_content(kind)]
        if kind == obj.LIST:
            self.delta[kind][name][1] = Elements()

    def _collection(self, kind: int, name: str) -> tuple[Any, Any]:
        views, deltas = _kind(self.view, kind, dict), _kind(self.delta, kind, dict)
        if name not in views:
            views[name] = [[], *_content(kind)]
        if name not in deltas:
            deltas[name] = [list(views[name][0]), *_content(kind)]
        return views[name], deltas[name]

    # -- lists -------------------------------------------------------------------------------
    def _list_delta(self, name: str, editor: ListEditor) -> Elements:
        deltas = _kind(self.delta, obj.LIST, dict)
        if name not in deltas:
            deltas[name] = [list(editor.incarnation), Elements()]
        elements: Elements = deltas[name][1]
        return elements

    def list_insert(
        self, name: str, editor: ListEditor, index: int, values: Iterable[Any]
    ) -> list[Id]:
        """Insert a run before the element at ``index`` (0..len); returns the new ids."""
        delta = self._list_delta(name, editor)
        stamp = self.author.stamp
        ids = []
        for offset, value in enumerate(values):
            here = self.author.id()
            parent, side = editor.sequence.anchor(index + offset)
            for elements in (editor.elements, delta):
                elements.places[here] = (parent, side, *stamp)
                elements.values[here] = (*stamp, value)
            editor.sequence.inserted(index + offset, here, here, parent, side)
            ids.append(here)
        return ids

    def list_set(self, name: str, editor: ListEditor, index: int, value: Any) -> None:
        """Replace the value of the element at ``index``."""
        here = editor.id_at(index)
        for elements in (editor.elements, self._list_delta(name, editor)):
            elements.values[here] = (*self.author.stamp, value)

    def list_move(self, name: str, editor: ListEditor, source: int, target: int) -> None:
        """Move the element at ``source`` to ``target``, counted after its removal."""
        delta = self._list_delta(name, editor)
        stamp = self.author.stamp
        here = editor.sequence.removed(source)
        parent, side = editor.sequence.anchor(target)
        place = self.author.id()
        for elements in (editor.elements, delta):
            elements.places[place] = (parent, side, *stamp)
            elements.moves[here] = (*stamp, place)
        editor.sequence.inserted(target, here, place, parent, side)

    def list_erase(self, name: str, editor: ListEditor, index: int) -> None:
        """Erase the element at ``index``."""
        delta = self._list_delta(name, editor)
        here = editor.sequence.removed(index)
        for elements in (editor.elements, delta):
            elements.erased.add(here)
            elements.values.pop(here, None)
            elements.moves.pop(here, None)
            elements.contents.pop(here, None)

    def element(self, name: str, editor: ListEditor, here: Id) -> Scope:
        """The fields of the embedded object that is the element ``here``, to edit."""
        delta = self._list_delta(name, editor)
        return Scope(
            editor.elements.contents.setdefault(here, {}),
            delta.contents.setdefault(here, {}),
            self.author,
        )


def _erase(views: dict[str, Any], deltas: dict[str, Any], name: str, start: int) -> None:
    held = views.get(name) or obj.absent()
    length = raised(start, held[0], alive=False)
    views[name] = [length, 0, [], {}]
    deltas[name] = [length, 0, [], {}]


def _kind(fields: obj.Fields, kind: int, make: Callable[[], Any]) -> Any:
    if kind not in fields:
        fields[kind] = make()
    return fields[kind]


def _content(kind: int) -> list[Any]:
    if kind == obj.SET:
        return [[]]
    if kind == obj.DICTIONARY:
        return [[], {}]
    return [empty_chunk()]


def seal(delta: obj.Fields) -> obj.Fields:
    """The canonical form of a delta's fields once its transaction is over."""
    out: obj.Fields = {}
    for kind, held in delta.items():
        if kind in (obj.REGISTER, obj.COUNTER):
            sealed: Any = held
        elif kind == obj.EMBEDDED:
            sealed = _sealed_objects(held)
        elif kind == obj.DICTIONARY:
            sealed = {name: [s[0], s[1], _sealed_objects(s[2])] for name, s in held.items()}
        elif kind == obj.LIST:
            sealed = {name: [s[0], _sealed_list(s[1])] for name, s in held.items()}
        else:
            sealed = held
        if sealed:
            out[kind] = sealed if kind == obj.REGISTER else sorted_map(sealed)
    return sorted_map(out)


def _sealed_objects(states: dict[str, Any]) -> dict[str, Any]:
    return sorted_map({name: [*s[:3], seal(s[3])] for name, s in states.items()})


def _sealed_list(held: Any) -> Any:
    elements = Elements() if type(held) is list else held
    elements.contents = {here: seal(fields) for here, fields in elements.contents.items()}
    return contract(elements)
