"""The store in memory: for tests, simulations and devices that keep nothing.

Rule 1: what is committed is one immutable state. A reader holds on to it; a writer forks what it
        touches (`SortedMap`) and on commit puts its own state in its place with one assignment.
Rule 2: a savepoint keeps the maps as they are and forks again; going back is an assignment too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from replication.errors import StoreError, UsageError
from replication.model.types import KEY_NAME
from replication.model.values import Key, Value
from replication.query.query import Query
from replication.storage.contract import (
    ReadHead,
    SourceOf,
    StagedRow,
    StoredObject,
    StoredPart,
    told,
)
from replication.storage.keys import PlainKey, plain_key
from replication.storage.locks import WriteLock
from replication.storage.sorted_map import SortedMap
from replication.storage.walks import Walk, Walked, Walks, ended

_T = TypeVar("_T")
#: The values of a class's columns, in their order.
_Values: TypeAlias = tuple[Value | list[Value], ...]
#: The items of a `StoredObject`, and the values of its class's columns, None where it is not alive.
#: (Tuples of numbers and bytes are nothing to Python's garbage collector, however many there are.)
_Entry: TypeAlias = tuple[int, Key, int, bytes, _Values | None]


class _Class:
    """The rows of one class."""

    __slots__ = ("_private_keys", "columns", "keys", "last_row", "parts", "rows", "staged")

    def __init__(self) -> None:
        self.columns: tuple[str, ...] = ()
        #: The greatest row there ever was.
        self.last_row = 0
        self.rows: SortedMap[int, _Entry] = SortedMap()
        #: Their numbers by primary key: a map for each Python type of plain key.
        self.keys: dict[type, SortedMap[PlainKey, int]] = {}
        self._private_keys = True
        self.parts: SortedMap[tuple[int, bytes], StoredPart] = SortedMap()
        #: Rows that are to be those of this class.
        self.staged: _Class | None = None

    def fork(self) -> _Class:
        copy = _Class.__new__(_Class)
        copy.columns = self.columns
        copy.last_row = self.last_row
        copy.rows = self.rows.fork()
        copy.keys = self.keys
        copy._private_keys = False
        copy.parts = self.parts.fork()
        copy.staged = None if self.staged is None else self.staged.fork()
        return copy

    def entry(self, key: Key) -> _Entry | None:
        plain = plain_key(key)
        rows = self.keys.get(type(plain))
        row = None if rows is None else rows.get(plain)
        return None if row is None else self.rows.get(row)

    def _own_keys(self, kind: type) -> SortedMap[PlainKey, int]:
        if not self._private_keys:
            self.keys = {kind: rows.fork() for kind, rows in self.keys.items()}
            self._private_keys = True
        return self.keys.setdefault(kind, SortedMap())

    def add(self, key: Key, version: int, head: bytes, values: _Values | None) -> int:
        """Insert or replace; returns the row."""
        before = self.entry(key)
        if before is None:
            self.last_row = row = self.last_row + 1
            plain = plain_key(key)
            self._own_keys(type(plain)).set(plain, row)
        else:
            row = before[0]
        self.rows.set(row, (row, key, version, head, values))
        return row

    def drop(self, entry: _Entry) -> None:
        row, key, *_ = entry
        plain = plain_key(key)
        self._own_keys(type(plain)).delete(plain)
        self.rows.delete(row)
        for name, _part in list(self.parts_of(row)):
            self.parts.delete(name)

    def parts_of(self, row: int) -> Iterator[tuple[tuple[int, bytes], StoredPart]]:
        # No name sorts before the empty one, nor after the first of the next row.
        for name, part in self.parts.items((row, b""), (row + 1, b"")):
            if name[0] == row:
                yield name, part


class _State(NamedTuple):
    """All that is committed. Never written to."""

    records: dict[str, SortedMap[bytes, bytes]]
    classes: dict[str, _Class]


class _Ended(dict[str, Any]):
    """Stands in the place of the tables of a transaction that has ended."""

    def _raise(self, *_arguments: object) -> Any:
        raise ended()

    get = copy = items = __getitem__ = __iter__ = __contains__ = _raise


_ENDED: Final[dict[str, Any]] = _Ended()


class _Reader:
    """A read transaction; also its own context manager."""

    __slots__ = ("_classes", "_read_head", "_records", "_store", "_walks")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._read_head = store._read_head
        self._records: dict[str, SortedMap[bytes, bytes]] = _ENDED
        self._classes: dict[str, _Class] = _ENDED
        self._walks = Walks()

    def __enter__(self) -> _Reader:
        self._records, self._classes = self._store._committed()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._end()

    def _end(self) -> None:
        self._records = self._classes = _ENDED
        self._walks.end()

    def _walk(self, of: Walked, source: Iterable[_T]) -> Iterator[_T]:
        return self._steps(self._walks.start(of), source)

    def _steps(self, walk: Walk, source: Iterable[_T]) -> Iterator[_T]:
        if walk.broken is not None:
            raise walk.broken
        try:
            for item in source:
                yield item
                if walk.broken is not None:
                    raise walk.broken
        finally:  # also when nobody wants the rest
            self._walks.finish(walk)

    # -- records ---------------------------------------------------------------------------
    def record(self, table: str, key: bytes) -> bytes | None:
        records = self._records.get(table)
        return None if records is None else records.get(key)

    def records(
        self,
        table: str,
        *,
        first: bytes = b"",
        last: bytes | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, bytes]]:
        records = self._records.get(table)
        found = iter(()) if records is None else records.items(first, last, reverse=reverse)
        return self._walk(("record", table), islice(found, limit))

    # -- objects ---------------------------------------------------------------------------
    def classes(self) -> list[str]:
        return sorted(self._classes)

    def columns(self, class_name: str) -> list[str]:
        held = self._classes.get(class_name)
        return [] if held is None else list(held.columns)

    def get_object(self, class_name: str, key: Key) -> StoredObject | None:
        held = self._classes.get(class_name)
        entry = None if held is None else held.entry(key)
        return None if entry is None else StoredObject(*entry[:4])

    def parts(self, class_name: str, row: int, *, newer_than: int = -1) -> list[StoredPart]:
        held = self._classes.get(class_name)
        if held is None:
            return []
        return [part for _name, part in held.parts_of(row) if part.version > newer_than]

    def part(self, class_name: str, row: int, name: bytes) -> StoredPart | None:
        held = self._classes.get(class_name)
        return None if held is None else held.parts.get((row, name))

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
        held = self._classes.get(class_name)
        found: Iterator[StoredObject] = iter(())
        if held is not None:
            found = self._matching(held, query, but_not, after_row, source)
        return self._walk(("class", class_name), islice(found, limit))

    def _matching(
        self,
        held: _Class,
        query: Query | None,
        but_not: Query | None,
        after_row: int,
        source: SourceOf | None = None,
    ) -> Iterator[StoredObject]:
        wanted = None if query is None else self._predicate(query, held.columns, source)
        unwanted = None if but_not is None else self._predicate(but_not, held.columns, source)
        for _row, entry in held.rows.items(after_row + 1):
            stored, values = StoredObject(*entry[:4]), entry[4]
            if (
                values is not None
                and (wanted is None or wanted(stored, values))
                and (unwanted is None or not unwanted(stored, values))
            ):
                yield stored

    def _predicate(
        self, query: Query, columns: tuple[str, ...], source: SourceOf | None
    ) -> Callable[[StoredObject, _Values], bool]:
        if source is not None:
            read = source
            return lambda stored, _values: query.matches(read(stored))
        if query.fields.issubset(columns):
            places = {name: place for place, name in enumerate(columns)}
            return lambda _stored, values: query.matches(lambda name: told(values[places[name]]))

        def judge(stored: StoredObject, _values: _Values) -> bool:
            values = self._read_head(stored.head)
            return query.matches(
                lambda name: stored.key if name == KEY_NAME else told(values.get(name))
            )

        return judge

    def all_objects(self, class_name: str, *, after_row: int = 0) -> Iterator[StoredObject]:
        held = self._classes.get(class_name)
        rows = iter(()) if held is None else held.rows.items(after_row + 1)
        found = (StoredObject(*entry[:4]) for _row, entry in rows)
        return self._walk(("class", class_name), found)

    def count(
        self,
        class_name: str,
        query: Query | None = None,
        *,
        but_not: Query | None = None,
        source: SourceOf | None = None,
    ) -> int:
        held = self._classes.get(class_name)
        return (
            0 if held is None else sum(1 for _ in self._matching(held, query, but_not, 0, source))
        )

    def plan(self, class_name: str, query: Query | None = None) -> list[str]:
        judged = "" if query is None else f", judging each in Python by {query.text:.80}"
        return [f"read all rows of {class_name}{judged}"]

    def staged_objects(self, class_name: str) -> Iterator[StoredObject]:
        held = self._classes.get(class_name)
        staged = None if held is None else held.staged
        rows = iter(()) if staged is None else staged.rows.items()
        found = (StoredObject(*entry[:4]) for _row, entry in rows)
        return self._walk(("staged", class_name), found)


class _Savepoint:
    """A part of the write transaction that an exception undoes."""

    __slots__ = ("_before", "_owned", "_writer")

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer

    def __enter__(self) -> None:
        writer = self._writer
        self._before = _State(writer._records.copy(), writer._classes.copy())
        self._owned = writer._owned_records, writer._owned_classes
        writer._owned_records, writer._owned_classes = set(), set()

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        writer = self._writer
        if kind is None:
            writer._owned_records |= self._owned[0]
            writer._owned_classes |= self._owned[1]
            return
        writer._walks.interrupt(None)
        writer._records, writer._classes = self._before
        writer._owned_records, writer._owned_classes = self._owned


class _Writer(_Reader):
    """The write transaction."""

    __slots__ = ("_owned_classes", "_owned_records")

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        #: What has been forked since the transaction or its innermost savepoint began.
        self._owned_records: set[str] = set()
        self._owned_classes: set[str] = set()

    def __enter__(self) -> _Writer:
        self._store._lock.acquire()
        try:
            state = self._store._committed()
        except BaseException:
            self._store._lock.release()
            raise
        self._records = state.records.copy()
        self._classes = state.classes.copy()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is None:
            self._store._state = _State(self._records, self._classes)
        self._end()
        self._store._lock.release()

    def savepoint(self) -> AbstractContextManager[None]:
        return _Savepoint(self)

    def _own_records(self, name: str) -> SortedMap[bytes, bytes]:
        if self._walks:
            self._walks.interrupt(("record", name))
        records = self._records.get(name)
        if name in self._owned_records:
            assert records is not None
            return records
        records = SortedMap() if records is None else records.fork()
        self._records[name] = records
        self._owned_records.add(name)
        return records

    def _own_rows(self, name: str) -> _Class:
        held = self._own_class(name)
        if self._walks:
            self._walks.interrupt(("class", name))
        return held

    def _own_class(self, name: str) -> _Class:
        held = self._classes.get(name)
        if held is None:
            raise UsageError(f"class {name!r} is not declared in this store; declare() it first")
        if name not in self._owned_classes:
            held = self._classes[name] = held.fork()
            self._owned_classes.add(name)
        return held

    # -- records ---------------------------------------------------------------------------
    def put_record(self, table: str, key: bytes, value: bytes) -> None:
        self._own_records(table).set(key, value)

    def delete_record(self, table: str, key: bytes) -> None:
        self._own_records(table).delete(key)

    def delete_records(self, table: str, *, first: bytes = b"", last: bytes | None = None) -> None:
        self._own_records(table).delete_range(first, last)

    # -- objects ---------------------------------------------------------------------------
    def declare(self, class_name: str, columns: Iterable[str] = ()) -> None:
        if class_name not in self._classes:
            self._classes[class_name] = _Class()
            self._owned_classes.add(class_name)
        added = set(columns).difference(self._classes[class_name].columns)
        if not added:
            return
        self._walks.interrupt(("staged", class_name))
        held = self._own_rows(class_name)
        for rows in (held, held.staged):
            if rows is not None:
                rows.columns = (*sorted({*rows.columns, *added}),)
                self._fill(rows)

    def _fill(self, held: _Class) -> None:
        for _row, (row, key, version, head, values) in list(held.rows.items()):
            if values is not None:
                values = _column_values(self._read_head(head), held.columns)
                held.rows.set(row, (row, key, version, head, values))

    def put_object(
        self,
        class_name: str,
        key: Key,
        version: int,
        head: bytes,
        columns: Mapping[str, Value | list[Value]] | None,
    ) -> int:
        held = self._own_rows(class_name)
        values = None if columns is None else _column_values(columns, held.columns)
        return held.add(key, version, head, values)

    def delete_object(self, class_name: str, key: Key) -> None:
        held = self._classes.get(class_name)
        entry = None if held is None else held.entry(key)
        if entry is not None:
            self._own_rows(class_name).drop(entry)

    def stage_objects(self, class_name: str, rows: Iterable[StagedRow]) -> None:
        held = self._own_class(class_name)
        self._walks.interrupt(("staged", class_name))
        staged = held.staged
        if staged is None:
            staged = held.staged = _Class()
            staged.columns = held.columns
            staged.last_row = held.last_row
        for key, version, head, items in rows:
            values = None
            if items is not None:
                named = dict(zip(held.columns, items, strict=True))
                values = _column_values(named, held.columns)
            staged.add(key, version, head, values)

    def adopt_staged(self, class_name: str) -> bool:
        held = self._classes.get(class_name)
        if held is None or held.staged is None or any(held.rows.items()):
            return False
        first = next(iter(held.staged.rows.items()), None)
        if first is None or first[0] <= held.last_row:
            return False
        self._walks.interrupt(None)
        held = self._own_class(class_name)
        staged, held.staged = held.staged, None
        assert staged is not None
        held.rows, held.last_row = staged.rows, staged.last_row
        held.keys, held._private_keys = staged.keys, staged._private_keys
        return True

    def drop_staged(self) -> None:
        for name, held in list(self._classes.items()):
            if held.staged is not None:
                self._walks.interrupt(("staged", name))
                self._own_class(name).staged = None

    def put_part(self, class_name: str, row: int, name: bytes, version: int, data: bytes) -> None:
        self._own_class(class_name).parts.set((row, name), StoredPart(name, version, data))

    def delete_part(self, class_name: str, row: int, name: bytes) -> None:
        if class_name in self._classes:
            self._own_class(class_name).parts.delete((row, name))


def _column_values(values: Mapping[str, Value | list[Value]], columns: tuple[str, ...]) -> _Values:
    if not columns:
        return ()
    # Lists are copied: the caller's may change afterwards.
    found = [values.get(name) for name in columns]
    return tuple([list(item) if type(item) is list else item for item in found])


class MemoryStore:
    """A store that lives as long as the process; see `contract.Store`."""

    def __init__(self, read_head: ReadHead) -> None:
        """An empty store; ``read_head`` gives the field values of a head."""
        self._read_head = read_head
        self._lock = WriteLock()
        self._state = _State({}, {})
        self._closed = False

    def read(self) -> _Reader:
        return _Reader(self)

    def write(self) -> _Writer:
        return _Writer(self)

    def close(self) -> None:
        self._closed = True

    def reopen(self) -> MemoryStore:
        """A store on what this one has committed, as a restarted process would find a file."""
        store = MemoryStore(self._read_head)
        store._state = self._state
        return store

    def _committed(self) -> _State:
        if self._closed:
            raise StoreError("this store is closed; open it again")
        return self._state
