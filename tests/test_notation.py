"""Values as JSON: the notation of scenarios, vectors and the command line. [MODEL-70]"""

from __future__ import annotations

import json
import math
import uuid
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from model_strategies import STORED, TEXT, VALUES

from replication.errors import WrongTypeError
from replication.limits import CONTAINER_NESTING_MAX
from replication.model.encoding import pack
from replication.model.notation import NEW_EMBEDDED, from_json, to_json
from replication.model.values import ERASED, Based, Container, Float32, Link, Timestamp

NOTED = st.recursive(
    STORED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)

TAGS = ["$list", "$dict", "$double", "$float", "$bin", "$ts", "$dec", "$decbits", "$oid"]
TAGS += ["$uuid", "$link", "$embedded", "$erased", "$based", "$container"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*TAGS, "$what", "a"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=8,
)


@given(NOTED)
def test_round_trip_through_json_text(value: Any) -> None:
    text = json.dumps(to_json(value))
    assert pack(from_json(json.loads(text))) == pack(value)


@given(JSON)
def test_reading_is_total(noted: Any) -> None:
    try:
        value = from_json(noted)
    except WrongTypeError:
        return
    if value is not NEW_EMBEDDED and "$embedded" not in str(noted):
        again = from_json(to_json(value))
        assert pack(again) == pack(value)


@given(VALUES)
def test_json_of_a_value_needs_nothing_special_of_the_reader(value: Any) -> None:
    json.dumps(to_json(value), allow_nan=False)


@pytest.mark.parametrize(
    ("noted", "value"),
    [
        (None, None),
        (True, True),
        (5, 5),
        (5.0, 5.0),
        (-0.0, -0.0),
        ("five", "five"),
        ({"$double": "nan"}, math.nan),
        ({"$double": "-inf"}, -math.inf),
        ({"$float": 1.5}, Float32(1.5)),
        ({"$float": 1}, Float32(1.0)),
        ({"$float": 0.1}, Float32(0.1)),
        ({"$float": "inf"}, Float32(math.inf)),
        ({"$bin": "00fF"}, b"\x00\xff"),
        ({"$bin": ""}, b""),
        ({"$ts": [-1, 999_999_999]}, Timestamp(-1, 999_999_999)),
        ({"$dec": "1.25"}, Decimal128("1.25")),
        ({"$dec": "-0E+3"}, Decimal128("-0E+3")),
        ({"$dec": "NaN"}, Decimal128("NaN")),
        ({"$decbits": "01" + "00" * 14 + "7e"}, Decimal128.from_bid(b"\1" + bytes(14) + b"\x7e")),
        ({"$oid": "5CA4bbc7a2dd94ee5816238c"}, ObjectId("5ca4bbc7a2dd94ee5816238c")),
        ({"$uuid": "00000000-0000-0000-0000-000000000001"}, uuid.UUID(int=1)),
        ({"$link": ["Book", 5]}, Link("Book", 5)),
        (
            {"$link": ["Book", {"$oid": "5ca4bbc7a2dd94ee5816238c"}]},
            Link("Book", ObjectId("5ca4bbc7a2dd94ee5816238c")),
        ),
        ({"$list": []}, []),
        ({"$list": [1, {"$dict": {"a": None}}]}, [1, {"a": None}]),
        ({"$dict": {}}, {}),
        ({"$erased": True}, ERASED),
        ({"$based": [5, -1]}, Based(5, -1)),
        ({"$container": [4, 2, 1]}, Container(4, 2, 1)),
    ],
)
def test_what_is_read(noted: Any, value: Any) -> None:
    found = from_json(noted)
    assert type(found) is type(value)
    assert pack(found) == pack(value)


def test_a_new_embedded_object() -> None:
    assert from_json({"$embedded": {}}) is NEW_EMBEDDED
    assert to_json(NEW_EMBEDDED) == {"$embedded": {}}


