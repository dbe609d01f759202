"""Bounds and corners of the merge that no other table test looked at: mutants survived there."""

from __future__ import annotations

import zlib
from itertools import combinations, product
from typing import Any

import pytest
from replicas import Edit, Replica

from replication.crdt import edit as editing
from replication.crdt import list as lists
from replication.crdt import object as obj
from replication.crdt.check import check_object, check_part, unpack_object, unpack_objects
from replication.crdt.delta import replaced
from replication.crdt.forget import forget_fields
from replication.crdt.incarnation import clone
from replication.crdt.list import Chunk, contract, expand, merge_chunk, merge_elements
from replication.crdt.object import absent, is_deleted
from replication.crdt.parts import Parts, part_name
from replication.crdt.register import merge_groups
from replication.crdt.sequence import children_of
from replication.crdt.stamps import latest_in_chunk, latest_time
from replication.crdt.text import check_text, check_text_parts, merge_text
from replication.crdt.union import union
from replication.crdt.units import Update
from replication.crdt.updates import EMPTY, read_update, write_update
from replication.crdt.view import QueryFields
from replication.errors import DecodeError, LimitExceededError
from replication.limits import (
    CHANGESET_BYTES_MAX,
    IDENT_MAX,
    TEXT_CLIENT_MAX,
    TEXT_PART_BYTES_TARGET,
    TEXT_TAIL_BYTES_MAX,
)
from replication.model.encoding import pack
from replication.model.values import Container

#: The fields of an embedded object.
INNER = {obj.REGISTER: [[5, 3, {"a": 1}]]}
#: Yjs: client 1 inserts "ab" into the root text.
AB = bytes.fromhex("01010100040104") + b"text" + bytes.fromhex("02616200")


# -- registers -------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [1, 8, 9, 40])
def test_an_older_write_of_a_greater_value_loses_in_deltas_of_any_size(count: int) -> None:
    names = [f"f{n:02}" for n in range(count)]
    state = [[9, 2, dict.fromkeys(names, "a")]]
    assert merge_groups(clone(state), [[5, 3, dict.fromkeys(names, "z")]]) == state
    equal = [[9, 2, dict.fromkeys(names, "z")]]
    assert merge_groups(clone(state), clone(equal)) == equal
    assert merge_groups(clone(equal), clone(state)) == equal


# -- runs of lists ---------------------------------------------------------------------------------
def chunk(*runs: tuple[int, int, int]) -> Chunk:
    """Runs of (ident, first sequence, how many)."""
    return [[[i, s, 0, 5, i, [f"{i}.{s + n}" for n in range(count)]] for i, s, count in runs],
            [], [], [], []]  # fmt: skip


@pytest.mark.parametrize(("start", "count", "second"), [*product(range(1, 9), range(1, 8), (2, 3))])
def test_runs_that_lie_in_each_other_merge_as_their_places_do(
    start: int, count: int, second: int
) -> None:
    """What is known of an id already, in a run before, behind or around it."""
    state = chunk((2, 4, 2), (2, 8, 1), (3, 4, 1))
    delta = chunk((second, start, count))
    slowly = contract(merge_elements(expand(clone(state)), expand(clone(delta)), None, ()))
    assert merge_chunk(clone(state), clone(delta)) == slowly
    assert merge_chunk(clone(delta), clone(state)) == slowly
    assert lists.is_canonical(slowly)


#: Three runs of two files, where what one transaction made is one run again once it is all there.
PLACES = [[2, 1, 0, 5, 2, ["a"]], [2, 2, 1, 5, 2, ["b"]], [2, 3, 1, 5, 2, ["c"]],
          [2, 4, 2, 6, 2, ["d"]], [3, 1, [2, 2, 1], 5, 3, ["e"]], [3, 2, 1, 5, 3, ["f"]],
          [3, 3, 1, 5, 3, 1]]  # fmt: skip


