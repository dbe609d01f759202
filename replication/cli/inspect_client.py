"""What `inspect` tells of a client file: JSON first, from which the lines for people are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from replication.cli.changesets import changeset_tree
from replication.cli.journal import entry_tree
from replication.cli.output import moment
from replication.cli.states import state_tree
from replication.cli.stores import Snapshot
from replication.client import records
from replication.client.journal import entries
from replication.client.subscriptions import load_sets
from replication.clock import unix_from_time
from replication.history.changeset import decode_trusted
from replication.model.encoding import key_bytes, unpack_trusted
from replication.model.values import Key
from replication.storage.contract import int_from_key, int_key


def summary(held: Snapshot) -> dict[str, Any]:
    """Ident, cursor, and how much waits to be sent."""
    local, synced = records.load_local(held.reader), records.load_synced(held.reader)
    return {
        "ident": local.ident,
        "cursor": synced.cursor,
        "client_version": local.client_version,
        "unsent": local.client_version - synced.acknowledged,
        "pending": sum(1 for _ in held.reader.records(records.PENDING)),
        "subscriptions": _active(held)["subscriptions"],
        "journal": sum(1 for _ in held.reader.records(records.JOURNAL)),
    }


def _active(held: Snapshot) -> dict[str, Any]:
    sets = list(subscriptions(held))
    return sets[-1] if sets else {"subscriptions": []}


def history(held: Snapshot, first: int, limit: int | None) -> Iterator[dict[str, Any]]:
    """The changesets that this file made and that no download has included yet."""
    acknowledged = records.load_synced(held.reader).acknowledged
    found = held.reader.records(records.PENDING, first=int_key(first), limit=limit)
    for version, data in found:
        changeset = unpack_trusted(data)[0]
        number = int_from_key(version)
        yield {
            "client_version": number,
            "state": "acknowledged" if number <= acknowledged else "pending",
            "bytes": len(changeset),
            **changeset_tree(decode_trusted(changeset)),
        }


def cursors(held: Snapshot) -> list[dict[str, Any]]:
    """Where this file stands in its own history and in the server's."""
    local, synced = records.load_local(held.reader), records.load_synced(held.reader)
    return [
        {
            "ident": local.ident,
            "former_idents": list(local.former),
            "client_version": local.client_version,
            "acknowledged": synced.acknowledged,
            "folded": synced.folded,
            "digest": synced.digest.hex(),
            "cursor": synced.cursor,
            "query_version": synced.query_version,
            "staged_messages": synced.staged_count,
            "clock": moment(unix_from_time(local.clock)) if local.clock else None,
            "clock_skew_ms": local.skew_ms,
        }
    ]


def journal(held: Snapshot) -> Iterator[dict[str, Any]]:
    """What writes of this file lost, and what the server refused of them."""
    for entry in entries(held.reader):
        yield entry_tree(entry)


def subscriptions(held: Snapshot) -> Iterator[dict[str, Any]]:
    """The versions of the subscription set that are still of use."""
    active = records.load_synced(held.reader).query_version
    for item in load_sets(held.reader):
        yield {
            "query_version": item.version,
            "active": item.version == active,
            "state": item.state.name.lower(),
            **({"message": item.message} if item.message else {}),
            "subscriptions": [
                {"class": each.class_name, "query": each.query, "name": each.name}
                for each in item.subscriptions
            ],
        }


def pending_of(held: Snapshot, class_name: str, key: Key) -> dict[str, Any]:
    """What of an object is not synchronised: its synced state, and the deltas on top."""
    base = held.reader.record(records.BASE, records.object_key(class_name, key))
    if base is None:
        return {}
    kept = unpack_trusted(base)
    deltas = [
        {"client_version": int_from_key(version), "delta": state_tree(item.delta)}
        for version, data in held.reader.records(records.PENDING)
        for item in decode_trusted(unpack_trusted(data)[0]).objects
        if item.class_name == class_name and key_bytes(item.key) == key_bytes(key)
    ]
    return {"synced_version": None if kept is None else kept[0], "pending": deltas}
