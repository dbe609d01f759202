"""Fan-out: whoever a commit concerns is woken and told, nobody else is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from random import Random
from typing import Any

import pytest
from replicas import Edit, wander
from server_devices import Device, World

from replication.crdt.edit import Author
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, is_alive, merge
from replication.crdt.view import query_values
from replication.crdt.whole import joined
from replication.model.encoding import pack
from replication.model.values import Link
from replication.protocol.body import AuthorOp, DeltaOp, StateOp
from replication.server import log_index
from replication.server.changes import Changes
from replication.server.fanout import Fanout, Seat
from replication.server.lists import Lists
from replication.server.touches import UNKNOWN, Touched, fields_written
from replication.server.view import View
from replication.storage.contract import StoredObject
from replication.storage.memory import MemoryStore

QUERIES = [
    "TRUEPREDICATE", "r == 1", "r == '1'", "r == null", "r > 0", "r BETWEEN {0, 2}", "r != 1",
    "r IN {1, 'a', true}", "r BEGINSWITH 'a' OR n == 1", "r == 1 AND n >= 1", "NOT r == 1",
    "ANY s == 1", "ALL s == 1", "s.@count > 1", "r == 1 OR r == 2", "r >= 1 AND r < 3", "r == n",
    "r ==[c] 'A'", "FALSEPREDICATE",
]  # fmt: skip
VALUES: list[Any] = [None, 0, 1, 1.0, 2, True, "a", "A", "ab", "1", Link("Book", 1)]
BOOKS = [("Book", key) for key in range(4)]


def scribble(r: Random) -> Callable[[Edit], None]:
    """Create, delete, re-create; fields of mixed types that are set or absent; a set."""

    def act(edit: Edit) -> None:
        if not edit.view[0] % 2:
            edit.create()
        elif r.random() < 0.15:
            edit.delete()
            return
        scope = edit.scope()
        for name in r.sample("rn", r.randrange(3)):
            scope.set(name, r.choice(VALUES))
        if r.random() < 0.3:
            scope.set_member("s", r.choice([1, 2]), present=r.random() < 0.6)

    return act


def setting(name: str, value: Any) -> Callable[[Edit], None]:
    """Set one field, creating the object if need be."""

    def act(edit: Edit) -> None:
        if not edit.view[0] % 2:
            edit.create()
        edit.scope().set(name, value)

    return act


def look(device: Device) -> None:
    """Take what there is, but look for it only where the server says so."""
    while device.inbox or (device.pump is not None and device.pump.awake):
        device.step()


@pytest.mark.parametrize("seed", range(60))
def test_whoever_looks_when_woken_has_what_is_there(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wake-up that is missed leaves a device with what is no longer so."""
    r = Random(seed)
    monkeypatch.setattr(log_index, "CHUNK", r.choice([2, 1024]))
    small = {"bytes_target": r.choice([1, 300, 10**6]), "entries_max": r.choice([1, 3, 1000])}
    world = World(development=r.random() < 0.3, **small)
    devices = [Device(world) for _ in range(r.randrange(2, 6))]
    for device in devices:
        device.subscribe(Book=r.choice(QUERIES))
        device.run()
    for _ in range(40):
        device = r.choice(devices)
        kind = r.random()
        if kind < 0.6:
            act = scribble(r) if r.random() < 0.8 else wander(r)
            device.write(act, *r.sample(BOOKS, r.randrange(1, 3)))
            device.talk()
        elif kind < 0.7:
            device.subscribe(Book=r.choice(QUERIES))
            device.talk()
        elif kind < 0.8:
            device.connect()
        elif kind < 0.85:
            world.start()  # and everybody comes back
            for each in devices:
                each.connect()
        for each in devices:
            if r.random() < 0.5:  # the others are slow readers
                look(each)
    for device in devices:
        look(device)
    for device in devices:  # what the last ones had pending
        look(device)
        device.check()
    assert not world.reports


