"""Handles: what they show, what they write, and what they say when their object is gone."""

from __future__ import annotations

import datetime
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from library import LIBRARY, STORES, Address, Author, Book, Country, make_memory, opened

from replication.client.apply import rebuild
from replication.client.database import Database
from replication.client.entities import LinkState
from replication.client.restamp import adopt
from replication.errors import (
    NoSubscriptionError,
    NoSuchObjectError,
    NoTransactionError,
    ObjectExistsError,
    SchemaError,
    UsageError,
    WrongTypeError,
)
from replication.model.declare import (
    Counter,
    EmbeddedObject,
    Object,
    declaration_of,
    schema_of,
)
from replication.model.values import Link, Timestamp


@pytest.fixture(params=STORES)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(STORES[request.param](tmp_path)) as db:
        yield db


def create(db: Database, key: int = 1, **values: Any) -> Any:
    with db.write():
        return db.create(Book, _id=key, **values)


def changesets(db: Database) -> int:
    return db.local.client_version


# -- creating and reading --------------------------------------------------------------------


def test_what_was_created_is_read_back(db: Database) -> None:
    moment = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    with db.write():
        author = db.create(Author, _id=7, name="Ann")
        db.create(
            Book,
            _id=1,
            title="T",
            year=2000,
            price=1,
            copies=4,
            tags=["a", "b", "a"],
            genres={"x", "y"},
            extra={"k": None, "n": 1.5},
            anything=b"\0",
            author=author,
            authors=[author],
            readers=[author],
            by_role={"editor": author, "none": None},
            address={"city": "Bern", "country": {"code": "CH"}},
            visited=[Address(number=1), {"number": 2}],
            places={"home": Address(lines=["l"]), "gone": None},
            published=moment,
            updated=moment,
        )
    book = db.get(Book, 1)
    assert book is not None
    assert isinstance(book, Book)
    assert isinstance(book.author, Author)
    assert isinstance(book.address, Address)
    assert book.greeting() == "Hello T"
    assert (book._id, book.title, book.subtitle, book.year) == (1, "T", None, 2000)
    assert type(book.price) is float
    assert book.copies == 4
    assert list(book.tags) == ["a", "b", "a"]
    assert book.author == author
    assert book.author.name == "Ann"
    assert book.address.country is not None
    assert book.address.country.code == "CH"
    assert [each.number for each in book.visited] == [1, 2]
    assert list(book.places) == ["home"]
    assert book.published == moment
    assert book.updated == Timestamp.from_datetime(moment)
    bath = {"city": "Bath", "number": 0, "lines": [], "country": None, "doors": []}
    assert book.to_dict() == {
        "_id": 1,
        "title": "T",
        "subtitle": None,
        "year": 2000,
        "price": 1.0,
        "copies": 4,
        "tags": ["a", "b", "a"],
        "numbers": [],
        "genres": ["x", "y"],
        "extra": {"k": None, "n": 1.5},
        "anything": b"\0",
        "author": Link("Author", 7),
        "authors": [Link("Author", 7)],
        "readers": [Link("Author", 7)],
        "by_role": {"editor": Link("Author", 7), "none": None},
        "address": bath | {"city": "Bern", "country": {"code": "CH"}},
        "visited": [bath | {"number": 1}, bath | {"number": 2}],
        "places": {"home": bath | {"lines": ["l"]}},
        "published": moment,
        "updated": Timestamp.from_datetime(moment),
    }


def test_a_dynamic_handle_shows_the_same(db: Database) -> None:
    create(db, title="T", address={"city": "Rome"})
    assert db.get("Book", 1) == db.get(Book, 1)
    assert db.get("Book", 1)["title"] == "T"
    assert db.get("Book", 1).address.city == "Rome"


def test_a_file_is_read_without_declared_classes(tmp_path: Path) -> None:
    store = STORES["sqlite"](tmp_path)
    with opened(store) as db:
        create(db, title="T", tags=["a"], address={"city": "Rome"})
    with opened(STORES["sqlite"](tmp_path), None) as db:
        book = db.get("Book", 1)
        assert (book.title, list(book.tags), book.address.city) == ("T", ["a"], "Rome")
        assert book.address["city"] == "Rome"
        assert type(book).__name__ == "Book"


def test_nothing_is_there(db: Database) -> None:
    assert db.get(Book, 1) is None
    assert db.get("Author", 1) is None


