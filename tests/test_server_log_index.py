"""The index of the log: who was away reads what concerns them, all of it, and little else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from hypothesis import given, settings
from hypothesis import strategies as st
from query_strategies import HARD_VALUES, queries, wild_documents
from replicas import Edit
from server_devices import Device, World
from test_server_fanout import QUERIES, scribble, setting

from replication.crdt.view import query_values
from replication.model.values import Float32
from replication.query.compare import equal
from replication.server import log_index, tables
from replication.server.log_index import Indexing, LogIndex, Wanted, _terms
from replication.server.view import View
from replication.storage.contract import Store
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_index, "CHUNK", 4)


@pytest.mark.parametrize("seed", range(40))
def test_who_was_away_gets_everything(seed: int) -> None:
    r = Random(seed)
    world = World(entries_max=r.choice([1, 3]), bytes_target=r.choice([1, 10**6]))
    writer, *away = [Device(world) for _ in range(4)]
    writer.subscribe(Book="TRUEPREDICATE")
    for device in away:
        device.subscribe(Book=r.choice(QUERIES), Paper=r.choice(["r == 2", "FALSEPREDICATE"]))
        device.run()
    for _ in range(3):
        for device in away:
            device.cut()
        for _ in range(r.randrange(5, 30)):
            name = (r.choice(["Book", "Book", "Paper"]), r.randrange(4))
            writer.write(scribble(r), name)
            if r.random() < 0.2:
                writer.run()
            if r.random() < 0.1:
                away[0].write(scribble(r), name)
                away[0].connect()
                away[0].cut()
            if r.random() < 0.03:
                world.start()
                writer.connect()
        writer.run()
        for device in away:
            if r.random() < 0.3:
                device.subscribe(Book=r.choice(QUERIES))
            device.connect()
            device.run()
            device.check()
    with world.store.read() as reader:
        assert list(reader.records(tables.POSTINGS)), "there was an index"


def test_what_concerns_nobody_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What comes back reads what concerns it, whatever else there is."""
    store = SQLiteStore(tmp_path / "server.db", query_values)
    world = World(store, entries_max=5)
    writer, reader = Device(world), Device(world)
    writer.subscribe(Book="TRUEPREDICATE")
    reader.subscribe(Book="r == 7 AND n > 0")
    for device in (writer, reader):
        device.run()

    def put(key: int, r: int) -> None:
        def act(edit: Edit) -> None:
            if not edit.view[0] % 2:
                edit.create()
            edit.scope().set("r", r)
            edit.scope().set("n", 1)

        writer.write(act, ("Book", key))

    put(1, 7)
    for device in (writer, reader):
        device.run()
    reader.cut()
    for number in range(200):
        put(2 + number % 50, 8)
        if number % 40 == 5:
            put(1, 7)
    put(1, 9)
    put(60, 7)
    writer.run()
    read: list[int] = []
    entries_at = tables.entries_at

    def counted(reader: Any, versions: list[int]) -> Iterator[Any]:
        read.extend(versions)
        return entries_at(reader, versions)

    monkeypatch.setattr(tables, "entries_at", counted)
    reader.connect()
    reader.run()
    reader.check()
    # Seven that concern it, and the last chunk, which is not full.
    assert 7 <= len(set(read)) <= 7 + log_index.CHUNK
    store.close()


def test_what_leaves_the_new_view_while_it_is_staged_is_evicted() -> None:
    world = World(bytes_target=1)
    writer, reader = Device(world), Device(world)
    writer.subscribe(Book="TRUEPREDICATE")
    reader.subscribe(Book="r == 1")
    for key in range(6):
        writer.write(setting("r", 2), ("Book", key))
    for device in (writer, reader):
        device.run()
    reader.subscribe(Book="r == 2")
    reader.talk()
    while len(reader.staged) < 3:
        reader.step()
    for key in range(6):
        writer.write(setting("r", 3), ("Book", key))
    writer.run()
    reader.run()
    reader.check()
    assert not reader.holds()


def indexed(store: Store, images: list[tuple[Any, Any]], *, first: int = 1) -> LogIndex:
    """The index of a log with an entry for each pair of images of a Book."""
    index = LogIndex()
    with store.write() as writer:
        for version, (before, after) in enumerate(images, start=first):
            item = Indexing("Book", version, before, after)
            index.add(writer, version, 5, [item], general=False)
    return index


