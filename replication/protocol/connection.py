"""One connection that many sessions share, seen from either end.

Feed it one frame at a time with `receive` and perform the events it returns, in order. Session 0
is the connection itself: HELLO, PING, PONG, and the ERROR that ends it.

Rule 1: the first message either way is HELLO, and there is one. The server chooses a version both
        speak, by its own order, or ends the connection with VERSION_UNSUPPORTED. [CONN-1]
Rule 2: a session lives from its BIND until the shell says `closed`. The number of a living session
        can't be bound again; one that is closed can. [CONN-3]
Rule 3: what was on its way to a session when it closed is ignored. A message for a session that
        never was ends the connection with BAD_MESSAGE. [CONN-6]
Rule 4: `receive` never raises: what the peer did wrong becomes an ERROR for session 0 that names
        the value, and a HangUp. Nothing is received after that. [ERR-3]
Rule 5: a PONG repeats the payload of the last PING that is not answered yet. [CONN-2]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from replication.errors import ErrorCode, LimitExceededError, RemoteProtocolError
from replication.limits import SESSIONS_PER_CONNECTION_MAX
from replication.protocol.messages import (
    VERSIONS,
    Bind,
    Error,
    Hello,
    Message,
    Ping,
    Pong,
    clipped,
    decode,
    error_of,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this to the peer."""

    message: Message


@dataclass(frozen=True, slots=True)
class Ready:
    """The peers have agreed on a version: sessions can be bound. `agent`: what the peer is."""

    version: int
    agent: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give this to its session; a BIND begins a new one."""

    message: Message


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection: all its sessions are over. `ours`: this end found the error."""

    code: ErrorCode
    message: str
    ours: bool


Event: TypeAlias = Reply | Ready | Deliver | HangUp

#: Session 0's own messages; ERROR is legal for any session.
_CONNECTION: Final = (Hello, Ping, Pong)


class _Connection(ABC):
    """What both ends have in common.

    Attributes:
        agent: what this end calls itself.
        ready: HELLO was exchanged.
        over: a HangUp was returned.
        live: the numbers of the living sessions.
    """

    __slots__ = ("_pinged", "agent", "live", "over", "ready")

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.ready = False
        self.over = False
        self.live: set[int] = set()
        self._pinged: int | None = None

    @property
    def awaiting_pong(self) -> bool:
        """Whether a PING of ours is not answered yet."""
        return self._pinged is not None

    def receive(self, data: bytes) -> list[Event]:
        """Advance by one frame."""
        assert not self.over
        try:
            message = decode(data)
            if message.session == 0:
                return self._own(message)
            if isinstance(message, _CONNECTION):
                raise RemoteProtocolError(
                    f"{_name(message)} belongs to session 0, not {message.session}"
                )
            if not self.ready:
                raise RemoteProtocolError(f"{_name(message)} before HELLO")
            return self._route(message)
        except RemoteProtocolError as error:
            return self.failed(error.code, str(error))

    def closed(self, session: int) -> None:
        """A session is over: what is still on its way to it is ignored."""
        self.live.discard(session)

    def failed(self, code: ErrorCode, message: str) -> list[Event]:
        """End the connection with an error, unless it is over."""
        if self.over:
            return []
        self.over = True
        message = clipped(message)
        return [Reply(Error(0, code, message)), HangUp(code, message, ours=True)]

    def ping(self, payload: int) -> list[Event]:
        """Ask whether the peer is still there."""
        assert self.ready
        self._pinged = payload
        return [Reply(Ping(0, payload))]

    def _own(self, message: Message) -> list[Event]:
        match message:
            case Error():
                self.over = True
                return [HangUp(error_of(message), message.message, ours=False)]
            case Hello() if not self.ready:
                return self._hello(message)
            case Ping() if self.ready:
                return [Reply(Pong(0, message.payload))]
            case Pong() if self.ready:
                if message.payload != self._pinged:
                    raise RemoteProtocolError(f"PONG {message.payload} was not asked for")
                self._pinged = None
                return []
        when = "twice" if self.ready else "before HELLO"
        if not isinstance(message, _CONNECTION):
            when = "for session 0"
        raise RemoteProtocolError(f"{_name(message)} {when}")

    def _route(self, message: Message) -> list[Event]:
        if message.session in self.live:
            return [Deliver(message)]
        if self._has_closed(message.session):
            return []
        raise RemoteProtocolError(
            f"{_name(message)} for session {message.session}, which was never bound"
        )

    @abstractmethod
    def _has_closed(self, session: int) -> bool:
        """Whether a session was live once: what is still on its way to it is ignored."""

    @abstractmethod
    def _hello(self, hello: Hello) -> list[Event]:
        """Agree on a version."""


