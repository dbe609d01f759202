"""Schemas declared as Python classes.

This module has postponed annotations; `declared_plainly` has not.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any, ClassVar, Optional

import declared_plainly
import pytest
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import SchemaError, WrongTypeError
from replication.model.declare import (
    Counter,
    EmbeddedObject,
    Indexed,
    Mixed,
    Object,
    Text,
    declaration_of,
    schema_of,
)
from replication.model.values import Float32, Timestamp


class Author(Object):
    _id: ObjectId
    name: Annotated[str, Indexed]
    books: list[Book]


class Address(EmbeddedObject):
    city: str = "Bath"
    country: Country | None


class Country(EmbeddedObject):
    code: str


class Book(Object):
    counted: ClassVar[int] = 0
    _id: int
    title: Annotated[str, Indexed]
    subtitle: str | None
    year: int = 1970
    price: Decimal128 | None
    tags: Annotated[list[str], Indexed()]
    genres: set[str | None]
    extra: dict[str, Mixed]
    copies: Counter
    author: Author | None
    address: Address | None
    places: dict[str, Address | None]
    visited: list[Address]
    rating: Float32
    exact: float
    published: datetime.datetime
    updated: Timestamp | None
    printed: list[datetime.datetime]
    authors: list[Author]
    readers: set[Author]
    by_role: dict[str, Author | None]
    anything: Mixed
    cover: bytes
    sold: bool
    guid: uuid.UUID
    body: Text

    def greeting(self) -> str:
        return f"Hello {self.title}"


EXPECTED = {
    "title": "string",
    "subtitle": "string?",
    "year": "int",
    "price": "decimal?",
    "tags": "list<string>",
    "genres": "set<string?>",
    "extra": "dict<mixed>",
    "copies": "counter",
    "author": "link:Author",
    "address": "embedded:Address",
    "places": "dict<embedded:Address>",
    "visited": "list<embedded:Address>",
    "rating": "float",
    "exact": "double",
    "published": "timestamp",
    "updated": "timestamp?",
    "printed": "list<timestamp>",
    "authors": "list<link:Author>",
    "readers": "set<link:Author>",
    "by_role": "dict<link:Author>",
    "anything": "mixed",
    "cover": "binary",
    "sold": "bool",
    "guid": "uuid",
    "body": "text",
}


def test_every_kind_of_annotation() -> None:
    schema = schema_of(Book)
    assert {item.name: item.spelling for item in schema["Book"].properties.values()} == EXPECTED
    assert schema["Book"].key_type == "int"
    assert schema["Book"].queryable == ["tags", "title"]


def test_classes_that_a_class_leads_to_come_along() -> None:
    schema = schema_of(Book)
    assert [item.name for item in schema] == ["Address", "Author", "Book", "Country"]
    assert schema["Address"].embedded
    assert schema["Author"].key_type == "objectId"
    assert schema == schema_of(Country, Author, Book, Book)


def test_defaults() -> None:
    schema = schema_of(Book)
    assert schema["Book"]["year"].default() == 1970
    assert schema["Address"]["city"].default() == "Bath"
    assert schema["Book"]["title"].default() == ""


def test_what_an_engine_gets() -> None:
    declaration = declaration_of(Book)
    assert declaration.classes["Book"] is Book
    assert declaration.classes["Country"] is Country
    assert declaration.datetimes == {("Book", "published"), ("Book", "printed")}


def test_a_handle_can_be_made_of_a_declaration() -> None:
    class Handle:
        @property
        def title(self) -> str:
            return "from the engine"

    handle = type("Book", (Handle, Book), {})()
    assert isinstance(handle, Book)
    assert handle.greeting() == "Hello from the engine"
    assert handle.year == 1970


def test_annotations_that_are_not_postponed() -> None:
    schema = schema_of(declared_plainly.Node)
    assert schema["Node"]["next"].spelling == "link:Node"
    assert schema["Node"]["children"].spelling == "list<link:Node>"
    assert schema["Node"]["note"].spelling == "embedded:Note"
    assert schema["Node"]["label"].spelling == "string?"
    assert schema["Node"].queryable == ["label"]


def test_classes_inside_a_function_find_each_other_when_both_are_passed() -> None:
    class Left(Object):
        _id: int
        right: Right | None

    class Right(Object):
        _id: int
        left: Left | None

    assert schema_of(Left, Right)["Left"]["right"].target == "Right"
    with pytest.raises(
        SchemaError, match=r"Left: an annotation names 'Right'.* pass that class too"
    ):
        schema_of(Left)


def test_inherited_properties() -> None:
    class Dated(Object):
        _id: uuid.UUID
        created: Timestamp

    class Note(Dated):
        text: str

    assert list(schema_of(Note)["Note"].properties) == ["created", "text"]
    assert "Dated" not in schema_of(Note)


def _declared(annotation: Any, base: type = Object, default: Any = ...) -> Any:
    body: dict[str, Any] = {"__annotations__": {"_id": int, "p": annotation}}
    if default is not ...:
        body["p"] = default
    return type("A", (base,), body)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Author, r"A\.p: a link may be null: declare it Author \| None"),
        (Address, r"A\.p: an embedded object may be null: declare it Address \| None"),
        (dict[str, Author], r"declare dict\[str, Author \| None\]"),
        (list[Author | None], r"a link in a list is never null: declare list\[Author\]"),
        (set[Address], "embedded objects can't stand in a set"),
        (dict[int, str], "the keys of a dictionary are str"),
        (int | str, r"int \| str are several types; declare it Mixed"),
        (complex, "complex is no type of a property; there are Counter, Decimal128"),
        (list, "list is no type of a property"),
        (list[list[int]], r"list\[int\] is no type of a property"),
        (tuple[int, ...], "is no type of a property"),
        (datetime.date, "date is no type of a property"),
        (Counter | None, "a counter can't be null"),
        (list[Counter], "can't stand in a collection"),
        (Optional[Text], "a text can't be null"),  # noqa: UP045
        (Annotated[Text, Indexed], "can't be queryable"),
        (Annotated[dict[str, int], Indexed], "can't be queryable"),
        ("Nowhere", "names 'Nowhere', which module"),
        ("list[", "an annotation is wrong"),
        (Annotated[int, Indexed] | None, "is no type of a property"),
    ],
)
def test_annotations_that_declare_nothing(annotation: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        schema_of(_declared(annotation))


@pytest.mark.parametrize("key", [float, int | None, Counter, bool, list[int], Mixed])
def test_illegal_keys(key: Any) -> None:
    declared = type("A", (Object,), {"__annotations__": {"_id": key}})
    with pytest.raises(SchemaError, match=r"A\._id is .*; a primary key is int, str, ObjectId or"):
        schema_of(declared)


def test_other_illegal_classes() -> None:
    with pytest.raises(SchemaError, match=r"A\._id is missing: declare the primary key as int"):
        schema_of(type("A", (Object,), {}))
    with pytest.raises(SchemaError, match=r"A\._id can't have a default"):
        schema_of(type("A", (Object,), {"__annotations__": {"_id": int}, "_id": 1}))
    with pytest.raises(SchemaError, match="can't be both"):
        schema_of(type("A", (Object, EmbeddedObject), {}))
    with pytest.raises(SchemaError, match="derives from neither"):
        schema_of(int)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match=r"A\.p can't be queryable: A is an embedded class"):
        schema_of(_declared(Annotated[int, Indexed], EmbeddedObject))
    with pytest.raises(
        SchemaError,
        match=r"Author is declared twice: in .*test_declare and in .*declared_plainly",
    ):
        schema_of(Author, declared_plainly.Author)


@pytest.mark.parametrize(
    ("annotation", "default", "message"),
    [
        (int, "a", r"A\.p: p is int, got 'a' \(string\); pass an int"),
        (int, None, "could hold null"),
        (list[int], [], "starts empty and has no default"),
        (Address | None, {}, "starts empty"),
        (datetime.datetime, datetime.datetime(2020, 1, 1), "aware datetime"),
    ],
)
def test_defaults_that_do_not_fit(annotation: Any, default: Any, message: str) -> None:
    with pytest.raises((SchemaError, WrongTypeError), match=message):
        schema_of(_declared(annotation, default=default))


def test_defaults_are_converted() -> None:
    moment = datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)
    declared = _declared(datetime.datetime, default=moment)
    assert schema_of(declared)["A"]["p"].default() == Timestamp(86_400)
    assert schema_of(_declared(int | None, default=None))["A"]["p"].default() is None


def test_a_type_checker_knows_what_it_reads() -> None:
    program = """
from typing import assert_type
from declared_plainly import Node, Note

def read(node: Node) -> None:
    assert_type(node.label, str | None)
    assert_type(node.children, list[Node])
    assert_type(node.note, Note | None)
    node.count + 1
    node.label = "typed"
    node.label = 5  # type: ignore[assignment]
"""
    options = ["--strict", "--follow-imports=silent", "--config-file=", "-c", program]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
        env={"MYPYPATH": "tests", "MYPY_CACHE_DIR": ".mypy_cache/declare"},
    )
    assert done.returncode == 0, done.stdout
