"""Where a list or dictionary in a mixed value is shown, and why it is no more. [JOURNAL-LOST]"""

from __future__ import annotations

from typing import Any

from replication.client.losses import REPLACEMENT, Cause, Side
from replication.client.lost_writes import stamp_of
from replication.crdt import object as obj
from replication.crdt.container import Home, Slot, collection_of, list_path, referred
from replication.crdt.list import Id
from replication.crdt.lookup import Here
from replication.crdt.parts import Path
from replication.crdt.register import Stamp, find


class Reading:
    """The values of one object's fields on one side, read for following containers."""

    def __init__(self, side: Side, fields: obj.Fields, path: Path) -> None:
        self._side = side
        self._path = path
        self.fields = fields

    def _held(self, slot: Slot, here: Id) -> tuple[int, int, Any] | None:
        state = collection_of(self.fields, obj.LIST, slot)
        if state is None:
            return None
        found = Here(state, self._side.parts, list_path(self._path, slot)).about(here)
        return found.values.get(here)

    def element(self, slot: Slot, here: Id) -> Any:
        """The value of an element; None where there is none."""
        held = self._held(slot, here)
        return None if held is None else held[2]

    def stamp(self, home: Home) -> Stamp | None:
        """The stamp of the write that stands at a place."""
        kind, slot = home[:2]
        if kind == obj.REGISTER:
            group = find(self.fields.get(obj.REGISTER, []), slot)
        elif type(home[2]) is list:
            held = self._held(slot, (home[2][0], home[2][1]))
            return None if held is None else (held[0], held[1])
        else:
            state = collection_of(self.fields, obj.DICTIONARY, slot)
            group = None if state is None else find(state[1], home[2])
        return None if group is None else stamp_of(group)


def replaced(steps: list[Home], before: Reading, after: Reading) -> Cause:
    """Why a container shows no more: the outermost place on its way that refers to another one."""
    for home in steps:
        was = referred(before.fields, home, before.element)
        if referred(after.fields, home, after.element) != was:
            return Cause(REPLACEMENT, after.stamp(home))
    return Cause(REPLACEMENT, None)
