"""A server and devices in one process, pumped by hand: real engines and sessions, no network."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from replication.client.database import Database
from replication.client.records import load_synced
from replication.crdt.forget import forget
from replication.crdt.object import is_alive
from replication.crdt.parts import Parts
from replication.crdt.view import object_view, query_values, queryable
from replication.crdt.whole import joined
from replication.model.encoding import pack, unpack_trusted
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.query import parse
from replication.server.tables import load_ledger
from replication.simulation import world as simulated
from replication.storage.contract import Reader, Store, StoredObject
from replication.storage.memory import MemoryStore

of = Property.of
LIBRARY = Schema(
    [
        ClassSchema(
            "Book",
            [
                of("title", "string", queryable=True),
                of("year", "int", queryable=True),
                of("copies", "counter"),
                of("tags", "set<string>"),
                of("notes", "list<int>"),
                of("extra", "dict<mixed>"),
                of("home", "embedded:Place"),
                of("anything", "mixed"),
                of("body", "text"),
            ],
            key="int",
        ),
        ClassSchema("Place", [of("city", "string?"), of("rooms", "list<int>")]),
    ]
)


class Device(simulated.Device):
    """One device: a client file and, while it is connected, an agent and its connection."""

    def __init__(self, world: World, number: int, store: Store | None = None) -> None:
        self.world = world
        self.number = number
        self.ms = world.ms
        self.store = store or MemoryStore(query_values)
        self.offset = 0
        self.openings = 0
        super().__init__(world, self._opened(), "dev:ada")

    def open(self) -> None:
        """Open the file (again)."""
        self.db = self._opened()
        self.agent = self.pump = None
        self.outbox.clear()
        self.inbox.clear()

    def _opened(self) -> Database:
        rng = random.Random(f"{self.number} {self.openings}")
        self.openings += 1
        return Database(
            self.store,
            self.world.schema,
            wall_ms=lambda: self.world.ms + self.offset,
            entropy=lambda: rng.getrandbits(53),
        )

    def subscribe(self, query: str = "TRUEPREDICATE") -> None:
        """Replace the subscription set."""
        with self.db.subscriptions.edit() as edit:
            edit.clear()
            edit.add("Book", query)

    def view(self) -> dict[Any, Any]:
        """What a reader of this device sees, by key."""
        with self.store.read() as reader:
            return visible(reader)

    def states(self) -> dict[Any, bytes]:
        """The canonical states of the living objects, parts joined, by key."""
        with self.store.read() as reader:
            return canonical(reader)


class World(simulated.Server):
    """A server and its devices.

    Args:
        devices: how many.
        make: the store of each device.
        options: of the host.
    """

    def __init__(
        self,
        devices: int = 2,
        *,
        store: Store | None = None,
        make: Callable[[int], Store] | None = None,
        schema: Schema = LIBRARY,
        **options: Any,
    ) -> None:
        self.ms = 400_000_000_000
        self.schema = schema
        self.random = random.Random(7)
        super().__init__(
            store or MemoryStore(query_values),
            wall_ms=lambda: self.ms,
            entropy=lambda: self.random.getrandbits(63),
            **options,
        )
        self.devices = [Device(self, i, make(i) if make else None) for i in range(devices)]

    def restart(self) -> None:
        """The server's process is gone and comes back."""
        for device in self.devices:
            device.cut()
        self.start()

    def settle(self) -> None:
        """All devices exchange everything, until nothing moves."""
        for _ in range(3):
            for device in self.devices:
                device.sync()

    def view(self) -> dict[Any, Any]:
        """What the server has, by key."""
        with self.store.read() as reader:
            return visible(reader)

    def states(self) -> dict[Any, bytes]:
        """The canonical states of the living objects at the server."""
        with self.store.read() as reader:
            return canonical(reader)

    def matching(self, query: str) -> dict[Any, bytes]:
        """The server's states that match a query, by brute force."""
        asked = parse(query)
        states = self.states()
        with self.store.read() as reader:
            return {
                item.key: states[item.key]
                for item in reader.all_objects("Book")
                if item.key in states and asked.matches(queryable(unpack_trusted(item.head)).get)
            }


def parts_of(reader: Reader, item: StoredObject) -> Parts:
    """The parts beside a stored head."""
    held = {part.name: part.data for part in reader.parts("Book", item.row)}
    return Parts(held.get, held.keys)


def visible(reader: Reader) -> dict[Any, Any]:
    """What a reader sees of all books."""
    out = {}
    for item in reader.all_objects("Book") if "Book" in reader.classes() else ():
        view = object_view(unpack_trusted(item.head), parts_of(reader, item))
        if view is not None:
            out[item.key] = view
    return out


def canonical(reader: Reader) -> dict[Any, bytes]:
    """The canonical states of all living books: lists spread over parts are joined, and what will
    be forgotten when it is next written to is.
    """
    out = {}
    horizon = max(load_ledger(reader).horizon, load_synced(reader).horizon)
    for item in reader.all_objects("Book") if "Book" in reader.classes() else ():
        state, parts = unpack_trusted(item.head), parts_of(reader, item)
        if is_alive(state):
            if item.version < horizon:
                state = forget(state, parts)
            out[item.key] = pack(joined(state, parts))
    return out
