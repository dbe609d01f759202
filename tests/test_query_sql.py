"""SQL means what Python means, for every query on every row, and it uses indexes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import apsw
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given, settings
from hypothesis import strategies as st
from query_strategies import HARD_VALUES, TYPES, documents, queries, values, wild_documents

from replication.errors import QueryError, WrongTypeError
from replication.query import Query, parse
from replication.query.columns import column_value, field_value
from replication.query.compare import equal, less
from replication.query.sql import FUNCTIONS, compile_sql

COLUMNS = {name: f'"{name}"' for name in TYPES}


def _connection() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    for name, (function, arguments) in FUNCTIONS.items():
        connection.create_scalar_function(name, function, arguments, deterministic=True)
    connection.execute(f"CREATE TABLE t (row INTEGER PRIMARY KEY, {', '.join(COLUMNS.values())})")
    for name, column in COLUMNS.items():
        connection.execute(f'CREATE INDEX "by {name}" ON t ({column})')
    return connection


CONNECTION = _connection()


def _store(rows: list[Mapping[str, Any]]) -> None:
    marks = ", ".join("?" * (len(COLUMNS) + 1))
    stored = [
        (number, *(column_value(row.get(name)) for name in COLUMNS))
        for number, row in enumerate(rows)
    ]
    with CONNECTION:
        CONNECTION.execute("DELETE FROM t")
        CONNECTION.executemany(f"INSERT INTO t VALUES ({marks})", stored)


def _selected(query: Query) -> list[int]:
    compiled = compile_sql(query, COLUMNS)
    assert compiled is not None
    condition, bindings, exact = compiled
    assert exact
    sql = f"SELECT row FROM t WHERE {condition} ORDER BY row"
    return [row[0] for row in CONNECTION.execute(sql, bindings)]


def _found(query: Query, rows: list[Mapping[str, Any]]) -> list[int]:
    """What SQL finds, with Python's judgement where SQL only narrows."""
    _store(rows)
    compiled = compile_sql(query, COLUMNS)
    if compiled is None:
        return _matching(query, rows)
    sql = f"SELECT row FROM t WHERE {compiled.text} ORDER BY row"
    narrowed = [row[0] for row in CONNECTION.execute(sql, compiled.bindings)]
    if compiled.exact:
        return narrowed
    return [number for number in narrowed if query.matches(rows[number].get)]


def _matching(query: Query, rows: list[Mapping[str, Any]]) -> list[int]:
    return [number for number, row in enumerate(rows) if query.matches(row.get)]


@settings(max_examples=200)
@given(queries, st.lists(documents | wild_documents, min_size=1, max_size=4))
def test_sql_and_canonical_text_mean_what_the_query_means(
    text: str, rows: list[Mapping[str, Any]]
) -> None:
    query = parse(text)
    again = parse(query.text)
    assert again.text == query.text
    expected = _matching(query, rows)
    assert _matching(again, rows) == expected
    assert _found(query, rows) == expected


@settings(max_examples=200)
@given(queries, st.lists(documents, min_size=1, max_size=4))
def test_sql_of_a_checked_query_means_the_same(text: str, rows: list[Mapping[str, Any]]) -> None:
    query = parse(text)
    try:
        checked = query.check(TYPES)
    except QueryError:
        return
    assert checked.check(TYPES).text == checked.text
    assert _found(checked, rows) == _matching(checked, rows)


OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "IN", "BETWEEN"]
STRING_OPERATORS = ["BEGINSWITH", "ENDSWITH", "CONTAINS", "LIKE"]


def _hard_queries(operator: str) -> Iterator[Query]:
    for number, value in enumerate(HARD_VALUES):
        if operator in STRING_OPERATORS and type(value) is not str:
            continue
        other = HARD_VALUES[number * 7 % len(HARD_VALUES)]
        shape = {"IN": "{$0, $1}", "BETWEEN": "{$0, $1}"}.get(operator, "$0")
        for text in (f"m {operator} {shape}", f"NOT m {operator} {shape}"):
            yield parse(text, value, other)
        if operator == "BETWEEN":
            yield parse(f"m BETWEEN {shape}", other, value)


