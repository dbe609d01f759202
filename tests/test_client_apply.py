"""What comes from the server, taken into a client file, one message at a time."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import test_convergence as worlds_at_random
from client_files import check, client_file, contents, download, mirrors, pending, take, view
from worlds import LIBRARY, World

from replication.client.database import Database
from replication.client.records import BASE, BASE_PARTS
from replication.clock import time_from_ms
from replication.crdt import check as crdt_check
from replication.crdt import list as lists
from replication.crdt import object as obj
from replication.crdt.parts import part_name
from replication.errors import DecodeError
from replication.history.changeset import encode
from replication.model.encoding import pack
from replication.protocol.body import DeltaOp, EvictOp, SchemaOp, StateOp
from replication.protocol.messages import Ack, Download

LATE = time_from_ms(300_000_500_000)


def set_fields(db: Database, key: int = 1, **values: Any) -> int:
    """Write fields of a book, which is created if need be; the client version."""
    with db.write() as tx:
        edit = tx.edit("Book", key)
        if edit.fields() is None:
            edit.create()
        for name, value in values.items():
            edit.scope().set(name, value)
    return db.local.client_version


def insert(db: Database, at: int, values: list[int], key: int = 1) -> int:
    """Insert into a book's list; the client version."""
    with db.write() as tx:
        edit = tx.edit("Book", key)
        edit.scope().list_insert("notes", edit.editor((), "notes"), at, values)
    return db.local.client_version


def state_op(version: int, key: int = 1, time: int = 5, **values: Any) -> StateOp:
    head = [1, 1, [], {obj.REGISTER: [[time, 9, dict(sorted(values.items()))]]}]
    return StateOp("Book", key, version, pack(head), [])


def delta_op(version: int, key: int = 1, time: int = LATE, **values: Any) -> DeltaOp:
    delta = [0, 1, [], {obj.REGISTER: [[time, 9, dict(sorted(values.items()))]]}]
    return DeltaOp("Book", key, version, pack(delta))


def rewrite(db: Database, version: int, act: Callable[[Any], None]) -> list[Any]:
    """The rewrite of a pending changeset, without what ``act`` takes out of it."""
    changeset = pending(db, version)
    act(changeset)
    return [version, encode(changeset)]


def without_registers(changeset: Any) -> None:
    del changeset.objects[0].delta[3][obj.REGISTER]


# -- acknowledgements ------------------------------------------------------------------------
def test_an_acknowledgement_alone_changes_no_view() -> None:
    """CLIENT-13 CLIENT-2: what is acknowledged stays pending until a mark covers it."""
    db = client_file()
    version = set_fields(db, year=1)
    before = view(db)
    take(db, Ack(1, version, 5, [], []))
    check(db)
    assert view(db) == before
    assert db.pending
    assert db.synced.acknowledged == version
    take(db, download(5, mark=version))
    check(db)
    assert view(db) == before
    assert not db.pending


def test_a_rewrite_replaces_its_original_and_leaves_what_came_later() -> None:
    """CLIENT-13 UP-6: the view is computed again, writes made on top of it are kept."""
    db = client_file()
    take(db, download(3, state_op(3, title="old", year=1)))
    refused = set_fields(db, title="refused")
    set_fields(db, year=2)
    refusal = [refused, "Book", 1, ["title"], "wrong type", "title is no text"]
    take(db, Ack(1, refused, 4, [refusal], [rewrite(db, refused, without_registers)]))
    check(db)
    assert view(db) == {"title": "old", "year": 2}
    assert [list(item)[:6] for item in db.refusals()] == [refusal]


def test_a_refused_create_goes_with_all_that_hung_on_it() -> None:
    """CLIENT-13: an object whose every pending delta was refused is gone without a trace."""
    db = client_file()
    created = set_fields(db, title="a", year=1)
    refusal = [created, "Book", 1, [], "deleted", "Book 1 is deleted"]
    gone = rewrite(db, created, lambda changeset: changeset.objects.clear())
    take(db, Ack(1, created, 4, [refusal], [gone]))
    check(db)
    assert view(db) is None
    assert not db.pending
    with db.store.read() as reader:
        assert reader.get_object("Book", 1) is None


