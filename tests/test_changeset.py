"""Changesets: canonical bytes, what is refused of them, the digest chain. [CHG]"""

from __future__ import annotations

import hashlib
import uuid
from random import Random
from typing import Any

import pytest
from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from model_strategies import KEYS
from replicas import Replica, wander
from state_strategies import object_state

from replication.crdt.object import absent
from replication.errors import DecodeError, LimitExceededError
from replication.history import changeset as changesets
from replication.history.changeset import (
    ATOMIC,
    DIGEST_START,
    Changeset,
    ObjectDelta,
    check_class_name,
    check_key,
    decode,
    decode_trusted,
    encode,
    next_digest,
    outline_trusted,
)
from replication.limits import (
    CLASS_NAME_BYTES_MAX,
    KEY_BYTES_MAX,
    LIST_BARE_IDS_MAX,
    SEQUENCE_MAX,
    TIME_MAX,
)
from replication.model.encoding import key_bytes, pack
from replication.model.values import Key

CREATE = [1, 1, [], {}]
CLASSES = st.sampled_from(["Author", "Book", "é", "x" * CLASS_NAME_BYTES_MAX])


@st.composite
def drawn(draw: st.DrawFn) -> Changeset:
    names = draw(st.lists(st.tuples(CLASSES, KEYS), max_size=5))
    rng = draw(st.randoms(use_true_random=False))
    objects = {(name, key_bytes(key)): key for name, key in names}
    deltas = []
    for (name, _), key in objects.items():
        delta = object_state(rng, 1)
        deltas.append(ObjectDelta(name, key, delta, delta[0] % 2 == 1 and draw(st.booleans())))
    return Changeset(
        draw(st.integers(1, TIME_MAX)),
        draw(st.integers(0, TIME_MAX)),
        deltas,
        draw(st.sampled_from([0, ATOMIC])),
        draw(st.sampled_from([{}, {"Book": {"a": "int"}}])),
    )


def one(**change: Any) -> list[Any]:
    """The items of a changeset of one object, some of them changed."""
    held = {"time": 5, "cursor": 0, "flags": 0, "schema": {}, "objects": [["Book", 1, CREATE]]}
    return list((held | change).values())


@given(drawn())
def test_what_is_encoded_is_decoded(changeset: Changeset) -> None:
    """[CHG-2] By the checking decoder and the trusting one."""
    data = encode(changeset)
    for read in (decode(data), decode_trusted(data)):
        assert encode(read) == data
        assert (read.time, read.cursor, read.flags) == (
            changeset.time, changeset.cursor, changeset.flags
        )  # fmt: skip
        assert read.schema == changeset.schema
        assert read.atomic == bool(changeset.flags)
        assert [(item.class_name, pack(item.key), item.blind) for item in read.objects] == sorted(
            (item.class_name, pack(item.key), item.blind) for item in changeset.objects
        )


@given(drawn(), st.integers(0, 3))
def test_an_outline_has_the_bytes_of_each_delta(changeset: Changeset, past: int) -> None:
    """What is passed on undecoded is what decoding and encoding again would give."""
    changeset.horizon = min(changeset.cursor + past, TIME_MAX) if past else 0
    data = encode(changeset)
    read, outline = decode_trusted(data), outline_trusted(data)
    assert outline[:3] == (read.time, read.cursor, read.horizon)
    assert outline.objects == [(item[0], item[1], pack(item.delta)) for item in read.objects]
    marks = [int(item.blind) for item in read.objects]
    assert outline.marks == {at: mark for at, mark in enumerate(marks) if mark}


def test_an_outline_says_which_objects_are_marked() -> None:
    """[CHG-11] [CHG-13] And the horizon, where there is one."""
    delta: Any = [1, 1, [], {}]
    objects = [
        ObjectDelta("A", 1, delta),
        ObjectDelta("A", 2, delta, True),
        ObjectDelta("B", 1, [0, 1, [], {}], blind=True),
    ]
    plain, past = (Changeset(9, 4, objects, flags=at, horizon=7 * at) for at in (0, 1))
    assert (plain.atomic, past.atomic) == (False, True)
    for changeset in (plain, past):
        outline = outline_trusted(encode(changeset))
        assert outline[:3] == (9, 4, changeset.horizon)
        assert outline.objects == [(each[0], each[1], pack(each.delta)) for each in objects]
        assert outline.marks == {1: 1, 2: 1}


@given(drawn(), st.randoms(use_true_random=False))
def test_equal_changesets_are_equal_bytes(changeset: Changeset, rng: Random) -> None:
    """[CHG-1] In whatever order the transaction touched its objects."""
    data = encode(changeset)
    rng.shuffle(changeset.objects)
    assert encode(changeset) == data


