"""The memory store and the SQLite store, step by step: whatever is done, both say the same."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bson.objectid import ObjectId
from faults import FaultyDisk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from replication.errors import ReplicationError
from replication.query import parse
from replication.storage.checks import OopsError
from replication.storage.conformance import head, read_head
from replication.storage.contract import int_key
from replication.storage.memory import MemoryStore
from replication.storage.sorted_map import SortedMap
from replication.storage.sqlite import SQLiteStore

_DISK = FaultyDisk()  # one that only spares us the syncs

_CLASSES = st.sampled_from(["Book", "Author"])
_FIELDS = ("price", "title", "tags")
_KEYS = st.sampled_from(
    [1, 2, -3, "1", "b", ObjectId("64f0c0ffee64f0c0ffee64f0"), uuid.UUID(int=7)]
)
_TABLES = st.sampled_from(["log", "mixed"])
_RECORD_KEYS = st.one_of(
    st.integers(0, 6).map(int_key), st.sampled_from([b"", b"a", int_key(3)[:7], int_key(3) + b"x"])
)
_BYTES = st.sampled_from([b"", b"x", b"y" * 300])
_VERSIONS = st.integers(0, 5)
_ROWS = st.integers(0, 8)
_LIMITS = st.none() | st.integers(0, 3)
_PARTS = st.sampled_from([b"", b"p", b"q"])
_VALUES = st.none() | st.sampled_from([0, 1, 1.0, 2.5, True, "a", "b", "A"])
_OBJECTS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "price": _VALUES,
        "title": _VALUES,
        "tags": st.lists(st.sampled_from(["a", "b"]), max_size=2),
    },
)
_QUERIES = st.none() | st.sampled_from(
    [
        "price == 1",
        "price != 1",
        "price > 0 AND title == 'a'",
        "price == nil",
        "NOT price >= 1",
        "title ==[c] 'A' OR price == 2.5",
        "ANY tags == 'a'",
        "NONE tags == 'a'",
        "tags.@count > 0",
        "price IN {0, 2.5} AND NOT title BEGINSWITH 'b'",
    ]
).map(parse)

Pair = tuple[Any, Any]


def _outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except ReplicationError as error:
        return type(error)


class Lockstep(RuleBasedStateMachine):
    """A memory store and an SQLite store that are told the same things."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="lockstep"))
        self.stores: Pair = (MemoryStore(read_head), self._sqlite())
        self.writers: Pair | None = None
        self.savepoints: list[
            tuple[AbstractContextManager[None], AbstractContextManager[None]]
        ] = []
        self.readers: list[Pair] = []
        self.iterators: list[Pair] = []

    def _sqlite(self) -> SQLiteStore:
        return SQLiteStore(self.place / "store.db", read_head, connect=_DISK.connect)

    def teardown(self) -> None:
        while self.savepoints:
            self.end_save(keep=False)
        for writer in self.writers or ():
            writer.__exit__(OopsError, OopsError(), None)
        for pair in self.readers:
            self._end(pair)
        for store in self.stores:
            store.close()
        shutil.rmtree(self.place)

    def _same(self, pair: Pair, call: Callable[[Any], object]) -> object:
        memory, sqlite = (_outcome(lambda each=each: call(each)) for each in pair)
        assert memory == sqlite
        return memory

    def _end(self, pair: Pair, error: BaseException | None = None) -> None:
        for each in pair:
            each.__exit__(None if error is None else type(error), error, None)

    # -- transactions ----------------------------------------------------------------------
    @precondition(lambda self: self.writers is None)
    @rule()
    def begin(self) -> None:
        self.writers = (self.stores[0].write(), self.stores[1].write())
        for writer in self.writers:
            writer.__enter__()

    @precondition(lambda self: self.writers is not None and not self.savepoints)
    @rule(keep=st.sampled_from([True, True, False]))
    def end(self, keep: bool) -> None:
        assert self.writers is not None
        self._end(self.writers, None if keep else OopsError())
        self.writers = None

    @precondition(lambda self: self.writers is not None and len(self.savepoints) < 3)
    @rule()
    def save(self) -> None:
        assert self.writers is not None
        pair = (self.writers[0].savepoint(), self.writers[1].savepoint())
        for each in pair:
            each.__enter__()
        self.savepoints.append(pair)

    @precondition(lambda self: self.savepoints)
    @rule(keep=st.booleans())
    def end_save(self, keep: bool) -> None:
        for each in self.savepoints.pop():
            if keep:
                each.__exit__(None, None, None)
            else:
                error = OopsError()
                assert not each.__exit__(OopsError, error, None)

    @precondition(lambda self: len(self.readers) < 3)
    @rule()
    def begin_read(self) -> None:
        pair = (self.stores[0].read(), self.stores[1].read())
        for each in pair:
            each.__enter__()
        self.readers.append(pair)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def end_read(self, data: st.DataObject) -> None:
        self._end(self.readers.pop(data.draw(st.integers(0, len(self.readers) - 1))))

    @precondition(lambda self: self.writers is None and not self.readers)
    @rule()
    def reopen(self) -> None:
        for store in self.stores:
            store.close()
        self.stores = (self.stores[0].reopen(), self._sqlite())

    # -- writing ---------------------------------------------------------------------------
    def _write(self, call: Callable[[Any], object]) -> None:
        if self.writers is None:
            self.begin()
        assert self.writers is not None
        self._same(self.writers, call)

    @rule(table=_TABLES, key=_RECORD_KEYS, value=_BYTES)
    def put_record(self, table: str, key: bytes, value: bytes) -> None:
        self._write(lambda txn: txn.put_record(table, key, value))

    @rule(table=_TABLES, key=_RECORD_KEYS)
    def delete_record(self, table: str, key: bytes) -> None:
        self._write(lambda txn: txn.delete_record(table, key))

    @rule(table=_TABLES, first=_RECORD_KEYS, last=st.none() | _RECORD_KEYS)
    def delete_records(self, table: str, first: bytes, last: bytes | None) -> None:
        self._write(lambda txn: txn.delete_records(table, first=first, last=last))

    @rule(name=_CLASSES, columns=st.lists(st.sampled_from(_FIELDS), max_size=2))
    def declare(self, name: str, columns: list[str]) -> None:
        self._write(lambda txn: txn.declare(name, columns))

    @rule(name=_CLASSES, key=_KEYS, version=_VERSIONS, fields=_OBJECTS, look=st.booleans())
    def put_object(
        self, name: str, key: Any, version: int, fields: dict[str, Any] | None, look: bool
    ) -> None:
        data = b"dead" if fields is None else head(**fields)
        if look:
            self._write(lambda txn: txn.get_object(name, key))
        self._write(lambda txn: txn.put_object(name, key, version, data, fields))

    @rule(name=_CLASSES, key=_KEYS)
    def delete_object(self, name: str, key: Any) -> None:
        self._write(lambda txn: txn.delete_object(name, key))

    @rule(name=_CLASSES, rows=st.lists(st.tuples(_KEYS, _VERSIONS, _OBJECTS), max_size=4))
    def stage(self, name: str, rows: list[tuple[Any, int, dict[str, Any] | None]]) -> None:
        def call(txn: Any) -> None:
            columns = txn.columns(name)
            txn.stage_objects(
                name,
                [
                    (key, version, b"dead", None)
                    if fields is None
                    else (key, version, head(**fields), [fields.get(each) for each in columns])
                    for key, version, fields in rows
                ],
            )

        self._write(call)

    @rule(name=_CLASSES)
    def adopt_staged(self, name: str) -> None:
        self._write(lambda txn: txn.adopt_staged(name))

    @rule()
    def drop_staged(self) -> None:
        self._write(lambda txn: txn.drop_staged())

    @rule(name=_CLASSES, row=_ROWS, part=_PARTS, version=_VERSIONS, data=_BYTES)
    def put_part(self, name: str, row: int, part: bytes, version: int, data: bytes) -> None:
        self._write(lambda txn: txn.put_part(name, row, part, version, data))

    @rule(name=_CLASSES, row=_ROWS, part=_PARTS)
    def delete_part(self, name: str, row: int, part: bytes) -> None:
        self._write(lambda txn: txn.delete_part(name, row, part))

    # -- reading ---------------------------------------------------------------------------
    def _open_ones(self) -> list[Pair]:
        return [*self.readers, *([] if self.writers is None else [self.writers])]

    @precondition(lambda self: self._open_ones())
    @rule(
        data=st.data(),
        table=_TABLES,
        first=_RECORD_KEYS,
        last=st.none() | _RECORD_KEYS,
        reverse=st.booleans(),
        limit=_LIMITS,
        walk=st.booleans(),
    )
    def read_records(
        self, data: st.DataObject, table: str, first: bytes, walk: bool, **options: Any
    ) -> None:
        pair = data.draw(st.sampled_from(self._open_ones()))
        self._same(pair, lambda txn: list(txn.records(table, first=first, **options)))
        self._same(pair, lambda txn: txn.record(table, first))
        if walk:
            memory, sqlite = (each.records(table, first=first, **options) for each in pair)
            self.iterators.append((memory, sqlite))

    @precondition(lambda self: self._open_ones())
    @rule(
        data=st.data(),
        name=_CLASSES,
        key=_KEYS,
        query=_QUERIES,
        but_not=_QUERIES,
        after_row=_ROWS,
        limit=_LIMITS,
        walk=st.booleans(),
    )
    def read_objects(
        self, data: st.DataObject, name: str, key: Any, query: Any, walk: bool, **options: Any
    ) -> None:
        pair = data.draw(st.sampled_from(self._open_ones()))
        self._same(pair, lambda txn: list(txn.scan(name, query, **options)))
        self._same(pair, lambda txn: txn.count(name, query))
        self._same(pair, lambda txn: txn.get_object(name, key))
        row = options["after_row"]
        self._same(pair, lambda txn: txn.parts(name, row, newer_than=row - 2))
        self._same(pair, lambda txn: txn.part(name, row, b"p"))
        if walk:
            memory, sqlite = (each.scan(name, query, **options) for each in pair)
            self.iterators.append((memory, sqlite))
            memory, sqlite = (each.staged_objects(name) for each in pair)
            self.iterators.append((memory, sqlite))

    @precondition(lambda self: self.iterators)
    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self.iterators))
        if self._same(pair, lambda iterator: next(iterator, StopIteration)) is StopIteration:
            self.iterators.remove(pair)

    @invariant()
    def all_is_the_same(self) -> None:
        for pair in self._open_ones():
            for name in ("Book", "Author"):
                self._same(pair, lambda txn, name=name: list(txn.all_objects(name)))
                self._same(pair, lambda txn, name=name: list(txn.staged_objects(name)))
                self._same(pair, lambda txn, name=name: txn.columns(name))
            self._same(pair, lambda txn: txn.classes())
            self._same(pair, lambda txn: list(txn.records("mixed")))


