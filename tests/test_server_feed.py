"""What devices are sent: at any moment exactly what they asked for."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replicas import Edit, wander
from server_devices import Device, World

from replication.crdt.view import query_values
from replication.errors import ErrorCode
from replication.model.encoding import pack
from replication.protocol import messages
from replication.protocol.body import EvictOp, SchemaOp, StateOp
from replication.storage.contract import Store
from replication.storage.sqlite import SQLiteStore

BOOK = ("Book", 1)


def setting(name: str, value: Any) -> Any:
    def act(edit: Edit) -> None:
        if not edit.view[0] % 2:
            edit.create()
        edit.scope().set(name, value)

    return act


def delete(edit: Edit) -> None:
    edit.delete()


def kinds(device: Device, since: int = 0) -> list[list[str]]:
    """The operations of each download, by the names of their types."""
    return [
        [type(operation).__name__ for operation in operations]
        for _, operations in device.downloads[since:]
    ]


def pair(**options: Any) -> tuple[World, Device, Device]:
    """A world with a device that sees all books, and one that sees those of years past 5."""
    world = World(**options)
    first, second = Device(world), Device(world)
    first.subscribe(Book="TRUEPREDICATE")
    second.subscribe(Book="r > 5")
    for device in (first, second):
        device.run()
    # Version 0 is a special place to start from; see the test of it.
    first.write(lambda edit: None, ("Book", 99))
    for device in (first, second):
        device.run()
        device.mark(0)
        device.run()
        device.downloads.clear()
    return world, first, second


def test_objects_enter_change_and_leave(store: Store) -> None:
    _, first, second = pair(store=store)
    for value, expected in [
        (3, []),  # outside
        (7, [["StateOp"]]),  # enters
        (8, [["DeltaOp"]]),  # stays
        (4, [["EvictOp"]]),  # leaves
        (2, []),  # outside again
        (9, [["StateOp"]]),
    ]:
        first.write(setting("r", value), BOOK)
        first.run()
        before = len(second.downloads)
        second.run()
        assert kinds(second, before) == expected
        second.check()
    first.write(delete, BOOK)
    first.run()
    second.run()
    assert kinds(second)[-1] == ["DeltaOp"], "deleted is told apart from gone"
    assert second.synced[BOOK] == [2, 0, [], {}]
    assert all(download.base == 0 and download.last for download, _ in second.downloads)
    second.check()


def test_a_file_is_not_sent_what_it_wrote() -> None:
    """DOWN-2"""
    _, first, second = pair()
    first.write(setting("r", 7), BOOK)
    first.write(setting("n", 1), BOOK)
    first.run()
    assert kinds(first) == [[]], "only the mark"
    assert (first.folded, first.pending) == (3, {})
    second.run()
    second.write(setting("n", 2), BOOK)
    second.run()
    assert kinds(second) == [["StateOp"], []]
    first.run()
    assert kinds(first) == [[], ["DeltaOp"]]
    for device in (first, second):
        device.check()


def test_what_a_file_writes_outside_of_its_view_is_let_go() -> None:
    _, first, second = pair()
    second.write(setting("r", 1), BOOK)
    second.run()
    assert kinds(second) == [["EvictOp"]]
    assert second.holds() == {}
    second.write(setting("r", 9), ("Book", 2))
    second.write(setting("r", 1), ("Book", 2))
    second.run()
    assert second.holds() == {}
    first.run()
    first.check()


def test_a_blind_create_in_view_brings_what_others_wrote() -> None:
    _, first, second = pair()
    first.write(setting("n", 5), BOOK)
    first.run()
    second.run()
    assert BOOK not in second.synced
    second.write(setting("r", 6), BOOK)
    second.run()
    assert kinds(second)[-1] == ["StateOp"]
    for device in (first, second):
        device.run()
        device.check()


@pytest.mark.parametrize("entries_max", [1000, 2])
def test_authors_come_with_what_they_wrote(entries_max: int) -> None:
    """DOWN-9 DOWN-10: in one message, and staged from the log."""
    _, first, second = pair(entries_max=entries_max)
    second.write(setting("r", 9), BOOK)
    second.run()
    first.run()
    second.cut()
    start = first.cursor
    first.write(setting("r", 8), BOOK)
    first.write(setting("r", 1), ("Book", 2))  # which the other does not see
    first.write(setting("n", 5), BOOK)
    first.run()
    second.connect()
    second.run()
    assert any(download.base for download, _ in second.downloads) is (entries_max == 2)
    told = {version: author for version, author in second.authors.items() if version > start}
    assert sorted(told) == [start + 1, start + 3]
    assert {author.origin for author in told.values()} == {first.ident}
    assert {author.seen for author in told.values()} == {start}
    second.check()


def test_a_download_up_to_nothing_new_is_not_sent_until_somebody_waits() -> None:
    world, first, second = pair(entries_max=10)
    for value in range(4):
        first.write(setting("r", value), ("Book", value))
        first.run()
        second.run()
    assert second.downloads == []
    assert second.cursor < world.latest
    second.mark(7)
    second.run()
    assert kinds(second) == [[]]
    assert (second.cursor, second.passed) == (world.latest, [0, 7])
    for value in range(10):
        first.write(setting("r", 1), ("Book", value))
        first.run()
        second.run()
    assert len(second.downloads) == 2, "nor does a cursor fall too far behind"


def test_a_barrier_waits_for_what_was_there() -> None:
    _, first, second = pair(bytes_target=1)
    for key in range(5):
        first.write(setting("r", 6 + key), ("Book", key))
    first.run()
    second.mark(1)
    second.run()
    assert second.passed == [0, 1]
    second.check()
    second.subscribe(Book="r > 7")
    second.talk()
    second.mark(2)
    while second.passed == [0, 1]:
        assert second.step()
    assert second.query_version == 2
    assert not second.downloads[-2][0].last
    second.check()


def test_a_session_that_asks_for_nothing_hears_nothing() -> None:
    world = World()
    first, second = Device(world), Device(world)
    first.write(setting("r", 1), BOOK)
    first.run()
    second.run()
    assert (first.downloads, second.downloads) == ([], [])
    assert first.acknowledged == 1
    assert list(first.pending) == [1], "what it wrote stays with it"
    second.mark(1)
    second.run()
    assert second.passed == [1]
    assert kinds(second) == [[]]


def test_what_was_written_before_the_first_set_never_goes_and_comes_back() -> None:
    world = World(bytes_target=1)
    first, second = Device(world), Device(world)
    for key in range(6):
        second.write(setting("r", key), ("Book", key))
    second.run()
    first.write(setting("r", 3), ("Book", 9))
    first.write(setting("r", 9), ("Book", 10))
    first.write(setting("r", 1), ("Book", 11))
    first.subscribe(Book="r > 2")
    first.run()
    first.check()
    names = [
        operation.key for _, operations in first.downloads for operation in operations
        if isinstance(operation, EvictOp)
    ]  # fmt: skip
    assert names == [11], "only what the set does not see"
    assert sum(download.last for download, _ in first.downloads) == 1


def test_the_first_download_brings_the_schema_and_later_ones_what_is_new() -> None:
    from server_files import SCHEMA, of

    from replication.model.schema import ClassSchema, Schema

    world = World(schema=SCHEMA, development=True)
    first, second = Device(world), Device(world)
    for device in (first, second):
        device.subscribe(Book="year > 5")
        device.run()
        (schema,) = [op for _, ops in device.downloads for op in ops if isinstance(op, SchemaOp)]
        assert schema.schema == SCHEMA.to_packed()
    addition = Schema([ClassSchema("Book", [of("pages", "int")], key="int")])
    with world.store.write() as writer:
        world.host.namespace("data").write(writer, lambda _author: [], schema=addition)
    world.host.published("data")
    before = len(second.downloads)
    second.run()
    assert [ops for _, ops in second.downloads[before:]] == [[SchemaOp(addition.to_packed())]]


@pytest.mark.parametrize("waits", [False, True], ids=["leaps", "leaps to a barrier before"])
@pytest.mark.parametrize("comes_back", [False, True], ids=["stays", "comes back"])
def test_whoever_leaps_past_additions_to_the_schema_has_them(waits: bool, comes_back: bool) -> None:
    """DOWN-13: who asks for nothing hears nothing, and then goes on from the latest version."""
    from server_files import SCHEMA, of

    from replication.model.schema import ClassSchema, Schema

    world = World(schema=SCHEMA, development=True)
    device = Device(world)
    device.subscribe(Book="year > 5")
    device.write(lambda edit: None, BOOK)
    device.run()
    device.subscribe()
    device.run()
    assert device.cursor > 0
    addition = Schema([ClassSchema("Book", [of("pages", "int")], key="int")])
    with world.store.write() as writer:
        world.host.namespace("data").write(writer, lambda _author: [], schema=addition)
    world.host.published("data")
    before = len(device.downloads)
    device.run()
    assert device.downloads[before:] == [], "it asks for nothing"
    if waits:
        device.mark(1)
        device.run()
        assert device.passed == [1]
    if comes_back:
        device.connect()
    device.subscribe(Book="pages > 5")
    device.run()
    assert (device.query_version, device.cursor) == (3, world.latest)
    told = [op for _, ops in device.downloads[before:] for op in ops if isinstance(op, SchemaOp)]
    assert any("pages" in str(op.schema) for op in told)
    before = len(device.downloads)
    device.mark(2)
    device.run()
    assert not any(isinstance(op, SchemaOp) for _, ops in device.downloads[before:] for op in ops)


def test_a_device_far_behind_is_brought_up_by_state() -> None:
    _, first, second = pair(entries_max=5)
    for value in range(30):
        first.write(setting("r", 6 + value % 3), ("Book", value % 4))
        first.run()
        if value == 0:
            second.run()
            second.cut()
    second.downloads.clear()
    second.connect()
    second.run()
    second.check()
    downloads = [download for download, _ in second.downloads]
    assert [download.last for download in downloads] == [False] * (len(downloads) - 1) + [True]
    assert 5 < len(downloads) < 9
    assert {download.base for download in downloads} == {downloads[0].base}
    assert all(type(op) is StateOp for _, ops in second.downloads for op in ops)
    progress = [download.progress for download in downloads]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


def test_what_was_staged_from_version_0_is_not_taken_for_more_than_it_is() -> None:
    world = World(bytes_target=300)
    first, second = Device(world), Device(world)
    second.subscribe(Book="r > 5")
    second.run()
    assert (second.cursor, second.query_version) == (0, 1)
    books = [("Book", key) for key in range(6)]
    first.write(setting("r", 9), *books)
    first.run()
    while not second.staged:
        assert second.step()
    second.cut()
    first.write(setting("r", 1), *books)  # now it would all fit one message
    first.run()
    second.connect()
    second.mark(1)
    second.run()
    second.check()


def test_what_left_the_old_set_before_it_was_replaced_goes_with_it() -> None:
    _, first, second = pair()
    first.write(setting("r", 9), BOOK)
    first.write(setting("r", 8), ("Book", 2))
    for device in (first, second):
        device.run()
    assert list(second.holds()) == [BOOK, ("Book", 2)]
    second.cut()
    first.write(setting("r", 1), BOOK)
    first.run()
    second.subscribe(Book="r == 8")
    second.connect()
    second.run()
    assert list(second.holds()) == [("Book", 2)]


def test_by_primary_key() -> None:
    from server_files import SCHEMA

    world = World(schema=SCHEMA)
    first, second = Device(world), Device(world)
    first.subscribe(Book="TRUEPREDICATE")
    second.subscribe(Book="_id > 1 AND year > 5")
    for device in (first, second):
        device.run()
    for key in range(4):
        first.write(setting("year", 4 + key), ("Book", key))
        first.run()
        second.run()
    assert list(second.holds()) == [("Book", 2), ("Book", 3)]
    third = Device(world)
    third.subscribe(Book="_id IN {0, 3}")
    third.run()
    assert list(third.holds()) == [("Book", 0), ("Book", 3)]


def test_a_change_of_the_set_sends_the_difference() -> None:
    _, first, second = pair()
    for key in range(10):
        first.write(setting("r", key), ("Book", key))
    first.run()
    second.run()
    second.downloads.clear()
    second.subscribe(Book="r > 3 AND r < 8")
    second.run()
    second.check()
    ((_, operations),) = second.downloads
    assert [(type(op), op.key) for op in operations] == [
        (StateOp, 4), (StateOp, 5), (EvictOp, 8), (EvictOp, 9),
    ]  # fmt: skip
    second.subscribe(Book="r < 8 AND r > 3", Person="TRUEPREDICATE")
    second.run()
    assert kinds(second)[1:] == [[]], "the same in other words"
    second.subscribe()
    second.run()
    assert second.holds() == {}
    assert len(kinds(second)[-1]) == 4


def test_long_lists_travel_in_parts() -> None:
    _, first, second = pair()

    def fill(edit: Edit) -> None:
        edit.create()
        scope = edit.scope()
        scope.set("r", 4)
        scope.list_insert("l", edit.editor(scope, "l"), 0, range(1000))

    first.write(fill, BOOK)
    first.write(setting("r", 9), BOOK)
    first.run()
    second.run()
    ((_, (operation,)),) = second.downloads
    assert isinstance(operation, StateOp)
    assert len(operation.parts) == 4
    second.check()

    def insert(edit: Edit) -> None:
        scope = edit.scope()
        scope.list_insert("l", edit.editor(scope, "l"), 500, ["here"])

    second.write(insert, BOOK)
    second.run()
    first.run()
    assert kinds(first)[-1] == ["DeltaOp"]
    for device in (first, second):
        device.check()


# -- sharing ---------------------------------------------------------------------------------
def test_one_body_is_encoded_for_all_that_see_the_same() -> None:
    world = World()
    writer = Device(world)
    readers = [Device(world) for _ in range(20)]
    for number, device in enumerate([writer, *readers]):
        device.subscribe(Book="r > 5" if number % 2 else "5 < r")
        device.run()
    writer.write(setting("r", 9), BOOK)
    for device in [writer, *readers]:
        device.run()  # from version 0
    shared = world.host.namespace("data").shared
    for value in (8, 7, 1, 9):
        writer.write(setting("r", value), BOOK)
        writer.run()
        before = shared.encoded
        for device in readers:
            device.run()
            device.check()
        assert shared.encoded == before + 1


def test_nobody_is_sent_a_shared_body_with_its_own_deltas() -> None:
    _, first, second = pair()
    second.write(lambda edit: (setting("r", 9)(edit), edit.scope().add("n", 5)), BOOK)
    second.run()
    second.write(lambda edit: edit.scope().add("n", 5), BOOK)
    second.talk()
    third = Device(first.world)
    third.subscribe(Book="r > 5")
    third.run()
    first.run()
    second.run()
    for device in (first, second, third):
        device.check()
    # Those that stand beside the author and look first.
    author, reader = second, third
    author.write(lambda edit: edit.scope().add("n", 5), BOOK)
    author.talk()
    reader.run()
    author.run()
    for device in (author, reader):
        device.check()
    assert author.view(BOOK)[3][1] == {"n": 15}


def test_what_is_shared_is_bounded() -> None:
    from replication.server.shared import Body, Shared

    shared = Shared(bytes_max=1000)
    for number in range(100):
        body = Body(number, 0, frozenset(), 0, 0, b"")
        shared.bodies.put(((), number, number), body, 100)
        kept = [n for n in range(number + 1) if shared.bodies.get(((), n, n)) is not None]
        assert kept == list(range(max(0, number - 4), number + 1))
    body = Body(0, 0, frozenset(), 0, 0, b"")
    shared.bodies.put(((), 0, 0), body, 10_000)
    assert shared.bodies.get(((), 0, 0)) is body, "one is kept in any case"
    assert shared.bodies.get(((), 99, 99)) is None


# -- bad input -------------------------------------------------------------------------------
def hostile(device: Device, message: messages.Message) -> ErrorCode | None:
    """How the server ends a session for a message; None if it goes on."""
    device.connect()
    device.run()
    device.ended = None
    device.send(message)
    while device.inbox or (device.pump and device.pump.awake):
        device.step()
    return device.ended


#: In positions, where the client stands.
HERE = "here"


@pytest.mark.parametrize(
    "position",
    [
        b"\xc1", [], None, b"\x95", ["A", 2, 0, 0, HERE], ["A", 0, -1, 0, HERE],
        [1, 0, 0, 0, HERE], [0, 0, 0, HERE], [2**40, 0, 0, HERE], [2, -1, 0, HERE],
        [2, 0, -1, HERE], ["A", 0, 0, HERE], ["A", 0, 0, 0, 0], ["A", 0, 0, 0, 2**40],
        ["A", 0, 0, 0, -1], ["A", 0, 0, 0],
    ],
)  # fmt: skip
def test_a_position_that_no_server_gave_out_is_an_error(position: Any) -> None:
    _, first, second = pair()
    for value in range(3):
        first.write(setting("r", 6 + value), BOOK)
    first.run()
    second.run()
    if type(position) is not bytes:
        here = [second.cursor if each == HERE else each for each in position or ()]
        position = pack(None if position is None else here)
    query = messages.Query(1, 9, {"Book": "r > 7"}, second.cursor, position)
    assert hostile(second, query) is ErrorCode.BAD_MESSAGE
    second.connect()
    second.run()
    second.check()


def test_positions_of_another_download_do_no_harm_to_others() -> None:
    """Well-formed lies: whoever tells them may hold anything, the server goes on."""
    world, first, _ = pair(bytes_target=1)
    for key in range(6):
        first.write(setting("r", key + 3), ("Book", key))
    first.run()
    for lie in (
        ["Book", 0, 3, 0],
        ["Book", 1, 2**32 - 1, 0],
        ["Zoo", 0, 0, 0],
        ["", 0, 0, 2**63 - 1],
    ):
        device = Device(world)
        device.subscribe(Book="TRUEPREDICATE")
        device.run()
        position = pack([*lie, device.cursor, device.cursor])
        query = messages.Query(1, 9, {"Book": "r > 7"}, device.cursor, position)
        device.wanted[9] = {"Book": "r > 7"}
        assert device.session is not None
        device.session.query_version = 9
        device.send(query)
        device.run()
        assert device.ended is None
        assert device.query_version == 9
    first.run()
    first.check()
    assert world.reports == []


def test_the_set_of_a_client_that_comes_back_must_be_readable() -> None:
    _, first, second = pair()
    first.write(setting("r", 9), BOOK)
    first.run()
    for queries in ({"Book": "r >"}, {"Book": " " * 200_000 + "r > 5", "C": " " * 200_000}):
        second.active = queries
        second.connect()
        second.run()
        assert second.ended is ErrorCode.BAD_QUERY
    first.write(setting("r", 8), BOOK)
    first.run()
    first.check()


def test_versions_of_subscription_sets_only_grow() -> None:
    _, _, second = pair()
    for version in (0, 1):
        query = messages.Query(1, version, {}, 0, b"")
        assert hostile(second, query) is ErrorCode.BAD_MESSAGE


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ({"Book": "year >"}, ["Book", "position"]),
        ({"Book": "title == 5"}, ["Book", "title"]),
        ({"Book": "nothing == 5"}, ["Book", "nothing"]),
        ({"Book": "notes.@count > 2"}, ["Book.notes", "queryable"]),
        ({"Nothing": "TRUEPREDICATE"}, ["Nothing"]),
        ({"Place": "TRUEPREDICATE"}, ["Place", "embedded"]),
        ({"": "TRUEPREDICATE"}, ["name"]),
        ({"a" * 100: "TRUEPREDICATE"}, ["name"]),
        ({"Book": "TRUEPREDICATE", "Person": "x"}, ["Person"]),
        (dict.fromkeys(("Book", "Person"), "TRUEPREDICATE" + " " * 200000), ["400026"]),
    ],
)
def test_a_query_that_can_not_be_served_leaves_the_set_before(
    queries: dict[str, str], words: list[str]
) -> None:
    from server_files import SCHEMA

    world = World(schema=SCHEMA)
    first, second = Device(world), Device(world)
    second.subscribe(Book="year > 5")
    second.run()
    states: list[messages.QueryState] = []
    second.subscribe(**queries)
    second.talk()
    states = [item for item in second.inbox if isinstance(item, messages.QueryState)]
    second.run()
    assert second.failed == [2]
    (state,) = states
    assert state.code == ErrorCode.BAD_QUERY
    assert all(word in state.message for word in words), state.message
    first.subscribe(Book="TRUEPREDICATE")
    first.write(setting("year", 7), BOOK)
    first.run()
    second.run()
    assert list(second.holds()) == [BOOK]
    second.subscribe(Book="year > 6")
    second.run()
    assert second.query_version == 3
    second.check()


def test_in_development_classes_and_fields_may_come_later() -> None:
    from server_files import of

    from replication.model.schema import ClassSchema, Schema

    world = World(development=True)
    device = Device(world)
    device.subscribe(Book="price == 1.1 AND title != 'x'", Later="TRUEPREDICATE")
    device.run()
    assert (device.query_version, device.failed) == (1, [])
    namespace = world.host.namespace("data")
    from bson.decimal128 import Decimal128

    from replication.history.changeset import ObjectDelta

    def book(author: Any) -> list[ObjectDelta]:
        from replication.crdt.object import absent

        edit = Edit(absent(), author)
        edit.create()
        edit.scope().set("price", Decimal128("1.1"))
        return [ObjectDelta("Book", 1, edit.finish()[0])]

    properties = [of("price", "decimal"), of("title", "string?")]
    with world.store.write() as writer:
        schema = Schema([ClassSchema("Book", properties, key="int")])
        assert not namespace.write(writer, book, schema=schema).refusals
    world.host.published("data")
    device.run()
    assert list(device.holds()) == [BOOK], "the literal is read as the decimal it turned out to be"
    device.connect()
    device.run()
    assert list(device.holds()) == [BOOK]
    with world.store.read() as reader:
        assert reader.columns("Book") == ["price", "title"]


# -- anything goes ---------------------------------------------------------------------------
QUERIES = ["TRUEPREDICATE", "n > 0", "r == null OR n == 1", "s.@count > 0", "FALSEPREDICATE",
           "NONE l == 1", "x == 1 OR w5 == null"]  # fmt: skip
CLASSES = ["Book", "Person"]


def act(world: World, devices: list[Device], rng: Random) -> None:
    """One thing that happens."""
    device = rng.choice(devices)
    choice = rng.random()
    if choice < 0.35:
        names = [(rng.choice(CLASSES), rng.randrange(4)) for _ in range(rng.randint(1, 2))]
        device.write(wander(rng), *sorted(set(names)), flags=int(rng.random() < 0.1))
    elif choice < 0.45:
        chosen = rng.sample(CLASSES, rng.randint(0, 2))
        device.subscribe(**{name: rng.choice(QUERIES) for name in chosen})
    elif choice < 0.55:
        if device.session is None:
            device.connect()
        else:
            device.cut()
    elif choice < 0.6:
        for each in devices:
            each.cut()
        world.start()
    elif choice < 0.65:
        if device.session is not None and device.session.ready:
            device.mark(len(device.passed))
    else:
        device.talk()
        for _ in range(rng.randint(1, 6)):
            received = len(device.downloads)
            device.step()
            new = device.downloads[received:]
            if any(download.last and download.version == world.latest for download, _ in new):
                device.check()


def anything(world: World, rng: Random, steps: int) -> None:
    """Devices that do what comes to mind, and in the end hold what they asked for."""
    devices = [Device(world) for _ in range(rng.randint(1, 3))]
    for _ in range(steps):
        act(world, devices, rng)
    for device in devices:
        device.connect()
    for _ in range(3):
        for device in devices:
            device.run()
            assert device.ended is None
    for device in devices:
        if device.session is not None and device.active:
            device.mark(10**6)
            device.run()
            assert device.passed[-1] == 10**6
            assert not device.pending
        device.check()
    assert world.reports == []


@given(st.randoms(use_true_random=False), st.sampled_from([1, 100, 10**6]),
       st.sampled_from([1, 3, 1000]))  # fmt: skip
@settings(max_examples=150)
def test_devices_hold_what_they_asked_for(rng: Random, bytes_target: int, entries: int) -> None:
    """DOWN-4"""
    anything(World(bytes_target=bytes_target, entries_max=entries), rng, 40)


@pytest.mark.parametrize("seed", range(6))
def test_devices_hold_what_they_asked_for_over_a_file(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    store = SQLiteStore(tmp_path / "server.db", query_values)
    small = {"bytes_target": rng.choice([1, 100, 10**6]), "entries_max": rng.choice([1, 3, 1000])}
    anything(World(store, **small), rng, 60)
    store.close()
