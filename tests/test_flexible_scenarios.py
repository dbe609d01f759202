"""The anchor's shared scenarios of flexible sync and of migration, rebuilt.

The numbers are those of its catalogue, 248 to 300. What stands elsewhere: 250 in
`test_left_view.py`; 270 in `test_net_subscriptions.py`; 273, 286, 287 and 288 in
`test_partitions.py`; 282 in `test_bootstrap.py`; 289, 290 and schema versions, 294 to 300, in
`test_schema_scenarios.py`. 280 is of client resets, which come next. Partial sets in every order of
uploads: `scenarios/subscriptions.jsonl`.
"""

from __future__ import annotations

from typing import Any

import pytest
from client_files import check as check_file
from test_bootstrap import sent
from test_client_subscriptions import Tap, filled, put, states
from test_convergence import check as check_converged
from test_journal_refusals import desk, under_rules
from test_rules_roles import role, rules
from worlds import Device, World

from replication.client import apply as applying
from replication.client.subscription_set import SubscriptionState
from replication.errors import QueryError, StoreError
from replication.protocol.body import StateOp
from replication.protocol.messages import Download, Ident, Mark, Query, Upload
from replication.server.refusals import NOT_PERMITTED

State = SubscriptionState


def refusing(**options: Any) -> tuple[World, Device, Device]:
    """A world whose server refuses what its schema does not have."""
    world, writer, reader = filled(6)
    world._options |= {"development": False, **options}
    world.restart()
    return world, writer, reader


def ask(device: Device, *classes: str) -> None:
    """Commit a set of these classes."""
    with device.db.subscriptions.edit() as edit:
        edit.clear()
        for name in classes:
            edit.add(name)


def test_248_a_write_without_permission_is_taken_back() -> None:
    """RULES-WRITE-1 ACK-2: only it, the valid one of the same transaction stays; the application is
    told class, key and reason once the view is as before. No compensating write travels.
    """
    world, device = desk()
    held = {"read": True, "write": {"year": {"$lt": 100}}}
    under_rules(world, role("clerk", write=True, document_filters=held))
    told: list[Any] = []
    device.db.on_refused(lambda news: told.extend((news, device.view().keys())))
    with device.db.write() as tx:
        for key, year in ((50, 5), (51, 500)):
            edit = tx.edit("Book", key)
            edit.create()
            edit.scope().set("year", year)
    device.sync()
    assert device.view().keys() == world.view().keys() == {*range(6), 50}
    (news, seen) = told
    assert [(each.class_name, each.key, each.reason) for each in news] == [
        ("Book", 51, NOT_PERMITTED)
    ]
    assert seen == {*range(6), 50}
    check_converged(world)


def test_249_what_is_taken_back_inside_of_an_embedded_object() -> None:
    """RULES-WRITE-2: ours judges the part: the title that was written with it stays."""
    world, device = desk()
    with device.db.write():
        device.db.create("Book", _id=50, title="foo", home={"city": "bar"})
    device.sync()
    allowed = {"home": {"read": True}, "title": {"read": True, "write": True}}
    under_rules(world, role("clerk", fields=allowed))
    with device.db.write():
        book = device.db.get("Book", 50)
        book["home"]["city"], book["title"] = "bizz", "food"
    assert device.db.get("Book", 50)["home"]["city"] == "bizz"
    device.sync()
    assert [each.path for each in device.db.refusals()] == [["home"]]
    assert device.view()[50] == world.view()[50]
    book = device.db.get("Book", 50)
    assert (book["home"]["city"], book["title"]) == ("bar", "food")
    under_rules(world, role("everybody"))
    with device.db.write():
        book["home"]["city"] = "baz"
    device.sync()
    assert len(device.db.refusals()) == 1
    assert book["home"]["city"] == "baz"
    check_converged(world)


def test_254_a_good_set_after_a_bad_one() -> None:
    """SUB-2"""
    world, _, reader = refusing()
    ask(reader, "Pen")
    reader.sync()
    assert states(reader) == [(1, State.ERROR)]
    assert reader.db.subscriptions.active.version == 0
    ask(reader, "Book")
    reader.sync()
    assert states(reader) == [(2, State.COMPLETE)]
    assert reader.db.subscriptions.active.version == 2
    check_converged(world)


