"""Writing an SQLite store inside of its one write transaction.

Rule 1: SQLite may undo a whole transaction because of one error (a full disk, say). From then on
        every call of that transaction fails: nothing runs outside of it by accident.
Rule 2: an indexed column is only written when its value changes: an update in place touches
        neither the index nor its pages.
Rule 3: what this process knows of rows and tables is forgotten with what is rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, NoReturn

import apsw

from replication.errors import StoreError, UsageError
from replication.model.values import Key, Value
from replication.query.sql import column_value
from replication.storage.contract import StagedRow, StoredObject
from replication.storage.keys import PlainKey, plain_key
from replication.storage.sqlite_catalog import (
    ClassTable,
    RecordTable,
    create_index,
    with_adopted,
    with_class,
    with_columns,
    with_record_table,
    with_staged,
)
from replication.storage.sqlite_errors import store_error
from replication.storage.sqlite_reader import (
    SQLiteReader,
    int_bounds,
    is_int_key,
)

if TYPE_CHECKING:
    from replication.storage.sqlite import SQLiteStore

#: Rows that a new column is filled in at once.
_FILL_ROWS: Final = 1000
#: Rows a transaction remembers the place and the columns of.
_KNOWN_MAX: Final = 10_000

_PUT_PART: Final = (
    "INSERT INTO parts (class, object, name, version, data) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET version = excluded.version, data = excluded.data"
)
_DELETE_PARTS: Final = "DELETE FROM parts WHERE class = ? AND object = ?"
_DELETE_PART: Final = f"{_DELETE_PARTS} AND name = ?"


class _Savepoint:
    """A part of the write transaction that an exception undoes."""

    __slots__ = ("_catalog", "_writer")

    def __init__(self, writer: SQLiteWriter) -> None:
        self._writer = writer
        self._catalog = writer._catalog

    def __enter__(self) -> None:
        # SQLite means the innermost one of several with the same name.
        self._writer._run("SAVEPOINT s")

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        writer = self._writer
        if kind is None:
            writer._run("RELEASE s")
            return
        writer._walks.interrupt(None)
        writer._known.clear()
        writer._next_rows.clear()
        writer._catalog = self._catalog
        if writer._broken is None:
            writer._run("ROLLBACK TO s")
            writer._run("RELEASE s")


class SQLiteWriter(SQLiteReader):
    """The write transaction, and its own context manager; see `contract.Writer`."""

    __slots__ = ("_broken", "_catalog_before", "_changes", "_known", "_next_rows")

    def __init__(self, store: SQLiteStore) -> None:
        super().__init__(store)
        #: Row, followed by the values of `ClassTable.written`, by class number and plain key.
        self._known: dict[tuple[int, PlainKey], tuple[int, *tuple[Any, ...]]] = {}
        self._broken: StoreError | None = None
        self._next_rows = store.next_rows

    def __enter__(self) -> SQLiteWriter:
        handle = self._store.take_writer()
        try:
            handle.execute("BEGIN IMMEDIATE")
            self._catalog = self._store.written_catalog or self._store.catalog_of(handle)
        except apsw.Error as error:
            failure = store_error(self._store.path, error, handle.connection)
            self._store.roll_back(handle)
            self._store.release_writer()
            raise failure from error
        self._catalog_before = self._catalog
        self._begin(handle)
        self._changes: Callable[[], int] = handle.connection.changes
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        broken = self._broken
        unchanged = self._catalog is self._catalog_before
        self._store.written_catalog = self._catalog if unchanged else None
        handle = self._end()
        committed = False
        try:
            if kind is None:
                if broken is not None:
                    message = f"nothing of this transaction was kept: {broken}"
                    raise type(broken)(message) from broken
                self._store.commit(handle)
                committed = True
        finally:
            if not committed:
                self._store.roll_back(handle)
            self._store.release_writer()

    def _failed(self, error: apsw.Error) -> StoreError:
        failure = super()._failed(error)
        if self._handle is not None and not self._handle.connection.in_transaction:
            self._broken = failure
            self._execute = self._stream = self._refuse
        return failure

    def _refuse(self, *_arguments: object) -> NoReturn:
        assert self._broken is not None
        raise type(self._broken)(f"this transaction was undone: {self._broken}")

    def savepoint(self) -> AbstractContextManager[None]:
        return _Savepoint(self)

    # -- records ---------------------------------------------------------------------------
    def put_record(self, table: str, key: bytes, value: bytes) -> None:
        if self._walks:
            self._walks.interrupt(("record", table))
        bare: bytes | int = key
        if len(key) == 8 and key[0] < 0x80:  # `is_int_key`, without a call
            records = self._catalog.by_int.get(table) or self._new_records(table, by_int=True)
            bare = int.from_bytes(key, "big")
        else:
            records = self._catalog.by_bytes.get(table) or self._new_records(table, by_int=False)
        self._run(records.put, (bare, value))

    def _new_records(self, name: str, *, by_int: bool) -> RecordTable:
        self._catalog = with_record_table(self._catalog, self._all, name, by_int=by_int)
        return (self._catalog.by_int if by_int else self._catalog.by_bytes)[name]

    def delete_record(self, table: str, key: bytes) -> None:
        if self._walks:
            self._walks.interrupt(("record", table))
        by_int = is_int_key(key)
        records = (self._catalog.by_int if by_int else self._catalog.by_bytes).get(table)
        if records is None:
            self._check_alive()
            return
        self._run(records.delete, (int.from_bytes(key, "big") if by_int else key,))

    def delete_records(self, table: str, *, first: bytes = b"", last: bytes | None = None) -> None:
        self._check_alive()
        self._walks.interrupt(("record", table))
        numbered, named = self._catalog.by_int.get(table), self._catalog.by_bytes.get(table)
        if numbered is not None:
            self._run(numbered.delete_range(bounded=True), int_bounds(first, last))
        if named is not None:
            bounds = (first,) if last is None else (first, last)
            self._run(named.delete_range(bounded=last is not None), bounds)

    # -- classes ---------------------------------------------------------------------------
    def declare(self, class_name: str, columns: Iterable[str] = ()) -> None:
        self._check_alive()
        if class_name not in self._catalog.classes:
            self._catalog = with_class(self._catalog, self._all, class_name)
        held = self._catalog.classes[class_name].columns
        added = [field for field in dict.fromkeys(columns) if field not in held]
        if added:
            self._walks.interrupt(("class", class_name))
            self._walks.interrupt(("staged", class_name))
            self._known.clear()
            self._catalog = with_columns(self._catalog, self._all, class_name, added)
            table = self._catalog.classes[class_name]
            self._fill(table, added)
            if class_name in self._catalog.staged:
                self._fill(self._catalog.staged[class_name], added)
            for field in added:
                create_index(self._all, table, field)

    def _fill(self, table: ClassTable, fields: list[str]) -> None:
        read_head = self._store.read_head
        changed = ", ".join(f"{table.columns[field]} = ?" for field in fields)
        update = f"UPDATE {table.name} SET {changed} WHERE id = ?"
        page = table.select([])
        row = 0
        while rows := self._all(page, (row, _FILL_ROWS)):
            for row, _key, _version, head in rows:
                values = read_head(head)
                self._run(update, (*(column_value(values.get(name)) for name in fields), row))

    # -- objects ---------------------------------------------------------------------------
    def get_object(self, class_name: str, key: Key) -> StoredObject | None:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._check_alive()
            return None
        plain = key if type(key) is int or type(key) is str else plain_key(key)
        found = self._look_up(table, plain)
        return None if found is None else StoredObject(found[0], key, found[1], found[2])

    def _look_up(self, table: ClassTable, plain: PlainKey) -> Any:
        found = self._one(table.get, (plain,))
        if found is not None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[table.number, plain] = (found[0], *found[3:])
        return found

    def put_object(
        self,
        class_name: str,
        key: Key,
        version: int,
        head: bytes,
        columns: Mapping[str, Value | list[Value]] | None,
    ) -> int:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._undeclared(class_name)
        if self._walks:
            self._walks.interrupt(("class", class_name))
        plain = key if type(key) is int or type(key) is str else plain_key(key)
        values = (
            table.dead
            if columns is None
            else (1, *[column_value(columns.get(name)) for name in table.columns])
        )
        known = self._known.get((table.number, plain)) if self._known else None
        if known is None:
            row = self._next_rows.get(table.name) or self._first_row(table)
            self._run(table.insert, (row, plain, version, head, *values))
            if self._changes():
                self._next_rows[table.name] = row + 1
                return row
            self._look_up(table, plain)
            known = self._known[table.number, plain]
        row, before = known[0], known[1:]
        # Types first: only then is a comparison of values exact, and cheap.
        if list(map(type, values)) == list(map(type, before)) and values == before:
            self._run(table.update_head, (version, head, row))
            return row
        changed = [
            at
            for at, (old, new) in enumerate(zip(before, values, strict=True))
            if type(old) is not type(new) or old != new
        ]
        written = [values[at] for at in changed]
        self._run(table.update(changed), (version, head, *written, row))
        self._known[table.number, plain] = (row, *values)
        return row

    def _undeclared(self, class_name: str) -> NoReturn:
        self._check_alive()
        raise UsageError(f"class {class_name!r} is not declared in this store; declare() it first")

    def _first_row(self, table: ClassTable) -> int:
        deleted = "SELECT last_row FROM classes WHERE number = ?"
        row: int = 1 + max(self._last_row(table), self._one(deleted, (table.number,)))
        self._next_rows[table.name] = row
        return row

    def _last_row(self, table: ClassTable) -> int:
        return int(self._one(f"SELECT coalesce(max(id), 0) FROM {table.name}", ()))

    def delete_object(self, class_name: str, key: Key) -> None:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._check_alive()
            return
        stored = self.get_object(class_name, key)
        if stored is None:
            return
        if self._walks:
            self._walks.interrupt(("class", class_name))
        self._known.pop((table.number, plain_key(key)), None)
        if stored.row + 1 == (self._next_rows.get(table.name) or self._first_row(table)):
            # Nothing but this will tell, after a restart, that the row was in use.
            sql = "UPDATE classes SET last_row = ? WHERE number = ?"
            self._run(sql, (stored.row, table.number))
        self._run(table.delete, (stored.row,))
        self._run(_DELETE_PARTS, (table.number, stored.row))
        return

    # -- staged objects --------------------------------------------------------------------
    def stage_objects(self, class_name: str, rows: Iterable[StagedRow]) -> None:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._undeclared(class_name)
        if self._walks:
            self._walks.interrupt(("staged", class_name))
        if class_name not in self._catalog.staged:
            self._catalog = with_staged(self._catalog, self._all, class_name)
        staged = self._catalog.staged[class_name]
        row: int | None = None  # SQLite takes the one after the last
        if not self._last_row(staged):
            row = self._next_rows.get(table.name) or self._first_row(table)

        def bindings() -> Iterator[tuple[Any, ...]]:
            nonlocal row
            for key, version, head, values in rows:
                plain = key if type(key) is int or type(key) is str else plain_key(key)
                written = staged.dead if values is None else (1, *map(column_value, values))
                yield (row, plain, version, head, *written)
                row = None

        assert self._handle is not None
        try:
            self._handle.connection.executemany(staged.stage, bindings())
        except apsw.Error as error:
            raise self._failed(error) from error

    def adopt_staged(self, class_name: str) -> bool:
        staged = self._catalog.staged.get(class_name)
        if staged is None:
            self._check_alive()
            return False
        table = self._catalog.classes[class_name]
        first = self._one(f"SELECT min(id) FROM {staged.name}", ())
        if first is None or self._last_row(table):
            return False
        if first < (self._next_rows.get(table.name) or self._first_row(table)):
            return False
        self._walks.interrupt(None)
        last = self._last_row(staged)
        self._catalog = with_adopted(self._catalog, self._all, class_name)
        self._known.clear()
        self._next_rows[table.name] = last + 1
        return True

    def drop_staged(self) -> None:
        self._check_alive()
        for class_name, staged in self._catalog.staged.items():
            self._walks.interrupt(("staged", class_name))
            self._run(f"DELETE FROM {staged.name}")

    # -- parts -----------------------------------------------------------------------------
    def put_part(self, class_name: str, row: int, name: bytes, version: int, data: bytes) -> None:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._undeclared(class_name)
        self._run(_PUT_PART, (table.number, row, name, version, data))

    def delete_part(self, class_name: str, row: int, name: bytes) -> None:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._check_alive()
            return
        self._run(_DELETE_PART, (table.number, row, name))
        return
