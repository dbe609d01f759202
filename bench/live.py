"""Latency of a write at other devices, and what an idle session costs the server."""

from __future__ import annotations

import os
import random
import ssl
import sys
from functools import partial
from pathlib import Path
from time import perf_counter

import trio
import trustme

from bench.data import SCHEMA, document
from bench.harness import Figure, figure, percentile, scratch
from bench.servers import serving
from replication.client.database import Database
from replication.crdt.view import query_values
from replication.model.values import Value
from replication.net.client import run_client
from replication.net.local import open_database
from replication.net.session import SyncSession
from replication.storage.memory import MemoryStore

#: Writes before those that are measured.
WARM_UP = 500


class _Watcher:
    """Live results that only note when a change arrived."""

    def __init__(self) -> None:
        self.seen = 0.0
        self.event: trio.Event = trio.Event()
        self.token = trio.lowlevel.current_trio_token()

    def tell(self, changes: object) -> None:
        """A transaction is durable here."""
        if changes:
            self.seen = perf_counter()
            self.token.run_sync_soon(self._set)

    def _set(self) -> None:
        self.event.set()


async def _token() -> str:
    return "bench"


def _devices(folder: Path, count: int, *, durable: bool) -> list[Database]:
    out = []
    for number in range(count):
        if durable or number == 0:
            db = open_database(folder / f"{number}.db", SCHEMA)
        else:
            db = Database(MemoryStore(query_values), SCHEMA, wall_ms=lambda: 400_000_000_000)
        with db.subscriptions.edit() as edit:
            edit.add("Item")
        out.append(db)
    return out


def _write(db: Database, key: int, values: dict[str, Value]) -> None:
    with db.write() as tx:
        scope = tx.create("Item", key).scope()
        for name, value in values.items():
            scope.set(name, value)


async def _measure(dbs: list[Database], url: str, writes: int, *, durable: bool) -> list[float]:
    """Seconds from before the commit of a write until the last device has it.

    The files have been written to for a while by then: while a write-ahead log still grows, each
    commit costs the file system several times what it does later.
    """
    sessions = [SyncSession(dbs[0], "bench", _token)]
    sessions += [SyncSession(db, "bench", _token, blocking=durable) for db in dbs[1:]]
    watchers = [_Watcher() for _ in dbs[1:]]
    took = []
    r = random.Random(2)
    async with trio.open_nursery() as nursery:
        for session in sessions:
            nursery.start_soon(lambda session=session: run_client([session], url))
        for session in sessions:
            await session.wait_for_upload()
            await session.wait_for_download()
        for key in range(WARM_UP):
            _write(dbs[0], key, document(r))
            await sessions[0].wait_for_upload()
        for session in sessions[1:]:
            await session.wait_for_download()
        for db, watcher in zip(dbs[1:], watchers, strict=True):
            db.observe(watcher)  # type: ignore[arg-type]
        for key in range(WARM_UP, WARM_UP + writes):
            values = document(r)
            for watcher in watchers:
                watcher.event = trio.Event()
            started = perf_counter()
            _write(dbs[0], key, values)
            for watcher in watchers:
                await watcher.event.wait()
            took.append(max(watcher.seen for watcher in watchers) - started)
            await sessions[0].wait_for_upload()  # writes that come one by one, not a queue of them
        nursery.cancel_scope.cancel()
    return took


def latency(runs: int, *, quick: bool) -> list[Figure]:
    """One write seen by another device, and by a hundred."""
    out = []
    for others, durable, most in ((1, True, 3), (100, False, 25)):
        count = min(others, 10) if quick else others
        medians, tails = [], []
        for _ in range(runs):
            with scratch() as folder, serving(folder / "server.db") as (url, _):
                dbs = _devices(folder, 1 + count, durable=durable)
                took = trio.run(partial(_measure, dbs, url, 20 if quick else 200, durable=durable))
                for db in dbs:
                    db.close()
            medians.append(percentile(took, 0.5) * 1000)
            tails.append(percentile(took, 0.99) * 1000)
        done = figure(f"one write seen by {count} other(s), p50", "ms", medians)
        done.target = f"<= {most} ms"
        done.extra["p99, ms"] = max(tails)
        out.append(done)
    return out


def rss(process: int) -> int:
    """KiB that a process holds in memory."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise OSError("no VmRSS: this figure needs Linux")


def cpu(process: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


#: The clients of the idle sessions, in a process of their own.
_CLIENTS = """
import ssl, sys, trio
from bench.live import idle_clients
trio.run(idle_clients, sys.argv[1], int(sys.argv[2]), sys.argv[3])
"""


async def idle_clients(url: str, count: int, authority: str) -> None:
    """Connect ``count`` files, each on a connection of its own; say so, and stay."""
    context = ssl.create_default_context(cafile=authority) if authority else None
    sessions = []
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            db = Database(MemoryStore(query_values), SCHEMA, wall_ms=lambda: 400_000_000_000)
            with db.subscriptions.edit() as edit:
                edit.add("Item", "i0 == 1")
            session = SyncSession(db, "bench", _token)
            sessions.append(session)
            nursery.start_soon(lambda s=session: run_client([s], url, ssl_context=context))
            if len(sessions) % 50 == 0:
                await session.wait_for_download()
        for session in sessions:
            await session.wait_for_download()
        print("ready", flush=True)
        await trio.sleep_forever()


async def _idle(url: str, server: int, count: int, authority: str) -> float:
    """KiB of the server process for each of ``count`` sessions."""
    # A first batch stays connected: what is paid once is paid, and nothing is free for reuse.
    first = await _clients(url, count // 5, authority)
    before = rss(server)
    second = await _clients(url, count, authority)
    size = (rss(server) - before) / count
    for process in (first, second):
        process.kill()
        await process.wait()
    return size


def _certificate(folder: Path) -> tuple[str, str]:
    """The files of a server's certificate with its key, and of the authority it is from."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    chain = folder / "server.pem"
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(chain)
    )
    return str(chain), str(folder / "ca.pem")


async def _clients(url: str, count: int, authority: str) -> trio.Process:
    command = [sys.executable, "-c", _CLIENTS, url, str(count), authority]
    process = await trio.lowlevel.open_process(command, stdout=-1)
    assert process.stdout is not None
    said = b""
    while not said.endswith(b"\n"):
        said += await process.stdout.receive_some() or b"ended early\n"
    assert said == b"ready\n", said
    return process


def idle(runs: int, *, quick: bool) -> list[Figure]:
    """Memory of an idle connected session at the server, each on a connection of its own."""
    count = 100 if quick else 500
    out = []
    for tls, most in ((False, 25), (True, 45)):
        sizes = []
        for _ in range(runs):
            with scratch() as folder:
                certificate, authority = _certificate(folder) if tls else ("", "")
                # A server process for each run: a process that had sessions keeps their memory.
                with serving(None, certificate) as (url, server):
                    sizes.append(trio.run(_idle, url, server, count, authority))
        name = f"idle session, {'TLS' if tls else 'plain'}"
        done = figure(name, "KiB", sizes)
        done.target = f"<= {most} KiB"
        out.append(done)
    return out
