"""Concurrent writes of two clients, from their pending logs through a server until all are equal.

Sessions are pumped in this process, messages through their bytes: what is measured is integration,
downloads and merging, and no network.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.harness import Figure, figure, percentile, scratch, timed
from bench.servers import host, wall_ms
from replication.client.agent import Agent
from replication.client.database import Database
from replication.crdt.parts import Parts
from replication.crdt.view import object_view, query_values
from replication.model.encoding import unpack_trusted
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import Key
from replication.protocol import messages
from replication.protocol.messages import Message
from replication.server.host import Host
from replication.server.pump import Pump
from replication.storage.contract import Store
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore

_FIELDS = [f"f{number}" for number in range(10)]
SCHEMA = Schema(
    [
        ClassSchema("Item", [Property.of(name, "int") for name in _FIELDS], key="int"),
        ClassSchema("Board", [Property.of("entries", "list<int>")], key="int"),
    ]
)
#: Operations a transaction.
_PER = 100


class _Client:
    """A client file and its session, pumped by hand."""

    def __init__(self, store: Store, server: Host) -> None:
        self.db = Database(store, SCHEMA, wall_ms=wall_ms)
        with self.db.subscriptions.edit() as edit:
            edit.add("Item")
            edit.add("Board")
        self._pump = Pump(server)
        self._agent = Agent(self.db, 1, "bench", "bench")
        self._inbox: list[bytes] = []
        self._send(self._agent.start())

    def _send(self, out: list[Message]) -> None:
        for message in out:
            answers = self._pump.deliver(messages.decode(messages.encode(message)))
            self._inbox += map(messages.encode, answers)

    def upload(self) -> None:
        """Send what is pending."""
        self._send(self._agent.wake())

    def step(self) -> bool:
        """Take what has come; False when there was nothing."""
        self.upload()
        while self._pump.awake:
            self._inbox += map(messages.encode, self._pump.poll(min(self._pump.awake)))
        inbox, self._inbox = self._inbox, []
        for data in inbox:
            self._send(self._agent.receive(messages.decode(data)))
        return bool(inbox)


def _world(folder: Path, *, durable: bool) -> tuple[list[_Client], list[Store]]:
    stores: list[Store] = [
        SQLiteStore(folder / name, query_values) if durable else MemoryStore(query_values)
        for name in ("server.db", "left.db", "right.db")
    ]
    server = host(stores[0], SCHEMA)
    clients = [_Client(store, server) for store in stores[1:]]
    _settle(clients)
    return clients, stores


def _settle(clients: list[_Client]) -> None:
    while True:
        busy = [client.step() for client in clients]
        if not any(busy):
            return


def _shown(client: _Client, class_name: str) -> dict[Key, Any]:
    """What a reader of a client's file sees, by key."""
    out = {}
    with client.db.store.read() as reader:
        for item in reader.all_objects(class_name):
            held = {part.name: part.data for part in reader.parts(class_name, item.row)}
            out[item.key] = object_view(unpack_trusted(item.head), Parts(held.get, list(held).copy))
    return out


def _raced(
    fill: Callable[[Database], None],
    write: Callable[[Database, random.Random], None],
    class_name: str,
    *,
    durable: bool,
) -> float:
    """Seconds from two pending logs to equal files."""
    with scratch() as folder:
        clients, stores = _world(folder, durable=durable)
        fill(clients[0].db)
        _settle(clients)
        for seed, client in enumerate(clients):
            write(client.db, random.Random(seed))
        took = timed(lambda: _settle(clients))
        shown = [_shown(client, class_name) for client in clients]
        assert shown[0] == shown[1], "the clients differ"
        for store in stores:
            store.close()
    return took


def _items(count: int) -> Callable[[Database], None]:
    def fill(db: Database) -> None:
        for start in range(0, count, 1000):
            with db.write() as tx:
                for key in range(start, min(count, start + 1000)):
                    scope = tx.create("Item", key).scope()
                    for name in _FIELDS:
                        scope.set(name, 0)

    return fill


