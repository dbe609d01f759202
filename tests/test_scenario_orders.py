"""In whatever order devices upload, everybody ends the same: random scenarios, real sessions.

Every round of a scenario has transactions of three devices that did not see one another, then a
synchronisation. It is run once for each order of the devices, with their changesets one by one in
turn as well, and every run has to end in one state.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from replication.simulation.runner import run
from replication.simulation.scenario import read

PEERS = (2, 3, 4)
_NAMES = ["p", "q"]
_TARGET = "link:T"
_OBJECT = "link:E"
SCHEMA = {
    "tables": [
        {
            "name": "T",
            "pk": {"name": "_id", "type": "int"},
            "fields": [
                {"name": name, "type": type_name}
                for name, type_name in {
                    "number": "int",
                    "maybe": "int?",
                    "counter": "counter",
                    "mixed": "mixed",
                    "text": "text",
                    "link": _TARGET,
                    "embedded": _OBJECT,
                }.items()
            ]
            + [
                {"name": f"{kind}_{name}", "type": type_name, "collection": kind}
                for kind in ("list", "dict")
                for name, type_name in {
                    "int": "int",
                    "mixed": "mixed",
                    "link": _TARGET,
                    "embedded": _OBJECT,
                }.items()
            ]
            + [{"name": "set_mixed", "type": "mixed", "collection": "set"}],
        },
        {
            "name": "E",
            "embedded": True,
            "fields": [
                {"name": "number", "type": "int"},
                {"name": "counter", "type": "counter"},
                {"name": "strings", "type": "list<string>"},
                {"name": "inner", "type": "link:F"},
            ],
        },
        {"name": "F", "embedded": True, "fields": [{"name": "number", "type": "int"}]},
    ]
}
_LISTS = ["list_int", "list_mixed", "list_link", "list_embedded"]
_DICTS = ["dict_int", "dict_mixed", "dict_link", "dict_embedded"]
_INSIDE: list[list[str | int]] = [
    ["embedded", "number"],
    ["embedded", "inner", "number"],
    ["list_embedded", 0, "number"],
    ["list_embedded", 1, "number"],
    ["dict_embedded", "p", "number"],
    ["mixed", "p"],
    ["mixed", 0],
    ["list_mixed", 0, "p"],
    ["dict_mixed", "p", "q"],
]
_INNER: list[Any] = [["embedded", "strings"], ["mixed"], ["mixed", "p"], ["list_mixed", 0]]


def _scalar(rng: random.Random) -> Any:
    return rng.choice([rng.randint(-2, 2), "a", "b", True, None, 1.5, {"$double": "nan"}])


def _value(rng: random.Random, field: str) -> Any:
    """Something that the field, or an element of it, mostly takes."""
    if field.endswith("link"):
        return {"$link": ["T", rng.randint(1, 2)]}
    if field.endswith("embedded"):
        return {"$embedded": {}}
    if field.endswith("mixed"):
        return rng.choice([_scalar(rng), {"$list": []}, {"$dict": {}}, {"$link": ["T", 1]}])
    return rng.randint(0, 9)


def _made(rng: random.Random) -> dict[str, Any]:
    """One operation; it may be one that can't run where it is tried."""
    index, other = rng.randint(0, 3), rng.randint(0, 3)
    a_list, a_dict, name = rng.choice(_LISTS), rng.choice(_DICTS), rng.choice(_NAMES)
    plain = rng.choice(["number", "mixed", "link", "embedded"])
    choices: list[Callable[[], dict[str, Any]]] = [
        lambda: {"op": "create"},
        lambda: {"op": "create"},
        lambda: {"op": "erase"},
        lambda: {"op": "set", "field": plain, "value": _value(rng, plain)},
        lambda: {"op": "set", "field": "maybe", "value": rng.choice([None, 3])},
        lambda: {"op": "set", "field": "embedded", "value": None},
        lambda: {"op": "set", "field": ["embedded", "inner"], "value": {"$embedded": {}}},
        lambda: {"op": "set_default", "field": "number", "value": index},
        lambda: {"op": "set_default", "field": "mixed", "value": {"$list": []}},
        lambda: {
            "op": "add",
            "field": rng.choice(["number", "maybe", "counter", "mixed", ["embedded", "counter"]]),
            "value": other - 1,
        },
        lambda: {"op": "set", "field": rng.choice(_INSIDE), "value": index},
        lambda: {
            "op": "list_insert",
            "field": a_list,
            "index": index,
            "value": _value(rng, a_list),
        },
        lambda: {"op": "list_insert", "field": rng.choice(_INNER), "index": 0, "value": "z"},
        lambda: {"op": "list_set", "field": "list_int", "index": index, "value": other},
        lambda: {"op": "list_move", "field": a_list, "from": index, "to": other},
        lambda: {"op": "list_erase", "field": a_list, "index": index},
        lambda: {"op": "list_clear", "field": a_list},
        lambda: {"op": "assign", "field": "list_int", "value": [index, other]},
        lambda: {"op": "set_insert", "field": "set_mixed", "value": _scalar(rng)},
        lambda: {"op": "set_erase", "field": "set_mixed", "value": _scalar(rng)},
        lambda: {"op": "set_clear", "field": "set_mixed"},
        lambda: {"op": "dict_set", "field": a_dict, "key": name, "value": _value(rng, a_dict)},
        lambda: {"op": "dict_erase", "field": a_dict, "key": name},
        lambda: {"op": "dict_clear", "field": a_dict},
        lambda: {"op": "text_insert", "field": "text", "index": index, "value": "xé"},
        lambda: {"op": "text_erase", "field": "text", "index": index, "count": 1 + other % 2},
    ]
    return {"table": "T", "pk": rng.randint(1, 2), **rng.choice(choices)()}


def _rounds(seed: int) -> list[list[dict[str, Any]]]:
    """Lines of transactions; devices see one another between two rounds."""
    rng = random.Random(seed)
    return [
        [
            {
                "txn": {
                    "peer": rng.choice(PEERS),
                    "t": 1000 * number + rng.randint(0, 5),
                    "ops": [_made(rng) for _ in range(rng.randint(1, 5))],
                }
            }
            for _ in range(rng.randint(3, 6))
        ]
        for number in range(1, 4)
    ]


def _ended(rounds: list[list[dict[str, Any]]], order: tuple[int, ...], *, singly: bool) -> Any:
    """The state in which a scenario ends if devices upload in that order."""
    lines: list[dict[str, Any]] = [{"scenario": "orders"}, {"schema": SCHEMA}, {"peers": PEERS}]
    for written in rounds:
        lines += written
        if singly:
            lines += [{"upload": {"peer": peer, "count": 1}} for peer in order for _ in range(2)]
        lines.append({"sync": order})
    lines.append({"final_sync": order})
    (scenario,) = read(json.dumps(line) for line in lines)
    outcome = run(scenario)
    assert outcome.converged, outcome.as_json()
    return outcome.state


@pytest.mark.parametrize("seed", range(24))
def test_whatever_the_order_of_uploads_everybody_ends_the_same(seed: int) -> None:
    """`seed` alone says everything: a failing one is named in the test's own name."""
    rounds = _rounds(seed)
    first = _ended(rounds, PEERS, singly=False)
    for order in itertools.permutations(PEERS):
        assert _ended(rounds, order, singly=True) == first, order
        assert _ended(rounds, order, singly=False) == first, order
