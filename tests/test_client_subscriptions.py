"""Subscription sets of a client file: edits, states, their order with uploads, and bootstraps that
go on after a cut.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from client_files import check, client_file, contents
from test_convergence import check as check_converged
from worlds import LIBRARY, Device, World

from replication.client.agent import Agent
from replication.client.database import Database
from replication.client.subscription_set import Subscription, SubscriptionSet, SubscriptionState
from replication.client.subscriptions import set_state
from replication.errors import NoSubscriptionError, QueryError, UsageError
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.protocol.body import StateOp, decode_changesets, decode_operations
from replication.protocol.messages import Download, Ident, Message, Query, Upload

State = SubscriptionState


def filled(books: int = 6, **options: Any) -> tuple[World, Device, Device]:
    """A server with books of the years 0, 1, 2, ..., the device that wrote them, and a new one."""
    world = World(2, **options)
    writer, reader = world.devices
    writer.subscribe()
    for key in range(books):
        put(writer, key)
    writer.sync()
    return world, writer, reader


def put(device: Device, key: int, **values: Any) -> None:
    """Write a book."""
    with device.db.write() as tx:
        edit = tx.edit("Book", key)
        if edit.fields() is None:
            edit.create()
        for name, value in ({"year": key} | values).items():
            edit.scope().set(name, value)


def states(device: Device) -> list[tuple[int, State]]:
    """Version and state of every set that is kept."""
    return [(item.version, item.state) for item in device.db.subscriptions.sets]


class Tap:
    """What goes through a device's sessions from now on."""

    def __init__(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[Message] = []
        self.received: list[Message] = []
        send, receive = device.send, Agent.receive

        def sending(out: list[Message]) -> None:
            self.sent.extend(out)
            send(out)

        def receiving(agent: Agent, message: Message) -> list[Message]:
            if agent.db is device.db:
                self.received.append(message)
            return receive(agent, message)

        monkeypatch.setattr(device, "send", sending)
        monkeypatch.setattr(Agent, "receive", receiving)

    def states(self) -> list[Any]:
        """The keys of the states that came, in order."""
        return [
            operation.key
            for message in self.received
            if isinstance(message, Download)
            for operation in decode_operations(message.size, message.body)
            if isinstance(operation, StateOp)
        ]

    def queries(self) -> list[Query]:
        return [message for message in self.sent if isinstance(message, Query)]


# -- edits -----------------------------------------------------------------------------------
def test_what_names_a_subscription() -> None:
    """SUB-1: its name, or its class and query; the same query under two names stays twice."""
    db = client_file()
    with db.subscriptions.edit() as edit:
        one = edit.add("Book", "year   ==   $0", 1)
        assert edit.add("Book", "year == 1") == one
        edit.add("Book", "year == 1", name="a")
        edit.add("Book", "year == 1", name="b")
        edit.add("Place2", "x == 1")
    assert len(list(db.subscriptions)) == 4
    with db.subscriptions.edit() as edit:
        edit.add("Book", "year == 2", name="a")
        with pytest.raises(UsageError, match="the name 'b' stands for Book 'year == 1' already"):
            edit.add("Book", "year == 3", name="b", update=False)
        edit.add("Book", "year == 1", name="b", update=False)
        assert edit.find("a") == Subscription("Book", "year == 2", "a")
        assert edit.remove("a")
        assert not edit.remove("a")
        assert edit.remove(one)
        assert edit.find("b") is not None
    assert [item.name for item in db.subscriptions] == ["b", None]
    assert db.subscriptions.latest.version == 2
    with db.subscriptions.edit() as edit:
        edit.add("Book", "year == 1", name="b")
    assert db.subscriptions.latest.version == 2, "nothing changed"


def edit_with(db: Database, act: Callable[[Any], Any]) -> None:
    with db.subscriptions.edit() as edit:
        edit.add("Book", "year == 77")
        act(edit)


def test_an_edit_that_fails_leaves_the_set() -> None:
    """SUB-1: atomically, in the file and in memory."""
    db = client_file()
    with db.subscriptions.edit() as edit:
        edit.add("Book")
    before = contents(db)
    for error, act in (
        (QueryError, lambda edit: edit.add("Book", "year ==")),
        (QueryError, lambda edit: edit.add("Book", "nothing == 1")),
        (QueryError, lambda edit: edit.add("Place")),
        (ZeroDivisionError, lambda edit: (edit.clear(), 1 / 0)),
    ):
        with pytest.raises(error):
            edit_with(db, act)
        assert contents(db) == before
        check(db)


def test_edits_wait_for_one_another() -> None:
    """SUB-1: each starts from what the one before left."""
    db = client_file()

    def add(number: int) -> None:
        for each in range(5):
            with db.subscriptions.edit() as edit:
                edit.add("Book", f"year == {number * 10 + each}")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(db.subscriptions)) == 20
    assert [item.version for item in db.subscriptions.sets] == list(range(1, 21))
    check(db)


