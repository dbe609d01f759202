"""Both ends of a connection: negotiation, routing, and what ends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.errors import ErrorCode
from replication.limits import FRAME_BYTES_MAX, SESSIONS_PER_CONNECTION_MAX
from replication.protocol.connection import (
    ClientConnection,
    Deliver,
    Event,
    HangUp,
    Ready,
    Reply,
    ServerConnection,
)
from replication.protocol.messages import (
    MESSAGES,
    VERSIONS,
    Ack,
    Assign,
    Bind,
    Download,
    Error,
    Hello,
    Ident,
    Mark,
    Message,
    Nack,
    Partition,
    Ping,
    Pong,
    Progress,
    Query,
    QueryState,
    Token,
    Unbind,
    Unbound,
    Upload,
    encode,
)

DIGEST = bytes(16)
#: One legal message of every kind, for a session.
SAMPLES: dict[type[Message], Callable[[int], Message]] = {
    Hello: lambda n: Hello(n, [1], "sample"),
    Bind: lambda n: Bind(n, "books", "dev:ada", 0, 0),
    Assign: lambda n: Assign(n, 2, 7),
    Ident: lambda n: Ident(n, 2, 0, 0, 0, DIGEST, 0, 0, {}),
    Token: lambda n: Token(n, "dev:ada"),
    Query: lambda n: Query(n, 1, {"Book": "TRUEPREDICATE"}, 0, b""),
    Upload: lambda n: Upload(n, 1, 0, b"\x91\xc4\x00"),
    Ack: lambda n: Ack(n, 1, 1, [], []),
    Nack: lambda n: Nack(n, 1, ErrorCode.CLOCK_SKEW, 0, "late"),
    Download: lambda n: Download(n, 0, 1, 5, 0, True, 0, b"", 1.0, 0, b"\x90"),
    Progress: lambda n: Progress(n, 1),
    QueryState: lambda n: QueryState(n, 1, ErrorCode.BAD_QUERY, "no"),
    Mark: lambda n: Mark(n, 1),
    Error: lambda n: Error(n, ErrorCode.SUPERSEDED, "gone"),
    Unbind: lambda n: Unbind(n),
    Unbound: lambda n: Unbound(n),
    Ping: lambda n: Ping(n, 3),
    Pong: lambda n: Pong(n, 3),
    Partition: lambda n: Partition(n, "owner", False),
}
CONNECTION = (Hello, Ping, Pong)


def shaken() -> tuple[ServerConnection, ClientConnection]:
    """Two ends that have said HELLO."""
    server, client = ServerConnection("server"), ClientConnection("client")
    [hello] = client.start()
    assert isinstance(hello, Reply)
    reply, ready = server.receive(encode(hello.message))
    assert isinstance(reply, Reply)
    assert ready == Ready(1, "client")
    assert client.receive(encode(reply.message)) == [Ready(1, "server")]
    return server, client


def bound(server: ServerConnection, number: int) -> None:
    message = SAMPLES[Bind](number)
    assert server.receive(encode(message)) == [Deliver(message)]


def hung_up(events: list[Event], code: ErrorCode, *words: str) -> None:
    """The connection ended by our doing, and the peer was told why."""
    reply, hang_up = events
    assert isinstance(reply, Reply)
    assert isinstance(reply.message, Error)
    assert isinstance(hang_up, HangUp)
    assert hang_up.ours
    assert (reply.message.session, reply.message.code, hang_up.code) == (0, code, code)
    assert reply.message.message == hang_up.message
    for word in words:
        assert word in hang_up.message


def test_samples_are_all_messages() -> None:
    assert set(SAMPLES) == set(MESSAGES)


@given(st.lists(st.integers(0, 9), max_size=5))
def test_version_negotiation(versions: list[int]) -> None:
    server = ServerConnection("server")
    events = server.receive(encode(Hello(0, versions, "other")))
    common = [version for version in VERSIONS if version in versions]
    if common:
        assert events == [Reply(Hello(0, [common[0]], "server")), Ready(common[0], "other")]
    else:
        hung_up(events, ErrorCode.VERSION_UNSUPPORTED, ", ".join(map(str, versions)))


@pytest.mark.parametrize("versions", [[], [2], [1, 1], [1, 2]])
def test_client_refuses_what_it_does_not_speak(versions: list[int]) -> None:
    client = ClientConnection("client")
    client.start()
    events = client.receive(encode(Hello(0, versions, "odd")))
    hung_up(events, ErrorCode.VERSION_UNSUPPORTED)


@pytest.mark.parametrize("kind", [kind for kind in MESSAGES if kind not in (Hello, Error)])
@pytest.mark.parametrize("number", [0, 1])
def test_nothing_comes_before_hello(kind: type[Message], number: int) -> None:
    for end in (ServerConnection("server"), ClientConnection("client")):
        events = end.receive(encode(SAMPLES[kind](number)))
        hung_up(events, ErrorCode.BAD_MESSAGE, kind.__name__.upper())


def test_error_before_hello_ends_the_connection() -> None:
    client = ClientConnection("client")
    client.start()
    events = client.receive(encode(Error(0, ErrorCode.SHUTTING_DOWN, "bye")))
    assert events == [HangUp(ErrorCode.SHUTTING_DOWN, "bye", ours=False)]
    assert client.over


def test_unknown_error_codes_count_as_internal() -> None:
    server, _ = shaken()
    events = server.receive(encode(Error(0, 9999, "from the future")))
    assert events == [HangUp(ErrorCode.INTERNAL, "from the future", ours=False)]


@pytest.mark.parametrize("kind", MESSAGES)
def test_session_zero_is_the_connection(kind: type[Message]) -> None:
    for end in shaken():
        events = end.receive(encode(SAMPLES[kind](0)))
        if kind is Ping:
            assert events == [Reply(Pong(0, 3))]
        elif kind is Error:
            assert events == [HangUp(ErrorCode.SUPERSEDED, "gone", ours=False)]
        else:
            hung_up(events, ErrorCode.BAD_MESSAGE, kind.__name__.upper())


@pytest.mark.parametrize("kind", CONNECTION)
def test_connection_messages_belong_to_session_zero(kind: type[Message]) -> None:
    server, client = shaken()
    bound(server, 1)
    client.open()
    for end in (server, client):
        hung_up(end.receive(encode(SAMPLES[kind](1))), ErrorCode.BAD_MESSAGE, "session 0")


@pytest.mark.parametrize("kind", [kind for kind in MESSAGES if kind not in CONNECTION])
def test_routing(kind: type[Message]) -> None:
    """CONN-6: delivered to a living session, ignored for a closed one, the end for an unknown."""
    message = SAMPLES[kind](1)
    server, client = shaken()
    if kind is not Bind:
        bound(server, 1)
        assert server.receive(encode(message)) == [Deliver(message)]
        server.closed(1)
        assert server.receive(encode(message)) == []
    assert client.open() == 1
    assert client.receive(encode(message)) == [Deliver(message)]
    client.closed(1)
    assert client.receive(encode(message)) == []
    for end in (server, client):
        events = end.receive(encode(SAMPLES[kind](2)))
        if kind is Bind and end is server:
            assert events == [Deliver(SAMPLES[kind](2))]
        else:
            hung_up(events, ErrorCode.BAD_MESSAGE, "session 2", "never bound")


def test_a_living_number_is_not_bound_again_and_a_closed_one_is() -> None:
    """CONN-3"""
    server, _ = shaken()
    bound(server, 5)
    server.closed(5)
    bound(server, 5)
    hung_up(server.receive(encode(SAMPLES[Bind](5))), ErrorCode.BAD_MESSAGE, "session 5", "already")


def test_sessions_are_bounded() -> None:
    server, client = shaken()
    for _ in range(SESSIONS_PER_CONNECTION_MAX):
        assert not client.full
        bound(server, client.open())
    assert client.full
    server.closed(17)
    client.closed(17)
    bound(server, client.open())
    events = server.receive(encode(SAMPLES[Bind](client.open())))
    hung_up(events, ErrorCode.LIMIT_EXCEEDED, str(SESSIONS_PER_CONNECTION_MAX))


def test_closed_numbers_do_not_pile_up() -> None:
    """A client that binds and unbinds for ever costs the server no memory."""
    server, client = shaken()
    for _ in range(3 * SESSIONS_PER_CONNECTION_MAX):
        number = client.open()
        bound(server, number)
        server.closed(number)
        client.closed(number)
    assert len(server._closed) == SESSIONS_PER_CONNECTION_MAX
    assert not server.live
    assert not client.live


def test_a_number_that_was_bound_again_closed_last() -> None:
    server, _ = shaken()
    for number in (*range(1, SESSIONS_PER_CONNECTION_MAX + 1), 1, 5000):
        bound(server, number)
        server.closed(number)
    assert server.receive(encode(SAMPLES[Mark](1))) == []
    hung_up(server.receive(encode(SAMPLES[Mark](2))), ErrorCode.BAD_MESSAGE, "session 2")


@given(st.integers(0, 2**62))
def test_ping(payload: int) -> None:
    server, client = shaken()
    [ping] = client.ping(payload)
    assert client.awaiting_pong
    assert isinstance(ping, Reply)
    [pong] = server.receive(encode(ping.message))
    assert isinstance(pong, Reply)
    assert client.receive(encode(pong.message)) == []
    assert not client.awaiting_pong
    hung_up(client.receive(encode(pong.message)), ErrorCode.BAD_MESSAGE, str(payload))


def test_a_pong_with_another_payload_is_illegal() -> None:
    _, client = shaken()
    client.ping(1)
    hung_up(client.receive(encode(Pong(0, 2))), ErrorCode.BAD_MESSAGE, "PONG 2")


@given(st.binary(max_size=40))
def test_any_bytes_are_answered(data: bytes) -> None:
    for end in shaken():
        events = end.receive(data)
        if end.over:
            assert any(isinstance(event, HangUp) for event in events)


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (b"", ErrorCode.BAD_SYNTAX, ""),
        (b"\x92\x63\x00", ErrorCode.BAD_SYNTAX, "99"),
        (b"\xc1", ErrorCode.BAD_SYNTAX, ""),
        (encode(Ping(0, 1)) + b"\x00", ErrorCode.BAD_SYNTAX, ""),
        (encode(Ping(0, 1))[:-1], ErrorCode.BAD_SYNTAX, ""),
        (b"\x93\x10\x00\xa1x", ErrorCode.BAD_SYNTAX, "payload"),
        (b"\xc4" * (FRAME_BYTES_MAX + 1), ErrorCode.LIMIT_EXCEEDED, str(FRAME_BYTES_MAX)),
    ],
)
def test_bad_frames(data: bytes, code: ErrorCode, word: str) -> None:
    for end in shaken():
        hung_up(end.receive(data), code, word)


def test_failed_says_it_once() -> None:
    server, _ = shaken()
    hung_up(server.failed(ErrorCode.INTERNAL, "x" * 10**6), ErrorCode.INTERNAL, "...")
    assert server.failed(ErrorCode.INTERNAL, "again") == []