def test_nobody_is_woken_for_what_does_not_concern_them() -> None:
    world = World()
    writer = Device(world)
    readers = [Device(world) for _ in range(20)]
    for number, device in enumerate(readers):
        device.subscribe(Book=f"r == {number % 10}")
    writer.subscribe(Book="FALSEPREDICATE")
    writer.write(scribble(Random(1)), ("Book", 99))
    for device in [writer, *readers]:
        device.run()

    def woken() -> list[int]:
        out = [at for at, each in enumerate(readers) if each.pump is not None and each.pump.awake]
        for each in [writer, *readers]:
            look(each)
            each.check()
        return out

    woken()
    for act, expected in [
        (setting("r", 7), [7, 17]),
        (setting("r", 3), [3, 7, 13, 17]),  # it leaves two views and enters two
        (setting("r", 99), [3, 13]),
        (setting("r", 98), []),
        (setting("r", 5), [5, 15]),
        (lambda edit: edit.delete(), [5, 15]),
    ]:
        # One who sees nothing of it has let go of it, and writes what it saw last.
        writer.synced = {("Book", 1): world.states().get(("Book", 1), absent())}
        writer.write(act, ("Book", 1))
        writer.talk()
        assert woken() == expected
    namespace = world.host.namespace("data")
    assert namespace.fanout.groups == 11, "views that show the same are one"
    for device in readers:
        device.cut()
    assert namespace.fanout.groups == 1
    assert len(namespace.fanout) == 1


def apart() -> tuple[Device, Device]:
    """A device that sees and writes everything, and one that sees what has r > 5."""
    world = World()
    first, second = Device(world), Device(world)
    first.subscribe(Book="TRUEPREDICATE")
    second.subscribe(Book="r > 5")
    for device in (first, second):
        device.run()
    first.write(setting("n", 0), ("Book", 99))
    for device in (first, second):
        device.run()
    return first, second


def test_what_happened_while_an_object_was_out_of_view_comes_with_its_return() -> None:
    """A slow reader's group was not told of it, so the deltas before and after it don't join."""
    first, second = apart()
    first.write(setting("r", 7), ("Book", 1))
    first.run()
    second.run()
    since = len(second.downloads)
    for name, value in [("r", 1), ("n", 3), ("r", 8)]:
        first.write(setting(name, value), ("Book", 1))
        first.run()
    look(second)
    second.check()
    assert [[type(each) for each in told] for _, told in second.downloads[since:]] == [[StateOp]]
    for name, value in [("r", 9), ("n", 4), ("r", 6)]:  # never out of view: deltas
        first.write(setting(name, value), ("Book", 1))
        first.run()
    look(second)
    second.check()
    assert [type(each) for each in second.downloads[-1][1]] == [DeltaOp] * 3


def test_what_others_wrote_to_an_own_object_out_of_view_comes_with_it() -> None:
    first, second = apart()
    for device, name, value in [(second, "r", 1), (first, "n", 3), (second, "r", 8)]:
        device.write(setting(name, value), ("Book", 1))
        device.talk()
        if device is first:
            device.run()
        else:
            first.run()
    look(second)
    second.check()
    assert second.holds()


def test_a_body_is_shared_by_those_who_looked_last_at_different_times() -> None:
    """Where nothing that concerns them happened in between."""
    first, second = apart()
    readers = [second]
    for number in range(5):
        third = Device(first.world)
        third.subscribe(Book="5 < r")
        third.run()
        third.mark(1)
        look(third)
        readers.append(third)
        first.write(setting("n", number), ("Book", 99))
        first.run()
    first.write(setting("r", 9), ("Book", 1))
    first.run()
    shared = first.world.host.namespace("data").shared
    before = shared.encoded
    for device in readers:
        look(device)
        device.check()
    assert shared.encoded == before + 1


