"""Checks of objects: keys, rows, names, columns, parts."""

from __future__ import annotations

import itertools
import uuid
from typing import Final

from bson.objectid import ObjectId

from replication.errors import UsageError
from replication.model.values import Key
from replication.query import parse
from replication.storage.checks import Checks, Reopen, keys, put, raises
from replication.storage.contract import Reader, Store, StoredObject, StoredPart

check: Final = Checks()


_ID: Final = ObjectId("64f0c0ffee64f0c0ffee64f0")
_UUID: Final = uuid.UUID("12345678-1234-5678-1234-567812345678")
_KEYS: Final[tuple[Key, ...]] = (
    *(0, 1, -1, 2**63 - 1, -(2**63)),
    *(
        "",
        "1",
        "a",
        "A",
        "a\0b",
        "a\0",
        "é",
        "e\u0301",
        "x" * 5000,
        str(_ID),
        str(_UUID),
        "\U0010ffff",
    ),
    *(_ID, ObjectId(b"\0" * 12), _UUID, uuid.UUID(int=1)),
)


@check
def keys_are_apart(store: Store) -> None:
    """Keys of all four types are told apart and come back as they went in."""
    with store.write() as txn:
        txn.declare("Book")
        for number, key in enumerate(_KEYS):
            assert txn.get_object("Book", key) is None
            put(txn, "Book", key, number)
    with store.read() as reader:
        assert keys(reader.scan("Book")) == list(_KEYS)
        assert [type(key) for key in keys(reader.all_objects("Book"))] == list(map(type, _KEYS))
        for number, key in enumerate(_KEYS):
            found = reader.get_object("Book", key)
            assert found is not None
            assert (found.key, type(found.key), found.version) == (key, type(key), number)


@check
def rows_grow(store: Store) -> None:
    """A row stays the same when its object is replaced, grows with each new one, is not reused."""
    with store.write() as txn:
        txn.declare("Book", ["price"])
        rows = [put(txn, "Book", key, price=key) for key in range(5)]
        assert rows[0] > 0
        assert rows == sorted(set(rows))
        assert put(txn, "Book", 2, 9, price=0) == rows[2]
        assert txn.put_object("Book", 3, 9, b"gone", None) == rows[3]
        txn.delete_object("Book", 4)
        txn.delete_object("Book", 0)
        again = put(txn, "Book", 4, price=1)
        assert again > rows[4]
        found = txn.get_object("Book", 4)
        assert found is not None
        assert found.row == again
    with store.write() as txn:
        assert put(txn, "Book", 0, price=1) > again
        assert [stored.key for stored in txn.scan("Book")] == [1, 2, 4, 0]


@check.reopening
def rows_outlive_the_process(store: Store, reopen: Reopen) -> None:
    """A row is not reused after the last one was deleted, even by another process."""
    with store.write() as txn:
        txn.declare("Book")
        rows = [put(txn, "Book", key) for key in range(3)]
    store = reopen(store)
    with store.write() as txn:
        txn.delete_object("Book", 2)
        txn.delete_object("Book", 1)
    store = reopen(store)
    with store.write() as txn:
        assert put(txn, "Book", 1) > rows[2]


@check
def objects_come_back(store: Store) -> None:
    """Rows, versions and heads come back as they were put."""
    big = bytes(range(256)) * 4000
    with store.write() as txn:
        txn.declare("Book")
        for key, version, data in ((1, 0, b""), (2, 2**63 - 1, big), (3, 5, b"\0")):
            row = txn.put_object("Book", key, version, data, None)
            assert txn.get_object("Book", key) == StoredObject(row, key, version, data)
            row = txn.put_object("Book", key, version, data[::-1], {})
            assert txn.get_object("Book", key) == StoredObject(row, key, version, data[::-1])


@check
def names_are_any_text(store: Store) -> None:
    """classes() and columns() are what was declared, sorted; names may be any text."""
    names = ["Book", "book", "a b", 'a"b', "a'b", "a\0b", "select", "o1", "Ω" * 28, "é", "e\u0301"]
    fields = [*names, "id", "key", "alive", "head", "q1", "rowid", "x" * 63]
    with store.write() as txn:
        assert txn.classes() == []
        for name in names:
            txn.declare(name, fields)
            put(txn, name, name, **{field: field + name for field in fields})
    with store.read() as reader:
        assert reader.classes() == sorted(names)
        for name in names:
            assert reader.columns(name) == sorted(fields)
            assert keys(reader.scan(name)) == [name]
        for name, field in itertools.product(
            names, ["Book", "book", "é", "e\u0301", "rowid", "a_b"]
        ):
            if field in fields:
                assert reader.count(name, parse(f"{field} == $0", field + name)) == 1
                assert reader.count(name, parse(f"{field} == $0", field)) == 0
        assert reader.columns("none") == []


