"""One client file's session, seen from the server.

Feed it one message at a time with `receive`, or those that wait with `take`, and perform the
effects it returns, in order, before feeding the next; report what an effect led to with `opened`,
`resumed`, `integrated`, `subscribed` or `failed`, which return effects again. When nothing is in
progress, offer it the next DOWNLOAD with `downloading`.

Rule 1: this file does no I/O and reads no clock.
Rule 2: durable before acknowledged: only `integrated`, called after the commit, makes an ACK.
        [SESSION-1]
Rule 3: the ACK of a changeset is sent before any DOWNLOAD whose mark covers it. [SESSION-2]
Rule 4: a MARK is answered when the cursor has passed the version the server had on its receipt
        and no staged download is under way, or nothing more will come. [SESSION-3]
Rule 5: UPLOADs that wait and go on where the one before them ends are integrated together, as one
        UPLOAD would be: so many small ones cost one commit. One that can't be read is told of when
        those before it are acknowledged.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from replication.errors import ErrorCode, RemoteProtocolError
from replication.limits import UPLOAD_BYTES_TARGET, UPLOAD_CHANGESETS_MAX
from replication.protocol.body import decode_changesets
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
    clipped,
)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the client."""

    message: Message


@dataclass(frozen=True, slots=True)
class Open:
    """Authenticate, open the namespace, find or make the client file; then `opened`."""

    bind: Bind


@dataclass(frozen=True, slots=True)
class Resume:
    """Hold the client's position against the history; then `resumed`."""

    ident: Ident


