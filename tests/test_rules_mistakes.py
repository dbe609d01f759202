"""Expressions and mistakes in rules, each in a table: mutants survived there. [RULES-FILE]"""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from bson.objectid import ObjectId

from replication.errors import RulesError
from replication.limits import RULE_DEPTH_MAX
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.rules.compile import compiled
from replication.rules.conversions import CONVERSIONS
from replication.rules.evaluate import ABSENT
from replication.rules.read import checked, read_rules
from replication.rules.roles import Denied, Granted

# -- expressions -----------------------------------------------------------------------------------
OID, UUID = "5f0000000000000000000001", "00112233-4455-6677-8899-aabbccddeeff"
CONVERTED: list[tuple[str, Any, Any]] = [
    ("stringToOid", OID, ObjectId(OID)),
    ("stringToOid", OID[:-1], None),
    ("stringToOid", OID[:-1] + "g", None),
    ("stringToOid", ObjectId(OID), None),
    ("oidToString", ObjectId(OID), OID),
    ("oidToString", OID, None),
    ("stringToUuid", UUID, uuid.UUID(UUID)),
    ("stringToUuid", UUID.replace("-", ""), None),
    ("stringToUuid", UUID[:-1] + "g", None),
    ("stringToUuid", None, None),
    ("uuidToString", uuid.UUID(UUID), UUID),
    ("uuidToString", UUID, None),
]


@pytest.mark.parametrize(("name", "value", "converted"), CONVERTED)
def test_conversions(name: str, value: Any, converted: Any) -> None:
    """[RULES-EXPR-CONVERT]"""
    assert CONVERSIONS[name](value) == converted


#: What stands around something.
AROUND = {
    "$not": '{"$not": "?"}',
    "$or": '{"$or": ["?"]}',
    "list": '["?"]',
    "function": '{"%function": {"name": "f", "arguments": ["?"]}}',
    "fields": '{"fields": {"a": "?"}}',
}


def nested(kind: str, depth: int) -> dict[str, Any]:
    """Something wrong with a role: what it says is so deep."""
    role: dict[str, Any] = {
        "name": "r", "apply_when": {}, "document_filters": {"read": True, "write": True},
        "read": True, "write": True,
    }  # fmt: skip
    held: Any = {"read": True} if kind == "fields" else {"$eq": 1} if kind[0] == "$" else "x"
    for _ in range(depth):
        held = json.loads(AROUND[kind].replace('"?"', json.dumps(held)))
    if kind == "fields":
        del role["read"], role["write"]
        return {**role, **held}
    field = {"a": {"$in": held} if kind == "list" else held}
    return {**role, "insert" if kind == "function" else "document_filters":
            field if kind == "function" else {"read": field, "write": True}}  # fmt: skip


@pytest.mark.parametrize(("kind", "most"), [("$not", RULE_DEPTH_MAX - 2),
                         ("$or", RULE_DEPTH_MAX - 2), ("list", RULE_DEPTH_MAX - 2),
                         ("function", RULE_DEPTH_MAX - 1), ("fields", RULE_DEPTH_MAX)])  # fmt: skip
def test_what_is_too_deep_is_told_whatever_it_is(kind: str, most: int) -> None:
    """[RULES-FILE-1]: operators on a field, lists, arguments and fields, like conditions."""
    for depth, wrong in ((most, False), (most + 1, True), (100, True), (280, True)):
        _, problems = checked(json.dumps({"default_roles": [nested(kind, depth)]}))
        assert bool(problems) is wrong, (depth, problems)
        assert all("more than 50 deep" in each.reason for each in problems)


def test_what_a_token_holds_may_be_as_deep_as_json_is() -> None:
    """[RULES-EXPR-4] What is deeper than rules are has no value, and costs its user alone."""
    role = nested("list", 0) | {
        "apply_when": {"%%user.custom_data.a": {"$ne": "y"}},
        "document_filters": {"read": {"a": "%%user.custom_data.a"}, "write": False},
    }
    rules = read_rules(json.dumps({"default_roles": [role]}))
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    assert not isinstance(rules.bind({"custom_data": {"a": ["x", deep]}}).of("Book"), Denied)
    assert not isinstance(rules.bind({"custom_data": {"a": deep}}).of("Book"), Denied)


