"""What integration hands over is what the log says, and nobody reads that again without need."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

import pytest
from replicas import wander
from server_devices import Device, World
from test_server_fanout import BOOKS, QUERIES, scribble, setting
from test_server_members import check as check_members
from test_server_members import setting as linking
from test_server_members import world_of

from replication.crdt.view import QueryFields, query_values
from replication.errors import StoreError
from replication.model.encoding import unpack_trusted
from replication.model.values import Link
from replication.protocol.body import AuthorOp
from replication.server import changes as reading
from replication.server import namespace as publishing
from replication.server.changes import Changes
from replication.server.custom_data import CustomData
from replication.server.handover import Handover
from replication.server.lists import Lists
from replication.server.namespace import Namespace
from replication.server.tables import Ledger
from replication.server.touches import Happened, Touched, fields_written
from replication.storage.contract import Writer
from replication.storage.memory import MemoryStore


class Checked(Handover):
    """Whatever is handed over is held against what the log says."""

    def __init__(self, namespace: Namespace) -> None:
        super().__init__(namespace.lists)
        self.namespace = namespace
        self.taken = self.untaken = 0

    def take(self, after: int, salt: int, ledger: Ledger) -> Changes | None:
        found = super().take(after, salt, ledger)
        with self.namespace.store.read() as reader:
            read = reading.read_changes(reader, after, ledger.version, 2**40, self.namespace.lists)
            for item in [] if found is None else found.touched:
                assert item.row is not None
                assert item.spread or not reader.parts(item.class_name, item.row.row)
        assert read is not None
        if found is None:
            self.untaken += 1
        else:
            self.taken += 1
            for name in ("origins", "schemas", "horizons", "size"):
                assert getattr(found, name) == getattr(read, name), name
            assert [told(item) for item in found.touched] == [told(item) for item in read.touched]
        return found


def told(item: Touched) -> Any:
    """All that a touched object says; what it knows decoded is held against what is stored."""
    for image in (item.before, item.now, *item.between()):
        held = {} if image.head is None else unpack_trusted(image.head)[3]
        fields = QueryFields(held, image._parts())
        for name in fields.names():
            expected = fields.get(name) if image.is_alive else None
            value = image.get(name)
            assert repr(value) == repr(expected)
    if item._written:
        assert [*map(fields_written, map(unpack_trusted, item._deltas))] == [*item._written]
    heads = [image.head for image in (item.before, *item.between(), item.now)]
    return (item.class_name, item.key, item._touches, item.row, heads, item.gapless)


@pytest.mark.parametrize("seed", range(25))
def test_what_is_handed_over_is_what_the_log_says(seed: int) -> None:
    r = Random(seed)
    world = World(development=r.random() < 0.3)
    namespace = world.host.namespace("data")
    namespace.handover = handover = Checked(namespace)
    devices = [Device(world) for _ in range(3)]
    for device in devices:
        device.subscribe(Book=r.choice(QUERIES))
        device.run()
    for _ in range(30):
        device = r.choice(devices)
        for _ in range(r.randrange(1, 4)):
            device.write(r.choice((scribble, wander))(r), *r.sample(BOOKS, r.randrange(1, 4)))
        device.talk()
        if r.random() < 0.5:
            device.run()
    for device in devices:
        device.run()
    world.host.forget("data")
    assert handover.taken > 20
    assert not handover.untaken
    assert not world.reports


def test_lists_that_are_spread_over_parts_are_handed_over_as_such() -> None:
    world = World()
    namespace = world.host.namespace("data")
    namespace.handover = handover = Checked(namespace)
    device = Device(world)
    device.subscribe(Book="TRUEPREDICATE")
    device.run()

    def filling(edit: Any) -> None:
        if not edit.view[0] % 2:
            edit.create()
        edit.scope().list_insert("l", edit.editor(edit.scope(), "l"), 0, range(300))

    for act in (setting("r", 0), filling, setting("r", 1), filling):
        device.write(setting("r", 2), ("Book", 2))
        device.write(act, ("Book", 1))
        device.run()
    assert (handover.taken, handover.untaken) == (4, 0)
    device.check()


def test_who_is_up_to_date_does_not_read_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does anybody else behind a commit, be it for users or for views of several objects."""
    world, writer, reader = world_of(custom_data=CustomData("Person"))
    readers = [reader, Device(world), Device(world)]
    for device, query in zip(
        readers, ("n == 1", "author.n == 1", "n > 0 SORT(n ASC) LIMIT(1)"), strict=True
    ):
        device.subscribe(Book=query)
        device.run()
    reads: list[int] = []
    read_changes = publishing.read_changes

    def counted(reader: Any, after: int, *limits: Any) -> Any:
        reads.append(after)
        return read_changes(reader, after, *limits)

    monkeypatch.setattr(publishing, "read_changes", counted)
    for number in range(3):
        writer.write(linking(n=number, author=Link("Author", number)), ("Book", number))
        writer.write(linking(n=1 - number), ("Author", number))
        for device in (writer, *readers):
            device.run()
        for device in readers:
            check_members(device)
    assert not reads
    for number in range(3):
        writer.write(linking(n=1), ("Author", number))
        writer.run()
    for device in readers:
        device.run()
        check_members(device)
    assert len(reads) == 1, (
        "those of several objects stood two commits back, and read for each other"
    )


