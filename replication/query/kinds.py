"""The names of types, as `@type` compares them. [QUERY-108]

Rule 1: a name may be written in any case of its letters, and as one of its synonyms; canonical
        text has the name that schemas use. `numeric` stands for every type of number.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import QueryError
from replication.model.values import (
    Container,
    EmbeddedValues,
    Float32,
    Link,
    NestedDict,
    NestedList,
    Timestamp,
)
from replication.query import canonical, literals
from replication.query.ast import Constant, Constants

_SYNONYMS: Final = {
    "null": "",
    "int": "integer int16 int32 int64 short long byte",
    "bool": "boolean",
    "string": "char",
    "binary": "data bytearray byte[] bindata",
    "timestamp": "date datetimeoffset",
    "float": "",
    "double": "",
    "decimal": "decimal128",
    "objectId": "",
    "uuid": "guid",
    "link": "objectlink",
    "object": "",
    "list": "array collection",
    "dictionary": "",
    "numeric": "",
}
_NAMES: Final = {
    spelled: name
    for name, synonyms in _SYNONYMS.items()
    for spelled in (name.lower(), *synonyms.split())
}
_NUMBERS: Final = frozenset({"int", "float", "double", "decimal"})
_BY_TYPE: Final[dict[type, str]] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "double",
    Float32: "float",
    Decimal128: "decimal",
    str: "string",
    bytes: "binary",
    Timestamp: "timestamp",
    ObjectId: "objectId",
    uuid.UUID: "uuid",
    Link: "link",
    EmbeddedValues: "object",
    dict: "dictionary",
    NestedDict: "dictionary",
    list: "list",
    NestedList: "list",
}
#: The kinds of what a column names and does not hold; see `crdt.object`.
_CONTAINERS: Final = {3: "dictionary", 4: "list"}


def tag(value: object) -> str:
    """The name of a value's type."""
    if type(value) is Container:
        return _CONTAINERS[value.kind]
    return _BY_TYPE[type(value)]


def tags(operand: Constant | Constants) -> Constant | Constants:
    """Names of types as canonical text has them.

    Raises:
        QueryError: a constant that is no name of a type.
    """
    if isinstance(operand, Constant):
        return _named(operand)
    return canonical.constants(map(_named, operand.items), ordered=False)


def _named(item: Constant) -> Constant:
    name = _NAMES.get(item.value.lower()) if isinstance(item.value, str) else None
    if name is None:
        known = ", ".join(_SYNONYMS)
        raise QueryError(f"{literals.clipped(item.text)} is no name of a type; there are {known}")
    return literals.constant(name)


def meant(operand: Constant | Constants) -> frozenset[str]:
    """The types that names stand for."""
    items: tuple[Any, ...] = operand.items if isinstance(operand, Constants) else (operand,)
    names = {item.value for item in items}
    return frozenset(names | _NUMBERS if "numeric" in names else names)
