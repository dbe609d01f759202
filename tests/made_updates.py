"""Updates of texts, made by hand."""

from __future__ import annotations

from replication.crdt.units import Ranges, UnitId, Update, joined
from replication.crdt.updates import write_update


def typed(client: int, clock: int, left: UnitId | None, right: UnitId | None, text: str) -> bytes:
    """The canonical update of one insertion."""
    return write_update(Update({client: [(clock, len(text), left, right, text)]}))


def erased(client: int, ranges: Ranges) -> bytes:
    """The canonical update of deletions among the units of one client."""
    return write_update(Update({}, {client: joined(ranges)}))
