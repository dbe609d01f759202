"""Reading an SQLite store inside of one transaction.

Rule 1: statements that answer at once run on one cursor, which is faster; those that are iterated
        over have a cursor each, closed when the transaction ends or their table is written to.
Rule 2: a transaction takes its snapshot when it begins, not at its first read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeVar

import apsw

from replication.errors import StoreError
from replication.model.types import KEY_NAME
from replication.model.values import Key
from replication.query.columns import SPREAD
from replication.query.query import Query
from replication.query.sql import compile_sql
from replication.storage.contract import SourceOf, StoredObject, StoredPart, told
from replication.storage.keys import PlainKey, key_of, plain_key
from replication.storage.sqlite_catalog import Catalog, ClassTable
from replication.storage.sqlite_errors import store_error
from replication.storage.walks import Walk, Walked, Walks, ended

_T = TypeVar("_T")

#: The fields that a query reads and of which some row says that its list is spread over parts.
SpreadIn: TypeAlias = Callable[[Query], list[str]]

if TYPE_CHECKING:
    from replication.storage.sqlite import Handle, SQLiteStore

_ROWID_MAX: Final = 2**63 - 1
_PARTS: Final = "SELECT name, version, data FROM parts WHERE class = ? AND object = ?"
_GET_PARTS: Final = f"{_PARTS} AND version > ? ORDER BY name"
_GET_PART: Final = f"{_PARTS} AND name = ?"


def is_int_key(key: bytes) -> bool:
    """Whether this could be a key made by `int_key`."""
    return len(key) == 8 and key[0] < 0x80


def int_bounds(first: bytes, last: bytes | None) -> tuple[int, int]:
    """The least and greatest number whose `int_key` is within a range of keys.

    They are in the wrong order where there is none.
    """
    low = int.from_bytes(first[:8].ljust(8, b"\0"), "big")
    if len(first) > 8:
        low += 1  # the first 8 bytes alone come before the whole
    if low > _ROWID_MAX:
        return 1, 0
    if last is None:
        return low, _ROWID_MAX
    high = int.from_bytes(last[:8].ljust(8, b"\0"), "big")
    if len(last) < 8:
        high -= 1  # padded, it comes after what it was
    return low, min(high, _ROWID_MAX)


def _refuse(*_arguments: object) -> NoReturn:
    raise ended()


def _named(found: tuple[int, bytes]) -> tuple[bytes, bytes]:
    return found[0].to_bytes(8, "big"), found[1]


def _stored(found: tuple[int, PlainKey, int, bytes]) -> StoredObject:
    row, plain, version, head = found
    return StoredObject(row, key_of(plain) if isinstance(plain, bytes) else plain, version, head)


class SQLiteReader:
    """A read transaction, and its own context manager; see `contract.Reader`."""

    __slots__ = ("_catalog", "_execute", "_handle", "_store", "_stream", "_walks")

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store
        self._handle: Handle | None = None
        self._catalog: Catalog = store.catalog
        #: Runs a statement on the cursor that all share, or on a cursor of its own.
        self._execute: Callable[..., apsw.Cursor] = _refuse
        self._stream: Callable[..., apsw.Cursor] = _refuse
        self._walks = Walks()

    def __enter__(self) -> SQLiteReader:
        handle = self._store.take_reader()
        try:
            handle.execute("BEGIN")
            # Reading the catalog's cookie is what takes the snapshot.
            self._catalog = self._store.catalog_of(handle)
        except apsw.Error as error:
            failure = store_error(self._store.path, error, handle.connection)
            handle.close()
            raise failure from error
        self._begin(handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        handle = self._end()
        try:
            handle.execute("COMMIT")
        except apsw.Error:  # an error undid it: there is nothing to lose, but don't use it again
            handle.close()
        else:
            self._store.give_back(handle)

    def _begin(self, handle: Handle) -> None:
        assert self._handle is None, "a transaction object is entered once"
        self._handle = handle
        self._execute = handle.execute
        self._stream = handle.connection.execute

    def _end(self) -> Handle:
        handle = self._handle
        assert handle is not None
        self._handle = None
        self._execute = self._stream = _refuse
        self._walks.end()
        return handle

    # -- running ---------------------------------------------------------------------------
    def _run(self, sql: str, bindings: tuple[Any, ...] = ()) -> apsw.Cursor:
        try:
            return self._execute(sql, bindings)
        except apsw.Error as error:
            raise self._failed(error) from error

    def _one(self, sql: str, bindings: tuple[Any, ...]) -> Any:
        # None, the value of the only row's only column, or the tuple of its columns.
        try:
            return self._execute(sql, bindings).get
        except apsw.Error as error:
            raise self._failed(error) from error

    def _all(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._execute(sql, bindings).fetchall()
        except apsw.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: apsw.Error) -> StoreError:
        connection = None if self._handle is None else self._handle.connection
        return store_error(self._store.path, error, connection)

    def _start(self, sql: str, bindings: list[Any]) -> apsw.Cursor:
        try:
            return self._stream(sql, bindings)
        except apsw.Error as error:
            raise self._failed(error) from error

    def _walk(self, of: Walked, cursors: list[apsw.Cursor], made: Iterator[_T]) -> Iterator[_T]:
        # What is made of the rows of cursors that read ``of``.
        def close() -> None:
            for cursor in cursors:
                cursor.close(True)

        return self._steps(self._walks.start(of, close), made)

    def _steps(self, walk: Walk, made: Iterator[_T]) -> Iterator[_T]:
        if walk.broken is not None:
            raise walk.broken
        try:
            for item in made:
                yield item
                if walk.broken is not None:
                    raise walk.broken
        except apsw.Error as error:
            raise self._failed(error) from error
        finally:  # also when nobody wants the rest
            self._walks.finish(walk)

    # -- records ---------------------------------------------------------------------------
    def record(self, table: str, key: bytes) -> bytes | None:
        bare: bytes | int = key
        if len(key) == 8 and key[0] < 0x80:  # `is_int_key`, without a call
            records = self._catalog.by_int.get(table)
            bare = int.from_bytes(key, "big")
        else:
            records = self._catalog.by_bytes.get(table)
        if records is None:
            self._check_alive()
            return None
        found: bytes | None = self._one(records.get, (bare,))
        return found

    def _check_alive(self) -> None:
        # What no table holds is absent, but not after the end of the transaction.
        if self._handle is None:
            raise ended()

    def records(
        self,
        table: str,
        *,
        first: bytes = b"",
        last: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        self._check_alive()
        most = -1 if limit is None else limit
        cursors: list[apsw.Cursor] = []
        made: list[Iterator[tuple[bytes, bytes]]] = []
        numbered, named = self._catalog.by_int.get(table), self._catalog.by_bytes.get(table)
        if numbered is not None:
            sql = numbered.select(bounded=True, reverse=reverse)
            cursors.append(self._start(sql, [*int_bounds(first, last), most]))
            made.append(map(_named, cursors[-1]))
        if named is not None:
            sql = named.select(bounded=last is not None, reverse=reverse)
            cursors.append(self._start(sql, [first, *([] if last is None else [last]), most]))
            made.append(cursors[-1])
        if len(made) == 1:
            return self._walk(("record", table), cursors, made[0])
        both = merge(*made, key=itemgetter(0), reverse=reverse)
        return self._walk(("record", table), cursors, islice(both, limit))

    # -- objects ---------------------------------------------------------------------------
    def classes(self) -> list[str]:
        self._check_alive()
        return sorted(self._catalog.classes)

    def columns(self, class_name: str) -> list[str]:
        self._check_alive()
        table = self._catalog.classes.get(class_name)
        return [] if table is None else sorted(table.columns)

    def get_object(self, class_name: str, key: Key) -> StoredObject | None:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._check_alive()
            return None
        plain = key if type(key) is int or type(key) is str else plain_key(key)
        found = self._one(table.get, (plain,))
        return None if found is None else StoredObject(found[0], key, found[1], found[2])

    def parts(self, class_name: str, row: int, *, newer_than: int = -1) -> list[StoredPart]:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._check_alive()
            return []
        found = self._all(_GET_PARTS, (table.number, row, newer_than))
        return [StoredPart(*part) for part in found]

    def part(self, class_name: str, row: int, name: bytes) -> StoredPart | None:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._check_alive()
            return None
        found = self._one(_GET_PART, (table.number, row, name))
        return None if found is None else StoredPart(*found)

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
        self._check_alive()
        table = self._catalog.classes.get(class_name)
        if table is None:
            return self._walk(("class", class_name), [], iter(()))
        conditions, bindings, left = _conditions(table, query, but_not, self._spread_of(table))
        most = -1 if limit is None or left else limit
        sql = table.select(conditions)
        if after_row and conditions:
            orders = self._store.orders
            if orders.in_order(table, conditions, bindings, self._all):
                sql = table.select(conditions, in_order=True)
        cursor = self._start(sql, [after_row, *bindings, most])
        found: Iterator[StoredObject] = map(_stored, cursor)
        if left:
            found = islice(filter(self._judge(left, source), found), limit)
        return self._walk(("class", class_name), [cursor], found)

    def all_objects(self, class_name: str, *, after_row: int = 0) -> Iterator[StoredObject]:
        self._check_alive()
        table = self._catalog.classes.get(class_name)
        if table is None:
            return self._walk(("class", class_name), [], iter(()))
        cursor = self._start(table.select_all, [after_row])
        return self._walk(("class", class_name), [cursor], map(_stored, cursor))

    def staged_objects(self, class_name: str) -> Iterator[StoredObject]:
        self._check_alive()
        table = self._catalog.staged.get(class_name)
        if table is None:
            return self._walk(("staged", class_name), [], iter(()))
        cursor = self._start(table.select_all, [0])
        return self._walk(("staged", class_name), [cursor], map(_stored, cursor))

    def count(
        self,
        class_name: str,
        query: Query | None = None,
        *,
        but_not: Query | None = None,
        source: SourceOf | None = None,
    ) -> int:
        table = self._catalog.classes.get(class_name)
        if table is None:
            self._check_alive()
            return 0
        conditions, bindings, left = _conditions(table, query, but_not, self._spread_of(table))
        if left:
            return sum(1 for _ in self.scan(class_name, query, but_not=but_not, source=source))
        return int(self._one(table.count(conditions), tuple(bindings)))

    def plan(self, class_name: str, query: Query | None = None) -> list[str]:
        table = self._catalog.classes.get(class_name)
        if table is None:
            return [f"{class_name} has no rows"]
        conditions, bindings, left = _conditions(table, query, None, self._spread_of(table))
        sql = f"EXPLAIN QUERY PLAN {table.select(conditions)}"
        steps = [_readable(row[3], table, class_name) for row in self._all(sql, (0, *bindings, -1))]
        return steps + [f"judge what is left in Python by {asked.text:.80}" for asked, _ in left]

    def _spread_of(self, table: ClassTable) -> SpreadIn:
        def spread(query: Query) -> list[str]:
            return [name for name in sorted(query.lists & table.columns.keys()) if any_in(name)]

        def any_in(name: str) -> bool:
            column = table.columns[name]
            found = f"SELECT 1 FROM {table.name} WHERE {column} = ? LIMIT 1"
            return self._one(found, (SPREAD,)) is not None

        return spread

    def _judge(
        self, left: list[tuple[Query, bool]], source: SourceOf | None
    ) -> Callable[[StoredObject], bool]:
        read_head = self._store.read_head
        if source is not None:
            read = source
            return lambda stored: all(
                query.matches(read(stored)) is wanted for query, wanted in left
            )

        def accepts(stored: StoredObject) -> bool:
            values = read_head(stored.head)

            def get(name: str) -> Any:
                return stored.key if name == KEY_NAME else told(values.get(name))

            return all(query.matches(get) is wanted for query, wanted in left)

        return accepts


def _readable(step: str, table: ClassTable, class_name: str) -> str:
    """A step of SQLite's plan, with the names of classes and fields for those of the file."""
    step = re.sub(rf"\b{re.escape(table.name.strip(chr(34)))}\b", class_name, step)
    for field, column in table.columns.items():
        step = re.sub(rf"\b{re.escape(column.strip(chr(34)))}\b", field, step)
    return step


def _conditions(
    table: ClassTable, query: Query | None, but_not: Query | None, spread: SpreadIn
) -> tuple[list[str], list[Any], list[tuple[Query, bool]]]:
    """What SQL can say of two queries, its bindings, and what is left for Python to judge."""
    conditions: list[str] = []
    bindings: list[Any] = []
    left: list[tuple[Query, bool]] = []
    for asked, wanted in ((query, True), (but_not, False)):
        if asked is None:
            continue
        compiled = compile_sql(asked, table.columns, spread(asked))
        if compiled is None or not compiled.exact:
            left.append((asked, wanted))
        if compiled is not None and (compiled.exact or wanted):
            # IS NOT TRUE, since NOT of a comparison with null is null.
            text = f"({compiled.text})"
            conditions.append(text if wanted else f"{text} IS NOT TRUE")
            bindings += compiled.bindings
    return conditions, bindings, left
