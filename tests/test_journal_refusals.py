"""What the server refused: taken back here alone, kept in the journal, told to the app once.

The rows W1 to W9 are those of what the anchor calls compensating writes.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import test_convergence as at_random
from bson.objectid import ObjectId
from client_files import check, client_file, pending, take, view
from test_client_apply import set_fields
from test_client_subscriptions import filled
from test_rules_roles import role, rules
from worlds import Device, World

from replication.cli.journal import entry_tree
from replication.client.database import Database
from replication.client.journal import Entry, append
from replication.client.losses import Lost
from replication.client.lost import refused_parts
from replication.crdt.object import merge
from replication.crdt.view import query_values
from replication.errors import (
    DecodeError,
    NoSubscriptionError,
    NoSuchObjectError,
    StoreError,
    UsageError,
)
from replication.history.changeset import encode
from replication.model.encoding import pack, unpack_trusted
from replication.model.values import ERASED, Link
from replication.protocol.messages import Ack
from replication.server.refusals import NOT_PERMITTED
from replication.storage.contract import Writer
from replication.storage.memory import MemoryStore

#: But for texts, whose client ids are drawn.
OPERATIONS = [each for each in at_random.OPERATIONS if each is not at_random._text]
Act = Callable[[Any], object]


def parts(entry: Entry) -> list[Any]:
    return [tuple(part) for part in entry.lost]


def desk(**options: Any) -> tuple[World, Device]:
    """A world with six books where everything is allowed, and the device that will write."""
    held = [rules(role("everybody"))]
    world, _, reader = filled(6, rules=lambda _name: held[0], **options)
    world.held = held
    reader.subscribe()
    reader.sync()
    return world, reader


def under_rules(world: World, *roles: Any) -> None:
    """From now on everything uploaded is judged by other rules."""
    world.held[:] = [rules(*roles)]
    world.host.rules_changed()


def edited(**values: Any) -> Act:
    def act(tx: Any) -> None:
        for name, value in values.items():
            tx.edit("Book", 1).scope().set(name, value)

    return act


ALL = {"read": True, "write": True}
YEARS = {"year": {"$lt": 9}}
#: What is done, under which rules; the path, what the journal has of it.
ILLEGAL: dict[str, tuple[Act, Any, list[Any]]] = {
    "create": (
        lambda tx: tx.create("Book", 50).scope().set("year", 1),
        role("reader", write=True, insert=False),
        [((), "created", None, None), (("year",), "set", 1, None)],
    ),
    "delete": (
        lambda tx: tx.delete("Book", 1),
        role("keeper", write=True, delete=False),
        [((), "deleted", None, None)],
    ),
    "modify": (
        edited(title="x"),
        role("reader", read=True, write=False),
        [(("title",), "set", "x", None)],
    ),
    "a field": (
        edited(title="x"),
        role("clerk", fields={"title": {"read": True}}, additional_fields=ALL),
        [(("title",), "set", "x", None)],
    ),
    "what ends its own permission": (
        edited(year=40),
        role("writer", document_filters={"read": True, "write": YEARS}, write=True),
        [(("year",), "set", 40, None)],
    ),
}


#: The clause that each is refused by.
CLAUSES = {
    "create": "insert",
    "delete": "delete",
    "modify": "write",
    "a field": "fields.title.write",
    "what ends its own permission": "document_filters.write",
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_each_illegal_kind_is_reverted_and_told_with_its_reason(name: str) -> None:
    """W1 W2 JOURNAL-9: role and clause in the reason, what was written beside it."""
    act, held, expected = ILLEGAL[name]
    world, device = desk()
    before = device.view()
    under_rules(world, held)
    with device.db.write() as tx:
        act(tx)
    device.sync()
    (entry,) = device.db.journal
    assert (entry.class_name, entry.reason) == ("Book", NOT_PERMITTED)
    assert held["name"] in entry.message
    ruling = (held["name"], "default_roles[0]", CLAUSES[name])
    assert (entry.role, entry.rule_path, entry.clause) == ruling
    (refusal,) = device.db.refusals()
    assert (refusal.role, refusal.rule_path, refusal.clause) == ruling
    tree = entry_tree(entry)
    assert (tree["role"], tree["rule_path"], tree["clause"]) == ruling
    assert entry.client_version == device.db.local.client_version
    assert parts(entry) == expected
    assert device.agent is not None, "the session goes on"
    assert device.view() == before == world.view()
    check(device.db)


def test_what_no_set_asks_for_is_not_even_written() -> None:
    """W1: a class without a subscription is refused where it is written."""
    _, device = desk()
    with device.db.subscriptions.edit() as wanted:
        wanted.clear()
    device.sync()
    with pytest.raises(NoSubscriptionError), device.db.write():
        device.db.create("Book", _id=50)


def test_outside_of_a_strict_view() -> None:
    """W1: created and edited there; the journal has both."""
    _, device = desk(strict_view=True)
    device.subscribe("year < 3")
    device.sync()
    set_fields(device.db, 50, year=9, title="out")
    device.sync()
    (entry,) = device.db.journal
    assert "outside of the current query view" in entry.message
    assert parts(entry) == [
        ((), "created", None, None),
        (("title",), "set", "out", None),
        (("year",), "set", 9, None),
    ]


def test_later_legal_writes_stay() -> None:
    """W6 W7: the anchor takes back everything later on the object; here it is the field alone."""
    world, device = desk()
    clerk = role("clerk", fields={"title": {"read": True}}, additional_fields=ALL)
    under_rules(world, clerk)
    with device.db.write() as tx:
        tx.edit("Book", 1).scope().set("title", "illegal")
        tx.edit("Book", 1).scope().set("year", 5)
        tx.edit("Book", 2).scope().set("year", 6)
    set_fields(device.db, 1, year=7)
    device.sync()
    assert [parts(entry) for entry in device.db.journal] == [[(("title",), "set", "illegal", None)]]
    assert device.view()[1]["year"] == 7
    assert device.view()[2]["year"] == 6
    assert device.view() == world.view()


def test_a_refused_delete_brings_the_object_back_whole() -> None:
    """W8: with lists, embedded objects and links to it."""
    world, device = desk()
    with device.db.write() as tx:
        edit = tx.edit("Book", 1)
        edit.scope().list_insert("notes", edit.editor((), "notes"), 0, list(range(300)))
        edit.scope().create_embedded("home", edit.starting_length("home", now=0)).set("city", "x")
        tx.edit("Book", 2).scope().set("anything", Link("Book", 1))
    device.sync()
    before = device.view()
    under_rules(world, role("keeper", write=True, delete=False))
    two = device.db.get("Book", 2)
    with device.db.write() as tx:
        tx.delete("Book", 1)
    assert two.anything is None
    device.sync()
    assert device.view() == before == world.view()
    assert two.anything == device.db.get("Book", 1)
    check(device.db)


def test_the_app_is_told_once_whatever_was_restarted() -> None:
    """W3 W4 JOURNAL-10: after the view is without it; by a later process if nobody listened."""
    _, device = desk()
    set_fields(device.db, 1, year="no number")
    device.sync()
    assert device.view()[1]["year"] == 1
    device.cut()
    device.open()
    told: list[Any] = []
    seen: list[Any] = []
    stop = device.db.on_refused(lambda news: seen.append(device.view()[1]["year"]))
    stop()
    assert seen == [1]
    device.db.on_refused(told.extend)
    device.cut()
    device.open()
    device.db.on_refused(told.extend)
    set_fields(device.db, 2, year="none either")
    device.sync()
    assert [item[2] for item in told] == [2]
    assert [item[2] for item in device.db.refusals()] == [1, 2]


@pytest.mark.parametrize("key", [7, "k", "k" * 1024, ObjectId(bytes(12)), uuid.UUID(int=5)])
def test_keys_of_every_kind(key: Any) -> None:
    """W5"""
    db = client_file()
    with db.write() as tx:
        tx.create("Book", key).scope().set("title", "x")
    refuse(db, [], lambda changeset: changeset.objects.clear(), key)
    (entry,) = db.journal
    assert entry.key == key
    assert db.journal.of("Book", key) == [entry]
    assert parts(entry)[1:] == [(("title",), "set", "x", None)]


def refuse(db: Database, path: list[Any], leave_out: Act, key: Any = 1) -> None:
    """The server refuses some of the last changeset."""
    version = db.local.client_version
    changeset = pending(db, version)
    leave_out(changeset)
    refusal = [version, "Book", key, path, "wrong type", "no"]
    take(db, Ack(1, version, 5, [refusal], [[version, encode(changeset)]]))


@pytest.mark.parametrize("seed", range(25))
def test_parts_of_a_refusal_are_what_was_left_out(seed: int) -> None:
    """JOURNAL-9: of random deltas and what is left of them: nothing is told if all is, and all that
    the other half wrote if a half is.
    """
    r = random.Random(seed)
    db = client_file()
    set_fields(db, 1, year=1)
    halves = []
    for _ in range(2):
        with db.write() as tx:
            edit = tx.edit("Book", 1)
            for _ in range(3):
                r.choice(OPERATIONS)(edit, edit.scope(), r)
        changeset = pending(db, db.local.client_version)
        halves.append([item.delta for item in changeset.objects] or [[0, 1, [], {}]])
    (first,), (second,) = halves
    stamp = (changeset.time, 2)
    whole = merge(decode_copy(first), decode_copy(second))
    assert refused_parts(whole, decode_copy(whole), stamp) == []
    names = {part.path[0] for part in refused_parts(whole, decode_copy(first), stamp) if part.path}
    assert names <= {name for held in second[3].values() for name in names_of(held)}
    assert refused_parts(whole, None, stamp) or not whole[3]


def names_of(held: Any) -> Any:
    return [name for group in held for name in group[2]] if isinstance(held, list) else held


def decode_copy(delta: Any) -> Any:
    return unpack_trusted(pack(delta))


def test_a_refusal_that_is_none_changes_nothing() -> None:
    """REFUSAL-2: of a changeset that is not acknowledged, and of a kind that is not."""
    db = client_file()
    version = set_fields(db, title="x")
    before = view(db), pending(db, version)
    for odd in (
        [version + 1, "Book", 1, ["title"], "wrong type", "x"],
        [version - 1, "Book", 1, ["title"], "wrong type", "x"],
        [version, "Book", 1, ["title"], "not permitted", "x", "role", "", "write"],
    ):
        with pytest.raises(DecodeError):
            take(db, Ack(1, version, 5, [odd], []))
        assert (view(db), pending(db, version), list(db.journal)) == (*before, [])


def test_members_keys_and_increments_belong_to_their_refusals() -> None:
    """JOURNAL-9: the path says which; a member's is its bytes."""
    db = client_file()
    with db.write() as tx:
        scope = tx.create("Book", 1).scope()
        scope.set_member("tags", "good", present=True)
        scope.set_member("tags", "bad", present=True)
        scope.put_item("extra", "k", 5)
        scope.add("copies", 3)

    def leave_out(changeset: Any) -> None:
        fields = changeset.objects[0].delta[3]
        del fields[1]
        del fields[2]["tags"][1][0][2][pack("bad")]
        del fields[3]

    version = db.local.client_version
    changeset = pending(db, version)
    leave_out(changeset)
    paths = [["tags", pack("bad")], ["extra", "k"], ["copies"]]
    refusals = [[version, "Book", 1, path, "wrong type", "no"] for path in paths]
    take(db, Ack(1, version, 5, refusals, [[version, encode(changeset)]]))
    assert [parts(entry) for entry in db.journal] == [
        [(("tags",), "inserted", "bad", None)],
        [(("extra", "k"), "set", 5, None)],
        [(("copies",), "added", 3, None)],
    ]
    assert next(entry.path for entry in db.journal) == ("tags", pack("bad"))


