"""Servers on real sockets and in memory: devices converge, and nobody disturbs anybody."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
import trustme
from net_peers import Caller, Stores, device, host, titles, until, write

from replication.client.database import Database
from replication.errors import ErrorCode, SessionError, UsageError
from replication.net import backoff, websocket
from replication.net import server as server_module
from replication.net.client import SyncSession, SyncState, run_client
from replication.net.facade import Sync
from replication.net.server import Place, open_server, serve
from replication.protocol.messages import Error
from replication.server.host import Host


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.2)


@asynccontextmanager
async def serving(
    at: Host | None = None, context: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Place]:
    """A server on a real port, shut down gracefully at the end."""
    at = at or host()
    async with trio.open_nursery() as nursery:
        [place] = await nursery.start(
            lambda task_status: serve(at, port=port, ssl_context=context, task_status=task_status)
        )
        yield place
        nursery.cancel_scope.cancel()
    at.close()


async def ada() -> str:
    return "dev:ada"


def subscribed(query: str = "TRUEPREDICATE") -> Database:
    db = device()
    with db.subscriptions.edit() as subscriptions:
        subscriptions.add("Book", query)
    return db


@asynccontextmanager
async def connected(
    place: Place,
    *dbs: Database,
    context: ssl.SSLContext | None = None,
    apart: bool = True,
    blocking: bool = True,
) -> AsyncIterator[list[SyncSession]]:
    """Sessions of these files, each on a connection of its own or all on one."""
    sessions = [SyncSession(db, "books", ada, blocking=blocking) for db in dbs]
    url = f"{'ws' if context is None else 'wss'}://127.0.0.1:{place.port}/"
    async with trio.open_nursery() as nursery:
        for group in [[session] for session in sessions] if apart else [sessions]:
            nursery.start_soon(lambda group=group: run_client(group, url, ssl_context=context))
        with trio.fail_after(30):
            yield sessions
        nursery.cancel_scope.cancel()


async def in_step(*sessions: SyncSession) -> None:
    """Everything every device wrote is everywhere."""
    for wait in [s.wait_for_upload for s in sessions] + [s.wait_for_download for s in sessions]:
        await wait()


def authority() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS contexts of a server at 127.0.0.1 and of a client that trusts it."""
    ca = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client


# -- devices converge ------------------------------------------------------------------------------
@pytest.mark.parametrize("secure", [False, True])
async def test_two_devices_converge(secure: bool) -> None:
    near, far = authority() if secure else (None, None)
    one, two = subscribed(), subscribed()
    write(one, 1, "Emma")
    write(two, 1, "Emma, or so")
    write(two, 2, "Persuasion")
    async with serving(context=near) as place, connected(place, one, two, context=far) as sessions:
        await in_step(*sessions)
        assert titles(one) == titles(two)
        assert set(titles(one)) == {1, 2}
        for n in range(20):
            write(one, n, f"one {n}")
            write(two, n + 10, f"two {n}")
        await in_step(*sessions)
        assert titles(one) == titles(two)
        assert len(titles(one)) == 30


async def test_many_files_share_a_connection() -> None:
    dbs = [subscribed() for _ in range(40)]
    async with serving() as place, connected(place, *dbs, apart=False) as sessions:
        for number, db in enumerate(dbs):
            write(db, number, f"from {number}")
        await in_step(*sessions)
        for db in dbs:
            assert titles(db) == {number: f"from {number}" for number in range(40)}
        # One of them stops, the others go on.
        sessions[0].stop()
        await until(lambda: sessions[0].status.state is SyncState.STOPPED)
        write(dbs[1], 100, "later")
        await in_step(*sessions[1:])
        assert titles(dbs[39])[100] == "later"
        assert 100 not in titles(dbs[0])


async def test_a_write_arrives_without_being_asked_for() -> None:
    one, two = subscribed(), subscribed()
    async with serving() as place, connected(place, one, two) as sessions:
        await in_step(*sessions)
        for n in range(50):
            write(one, 1, f"edition {n}")
            await until(lambda n=n: titles(two) == {1: f"edition {n}"})


async def test_a_bootstrap_of_many_messages_while_others_write() -> None:
    one, two, late = subscribed(), subscribed(), subscribed()
    async with serving() as place, connected(place, one, two) as sessions:
        for first in range(0, 1500, 100):
            with one.write() as transaction:
                for key in range(first, first + 100):
                    edit = transaction.create("Book", key)
                    edit.scope().set("title", f"{key} " + "x" * 1000)
        await in_step(*sessions)
        async with connected(place, late) as [session]:
            await until(lambda: session.status.state is SyncState.CONNECTED)
            for key in range(1500, 1550):
                write(two, key, "meanwhile")
            await in_step(*sessions, session)
            assert titles(late) == titles(one) == titles(two)
            assert len(titles(late)) == 1550


