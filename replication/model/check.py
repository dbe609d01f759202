"""What values a type takes, and what it makes of near misses. [MODEL-30]

Rule 1: a value is converted only where nothing of it can get lost: an int for a double that holds
        it exactly, an aware datetime for a timestamp, a bytearray for bytes. The one exception is
        a 32-bit float, which rounds: whoever declares one asks for that.
Rule 2: a bool is not an int, a number is not a string, and nothing is parsed.
Rule 3: what comes back is of exactly the types of `model.values`: subclasses (an IntEnum, a
        bson.Int64) are reduced, so that the encoding knows every value it meets. A subclass of
        bytes is refused, because bson.Binary says with its subtype that it is something else.
"""

from __future__ import annotations

import datetime
import decimal
import math
import reprlib
import uuid
from collections.abc import Callable
from typing import Final

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import WrongTypeError
from replication.limits import (
    DICTIONARY_KEY_BYTES_MAX,
    INT64_MAX,
    INT64_MIN,
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
)
from replication.model.types import broken_class_name
from replication.model.values import Float32, Key, Link, Timestamp, Value, type_name

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 80


def shown(value: object) -> str:
    """A value and its type for an error message, cut to a readable length."""
    try:
        text = _repr.repr(value)
    except ValueError:  # Python prints no int of more than 4,300 digits
        text = f"an integer of {getattr(value, 'bit_length', int)()} bits"
    return f"{text} ({type_name(value)})"


def convert(name: str, value: object) -> Value:
    """``value`` as a value of the plain type or the counter ``name``; it is not None.

    Raises:
        WrongTypeError: it does not fit; the message is only the advice, for a caller to complete.
    """
    return _CONVERTERS[name](value)


def convert_dictionary_key(key: object) -> str:
    """``key`` as a dictionary's key.

    Raises:
        WrongTypeError: no string, or too long; the message is only the advice.
    """
    return _text(key, DICTIONARY_KEY_BYTES_MAX, "a dictionary's keys are strings")


def convert_key(key_type: str | None, key: object) -> Key:
    """``key`` as a primary key of ``key_type``; of any key type where that is None.

    Raises:
        WrongTypeError: it is none; the message is only the advice.
    """
    for name, kind in _KEY_KINDS.items():
        if key_type in (None, name) and isinstance(key, kind) and not isinstance(key, bool):
            if isinstance(key, str):
                return _text(key, KEY_BYTES_MAX, "")
            return _CONVERTERS[name](key)  # type: ignore[return-value]
    what = key_type or "int, string, objectId or uuid"
    raise WrongTypeError(f"a key here is {what}, not {shown(key)}")


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongTypeError("pass True or False")
    return value


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongTypeError("pass an int")
    if not INT64_MIN <= value <= INT64_MAX:
        raise WrongTypeError("an int must fit 64 bits")
    return int(value)


def _double(value: object) -> float:
    if isinstance(value, float):
        # There are many NaNs, and the encoding has one.
        return float(value) if value == value else math.nan
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongTypeError("pass a float")
    try:
        converted = float(value)
    except OverflowError:
        raise WrongTypeError("it is too large for a double") from None
    if converted != value:
        raise WrongTypeError("a double can't hold it exactly; pass float(...) to round it")
    return converted


def _float(value: object) -> Float32:
    return Float32(_double(value))


def _decimal(value: object) -> Decimal128:
    if isinstance(value, Decimal128):
        return value if type(value) is Decimal128 else Decimal128.from_bid(value.bid)
    if isinstance(value, bool) or not isinstance(value, int | decimal.Decimal):
        raise WrongTypeError("pass a Decimal128, a decimal.Decimal or an int")
    try:
        return Decimal128(decimal.Decimal(value))
    except (decimal.DecimalException, ValueError):
        raise WrongTypeError("a Decimal128 holds 34 digits and can't hold it exactly") from None


def _string(value: object) -> str:
    return _text(value, VALUE_BYTES_MAX, "pass a str")