def test_255_two_bad_sets_committed_offline() -> None:
    """SUB-2"""
    _, _, reader = refusing()
    ask(reader, "Pen")
    ask(reader, "Ink")
    reader.sync()
    assert states(reader) == [(1, State.ERROR), (2, State.ERROR)]
    assert reader.db.subscriptions.active.version == 0
    assert reader.db.subscriptions.latest.version == 2
    assert "Ink" in reader.db.subscriptions.latest.message


def test_a_set_with_a_class_that_the_server_does_not_have() -> None:
    """SUB-14: refused whole, as 226 of the anchor; the message says which and what to do."""
    world, writer, reader = refusing()
    ask(reader, "Book")
    reader.sync()
    ask(reader, "Pen", "Book", "Ink")
    reader.sync()
    assert states(reader) == [(1, State.COMPLETE), (2, State.ERROR)]
    message = reader.db.subscriptions.latest.message
    assert "has no class Ink, Pen: edit the set" in message
    assert message.endswith("(`replication serve --schema`, or development mode), "
                            "and the set is served")  # fmt: skip
    put(writer, 1, title="still served")
    writer.sync()
    reader.sync()
    assert reader.view()[1]["title"] == "still served"
    world._options["development"] = True
    world.restart()
    for device in (writer, reader):
        device.sync()
    assert states(reader) == [(2, State.COMPLETE)], "SUB-16: nobody has to ask again"
    check_converged(world)


def test_more_unknown_classes_than_an_error_names() -> None:
    """SUB-14"""
    _, _, reader = refusing()
    ask(reader, *(f"Pen{number}" for number in range(8)))
    reader.sync()
    assert "Pen0, Pen1, Pen2, Pen3, Pen4 and 3 more:" in reader.db.subscriptions.latest.message


def test_256_waiting_for_downloads_ends_while_a_set_is_refused() -> None:
    """SUB-2 SESSION-3"""
    _, _, reader = refusing()
    reader.connect()
    ask(reader, "Pen")
    done: list[int] = []
    assert reader.agent is not None
    reader.agent.barrier(lambda: done.append(1))
    reader.sync()
    assert done == [1]
    reader.cut()
    reader.open()
    assert "the server's schema has no class Pen" in reader.db.subscriptions.latest.message


def test_260_a_bootstrap_whose_application_fails_is_finished_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BOOT-5: what was staged is still there."""
    world, _, reader = filled(6, bytes_target=1)
    reader.subscribe()
    operate = applying._operate

    def failing(*arguments: Any) -> Any:
        raise StoreError("the disk is full")

    monkeypatch.setattr(applying, "_operate", failing)
    reader.connect()
    with pytest.raises(StoreError):
        reader.sync()
    assert reader.view() == {}
    staged = reader.db.synced.staged_count
    assert staged == 5
    check_file(reader.db)
    monkeypatch.setattr(applying, "_operate", operate)
    tap = Tap(reader, monkeypatch)
    reader.cut()
    reader.open()
    reader.sync()
    assert sent(tap, StateOp) == [5]
    assert len(reader.view()) == 6
    check_converged(world)


def test_261_a_commit_during_a_bootstrap_lands_on_top_of_all_of_it() -> None:
    """BOOT-5"""
    world, _, reader = filled(6, bytes_target=1)
    reader.subscribe()
    reader.connect()
    shown = set()
    while reader.db.subscriptions.latest.state is not State.COMPLETE:
        if reader.db.synced.staged_count == 3 and not reader.db.pending:
            put(reader, 5, title="mine")
        reader.step()
        shown.add(len(reader.view()))
    assert shown <= {0, 1, 6}
    reader.sync()
    assert world.view()[5]["title"] == "mine"
    assert world.view()[5]["year"] == 5
    check_converged(world)


def test_262_uploads_and_bootstraps_do_not_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BOOT-5 SUB-3: where the anchor held uploads back, ours go behind the QUERY."""
    world, _, reader = filled(6, bytes_target=1)
    tap = Tap(reader, monkeypatch)
    put(reader, 20, title="before")
    reader.subscribe()
    put(reader, 21, title="after")
    reader.connect()
    while reader.db.synced.staged_count < 2:
        reader.step()
    assert reader.view().keys() == {20, 21}
    kinds = [type(each) for each in tap.sent if isinstance(each, Upload | Query)]
    assert kinds == [Upload, Query, Upload]
    reader.sync()
    check_converged(world)