# -- mistakes --------------------------------------------------------------------------------------
def asking(condition: Any) -> dict[str, Any]:
    """Rules whose read filter is this."""
    return with_role(document_filters={"read": condition, "write": True})


def changing(condition: Any) -> dict[str, Any]:
    """Rules whose insert rule is this."""
    return with_role(insert=condition)


def with_role(**said: Any) -> dict[str, Any]:
    """Rules of one role that says this."""
    role = {"name": "r", "apply_when": {}, "document_filters": {"read": True, "write": True}}
    fields = {} if "fields" in said else {"read": True, "write": True}
    return {"default_roles": [role | fields | said]}


def called(call: Any) -> dict[str, Any]:
    """Rules that insert where a function says so."""
    return changing({"%function": call})


def parted(**said: Any) -> dict[str, Any]:
    """Rules of partitions."""
    return {"partition": {"key": "p", "read": True, "write": True} | said}


READ, INSERT = "default_roles[0].document_filters.read", "default_roles[0].insert"
NEEDS_CALL = 'a function needs {"name": ..., "arguments": [...]}'
WRONG_CALL = "a function's name is a text, its arguments are a list"
CONVERTS = "converts or lists a field of the document; convert the other side"
WHOLE = "looks at the document as a whole; name a field of it"
TWO_FIELDS = "compares two fields of the document; one side must be known beforehand"
MISTAKES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    (asking("abc"), [(READ, "'abc' is no expression")]),
    (asking({"a": {"$in": 5}}), [(f"{READ}.a.$in", "$in needs a list, not 5")]),
    (asking({"a": {"%stringToOid": OID}}), []),
    (asking({"a": {"%stringToOid": OID[1:]}}), [(f"{READ}.a.%stringToOid", "can't convert")]),
    (changing({"a": {"$in": {"%function": {"name": "f"}}}}), []),
    (called(5), [(f"{INSERT}.%function", NEEDS_CALL)]),
    (asking({"a": {"$exists": "x" * 58}}), [(f"{READ}.a.$exists", f"not '{'x' * 58}'")]),
    (asking({"a": {"$exists": "x" * 59}}), [(f"{READ}.a.$exists", f"not '{'x' * 56}...")]),
    # What is wrong already is not told to be no query as well.
    (asking({"%%user.x": {"$in": ["%%root.a"]}}), [(f"{READ}.%%user.x", "needs one of")]),
    (parted(read={"%%user.x": {"$in": ["%%partition"]}}),
     [("partition.read.%%user.x", "needs one of")]),
    # Once for the partition that is opened, no query is needed.
    (parted(read={"%%user.id": {"$in": ["%%partition"]},
                  "%%true": {"%function": {"name": "f", "arguments": ["%%partition"]}}}), []),
    (parted(read={"%%user.id": {"$in": ["%%partition"]}, "%%true": {
        "%function": {"name": "f", "arguments": [{"%oidToString": "%%partition"}]}}}), []),
    (parted(read={"%function": {"name": "f"}}), []),
    ({"default_roles": [{"name": "r", "apply_when": {}}]},
     [("default_roles[0].document_filters", "is missing: which objects?")]),
    ({"defaultRoles": [{"name": "r", "read": True, "write": True}]},
     [("default_roles[0].apply_when", "is missing: who has this role?")]),
    (asking({"$eq": 1}), [(f"{READ}.$eq", "$eq does not begin a condition")]),
    (asking({"%foo": 1}), [(f"{READ}.%foo", "%foo does not begin a condition")]),
    (asking({"a": {}}), [(f"{READ}.a", "an empty object is no value")]),
    (asking({"a": {"$eq": [1]}}), [(f"{READ}.a.$eq", "$eq needs one value, not a list")]),
    (asking({"a": {"$nin": "x"}}), [(f"{READ}.a.$nin", "$nin needs a list, not 'x'")]),
    (asking({"a": {"$in": {"b": 1}}}), [(f"{READ}.a.$in", "$in needs a list, not {'b': 1}")]),
    (asking({"a": {"$in": {"$oid": OID, "b": 1}}}), [(f"{READ}.a.$in", "$in needs a list")]),
    (asking({"a": {"$eq": {"b": 1}}}), [(f"{READ}.a.$eq", "{'b': 1} is no value")]),
    (asking({"a": {"$eq": {"$oid": 1, "x": 2}}}), [(f"{READ}.a.$eq", "is no value")]),
    (asking({"a": {"$oid": "x"}}), [(f"{READ}.a", "{'$oid': 'x'} is no value: pass None")]),
    (asking({"a": 2**70}), [(f"{READ}.a", "is no value: an int must fit 64 bits")]),
    (asking({"a": {"b": 1, "$gt": 1}}), [(f"{READ}.a.b", "a path with dots for 'b'")]),
    (asking({"a": {"$not": {"$foo": 1}}}), [(f"{READ}.a.$not.$foo", "no operator that compares")]),
    (asking({"a": {"$or": [{"$gt": [1]}, 2]}}), [(f"{READ}.a.$or[0].$gt", "one value")]),
    (asking({"a": {"$nor": 1}}), [(f"{READ}.a.$nor", "nor needs a list, not 1")]),
    (asking({"$or": {"a": 1}}), [(f"{READ}.$or", "or needs a list, not {'a': 1}")]),
    (asking({"$and": [{"a": 1}, 5]}), [(f"{READ}.$and[1]", "5 is no expression")]),
    (asking({"a": {"$exists": 1}}), [(f"{READ}.a.$exists", "true or false, not 1")]),
    (asking({"a..b": 1}), [(f"{READ}.a..b", "'a..b' is no path")]),
    (asking({".": 1}), [(f"{READ}..", "'.' is no path")]),
    (asking({".".join("a" * 32): 1}), []),
    (asking({".".join("a" * 33): 1}), [(f"{READ}.{'.'.join('a' * 33)}", "more than 32 names")]),
    (asking({"a": "x" * 999}), []),
    (asking({"a": {"$exists": "x" * 99}}), [(f"{READ}.a.$exists", f"not '{'x' * 56}...")]),
    (asking({"%%true.x": 1}), [(f"{READ}.%%true.x", "no expansion %%true")]),
    (asking({"%%user": 1}), [(f"{READ}.%%user", "%%user needs one of custom_data, data, id")]),
    (asking({"%%environment.a": 1}), [(f"{READ}.%%environment.a", "needs one of tag, values")]),
    (asking({"%%root": 1}), [(READ, WHOLE)]),
    (asking("%%root"), [(READ, WHOLE)]),
    (asking({"%%root": {"$exists": True}}), [(READ, WHOLE)]),
    (asking({"%%user.id": {"$oidToString": "%%root.a"}}), [(READ, CONVERTS)]),
    (asking({"%%user.id": {"$in": ["x", "%%root.a"]}}), [(READ, CONVERTS)]),
    (asking({"a": "%%root.b"}), [(READ, TWO_FIELDS)]),
    (asking({"$not": {"a": "%%root.b"}}), [(READ, TWO_FIELDS)]),
    (asking({"$or": [{"a": 1}, {"a": "%%root.b"}]}), [(READ, TWO_FIELDS)]),
    (asking({"a": {"$not": {"$not": {"$exists": True}}}}), []),
    (called({"arguments": []}), [(f"{INSERT}.%function", NEEDS_CALL)]),
    (called({"name": "f", "x": 1}), [(f"{INSERT}.%function", NEEDS_CALL)]),
    (called("f"), [(f"{INSERT}.%function", NEEDS_CALL)]),
    (called({"name": 1}), [(f"{INSERT}.%function", WRONG_CALL)]),
    (called({"name": "f", "arguments": 1}), [(f"{INSERT}.%function", WRONG_CALL)]),
    (called({"name": "f", "arguments": [{"b": 1}]}),
     [(f"{INSERT}.%function.arguments[0]", "{'b': 1} is no value")]),
    (with_role(name=""), [("default_roles[0].name", "a role needs a name")]),
    (with_role(name=7), [("default_roles[0].name", "a role needs a name")]),
    (with_role(name="é" * 50), []),
    (with_role(name="é" * 50 + "x"), [("default_roles[0].name", "at most 100 bytes")]),
    (with_role(fields=1), [("default_roles[0].fields", "an object, not 1")]),
    (with_role(fields={"a": 1, "b": {"read": 1}}),
     [("default_roles[0].fields.a", "not 1"), ("default_roles[0].fields.b.read", "true or false")]),
    (with_role(fields={"a": {"fields": {"b": {"x": 1}}}}),
     [("default_roles[0].fields.a.fields.b.x", "unknown; there are fields, read, write")]),
    (with_role(additional_fields={"read": 1, "x": True}),
     [("default_roles[0].additional_fields.x", "unknown; there are read, write"),
      ("default_roles[0].additional_fields.read", "true or false, not 1")]),
    (with_role(document_filters=1),
     [("default_roles[0].document_filters", "an object, not 1"),
      (READ, "is missing"), ("default_roles[0].document_filters.write", "is missing")]),
    (with_role(document_filters={"read": True, "write": True, "x": 1}),
     [("default_roles[0].document_filters.x", "unknown; there are read, write")]),
    ({"default_roles": [1]}, [("default_roles[0]", "a role is an object, not 1")]),
    ({"values": []}, [("values", "an object, not []")]),
    (parted(), []),
    (parted(key=""), [("partition.key", "a property needs a name")]),
    (parted(key=5), [("partition.key", "5 is no name")]),
    (parted(x=1), [("partition.x", "unknown; there are key, read, write")]),
    ({"partition": {"key": "p"}}, [("partition.read", "missing"), ("partition.write", "missing")]),
    ({"partition": 1}, [("partition", "an object, not 1"), ("partition.key", "None is no name")]),
    (parted() | {"default_roles": []}, [("partition", "in place of default_roles")]),
    (parted(read={"%%partition.x": 1}), [("partition.read.%%partition.x", "is a whole")]),
    (parted(read={"a": 1}), [("partition.read.a", "has no document, so there is no field 'a'")]),
    (parted(read={"%%partition": {"$eq": "%%partition"}}), [("partition.read", TWO_FIELDS)]),
    (parted(read={"$not": {"$or": [{"%%partition": {"$exists": True}}, True]}}), []),
    (parted(write={"%%user.id": {"$in": ["%%partition"]}}), [("partition.write", CONVERTS)]),
    (parted(write={"%%user.id": {"$oidToString": "%%partition"}}),
     [("partition.write", CONVERTS)]),
    ({"permissions": 1}, [("permissions", "an object, not 1")]),
    ({"permissions": {"defaultRoles": []}, "rules": {}}, [("rules", "stands beside permissions")]),
    ({"permissions": {"values": {}, "environment": {}}}, []),
    ({"defaultRoles": [], "foo": 1}, [("foo", "this is the legacy format")]),
    ({"defaultRoles": [], "rules": 1}, [("rules", "an object, not 1")]),
    ({"defaultRoles": {"a": 1}}, [("default_roles", "roles are a list")]),
    ({"defaultRoles": [1]}, [("default_roles[0]", "a role is an object, not 1")]),
    ({"rules": {"B": [{"applyWhen": True, "read": True}, 1], "C": 1}},
     [("rules.B[0].name", "needs a name"), ("rules.B[0].document_filters.write", "is missing"),
      ("rules.B[1]", "a role is an object, not 1"), ("rules.C", "roles are a list, not 1")]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), MISTAKES)
