"""Queryable fields: what may be configured and asked for, and changing that while serving."""

from __future__ import annotations

from typing import Any

import pytest
from client_files import check as check_file
from test_bootstrap import sent
from test_client_subscriptions import Tap, put
from test_convergence import check as check_converged
from worlds import LIBRARY, Device, World

from replication.client.subscription_set import SubscriptionState
from replication.errors import SchemaError
from replication.model.encoding import pack
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.protocol.body import StateOp
from replication.server.queryable import RESERVED, RESERVED_EXACTLY, UNCONFIGURED, Queryable
from replication.simulation.world import NAMESPACE

State = SubscriptionState
of = Property.of


def named(*everywhere: str, **classes: list[str]) -> Queryable:
    """A configuration."""
    return Queryable.from_json({"global": list(everywhere), "classes": classes})


# -- configurations --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (3, "not 3 (int)"),
        ({"fields": []}, "queryable fields are"),
        ({"global": "year"}, "global are a list of names, not 'year'"),
        ({"global": [3]}, "3 (int) is no name"),
        ({"global": [""]}, "needs a name"),
        ({"global": ["$x"]}, "is no property name"),
        ({"classes": []}, '"classes" is an object'),
        ({"classes": {"": ["x"]}}, "needs a name"),
        ({"classes": {"Book": ["Limit"]}}, "'Limit' means something in queries"),
        ({"legacy": 1}, '"legacy" true or false'),
        ({"global": [*"abcdef"], "classes": {"B": [*"abcde"]}, "legacy": True}, "11 queryable"),
    ],
)  # fmt: skip
def test_configurations_that_make_no_sense(found: Any, sentence: str) -> None:
    """QUERYABLE-2 QUERYABLE-5"""
    with pytest.raises(SchemaError) as caught:
        Queryable.from_json(found)
    assert sentence in str(caught.value)


def test_words_of_queries_are_reserved() -> None:
    """QUERYABLE-3: some in any case, some as they are written."""
    for word in RESERVED | RESERVED_EXACTLY:
        spellings = {word, word.upper(), word.title()} if word in RESERVED else {word}
        for spelled in spellings:
            with pytest.raises(SchemaError, match="means something in queries"):
                named(spelled)
    assert named("Any", "b64", "Uuid", "Oid", "limits").everywhere == {
        "Any", "b64", "Uuid", "Oid", "limits",
    }  # fmt: skip


def test_there_is_no_cap_but_the_legacy_one() -> None:
    """QUERYABLE-5: in which the primary key does not count."""
    many = [f"f{number}" for number in range(500)]
    assert len(named(*many).everywhere) == 500
    ten = {"global": ["_id", *many[:10]], "legacy": True}
    assert Queryable.from_json(ten).as_json() == {
        "global": sorted(many[:10]), "classes": {}, "legacy": True,
    }  # fmt: skip


def test_a_configuration_is_kept_as_it_is() -> None:
    one = named("year", Book=["title"], Pen=["ink", "nib"])
    assert Queryable.from_json(one.as_json()) == one
    assert Queryable.from_stored(pack(one.to_packed())) == one


WIDE = Schema(
    [
        ClassSchema(
            "Book",
            [
                of("year", "int"), of("marked", "int", queryable=True), of("tags", "list<string>"),
                of("ids", "set<objectId>"), of("home", "embedded:Place"),
                of("homes", "list<embedded:Place>"), of("extra", "dict<mixed>"),
                of("next", "link:Book"), of("prose", "text"),
            ],
            key="int",
        ),
        ClassSchema("Place", [of("city", "string")]),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "legacy", "taken"),
    [
        ("year", True, True),
        ("tags", True, True),
        ("ids", True, True),
        ("nobody", True, True),
        ("home", True, False),
        ("homes", True, False),
        ("extra", True, False),
        ("next", True, False),
        ("next", False, True),
        ("prose", True, False),
        ("prose", False, False),
    ],
)
def test_what_can_be_asked_for(name: str, legacy: bool, taken: bool) -> None:
    """QUERYABLE-2 QUERYABLE-5: named for a class an error, for all classes without effect."""
    single = Queryable(classes={"Book": frozenset({name})}, legacy=legacy)
    everywhere = Queryable(frozenset({name}), legacy=legacy)
    everywhere.check(WIDE)
    if taken:
        single.check(WIDE)
    else:
        with pytest.raises(SchemaError, match=f"Book.{name} can't be queryable: it is"):
            single.check(WIDE)
        for development in (False, True):
            reason = everywhere.refusal(WIDE["Book"][name], development=development)
            assert reason is not None
            assert "can't be queryable" in reason
    with pytest.raises(SchemaError, match="Place is embedded"):
        named(Place=["city"]).check(WIDE)


