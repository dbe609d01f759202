"""A client's connection: frames in and out, sessions by number, silence, and how it ended.

Rule 1: reading never waits for sending: what there is to send is queued. So two ends that both
        have much to say can't wait for each other. The queue is bounded by what an agent sends
        unacknowledged.
Rule 2: a session that is slow to take in what comes stops the reading: that is the back-pressure.
Rule 3: PROGRESS is told with the next message of its session, or after PROGRESS_DELAY_S: nobody
        waits for it, and alone it would cost as much as the DOWNLOAD it answers. [CONN-8]
Rule 4: a server that says nothing for SILENCE_MAX_S, though asked, is gone. [CONN-7]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, TypeAlias

import trio

from replication.errors import ReplicationError, SessionError
from replication.limits import (
    CONNECT_TIMEOUT_S,
    PING_PERIOD_S,
    PROGRESS_DELAY_S,
    SILENCE_MAX_S,
)
from replication.net.websocket import DisconnectedError, WebSocket
from replication.protocol.connection import ClientConnection, Deliver, Event, HangUp, Reply
from replication.protocol.messages import Message, Progress, encode

#: What this end calls itself in HELLO.
AGENT: Final = "replication-core"
#: Messages a session may be behind before the connection is not read any more.
INBOX_MAX: Final = 8

#: Something an agent has to do; what it returns is sent.
Task: TypeAlias = Callable[[], list[Message]]


class Inbox:
    """What a session has to do next, in order.

    Args:
        receive: takes in a message.
        wake: looks for something to send; comes after everything else, once for any number of
            reasons.

    Attributes:
        heard: a message was taken in.
    """

    def __init__(self, receive: Callable[[Message], list[Message]], wake: Task) -> None:
        self._receive = receive
        self._wake = wake
        self.heard = False
        self._tasks: deque[Task] = deque()
        self._woken = True
        self._arrived = trio.Event()
        self._taken = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    async def put(self, message: Message) -> None:
        """A message came. Waits while INBOX_MAX are there already."""
        while len(self._tasks) >= INBOX_MAX:
            await self._taken.wait()

        def take() -> list[Message]:
            out = self._receive(message)
            self.heard = True
            return out

        self.do(take)

    def do(self, task: Task) -> None:
        """Do this after what is there already."""
        self._tasks.append(task)
        self._arrived.set()

    def wake(self) -> None:
        """There may be something to send. Any thread; next to nothing when called again."""
        if not self._woken:
            self._woken = True
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._look)

    def _look(self) -> None:
        self._arrived.set()

    async def next(self) -> Task:
        """Wait for something to do."""
        while True:
            if self._tasks:
                self._taken.set()
                self._taken = trio.Event()
                return self._tasks.popleft()
            if self._woken:
                # Cleared before the agent looks: a commit from here on wakes it again.
                self._woken = False
                return self._wake
            self._arrived = trio.Event()
            await self._arrived.wait()


class Wire:
    """One connection, from HELLO to its end.

    Attributes:
        connection: the protocol's view of it; gives sessions their numbers.
    """

    def __init__(self, socket: WebSocket) -> None:
        self.connection = ClientConnection(AGENT)
        self._socket = socket
        self._ended: ReplicationError | None = None
        self._last_words: list[bytes] = []
        self._sessions: dict[int, tuple[Inbox, trio.CancelScope]] = {}
        self._outgoing = trio.open_memory_channel[bytes](float("inf"))
        self._scope = trio.CancelScope()
        self._progress: dict[int, Progress] = {}
        self._late = trio.Event()

    # -- sessions ------------------------------------------------------------------------------
    def attach(self, number: int, inbox: Inbox, scope: trio.CancelScope) -> None:
        """Deliver a session's messages; its scope is cancelled when the connection ends."""
        self._sessions[number] = (inbox, scope)
        if self._ended is not None:
            scope.cancel()

    def detach(self, number: int) -> None:
        """The session is over."""
        self.connection.closed(number)
        del self._sessions[number]
        self._progress.pop(number, None)

    def send(self, messages: Iterable[Message]) -> None:
        """Send messages soon, in order; PROGRESS alone a little later.

        Raises:
            LimitExceededError: one does not fit a frame; nothing is sent.
        """
        frames = []
        for message in messages:
            if isinstance(message, Progress):
                self._progress[message.session] = message
                self._late.set()
                continue
            late = self._progress.pop(message.session, None)
            if late is not None:
                frames.append(encode(late))
            frames.append(encode(message))
        for frame in frames:
            self._outgoing[0].send_nowait(frame)

    # -- life ----------------------------------------------------------------------------------
    async def run(self, announce: Callable[[Wire | None], None]) -> ReplicationError:
        """Serve the connection until it ends.

        Args:
            announce: called with this wire when sessions can be attached, and with None as soon
                as they can't any more.

        Returns:
            How it ended: a DisconnectedError, or the SessionError the server sent.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._guarded, self._send_queued)
                    nursery.start_soon(self._guarded, self._ping)
                    nursery.start_soon(self._guarded, self._tell_progress)
                    await self._guarded(lambda: self._converse(announce))
        finally:
            ended = self._end(DisconnectedError("lost", "this end closed the connection"))
            announce(None)
            for _, scope in self._sessions.values():
                scope.cancel()
            with trio.CancelScope(shield=True):
                await self._socket.close(last=self._last_words)
        return ended

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except DisconnectedError as error:
            self._end(error)

    def _end(self, error: ReplicationError) -> ReplicationError:
        """End the connection, unless it has ended; the first reason counts."""
        self._ended = self._ended or error
        self._scope.cancel()
        return self._ended

    async def _converse(self, announce: Callable[[Wire | None], None]) -> None:
        for event in self.connection.start():
            self._perform(event)
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            while not self.connection.ready and not self.connection.over:
                await self._take(await self._socket.read())
        if not self.connection.ready:
            raise DisconnectedError("handshake", "the server did not say HELLO")
        announce(self)
        while not self.connection.over:
            with trio.move_on_after(SILENCE_MAX_S) as scope:
                frames = await self._socket.read()
            if scope.cancelled_caught:
                raise DisconnectedError("lost", f"the server was silent for {SILENCE_MAX_S:.0f} s")
            await self._take(frames)

    async def _take(self, frames: list[bytes]) -> None:
        for frame in frames:
            for event in self.connection.receive(frame):
                if isinstance(event, Deliver):
                    inbox, _ = self._sessions[event.message.session]
                    await inbox.put(event.message)
                else:
                    self._perform(event)
            if self.connection.over:
                return

    def _perform(self, event: Event) -> None:
        match event:
            case Reply(message) if self.connection.over:
                self._last_words.append(encode(message))
            case Reply(message):
                self.send([message])
            case HangUp(code, message, ours):
                if ours:
                    text = f"the server broke the protocol: {message}"
                    self._end(DisconnectedError("protocol", text))
                else:
                    self._end(SessionError(code, message))

    async def _send_queued(self) -> None:
        queue = self._outgoing[1]
        while True:
            batch = [await queue.receive()]
            with suppress(trio.WouldBlock):
                while True:
                    batch.append(queue.receive_nowait())
            await self._socket.send(*batch)

    async def _ping(self) -> None:
        payload = 0
        while True:
            await trio.sleep(PING_PERIOD_S)
            if self.connection.ready and not self.connection.awaiting_pong:
                payload += 1
                for event in self.connection.ping(payload):
                    self._perform(event)

    async def _tell_progress(self) -> None:
        while True:
            await self._late.wait()
            await trio.sleep(PROGRESS_DELAY_S)
            self._late = trio.Event()
            for message in self._progress.values():
                self._outgoing[0].send_nowait(encode(message))
            self._progress.clear()