def test_runs_that_stand_between_each_other_merge_as_their_places_do() -> None:
    """Any of some places with any others of them."""
    parts = [contract(expand([list(runs), [], [], [], []]))
             for count in range(8) for runs in combinations(PLACES, count)]  # fmt: skip
    for state, delta in product(parts, parts):
        slowly = contract(merge_elements(expand(state), expand(delta), None, ()))
        assert merge_chunk(clone(state), delta) == slowly


@pytest.mark.parametrize(
    ("link", "parent"),
    [
        (0, lists.ROOT),
        (2, (5, 7)),
        (-2, (5, 7)),
        ([6, 12, lists.LEFT], (6, 12)),
        ([6, 12, lists.RIGHT], (6, 12)),
    ],
)
def test_a_run_hangs_on_what_its_first_place_hangs_on(link: Any, parent: lists.Id) -> None:
    run = [5, 9, link, 3, 2, ["a", "b"]]
    assert lists.parent_of(run) == parent
    assert expand([[run], [], [], [], []]).places[5, 9][0] == parent


def test_places_alone_are_as_few_ranges_as_can_be() -> None:
    held = [[2, 1, 0, 5, 2, ["a", "b"]], [2, 3, [3, 1, 0], 6, 2, 2], [2, 6, 0, 7, 2, ["c"]],
            [3, 7, 0, 7, 3, ["d"]]]  # fmt: skip
    expected = [[2, 1, 0, 0, 0, 4], [2, 6, 0, 0, 0, 1], [3, 7, 0, 0, 0, 1]]
    assert lists.places_alone([held, [], [], [], []]) == [expected, [], [], [], []]


# -- what is looked at first -----------------------------------------------------------------------
def test_nothing_is_not_deleted() -> None:
    assert not is_deleted(absent())
    assert is_deleted([2, 1, [], {}])
    assert not is_deleted([1, 1, [], {}])


def test_the_time_of_an_incarnation_counts_and_nothing_is_of_no_time() -> None:
    assert latest_time([1, 1, [7, 2, 2, 1], {}]) == 7
    assert latest_time([1, 1, [7, 2, 2, 1], {0: [[5, 2, {"a": 1}]]}]) == 7
    assert latest_time([1, 1, [7, 2, 2, 1], {0: [[9, 2, {"a": 1}]]}]) == 9
    assert latest_time([1, 1, [], {0: [[3, 2, {"a": 1}, 9, 2]]}]) == 9  # a default: its own
    assert latest_time([1, 1, [], {0: [[5, 2, {"a": 1}], [7, 2, {"b": 1}]]}]) == 7
    assert latest_time(absent()) == 0
    assert latest_time([1, 1, [], {obj.SET: {"s": [[], []]}}]) == 0


# -- checks ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields",
    [
        {False: [[5, 2, {"a": 1}]]},  # equal to the kind of registers, and yet none
        {0.0: [[5, 2, {"a": 1}]]},
        {True: {"n": 1}},
        {1.0: {"n": 1}},
        {2.0: {"s": [[], []]}},
        {7.0: {pack([4, 2, 1]): [[0, "a"], [[], [[[2, 1, 0, 5, 2, ["x"]]], [], [], [], []]]]}},
        {obj.CONTAINER: {"text": [["a"], [[], [], {}]]}},
        {obj.CONTAINER: {7: [["a"], [[], [], {}]]}},
        {0: [[0, 1, {"a": 1}, 5, 2]]},  # a default that saw a write of no time by somebody
        {0: [[False, 0, {"a": 1}, 5, 2]]},
        {0: [[-1, 0, {"a": 1}, 5, 2]]},
        {obj.LIST: {"l": [[], [[[2, 1, [2**60, 1, 1], 5, 2, ["x"]]], [], [], [], []]]}},
        {obj.LIST: {"l": [[], [[[2, 1, [-1, 1, 1], 5, 2, ["x"]]], [], [], [], []]]}},
        {obj.LIST: {"l": [[], [[[2, 1, [0, 0, 0], 5, 2, ["x"]]], [], [], [], []]]}},
    ],
)
def test_fields_that_are_not_well_formed(fields: dict[Any, Any]) -> None:
    with pytest.raises(DecodeError):
        check_object([1, 1, [], fields])


