"""Who was not let in yet: what they may cost, and that nobody else pays for it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest
import trio
import trio.testing
from net_peers import Caller, host, start, until
from test_net_hostile import Neighbour, upload
from websockets.frames import CloseCode

from replication.errors import ErrorCode, SessionError
from replication.limits import FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT_S, STRANGER_BYTES_MAX
from replication.net import websocket
from replication.net.server import Server, open_server
from replication.net.websocket import DisconnectedError
from replication.protocol.messages import Ack, Assign, Bind, Error, Mark, encode
from replication.server.users import Authenticate, User


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.2)


#: What a stranger may have had us keep: before its end, and while we wait for its goodbye.
_AT_MOST = 2 * STRANGER_BYTES_MAX + 2 * websocket.READ_BYTES


class House:
    """A server in memory with little room."""

    def __init__(self, server: Server, nursery: trio.Nursery) -> None:
        self.server = server
        self._nursery = nursery

    def stream(self) -> trio.abc.Stream:
        near, far = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.server.handle, near)
        return far

    async def stranger(self) -> Caller:
        caller = await Caller.over(self.stream())
        await caller.hello()
        return caller

    async def guest(self) -> Caller:
        caller = await self.stranger()
        await caller.bind(1)
        return caller


@asynccontextmanager
async def house(
    *, room: int = 1000, authenticate: Authenticate | None = None, timeout: float = 30
) -> AsyncIterator[House]:
    at = host(authenticate=authenticate)
    async with (
        open_server(at, connections_max=room) as server,
        trio.open_nursery() as nursery,
    ):
        with trio.fail_after(timeout):
            yield House(server, nursery)
        nursery.cancel_scope.cancel()
    at.close()


async def gone(caller: Caller) -> str:
    """Read until the connection is over; how."""
    try:
        while True:
            await caller.socket.read()
    except DisconnectedError as error:
        return str(error)


async def flood(caller: Caller) -> bytes:
    """Send the beginning of one long frame, more and more of it; what comes meanwhile."""
    stream = caller.socket._stream
    await stream.send_all(b"\x82\xff" + FRAME_BYTES_MAX.to_bytes(8, "big") + bytes(4))
    told = bytearray()

    async def send() -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await stream.send_all(bytes(16 * 1024))
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while data := await stream.receive_some():
            told += data
        nursery.cancel_scope.cancel()
    return bytes(told)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what connections have taken in, and not only off the wire."""
    out: list[int] = []
    feed = websocket.WebSocket._feed

    def counted(self: websocket.WebSocket, data: bytes) -> None:
        out.append(len(data))
        feed(self, data)

    monkeypatch.setattr(websocket.WebSocket, "_feed", counted)
    return out


# -- bytes -----------------------------------------------------------------------------------------
async def test_a_stranger_sends_little(kept: list[int]) -> None:
    """CONN-9: a frame that would be legal, but whose sender was not let in."""
    async with house() as it:
        neighbour = await Neighbour.next_door(it.stranger)
        stranger = await it.stranger()
        kept.clear()
        assert CloseCode.POLICY_VIOLATION.to_bytes(2, "big") in await flood(stranger)
        assert STRANGER_BYTES_MAX < sum(kept) <= _AT_MOST
        await neighbour.is_well()


async def test_who_was_refused_is_a_stranger_still(kept: list[int]) -> None:
    async with house() as it:
        stranger = await it.stranger()
        await stranger.send(Bind(1, "books", "nonsense", 0, 0))
        await stranger.receive(Error)
        kept.clear()
        assert CloseCode.POLICY_VIOLATION.to_bytes(2, "big") in await flood(stranger)
        assert sum(kept) <= _AT_MOST


async def test_who_was_let_in_sends_what_the_protocol_allows() -> None:
    async with house() as it:
        guest = await it.stranger()
        assigned = await guest.bind(1)
        title = "x" * (2 * STRANGER_BYTES_MAX)
        await guest.send(upload(1, assigned.ident, 1, title=title))
        await guest.skip_to(Ack)


