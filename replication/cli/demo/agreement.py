"""Whether replicas agree, byte for byte, read from their files and nothing else.

Rule 1: replicas are compared by canonical value: what a reader sees of an object, in canonical
        bytes. A device is held against those of the server's objects that its active
        subscriptions match: no object too few, none too many.
Rule 2: where a device sees a whole class, canonical states are compared as well: head and parts,
        with every stamp, id and tombstone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from replication.cli.stores import Snapshot, snapshot
from replication.crdt.view import object_view
from replication.crdt.whole import joined
from replication.model.encoding import key_bytes, pack, unpack_trusted

if TYPE_CHECKING:
    from replication.query import Query

#: (class, canonical bytes of the key) to (canonical value, canonical state).
Contents: TypeAlias = dict[tuple[str, bytes], tuple[bytes, bytes]]

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica, held against the server.

    Attributes:
        states: how many objects were compared with all their metadata.
        differences: what is missing, too much or different; empty where it agrees.
    """

    name: str
    objects: int
    fingerprint: str
    states: int
    pending: int
    differences: list[str]

    @property
    def agrees(self) -> bool:
        """Whether it agrees with the server and has nothing left to send."""
        return not self.differences and not self.pending


def compare(server: Path, devices: dict[str, Path]) -> list[Replica]:
    """The server's own replica first, then each device's."""
    with snapshot(str(server)) as held:
        everything = contents(held)
        out = [Replica("server", len(everything), fingerprint(everything), 0, 0, [])]
        for name, path in devices.items():
            with snapshot(str(path)) as device:
                out.append(_replica(name, device, held, everything))
    return out


def _replica(name: str, device: Snapshot, server: Snapshot, everything: Contents) -> Replica:
    from replication.client.records import PENDING, load_synced

    queries = _active_queries(device)
    wanted = {
        (class_name, key_bytes(row.key)): everything[class_name, key_bytes(row.key)]
        for class_name, query in queries.items()
        for row in server.reader.scan(class_name, query)
    }
    here = contents(device)
    whole = {c for c, query in queries.items() if query.text == "TRUEPREDICATE"}
    differences = list(_differences(here, wanted, whole))
    if load_synced(device.reader).staged_count:
        differences.append("a download is only half here")
    return Replica(
        name,
        len(here),
        fingerprint(here),
        sum(1 for class_name, _ in here if class_name in whole),
        sum(1 for _ in device.reader.records(PENDING)),
        differences[:_SHOWN],
    )


def _active_queries(device: Snapshot) -> dict[str, Query]:
    from replication.client.records import load_synced
    from replication.client.subscriptions import load_sets
    from replication.query import parse

    active = load_synced(device.reader).query_version
    for each in load_sets(device.reader):
        if each.version == active:
            return {name: parse(text) for name, text in each.queries().items()}
    return {}


def _differences(here: Contents, wanted: Contents, whole: set[str]) -> Iterator[str]:
    for name in sorted(here.keys() | wanted.keys()):
        label = f"{name[0]} {name[1].hex()}"
        if name not in here:
            yield f"{label} is missing"
        elif name not in wanted:
            yield f"{label} should not be here"
        elif here[name][0] != wanted[name][0]:
            yield f"{label} shows another value"
        elif name[0] in whole and here[name][1] != wanted[name][1]:
            yield f"{label} has another state behind the same value"


def contents(held: Snapshot) -> Contents:
    """The living objects of a store, in canonical bytes."""
    out: Contents = {}
    for class_name in held.reader.classes():
        for row in held.reader.scan(class_name):
            state = unpack_trusted(held.whole(class_name, row).head)
            parts = held.parts(class_name, row.row)
            value = pack(object_view(state, parts))
            out[class_name, key_bytes(row.key)] = (value, pack(joined(state, parts)))
    return out


def fingerprint(held: Contents) -> str:
    """A short digest of all canonical values."""
    digest = hashlib.sha256()
    for (class_name, key), (value, _) in sorted(held.items()):
        digest.update(class_name.encode() + b"\0" + key + value)
    return digest.hexdigest()[:16]