def nested(depth: int) -> Any:
    """Fields with an embedded object in each other."""
    fields: Any = {0: [[5, 2, {"a": 1}]]}
    for _ in range(depth):
        fields = {obj.EMBEDDED: {"e": [1, 1, [], fields]}}
    return fields


def accepted(check: Any, *arguments: Any, **options: Any) -> bool:
    try:
        check(*arguments, **options)
    except DecodeError:
        return False
    return True


def test_an_element_nests_as_deep_in_a_part_as_in_a_head() -> None:
    for depth in range(58, 68):
        run = [2, 1, 0, 5, 2, [None]]
        spread = [[run], [], [], [], [[2, 1, nested(depth)]]]
        head = [1, 1, [], {obj.LIST: {"l": [[], spread]}}]
        assert accepted(check_part, pack(spread)) == accepted(check_object, head), depth


# -- texts -----------------------------------------------------------------------------------------
def test_what_is_read_of_an_update_is_there() -> None:
    read_update(AB)
    for length in range(len(AB)):
        with pytest.raises(DecodeError):
            read_update(AB[:length])
    for byte in range(256):
        for length in range(len(AB)):  # a number that goes on, and then nothing
            accepted(read_update, AB[:length] + bytes([byte | 0x80]))


@pytest.mark.parametrize(
    ("owner", "fits"),
    [
        ([1, 2, 2], True),
        ([1, 0, 2], True),
        ([1, IDENT_MAX, 2], True),
        ([1, IDENT_MAX + 1, 2], False),
        ([1, -1, 2], False),
        ([TEXT_CLIENT_MAX + 1, 2, 2], False),
        ([1, 2, 0], False),
    ],
)
def test_owners_of_a_text(owner: list[int], fits: bool) -> None:
    assert accepted(check_text, [[owner], AB], spread=False) == fits
    assert accepted(check_text, [[owner], AB], spread=True) == fits
    assert not accepted(check_text, [[owner], AB, []], spread=True)
    assert accepted(check_text, [[owner], [AB], [], 0], spread=True) == fits
    assert not accepted(check_text, [[owner], [AB], [], 0], spread=False)


