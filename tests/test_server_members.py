"""Views that other objects have a say in: links, windows, and what FOLLOW brings along."""

from __future__ import annotations

from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from members_oracle import brought
from plain_objects import Objects
from replicas import Edit
from server_devices import Device, Name, World

from replication.crdt.object import is_alive
from replication.crdt.view import queryable
from replication.model.encoding import pack
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import Link
from replication.protocol.body import EvictOp, StateOp
from replication.protocol.messages import QueryState
from replication.query import parse
from replication.query.reach import depends_on
from replication.server import branches, members, staging

SCHEMA = Schema(
    [
        ClassSchema(
            "Book",
            [
                Property.of("n", "int", queryable=True),
                Property.of("author", "link:Author", queryable=True),
                Property.of("tags", "list<link:Tag>", queryable=True),
            ],
            key="int",
        ),
        ClassSchema(
            "Author",
            [
                Property.of("n", "int", queryable=True),
                Property.of("boss", "link:Author", queryable=True),
            ],
            key="int",
        ),
        ClassSchema("Tag", [Property.of("n", "int", queryable=True)], key="int"),
    ]
)


def objects(world: World) -> Objects:
    """What the server holds, as plain data."""
    classes: dict[str, dict[Any, dict[str, Any]]] = {}
    for (name, key), state in world.states().items():
        if is_alive(state):
            classes.setdefault(name, {})[key] = dict(queryable(state))
    return Objects(classes)


def wanted(held: Objects, texts: dict[str, str]) -> set[Name]:
    """What a subscription set asks for, by brute force."""
    return brought(held, texts, SCHEMA)


def check(device: Device) -> None:
    """It holds exactly what its set asks for, byte for byte."""
    world = device.world
    names = wanted(objects(world), device.active)
    states = world.states()
    assert device.holds() == {name: pack(states[name]) for name in names}


def setting(**fields: Any) -> Any:
    def act(edit: Edit) -> None:
        if not edit.view[0] % 2:
            edit.create()
        for name, value in fields.items():
            if name == "tags":
                editor = edit.editor(edit.scope(), name)
                edit.scope().list_insert(name, editor, 0, [Link("Tag", key) for key in value])
            else:
                edit.scope().set(name, value)

    return act


def delete(edit: Edit) -> None:
    edit.delete()


def settle(*devices: Device) -> None:
    for _ in range(2):
        for device in devices:
            device.run()


def world_of(**options: Any) -> tuple[World, Device, Device]:
    """A server with one author and three books, a device that writes and one that subscribes."""
    world = World(schema=SCHEMA, **options)
    writer, reader = Device(world), Device(world)
    writer.subscribe(Author="TRUEPREDICATE", Book="TRUEPREDICATE", Tag="TRUEPREDICATE")
    writer.run()
    writer.write(setting(n=1), ("Author", 1))
    writer.write(setting(n=2, boss=Link("Author", 1)), ("Author", 2))
    for key in (1, 2, 3):
        writer.write(setting(n=key, author=Link("Author", 1)), ("Book", key))
    settle(writer)
    return world, writer, reader


def test_a_condition_behind_a_link_follows_the_object_there() -> None:
    """[QUERY-151]"""
    _, writer, reader = world_of()
    reader.subscribe(Book="author.n == 1")
    settle(reader)
    assert reader.holds().keys() == {("Book", 1), ("Book", 2), ("Book", 3)}
    reader.downloads.clear()
    for value, kinds in [(5, {EvictOp}), (1, {StateOp})]:
        writer.write(setting(n=value), ("Author", 1))
        settle(writer, reader)
        check(reader)
        assert {type(each) for each in reader.downloads[-1][1]} == kinds
    writer.write(setting(author=Link("Author", 2)), ("Book", 2))
    writer.write(delete, ("Author", 1))
    settle(writer, reader)
    check(reader)
    assert reader.holds() == {}


def test_a_window_moves_as_rows_change() -> None:
    """[QUERY-152]"""
    _, writer, reader = world_of()
    reader.subscribe(Book="n > 0 SORT(n DESC) LIMIT(2)")
    settle(reader)
    assert reader.holds().keys() == {("Book", 2), ("Book", 3)}
    writer.write(setting(n=9), ("Book", 1))
    settle(writer, reader)
    assert reader.holds().keys() == {("Book", 1), ("Book", 3)}
    writer.write(delete, ("Book", 3))
    settle(writer, reader)
    assert reader.holds().keys() == {("Book", 1), ("Book", 2)}
    check(reader)


