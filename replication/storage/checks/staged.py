"""Checks of staged objects: that nothing shows them, and of how they become the rows of a class."""

from __future__ import annotations

from typing import Final

from replication.errors import NoTransactionError, UsageError
from replication.model.values import Key
from replication.query import parse
from replication.storage.checks import Checks, OopsError, Reopen, head, keys, put, raises
from replication.storage.contract import StagedRow, Store, StoredObject, Writer

check: Final = Checks()

_PRICE: Final = parse("price >= 0")


def _row(key: Key, version: int = 1, price: int = 0) -> StagedRow:
    """A row of a class whose only column is `price`."""
    return (key, version, head(price=price, title="t"), [price])


def _stage(txn: Writer, *staged: Key) -> None:
    txn.declare("Book", ["price"])
    txn.stage_objects("Book", [_row(key) for key in staged])


def _shown(store: Store) -> list[StoredObject]:
    with store.read() as reader:
        return list(reader.all_objects("Book"))


@check
def staged_objects_do_not_show(store: Store) -> None:
    """A staged row is not a row: only staged_objects() has it."""
    with store.write() as txn:
        _stage(txn, 1, 2)
        txn.stage_objects("Book", [(3, 7, b"dead", None)])
        assert keys(txn.staged_objects("Book")) == [1, 2, 3]
    with store.write() as txn:
        put(txn, "Book", 1, 5, price=9)
        assert keys(txn.staged_objects("Book")) == [1, 2, 3]
    with store.read() as reader:
        assert reader.classes() == ["Book"]
        assert keys(reader.all_objects("Book")) == keys(reader.scan("Book", _PRICE)) == [1]
        assert reader.count("Book") == 1
        assert reader.get_object("Book", 2) is None
        assert [(each.key, each.version) for each in reader.staged_objects("Book")] == [
            (1, 1), (2, 1), (3, 7),
        ]  # fmt: skip
        assert list(reader.staged_objects("Author")) == []


@check
def staged_objects_become_rows(store: Store) -> None:
    """adopt_staged() makes them the rows of the class: indexed, countable, replaceable, once."""
    with store.write() as txn:
        txn.declare("Author")
        assert not txn.adopt_staged("Author")
        assert not txn.adopt_staged("Nobody")
        _stage(txn, 3, "b")
        txn.stage_objects("Book", [("b", 8, head(price=-1), [-1]), _row(1, 4, 4)])
        txn.stage_objects("Book", [(9, 9, b"dead", None)])
    with store.write() as txn:
        assert txn.adopt_staged("Book")
        assert not txn.adopt_staged("Book")
        assert list(txn.staged_objects("Book")) == []
        assert keys(txn.scan("Book", _PRICE)) == [3, 1]
    with store.write() as txn:
        rows = list(txn.all_objects("Book"))
        assert [(each.key, each.version) for each in rows] == [(3, 1), ("b", 8), (1, 4), (9, 9)]
        assert keys(txn.scan("Book")) == [3, "b", 1]
        assert txn.get_object("Book", "b") == rows[1]
        assert put(txn, "Book", "b", 9, price=1) == rows[1].row
        assert put(txn, "Book", 10, price=2) > rows[3].row
        txn.put_part("Book", rows[0].row, b"p", 1, b"part")
        txn.delete_object("Book", 1)
        assert keys(txn.scan("Book", _PRICE)) == [3, "b", 10]
    with store.read() as reader:
        assert keys(reader.scan("Book", _PRICE)) == [3, "b", 10]


@check
def staged_objects_are_not_mixed_with_rows(store: Store) -> None:
    """adopt_staged() does nothing where the class has rows, or had new ones since."""
    with store.write() as txn:
        _stage(txn, 1, 2)
        row = txn.put_object("Book", 5, 1, b"dead", None)
        assert not txn.adopt_staged("Book")
        txn.delete_object("Book", 5)
        assert not txn.adopt_staged("Book")
        assert keys(txn.staged_objects("Book")) == [1, 2]
        txn.drop_staged()
        assert not txn.adopt_staged("Book")
        _stage(txn, 3)
        assert [each.row > row for each in txn.staged_objects("Book")] == [True]
        assert txn.adopt_staged("Book")
        assert put(txn, "Book", 4) > row + 1
    assert keys(_shown(store)) == [3, 4]


