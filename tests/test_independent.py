"""Two implementations of the pages agree: the product and `independent_merge.py`.

What both make of the vectors is the same, and of random states as well.
"""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import independent_merge as second
import pytest
from independent_messagepack import read, write
from replicas import all_deltas, world
from state_strategies import object_state
from vector_operations import noted

from replication.crdt.incarnation import clone
from replication.crdt.object import absent, merge
from replication.crdt.view import object_view
from replication.model.encoding import pack, unpack

VECTORS = Path(__file__).parent.parent / "spec" / "vectors"
HELD: list[dict[str, Any]] = [
    vector
    for page in ("states", "merge")
    for vector in json.loads((VECTORS / f"{page}.json").read_text(encoding="utf-8"))["vectors"]
]


def of(kind: str) -> pytest.MarkDecorator:
    """The vectors of a kind, as parameters."""
    found = [vector for vector in HELD if vector["name"].split("/")[0] == kind]
    assert found
    return pytest.mark.parametrize("vector", found, ids=[each["name"] for each in found])


def folded(states: list[Any]) -> Any:
    """One after the other into an object nobody has written."""
    together: Any = second.ABSENT
    for state in states:
        together = second.merge(together, state)
    return together


@of("merge")
def test_merges(vector: dict[str, Any]) -> None:
    states = [read(bytes.fromhex(data)) for data in vector["states"]]
    for order in permutations(states):
        together = folded(list(order))
        assert write(together).hex() == vector["merged"]
        shows = noted(unpack(write(second.view(together))))
        assert json.dumps(shows) == json.dumps(vector["shows"])


@of("concurrent")
def test_histories(vector: dict[str, Any]) -> None:
    deltas = [read(bytes.fromhex(each["delta"])) for each in vector["transactions"]]
    for order in permutations(deltas):
        together = folded(list(order))
        assert write(together).hex() == vector["merged"]
    shows = noted(unpack(write(second.view(together))))
    assert json.dumps(shows) == json.dumps(vector["shows"])


@of("accepted")
def test_what_is_well_formed_is_merged_with_nothing(vector: dict[str, Any]) -> None:
    state = read(bytes.fromhex(vector["hex"]))
    second.view(state)
    if state[1] >= state[0]:
        assert write(second.merge(second.ABSENT, state)).hex() == vector["hex"]


@of("spread")
def test_heads_and_parts(vector: dict[str, Any]) -> None:
    parts = {bytes.fromhex(name): bytes.fromhex(data) for name, data in vector["parts"].items()}
    joined = second.whole(read(bytes.fromhex(vector["head"])), parts)
    assert write(joined).hex() == vector["whole"]


def agree(states: list[Any]) -> None:
    """Both merge them to the same bytes and show the same."""
    ours = absent()
    for state in states:
        ours = merge(ours, clone(state))
    theirs = folded([read(pack(state)) for state in states])
    assert write(theirs) == pack(ours)
    assert write(second.view(theirs)) == pack(object_view(ours))


def test_states_that_honest_devices_write() -> None:
    for seed in range(150):
        try:
            agree(all_deltas(world(Random(seed), turns=12)))
        except AssertionError as wrong:
            raise AssertionError(f"Random({seed})") from wrong


def test_states_that_merely_pass_the_gate() -> None:
    for seed in range(1500):
        rng = Random(seed)
        try:
            agree([object_state(rng) for _ in range(3)])
        except AssertionError as wrong:
            raise AssertionError(f"Random({seed})") from wrong
