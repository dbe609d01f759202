"""Transactions near the limit: what is committed can be uploaded, whatever becomes of its ids."""

from __future__ import annotations

from random import Random

import pytest
from client_files import WALL_MS, client_file, download, take
from test_forget import forgotten, rebased, wander, world
from worlds import LIBRARY

from replication.client import room
from replication.client.database import Database
from replication.client.restamp import adopt
from replication.client.room import longest
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState
from replication.crdt.substitute import Substitution
from replication.crdt.view import query_values
from replication.errors import LimitExceededError
from replication.history import changeset as changesets
from replication.history.changeset import Changeset, ObjectDelta, encode_unbounded
from replication.limits import CHANGESET_BYTES_MAX, IDENT_MAX
from replication.protocol.body import ForgetOp
from replication.storage.memory import MemoryStore

LIMIT = 6000


@pytest.fixture
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (room, changesets):
        monkeypatch.setattr(module, "CHANGESET_BYTES_MAX", LIMIT)


def insert(db: Database, count: int, *, at_start: bool = True) -> None:
    """One transaction: elements one by one, each a run of its own, or one long run."""
    with db.write() as transaction:
        edit = transaction.edit("Book", 1)
        if not edit.view[0] % 2:
            edit.create()
        scope = edit.scope()
        editor = edit.editor((), "notes")
        for number in range(count):
            scope.list_insert("notes", editor, 0 if at_start else len(editor), [number])


def as_many_as_fit(db: Database) -> int:
    """Larger and larger transactions, up to the first that is refused."""
    for count in range(10, 400, 10):
        try:
            insert(db, count, at_start=count % 20 == 0)
        except LimitExceededError:
            return count - 10
    raise AssertionError("no transaction was too large")


def renamed(delta: ObjectState, ident: int) -> ObjectState:
    return Substitution(
        lambda time, origin: (time, origin and ident), lambda owner, sequence: (ident, sequence)
    ).object(clone(delta))


def size(delta: ObjectState, horizon: int = 0) -> int:
    return len(encode_unbounded(Changeset(1, 0, [ObjectDelta("Book", 1, delta)], horizon=horizon)))


@pytest.mark.usefixtures("_little_room")
def test_a_transaction_that_a_new_ident_would_make_too_large_is_refused_at_once() -> None:
    """[CHG-14] It used to be committed, and the session that gave the ident could not go on."""
    db = Database(MemoryStore(query_values), LIBRARY, wall_ms=lambda: WALL_MS)
    fits = as_many_as_fit(db)
    with db.integrating() as work:
        adopt(work, IDENT_MAX, 7)
    with db.integrating() as work:  # and again, as a copy of a file that was copied
        adopt(work, IDENT_MAX - 1, 7)
    insert(db, fits // 2)


@pytest.mark.usefixtures("_little_room")
def test_a_transaction_that_is_re_based_still_fits() -> None:
    """[CHG-14] It says on which horizon it fits now, and its places have longer links."""
    db = client_file(ident=IDENT_MAX - 5)
    as_many_as_fit(db)
    for length in range(LIMIT - 100, LIMIT):
        try:
            with db.write() as transaction:
                transaction.edit("Book", 1).scope().set("title", "x" * length)
        except LimitExceededError:
            break
    else:
        raise AssertionError("no text was too long")
    take(db, download(2**40, ForgetOp(2**40 - 1)))
    assert db.synced.horizon == 2**40 - 1


def test_much_of_what_has_no_ids_fits_as_before() -> None:
    """One long string or very many of them cost next to nothing more."""
    delta = [1, 1, [], {0: [[5, 2, {"title": "x" * 1000, **{f"f{n}": n for n in range(50)}}]]}]
    assert longest(Changeset(1, 0, [ObjectDelta("Book", 1, delta)])) < size(delta) + 50


@pytest.mark.parametrize("seed", range(60))
def test_nothing_gets_longer_than_was_reckoned_with(seed: int) -> None:
    """[CHG-14] And nothing grows so much that it would have had to be looked at."""
    rng = Random(seed)
    devices = world(rng, turns=6)
    for device in devices:
        device.read(devices[0])
    state, device = clone(devices[1].state), devices[1]
    deltas = [device.write(wander(rng)) for _ in range(5)]
    most = [longest(Changeset(1, 0, [ObjectDelta("Book", 1, clone(each))])) for each in deltas]
    for ident in (9, 2**20, IDENT_MAX):
        for at, delta in enumerate(deltas):
            assert size(renamed(delta, ident)) <= most[at] < room._GROWTH_MAX * size(delta) + 200
        out, _ = rebased(
            [renamed(each, ident) for each in deltas],
            renamed(state, ident),
            forgotten(renamed(state, ident)),
        )
        assert all(size(fit, 2**60) <= held for fit, held in zip(out, most, strict=True))


def test_the_limit_is_looked_at_only_where_it_may_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "longest", lambda _changeset: CHANGESET_BYTES_MAX + 1)
    empty = Changeset(1, 0, [])
    room.check_room(empty, CHANGESET_BYTES_MAX // 16)
    with pytest.raises(LimitExceededError, match="may become"):
        room.check_room(empty, CHANGESET_BYTES_MAX // 16 + 1)
