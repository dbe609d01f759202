"""Bounds and corners of collaborative text: mutants survived there. [TEXT] [MERGE-TEXT]"""

from __future__ import annotations

from typing import Any

import pytest
from made_updates import erased, typed

from replication.crdt import text as texts
from replication.crdt.delta import inserted, told
from replication.crdt.document import pieces_of
from replication.crdt.parts import Parts
from replication.crdt.text import check_text, merge_text
from replication.crdt.union import causal, is_whole, union
from replication.crdt.units import Run, Update
from replication.crdt.updates import (
    EMPTY,
    check_format,
    read_number,
    read_update,
    write_number,
    write_update,
)
from replication.errors import DecodeError, LimitExceededError
from replication.limits import (
    SEQUENCE_MAX,
    TEXT_CLOCK_MAX,
    TEXT_FORMAT_BYTES_MAX,
    TEXT_FORMAT_DEPTH_MAX,
    TEXT_TAIL_BYTES_MAX,
)


def accepted(owners: Any, *tail: bytes, following: int = 0) -> bool:
    """Whether a head may hold a text with such owners, tail, and next part number."""
    try:
        check_text([owners, [*tail], [], following], spread=True)
    except DecodeError:
        return False
    return True


def of_size(length: int, client: int = 1) -> bytes:
    """An update of exactly so many bytes."""
    for count in range(length - 30, length):
        data = typed(client, 0, None, None, "x" * count)
        if len(data) == length:
            return data
    raise AssertionError(length)


def test_owners_ascend_and_have_units_within_the_clock() -> None:
    assert accepted([[1, 2, 5], [2, 2, 5]])
    assert not accepted([[2, 2, 5], [1, 2, 5]])
    assert not accepted([[1, 2, 5], [1, 2, 5]])
    assert accepted([[1, 2, 1], [3, 2, TEXT_CLOCK_MAX]])
    assert not accepted([[1, 2, 0]])
    assert not accepted([[1, 2, TEXT_CLOCK_MAX + 1]])
    assert accepted([], following=SEQUENCE_MAX)
    assert not accepted([], following=SEQUENCE_MAX + 1)


# -- the tail of a head ----------------------------------------------------------------------------
def grown(*tail: bytes, more: bytes, directory: Any = ()) -> tuple[int, int]:
    """How many updates the tail and how many entries the directory has after one more."""
    parts = Parts()
    state = [[[1, 2, 5]], [*tail], [*directory], len(directory)]
    merged = merge_text(state, [[[2, 2, 5]], more], parts, (6, "t"))
    return len(merged[1]), len(merged[2])


def test_a_tail_may_be_full() -> None:
    """[TEXT-12]"""
    least = len(of_size(40, 2))
    almost = of_size(TEXT_TAIL_BYTES_MAX - least)
    assert grown(almost, more=of_size(least, 2)) == (2, 0)
    assert grown(almost, more=of_size(least + 1, 2)) == (0, 1)


def test_a_tail_of_many_updates_is_made_one_where_that_is_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(texts, "TEXT_TAIL_UPDATES_MAX", 2)
    one, other = typed(1, 0, None, None, "a"), typed(2, 0, None, None, "b")
    assert grown(one, more=other) == (2, 0)
    assert grown(one, one, more=other) == (1, 0)
    assert grown(one, one, more=other, directory=[[0, 10**6, 0]]) == (0, 2)
    small = of_size(TEXT_TAIL_BYTES_MAX // 4)
    assert grown(small, small, more=small) == (1, 0)
    larger = of_size(TEXT_TAIL_BYTES_MAX // 4 + 1)
    assert grown(larger, larger, more=larger) == (0, 1)


def test_parts_are_numbered_from_0() -> None:
    parts = Parts()
    data = of_size(TEXT_TAIL_BYTES_MAX)
    merged = merge_text([[[1, 2, 5]], data], [[[2, 2, 5]], of_size(50, 2)], parts, (6, "t"))
    assert (merged[1], [number for number, *_ in merged[2]], merged[3]) == ([], [0], 1)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**14 - 1, 2**14, 2**53 - 1])
def test_numbers_are_read_as_they_were_written(number: int) -> None:
    out = bytearray(b"xx")
    write_number(out, number)
    assert read_number(bytes(out) + b"\xff", 2) == (number, len(out))


# -- unions ----------------------------------------------------------------------------------------
def least(*runs: Run) -> Run:
    """What stays of rivals: the same, whichever comes first."""
    both = [Update({1: [run]}) for run in runs]
    found = [union(each).runs[1][0] for each in (both, both[::-1])]
    assert found[0] == found[1]
    return found[0]


def test_of_two_units_of_one_id_the_lesser_stays() -> None:
    """[TEXT-6]: by left, right, then content; a string is less than a format."""
    string: Run = (0, 1, None, None, "z")
    assert least(string, (0, 1, None, None, ("a", "1"))) == string
    assert least(string, (0, 1, None, None, "y")) == (0, 1, None, None, "y")
    assert least(string, (0, 1, None, (9, 1), "a")) == string
    assert least(string, (0, 1, (9, 1), None, "a")) == string
    bold: Run = (0, 1, None, None, ("b", "1"))
    assert least(bold, (0, 1, None, None, ("b", "2"))) == bold
    assert least(bold, (0, 1, None, None, ("a", "2"))) == (0, 1, None, None, ("a", "2"))


