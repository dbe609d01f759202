"""What each operator says of each pair of values, in tables: no example is drawn. [QUERY]"""

from __future__ import annotations

import math
import uuid
from itertools import product
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from plain_objects import Objects

from replication.limits import QUERY_PATTERN_MAX
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import (
    EmbeddedValues,
    Float32,
    Link,
    NestedDict,
    NestedList,
    Timestamp,
)
from replication.query import Query, parse
from replication.query.ast import Constant, Constants
from replication.query.compare import equal, is_ordered, less
from replication.query.evaluate import constant_test, folded, like_test, relation

#: Some of each kind, and what is the same in another case, or of another type.
VALUES: list[Any] = [
    None, False, True, 0, 1, -1, 2**53 + 1, 2.0**53, 1.0, 0.1, math.nan, math.inf, Float32(0.1),
    Decimal128("0.1"), Decimal128("1"), Decimal128("NaN"), "", "a", "A", "ab", "bA", "ß", "SS",
    b"", b"a", b"ab", Timestamp(1, 5), Timestamp(1, 6), ObjectId(bytes(12)), ObjectId(b"a" * 12),
    uuid.UUID(int=0), uuid.UUID(int=1), Link("P", 1), Link("P", "1"),
]  # fmt: skip
#: What stands for no single value.
OTHERS: list[Any] = [
    ["a"], [], NestedList(["a"]), {"a": 1}, NestedDict({"a": 1}), EmbeddedValues({"a": 1})
]  # fmt: skip


def says(operator: str, left: Any, right: Any) -> bool:
    """The meaning of an operator, in the words of the page."""
    both_text = type(left) is str and type(right) is str
    match operator:
        case "==" | "!=":
            return equal(left, right) is (operator == "==")
        case "<" | ">":
            return less(left, right) if operator == "<" else less(right, left)
        case "<=" | ">=":
            strictly = less(left, right) if operator == "<=" else less(right, left)
            return strictly or equal(left, right)
        case "BEGINSWITH":
            return both_text and left[: len(right)] == right
        case "ENDSWITH":
            return both_text and left[len(left) - len(right) :] == right and len(right) <= len(left)
        case _:
            return both_text and right in left


OPERATORS = ["==", "!=", "<", ">", "<=", ">=", "BEGINSWITH", "ENDSWITH", "CONTAINS"]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("fold", [False, True])
def test_what_an_operator_says_of_a_pair(operator: str, fold: bool) -> None:
    """[QUERY-42] [QUERY-51] [QUERY-55]: the definition, and the short way beside a constant."""
    related = relation(operator, fold=fold)
    for right in VALUES:
        element, constant = constant_test(operator, Constant("", right), fold=fold)
        for left in VALUES + OTHERS:
            a, b = (folded(left), folded(right)) if fold else (left, right)
            expected = says(operator, a, b)
            assert related(left, right) is expected, (left, right)
            assert element(left, constant) is expected, (left, right)


@pytest.mark.parametrize("fold", [False, True])
def test_one_of_several_and_between_two(fold: bool) -> None:
    """[QUERY-53] Beside constants, each pair of them."""
    between, among = relation("BETWEEN", fold=fold), relation("IN", fold=fold)
    for pair in product(VALUES[::4], VALUES[1::5]):
        constants = Constants("", tuple(Constant("", value) for value in pair))
        low, high = folded(pair) if fold else pair
        in_any, members = constant_test("IN", constants, fold=fold)
        in_range, bounds = constant_test("BETWEEN", constants, fold=fold)
        for left in [*VALUES[::3], *pair, *OTHERS]:
            value = folded(left) if fold else left
            expected = equal(value, low) or equal(value, high)
            assert among(left, pair) is in_any(left, members) is expected, (left, pair)
            expected = says(">=", value, low) and says("<=", value, high)
            assert between(left, pair) is in_range(left, bounds) is expected, (left, pair)