MOVING = (
    "n > 0 SORT(n DESC) LIMIT(3)",
    "TRUEPREDICATE LIMIT(3)",
    "n > 1 FOLLOW(author)",
    "n > 1 FOLLOW(author.boss)",
    "n > 1 FOLLOW(*, 2) UNION n == 0 FOLLOW(tags)",
    "n > 0 SORT(n DESC) LIMIT(2) FOLLOW(author) UNION n < 3 SORT(n ASC) LIMIT(2)",
    "author.n == 1",
    "author.boss.n == 1 FOLLOW(author.boss)",
    "author.boss.n > 1 OR author.boss.boss.n == 2 OR n == 4",
    "author.n > 0 SORT(author.n DESC) LIMIT(2)",
    "TRUEPREDICATE DISTINCT(n) UNION author.boss.n == 2",
    "n > 0 SORT(author ASC, n DESC) DISTINCT(n)",
    "n < 4 DISTINCT(n, author) FOLLOW(author)",
    "TRUEPREDICATE DISTINCT(tags)",
    "n < 4 SORT(n ASC) LIMIT(3)",
    "TRUEPREDICATE SORT(n DESC, _id DESC) LIMIT(2)",
    "n >= 2 SORT(author ASC) LIMIT(4) UNION n == 1",
    "TRUEPREDICATE SORT(n ASC) LIMIT(0)",
)


@settings(max_examples=60)
@given(st.integers(0, 2**32).map(Random), st.sampled_from(MOVING))
def test_members_move_step_by_step(rng: Random, text: str) -> None:
    """[QUERY-151] [QUERY-152] [QUERY-153] With several objects touched at once."""
    _, writer, reader = world_of()
    for key in range(4, 9):
        writer.write(setting(n=rng.randrange(5)), ("Book", key))
    reader.subscribe(Book=text)
    settle(writer, reader)
    for _ in range(10):
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            kind = rng.randrange(4)
            if kind == 0:
                boss = rng.choice([None, Link("Author", rng.randrange(4))])
                writer.write(setting(n=rng.randrange(5), boss=boss), ("Author", rng.randrange(4)))
            elif kind < 3:
                something(writer, rng)
            else:
                act = delete if rng.randrange(6) == 0 else setting(n=rng.randrange(5))
                writer.write(act, ("Book", rng.randrange(1, 9)))
        settle(writer, reader)
        check(reader)


def test_the_class_is_not_read_again_while_enough_of_a_window_is_certain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, writer, reader = world_of()
    reader.subscribe(Book="n > 0 SORT(n DESC) LIMIT(2)")
    settle(reader)
    whole: list[None] = []
    found = branches._whole

    def counted(*args: Any) -> Any:
        whole.append(None)
        return found(*args)

    monkeypatch.setattr(branches, "_whole", counted)
    for key, fields, expected in [
        (3, {"n": 9}, {2, 3}),
        (2, {"n": 2}, {2, 3}),  # the last one stays where it is
        (1, {"n": 3}, {1, 3}),  # pushes it out
        (4, {"n": 1}, {1, 3}),
        (4, {"n": 5}, {3, 4}),
    ]:
        writer.write(setting(**fields), ("Book", key))
        settle(writer, reader)
        assert reader.holds().keys() == {("Book", each) for each in expected}
    writer.write(setting(n=7), ("Author", 1))  # has no say
    settle(writer, reader)
    writer.write(setting(n=6), ("Book", 4))
    settle(writer, reader)
    assert whole == []
    writer.write(delete, ("Book", 4))  # who comes in its place, nobody kept
    settle(writer, reader)
    assert reader.holds().keys() == {("Book", 1), ("Book", 3)}
    assert len(whole) == 1


def test_who_stood_behind_the_last_of_a_window_comes_before_whom_its_key_precedes() -> None:
    _, writer, reader = world_of()
    for key, value in [(1, 5), (2, 1), (3, 5)]:
        writer.write(setting(n=value), ("Book", key))
    writer.write(setting(n=1), ("Book", 4))
    reader.subscribe(Book="n > 0 SORT(n DESC) LIMIT(1)")
    settle(writer, reader)
    assert reader.holds().keys() == {("Book", 1)}
    writer.write(setting(n=1), ("Book", 1))
    writer.write(setting(n=5), ("Book", 4))  # level with 3, which nobody touched
    settle(writer, reader)
    assert reader.holds().keys() == {("Book", 3)}


