"""Subscriptions that look at other objects, under rules: nothing else exists. [RULES-READ-3]"""

from __future__ import annotations

import json
from itertools import count
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from members_oracle import restricted
from server_devices import Device, Name, World
from test_rules_roles import role
from test_server_members import SCHEMA, TEXTS, delete, setting, settle, something, wanted

from replication.errors import ErrorCode
from replication.model.encoding import pack
from replication.model.values import Link
from replication.protocol.body import EvictOp, StateOp
from replication.protocol.messages import QueryState
from replication.query import parse
from replication.rules.read import read_rules
from replication.rules.roles import Granted, Rules
from replication.server.policy import described
from replication.server.users import User
from replication.server.view import hidden

OWNER = role("owner", {"%%user.id": "owner"})
CLASSES = ("Author", "Book", "Tag")


def made(**classes: Any) -> Rules:
    """The owner does everything, others what the role of each class says: without one, nothing."""
    return read_rules(
        json.dumps(
            {
                "default_roles": [OWNER],
                "rules": {name: [OWNER, each] for name, each in classes.items()},
            }
        )
    )


def reading(read: Any = True, *fields: str) -> dict[str, Any]:
    """A role that reads what a filter says, and writes nothing; of all fields, or of some."""
    shape: dict[str, Any] = {"read": True}
    if fields:
        shape = {"fields": {name: {"read": True} for name in fields}}
    return role("reader", document_filters={"read": read, "write": False}, **shape)


class Ruled:
    """A world under rules, its owner, and `ann`."""

    def __init__(self, rules: Rules, **options: Any) -> None:
        self.rules = rules
        self.world = World(schema=SCHEMA, rules=lambda _name: self.rules, **options)
        self.owner, self.ann = Device(self.world, "owner"), Device(self.world, "ann")
        self.owner.subscribe(**dict.fromkeys(CLASSES, "TRUEPREDICATE"))
        self.owner.run()

    def now(self, rules: Rules) -> None:
        self.rules = rules
        self.world.host.rules_changed()

    def put(self, class_name: str, key: int, **fields: Any) -> None:
        self.owner.write(setting(**fields), (class_name, key))
        settle(self.owner, self.ann)

    def ask(self, **texts: str) -> None:
        self.ann.subscribe(**texts)
        settle(self.ann)

    def check(self) -> None:
        """What she holds is what her set finds in what she may read, and nothing else."""
        roles = self.rules.bind(described(User("ann")))
        held, states = restricted(self.world.states(), roles)
        texts = {}
        for name, text in self.ann.active.items():
            role = roles.of(name)
            if isinstance(role, Granted) and not hidden(parse(text), role.readable):
                texts[name] = text
        assert self.ann.holds() == {name: states[name] for name in wanted(held, texts)}


def names(device: Device) -> set[Name]:
    return set(device.holds())


def library(**classes: Any) -> Ruled:
    """Two authors, of whom the first is public, and a book of each."""
    ruled = Ruled(made(**{"Book": reading(), "Author": reading({"n": {"$gt": 5}}), **classes}))
    for key, value in ((1, 7), (2, 3)):
        ruled.put("Author", key, n=value)
        ruled.put("Book", key, n=key, author=Link("Author", key))
    return ruled


def test_a_link_to_what_may_not_be_read_is_null_to_a_condition() -> None:
    ruled = library()
    ruled.ask(Book="author.n > 0")
    assert names(ruled.ann) == {("Book", 1)}
    ruled.ask(Book="author.n == null")
    assert names(ruled.ann) == {("Book", 2)}
    ruled.put("Author", 2, n=8)
    assert names(ruled.ann) == set()
    ruled.put("Author", 1, n=1)
    assert names(ruled.ann) == {("Book", 1)}
    ruled.check()


def test_a_field_that_may_not_be_read_is_null_behind_a_link() -> None:
    ruled = library(Author=reading(True, "boss"))
    ruled.ask(Book="author.n == 7")
    assert names(ruled.ann) == set()
    ruled.ask(Book="author.n == null FOLLOW(author)")
    assert names(ruled.ann) == {(name, key) for name in ("Author", "Book") for key in (1, 2)}
    ruled.check()
    ruled.put("Author", 3, n=5, boss=Link("Author", 1))
    ruled.put("Book", 1, author=Link("Author", 3))
    ruled.check()
    ruled.put("Book", 1, author=Link("Author", 1))
    ruled.now(made(Book=reading(), Author=reading(True, "n", "boss")))
    settle(ruled.ann)
    assert names(ruled.ann) == set()
    ruled.check()


def test_what_is_brought_along_may_be_read() -> None:
    ruled = library()
    ruled.ask(Book="n > 0 FOLLOW(author)")
    assert names(ruled.ann) == {("Book", 1), ("Book", 2), ("Author", 1)}
    ruled.now(made(Book=reading(), Author=reading({"n": {"$lt": 5}})))
    settle(ruled.ann)
    assert names(ruled.ann) == {("Book", 1), ("Book", 2), ("Author", 2)}
    ruled.check()
    ruled.now(made(Book=reading()))
    settle(ruled.ann)
    assert names(ruled.ann) == {("Book", 1), ("Book", 2)}


def test_what_is_brought_along_gains_and_loses_fields() -> None:
    """[RULES-CHANGE-1] Of a class that no query is about, too."""
    ruled = library(Author=reading(True, "n"))
    ruled.put("Author", 1, n=7, boss=Link("Author", 2))
    ruled.ask(Book="n == 1 FOLLOW(*)")
    ruled.check()
    assert names(ruled.ann) == {("Book", 1), ("Author", 1)}
    ruled.now(made(Book=reading(), Author=reading(True)))
    settle(ruled.ann)
    ruled.check()
    ruled.now(made(Book=reading(), Author=reading(True, "boss")))
    settle(ruled.ann)
    ruled.check()
    since = len(ruled.ann.downloads)
    ruled.put("Author", 1, n=9)
    assert ruled.ann.downloads[since:] == [], "a hidden field was written to"