Lockstep.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLockstep = Lockstep.TestCase


@given(
    st.lists(
        st.tuples(st.sampled_from(["set", "delete", "fork", "range"]), st.integers(0, 600)),
        max_size=400,
    ),
    st.integers(0, 600),
)
def test_sorted_maps_are_dictionaries(steps: list[tuple[str, int]], start: int) -> None:
    """Forks of a map keep what they were when they were made."""
    current: SortedMap[int, str] = SortedMap()
    model: dict[int, str] = {}
    for key in range(start):
        current.set((key * 7 + 300) % 601, "start")
        model[(key * 7 + 300) % 601] = "start"
    kept = []
    for number, (step, key) in enumerate(steps):
        if step == "set":
            current.set(key, str(number))
            model[key] = str(number)
        elif step == "delete":
            current.delete(key)
            model.pop(key, None)
        elif step == "range":
            current.delete_range(key, key + 20)
            model = {k: v for k, v in model.items() if not key <= k <= key + 20}
        else:
            kept.append((current, dict(model)))
            current = current.fork()
        assert current.get(key) == model.get(key)
    for tree, content in [*kept, (current, model)]:
        assert list(tree.items()) == sorted(content.items())
        assert list(tree.items(reverse=True)) == sorted(content.items(), reverse=True)
        for first, last in ((0, 600), (100, 300), (300, 100), (599, 700), (-5, 99)):
            inside = [(k, content[k]) for k in sorted(content) if first <= k <= last]
            assert list(tree.items(first, last)) == inside
            assert list(tree.items(first, last, reverse=True)) == inside[::-1]