def _sets(count: int, objects: int) -> Callable[[Database, random.Random], None]:
    def write(db: Database, r: random.Random) -> None:
        for _ in range(count // _PER):
            with db.write() as tx:
                for _ in range(_PER):
                    scope = tx.edit("Item", r.randrange(objects)).scope()
                    scope.set(r.choice(_FIELDS), r.randrange(1 << 30))

    return write


def _boards(count: int) -> Callable[[Database], None]:
    def fill(db: Database) -> None:
        with db.write() as tx:
            for key in range(count):
                tx.create("Board", key)

    return fill


def _inserts(count: int, lists: int) -> Callable[[Database, random.Random], None]:
    def write(db: Database, r: random.Random) -> None:
        for _ in range(count // _PER):
            with db.write() as tx:
                for _ in range(_PER):
                    edit = tx.edit("Board", r.randrange(lists))
                    editor = edit.editor((), "entries")
                    at = r.randrange(len(editor) + 1)
                    edit.scope().list_insert("entries", editor, at, [r.randrange(1 << 30)])

    return write


def merging(runs: int, *, quick: bool) -> list[Figure]:
    """Field sets and list inserts of two clients at once."""
    count = 1000 if quick else 10_000
    out = []
    for durable, least in ((True, 15_000), (False, 30_000)):
        rates = [
            2 * count / _raced(_items(count), _sets(count, count), "Item", durable=durable)
            for _ in range(runs)
        ]
        kind = "durable" if durable else "memory stores"
        out.append(figure(f"concurrent field sets, {kind}", "sets/s", rates))
        out[-1].target = f">= {least:,}/s"
    one = [_raced(_boards(1), _inserts(count, 1), "Board", durable=True) for _ in range(runs)]
    twice = [_raced(_boards(1), _inserts(2 * count, 1), "Board", durable=True) for _ in range(runs)]
    out.append(figure(f"{count:,} + {count:,} inserts into one list", "s", one, target="<= 1 s"))
    out.append(figure("twice as many, against that", "s", twice, one, target="ratio <= 2.3"))
    many = [
        2 * count / _raced(_boards(100), _inserts(count, 100), "Board", durable=True)
        for _ in range(runs)
    ]
    out.append(figure("the same into 100 lists", "inserts/s", many, target=">= 15,000/s"))
    return out


def _long_list(path: Path, count: int) -> Database:
    db = Database(SQLiteStore(path, query_values), SCHEMA, wall_ms=wall_ms)
    with db.write() as tx:
        edit = tx.create("Board", 0)
        edit.scope().list_insert("entries", edit.editor((), "entries"), 0, range(count))
    return db


def _one_inserts(db: Database, count: int, r: random.Random) -> float:
    """Median seconds of a transaction that inserts one element into an open list."""
    entries = db.get("Board", 0).entries
    took = []
    for _ in range(count):
        at = r.randrange(len(entries) + 1)
        started = perf_counter()
        with db.write():
            entries.insert(at, 7)
        took.append(perf_counter() - started)
    return percentile(took, 0.5)


def lists(runs: int, *, quick: bool) -> list[Figure]:
    """One insert into an open list, and the first access to a cold one."""
    large, inserts = (2000, 20) if quick else (10_000, 100)
    long_runs, short_runs, cold = [], [], []
    r = random.Random(4)
    for _ in range(runs):
        with scratch() as folder:
            dbs = {size: _long_list(folder / f"{size}.db", size) for size in (100, large)}
            for size, out in ((100, short_runs), (large, long_runs)):
                out.append(_one_inserts(dbs[size], inserts, r) * 1e6)
            for db in dbs.values():
                db.close()
            db = Database(
                SQLiteStore(folder / f"{large}.db", query_values), SCHEMA, wall_ms=wall_ms
            )
            started = perf_counter()
            assert db.get("Board", 0).entries[large // 2] is not None
            cold.append((perf_counter() - started) * 1e3)
            db.close()
    name = f"insert into an open list of {large:,}, against 100"
    return [
        figure(name, "us", long_runs, short_runs, target="ratio <= 2"),
        figure(f"first access to a cold list of {large:,}", "ms", cold, target="<= 50 ms"),
    ]
