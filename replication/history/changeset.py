"""Changesets: what one write transaction wrote, in the bytes that travel and are stored. [CHG]

    [time, cursor, flags, schema, objects] or [..., horizon]
    object   [class, key, delta], or [class, key, delta, 1] for a blind write

* `time`: of the transaction's stamp; its origin is the file ident of whoever uploads.
* `cursor`: the author's download cursor: the server version it had seen.
* `flags`: 1 = atomic, refused whole if any part is.
* `schema`: classes and properties this transaction added, as `Schema.to_packed` gives them.
* `objects`: in ascending order of (class, canonical bytes of the key), each once.
* `horizon`: greater than the cursor: what it was written on is forgotten, and it was re-based on
  what is left at that server version. In a changeset of the server that has its own version as
  the horizon: everything dead is forgotten here. [CHG-13]

Rule 1: equal changesets are equal bytes. [CHG-1]
Rule 2: `decode` accepts what `encode` writes and nothing else. [CHG-2]
Rule 3: exactly once is checked by a digest chain per file: digest(n) = the first 16 bytes of
        SHA-256(digest(n-1) + bytes of changeset n), from 16 zero bytes on. [CHG-3]
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from reprlib import repr as _short
from typing import Any, Final, NamedTuple

from replication.crdt.check import Bounds, check_within
from replication.crdt.object import ObjectState
from replication.errors import DecodeError, LimitExceededError
from replication.limits import (
    CHANGESET_BYTES_MAX,
    CHANGESET_OBJECTS_MAX,
    CLASS_NAME_BYTES_MAX,
    KEY_BYTES_MAX,
    NESTING_MAX,
    TIME_MAX,
)
from replication.model.encoding import (
    check_shape,
    is_key,
    key_bytes,
    pack,
    trusted_unpacker,
    unpack_for_check,
    unpack_trusted,
)
from replication.model.values import Key

ATOMIC: Final = 1
#: The mark of an object: its author does not hold it.
BLIND: Final = 1
#: The digest before the first changeset.
DIGEST_START: Final = bytes(16)


class ObjectDelta(NamedTuple):
    """What a transaction wrote to one object."""

    class_name: str
    key: Key
    delta: ObjectState
    #: A create of a key its author does not hold, or a later write to what such a create made: the
    #: server starts it from the length the key had at the author's cursor.
    blind: bool = False


@dataclass(slots=True)
class Changeset:
    """One transaction's writes, decoded."""

    time: int
    cursor: int
    objects: list[ObjectDelta]
    flags: int = 0
    schema: dict[str, Any] = field(default_factory=dict)
    #: The horizon it was re-based on; 0 for none.
    horizon: int = 0

    @property
    def fits(self) -> int:
        """The server version whose state it fits on: its cursor, or a later horizon."""
        return max(self.cursor, self.horizon)

    @property
    def atomic(self) -> bool:
        """Whether it is refused whole if any part of it is."""
        return bool(self.flags & ATOMIC)


def encode(changeset: Changeset) -> bytes:
    """The canonical bytes; sorts the objects.

    Raises:
        LimitExceededError: too many objects or bytes for one transaction.
    """
    if len(changeset.objects) > CHANGESET_OBJECTS_MAX:
        raise LimitExceededError(
            f"{len(changeset.objects)} objects in one transaction; at most "
            f"{CHANGESET_OBJECTS_MAX} are allowed, so split it"
        )
    data = encode_unbounded(changeset)
    if len(data) > CHANGESET_BYTES_MAX:
        raise LimitExceededError(
            f"a transaction of {len(data)} bytes; at most {CHANGESET_BYTES_MAX} are allowed, "
            "so split it"
        )
    return data


def encode_unbounded(changeset: Changeset) -> bytes:
    """The same bytes, however many there are: for whoever wants to know how many."""
    objects = changeset.objects
    if len(objects) > 1:
        objects = sorted(objects, key=_position)
    items = [
        changeset.time,
        changeset.cursor,
        changeset.flags,
        changeset.schema,
        [[*item[:3], *_mark(item)] for item in objects],
    ]
    return pack([*items, changeset.horizon] if changeset.horizon else items)


def _mark(item: ObjectDelta) -> tuple[int, ...]:
    return (BLIND,) if item.blind else ()


def _position(item: ObjectDelta) -> tuple[str, bytes]:
    return (item.class_name, key_bytes(item.key))


def decode_trusted(data: bytes) -> Changeset:
    """What `encode` wrote and this process, or one that checked it, stored."""
    time, cursor, flags, schema, objects, *horizon = unpack_trusted(data)
    items = [_trusted(*item) for item in objects]
    return Changeset(time, cursor, items, flags, schema, *horizon)


