"""A server and those who would break it: who causes an error is told, nobody else notices."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from random import Random

import pytest
import trio
import trio.testing
from net_peers import Caller, host, start, until, wall_ms

from replication.clock import time_from_ms
from replication.errors import ErrorCode, SessionError
from replication.history.changeset import Changeset, ObjectDelta
from replication.history.changeset import encode as encode_changeset
from replication.limits import (
    FRAME_BYTES_MAX,
    HANDSHAKE_TIMEOUT_S,
    SILENCE_MAX_S,
    UPLOADS_IN_FLIGHT_MAX,
)
from replication.net import websocket
from replication.net.server import open_server
from replication.protocol.body import encode_changesets
from replication.protocol.messages import (
    Ack,
    Assign,
    Bind,
    Download,
    Error,
    Hello,
    Mark,
    Message,
    Nack,
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
from replication.server.host import Host
from replication.server.users import User

Connect = Callable[..., Awaitable[Caller]]


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.2)


@asynccontextmanager
async def serving(
    at: Host | None = None,
    pair: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]] = trio.testing.memory_stream_pair,
    *,
    wall: Callable[[], float] = time.time,
    timeout: float = 30.0,
) -> AsyncIterator[Connect]:
    """A server in memory; calling what is given connects to it and exchanges HELLO."""
    at = at or host(report=_report)
    ends: list[trio.abc.Stream] = []
    async with open_server(at, wall=wall) as server, trio.open_nursery() as nursery:

        async def connected(hello: Hello | None = None) -> Caller:
            near, far = pair()
            ends.append(far)
            nursery.start_soon(server.handle, near)
            caller = await Caller.over(far)
            if hello is None:
                await caller.hello()
            else:
                await caller.send(hello)
            return caller

        with trio.fail_after(timeout):
            yield connected
            for end in ends:
                await trio.aclose_forcefully(end)
    at.close()


def _report(error: Exception) -> None:
    logging.getLogger("replication.test").error("reported: %r", error)


@pytest.fixture(autouse=True)
def _our_errors(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing a peer does is an error of ours, but where a test makes one."""
    caplog.set_level(logging.WARNING)
    yield
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert bool(errors) == ("broken" in request.node.name), errors


BOOK = {"Book": {"key": "int", "properties": {"title": "string"}, "queryable": []}}


def changeset(ident: int, version: int, title: str = "Emma") -> bytes:
    """What a client file writes: it creates the book whose key is its own version."""
    time = time_from_ms(wall_ms()) + version
    delta = [1, 1, [], {0: [[time, ident, {"title": title}]]}]
    items = [ObjectDelta("Book", 1000 * ident + version, delta, True)]
    return encode_changeset(Changeset(time, 0, items, schema=BOOK))


def upload(number: int, ident: int, *versions: int, title: str = "Emma") -> Upload:
    changesets = [changeset(ident, version, title) for version in versions]
    return Upload(number, versions[0], *encode_changesets(changesets))


class Neighbour:
    """A connection that minds its own business while others misbehave."""

    def __init__(self, caller: Caller, ident: int) -> None:
        self._caller = caller
        self._ident = ident
        self._version = 0

    @classmethod
    async def next_door(cls, connect: Connect) -> Neighbour:
        caller = await connect()
        return cls(caller, (await caller.bind(1)).ident)

    async def is_well(self) -> None:
        """Uploads, is acknowledged, and passes a barrier."""
        self._version += 1
        await self._caller.send(upload(1, self._ident, self._version), Mark(1, self._version))
        assert (await self._caller.skip_to(Ack)).client_version == self._version
        assert (await self._caller.skip_to(Mark)).request == self._version