@check
def staging_is_undone(store: Store) -> None:
    """What stages, adopts and drops is undone with its savepoint, and with its transaction."""

    def undone(txn: Writer) -> None:
        try:
            with txn.savepoint():
                txn.declare("Book", ["title"])
                txn.stage_objects("Book", [(7, 1, head(), [1, "t"])])
                txn.drop_staged()
                txn.stage_objects("Book", [(8, 1, head(), [1, "t"])])
                assert txn.adopt_staged("Book")
                put(txn, "Book", 9, price=1)
                raise OopsError
        except OopsError:
            pass

    with store.write() as txn:
        _stage(txn, 1, 2)
        undone(txn)
        assert keys(txn.staged_objects("Book")) == [1, 2]
        assert txn.columns("Book") == ["price"]
    try:
        with store.write() as txn:
            txn.stage_objects("Book", [_row(3)])
            assert txn.adopt_staged("Book")
            put(txn, "Book", 4, price=1)
            raise OopsError
    except OopsError:
        pass
    with store.write() as txn:
        undone(txn)
        txn.stage_objects("Book", [_row(2, 9)])
        assert txn.adopt_staged("Book")
    assert [(each.key, each.version) for each in _shown(store)] == [(1, 1), (2, 9)]


@check
def staged_objects_have_later_columns(store: Store) -> None:
    """A column that is declared after rows were staged is filled for them too."""
    with store.write() as txn:
        _stage(txn, 1, 2)
    with store.write() as txn:
        txn.stage_objects("Book", [(3, 1, b"dead", None)])
        txn.declare("Book", ["title"])
        txn.stage_objects("Book", [(4, 1, head(), [0, "other"])])
        assert txn.adopt_staged("Book")
        assert keys(txn.scan("Book", parse("title == 't'"))) == [1, 2]
        assert keys(txn.scan("Book", parse("title == 'other'"))) == [4]


@check
def readers_see_no_adoption(store: Store) -> None:
    """A reader that began before rows were adopted sees them as they were, staged."""
    with store.write() as txn:
        _stage(txn, 1, 2)
    with store.read() as early:
        with store.write() as txn:
            assert txn.adopt_staged("Book")
            txn.stage_objects("Book", [_row(7)])
            with store.read() as during:
                assert keys(during.staged_objects("Book")) == [1, 2]
        assert keys(early.staged_objects("Book")) == [1, 2]
        assert keys(early.all_objects("Book")) == keys(early.scan("Book", _PRICE)) == []
        with store.read() as late:
            assert keys(late.staged_objects("Book")) == [7]
            assert keys(late.scan("Book", _PRICE)) == [1, 2]


@check
def staging_ends_iterators(store: Store) -> None:
    """Staging ends those over staged rows of the class, adopting all of the transaction."""
    with store.write() as txn:
        _stage(txn, 1, 2)
        put(txn, "Book", 5, price=1)
        txn.put_record("r", b"k", b"v")
        rows, staged, records = txn.scan("Book"), txn.staged_objects("Book"), txn.records("r")
        txn.stage_objects("Book", [_row(3)])
        with raises(UsageError):
            next(staged)
        assert keys(rows) == [5]
        txn.delete_object("Book", 5)
        staged = txn.staged_objects("Book")
        put(txn, "Book", 5, price=1)
        assert keys(staged) == [1, 2, 3]
        txn.drop_staged()
        txn.delete_object("Book", 5)
        _stage(txn, 1)
        staged = txn.staged_objects("Book")
        assert txn.adopt_staged("Book")
        for iterator in (staged, records):
            with raises(UsageError):
                next(iterator)


@check
def refused_writes_end_no_iterators(store: Store) -> None:
    """What is refused for a class that was not declared has written nothing."""
    with store.write() as txn:
        rows, staged = txn.scan("Book"), txn.staged_objects("Book")
        with raises(UsageError):
            txn.stage_objects("Book", [])
        with raises(UsageError):
            txn.put_object("Book", 1, 1, b"dead", None)
        assert list(rows) == list(staged) == []


@check
def staging_has_its_errors(store: Store) -> None:
    """UsageError for a class that was not declared, NoTransactionError after the end."""
    with store.write() as txn:
        with raises(UsageError):
            txn.stage_objects("Book", [_row(1)])
        _stage(txn, 1)
    for call in (
        lambda: txn.stage_objects("Book", [_row(2)]),
        lambda: txn.adopt_staged("Book"),
        txn.drop_staged,
        lambda: list(txn.staged_objects("Book")),
    ):
        with raises(NoTransactionError):
            call()


@check.reopening
def staged_objects_outlive_the_process(store: Store, reopen: Reopen) -> None:
    """What was staged is found, added to, adopted, and its rows are never used again."""
    with store.write() as txn:
        _stage(txn, 1)
    store = reopen(store)
    with store.write() as txn:
        _stage(txn, 2, 3)
        assert keys(txn.staged_objects("Book")) == [1, 2, 3]
    store = reopen(store)
    with store.write() as txn:
        assert txn.adopt_staged("Book")
        last = list(txn.all_objects("Book"))[-1].row
        txn.delete_object("Book", 3)
    store = reopen(store)
    with store.write() as txn:
        assert put(txn, "Book", 4, price=1) > last
        assert keys(txn.scan("Book", _PRICE)) == [1, 2, 4]
