"""Checks of transactions: visibility, isolation, roll-back, savepoints, durability."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from replication.errors import NoTransactionError, StoreBusyError, StoreError, UsageError
from replication.model.values import Value
from replication.query import parse
from replication.storage.checks import (
    Checks,
    Fatal,
    OopsError,
    Reopen,
    change,
    everything,
    fill,
    head,
    keys,
    pairs,
    put,
    raises,
)
from replication.storage.contract import (
    Reader,
    Store,
    StoredObject,
    StoredPart,
    Writer,
    int_from_key,
    int_key,
)

check: Final = Checks()


@check
def committed_is_visible(store: Store) -> None:
    """write() sees its own writes; what it wrote is visible when it is over."""
    with store.write() as txn:
        fill(txn)
        before = everything(txn)
        change(txn)
        after = everything(txn)
        assert before != after
        assert txn.record("r", int_key(1)) == b"uno"
        assert txn.get_object("Book", "b") is None
    with store.read() as reader:
        assert everything(reader) == after
    with store.write() as txn:
        assert everything(txn) == after


@check
def readers_see_one_snapshot(store: Store) -> None:
    """read() sees one snapshot until it ends, taken when it begins."""
    with store.write() as txn:
        fill(txn)
    with store.read() as early:
        with store.write() as txn:
            with store.read() as during:
                change(txn)
                with store.read() as late:
                    old = everything(early)
                    assert everything(during) == old
                    assert everything(late) == old
                    iterator = late.records("r")
                    first = next(iterator)
                    txn.delete_records("r")
                    assert [first, *iterator] == old[0]
            new = everything(txn)
        assert everything(early) == old
        assert early.record("r", int_key(1)) == b"one"
        assert early.count("Book") == 2
    with store.read() as reader:
        assert everything(reader) == new != old


@check
def exceptions_leave_no_trace(store: Store) -> None:
    """An exception leaves no trace of a write transaction."""
    with store.write() as txn:
        fill(txn)
        old = everything(txn)
    for kind in (OopsError, Fatal):
        with raises(kind), store.write() as txn:
            change(txn)
            raise kind
        with store.read() as reader:
            assert everything(reader) == old
    with store.write() as txn:
        assert everything(txn) == old
        change(txn)
        new = everything(txn)
    with store.read() as reader:
        assert everything(reader) == new


@check
def first_transaction_fails(store: Store) -> None:
    """A first transaction that fails leaves nothing, and the next one is as good as a first."""
    with raises(OopsError), store.write() as txn:
        fill(txn)
        raise OopsError
    with store.read() as reader:
        assert reader.classes() == []
        assert everything(reader) == [[], []]
    with store.write() as txn:
        txn.declare("Author", ["name"])
        txn.put_record("s", b"k", b"v")
    with raises(OopsError), store.write() as txn:
        txn.declare("Book")
        raise OopsError
    with store.write() as txn:
        txn.delete_records("s")
        fill(txn)
        assert txn.classes() == ["Author", "Book", "Staged"]
        assert txn.columns("Author") == ["name"]
        assert keys(txn.scan("Book")) == [1, "b"]
        assert pairs(txn, "r") == [(int_key(1), b"one"), (b"word", b"two")]


def _number(store: Store) -> int:
    with store.read() as txn:
        return int_from_key(txn.record("r", b"n") or int_key(0))


@check
def writers_take_turns(store: Store) -> None:
    """write() waits for the one before it; readers wait for nobody."""
    torn: list[object] = []
    done = threading.Event()

    def add() -> None:
        for _ in range(50):
            with store.write() as txn:
                for key in (b"n", b"m"):
                    number = int_from_key(txn.record("r", key) or int_key(0))
                    txn.put_record("r", key, int_key(number + 1))

    def watch() -> None:
        last = b""
        while not done.is_set():
            with store.read() as txn:
                both = txn.record("r", b"n"), txn.record("r", b"m")
                listed = tuple(value for _key, value in txn.records("r", reverse=True))
            if both[0] != both[1] or (both[0] or b"") < last or listed not in ((), both):
                torn.append((both, listed, last))
            last = both[0] or b""

    writers = [threading.Thread(target=add) for _ in range(3)]
    watcher = threading.Thread(target=watch)
    for thread in (watcher, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    assert torn == []
    assert _number(store) == 150


@check
def no_write_inside_a_write(store: Store) -> None:
    """StoreBusyError: this thread is in a write transaction already."""
    with store.write() as txn:
        txn.put_record("r", b"n", int_key(1))
        with raises(StoreBusyError), store.write():
            pass
        txn.put_record("r", b"n", int_key(2))
    assert _number(store) == 2


def _reads(txn: Reader) -> list[Callable[[], object]]:
    return [
        lambda: txn.record("r", int_key(1)),
        lambda: txn.record("r", b"word"),
        lambda: txn.record("none", b"word"),
        lambda: list(txn.records("r")),
        lambda: list(txn.records("none")),
        lambda: txn.classes(),
        lambda: txn.columns("Book"),
        lambda: txn.get_object("Book", 1),
        lambda: txn.get_object("None", 1),
        lambda: txn.parts("Book", 1),
        lambda: txn.part("Book", 1, b"p"),
        lambda: list(txn.scan("Book")),
        lambda: list(txn.all_objects("Book")),
        lambda: txn.count("Book"),
    ]


def _writes(txn: Writer) -> list[Callable[[], object]]:
    return [
        partial(txn.put_record, "r", int_key(1), b""),
        partial(txn.delete_record, "r", b"word"),
        partial(txn.delete_records, "r"),
        partial(txn.declare, "Author"),
        partial(txn.put_object, "Book", 1, 1, b"", None),
        partial(txn.delete_object, "Book", 1),
        partial(txn.put_part, "Book", 1, b"p", 1, b""),
        partial(txn.delete_part, "Book", 1, b"p"),
        lambda: txn.savepoint().__enter__(),
    ]


@check
def transactions_end(store: Store) -> None:
    """A transaction object is dead after its end, and so are its iterators."""
    with store.write() as txn:
        fill(txn)
    with store.read() as reader, store.write() as txn:
        iterators: list[Iterator[object]] = []
        for each in (reader, txn):
            iterators += [each.records("r"), each.scan("Book"), each.all_objects("Book")]
            started = each.records("r")
            next(started)
            iterators.append(started)
    calls: list[Callable[[], object]] = [partial(next, iterator) for iterator in iterators]
    calls += _reads(reader) + _reads(txn) + _writes(txn)
    for call in calls:
        with raises(NoTransactionError):
            call()


@check
def iterators_notice_writes(store: Store) -> None:
    """An iterator ends with an error once what it reads has been written to, and only then."""
    with store.write() as txn:
        fill(txn)
        txn.declare("Author")
        row = put(txn, "Author", 1)
        put(txn, "Author", 2)
        writes: list[Callable[[], object]] = [
            partial(txn.put_record, "r", b"x", b""),
            partial(txn.delete_record, "r", b"x"),
            partial(txn.delete_records, "r", first=b"x"),
        ]
        for write in writes:
            records, objects = txn.records("r"), txn.scan("Book")
            next(records), next(objects)
            write()
            with raises(UsageError):
                next(records)
            assert keys(objects) == ["b"]
        writes = [
            partial(put, txn, "Book", 1, price=11),
            partial(txn.declare, "Book", ["title"]),
            partial(txn.delete_object, "Book", "b"),
        ]
        for write in writes:
            records, others = txn.records("r"), txn.scan("Author")
            objects, rows = txn.scan("Book"), txn.all_objects("Book")
            for iterator in (records, others, objects, rows):
                next(iterator)
            write()
            for iterator in (objects, rows):
                with raises(UsageError):
                    next(iterator)
            txn.put_part("Author", row, b"p", 1, b"")
            assert len(list(records)) == 1
            assert keys(others) == [2]


@check
def savepoints_undo_their_part(store: Store) -> None:
    """savepoint() undoes its own part when an exception leaves it, and nothing else."""
    with store.write() as txn:
        fill(txn)
        old = everything(txn)
        for kind in (OopsError, Fatal):
            with raises(kind), txn.savepoint():
                change(txn)
                raise kind
            assert everything(txn) == old
        with txn.savepoint():
            change(txn)
            new = everything(txn)
        assert everything(txn) == new
        with raises(OopsError), txn.savepoint():
            with txn.savepoint():
                txn.delete_records("r")
                put(txn, "Author", 1)
            raise OopsError
        assert everything(txn) == new
        with txn.savepoint():
            with raises(OopsError), txn.savepoint():
                txn.put_record("r", b"inner", b"")
                raise OopsError
            txn.put_record("r", b"outer", b"")
        assert txn.record("r", b"inner") is None
        new = everything(txn)
    with store.read() as reader:
        assert everything(reader) == new
        assert reader.record("r", b"outer") == b""


@check
def savepoints_belong_to_transactions(store: Store) -> None:
    """A savepoint that was kept is undone with its transaction."""
    with store.write() as txn:
        fill(txn)
        old = everything(txn)
    with raises(OopsError), store.write() as txn:
        with txn.savepoint():
            change(txn)
        raise OopsError
    with store.read() as reader:
        assert everything(reader) == old


@check
def savepoints_and_later_writes(store: Store) -> None:
    """A savepoint that is undone gives the rows and columns it changed back to later writes."""
    with store.write() as txn:
        txn.declare("Book", ["price"])
        first = put(txn, "Book", 1, price=10)
        assert txn.get_object("Book", 1) is not None
        with raises(OopsError), txn.savepoint():
            put(txn, "Book", 1, price=20)
            put(txn, "Book", 2, price=20)
            raise OopsError
        assert txn.count("Book", parse("price == 20")) == 0
        assert put(txn, "Book", 1, price=20) == first
        assert put(txn, "Book", 2, price=20) > first
        assert txn.count("Book", parse("price == 20")) == 2


@check
def nothing_is_aliased(store: Store) -> None:
    """What a caller passes is copied."""
    tags: list[Value] = ["red"]
    columns: dict[str, Value | list[Value]] = {"tags": tags, "price": 1}
    with store.write() as txn:
        txn.declare("Book", ["tags", "price"])
        txn.put_object("Book", 1, 1, head(tags=["red"], price=1), columns)
        tags[0] = "blue"
        columns["price"] = 2
        assert txn.count("Book", parse("ANY tags == 'red' AND price == 1")) == 1
        assert txn.count("Book", parse("ANY tags == 'blue' OR price == 2")) == 0


@check
def closed_stores_refuse(store: Store) -> None:
    """A closed store is a StoreError; close() is idempotent."""
    with store.write() as txn:
        fill(txn)
    with store.read() as reader:
        old = everything(reader)
        store.close()
        assert everything(reader) == old
    store.close()
    with raises(StoreError), store.read():
        pass
    with raises(StoreError), store.write():
        pass


@check.reopening
def commits_outlive_the_process(store: Store, reopen: Reopen) -> None:
    """write() is durable on return."""
    with store.write() as txn:
        fill(txn)
    store = reopen(store)
    with store.write() as txn:
        found = txn.get_object("Book", 1)
        assert found is not None
        assert found == StoredObject(found.row, 1, 1, head(price=10))
        assert txn.parts("Book", found.row) == [StoredPart(b"p", 1, b"part")]
        change(txn)
        new = everything(txn)
    with raises(OopsError), store.write() as txn:
        txn.delete_records("r")
        raise OopsError
    store = reopen(store)
    with store.read() as reader:
        assert everything(reader) == new
        assert keys(reader.scan("Book", parse("price > 10"))) == [1, "c"]
