"""What a store shows, as the JSON of scenarios: objects by class, read as the schema says.

Rule 1: objects stand by key, JSON keys and dictionary keys ascend, lists are in order, sets by
        type, then value.
Rule 2: a link to what is not shown is null; in sets and lists of links it is left out.
Rule 3: a property that can't be null and was never written shows its type's zero.
"""

from __future__ import annotations

import uuid
from collections.abc import Container, Mapping
from typing import Any, Final

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.client.typed import as_shown
from replication.crdt import object as obj
from replication.crdt.container import home_in, property_container
from replication.crdt.dictionary import plain_items
from replication.crdt.document import text_view
from replication.crdt.list import all_elements
from replication.crdt.object import is_alive
from replication.crdt.parts import Parts, Path
from replication.crdt.sequence import Sequence
from replication.crdt.set import members
from replication.crdt.text import empty_text
from replication.crdt.view import NestedView, register_value
from replication.model.check import ZEROS
from replication.model.encoding import pack, unpack_trusted
from replication.model.notation import to_json
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import Float32, Key, Link, Timestamp
from replication.query import parse
from replication.storage.contract import Reader, StoredObject

#: Objects of a class, each the JSON of its properties.
Objects = list[dict[str, Any]]
#: The types of values in the order in which sets show them.
_RANKS: Final[dict[type, int]] = {
    kind: rank
    for rank, kind in enumerate(
        (type(None), int, bool, float, Float32, str, bytes, Timestamp, Decimal128, ObjectId,
         uuid.UUID, Link)
    )
}  # fmt: skip


def shown(
    reader: Reader,
    schema: Schema,
    keys: Mapping[str, str],
    queries: Mapping[str, str] | None = None,
) -> dict[str, Objects]:
    """What a store shows.

    Args:
        keys: what the primary key of each class is called.
        queries: show only what matches the query of its class, nothing of the others; None for
            everything.
    """
    rows = {name: _rows(reader, name, queries) for name in sorted(keys)}
    there = {(name, row.key) for name, found in rows.items() for row in found}
    show = _Show(schema, there)
    out: dict[str, Objects] = {}
    for name, found in rows.items():
        out[name] = []
        for row in sorted(found, key=lambda row: _key_order(row.key)):
            show.parts = _parts(reader, name, row)
            state = unpack_trusted(as_shown(reader, name, row).head)
            fields = show.fields(schema[name], state[3], ())
            fields[keys[name]] = to_json(row.key)
            out[name].append(dict(sorted(fields.items())))
    return out


def _rows(reader: Reader, name: str, queries: Mapping[str, str] | None) -> list[StoredObject]:
    if queries is None:
        return list(reader.scan(name))
    return list(reader.scan(name, parse(queries[name]))) if name in queries else []


def _parts(reader: Reader, name: str, row: StoredObject) -> Parts:
    def read_part(part_name: bytes) -> bytes | None:
        part = reader.part(name, row.row, part_name)
        return None if part is None else part.data

    return Parts(read_part, lambda: (part.name for part in reader.parts(name, row.row)))


def _key_order(key: Key) -> Any:
    return str(key) if isinstance(key, ObjectId | uuid.UUID) else key


class _Show:
    """Shows fields.

    Args:
        there: class and key of each object that is shown.

    Attributes:
        parts: those of the object whose fields are shown.
    """

    def __init__(self, schema: Schema, there: Container[tuple[str, Key]]) -> None:
        self._schema = schema
        self._there = there
        self.parts = Parts()

    def fields(self, kind: ClassSchema, fields: obj.Fields, path: Path) -> dict[str, Any]:
        """The properties of one object, by name, ascending."""
        return {name: self._property(item, fields, path) for name, item in kind.properties.items()}

    def _property(self, item: Property, fields: obj.Fields, path: Path) -> Any:
        name = item.name
        if item.collection == "list":
            return self._list(item, fields, path)
        if item.collection == "set":
            held = fields.get(obj.SET, {}).get(name)
            found = [] if held is None else [each for each in members(held) if self._is_there(each)]
            return [to_json(each) for each in sorted(found, key=_member_order)]
        if item.collection == "dict":
            return self._dictionary(item, fields, path)
        if item.type == "embedded":
            held = fields.get(obj.EMBEDDED, {}).get(name)
            return self._embedded(item, held, (*path, obj.EMBEDDED, name))
        if item.type == "text":
            held = fields.get(obj.TEXT, {}).get(name) or empty_text()
            return text_view(held, self.parts, (*path, obj.TEXT, name))
        if item.type == "mixed":
            slot = property_container(fields, name)
            if slot is not None:
                nested = NestedView(fields, self.parts, path)
                return self._one(nested.inside(slot, [obj.REGISTER, name]))
        value = register_value(fields, name)
        if value is None and not item.nullable:
            value = ZEROS[item.type]
        return self._one(value)

    def _list(self, item: Property, fields: obj.Fields, path: Path) -> list[Any]:
        held = fields.get(obj.LIST, {}).get(item.name)
        if held is None:
            return []
        here = (*path, obj.LIST, item.name)
        elements = all_elements(held, self.parts, here)
        order = Sequence(elements).visible
        if item.type == "embedded":
            kind = self._kind(item)
            return [self.fields(kind, elements.contents.get(i, {}), (*here, i)) for i in order]
        values = [(i, elements.values[i][2]) for i in order]
        if item.type == "link":
            return [to_json(value) for _, value in values if self._is_there(value)]
        nested = NestedView(fields, self.parts, path)
        return [self._one(nested.value(value, home_in(item.name, i))) for i, value in values]

    def _dictionary(self, item: Property, fields: obj.Fields, path: Path) -> dict[str, Any]:
        held = fields.get(obj.DICTIONARY, {}).get(item.name)
        if held is None:
            return {}
        if item.type == "embedded":
            here = (*path, obj.DICTIONARY, item.name)
            shown = {key: self._embedded(item, held[2][key], (*here, key)) for key in held[2]}
            return {key: value for key, value in sorted(shown.items()) if value is not None}
        nested = NestedView(fields, self.parts, path)
        return {
            key: self._one(nested.value(value, home_in(item.name, key)))
            for key, value in plain_items(held).items()
        }

    def _embedded(self, item: Property, held: Any, path: Path) -> dict[str, Any] | None:
        if held is None or not is_alive(held):
            return None
        return self.fields(self._kind(item), held[3], path)

    def _kind(self, item: Property) -> ClassSchema:
        assert item.target is not None
        return self._schema[item.target]

    def _one(self, value: Any) -> Any:
        return to_json(self._shown(value))

    def _shown(self, value: Any) -> Any:
        """A value with null for links to what is not shown, inside of it too. Rule 2."""
        if type(value) is list:
            return [self._shown(each) for each in value]
        if type(value) is dict:
            return {key: self._shown(each) for key, each in sorted(value.items())}
        return value if self._is_there(value) else None

    def _is_there(self, value: Any) -> bool:
        return type(value) is not Link or (value.class_name, value.key) in self._there


def _member_order(value: Any) -> tuple[int, int, Any]:
    """Type, then whether it can be compared, then value."""
    rank = _RANKS[type(value)]
    if type(value) is Decimal128:
        value = value.to_decimal()
    elif type(value) is Link:
        value = (value.class_name, pack(value.key))
    elif type(value) in (ObjectId, uuid.UUID) or value is None:
        value = str(value)
    return (rank, 1, value) if _is_ordered(value) else (rank, 0, str(value))


def _is_ordered(value: Any) -> bool:
    return bool(value == value)  # a NaN is not