def test_each_mistake_is_told_with_its_path(
    content: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """[RULES-FILE-1] [RULES-FILE-2]"""
    _, problems = checked(json.dumps(content))
    assert [each.path for each in problems] == [path for path, _ in expected]
    for each, (_, reason) in zip(problems, expected, strict=True):
        assert reason in each.reason


def reasons(text: str, **more: Any) -> list[str]:
    return [each.reason for each in checked(text, **more)[1]]


def test_a_name_that_stands_twice_is_told_once() -> None:
    twice = '{"a": 1, "b": 2, "b": 3}'
    assert reasons(f'{{"values": {{"x": {twice}, "y": {twice}}}}}') == [
        "the name 'b' stands twice in one object"
    ]


def test_functions_are_those_that_are_given() -> None:
    """[RULES-EXPR-8]"""
    rules = json.dumps(called({"name": "f"}))
    assert reasons(rules) == [], "whatever a rule calls will be given"
    assert checked(rules)[0].functions == {}
    given = {"h": len, "g": len}
    assert reasons(rules, functions=given) == ["no function 'f' was given; there is g, h"]
    assert reasons(rules, functions={}) == ["no function 'f' was given; there is none"]
    with pytest.raises(RulesError, match="there is none"):
        read_rules(rules)


def test_what_stands_side_by_side_is_not_deep() -> None:
    """And what is deep behind it is."""
    wide = [{"a": 1}] * 60
    deep = nested("$not", RULE_DEPTH_MAX)["document_filters"]["read"]
    for side in (wide, [{"a": {"$in": [[1]] * 60}}], [{"a": {"$not": {"$eq": 1}}}] * 60):
        assert reasons(json.dumps(asking({"$and": side}))) == []
        (reason,) = reasons(json.dumps(asking({"$and": [*side, deep]})))
        assert "more than 50 deep" in reason


SCHEMA = Schema(
    [
        ClassSchema(
            "Book",
            [
                Property.of("n", "int"), Property.of("q", "int", queryable=True),
                Property.of("home", "embedded:Place"), Property.of("extra", "dict<int>"),
            ],
            key="int",
        ),
        ClassSchema("Place", [Property.of("city", "string")]),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"_id": 5, "q": "%%user.id", "%%values.a": 1}, []),
        ({"home": {"$exists": True}, "extra": {"$exists": True}}, []),
        ({"$not": {"n": 1}}, ["Book.n is not queryable; the schema must say so"]),
        ({"$or": [{"x": {"$exists": True}}]}, ["Book has no property 'x' in the schema"]),
        ("%%root.x", ["Book has no property 'x' in the schema"]),
        ({"x": {"$in": [1]}}, ["Book has no property 'x' in the schema"]),
    ],
)
def test_beside_a_schema(condition: Any, expected: list[str]) -> None:
    """[RULES-FILE-1]"""
    content = {"rules": {"Book": asking(condition)["default_roles"]}}
    assert reasons(json.dumps(content), schema=SCHEMA) == expected


