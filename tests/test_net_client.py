"""Clients against a server by script: connecting, back-off, and what each error leads to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import pytest
import trio
import trio.testing
from net_peers import Peer, ScriptedServer, device, titles, until, write

from replication.client.database import Database
from replication.errors import ErrorCode, ReplicationError, SessionError, UsageError
from replication.limits import BACKOFF_STABLE_S, PING_PERIOD_S, SILENCE_MAX_S
from replication.net import backoff, websocket, wire
from replication.net.client import Status, SyncSession, SyncState, run_client
from replication.net.link import Link
from replication.net.websocket import DisconnectedError, address
from replication.protocol.messages import (
    Ack,
    Assign,
    Bind,
    Download,
    Error,
    Ident,
    Mark,
    Ping,
    Pong,
    Progress,
    Token,
    Unbind,
    Unbound,
    Upload,
    decode,
    encode,
)

URL = "ws://memory:1/"


class Tokens:
    """Gives tokens, a new one each time, and counts them."""

    def __init__(self) -> None:
        self.given = 0
        self.failing = 0

    async def __call__(self) -> str:
        self.given += 1
        if self.given <= self.failing:
            raise OSError("the identity service is down")
        return f"token {self.given}"


class World:
    """A scripted server and clients that run against it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.server = ScriptedServer()
        self.nursery = nursery
        self.seen: list[Status] = []
        #: How often a delay was drawn.
        self.delays = 0

    def session(self, db: Database, tokens: Tokens, namespace: str = "books") -> SyncSession:
        return SyncSession(db, namespace, tokens, on_status=self.seen.append)

    def run(self, *sessions: SyncSession) -> None:
        async def client() -> None:
            await run_client(
                sessions, URL, random=self._random, open_stream=self.server.open_stream
            )

        self.nursery.start_soon(client)

    def _random(self) -> float:
        self.delays += 1
        return 0.0


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world of short delays: agents work in threads, which a mock clock does not wait for."""
    monkeypatch.setattr(backoff, "BACKOFF_FIRST_S", 0.05)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.05)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            world = World(nursery)
            yield world
            await world.server.cut()
            nursery.cancel_scope.cancel()


async def bound(peer: Peer, ident: int = 2) -> int:
    """Play a session's beginning, for a new file; its number."""
    bind = await peer.receive(Bind)
    assert bind.ident == 0
    await peer.send(Assign(bind.session, ident, 77))
    position = await peer.receive(Ident)
    assert position.ident == ident
    return bind.session


async def marked(peer: Peer) -> None:
    """Answer the MARK every session begins with."""
    mark = await peer.receive(Mark)
    await peer.send(mark)


# -- back-off, on a mock clock ---------------------------------------------------------------------
def link_to(server: ScriptedServer, told: list[ReplicationError]) -> Link:
    return Link(
        address(URL),
        ssl_context=None,
        random=lambda: 0.0,
        open_stream=server.open_stream,
        offline=told.append,
    )


def gaps(times: list[float]) -> list[float]:
    return [round(b - a, 6) for a, b in pairwise(times)]


async def test_attempts_double_up_to_five_minutes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """CONN-5"""
    server, told = ScriptedServer(), []
    server.down = True
    nursery.start_soon(link_to(server, told).run)
    await trio.sleep_until(autojump_clock.current_time() + 2000)
    assert gaps(server.attempts)[:11] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert all(isinstance(error, DisconnectedError) for error in told)
    assert "nobody listens" in str(told[0])