class ServerConnection(_Connection):
    """The server's end. A BIND is delivered as the first message of its session."""

    __slots__ = ("_closed",)

    def __init__(self, agent: str) -> None:
        super().__init__(agent)
        # Numbers that closed, oldest first. As many as may live at once are enough: whoever binds
        # one more has seen the oldest of them close, and sends nothing for it any more.
        self._closed: dict[int, None] = {}

    def closed(self, session: int) -> None:
        super().closed(session)
        self._closed.pop(session, None)  # if it was bound again: the last time counts
        self._closed[session] = None
        if len(self._closed) > SESSIONS_PER_CONNECTION_MAX:
            del self._closed[next(iter(self._closed))]

    def _has_closed(self, session: int) -> bool:
        return session in self._closed

    def _hello(self, hello: Hello) -> list[Event]:
        version = next((number for number in VERSIONS if number in hello.versions), None)
        if version is None:
            raise RemoteProtocolError(
                f"the client speaks versions {_listed(hello.versions)}, this server "
                f"{_listed(VERSIONS)}",
                ErrorCode.VERSION_UNSUPPORTED,
            )
        self.ready = True
        return [Reply(Hello(0, [version], self.agent)), Ready(version, hello.agent)]

    def _route(self, message: Message) -> list[Event]:
        if not isinstance(message, Bind):
            return super()._route(message)
        if message.session in self.live:
            raise RemoteProtocolError(f"BIND of session {message.session}, which is bound already")
        if len(self.live) >= SESSIONS_PER_CONNECTION_MAX:
            raise LimitExceededError(
                f"BIND of session {message.session}, but {len(self.live)} sessions are bound; "
                f"at most {SESSIONS_PER_CONNECTION_MAX} share a connection"
            )
        self.live.add(message.session)
        return [Deliver(message)]


class ClientConnection(_Connection):
    """The client's end. `start` it, wait for `Ready`, then `open` sessions."""

    __slots__ = ("_last",)

    def __init__(self, agent: str) -> None:
        super().__init__(agent)
        self._last = 0

    def start(self) -> list[Event]:
        """Say HELLO."""
        return [Reply(Hello(0, list(VERSIONS), self.agent))]

    def open(self) -> int:
        """The number of a new session, never used on this connection. Send its BIND next."""
        assert self.ready
        self._last += 1
        self.live.add(self._last)
        return self._last

    @property
    def full(self) -> bool:
        """Whether the server would refuse one more session."""
        return len(self.live) >= SESSIONS_PER_CONNECTION_MAX

    def _has_closed(self, session: int) -> bool:
        return session <= self._last

    def _hello(self, hello: Hello) -> list[Event]:
        if len(hello.versions) != 1 or hello.versions[0] not in VERSIONS:
            raise RemoteProtocolError(
                f"the server chose versions {_listed(hello.versions)}, this client speaks "
                f"{_listed(VERSIONS)}",
                ErrorCode.VERSION_UNSUPPORTED,
            )
        self.ready = True
        return [Ready(hello.versions[0], hello.agent)]


def _name(message: Message) -> str:
    return type(message).__name__.upper()


def _listed(versions: Collection[int]) -> str:
    return ", ".join(map(str, versions)) or "none"
