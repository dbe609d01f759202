"""Peers for tests of the network shell: devices with files in memory, and a server by script."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import trio
import trio.testing

from replication.client.database import Database
from replication.clock import ms_from_unix
from replication.crdt.object import ObjectState
from replication.crdt.view import object_view, query_values
from replication.model.declare import Object, schema_of
from replication.model.encoding import unpack_trusted
from replication.net.websocket import DisconnectedError, WebSocket, accept
from replication.protocol.connection import Deliver, Reply, ServerConnection
from replication.protocol.messages import Message, encode
from replication.storage.memory import MemoryStore

M = TypeVar("M", bound=Message)


class Book(Object):
    """What the devices of these tests keep."""

    _id: int
    title: str
    pages: int


SCHEMA = schema_of(Book)


def wall_ms() -> int:
    """The time of day, as databases count it."""
    return ms_from_unix(time.time())


def device() -> Database:
    """A new client file, in memory."""
    return Database(MemoryStore(query_values), SCHEMA, wall_ms=wall_ms)


def write(db: Database, key: int, title: str) -> None:
    """One transaction: give a book a title; make it if need be."""
    with db.write() as transaction:
        edit = transaction.edit("Book", key)
        if not edit.view[0] % 2:
            edit.create()
        edit.scope().set("title", title)


def titles(db: Database) -> dict[int, str]:
    """What an application sees: the titles by key."""
    out = {}
    with db.store.read() as reader:
        for row in reader.scan("Book"):
            state: ObjectState = unpack_trusted(row.head)
            view = object_view(state)
            assert view is not None
            out[row.key] = view["title"]
    return out  # type: ignore[return-value]


class Peer:
    """The server's end of one connection, played by a test."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._connection = ServerConnection("script")
        self._messages: list[Message] = []

    async def receive(self, kind: type[M]) -> M:
        """The next message, which is of this kind."""
        while not self._messages:
            for frame in await self._socket.read():
                await self._take(frame)
        message = self._messages.pop(0)
        assert isinstance(message, kind), message
        return message

    async def skip_to(self, kind: type[M]) -> M:
        """The next message of this kind, whatever comes before it."""
        while True:
            message = await self.receive(Message)  # type: ignore[arg-type]
            if isinstance(message, kind):
                return message

    async def _take(self, frame: bytes) -> None:
        for event in self._connection.receive(frame):
            if isinstance(event, Deliver):
                self._messages.append(event.message)
            elif isinstance(event, Reply):
                await self._socket.send(encode(event.message))

    async def hello(self) -> None:
        """Take the client's HELLO and answer it."""
        while not self._connection.ready:
            for frame in await self._socket.read():
                await self._take(frame)

    async def send(self, *messages: Message) -> None:
        """Send messages."""
        await self._socket.send(*map(encode, messages))

    async def send_bytes(self, data: bytes) -> None:
        """Send a frame that is no message."""
        await self._socket.send(data)

    async def read_until_closed(self) -> list[bytes]:
        """All frames that still come."""
        frames: list[bytes] = []
        with suppress(DisconnectedError):
            while True:
                frames += await self._socket.read()
        await self._socket.close()
        return frames

    async def cut(self) -> None:
        """Cut the connection, without a word."""
        await trio.aclose_forcefully(self._socket._stream)


class ScriptedServer:
    """Where clients connect in memory; `peer` gives their connections to the test.

    Attributes:
        attempts: when clients tried to connect, on Trio's clock.
        down: whether nobody listens.
        pair: makes the two ends of a stream.
    """

    def __init__(self) -> None:
        self.attempts: list[float] = []
        self.down = False
        self.pair: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]
        self.pair = trio.testing.memory_stream_pair
        self._ends: list[trio.abc.Stream] = []
        self._arrivals = trio.open_memory_channel[trio.abc.Stream](float("inf"))

    async def open_stream(self, _host: str, _port: int) -> trio.abc.Stream:
        """What `run_client` connects with."""
        await trio.lowlevel.checkpoint()
        self.attempts.append(trio.current_time())
        if self.down:
            raise ConnectionRefusedError("nobody listens")
        near, far = self.pair()
        self._ends.append(near)
        self._arrivals[0].send_nowait(near)
        return far

    async def cut(self) -> None:
        """Cut all connections, and let nobody in any more."""
        self.down = True
        for end in self._ends:
            await trio.aclose_forcefully(end)

    async def peer(self) -> Peer:
        """The next connection, after the WebSocket's handshake."""
        socket = await accept(await self._arrivals[1].receive())
        assert socket is not None
        return Peer(socket)

    async def shaken(self) -> Peer:
        """The next connection, after HELLO."""
        peer = await self.peer()
        await peer.hello()
        return peer


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has become true, while worker threads go on."""
    while not condition():
        await trio.sleep(0.001)