def test_nothing_is_brought_along_a_property_that_may_not_be_read() -> None:
    ruled = library(Book=reading(True, "n"))
    ruled.ask(Book="n > 0 FOLLOW(*)")
    assert names(ruled.ann) == {("Book", 1), ("Book", 2)}
    ruled.ask(Book="n > 0 FOLLOW(author)")
    assert ruled.ann.failed, "it would ask for that property"


def test_a_window_is_over_what_may_be_read() -> None:
    ruled = library(Book=reading({"n": {"$lt": 5}}))
    ruled.put("Book", 3, n=9)
    ruled.ask(Book="TRUEPREDICATE SORT(n DESC) LIMIT(1)")
    assert names(ruled.ann) == {("Book", 2)}
    ruled.put("Book", 3, n=4)
    assert names(ruled.ann) == {("Book", 3)}
    ruled.put("Book", 3, n=5)
    assert names(ruled.ann) == {("Book", 2)}
    ruled.ask(Book="TRUEPREDICATE SORT(n DESC) DISTINCT(author)")
    ruled.check()


def test_what_asks_for_a_field_that_may_not_be_read_is_refused() -> None:
    """[RULES-READ-2] Wherever it stands; behind a link it reads null."""
    for text in ("TRUEPREDICATE SORT(n ASC) LIMIT(1)", "TRUEPREDICATE DISTINCT(n)", "n == 1"):
        ruled = library(Book=reading(True, "author"))
        ruled.ann.subscribe(Book=text)
        ruled.ann.talk()
        (state,) = [item for item in ruled.ann.inbox if isinstance(item, QueryState)]
        assert state.code == ErrorCode.PERMISSION_DENIED
        assert "Book.n" in state.message
        settle(ruled.ann)


def test_a_position_tells_nothing_of_the_time_before_a_role() -> None:
    """[RULES-CHANGE-3] What a new role would have shown once, and shows no more."""
    ruled = library(Author=reading({"n": {"$gt": 100}}))
    ruled.ask(Book="n > 0")
    ruled.ann.cut()
    ruled.put("Author", 2, n=50)
    began = ruled.world.latest
    ruled.put("Author", 2, n=1)
    ruled.now(made(Book=reading(), Author=reading({"n": {"$gt": 40}})))
    ruled.ann.connect()
    ruled.ann.run()
    since = ruled.world.latest
    ruled.ann.sets += 1
    ruled.ann.wanted[ruled.ann.sets] = {"Book": "n > 0 FOLLOW(author)"}
    ruled.ann.staged, ruled.ann.staged_for = [EvictOp("Book", 1)], (ruled.ann.sets, since)
    cursor = ruled.ann.cursor
    ruled.ann.staged_position = pack([cursor + 1, 0, 0, max(cursor, began), cursor])
    ruled.ann.run()
    told = [each for _, operations in ruled.ann.downloads for each in operations]
    about = [each for each in told if isinstance(each, EvictOp | StateOp)]
    assert ("Author", 2) not in {(each.class_name, each.key) for each in about}


FILTERS = [True, True, {"n": {"$gt": 0}}, {"n": {"$ne": 2}}, {"author": {"$exists": True}}, False]
FIELDS = {"Book": ("n", "author", "tags"), "Author": ("n", "boss"), "Tag": ("n",)}


def some_rules(rng: Random) -> Rules:
    """Any; a class may be left out."""
    classes = {}
    for name in CLASSES:
        if rng.random() < 0.9:
            fields = FIELDS[name]
            shown = rng.sample(fields, rng.randint(1, len(fields))) if rng.random() < 0.4 else ()
            classes[name] = reading(rng.choice(FILTERS), *shown)
    return made(**classes)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32).map(Random),
    st.sampled_from([1, 100, 10**6]),
    st.sampled_from([2, 5, 1000]),
)
def test_it_is_as_if_nothing_else_existed(rng: Random, bytes_target: int, entries: int) -> None:
    """[RULES-READ-3] [QUERY-155] Whatever happens, by brute force on what may be read."""
    ruled = Ruled(some_rules(rng), bytes_target=bytes_target, entries_max=entries)
    ruled.ann.subscribe(**rng.choice(TEXTS))
    number = count(1)
    for _ in range(40):
        match rng.randrange(10):
            case 0 | 1 | 2 | 3:
                something(ruled.owner, rng)
                ruled.owner.talk()
            case 4:
                ruled.ann.subscribe(**rng.choice(TEXTS))
                ruled.ann.talk()
            case 5:
                ruled.ann.connect()
            case 6:
                ruled.now(some_rules(rng))
            case 7:
                ruled.ann.run()
            case _:
                ruled.owner.step()
                ruled.ann.step()
    ruled.owner.connect()
    ruled.ann.connect()
    settle(ruled.owner, ruled.ann)
    ruled.ann.mark(next(number))
    settle(ruled.owner, ruled.ann)
    assert not ruled.world.reports
    ruled.check()


def test_what_is_deleted_behind_a_link_is_gone() -> None:
    ruled = library()
    ruled.ask(Book="author.n > 0 FOLLOW(author)")
    assert names(ruled.ann) == {("Book", 1), ("Author", 1)}
    ruled.owner.write(delete, ("Author", 1))
    settle(ruled.owner, ruled.ann)
    assert names(ruled.ann) == set()