def test_what_is_not_given_shows_its_default_or_zero(db: Database) -> None:
    book = create(db)
    assert (book.title, book.year, book.price, book.copies) == ("", 1970, 0.0, 0)
    assert book.subtitle is book.anything is book.author is book.address is book.published is None
    assert len(book.tags) == len(book.genres) == len(book.extra) == 0
    # A default is written, as such; a zero is not.
    fields = db.entities.entity("Book", 1).fields()
    assert fields is not None
    [group] = fields[0]
    assert (group[2], len(group)) == ({"year": 1970}, 5)


def test_an_explicit_value_is_no_default(db: Database) -> None:
    create(db, year=1970)
    fields = db.entities.entity("Book", 1).fields()
    assert fields is not None
    assert len(fields[0][0]) == 3


def test_fields_the_schema_does_not_know_are_not_shown(db: Database) -> None:
    book = create(db)
    with db.write() as transaction:
        transaction.edit("Book", 1).scope().set("hidden", 5)
    assert "hidden" not in book.to_dict()
    with pytest.raises(AttributeError, match="Book has no property 'hidden'"):
        book.hidden  # noqa: B018


def test_reading_an_unchanged_object_does_not_go_to_the_store(db: Database) -> None:
    book = create(db, title="T", tags=["a"])
    assert (book.title, book.tags[0]) == ("T", "a")
    with db.write():
        other = db.create(Book, _id=2)
    db.store.close()
    assert (book.title, book.tags[0]) == ("T", "a")
    del other


def test_handles_compare_by_object(db: Database) -> None:
    create(db, 1, visited=[{}, {}], address={})
    create(db, 2)
    one, again, two = db.get(Book, 1), db.get(Book, 1), db.get(Book, 2)
    assert one is not None
    assert one == again
    assert hash(one) == hash(again)
    assert one != two
    assert one != object()
    assert one.visited[0] == one.visited[0]
    assert one.visited[0] != one.visited[1]
    assert one.visited[0] != one.address
    assert len({one, again, two}) == 2


def test_repr_shows_what_matters(db: Database) -> None:
    book = create(db, title="A title" * 50, address={"city": "Rome"})
    assert repr(book).startswith("Book(_id=1, ")
    assert "year=1970" in repr(book)
    assert len(repr(book)) < 400
    assert repr(book.address) == "Address(city='Rome', number=0)"
    with db.write():
        db.delete(book)
    assert repr(book) == "<Book 1, not there>"


# -- writing ---------------------------------------------------------------------------------


def test_writing_needs_a_transaction(db: Database) -> None:
    book = create(db, tags=["a"], extra={"k": 1}, genres=["x"], visited=[{}], address={})
    version = changesets(db)
    with pytest.raises(NoTransactionError, match=r"`with db.write\(\): ...`"):
        book.title = "x"
    writes: list[Any] = [
        lambda: book.tags.append("b"),
        lambda: book.tags.clear(),
        lambda: book.genres.add("y"),
        lambda: book.extra.update(a=1),
        lambda: book.copies.add(1),
        lambda: setattr(book.address, "city", "Rome"),
        lambda: db.delete(book),
        lambda: db.create(Book, _id=2),
        lambda: db.add(book, "year", 1),
    ]
    for write in writes:
        with pytest.raises(NoTransactionError):
            write()
    assert changesets(db) == version


def test_writing_in_another_thread_than_the_transaction(db: Database) -> None:
    book = create(db, title="before")
    seen: list[Any] = []

    def other() -> None:
        seen.append(book.title)
        try:
            book.title = "x"
        except NoTransactionError as error:
            seen.append(error)

    with db.write():
        book.title = "mine"
        assert book.title == "mine"
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen[0] == "before"
    assert isinstance(seen[1], NoTransactionError)
    assert book.title == "mine"


def test_a_transaction_that_is_over_takes_no_more(db: Database) -> None:
    with db.write() as transaction:
        edit = transaction.edit("Book", 1)
    with pytest.raises(NoTransactionError, match="this write transaction is over"):
        transaction.edit("Book", 2)
    with db.write(), pytest.raises(NoTransactionError, match="this write transaction is over"):
        transaction.delete("Book", 1)
    assert edit.fields() is None
    with db.write(), pytest.raises(NoTransactionError, match="running in this thread"), db.write():
        pass