def test_fields_inside_of_what_the_schema_does_not_know() -> None:
    fields = {"x": {"fields": {"y": {"read": True}}}}
    content = {"rules": {"Book": with_role(fields=fields)["default_roles"]}}
    assert reasons(json.dumps(content), schema=SCHEMA) == ["Book has no property 'x' in the schema"]
    assert reasons(json.dumps(content)) == []


def test_the_legacy_format_keeps_values_and_environment() -> None:
    """[RULES-FILE-2]"""
    legacy = {"defaultRoles": [], "values": {"a": 1}, "environment": {"tag": "t"}}
    rules = read_rules(json.dumps(legacy))
    assert (rules.values, rules.environment) == ({"a": 1}, {"tag": "t"})


# -- what a user is known by -----------------------------------------------------------------------
def holding(condition: Any, **custom_data: Any) -> bool:
    """Whether somebody with such data has a role."""
    role = with_role(apply_when=condition)
    bound = read_rules(json.dumps(role)).bind({"id": "ann", "custom_data": custom_data})
    return not isinstance(bound.of("Book"), Denied)


KNOWN: list[tuple[Any, Any, bool]] = [
    ("%%true", None, True),
    ("%%false", None, False),
    ("%%user.custom_data.a", True, True),
    ("%%user.custom_data.a", 1, False),
    ({"%%user.id.nn": {"$ne": 1}}, None, False),  # a text has no names in it
    ({"%%user.custom_data.a.n": {"$ne": 1}}, "ann", False),
    ({"%%user.custom_data.a.n": 1}, {"n": 1}, True),
    # An object exists, and equals nothing.
    ({"%%user.custom_data.a": {"$exists": True}}, {"n": 1}, True),
    ({"%%user.custom_data.a": {"$ne": 1}}, {"n": 1}, True),
    ({"%%user.custom_data.a": {"$exists": True}}, {"$oid": OID, "n": 1}, True),
    ({"%%user.custom_data.a": {"$eq": {"$oid": OID}}}, {"$oid": OID}, True),
    ({"%%user.custom_data.a": {"$eq": {"$oid": OID}}}, {"$oid": OID, "n": 1}, False),
    ({"%%user.custom_data.a": {"$eq": {"$oid": OID}}}, {"$oid": OID, "$uuid": "x"}, False),
    ({"%%user.custom_data.a": {"$ne": 1}}, {"$minKey": 1}, True),
    ({"%%user.custom_data.a": {"$ne": 1}}, {"$oid": "no id"}, True),
    # What is no value of ours has none.
    ({"%%user.custom_data.a": {"$ne": 1}}, 2**70, False),
    ({"%%user.custom_data.a": {"$exists": True}}, 2**70, False),
    ({"%%user.custom_data.a": {"$in": [1]}}, [2**70, 1], True),
]


