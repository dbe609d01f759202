"""The laws of merge: any order, any grouping, no duplicates but counters', nothing raised. [MERGE]

Deltas come from two sources: replicas that edit and exchange at random (`replicas.py`), and states
that merely pass the gate (`state_strategies.py`), which no honest replica would write.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import modelled
from replicas import (
    Edit,
    Replica,
    Stored,
    all_deltas,
    folded,
    grouped_merge,
    wander,
    world,
)
from state_strategies import OBJECTS, object_state, without_counters

from replication.crdt import check
from replication.crdt import list as lists
from replication.crdt.check import check_object, unpack_object
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, merge, merge_all
from replication.crdt.view import object_view, queryable
from replication.model.encoding import pack, unpack_trusted

WORLDS = st.randoms(use_true_random=False).map(lambda rng: (rng, world(rng)))
SEEDS = st.integers(0, 2**32 - 1)


def merged(left: Any, right: Any) -> Any:
    """The merge of two states, neither of which is changed."""
    return merge(clone(left), right)


# -- worlds of honest replicas ---------------------------------------------------------------
@given(WORLDS)
def test_any_order_and_grouping_gives_the_same_bytes(drawn: tuple[Random, list[Replica]]) -> None:
    rng, devices = drawn
    deltas = all_deltas(devices)
    expected = pack(folded(deltas))
    for _ in range(3):
        rng.shuffle(deltas)
        assert pack(folded(deltas)) == expected
        assert pack(grouped_merge(rng, deltas)) == expected


def test_any_order_and_grouping_in_many_larger_worlds() -> None:
    """The same with a generator that is faster than Hypothesis's."""
    for seed in range(300):
        rng = Random(seed)
        deltas = all_deltas(world(rng, replicas=4, turns=20))
        expected = pack(folded(deltas))
        rng.shuffle(deltas)
        shown = object_view(folded(deltas))
        assert pack(shown) == modelled(deltas), f"Random({seed})"
        assert pack(folded(deltas)) == expected, f"Random({seed})"
        assert pack(grouped_merge(rng, deltas)) == expected, f"Random({seed})"
        assert pack(merge_all([clone(delta) for delta in deltas])) == expected, f"Random({seed})"


@given(WORLDS)
def test_replicas_that_know_the_same_are_the_same(drawn: tuple[Random, list[Replica]]) -> None:
    _, devices = drawn
    for _ in range(2):
        for device in devices:
            for other in devices:
                device.read(other)
    first, *rest = [pack(device.state) for device in devices]
    assert all(state == first for state in rest)


@given(WORLDS)
def test_duplicates_change_nothing_but_counters(drawn: tuple[Random, list[Replica]]) -> None:
    """[MERGE-2]"""
    rng, devices = drawn
    deltas = [without_counters(delta) for delta in all_deltas(devices)]
    expected = pack(folded(deltas))
    again = [*deltas, *rng.choices(deltas, k=5)] if deltas else []
    rng.shuffle(again)
    assert pack(folded(again)) == expected


@given(WORLDS)
def test_merge_shares_nothing_with_its_second_argument(
    drawn: tuple[Random, list[Replica]],
) -> None:
    rng, devices = drawn
    deltas = all_deltas(devices)
    before = [pack(delta) for delta in deltas]
    for _ in range(3):  # each result is changed by the merges after it
        rng.shuffle(deltas)
        folded(deltas)
        grouped_merge(rng, deltas)
    assert sorted(map(pack, deltas)) == sorted(before)


@given(WORLDS)
def test_what_is_written_and_merged_passes_the_gate(drawn: tuple[Random, list[Replica]]) -> None:
    rng, devices = drawn
    deltas = all_deltas(devices)
    rng.shuffle(deltas)
    state = absent()
    for delta in deltas:
        assert pack(unpack_object(pack(delta))) == pack(delta)
        state = merge(state, delta)
        assert pack(unpack_object(pack(state), spread=True)) == pack(state)
        object_view(state)
        queryable(state)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_spread_over_parts_is_the_same_state(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """[STATE-WHOLE] in any order of merging, and with no part too many or missing."""
    monkeypatch.setattr(lists, "LIST_PART_ELEMENTS_MAX", size)
    monkeypatch.setattr(check, "LIST_PART_ELEMENTS_MAX", size)
    spread = 0
    for seed in range(100):
        rng = Random(seed)
        deltas = all_deltas(world(rng, turns=20))
        expected = folded(deltas)
        rng.shuffle(deltas)
        stored = Stored()
        for delta in deltas:
            stored.merge(delta)
            stored.whole()
        assert pack(stored.whole()) == pack(expected), f"Random({seed})"
        head = unpack_trusted(stored.head)
        shown = object_view(head, stored.access())
        assert repr(shown) == repr(object_view(expected)), f"Random({seed})"
        spread += len(stored.parts)
    assert spread > 20, "the worlds have long lists"


# -- states that merely pass the gate --------------------------------------------------------
def hold_the_laws(first: Any, second: Any, third: Any) -> None:
    """Commutative, associative, idempotent, total; what is given second stays as it is."""
    before = [pack(state) for state in (first, second, third)]
    for state in (first, second, third):
        assert pack(unpack_object(pack(state))) == pack(state)
    both = merged(first, second)
    assert pack(both) == pack(merged(second, first))
    check_object(both)
    queryable(both)
    assert pack(object_view(both)) == modelled([first, second])
    assert pack(merged(both, third)) == pack(merged(first, merged(second, third)))
    merge(both, third)
    assert pack(object_view(both)) == modelled([first, second, third])
    assert [pack(state) for state in (first, second, third)] == before
    once = without_counters(first)
    assert pack(merged(once, once)) == pack(once)
    assert pack(merged(absent(), first)) == pack(merged(first, absent())) == before[0]


@given(OBJECTS, OBJECTS, OBJECTS)
def test_the_laws_on_any_state(first: Any, second: Any, third: Any) -> None:
    hold_the_laws(first, second, third)


def test_the_laws_on_many_states() -> None:
    for seed in range(700):
        rng = Random(seed)
        try:
            hold_the_laws(object_state(rng), object_state(rng), object_state(rng))
        except Exception as error:
            error.add_note(f"Random({seed})")
            raise


@given(st.lists(OBJECTS, max_size=5), st.sampled_from([2, 3]))
def test_hostile_states_spread_over_parts(deltas: list[Any], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "LIST_PART_ELEMENTS_MAX", size)
        patch.setattr(check, "LIST_PART_ELEMENTS_MAX", size)
        stored = Stored()
        for delta in deltas:
            stored.merge(delta)
        assert pack(stored.whole()) == pack(folded(deltas))


@given(SEEDS, st.lists(OBJECTS, min_size=1, max_size=3))
def test_an_edit_on_any_state_is_the_merge_of_its_delta(seed: int, states: list[Any]) -> None:
    """[EDIT-1] holds even where what is edited is hostile, but for lengths taken back.

    (Content that came before its own create, an object created, deleted and created again in one
    transaction: the view of that has no content, and no server lets such a state come to be.)
    """
    state = folded([*states, [1, 1, [], {}]])
    device = Replica(5, state=state)
    device.clock.receive(2**62)
    device.clock.last = min(device.clock.last, 2**62)

    def act(edit: Edit) -> None:
        if edit.view[0] == edit.view[1]:
            wander(Random(seed), steps=1)(edit)

    device.write(act)