def typed(length: int) -> bytes:
    """An update of exactly so many bytes: client 1 inserts a text."""
    for count in range(length - 30, length):
        size = bytes([count % 128 | 128, count // 128])
        data = bytes.fromhex("01010100040104") + b"text" + size + b"x" * count + b"\0"
        if len(data) == length:
            return data
    raise AssertionError(length)


def test_the_tail_of_a_text_is_bounded_to_the_byte() -> None:
    for length, fits in ((TEXT_TAIL_BYTES_MAX, True), (TEXT_TAIL_BYTES_MAX + 1, False)):
        data = typed(length)
        update = read_update(data)
        owners = [[1, 2, update.end(1)]]
        assert accepted(check_text, [owners, [data], [], 0], spread=True) == fits
        assert accepted(check_text, [owners, data], spread=True) == fits
        assert accepted(check_text, [owners, data], spread=False)
    assert not accepted(check_text, [[[1, 2, 1]], [AB], [], 0], spread=True)  # units of nobody
    assert not accepted(check_text, [[[1, 2, 2]], [AB, EMPTY], [], 0], spread=True)
    one = AB.replace(b"\x02ab", b"\x01a")
    assert accepted(check_text, [[[1, 2, 1]], [one], [], 0], spread=True)
    assert not accepted(check_text, [[], [one], [], 0], spread=True)
    assert not accepted(check_text, [[[-1, 2, 1]], [], [], 0], spread=True)  # nor of no client


@pytest.mark.parametrize("count", [1, 126, 127, 128, 129])
def test_numbers_are_written_as_short_as_they_can_be(count: int) -> None:
    size = bytes([count]) if count < 128 else bytes([count % 128 | 128, count // 128])
    data = AB.replace(b"\x02ab", size + b"x" * count)
    assert accepted(check_text, [[[1, 2, count]], data], spread=False)


def test_the_greatest_client_may_type() -> None:
    greatest = b"\xff" * 7 + b"\x0f"
    data = AB[:2] + greatest + AB[3:]
    assert accepted(check_text, [[[TEXT_CLIENT_MAX, 2, 2]], data], spread=False)
    assert not accepted(read_update, AB[:2] + b"\x80" * 7 + b"\x10" + AB[3:])


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        ([0, 0, 0], True),
        ([0, 5, 2**32 - 1], True),
        ([0, 5, 2**32], False),
        ([0, 5, -1], False),
        ([0, -1, 0], False),
        ([4, 5, 0], True),
        ([5, 5, 0], False),
        ([-1, 5, 0], False),
        ([0, 5, 0, 0], False),
        ([0, 5], False),
        ([0, 5, False], False),
        ({0: 1, 5: 1, 1: 1}, False),
        (5, False),
    ],
)
def test_the_directory_of_a_text(entry: Any, fits: bool) -> None:
    assert accepted(check_text, [[[1, 2, 2]], [AB], [entry], 5], spread=True) == fits


def test_a_part_of_a_text_is_an_update() -> None:
    longer = b"\x81\x00" + AB[1:]  # the same, with a number that is longer than it has to be
    for data, fits in ((AB, True), (AB[:-1] + b"\x01", False), (longer, False)):
        held = {part_name((6, "t"), [], 0): pack(data)}
        state = [[[1, 2, 2]], [], [[0, len(data), zlib.crc32(data)]], 1]
        parts = Parts(held.get, held.keys)
        assert accepted(check_text_parts, state, parts, (6, "t")) == fits
    held = {part_name((6, "t"), [], 0): pack(AB)}
    for size, fits in ((len(AB), True), (len(AB) + 1, False), (len(AB) - 1, False)):
        state = [[[1, 2, 2]], [], [[0, size, zlib.crc32(AB)]], 1]
        assert accepted(check_text_parts, state, Parts(held.get, held.keys), (6, "t")) == fits


#: As large as a part may become, alone.
LONG = write_update(Update({1: [(0, TEXT_PART_BYTES_TARGET // 2, None, None, "x" * 32768)]}))


@pytest.mark.parametrize(
    ("data", "size", "joined"),
    [
        (typed(5000), 2 * 5000, False),
        (typed(5000), 2 * 5000 - 1, True),
        (typed(5000), 1, True),
        (LONG, TEXT_PART_BYTES_TARGET - len(LONG), True),
        (LONG, TEXT_PART_BYTES_TARGET - len(LONG) + 1, False),
    ],
)
def test_a_full_tail_is_written_with_a_part_that_is_not_twice_as_large(
    data: bytes, size: int, joined: bool
) -> None:
    held = {part_name((6, "t"), [], 0): pack(AB)}
    parts = Parts(held.get, held.keys)
    state = [[[1, 2, read_update(data).end(1)]], [data], [[0, size, 0]], 1]
    _, tail, directory, following = merge_text(state, [[], EMPTY], parts, (6, "t"))
    assert (tail, following) == ([], 2)
    assert [number for number, *_ in directory] == ([1] if joined else [0, 1])


def test_what_is_typed_on_is_one_with_the_end_of_the_tail() -> None:
    parts = Parts()
    more = write_update(Update({1: [(2, 1, (1, 1), None, "c")]}))
    state = merge_text([[[1, 2, 2]], AB], [[[1, 2, 3]], more], parts, (6, "t"))
    assert state == [[[1, 2, 3]], [AB.replace(b"\x02ab", b"\x03abc")], [], 0]


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [
        ("\ud83d", "\ue000", "\ue000"),
        ("\ud83d", "\uffff", "\ufffd"),
        ("a", "\ue000", "a"),
        (chr(0xD800), "\ue000", "\ue000"),
        (chr(0xDFFF), "\ue000", "\ue000"),
    ],
)
def test_half_a_character_compares_as_it_is_written(one: str, other: str, least: str) -> None:
    """[TEXT-9]: at the start of a run and within one."""
    for before in ("", "x"):
        first, second = (
            Update({1: [(0, len(before) + 1, None, None, before + end)]}) for end in (one, other)
        )
        for both in ([first, second], [second, first]):
            merged = read_update(write_update(union(both)))
            assert merged.runs == {1: [(0, len(before) + 1, None, None, before + least)]}


# -- many states at once ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("groups", "fits"),
    [
        ([[5, 2, {"a": 1}], [6, 2, {"b": 2}]], True),
        ([[5, 2, {"a": 1}], [6, 2, {"a": 2}]], False),  # two writes to one field
        ([[5, 2, {"a": 1, "b": 1}], [6, 2, {"b": 2, "c": 1}]], False),
        ([[6, 2, {"a": 1}], [5, 2, {"b": 2}]], False),
        ([[5, 2, {}]], False),
        ([[5, 2, {"a": 1}], [6, IDENT_MAX + 1, {"b": 2}]], False),
        ([[0, 2, {"a": 1}]], False),
    ],
)
def test_states_are_checked_together_as_one_by_one(groups: Any, fits: bool) -> None:
    data = pack([1, 1, [], {obj.REGISTER: groups}])
    for count in (1, 2, 9):
        assert accepted(unpack_objects, [data] * count) == fits
        assert accepted(unpack_object, data) == fits


def test_a_state_among_others_is_bounded_in_bytes() -> None:
    with pytest.raises(LimitExceededError, match=str(CHANGESET_BYTES_MAX)):
        unpack_objects([b"", bytes(CHANGESET_BYTES_MAX + 1)])
    with pytest.raises(DecodeError) as caught:
        unpack_objects([bytes(CHANGESET_BYTES_MAX)])
    assert not isinstance(caught.value, LimitExceededError)


# -- editing ---------------------------------------------------------------------------------------
def test_whoever_shows_a_list_sees_that_it_was_edited() -> None:
    seen = []

    def act(edit: Edit) -> None:
        edit.create()
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        seen.append(editor.edits)
        assert len(scope.list_insert("l", editor, 0, ["a", "b", "c"])) == 3
        seen.append(editor.edits)
        scope.list_set("l", editor, 0, "x")
        seen.append(editor.edits)
        scope.list_move("l", editor, 0, 2)
        seen.append(editor.edits)
        scope.list_erase("l", editor, 1)
        seen.append(editor.edits)
        assert len(edit.nested(scope).list_insert("l", 0, [1, 2])) == 2

    Replica(2).write(act)
    assert seen == [0, 1, 2, 3, 4]


def test_erasures_are_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for an element of others; two for one of the same transaction, whose place stays bare."""
    monkeypatch.setattr(editing, "LIST_BARE_IDS_MAX", 4)
    replica = Replica(2)

    def insert(edit: Edit) -> None:
        edit.create()
        scope = edit.scope()
        scope.list_insert("l", edit.editor(scope, "l"), 0, list(range(9)))

    def erase(edit: Edit) -> None:
        scope = edit.scope()
        editor = edit.editor(scope, "l")
        for _ in range(2):
            scope.list_erase("l", editor, 0)
        scope.list_insert("l", editor, 0, ["new"])
        scope.list_erase("l", editor, 0)
        with pytest.raises(LimitExceededError):
            scope.list_erase("l", editor, 0)

    replica.write(insert)
    replica.write(erase)


@pytest.mark.parametrize(
    ("held", "erased", "left"),
    [
        ([1, 1, [], INNER], 2, [2, 0, [], {}]),
        ([0, 1, [], INNER], 2, [2, 0, [], {}]),
        ([0, 3, [], INNER], 2, [2, 3, [], INNER]),  # content whose create has not come yet
        ([2, 5, [], INNER], 4, [4, 5, [], INNER]),
        ([3, 3, [], INNER], 4, [4, 0, [], {}]),
    ],
)
def test_erasing_an_embedded_object(held: Any, erased: int, left: Any) -> None:
    replica = Replica(2, state=[1, 1, [], {obj.EMBEDDED: {"e": held}}])
    delta = replica.write(lambda edit: edit.scope().erase_embedded("e", held[0]))
    assert delta[3][obj.EMBEDDED]["e"] == [erased, 0, [], {}]
    assert replica.state[3][obj.EMBEDDED]["e"] == left


def test_both_ends_that_are_alike_stay() -> None:
    for old, new, expected in (
        ("abXcd", "abYcd", [{"retain": 2}, {"insert": "Y"}, {"delete": 1}]),
        ("abXXcd", "abcd", [{"retain": 2}, {"delete": 2}]),
        ("abcd", "abYYcd", [{"retain": 2}, {"insert": "YY"}]),
        ("ab", "ab", []),
        ("ab", "", [{"delete": 2}]),
    ):
        assert replaced([(old, {})], [(new, {})]) == expected, (old, new)


def test_of_values_of_one_stamp_the_greater_stays() -> None:
    """[MERGE-LIST-2]"""
    one, other = ([[], [[2, 1, 9, 2, value]], [], [], []] for value in ("a", "b"))
    for left, right in ((one, other), (other, one)):
        assert merge_chunk(clone(left), clone(right)) == other


def test_two_siblings_stand_by_stamp_and_then_by_id() -> None:
    """[MERGE-ORDER-1]"""
    for times, expected in (((9, 5), [(3, 1), (2, 1)]), ((5, 9), [(2, 1), (3, 1)]),
                            ((5, 5), [(2, 1), (3, 1)])):  # fmt: skip
        for side in (lists.LEFT, lists.RIGHT):
            places = {(4, 1): (lists.ROOT, lists.RIGHT, 1, 4)}
            places |= {(3, 1): ((4, 1), side, times[1], 2), (2, 1): ((4, 1), side, times[0], 2)}
            assert children_of(places)[4, 1][side] == expected


def test_a_chunk_of_nothing_is_of_no_time() -> None:
    assert latest_in_chunk(lists.empty_chunk()) == 0


def test_what_refers_to_a_container_that_is_not_here() -> None:
    """[FORGET-10]"""
    name = pack([obj.LIST, 2, 1])
    fields = {
        obj.REGISTER: [[5, 2, {"a": Container(obj.LIST, 9, 9), "b": Container(obj.LIST, 2, 1)}]],
        obj.CONTAINER: {name: [[obj.REGISTER, "b"], [[], chunk((2, 2, 1))]]},
    }
    assert forget_fields(clone(fields), None, ()) == fields


def test_a_list_in_which_nothing_is_dead_is_not_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lists, "LIST_PART_ELEMENTS_MAX", 4)
    held = {
        part_name((4, "l"), [], number): pack(chunk((2, first, count)))
        for number, (first, count) in enumerate(((1, 2), (3, 3)))
    }
    parts = Parts(held.get, held.keys)
    spread = [[], [[0, 0, 0], [2, 3, 1]], 2]
    assert forget_fields({obj.LIST: {"l": clone(spread)}}, parts, ()) == {obj.LIST: {"l": spread}}
    assert parts.changes() == {}


# -- reading ---------------------------------------------------------------------------------------
def test_queries_see_a_kind_that_stands_alone() -> None:
    for kind, held, shown in (
        (obj.LIST, [[], chunk((2, 1, 1))], ["2.1"]),
        (obj.SET, [[], [[5, 2, {pack(1): True}]]], [1]),
        (obj.DICTIONARY, [[], [[5, 2, {"k": 1}]], {}], {"k": 1}),
        (obj.EMBEDDED, [1, 1, [], INNER], {"a": 1}),
    ):
        fields = QueryFields({kind: {"f": held}})
        assert fields["f"] == shown
        with pytest.raises(KeyError):
            fields["g"]
        both = QueryFields({obj.REGISTER: [[5, 2, {"r": 2}]], kind: {"f": held}})
        assert (both["f"], both["r"]) == (shown, 2)
