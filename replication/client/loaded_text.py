"""A text in a document that stays loaded, and catches up with what is committed.

Rule 1: what a document shows is told by the updates that were loaded: the tail of a state and its
        parts. What a later state adds to them is taken; what was loaded is not read again.
Rule 2: a state that lacks something of what is shown (refused, restored, a new life) needs another
        document. So does one some of which can't be shown yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from replication.crdt.document import Document
from replication.crdt.text import Text
from replication.crdt.updates import (
    EMPTY,
    causal,
    is_whole,
    read_state,
    read_update,
    union,
    write_update,
)

#: Gives the update in the part of that number.
Load: TypeAlias = Callable[[int], bytes]
#: Entries of a text's directory: part number, bytes, CRC-32.
_Entry: TypeAlias = tuple[int, int, int]


class LoadedText:
    """A text, loaded.

    Attributes:
        document: shows it. What `news` returns is for the caller to apply there.
    """

    __slots__ = ("_parts", "_tail", "_whole", "document")

    def __init__(self, client: int = 0) -> None:
        self.document = Document([], client)
        self._tail: list[bytes] = []
        self._parts: dict[_Entry, bytes] = {}
        #: Whether all that was loaded is shown.
        self._whole = True

    def news(self, state: Text, load: Load) -> bytes | None:
        """What of a state is not shown yet, as an update; None by Rule 2."""
        tail, entries = _layout(state)
        if tail == self._tail and entries == list(self._parts):
            return EMPTY
        parts = {
            entry: self._parts[entry] if entry in self._parts else load(entry[0])
            for entry in entries
        }
        same = _alike(tail, self._tail)
        news = [*(parts[entry] for entry in entries if entry not in self._parts), *tail[same:]]
        gone = [*(self._parts[entry] for entry in self._parts if entry not in parts)]
        gone += self._tail[same:]
        update = union(map(read_update, news))
        if not self._whole or (gone and union([update, *map(read_update, gone)]) != update):
            return None
        known = self.state()
        following = causal(update, known)
        self._whole = is_whole(following, update, known)
        self._tail, self._parts = tail, parts
        return write_update(following)

    def shows(self, state: Text, load: Load) -> None:
        """A state is what the document shows already: it was edited there."""
        self._tail, entries = _layout(state)
        parts = self._parts
        self._parts = {
            entry: parts[entry] if entry in parts else load(entry[0]) for entry in entries
        }

    def state(self) -> dict[int, int]:
        """The clock after the last unit of each client that is shown."""
        return read_state(self.document.doc.get_state())


def _layout(state: Text) -> tuple[list[bytes], list[_Entry]]:
    if len(state) == 2:
        return ([] if state[1] == EMPTY else [state[1]]), []
    return list(state[1]), [tuple(entry) for entry in state[2]]


def _alike(one: list[bytes], other: list[bytes]) -> int:
    """How many updates two tails share at their start."""
    least = min(len(one), len(other))
    return next((at for at in range(least) if one[at] != other[at]), least)