# -- written again -------------------------------------------------------------------------------
def everything(tx: Any) -> None:
    """A new object with something of everything."""
    edit = tx.create("Book", 50)
    scope = edit.scope()
    scope.set("title", "x")
    scope.set("year", 4)
    scope.add("copies", 3)
    scope.set_member("tags", "a", present=True)
    scope.put_item("extra", "k", 5)
    scope.list_insert("notes", edit.editor((), "notes"), 0, [1, 2])
    home = scope.create_embedded("home", edit.starting_length("home", now=0))
    home.set("city", "Rome")
    home.list_insert("rooms", edit.editor(("home",), "rooms"), 0, [7])
    scope.set("anything", Link("Book", 1))


def test_removals_and_nulls_are_parts_of_their_refusals() -> None:
    """JOURNAL-9: what is not there without them is left out all the same; and written again."""
    db = client_file()
    with db.write() as tx:
        scope = tx.create("Book", 1).scope()
        scope.set_member("tags", "old", present=True)
        scope.put_item("extra", "k", 5)
        scope.put_item("extra", "j", 5)
        scope.set("title", "x")
    take(db, Ack(1, db.local.client_version, 4, [], []))
    before = view(db)
    with db.write() as tx:
        scope = tx.edit("Book", 1).scope()
        scope.set_member("tags", "old", present=False)
        scope.put_item("extra", "k", ERASED)
        scope.put_item("extra", "j", None)
        scope.set("title", None)
    written, version = view(db), db.local.client_version
    changeset = pending(db, version)
    changeset.objects.clear()
    refusal = [version, "Book", 1, [], "wrong type", "no"]
    take(db, Ack(1, version, 5, [refusal], [[version, encode(changeset)]]))
    assert view(db) == before
    (entry,) = db.journal
    assert parts(entry) == [
        (("title",), "set", None, None),
        (("tags",), "removed", None, "old"),
        (("extra", "j"), "set", None, None),
        (("extra", "k"), "removed", None, None),
    ]
    db.journal.retry(entry.number)
    assert view(db) == written != before


