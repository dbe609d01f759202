"""WebSocket messages over Trio streams: in memory, over TCP, over TLS; whole, cut and hostile."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode

from replication.errors import UsageError
from replication.limits import CLOSE_TIMEOUT_S, CONNECT_TIMEOUT_S, FRAME_BYTES_MAX
from replication.net.websocket import DisconnectedError, WebSocket, accept, address, connect

PLACE = address("ws://memory:1/")
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: memory\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
PROTOCOL = b"Sec-WebSocket-Protocol: replication.v1\r\n"


class Dribble(trio.abc.Stream):
    """A stream that hands over at most ``most`` bytes at a time."""

    def __init__(self, stream: trio.abc.Stream, most: int) -> None:
        self._stream = stream
        self._most = most

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._stream.receive_some(min(max_bytes or self._most, self._most)))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        for first in range(0, len(data), self._most):
            await self._stream.send_all(data[first : first + self._most])

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def pair(
    ends: tuple[trio.abc.Stream, trio.abc.Stream] | None = None,
) -> tuple[WebSocket, WebSocket]:
    """An open connection in memory: (server's end, client's end)."""
    near, far = ends or trio.testing.memory_stream_pair()
    sockets: dict[str, WebSocket | None] = {}

    async def serve() -> None:
        sockets["server"] = await accept(near)

    async def opened(_host: str, _port: int) -> trio.abc.Stream:
        return far

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        sockets["client"] = await connect(PLACE, open_stream=opened)
    server, client = sockets["server"], sockets["client"]
    assert server is not None
    assert client is not None
    return server, client


async def next_message(socket: WebSocket) -> bytes:
    while not (messages := await socket.read()):
        pass
    [message] = messages
    return message


async def tcp_pair() -> tuple[WebSocket, WebSocket]:
    """The same over loopback."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    far = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
    near = await listener.accept()
    await listener.aclose()
    return await pair((near, far))


@asynccontextmanager
async def raw_client(
    *headers: bytes,
) -> AsyncIterator[tuple[trio.StapledStream, list[WebSocket | Exception | None]]]:
    """A raw client's stream, after its own request, and what the server's `accept` led to."""
    near, far = trio.testing.memory_stream_pair()
    outcome: list[WebSocket | Exception | None] = []

    async def serve() -> None:
        try:
            outcome.append(await accept(near))
        except DisconnectedError as error:
            outcome.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        if headers:
            await far.send_all(b"".join(headers) + b"\r\n")
        yield far, outcome
        await far.aclose()


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([bytes(chunk) async for chunk in stream])


# -- without waiting -----------------------------------------------------------------------------
async def test_what_finds_no_room_goes_out_with_the_next_send() -> None:
    server, client = await tcp_pair()
    sent = []
    while not server.unsent:
        sent.append(os.urandom(100_000))
        assert server.send_now([sent[-1]])
        assert len(sent) < 1000, "there is always room"
    assert not server.send_now([b"not yet"]), "nothing overtakes what is half sent"
    received: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.send, b"last")
        while len(received) <= len(sent):
            received += await client.read()
    assert received == [*sent, b"last"]
    assert not server.unsent
    assert server.send_now([b"again", b"and again"])
    while len(received) < len(sent) + 3:
        received += await client.read()
    assert received[-2:] == [b"again", b"and again"]
    for socket in (server, client):
        await trio.aclose_forcefully(socket._stream)
    assert not server.send_now([b"gone"]) or server.unsent
    with pytest.raises(DisconnectedError):
        await server.send()


