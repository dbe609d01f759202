"""The six kinds of writes that the service this replaces called illegal: what answers each here.

W1. Each test names the rule that answers; the table is in `spec/rules.md`.
"""

from __future__ import annotations

from typing import Any

import pytest
from test_client_subscriptions import filled, put
from test_journal_refusals import desk, edited, under_rules
from test_partitions import World as Partitioned
from test_partitions import put as put_into
from test_rules_roles import role
from worlds import Device, World

from replication.client.left import LeftView
from replication.errors import NoSubscriptionError
from replication.server.refusals import NOT_PERMITTED, OUTSIDE_PARTITION, OUTSIDE_VIEW


def narrow(**options: Any) -> tuple[World, Device, list[LeftView]]:
    """A device that sees books of years before 3, and what it is told has left its view."""
    world, _, reader = filled(6, **options)
    reader.subscribe("year < 3")
    reader.sync()
    told: list[LeftView] = []
    reader.db.on_left_view(told.extend)
    return world, reader, told


def refusals(device: Device) -> list[tuple[Any, ...]]:
    return [(each.key, each.path, each.reason, each.clause) for each in device.db.refusals()]


def test_a_create_that_no_subscription_covers() -> None:
    """(a) SUB-7: refused on the device, before it is written."""
    _, device = desk()
    with device.db.subscriptions.edit() as wanted:
        wanted.clear()
    device.sync()
    with pytest.raises(NoSubscriptionError, match="Book"), device.db.write():
        device.db.create("Book", _id=50)
    assert refusals(device) == []


@pytest.mark.parametrize("strict", [False, True])
def test_a_create_outside_of_the_view(strict: bool) -> None:
    """(b) SUB-11 SUB-12: taken, and told to have left; where the server is strict, refused."""
    world, device, told = narrow(strict_view=strict)
    put(device, 50, year=9)
    device.sync()
    assert (50 in world.view(), 50 in device.view()) == (not strict, False)
    assert [each.key for each in told] == ([] if strict else [50])
    assert refusals(device) == ([(50, [], OUTSIDE_VIEW, "")] if strict else [])


@pytest.mark.parametrize("strict", [False, True])
def test_an_edit_of_what_is_outside_of_the_view(strict: bool) -> None:
    """(c) SUB-11 SUB-12: likewise; the device holds no such object, so it guesses its key."""
    world, device, _ = narrow(strict_view=strict)
    with device.db.write() as tx:
        tx.create("Book", 4).scope().set("title", "guessed")
    device.sync()
    assert world.view()[4].get("title") == (None if strict else "guessed")
    assert 4 not in device.view()
    assert refusals(device) == ([(4, [], OUTSIDE_VIEW, "")] if strict else [])


@pytest.mark.parametrize(
    ("act", "held", "path", "clause"),
    [
        (lambda tx: tx.create("Book", 50), role("r", write=True, insert=False), [], "insert"),
        (lambda tx: tx.delete("Book", 1), role("r", write=True, delete=False), [], "delete"),
        (edited(title="x"), role("r", read=True, write=False), ["title"], "write"),
        (
            edited(title="x", year=1),
            role("r", fields={"title": {"read": True}}, additional_fields={"write": True}),
            ["title"],
            "fields.title.write",
        ),
        (
            edited(title="x"),
            role("r", write=True, document_filters={"read": True, "write": {"year": 9}}),
            [],
            "document_filters.write",
        ),
    ],
    ids=["create", "delete", "edit", "a field", "an object"],
)
def test_a_write_without_permission(act: Any, held: Any, path: Any, clause: str) -> None:
    """(d) RULES-WRITE-1 RULES-WRITE-2 RULES-WRITE-4"""
    world, device = desk()
    before = device.view()
    under_rules(world, held)
    with device.db.write() as tx:
        act(tx)
    device.sync()
    assert [each[1:] for each in refusals(device)] == [(path, NOT_PERMITTED, clause)]
    assert device.view() == before == world.view()


def test_a_write_that_ends_its_authors_permission() -> None:
    """(e) RULES-WRITE-3"""
    world, device = desk()
    held = role("r", write=True, document_filters={"read": True, "write": {"year": {"$lt": 9}}})
    under_rules(world, held)
    with device.db.write() as tx:
        edited(year=40, title="stays")(tx)
    device.sync()
    assert refusals(device) == [(1, ["year"], NOT_PERMITTED, "document_filters.write")]
    assert (world.view()[1]["year"], world.view()[1]["title"]) == (1, "stays")


def test_the_key_of_a_partition_changed_in_a_session_of_it() -> None:
    """(f) PART-5: what data is cut by, here, is the key of the partition that somebody opened."""
    world = Partitioned()
    red = world.device("red")
    put_into(red, 1, "mine")
    red.sync()
    with red.db.write() as tx:
        tx.edit("Book", 1).scope().set("owner", "blue")
    red.sync()
    assert [each.reason for each in red.db.refusals()] == [OUTSIDE_PARTITION]
    assert world.owners() == {1: "red"}


@pytest.mark.parametrize("strict", [False, True])
def test_a_queryable_field_changed_in_another_session(strict: bool) -> None:
    """(f) SUB-11 SUB-12: nothing hangs on such a field: the object leaves the view, and stays."""
    world, device, told = narrow(strict_view=strict)
    put(device, 1, year=9)
    device.sync()
    assert refusals(device) == []
    assert world.view()[1]["year"] == 9
    assert 1 not in device.view()
    assert [each.key for each in told] == [1]
