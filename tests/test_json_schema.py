"""JSON schema in the form of Atlas, in both directions. [MODEL-80]"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_strategies import schemas

from replication.errors import SchemaError
from replication.limits import NESTING_MAX
from replication.model.json_schema import from_json_schema, to_json_schema, to_relationships
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import Timestamp

#: As the services exported it: types, an embedded object, links from all over.
BOOKS: dict[str, Any] = {
    "title": "Book",
    "bsonType": "object",
    "required": ["_id", "title", "copies"],
    "properties": {
        "_id": {"bsonType": "int"},
        "title": {"bsonType": "string", "x-queryable": True},
        "subtitle": {"bsonType": "string"},
        "sold": {"bsonType": "bool"},
        "pages": {"bsonType": "long"},
        "rating": {"bsonType": "float"},
        "exact": {"bsonType": "double"},
        "price": {"bsonType": "decimal"},
        "cover": {"bsonType": "binData"},
        "published": {"bsonType": "date"},
        "guid": {"bsonType": "uuid"},
        "anything": {"bsonType": "mixed"},
        "copies": {"bsonType": "long", "x-merge": "counter"},
        "tags": {"bsonType": "array", "items": {"bsonType": "string"}},
        "genres": {
            "bsonType": "array",
            "uniqueItems": True,
            "items": {"bsonType": ["string", "null"]},
        },
        "extra": {
            "bsonType": "object",
            "properties": {},
            "additionalProperties": {"bsonType": "mixed"},
        },
        "author": {"bsonType": "objectId"},
        "authors": {"bsonType": "array", "items": {"bsonType": "objectId"}},
        "by_role": {"bsonType": "object", "additionalProperties": {"bsonType": "objectId"}},
        "publisher": {
            "title": "Publisher",
            "bsonType": "object",
            "required": ["city"],
            "properties": {
                "city": {"bsonType": "string", "description": "where it sits"},
                "owner": {"bsonType": "objectId"},
            },
        },
        "editions": {
            "bsonType": "array",
            "items": {
                "bsonType": "object",
                "properties": {"year": {"bsonType": "int"}, "editor": {"bsonType": "objectId"}},
            },
        },
    },
}
AUTHORS: dict[str, Any] = {
    "title": "Author",
    "properties": {"_id": {"bsonType": "objectId"}, "name": {"bsonType": "string"}},
    "required": ["_id", "name"],
}
_TO_AUTHOR = {"ref": "#/relationship/mongodb-atlas/library/authors", "foreign_key": "_id"}
RELATIONSHIPS: dict[str, Any] = {
    "books": {
        "author": {**_TO_AUTHOR, "is_list": False},
        "authors": {**_TO_AUTHOR, "is_list": True},
        "by_role": {**_TO_AUTHOR, "is_list": True},
        "publisher.owner": {**_TO_AUTHOR, "is_list": False},
        "editions.[].editor": {**_TO_AUTHOR, "is_list": False},
    }
}
DOCUMENTS = {"books": BOOKS, "authors": AUTHORS}


def spelled(item: ClassSchema) -> dict[str, str]:
    return {each.name: each.spelling for each in item.properties.values()}


def test_what_is_read() -> None:
    schema = from_json_schema(DOCUMENTS, RELATIONSHIPS)
    assert [item.name for item in schema] == ["Author", "Book", "Book_editions", "Publisher"]
    assert spelled(schema["Book"]) == {
        "anything": "mixed",
        "author": "link:Author",
        "authors": "list<link:Author>",
        "by_role": "dict<link:Author>",
        "copies": "counter",
        "cover": "binary?",
        "editions": "list<embedded:Book_editions>",
        "exact": "double?",
        "extra": "dict<mixed>",
        "genres": "set<string?>",
        "guid": "uuid?",
        "pages": "int?",
        "price": "decimal?",
        "published": "timestamp?",
        "publisher": "embedded:Publisher",
        "rating": "float?",
        "sold": "bool?",
        "subtitle": "string?",
        "tags": "list<string>",
        "title": "string",
    }
    assert schema["Book"].key_type == "int"
    assert schema["Book"].queryable == ["title"]
    assert spelled(schema["Publisher"]) == {"city": "string", "owner": "link:Author"}
    assert spelled(schema["Book_editions"]) == {"editor": "link:Author", "year": "int?"}
    assert schema["Author"].key_type == "objectId"


def test_what_is_written() -> None:
    schema = Schema(
        [
            ClassSchema(
                "Book",
                [
                    Property.of("title", "string", queryable=True),
                    Property.of("year", "int?"),
                    Property.of("genres", "set<string?>"),
                    Property.of("author", "link:Author"),
                    Property.of("places", "dict<embedded:Place>"),
                    Property.of("copies", "counter"),
                ],
                key="int",
            ),
            ClassSchema("Author", key="uuid"),
            ClassSchema("Place", [Property.of("by", "list<link:Author>")]),
        ]
    )
    written = to_json_schema(schema)
    assert list(written) == ["Author", "Book"]
    assert written["Book"] == {
        "title": "Book",
        "bsonType": "object",
        "properties": {
            "_id": {"bsonType": "long"},
            "author": {"bsonType": "uuid"},
            "copies": {"bsonType": "long", "x-merge": "counter"},
            "genres": {
                "bsonType": "array",
                "items": {"bsonType": ["string", "null"]},
                "uniqueItems": True,
            },
            "places": {
                "bsonType": "object",
                "additionalProperties": {
                    "title": "Place",
                    "bsonType": "object",
                    "properties": {"by": {"bsonType": "array", "items": {"bsonType": "uuid"}}},
                    "required": [],
                },
            },
            "title": {"bsonType": "string", "x-queryable": True},
            "year": {"bsonType": "long"},
        },
        "required": ["_id", "copies", "title"],
    }
    ref = "#/relationship/mongodb-atlas/library/Author"
    assert to_relationships(schema, database="library") == {
        "Author": {},
        "Book": {
            "author": {"ref": ref, "foreign_key": "_id", "is_list": False},
            "places.[].by": {"ref": ref, "foreign_key": "_id", "is_list": True},
        },
    }


def without_unused(schema: Schema) -> Schema:
    """The same without embedded classes that stand in no class with a key."""
    used = {item.name for item in schema if not item.embedded}
    waiting = list(used)
    while waiting:
        for each in schema[waiting.pop()].properties.values():
            if each.type == "embedded" and each.target not in used:
                used.add(str(each.target))
                waiting.append(str(each.target))
    return Schema(item for item in schema if item.name in used)


@given(schemas().map(without_unused))
def test_round_trip_of_everything_that_can_be_written(schema: Schema) -> None:
    documents = json.loads(json.dumps(to_json_schema(schema)))
    relationships = json.loads(json.dumps(to_relationships(schema)))
    assert from_json_schema(documents, relationships) == schema


def test_defaults_go_both_ways() -> None:
    item = ClassSchema("A", [Property.of("p", "timestamp", initial=Timestamp(5))], key="int")
    written = to_json_schema(Schema([item]))
    assert written["A"]["properties"]["p"]["default"] == {"$ts": [5, 0]}
    assert from_json_schema(written)["A"]["p"].default() == Timestamp(5)


def test_collections_are_named_by_title() -> None:
    documents = copy.deepcopy(DOCUMENTS)
    del documents["authors"]["title"]
    schema = from_json_schema(documents, RELATIONSHIPS)
    assert schema["Book"]["author"].target == "authors"


def test_the_older_spelling_of_relationships() -> None:
    relationships = {
        "authors": {
            "mentor": {
                "ref": "#/relationship/mongodb-atlas/library/authors",
                "foreignKey": "_id",
                "isList": True,
            }
        }
    }
    authors = copy.deepcopy(AUTHORS)
    authors["properties"]["mentor"] = {"bsonType": "array", "items": {"bsonType": "objectId"}}
    schema = from_json_schema({"authors": authors}, relationships)
    assert schema["Author"]["mentor"].spelling == "list<link:Author>"


def test_one_embedded_class_in_two_places() -> None:
    place = {"bsonType": "object", "title": "Place", "properties": {"city": {"bsonType": "string"}}}
    document = {
        "properties": {"_id": {"bsonType": "int"}, "one": place, "two": copy.deepcopy(place)}
    }
    schema = from_json_schema({"A": document})
    assert schema["A"]["one"].target == schema["A"]["two"].target == "Place"
    document["properties"]["two"]["properties"]["zip"] = {"bsonType": "string"}  # type: ignore[index]
    with pytest.raises(
        SchemaError, match=r"A\.two: embedded class Place is not what it is at A\.one"
    ):
        from_json_schema({"A": document})


def _with(path: str, value: Any) -> dict[str, Any]:
    documents = copy.deepcopy(DOCUMENTS)
    *outer, last = path.split("/")
    where: Any = documents
    for step in outer:
        where = where[step]
    where[last] = value
    return documents


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("books", [], r"books: \[\] \(list\) where an object belongs"),
        ("books/title", 5, "books: title is 5"),
        ("books/bsonType", "array", "Book: bsonType is 'array'"),
        ("books/properties", {}, "Book: there is no property _id"),
        ("books/properties/_id", {"bsonType": "double"}, r"Book\._id is 'double'"),
        ("books/properties/_id", {}, r"Book\._id: None"),
        ("books/properties/pages", 5, r"Book\.pages: 5 \(int\) where an object belongs"),
        ("books/properties/pages/minimum", 0, r"Book\.pages: keyword 'minimum' can't be repr"),
        ("books/properties/pages/bsonType", "number", r"Book\.pages: bsonType 'number'.*there are"),
        ("books/properties/pages/bsonType", ["int", "string"], "is not one type"),
        ("books/properties/pages/bsonType", [1], "a list of names"),
        ("books/properties/pages/x-merge", "text", "a long can't merge as 'text'"),
        ("books/properties/pages/x-merge", [], "a long can't merge as"),
        ("books/properties/pages/x-queryable", 1, "x-queryable is 1"),
        ("books/properties/pages/default", "many", r"Book\.pages: .*got 'many' \(string\)"),
        ("books/properties/pages/default", {"$list": []}, "which nothing starts with"),
        ("books/properties/pages/default", [1], r"Book\.pages: .*is no value"),
        ("books/properties/tags/default", "a", "starts empty"),
        ("books/properties/tags/items", None, r"Book\.tags: None"),
        ("books/properties/tags/items/maxLength", 5, r"Book\.tags: keyword 'maxLength'"),
        ("books/properties/tags/minItems", 5, r"Book\.tags: keyword 'minItems'"),
        ("books/properties/tags/uniqueItems", "yes", "uniqueItems is 'yes'"),
        ("books/properties/tags/items/bsonType", "array", r"Book\.tags: bsonType 'array'"),
        (
            "books/properties/tags/items",
            {"bsonType": "object", "additionalProperties": {"bsonType": "int"}},
            "a dictionary can't stand in a collection",
        ),
        ("books/properties/extra/properties", {"a": {"bsonType": "int"}}, "together"),
        ("books/properties/extra/patternProperties", {}, "patternProperties"),
        ("books/properties/extra/additionalProperties", True, r"Book\.extra is not|embedded|extra"),
        ("books/properties/pages", {"bsonType": "object"}, "an object needs properties"),
        ("books/properties/a.b", {"bsonType": "int"}, "contains '.'"),
        ("books/properties/publisher/title", "A<B", r"Book\.publisher: .*contains '<'"),
        ("books/properties/publisher/title", "Author", "Author is declared twice"),
        (
            "books/properties/publisher/properties/city/bsonType",
            "blob",
            r"Book\.publisher\.city: b",
        ),
        ("books/properties/publisher/properties/city/x-queryable", True, "can't be queryable"),
        (
            "books/properties/publisher/required",
            ["citi"],
            r"Book\.publisher: required names 'citi'",
        ),
        ("books/required", ["titel"], "Book: required names 'titel'"),
        ("books/required", "title", "list of names"),
        ("authors/title", "Book", "Book is declared twice"),
    ],
)
def test_what_can_not_be_read(path: str, value: Any, message: str) -> None:
    documents = _with(path, value)
    if path.endswith("additionalProperties"):
        documents["books"]["properties"]["extra"].pop("properties")
        message = "an object needs properties"
    with pytest.raises(SchemaError, match=message):
        from_json_schema(documents, RELATIONSHIPS)


@pytest.mark.parametrize(
    ("path", "relationship", "message"),
    [
        ("author", 5, r"Book\.author: 5"),
        ("author", {}, r"ref is None"),
        ("author", {"ref": "authors"}, "ref is 'authors'.*not #/relationship/"),
        ("author", {"ref": "#/relationship/a/b/c"}, "leads to collection 'c', which has no schema"),
        ("author", {**_TO_AUTHOR, "foreign_key": "name"}, "links hold _id"),
        ("author", {**_TO_AUTHOR, "is_list": True}, "is_list is True"),
        ("authors", {**_TO_AUTHOR, "is_list": False}, "is_list is False"),
        ("title", {**_TO_AUTHOR, "is_list": False}, "'string' .* is not the key of authors"),
        (
            "publisher.nothing",
            {**_TO_AUTHOR},
            "Book: relationship 'publisher.nothing' leads from no",
        ),
    ],
)
def test_relationships_that_can_not_be_read(path: str, relationship: Any, message: str) -> None:
    relationships = {"books": {**RELATIONSHIPS["books"], path: relationship}}
    with pytest.raises(SchemaError, match=message):
        from_json_schema(DOCUMENTS, relationships)
    with pytest.raises(SchemaError, match="relationships of 'nothing', which has no schema"):
        from_json_schema(DOCUMENTS, {"nothing": {}})


def test_what_can_not_be_written() -> None:
    inner = ClassSchema("e", [Property.of("p", "int")])
    with pytest.raises(SchemaError, match="embedded class e stands in no class"):
        to_json_schema(Schema([inner]))
    chain = [ClassSchema("A", [Property.of("p", "embedded:e0")], key="int")]
    for n in range(2 * NESTING_MAX + 2):
        chain.append(ClassSchema(f"e{n}", [Property.of("p", f"embedded:e{n + 1}")]))
    with pytest.raises(SchemaError, match="nests too deep"):
        to_json_schema(Schema([*chain, ClassSchema(f"e{n + 1}")]))
    wide = [ClassSchema("A", [Property.of("p", "embedded:e0")], key="int")]
    for n in range(20):
        both = [Property.of(each, f"embedded:e{n + 1}") for each in "pq"]
        wide.append(ClassSchema(f"e{n}", both))
    with pytest.raises(SchemaError, match="expand to over"):
        to_json_schema(Schema([*wide, ClassSchema("e20")]))


def test_reading_is_bounded_in_depth() -> None:
    document: dict[str, Any] = {"bsonType": "object", "properties": {}}
    for _ in range(300):
        document = {"bsonType": "object", "properties": {"p": document}}
    document["properties"]["_id"] = {"bsonType": "int"}
    with pytest.raises(SchemaError, match="deeper"):
        from_json_schema({"A": document})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@given(st.data())
def test_reading_is_total(data: st.DataObject) -> None:
    documents = copy.deepcopy(DOCUMENTS)
    where: Any = documents
    while isinstance(where, dict) and where:
        key = data.draw(st.sampled_from(sorted(where)))
        if not isinstance(where[key], dict) or data.draw(st.integers(0, 3)) == 0:
            where[key] = data.draw(JSON)
            break
        where = where[key]
    try:
        schema = from_json_schema(documents, RELATIONSHIPS)
    except SchemaError:
        return
    assert from_json_schema(to_json_schema(schema), to_relationships(schema)) == schema
