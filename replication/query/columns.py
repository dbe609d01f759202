"""How the value of a field is stored in a column of SQLite, so that columns compare as values do.

Rule 1: the column is declared without a type: any affinity would change what is stored.
Rule 2: two values are `compare.equal` exactly when their columns are equal; so a value has one
        column form, whatever type of number it came as.
Rule 3: within one kind, columns have the order of the values. SQLite puts null first, then
        numbers, then text, then blobs; a blob begins with a tag that tells its kind.

| value                            | column                                                   |
|----------------------------------|----------------------------------------------------------|
| null                             | NULL                                                     |
| number                           | INTEGER or REAL                                          |
| decimal that neither can hold    | blob: tag 3 and a body in the order of the numbers       |
| NaN (SQLite would store NULL)    | blob: tag 2                                              |
| string                           | TEXT                                                     |
| false, true                      | blob: tag 0, tag 1                                       |
| timestamp                        | blob: tag 4, seconds + 2**63 (8 bytes), nanoseconds (4)  |
| objectId, uuid, binary           | blob: tag 5, 6, 7 and the bytes                          |
| link                             | blob: tag 8 and its canonical encoding                   |
| list, set; dictionary            | blob: tag 9 and the canonical encoding of the elements   |
| list that is spread over parts   | blob: tag 10; what is in it, no column tells             |
| list or dictionary in mixed,     | blob: tag 9 and the canonical encoding of what names it, |
| embedded object                  | or of a container that stands for any                    |
"""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import WrongTypeError
from replication.limits import INT64_MAX, INT64_MIN
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import (
    Container,
    EmbeddedValues,
    Float32,
    Link,
    NestedDict,
    NestedList,
    Spread,
    Timestamp,
    type_name,
)
from replication.query.compare import FieldValue, Kind, number

#: What SQLite stores.
ColumnValue: TypeAlias = int | float | str | bytes | None

FALSE: Final = b"\x00"
TRUE: Final = b"\x01"
NAN: Final = b"\x02"
DECIMAL: Final = b"\x03"
TIMESTAMP: Final = b"\x04"
OBJECT_ID: Final = b"\x05"
UUID: Final = b"\x06"
BINARY: Final = b"\x07"
LINK: Final = b"\x08"
#: Whatever is not less than it is an array, or compares with nothing.
ARRAY: Final = b"\x09"
SPREAD: Final = b"\x0a"

#: The tags of the kinds that have an order and are stored as blobs.
TAGS: Final[dict[Kind, bytes]] = {
    Kind.TIMESTAMP: TIMESTAMP,
    Kind.OBJECT_ID: OBJECT_ID,
    Kind.UUID: UUID,
    Kind.BINARY: BINARY,
}
_TIME: Final = struct.Struct(">QI")
_EXPONENT: Final = struct.Struct(">H")
_EXPONENT_BIAS: Final = 0x8000
_COMPLEMENT: Final = bytes(255 - byte for byte in range(256))
# Bodies of decimals begin with one of these, in the order of the numbers.
_MINUS_INFINITY: Final = b"\x00"
_NEGATIVE: Final = b"\x01"
_ZERO: Final = b"\x02"
_POSITIVE: Final = b"\x03"
_PLUS_INFINITY: Final = b"\x04"


def column_value(value: FieldValue) -> ColumnValue:
    """What stands in the column of a field that has this value; a list is an array.

    Raises:
        WrongTypeError: no value of a field.
    """
    kind = type(value)
    if kind is str or kind is int or value is None:
        return value  # type: ignore[return-value]
    writer = _WRITERS.get(kind)
    if writer is None:
        raise WrongTypeError(f"{value!r} of type {type_name(value)} can't be a queried column")
    return writer(value)


def field_value(column: ColumnValue) -> FieldValue:
    """A value that compares as the one that `column_value` was given."""
    if type(column) is not bytes:
        return column
    return _READERS[column[:1]](column[1:])


def native(exact: Decimal) -> int | float | None:
    """The double or 64-bit integer that equals a decimal, if there is one."""
    near = float(exact)
    if near == exact:
        return near
    if INT64_MIN <= exact <= INT64_MAX and exact == int(exact):
        return int(exact)
    return None


