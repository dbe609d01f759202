"""Queries over links, orders and windows in the local database, and what live results tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library import STORES, Author, Book, make_memory, opened
from plain_objects import Objects

from replication.client.database import Database
from replication.client.results import ResultsChange
from replication.errors import QueryError
from replication.model.values import Link
from replication.query import parse
from replication.query.ordering import arranged
from replication.storage import graph


@pytest.fixture(params=STORES)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(STORES[request.param](tmp_path)) as db:
        yield db


def fill(db: Database) -> tuple[list[Any], list[Any]]:
    """Three authors; six books, two of each of the first two and two of nobody."""
    with db.write():
        authors = [
            db.create(Author, _id=key, name=name) for key, name in enumerate(["Ann", "Bob", "Cy"])
        ]
        books = [
            db.create(Book, _id=key, title=f"t{key}", year=2000 + key % 3, author=author)
            for key, author in enumerate([*authors[:2], *authors[:2], None, None])
        ]
    return authors, books


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("author.name == 'Ann'", [0, 2]),
        ("author.name != 'Ann'", [1, 3, 4, 5]),
        ("author.name == null", [4, 5]),
        ("author.@links.Book.author.@count == 2", [0, 1, 2, 3]),
        ("TRUEPREDICATE SORT(year DESC)", [2, 5, 1, 4, 0, 3]),
        ("year > 2000 SORT(year DESC) LIMIT(3)", [2, 5, 1]),
        ("TRUEPREDICATE DISTINCT(year)", [0, 1, 2]),
        ("TRUEPREDICATE SORT(author.name, _id DESC)", [5, 4, 2, 0, 3, 1]),
        ("author.name == 'Ann' LIMIT(1)", [0]),
        ("TRUEPREDICATE LIMIT(0)", []),
        ("year == 2000 UNION year == 2001 SORT(_id DESC) LIMIT(1)", [0, 3, 4]),
    ],
)
def test_results_follow_links_and_keep_an_order(db: Database, text: str, keys: list[int]) -> None:
    fill(db)
    results = db.objects(Book, text)
    assert results.keys() == keys
    assert results.count() == len(keys)


def test_a_link_reads_null_when_its_object_is_gone(db: Database) -> None:
    authors, _ = fill(db)
    with db.write():
        db.delete(authors[0])
    assert db.objects(Book, "author.name == 'Ann'").keys() == []
    assert db.objects(Book, "author.name == null").keys() == [0, 2, 4, 5]
    assert db.objects(Book, "author == $0", Link("Author", 0)).keys() == [0, 2]


def test_a_transaction_is_seen_through_links(db: Database) -> None:
    authors, books = fill(db)
    with db.write():
        authors[0].name = "Zoe"
        books[4].author = authors[0]
        fresh = db.create(Book, _id=9, title="new", author=db.create(Author, _id=9, name="Zoe"))
        db.delete(books[2])
        assert list(db.objects(Book, "author.name == 'Zoe'")) == [books[0], books[4], fresh]
        assert db.objects(Author, "@links.Book.author.@count == 2").keys() == [0, 1]
        assert db.objects(Book, "TRUEPREDICATE SORT(_id DESC) LIMIT(2)").keys() == [9, 5]
    assert list(db.objects(Book, "author.name == 'Zoe'")) == [books[0], books[4], fresh]


def test_live_results_hear_of_other_objects(db: Database) -> None:
    authors, books = fill(db)
    told: list[ResultsChange] = []
    with db.objects(Book, "author.name == 'Ann'").observe(told.append):
        with db.write():
            authors[1].name = "Ann"
        with db.write():
            authors[2].name = "Ann"  # nobody's author
        with db.write():
            books[0].title = "x"
            authors[1].name = "Bob"
    assert told == [
        ResultsChange(initial=True, inserted=[0, 2]),
        ResultsChange(inserted=[1, 3]),
        ResultsChange(deleted=[1, 3], modified={0: ["title"]}),
    ]


def test_a_live_window_takes_in_what_moves_up(db: Database) -> None:
    authors, books = fill(db)
    told: list[ResultsChange] = []
    with db.objects(Book, "TRUEPREDICATE SORT(author.name DESC, _id ASC) LIMIT(3)").observe(
        told.append
    ):
        with db.write():
            db.delete(books[1])
        with db.write():
            authors[0].name = "Zoe"
        with db.write():
            books[5].title = "outside"
    assert told == [
        ResultsChange(initial=True, inserted=[1, 3, 0]),
        ResultsChange(inserted=[2], deleted=[1]),
        ResultsChange(reordered=True),
    ]


def test_a_query_names_what_is_wrong_behind_a_link(db: Database) -> None:
    with pytest.raises(QueryError, match=r"author\.age: no such field can be queried; there are"):
        db.objects(Book, "author.age == 1")
    with pytest.raises(QueryError, match=r"author\.name: .* never compares with int 1"):
        db.objects(Book, "author.name == 1")


def test_what_a_query_follows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "QUERY_FOLLOWED_MAX", 10)
    with opened(make_memory(Path())) as db:
        with db.write():
            author = db.create(Author, _id=1, name="Ann")
            for key in range(11):
                db.create(Book, _id=key, title="t", author=author)
        assert len(db.objects(Book, "author.name == 'Ann'")) == 11
        with pytest.raises(QueryError, match="follows more than 10 links for one object"):
            db.objects(Author, "@links.Book.author.title == 'x'").keys()


def test_explain_says_what_serves_a_query(tmp_path: Path) -> None:
    with opened(STORES["sqlite"](tmp_path)) as db:
        fill(db)
        plan = db.objects(
            Book, "year == 2001 AND author.name == 'Ann' SORT(title ASC) LIMIT(2)"
        ).explain()
        simple = db.objects(Book, "year == 2001").sort("title").explain()
    steps = plan.splitlines()
    assert "Book" in steps[0]
    assert "judge what is left in Python by" in plan
    assert steps[-3:] == [
        "follow links from each of these rows", "SORT(title ASC), in memory", "LIMIT(2), in memory"
    ]  # fmt: skip
    assert "Python" not in simple
    assert simple.splitlines()[-1] == "sort by title, upwards, in memory"


# -- every step of a random history, against plain objects ----------------------------------------
TEXTS = [
    "author.name == 'Ann' SORT(title ASC, _id ASC) LIMIT(2)",
    "author.name == 'Ann' OR year == 1",
    "TRUEPREDICATE SORT(year DESC, _id ASC) LIMIT(3)",
    "year > 0 SORT(author.name ASC, _id ASC) DISTINCT(author.name)",
    "author.@links.Book.author.@count > 1 SORT(_id ASC)",
]
_step = st.tuples(
    st.sampled_from(["book", "author", "drop", "forget"]),
    st.integers(0, 3),
    st.sampled_from([None, 0, 1, 2]),
    st.integers(0, 2),
    st.sampled_from(["Ann", "Bob"]),
)


def _write(db: Database, step: Any) -> None:
    kind, key, author, year, name = step
    if kind == "book":
        book = db.get(Book, key) or db.create(Book, _id=key, title=name)
        book.title, book.year = name, year
        book.author = None if author is None else db.get(Author, author)
    elif kind == "author":
        found = db.get(Author, key) or db.create(Author, _id=key, name=name)
        found.name = name
    else:
        doomed = db.get(Book, key) if kind == "drop" else db.get(Author, key)
        if doomed is not None:
            db.delete(doomed)


def _plain(db: Database) -> Objects:
    books = {}
    for book in db.objects(Book):
        author = book.author and Link("Author", book.author._id)
        books[book._id] = {"title": book.title, "year": book.year, "author": author}
    authors = {author._id: {"name": author.name} for author in db.objects(Author)}
    return Objects({"Book": books, "Author": authors})


@settings(max_examples=40)
@given(st.lists(st.lists(_step, min_size=1, max_size=3), max_size=6))
def test_what_is_told_adds_up_to_what_is_there(history: list[list[Any]]) -> None:
    with opened(make_memory(Path())) as db:
        held: dict[str, list[Any]] = {}
        observations = [
            db.objects(Book, text).observe(lambda change, text=text: follow(held, text, change))
            for text in TEXTS
        ]
        for steps in history:
            with db.write():
                for step in steps:
                    _write(db, step)
            plain = _plain(db)
            for text in TEXTS:
                query = parse(text)
                [branch] = query.branches
                matching = [each for each in plain.of("Book") if query.matches(each)]
                expected = [each.link.key for each in arranged(branch, matching, lambda row: row)]
                assert db.objects(Book, text).keys() == expected
                assert sorted(held[text]) == sorted(expected)
        for each in observations:
            each.stop()


def follow(held: dict[str, list[Any]], text: str, change: ResultsChange) -> None:
    """Keep up by what is told alone."""
    keys = held.setdefault(text, [])
    keys[:] = [key for key in keys if key not in change.deleted]
    assert not set(change.inserted) & set(keys)
    keys += change.inserted
