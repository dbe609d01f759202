"""Pending deltas renamed: at the first IDENT, as a forked file, and when the clock ran ahead."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from client_files import check, client_file, download, pending, take
from test_convergence import act, copied, write
from test_convergence import check as check_converged
from worlds import LIBRARY, Device, World

from replication.client.database import Database
from replication.client.objects import Handle
from replication.client.restamp import adopt, pull_back
from replication.client.transaction import Transaction
from replication.clock import time_from_ms
from replication.crdt import object as obj
from replication.crdt.stamps import latest_time
from replication.crdt.view import query_values
from replication.history.changeset import decode_trusted
from replication.model.encoding import pack
from replication.model.values import ERASED
from replication.protocol.body import StateOp
from replication.protocol.messages import Ack
from replication.storage.memory import MemoryStore

WALL_MS = 300_000_000_000


def fresh() -> Database:
    """A file that never met a server."""
    return Database(MemoryStore(query_values), LIBRARY, wall_ms=lambda: WALL_MS)


def everything(tx: Transaction) -> None:
    """A write of each kind, at the top and inside, and replacements that name what they replace."""
    edit = tx.edit("Book", 1)
    edit.create()
    scope = edit.scope()
    scope.set("title", "a")
    scope.set_default("year", 3)
    scope.set_default("anything", 4)
    scope.add("copies", 2)
    scope.set("copies", 7)
    scope.set_member("tags", "x", present=True)
    scope.restart(obj.SET, "tags")
    scope.set_member("tags", "y", present=True)
    scope.put_item("extra", "k", 1)
    scope.put_item("extra", "l", ERASED)
    scope.create_embedded("home", edit.starting_length("home", now=0)).set("city", "x")
    rooms = edit.editor(("home",), "rooms")
    edit.scope(("home",)).list_insert("rooms", rooms, 0, [5, 6])
    notes = edit.restart_list((), "notes")
    scope.list_insert("notes", notes, 0, [1, 2, 3])


def more(tx: Transaction) -> None:
    """A second transaction that refers to the first one's stamps and ids."""
    edit = tx.edit("Book", 1)
    scope = edit.scope()
    scope.set_default("title", "default")
    scope.set("year", 4)
    scope.add("copies", 1)
    notes = edit.editor((), "notes")
    scope.list_insert("notes", notes, min(1, len(notes)), [9, 10, 11, 12])
    scope.list_move("notes", notes, 0, 2)
    scope.list_set("notes", notes, 1, 8)
    scope.list_erase("notes", notes, 3)


def numbers(value: Any) -> set[int]:
    """Every integer anywhere in a decoded delta."""
    if isinstance(value, dict):
        return set().union(*map(numbers, value.values()), *map(numbers, value.keys()))
    if isinstance(value, list | tuple):
        return set().union(*map(numbers, value))
    return {value} if type(value) is int else set()


def changesets(db: Database) -> list[Any]:
    first = db.synced.acknowledged + 1
    return [decode_trusted(data) for data in db.unsent(first, 1000, 10**9)]


def shown(db: Database) -> Any:
    handle = db.get("Book", 1)
    return None if handle is None else handle.to_dict()


OTHER = 123_456_789


def test_ident_0_becomes_the_ident_everywhere() -> None:
    """SUBST-1 SUBST-3 SUBST-4: the file is, byte for byte, what it had been with the ident."""
    db, known = fresh(), fresh()
    with known.integrating() as work:
        adopt(work, OTHER, 7)
    for each in (db, known):
        with each.write() as tx:
            everything(tx)
        with each.write() as tx:
            more(tx)
    before = shown(db)
    with db.integrating() as work:
        adopt(work, OTHER, 7)
    check(db)
    assert shown(db) == before
    assert db.local == known.local
    assert db.unsent(1, 99, 10**9) == known.unsent(1, 99, 10**9)
    with db.store.read() as one, known.store.read() as other:
        rows = [one.get_object("Book", 1), other.get_object("Book", 1)]
        assert rows[0] == rows[1]
    assert OTHER in set().union(*(numbers(each.objects) for each in changesets(db)))


def test_handles_follow_their_elements() -> None:
    """SUBST-1: a path that an app holds names the same element, with the ident it has now."""
    db = fresh()
    with db.write() as tx:
        everything(tx)
    book = db.get("Book", 1)
    home: Handle = book.home
    changes: list[Any] = []
    book.observe(changes.append)
    notes = book.notes
    with db.integrating() as work:
        adopt(work, 5, 7)
    assert home.is_valid
    assert home.city == "x"
    assert list(notes) == [1, 2, 3]
    with db.write():
        home.city = "y"
        notes.append(4)
    assert shown(db)["home"]["city"] == "y"
    assert list(book.notes) == [1, 2, 3, 4]
    check(db)