def test_refusals_are_kept_until_dismissed_and_told_once() -> None:
    """CLIENT-13 SESSION-4: told by the session that brings them, and there after reopening."""
    world = World(1)
    device = world.devices[0]
    told: list[Any] = []
    failures: list[Exception] = []
    device.db.on_callback_error = failures.append

    def fail(_refusals: list[Any]) -> None:
        raise ZeroDivisionError

    device.db.on_refused(fail)
    device.db.on_refused(told.extend)
    device.subscribe()
    set_fields(device.db, title="a", year=1)
    device.sync()
    set_fields(device.db, title="b", year="no number")
    set_fields(device.db, 2, year="no number either")
    while device.db.synced.acknowledged == device.db.synced.folded and device.inbox == []:
        device.step()  # the server has integrated it, its ACK is on its way
    device.cut()
    device.sync()
    assert [item[4] for item in told] == ["wrong type", "wrong type"]
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
    assert device.db.refusals() == told
    assert device.view() == {1: {"title": "b", "year": 1}, 2: {}} == world.view()
    device.cut()
    device.open()
    device.db.on_refused(told.extend)
    device.sync()
    assert device.db.refusals() == told
    assert len(told) == 2
    check(device.db)


# -- downloads -------------------------------------------------------------------------------
def test_folding_keeps_what_is_pending_beyond_the_mark() -> None:
    """CLIENT-11 DOWN-7: first folded up to the mark, then the operations, the rest on top."""
    db = client_file()
    first = set_fields(db, title="first", year=1)
    second = set_fields(db, title="second")
    take(db, Ack(1, second, 5, [], []))
    take(db, download(4, delta_op(4, year=7), mark=first))
    check(db)
    assert view(db) == {"title": "second", "year": 7}
    assert db.pending == {("Book", pack(1)): [second]}
    take(db, download(5, mark=second))
    check(db)
    assert view(db) == {"title": "second", "year": 7}
    assert db.pending == {}


@pytest.mark.parametrize("writing", [False, True], ids=["synced", "pending"])
def test_a_delta_the_object_has_reached_is_skipped(writing: bool) -> None:
    """CLIENT-12 DOWN-6: counters count once."""
    db = client_file()
    take(db, download(3, state_op(3, title="a")))
    if writing:
        set_fields(db, year=3)
    added = DeltaOp("Book", 1, 4, pack([0, 1, [], {obj.COUNTER: {"copies": 5}}]))
    take(db, download(4, added))
    take(db, download(5, added, DeltaOp(*added[:2], 3, added[3])))
    check(db)
    found = view(db)
    assert found is not None
    assert found["copies"] == 5


@pytest.mark.parametrize("writing", [False, True], ids=["synced", "pending"])
def test_deltas_that_follow_one_another_merge_as_one_by_one(writing: bool) -> None:
    """CLIENT-11 CLIENT-12 DOWN-6: those of one object together, but none it has reached."""

    def added(version: int, key: int = 1) -> DeltaOp:
        return DeltaOp("Book", key, version, pack([0, 1, [], {obj.COUNTER: {"copies": version}}]))

    operations = [added(4), added(5), delta_op(6, year=6), added(5), added(7), added(6, key=2),
                  added(8)]  # fmt: skip
    files = []
    for messages in ([operations], [[operation] for operation in operations]):
        db = client_file()
        take(db, download(4, state_op(4, title="a")))
        take(db, download(4, state_op(4, 2, title="b")))
        if writing:
            set_fields(db, year=3)
        for message in messages:
            take(db, download(9, *message))
        check(db)
        files.append(contents(db))
        found = view(db)
        assert found is not None
        assert found["copies"] == 5 + 7 + 8
    assert files[0] == files[1]


