"""The store contract: what every back end does, for clients and servers alike.

A store holds two things:

* **objects**: for each class, rows `(class, key) -> version, head, columns` and, beside a row,
  its `parts`. Heads and parts are opaque bytes, stored as they travel. Columns are the values of
  queryable fields, indexed, so that `scan` can answer a query without decoding heads.
  Beside its rows a class has **staged** ones, which nothing shows until they become its rows.
* **records**: named, ordered tables of `bytes -> bytes`: the log, pending changes, idents,
  subscriptions, staged downloads, settings. `int_key` makes keys whose order is the integers'.

Rule 1: all reading and writing happens in a transaction. `read()` sees one snapshot, taken when
        it begins, until it ends; `write()` sees its own writes, is exclusive, and on return is
        durable (back ends that can be) and visible as a whole; an exception leaves no trace of
        it. (Only a process that dies right after a commit has failed may find it done after
        all, and whole, as after any death during a commit.)
Rule 2: a transaction object is used by one thread at a time and is dead after its end: it and
        its iterators raise NoTransactionError.
Rule 3: `savepoint()` inside a write transaction undoes its own part when an exception leaves it.
Rule 4: what a caller passes and gets is immutable (bytes, str, int, values): no aliasing.
Rule 5: errors are StoreError and its subclasses, whatever the back end raises. A full disk is
        StoreFullError and leaves the store usable.

`replication.storage.conformance.check_store` tests a back end against this text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeAlias

from replication.model.values import SPREAD, Key, Value
from replication.query.paths import Get
from replication.query.query import Query

#: What a store is given to look into heads: the values of an object's fields by name, None for
#: a missing one, `SPREAD` for a list that is not in the head. It is only called with heads of
#: living objects.
ReadHead: TypeAlias = Callable[[bytes], Mapping[str, Value | list[Value]]]


def told(value: Any) -> Any:
    """What a query sees of a column where nobody looks beyond the head."""
    return None if value is SPREAD else value


class StoredObject(NamedTuple):
    """One row of a class."""

    #: Position of the row in its class: positive, never reused, grows with each new row.
    row: int
    key: Key
    #: Server version that last changed the object, 0 while no server has seen it.
    version: int
    head: bytes


#: What a query reads of a row.
SourceOf: TypeAlias = Callable[[StoredObject], Get]

#: A row to be staged: primary key, version, head, and the values of all columns of the class, in
#: the order of `Reader.columns`; None for an object that is not alive.
StagedRow: TypeAlias = tuple[Key, int, bytes, Sequence[Value | list[Value]] | None]


class StoredPart(NamedTuple):
    """One part beside a head: a chunk of a long list."""

    #: Which part: the canonical bytes of (path, incarnation, part number), see `crdt.parts`.
    name: bytes
    version: int
    data: bytes


class Reader(Protocol):
    """What a transaction can read."""

    # -- records ---------------------------------------------------------------------------
    def record(self, table: str, key: bytes) -> bytes | None:
        """The value at ``key``, or None. An unknown table is an empty one."""

    def records(
        self,
        table: str,
        *,
        first: bytes = b"",
        last: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``first <= key <= last`` in key order (``last`` None: to the end).

        The iterator is valid until the transaction ends or the table is written to; then it
        raises a UsageError.
        """

    # -- objects ---------------------------------------------------------------------------
    def classes(self) -> list[str]:
        """The classes that have been declared, sorted."""

    def columns(self, class_name: str) -> list[str]:
        """The queryable fields of a class whose columns are complete, sorted."""

    def get_object(self, class_name: str, key: Key) -> StoredObject | None:
        """The row with that primary key, or None."""

    def parts(self, class_name: str, row: int, *, newer_than: int = -1) -> list[StoredPart]:
        """The parts of a row with ``version > newer_than``, by name."""

    def part(self, class_name: str, row: int, name: bytes) -> StoredPart | None:
        """One part of a row, or None."""

    def scan(
        self,
        class_name: str,
        query: Query | None = None,
        *,
        but_not: Query | None = None,
        after_row: int = 0,
        limit: int | None = None,
        source: SourceOf | None = None,
    ) -> Iterator[StoredObject]:
        """Live rows with ``row > after_row`` that match ``query`` and not ``but_not``, by row.

        A row whose columns are None (see `put_object`) is not alive and never returned. A field
        that is no column is read from the head (`ReadHead`), or from what ``source`` makes of a
        row; a query that follows links needs one. A list that is `SPREAD` is read from what
        ``source`` makes of the row, and is null without one. Same validity as `records`, the
        table being the rows of the class. An unknown class has no rows.
        """

    def all_objects(self, class_name: str, *, after_row: int = 0) -> Iterator[StoredObject]:
        """Every row, dead ones included, by row: for inspection, back-fill and comparison."""

    def count(
        self,
        class_name: str,
        query: Query | None = None,
        *,
        but_not: Query | None = None,
        source: SourceOf | None = None,
    ) -> int:
        """How many rows `scan` would return."""

    def plan(self, class_name: str, query: Query | None = None) -> list[str]:
        """How `scan` would answer a query: a line a step, for people to read."""

    def staged_objects(self, class_name: str) -> Iterator[StoredObject]:
        """Every staged row of a class, by row. Same validity as `records`."""


