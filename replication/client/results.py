"""Live results."""

from __future__ import annotations

from typing import Protocol

from replication.client.replica import Change


class LiveResults(Protocol):
    """What a database keeps up to date."""

    def update(self, changes: list[Change]) -> None:
        """A transaction is durable."""