def test_a_transaction_that_fails_leaves_no_trace(db: Database) -> None:
    book = create(db, title="T", tags=["a"], visited=[{"number": 1}])

    def failing() -> None:
        with db.write():
            book.title = "x"
            book.tags.append("b")
            book.visited[0].number = 2
            other.append(db.create(Book, _id=2))
            db.delete(book)
            raise RuntimeError

    other: list[Any] = []
    with pytest.raises(RuntimeError):
        failing()
    assert (book.title, list(book.tags), book.visited[0].number) == ("T", ["a"], 1)
    assert not other[0].is_valid
    assert changesets(db) == 2  # the schema and the first book


def test_reading_writes_nothing(db: Database) -> None:
    book = create(
        db, tags=["a"], visited=[{"doors": [{"code": "x"}]}], address={}, places={"h": {}}
    )
    version = changesets(db)
    with db.write():
        book.year = 1
        book.to_dict()
    data = db.unsent(version + 1, 1, 0)[0]
    assert len(data) < 60
    with db.write() as transaction:
        transaction.edit("Book", 1)
        book.to_dict()
        assert [door.code for door in book.visited[0].doors] == ["x"]
    assert changesets(db) == version + 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("title", 1, r"Book\.title is string, got 1 \(int\)"),
        ("title", None, r"Book\.title is string, got None"),
        ("year", "x", r"Book\.year is int"),
        ("year", True, r"Book\.year is int"),
        ("copies", 1.5, r"Book\.copies is counter"),
        ("tags", "abc", r"Book\.tags is list<string>, got 'abc' \(string\); pass a list"),
        ("tags", ["a", 1], r"Book\.tags is list<string>, got 1"),
        ("genres", {"a": 1}, r"Book\.genres is set<string>"),
        ("extra", [1], r"Book\.extra is dict<mixed>, got \[1\] \(list\); pass a dict"),
        ("extra", {1: 1}, r"Book\.extra is dict<mixed>, got key 1"),
        ("extra", {"a": object()}, r"Book\.extra is dict<mixed>"),
        ("author", 7, r"Book\.author is link:Author, got 7"),
        ("author", Link("Book", 1), "it leads to Book, not to Author"),
        ("address", 7, r"Book\.address is embedded:Address.*pass a dict or Address\(\.\.\.\)"),
        ("address", Country(code="x"), "it is an embedded object of Country"),
        ("address", {"number": "x"}, r"Address\.number is int"),
        ("visited", [None], r"Book\.visited is list<embedded:Address>"),
        ("anything", {1}, r"Book\.anything is mixed"),
        ("published", datetime.datetime(2020, 1, 1), "aware datetime"),
    ],
)
def test_values_that_do_not_fit(name: str, value: Any, message: str) -> None:
    with opened(make_memory(Path())) as db:
        book = create(db, tags=["before"], address={"number": 3})
        with db.write():
            with pytest.raises(WrongTypeError, match=message):
                setattr(book, name, value)
            with pytest.raises(WrongTypeError, match=message):
                db.create(Book, _id=2, **{name: value})
        # Neither the half that fitted nor the object was kept.
        assert db.get(Book, 2) is None
        assert (list(book.tags), book.address.number) == (["before"], 3)
        assert changesets(db) == 2


def test_misspelled_names(db: Database) -> None:
    book = create(db, address={})
    with db.write():
        with pytest.raises(AttributeError, match="no property 'titel'; did you mean title"):
            book.titel = "x"
        with pytest.raises(AttributeError, match="did you mean title"):
            book.titel  # noqa: B018
        with pytest.raises(SchemaError, match="did you mean title"):
            book["titel"]
        with pytest.raises(SchemaError, match="did you mean title"):
            db.create(Book, _id=2, titel="x")
        with pytest.raises(SchemaError, match="Address has no property 'town'"):
            book.address = Address(town="x")
    with pytest.raises(SchemaError, match="there is no class 'Boook'; did you mean Book"):
        db.get("Boook", 1)
    with pytest.raises(SchemaError, match="Address is embedded"):
        db.get("Address", 1)


def test_the_key(db: Database) -> None:
    book = create(db)
    with db.write():
        with pytest.raises(ObjectExistsError, match="Book 1 exists already"):
            db.create(Book, _id=1)
        with pytest.raises(WrongTypeError, match="a Book needs its key: pass _id="):
            db.create(Book, title="x")
        with pytest.raises(WrongTypeError, match=r"Book\._id is int, got 'x'"):
            db.create(Book, _id="x")
        with pytest.raises(UsageError, match=r"Book\._id .* can't be changed to 5"):
            book._id = 5
    with pytest.raises(WrongTypeError, match=r"Book\._id is int"):
        db.get(Book, "x")


