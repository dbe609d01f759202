"""Bodies: the changesets of an UPLOAD, the operations of a DOWNLOAD, compressed where it pays.

An UPLOAD's body is a list of changesets. A DOWNLOAD's is a list of operations: [BODY]

    [0, class, key, version, delta]         merge the delta that server version `version` made
    [1, class, key, version, head, parts]   replace the object by its state as of `version`;
                                            parts: [name, version, data], data null for one that
                                            has not changed since the client's cursor
    [2, class, key]                         the object left the view: forget it, delete nothing
    [3, schema]                             classes and properties the server knows
    [4, version, origin, time, seen]        who made server version `version`: the file, the time
                                            of its stamp, the server version its author had seen
    [5, version]                            what was dead as of that version is forgotten

Heads, deltas and parts are the bytes as they are stored.

Rule 1: a body longer than COMPRESS_BYTES_MIN is compressed with zstd if that is shorter; `size`
        is then its length before, else 0. [BODY-1]
Rule 2: decompression stops at `size`, which is at most BODY_BYTES_MAX. [BODY-2]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from replication.crdt.check import check_part, unpack_objects
from replication.crdt.object import ObjectState
from replication.errors import DecodeError, LimitExceededError
from replication.history.changeset import check_class_name
from replication.limits import (
    BODY_BYTES_MAX,
    CHANGESET_BYTES_MAX,
    COMPRESS_BYTES_MIN,
    IDENT_MAX,
    TIME_MAX,
    UPLOAD_CHANGESETS_MAX,
)
from replication.model.encoding import (
    check_shape,
    is_key,
    pack,
    pack_list,
    unpack,
    unpack_runs_for_check,
)
from replication.model.values import Key

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DELTA: Final = 0
STATE: Final = 1
EVICT: Final = 2
SCHEMA: Final = 3
AUTHOR: Final = 4
FORGET: Final = 5


class DeltaOp(NamedTuple):
    """Merge a delta. `unseen` 1: its author did not hold the object, whatever else it had seen."""

    class_name: str
    key: Key
    version: int
    delta: bytes
    unseen: int = 0


class StateOp(NamedTuple):
    """Replace an object by a state.

    `parts`: [name, version, data or None]. `touched`: the versions, of others than the receiver,
    that touched it since the receiver's cursor; empty where nobody looked.
    """

    class_name: str
    key: Key
    version: int
    head: bytes
    parts: list[list[Any]]
    touched: Sequence[int] = ()


class EvictOp(NamedTuple):
    """Forget an object."""

    class_name: str
    key: Key


class SchemaOp(NamedTuple):
    """Learn classes and properties."""

    schema: dict[str, Any]


class AuthorOp(NamedTuple):
    """Who made a server version: a file, the time of its stamp, and what it had seen by then."""

    version: int
    origin: int
    time: int
    seen: int


class ForgetOp(NamedTuple):
    """A horizon: everything dead as of a server version is forgotten."""

    version: int


Operation: TypeAlias = DeltaOp | StateOp | EvictOp | SchemaOp | AuthorOp | ForgetOp

_KINDS: Final = (DeltaOp, StateOp, EvictOp, SchemaOp, AuthorOp, ForgetOp)
#: Items of deltas, states and evictions: the last one of the former two may be left out.
_LENGTHS: Final = ((5, 6), (6, 7), (3,))
_NUMBERS: Final[dict[type, int]] = {
    DeltaOp: DELTA,
    StateOp: STATE,
    EvictOp: EVICT,
    SchemaOp: SCHEMA,
    AuthorOp: AUTHOR,
    ForgetOp: FORGET,
}


def compressed(body: bytes) -> tuple[int, bytes]:
    """(size, bytes) as messages carry a body. Rule 1."""
    if len(body) > COMPRESS_BYTES_MIN:
        packed = zstd.compress(body, level=3)
        if len(packed) < len(body):
            return len(body), packed
    return 0, body


def decompressed(size: int, body: bytes) -> bytes:
    """The body again.

    Raises:
        DecodeError: not zstd, or not of the size that was stated.
    """
    if size == 0:
        return body
    if size > BODY_BYTES_MAX:
        raise LimitExceededError(f"a body of {size} bytes; at most {BODY_BYTES_MAX} are allowed")
    try:
        decompressor = zstd.ZstdDecompressor()
        out: bytes = decompressor.decompress(body, max_length=size + 1)
    except zstd.ZstdError as error:
        raise DecodeError(f"a body that is not zstd: {error}") from None
    if len(out) != size or not decompressor.eof or decompressor.unused_data:
        raise DecodeError(f"a compressed body that is not the {size} bytes it says")
    return out


def encode_changesets(changesets: list[bytes]) -> tuple[int, bytes]:
    """(size, body) of an UPLOAD."""
    return compressed(pack(changesets))


def decode_changesets(size: int, body: bytes) -> list[bytes]:
    """The changesets of an UPLOAD, each still to be decoded."""
    items = unpack(decompressed(size, body))
    if type(items) is not list or any(type(item) is not bytes for item in items):
        raise DecodeError("the body of an UPLOAD is a list of changesets")
    if not 0 < len(items) <= UPLOAD_CHANGESETS_MAX:
        raise LimitExceededError(
            f"{len(items)} changesets in one UPLOAD; 1 to {UPLOAD_CHANGESETS_MAX} are allowed"
        )
    for item in items:
        if len(item) > CHANGESET_BYTES_MAX:
            raise LimitExceededError(f"a changeset of {len(item)} bytes")
    return items


def encode_operations(operations: list[Operation]) -> tuple[int, bytes]:
    """(size, body) of a DOWNLOAD."""
    return compressed(pack_list(map(pack_operation, operations), len(operations)))


def decode_operations(size: int, body: bytes) -> list[Operation]:
    """The operations of a DOWNLOAD, each checked: heads, deltas and parts are well-formed.

    Raises:
        DecodeError: anything else.
    """
    return [operation for operation, _ in decode_with_states(size, body)]


def decode_with_states(size: int, body: bytes) -> Iterator[tuple[Operation, ObjectState | None]]:
    """The same, one by one, each with the decoded delta or head that it carries.

    Raises:
        DecodeError: as there, and only then: the operations before it were passed on.
    """
    # Each operation below is looked at item by item, so the walk of `unpack` is not needed.
    for items in unpack_runs_for_check(decompressed(size, body)):
        operations = [_operation(item) for item in items]
        deltas = iter(_states([item.delta for item in operations if type(item) is DeltaOp]))
        heads = [item.head for item in operations if type(item) is StateOp]
        states = iter(_states(heads, spread=True))
        for item in operations:
            kind = type(item)
            if kind is DeltaOp:
                yield item, next(deltas)
            else:
                yield item, next(states) if kind is StateOp else None


def _states(items: list[bytes], *, spread: bool = False) -> list[ObjectState]:
    return unpack_objects(items, spread=spread) if items else []


def pack_operation(operation: Operation) -> list[Any]:
    """An operation as it stands in a body."""
    items = [_NUMBERS[type(operation)], *operation]
    if not items[-1] and type(operation) in (DeltaOp, StateOp):
        items.pop()
    return items


def trusted_operation(item: list[Any]) -> Operation:
    """The operation that `pack_operation` made this of."""
    return _KINDS[item[0]](*item[1:])


def _operation(item: Any) -> Operation:
    """An operation; whether its head or delta is well-formed is left to the caller."""
    if type(item) is not list or not item or type(item[0]) is not int:
        raise DecodeError(f"{item!r:.60} is no operation")
    kind = item[0]
    if kind == SCHEMA and len(item) == 2 and type(item[1]) is dict:
        check_shape(item[1])
        return SchemaOp(item[1])
    if kind == AUTHOR and len(item) == 5:
        return _author(item)
    if kind == FORGET and len(item) == 2:
        if type(item[1]) is not int or not 0 < item[1] <= TIME_MAX:
            raise DecodeError(f"{item[1]!r:.60} is no server version")
        return ForgetOp(item[1])
    if not DELTA <= kind <= EVICT or len(item) not in _LENGTHS[kind]:
        raise DecodeError(f"{item!r:.60} is no operation")
    check_class_name(item[1])
    if not is_key(item[2]):
        raise DecodeError(f"{item[2]!r} is no primary key")
    if kind == EVICT:
        return EvictOp(item[1], item[2])
    if type(item[3]) is not int or not 0 < item[3] <= TIME_MAX or type(item[4]) is not bytes:
        raise DecodeError(f"{item!r:.60} is no operation")
    if kind == DELTA:
        if len(item) == 6 and (type(item[5]) is not int or item[5] != 1):
            raise DecodeError(f"{item[5]!r:.60} does not say that a delta's author had not seen")
        return DeltaOp(*item[1:])
    _check_parts(item[5])
    if len(item) == 7:
        _check_touched(item[6], item[3])
    return StateOp(*item[1:])


def _check_touched(versions: Any, last: int) -> None:
    if type(versions) is not list or not versions:
        raise DecodeError(f"{versions!r:.60} are no versions that touched an object")
    before = 0
    for version in versions:
        if type(version) is not int or not before < version <= last:
            raise DecodeError(f"{version!r:.60} is no version that touched a state of {last}")
        before = version


def _author(item: list[Any]) -> AuthorOp:
    bounds = ((1, TIME_MAX), (1, IDENT_MAX), (1, TIME_MAX), (0, TIME_MAX))
    for number, (least, most) in zip(item[1:], bounds, strict=True):
        if type(number) is not int or not least <= number <= most:
            raise DecodeError(f"{item!r:.80} is no author of a version")
    author = AuthorOp(*item[1:])
    if author.seen >= author.version:
        raise DecodeError(f"the author of version {author.version} had seen {author.seen}")
    return author


def _check_parts(parts: Any) -> None:
    if type(parts) is not list:
        raise DecodeError("the parts of a state are a list")
    for part in parts:
        if type(part) is not list or len(part) != 3 or type(part[0]) is not bytes:
            raise DecodeError(f"{part!r:.60} is no part")
        if type(part[1]) is not int or not 0 <= part[1] <= TIME_MAX:
            raise DecodeError(f"{part[1]!r} is no version of a part")
        unpack(part[0])
        if part[2] is not None:
            if type(part[2]) is not bytes:
                raise DecodeError(f"{part[2]!r:.60} are no bytes of a part")
            check_part(part[2])
