"""Bootstraps: the difference only, stopped between any two messages at either end, and progress."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from client_files import check as check_file
from test_client_subscriptions import Tap, filled, put
from test_convergence import check as check_converged
from test_rules_roles import role, rules
from worlds import Device, World

from replication.client.left import LeftView
from replication.client.progress import DownloadProgress
from replication.client.subscription_set import SubscriptionState
from replication.protocol.body import EvictOp, StateOp, decode_operations
from replication.protocol.messages import Download

State = SubscriptionState
#: Rules that let everybody write everything but titles.
NO_TITLES = rules(
    role(
        "all",
        insert=True,
        fields={"title": {"read": True}},
        additional_fields={"read": True, "write": True},
    )
)


def sent(tap: Tap, kind: type) -> list[int]:
    """The keys of the operations of a kind that came."""
    return [
        operation.key
        for message in tap.received
        if isinstance(message, Download)
        for operation in decode_operations(message.size, message.body)
        if isinstance(operation, kind)
    ]


# -- the difference ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("TRUEPREDICATE", "year < 50"),  # narrower
        ("year < 50", "TRUEPREDICATE"),  # wider
        ("year < 60", "year > 40"),  # beside
        ("year < 10", "year > 90"),  # elsewhere
        ("year < 50", "year < 20 OR (year >= 20 AND year < 50)"),  # the same, put otherwise
        ("year < 50", "FALSEPREDICATE"),
        ("FALSEPREDICATE", "year < 50"),
    ],
)
@pytest.mark.parametrize("size", [1, 10**6], ids=["alone", "together"])
def test_a_change_of_the_set_sends_the_difference(
    old: str, new: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BOOT-1 BOOT-2: the objects that enter, each once, and the keys of those that leave."""
    world, _, reader = filled(100, bytes_target=size)
    reader.subscribe(old)
    reader.sync()
    before, tap = set(reader.view()), Tap(reader, monkeypatch)
    reader.subscribe(new)
    reader.sync()
    after = set(world.matching(new))
    assert sorted(sent(tap, StateOp)) == sorted(after - before)
    assert sorted(sent(tap, EvictOp)) == sorted(before - after)
    check_converged(world)


