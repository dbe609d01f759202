"""Files of the operator that may change while the server runs: keys, revocations.

Rule 1: what can't be read or makes no sense is an error at the start. Later it is a warning in the
        log, once for each change, and what was read last goes on to count.
Rule 2: a file is replaced in one step, so that nobody reads half of it. Whoever writes one says so
        by its time, its size or its inode.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import trio

from replication.errors import UsageError
from replication.limits import FILES_CHECK_S

_log = logging.getLogger(__name__)

#: What is said of a file that is not there.
_ABSENT: Final = (0, 0, 0)


class WatchedFile:
    """One file.

    Args:
        path: where it is.
        take: takes in its content. Raises UsageError where it makes no sense; then nothing changes.
        missing: what stands for the content of a file that is not there; None: it has to be.

    Attributes:
        reads: how often it was read and made sense.

    Raises:
        UsageError: it can't be read, or makes no sense.
    """

    def __init__(
        self, path: Path, take: Callable[[bytes], None], *, missing: bytes | None = None
    ) -> None:
        self.path = path
        self._take = take
        self._missing = missing
        self.reads = 0
        self._stamp = _ABSENT
        self._lock = threading.Lock()
        self._read()

    def look(self) -> bool:
        """Read it again if it has changed; whether there is something new. From any thread."""
        with self._lock:
            if self._found() == self._stamp:
                return False
            try:
                self._read()
            except UsageError as error:
                _log.warning("the last content of %s goes on to count: %s", self.path, error)
                return False
            return True

    def _found(self) -> tuple[int, int, int]:
        try:
            status = self.path.stat()
        except OSError:
            return _ABSENT
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def _read(self) -> None:
        # Looked at first: a change in between is found the next time.
        self._stamp = self._found()
        try:
            data = self.path.read_bytes()
        except FileNotFoundError as error:
            if self._missing is None:
                raise UsageError(f"can't read {self.path}: {error.strerror}") from None
            data = self._missing
        except OSError as error:
            raise UsageError(f"can't read {self.path}: {error.strerror}") from None
        self._take(data)
        self.reads += 1


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, in one step. Rule 2."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


async def watch(files: Iterable[WatchedFile], changed: Callable[[], object]) -> None:
    """Look at files again and again, for ever.

    Args:
        changed: called, in a thread, when one was read again, be it here or by whoever looked at
            it meanwhile.
    """
    files = list(files)
    seen = [file.reads for file in files]
    while True:
        await trio.sleep(FILES_CHECK_S)
        for file in files:
            await trio.to_thread.run_sync(file.look)
        now = [file.reads for file in files]
        if now != seen:
            seen = now
            await trio.to_thread.run_sync(changed)
