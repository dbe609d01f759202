"""Heads that are kept decoded from one changeset to the next.

An upload has many changesets, which mostly write to the same objects. The head of a list of 200
elements takes as long to decode as what one transaction wrote to it takes to judge and merge.

Rule 1: what is kept is good for the bytes that it was kept with and for no others. So nobody has
        to say what became of a plan, and a head that was not written is never taken for one.
Rule 2: it is given away once: whoever takes it may change it.
Rule 3: it is bounded in bytes. Past that all of it is forgotten.
"""

from __future__ import annotations

from typing import Final

from replication.crdt.object import ObjectState
from replication.model.encoding import unpack_trusted
from replication.storage.contract import StoredObject

#: Bytes of heads whose states are kept, which take some ten times as much.
_BYTES_MAX: Final = 2 * 1024 * 1024


class Heads:
    """The states of some objects."""

    __slots__ = ("_bytes", "_held")

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], tuple[bytes, ObjectState]] = {}
        self._bytes = 0

    def take(self, class_name: str, row: StoredObject) -> ObjectState:
        """The state of a row, for the caller to change. Rules 1, 2."""
        held = self._held.pop((class_name, row.row), None)
        if held is not None:
            self._bytes -= len(held[0])
            if held[0] == row.head:
                return held[1]
        state: ObjectState = unpack_trusted(row.head)
        return state

    def keep(self, class_name: str, row: int, head: bytes, state: ObjectState) -> None:
        """What an object may become; its state is not for the caller any more."""
        if self._bytes + len(head) > _BYTES_MAX:
            self._held.clear()
            self._bytes = 0
        self._held[class_name, row] = (head, state)
        self._bytes += len(head)
