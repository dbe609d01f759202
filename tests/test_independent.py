"""Two implementations of the pages agree: the product, and `independent_merge.py` with
`independent_forget.py`.

What both make of the vectors is the same, and of random states as well.
"""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import independent_forget as third
import independent_merge as second
import pytest
from independent_messagepack import read, write
from merge_families import FAMILIES
from replicas import Replica, all_deltas, world
from state_strategies import object_state
from vector_operations import noted

from replication.crdt.forget import forget
from replication.crdt.incarnation import clone
from replication.crdt.object import absent, merge
from replication.crdt.rebase import Rebase
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


# -- forgetting (forgetting.md) ----------------------------------------------------------------
FORGETTING: list[dict[str, Any]] = json.loads(
    (VECTORS / "forgetting.json").read_text(encoding="utf-8")
)["vectors"]


@pytest.mark.parametrize("vector", FORGETTING, ids=[each["name"] for each in FORGETTING])
def test_forgetting(vector: dict[str, Any]) -> None:
    """[FORGET] [REBASE]"""
    kind = vector["name"].split("/")[0]
    if kind == "forget":
        state = read(bytes.fromhex(vector["state"]))
        assert write(third.forget(state)).hex() == vector["forgotten"]
        return
    if kind == "rebase":
        before, after = (read(bytes.fromhex(vector[name])) for name in ("before", "after"))
        past = third.Rebase(before, after, held=vector["held"])
        rebased = [past.take(read(bytes.fromhex(delta))) for delta in vector["deltas"]]
        assert [write(delta).hex() for delta in rebased] == vector["rebased"]
        return
    deltas = [read(bytes.fromhex(each["delta"])) for each in vector["transactions"]]
    count = vector["before"]
    state = third.forget(folded(deltas[:count]))
    past = third.Rebase(deltas[0], state, held=True)
    rebased = [past.take(delta) for delta in deltas[count:]]
    assert [write(delta).hex() for delta in rebased] == vector["rebased"]
    for delta in rebased:
        state = second.merge(state, delta)
    assert write(state).hex() == vector["merged"]


@pytest.mark.parametrize("block", range(4))
def test_random_states_forgotten(block: int) -> None:
    """[FORGET] However little sense they make."""
    for seed in range(block * 100, block * 100 + 100):
        state = object_state(Random(seed))
        assert write(third.forget(read(pack(state)))) == pack(forget(state)), f"seed {seed}"


@pytest.mark.parametrize("seed", range(60))
def test_what_was_pending_is_re_based_alike(seed: int) -> None:
    """[REBASE] On what others did meanwhile; every third device does not hold the object."""
    rng = Random(seed)
    author, other = Replica(2), Replica(3)
    family = FAMILIES[rng.choice(["list", "list moves", "list of objects", "mixed"])]
    author.write(family.fill)
    other.read(author)
    before = clone(author.state)
    operations = list(family.operations.values())
    deltas = [author.write(rng.choice(operations)) for _ in range(4)]
    for _ in range(4):
        other.write(rng.choice(operations))
    after, held = forget(clone(other.state)), seed % 3 > 0
    if not held:
        before, after = absent(), absent()
    ours = Rebase(clone(before), clone(after), held=held)
    theirs = third.Rebase(read(pack(before)), read(pack(after)), held=held)
    for delta in deltas:
        assert write(theirs.take(read(pack(delta)))) == pack(ours.take(clone(delta)))
