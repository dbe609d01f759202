"""Lists past what fits into one piece, in subscriptions and in the filters of rules. [QUERY-156]"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from replicas import Edit
from server_devices import Device, World
from test_rules_feed import Library, filtered
from test_server_fanout import look

from replication.crdt import check
from replication.crdt import list as lists
from replication.crdt.object import LIST, is_alive
from replication.crdt.view import query_values
from replication.limits import LIST_PART_ELEMENTS_MAX, QUERIED_COLUMNS_MAX
from replication.query.reach import ALL
from replication.server import log_index, tables
from replication.server.lists import ask, asked, covers
from replication.storage.contract import Store
from replication.storage.memory import MemoryStore

BOOKS = [("Book", key) for key in range(3)]
VALUES = ["x", "y", "ann", "z", "o", "o", "o", "o"]


def _small(monkeypatch: pytest.MonkeyPatch, size: int = 4) -> None:
    monkeypatch.setattr(lists, "LIST_PART_ELEMENTS_MAX", size)
    monkeypatch.setattr(check, "LIST_PART_ELEMENTS_MAX", size)


def scribble(rng: Random, most: int, values: list[str] = VALUES) -> Callable[[Edit], None]:
    """A transaction on an object's list `l`; seldom on its number `n`."""

    def act(edit: Edit) -> None:
        if rng.random() < 0.05:
            edit.delete()
        if not is_alive(edit.view):
            edit.create()
        scope = edit.scope()
        if rng.random() < 0.2:
            scope.set("n", rng.randrange(3))
            return
        editor = edit.editor(scope, "l")
        held = len(editor.sequence.visible)
        kind = rng.random()
        if kind < 0.1:
            scope.restart(LIST, "l")
            edit.forget((LIST, "l"))
        elif kind < 0.4 and held:
            for _ in range(rng.randint(1, min(held, most))):
                scope.list_erase("l", editor, rng.randrange(len(editor.sequence.visible)))
        elif kind < 0.6 and held:
            scope.list_set("l", editor, rng.randrange(held), rng.choice(values))
        elif kind < 0.7 and held:
            scope.list_move("l", editor, rng.randrange(held), rng.randrange(held))
        else:
            new = [rng.choice(values)] * rng.randint(1, most)
            scope.list_insert("l", editor, rng.randint(0, held), new)

    return act


def queries(bound: int) -> list[str]:
    return [
        "ANY l == 'x'",
        "NONE l IN {'x', 'y'} AND n != 1",
        "ALL l == 'y'",
        f"l.@count > {bound}",
        f"NOT l.@count > {bound} AND l.@count > 0",
        "l[LAST] == 'x'",
        "l[0] == 'y' OR n == 2",
        "l == 'z' AND n == 1",
        "l IN {'x', 'q'}",
    ]


def anything(world: World, rng: Random, bound: int, steps: int, most: int) -> None:
    """Devices with lists around a bound; who looks only when woken has what is there."""
    asked = queries(bound)
    devices = [Device(world) for _ in range(rng.randint(3, 4))]
    for device in devices:
        device.subscribe(Book="TRUEPREDICATE" if device is devices[0] else rng.choice(asked))
        device.run()
    for _ in range(steps):
        device = rng.choice(devices)
        kind = rng.random()
        if kind < 0.7:
            # Who writes is told to let go of what it does not see, whatever was before.
            device = device if rng.random() < 0.1 else devices[0]
            device.write(scribble(rng, most), *rng.sample(BOOKS, rng.randint(1, 2)))
            device.talk()
        elif kind < 0.8:
            device.subscribe(Book=rng.choice(asked))
            device.talk()
        elif kind < 0.9:
            device.cut()
        elif kind < 0.93:
            world.start()
            for each in devices:
                each.cut()
        for each in devices:
            if each.session is None and rng.random() < 0.3:
                each.connect()
            elif rng.random() < 0.5:
                look(each)
    for device in devices:
        device.connect()
    for _ in range(2):
        for device in devices:
            look(device)
    for device in devices:
        assert device.ended is None
        device.check()
    assert world.reports == []


