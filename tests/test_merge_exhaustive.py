"""Small scope, exhaustively: every triple of operations of a menu, in every order. [MERGE]

One fixture that every replica holds, a menu of concrete operations over all types, one operation
a replica: all ordered triples of the menu by three replicas, each delivered in all six orders.
Each result has the same bytes, and shows what the reference model does (`reference.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import pytest
from campaign_horizons import chance, past_horizon
from merge_menu import NAMES, prepared
from reference import Model, operations
from state_strategies import without_counters

from replication.crdt import document, view
from replication.crdt.check import check_object
from replication.crdt.incarnation import clone
from replication.crdt.object import ObjectState, merge
from replication.crdt.view import object_view
from replication.model.encoding import pack, unpack_trusted

REPLICAS = (3, 4, 5)


@dataclass
class Scope:
    """What all runs start from, made once a process.

    Attributes:
        deltas: by replica and operation; `again` the same without increments, which alone count
            twice where a changeset comes twice; `facts` the same for the model.
        pairs: the bytes after two deltas, by replica and operation of the one that came first.
    """

    base: bytes
    deltas: dict[tuple[int, str], ObjectState]
    again: dict[tuple[int, str], ObjectState]
    facts: dict[Any, list[Any]]
    pairs: dict[tuple[int, str, int, str], bytes]


@pytest.fixture(scope="module", autouse=True)
def _each_text_is_shown_once() -> Iterator[None]:
    """Loading a text takes longer than all else that is shown, and few of them are different."""
    shown: dict[bytes, Any] = {}

    def text_view(state: Any, parts: Any, path: Any) -> Any:
        update = state[1]
        if update not in shown:
            shown[update] = document.text_view(state, parts, path)
        return shown[update]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "text_view", text_view)
        yield


@pytest.fixture(scope="module")
def small() -> Scope:
    state, deltas = prepared()
    facts = {key: operations(delta) for key, delta in deltas.items()}
    facts["base"] = operations(state)
    again = {key: without_counters(delta) for key, delta in deltas.items()}
    base, pairs = pack(state), {}
    for ident, name in deltas:
        one = pack(merge(unpack_trusted(base), deltas[ident, name]))
        for other, another in deltas:
            if other != ident:
                both = merge(unpack_trusted(one), deltas[other, another])
                pairs[ident, name, other, another] = pack(both)
    return Scope(base, deltas, again, facts, pairs)


def modelled(small: Scope, *written: tuple[int, str]) -> bytes:
    """The value the reference model computes from the fixture and some operations."""
    known = [(key, small.facts[key]) for key in ("base", *written)]
    return pack(Model(known).value())


def test_the_menu_covers_every_type() -> None:
    assert len(NAMES) >= 50


def test_every_pair_in_every_order(small: Scope) -> None:
    """All ordered pairs of the menu, at the same time and one later than the other."""
    for (one, first), (other, second) in product(small.deltas, repeat=2):
        if one < other:
            pair = small.pairs[one, first, other, second]
            told = (one, first, other, second)
            assert pair == small.pairs[other, second, one, first], told
            state = unpack_trusted(pair)
            check_object(state)
            shown = object_view(state)
            assert pack(shown) == modelled(small, (one, first), (other, second)), told
            gone = "delete" in (first, second) and "delete and create" not in (first, second)
            assert (shown is None) == gone, told


@pytest.mark.parametrize("first", NAMES)
def test_every_triple_in_every_order(small: Scope, first: str) -> None:
    """[MERGE-1] and [MERGE-2]: six orders of delivery, then one delta once more."""
    for second, third in product(NAMES, repeat=2):
        written = dict(zip(REPLICAS, (first, second, third), strict=True))
        found = set()
        for one, other, last in permutations(REPLICAS):
            before = small.pairs[one, written[one], other, written[other]]
            state = merge(unpack_trusted(before), small.deltas[last, written[last]])
            found.add(pack(state))
        assert len(found) == 1, written
        assert pack(object_view(state)) == modelled(small, *written.items()), written
        merge(state, small.again[3, first])
        assert pack(state) in found, f"{first!r} came twice: {written}"


@pytest.mark.parametrize("first", NAMES)
def test_every_triple_with_a_horizon(small: Scope, first: str) -> None:
    """[FORGET-7] [FORGET-9] [REBASE-1] Forgetting is an operation, too: with every two of the menu,
    in all six orders, the first a second later; and with a third one in an order that chance says.
    """
    for second in NAMES:
        # Also where what was removed and forgotten is later than what comes late.
        one, other, last = 5, 3, 4
        deltas = [[small.deltas[one, first]], [small.deltas[other, second]]]
        both = small.pairs[one, first, other, second]
        states = {(1, 1): both, (0, 0): small.base}
        for point, delta in (((1, 0), deltas[0][0]), ((0, 1), deltas[1][0])):
            states[point] = pack(merge(unpack_trusted(small.base), delta))
        for point in ((1, 0), (0, 1), chance([(0, 0), (1, 1)], second, first)):
            wrong = past_horizon(small.base, states[point], point, deltas)
            assert wrong is None, (wrong, point, first, second)
        if chance([True, True, False], first, second):
            continue
        third = chance(NAMES, second, first)
        behind = chance(list(states), first, second, third)
        deltas.insert(0, [small.deltas[last, third]])
        here = pack(merge(unpack_trusted(states[behind]), deltas[0][0]))
        wrong = past_horizon(small.base, here, (1, *behind), deltas)
        assert wrong is None, (wrong, behind, third, first, second)


def test_every_pair_in_every_grouping(small: Scope) -> None:
    """Deltas merged with one another first are the same delta."""
    for (one, first), (other, second) in product(small.deltas, repeat=2):
        if one != other:
            both = merge(clone(small.deltas[one, first]), small.deltas[other, second])
            state = merge(unpack_trusted(small.base), both)
            told = (one, first, other, second)
            assert pack(state) == small.pairs[one, first, other, second], told


def test_what_was_written_to_different_places_is_all_there(small: Scope) -> None:
    """Operations on different fields do not touch each other, whoever wrote them."""
    apart = [
        "set",
        "add",
        "insert member",
        "put new key",
        "edit at key",
        "edit embedded",
        "append",
        "type",
    ]
    after = unpack_trusted(small.base)
    for number, name in enumerate(apart):
        after = merge(after, small.deltas[3 + number % 3, name])
    assert object_view(after) == {
        "r": 1,
        "n": 8,
        "s": [1, "m"],
        "d": {"k": 0, "k2": 5},
        "m": {"k": {"a": 2}},
        "e": {"a": 2},
        "l": ["a", "b", "c", "d", "x", "y"],
        "o": [{"a": 0}, {"a": 1}],
        "v": {"k": 0, "l": ["a"]},
        "t": "abxycd",
    }
