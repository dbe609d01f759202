"""The local database of one device: opened once, written offline, kept in step by an `Agent`.

Rule 1: one transaction writes at a time; it holds the lock from its start to its notifications.
        Commits are durable, and notified in the thread that made them, before `write` returns.
Rule 2: what memory mirrors (`local`, `synced`, the index of pending deltas) changes only after
        the store's commit, so that a failed one leaves nothing behind.
Rule 3: this file reads no clock and no random source; `wall_ms` is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from replication.client import records, refused, typed
from replication.client.entities import Entities, ObjectName
from replication.client.integration import Integration
from replication.client.journal import Journal
from replication.client.kept import Kept
from replication.client.objects import Handle, Handles
from replication.client.open_lists import OpenLists
from replication.client.partition import UNPARTITIONED, Partitioning
from replication.client.pending import note_blind, pending_objects, unsent
from replication.client.records import Local
from replication.client.replica import Change, Replica
from replication.client.room import check_room
from replication.client.telling import Telling
from replication.client.text_editor import Texts
from replication.client.transaction import Transaction
from replication.client.typed import Typed
from replication.clock import HybridClock
from replication.crdt.edit import Author
from replication.errors import NoTransactionError, SchemaError
from replication.history.changeset import (
    Changeset,
    encode,
)
from replication.model.declare import Declaration
from replication.model.encoding import pack
from replication.model.schema import ClassSchema, Schema
from replication.protocol.refusals import Refusal
from replication.storage.contract import Reader, Store, Writer, int_key

if TYPE_CHECKING:
    from replication.client.results import Results
    from replication.client.subscriptions import Subscriptions

T = TypeVar("T")


class Database(Telling):
    """A client file.

    Args:
        store: where it is kept; closed with the database.
        schema: what the app declares; None to use what the file knows.
        wall_ms: the device's clock, in milliseconds since 2015.
        entropy: returns random numbers of at least 53 bits; needed to write texts.
        read_only: show the file as it is now for as long as this is open, whatever another process
            writes to it; every write raises.
        partition: the value of the partition it is opened with, None being one; see `partition`.

    Attributes:
        partition: of which partition it is, if of any.
        on_callback_error: see `Telling`, which has all that an app can be told.

    Raises:
        SchemaError: the declared schema contradicts what the file holds.
    """

    def __init__(
        self,
        store: Store,
        schema: Schema | Declaration | None = None,
        *,
        wall_ms: Callable[[], int],
        entropy: Callable[[], int] | None = None,
        read_only: bool = False,
        partition: Any = UNPARTITIONED,
    ) -> None:
        from replication.client.subscriptions import Subscriptions  # it needs a Database

        super().__init__()
        self.store = store
        self.wall_ms = wall_ms
        self.read_only = read_only
        self._lock = threading.RLock()
        self._running: Transaction | None = None
        self._owner = 0  # the thread it runs in
        self.closed = False
        self._sequence = 0
        self._snapshot: Reader | None = None
        self._opened = ExitStack()
        if read_only:
            self._snapshot = self._opened.enter_context(store.read())
        self.texts = Texts(entropy)
        self.entities = Entities(self)
        self.open_lists = OpenLists()
        self.journal = Journal(self)
        self.handles = Handles(self, schema if isinstance(schema, Declaration) else None)
        #: client versions of the pending deltas of each object
        self.pending: dict[ObjectName, list[int]] = {}
        #: Those of them that were begun without holding them; see `pending_objects`.
        self.blind: dict[ObjectName, int] = {}
        self._indexed = False
        #: What the row of an object lacks, if one does; readers go by `is_behind`.
        self.typed: Typed | None = None
        #: What is kept of what this file wrote.
        self.kept = Kept()
        with self.reading() as reader:
            self.local = records.load_local(reader)
            self.synced = records.load_synced(reader)
            known = reader.record(records.META, b"schema")
            self.known_schema = Schema() if known is None else Schema.from_stored(known)
        self._index_pending()
        self.clock = HybridClock(self.local.clock)
        declared = schema.schema if isinstance(schema, Declaration) else schema
        self._declared = declared
        self.columns: dict[str, list[str]] = {}
        if not read_only:
            self._declare(declared)
        with self.reading() as reader:
            self.columns = {name: reader.columns(name) for name in reader.classes()}
        self.partition = Partitioning(self, partition)
        self.subscriptions: Subscriptions = Subscriptions(self)

    def _index_pending(self) -> None:
        with self.reading() as reader:
            self.pending, self.blind = pending_objects(reader, self.synced.acknowledged)
            self.typed = typed.load(reader, self.local.ident)
        self.kept = Kept(nothing=not self.synced.kept_count)
        self._indexed = True

    def _declare(self, declared: Schema | None) -> None:
        """Take over the app's schema: what is new in it goes out as a changeset."""
        merged, contradictions = self.known_schema.merge(declared or Schema())
        if contradictions:
            raise SchemaError(
                "the declared schema contradicts what this file holds: "
                + "; ".join(str(item) for item in contradictions)
            )
        if merged == self.known_schema:
            with self.store.write() as writer:
                self._declare_columns(writer, merged)
            return
        # One commit: what the file knows without having sent it, nobody else would ever hear of.
        with self.write() as transaction:
            self._declare_columns(transaction.writer, merged)
            transaction.writer.put_record(records.META, b"schema", pack(merged.to_packed()))
            transaction.schema = merged.to_packed()
        self.known_schema = merged

    def _declare_columns(self, writer: Writer, schema: Schema) -> None:
        for item in schema:
            if not item.embedded:
                writer.declare(item.name, item.queryable)

    # -- life ----------------------------------------------------------------------------------
    def close(self) -> None:
        """Close the store. Idempotent; waits for a running transaction."""
        with self._lock:
            self.closed = True
            self._opened.close()
            self.store.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading -------------------------------------------------------------------------------
    def reading(self) -> AbstractContextManager[Reader]:
        """A read transaction of the store, as handles and results use it."""
        return self.store.read() if self._snapshot is None else self._share(self._snapshot)

    @contextmanager
    def _share(self, snapshot: Reader) -> Iterator[Reader]:
        with self._lock:
            yield snapshot

    @property
    def schema(self) -> Schema:
        """What the app declared; what the file knows where it declared nothing."""
        return self.known_schema if self._declared is None else self._declared

    def class_schema(self, name: str) -> ClassSchema:
        """The class of that name as the app declared it, else as the file knows it.

        Raises:
            SchemaError: neither does.
        """
        found = self.schema.get(name)
        return self.known_schema[name] if found is None else found

    @overload
    def get(self, cls: type[T], key: Any) -> T | None: ...
    @overload
    def get(self, cls: str, key: Any) -> Any: ...
    def get(self, cls: Any, key: Any) -> Any:
        """The object of a class with that primary key; None if it is not here.

        Args:
            cls: the class as the app declared it, or its name.

        Raises:
            SchemaError: there is no such class.
            WrongTypeError: ``key`` can't be a key of it.
        """
        return self.handles.get(cls, key)

    @overload
    def objects(self, cls: type[T], query: str = ..., /, *args: Any) -> Results[T]: ...
    @overload
    def objects(self, cls: str, query: str = ..., /, *args: Any) -> Results[Any]: ...
    def objects(self, cls: Any, query: str = "TRUEPREDICATE", /, *args: Any) -> Any:
        """The objects of a class that match a query, `$0`, `$1`, ... standing for ``args``.

        Raises:
            SchemaError: there is no such class.
            QueryError: the query can't be understood, or asks what the class can't answer.
        """
        from replication.client.results import Results  # results are made of handles

        return Results.of(self, self.handles.keyed(cls), query, args)

    # -- writing -------------------------------------------------------------------------------
    @overload
    def create(self, cls: type[T], /, **values: Any) -> T: ...
    @overload
    def create(self, cls: str, /, **values: Any) -> Any: ...
    def create(self, cls: Any, /, **values: Any) -> Any:
        """Create an object in the write transaction of this thread.

        Args:
            values: its primary key `_id` and any of its properties; embedded objects as such or as
                dicts. What is left out starts with the declared default or shows its zero.

        Raises:
            NoTransactionError: no write transaction is running in this thread.
            ObjectExistsError: it is there already.
            NoSubscriptionError: this device subscribes to other classes only.
            WrongTypeError: a value does not fit.
        """
        return self.handles.create(cls, values)

    def delete(self, target: Any) -> None:
        """Delete an object, or several (any iterable of them), in the transaction of this thread.

        Raises:
            NoTransactionError: no write transaction is running in this thread.
            NoSuchObjectError: an object is not there; those before it are deleted.
        """
        self.handles.delete(target)

    def add(self, target: Any, name: str, amount: int) -> None:
        """Add to an int or counter of an object: concurrent additions add up."""
        Handle.add(target, name, amount)

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
            try:
                with self.store.write() as writer:
                    replica = Replica(writer, self.columns, self.synced.horizon, self.typed)
                    transaction = self._begin(replica, atomic)
                    try:
                        yield transaction
                        finished = transaction.finish(self.synced.cursor)
                        local = self._store_changeset(writer, finished)
                    finally:
                        transaction.over()
                        self._owner = 0
                        self._running = None
            except BaseException:
                self.texts.clear()
                raise
            self._caught_up(replica)
            transaction.keep()
            if finished is not None:
                for name, length in transaction.blind.items():
                    note_blind(self.blind, name, length)
                self._committed(local, transaction.names, finished[1])

    def _check_writable(self) -> None:
        if self.read_only:
            raise NoTransactionError("this database was opened read-only; open it for writing")
        if self.closed:
            raise NoTransactionError("this database is closed")
        if self._running is not None:
            raise NoTransactionError(
                "a write transaction is running in this thread; write through that one"
            )
        if not self._indexed:
            self._index_pending()

    def _begin(self, replica: Replica, atomic: bool) -> Transaction:
        self.clock.last = self.local.clock
        stamp = (self.clock.tick(self.wall_ms() + self.local.skew_ms), self.local.ident)
        self._sequence = self.local.sequence
        author = Author(stamp, self._mint)
        version = self.local.client_version + 1
        transaction = Transaction(
            replica,
            author,
            self.pending,
            self.blind,
            self.open_lists,
            self.texts,
            version,
        )
        transaction.atomic = atomic
        self._running = transaction
        self._owner = threading.get_ident()
        return transaction

    def _caught_up(self, replica: Replica) -> None:
        """The transaction is durable: take over what a row lacks now."""
        if replica.typed is not self.typed:
            self.entities.commits += 1  # what was read of that row before is not all of it
            self.typed = replica.typed

    def is_behind(self, name: ObjectName) -> bool:
        """Whether the row of an object lacks what was typed last. See `typed.py`."""
        return self.typed is not None and self.typed.name == name

    def _mint(self) -> int:
        self._sequence += 1
        return self._sequence

    def _store_changeset(
        self, writer: Writer, finished: tuple[Changeset, list[Change]] | None
    ) -> Local:
        if finished is None:
            return self.local
        local = self.local.after(self.clock.last, self._sequence)
        data = encode(finished[0])
        check_room(finished[0], len(data))
        record = pack([data, self.local.sequence + 1, local.sequence])
        writer.put_record(records.PENDING, int_key(local.client_version), record)
        return local

    def _committed(self, local: Local, names: list[ObjectName], changes: list[Change]) -> None:
        self.local = local
        for name in names:
            self.pending.setdefault(name, []).append(local.client_version)
        self.changed(changes)
        self.outgoing()

    @property
    def transaction(self) -> Transaction | None:
        """The running write transaction, if this thread is in it."""
        # Only this thread sets the owner to itself: nothing can change in between.
        return self._running if self._owner == threading.get_ident() else None

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
                self._indexed = False  # `work` may have changed it for nothing
                self.texts.clear()
                self.entities.renaming = False
                raise
            self._caught_up(work.replica)
            forgotten = work.synced.horizon > self.synced.horizon
            self.local, self.synced, self.kept = work.local, work.synced, work.kept
            self.known_schema = work.known_schema
            self.columns = work.columns
            if work.renamed is not None:
                self.entities.renamed(*work.renamed)
                self.entities.renaming = False
            if work.everything or work.renamed is not None or forgotten:
                self.open_lists.clear()
                self.texts.clear()
            self.open_lists.drop(work.replica.written)
            self.texts.drop(work.replica.written)
            self.changed(work.changes, everything=work.everything)

    def unsent(self, first: int, count: int, bytes_target: int) -> list[bytes]:
        """Consecutive pending changesets from client version ``first`` on, at least one if any."""
        with self.store.read() as reader:
            return unsent(reader, first, count, bytes_target)

    def refusals(self) -> list[Refusal]:
        """Everything the server refused and nobody dismissed yet, oldest first."""
        with self.store.read() as reader:
            return refused.refusals(reader)

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held by whoever commits, until everybody has been told; the same thread may take it."""
        return self._lock
