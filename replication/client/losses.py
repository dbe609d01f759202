"""What is lost, and why, as entries of the journal say it. [JOURNAL-3]"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

from replication.crdt.object import ObjectState
from replication.crdt.parts import Parts
from replication.crdt.register import Stamp

#: What a write did, as entries of the journal say it.
SET: Final = "set"
ADDED: Final = "added"
INSERTED: Final = "inserted"
REMOVED: Final = "removed"
MOVED: Final = "moved"
CREATED: Final = "created"
DELETED: Final = "deleted"
TYPED: Final = "typed"
FORMATTED: Final = "formatted"

#: The rules by which writes lose, as entries of the journal name them. [JOURNAL-3]
LATER: Final = "later write"
EXPLICIT: Final = "write over a default"
NO_NUMBER: Final = "no number"
DELETION: Final = "deletion"
REPLACEMENT: Final = "replacement"
CLEARING: Final = "clear or assignment"
ERASURE: Final = "erasure"
FORMAT: Final = "format"
RULES: Final = (LATER, EXPLICIT, NO_NUMBER, DELETION, REPLACEMENT, CLEARING, ERASURE, FORMAT)
#: The way to a part as people go there: names, keys, [ident, sequence] of elements.
Way: TypeAlias = tuple[Any, ...]


class Lost(NamedTuple):
    """One part of a write that was lost.

    Attributes:
        path: names of properties, keys of dictionaries, (ident, sequence) of elements; () for the
            object itself.
        did: what the write did there; see the constants of this module.
        old: what it wrote: a value, a list or a dict; of a move the index, of formats the
            characters and their values by name.
        new: what is there now.
    """

    path: Way
    did: str
    old: Any
    new: Any


class Cause(NamedTuple):
    """Why something was lost: the rule, and the stamp of what won where it has one."""

    rule: str
    stamp: Stamp | None


class Side(NamedTuple):
    """A state of the object, and where its parts are."""

    state: ObjectState
    parts: Parts | None
