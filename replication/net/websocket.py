"""WebSocket messages over any Trio stream: `websockets` decides, this file moves the bytes.

Rule 1: binary messages only, no compression, at most FRAME_BYTES_MAX bytes however fragmented; the
        subprotocol is `replication.v1` and a peer without it is refused.
Rule 2: one task reads; any task may send, one after another. Sending waits until the bytes are
        with the operating system: that is the back-pressure.
Rule 3: every end of a connection is a DisconnectedError that says why. Closing is bounded in time,
        and reads what the peer still sends, so that a reset does not swallow our last words.
Rule 4: a connection is not usable after a send was cancelled half-way, and says so.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import SEND_EOF, Event, State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from replication.errors import ReplicationError, UsageError
from replication.limits import CLOSE_TIMEOUT_S, CONNECT_TIMEOUT_S, FRAME_BYTES_MAX
from replication.net.origins import HERE, Origins

SUBPROTOCOL: Final = Subprotocol("replication.v1")
#: Bytes asked of the operating system at a time.
READ_BYTES: Final = 64 * 1024
#: What a peer that does not speak HTTP gets.
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

OpenStream: TypeAlias = Callable[[str, int], Awaitable[trio.abc.Stream]]


class DisconnectedError(ReplicationError):
    """There is no connection, or there is none any more.

    Attributes:
        kind: "connect" where there was none, "handshake" where the peer is no server of ours,
            "lost" where it ended.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Address(NamedTuple):
    """Where a server is. `text` is what the user wrote."""

    text: str
    uri: WebSocketURI

    @property
    def secure(self) -> bool:
        """Whether it is a wss address."""
        return self.uri.secure

    @property
    def place(self) -> str:
        """host:port, for messages."""
        return f"{self.uri.host}:{self.uri.port}"


def address(url: str) -> Address:
    """The address of ``url``, for example ``wss://sync.example:443/``.

    Raises:
        UsageError: not a ws:// or wss:// address, or one that holds a password.
    """
    try:
        uri = parse_uri(url)
    except (InvalidURI, ValueError) as error:
        raise UsageError(f"{url!r} is no ws:// or wss:// address: {error}") from None
    if uri.user_info is not None:
        raise UsageError("a server address holds no user or password; tokens say who one is")
    return Address(url, uri)


