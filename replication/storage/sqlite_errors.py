"""What an error of SQLite means to the caller of a store."""

from __future__ import annotations

import errno

import apsw

from replication.errors import StoreBusyError, StoreCorruptError, StoreError, StoreFullError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def store_error(path: str, error: apsw.Error, connection: apsw.Connection | None) -> StoreError:
    """The StoreError for an error; ``connection`` is where it happened, None while opening."""
    full = isinstance(error, apsw.FullError)
    if isinstance(error, apsw.IOError | apsw.CantOpenError) and connection is not None:
        # A full disk that is only noticed by a sync, or by the memory shared for the WAL.
        full = connection.system_errno in _NO_SPACE
    if full:
        return StoreFullError(f"{path}: the disk is full ({error}); free some space and try again")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreBusyError(
            f"{path}: locked by a program that is no store ({error}); end it and try again"
        )
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreCorruptError(f"{path}: {error}; restore it from a copy or start anew")
    return StoreError(f"{path}: {error}")
