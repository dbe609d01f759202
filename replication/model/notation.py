"""Values as JSON, for people and tools: scenarios, vectors, the command line. [MODEL-70]

Rule 1: null, bool, int and string are JSON's own; so is a finite double, always with a fraction
        or an exponent, because a number without one is an int.
Rule 2: everything else is an object with one key that starts with "$" and names the type.
Rule 3: `from_json(to_json(value))` is the value, bit for bit; other spellings that people write
        (capital hex digits, a rounded 32-bit float) are read, anything else is an error that
        shows what it stumbled on.
"""

from __future__ import annotations

import decimal
import math
import re
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import WrongTypeError
from replication.limits import CONTAINER_NESTING_MAX, IDENT_MAX, INT64_MAX, INT64_MIN, SEQUENCE_MAX
from replication.model.check import convert, convert_dictionary_key, convert_key, shown
from replication.model.types import broken_class_name
from replication.model.values import (
    ERASED,
    Based,
    Container,
    Float32,
    Link,
    Stored,
    Timestamp,
)

#: Whatever `json` reads and writes.
Json: TypeAlias = Any


class NewEmbedded:
    """What ``{"$embedded":{}}`` stands for: a new embedded object without content."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NEW_EMBEDDED"


NEW_EMBEDDED: Final = NewEmbedded()

#: A value, or what only a mixed property can be given, or what asks for an embedded object.
Noted: TypeAlias = "Stored | NewEmbedded | list[Noted] | dict[str, Noted]"

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")
_OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NAMED_FLOATS: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_json(value: Noted) -> Json:
    """The notation of a value; a list or dict is one that a mixed property holds.

    Raises:
        WrongTypeError: it is no value, or nests deeper than CONTAINER_NESTING_MAX.
    """
    return _write(value, CONTAINER_NESTING_MAX)


def from_json(noted: Json) -> Noted:
    """The value that a notation stands for.

    Raises:
        WrongTypeError: it stands for none; the message shows the part that is wrong.
    """
    value: Noted = _read(noted, CONTAINER_NESTING_MAX)
    return value


# -- writing -----------------------------------------------------------------------------------
def _write(value: Any, depth: int) -> Json:
    kind = type(value)
    if kind in (type(None), bool, int, str):
        return value
    if kind is list or kind is dict:
        if depth == 0:
            raise WrongTypeError(f"lists and dictionaries nest deeper than {CONTAINER_NESTING_MAX}")
        if kind is list:
            return {"$list": [_write(item, depth - 1) for item in value]}
        return {"$dict": {key: _write(item, depth - 1) for key, item in value.items()}}
    if kind is Based:
        return {"$based": [_write(value.value, 0), value.seen]}
    writer = _WRITERS.get(kind)
    if writer is None:
        raise WrongTypeError(f"{shown(value)} is no value")
    return writer(value)


def _write_double(value: float) -> Json:
    return value if math.isfinite(value) else {"$double": str(value)}


def _write_float(value: Float32) -> Json:
    number = float(value)
    return {"$float": number if math.isfinite(number) else str(number)}


def _write_decimal(value: Decimal128) -> Json:
    # Some bit patterns (a NaN's payload, a coefficient out of range) have no decimal spelling.
    text = str(value)
    if Decimal128(text).bid == value.bid:
        return {"$dec": text}
    return {"$decbits": value.bid.hex()}


_WRITERS: Final[dict[type, Callable[[Any], Json]]] = {
    float: _write_double,
    Float32: _write_float,
    bytes: lambda value: {"$bin": value.hex()},
    Timestamp: lambda value: {"$ts": [value.seconds, value.nanoseconds]},
    Decimal128: _write_decimal,
    ObjectId: lambda value: {"$oid": str(value)},
    uuid.UUID: lambda value: {"$uuid": str(value)},
    Link: lambda value: {"$link": [value.class_name, _write(value.key, 0)]},
    Container: lambda value: {"$container": [value.kind, value.ident, value.sequence]},
    type(ERASED): lambda _value: {"$erased": True},
    NewEmbedded: lambda _value: {"$embedded": {}},
}


# -- reading -----------------------------------------------------------------------------------
def _read(noted: Json, depth: int) -> Any:
    kind = type(noted)
    if noted is None or kind is bool:
        return noted
    if kind is int or kind is str:
        return _converted("int" if kind is int else "string", noted)
    if kind is float:
        if not math.isfinite(noted):
            raise WrongTypeError(f'{noted} is no JSON number; write {{"$double":"{noted}"}}')
        return noted
    if kind is list:
        raise WrongTypeError(f'{shown(noted)} is no value; a list is {{"$list":[...]}}')
    if kind is not dict:
        raise WrongTypeError(f"{shown(noted)} is nothing that JSON can say")
    if len(noted) != 1:
        raise WrongTypeError(f"{shown(noted)} is no value; {_KNOWN}")
    ((tag, inner),) = noted.items()
    if tag in _NESTED:
        if depth == 0:
            raise WrongTypeError(f"lists and dictionaries nest deeper than {CONTAINER_NESTING_MAX}")
        return _NESTED[tag](inner, depth - 1)
    reader = _READERS.get(tag)
    if reader is None:
        raise WrongTypeError(f"{shown(noted)} is no value; {_KNOWN}")
    return reader(inner)


def _converted(name: str, value: object) -> Any:
    try:
        return convert(name, value)
    except WrongTypeError as error:
        raise WrongTypeError(f"{shown(value)} is no {name}: {error}") from None


def _read_list(inner: Json, depth: int) -> list[Any]:
    if type(inner) is not list:
        raise _wrong("$list", inner, "a list of values")
    return [_read(item, depth) for item in inner]


def _read_dictionary(inner: Json, depth: int) -> dict[str, Any]:
    if type(inner) is not dict:
        raise _wrong("$dict", inner, "an object of values")
    for key in inner:
        try:
            convert_dictionary_key(key)
        except WrongTypeError as error:
            raise WrongTypeError(f"{shown(key)} is no key of a dictionary: {error}") from None
    return {key: _read(item, depth) for key, item in inner.items()}


def _read_double(inner: Json) -> float:
    if type(inner) is not str or inner not in _NAMED_FLOATS:
        raise _wrong("$double", inner, '"nan", "inf" or "-inf"; other doubles are JSON numbers')
    return _NAMED_FLOATS[inner]


def _read_float(inner: Json) -> Float32:
    if type(inner) is str and inner in _NAMED_FLOATS:
        return Float32(_NAMED_FLOATS[inner])
    if type(inner) is int or (type(inner) is float and math.isfinite(inner)):
        return Float32(_converted("double", inner))
    raise _wrong("$float", inner, 'a number, "nan", "inf" or "-inf"')


def _read_hex(tag: str, inner: Json, size: int | None = None) -> bytes:
    if type(inner) is not str or not _HEX.fullmatch(inner):
        raise _wrong(tag, inner, "an even number of hex digits")
    if size is not None and len(inner) != 2 * size:
        raise _wrong(tag, inner, f"{2 * size} hex digits")
    return bytes.fromhex(inner)


def _read_timestamp(inner: Json) -> Timestamp:
    if type(inner) is not list or [type(item) for item in inner] != [int, int]:
        raise _wrong("$ts", inner, "[seconds, nanoseconds]")
    return Timestamp(*inner)


def _read_decimal(inner: Json) -> Decimal128:
    try:
        if type(inner) is str:
            return Decimal128(inner)
    except (decimal.DecimalException, ValueError):
        pass  # said below, like every other wrong one
    raise _wrong("$dec", inner, "a decimal number of at most 34 digits, as a string")


def _read_object_id(inner: Json) -> ObjectId:
    if type(inner) is not str or not _OBJECT_ID.fullmatch(inner):
        raise _wrong("$oid", inner, "24 hex digits")
    return ObjectId(inner)


def _read_uuid(inner: Json) -> uuid.UUID:
    if type(inner) is not str or not _UUID.fullmatch(inner):
        raise _wrong("$uuid", inner, "32 hex digits as 8-4-4-4-12")
    return uuid.UUID(inner)


def _read_link(inner: Json) -> Link:
    if type(inner) is not list or len(inner) != 2 or type(inner[0]) is not str:
        raise _wrong("$link", inner, "[class, primary key]")
    reason = broken_class_name(inner[0])
    if reason is not None:
        raise WrongTypeError(reason)
    try:
        return Link(inner[0], convert_key(None, _read(inner[1], 0)))
    except WrongTypeError as error:
        raise WrongTypeError(f"a link to {inner[0]}: {error}") from None


def _read_based(inner: Json) -> Based:
    if type(inner) is list and len(inner) == 2 and type(inner[1]) is int:
        value, seen = _read(inner[0], 0), inner[1]
        if seen != 0 and INT64_MIN <= seen <= INT64_MAX and type(value) not in _MARKS:
            return Based(value, seen)
    raise _wrong("$based", inner, "[value, total that is not 0]")


def _read_container(inner: Json) -> Container:
    if type(inner) is list and [type(item) for item in inner] == [int, int, int]:
        kind, ident, sequence = inner
        if kind in (3, 4) and 0 <= ident <= IDENT_MAX and 0 <= sequence <= SEQUENCE_MAX:
            return Container(*inner)
    raise _wrong("$container", inner, "[3 or 4, file ident, sequence]")


def _read_exactly(tag: str, expected: Json, value: Any) -> Callable[[Json], Any]:
    def read(inner: Json) -> Any:
        if type(inner) is not type(expected) or inner != expected:
            raise _wrong(tag, inner, repr(expected).lower())
        return value

    return read


def _wrong(tag: str, inner: Json, expected: str) -> WrongTypeError:
    return WrongTypeError(f"{tag} holds {expected}, not {shown(inner)}")


#: What can't stand inside a `Based`.
_MARKS: Final = (type(ERASED), Based, NewEmbedded)

_NESTED: Final[dict[Any, Callable[[Json, int], Any]]] = {
    "$list": _read_list,
    "$dict": _read_dictionary,
}

_READERS: Final[dict[Any, Callable[[Json], Any]]] = {
    "$double": _read_double,
    "$float": _read_float,
    "$bin": lambda inner: _converted("binary", _read_hex("$bin", inner)),
    "$ts": _read_timestamp,
    "$dec": _read_decimal,
    "$decbits": lambda inner: Decimal128.from_bid(_read_hex("$decbits", inner, 16)),
    "$oid": _read_object_id,
    "$uuid": _read_uuid,
    "$link": _read_link,
    "$embedded": _read_exactly("$embedded", {}, NEW_EMBEDDED),
    "$erased": _read_exactly("$erased", True, ERASED),
    "$based": _read_based,
    "$container": _read_container,
}
_KNOWN: Final = f"an object has one key, one of {', '.join((*_NESTED, *_READERS))}"