@pytest.mark.parametrize(
    ("noted", "message"),
    [
        (2**63, "must fit 64 bits"),
        (math.nan, r'write {"\$double":"nan"}'),
        (math.inf, r'write {"\$double":"inf"}'),
        ("\ud800", "not valid Unicode"),
        ([1], r'a list is {"\$list":\[...\]}'),
        ({}, "an object has one key"),
        ({"a": 1}, r"an object has one key, one of \$list"),
        ({"$ts": [0, 0], "$bin": ""}, "an object has one key"),
        ({"$date": 0}, r"{'\$date': 0} \(dict\) is no value"),
        ({"$double": 1.5}, "other doubles are JSON numbers"),
        ({"$double": "NaN"}, r"\$double holds"),
        ({"$float": True}, r"\$float holds a number"),
        ({"$float": "1.5"}, r"\$float holds a number"),
        ({"$float": 1e39}, "32-bit"),
        ({"$float": 10**400}, "too large"),
        ({"$bin": "0"}, "even number of hex digits"),
        ({"$bin": "0 0a"}, "even number of hex digits"),
        ({"$ts": [0]}, r"\[seconds, nanoseconds\]"),
        ({"$ts": [0, True]}, r"\[seconds, nanoseconds\]"),
        ({"$ts": [0, 10**9]}, "not within one second"),
        ({"$ts": [2**63, 0]}, "do not fit 64 bits"),
        ({"$dec": "x"}, r"\$dec holds a decimal number"),
        ({"$dec": 1.25}, r"\$dec holds a decimal number"),
        ({"$dec": "1" * 35}, "at most 34 digits"),
        ({"$decbits": "00"}, "32 hex digits"),
        ({"$oid": "5ca4"}, "24 hex digits"),
        ({"$uuid": "{00000000-0000-0000-0000-000000000001}"}, "8-4-4-4-12"),
        ({"$link": ["Book"]}, r"\[class, primary key\]"),
        ({"$link": ["", 1]}, "a class needs a name"),
        ({"$link": ["Book", 1.5]}, "a link to Book: a key here is"),
        ({"$link": ["Book", {"$link": ["Book", 1]}]}, "a link to Book: a key here is"),
        ({"$list": {}}, r"\$list holds a list"),
        ({"$list": [[1]]}, "a list is"),
        ({"$dict": []}, r"\$dict holds an object"),
        ({"$dict": {"k" * 1025: 1}}, "no key of a dictionary"),
        ({"$embedded": {"a": 1}}, r"\$embedded holds {}"),
        ({"$erased": 1}, r"\$erased holds true"),
        ({"$based": [1, 0]}, "total that is not 0"),
        ({"$based": [{"$erased": True}, 1]}, "total that is not 0"),
        ({"$container": [5, 1, 1]}, "3 or 4"),
        (object(), "nothing that JSON can say"),
    ],
)
def test_what_is_refused(noted: Any, message: str) -> None:
    with pytest.raises(WrongTypeError, match=message):
        from_json(noted)


@pytest.mark.parametrize("wrap", [lambda each: [each], lambda each: {"a": each}])
def test_nesting(wrap: Any) -> None:
    value: Any = 1
    for _ in range(CONTAINER_NESTING_MAX):
        value = wrap(value)
    noted = to_json(value)
    assert from_json(noted) == value
    tag, inner = ("$list", [noted]) if isinstance(value, list) else ("$dict", {"a": noted})
    for act, given_ in ((to_json, wrap(value)), (from_json, {tag: inner})):
        with pytest.raises(WrongTypeError, match=f"deeper than {CONTAINER_NESTING_MAX}"):
            act(given_)


@pytest.mark.parametrize("value", [object(), {1}, bytearray(b"a"), b"".__class__])
def test_what_has_no_notation(value: Any) -> None:
    with pytest.raises(WrongTypeError, match="is no value"):
        to_json(value)
