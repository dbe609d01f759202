"""What is loaded of a text that stays open, and what it lacks of what is committed.

Rule 1: what is shown is told by the updates that were loaded: the tail of a state and its parts.
        What a later state adds to them is news; what was loaded is not read again.
Rule 2: a state that lacks something of what is shown (refused, restored, a new life), or has other
        units of its ids, is to be loaded anew. So is one some of which can't be shown yet.
Rule 3: so is what parts the halves of a surrogate pair: native code counts in characters what has
        units of UTF-16, and can't split a pair that it holds already.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from replication.crdt.text import Text
from replication.crdt.union import causal, is_whole, union
from replication.crdt.units import Run, UnitId, Update, joined
from replication.crdt.updates import EMPTY, read_update
from replication.limits import TEXT_CLOCK_MAX

#: Gives the update in the part of that number.
Load: TypeAlias = Callable[[int], bytes]
#: Entries of a text's directory: part number, bytes, CRC-32.
_Entry: TypeAlias = tuple[int, int, int]

_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class LoadedText:
    """What is loaded of one text."""

    __slots__ = ("_following", "_halves", "_parts", "_tail", "_whole")

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        self._parts: dict[_Entry, bytes] = {}
        #: The next part number when they were looked at last.
        self._following = 0
        #: Second halves of surrogate pairs. Rule 3.
        self._halves: set[UnitId] = set()
        #: Whether all that was loaded is shown.
        self._whole = True

    def news(
        self, state: Text, load: Load, known: Mapping[int, int], made: Sequence[Update] = ()
    ) -> Update | None:
        """What of a state is not shown yet, for the caller to show; None by Rules 2 and 3.

        Args:
            known: the clock after the last unit of each client that is shown.
            made: what was edited in what is shown; the state has it, if it was committed.
        """
        tail, entries = _layout(state)
        if tail == self._tail and entries == list(self._parts) and not made:
            return Update()
        parts = {
            entry: self._parts[entry] if entry in self._parts else load(entry[0])
            for entry in entries
        }
        same = _alike(tail, self._tail)
        news = [*(parts[entry] for entry in entries if entry not in self._parts), *tail[same:]]
        gone = [*(self._parts[entry] for entry in self._parts if entry not in parts)]
        gone += self._tail[same:]
        update, old = union(map(read_update, news)), union([*map(read_update, gone), *made])
        if not self._whole or union([update, old]) != update or _rivals(update, old, known):
            return None
        if _splits(update, self._halves):
            return None
        self.made(update.runs)
        following = causal(update, known)
        self._whole = is_whole(following, update, known)
        self._tail, self._parts = tail, parts
        self._following = 0 if len(state) == 2 else state[3]
        return following

    def made(self, units: Mapping[int, list[Run]]) -> None:
        """Units are about to be shown, or are already: they were made in what is shown."""
        for client, runs in units.items():
            for run in runs:
                if isinstance(run[4], str) and not run[4].isascii():
                    for pair in _PAIR.finditer(run[4]):
                        self._halves.add((client, run[0] + pair.start() + 1))

    def shows(self, state: Text, load: Load) -> None:
        """A state is what is shown already: what was loaded, and what was edited there."""
        if len(state) == 4 and state[3] == self._following:  # the parts are the same
            self._tail = state[1]
            return
        self._tail, entries = _layout(state)
        self._following = 0 if len(state) == 2 else state[3]
        parts = self._parts
        self._parts = {
            entry: parts[entry] if entry in parts else load(entry[0]) for entry in entries
        }

    def longer(self, update: bytes) -> None:
        """The state that is shown has an update behind it, which is shown too."""
        self._tail = [*self._tail, update]


def _splits(update: Update, halves: set[UnitId]) -> bool:
    """Whether an update comes between two halves of a pair, or deletes one of them."""
    if not halves:
        return False
    for client, ranges in update.deleted.items():
        if any((client, clock) in halves for bounds in ranges for clock in bounds):
            return True
    for runs in update.runs.values():
        for _, _, left, right, _ in runs:
            if right in halves or (left is not None and (left[0], left[1] + 1) in halves):
                return True
    return False


def _rivals(update: Update, old: Update, known: Mapping[int, int]) -> bool:
    """Whether an update has units of ids that are shown, others than those of ``old``.

    They may be other units, and the lesser ones.
    """
    for client, runs in update.runs.items():
        end = known.get(client, 0)
        held = joined([(run[0], run[0] + run[1]) for run in old.runs.get(client, [])])
        for run in runs:
            last = min(run[0] + run[1], end)
            at = bisect_right(held, (run[0], TEXT_CLOCK_MAX + 1)) - 1
            if run[0] < last and (at < 0 or held[at][1] < last):
                return True
    return False


def _layout(state: Text) -> tuple[list[bytes], list[_Entry]]:
    if len(state) == 2:
        return ([] if state[1] == EMPTY else [state[1]]), []
    return list(state[1]), [tuple(entry) for entry in state[2]]


def _alike(one: list[bytes], other: list[bytes]) -> int:
    """How many updates two tails share at their start."""
    least = min(len(one), len(other))
    return next((at for at in range(least) if one[at] != other[at]), least)
