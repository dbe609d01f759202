"""Parsing is total and bounded, and canonical text is a fixed point."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from hypothesis import example, given
from hypothesis import strategies as st
from query_strategies import TYPES, queries, values

from replication.errors import QueryError
from replication.limits import QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_LIST_MAX
from replication.model.encoding import pack
from replication.model.values import Float32, Timestamp
from replication.query import Query, parse, union
from replication.query.ast import And, Comparison, Constant, Constants, Field, Or, Quantifier
from replication.query.canonical import RESERVED, name_text
from replication.query.compare import equal
from replication.query.lexer import lexemes, tokens

WORDS = r"""
    a tags null nil TRUE true == = != <> < <= =< > >= => IN BETWEEN BEGINSWITH ENDSWITH CONTAINS
    LIKE AND OR NOT ! && || ANY ALL NONE SOME ( ) { } , [c] [C] .@count .@size .@sum $0 $1 $9
    1 -1 0x1F 0x 1.5 .5 5. 1e3 1e 1.5f inf -inf nan 'x' "y" ' " B64"AP8=" B64"x" T1:2 T1:
    2021-01-01@00:00:00 2021-13-01@00:00:00 2021-01-01 oid(0102030405060708090a0b0c) oid(x) uuid(
    uuid(00000000-0000-0000-0000-000000000001) decimal(1.5) decimal() obj( obj \ \n '\u0041'
    '\ud800' 99999999999999999999 1e999 1e99f TRUEPREDICATE FALSEPREDICATE . @ ; - $ é
    SUBQUERY SORT LIMIT text 1AND 5a _ binary binary( binary('x') binary(B64"AP8=") binary('\q')
"""
PIECES = st.sampled_from([*WORDS.split(), "\ufffe", "\x00"])


def refusal(text: str, *args: Any) -> QueryError | None:
    try:
        parse(text, *args)
    except QueryError as error:
        return error
    return None


def parsed(text: str, *args: Any) -> Query | None:
    """A query, or None after a well-formed refusal."""
    refused = refusal(text, *args)
    if refused is not None:
        assert refused.position is None or 0 <= refused.position <= len(text)
        assert len(str(refused).encode()) < 2000
        return None
    query = parse(text, *args)
    again = parse(query.text)
    assert again == query
    assert again.text == query.text
    assert again.fields == query.fields
    return query


@given(st.text() | st.text(st.characters()) | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    """[QUERY-1] [QUERY-6]"""
    parsed(text)


@given(st.lists(PIECES, max_size=12), st.sampled_from(["", " ", "\n"]), st.lists(values))
def test_any_tokens_are_a_query_or_refused(pieces: list[str], space: str, args: list[Any]) -> None:
    parsed(space.join(pieces), *args)


@given(queries, st.data())
def test_a_damaged_query_is_a_query_or_refused(text: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(len(text), begin + 3)))
    parsed(text[:begin] + data.draw(PIECES | st.text(max_size=2)) + text[end:])


@given(queries)
def test_canonical_text_is_a_fixed_point(text: str) -> None:
    """[QUERY-70]"""
    query = parsed(text)
    assert query is not None
    assert query.fields <= TYPES.keys()
    assert query.is_local


@given(st.text())
def test_pieces_lose_nothing(text: str) -> None:
    assert "".join(lexemes(text)) == text


@given(values)
def test_a_constant_reads_back_as_what_it_was(value: Any) -> None:
    query = parse("a == $0", value)
    assert isinstance(query.root, Comparison)
    assert isinstance(query.root.right, Constant)
    again = parse(query.text)
    assert isinstance(again.root, Comparison)
    assert isinstance(again.root.right, Constant)
    assert pack(again.root.right.value) == pack(query.root.right.value)
    assert equal(again.root.right.value, value)


@given(st.text(min_size=1) | st.sampled_from(sorted(RESERVED)).map(str.upper))
@example("T1:2")
@example('B64"x"')
@example("oid(x)")
@example("\N{KELVIN SIGN}")
@example("li\N{KELVIN SIGN}e")
def test_every_name_can_be_written(name: str) -> None:
    for text in (f"{name_text(name)} == 1", f"ANY {name_text(name)} == 1"):
        query = parse(text)
        assert query.fields == {name}
        assert query.text == text
    assert parse(f"NOT {name_text(name)}.@count == 1").fields == {name}


def test_nodes_say_what_was_written() -> None:
    root = parse('age >= 18 AND (ANY tags IN[c] {"b", "a"} OR s BETWEEN {1, 2})').root
    assert isinstance(root, And)
    either, age = root.operands
    assert isinstance(age, Comparison)
    assert (age.operator, age.left, age.right) == (
        ">=",
        Field("age", "age", None),
        Constant("18", 18),
    )
    assert age.position == 0
    assert isinstance(either, Or)
    tags, between = either.operands
    assert isinstance(tags, Comparison)
    assert isinstance(tags.left, Field)
    assert isinstance(tags.right, Constants)
    assert (tags.operator, tags.fold, tags.position) == ("IN", True, 15)
    assert (tags.left.name, tags.left.quantifier) == ("tags", Quantifier.ANY)
    assert [item.value for item in tags.right.items] == ["a", "b"]
    assert isinstance(between, Comparison)
    assert between.operator == "BETWEEN"


def test_arguments_are_converted_as_writes_are() -> None:
    moment = datetime.datetime(2021, 4, 9, tzinfo=datetime.UTC)
    assert parse("a == $0", moment).text == f"a == T{int(moment.timestamp())}:0"
    assert parse("a == $0", decimal.Decimal("1.50")).text == "a == decimal(1.5)"
    assert parse("a IN $0", (1, None)).text == "a IN {1, null}"
    assert parse("a == $0", Float32(0.1)).text == "a == 0.1f"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (2**63, "64 bits"),
        ("\ud800", "surrogates"),
        (object, "pass None"),
        (datetime.datetime(2021, 4, 9), "time zone"),
        ({1}, "pass None"),
        ([[1]], "pass None"),
    ],
    ids=repr,
)
def test_an_argument_that_is_no_value_is_refused(argument: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        parse("a IN $0" if isinstance(argument, list) else "a == $0", argument)
    assert caught.value.position == 5
    assert "$0" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = = 1", "expected a field or a value, found '='"),
        ("a == 1 b", "expected AND, OR or the end of the query, found 'b'"),
        ("a IN 5", "IN needs a list in braces or an array field, found 5"),
        ("a IN {1", "expected '}', found the end of the query"),
        ("a BETWEEN 5", "expected '{' after BETWEEN, found '5'"),
        ("a LIKE 5", "LIKE needs a string, found 5"),
        ("1 < 2", "'<' compares two constants"),
        ("a == $1", "$1 has no argument; 0 were given"),
        ("a == $99999999999999999999", "has no argument"),
        ("a == 'x", "the string that begins with ' has no end"),
        ("a <[c] 'x'", "'[c]' has no meaning after '<'"),
        ("home.city.@sum.@min == 1", "'@min' after another aggregate"),
        ("ANY 5 == a", "found '5'"),
    ],
)
def test_a_refusal_names_the_token(text: str, message: str) -> None:
    """[QUERY-6]"""
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert f"(at position {caught.value.position})" in str(caught.value)


# -- limits: the last one that is taken, the first that is not -----------------------------------
def _nested(depth: int) -> str:
    return "(" * depth + "a == 1" + ")" * depth


def _deep(depth: int) -> str:
    text = "a == 0"
    for number in range(depth):
        text = f"NOT (b == {number} {'AND' if number % 2 else 'OR'} {text})"
    return text


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda size: "a" * (size - 5) + " == 1", QUERY_BYTES_MAX),
        (lambda size: "é" * ((size - 6) // 2) + "a == 1" + " " * (size % 2), QUERY_BYTES_MAX),
        (_nested, QUERY_DEPTH_MAX),
        (_deep, QUERY_DEPTH_MAX),
        (lambda size: f"a IN {{{', '.join('1' * size)}}}", QUERY_LIST_MAX),
    ],
)
def test_limits(make: Callable[[int], str], most: int) -> None:
    """[QUERY-2] [QUERY-3] [QUERY-4]"""
    query = parsed(make(most))
    assert query is not None
    assert query.matches({}.get) in (True, False)
    assert parsed(make(most + 1)) is None


def test_parentheses_side_by_side_are_not_nested() -> None:
    assert parsed(" OR ".join(f"(a == {number})" for number in range(QUERY_DEPTH_MAX + 1)))


def test_the_canonical_text_is_bounded_too() -> None:
    """[QUERY-5]"""
    assert parsed("a == $0", "x" * (QUERY_BYTES_MAX - 7)) is not None
    assert parsed("a == $0", "x" * (QUERY_BYTES_MAX - 6)) is None
    assert parsed("a == $0", "é" * (QUERY_BYTES_MAX // 2)) is None
    assert parsed("a == '" + "\x01" * (QUERY_BYTES_MAX // 6) + "'") is None
    assert parsed("a IN $0", ["x"] * QUERY_LIST_MAX) is not None
    assert parsed("a IN $0", ["x"] * (QUERY_LIST_MAX + 1)) is None
    long = "a" * (QUERY_BYTES_MAX // 2)
    with pytest.raises(QueryError, match="canonical form"):
        union([parse(f"{long} == 1"), parse(f"{long} == 2")])


@pytest.mark.parametrize(
    "text",
    [
        "!" * 200_000 + "a == 1",
        "NOT " * 60_000 + "a == 1",
        "a == " + "9" * 200_000,
        "a == " + "0" * 200_000 + "7",
        "a == 0." + "1" * 200_000,
        "a == T" + "1" * 200_000 + ":0",
        "a == 2021-01-01@" + "1" * 200_000,
        'a == "' + "\\\\" * 100_000,
        "uuid(" * 40_000,
        "T1" * 100_000,
        "1e" * 100_000,
        "\\" * 262_144,
        '"' * 262_143,
        "a == " + "{" * 200_000,
        " AND ".join(f"a != {number}" for number in range(15_000)),
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_takes_no_longer_than_other_text(text: str) -> None:
    parsed(text)


# -- a query beside others ------------------------------------------------------------------------
def test_queries_are_told_apart_by_their_text() -> None:
    assert parse("a = 1 && b = 2") == parse("(b == 2) AND a == 1")
    assert hash(parse("1 < a")) == hash(parse("a > 1"))
    assert parse("a == 1") != parse("a == 1.0")
    assert str(parse("1 = a")) == "a == 1"
    with pytest.raises(AttributeError):
        parse("a == 1").branches = ()  # type: ignore[misc,assignment]


@given(st.lists(queries, max_size=3))
def test_a_union_holds_where_one_of_its_queries_does(texts: list[str]) -> None:
    """[QUERY-90]"""
    members = [parse(text) for text in texts]
    together = union(members)
    assert together.text == union(reversed([*members, *members])).text
    assert parse(together.text) == together
    document: dict[str, Any] = {"i": 1, "s": "a", "li": [1], "m": Timestamp(0)}
    expected = any(member.matches(document.get) for member in members)
    assert together.matches(document.get) is expected


def test_the_remembered_tokens_are_bounded() -> None:
    assert len(tokens([f"name{number}" for number in range(10_000)])) == 10_000
    assert tokens(["x" * 100_000])[0].kind == "word"
    from replication.query import lexer

    assert 0 < len(lexer._remembered) <= lexer._REMEMBERED_MAX


def test_decimals_keep_their_value_and_lose_their_zeros() -> None:
    assert parse("a == $0", Decimal128("1.2300E+10")).text == "a == decimal(1.23E+10)"
    assert parse("a == $0", Decimal128("-0E-5")).text == "a == decimal(0)"
    digits = "1234567890123456789012345678901234"
    assert parse("a == $0", Decimal128(digits)).text == f"a == decimal({digits})"