@given(
    st.lists(st.tuples(st.none() | wild_documents, st.none() | wild_documents), max_size=9),
    queries,
    st.integers(1, 9),
)
@settings(max_examples=150)
def test_every_entry_that_matters_is_found(
    images: list[tuple[Any, Any]], text: str, first: int
) -> None:
    log_index.CHUNK = 4
    store = MemoryStore(query_values)
    indexed(store, images)
    view = View({"Book": text}, None)
    query = view.queries["Book"]
    if not query.is_local:
        return
    expected = {
        version
        for version, pair in enumerate(images, start=1)
        if version >= first and any(each is not None and query.matches(each.get) for each in pair)
    }
    with store.read() as reader:
        found: list[int] = []
        version = first
        while version <= len(images):
            some, covered = Wanted(99, view).versions(reader, version, len(images), most=2)
            assert some == sorted(set(some))
            assert all(version <= each <= covered for each in some)
            assert covered >= version
            found += some
            version = covered + 1
    assert expected <= set(found)


NUMBERS = [0, -0.0, 1, 1.0, Float32(1.0), Decimal128("1"), Decimal128("1.00"), 0.5, math.nan]
NUMBERS += [Decimal128("0.5"), Decimal128("NaN"), 2**53 + 1, 2.0**53, True]


def test_values_that_are_equal_have_equal_terms() -> None:
    for left in [*HARD_VALUES, *NUMBERS]:
        for right in [*HARD_VALUES, *NUMBERS]:
            if equal(left, right):
                assert list(_terms("Book", "x", left)) == list(_terms("Book", "x", right))
    assert list(_terms("Book", "x", True)) != list(_terms("Book", "x", 1))
    assert list(_terms("Book", "x", 1)) != list(_terms("Book", "y", 1))


def places(store: Store, view: View, last: int) -> list[int]:
    with store.read() as reader:
        return Wanted(99, view).versions(reader, 1, last, most=100)[0]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (lambda index, writer: None, [3]),
        (lambda index, writer: index.__init__(), [1, 2, 3, 4]),  # another process
        (lambda index, writer: setattr(index, "_last", 1), [1, 2, 3, 4]),  # entries by others
    ],
)
def test_a_chunk_that_was_not_seen_whole_is_read(
    changed: Callable[..., None], expected: list[int]
) -> None:
    store = MemoryStore(query_values)
    index = LogIndex()
    with store.write() as writer:
        for version in range(1, 5):
            if version == 3:
                changed(index, writer)
            item = Indexing("Book", version, None, {"r": version})
            index.add(writer, version, 5, [item], general=False)
    assert places(store, View({"Book": "r == 3"}, None), 4) == expected


def test_what_was_rolled_back_is_not_found() -> None:
    store = MemoryStore(query_values)
    index = LogIndex()
    with store.write() as writer:
        for version, r in [(1, 1), (2, 2), (3, 3), (2, 5), (3, 3), (4, 4)]:
            item = Indexing("Book", version, None, {"r": r})
            index.add(writer, version, 5, [item], general=False)
    assert not index._found
    for r, expected in [(1, [1]), (2, []), (5, [2]), (3, [3]), (4, [4]), (6, [])]:
        assert places(store, View({"Book": f"r == {r}"}, None), 4) == expected


def test_a_field_that_became_queryable_meanwhile_is_not_looked_up() -> None:
    store = MemoryStore(query_values)
    rows = [{"n": 1}, {"n": 2}, {"n": 1, "r": 7}, {"n": 1, "r": 8}]
    indexed(store, [(None, row) for row in rows])
    assert places(store, View({"Book": "r == 7"}, None), 4) == [1, 2, 3, 4]
    assert places(store, View({"Book": "r == 7 AND n == 2"}, None), 4) == [2]
    assert places(store, View({"Book": "_id == 4"}, None), 4) == [4]
    assert places(store, View({"Paper": "_id == 4"}, None), 4) == []
    view = View({"Book": "author.name == 'a'"}, None)  # who knows what changes that
    assert places(store, view, 4) == [1, 2, 3, 4]


def test_what_concerns_everybody_and_own_writes_are_found() -> None:
    store = MemoryStore(query_values)
    index = LogIndex()
    with store.write() as writer:
        for version in range(1, 5):
            origin = 99 if version == 2 else 5
            index.add(writer, version, origin, [], general=version == 3)
    assert places(store, View({"Book": "r == 7"}, None), 4) == [2, 3]