def test_followed_objects_stay_as_long_as_something_links_to_them() -> None:
    """[QUERY-153]"""
    _, writer, reader = world_of()
    reader.subscribe(Book="n >= 2 FOLLOW(author)")
    settle(reader)
    assert reader.holds().keys() == {("Book", 2), ("Book", 3), ("Author", 1)}
    writer.write(setting(author=Link("Author", 2)), ("Book", 2))
    settle(writer, reader)
    assert ("Author", 1) in reader.holds()
    writer.write(setting(author=Link("Author", 2)), ("Book", 3))
    settle(writer, reader)
    assert reader.holds().keys() == {("Book", 2), ("Book", 3), ("Author", 2)}
    check(reader)
    reader.subscribe(Book="n >= 2 FOLLOW(author.boss)")
    settle(reader)
    assert ("Author", 1) in reader.holds()
    check(reader)


def test_a_link_leads_to_what_comes_goes_and_changes() -> None:
    """[QUERY-151] [QUERY-153] Each step behind a commit of its own."""
    _, writer, reader = world_of()
    reader.subscribe(Book="n == 1 FOLLOW(author.boss) UNION author.boss.n == 9")
    settle(reader)
    for act, name, expected in [
        (setting(author=Link("Author", 5)), ("Book", 1), {("Book", 1)}),
        (setting(n=5), ("Author", 5), {("Book", 1), ("Author", 5)}),
        (setting(boss=Link("Author", 2)), ("Author", 5),
         {("Book", 1), ("Author", 5), ("Author", 2)}),
        (delete, ("Author", 2), {("Book", 1), ("Author", 5)}),
        (setting(n=9), ("Author", 2), {("Book", 1), ("Author", 5), ("Author", 2)}),
        (setting(boss=Link("Author", 2)), ("Author", 1),
         {("Book", 1), ("Book", 2), ("Book", 3), ("Author", 5), ("Author", 2)}),
        (setting(n=8), ("Author", 2), {("Book", 1), ("Author", 5), ("Author", 2)}),
        (delete, ("Author", 5), {("Book", 1)}),
    ]:  # fmt: skip
        writer.write(act, name)
        settle(writer, reader)
        assert reader.holds().keys() == expected
        check(reader)


