"""What handles read: one `Entity` for each object that some handle stands for.

Rule 1: outside of a write transaction, and inside one for objects it has not edited, a handle
        reads a `Snapshot`: the object as one read transaction of the store found it, decoded once.
Rule 2: a snapshot is valid until a commit that touched its object bumps the entity's generation.
        The generation is taken before the store is read, so that a commit in between only makes
        the fresh snapshot stale, never a stale one look fresh.
Rule 3: all handles of an object share its entity, which lives as long as one of them does: what
        is kept in memory follows what the app holds, not what the file holds.
Rule 4: ids under a former ident (0, or a copied file's) in paths that an app holds are mapped
        through `renames`, in the order in which they happened.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from replication.client.replica import Change
from replication.crdt import object as obj
from replication.crdt.list import Elements, Id, all_elements
from replication.crdt.object import Fields, ObjectState, absent, is_alive
from replication.crdt.parts import Parts, Path
from replication.crdt.sequence import Sequence
from replication.model.encoding import key_bytes, unpack_trusted
from replication.model.values import Key, Link
from replication.storage.contract import Reader

if TYPE_CHECKING:
    from replication.client.database import Database
    from replication.client.transaction import Transaction

#: Changes in one commit above which every entity is made stale, rather than looking each up.
_MANY: Final = 1000


class Listing(Protocol):
    """A list as a handle reads it: ids of the visible elements, and their values, in order."""

    @property
    def ids(self) -> list[Id]: ...

    def value_at(self, index: int) -> Any:
        """The value of one element; None for an embedded object."""

    def values(self) -> list[Any]:
        """All of them; not to be changed."""


class Source(Protocol):
    """Where a handle reads: a `Snapshot`, or an `ObjectEdit` of the running transaction."""

    def fields(self, path: Path) -> Fields | None:
        """The fields at a path, not to be changed; None where no object is."""

    def listing(self, path: Path, name: str) -> Listing:
        """A list of the fields at a path; empty where there is none."""