def test_an_eviction_leaves_what_is_pending() -> None:
    """CLIENT-1: what left the view is forgotten, not deleted; a state brings it back."""
    db = client_file()
    take(db, download(3, state_op(3, title="a")))
    version = set_fields(db, title="mine")
    take(db, download(4, EvictOp("Book", 1), EvictOp("Book", 99)))
    check(db)
    assert view(db) is None
    take(db, download(5, state_op(5, title="b", year=1)))
    check(db)
    assert view(db) == {"title": "mine", "year": 1}
    take(db, Ack(1, version, 6, [], []))
    take(db, download(6, EvictOp("Book", 1), mark=version))
    check(db)
    assert view(db) is None
    with db.store.read() as reader:
        assert reader.get_object("Book", 1) is None


def test_creating_what_left_the_view_is_blind() -> None:
    """CLIENT-4 EDIT-1: also where an edit of it is still pending."""
    db = client_file()
    take(db, download(3, state_op(3, title="a")))
    set_fields(db, year=2)
    take(db, download(4, EvictOp("Book", 1)))
    version = set_fields(db, title="new")
    assert pending(db, version).objects[0].blind
    check(db)
    assert view(db) == {"title": "new", "year": 2}


def test_a_received_stamp_moves_the_clock() -> None:
    """CLOCK-3: of deltas, states and parts; what is written then is later than what was seen."""
    for operation in (delta_op(4, title="x"), state_op(4, time=LATE, title="x")):
        db = client_file()
        take(db, download(3, state_op(3, title="a")))
        take(db, download(4, operation))
        assert db.local.received == LATE
        set_fields(db, title="mine")
        assert pending(db, db.local.client_version).time > LATE
        assert view(db) == {"title": "mine"}


# -- parts -----------------------------------------------------------------------------------
def test_parts_are_kept_one_by_one_and_come_back() -> None:
    """CLIENT-3: a pending edit copies the parts it changes; a refusal restores them."""
    source = client_file(ident=3)
    set_fields(source, title="long")
    insert(source, 0, list(range(700)))
    with source.store.read() as reader:
        row = reader.get_object("Book", 1)
        assert row is not None
        parts = [[part.name, 3, part.data] for part in reader.parts("Book", row.row)]
    assert len(parts) == 3
    db = client_file(ident=4)
    state = StateOp("Book", 1, 3, row.head, parts)
    take(db, download(3, state))
    before = contents(db)[-1]
    refused = insert(db, 700, [-1])
    with db.store.read() as reader:
        assert len(list(reader.records(BASE_PARTS))) == 1
    insert(db, 0, list(range(-300, 0)))
    check(db)
    assert view(db)["notes"] == [*range(-300, 0), *range(700), -1]  # type: ignore[index]
    # A new state while edits are pending; one part has not changed since the cursor.
    unchanged = [[name, 3, None if at == 1 else data] for at, (name, _, data) in enumerate(parts)]
    take(db, download(4, StateOp("Book", 1, 4, row.head, unchanged)))
    check(db)
    assert view(db)["notes"] == [*range(-300, 0), *range(700), -1]  # type: ignore[index]
    gone = [rewrite(db, refused + i, lambda changeset: changeset.objects.clear()) for i in range(2)]
    take(db, Ack(1, refused + 1, 5, [], gone))
    check(db)
    assert contents(db)[-1][-1] == before[-1]
    with db.store.read() as reader:
        assert not list(reader.records(BASE))
        assert not list(reader.records(BASE_PARTS))
    missing = [b"\x93" + pack([4, "notes"]) + pack([]) + pack(9), 3, None]
    with pytest.raises(DecodeError, match="comes without a part that is not here"):
        take(db, download(6, StateOp("Book", 1, 6, row.head, [*unchanged, missing])))


def test_a_view_may_be_spread_over_other_parts_than_its_base() -> None:
    """CLIENT-3: what a download spreads over new parts in the view alone is none of the base's."""
    source, db = client_file(ident=3), client_file(ident=4)
    set_fields(source, title="long")
    insert(source, 0, list(range(200)))
    with source.store.read() as reader:
        row = reader.get_object("Book", 1)
        assert row is not None
    take(db, download(3, StateOp("Book", 1, 3, row.head, [])))
    insert(db, 200, list(range(1000, 1100)))
    insert(source, 200, list(range(200, 500)))
    delta = pack(pending(source, source.local.client_version).objects[0].delta)
    take(db, download(4, DeltaOp("Book", 1, 4, delta)))
    check(db)
    take(db, download(5, EvictOp("Book", 1)))
    check(db)


