"""What only the SQLite store promises: plans, places, and a file that stays in shape."""

from __future__ import annotations

import errno
import itertools
import uuid
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest
from bson.objectid import ObjectId
from faults import FaultyDisk
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import StoreBusyError, StoreError, StoreFullError, WrongTypeError
from replication.query import parse
from replication.query.sql import compile_sql
from replication.storage import sqlite, sqlite_writer
from replication.storage.checks import OopsError, put, raises
from replication.storage.conformance import read_head
from replication.storage.contract import int_key
from replication.storage.keys import key_of, plain_key
from replication.storage.sqlite import SQLiteStore, open_connection
from replication.storage.sqlite_catalog import ClassTable
from replication.storage.sqlite_errors import store_error
from replication.storage.sqlite_reader import int_bounds, is_int_key


def _shelf(path: Path, rows: int = 1000) -> None:
    with closing(SQLiteStore(path, read_head)) as store, store.write() as txn:
        txn.declare("Book", ["price", "title"])
        for key in range(rows):
            put(txn, "Book", key, price=key % 50, title=f"title {key}")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("price == 7", "q1"),
        ("price == 7 AND title CONTAINS 'x'", "q1"),
        ("price IN {7, 8}", "q1"),
        ("price > 40 AND title == 'title 7'", "q2"),
        ("price == 7 OR title == 'title 7'", "q2"),
        ("title BEGINSWITH 'title 77'", "q2"),
        ("title CONTAINS 'x'", None),
    ],
)
def test_scans_use_indexes(query: str, index: str | None, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    _shelf(path)
    table = ClassTable(1, {"price": "q1", "title": "q2"})
    compiled = compile_sql(parse(query).check({"price": "int?", "title": "string?"}), table.columns)
    assert compiled is not None
    connection = open_connection(str(path), apsw.SQLITE_OPEN_READONLY)
    for name, (function, arguments) in sqlite.FUNCTIONS.items():
        connection.create_scalar_function(name, function, arguments, deterministic=True)
    for but_not, after_row in itertools.product(([], ["(q2 = 'x') IS NOT TRUE"]), (0, 500)):
        sql = table.select([f"({compiled[0]})", *but_not])
        bindings = [after_row, *compiled[1], 10]
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
        searched = [step for step in plan if "USING INDEX o1" in step]
        assert any(f"o1{index}" in step for step in searched) == (index is not None), plan
        if query == "price == 7":
            assert len(plan) == 1, "rows come out of an equality in their order, without a sort"
    connection.close()


def test_what_does_not_change_is_not_written(tmp_path: Path) -> None:
    """An update that leaves the indexed values alone touches one page, not one an index."""
    disk = FaultyDisk()
    path = tmp_path / "store.db"
    _shelf(path, 20_000)
    with closing(SQLiteStore(path, read_head, connect=disk.connect)) as store:
        pages: list[int] = []
        for fields in (
            {"price": 7, "title": "title 7"},
            {"price": 7, "title": "other"},
            {"price": 8, "title": "more"},
        ):
            with store.write() as txn:
                assert txn.get_object("Book", 7) is not None
                disk.heal()
                put(txn, "Book", 7, 2, **fields)
            pages.append(sum(step == "write store.db-wal" for step in disk.done) // 2)
        assert pages[0] == 1
        assert pages[0] < pages[1] < pages[2]


def test_a_commit_is_synced(tmp_path: Path) -> None:
    disk = FaultyDisk()
    with closing(SQLiteStore(tmp_path / "store.db", read_head, connect=disk.connect)) as store:
        for number in range(3):
            disk.heal()
            with store.write() as txn:
                txn.put_record("r", int_key(number), b"x")
                written = len(disk.done)
            assert "write store.db-wal" in disk.done[written:]
            assert disk.done[-1] == "sync store.db-wal"


def test_the_log_is_copied_and_stays_small(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sqlite, "_CHECKPOINT_PAGES", 100)
    path = tmp_path / "store.db"
    with closing(SQLiteStore(path, read_head)) as store:
        for number in range(300):
            with store.write() as txn:
                txn.put_record("r", int_key(number), b"x" * 4000)
        log = Path(f"{path}-wal").stat().st_size
        assert log < 200 * 4200
        assert path.stat().st_size > 200 * 4096
    assert not Path(f"{path}-wal").exists()


def test_a_transaction_may_know_more_rows_than_it_remembers(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sqlite_writer, "_KNOWN_MAX", 3)
    path = tmp_path / "store.db"
    _shelf(path, 20)
    with closing(SQLiteStore(path, read_head)) as store, store.write() as txn:
        rows = [txn.get_object("Book", key) for key in range(20)]
        for key in range(20):
            found = rows[key]
            assert found is not None
            assert put(txn, "Book", key, 2, price=-key) == found.row
        assert txn.count("Book", parse("price <= 0")) == 20


def test_iterators_that_nobody_finishes_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    _shelf(path)
    with closing(SQLiteStore(path, read_head)) as store:
        with store.write() as txn:
            for _ in range(100):
                assert next(txn.scan("Book")).key == 0
            assert len(txn._walks) == 0
            left = txn.scan("Book")
            put(txn, "Book", 0, price=1)
            assert len(txn._walks) == 0
            del left
        with store.read() as reader:
            kept = reader.scan("Book")
            next(kept)
        # The connection is free again: nothing holds its snapshot.
        assert not store._idle[0].connection.in_transaction
        assert store._idle[0].connection.txn_state() == apsw.SQLITE_TXN_NONE


def test_connections_of_readers_are_used_again(tmp_path: Path) -> None:
    made: list[int] = []

    def connect(path: str, flags: int) -> apsw.Connection:
        made.append(flags)
        return open_connection(path, flags)

    with closing(SQLiteStore(tmp_path / "s.db", read_head, connect=connect)) as store:
        readers = [store.read() for _ in range(6)]
        for _ in range(3):
            for reader in readers:
                reader.__enter__()
            for reader in readers:
                reader.__exit__(None, None, None)
        # Six at once the first time; then four are kept and two made anew.
        assert len(made) == 1 + 6 + 2 + 2
        assert made.count(apsw.SQLITE_OPEN_READONLY) == 10


def test_a_file_system_without_shared_memory_is_refused(tmp_path: Path) -> None:
    connect = partial(open_connection, vfs="memdb")
    with pytest.raises(StoreError, match="can't hold a write-ahead log"):
        SQLiteStore(tmp_path / "store.db", read_head, connect=connect)


def test_a_full_disk_is_known_by_the_system_s_word_for_it() -> None:
    connection: Any = SimpleNamespace(system_errno=errno.ENOSPC)
    assert type(store_error("p", apsw.IOError("x"), connection)) is StoreFullError
    connection.system_errno = errno.EIO
    assert type(store_error("p", apsw.IOError("x"), connection)) is StoreError
    assert type(store_error("p", apsw.BusyError("x"), None)) is StoreBusyError


def test_paths_may_be_links_and_path_objects(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    _shelf(path, 3)
    link = tmp_path / "link"
    link.symlink_to(path)
    with closing(SQLiteStore(str(link), read_head)) as store, store.read() as reader:
        assert store.path == str(path.resolve())
        assert reader.count("Book") == 3
    assert not (tmp_path / "link.lock").exists()


def test_rows_are_dense_whatever_was_undone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    _shelf(path, 3)
    with closing(SQLiteStore(path, read_head)) as store:
        with raises(OopsError), store.write() as txn:
            assert put(txn, "Book", "a") == 4
            raise OopsError
        with store.write() as txn:
            with raises(OopsError), txn.savepoint():
                assert put(txn, "Book", "a") == 4
                raise OopsError
            assert put(txn, "Book", "b") == 4
            txn.delete_object("Book", "b")
            assert put(txn, "Book", "b") == 5


# -- keys ------------------------------------------------------------------------------------
@given(
    st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.binary(min_size=12, max_size=12).map(ObjectId)
    | st.uuids()
)
def test_plain_keys_lead_back(key: Any) -> None:
    assert key_of(plain_key(key)) == key
    assert type(key_of(plain_key(key))) is type(key)


@pytest.mark.parametrize("key", [True, 1.0, None, b"x" * 12, (1,)])
def test_other_values_are_no_keys(key: Any, tmp_path: Path) -> None:
    with pytest.raises(WrongTypeError, match="is no primary key"):
        plain_key(key)
    with closing(SQLiteStore(tmp_path / "store.db", read_head)) as store, store.write() as txn:
        txn.declare("Book")
        with pytest.raises(WrongTypeError):
            txn.get_object("Book", key)


_EIGHT = st.binary(min_size=8, max_size=8)
_BOUND = st.binary(max_size=10) | _EIGHT | st.integers(0, 2**63 - 1).map(int_key)


@given(_EIGHT, _BOUND, st.none() | _BOUND)
def test_ranges_of_keys_are_ranges_of_numbers(key: bytes, first: bytes, last: bytes | None) -> None:
    low, high = int_bounds(first, last)
    inside = key >= first and (last is None or key <= last)
    if is_int_key(key):
        assert (low <= int.from_bytes(key, "big") <= high) == inside
    assert low < 2**63
    assert high < 2**63


def test_uuid_and_object_id_keys_of_equal_bytes_are_apart(tmp_path: Path) -> None:
    with closing(SQLiteStore(tmp_path / "store.db", read_head)) as store, store.write() as txn:
        txn.declare("Book")
        put(txn, "Book", uuid.UUID(int=0))
        assert txn.get_object("Book", ObjectId(b"\0" * 12)) is None
        assert txn.get_object("Book", str(uuid.UUID(int=0))) is None
