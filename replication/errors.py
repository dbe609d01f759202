"""What can go wrong, whose fault it is, and what the client does next.

`ErrorCode` is the one table of errors: the protocol sends its numbers, `spec/errors.md` is held
to it by a test, and the network shell acts on its `action`.

The tree:

* ReplicationError: everything this package raises on purpose
    * UsageError: the caller asked for something impossible
        * SchemaError, QueryError, RulesError, WrongTypeError, NoSuchObjectError, ...
    * RemoteProtocolError: the peer sent something illegal
        * DecodeError, LimitExceededError
    * SessionError: the server ended the session, with its code
    * StoreError: the storage failed or is in use
        * StoreBusyError, StoreFullError, StoreCorruptError
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final


class ReplicationError(Exception):
    """Everything this package raises on purpose."""


class UsageError(ReplicationError, ValueError):
    """The caller asked for something impossible; the message says what to do instead."""


class SchemaError(UsageError):
    """A schema contradicts itself, the store's schema, or what can be represented."""


class QueryError(UsageError):
    """A query that can't be understood or answered.

    Attributes:
        position: 0-based offset in characters into the query text, or None.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message if position is None else f"{message} (at position {position})")
        self.position = position


class RulesError(UsageError):
    """Rules that can't be read or followed; the message has a line for each mistake."""


class WrongTypeError(UsageError, TypeError):
    """A value does not fit the type of its property."""


class NoSuchObjectError(UsageError, LookupError):
    """The object is deleted, was never there, or is not in this device's view."""


class ObjectExistsError(UsageError):
    """An object with that primary key is alive already."""


class NoTransactionError(UsageError):
    """A write outside of a write transaction, or a transaction used after its end."""


class NoSubscriptionError(UsageError):
    """A new object of a class that no subscription covers would never be synchronised."""


class SubscriptionError(UsageError):
    """The server can't serve a subscription set; the one before stays active.

    Attributes:
        version: the set's.
    """

    def __init__(self, version: int, message: str) -> None:
        super().__init__(f"the server can't serve the subscriptions: {message}")
        self.version = version


class RemoteProtocolError(ReplicationError):
    """The peer sent something illegal. `code` is what it is told."""

    def __init__(self, message: str, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.code = ErrorCode.BAD_MESSAGE if code is None else code


class DecodeError(RemoteProtocolError):
    """Bytes that are not the canonical encoding of anything legal."""

    def __init__(self, message: str, code: ErrorCode | None = None) -> None:
        super().__init__(message, ErrorCode.BAD_SYNTAX if code is None else code)


class LimitExceededError(DecodeError):
    """A value beyond a constant of `replication.limits`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ErrorCode.LIMIT_EXCEEDED)


class SessionError(ReplicationError):
    """The server ended the session or refused something; `code` says what comes next."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code.label}: {message}")
        self.code = code
        self.reason = message


class StoreError(ReplicationError):
    """The storage failed; nothing of the transaction in progress was kept."""


class StoreBusyError(StoreError):
    """Another process, or another handle in this one, has the store open for writing."""


class StoreFullError(StoreError):
    """The disk is full or a quota is reached."""


class StoreCorruptError(StoreError):
    """What was read back is not what this package writes."""


class Fault(Enum):
    """Whose mistake an error is."""

    CLIENT = "client"
    SERVER = "server"
    USER = "user"
    NOBODY = "nobody"


class Action(Enum):
    """What the client does next."""

    RETRY = "retry"  # reconnect with back-off
    REFRESH_TOKEN = "refresh token"  # ask the application for a token, then reconnect
    STOP = "stop"  # give up this session until the application acts
    WARN = "warn"  # tell the application and carry on
    FORK = "fork"  # take a new file ident, renumber pending changes, reconnect
    RESTAMP = "restamp"  # pull the clock back, stamp pending changes anew, reconnect
    REBASE = "rebase"  # download up to the horizon, re-base pending changes, upload again
    RESET = "reset"  # the history is lost: a client reset is needed


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    fault: Fault
    action: Action
    meaning: str


class ErrorCode(IntEnum):
    """The errors of the protocol. Numbers are stable; 1xx end the connection."""

    BAD_SYNTAX = 100
    LIMIT_EXCEEDED = 101
    BAD_MESSAGE = 102
    VERSION_UNSUPPORTED = 103
    SHUTTING_DOWN = 104
    INTERNAL = 105
    BAD_NAMESPACE = 200
    TOKEN_INVALID = 201
    TOKEN_EXPIRED = 202
    UNKNOWN_FILE = 203
    USER_MISMATCH = 204
    DIVERGED = 205
    FILE_COPIED = 206
    SUPERSEDED = 207
    CLOCK_SKEW = 208
    BAD_CHANGESET = 209
    BAD_QUERY = 210
    STORE_UNAVAILABLE = 211
    PERMISSION_DENIED = 212
    FORGOTTEN = 213
    BAD_PARTITION = 214
    MODE_CHANGED = 215

    @property
    def fault(self) -> Fault:
        """Whose mistake it is."""
        return _TABLE[self].fault

    @property
    def action(self) -> Action:
        """What the client does next."""
        return _TABLE[self].action

    @property
    def meaning(self) -> str:
        """What went wrong, in words."""
        return _TABLE[self].meaning

    @property
    def ends_connection(self) -> bool:
        """True where all sessions of the connection end with it."""
        return self < 200

    @property
    def label(self) -> str:
        """The name as it is printed, for example ``bad_query``."""
        return self.name.lower()


_TABLE: Final[dict[ErrorCode, _Row]] = {
    ErrorCode(number): _Row(number, fault, action, meaning)
    for number, fault, action, meaning in (
        (100, Fault.CLIENT, Action.STOP, "bytes that are no canonical message"),
        (101, Fault.CLIENT, Action.STOP, "a value beyond a limit"),
        (102, Fault.CLIENT, Action.STOP, "a message that is not legal in this state"),
        (103, Fault.CLIENT, Action.STOP, "no protocol version in common"),
        (104, Fault.SERVER, Action.RETRY, "the server is shutting down"),
        (105, Fault.SERVER, Action.RETRY, "the server failed; it says more in its log"),
        (200, Fault.USER, Action.STOP, "the namespace does not exist or has an illegal name"),
        (201, Fault.USER, Action.REFRESH_TOKEN, "the token is not valid here"),
        (202, Fault.NOBODY, Action.REFRESH_TOKEN, "the token has expired"),
        (203, Fault.SERVER, Action.RESET, "the server does not know this client file"),
        (204, Fault.USER, Action.STOP, "the client file belongs to another user"),
        (205, Fault.SERVER, Action.RESET, "the server's history is not the one the client saw"),
        (206, Fault.CLIENT, Action.FORK, "the client file was copied or rolled back"),
        (207, Fault.CLIENT, Action.RETRY, "another session took over this client file"),
        (208, Fault.CLIENT, Action.RESTAMP, "a stamp too far in the server's future"),
        (209, Fault.CLIENT, Action.STOP, "a changeset that breaks the rules of its encoding"),
        (210, Fault.USER, Action.WARN, "a subscription query the server can't serve"),
        (211, Fault.SERVER, Action.RETRY, "the server's storage is full or failing"),
        (212, Fault.USER, Action.STOP, "the user may not open this namespace"),
        (213, Fault.NOBODY, Action.REBASE, "what a changeset was written on is forgotten"),
        (214, Fault.USER, Action.STOP, "no such partition, or a partition where there are none"),
        (215, Fault.NOBODY, Action.RETRY, "how partitions are served has changed"),
    )
}
assert set(_TABLE) == set(ErrorCode)
