"""Roles: which one a user has, and what it says of fields. Rows R1 to R8, R17, R18 of the list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from replication.errors import RulesError
from replication.model.encoding import pack, unpack_trusted
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.rules import access
from replication.rules.access import Access
from replication.rules.read import checked, read_rules
from replication.rules.roles import (
    CLOSED,
    OPEN,
    Denied,
    Granted,
    Roles,
    Rules,
    Ruling,
    role_of_everybody,
)
from replication.rules.sight import EVERYTHING, from_key
from replication.rules.templates import TEMPLATES

BOTH = {"read": True, "write": True}
of = Property.of


def role(name: str, apply_when: Any = True, **more: Any) -> dict[str, Any]:
    shape: dict[str, Any] = {"document_filters": BOTH}
    if not {"fields", "additional_fields", "read", "write"} & set(more):
        shape |= BOTH
    return {"name": name, "apply_when": apply_when, **shape, **more}


def rules(*default: Any, functions: Any = None, **classes: Any) -> Rules:
    content = {"default_roles": list(default), "rules": classes}
    return read_rules(json.dumps(content), functions=functions)


def bound(held: Rules, user: str = "ann", **custom_data: Any) -> Roles:
    return held.bind({"id": user, "type": "normal", "custom_data": custom_data})


def granted(roles: Roles, class_name: str = "Book") -> Granted:
    found = roles.of(class_name)
    assert isinstance(found, Granted), found
    return found


def test_the_first_that_applies() -> None:
    """R1 [RULES-ROLE-1]: order decides."""
    first, second = role("a", {"%%user.id": "ann"}), role("b")
    assert granted(bound(rules(first, second))).name == "a"
    assert granted(bound(rules(second, first))).name == "b"
    assert granted(bound(rules(first, second), "bob")).name == "b"


def test_roles_of_a_class_shadow_the_default_ones() -> None:
    """R2 [RULES-ROLE-1]: no fall-back."""
    held = rules(role("default"), Book=[role("own", {"%%user.id": "bob"})])
    found = bound(held).of("Book")
    assert found == Denied("no role in rules.Book applies to you", Ruling(rule_path="rules.Book"))
    assert granted(bound(held), "Other").name == "default"
    assert granted(bound(held, "bob")).name == "own"
    found = bound(rules(role("default"), Book=[])).of("Book")
    assert found == Denied("rules.Book has no roles", Ruling(rule_path="rules.Book"))


def test_nobody_has_anything_without_a_role() -> None:
    """R3 [RULES-ROLE-2]"""
    roles = bound(rules(role("a", {"%%user.id": "bob"})))
    assert roles.denied == "no role in default_roles applies to you"
    assert isinstance(roles.of("Book"), Denied)
    assert bound(rules(Book=[role("a")])).denied is None
    assert bound(CLOSED).denied == "default_roles has no roles"
    assert granted(bound(Rules(defaults=(role_of_everybody("here"),)))).role.where == "here"
    assert bound(OPEN).denied is None


def test_broken_roles_are_never_used() -> None:
    """R5: the file is refused, and told why."""
    schema = Schema(
        [ClassSchema("Book", [of("owner", "string"), of("n", "int", queryable=True)], key="int")]
    )
    content = {"rules": {"Book": [role("a", document_filters={"read": {"owner": 1, "n": 1, "x": 1},
                                                               "write": True})]}}  # fmt: skip
    _, problems = checked(json.dumps(content), schema=schema)
    assert [(each.path, each.reason.split(";")[0]) for each in problems] == [
        ("rules.Book[0].document_filters.read", "Book.owner is not queryable"),
        ("rules.Book[0].document_filters.read", "Book has no property 'x' in the schema"),
    ]
    with pytest.raises(RulesError, match=r"rules\.Book\[0\].*\n.*no property"):
        read_rules(json.dumps(content), schema=schema)


def test_a_filter_looks_into_the_object_alone() -> None:
    """R5, R18 [RULES-FILTER-1]: into embedded objects and dictionaries, not past links."""
    schema = Schema(
        [
            ClassSchema(
                "Book",
                [
                    of("home", "embedded:Place"),
                    of("homes", "list<embedded:Place>"),
                    of("extra", "dict<mixed>"),
                    of("anything", "mixed"),
                    of("author", "link:Person"),
                ],
                key="int",
            ),
            ClassSchema("Place", [of("city", "string"), of("owner", "link:Person")]),
            ClassSchema("Person", [of("name", "string")], key="string"),
        ]
    )

    def reasons(*paths: str) -> list[str]:
        read = dict.fromkeys(paths, "x")
        content = {"rules": {"Book": [role("a", document_filters={"read": read, "write": False})]}}
        return [each.reason for each in checked(json.dumps(content), schema=schema)[1]]

    assert reasons("home.city", "homes.city", "extra.key") == []
    into = "a path leads into embedded objects and dictionaries, not past links or mixed values"
    for path in ("anything.key", "author.name", "extra.key.key", "home.owner.name"):
        assert reasons(path) == [f"'{path}': {into}"]
    (reason,) = reasons("home.town")
    assert "home.town" in reason
    assert "city" in reason
    (reason,) = reasons("home.city.x")
    assert "has no property 'x'" in reason


def test_a_schema_knows_classes_and_fields() -> None:
    """R18 [RULES-FILE-1]"""
    schema = Schema(
        [
            ClassSchema("Book", [of("home", "embedded:Place"), of("n", "int")], key="int"),
            ClassSchema("Place", [of("city", "string")]),
        ]
    )
    fields = {"home": {"fields": {"city": {"read": True}, "x": {"read": True}}},
              "n": {"fields": {"y": {"read": True}}}}  # fmt: skip
    content = {
        "rules": {"Book": [role("a", fields=fields)], "Place": [role("a")], "Shelf": [role("a")]}
    }
    _, problems = checked(json.dumps(content), schema=schema)
    assert [each.path for each in problems] == [
        "rules.Book[0].fields.home.fields.x",
        "rules.Book[0].fields.n.fields",
        "rules.Place",
        "rules.Shelf",
    ]


def test_a_name_twice_is_no_json() -> None:
    _, problems = checked('{"rules": {"A": [], "A": []}}')
    assert problems[0].reason == "the name 'A' stands twice in one object"
    assert checked("{")[1][0].reason.startswith("no JSON")
    assert checked("[]")[1][0].reason.startswith("rules are an object")


@pytest.mark.parametrize(
    ("said", "readable", "writable"),
    [
        ({"read": True}, "f g h.x h.y", ""),
        ({"write": True}, "f g h.x h.y", "f g h.x h.y"),
        ({"read": False, "fields": {"f": {"write": True}}}, "f", "f"),  # R7
        ({"read": True, "fields": {"f": {"read": False}}}, "f g h.x h.y", ""),  # R8
        ({"read": False, "fields": {"f": {"read": True}}}, "", ""),
        ({"write": False, "fields": {"f": {"write": True}}}, "", ""),
        ({"fields": {"f": {"read": True}}}, "f", ""),
        ({"additional_fields": {"read": True}, "fields": {"f": {}}}, "g h.x h.y", ""),
        ({"additional_fields": {"write": True}, "fields": {"f": {"read": True}}},
         "f g h.x h.y", "g h.x h.y"),
        ({"fields": {"h": {"fields": {"x": {"write": True}, "y": {"read": True}}}}},
         "h.x h.y", "h.x"),
        ({"fields": {"h": {"read": True, "fields": {"x": {"write": True}}}}}, "h.x h.y", "h.x"),
        ({"fields": {"h": {"read": False, "fields": {"x": {"read": True}}}}}, "", ""),
    ],
)  # fmt: skip
def test_fields(said: dict[str, Any], readable: str, writable: str) -> None:
    """R7, R8 [RULES-ROLE-4] [RULES-ROLE-5] [RULES-ROLE-6]"""

    def spelled(held: Access) -> str:
        return " ".join(path for path in ("f", "g", "h.x", "h.y") if held.has(path.split(".")))

    found = granted(bound(rules(role("a", **{"fields": {}, **said}))))
    assert (spelled(found.readable), spelled(found.writable)) == (readable, writable)
    for held in (found.readable, found.writable):
        assert access.from_key(held.key) == held


def test_the_clause_that_says_what_may_be_written() -> None:
    """R17: refusals name it."""
    fields = {"f": {"write": True}, "h": {"write": True, "fields": {"x": {"read": True}}},
              "i": {"fields": {"x": {"write": True}}}}  # fmt: skip

    def clause(said: dict[str, Any], *names: str) -> str:
        return granted(bound(rules(role("a", **said)))).role.write_clause(*names)

    assert clause({"write": True}, "f") == clause({"read": True, "write": False}) == "write"
    assert clause({"additional_fields": {"write": True}}, "f") == "additional_fields.write"
    assert clause({"fields": fields}) == "fields"
    assert clause({"fields": fields}, "f") == "fields.f.write"
    assert clause({"fields": fields}, "g") == "additional_fields.write"
    assert clause({"fields": fields}, "h", "x") == "fields.h.write"
    assert clause({"fields": fields}, "i", "x") == "fields.i.fields.x.write"
    assert clause({"fields": fields}, "i", "y") == "fields.i.fields"
    assert clause({"fields": fields}, "i") == "fields.i.fields"


def test_who_may_write_may_read() -> None:
    """R7 [RULES-ROLE-4]"""
    found = granted(bound(rules(role("a", document_filters={"read": {"n": 1}, "write": {"n": 2}}))))
    assert found.read.text == "n == 1 OR n == 2"
    assert found.write.text == "n == 2"


def test_a_role_without_a_readable_field_shows_nothing() -> None:
    found = granted(bound(rules(role("a", fields={}))))
    assert (found.read.text, found.write.text) == ("FALSEPREDICATE", "FALSEPREDICATE")


def test_functions_are_called_with_what_they_are_given() -> None:
    """[RULES-EXPR-8]"""
    calls: list[Any] = []

    def allowed(*arguments: Any) -> bool:
        calls.append(arguments)
        return arguments[0] == "ann"

    call = {
        "%%true": {"%function": {"name": "allowed", "arguments": ["%%user.id", 1, "%%user.data.x"]}}
    }
    held = rules(role("a", call), functions={"allowed": allowed})
    assert granted(bound(held)).name == "a"
    assert isinstance(bound(held, "bob").of("Book"), Denied)
    assert calls == [("ann", 1, None), ("bob", 1, None)]
    with pytest.raises(RulesError, match="no function 'allowed' was given"):
        rules(role("a", call), functions={"other": allowed})


def test_a_function_that_fails_allows_nothing() -> None:
    """[RULES-EXPR-8]: not even the next role."""
    told: list[Exception] = []
    held = rules(
        role("a", {"$not": {"$function": {"name": "f"}}}), role("b"), functions={"f": lambda: 1 / 0}
    )
    roles = held.bind({"id": "ann"}, told.append)
    found = roles.of("Book")
    assert isinstance(found, Denied)
    assert found.reason == (
        "apply_when of role 'a' in default_roles[0] can't be decided: a function failed"
    )
    assert found.ruling == ("a", "default_roles[0]", "apply_when")
    assert "ZeroDivisionError" in str(told[0])


def test_a_failure_is_told_once_and_no_more_than_a_hundred_are() -> None:
    """[RULES-EXPR-8] Whoever may write could else have one told as often as they write."""

    def failing(number: int) -> None:
        raise ValueError(number)

    def told(numbers: list[int]) -> int:
        classes = {
            f"C{at}": [role("a", {"%function": {"name": "f", "arguments": [number]}})]
            for at, number in enumerate(numbers)
        }
        said: list[Exception] = []
        rules(functions={"f": failing}, **classes).bind({"id": "ann"}, said.append)
        return len(said)

    assert told([1, 2, 1, 1, 2]) == 2
    assert told(list(range(99))) == 99
    assert told(list(range(101))) == 100
    assert told([*range(100), 5, 5]) == 100


def test_data_that_makes_a_filter_too_long_allows_nothing() -> None:
    held = rules(role("a", document_filters={"read": {"n": {"$in": "%%user.custom_data.all"}},
                                             "write": False}))  # fmt: skip
    found = bound(held, all=["x" * 1000 + str(n) for n in range(300)]).of("Book")
    assert isinstance(found, Denied)
    assert "more than 262144 bytes" in found.reason


def test_keys_tell_what_is_read() -> None:
    held = rules(role("a", document_filters={"read": {"o": "%%user.id"}, "write": False}))
    assert bound(held).sight.key == bound(held).sight.key != bound(held, "bob").sight.key
    hidden = rules(role("a", fields={"f": {"read": True}}))
    assert bound(hidden).sight.key != bound(rules(role("a"))).sight.key
    for each in (bound(held), bound(hidden), bound(CLOSED), bound(OPEN)):
        again = from_key(unpack_trusted(pack(each.sight.key)))
        assert again.key == each.sight.key
    assert bound(OPEN).sight.key == EVERYTHING.key


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_free_of_mistakes(name: str) -> None:
    assert checked(json.dumps(TEMPLATES[name][1]))[1] == []