def test_another_order_is_the_same_on_the_wire() -> None:
    """SUB-4: whatever the names, and how often."""
    items = [
        Subscription("Book", "year == 1"),
        Subscription("Book", "title == 'a'", "named"),
        Subscription("Book", "year == 1", "again"),
        Subscription("Author", "TRUEPREDICATE"),
    ]
    forms = {
        repr(SubscriptionSet(subscriptions=list(order)).queries())
        for order in itertools.permutations(items)
    }
    assert len(forms) == 1
    (form,) = forms
    assert "year == 1" in form
    assert "title" in form


def names(db: Database) -> list[str]:
    """The subscriptions of the latest set: name, or query in parentheses."""
    return [item.name or f"({item.query})" for item in db.subscriptions]


def test_what_is_removed_by_name_query_class_or_all() -> None:
    """SUB-1: named ones stay where only the others are meant."""
    db = client_file()
    with db.subscriptions.edit() as edit:
        for query in ("year == 1", "year == 2"):
            edit.add("Book", query)
            edit.add("Book", query, name=f"named {query[-1]}")
        edit.add("Pen", name="pens")
        edit.add("Ink")
    steps: list[tuple[Callable[[Any], object], object, list[str]]] = [
        (lambda e: e.remove_query("Book", "1 == year"), 1, ["(year == 1)"]),
        (lambda e: e.remove_query("Book", "year == 1"), 0, []),
        (lambda e: e.remove_query("Book", "year == $0", 2, named=True), 2,
         ["(year == 2)", "named 2"]),
        (lambda e: e.remove_class("Book", named=False), 0, []),
        (lambda e: e.remove_class("Book"), 1, ["named 1"]),
        (lambda e: e.clear(named=False), 1, ["(TRUEPREDICATE)"]),
        (lambda e: e.remove("nobody"), False, []),
        (lambda e: e.clear(), 1, ["pens"]),
    ]  # fmt: skip
    for act, returned, gone in steps:
        before = names(db)
        with db.subscriptions.edit() as edit:
            assert act(edit) == returned
        assert sorted(before) == sorted([*names(db), *gone])
    with db.subscriptions.edit() as edit:
        one = edit.add("Book", "year == 1")
        assert edit.find_query("Book", "1 == year") == one
        assert edit.find_query("Book", "year == 3") is None
    for wrong in (lambda e: e.add(3), lambda e: e.add("Book", name=3), lambda e: e.add("")):
        with pytest.raises(UsageError), db.subscriptions.edit() as edit:
            wrong(edit)
    assert names(db) == ["(year == 1)"]


def test_queries_too_long_for_one_message_are_refused_here() -> None:
    """SUB-4: before they end a session."""
    db = client_file()
    long = "title == '" + "x" * 200_000 + "'"
    with db.subscriptions.edit() as edit:
        edit.add("Book", long)
    with (
        pytest.raises(QueryError, match="has more than"),
        db.subscriptions.edit() as edit,
    ):
        edit.add("Book", long.replace("x", "y"))
    assert db.subscriptions.latest.version == 1