async def test_sync_without_trio() -> None:
    async with serving() as place:
        url = f"ws://127.0.0.1:{place.port}/"

        def application() -> None:
            one, two = subscribed(), subscribed()
            with Sync(one, url, "books", "dev:ada") as first:
                write(one, 1, "Emma")
                first.wait_for_upload(timeout=10)
                with Sync(two, url, "books", lambda: "dev:bob") as second:
                    second.wait_for_download(timeout=10)
                    assert titles(two) == {1: "Emma"}
                    assert second.status.state is SyncState.CONNECTED
                assert second.status.state is SyncState.STOPPED
                with pytest.raises(UsageError, match="stopped"):
                    second.wait_for_download(timeout=10)
                second.stop()
            third = Sync(two, url, "forbidden", "dev:bob")
            with third, pytest.raises(SessionError, match="forbidden"):
                third.wait_for_download(timeout=10)
            nowhere = Sync(one, "ws://127.0.0.1:1/", "books", "dev:ada")
            with pytest.raises(UsageError, match="not started"):
                nowhere.wait_for_upload()
            with nowhere, pytest.raises(TimeoutError, match="refused"):
                nowhere.wait_for_download(timeout=0.3)
            with pytest.raises(UsageError, match="no ws://"):
                Sync(one, "books", "books", "dev:ada")

        await trio.to_thread.run_sync(application)


# -- servers come and go ---------------------------------------------------------------------------
async def test_a_killed_server_comes_back() -> None:
    stores = Stores()
    one, two = subscribed(), subscribed()
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    place = Place("127.0.0.1", listener.socket.getsockname()[1])
    async with connected(place, one, two) as sessions:
        async with open_server(host(stores)) as server, trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, server.handle, [listener])
            write(one, 1, "Emma")
            await in_step(*sessions)
            nursery.cancel_scope.cancel()  # no goodbye: sockets just close
        await until(lambda: all(s.status.state is SyncState.OFFLINE for s in sessions))
        write(one, 1, "Emma, offline")
        write(two, 2, "Persuasion, offline")
        async with serving(host(stores), port=place.port):
            await in_step(*sessions)
            assert titles(one) == titles(two)
            assert titles(two) == {1: "Emma, offline", 2: "Persuasion, offline"}


async def test_a_graceful_shutdown_says_so_and_clients_come_back() -> None:
    """CONN-4"""
    stores = Stores()
    db = subscribed()
    told: list[Exception | None] = []
    async with serving(host(stores)) as place:
        pass
    session = SyncSession(db, "books", ada, on_status=lambda status: told.append(status.error))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_client, [session], f"ws://127.0.0.1:{place.port}/")
        with trio.fail_after(30):
            async with serving(host(stores), port=place.port):
                await session.wait_for_download()
                told.clear()
            errors = [error.code for error in told if isinstance(error, SessionError)]
            assert errors == [ErrorCode.SHUTTING_DOWN]
            async with serving(host(stores), port=place.port):
                await session.wait_for_download()
        nursery.cancel_scope.cancel()


async def test_a_shutdown_does_not_wait_for_who_does_not_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "SHUTDOWN_GRACE_S", 0.2)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 60.0)
    async with serving() as place:
        stream = await trio.open_tcp_stream("127.0.0.1", place.port)
        caller = await Caller.over(stream)
        await caller.hello()
        silent = await trio.open_tcp_stream("127.0.0.1", place.port)
        start = trio.current_time()
    assert 0.2 <= trio.current_time() - start < 5
    error = await caller.receive(Error)
    assert (error.session, error.code) == (0, ErrorCode.SHUTTING_DOWN)
    await trio.aclose_forcefully(stream)
    await trio.aclose_forcefully(silent)


async def test_a_port_that_is_taken() -> None:
    async with serving() as place:
        with pytest.raises(UsageError, match=f"can't listen on 127.0.0.1:{place.port}"):
            await serve(host(), port=place.port)


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/", 426), ("/x", 404)])
async def test_http(path: str, status: int) -> None:
    def get(port: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    async with serving() as place:
        assert (await trio.to_thread.run_sync(get, place.port))[0] == status
