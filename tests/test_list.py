"""Lists: places and elements, in chunks, whole or spread over parts. [MERGE-LIST]"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from replicas import Edit, Replica
from state_strategies import elements

from replication.crdt import object as obj
from replication.crdt.incarnation import clone
from replication.crdt.list import (
    LEFT,
    RIGHT,
    ROOT,
    Elements,
    contract,
    empty_chunk,
    expand,
    merge_elements,
    merge_list,
)
from replication.crdt.view import object_view
from replication.model.encoding import pack

ELEMENTS = st.randoms(use_true_random=False).map(elements)


def device_with(*values: Any) -> Replica:
    """A device with a list `l` of values."""
    device = Replica(2)
    device.write(lambda edit: edit.create())
    if values:
        device.write(lambda edit: insert(edit, 0, *values))
    return device


def insert(edit: Edit, index: int, *values: Any) -> None:
    scope = edit.scope()
    scope.list_insert("l", edit.editor(scope, "l"), index, values)


def erase(edit: Edit, index: int) -> None:
    scope = edit.scope()
    scope.list_erase("l", edit.editor(scope, "l"), index)


def change(edit: Edit, index: int, value: Any) -> None:
    scope = edit.scope()
    scope.list_set("l", edit.editor(scope, "l"), index, value)


def move(edit: Edit, source: int, target: int) -> None:
    scope = edit.scope()
    scope.list_move("l", edit.editor(scope, "l"), source, target)


def copies(device: Replica, count: int = 2) -> list[Replica]:
    """Other devices that know the same."""
    out = []
    for ident in range(3, 3 + count):
        out.append(Replica(ident))
        out[-1].read(device)
    return out


def meet(*devices: Replica) -> Any:
    """Everyone tells everyone; returns the list that all of them show."""
    for _ in range(2):
        for device in devices:
            for other in devices:
                device.read(other)
    shown = [object_view(device.state) for device in devices]
    assert all(pack(device.state) == pack(devices[0].state) for device in devices)
    assert shown[0] is not None
    return shown[0].get("l")


# -- chunks ----------------------------------------------------------------------------------
@given(ELEMENTS)
def test_expand_and_contract_are_inverse(held: Elements) -> None:
    """[MERGE-LIST] A chunk has one canonical form."""
    chunk = contract(held)
    again = expand(chunk)
    assert pack(contract(again)) == pack(chunk)
    assert again.places == held.places
    assert again.moves == held.moves
    assert again.erased == held.erased
    assert repr(sorted(again.values.items())) == repr(sorted(held.values.items()))


def test_consecutive_elements_of_one_transaction_are_one_run() -> None:
    """[MERGE-LIST] Two ids and a link, however long the run."""
    device = device_with("a", "b", "c")
    (stamp,) = {tuple(group[3:5]) for group in device.state[3][obj.LIST]["l"][1][0]}
    assert device.state[3][obj.LIST]["l"] == [
        [],
        [[[2, 1, 0, *stamp, ["a", "b", "c"]]], [], [], [], []],
    ]


def test_each_kind_of_link_has_its_shortest_form() -> None:
    """[MERGE-LIST] Root, right and left of an own id before, any other."""
    places = {
        (2, 4): (ROOT, RIGHT, 1, 2),
        (2, 6): ((2, 4), RIGHT, 1, 2),
        (2, 9): ((2, 6), LEFT, 1, 2),
        (2, 3): ((2, 9), LEFT, 1, 2),
        (3, 1): ((2, 4), RIGHT, 1, 3),
    }
    links = {tuple(run[:2]): run[2] for run in contract(Elements(places))[0]}
    assert links == {
        (2, 4): 0,
        (2, 6): 2,
        (2, 9): -3,
        (2, 3): [2, 9, LEFT],
        (3, 1): [2, 4, RIGHT],
    }


def test_the_first_id_of_a_file_without_ident_is_not_the_root() -> None:
    """[MERGE-LIST] Ident 0, and links that could point at (0, 0)."""
    places = {(0, 1): (ROOT, RIGHT, 1, 0), (0, 2): ((0, 1), LEFT, 1, 0)}
    chunk = contract(Elements(places))
    assert [run[2] for run in chunk[0]] == [0, -1]
    assert expand(chunk).places == places


# -- rules -----------------------------------------------------------------------------------
@given(ELEMENTS, ELEMENTS)
def test_a_merge_decides_id_by_id(left: Elements, right: Elements) -> None:
    """[MERGE-LIST-1], [MERGE-LIST-2] and [MERGE-LIST-3] against a naive reading of them."""
    merged = merge_elements(expand(contract(left)), right)
    for here in left.ids() | right.ids():
        places = [held.places[here] for held in (left, right) if here in held.places]
        assert merged.places.get(here) == min(places, default=None)
        erased = here in left.erased or here in right.erased
        assert (here in merged.erased) == erased
        values = [held.values[here] for held in (left, right) if here in held.values]
        moves = [held.moves[here] for held in (left, right) if here in held.moves]
        if erased:
            assert here not in merged.values
            assert here not in merged.moves
            assert here not in merged.contents
            continue
        latest = max(values, key=lambda value: (value[:2], pack(value[2])), default=None)
        assert repr(merged.values.get(here)) == repr(latest)
        assert merged.moves.get(here) == max(moves, default=None)


def test_the_greater_place_id_has_the_greater_bytes() -> None:
    """[MERGE-LIST-2] So moves of one stamp may be compared by id."""
    ids = [(a, b) for a in (0, 127, 128, 2**16, 2**32) for b in (1, 127, 255, 256, 2**53 - 1)]
    assert sorted(ids, key=lambda here: pack(list(here))) == sorted(ids)


def test_two_records_of_one_place_leave_the_lesser() -> None:
    """[MERGE-LIST-1] Only a copied file or a hostile client writes a second one."""
    one: Any = [[], [[[2, 1, 0, 5, 2, 1]], [], [], [], []]]
    two: Any = [[], [[[2, 1, [3, 7, LEFT], 4, 2, 1]], [], [], [], []]]
    for left, right in ((one, two), (two, one)):
        assert merge_list(clone(left), right, None, ()) == one


def test_of_two_sets_of_one_stamp_the_greater_bytes_win() -> None:
    """[MERGE-LIST-2], whichever comes first: of a copied file, or from a hostile client."""
    here = (2, 1)
    for low, high in ((1, 2), (2, "a"), (1, None)):
        for order in permutations((low, high)):
            first, second = (Elements(values={here: (5, 2, value)}) for value in order)
            assert merge_elements(first, second).values == {here: (5, 2, high)}


def test_the_later_of_two_sets_wins() -> None:
    """[MERGE-LIST-2]"""
    first = device_with("a", "b")
    second, third = copies(first)
    second.write(lambda edit: change(edit, 0, "second"))
    third.wall_ms += 1
    third.write(lambda edit: change(edit, 0, "third"))
    assert meet(first, second, third) == ["third", "b"]


def test_the_later_of_two_moves_wins_and_the_element_stays_one() -> None:
    """[MERGE-LIST-2]"""
    first = device_with(*"abcd")
    second, third = copies(first)
    second.write(lambda edit: move(edit, 0, 3))
    third.wall_ms += 1
    third.write(lambda edit: move(edit, 0, 1))
    assert meet(first, second, third) == ["b", "a", "c", "d"]


def test_a_set_and_a_move_of_one_element_both_hold() -> None:
    """[MERGE-LIST-2] The value and the place are two registers."""
    first = device_with(*"abc")
    second, third = copies(first)
    second.write(lambda edit: move(edit, 0, 2))
    third.write(lambda edit: change(edit, 0, "A"))
    assert meet(first, second, third) == ["b", "c", "A"]


def test_erasing_beats_concurrent_sets_and_moves() -> None:
    """[MERGE-LIST-3] However late they are."""
    first = device_with(*"abc")
    second, third = copies(first)
    first.write(lambda edit: erase(edit, 1))
    for device, act in ((second, lambda e: change(e, 1, "B")), (third, lambda e: move(e, 1, 0))):
        device.wall_ms += 10_000
        device.write(act)
    assert meet(first, second, third) == ["a", "c"]


def test_erasing_touches_nothing_else() -> None:
    """[MERGE-LIST-3] What was inserted beside an erased element stays where it was."""
    first = device_with(*"abc")
    second, third = copies(first)
    for _ in range(3):
        first.write(lambda edit: erase(edit, 0))
    second.write(lambda edit: insert(edit, 2, "x"))
    third.write(lambda edit: insert(edit, 1, "y"))
    assert meet(first, second, third) == ["y", "x"]


def test_what_is_known_of_an_unknown_place_is_kept_and_shows_nothing() -> None:
    """[MERGE-LIST-4] In whatever order it comes."""
    device = device_with("a", "b")
    deltas = list(device.known.values())
    (other,) = copies(device, 1)
    deltas.append(other.write(lambda edit: change(edit, 1, "B")))
    deltas.append(other.write(lambda edit: move(edit, 1, 0)))
    expected = pack(other.state)
    for order in permutations(deltas):
        state = obj.absent()
        for delta in order:
            state = obj.merge(state, delta)
            object_view(state)
        assert pack(state) == expected
    early = obj.merge(clone(deltas[0]), deltas[2])
    assert object_view(early) == {"l": []}


def test_a_greater_incarnation_replaces_the_whole_list() -> None:
    """[MERGE-INC-1]"""
    first = device_with(*"abc")
    (second,) = copies(first, 1)
    first.write(lambda edit: edit.scope().restart(obj.LIST, "l"))
    first.write(lambda edit: insert(edit, 0, "new"))
    second.write(lambda edit: insert(edit, 3, "lost"))
    assert meet(first, second) == ["new"]
    second.write(lambda edit: edit.scope().restart(obj.LIST, "l"))
    assert meet(first, second) == []
    assert second.state[3][obj.LIST]["l"][1] == empty_chunk()


def test_embedded_elements_merge_by_field() -> None:
    """[MERGE-LIST] An element's content is an object's fields."""
    first = Replica(2)
    first.write(lambda edit: edit.create())

    def create(edit: Edit) -> None:
        scope = edit.scope()
        (here,) = scope.list_insert("l", edit.editor(scope, "l"), 0, [None])
        scope.element("l", edit.editor(scope, "l"), here).set("a", 1)

    def inside(name: str) -> Any:
        def act(edit: Edit) -> None:
            scope = edit.scope()
            editor = edit.editor(scope, "l")
            scope.element("l", editor, editor.id_at(0)).set(name, name)

        return act

    first.write(create)
    second, third = copies(first)
    second.write(inside("b"))
    third.write(inside("c"))
    assert meet(first, second, third) == [{"a": 1, "b": "b", "c": "c"}]
    second.write(lambda edit: erase(edit, 0))
    third.write(inside("d"))
    assert meet(first, second, third) == []


def test_a_long_list_is_one_run_however_it_is_typed() -> None:
    """Ten thousand elements appended in one transaction cost their values and little more."""
    device = device_with(*range(10_000))
    chunk = device.state[3][obj.LIST]["l"][1]
    assert len(chunk[0]) == 1
    assert len(pack(chunk)) < len(pack(list(range(10_000)))) + 40


def test_a_chain_of_any_length_is_read_without_recursion() -> None:
    """Each element the right child of the one before, or the left child of it."""
    device = device_with()

    def backwards(edit: Edit) -> None:
        for number in range(2000):
            insert(edit, 0, number)

    device.write(backwards)
    device.write(lambda edit: insert(edit, 1000, *range(2000)))
    assert len(meet(device)) == 4000
