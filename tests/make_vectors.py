"""The vectors of encoding, states, merging and changesets. Run as a script to write them again.

What goes in is written by hand here; what comes out is what the implementation does, and is read by
people before it is committed. `test_spec_vectors.py` holds the files to both.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, TypeAlias

from bootstrap_vectors import bootstraps
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from forgetting_vectors import forgetting
from make_merge_vectors import concurrent
from partition_vectors import partitions
from subscription_vectors import subscriptions
from text_vectors import texts
from vector_operations import perform, shown

from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.list import contract, expand
from replication.crdt.object import absent, merge
from replication.crdt.parts import Parts
from replication.crdt.substitute import Substitution
from replication.crdt.whole import joined
from replication.history.changeset import (
    ATOMIC,
    BLIND,
    DIGEST_START,
    Changeset,
    ObjectDelta,
    encode,
    next_digest,
)
from replication.limits import (
    CONTAINER_NESTING_MAX,
    DEPTH_MAX,
    IDENT_MAX,
    INT64_MAX,
    INT64_MIN,
    LIST_BARE_IDS_MAX,
    LIST_PART_ELEMENTS_MAX,
    NESTING_MAX,
    SEQUENCE_MAX,
    TIME_MAX,
)
from replication.model.encoding import pack
from replication.model.notation import to_json
from replication.model.values import ERASED, Based, Container, Float32, Link, Timestamp

Vector: TypeAlias = dict[str, Any]
VECTORS = Path(__file__).parent.parent / "spec" / "vectors"


# -- encoding --------------------------------------------------------------------------------
def encoding() -> list[Vector]:
    """Values, structures, and bytes that are neither."""
    return [*_values(), *_structures(), *_not_canonical()]


def _values() -> list[Vector]:
    integers = [
        0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, INT64_MAX, -1, -32, -33, -128,
        -129, -32_768, -32_769, -(2**31), -(2**31) - 1, INT64_MIN,
    ]  # fmt: skip
    values: list[tuple[str, list[str], Any]] = [
        *((f"int/{number}", ["ENC-1", "ENC-4"], number) for number in integers),
        ("null", ["ENC-1"], None),
        ("false", ["ENC-1"], False),
        ("true", ["ENC-1"], True),
        ("double/1.0", ["ENC-2"], 1.0),
        ("double/-0.0", ["ENC-2"], -0.0),
        ("double/infinite", ["ENC-2"], float("inf")),
        ("double/nan", ["ENC-5"], float("nan")),
        ("float/1.5", ["ENC-3"], Float32(1.5)),
        ("float/nan", ["ENC-3"], Float32(float("nan"))),
        ("string/empty", ["ENC-1"], ""),
        ("string/31 bytes", ["ENC-1"], "a" * 31),
        ("string/32 bytes", ["ENC-1"], "a" * 32),
        ("string/16 characters of 32 bytes", ["ENC-10"], "é" * 16),
        ("string/256 bytes", ["ENC-1"], "a" * 256),
        ("binary/empty", ["ENC-1"], b""),
        ("binary/256 bytes", ["ENC-1"], bytes(256)),
        ("objectId", ["ENC-11"], ObjectId("65a1b2c3d4e5f60718293a4b")),
        ("uuid", ["ENC-11"], uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")),
        ("decimal/1.0", ["ENC-11"], Decimal128("1.0")),
        ("timestamp/4 bytes", ["ENC-12"], Timestamp(2**32 - 1)),
        ("timestamp/8 bytes, seconds", ["ENC-12"], Timestamp(2**32)),
        ("timestamp/8 bytes, nanoseconds", ["ENC-12", "ENC-13"], Timestamp(0, 999_999_999)),
        ("timestamp/12 bytes, later", ["ENC-12"], Timestamp(2**34)),
        ("timestamp/12 bytes, before 1970", ["ENC-12", "ENC-13"], Timestamp(-1, 999_999_999)),
        ("link", ["ENC-14"], Link("Book", 17)),
        ("link/to a uuid", ["ENC-14"], Link("Book", uuid.UUID(int=1))),
        ("erased", ["ENC-11"], ERASED),
        ("based", ["ENC-15"], Based(10, -4)),
        ("based/a link", ["ENC-15"], Based(Link("Book", "x"), 1)),
        ("collection/list", ["ENC-16"], Container(4, 2, 17)),
        ("collection/greatest", ["ENC-16"], Container(3, IDENT_MAX, SEQUENCE_MAX)),
    ]
    return [
        {
            "name": f"value/{name}",
            "covers": covers,
            "value": to_json(value),
            "hex": pack(value).hex(),
        }
        for name, covers, value in values
    ]


def _structures() -> list[Vector]:
    deep: Any = 1
    for _ in range(DEPTH_MAX):
        deep = [deep]
    structures: list[tuple[str, list[str], Any, str]] = [
        ("empty", ["ENC-1"], [[], {}], "[[], {}]"),
        ("16 items", ["ENC-1"], list(range(16)), "[0, 1, ..., 15]"),
        (
            "strings as keys",
            ["ENC-7", "ENC-8"],
            {"B": 1, "a": 2, "é": 3},
            '{"B": 1, "a": 2, "é": 3}',
        ),
        ("keys by bytes", ["ENC-8"], {"￿": 1, "𐀀": 2}, "U+FFFF before U+10000"),
        (
            "binaries as keys",
            ["ENC-7", "ENC-8"],
            {b"": 1, b"\0": 2, b"\1": 3},
            "{'': 1, 00: 2, 01: 3}",
        ),
        ("integers as keys", ["ENC-7", "ENC-8"], {-1: 1, 0: 2, 200: 3}, "{-1: 1, 0: 2, 200: 3}"),
        ("greatest depth", ["ENC-9"], deep, f"1 inside {DEPTH_MAX} arrays"),
    ]
    return [
        {"name": f"structure/{name}", "covers": covers, "hex": pack(value).hex(), "says": says}
        for name, covers, value, says in structures
    ]


def _not_canonical() -> list[Vector]:
    def ext(code: int, data: bytes) -> bytes:
        return b"\xc7" + bytes([len(data), code]) + data

    key = pack({"a": 1})[1:]
    based = ext(8, b"\x92\x01\x02")
    refused: list[tuple[str, list[str], bytes]] = [
        ("nothing", ["ENC-17"], b""),
        ("an integer one byte too long", ["ENC-1", "ENC-17"], b"\xcc\x01"),
        ("an integer three bytes too long", ["ENC-1", "ENC-17"], b"\xce\0\0\0\xff"),
        ("a positive integer in a signed form", ["ENC-1"], b"\xd0\x01"),
        ("a string header too long", ["ENC-1"], b"\xd9\x01a"),
        ("a binary header too long", ["ENC-1"], b"\xc5\0\x01a"),
        ("an array header too long", ["ENC-1"], b"\xdc\0\x01\x01"),
        ("a map header too long", ["ENC-1"], b"\xde\0\x01" + key),
        ("an ext header too long", ["ENC-1"], ext(3, bytes(16))),
        ("a float 32", ["ENC-2", "ENC-3"], b"\xca\x3f\x80\0\0"),
        ("an integer of 2^63", ["ENC-4"], b"\xcf\x80" + bytes(7)),
        ("an integer of 2^64 - 1 in a map", ["ENC-4"], b"\x81\xa1a\xcf" + b"\xff" * 8),
        ("another NaN", ["ENC-5"], b"\xcb\x7f\xf8" + bytes(5) + b"\x01"),
        ("a negative NaN", ["ENC-5"], b"\xcb\xff\xf8" + bytes(6)),
        ("another NaN in a float", ["ENC-5", "ENC-17"], b"\xd6\x05\x7f\xc0\0\x01"),
        ("a surrogate", ["ENC-6"], b"\xa3\xed\xa0\x80"),
        ("overlong UTF-8", ["ENC-6"], b"\xa2\xc0\x80"),
        ("keys of two types", ["ENC-7"], b"\x82\x01\x01\xa1a\x02"),
        ("null as a key", ["ENC-7"], b"\x81\xc0\x01"),
        ("a bool as a key", ["ENC-7"], b"\x81\xc2\x01"),
        ("an array as a key", ["ENC-7"], b"\x81\x90\x01"),
        ("keys that descend", ["ENC-8"], b"\x82\xa1b\x01\xa1a\x02"),
        ("a key twice", ["ENC-8"], b"\x82" + key + key),
        ("the reserved byte", ["ENC-17"], b"\xc1"),
        ("a string cut short", ["ENC-17"], b"\xa3ab"),
        ("a byte after the end", ["ENC-18"], b"\x01\x01"),
        ("an array of 4,294,967,295 items", ["ENC-20"], b"\xdd\xff\xff\xff\xff"),
        ("a timestamp of MessagePack's own", ["ENC-11"], b"\xd6\xff\0\0\0\x01"),
        ("an ext type not in use", ["ENC-11"], b"\xd4\x7f\0"),
        ("a timestamp in 8 bytes that fits 4", ["ENC-12"], b"\xd7\x04" + bytes(7) + b"\x01"),
        ("a timestamp in 12 bytes that fits 8", ["ENC-12"], ext(4, bytes(7) + b"\x01" + bytes(4))),
        ("a timestamp of 5 bytes", ["ENC-12"], ext(4, bytes(5))),
        (
            "a timestamp of 1,000,000,000 nanoseconds",
            ["ENC-13"],
            b"\xd7\x04" + (10**9 << 34).to_bytes(8, "big"),
        ),
        ("a link without a class", ["ENC-14"], ext(6, b"\x92\xa0\x01")),
        ("a link to a double", ["ENC-14"], ext(6, pack(["Book", 1.0]))),
        ("a link of one item", ["ENC-14"], ext(6, b"\x91\xa1B")),
        ("a link with a byte after its end", ["ENC-14", "ENC-18"], ext(6, b"\x92\xa1B\x01\x01")),
        ("a based value of nothing seen", ["ENC-15"], ext(8, b"\x92\x01\0")),
        ("a based value in a based value", ["ENC-15"], ext(8, b"\x92" + based + b"\x01")),
        ("a based array", ["ENC-15"], ext(8, b"\x92\x90\x01")),
        ("a collection that is a set", ["ENC-16"], ext(9, b"\x93\x02\x01\x01")),
        ("a collection of a negative file", ["ENC-16"], ext(9, b"\x93\x04\xff\x01")),
        ("erased with a byte", ["ENC-11"], b"\xd4\x07\0"),
    ]
    out = [
        {"name": f"refused/{name}", "covers": covers, "hex": data.hex(), "error": "bad_syntax"}
        for name, covers, data in refused
    ]
    return [
        *out,
        {
            "name": "refused/too deep",
            "covers": ["ENC-9"],
            "hex": (b"\x91" * (DEPTH_MAX + 1) + b"\x01").hex(),
            "error": "limit_exceeded",
        },
    ]


# -- states ----------------------------------------------------------------------------------
def states() -> list[Vector]:
    """Merges, what is well-formed, what is not, and lists spread over parts."""
    return [*_merges(), *_malformed(), _spread()]


def fields(held: dict[int, Any]) -> list[Any]:
    return [0, 1, [], held]


def _list(
    runs: Any = (), sets: Any = (), moves: Any = (), erased: Any = (), contents: Any = ()
) -> Any:
    return fields({obj.LIST: {"l": [[], [*map(list, (runs, sets, moves, erased, contents))]]}})


def _merge(name: str, covers: list[str], *states: Any) -> Vector:
    state = absent()
    for delta in states:
        check_object(delta)
        state = merge(state, delta)
    return {
        "name": f"merge/{name}",
        "covers": covers,
        "states": [pack(delta).hex() for delta in states],
        "merged": pack(state).hex(),
        "shows": shown(state),
    }


CREATED = [1, 1, [], {}]
_NOTHING: list[Any] = [[], [], [], [], []]


def _registers(*groups: Any) -> Any:
    return fields({obj.REGISTER: list(groups)})


def _merges() -> list[Vector]:
    return [
        *_merged_objects(),
        *_merged_registers(),
        *_merged_collections(),
        *_merged_lists(),
        *_merged_containers(),
    ]


def _merged_objects() -> list[Vector]:
    edit = _registers([5, 2, {"a": 1}])
    again = [3, 3, [], {obj.REGISTER: [[7, 2, {"a": 3}]]}]

    def embedded(state: Any) -> Any:
        return fields({obj.EMBEDDED: {"e": state}})

    first = embedded([1, 1, [], {obj.REGISTER: [[5, 2, {"a": 1}]]}])
    other = embedded([1, 1, [], {obj.REGISTER: [[6, 3, {"b": 2}]]}])
    replaced = embedded([0, 1, [8, 2, 2, 1], {obj.REGISTER: [[8, 2, {"c": 3}]]}])
    later = embedded([0, 1, [9, 3, 3, 1], {obj.REGISTER: [[9, 3, {"d": 4}]]}])
    null = embedded([2, 0, [], {}])
    count = fields({obj.COUNTER: {"n": 5}, obj.DICTIONARY: {"d": [[], [], {}]}})
    back = fields({obj.COUNTER: {"n": -5}, obj.SET: {"s": [[], []]}})
    return [
        _merge("created twice", ["MERGE-1", "MERGE-OBJ-2"], CREATED, CREATED, edit),
        _merge("deleted and edited", ["MERGE-OBJ-1", "MERGE-OBJ-3"], CREATED, edit, [2, 0, [], {}]),
        _merge("deleted and created again", ["MERGE-OBJ-1"], CREATED, [2, 0, [], {}], again, edit),
        _merge("an edit before its create", ["MERGE-OBJ-4"], edit),
        _merge("content of the third life", ["MERGE-OBJ-4"], CREATED, [2, 3, [], {}]),
        _merge("nothing", ["MERGE-OBJ-4"], absent()),
        _merge("a life whose create is missing", ["MERGE-OBJ-4"], CREATED,
               [0, 3, [], {obj.REGISTER: [[7, 2, {"a": 3}]]}]),
        _merge("embedded created twice", ["MERGE-OBJ-2"], CREATED, first, other),
        _merge("embedded replaced twice", ["MERGE-OBJ-2"], CREATED, first, replaced, later, other),
        _merge("embedded null and replaced", ["MERGE-OBJ-1"], CREATED, first, null, later),
        _merge("contradicting types", ["MERGE-1", "STATE-VIEW"], CREATED,
               _registers([5, 2, {"x": 1}]),
               fields({obj.SET: {"x": [[], [[4, 3, {pack(2): True}]]]}})),
        _merge("a dead embedded object beside a value", ["STATE-VIEW"], CREATED,
               _registers([5, 2, {"e": "x"}]), null),
        _merge("kinds stay in order", ["MERGE-COUNTER-4", "STATE-10"], CREATED, count, back),
    ]  # fmt: skip


def _merged_registers() -> list[Vector]:
    five, six = _registers([5, 2, {"a": "five"}]), _registers([6, 3, {"a": "six"}])
    over_five = _registers([5, 2, {"a": "default"}, 9, 4])
    over_none = _registers([0, 0, {"a": "default"}, 9, 4])
    tie = _registers([5, 2, {"a": "fivf"}])
    add, more = (fields({obj.COUNTER: {"n": amount}}) for amount in (3, INT64_MAX))
    set_to = _registers([5, 2, {"n": 10}])
    set_after = _registers([6, 2, {"n": Based(10, 3)}])
    groups = [_registers([5, 2, {"a": 1}]), _registers([5, 2, {"b": 2}], [6, 2, {"c": 3}])]
    return [
        _merge("the later write wins", ["MERGE-REG-1"], CREATED, five, six),
        _merge("equal stamps", ["MERGE-TIE"], CREATED, five, tie),
        _merge("a default over what it saw", ["MERGE-REG-2", "STATE-16"], CREATED, five, over_five),
        _merge("a default and a later write", ["MERGE-REG-2"], CREATED, five, over_five, six),
        _merge("a default and an unseen write", ["MERGE-REG-2"], CREATED, over_none, five),
        _merge("writes of one transaction", ["MERGE-REG-3", "STATE-13"], CREATED, *groups),
        _merge("increments", ["MERGE-COUNTER-1", "MERGE-COUNTER-3"], CREATED, add, add),
        _merge("increments that wrap", ["MERGE-COUNTER-1"], CREATED, add, more),
        _merge("an unseen increment", ["MERGE-COUNTER-2"], CREATED, set_to, add),
        _merge("a seen increment", ["MERGE-COUNTER-2"], CREATED, add, set_after, add),
        _merge("an increment on a string", ["MERGE-COUNTER-3"], CREATED,
               _registers([5, 2, {"n": "x"}]), add),
        _merge("an increment on true", ["MERGE-COUNTER-3"], CREATED,
               _registers([5, 2, {"n": True}]), add),
        _merge("a set number and increments that wrap", ["MERGE-COUNTER-2"], CREATED,
               _registers([5, 2, {"n": INT64_MAX}]), add),
    ]  # fmt: skip


def _merged_collections() -> list[Vector]:
    def members(time: int, incarnation: Any = (), **values: bool) -> Any:
        held = {pack(int(name[1:])): present for name, present in values.items()}
        groups = [[time, 2, dict(sorted(held.items()))]] if held else []
        return fields({obj.SET: {"s": [list(incarnation), groups]}})

    def items(time: int, items: Any, embedded: Any = None, incarnation: Any = ()) -> Any:
        groups = [[time, 2, items]] if items else []
        return fields({obj.DICTIONARY: {"d": [list(incarnation), groups, embedded or {}]}})

    numbers = fields({obj.SET: {"s": [[], [[5, 2, {pack(1): True, pack(1.0): True}]]]}})
    born = {"k": [1, 1, [], {obj.REGISTER: [[5, 2, {"a": 1}]]}]}
    also = {"k": [1, 1, [], {obj.REGISTER: [[6, 3, {"b": 2}]]}]}
    gone = {"k": [2, 0, [], {}]}
    anew = [8, 2, 2, 9]
    return [
        _merge("members one by one", ["MERGE-SET-1"], CREATED, members(5, n1=True, n2=True),
               members(6, n2=False, n3=True)),
        _merge("1 and 1.0 are two members", ["MERGE-SET-1"], CREATED, numbers),
        _merge("a set assigned", ["MERGE-INC-1"], CREATED, members(5, n1=True),
               members(8, anew, n9=True), members(9, n2=True)),
        _merge("a set assigned twice at one time", ["MERGE-INC-1"], CREATED,
               members(8, anew, n9=True), members(8, [8, 3, 3, 1], n1=True)),
        _merge("keys one by one", ["MERGE-DICT-1"], CREATED, items(5, {"a": 1, "b": 1}),
               items(6, {"b": ERASED, "c": None})),
        _merge("a key written after it was removed", ["MERGE-DICT-1"], CREATED,
               items(6, {"a": ERASED}), items(7, {"a": 2})),
        _merge("embedded at one key", ["MERGE-DICT-2"], CREATED, items(5, {}, born),
               items(6, {}, also)),
        _merge("embedded at a removed key", ["MERGE-DICT-2"], CREATED, items(5, {}, born),
               items(6, {}, gone), items(7, {}, also)),
        _merge("a plain value where an object was", ["MERGE-DICT-2"], CREATED,
               items(4, {"k": 7}, born), items(6, {}, gone)),
        _merge("a dictionary cleared", ["MERGE-INC-1"], CREATED, items(5, {"a": 1}, born),
               items(8, {}, None, anew), items(9, {"b": 1})),
    ]  # fmt: skip


def _merged_lists() -> list[Vector]:
    abc = _list([[2, 1, 0, 5, 2, ["a", "b", "c"]]])
    front = _list([[3, 1, [2, 1, 0], 6, 3, ["x", "y"]]])
    also = _list([[4, 1, [2, 1, 0], 7, 4, ["1", "2"]]])
    set_b, set_again = _list(sets=[[2, 2, 6, 3, "B"]]), _list(sets=[[2, 2, 7, 4, "BB"]])
    move = _list([[3, 5, [2, 3, 1], 6, 3, 1]], moves=[[2, 1, 6, 3, 3, 5]])
    move_again = _list([[4, 5, [2, 2, 1], 7, 4, 1]], moves=[[2, 1, 7, 4, 4, 5]])
    erase = _list(erased=[[2, 2, 1]])
    content = _list([[2, 9, 0, 5, 2, [None]]],
                    contents=[[2, 9, {obj.REGISTER: [[5, 2, {"a": 1}]]}]])  # fmt: skip
    inside = _list(contents=[[2, 9, {obj.REGISTER: [[6, 3, {"b": 2}]]}]])
    anew = fields({obj.LIST: {"l": [[8, 2, 2, 8], [[[2, 10, 0, 8, 2, ["new"]]], [], [], [], []]]}})
    loose = _list([[2, 7, [9, 9, 1], 6, 2, ["loose"]],
                   [3, 7, [3, 8, 1], 6, 3, ["round", "and round"]]])  # fmt: skip
    lesser = _list([[2, 1, 0, 4, 2, 1]])
    return [
        _merge("concurrent runs", ["MERGE-ORDER-1", "STATE-24", "STATE-25"], CREATED, abc, front,
               also),
        _merge("siblings stand by stamp", ["MERGE-ORDER-1"], CREATED, abc,
               _list([[3, 1, [2, 3, 1], 7, 3, ["third"]]]),
               _list([[4, 1, [2, 3, 1], 7, 2, ["second"]]]),
               _list([[5, 1, [2, 3, 1], 6, 5, ["first"]]])),
        _merge("an insertion between", ["MERGE-ORDER-4", "MERGE-ORDER-1"], CREATED, abc,
               _list([[3, 1, [2, 3, 0], 6, 3, ["between"]]])),
        _merge("loose ends", ["MERGE-ORDER-2"], CREATED, loose, abc),
        _merge("two sets", ["MERGE-LIST-2", "MERGE-ORDER-3"], CREATED, abc, set_b, set_again),
        _merge("two moves", ["MERGE-LIST-2", "MERGE-ORDER-3"], CREATED, abc, move, move_again),
        _merge("several elements at one place", ["MERGE-ORDER-3"], CREATED, abc,
               _list(moves=[[2, 1, 6, 3, 2, 3]]), _list(moves=[[2, 2, 6, 3, 2, 3]])),
        _merge("a set and a move", ["MERGE-LIST-2"], CREATED, abc, move,
               _list(sets=[[2, 1, 7, 4, "A"]])),
        _merge("erased and set", ["MERGE-LIST-3", "STATE-29"], CREATED, abc, erase, set_b),
        _merge("two records of one place", ["MERGE-LIST-1", "STATE-28"], CREATED, abc, lesser),
        _merge("a value before its place", ["MERGE-LIST-4"], CREATED, set_b),
        _merge("elements that are objects", ["MERGE-LIST-5", "MERGE-3"], CREATED, content, inside),
        _merge("a list cleared", ["MERGE-INC-1"], CREATED, abc, anew, front),
    ]  # fmt: skip


def _minted(kind: int, sequence: int) -> bytes:
    return pack([kind, 2, sequence])


def _held(items: dict[bytes, Any], *groups: Any) -> Any:
    registers = {obj.REGISTER: list(groups)} if groups else {}
    return fields(registers | {obj.CONTAINER: items})


def _keys(time: int, values: dict[str, Any]) -> list[Any]:
    return [[], [[time, 2, values]], {}]


def _texts(time: int, origin: int, sequence: int, *values: Any) -> list[Any]:
    return [[], [[[origin, sequence, 0, time, origin, list(values)]], [], [], [], []]]


def deep(levels: int) -> Any:
    """Lists inside each other in the property a."""
    items: dict[bytes, Any] = {}
    home: list[Any] = [obj.REGISTER, "a"]
    for level in range(1, 2 * levels, 2):
        slot, last = _minted(4, level), level == 2 * levels - 1
        inner: list[Any] = ["bottom"] if last else [Container(4, 2, level + 2)]
        items[slot] = [home, _texts(5, 2, level + 1, *inner)]
        home = [obj.CONTAINER, slot, [2, level + 1]]
    return _held(dict(sorted(items.items())), [5, 2, {"a": Container(4, 2, 1)}])


def _merged_containers() -> list[Vector]:
    top, inner = _minted(3, 1), _minted(4, 2)
    at_a, at_k = [obj.REGISTER, "a"], [obj.CONTAINER, top, "k"]
    tree = _held(
        {
            top: [at_a, _keys(5, {"k": Container(4, 2, 2), "n": 1})],
            inner: [at_k, _texts(5, 2, 3, "x")],
        },
        [5, 2, {"a": Container(3, 2, 1)}],
    )
    appended = _held({inner: [[], [[], [[[3, 1, [2, 3, 1], 6, 3, ["y"]]], [], [], [], []]]]})
    keyed = _held({top: [[], [[], [[7, 4, {"n": 2, "o": 3}]], {}]]})
    other = _held(
        {pack([4, 3, 1]): [at_a, _texts(6, 3, 2, "other")]}, [6, 3, {"a": Container(4, 3, 1)}]
    )
    cleared = _held({top: [[], [[8, 3, 3, 9], [[8, 3, {"m": 0}]], {}]]})
    shared = pack([4, "a", 0, 0])
    mine, yours = (
        _held(
            {shared: [at_a, _texts(time, origin, 1, text)]},
            [0, 0, {"a": Container(4, 0, 0)}, time, origin],
        )
        for time, origin, text in ((5, 2, "mine"), (6, 3, "yours"))
    )
    keys = _held(
        {pack([3, "a", 0, 0]): [at_a, [[], [[4, 4, {"k": 1}]], {}]]},
        [0, 0, {"a": Container(3, 0, 0)}, 4, 4],
    )
    twice = _registers([5, 2, {"b": Container(3, 2, 1)}])
    homes = _held(
        {inner: [[obj.REGISTER, "b"], _texts(5, 2, 3, "x")]}, [4, 2, {"b": Container(4, 2, 2)}]
    )
    cycle = _held(
        {inner: [[obj.CONTAINER, inner, [2, 3]], _texts(5, 2, 3, Container(4, 2, 2))]},
        [5, 2, {"a": Container(4, 2, 2)}],
    )
    objects = _held(
        {
            inner: [
                at_a,
                [[], [[[2, 3, 0, 5, 2, [None]]], [], [], [], [[2, 3, {obj.COUNTER: {"n": 1}}]]]],
            ]
        },
        [5, 2, {"a": Container(4, 2, 2)}],
    )
    in_list = fields(
        {
            obj.DICTIONARY: {"d": [[], [[5, 2, {"k": Container(3, 2, 4)}]], {}]},
            obj.LIST: {"l": [[], [[[2, 1, 0, 5, 2, [Container(4, 2, 2)]]], [], [], [], []]]},
            obj.CONTAINER: {
                _minted(3, 4): [[obj.DICTIONARY, "d", "k"], _keys(5, {"z": 1})],
                inner: [[obj.LIST, "l", [2, 1]], _texts(5, 2, 3, "x")],
            },
        }
    )
    return [
        _merge("edits inside of a container", ["MERGE-CONTAINER-1"], CREATED,
               tree, appended, keyed),
        _merge("a container written over", ["MERGE-CONTAINER-3", "MERGE-CONTAINER-4"], CREATED,
               tree, other, appended),
        _merge("a container cleared", ["MERGE-CONTAINER-1"], CREATED, tree, cleared, keyed),
        _merge("two defaults of one kind", ["MERGE-CONTAINER-5", "MERGE-CONTAINER-1"], CREATED,
               mine, yours),
        _merge("defaults of two kinds", ["MERGE-CONTAINER-5"], CREATED, mine, keys),
        _merge("containers in collections", ["MERGE-CONTAINER-3", "STATE-CONTAINER-2"], CREATED,
               in_list),
        _merge("an edit before its container", ["MERGE-CONTAINER-3"], CREATED, appended,
               _registers([5, 2, {"a": Container(4, 2, 2)}])),
        _merge("one container twice", ["MERGE-CONTAINER-3"], CREATED, tree, twice),
        _merge("two homes", ["MERGE-CONTAINER-2"], CREATED, tree, homes),
        _merge("a container inside of itself", ["MERGE-CONTAINER-3"], CREATED, cycle),
        _merge("objects in a container", ["MERGE-CONTAINER-6"], CREATED, objects),
        _merge("as deep as is shown", ["MERGE-CONTAINER-4"], CREATED, deep(CONTAINER_NESTING_MAX)),
        _merge("deeper", ["MERGE-CONTAINER-4"], CREATED, deep(CONTAINER_NESTING_MAX + 1)),
    ]  # fmt: skip


def nested(depth: int) -> Any:
    """Embedded objects inside each other."""
    held: Any = {}
    for _ in range(depth):
        held = {obj.EMBEDDED: {"e": [1, 1, [], held]}}
    return [1, 1, [], held]


def _malformed() -> list[Vector]:
    run = [2, 5, 0, 9, 2, ["a"]]
    accepted: list[tuple[str, list[str], Any]] = [
        ("nothing", ["STATE-4"], absent()),
        ("the last stamp", ["STATE-1", "STATE-2"], _registers([TIME_MAX, IDENT_MAX, {"a": 1}])),
        ("a file without ident", ["STATE-2"], _registers([1, 0, {"a": 1}])),
        ("the last sequence", ["STATE-3"], _list([[2, SEQUENCE_MAX, 0, 9, 2, ["a"]]])),
        ("the greatest length", ["STATE-5"], [2**40, 0, [], {}]),
        ("a life to come", ["STATE-6"], [2, 3, [], {}]),
        ("an incarnation", ["STATE-8"], [0, 1, [9, 2, 2, 1], {}]),
        ("the longest name", ["STATE-11"], _registers([1, 2, {"n" * 63: 1}])),
        ("the deepest object", ["STATE-12"], nested(NESTING_MAX)),
        ("a value based on a total", ["STATE-17"], _registers([1, 2, {"a": Based(1, 2)}])),
        ("a container of a default", ["STATE-CONTAINER-1", "STATE-CONTAINER-2"], _held({
            pack([3, "a", 5, 2]): [[], [[], [], {}]],
            pack([4, "a", 0, 0]): [[obj.REGISTER, "a"], [[], _NOTHING]]})),
        ("links of each kind", ["STATE-26", "STATE-27"], _list([
            [2, 1, 0, 9, 2, 1], [2, 3, 2, 9, 2, 1], [2, 5, -4, 9, 2, 1],
            [2, 7, [3, 9, 0], 9, 2, 1]])),
        ("as many bare ids as may be", ["STATE-31"], _list(erased=[[2, 1, LIST_BARE_IDS_MAX]])),
    ]  # fmt: skip
    refused: list[tuple[str, list[str], Any]] = [
        ("time zero", ["STATE-1"], _registers([0, 2, {"a": 1}])),
        ("an ident too great", ["STATE-2"], _registers([1, IDENT_MAX + 1, {"a": 1}])),
        ("sequence zero", ["STATE-3"], _list([[2, 0, 0, 9, 2, ["a"]]])),
        ("a negative length", ["STATE-5"], [-1, 1, [], {}]),
        ("a length too great", ["STATE-5"], [2**40 + 1, 0, [], {}]),
        ("an even life", ["STATE-6"], [0, 2, [], {}]),
        ("a life passed", ["STATE-6"], [3, 1, [], {}]),
        ("fields of no life", ["STATE-7"], [0, 0, [], {obj.COUNTER: {"n": 1}}]),
        ("an incarnation cut short", ["STATE-8"], [0, 1, [9, 2], {}]),
        ("a kind not in use", ["STATE-9"], fields({8: {"t": 1}})),
        ("an empty kind", ["STATE-10"], fields({obj.COUNTER: {}})),
        ("an empty name", ["STATE-11"], fields({obj.COUNTER: {"": 1}})),
        ("a name too long", ["STATE-11"], fields({obj.COUNTER: {"n" * 64: 1}})),
        ("an object too deep", ["STATE-12"], nested(NESTING_MAX + 1)),
        ("groups that descend", ["STATE-13"], _registers([6, 2, {"a": 1}], [5, 2, {"b": 1}])),
        ("an empty group", ["STATE-14"], _registers([6, 2, {}])),
        ("a name in two groups", ["STATE-15"], _registers([5, 2, {"a": 1}], [6, 2, {"a": 1}])),
        ("a default that saw itself", ["STATE-16"], _registers([5, 2, {"a": 1}, 5, 2])),
        ("an erased property", ["STATE-17"], _registers([5, 2, {"a": ERASED}])),
        ("a total of zero", ["STATE-18"], fields({obj.COUNTER: {"n": 0}})),
        ("a default member", ["STATE-19"],
         fields({obj.SET: {"s": [[], [[0, 0, {b"\x01": True}, 5, 2]]]}})),
        ("a member that is no value", ["STATE-20"],
         fields({obj.SET: {"s": [[], [[5, 2, {b"\x90": True}]]]}})),
        ("a member neither there nor not", ["STATE-21"],
         fields({obj.SET: {"s": [[], [[5, 2, {b"\x01": 1}]]]}})),
        ("a key too long", ["STATE-22"],
         fields({obj.DICTIONARY: {"d": [[], [[5, 2, {"k" * 1025: 1}]], {}]}})),
        ("a based item", ["STATE-23"],
         fields({obj.DICTIONARY: {"d": [[], [[5, 2, {"k": Based(1, 2)}]], {}]}})),
        ("runs that descend", ["STATE-24"], _list([[2, 7, 0, 9, 2, ["b"]], run])),
        ("runs that should be one", ["STATE-25"], _list([run, [2, 6, 1, 9, 2, ["b"]]])),
        ("runs that overlap", ["STATE-25"],
         _list([[2, 5, 0, 9, 2, ["a", "b"]], [2, 6, 0, 9, 2, ["b"]]])),
        ("ranges that should be one", ["STATE-25"], _list(erased=[[2, 1, 1], [2, 2, 1]])),
        ("a link too long", ["STATE-26"], _list([[2, 5, [2, 4, 1], 9, 2, ["a"]]])),
        ("a link left of the root", ["STATE-26"], _list([[2, 5, [0, 0, 0], 9, 2, ["a"]]])),
        ("a link to sequence zero", ["STATE-27"], _list([[2, 5, 5, 9, 2, ["a"]]])),
        ("a value beside its run", ["STATE-28"], _list([[2, 5, 0, 9, 2, 1]], [[2, 5, 9, 2, "a"]])),
        ("an erased element with a value", ["STATE-29"], _list([run], erased=[[2, 5, 1]])),
        ("an erased value in a run", ["STATE-30"], _list([[2, 5, 0, 9, 2, [ERASED]]])),
        *(("an id of a container: " + name, ["STATE-CONTAINER-1"], _held({slot: [[], content]}))
          for name, slot, content in (
              ("no array", pack(4), [[], _NOTHING]), ("of a set", pack([2, 2, 1]), [[], []]),
              ("sequence zero", pack([4, 2, 0]), [[], _NOTHING]),
              ("of no property", pack([4, "", 0, 0]), [[], _NOTHING]),
              ("that saw time zero", pack([4, "a", 0, 2]), [[], _NOTHING]))),
        *(("a home of a container: " + name, ["STATE-CONTAINER-2"],
           _held({_minted(4, 9): [home, [[], _NOTHING]]}))
          for name, home in (
              ("a name alone", ["a"]), ("a set", [2, "a", "k"]),
              ("a property's key", [0, "a", "k"]),
              ("a dictionary's element", [3, "a", [2, 1]]), ("a list's key", [4, "a", "k"]),
              ("a key of a list", [7, _minted(4, 1), "k"]),
              ("an element of a dictionary", [7, _minted(3, 1), [2, 1]]),
              ("no id", [7, b"", "k"]))),
        ("another home of a default", ["STATE-CONTAINER-2"],
         _held({pack([4, "a", 0, 0]): [[0, "b"], [[], _NOTHING]]})),
        ("too many bare ids", ["STATE-31"], _list(erased=[[2, 1, LIST_BARE_IDS_MAX + 1]])),
    ]  # fmt: skip
    heads: list[tuple[str, list[str], Any, bool]] = [
        ("a list spread over parts", ["STATE-32"], [[0, 0, 0]], False),
        ("a directory that starts late", ["STATE-34"], [[2, 1, 0]], True),
        ("a directory that descends", ["STATE-34"], [[0, 0, 0], [2, 9, 1], [2, 3, 2]], True),
        ("a part used twice", ["STATE-35"], [[0, 0, 1], [2, 3, 1]], True),
        ("a part not counted", ["STATE-35"], [[0, 0, 5]], True),
    ]
    return [
        *({"name": f"accepted/{name}", "covers": covers, "hex": pack(state).hex()}
          for name, covers, state in accepted),
        *({"name": f"refused/{name}", "covers": covers, "head": True, "hex": pack(state).hex()}
          for name, covers, state in refused),
        *({"name": f"refused/{name}", "covers": covers, "head": head, "hex": pack(
            fields({obj.LIST: {"l": [[], directory, 3]}})).hex()}
          for name, covers, directory, head in heads),
    ]  # fmt: skip


def _spread() -> Vector:
    parts, state = Parts(), absent()
    for delta in (
        CREATED,
        _list([[2, 1, 0, 5, 2, list(range(LIST_PART_ELEMENTS_MAX))]]),
        _list([[2, LIST_PART_ELEMENTS_MAX + 1, 1, 6, 2, ["one more"]]]),
    ):
        state = merge(state, delta, parts)
    chunks = {name.hex(): parts.read(name) or b"" for name in parts.names()}
    return {
        "name": "spread/one element more than a part holds",
        "covers": ["STATE-33", "STATE-36", "STATE-WHOLE"],
        "head": pack(state).hex(),
        "parts": {name: data.hex() for name, data in chunks.items()},
        "whole": pack(joined(state, parts)).hex(),
    }


# -- changesets ------------------------------------------------------------------------------
def changesets() -> list[Vector]:
    """Changesets, digests, clocks, edits, renamings."""
    return [
        *_changesets(), *_no_changesets(), _digests(), *_clocks(), *_edits(), *_renamings()
    ]  # fmt: skip


BOOK = ObjectDelta("Book", 1, [1, 1, [], {obj.REGISTER: [[5, 2, {"title": "Emma"}]]}])


def _changesets() -> list[Vector]:
    keys: list[Any] = [200, 1, -1, "b", "a", ObjectId(bytes(12)), uuid.UUID(int=0)]
    many = [ObjectDelta(name, key, [2, 0, [], {}]) for name in ("B", "A") for key in keys]
    made = {
        "nothing but a schema": Changeset(5, 0, [], 0, {"Book": {"key": "int"}}),
        "one object": Changeset(5, 3, [BOOK]),
        "atomic": Changeset(TIME_MAX, TIME_MAX, [BOOK], ATOMIC),
        "a blind create": Changeset(5, 0, [BOOK._replace(blind=True)]),
        "a blind edit": Changeset(5, 0, [ObjectDelta("Book", 1, [0, 1, [], {}], blind=True)]),
        "a blind deletion": Changeset(5, 0, [ObjectDelta("Book", 1, [2, 0, [], {}], blind=True)]),
        "objects in order": Changeset(5, 0, many),
        "re-based": Changeset(5, 3, [BOOK], horizon=7),
        "the longest names": Changeset(5, 0, [BOOK._replace(class_name="c" * 57, key="k" * 1024)]),
    }
    covers = {
        "nothing but a schema": ["CHG-6"],
        "one object": ["CHG-1", "CHG-10"],
        "atomic": ["CHG-4", "CHG-5"],
        "a blind create": ["CHG-11"],
        "a blind edit": ["CHG-11"],
        "a blind deletion": ["CHG-11"],
        "objects in order": ["CHG-1", "CHG-7", "CHG-9"],
        "re-based": ["CHG-13"],
        "the longest names": ["CHG-8", "CHG-9"],
    }
    return [
        {
            "name": f"changeset/{name}",
            "covers": covers[name],
            "time": changeset.time,
            "cursor": changeset.cursor,
            "flags": changeset.flags,
            "schema": changeset.schema,
            "horizon": changeset.horizon,
            "objects": [
                {
                    "class": item.class_name,
                    "key": to_json(item.key),
                    "delta": pack(item.delta).hex(),
                    "mark": BLIND if item.blind else 0,
                }
                for item in changeset.objects
            ],
            "hex": encode(changeset).hex(),
        }
        for name, changeset in made.items()
    ]


def _no_changesets() -> list[Vector]:
    delta = BOOK.delta
    item = ["Book", 1, delta]
    erased = _list(erased=[[2, 1, LIST_BARE_IDS_MAX]])
    refused: list[tuple[str, list[str], Any]] = [
        ("four items", ["CHG-2"], [5, 0, 0, {}]),
        ("time zero", ["CHG-4"], [0, 0, 0, {}, [item]]),
        ("a negative cursor", ["CHG-4"], [5, -1, 0, {}, [item]]),
        ("flags not in use", ["CHG-5"], [5, 0, 2, {}, [item]]),
        ("flags of true", ["CHG-5"], [5, 0, True, {}, [item]]),
        ("a schema that is no map", ["CHG-6"], [5, 0, 0, [], [item]]),
        ("keys that descend", ["CHG-7"], [5, 0, 0, {}, [["Book", 2, delta], item]]),
        ("an object twice", ["CHG-7"], [5, 0, 0, {}, [item, item]]),
        ("a class without a name", ["CHG-8"], [5, 0, 0, {}, [["", 1, delta]]]),
        ("a class name too long", ["CHG-8"], [5, 0, 0, {}, [["c" * 58, 1, delta]]]),
        ("a key of null", ["CHG-9"], [5, 0, 0, {}, [["Book", None, delta]]]),
        ("a key too long", ["CHG-9"], [5, 0, 0, {}, [["Book", "k" * 1025, delta]]]),
        ("a malformed delta", ["CHG-10"], [5, 0, 0, {}, [["Book", 1, [0, 2, [], {}]]]]),
        ("a blind mark of true", ["CHG-11"], [5, 0, 0, {}, [[*item, True]]]),
        ("a mark of two", ["CHG-11"], [5, 0, 0, {}, [[*item, 2]]]),
        ("a horizon at the cursor", ["CHG-13"], [5, 3, 0, {}, [item], 3]),
        ("a horizon of true", ["CHG-13"], [5, 0, 0, {}, [item], True]),
        ("two horizons", ["CHG-2"], [5, 0, 0, {}, [item], 3, 4]),
        ("too many bare ids together", ["STATE-31"],
         [5, 0, 0, {}, [["Book", 1, erased], ["Book", 2, _list([[2, 1, 0, 5, 2, 1]])]]]),
    ]  # fmt: skip
    limited = {"a key too long", "too many bare ids together"}
    return [
        {
            "name": f"refused/{name}",
            "covers": covers,
            "hex": pack(items).hex(),
            "error": "limit_exceeded" if name in limited else "bad_syntax",
        }
        for name, covers, items in refused
    ]


def _digests() -> Vector:
    made = [encode(Changeset(time, 0, [BOOK])) for time in (5, 6, 7)]
    digests, digest = [], DIGEST_START
    for data in made:
        digest = next_digest(digest, data)
        digests.append(digest.hex())
    return {
        "name": "digests/three changesets",
        "covers": ["CHG-3"],
        "changesets": [data.hex() for data in made],
        "digests": digests,
    }


def _clocks() -> list[Vector]:
    day = 86_400_000
    return [
        {
            "name": "clock/ticks",
            "covers": ["CLOCK-1", "CLOCK-2"],
            "last": 0,
            "events": [
                {"tick": -day, "time": 1},
                {"tick": 0, "time": 2},
                {"tick": 1, "time": 65_536},
                {"tick": 1, "time": 65_537},
                {"tick": 0, "time": 65_538},
                {"tick": day, "time": day * 65_536},
            ],
        },
        {
            "name": "clock/the counter carries",
            "covers": ["CLOCK-1"],
            "last": 65_536 + 65_535,
            "events": [{"tick": 1, "time": 2 * 65_536}],
        },
        {
            "name": "clock/receives",
            "covers": ["CLOCK-3", "CLOCK-2"],
            "last": 10,
            "events": [
                {"receive": 5_000_000},
                {"tick": 1, "time": 5_000_001},
                {"receive": 20},
                {"tick": 1, "time": 5_000_002},
            ],
        },
        *(
            {
                "name": f"skew/{name}",
                "covers": ["CLOCK-4"],
                "wall_ms": day,
                "time": (day + ahead) * 65_536 + counter,
                "refused": refused,
            }
            for name, ahead, counter, refused in (
                ("behind", -day, 0, False),
                ("at the limit", 60_000, 65_535, False),
                ("past the limit", 60_001, 0, True),
            )
        ),
    ]


def _edit(name: str, covers: list[str], start: Any, *operations: list[Any]) -> Vector:
    made: Vector = {
        "name": f"edit/{name}",
        "covers": covers,
        "start": pack(start).hex(),
        "stamp": [9, 2],
        "sequence": 10,
        "operations": [list(operation) for operation in operations],
    }
    delta, state = perform(made)
    return made | {"delta": pack(delta).hex(), "shows": shown(state)}


def _edits() -> list[Vector]:
    count = merge(merge(absent(), CREATED), fields({obj.COUNTER: {"n": 3}}))
    texts = merge(merge(absent(), CREATED), _list([[2, 1, 0, 5, 2, ["a", "b", "c"]]]))
    seen = merge(merge(absent(), CREATED), _registers([5, 2, {"a": 1}]))
    living = merge(merge(absent(), CREATED), fields({obj.EMBEDDED: {"e": [1, 1, [], {}]}}))
    tree = merge(
        merge(absent(), CREATED),
        _held(
            {_minted(3, 1): [[obj.REGISTER, "a"], _keys(5, {"j": 1})]},
            [5, 2, {"a": Container(3, 2, 1)}],
        ),
    )
    again = merge(merge(absent(), seen), _registers([5, 2, {"a": 2}, 7, 3]))
    return [
        _edit("several fields", ["EDIT-1", "EDIT-2"], CREATED, ["set", "a", 1], ["set", "b", 2],
              ["set", "a", 3]),
        _edit("a default over a write", ["EDIT-1", "MERGE-REG-2"], seen, ["set_default", "a", 5]),
        _edit("a default over a default", ["MERGE-REG-2"], again, ["set_default", "a", 5]),
        _edit("a default over a write of its own", ["EDIT-2"], CREATED, ["set", "a", 1],
              ["set_default", "a", 2]),
        _edit("a counter set", ["MERGE-COUNTER-2"], count, ["add", "n", 2], ["set", "n", 100],
              ["add", "n", 1]),
        _edit("a set", ["EDIT-2"], CREATED, ["insert", "s", 1], ["insert", "s", 2],
              ["remove", "s", 1]),
        _edit("a set cleared", ["EDIT-1"], CREATED, ["insert", "s", 1], ["clear_set", "s"],
              ["insert", "s", 2]),
        _edit("a dictionary", ["EDIT-2"], CREATED, ["put", "d", "k", 1], ["put", "d", "j", 2],
              ["erase_key", "d", "k"]),
        _edit("embedded created", ["EDIT-3"], CREATED, ["create", "e"], ["set_in", "e", "a", 1]),
        _edit("embedded created twice", ["EDIT-2"], CREATED, ["create", "e"],
              ["set_in", "e", "a", 1], ["create", "e"], ["set_in", "e", "b", 2]),
        _edit("embedded replaced", ["EDIT-3"], living, ["create", "e"], ["set_in", "e", "a", 1]),
        _edit("embedded created, nulled, created", ["EDIT-3"], CREATED, ["create", "e"],
              ["null", "e"], ["create", "e"]),
        _edit("embedded nulled, created", ["EDIT-3"], living, ["null", "e"], ["create", "e"]),
        _edit("null over null", ["EDIT-3"], CREATED, ["null", "e"]),
        _edit("a run inserted", ["EDIT-4", "MERGE-ORDER-4"], texts,
              ["list_insert", "l", 1, ["x", "y"]]),
        _edit("a run appended", ["EDIT-4", "MERGE-ORDER-4"], texts,
              ["list_insert", "l", 3, ["x", "y"]]),
        _edit("backwards", ["MERGE-ORDER-4"], texts, ["list_insert", "l", 0, ["x"]],
              ["list_insert", "l", 0, ["y"]]),
        _edit("an element set, moved, erased", ["EDIT-2", "EDIT-4"], texts,
              ["list_set", "l", 0, "A"], ["list_move", "l", 0, 2], ["list_erase", "l", 0]),
        _edit("inserted and erased", ["EDIT-2"], texts, ["list_insert", "l", 1, ["x", "y"]],
              ["list_erase", "l", 1]),
        _edit("values that nest", ["EDIT-1", "MERGE-CONTAINER-5"], CREATED,
              ["nest", "a", {"$dict": {"k": {"$list": [1, {"$dict": {}}]}}}]),
        _edit("a container written over", ["EDIT-2"], CREATED,
              ["nest", "a", {"$list": [{"$list": [1]}]}], ["nest", "a", {"$dict": {}}]),
        _edit("a default that nests", ["MERGE-CONTAINER-5"], seen,
              ["nest_default", "a", {"$list": [1]}]),
        _edit("a key of a container", ["EDIT-1"], tree, ["nest_put", "a", "k", {"$list": ["x"]}]),
        _edit("a list cleared", ["EDIT-1"], texts, ["clear_list", "l"],
              ["list_insert", "l", 0, ["new"]]),
    ]  # fmt: skip


def _renamings() -> list[Vector]:
    state = [1, 1, [], {
        obj.REGISTER: [[4, 3, {"b": 1}, 5, 0], [5, 0, {"a": Container(4, 0, 1)}]],
        obj.SET: {"s": [[5, 0, 0, 2], []]},
        obj.LIST: {"l": [[], contract(expand([
            [[0, 4, [2, 9, 1], 5, 0, ["x", "y"]], [2, 9, 0, 4, 2, ["z"]]], [[2, 9, 5, 0, "Z"]],
            [[0, 5, 5, 0, 0, 4]], [[0, 6, 2]], [[0, 5, {}]]]))]},
        obj.EMBEDDED: {"e": [0, 1, [5, 0, 0, 3], {obj.REGISTER: [[5, 0, {"c": Based(1, 2)}]]}]},
        obj.CONTAINER: {
            pack([4, 0, 1]): [[obj.CONTAINER, pack([4, 0, 8]), [0, 9]], [[], _NOTHING]],
            pack([3, "b", 5, 0]): [[obj.REGISTER, "b"], [[], [[6, 0, {"k": 1}]], {}]],
        },
    }]  # fmt: skip
    adopt = Substitution(
        lambda time, origin: (time, origin or 7), lambda ident, sequence: (ident or 7, sequence)
    )
    later = {(5, 0): (8, 0)}
    back = Substitution(
        lambda *stamp: later.get(stamp, stamp), lambda ident, sequence: (ident, sequence)
    )
    return [
        {
            "name": "rename/a file gets its ident",
            "covers": ["SUBST-1", "SUBST-4"],
            "state": pack(state).hex(),
            "idents": [[0, 7]],
            "stamps": [],
            "renamed": pack(adopt.object(state)).hex(),
        },
        {
            "name": "rename/stamps move",
            "covers": ["SUBST-2", "SUBST-5"],
            "state": pack(state).hex(),
            "idents": [],
            "stamps": [[[5, 0], [8, 0]]],
            "renamed": pack(back.object(state)).hex(),
        },
    ]


FILES = {
    "encoding": encoding,
    "states": states,
    "merge": concurrent,
    "changesets": changesets,
    "forgetting": forgetting,
    "text": texts,
    "subscriptions": subscriptions,
    "partitions": partitions,
    "bootstrap": bootstraps,
}


def written(vectors: list[Vector]) -> str:
    """The text of a file: one vector a line, so that a change is one line too."""
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors)
    return f'{{"vectors": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    for page, make in FILES.items():
        (VECTORS / f"{page}.json").write_text(written(make()), encoding="utf-8")