# -- what ends the connection ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("frame", "code", "word"),
    [
        (b"", ErrorCode.BAD_SYNTAX, ""),
        (b"garbage", ErrorCode.BAD_SYNTAX, ""),
        (b"\x91\x63", ErrorCode.BAD_SYNTAX, "99"),
        (encode(Ping(0, 1))[:-1], ErrorCode.BAD_SYNTAX, ""),
        (encode(Ping(0, 1)) + b"\x00", ErrorCode.BAD_SYNTAX, ""),
        (b"\x94\x00\x00\x91\x01\xa1x", ErrorCode.BAD_MESSAGE, "HELLO twice"),
        (encode(Bind(0, "books", "dev:x", 0, 0)), ErrorCode.BAD_MESSAGE, "session 0"),
        (encode(Mark(77, 1)), ErrorCode.BAD_MESSAGE, "session 77"),
        (encode(Pong(0, 1)), ErrorCode.BAD_MESSAGE, "PONG 1"),
        (encode(Bind(1, "x" * 100, "t" * 60_000, 0, 0)) * 2, ErrorCode.BAD_SYNTAX, ""),
    ],
)
async def test_a_frame_that_ends_the_connection(frame: bytes, code: ErrorCode, word: str) -> None:
    """ERR-3"""
    async with serving() as connect:
        neighbour = await Neighbour.next_door(connect)
        culprit = await connect()
        await culprit.bind(1)
        await culprit.socket.send(frame)
        error = (await culprit.until_closed())[-1]
        assert isinstance(error, Error)
        assert (error.session, error.code) == (0, code)
        assert word in error.message
        await neighbour.is_well()


async def test_no_common_version() -> None:
    async with serving() as connect:
        neighbour = await Neighbour.next_door(connect)
        culprit = await connect(Hello(0, [2, 3], "from the future"))
        [error] = await culprit.until_closed()
        assert isinstance(error, Error)
        assert (error.session, error.code) == (0, ErrorCode.VERSION_UNSUPPORTED)
        assert "2, 3" in error.message
        await neighbour.is_well()


async def test_a_frame_that_is_too_long_is_refused_by_its_length() -> None:
    async with serving() as connect:
        neighbour = await Neighbour.next_door(connect)
        culprit = await connect()
        stream = culprit.socket._stream
        await stream.send_all(b"\x82\xff" + (FRAME_BYTES_MAX + 1).to_bytes(8, "big") + bytes(4))
        with pytest.raises(websocket.DisconnectedError, match="1009"):
            await culprit.socket.read()
        await neighbour.is_well()


# -- what ends a session ---------------------------------------------------------------------------
SESSION_ERRORS: list[tuple[Message, ErrorCode, str]] = [
    (start(1, 2), ErrorCode.BAD_MESSAGE, "IDENT"),
    (upload(1, 2, 5), ErrorCode.BAD_MESSAGE, "client version 5"),
    (Upload(1, 0, 0, b"\x91\xc4\x00"), ErrorCode.BAD_MESSAGE, "client version 0"),
    (Upload(1, 1, 0, b"\xc1"), ErrorCode.BAD_SYNTAX, ""),
    (Upload(1, 1, 0, b"\x90"), ErrorCode.LIMIT_EXCEEDED, "0 changesets"),
    (Upload(1, 1, 1000, b"no zstd"), ErrorCode.BAD_SYNTAX, "zstd"),
    (Upload(1, 1, 0, b"\x91\xc4\x01\x90"), ErrorCode.BAD_CHANGESET, "changeset 1"),
    (upload(1, 2, 1), ErrorCode.BAD_CHANGESET, "changeset 1"),  # stamped by another file
    (Progress(1, 10**9), ErrorCode.BAD_MESSAGE, "1000000000"),
    (Query(1, 1, {}, 0, b""), ErrorCode.BAD_MESSAGE, "version 1"),
    (Token(1, "dev:somebody else"), ErrorCode.USER_MISMATCH, "somebody else"),
    (Token(1, "nonsense"), ErrorCode.TOKEN_INVALID, "only development tokens"),
    (Assign(1, 2, 3), ErrorCode.BAD_MESSAGE, "ASSIGN"),
    (Ack(1, 1, 1, [], []), ErrorCode.BAD_MESSAGE, "ACK"),
    (Nack(1, 1, 208, 0, ""), ErrorCode.BAD_MESSAGE, "NACK"),
    (Download(1, 0, 1, 5, 0, True, 0, b"", 1.0, 0, b"\x90"), ErrorCode.BAD_MESSAGE, "DOWNLOAD"),
    (QueryState(1, 1, 210, ""), ErrorCode.BAD_MESSAGE, "QUERYSTATE"),
    (Unbound(1), ErrorCode.BAD_MESSAGE, "UNBOUND"),
]


