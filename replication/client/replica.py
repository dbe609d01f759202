"""The objects of a client file as synchronisation sees them: view, base and pending deltas.

`Replica` works inside one write transaction of the store. It loads an object's view and base on
demand, merges into either or both, and writes back what changed.

Rule 1: the view of an object is `merge(base, pending deltas)`. A delta from the server merges
        into both; a state replaces the base, and the view is computed again. Before that `catch_up`
        sees to it that the row has all of the view. [CLIENT-1]
Rule 2: an object whose last pending delta was folded keeps its view as its synced state, and its
        base goes. [CLIENT-2]
Rule 3: parts are copied to the base one by one, when a pending delta first changes them.
        [CLIENT-3]
Rule 4: what is dead as of a horizon is forgotten when an object is next written to, by whomever. A
        row says by its version whether that is done: what has pending deltas has it behind it.
        [CLIENT-14]
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from replication.client import typed
from replication.client.records import BASE, BASE_PARTS, object_key
from replication.client.typed import Typed
from replication.crdt.container import Slot
from replication.crdt.forget import forget
from replication.crdt.object import TEXT, ObjectState, absent, may_have_parts, merge
from replication.crdt.parts import Parts
from replication.crdt.view import column_values
from replication.errors import DecodeError
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import SPREAD, Key
from replication.storage.contract import StoredObject, Writer

if TYPE_CHECKING:
    from replication.client.journal import Entry


class Change(NamedTuple):
    """What a transaction did to one object: its head before and after, None where there is none.

    `parts_of` names the fields, and containers among them, with lists spread over parts that
    changed: heads don't show those. `overridden` is what the journal says that writes of this file
    lost by it.
    """

    class_name: str
    key: Key
    head_before: bytes | None
    head_after: bytes | None
    parts_of: frozenset[Slot] = frozenset()
    overridden: tuple[Entry, ...] = ()

    @property
    def before(self) -> ObjectState:
        """The state before, decoded anew at each call."""
        return _decoded(self.head_before)

    @property
    def after(self) -> ObjectState:
        """The state after, decoded anew at each call."""
        return _decoded(self.head_after)


class Replica:
    """Access to the objects of a client file within one write transaction.

    Args:
        writer: the transaction.
        columns: the queryable fields of each class.
        horizon: the last version as of which everything dead is forgotten.
        typed: what a row lacks, if one does.

    Attributes:
        written: the objects whose views were written, other than by `catch_up`.
    """

    def __init__(
        self,
        writer: Writer,
        columns: dict[str, list[str]],
        horizon: int,
        typed: Typed | None,
    ) -> None:
        self.writer = writer
        self.typed = typed
        self._columns = columns
        self.written: list[tuple[str, Key]] = []
        self.horizon = horizon
        #: Whether any object may have parts of a base: few files have any.
        self._keeps_parts: bool | None = None

    # -- the view ----------------------------------------------------------------------------
    def row(self, class_name: str, key: Key) -> StoredObject | None:
        """The stored view of an object."""
        return self.writer.get_object(class_name, key)

    def parts(self, class_name: str, row: StoredObject | None) -> Parts:
        """The parts of the view."""
        if row is None:
            return Parts()
        number = row.row

        def read(name: bytes) -> bytes | None:
            part = self.writer.part(class_name, number, name)
            return None if part is None else part.data

        return Parts(read, lambda: (part.name for part in self.writer.parts(class_name, number)))

    def settled(
        self, class_name: str, row: StoredObject | None, horizon: int
    ) -> tuple[StoredObject | None, Parts]:
        """A row and its parts with what was dead as of a horizon forgotten. Rule 4.

        Nothing is written: the parts have what is to be.
        """
        parts = self.parts(class_name, row)
        if row is None or is_settled(row, horizon):
            return row, parts
        head = pack(forget(unpack_trusted(row.head), parts))
        return row._replace(version=horizon, head=head), parts

    def settled_view(
        self, class_name: str, row: StoredObject | None, horizon: int
    ) -> tuple[ObjectState, Parts]:
        """The same, decoded. Absent where there is no row."""
        if row is None:
            return absent(), Parts()
        state = unpack_trusted(row.head)
        parts = self.parts(class_name, row) if may_have_parts(state[3]) else Parts()
        return (state if row.version >= horizon else forget(state, parts)), parts

    def settle(self, class_name: str, row: StoredObject, parts: Parts) -> None:
        """Write what `settled` gave."""
        self.put_head(class_name, row.key, row.version, unpack_trusted(row.head), row.head, parts)

    def put_head(
        self,
        class_name: str,
        key: Key,
        version: int,
        state: ObjectState,
        head: bytes,
        parts: Parts | None = None,
        *,
        is_news: bool = True,
    ) -> int:
        """Write the view of an object, its changed parts included; returns its row.

        Args:
            is_news: whether it shows something else than before.
        """
        if is_news:
            self.written.append((class_name, key))
        columns = column_values(state, self._columns.get(class_name, ()), SPREAD)
        row = self.writer.put_object(class_name, key, version, head, columns)
        if parts is None:
            return row
        for name, data in parts.changes().items():
            if data is None:
                self.writer.delete_part(class_name, row, name)
            else:
                self.writer.put_part(class_name, row, name, version, data)
        return row

    def remove(self, class_name: str, key: Key) -> None:
        """Take an object out of the view."""
        self.written.append((class_name, key))
        self.writer.delete_object(class_name, key)

    def catch_up(self) -> StoredObject | None:
        """Write the row of the object that was typed into; returns it, None where there is none.

        No other row is to be read before. See `typed.py`.
        """
        typed_in = self.typed
        if typed_in is None:
            return None
        class_name, key = typed_in.name[0], typed_in.key
        row = self.row(class_name, key)
        assert row is not None, "it was typed into"
        parts = self.parts(class_name, row)
        state = unpack_trusted(row.head)
        state = merge(state, [0, state[1], [], {TEXT: typed_in.texts()}], parts)
        self.keep_base_parts(class_name, key, row, parts.changes())
        row = row._replace(head=pack(state))
        self.put_head(class_name, key, row.version, state, row.head, parts, is_news=False)
        typed.end(self.writer)
        self.typed = None
        return row

    # -- the base ----------------------------------------------------------------------------
    def keep_base(
        self,
        class_name: str,
        key: Key,
        synced: tuple[int, bytes] | None,
        row: StoredObject | None,
        changing: Iterable[bytes],
    ) -> None:
        """Copy to the base what a first pending delta is about to change.

        Args:
            synced: version and head of the synced state; None where there is none.
            row: where the parts of the view are.
            changing: the names of the parts that will change.
        """
        name = object_key(class_name, key)
        self.writer.put_record(BASE, name, pack(None if synced is None else list(synced)))
        self.keep_base_parts(class_name, key, row, changing)

    def keep_base_parts(
        self, class_name: str, key: Key, row: StoredObject | None, changing: Iterable[bytes]
    ) -> None:
        """The same for the parts that a later delta is about to change, where not done yet."""
        for part_name in changing:
            name = object_key(class_name, key) + part_name
            if self.writer.record(BASE_PARTS, name) is None:
                part = None if row is None else self.writer.part(class_name, row.row, part_name)
                old = None if part is None else [part.version, part.data]
                self._put_base_part(name, old)

    def base(self, class_name: str, key: Key) -> tuple[int, bytes] | None:
        """Version and head of the synced state of an object with pending deltas."""
        data = self.writer.record(BASE, object_key(class_name, key))
        held = None if data is None else unpack_trusted(data)
        return None if held is None else (held[0], held[1])

    def settled_base(
        self, class_name: str, key: Key, row: StoredObject | None, horizon: int
    ) -> tuple[int, ObjectState, Parts]:
        """The synced state of an object with pending deltas, as `settled` gives a row.

        Version and state are 0 and absent where there is none.
        """
        base = self.base(class_name, key)
        parts = self.base_parts(class_name, key, row)
        if base is None:
            return 0, absent(), parts
        version, state = base[0], unpack_trusted(base[1])
        if version >= horizon:
            return version, state, parts
        return horizon, forget(state, parts), parts

    def base_parts(self, class_name: str, key: Key, row: StoredObject | None) -> Parts:
        """The parts of the synced state: those kept, else those of the view."""
        view = self.parts(class_name, row)
        prefix = object_key(class_name, key)

        def read(name: bytes) -> bytes | None:
            data = self.writer.record(BASE_PARTS, prefix + name)
            if data is None:
                return view.read(name)
            held = unpack_trusted(data)
            return None if held is None else held[1]

        def names() -> Iterable[bytes]:
            kept = self._kept_parts(prefix)
            yield from (name for name, held in kept.items() if held is not None)
            yield from (name for name in view.names() if name not in kept)

        return Parts(read, names)

    def _kept_parts(self, prefix: bytes) -> dict[bytes, Any]:
        if self._keeps_parts is None:
            self._keeps_parts = any(self.writer.records(BASE_PARTS, limit=1))
        if not self._keeps_parts:
            return {}
        return {
            name[len(prefix) :]: unpack_trusted(data)
            for name, data in self.writer.records(
                BASE_PARTS, first=prefix, last=prefix + b"\xff" * 64
            )
            if name.startswith(prefix)
        }

    def put_base(
        self, class_name: str, key: Key, version: int, state: ObjectState, parts: Parts
    ) -> None:
        """Replace the synced state of an object that keeps its pending deltas. Rule 4."""
        version = max(version, self.horizon)
        name = object_key(class_name, key)
        self.writer.put_record(BASE, name, pack([version, pack(state)]))
        for part_name, data in parts.changes().items():
            kept = None if data is None else [version, data]
            self._put_base_part(name + part_name, kept)

    def _put_base_part(self, name: bytes, kept: Any) -> None:
        self.writer.put_record(BASE_PARTS, name, pack(kept))
        self._keeps_parts = True

    def drop_bases(self) -> None:
        """No object has pending deltas any more. Rule 2."""
        self.writer.delete_records(BASE)
        self.writer.delete_records(BASE_PARTS)

    def drop_base(self, class_name: str, key: Key) -> None:
        """The object has no pending deltas any more: its view is its synced state. Rule 2."""
        name = object_key(class_name, key)
        self.writer.delete_record(BASE, name)
        for part_name in self._kept_parts(name):
            self.writer.delete_record(BASE_PARTS, name + part_name)

    # -- between the two ---------------------------------------------------------------------
    def restore(self, class_name: str, key: Key) -> tuple[int, ObjectState, frozenset[Slot]]:
        """Take the pending deltas out: parts become the base's again, the base is dropped.

        Returns version and state of the synced object, whose row is for the caller to write
        (`reapply` does), and the names of the fields whose parts are other ones now.
        """
        row = self.row(class_name, key)
        base = self.base(class_name, key)
        kept = self._kept_parts(object_key(class_name, key))
        if row is not None:
            for name, held in kept.items():
                if held is None:
                    self.writer.delete_part(class_name, row.row, name)
                else:
                    self.writer.put_part(class_name, row.row, name, held[0], held[1])
        self.drop_base(class_name, key)
        version, state = (0, absent()) if base is None else (base[0], unpack_trusted(base[1]))
        return version, state, fields_of(kept)

    def replace(
        self,
        class_name: str,
        key: Key,
        version: int,
        state: ObjectState,
        head: bytes,
        parts: Iterable[list[Any]],
    ) -> frozenset[Slot]:
        """Make a state from the server the row of an object, parts included.

        Args:
            parts: [name, version, data]; one without data has not changed since this file's
                cursor and stays as it is.

        Returns the names of the fields whose parts are other ones now.

        Raises:
            DecodeError: a part without data that is not here.
        """
        row = self.put_head(class_name, key, version, state, head)
        held = {part.name: part.data for part in self.writer.parts(class_name, row)}
        changed = []
        for name, part_version, data in parts:
            before = held.pop(name, None)
            if data is None and before is None:
                raise DecodeError(f"{class_name} {key!r:.80} comes without a part that is not here")
            if data is not None:
                self.writer.put_part(class_name, row, name, part_version, data)
                if data != before:
                    changed.append(name)
        for name in held:
            self.writer.delete_part(class_name, row, name)
        return fields_of((*changed, *held))

    def reapply(
        self,
        class_name: str,
        key: Key,
        version: int,
        state: ObjectState,
        deltas: Iterable[ObjectState],
    ) -> tuple[bytes | None, frozenset[Slot]]:
        """Write a synced state with pending deltas on top; returns the head of the view and
        the names of the fields whose parts they changed. Rule 4 holds for the state.
        """
        version = max(version, self.horizon)
        synced = None if state == absent() else (version, pack(state))
        row = self.row(class_name, key)
        parts = self.parts(class_name, row)
        pending = False
        for delta in deltas:
            state = merge(state, delta, parts)
            pending = True
        if pending:
            self.keep_base(class_name, key, synced, row, parts.changes())
        if state == absent():
            self.remove(class_name, key)
            return None, frozenset()
        head = pack(state)
        self.put_head(class_name, key, version, state, head, parts)
        return head, fields_of(parts.changes())


def is_settled(row: StoredObject | None, horizon: int) -> bool:
    """Whether what was dead as of a horizon is forgotten in a row already. Rule 4."""
    return row is None or row.version >= horizon


#: Most objects have no parts, and one empty set will do.
_NONE: Final = frozenset[Slot]()


def fields_of(parts: Collection[bytes]) -> frozenset[Slot]:
    """The names of the top-level fields and containers that parts of these names belong to."""
    return frozenset([unpack_trusted(name)[0][1] for name in parts]) if parts else _NONE


def head_of(row: StoredObject | None) -> bytes | None:
    """The head of a row."""
    return None if row is None else row.head


def state_of(row: StoredObject | None) -> ObjectState:
    """The decoded state of a row, fresh; absent for None."""
    return _decoded(head_of(row))


def _decoded(head: bytes | None) -> ObjectState:
    return absent() if head is None else unpack_trusted(head)