async def test_streams_that_are_no_sockets_have_to_be_waited_for() -> None:
    server, client = await pair()
    assert not server.send_now([b"x"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.send, b"y")
        assert await next_message(client) == b"y"


# -- messages --------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 3_000_000])
async def test_messages_of_all_sizes_both_ways(size: int) -> None:
    server, client = await pair()
    data = os.urandom(size)
    for source, target in ((server, client), (client, server)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.send, data)
            assert await next_message(target) == data


@settings(max_examples=30)
@given(messages=st.lists(st.binary(max_size=300), min_size=1, max_size=5), most=st.integers(1, 40))
async def test_bytes_may_come_in_any_pieces(messages: list[bytes], most: int) -> None:
    near, far = trio.testing.memory_stream_pair()
    server, client = await pair((Dribble(near, most), Dribble(far, most)))
    for source, target in ((server, client), (client, server)):
        await source.send(*messages)
        got: list[bytes] = []
        while len(got) < len(messages):
            got += await target.read()
        assert got == messages


async def test_many_senders_do_not_mix_their_bytes() -> None:
    server, client = await pair()
    sent = [bytes([number]) * (number * 997) for number in range(50)]
    got: list[bytes] = []
    async with trio.open_nursery() as nursery:
        for message in sent:
            nursery.start_soon(client.send, message)
        while len(got) < len(sent):
            got += await server.read()
    assert sorted(got) == sorted(sent)


async def test_fragments_become_one_message_and_pings_between_them_are_answered() -> None:
    async with raw_client(UPGRADE, PROTOCOL) as (stream, outcome):
        assert b"101 Switching" in await stream.receive_some()
        [server] = outcome
        assert isinstance(server, WebSocket)
        frames = [
            Frame(Opcode.BINARY, b"one ", fin=False),
            Frame(Opcode.PING, b"there?"),
            Frame(Opcode.CONT, b"", fin=False),
            Frame(Opcode.CONT, b"message"),
        ]
        await stream.send_all(b"".join(frame.serialize(mask=True) for frame in frames))
        assert await next_message(server) == b"one message"
        assert await stream.receive_some() == Frame(Opcode.PONG, b"there?").serialize(mask=False)


def oversized_at_once() -> list[bytes]:
    # The length alone is enough: nothing of the payload has to come.
    return [b"\x82\xff" + (FRAME_BYTES_MAX + 1).to_bytes(8, "big") + bytes(4)]


def oversized_in_pieces() -> list[bytes]:
    piece = bytes(1024 * 1024)
    count = FRAME_BYTES_MAX // len(piece) + 1
    first = Frame(Opcode.BINARY, piece, fin=False).serialize(mask=True)
    more = Frame(Opcode.CONT, piece, fin=False).serialize(mask=True)
    return [first, *[more] * (count - 1)]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (oversized_at_once, 1009),
        (oversized_in_pieces, 1009),
        (lambda: [Frame(Opcode.TEXT, b"hello").serialize(mask=True)], 1003),
        (lambda: [Frame(Opcode.BINARY, b"not masked").serialize(mask=False)], 1002),
        (lambda: [Frame(Opcode.CONT, b"of nothing").serialize(mask=True)], 1002),
        (lambda: [b"\xff" * 20], 1002),
    ],
)
async def test_who_breaks_the_protocol_is_told_how(
    frames: Callable[[], list[bytes]], code: int
) -> None:
    async with raw_client(UPGRADE, PROTOCOL) as (stream, outcome):
        assert b"101 Switching" in await stream.receive_some()
        [server] = outcome
        assert isinstance(server, WebSocket)
        answer = b""

        async def serve() -> None:
            with pytest.raises(DisconnectedError):
                await next_message(server)
            await server.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            for data in frames():
                await stream.send_all(data)
            answer = await read_all(stream)
            await stream.aclose()
        assert answer[0] == 0x88
        assert Close.parse(answer[2:]).code == code


# -- ends ------------------------------------------------------------------------------------------
async def test_a_close_is_answered_and_its_reason_is_told() -> None:
    for side in (0, 1):
        ends = await pair()
        source, target = ends[side], ends[1 - side]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.close, 1001, "going home")
            with pytest.raises(DisconnectedError, match="going home") as caught:
                await target.read()
            assert caught.value.kind == "lost"
            await target.close()
        for end in ends:
            with pytest.raises(DisconnectedError):
                await end.send(b"too late")
            with pytest.raises(DisconnectedError):
                await end.read()
            await end.close()