def test_initial_subscriptions_are_made_once_or_at_each_opening() -> None:
    """SUB-6"""
    calls: list[int] = []

    def fill(edit: Any) -> None:
        calls.append(1)
        edit.add("Book", "year > $0", len(calls), name="recent")

    db = client_file()
    with pytest.raises(ZeroDivisionError):
        db.subscriptions.initialise(lambda edit: (edit.add("Book"), 1 / 0))
    assert db.subscriptions.latest.version == 0
    db.subscriptions.initialise(fill)
    again = Database(db.store, LIBRARY, wall_ms=db.wall_ms)
    again.subscriptions.initialise(fill)
    assert len(calls) == 1
    again.subscriptions.initialise(fill, rerun=True)
    assert list(again.subscriptions) == [Subscription("Book", "year > 2", "recent")]
    assert again.subscriptions.latest.version == 2
    with again.subscriptions.edit() as edit:
        edit.clear()
    again.subscriptions.initialise(fill)
    assert len(calls) == 2, "a set that was emptied is a set"


def test_an_empty_initial_set_is_a_set() -> None:
    """SUB-6 SUB-7"""
    db = client_file()
    db.subscriptions.initialise(lambda edit: None)
    assert db.subscriptions.latest.version == 1
    with pytest.raises(NoSubscriptionError):
        db.subscriptions.check_covers("Book")


def test_results_are_subscribed_to() -> None:
    """SUB-1"""
    db = client_file()
    found = db.objects("Book", "year > $0", 5)
    assert found.subscribe() == Subscription("Book", "year > 5")
    found.sort("title").subscribe("sorted")
    assert names(db) == ["(year > 5)", "sorted"]
    assert found.unsubscribe()
    assert not found.unsubscribe()
    db.objects("Book").subscribe("sorted")
    assert list(db.subscriptions) == [Subscription("Book", "TRUEPREDICATE", "sorted")]


# -- states ----------------------------------------------------------------------------------
def test_whoever_watches_is_told_of_each_state() -> None:
    """SUB-2: once each, and an observer that fails stops nobody."""
    _, _, reader = filled(bytes_target=1)
    sets = reader.db.subscriptions
    seen: list[State] = []
    failures: list[Exception] = []
    reader.db.on_callback_error = failures.append
    sets.on_change(lambda: {}["nothing"])
    stop = sets.on_change(lambda: seen.append(sets.get(1).state))
    reader.subscribe()
    reader.sync()
    assert seen == [State.PENDING, State.BOOTSTRAPPING, State.AWAITING_MARK, State.COMPLETE]
    assert len(failures) == 4
    reader.subscribe("year == 2")
    assert seen[4:] == [State.COMPLETE]
    stop()
    reader.sync()
    assert len(seen) == 5


def test_a_refused_set_can_be_tried_again() -> None:
    """SUB-5: by committing the same; the server may know better by now."""
    _, _, reader = filled()
    with reader.db.subscriptions.edit() as edit:
        edit.add("Pen")
        edit.add("Book", "year == 1")
    with reader.db.integrating() as work:
        set_state(work.writer, 1, State.ERROR, "no")
    reader.db.subscriptions.reload()
    with reader.db.subscriptions.edit():
        pass
    assert states(reader) == [(1, State.ERROR), (2, State.PENDING)]
    reader.sync()
    assert states(reader) == [(2, State.COMPLETE)]
    assert list(reader.view()) == [1]


