"""Canonical MessagePack: one value, one encoding. [ENC]

Rule 1: `pack` writes the shortest form; map keys are written in the order they stand in, so
        whoever builds a structure sorts it (`sorted_map`).
Rule 2: `unpack` is total: it returns what `pack` could have written, or raises DecodeError.
        It bounds depth, re-encodes and compares, and walks the result once for what a
        comparison can't see: the order of keys, NaN payloads, integers past 64 bits.
Rule 3: the ext types below are the whole vocabulary beside MessagePack's own.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgpack
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import DecodeError, LimitExceededError, WrongTypeError
from replication.limits import (
    BODY_BYTES_MAX,
    DEPTH_MAX,
    INT64_MAX,
    INT64_MIN,
    VALUE_BYTES_MAX,
)
from replication.model.values import (
    ERASED,
    Based,
    Container,
    Float32,
    Key,
    Link,
    Stored,
    Timestamp,
    _Erased,
)

#: Whatever MessagePack can say: the decoded structures that the rest of the package works on.
Packed: TypeAlias = Any

EXT_OBJECT_ID: Final = 1
EXT_UUID: Final = 2
EXT_DECIMAL128: Final = 3
EXT_TIMESTAMP: Final = 4
EXT_FLOAT32: Final = 5
EXT_LINK: Final = 6
EXT_ERASED: Final = 7
EXT_BASED: Final = 8
EXT_CONTAINER: Final = 9

_FLOAT32 = struct.Struct(">f")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_WIDE = struct.Struct(">qI")
_DOUBLE = struct.Struct(">d")
_NAN: Final = _DOUBLE.pack(float("nan"))
_NAN32: Final = _FLOAT32.pack(float("nan"))


def _pack_timestamp(value: Timestamp) -> bytes:
    # The three forms of MessagePack's own timestamp, under a code of ours.
    if 0 <= value.seconds < 2**34:
        if value.nanoseconds == 0 and value.seconds < 2**32:
            return _U32.pack(value.seconds)
        return _U64.pack(value.nanoseconds << 34 | value.seconds)
    return _WIDE.pack(value.seconds, value.nanoseconds)


def _unpack_timestamp(data: bytes) -> Timestamp:
    if len(data) == 4:
        return Timestamp(_U32.unpack(data)[0])
    if len(data) == 8:
        both = _U64.unpack(data)[0]
        return Timestamp(both & (2**34 - 1), both >> 34)
    seconds, nanoseconds = _WIDE.unpack(data)
    return Timestamp(seconds, nanoseconds)


_WRITERS: Final[dict[type, tuple[int, Callable[[Any], bytes]]]] = {
    ObjectId: (EXT_OBJECT_ID, lambda value: value.binary),
    uuid.UUID: (EXT_UUID, lambda value: value.bytes),
    Decimal128: (EXT_DECIMAL128, lambda value: value.bid),
    Timestamp: (EXT_TIMESTAMP, _pack_timestamp),
    Float32: (
        EXT_FLOAT32,
        lambda value: _NAN32 if value != value else _FLOAT32.pack(value),
    ),
    Link: (EXT_LINK, lambda value: pack([value.class_name, value.key])),
    _Erased: (EXT_ERASED, lambda _value: b""),
    Based: (EXT_BASED, lambda value: pack([value.value, value.seen])),
    Container: (
        EXT_CONTAINER,
        lambda value: pack([value.kind, value.ident, value.sequence]),
    ),
}


def _default(value: object) -> Any:
    if type(value) is tuple:
        return list(value)
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise WrongTypeError(f"{value!r} of type {type(value).__name__} can't be stored")
    return msgpack.ExtType(writer[0], writer[1](value))


def _read_link(data: bytes) -> Link:
    class_name, key = _inner(data, 2)
    if type(class_name) is not str or not is_key(key):
        raise DecodeError(f"a link to {class_name!r} {key!r} is no link")
    return Link(class_name, key)


def _read_based(data: bytes) -> Based:
    value, seen = _inner(data, 2)
    if type(seen) is not int or type(value) in (Based, _Erased, list, dict):
        raise DecodeError(f"a value {value!r} based on {seen!r} is no value")
    return Based(value, seen)


def _read_container(data: bytes) -> Container:
    parts = _inner(data, 3)
    if any(type(part) is not int or part < 0 for part in parts):
        raise DecodeError(f"{parts!r} names no collection")
    return Container(*parts)


def _inner(data: bytes, length: int) -> list[Any]:
    # An ext inside an ext stops here: links hold keys, Based holds a link at most.
    items = unpack(data)
    if type(items) is not list or len(items) != length:
        raise DecodeError(f"{items!r} has not the {length} items of its type")
    return items


def _read_erased(data: bytes) -> _Erased:
    if data:
        raise DecodeError("an erased value carries no bytes")
    return ERASED


_READERS: Final[dict[int, Callable[[bytes], Any]]] = {
    EXT_OBJECT_ID: ObjectId,
    EXT_UUID: lambda data: uuid.UUID(bytes=data),
    EXT_DECIMAL128: Decimal128.from_bid,
    EXT_TIMESTAMP: _unpack_timestamp,
    EXT_FLOAT32: lambda data: Float32(_FLOAT32.unpack(data)[0]),
    EXT_LINK: _read_link,
    EXT_ERASED: _read_erased,
    EXT_BASED: _read_based,
    EXT_CONTAINER: _read_container,
}


def _ext_hook(code: int, data: bytes) -> Any:
    reader = _READERS.get(code)
    if reader is None:
        raise DecodeError(f"ext type {code} is not in use")
    return reader(data)


def pack(value: Packed) -> bytes:
    """The canonical bytes of a value or structure.

    Raises:
        WrongTypeError: a type that can't be stored, an integer past 64 bits, a lone surrogate.
    """
    try:
        # A Packer is not re-entrant and `_default` packs again, so each call has its own.
        return msgpack.Packer(strict_types=True, default=_default).pack(value)  # type: ignore[no-any-return]
    except (OverflowError, UnicodeEncodeError) as error:
        raise WrongTypeError(f"{value!r} can't be stored: {error}") from None


_UNPACK_OPTIONS: Final = {"raw": False, "strict_map_key": False, "ext_hook": _ext_hook}


def unpack_trusted(data: bytes) -> Packed:
    """What `pack` wrote and this process, or one that checked it, stored."""
    return msgpack.unpackb(data, **_UNPACK_OPTIONS)


def unpack(data: bytes, bytes_max: int = BODY_BYTES_MAX) -> Packed:
    """The structure that has exactly these canonical bytes.

    Raises:
        LimitExceededError: longer than ``bytes_max``, nested deeper than DEPTH_MAX.
        DecodeError: anything else that `pack` would not have written.
    """
    if len(data) > bytes_max:
        raise LimitExceededError(f"{len(data)} bytes where at most {bytes_max} are allowed")
    try:
        value = msgpack.unpackb(data, **_UNPACK_OPTIONS)
    except DecodeError:
        raise
    except RecursionError:
        raise LimitExceededError(f"nested deeper than {DEPTH_MAX}") from None
    except Exception as error:  # msgpack, struct, bson, uuid and our value types each have theirs
        raise DecodeError(f"not MessagePack of ours: {error or type(error).__name__}") from None
    _check(value, DEPTH_MAX)
    if pack(value) != data:
        raise DecodeError("not the canonical encoding of what it says")
    return value


_PLAIN: Final = frozenset(
    {type(None), bool, bytes, Timestamp, Decimal128, ObjectId, uuid.UUID, Link, _Erased, Based}
    | {Container, Float32}
)


def _check(value: Packed, depth: int) -> None:
    kind = type(value)
    if kind is int:
        if not INT64_MIN <= value <= INT64_MAX:
            raise DecodeError(f"{value} does not fit 64 bits")
    elif kind is str:
        if len(value) > VALUE_BYTES_MAX // 4 and len(value.encode()) > VALUE_BYTES_MAX:
            raise LimitExceededError(f"a string of more than {VALUE_BYTES_MAX} bytes")
    elif kind is list:
        if depth == 0:
            raise LimitExceededError(f"nested deeper than {DEPTH_MAX}")
        for item in value:
            if type(item) not in _PLAIN:
                _check(item, depth - 1)
    elif kind is dict:
        if depth == 0:
            raise LimitExceededError(f"nested deeper than {DEPTH_MAX}")
        _check_keys(value)
        for item in value.values():
            if type(item) not in _PLAIN:
                _check(item, depth - 1)
    elif kind is float:
        if value != value and _DOUBLE.pack(value) != _NAN:
            raise DecodeError("a NaN with a payload")
    elif kind not in _PLAIN:
        raise DecodeError(f"{kind.__name__} is no type of ours")


def _check_keys(value: dict[Any, Any]) -> None:
    # One type a map, ascending: strings by code point (the order of their UTF-8), bytes, ints.
    keys = list(value)
    kinds = set(map(type, keys))
    if len(kinds) > 1 or not kinds <= {str, bytes, int}:
        raise DecodeError(f"map keys {keys[:3]!r} are not all strings, all bytes or all integers")
    if any(map(_not_ascending, keys, keys[1:])):
        raise DecodeError(f"map keys {keys[:3]!r} are not in ascending order")


def _not_ascending(left: Any, right: Any) -> bool:
    return bool(left >= right)


def is_key(value: object) -> bool:
    """Whether a value may be a primary key: int, string, ObjectId or UUID."""
    return type(value) in (int, str, ObjectId, uuid.UUID)


def is_value(value: object) -> bool:
    """Whether a decoded thing may stand in a register (the engine's own markers included)."""
    kind = type(value)
    return kind in _PLAIN or kind in (int, str, float)


def sorted_map(value: dict[Any, Any]) -> dict[Any, Any]:
    """The same map in canonical key order."""
    return dict(sorted(value.items()))


def key_bytes(key: Key) -> bytes:
    """The canonical bytes of a primary key: what stores and orders use."""
    return pack(key)


def greater(left: Stored, right: Stored) -> bool:
    """Whether ``left`` wins a tie of equal order keys: by its canonical bytes. [MERGE-TIE]"""
    return pack(left) > pack(right)