def test_null_over_null_is_a_write(db: Database) -> None:
    book = create(db)
    version = changesets(db)
    for name in ("subtitle", "author", "address"):
        with db.write():
            setattr(book, name, None)
        version += 1
        assert changesets(db) == version


def test_embedded_objects(db: Database) -> None:
    book = create(db)
    with db.write():
        book.address = {"city": "Bern", "number": 1}
        assert book.address is not None
        book.address.number += 1
        book.address.lines.append("l")
        book.address.country = Country(code="CH")
    address = book.address
    assert address.number == 2
    with db.write():
        book.places["copy"] = address
        address.country = None
    assert book.places["copy"].country.code == "CH"
    assert address.country is None
    with db.write():
        book.address = Address(city="Rome")
    assert (address.city, address.number, list(address.lines)) == ("Rome", 0, [])
    with db.write():
        book.address = None
    assert not address.is_valid
    with pytest.raises(NoSuchObjectError, match="embedded in Book 1 at address is not there"):
        address.city  # noqa: B018
    with db.write(), pytest.raises(NoSuchObjectError):
        address.city = "x"
    with db.write():
        book.address = {}
    assert address.city == "Bath"


def test_embedded_objects_deep_inside(db: Database) -> None:
    book = create(
        db, visited=[{"doors": [{"code": "a"}]}], places={"h": {"country": {"code": "b"}}}
    )
    with db.write():
        book.visited[0].doors[0].code = "c"
        book.visited[0].doors.append(Country(code="d"))
        book.places["h"].country.code = "e"
        assert [door.code for door in book.visited[0].doors] == ["c", "d"]
    assert [door.code for door in book.visited[0].doors] == ["c", "d"]
    assert book.places["h"].country.code == "e"


def test_deleting(db: Database) -> None:
    books = [create(db, key, visited=[{}], address={}) for key in range(4)]
    with db.write():
        db.delete(books[0])
        assert not books[0].is_valid
        with pytest.raises(NoSuchObjectError, match="Book 0 is deleted"):
            books[0].title = "x"
        with pytest.raises(NoSuchObjectError, match="Book 0 is deleted"):
            db.delete(books[0])
        with pytest.raises(UsageError, match="assign None where it stands"):
            db.delete(books[1].address)
        with pytest.raises(WrongTypeError, match="5 is no object of a database"):
            db.delete(5)
        db.delete(books[1:3])
    assert [db.get(Book, key) is not None for key in range(4)] == [False, False, False, True]
    with pytest.raises(NoSuchObjectError, match="Book 0 is deleted"):
        books[0].title  # noqa: B018
    with pytest.raises(NoSuchObjectError, match="Book 0 is deleted"):
        len(books[0].tags)
    with db.write():
        db.create(Book, _id=0, title="again")
    assert books[0].title == "again"
    assert len(books[0].visited) == 0


def test_counters_and_additions(db: Database) -> None:
    book = create(db, copies=5, year=2000)
    with db.write():
        book.copies.add(2)
        book.copies += 3
        book.copies -= 1
        db.add(book, "year", 1)
        book.add("year", 1)
        book.add("copies", 1)
    assert isinstance(book.copies, Counter)
    assert (book.copies, int(book.copies), book.copies.value, book.year) == (10, 10, 10, 2002)
    delta = db.entities.entity("Book", 1).fields()
    assert delta is not None
    assert delta[1] == {"copies": 5, "year": 2}  # increments, not sets
    held = book.copies
    with db.write():
        held.set(3)
    assert (held, held.value, book.copies) == (10, 3, 3)
    total: int = book.copies
    total += 5
    assert (total, book.copies) == (8, 3)
    with db.write():
        book.copies = total
        with pytest.raises(WrongTypeError, match="only to an int can be added"):
            db.add(book, "title", 1)
        with pytest.raises(WrongTypeError, match="only to an int can be added"):
            db.add(book, "_id", 1)
        with pytest.raises(WrongTypeError, match="pass an int"):
            book.add("year", 1.5)
    assert book.copies == 8
    with pytest.raises(UsageError, match="was read from no object"):
        Counter(5).add(1)


# -- links -----------------------------------------------------------------------------------