def test_another_spelling_of_the_same_set_brings_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """SUB-4: under other names, in another order: no object is sent or evicted."""
    _, _, reader = filled()
    with reader.db.subscriptions.edit() as edit:
        edit.add("Book", "year == 1")
        edit.add("Book", "year == 2")
    reader.sync()
    tap = Tap(reader, monkeypatch)
    with reader.db.subscriptions.edit() as edit:
        edit.clear()
        edit.add("Book", "2 == year", name="b")
        edit.add("Book", "year = 1 OR year = 2", name="a")
    reader.sync()
    assert states(reader) == [(2, State.COMPLETE)]
    assert len(tap.queries()) == 1
    assert [d.body for d in tap.received if isinstance(d, Download)] == [b"\x90"]


def test_a_set_goes_through_its_states() -> None:
    """SUB-2 SUB-8: and is the same set at any of them after reopening the file."""
    _, _, reader = filled(bytes_target=1)
    seen = []
    reader.subscribe()
    for _ in range(100):
        state = reader.db.subscriptions.latest.state
        if not seen or seen[-1] is not state:
            seen.append(state)
            check(reader.db)
            if state in (State.PENDING, State.BOOTSTRAPPING):
                assert reader.db.subscriptions.active.version == 0
                assert reader.view() == {}
            else:
                assert reader.db.subscriptions.active.version == 1
                assert len(reader.view()) == 6
            reader.cut()
            reader.open()
            assert reader.db.subscriptions.latest.state is state
        if reader.agent is None:
            reader.connect()
        reader.step()
    assert seen == [State.PENDING, State.BOOTSTRAPPING, State.AWAITING_MARK, State.COMPLETE]


def test_an_error_keeps_the_set_before() -> None:
    """SUB-2: active, its objects here, over reopening; the next set is served."""
    world, writer, reader = filled()
    reader.subscribe("year > 2")
    reader.sync()
    pen = ClassSchema("Pen", [Property.of("colour", "int")], key="int")
    world.schema, known = Schema([*LIBRARY, pen]), world.schema
    writer.cut()
    writer.open()
    writer.sync()
    world.schema = known
    with reader.db.subscriptions.edit() as edit:
        edit.add("Pen", "colour == 'red'", name="no")  # only the server can tell
    reader.sync()
    failed = reader.db.subscriptions.latest
    assert failed.state is State.ERROR
    assert "colour" in failed.message
    for key in (9, 10):
        assert reader.db.subscriptions.active.version == 1
        assert set(reader.view()) >= {3, 4, 5}
        put(writer, key)
        writer.sync()
        reader.sync()
        assert key in reader.view()
        check(reader.db)
        reader.cut()
        reader.open()
        assert reader.db.subscriptions.latest.state is State.ERROR
    with reader.db.subscriptions.edit() as edit:
        edit.remove("no")
        edit.add("Book", "year == 0")
    reader.sync()
    assert states(reader) == [(3, State.COMPLETE)]
    assert reader.db.subscriptions.get(2).state is State.SUPERSEDED
    check_converged(world)


def test_superseded_in_the_middle_of_a_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """SUB-2 SUB-9 DOWN-5: what was staged goes, and nothing of the set before was ever shown."""
    world, _, reader = filled(12, bytes_target=1)
    shown: set[int] = set()
    reader.subscribe("year < 10")
    reader.connect()
    while reader.db.synced.staged_count < 5:
        reader.step()
        shown |= set(reader.view())
    reader.subscribe("year >= 10")
    assert [state for _, state in states(reader)] == [State.BOOTSTRAPPING, State.PENDING]
    for _ in range(200):
        if reader.agent is not None:
            reader.step()
        shown |= set(reader.view())
        check(reader.db)
    assert shown == {10, 11}
    assert states(reader) == [(2, State.COMPLETE)]
    assert reader.db.subscriptions.get(1).state is State.SUPERSEDED
    check_converged(world)


