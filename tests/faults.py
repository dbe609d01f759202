"""A file system under SQLite that fails where it is told to: the n-th change to the disk.

Rule 1: what changes the disk is counted: writes, syncs and truncations of the database and its
        log, and deletions of files; reads too, where that is asked for. What SQLite keeps in
        shared memory is not on the disk.
Rule 2: a write that fails has written half of its bytes, as a real one may have.
Rule 3: nothing is really synced: these tests end processes, not the power supply.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from replication.storage.sqlite import open_connection

_NUMBERS = itertools.count()


class FaultyDisk(apsw.VFS):
    """SQLite's own file system, with a switch.

    Attributes:
        done: what changed the disk since the last `fail` or `heal`, for example "write store.db".
        failed: how many of these failed.
    """

    def __init__(self) -> None:
        self.name = f"faulty{next(_NUMBERS)}"
        self.done: list[str] = []
        self.failed = 0
        self._at: int | None = None
        self._error: type[apsw.Error] = apsw.IOError
        self._forever = False
        self.reads = False
        super().__init__(self.name, "")

    def fail(
        self,
        at: int | None,
        error: type[apsw.Error],
        *,
        forever: bool = False,
        reads: bool = False,
    ) -> None:
        """From now on let the ``at``-th change (from 0) fail; and all after it, if ``forever``.

        Args:
            at: None to count only.
            reads: count reads, and let them fail, as changes.
        """
        self.heal()
        self._at, self._error, self._forever, self.reads = at, error, forever, reads

    def heal(self) -> None:
        """Let nothing fail any more."""
        self._at = None
        self.reads = False
        self.done = []
        self.failed = 0

    def connect(self, path: str, flags: int) -> apsw.Connection:
        """A connection factory for `SQLiteStore`."""
        return open_connection(path, flags, vfs=self.name)

    def attempt(self, what: str, half: Callable[[], None] = lambda: None) -> None:
        """Count a change; if it is to fail, do ``half`` of it and raise."""
        number = len(self.done)
        self.done.append(what)
        if self._at is not None and (number == self._at or (self._forever and number > self._at)):
            self.failed += 1
            half()
            raise self._error(f"injected into operation {number}, {what}")

    def xOpen(self, name: Any, flags: list[int]) -> _FaultyFile:  # noqa: N802
        return _FaultyFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.attempt(f"delete {_short(filename)}")
        super().xDelete(filename, syncdir)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._name = _short(name.filename() if isinstance(name, apsw.URIFilename) else name)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if self._disk.reads:
            self._disk.attempt(f"read {self._name}")
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        write = super().xWrite
        self._disk.attempt(
            f"write {self._name}", lambda: write(bytes(data)[: len(data) // 2], offset)
        )
        write(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.attempt(f"truncate {self._name}")
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.attempt(f"sync {self._name}")


def check_file(path: Path) -> None:
    """Assert that a database is whole."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    connection.close()


def _short(name: str | None) -> str:
    return "(temporary)" if name is None else name.rpartition("/")[2]
