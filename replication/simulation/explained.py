"""What was lost in a scenario: whose value it was, what beat it, and by which rule.

Rule 1: it is what the journals of the peers say; see `spec/journal.md`.
Rule 2: a write the server refused because its object was gone lost to whoever deleted it: the log
        says who that was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from replication.client.journal import Entry
from replication.client.losses import DELETION, Lost
from replication.clock import ms_from_time
from replication.history.changeset import Changeset, decode_trusted
from replication.model.encoding import key_bytes
from replication.model.notation import to_json
from replication.server import tables
from replication.server.refusals import DELETED
from replication.storage.contract import Reader


def explained(journals: Iterable[tuple[int, Iterable[Entry]]], log: Reader) -> list[dict[str, Any]]:
    """What was lost, by table, key and field.

    Args:
        journals: of each peer, by its number.
        log: the server's store.
    """
    found = [
        _told(peer, entry, part, log)
        for peer, entries in journals
        for entry in entries
        for part in entry.lost
    ]
    return sorted(found, key=lambda each: (each["table"], str(each["pk"]), str(each["field"])))


def _told(peer: int, entry: Entry, part: Lost, log: Reader) -> dict[str, Any]:
    told: dict[str, Any] = {
        "table": entry.class_name,
        "pk": to_json(entry.key),
        "field": [list(step) if type(step) is tuple else step for step in part.path],
        "did": part.did,
        "value": to_json(part.old),
        "peer": peer,
        "t": ms_from_time(entry.time),
    }
    by, at, rule = entry.by, entry.at, entry.rule
    if not rule and entry.reason == DELETED and not entry.path:
        by, at = _deleter(log, peer, entry)
        rule = DELETION
    beaten = {"value": to_json(part.new), "rule": rule or f"refused: {entry.reason}"}
    if by is not None:
        beaten["peer"] = by
    if at is not None:
        beaten["t"] = ms_from_time(at)
    return {**told, "beaten": beaten}


def _deleter(log: Reader, peer: int, entry: Entry) -> tuple[int | None, int | None]:
    """Who ended the life of an object before a changeset came that wrote to it."""
    assert entry.key is not None, "parts are parts of an object"
    name = (entry.class_name, key_bytes(entry.key))
    found: tuple[int | None, int | None] = (None, None)
    for origin, client_version, changeset in _entries(log):
        if (origin, client_version) == (peer, entry.client_version):
            break
        for item in changeset.objects:
            ends = item.delta[0] > 1 and origin != peer
            if ends and (item.class_name, key_bytes(item.key)) == name:
                found = (origin, changeset.time)
    return found


def _entries(log: Reader) -> Iterator[tuple[int, int, Changeset]]:
    last = tables.load_ledger(log).version
    for entry in tables.entries(log, 1, last):
        yield entry.origin, entry.client_version, decode_trusted(entry.changeset)
