"""Canonical MessagePack: one value, one encoding, and a decoder that is total. [ENC]"""

from __future__ import annotations

import math
import struct
import uuid
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from hypothesis import example, given
from hypothesis import strategies as st
from model_strategies import KEYS, STORED, TEXT, VALUES

from replication import limits
from replication.errors import DecodeError, LimitExceededError, WrongTypeError
from replication.model.encoding import (
    EXT_BASED,
    EXT_CONTAINER,
    EXT_DECIMAL128,
    EXT_ERASED,
    EXT_FLOAT32,
    EXT_LINK,
    EXT_OBJECT_ID,
    EXT_TIMESTAMP,
    EXT_UUID,
    RUN,
    greater,
    is_key,
    is_value,
    key_bytes,
    pack,
    sorted_map,
    unpack,
    unpack_each_for_check,
    unpack_runs_for_check,
    unpack_trusted,
)
from replication.model.values import ERASED, Based, Container, Float32, Link, Timestamp


def maps(keys: st.SearchStrategy[Any], inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(keys, inner, max_size=4).map(sorted_map)


STRUCTURES = st.recursive(
    STORED,
    lambda inner: (
        st.lists(inner, max_size=4)
        | maps(TEXT, inner)
        | maps(st.binary(max_size=8), inner)
        | maps(st.integers(-(2**63), 2**63 - 1), inner)
    ),
    max_leaves=12,
)


_FIXED = {1: b"\xd4", 2: b"\xd5", 4: b"\xd6", 8: b"\xd7", 16: b"\xd8"}


def ext(code: int, data: bytes) -> bytes:
    """The shortest form of an ext, by hand: msgpack writes no negative codes."""
    if len(data) <= 255:
        head = _FIXED.get(len(data), b"\xc7" + len(data).to_bytes())
    elif len(data) <= 65_535:
        head = b"\xc8" + len(data).to_bytes(2)
    else:
        head = b"\xc9" + len(data).to_bytes(4)
    return head + (code & 0xFF).to_bytes() + data


class TestRoundTrip:
    @given(STORED)
    def test_values(self, value: Any) -> None:
        again = unpack(pack(value))
        assert type(again) is type(value)
        assert pack(again) == pack(value)
        if value == value and not isinstance(value, Based):
            assert again == value

    @given(STRUCTURES)
    def test_structures(self, value: Any) -> None:
        data = pack(value)
        assert pack(unpack(data)) == data
        assert pack(unpack_trusted(data)) == data

    @given(VALUES, VALUES)
    def test_equal_bytes_are_equal_values(self, left: Any, right: Any) -> None:
        if pack(left) == pack(right):
            assert type(left) is type(right)
            assert left == right or left != left
        assert greater(left, right) == (pack(left) > pack(right))

    def test_alike_values_have_other_bytes(self) -> None:
        alike: list[Any] = [0, 0.0, -0.0, False, None, Float32(0.0), Float32(-0.0), "", b"", [], {}]
        assert len({pack(each) for each in alike}) == len(alike)

    @given(st.sampled_from([b"\x7f", b"\xff"]), st.integers(0xF00001, 0xFFFFFF))
    def test_there_is_one_32_bit_nan(self, first: bytes, rest: int) -> None:
        (number,) = struct.unpack(">f", first + (rest & 0xFFFFFF | 0x800000).to_bytes(3))
        assert math.isnan(number)
        assert pack(Float32(number)) == pack(Float32(math.nan))

    @given(KEYS)
    def test_keys(self, key: Any) -> None:
        assert is_key(key)
        assert key_bytes(key) == pack(key)
        assert is_value(key)

    def test_tuples_are_lists(self) -> None:
        assert pack((1, ("a",))) == pack([1, ["a"]])


class TestPack:
    @pytest.mark.parametrize(
        "value",
        [2**64, -(2**63) - 1, "\ud800", object(), {1, 2}, 1j, Link("A", object())],  # type: ignore[arg-type]
    )
    def test_what_can_not_be_stored(self, value: Any) -> None:
        with pytest.raises(WrongTypeError, match="can't be stored"):
            pack(value)


class TestTotal:
    @given(st.binary(max_size=64))
    def test_random_bytes(self, data: bytes) -> None:
        """ENC-19"""
        try:
            value = unpack(data)
        except DecodeError:
            return
        assert pack(value) == data

    @given(STRUCTURES, st.data())
    def test_changed_bytes(self, value: Any, draw: st.DataObject) -> None:
        data = bytearray(pack(value))
        for _ in range(draw.draw(st.integers(1, 3))):
            at = draw.draw(st.integers(0, len(data) - 1))
            data[at] = draw.draw(st.integers(0, 255))
        self.test_random_bytes.hypothesis.inner_test(self, bytes(data))

    @given(STRUCTURES, st.data())
    def test_cut_bytes(self, value: Any, draw: st.DataObject) -> None:
        data = pack(value)
        with pytest.raises(DecodeError):
            unpack(data[: draw.draw(st.integers(0, len(data) - 1))])

    @given(st.integers(-128, 127), st.binary(max_size=32))
    @example(EXT_LINK, pack(["A", 1.5]))
    @example(EXT_BASED, pack([1, 1]))
    def test_any_ext(self, code: int, data: bytes) -> None:
        self.test_random_bytes.hypothesis.inner_test(self, ext(code, data))


#: One line each: a form that says something, and is not the one `pack` writes.
NOT_CANONICAL = {
    "8-bit form of 1": b"\xcc\x01",
    "16-bit form of 255": b"\xcd\x00\xff",
    "32-bit form of 65535": b"\xce\x00\x00\xff\xff",
    "64-bit form of 1": b"\xcf" + bytes(7) + b"\x01",
    "signed form of 1": b"\xd0\x01",
    "signed 64-bit form of 1": b"\xd3" + bytes(7) + b"\x01",
    "8-bit form of -1": b"\xd0\xff",
    "16-bit form of -1": b"\xd1\xff\xff",
    "64-bit form of -1": b"\xd3" + b"\xff" * 8,
    "8-bit length of a short string": b"\xd9\x01a",
    "16-bit length of a short string": b"\xda\x00\x01a",
    "32-bit length of a short string": b"\xdb\x00\x00\x00\x01a",
    "16-bit length of short bytes": b"\xc5\x00\x01a",
    "16-bit length of a short list": b"\xdc\x00\x01\x01",
    "16-bit length of a short map": b"\xde\x00\x01\xa1a\x01",
    "8-bit length of a fixed ext": b"\xc7\x10" + bytes([EXT_UUID]) + bytes(16),
    "duplicate keys": b"\x82\xa1a\x01\xa1a\x02",
    "equal duplicates": b"\x82\xa1a\x01\xa1a\x01",
    "string keys out of order": b"\x82\xa1b\x01\xa1a\x01",
    "longer string key first": b"\x82\xa2ab\x01\xa1a\x01",
    "integer keys out of order": b"\x82\x02\x01\x01\x01",
    "bytes keys out of order": b"\x82\xc4\x01b\x01\xc4\x01a\x01",
    "string and integer keys": b"\x82\x01\x01\xa1a\x01",
    "a null key": b"\x81\xc0\x01",
    "a boolean key": b"\x81\xc3\x01",
    "a double as key": b"\x81" + pack(1.0) + b"\x01",
    "an ObjectId as key": b"\x81" + pack(ObjectId(bytes(12))) + b"\x01",
    "a list as key": b"\x81\x90\x01",
    "a key past 64 bits": b"\x81\xcf" + b"\xff" * 8 + b"\x01",
    "native 32-bit float": b"\xca" + struct.pack(">f", 1.5),
    "NaN with a payload": b"\xcb\x7f\xf8" + bytes(5) + b"\x01",
    "negative NaN": b"\xcb\xff\xf8" + bytes(6),
    "signalling NaN": b"\xcb\x7f\xf0" + bytes(5) + b"\x01",
    "NaN with a payload in a list": b"\x91\xcb\x7f\xf8" + bytes(5) + b"\x01",
    "32-bit NaN with a payload": ext(EXT_FLOAT32, b"\x7f\xc0\x00\x01"),
    "unsigned past 63 bits": b"\xcf\x80" + bytes(7),
    "unsigned past 63 bits in a map": b"\x81\xa1a\xcf" + b"\xff" * 8,
    "trailing byte": b"\x01\x00",
    "two values": b"\xa1a\xa1b",
    "nothing": b"",
    "the byte that is never used": b"\xc1",
    "invalid UTF-8": b"\xa1\xff",
    "a surrogate in UTF-8": b"\xa3\xed\xa0\x80",
    "overlong UTF-8": b"\xa2\xc0\x80",
    "msgpack's own timestamp": ext(-1, bytes(4)),
    "msgpack's own timestamp, 96 bits": ext(-1, bytes(12)),
    "ext 0": ext(0, b"a"),
    "ext 10": ext(10, b"a"),
    "ext -128": ext(-128, b""),
    "an ObjectId of 11 bytes": ext(EXT_OBJECT_ID, bytes(11)),
    "a UUID of 15 bytes": ext(EXT_UUID, bytes(15)),
    "a decimal of 15 bytes": ext(EXT_DECIMAL128, bytes(15)),
    "a float of 8 bytes": ext(EXT_FLOAT32, bytes(8)),
    "a timestamp of 5 bytes": ext(EXT_TIMESTAMP, bytes(5)),
    "64-bit form of a small timestamp": ext(EXT_TIMESTAMP, bytes(8)),
    "96-bit form of a small timestamp": ext(EXT_TIMESTAMP, bytes(12)),
    "a second of too many nanoseconds": ext(
        EXT_TIMESTAMP, struct.pack(">Q", 1_000_000_000 << 34 | 1)
    ),
    "a link of one item": ext(EXT_LINK, pack(["A"])),
    "a link that is a map": ext(EXT_LINK, pack({"A": 1})),
    "a link to a class 5": ext(EXT_LINK, pack([5, 5])),
    "a link with a double as key": ext(EXT_LINK, pack(["A", 1.5])),
    "a link with null as key": ext(EXT_LINK, pack(["A", None])),
    "a link with a link as key": ext(EXT_LINK, pack(["A", Link("A", 1)])),
    "a link in a long form": ext(EXT_LINK, b"\xdc\x00\x02\xa1A\x01"),
    "a link with a trailing byte": ext(EXT_LINK, pack(["A", 1]) + b"\x00"),
    "a link to a class without a name": ext(EXT_LINK, pack(["", 1])),
    "a link to a class of too long a name": ext(EXT_LINK, pack(["é" * 29, 1])),
    "a link past 64 bits": ext(EXT_LINK, b"\x92\xa1A\xcf" + b"\xff" * 8),
    "an erased value with bytes": ext(EXT_ERASED, b"a"),
    "a based erased value": ext(EXT_BASED, pack([ERASED, 1])),
    "a based based value": ext(EXT_BASED, pack([Based(1, 1), 1])),
    "a based list": ext(EXT_BASED, pack([[], 1])),
    "a value based on a double": ext(EXT_BASED, pack([1, 1.0])),
    "a value based on zero": ext(EXT_BASED, pack([1, 0])),
    "a value based on true": ext(EXT_BASED, pack([1, True])),
    "a container of two numbers": ext(EXT_CONTAINER, pack([3, 1])),
    "a container of a negative number": ext(EXT_CONTAINER, pack([3, -1, 1])),
    "a container of another kind": ext(EXT_CONTAINER, pack([5, 1, 1])),
    "a container of too large an ident": ext(EXT_CONTAINER, pack([3, limits.IDENT_MAX + 1, 1])),
    "a container of too large a sequence": ext(
        EXT_CONTAINER, pack([3, 1, limits.SEQUENCE_MAX + 1])
    ),
    "a container of a boolean": ext(EXT_CONTAINER, pack([3, True, 1])),
}


class TestNotCanonical:
    @pytest.mark.parametrize("name", NOT_CANONICAL)
    def test_refused(self, name: str) -> None:
        with pytest.raises(DecodeError):
            unpack(NOT_CANONICAL[name])

    @pytest.mark.parametrize("name", NOT_CANONICAL)
    def test_refused_inside(self, name: str) -> None:
        if NOT_CANONICAL[name]:
            with pytest.raises(DecodeError):
                unpack(b"\x91" + NOT_CANONICAL[name])
            with pytest.raises(DecodeError):
                unpack(b"\x81\xa1k" + NOT_CANONICAL[name])

    @pytest.mark.parametrize(
        ("value", "data"),
        [
            (1, "01"),
            (-1, "ff"),
            (128, "cc80"),
            (2**63 - 1, "cf7fffffffffffffff"),
            (-(2**63), "d38000000000000000"),
            (1.5, "cb3ff8000000000000"),
            (math.nan, "cb7ff8000000000000"),
            (Float32(1.5), "d6053fc00000"),
            ("é", "a2c3a9"),
            (b"\x00", "c40100"),
            (Timestamp(1), "d60400000001"),
            (Timestamp(2**32), "d7040000000100000000"),
            (Timestamp(1, 2), "d7040000000800000001"),
            (Timestamp(-1, 2), "c70c04ffffffffffffffff00000002"),
            (ObjectId("5ca4bbc7a2dd94ee5816238c"), "c70c015ca4bbc7a2dd94ee5816238c"),
            (uuid.UUID(int=1), "d802" + "00" * 15 + "01"),
            (Decimal128("1.25"), "d803" + "7d" + "00" * 13 + "3c30"),
            (Link("A", 1), "d60692a14101"),
            (ERASED, "c70007"),
            (Based(1, 2), "c70308920102"),
            (Container(4, 2, 1), "d60993040201"),
            ({"a": 1, "b": [None, True]}, "82a16101a16292c0c3"),
        ],
    )
    def test_the_forms(self, value: Any, data: str) -> None:
        assert pack(value).hex() == data
        assert pack(unpack(bytes.fromhex(data))).hex() == data


class TestLimits:
    @pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a"])
    def test_depth(self, opening: bytes) -> None:
        closing = b"\x01"
        unpack(opening * limits.DEPTH_MAX + closing)
        for depth in (limits.DEPTH_MAX + 1, 1000, 100_000):
            with pytest.raises(DecodeError):
                unpack(opening * depth + closing)
        with pytest.raises(LimitExceededError, match=f"nested deeper than {limits.DEPTH_MAX}"):
            unpack(opening * (limits.DEPTH_MAX + 1) + closing)

    def test_depth_through_ext(self) -> None:
        data = pack(1)
        for _ in range(2000):
            data = ext(EXT_BASED, b"\x92" + data + b"\x01")
        with pytest.raises(DecodeError):
            unpack(data)

    def test_bytes(self) -> None:
        assert unpack(pack("abc"), 4) == "abc"
        with pytest.raises(LimitExceededError, match="4 bytes where at most 3"):
            unpack(pack("abc"), 3)

    def test_counts_are_not_believed(self) -> None:
        for data in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"):
            with pytest.raises(DecodeError):
                unpack(data + bytes(16))

    @pytest.mark.parametrize("unit", ["a", "é", "日"])
    def test_strings(self, unit: str) -> None:
        most = limits.VALUE_BYTES_MAX // len(unit.encode())
        assert len(unpack(pack(unit * most))) == most
        with pytest.raises(LimitExceededError):
            unpack(pack(unit * (most + 1)))


# -- many at once ----------------------------------------------------------------------------
@pytest.mark.parametrize("count", [0, 1, RUN - 1, RUN, RUN + 1, 3 * RUN])
def test_a_long_list_comes_in_runs(count: int) -> None:
    """[ENC] All of it, in order, and never many of its items."""
    items = [[number, "x"] for number in range(count)]
    runs = list(unpack_runs_for_check(pack(items)))
    assert all(0 < len(run) <= RUN for run in runs)
    assert [item for run in runs for item in run] == items


@pytest.mark.parametrize("at", [0, RUN - 1, RUN, 2 * RUN])
@pytest.mark.parametrize(
    "bad",
    [b"\xcc\x01", b"\xcf" + b"\xff" * 8, b"\xcb\x7f\xf8" + b"\0" * 5 + b"\1", b"\xc1", b"\xd9\x01a",
     b"\xd4\x63a", b"\xa1\xff"],
    ids=bytes.hex,
)  # fmt: skip
def test_what_is_bad_in_one_run_is_found_there(at: int, bad: bytes) -> None:
    """[ENC] A number that could be shorter, one past 64 bits, a NaN with a payload, and worse."""
    pieces = [pack(f"value {number}") for number in range(3 * RUN)]
    pieces[at] = bad
    data = b"\xdc" + struct.pack(">H", len(pieces)) + b"".join(pieces)
    with pytest.raises(DecodeError):
        unpack(data)
    seen = []
    runs = unpack_runs_for_check(data)
    with pytest.raises(DecodeError):
        seen.extend(item for run in runs for item in run)
    assert len(seen) <= at
    assert seen == [f"value {number}" for number in range(len(seen))]
    with pytest.raises(DecodeError):
        unpack_each_for_check(pieces)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", b"\x01", b"\x91", b"\x90\x01", b"\x91\x01\x01", b"\xdc\x00\x01\x01",
     b"\xdd\xff\xff\xff\xff", b"\xdc\x00\x41" + b"\x01" * 64],
    ids=lambda data: data.hex()[:20],
)  # fmt: skip
def test_what_is_no_list_whole_and_canonical_has_no_runs(data: bytes) -> None:
    """[ENC] Another thing, incomplete, with more behind it, its length too long."""
    with pytest.raises(DecodeError):
        list(unpack_runs_for_check(data))


def test_runs_have_the_limit_of_their_bytes() -> None:
    with pytest.raises(LimitExceededError):
        list(unpack_runs_for_check(pack([1, 2, 3]), bytes_max=3))


def test_each_of_some_byte_strings_is_one_structure() -> None:
    """[ENC] Not two, nor a half, even where all of them together would do."""
    assert unpack_each_for_check([]) == []
    assert unpack_each_for_check([pack(1), pack([2]), pack("a")]) == [1, [2], "a"]
    for items in ([b"\x01\x02"], [b"\x92\x01", b"\x02"], [b"", b"\x01"], [b"\x01", b""]):
        with pytest.raises(DecodeError):
            unpack_each_for_check(items)
