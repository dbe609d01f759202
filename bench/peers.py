"""Peers that speak the protocol over real sockets and keep nothing: they load a server, cheaply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import trio

from replication.history.changeset import DIGEST_START, next_digest
from replication.model.encoding import unpack_trusted
from replication.net.websocket import WebSocket, address, connect
from replication.protocol import client_session as session
from replication.protocol.body import DELTA, EVICT, STATE, decompressed
from replication.protocol.client_session import ClientSession, Position
from replication.protocol.connection import ClientConnection, Deliver, Reply
from replication.protocol.messages import Download, Message, encode


class Peer:
    """One client file on a connection of its own. `run` it in a task.

    Args:
        queries: the subscription set it begins with.
        heard: called with each operation that sends or evicts an object, and when it came.

    Attributes:
        frames, deltas, states, evictions: what came so far.
        cursor: the server version it stands at.
        acknowledged: of its changesets.
    """

    def __init__(
        self, queries: dict[str, str], heard: Callable[[list[Any], float], None] | None = None
    ) -> None:
        self.ident = self._salt = self.cursor = self._cursor_salt = self.acknowledged = 0
        self.frames = self.deltas = self.states = self.evictions = 0
        self.queries: dict[str, str] = {}
        self._wanted = queries
        self._query_version = 0
        self._digest = DIGEST_START
        self._heard = heard
        self._news = trio.Event()
        self._passed = 0
        self._unacknowledged: dict[int, bytes] = {}
        self._socket: WebSocket
        self._session: ClientSession

    async def open(self, url: str) -> None:
        """Connect and identify itself."""
        self._socket = await connect(address(url))
        self._connection = ClientConnection("bench")
        self._session = ClientSession(1)
        for event in self._connection.start():
            assert isinstance(event, Reply)
            await self._socket.send(encode(event.message))
        while not self._connection.ready:
            for frame in await self._socket.read():
                self._connection.receive(frame)
        self._connection.open()
        await self._perform(self._session.start("bench", "bench", self._position()))
        while not self.ident:
            await self._read()
        if self._query_version == 0 and self._wanted:
            await self._perform(self._session.query(1, self._wanted, 0, b""))
            while self._query_version == 0:
                await self._read()
            self.queries = self._wanted

    async def run(self) -> None:
        """Take whatever comes, until cancelled."""
        while True:
            await self._read()

    async def close(self) -> None:
        """Leave; `open` comes back."""
        await self._socket.close()

    async def until(self, done: Callable[[], bool], seconds: float = 120) -> None:
        """Wait, while something comes, until something holds."""
        with trio.fail_after(seconds):
            while not done():
                self._news = trio.Event()
                await self._news.wait()

    async def caught_up(self) -> None:
        """Wait until all that the server has now is here."""
        before = self._passed
        await self._perform(self._session.mark(before + 1))
        await self.until(lambda: self._passed > before)

    async def upload(self, changesets: list[bytes]) -> None:
        """Send changesets."""
        first = self._session.uploaded + 1
        self._unacknowledged.update(enumerate(changesets, start=first))
        await self._perform(self._session.upload(first, changesets))

    async def subscribe(self, queries: dict[str, str]) -> None:
        """Ask for another set, and wait until it is here."""
        version = self._query_version + 1
        await self._perform(self._session.query(version, queries, self.cursor, b""))
        await self.until(lambda: self._query_version == version)
        self.queries = queries

    def _position(self) -> Position:
        return Position(
            self.ident, self._salt, self.cursor, self._cursor_salt, self.acknowledged,
            self._digest, self.acknowledged, self._query_version, self.queries,
        )  # fmt: skip

    async def _read(self) -> None:
        for frame in await self._socket.read():
            for event in self._connection.receive(frame):
                assert isinstance(event, Deliver), event
                await self._take(event.message)
        self._news.set()

    async def _take(self, message: Message) -> None:
        await self._perform(self._session.receive(message))

    async def _perform(self, effects: list[session.Effect]) -> None:
        for effect in effects:
            match effect:
                case session.Send(message):
                    await self._socket.send(encode(message))
                case session.Adopt(ident, salt):
                    self.ident, self._salt = ident, salt
                    await self._perform(self._session.adopted(self._position()))
                case session.Acknowledge(ack):
                    for number in range(self.acknowledged + 1, ack.client_version + 1):
                        data = self._unacknowledged.pop(number)
                        self._digest = next_digest(self._digest, data)
                    self.acknowledged = ack.client_version
                case session.Apply(download):
                    self._download(download, perf_counter())
                case session.Passed(request):
                    self._passed = request
                case _:
                    raise AssertionError(effect)

    def _download(self, download: Download, now: float) -> None:
        self.frames += 1
        for item in unpack_trusted(decompressed(download.size, download.body)):
            if item[0] == DELTA:
                self.deltas += 1
            elif item[0] == STATE:
                self.states += 1
            elif item[0] == EVICT:
                self.evictions += 1
            else:
                continue
            if self._heard is not None:
                self._heard(item, now)
        if download.last:
            self.cursor, self._cursor_salt = download.version, download.salt
            self._query_version = download.query_version
            # What is kept is told when the file comes back, as idle clients do.
            self._session.applied(self.cursor, self._query_version)


async def opened(peers: list[Peer], url: str, nursery: trio.Nursery) -> None:
    """Open peers, a few at a time, and wait until each has what it asked for."""
    for some in batches(peers, 20):
        async with trio.open_nursery() as opening:
            for peer in some:
                opening.start_soon(peer.open, url)
        for peer in some:
            nursery.start_soon(peer.run)
            await peer.caught_up()


def batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    """The items, some at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
