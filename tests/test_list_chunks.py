"""Shortcuts on chunks against spreading them out: the same answers. [MERGE-LIST]"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from state_strategies import elements

from replication.crdt.incarnation import clone
from replication.crdt.list import (
    Chunk,
    Elements,
    contract,
    expand,
    has_place,
    id_count,
    is_canonical,
    merge_chunk,
    merge_elements,
    merge_list,
    parent_of,
    places_alone,
)
from replication.crdt.parts import Parts
from replication.model.encoding import pack, unpack_trusted

SEEDS = range(40)


def chunk(rng: Random) -> Chunk:
    """Random, and in half of the cases only inserts."""
    found = elements(rng)
    if rng.random() < 0.5:
        found = Elements(found.places, {i: x for i, x in found.values.items() if i in found.places})
        found.values = {
            i: (*found.places[i][2:], x[2]) for i, x in found.values.items()
        }  # each with its place's stamp, so that runs are all there is
    return contract(found)


def distorted(rng: Random, held: Chunk) -> Chunk:
    """A chunk that may not be canonical any more, entries of the right shapes."""
    held = clone(held)
    kind = rng.choice([0, 0, 0, 1, 2, 3, 4])
    items: list[Any] = held[kind]
    action = rng.randrange(4)
    if not items:
        return held
    at = rng.randrange(len(items))
    if action == 0:
        items.insert(rng.randrange(len(items) + 1), clone(items[at]))
    elif action == 1:
        items[at][1] = max(1, items[at][1] + rng.choice([-2, -1, 1, 2]))
    elif action == 2 and kind == 0:
        run = items[at]
        size = len(run[5]) if type(run[5]) is list else run[5]
        if size > 1:
            left, right = (run[5][:1], run[5][1:]) if type(run[5]) is list else (1, size - 1)
            items[at : at + 1] = [[*run[:5], left], [run[0], run[1] + 1, 1, *run[3:5], right]]
        else:
            run[2] = rng.choice([0, 1, [0, 0, 1], [run[0], max(1, run[1] - 1), 1], [1, 3, 0]])
    else:
        items[at], items[0] = items[0], items[at]
    for run in held[0]:  # as the gate sees to before
        if type(run[2]) is int and abs(run[2]) >= run[1]:
            run[2] = 0
    return held


@pytest.mark.parametrize("seed", SEEDS)
def test_a_chunk_is_canonical_if_spreading_it_out_and_back_changes_nothing(seed: int) -> None:
    """[STATE-24] [STATE-25] [STATE-26] [STATE-28]"""
    rng = Random(seed)
    told = {True: 0, False: 0}
    for _ in range(200):
        held = chunk(rng)
        assert is_canonical(held), (seed, held)
        odd = distorted(rng, held)
        expected = pack(contract(expand(clone(odd)))) == pack(odd)
        assert is_canonical(odd) is expected, (seed, odd)
        told[expected] += 1
    assert min(told.values()) > 5, "both answers are tried"


@pytest.mark.parametrize("seed", SEEDS)
def test_merging_chunks_is_merging_their_elements(seed: int) -> None:
    """[MERGE-LIST-1] [MERGE-LIST-2] [MERGE-LIST-3] [MERGE-LIST-4]"""
    rng = Random(seed)
    for _ in range(200):
        left, right = chunk(rng), chunk(rng)
        expected = contract(merge_elements(expand(clone(left)), expand(clone(right))))
        before = pack(right)
        merged = merge_chunk(clone(left), right)
        assert pack(merged) == pack(expected), (seed, left, right)
        assert pack(right) == before, "a delta stays as it is"


@pytest.mark.parametrize("seed", SEEDS)
def test_ids_and_places_of_a_chunk_are_those_of_its_elements(seed: int) -> None:
    rng = Random(seed)
    for _ in range(100):
        held = chunk(rng)
        found = expand(held)
        assert id_count(held) == len(found.ids()), (seed, held)
        for run in held[0]:
            assert parent_of(run) == found.places[run[0], run[1]][0], (seed, run)
        for ident in range(4):
            for sequence in range(9):
                here = (ident, sequence)
                assert has_place(held, here) is (here in found.places), (seed, held, here)
                assert has_place(places_alone(held), here) is (here in found.places)


@pytest.mark.parametrize("seed", range(20))
def test_a_spread_list_merges_what_crosses_the_bounds_of_its_parts(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STATE-33] [STATE-WHOLE]"""
    monkeypatch.setattr("replication.crdt.list.LIST_PART_ELEMENTS_MAX", 3)
    rng = Random(seed)
    for _ in range(60):
        deltas = [chunk(rng) for _ in range(4)]
        whole: Any = [[], [[], [], [], [], []]]
        spread: Any = clone(whole)
        parts = Parts()
        for delta in deltas:
            whole = merge_list(whole, [[], clone(delta)], None, ())
            spread = merge_list(spread, [[], clone(delta)], parts, (4, "l"))
        if len(spread) == 2:
            assert pack(spread) == pack(whole), (seed, deltas)
            continue
        pieces = [unpack_trusted(data) for data in parts.changes().values() if data is not None]
        together = Elements()
        for piece in pieces:
            assert 0 < id_count(piece) <= 3, (seed, deltas)
            assert is_canonical(piece), (seed, piece)
            merge_elements(together, expand(piece))
        assert pack(contract(together)) == pack(whole[1]), (seed, deltas)
