"""What `inspect` tells of a namespace: JSON first, from which the lines for people are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from replication.cli.changesets import changeset_tree, refusal_tree
from replication.cli.output import moment
from replication.cli.stores import Snapshot
from replication.clock import EPOCH_UNIX_MS, unix_from_time
from replication.history.changeset import decode_trusted
from replication.model.encoding import unpack_trusted
from replication.server.tables import FILES, REFUSALS, entries, load_file, load_ledger
from replication.storage.contract import int_from_key


def summary(held: Snapshot) -> dict[str, Any]:
    """The latest version, and how many client files there are."""
    ledger = load_ledger(held.reader)
    return {
        "version": ledger.version,
        "client_files": sum(1 for _ in held.reader.records(FILES)),
        "clock": moment(unix_from_time(ledger.clock)) if ledger.clock else None,
        "unconfirmed_refusals": sum(1 for _ in journal(held)),
    }


def history(held: Snapshot, first: int, limit: int | None) -> Iterator[dict[str, Any]]:
    """The log: one entry for each changeset that was integrated."""
    latest = load_ledger(held.reader).version
    last = latest if limit is None else min(latest, first + limit - 1)
    for entry in entries(held.reader, first, last):
        tree = {
            "version": entry.version,
            "origin": entry.origin,
            "client_version": entry.client_version,
            "user": entry.user,
            "received": moment((entry.received_ms + EPOCH_UNIX_MS) / 1000),
            "bytes": len(entry.changeset),
            **changeset_tree(decode_trusted(entry.changeset)),
        }
        if entry.schema:
            tree["schema"] = entry.schema
        yield tree


def cursors(held: Snapshot) -> Iterator[dict[str, Any]]:
    """Every client file this namespace knows."""
    for key, _ in held.reader.records(FILES):
        ident = int_from_key(key)
        file = load_file(held.reader, ident)
        assert file is not None
        yield {
            "ident": ident,
            "user": file.user,
            "client_version": file.client_version,
            "version": file.version,
            "digest": file.digest.hex(),
            "former_idents": file.former,
        }


def journal(held: Snapshot) -> Iterator[dict[str, Any]]:
    """What was refused and its author may not have heard of yet."""
    for key, data in held.reader.records(REFUSALS):
        version, refusals, _ = unpack_trusted(data)
        for refusal in refusals:
            yield {"file": int_from_key(key[:8]), "version": version, **refusal_tree(refusal)}
