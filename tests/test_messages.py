"""Messages and bodies: the vectors of `spec/messages.md`, and that decoding is total."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication import limits
from replication.errors import DecodeError, ErrorCode, LimitExceededError
from replication.model.encoding import pack, unpack
from replication.protocol import body, messages
from replication.protocol.messages import FIELDS, MESSAGES
from replication.protocol.refusals import Refusal, read_refusal

VECTORS = json.loads((Path(__file__).parent.parent / "spec/vectors/messages.json").read_text())[
    "vectors"
]
BY_NAME = {kind.__name__: kind for kind in MESSAGES}


def value(item: Any) -> Any:
    return bytes.fromhex(item["$bin"]) if isinstance(item, dict) and "$bin" in item else item


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any]) -> None:
    """MSG-1 MSG-2 MSG-3 BODY-1 BODY-2"""
    if "refusal" in vector:
        _check_refusal(vector)
        return
    if "body" in vector:
        data = bytes.fromhex(vector["body"])
        if "refused" in vector:
            with pytest.raises(DecodeError) as refused:
                body.decompressed(vector["size"], data)
            assert refused.value.code.label == vector["refused"]
        else:
            assert body.decompressed(vector["size"], data).hex() == vector["hex"]
        return
    data = bytes.fromhex(vector["hex"])
    if "refused" in vector:
        with pytest.raises(DecodeError) as caught:
            messages.decode(data)
        assert caught.value.code is not None
        assert caught.value.code.label == vector["refused"]
    else:
        fields = {name: value(item) for name, item in vector["fields"].items()}
        message = BY_NAME[vector["message"]](**fields)
        assert messages.decode(data) == message
        assert messages.encode(message) == data


def _check_refusal(vector: dict[str, Any]) -> None:
    """REFUSAL-1 REFUSAL-2"""
    item = unpack(bytes.fromhex(vector["hex"]))
    if "refused" in vector:
        with pytest.raises(DecodeError) as caught:
            read_refusal(item)
        assert caught.value.code is not None
        assert caught.value.code.label == vector["refused"]
        return
    named = {name: value(each) for name, each in vector["refusal"].items()}
    named["path"] = [value(step) for step in named["path"]]
    refusal = Refusal(**named)
    assert read_refusal(item) == refusal
    assert pack(refusal.packed()).hex() == vector["hex"]


@given(
    st.lists(
        st.one_of(
            st.integers(-2, 2**63 - 1),
            st.text(max_size=3),
            st.none(),
            st.binary(max_size=2),
            st.lists(st.one_of(st.text(max_size=2), st.lists(st.integers(0, 9), max_size=3))),
        ),
        min_size=5,
        max_size=10,
    )
)
def test_reading_a_refusal_is_total(item: list[Any]) -> None:
    """REFUSAL-2: a refusal that comes back as it was, or an error."""
    try:
        refusal = read_refusal(item)
    except DecodeError:
        return
    assert refusal.packed() == item


def test_every_message_has_a_vector() -> None:
    assert {vector["message"] for vector in VECTORS if "message" in vector} == set(BY_NAME)


def test_every_field_has_a_check() -> None:
    names = {field.name for kind in MESSAGES for field in dataclasses.fields(kind)}
    assert names == set(FIELDS)
    assert [kind.number for kind in MESSAGES] == list(range(len(MESSAGES)))


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("session", 2**31 - 1, 2**31),
        ("ident", limits.IDENT_MAX, limits.IDENT_MAX + 1),
        ("namespace", "n" * limits.NAMESPACE_BYTES_MAX, "é" * limits.NAMESPACE_BYTES_MAX),
        ("token", "t" * limits.TOKEN_BYTES_MAX, "t" * (limits.TOKEN_BYTES_MAX + 1)),
        ("position", b"p" * 1024, b"p" * 1025),
        ("digest", bytes(16), bytes(15)),
        ("progress", 1.0, 1.5),
        ("progress", 0.0, 1),
        ("last", True, 1),
        ("versions", [1] * 100, [1] * 101),
        ("queries", {"a": "q"}, {"a": 1}),
        ("queries", {"a": "q" * limits.QUERY_BYTES_MAX}, {"a": "q" * (limits.QUERY_BYTES_MAX + 1)}),
        ("queries", {}, {"a": "é" * limits.QUERY_BYTES_MAX}),
        ("message", "m" * limits.ERROR_MESSAGE_BYTES_MAX, "é" * limits.ERROR_MESSAGE_BYTES_MAX),
        ("size", limits.BODY_BYTES_MAX, limits.BODY_BYTES_MAX + 1),
        ("cursor", 2**63 - 1, -1),
        ("request", 0, True),
        ("agent", "é" * 128, "é" * 128 + "a"),
        ("agent", "", b""),
        ("body", b"", ""),
        ("session", 0, -1),
        ("session", 1, 1.0),
        ("salt", 2**63 - 1, 2**63),
        ("code", 65535, 65536),
        ("versions", [], [True]),
        ("versions", [-1], (1,)),
        ("queries", {}, []),
        ("queries", {"": ""}, {b"": ""}),
        (
            "queries",
            {f"{n}": "q" for n in range(limits.SUBSCRIPTIONS_MAX)},
            {f"{n}": "q" for n in range(limits.SUBSCRIPTIONS_MAX + 1)},
        ),
        ("key", "k", ""),
        ("key", "k" * limits.PROPERTY_NAME_BYTES_MAX, "k" * (limits.PROPERTY_NAME_BYTES_MAX + 1)),
        ("key", "owner", 5),
        ("partition", None, 5),
        ("partition", [None], []),
        ("partition", ["a"], ["a", "b"]),
        ("partition", [5], [1.5]),
        ("partition", [b"x"[:0].decode()], {0: "a"}),
        ("progress", 0.5, -0.1),
        ("progress", 0.25, True),
        ("digest", bytes(range(16)), "x" * 16),
    ],
)
def test_fields_at_their_limits(field: str, good: Any, bad: Any) -> None:
    assert FIELDS[field](good)
    assert not FIELDS[field](bad)


@pytest.mark.parametrize("number", [-1, limits.TIME_MAX + 1, 1.0, None, True])
def test_a_refusal_names_a_client_version(number: Any) -> None:
    """REFUSAL-2"""
    item = [limits.TIME_MAX, "Book", 1, [], "no permission", "why"]
    assert read_refusal(item).packed() == item
    with pytest.raises(DecodeError, match="no client version"):
        read_refusal([number, *item[1:]])


@pytest.mark.parametrize(
    ("step", "fits"),
    [
        ("name", True),
        ("", True),
        ("k" * limits.DICTIONARY_KEY_BYTES_MAX, True),
        ("k" * (limits.DICTIONARY_KEY_BYTES_MAX + 1), False),
        ("é" * (limits.DICTIONARY_KEY_BYTES_MAX // 2 + 1), False),
        (b"m" * limits.KEY_BYTES_MAX, True),
        (b"m" * (limits.KEY_BYTES_MAX + 1), False),
        ([0, 0], True),
        ([limits.IDENT_MAX, limits.SEQUENCE_MAX], True),
        ([limits.IDENT_MAX + 1, 1], False),
        ([2, limits.SEQUENCE_MAX + 1], False),
        ([-1, 1], False),
        ([2, -1], False),
        ([2, True], False),
        ([2], False),
        ([2, 1, 1], False),
        (5, False),
        (None, False),
    ],
)
def test_the_steps_of_what_was_refused(step: Any, fits: bool) -> None:
    """REFUSAL-2"""
    item = [1, "Book", 1, [step], "no permission", "why"]
    if fits:
        assert read_refusal(item).packed() == item
        return
    with pytest.raises(DecodeError):
        read_refusal(item)


@pytest.mark.parametrize(
    "item",
    [
        5,
        dict(enumerate([1, "Book", 1, [], "r", "m"])),
        [1, "Book", 1, [], "r"],
        [1, "Book", 1, [], "r", "m", ""],
        ["1", "Book", 1, [], "r", "m"],
        [True, "Book", 1, [], "r", "m"],
        [1, 5, 1, [], "r", "m"],
        [1, "Book", 1.5, [], "r", "m"],
        [1, "Book", 1, {}, "r", "m"],
        [1, "Book", 1, ["a"] * (limits.DEPTH_MAX + 1), "r", "m"],
        [1, "Book", 1, [], "", "m"],
        [1, "Book", 1, [], 5, "m"],
        [1, "Book", 1, [], "r", None],
        [1, "Book", 1, [], "r", "m", "", "", ""],
    ],
    ids=repr,
)
def test_what_is_no_refusal(item: Any) -> None:
    """REFUSAL-1 REFUSAL-2"""
    assert read_refusal([1, "", None, ["a"] * limits.DEPTH_MAX, "r", "m"]).class_name == ""
    with pytest.raises(DecodeError):
        read_refusal(item)


def test_a_text_that_is_too_long_is_clipped_to_the_byte() -> None:
    for text, shown in (("abcdef", "abcdef"), ("abcdefg", "abc..."), ("ééé", "ééé"),
                        ("éééa", "é..."), ("", "")):  # fmt: skip
        assert messages.clipped(text, 6) == shown


def test_a_frame_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """MSG-4"""
    monkeypatch.setattr(messages, "FRAME_BYTES_MAX", 100)
    fits = messages.Token(1, "x" * 95)
    assert messages.decode(messages.encode(fits)) == fits
    with pytest.raises(LimitExceededError, match="101 bytes"):
        messages.encode(messages.Token(1, "x" * 96))
    with pytest.raises(LimitExceededError):
        messages.decode(pack([4, 1, "x" * 96]))


@given(st.binary(max_size=200))
def test_decoding_any_bytes_is_a_message_or_an_error(data: bytes) -> None:
    """MSG-2"""
    try:
        message = messages.decode(data)
    except DecodeError:
        return
    assert messages.encode(message) == data


@given(st.sampled_from([v for v in VECTORS if "message" in v]), st.data())
def test_a_damaged_message_is_another_one_or_an_error(vector: Any, data: st.DataObject) -> None:
    """MSG-2"""
    frame = bytearray(bytes.fromhex(vector["hex"]))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] = data.draw(st.integers(0, 255))
    try:
        message = messages.decode(bytes(frame))
    except DecodeError:
        return
    assert messages.encode(message) == bytes(frame)


def test_a_body_is_compressed_only_where_it_pays() -> None:
    """BODY-1"""
    short = pack(["a" * 500])
    assert len(short) <= limits.COMPRESS_BYTES_MIN
    assert body.compressed(short) == (0, short)
    size, packed = body.compressed(pack(["a" * 600]))
    assert size == 604
    assert len(packed) < 100


def test_a_bomb_stops_at_what_it_says() -> None:
    """BODY-2"""
    size, packed = body.compressed(bytes(limits.BODY_BYTES_MAX))
    assert len(packed) < 2000
    assert body.decompressed(size, packed) == bytes(limits.BODY_BYTES_MAX)
    with pytest.raises(DecodeError, match="not the 1000 bytes"):
        body.decompressed(1000, packed)
    with pytest.raises(LimitExceededError):
        body.decompressed(limits.BODY_BYTES_MAX + 1, packed)
    with pytest.raises(DecodeError, match="not zstd"):
        body.decompressed(10, b"0123456789")


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("list", pack({})),
        ("list", pack([1])),
        ("0 changesets", pack([])),
        ("1001 changesets", pack([b""] * 1001)),
    ],
)
def test_bodies_of_uploads_are_checked(what: str, data: bytes) -> None:
    """BODY-3"""
    with pytest.raises(DecodeError, match=what):
        body.decode_changesets(0, data)


HEAD = pack([1, 1, [], {0: [[655360001, 5, {"title": "Dune"}]]}])
DELTA = pack([0, 1, [], {0: [[655360001, 5, {"title": "Dune"}]]}])
GOOD = [
    body.StateOp("Book", 1, 7, HEAD, [[pack([["l"], [], 0]), 7, None]]),
    body.DeltaOp("Book", "key", 8, DELTA),
    body.DeltaOp("Book", "key", 8, DELTA, 1),
    body.StateOp("Book", 1, 7, HEAD, [], [3, 7]),
    body.EvictOp("Book", 2),
    body.SchemaOp({}),
    body.AuthorOp(8, 5, 655360001, 7),
    body.ForgetOp(8),
]


def test_operations_travel() -> None:
    """BODY-4 BODY-7"""
    assert body.decode_operations(*body.encode_operations(GOOD)) == GOOD


@pytest.mark.parametrize(
    "operation",
    [
        [],
        [4, "Book", 1],
        [True, "Book", 1, 7, HEAD, []],
        [2, "Book"],
        [2, "", 1],
        [2, "Book", None],
        [2, "Book", 1.0],
        [0, "Book", 1, 0, DELTA],
        [0, "Book", 1, 8, DELTA[:-1]],
        [0, "Book", 1, 8, DELTA + b"\0"],
        [0, "Book", 1, 8, "text"],
        [0, "Book", 1, 8, DELTA, 2],
        [0, "Book", 1, 8, DELTA, True],
        [1, "Book", 1, 7, HEAD, [], []],
        [1, "Book", 1, 7, HEAD, [], [7, 7]],
        [1, "Book", 1, 7, HEAD, [], [8]],
        [1, "Book", 1, 7, HEAD, [], [0]],
        [1, "Book", 1, 7, HEAD, [], [True]],
        [1, "Book", 1, 7, HEAD, [], 7],
        [1, "Book", 1, 7, pack([2, 1, [], {}]), []],
        [1, "Book", 1, 7, HEAD, {}],
        [1, "Book", 1, 7, HEAD, [["name", 7, None]]],
        [1, "Book", 1, 7, HEAD, [[b"\x01", -1, None]]],
        [1, "Book", 1, 7, HEAD, [[b"\x01", 7, b"\x01"]]],
        [3, []],
        [4, 8, 5, 655360001],
        [4, 0, 5, 655360001, 0],
        [4, 8, 0, 655360001, 7],
        [4, 8, 2**48, 655360001, 7],
        [4, 8, 5, 0, 7],
        [4, 8, 5, 655360001, -1],
        [4, 8, 5, 655360001, 8],
        [4, 8, 5, 655360001, True],
        [1, "Book", 1, 7, HEAD, [[b"\x01", True, None]]],
        [1, "Book", 1, 7, HEAD, [[b"\x01", 2**63, None]]],
        [1, "Book", 1, 7, HEAD, [["\x01", 7, None]]],
        [1, "Book", 1, 7, HEAD, [[b"\x01", 7]]],
        [1, "Book", 1, 7, HEAD, [7]],
        [3.0, {}],
        [4.0, 8, 5, 655360001, 7],
        [4, 8, 5, 2**63, 7],
        [5.0, 8],
        [5, 2**63],
        [5],
        [5, 0],
        [5, True],
        [5, 8, 9],
    ],
    ids=repr,
)
def test_operations_are_checked_before_they_are_stored(operation: Any) -> None:
    """BODY-5 BODY-6"""
    with pytest.raises(DecodeError):
        body.decode_operations(0, pack([operation]))


def test_unknown_codes_count_as_internal() -> None:
    """ERR-2"""
    assert messages.error_of(messages.Error(1, 31337, "")) is ErrorCode.INTERNAL
    assert messages.error_of(messages.Error(1, 202, "")) is ErrorCode.TOKEN_EXPIRED
