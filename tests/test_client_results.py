"""Queries over objects, and what live results tell."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from library import STORES, Address, Author, Book, make_memory, opened

from replication.client.apply import apply, rebuild
from replication.client.database import Database
from replication.client.restamp import adopt
from replication.client.results import ObjectChange, ResultsChange
from replication.crdt.object import absent
from replication.errors import QueryError, SchemaError, UsageError, WrongTypeError
from replication.model.encoding import key_bytes, pack
from replication.model.values import Link, Timestamp
from replication.protocol.body import DeltaOp, EvictOp, StateOp, encode_operations
from replication.protocol.messages import Download


@pytest.fixture(params=STORES)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(STORES[request.param](tmp_path)) as db:
        yield db


def fill(db: Database, count: int = 5) -> list[Any]:
    with db.write():
        return [
            db.create(Book, _id=key, title=f"t{key}", year=2000 + key, tags=[str(key), "all"])
            for key in range(count)
        ]


# -- queries ---------------------------------------------------------------------------------


def test_results_are_lazy_sequences(db: Database) -> None:
    books = fill(db)
    results = db.objects(Book, "year >= $0 AND title != 't3'", 2002)
    assert results.count() == 2
    assert len(results) == results.count() == 2
    assert list(results) == [books[2], books[4]]
    assert (results[0], results[-1], results[1:]) == (books[2], books[4], [books[4]])
    assert results.keys() == [2, 4]
    assert [book.title for book in results] == ["t2", "t4"]
    assert repr(results) == """<Results of Book: title != "t3" AND year >= 2002>"""
    with pytest.raises(IndexError):
        results[2]
    assert list(db.objects("Book")) == books
    assert len(db.objects(Author)) == 0
    assert bool(db.objects(Author)) is False


def test_results_stay_as_they_were_when_first_used(db: Database) -> None:
    books = fill(db, 2)
    results = db.objects(Book, "year > 2000")
    assert results.keys() == [1]
    with db.write():
        books[0].year = 2005
    assert results.keys() == [1]
    assert db.objects(Book, "year > 2000").keys() == [0, 1]


def test_arguments(db: Database) -> None:
    with db.write():
        author = db.create(Author, _id=1, name="Ann")
        db.create(Book, _id=1, title="a", author=author, updated=Timestamp(5), year=1)
        db.create(Book, _id=2, title="b", year=2)
    assert db.objects(Book, "author == $0", author).keys() == [1]
    assert db.objects(Book, "author == $0", Link("Author", 1)).keys() == [1]
    assert db.objects(Book, "author == null").keys() == [2]
    assert db.objects(Book, "year IN $0", [2, 3]).keys() == [2]
    assert db.objects(Book, "year IN $0", {1, 2}).keys() == [1, 2]
    assert db.objects(Book, "title IN $0", (name for name in ["a"]) and ["a"]).keys() == [1]
    moment = Timestamp(5).datetime()
    assert db.objects(Book, "updated == $0 AND title == $1", moment, "a").keys() == [1]
    with pytest.raises(WrongTypeError, match="can't stand in a query"):
        db.objects(Book, "year == $0", object())


def test_queries_that_can_not_be(db: Database) -> None:
    with pytest.raises(QueryError, match="yeer"):
        db.objects(Book, "yeer == 1")
    with pytest.raises(QueryError, match="at position 5"):
        db.objects(Book, "year 1")
    with pytest.raises(SchemaError, match="there is no class"):
        db.objects("Bok")
    with pytest.raises(SchemaError, match="Address is embedded"):
        db.objects(Address)
    with pytest.raises(QueryError, match="has no order"):
        db.objects(Book).sort("tags")
    with pytest.raises(SchemaError, match="no property 'yeer'; did you mean year"):
        db.objects(Book).sort("yeer")


def test_sorting(db: Database) -> None:
    with db.write():
        for key, (subtitle, year) in enumerate([("b", 3), (None, 1), ("a", 2), ("b", 1)]):
            db.create(Book, _id=key, subtitle=subtitle, year=year)
        db.create(Book, _id=4)
    results = db.objects(Book, "year < 1970")
    assert results.sort("subtitle").keys() == [1, 2, 0, 3]
    assert results.sort("subtitle", descending=True).keys() == [0, 3, 2, 1]
    assert results.sort("subtitle").sort("year").keys() == [1, 3, 2, 0]
    assert results.sort("_id", descending=True).keys() == [3, 2, 1, 0]
    assert db.objects(Book).sort("year").keys() == [1, 3, 2, 0, 4]


def test_sorting_values_of_any_kind(db: Database) -> None:
    values = [
        None, float("nan"), -1.5, 1, Decimal128("1.1"), 2**60, "", "a", b"\0", Timestamp(1),
    ]  # fmt: skip
    with db.write():
        for key, value in enumerate(values):
            db.create(Book, _id=key, anything=value)
    assert db.objects(Book).sort("anything").keys() == list(range(len(values)))


def test_results_inside_a_transaction_see_what_it_wrote(db: Database) -> None:
    books = fill(db)
    query = "year > 2002 OR tags == 'x' OR genres == 'x'"
    with db.write():
        assert db.objects(Book, query).keys() == [3, 4]
        books[3].year = 0
        books[1].tags.append("x")
        books[0].genres.add("x")
        new = db.create(Book, _id=9, year=2010)
        db.delete(books[4])
        results = db.objects(Book, query)
        assert results.keys() == [0, 1, 9]
        assert results.count() == 3
        assert db.objects(Book, query).sort("year").keys() == [0, 1, 9]
        assert results[2] == new
        assert results[2].year == 2010
        assert db.objects(Book, "_id == 9").keys() == [9]
    assert db.objects(Book, query).keys() == [0, 1, 9]


def test_a_query_for_the_key(db: Database) -> None:
    fill(db)
    assert db.objects(Book, "_id == 3").keys() == [3]
    assert db.objects(Book, "_id > 1 AND year < 2004").keys() == [2, 3]
    assert db.objects(Book, "_id == 3").count() == 1


def test_objects_of_results_are_read_with_them(db: Database) -> None:
    fill(db, 300)
    opened_readers = 0
    reading = db.reading

    def counted() -> Any:
        nonlocal opened_readers
        opened_readers += 1
        return reading()

    db.reading = counted  # type: ignore[method-assign]
    assert [book.year for book in db.objects(Book)] == list(range(2000, 2300))
    assert opened_readers == 1
    results = db.objects(Book)
    assert len(results) == 300
    with db.write():
        db.get("Book", 7).year = 5
    # What was read with the results is stale for the one that changed since.
    assert [book.year for book in results][6:9] == [2006, 5, 2008]
    books = list(db.objects(Book))
    with db.write() as transaction:
        transaction.edit("Book", 8).scope().set("year", 6)
    assert [book.year for book in books][6:9] == [2006, 5, 6]


# -- live results ------------------------------------------------------------------------------


def test_the_first_state_and_then_each_transaction(db: Database) -> None:
    books = fill(db)
    told: list[ResultsChange] = []
    results = db.objects(Book, "year > 2001")
    with results.observe(told.append):
        assert told == [ResultsChange(True, [2, 3, 4])]
        with db.write():
            books[2].year = 1  # leaves
            books[0].year = 2009  # enters
            books[3].title = "new"
            books[3].tags.append("x")
            db.delete(books[4])
            db.create(Book, _id=7, year=2010)
            db.create(Book, _id=8)
            books[1].title = "outside"
        assert told[1:] == [ResultsChange(False, [0, 7], [2, 4], {3: ["tags", "title"]})]
        assert results.keys() == [0, 3, 7]
        with db.write():
            books[1].title = "still outside"
        with db.write():
            books[0].year = 2009  # what stands there
            books[3].tags[0] = "3"
        with db.write():
            db.create(Author, _id=1)
        assert len(told) == 2
    with db.write():
        books[0].year = 1
    assert len(told) == 2


def test_every_kind_of_property_is_named_when_it_looks_different(db: Database) -> None:
    told: list[ResultsChange] = []
    with db.write():
        author = db.create(Author, _id=1)
        book: Any = db.create(Book, _id=1, visited=[{}], places={"a": {}}, address={})
    edits: list[tuple[str, Callable[[], Any]]] = [
        ("title", lambda: setattr(book, "title", "x")),
        ("subtitle", lambda: setattr(book, "subtitle", "x")),
        ("copies", lambda: book.copies.add(1)),
        ("year", lambda: db.add(book, "year", 1)),
        ("price", lambda: setattr(book, "price", -0.0)),
        ("tags", lambda: book.tags.append("x")),
        ("genres", lambda: book.genres.add("x")),
        ("extra", lambda: book.extra.update(a=None)),
        ("extra", lambda: book.extra.update(a=1)),
        ("extra", lambda: book.extra.update(a=1.0)),
        ("anything", lambda: setattr(book, "anything", True)),
        ("anything", lambda: setattr(book, "anything", 1)),
        ("author", lambda: setattr(book, "author", author)),
        ("authors", lambda: book.authors.append(author)),
        ("readers", lambda: book.readers.add(author)),
        ("by_role", lambda: book.by_role.update(a=author)),
        ("address", lambda: setattr(book.address, "number", 1)),
        ("address", lambda: book.address.lines.append("x")),
        ("address", lambda: setattr(book, "address", None)),
        ("address", lambda: setattr(book, "address", {"country": {}})),
        ("address", lambda: setattr(book.address.country, "code", "x")),
        ("visited", lambda: setattr(book.visited[0], "number", 1)),
        ("visited", lambda: book.visited.append({})),
        ("visited", lambda: book.visited.move(0, 1)),
        ("places", lambda: setattr(book.places["a"], "city", "x")),
        ("places", lambda: book.places.update(a=None)),
        ("published", lambda: setattr(book, "published", Timestamp(1))),
        ("numbers", lambda: book.numbers.extend(range(600))),
        ("numbers", lambda: book.numbers.__setitem__(500, -1)),
        ("numbers", lambda: book.numbers.__delitem__(0)),
    ]
    same: list[Callable[[], Any]] = [
        lambda: setattr(book, "subtitle", "x"),
        lambda: setattr(book, "price", -0.0),
        lambda: book.copies.add(0),
        lambda: book.genres.add("x"),
        lambda: book.extra.update(a=1.0),
        lambda: book.tags.__setitem__(0, "x"),
        lambda: book.by_role.update(a=author),
        lambda: setattr(book, "address", book.address),
        lambda: book.places.update(a=None),
        lambda: setattr(book, "genres", {"x"}),
    ]
    with db.objects(Book).observe(told.append):
        for name, edit in edits:
            with db.write():
                edit()
            assert told[-1] == ResultsChange(modified={1: [name]}), name
            assert len(told) > 1
            del told[1:]
        for edit in same:
            with db.write():
                edit()
            assert len(told) == 1


def test_several_lists_in_parts_are_told_apart(db: Database) -> None:
    told: list[ResultsChange] = []
    with db.write():
        book = db.create(Book, _id=1, numbers=range(600), tags=["x"] * 600)
    with db.objects(Book).observe(told.append):
        with db.write():
            book.numbers[3] = 9
        with db.write():
            book.tags[3] = "y"
        with db.write():
            book.title = "x"
    assert [change.modified for change in told[1:]] == [
        {1: ["numbers"]},
        {1: ["tags"]},
        {1: ["title"]},
    ]


def test_inside_a_callback_the_results_are_at_least_as_new(db: Database) -> None:
    books = fill(db, 2)
    results = db.objects(Book, "year > 2000").sort("year", descending=True)
    seen: list[Any] = []
    with results.observe(lambda _: seen.append([(b._id, b.year) for b in results])):
        with db.write():
            books[0].year = 3000
        with db.write():
            books[1].year = 4000
    assert seen == [[(1, 2001)], [(0, 3000), (1, 2001)], [(1, 4000), (0, 3000)]]


def test_callbacks_run_after_the_commit_in_the_committing_thread(tmp_path: Path) -> None:
    with opened(STORES["sqlite"](tmp_path)) as db:
        seen: list[Any] = []

        def look(change: ResultsChange) -> None:
            def in_another_thread() -> None:
                seen.append((threading.current_thread().name, db.objects(Book).count()))

            thread = threading.Thread(target=in_another_thread, name=thread_name())
            thread.start()
            thread.join()

        def thread_name() -> str:
            return "after " + threading.current_thread().name

        with db.objects(Book).observe(look):
            writer = threading.Thread(target=fill, args=(db, 3), name="writer")
            writer.start()
            writer.join()
        assert seen == [("after MainThread", 0), ("after writer", 3)]


def test_a_transaction_that_fails_tells_nothing(db: Database) -> None:
    fill(db)
    told: list[ResultsChange] = []

    def failing() -> None:
        with db.write():
            db.create(Book, _id=9)
            raise RuntimeError

    with db.objects(Book).observe(told.append):
        with pytest.raises(RuntimeError):
            failing()
        with db.write():
            db.delete(db.create(Book, _id=9))
    assert len(told) == 1


def test_an_exception_in_a_callback_harms_nobody_else(db: Database) -> None:
    told: list[ResultsChange] = []
    errors: list[Exception] = []
    db.on_callback_error = errors.append

    def failing(change: ResultsChange) -> None:
        if not change.initial:
            raise RuntimeError(f"on {change.inserted}")

    with db.objects(Book).observe(failing), db.objects(Book).observe(told.append):
        fill(db, 1)
        with db.write():
            db.create(Book, _id=5)
    assert [change.inserted for change in told] == [[], [0], [5]]
    assert [str(error) for error in errors] == ["on [0]", "on [5]"]
    assert db.get(Book, 5) is not None


def test_callback_errors_are_reported_by_default(db: Database, monkeypatch: Any) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: seen.append(args[1]))

    def failing(change: ResultsChange) -> None:
        if not change.initial:
            raise ZeroDivisionError

    with db.objects(Book).observe(failing):
        fill(db, 1)
    assert [type(each) for each in seen] == [ZeroDivisionError]


def test_a_first_call_that_raises_ends_the_observation(db: Database) -> None:
    def failing(_: ResultsChange) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        db.objects(Book).observe(failing)
    fill(db, 1)


def test_observing_needs_no_running_transaction(db: Database) -> None:
    [book] = fill(db, 1)
    with db.write():
        with pytest.raises(UsageError, match="observe before or after it"):
            db.objects(Book).observe(print)
        with pytest.raises(UsageError, match="observe before or after it"):
            book.observe(print)
        db.create(Book, _id=9)


def test_what_callbacks_write_is_told_afterwards_in_order(db: Database) -> None:
    one: list[Any] = []
    two: list[Any] = []

    def chaining(change: ResultsChange) -> None:
        one.append(change.inserted)
        for key in change.inserted:
            if key < 4:  # type: ignore[operator]
                with db.write():
                    db.create(Book, _id=key + 1)  # type: ignore[operator]

    with (
        db.objects(Book).observe(chaining),
        db.objects(Book).observe(lambda change: two.append(change.inserted)),
    ):
        fill(db, 1)
        assert one == two == [[], [0], [1], [2], [3], [4]]


def test_stopping_from_inside_a_callback(db: Database) -> None:
    told: list[ResultsChange] = []
    observations: list[Any] = []

    def once(change: ResultsChange) -> None:
        told.append(change)
        if not change.initial:
            for each in observations:
                each.stop()

    observations += [db.objects(Book).observe(once), db.objects(Book).observe(once)]
    fill(db, 1)
    assert len(told) == 3
    observations[0].stop()


def test_observing_an_object(db: Database) -> None:
    books = fill(db, 2)
    told: list[ObjectChange] = []
    with books[0].observe(told.append):
        with db.write():
            books[0].title = "x"
            books[0].tags.append("x")
            books[1].title = "x"
        with db.write():
            books[1].title = "y"
        with db.write():
            books[0].title = "x"
        with db.write():
            db.delete(books[0])
        with db.write():
            db.create(Book, _id=0)
        with db.write():
            db.delete(books[0])
            db.create(Book, _id=0, title="other")
    assert [(each.initial, each.is_valid) for each in told] == [
        (True, True), (False, True), (False, False), (False, True), (False, True),
    ]  # fmt: skip
    assert told[1].fields == ["tags", "title"]
    assert told[4].fields == ["title"]
    with db.write():
        books[1].address = {}
    with pytest.raises(UsageError, match="observe the object that this one is embedded in"):
        books[1].address.observe(print)


# -- what comes from the server ------------------------------------------------------------------


def download(db: Database, version: int, operations: list[Any], mark: int = 0) -> None:
    size, body = encode_operations(operations)
    message = Download(
        session=1, query_version=0, version=version, salt=1, mark=mark, last=True, base=0,
        position=b"", progress=0, size=size, body=body,
    )  # fmt: skip
    with db.integrating() as work:
        apply(work, message)


def written(time: int, **fields: Any) -> list[Any]:
    return [1, 1, [], {0: [[time, 1, dict(sorted(fields.items()))]]}]


def test_downloads_are_told_as_one_transaction_each(db: Database) -> None:
    told: list[ResultsChange] = []
    results = db.objects(Book, "year > 2000")
    with results.observe(told.append):
        download(
            db,
            1,
            [
                StateOp("Book", 1, 1, pack(written(5, title="a", year=2001)), []),
                StateOp("Book", 2, 1, pack(written(5, title="b", year=1)), []),
                StateOp("Book", 3, 1, pack(written(5, title="c", year=2003)), []),
            ],
        )
        assert told[-1] == ResultsChange(inserted=[1, 3])
        assert [book.title for book in results] == ["a", "c"]
        download(
            db,
            3,
            [
                DeltaOp("Book", 1, 2, pack([0, 1, [], {0: [[6, 1, {"title": "d"}]]}])),
                DeltaOp("Book", 1, 3, pack([0, 1, [], {0: [[7, 1, {"hidden": 1}]]}])),
                DeltaOp("Book", 2, 3, pack([0, 1, [], {0: [[7, 1, {"year": 3000}]]}])),
                EvictOp("Book", 3),
            ],
        )
        assert told[-1] == ResultsChange(False, [2], [3], {1: ["title"]})
        download(db, 4, [StateOp("Book", 1, 4, pack(written(8, title="d", year=2001)), [])])
        download(db, 5, [StateOp("Book", 2, 5, pack([2, 0, [], {}]), [])])
    assert told[3:] == [ResultsChange(deleted=[2])]
    evicted = db.entities.entity("Book", 3)
    assert "is not on this device" in str(evicted.missing())
    assert absent()[0] == 0


def test_what_is_refused_is_taken_back(db: Database) -> None:
    """The base of an object is what the server has; see `Replica.keep_base`."""
    told: list[ResultsChange] = []
    name = ("Book", key_bytes(1))
    download(db, 1, [StateOp("Book", 1, 1, pack(written(5, title="a", year=2001)), [])])
    book: Any = db.get(Book, 1)
    with db.objects(Book, "year > 2000").observe(told.append):
        with db.write():
            book.title = "mine"
            book.numbers.extend(range(600))
        with db.write():
            book.year = 1
        with db.integrating() as work:
            work.pending[name].pop()
            rebuild(work, name, 1)
        assert (book.title, book.year, len(book.numbers)) == ("mine", 2001, 600)
        with db.integrating() as work:
            work.pending[name].pop()
            rebuild(work, name, 1)
        assert (book.title, book.year, len(book.numbers)) == ("a", 2001, 0)
    assert told[1:] == [
        ResultsChange(modified={1: ["numbers", "title"]}),
        ResultsChange(deleted=[1]),
        ResultsChange(inserted=[1]),
        ResultsChange(modified={1: ["numbers", "title"]}),
    ]


def test_a_new_ident_changes_nothing_to_see(db: Database) -> None:
    books = fill(db, 2)
    told: list[Any] = []
    with db.objects(Book).observe(told.append), books[0].observe(told.append):
        with db.integrating() as work:
            adopt(work, 5, 1)
        assert len(told) == 2
        assert list(books[0].tags) == ["0", "all"]


# -- incremental is the same as asking again -------------------------------------------------------

QUERIES = [
    "TRUEPREDICATE",
    "year > 0",
    "title BEGINSWITH 'a' OR copies < 0",
    "tags == 'x' AND NOT genres == 'x'",
    "author != null",
    "year == copies",
]


class Live(RuleBasedStateMachine):
    """Whatever is written, what is told adds up to what a fresh query finds."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = opened(make_memory(Path()))
        self.db = self.entered.__enter__()
        self.keys: dict[str, set[Any]] = {}
        self.shown: dict[str, dict[Any, Any]] = {}
        self.writing: Any = None
        self.calls: list[str] = []

    @initialize()
    def observe(self) -> None:
        for text in QUERIES:
            self.keys[text], self.shown[text] = set(), {}
            self.db.objects(Book, text).observe(partial(self.hear, text))
        self.calls.clear()

    def hear(self, text: str, change: ResultsChange) -> None:
        keys = self.keys[text]
        assert not keys & set(change.inserted)
        assert keys >= set(change.deleted) | set(change.modified)
        keys |= set(change.inserted)
        keys -= set(change.deleted)
        self.calls.append(text)
        for key in (*change.inserted, *change.deleted, *change.modified):
            self.shown[text].pop(key, None)
        before = self.shown[text]
        now = {key: self.db.get("Book", key).to_dict() for key in keys}
        # Whoever was not named looks as before.
        assert {key: now[key] for key in before} == before
        self.shown[text] = now

    def teardown(self) -> None:
        if self.writing is not None:
            self.writing.__exit__(None, None, None)
        self.entered.__exit__(None, None, None)

    @precondition(lambda self: self.writing is None)
    @rule()
    def begin(self) -> None:
        self.calls.clear()
        self.writing = self.db.write()
        self.writing.__enter__()

    @precondition(lambda self: self.writing is not None)
    @rule(fails=st.sampled_from([False, False, True]))
    def end(self, fails: bool) -> None:
        writing, self.writing = self.writing, None
        if fails:
            assert not writing.__exit__(RuntimeError, RuntimeError("rolled back"), None)
        else:
            writing.__exit__(None, None, None)
        assert len(self.calls) == len(set(self.calls)), "once for each transaction"

    @precondition(lambda self: self.writing is not None)
    @rule(key=st.integers(0, 3), exists=st.booleans())
    def existence(self, key: int, exists: bool) -> None:
        book = self.db.get("Book", key)
        if book is not None and not exists:
            self.db.delete(book)
        elif book is None and exists:
            self.db.create(Book, _id=key)

    @precondition(lambda self: self.writing is not None)
    @rule(
        key=st.integers(0, 3),
        number=st.integers(-1, 1),
        text=st.sampled_from(["", "a", "x"]),
        what=st.integers(0, 7),
    )
    def edit(self, key: int, number: int, text: str, what: int) -> None:
        book = self.db.get("Book", key)
        if book is None:
            return
        if what == 0:
            book.title = text
        elif what == 1:
            book.year = number
        elif what == 2:
            book.copies += number
        elif what == 3:
            book.tags.append(text)
        elif what == 4:
            book.tags.clear()
        elif what == 5:
            book.genres = {text}
        elif what == 6:
            book.author = self.db.get("Author", 1) or self.db.create(Author, _id=1)
        else:
            book.author = None
            book.address = {"number": number}

    @invariant()
    def a_fresh_query_finds_the_same(self) -> None:
        for text, keys in self.keys.items():
            found = self.db.objects(Book, text)
            if self.writing is None:
                assert set(found.keys()) == keys
                assert found.count() == len(keys)
            else:
                wanted = [book for book in self.db.objects(Book) if self.accepts(text, book)]
                assert list(found) == wanted

    def accepts(self, text: str, book: Any) -> bool:
        """What the queries mean, for objects in the running transaction."""
        held: dict[str, bool] = {
            QUERIES[0]: True,
            QUERIES[1]: book.year > 0,
            QUERIES[2]: book.title.startswith("a") or book.copies < 0,
            QUERIES[3]: "x" in book.tags and "x" not in book.genres,
            QUERIES[4]: book.author is not None,
            QUERIES[5]: book.year == book.copies and book.copies != 0,
        }
        return held[text]


Live.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestLive = Live.TestCase