def test_nan_among_several() -> None:
    """[QUERY-44] Wherever it stands."""
    for values in ((math.nan, 1), (1, math.nan), (Decimal128("NaN"), "a")):
        constants = Constants("", tuple(Constant("", value) for value in values))
        among, members = constant_test("IN", constants)
        others = (float("nan"), Decimal128("NaN"), Decimal128("sNaN"), 2, None)
        assert [among(each, members) for each in others] == [True, True, True, False, False]
        assert equal(Decimal128("sNaN"), math.nan)


def test_decimals_among_several() -> None:
    """[QUERY-43] By their exact value."""
    constants = Constants("", (Constant("", Decimal128("1")), Constant("", "a")))
    among, members = constant_test("IN", constants)
    found = [among(each, members) for each in (1, 1.0, Decimal128("1.0"), True, "1", "a")]
    assert found == [True, True, True, False, False, True]


def test_a_field_of_one_value_is_one_value() -> None:
    """Beside a constant and beside another field: what a schema says it is."""
    assert parse("a == 1").matches({"a": [1]}.get)
    assert parse("a == b").matches({"a": [1], "b": 1}.get)
    for text in ("a == 1", "a == b", "b == a"):
        query = parse(text).check({"a": "int", "b": "int"})
        assert query.matches({"a": 1, "b": 1}.get)
        assert not query.matches({"a": [1], "b": 1}.get)
    schema = Schema([ClassSchema("Home", [Property.of("n", "int")])])
    many = parse("homes.n == b").check({"homes": "list<embedded:Home>", "b": "int"}, schema)
    assert many.matches({"homes": [EmbeddedValues({"n": 2}), EmbeddedValues({"n": 1})], "b": 1}.get)


def test_what_has_an_order() -> None:
    """Anything but null, bools, links, NaN and what is no single value. [QUERY-42]"""
    for value in VALUES + OTHERS:
        smaller = [other for other in VALUES if less(other, value) or less(value, other)]
        assert is_ordered(value) or not smaller
    for other in OTHERS:
        assert not equal(other, other), "as a whole"
    assert [is_ordered(each) for each in (None, True, float("nan"), 1, "a", b"", [])] == [
        False, False, False, True, True, True, False,
    ]  # fmt: skip


