"""What integration wrote, handed over to whoever tells sessions of it.

Who integrates a changeset has its deltas decoded, the objects as they were and as they are. Behind
the commit that is matched against all groups, looked through for users, and read by the feeds that
stand where the commit began; none of them reads the log again. Whoever stands elsewhere does.

Rule 1: what is handed over is a stretch of the log as it was committed, or nothing. Each entry
        follows on the one before, by version and salt; so what was rolled back, or follows on
        something that somebody else wrote, is never taken for the log.
Rule 2: it is bounded in bytes. Past that nothing is handed over up to the next commit: the log,
        which has it all, is read.
Rule 3: nobody is to be told where there are no sessions, so nothing is noted.

One thread writes, others may take at the same time.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from replication.limits import SHARED_BYTES_MAX
from replication.server.changes import Changes, Found
from replication.server.lists import Lists
from replication.server.tables import Ledger
from replication.server.touches import Happened, weight_of


class _Noted(NamedTuple):
    """An entry, and the salts of the one before it and its own."""

    before: int
    salt: int
    entry: Happened
    weight: int

    @property
    def version(self) -> int:
        return self.entry.author.version


class Handover:
    """What was written to one data set and not published yet.

    Args:
        lists: long ones, as they were.
        bytes_max: of what is held, roughly. Rule 2.
    """

    def __init__(self, lists: Lists, bytes_max: int = SHARED_BYTES_MAX) -> None:
        self._lists = lists
        self._bytes_max = bytes_max
        self._noted: list[_Noted] = []
        self._bytes = 0
        self._lock = threading.Lock()

    def note(self, before: int, salt: int, entry: Happened) -> None:
        """An entry was written, in a transaction that may still be rolled back.

        Args:
            before: the salt of the version before it.
            salt: its own.
        """
        weight = weight_of(entry)
        with self._lock:
            noted = self._noted
            while noted and noted[-1].version >= entry.author.version:  # was rolled back
                self._bytes -= noted.pop().weight
            if noted and (noted[-1].version, noted[-1].salt) != (entry.author.version - 1, before):
                self._clear()
            if self._bytes + weight > self._bytes_max:
                self._clear()
                return
            self._noted.append(_Noted(before, salt, entry, weight))
            self._bytes += weight

    def take(self, after: int, salt: int, ledger: Ledger) -> Changes | None:
        """What happened after a version up to that of a ledger; None where that is not known.

        It is not held any more, nor is what came before.

        Args:
            salt: that of the version.
            ledger: as it was committed.
        """
        with self._lock:
            count = sum(item.version <= ledger.version for item in self._noted)
            taken, self._noted = self._noted[:count], self._noted[count:]
            self._bytes -= sum(item.weight for item in taken)
        taken = [item for item in taken if item.version > after]
        follows = taken and (taken[0].version, taken[0].before) == (after + 1, salt)
        if not follows or (taken[-1].version, taken[-1].salt) != (ledger.version, ledger.salt):
            return None
        changes, found = Changes(self._lists), Found()
        for item in taken:
            changes.add(item.entry, item.weight, found)
        return changes

    def _clear(self) -> None:
        self._noted.clear()
        self._bytes = 0