def test_a_refused_create_is_written_again() -> None:
    """W9 JOURNAL-11: all of it, to be judged anew; it is dismissed then."""
    world, device = desk()
    under_rules(world, role("reader", write=True, insert=False))
    with device.db.write() as tx:
        everything(tx)
    written = device.view()[50]
    device.sync()
    assert 50 not in device.view()
    under_rules(world, role("everybody"))
    (entry,) = device.db.journal
    device.db.journal.retry(entry.number)
    assert list(device.db.journal) == []
    assert device.view()[50] == written
    device.sync()
    assert world.view()[50] == written == device.view()[50]
    check(device.db)


class Commits(MemoryStore):
    """A store that counts its commits, and fails the one it is told to."""

    def __init__(self) -> None:
        super().__init__(query_values)
        self.count = 0
        self.fails = 0

    @contextmanager
    def write(self) -> Iterator[Writer]:
        with super().write() as writer:
            yield writer
            self.count += 1
            if self.count == self.fails:
                raise StoreError("the disk is full")


@pytest.mark.parametrize("fails", [False, True])
def test_an_entry_is_written_again_and_dismissed_at_once(fails: bool) -> None:
    """JOURNAL-11: both in one commit, or neither."""
    store = Commits()
    db = client_file(store)
    version = set_fields(db, title="kept")
    with db.integrating() as work:
        told = Lost(("title",), "set", "again", None)
        append(work.writer, Entry("Book", 1, version, 1, (told,), reason="x", message="x"))
    before = store.count
    if fails:
        store.fails = before + 1
        with pytest.raises(StoreError, match="full"):
            db.journal.retry(1)
        assert (len(db.journal), view(db)) == (1, {"title": "kept"})
        return
    db.journal.retry(1)
    assert store.count == before + 1
    assert (len(db.journal), view(db)) == (0, {"title": "again"})


