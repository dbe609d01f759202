"""Users at the server: custom data that follows the data set, fresh tokens, revocation."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from bson.objectid import ObjectId
from replicas import Edit
from server_devices import Device, World
from test_rules_roles import role
from test_rules_roles import rules as allowing
from test_server_host import Hosted

from replication.errors import ErrorCode, SessionError, StoreError
from replication.limits import CUSTOM_DATA_BYTES_MAX
from replication.protocol.messages import Bind, Error, Token
from replication.rules.roles import OPEN
from replication.server.custom_data import CustomData
from replication.server.handover import Handover
from replication.server.host import Host
from replication.server.refusals import NOT_PERMITTED
from replication.server.users import User

PERSON = ("Person", "ann")
ID = "0123456789abcdef01234567"


def setting(**values: Any) -> Callable[[Edit], None]:
    def act(edit: Edit) -> None:
        if not edit.view[0] % 2:
            edit.create()
        for name, value in values.items():
            edit.scope().set(name, value)

    return act


def says(world: World, device: Device) -> Any:
    """What the server knows of a device's user."""
    (link,) = [each for each in world.host._links.of("data") if each.session.ident == device.ident]
    assert link.user is not None
    return dict(link.user.custom_data)


def administered(**options: Any) -> tuple[World, Device]:
    """A world with custom data, and a device of who writes it: a program with an API key."""
    world = World(**{"custom_data": CustomData("Person"), **options})
    world.host._authenticate = lambda token: User(
        token, type="server" if token == "root" else "normal"
    )
    return world, Device(world, "root")


def write(device: Device, name: tuple[str, Any], **values: Any) -> None:
    device.write(setting(**values), name)
    device.run()


def test_custom_data_is_there_from_the_first_message_on_and_follows_every_commit() -> None:
    """IDENTITY-6"""
    world, root = administered()
    write(root, PERSON, team="red")
    ann, bob = Device(world, "ann"), Device(world, "bob")
    assert says(world, ann) == {"_id": "ann", "team": "red"}
    assert says(world, bob) == {}
    links = {link.user.id: link.user for link in world.host._links.of("data") if link.user}
    write(root, PERSON, team="blue", admin=True)
    assert says(world, ann) == {"_id": "ann", "team": "blue", "admin": True}
    write(root, ("Person", "bob"), team="red")
    assert says(world, bob) == {"_id": "bob", "team": "red"}
    # Who was not concerned is the same object as before.
    now = {link.user.id: link.user for link in world.host._links.of("data") if link.user}
    assert now["root"] is links["root"]
    root.write(lambda edit: edit.delete(), PERSON)
    root.run()
    assert says(world, ann) == {}


def test_without_rules_nobody_says_who_they_are() -> None:
    """IDENTITY-10: everything else is everybody's; with rules, what they allow is allowed."""
    rules = OPEN
    world, root = administered(rules=lambda _name: rules)
    write(root, PERSON, team="red")
    ann = Device(world, "ann")
    ann.subscribe(Person="TRUEPREDICATE")
    ann.run()
    write(ann, PERSON, admin=True)
    write(ann, ("Person", "bob"), admin=True)
    ann.write(lambda edit: edit.delete(), PERSON)
    ann.run()
    write(ann, ("Book", 1), title="mine")
    assert [(each[1:3], each[4]) for each in ann.refused] == [
        (["Person", "ann"], NOT_PERMITTED), (["Person", "bob"], NOT_PERMITTED),
        (["Person", "ann"], NOT_PERMITTED),
    ]  # fmt: skip
    assert "only a program with an API key may write it" in ann.refused[0][5]
    assert says(world, ann) == {"_id": "ann", "team": "red"}
    assert ("Book", 1) in world.states()
    rules = allowing(role("everybody"))
    world.host.rules_changed()
    write(ann, PERSON, admin=True)
    assert len(ann.refused) == 3
    assert says(world, ann) == {"_id": "ann", "team": "red", "admin": True}


def test_a_commit_that_says_nothing_of_users_changes_no_user() -> None:
    world, root = administered()
    ann = Device(world, "ann")
    before = [link.user for link in world.host._links.of("data")]
    write(root, ("Book", 1), title="ann")
    write(root, ("Person", "ann "), team="red")
    assert [link.user for link in world.host._links.of("data")] == before
    assert says(world, ann) == {}


@pytest.mark.parametrize("key", ["ann", ObjectId(ID), uuid.UUID(int=5)])
def test_keys_of_every_kind(key: Any) -> None:
    world, root = administered()
    user = Device(world, str(key).upper() if isinstance(key, ObjectId) else str(key))
    write(root, ("Person", key), team="red")
    assert says(world, user) == {"_id": key, "team": "red"}


def test_a_field_may_say_whose_data_it_is() -> None:
    world, root = administered(custom_data=CustomData("Person", "user_id"))
    ann, bob = Device(world, "ann"), Device(world, ID)
    write(root, ("Person", 1), user_id="ann", team="red")
    write(root, ("Person", 2), user_id=ObjectId(ID), team="blue")
    assert says(world, ann)["team"] == "red"
    assert says(world, bob)["team"] == "blue"
    write(root, ("Person", 1), user_id="somebody else")
    assert says(world, ann) == {}
    assert Device(world, "somebody else").ended is None
    with world.store.read() as reader:
        assert "user_id" in reader.columns("Person")
    write(root, ("Person", 1), user_id="ann")
    root.write(lambda edit: edit.delete(), ("Person", 1))
    root.run()
    assert says(world, ann) == {}


