"""What the benchmarks write: objects of ten fields, two of them indexed."""

from __future__ import annotations

import random
import string
from typing import Any

from replication.crdt.object import ObjectState
from replication.history.changeset import Changeset, ObjectDelta, encode
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import Timestamp

_LETTERS = string.ascii_letters + string.digits
#: Four strings, three ints (two indexed), a double, a bool, a timestamp.
FIELDS = {
    **{f"s{i}": "string" for i in range(4)},
    **{f"i{i}": "int" for i in range(3)},
    "d": "double",
    "b": "bool",
    "t": "timestamp",
}
INDEXED = ("i0", "i1")
SCHEMA = Schema(
    [
        ClassSchema(
            "Item",
            [Property.of(name, type_, queryable=name in INDEXED) for name, type_ in FIELDS.items()],
            key="int",
        )
    ]
)


def document(r: random.Random) -> dict[str, Any]:
    """One object's fields."""
    return {
        **{f"s{i}": "".join(r.choices(_LETTERS, k=19)) for i in range(4)},
        "i0": r.randrange(1000),
        "i1": r.randrange(100_000),
        "i2": r.randrange(1_000_000),
        "d": r.random() * 1000,
        "b": r.random() < 0.5,
        "t": Timestamp(1_700_000_000 + r.randrange(10_000_000)),
    }


def created(fields: dict[str, Any], time: int, origin: int) -> ObjectState:
    """The delta of creating an object."""
    return [1, 1, [], {0: [[time, origin, dict(sorted(fields.items()))]]}]


def edited(fields: dict[str, Any], time: int, origin: int) -> ObjectState:
    """The delta of setting fields of one."""
    return [0, 1, [], {0: [[time, origin, dict(sorted(fields.items()))]]}]


def changesets(count: int, origin: int, time: int, *, per: int, writes: int) -> list[bytes]:
    """Changesets that make ``count`` objects, ``per`` in each, each in ``writes`` transactions.

    Args:
        time: of the first stamp; each changeset has one of its own.
    """
    r = random.Random(count)
    out = []
    names = sorted(FIELDS)
    groups = [names[i::writes] for i in range(writes)]
    for start in range(0, count, per):
        documents = {key: document(r) for key in range(start, min(count, start + per))}
        for number, group in enumerate(groups):
            time += 65536 + r.randrange(1000)
            make = created if number == 0 else edited
            objects = [
                ObjectDelta("Item", key, make({n: d[n] for n in group}, time, origin))
                for key, d in documents.items()
            ]
            out.append(encode(Changeset(time, 0, objects)))
    return out
