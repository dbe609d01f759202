"""Subscriptions that look at other objects, from a device's file through a session and back."""

from __future__ import annotations

from typing import Any

import pytest
from library import LIBRARY, Author, Book
from worlds import Device, World

from replication.client.database import Database
from replication.client.left import LeftView
from replication.errors import NoSubscriptionError, QueryError
from replication.limits import LIST_PART_ELEMENTS_MAX
from replication.model.values import Link


def world() -> tuple[World, Database, Device]:
    """A server, a device that sees everything, and one that asks for something."""
    made = World(2, schema=LIBRARY, development=True)
    writer, reader = made.devices
    with writer.db.subscriptions.edit() as edit:
        edit.add("Book")
        edit.add("Author")
    with writer.db.write():
        authors = [
            writer.db.create(Author, _id=key, name=name) for key, name in enumerate(["Ann", "Bob"])
        ]
        for key in range(4):
            writer.db.create(Book, _id=key, title=f"t{key}", author=authors[key % 2])
    made.settle()
    return made, writer.db, reader


def subscribe(device: Device, text: str) -> None:
    with device.db.subscriptions.edit() as edit:
        edit.clear()
        edit.add("Book", text)


def held(db: Database) -> tuple[list[Any], list[Any]]:
    return sorted(db.objects(Book).keys()), sorted(db.objects(Author).keys())


def test_a_device_is_brought_what_its_objects_link_to() -> None:
    made, db, reader = world()
    subscribe(reader, "author.name == 'Ann' FOLLOW(author)")
    made.settle()
    assert held(reader.db) == ([0, 2], [0])
    with db.write():
        author = db.get(Author, 1)
        assert author is not None
        author.name = "Ann"
    made.settle()
    assert held(reader.db) == ([0, 1, 2, 3], [0, 1])
    book = reader.db.get(Book, 1)
    assert book is not None
    assert book.author is not None
    assert book.author.name == "Ann"
    subscribe(reader, "TRUEPREDICATE SORT(_id DESC) LIMIT(1)")
    made.settle()
    assert held(reader.db) == ([3], [])


def test_a_window_gives_up_what_others_push_out() -> None:
    made, db, reader = world()
    subscribe(reader, "title != 'no' SORT(year DESC, _id ASC) LIMIT(2) UNION title == 't3'")
    made.settle()
    assert held(reader.db) == ([0, 1, 3], [])
    with db.write():
        book = db.get(Book, 2)
        assert book is not None
        book.year = 2020
    made.settle()
    assert held(reader.db) == ([0, 2, 3], [])


def test_a_long_list_is_whole_in_a_subscription() -> None:
    """[QUERY-156]"""
    made, db, reader = world()
    subscribe(reader, f"ANY tags == 'x' AND tags.@count >= {LIST_PART_ELEMENTS_MAX}")
    with db.write():
        book = db.get(Book, 1)
        assert book is not None
        book.tags = ["x"] * LIST_PART_ELEMENTS_MAX
    made.settle()
    assert held(reader.db)[0] == [1]
    with db.write():
        book.tags.append("last")
    made.settle()
    assert held(reader.db)[0] == [1]
    for text, keys in [
        ("NOT ANY tags == 'x'", [0, 2, 3]),  # by state, from the server's rows
        ("tags[LAST] == 'last'", [1]),
        ("tags.@count > 0 SORT(_id DESC) LIMIT(1)", [1]),
    ]:
        subscribe(reader, text)
        made.settle()
        assert held(reader.db)[0] == keys
    with db.write():
        del book.tags[1:]
    made.settle()
    subscribe(reader, "tags == {'x'}")
    made.settle()
    assert held(reader.db)[0] == [1]


def test_what_can_not_be_served_is_refused_at_once() -> None:
    _, _, reader = world()
    for text in ("author.nosuch == 1", "@links.Author.books.@count == 1", "authors.name == 'x'"):
        with pytest.raises(QueryError):
            subscribe(reader, text)


# -- what FOLLOW brings, made here ---------------------------------------------------------------
def test_an_object_that_a_followed_link_is_to_lead_to() -> None:
    """SUB-7 SUB-11: it may be created; one that nothing links to is at the server, and told."""
    made, db, reader = world()
    subscribe(reader, "title != 'x' FOLLOW(author)")
    made.settle()
    told: list[LeftView] = []
    reader.db.on_left_view(told.extend)
    with reader.db.write():
        ann = reader.db.create(Author, _id=10, name="Eve")
        reader.db.create(Book, _id=10, author=ann)
        reader.db.create(Author, _id=11, name="nobody's")
        with pytest.raises(NoSubscriptionError, match="no subscription of this device is for Pen"):
            reader.db.subscriptions.check_covers("Pen")
    made.settle()
    assert held(reader.db) == ([0, 1, 2, 3, 10], [0, 1, 10])
    assert [(each.class_name, each.key) for each in told] == [("Author", 11)]
    assert sorted(db.objects(Author).keys()) == [0, 1, 10, 11]
    assert reader.db.refusals() == []
    with db.write():
        book = db.get(Book, 1)
        assert book is not None
        book.author = db.get(Author, 11)
    made.settle()
    assert 11 in held(reader.db)[1], "something leads to it now"


@pytest.mark.parametrize("first", ["author first", "book first"])
def test_an_object_and_its_link_in_two_transactions(first: str) -> None:
    """SUB-7: both are here in the end, in whichever order they were written and sent."""
    made, _, reader = world()
    subscribe(reader, "title != 'x' FOLLOW(author)")
    made.settle()
    with reader.db.write():
        if first == "author first":
            reader.db.create(Author, _id=10)
        else:
            reader.db.create(Book, _id=10, author=Link("Author", 10))
    with reader.db.write():
        if first == "author first":
            reader.db.create(Book, _id=10, author=reader.db.get(Author, 10))
        else:
            reader.db.create(Author, _id=10)
    made.settle()
    assert held(reader.db) == ([0, 1, 2, 3, 10], [0, 1, 10])
    book = reader.db.get(Book, 10)
    assert book is not None
    assert book.author is not None


@pytest.mark.parametrize(
    ("asked", "text", "allowed"),
    [
        ("Book", "TRUEPREDICATE", False),
        ("Book", "author.name == 'x'", False),
        ("Book", "TRUEPREDICATE FOLLOW(author)", True),
        ("Book", "year == 1 UNION year == 2 FOLLOW(author)", True),
        ("Book", "TRUEPREDICATE FOLLOW(*)", True),
        ("Book", "TRUEPREDICATE FOLLOW(by_role)", True),
        ("Author", "TRUEPREDICATE FOLLOW(books)", True),
        ("Author", "TRUEPREDICATE", False),
    ],
)
def test_what_a_set_may_bring_along(asked: str, text: str, allowed: bool) -> None:
    """SUB-7"""
    _, _, reader = world()
    with reader.db.subscriptions.edit() as edit:
        edit.clear()
        edit.add(asked, text)
    other = Author if asked == "Book" else Book
    with reader.db.write():
        if allowed:
            reader.db.create(other, _id=10)
        else:
            with pytest.raises(NoSubscriptionError):
                reader.db.create(other, _id=10)
