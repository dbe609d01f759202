"""Journals in worlds of real sessions: each says what the log says its device lost, no more.

The oracle reads the server's log. A device that takes in version `w` shows all others' versions
before it, and those of its own changesets whose cursor is less than `w`; see `lost_oracle`.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import test_convergence as at_random
from lost_oracle import lost, operations
from reference_ages import removed, without
from test_lost import told
from worlds import Device, World

from replication.client.journal import Entry
from replication.client.text_editor import write_updates
from replication.history.changeset import Changeset, decode, decode_trusted
from replication.model.encoding import pack
from replication.server import tables


def prepared(devices: int, seed: int, **options: Any) -> World:
    """Devices that all see the same five books."""
    world = World(devices, **options)
    r = random.Random(seed)
    for device in world.devices:
        device.subscribe()
    with world.devices[0].db.write() as tx:
        for key in at_random.KEYS:
            tx.create("Book", key).scope().set("year", r.randrange(9))
    world.settle()
    return world


class Written:
    """What devices wrote, as they wrote it, by ident and client version."""

    def __init__(self) -> None:
        self.changesets: dict[tuple[int, int], Changeset] = {}

    def take(self, device: Device) -> None:
        """The last changeset of a device."""
        version = device.db.local.client_version
        data = device.db.unsent(version, 1, 1)
        if data:
            self.changesets[device.db.local.ident, version] = decode(data[0])


def log(world: World) -> list[tuple[int, int, int, Changeset]]:
    """Version, origin, client version and changeset of each entry of the log."""
    with world.store.read() as reader:
        last = tables.load_ledger(reader).version
        return [
            (entry.version, entry.origin, entry.client_version, decode_trusted(entry.changeset))
            for entry in tables.entries(reader, 1, last)
        ]


def expected(device: Device, written: Written, entries: Any) -> dict[Any, list[Any]]:
    """What a device lost: by class, key and client version."""
    ident = device.db.local.ident
    versions = {number: version for version, origin, number, _ in entries if origin == ident}
    out: dict[Any, list[Any]] = {}
    for version, origin, _, changeset in entries:
        for item in changeset.objects if origin != ident else ():
            before = known(device, written, entries, version, item)
            facts = counting(before, entries, version)
            after = {**facts, "news": operations(item.delta)}
            for name, (_, time) in before.items():
                if name[0] != ident or versions.get(name[1], 2**63) <= changeset.cursor:
                    continue
                parts = lost(name, time, facts, after, (changeset.time, origin))
                of = out.setdefault((item.class_name, item.key, name[1]), [])
                of += [part for part in parts if mark(part) not in map(mark, of)]
    return {name: sorted(parts, key=repr) for name, parts in out.items() if parts}


def mark(part: Any) -> Any:
    way, did, old, new = part
    sides = {"inserted": (old, new), "removed": (old, new), "formatted": (old,)}
    return (way, did, sides.get(did))


def known(device: Device, written: Written, entries: Any, version: int, about: Any) -> Any:
    """The deltas of one object that a device holds when it takes in a version, and their times."""
    ident = device.db.local.ident
    name = (about.class_name, about.key)
    out: dict[tuple[int, int], Any] = {}
    for each, origin, number, changeset in entries:
        for item in changeset.objects if each < version else ():
            if item[:2] == name:
                out[origin, number] = (item.delta, changeset.time)
    for (origin, number), changeset in written.changesets.items():
        if origin == ident and changeset.cursor < version:
            for item in changeset.objects:
                # Of a blind create it is the server that says which life it began.
                if item[:2] == name and not (item.blind and (origin, number) in out):
                    out[origin, number] = (item.delta, changeset.time)
    return out


def counting(before: Any, entries: Any, version: int) -> dict[Any, list[Any]]:
    """The operations of changesets, without those that horizons before a version made spent."""
    facts = {name: operations(delta) for name, (delta, _) in before.items()}
    integrated = {(origin, number): each for each, origin, number, _ in entries}
    for horizon in horizons(entries):
        past = [name for name in facts if integrated.get(name, version) < horizon < version]
        everything = [fact for name in past for fact in facts[name]]
        gone = removed(everything)
        last = {where: max(held) for where, held in writes_at(gone, everything).items()}
        facts |= {name: without(facts[name], gone) + spent(facts[name], last) for name in past}
    return facts


def writes_at(places: Any, facts: list[Any]) -> dict[Any, list[Any]]:
    out: dict[Any, list[Any]] = {where: [] for where in places}
    for where, what, *details in facts:
        if what == "write" and where in out:
            out[where].append(details[:2])
    return out


def spent(facts: list[Any], last: Any) -> list[Any]:
    """The removals among some operations that were the last write: they go on showing."""
    return [
        (where, "removal", *details)
        for where, what, *details in facts
        if what == "write" and last.get(where) == details[:2]
    ]


def horizons(entries: Any) -> list[int]:
    return [version for version, _, _, changeset in entries if changeset.horizon == version]


def journalled(device: Device) -> dict[Any, list[Any]]:
    """What the journal of a device says was overridden, as `expected`; not what it is unsure of."""
    out: dict[Any, list[Any]] = {}
    for entry in device.db.journal:
        if entry.rule and (entry.by, entry.seen) != (None, None):
            name = (entry.class_name, entry.key, entry.client_version)
            out.setdefault(name, []).extend(told((None, part) for part in entry.lost))
    return {name: sorted(parts, key=repr) for name, parts in out.items() if parts}


def wander(
    world: World,
    written: Written,
    r: random.Random,
    turns: int,
    *,
    forgets: bool = False,
    write: Any = at_random.write,
) -> None:
    """Devices write offline and meet the server now and then, each taking in all it has first."""
    for _ in range(turns):
        world.ms += r.choice([0, 1, 10, 1000])
        if forgets and r.random() < 0.1:
            world.forget()
        device = r.choice(world.devices)
        if r.random() < 0.65:
            before = device.db.local.client_version
            write(device, r)
            if device.db.local.client_version > before:
                written.take(device)
        else:
            meet(device, r)


def meet(device: Device, r: random.Random) -> None:
    device.download()
    if r.random() < 0.9:
        device.upload()
    if r.random() < 0.5:
        device.cut()
    if r.random() < 0.2:
        device.cut()
        device.open()


@pytest.mark.parametrize("seed", range(60))
def test_journals_say_what_was_lost_and_nothing_else(seed: int) -> None:
    """JOURNAL-1 JOURNAL-2 JOURNAL-4 JOURNAL-5: for every device, entry by entry; in two of three
    worlds the server forgets now and then.
    """
    r = random.Random(seed)
    world = prepared(r.choice([2, 3]), seed)
    written = Written()
    wander(world, written, r, 40, forgets=seed % 3 > 0)
    check_journals(world, written)


#: Values of formats: what two devices choose is often not the same.
FORMATS = [{"c": 1}, {"c": 2}, {"c": True}, {"c": None}, {"b": 1}, {"b": 1, "c": None}]


def formatting(device: Device, r: random.Random) -> None:
    """Mostly formats of one text."""
    with device.db.write() as tx:
        edit = tx.edit("Book", 1)
        editor = edit.text((), "body")
        size = len(editor)
        at = r.randrange(size + 1)
        count = min(size - at, r.randrange(1, 5))
        if not count or r.random() < 0.1:
            done = editor.insert(at, r.choice(["ab", "c😀"]), r.choice([None, *FORMATS]))
        elif r.random() < 0.1:
            done = editor.erase(at, 1)
        else:
            done = editor.format(at, count, r.choice(FORMATS))
        write_updates(edit.scope(), "body", done)


@pytest.mark.parametrize("seed", [*range(8), 20, 43, 58])
def test_journals_say_which_formats_were_lost_and_nothing_else(seed: int) -> None:
    """JOURNAL-1 JOURNAL-5 MERGE-TEXT-5"""
    r = random.Random(seed)
    world = prepared(3, seed)
    on_book(world.devices[0], lambda scope: scope.set("year", 0))
    written = Written()
    wander(world, written, r, 30, forgets=seed % 2 > 0, write=formatting)
    check_journals(world, written)


def check_journals(world: World, written: Written) -> None:
    """Every device has taken in everything, and its journal says what it lost."""
    for _ in range(3):
        for device in world.devices:
            device.download()
            device.upload()
    entries = log(world)
    again = {
        (item.class_name, item.key)
        for *_, changeset in entries
        for item in changeset.objects
        if item.delta[0] > 2
    }
    for device in world.devices:
        found, told_of = journalled(device), expected(device, written, entries)
        for name in refused(device) | blind(device, written):
            # It died twice between two visits: nothing came of that, so the refusal tells it.
            # What a blind create lost is told once it is folded, which the oracle knows nothing of.
            found.pop(name, None), told_of.pop(name, None)
        for name in [name for name in found.keys() | told_of.keys() if name[:2] in again]:
            # What comes back comes as a state: of what happened in between the last is told, and
            # of several versions nobody can say which brought it back.
            unsure = marks([((), "deleted", None, None)])
            assert marks(found.pop(name, [])) <= marks(told_of.pop(name, [])) | unsure
        assert found == told_of, f"device {device.db.local.ident}"


def marks(parts: list[Any]) -> set[str]:
    return {repr(mark(part)) for part in parts}


def refused(device: Device) -> set[Any]:
    return {
        (entry.class_name, entry.key, entry.client_version)
        for entry in device.db.journal
        if entry.is_refusal and entry.path == ()
    }


def blind(device: Device, written: Written) -> set[Any]:
    return {
        (item.class_name, item.key, number)
        for (ident, number), changeset in written.changesets.items()
        for item in changeset.objects
        if ident == device.db.local.ident and item.blind
    }


def losses(device: Device) -> list[Any]:
    """What a device's journal says, without who and when."""
    return [(entry.rule, *part) for entry in device.db.journal for part in entry.lost]


