"""The order of lists: a Fugue tree, read by a naive recursive reference. [MERGE-ORDER]"""

from __future__ import annotations

from itertools import groupby
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicas import Edit, Replica, all_deltas, folded, world
from state_strategies import elements

from replication.crdt import object as obj
from replication.crdt.edit import ListEditor
from replication.crdt.list import LEFT, RIGHT, ROOT, Elements, Id, expand
from replication.crdt.sequence import Sequence, children_of, in_order

ELEMENTS = st.randoms(use_true_random=False).map(elements)


def reference_order(known: Elements) -> list[Id]:
    """Rules 1 and 2, word by word."""

    def children(parent: Id, side: int) -> list[Id]:
        found = [here for here, place in known.places.items() if place[:2] == (parent, side)]
        return sorted(found, key=lambda here: (known.places[here][2:], here))

    def subtree(here: Id) -> list[Id]:
        left = [each for child in children(here, LEFT) for each in subtree(child)]
        right = [each for child in children(here, RIGHT) for each in subtree(child)]
        return [*left, here, *right]

    reached = [each for child in children(ROOT, RIGHT) for each in subtree(child)]
    return [*reached, *sorted(set(known.places) - set(reached))]


def reference(known: Elements) -> list[Id]:
    """Rule 3: the elements that show, in the order of their places."""
    out = []
    for place in reference_order(known):
        standing = [
            here
            for here in known.values
            if here not in known.erased and known.moves.get(here, (0, 0, here))[2] == place
        ]
        out.extend(sorted(standing))
    return out


@given(ELEMENTS)
def test_the_order_is_the_references(known: Elements) -> None:
    """[MERGE-ORDER-1], [MERGE-ORDER-2] and [MERGE-ORDER-3], cycles and loose ends included."""
    assert Sequence(known).visible == reference(known)


def test_the_order_is_the_references_in_edited_lists() -> None:
    """[MERGE-ORDER-1] Lists as replicas make them."""
    for seed in range(150):
        state = folded(all_deltas(world(Random(seed), turns=20)))
        for held in state[3].get(obj.LIST, {}).values():
            known = expand(held[1])
            assert Sequence(known).visible == reference(known), f"Random({seed})"


def test_siblings_stand_by_stamp_and_then_by_id() -> None:
    """[MERGE-ORDER-1]"""
    places = {
        (9, 1): (ROOT, RIGHT, 5, 2),
        (2, 7): (ROOT, RIGHT, 5, 3),
        (2, 8): (ROOT, RIGHT, 5, 3),
        (3, 1): (ROOT, RIGHT, 4, 9),
    }
    known = Elements(places, dict.fromkeys(places, (1, 1, None)))
    assert Sequence(known).visible == [(3, 1), (9, 1), (2, 7), (2, 8)]


def test_places_that_hang_nowhere_come_last_in_id_order() -> None:
    """[MERGE-ORDER-2] A parent that is unknown, and places that are each other's parents."""
    places = {
        (5, 1): (ROOT, RIGHT, 9, 9),
        (2, 2): ((7, 7), RIGHT, 1, 1),
        (2, 1): ((2, 2), LEFT, 1, 1),
        (1, 1): ((1, 2), RIGHT, 1, 1),
        (1, 2): ((1, 1), RIGHT, 1, 1),
    }
    known = Elements(places, dict.fromkeys(places, (1, 1, None)))
    assert Sequence(known).visible == [(5, 1), (1, 1), (1, 2), (2, 1), (2, 2)]


def test_an_element_needs_a_value_and_a_known_place() -> None:
    """[MERGE-ORDER-3]"""
    known = Elements(
        {(2, 1): (ROOT, RIGHT, 1, 2), (2, 2): (ROOT, RIGHT, 1, 2), (2, 5): (ROOT, RIGHT, 1, 2)},
        {(2, 2): (1, 2, "erased"), (2, 3): (1, 2, "nowhere"), (2, 4): (1, 2, "moved")},
        {(2, 4): (1, 2, (2, 5)), (2, 1): (1, 2, (2, 5))},
        {(2, 2)},
    )
    assert Sequence(known).visible == [(2, 4)]


@given(ELEMENTS)
def test_any_state_can_be_edited_further(known: Elements) -> None:
    """Anchors end, even beside places that are each other's parents."""
    sequence = Sequence(known)
    for index in range(len(sequence.visible) + 1):
        parent, side = sequence.anchor(index)
        assert side in (LEFT, RIGHT)
        assert parent == ROOT or parent in known.places


# -- intent ----------------------------------------------------------------------------------
def editor_of(edit: Edit) -> ListEditor:
    return edit.editor(edit.scope(), "l")


def insert(edit: Edit, index: int, *values: Any) -> None:
    edit.scope().list_insert("l", editor_of(edit), index, values)


def shown(device: Replica) -> list[Any]:
    held = device.state[3].get(obj.LIST, {}).get("l")
    known = expand(held[1]) if held else Elements()
    return [known.values[here][2] for here in Sequence(known).visible]


