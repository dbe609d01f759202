"""The agent of a client file: ties its database to a session, without any I/O of its own.

The shell hands it what arrives and sends what it returns. Calls may block on the disk; one thread
at a time.

Rule 1: uploads go out in order, up to the next unsent subscription set; the set follows behind
        what was written before it. [SUB-3]
Rule 2: after a subscription set's objects are here, a MARK makes sure of it: then it is COMPLETE.
Rule 3: what an error asks of the data (a new ident, stamps anew) is done here; what it asks of
        the connection is left to the shell, see `ended`.
Rule 4: a set in the state ERROR that is active, or was committed last, is asked for anew by every
        session, and when the server says that it can be served. [SUB-10] [SUB-15]
"""

from __future__ import annotations

from collections.abc import Callable

from replication.client import apply
from replication.client.database import Database
from replication.client.restamp import adopt, pull_back
from replication.client.subscription_set import SubscriptionState
from replication.client.subscriptions import set_state
from replication.errors import Action, ErrorCode, RemoteProtocolError
from replication.limits import UPLOAD_BYTES_TARGET, UPLOAD_CHANGESETS_MAX
from replication.protocol import client_session as session
from replication.protocol.client_session import ClientSession, Position
from replication.protocol.legality import State
from replication.protocol.messages import Ack, Download, Message, Nack

#: UPLOADs that may be on their way unacknowledged, so that a long queue stays in the file.
_UPLOADS_AHEAD = 4 * UPLOAD_CHANGESETS_MAX

#: What an error may ask that is done to the file, or by going on.
_DONE_HERE = (Action.FORK, Action.RESTAMP, Action.REBASE)