def on_book(device: Device, act: Any) -> None:
    """A transaction on the first book, a second after what was before."""
    device.world.ms += 1000
    with device.db.write() as tx:
        act(tx.edit("Book", 1).scope())


def test_what_is_pending_goes_on_showing_past_horizons() -> None:
    """JOURNAL-1: a removal that is pending is not forgotten while others' writes merge below it."""
    world = prepared(2, 1)
    other, device = world.devices
    on_book(other, lambda scope: scope.set_member("tags", "a", present=True))
    on_book(device, lambda scope: scope.set_member("tags", "a", present=False))
    world.forget()
    other.sync()
    world.forget()
    device.sync()
    assert "a" not in world.view()[1]["tags"]
    assert losses(device) == []
    assert losses(other) == []
    other.sync()
    assert losses(other) == [("later write", ("tags",), "inserted", "a", None)]


def test_past_horizons_each_delta_is_judged_by_what_was_before_it() -> None:
    """JOURNAL-1: what somebody overrides who has seen it is no loss, whatever comes behind that."""
    world = prepared(3, 1)
    device, other, third = world.devices
    on_book(device, lambda scope: scope.set("title", "first"))
    device.sync()
    other.sync()
    on_book(device, lambda scope: scope.set("year", 5))
    on_book(other, lambda scope: scope.set("title", "second"))
    on_book(third, lambda scope: scope.set("title", "third"))
    world.forget()
    other.sync()
    third.sync()
    device.sync()
    assert device.view()[1]["title"] == "third"
    assert losses(device) == []