@pytest.mark.parametrize(("condition", "known", "expected"), KNOWN)
def test_what_a_user_is_known_by(condition: Any, known: Any, expected: bool) -> None:
    """[RULES-EXPR-4]"""
    assert holding(condition, a=known) is expected
    assert holding({"$not": condition}, a=known) is not expected


def test_how_deep_what_is_known_may_be() -> None:
    """[RULES-EXPR-4]"""
    given: list[Any] = []
    call = {"%function": {"name": "f", "arguments": ["%%user.custom_data.a"]}}
    rules = read_rules(json.dumps(with_role(apply_when=call)), functions={"f": given.append})
    deep: Any = ["x"]
    for _ in range(RULE_DEPTH_MAX - 1):
        deep = [deep]
    rules.bind({"custom_data": {"a": deep}})
    rules.bind({"custom_data": {"a": [deep]}})
    assert given[0] == deep
    assert str(given[1]) == "[" * RULE_DEPTH_MAX + "]" * RULE_DEPTH_MAX
    assert repr(ABSENT) == "ABSENT"


def test_a_function_that_is_not_there_is_told_as_that() -> None:
    told: list[Exception] = []
    rules, _ = checked(json.dumps(with_role(apply_when={"%function": {"name": "f"}})))
    rules.bind({"id": "ann"}, told.append)
    assert [str(each) for each in told] == ["no function 'f' was given to this server"]


FILTERS: list[tuple[Any, str]] = [
    ({"$not": {"a": 1}}, "NOT a == 1"),
    ({"a": {"$not": {"$gt": 1}}}, "NOT a > 1"),
    ({"%%user.custom_data.a": {"$exists": True}}, "TRUEPREDICATE"),
    ({"%%user.custom_data.b": {"$exists": True}}, "FALSEPREDICATE"),
    ("%%user.custom_data.a", "TRUEPREDICATE"),
    ("%%user.custom_data.b", "FALSEPREDICATE"),
    ({}, "TRUEPREDICATE"),
]


@pytest.mark.parametrize(("condition", "query"), FILTERS)
def test_a_filter_as_a_query(condition: Any, query: str) -> None:
    """[RULES-FILTER-1]: what is known beforehand is decided beforehand."""
    bound = read_rules(json.dumps(asking(condition))).bind({"custom_data": {"a": True}})
    found = bound.of("Book")
    assert isinstance(found, Granted)
    assert compiled(found.role.read, found.scope).text == query
