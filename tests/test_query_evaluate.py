"""The meaning of queries, held to independent definitions."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from hypothesis import assume, example, given
from hypothesis import strategies as st
from query_strategies import TYPES, comparisons, documents, numbers, queries, values, wild_documents

from replication.errors import QueryError
from replication.model.values import Float32
from replication.query import Query, parse
from replication.query.ast import Comparison, Constant, Constants, Field
from replication.query.compare import equal, less
from replication.query.evaluate import constant_test, like_test, relation


def exact(value: Any) -> Fraction | float:
    """A number as a fraction; infinities and NaN as floats."""
    number: Any = value.to_decimal() if isinstance(value, Decimal128) else value
    if isinstance(number, int):
        return Fraction(number)
    if isinstance(number, Decimal) and number.is_nan():
        return math.nan  # a signalling one can't even be compared
    return Fraction(number) if math.isfinite(number) else float(number)


@given(numbers, numbers)
@example(2**53 + 1, 2.0**53)
@example(2**63 - 1, 2.0**63)
@example(Decimal128("0.1"), 0.1)
@example(Float32(0.1), 0.1)
def test_numbers_compare_by_exact_value(left: Any, right: Any) -> None:
    """[QUERY-43] [QUERY-44]"""
    a, b = exact(left), exact(right)
    both_nan = a != a and b != b
    assert equal(left, right) is (a == b or both_nan)
    assert less(left, right) is (a < b)


@given(values, values, values)
def test_equality_and_order_are_what_their_names_say(a: Any, b: Any, c: Any) -> None:
    """[QUERY-42]"""
    assert equal(a, a)
    assert equal(a, b) is equal(b, a)
    assert equal(a, b) + less(a, b) + less(b, a) <= 1
    if equal(a, b) and equal(b, c):
        assert equal(a, c)
    if less(a, b) and less(b, c):
        assert less(a, c)
    if equal(a, b) and less(b, c):
        assert less(a, c)


@given(comparisons(), values | st.lists(values, max_size=2))
def test_shortcuts_agree_with_the_definition(text: str, value: Any) -> None:
    root = parse(text).root
    assert isinstance(root, Comparison)
    right: Any = root.right
    assume(isinstance(right, Constant | Constants))
    plain: Any = right.value if isinstance(right, Constant) else tuple(i.value for i in right.items)
    expected = relation(root.operator, fold=root.fold)(value, plain)
    element, constant = constant_test(root.operator, right, fold=root.fold)
    assert element(value, constant) is expected


@given(queries, documents | wild_documents)
def test_not_is_the_exact_opposite(text: str, document: dict[str, Any]) -> None:
    """[QUERY-40] [QUERY-57]"""
    result = parse(text).matches(document.get)
    assert result in (True, False)
    assert parse(f"NOT ({text})").matches(document.get) is not result


@given(st.sampled_from(["<", "<=", ">", ">="]), values, values)
def test_orderings_are_made_of_less_and_equal(operator: str, a: Any, b: Any) -> None:
    """[QUERY-51]"""
    low, high = (a, b) if operator[0] == "<" else (b, a)
    expected = less(low, high) or ("=" in operator and equal(low, high))
    assert parse(f"a {operator} $0", b).matches({"a": a}.get) is expected
    assert parse(f"a {operator} b").matches({"a": a, "b": b}.get) is expected


@given(st.lists(values, max_size=4), values)
def test_quantifiers_are_pythons(elements: list[Any], value: Any) -> None:
    """[QUERY-60] [QUERY-61]"""
    held = [equal(element, value) for element in elements]
    for text, expected in (
        ("ANY a == $0", any(held)),
        ("a == $0", any(held)),
        ("$0 IN a", any(held)),
        ("ALL a == $0", all(held)),
        ("NONE a == $0", not any(held)),
        ("ANY a != $0", not all(held)),
        ("NOT a != $0", all(held)),
        ("ALL a IN {$0}", all(held)),
        ("ANY a == b", any(held)),
        ("b == ALL a", all(held)),
    ):
        query = parse(text, value)
        assert query.matches({"a": elements, "b": value}.get) is expected, text
    assert parse("a.@count == $0", len(elements)).matches({"a": elements}.get)


@given(st.text("aß*?\n", max_size=8), st.text("aAsSß\n*", max_size=10))
@example("*a?*", "ba\n")
@example("", "")
@example("**", "")
@example("a*a", "a")
@example("*a*a", "a")
@example("a*a*a", "aa")
def test_like(pattern: str, text: str) -> None:
    """[QUERY-56]"""
    # The textbook's recursion.
    table = {(0, 0): True}
    for i in range(len(pattern) + 1):
        for j in range(len(text) + 1):
            if i == 0 or (i, j) in table:
                continue
            before = pattern[i - 1]
            if before == "*":
                table[i, j] = table.get((i - 1, j), False) or table.get((i, j - 1), False)
            else:
                fits = j > 0 and before in ("?", text[j - 1])
                table[i, j] = fits and table.get((i - 1, j - 1), False)
    assert like_test(pattern)(text) is table.get((len(pattern), len(text)), False)


def test_like_does_not_backtrack() -> None:
    pattern = "*a" * 127 + "*b"
    assert not parse("a LIKE $0", pattern).matches({"a": "a" * 100_000}.get)
    assert not parse("a LIKE b").matches({"a": "a" * 100_000, "b": pattern}.get)


# -- beside a schema ----------------------------------------------------------------------------
def refusal(query: Query) -> QueryError | None:
    try:
        query.check(TYPES)
    except QueryError as error:
        return error
    return None


@given(queries, documents)
def test_a_checked_query_means_the_same(text: str, document: dict[str, Any]) -> None:
    query = parse(text)
    assume(refusal(query) is None)
    checked = query.check(TYPES)
    assert checked.check(TYPES) == checked
    # Where a literal can take the type of its field, it may mean more. [QUERY-89]
    if not {"f", "n", "sf", "sn"} & query.fields:
        assert checked.matches(document.get) is query.matches(document.get)


@given(queries)
def test_a_refusal_names_the_field(text: str) -> None:
    query = parse(text)
    error = refusal(query)
    if error is not None:
        assert error.position is not None
        assert any(str(error).startswith(f"{name}: ") for name in query.fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuch == 1", "nosuch: no such field can be queried; there are _id, "),
        ("i == '1'", 'i: a field of type int? never compares with string "1"'),
        ("NOT (b > true)", "b: a bool has no order; use == or !=, not >"),
        ("i >= null", "i: null has no order; use == or !=, not >="),
        ("ANY i == 1", "i: ANY and IN need a list, set or dictionary, not int?"),
        ("i.@count == 1", "i: @count needs a list, set, dictionary, string or binary, or a link, "),
        ("s.@sum == 1", "s: @sum needs numbers, not string?"),
        ("i + s == 1", "i + s: + needs numbers, not string?"),
        ("i.x == 1", "i.x: a int? has no property 'x'"),
        ("i LIKE '1*'", "i: LIKE needs a string field, not int?"),
        ("l == obj('Q', 1)", 'l: a link:P never holds obj("Q", 1)'),
        ("li == ls", "li: 'li == ls' compares two arrays"),
        ("i == s", "i: int? and string? never compare: 'i == s'"),
    ],
)
def test_a_refusal_says_why(text: str, message: str) -> None:
    """[QUERY-80] [QUERY-82] [QUERY-84]"""
    with pytest.raises(QueryError) as caught:
        parse(text).check(TYPES)
    assert str(caught.value).startswith(message)


def test_a_checked_query_knows_its_types() -> None:
    root = parse("i == 1").check(TYPES).root
    assert isinstance(root, Comparison)
    assert isinstance(root.left, Field)
    assert root.left.type == "int?"


def test_a_literal_finds_what_a_write_of_it_stored() -> None:
    """[QUERY-89]"""
    document = {"f": Float32(0.1), "n": Decimal128("0.1"), "sn": [Decimal128("1.1")]}
    for text in ("f == 0.1", "n == 0.1", "sn == 1.1", "n BETWEEN {0.1, 0.1}", "f IN {0.1}"):
        assert not parse(text).matches(document.get)
        assert parse(text).check(TYPES).matches(document.get)