def test_links_to_what_is_not_here(db: Database) -> None:
    """[STATE-LINK-1]"""
    book: Any
    with db.write():
        ann, bob = (db.create(Author, _id=key, name="x") for key in (1, 2))
        book = db.create(
            Book,
            _id=1,
            author=Link("Author", 9),
            anything=ann,
            authors=[ann, bob, ann],
            readers=[ann, bob],
            by_role={"a": ann, "b": bob},
            extra={"a": ann},
        )
        assert book.author is None
        assert book.anything == ann
    with db.write():
        db.delete(ann)
        assert list(book.authors) == [bob]
        assert list(book.readers) == [bob]
    assert book.anything is None
    assert list(book.authors) == [bob]
    assert set(book.readers) == {bob}
    assert dict(book.by_role) == {"a": None, "b": bob}
    assert book.extra["a"] is None
    with db.write():
        db.create(Author, _id=9, name="late")
        assert book.author is not None
        assert book.author.name == "late"
        db.create(Author, _id=1)
    assert book.author.name == "late"
    assert list(book.authors) == [ann, bob, ann]


def test_links_tell_deleted_from_not_here(db: Database) -> None:
    """[STATE-LINK-1]"""
    alive, gone, never = (LinkState.ALIVE, LinkState.DELETED, LinkState.NOT_HERE)
    one, two, three = (Link("Author", key) for key in (1, 2, 3))
    with db.write():
        ann, bob = (db.create(Author, _id=key) for key in (1, 2))
        book: Any = db.create(
            Book, _id=1, author=bob, authors=[ann, bob, three], readers=[bob, three],
            by_role={"a": three, "b": bob, "c": None}, anything=bob,
            extra={"n": 1, "l": bob, "in": [ann, bob, 5]},
        )  # fmt: skip
        db.delete(bob)
        assert book.link_states("author") == [(two, gone)]
    assert book.link_states("author") == book.link_states("anything") == [(two, gone)]
    assert book.link_states("authors") == [(one, alive), (two, gone), (three, never)]
    assert book.readers.link_states() == [(two, gone), (three, never)]
    assert book.link_states("by_role") == [(three, never), (two, gone)]
    assert book.link_states("extra") == [(two, gone)]
    assert book.extra["in"].link_states() == [(one, alive), (two, gone)]
    assert book.link_states("title") == book.link_states("tags") == []
    with db.write():
        db.create(Author, _id=2)
        assert book.link_states("author") == [(two, alive)]
    assert book.link_states("author") == [(two, alive)]
    with db.integrating() as work:
        work.pending.pop(("Author", b"\x01"))
        rebuild(work, ("Author", b"\x01"), 1)
    assert book.link_states("authors") == [(one, never), (two, alive), (three, never)]


def test_links_take_only_objects_of_this_database_that_are_there(db: Database) -> None:
    book = create(db)
    with opened(make_memory(Path())) as other, other.write():
        stranger = other.create(Author, _id=1)
        with db.write(), pytest.raises(UsageError, match="belongs to another database"):
            book.author = stranger
    with db.write():
        gone = db.create(Author, _id=1)
        db.delete(gone)
        with pytest.raises(NoSuchObjectError, match="Author 1 is deleted"):
            book.author = gone


# -- what happens to handles -------------------------------------------------------------------


def test_an_evicted_object_says_so(db: Database) -> None:
    book = create(db, title="T")
    with db.integrating() as work:
        work.pending.pop(("Book", b"\x01"))
        rebuild(work, ("Book", b"\x01"), 1)
    assert not book.is_valid
    with pytest.raises(NoSuchObjectError, match="Book 1 is not on this device"):
        book.title  # noqa: B018
    with db.write(), pytest.raises(NoSuchObjectError, match="Book 1 is not on this device"):
        book.title = "x"


def test_handles_survive_the_file_getting_its_ident(db: Database) -> None:
    book = create(db, visited=[{"number": 1, "doors": [{"code": "x"}]}], tags=["a"])
    element, door = book.visited[0], book.visited[0].doors[0]
    assert element.number == 1
    with db.integrating() as work:
        adopt(work, 5, 77)
    assert db.entities.entity("Book", 1).listing((), "visited").ids == [(5, 2)]
    assert (element.number, door.code) == (1, "x")
    assert element == book.visited[0]
    with db.write():
        element.number = 2
        book.visited.append(Address(number=3))
    second = book.visited[1]
    with db.integrating() as work:  # the file turned out to be copied: only what is pending goes on
        adopt(work, 6, 78)
    assert (element.number, door.code, second.number) == (2, "x", 3)
    with db.write():
        del book.visited[0]
    assert not element.is_valid
    assert second.number == 3


