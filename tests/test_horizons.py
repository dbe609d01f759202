"""Horizons: forgetting on a server and its devices. Every failing world is told by its seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from client_files import check as check_file
from client_files import client_file, download, take
from test_convergence import act, check
from worlds import Device, World, parts_of

from replication.client.records import load_synced
from replication.client.text_editor import write_updates
from replication.crdt import object as obj
from replication.crdt.list import all_elements
from replication.crdt.object import is_alive
from replication.errors import DecodeError
from replication.history.changeset import decode_trusted
from replication.model.encoding import pack, unpack_trusted
from replication.protocol.body import DeltaOp, EvictOp, ForgetOp
from replication.protocol.messages import Message, Upload
from replication.server.refusals import DELETED, DEPENDS
from replication.server.tables import entries
from replication.storage.contract import Store


@pytest.mark.parametrize("seed", range(150))
def test_worlds_that_forget_converge(seed: int) -> None:
    """FORGET-9 UP-8 UP-9 DOWN-11 DOWN-12 SESSION-9 CLIENT-14 CLIENT-15: at any moment, as often as
    it comes; in the end every device holds what the server has, byte for byte.
    """
    r = random.Random(seed)
    small = {"bytes_target": r.choice([1, 300, 10**6]), "entries_max": r.choice([1, 3, 1000])}
    world = World(r.randrange(1, 4), **small)
    for device in world.devices:
        if r.random() < 0.9:
            device.subscribe(r.choice(["TRUEPREDICATE", "TRUEPREDICATE", "year > 4"]))
    often = r.choice([0.02, 0.1, 0.3])
    for _ in range(r.randrange(20, 90)):
        act(world, r)
        if r.random() < often:
            world.forget()
    for device in world.devices:
        if not device.db.subscriptions.latest.queries():  # who asks for nothing is told nothing
            device.subscribe()
    check(world)
    for device in world.devices:
        check_file(device.db)
    world.forget()
    check(world)


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_lost_by_forgetting(seed: int) -> None:
    """REBASE-1 UP-8 UP-9 SESSION-9: devices insert and erase, offline and not, through any number
    of horizons: in the end the list holds exactly what was inserted and nobody erased, and each
    device's runs are in the order in which it wrote them.
    """
    r = random.Random(seed)
    world = World(3, bytes_target=r.choice([1, 10**6]), entries_max=r.choice([1, 3, 1000]))
    first = world.devices[0]
    for device in world.devices:
        device.subscribe()
    with first.db.write() as tx:
        tx.create("Book", 1)
    world.settle()
    inserted, erased = set(range(0)), set(range(0))
    for _ in range(r.randrange(20, 60)):
        device = r.choice(world.devices)
        choice = r.random()
        if choice < 0.12:
            world.forget()
        elif choice < 0.5:
            step(device, r)
        else:
            world.ms += 1
            with device.db.write() as tx:
                edit = tx.edit("Book", 1)
                notes = edit.editor((), "notes")
                if r.random() < 0.5 and len(notes):
                    at = r.randrange(len(notes))
                    erased.add(notes.value_at(at))
                    edit.scope().list_erase("notes", notes, at)
                else:
                    run = [len(inserted), len(inserted) + 1]
                    inserted.update(run)
                    at = r.randrange(len(notes) + 1)
                    edit.scope().list_insert("notes", notes, at, run)
    check(world)
    notes = world.view()[1].get("notes", [])
    assert sorted(notes) == sorted(inserted - erased)
    for device in world.devices:
        assert not device.db.refusals()
    runs = [value for value in notes if value % 2 == 0 and value + 1 in notes]
    assert all(notes.index(value) < notes.index(value + 1) for value in runs)


@pytest.mark.parametrize("seed", range(20))
def test_no_typing_is_lost_by_forgetting(seed: int) -> None:
    """UP-8 UP-9 SESSION-9: the same in a text, whose words are exactly those that were typed and
    nobody erased. Erased units stay, without content, so there is nothing to hang anew.
    """
    r = random.Random(seed)
    world = World(3, bytes_target=r.choice([1, 10**6]), entries_max=r.choice([1, 3, 1000]))
    for device in world.devices:
        device.subscribe()
    with world.devices[0].db.write() as tx:
        tx.create("Book", 1)
    world.settle()
    typed, erased = set(), set()
    for turn in range(r.randrange(20, 50)):
        device = r.choice(world.devices)
        choice = r.random()
        if choice < 0.15:
            world.forget()
        elif choice < 0.5:
            step(device, r)
        else:
            world.ms += 1
            with device.db.write() as tx:
                edit = tx.edit("Book", 1)
                body = edit.text((), "body")
                words = str(body).split(" ")[:-1]
                if r.random() < 0.3 and words:
                    at = r.randrange(len(words))
                    erased.add(words[at])
                    start = sum(len(word) + 1 for word in words[:at])
                    written = body.erase(start, len(words[at]) + 1)
                else:
                    at = r.randrange(len(words) + 1)
                    start = sum(len(word) + 1 for word in words[:at])
                    typed.add(f"word{turn}")
                    written = body.insert(start, f"word{turn} ", None)
                write_updates(edit.scope(), "body", written)
    check(world)
    left = world.view()[1].get("body", "").split(" ")[:-1]
    assert sorted(left) == sorted(typed - erased)
    assert not any(device.db.refusals() for device in world.devices)


def test_the_text_of_what_was_deleted_is_forgotten_with_its_parts() -> None:
    """FORGET-9: nothing of it is left when the object is next written to."""
    world = World(2)
    for device in world.devices:
        device.subscribe()
    first = world.devices[0]
    with first.db.write() as tx:
        edit = tx.create("Book", 1)
        for size in (3000, 3000):
            write_updates(edit.scope(), "body", edit.text((), "body").insert(0, "x" * size, None))
    world.settle()
    stores = [world.store, *(device.store for device in world.devices)]
    assert all(_parts_left(store) for store in stores)
    with first.db.write() as tx:
        tx.delete("Book", 1)
    world.settle()
    world.forget()
    world.settle()
    assert not any(_parts_left(store) for store in stores)
    with world.devices[1].db.write() as tx:
        edit = tx.create("Book", 1)
        write_updates(edit.scope(), "body", edit.text((), "body").insert(0, "new", None))
    check(world)
    assert world.view()[1]["body"] == "new"


def _parts_left(store: Store) -> int:
    with store.read() as reader:
        return sum(len(list(reader.parts("Book", row.row))) for row in reader.all_objects("Book"))


def step(device: Device, r: random.Random) -> None:
    """Some messages to and fro."""
    if device.agent is None:
        device.connect()
    for _ in range(r.randrange(8)):
        if device.agent is None or not device.step():
            break
    if r.random() < 0.2:
        device.cut()


def notes(device: Device, act: Callable[[Any, Any], None], key: int = 1) -> None:
    """One transaction on the notes of a book, made if it is not there."""
    with device.db.write() as tx:
        edit = tx.edit("Book", key)
        if not is_alive(edit.view):
            edit.create()
        act(edit.scope(), edit.editor((), "notes"))


def insert(*values: int, at: int | None = None) -> Callable[[Any, Any], None]:
    return lambda scope, editor: scope.list_insert(
        "notes", editor, len(editor) if at is None else at, values
    )


def erase(at: int, count: int = 1) -> Callable[[Any, Any], None]:
    def act(scope: Any, editor: Any) -> None:
        for _ in range(count):
            scope.list_erase("notes", editor, at)

    return act


def library(devices: int = 2) -> World:
    """Devices that all hold a book with the notes 0 to 7."""
    world = World(devices)
    for device in world.devices:
        device.subscribe()
    notes(world.devices[0], insert(*range(8)))
    world.settle()
    return world


def places(store: Any, key: int = 1) -> int:
    """How many places a stored list has."""
    with store.read() as reader:
        item = reader.get_object("Book", key)
        state = unpack_trusted(item.head)
        path = (obj.LIST, "notes")
        return len(all_elements(state[3][obj.LIST]["notes"], parts_of(reader, item), path).places)


def pending(device: Device) -> list[Any]:
    """The changesets that a device has not had acknowledged."""
    return [
        decode_trusted(data)
        for data in device.db.unsent(device.db.synced.acknowledged + 1, 100, 10**9)
    ]


def test_what_is_dead_goes_when_an_object_is_next_written_to() -> None:
    """CLIENT-14 FORGET-9: at the server and on devices alike, and not before."""
    world = library()
    first, second = world.devices
    notes(first, erase(1, 6))
    world.settle()
    world.forget()
    world.settle()
    assert [places(each.store) for each in (world, first, second)] == [8, 8, 8]
    notes(second, insert(9))
    assert places(second.store) == 3
    world.settle()
    assert [places(each.store) for each in (world, first, second)] == [3, 3, 3]
    assert world.view()[1]["notes"] == first.view()[1]["notes"] == [0, 7, 9]


def test_a_device_that_was_away_re_bases_what_it_has_pending() -> None:
    """UP-8 SESSION-9 CLIENT-15 REBASE-1: stamps, ids, cursor and client version stay."""
    world = library()
    away, other = world.devices
    notes(away, insert(100, at=4))
    notes(away, insert(101, at=5))
    before = pending(away)
    notes(other, erase(1, 6))
    other.sync()
    horizon = world.forget()
    notes(other, insert(50, at=1))
    other.sync()
    away.sync()
    world.settle()
    assert world.view()[1]["notes"] == [0, 100, 101, 50, 7]
    check(world)
    assert not away.db.refusals()
    ident = away.db.local.ident
    with world.store.read() as reader:
        logged = [each for each in entries(reader, horizon, 2**60) if each.origin == ident]
    mine = [decode_trusted(each.changeset) for each in logged]
    assert [each.horizon for each in mine] == [horizon] * 2
    assert [(each.time, each.cursor) for each in mine] == [
        (each.time, each.cursor) for each in before
    ]


def test_what_was_integrated_before_a_horizon_stays_as_it_was() -> None:
    """CLIENT-15 UP-1: its ACK was lost; the digest chain is made of its bytes."""
    world = library()
    away, other = world.devices
    notes(away, insert(100, at=4))
    away.connect()
    away.wake()
    while 100 not in world.view()[1]["notes"]:
        away.deliver()
    away.cut()
    assert len(pending(away)) == 1
    notes(away, insert(101, at=5))
    notes(other, erase(1, 6))
    other.sync()
    world.forget()
    ident = away.db.local.ident
    check(world)
    assert away.db.local.ident == ident, "the server took it for a copy"
    assert 101 in world.view()[1]["notes"]
    assert not away.db.refusals()


def test_late_edits_of_what_was_forgotten_are_refused() -> None:
    """REBASE-2: and the device is told; nothing of them is left, here or there."""
    world = library()
    away, other = world.devices
    notes(away, lambda scope, editor: scope.list_set("notes", editor, 3, 33))
    notes(away, lambda scope, editor: scope.list_move("notes", editor, 4, 0))
    notes(away, erase(4))
    notes(other, erase(1, 6))
    other.sync()
    world.forget()
    away.sync()
    check(world)
    assert world.view()[1]["notes"] == [0, 7]
    refused = [(each[1], each[2], each[4]) for each in away.db.refusals()]
    assert refused == [("Book", 1, DEPENDS)] * 2


def test_late_edits_of_deleted_and_of_re_created_objects() -> None:
    """FORGET-6: the length is not forgotten, so that a life is told from the next."""
    world = library()
    away, other = world.devices
    notes(away, insert(100))
    with other.db.write() as tx:
        tx.delete("Book", 1)
    other.sync()
    world.forget()
    other.sync()
    notes(other, insert(7))
    other.sync()
    world.forget()
    away.sync()
    check(world)
    assert world.view()[1]["notes"] == [7]
    assert [each[4] for each in away.db.refusals()] == [DELETED]


@pytest.mark.parametrize("forget", [False, True])
def test_a_blind_create_starts_where_its_author_stood(forget: bool) -> None:
    """CHG-13: re-based, it keeps the cursor it was written at: a deletion it had not seen beats it
    before a horizon and after.
    """
    world = library()
    away, other = world.devices
    away.subscribe("year > 5")
    away.sync()
    with away.db.write() as tx:
        tx.create("Book", 1).scope().set("title", "blind")
    with other.db.write() as tx:
        tx.delete("Book", 1)
    other.sync()
    if forget:
        world.forget()
    away.sync()
    check(world)
    assert world.view() == {}
    assert [each[4] for each in away.db.refusals()] == [DELETED]


def test_a_new_device_uploads_past_a_horizon() -> None:
    """UP-8 DOWN-11: with a subscription or without, it is told of the horizon first."""
    world = library(3)
    world.forget()
    fresh = Device(world, 9)
    notes(fresh, insert(1), key=9)
    fresh.sync()
    assert world.view()[9]["notes"] == [1]
    assert not pending(fresh)
    with fresh.store.read() as reader:
        assert load_synced(reader).horizon == fresh.db.synced.horizon > 0


def test_an_object_made_past_a_horizon_is_not_forgotten_before_the_next() -> None:
    """CLIENT-14: not what is pending on it, nor what of it was folded."""
    world = library()
    device = world.devices[0]
    world.forget()
    world.settle()

    def insert_and_erase(scope: Any, editor: Any) -> None:
        insert(1, 2, 3)(scope, editor)
        erase(0)(scope, editor)

    notes(device, insert_and_erase, key=2)
    notes(device, insert(0, at=0), key=2)
    check_file(device.db)
    assert places(device.store, 2) == 4
    world.settle()
    notes(device, insert(9), key=2)
    assert places(device.store, 2) == 5
    check(world)
    assert places(world.store, 2) == 5


def test_a_folded_part_of_a_new_object_stays_past_the_horizon() -> None:
    """CLIENT-14: the base that it becomes says so."""
    world = library()
    device, other = world.devices
    world.forget()
    world.settle()
    notes(device, insert(1, 2, 3), key=2)
    notes(device, erase(0), key=2)
    device.upload()
    notes(device, insert(9), key=2)
    device.download()
    other.sync()
    notes(other, insert(8), key=2)
    other.sync()
    device.download()
    assert len(device.db.pending) == 1
    check_file(device.db)
    check(world)
    assert places(device.store, 2) == places(world.store, 2) == 5


def test_a_state_from_before_the_horizon_comes_to_what_is_pending() -> None:
    """CLIENT-14: an object enters the view again, as it was when it was last written to."""
    world = library()
    device, other = world.devices
    notes(other, erase(1, 6))
    world.settle()
    device.subscribe("year > 5")
    world.settle()
    world.forget()
    world.settle()
    device.subscribe()
    device.upload()
    with device.db.write() as tx:
        tx.create("Book", 1).scope().set("title", "again")
    device.download()
    assert len(device.db.pending) == 1
    assert places(device.store) == 2
    notes(device, insert(9, at=1))
    check_file(device.db)
    check(world)
    assert world.view()[1]["notes"] == [0, 9, 7]


def test_uploads_wait_for_the_horizon() -> None:
    """SESSION-9: what was refused is not sent again before the DOWNLOAD that brings the horizon."""
    world = library()
    away, _ = world.devices
    away.connect()
    for _ in range(9):
        away.step()
    world.forget()
    notes(away, insert(1))
    sent: list[Message] = []
    deliver = away.send
    away.send = lambda out: (sent.extend(out), deliver(out))[1]  # type: ignore[method-assign]
    away.sync()
    uploads = [each for each in sent if isinstance(each, Upload)]
    assert len(uploads) == 2
    check(world)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_re_based_uploads_makes_no_difference(order: tuple[int, ...]) -> None:
    """MERGE-1 REBASE-1: three devices come back from before a horizon, in any order."""
    world = library(4)
    *away, other = world.devices
    for number, device in enumerate(away):
        notes(device, insert(100 * number + 100, 100 * number + 101, at=2 + number))
        notes(device, insert(100 * number + 102, at=3 + number))
        notes(device, lambda scope, editor: scope.list_move("notes", editor, 0, 4))
    notes(other, erase(1, 5))
    other.sync()
    world.forget()
    for device in away:  # all of them pass the horizon before any of them uploads
        device.connect()
        while device.db.synced.horizon == 0:
            assert device.step()
        device.cut()
    for number in order:
        away[number].sync()
    check(world)
    (state,) = world.states().values()
    assert state == ORDERED.setdefault("state", state)
    assert len(world.view()[1]["notes"]) == 3 + 9


#: The state that every order ends with.
ORDERED: dict[str, bytes] = {}


# -- what a server may not say ---------------------------------------------------------------
@pytest.mark.parametrize("horizons", [[99], [2, 2], [3, 2]])
def test_horizons_ascend_up_to_the_version(horizons: list[int]) -> None:
    """DOWN-11 DOWN-12"""
    db = client_file()
    operations = [ForgetOp(version) for version in horizons]
    with pytest.raises(DecodeError, match="horizon"):
        take(db, download(5, *operations))
    check_file(db)


@pytest.mark.parametrize("version", [4, 5])
def test_deltas_come_after_the_horizon_that_was_passed(version: int) -> None:
    """FORGET-9 DOWN-12: what they were written on is forgotten."""
    db = client_file()
    take(db, download(6, ForgetOp(5)))
    late = DeltaOp("Note", 1, version, pack([0, 1, [], {}]))
    with pytest.raises(DecodeError, match="forgotten up to 5"):
        take(db, download(7, late))
    check_file(db)


def test_a_horizon_comes_with_the_last_message() -> None:
    """DOWN-11"""
    db = client_file()
    with pytest.raises(DecodeError, match="before the last message"):
        take(db, download(5, ForgetOp(3), last=False))


def test_horizons_come_before_all_other_operations() -> None:
    """DOWN-11"""
    db = client_file()
    with pytest.raises(DecodeError, match="behind other operations"):
        take(db, download(5, EvictOp("Note", 1), ForgetOp(3)))
    check_file(db)


# -- long lists ------------------------------------------------------------------------------
@pytest.mark.parametrize("left", [5, 400])
def test_long_lists_go_on_past_a_horizon(left: int) -> None:
    """FORGET-8 CLIENT-14: lists spread over parts, open ones, those with something pending."""
    world = World(3)
    first, second, away = world.devices
    for device in world.devices:
        device.subscribe()
    notes(first, insert(*range(2000)))
    world.settle()
    notes(away, insert(-1, at=1000))
    notes(first, erase(left // 2, 2000 - left))
    first.sync()
    second.sync()
    notes(second, insert(3000))
    for number in range(3):
        world.forget()
        notes(second, insert(4000 + number, at=1))
        notes(first, insert(5000 + number))
        world.settle()
        for device in (*world.devices, first):
            check_file(device.db)
        notes(away, erase(2))
    check(world)
    assert places(world.store) < 2 * len(world.view()[1]["notes"])
    assert -1 in world.view()[1]["notes"]


def test_a_handle_shows_what_it_showed() -> None:
    """FORGET-7 CLIENT-14: objects that an app holds, their lists open and not."""
    world = World(2)
    first, second = world.devices
    for device in world.devices:
        device.subscribe()
    notes(first, insert(*range(600)))
    world.settle()
    book, other = (device.db.get("Book", 1) for device in world.devices)
    assert len(book.notes) == len(other.notes) == 600
    with first.db.write():
        del book.notes[1:599]
    world.settle()
    world.forget()
    world.settle()
    assert list(book.notes) == list(other.notes) == [0, 599]
    with second.db.write():
        other.notes.insert(1, 7)
        assert list(other.notes) == [0, 7, 599]
    with first.db.write():
        assert list(book.notes) == [0, 599]
    world.settle()
    assert list(book.notes) == list(other.notes) == [0, 7, 599]
    check(world)
