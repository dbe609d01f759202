"""Corners of the merge that a case of their own reaches, so that every branch has one. [MERGE]"""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import pytest
from made_updates import typed
from replicas import Edit, Replica, Stored, folded

from replication.crdt import check, register
from replication.crdt import list as lists
from replication.crdt import object as obj
from replication.crdt.check import check_object
from replication.crdt.container import depth, list_path
from replication.crdt.edit import Author, ListEditor, Scope, seal
from replication.crdt.forget import forget_fields
from replication.crdt.incarnation import clone
from replication.crdt.list import Elements, contract, has_place
from replication.crdt.lookup import Here
from replication.crdt.object import may_have_parts, merge, merge_all
from replication.crdt.parts import Parts, part_name
from replication.crdt.stamps import latest_time
from replication.crdt.view import column_values, object_view, shows
from replication.crdt.whole import check_parts, joined
from replication.errors import DecodeError
from replication.history.changeset import Changeset, ObjectDelta, decode_trusted, encode
from replication.history.log import Entry, decode_entry, encode_entry
from replication.model.encoding import pack
from replication.model.values import ERASED, Based, Container, NestedList


def alive(fields: Any) -> Any:
    return [1, 1, [], fields]


def chunk_of(*runs: Any, erased: Any = ()) -> Any:
    return [list(runs), [], [], list(erased), []]


def listed(chunk: Any) -> Any:
    return alive({obj.LIST: {"l": [[], chunk]}})


# -- containers ----------------------------------------------------------------------------------
@pytest.mark.parametrize(("home", "kept"), [([0, "a"], True), ([0, "b"], False), ([], True)])
def test_a_container_is_forgotten_where_only_others_than_its_home_refer_to_it(
    home: Any, kept: bool
) -> None:
    """One of which only edits are known waits for who put it there."""
    value = Container(obj.LIST, 2, 1)
    name = pack([obj.LIST, 2, 1])
    registers = [[5, 2, {"a": value}], [6, 2, {"b": 1}]]
    held = {name: [home, [[], chunk_of([2, 2, 0, 5, 2, ["x"]])]]}
    state = alive({obj.REGISTER: registers, obj.CONTAINER: held})
    check_object(state)
    assert (obj.CONTAINER in forget_fields(state[3], None, ())) == kept


def test_the_depth_of_a_place_in_what_nobody_put_anywhere() -> None:
    name = pack([obj.LIST, 2, 1])
    place = [obj.CONTAINER, name, [2, 2]]
    assert depth({}, []) == 0
    assert depth({}, place) == 1
    assert depth({obj.CONTAINER: {name: [[], [[], chunk_of()]]}}, place) == 1
    assert depth({obj.CONTAINER: {name: [[0, "a"], [[], chunk_of()]]}}, place) == 1


# -- lists ------------------------------------------------------------------------------------
def test_a_chunk_knows_its_places() -> None:
    chunk = chunk_of([2, 3, 0, 9, 2, ["a", "b"]], [3, 1, 0, 9, 3, 2])
    known = [(i, s) for i in range(5) for s in range(6) if has_place(chunk, (i, s))]
    assert known == [(2, 3), (2, 4), (3, 1), (3, 2)]


def test_an_open_list_has_a_length_and_ids() -> None:
    elements = Elements(places={(2, 1): ((0, 0), 1, 9, 2)}, values={(2, 1): (9, 2, "a")})
    editor = ListEditor([], elements)
    assert (len(editor), editor.ids, editor.id_at(0)) == (1, [(2, 1)], (2, 1))


@pytest.mark.parametrize("range_", [[2, 2, 1], [2, 1, 9], [2, 4, 3]])
def test_places_that_come_after_their_erasure_are_merged_one_by_one(range_: list[int]) -> None:
    """[MERGE-LIST-3]: the elements of a run of which some were erased before it came."""
    erased = listed(chunk_of(erased=[range_]))
    run = listed(chunk_of([2, 2, 0, 9, 2, ["a", "b", "c"]]))
    one, other = merge(listed(chunk_of()), erased), merge(listed(chunk_of()), run)
    one, other = merge(one, run), merge(other, erased)
    assert pack(one) == pack(other)
    check_object(one)
    left = [v for n, v in enumerate("abc", 2) if not range_[1] <= n < range_[1] + range_[2]]
    assert object_view(one) == {"l": left}