def _text(value: object, bytes_max: int, advice: str) -> str:
    if not isinstance(value, str):
        raise WrongTypeError(advice)
    try:
        # An ASCII string knows its bytes; only others have to be encoded to be counted.
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError as error:
        raise WrongTypeError(f"it is not valid Unicode: {error.reason}") from None
    if size > bytes_max:
        raise WrongTypeError(f"it has {size} bytes of UTF-8, at most {bytes_max} are allowed")
    return str.__str__(value)


def _binary(value: object) -> bytes:
    if type(value) not in (bytes, bytearray, memoryview):
        raise WrongTypeError("pass bytes")
    data: bytes = bytes(value)  # type: ignore[call-overload]
    if len(data) > VALUE_BYTES_MAX:
        raise WrongTypeError(f"it has {len(data)} bytes, at most {VALUE_BYTES_MAX} are allowed")
    return data


def _timestamp(value: object) -> Timestamp:
    if isinstance(value, Timestamp):
        return Timestamp(value.seconds, value.nanoseconds)
    if not isinstance(value, datetime.datetime):
        raise WrongTypeError("pass a Timestamp or an aware datetime")
    return Timestamp.from_datetime(value)


def _object_id(value: object) -> ObjectId:
    if not isinstance(value, ObjectId):
        raise WrongTypeError("pass an ObjectId")
    return value if type(value) is ObjectId else ObjectId(value.binary)


def _uuid(value: object) -> uuid.UUID:
    if not isinstance(value, uuid.UUID):
        raise WrongTypeError("pass a uuid.UUID")
    return value if type(value) is uuid.UUID else uuid.UUID(int=value.int)


def _link(value: object) -> Link:
    if not isinstance(value, Link):
        raise WrongTypeError("pass an object of that class, a Link or None")
    class_name = _string(value.class_name)
    reason = broken_class_name(class_name)
    if reason is not None:
        raise WrongTypeError(reason)
    return Link(class_name, convert_key(None, value.key))


#: Tried in this order: bool before int, Float32 before float.
_MIXED: Final[tuple[tuple[type | tuple[type, ...], Callable[[object], Value]], ...]] = (
    (bool, _bool),
    (int, _int),
    (float, lambda value: _float(value) if isinstance(value, Float32) else _double(value)),
    (str, _string),
    ((bytes, bytearray, memoryview), _binary),
    ((Timestamp, datetime.datetime), _timestamp),
    ((Decimal128, decimal.Decimal), _decimal),
    (ObjectId, _object_id),
    (uuid.UUID, _uuid),
    (Link, _link),
)


def _mixed(value: object) -> Value:
    for kinds, converter in _MIXED:
        if isinstance(value, kinds):
            return converter(value)
    raise WrongTypeError("pass None, a bool, number, string, bytes, time, id or Link")


_CONVERTERS: Final[dict[str, Callable[[object], Value]]] = {
    "bool": _bool,
    "int": _int,
    "counter": _int,
    "float": _float,
    "double": _double,
    "decimal": _decimal,
    "string": _string,
    "binary": _binary,
    "timestamp": _timestamp,
    "objectId": _object_id,
    "uuid": _uuid,
    "link": _link,
    "mixed": _mixed,
}

_KEY_KINDS: Final[dict[str, type]] = {
    "int": int,
    "string": str,
    "objectId": ObjectId,
    "uuid": uuid.UUID,
}

#: What a decoded register of a type holds: exactly this class.
PACKED_KINDS: Final[dict[str, type]] = {
    "bool": bool,
    "int": int,
    "counter": int,
    "float": Float32,
    "double": float,
    "decimal": Decimal128,
    "string": str,
    "binary": bytes,
    "timestamp": Timestamp,
    "objectId": ObjectId,
    "uuid": uuid.UUID,
    "link": Link,
}

#: What a property that can't be null starts with.
ZEROS: Final[dict[str, Value]] = {
    "bool": False,
    "int": 0,
    "counter": 0,
    "float": Float32(0.0),
    "double": 0.0,
    "decimal": Decimal128("0"),
    "string": "",
    "binary": b"",
    "timestamp": Timestamp(0),
    "objectId": ObjectId(bytes(12)),
    "uuid": uuid.UUID(int=0),
}
