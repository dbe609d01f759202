"""A server's connection: its sessions' messages, each in its turn, and what it is sent.

One task reads. A session that has something to do gets a task until it has nothing more, so what
is idle costs one task a connection and none a session.

Rule 1: a session takes in one message at a time, or the UPLOADs that wait together; the other
        sessions of its connection go on.
Rule 2: a session that is UPLOADS_IN_FLIGHT_MAX messages or UPLOADS_IN_FLIGHT_BYTES behind stops the
        reading of its connection: that is the back-pressure.
Rule 3: a DOWNLOAD is made when the one before it is with the operating system, for one session of
        a connection at a time: a slow reader costs a cursor, not memory. [DOWN-8]
Rule 4: what a peer breaks in a session ends that session, what it breaks in the connection ends
        that; what we break ends the session it happened in. Nobody else is disturbed. [ERR-4]
Rule 5: a token that expires ends its session, unless a fresh one came before.
Rule 6: whoever is refused is logged, with where they came from and who they said they were.
Rule 7: a peer of whom no session was let in is a stranger: it may send STRANGER_BYTES_MAX bytes,
        after which nothing is read until a session that waits to be let in is, or the connection
        ends. [CONN-9]
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio
from websockets.frames import CloseCode

from replication.errors import ErrorCode
from replication.limits import (
    CLOSE_TIMEOUT_S,
    FRAME_BYTES_MAX,
    HANDSHAKE_TIMEOUT_S,
    SILENCE_MAX_S,
    STRANGER_BYTES_MAX,
)
from replication.net.served import ServedSession
from replication.net.shell import Shell
from replication.net.websocket import DisconnectedError, WebSocket
from replication.protocol.connection import Deliver, Event, HangUp, Reply, ServerConnection
from replication.protocol.messages import Bind, Error, Message, encode, error_of
from replication.protocol.server_session import Close, Confirm, Effect, Open, Refresh, Send
from replication.server.jobs import Job

_log = logging.getLogger(__name__)

#: Times that a session takes in what waits before there is a look at what there is to fetch.
TAKEN_MAX: Final = 4
#: Bytes after which the next DOWNLOAD is not made before the peer has taken nearly all of them.
LARGE_BYTES: Final = 64 * 1024


class Connection:
    """One connection, from the first frame to its end."""

    __slots__ = (
        "_admission", "_connection", "_expires", "_large", "_last_words", "_let_in", "_nursery",
        "_opened", "_peer", "_reader", "_reading", "_scope", "_sender", "_sessions", "_shell",
        "_socket", "_waiting", "_why", "_working",
    )  # fmt: skip

    def __init__(
        self, shell: Shell, socket: WebSocket, peer: str, let_in: Callable[[], object]
    ) -> None:
        self._shell = shell
        self._socket = socket
        self._peer = peer
        self._let_in = let_in
        #: The reader waits until a session was let in, or refused. Rule 7.
        self._admission: trio.Event | None = None
        #: How many sessions have a task, those included that are about to end.
        self._working = 0
        self._connection = ServerConnection(shell.agent)
        self._sessions: dict[int, ServedSession] = {}
        self._scope = trio.CancelScope()
        self._reader = trio.CancelScope()
        self._reading: trio.CancelScope | None = None
        self._nursery: trio.Nursery
        #: When the first token expires, in Unix seconds; may be too early, never too late.
        self._expires = math.inf
        #: When the first session has to be bound; infinite once it is.
        self._opened = trio.current_time() + HANDSHAKE_TIMEOUT_S
        #: The session whose DOWNLOAD is being made or sent, and those that wait for their turn.
        self._sender: ServedSession | None = None
        self._waiting: dict[ServedSession, None] = {}
        self._large = False
        self._last_words: list[bytes] = []
        self._why = (CloseCode.NORMAL_CLOSURE, "")

    # -- life --------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Serve it until it ends. Raises nothing but Cancelled."""
        try:
            with self._scope:
                async with trio.open_nursery() as self._nursery:
                    try:
                        with self._reader:
                            await self._guarded(self._read)
                    finally:
                        self._connection.over = True  # nothing is started any more
        finally:
            for session in self._sessions.values():
                self._shell.host.disconnect(session.link)
            self._sessions.clear()
            left = STRANGER_BYTES_MAX if self._opened < math.inf else FRAME_BYTES_MAX
            await self._socket.close(*self._why, last=self._last_words, read_max=left)

    def say_goodbye(self, code: ErrorCode, message: str) -> None:
        """End the connection, and tell the peer why."""
        for event in self._connection.failed(code, message):
            self._hang_up(event)

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except DisconnectedError as error:
            _log.debug("a connection ended: %s", error)
            self._scope.cancel()
        except Exception:
            _log.exception("a connection failed")
            self.say_goodbye(ErrorCode.INTERNAL, "the server failed")

    async def _read(self) -> None:
        while True:
            silent = trio.current_time() + SILENCE_MAX_S
            frames = None
            with trio.CancelScope() as self._reading:
                self._reading.deadline = min(silent, self._opened, self._expiry())
                frames = await self._socket.read()
            self._reading = None
            if frames is None:
                self._time_passed(silent)
                continue
            for frame in frames:
                for event in self._connection.receive(frame):
                    await self._take(event)
                if self._connection.over:
                    return
            while self._opened < math.inf and self._socket.received > STRANGER_BYTES_MAX:
                await self._wait_for_admission()

    async def _wait_for_admission(self) -> None:
        """Rule 7. No ERROR: what a refused session had on its way is nobody's mistake."""
        if not self._working:
            reason = f"{self._socket.received} bytes, and no session was let in"
            self._why = (CloseCode.POLICY_VIOLATION, reason)
            raise DisconnectedError("lost", reason)
        self._admission = trio.Event()
        with trio.move_on_at(self._opened) as scope:
            await self._admission.wait()
        if scope.cancelled_caught:
            self._time_passed(math.inf)

    def _time_passed(self, silent: float) -> None:
        now = trio.current_time()
        if now >= min(silent, self._opened):
            reason = "no message for too long" if now >= silent else "no session was bound"
            # No ERROR: this is nobody's mistake that should stop a client.
            self._why = (CloseCode.GOING_AWAY, reason)
            raise DisconnectedError("lost", reason)
        self._expires = math.inf
        for session in list(self._sessions.values()):
            self._arm(session)
            if self._expired(session) and not session.busy:
                self._start(session, [])

    def _expiry(self) -> float:
        """When the first token expires, on Trio's clock."""
        if self._expires == math.inf:
            return math.inf
        return trio.current_time() + max(0.0, self._expires - self._shell.wall())

    def _arm(self, session: ServedSession) -> None:
        """Take a session's token into account."""
        user = session.link.user
        if user is None or user.expires is None or self._expired(session):
            return
        self._expires = min(self._expires, user.expires)
        if self._reading is not None:
            self._reading.deadline = min(self._reading.deadline, self._expiry())

    def _expired(self, session: ServedSession) -> bool:
        user = session.link.user
        return user is not None and user.expires is not None and user.expires <= self._shell.wall()

    # -- what comes --------------------------------------------------------------------------------
    async def _take(self, event: Event) -> None:
        match event:
            case Deliver(message):
                await self._deliver(message)
            case Reply(message) if not self._connection.over:
                await self._socket.send(encode(message))
            case _:
                self._hang_up(event)

    def _hang_up(self, event: Event) -> None:
        match event:
            case Reply(message):
                self._last_words.append(encode(message))
            case HangUp(code, message, ours):
                self._log_end(code, message, "the connection" if ours else "the peer's connection")
                if ours:
                    self._why = (_CLOSE_CODES.get(code, CloseCode.PROTOCOL_ERROR), code.label)
                # What is being sent is sent to its end: half a frame would drown our last words.
                self._reader.cancel()
                self._scope.deadline = trio.current_time() + CLOSE_TIMEOUT_S

    def _log_end(self, code: ErrorCode, message: str, what: str) -> None:
        """Rule 6. What a peer wrote must not look like another line of the log."""
        level = logging.INFO if code in _EXPECTED else logging.WARNING
        _log.log(level, "%s: %s ended with %s: %s", self._peer, what, code.label, plain(message))

    async def _deliver(self, message: Message) -> None:
        session = self._sessions.get(message.session)
        if session is None:
            assert isinstance(message, Bind)
            session = self._sessions[message.session] = ServedSession()
            note = partial(self._note, session)
            session.link = self._shell.host.connect(message.session, note)
        if not session.busy and not self._expired(session):
            session.queue.append(message)
            effects = session.take()
            if len(effects) == 1 and isinstance(effects[0], Confirm):
                self._shell.host.begin(session.link, effects[0])  # the most frequent, and nothing
            else:
                self._start(session, effects)
            return
        while session.is_full:
            session.room = session.room or trio.Event()
            await session.room.wait()
        session.queue.append(message)
        if not session.busy:
            self._start(session, [])

    def _note(self, session: ServedSession) -> None:
        """There may be something to fetch for a session. From any thread."""
        if not session.noted:
            session.noted = True
            self._shell.later(partial(self._wake, session))

    def _wake(self, session: ServedSession) -> None:
        """Look whether there is something to fetch, or have it done. Never raises."""
        # Cleared first: what is published from here on notes it again.
        session.noted = False
        session.woken = True
        if session.busy or self._connection.over:
            return
        if self._sender is not None:
            self._waiting[session] = None
        elif self._large or session.is_far:
            self._start(session, [])
        else:
            # In most cases it is nothing, or is sent at once: neither needs a task.
            session.woken = False
            effects = session.told(self._shell.host.fetch(session.link))
            sent = not effects or self._send_now(effects)
            if not sent or self._socket.unsent:
                self._sender = session
                self._start(session, [] if sent else effects)
            elif session.woken:
                self._start(session, [])

    def _send_now(self, effects: list[Effect]) -> bool:
        """Perform effects that only send, without a task; False: nothing was done."""
        frames = [encode(effect.message) for effect in effects if isinstance(effect, Send)]
        if len(frames) < len(effects) or not self._socket.send_now(frames):
            return False
        self._large = sum(map(len, frames)) > LARGE_BYTES
        return True

    # -- a session's task --------------------------------------------------------------------------
    def _start(self, session: ServedSession, effects: list[Effect]) -> None:
        session.busy = True
        self._working += 1
        self._nursery.start_soon(self._guarded, partial(self._work, session, effects))

    async def _work(self, session: ServedSession, effects: list[Effect]) -> None:
        """Perform effects, and then whatever else there is to do for a session."""
        more: list[Effect] | None = effects
        while more is not None:
            try:
                await self._perform(session, more)
                more = await self._next(session)
            except DisconnectedError:
                raise
            except Exception:
                more = session.failed()
        session.busy = False
        self._working -= 1
        self._look_again()

    async def _next(self, session: ServedSession) -> list[Effect] | None:
        """What is to be performed next, None for nothing."""
        self._pass_on(session)
        if self._sessions.get(session.link.session.number) is not session or self._connection.over:
            return None
        if self._expired(session):
            return session.link.session.failed(ErrorCode.TOKEN_EXPIRED, "the token has expired")
        if session.queue and session.streak < TAKEN_MAX:
            return self._receive(session)
        while session.woken:
            if self._sender is not None:
                self._waiting[session] = None
                break
            effects = await self._fetch(session)
            if effects:
                return effects
            self._pass_on(session)
        return self._receive(session) if session.queue else None

    def _receive(self, session: ServedSession) -> list[Effect]:
        session.streak += 1
        effects = session.take()
        session.make_room()
        return effects

    async def _fetch(self, session: ServedSession) -> list[Effect]:
        """Rule 3. It is the session's turn until `_pass_on`."""
        self._sender = session
        session.streak = 0
        if self._large:
            await self._socket.writable()
            self._large = False
        # Cleared first: what is published from here on wakes it again.
        session.woken = False
        if session.is_far:
            outcome = await trio.to_thread.run_sync(self._shell.host.fetch, session.link)
        else:
            outcome = self._shell.host.fetch(session.link)
        return session.told(outcome)

    def _pass_on(self, session: ServedSession) -> None:
        """A session's turn is over: the next one that waits may have its DOWNLOAD made."""
        if self._sender is not session:
            return
        self._sender = None
        while self._waiting and self._sender is None:
            waiting = next(iter(self._waiting))
            del self._waiting[waiting]
            self._wake(waiting)

    async def _perform(self, session: ServedSession, effects: list[Effect]) -> None:
        """Perform effects, in order."""
        todo = deque(effects)
        frames: list[bytes] = []
        while todo:
            effect = todo.popleft()
            if isinstance(effect, Send):
                frames.append(encode(effect.message))
                if isinstance(effect.message, Error):
                    self._log_refusal(session, effect.message)
                continue
            begun = await self._begin(session, effect)
            if isinstance(begun, Job):
                await self._send(frames)
                frames = []
                begun = (await self._shell.commit(begun))()
            todo.extendleft(reversed(begun))
            if isinstance(effect, Open | Refresh):
                self._admitted(session)
            elif isinstance(effect, Close):
                self._close(session)
        await self._send(frames)

    def _log_refusal(self, session: ServedSession, error: Error) -> None:
        user = session.link.user
        who = "a session" if user is None else f"a session of {plain(user.id)}"
        self._log_end(error_of(error), error.message, who)

    async def _begin(self, session: ServedSession, effect: Effect) -> list[Effect] | Job:
        if isinstance(effect, Open | Refresh):
            # Whoever authenticates may ask somebody else, and wait for the answer.
            return await trio.to_thread.run_sync(self._shell.host.begin, session.link, effect)
        return self._shell.host.begin(session.link, effect)

    def _admitted(self, session: ServedSession) -> None:
        if session.link.user is not None:
            if self._opened < math.inf:
                self._opened = math.inf
                self._let_in()
            self._arm(session)
        self._look_again()

    def _look_again(self) -> None:
        if self._admission is not None:
            self._admission.set()
            self._admission = None

    def _close(self, session: ServedSession) -> None:
        number = session.link.session.number
        self._connection.closed(number)
        del self._sessions[number]
        session.queue.clear()
        session.make_room()

    async def _send(self, frames: list[bytes]) -> None:
        if frames:
            self._large = sum(map(len, frames)) > LARGE_BYTES
        if frames or self._socket.unsent:
            await self._socket.send(*frames)


def plain(text: str) -> str:
    """A text on one line, without characters that act on whatever shows it."""
    return text if text.isprintable() else ascii(text)[1:-1]


#: Ends that happen to everybody now and then.
_EXPECTED: Final = frozenset(
    {ErrorCode.SHUTTING_DOWN, ErrorCode.TOKEN_EXPIRED, ErrorCode.SUPERSEDED}
)
_CLOSE_CODES: Final = {
    ErrorCode.SHUTTING_DOWN: CloseCode.GOING_AWAY,
    ErrorCode.INTERNAL: CloseCode.INTERNAL_ERROR,
}
