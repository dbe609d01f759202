"""Local edits: what one transaction of one device writes, as a delta. [EDIT]

A `Scope` is the fields of one object, top-level or embedded, while a transaction edits them: the
`view` that the transaction reads, and the `delta` it will commit. Every operation writes both;
`seal` gives both their canonical form in the end.

Rule 1: a local write is later than all this device has seen, so it is put, not merged; the
        result is still `merge(state, delta)`. [EDIT-1]
Rule 2: a delta holds the net effect: a second write of one transaction to one place replaces the
        first. [EDIT-2]
Rule 3: any number of creates and deletes in one transaction moves a causal length by the least
        amount that has the right parity and, if there was a delete, is larger. [EDIT-3]
Rule 4: lists are edited by index among the visible elements; the delta names ids only. Lists in
        the view stay as they were; `ListEditor` is what the transaction reads. [EDIT-4]
Rule 5: what a decoder would refuse is refused here, before it is written: values that can't be
        stored, what is nested too deep, too many moves and erasures. [EDIT-5]
Rule 6: lists and dictionaries are named by their property or, where they are containers, by the
        container's id. A container that the transaction made and replaced again leaves nothing.
        [EDIT-2]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from replication.crdt import object as obj
from replication.crdt import register
from replication.crdt.container import (
    Home,
    Slot,
    container_id,
    default_id,
    depth,
    property_container,
)
from replication.crdt.counter import add, based
from replication.crdt.incarnation import Incarnation
from replication.crdt.list import Chunk, Elements, Id, contract, empty_chunk
from replication.crdt.parts import Path
from replication.crdt.register import Stamp, explicit
from replication.crdt.sequence import Sequence
from replication.crdt.text import Text
from replication.crdt.union import union
from replication.crdt.updates import read_update, write_update
from replication.errors import LimitExceededError
from replication.limits import CONTAINER_NESTING_MAX, LIST_BARE_IDS_MAX, NESTING_MAX
from replication.model.encoding import pack, storable
from replication.model.values import Container

#: Embedded objects by name or key.
Objects: TypeAlias = dict[str, obj.ObjectState]


class Author:
    """Who writes: the stamp of the transaction and where fresh ids come from.

    Args:
        stamp: (time, origin) of the transaction.
        mint: returns the next sequence of this file.
    """

    __slots__ = ("_bare_ids", "_mint", "stamp")

    def __init__(self, stamp: Stamp, mint: Callable[[], int]) -> None:
        self.stamp = stamp
        self._mint = mint
        self._bare_ids = 0

    def id(self) -> Id:
        """A fresh id."""
        return (self.stamp[1], self._mint())

    def incarnation(self) -> Incarnation:
        """A fresh incarnation."""
        return [*self.stamp, *self.id()]

    def container(self, kind: int) -> Container:
        """A reference to a fresh container."""
        return Container(kind, *self.id())

    def spend(self, bare_ids: int) -> None:
        """Count what moves and erasures add to the transaction. Rule 5.

        Raises:
            LimitExceededError: too much for one transaction.
        """
        self._bare_ids += bare_ids
        if self._bare_ids > LIST_BARE_IDS_MAX:
            raise LimitExceededError(
                f"more than {LIST_BARE_IDS_MAX} moves and erasures of list elements in one "
                "transaction; split it, or clear the list"
            )


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
    """One list, open for reading and editing: all its elements and their order.

    Attributes:
        edits: how often it was edited since it was opened.
        shown: for a reader that hides elements to remember which are left.
    """

    __slots__ = ("edits", "elements", "incarnation", "sequence", "shown")

    def __init__(self, incarnation: Incarnation, elements: Elements) -> None:
        self.incarnation = incarnation
        self.elements = elements
        self.sequence = Sequence(elements)
        self.edits = 0
        self.shown: Any = None

    def __len__(self) -> int:
        return len(self.sequence.visible)

    @property
    def ids(self) -> list[Id]:
        """The visible elements, in order; not to be changed."""
        return self.sequence.visible

    def id_at(self, index: int) -> Id:
        """The element at ``index``."""
        return self.sequence.visible[index]

    def value_at(self, index: int) -> Any:
        """Its value; None for an embedded object."""
        return self.elements.values[self.sequence.visible[index]][2]

    def value_of(self, here: Id) -> Any:
        """The value of the element of that id; None where there is none."""
        held = self.elements.values.get(here)
        return None if held is None else held[2]

    def values(self) -> list[Any]:
        """All values in order."""
        held = self.elements.values
        return [held[here][2] for here in self.sequence.visible]


class Scope:
    """The fields of one object while a transaction edits them.

    Attributes:
        view: the fields as the transaction sees them; changed in place.
        delta: what the transaction wrote in them; changed in place.
        path: where the fields are inside their top-level object (see `parts`).
        nesting: how many embedded objects they are inside of.
    """

    __slots__ = ("author", "delta", "nesting", "path", "view")

    def __init__(
        self,
        view: obj.Fields,
        delta: obj.Fields,
        author: Author,
        path: Path = (),
        nesting: int = 0,
    ) -> None:
        if nesting > NESTING_MAX:
            raise LimitExceededError(f"more than {NESTING_MAX} embedded objects inside each other")
        self.view = view
        self.delta = delta
        self.author = author
        self.path = path
        self.nesting = nesting

    def _inner(self, view: obj.Fields, delta: obj.Fields, *steps: Any) -> Scope:
        return Scope(view, delta, self.author, (*self.path, *steps), self.nesting + 1)

    # -- registers and counters --------------------------------------------------------------
    def set(self, name: str, value: Any) -> None:
        """An explicit write."""
        self._put(explicit(self.author.stamp), name, value)

    def set_default(self, name: str, value: Any) -> None:
        """A default: it loses to every explicit write its author has not seen."""
        seen = register.seen_stamp(self.view.get(obj.REGISTER, []), name)
        if seen == self.author.stamp:  # explicit earlier in this transaction: that one stands
            self._put(explicit(self.author.stamp), name, value)
        else:
            self._put(register.default(self.author.stamp, seen), name, value)

    def _put(self, order: register.Order, name: str, value: Any) -> None:
        self._discard(property_container(self.delta, name))
        stored = based(storable(value), self.view.get(obj.COUNTER, {}).get(name, 0))
        for fields in (self.view, self.delta):
            register.put(_at(fields, obj.REGISTER, list), order, name, stored)

    def add(self, name: str, amount: int) -> None:
        """An increment."""
        for fields in (self.view, self.delta):
            fields[obj.COUNTER] = add(fields.get(obj.COUNTER, {}), name, amount)

    # -- sets --------------------------------------------------------------------------------
    def set_member(self, name: str, value: Any, *, present: bool) -> None:
        """Insert or remove a member of a set."""
        order, member = explicit(self.author.stamp), pack(storable(value))
        for state in self._collection(obj.SET, name):
            register.put(state[1], order, member, present)

    # -- dictionaries ------------------------------------------------------------------------
    def put_item(self, name: Slot, key: str, value: Any) -> None:
        """Set a key of a dictionary; ERASED removes it."""
        order, stored = explicit(self.author.stamp), storable(value)
        view, delta = self._collection(obj.DICTIONARY, name)
        self._discard(container_id(register.read(delta[1], key)))
        for state in (view, delta):
            register.put(state[1], order, key, stored)

    def create_item(self, name: str, key: str, start: int) -> Scope:
        """A fresh embedded object at a key. ``start``: its length before the transaction."""
        view, delta = self._collection(obj.DICTIONARY, name)
        return self._create(view[2], delta[2], start, obj.DICTIONARY, name, key)

    def erase_item(self, name: str, key: str, start: int) -> None:
        """Remove the embedded object at a key."""
        view, delta = self._collection(obj.DICTIONARY, name)
        _erase(view[2], delta[2], start, key)

    def item(self, name: str, key: str) -> Scope:
        """The living embedded object at a key, to edit."""
        view, delta = self._collection(obj.DICTIONARY, name)
        return self._enter(view[2], delta[2], obj.DICTIONARY, name, key)

    # -- embedded objects --------------------------------------------------------------------
    def create_embedded(self, name: str, start: int) -> Scope:
        """A fresh embedded object. ``start``: the length of its place before the transaction."""
        return self._create(*self._objects(), start, obj.EMBEDDED, name)

    def erase_embedded(self, name: str, start: int) -> None:
        """An explicit null."""
        _erase(*self._objects(), start, name)

    def embedded(self, name: str) -> Scope:
        """The living embedded object, to edit."""
        return self._enter(*self._objects(), obj.EMBEDDED, name)

    def _objects(self) -> tuple[Objects, Objects]:
        return _at(self.view, obj.EMBEDDED, dict), _at(self.delta, obj.EMBEDDED, dict)

    def _create(self, views: Objects, deltas: Objects, start: int, *steps: Any) -> Scope:
        name = steps[-1]
        held = views.get(name) or obj.absent()
        length = deltas[name][0] if name in deltas else 0
        incarnation: Incarnation = []
        if not obj.is_alive(held):
            # Content can be here before the create it belongs to: this create comes after that.
            length = at = held[1] or raised(start, held[0], alive=True)
            if held[1]:
                incarnation = self.author.incarnation()
        elif length:  # created by this transaction: just created otherwise
            at, incarnation = held[1], deltas[name][2]
        else:  # over a living one the length stays, so that the last replacement wins whole
            at, incarnation = held[1], self.author.incarnation()
        views[name] = [at, at, list(incarnation), {}]
        deltas[name] = [length, at, list(incarnation), {}]
        return self._inner(views[name][3], deltas[name][3], *steps)

    def _enter(self, views: Objects, deltas: Objects, *steps: Any) -> Scope:
        name = steps[-1]
        held = views[name]
        if name not in deltas:
            deltas[name] = [0, held[1], list(held[2]), {}]
        return self._inner(held[3], deltas[name][3], *steps)

    # -- whole collections -------------------------------------------------------------------
    def restart(self, kind: int, name: Slot) -> None:
        """Start a new incarnation of a set, dictionary or list, empty."""
        incarnation = self.author.incarnation()
        view, delta = self._collection(kind, name)
        for inner in _references(delta):
            self._discard(inner)
        view[:] = [list(incarnation), *_empty(kind)]
        delta[:] = [list(incarnation), *_unwritten(kind)]

    def _collection(self, kind: int, name: Slot) -> tuple[Any, Any]:
        if type(name) is bytes:
            return self._content(name)
        views, deltas = _at(self.view, kind, dict), _at(self.delta, kind, dict)
        if name not in views:
            views[name] = [[], *_empty(kind)]
        if name not in deltas:
            deltas[name] = [list(views[name][0]), *_unwritten(kind)]
        return views[name], deltas[name]

    # -- containers --------------------------------------------------------------------------
    def hold(self, name: bytes, home: Home) -> None:
        """Make the container of that id, empty, which this transaction put at ``home``.

        Raises:
            LimitExceededError: it would be too deep inside of others.
        """
        if depth(self.view, home) >= CONTAINER_NESTING_MAX:
            raise LimitExceededError(
                f"more than {CONTAINER_NESTING_MAX} lists and dictionaries inside each other in a "
                "mixed value"
            )
        kind = obj.container_kind(name)
        _at(self.view, obj.CONTAINER, dict)[name] = [home, [[], *_empty(kind)]]
        _at(self.delta, obj.CONTAINER, dict)[name] = [home, [[], *_unwritten(kind)]]

    def default_container(self, name: str, kind: int) -> bytes:
        """Set a list or dictionary as a default; returns its id.

        Where others set one over the same write, and it came here, that is the one.
        """
        seen = register.seen_stamp(self.view.get(obj.REGISTER, []), name)
        if seen == self.author.stamp:
            stored = self.author.container(kind)
            here = container_id(stored)
        else:
            stored = Container(kind, 0, 0)
            here = default_id(kind, name, seen)
        self.set_default(name, stored)
        assert here is not None
        if here not in self.view.get(obj.CONTAINER, {}):
            self.hold(here, [obj.REGISTER, name])
        return here

    def _content(self, name: bytes) -> tuple[Any, Any]:
        """What is in a container that is there."""
        view, deltas = self.view[obj.CONTAINER][name][1], _at(self.delta, obj.CONTAINER, dict)
        if name not in deltas:
            deltas[name] = [[], [list(view[0]), *_unwritten(obj.container_kind(name))]]
        return view, deltas[name][1]

    def _discard(self, name: bytes | None) -> None:
        """What this transaction wrote at a place is written over: forget it. Rule 6.

        Args:
            name: of the container it put there; None: something else, or nothing.
        """
        made = self.delta.get(obj.CONTAINER, {})
        todo = [name]
        while todo:
            here = todo.pop()
            if here is not None and here in made and made[here][0]:
                del self.view[obj.CONTAINER][here]
                todo.extend(_references(made.pop(here)[1]))

    # -- texts -------------------------------------------------------------------------------
    def write_text(self, name: str, update: bytes, ends: Mapping[int, int]) -> None:
        """What was typed, erased or formatted in a text; the view of it stays as it was.

        Args:
            update: canonical.
            ends: the clock after the last unit of each client that made one in it.
        """
        state = _at(self.delta, obj.TEXT, dict).setdefault(name, [{}, []])
        state[1].append(update)
        for client, end in ends.items():
            state[0][client] = [client, self.author.stamp[1], end]

    # -- lists -------------------------------------------------------------------------------
    def _list_delta(self, name: Slot, editor: ListEditor) -> Elements:
        if type(name) is bytes:
            written = self._content(name)[1]
        else:
            deltas = _at(self.delta, obj.LIST, dict)
            if name not in deltas:  # the view's list stays as it was
                deltas[name] = [list(editor.incarnation), Elements()]
            written = deltas[name]
        elements: Elements = written[1]
        return elements

    def list_insert(
        self, name: Slot, editor: ListEditor, index: int, values: Iterable[Any]
    ) -> list[Id]:
        """Insert a run before the element at ``index`` (0..len); returns the new ids."""
        values = [storable(value) for value in values]
        if not values:
            return []
        delta = self._list_delta(name, editor)
        editor.edits += 1
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

    def list_set(self, name: Slot, editor: ListEditor, index: int, value: Any) -> None:
        """Replace the value of the element at ``index``."""
        here, stored = editor.id_at(index), storable(value)
        editor.edits += 1
        delta = self._list_delta(name, editor)
        self._discard(_reference(delta, here))
        for elements in (editor.elements, delta):
            elements.values[here] = (*self.author.stamp, stored)

    def list_move(self, name: Slot, editor: ListEditor, source: int, target: int) -> None:
        """Move the element at ``source`` to ``target``, counted after its removal."""
        self.author.spend(1)
        editor.edits += 1
        delta = self._list_delta(name, editor)
        stamp = self.author.stamp
        here = editor.sequence.removed(source)
        parent, side = editor.sequence.anchor(target)
        place = self.author.id()
        for elements in (editor.elements, delta):
            elements.places[place] = (parent, side, *stamp)
            elements.moves[here] = (*stamp, place)
        editor.sequence.inserted(target, here, place, parent, side)

    def list_erase(self, name: Slot, editor: ListEditor, index: int) -> None:
        """Erase the element at ``index``."""
        delta = self._list_delta(name, editor)
        here = editor.id_at(index)
        self.author.spend(2 if here in delta.places else 1)
        self._discard(_reference(delta, here))
        editor.edits += 1
        editor.sequence.removed(index)
        for elements in (editor.elements, delta):
            elements.erased.add(here)
            elements.values.pop(here, None)
            elements.moves.pop(here, None)
            elements.contents.pop(here, None)

    def element(self, name: str, editor: ListEditor, here: Id) -> Scope:
        """The fields of the embedded object that is the element ``here``, to edit."""
        delta = self._list_delta(name, editor)
        view = editor.elements.contents.setdefault(here, {})
        return self._inner(view, delta.contents.setdefault(here, {}), obj.LIST, name, here)


def _erase(views: Objects, deltas: Objects, start: int, name: str) -> None:
    held = views.get(name) or obj.absent()
    length = raised(start, held[0], alive=False)
    # Content whose create has not come yet stays.
    early = held[1] > length and not obj.is_alive(held)
    content = held[1:] if early else [0, [], {}]
    views[name] = [length, *content]
    deltas[name] = [length, 0, [], {}]


def _at(fields: obj.Fields, kind: int, make: Callable[[], Any]) -> Any:
    if kind not in fields:
        fields[kind] = make()
    return fields[kind]


def _reference(elements: Elements, here: Id) -> bytes | None:
    held = elements.values.get(here)
    return None if held is None else container_id(held[2])


def _references(collection: Any) -> list[bytes | None]:
    """The containers that a delta's list or dictionary refers to; None for other values."""
    held = collection[1]
    if type(held) is Elements:
        return [container_id(value) for _, _, value in held.values.values()]
    return [container_id(value) for group in held for value in group[2].values()]