@check
def columns_are_added(store: Store) -> None:
    """declare() is idempotent, adds columns only, and fills them from the heads of living rows."""

    def prices(txn: Reader) -> list[Key]:
        return keys(txn.scan("Book", parse("price >= 1002")))

    with store.write() as txn:
        txn.declare("Book", ["title"])
        for key in range(2500):
            put(txn, "Book", key, title=f"t{key}", price=key)
        txn.put_object("Book", 1500, 1, b"\xc1 is no head", None)
        before = list(txn.all_objects("Book"))
    with store.write() as txn:
        txn.declare("Book", ["price", "price"])
        assert txn.columns("Book") == ["price", "title"]
        assert list(txn.all_objects("Book")) == before
        found = prices(txn)
        assert found == [key for key in range(1002, 2500) if key != 1500]
        put(txn, "Book", 1500, title="t", price=1500)
        put(txn, "Book", 1501, title="t")
        assert prices(txn) == [key for key in range(1002, 2500) if key != 1501]
    with store.write() as txn:
        txn.declare("Book")
        txn.declare("Book", ["title"])
        assert txn.columns("Book") == ["price", "title"]
        assert txn.count("Book", parse("title == 't7'")) == 1


@check
def undeclared_classes_are_empty(store: Store) -> None:
    """An undeclared class is empty to readers, and a UsageError to who puts something there."""
    with store.write() as txn:
        assert txn.get_object("Book", 1) is None
        assert list(txn.scan("Book")) == list(txn.all_objects("Book")) == []
        assert txn.count("Book") == 0
        assert txn.parts("Book", 1) == []
        assert txn.part("Book", 1, b"p") is None
        txn.delete_object("Book", 1)
        txn.delete_part("Book", 1, b"p")
        with raises(UsageError):
            put(txn, "Book", 1)
        with raises(UsageError):
            txn.put_part("Book", 1, b"p", 1, b"")
        assert txn.classes() == []


@check
def objects_are_deleted(store: Store) -> None:
    """delete_object() deletes a row and its parts, if present."""
    with store.write() as txn:
        txn.declare("Book", ["price"])
        rows = [put(txn, "Book", key, price=key) for key in range(3)]
        for row in rows:
            txn.put_part("Book", row, b"p", 1, b"part")
        txn.delete_object("Book", 1)
        txn.delete_object("Book", 1)
        txn.delete_object("Book", "none")
        assert txn.get_object("Book", 1) is None
        assert keys(txn.all_objects("Book")) == [0, 2]
        assert [len(txn.parts("Book", row)) for row in rows] == [1, 0, 1]
        assert txn.count("Book", parse("price == 1")) == 0


@check
def parts_are_kept(store: Store) -> None:
    """parts() gives those of one row newer than a version, by name; part() gives one."""
    names = [b"", b"a", b"a\0", b"b", b"\xff", b"\xff\xff"]
    big = bytes(range(256)) * 1000
    rows: dict[str, list[int]] = {"Book": [], "Author": []}
    with store.write() as txn:
        for class_name, key in itertools.product(rows, range(3)):
            txn.declare(class_name)
            row = put(txn, class_name, key)
            rows[class_name].append(row)
            for version, name in enumerate(names[::-1]):
                txn.put_part(class_name, row, name, version, class_name.encode() + big[key:])
    with store.write() as txn:
        book, author = rows["Book"][1], rows["Author"][1]
        parts = txn.parts("Book", book)
        assert [part.name for part in parts] == names
        assert [part.version for part in parts] == [5, 4, 3, 2, 1, 0]
        assert {part.data for part in parts} == {b"Book" + big[1:]}
        assert [part.name for part in txn.parts("Book", book, newer_than=3)] == names[:2]
        assert txn.part("Author", author, b"b") == StoredPart(b"b", 2, b"Author" + big[1:])
        assert txn.part("Author", author, b"c") is None
        assert txn.parts("Book", max(rows["Book"]) + 1) == []
        txn.put_part("Book", book, b"b", 9, b"")
        assert txn.part("Book", book, b"b") == StoredPart(b"b", 9, b"")
        txn.delete_part("Book", book, b"a")
        txn.delete_part("Book", book, b"a")
        left = [part.name for part in txn.parts("Book", book)]
        assert left == [name for name in names if name != b"a"]
        assert len(txn.parts("Book", rows["Book"][0])) == len(txn.parts("Author", author)) == 6
