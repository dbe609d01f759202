"""The classes that the tests of the client's app-facing half use, and stores to put them in."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from replication.client.database import Database
from replication.crdt.view import query_values
from replication.model.declare import (
    Counter,
    Declaration,
    EmbeddedObject,
    Indexed,
    Mixed,
    Object,
    declaration_of,
)
from replication.model.schema import Schema
from replication.model.values import Timestamp
from replication.storage.contract import Store
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore

#: Where wall clocks start, in milliseconds since 2015.
WALL_MS = 300_000_000_000


class Author(Object):
    _id: int
    name: Annotated[str, Indexed]
    books: list[Book]


class Country(EmbeddedObject):
    code: str


class Address(EmbeddedObject):
    city: str = "Bath"
    number: int
    lines: list[str]
    country: Country | None
    doors: list[Country]


class Book(Object):
    _id: int
    title: Annotated[str, Indexed]
    subtitle: str | None
    year: Annotated[int, Indexed] = 1970
    price: float
    copies: Counter
    tags: Annotated[list[str], Indexed]
    numbers: list[int]
    genres: Annotated[set[str], Indexed]
    extra: dict[str, Mixed]
    anything: Mixed
    author: Author | None
    authors: list[Author]
    readers: set[Author]
    by_role: dict[str, Author | None]
    address: Address | None
    visited: list[Address]
    places: dict[str, Address | None]
    published: datetime.datetime | None
    updated: Timestamp | None

    def greeting(self) -> str:
        return f"Hello {self.title}"


LIBRARY: Declaration = declaration_of(Book)


def ticking(start: int = WALL_MS) -> Callable[[], int]:
    """A wall clock that goes on by a millisecond at each look."""
    counter = itertools.count(start)
    return lambda: next(counter)


#: Makes a store in a directory, or finds what the one before left there.
MakeStore = Callable[[Path], Store]


def make_sqlite(directory: Path) -> Store:
    return SQLiteStore(directory / "client.db", query_values)


def make_memory(_directory: Path) -> Store:
    return MemoryStore(query_values)


STORES: dict[str, MakeStore] = {"memory": make_memory, "sqlite": make_sqlite}


@contextmanager
def opened(
    store: Store, schema: Schema | Declaration | None = LIBRARY, **options: Any
) -> Iterator[Database]:
    """A database over a store, closed at the end."""
    with Database(store, schema, wall_ms=ticking(), **options) as db:
        yield db