def _unwritten(kind: int) -> list[Any]:
    """What a delta's collection starts with."""
    return [Elements()] if kind == obj.LIST else _empty(kind)


def _empty(kind: int) -> list[Any]:
    if kind == obj.SET:
        return [[]]
    if kind == obj.DICTIONARY:
        return [[], {}]
    return [empty_chunk()]


def seal(fields: obj.Fields) -> obj.Fields:
    """The canonical form of a delta or view once its transaction is over.

    Elements become chunks; a view's lists, which stayed as they were, are taken as they are.
    """
    out: obj.Fields = {}
    for kind, held in sorted(fields.items()) if len(fields) > 1 else fields.items():
        if not held:
            continue
        if kind == obj.REGISTER:
            out[kind] = register.in_order(held)
        elif kind == obj.COUNTER:
            out[kind] = held
        elif kind == obj.CONTAINER:
            out[kind] = {
                name: [home, _sealed(obj.container_kind(name), content)]
                for name, (home, content) in sorted(held.items())
            }
        elif kind == obj.TEXT:
            out[kind] = {name: _sealed_text(state) for name, state in sorted(held.items())}
        else:
            out[kind] = {name: _sealed(kind, state) for name, state in sorted(held.items())}
    return out


def _sealed(kind: int, state: Any) -> Any:
    if kind == obj.EMBEDDED:
        return [*state[:3], seal(state[3])]
    if kind == obj.SET:
        return [state[0], register.in_order(state[1])]
    if kind == obj.DICTIONARY:
        embedded = {key: _sealed(obj.EMBEDDED, held) for key, held in sorted(state[2].items())}
        return [state[0], register.in_order(state[1]), embedded]
    if type(state[1]) is Elements:
        return [state[0], _sealed_list(state[1])]
    return state


def _sealed_list(elements: Elements) -> Chunk:
    elements.contents = {here: seal(fields) for here, fields in elements.contents.items()}
    return contract(elements)


def _sealed_text(state: Any) -> Text:
    """That of a delta; one of a view stays as it is."""
    if type(state[0]) is list:
        return state  # type: ignore[no-any-return]
    owners, updates = state
    update = updates[0]
    if len(updates) > 1:
        update = write_update(union(map(read_update, updates)))
    return [[owners[client] for client in sorted(owners)], update]
