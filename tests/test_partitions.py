"""Partitions: opened by value, beside subscriptions, turned into them and back."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson.objectid import ObjectId
from client_files import check as check_file
from test_bootstrap import sent
from test_client_subscriptions import Tap

from replication.client.database import Database
from replication.client.partition import UNPARTITIONED
from replication.client.subscription_set import SubscriptionState
from replication.crdt.view import query_values
from replication.errors import ErrorCode, SchemaError, SessionError, UsageError, WrongTypeError
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.net.local import open_database
from replication.protocol.body import StateOp
from replication.protocol.partitions import partition_query
from replication.rules.read import read_rules
from replication.rules.roles import OPEN, Rules
from replication.server.partitions import Partitions
from replication.simulation.world import NAMESPACE, Device, Server
from replication.storage.memory import MemoryStore

of = Property.of
State = SubscriptionState
BOOK = ClassSchema("Book", [of("title", "string"), of("next", "link:Book")], key="int")
#: What clients declare: they need not know the key.
APP = Schema([BOOK])
OWNED = Schema([ClassSchema("Book", [of("title", "string"), of("owner", "string?")], key="int")])


class World(Server):
    """A server that cuts its books by owner."""

    def __init__(self, served: str = "both", rules: Rules = OPEN, **options: Any) -> None:
        self.ms = 400_000_000_000
        rng = random.Random(7)
        self.rules = rules
        self.cut = Partitions.from_json(
            {"key": "owner", "type": "string", "served": served, **options}
        )
        super().__init__(
            MemoryStore(query_values),
            wall_ms=lambda: self.ms,
            entropy=lambda: rng.getrandbits(63),
            partitions=lambda _name: self.cut,
            rules=lambda _name: self.rules,
        )

    def device(
        self,
        partition: Any = UNPARTITIONED,
        schema: Schema | None = APP,
        store: Any = None,
    ) -> Phone:
        """A device, new or on a store that is there."""
        return Phone(self, partition, schema, store or MemoryStore(query_values))

    def serve(self, served: str) -> None:
        """Serve partitions differently from now on."""
        self.cut = Partitions.from_json({"key": "owner", "type": "string", "served": served})
        self.host.set_partitions(NAMESPACE, self.cut)

    def owners(self) -> dict[int, Any]:
        """Whose each book is."""
        with self.store.read() as reader:
            return {item.key: query_values(item.head).get("owner") for item in reader.scan("Book")}


class Phone(Device):
    """A device of one partition, or of none."""

    def __init__(self, world: World, partition: Any, schema: Schema | None, store: Any) -> None:
        self.store = store
        db = Database(store, schema, wall_ms=lambda: world.ms, partition=partition)
        super().__init__(world, db, "ann")

    def books(self) -> list[int]:
        """The books that it shows."""
        return sorted(book.to_dict()["_id"] for book in self.db.objects("Book"))


def put(device: Phone, key: int, title: str) -> None:
    """Write a book."""
    with device.db.write() as tx:
        edit = tx.edit("Book", key)
        if edit.fields() is None:
            edit.create()
        edit.scope().set("title", title)


def meet(*devices: Phone) -> None:
    """Everybody exchanges everything."""
    for _ in range(4):
        for device in devices:
            device.sync()


# -- configurations --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "not []"),
        ({"key": 3, "type": "int"}, 'partitions are {"key": NAME'),
        ({"key": "a", "type": "int", "more": 1}, 'partitions are {"key": NAME'),
        ({"key": "_id", "type": "int"}, "is the primary key"),
        ({"key": "", "type": "int"}, "needs a name"),
        ({"key": "a", "type": "bool"}, "it is one of int, string, objectId, uuid"),
        ({"key": "a", "type": "int", "required": 1}, '"required" is true or false'),
        ({"key": "a", "type": "int", "served": "no"}, '"served" one of both'),
    ],
)
def test_configurations_that_make_no_sense(found: Any, sentence: str) -> None:
    """PART-1"""
    with pytest.raises(SchemaError) as caught:
        Partitions.from_json(found)
    assert sentence in str(caught.value)


VALUES: dict[str, Any] = {
    "string": "red",
    "int": 7,
    "objectId": ObjectId("507f1f77bcf86cd799439011"),
    "uuid": uuid.UUID(int=5),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("required", [False, True])
def test_values_of_each_type(kind: str, required: bool) -> None:
    """PART-2: the right one opens a partition, another is an error that names both types."""
    cut = Partitions.from_json({"key": "owner", "type": kind, "required": required})
    for other, value in VALUES.items():
        if other == kind:
            assert cut.open(value).query == partition_query("owner", value)
            continue
        with pytest.raises(SessionError, match=f"of type {kind}, found {other}") as caught:
            cut.open(value)
        assert caught.value.code is ErrorCode.BAD_PARTITION
    if required:
        with pytest.raises(SessionError, match=f"of type {kind}, found null"):
            cut.open(None)
    else:
        assert cut.open(None).query == "owner == null"
    assert Partitions.from_json({"key": "a", "type": "long"}).type == "int"


# -- partitions ------------------------------------------------------------------------------------
def test_each_holds_its_own_and_everybody_else_what_they_ask_for() -> None:
    """PART-3 PART-4: the key is added to what is created without, and to classes without it."""
    world = World()
    red, blue, nobody = world.device("red"), world.device("blue"), world.device(None)
    flexible = world.device(schema=OWNED)
    with flexible.db.subscriptions.edit() as edit:
        edit.add("Book", "title != 'b1'")
    put(red, 1, title="r1")
    put(blue, 2, title="b1")
    put(nobody, 3, title="n1")
    with flexible.db.write():
        flexible.db.create("Book", _id=4, title="f", owner="red")
        flexible.db.create("Book", _id=5, title="f")
    meet(red, blue, nobody, flexible)
    assert world.owners() == {1: "red", 2: "blue", 3: None, 4: "red", 5: None}
    assert (red.books(), blue.books(), nobody.books()) == ([1, 4], [2], [3, 5])
    assert flexible.books() == [1, 3, 4, 5]
    assert flexible.db.objects("Book", "owner == 'red'").count() == 2
    for device in (red, blue, nobody, flexible):
        assert device.db.refusals() == []
        check_file(device.db)
    with flexible.db.write():
        flexible.db.get("Book", 4)["owner"] = "blue"
    meet(flexible, red, blue)
    assert (red.books(), blue.books()) == ([1], [2, 4])


def test_what_is_in_another_partition_can_not_be_written_to() -> None:
    """PART-5: nor be brought there, nor taken over by a blind creation; the rest counts."""
    world = World()
    red, blue, nobody = world.device("red", OWNED), world.device("blue"), world.device(None)
    put(blue, 2, title="b1")
    put(blue, 4, title="b4")
    put(nobody, 5, title="n5")
    meet(red, blue, nobody)
    world.ms += 1000
    with red.db.write():
        red.db.create("Book", _id=1, title="r1", owner="red")
        red.db.create("Book", _id=2, title="mine")
        red.db.create("Book", _id=3, title="theirs", owner="blue")
        red.db.create("Book", _id=4, title="mine", owner="red")
        red.db.create("Book", _id=5, title="mine")
    meet(red, blue)
    with red.db.write():
        red.db.get("Book", 1)["owner"] = "blue"
    meet(red, blue)
    assert world.owners() == {1: "red", 2: "blue", 4: "blue", 5: None}
    assert blue.db.get("Book", 2)["title"] == "b1"
    refused = [(each[2], each[4], each[5]) for each in red.db.refusals()]
    assert [key for key, *_ in refused] == [2, 3, 4, 5, 1]
    assert {reason for _, reason, _ in refused} == {"outside of the partition"}
    assert "has owner 'blue' (string), but the partition is 'red' (string)" in refused[1][2]
    assert red.books() == [1]
    assert red.db.get("Book", 1)["owner"] == "red"
    check_file(red.db)


def test_links_end_at_the_partition() -> None:
    """PART-3"""
    world = World()
    red, blue = world.device("red"), world.device("blue")
    flexible = world.device()
    with flexible.db.subscriptions.edit() as edit:
        edit.add("Book")
    put(red, 1, title="r")
    put(blue, 2, title="b")
    meet(red, blue, flexible)
    with flexible.db.write():
        flexible.db.get("Book", 1)["next"] = flexible.db.get("Book", 2)
    meet(flexible, red)
    assert flexible.db.get("Book", 1)["next"] is not None
    assert red.db.get("Book", 1)["next"] is None


@pytest.mark.parametrize(
    ("served", "partition", "sentence"),
    [
        ("both", 3, "expected a partition of type string, found int 3"),
        ("partitions", UNPARTITIONED, "this data set is served by partition"),
    ],
)
def test_sessions_that_are_not_let_in(served: str, partition: Any, sentence: str) -> None:
    """PART-2"""
    world = World(served)
    device = world.device(partition)
    device.connect()
    agent = device.agent
    assert agent is not None
    for _ in range(20):
        if device.agent is not None:
            device.step()
    assert agent.ended is not None
    assert agent.ended[0] is ErrorCode.BAD_PARTITION
    assert sentence in agent.ended[1]


def test_a_data_set_without_partitions_has_none() -> None:
    """PART-2"""
    world = World()
    world._options["partitions"] = lambda _name: None
    world.store = MemoryStore(query_values)
    world.start()
    device = world.device("red")
    device.connect()
    agent = device.agent
    for _ in range(20):
        if device.agent is not None:
            device.step()
    assert agent is not None
    assert agent.ended is not None
    assert "has no partitions" in agent.ended[1]


def test_a_class_that_comes_with_the_key_of_another_type() -> None:
    """PART-1: is told, and disturbs nobody else."""
    world = World()
    red = world.device("red")
    put(red, 1, title="r")
    odd = world.device(
        schema=Schema([ClassSchema("Pen", [of("owner", "int", queryable=True)], key="int")])
    )
    meet(red, odd)
    assert [each[4] for each in odd.db.refusals()] == ["schema"]
    assert "the partition key is string" in odd.db.refusals()[0][5]
    assert red.books() == [1]
    with pytest.raises(SchemaError, match="the partition key is int"):
        world.host.set_partitions(NAMESPACE, Partitions("title", "int"))


def test_partitions_outlive_the_server() -> None:
    world = World()
    red = world.device("red")
    put(red, 1, title="r")
    meet(red)
    world._options["partitions"] = lambda _name: None
    red.cut()
    world.start()
    assert world.host.namespace(NAMESPACE).partitions == world.cut
    put(red, 2, title="r")
    meet(red)
    assert world.owners() == {1: "red", 2: "red"}


# -- files -----------------------------------------------------------------------------------------
def test_a_file_is_of_one_partition(tmp_path: Path) -> None:
    """PART-3: and the set is not the app's."""
    path = tmp_path / "red.db"
    with open_database(path, APP, partition="red") as db:
        with pytest.raises(UsageError, match="opened with a partition"), db.subscriptions.edit():
            pass
        with db.write():
            db.create("Book", _id=1)
    for other in ("blue", None, 3):
        with pytest.raises(UsageError, match="this file holds the partition 'red'"):
            open_database(path, APP, partition=other)
    with pytest.raises(UsageError, match="holds that, whole"):
        open_database(path, APP, partition="red", initial_subscriptions=lambda edit: None)
    for wrong in (True, 1.5, b"x", [], 2**63):
        with pytest.raises(WrongTypeError, match="is no partition"):
            open_database(tmp_path / "new.db", APP, partition=wrong)
    with open_database(path, read_only=True) as db:
        assert db.get("Book", 1) is not None
    flexible = tmp_path / "flexible.db"
    with open_database(flexible, APP, initial_subscriptions=lambda edit: edit.add("Book")):
        pass
    with pytest.raises(UsageError, match="has subscriptions of its own"):
        open_database(flexible, APP, partition="red")