def test_the_schema_counts_where_nothing_is_configured() -> None:
    """QUERYABLE-1"""
    book = WIDE["Book"]
    assert UNCONFIGURED.refusal(book["marked"], development=False) is None
    refused = UNCONFIGURED.refusal(book["year"], development=False)
    assert refused == "Book.year is not queryable; the server's schema must say so"
    refused = named("year").refusal(book["marked"], development=False)
    assert refused == "Book.marked is not queryable; the server's configuration must say so"
    assert named("year").refusal(book["year"], development=False) is None
    assert named(Pen=["year"]).refusal(book["year"], development=False) is not None
    assert named(Pen=["year"]).refusal(book["year"], development=True) is None


# -- serving ---------------------------------------------------------------------------------------
def served(
    queryable: Queryable | None = None, *, devices: int = 2, books: int = 6, **options: Any
) -> World:
    """A server with a schema and books of the years 0, 1, 2, ..., written by its first device."""
    world = World(devices)
    world._options |= {
        "development": False,
        "schema": lambda _name: LIBRARY,
        "queryable": lambda _name: queryable,
        **options,
    }
    world.restart()
    writer = world.devices[0]
    writer.subscribe()
    for key in range(books):
        put(writer, key, title=f"t{key % 3}")
    writer.sync()
    return world


def told(device: Device) -> tuple[State, str]:
    latest = device.db.subscriptions.latest
    return latest.state, latest.message


def reconfigure(world: World, queryable: Queryable) -> None:
    world.host.set_queryable(NAMESPACE, queryable)
    world._options["queryable"] = lambda _name: None  # what the store knows outlives the process


def test_a_bad_query_names_field_and_reason() -> None:
    """QUERYABLE-1: the set before stays active."""
    world = served(named("year"))
    reader = world.devices[1]
    reader.subscribe("year > 2 AND _id < 100")
    reader.sync()
    assert told(reader) == (State.COMPLETE, "")
    reader.subscribe("year > 2 OR title == 't1'")
    reader.sync()
    reason = "Book.title is not queryable; the server's configuration must say so"
    assert told(reader) == (State.ERROR, reason)
    assert sorted(reader.view()) == [3, 4, 5]


