"""The messages: their fields, their numbers, and their bytes. [MSG]

One message is one MessagePack array `[number, session, field...]` in canonical form, one WebSocket
binary frame. Session 0 is the connection itself.

Rule 1: the dataclasses below are the table: `NUMBERS` gives the numbers, the order of the fields
        is the order on the wire, `spec/messages.md` is held to both by a test. [MSG-1]
Rule 2: `decode` is total: a message, or a DecodeError naming what is wrong. [MSG-2]
Rule 3: what a body holds (changesets, operations) is checked by who uses it, not here. [MSG-3]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from replication.errors import DecodeError, ErrorCode, LimitExceededError
from replication.limits import (
    BODY_BYTES_MAX,
    ERROR_MESSAGE_BYTES_MAX,
    FRAME_BYTES_MAX,
    IDENT_MAX,
    NAMESPACE_BYTES_MAX,
    QUERY_BYTES_MAX,
    SUBSCRIPTIONS_MAX,
    TIME_MAX,
    TOKEN_BYTES_MAX,
)
from replication.model.encoding import pack, unpack
from replication.model.types import broken_property_name
from replication.protocol.partitions import is_partition

#: Protocol versions this package speaks, best first.
VERSIONS: Final = (1,)


@dataclass(frozen=True, slots=True)
class Hello:
    """Opens a connection: what versions the client speaks, or which one the server chose."""

    number: ClassVar[int] = 0
    session: int
    versions: list[int]
    agent: str


@dataclass(frozen=True, slots=True)
class Bind:
    """Opens a session on a namespace. `ident` 0: this file has none yet.

    `partition`: a list of the value of the partition that the file is opened with, or None.
    """

    number: ClassVar[int] = 1
    session: int
    namespace: str
    token: str
    ident: int
    salt: int
    partition: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Assign:
    """The server gives this file its ident."""

    number: ClassVar[int] = 2
    session: int
    ident: int
    salt: int


@dataclass(frozen=True, slots=True)
class Ident:
    """Where the client stands: what it holds and what it knows to be acknowledged.

    `client_version` is the last one it knows to be acknowledged, `digest` the chain there,
    `last_version` the last changeset it has. `query_version` and `queries` are the set its synced
    objects belong to. `base` and `position` are those of the last staged DOWNLOAD for that set, to
    go on after a cut; 0 and empty if there is none.
    """

    number: ClassVar[int] = 3
    session: int
    ident: int
    cursor: int
    cursor_salt: int
    client_version: int
    digest: bytes
    last_version: int
    query_version: int
    queries: dict[str, str]
    base: int = 0
    position: bytes = b""


@dataclass(frozen=True, slots=True)
class Token:
    """A fresh token for a running session."""

    number: ClassVar[int] = 4
    session: int
    token: str


@dataclass(frozen=True, slots=True)
class Query:
    """A new subscription set: class name -> query text.

    `base` and `position` are those of the last staged DOWNLOAD of this very set, to go on after
    a cut; 0 and empty to start.
    """

    number: ClassVar[int] = 5
    session: int
    query_version: int
    queries: dict[str, str]
    base: int
    position: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """Consecutive changesets, the first of which has client version `first`."""

    number: ClassVar[int] = 6
    session: int
    first: int
    size: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """Changesets up to `client_version` are durable at the server, as of `version`.

    Refusals are in `refusals.py`; a rewrite is `[client_version, changeset]`: what was integrated
    in place of what was sent.
    """

    number: ClassVar[int] = 7
    session: int
    client_version: int
    version: int
    refusals: list[Any]
    rewrites: list[Any]


@dataclass(frozen=True, slots=True)
class Nack:
    """Nothing from `client_version` on was taken. `server_ms` is the server's wall clock."""

    number: ClassVar[int] = 8
    session: int
    client_version: int
    code: int
    server_ms: int
    message: str


@dataclass(frozen=True, slots=True)
class Download:
    """What changed in the client's view up to server version `version`.

    `mark`: the client version up to which this file's changesets are included. `last` False: one
    of several messages that take effect together; `base` and `position` say where to go on after
    a cut. `progress` runs from 0.0 to 1.0. The body is a list of operations, see `protocol.body`.
    """

    number: ClassVar[int] = 9
    session: int
    query_version: int
    version: int
    salt: int
    mark: int
    last: bool
    base: int
    position: bytes
    progress: float
    size: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """The client made `cursor` durable."""

    number: ClassVar[int] = 10
    session: int
    cursor: int


