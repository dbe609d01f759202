"""Random states that pass the gate, however little sense they make.

Few stamps, ids and names, so that two states meet: equal stamps with different values, two records
for one place, places that are their own ancestors, moves to nowhere, contradicting kinds.

Everything is drawn from a `Random`: a seeded one where there should be many, Hypothesis's own
(`OBJECTS`) where a failure should be shrunk.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st

from replication.crdt import object as obj
from replication.crdt.container import Home, home_in
from replication.crdt.incarnation import clone
from replication.crdt.list import RIGHT, ROOT, Elements, Id, contract
from replication.crdt.object import Fields, ObjectState
from replication.crdt.object import container_kind as kind_of
from replication.crdt.register import Groups, Order, Stamp, default, explicit, grouped
from replication.limits import IDENT_MAX, SEQUENCE_MAX, TIME_MAX
from replication.model.encoding import pack
from replication.model.values import ERASED, Based, Container, Float32, Link

NAMES = ["a", "b", "é"]
PLAIN: list[Any] = [
    None, True, 0, 1, 1.0, -0.0, float("nan"), Float32(1), "", "x", b"x", Link("Book", 1),
]  # fmt: skip
VALUES = [*PLAIN, Container(4, 1, 3), Container(3, 1, 1), Container(4, 0, 0)]
FIELD_VALUES = [*VALUES, Based(1, 5), Based("x", -1), Based(Link("Book", 1), 2**63 - 1)]
CONTAINERS = [
    *(pack([kind, 1, sequence]) for kind in (3, 4) for sequence in (1, 2, 3)),
    *(pack([kind, "a", *seen]) for kind in (3, 4) for seen in ((0, 0), (1, 0), (2, 1))),
]


def stamp(rng: Random) -> Stamp:
    return (rng.choice([1, 2, 3, 3, TIME_MAX]), rng.choice([0, 1, 2, IDENT_MAX]))


def id_(rng: Random) -> Id:
    if rng.random() < 0.05:
        return (IDENT_MAX, SEQUENCE_MAX)
    return (rng.randint(0, 2), rng.randint(1, 6))


def incarnation(rng: Random) -> list[int]:
    return [] if rng.random() < 0.6 else [*stamp(rng), *id_(rng)]


def order(rng: Random) -> Order:
    own, seen = stamp(rng), stamp(rng)
    if rng.random() < 0.6:
        return explicit(own)
    return default(own, seen if seen[0] < own[0] else (0, 0))


def groups(
    rng: Random, names: list[Any], values: list[Any], draw: Callable[[Random], Order] = order
) -> Groups:
    chosen = rng.sample(names, rng.randint(0, len(names)))
    return grouped({name: (draw(rng), rng.choice(values)) for name in chosen})


def explicit_order(rng: Random) -> Order:
    return explicit(stamp(rng))


def elements(rng: Random, depth: int = 0) -> Elements:
    """What can be known of a list: trees, cycles and loose ends."""
    out = Elements()
    for _ in range(rng.randint(0, 8)):
        parent = (ROOT, RIGHT) if rng.random() < 0.3 else (id_(rng), rng.randint(0, 1))
        here, born = id_(rng), stamp(rng)
        out.places[here] = (*parent, *born)
        if rng.random() < 0.7:
            out.values[here] = (*born, rng.choice(VALUES))
    for _ in range(rng.randint(0, 3)):
        out.values[id_(rng)] = (*stamp(rng), rng.choice(VALUES))
    for _ in range(rng.randint(0, 2)):
        out.moves[id_(rng)] = (*stamp(rng), id_(rng))
    if depth and rng.random() < 0.5:
        out.contents[id_(rng)] = fields(rng, depth - 1)
    for _ in range(rng.randint(0, 2)):
        here = id_(rng)
        out.erased.add(here)
        for known in (out.values, out.moves, out.contents):
            known.pop(here, None)
    return out


def home(rng: Random, name: bytes) -> Home:
    """Where a container may stand: anywhere, itself included."""
    if rng.random() < 0.2:
        return []
    if name[2] == 0xA1:  # of a default: its own property
        return [obj.REGISTER, "a"]
    slot: Any = rng.choice([*CONTAINERS, "a"])
    if isinstance(slot, bytes):
        kind = kind_of(slot)
    elif rng.random() < 0.6:
        return [obj.REGISTER, rng.choice(NAMES)]
    else:
        kind = rng.choice([3, 4])
    return home_in(slot, id_(rng) if kind == obj.LIST else rng.choice(NAMES))


def fields(rng: Random, depth: int) -> Fields:
    """The fields of an object."""

    def some(make: Callable[[], Any]) -> dict[str, Any]:
        return {name: make() for name in sorted(rng.sample(NAMES, rng.choice([0, 0, 1, 2])))}

    def dictionary() -> list[Any]:
        embedded = some(lambda: object_state(rng, depth - 1)) if depth else {}
        values = [*VALUES, ERASED]
        return [incarnation(rng), groups(rng, NAMES, values, explicit_order), embedded]

    def containers() -> dict[bytes, Any]:
        out = {}
        for name in sorted(rng.sample(CONTAINERS, rng.choice([0, 0, 1, 3, 6]))):
            of_list = kind_of(name) == obj.LIST
            make = lists if of_list else dictionary
            out[name] = [home(rng, name), make()]
        return out

    def lists() -> list[Any]:
        return [incarnation(rng), contract(elements(rng, depth))]

    many = rng.random() < 0.1
    out: Fields = {
        obj.REGISTER: groups(rng, [*NAMES, *map(str, range(15 if many else 3))], FIELD_VALUES),
        obj.COUNTER: some(lambda: rng.choice([1, -1, 2**63 - 1, -(2**63)])),
        obj.SET: some(
            lambda: [
                incarnation(rng),
                groups(rng, list(map(pack, PLAIN[:5])), [True, False], explicit_order),
            ]
        ),
        obj.DICTIONARY: some(dictionary),
        obj.LIST: some(lists),
        obj.EMBEDDED: some(lambda: object_state(rng, depth - 1)) if depth else {},
        obj.CONTAINER: containers(),
    }
    return {kind: held for kind, held in out.items() if held}


def object_state(rng: Random, depth: int = 2) -> ObjectState:
    """The state of an object, top-level or embedded."""
    length, at = rng.randint(0, 3), rng.choice([0, 1, 1, 3])
    if at == 0 or at < length:
        return [length, 0, [], {}]
    return [length, at, incarnation(rng), fields(rng, depth)]


#: For Hypothesis.
OBJECTS = st.randoms(use_true_random=False).map(object_state)


def without_counters(state: Any) -> Any:
    """A copy of an object state with no counter in it, at any depth: what is idempotent."""
    return [*state[:3], _fields_without(state[3])]


def _fields_without(held: Fields) -> Fields:
    out: Fields = {}
    for kind, content in held.items():
        if kind == obj.EMBEDDED:
            out[kind] = {name: without_counters(state) for name, state in content.items()}
        elif kind == obj.DICTIONARY:
            out[kind] = {
                name: [s[0], clone(s[1]), {key: without_counters(v) for key, v in s[2].items()}]
                for name, s in content.items()
            }
        elif kind == obj.CONTAINER:
            out[kind] = {
                name: [at, _fields_without({kind_of(name): {"": held}})[kind_of(name)][""]]
                for name, (at, held) in content.items()
            }
        elif kind == obj.LIST:
            out[kind] = {name: [s[0], _chunk_without(s[1])] for name, s in content.items()}
        elif kind != obj.COUNTER:
            out[kind] = clone(content)
    return out


def _chunk_without(chunk: list[Any]) -> list[Any]:
    contents = [[*entry[:2], _fields_without(entry[2])] for entry in chunk[4]]
    return [*clone(chunk[:4]), contents]
