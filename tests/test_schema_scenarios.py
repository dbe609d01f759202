"""The anchor's scenarios of schema versions, rebuilt: 294 to 300 of its catalogue, and 290.

The anchor numbers schemas. A change that it calls breaking deletes a file's data, has it
downloaded again under another version, and may only be made by an asynchronous open. Ours has no
numbers, on purpose: schemas only grow [MODEL-60], an app that declares less sees less, and what
contradicts is refused alone [MODEL-67]. So there is nothing to migrate, nothing to reset and no
file to download again: what the anchor's scenarios end with has to hold without any of that.
Differences are named at each test. 289, a class that comes along with a change of mode, is
`test_classes_that_appear_later_get_a_subscription` of `test_partitions.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from client_files import check as check_file
from test_partitions import converted, meet

from replication.client.database import Database
from replication.client.subscription_set import SubscriptionState
from replication.crdt.view import query_values
from replication.errors import SchemaError, StoreBusyError, UsageError
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.net.local import open_database
from replication.simulation.world import NAMESPACE, Device, Server
from replication.storage.contract import Writer
from replication.storage.memory import MemoryStore

of = Property.of
BOOK = ClassSchema("Book", [of("title", "string"), of("year", "int")], key="int")
MORE = ClassSchema("Book", [*BOOK.properties.values(), of("pages", "int")], key="int")
PEN = ClassSchema("Pen", [of("ink", "string"), of("book", "link:Book")], key="int")
CUP = ClassSchema("Cup", [of("size", "int")], key="int")
FIRST, SECOND, THIRD = Schema([BOOK]), Schema([MORE, PEN]), Schema([MORE, PEN, CUP])


class KilledError(BaseException):
    """The process is gone: no handler of it runs any more."""


class MortalStore(MemoryStore):
    """A store whose process dies before or right behind one of its commits.

    Attributes:
        dies: 2 n for death before commit n, 2 n + 1 for death behind it.
    """

    def __init__(self) -> None:
        super().__init__(query_values)
        self.commits = 0
        self.dies: int | None = None

    @contextmanager
    def write(self) -> Iterator[Writer]:
        number = self.commits
        with super().write() as writer:
            yield writer
            if self.dies == 2 * number:
                raise KilledError
        self.commits += 1
        if self.dies == 2 * number + 1:
            raise KilledError


class World(Server):
    """A server in development mode, as the anchor's that takes what clients declare."""

    def __init__(self, **options: Any) -> None:
        self.ms = 1000
        numbers = iter(range(1, 10_000))
        super().__init__(
            MemoryStore(query_values),
            wall_ms=lambda: self.ms,
            entropy=lambda: next(numbers),
            **options,
        )

    def open(self, store: MemoryStore, schema: Schema | None) -> Device:
        """Open a file."""
        return Device(self, Database(store, schema, wall_ms=lambda: self.ms), "dev:ada")

    def new(self, schema: Schema, *classes: str) -> Device:
        """A new file, with subscriptions to classes."""
        device = self.open(MortalStore(), schema)
        ask(device, *classes)
        return device

    @property
    def schema(self) -> Schema:
        """What the server knows."""
        with self.store.read() as reader:
            types = self.host.namespace(NAMESPACE).types(reader)
        assert types is not None
        return types.schema


def ask(device: Device, *classes: str) -> None:
    """Subscribe to all of some classes, beside what there is."""
    with device.db.subscriptions.edit() as edit:
        for name in classes:
            edit.add(name)


def store_of(device: Device) -> MortalStore:
    """What its file is kept in."""
    store = device.db.store
    assert isinstance(store, MortalStore)
    return store


def books(device: Device) -> dict[int, Any]:
    """The titles there are."""
    return {each["_id"]: each["title"] for each in device.db.objects("Book")}


def settled(*schemas: Schema) -> tuple[World, list[Device]]:
    """Devices of some schemas that hold one book, and have nothing to say."""
    world = World()
    devices = [world.new(each, *(item.name for item in each)) for each in schemas]
    with devices[0].db.write():
        devices[0].db.create("Book", _id=1, title="Emma", year=1815)
    for device in devices * 2:
        device.sync()
    return world, devices


def reopened(world: World, device: Device, schema: Schema | None) -> Device:
    """The same file in another process."""
    device.cut()
    return world.open(store_of(device), schema)