@pytest.mark.parametrize("operator", OPERATORS + STRING_OPERATORS)
def test_every_hard_value_against_every_other(operator: str) -> None:
    rows: list[Mapping[str, Any]] = [{"m": value} for value in HARD_VALUES]
    _store(rows)
    for query in _hard_queries(operator):
        expected = _matching(query, rows)
        assert _selected(query) == expected, query.text
        with contextlib.suppress(QueryError):  # an order of what has none
            assert _selected(query.check({"m": "mixed"})) == expected, query.text
        with contextlib.suppress(QueryError):  # a literal may have become a decimal
            checked = query.check({"m": "decimal"})
            decimals = [row for row in _matching(checked, rows) if _is_decimal(rows[row]["m"])]
            assert [row for row in _selected(checked) if _is_decimal(rows[row]["m"])] == decimals


def _is_decimal(value: object) -> bool:
    return type(value) is Decimal128


@given(values, values)
def test_columns_compare_as_values_do(left: Any, right: Any) -> None:
    a, b = column_value(left), column_value(right)
    [(is_equal, is_less)] = CONNECTION.execute("SELECT ? IS ?, ? < ?", (a, b, a, b))
    assert bool(is_equal) is equal(left, right)
    if less(left, right):
        # A decimal that is no double is a blob: beside a number it needs the second range.
        assert is_less or (type(b) is not bytes) is (type(a) is bytes)
    assert equal(field_value(a), left)


@given(st.lists(values))
def test_an_array_survives_its_column(elements: list[Any]) -> None:
    again = field_value(column_value(elements))
    assert isinstance(again, list)
    assert len(again) == len(elements)
    assert all(map(equal, again, elements))


# -- plans ----------------------------------------------------------------------------------------
def _plan(text: str, *, check: bool, rest: str = "") -> str:
    query = parse(text)
    compiled = compile_sql(query.check(TYPES) if check else query, COLUMNS)
    assert compiled is not None
    condition, bindings, _ = compiled
    sql = f"EXPLAIN QUERY PLAN SELECT * FROM t WHERE {condition} {rest}"
    return "; ".join(row[3] for row in CONNECTION.execute(sql, bindings))


INDEXED = [
    "i == 5",
    "i == null",
    "i IN {1, 2, 3}",
    "i IN {1, null}",
    "i > 5",
    "i <= 5",
    "5 > i",
    "i BETWEEN {1, 5}",
    "i > 1 AND i < 5",
    "d >= 0.5",
    "n == 0.1",
    "n < 0.1",
    "n BETWEEN {0.1, 5}",
    "m BETWEEN {1, 5}",
    "m > T1:2",
    "s == 'x'",
    "s IN {'x', 'y'}",
    "s > 'x'",
    "s BEGINSWITH 'x'",
    "s BEGINSWITH '\U0010ffff'",
    "s LIKE 'x*'",
    "b == true",
    "y == B64'AP8='",
    "t < 2021-04-09@12:00:00",
    "t BETWEEN {T1:0, T2:0}",
    "o == oid(0102030405060708090a0b0c)",
    "u == uuid(00000000-0000-0000-0000-000000000001)",
    "l == obj('P', 1)",
    "i == 5 OR s == 'x'",
    "NOT NOT i == 5",
    "i == 5 AND NOT s == 'x'",
    "i == 5 AND s ==[c] 'x' AND ANY li == 1",
]


@pytest.mark.parametrize("check", [False, True], ids=["unchecked", "checked"])
@pytest.mark.parametrize("text", INDEXED)
def test_sqlite_uses_the_index(text: str, check: bool) -> None:
    plan = _plan(text, check=check)
    assert "USING INDEX" in plan
    assert "SCAN" not in plan


@pytest.mark.parametrize(
    "text",
    [text for text in INDEXED if not {"OR", "null}"} & {*text.split()} and text[0] not in "nm"],
)
def test_a_checked_query_takes_one_look_at_one_index(text: str) -> None:
    assert "OR" not in _plan(text, check=True)


def test_pages_of_an_equality_need_no_sorting() -> None:
    plan = _plan("s == 'x'", check=True, rest="AND row > 10 ORDER BY row LIMIT 10")
    assert plan == "SEARCH t USING INDEX by s (s=? AND rowid>?)"


@pytest.mark.parametrize("text", ["s CONTAINS 'x'", "s ENDSWITH 'x'", "s LIKE '*x'", "i != 5"])
def test_what_no_index_serves_does_not_look_as_if_it_could(text: str) -> None:
    assert _plan(text, check=True) == "SCAN t"