def test_what_was_written_since_is_sent_with_the_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BOOT-1: and nothing else of what both sets see."""
    world, writer, reader = filled(40)
    reader.subscribe("year < 30")
    reader.sync()
    reader.cut()
    for key in (5, 25):
        put(writer, key, title="changed")
    put(writer, 6, year=99)
    writer.sync()
    tap = Tap(reader, monkeypatch)
    reader.subscribe("year >= 20")
    reader.sync()
    assert sorted(set(sent(tap, StateOp))) == [6, 25, *range(30, 40)]
    assert set(sent(tap, EvictOp)) == {*range(20)} - {6}
    check_converged(world)


# -- what is written meanwhile ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("history", "life"),
    [
        ("never connected", 1),
        ("connected without a set", 1),
        ("with another set", 1),
        ("with another set", 3),
    ],
)
@pytest.mark.parametrize("set_first", [False, True])
def test_what_is_created_blindly_shows_until_the_object_comes(
    history: str, life: int, *, set_first: bool
) -> None:
    """BOOT-8 JUDGE-1: the server has the key already; whatever arrives in between, and in whatever
    life the object is by now.
    """
    world, writer, reader = filled(3, bytes_target=1, entries_max=1)
    for _ in range(life // 2):
        with writer.db.write() as tx:
            tx.delete("Book", 1)
        put(writer, 1, copies=1)
        writer.sync()
    if history == "with another set":
        reader.subscribe("year == 2")
    if history != "never connected":
        reader.sync()
    if set_first:
        reader.subscribe()
    world.ms += 1000
    put(reader, 1, title="mine")
    if not set_first:
        reader.subscribe()
    shown = []
    while reader.agent is None or not reader.is_idle:
        reader.step()
        shown.append(reader.view().get(1, {}).get("title"))
    assert len(shown) > 3
    assert set(shown) == {"mine"}
    check_converged(world)


@pytest.mark.parametrize("alive", [True, False])
def test_what_is_written_to_a_blind_create_before_it_is_known_follows_it(*, alive: bool) -> None:
    """EDIT-6 JUDGE-1: into the life in which the server has it begin, deletions included."""
    world, writer, reader = filled(3)
    for key in (0, 1, 2):
        with writer.db.write() as tx:
            tx.delete("Book", key)
        if alive:
            put(writer, key, copies=1)
    writer.sync()
    reader.subscribe("year == 77")
    reader.sync()
    world.ms += 1000
    for key in (0, 1, 2):
        put(reader, key, title="created")
        put(reader, key, title="edited")
    for key in (1, 2):
        with reader.db.write() as tx:
            tx.delete("Book", key)
    reader.cut()
    reader.open()
    put(reader, 2, title="anew")
    put(reader, 0, title="edited again")
    reader.subscribe("year < 3")
    reader.sync()
    assert reader.db.refusals() == []
    shown = {key: book["title"] for key, book in world.view().items()}
    assert shown == {0: "edited again", 2: "anew"}
    put(reader, 0, title="as usual")
    reader.sync()
    assert world.view()[0]["title"] == "as usual"
    check_converged(world)


def test_what_is_written_once_the_life_is_known_is_of_that_life() -> None:
    """EDIT-6: also while an earlier edit is on its way, and in a later process."""
    world, writer, reader = filled(3)
    with writer.db.write() as tx:
        tx.delete("Book", 1)
    writer.sync()
    reader.subscribe("year == 77")
    reader.sync()
    reader._uploads_max = 1
    reader.cut()
    put(reader, 1, title="created")
    reader.connect()
    reader.upload()
    assert reader.view()[1]["title"] == "created"
    put(reader, 1, title="edited")
    reader.cut()
    reader.open()
    put(reader, 1, title="edited again")
    reader.subscribe("year == 1")
    reader.sync()
    assert reader.db.refusals() == []
    assert world.view()[1]["title"] == "edited again"
    check_converged(world)


@pytest.mark.parametrize("life", [1, 3])
@pytest.mark.parametrize("reopened", [False, True])
def test_what_is_written_to_an_object_that_came_before_the_ack_is_of_its_life(
    life: int, *, reopened: bool
) -> None:
    """EDIT-6: the blind create is still on its way, and says nothing of the life that is seen."""
    world, writer, reader = filled(4)
    for key in range(4) if life > 1 else ():
        with writer.db.write() as tx:
            tx.delete("Book", key)
        put(writer, key, copies=1)
    writer.sync()
    reader.subscribe("year == 77")
    reader.sync()
    reader.cut()
    reader.subscribe()
    world.ms += 1000
    for key in range(3):
        put(reader, key, title="created")
    reader.connect()
    reader.download()
    assert reader.view()[3]["year"] == 3, "the objects came"
    assert reader.db.synced.acknowledged == 1
    if reopened:
        reader.cut()
        reader.open()
    put(reader, 0, title="edited")
    for key in (1, 2):
        with reader.db.write() as tx:
            tx.delete("Book", key)
    put(reader, 2, title="anew")
    reader.sync()
    assert reader.db.refusals() == []
    titles = {key: book.get("title") for key, book in world.view().items()}
    assert titles == {0: "edited", 2: "anew", 3: titles[3]}
    check_converged(world)


@pytest.mark.parametrize("deleted", [False, True])
def test_what_is_created_over_edits_that_wait_is_of_the_life_they_name(*, deleted: bool) -> None:
    """EDIT-6: it meets what has only left the view; a deletion beats it, and that is told."""
    world, writer, reader = filled(3)
    with writer.db.write() as tx:
        tx.delete("Book", 1)
    put(writer, 1, copies=5)
    writer.sync()
    reader.subscribe("year < 3")
    reader.sync()
    reader.cut()
    put(reader, 1, title="edited")
    put(writer, 1, year=99)
    writer.sync()
    reader.connect()
    reader.download()
    assert 1 not in reader.view(), "evicted, and its edit is still pending"
    if deleted:
        with writer.db.write() as tx:
            tx.delete("Book", 1)
        writer.sync()
    put(reader, 1, title="created", year=2)
    put(reader, 1, title="edited again")
    assert reader.view()[1]["title"] == "edited again"
    reader.sync()
    refused = [each.reason for each in reader.db.refusals()]
    if deleted:
        assert (1 in world.view(), refused) == (False, ["deleted"] * 3)
    else:
        assert (world.view()[1], refused) == ({"title": "edited again", "year": 1, "copies": 5}, [])
    check_converged(world)


def test_a_file_without_a_set_keeps_what_it_created_blindly() -> None:
    """BOOT-8: and a set that leaves it out evicts it."""
    _, writer, reader = filled(3)
    put(reader, 1, title="mine")
    reader.sync()
    put(writer, 1, title="theirs")
    writer.sync()
    reader.sync()
    assert reader.view()[1]["title"] == "mine"
    reader.subscribe("year == 2")
    reader.sync()
    assert sorted(reader.view()) == [2]


def test_what_is_created_blindly_outside_of_the_view_shows_until_it_is_evicted() -> None:
    """BOOT-8"""
    _, _, reader = filled(3)
    reader.subscribe("year == 2")
    reader.sync()
    told: list[LeftView] = []
    reader.db.on_left_view(told.extend)
    put(reader, 1, title="mine")
    reader.upload()
    assert reader.db.synced.acknowledged == reader.db.local.client_version
    assert (sorted(reader.view()), told) == ([1, 2], [])
    reader.sync()
    assert sorted(reader.view()) == [2]
    assert [each.key for each in told] == [1]


def test_nothing_shows_of_a_blind_create_that_is_refused_whole() -> None:
    """BOOT-8 JUDGE-1: that the object is there already is not the author's doing."""
    world, _, reader = filled(3)
    world._options |= {"rules": lambda _name: NO_TITLES}
    world.restart()
    reader.subscribe("year == 2")
    reader.sync()
    with reader.db.write() as tx:
        edit = tx.edit("Book", 1)
        edit.create()
        edit.scope().set("title", "mine")
    with world.store.read() as reading:
        before = reading.get_object("Book", 1)
    reader.upload()
    assert sorted(reader.view()) == [2]
    assert [each.path for each in reader.db.refusals()] == [["title"]]
    with world.store.read() as reading:
        assert reading.get_object("Book", 1) == before, "nothing is written"


