"""Checks of records: order, ranges, keys of every kind."""

from __future__ import annotations

import itertools
from typing import Final

from replication.storage.checks import Checks, OopsError, pairs, raises
from replication.storage.contract import Store, int_key

check: Final = Checks()


#: Around everything that can matter about a key: none, `int_key`'s length and range, and longer.
_EDGES: Final = sorted(
    {
        b"",
        b"\0",
        b"\0" * 7,
        b"\0" * 9,
        b"a",
        b"\x7f" + b"\xff" * 6,
        b"\x7f" + b"\xff" * 8,
        b"\x80",
        b"\x80" + b"\0" * 7,
        b"\xff" * 7,
        b"\xff" * 8,
        b"\xff" * 9,
        int_key(1) + b"\0",
        int_key(256)[:7],
        *map(int_key, (0, 1, 2, 255, 256, 2**62, 2**63 - 1)),
    }
)


@check
def records_are_ordered(store: Store) -> None:
    """Records have any bytes as keys, and are read in the order of their keys."""
    with store.write() as txn:
        for number, key in enumerate(_EDGES[::2] + _EDGES[1::2]):
            txn.put_record("r", key, b"value %d" % number)
        assert [key for key, _ in txn.records("r")] == _EDGES
        every = pairs(txn, "r")
        assert all(txn.record("r", key) == value for key, value in every)
        assert pairs(txn, "r", reverse=True) == every[::-1]
        for limit in (0, 1, 5, 100):
            assert pairs(txn, "r", limit=limit) == every[:limit]
            assert pairs(txn, "r", limit=limit, reverse=True) == every[::-1][:limit]


@check
def ranges_are_inclusive(store: Store) -> None:
    """records(first, last) and delete_records(first, last) are inclusive."""
    bounds = [*_EDGES, int_key(7), int_key(7)[:3], int_key(2**61) + b"x", b"zz"]
    with store.write() as txn:
        for key in _EDGES:
            txn.put_record("r", key, key)
        for first, last in itertools.product(bounds, [*bounds, None]):
            inside = [key for key in _EDGES if key >= first and (last is None or key <= last)]
            found = [key for key, _ in txn.records("r", first=first, last=last)]
            assert found == inside, (first, last)
            back = [key for key, _ in txn.records("r", first=first, last=last, reverse=True)]
            assert back == inside[::-1], (first, last)
            with raises(OopsError), txn.savepoint():
                txn.delete_records("r", first=first, last=last)
                left = [key for key in _EDGES if key not in inside]
                assert [key for key, _ in txn.records("r")] == left, (first, last)
                raise OopsError


@check
def records_are_replaced_and_deleted(store: Store) -> None:
    """put_record inserts or replaces, delete_record deletes if present."""
    for key in (b"", b"key", int_key(5), b"\xff" * 8):
        with store.write() as txn:
            assert txn.record("r", key) is None
            txn.put_record("r", key, b"")
            assert txn.record("r", key) == b""
            txn.put_record("r", key, b"\0" * 100_000)
            assert txn.record("r", key) == b"\0" * 100_000
        with store.write() as txn:
            txn.delete_record("r", key)
            txn.delete_record("r", key)
            assert txn.record("r", key) is None
        with store.read() as reader:
            assert pairs(reader, "r") == []


@check
def record_tables_are_apart(store: Store) -> None:
    """Tables of records are apart, whatever their names; an unknown one is empty."""
    names = ["r", "R", "", 'a"b', "a'b", "a\0b", "a\0c", "é", "e\u0301", "sqlite_x", "Ω" * 40]
    with store.write() as txn:
        for name in names:
            assert pairs(txn, name) == []
            txn.delete_record(name, b"")
            txn.delete_records(name)
            txn.put_record(name, b"k", name.encode())
    with store.read() as reader:
        for name in names:
            assert pairs(reader, name) == [(b"k", name.encode())]
        assert reader.record("none", b"k") is None