def write(namespace: Namespace, writer: Writer, *, failing: bool) -> None:
    namespace.write(writer, lambda _author: [])
    if failing:
        raise StoreError("undone")


def test_what_was_rolled_back_is_not_handed_over() -> None:
    """Neither the work of a session that failed in the middle of a commit, nor of a whole one."""
    world = World()
    namespace = world.host.namespace("data")
    namespace.handover = handover = Checked(namespace)
    devices = [Device(world) for _ in range(2)]
    for device in devices:
        device.subscribe(Book="TRUEPREDICATE")
        device.run()
    with namespace.store.write() as writer:
        for failing in (True, False, True, False, True):
            with suppress(StoreError), writer.savepoint():
                write(namespace, writer, failing=failing)
    world.host.published("data")
    with suppress(StoreError), namespace.store.write() as writer:
        write(namespace, writer, failing=True)
    devices[0].write(setting("r", 1), ("Book", 1))
    for device in devices:
        device.run()
        device.check()
    assert (handover.taken, handover.untaken) == (2, 0)


LISTS = Lists(MemoryStore(query_values).read)


def entry(version: int, size: int = 10) -> Happened:
    return Happened(AuthorOp(version, 2, 1, 0), version, {}, False, size, [])


def test_only_what_follows_is_handed_over() -> None:
    handover = Handover(LISTS)
    handover.note(0, 11, entry(1))
    handover.note(11, 12, entry(2))
    assert handover.take(0, 0, Ledger(2, 99)) is None, "somebody else's second version"
    handover.note(0, 11, entry(1))
    handover.note(21, 22, entry(2))  # on a first version that was somebody else's
    assert handover.take(0, 0, Ledger(2, 22)) is None
    handover.note(22, 23, entry(3))
    assert handover.take(2, 21, Ledger(3, 23)) is None, "the one before has another salt"
    handover.note(23, 24, entry(4))
    handover.note(24, 25, entry(5))
    handover.note(25, 26, entry(6))
    found = handover.take(3, 23, Ledger(5, 25))
    assert found is not None
    assert found.size == 20
    assert handover.take(5, 25, Ledger(6, 26)) is not None, "what came behind the commit is kept"
    assert handover.take(6, 26, Ledger(7, 27)) is None


def test_what_is_held_is_bounded() -> None:
    handover = Handover(LISTS, bytes_max=100)
    for version in range(1, 12):
        handover.note(version - 1, version, entry(version))
    assert len(handover._noted) <= 10
    assert handover.take(0, 0, Ledger(11, 11)) is None
    handover.note(11, 12, entry(12))
    assert handover.take(11, 11, Ledger(12, 12)) is not None
    assert handover._bytes == 0


def test_nothing_is_noted_where_nobody_is_to_be_told() -> None:
    world = World()
    device = Device(world)
    device.subscribe(Book="TRUEPREDICATE")
    device.run()
    device.cut()
    namespace = world.host.namespace("data")
    with namespace.store.write() as writer:
        namespace.write(writer, lambda _author: [])
    assert not namespace.handover._noted