def test_what_entered_in_many_messages_is_settled_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two messages of a download other objects change what it is about. [QUERY-151]"""
    for bound in (10**6, 1):
        monkeypatch.setattr(staging, "_SETTLED_BYTES_MAX", bound)
        _, writer, reader = world_of(bytes_target=1)
        reader.subscribe(Book="author.n == 1")
        reader.talk()
        reader.step()
        for value in (7, 1, 7):
            reader.step()
            writer.write(setting(n=value), ("Author", 1))
            writer.write(setting(n=8 - value), ("Author", 2))
            writer.write(setting(author=Link("Author", 2)), ("Book", 1))
            settle(writer)
        settle(writer, reader)
        check(reader)
        assert reader.holds().keys() == {("Book", 1)}


def test_a_server_follows_so_many_links_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """[QUERY-154]"""
    monkeypatch.setattr(members, "QUERY_FOLLOWED_SERVER_MAX", 1)
    _, writer, reader = world_of()
    writer.write(setting(n=4, author=Link("Author", 2)), ("Book", 4))
    settle(writer)
    reader.subscribe(Book="author.n == 2")
    settle(reader)
    assert reader.holds().keys() == {("Book", 4)}
    reader.subscribe(Book="author.boss.n == 1")
    settle(reader)
    assert reader.holds() == {}, "the second is not followed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SUBQUERY(tags, $x, $x.n == 1).@count > 0", "SUBQUERY is for local queries"),
        ("author.@links.Book.author.@count == 1", "@links is for local queries"),
        ("tags.n == 1", "only single links can be followed"),
    ],
)
def test_what_a_subscription_may_not_ask(text: str, message: str) -> None:
    """[QUERY-150]"""
    _, _, reader = world_of()
    reader.subscribe(Book=text)
    reader.talk()
    states = [item for item in reader.inbox if isinstance(item, QueryState)]
    settle(reader)
    assert reader.failed
    assert message in states[0].message


@pytest.mark.parametrize(
    ("class_name", "text", "classes"),
    [
        ("Book", "author.n == 1", {"Book", "Author"}),
        ("Book", "author.boss.n == 1", {"Book", "Author"}),
        ("Book", "TRUEPREDICATE LIMIT(1)", {"Book"}),
        ("Book", "TRUEPREDICATE FOLLOW(tags)", {"Book", "Tag"}),
        ("Book", "TRUEPREDICATE SORT(author.n) FOLLOW(author.boss, 2)", {"Book", "Author"}),
        ("Book", "TRUEPREDICATE FOLLOW(*)", None),
    ],
)
def test_only_some_classes_have_a_say(class_name: str, text: str, classes: set[str] | None) -> None:
    types = {each.name: each.spelling for each in SCHEMA[class_name].properties.values()}
    query = parse(text).check(types, SCHEMA)
    assert depends_on(class_name, query.branches, SCHEMA) == classes


TEXTS: list[dict[str, str]] = [
    {"Book": "author.n == 1"},
    {"Book": "author.n > 1 OR n == 0", "Author": "n == 2"},
    {"Book": "author.boss.n == 1 FOLLOW(author.boss)"},
    {"Book": "TRUEPREDICATE SORT(n DESC) LIMIT(2)"},
    {"Book": "n > 0 SORT(author.n ASC, n DESC) LIMIT(3) FOLLOW(*)"},
    {"Book": "n == 1 UNION n > 0 SORT(n ASC) LIMIT(1)", "Author": "boss.n == 2"},
    {"Author": "n == 1 FOLLOW(boss, 3)"},
    {"Author": "boss.n == 1 OR n == 3", "Book": "author.n == 1 AND n > 0"},
    {"Book": "n == 2 FOLLOW(tags)", "Tag": "n == 1"},
    {"Book": "TRUEPREDICATE DISTINCT(n)"},
    {"Book": "TRUEPREDICATE"},
    {},
]


def anything(world: World, rng: Random, steps: int) -> None:
    """Whatever may happen; at the end each device holds what it asked for."""
    writer, *readers = [Device(world) for _ in range(3)]
    writer.subscribe(**dict.fromkeys(("Author", "Book", "Tag"), "TRUEPREDICATE"))
    writer.run()
    for reader in readers:
        reader.subscribe(**rng.choice(TEXTS))
    number = count(1)
    for _ in range(steps):
        device = rng.choice([writer, writer, *readers])
        match rng.randrange(10):
            case 0 | 1 | 2 | 3:
                something(writer if rng.randrange(4) else device, rng)
            case 4:
                device = rng.choice(readers)
                device.subscribe(**rng.choice(TEXTS))
                device.talk()
            case 5:
                device.connect()
            case 6 if next(number) % 5 == 0:
                for each in (writer, *readers):
                    each.cut()
                world.start()
                for each in (writer, *readers):
                    each.connect()
            case 7:
                device.run()
            case _:
                device.talk()
                device.step()
    for each in (writer, *readers):
        each.connect()
    settle(writer, *readers)
    settle(writer, *readers)
    for each in (writer, *readers):
        each.mark(next(number))
    settle(writer, *readers)
    assert not world.reports
    for reader in readers:
        check(reader)


def something(device: Device, rng: Random) -> None:
    name = rng.choice(["Book", "Book", "Author", "Tag"])
    key = rng.randrange(4)
    if not rng.randrange(6):
        device.write(delete, (name, key))
        return
    fields: dict[str, Any] = {"n": rng.randrange(4)}
    if name == "Book":
        fields["author"] = rng.choice([None, Link("Author", rng.randrange(4))])
        if not rng.randrange(3):
            fields["tags"] = [rng.randrange(3) for _ in range(rng.randrange(3))]
    elif name == "Author":
        fields["boss"] = rng.choice([None, Link("Author", rng.randrange(4))])
    device.write(setting(**fields), (name, key))


@settings(max_examples=60)
@given(
    st.integers(0, 2**32).map(Random),
    st.sampled_from([1, 100, 10**6]),
    st.sampled_from([2, 5, 1000]),
)
def test_devices_hold_what_they_asked_for(rng: Random, bytes_target: int, entries: int) -> None:
    """[QUERY-151] [QUERY-152] [QUERY-153]"""
    world = World(schema=SCHEMA, bytes_target=bytes_target, entries_max=entries)
    anything(world, rng, 40)
