"""A small world of replicas that edit one object and exchange deltas, for tests of the merge.

It is naive on purpose: no store, no server, no subscriptions. A replica knows a set of deltas that
is causally closed, and its state is their merge. `wander` makes it write what a random choice says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from bson.objectid import ObjectId

from replication.client.text_editor import TextEditor, Written, write_updates
from replication.clock import HybridClock
from replication.crdt import object as obj
from replication.crdt.check import check_object, unpack_object
from replication.crdt.container import Slot, collection_of, property_container, trail
from replication.crdt.document import pieces_of
from replication.crdt.edit import Author, ListEditor, Scope, raised, seal
from replication.crdt.incarnation import clone
from replication.crdt.list import Elements, Id, all_elements
from replication.crdt.nested import Nested
from replication.crdt.object import ObjectState, absent, is_alive, merge
from replication.crdt.parts import Parts, Path
from replication.crdt.stamps import latest_time
from replication.crdt.text import empty_text, merge_text, text_of
from replication.crdt.updates import read_update
from replication.crdt.whole import check_parts, joined
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import ERASED, Float32, Link, Timestamp

#: Where replicas' wall clocks start, in milliseconds since 2015.
WALL_MS = 300_000_000_000

VALUES: list[Any] = [
    None, True, False, 0, 1, -7, 2**63 - 1, 1.0, float("nan"), -0.0, Float32(1.5), "", "b", "é",
    "\0", b"\xff", Timestamp(5, 7), Timestamp(-1), ObjectId(bytes(12)), Link("Book", 4),
    Link("Book", "x"),
]  # fmt: skip
#: What can start anew. The name x is used for every kind.
COLLECTIONS = [
    (obj.SET, "s"), (obj.SET, "x"), (obj.DICTIONARY, "d"), (obj.DICTIONARY, "m"), (obj.LIST, "l"),
    (obj.LIST, "o"), (obj.LIST, "x"),
]  # fmt: skip
WORDS = ["a", "bc", "é", "😀", "x😀y"]
KEYS = ["", "a", "b", "key with spaces"]
NESTED: list[Any] = [[], {}, [1], {"a": 1}, [[], {"b": [2]}], {"a": {"b": {}}, "c": [3, [4]]}]


class Edit:
    """One transaction on one object, with the bookkeeping that a client's engine does.

    Attributes:
        start: the state before; never changed.
        view: the state as the transaction sees it, but for lists (see `editor`).
        delta: what it wrote.
    """

    def __init__(self, start: ObjectState, author: Author, client: int = 0) -> None:
        self.start = start
        #: Who makes what is typed.
        self.client = client or 100 + author.stamp[1]
        self.view = clone(start)
        self.delta: ObjectState = [0, self.view[1], list(self.view[2]), {}]
        self.author = author
        self._editors: dict[Path, tuple[obj.Fields, Slot, ListEditor]] = {}
        self._lengths: dict[Path, int] = {}

    def create(self) -> None:
        """Bring the object to life, empty."""
        length = raised(self.start[0], self.view[0], alive=True)
        self._restart([length, length, [], {}])

    def delete(self) -> None:
        """Delete the object."""
        self._restart([raised(self.start[0], self.view[0], alive=False), 0, [], {}])

    def _restart(self, state: ObjectState) -> None:
        self.view, self.delta = clone(state), state
        self._editors.clear()
        self._lengths.clear()

    def scope(self) -> Scope:
        """The fields of the object itself."""
        assert is_alive(self.view)
        return Scope(self.view[3], self.delta[3], self.author)

    def nested(self, scope: Scope) -> Nested:
        """The mixed values of some fields, open for writing."""
        return Nested(scope, partial(self.editor, scope))

    def editor(self, scope: Scope, name: Slot) -> ListEditor:
        """A list of some fields, open for reading and editing."""
        path = (*scope.path, obj.CONTAINER if isinstance(name, bytes) else obj.LIST, name)
        if path not in self._editors:
            state = collection_of(scope.view, obj.LIST, name)
            elements = all_elements(state, None, path) if state else Elements()
            editor = ListEditor(list(state[0]) if state else [], elements)
            self._editors[path] = (scope.view, name, editor)
        return self._editors[path][2]

    # -- texts -------------------------------------------------------------------------------
    def text_insert(self, scope: Scope, name: str, at: int, text: str, formats: Any = None) -> None:
        """Insert before the character at ``at``, formatted as told and not as its neighbours."""
        self._text(scope, name, lambda editor: editor.insert(at, text, formats or {}))

    def text_erase(self, scope: Scope, name: str, at: int, count: int) -> None:
        """Erase characters from ``at`` on."""
        self._text(scope, name, lambda editor: editor.erase(at, count))

    def text_format(self, scope: Scope, name: str, at: int, count: int, formats: Any) -> None:
        """Format characters from ``at`` on; None takes a format away."""
        self._text(scope, name, lambda editor: editor.format(at, count, formats))

    def _text(self, scope: Scope, name: str, act: Callable[[TextEditor], list[Written]]) -> None:
        ident = self.author.stamp[1]
        texts = scope.view.setdefault(obj.TEXT, {})
        editor = TextEditor(self.client)
        editor.catch_up(texts.setdefault(name, empty_text()), _no_parts)
        written = act(editor)
        write_updates(scope, name, written)
        for data, _ in written:
            texts[name] = merge_text(texts[name], text_of(read_update(data), ident), None, ())
        if texts[name] == empty_text():
            del texts[name]

    def text_size(self, scope: Scope, name: str) -> int:
        """How many characters a text shows."""
        held = scope.view.get(obj.TEXT, {}).get(name)
        return 0 if held is None else sum(len(piece) for piece, _ in pieces_of([held[1]]))

    def start_of(self, path: Path, now: int) -> int:
        """The causal length of a place before this transaction."""
        return self._lengths.setdefault(path, now)

    def forget(self, path: Path) -> None:
        """Everything below a path was replaced: what is there starts anew."""
        for known in list(self._editors):
            if known[: len(path)] == path:
                del self._editors[known]
        for known in list(self._lengths):
            if known[: len(path)] == path and len(known) > len(path):
                del self._lengths[known]

    def finish(self) -> tuple[ObjectState, ObjectState]:
        """The sealed delta and the view."""
        for path in sorted(self._editors, key=len, reverse=True):  # inner lists first
            fields, name, editor = self._editors[path]
            if isinstance(name, bytes):
                if name in fields.get(obj.CONTAINER, {}):
                    fields[obj.CONTAINER][name][1] = [editor.incarnation, editor.elements]
            elif name in fields.get(obj.LIST, {}) or editor.elements.ids():
                fields.setdefault(obj.LIST, {})[name] = [editor.incarnation, editor.elements]
        return [*self.delta[:3], seal(self.delta[3])], [*self.view[:3], seal(self.view[3])]


def _no_parts(_number: int) -> bytes:
    raise AssertionError("nothing here is spread over parts")


@dataclass
class Replica:
    """One device: its clock, its ids, the deltas it knows, and their merge."""

    ident: int
    wall_ms: int = WALL_MS
    clock: HybridClock = field(default_factory=HybridClock)
    sequence: int = 0
    #: By (ident, number), in the order in which they were merged.
    known: dict[tuple[int, int], ObjectState] = field(default_factory=dict)
    state: ObjectState = field(default_factory=absent)
    written: int = 0
    #: Makes what is typed in texts; 0: one of its ident.
    client: int = 0

    def mint(self) -> int:
        self.sequence += 1
        return self.sequence

    def write(self, act: Callable[[Edit], None]) -> ObjectState:
        """One transaction; returns its delta. Holds that what it saw is what it wrote."""
        author = Author((self.clock.tick(self.wall_ms), self.ident), self.mint)
        edit = Edit(self.state, author, self.client)
        before = pack(self.state)
        act(edit)
        delta, view = edit.finish()
        assert pack(self.state) == before, "an edit changed the state it started from"
        check_object(delta)
        merged = merge(clone(self.state), delta)
        assert pack(merged) == pack(view), "[EDIT-1] the view is not merge(start, delta)"
        check_object(merged)
        self.state = merged
        self.written += 1
        self.known[self.ident, self.written] = delta
        return delta

    def read(self, other: Replica) -> None:
        """Receive all that another replica knows, in its order."""
        for name, delta in other.known.items():
            self.receive(name, delta)

    def receive(self, name: tuple[int, int], delta: ObjectState) -> None:
        """Receive one delta; one that is known changes nothing."""
        if name not in self.known:
            self.known[name] = delta
            self.state = merge(self.state, delta)
            self.clock.receive(latest_time(delta))


# -- random writing --------------------------------------------------------------------------
def wander(rng: Random, steps: int = 3) -> Callable[[Edit], None]:
    """A transaction of up to ``steps`` random operations."""

    def act(edit: Edit) -> None:
        for _ in range(rng.randint(1, steps)):
            choice = rng.random()
            if not is_alive(edit.view):
                edit.create()
            elif choice < 0.04:
                edit.delete()
            else:
                scope = edit.scope()
                while rng.random() < 0.4:
                    scope = descend(edit, scope, rng) or scope
                rng.choice(OPERATIONS)(edit, scope, rng)

    return act


def descend(edit: Edit, scope: Scope, rng: Random) -> Scope | None:
    """A living embedded object inside, if there is one."""
    if scope.nesting >= 3:
        return None
    doors: list[Callable[[], Scope]] = []
    for name, state in scope.view.get(obj.EMBEDDED, {}).items():
        if is_alive(state):
            doors.append(partial(scope.embedded, name))
    for name, held in scope.view.get(obj.DICTIONARY, {}).items():
        for key, state in held[2].items():
            if is_alive(state):
                doors.append(partial(scope.item, name, key))
    if "o" in scope.view.get(obj.LIST, {}) or (*scope.path, obj.LIST, "o") in edit._editors:
        editor = edit.editor(scope, "o")
        for here in editor.sequence.visible:
            if here in editor.elements.contents:
                doors.append(partial(scope.element, "o", editor, here))
    return rng.choice(doors)() if doors else None


def _set(_edit: Edit, scope: Scope, rng: Random) -> None:
    scope.set(rng.choice(["r", "n", "x"]), rng.choice(VALUES))


def _set_default(_edit: Edit, scope: Scope, rng: Random) -> None:
    scope.set_default(rng.choice(["r", "n", "x"]), rng.choice(VALUES))


def _set_many(_edit: Edit, scope: Scope, rng: Random) -> None:
    for number in range(rng.randint(5, 12)):
        scope.set(f"w{number}", rng.choice(VALUES))


def _add(_edit: Edit, scope: Scope, rng: Random) -> None:
    scope.add(rng.choice(["n", "x"]), rng.choice([1, -1, 5, 2**63 - 1]))


def _member(_edit: Edit, scope: Scope, rng: Random) -> None:
    scope.set_member(rng.choice(["s", "x"]), rng.choice(VALUES), present=rng.random() < 0.6)


def _put_item(_edit: Edit, scope: Scope, rng: Random) -> None:
    scope.put_item(rng.choice(["d", "x"]), rng.choice(KEYS), rng.choice([*VALUES, ERASED]))


def _create_item(edit: Edit, scope: Scope, rng: Random) -> None:
    name, key = rng.choice(["m", "x"]), rng.choice(KEYS)
    held = scope.view.get(obj.DICTIONARY, {}).get(name, [[], [], {}])[2].get(key, absent())
    path = (*scope.path, obj.DICTIONARY, name, key)
    inner = scope.create_item(name, key, edit.start_of(path, held[0]))
    edit.forget(path)
    inner.set("r", rng.choice(VALUES))


def _erase_item(edit: Edit, scope: Scope, rng: Random) -> None:
    name, key = rng.choice(["m", "x"]), rng.choice(KEYS)
    held = scope.view.get(obj.DICTIONARY, {}).get(name, [[], [], {}])[2].get(key, absent())
    path = (*scope.path, obj.DICTIONARY, name, key)
    scope.erase_item(name, key, edit.start_of(path, held[0]))
    edit.forget(path)


def _create_embedded(edit: Edit, scope: Scope, rng: Random) -> None:
    name = rng.choice(["e", "x"])
    held = scope.view.get(obj.EMBEDDED, {}).get(name, absent())
    path = (*scope.path, obj.EMBEDDED, name)
    inner = scope.create_embedded(name, edit.start_of(path, held[0]))
    edit.forget(path)
    if rng.random() < 0.7:
        inner.set("r", rng.choice(VALUES))


def _erase_embedded(edit: Edit, scope: Scope, rng: Random) -> None:
    name = rng.choice(["e", "x"])
    held = scope.view.get(obj.EMBEDDED, {}).get(name, absent())
    path = (*scope.path, obj.EMBEDDED, name)
    scope.erase_embedded(name, edit.start_of(path, held[0]))
    edit.forget(path)


def _restart(edit: Edit, scope: Scope, rng: Random) -> None:
    kind, name = rng.choice(COLLECTIONS)
    scope.restart(kind, name)
    edit.forget((*scope.path, kind, name))


def _insert(edit: Edit, scope: Scope, rng: Random) -> None:
    name = rng.choice(["l", "l", "x"])
    editor = edit.editor(scope, name)
    run = [rng.choice(VALUES) for _ in range(rng.randint(1, 4))]
    scope.list_insert(name, editor, rng.randint(0, len(editor)), run)


def _insert_embedded(edit: Edit, scope: Scope, rng: Random) -> None:
    editor = edit.editor(scope, "o")
    (here,) = scope.list_insert("o", editor, rng.randint(0, len(editor)), [None])
    scope.element("o", editor, here).set("r", rng.choice(VALUES))


def _on_element(edit: Edit, scope: Scope, rng: Random) -> None:
    name = rng.choice(["l", "l", "o", "x"])
    editor = edit.editor(scope, name)
    if not len(editor):
        return
    index, choice = rng.randrange(len(editor)), rng.random()
    if choice < 0.4:
        here = editor.id_at(index)
        scope.list_erase(name, editor, index)
        edit.forget((*scope.path, obj.LIST, name, here))
    elif choice < 0.7:
        scope.list_move(name, editor, index, rng.randint(0, len(editor) - 1))
    elif name != "o":
        scope.list_set(name, editor, index, rng.choice(VALUES))


def _nested_value(edit: Edit, scope: Scope, rng: Random) -> None:
    nested, value = edit.nested(scope), rng.choice(NESTED)
    choice = rng.random()
    if choice < 0.5:
        name = rng.choice(["r", "v", "x"])
        slot = property_container(scope.delta, name)
        made = scope.delta.get(obj.CONTAINER, {}).get(slot, [[]])
        if made[0]:  # by this transaction: it leaves nothing, and a default may have its id again
            edit.forget((*scope.path, obj.CONTAINER, slot))
        (nested.set if choice < 0.3 else nested.set_default)(name, value)
    elif choice < 0.75:
        nested.put_item(rng.choice(["d", "x"]), rng.choice(KEYS), value)
    else:
        _write_list(edit, scope, rng.choice(["l", "x"]), rng)


def _inside_container(edit: Edit, scope: Scope, rng: Random) -> None:
    def element(slot: Slot, here: Id) -> Any:
        held = edit.editor(scope, slot).elements.values.get(here)
        return None if held is None else held[2]

    held = scope.view.get(obj.CONTAINER, {})
    slots = [slot for slot in held if trail(scope.view, slot, element) is not None]
    if not slots:
        return
    slot = rng.choice(slots)
    kind = obj.container_kind(slot)
    if rng.random() < 0.1:
        scope.restart(kind, slot)
        edit.forget((*scope.path, obj.CONTAINER, slot))
    elif kind == obj.LIST:
        _write_list(edit, scope, slot, rng)
    elif rng.random() < 0.3:
        scope.put_item(slot, rng.choice(KEYS), ERASED)
    else:
        edit.nested(scope).put_item(slot, rng.choice(KEYS), rng.choice([*NESTED, *VALUES]))


def _write_list(edit: Edit, scope: Scope, slot: Slot, rng: Random) -> None:
    editor, nested = edit.editor(scope, slot), edit.nested(scope)
    choice = rng.random()
    if choice < 0.5 or not len(editor):
        run = [rng.choice([*NESTED, *VALUES]) for _ in range(rng.randint(1, 3))]
        nested.list_insert(slot, rng.randint(0, len(editor)), run)
    elif choice < 0.7:
        nested.list_set(slot, rng.randrange(len(editor)), rng.choice(NESTED))
    elif choice < 0.85:
        scope.list_erase(slot, editor, rng.randrange(len(editor)))
    else:
        scope.list_move(slot, editor, rng.randrange(len(editor)), rng.randrange(len(editor)))


def _type(edit: Edit, scope: Scope, rng: Random) -> None:
    name = rng.choice(["t", "t", "x"])
    size = edit.text_size(scope, name)
    at, choice = rng.randint(0, size), rng.random()
    count = rng.randint(0, min(4, size - at))
    if choice < 0.6 or not count:
        edit.text_insert(scope, name, at, rng.choice(WORDS), rng.choice([None, {"b": True}]))
    elif choice < 0.8:
        edit.text_erase(scope, name, at, count)
    else:
        edit.text_format(scope, name, at, count, rng.choice([{"b": True}, {"b": None}, {"n": 1}]))


OPERATIONS: Sequence[Callable[[Edit, Scope, Random], None]] = (
    _set, _set, _set_default, _set_many, _add, _member, _put_item, _create_item, _erase_item,
    _create_embedded, _erase_embedded, _restart, _insert, _insert, _insert_embedded, _on_element,
    _on_element, _on_element, _nested_value, _nested_value, _inside_container, _inside_container,
    _inside_container, _type, _type,
)  # fmt: skip


def world(rng: Random, *, replicas: int = 3, turns: int = 8) -> list[Replica]:
    """Replicas that wrote and exchanged at random; what they know is not all the same."""
    devices = [
        Replica(ident, wall_ms=WALL_MS + rng.choice([0, 0, 1, -50_000])) for ident in
        range(2, 2 + replicas)
    ]  # fmt: skip
    if rng.random() < 0.8:  # mostly they start from one object
        devices[0].write(lambda edit: edit.create())
        for device in devices[1:]:
            device.read(devices[0])
    for _ in range(turns):
        device = rng.choice(devices)
        if rng.random() < 0.35:
            device.read(rng.choice(devices))
        else:
            device.wall_ms += rng.choice([0, 1, 1000])
            device.write(wander(rng))
    return devices


def all_deltas(devices: list[Replica]) -> list[ObjectState]:
    """Every delta of a world, once."""
    return list(
        {name: delta for device in devices for name, delta in device.known.items()}.values()
    )


def folded(deltas: Sequence[ObjectState]) -> ObjectState:
    """One after the other into an object nobody has written."""
    state = absent()
    for delta in deltas:
        state = merge(state, delta)
    return state


def grouped_merge(rng: Random, deltas: Sequence[ObjectState]) -> ObjectState:
    """In a random grouping: neighbours are merged until one is left."""
    heap: list[ObjectState] = [clone(delta) for delta in deltas] or [absent()]
    while len(heap) > 1:
        at = rng.randrange(len(heap) - 1)
        heap[at : at + 2] = [merge(heap[at], heap[at + 1])]
    return heap[0]


# -- heads and parts -------------------------------------------------------------------------
class Stored:
    """An object as a store keeps it: the bytes of a head and of parts."""

    def __init__(self) -> None:
        self.head = pack(absent())
        self.parts: dict[bytes, bytes] = {}

    def access(self) -> Parts:
        """The parts as they are, for one merge or reading."""
        return Parts(self.parts.get, lambda: self.parts)

    def merge(self, delta: ObjectState) -> None:
        """Merge and write back what changed."""
        parts = self.access()
        self.head = pack(merge(unpack_trusted(self.head), delta, parts))
        for name, data in parts.changes().items():
            if data is None:
                self.parts.pop(name, None)
            else:
                self.parts[name] = data

    def whole(self) -> ObjectState:
        """The canonical state; holds that the head passes the gate and needs every part."""
        head = unpack_object(self.head, spread=True)
        assert check_parts(head, self.access()) == set(self.parts)
        return joined(head, self.access())