def test_a_cursor_whose_view_nothing_happens_in_does_not_fall_far_behind() -> None:
    world = World()
    writer, *silent = [Device(world) for _ in range(5)]
    for device in (writer, *silent):
        device.subscribe(Book="r == 1")
        device.run()
    for _ in range(30):
        for _ in range(30):
            writer.write(lambda edit: edit.create(), ("Paper", 1))
        writer.talk()
        for device in (writer, *silent):
            look(device)
    assert world.latest == 900
    assert all(world.latest - device.cursor <= 780 for device in silent)


@pytest.mark.parametrize("seed", range(8))
def test_what_a_delta_leaves_alone_it_does_not_change(seed: int) -> None:
    """Whatever queries see of a field: where it differs, the delta is known to concern it."""
    r = Random(seed)
    changed = 0
    for _ in range(25):
        state = absent()
        for step in range(1, 8):
            before = clone(state)
            numbers = count(step * 1000)
            edit = Edit(clone(state), Author((step, 2), partial(next, numbers)))
            wander(r, 2)(edit)
            if r.random() < 0.1 and edit.view[0] % 2:  # at once dead and alive again
                edit.delete()
                edit.create()
            delta = edit.finish()[0]
            state = merge(state, clone(delta))
            if is_alive(before) and is_alive(state):
                was, now = (query_values(pack(joined(each))) for each in (before, state))
                for name in {*was, *now}:
                    if repr(was.get(name)) != repr(now.get(name)):
                        changed += 1
                        written = fields_written(delta)
                        assert written is None or name in written, (name, delta)
    assert changed > 100


# -- the fan-out alone -----------------------------------------------------------------------
def head(r: Any) -> bytes:
    edit = Edit(absent(), Author((1, 2), lambda: 1))
    edit.create()
    edit.scope().set("r", r)
    return pack(edit.finish()[0])


HEADS = {r: head(r) for r in range(10)}


LISTS = Lists(MemoryStore(query_values).read)


def touched(version: int, before: int | None, now: int, key: int = 1, origin: int = 2) -> Touched:
    """An object whose ``r`` was changed."""
    item = Touched("Book", key, None if before is None else HEADS[before], LISTS)
    delta = pack([0, 1, [], {0: [[1, 2, {"r": now}]]}])
    item.add(AuthorOp(version, origin, 1, 0), ("Book", key, item.was, delta, 0, *UNKNOWN))
    item.ends_as(StoredObject(1, key, version, HEADS[now]))
    return item


def changes(*items: Touched, size: int = 100) -> Changes:
    out = Changes(LISTS)
    out.touched, out.weight = list(items), size
    out.origins = dict.fromkeys((origin for item in items for origin in item.origins), 1)
    return out


def seated(fanout: Fanout, text: str, ident: int = 9) -> tuple[Seat, list[int]]:
    """A seat, and a list that grows whenever it is woken."""
    woken: list[int] = []
    seat = Seat(ident, lambda: woken.append(1))
    fanout.sit(seat, View({"Book": text}, None))
    return seat, woken


def heard(fanout: Fanout, seat: Seat, reached: int) -> list[int] | None:
    """The versions of what a seat hears of."""
    news = fanout.since(seat, reached)
    return None if news is None else [a.version for t in news.told for a in t.touched.authors(0)]


def test_who_comes_while_a_commit_is_matched_reads_the_log() -> None:
    """Some of it was matched before its queries were there."""
    fanout = Fanout()
    fanout.publish(None, 1, 0)
    late: list[Seat] = []

    def coming() -> Iterator[Touched]:
        yield touched(2, None, 1, key=1)
        late.append(seated(fanout, "r == 1")[0])
        yield touched(3, None, 1, key=2)

    stretch = changes(touched(2, None, 1))
    stretch.touched = coming()  # type: ignore[assignment]
    seat, _ = seated(fanout, "r < 5")
    assert fanout.publish(stretch, 3, 0) == [seat, *late], "woken for what there was of it"
    assert heard(fanout, seat, 1) == [2, 3]
    assert heard(fanout, late[0], 1) is None
    assert heard(fanout, late[0], 3) == []
    fanout.publish(changes(touched(4, 1, 7)), 4, 0)
    assert heard(fanout, late[0], 3) == [4]


