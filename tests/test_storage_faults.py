"""SQLite stores on disks that fail: at every operation, once and for ever."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from faults import FaultyDisk, check_file

from replication.errors import StoreCorruptError, StoreError, StoreFullError
from replication.storage import sqlite
from replication.storage.checks import OopsError, change, everything, fill, put, raises
from replication.storage.conformance import read_head
from replication.storage.contract import Store, Writer, int_key
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore

Work = Callable[[Writer], None]


def _large(txn: Writer) -> None:
    # More than the page cache of these tests holds: written to the log before the commit.
    txn.declare("Book", ["price"])
    for key in range(100, 107):
        row = put(txn, "Book", key, price=key)
        txn.put_part("Book", row, b"p", 1, bytes([key]) * 9000)


def _nested(txn: Writer) -> None:
    with txn.savepoint():
        txn.put_record("s", b"kept", b"x" * 3000)
    with raises(OopsError), txn.savepoint():
        txn.delete_records("r")
        raise OopsError


def _again(txn: Writer) -> None:
    fill(txn)
    change(txn)


def _last(txn: Writer) -> None:
    txn.put_record("r", int_key(9), b"last")


#: Whichever of these is undone, the others can be done all the same.
_WORKLOAD: tuple[Work, ...] = (fill, _large, _nested, _again, _last)


def _state(store: Store) -> list[object]:
    with store.read() as txn:
        return everything(txn)


def _open(disk: FaultyDisk, path: Path) -> SQLiteStore:
    return SQLiteStore(path, read_head, connect=disk.connect, cache_bytes=48 * 1024)


def _run(
    disk: FaultyDisk, path: Path, error: type[StoreError], *, forever: bool = False
) -> tuple[SQLiteStore, list[Work]]:
    """Do the workload; the store, and what failed."""
    failures: list[StoreError] = []
    failed: list[Work] = []
    model = MemoryStore(read_head)
    try:
        store = _open(disk, path)
    except StoreError as failure:
        failures.append(failure)
        if forever:
            disk.heal()
        store = _open(disk, path)
    for work in _WORKLOAD:
        try:
            with store.write() as txn:
                work(txn)
        except StoreError as failure:
            failures.append(failure)
            failed.append(work)
        else:
            with model.write() as txn:
                work(txn)
        if not disk.reads:
            assert _state(store) == _state(model)
    assert {type(failure) for failure in failures} <= {error}
    assert all(str(path) in str(failure) for failure in failures)
    return store, failed


def _model(*, without: list[Work]) -> MemoryStore:
    model = MemoryStore(read_head)
    for work in _WORKLOAD:
        if work not in without:
            with model.write() as txn:
                work(txn)
    return model


def _copy(path: Path, to: Path) -> Path:
    """What a process that dies now leaves behind."""
    to.mkdir()
    for suffix in ("", "-wal"):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", to / f"store.db{suffix}")
    return to / "store.db"


_DISK = FaultyDisk()


def _operations(path: Path, *, reads: bool = False) -> int:
    _DISK.fail(None, apsw.IOError, reads=reads)
    store, failed = _run(_DISK, path / "count.db", StoreError)
    assert not failed
    operations = len(_DISK.done)
    store.close()
    return operations


@pytest.mark.parametrize(
    ("injected", "expected", "forever", "reads", "step"),
    [
        (apsw.FullError, StoreFullError, False, False, 1),
        (apsw.IOError, StoreError, True, False, 3),
        (apsw.FullError, StoreFullError, True, False, 7),
        (apsw.IOError, StoreError, False, True, 5),
    ],
    ids=["full-once", "error-forever", "full-forever", "error-once"],
)
def test_every_operation_fails(
    injected: type[apsw.Error],
    expected: type[StoreError],
    forever: bool,
    reads: bool,
    step: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite, "_CHECKPOINT_PAGES", 20)  # so that some fail, too
    operations = _operations(tmp_path, reads=reads)
    assert operations > 100
    hit: set[Work] = set()
    for number in range(0, operations, step):
        place = tmp_path / str(number)
        place.mkdir()
        path = place / "store.db"
        _DISK.fail(number, injected, forever=forever, reads=reads)
        store, failed = _run(_DISK, path, expected, forever=forever)
        hit.update(failed)
        if not forever:
            assert len(failed) <= 1
        # A process that dies here: what was committed is there; of what failed, all or nothing.
        copy = _copy(path, place / "crashed")
        _DISK.heal()
        crashed = _open(_DISK, copy)
        left = _state(crashed)
        crashed.close()
        ghosts = [[work for work in failed if work is not ghost] for ghost in failed]
        possible = [failed, *ghosts] if forever else [failed]
        assert left in [_state(_model(without=without)) for without in possible]
        # The disk is well again: the store in use, and the one opened next, know nothing of it.
        with store.write() as txn:
            for work in failed:
                work(txn)
        after = _state(store)
        store.close()
        store = _open(_DISK, path)
        assert _state(store) == after
        store.close()
        check_file(path)
        shutil.rmtree(place)
    assert hit == set(_WORKLOAD)


def test_every_operation_of_a_close_fails(tmp_path: Path) -> None:
    _DISK.heal()
    store, _failed = _run(_DISK, tmp_path / "count.db", StoreError)
    _DISK.heal()
    store.close()
    operations = len(_DISK.done)
    assert operations > 10
    for number in range(operations):
        path = tmp_path / f"{number}.db"
        _DISK.heal()
        store, _failed = _run(_DISK, path, StoreError)
        _DISK.fail(number, apsw.IOError, forever=True)
        store.close()
        assert _DISK.failed
        _DISK.heal()
        store = _open(_DISK, path)
        assert _state(store) == _state(_model(without=[]))
        store.close()
        check_file(path)


def test_nothing_runs_outside_of_an_undone_transaction(tmp_path: Path) -> None:
    """SQLite undoes the transaction when its log can't be written; the caller looks away."""
    store = _open(_DISK, tmp_path / "store.db")
    with store.write() as txn:
        fill(txn)
    before = _state(store)
    _DISK.fail(0, apsw.FullError, forever=True)
    errors: list[StoreError] = []
    try:
        with store.write() as txn:
            for number in range(1000):
                try:
                    with txn.savepoint():
                        txn.put_record("r", int_key(number), b"x" * 5000)
                except StoreError as error:
                    errors.append(error)
                    _DISK.heal()
    except StoreError as error:
        errors.append(error)
    assert len(errors) > 500
    assert {type(error) for error in errors} == {StoreFullError}
    assert "this transaction was undone" in str(errors[1])
    assert "nothing of this transaction was kept" in str(errors[-1])
    assert _state(store) == before
    with store.write() as txn:
        change(txn)
    assert _state(store) != before
    store.close()


def test_a_reader_meets_a_bad_page(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SQLiteStore(path, read_head)
    with store.write() as txn:
        _large(txn)
    store.close()
    data = path.read_bytes()
    errors: list[str] = []
    for number in range(1, len(data) // 4096):
        damaged = bytearray(data)
        damaged[number * 4096 : number * 4096 + 4096] = b"\x0c" * 4096
        path.write_bytes(damaged)
        try:
            with closing(SQLiteStore(path, read_head)) as store, store.read() as reader:
                everything(reader)
        except StoreCorruptError as error:
            errors.append(str(error))
    assert len(errors) > 10
    assert all(str(path) in error for error in errors)