def test_objects_ascend_by_class_and_bytes_of_the_key() -> None:
    """[CHG-1] Integers before strings before identifiers, as their first bytes say."""
    keys: list[Key] = [1, 200, -1, "a", "b", ObjectId(bytes(12)), uuid.UUID(int=0)]
    objects = [ObjectDelta(name, key, CREATE) for key in keys for name in ("B", "A")]
    read = decode(encode(Changeset(5, 0, objects)))
    positions = [(item.class_name, pack(item.key)) for item in read.objects]
    assert positions == sorted(positions)
    two = decode(encode(Changeset(5, 0, [ObjectDelta("A", key, CREATE) for key in (2, 1)])))
    assert [item.key for item in two.objects] == [1, 2]


def test_a_transaction_of_a_replica_travels() -> None:
    """[CHG-2]"""
    device = Replica(2)
    device.write(lambda edit: edit.create())
    for seed in range(40):
        delta = device.write(wander(Random(seed), steps=6))
        data = encode(Changeset(device.clock.last, 3, [ObjectDelta("Book", 1, delta)]))
        assert pack(decode(data).objects[0].delta) == pack(delta)


REFUSED: dict[str, Any] = {
    "no list": {},
    "a number": 5,
    "a map of five": dict(enumerate(one())),
    "four items": one()[:4],
    "six items": [*one(), 0],
    "time zero": one(time=0),
    "a time past the end": one(time=TIME_MAX + 1),
    "a bool for a time": one(time=True),
    "a double for a time": one(time=5.0),
    "a negative cursor": one(cursor=-1),
    "a cursor past the end": one(cursor=TIME_MAX + 1),
    "a bool for a cursor": one(cursor=False),
    "flags not in use": one(flags=2),
    "bool flags": one(flags=True),
    "a schema that is no map": one(schema=[]),
    "a schema in no order": one(schema={"B": {}, "A": {}}),
    "a schema in no order, deep down": one(schema={"A": {"b": 1, "a": 1}}),
    "objects that are no list": one(objects={}),
    "an object that is no list": one(objects=["Book"]),
    "an object that is a number": one(objects=[7]),
    "an object that is a map of three": one(objects=[{0: "Book", 1: 1, 2: CREATE}]),
    "an object of two": one(objects=[["Book", 1]]),
    "an object of five": one(objects=[["Book", 1, CREATE, 1, 1]]),
    "a class that is no string": one(objects=[[b"Book", 1, CREATE]]),
    "a class without a name": one(objects=[["", 1, CREATE]]),
    "a class name too long": one(objects=[["x" * (CLASS_NAME_BYTES_MAX + 1), 1, CREATE]]),
    "a class name of too many bytes": one(objects=[["é" * 29, 1, CREATE]]),
    "a key that is null": one(objects=[["Book", None, CREATE]]),
    "a key that is a bool": one(objects=[["Book", True, CREATE]]),
    "a key that is a double": one(objects=[["Book", 1.0, CREATE]]),
    "a key that is bytes": one(objects=[["Book", b"", CREATE]]),
    "a key that is too long": one(objects=[["Book", "k" * (KEY_BYTES_MAX + 1), CREATE]]),
    "a malformed delta": one(objects=[["Book", 1, [1, 1, [], {1: {}}]]]),
    "a delta spread over parts": one(
        objects=[["Book", 1, [0, 1, [], {4: {"l": [[], [[0, 0, 0]], 1]}}]]]
    ),
    "a blind mark of zero": one(objects=[["Book", 1, CREATE, 0]]),
    "a blind mark of true": one(objects=[["Book", 1, CREATE, True]]),
    "a create marked an update": one(objects=[["Book", 1, CREATE, 2]]),
    "objects in no order": one(objects=[["Book", 2, CREATE], ["Book", 1, CREATE]]),
    "classes in no order": one(objects=[["Book", 1, CREATE], ["Author", 1, CREATE]]),
    "one object of three in no order": one(
        objects=[["Book", 1, CREATE], ["Book", 3, CREATE], ["Book", 2, CREATE]]
    ),
    "a horizon at the cursor": [*one(cursor=7), 7],
    "a horizon past the end": [*one(), TIME_MAX + 1],
    "a bool for a horizon": [*one(), True],
    "an object twice": one(objects=[["Book", 1, CREATE], ["Book", 1, CREATE]]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_encode_would_not_write_is_refused(name: str) -> None:
    """[CHG-2]"""
    with pytest.raises(DecodeError) as caught:
        decode(pack(REFUSED[name]))
    assert len(str(caught.value)) < 300


def test_what_the_refused_ones_are_made_from_passes() -> None:
    """[CHG-2] And so do the values at the edges."""
    for items in (
        one(),
        one(time=1),
        one(time=TIME_MAX, cursor=TIME_MAX, flags=1, objects=[]),
        one(objects=[["é" * 28, "k" * KEY_BYTES_MAX, CREATE, 1]]),
        one(objects=[["Book", 1, CREATE], ["Book", 2, absent()]]),
        one(schema={"A": {"a": 1, "b": 1}, "B": {}}),
        [*one(cursor=7), 8],
        [*one(cursor=TIME_MAX - 1), TIME_MAX],
    ):
        assert encode(decode(pack(items))) == pack(items)


def test_what_a_changeset_fits_on() -> None:
    """[CHG-13]"""
    for cursor, horizon, fits in ((7, 0, 7), (7, 9, 9), (0, 0, 0)):
        assert decode(encode(Changeset(5, cursor, [], horizon=horizon))).fits == fits


def test_every_changed_byte_is_refused_or_another_changeset() -> None:
    """[CHG-2] Every truncation, every one-byte change, insertion and deletion of one changeset."""
    delta = [1, 1, [], {
        0: [[4, 2, {"n": 1}, 5, 2]], 1: {"c": 1},
        4: {"l": [[], [[[2, 1, 0, 5, 2, ["a"]]], [], [], [[2, 9, 1]], []]]},
    }]  # fmt: skip
    data = encode(Changeset(5, 0, [ObjectDelta("B", 1, delta)]))
    variants = [data[:end] for end in range(len(data))]
    for at in range(len(data) + 1):
        variants += [data[:at] + bytes([byte]) + data[at:] for byte in range(256)]
        if at < len(data):
            variants.append(data[:at] + data[at + 1 :])
            variants += [data[:at] + bytes([byte]) + data[at + 1 :] for byte in range(256)]
    accepted = 0
    for variant in variants:
        try:
            read = decode(variant)
        except DecodeError:
            continue
        assert encode(read) == variant
        accepted += 1
    assert accepted > 256, "some are changesets of something else"


def test_limits_on_objects_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """[CHG-12], [LIMIT-1] and [LIMIT-3]: at the limit and one past it, on both sides."""
    objects = [ObjectDelta("Book", number, CREATE) for number in range(4)]
    three, four = (encode(Changeset(5, 0, objects[:count])) for count in (3, 4))
    monkeypatch.setattr(changesets, "CHANGESET_OBJECTS_MAX", 3)
    assert len(decode(three).objects) == 3
    assert encode(Changeset(5, 0, objects[:3])) == three
    with pytest.raises(LimitExceededError, match="4 objects"):
        decode(four)
    with pytest.raises(LimitExceededError, match="split it"):
        encode(Changeset(5, 0, objects))
    monkeypatch.setattr(changesets, "CHANGESET_BYTES_MAX", len(three))
    assert encode(Changeset(5, 0, objects[:3])) == three
    decode(three)
    monkeypatch.setattr(changesets, "CHANGESET_BYTES_MAX", len(three) - 1)
    with pytest.raises(LimitExceededError, match="split it"):
        encode(Changeset(5, 0, objects[:3]))
    with pytest.raises(LimitExceededError):
        decode(three)


def test_ids_that_cost_no_bytes_are_counted_over_all_objects() -> None:
    """[STATE-31] and [LIMIT-2]: many objects can't name more of them than one could."""

    def erase(count: int, objects: int) -> bytes:
        delta = [0, 1, [], {4: {"l": [[], [[], [], [], [[2, 1, count]], []]]}}]
        return encode(Changeset(5, 0, [ObjectDelta("B", key, delta) for key in range(objects)]))

    decode(erase(LIST_BARE_IDS_MAX // 4, 4))
    for count, objects in ((LIST_BARE_IDS_MAX // 4, 5), (SEQUENCE_MAX, 1)):
        with pytest.raises(LimitExceededError):
            decode(erase(count, objects))


def test_class_names_and_keys() -> None:
    """[CHG-2]"""
    check_class_name("x" * CLASS_NAME_BYTES_MAX)
    check_key("é" * (KEY_BYTES_MAX // 2))
    for name in ("", "x" * (CLASS_NAME_BYTES_MAX + 1), 5, None):
        with pytest.raises(DecodeError):
            check_class_name(name)
    for key in ("é" * (KEY_BYTES_MAX // 2) + "a", None, 1.5, b""):
        with pytest.raises(DecodeError):
            check_key(key)


def test_a_digest_is_the_start_of_a_hash() -> None:
    """[CHG-3]"""
    expected = hashlib.sha256(bytes(16) + b"first").digest()[:16]
    assert next_digest(DIGEST_START, b"first") == expected
    assert next_digest(expected, b"second") == hashlib.sha256(expected + b"second").digest()[:16]


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_the_digest_chain(changes: list[bytes]) -> None:
    """[CHG-3] Sixteen bytes that stand for all changesets of a file so far, in order."""
    digest, expected = DIGEST_START, bytes(16)
    for data in changes:
        digest = next_digest(digest, data)
        expected = hashlib.sha256(expected + data).digest()[:16]
        assert digest == expected
    assert len(digest) == 16
    if changes:
        again = DIGEST_START
        for data in (*changes[:-1], changes[-1] + b"x"):
            again = next_digest(again, data)
        assert again != digest
