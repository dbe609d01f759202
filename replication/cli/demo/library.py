"""The library of the demo: what a book and an author are, and where they come from.

The project holds facts on some two hundred well-known books of its own. Any CSV file with the
columns of `COLUMNS` can stand in for them.
"""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

from replication.errors import UsageError
from replication.model.declare import Counter, Indexed, Object, schema_of
from replication.model.values import Link

#: What a file must hold: its key, then what is read of a book.
COLUMNS: Final = (
    "book_id",
    "title",
    "authors",
    "original_publication_year",
    "language_code",
)


class Author(Object):
    """Somebody who wrote books."""

    _id: str
    born: int | None


class Book(Object):
    """A book, and what the people with the devices do with it."""

    _id: int
    title: Annotated[str, Indexed]
    year: Annotated[int | None, Indexed]
    language: Annotated[str | None, Indexed]
    authors: list[Author]
    shelf: Annotated[str | None, Indexed]
    notes: list[str]
    tags: set[str]
    loans: Counter


SCHEMA: Final = schema_of(Book, Author)


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a book."""

    key: int
    title: str
    authors: tuple[str, ...]
    year: int | None
    language: str | None


@dataclass(frozen=True)
class Library:
    """All facts.

    Attributes:
        born: years of birth of authors, where they are known.
    """

    books: list[Fact]
    born: dict[str, int | None]

    @property
    def language(self) -> str:
        """The most common language beside English, if any."""
        tally = Tally(b.language for b in self.books if b.language and b.language[:2] != "en")
        return max(tally, key=lambda code: (tally[code], code)) if tally else "none"

    def documents(self) -> list[tuple[str, dict[str, Any]]]:
        """Class and fields of every object, authors first."""
        out: list[tuple[str, dict[str, Any]]] = []
        for name, born in sorted(self.born.items()):
            out.append(("Author", {"_id": name} | ({} if born is None else {"born": born})))
        for book in self.books:
            fields: dict[str, Any] = {"_id": book.key, "title": book.title}
            if book.year is not None:
                fields["year"] = book.year
            if book.language is not None:
                fields["language"] = book.language
            fields["authors"] = [Link("Author", name) for name in book.authors]
            out.append(("Book", fields))
        return out


def load(path: Path | None, limit: int | None = None) -> Library:
    """The facts of a file, or of the project itself.

    Args:
        limit: take only so many books.

    Raises:
        UsageError: a column is missing, or a value is not what its column holds.
    """
    if path is not None:
        return _read(path, {}, limit)
    data = resources.files("replication") / "data"
    with (
        resources.as_file(data / "books.csv") as books,
        resources.as_file(data / "authors.csv") as authors,
    ):
        born = {
            cells["name"]: int(cells["born"]) if "born" in cells else None
            for cells in _cells(authors, ("name", "born"))
        }
        return _read(books, born, limit)


def _read(path: Path, born: dict[str, int | None], limit: int | None) -> Library:
    books: dict[int, Fact] = {}
    known: dict[str, int | None] = {}
    for cells in _cells(path, COLUMNS)[:limit]:
        # One author may stand twice in a row of a real table.
        names = dict.fromkeys(n.strip() for n in cells.get("authors", "").split(",") if n.strip())
        key = _integer(path, cells, "book_id")
        if key is None or key in books:
            raise UsageError(f"{path.name}: book_id {key} is missing or stands there twice")
        year = _integer(path, cells, "original_publication_year")
        title = cells.get("title", "")
        books[key] = Fact(key, title, tuple(names), year, cells.get("language_code"))
        known.update({name: born.get(name) for name in names})
    if len(books) < _BOOKS_MIN:
        raise UsageError(f"{path.name} holds {len(books)} books; the demo needs {_BOOKS_MIN}")
    return Library(list(books.values()), known)


def _cells(path: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    from replication.cli.rows import BadRowError, rows

    out = []
    seen: set[str] = set()
    for row in rows(path, "csv"):
        if isinstance(row, BadRowError):
            raise row
        seen |= row.cells.keys()
        out.append(row.cells)
    missing = [name for name in columns if name not in seen]
    if missing:
        raise UsageError(
            f"{path.name} has no column {missing[0]!r}; the demo reads {', '.join(columns)}"
        )
    return out


def _integer(path: Path, cells: dict[str, Any], name: str) -> int | None:
    text = cells.get(name)
    if text is None:
        return None
    try:
        return int(text.removesuffix(".0"))
    except ValueError:
        raise UsageError(f"{path.name}: {name} {text!r} is no whole number") from None


#: Enough for every scene to have a book of its own, and for a download to take several messages.
_BOOKS_MIN: Final = 20
