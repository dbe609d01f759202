"""Servers for the benchmarks: a filled store, and a process that serves it."""

from __future__ import annotations

import random
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio

from bench.data import SCHEMA, changesets
from replication.clock import ms_from_unix, time_from_ms
from replication.crdt.view import query_values
from replication.limits import UPLOAD_CHANGESETS_MAX
from replication.model.schema import Schema
from replication.net.process import settle
from replication.net.server import serve
from replication.rules.roles import OPEN, Rules
from replication.server.host import Host
from replication.server.namespace import Namespace
from replication.server.users import User
from replication.storage.contract import Store
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore


def wall_ms() -> int:
    """The machine's clock."""
    return ms_from_unix(time.time())


def host(store: Store, schema: Schema = SCHEMA, rules: Rules = OPEN) -> Host:
    """A server of one namespace."""
    return Host(
        lambda _name: store,
        lambda token: User(token),
        entropy=lambda: random.getrandbits(63),
        wall_ms=wall_ms,
        schema=lambda _name: schema,
        rules=lambda _name: rules,
    )


def namespace(store: Store) -> Namespace:
    """The namespace alone."""
    return Namespace(store, entropy=lambda: random.getrandbits(63), wall_ms=wall_ms, schema=SCHEMA)


def filled(path: Path, count: int, *, writes: int = 1) -> None:
    """A server's store with ``count`` objects, each written in ``writes`` transactions."""
    store = SQLiteStore(path, query_values)
    space = namespace(store)
    with store.write() as writer:
        ident, _, _ = space.open_file(writer, "bench", 0, 0)
    start = time_from_ms(wall_ms() - 86_400_000)
    pending = changesets(count, ident, start, per=500, writes=writes)
    for first in range(0, len(pending), UPLOAD_CHANGESETS_MAX):
        batch = pending[first : first + UPLOAD_CHANGESETS_MAX]
        with store.write() as writer:
            done = space.integrate(writer, 1, ident, first + 1, batch)
        assert done.error is None, done.error
    store.close()


@contextmanager
def serving(path: Path | None, certificate: str = "", rules: str = "") -> Iterator[tuple[str, int]]:
    """A server process over a store (None: in memory); yields its URL and process id.

    Args:
        certificate: a file with the certificate and key for TLS; "" for plain connections.
        rules: which of `bench.rules.RULES` it goes by.
    """
    command = [sys.executable, "-m", "bench.servers", str(path or ""), certificate, rules]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()
            process.wait(30)


async def _main(path: str, certificate: str, rules: str) -> None:
    from bench.rules import RULES  # which needs this module

    store: Store = SQLiteStore(path, query_values) if path else MemoryStore(query_values)
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    async with trio.open_nursery() as nursery:
        server = partial(serve, host(store, rules=RULES[rules]), port=0, ssl_context=context)
        places = await nursery.start(server)
        settle()  # as `replication serve` does
        print(f"{'wss' if context else 'ws'}://127.0.0.1:{places[0].port}/", flush=True)


if __name__ == "__main__":
    trio.run(_main, *sys.argv[1:])
