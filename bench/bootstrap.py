"""Bootstrap: many objects into a durable client, two processes, against sending raw blobs."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import trio

from bench.data import INDEXED, SCHEMA
from bench.harness import Figure, figure, raw, scratch
from bench.servers import filled, serving
from replication.client.database import Database
from replication.crdt.view import query_values
from replication.net.client import run_client
from replication.net.local import open_database
from replication.net.session import SyncSession
from replication.storage.sqlite import SQLiteStore


class _Counting(trio.abc.Stream):
    """A stream that counts what it receives."""

    def __init__(self, stream: trio.abc.Stream, counts: list[int]) -> None:
        self._stream = stream
        self._counts = counts

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        self._counts[0] += len(data)
        return data

    async def send_all(self, data: Any) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bootstrap(db: Database, url: str, received: list[int]) -> float:
    async def token() -> str:
        return "bench"

    async def connect(host: str, port: int) -> trio.abc.Stream:
        return _Counting(await trio.open_tcp_stream(host, port), received)

    session = SyncSession(db, "bench", token)
    started = perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: run_client([session], url, open_stream=connect, random=random.random)
        )
        await session.wait_for_download()
        took = perf_counter() - started
        nursery.cancel_scope.cancel()
    return took


def client(path: Path, url: str, count: int) -> tuple[float, int]:
    """Bring a new client file up; seconds, and bytes received."""
    received = [0]
    with open_database(path, SCHEMA) as db:
        with db.subscriptions.edit() as edit:
            edit.add("Item")
        took = trio.run(_bootstrap, db, url, received)
        with db.store.read() as reader:
            assert reader.count("Item") == count, "not everything came"
    return took, received[0]


#: The floor's server: read the rows, send them raw.
_SENDER = """
import socket, struct, sys, apsw
source = apsw.Connection(sys.argv[1], flags=apsw.SQLITE_OPEN_READONLY)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    out, size = [], 0
    for key, version, head, a, b in source.execute(sys.argv[2]):
        out.append(struct.pack(">qqqqI", key, version, a, b, len(head)))
        out.append(head)
        size += len(head) + 36
        if size > 1_000_000:
            peer.sendall(struct.pack(">I", size) + b"".join(out))
            out, size = [], 0
    peer.sendall(struct.pack(">I", size) + b"".join(out) + struct.pack(">I", 0))
    peer.close()
"""


def _floor(path: Path, port: int, count: int) -> float:
    started = perf_counter()
    target = raw(path)
    target.execute(
        "CREATE TABLE o (id INTEGER PRIMARY KEY, key UNIQUE, version, head BLOB, a, b);"
        "CREATE INDEX oa ON o (a); CREATE INDEX ob ON o (b)"
    )
    peer = socket.create_connection(("127.0.0.1", port))
    stream = peer.makefile("rb", buffering=1 << 20)
    with target:
        while size := struct.unpack(">I", stream.read(4))[0]:
            target.executemany(
                "INSERT INTO o (key, version, a, b, head) VALUES (?, ?, ?, ?, ?)",
                _rows(stream.read(size)),
            )
    took = perf_counter() - started
    assert target.execute("SELECT count(*) FROM o").fetchall() == [(count,)]
    target.close()
    peer.close()
    return took


def _rows(data: bytes) -> Any:
    at = 0
    while at < len(data):
        key, version, a, b, size = struct.unpack_from(">qqqqI", data, at)
        at += 36
        yield key, version, a, b, data[at : at + size]
        at += size


def _select(path: Path) -> str:
    """How the floor reads what our store holds."""
    store = SQLiteStore(path, query_values, read_only=True)
    with store.read() as reader:
        assert set(INDEXED) <= set(reader.columns("Item"))
    store.close()
    connection = raw(path)
    (table,) = [
        name
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
        if sql and "head" in sql
    ]
    columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")').fetchall()]
    connection.close()
    indexed = ", ".join(name for name in columns if name.startswith("q"))
    return f'SELECT key, version, head, {indexed} FROM "{table}"'


def bootstrap(runs: int, *, quick: bool) -> list[Figure]:
    """100,000 objects of ten fields into a durable client."""
    count = 10_000 if quick else 100_000
    out = []
    for writes, most in ((1, 96), (10, 180)):
        ours, floors, sizes = [], [], []
        with scratch() as folder:
            filled(folder / "server.db", count, writes=writes)
            command = [
                sys.executable, "-c", _SENDER, str(folder / "server.db"),
                _select(folder / "server.db"),
            ]  # fmt: skip
            with (
                serving(folder / "server.db") as (url, _),
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender,
            ):
                assert sender.stdout is not None
                port = int(sender.stdout.readline())
                for run in range(runs):
                    floors.append(_floor(folder / f"floor{run}.db", port, count))
                    took, received = client(folder / f"client{run}.db", url, count)
                    ours.append(took)
                    sizes.append(received / count)
                sender.kill()
        name = f"bootstrap of {count:,} objects, written in {writes} transaction(s) each"
        out.append(figure(name, "s", ours, floors, "<= 2 x the floor"))
        wire = figure(f"the same on the wire, {writes}", "bytes/object", sizes)
        wire.target = f"<= {most}"
        out.append(wire)
    return out
