"""Deltas of texts as Yjs and Quill spell them: what the native code tells, made plain."""

from __future__ import annotations

from typing import Any

import pytest

from replication.crdt.delta import inserted, integers, replaced, told

BOLD = {"b": True}
#: What the native code says (bytes of UTF-8), the text as it was, the delta (characters).
TOLD: list[tuple[str, list[dict[str, Any]], list[Any], list[dict[str, Any]]]] = [
    ("nothing", [], [("ab", {})], []),
    ("behind characters of many bytes", [{"retain": 7}, {"insert": "x"}], [("aé😀b", {})],
     [{"retain": 3}, {"insert": "x"}]),
    ("a deletion within", [{"retain": 1}, {"delete": 2}], [("aéb", {})],
     [{"retain": 1}, {"delete": 1}]),
    ("a deletion over two pieces", [{"delete": 2}], [("a", {}), ("b", BOLD)], [{"delete": 2}]),
    ("a format", [{"retain": 1, "attributes": BOLD}], [("ab", {})],
     [{"retain": 1, "attributes": BOLD}]),
    ("a format that is there", [{"retain": 1, "attributes": BOLD}], [("ab", BOLD)], []),
    ("a format that half is there", [{"retain": 2, "attributes": BOLD}],
     [("a", BOLD), ("b", {})], [{"retain": 1}, {"retain": 1, "attributes": BOLD}]),
    ("1 where true is", [{"retain": 1, "attributes": {"b": 1.0}}], [("a", BOLD)],
     [{"retain": 1, "attributes": {"b": 1}}]),
    ("a format taken away", [{"retain": 1, "attributes": {"b": None}}], [("a", BOLD)],
     [{"retain": 1, "attributes": {"b": None}}]),
    ("an insertion without a format", [{"insert": "x", "attributes": {"b": None}}], [],
     [{"insert": "x"}]),
    ("insertions that are one", [{"insert": "x"}, {"insert": "y"}], [], [{"insert": "xy"}]),
    ("insertions of two formats", [{"insert": "x"}, {"insert": "y", "attributes": BOLD}], [],
     [{"insert": "x"}, {"insert": "y", "attributes": BOLD}]),
    ("an insertion behind a deletion", [{"delete": 1}, {"insert": "x"}], [("a", {})],
     [{"insert": "x"}, {"delete": 1}]),
    ("an insertion of nothing", [{"insert": ""}], [("a", {})], []),
]  # fmt: skip


@pytest.mark.parametrize(("native", "before", "expected"), [row[1:] for row in TOLD],
                         ids=[row[0] for row in TOLD])  # fmt: skip
def test_what_the_native_code_tells(native: Any, before: Any, expected: Any) -> None:
    out = told(native, before)
    assert out == expected
    # Python finds 1 and True equal.
    assert repr(out) == repr(expected)


def test_a_text_that_was_not_there() -> None:
    pieces: list[Any] = [("ab", {}), ("c", BOLD), ("", {})]
    assert inserted(pieces) == [{"insert": "ab"}, {"insert": "c", "attributes": BOLD}]
    assert inserted([]) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([("ab", {})], [("ab", {})], []),
        ([("abcd", {})], [("axd", {})], [{"retain": 1}, {"insert": "x"}, {"delete": 2}]),
        ([("aa", {})], [("aaa", {})], [{"retain": 2}, {"insert": "a"}]),
        ([("a", {})], [("a", BOLD)], [{"insert": "a", "attributes": BOLD}, {"delete": 1}]),
        ([("ab", {})], [], [{"delete": 2}]),
    ],
)
def test_a_text_of_which_only_both_ends_are_known(before: Any, after: Any, expected: Any) -> None:
    assert replaced(before, after) == expected


def test_numbers_are_whole_again() -> None:
    value = {"a": [1.0, 1.5, {"b": 2.0}], "c": None, "d": "1.0", "e": True}
    assert repr(integers(value)) == "{'a': [1, 1.5, {'b': 2}], 'c': None, 'd': '1.0', 'e': True}"
