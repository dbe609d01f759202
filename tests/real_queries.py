"""Realistic queries on real data, each with what it means in plain Python.

`python tests/real_queries.py` compares all objects of both files with all queries; the test takes
every so many of the objects.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import apsw
import bson

from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import EmbeddedValues
from replication.query import parse
from replication.query.columns import column_value
from replication.query.index import MatchingIndex
from replication.query.ordering import arranged
from replication.query.sql import FUNCTIONS, compile_sql

Document = dict[str, Any]
Judge = Callable[[Document], bool]


class Data(NamedTuple):
    """Objects, the types of their fields, and what makes queries for them."""

    documents: list[Document]
    types: dict[str, str]
    schema: Schema
    make: Callable[[Random, list[Document]], tuple[str, Judge]]


# -- zip codes -----------------------------------------------------------------------------------
ZIP_TYPES = {
    "_id": "objectId", "city": "string?", "zip": "string?", "pop": "int?", "state": "string?",
    "loc": "embedded:Place", "point": "embedded:Point",
}  # fmt: skip
_PLACE = ClassSchema("Place", [Property.of("x", "double?"), Property.of("y", "double?")])
_POINT = ClassSchema(
    "Point", [Property.of("type", "string?"), Property.of("coordinates", "list<double>")]
)


def zips(path: Path, step: int = 1) -> Data:
    """The zip codes of a BSON file."""
    documents = []
    for found in bson.decode_all(path.read_bytes())[::step]:
        x, y = float(found["loc"]["x"]), float(found["loc"]["y"])
        documents.append(
            {
                **found,
                "loc": EmbeddedValues(x=x, y=y),
                "point": EmbeddedValues(type="Point", coordinates=[-x, y]),
            }
        )
    return Data(documents, ZIP_TYPES, Schema([_PLACE, _POINT]), _zip_query)


def _zip_query(rng: Random, documents: list[Document]) -> tuple[str, Judge]:
    some, other = rng.choice(documents), rng.choice(documents)
    state, city, number = some["state"], some["city"], some["pop"]
    low, high = sorted([number, other["pop"]])
    x, y = some["loc"]["x"], some["loc"]["y"]
    part = city[:3].lower()
    states = sorted({state, other["state"], "CA"})
    listed = ", ".join(f"'{each}'" for each in states)
    return rng.choice(
        [
            (f"state == '{state}'", lambda d: d["state"] == state),
            (f"state IN {{{listed}}}", lambda d: d["state"] in states),
            (f"pop BETWEEN {{{low}, {high}}}", lambda d: low <= d["pop"] <= high),
            (f"pop > {number}", lambda d: d["pop"] > number),
            (f"pop * 2 + 1 < {number}", lambda d: d["pop"] * 2 + 1 < number),
            (f"city BEGINSWITH[c] '{part}'", lambda d: d["city"].lower().startswith(part)),
            (f"city CONTAINS '{city[1:4]}'", lambda d: city[1:4] in d["city"]),
            (f"city LIKE '{city[:1]}?{city[2:3]}*'", _like(city)),
            (f"city ENDSWITH '{city[-3:]}'", lambda d: d["city"].endswith(city[-3:])),
            (f"zip < '{some['zip']}'", lambda d: d["zip"] < some["zip"]),
            (f"loc.y > {y!r} AND loc.x < {x!r}", lambda d: d["loc"]["y"] > y and d["loc"]["x"] < x),
            (f"loc.y + loc.x > {x + y!r}", lambda d: d["loc"]["y"] + d["loc"]["x"] > x + y),
            (
                f"point geoWithin geoBox([{-x - 1!r}, {y - 1!r}], [{-x + 1!r}, {y + 1!r}])",
                lambda d: abs(-d["loc"]["x"] - -x) <= 1.0000001 and _in_box(d, x, y),
            ),
            (f"_id >= oid({some['_id']})", lambda d: d["_id"].binary >= some["_id"].binary),
            (f"city.@count == {len(city)}", lambda d: len(d["city"]) == len(city)),
            (f"city TEXT '{city.split()[0]}'", _has_word(city)),
        ]
    )  # fmt: skip


def _in_box(document: Document, x: float, y: float) -> bool:
    longitude, latitude = -document["loc"]["x"], document["loc"]["y"]
    return -x - 1 <= longitude <= -x + 1 and y - 1 <= latitude <= y + 1


def _like(city: str) -> Judge:
    pattern = re.compile(f"{re.escape(city[:1])}.{re.escape(city[2:3])}.*", re.DOTALL)
    return lambda d: pattern.fullmatch(d["city"]) is not None


def _has_word(city: str) -> Judge:
    wanted = set(re.findall(r"[^\W_]+", city.split()[0].lower()))
    return lambda d: wanted <= set(re.findall(r"[^\W_]+", d["city"].lower()))


# -- books ---------------------------------------------------------------------------------------
BOOK_TYPES = {
    "_id": "int", "title": "string?", "authors": "list<string>", "year": "int?",
    "rating": "double?", "language": "string?", "counts": "list<int>", "ratings": "int?",
}  # fmt: skip


def books(path: Path, step: int = 1) -> Data:
    """The books of a CSV file."""
    documents = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in list(csv.DictReader(file))[::step]:
            year = row["original_publication_year"]
            documents.append(
                {
                    "_id": int(row["book_id"]),
                    "title": row["title"],
                    "authors": [each.strip() for each in row["authors"].split(",")],
                    "year": int(float(year)) if year else None,
                    "rating": float(row["average_rating"]),
                    "language": row["language_code"] or None,
                    "counts": [int(row[f"ratings_{stars}"]) for stars in range(1, 6)],
                    "ratings": int(row["ratings_count"]),
                }
            )
    return Data(documents, BOOK_TYPES, Schema(), _book_query)


def _book_query(rng: Random, documents: list[Document]) -> tuple[str, Judge]:
    some, other = rng.choice(documents), rng.choice(documents)
    author = some["authors"][-1].replace("'", "")
    word = re.findall(r"[A-Za-z]+", some["title"] + " the")[0]
    year, rating, number = some["year"] or 1900, some["rating"], some["ratings"]
    language, most = some["language"] or "eng", max(some["counts"])
    low, high = sorted([rating, other["rating"]])
    times, size, thousands = number % 7, len(some["authors"]) - 1, number // 1000
    folded, quoted = word.casefold(), some["title"].upper().replace('"', "")
    return rng.choice(
        [
            (f"year >= {year}", lambda d: d["year"] is not None and d["year"] >= year),
            (f"year != {year}", lambda d: d["year"] != year),
            ("year == null", lambda d: d["year"] is None),
            (f"NOT year > {year}", lambda d: not (d["year"] is not None and d["year"] > year)),
            (f"rating BETWEEN {{{low!r}, {high!r}}}", lambda d: low <= d["rating"] <= high),
            (f"language IN {{'{language}', null}}", lambda d: d["language"] in (language, None)),
            (f"authors == '{author}'", lambda d: author in d["authors"]),
            (f"NONE authors BEGINSWITH '{author[:2]}'", _none(author[:2])),
            (f"ALL counts > {most // 100}", lambda d: all(n > most // 100 for n in d["counts"])),
            (f"counts.@sum > {number}", lambda d: sum(d["counts"]) > number),
            (f"counts.@max == {most}", lambda d: max(d["counts"]) == most),
            (f"counts[4] > counts[0] * {times}", lambda d: d["counts"][4] > d["counts"][0] * times),
            (f"authors.@count > {size}", lambda d: len(d["authors"]) > size),
            (f"title CONTAINS[c] '{word.upper()}'", lambda d: folded in d["title"].casefold()),
            (f"title TEXT '{word} -of'", _text(word)),
            (f"ratings / 1000 == {thousands}", lambda d: d["ratings"] // 1000 == thousands),
            (f'title ==[c] "{quoted}"', lambda d: d["title"].casefold() == quoted.casefold()),
        ]
    )  # fmt: skip


def _none(prefix: str) -> Judge:
    return lambda d: not any(each.startswith(prefix) for each in d["authors"])


def _text(word: str) -> Judge:
    def judge(document: Document) -> bool:
        import unicodedata

        plain = unicodedata.normalize("NFD", document["title"])
        kept = "".join(char for char in plain if unicodedata.category(char) != "Mn").casefold()
        held = set(re.findall(r"[^\W_]+", kept))
        return word.casefold() in held and "of" not in held

    return judge


# -- comparing -----------------------------------------------------------------------------------
def composed(data: Data, number: int) -> Iterator[tuple[str, Judge]]:
    """So many queries: of one, two or three conditions."""
    rng = Random(7)
    for _ in range(number):
        parts = [data.make(rng, data.documents) for _ in range(rng.choice([1, 2, 2, 3]))]
        text, judge = parts[0]
        for other_text, other in parts[1:]:
            if rng.randrange(2):
                text, judge = f"({text}) AND ({other_text})", _both(judge, other)
            elif rng.randrange(2):
                text, judge = f"{text} OR {other_text}", _either(judge, other)
            else:
                text, judge = f"({text}) AND NOT ({other_text})", _but_not(judge, other)
        yield text, judge


def _both(one: Judge, other: Judge) -> Judge:
    return lambda d: one(d) and other(d)


def _either(one: Judge, other: Judge) -> Judge:
    return lambda d: one(d) or other(d)


def _but_not(one: Judge, other: Judge) -> Judge:
    return lambda d: one(d) and not other(d)


def compare(data: Data, number: int) -> int:
    """Python, SQL, the index and the plain meaning, on all objects; how many were found in all."""
    names = [name for name, spelled in data.types.items() if "embedded" not in spelled]
    columns = {name: f'"{name}"' for name in names}
    connection = apsw.Connection(":memory:")
    for name, (function, arguments) in FUNCTIONS.items():
        connection.create_scalar_function(name, function, arguments, deterministic=True)
    connection.execute(f"CREATE TABLE t (row INTEGER PRIMARY KEY, {', '.join(columns.values())})")
    for name in names:
        connection.execute(f'CREATE INDEX "by {name}" ON t ({columns[name]})')
    marks = ", ".join("?" * (len(names) + 1))
    with connection:
        connection.executemany(
            f"INSERT INTO t VALUES ({marks})",
            (
                (row, *(column_value(document[name]) for name in names))
                for row, document in enumerate(data.documents)
            ),
        )
    total = 0
    index: MatchingIndex[int] = MatchingIndex()
    held: list[list[int]] = [[] for _ in data.documents]
    for at, (text, judge) in enumerate(composed(data, number)):
        query = parse(text).check(data.types, data.schema)
        index.add(at, query)
        expected = [row for row, document in enumerate(data.documents) if judge(document)]
        found = [row for row, each in enumerate(data.documents) if query.matches(each.get)]
        assert found == expected, text
        compiled = compile_sql(query, columns)
        if compiled is not None:
            sql = f"SELECT row FROM t WHERE {compiled.text} ORDER BY row"
            rows = [row for (row,) in connection.execute(sql, compiled.bindings)]
            if not compiled.exact:
                rows = [row for row in rows if query.matches(data.documents[row].get)]
            assert rows == expected, text
        for row in expected:
            held[row].append(at)
        total += len(expected)
    for document, numbers in zip(data.documents, held, strict=True):
        assert sorted(index.match(document.get)) == numbers, document
    return total


def window(data: Data, field: str) -> None:
    """SORT, DISTINCT and LIMIT beside Python's own."""
    [branch] = parse(f"TRUEPREDICATE SORT({field} DESC, _id ASC) LIMIT(100)").branches
    found = arranged(branch, data.documents, lambda document: document.get)
    ordered = sorted(data.documents, key=lambda document: document["_id"])
    ordered.sort(key=lambda d: (d[field] is not None, d[field] or 0), reverse=True)
    assert found == ordered[:100]


if __name__ == "__main__":
    from command_line import DATA

    print("zips", compare(zips(DATA / "zips.bson"), 200))
    print("books", compare(books(DATA / "books.csv"), 200))