def native_above(exact: Decimal) -> int | float:
    """The least double or 64-bit integer above a decimal that is neither."""
    near = float(exact)
    double = near if near > exact else math.nextafter(near, math.inf)
    integer = math.ceil(exact) if INT64_MIN <= exact <= INT64_MAX else INT64_MIN
    return integer if exact < integer < double else double


def decimal_bound(exact: int | float | Decimal) -> bytes:
    """The blob that stands among the blobs of decimals where a number stands among numbers."""
    return DECIMAL + _decimal_body(Decimal(exact))


def _decimal_body(exact: Decimal) -> bytes:
    # Sign, exponent of the first digit, digits without trailing zeros; a negative number is the
    # complement of that, ended so that the longer of two prefixes comes first.
    if exact.is_infinite():
        return _PLUS_INFINITY if exact > 0 else _MINUS_INFINITY
    if not exact:
        return _ZERO
    sign, digits, _ = exact.as_tuple()
    body = _EXPONENT.pack(exact.adjusted() + _EXPONENT_BIAS)
    body += bytes(digits).rstrip(b"\x00").translate(_TO_ASCII)
    return _NEGATIVE + body.translate(_COMPLEMENT) + b"\xff" if sign else _POSITIVE + body


_TO_ASCII: Final = bytes(range(0x30, 0x3A)) + bytes(246)


def _read_decimal(body: bytes) -> Decimal128:
    negative = body[:1] == _NEGATIVE
    rest = body[1:-1].translate(_COMPLEMENT) if negative else body[1:]
    exponent = _EXPONENT.unpack_from(rest)[0] - _EXPONENT_BIAS
    digits = tuple(byte - 0x30 for byte in rest[2:])
    return Decimal128(Decimal((int(negative), digits, exponent - len(digits) + 1)))


def _write_double(value: float) -> ColumnValue:
    return NAN if value != value else float(value)


def _write_decimal(value: Decimal128) -> ColumnValue:
    exact = number(value)
    if not isinstance(exact, Decimal):
        return NAN
    same = native(exact)
    return decimal_bound(exact) if same is None else same


#: What has no kind compares with nothing, and so one container is as good as another.
_NAMELESS: Final[dict[type, Container]] = {
    NestedList: Container(4, 0, 0),
    NestedDict: Container(3, 0, 0),
    EmbeddedValues: Container(3, 0, 0),
}


def _element(value: Any) -> Any:
    return _NAMELESS.get(type(value), value)


_WRITERS: Final[dict[type, Callable[[Any], ColumnValue]]] = {
    bool: lambda value: TRUE if value else FALSE,
    float: _write_double,
    Float32: _write_double,
    Decimal128: _write_decimal,
    Timestamp: lambda value: TIMESTAMP + _TIME.pack(value.seconds + 2**63, value.nanoseconds),
    ObjectId: lambda value: OBJECT_ID + value.binary,
    uuid.UUID: lambda value: UUID + value.bytes,
    bytes: lambda value: BINARY + value,
    Link: lambda value: LINK + pack(value),
    list: lambda value: ARRAY + pack(list(map(_element, value))),
    dict: lambda value: ARRAY + pack(list(map(_element, value.values()))),
    Container: lambda value: ARRAY + pack(value),
    NestedList: lambda value: ARRAY + pack(_element(value)),
    NestedDict: lambda value: ARRAY + pack(_element(value)),
    EmbeddedValues: lambda value: ARRAY + pack(_element(value)),
    Spread: lambda _value: SPREAD,
}


def _read_timestamp(body: bytes) -> Timestamp:
    seconds, nanoseconds = _TIME.unpack(body)
    return Timestamp(seconds - 2**63, nanoseconds)


_READERS: Final[dict[bytes, Callable[[bytes], FieldValue]]] = {
    FALSE: lambda _body: False,
    TRUE: lambda _body: True,
    NAN: lambda _body: math.nan,
    DECIMAL: _read_decimal,
    TIMESTAMP: _read_timestamp,
    OBJECT_ID: ObjectId,
    UUID: lambda body: uuid.UUID(bytes=body),
    BINARY: lambda body: body,
    LINK: unpack_trusted,
    ARRAY: unpack_trusted,
    SPREAD: lambda _body: None,
}