class Agent:
    """One session of a client file.

    Args:
        db: the client file; one agent at a time.
        number: of the session on its connection.
        namespace: the data set at the server.
        token: who the user is.
        uploads_max: changesets that one UPLOAD may hold.

    Attributes:
        started: whether it has begun: from then on sets that could not be served are asked anew.
        ended: None while the session lives, then (code or None, message).
    """

    def __init__(
        self,
        db: Database,
        number: int,
        namespace: str,
        token: str,
        *,
        uploads_max: int = UPLOAD_CHANGESETS_MAX,
    ) -> None:
        self.db = db
        self.namespace = namespace
        self.started = False
        self.ended: tuple[ErrorCode | None, str] | None = None
        self._session = ClientSession(number)
        self._token = token
        self._uploads_max = uploads_max
        self._marks: dict[int, Callable[[], None]] = {}
        self._request = 0
        self._waiting: list[Callable[[], None]] = []
        self._uploading: list[tuple[int, Callable[[], None]]] = []
        self._marking = 0

    @property
    def number(self) -> int:
        """The session's number."""
        return self._session.number

    @property
    def next_action(self) -> Action | None:
        """What the shell does next, once the session has ended with an error."""
        if self.ended is None or self.ended[0] is None:
            return None
        action = self.ended[0].action
        # What it asks of the file is done: what is left to do is to connect again.
        return Action.RETRY if action in _DONE_HERE else action

    # -- what the shell calls ------------------------------------------------------------------
    def start(self) -> list[Message]:
        """Open the session."""
        synced = self.db.synced
        catching_up = synced.staged_query == synced.query_version
        idle = catching_up and not self.db.subscriptions.active.subscriptions
        if synced.staged_count and (synced.staged_query < synced.query_version or idle):
            # The server starts over, or from somewhere else.
            with self.db.integrating() as work:
                apply.discard_staged(work)
        self.db.partition.keep_up()
        for version in {synced.query_version, self.db.subscriptions.latest.version}:
            self._served_again(version)  # or the server says that it still is not
        self.started = True
        return self._perform(self._session.start(self.namespace, self._token, self._position()))

    def receive(self, message: Message) -> list[Message]:
        """Take in one message; returns what to send.

        Raises:
            RemoteProtocolError: the server broke the protocol; drop the connection.
            StoreError: the file can't be written; drop the session, nothing was lost.
        """
        return [*self._perform(self._session.receive(message)), *self.wake()]

    def wake(self) -> list[Message]:
        """What there is to send now: changesets, a subscription set, marks."""
        if not self._session.ready or self.ended is not None:
            return []
        out = [] if self._session.waiting else self._next_uploads()
        marking = self._to_mark()
        if marking:
            self._marking = marking
            out += self._mark(lambda: self._completed(marking))
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            out += self._mark(done)
        return out

    def refresh(self, token: str) -> list[Message]:
        """Hand in a fresh token."""
        self._token = token
        return self._perform(self._session.token(token)) if self._session.ready else []

    def stop(self) -> list[Message]:
        """Say goodbye."""
        if self._session.state is State.CLOSED or self.ended is not None:
            return []
        return self._perform(self._session.unbind())

    def barrier(self, done: Callable[[], None]) -> None:
        """Call ``done`` once everything the server has now is here. Any thread; wakes the shell."""
        self._waiting.append(done)
        self.db.outgoing()

    def uploaded(self, done: Callable[[], None]) -> None:
        """Call ``done`` once everything committed so far is durable at the server."""
        self._uploading.append((self.db.local.client_version, done))
        self._tell_uploaded()

    # -- sending -------------------------------------------------------------------------------
    def _next_uploads(self) -> list[Message]:
        out: list[Message] = []
        while True:
            query = self.db.subscriptions.next_unsent(self._session.query_version)
            first, until = self._session.uploaded + 1, self.db.partition.until
            end = self.db.local.client_version if query is None else query.after
            if until is not None:  # what comes after is of another mode, and of the next session
                query, end = None, until
            ahead = self._session.uploaded - self._session.acknowledged
            if first <= end and ahead < _UPLOADS_AHEAD:
                count = min(self._uploads_max, end - first + 1)
                changesets = self.db.unsent(first, count, UPLOAD_BYTES_TARGET)
                out += self._perform(self._session.upload(first, changesets))
            elif query is not None and first > end:
                synced = self.db.synced
                resume = synced.staged_query == query.version
                out += self._perform(
                    self._session.query(
                        query.version,
                        query.queries(),
                        synced.staged_base if resume else 0,
                        synced.staged_position if resume else b"",
                    )
                )
            else:
                return out

    def _to_mark(self) -> int:
        active = self.db.subscriptions.active
        unmarked = active.state is SubscriptionState.AWAITING_MARK
        return active.version if unmarked and active.version > self._marking else 0

    def _mark(self, done: Callable[[], None]) -> list[Message]:
        self._request += 1
        self._marks[self._request] = done
        return self._perform(self._session.mark(self._request))

    def _completed(self, version: int) -> None:
        self._marking = 0
        if self.db.subscriptions.get(version).state is SubscriptionState.AWAITING_MARK:
            self._set_state(version, SubscriptionState.COMPLETE)

    def _served_again(self, version: int) -> None:
        """The active set is served; another one can be, and is asked for anew. Rule 4."""
        subscriptions = self.db.subscriptions
        if subscriptions.get(version).state is not SubscriptionState.ERROR:
            return
        if version == subscriptions.active.version:
            self._set_state(version, SubscriptionState.AWAITING_MARK)
        elif version == subscriptions.latest.version:
            self._set_state(version, SubscriptionState.PENDING)

    def _set_state(self, version: int, state: SubscriptionState, message: str = "") -> None:
        with self.db.integrating() as work:
            set_state(work.writer, version, state, message)
        self.db.subscriptions.reload()

    # -- effects -------------------------------------------------------------------------------
    def _position(self) -> Position:
        local, synced = self.db.local, self.db.synced
        resume = synced.staged_count and synced.staged_query == synced.query_version
        return Position(
            0 if local.forking else local.ident,
            local.salt,
            synced.cursor,
            synced.cursor_salt,
            synced.acknowledged,
            synced.digest,
            local.client_version,
            synced.query_version,
            self.db.subscriptions.get(synced.query_version).queries(),
            synced.horizon,
            synced.staged_base if resume else 0,
            synced.staged_position if resume else b"",
            self.db.partition.bound,
        )

    def _perform(self, effects: list[session.Effect]) -> list[Message]:
        out: list[Message] = []
        for effect in effects:
            match effect:
                case session.Send(message):
                    out.append(message)
                case session.Adopt(ident, salt):
                    self._adopt(ident, salt)
                    out += self._perform(self._session.adopted(self._position()))
                case session.Partitioned(key, flexible):
                    self.db.partition.told(key, flexible=flexible)
                case session.Acknowledge(ack):
                    self._acknowledge(ack)
                case session.Apply(download):
                    out += self._apply(download)
                case session.Restamp(nack):
                    self._pull_back(nack)
                case session.QueryFailed(version, _, message):
                    self._set_state(version, SubscriptionState.ERROR, message)
                case session.QueryServed(version):
                    self._served_again(version)
                case session.Passed(request):
                    self._passed(request)
                case session.Ended(code, message):
                    self._end(code, message)
        return out

    def _passed(self, request: int) -> None:
        done = self._marks.pop(request, None)
        if done is None:
            raise RemoteProtocolError(f"MARK {request}, which this end did not send")
        done()

    def _adopt(self, ident: int, salt: int) -> None:
        last = self.db.local.client_version
        with self.db.integrating() as work:
            adopt(work, ident, salt)
        self.db.subscriptions.reload()
        # A fork numbers what is pending anew: whoever waits for it waits for other numbers.
        shift = self.db.local.client_version - last
        waiting, self._uploading = self._uploading, []
        self._uploading += [(target + shift, done) for target, done in waiting]
        self._tell_uploaded()

    def _acknowledge(self, ack: Ack) -> None:
        with self.db.integrating() as work:
            apply.acknowledge(work, ack)
        if ack.refusals:
            self.db.tell_refusals()
        self._tell_uploaded()
        if self.db.partition.settle():
            self._end(ErrorCode.MODE_CHANGED, "what was written in a partition's time is uploaded")

    def _tell_uploaded(self) -> None:
        # Any thread may add to the list meanwhile: take it, and put back what has to wait.
        waiting, self._uploading = self._uploading, []
        acknowledged = self.db.synced.acknowledged
        for target, done in waiting:
            if target <= acknowledged:
                done()
            else:
                self._uploading.append((target, done))

    def _apply(self, download: Download) -> list[Message]:
        before, schema = self.db.synced, self.db.known_schema
        fresh = download.query_version > before.query_version
        try:
            self._take(download, fresh=fresh)
        except RemoteProtocolError:
            # What was staged may be to blame: the next session starts over.
            with self.db.integrating() as work:
                apply.discard_staged(work)
            raise
        if fresh:
            self.db.subscriptions.reload()
        if download.last:
            self.db.tell_left()
        if self.db.known_schema is not schema:
            self.db.partition.keep_up()
        if self.db.synced.progress != before.progress:
            self.db.progressed.tell(self.db.synced.progress)
        if not download.last:
            return []
        synced = self.db.synced
        return self._perform(
            self._session.applied(synced.cursor, download.query_version, synced.horizon)
        )

    def _take(self, download: Download, *, fresh: bool) -> None:
        with self.db.integrating() as work:
            if download.last:
                apply.apply(work, download)
                state = SubscriptionState.AWAITING_MARK
            else:
                apply.stage(work, download)
                state = SubscriptionState.BOOTSTRAPPING
            if fresh:
                set_state(work.writer, download.query_version, state)

    def _pull_back(self, nack: Nack) -> None:
        with self.db.integrating() as work:
            pull_back(work, nack.client_version, nack.server_ms, self.db.wall_ms())

    def _end(self, code: ErrorCode | None, message: str) -> None:
        if code is not None and code.action is Action.FORK:
            # The next BIND asks for an ident; taking it renames what is pending.
            with self.db.integrating() as work:
                work.local = work.local._replace(forking=True)
        self.ended = (code, message)