def again(db: Database, *told: Any) -> dict[str, Any]:
    """What book 1 shows after parts were written again."""
    parts_of = tuple(Lost(*each) for each in told)
    with db.integrating() as work:
        found = append(work.writer, Entry("Book", 1, 1, 1, parts_of, reason="x", message="y"))
    assert found is not None
    db.journal.retry(found.number)
    check(db)
    shown = view(db)
    assert shown is not None
    return shown


def test_each_kind_of_part_is_written_again() -> None:
    """JOURNAL-11: to what is there now; what has no place any more goes to the end."""
    db = client_file()
    with db.write() as tx:
        edit = tx.create("Book", 1)
        edit.scope().list_insert("notes", edit.editor((), "notes"), 0, [1, 2, 3])
        edit.scope().set_member("tags", "old", present=True)
        edit.scope().put_item("extra", "k", 1)
    first = (2, db.local.sequence - 2)
    assert again(db, (("notes", first), "moved", 2, None))["notes"] == [2, 3, 1]
    assert again(db, (("notes", first), "set", 9, None))["notes"] == [2, 3, 9]
    assert again(db, (("notes", (9, 9)), "inserted", 5, None))["notes"] == [2, 3, 9, 5]
    assert again(db, (("notes", (9, 9)), "moved", 5, None))["notes"] == [2, 3, 9, 5]
    assert again(db, (("tags",), "removed", None, "old"))["tags"] == []
    assert again(db, (("extra", "k"), "removed", None, 1))["extra"] == {}
    assert again(db, (("anything",), "set", [1, {"a": 2}], None))["anything"] == [1, {"a": 2}]
    shown = again(db, (("home",), "created", None, None), (("home", "city"), "set", "Rome", None))
    assert shown["home"] == {"city": "Rome"}
    assert again(db, (("home",), "deleted", None, None))["home"] is None
    with pytest.raises(UsageError, match="inside of its value"):
        again(db, (("title",), "set", "half", None), (("extra", "k", "deep"), "set", 1, None))
    assert view(db).get("title") is None, "all or nothing"  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="nothing to write again"):
        again(db)
    with pytest.raises(UsageError, match="no entry 99"):
        db.journal.retry(99)
    with pytest.raises(NoSuchObjectError):
        again(db, (("home", "city"), "set", "Rome", None))
    db.journal.clear()
    deleted = Entry("Book", 1, 2, 1, (Lost((), "deleted", None, None),), reason="x", message="y")
    with db.integrating() as work:
        append(work.writer, deleted)
    db.journal.retry(next(iter(db.journal)).number)
    assert view(db) is None
