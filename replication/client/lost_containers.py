"""Where a list or dictionary in a mixed value is shown, and why it is no more. [JOURNAL-LOST]"""

from __future__ import annotations

from typing import Any

from replication.client.losses import CLEARING, ERASURE, REPLACEMENT, Cause, Side
from replication.client.lost_writes import stamp_of
from replication.crdt import object as obj
from replication.crdt.container import Home, Slot, collection_of, list_path, referred
from replication.crdt.list import Id
from replication.crdt.lookup import Here
from replication.crdt.parts import Path
from replication.crdt.register import Group, find


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

    def why(self, home: Home, before: Reading) -> Cause:
        """Why what was at a place before is there no more."""
        kind, slot, *step = home
        if not step:
            return self._replacement(find(self.fields.get(obj.REGISTER, []), slot))
        kind = obj.LIST if type(step[0]) is list else obj.DICTIONARY
        was, now = (collection_of(each.fields, kind, slot) for each in (before, self))
        assert was is not None, "something was in it"
        if now is None:
            return Cause(REPLACEMENT, None)
        if now[0] != was[0]:
            return Cause(CLEARING, (now[0][0], now[0][1]))
        if kind == obj.DICTIONARY:
            return self._replacement(find(now[1], step[0]))
        held = self._held(slot, (step[0][0], step[0][1]))
        return Cause(ERASURE, None) if held is None else Cause(REPLACEMENT, (held[0], held[1]))

    def _replacement(self, group: Group | None) -> Cause:
        return Cause(REPLACEMENT, None if group is None else stamp_of(group))


def replaced(steps: list[Home], before: Reading, after: Reading) -> Cause:
    """Why a container shows no more: the outermost place on its way that refers to another one."""
    for home in steps:
        was = referred(before.fields, home, before.element)
        if referred(after.fields, home, after.element) != was:
            return after.why(home, before)
    return Cause(REPLACEMENT, None)
