"""Peers for tests of the network shell: devices with files in memory, and a server by script."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TypeVar

import trio
import trio.testing

from replication.client.database import Database
from replication.clock import ms_from_unix
from replication.crdt.object import ObjectState
from replication.crdt.view import object_view, query_values
from replication.errors import ErrorCode, SessionError
from replication.history.changeset import DIGEST_START
from replication.model.declare import Object, schema_of
from replication.model.encoding import unpack_trusted
from replication.net.auth import Tokens
from replication.net.websocket import DisconnectedError, WebSocket, accept, address, connect
from replication.protocol.connection import Deliver, Reply, ServerConnection
from replication.protocol.messages import (
    Assign,
    Bind,
    Error,
    Hello,
    Ident,
    Mark,
    Message,
    Query,
    decode,
    encode,
)
from replication.server.host import Host
from replication.server.users import Authenticate
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


# -- the server's side -----------------------------------------------------------------------------
class Stores:
    """The stores of a server, in memory: they outlive the hosts that use them."""

    def __init__(self) -> None:
        self._stores: dict[str, MemoryStore] = {}

    def open(self, name: str) -> MemoryStore:
        """The store of a namespace; made on first use, opened again by each host."""
        if name == "forbidden":
            raise SessionError(ErrorCode.BAD_NAMESPACE, "there is no namespace 'forbidden'")
        held = self._stores.get(name)
        store = MemoryStore(query_values) if held is None else held.reopen()
        self._stores[name] = store
        return store


def host(
    stores: Stores | None = None,
    authenticate: Authenticate | None = None,
    *,
    report: Callable[[Exception], None] = lambda _error: None,
) -> Host:
    """A server's host in development mode."""
    random = Random(7)
    return Host(
        (stores or Stores()).open,
        authenticate or Tokens(development=True),
        entropy=lambda: random.getrandbits(63),
        wall_ms=wall_ms,
        development=True,
        report=report,
    )


class Caller:
    """A client played by a test, message by message."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        #: The message that came last.
        self.last: Message | None = None
        self._messages: list[Message] = []

    @classmethod
    async def over(cls, stream: trio.abc.Stream) -> Caller:
        """A client on this stream, after the WebSocket's handshake."""

        async def opened(_host: str, _port: int) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            return stream

        return cls(await connect(address("ws://memory:1/"), open_stream=opened))

    async def send(self, *messages: Message) -> None:
        """Send messages."""
        await self.socket.send(*map(encode, messages))

    async def receive(self, kind: type[M]) -> M:
        """The next message, which is of this kind."""
        while not self._messages:
            self._messages += map(decode, await self.socket.read())
        self.last = message = self._messages.pop(0)
        assert isinstance(message, kind), message
        return message

    async def skip_to(self, kind: type[M], *, errors: bool = False) -> M:
        """The next message of this kind; other errors than the one expected may not come before."""
        while True:
            message = await self.receive(Message)  # type: ignore[arg-type]
            if isinstance(message, kind):
                return message
            assert errors or not isinstance(message, Error), message

    async def hello(self) -> None:
        """Exchange HELLO."""
        await self.send(Hello(0, [1], "caller"))
        await self.receive(Hello)

    async def bind(
        self, number: int, *, namespace: str = "books", query: str | None = "TRUEPREDICATE"
    ) -> Assign:
        """Bring up a session of a new file, with a subscription to all books."""
        await self.send(Bind(number, namespace, "dev:caller", 0, 0))
        assigned = await self.skip_to(Assign)
        await self.send(start(number, assigned.ident))
        if query is not None:
            await self.send(Query(number, 1, {"Book": query}, 0, b""), Mark(number, 99))
            await self.skip_to(Mark)
        return assigned

    async def until_closed(self) -> list[Message]:
        """All messages that still come."""
        with suppress(DisconnectedError):
            while True:
                self._messages += map(decode, await self.socket.read())
        await self.socket.close()
        return self._messages


def start(number: int, ident: int) -> Ident:
    """The IDENT of a new file."""
    return Ident(number, ident, 0, 0, 0, DIGEST_START, 0, 0, {})