@pytest.mark.parametrize("seed", range(40))
def test_lists_of_any_length_are_found(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """[QUERY-156] Fed as it comes, from the log and from state: as brute force says."""
    rng = Random(seed)
    _small(monkeypatch)
    monkeypatch.setattr(log_index, "CHUNK", rng.choice([2, 8, 1024]))
    small = {"bytes_target": rng.choice([1, 300, 10**6]), "entries_max": rng.choice([1, 3, 1000])}
    anything(World(**small), rng, 4, 50, 5)


def test_lists_of_any_length_are_found_over_a_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bound as it is: 256."""
    monkeypatch.setattr(log_index, "CHUNK", 4)
    world = World(store, entries_max=3)
    bound = LIST_PART_ELEMENTS_MAX
    anything(world, Random(1), bound, 25, bound + 100)


# -- rules -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(20))
def test_filters_look_into_lists_of_any_length(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """[QUERY-156] Whoever is in a long list may read; and write, where the filter says so."""
    rng = Random(seed)
    _small(monkeypatch)
    monkeypatch.setattr(log_index, "CHUNK", rng.choice([2, 1024]))
    small = {"bytes_target": rng.choice([1, 10**6]), "entries_max": rng.choice([1, 3, 1000])}
    among = filtered({"l": "%%user.id"})
    others = filtered({"n": {"$gt": 0}})
    library = Library(
        rng.choice([among, others]),
        query=rng.choice([*queries(4)[:3], *["TRUEPREDICATE"] * 3]),
        **small,
    )
    for _ in range(30):
        library.owner.write(scribble(rng, 5), rng.choice(BOOKS))
        library.owner.run()
        kind = rng.random()
        if kind < 0.2:
            library.now(rng.choice([among, others]))
        elif kind < 0.4:
            library.ann.cut()
        if library.ann.session is None and rng.random() < 0.5:
            library.ann.connect()
        if library.ann.session is not None and rng.random() < 0.6:
            look(library.ann)
    library.ann.connect()
    library.ann.run()
    assert library.ann.holds() == library.may_read("ann", library.ann.active["Book"])
    assert library.world.reports == []


def test_who_is_in_a_long_list_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """[QUERY-156] [RULES-WRITE-3] Before and after: nobody takes themselves out."""
    _small(monkeypatch)
    among = filtered(True, {"l": "%%user.id"}, insert=False, delete=False)
    library = Library(among)

    def fill(*values: str) -> Callable[[Edit], None]:
        def act(edit: Edit) -> None:
            if not is_alive(edit.view):
                edit.create()
            editor = edit.editor(edit.scope(), "l")
            edit.scope().list_insert("l", editor, len(editor.sequence.visible), values)

        return act

    def number(value: int) -> Callable[[Edit], None]:
        return lambda edit: edit.scope().set("n", value)

    library.owner.write(fill("x", "y", "z", "x", "y"), BOOKS[0])
    library.owner.run()
    library.ann.run()
    library.ann.write(number(1), BOOKS[0])
    library.ann.run()
    assert len(library.ann.refused) == 1
    library.owner.write(fill("x", "ann"), BOOKS[0])
    library.owner.run()
    library.ann.run()
    library.ann.write(number(2), BOOKS[0])
    library.ann.write(lambda edit: edit.scope().list_erase(
        "l", edit.editor(edit.scope(), "l"), 6), BOOKS[0])  # fmt: skip
    library.ann.run()
    assert len(library.ann.refused) == 2
    library.check()


# -- what is kept ----------------------------------------------------------------------------------
def test_nothing_is_kept_of_lists_that_nobody_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _small(monkeypatch)
    world = World()
    writer, reader = Device(world), Device(world)
    writer.subscribe(Book="TRUEPREDICATE")
    reader.subscribe(Book="n == 1")
    for device in (writer, reader):
        device.run()

    def kept() -> int:
        with world.store.read() as reader:
            return sum(1 for _ in reader.records(tables.PASTS))

    def grow(edit: Edit) -> None:
        if not is_alive(edit.view):
            edit.create()
        edit.scope().list_insert("l", edit.editor(edit.scope(), "l"), 0, ["x"] * 5)

    for _ in range(3):
        writer.write(grow, BOOKS[0])
        writer.run()
    assert kept() == 0
    reader.subscribe(Book="l[LAST] == 'x'")
    for device in (reader, writer, writer):
        device.run()
        writer.write(grow, BOOKS[0])
    writer.run()
    assert kept() > 0
    reader.run()
    reader.check()


def test_what_filters_ask_about_is_kept_from_the_version_on_from_which_they_hold() -> None:
    library = Library(filtered({"n": {"$gt": 0}}))
    library.now(filtered({"l": "%%user.id"}))
    with library.world.store.read() as reader:
        assert covers(asked(reader), "Book", "l")


def test_what_is_asked_for_is_bounded() -> None:
    store = MemoryStore(query_values)
    with store.write() as writer:
        ask(writer, {"Book": {"a"}})
        ask(writer, {ALL: {"b"}})
        held = asked(writer)
        assert [covers(held, *each) for each in (("Book", "a"), ("Book", "b"), ("Tag", "b"))] == [
            True
        ] * 3
        assert not covers(held, "Tag", "a")
        ask(writer, {"Tag": {f"n{number}" for number in range(QUERIED_COLUMNS_MAX + 1)}})
        assert asked(writer)["Tag"] == {ALL}
        ask(writer, {f"C{number}": {"a"} for number in range(QUERIED_COLUMNS_MAX + 1)})
        assert asked(writer) == {ALL: {ALL}}
        assert covers(asked(writer), "Any", "thing")
    store.close()
