"""A server on the network: listens, serves every connection, and leaves in good order.

Rule 1: what goes wrong with one connection is that connection's: it is logged and told to its peer,
        and the server goes on.
Rule 2: cancelling `serve` is the graceful shutdown: nobody is let in any more, all are told
        SHUTTING_DOWN and have SHUTDOWN_GRACE_S to go; what was acknowledged is durable in any
        case. [CONN-4]
Rule 3: there are at most so many connections. For one more the oldest of those makes room where no
        session was let in yet; if there is none, the new one is turned away. So strangers cost each
        other their place, and nobody who was let in. [CONN-9]
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

import trio

from replication.errors import ErrorCode, UsageError
from replication.limits import (
    CLOSE_TIMEOUT_S,
    CONNECTIONS_MAX,
    HANDSHAKE_TIMEOUT_S,
    SHUTDOWN_GRACE_S,
)
from replication.net.origins import HERE, Origins
from replication.net.serving import Connection
from replication.net.shell import Shell
from replication.net.websocket import DisconnectedError, WebSocket, accept
from replication.server.host import Host
from replication.server.writer import CommitThread

_log = logging.getLogger(__name__)

#: What this end calls itself in HELLO.
AGENT: Final = "replication-core"


class Place(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


class Server:
    """Serves streams, however they came about. Made by `open_server`.

    Args:
        connections_max: how many connections there may be.
        origins: the web pages that may connect.
    """

    def __init__(
        self, shell: Shell, connections_max: int = CONNECTIONS_MAX, origins: Origins = HERE
    ) -> None:
        self._shell = shell
        self._origins = origins
        self._connections_max = connections_max
        self._open = 0
        #: Of connections where nobody was let in yet, in the order they came.
        self._strangers: dict[trio.CancelScope, None] = {}
        self._connections: set[Connection] = set()
        self._leaving = False

    async def handle(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until it ends. Raises nothing but Cancelled."""
        if not self._has_room():
            _log.warning("%s was turned away: %d connections", _peer(stream), self._open)
            await _turn_away(stream)
            return
        scope = trio.CancelScope()
        self._open += 1
        self._strangers[scope] = None
        try:
            with scope:
                await self._serve(stream, lambda: self._strangers.pop(scope, None))
        finally:
            self._open -= 1
            self._strangers.pop(scope, None)

    def _has_room(self) -> bool:
        """Rule 3."""
        if self._open < self._connections_max:
            return True
        if not self._strangers:
            return False
        longest = next(iter(self._strangers))
        del self._strangers[longest]
        longest.cancel()
        return True

    async def _serve(self, stream: trio.abc.Stream, let_in: Callable[[], object]) -> None:
        try:
            socket = None
            with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
                socket = await accept(stream, self._origins)
            if socket is not None:
                await self._converse(socket, _peer(stream), let_in)
        except DisconnectedError as error:
            _log.debug("a connection did not come about: %s", error)
        except Exception:
            _log.exception("a connection failed")
        finally:
            await trio.aclose_forcefully(stream)

    async def _converse(self, socket: WebSocket, peer: str, let_in: Callable[[], object]) -> None:
        connection = Connection(self._shell, socket, peer, let_in)
        self._connections.add(connection)
        if self._leaving:
            connection.say_goodbye(ErrorCode.SHUTTING_DOWN, _LEAVING)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def say_goodbye(self) -> None:
        """Tell all peers that the server is shutting down, and let their connections end."""
        self._leaving = True
        for connection in self._connections:
            connection.say_goodbye(ErrorCode.SHUTTING_DOWN, _LEAVING)


@asynccontextmanager
async def open_server(
    host: Host,
    *,
    connections_max: int = CONNECTIONS_MAX,
    origins: Origins = HERE,
    wall: Callable[[], float] = time.time,
) -> AsyncIterator[Server]:
    """A server whose streams the caller brings, with its commit thread.

    Args:
        host: the namespaces; closed by the caller, afterwards.
        connections_max: how many connections there may be.
        origins: the web pages that may connect; those of this machine by default.
        wall: the clock that tokens are held against, in Unix seconds.
    """
    committing = CommitThread(host)
    try:
        shell = Shell(host, committing.submit, agent=AGENT, wall=wall)
        yield Server(shell, connections_max, origins)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(committing.close)


async def serve(
    host: Host,
    *,
    listen_host: str | None = "127.0.0.1",
    port: int,
    ssl_context: ssl.SSLContext | None = None,
    connections_max: int = CONNECTIONS_MAX,
    origins: Origins = HERE,
    wall: Callable[[], float] = time.time,
    task_status: trio.TaskStatus[list[Place]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then shut down gracefully, which takes SHUTDOWN_GRACE_S at most.

    Args:
        host: the namespaces; closed by the caller, afterwards.
        listen_host: the interface; None for all of them.
        port: 0 for any that is free.
        ssl_context: serve wss instead of ws.
        connections_max: how many connections there may be.
        origins: the web pages that may connect; those of this machine by default.
        wall: the clock that tokens are held against, in Unix seconds.
        task_status: told where it listens, once it does.

    Raises:
        UsageError: it can't listen there.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=listen_host)
    except OSError as error:
        raise UsageError(f"can't listen on {listen_host or '*'}:{port}: {error}") from None
    leave = trio.Event()
    async with (
        open_server(host, connections_max=connections_max, origins=origins, wall=wall) as server,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(_serve_listeners, server, listeners, ssl_context, leave)
        task_status.started([Place(*item.socket.getsockname()[:2]) for item in listeners])
        try:
            await trio.sleep_forever()
        finally:
            leave.set()


async def _serve_listeners(
    server: Server,
    listeners: list[trio.SocketListener],
    ssl_context: ssl.SSLContext | None,
    leave: trio.Event,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """Let in whoever comes until it is time to leave; then until all have left."""

    async def handle(stream: trio.SocketStream) -> None:
        if ssl_context is None:
            await server.handle(stream)
        else:
            # Ends are told by WebSocket's own close, so a missing close of TLS is no truncation.
            secured = trio.SSLStream(stream, ssl_context, server_side=True, https_compatible=True)
            await server.handle(secured)

    # Shielded: connections outlive the cancellation of `serve` by the time of grace.
    with trio.CancelScope(shield=True) as scope:
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as letting_in:
                serving = partial(trio.serve_listeners, handler_nursery=connections)
                await letting_in.start(serving, handle, listeners)
                task_status.started()
                await leave.wait()
                letting_in.cancel_scope.cancel()
            scope.deadline = trio.current_time() + SHUTDOWN_GRACE_S
            server.say_goodbye()


async def _turn_away(stream: trio.abc.Stream) -> None:
    """There is no room: say so where that costs nothing, and close."""
    try:
        if not isinstance(stream, trio.SSLStream):
            with trio.move_on_after(CLOSE_TIMEOUT_S), suppress(trio.BrokenResourceError):
                await stream.send_all(_NO_ROOM)
    finally:
        await trio.aclose_forcefully(stream)


def _peer(stream: trio.abc.Stream) -> str:
    """Where a stream comes from, for the log."""
    while isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if isinstance(stream, trio.SocketStream):
        with suppress(OSError):
            host, port = stream.socket.getpeername()[:2]
            return f"{host} port {port}"
    return "a peer"


_NO_ROOM: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)
_LEAVING: Final = "the server is shutting down; connect again in a while"
