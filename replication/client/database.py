"""The local database of one device: opened once, written offline, kept in step by an `Agent`.

Rule 1: one transaction writes at a time; it holds the lock from its start to its notifications.
        Commits are durable, and notified in the thread that made them, before `write` returns.
Rule 2: what memory mirrors (`local`, `synced`, the index of pending deltas) changes only after
        the store's commit, so that a failed one leaves nothing behind.
Rule 3: this file reads no clock and no random source; `wall_ms` is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from replication.client import records
from replication.client.records import Local, Synced
from replication.client.replica import Change, Replica
from replication.client.transaction import Transaction, closed
from replication.clock import HybridClock
from replication.crdt.edit import Author
from replication.crdt.object import ObjectState
from replication.errors import NoTransactionError, SchemaError, StoreCorruptError
from replication.history.changeset import Changeset, decode_trusted, encode
from replication.model.encoding import key_bytes, pack, unpack_trusted
from replication.model.schema import Schema
from replication.storage.contract import Store, Writer, int_from_key, int_key

if TYPE_CHECKING:
    from replication.client.results import LiveResults
    from replication.client.subscriptions import Subscriptions

#: What names an object in memory: class and canonical key bytes.
ObjectName = tuple[str, bytes]


class Database:
    """A client file.

    Args:
        store: where it is kept; closed with the database.
        schema: what the app declares; None to use what the file knows.
        wall_ms: the device's clock, in milliseconds since 2015.
        read_only: open a snapshot for reading; every write raises.

    Raises:
        SchemaError: the declared schema contradicts what the file holds.
    """

    def __init__(
        self,
        store: Store,
        schema: Schema | None = None,
        *,
        wall_ms: Callable[[], int],
        read_only: bool = False,
    ) -> None:
        from replication.client.subscriptions import Subscriptions  # it needs a Database

        self.store = store
        self.wall_ms = wall_ms
        self.read_only = read_only
        self._lock = threading.RLock()
        self._running: Transaction | None = None
        self._closed = False
        self._outgoing: list[Callable[[], None]] = []
        self._refused: list[Callable[[list[Any]], None]] = []
        self._sequence = 0
        self._live: list[LiveResults] = []
        self._generations: dict[ObjectName, int] = {}
        self._epoch = 0
        #: client versions of the pending deltas of each object
        self.pending: dict[ObjectName, list[int]] = {}
        with store.read() as reader:
            self.local = records.load_local(reader)
            self.synced = records.load_synced(reader)
            known = reader.record(records.META, b"schema")
            self.known_schema = (
                Schema() if known is None else Schema.from_packed(unpack_trusted(known))
            )
        self._index_pending()
        self.clock = HybridClock(self.local.clock)
        self.schema = self.known_schema if schema is None else schema
        self.columns: dict[str, list[str]] = {}
        if not read_only:
            self._declare(schema)
        with store.read() as reader:
            self.columns = {name: reader.columns(name) for name in reader.classes()}
        self.subscriptions: Subscriptions = Subscriptions(self)

    def _index_pending(self) -> None:
        self.pending = {}
        with self.store.read() as reader:
            for version, data in reader.records(records.PENDING):
                for item in decode_trusted(unpack_trusted(data)[0]).objects:
                    name = (item.class_name, key_bytes(item.key))
                    self.pending.setdefault(name, []).append(int_from_key(version))

    def _declare(self, declared: Schema | None) -> None:
        """Take over the app's schema: what is new in it goes out as a changeset."""
        merged, contradictions = self.known_schema.merge(declared or Schema())
        if contradictions:
            raise SchemaError(
                "the declared schema contradicts what this file holds: "
                + "; ".join(str(item) for item in contradictions)
            )
        additions = merged != self.known_schema
        with self.store.write() as writer:
            self._declare_columns(writer, merged)
            if additions:
                writer.put_record(records.META, b"schema", pack(merged.to_packed()))
                self.known_schema = merged
        if additions:
            with self.write() as transaction:
                transaction.schema = merged.to_packed()

    def _declare_columns(self, writer: Writer, schema: Schema) -> None:
        for item in schema:
            if not item.embedded:
                writer.declare(item.name, item.queryable)

    # -- life ----------------------------------------------------------------------------------
    def close(self) -> None:
        """Close the store. Idempotent; waits for a running transaction."""
        with self._lock:
            self._closed = True
            self.store.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing -------------------------------------------------------------------------------
    @contextmanager
    def write(self, *, atomic: bool = False) -> Iterator[Transaction]:
        """A write transaction: commits on normal exit, leaves no trace on an exception.

        Args:
            atomic: the server is to refuse it whole if it refuses any part of it.

        Raises:
            NoTransactionError: this thread is in one already; the file is closed or read-only.
            StoreError: the commit failed; nothing of it was kept.
        """
        with self._lock:
            self._check_writable()
            with self.store.write() as writer:
                transaction = self._begin(writer, atomic)
                try:
                    yield transaction
                    finished = transaction.finish(self.synced.cursor)
                    local = self._store_changeset(writer, finished)
                finally:
                    self._running = None
            if finished is not None:
                self._committed(local, *finished)

    def _check_writable(self) -> None:
        if self.read_only:
            raise NoTransactionError("this database was opened read-only; open it for writing")
        if self._closed:
            raise NoTransactionError("this database is closed")
        if self._running is not None:
            raise NoTransactionError(
                "a write transaction is running in this thread; write through that one"
            )

    def _begin(self, writer: Writer, atomic: bool) -> Transaction:
        self.clock.last = self.local.clock
        stamp = (self.clock.tick(self.wall_ms() + self.local.skew_ms), self.local.ident)
        self._sequence = self.local.sequence
        transaction: Transaction

        def check_open() -> None:
            if self._running is not transaction:
                closed()

        author = Author(stamp, self._mint)
        transaction = Transaction(Replica(writer, self.columns), author, check_open)
        transaction.atomic = atomic
        self._running = transaction
        return transaction

    def _mint(self) -> int:
        self._sequence += 1
        return self._sequence

    def _store_changeset(
        self, writer: Writer, finished: tuple[Changeset, list[Change]] | None
    ) -> Local:
        if finished is None:
            return self.local
        local = replace(
            self.local,
            clock=self.clock.last,
            sequence=self._sequence,
            client_version=self.local.client_version + 1,
        )
        record = pack([encode(finished[0]), self.local.sequence + 1])
        writer.put_record(records.PENDING, int_key(local.client_version), record)
        records.store_local(writer, local)
        return local

    def _committed(self, local: Local, changeset: Changeset, changes: list[Change]) -> None:
        self.local = local
        for item in changeset.objects:
            name = (item.class_name, key_bytes(item.key))
            self.pending.setdefault(name, []).append(local.client_version)
        self.changed(changes)
        self.outgoing()

    @property
    def transaction(self) -> Transaction | None:
        """The running write transaction, if this thread is in it."""
        if self._running is not None and self._lock.acquire(blocking=False):
            self._lock.release()
            return self._running
        return None

    # -- synchronisation -----------------------------------------------------------------------
    @contextmanager
    def integrating(self) -> Iterator[Integration]:
        """A write transaction for what comes from the server. For `Agent` and its kin."""
        with self._lock:
            self._check_writable()
            try:
                with self.store.write() as writer:
                    work = Integration(self, writer)
                    yield work
                    work.store()
            except BaseException:
                self._index_pending()  # `work` may have changed it for nothing
                raise
            self.local, self.synced = work.local, work.synced
            self.known_schema = work.known_schema
            self.columns = work.columns
            self.changed(work.changes)

    # -- telling others ------------------------------------------------------------------------
    def on_outgoing(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever there may be something to send; returns how to stop it.

        It is called from whatever thread wrote, under the lock: it must not write or block.
        """
        self._outgoing.append(callback)
        return lambda: self._outgoing.remove(callback)

    def outgoing(self) -> None:
        """Tell whoever sends that there may be something to send."""
        for callback in list(self._outgoing):
            callback()

    def on_refused(self, callback: Callable[[list[Any]], None]) -> Callable[[], None]:
        """Call ``callback`` with what the server refused, once it is taken back here.

        Each item is `[client_version, class, key, path, reason, message]`; `refusals` lists them
        again later. Returns how to stop it.
        """
        self._refused.append(callback)
        return lambda: self._refused.remove(callback)

    def refused(self, refusals: list[Any]) -> None:
        """Tell the app what the server refused."""
        if refusals:
            for callback in list(self._refused):
                callback(refusals)

    def refusals(self) -> list[Any]:
        """Everything the server refused and nobody dismissed yet, oldest first."""
        with self.store.read() as reader:
            return [unpack_trusted(data) for _, data in reader.records(records.JOURNAL)]

    def observe(self, results: LiveResults) -> None:
        """Keep live results up to date from now on."""
        with self._lock:
            self._live.append(results)

    def unobserve(self, results: LiveResults) -> None:
        """Stop it."""
        with self._lock:
            if results in self._live:
                self._live.remove(results)

    def changed(self, changes: list[Change]) -> None:
        """A transaction is durable: let handles and live results know."""
        if not changes:
            return
        if len(changes) > 10_000:
            # A bootstrap: forgetting what was cached costs less than naming every object.
            self._epoch += 1
            self._generations.clear()
        else:
            for change in changes:
                name = (change.class_name, key_bytes(change.key))
                self._generations[name] = self._generations.get(name, 0) + 1
        for results in list(self._live):
            results.update(changes)

    def generation(self, name: ObjectName) -> tuple[int, int]:
        """Changes whenever the object may have changed: what caches compare."""
        return (self._epoch, self._generations.get(name, 0))

    def unsent(self, first: int, count: int, bytes_target: int) -> list[bytes]:
        """Consecutive pending changesets from client version ``first`` on, at least one if any."""
        out: list[bytes] = []
        size = 0
        with self.store.read() as reader:
            for version, data in reader.records(records.PENDING, first=int_key(first), limit=count):
                if int_from_key(version) != first + len(out):
                    raise StoreCorruptError(f"pending changeset {first + len(out)} is missing")
                changeset = unpack_trusted(data)[0]
                size += len(changeset)
                if out and size > bytes_target:
                    break
                out.append(changeset)
        return out


class Integration:
    """A write transaction in which synchronisation works; see `Database.integrating`.

    Attributes:
        local, synced, known_schema, columns: what the database will be at after the commit.
        pending: client versions of the pending deltas of each object.
        received: the latest time of any stamp that came in.
        fresh: classes that had no rows when a bootstrap began: nothing to look up there.
        changes: what is to be told to live results.
    """

    def __init__(self, db: Database, writer: Writer) -> None:
        self.writer = writer
        self.columns = dict(db.columns)
        self.replica = Replica(writer, self.columns)
        self.local: Local = db.local
        self.synced: Synced = db.synced
        self.known_schema = db.known_schema
        self.pending = db.pending
        self.received = self.local.received
        self.fresh: set[str] = set()
        self.changes: list[Change] = []

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
        data = self.writer.record(records.PENDING, int_key(client_version))
        if data is None:
            raise StoreCorruptError(f"pending changeset {client_version} is missing")
        return decode_trusted(unpack_trusted(data)[0])

    def deltas(self, name: ObjectName, versions: Iterable[int]) -> Iterator[ObjectState]:
        """The deltas of one object in some pending changesets."""
        for version in versions:
            for item in self.changeset(version).objects:
                if (item.class_name, key_bytes(item.key)) == name:
                    yield item.delta

    def store(self) -> None:
        """Write what the mirrors will say."""
        records.store_local(self.writer, self.local)
        records.store_synced(self.writer, self.synced)