@dataclass(frozen=True, slots=True)
class Integrate:
    """Merge changesets from client version `first` on, commit; then `integrated`."""

    first: int
    changesets: list[bytes]

    @property
    def last(self) -> int:
        """The client version of the last one."""
        return self.first + len(self.changesets) - 1


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Begin to serve a new subscription set; then `subscribed`."""

    query: Query


@dataclass(frozen=True, slots=True)
class Barrier:
    """Say with `barrier` which server version is the latest."""

    request: int


@dataclass(frozen=True, slots=True)
class Refresh:
    """Authenticate again; then `refreshed` or `failed`."""

    token: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """The client holds everything up to `cursor` durably."""

    cursor: int


@dataclass(frozen=True, slots=True)
class Close:
    """The session is over."""


Effect: TypeAlias = (
    Send | Open | Resume | Integrate | Subscribe | Barrier | Refresh | Confirm | Close
)


class ServerSession:
    """The state machine.

    Attributes:
        number: of the session on its connection.
        state: see `legality`.
        ident: the client file, 0 before `opened`.
        cursor: the server version up to which DOWNLOADs were sent.
        acknowledged: the client version up to which ACKs were sent.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = State.NEW
        self.ident = 0
        self.cursor = 0
        self.acknowledged = 0
        self._refused_from: int | None = None
        self._staging = False
        self._stalled = False
        self._barriers: list[tuple[int, int]] = []

    def receive(self, message: Message) -> list[Effect]:
        """Advance by one message.

        Raises:
            RemoteProtocolError: not legal here; send `failed` its code and drop the session.
        """
        self.state = after(self.state, message)
        match message:
            case Bind():
                return [Open(message)]
            case Ident():
                return self._resume(message)
            case Upload():
                return self._upload(message)
            case Query():
                return [Subscribe(message)]
            case Mark():
                return [Barrier(message.request)]
            case Token():
                return [Refresh(message.token)]
            case Progress():
                return self._progress(message)
            case Unbind():
                return [Send(Unbound(self.number)), Close()]
            case Error():
                return [Close()]
        raise AssertionError(f"{message} is legal but unheard of")

    def take(self, waiting: deque[Message]) -> list[Effect]:
        """Advance by the first of the messages that wait, and by what goes with it. Rule 5.

        Args:
            waiting: at least one, in the order they came; those taken in are removed.

        Raises:
            RemoteProtocolError: as `receive` does.
        """
        effects = self.receive(waiting.popleft())
        if waiting and effects and isinstance(effects[0], Integrate):
            _join(effects[0], waiting)
        return effects

    # -- what effects led to -------------------------------------------------------------------
    def opened(
        self, ident: int, salt: int, *, assigned: bool, partition: tuple[str, bool] | None = None
    ) -> list[Effect]:
        """The token is good and the file is known, or was given `ident` just now.

        Args:
            partition: key, and whether it is served as subscriptions, where BIND asked for one.
        """
        assert self.state is State.BINDING
        self.state = State.BOUND
        self.ident = ident
        told = [] if partition is None else [Send(Partition(self.number, *partition))]
        return [*told, Send(Assign(self.number, ident, salt))] if assigned else [*told]

    def resumed(self, cursor: int, acknowledged: int) -> list[Effect]:
        """The client's position fits the history.

        Args:
            acknowledged: the client version up to which the client knows of its ACKs. What was
                integrated past it is acknowledged when it comes again. [SESSION-4]
        """
        assert self.state is State.RESUMING
        self.state = State.ACTIVE
        self.cursor = cursor
        self.acknowledged = acknowledged
        return []

    def integrated(self, answer: Ack | Nack) -> list[Effect]:
        """The changesets are durable (ACK), or refused from some client version on (NACK)."""
        if isinstance(answer, Nack):
            assert answer.client_version == self.acknowledged + 1, "what came before was acked"
            self._refused_from = answer.client_version
            return [Send(answer)]
        # An UPLOAD that came again is acknowledged again, up to where it ends.
        self.acknowledged = max(self.acknowledged, answer.client_version)
        return [Send(answer)]

    def subscribed(self, refused: QueryState | None) -> list[Effect]:
        """The set will be served from the next DOWNLOAD on, or can't be."""
        return [] if refused is None else [Send(refused)]

    def noticed(self, notices: list[QueryState], *, stalled: bool) -> list[Effect]:
        """The active set can't be served any more, or is again, or one that is under way can't be.

        Args:
            stalled: there is no set that can be served: every MARK is answered. [SESSION-3]
        """
        self._stalled = stalled
        return [*map(Send, notices), *self._passed()]

    def barrier(self, request: int, latest: int) -> list[Effect]:
        """The server's latest version on receipt of a MARK."""
        self._barriers.append((request, latest))
        return self._passed()

    def downloading(self, download: Download, *, staging: bool = False) -> list[Effect]:
        """The next DOWNLOAD of this session, to be sent now.

        Args:
            staging: a new subscription set is still to be served.
        """
        assert self.state is State.ACTIVE
        assert download.mark <= self.acknowledged, "its ACK comes first"
        assert download.version >= self.cursor
        self._staging = staging or not download.last
        if download.last:
            self.cursor = download.version
            self._stalled = False
        return [Send(download), *self._passed()]

    def idle(self, *, staging: bool) -> list[Effect]:
        """There is nothing to download now. ``staging``: a new subscription set is under way."""
        self._staging = staging
        return self._passed()

    def failed(self, code: ErrorCode, message: str) -> list[Effect]:
        """End the session with an error."""
        if self.state is State.CLOSED:
            return []
        self.state = State.CLOSED
        return [Send(Error(self.number, code, clipped(message))), Close()]

    # -- the messages ----------------------------------------------------------------------------
    def _resume(self, ident: Ident) -> list[Effect]:
        if ident.ident != self.ident:
            raise RemoteProtocolError(
                f"IDENT names file {ident.ident}, but the session is bound to {self.ident}"
            )
        return [Resume(ident)]

    def _upload(self, upload: Upload) -> list[Effect]:
        expected = self.acknowledged + 1
        if self._refused_from is not None:
            # What was on its way behind a refused changeset will come again, stamped anew.
            if upload.first != self._refused_from:
                return []
            self._refused_from = None
        if upload.first == 0 or upload.first > expected:
            raise RemoteProtocolError(
                f"UPLOAD starts at client version {upload.first}, expected {expected}"
            )
        return [Integrate(upload.first, decode_changesets(upload.size, upload.body))]

    def _progress(self, progress: Progress) -> list[Effect]:
        if progress.cursor > self.cursor:
            raise RemoteProtocolError(
                f"PROGRESS to {progress.cursor}, but only {self.cursor} was sent"
            )
        return [Confirm(progress.cursor)]

    def _passed(self) -> list[Effect]:
        if self._staging:
            return []
        most = math.inf if self._stalled else self.cursor
        done = [request for request, target in self._barriers if target <= most]
        self._barriers = [item for item in self._barriers if item[1] > most]
        return [Send(Mark(self.number, request)) for request in done]


def _join(begun: Integrate, waiting: deque[Message]) -> None:
    """Have UPLOADs integrated together with the one before them, as far as one would reach."""
    size = sum(map(len, begun.changesets))
    while waiting:
        message = waiting[0]
        if not isinstance(message, Upload) or message.first != begun.last + 1:
            return
        size += message.size
        if size > UPLOAD_BYTES_TARGET:
            return
        try:
            more = decode_changesets(message.size, message.body)
        except RemoteProtocolError:
            return  # its turn comes
        if len(begun.changesets) + len(more) > UPLOAD_CHANGESETS_MAX:
            return
        begun.changesets.extend(more)
        waiting.popleft()