@pytest.mark.parametrize(("message", "code", "word"), SESSION_ERRORS)
async def test_a_message_that_ends_its_session(
    message: Message, code: ErrorCode, word: str
) -> None:
    """ERR-4"""
    async with serving() as connect:
        neighbour = await Neighbour.next_door(connect)
        culprit = await connect()
        await culprit.bind(1)
        await culprit.bind(2)
        await culprit.send(message)
        error = await culprit.skip_to(Error)
        assert (error.session, error.code) == (1, code)
        assert word in error.message
        # What was still on its way is ignored; the other session goes on; the number is free.
        await culprit.send(Mark(1, 1), Mark(2, 2))
        assert await culprit.skip_to(Mark) == Mark(2, 2)
        await culprit.bind(1)
        await neighbour.is_well()


async def test_before_ident_nothing_else_is_taken() -> None:
    async with serving() as connect:
        culprit = await connect()
        for number, message in enumerate(
            (upload(1, 2, 1), Query(1, 1, {}, 0, b""), Mark(1, 1), Progress(1, 0)), start=1
        ):
            message = replace(message, session=number)
            await culprit.send(Bind(number, "books", "dev:x", 0, 0), message)
            await culprit.receive(Assign)
            error = await culprit.receive(Error)
            assert (error.session, error.code) == (number, ErrorCode.BAD_MESSAGE)
        await (await Neighbour.next_door(connect)).is_well()


@pytest.mark.parametrize(
    ("namespace", "token", "code"),
    [
        ("forbidden", "dev:x", ErrorCode.BAD_NAMESPACE),
        ("", "dev:x", ErrorCode.BAD_NAMESPACE),
        ("../secrets", "dev:x", ErrorCode.BAD_NAMESPACE),
        ("books", "", ErrorCode.TOKEN_INVALID),
        ("books", "x.y.z", ErrorCode.TOKEN_INVALID),
    ],
)
async def test_a_bind_that_is_refused(namespace: str, token: str, code: ErrorCode) -> None:
    async with serving() as connect:
        culprit = await connect()
        await culprit.send(Bind(1, namespace, token, 0, 0))
        error = await culprit.receive(Error)
        assert (error.session, error.code) == (1, code)
        await culprit.bind(1)


async def test_identities_are_not_guessed_or_shared() -> None:
    async with serving() as connect:
        owner = await connect()
        file = await owner.bind(1)
        other = await connect()
        for number, (bind, code) in enumerate(
            [
                (Bind(0, "books", "dev:caller", file.ident, file.salt ^ 1), 203),
                (Bind(0, "books", "dev:caller", 99, file.salt), 203),
                (Bind(0, "books", "dev:caller", 1, 0), 203),
                (Bind(0, "books", "dev:other", file.ident, file.salt), 204),
            ],
            start=1,
        ):
            await other.send(replace(bind, session=number))
            assert (await other.receive(Error)).code == code
        # The owner noticed nothing; then the same identity comes a second time: the newest wins.
        await owner.send(Mark(1, 5))
        assert await owner.receive(Mark) == Mark(1, 5)
        await other.send(Bind(9, "books", "dev:caller", file.ident, file.salt))
        error = await owner.receive(Error)
        assert (error.session, error.code) == (1, ErrorCode.SUPERSEDED)
        await other.send(start(9, file.ident), Mark(9, 1))
        assert await other.skip_to(Mark) == Mark(9, 1)
        await owner.bind(1)


# -- replays ---------------------------------------------------------------------------------------
async def test_what_comes_again_is_acknowledged_again_and_integrated_once() -> None:
    async with serving() as connect:
        caller = await connect()
        ident = (await caller.bind(1)).ident
        first = upload(1, ident, 1, 2)
        await caller.send(first, first, first)
        assert [(await caller.skip_to(Ack)).client_version for _ in range(3)] == [2, 2, 2]
        for again, last in ((upload(1, ident, 3), 3), (first, 2)):
            await caller.send(again)
            assert (await caller.skip_to(Ack)).client_version == last


async def test_what_comes_again_changed_is_refused() -> None:
    async with serving() as connect:
        neighbour = await Neighbour.next_door(connect)
        caller = await connect()
        ident = (await caller.bind(1)).ident
        await caller.send(upload(1, ident, 1))
        await caller.skip_to(Ack)
        await caller.send(upload(1, ident, 1, title="Sense"))
        error = await caller.skip_to(Error)
        assert error.code == ErrorCode.FILE_COPIED
        await neighbour.is_well()