class WebSocket:
    """An open connection, either end.

    Attributes:
        received: how many bytes the peer has sent since the handshake.
    """

    __slots__ = ("_broken", "_left", "_lock", "_partial", "_protocol", "_stream", "received")

    def __init__(self, stream: trio.abc.Stream, protocol: ServerProtocol | ClientProtocol) -> None:
        self._stream = stream
        self._protocol = protocol
        self._lock = trio.Lock()
        self._partial: bytearray | None = None
        self._broken = False
        #: What `send_now` began to send.
        self._left = b""
        self.received = 0

    async def send(self, *messages: bytes) -> None:
        """Send messages, in order, nothing of others between them.

        Raises:
            DisconnectedError: it ended, or was broken by a cancelled send.
        """
        async with self._lock:
            if self._broken or self._protocol.state is not State.OPEN:
                raise self._lost()
            for message in messages:
                self._protocol.send_binary(message)
            await self._flush()

    def send_now(self, messages: list[bytes]) -> bool:
        """Send messages without waiting, where that can be done; False: nothing was sent.

        What the operating system has no room for is `unsent`, and goes out with the next `send`.
        """
        stream = self._stream
        busy = self._lock.locked() or self._broken or self._protocol.state is not State.OPEN
        if busy or self._left or not isinstance(stream, trio.SocketStream):
            return False
        for message in messages:
            self._protocol.send_binary(message)
        data = b"".join(self._protocol.data_to_send())
        written = 0
        with suppress(OSError):  # whatever it is, `send` runs into it
            written = os.write(stream.socket.fileno(), data)
        self._left = data[written:]
        return True

    @property
    def unsent(self) -> bool:
        """Whether `send` is to be called, with nothing new."""
        return bool(self._left)

    async def writable(self) -> None:
        """Wait until the peer has taken nearly all that was sent. Never raises."""
        async with self._lock:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._stream.wait_send_all_might_not_block()

    async def read(self) -> list[bytes]:
        """Wait for bytes; the messages they completed, often one, sometimes none.

        Raises:
            DisconnectedError: the peer closed, vanished, or broke the protocol (and was told).
        """
        if self._protocol.state is not State.OPEN:
            raise self._lost()
        try:
            data = await self._stream.receive_some(READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise DisconnectedError("lost", f"the connection broke: {_cause(error)}") from error
        self.received += len(data)
        self._feed(bytes(data))
        messages = self._complete(self._protocol.events_received())
        if self._protocol.writes or self._left:
            async with self._lock:
                await self._flush()
        if not messages and self._protocol.state is not State.OPEN:
            raise self._lost()
        return messages

    async def close(
        self,
        code: int = CloseCode.NORMAL_CLOSURE,
        reason: str = "",
        *,
        last: Iterable[bytes] = (),
        read_max: int = FRAME_BYTES_MAX,
    ) -> None:
        """Say goodbye, wait a little for the peer's, and close. Never raises; idempotent.

        Called by the task that reads, or when it reads no more.

        Args:
            last: messages to send before, if that is still possible.
            read_max: bytes among which to look for the peer's goodbye; what comes behind them is
                only taken off the wire, so that a reset does not swallow our last words.
        """
        try:
            with trio.move_on_after(CLOSE_TIMEOUT_S):
                await self._goodbye(code, reason, last)
                await self._hear_goodbye(self.received + read_max)
        except (DisconnectedError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _goodbye(self, code: int, reason: str, last: Iterable[bytes]) -> None:
        async with self._lock:
            if self._broken:
                return
            if self._protocol.state is State.OPEN:
                for message in last:
                    self._protocol.send_binary(message)
                self._protocol.send_close(code, _short(reason))
            elif self._protocol.state is State.CONNECTING and not self._protocol.eof_sent:
                return  # nothing was agreed on, nothing can be said
            await self._flush()

    async def _hear_goodbye(self, received_max: int) -> None:
        if self._broken or self._protocol.state is State.CONNECTING:
            return
        while self._protocol.close_rcvd is None and self._protocol.state is not State.CLOSED:
            data = await self._stream.receive_some(READ_BYTES)
            self.received += len(data)
            if self.received <= received_max or not data:
                self._feed(bytes(data))
                self._protocol.events_received()

    # -- inside --------------------------------------------------------------------------------
    def _feed(self, data: bytes) -> None:
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()

    def _complete(self, events: list[Event]) -> list[bytes]:
        """The messages among the events; a text message fails the connection."""
        messages = []
        for frame in events:
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.BINARY and frame.fin:
                messages.append(bytes(frame.data))
            elif frame.opcode is Opcode.BINARY:
                self._partial = bytearray(frame.data)
            elif frame.opcode is Opcode.CONT and self._partial is not None:
                self._partial += frame.data
                if frame.fin:
                    messages.append(bytes(self._partial))
                    self._partial = None
            elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
                if self._protocol.state is State.OPEN:
                    self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "messages are binary, not text")
                return messages
        return messages

    async def _flush(self) -> None:
        """Send what the protocol has written. Holding the lock."""
        writes = self._protocol.data_to_send()
        eof = SEND_EOF in writes
        data = writes[0] if len(writes) == 1 else b"".join(writes)
        if self._left:
            data, self._left = self._left + data, b""
        try:
            if data:
                await self._stream.send_all(data)
            if eof and isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._broken = True
            raise DisconnectedError("lost", f"the connection broke: {_cause(error)}") from error
        except BaseException:
            self._broken = True
            raise

    def _lost(self) -> DisconnectedError:
        protocol = self._protocol
        if self._broken:
            return DisconnectedError("lost", "the connection broke while something was being sent")
        if protocol.close_rcvd is not None:
            close = protocol.close_rcvd
            return DisconnectedError("lost", f"the peer closed the connection: {close}")
        if protocol.close_sent is not None:
            return DisconnectedError(
                "lost", f"this end closed the connection: {protocol.close_sent}"
            )
        return DisconnectedError("lost", "the connection was cut")


# -- the server's handshake ------------------------------------------------------------------------
async def accept(stream: trio.abc.Stream, origins: Origins = HERE) -> WebSocket | None:
    """Answer the HTTP request on a new stream; None if it was no WebSocket's.

    `GET /health` is answered with 200; any other request that is no upgrade with 426 at `/`, with
    404 elsewhere. An upgrade is welcome at any path, for the sake of proxies.

    Args:
        origins: the web pages that may connect; others are answered with 403.

    Raises:
        DisconnectedError: the peer went away or speaks no HTTP.
    """
    protocol = ServerProtocol(subprotocols=[SUBPROTOCOL], max_size=FRAME_BYTES_MAX)
    socket = WebSocket(stream, protocol)
    events: list[Event] = []
    while not events and not protocol.eof_sent:
        try:
            data = await stream.receive_some(READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise DisconnectedError("lost", f"no handshake: {_cause(error)}") from error
        socket._feed(bytes(data))
        events = protocol.events_received()
    if not events or protocol.eof_sent or len(events) > 1:
        # No HTTP, or frames before the handshake: neither can be answered by the protocol.
        if not events and not protocol.writes[0]:
            protocol.writes.insert(0, _BAD_REQUEST)
        await socket.close()
        raise DisconnectedError("handshake", "the peer sent no WebSocket handshake")
    request = events[0]
    assert isinstance(request, Request)
    response = _answer(protocol, request, origins)
    protocol.send_response(response)
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        await socket.close()
        return None
    await socket._flush()
    return socket


def _answer(protocol: ServerProtocol, request: Request, origins: Origins) -> Response:
    if "Upgrade" in request.headers:
        if not origins.welcome(request.headers.get_all("Origin")):
            return protocol.reject(HTTPStatus.FORBIDDEN, "not from a page of this origin\n")
        return protocol.accept(request)
    path = request.path.partition("?")[0]
    if request.method not in ("GET", "HEAD"):
        response = protocol.reject(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered here\n")
    elif path == "/health":
        response = protocol.reject(HTTPStatus.OK, "ok\n")
    elif path == "/":
        response = protocol.reject(
            HTTPStatus.UPGRADE_REQUIRED, f"connect with a WebSocket, subprotocol {SUBPROTOCOL}\n"
        )
        response.headers["Upgrade"] = "websocket"
    else:
        response = protocol.reject(HTTPStatus.NOT_FOUND, "there is /health, and WebSockets\n")
    if request.method == "HEAD":
        response.body = b""
    return response


# -- the client's handshake ------------------------------------------------------------------------
async def connect(
    place: Address,
    *,
    ssl_context: ssl.SSLContext | None = None,
    open_stream: OpenStream = trio.open_tcp_stream,
) -> WebSocket:
    """Connect to a server, within CONNECT_TIMEOUT_S.

    Args:
        ssl_context: for wss addresses; None: the system's certificate authorities.

    Raises:
        DisconnectedError: it can't be reached ("connect"), or is no server of ours ("handshake").
    """
    try:
        with trio.fail_after(CONNECT_TIMEOUT_S):
            return await _connect(place, ssl_context, open_stream)
    except trio.TooSlowError:
        text = f"{place.place} did not answer within {CONNECT_TIMEOUT_S:.0f} s"
        raise DisconnectedError("connect", text) from None


async def _connect(
    place: Address, ssl_context: ssl.SSLContext | None, open_stream: OpenStream
) -> WebSocket:
    try:
        stream = await open_stream(place.uri.host, place.uri.port)
    except OSError as error:
        text = f"can't connect to {place.place}: {_cause(error)}"
        raise DisconnectedError("connect", text) from error
    if place.secure:
        context = ssl_context or ssl.create_default_context()
        # Ends are told by WebSocket's own close, so a missing close of TLS is no truncation.
        stream = trio.SSLStream(
            stream, context, server_hostname=place.uri.host, https_compatible=True
        )
    protocol = ClientProtocol(place.uri, subprotocols=[SUBPROTOCOL], max_size=FRAME_BYTES_MAX)
    socket = WebSocket(stream, protocol)
    try:
        await _greet(socket, protocol, stream)
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, (trio.BrokenResourceError, DisconnectedError, InvalidHandshake)):
            text = f"no WebSocket with {place.place}: {_cause(error)}"
            raise DisconnectedError("handshake", text) from error
        raise
    return socket


async def _greet(socket: WebSocket, protocol: ClientProtocol, stream: trio.abc.Stream) -> None:
    protocol.send_request(protocol.connect())
    await socket._flush()
    events: list[Event] = []
    while not events:
        socket._feed(bytes(await stream.receive_some(READ_BYTES)))
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc
        events = protocol.events_received()
    if protocol.subprotocol != SUBPROTOCOL:
        raise DisconnectedError("handshake", f"the server does not speak {SUBPROTOCOL}")
    if len(events) > 1:
        raise DisconnectedError("handshake", "the server spoke before it was spoken to")


def _cause(error: BaseException | None) -> str:
    """The deepest reason of an error that says something."""
    text = ""
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[-1]
        text = str(error) or text
        error = error.__cause__ or error.__context__
    return text or "no reason given"


def _short(reason: str) -> str:
    """A reason cut to what fits a close frame."""
    return reason.encode()[:120].decode(errors="ignore")