async def test_a_cut_is_told() -> None:
    near, far = trio.testing.memory_stream_pair()
    server, _ = await pair((near, far))
    await trio.aclose_forcefully(far)
    with pytest.raises(DisconnectedError, match="cut"):
        await server.read()
    with pytest.raises(DisconnectedError):
        await server.send(b"anyone?")


async def test_messages_before_a_close_are_not_lost() -> None:
    server, client = await pair()
    await client.send(b"last words")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.close)
        assert await next_message(server) == b"last words"
        with pytest.raises(DisconnectedError):
            await server.read()
        await server.close()


async def test_closing_does_not_wait_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    server, _ = await pair()
    start = autojump_clock.current_time()
    await server.close()
    assert autojump_clock.current_time() - start == pytest.approx(CLOSE_TIMEOUT_S)


async def test_closing_does_not_read_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    near, far = trio.testing.memory_stream_pair()
    server, client = await pair((near, far))

    async def talk() -> None:
        while True:
            try:
                await client.send(bytes(1000))
            except DisconnectedError:
                return
            await trio.sleep(0.01)

    start = autojump_clock.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        await server.close()
        assert autojump_clock.current_time() - start == pytest.approx(CLOSE_TIMEOUT_S)


async def test_a_cancelled_send_breaks_the_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    near, far = trio.testing.lockstep_stream_pair()
    server, _ = await pair((near, far))
    start = autojump_clock.current_time()
    with trio.move_on_at(start + 1) as scope:
        await server.send(bytes(100))  # nobody reads
    assert scope.cancelled_caught
    with pytest.raises(DisconnectedError, match="broke"):
        await server.send(b"half a frame came before this")
    await server.close()


# -- handshakes ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"200 OK"),
        (b"GET /health?verbose HTTP/1.1\r\nHost: x\r\n", b"200 OK"),
        (b"HEAD /health HTTP/1.1\r\nHost: x\r\n", b"200 OK"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"426 Upgrade Required"),
        (b"GET /secret HTTP/1.1\r\nHost: x\r\n", b"404 Not Found"),
        (b"PUT /health HTTP/1.1\r\nHost: x\r\n", b"405 Method Not Allowed"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 20000 + b"\r\n", b"431 "),
        (b"GET /" + b"y" * 20000 + b" HTTP/1.1\r\n", b"414 "),
        (UPGRADE, b"400 Bad Request"),
        (UPGRADE + b"Sec-WebSocket-Protocol: other.v1\r\n", b"400 Bad Request"),
        (UPGRADE.replace(b"13", b"12") + PROTOCOL, b"400 Bad Request"),
        (UPGRADE.replace(b"GET", b"PUT") + PROTOCOL, b"405 Method Not Allowed"),
        (b"SSH-2.0-OpenSSH_9.2", b"400 Bad Request"),
        (bytes(range(256)) * 40, b"400 Bad Request"),
    ],
)
async def test_http_that_is_no_websocket(request_line: bytes, status: bytes) -> None:
    async with raw_client(request_line) as (stream, outcome):
        answer = await read_all(stream)
        assert answer.startswith(b"HTTP/1.1 " + status)
        if request_line.startswith(b"HEAD"):
            assert answer.endswith(b"\r\n\r\n")
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert outcome == [None] or isinstance(outcome[0], DisconnectedError)


async def test_compression_is_declined() -> None:
    offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    async with raw_client(UPGRADE, PROTOCOL, offer) as (stream, _):
        assert b"xtensions" not in await stream.receive_some()


