"""Scenarios: how many small ones run in a second of one core, everything of them included."""

from __future__ import annotations

import gc
import json
from time import thread_time
from typing import Any

from bench.harness import Figure, figure
from replication.simulation.runner import run
from replication.simulation.scenario import read

_FIELDS = [
    {"name": "n", "type": "int"},
    {"name": "note", "type": "string?"},
    {"name": "tags", "type": "list<string>"},
    {"name": "seen", "type": "set<int>"},
]
_SCHEMA = {"tables": [{"name": "T", "pk": {"name": "_id", "type": "int"}, "fields": _FIELDS}]}
#: What two devices do to one object at the same time, a pair a scenario.
_CONFLICTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"op": "set", "field": "n", "value": 1}, {"op": "set", "field": "n", "value": 2}),
    ({"op": "add", "field": "n", "value": 1}, {"op": "set", "field": "n", "value": 2}),
    ({"op": "set", "field": "note", "value": "x"}, {"op": "erase"}),
    ({"op": "list_insert", "field": "tags", "index": 0, "value": "a"},
     {"op": "list_insert", "field": "tags", "index": 0, "value": "b"}),
    ({"op": "set_insert", "field": "seen", "value": 1},
     {"op": "set_insert", "field": "seen", "value": 1}),
]  # fmt: skip


def scenarios(runs: int, *, quick: bool) -> list[Figure]:
    """Two devices, one object, one conflict: parsed and run to the end."""
    files = [_file(*conflict) for conflict in _CONFLICTS]
    count = 20 if quick else 200
    _run(files)
    gc.freeze()  # as the command does
    rates = []
    for _ in range(runs):
        started = thread_time()
        for _ in range(count // len(files)):
            _run(files)
        rates.append(count / (thread_time() - started))
    gc.unfreeze()
    return [figure("small scenarios", "/s of CPU", rates, target=">= 300/s")]


def _run(files: list[list[str]]) -> None:
    for lines in files:
        for scenario in read(lines):
            assert run(scenario, strict=True).converged


def _file(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    def txn(peer: int, t: int, operation: dict[str, Any]) -> dict[str, Any]:
        return {"txn": {"peer": peer, "t": t, "ops": [{"table": "T", "pk": 1, **operation}]}}

    lines = [
        {"scenario": f"{left['op']} beside {right['op']}"},
        {"schema": _SCHEMA},
        {"peers": [2, 3]},
        txn(2, 1, {"op": "create"}),
        {"sync": "all"},
        txn(2, 2, left),
        txn(3, 2, right),
    ]
    return [json.dumps(line) for line in lines]