@pytest.mark.parametrize("seed", range(10))
def test_forks_of_random_files_lose_nothing(seed: int) -> None:
    """SUBST-1 UP-1: a file is copied at any moment; both copies go on, all of it converges."""
    r = random.Random(seed)
    world = World(2, bytes_target=r.choice([1, 10**6]), entries_max=r.choice([1, 1000]))
    for device in world.devices:
        device.subscribe()
    for _ in range(r.randrange(5, 30)):
        act(world, r)
    original, copy = world.devices[0], Device(world, 2)
    original.sync()
    original.cut()
    if r.random() < 0.5:
        write(original, r)
    copy.store = copied(original)
    copy.open()
    world.devices.append(copy)
    for device in (original, copy, original, copy):
        write(device, r)
        if r.random() < 0.3:
            device.subscribe(r.choice(["year > 2", "TRUEPREDICATE"]))
    original.sync()
    copy.sync()
    assert copy.db.local.ident != original.db.local.ident
    assert not copy.db.local.forking
    check(copy.db)
    check_converged(world)
    check(copy.db)


def test_a_fork_keeps_the_order_of_writes_and_subscriptions() -> None:
    """SUBST-1 SUB-3: numbered from 1, and a set still goes behind what was written before it."""
    world = World(2)
    first, second = world.devices
    first.subscribe()
    r = random.Random(1)
    for _ in range(5):
        write(first, r)
    first.sync()
    first.cut()
    second.store = copied(first)
    second.open()
    write(first, r)
    first.sync()
    write(second, r)
    write(second, r)
    second.subscribe("year > 3")
    write(second, r)
    second.sync()
    assert second.db.local.client_version == 3
    assert second.db.local.former == (first.db.local.ident,)
    assert second.db.subscriptions.latest.after == 2
    check_converged(world)


# -- clocks that run ahead -------------------------------------------------------------------
def test_pulling_back_keeps_order_and_references() -> None:
    """SUBST-2 SUBST-5: whatever was written, in any scope of three transactions: the view stays,
    stamps keep their order, start behind what was received and end near the server's clock.
    """

    def later(tx: Transaction) -> None:
        scope = tx.edit("Book", 1).scope()
        scope.set("title", "later")
        scope.set_default("anything", 5)
        scope.restart(obj.SET, "tags")

    def again(tx: Transaction) -> None:
        edit = tx.edit("Book", 1)
        edit.delete()
        edit.create()
        edit.scope().set("title", "again")

    def place(tx: Transaction) -> None:
        edit = tx.edit("Book", 1)
        home = edit.scope().view.get(obj.EMBEDDED, {}).get("home") or obj.absent()
        edit.scope().create_embedded("home", edit.starting_length("home", now=home[0]))
        edit.forget_below(("home",))

    acts = [everything, more, later, again, place]
    tried = 0
    for chosen in itertools.product(acts[1:], repeat=3):
        for first in range(1, 5):
            db = client_file()
            for tx_act in (everything, *chosen):
                with db.write() as tx:
                    tx_act(tx)
            start = db.synced.acknowledged + 1
            take(db, Ack(1, start + first - 2, 9, [], [])) if first > 1 else None
            before = [each.time for each in changesets(db)]
            view = shown(db)
            server_ms = WALL_MS - 90_000
            with db.integrating() as work:
                pull_back(work, start + first - 1, server_ms, WALL_MS)
            check(db)
            assert shown(db) == view
            after = [each.time for each in changesets(db)]
            assert len(after) == len(before) == 5 - first
            assert after == sorted(set(after))
            acknowledged = [pending(db, start + at).time for at in range(first - 1)]
            floor = max([time_from_ms(server_ms), *acknowledged])
            assert after == list(range(floor + 1, floor + 1 + len(after)))
            assert db.local.clock == after[-1]
            assert db.local.skew_ms == -90_000
            moved = set(before) - set(after) - set(acknowledged)
            for changeset in changesets(db):
                assert not moved & numbers([each.delta for each in changeset.objects])
                assert max(latest_time(each.delta) for each in changeset.objects) <= after[-1]
            with db.write() as tx:
                tx.edit("Book", 1).scope().set("title", "next")
            assert pending(db, db.local.client_version).time > after[-1]
            tried += 1
    assert tried == 4 * 4**3


def test_pulling_back_stays_behind_what_was_received() -> None:
    """SUBST-2 CLOCK-3: a write made after seeing another's still wins over it."""
    db = client_file()
    seen = time_from_ms(WALL_MS + 3_600_000)
    head = pack([1, 1, [], {obj.REGISTER: [[seen, 9, {"title": "seen"}]]}])
    take(db, download(3, StateOp("Book", 1, 3, head, [])))
    with db.write() as tx:
        tx.edit("Book", 1).scope().set("title", "mine")
    with db.integrating() as work:
        pull_back(work, db.local.client_version, WALL_MS, WALL_MS)
    check(db)
    assert shown(db)["title"] == "mine"
    assert pending(db, db.local.client_version).time > seen


@pytest.mark.parametrize("failing", [adopt, pull_back], ids=["adopt", "pull_back"])
def test_a_renaming_that_fails_leaves_nothing(failing: Any) -> None:
    """SUBST-1 SUBST-2: one transaction, whatever stops it."""
    db = fresh() if failing is adopt else client_file()
    with db.write() as tx:
        everything(tx)
    before, local = changesets(db), db.local

    def renamed() -> None:
        with db.integrating() as work:
            if failing is adopt:
                adopt(work, 5, 7)
            else:
                pull_back(work, db.local.client_version, WALL_MS, WALL_MS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        renamed()
    assert changesets(db) == before
    assert db.local == local
    assert not db.entities.renaming
    check(db)
    with db.write() as tx:
        more(tx)
    check(db)