async def test_another_kind_of_error_starts_afresh_and_so_does_success(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """CONN-5"""
    server, told = ScriptedServer(), []
    server.down = True
    nursery.start_soon(link_to(server, told).run)
    await trio.sleep_until(autojump_clock.current_time() + 6)  # attempts at 0, 1, 3
    server.down = False
    for lasts in (1, 1, 1, BACKOFF_STABLE_S, 1):
        peer = await server.shaken()
        await trio.sleep(lasts)
        await peer.send(Error(0, ErrorCode.SHUTTING_DOWN, "again"))
        await peer.read_until_closed()
    await server.peer()
    # refused, refused, refused; then shut down after 1 s each, with 1, 2, 4 s of back-off; one
    # that lasted counts as a success; the last one is the second failure in a row.
    assert gaps(server.attempts) == [1, 2, 4, 2, 3, 5, 11, 3]
    assert str(told[-1]) == "shutting_down: again"


async def test_a_server_that_is_silent_is_left(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """CONN-7"""
    server, told = ScriptedServer(), []
    nursery.start_soon(link_to(server, told).run)
    peer = await server.shaken()
    start = autojump_clock.current_time()
    frames = await peer.read_until_closed()
    assert frames == [encode(Ping(0, 1))], "one question is enough"
    assert autojump_clock.current_time() - start == pytest.approx(SILENCE_MAX_S)
    await server.peer()
    assert f"silent for {SILENCE_MAX_S:.0f} s" in str(told[0])


async def test_a_server_that_answers_pings_is_kept(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    server, told = ScriptedServer(), []
    nursery.start_soon(link_to(server, told).run)
    peer = await server.shaken()
    start = autojump_clock.current_time()
    for count in range(1, 100):
        [frame] = await peer._socket.read()
        assert decode(frame) == Ping(0, count)
        await peer.send(Pong(0, count))
        assert autojump_clock.current_time() - start == pytest.approx(count * PING_PERIOD_S)
    assert not told


async def test_no_hello(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    server, told = ScriptedServer(), []
    nursery.start_soon(link_to(server, told).run)
    peer = await server.peer()
    start = autojump_clock.current_time()
    await peer.read_until_closed()
    assert autojump_clock.current_time() - start == pytest.approx(30)
    await server.peer()
    assert "HELLO" in str(told[0])


@pytest.mark.parametrize("frame", [b"", b"\xc1", encode(Pong(0, 5)), encode(Mark(1, 1))])
async def test_a_server_that_breaks_the_protocol_is_told(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, frame: bytes
) -> None:
    server, told = ScriptedServer(), []
    nursery.start_soon(link_to(server, told).run)
    peer = await server.shaken()
    await peer.send_bytes(frame)
    [last] = await peer.read_until_closed()
    error = decode(last)
    assert isinstance(error, Error)
    assert error.session == 0
    assert error.code in (ErrorCode.BAD_SYNTAX, ErrorCode.BAD_MESSAGE)
    start = autojump_clock.current_time()
    await server.peer()
    assert autojump_clock.current_time() - start == pytest.approx(1)
    assert "broke the protocol" in str(told[0])


# -- sessions --------------------------------------------------------------------------------------
async def test_a_session_from_bind_to_ack(world: World) -> None:
    db = device()
    write(db, 1, "Emma")
    session = world.session(db, Tokens())
    world.run(session)
    peer = await world.server.shaken()
    number = await bound(peer)
    upload = await peer.receive(Upload)
    assert upload.first == 1
    with pytest.raises(trio.TooSlowError), trio.fail_after(0):
        await session.wait_for_upload()
    count = db.local.client_version
    await peer.send(Ack(number, count, 1, [], []))
    await session.wait_for_upload()
    await marked(peer)
    assert session.status == Status(SyncState.CONNECTED)
    # A commit in any thread is sent.
    await trio.to_thread.run_sync(write, db, 2, "Persuasion")
    upload = await peer.receive(Upload)
    assert upload.first == count + 1
    # A barrier is a MARK.
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.wait_for_download)
        await marked(peer)
    session.stop()
    assert await peer.receive(Unbind) == Unbind(number)
    await peer.send(Unbound(number))
    await until(lambda: session.status == Status(SyncState.STOPPED))
    with pytest.raises(UsageError, match="stopped"):
        await session.wait_for_download()
    assert titles(db) == {1: "Emma", 2: "Persuasion"}


async def test_an_expired_token_is_replaced_on_the_same_connection(world: World) -> None:
    tokens = Tokens()
    session = world.session(device(), tokens)
    world.run(session)
    peer = await world.server.shaken()
    number = await bound(peer)
    await until(lambda: session.status.state is SyncState.CONNECTED)
    await peer.send(Error(number, ErrorCode.TOKEN_EXPIRED, "long ago"))
    bind = await peer.skip_to(Bind)
    assert (bind.token, bind.ident) == ("token 2", 2)
    assert bind.session != number
    assert world.delays == 0, "a matter of course: no back-off"
    assert len(world.server.attempts) == 1


async def test_a_token_that_is_refused_at_once_is_not_asked_for_in_a_loop(world: World) -> None:
    tokens = Tokens()
    session = world.session(device(), tokens)
    world.run(session)
    peer = await world.server.shaken()
    bind = await peer.receive(Bind)
    await peer.send(Error(bind.session, ErrorCode.TOKEN_INVALID, "whose?"))
    bind = await peer.receive(Bind)
    assert (bind.token, world.delays) == ("token 2", 0)
    for count in range(1, 4):
        await peer.send(Error(bind.session, ErrorCode.TOKEN_INVALID, "whose?"))
        bind = await peer.receive(Bind)
        assert (bind.token, world.delays) == (f"token {count + 2}", count)


async def test_a_session_that_stops_while_the_connection_is_lost_stays_stopped(
    world: World,
) -> None:
    session = world.session(device(), Tokens())
    world.run(session)
    peer = await world.server.shaken()
    await bound(peer)
    session.stop()
    await peer.skip_to(Unbind)
    await peer.cut()  # before UNBOUND
    await until(lambda: session.status.state is SyncState.STOPPED)


async def test_progress_is_told_late_or_with_something_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONN-8"""
    monkeypatch.setattr(wire, "PROGRESS_DELAY_S", 0.2)
    db = device()
    session = world.session(db, Tokens())
    world.run(session)
    peer = await world.server.shaken()
    number = await bound(peer)
    await peer.skip_to(Mark)
    for version in (1, 2, 3):
        await peer.send(Download(number, 0, version, 5, 0, True, 0, b"", 1.0, 0, b"\x90"))
    await until(lambda: db.synced.cursor == 3)
    await trio.testing.wait_all_tasks_blocked()
    write(db, 1, "Emma")
    assert (await peer.receive(Progress)).cursor == 3
    await peer.receive(Upload)
    await peer.send(Download(number, 0, 4, 5, 0, True, 0, b"", 1.0, 0, b"\x90"))
    assert (await peer.receive(Progress)).cursor == 4


async def test_a_failing_token_provider_is_asked_again(world: World) -> None:
    tokens = Tokens()
    tokens.failing = 1
    session = world.session(device(), tokens)
    world.run(session)
    peer = await world.server.shaken()
    bind = await peer.receive(Bind)
    assert bind.token == "token 2"
    assert any("identity service" in str(status.error) for status in world.seen)


async def test_a_fresh_token_can_be_handed_in(world: World) -> None:
    session = world.session(device(), Tokens())
    world.run(session)
    peer = await world.server.shaken()
    number = await bound(peer)
    await until(lambda: session.status.state is SyncState.CONNECTED)
    session.refresh("fresh")
    assert await peer.skip_to(Token) == Token(number, "fresh")


@pytest.mark.parametrize(
    "code", [ErrorCode.USER_MISMATCH, ErrorCode.BAD_NAMESPACE, ErrorCode.DIVERGED]
)
async def test_an_error_that_asks_to_stop_stops_its_session_alone(
    world: World, code: ErrorCode
) -> None:
    doomed, lucky = (world.session(device(), Tokens(), name) for name in ("doomed", "lucky"))
    world.run(doomed, lucky)
    peer = await world.server.shaken()
    binds = {}
    for _ in range(2):
        bind = await peer.receive(Bind)
        binds[bind.namespace] = bind.session

    async def fails() -> None:
        with pytest.raises(SessionError, match="so it is") as caught:
            await doomed.wait_for_download()
        assert caught.value.code is code

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails)
        await trio.testing.wait_all_tasks_blocked()
        await peer.send(Error(binds["doomed"], code, "so it is"))
    assert doomed.status.state is SyncState.STOPPED
    await peer.send(Assign(binds["lucky"], 9, 9))
    assert await peer.receive(Ident)
    await until(lambda: lucky.status.state is SyncState.CONNECTED)
    assert len(world.server.attempts) == 1


async def test_superseded_binds_again_after_a_while(world: World) -> None:
    session = world.session(device(), Tokens())
    world.run(session)
    peer = await world.server.shaken()
    number = await bound(peer)
    await peer.send(Error(number, ErrorCode.SUPERSEDED, "by another"))
    bind = await peer.skip_to(Bind)
    assert (bind.ident, bind.salt) == (2, 77)
    assert world.delays == 1


@pytest.mark.parametrize("code", [ErrorCode.BAD_SYNTAX, ErrorCode.VERSION_UNSUPPORTED])
async def test_an_error_of_the_connection_stops_every_session(
    world: World, code: ErrorCode
) -> None:
    sessions = [world.session(device(), Tokens(), name) for name in "ab"]
    world.run(*sessions)
    peer = await world.server.shaken()
    await peer.send(Error(0, code, "what was that"))
    for session in sessions:
        await until(lambda session=session: session.status.state is SyncState.STOPPED)
        assert isinstance(session.status.error, SessionError)
        with pytest.raises(SessionError, match="what was that"):
            await session.wait_for_download()


async def test_nobody_binds_on_a_connection_that_is_being_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.3)
    db = device()
    real, tries = db.on_outgoing, []
    monkeypatch.setattr(db, "on_outgoing", lambda call: tries.append(call) or real(call))
    session = world.session(db, Tokens())
    world.run(session)
    peer = await world.server.shaken()
    await bound(peer)
    await peer.send(Error(0, ErrorCode.INTERNAL, "oh"))  # and the peer does not close
    await world.server.shaken()
    await until(lambda: len(tries) == 2)


async def test_a_message_that_is_illegal_in_a_session_ends_that_session(world: World) -> None:
    session = world.session(device(), Tokens())
    world.run(session)
    peer = await world.server.shaken()
    number = await bound(peer)
    await peer.send(Assign(number, 3, 3))
    error = await peer.skip_to(Error)
    assert (error.session, error.code) == (number, ErrorCode.BAD_MESSAGE)
    assert "ASSIGN" in error.message
    assert (await peer.receive(Bind)).ident == 2
    assert (len(world.server.attempts), world.delays) == (1, 1)


async def test_a_cut_in_the_middle_loses_nothing(world: World) -> None:
    db = device()
    write(db, 1, "Emma")
    session = world.session(db, Tokens())
    world.run(session)
    peer = await world.server.shaken()
    await bound(peer)
    assert (await peer.receive(Upload)).first == 1
    await peer.cut()
    peer = await world.server.shaken()
    bind, ident = await peer.receive(Bind), await peer.receive(Ident)
    assert (bind.ident, ident.client_version) == (2, 0)
    upload = await peer.receive(Upload)
    assert upload.first == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.wait_for_upload)
        await trio.testing.wait_all_tasks_blocked()
        await peer.send(Ack(bind.session, db.local.client_version, 1, [], []))


async def test_who_waits_goes_on_waiting_over_a_cut(world: World) -> None:
    session = world.session(device(), Tokens())
    world.run(session)
    peer = await world.server.shaken()
    await bound(peer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.wait_for_download)
        await peer.receive(Upload)
        await peer.receive(Mark)
        await peer.cut()
        peer = await world.server.shaken()
        await peer.receive(Bind)
        await peer.receive(Ident)
        await peer.receive(Upload)
        first, second = await peer.receive(Mark), await peer.receive(Mark)
        await peer.send(first, second)


async def test_a_full_disk_drops_the_session_and_tries_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from replication.errors import StoreFullError

    db = device()
    session = world.session(db, Tokens())
    world.run(session)
    peer = await world.server.shaken()
    bind = await peer.receive(Bind)
    real = db.store.write

    def full() -> object:
        raise StoreFullError("no space left")

    monkeypatch.setattr(db.store, "write", full)
    await peer.send(Assign(bind.session, 2, 2))
    assert await peer.receive(Unbind) == Unbind(bind.session)
    await until(lambda: isinstance(session.status.error, StoreFullError))
    monkeypatch.setattr(db.store, "write", real)
    assert (await peer.receive(Bind)).ident == 0


async def test_neither_end_waits_for_the_other_to_read(world: World) -> None:
    """A server that stops reading while it has much to say: the client takes it in all the same."""
    db = device()
    # Streams that hold nothing: what one end sends waits until the other end reads it.
    world.server.pair = trio.testing.lockstep_stream_pair
    session = world.session(db, Tokens())
    world.run(session)
    peer = await world.server.shaken()
    number = await bound(peer)
    await until(lambda: session.status.state is SyncState.CONNECTED)
    for key in range(20):
        write(db, key, "x")
    for version in range(1, 200):
        await peer.send(Ack(number, 0, version, [], []))
    assert (await peer.receive(Upload)).first == 1


async def test_cancelling_closes_the_connection(world: World) -> None:
    session = world.session(device(), Tokens())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_client([session], URL, open_stream=world.server.open_stream))
        peer = await world.server.shaken()
        await bound(peer)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await peer.read_until_closed()
    assert session.status.state is SyncState.STOPPED


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda _: ([], URL), "0 sessions"),
        (lambda session: ([session] * 1001, URL), "1001 sessions"),
        (lambda session: ([session, session], URL), "one file"),
        (lambda session: ([session], "http://x/"), "http://x/"),
    ],
)
async def test_bad_arguments(make: Callable[[SyncSession], tuple], word: str) -> None:
    sessions, url = make(SyncSession(device(), "books", Tokens()))
    with pytest.raises(UsageError, match=word):
        await run_client(sessions, url)
