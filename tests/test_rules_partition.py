"""Partition rules: `read` and `write` over `%%partition`, for classes without other roles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from server_devices import Device, World
from server_files import ClientFile, new_namespace, server_view
from test_rules_feed import Library, setting
from test_rules_roles import role

from replication.errors import RulesError
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.net.rules_file import RulesFile
from replication.protocol.messages import Ack
from replication.rules.read import checked, read_rules
from replication.rules.roles import Denied, Granted
from replication.server.partitions import Partitions
from replication.server.policy import described
from replication.server.refusals import NOT_PERMITTED
from replication.server.terms import Terms
from replication.server.users import User

SHARED = {"%%user.custom_data.shared": "%%partition"}
MINE = {"%%partition": "%%user.id"}


def partition(read: Any = True, write: Any = True, **more: Any) -> str:
    return json.dumps({"partition": {"key": "part", "read": read, "write": write}, **more})


@pytest.mark.parametrize(
    ("read", "write", "expected"),
    [
        (True, True, ("TRUEPREDICATE", "TRUEPREDICATE")),
        (False, False, ("FALSEPREDICATE", "FALSEPREDICATE")),
        (MINE, False, ('part == "ann"', "FALSEPREDICATE")),
        ({"%%user.id": "%%partition"}, MINE, ('part == "ann"', 'part == "ann"')),
        (SHARED, MINE, ('part == "ann" OR part IN {"a", "b"}', 'part == "ann"')),
        (
            {"$or": [MINE, {"%%partition": "public"}]},
            MINE,
            ('part == "ann" OR part == "public"', 'part == "ann"'),
        ),
        ({"%%partition": {"$in": ["x", "%%user.id"]}}, False,
         ('part IN {"ann", "x"}', "FALSEPREDICATE")),
        ({"%%partition": "x", "%%user.id": "ann"}, {"%%partition": "x", "%%user.id": "bob"},
         ('part == "x"', "FALSEPREDICATE")),
        ({"$not": {"%%partition": "x"}}, False, ('NOT part == "x"', "FALSEPREDICATE")),
        (False, "%%partition", ("part == true AND part.@count == null",) * 2),
        ({"%%partition": {"$exists": True}}, False,
         ("NOT part == null OR part.@count > 0", "FALSEPREDICATE")),
        (False, {"%%partition": {"$exists": False}},
         ("NOT (NOT part == null OR part.@count > 0)",) * 2),
        ({"%%partition": {"%stringToOid": "%%user.id"}}, False,
         ("FALSEPREDICATE", "FALSEPREDICATE")),
    ],
)  # fmt: skip
def test_expressions_over_the_partition(read: Any, write: Any, expected: tuple[str, str]) -> None:
    """[RULES-PART-1]"""
    rules = read_rules(partition(read, write))
    user = User("ann", custom_data={"shared": ["a", "b"]})
    granted = rules.bind(described(user)).of("Book")
    assert isinstance(granted, Granted)
    assert (granted.read.text, granted.write.text) == expected


def test_mistakes() -> None:
    """[RULES-FILE-1]"""
    for text, path, reason in [
        (partition({"owner": 1}), "partition.read.owner", "has no document"),
        (partition({"$function": {"name": 1}}), "partition.read.$function", "name is a text"),
        (partition(default_roles=[]), "partition", "in place of default_roles"),
        (json.dumps({"partition": {"read": True, "write": True}}), "partition.key", "property"),
        (json.dumps({"partition": {"key": "p", "read": True}}), "partition.write", "missing"),
    ]:  # fmt: skip
        problems = checked(text)[1]
        assert any(each.path == path and reason in each.reason for each in problems), problems


def test_classes_with_roles_of_their_own_go_by_these() -> None:
    """R2"""
    rules = read_rules(partition(MINE, False, rules={"Open": [role("all")]}))
    roles = rules.bind(described(User("ann")))
    found = roles.of("Open")
    assert isinstance(found, Granted)
    assert found.read.text == "TRUEPREDICATE"


def test_a_server_of_partitions() -> None:
    """W1 (f) [RULES-PART-1]: moving needs permission for both partitions."""
    library = Library()
    library.rules = read_rules(partition({"$or": [MINE, {"%%partition": "public"}]}, MINE))
    library.world.host.rules_changed()
    library.owner.user = "owner"
    ann = library.ann
    ann.subscribe(Book="TRUEPREDICATE")
    ann.run()
    ann.write(setting(part="ann", title="mine"), ("Book", 1))
    ann.run()
    assert ann.refused == []
    ann.write(setting(part="public", title="theirs"), ("Book", 2))
    ann.write(setting(part="public", title="given away"), ("Book", 1))
    ann.run()
    assert [(refusal[2], refusal[3], refusal[4]) for refusal in ann.refused] == [
        (2, [], NOT_PERMITTED),
        (1, ["part"], NOT_PERMITTED),
    ]
    assert set(ann.holds()) == {("Book", 1)}
    assert library.world.states().keys() == {("Book", 1)}


def test_what_comes_without_its_key_in_a_partition_is_judged_with_it() -> None:
    """[RULES-PART-1]: the server adds the key before rules ask about it."""
    part, title = Property.of("part", "string?", queryable=True), Property.of("title", "string?")
    schema = Schema([ClassSchema("Book", [part, title], key="int")])
    cut = Partitions("part", "string")
    space = new_namespace(schema=schema, partitions=cut)
    ann = ClientFile(space)
    roles = read_rules(partition(MINE, MINE)).bind(described(User("ann")))
    for value, expected in [("ann", []), ("bob", [NOT_PERMITTED])]:
        item = ann.edit(setting(title="x"), key=len(ann.changesets))
        with space.store.write() as writer:
            done = space.integrate(
                writer, 1, ann.ident, len(ann.changesets) + 1, [ann.changeset(item)], roles,
                Terms(None, space.open_partition([value])),
            )  # fmt: skip
        ann.changesets.append(ann.changeset(item))
        (ack,) = done.answers
        assert isinstance(ack, Ack)
        assert [refusal[4] for refusal in ack.refusals] == expected
    assert (server_view(space.store, key=0) or {})["part"] == "ann"


# -- functions that are asked about the partition --------------------------------------------------
ASKED = {"%%true": {"%function": {"name": "f", "arguments": ["%%partition", "%%user.id"]}}}


def calling(function: Any, read: Any = ASKED, write: Any = False) -> Any:
    return read_rules(partition(read, write), functions={"f": function})


@pytest.mark.parametrize(
    ("read", "write", "opened", "expected"),
    [
        (ASKED, False, "team=red", ('part == "team=red"', "FALSEPREDICATE")),
        (ASKED, False, "team=blue", ("FALSEPREDICATE", "FALSEPREDICATE")),
        (ASKED, False, None, ("FALSEPREDICATE", "FALSEPREDICATE")),
        (False, ASKED, "team=red", ('part == "team=red"', 'part == "team=red"')),
        # Beside it, what asks for no function is about the opened partition, too.
        ({"$or": [ASKED, {"%%partition": "public"}]}, MINE, "public",
         ('part == "public"', "FALSEPREDICATE")),
        ({"$or": [ASKED, MINE]}, MINE, "ann", ('part == "ann"', 'part == "ann"')),
    ],
)  # fmt: skip
def test_a_function_decides_about_the_partition_that_is_opened(
    read: Any, write: Any, opened: Any, expected: tuple[str, str]
) -> None:
    """[RULES-PART-3]"""
    asked: list[Any] = []

    def of_team(value: Any, user: str) -> bool:
        asked.append((value, user))
        return value == "team=red"

    rules = calling(of_team, read, write)
    granted = rules.bind(described(User("ann")), partition=opened).of("Book")
    assert isinstance(granted, Granted)
    assert (granted.read.text, granted.write.text) == expected
    assert set(asked) == {(opened, "ann")}


def test_who_opens_no_partition_has_no_role_where_a_function_is_asked() -> None:
    """[RULES-PART-3]: nobody can ask it about each object."""
    denied = calling(lambda *_: True).bind(described(User("ann"))).of("Book")
    assert isinstance(denied, Denied)
    assert denied.reason == "the rules of partition ask a function about the partition: open one"
    assert denied.ruling == ("partition", "partition", "document_filters")


def test_a_function_that_fails_opens_nothing() -> None:
    """[RULES-EXPR-8]"""
    told: list[Exception] = []
    rules = calling(lambda value, _user: {}[value])
    denied = rules.bind(described(User("ann")), told.append, "secret").of("Book")
    assert isinstance(denied, Denied)
    assert denied.reason.endswith("can't be decided: a function failed")
    assert "KeyError" in str(told[0])


def test_a_function_that_knows_of_no_partition_decides_for_all_of_them() -> None:
    call = {"%function": {"name": "f", "arguments": ["%%user.id"]}}
    for answer, text in [(True, "TRUEPREDICATE"), (False, "FALSEPREDICATE")]:
        rules = calling(lambda _user, answer=answer: answer, {"%%true": call})
        granted = rules.bind(described(User("ann"))).of("Book")
        assert isinstance(granted, Granted)
        assert granted.read.text == text


def test_rules_about_another_key_than_the_data_sets_allow_nothing() -> None:
    """[RULES-PART-2]: whoever writes the key that the rules ask for could give away the others."""
    part, title = Property.of("part", "string?", queryable=True), Property.of("title", "string?")
    owner = Property.of("owner", "string?", queryable=True)
    schema = Schema([ClassSchema("Book", [part, title, owner], key="int")])
    rules, cut = read_rules(partition(MINE, MINE)), Partitions("owner", "string")
    world = World(schema=schema, partitions=lambda _name: cut, rules=lambda _name: rules)
    ann = Device(world, "ann")
    ann.write(setting(part="ann", owner="bob", title="x"), ("Book", 1))
    ann.run()
    ((_, _, _, path, reason, message, role_name, rule_path, clause),) = ann.refused
    assert (path, reason) == ([], NOT_PERMITTED)
    assert "partitions by 'part', but the data set is cut by 'owner'" in message
    assert (role_name, rule_path, clause) == ("", "partition.key", "")
    assert world.states() == {}


def test_a_rules_file_about_another_key_is_not_taken(tmp_path: Path) -> None:
    """[RULES-PART-2]: an error at the start; later those that there are go on to count."""
    path = tmp_path / "rules.json"
    path.write_text(partition(MINE, MINE))
    keys = {"books": "part"}
    held = RulesFile(path, keys=lambda: keys)
    before = held.rules
    path.write_text(json.dumps({"partition": {"key": "owner", "read": True, "write": True}}))
    assert not held.file.look()
    assert held.rules is before
    keys["books"] = "owner"
    reason = "the rules are about partitions by 'part', but the data set is cut by 'owner'"
    with pytest.raises(RulesError, match=rf"rules\.json: partition\.key: {reason} \(books\)"):
        held.check()
    path.write_text(json.dumps({"partition": {"key": "owner", "read": True, "write": False}}))
    assert held.file.look()
