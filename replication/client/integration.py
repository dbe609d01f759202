"""A write transaction in which synchronisation works. See `Database.integrating`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from replication.client import left, records
from replication.client.entities import MANY, ObjectName
from replication.client.left import LeftView
from replication.client.opened import Opened, opened
from replication.client.records import Local, Synced
from replication.client.replica import Change, Replica
from replication.crdt.object import ObjectState
from replication.errors import StoreCorruptError
from replication.history.changeset import Changeset, decode_trusted
from replication.model.encoding import pack, unpack_trusted
from replication.model.schema import Schema
from replication.storage.contract import Writer, int_key

if TYPE_CHECKING:
    from replication.client.database import Database

#: Bytes of the pending changesets that one transaction keeps taken apart.
_OPENED_BYTES_MAX: Final = 8 * 1024 * 1024


class Integration:
    """A write transaction in which synchronisation works; see `Database.integrating`.

    Attributes:
        local, synced, known_schema, columns: what the database will be at after the commit.
        pending, blind: see `Database`; `kept`: see `kept.py`.
        texts: those that are open for writing; `wall_ms`: the device's clock.
        horizons: the last horizon this file has passed, and those that it passes now.
        received: the latest time of any stamp that came in.
        changes: what is to be told to live results.
        folded: objects whose pending deltas became synced state, and the last of their versions.
        left: what of them is not in the view.
        everything: more has changed than `changes` says, and nobody wants to be told.
        renamed: (old ident, first sequence, new ident) of ids that got another ident.
    """

    def __init__(self, db: Database, writer: Writer) -> None:
        self.writer = writer
        self.columns = dict(db.columns)
        self.replica = Replica(writer, self.columns, db.synced.horizon, db.typed)
        db.texts.catch_up(self.replica)
        self.local: Local = db.local
        self.synced: Synced = db.synced
        self.known_schema = db.known_schema
        self.pending = db.pending
        self.blind = db.blind
        self.kept = db.kept
        self.horizons = [db.synced.horizon]
        self.received = self.local.received
        self.changes: list[Change] = []
        self.folded: dict[ObjectName, int] = {}
        self.left: list[LeftView] = []
        self.everything = False
        self.renamed: tuple[int, int, int] | None = None
        #: The record of a pending changeset, and what is in it.
        self._opened: dict[int, tuple[bytes, Opened]] = {}
        self._opened_bytes = 0
        self._entities = db.entities
        self.texts = db.texts
        self.wall_ms = db.wall_ms
        self._observed = db.observed

    def changed(self, change: Change) -> None:
        """An object is another one. What nobody wants to be told is not gathered in any number."""
        if self._observed or len(self.changes) < MANY:
            self.changes.append(change)
        else:
            self.everything = True

    def arrived(self, class_name: str) -> None:
        """All rows of a class have just come, and were none before."""
        if not self._observed:
            self.everything = True
            return
        for _, key, _, head in self.writer.all_objects(class_name):
            self.changes.append(Change(class_name, key, None, head))

    def rename(self, old: int, first: int, new: int) -> None:
        """Handles are to know that the ids of ``old`` from sequence ``first`` on are ``new``'s."""
        self.renamed = (old, first, new)
        self._entities.renaming = True

    def learn(self, schema: Schema) -> None:
        """Take over classes and properties from the server; what is known stays."""
        merged, _ = self.known_schema.merge(schema)
        if merged == self.known_schema:
            return
        self.known_schema = merged
        self.writer.put_record(records.META, b"schema", pack(merged.to_packed()))
        for item in merged:
            if not item.embedded:
                self.declare(item.name, item.queryable)

    def declare(self, class_name: str, columns: Iterable[str] = ()) -> None:
        """Make a class exist."""
        self.writer.declare(class_name, columns)
        self.columns[class_name] = self.writer.columns(class_name)

    def changeset(self, client_version: int) -> Changeset:
        """A pending changeset, decoded."""
        return decode_trusted(self._pending_bytes(client_version))

    def opened(self, client_version: int) -> Opened:
        """A pending changeset, its deltas not decoded."""
        return self.taken(client_version)[1]

    def taken(self, client_version: int) -> tuple[bytes, Opened]:
        """A pending changeset as it is stored, and what is in it."""
        data = self._pending_bytes(client_version)
        held = self._opened.get(client_version)
        if held is None or held[0] != data:
            if self._opened_bytes > _OPENED_BYTES_MAX:
                self._opened.clear()
                self._opened_bytes = 0
            held = self._opened[client_version] = (data, opened(data))
            self._opened_bytes += len(data)
        return held

    def _pending_bytes(self, client_version: int) -> bytes:
        record = self.writer.record(records.PENDING, int_key(client_version))
        if record is None:
            raise StoreCorruptError(f"pending changeset {client_version} is missing")
        data: bytes = unpack_trusted(record)[0]
        return data

    def deltas(self, name: ObjectName, versions: Iterable[int]) -> Iterator[ObjectState]:
        """The deltas of one object in some pending changesets, for the caller to change."""
        for version in versions:
            delta = self.opened(version).deltas.get(name)
            if delta is not None:
                yield unpack_trusted(delta)

    def seeing_deltas(self, name: ObjectName) -> Iterator[tuple[int, int, ObjectState]]:
        """Client version, time and delta of the pending deltas of an object that was held when they
        were written, oldest first.
        """
        for version in self.pending.get(name, ()):
            item = self.opened(version)
            if name in item.deltas and name not in item.marked:
                yield version, item.time, unpack_trusted(item.deltas[name])

    def store(self) -> None:
        """Write what the mirrors will say."""
        records.store_local(self.writer, self.local)
        records.store_synced(self.writer, self.synced)
        if self.left:
            left.note(self.writer, self.left)