@pytest.mark.parametrize("reopening", [False, True])
def test_263_what_is_here_awaits_its_mark(reopening: bool) -> None:
    """SUB-8: over a cut in between."""
    _, _, reader = filled(6)
    reader.subscribe()
    reader.connect()
    while reader.db.subscriptions.latest.state is not State.AWAITING_MARK:
        reader.step()
    assert len(reader.view()) == 6
    reader.cut()
    if reopening:
        reader.open()
    assert states(reader) == [(1, State.AWAITING_MARK)]
    reader.sync()
    assert states(reader) == [(1, State.COMPLETE)]


def test_267_the_schema_goes_before_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """SUB-3: so that a set of a class that nobody has heard of yet can be served."""
    world = World(1)
    (device,) = world.devices
    tap = Tap(device, monkeypatch)
    device.subscribe("year > 3")
    device.sync()
    assert [type(each) for each in tap.sent if isinstance(each, Upload | Query)] == [Upload, Query]
    assert states(device) == [(1, State.COMPLETE)]


def test_268_a_set_outlives_its_file_and_brings_nothing_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SUB-2"""
    world, _, reader = filled(6)
    reader.subscribe("year > 2")
    reader.sync()
    reader.cut()
    reader.open()
    tap = Tap(reader, monkeypatch)
    reader.sync()
    assert tap.queries() == []
    assert sent(tap, StateOp) == []
    assert states(reader) == [(1, State.COMPLETE)]
    check_converged(world)


def test_269_sets_that_were_not_served_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """SUB-3: all of them, in order; the last one counts."""
    world, _, reader = filled(6)
    reader.subscribe("year > 2")
    reader.subscribe("year > 3")
    tap = Tap(reader, monkeypatch)
    reader.connect()
    reader.deliver()
    reader.cut()
    reader.open()
    reader.sync()
    assert [each.query_version for each in tap.queries()][-2:] == [1, 2]
    assert states(reader) == [(2, State.COMPLETE)]
    assert sorted(reader.view()) == [4, 5]
    check_converged(world)


def test_271_connections_that_come_and_go_before_the_first_set() -> None:
    """SUB-2"""
    world, _, reader = filled(6)
    for steps in range(6):
        reader.connect()
        for _ in range(steps):
            reader.step()
        reader.cut()
    assert reader.db.subscriptions.latest.state is State.COMPLETE
    reader.subscribe()
    reader.sync()
    assert len(reader.view()) == 6
    check_converged(world)


@pytest.mark.parametrize("size", [1, 10**6], ids=["alone", "together"])
def test_an_object_created_blindly_that_a_new_set_brings_is_merged(size: int) -> None:
    """BOOT-5: the anchor drops the local creation in silence; ours is a create/create merge, and
    both sides end with it.
    """
    world, writer, reader = filled(3, bytes_target=size)
    reader.subscribe("year == 2")
    reader.sync()
    reader.cut()
    world.ms += 1000
    reader.subscribe("year == 2 OR year == 1")
    put(reader, 1, title="mine")
    put(writer, 1, title="theirs")
    writer.sync()
    reader.sync()
    assert reader.db.refusals() == []
    assert reader.view()[1]["title"] == world.view()[1]["title"]
    assert reader.view()[1]["year"] == 1
    check_file(reader.db)
    check_converged(world)


def test_a_set_is_marked_once_for_each_time_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """SUB-8"""
    _, _, reader = filled(3)
    tap = Tap(reader, monkeypatch)
    reader.subscribe()
    reader.sync()
    assert len([each for each in tap.sent if isinstance(each, Mark)]) == 1
    assert len([each for each in tap.received if isinstance(each, Download)]) == 1


#: Points, some of which are none: longitude and latitude.
PLACES: dict[int, Any] = {
    0: [10.0, 10.0], 1: [10.5, 10.5], 2: [12.0, 10.0], 3: [-170.0, 89.0], 4: [20.0, 89.5],
    5: [10.0], 6: "nowhere", 7: [500.0, 10.0], 8: None,
}  # fmt: skip
REGIONS = {
    "anything geoWithin geoBox([9, 9], [11, 11])": {0, 1},
    "anything geoWithin geoCircle([10, 10], 0.015)": {0, 1},
    "anything geoWithin geoPolygon({[9, 9], [13, 9], [13, 11], [9, 11], [9, 9]})": {0, 1, 2},
    "anything geoWithin geoCircle([0, 90], 0.02)": {3, 4},
    "NOT anything geoWithin geoBox([9, 9], [11, 11])": {2, 3, 4, 5, 6, 7, 8},
}


@pytest.mark.parametrize("region", REGIONS)
def test_274_regions_are_the_same_here_and_there(region: str) -> None:
    """QUERY-110: what is no point is in no region. The anchor takes such values back; ours are data
    of a mixed property like any other.
    """
    world = World(2)
    writer, reader = world.devices
    writer.subscribe()
    with writer.db.write():
        for key, place in PLACES.items():
            point = {"type": "Point", "coordinates": place} if type(place) is list else place
            writer.db.create("Book", _id=key, anything=point)
    writer.sync()
    reader.subscribe(region)
    reader.sync()
    assert set(reader.view()) == REGIONS[region]
    assert {each["_id"] for each in writer.db.objects("Book", region)} == REGIONS[region]
    with writer.db.write():
        writer.db.get("Book", 0)["anything"] = {"type": "Point", "coordinates": [0.0, 0.0]}
        writer.db.get("Book", 8)["anything"] = {"type": "Point", "coordinates": [10.0, 10.0]}
    writer.sync()
    reader.sync()
    check_converged(world)
    assert set(reader.view()) == {each["_id"] for each in writer.db.objects("Book", region)}


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("geoPolygon({[0, 0], [1, 1], [0, 0]})", "polygon|corners|ring"),
        ("geoPolygon({[0, 0], [1, 0], [1, 1], [0, 1]})", "ends|ring|closed"),
        ("geoBox([200, 0], [1, 1])", "200|longitude"),
        ("geoCircle([0, 0], -1)", "-1|radius"),
    ],
)
def test_274_regions_that_are_none(region: str, words: str) -> None:
    """QUERY-110: they never get as far as into a set."""
    _, _, reader = filled(1)
    with (
        pytest.raises(QueryError, match=words),
        reader.db.subscriptions.edit() as edit,
    ):
        edit.add("Book", f"anything geoWithin {region}")
    assert reader.db.subscriptions.latest.version == 0


def test_279_roles_that_change_at_any_moment_of_a_bootstrap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RULES-CHANGE-1: the rows are those of the new role. The anchor ends the session and begins
    the bootstrap again; ours goes on in the one there is.
    """
    low = role("low", document_filters={"read": {"year": {"$lt": 3}}, "write": False})
    high = role("high", document_filters={"read": {"year": {"$gt": 1}}, "write": False})
    at = 0
    while True:
        held = [rules(role("everybody"))]
        world, _, reader = filled(6, rules=lambda _name, held=held: held[0], bytes_target=1)
        held[:] = [rules(low)]
        world.host.rules_changed()
        reader.subscribe()
        reader.connect()
        tap = Tap(reader, monkeypatch)
        steps = sum(1 for _ in range(at) if reader.step())
        held[:] = [rules(high)]
        world.host.rules_changed()
        reader.sync()
        assert sorted(reader.view()) == [2, 3, 4, 5], at
        assert states(reader) == [(1, State.COMPLETE)]
        assert len([each for each in tap.sent if isinstance(each, Ident)]) <= 1
        check_file(reader.db)
        if steps < at:
            return
        at += 1