# -- LIKE ------------------------------------------------------------------------------------------
def fits(pattern: str, text: str) -> bool:
    """The page's definition, letter by letter."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return fits(pattern[1:], text) or (bool(text) and fits(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and fits(pattern[1:], text[1:])


def test_each_short_pattern() -> None:
    """[QUERY-56]"""
    texts = ["".join(each) for size in range(4) for each in product("ab", repeat=size)]
    for size in range(5):
        for pattern in map("".join, product("ab?*", repeat=size)):
            like = like_test(pattern)
            assert [like(text) for text in texts] == [fits(pattern, text) for text in texts]


def test_a_pattern_from_a_field_is_bounded() -> None:
    """[QUERY-56] A longer one fits nothing."""
    query = parse("a LIKE b")
    for size, expected in ((QUERY_PATTERN_MAX, True), (QUERY_PATTERN_MAX + 1, False)):
        text = "x" * size
        assert query.matches({"a": text, "b": text}.get) is expected
    assert parse("a LIKE[c] b").matches({"a": "XY", "b": "x?"}.get)


# -- the form of a query ---------------------------------------------------------------------------
def matches(text: str, **document: Any) -> bool:
    query: Query = parse(text)
    answer = query.matches(document.get)
    assert parse(f"NOT ({text})").matches(document.get) is not answer
    return answer


def test_any_number_of_conditions() -> None:
    """[QUERY-50] All of them, or one of them."""
    for size in range(1, 6):
        names = "abcdef"[:size]
        every, some = (word.join(f"{name} == 1" for name in names) for word in (" AND ", " OR "))
        for said in product([0, 1], repeat=size):
            document = dict(zip(names, said, strict=True))
            assert matches(every, **document) is all(said)
            assert matches(some, **document) is any(said)
    assert matches("TRUEPREDICATE")
    assert not matches("FALSEPREDICATE")


ARRAYS: list[tuple[str, Any, bool]] = [
    ("a == 1", [2, 1], True), ("a == 1", [], False), ("a == 1", 1, True), ("a == 1", None, False),
    ("a == 1", {"k": 1}, True), ("a != 1", [1], False), ("a != 1", [1, 2], True),
    ("a == null", [None], True), ("a == null", None, True), ("a == null", [], False),
    ("ANY a == null", None, False), ("ANY a == 1", 1, True), ("ANY a == 1", {"k": 1}, True),
    ("ALL a == 1", [1, 1], True), ("ALL a == 1", [1, 2], False), ("ALL a == 1", [], True),
    ("ALL a == 1", None, True), ("NONE a == 1", [2, 1], False), ("NONE a == 1", [2], True),
    ("NONE a == 1", [], True), ("a == {1, 2}", [1, 2], True), ("a == {1, 2}", [2, 1], False),
    ("a == {1, 2}", [1], False), ("a == {1, 2}", 1, False), ("a != {1, 2}", [1], True),
    ("a == {1, 2}", NestedList([1, 2.0]), True), ("a == {1, 2}", {"k": 1, "l": 2}, False),
    ("a IN {1, 2}", [3, 2], True), ("a BETWEEN {1, 3}", [0, 2], True),
    ("a.@count == 2", [1, 2], True), ("a.@count == 1", 5, False), ("a.@count == 0", None, True),
    ("a.@sum == 3", [1, 2], True), ("a.@max > 1", {"k": 2}, True), ("a + 1 == 3", 2, True),
    ("a.@type == 'int'", 1, True), ("a.@type == 'string'", 1, False),
    ("a.@type != 'int'", 1, False), ("a.@type == 'int'", ["x", 1], True),
    ("ALL a.@type == 'int'", ["x", 1], False), ("a.@type == b.@type", 1, True),
    ("a.@type == b.@type", "x", False), ("a.@type == b.@type", ["x", 1], True),
    ("b.@type == a.@type", ["x", 1], True), ("ALL a.@type == b.@type", ["x", 1], False),
    ("a == b", [2, 5], True), ("b == a", [2, 5], True), ("ALL a == b", [5, 5], True),
    ("b == ALL a", [5, 4], False), ("b < ANY a", [4, 6], True), ("b < ALL a", [4, 6], False),
    ("ANY a < b", [4, 6], True), ("a < b", [6], False), ("b > a", [4, 6], True),
    ("ALL a < b", [4, 6], False), ("NONE a == b", [4, 6], True), ("a == b", {"k": 5}, True),
    ("a == b", 5, True), ("a + b == 6", 1, True), ("b - a == 4", 1, True),
    ("ANY a == b + 1", [6], True), ("b + 1 == ANY a", [6], True), ("ALL a == b + 1", [6, 5], False),
    ("a ==[c] {'A', 'b'}", ["a", "B"], True), ("a ==[c] {'A'}", ["b"], False),
    ("a !=[c] {'A'}", ["a"], False), ("a LIKE 'x*'", 5, False), ("a LIKE 'x*'", None, False),
    ("a LIKE 'x*'", ["y", "xy"], True), ("a TEXT 'x'", 5, False), ("a TEXT 'x'", "y x", True),
    ("a[*] == 1", [2, 1], True), ("a[*] == 1", NestedList([2, 1]), True), ("a[*] == 1", 1, False),
    ("a.n == null", [EmbeddedValues({"n": 1}), EmbeddedValues({})], True),
    ("a.n == null", [EmbeddedValues({"n": 1})], False), ("a.n == 1", {"n": 1}, True),
    ("a.n.m == 1", [EmbeddedValues({"n": EmbeddedValues({"m": at})}) for at in (2, 1)], True),
    ("a.n == 1", [EmbeddedValues({"n": {"k": 1}})], True), ("a.@count == 1", Link("P", 1), True),
    ("a.n.m == 1", EmbeddedValues({"n": EmbeddedValues({"m": 1})}), True),
    ("a == {1, 2}", [1, 3], False), ("a[LAST] == null", [], True), ("a[LAST] == 2", [1, 2], True),
    ("a[0] == null", [], True), ("a[0] == 1", [1, 2], True), ("a[2] == null", [1, 2], True),
    ("a.length == 1", 5, False), ("a.length == 2", b"ab", True), ("a.length == 2", "ab", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value", "expected"), ARRAYS)
def test_what_stands_for_its_elements(text: str, value: Any, expected: bool) -> None:
    """[QUERY-60] to [QUERY-65]; `b` is 5."""
    assert matches(text, a=value, b=5) is expected


def test_objects_that_are_counted() -> None:
    """Those for which all conditions hold."""
    homes = [EmbeddedValues({"n": 1, "m": 1}), EmbeddedValues({"n": 1}), EmbeddedValues({"n": 2})]
    for condition, found in (("$h.n == 1", 2), ("$h.n == 1 AND $h.m == 1", 1), ("$h.n > 5", 0)):
        query = f"SUBQUERY(homes, $h, {condition}).@count"
        for number in range(4):
            assert matches(f"{query} == {number}", homes=homes) is (number == found)
    linked = EmbeddedValues({"owner": Link("P", 1)})
    query = "SUBQUERY(homes, $h, $h.owner.n == null).@count == 1"
    assert matches(query, homes=[linked]), "nobody is here to follow it"
    assert matches("SUBQUERY(homes, $h, $h.n == null).@count == 1", homes=[5, EmbeddedValues({})])


def test_links_are_followed_from_wherever_they_are() -> None:
    """[QUERY-132] [QUERY-133]"""
    friend = Link("P", 2)
    home = EmbeddedValues({"owner": friend})
    objects = Objects({"P": {1: {"n": 1, "friend": friend, "friends": [friend, Link("P", 9)],
                                 "homes": [home, EmbeddedValues({})]}, 2: {"n": 2}}})  # fmt: skip
    first, second = objects.of("P")
    for text, held in (
        ("friend.n == 2", True), ("friends.n == 2", True), ("friends.n == null", False),
        ("SUBQUERY(homes, $h, $h.owner.n == 2).@count == 1", True),
        ("SUBQUERY(homes, $h, $h.owner.n == null).@count == 1", True),
        ("SUBQUERY(friends, $f, $f.n == 2).@count == 1", True),
        ("friend.@links.P.friend.n == 1", True), ("friends.@links.P.friend.n == 1", True),
        ("friend.@links.P.friend.@count == 1", True), ("n.@links.@count == 0", True),
        ("@links.P.friend.@count == 0", True),
    ):  # fmt: skip
        assert parse(text).matches(first) is held, text
    assert parse("@links.P.friend.n == 1").matches(second)


def test_points_in_a_region() -> None:
    """One of an array suffices."""
    inside = {"type": "Point", "coordinates": [0.5, 0.5]}
    outside = {"type": "Point", "coordinates": [5.0, 5.0]}
    text = "a GEOWITHIN geoBox([0, 0], [1, 1])"
    for held, expected in (
        (EmbeddedValues(inside), True), (EmbeddedValues(outside), False), (None, False), (1, False),
        ([EmbeddedValues(outside), EmbeddedValues(inside)], True),
        ([EmbeddedValues(outside)], False), ([], False),
    ):  # fmt: skip
        assert matches(text, a=held) is expected
    both = [EmbeddedValues(outside), EmbeddedValues(inside)]
    assert not matches(f"ALL {text}", a=both)
    assert not matches(f"NONE {text}", a=both)
