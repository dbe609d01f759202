"""One session, seen from the client file it belongs to.

`start` it with where the file stands, then feed it messages with `receive` and perform the
effects; call `adopted`, `applied` when those are durable. In between offer it what there is to
send: `upload`, `query`, `mark`.

Rule 1: this file does no I/O and reads no clock.
Rule 2: uploads are consecutive; nothing is sent before the file is identified. [SESSION-5]
Rule 3: cursors never run backwards: a DOWNLOAD at or below the cursor is ignored, one that covers
        changesets the server has not acknowledged is a violation. [SESSION-6]
Rule 4: a query set is sent when everything written before it was sent. [SESSION-7]
Rule 5: what was sent and not acknowledged when the file passes a horizon comes back refused; until
        then, and while a changeset is refused for a horizon not passed yet, nothing is uploaded.
        [SESSION-9]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from replication.errors import ErrorCode, RemoteProtocolError
from replication.protocol.body import encode_changesets
from replication.protocol.legality import State, after
from replication.protocol.messages import (
    Ack,
    Assign,
    Bind,
    Download,
    Error,
    Ident,
    Mark,
    Message,
    Nack,
    Partition,
    Progress,
    Query,
    QueryState,
    Token,
    Unbind,
    Unbound,
    Upload,
    error_of,
)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a client file stands: what IDENT says, and its salt."""

    ident: int
    salt: int
    cursor: int
    cursor_salt: int
    client_version: int
    digest: bytes
    last_version: int
    query_version: int
    queries: dict[str, str]
    #: The last horizon it has passed; not sent.
    horizon: int = 0
    #: Of a staged download for the active set that goes on; see `Ident`.
    base: int = 0
    position: bytes = b""
    #: What BIND names of the partition it is opened with.
    partition: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the server."""

    message: Message


@dataclass(frozen=True, slots=True)
class Adopt:
    """Make the ident durable everywhere in the file; then `adopted`."""

    ident: int
    salt: int


@dataclass(frozen=True, slots=True)
class Partitioned:
    """The server serves the partition this file is opened with."""

    key: str
    flexible: bool


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Changesets are durable at the server; refusals and rewrites are to be taken over."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class Restamp:
    """A stamp was too far in the server's future: stamp pending changes anew, then go on."""

    nack: Nack


@dataclass(frozen=True, slots=True)
class Apply:
    """Stage or apply a DOWNLOAD durably; then `applied`."""

    download: Download


@dataclass(frozen=True, slots=True)
class QueryFailed:
    """The server can't serve a subscription set."""

    query_version: int
    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class QueryServed:
    """The server serves the active subscription set again."""

    query_version: int


