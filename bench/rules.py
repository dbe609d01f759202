"""What rules cost: bootstraps, integration, and a role that changes for a few of many sessions."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Callable
from time import process_time
from typing import Any

from bench.bootstrap import client
from bench.data import FIELDS, SCHEMA, changesets
from bench.fanout import rooms
from bench.harness import Figure, figure, scratch
from bench.live import cpu
from bench.servers import namespace, serving, wall_ms
from replication.clock import time_from_ms
from replication.crdt.edit import Author
from replication.crdt.view import query_values
from replication.history.changeset import ObjectDelta
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.protocol.messages import Bind, Ident, Message, Query
from replication.rules.read import read_rules
from replication.rules.roles import OPEN, Rules
from replication.server.custom_data import CustomData
from replication.server.host import Host
from replication.server.pump import Pump
from replication.server.users import User
from replication.storage.memory import MemoryStore
from replication.storage.sqlite import SQLiteStore


def rules(filters: Any, **shape: Any) -> Rules:
    """Rules of one role that everybody has."""
    role = {"name": "bench", "apply_when": True, "document_filters": filters, **shape}
    return read_rules(json.dumps({"default_roles": [role]}), schema=SCHEMA)


#: All objects match: what is measured is the looking.
_ALL = {"i0": 0}
_RANGES = {"i0": {"$gte": 0}, "i1": {"$gte": 0}}
_SOME = {name: {"read": True, "write": True} for name in sorted(FIELDS)}
#: By name, as `bench.servers` is told.
RULES: dict[str, Rules] = {
    "": OPEN,
    "filters": rules({"read": _ALL, "write": False}, read=True, write=True),
    "filters of two ranges": rules({"read": _RANGES, "write": False}, read=True, write=True),
    "fields": rules(
        {"read": True, "write": False},
        fields={name: {"read": True} for name in sorted(FIELDS)[:7]},
    ),
    "owner and fields": rules({"read": True, "write": {"i0": {"$gte": 0}}}, fields=_SOME),
}


def bootstrap(runs: int, *, quick: bool) -> list[Figure]:
    """100,000 objects into a durable client, under rules and without, in turn."""
    count = 10_000 if quick else 100_000
    targets = {"filters": 1.2, "filters of two ranges": 1.2, "fields": 2}
    took: dict[str, list[float]] = {name: [] for name in ("", *targets)}
    served: dict[str, list[float]] = {name: [] for name in took}
    with scratch() as folder:
        rooms(folder / "server.db", count, 1)
        for run in range(runs):
            for name in took:
                with serving(folder / "server.db", rules=name) as (url, pid):
                    before = cpu(pid)
                    took[name].append(client(folder / f"{run}{name}.db", url, count)[0])
                    served[name].append(cpu(pid) - before)
    out = []
    for name, target in targets.items():
        title = f"bootstrap of {count:,} objects, {name} in rules"
        done = figure(title, "s", took[name], took[""], f"<= {target} x without")
        done.extra["CPU of the server, s"] = sorted(served[name])[runs // 2]
        done.extra["the same without rules, s"] = sorted(served[""])[runs // 2]
        out.append(done)
    return out


def integration(runs: int, *, quick: bool) -> list[Figure]:
    """One-object changesets, an insert and an edit of each object, at most 1,000 a commit."""
    count = 1000 if quick else 5000
    names = ("", "owner and fields")
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            rates[name].append(2 * count / _integrated(RULES[name], count))
    title = "integration under owner and field rules"
    found = figure(title, "changesets/s of CPU", rates[names[1]], rates[""], ">= 0.8 x without")
    return [found]


def _integrated(held: Rules, count: int) -> float:
    """CPU seconds."""
    roles = None if held is OPEN else held.bind({"id": "bench"})
    with scratch() as folder:
        store = SQLiteStore(folder / "server.db", query_values)
        space = namespace(store)
        with store.write() as writer:
            ident, _, _ = space.open_file(writer, "bench", 0, 0)
        start = time_from_ms(wall_ms() - 86_400_000)
        uploads = changesets(count, ident, start, per=1, writes=2)
        gc.collect()
        started = process_time()
        for first in range(0, len(uploads), 1000):
            with store.write() as writer:
                batch = uploads[first : first + 1000]
                done = space.integrate(writer, 1, ident, first + 1, batch, roles)
            assert done.error is None
            assert not any(ack.refusals for ack in done.answers)  # type: ignore[union-attr]
        took = process_time() - started
        store.close()
    return took


def role_change(runs: int, *, quick: bool) -> list[Figure]:
    """What is known of 10 users changes, and with it what they may read; others are connected."""
    del quick
    few, many = [], []
    for _ in range(runs):
        few.append(_changed(10) * 1e3)
        many.append(_changed(1000) * 1e3)
    title = "a role change of 10 of 1,000 connected sessions, against 10 of 10"
    return [figure(title, "ms of CPU", many, few, "costs those 10")]


_TEAMS = Schema(
    [
        ClassSchema("Item", [Property.of("team", "string", queryable=True)], key="int"),
        ClassSchema("Member", [Property.of("team", "string")], key="string"),
    ]
)


class _Team:
    """A server of sessions whose users each see the objects of their team."""

    def __init__(self, sessions: int) -> None:
        held = read_rules(json.dumps({"default_roles": [{
            "name": "member", "apply_when": True, "read": True, "write": True,
            "document_filters": {"read": {"team": "%%user.custom_data.team"}, "write": False},
        }]}))  # fmt: skip
        self.store = MemoryStore(query_values)
        self.host = Host(
            lambda _name: self.store, User, entropy=lambda: random.getrandbits(62),
            wall_ms=wall_ms, schema=lambda _name: _TEAMS, rules=lambda _name: held,
            custom_data=CustomData("Member"),
        )  # fmt: skip
        self.write("Item", "team", {key: f"team {key % 20}" for key in range(1000)})
        self.join({f"user {n}": f"team {n % 20}" for n in range(sessions)})
        self.pumps = [self._connect(f"user {n}") for n in range(sessions)]

    def join(self, teams: dict[str, str]) -> None:
        self.write("Member", "team", teams)

    def write(self, class_name: str, field: str, values: dict[Any, str]) -> None:
        space = self.host.namespace("data")

        def make(author: Author) -> list[ObjectDelta]:
            stamp = author.stamp
            return [
                ObjectDelta(class_name, key, [1, 1, [], {0: [[*stamp, {field: value}]]}])
                for key, value in sorted(values.items())
            ]

        with self.store.write() as writer:
            space.write(writer, make)
        self.host.published("data")

    def _connect(self, user: str) -> Pump:
        pump = Pump(self.host)
        (assign,) = pump.deliver(Bind(1, "data", user, 0, 0))
        pump.deliver(Ident(1, assign.ident, 0, 0, 0, bytes(16), 0, 0, {}))  # type: ignore[union-attr]
        pump.deliver(Query(1, 1, {"Item": "TRUEPREDICATE"}, 0, b""))
        pump.drain()
        return pump

    def drain(self) -> list[Message]:
        return [message for pump in self.pumps for message in pump.drain()]


def _changed(sessions: int) -> float:
    """CPU seconds from the write that moves 10 users to what their sessions are sent."""
    team = _Team(sessions)
    team.drain()
    gc.collect()
    started = process_time()
    team.join({f"user {n}": "team 19" for n in range(10)})
    sent = team.drain()
    took = process_time() - started
    assert len(sent) == 10, f"{len(sent)} sessions were told"
    return took


def all_rules(runs: int, *, quick: bool) -> list[Figure]:
    """All of them."""
    benches: list[Callable[..., list[Figure]]] = [integration, role_change, bootstrap]
    return [item for bench in benches for item in bench(runs, quick=quick)]