# -- what SQL can't or shall not do ---------------------------------------------------------------
def test_a_field_without_a_column_leaves_the_query_to_python() -> None:
    assert compile_sql(parse("i == x"), {"i": "i"}) is None
    assert compile_sql(parse("TRUEPREDICATE"), {}) == ("1", [], True)
    assert compile_sql(parse("FALSEPREDICATE"), {}) == ("0", [], True)


def test_words_may_stand_anywhere_in_a_text() -> None:
    """They were looked for where a pattern of LIKE begins."""
    rows: list[Mapping[str, Any]] = [{"s": "the Great"}, {"s": "great of"}, {"s": "greater"}]
    for query in (parse("s TEXT 'great -of'"), parse("s TEXT 'great -of'").check(TYPES)):
        assert _found(query, rows) == _matching(query, rows) == [0]


@pytest.mark.parametrize(
    ("text", "narrowed"),
    [
        ("i == 1 AND x == 2", "i == 1"),
        ("i == 1 AND NOT x == 2", "i == 1"),
        ("i == 1 AND NOT (x == 2 OR i == 3)", "i == 1 AND NOT i == 3"),
        ("i == 1 AND e.name == 'x'", "i == 1"),
        ("i == 1 AND SUBQUERY(ll, $x, $x.n == 1).@count > 0", "i == 1"),
        ("i == 1 AND m.@type == 'int'", "i == 1"),
        ("i == 1 AND e geoWithin geoBox([0, 0], [1, 1])", "i == 1"),
    ],
)
def test_sql_narrows_what_it_can_not_say(text: str, narrowed: str) -> None:
    some = compile_sql(parse(text), {"i": '"i"', "m": '"m"'})
    exact = compile_sql(parse(narrowed), {"i": '"i"'})
    assert some is not None
    assert exact is not None
    assert some[:2] == exact[:2]
    assert not some.exact
    assert compile_sql(parse(f"{text} OR x == 3"), {"i": '"i"'}) is None


def test_large_queries() -> None:
    """Expressions stay flat enough for SQLite; what it plans too slowly goes to Python."""
    rows: list[Mapping[str, Any]] = [dict.fromkeys(TYPES) | {"i": number} for number in (0, 7)]
    for operator, glue, size in (("==", "OR", 1000), ("!=", "AND", 1000)):
        text = f" {glue} ".join(f"i {operator} {number}" for number in range(1, size + 1))
        query = parse(text).check(TYPES)
        assert _found(query, rows) == _matching(query, rows)
        assert compile_sql(parse(f"{text} {glue} i {operator} 0"), COLUMNS) is None
    numbers = ", ".join(map(str, range(1, 10_001)))
    query = parse(f"i IN {{{numbers}}}")
    assert _found(query, rows) == [1]
    assert compile_sql(parse(f"i IN {{{numbers}}} OR d IN {{{numbers}}}"), COLUMNS) is None
    deep = "i == 0"
    for number in range(100):
        deep = f"NOT (i == {number + 10} {'AND' if number % 2 else 'OR'} {deep})"
    assert _found(parse(deep), rows) == _matching(parse(deep), rows)


def test_a_column_takes_values_only() -> None:
    with pytest.raises(WrongTypeError, match="can't be a queried column"):
        column_value((1,))  # type: ignore[arg-type]


@pytest.mark.parametrize("operator", [*OPERATORS[:6], *STRING_OPERATORS, "==[c]", "LIKE[c]"])
def test_two_fields_whichever_comes_first(operator: str) -> None:
    pairs = [("a", "ab"), ("ab", "a"), ("A", "a"), ("a*", "ab"), ("ab", "a*"), ("a", None), (1, 1)]
    rows: list[Mapping[str, Any]] = [{"s": left, "like": right} for left, right in pairs]
    for text in (f"s {operator} \\like", f"\\like {operator} s", f"s {operator} s"):
        for query in (parse(text), parse(text).check(TYPES)):
            assert _found(query, rows) == _matching(query, rows)


@pytest.mark.parametrize(
    "text", ["m ==[c] 'x'", "m != 'x'", "m LIKE 'x*'", "m == s", "s == m", "m CONTAINS s"]
)
def test_a_checked_field_is_one_value_even_where_a_list_is_found(text: str) -> None:
    rows: list[Mapping[str, Any]] = [{"m": held, "s": "x"} for held in (["x"], "x", [], None)]
    query = parse(text)
    assert _found(query, rows) == _matching(query, rows)
    checked = query.check(TYPES)
    assert _found(checked, rows) == _matching(checked, rows) == ([0, 2, 3] if "!=" in text else [1])