class Porter:
    """An authenticator that takes its time."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answer = threading.Event()

    def __call__(self, token: str) -> User:
        self.asked.set()
        assert self.answer.wait(30)
        if token == "bad":
            raise SessionError(ErrorCode.TOKEN_INVALID, "a bad token")
        return User(token)


@pytest.mark.parametrize("token", ["good", "bad"])
async def test_what_comes_behind_a_token_waits_for_the_answer(token: str) -> None:
    """A client does not wait for an answer before it uploads, and loses nothing by that."""
    title = "".join(map(chr, Random(3).choices(range(32, 0xD800), k=150_000)))
    porter = Porter()
    porter.answer.set()
    async with house(authenticate=porter) as it:
        first = await it.stranger()
        await first.send(Bind(1, "books", "good", 0, 0))
        file = await first.receive(Assign)
        await first.socket.close()
        porter.answer.clear()
        porter.asked.clear()
        client = await it.stranger()
        long = encode(upload(1, file.ident, 1, title=title))
        assert len(long) > STRANGER_BYTES_MAX
        await client.socket.send(
            encode(Bind(1, "books", token, file.ident, file.salt)),
            encode(start(1, file.ident)),
            long,
        )
        await trio.to_thread.run_sync(porter.asked.wait)
        await trio.testing.wait_all_tasks_blocked()
        porter.answer.set()
        if token == "good":
            assert (await client.skip_to(Ack)).client_version == 1
        else:
            error = await client.receive(Error)
            assert error.code == ErrorCode.TOKEN_INVALID
            # No ERROR for the connection: a client asks for a fresh token, and comes back.
            assert "1008" in await gone(client)


async def test_who_waits_for_an_answer_does_not_wait_for_ever(
    mock_clock: trio.testing.MockClock,
) -> None:
    porter = Porter()
    async with house(authenticate=porter, timeout=1000) as it:
        client = await it.stranger()
        await client.send(Bind(1, "books", "good", 0, 0))
        taking = client.socket._stream
        await taking.send_all(b"\x82\xff" + FRAME_BYTES_MAX.to_bytes(8, "big") + bytes(4))
        await taking.send_all(bytes(STRANGER_BYTES_MAX))
        await trio.to_thread.run_sync(porter.asked.wait)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(HANDSHAKE_TIMEOUT_S + 0.1)
        await trio.testing.wait_all_tasks_blocked()
        porter.answer.set()
        await gone(client)


# -- connections -----------------------------------------------------------------------------------
async def test_strangers_make_room_for_each_other_the_oldest_first() -> None:
    """CONN-9"""
    async with house(room=3) as it:
        guest = await it.guest()
        first, second = await it.stranger(), await it.stranger()
        third = await it.stranger()
        await gone(first)
        silent = it.stream()  # not even a handshake
        await gone(second)
        await third.bind(1)
        await it.stranger()
        assert await silent.receive_some() == b""
        for caller in (guest, third):
            await caller.send(Mark(1, 1))
            assert await caller.skip_to(Mark) == Mark(1, 1)


async def test_where_all_were_let_in_one_more_is_turned_away() -> None:
    """CONN-9"""
    async with house(room=2) as it:
        guests = [await it.guest(), await it.guest()]
        with pytest.raises(DisconnectedError, match="503"):
            await it.stranger()
        await guests[0].socket.close()
        await until(lambda: it.server._open == 1)
        guests[0] = await it.guest()
        for caller in guests:
            await caller.send(Mark(1, 1))
            assert await caller.skip_to(Mark) == Mark(1, 1)


async def test_a_flood_of_strangers_keeps_no_guest_out_for_long() -> None:
    async with house(room=20) as it:
        guest = await it.guest()
        for _ in range(100):
            it.stream()
        await trio.testing.wait_all_tasks_blocked()
        assert it.server._open <= 20
        other = await it.guest()
        for caller in (guest, other):
            await caller.send(Mark(1, 1))
            assert await caller.skip_to(Mark) == Mark(1, 1)