# -- 294, 295: interrupted -------------------------------------------------------------------------
@pytest.mark.parametrize("then", [SECOND, THIRD], ids=["294-retried", "295-newer"])
def test_opening_with_more_is_killed_at_any_commit(then: Schema) -> None:
    """And opened again, with the same or with more: the server hears of all of it.

    The anchor starts its migration over; ours has one commit that is there or is not.
    """
    for dies in itertools.count():
        world, (device,) = settled(FIRST)
        with device.db.write():
            device.db.get("Book", 1)["title"] = "pending"
        store = store_of(device)
        store.commits, store.dies = 0, dies
        try:
            device = reopened(world, device, SECOND)
            ask(device, "Pen")
            device.sync()
        except KilledError:
            pass
        else:
            assert dies > 8, "it opens, asks, uploads and downloads"
            return
        store.dies = None
        device = reopened(world, device, then)
        check_file(device.db)
        assert books(device) == {1: "pending"}
        ask(device, *(item.name for item in then))
        with device.db.write():
            device.db.create("Pen", _id=1, ink="blue", book=device.db.get("Book", 1))
        device.sync()
        assert world.schema == then, dies
        assert device.db.subscriptions.latest.state is SubscriptionState.COMPLETE
        other = world.new(then, "Book", "Pen")
        other.sync()
        assert other.db.get("Pen", 1)["book"]["title"] == "pending"


def test_294_opening_with_more_is_cut_at_any_message() -> None:
    """In the sessions that follow it goes on: nothing twice, nothing lost."""
    at = 0
    while True:
        world, (device,) = settled(FIRST)
        device = reopened(world, device, SECOND)
        ask(device, "Pen")
        with device.db.write():
            device.db.create("Pen", _id=1, ink="blue")
        device.connect()
        steps = sum(1 for _ in range(at) if device.step())
        device.cut()
        if at % 2:
            world.start()
        device = reopened(world, device, SECOND)
        device.sync()
        assert world.schema == SECOND
        assert device.db.get("Pen", 1)["ink"] == "blue"
        assert device.db.refusals() == []
        check_file(device.db)
        if steps < at:
            return
        at += 1


# -- 296: subsets ----------------------------------------------------------------------------------
def test_296_an_app_that_declares_less_sees_less_and_loses_nothing() -> None:
    """Both an old app beside a new one, and an app that goes back to its old version.

    For the anchor going back is another migration; ours leaves the file as it is.
    """
    world, (new, old) = settled(SECOND, FIRST)
    with new.db.write():
        new.db.get("Book", 1)["pages"] = 474
    new.sync()
    old.sync()
    assert old.db.get("Book", 1).to_dict() == {"_id": 1, "title": "Emma", "year": 1815}
    with old.db.write():
        old.db.get("Book", 1)["year"] = 1816
    old.sync()
    new.sync()
    expected = {"_id": 1, "title": "Emma", "year": 1816, "pages": 474}
    assert new.db.get("Book", 1).to_dict() == expected
    back = reopened(world, new, FIRST)
    assert "Pen" not in back.db.schema
    assert back.db.get("Book", 1).to_dict() == {"_id": 1, "title": "Emma", "year": 1816}
    with back.db.write():
        back.db.get("Book", 1)["title"] = "Emma (1815)"
    back.sync()
    again = reopened(world, back, SECOND)
    assert again.db.get("Book", 1).to_dict() == {**expected, "title": "Emma (1815)"}
    assert world.schema == SECOND


# -- 297: nothing is reset -------------------------------------------------------------------------
def test_297_nobody_is_told_of_anything_and_nothing_is_sent_again() -> None:
    """The anchor deletes all rows and fills them again, and swallows its reset's callbacks."""
    world, (device, other) = settled(FIRST, FIRST)
    ident, cursor = device.db.local.ident, device.db.synced.cursor
    with device.db.write():
        device.db.get("Book", 1)["year"] = 1816
    device = reopened(world, device, SECOND)
    book = device.db.get("Book", 1)
    told: list[Any] = []
    device.db.objects("Book").observe(told.append)
    told.clear()
    device.sync()
    other_told: list[Any] = []
    other.db.objects("Book", "year == 1815").observe(other_told.append)
    other_told.clear()
    other.sync()
    assert device.db.local.ident == ident
    assert device.db.synced.cursor > cursor
    assert told == []
    assert len(other_told) == 1, "the write that was pending, and nothing else"
    assert (book["year"], book["pages"]) == (1816, 0)
    assert other.db.known_schema == SECOND


