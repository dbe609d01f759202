"""Local writes, integration, and what a store's size costs; each beside raw SQLite."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import apsw
import msgpack

from bench.data import FIELDS, SCHEMA, changesets, created, document
from bench.harness import Figure, figure, percentile, raw, scratch
from bench.servers import namespace, wall_ms
from replication.client.database import Database
from replication.clock import time_from_ms
from replication.crdt.view import query_values
from replication.history.changeset import DIGEST_START
from replication.limits import COMMIT_CHANGESETS_MAX
from replication.model.encoding import pack
from replication.model.values import Timestamp
from replication.net.local import open_database
from replication.storage.sqlite import SQLiteStore


def _filled(path: Path, count: int) -> Database:
    db = open_database(path, SCHEMA)
    r = random.Random(1)
    for start in range(0, count, 1000):
        with db.write() as tx:
            for key in range(start, min(count, start + 1000)):
                scope = tx.create("Item", key).scope()
                for name, value in document(r).items():
                    scope.set(name, value)
    return db


def _updates(db: Database, keys: list[int], per: int) -> list[float]:
    """Seconds of each transaction that sets one field of ``per`` objects."""
    took = []
    for at in range(0, len(keys), per):
        started = perf_counter()
        with db.write() as tx:
            for key in keys[at : at + per]:
                tx.edit("Item", key).scope().set("i2", at * 1000 + key)
        took.append(perf_counter() - started)
    return took


def _table(path: Path, count: int) -> apsw.Connection:
    connection = raw(path)
    connection.execute(
        "CREATE TABLE o (id INTEGER PRIMARY KEY, key UNIQUE, version, head BLOB, a, b);"
        "CREATE INDEX oa ON o (a); CREATE INDEX ob ON o (b);"
        "CREATE TABLE base (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID;"
        "CREATE TABLE pending (version INTEGER PRIMARY KEY, value BLOB);"
        "CREATE TABLE meta (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"
    )
    r = random.Random(1)
    with connection:
        for key in range(count):
            d = document(r)
            head = pack(created(d, 1 << 40, 5))
            connection.execute(
                "INSERT INTO o VALUES (?, ?, 0, ?, ?, ?)", (key + 1, key, head, d["i0"], d["i1"])
            )
    return connection


def _raw_updates(connection: apsw.Connection, keys: list[int], per: int) -> list[float]:
    """The same rows without an engine: head, base, pending and meta, every write changing bytes."""
    head, change, took = bytes(160), bytes(60), []
    execute = connection.execute
    for at in range(0, len(keys), per):
        started = perf_counter()
        execute("BEGIN IMMEDIATE")
        for key in keys[at : at + per]:
            name = key.to_bytes(12, "big")
            mark = at.to_bytes(8, "big") + name
            execute("SELECT id, version, head FROM o WHERE key = ?", (key,)).fetchall()
            execute("SELECT value FROM base WHERE key = ?", (name,)).fetchall()
            execute("UPDATE o SET version = ?, head = ? WHERE key = ?", (at, head + mark, key))
            execute("INSERT OR REPLACE INTO base VALUES (?, ?)", (name, head + mark))
        execute("INSERT INTO pending (value) VALUES (?)", (change * per,))
        execute("INSERT OR REPLACE INTO meta VALUES ('local', ?)", (at.to_bytes(40, "big"),))
        execute("COMMIT")
        took.append(perf_counter() - started)
    return took


def local_writes(runs: int, *, quick: bool) -> list[Figure]:
    """Single-field updates over 10,000 objects, durable, in the caller's thread."""
    count, singles = (1000, 200) if quick else (10_000, 1000)
    r = random.Random(3)
    each, floors, hundred, hundred_floors = [], [], [], []
    with scratch() as folder, _filled(folder / "ours.db", count) as db:
        bare = _table(folder / "raw.db", count)
        for _ in range(runs):
            keys = [r.randrange(count) for _ in range(singles)]
            floors.append(percentile(_raw_updates(bare, keys, 1), 0.5) * 1e6)
            each.append(percentile(_updates(db, keys, 1), 0.5) * 1e6)
            keys = [r.randrange(count) for _ in range(10 * singles)]
            hundred_floors.append(len(keys) / sum(_raw_updates(bare, keys, 100)))
            hundred.append(len(keys) / sum(_updates(db, keys, 100)))
        bare.close()
    one = figure("local update, 1 a transaction", "us", each, floors, "floor + 60 us")
    one.extra["above the floor, us"] = one.value - (one.floor or 0)
    many = figure("local updates, 100 a transaction", "updates/s", hundred, hundred_floors)
    many.target = ">= 0.4 x raw"
    return [one, many]


