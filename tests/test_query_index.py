"""The matching index gives what asking every query would give, whatever came and went."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from query_strategies import TYPES, documents, queries, wild_documents

from replication.errors import QueryError
from replication.model.values import NestedDict, NestedList
from replication.query import Query, parse
from replication.query.evaluate import Test, holds
from replication.query.index import Indexed, MatchingIndex
from replication.query.intervals import Intervals, _Node


def read(text: str, *, typed: bool) -> Query:
    query = parse(text)
    if typed:
        try:
            return query.check(TYPES)
        except QueryError:
            pass  # a server without a schema takes it all the same
    return query


@given(
    st.lists(st.tuples(queries, st.booleans()), max_size=12),
    st.lists(documents | wild_documents, min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
@settings(max_examples=300)
def test_it_finds_what_holds(asked: list[tuple[str, bool]], objects: list[Any], r: Any) -> None:
    """Typed and untyped queries, hard values, arrays where none should be, adding, removing."""
    index: MatchingIndex[int] = MatchingIndex()
    held: dict[int, Indexed[int]] = {}
    by_number: dict[int, Query] = {}
    for number, (text, typed) in enumerate(asked):
        by_number[number] = read(text, typed=typed)
        held[number] = index.add(number, by_number[number])
        if held and r.random() < 0.3:
            index.remove(held.pop(r.choice(sorted(held))))
    for values in objects:
        expected = [n for n in held if by_number[n].matches(values.get)]
        assert Counter(index.match(values.get)) == Counter(expected)
    for entry in held.values():
        index.remove(entry)
    assert len(index) == 0
    assert not index._fields
    assert not index._others


#: Values that collide, for queries that are found by their terms.
FEW: list[Any] = [
    None,
    True,
    1,
    1.0,
    2,
    math.nan,
    "a",
    "A",
    "ab",
    "b",
    [],
    [1, 9],
    ["a", 2],
    [None],
]
FEW += [{}, {"k": 1, "l": 9}, {"k": None}, NestedList([1]), NestedDict({"k": 1})]
TERMS = [
    "x == {}", "x IN {{{}, 2}}", "x >= {}", "x < {}", "x BETWEEN {{1, {}}}", "x ==[c] {}",
    "x >= 1 AND x < 5", "x == {} AND y > 0", "x == {} OR y <= {}", "ANY x == {}", "ALL x == {}",
    "NONE x > {}", "x != {}", "NOT x == {}", "x > {} AND x < {}", "y == 1 AND x == {}",
]  # fmt: skip
LITERALS = ["1", "1.0", "2", "5", "null", "nan", "true", "'a'", "'AB'"]
TEXTS = ["x == {1, 9}", "x == {1}", "x.k == 1", "x.@count == 2", "x[0] == 1", "x.@sum > 3"]
TEXTS += ["x != {1, 9}", "x == {1, 2, 3}"]
TEXTS += ["x BEGINSWITH 'a'", "x BEGINSWITH ''", "x LIKE 'a*'", "x LIKE 'a?'", "x LIKE '*b'"]


@pytest.mark.parametrize("other", FEW[:9], ids=repr)
def test_it_finds_what_holds_of_every_small_case(other: Any) -> None:
    """Every form of term beside every value that is easily taken for another."""
    texts = {form.format(a, b) for form in TERMS for a in LITERALS for b in LITERALS[:4]}
    asked = [parse(text) for text in sorted(texts) + TEXTS]
    index: MatchingIndex[str] = MatchingIndex()
    for query in asked:
        index.add(query.text, query)
    for value in FEW:
        values = {"x": value, "y": other}
        expected = [query.text for query in asked if query.matches(values.get)]
        assert Counter(index.match(values.get)) == Counter(expected), values


def test_a_look_up_asks_only_whom_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this design is for: the number of queries asked does not follow how many there are."""
    index: MatchingIndex[int] = MatchingIndex()
    for number in range(1000):
        index.add(number, parse(f"open == true AND room == {number}"))
        index.add(number, parse(f"open == true AND level BETWEEN {{{number}, {number + 2}}}"))
    asked: list[Test] = []
    monkeypatch.setattr(
        "replication.query.index.holds",
        lambda test, get: asked.append(test) or holds(test, get),  # type: ignore[func-returns-value]
    )
    values = {"open": True, "room": 7, "level": 500.5}
    assert sorted(index.match(values.get)) == [7, 499, 500]
    # The first few had no reason to prefer one of their terms.
    assert len(asked) <= 20


numbers = st.integers(0, 12)


@given(st.lists(st.tuples(numbers, numbers, st.booleans()), max_size=80), numbers, numbers)
def test_intervals(changes: list[tuple[int, int, bool]], low: int, high: int) -> None:
    tree: Intervals[int] = Intervals()
    held: dict[int, tuple[int, int]] = {}
    for number, (a, b, adding) in enumerate(changes):
        if adding or not held:
            held[number] = (min(a, b), max(a, b))
            tree.add(*held[number], number)
        else:
            gone = sorted(held)[(a * 13 + b) % len(held)]
            tree.remove(*held.pop(gone), gone)
        check(tree._root)
    low, high = min(low, high), max(low, high)
    expected = {n for n, (a, b) in held.items() if a <= high and low <= b}
    assert Counter(tree.overlapping(low, high)) == Counter(expected)


def check(root: _Node[int] | None) -> list[tuple[int, int]]:
    """The intervals of a tree in order, having held it against what makes it one."""
    if root is None:
        return []
    left, right = check(root.left), check(root.right)
    heights = [0 if node is None else node.height for node in (root.left, root.right)]
    assert abs(heights[0] - heights[1]) <= 1, "balanced"
    assert root.height == 1 + max(heights)
    out = [*left, (root.low, root.high), *right]
    assert all(a < b for a, b in pairwise(out))
    assert root.top == max(high for _, high in out)
    assert root.items is not None
    return out


def test_intervals_in_order_make_no_chain() -> None:
    """Who adds them chooses the order."""
    tree: Intervals[int] = Intervals()
    for number in range(2000):
        tree.add(number, number + 1, number)
    assert tree._root is not None
    assert tree._root.height <= 14
    assert sorted(tree.overlapping(700, 700)) == [699, 700]