@pytest.mark.parametrize("early", [b"\x82\x80" + bytes(4), b"\x88\x80" + bytes(4), b"\xff\xff"])
async def test_frames_before_the_handshake_are_refused(early: bytes) -> None:
    async with raw_client() as (stream, outcome):
        await stream.send_all(UPGRADE + PROTOCOL + b"\r\n" + early)
        assert b"101" not in await read_all(stream)
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(outcome[0], DisconnectedError)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
async def test_a_server_that_is_none_of_ours(answer: bytes) -> None:
    near, far = trio.testing.memory_stream_pair()

    async def opened(_host: str, _port: int) -> trio.abc.Stream:
        return far

    async def serve() -> None:
        await near.receive_some()
        await near.send_all(answer + b"\r\n")
        await near.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(DisconnectedError, match="memory:1") as caught:
            await connect(PLACE, open_stream=opened)
        assert caught.value.kind == "handshake"


async def test_a_silent_server_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    near, far = trio.testing.memory_stream_pair()

    async def opened(_host: str, _port: int) -> trio.abc.Stream:
        return far

    start = autojump_clock.current_time()
    with pytest.raises(DisconnectedError, match=f"within {CONNECT_TIMEOUT_S:.0f} s") as caught:
        await connect(PLACE, open_stream=opened)
    assert caught.value.kind == "connect"
    assert autojump_clock.current_time() - start == pytest.approx(CONNECT_TIMEOUT_S)
    assert await near.receive_some()
    assert await near.receive_some() == b"", "the client's end is closed"


async def test_nobody_listens() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(DisconnectedError, match=f"127.0.0.1:{port}.*refused") as caught:
        await connect(address(f"ws://127.0.0.1:{port}"))
    assert caught.value.kind == "connect"


@pytest.mark.parametrize("url", ["", "http://x/", "ws://", "ws://user:pw@x/", "x:1", "ws://x:y/"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError):
        address(url)


# -- TCP and TLS -----------------------------------------------------------------------------------
@asynccontextmanager
async def echo_server(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A port on which messages come back."""

    async def serve(stream: trio.abc.Stream) -> None:
        try:
            socket = await accept(stream)
            if socket is None:
                return
            try:
                while True:
                    await socket.send(*await socket.read())
            finally:
                await socket.close()
        except DisconnectedError:
            await trio.aclose_forcefully(stream)

    def wrapped(stream: trio.SocketStream) -> Awaitable[None]:
        if context is None:
            return serve(stream)
        return serve(trio.SSLStream(stream, context, server_side=True, https_compatible=True))

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(
            lambda task_status: trio.serve_tcp(
                wrapped, 0, host="127.0.0.1", task_status=task_status
            )
        )
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def authority() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS contexts of a server at 127.0.0.1 and of a client that trusts it."""
    ca = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client


async def test_echo_over_tcp() -> None:
    async with echo_server(None) as port:
        socket = await connect(address(f"ws://127.0.0.1:{port}/any/path"))
        await socket.send(b"one", bytes(200_000))
        assert await next_message(socket) == b"one"
        assert await next_message(socket) == bytes(200_000)
        await socket.close()


async def test_echo_over_tls() -> None:
    server, client = authority()
    async with echo_server(server) as port:
        place = address(f"wss://127.0.0.1:{port}")
        socket = await connect(place, ssl_context=client)
        await socket.send(bytes(200_000))
        assert await next_message(socket) == bytes(200_000)
        await socket.close()
        # A certificate nobody here trusts, and a plain client at a TLS port.
        with pytest.raises(DisconnectedError, match="certificate") as caught:
            await connect(place)
        assert caught.value.kind == "handshake"
        with pytest.raises(DisconnectedError):
            await connect(address(f"ws://127.0.0.1:{port}"))


async def test_tls_client_at_a_plain_port() -> None:
    _, client = authority()
    async with echo_server(None) as port:
        with pytest.raises(DisconnectedError):
            await connect(address(f"wss://127.0.0.1:{port}"), ssl_context=client)