def _trusted(class_name: str, key: Key, delta: ObjectState, mark: int = 0) -> ObjectDelta:
    return ObjectDelta(class_name, key, delta, mark == BLIND)


class Outline(NamedTuple):
    """A changeset whose deltas are still bytes; see `Changeset`."""

    time: int
    cursor: int
    horizon: int
    #: Class, key and delta of each object.
    objects: list[tuple[str, Key, bytes]]
    #: The marks of objects that have one, by position.
    marks: dict[int, int]


def outline_trusted(data: bytes) -> Outline:
    """`decode_trusted` for whoever needs to know of what there are deltas, and passes them on.

    Deltas of a changeset that this process, or one that checked it, stored.
    """
    unpacker = trusted_unpacker(data)
    count = unpacker.read_array_header()
    time, cursor, _flags, _schema = [unpacker.unpack() for _ in range(4)]
    objects = []
    marks: dict[int, int] = {}
    for position in range(unpacker.read_array_header()):
        items = unpacker.read_array_header()
        class_name, key = unpacker.unpack(), unpacker.unpack()
        start = unpacker.tell()
        unpacker.skip()
        objects.append((class_name, key, data[start : unpacker.tell()]))
        if items == 4:
            marks[position] = unpacker.unpack()
    horizon = unpacker.unpack() if count == 6 else 0
    return Outline(time, cursor, horizon, objects, marks)


def decode(data: bytes) -> Changeset:
    """A changeset from a peer.

    Raises:
        DecodeError: anything that `encode` would not have written.
    """
    items = unpack_for_check(data, CHANGESET_BYTES_MAX)
    if type(items) is not list or len(items) not in (5, 6):
        raise DecodeError("a changeset has 5 items, or 6")
    time, cursor, flags, schema, objects, *horizon = items
    if type(time) is not int or not 0 < time <= TIME_MAX:
        raise DecodeError(f"{_short(time)} is no time")
    if type(cursor) is not int or not 0 <= cursor <= TIME_MAX:
        raise DecodeError(f"{_short(cursor)} is no download cursor")
    if horizon and (type(horizon[0]) is not int or not cursor < horizon[0] <= TIME_MAX):
        raise DecodeError(f"{_short(horizon[0])} is no horizon past the cursor {cursor}")
    if type(flags) is not int or flags not in (0, ATOMIC):
        raise DecodeError(f"flags {_short(flags)} are not in use")
    if type(schema) is not dict or type(objects) is not list:
        raise DecodeError("a changeset's schema is a map and its objects are a list")
    if len(objects) > CHANGESET_OBJECTS_MAX:
        raise LimitExceededError(
            f"{len(objects)} objects where at most {CHANGESET_OBJECTS_MAX} are allowed"
        )
    if schema:
        check_shape(schema)
    bounds = Bounds(spread=False)
    deltas = [_object(item, bounds) for item in objects]
    if any(left >= right for left, right in itertools.pairwise(map(_position, deltas))):
        raise DecodeError("objects of a changeset that do not ascend")
    return Changeset(time, cursor, deltas, flags, schema, *horizon)


def _object(item: Any, bounds: Bounds) -> ObjectDelta:
    if type(item) is not list or len(item) not in (3, 4):
        raise DecodeError("an object of a changeset is [class, key, delta] or [..., mark]")
    class_name, key, delta = item[:3]
    check_class_name(class_name)
    check_key(key)
    check_within(delta, bounds, NESTING_MAX)
    if len(item) == 3:
        return ObjectDelta(class_name, key, delta)
    if type(item[3]) is not int or item[3] != BLIND:
        raise DecodeError(f"{_short(item[3])} does not mark a blind write, 1 does")
    return ObjectDelta(class_name, key, delta, blind=True)


def check_class_name(name: Any) -> None:
    """Raise DecodeError unless ``name`` may name a class."""
    if type(name) is not str or not name or len(name.encode()) > CLASS_NAME_BYTES_MAX:
        raise DecodeError(f"{_short(name)} is no class name")


def check_key(key: Any) -> None:
    """Raise DecodeError unless ``key`` may be a primary key."""
    if not is_key(key):
        raise DecodeError(f"{_short(key)} is no primary key")
    if type(key) is str and len(key.encode()) > KEY_BYTES_MAX:
        raise LimitExceededError(f"primary key {_short(key)} has more than {KEY_BYTES_MAX} bytes")


def next_digest(digest: bytes, data: bytes) -> bytes:
    """The next link of a file's digest chain. [CHG-3]"""
    return hashlib.sha256(digest + data).digest()[:16]