# -- tokens ----------------------------------------------------------------------------------------
class Wall:
    """A clock that a test sets; tokens are `user@second of expiry`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def authenticate(self, token: str) -> User:
        user, _, expires = token.partition("@")
        if float(expires) <= self.now:
            raise SessionError(ErrorCode.TOKEN_EXPIRED, f"at {expires}")
        return User(user, {}, float(expires))


async def test_a_token_that_expires_ends_its_session_unless_a_fresh_one_came(
    mock_clock: trio.testing.MockClock,
) -> None:
    """IDENTITY-5"""
    wall = Wall()

    def pass_time(seconds: float) -> None:
        wall.now += seconds
        mock_clock.jump(seconds)

    at = host(authenticate=wall.authenticate)
    async with serving(at, wall=wall, timeout=1000) as connect:
        caller = await connect()
        for number, token in enumerate(["a@1100", "b@1050", "c@1050", "d@999"], start=1):
            await caller.send(Bind(number, "books", token, 0, 0))
            if number < 4:
                assigned = await caller.receive(Assign)
                await caller.send(start(number, assigned.ident), Mark(number, 0))
                await caller.skip_to(Mark)
        error = await caller.receive(Error)
        assert (error.session, error.code) == (4, ErrorCode.TOKEN_EXPIRED)
        await caller.send(Token(2, "b@1200"), Mark(2, 1))
        await caller.receive(Mark)
        pass_time(49)
        await caller.send(Mark(3, 2))
        await caller.receive(Mark)
        pass_time(1)
        error = await caller.receive(Error)
        assert (error.session, error.code) == (3, ErrorCode.TOKEN_EXPIRED)
        pass_time(50)
        error = await caller.receive(Error)
        assert (error.session, error.code) == (1, ErrorCode.TOKEN_EXPIRED)
        await caller.send(Mark(2, 3))
        assert await caller.receive(Mark) == Mark(2, 3)


# -- time ------------------------------------------------------------------------------------------
async def test_who_binds_nothing_is_dropped(mock_clock: trio.testing.MockClock) -> None:
    async with serving(timeout=1000) as connect:
        idler, worker = await connect(), await connect()
        await worker.bind(1)
        refused = await connect()
        await refused.send(Bind(1, "books", "nonsense", 0, 0))
        await refused.receive(Error)
        mock_clock.jump(HANDSHAKE_TIMEOUT_S + 0.1)
        for caller in (idler, refused):
            with pytest.raises(websocket.DisconnectedError, match="no session was bound"):
                await caller.socket.read()
        await worker.send(Mark(1, 1))
        await worker.skip_to(Mark)


async def test_who_is_silent_is_dropped_and_who_pings_is_not(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with serving(timeout=1000) as connect:
        silent, pinging = await connect(), await connect()
        await silent.bind(1)
        await pinging.bind(1)
        for count in range(3):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(SILENCE_MAX_S * 0.4)
            await pinging.send(Ping(0, count))
            assert await pinging.receive(Pong) == Pong(0, count)
        with pytest.raises(websocket.DisconnectedError, match="no message for too long"):
            await silent.socket.read()


async def test_who_never_finishes_the_handshake_is_dropped(
    mock_clock: trio.testing.MockClock,
) -> None:
    at = host()
    async with open_server(at) as server, trio.open_nursery() as nursery:
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(server.handle, near)
        await far.send_all(b"GET / HTTP/1.1\r\nX: ")
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(HANDSHAKE_TIMEOUT_S + 0.1)
        assert await far.receive_some() == b""
    at.close()


# -- flow ------------------------------------------------------------------------------------------
@contextmanager
def held(at: Host) -> Iterator[None]:
    """While somebody else writes to the store, nothing is committed."""
    release, holding = threading.Event(), threading.Event()

    def hold() -> None:
        with at.namespace("books").store.write():
            holding.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait()
    try:
        yield
    finally:
        release.set()
        thread.join()


async def test_uploads_that_wait_stop_the_reading() -> None:
    at = host(report=_report)
    async with serving(at, trio.testing.lockstep_stream_pair) as connect:
        neighbour = await connect()
        await neighbour.bind(1)
        caller = await connect()
        ident = (await caller.bind(1)).ident
        sent = 0

        async def send() -> None:
            nonlocal sent
            for version in range(1, UPLOADS_IN_FLIGHT_MAX + 51):
                await caller.send(upload(1, ident, version))
                sent = version

        async with trio.open_nursery() as nursery:
            with held(at):
                nursery.start_soon(send)
                await trio.testing.wait_all_tasks_blocked(0.05)
                # One is being committed, some are queued, one is in the reader's hand.
                assert sent == UPLOADS_IN_FLIGHT_MAX + 2
                await neighbour.send(Ping(0, 7))
                assert await neighbour.receive(Pong) == Pong(0, 7)
            acknowledged = 0
            while acknowledged < UPLOADS_IN_FLIGHT_MAX + 50:
                acknowledged = (await caller.skip_to(Ack)).client_version
        await neighbour.send(Mark(1, 1))
        await neighbour.skip_to(Mark)


async def test_large_uploads_that_wait_stop_the_reading_sooner() -> None:
    at, title = host(report=_report), Random(3).randbytes(1_100_000).hex()
    async with serving(at, trio.testing.lockstep_stream_pair) as connect:
        caller = await connect()
        ident = (await caller.bind(1)).ident
        sent = 0

        async def send() -> None:
            nonlocal sent
            for version in range(1, 11):
                await caller.send(upload(1, ident, version, title=title))
                sent = version

        async with trio.open_nursery() as nursery:
            with held(at):
                nursery.start_soon(send)
                await trio.testing.wait_all_tasks_blocked(0.05)
                # One is being committed, some are queued, one is in the reader's hand.
                assert 3 < sent < 8
            acknowledged = 0
            while acknowledged < 10:
                acknowledged = (await caller.skip_to(Ack)).client_version


async def test_uploads_that_wait_are_committed_together() -> None:
    """SESSION-1: and acknowledged together, behind that commit."""
    at = host(report=_report)
    async with serving(at) as connect:
        caller = await connect()
        ident = (await caller.bind(1)).ident
        with held(at):
            for version in range(1, 31):
                await caller.send(upload(1, ident, version))
            await caller.send(Ping(0, 7))
            await caller.receive(Pong)
        acks = [await caller.skip_to(Ack)]
        while acks[-1].client_version < 30:
            acks.append(await caller.skip_to(Ack))
        assert [ack.client_version for ack in acks] == [1, 30]


async def test_a_slow_reader_costs_a_cursor() -> None:
    """DOWN-8"""
    async with serving(pair=trio.testing.lockstep_stream_pair) as connect:
        slow, writer, fast = await connect(), await connect(), await connect()
        await slow.bind(1)
        ident = (await writer.bind(1, query=None)).ident
        await fast.bind(1)
        for version in range(1, 101):
            await writer.send(upload(1, ident, version, title="x" * 1000))
            await writer.skip_to(Ack)
        await fast.send(Mark(1, 1))
        await fast.skip_to(Mark)
        # All the while nothing was read here. There waits one message, not a hundred.
        await slow.send(Mark(1, 1))
        downloads = 0
        while not isinstance(message := await slow.receive(Message), Mark):
            assert isinstance(message, Download)
            downloads += 1
        assert downloads <= 3


async def test_many_sessions_of_a_slow_reader_cost_a_cursor_each() -> None:
    async with serving(pair=trio.testing.lockstep_stream_pair) as connect:
        slow, writer = await connect(), await connect()
        for number in range(1, 21):
            await slow.bind(number)
        ident = (await writer.bind(1, query=None)).ident
        await writer.send(upload(1, ident, *range(1, 6)))
        await writer.skip_to(Ack)
        for version in range(6, 26):
            await writer.send(upload(1, ident, version))
            latest = (await writer.skip_to(Ack)).version
        # One message waits to be read, or two. All others are made when it is their turn.
        late = 0
        behind = set(range(1, 21))
        while behind:
            download = await slow.receive(Download)
            late += download.version < latest
            if download.version == latest:
                behind.remove(download.session)
        assert late <= 2


async def test_a_bootstrap_goes_on_by_itself() -> None:
    async with serving() as connect:
        writer, reader = await connect(), await connect()
        ident = (await writer.bind(1, query=None)).ident
        text = "".join(map(chr, Random(1).choices(range(32, 0xD800), k=100_000)))
        for version in range(1, 31):
            await writer.send(upload(1, ident, version, title=text))
            await writer.skip_to(Ack)
        await reader.bind(1, query=None)
        await reader.send(Query(1, 1, {"Book": "TRUEPREDICATE"}, 0, b""))
        messages = [await reader.receive(Download)]
        while not messages[-1].last or messages[-1].query_version == 0:
            messages.append(await reader.receive(Download))
        assert len(messages) > 3


async def test_nothing_is_left_of_connections_that_ended() -> None:
    at = host(report=_report)
    async with serving(at) as connect:
        for cut in (True, False):
            caller = await connect()
            await caller.bind(1)
            await caller.bind(2)
            await caller.send(Unbind(2))
            await caller.skip_to(Unbound)
            assert len(at._links) == 1
            if cut:
                await trio.aclose_forcefully(caller.socket._stream)
            else:
                await caller.socket.close()
            await until(lambda: len(at._links) == 0)


async def test_a_session_that_waits_does_not_keep_others_waiting() -> None:
    asked, answer = threading.Event(), threading.Event()

    def authenticate(token: str) -> User:
        if token == "dev:slow":
            asked.set()
            assert answer.wait(30)
        return User(token)

    async with serving(host(authenticate=authenticate, report=_report)) as connect:
        caller = await connect()
        await caller.send(Bind(7, "books", "dev:slow", 0, 0))
        await until(asked.is_set)
        await caller.bind(8)
        await caller.send(Mark(8, 1))
        assert await caller.skip_to(Mark) == Mark(8, 1)
        answer.set()
        assert (await caller.skip_to(Assign)).session == 7


# -- what we break ---------------------------------------------------------------------------------
async def test_a_broken_authenticator_ends_one_session() -> None:
    def authenticate(token: str) -> User:
        if token == "dev:bug":
            raise ZeroDivisionError("a bug")
        return User(token)

    async with serving(host(authenticate=authenticate)) as connect:
        neighbour = await Neighbour.next_door(connect)
        caller = await connect()
        await caller.bind(1)
        await caller.send(Bind(2, "books", "dev:bug", 0, 0))
        error = await caller.skip_to(Error)
        assert (error.session, error.code) == (2, ErrorCode.INTERNAL)
        assert "ZeroDivision" not in error.message
        await caller.send(Mark(1, 1))
        await caller.skip_to(Mark)
        await neighbour.is_well()


# -- at random -------------------------------------------------------------------------------------
def conversation(ident: int) -> list[bytes]:
    """A whole, legal session."""
    messages = [
        start(1, ident),
        Query(1, 1, {"Book": "TRUEPREDICATE"}, 0, b""),
        upload(1, ident, 1),
        upload(1, ident, 2, 3),
        Mark(1, 1),
        Progress(1, 0),
        Token(1, "dev:caller"),
        Query(1, 2, {"Book": 'title BEGINSWITH "E"'}, 0, b""),
        Mark(1, 2),
        Unbind(1),
        Bind(1, "books", "dev:caller", 0, 0),
    ]
    return list(map(encode, messages))


def disturbed(frames: list[bytes], random: Random) -> list[bytes]:
    frames = list(frames)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(frames))
        frame = bytearray(frames[place])
        match random.randrange(6):
            case 0 if frame:
                frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
                frames[place] = bytes(frame)
            case 1:
                frames[place] = bytes(frame[: random.randint(0, len(frame))])
            case 2:
                frames.insert(place, bytes(frame))
            case 3:
                del frames[place]
                frames = frames or [b""]
            case 4:
                other = random.randrange(len(frames))
                frames[place], frames[other] = frames[other], frames[place]
            case _:
                frames[place] = random.randbytes(random.randint(0, 60))
    return frames


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_comes_in_whatever_order(seed: int) -> None:
    random = Random(seed)
    async with serving() as connect:
        neighbour = await Neighbour.next_door(connect)
        for _ in range(6):
            caller = await connect()
            await caller.send(Bind(1, "books", "dev:caller", 0, 0))
            ident = (await caller.receive(Assign)).ident
            try:
                await caller.socket.send(*disturbed(conversation(ident), random))
                await caller.send(Ping(0, 1))
                await caller.skip_to(Pong, errors=True)
            except websocket.DisconnectedError:
                assert isinstance(caller.last, Error)
        await neighbour.is_well()
