"""What feeds of one namespace share: stretches of the log, and bodies encoded once for a view.

Rule 1: a stretch is shared by all feeds that stand at its start, a body by those that also have
        the same view and wrote nothing in the stretch.
Rule 3: heads are projected once for each version of an object and set of readable fields.
Rule 2: all are bounded in bytes; the ones made longest ago go first.

Threads may share it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from replication.limits import SHARED_BYTES_MAX
from replication.rules.access import Access
from replication.rules.project import projected_head
from replication.server.changes import Changes
from replication.storage.contract import StoredObject

if TYPE_CHECKING:
    from replication.server.members import Members

V = TypeVar("V")


class Body(NamedTuple):
    """The body of an exact DOWNLOAD for one view, and what else the message says."""

    #: The version and salt it leads up to.
    version: int
    salt: int
    #: Files that wrote in the stretch: they get a body of their own.
    origins: frozenset[int]
    #: How many operations there are.
    operations: int
    size: int
    body: bytes


class _Cache(Generic[V]):
    """Values by key, bounded by the sum of their weights."""

    def __init__(self, weight_max: int) -> None:
        self._held: OrderedDict[Hashable, tuple[int, V]] = OrderedDict()
        self._weight = 0
        self._weight_max = weight_max
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> V | None:
        with self._lock:
            found = self._held.get(key)
        return None if found is None else found[1]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        with self._lock:
            old = self._held.pop(key, None)
            self._weight += weight - (0 if old is None else old[0])
            self._held[key] = (weight, value)
            while self._weight > self._weight_max and len(self._held) > 1:
                _, (gone, _) = self._held.popitem(last=False)
                self._weight -= gone


class Shared:
    """The caches.

    Attributes:
        encoded: how many bodies were encoded so far, shared ones counted once.
    """

    def __init__(self, bytes_max: int = SHARED_BYTES_MAX) -> None:
        # Decoded changes take several times the bytes they are stored in.
        self.changes: _Cache[Changes] = _Cache(bytes_max // 8)
        self.bodies: _Cache[Body] = _Cache(bytes_max // 2)
        self.heads: _Cache[bytes] = _Cache(bytes_max // 2)
        #: The members of views as of a version; see `members`.
        self.members: _Cache[Members] = _Cache(bytes_max // 8)
        self.encoded = 0

    def projected(self, class_name: str, stored: StoredObject, readable: Access) -> bytes:
        """The head of a stored object with the readable fields alone. Rule 3."""
        key = (class_name, stored.row, stored.version, readable)
        head = self.heads.get(key)
        if head is None:
            head = projected_head(stored.head, readable)
            self.heads.put(key, head, len(head) + 100)
        return head


#: What names a body: view, start, end.
BodyKey = tuple[Any, int, int]