def test_a_commit_that_fails_changes_nothing(db: Database, monkeypatch: Any) -> None:
    book = create(db, title="T")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("replication.client.database.encode", full)
    with pytest.raises(OSError, match="disk full"), db.write():
        book.title = "x"
    assert book.title == "T"
    monkeypatch.undo()
    with db.write():
        book.title = "y"
    assert book.title == "y"
    assert changesets(db) == 3


def test_classes_that_were_not_passed_at_opening() -> None:
    with opened(make_memory(Path()), schema_of(Book)) as db:
        book = create(db, author=None)
        assert isinstance(book, Book)

        class Other(Object):
            _id: int

        with pytest.raises(SchemaError, match="there is no class 'Other'"):
            db.get(Other, 1)
        wrong = type("Author", (Object,), {"__annotations__": {"_id": int}})
        with pytest.raises(SchemaError, match="is not what this database was opened with"):
            db.get(wrong, 1)


def test_properties_whose_names_handles_need() -> None:
    class Odd(Object):
        _id: int
        is_valid: str  # type: ignore[assignment]
        place: str
        fields: str

    with opened(make_memory(Path()), schema_of(Odd)) as db:
        with db.write():
            odd = db.create("Odd", _id=1, is_valid="a", place="b", fields="c")
            odd["is_valid"] = "d"
            with pytest.raises(AttributeError, match='write handle\\["is_valid"\\]'):
                odd.is_valid = "e"
            odd.place = "f"
        assert odd.is_valid is True
        assert (odd["is_valid"], odd.place, odd.fields) == ("d", "f", "c")


def test_a_new_object_needs_a_subscription_to_its_class(db: Database) -> None:
    create(db, 1)  # nobody subscribed to anything yet
    with db.subscriptions.edit() as edit:
        edit.add(Author)
    with db.write():
        with pytest.raises(NoSubscriptionError, match="no subscription of this device is for Book"):
            db.create(Book, _id=2)
        db.create(Author, _id=1)
        book = db.get(Book, 1)
        assert book is not None
        book.title = "edits are fine"
    assert db.get(Book, 2) is None
    with db.subscriptions.edit() as edit:
        edit.add(Book, "year > 1990")
    create(db, 2)


def test_nan_and_minus_zero(db: Database) -> None:
    book = create(db, price=math.nan, anything=-0.0)
    assert math.isnan(book.price)
    assert math.copysign(1, book.anything) == -1


def test_timestamps_read_as_they_are_declared() -> None:
    class Diary(Object):
        _id: int
        moments: list[datetime.datetime]
        exact: list[Timestamp]
        days: set[datetime.datetime]
        named: dict[str, datetime.datetime | None]

    first, second = (datetime.datetime(2020, 1, day, tzinfo=datetime.UTC) for day in (1, 2))
    with opened(make_memory(Path()), declaration_of(Diary)) as db:
        with db.write():
            diary = db.create(
                Diary,
                _id=1,
                moments=[first],
                exact=[first],
                days={first},
                named={"a": first, "b": None},
            )
            diary.moments.append(second)
            diary.moments[0] = second
        assert list(diary.moments) == diary.moments[:] == [second, second]
        assert list(diary.exact) == [Timestamp.from_datetime(first)]
        assert first in diary.days
        assert set(diary.days) == {first}
        assert dict(diary.named) == {"a": first, "b": None}
        assert diary.to_dict()["moments"] == [second, second]
        assert db.objects(Diary, "exact == $0", first).count() == 1


def test_detached_embedded_objects_are_plain() -> None:
    address = Address(city="Bern")
    assert (address.city, isinstance(address, EmbeddedObject)) == ("Bern", True)
    assert LIBRARY.schema["Address"].embedded


def test_readers_in_other_threads_see_whole_commits(db: Database) -> None:
    book = create(db, year=0, numbers=[0] * 5, address={"number": 0})
    stop = threading.Event()
    wrong: list[Any] = []

    def read() -> None:
        last = 0
        while not stop.is_set():
            seen = db.get(Book, 1)
            assert seen is not None
            state = seen.to_dict()
            if len(set(state["numbers"])) != 1:
                wrong.append(state)
            if len(db.objects(Book, "year == $0 AND price == 1", state["year"])):
                wrong.append("half a transaction")
            if seen.year < last:
                wrong.append((seen.year, last))
            last = seen.year

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 60):
        with db.write():
            book.price = 1.0
            book.year = number
            for index in range(5):
                book.numbers[index] = number
            book.price = 0.0
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert book.year == 59
