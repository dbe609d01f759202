"""The gate before merge: what is refused one by one, and that nothing else is. [STATE]"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_strategies import KEYS, STORED
from replicas import all_deltas, folded, world
from state_strategies import object_state

from replication.crdt import check
from replication.crdt import object as obj
from replication.crdt.check import (
    LENGTH_MAX,
    Bounds,
    check_object,
    unpack_object,
    unpack_objects,
)
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, merge
from replication.crdt.view import object_view
from replication.errors import DecodeError, LimitExceededError, WrongTypeError
from replication.limits import (
    DICTIONARY_KEY_BYTES_MAX,
    IDENT_MAX,
    LIST_BARE_IDS_MAX,
    LIST_PART_ELEMENTS_MAX,
    NESTING_MAX,
    PROPERTY_NAME_BYTES_MAX,
    SEQUENCE_MAX,
    TIME_MAX,
)
from replication.model.encoding import pack, unpack
from replication.model.values import ERASED, Based, Container

#: Shorthands for states with one thing in them.
CHUNK: Any = [[], [], [], [], []]


def fields(held: Any) -> Any:
    return [1, 1, [], held]


def registers(*groups: Any) -> Any:
    return fields({obj.REGISTER: list(groups)})


def members(*groups: Any, incarnation: Any = ()) -> Any:
    return fields({obj.SET: {"s": [list(incarnation), list(groups)]}})


def items(*groups: Any, embedded: Any = None) -> Any:
    return fields({obj.DICTIONARY: {"d": [[], list(groups), {} if embedded is None else embedded]}})


def chunk(
    runs: Any = (), sets: Any = (), moves: Any = (), erased: Any = (), contents: Any = ()
) -> Any:
    held = [list(part) for part in (runs, sets, moves, erased, contents)]
    return fields({obj.LIST: {"l": [[], held]}})


def run(
    ident: Any = 2, sequence: Any = 5, link: Any = 0, time: Any = 9, origin: Any = 2,
    content: Any = ("a",),
) -> Any:  # fmt: skip
    return chunk([[ident, sequence, link, time, origin,
                   list(content) if type(content) is tuple else content]])  # fmt: skip


def containers(*sequences: int) -> Any:
    held = {pack([obj.LIST, 2, sequence]): [[], [[], CHUNK]] for sequence in sequences}
    return fields({obj.CONTAINER: held})


def nested(kind: int, depth: int) -> Any:
    """Objects inside each other, ``depth`` of them, in fields, dictionaries or lists."""
    held: Any = {}
    for _ in range(depth):
        if kind == obj.EMBEDDED:
            held = {obj.EMBEDDED: {"x": [1, 1, [], held]}}
        elif kind == obj.DICTIONARY:
            held = {obj.DICTIONARY: {"x": [[], [], {"k": [1, 1, [], held]}]}}
        elif kind == obj.CONTAINER:
            chunk = [[], [], [], [], [[2, 1, held]]]
            held = {obj.CONTAINER: {pack([obj.LIST, 2, 9]): [[], [[], chunk]]}}
        else:
            held = {obj.LIST: {"x": [[], [[], [], [], [], [[2, 1, held]]]]}}
    return fields(held)


MEMBER = pack(1)
ACCEPTED: dict[str, Any] = {
    "nothing": absent(),
    "deleted": [2, 0, [], {}],
    "content of a length not reached": [2, 3, [], {}],
    "an edit alone": [0, 1, [], {}],
    "a replaced embedded object": [0, 1, [5, 2, 2, 1], {}],
    "the greatest length": [LENGTH_MAX, 0, [], {}],
    "an explicit write": registers([5, 2, {"a": 1}]),
    "a default over nothing": registers([0, 0, {"a": 1}, 5, 2]),
    "a default over a write": registers([4, 3, {"a": 1}, 5, 2]),
    "the greatest stamp": registers([TIME_MAX, IDENT_MAX, {"a": 1}]),
    "a file without ident": registers([5, 0, {"a": 1}]),
    "a value based on a total": registers([5, 2, {"a": Based(1, 2)}]),
    "the longest name": registers([5, 2, {"é" * 31 + "a": 1}]),
    "many names": registers([5, 2, {f"{number:04}": 1 for number in range(1000)}]),
    "a total": fields({obj.COUNTER: {"a": -(2**63)}}),
    "an empty set": members(),
    "a set": members([5, 2, {MEMBER: True}], incarnation=[4, 2, 2, 1]),
    "a dictionary": items([5, 2, {"": ERASED, "a": None}]),
    "the longest key": items([5, 2, {"é" * (DICTIONARY_KEY_BYTES_MAX // 2): 1}]),
    "embedded at a key": items(embedded={"k": [1, 1, [], {}]}),
    "an empty list": chunk(),
    "a run": run(),
    "bare places": run(content=3),
    "the last sequence": run(sequence=SEQUENCE_MAX, content=1),
    "a right child": run(link=4),
    "a left child": run(link=-4),
    "a child of another file's": run(link=[9, 9, 0]),
    "a value without a place": chunk(sets=[[2, 1, 5, 2, "a"]]),
    "a move": chunk(moves=[[2, 1, 5, 2, 2, 9]]),
    "erased": chunk(erased=[[2, 1, 5], [2, 9, 1]]),
    "content": chunk(contents=[[2, 1, {}]]),
    "containers": containers(8, 9),
    "the deepest embedded": nested(obj.EMBEDDED, NESTING_MAX),
    "the deepest in dictionaries": nested(obj.DICTIONARY, NESTING_MAX),
    "the deepest in lists": nested(obj.LIST, NESTING_MAX),
    "the deepest in containers": nested(obj.CONTAINER, NESTING_MAX),
}

REFUSED: dict[str, Any] = {
    # -- objects
    "not a list": {},
    "too short": [1, 1, []],
    "too long": [1, 1, [], {}, 0],
    "a length that is no integer": [1.0, 1, [], {}],
    "a length that is a bool": [True, 1, [], {}],
    "a negative length": [-1, 1, [], {}],
    "a length out of reach": [LENGTH_MAX + 1, 0, [], {}],
    "content of no integer": [0, "1", [], {}],
    "content of a bool": [0, True, [], {}],
    "content of a negative length": [0, -1, [], {}],
    "content of an even length": [0, 2, [], {}],
    "content of a length out of reach": [0, LENGTH_MAX + 1, [], {}],
    "content of a length passed": [3, 1, [], {}],
    "content of no length": [0, 0, [], {1: {"n": 1}}],
    "an incarnation of no length": [0, 0, [5, 2, 2, 1], {}],
    "an incarnation that is no list": [0, 1, {}, {}],
    "an incarnation that is null": [0, 1, None, {}],
    "a short incarnation": [0, 1, [5, 2, 2], {}],
    "an incarnation of time zero": [0, 1, [0, 2, 2, 1], {}],
    "an incarnation by no file": [0, 1, [5, -1, 2, 1], {}],
    "an incarnation of no file": [0, 1, [5, 2, -1, 1], {}],
    "an incarnation of sequence zero": [0, 1, [5, 2, 2, 0], {}],
    "fields that are no map": [1, 1, [], []],
    # -- kinds
    "a kind not in use": fields({6: {"a": 1}}),
    "a kind that is a string": fields({"0": []}),
    "a kind that is bytes": fields({b"\0": []}),
    "a negative kind": fields({-1: {"a": 1}}),
    "kinds that do not ascend": fields({1: {"n": 1}, 0: [[5, 2, {"a": 1}]]}),
    "a kind that holds no map": fields({1: []}),
    "a kind that holds nothing": fields({1: {}}),
    "an empty name": fields({1: {"": 1}}),
    "a name of bytes": fields({1: {b"a": 1}}),
    "a name too long": fields({1: {"n" * (PROPERTY_NAME_BYTES_MAX + 1): 1}}),
    "a name of too many bytes": fields({1: {"é" * 32: 1}}),
    "names that do not ascend": fields({1: {"b": 1, "a": 1}}),
    # -- groups
    "groups that are no list": fields({0: {}}),
    "groups that are a number": fields({0: 5}),
    "no group": registers(),
    "a group that is no list": registers({}),
    "a group of four": registers([5, 2, {"a": 1}, 5]),
    "a group without a map": registers([5, 2, [1]]),
    "a group without a write": registers([5, 2, {}]),
    "a write at time zero": registers([0, 0, {"a": 1}]),
    "a write at no time": registers([5.0, 2, {"a": 1}]),
    "a write past the end of time": registers([TIME_MAX + 1, 2, {"a": 1}]),
    "a write at a bool": registers([True, 2, {"a": 1}]),
    "an origin past all idents": registers([5, IDENT_MAX + 1, {"a": 1}]),
    "a negative origin": registers([5, -1, {"a": 1}]),
    "an origin that is null": registers([5, None, {"a": 1}]),
    "a default that saw itself": registers([5, 2, {"a": 1}, 5, 2]),
    "a default that saw what is later": registers([6, 2, {"a": 1}, 5, 2]),
    "a default that saw time zero of a file": registers([0, 2, {"a": 1}, 5, 2]),
    "a default that saw a bool": registers([False, 0, {"a": 1}, 5, 2]),
    "a default that saw a file that is a bool": registers([0, False, {"a": 1}, 5, 2]),
    "a default that saw null": registers([None, None, {"a": 1}, 5, 2]),
    "a default at time zero": registers([0, 0, {"a": 1}, 0, 2]),
    "groups that do not ascend": registers([6, 2, {"a": 1}], [5, 2, {"b": 1}]),
    "two groups of one order": registers([5, 2, {"a": 1}], [5, 2, {"b": 1}]),
    "a default before what it saw": registers([5, 2, {"a": 1}, 6, 2], [5, 2, {"b": 1}]),
    "a name in two groups": registers([5, 2, {"a": 1}], [6, 2, {"a": 1}]),
    "a name in no order": registers([5, 2, {"b": 1, "a": 1}]),
    "many names in no order": registers([5, 2, {f"{9999 - n:04}": 1 for n in range(100)}]),
    "one long name among many": registers(
        [5, 2, dict.fromkeys([*(f"{n:04}" for n in range(100)), "n" * 64], 1)]
    ),
    "an empty name with a value": registers([5, 2, {"": 1}]),
    "a name that is an integer": registers([5, 2, {1: 1}]),
    "an erased property": registers([5, 2, {"a": ERASED}]),
    "a property that is a list": registers([5, 2, {"a": [1]}]),
    "a property that is a map": registers([5, 2, {"a": {}}]),
    # -- counters
    "a total of zero": fields({1: {"n": 0}}),
    "a total that is a bool": fields({1: {"n": True}}),
    "a total that is no integer": fields({1: {"n": 1.0}}),
    "a total past 64 bits": fields({1: {"n": 2**63}}),
    # -- sets
    "a set that is no list": fields({obj.SET: {"s": {}}}),
    "a set of three": fields({obj.SET: {"s": [[], [], {}]}}),
    "a set of groups that are a map": fields({obj.SET: {"s": [[], {}]}}),
    "a set of a strange incarnation": members(incarnation=[5, 2]),
    "a member that is no bytes": members([5, 2, {"a": True}]),
    "a member that is an integer": members([5, 2, {5: True}]),
    "a member that is no value": members([5, 2, {b"\x90": True}]),
    "a member not in canonical form": members([5, 2, {b"\xcd\x00\x01": True}]),
    "a member that is erased": members([5, 2, {pack(ERASED): True}]),
    "a member that is based": members([5, 2, {pack(Based(1, 2)): True}]),
    "a member that is a collection": members([5, 2, {pack(Container(4, 2, 1)): True}]),
    "members in no order": members([5, 2, {pack(2): True, pack(1): True}]),
    "a member neither there nor not": members([5, 2, {MEMBER: 1}]),
    "a default member": members([0, 0, {MEMBER: True}, 5, 2]),
    "a default member beside another": members(
        [0, 0, {MEMBER: True}, 5, 2], [6, 2, {pack(2): True}]
    ),
    # -- dictionaries
    "a dictionary of two": fields({obj.DICTIONARY: {"d": [[], []]}}),
    "a key that is no string": items([5, 2, {b"a": 1}]),
    "a key too long": items([5, 2, {"k" * (DICTIONARY_KEY_BYTES_MAX + 1): 1}]),
    "keys in no order": items([5, 2, {"b": 1, "a": 1}]),
    "a default item": items([0, 0, {"k": 1}, 5, 2]),
    "an item that is based": items([5, 2, {"k": Based(1, 2)}]),
    "an item that is a list": items([5, 2, {"k": []}]),
    "embedded objects in a list": items(embedded=[]),
    "embedded objects in no order": items(embedded={"b": absent(), "a": absent()}),
    "an embedded object at no string": items(embedded={1: absent()}),
    "an embedded object that is none": items(embedded={"k": 1}),
    # -- lists
    "a list of four": fields({obj.LIST: {"l": [[], CHUNK, 1, 1]}}),
    "a list spread over parts": fields({obj.LIST: {"l": [[], [[0, 0, 0]], 1]}}),
    "a chunk of four": fields({obj.LIST: {"l": [[], CHUNK[:4]]}}),
    "a chunk of maps": fields({obj.LIST: {"l": [[], [[], [], {}, [], []]]}}),
    "a run of five": chunk([[2, 5, 0, 9, 2]]),
    "a run of sequence zero": run(sequence=0),
    "a run past all sequences": run(sequence=SEQUENCE_MAX, content=2),
    "a run past all idents": run(ident=IDENT_MAX + 1),
    "a run at time zero": run(time=0),
    "a run of no content": run(content=()),
    "a run of no places": run(content=0),
    "a run of bool places": run(content=True),
    "a run of erased values": run(content=(ERASED,)),
    "a run of based values": run(content=(Based(1, 2),)),
    "a run of lists": run(content=([],)),
    "a link that is null": run(link=None),
    "a link that is a bool": run(link=True),
    "a link to sequence zero": run(link=5),
    "a left link to sequence zero": run(link=-5),
    "a link with a shorter form": run(link=[2, 3, 1]),
    "a link to the root in long": run(link=[0, 0, 1]),
    "a link left of the root": run(link=[0, 0, 0]),
    "a link to no side": run(link=[9, 9, 2]),
    "a link to a bool side": run(link=[9, 9, True]),
    "a link to a bool id": run(link=[9, True, 1]),
    "a link of two": run(link=[9, 9]),
    "runs that should be one": chunk([[2, 5, 0, 9, 2, ["a"]], [2, 6, 1, 9, 2, ["b"]]]),
    "runs in no order": chunk([[2, 6, 0, 9, 2, ["b"]], [2, 5, 0, 9, 2, ["a"]]]),
    "runs over each other": chunk([[2, 5, 0, 9, 2, ["a", "b"]], [2, 6, 0, 9, 2, ["b"]]]),
    "a set of four": chunk(sets=[[2, 1, 5, 2]]),
    "a set at time zero": chunk(sets=[[2, 1, 0, 2, 1]]),
    "a set to erased": chunk(sets=[[2, 1, 5, 2, ERASED]]),
    "sets in no order": chunk(sets=[[2, 2, 5, 2, 1], [2, 1, 5, 2, 1]]),
    "two sets of one element": chunk(sets=[[2, 1, 5, 2, 1], [2, 1, 6, 2, 1]]),
    "a set that should be in its run": chunk([[2, 5, 0, 9, 2, 1]], sets=[[2, 5, 9, 2, "a"]]),
    "a set beside the value of a run": chunk([[2, 5, 0, 9, 2, ["a"]]], sets=[[2, 5, 10, 2, "b"]]),
    "a set by no file": chunk(sets=[[2, 1, 5, -1, 1]]),
    "a set of sequence zero": chunk(sets=[[2, 0, 5, 2, 1]]),
    "a move at time zero": chunk(moves=[[2, 1, 0, 2, 2, 9]]),
    "a move by no file": chunk(moves=[[2, 1, 5, -1, 2, 9]]),
    "a move of sequence zero": chunk(moves=[[2, 0, 5, 2, 2, 9]]),
    "a move to no file": chunk(moves=[[2, 1, 5, 2, -1, 9]]),
    "an erased range of no file": chunk(erased=[[-1, 1, 1]]),
    "content of sequence zero": chunk(contents=[[2, 0, {}]]),
    "content of no file": chunk(contents=[[-1, 1, {}]]),
    "a run by no file": run(origin=-1),
    "a run of no file": run(ident=-1),
    "a move of five": chunk(moves=[[2, 1, 5, 2, 2]]),
    "a move to the root": chunk(moves=[[2, 1, 5, 2, 0, 0]]),
    "moves in no order": chunk(moves=[[2, 2, 5, 2, 2, 9], [2, 1, 5, 2, 2, 8]]),
    "erased ranges that should be one": chunk(erased=[[2, 1, 1], [2, 2, 1]]),
    "erased ranges over each other": chunk(erased=[[2, 1, 5], [2, 3, 5]]),
    "erased ranges in no order": chunk(erased=[[2, 5, 1], [2, 1, 1]]),
    "an erased range of nothing": chunk(erased=[[2, 1, 0]]),
    "an erased range past all sequences": chunk(erased=[[2, 2, SEQUENCE_MAX]]),
    "an erased element with a value": chunk([[2, 5, 0, 9, 2, ["a"]]], erased=[[2, 5, 1]]),
    "an erased element with a move": chunk(moves=[[2, 1, 5, 2, 2, 9]], erased=[[2, 1, 1]]),
    "an erased element with content": chunk(erased=[[2, 1, 1]], contents=[[2, 1, {}]]),
    "content that is no map": chunk(contents=[[2, 1, []]]),
    "contents in no order": chunk(contents=[[2, 2, {}], [2, 1, {}]]),
    "malformed content": chunk(contents=[[2, 1, {1: {"n": 0}}]]),
    # -- containers
    "containers in no order": containers(9, 8),
    # -- depth
    "too deep, embedded": nested(obj.EMBEDDED, NESTING_MAX + 1),
    "too deep, in dictionaries": nested(obj.DICTIONARY, NESTING_MAX + 1),
    "too deep, in lists": nested(obj.LIST, NESTING_MAX + 1),
    "too deep, in containers": nested(obj.CONTAINER, NESTING_MAX + 1),
}


#: What a delta may not be and a head may.
ACCEPTED_IN_HEADS = {"a list spread over parts"}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_well_formed_passes(name: str) -> None:
    """[STATE] As a structure, as bytes, and as a head."""
    check_object(ACCEPTED[name])
    data = pack(ACCEPTED[name])
    assert pack(unpack_object(data)) == pack(unpack_object(data, spread=True)) == data
    for spread in (False, True):
        states = unpack_objects([data, data], spread=spread)
        assert [pack(state) for state in states] == [data, data]
    object_view(merge(absent(), ACCEPTED[name]))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_malformed_is_refused(name: str) -> None:
    """[STATE] Each for its own reason, by the gate itself and on the way from bytes."""
    with pytest.raises(DecodeError) as caught:
        check_object(REFUSED[name])
    assert len(str(caught.value)) < 300
    try:
        data = pack(REFUSED[name])
    except WrongTypeError:
        return
    with pytest.raises(DecodeError):
        unpack_object(data)
    with pytest.raises(DecodeError):
        check_object(unpack(data))
    with pytest.raises(DecodeError):
        unpack_objects([pack(absent()), data])
    if name not in ACCEPTED_IN_HEADS:
        with pytest.raises(DecodeError):
            unpack_objects([pack(absent()), data], spread=True)


# -- heads and parts -------------------------------------------------------------------------
def head(directory: Any, following: Any) -> Any:
    return fields({obj.LIST: {"l": [[], directory, following]}})


def test_a_head_may_have_lists_spread_over_parts() -> None:
    """[STATE] At any depth, and no delta may."""
    states = [head([[0, 0, 0]], 1), head([[0, 0, 3], [2, 1, 0]], 4)]
    states.append(fields({obj.EMBEDDED: {"e": states[0]}}))
    states.append(items(embedded={"k": states[0]}))
    states.append(chunk(contents=[[2, 1, states[0][3]]]))
    for state in states:
        check_object(state, spread=True)
        with pytest.raises(DecodeError):
            check_object(state)


@pytest.mark.parametrize(
    ("directory", "following"),
    [
        ([], 0),
        ({}, 1),
        (None, 1),
        ([[0, 0]], 1),
        ([[0, 0, 0, 0]], 1),
        ([[0, 0, True]], 2),
        ([[0, 0, 1]], 1),
        ([[0, 0, -1]], 1),
        ([[0, 0, 0]], None),
        ([[0, 0, 0]], True),
        ([[0, 0, 0]], -1),
        ([[0, 0, 0]], 2**60),
        ([[0, 1, 0]], 1),
        ([[2, 1, 0]], 1),
        ([[0, 0, 0], [2, 1, 0]], 2),
        ([[0, 0, 0], [0, 0, 1]], 2),
        ([[0, 0, 0], [2, 2, 1], [2, 1, 2]], 3),
        ([[0, 0, 0], [IDENT_MAX + 1, 1, 1]], 2),
        ([[0, 0, 0], [2, SEQUENCE_MAX + 1, 1]], 2),
    ],
)
def test_a_malformed_directory_is_refused(directory: Any, following: Any) -> None:
    """[STATE]"""
    with pytest.raises(DecodeError):
        check_object(head(directory, following), spread=True)


def test_ids_that_cost_no_bytes_are_counted_before_they_are_made() -> None:
    """[STATE-31] For all deltas of one changeset together; [STATE-37] in a head by the chunk."""
    half = LIST_BARE_IDS_MAX // 2
    bounds = Bounds(spread=False)
    for erased, content in ((half, 1), (half - 1, ["a"])):
        state = chunk([[2, 5, 0, 9, 2, content]], erased=[[3, 1, erased]])
        check.check_within(state, bounds, NESTING_MAX)
    assert bounds.bare_ids == 0
    with pytest.raises(LimitExceededError, match=str(LIST_BARE_IDS_MAX)):
        check.check_within(run(content=1), bounds, NESTING_MAX)
    for count in (10**6, 2**52):
        with pytest.raises(LimitExceededError):
            check_object(run(sequence=1, content=count))
        with pytest.raises(LimitExceededError):
            check_object(chunk(erased=[[2, 1, count]]))
    check_object(run(content=2 * LIST_PART_ELEMENTS_MAX), spread=True)
    with pytest.raises(LimitExceededError):
        check_object(run(content=2 * LIST_PART_ELEMENTS_MAX + 1), spread=True)


def test_names_seen_before_are_still_checked() -> None:
    """What is remembered of names is those that passed."""
    for _ in range(2):
        with pytest.raises(DecodeError):
            check_object(registers([5, 2, {"": 1}]))
        with pytest.raises(DecodeError):
            check_object(registers([5, 2, {1: 1}]))
        check_object(registers([5, 2, {"a": 1}]))


#: Changes to well-formed groups of registers, most of which break them.
BREAKING: list[Any] = [
    *(True, 0, -1, 1.0, "a", TIME_MAX + 1, IDENT_MAX + 1, None, [], {}, {"": 1}, {1: 1}),
    *({"a" * 64: 1}, {"b": 1, "a": 1}, {"a": ERASED}, {"a": []}, {"a": 2**63}, {"c": 1}),
    *({b"c": 1}, [5, 2, {}], [5, 2, {"z": 1}], [0, 0, {"z": 1}, 9, 2], {"a": 1, "c": 1}),
]  # fmt: skip


@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("spread", [False, True])
def test_states_of_the_commonest_shape_are_checked_as_all_others_are(
    length: int, spread: bool
) -> None:
    """[STATE] Groups of registers with one thing in them replaced, in each place."""
    good = [[4, 2, {"a": 1, "b": "x"}], [5, 3, {"c": None}], [9, 2, {"d": 0.5, "e": b""}]]

    def state(groups: Any) -> Any:
        return [length, 1, [], {obj.REGISTER: groups}]

    assert unpack_objects([pack(state(good))], spread=spread) == [state(good)]
    refused = 0
    for group in range(3):
        for item in (0, 1, 2, None):
            for breaking in BREAKING:
                groups = clone(good)
                if item is None:
                    groups[group] = breaking
                else:
                    groups[group][item] = breaking
                data = pack(state(groups))
                try:
                    unpack_object(data, spread=spread)
                except DecodeError:
                    refused += 1
                    with pytest.raises(DecodeError):
                        unpack_objects([data], spread=spread)
                else:
                    assert unpack_objects([data], spread=spread) == [state(groups)]
    assert 150 < refused < 3 * 4 * len(BREAKING)


# -- the gate is total, and sound ------------------------------------------------------------
JUNK: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    2**63 - 1,
    1.5,
    "",
    "a",
    b"",
    [],
    {},
    [[]],
    {"a": 1},
    {0: []},
    ERASED,
]


def mutate(rng: Random, state: Any) -> Any:
    """A copy with one thing replaced, removed, doubled or swapped."""
    root = [clone(state)]
    places: list[tuple[Any, Any]] = []
    rest: list[tuple[Any, Any]] = [(root, 0)]
    while rest:
        holder, key = rest.pop()
        places.append((holder, key))
        held = holder[key]
        keys = range(len(held)) if type(held) is list else held if type(held) is dict else ()
        rest.extend((held, inner) for inner in keys)
    holder, key = rng.choice(places)
    choice = rng.random()
    if choice < 0.6:
        holder[key] = rng.choice(JUNK)
    elif choice < 0.7 and type(holder[key]) is int:
        holder[key] += rng.choice([-1, 1])
    elif choice < 0.85:
        del holder[key]
    elif type(holder) is list:
        holder.append(clone(holder[key]))
    else:
        holder[rng.choice(["a", "z", 0, 9, b"x"])] = holder[key]
    return root[0] if root else None


def hold_the_gate(data: bytes, other: Any) -> bool:
    """Both ways through agree; what passes merges and shows. Returns whether it passed."""

    def passes(way: Callable[[], Any]) -> Any:
        try:
            return way()
        except DecodeError:
            return None

    def slowly() -> Any:
        state = unpack(data)
        check_object(state)
        return state

    state = passes(lambda: unpack_object(data))
    assert repr(state) == repr(passes(slowly))
    head = passes(lambda: unpack_object(data, spread=True))
    beside = pack(registers([5, 2, {"a": 2.0**1023}]))
    deltas = passes(lambda: unpack_objects([beside, data, beside]))
    assert repr(state) == repr(None if deltas is None else deltas[1])
    heads = passes(lambda: unpack_objects([beside, data, beside], spread=True))
    assert repr(head) == repr(None if heads is None else heads[1])
    if state is None:
        return False
    assert pack(state) == data
    both = merge(clone(other), state)
    assert pack(both) == pack(merge(clone(state), other))
    check_object(both)
    object_view(both)
    return True


def test_mutated_states_are_refused_or_merge() -> None:
    """[STATE] Nothing that passes makes a merge raise, and nothing but DecodeError is raised."""
    passed = 0
    for seed in range(3000):
        rng = Random(seed)
        state, other = object_state(rng), object_state(rng)
        try:
            data = pack(mutate(rng, state))
        except WrongTypeError:
            continue
        try:
            passed += hold_the_gate(data, other)
        except Exception as error:
            error.add_note(f"Random({seed})")
            raise
    assert 100 < passed < 2900, "some pass, some don't"


def test_mutated_bytes_are_refused_or_merge() -> None:
    """[STATE] The same, one layer below."""
    for seed in range(1500):
        rng = Random(seed)
        data = bytearray(pack(object_state(rng)))
        for _ in range(rng.randint(1, 2)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            hold_the_gate(bytes(data), absent())
        except Exception as error:
            error.add_note(f"Random({seed})")
            raise


@given(
    st.recursive(
        STORED | st.integers(0, 10) | KEYS,
        lambda inner: (
            st.lists(inner, max_size=6)
            | st.dictionaries(
                st.integers(0, 6) | st.text(max_size=2) | st.binary(max_size=2), inner
            )
        ),
        max_leaves=20,
    )
)
def test_the_gate_is_total(value: Any) -> None:
    """[STATE] Whatever MessagePack can say."""
    try:
        check_object(value)
    except DecodeError:
        return
    object_view(merge(absent(), value))


def test_what_replicas_write_passes() -> None:
    """[STATE] Deltas and states of long lives."""
    for seed in range(60):
        deltas = all_deltas(world(Random(seed), turns=25))
        for delta in deltas:
            assert pack(unpack_object(pack(delta))) == pack(delta)
        unpack_object(pack(folded(deltas)))


@pytest.mark.parametrize(
    ("sizes", "together", "each"),
    [((64,), 1, 1), ((65,), 0, 0), ((32, 32), 1, 2), ((32, 33), 0, 2), ((64, 65), 0, 1)],
)
def test_names_are_remembered_where_they_are_few(
    sizes: tuple[int, ...], together: int, each: int
) -> None:
    """What is remembered is bounded in bytes, whatever a peer sends."""
    first = iter(range(1000))
    groups = [
        [5 + at, 2, {f"{next(first):03}": 1 for _ in range(size)}] for at, size in enumerate(sizes)
    ]
    for cached in (check._are_names, check._check_few_names):
        cached.cache_clear()
    unpack_objects([pack(registers(*groups))])
    found = check._are_names.cache_info().currsize, check._check_few_names.cache_info().currsize
    assert found == (together, each)