def test_what_is_remembered_is_bounded_and_who_is_silent_stays_informed() -> None:
    fanout = Fanout(bytes_max=1000)
    slow, _ = seated(fanout, "r == 1")
    silent, woken = seated(fanout, "r == 2")
    for version in range(1, 101):
        (told,) = fanout.publish(changes(touched(version, 1, 1)), version, 0) or [None]
        assert told is slow
    assert heard(fanout, slow, 0) is None
    assert heard(fanout, slow, 89) is None
    assert heard(fanout, slow, 90) == list(range(91, 101))
    assert heard(fanout, silent, 0) == [], "nothing happened that concerns it, however long ago"
    assert not woken
    assert slow.group is not None
    assert len(slow.group.stretches) == 10


def test_a_position_within_a_commit_reads_the_log() -> None:
    fanout = Fanout()
    seat, _ = seated(fanout, "r == 1")
    fanout.publish(changes(touched(2, 1, 1), touched(5, 1, 1, key=2)), 6, 0)
    assert heard(fanout, seat, 0) == [2, 5]
    assert heard(fanout, seat, 3) is None
    assert heard(fanout, seat, 6) == []


def test_a_file_hears_of_its_own_writes_wherever_they_are() -> None:
    fanout = Fanout()
    seat, _ = seated(fanout, "r == 1", ident=7)
    assert fanout.publish(changes(touched(1, 3, 4, origin=7)), 1, 0) == [seat]
    news = fanout.since(seat, 0)
    assert news is not None
    assert news.is_own
    assert news.client_version == 1
    assert heard(fanout, seat, 0) == [1]


def test_what_is_too_much_wakes_everybody() -> None:
    fanout = Fanout()
    seats = [seated(fanout, f"r == {number}")[0] for number in range(3)]
    assert fanout.publish(None, 5, 0) == seats
    assert [heard(fanout, seat, 0) for seat in seats] == [None] * 3
    growing = changes()
    growing.schemas.append({})
    assert fanout.publish(growing, 6, 0) == seats


def test_nobody_misses_anything_whatever_threads_do() -> None:
    """Readers that look only when woken, and read the log where they are told to."""
    fanout = Fanout(bytes_max=2000, period=10**9)
    log: list[Touched] = []
    ends: list[str] = []

    def read(number: int) -> None:
        r = Random(number)
        turn = threading.Semaphore(1)
        seat = Seat(100 + number, turn.release)
        reached, text, seen = 0, "r == 1", []
        while reached < 600:
            assert turn.acquire(timeout=20), f"reader {number} waits at {reached} for ever"
            if r.random() < 0.05:
                fanout.leave(seat)
                seat = Seat(100 + number, turn.release)
            fanout.sit(seat, View({"Book": text}, None))
            news = fanout.since(seat, reached)
            latest = len(log) if news is None else news.version
            new = log[reached:latest] if news is None else [told.touched for told in news.told]
            seen += [a.version for t in new if t.now.get("r") == 1 for a in t.authors(0)]
            reached = latest
        expected = [n for n, t in enumerate(log, start=1) if t.now.get("r") == 1]
        ends.append("ok" if seen == expected else f"{seen} instead of {expected}")

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    r = Random(5)
    for version in range(1, 601):
        # The last one concerns everybody, so that all come to an end.
        item = touched(version, r.randrange(3), 1 if version == 600 else r.randrange(3))
        log.append(item)
        for seat in fanout.publish(changes(item), version, 0):
            seat.wake()
    for thread in threads:
        thread.join(30)
    assert ends == ["ok"] * 4
