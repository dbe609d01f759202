"""When two values are equal, and which is less: the one definition for Python and for SQL.

Every value is of one *kind*. Values of two kinds are never equal and never ordered.

* number: int, double, float and decimal, compared by exact mathematical value, whatever their
  size: 2**53 + 1 is not 2.0**53, 0.1 is not decimal 0.1. NaN equals NaN, of any type, and has
  no order. -0.0 equals 0.
* string: by code point, which is the order of UTF-8 bytes; case counts; no normalisation.
* binary: by bytes, shorter first where one begins with the other.
* timestamp: by time. * objectId, uuid: by their bytes. * bool, link: equality only.
* null equals null and has no order. * A list as a whole equals nothing.
"""

from __future__ import annotations

import math
import uuid
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.model.values import Container, Float32, Link, Timestamp, Value

#: What a field of an object may hold: a value, or the elements of a list or set. A dictionary, an
#: embedded object, and a list or dictionary in a mixed value compare with nothing. [QUERY-65]
FieldValue: TypeAlias = Value | Container | dict[str, Any] | list[Any]


class Kind(Enum):
    """The groups of types that compare with one another."""

    NULL = "null"
    BOOL = "bool"
    NUMBER = "number"
    STRING = "string"
    BINARY = "binary"
    TIMESTAMP = "timestamp"
    OBJECT_ID = "objectId"
    UUID = "uuid"
    LINK = "link"

    __hash__ = object.__hash__  # Enum's own hashes the name, in Python


KINDS: Final[dict[type, Kind]] = {
    type(None): Kind.NULL,
    bool: Kind.BOOL,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    Float32: Kind.NUMBER,
    Decimal128: Kind.NUMBER,
    str: Kind.STRING,
    bytes: Kind.BINARY,
    Timestamp: Kind.TIMESTAMP,
    ObjectId: Kind.OBJECT_ID,
    uuid.UUID: Kind.UUID,
    Link: Kind.LINK,
}
_ORDERED: Final = frozenset(KINDS.values()) - {Kind.NULL, Kind.BOOL, Kind.LINK}
#: The number types that Python and SQLite compare by themselves.
NATIVE: Final = frozenset({int, float, Float32})


def number(value: Any) -> int | float | Decimal:
    """A number as Python compares it: exactly, and without signals: NaN is always a float."""
    if type(value) is not Decimal128:
        return value  # type: ignore[no-any-return]
    decimal = value.to_decimal()
    return math.nan if decimal.is_nan() else decimal


def is_ordered(value: object) -> bool:
    """Whether anything can be less or greater than a value."""
    kind = KINDS.get(type(value))
    return kind in _ORDERED and (kind is not Kind.NUMBER or number(value) == number(value))


def equal(left: object, right: object) -> bool:
    """``left == right``, for any two values of fields."""
    kind = KINDS.get(type(left))
    if kind is None or kind is not KINDS.get(type(right)):
        return False
    if kind is Kind.NUMBER:
        left, right = number(left), number(right)
        return left == right or (left != left and right != right)
    return left == right


def less(left: object, right: object) -> bool:
    """``left < right``, for any two values of fields."""
    kind = KINDS.get(type(left))
    if kind not in _ORDERED or kind is not KINDS.get(type(right)):
        return False
    a: Any = left
    b: Any = right
    if kind is Kind.NUMBER:
        a, b = number(a), number(b)
        # A decimal beside a NaN would raise.
        return a == a and b == b and bool(a < b)
    return bool(a < b)