@pytest.mark.parametrize("before", [None, "year < 2"])
@pytest.mark.parametrize("how", ["connected", "reconnecting", "reopening", "restarted"])
def test_a_field_is_added_while_serving(
    how: str, before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QUERYABLE-6 SUB-15 SUB-16: whoever could not have it gets it, and its application does
    nothing; nobody else notices."""
    world = served(named("year"), devices=3)
    writer, reader, other = world.devices
    for query in filter(None, [before, "title == 't1'"]):
        reader.subscribe(query)
        reader.sync()
    other.subscribe("title == 't2'")
    other.sync()
    other.subscribe("year > 3")  # another set took over what was refused
    other.sync()
    assert told(reader)[0] is State.ERROR
    if how in ("reconnecting", "reopening"):
        reader.cut()
    reconfigure(world, named("year", Book=["title"]))
    if how == "restarted":
        world.restart()
    if how == "reopening":
        reader.open()
    tap = Tap(other, monkeypatch)
    for device in world.devices:
        device.sync()
    assert told(reader) == (State.COMPLETE, "")
    assert sorted(reader.view()) == [1, 4]
    assert [type(each).__name__ for each in tap.received if "Mark" not in str(each)] == []
    assert (told(writer), told(other)) == ((State.COMPLETE, ""), (State.COMPLETE, ""))
    check_converged(world)


def test_a_set_is_asked_for_anew_behind_what_was_written_since() -> None:
    """SUB-15 SUB-3: like any other set; and refused once more, for another reason."""
    world = served(named("year"))
    _, reader = world.devices
    reader.subscribe("title == 't1' AND tags == 'a'")
    reader.sync()
    assert "Book.tags is not queryable" in told(reader)[1]
    reconfigure(world, named("year", "tags"))
    reader.sync()
    assert told(reader)[0] is State.ERROR
    put(reader, 9, title="t1")
    reconfigure(world, named("year", "tags", "title"))
    reader.sync()
    assert told(reader) == (State.COMPLETE, "")
    assert world.view()[9]["title"] == "t1"
    check_converged(world)


def test_a_set_that_was_refused_in_the_middle_of_its_bootstrap_is_asked_for_anew() -> None:
    """SUB-15: it goes on where it was."""
    world = served(named("year", "title"), books=12, bytes_target=1)
    _, reader = world.devices
    reader.subscribe("title >= 't0'")
    while reader.db.synced.staged_count < 4:
        reader.step()
    reconfigure(world, named("year"))
    reader.sync()
    assert told(reader)[0] is State.ERROR
    reconfigure(world, named("year", "title"))
    reader.sync()
    assert told(reader) == (State.COMPLETE, "")
    assert len(reader.view()) == 12
    check_converged(world)


@pytest.mark.parametrize("how", ["connected", "reconnecting", "restarted"])
def test_a_field_is_removed_while_serving(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """QUERYABLE-6 SUB-10: exactly the sessions that ask for it are told; nothing is lost, nobody
    is reset, and another set brings the difference.
    """
    world = served(named("year", "title"), devices=3)
    writer, reader, other = world.devices
    reader.subscribe("title == 't1'")
    other.subscribe("year < 3")
    for device in (reader, other):
        device.sync()
    if how == "reconnecting":
        reader.cut()
    reconfigure(world, named("year"))
    if how == "restarted":
        world.restart()
    tap = Tap(other, monkeypatch)
    for device in world.devices:
        device.sync()
    assert told(reader) == (
        State.ERROR,
        "Book.title is not queryable; the server's configuration must say so",
    )
    assert told(other) == (State.COMPLETE, "")
    assert [type(each).__name__ for each in tap.received if "Mark" not in str(each)] == []
    assert sorted(reader.view()) == [1, 4], "what is here stays"
    put(writer, 7, title="t1")
    writer.sync()
    put(reader, 1, title="written meanwhile")
    waited: list[int] = []
    assert reader.agent is not None
    reader.agent.barrier(lambda: waited.append(1))
    reader.sync()
    assert waited == [1], "nothing hangs"
    assert sorted(reader.view()) == [1, 4], "and nothing comes"
    assert world.view()[1]["title"] == "written meanwhile"
    check_file(reader.db)
    tap = Tap(reader, monkeypatch)
    reader.subscribe("year == 1 OR year == 2")
    reader.sync()
    assert told(reader) == (State.COMPLETE, "")
    assert sorted(sent(tap, StateOp)) == [1, 2], "one was written to"
    check_converged(world)


@pytest.mark.parametrize("reopening", [False, True])
def test_a_field_that_comes_back_serves_its_sets_again(reopening: bool) -> None:
    """QUERYABLE-6 SUB-10: with all that happened in between."""
    world = served(named("year", "title"))
    writer, reader = world.devices
    reader.subscribe("title == 't1'")
    reader.sync()
    reconfigure(world, named("year"))
    reader.sync()
    put(writer, 7, title="t1")
    put(writer, 4, title="t9")
    writer.sync()
    reader.sync()
    assert told(reader)[0] is State.ERROR
    if reopening:
        reader.cut()
        reader.open()
    reconfigure(world, named("year", "title"))
    reader.sync()
    assert told(reader) == (State.COMPLETE, "")
    assert sorted(reader.view()) == [1, 7]
    check_converged(world)


def test_a_field_is_removed_in_the_middle_of_a_bootstrap() -> None:
    """QUERYABLE-6 SUB-2: the set that asks for it is refused, the one before goes on."""
    world = served(named("year", "title"), books=12, bytes_target=1)
    writer, reader = world.devices
    reader.subscribe("year < 2")
    reader.sync()
    reader.subscribe("title >= 't0'")
    while reader.db.synced.staged_count < 4:
        reader.step()
    reconfigure(world, named("year"))
    put(writer, 1, title="anew")
    writer.sync()
    reader.sync()
    assert told(reader)[0] is State.ERROR
    assert reader.db.subscriptions.active.state is State.COMPLETE
    assert sorted(reader.view()) == [0, 1]
    assert reader.view()[1]["title"] == "anew"
    check_file(reader.db)


def test_a_configuration_outlives_the_server_and_needs_a_schema() -> None:
    world = served(named("year"))
    world._options["queryable"] = lambda _name: None
    world.restart()
    assert world.host.namespace(NAMESPACE).queryable == named("year")
    legacy = Queryable(classes={"Book": frozenset({"home"})}, legacy=True)
    with pytest.raises(SchemaError, match="home can't be queryable"):
        reconfigure(world, legacy)
    assert world.host.namespace(NAMESPACE).queryable == named("year")
    with pytest.raises(SchemaError, match="give the server one first"):
        served(named("year"), schema=lambda _name: None)


def test_development_mode_adds_what_is_asked_for() -> None:
    """QUERYABLE-4: which goes on to count without it."""
    world = served(None, development=True)
    reader = world.devices[1]
    reader.subscribe("anything == 3 AND year > 1")
    reader.sync()
    assert told(reader) == (State.COMPLETE, "")
    queryable = world.host.namespace(NAMESPACE).queryable
    assert queryable.as_json()["classes"] == {"Book": ["anything", "year"]}
    assert not queryable.exact
    world._options["development"] = False
    world.restart()
    reader.sync()
    assert told(reader) == (State.COMPLETE, "")
    reader.subscribe("anything == 3 AND title == 't'")
    reader.sync()
    assert told(reader) == (State.COMPLETE, ""), "as the schema says"


def test_development_mode_keeps_to_the_legacy_limit() -> None:
    """QUERYABLE-4 QUERYABLE-5"""
    legacy = Queryable(frozenset(f"f{number}" for number in range(9)), legacy=True)
    world = served(legacy, development=True)
    reader = world.devices[1]
    reader.subscribe("year == 1")
    reader.sync()
    assert told(reader) == (State.COMPLETE, "")
    reader.subscribe("title == 't1'")
    reader.sync()
    assert told(reader)[0] is State.ERROR
    assert "11 queryable fields, at most 10" in told(reader)[1]


def test_what_a_column_said_before_a_write_is_not_written_over_with_the_object() -> None:
    """DOWN-1: where a query asks for an embedded object itself, beside what is in it, too."""
    world = World(2)
    writer, reader = world.devices
    writer.subscribe()
    with writer.db.write():
        book = writer.db.create("Book", _id=1, home={"city": "Rome"})
    writer.sync()
    reader.subscribe("home != null AND home.city == 'Rome'")
    reader.sync()
    with world.store.read() as reading:
        assert "home" in reading.columns("Book")
    for city, seen in (("Bern", []), ("Rome", [1]), ("Bonn", [])):
        with writer.db.write():
            book["home"]["city"] = city
        writer.sync()
        reader.sync()
        assert sorted(reader.view()) == seen
    check_converged(world)
