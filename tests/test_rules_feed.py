"""What devices are sent under rules: what may be read, and the difference when that changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from replicas import Edit, wander
from server_devices import Device, World
from test_rules_roles import role

from replication.crdt.object import is_alive
from replication.crdt.view import queryable
from replication.errors import ErrorCode
from replication.model.encoding import pack
from replication.protocol.body import AuthorOp, DeltaOp, EvictOp, Operation, StateOp
from replication.query import parse
from replication.rules.project import projected
from replication.rules.read import read_rules
from replication.rules.roles import Granted, Rules
from replication.server.policy import described
from replication.server.refusals import NOT_PERMITTED
from replication.server.users import User

BOOK = ("Book", 1)


def setting(**values: Any) -> Any:
    def act(edit: Edit) -> None:
        if not is_alive(edit.view):
            edit.create()
        for name, value in values.items():
            edit.scope().set(name, value)

    return act


def made(*roles: dict[str, Any], **classes: Any) -> Rules:
    return read_rules(json.dumps({"default_roles": list(roles), "rules": classes}))


def filtered(read: Any, write: Any = False, *, when: Any = True, name: str = "r",
             **more: Any) -> dict[str, Any]:  # fmt: skip
    return role(name, when, document_filters={"read": read, "write": write}, **more)


#: The owner writes everything; everybody else reads what says so.
OWNER = filtered(True, True, when={"%%user.id": "owner"}, name="owner")


class Library:
    """A server whose rules change, its owner, and a reader `ann` who asks for all books."""

    def __init__(
        self, *roles: dict[str, Any], query: str = "TRUEPREDICATE", **options: Any
    ) -> None:
        self.rules = made(OWNER, *roles)
        self.world = World(rules=lambda _name: self.rules, **options)
        self.owner = Device(self.world, "owner")
        self.owner.subscribe(Book="TRUEPREDICATE")
        self.owner.run()
        self.ann = Device(self.world, "ann")
        self.ann.subscribe(Book=query)
        self.ann.run()

    def write(self, key: int, **values: Any) -> None:
        self.owner.write(setting(**values), ("Book", key))
        self.owner.run()

    def now(self, *roles: dict[str, Any]) -> None:
        """Other rules come into force."""
        self.rules = made(OWNER, *roles)
        self.world.host.rules_changed()

    def may_read(self, user: str, query: str = "TRUEPREDICATE") -> dict[Any, bytes]:
        """The states a user may read, by brute force."""
        granted = self.rules.bind(described(User(user))).of("Book")
        if not isinstance(granted, Granted):
            return {}
        asked = parse(query)
        return {
            name: pack(projected(state, granted.readable, state))
            for name, state in self.world.states().items()
            if is_alive(state)
            and granted.read.matches(queryable(state).get)
            and asked.matches(queryable(state).get)
        }

    def check(self) -> None:
        self.ann.run()
        assert self.ann.holds() == self.may_read("ann")

    def told(self, since: int) -> list[Operation]:
        return [each for _, operations in self.ann.downloads[since:] for each in operations]


def kinds(operations: list[Operation]) -> list[str]:
    return [type(each).__name__ for each in operations]


def test_only_what_the_filter_lets_through() -> None:
    """[RULES-READ-1]"""
    library = Library(filtered({"r": {"$gt": 5}}))
    for key, value in enumerate([3, 7, 9]):
        library.write(key, r=value)
    library.check()
    assert set(library.ann.holds()) == {("Book", 1), ("Book", 2)}
    for value, expected in [(4, "EvictOp"), (8, "StateOp"), (9, "DeltaOp")]:
        since = len(library.ann.downloads)
        library.write(1, r=value)
        library.check()
        assert kinds(library.told(since)) == [expected]


def test_hidden_fields_never_leave() -> None:
    """R9 [RULES-HIDE-1] [RULES-HIDE-2]: nor does it show that they were written."""
    library = Library(role("r", fields={"r": {"read": True}}))
    library.write(1, r=1, secret="canary")
    library.check()
    since = len(library.ann.downloads)
    library.write(1, secret="canary too")
    library.check()
    assert library.told(since) == []
    library.write(1, secret="canary three", r=2)
    library.check()
    (delta,) = library.told(since)
    assert isinstance(delta, DeltaOp)
    assert b"canary" not in delta.delta
    assert b"canary" not in repr(library.ann.downloads).encode()


def test_a_query_on_a_hidden_field_is_refused() -> None:
    """[RULES-READ-2]"""
    library = Library(role("r", fields={"r": {"read": True}}))
    library.write(1, r=1, secret="x")
    library.ann.subscribe(Book="secret == 'x'")
    library.ann.run()
    assert library.ann.failed == [2]
    assert library.ann.ended is None
    library.check()


def test_a_query_on_a_field_that_may_be_read_later_is_served_then() -> None:
    """SUB-15: and for no other change of the rules."""
    library = Library(role("r", fields={"r": {"read": True}}), query="secret == 'x'")
    library.write(1, r=1, secret="x")
    assert (library.ann.failed, library.ann.query_version) == ([1], 0)
    library.now(role("r", fields={"r": {"read": True}, "s": {"read": True}}))
    library.ann.run()
    assert library.ann.served_again == []
    library.now(role("r", fields={"secret": {"read": True}}))
    library.ann.run()
    assert library.ann.served_again == [1]
    assert library.ann.holds() == library.may_read("ann", "secret == 'x'") != {}


def test_without_a_role_nothing_is_read() -> None:
    """R3 [RULES-ROLE-2]: an error, not a crash; the session goes on."""
    library = Library()
    library.write(1, r=1)
    library.check()
    assert library.ann.failed == [1]
    assert library.ann.ended is None
    assert library.ann.holds() == {}
    library.ann.write(setting(r=2), BOOK)
    library.ann.run()
    assert [refusal[4] for refusal in library.ann.refused] == [NOT_PERMITTED]


def test_a_server_without_rules_lets_nobody_in() -> None:
    """[RULES-FILE-3]"""
    world = World(rules=None)
    assert Device(world).ended is ErrorCode.PERMISSION_DENIED


# -- what was hidden in between --------------------------------------------------------------------
def test_what_was_written_while_it_was_hidden_is_not_sent_later() -> None:
    """[RULES-HIDE-3]: not even where it was overwritten before the object came back."""
    library = Library(filtered({"r": 1}))
    library.write(1, r=1, note="hello")
    library.check()
    for last in ({"r": 1, "note": "back"}, None):
        library.write(1, r=2)
        library.write(1, note="canary")
        since = len(library.ann.downloads)
        if last is None:
            library.owner.write(lambda edit: edit.delete(), BOOK)
            library.owner.run()
        else:
            library.write(1, **last)
        library.check()
        assert b"canary" not in repr(library.ann.downloads[since:]).encode()
    assert not any(is_alive(state) for state in library.ann.synced.values())


@pytest.mark.parametrize("away", [False, True])
def test_roles_that_come_back_tell_nothing_of_when_they_were_gone(away: bool) -> None:
    """[RULES-HIDE-3]: found by the leak search, seed 3067."""
    library = Library(filtered(True))
    library.write(1, r=1, note="hello")
    library.check()
    if away:
        library.ann.cut()
    library.now(role("r", fields={"r": {"read": True}}))
    library.write(1, note="canary")
    library.write(1, note="goodbye")
    library.now(filtered(True))
    if away:
        library.ann.connect()
    library.check()
    heard = repr(library.ann.downloads).encode()
    assert b"goodbye" in heard
    assert b"canary" not in heard


# -- changes ---------------------------------------------------------------------------------------
LOW, HIGH = filtered({"r": {"$lt": 5}}), filtered({"r": {"$gte": 5}})


def test_a_change_of_rules_is_a_difference() -> None:
    """R14 [RULES-CHANGE-1]"""
    library = Library(filtered({"r": {"$lt": 7}}))
    for key in range(10):
        library.write(key, r=key)
    library.check()
    since = len(library.ann.downloads)
    library.now(filtered({"r": {"$gte": 5}}))
    library.check()
    assert sorted(kinds(library.told(since))) == ["EvictOp"] * 5 + ["StateOp"] * 3
    assert library.ann.ended is None


def test_only_those_affected_are_told() -> None:
    """R14: whoever reads the same as before hears nothing, and keeps what is under way."""
    library = Library(filtered(True))
    library.write(1, r=1)
    library.check()
    library.owner.run()
    before = len(library.ann.downloads), len(library.owner.downloads), library.world.latest
    library.now(filtered(True, {"r": 1}))  # other writes
    library.ann.run()
    assert (
        len(library.ann.downloads),
        len(library.owner.downloads),
        library.world.latest,
    ) == before
    library.now(filtered({"r": 1}))
    library.ann.run()
    library.owner.run()
    assert len(library.ann.downloads) == before[0] + 1
    assert len(library.owner.downloads) == before[1]
    assert library.world.latest == before[2] + 1


def test_fields_appear_and_vanish() -> None:
    """[RULES-CHANGE-1]"""
    library = Library(role("r", fields={"r": {"read": True}}))
    library.write(1, r=1, note="x")
    library.check()
    library.now(role("r", read=True))
    library.check()
    library.write(1, note="y")
    library.check()
    library.now(role("r", fields={"note": {"read": True}}))
    library.check()


def test_a_change_while_a_device_was_away() -> None:
    """[RULES-CHANGE-1]: any number of them; what it holds is what it was shown."""
    library = Library(LOW)
    for key in range(10):
        library.write(key, r=key)
    library.check()
    library.ann.cut()
    library.now(filtered(True))
    library.write(3, r=30)
    library.now(HIGH)
    library.write(8, r=80)
    library.ann.connect()
    library.check()
    assert library.ann.ended is None
    library.ann.connect()
    since = len(library.ann.downloads)
    library.check()
    assert kinds(library.told(since)) == []


def test_access_that_is_lost_and_found() -> None:
    library = Library(LOW)
    library.write(1, r=1)
    library.check()
    library.now()
    library.check()
    assert library.ann.holds() == {}
    library.ann.connect()
    library.check()
    library.now(LOW)
    library.check()
    assert len(library.ann.holds()) == 1


@pytest.mark.parametrize("messages", range(1, 8))
@pytest.mark.parametrize("cut", [False, True])
def test_a_change_in_the_middle_of_a_bootstrap(messages: int, cut: bool) -> None:
    """R15 [RULES-CHANGE-4]: what was staged before is discarded."""
    library = Library(LOW, bytes_target=1)
    for key in range(10):
        library.write(key, r=key, note="x" * 50)
    library.ann.subscribe(Book="r != 100")
    for _ in range(messages):
        library.ann.step()
    if cut:
        library.ann.cut()
    library.now(HIGH)
    if cut:
        library.ann.connect()
    library.write(7, r=1)
    library.write(2, r=9)
    library.check()
    library.now(LOW)
    library.check()


def test_no_key_is_told_that_was_never_to_be_seen() -> None:
    """[RULES-CHANGE-3]: of what came and went while a device was away under other rules."""
    library = Library(LOW)
    library.write(1, r=1)
    library.check()
    library.ann.cut()
    library.now(HIGH)
    library.write(4711, r=1)  # what the old rules would show
    library.write(4711, r=2)
    library.write(4712, r=9)
    library.ann.connect()
    library.check()
    assert 4711 not in {key for _, key in named(library.ann)}
    assert library.ann.holds().keys() == {("Book", 4712)}
    library.ann.cut()
    library.write(4713, r=2)
    library.write(4714, r=1)
    library.owner.write(lambda edit: edit.delete(), ("Book", 4714))
    library.owner.run()
    library.write(4715, r=1)
    library.now(LOW)
    library.write(4713, r=7)  # what the new rules would have shown before they came
    library.write(1, r=0)
    library.ann.connect()
    library.check()
    assert {key for _, key in named(library.ann)} == {1, 4711, 4712, 4715}


def named(device: Device) -> Iterator[tuple[str, Any]]:
    """Every object that a device was ever told of."""
    for _, operations in device.downloads:
        for each in operations:
            if isinstance(each, DeltaOp | StateOp | EvictOp):
                yield each.class_name, each.key


def test_uploads_are_judged_by_the_roles_of_their_time() -> None:
    """R14 [RULES-CHANGE-2] [RULES-ROLE-3]: also those that were on their way."""
    writes = filtered(True, {"r": {"$lt": 5}})
    library = Library(writes)
    library.write(1, r=1)
    library.check()
    library.ann.write(setting(n=1), BOOK)
    library.now(filtered(True, False))
    library.check()
    assert [refusal[4] for refusal in library.ann.refused] == [NOT_PERMITTED]
    library.now(writes)
    library.ann.write(setting(n=2), BOOK)
    library.check()
    assert len(library.ann.refused) == 1


def test_who_made_hidden_changes_is_not_told() -> None:
    """[RULES-HIDE-2]"""
    library = Library(role("r", fields={"r": {"read": True}}), entries_max=4)
    library.write(1, r=1)
    library.check()
    library.ann.cut()
    hidden = []
    for value in range(4):
        library.write(1, secret=value)
        hidden.append(library.world.latest)
        library.write(1, r=value + 5)
    library.ann.connect()
    library.check()
    assert set(library.ann.authors).isdisjoint(hidden)
    assert library.world.latest in library.ann.authors


# -- anything, with canaries in everything that may not be read ------------------------------------
NAMES = "rnxcsdlomt"


def some_rules(rng: Random) -> list[dict[str, Any]]:
    filters: list[Any] = [True, {"r": {"$ne": 1}}, {"n": {"$exists": True}}, {"r": {"$in": [1, 2]}}]
    filters += [{"x": None}, {"n": {"$gt": 0}}, {"$not": {"r": 2}}]
    out = []
    for name in ("first", "second"):
        fields = {f: {"read": rng.random() < 0.6} for f in rng.sample(NAMES, 6)}
        more: dict[str, Any] = {"fields": fields} if rng.random() < 0.6 else {}
        if more and rng.random() < 0.5:
            more["additional_fields"] = {"read": True}
        when = {"%%user.id": "ann"} if name == "first" else True
        read, write = rng.choice(filters), rng.choice(filters)
        out.append(role(name, when, document_filters={"read": read, "write": write}, **more))
    return out


@pytest.mark.parametrize("seed", range(30))
def test_random_worlds_under_changing_rules(seed: int) -> None:
    """[RULES-CHANGE-1] [RULES-READ-1] [RULES-HIDE-1]: at any moment exactly what may be read."""
    rng = Random(seed)
    library = Library(*some_rules(rng), bytes_target=rng.choice([1, 300, 10**6]),
                      entries_max=rng.choice([2, 5, 1000]))  # fmt: skip
    for _ in range(25):
        choice = rng.random()
        if choice < 0.55:
            name = ("Book", rng.randrange(4))
            library.owner.write(wander(rng), name)
            library.owner.run()
        elif choice < 0.7:
            library.now(*some_rules(rng))
        elif choice < 0.8:
            library.ann.cut()
        elif choice < 0.9 and library.ann.session is not None:
            library.ann.step()
        else:
            if library.ann.session is None:
                library.ann.connect()
            library.ann.run()
            if library.ann.failed:
                assert library.ann.active in ({}, {"Book": "TRUEPREDICATE"})
    library.ann.connect()
    library.ann.subscribe(Book="TRUEPREDICATE")
    library.ann.run()
    assert library.ann.holds() == library.may_read("ann"), f"seed {seed}"
    assert all(not isinstance(each, AuthorOp) for each in library.told(0))
