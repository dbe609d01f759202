"""Queries on lists that are spread over parts, and on those that just are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library import STORES, Book, opened

from replication.client.database import Database
from replication.client.results import ResultsChange
from replication.limits import LIST_PART_ELEMENTS_MAX
from replication.query import Query, parse

BOUND = LIST_PART_ELEMENTS_MAX
QUERIES = (
    "ANY tags == 'last'",
    "NOT ANY tags == 'last'",
    "ALL tags != 'last'",
    "NONE tags IN {'last', 'x'}",
    "tags BEGINSWITH 'la'",
    f"tags.@count > {BOUND}",
    f"NOT tags.@count > {BOUND}",
    f"tags.@count == {BOUND + 1} AND year > 0",
    "tags.@count == 0 OR title == 't1'",
    "tags[LAST] == 'last'",
    "tags == {'last'}",
    "tags == null",
    "year > 1 AND NOT tags == 'last' SORT(year DESC) LIMIT(2)",
)


@pytest.fixture(params=STORES)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(STORES[request.param](tmp_path)) as db:
        yield db


def tags(size: int, *, last: bool) -> list[str]:
    return ["t"] * (size - last) + ["last"] * last


def expected(db: Database, query: Query) -> list[Any]:
    """The same by plain data."""
    books = list(db.objects(Book))
    rows: dict[Any, dict[str, Any]] = {
        book._id: {"title": book.title, "year": book.year, "tags": list(book.tags)}
        for book in books
    }
    found = [key for key, row in rows.items() if query.matches(row.get)]
    if query.modifiers:
        found = sorted(found, key=lambda key: -rows[key]["year"])[:2]
    return found


def agree(db: Database) -> None:
    for text in QUERIES:
        query = parse(text)
        results = db.objects(Book, text)
        assert results.keys() == expected(db, query), text
        assert db.objects(Book, text).count() == len(results), text


SIZES = st.lists(
    st.tuples(st.sampled_from([0, 1, BOUND - 1, BOUND, BOUND + 1, 2 * BOUND + 1]), st.booleans()),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("kind", STORES)
@settings(max_examples=6)
@given(sizes=SIZES, change=st.integers(0, 3))
def test_long_lists_are_found_by_what_is_in_them(
    kind: str, tmp_path_factory: pytest.TempPathFactory, sizes: list[Any], change: int
) -> None:
    """Whatever their length, in a write transaction and out of it."""
    with opened(STORES[kind](tmp_path_factory.mktemp("db"))) as db:
        with db.write():
            for key, (size, last) in enumerate(sizes):
                held = tags(size, last=last and size > 0)
                db.create(Book, _id=key, title=f"t{key}", year=key + 1, tags=held)
            agree(db)
        agree(db)
        with db.write():
            book = db.get(Book, change % len(sizes))
            assert book is not None
            book.year = 9
            agree(db)  # its list is not open
            book.tags.append("last")
            agree(db)
        agree(db)
        with db.write():
            book = db.get(Book, change % len(sizes))
            assert book is not None
            del book.tags[-1]
        agree(db)


def test_live_results_look_into_long_lists(db: Database) -> None:
    with db.write():
        book = db.create(Book, _id=1, title="a", year=1, tags=tags(BOUND + 1, last=False))
        db.create(Book, _id=2, title="b", year=1, tags=["last"])
    told: list[ResultsChange] = []
    with db.objects(Book, "ANY tags == 'last'").observe(told.append):
        assert told.pop().inserted == [2]
        with db.write():
            book.tags.append("last")
        assert told.pop().inserted == [1]
        with db.write():
            book.title = "c"
        assert told.pop().modified == {1: ["title"]}
        with db.write():
            del book.tags[-1]
        assert told.pop().deleted == [1]


def test_only_where_there_are_long_lists_rows_are_judged_one_by_one(tmp_path: Path) -> None:
    with opened(STORES["sqlite"](tmp_path)) as db:
        results = "ANY tags == 'last'"
        with db.write():
            book = db.create(Book, _id=1, title="a", tags=tags(BOUND, last=True))
        assert "judge" not in db.objects(Book, results).explain()
        with db.write():
            book.tags.append("x")
        assert "judge" in db.objects(Book, results).explain()
