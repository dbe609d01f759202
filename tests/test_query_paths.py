"""Paths, aggregates, calculations, sub-queries, regions: parsed, printed, checked and evaluated."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plain_objects import Objects, PlainSource
from query_paths import SCHEMA, WIDE, modifiers, wide_documents, wide_queries, worlds
from query_strategies import values
from test_query_sql import COLUMNS, CONNECTION

from replication.errors import QueryError
from replication.limits import (
    QUERY_FOLLOW_DEPTH_MAX,
    QUERY_MODIFIERS_MAX,
    QUERY_OPERATORS_MAX,
    QUERY_PATTERN_MAX,
    QUERY_POLYGON_POINTS_MAX,
    QUERY_STEPS_MAX,
    QUERY_SUBQUERY_DEPTH_MAX,
)
from replication.model.values import EmbeddedValues, Link, NestedDict, NestedList
from replication.query import Query, parse, union
from replication.query.columns import column_value
from replication.query.compare import KINDS, Kind, equal, less
from replication.query.geo import Box, Circle, Polygon
from replication.query.ordering import arranged
from replication.query.sql import compile_sql


def parsed(text: str) -> Query | None:
    try:
        return parse(text)
    except QueryError as error:
        _check_position(error, text)
        return None


def _check_position(error: QueryError, text: str) -> None:
    assert error.position is not None
    assert 0 <= error.position <= len(text)


@given(wide_queries, modifiers)
def test_canonical_text_is_a_fixed_point(text: str, behind: str) -> None:
    """[QUERY-70]"""
    query = parsed(f"{text} {behind}")
    assume(query is not None)
    assert query is not None
    again = parse(query.text)
    assert again == query
    assert again.text == query.text
    assert again.fields == query.fields
    assert again.columns == query.columns
    assert again.is_local is query.is_local


@given(wide_queries, worlds)
def test_evaluation_is_total_and_not_is_the_opposite(text: str, world: Objects) -> None:
    """[QUERY-40] [QUERY-57]"""
    query = parsed(text)
    assume(query is not None)
    assert query is not None
    opposite, again = parse(f"NOT ({text})"), parse(query.text)
    for source in world.of("W"):
        held = query.matches(source)
        assert held in (True, False)
        assert opposite.matches(source) is not held
        assert again.matches(source) is held


@given(wide_queries, worlds)
def test_a_checked_query_means_the_same(text: str, world: Objects) -> None:
    query = parsed(text)
    assume(query is not None)
    assert query is not None
    try:
        checked = query.check(WIDE, SCHEMA)
    except QueryError as error:
        _check_position(error, text)
        return
    assert checked.check(WIDE, SCHEMA) == checked
    assert parse(checked.text).check(WIDE, SCHEMA) == checked
    if not {"f", "n", "sf", "sn"} & query.fields and "decimal" not in text:
        for source in world.of("W"):
            assert checked.matches(source) is query.matches(source)
            if checked.is_local:
                assert checked.matches(source.document.get) is query.matches(source)


@settings(max_examples=200)
@given(wide_queries, st.lists(wide_documents, min_size=1, max_size=3), st.booleans())
def test_sql_narrows_and_python_decides(text: str, rows: list[dict[str, Any]], check: bool) -> None:
    query = parsed(text)
    assume(query is not None)
    assert query is not None
    if check:
        try:
            query = query.check(WIDE, SCHEMA)
        except QueryError:
            return
    compiled = compile_sql(query, COLUMNS)
    if compiled is None:
        return
    with CONNECTION:
        CONNECTION.execute("DELETE FROM t")
        for number, row in enumerate(rows):
            names = [name for name in COLUMNS if name in row]
            columns = ", ".join(["row", *(COLUMNS[name] for name in names)])
            marks = ", ".join("?" * (len(names) + 1))
            held = [number, *(column_value(row[name]) for name in names)]
            CONNECTION.execute(f"INSERT INTO t ({columns}) VALUES ({marks})", held)
    sql = f"SELECT row FROM t WHERE {compiled.text} ORDER BY row"
    found = [row[0] for row in CONNECTION.execute(sql, compiled.bindings)]
    expected = [number for number, row in enumerate(rows) if query.matches(row.get)]
    if compiled.exact:
        assert found == expected
    assert set(expected) <= set(found)


# -- meaning, against what a reader would work out by hand ---------------------------------------
HOUSE = Objects(
    {
        "Person": {
            1: {"name": "Ann", "age": 40, "friends": [Link("Person", 2), Link("Person", 9)]},
            2: {"name": "Bob", "age": 30, "boss": Link("Person", 1), "tags": ["x", "y"]},
            3: {
                "name": "Cy",
                "boss": Link("Person", 2),
                "friends": [Link("Person", 1), Link("Person", 2)],
                "home": EmbeddedValues(city="Rome", rooms=[EmbeddedValues(size=3)]),
                "scores": {"a": 1, "b": 5},
                "any": NestedDict(list=NestedList([1, NestedList([2, 3])]), flag=True),
            },
        },
        "Dog": {1: {"owner": Link("Person", 1)}, 2: {"owner": Link("Person", 1), "age": 3}},
    }
)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("boss.name == 'Ann'", [2]),
        ("boss.boss.name == 'Ann'", [3]),
        ("boss.boss.boss.name == null", [1, 2, 3]),
        ("boss.name == null", [1]),
        ("friends.name == 'Bob'", [1, 3]),
        ("ALL friends.age < 35", [1, 2]),
        ("ANY friends.tags == 'x'", [1, 3]),
        ("friends.@count == 2", [1, 3]),
        ("friends.age.@sum == 70", [3]),
        ("friends.@avg.age == 35.0", [3]),
        ("friends.@min.age == 30", [1, 3]),
        ("friends.@max.age == null", [2]),
        ("friends[LAST].name == 'Bob'", [3]),
        ("friends[1].name == 'Bob'", [3]),
        ("home.city == 'Rome'", [3]),
        ("home.rooms.size == 3", [3]),
        ("home.rooms[0].size + 1 == 4", [3]),
        ("home != null", [3]),
        ("scores.a == 1", [3]),
        ("scores['b'] == 5", [3]),
        ("scores == 5", [3]),
        ("ALL scores > 0 AND scores.@count > 0", [3]),
        ("scores.@keys == 'a'", [3]),
        ("scores.@keys == {'a', 'b'}", [3]),
        ("scores.@values.@sum == 6", [3]),
        ("any.flag == true", [3]),
        ("any.list[0] == 1", [3]),
        ("any.list[1][1] == 3", [3]),
        ("any.list[*] == 1", [3]),
        ("any.list[*] == 3", []),
        ("any.list[*][*] == 3", [3]),
        ("any.list.@count == 2", [3]),
        ("any.@type == 'dictionary'", [3]),
        ("any.list.@type == 'list'", [3]),
        ("home.@type == 'object'", [3]),
        ("age.@type == 'numeric'", [1, 2]),
        ("@links.Dog.owner.@count == 2", [1]),
        ("@links.Dog.owner.age == 3", [1]),
        ("@links.Person.boss.name == 'Bob'", [1]),
        ("@links.@count == 4", [1]),
        ("@links.@count == 0", [3]),
        ("boss.@links.Dog.owner.@count == 2", [2]),
        ("SUBQUERY(friends, $f, $f.age > 30 AND $f.name == 'Ann').@count > 0", [3]),
        ("SUBQUERY(friends, $f, SUBQUERY($f.friends, $g, $g.age < 35).@count > 0).@count > 0", [3]),
        ("SUBQUERY(home.rooms, $r, $r.size == 3).@count == 1", [3]),
        ("SUBQUERY(@links.Dog.owner, $d, $d.age == 3).@count == 1", [1]),
        ("age + 10 == 40", [2]),
        ("age - boss.age == -10", [2]),
        ("age / 0 == null", [1, 2, 3]),
        ("age * 2 + 1 == 61", [2]),
        ("(age + 2) * 2 == 84", [1]),
        ("age -10 == 20", [2]),
        ("tags == {'x', 'y'}", [2]),
        ("tags == {'y', 'x'}", []),
        ("name TEXT 'b* -ann'", [2]),
        ("name.length == 2", [3]),
        ("name.@count == 2", [3]),
    ],
)  # fmt: skip
def test_paths_lead_where_they_say(text: str, keys: list[int]) -> None:
    """[QUERY-107] [QUERY-108] [QUERY-109] [QUERY-130] [QUERY-131] [QUERY-132] [QUERY-133]"""
    query = parse(text)
    assert [each.link.key for each in HOUSE.of("Person") if query.matches(each)] == keys


@pytest.mark.parametrize(
    ("text", "is_local"),
    [
        ("i == 1", True),
        ("e.n == 1", True),
        ("k.a == 1", True),
        ("le.n == 1", True),
        ("l == obj('P', 1)", True),
        ("ll.@count == 1", True),
        ("g geoWithin geoBox([0, 0], [1, 1])", True),
        ("SUBQUERY(le, $x, $x.n == 1).@count > 0", True),
        ("SUBQUERY(le, $x, $x.l.n == 1).@count > 0", False),
        ("SUBQUERY(ll, $x, $x.n == 1).@count > 0", False),
        ("l.n == 1", False),
        ("e.l.n == 1", False),
        ("m.a == 1", False),
        ("m['a'] == 1", False),
        ("@links.@count == 1", False),
        ("i == 1 SORT(i) LIMIT(1)", False),
        ("i == 1 FOLLOW(l)", False),
        ("i == 1 UNION s == 'x'", True),
        ("i == 1 UNION s == 'x' LIMIT(1)", False),
    ],
)
def test_a_query_knows_whether_one_object_is_enough(text: str, is_local: bool) -> None:
    assert parse(text).check(WIDE, SCHEMA).is_local is is_local


def test_regions_as_arguments() -> None:
    ring = ((0.0, 0.0), (2.0, 0.0), (1.0, 2.0), (0.0, 0.0))
    for shape in (Box((0.0, 0.0), (1.0, 1.0)), Circle((0.0, 0.0), 0.5), Polygon(ring)):
        query = parse("g geoWithin $0", shape)
        assert query == parse(query.text)
        assert shape.text in query.text


#: Cities, and whether the first is nearer than the radius of a circle around the second.
BERLIN, PARIS, SYDNEY = (13.405, 52.52), (2.3522, 48.8566), (151.2093, -33.8688)


def test_circles_are_measured_on_the_sphere() -> None:
    """[QUERY-110] From Berlin to Paris it is 877 km, 0.1377 radians of an earth of 6,371 km."""
    assert Circle(PARIS, 0.138).holds(BERLIN)
    assert not Circle(PARIS, 0.137).holds(BERLIN)
    assert Circle(PARIS, 3.15).holds(SYDNEY)
    assert Circle((180.0, 0.0), 0.02).holds((-179.0, 0.0))


def test_boxes_may_cross_the_180th_meridian() -> None:
    """[QUERY-110]"""
    box = Box((170.0, -50.0), (-170.0, 0.0))
    assert box.holds((175.0, -10.0))
    assert box.holds((-175.0, -10.0))
    assert not box.holds((0.0, -10.0))
    assert not box.holds((175.0, 10.0))


def test_polygons_have_holes_and_may_hold_a_pole() -> None:
    """[QUERY-110]"""
    square = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0), (0.0, 0.0))
    hole = ((4.0, 4.0), (6.0, 4.0), (6.0, 6.0), (4.0, 6.0), (4.0, 4.0))
    assert Polygon(square).holds((5.0, 5.0))
    assert Polygon(square[::-1]).holds((5.0, 5.0))
    assert not Polygon(square, (hole,)).holds((5.0, 5.0))
    assert Polygon(square, (hole,)).holds((1.0, 1.0))
    assert not Polygon(square).holds((5.0, -1.0))
    assert not Polygon(square).holds((-170.0, 5.0))
    across = ((170.0, 0.0), (-170.0, 0.0), (-170.0, 10.0), (170.0, 10.0), (170.0, 0.0))
    assert Polygon(across).holds((180.0, 5.0))
    assert not Polygon(across).holds((0.0, 5.0))
    # The shortest line between two points of the 60th parallel runs north of it.
    wide = ((0.0, 50.0), (90.0, 60.0), (0.0, 60.0), (0.0, 50.0))
    assert Polygon(wide).holds((45.0, 66.0))
    assert not Polygon(wide).holds((45.0, 60.0))
    arctic = tuple((float(x), 70.0) for x in (0, 90, 180, -90, 0))
    assert Polygon(arctic).holds((12.0, 89.0))
    assert not Polygon(arctic).holds((12.0, 10.0))
    antarctic = tuple((float(x), -70.0) for x in (0, 90, 180, -90, 0))
    assert Polygon(antarctic).holds((12.0, -89.0))
    assert not Polygon(antarctic).holds((12.0, 89.0))


# -- order ---------------------------------------------------------------------------------------
@given(st.lists(values, max_size=6), st.booleans())
def test_sorting_is_stable_and_orders_all_kinds(held: list[Any], descending: bool) -> None:
    """[QUERY-122]"""
    rows = list(enumerate(held))
    [branch] = parse(f"TRUEPREDICATE SORT(m {'DESC' if descending else 'ASC'})").branches
    found = arranged(branch, rows, lambda row: {"m": row[1]}.get)
    assert sorted(found, key=lambda row: row[0]) == rows
    for (i, a), (j, b) in pairwise(found):
        low, high = (b, a) if descending else (a, b)
        assert not less(high, low)
        if equal(a, b):
            assert i < j
        assert KIND_ORDER.index(KINDS[type(low)]) <= KIND_ORDER.index(KINDS[type(high)])


#: As the spec lists them.
KIND_ORDER = [
    *(Kind.NULL, Kind.BOOL, Kind.NUMBER, Kind.STRING, Kind.BINARY, Kind.TIMESTAMP),
    *(Kind.OBJECT_ID, Kind.UUID, Kind.LINK),
]


@given(st.lists(st.fixed_dictionaries({"i": st.integers(0, 2), "d": values}), max_size=6))
def test_modifiers_are_applied_in_their_order(rows: list[dict[str, Any]]) -> None:
    """[QUERY-120]"""

    def found(modifiers: str) -> list[dict[str, Any]]:
        [branch] = parse(f"TRUEPREDICATE {modifiers}").branches
        return arranged(branch, rows, lambda row: row.get)

    by_i = sorted(rows, key=lambda row: row["i"])
    assert found("SORT(i)") == by_i
    assert found("SORT(i) LIMIT(2)") == by_i[:2]
    assert found("LIMIT(2) SORT(i)") == sorted(rows[:2], key=lambda row: row["i"])
    firsts = [row for at, row in enumerate(rows) if row["i"] not in [r["i"] for r in rows[:at]]]
    assert found("DISTINCT(i)") == firsts
    assert found("DISTINCT(i) LIMIT(1)") == firsts[:1]
    assert found("LIMIT(1) DISTINCT(i)") == rows[:1]
    assert found("SORT(i) DISTINCT(i)") == sorted(firsts, key=lambda row: row["i"])
    kept = found("DISTINCT(d)")
    assert all(any(equal(row["d"], other["d"]) for other in kept) for row in rows)
    assert not any(equal(a["d"], b["d"]) for a, b in combinations(kept, 2))


# -- several branches ----------------------------------------------------------------------------
def test_a_union_keeps_windows_apart() -> None:
    """[QUERY-121]"""
    window = parse("a == 1 SORT(b DESC) LIMIT(3)")
    text = "b == 2 OR c == 3 UNION a == 1 SORT(b DESC) LIMIT(3)"
    assert union([parse("c == 3"), window, parse("b == 2"), window]).text == text
    assert parse(text) == parse("c == 3 UNION a == 1 SORT(b desc) LIMIT(3) UNION b == 2")
    assert union([parse("TRUEPREDICATE"), window]).text == "TRUEPREDICATE"
    follow = parse("a == 1 FOLLOW(l)")
    assert union([parse("TRUEPREDICATE"), follow]).text == "TRUEPREDICATE UNION a == 1 FOLLOW(l)"


# -- bounds --------------------------------------------------------------------------------------
def nested(depth: int) -> str:
    text = "$x.n == 1"
    for _ in range(depth - 1):
        text = f"SUBQUERY($x.l, $x, {text}).@count > 0"
    return f"SUBQUERY(l, $x, {text}).@count > 0"


def polygon(points: int) -> str:
    ring = ", ".join([*(f"[{number / 1000}, 0]" for number in range(points - 1)), "[0.0, 0]"])
    return f"g geoWithin geoPolygon({{{ring}}})"


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda size: "a" + ".b" * size + " == 1", QUERY_STEPS_MAX),
        (lambda size: "a" + " + b" * size + " == 1", QUERY_OPERATORS_MAX),
        (lambda size: f"a LIKE '{'?' * size}'", QUERY_PATTERN_MAX),
        (lambda size: f"a TEXT '{'x ' * size}'", QUERY_PATTERN_MAX),
        (nested, QUERY_SUBQUERY_DEPTH_MAX),
        (lambda size: f"a == 1 {'LIMIT(1) ' * size}", QUERY_MODIFIERS_MAX),
        (lambda size: f"a == 1 SORT({', '.join(['a'] * size)})", QUERY_MODIFIERS_MAX),
        (lambda size: f"a == 1 FOLLOW(l, {size})", QUERY_FOLLOW_DEPTH_MAX),
        (polygon, QUERY_POLYGON_POINTS_MAX),
    ],
)
def test_limits(make: Any, most: int) -> None:
    """[QUERY-140]"""
    assert parsed(make(most)) is not None
    assert parsed(make(most + 1)) is None


@pytest.mark.parametrize(
    "text",
    [
        "a" + "+1" * 100_000 + " == 1",
        "a == " + "1 + " * 50_000 + "1",
        "(" * 100 + "a" + " + 1)" * 100 + " == 1",
        "((((a + 1) * 2) + 3) == 4)",
        "SUBQUERY(" * 20_000,
        "a[" * 100_000,
        "a" + "[0]" * 50_000 + " == 1",
        "g geoWithin geoPolygon({" + "[0, 0], " * 20_000,
        "a == 1 " + "UNION a == 2 LIMIT(1) " * 10_000,
        "a * " * 60_000 + "1 == 0",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_takes_no_longer_than_other_text(text: str) -> None:
    query = parsed(text)
    if query is not None:
        assert parse(query.text) == query
        assert query.matches({"a": 2**62}.get) in (True, False)


def test_a_source_without_links_reads_null() -> None:
    document = {"l": Link("P", 1)}
    assert parse("l.name == null").matches(document.get)
    assert parse("@links.@count == 0").matches(document.get)
    source = PlainSource(Objects({}), Link("W", 1), document)
    assert parse("l.name == null").matches(source)