# -- order with uploads ----------------------------------------------------------------------
def test_queries_go_behind_what_was_written_before() -> None:
    """SUB-3 SESSION-7: and before what was written after, in one session or in two."""
    for cut in range(8):
        world = World(1)
        (device,) = world.devices
        sent: list[Message] = []
        send: Callable[[list[Message]], None] = device.send

        def sending(
            out: list[Message],
            sent: list[Message] = sent,
            send: Callable[[list[Message]], None] = send,
        ) -> None:
            sent.extend(out)
            send(out)

        device.send = sending  # type: ignore[method-assign]
        put(device, 1)
        device.subscribe("year == 1")
        put(device, 2)
        put(device, 3)
        device.subscribe("year < 3")
        put(device, 4)
        device.connect()
        for _ in range(cut):
            if device.agent is not None:
                device.step()
        device.cut()
        device.sync()
        uploaded, asked = 0, set()
        for message in sent:
            if isinstance(message, Ident):
                uploaded = message.client_version
            elif isinstance(message, Upload):
                assert message.first == uploaded + 1
                uploaded += len(decode_changesets(message.size, message.body))
            elif isinstance(message, Query) and message.query_version not in asked:
                asked.add(message.query_version)
                assert uploaded == {1: 2, 2: 4}[message.query_version], "the schema is the first"
        assert uploaded == 5
        check_converged(world)


# -- bootstraps that go on -------------------------------------------------------------------
@pytest.mark.parametrize("reopening", [False, True], ids=["cut", "reopened"])
@pytest.mark.parametrize("second", [False, True], ids=["first-set", "second-set"])
def test_a_bootstrap_goes_on_after_each_cut(
    reopening: bool, second: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DOWN-4 SUB-2: no state is sent twice, however often the connection is lost."""
    world, _, reader = filled(12, bytes_target=1)
    if second:
        reader.subscribe("year == 0")
        reader.sync()
    reader.subscribe("year < 10")
    tap = Tap(reader, monkeypatch)
    cuts = 0
    while reader.db.subscriptions.latest.state is not State.COMPLETE:
        staged = reader.db.synced.staged_count
        reader.connect()
        for _ in range(50):
            if reader.agent is None or reader.db.synced.staged_count > staged + 1:
                break
            reader.step()
            if reader.db.subscriptions.latest.state is State.COMPLETE:
                break
        reader.cut()
        if reopening:
            reader.open()
        cuts += 1
        assert cuts < 30
    assert cuts > 3
    assert sorted(tap.states()) == list(range(second, 10))
    positions = [message.position for message in tap.queries()]
    assert positions[0] == b""
    assert all(positions[1:])
    assert len(reader.view()) == 10
    check(reader.db)
    check_converged(world)


def test_what_changes_during_a_bootstrap_is_caught_up_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DOWN-4: among what was sent already and what was not, over a cut."""
    world, writer, reader = filled(12, bytes_target=1)
    reader.subscribe("year < 10")
    reader.connect()
    while reader.db.synced.staged_count < 5:
        reader.step()
    reader.cut()
    put(writer, 0, title="changed")
    put(writer, 1, year=50)
    put(writer, 9, year=60)
    put(writer, 11, year=5)
    with writer.db.write() as tx:
        tx.delete("Book", 2)
    writer.sync()
    tap = Tap(reader, monkeypatch)
    reader.sync()
    assert len(tap.states()) < 12
    assert sorted(reader.view()) == [0, 3, 4, 5, 6, 7, 8, 11]
    assert reader.view()[0]["title"] == "changed"
    check(reader.db)
    check_converged(world)


def test_catching_up_goes_on_after_each_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """DOWN-4: no state is sent twice, however often the connection is lost."""
    world, writer, reader = filled(3, bytes_target=1, entries_max=2)
    reader.subscribe()
    reader.sync()
    reader.cut()
    for key in range(20, 30):
        put(writer, key)
    writer.sync()
    tap = Tap(reader, monkeypatch)
    for cut in range(1, 9):
        reader.connect()
        while reader.db.synced.staged_count < cut:
            reader.step()
        reader.cut()
        if cut % 2:
            reader.open()
    reader.sync()
    assert tap.states() == list(range(20, 30))
    assert len(reader.view()) == 13
    check(reader.db)
    check_converged(world)