# -- stopping anywhere -----------------------------------------------------------------------------
def steps_of(world: World, reader: Device) -> int:
    """Steps until the reader's latest set is complete; what it is sent goes message by message."""
    count = 0
    while reader.db.subscriptions.latest.state is not State.COMPLETE:
        count += 1
        advance(world, reader)
        assert count < 500
    return count


def advance(world: World, reader: Device) -> None:
    if reader.agent is None:
        reader.connect()
    reader.step()


STOPS = ["cut", "reopened", "server", "both"]


def stop(world: World, reader: Device, how: str) -> None:
    if how in ("server", "both"):
        world.restart()
    if how in ("reopened", "both"):
        reader.cut()
        reader.open()
    reader.cut()


def prepared(*, second: bool) -> tuple[World, Device, Device]:
    """Twelve books, a reader with two writes of its own that wants ten of them, one by one."""
    world, writer, reader = filled(12, bytes_target=1, entries_max=2)
    if second:
        reader.subscribe("year == 11 OR year == 0")
        reader.sync()
    put(reader, 100, year=7, title="mine, in view")
    put(reader, 101, year=50, title="mine, out of view")
    reader.subscribe("year < 10")
    return world, writer, reader


@pytest.mark.parametrize("how", STOPS)
@pytest.mark.parametrize("second", [False, True], ids=["first-set", "second-set"])
def test_stopped_between_any_two_messages(
    how: str, second: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BOOT-3 BOOT-4 BOOT-5 BOOT-6: once for each step there is: nothing is shown early, nothing
    is sent twice, what was written locally is kept, and progress goes on.
    """
    world, _, reader = prepared(second=second)
    total = steps_of(world, reader)
    assert total > 12
    for at in range(total):
        world, writer, reader = prepared(second=second)
        shown = set(reader.view())
        tap, told = Tap(reader, monkeypatch), [reader.db.progress]
        for _ in range(at):
            advance(world, reader)
            told.append(reader.db.progress)
        active = reader.db.subscriptions.active.version == 1 + second
        visible = set(reader.view()) - {101, 102}
        assert visible == ({*range(10), 100} if active else shown - {101})
        stop(world, reader, how)
        check_file(reader.db)
        put(reader, 102, year=8, title="written in between")
        while reader.db.subscriptions.latest.state is not State.COMPLETE:
            advance(world, reader)
            told.append(reader.db.progress)
        states = [key for key in sent(tap, StateOp) if key < 100]
        assert sorted(states) == list(range(second, 10)), at
        assert set(reader.view()) >= {*range(10), 100, 102}
        check_progress(told, 1 + second)
        writer.subscribe()
        check_converged(world)
        assert 101 in world.view(), "accepted, and not in this view"


def check_progress(told: list[DownloadProgress], query_version: int) -> None:
    of_it = [each for each in told if each.query_version == query_version]
    for before, after in pairwise(of_it):
        assert before.fraction <= after.fraction
        assert before.objects <= after.objects
        assert before.bytes <= after.bytes
    assert of_it[-1].fraction == 1.0


# -- progress --------------------------------------------------------------------------------------
def test_progress_counts_objects_and_bytes_and_ends_with_the_download(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BOOT-6: 1.0 exactly when it is there to be seen, whatever the server says."""
    world, writer, reader = filled(20, bytes_target=1)
    told: list[DownloadProgress] = []
    seen: list[bool] = []

    def tell(progress: DownloadProgress) -> None:
        told.append(progress)
        seen.append(bool(reader.view()))

    assert reader.db.progress == DownloadProgress(0, 0, 0, 1.0)
    reader.db.on_progress(tell)
    tap = Tap(reader, monkeypatch)
    reader.subscribe()
    reader.sync()
    bodies = [len(each.body) for each in tap.received if isinstance(each, Download)]
    assert [each.objects for each in told] == [*range(1, 20), 20]
    assert [each.bytes for each in told] == [sum(bodies[:n]) for n in range(1, 21)]
    assert [each.fraction == 1.0 for each in told] == seen == [False] * 19 + [True]
    check_progress(told, 1)
    assert reader.db.progress == told[-1]
    put(writer, 30)
    writer.sync()
    reader.sync()
    assert len(told) == 20, "one message that brings no set is nothing to wait for"
    reader.subscribe("year < 5")
    reader.sync()
    assert told[-1] == DownloadProgress(2, 0, told[-1].bytes, 1.0)
    check_progress(told[20:], 2)
    reader.open()
    assert reader.db.progress == told[-1]
    check_converged(world)


@pytest.mark.parametrize("said", [1.0, 0.0])
def test_a_server_that_estimates_badly(said: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """BOOT-6"""
    _, _, reader = filled(6, bytes_target=1)
    told: list[DownloadProgress] = []
    reader.db.on_progress(told.append)
    monkeypatch.setattr("replication.server.staging.Staging._progress", lambda *_: said)
    reader.subscribe()
    reader.sync()
    assert [each.fraction == 1.0 for each in told] == [False] * 5 + [True]


def test_progress_of_a_client_that_catches_up() -> None:
    """BOOT-6 DOWN-4: over cuts at random."""
    r = random.Random(3)
    world, writer, reader = filled(3, bytes_target=1, entries_max=2)
    reader.subscribe()
    reader.sync()
    reader.cut()
    for key in range(30):
        put(writer, key, title="anew")
    writer.sync()
    told: list[DownloadProgress] = []
    reader.db.on_progress(told.append)
    while reader.view()[0].get("title") != "anew":
        advance(world, reader)
        if r.random() < 0.2:
            reader.cut()
    assert len(told) > 10
    check_progress(told, 1)
    assert told[-1].objects == 30
    check_converged(world)
