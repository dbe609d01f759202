"""Who may write: one transaction at a time in a process, one process at a time on a file.

Rule 1: the lock on a file is the kernel's (`flock` on `<path>.lock`), so that the death of a
        process, however sudden, releases it. The file's content only serves the error message.
Rule 2: the lock file is never deleted: a process that waited on a deleted one would hold nothing.
"""

from __future__ import annotations

import fcntl
import os
import threading

from replication.errors import StoreBusyError, StoreError


class WriteLock:
    """Lets one thread at a time into a write transaction, in no particular order."""

    __slots__ = ("_lock", "_owner")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def acquire(self) -> None:
        """Wait for the transaction before.

        Raises:
            StoreBusyError: this thread is in one already, so that it would wait for itself.
        """
        me = threading.get_ident()
        if self._owner == me:
            raise StoreBusyError(
                "this thread is in a write transaction of this store already; use its savepoint()"
            )
        self._lock.acquire()
        self._owner = me

    def release(self) -> None:
        self._owner = None
        self._lock.release()


class FileLock:
    """Holds ``<path>.lock`` from construction to `release`."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: str) -> None:
        """Take the lock, without waiting.

        Raises:
            StoreBusyError: another process, or another store in this one, has it.
            StoreError: the lock file can't be made.
        """
        name = path + ".lock"
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"{path}: can't make its lock file: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StoreBusyError(
                f"{path} is open for writing in process {holder or '(unknown)'};"
                " close it there, or open it read-only here"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"{path}: can't lock {name}: {error}") from error
        self._descriptor: int | None = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk: the lock holds, only its message is poorer
            pass

    def release(self) -> None:
        """Let others in. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
