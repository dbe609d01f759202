"""Pages of scans in SQLite: in the order of rows, however they are found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.crdt.view import query_values
from replication.model.encoding import pack
from replication.query import Query, parse
from replication.storage import sqlite_order
from replication.storage.sqlite import SQLiteStore

ROWS = 60
TYPES = {"a": "int", "b": "int"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteStore]:
    held = SQLiteStore(tmp_path_factory.mktemp("pages") / "rows.db", query_values)
    with held.write() as writer:
        writer.declare("Item", ["a", "b"])
        fill(writer, 0, ROWS)
    yield held
    held.close()


def values(key: int) -> dict[str, int]:
    return {"a": key % 7, "b": key % 5}


def fill(writer: Any, first: int, last: int) -> None:
    for key in range(first, last):
        head = pack([1, 1, [], {0: [[1, 2, values(key)]]}])
        writer.put_object("Item", key, 1, head, values(key))


def asked(text: str) -> Query:
    return parse(text).check(TYPES)


def pages(store: SQLiteStore, query: Query, size: int) -> list[Any]:
    """Keys, page by page, each read in a transaction of its own."""
    out: list[Any] = []
    row = 0
    while True:
        with store.read() as reader:
            found = list(reader.scan("Item", query, after_row=row, limit=size))
        out += [each.key for each in found]
        if len(found) < size:
            return out
        row = found[-1].row


CONDITIONS = st.recursive(
    st.builds(
        lambda name, operator, value: f"{name} {operator} {value}",
        st.sampled_from("ab"),
        st.sampled_from(["==", "!=", "<", ">="]),
        st.integers(-1, 7),
    )
    | st.sampled_from(["a IN {1, 4}", "b BETWEEN {1, 3}"]),
    lambda inner: st.builds(
        lambda left, word, right: f"({left} {word} {right})",
        inner,
        st.sampled_from(["AND", "OR"]),
        inner,
    ),
    max_leaves=4,
)


@settings(max_examples=100)
@given(CONDITIONS, st.integers(1, 20), st.sampled_from([0, 1000]))
def test_pages_are_the_whole_scan(store: SQLiteStore, text: str, size: int, bound: int) -> None:
    """Whatever was decided for them."""
    query = asked(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite_order, "_FOUND_SQUARED_MAX", bound)
        store.orders = sqlite_order.Orders()
        found = pages(store, query, size)
    assert found == [key for key in range(ROWS) if query.matches(values(key).get)]


def decisions(store: SQLiteStore) -> list[bool]:
    return [in_order for in_order, _ in store.orders._kept.values()]


@pytest.mark.parametrize(
    ("text", "bound", "expected"),
    [
        ("a >= 0 AND b >= 0", 1, [True]),
        ("a == 1 OR b == 1", 1, [True]),
        ("a IN {1, 2}", 1, [True]),
        # What is found in order already, and what is so little that it is soon sorted.
        ("a == 3", 1, [False]),
        ("a >= 0", 1000, [False]),
    ],
)
def test_what_is_read_in_order(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, text: str, bound: int, expected: list[bool]
) -> None:
    monkeypatch.setattr(sqlite_order, "_FOUND_SQUARED_MAX", bound)
    store.orders = sqlite_order.Orders()
    pages(store, asked(text), 3)
    assert decisions(store) == expected


def test_a_class_that_has_grown_is_decided_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_order, "_FOUND_SQUARED_MAX", 10)
    with closing(SQLiteStore(tmp_path / "rows.db", query_values)) as store:
        with store.write() as writer:
            writer.declare("Item", ["a", "b"])
            fill(writer, 0, 8)
        pages(store, asked("a >= 0"), 3)
        assert decisions(store) == [False]
        with store.write() as writer:
            fill(writer, 8, 100)
        pages(store, asked("a >= 0"), 3)
        assert decisions(store) == [True]


def test_a_bounded_number_of_decisions_is_kept(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_order, "_KEPT_MAX", 2)
    store.orders = sqlite_order.Orders()
    for least in range(4):
        pages(store, asked(f"a >= {least}"), 3)
        assert len(decisions(store)) <= 2