def write_and_model(edit: Edit, rng: Random, model: list[int]) -> None:
    """Up to three operations, on the list and on a Python list."""
    editor, scope = editor_of(edit), edit.scope()
    for _ in range(rng.randint(1, 3)):
        choice = rng.random()
        if choice < 0.6 or not model:
            index, run = rng.randint(0, len(model)), rng.randint(1, 3)
            values = [rng.randrange(2**40) for _ in range(run)]
            insert(edit, index, *values)
            model[index:index] = values
        elif choice < 0.8:
            index = rng.randrange(len(model))
            scope.list_erase("l", editor, index)
            del model[index]
        else:
            index, target = rng.randrange(len(model)), rng.randrange(len(model))
            scope.list_move("l", editor, index, target)
            model.insert(target, model.pop(index))
        assert editor.values() == model


@pytest.mark.parametrize("seed", range(60))
def test_an_edit_lands_where_it_was_made(seed: int) -> None:
    """[EDIT-4] and [MERGE-ORDER-4], erased and moved elements in between."""
    rng, device, model = Random(seed), Replica(2), list[int]()
    device.write(lambda edit: edit.create())
    for _ in range(15):
        device.write(lambda edit: write_and_model(edit, rng, model))
        assert shown(device) == model


@pytest.mark.parametrize("seed", range(60))
def test_an_insert_stays_between_its_neighbours(seed: int) -> None:
    """[MERGE-ORDER-4] Whatever others insert meanwhile."""
    rng = Random(seed)
    base, author, other = Replica(2), Replica(3), Replica(4)
    base.write(lambda edit: edit.create())
    base.write(lambda edit: insert(edit, 0, *range(6)))
    for device in (author, other):
        device.read(base)
    index = rng.randint(1, 5)
    author.write(lambda edit: insert(edit, index, "new"))
    for _ in range(3):
        other.write(lambda edit: insert(edit, rng.randint(0, len(editor_of(edit))), "other"))
    author.read(other)
    order = shown(author)
    assert order.index(index - 1) < order.index("new") < order.index(index)


def writer_of(value: str) -> str:
    return value.split(":")[0]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 4), st.integers(1, 3)), min_size=2, max_size=4)
)
def test_concurrent_runs_do_not_interleave(plans: list[tuple[bool, int, int]]) -> None:
    """[MERGE-ORDER-4] Typed forwards or backwards, in one transaction or several."""
    base = Replica(2)
    base.write(lambda edit: edit.create())
    base.write(lambda edit: insert(edit, 0, "start", "end"))
    writers = []
    for ident, (backwards, transactions, size) in enumerate(plans, 3):
        writer = Replica(ident)
        writer.read(base)
        for number in range(transactions):
            at = 1 if backwards else 1 + number * size
            values = [f"{ident}:{number}.{offset}" for offset in range(size)]
            writer.write(lambda edit, at=at, v=values: insert(edit, at, *v))  # type: ignore[misc]
        writers.append(writer)
    for writer in writers:
        for other in writers:
            writer.read(other)
    orders = [shown(writer) for writer in writers]
    assert all(order == orders[0] for order in orders)
    between = orders[0][1:-1]
    assert orders[0][0] == "start"
    assert orders[0][-1] == "end"
    authors = [author for author, _ in groupby(between, key=writer_of)]
    assert len(authors) == len(set(authors)), "a run was torn apart"
    for ident, (backwards, transactions, size) in enumerate(plans, 3):
        numbers = range(transactions)[::-1] if backwards else range(transactions)
        own = [f"{ident}:{number}.{offset}" for number in numbers for offset in range(size)]
        assert [value for value in between if writer_of(value) == str(ident)] == own


def test_a_run_inserted_into_a_run_does_not_tear_a_third() -> None:
    """[MERGE-ORDER-4] Two devices insert at one gap of a third one's run."""
    base = Replica(2)
    base.write(lambda edit: edit.create())
    base.write(lambda edit: insert(edit, 0, *"abcdef"))
    left, right = Replica(3), Replica(4)
    for device, text in ((left, "12"), (right, "34")):
        device.read(base)
        device.write(lambda edit, text=text: insert(edit, 3, *text))  # type: ignore[misc]
    left.read(right)
    assert "".join(shown(left)) in ("abc1234def", "abc3412def")


def test_what_stands_beside_and_before_in_small_trees() -> None:
    """[MERGE-ORDER-1] Right children of one place in a row, each behind its left ones."""
    a, b, c, d, e, f = ((2, number) for number in (1, 2, 3, 4, 5, 6))
    places = {
        a: (ROOT, RIGHT, 5, 2),
        d: (ROOT, RIGHT, 9, 2),
        b: (a, RIGHT, 6, 2),
        c: (a, RIGHT, 7, 2),
        e: (b, LEFT, 8, 2),
        f: (c, LEFT, 8, 2),
    }
    for size, expected in ((2, [a, d]), (3, [a, b, d]), (4, [a, b, c, d]), (5, [a, e, b, c, d]),
                           (6, [a, e, b, f, c, d])):  # fmt: skip
        held = dict(list(places.items())[:size])
        assert in_order(held, children_of(held)) == expected