class Writer(Reader, Protocol):
    """What a write transaction can do beside reading."""

    def savepoint(self) -> AbstractContextManager[None]:
        """A part of the transaction that an exception undoes alone (and then goes on up)."""

    def put_record(self, table: str, key: bytes, value: bytes) -> None:
        """Insert or replace."""

    def delete_record(self, table: str, key: bytes) -> None:
        """Delete if present."""

    def delete_records(self, table: str, *, first: bytes = b"", last: bytes | None = None) -> None:
        """Delete all with ``first <= key <= last``."""

    def declare(self, class_name: str, columns: Iterable[str] = ()) -> None:
        """Make a class and its columns exist. Idempotent; columns are only ever added.

        A column added to a class with rows is filled from their heads, in this transaction.
        """

    def put_object(
        self,
        class_name: str,
        key: Key,
        version: int,
        head: bytes,
        columns: Mapping[str, Value | list[Value]] | None,
    ) -> int:
        """Insert or replace a row; returns its `row`, which stays the same when it is replaced.

        Args:
            columns: the values of (at least) the queryable fields of this class, missing ones
                read as null; None for an object that is not alive.

        Raises:
            UsageError: the class has not been declared.
        """

    def delete_object(self, class_name: str, key: Key) -> None:
        """Delete a row and its parts, if present."""

    def stage_objects(self, class_name: str, rows: Iterable[StagedRow]) -> None:
        """Add rows to the staged ones of a class, replacing those of the same keys.

        Raises:
            UsageError: the class has not been declared.
        """

    def adopt_staged(self, class_name: str) -> bool:
        """Make the staged rows of a class its rows, if it has none; whether that was done.

        It is not if nothing is staged, nor if the class had new rows since the first of these was
        staged: then a row would be used twice. All iterators of the transaction end.
        """

    def drop_staged(self) -> None:
        """Delete what is staged, of all classes."""

    def put_part(self, class_name: str, row: int, name: bytes, version: int, data: bytes) -> None:
        """Insert or replace a part of a row that `put_object` returned."""

    def delete_part(self, class_name: str, row: int, name: bytes) -> None:
        """Delete a part, if present."""


class Store(Protocol):
    """A place that keeps objects and records."""

    def read(self) -> AbstractContextManager[Reader]:
        """A read transaction: one snapshot, concurrent with a writer and other readers."""

    def write(self) -> AbstractContextManager[Writer]:
        """The write transaction; waits for the one before it. Commits on normal exit.

        Raises:
            StoreBusyError: the store is open read-only, or this thread is already in one.
        """

    def close(self) -> None:
        """Wait for the write transaction, and release everything. Idempotent.

        Read transactions under way go on to their end; new ones are a StoreError.
        """


def int_key(number: int) -> bytes:
    """A record key for ``0 <= number < 2**63``; the order of keys is that of numbers."""
    return number.to_bytes(8, "big")


def int_from_key(key: bytes) -> int:
    """The number of a key made by `int_key`."""
    return int.from_bytes(key, "big")
