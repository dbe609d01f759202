"""JSON schema as Atlas App Services had it, in both directions. [MODEL-80]

A document a class, `title` naming it; embedded objects inline; links as values of the target's
primary key, told apart by relationships that stand beside the schema, each under its path: names
joined by ".", with "[]" for the step into any collection.

Rule 1: what a schema says comes back: `from_json_schema(to_json_schema(s), to_relationships(s))`
        is `s`. What Atlas has no word for has a keyword of ours: "x-merge" ("counter", "text"),
        "x-queryable", and a "null" beside the type of elements that may be null.
Rule 2: what can't be represented is a SchemaError that names the path and the keyword. A keyword
        that restricts values is never ignored: nobody would enforce it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from replication.errors import SchemaError, UsageError
from replication.limits import NESTING_MAX, SCHEMA_PROPERTIES_MAX
from replication.model.check import shown
from replication.model.notation import NewEmbedded, from_json, to_json
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.types import (
    KEY_NAME,
    MERGING_TYPES,
    Collection,
    always_nullable,
    derived_class_name,
)
from replication.model.values import ERASED, Based, Container, Value

#: Whatever `json` reads and writes.
Json: TypeAlias = Any

_BSON_TYPES: Final = {
    "bool": "bool",
    "int": "long",
    "float": "float",
    "double": "double",
    "decimal": "decimal",
    "string": "string",
    "binary": "binData",
    "timestamp": "date",
    "objectId": "objectId",
    "uuid": "uuid",
    "mixed": "mixed",
    "counter": "long",
    "text": "string",
}
_TYPES: Final = {bson: name for name, bson in _BSON_TYPES.items() if name not in MERGING_TYPES} | {
    "int": "int"
}

_NOTES: Final = {"bsonType", "title", "description", "default", "x-queryable"}
_KEYWORDS: Final = {
    "object": _NOTES | {"properties", "required", "additionalProperties"},
    "array": _NOTES | {"items", "uniqueItems"},
    "plain": _NOTES | {"x-merge"},
}


# -- writing -----------------------------------------------------------------------------------
def to_json_schema(schema: Schema) -> dict[str, Json]:
    """The JSON schema of each class with a primary key, by class name.

    Raises:
        SchemaError: an embedded class that stands nowhere, or embedded objects that nest too
            deep or too often to be written out.
    """
    return _Writer(schema).documents


def to_relationships(
    schema: Schema, *, source: str = "mongodb-atlas", database: str = "app"
) -> dict[str, dict[str, Json]]:
    """The relationships of each class with a primary key, by class name and path.

    Args:
        source: the data source that `ref` names.
        database: the database that `ref` names; the collection is the class.

    Raises:
        SchemaError: as `to_json_schema`.
    """
    found = _Writer(schema).links
    return {
        name: {
            path: {
                "ref": f"#/relationship/{source}/{database}/{item.target}",
                "foreign_key": KEY_NAME,
                "is_list": item.collection is not None,
            }
            for path, item in links.items()
        }
        for name, links in found.items()
    }


class _Writer:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._left = SCHEMA_PROPERTIES_MAX
        self._written = {item.name for item in schema if not item.embedded}
        self.links: dict[str, dict[str, Property]] = {name: {} for name in sorted(self._written)}
        self.documents = {
            item.name: self._class(item, item.name, ()) for item in schema if not item.embedded
        }
        for item in schema:
            if item.name not in self._written:
                raise SchemaError(f"embedded class {item.name} stands in no class with a key")

    def _class(self, item: ClassSchema, top: str, path: tuple[str, ...]) -> Json:
        if len(path) > 2 * NESTING_MAX:
            raise SchemaError(f"{top}.{'.'.join(path)} nests too deep")
        self._left -= len(item.properties)
        if self._left < 0:
            raise SchemaError(f"embedded classes expand to over {SCHEMA_PROPERTIES_MAX} properties")
        self._written.add(item.name)
        own = [*([item.key] if item.key else []), *item.properties.values()]
        required = [each for each in own if not (each.nullable or each.collection)]
        return {
            "title": item.name,
            "bsonType": "object",
            "properties": {each.name: self._property(each, top, path) for each in own},
            "required": [each.name for each in required],
        }

    def _property(self, item: Property, top: str, path: tuple[str, ...]) -> Json:
        here = (*path, item.name)
        written: Json
        if item.target is None:
            bson = _BSON_TYPES[item.type]
            hidden = item.collection is None or always_nullable(item.type, item.collection)
            written = {"bsonType": [bson, "null"] if item.nullable and not hidden else bson}
            if item.type in MERGING_TYPES:
                written["x-merge"] = item.type
        elif item.type == "link":
            self.links[top][".".join(here)] = item
            written = {"bsonType": _BSON_TYPES[self._schema[item.target].key_type or ""]}
        else:
            inside = here if item.collection is None else (*here, "[]")
            written = self._class(self._schema[item.target], top, inside)
        if item.collection == "dict":
            written = {"bsonType": "object", "additionalProperties": written}
        elif item.collection is not None:
            written = {"bsonType": "array", "items": written}
            if item.collection == "set":
                written["uniqueItems"] = True
        if item.queryable and item.name != KEY_NAME:
            written["x-queryable"] = True
        if item.initial is not None:
            written["default"] = to_json(item.initial)
        return written


# -- reading -----------------------------------------------------------------------------------
def from_json_schema(
    documents: Mapping[str, Json], relationships: Mapping[str, Mapping[str, Json]] | None = None
) -> Schema:
    """The schema that these documents, by collection, and their relationships describe.

    A class is named by `title`, and by its collection where there is none; an embedded class
    without a title by its place, as in ``Book_address``.

    Raises:
        SchemaError: something that can't be represented, or contradicts; with its path.
    """
    reader = _Reader(documents, relationships or {})
    return Schema(reader.classes())


class _LocatedError(SchemaError):
    """Says already where in the documents it is."""


@contextlib.contextmanager
def _located(place: str) -> Iterator[None]:
    try:
        yield
    except _LocatedError:
        raise
    except UsageError as error:
        raise _LocatedError(f"{place}: {error}") from None


class _Reader:
    """Reads all documents; the methods below `classes` work on one of them at a time."""

    def __init__(
        self, documents: Mapping[str, Json], relationships: Mapping[str, Mapping[str, Json]]
    ) -> None:
        for collection in relationships:
            if collection not in documents:
                raise SchemaError(f"relationships of {collection!r}, which has no schema")
        self._documents = documents
        self._relationships = relationships
        self._embedded: dict[str, tuple[str, ClassSchema]] = {}
        self._titles: dict[str, str] = {}
        for collection, document in documents.items():
            with _located(collection):
                self._titles[collection] = _title(_object(document)) or collection
        self._top = ""
        self._links: dict[str, Json] = {}

    def classes(self) -> Iterator[ClassSchema]:
        for collection, document in self._documents.items():
            self._top = self._titles[collection]
            self._links = dict(self._relationships.get(collection, {}))
            with _located(self._top):
                yield self._class(document)
                if self._links:
                    raise SchemaError(f"relationship {min(self._links)!r} leads from no property")
        for _, embedded in self._embedded.values():
            yield embedded

    def _class(self, document: Mapping[str, Json]) -> ClassSchema:
        _refuse_keywords(document, "object")
        if document.get("bsonType", "object") != "object":
            raise SchemaError(f"bsonType is {shown(document['bsonType'])}, not object")
        properties = dict(_object(document.get("properties", {})))
        if KEY_NAME not in properties:
            raise SchemaError(f"there is no property {KEY_NAME}, the primary key")
        with _located(f"{self._top}.{KEY_NAME}"):
            key, _ = _plain_type(_object(properties.pop(KEY_NAME)))
        required = set(_names(document.get("required", []))) - {KEY_NAME}
        found = self._properties(self._top, properties, required, ())
        return ClassSchema(self._top, found, key=key)

    def _properties(
        self,
        class_name: str,
        properties: Mapping[str, Json],
        required: set[str],
        path: tuple[str, ...],
    ) -> Iterator[Property]:
        if len(path) > 2 * NESTING_MAX:
            raise SchemaError(f"objects nest deeper than {NESTING_MAX}")
        if not required <= properties.keys():
            raise SchemaError(f"required names {min(required - {*properties})!r}, no property")
        for name, document in properties.items():
            here = (*path, name)
            with _located(".".join((self._top, *here))):
                yield self._property(class_name, _object(document), name in required, here)

    def _property(
        self, class_name: str, document: Mapping[str, Json], required: bool, path: tuple[str, ...]
    ) -> Property:
        collection, item = _collection(document)
        relationship = self._links.pop(".".join(path), None)
        nullable, target = False, None
        if relationship is not None:
            kind = "link"
            target = self._target(_object(relationship), item, collection)
        elif item.get("bsonType") == "object":
            kind = "embedded"
            inside = path if collection is None else (*path, "[]")
            target = self._embed(derived_class_name(class_name, path[-1]), item, inside)
        else:
            kind, nullable = _plain_type(item)
            if collection is None and kind not in MERGING_TYPES:
                nullable = nullable or not required
        return Property(
            path[-1],
            kind,
            nullable or always_nullable(kind, collection),
            collection,
            target,
            queryable=_flag(document, "x-queryable"),
            initial=_initial(document),
        )

    def _embed(self, derived: str, document: Mapping[str, Json], path: tuple[str, ...]) -> str:
        _refuse_keywords(document, "object")
        if isinstance(document.get("additionalProperties"), Mapping):
            raise SchemaError("a dictionary can't stand in a collection; use mixed")
        name = _title(document) or derived
        properties = _object(document.get("properties", {}))
        required = set(_names(document.get("required", [])))
        found = ClassSchema(name, self._properties(name, properties, required, path))
        first, known = self._embedded.setdefault(name, (f"{self._top}.{'.'.join(path)}", found))
        if known != found:
            raise SchemaError(f"embedded class {name} is not what it is at {first}; rename one")
        return name

    def _target(
        self,
        relationship: Mapping[str, Json],
        item: Mapping[str, Json],
        collection: Collection | None,
    ) -> str:
        ref = relationship.get("ref")
        parts = ref.split("/", 4) if isinstance(ref, str) else []
        if len(parts) != 5 or parts[:2] != ["#", "relationship"]:
            raise SchemaError(f"ref is {shown(ref)}, not #/relationship/SOURCE/DATABASE/COLLECTION")
        target = parts[4]
        if target not in self._documents:
            raise SchemaError(f"ref leads to collection {target!r}, which has no schema")
        foreign_key = relationship.get("foreign_key", relationship.get("foreignKey"))
        if foreign_key != KEY_NAME:
            raise SchemaError(f"foreign_key is {shown(foreign_key)}; links hold {KEY_NAME}")
        is_list = relationship.get("is_list", relationship.get("isList", False))
        if is_list is not (collection is not None):
            raise SchemaError(f"is_list is {shown(is_list)}; the property says otherwise")
        key = _object(self._documents[target].get("properties", {})).get(KEY_NAME)
        if key is None or _plain_type(_object(key))[0] != _plain_type(item)[0]:
            raise SchemaError(f"{shown(item.get('bsonType'))} is not the key of {target}")
        return self._titles[target]


def _collection(document: Mapping[str, Json]) -> tuple[Collection | None, Mapping[str, Json]]:
    # The kind of collection a property is, and the schema of one element.
    if document.get("bsonType") == "array":
        _refuse_keywords(document, "array")
        kind: Collection = "set" if _flag(document, "uniqueItems") else "list"
        return kind, _object(document.get("items"))
    if document.get("bsonType") != "object":
        return None, document
    _refuse_keywords(document, "object")
    inner = document.get("additionalProperties")
    if isinstance(inner, Mapping):
        if document.get("properties"):
            raise SchemaError("properties and additionalProperties together can't be represented")
        return "dict", inner
    if "properties" not in document and "title" not in document:
        raise SchemaError(
            "an object needs properties (it is embedded) or a schema as additionalProperties "
            '(it is a dictionary); what may hold anything is bsonType "mixed"'
        )
    return None, document


def _plain_type(document: Mapping[str, Json]) -> tuple[str, bool]:
    # The type of one plain value, and whether it says that it may be null.
    bson = document.get("bsonType")
    kinds = [bson] if isinstance(bson, str) else _names(bson)
    rest = [kind for kind in kinds if kind != "null"]
    if len(rest) != 1:
        raise SchemaError(f"bsonType {shown(bson)} is not one type; several are mixed")
    name = _TYPES.get(rest[0])
    if name is None:
        known = ", ".join(sorted(_TYPES))
        raise SchemaError(f"bsonType {shown(bson)}; there are {known}, array and object")
    _refuse_keywords(document, "plain")
    merge = document.get("x-merge", name)
    if merge != name and (merge not in MERGING_TYPES or _BSON_TYPES[merge] != _BSON_TYPES[name]):
        raise SchemaError(f"a {rest[0]} can't merge as {shown(merge)}")
    return merge, "null" in kinds


def _initial(document: Mapping[str, Json]) -> Value:
    found = from_json(document.get("default"))
    if isinstance(found, list | dict | NewEmbedded | Based | Container) or found is ERASED:
        raise SchemaError(f"default is {shown(found)}, which nothing starts with")
    return found  # type: ignore[return-value]


def _refuse_keywords(document: Mapping[str, Json], kind: str) -> None:
    for keyword in document:
        if keyword not in _KEYWORDS[kind]:
            raise SchemaError(f"keyword {keyword!r} can't be represented; take it out")


def _object(found: Json) -> Mapping[str, Json]:
    if not isinstance(found, Mapping):
        raise SchemaError(f"{shown(found)} where an object belongs")
    return found


def _names(found: Json) -> list[str]:
    if not isinstance(found, list | tuple) or not all(isinstance(each, str) for each in found):
        raise SchemaError(f"{shown(found)} where a list of names belongs")
    return list(found)


def _flag(document: Mapping[str, Json], keyword: str) -> bool:
    found = document.get(keyword, False)
    if not isinstance(found, bool):
        raise SchemaError(f"{keyword} is {shown(found)}, not true or false")
    return found


def _title(document: Mapping[str, Json]) -> str | None:
    found = document.get("title")
    if found is not None and not isinstance(found, str):
        raise SchemaError(f"title is {shown(found)}, not a string")
    return found
