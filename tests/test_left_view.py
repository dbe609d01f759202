"""Writes outside of a device's view: taken, and evicted with an event; or refused on request."""

from __future__ import annotations

from typing import Any

import pytest
from client_files import check as check_file
from test_client_subscriptions import filled, put
from test_convergence import check as check_converged
from worlds import Device, World

from replication.client import left
from replication.client.database import Database
from replication.client.left import LeftView
from replication.client.records import LEFT
from replication.client.subscription_set import SubscriptionState


def watching(device: Device) -> list[LeftView]:
    """What it is told to have left its view."""
    told: list[LeftView] = []
    device.db.on_left_view(told.extend)
    return told


def delete(device: Device, key: int) -> None:
    with device.db.write() as tx:
        tx.delete("Book", key)


@pytest.mark.parametrize("size", [1, 10**6], ids=["staged", "exact"])
def test_what_is_written_outside_of_the_view_is_taken_and_evicted(size: int) -> None:
    """SUB-11: new, blindly written or moved out; each with the changeset that did it."""
    world, writer, reader = filled(6, bytes_target=size, entries_max=1 if size == 1 else 1000)
    reader.subscribe("year < 3")
    reader.sync()
    told = watching(reader)
    put(reader, 50, title="new")
    put(reader, 1, year=9)
    put(reader, 2, title="stays")
    put(reader, 4, title="blind")
    put(reader, 4, title="again")
    put(reader, 51)
    delete(reader, 51)
    last = reader.db.local.client_version
    reader.sync()
    assert sorted(told, key=lambda each: each.key) == [
        LeftView("Book", 1, last - 5),
        LeftView("Book", 4, last - 2),
        LeftView("Book", 50, last - 6),
    ]
    assert sorted(reader.view()) == [0, 2]
    assert world.view()[50]["title"] == "new"
    assert world.view()[4]["title"] == "again"
    assert reader.db.refusals() == []
    told.clear()
    put(writer, 2, year=77)
    writer.sync()
    reader.sync()
    assert told == [], "others moved it out"
    check_file(reader.db)
    check_converged(world)


def test_the_app_is_told_after_the_fact_and_may_fail() -> None:
    """SUB-11: it sees the file without the object."""
    _, _, reader = filled(3)
    reader.subscribe("year < 3")
    reader.sync()
    seen: list[Any] = []
    failures: list[Exception] = []
    reader.db.on_callback_error = failures.append
    reader.db.on_left_view(lambda left: {}["nothing"])
    stop = reader.db.on_left_view(lambda left: seen.append((left, sorted(reader.view()))))
    put(reader, 50)
    reader.sync()
    ((left, view),) = seen
    assert [each.key for each in left] == [50]
    assert view == [0, 1, 2]
    assert len(failures) == 1
    stop()
    put(reader, 51)
    reader.sync()
    assert len(seen) == 1


def test_what_was_written_before_a_set_that_does_not_see_it() -> None:
    """SUB-11: it stays visible until that set is served."""
    world, _, reader = filled(3)
    told = watching(reader)
    put(reader, 50)
    put(reader, 51, year=1)
    reader.sync()
    assert told == []
    reader.subscribe("year < 3")
    reader.sync()
    assert [each.key for each in told] == [50]
    assert sorted(reader.view()) == [0, 1, 2, 51]
    check_converged(world)