@pytest.mark.parametrize("content", [["a", "b", "c", "d", "e", "f", "g"], 7])
def test_a_run_across_the_bounds_of_parts_is_cut_up(
    content: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STATE-WHOLE]: a range of erased elements likewise, and what else is known of a part."""
    for module in (lists, check):
        monkeypatch.setattr(module, "LIST_PART_ELEMENTS_MAX", 2)
    # Every other id is known, in parts of two; the run has the ids between as well.
    known = [listed(contract(Elements(moves={(2, n): (9, 2, (3, 1))}))) for n in (1, 3, 5, 7)]
    deltas = [
        *known,
        listed(chunk_of([2, 1, 0, 8, 2, content])),
        listed(chunk_of(erased=[[2, 2, 5]])),
        listed([[], [[2, 1, 9, 2, "set"]], [], [], [[2, 7, {0: [[9, 2, {"a": 1}]]}]]]),
        listed([[], [[3, 1, 9, 2, "both"], [3, 2, 9, 2, "in one"]], [], [], []]),
    ]
    stored = Stored()
    for delta in deltas:
        stored.merge(delta)
    assert len(stored.parts) > 2
    assert pack(stored.whole()) == pack(folded(deltas))


@pytest.mark.parametrize(
    ("sequence", "values", "sizes"),
    [
        (9, ["b"], [4, 1]),
        (8, ["a", "b"], [2, 2, 1]),  # about the last one, too
        (5, ["b"], [2, 2, 1]),
        (1, ["b"], [2, 2, 1]),
    ],
)
def test_growth_at_the_end_leaves_full_parts_and_growth_elsewhere_leaves_room(
    sequence: int, values: list[str], sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts()
    monkeypatch.setattr(lists, "LIST_PART_ELEMENTS_MAX", 4)
    known = [[2, n, 0, 9, 2, ["a"]] for n in (2, 4, 6, 8)]
    state = [[], [[0, 0, 0]], 1]
    parts.store((4, "l"), [], 0, chunk_of(*known))
    state = lists.merge_list(state, [[], chunk_of([2, sequence, 0, 9, 2, values])], parts, (4, "l"))
    held = [lists.id_count(parts.load((4, "l"), [], number)) for *_, number in state[1]]
    assert held == sizes


@pytest.mark.parametrize(("touched", "sizes"), [(6, [2, 2, 2]), (9, [4, 2])])
def test_growth_is_at_the_end_where_all_that_is_written_is(
    touched: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """New elements at the end, and a value: of one before them, or of the first of them."""
    parts = Parts()
    monkeypatch.setattr(lists, "LIST_PART_ELEMENTS_MAX", 4)
    parts.store((4, "l"), [], 0, chunk_of(*[[2, n, 0, 9, 2, ["a"]] for n in (2, 4, 6, 8)]))
    delta = chunk_of([2, 9, 0, 9, 2, 1], [2, 10, 0, 9, 2, ["c"]])
    delta[1] = [[2, touched, 10, 2, "b"]]
    state = lists.merge_list([[], [[0, 0, 0]], 1], [[], delta], parts, (4, "l"))
    held = [lists.id_count(parts.load((4, "l"), [], number)) for *_, number in state[1]]
    assert held == sizes


def test_erased_elements_are_the_last_of_a_part_as_any_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = Parts()
    monkeypatch.setattr(lists, "LIST_PART_ELEMENTS_MAX", 4)
    for sequence, values, sizes in (
        (4, ["b"], [2, 2, 1]),
        (7, ["b", "c"], [2, 2, 1]),  # about the last one, too
        (8, ["b"], [4, 1]),
        (9, ["b"], [4, 1]),
    ):
        state = [[], [[0, 0, 0]], 1]
        parts.store((4, "l"), [], 0, chunk_of([2, 1, 0, 9, 2, ["a"]], erased=[[2, 5, 3]]))
        delta = chunk_of([2, sequence, 0, 9, 2, values])
        state = lists.merge_list(state, [[], delta], parts, (4, "l"))
        held = [lists.id_count(parts.load((4, "l"), [], number)) for *_, number in state[1]]
        assert held == sizes, sequence


def test_single_elements_of_a_spread_list_are_looked_up_in_their_parts() -> None:
    runs = [[2, 1, 0, 9, 2, ["a"]], [2, 4, 0, 9, 2, ["d"]]]
    stored = {part_name((4, "l"), [], n): pack(chunk_of(run)) for n, run in enumerate(runs)}
    spread = [[], [[0, 0, 0], [2, 4, 1]], 2]
    for held, parts in ((spread, Parts(stored.get)), ([[], chunk_of(*runs)], None)):
        here = Here(held, parts, (4, "l"))
        assert [n for n in range(6) if here.has_place((2, n))] == [1, 4]
        assert here.about((2, 4)).values[2, 4] == (9, 2, "d")
        assert here.about((2, 1)).values[2, 1] == (9, 2, "a")
        assert (2, 3) not in here.about((2, 3)).places


@pytest.mark.parametrize(
    "following", [chunk_of([2, 4, 0, 9, 2, ["d"]]), chunk_of(erased=[[2, 4, 1]])]
)
def test_a_run_that_ends_with_a_part_stands_in_it_alone(following: Any) -> None:
    parts = Parts()
    parts.store((4, "l"), [], 0, chunk_of([2, 1, 0, 9, 2, ["a"]]))
    parts.store((4, "l"), [], 1, clone(following))
    state = [[], [[0, 0, 0], [2, 4, 1]], 2]
    lists.merge_list(state, [[], chunk_of([2, 2, 1, 8, 2, ["b", "c"]])], parts, (4, "l"))
    whole = [[2, 1, 0, 9, 2, ["a"]], [2, 2, 1, 8, 2, ["b", "c"]]]
    assert parts.load((4, "l"), [], 0)[0] == whole
    assert parts.load((4, "l"), [], 1) == following


def test_what_continues_a_run_is_one_with_it() -> None:
    """[STATE-25], whichever half comes first, and where both sides were there."""
    pieces = [listed(chunk_of([2, n, int(n > 1), 9, 2, [n]])) for n in (1, 2, 3)]
    for order in permutations(pieces):
        assert folded(order) == listed(chunk_of([2, 1, 0, 9, 2, [1, 2, 3]]))


def test_what_stands_behind_a_run_that_is_continued_stays() -> None:
    """[STATE-25]"""
    runs = [[2, 1, 0, 9, 2, ["a"]], [3, 1, 0, 8, 3, ["x"]], [4, 1, 0, 8, 4, ["y"]]]
    state = merge(listed(chunk_of(*runs)), listed(chunk_of([2, 2, 1, 9, 2, ["b"]])))
    assert state == listed(chunk_of([2, 1, 0, 9, 2, ["a", "b"]], *runs[1:]))


def test_runs_that_descend_are_refused() -> None:
    """[STATE-24]"""
    runs = [[3, 1, 0, 9, 3, ["a"]], [2, 1, 0, 9, 2, ["b"]]]
    check_object(listed(chunk_of(*runs[::-1])))
    with pytest.raises(DecodeError, match="canonical"):
        check_object(listed(chunk_of(*runs)))


def test_places_of_a_part_are_those_that_are_remembered() -> None:
    stored, remembered = {part_name((4, "l"), [], 0): pack([1])}, [2]
    assert Parts(stored.get).places((4, "l"), [], 0) == [1]
    assert Parts(stored.get, places=lambda name: remembered).places((4, "l"), [], 0) is remembered


def test_erasing_an_element_drops_the_parts_of_lists_inside() -> None:
    device = Replica(2)
    stored = Stored()

    def fill(edit: Edit) -> None:
        edit.create()
        scope = edit.scope()
        editor = edit.editor(scope, "o")
        (here,) = scope.list_insert("o", editor, 0, [None])
        inner = scope.element("o", editor, here)
        inner.list_insert("l", edit.editor(inner, "l"), 0, list(range(600)))

    def erase(edit: Edit) -> None:
        editor = edit.editor(edit.scope(), "o")
        edit.forget((obj.LIST, "o", editor.id_at(0)))
        edit.scope().list_erase("o", editor, 0)

    def insert(edit: Edit) -> None:
        edit.scope().list_insert("o", edit.editor(edit.scope(), "o"), 0, list(range(20)))

    # Then many values at once, which is another way through the erased ones.
    for act, parts in ((fill, True), (erase, False), (insert, False)):
        stored.merge(device.write(act))
        assert bool(stored.parts) == parts
        assert pack(stored.whole()) == pack(device.state)


def test_a_part_that_is_missing_from_the_store_is_said_to_be() -> None:
    with pytest.raises(AssertionError, match="part 3 of"):
        Parts().load((4, "l"), [], 3)


# -- the rest ---------------------------------------------------------------------------------
def test_values_need_no_copy() -> None:
    value = Container(4, 2, 1)
    assert clone(value) is value
    assert clone([value, {"k": [value]}]) == [value, {"k": [value]}]


def test_plain_defaults_of_a_mixed_property() -> None:
    device = Replica(2)
    device.write(lambda edit: (edit.create(), edit.nested(edit.scope()).set_default("v", "plain")))
    assert object_view(device.state) == {"v": "plain"}


def test_many_writes_of_equal_order_keep_the_greater_values() -> None:
    """[MERGE-TIE], where all groups are built anew."""
    low = [[9, 2, {f"w{n}": n % 2 for n in range(10)}]]
    high = [[9, 2, {f"w{n}": (n + 1) % 2 for n in range(10)}]]
    for left, right in ((low, high), (high, low)):
        merged = register.merge_groups([[*left[0][:2], dict(left[0][2])]], right)
        assert merged == [[9, 2, {f"w{n}": 1 for n in range(10)}]]


def test_each_value_of_a_group_is_looked_at() -> None:
    state = alive({obj.REGISTER: [[9, 2, {"a": 1, "b": ERASED}]]})
    with pytest.raises(DecodeError, match="_Erased can't stand here"):
        check_object(state)


def test_the_latest_time_beside_a_list_that_is_spread() -> None:
    held = {obj.LIST: {"l": [[], [[0, 0, 0]], 1]}, obj.REGISTER: [[7, 2, {"a": 1}]]}
    assert latest_time(alive(held)) == 7
    assert latest_time(alive({obj.LIST: {"l": [[8, 2, 2, 1], [[0, 0, 0]], 1]}})) == 8


def test_columns_are_what_queries_see() -> None:
    mixed = Container(4, 2, 1)  # of which nothing is here: it shows as null
    written = [[8, 2, {"a": 1}], [9, 2, {"b": mixed, "c": Based(5, 2)}]]
    names = ["a", "b", "c", "d"]
    assert column_values([2, 0, [], {}], names) is None
    only = column_values(alive({obj.REGISTER: written}), names)
    assert only == {"a": 1, "b": None, "c": 3, "d": None}
    fields = {
        obj.REGISTER: written,
        obj.COUNTER: {"c": 4},
        obj.SET: {"s": [[], [[9, 2, {pack(1): True}]]]},
        obj.LIST: {"l": [[], chunk_of([2, 1, 0, 9, 2, ["x"]])], "far": [[], [[0, 0, 0]], 1]},
    }
    assert column_values(alive(fields), []) == {}
    some = column_values(alive(fields), [*names, "s", "l", "far"])
    assert some == {"a": 1, "b": None, "c": 7, "d": None, "s": [1], "l": ["x"], "far": None}


def test_a_nested_list_spread_over_parts_is_no_null_to_queries() -> None:
    fields = {
        obj.REGISTER: [[5, 2, {"m": Container(obj.LIST, 2, 1)}]],
        obj.CONTAINER: {pack([obj.LIST, 2, 1]): [[0, "m"], [[], [[0, 0, 0]], 1]]},
    }
    found = column_values(alive(fields), ["m"])
    assert found is not None
    assert type(found["m"]) is NestedList
    assert found["m"] == []


def test_the_whole_of_a_counter_is_a_copy() -> None:
    state = alive({obj.COUNTER: {"n": 3}})
    whole = joined(state)
    assert whole == state
    assert whole[3][obj.COUNTER] is not state[3][obj.COUNTER]


def test_who_is_shown_is_told_from_the_first_bytes() -> None:
    assert not shows(None)
    for length, at in product((0, 1, 2, 3, 127, 128, 129, 257, 2**20 + 1), repeat=2):
        state = [length, at, [], {}]
        assert shows(pack(state)) == obj.is_alive(state)


def test_the_value_of_an_element_that_is_not_there() -> None:
    editor = ListEditor([], Elements(values={(2, 1): (9, 2, "a")}))
    assert (editor.value_of((2, 1)), editor.value_of((2, 2))) == ("a", None)


def test_lists_are_named_by_property_or_container() -> None:
    assert list_path((5, "e"), "l") == (5, "e", 4, "l")
    assert list_path((), b"id") == (7, b"id")


def test_a_text_written_once_and_in_one_piece() -> None:
    update = typed(5, 0, None, None, "hello")
    scope = Scope({}, {}, Author((9, 2), lambda: 1))
    scope.write_text("t", update, {5: 5})
    fields = seal(scope.delta)
    assert fields == {obj.TEXT: {"t": [[[5, 2, 5]], update]}}
    assert check_parts(alive(fields), Parts()) == set()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8])
def test_many_deltas_are_merged_as_one(count: int) -> None:
    deltas = [alive({obj.COUNTER: {"n": 1, f"n{at}": at + 1}}) for at in range(count)]
    names = {f"n{at}": at + 1 for at in range(count)}
    assert merge_all(deltas) == alive({obj.COUNTER: {"n": count, **names}})


def test_what_may_lie_beside_a_head() -> None:
    plain = {obj.REGISTER: [[9, 2, {"a": 1}]], obj.COUNTER: {"n": 1}, obj.SET: {"s": [[], []]}}
    assert not may_have_parts(plain)
    assert may_have_parts({**plain, obj.EMBEDDED: {"e": [1, 1, [], {}]}})


def test_formats_end_behind_what_was_erased_there() -> None:
    """Where two devices formatted the same, and what stood between their marks is gone."""
    device, other = Replica(2), Replica(3)
    device.write(lambda edit: (edit.create(), edit.text_insert(edit.scope(), "t", 0, "abcd")))
    other.read(device)
    device.write(lambda edit: edit.text_format(edit.scope(), "t", 0, 4, {"b": True}))
    other.write(lambda edit: edit.text_format(edit.scope(), "t", 2, 2, {"b": True}))
    device.read(other)
    device.write(lambda edit: edit.text_erase(edit.scope(), "t", 2, 1))
    device.write(lambda edit: edit.text_insert(edit.scope(), "t", 2, "x", {"b": None, "n": 1}))
    assert object_view(device.state) == {
        "t": [["ab", {"b": True}], ["x", {"n": 1}], ["d", {"b": True}]]
    }


# -- history ----------------------------------------------------------------------------------
def test_changesets_are_read_back_as_they_were() -> None:
    delta = alive({obj.REGISTER: [[9, 2, {"a": 1}]]})
    for flags in (0, 1):
        objects = [ObjectDelta("A", 1, delta), ObjectDelta("A", 2, delta, blind=True)]
        changeset = Changeset(9, 4, objects, flags, {})
        assert decode_trusted(encode(changeset)) == changeset
        assert changeset.atomic == bool(flags)


def test_entries_of_the_log_are_read_back_as_they_were() -> None:
    entry = Entry(
        7, 12345, 2, 3, "user", 99, bytes(16), b"changeset", [None, b"head"], [0, 4], {"A": {}}
    )
    assert decode_entry(7, encode_entry(entry)) == entry
