"""Devices and a server converge, whatever happens in which order.

Every failing world is reproduced by the seed in the test's id.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from worlds import Device, World

from replication.client.text_editor import write_updates
from replication.client.transaction import Transaction
from replication.crdt import object as obj
from replication.crdt.object import is_alive
from replication.errors import ErrorCode
from replication.model.values import ERASED

QUERIES = ["TRUEPREDICATE", "year > 4", "year <= 4", "title == 'a' OR year == 2", "FALSEPREDICATE"]
KEYS = range(1, 6)


def write_something(tx: Transaction, r: random.Random) -> None:
    """One random operation that is possible on what the transaction sees."""
    edit = tx.edit("Book", r.choice(KEYS))
    if not is_alive(edit.view):
        edit.create()
        edit.scope().set("year", r.randrange(9))
        return
    if r.random() < 0.08:
        edit.delete()
        return
    scope = edit.scope()
    operation = r.choice(OPERATIONS)
    operation(edit, scope, r)


def _list(edit, scope, r):  # type: ignore[no-untyped-def]
    editor = edit.editor((), "notes")
    kind = r.randrange(6)
    if kind < 3 or not len(editor):
        run = [r.randrange(100) for _ in range(r.randrange(1, 4))]
        scope.list_insert("notes", editor, r.randrange(len(editor) + 1), run)
    elif kind == 3:
        scope.list_erase("notes", editor, r.randrange(len(editor)))
    elif kind == 4:
        scope.list_set("notes", editor, r.randrange(len(editor)), r.randrange(100))
    elif len(editor) > 1:
        scope.list_move("notes", editor, r.randrange(len(editor)), r.randrange(len(editor) - 1))


def _place(edit, scope, r):  # type: ignore[no-untyped-def]
    held = scope.view.get(obj.EMBEDDED, {}).get("home") or obj.absent()
    start = edit.starting_length("home", now=held[0])
    if not is_alive(held) or r.random() < 0.2:
        scope.create_embedded("home", start).set("city", r.choice("xyz"))
        edit.forget_below(("home",))
    elif r.random() < 0.2:
        scope.erase_embedded("home", start)
        edit.forget_below(("home",))
    elif r.random() < 0.5:
        edit.scope(("home",)).set("city", r.choice("xyz"))
    else:
        editor = edit.editor(("home",), "rooms")
        edit.scope(("home",)).list_insert("rooms", editor, len(editor), [r.randrange(9)])


def _text(edit, scope, r):  # type: ignore[no-untyped-def]
    editor = edit.text((), "body")
    at = r.randrange(len(editor) + 1)
    count = min(r.randrange(4), len(editor) - at)
    kind = r.randrange(6)
    if kind < 3 or not count:
        written = editor.insert(at, r.choice(["a", "bcd", "é", "😀"]), r.choice([None, {"b": 1}]))
    elif kind < 5:
        written = editor.erase(at, count)
    else:
        written = editor.format(at, count, r.choice([{"b": True}, {"b": None}]))
    write_updates(scope, "body", written)


OPERATIONS: list[Callable[..., None]] = [
    lambda edit, scope, r: scope.set("year", r.randrange(9)),
    lambda edit, scope, r: scope.set("title", r.choice("abc")),
    lambda edit, scope, r: scope.set_default("title", "default"),
    lambda edit, scope, r: scope.add("copies", r.randrange(-3, 9)),
    lambda edit, scope, r: scope.add("year", 1),
    lambda edit, scope, r: scope.set_member("tags", r.choice("abc"), present=r.random() < 0.7),
    lambda edit, scope, r: scope.put_item("extra", r.choice("kl"), r.choice([1, "v", ERASED])),
    lambda edit, scope, r: scope.restart(r.choice([obj.SET, obj.DICTIONARY]), r.choice(["tags"])),
    lambda edit, scope, r: edit.restart_list((), "notes"),
    _list,
    _list,
    _place,
    _text,
    _text,
]


def write(device: Device, r: random.Random) -> None:
    with device.db.write() as tx:
        for _ in range(r.randrange(1, 4)):
            write_something(tx, r)


def act(world: World, r: random.Random) -> None:
    """One random event in a world."""
    world.ms += r.choice([0, 1, 10, 1000])
    device = r.choice(world.devices)
    kind = r.random()
    if kind < 0.45:
        write(device, r)
    elif kind < 0.85:
        if device.agent is None:
            device.connect()
        for _ in range(r.randrange(8)):
            if device.agent is None or not device.step():
                break
    elif kind < 0.90:
        device.cut()
    elif kind < 0.93:
        device.cut()
        device.open()
    elif kind < 0.95:
        world.restart()
    elif kind < 0.97:
        device.offset = r.choice([0, -5000, 30_000, 10_000_000])
    else:
        device.subscribe(r.choice(QUERIES))


def check(world: World) -> None:
    """After all is said: every device holds exactly what it asked for, byte for byte."""
    world.settle()
    for device in world.devices:
        assert not device.db.pending, "everything is acknowledged and folded"
        query = device.db.subscriptions.active.queries().get("Book", "FALSEPREDICATE")
        assert device.states() == world.matching(query)


@pytest.mark.parametrize("seed", range(120))
def test_worlds_converge(seed: int) -> None:
    """CLIENT-1 CLIENT-2 CLIENT-3 CLIENT-10 CLIENT-11 CLIENT-12 DOWN-1 DOWN-3 DOWN-5 DOWN-7"""
    r = random.Random(seed)
    small = {"bytes_target": r.choice([1, 300, 10**6]), "entries_max": r.choice([1, 3, 1000])}
    world = World(r.randrange(1, 4), **small)
    for device in world.devices:
        device.subscribe(r.choice(QUERIES[:2]))
    for _ in range(r.randrange(20, 80)):
        act(world, r)
    check(world)


def test_writes_before_the_first_contact_get_the_ident() -> None:
    """SUBST-1"""
    world = World(2)
    for device in world.devices:
        device.subscribe()
        with device.db.write() as tx:
            edit = tx.create("Book", device.number)
            edit.scope().list_insert("notes", edit.editor((), "notes"), 0, [1, 2])
            edit.scope().set("title", f"by {device.number}")
        with device.db.write() as tx:
            edit = tx.edit("Book", device.number)
            edit.scope().list_insert("notes", edit.editor((), "notes"), 1, [3])
    check(world)
    assert {device.db.local.ident for device in world.devices} == {2, 3}
    assert world.view()[0]["notes"] == [1, 3, 2]
    assert world.view()[1]["title"] == "by 1"


def test_a_copied_file_forks_and_nothing_is_lost() -> None:
    """UP-1 SUBST-1"""
    world = World(2)
    first, second = world.devices
    first.subscribe()
    with first.db.write() as tx:
        tx.create("Book", 1).scope().set("title", "shared")
    first.sync()
    # The file is copied: same ident, same history, then both go on.
    first.cut()
    second.store = copied(first)
    second.open()
    for device in (first, second):
        with device.db.write() as tx:
            edit = tx.edit("Book", 1)
            edit.scope().list_insert("notes", edit.editor((), "notes"), 0, [device.number])
            edit.scope().add("copies", 1)
    first.sync()
    second.sync()
    assert second.db.local.ident != first.db.local.ident
    check(world)
    assert sorted(world.view()[1]["notes"]) == [0, 1]
    assert world.view()[1]["copies"] == 2


def copied(device: Device):  # type: ignore[no-untyped-def]
    """A copy of a device's store."""
    from replication.crdt.view import query_values
    from replication.storage.memory import MemoryStore

    out = MemoryStore(query_values)
    with device.store.read() as reader, out.write() as writer:
        for name in reader.classes():
            writer.declare(name, reader.columns(name))
            for item in reader.all_objects(name):
                columns = {c: query_values(item.head).get(c) for c in reader.columns(name)}
                row = writer.put_object(name, item.key, item.version, item.head, columns)
                for part in reader.parts(name, item.row):
                    writer.put_part(name, row, part.name, part.version, part.data)
        for table in ("meta", "pending", "base", "base_parts", "staged", "subscriptions"):
            for key, value in reader.records(table):
                writer.put_record(table, key, value)
    return out


def test_a_clock_that_runs_ahead_is_pulled_back() -> None:
    """UP-3 SUBST-2 CLOCK-4"""
    world = World(2)
    ahead, other = world.devices
    for device in world.devices:
        device.subscribe()
    ahead.offset = 3_600_000
    for number in range(3):
        with ahead.db.write() as tx:
            edit = tx.edit("Book", 1)
            if number == 0:
                edit.create()
            edit.scope().set("title", f"version {number}")
    world.settle()
    assert world.view()[1]["title"] == "version 2"
    assert ahead.db.local.skew_ms == -3_600_000
    world.ms += 1000
    with other.db.write() as tx:
        tx.edit("Book", 1).scope().set("title", "later")
    check(world)
    assert ahead.view()[1]["title"] == "later", "an hour's head start wins nothing"


def test_two_sessions_with_one_file() -> None:
    """SESSION-8"""
    world = World(2)
    first, second = world.devices
    first.subscribe()
    first.sync()
    second.store = first.store
    second.open()
    second.connect()
    for _ in range(3):
        second.step()
    agent = first.agent
    assert agent is not None
    while first.agent is not None:
        first.step()
    assert agent.ended is not None
    assert agent.ended[0] is ErrorCode.SUPERSEDED