def test_parts_of_what_is_replaced_go() -> None:
    """CLIENT-3: by a transaction that opens no list."""
    db = client_file()
    set_fields(db, title="a")
    with db.write() as tx:
        edit = tx.edit("Book", 1)
        edit.scope().create_embedded("home", edit.starting_length("home", now=0))
        rooms = edit.editor(("home",), "rooms")
        edit.scope(("home",)).list_insert("rooms", rooms, 0, list(range(300)))
    check(db)
    assert contents(db)[-1][-1]
    with db.write() as tx:
        edit = tx.edit("Book", 1)
        edit.scope().create_embedded("home", edit.starting_length("home", now=1))
        edit.forget_below(("home",))
    check(db)
    assert contents(db)[-1][-1] == []


@pytest.mark.parametrize("seed", range(40))
def test_the_view_is_base_and_pending_at_every_step(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLIENT-1 CLIENT-2 CLIENT-3 CLIENT-10 CLIENT-11 CLIENT-12 SUBST-3: with lists in small parts,
    after every event of a random world; a server that fails inside is seen here.
    """
    for module in (lists, crdt_check):
        monkeypatch.setattr(module, "LIST_PART_ELEMENTS_MAX", 3)
    operations = worlds_at_random.OPERATIONS
    more = [worlds_at_random._list] * 6 + [worlds_at_random._place] * 3
    monkeypatch.setattr(worlds_at_random, "OPERATIONS", [*more, *operations])
    monkeypatch.setattr(worlds_at_random, "KEYS", range(1, 3))
    r = random.Random(seed)
    failures: list[Exception] = []
    sizes: dict[str, Any] = {
        "bytes_target": r.choice([1, 300, 10**6]),
        "entries_max": r.choice([1, 3, 1000]),
    }
    world = World(r.randrange(1, 4), report=failures.append, **sizes)
    for device in world.devices:
        device.subscribe(r.choice(worlds_at_random.QUERIES[:2]))
    for _ in range(r.randrange(20, 60)):
        worlds_at_random.act(world, r)
        for device in world.devices:
            check(device.db)
        assert not failures
    worlds_at_random.check(world)


# -- malformed -------------------------------------------------------------------------------
def acks(db: Database, version: int) -> dict[str, Ack]:
    fine = rewrite(db, version, without_registers)
    foreign = pending(db, version)
    foreign.objects[0] = foreign.objects[0]._replace(key=77)
    record = [version, "Book", 1, [], "deleted", "gone"]
    return {
        "version": Ack(1, version + 1, 5, [], []),
        "rewrite of another": Ack(1, version, 5, [], [fine, [version - 1, fine[1]]]),
        "rewrite of a list": Ack(1, version, 5, [], [[[version], fine[1]]]),
        "rewrite that is short": Ack(1, version, 5, [], [fine[:1]]),
        "rewrite that is broken": Ack(1, version, 5, [record], [[version, fine[1][:-1]]]),
        "rewrite of something else": Ack(1, version, 5, [], [[version, encode(foreign)]]),
        "refusal that is short": Ack(1, version, 5, [record, record[:5]], [fine]),
        "refusal without reason": Ack(1, version, 5, [[*record[:4], 1, ""]], [fine]),
        "refusal of no key": Ack(1, version, 5, [[*record[:2], [], *record[3:]]], [fine]),
    }


def unchanged_by(db: Database, message: Ack | Download) -> None:
    """Taking it fails, and nothing of it stays."""
    before, held = contents(db), mirrors(db)
    with pytest.raises(DecodeError):
        take(db, message)
    assert contents(db) == before
    check(db)
    set_fields(db, 50)  # the index of pending deltas is read again
    check(db)
    assert contents(db) != before
    assert mirrors(db)[1] == held[1]


def test_a_malformed_ack_changes_nothing() -> None:
    """CLIENT-13: neither in the file nor in what memory mirrors of it."""
    db = client_file()
    version = set_fields(db, title="a", year=1)
    for name in acks(db, version):
        db = client_file()
        set_fields(db, title="a", year=1)
        unchanged_by(db, acks(db, version)[name])
    assert db.refusals() == []


def test_a_malformed_download_changes_nothing() -> None:
    """CLIENT-10: also where all operations but the last are fine, staged or not."""
    fine: list[Any] = [delta_op(4, title="x"), state_op(4, 2, title="y"), EvictOp("Book", 3)]
    head = pack([1, 1, [], {}])
    broken: list[Any] = [
        DeltaOp("Book", 1, 0, fine[0].delta),
        DeltaOp("Book", 1, 4, fine[0].delta[:-1]),
        DeltaOp("Book", 1.5, 4, fine[0].delta),  # type: ignore[arg-type]
        StateOp("Book", 1, 4, head, [[b"", 1, b"no chunk"]]),
        StateOp("Book", 1, 4, head + b"\0", []),
        StateOp("Book", 1, 4, head, [[pack(1), 1, None]]),
        StateOp("", 1, 4, head, []),
        EvictOp("Book", [1]),  # type: ignore[arg-type]
        SchemaOp({"Book": 1}),
    ]
    for operation in broken:
        for last in (True, False):
            if (
                not last
                and isinstance(operation, StateOp)
                and operation.parts[:1] == [[pack(1), 1, None]]
            ):
                continue  # whether a part is here shows when it is applied
            db = client_file()
            take(db, download(3, state_op(3, title="a"), state_op(3, 3, title="c")))
            set_fields(db, year=1)
            unchanged_by(db, download(4, *fine, operation, last=last))
    db = client_file()
    version = set_fields(db, year=1)
    unchanged_by(db, download(4, *fine, mark=version))  # not acknowledged yet
    db, good = client_file(), download(4, *fine)
    bad = Download(*[getattr(good, name) for name in Download.__slots__[:-1]], body=b"\x91\x90")
    unchanged_by(db, bad)


def test_staged_messages_take_effect_together() -> None:
    """CLIENT-10 DOWN-3 DOWN-5: over reopening the file; another download takes their place."""
    db = client_file()
    version = set_fields(db, 2, year=1)

    def staged(*operations: Any, query_version: int = 1, base: int = 9) -> Download:
        return download(
            0, *operations, last=False, query_version=query_version, base=base, position=b"p"
        )

    take(db, staged(state_op(3, 1, title="stale")))
    take(db, staged(state_op(3, 1, title="a"), base=10))
    assert db.synced.staged_count == 1
    take(
        db,
        staged(state_op(4, 2, title="b"), EvictOp("Book", 1), state_op(4, 3, title="z"), base=10),
    )
    assert view(db) is None
    check(db)
    db = Database(db.store, db.known_schema, wall_ms=db.wall_ms)
    assert db.synced.staged_position == b"p"
    changes: list[Any] = []
    db.objects("Book").observe(changes.append)
    take(db, download(12, state_op(12, 3, title="c"), query_version=1, base=10))
    check(db)
    assert len(changes) == 2, "the first result, and one change"
    assert [view(db, key) for key in (1, 2, 3)] == [
        None, {"title": "b", "year": 1}, {"title": "c"},
    ]  # fmt: skip
    assert db.synced.staged_count == 0
    assert db.synced.cursor == 12
    assert db.pending == {("Book", pack(2)): [version]}


SPREAD_HEAD = [1, 1, [], {obj.LIST: {"notes": [[], [[0, 0, 0]], 1]}}]
SPREAD_PART = [[[9, 1, 0, 5, 9, [1, 2]]], [], [], [], []]


def random_operations(rng: random.Random, *, deltas: bool) -> list[Any]:
    """States with and without parts, deltas, evictions and a schema, of few objects."""
    name = part_name((obj.LIST, "notes"), [], 0)
    out: list[Any] = []
    for version in range(2, rng.randint(3, 12)):
        key, choice = rng.randint(1, 3), rng.random()
        if choice < 0.6:
            out.append(state_op(version, key, time=rng.randint(1, 9), year=version))
        elif choice < 0.7:
            parts = [[name, version, pack(SPREAD_PART)]]
            out.append(StateOp("Book", key, version, pack(SPREAD_HEAD), parts))
        elif choice < 0.75:
            out.append(StateOp("Book", key, version, pack([2, 0, [], {}]), []))
        elif choice < 0.8:
            out.append(StateOp("Unheard", key, version, pack([1, 1, [], {}]), []))
        elif choice < 0.9:
            out.append(EvictOp("Book", key))
        elif choice < 0.95 and deltas:
            out.append(delta_op(version, key, time=20 + version, title="x"))
        else:
            out.append(SchemaOp(LIBRARY.to_packed()))
    return out


def test_what_is_staged_does_what_it_would_do_at_once() -> None:
    """CLIENT-10: however it is cut into messages, whatever is there and pending, and observed."""
    for seed in range(250):
        rng = random.Random(seed)
        operations = random_operations(rng, deltas=rng.random() < 0.5)
        try:
            hold_staged_against_whole(rng, operations)
        except BaseException as error:
            error.add_note(f"Random({seed})")
            raise


def hold_staged_against_whole(rng: random.Random, operations: list[Any]) -> None:
    cuts = sorted(rng.choices(range(len(operations) + 1), k=rng.randint(1, 3)))
    staged, whole = client_file(), client_file()
    there, mine = rng.random() < 0.4, rng.random() < 0.3
    for db in (staged, whole):
        if there:
            take(db, download(2, state_op(2, 2, time=3, title="there")))
        if mine:
            set_fields(db, 3, title="mine")
    if rng.random() < 0.5:
        staged.objects("Book").observe(lambda _change: None)
    shown = [view(staged, key) for key in (1, 2, 3)]
    for start, end in pairwise([0, *cuts]):
        take(staged, download(0, *operations[start:end], last=False, query_version=1, base=9))
        assert [view(staged, key) for key in (1, 2, 3)] == shown
        check(staged)
        if rng.random() < 0.2:
            staged = Database(staged.store, staged.known_schema, wall_ms=staged.wall_ms)
    take(staged, download(20, *operations[cuts[-1] :], query_version=1, base=9))
    take(whole, download(20, *operations, query_version=1))
    check(staged)
    with staged.integrating() as work:  # which tells how it came
        work.synced = work.synced._replace(progress=whole.synced.progress)
    assert sorted(map(repr, contents(staged))) == sorted(map(repr, contents(whole)))
    assert staged.local == whole.local
    keys = [sorted(db.objects("Book").keys()) for db in (staged, whole)]
    assert keys[0] == keys[1]


def test_a_staged_bootstrap_is_told_once_and_all_of_it() -> None:
    """CLIENT-10: live results get one change; without any, what is there is shown all the same."""
    db = client_file()
    changes: list[Any] = []
    observation = db.objects("Book").observe(changes.append)
    several = [state_op(3, key, title=str(key)) for key in range(5)]
    take(db, download(0, *several, last=False, query_version=1, base=9))
    take(db, download(9, query_version=1, base=9))
    assert len(changes) == 2
    assert changes[1].inserted == [0, 1, 2, 3, 4]
    observation.stop()
    again = client_file()
    assert again.get("Book", 1) is None
    take(again, download(0, *several, last=False, query_version=1, base=9))
    take(again, download(9, query_version=1, base=9))
    assert again.get("Book", 1).title == "1"
    assert [each.title for each in again.objects("Book")] == ["0", "1", "2", "3", "4"]


def test_a_malformed_message_stages_nothing() -> None:
    """CLIENT-10: not even what came before it in the same message."""
    db = client_file()
    take(db, download(0, state_op(3, 1, title="a"), last=False, query_version=1, base=9))
    good = [state_op(3, key, title="b") for key in range(1, 200)]
    bad = StateOp("Book", 900, 3, pack([1, 1, [], {obj.REGISTER: []}]), [])
    unchanged_by(db, download(0, *good, bad, last=False, query_version=1, base=9))