@pytest.mark.parametrize("touched", [False, True])
def test_a_removal_that_was_forgotten_is_lost_to_what_comes_late(touched: bool) -> None:
    """JOURNAL-1: it showed, and does not any more, whether its record was there yet or not."""
    world = prepared(2, 1)
    device, other = world.devices
    on_book(device, lambda scope: scope.set_member("tags", "a", present=True))
    world.settle()
    on_book(other, lambda scope: scope.set_member("tags", "a", present=True))
    on_book(device, lambda scope: scope.set_member("tags", "a", present=False))
    device.sync()
    world.forget()
    device.sync()
    if touched:
        on_book(device, lambda scope: scope.set("year", 5))
        device.sync()
    other.sync()
    device.sync()
    assert device.view()[1]["tags"] == ["a"]
    assert losses(device) == [("later write", ("tags",), "removed", None, "a")]


def test_who_deletes_too_and_creates_later_takes_nothing_away() -> None:
    """JOURNAL-1: nor where the object comes back with what was written into it since."""
    world = prepared(2, 1)
    device, other = world.devices
    for each in (device, other):
        world.ms += 1000
        with each.db.write() as tx:
            tx.delete("Book", 1)
    on_book_again = (("title", "a"), ("year", 1))
    with other.db.write() as tx:
        tx.create("Book", 1)
    for name, value in on_book_again:
        on_book(other, lambda scope, name=name, value=value: scope.set(name, value))
    device.sync()
    other.sync()
    device.sync()
    assert device.view()[1] == {"title": "a", "year": 1}
    assert losses(device) == []


def test_entries_name_who_when_and_by_which_rule() -> None:
    """JOURNAL-3 JOURNAL-4"""
    world = prepared(2, 1)
    first, second = world.devices
    with first.db.write() as tx:
        tx.edit("Book", 1).scope().set("title", "first")
    first.sync()
    world.ms += 1000
    with second.db.write() as tx:
        tx.edit("Book", 1).scope().set("title", "second")
    written = second.db.clock.last
    second.upload()
    first.sync()
    (entry,) = first.db.journal
    with world.store.read() as reader:
        version = tables.load_ledger(reader).version
    assert entry == Entry(
        "Book", 1, 3, entry.time, entry.lost, "later write", second.db.local.ident, written,
        version, entry.seen, number=1,
    )  # fmt: skip
    assert [tuple(part) for part in entry.lost] == [(("title",), "set", "first", "second")]
    assert entry.seen is not None
    assert entry.seen < version - 1
    assert list(second.db.journal) == []
    assert pack(first.view()) == pack(second.view())