def test_two_objects_for_one_user_let_nobody_in_as_either() -> None:
    world, root = administered(custom_data=CustomData("Person", "user_id"))
    ann, bob = Device(world, "ann"), Device(world, "bob")
    write(root, ("Person", 1), user_id="ann", team="red")
    write(root, ("Person", 2), user_id="ann", admin=True)
    ann.run()
    assert ann.ended is ErrorCode.PERMISSION_DENIED
    assert Device(world, "ann").ended is ErrorCode.PERMISSION_DENIED
    bob.run()
    assert bob.ended is None


def test_too_much_custom_data_is_none() -> None:
    world, root = administered()
    ann = Device(world, "ann")
    write(root, PERSON, text="x" * CUSTOM_DATA_BYTES_MAX)
    ann.run()
    assert ann.ended is ErrorCode.PERMISSION_DENIED
    write(root, PERSON, text="x")
    ann.connect()
    assert says(world, ann)["text"] == "x"


def test_more_changes_than_are_looked_through_one_by_one_concern_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("replication.server.namespace._MATCHED_BYTES_MAX", 0)
    world, root = administered()
    namespace = world.host.namespace("data")
    namespace.handover = Handover(namespace.lists, bytes_max=0)
    ann = Device(world, "ann")
    write(root, PERSON, team="red")
    assert says(world, ann) == {"_id": "ann", "team": "red"}


def test_a_store_that_does_not_say_who_users_are_ends_their_sessions() -> None:
    """Nobody goes on with what they were allowed before."""

    class Forgetful(CustomData):
        def users(self, touched: Any) -> Any:
            raise StoreError("the disk is gone")

    world, root = administered(custom_data=Forgetful("Person"))
    write(root, PERSON, team="red")
    assert root.ended is ErrorCode.STORE_UNAVAILABLE
    assert [str(error) for error in world.reports] == ["the disk is gone"]


# -- fresh tokens ----------------------------------------------------------------------------------
def test_a_fresh_token_brings_fresh_claims_and_leaves_the_data_sets_word() -> None:
    fresh = User("ann", {"role": "writer"}, custom_data={"from": "the claim"})
    tokens = {"ann": User("ann", {"role": "reader"}), "fresh": fresh}
    for custom_data, known in ((None, {"from": "the claim"}), (CustomData("Person"), {})):
        hosted = Hosted(custom_data=custom_data)
        hosted.host._authenticate = tokens.__getitem__
        link = hosted.ready()
        woken: list[bool] = []
        link.wake = lambda woken=woken: woken.append(True)  # type: ignore[misc]
        assert hosted.feed(link, Token(1, "fresh")) == []
        assert link.user is not None
        assert (link.user.claims, dict(link.user.custom_data)) == ({"role": "writer"}, known)
        assert woken == [True]


# -- revocation ------------------------------------------------------------------------------------
def test_who_is_revoked_is_out_everywhere_and_in_nowhere() -> None:
    out: set[str] = set()

    def revoked(user: User) -> str | None:
        return f"{user.id} was shown the door" if user.id in out else None

    hosted = Hosted(revoked=revoked)
    ann, also_ann = hosted.ready("a"), hosted.ready("b")
    hosted.host._authenticate = lambda token: User("bob")
    bob = hosted.ready("a")
    assert hosted.host.end_revoked() == 0
    out.add("ann")
    assert hosted.host.end_revoked() == 2
    assert hosted.host.end_revoked() == 0
    for link in (ann, also_ann):
        (error,) = hosted.after(link, hosted.host.fetch(link)())
        assert isinstance(error, Error)
        assert error == Error(1, ErrorCode.TOKEN_INVALID, "ann was shown the door")
    assert hosted.after(bob, hosted.host.fetch(bob)()) == []
    hosted.host._authenticate = User
    (error,) = hosted.feed(hosted.host.connect(1, lambda: None), Bind(1, "a", "ann", 0, 0))
    assert error == Error(1, ErrorCode.TOKEN_INVALID, "ann was shown the door")
    out.add("bob")
    hosted.host._authenticate = lambda token: User("bob")
    (error,) = hosted.feed(bob, Token(1, "still me"))
    assert error == Error(1, ErrorCode.TOKEN_INVALID, "bob was shown the door")


def test_who_is_revoked_while_their_session_begins_is_not_let_in() -> None:
    out: set[str] = set()
    hosted = Hosted(revoked=lambda user: "out" if user.id in out else None)
    link = hosted.host.connect(1, lambda: None)
    (effect,) = link.session.receive(Bind(1, "a", "ann", 0, 0))
    job = hosted.host.begin(link, effect)  # type: ignore[arg-type]
    out.add("ann")
    assert hosted.host.end_revoked() == 0
    (outcome,) = hosted.host.commit([job])  # type: ignore[list-item]
    (error,) = hosted.after(link, outcome())
    assert error == Error(1, ErrorCode.TOKEN_INVALID, "out")
    assert hosted.versions() == 0
    with hosted.stores["a"].read() as reader:
        assert list(reader.records("files")) == []


def test_a_host_that_was_not_told_whom_to_let_in_lets_nobody_in() -> None:
    hosted = Hosted()
    host = Host(hosted.open, entropy=lambda: 1, wall_ms=lambda: 1)
    with pytest.raises(SessionError, match="not told whom to let in"):
        host._authenticate("dev:ann")