@dataclass(frozen=True, slots=True)
class Passed:
    """Everything the server had when MARK reached it is here."""

    request: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; `code` None: as asked."""

    code: ErrorCode | None
    message: str


Effect: TypeAlias = (
    Send
    | Adopt
    | Partitioned
    | Acknowledge
    | Restamp
    | Apply
    | QueryFailed
    | QueryServed
    | Passed
    | Ended
)


class ClientSession:
    """The state machine.

    Attributes:
        number: of the session on its connection.
        state: see `legality`.
        uploaded: the client version up to which changesets were sent in this session.
        acknowledged: the client version up to which they were acknowledged.
        cursor: the server version this file stands at.
        query_version: the last subscription set that was sent or is active.
        waiting: nothing is to be uploaded now. Rule 5.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = State.UNIDENTIFIED
        self.uploaded = 0
        self.acknowledged = 0
        self.cursor = 0
        self.query_version = 0
        self.waiting = False
        self._active = 0
        self._mark = 0
        self._horizon = 0
        #: What is on its way was re-based since it was sent.
        self._rebased = False

    @property
    def ready(self) -> bool:
        """Whether uploads, queries and marks may be sent."""
        return self.state is State.CONNECTED

    def start(self, namespace: str, token: str, position: Position) -> list[Effect]:
        """Bind; a file that has an ident identifies itself at once."""
        names = (namespace, token, position.ident, position.salt, position.partition)
        bind = Bind(self.number, *names)
        if position.ident == 0:
            return [Send(bind)]
        self.state = State.CONNECTED
        return [Send(bind), self._identify(position)]

    def adopted(self, position: Position) -> list[Effect]:
        """The ident the server gave is durable."""
        return [self._identify(position)]

    def _identify(self, position: Position) -> Send:
        self.uploaded = self.acknowledged = position.client_version
        self.cursor = position.cursor
        self.query_version = self._active = position.query_version
        self._horizon = position.horizon
        return Send(
            Ident(
                self.number,
                position.ident,
                position.cursor,
                position.cursor_salt,
                position.client_version,
                position.digest,
                position.last_version,
                position.query_version,
                position.queries,
                position.base,
                position.position,
            )
        )

    # -- what there is to send -------------------------------------------------------------------
    def upload(self, first: int, changesets: list[bytes]) -> list[Effect]:
        """Send consecutive changesets, the first of which follows the last one sent."""
        assert self.ready
        assert first == self.uploaded + 1
        self.uploaded += len(changesets)
        return [Send(Upload(self.number, first, *encode_changesets(changesets)))]

    def query(
        self, query_version: int, queries: dict[str, str], base: int, position: bytes
    ) -> list[Effect]:
        """Send a subscription set, newer than the last one."""
        assert self.ready
        assert query_version > self.query_version
        self.query_version = query_version
        return [Send(Query(self.number, query_version, queries, base, position))]

    def mark(self, request: int) -> list[Effect]:
        """Ask for a barrier."""
        assert self.ready
        return [Send(Mark(self.number, request))]

    def token(self, token: str) -> list[Effect]:
        """Hand in a fresh token."""
        return [Send(Token(self.number, token))]

    def unbind(self) -> list[Effect]:
        """Say goodbye; over when `Ended` comes."""
        if self.state is State.CLOSED:
            return []
        self.state = State.UNBINDING
        return [Send(Unbind(self.number))]

    def applied(self, cursor: int, query_version: int, horizon: int = 0) -> list[Effect]:
        """A last DOWNLOAD is durable: the file stands at ``cursor`` with that query set.

        Args:
            horizon: the last one it has passed.
        """
        if horizon > self._horizon:
            self._horizon = horizon
            self._rebased = self.waiting = self.uploaded > self.acknowledged
        self.cursor = cursor
        self._active = query_version
        return [Send(Progress(self.number, cursor))] if self.ready else []

    # -- what comes ------------------------------------------------------------------------------
    def receive(self, message: Message) -> list[Effect]:
        """Advance by one message.

        Raises:
            RemoteProtocolError: not legal here; drop the session.
        """
        closing = self.state is State.UNBINDING
        self.state = after(self.state, message)
        match message:
            case Error():
                return [Ended(error_of(message), message.message)]
            case Unbound():
                return [Ended(None, "")]
            case _ if closing:
                return []
            case Partition():
                return [Partitioned(message.key, message.flexible)]
            case Assign():
                return [Adopt(message.ident, message.salt)]
            case Ack():
                return self._acknowledged(message)
            case Nack():
                return self._refused(message)
            case Download():
                return self._download(message)
            case QueryState():
                return self._query_failed(message)
            case Mark():
                return [Passed(message.request)]
        raise AssertionError(f"{message} is legal but unheard of")

    def _query_failed(self, message: QueryState) -> list[Effect]:
        least = max(1, self._active)
        if not least <= message.query_version <= self.query_version:
            raise RemoteProtocolError(
                f"QUERY_STATE of query version {message.query_version}, but {self._active} is "
                f"active and {self.query_version} was sent"
            )
        if message.code == 0:
            if self._active < message.query_version == self.query_version:
                self.query_version -= 1  # it is to be sent again
            return [QueryServed(message.query_version)]
        return [QueryFailed(message.query_version, error_of(message), message.message)]

    def _acknowledged(self, ack: Ack) -> list[Effect]:
        if ack.client_version > self.uploaded:
            raise RemoteProtocolError(
                f"ACK of client version {ack.client_version}, but only {self.uploaded} was sent"
            )
        if ack.client_version <= self.acknowledged:
            return []
        self.acknowledged = ack.client_version
        return [Acknowledge(ack)]

    def _refused(self, nack: Nack) -> list[Effect]:
        if nack.client_version != self.acknowledged + 1 or nack.client_version > self.uploaded:
            raise RemoteProtocolError(
                f"NACK of client version {nack.client_version}, but {self.acknowledged} is "
                f"acknowledged and {self.uploaded} was sent"
            )
        self.uploaded = self.acknowledged
        forgotten = error_of(nack) is ErrorCode.FORGOTTEN
        self.waiting = forgotten and not self._rebased
        self._rebased = False
        return [] if forgotten else [Restamp(nack)]

    def _download(self, download: Download) -> list[Effect]:
        if download.version < self.cursor or download.mark < self._mark:
            raise RemoteProtocolError(
                f"DOWNLOAD to {download.version} with mark {download.mark}, but the cursor is "
                f"{self.cursor} and the mark was {self._mark}"
            )
        if download.mark > self.acknowledged:
            raise RemoteProtocolError(
                f"DOWNLOAD covers client version {download.mark}, but only "
                f"{self.acknowledged} is acknowledged"
            )
        if download.query_version > self.query_version:
            raise RemoteProtocolError(
                f"DOWNLOAD for query version {download.query_version}, but the last one sent "
                f"is {self.query_version}"
            )
        self._mark = download.mark
        if (
            download.last
            and download.version == self.cursor
            and download.query_version <= self._active
        ):
            return []  # a repeat
        return [Apply(download)]