# -- conversions -----------------------------------------------------------------------------------
def told(device: Phone) -> list[str]:
    return [f"{each.name} {each.query}" for each in device.db.subscriptions]


def converted() -> tuple[World, Phone, Phone]:
    """A red and a flexible device that have met; the red one has been away since."""
    world = World()
    red, flexible = world.device("red"), world.device(schema=OWNED)
    with flexible.db.subscriptions.edit() as edit:
        edit.add("Book")
    put(red, 1, title="r1")
    with flexible.db.write():
        flexible.db.create("Book", _id=2, title="f", owner="red")
    meet(red, flexible)
    assert red.books() == [1, 2]
    return world, red, flexible


@pytest.mark.parametrize("connected", [True, False])
def test_from_partitions_to_subscriptions_and_back(
    connected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PART-6 PART-7: nothing is sent again, what is pending counts, the key is still added."""
    world, red, flexible = converted()
    if not connected:
        red.cut()
    tap = Tap(red, monkeypatch)
    world.serve("flexible")
    put(red, 3, title="pending")
    meet(red, flexible)
    assert red.books() == [1, 2, 3]
    assert world.owners() == {1: "red", 2: "red", 3: "red"}
    assert told(red) == ['partition_Book owner == "red"']
    assert sent(tap, StateOp) == []
    with red.db.subscriptions.edit() as edit:
        edit.add("Book", "title == 'wide'", name="more")
    with flexible.db.write():
        flexible.db.create("Book", _id=4, title="wide", owner="blue")
    meet(red, flexible)
    assert red.books() == [1, 2, 3, 4]
    assert red.db.subscriptions.latest.state is State.COMPLETE
    with red.db.write():
        red.db.get("Book", 4)["title"] = "written by red"
    if not connected:
        red.cut()
    world.serve("partitions")
    put(red, 5, title="pending once more")
    world.serve("both")
    meet(red, flexible)
    assert red.books() == [1, 2, 3, 5]
    assert told(red) == ['partition_Book owner == "red"']
    assert red.db.subscriptions.get(2).state is State.SUPERSEDED
    assert world.owners() == {1: "red", 2: "red", 3: "red", 4: "blue", 5: "red"}
    assert [each[4] for each in red.db.refusals()] == ["outside of the partition"]
    with pytest.raises(UsageError, match="opened with a partition"), red.db.subscriptions.edit():
        pass
    check_file(red.db)


def test_what_is_there_already_is_not_taken_over() -> None:
    """PART-4: by somebody who creates it without seeing it, and without the key."""
    world, red, flexible = converted()
    world.serve("flexible")
    with flexible.db.write():
        flexible.db.create("Book", _id=9, title="nobody's")
    meet(flexible)
    world.ms += 1000
    put(red, 9, title="red's")
    meet(red, flexible)
    assert world.owners()[9] is None
    assert flexible.db.get("Book", 9)["title"] == "red's"
    assert red.books() == [1, 2]


def test_back_and_forth_at_any_moment() -> None:
    """PART-6 PART-7: interrupted anywhere, the file follows what is served last."""
    for at in range(14):
        world, red, flexible = converted()
        for served in ("flexible", "both", "flexible", "both"):
            world.serve(served)
            put(red, 10 + len(red.books()), title="meanwhile")
            if red.agent is None:
                red.connect()
            for _ in range(at):
                if red.agent is not None:
                    red.step()
            red.cut()
        meet(red, flexible)
        owned = sorted(key for key, owner in world.owners().items() if owner == "red")
        assert len(owned) == 6
        assert red.books() == owned
        assert red.db.refusals() == []
        check_file(red.db)


def test_classes_that_appear_later_get_a_subscription() -> None:
    """PART-3 PART-6: in both modes; one that the app removed stays away."""
    world, red, _ = converted()
    more = Schema([BOOK, ClassSchema("Pen", [of("ink", "int")], key="int")])
    red.cut()
    red = world.device("red", more, red.store)
    red.sync()
    assert [each.name for each in red.db.subscriptions] == ["partition_Book", "partition_Pen"]
    world.serve("flexible")
    meet(red)
    with red.db.subscriptions.edit() as edit:
        edit.remove("partition_Pen")
    most = Schema([*more, ClassSchema("Ink", [], key="int")])
    red.cut()
    red = world.device("red", most, red.store)
    meet(red)
    assert [each.name for each in red.db.subscriptions] == ["partition_Book", "partition_Ink"]
    assert red.db.subscriptions.latest.state is State.COMPLETE


def test_an_app_that_declares_nothing_gets_the_classes_as_they_come() -> None:
    """PART-3: in one session, as the schema arrives."""
    world, *_ = converted()
    other = world.device("red", None)
    other.sync()
    assert other.books() == [1, 2]
    assert told(other) == ['partition_Book owner == "red"']


def test_a_file_that_is_opened_without_its_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """PART-8: what was pending gets the key, what comes after does not; the set stays."""
    world, red, flexible = converted()
    red.cut()
    put(red, 3, title="of red's time")
    red = world.device(UNPARTITIONED, APP, red.store)
    put(red, 4, title="of its own time")
    with red.db.subscriptions.edit() as edit:
        edit.add("Book", "title BEGINSWITH 'of its'", name="mine")
    tap = Tap(red, monkeypatch)
    meet(red, flexible)
    assert world.owners() == {1: "red", 2: "red", 3: "red", 4: None}
    assert red.books() == [1, 2, 3, 4]
    assert told(red)[1] == 'mine title BEGINSWITH "of its"'
    assert set(sent(tap, StateOp)) <= {3, 4}
    with red.db.subscriptions.edit() as edit:
        edit.remove("partition_Book")
    meet(red)
    assert red.books() == [4]
    assert red.db.partition.bound is None
    assert red.db.refusals() == []
    check_file(red.db)


STEPS: list[Callable[[World, Phone], object]] = [
    lambda world, red: world.serve("flexible"),
    lambda world, red: world.serve("both"),
    lambda world, red: red.cut(),
    lambda world, red: red.sync(),
]


@pytest.mark.parametrize("seed", range(12))
def test_partitions_and_subscriptions_at_once_at_random(seed: int) -> None:
    """PART-3 PART-4 PART-6 PART-7: whoever holds what they asked for holds exactly that."""
    r = random.Random(seed)
    world = World()
    names = ["red", "blue", None]
    phones = [world.device(name) for name in names]
    flexible = world.device(schema=OWNED)
    with flexible.db.subscriptions.edit() as edit:
        edit.add("Book")
    for number in range(40):
        phone = r.choice(phones)
        if r.random() < 0.5:
            put(
                phone,
                r.randrange(100 * phones.index(phone), 100 * phones.index(phone) + 6),
                title=str(number),
            )
        elif r.random() < 0.3:
            books = flexible.books()
            if books:
                with flexible.db.write():
                    flexible.db.get("Book", r.choice(books))["owner"] = r.choice(names)
        else:
            r.choice(STEPS)(world, phone)
        if r.random() < 0.3:
            flexible.sync()
    world.serve("both")
    meet(*phones, flexible)
    owners = world.owners()
    for name, phone in zip(names, phones, strict=True):
        assert phone.books() == sorted(key for key, owner in owners.items() if owner == name)
        check_file(phone.db)
    assert flexible.books() == sorted(owners)


def test_rules_that_ask_a_function_about_the_partition() -> None:
    """[RULES-PART-3]: each session is of one partition, whose value the function is told."""
    world = World()
    red, blue = world.device("red"), world.device("blue")
    put(red, 1, "of red")
    put(blue, 2, "of blue")
    meet(red, blue)
    asked = {"%%true": {"%function": {"name": "open", "arguments": ["%%partition"]}}}
    content = json.dumps({"partition": {"key": "owner", "read": asked, "write": False}})
    world.rules = read_rules(content, functions={"open": lambda value: value == "red"})
    world.host.rules_changed()
    meet(red, blue)
    assert (red.books(), blue.books()) == ([1], [])
    put(red, 1, "changed")
    meet(red)
    (refusal,) = red.db.refusals()
    assert (refusal.role, refusal.clause) == ("partition", "document_filters.write")
    everywhere = world.device()
    with everywhere.db.subscriptions.edit() as wanted:
        wanted.add("Book", "TRUEPREDICATE")
    everywhere.sync()
    assert everywhere.books() == []
    assert "open one" in everywhere.db.subscriptions.latest.message
