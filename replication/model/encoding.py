"""Canonical MessagePack: one value, one encoding. [ENC]

Rule 1: `pack` writes the shortest form; map keys are written in the order they stand in, so
        whoever builds a structure sorts it (`sorted_map`).
Rule 2: `unpack` is total: it returns what `pack` could have written, or raises DecodeError.
        It re-encodes and compares, looks in the bytes for what a comparison can't see (integers
        past 64 bits, NaN payloads), and walks the result once for the order of keys, foreign
        types and the depth.
Rule 3: the ext types below are the whole vocabulary beside MessagePack's own. A link holds a
        key, a based value holds a link at most: exts never nest deeper.
"""

from __future__ import annotations

import re
import struct
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from reprlib import repr as _short
from typing import Any, Final, TypeAlias

import msgpack
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import DecodeError, LimitExceededError, WrongTypeError
from replication.limits import (
    BODY_BYTES_MAX,
    CLASS_NAME_BYTES_MAX,
    DEPTH_MAX,
    IDENT_MAX,
    INT64_MAX,
    INT64_MIN,
    SEQUENCE_MAX,
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
    # As MessagePack has timestamps, but seconds first in the longest form, under a code of ours.
    if 0 <= value.seconds < 2**34:
        if value.nanoseconds == 0 and value.seconds < 2**32:
            return _U32.pack(value.seconds)
        return _U64.pack(value.nanoseconds << 34 | value.seconds)
    return _WIDE.pack(value.seconds, value.nanoseconds)


def _unpack_timestamp(data: bytes) -> Timestamp:
    if len(data) == 8:
        both = _U64.unpack(data)[0]
        seconds, nanoseconds = both & (2**34 - 1), both >> 34
    elif len(data) == 4:
        seconds, nanoseconds = _U32.unpack(data)[0], 0
    else:
        seconds, nanoseconds = _WIDE.unpack(data)
    return Timestamp.read(seconds, nanoseconds)


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
    writer = _WRITERS.get(type(value))
    if writer is None:
        if type(value) is tuple:
            return list(value)
        raise WrongTypeError(f"{_short(value)} of type {type(value).__name__} can't be stored")
    # Past ExtType's own constructor, which checks in Python what is known here.
    return tuple.__new__(msgpack.ExtType, (writer[0], writer[1](value)))


def _read_link(data: bytes) -> Link:
    class_name, key = _inner(data, 2, _KEY_READERS)
    if type(class_name) is not str or not is_key(key):
        raise DecodeError(f"a link to {_short(class_name)} {_short(key)} is no link")
    if not 0 < len(class_name.encode()) <= CLASS_NAME_BYTES_MAX:
        raise DecodeError(f"{class_name!r} is no class name")
    return Link(class_name, key)


def _read_based(data: bytes) -> Based:
    value, seen = _inner(data, 2, _VALUE_READERS)
    if type(seen) is not int or seen == 0 or not is_value(value):
        raise DecodeError(f"a value {_short(value)} based on {_short(seen)} is no value")
    return Based(value, seen)


def _read_container(data: bytes) -> Container:
    kind, ident, sequence = _inner(data, 3, {})
    if type(kind) is not int or kind not in (3, 4):
        raise DecodeError(f"{kind!r} is no kind of collection")
    if type(ident) is not int or not 0 <= ident <= IDENT_MAX:
        raise DecodeError(f"{ident!r} is no file ident")
    if type(sequence) is not int or not 0 <= sequence <= SEQUENCE_MAX:
        raise DecodeError(f"{sequence!r} is no sequence")
    return Container(kind, ident, sequence)


def _inner(data: bytes, length: int, readers: Readers) -> list[Any]:
    # An ext inside an ext decodes with fewer exts, so that hostile bytes can't nest them.
    items = _decode(data, _hook(readers))
    if type(items) is not list or len(items) != length:
        raise DecodeError(f"{_short(items)} has not the {length} items of its type")
    _check_leaves(items)
    return items


def _read_erased(data: bytes) -> _Erased:
    if data:
        raise DecodeError("an erased value carries no bytes")
    return ERASED


Readers: TypeAlias = dict[int, Callable[[bytes], Any]]
_KEY_READERS: Final[Readers] = {
    EXT_OBJECT_ID: ObjectId,
    EXT_UUID: lambda data: uuid.UUID(bytes=data),
}
_VALUE_READERS: Final[Readers] = _KEY_READERS | {
    EXT_DECIMAL128: Decimal128.from_bid,
    EXT_TIMESTAMP: _unpack_timestamp,
    EXT_FLOAT32: lambda data: Float32(_FLOAT32.unpack(data)[0]),
    EXT_LINK: _read_link,
    EXT_CONTAINER: _read_container,
}
_READERS: Final[Readers] = _VALUE_READERS | {EXT_ERASED: _read_erased, EXT_BASED: _read_based}


def _hook(readers: Readers) -> Callable[[int, bytes], Any]:
    def read(code: int, data: bytes) -> Any:
        reader = readers.get(code)
        if reader is None:
            raise DecodeError(f"ext type {code} is not in use here")
        return reader(data)

    return read


_ext_hook: Final = _hook(_READERS)


def pack(value: Packed) -> bytes:
    """The canonical bytes of a value or structure.

    Raises:
        WrongTypeError: a type that can't be stored, an integer past 64 bits, a lone surrogate,
            lists nested too deep.
    """
    try:
        # A Packer is not re-entrant and `_default` packs again, so each call has its own.
        return msgpack.Packer(strict_types=True, default=_default).pack(value)  # type: ignore[no-any-return]
    except (OverflowError, ValueError) as error:
        if isinstance(error, WrongTypeError):
            raise
        raise WrongTypeError(f"{_short(value)} can't be stored: {error}") from None


def pack_list(items: Iterable[Packed], count: int) -> bytes:
    """`pack` of a list of ``count`` items, each of which may be gone once the next is asked for."""
    return msgpack.Packer().pack_array_header(count) + b"".join(map(pack, items))  # type: ignore[no-any-return]


#: Above this many bytes, that all lists are complete is seen to before any is allocated.
_SCAN_BYTES: Final = 1024


def _decode(data: bytes, ext_hook: Callable[[int, bytes], Any]) -> Any:
    if len(data) > _SCAN_BYTES:
        scanner = msgpack.Unpacker(None, max_buffer_size=len(data))
        scanner.feed(data)
        scanner.skip()
    return msgpack.unpackb(data, raw=False, strict_map_key=False, ext_hook=ext_hook)


def unpack_trusted(data: bytes) -> Packed:
    """What `pack` wrote and this process, or one that checked it, stored."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False, ext_hook=_ext_hook)


def trusted_unpacker(data: bytes) -> msgpack.Unpacker:
    """`unpack_trusted` step by step: some of it decoded, some skipped."""
    unpacker = msgpack.Unpacker(
        None, raw=False, strict_map_key=False, ext_hook=_ext_hook, max_buffer_size=len(data)
    )
    unpacker.feed(data)
    return unpacker


def unpack(data: bytes, bytes_max: int = BODY_BYTES_MAX) -> Packed:
    """The structure that has exactly these canonical bytes.

    Raises:
        LimitExceededError: longer than ``bytes_max``, nested deeper than DEPTH_MAX.
        DecodeError: anything else that `pack` would not have written.
    """
    value = unpack_for_check(data, bytes_max)
    check_shape(value)
    return value


#: What re-encoding reproduces although it is not canonical: unsigned integers of 2**63 or more,
#: and doubles that are infinite or no number. Other bytes can look the same. (Two patterns of one
#: first byte each are found five times faster than one pattern.)
_BIG_INTEGER: Final = re.compile(rb"\xcf[\x80-\xff]")
_ODD_DOUBLE: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")


def unpack_for_check(data: bytes, bytes_max: int = BODY_BYTES_MAX) -> Packed:
    """`unpack` for whoever checks the shape of the whole result, as `crdt.check` does.

    What is left to the caller is what `check_shape` does: that maps ascend, that every type is one
    of ours, and how deep it goes.
    """
    if len(data) > bytes_max:
        raise LimitExceededError(f"{len(data)} bytes where at most {bytes_max} are allowed")
    value = _unpacked(data)
    _check_oddities(data, value)
    return value


def _unpacked(data: bytes) -> Packed:
    try:
        value = _decode(data, _ext_hook)
    except Exception as error:
        raise _undecodable(error) from None
    _check_canonical(value, data)
    return value


def _undecodable(error: Exception) -> DecodeError:
    # msgpack, struct, bson, uuid and our value types each raise errors of their own.
    if isinstance(error, DecodeError):
        return error
    return DecodeError(f"not MessagePack of ours: {error or type(error).__name__}")


def _check_canonical(value: Packed, data: bytes) -> None:
    try:
        canonical = pack(value) == data
    except WrongTypeError:
        raise LimitExceededError(f"nested deeper than {DEPTH_MAX}") from None
    if not canonical:
        raise DecodeError("not the canonical encoding of what it says")


def _check_oddities(data: bytes, value: Packed) -> None:
    if len(data) > VALUE_BYTES_MAX or _BIG_INTEGER.search(data) or _ODD_DOUBLE.search(data):
        _check_leaves(value)


#: Structures that are decoded together where there are many: enough to share what a call costs,
#: and so few that they are gone again before Python's garbage collector looks for them.
RUN: Final = 32


def unpack_runs_for_check(data: bytes, bytes_max: int = BODY_BYTES_MAX) -> Iterator[list[Packed]]:
    """`unpack_for_check` of a long list: its items, at most RUN of them at a time.

    Raises:
        DecodeError: as there, or it is no list; what came before was fine.
    """
    if len(data) > bytes_max:
        raise LimitExceededError(f"{len(data)} bytes where at most {bytes_max} are allowed")
    scanner = msgpack.Unpacker(None, max_buffer_size=max(1, len(data)))
    scanner.feed(data)
    unpacker = msgpack.Unpacker(
        None, raw=False, strict_map_key=False, ext_hook=_ext_hook, max_buffer_size=max(1, len(data))
    )
    unpacker.feed(data)
    try:
        scanner.skip()
        left = unpacker.read_array_header()
    except Exception as error:
        raise _undecodable(error) from None
    start = unpacker.tell()
    header = msgpack.Packer().pack_array_header(left)
    if scanner.tell() != len(data) or data[:start] != header:
        raise DecodeError("not the canonical encoding of a list, and of nothing else")
    while left:
        count = min(RUN, left)
        left -= count
        items: list[Packed] = []
        ends = []
        try:
            for _ in range(count):
                items.append(unpacker.unpack())
                ends.append(unpacker.tell() - start)
        except Exception as error:
            raise _undecodable(error) from None
        run = data[start : start + ends[-1]]
        _check_canonical(items, msgpack.Packer().pack_array_header(count) + run)
        _check_odd_ones(run, ends, items)
        yield items
        start += ends[-1]


def unpack_each_for_check(items: list[bytes]) -> list[Packed]:
    """`unpack_for_check` of some byte strings in one go, which costs a third. RUN is a good number.

    Raises:
        DecodeError: as there; it does not say which one.
    """
    joined = b"".join(items)
    scanner = msgpack.Unpacker(None, max_buffer_size=max(1, len(joined)))
    scanner.feed(joined)
    ends = []
    end = 0
    for data in items:
        end += len(data)
        ends.append(end)
        try:
            scanner.skip()
        except Exception as error:
            raise _undecodable(error) from None
        if scanner.tell() != end:
            raise DecodeError("not one structure, whole")
    # Each is a structure of its own, so a list of them is their bytes behind its header.
    values: list[Packed] = _unpacked(msgpack.Packer().pack_array_header(len(items)) + joined)
    _check_odd_ones(joined, ends, values)
    return values


def _check_odd_ones(data: bytes, ends: list[int], values: list[Packed]) -> None:
    """`_check_oddities` of structures that end at these places, of each that is suspected."""
    if len(data) > VALUE_BYTES_MAX:
        _check_leaves(values)
        return
    for odd in (_BIG_INTEGER, _ODD_DOUBLE):
        for found in odd.finditer(data):
            _check_leaves(values[bisect_right(ends, found.start())])


#: The types a register may hold, the engine's own markers included.
VALUE_TYPES: Final = frozenset(
    {type(None), bool, int, float, str, bytes, Float32, Timestamp, Decimal128, ObjectId}
    | {uuid.UUID, Link, _Erased, Based, Container}
)


def _check_leaves(value: Packed) -> None:
    # Without recursion: nothing has bounded the depth yet.
    rest: list[Any] = [[value]]
    while rest:
        for item in rest.pop():
            kind = type(item)
            if kind is int:
                if item > INT64_MAX:
                    raise DecodeError(f"{item} does not fit 64 bits")
            elif kind is list:
                rest.append(item)
            elif kind is dict:
                rest += (item, item.values())
            elif kind is float:
                if item != item and _DOUBLE.pack(item) != _NAN:
                    raise DecodeError("a NaN with a payload")
            elif (kind is str or kind is bytes) and len(item) * 4 > VALUE_BYTES_MAX:
                _check_size(item)


def _check_size(value: str | bytes) -> None:
    size = len(value.encode() if isinstance(value, str) else value)
    if size > VALUE_BYTES_MAX:
        raise LimitExceededError(f"a value of {size} bytes where {VALUE_BYTES_MAX} are allowed")


def check_shape(value: Packed, depth: int = DEPTH_MAX) -> None:
    """Raise DecodeError unless all maps inside ascend, all types are ours, and depth is bounded."""
    kind = type(value)
    if kind is dict:
        check_ascending(value)
        items: Any = value.values()
    elif kind is list:
        items = value
    elif kind in VALUE_TYPES:
        return
    else:
        raise DecodeError(f"{kind.__name__} is no type of ours")
    if depth == 0:
        raise LimitExceededError(f"nested deeper than {DEPTH_MAX}")
    if not VALUE_TYPES.issuperset(map(type, items)):
        for item in items:
            if type(item) not in VALUE_TYPES:
                check_shape(item, depth - 1)


def check_ascending(value: dict[Any, Any]) -> None:
    """Raise DecodeError unless the keys of a map are of one type and ascend.

    Strings ascend by code point (the order of their UTF-8), bytes and integers as they are.
    """
    keys = list(value)
    kinds = set(map(type, keys))
    if len(kinds) > 1 or not kinds <= _KEY_KINDS:
        raise DecodeError(f"map keys {_short(keys)} are not all strings, all bytes or all integers")
    if keys != sorted(keys):
        raise DecodeError(f"map keys {_short(keys)} are not in ascending order")


_KEY_KINDS: Final = frozenset({str, bytes, int})


def is_key(value: object) -> bool:
    """Whether a value may be a primary key: int, string, ObjectId or UUID."""
    return type(value) in (int, str, ObjectId, uuid.UUID)


def storable(value: Stored) -> Stored:
    """The value in the one form its canonical bytes have: all NaNs are one.

    Raises:
        WrongTypeError: a type that can't be stored, an integer past 64 bits.
    """
    kind = type(value)
    if kind is float:
        return value if value == value else _NAN_VALUE
    if kind is int:
        if not INT64_MIN <= value <= INT64_MAX:  # type: ignore[operator]
            raise WrongTypeError(f"{value} does not fit 64 bits")
    elif kind not in VALUE_TYPES:
        raise WrongTypeError(f"{_short(value)} of type {kind.__name__} can't be stored")
    return value


_NAN_VALUE: Final = float("nan")


def is_value(value: object) -> bool:
    """Whether a decoded thing may stand in a register (the engine's own markers included)."""
    return type(value) in VALUE_TYPES


def sorted_map(value: dict[Any, Any]) -> dict[Any, Any]:
    """The same map in canonical key order."""
    return dict(sorted(value.items()))


#: For what has no hook into Python, so that nothing can come in between.
_PLAIN_PACKER: Final = msgpack.Packer(strict_types=True)


def key_bytes(key: Key) -> bytes:
    """The canonical bytes of a primary key: what stores and orders use."""
    return _PLAIN_PACKER.pack(key) if type(key) is int else pack(key)


def greater(left: Stored, right: Stored) -> bool:
    """Whether ``left`` wins a tie of equal order keys: by its canonical bytes. [MERGE-TIE]"""
    return pack(left) > pack(right)