# -- 298: two at once ------------------------------------------------------------------------------
def test_298_two_open_with_the_same_at_once(tmp_path: Path) -> None:
    """Two devices add the same and agree; of one file there is one writer. [MODEL-60]"""
    world, devices = settled(FIRST, FIRST)
    first, second = (reopened(world, each, SECOND) for each in devices)
    for device in (first, second):
        ask(device, "Pen")
        device.connect()
    while first.step() | second.step():
        pass
    for device in (first, second):
        device.sync()
        assert device.db.refusals() == []
        assert device.db.known_schema == world.schema == SECOND
    open_database(tmp_path / "file.db", FIRST).close()
    with (
        open_database(tmp_path / "file.db", SECOND),
        pytest.raises(StoreBusyError),
    ):
        open_database(tmp_path / "file.db", SECOND)


# -- 299: without subscriptions --------------------------------------------------------------------
def test_299_without_subscriptions_a_new_class_is_empty_and_the_others_stay() -> None:
    """The anchor's tables are all empty then, since its subscriptions are gone."""
    world, (device, other) = settled(FIRST, SECOND)
    with other.db.write():
        other.db.create("Pen", _id=1, ink="red")
    other.sync()
    device = reopened(world, device, SECOND)
    device.sync()
    assert len(device.db.objects("Pen")) == 0
    assert books(device) == {1: "Emma"}
    ask(device, "Pen")
    device.sync()
    assert [each["ink"] for each in device.db.objects("Pen")] == ["red"]


# -- 300: what breaks ------------------------------------------------------------------------------
def test_300_a_breaking_change_of_the_app_raises_and_leaves_the_file() -> None:
    """[MODEL-67] Whichever class it is; the anchor's synchronous open throws as well."""
    world, (device,) = settled(FIRST)
    retyped = ClassSchema("Book", [of("title", "int"), of("pages", "int")], key="int")
    rekeyed = ClassSchema("Book", [], key="string")
    before = device.db.local
    for broken, words in [(retyped, "Book.title"), (rekeyed, "Book")]:
        device.cut()
        with pytest.raises(SchemaError, match=rf"contradicts what this file holds: .*{words}"):
            world.open(store_of(device), Schema([broken, PEN]))
        device = world.open(store_of(device), None)
        assert device.db.known_schema == FIRST
        assert device.db.local == before
    assert books(reopened(world, device, SECOND)) == {1: "Emma"}


def test_300_a_breaking_change_of_others_leaves_the_schema_there_was() -> None:
    """[MODEL-62] [MODEL-67] Who comes with another type than the server's keeps its own, is told
    what is refused, and goes on with all the rest. The anchor's open stays at the old schema.
    """
    world = World()
    other = ClassSchema("Book", [of("title", "string"), of("year", "string")], key="int")
    ours, theirs = world.new(FIRST, "Book"), world.new(Schema([other]), "Book")
    ours.sync()
    refused: list[Any] = []
    theirs.db.on_refused(refused.extend)
    with theirs.db.write():
        theirs.db.create("Book", _id=1, title="Emma", year="MDCCCXV")
    theirs.sync()
    ours.sync()
    assert any("Book.year" in str(each) for each in refused)
    assert world.schema == FIRST
    assert theirs.db.known_schema["Book"]["year"].spelling == "string"
    assert ours.db.get("Book", 1).to_dict() == {"_id": 1, "title": "Emma", "year": 0}
    theirs = reopened(world, theirs, Schema([other, CUP]))
    theirs.sync()
    assert world.schema == Schema([BOOK, CUP])
    check_file(theirs.db)


# -- 290: which mode a file is in ------------------------------------------------------------------
@pytest.mark.parametrize("restarted", [False, True])
def test_290_the_modes_of_a_file_and_what_they_allow(*, restarted: bool) -> None:
    """[PART-6] [PART-7] What is served decides; there is no state in between that a file could be
    left in, so none is stored: where the anchor has four states, ours has two.
    """
    world, red, _ = converted()
    for served, keeps in [
        ("both", True), ("flexible", False), ("flexible", False), ("partitions", True),
        ("both", True), ("partitions", True), ("flexible", False), ("both", True),
    ]:  # fmt: skip
        world.serve(served)
        red.cut()
        if restarted:
            red = world.device("red", None, red.store)
        meet(red)
        assert red.db.partition.keeps_to_it is keeps
        assert red.db.subscriptions.latest.state is SubscriptionState.COMPLETE
        assert red.books() == [1, 2]
        if keeps:
            with pytest.raises(UsageError, match="opened with a partition"):
                red.db.subscriptions.edit().__enter__()
        else:
            with red.db.subscriptions.edit():
                pass
        with pytest.raises(UsageError, match="partition"):
            world.device("blue", None, red.store)