class Died(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("size", [1, 10**6], ids=["staged", "exact"])
def test_a_process_that_dies_before_the_app_is_told(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SUB-13: the next one tells it, once."""
    world, _, reader = filled(3, bytes_target=size, entries_max=1 if size == 1 else 1000)
    reader.subscribe("year < 3")
    reader.sync()
    watching(reader)
    put(reader, 50)
    put(reader, 51)
    last = reader.db.local.client_version

    def dies(_: Database) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Database, "tell_left", dies)
        with pytest.raises(Died):
            reader.sync()
    reader.cut()
    reader.open()
    assert sorted(reader.view()) == [0, 1, 2], "it was committed"
    expected = [LeftView("Book", 50, last - 1), LeftView("Book", 51, last)]
    assert sorted(watching(reader)) == expected
    assert watching(reader) == []
    reader.open()
    assert watching(reader) == []
    reader.sync()
    check_file(reader.db)
    check_converged(world)


def test_what_leaves_while_nobody_listens() -> None:
    """SUB-13: it waits, in order, over any number of processes; one that hears it twice is told."""
    _, _, reader = filled(3)
    reader.subscribe("year < 3")
    reader.sync()
    for key in (50, 51):
        put(reader, key)
        reader.sync()
        reader.cut()
        reader.open()
    put(reader, 50, title="again")
    reader.sync()
    with reader.db.write():
        early = watching(reader)
        assert early == [], "not within a transaction of this thread"
    told = watching(reader)
    assert [each.key for each in told] == [50, 51, 50]
    assert early == told
    put(reader, 52)
    reader.sync()
    assert [each.key for each in told] == [50, 51, 50, 52]
    assert not list(stored(reader))


def stored(device: Device) -> list[bytes]:
    with device.db.reading() as reader:
        return [data for _, data in reader.records(LEFT)]


def test_a_file_that_is_only_read_tells_nothing() -> None:
    """SUB-13"""
    _, _, reader = filled(3)
    reader.subscribe("year < 3")
    reader.sync()
    put(reader, 50)
    reader.sync()
    reader.db.read_only = True
    assert watching(reader) == []
    assert len(stored(reader)) == 1


def test_what_nobody_ever_hears_of_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """SUB-13: by LEFT_VIEW_MAX; the oldest go."""
    monkeypatch.setattr(left, "LEFT_VIEW_MAX", 3)
    _, _, reader = filled(3)
    reader.subscribe("year < 3")
    reader.sync()
    for key in range(50, 55):
        put(reader, key)
    reader.sync()
    put(reader, 60)
    reader.sync()
    assert len(stored(reader)) == 3
    assert [each.key for each in watching(reader)] == [53, 54, 60]


# -- strict views ----------------------------------------------------------------------------------
def strict(**options: Any) -> tuple[World, Device, Device]:
    world, writer, reader = filled(6, strict_view=True, **options)
    reader.subscribe("year < 3")
    reader.sync()
    return world, writer, reader


def reasons(device: Device) -> list[tuple[Any, Any, str]]:
    return [(refusal[2], refusal[4], refusal[5]) for refusal in device.db.refusals()]


OUTSIDE = "outside of the view"


def test_a_strict_view_refuses_what_is_outside_and_nothing_else() -> None:
    """SUB-12: in one transaction with what is inside; a change may move an object out."""
    world, _, reader = strict()
    told = watching(reader)
    with reader.db.write() as tx:
        for key, year in ((50, 9), (51, 1)):
            tx.create("Book", key).scope().set("year", year)
        tx.create("Book", 4).scope().set("title", "blind")
        tx.edit("Book", 1).scope().set("year", 9)
        tx.edit("Book", 2).scope().set("title", "fine")
        tx.delete("Book", 0)
    reader.sync()
    said = "Book {} is outside of the current query view"
    assert reasons(reader) == [(key, OUTSIDE, said.format(key)) for key in (4, 50)]
    assert sorted(world.view()) == [1, 2, 3, 4, 5, 51]
    assert world.view()[4].get("title") is None
    assert sorted(reader.view()) == [2, 51]
    assert [each.key for each in told] == [1]
    check_file(reader.db)
    check_converged(world)


def test_a_strict_view_is_that_of_the_moment_of_writing() -> None:
    """SUB-12 SUB-3: each set for what was written under it."""
    world, _, reader = strict()
    reader.cut()
    put(reader, 50, year=9)
    reader.subscribe("year >= 3")
    put(reader, 51, year=9)
    put(reader, 52, year=1)
    reader.sync()
    assert [key for key, *_ in reasons(reader)] == [50, 52]
    assert sorted(world.view()) == [0, 1, 2, 3, 4, 5, 51]
    assert reader.db.subscriptions.latest.state is SubscriptionState.COMPLETE
    check_converged(world)


def test_a_strict_view_and_what_others_did_meanwhile() -> None:
    """SUB-12: what left the view, or came to be there unseen, can't be written to."""
    world, writer, reader = strict()
    reader.cut()
    put(writer, 1, year=40)
    put(writer, 60, year=41)
    writer.sync()
    put(reader, 1, title="mine")
    put(reader, 60, year=1, title="mine")
    reader.sync()
    assert [(key, reason) for key, reason, _ in reasons(reader)] == [(1, OUTSIDE), (60, OUTSIDE)]
    assert world.view()[60]["year"] == 41
    check_converged(world)


def test_a_strict_view_refuses_a_whole_atomic_transaction() -> None:
    """SUB-12 UP-5"""
    world, _, reader = strict()
    with reader.db.write(atomic=True) as tx:
        tx.create("Book", 50).scope().set("year", 9)
        tx.create("Book", 51).scope().set("year", 1)
    reader.sync()
    assert sorted(key for key, *_ in reasons(reader)) == [50, 51]
    assert 51 not in world.view()
    check_converged(world)


def test_a_file_that_never_had_a_set_has_no_view_to_keep_to() -> None:
    """SUB-12"""
    world, _, reader = filled(3, strict_view=True)
    put(reader, 50)
    reader.sync()
    assert 50 in world.view()
    assert reasons(reader) == []
