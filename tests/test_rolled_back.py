"""Files restored from a backup: what was integrated of them counts once."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from net_peers import host, wall_ms

from replication.client.database import Database
from replication.crdt.view import query_values
from replication.model.declare import Counter, Object, schema_of
from replication.net.client import SyncSession, run_client
from replication.net.server import open_server
from replication.server.host import Host
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore


class Book(Object):
    """What counts, and what is kept in order."""

    _id: int
    copies: Counter
    tags: list[str]


SCHEMA = schema_of(Book)


def opened(path: Path | None) -> Database:
    store = MemoryStore(query_values) if path is None else SQLiteStore(path, query_values)
    db = Database(store, SCHEMA, wall_ms=wall_ms)
    if not db.subscriptions.latest.version:
        with db.subscriptions.edit() as wanted:
            wanted.add(Book, "TRUEPREDICATE")
    return db


def write(db: Database, amount: int) -> None:
    """One transaction: count, and tell so in the list."""
    with db.write():
        book = db.get(Book, 1) or db.create(Book, _id=1)
        book.copies.add(amount)
        book.tags.append(str(amount))


async def sync(at: Host, db: Database) -> None:
    async with open_server(at) as server, trio.open_nursery() as nursery:

        async def open_stream(_host: str, _port: int) -> trio.abc.Stream:
            near, far = trio.testing.memory_stream_pair()
            nursery.start_soon(server.handle, near)
            await trio.lowlevel.checkpoint()
            return far

        async def ada() -> str:
            return "dev:ada"

        session = SyncSession(db, "books", ada)
        nursery.start_soon(partial(run_client, [session], "ws://x/", open_stream=open_stream))
        with trio.fail_after(30):
            await session.wait_for_upload()
            await session.wait_for_download()
            await session.wait_for_download()
        nursery.cancel_scope.cancel()


def shown(db: Database) -> tuple[int, list[str]]:
    book = db.get(Book, 1)
    assert book is not None
    return int(book.copies), sorted(book.tags)


@pytest.mark.parametrize("goes_on", [False, True], ids=["as it was", "written to before"])
@pytest.mark.parametrize("pending", [0, 1, 2], ids=lambda count: f"{count} pending")
async def test_a_file_that_was_rolled_back_counts_once(
    tmp_path: Path, pending: int, goes_on: bool
) -> None:
    """UP-10 UP-1: it used to upload again under its new ident what its other life had."""
    at = host()
    path, backup = tmp_path / "ada.db", tmp_path / "backup.db"
    db = opened(path)
    write(db, 1)
    await sync(at, db)
    for amount in (10, 100)[:pending]:
        write(db, amount)
    db.close()
    shutil.copy(path, backup)
    # One life goes on,
    db = opened(path)
    write(db, 1000)
    write(db, 2000)
    await sync(at, db)
    db.close()
    # and the other begins where the backup was made.
    amounts = [1, *(10, 100)[:pending], 1000, 2000]
    restored = opened(backup)
    if goes_on:
        write(restored, 5)
        amounts.append(5)
    await sync(at, restored)
    assert shown(restored) == (sum(amounts), sorted(map(str, amounts)))
    write(restored, 7)
    amounts.append(7)
    await sync(at, restored)
    other = opened(None)
    await sync(at, other)
    assert shown(restored) == shown(other) == (sum(amounts), sorted(map(str, amounts)))
    assert not restored.refusals()
    restored.close()
    at.close()