@dataclass(frozen=True, slots=True)
class QueryState:
    """The server can't serve a subscription set; the one before stays active.

    Of the active set: it is not served any more; with code 0, it is again.
    """

    number: ClassVar[int] = 11
    session: int
    query_version: int
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A barrier: answered once everything the server had on receipt was sent."""

    number: ClassVar[int] = 12
    session: int
    request: int


@dataclass(frozen=True, slots=True)
class Error:
    """Ends a session, or with session 0 and a 1xx code the connection."""

    number: ClassVar[int] = 13
    session: int
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Unbind:
    """The client closes a session."""

    number: ClassVar[int] = 14
    session: int


@dataclass(frozen=True, slots=True)
class Unbound:
    """The server has closed it; its number may be used again."""

    number: ClassVar[int] = 15
    session: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a PONG with the same payload."""

    number: ClassVar[int] = 16
    session: int
    payload: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a PING."""

    number: ClassVar[int] = 17
    session: int
    payload: int


@dataclass(frozen=True, slots=True)
class Partition:
    """Answers a BIND with a partition: what the key is called.

    `flexible`: partitions are served as subscriptions, and the file goes on with its own.
    """

    number: ClassVar[int] = 18
    session: int
    key: str
    flexible: bool


Message: TypeAlias = (
    Hello | Bind | Assign | Ident | Token | Query | Upload | Ack | Nack | Download | Progress
    | QueryState | Mark | Error | Unbind | Unbound | Ping | Pong
    | Partition
)  # fmt: skip

MESSAGES: Final[tuple[type[Message], ...]] = (
    Hello, Bind, Assign, Ident, Token, Query, Upload, Ack, Nack, Download, Progress, QueryState,
    Mark, Error, Unbind, Unbound, Ping, Pong, Partition,
)  # fmt: skip

Check: TypeAlias = Callable[[Any], bool]


def _number(most: int) -> Check:
    return lambda value: type(value) is int and 0 <= value <= most


def _text(most: int) -> Check:
    return lambda value: type(value) is str and len(value.encode()) <= most


def _binary(most: int) -> Check:
    return lambda value: type(value) is bytes and len(value) <= most


_QUERY = _text(QUERY_BYTES_MAX)


def _queries(value: Any) -> bool:
    return (
        type(value) is dict
        and len(value) <= SUBSCRIPTIONS_MAX
        and all(map(_QUERY, value.values()))
        and all(type(name) is str for name in value)
    )


def _property_name(value: Any) -> bool:
    return type(value) is str and broken_property_name(value) is None


def _list(value: Any) -> bool:
    return type(value) is list


def _versions(value: Any) -> bool:
    return type(value) is list and len(value) <= 100 and all(type(v) is int for v in value)


_VERSION = _number(TIME_MAX)
_SALT = _number(2**63 - 1)
#: What each field may be, by its name: one meaning a name, in all messages.
FIELDS: Final[dict[str, Check]] = {
    "session": _number(2**31 - 1),
    "versions": _versions,
    "agent": _text(256),
    "namespace": _text(NAMESPACE_BYTES_MAX),
    "token": _text(TOKEN_BYTES_MAX),
    "ident": _number(IDENT_MAX),
    "salt": _SALT,
    "partition": is_partition,
    "key": _property_name,
    "flexible": lambda value: type(value) is bool,
    "cursor": _VERSION,
    "cursor_salt": _SALT,
    "client_version": _VERSION,
    "digest": lambda value: type(value) is bytes and len(value) == 16,
    "last_version": _VERSION,
    "query_version": _VERSION,
    "queries": _queries,
    "base": _VERSION,
    "position": _binary(1024),
    "first": _VERSION,
    "size": _number(BODY_BYTES_MAX),
    "body": _binary(FRAME_BYTES_MAX),
    "version": _VERSION,
    "refusals": _list,
    "rewrites": _list,
    "code": _number(65535),
    "server_ms": _number(TIME_MAX),
    "message": _text(ERROR_MESSAGE_BYTES_MAX),
    "mark": _VERSION,
    "last": lambda value: type(value) is bool,
    "progress": lambda value: type(value) is float and 0.0 <= value <= 1.0,
    "request": _VERSION,
    "payload": _VERSION,
}

_BY_NUMBER: Final = {message.number: message for message in MESSAGES}
_NAMES: Final = {
    message: tuple(field.name for field in dataclasses.fields(message)) for message in MESSAGES
}
_CHECKS: Final = {
    message: tuple(FIELDS[name] for name in names) for message, names in _NAMES.items()
}
_WITH_CODE: Final = frozenset(message for message, names in _NAMES.items() if "code" in names)


def encode(message: Message) -> bytes:
    """The frame of a message.

    Raises:
        LimitExceededError: longer than FRAME_BYTES_MAX.
    """
    kind = type(message)
    values = [getattr(message, name) for name in _NAMES[kind]]
    if kind in _WITH_CODE:
        # An ErrorCode is an integer to whoever makes a message, but not to `pack`.
        values = [int(value) if type(value) is ErrorCode else value for value in values]
    data = pack([kind.number, *values])
    if len(data) > FRAME_BYTES_MAX:
        raise LimitExceededError(
            f"a message of {len(data)} bytes; at most {FRAME_BYTES_MAX} fit a frame"
        )
    return data


def decode(data: bytes) -> Message:
    """The message of a frame.

    Raises:
        DecodeError: no message, unknown number, wrong fields. LimitExceededError: too long.
    """
    items = unpack(data, FRAME_BYTES_MAX)
    if type(items) is not list or not items:
        raise DecodeError("a message is an array that starts with its number")
    kind = _BY_NUMBER.get(items[0]) if type(items[0]) is int else None
    if kind is None:
        raise DecodeError(f"message number {items[0]!r} is not in use")
    names = _NAMES[kind]
    if len(items) != len(names) + 1:
        raise DecodeError(
            f"{kind.__name__.upper()} has {len(names)} fields, this one has {len(items) - 1}"
        )
    values = items[1:]
    for position, check in enumerate(_CHECKS[kind]):
        if not check(values[position]):
            shown = repr(values[position])[:60]
            raise DecodeError(f"{kind.__name__.upper()}: {shown} is no {names[position]}")
    return kind(*values)


def error_of(message: Error | Nack | QueryState) -> ErrorCode:
    """The code of an error message; unknown ones count as INTERNAL."""
    try:
        return ErrorCode(message.code)
    except ValueError:
        return ErrorCode.INTERNAL


def clipped(text: str, bytes_max: int = ERROR_MESSAGE_BYTES_MAX) -> str:
    """A text cut to so many bytes of UTF-8; by default what fits an error message."""
    data = text.encode()
    if len(data) <= bytes_max:
        return text
    return data[: bytes_max - 3].decode(errors="ignore") + "..."