def integration(runs: int, *, quick: bool) -> list[Figure]:
    """10,000 one-object changesets, at most 1,000 a commit, durable."""
    count = 2000 if quick else 10_000
    rates, floors = [], []
    for _ in range(runs):
        with scratch() as folder:
            store = SQLiteStore(folder / "server.db", query_values)
            space = namespace(store)
            with store.write() as writer:
                ident, _, _ = space.open_file(writer, "bench", 0, 0)
            start = time_from_ms(wall_ms() - 86_400_000)
            uploads = changesets(count, ident, start, per=1, writes=1)
            started = perf_counter()
            for first in range(0, count, COMMIT_CHANGESETS_MAX):
                batch = uploads[first : first + COMMIT_CHANGESETS_MAX]
                with store.write() as writer:
                    done = space.integrate(writer, 1, ident, first + 1, batch)
                assert done.error is None
                assert not any(ack.refusals for ack in done.answers)  # type: ignore[union-attr]
            rates.append(count / (perf_counter() - started))
            with store.read() as reader:
                assert reader.count("Item") == count
            store.close()
            floors.append(count / _raw_integration(folder / "raw.db", uploads))
    done_ = figure("integration of one-object changesets", "changesets/s", rates, floors)
    done_.target = ">= 15,000/s"
    return [done_]


def _raw_integration(path: Path, uploads: list[bytes]) -> float:
    connection = _table(path, 0)
    connection.execute("CREATE TABLE log (version INTEGER PRIMARY KEY, value BLOB)")
    execute = connection.execute
    started = perf_counter()
    for first in range(0, len(uploads), COMMIT_CHANGESETS_MAX):
        execute("BEGIN IMMEDIATE")
        for at in range(first, min(len(uploads), first + COMMIT_CHANGESETS_MAX)):
            data = uploads[at]
            execute("SELECT id, version, head FROM o WHERE key = ?", (at,)).fetchall()
            execute(
                "INSERT INTO o (key, version, head, a, b) VALUES (?, ?, ?, ?, ?)",
                (at, at, data, at % 1000, at),
            )
            execute("INSERT INTO log (value) VALUES (?)", (DIGEST_START + data,))
        execute("COMMIT")
    took = perf_counter() - started
    connection.close()
    return took


def scaling(runs: int, *, quick: bool) -> list[Figure]:
    """The same update, one a transaction, in a small store and in a large one."""
    large, updates = (20_000, 200) if quick else (1_000_000, 500)
    r = random.Random(5)
    small_runs, large_runs = [], []
    tails = {1000: [0.0], large: [0.0]}
    with scratch() as folder:
        stores = {size: _filled(folder / f"{size}.db", size) for size in (1000, large)}
        for _ in range(runs):
            for size, out in ((1000, small_runs), (large, large_runs)):
                took = _updates(stores[size], [r.randrange(size) for _ in range(updates)], 1)
                out.append(percentile(took, 0.5) * 1e6)
                tails[size].append(percentile(took, 0.99) * 1e6)
        for db in stores.values():
            db.close()
    done = figure(f"update in {large:,} objects, against 1,000", "us", large_runs, small_runs)
    done.target = "ratio <= 1.3"
    done.extra["p99 large, us"] = max(tails[large])
    done.extra["p99 small, us"] = max(tails[1000])
    return [done]


def at_rest(runs: int, *, quick: bool) -> list[Figure]:
    """Bytes of a ten-field object at rest against its plain MessagePack."""
    del quick
    r = random.Random(9)
    ratios: dict[int, list[float]] = {1: [], 10: []}
    for _ in range(max(runs, 100)):
        d = document(r)
        plain = len(msgpack.packb(_plain(d)))
        for stamps, out in ratios.items():
            out.append(len(pack(_state(d, stamps))) / plain)
    return [
        figure("object at rest / plain, 1 stamp", "x", ratios[1], target="<= 1.3"),
        figure("object at rest / plain, 10 stamps", "x", ratios[10], target="<= 2"),
    ]


def _plain(fields: dict[str, object]) -> dict[str, object]:
    def value(item: object) -> object:
        return msgpack.Timestamp(item.seconds, 0) if isinstance(item, Timestamp) else item

    return {name: value(item) for name, item in fields.items()}


def _state(fields: dict[str, object], stamps: int) -> object:
    time = time_from_ms(375_000_000_000)
    names = sorted(FIELDS)
    groups = [
        [time + at * 65536, 5, {name: fields[name] for name in names[at::stamps]}]
        for at in range(stamps)
    ]
    return [1, 1, [], {0: groups}]


Bench = Callable[..., list[Figure]]
