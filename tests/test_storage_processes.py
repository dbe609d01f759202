"""SQLite stores shared by processes, some of which are killed, and files that are no store."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from faults import check_file

from replication.errors import StoreBusyError, StoreCorruptError, StoreError
from replication.query import parse
from replication.storage import sqlite
from replication.storage.checks import change, everything, fill
from replication.storage.conformance import read_head
from replication.storage.contract import Store, int_from_key, int_key
from replication.storage.sqlite import SQLiteStore


def _state(store: Store) -> list[object]:
    with store.read() as txn:
        return everything(txn)


# -- processes -------------------------------------------------------------------------------
_CHILD = """
import sys
from replication.storage.conformance import head, read_head
from replication.storage.contract import int_from_key, int_key
from replication.storage.sqlite import SQLiteStore

store = SQLiteStore(sys.argv[1], read_head)
with store.write() as txn:
    txn.declare("Book", ["number"])
    number = int_from_key(txn.record("last", b"") or int_key(0))
print("open", flush=True)
while True:
    number += 1
    with store.write() as txn:
        txn.put_record("last", b"", int_key(number))
        for copy in range(5):
            fields = {"number": number}
            txn.put_object("Book", copy, number, head(**fields), fields)
            txn.put_record("log", int_key(number * 10 + copy), b"x" * (number * 37 % 3000))
        txn.delete_records("log", last=int_key(max(number * 10 - 100, 0)))
    print(number, flush=True)
    if sys.argv[2:] == ["idle"]:
        sys.stdin.read()
"""


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for child in started:
        child.kill()
        child.communicate()


def _start(children: list[subprocess.Popen[str]], path: Path, *mode: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path), *mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    children.append(child)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


def _check_numbers(path: Path) -> int:
    """The number of the last transaction, which must be there whole and alone."""
    with closing(SQLiteStore(path, read_head)) as store, store.read() as txn:
        number = int_from_key(txn.record("last", b"") or int_key(0))
        assert [stored.version for stored in txn.scan("Book")] == [number] * 5 * (number > 0)
        assert txn.count("Book", parse("number == $0", number)) == 5 * (number > 0)
        log = [int_from_key(key) for key, _value in txn.records("log")]
        expected = [n * 10 + copy for n in range(1, number + 1) for copy in range(5)]
        assert log == [entry for entry in expected if entry > max(number * 10 - 100, 0)]
    check_file(path)
    return number


def test_a_killed_process_loses_nothing_that_it_said(
    tmp_path: Path, children: list[subprocess.Popen[str]]
) -> None:
    seed = random.randrange(2**32)
    print(f"random.Random({seed})")
    rng = random.Random(seed)
    path = tmp_path / "store.db"
    said = 0
    for _ in range(8):
        child = _start(children, path)
        assert child.stdout is not None
        for _ in range(rng.randrange(60)):
            said = int(child.stdout.readline())
        # Somewhere in the middle of a transaction or of its commit.
        for _ in range(rng.randrange(20_000)):
            pass
        child.send_signal(signal.SIGKILL)
        # What readline() has read ahead is lost on communicate(), which goes past its buffer.
        rest = child.stdout.read().split("\n")[:-1]
        child.wait()
        said = max(said, *map(int, rest), 0)
        assert child.returncode == -signal.SIGKILL
        assert said <= _check_numbers(path) <= said + 1
        said = _check_numbers(path)


def test_one_process_writes(tmp_path: Path, children: list[subprocess.Popen[str]]) -> None:
    path = tmp_path / "store.db"
    child = _start(children, path, "idle")
    assert child.stdout is not None
    assert child.stdout.readline() == "1\n"
    with pytest.raises(StoreBusyError, match=f"process {child.pid}; close it there") as caught:
        SQLiteStore(path, read_head)
    assert str(path) in str(caught.value)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with pytest.raises(StoreBusyError):
        SQLiteStore(link, read_head)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert _check_numbers(path) == 1


def test_one_store_in_a_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(SQLiteStore(path, read_head)) as store:
        with pytest.raises(StoreBusyError):
            SQLiteStore(path, read_head)
        with store.write() as txn:
            txn.put_record("r", b"k", b"v")
    SQLiteStore(path, read_head).close()


def test_others_read_what_one_process_writes(
    tmp_path: Path, children: list[subprocess.Popen[str]]
) -> None:
    path = tmp_path / "store.db"
    child = _start(children, path)
    assert child.stdout is not None
    with closing(SQLiteStore(path, read_head, read_only=True)) as store:
        with pytest.raises(StoreBusyError, match="read-only"):
            store.write()
        for _ in range(20):
            said = int(child.stdout.readline())
            with store.read() as txn:
                seen = txn.record("last", b"")
                assert seen is not None
                number = int_from_key(seen)
                assert number >= said
                child.stdout.readline()  # it goes on, and this snapshot stays
                assert [stored.version for stored in txn.scan("Book")] == [number] * 5
                assert txn.record("last", b"") == seen
    child.send_signal(signal.SIGKILL)
    child.communicate()
    # What the dead process left is read without its lock, and without being mended.
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if "shm" not in file.name}
    with closing(SQLiteStore(path, read_head, read_only=True)) as store, store.read() as txn:
        assert txn.count("Book") == 5
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir() if "shm" not in file.name}
    assert after == before
    _check_numbers(path)


def test_reading_only_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        SQLiteStore(tmp_path / "none.db", read_head, read_only=True)
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / "store.db"
    with closing(SQLiteStore(path, read_head)) as store, store.write() as txn:
        fill(txn)
    content = path.read_bytes()
    with closing(SQLiteStore(path, read_head, read_only=True)) as store, store.read() as txn:
        assert txn.count("Book") == 2
    assert path.read_bytes() == content


def test_a_store_grows_under_readers_of_another_process(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with (
        closing(SQLiteStore(path, read_head)) as store,
        closing(SQLiteStore(path, read_head, read_only=True)) as other,
    ):
        assert _state(other) == [[], []]
        with store.write() as txn:
            fill(txn)
        with other.read() as early:
            with store.write() as txn:
                change(txn)
            assert everything(early) != _state(other) == _state(store)


# -- files that are no store -----------------------------------------------------------------
def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE birds (name)")
    connection.close()
    content = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreError, match="database of something else"):
            SQLiteStore(path, read_head, read_only=read_only)
    assert path.read_bytes() == content
    text = tmp_path / "text.db"
    text.write_text("not a database, but long enough to look at\n" * 100)
    for read_only in (False, True):
        with pytest.raises(StoreCorruptError, match=r"text\.db"):
            SQLiteStore(text, read_head, read_only=read_only)
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(StoreError, match="there is no store to read"):
        SQLiteStore(empty, read_head, read_only=True)
    SQLiteStore(empty, read_head).close()
    with pytest.raises(StoreError, match="lock file"):
        SQLiteStore(tmp_path / "no" / "directory.db", read_head)


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SQLiteStore(path, read_head).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 77")
    connection.close()
    with pytest.raises(StoreError, match="has the format 77, and this release only knows 1"):
        SQLiteStore(path, read_head)


def test_a_program_that_is_no_store_is_waited_for_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_MS", 10)
    path = tmp_path / "store.db"
    with closing(SQLiteStore(path, read_head)) as store:
        connection = apsw.Connection(str(path))
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="locked by a program that is no store"):
            store.write().__enter__()
        connection.execute("ROLLBACK")
        with store.write() as txn:
            txn.put_record("r", b"k", b"v")
        connection.close()
