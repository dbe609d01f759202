"""Scenarios that files can't say: devices with schemas of their own, and a server that writes."""

from __future__ import annotations

import random

import pytest

from replication.client.database import Database
from replication.crdt.edit import Author
from replication.crdt.view import query_values
from replication.history.changeset import ObjectDelta
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.simulation.shown import shown
from replication.simulation.world import NAMESPACE, Device, Server
from replication.storage.memory import MemoryStore

of = Property.of
FOO = ClassSchema("foo", [of("i", "int"), of("s", "string")], key="int")
BAR = ClassSchema("bar", [of("i", "int")], key="int")


class World(Server):
    """A server and a device for each schema."""

    def __init__(self, *schemas: Schema) -> None:
        self.ms = 1000
        numbers = iter(range(1, 10_000))
        store = MemoryStore(query_values)
        super().__init__(store, wall_ms=lambda: self.ms, entropy=lambda: next(numbers))
        self.devices = []
        for number, schema in enumerate(schemas):
            db = Database(MemoryStore(query_values), schema, wall_ms=lambda: self.ms)
            device = Device(self, db, f"device {number}")
            with db.subscriptions.edit() as edit:
                for item in schema:
                    edit.add(item.name)
            self.devices.append(device)

    def settle(self) -> None:
        """Everybody exchanges everything."""
        for _ in range(3):
            for device in self.devices:
                device.sync()

    def states(self, schema: Schema) -> list[object]:
        """What the server and each device show."""
        out: list[object] = []
        for store in (self.store, *(device.db.store for device in self.devices)):
            with store.read() as reader:
                out.append(shown(reader, schema, {item.name: "_id" for item in schema}))
        return out


@pytest.mark.parametrize("second", [[FOO, BAR], [BAR, FOO]], ids=["same order", "other order"])
def test_two_devices_add_the_same_classes(second: list[ClassSchema]) -> None:
    """A3, A4: an identical addition merges."""
    both = Schema([FOO, BAR])
    world = World(both, Schema(second))
    world.settle()
    assert [device.db.known_schema for device in world.devices] == [both, both]
    with world.store.read() as reader:
        types = world.host.namespace(NAMESPACE).types(reader)
    assert types is not None
    assert types.schema == both


def test_a_contradicting_property_is_refused_alone() -> None:
    """A7: nobody is reset. Nothing but that property stops."""
    other = Schema([ClassSchema("foo", [of("i", "string"), of("s", "string")], key="int")])
    first, second = (world := World(Schema([FOO]), other)).devices
    first.sync()
    refused: list[object] = []
    second.db.on_refused(refused.extend)
    with second.db.write():
        second.db.create("foo", _id=1, i="x", s="taken")
    world.settle()
    assert len(refused) > 0
    assert any("foo.i" in str(each) and "string" in str(each) for each in refused), refused
    (found, _, _) = world.states(Schema([FOO]))
    assert found == {"foo": [{"_id": 1, "i": 0, "s": "taken"}]}


@pytest.mark.parametrize("seed", range(20))
def test_the_server_writes_between_its_clients(seed: int) -> None:
    """A41: it is one more origin."""
    r = random.Random(seed)
    schema = Schema([FOO])
    world = World(schema, schema)
    world.settle()
    namespace = world.host.namespace(NAMESPACE)

    def make(author: Author) -> list[ObjectDelta]:
        group = [*author.stamp, {"i": r.randrange(100)}]
        return [ObjectDelta("foo", r.randrange(3), [1, 1, [], {0: [group]}], blind=True)]

    for _ in range(30):
        world.ms += r.randrange(3)
        if r.random() < 0.3:
            with world.store.write() as writer:
                namespace.write(writer, make)
            world.host.published(NAMESPACE)
            continue
        device = r.choice(world.devices)
        if r.random() < 0.3:
            device.sync()
            continue
        key = r.randrange(3)
        with device.db.write():
            held = device.db.get("foo", key)
            if held is None:
                device.db.create("foo", _id=key, i=r.randrange(100))
            elif r.random() < 0.2:
                device.db.delete(held)
            else:
                held.i = r.randrange(100)
    world.settle()
    server, *devices = world.states(schema)
    assert devices == [server, server]