def test_an_update_ends_where_its_last_unit_does() -> None:
    update = Update({5: [(0, 2, None, None, "ab"), (7, 3, None, None, "xyz")]})
    assert (update.end(5), update.end(6)) == (10, 0)


def test_a_deletion_follows_where_its_unit_is_known() -> None:
    """[MERGE-TEXT-4]"""
    gone = read_update(erased(5, [(2, 4)]))
    for known, expected in ((1, {}), (2, {}), (3, {5: [(2, 3)]}), (4, {5: [(2, 4)]})):
        assert causal(gone, {5: known}).deleted == expected
    assert causal(gone, {}).deleted == {}


@pytest.mark.parametrize(
    ("spelled", "fits"),
    [
        (b'"a\\ud800"', False),
        (b'"\\ud800a"', False),
        (b'"\\ud83d\\ude00"', True),
        (b"9007199254740991", True),
        (b"9007199254740992", False),
        (b"-9007199254740991", True),
        (b"-9007199254740992", False),
        (b"[1, 9007199254740992]", False),
        (b"[[]]", True),
        (b'{"a": [true, null, 1.5]}', True),
        (b'{"a": 1, "b": 1e999}', False),
        (b'{"a": 1e999, "b": 1}', False),
    ],
)
def test_formats_that_all_understand(spelled: bytes, fits: bool) -> None:
    """[TEXT-4]"""
    data = (
        bytes.fromhex("010105000601047465787401") + b"b" + bytes([len(spelled)]) + spelled + b"\0"
    )
    if fits:
        assert write_update(read_update(data)) == data
        return
    with pytest.raises(DecodeError):
        read_update(data)


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("n", '"' + "v" * (TEXT_FORMAT_BYTES_MAX - 3) + '"', True),
        ("n", '"' + "v" * (TEXT_FORMAT_BYTES_MAX - 2) + '"', False),
        ("é", '"' + "v" * (TEXT_FORMAT_BYTES_MAX - 3) + '"', False),
        ("n", "[" * TEXT_FORMAT_DEPTH_MAX + "]" * TEXT_FORMAT_DEPTH_MAX, True),
        ("n", '[{"a":[{"a":[{"a":[{"a":1}]}]}]}]', True),
        ("n", '[{"a":[' + "{},{},{},{},{},{}" + "]}]", False),
        # Brackets in a string are characters.
        ("link", '"https://example.org/?' + "a[]=1&" * 9 + '"', True),
        ("n", '["' + "[" * 20 + '",' + "[]," * 6 + "[]]", True),
        ("n", '["' + "[" * 20 + '",' + "[]," * 7 + "[]]", False),
        ("n", '["\\\"' + "{" * 20 + '\\\\"]', True),
        ("n", '["\\\\",' + "{}," * 7 + "{}]", False),
    ],
)  # fmt: skip
def test_a_format_is_bounded_in_bytes_and_depth(name: str, value: str, fits: bool) -> None:
    """[TEXT-4]"""
    if fits:
        check_format(name, value)
        return
    with pytest.raises(LimitExceededError):
        check_format(name, value)


def test_an_update_of_an_unknown_client_is_not_whole_without_its_first_unit() -> None:
    lacking = Update({5: [(0, 1, (6, 3), None, "a")]})
    following = causal(lacking, {})
    assert following.is_empty
    assert not is_whole(following, lacking, {})
    assert is_whole(lacking, lacking, {})
    gone = read_update(erased(5, [(0, 1)]))
    assert not is_whole(causal(gone, {}), gone, {})
    assert is_whole(causal(gone, {5: 1}), gone, {5: 1})


# -- what changed ----------------------------------------------------------------------------------
def test_neighbours_of_one_format_are_one_step_however_it_is_spelled() -> None:
    """Rule 3."""
    one, other = {"a": 1, "b": {"x": 1, "y": 2}}, {"b": {"y": 2, "x": 1}, "a": 1}
    assert inserted([("x", one), ("y", other)]) == [{"insert": "xy", "attributes": one}]
    assert inserted([("x", {}), ("y", {})]) == [{"insert": "xy"}]
    assert len(inserted([("x", {"a": 1}), ("y", {"a": True})])) == 2
    assert inserted([("", {}), ("y", {})]) == [{"insert": "y"}]


def test_what_native_code_tells() -> None:
    """Rules 1 and 2: é is two bytes there."""
    before = [("aé", {}), ("bc", {"bold": True})]
    assert told([], before) == []
    assert told([{"retain": 3}], before) == []
    assert told([{"retain": 3}, {"insert": "x"}, {"delete": 1}], before) == [
        {"retain": 2}, {"insert": "x"}, {"delete": 1},
    ]  # fmt: skip
    assert told([{"retain": 3}, {"retain": 2, "attributes": {"bold": True}}], before) == []
    assert told([{"retain": 4, "attributes": {"bold": True}}], before) == [
        {"retain": 2, "attributes": {"bold": True}}
    ]
    assert told([{"retain": 5, "attributes": {"bold": None}}], before) == [
        {"retain": 2}, {"retain": 2, "attributes": {"bold": None}},
    ]  # fmt: skip
    assert told([{"insert": "n", "attributes": {"n": 2.0, "gone": None}}], before) == [
        {"insert": "n", "attributes": {"n": 2}}
    ]


def test_pieces_of_one_format_are_one() -> None:
    split = [typed(1, 0, None, None, "ab"), typed(2, 0, (1, 0), (1, 1), "x")]
    assert pieces_of(split) == [("axb", {})]
    assert pieces_of([EMPTY]) == []
