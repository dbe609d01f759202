"""The store in one SQLite file: the embedded default, for clients and servers.

Rule 1: one process at a time writes, through one connection, holding `<path>.lock`. Readers have a
        connection each, which can't write. Other processes may open the store read-only.
Rule 2: write-ahead log, synchronous FULL: a commit that returned survives the loss of power. Only
        the writer checkpoints: after a commit and apart from it, for what fails there has
        nothing to do with what was committed, and is tried again after the next one.
Rule 3: connections are made by the factory that was passed, so that a test can put a file system
        of its own under them.
Rule 4: after a commit that failed, the log is emptied where that is possible: SQLite may have
        written all of it, and would find it there if this process died before its next commit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

import apsw

from replication.errors import StoreBusyError, StoreError
from replication.query.sql import FUNCTIONS
from replication.storage.contract import ReadHead
from replication.storage.locks import FileLock, WriteLock
from replication.storage.sqlite_catalog import (
    APPLICATION_ID,
    CREATE,
    SCHEMA_VERSION,
    Catalog,
    load_catalog,
)
from replication.storage.sqlite_errors import store_error
from replication.storage.sqlite_order import Orders
from replication.storage.sqlite_reader import SQLiteReader
from replication.storage.sqlite_writer import SQLiteWriter

#: Makes a connection from a path and SQLite's open flags.
Connect: TypeAlias = Callable[[str, int], apsw.Connection]

#: Statements a connection keeps prepared: some per class in use.
_STATEMENTS: Final = 500
#: How long to wait for a program that is no store: a backup, a curious person's shell.
_BUSY_MS: Final = 5000
#: Pages after which a commit copies the log into the file, and the size it is cut back to.
_CHECKPOINT_PAGES: Final = 1000
_LOG_BYTES_KEPT: Final = 16 * 1024 * 1024

_READ: Final = apsw.SQLITE_OPEN_READONLY
_WRITE: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


def open_connection(path: str, flags: int, vfs: str | None = None) -> apsw.Connection:
    """The connection factory, also over another of SQLite's file systems."""
    return apsw.Connection(path, flags=flags, vfs=vfs, statementcachesize=_STATEMENTS)


class Handle:
    """A connection, and the one cursor that statements share which answer at once."""

    __slots__ = ("connection", "execute")

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.execute = connection.cursor().execute

    def close(self) -> None:
        # What fails here is the last checkpoint; the log stays, and is read by who opens next.
        with suppress(apsw.Error):
            self.connection.close(True)


class SQLiteStore:
    """A store in a file; see `contract.Store`. One thread opens and closes it, any may use it.

    Attributes:
        path: where it is, links resolved.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        read_head: ReadHead,
        *,
        read_only: bool = False,
        connect: Connect = open_connection,
        cache_bytes: int = 64 * 1024 * 1024,
        idle_readers_max: int = 4,
    ) -> None:
        """Open the store at ``path``, or make it there.

        Args:
            read_head: gives the field values of a head.
            read_only: take no lock and write nothing: for a look at a store that another process
                may be serving. There must be one.
            cache_bytes: pages the writer keeps in memory; a reader keeps a quarter of it.
            idle_readers_max: connections kept open between read transactions.

        Raises:
            StoreBusyError: another process, or another store in this one, has it for writing.
            StoreError: what is there is not a store of this version, or can't be opened.
        """
        self.path = os.path.realpath(path)
        self.read_head = read_head
        #: What the last transaction to look found; see `catalog_of`.
        self.catalog = Catalog(-1, {}, {}, {}, {})
        #: What the last write transaction left, None where it may have changed something; nobody
        #: else writes, so the next one needs not look.
        self.written_catalog: Catalog | None = None
        self.orders = Orders()
        #: For the writer: the next row of a table of objects, by its name.
        self.next_rows: dict[str, int] = {}
        self._connect = connect
        self._cache_bytes = cache_bytes
        self._idle_readers_max = idle_readers_max
        self._idle: list[Handle] = []
        self._idle_lock = threading.Lock()
        self._write_lock = WriteLock()
        self._closed = False
        #: Pages in the log after the last commit.
        self._log_pages = 0
        self._writer: Handle | None = None
        self._file_lock = None if read_only else FileLock(self.path)
        try:
            if read_only:
                self._check_readable()
            else:
                self._writer = self._open_writer()
        except BaseException:
            if self._file_lock is not None:
                self._file_lock.release()
            raise

    # -- opening and closing ---------------------------------------------------------------
    def _open(self, flags: int, cache_bytes: int) -> Handle:
        connection = None
        try:
            connection = self._connect(self.path, flags)
            connection.set_busy_timeout(_BUSY_MS)
            for name, (function, arguments) in FUNCTIONS.items():
                connection.create_scalar_function(name, function, arguments, deterministic=True)
            handle = Handle(connection)
            for pragma in (
                f"cache_size = {-max(cache_bytes // 1024, 1)}",
                "mmap_size = 0",
                "temp_store = MEMORY",
                "synchronous = FULL",
                f"journal_size_limit = {_LOG_BYTES_KEPT}",
            ):
                handle.execute(f"PRAGMA {pragma}").fetchall()
        except apsw.Error as error:
            failure = store_error(self.path, error, connection)
            if connection is not None:
                connection.close(True)
            raise failure from error
        return handle

    def _open_writer(self) -> Handle:
        handle = self._open(_WRITE, self._cache_bytes)
        handle.connection.set_wal_hook(self._note_log)
        try:
            known = self._recognise(handle)
            if handle.execute("PRAGMA journal_mode = WAL").get != "wal":
                raise StoreError(f"{self.path}: this file system can't hold a write-ahead log")
            if not known:
                self._create(handle)
        except apsw.Error as error:
            failure = store_error(self.path, error, handle.connection)
            handle.close()
            raise failure from error
        except BaseException:
            handle.close()
            raise
        return handle

    # A hook of our own also switches off the checkpoints SQLite makes as a part of a commit.
    def _note_log(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _recognise(self, handle: Handle) -> bool:
        """Whether the file holds a store; False where it holds nothing."""
        application = handle.execute("PRAGMA application_id").get
        version = handle.execute("PRAGMA user_version").get
        if application == APPLICATION_ID and version == SCHEMA_VERSION:
            return True
        if application == APPLICATION_ID:
            raise StoreError(
                f"{self.path} has the format {version}, and this release only knows"
                f" {SCHEMA_VERSION}; open it with the release that made it"
            )
        if application or version or handle.execute("SELECT count(*) FROM sqlite_schema").get:
            raise StoreError(f"{self.path} is a database of something else; choose another path")
        return False

    def _create(self, handle: Handle) -> None:
        handle.execute("BEGIN IMMEDIATE")
        for statement in CREATE:
            handle.execute(statement)
        handle.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        handle.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        handle.execute("COMMIT")

    def _check_readable(self) -> None:
        handle = self._open_reader()
        try:
            if not self._recognise(handle):
                raise StoreError(f"{self.path} is empty: there is no store to read")
        except apsw.Error as error:
            raise store_error(self.path, error, handle.connection) from error
        finally:
            handle.close()

    def _open_reader(self) -> Handle:
        return self._open(_READ, self._cache_bytes // 4)

    def close(self) -> None:
        """Wait for the write transaction, and release everything. Idempotent.

        Read transactions under way go on to their end.
        """
        self._write_lock.acquire()
        try:
            with self._idle_lock:
                self._closed = True
                idle, self._idle = self._idle, []
            for handle in idle:
                handle.close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            if self._file_lock is not None:
                self._file_lock.release()
        finally:
            self._write_lock.release()

    # -- transactions ----------------------------------------------------------------------
    def read(self) -> SQLiteReader:
        return SQLiteReader(self)

    def write(self) -> SQLiteWriter:
        if self._file_lock is None:
            raise StoreBusyError(f"{self.path} is open read-only here; open it for writing")
        return SQLiteWriter(self)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: this store is closed; open it again")

    def take_reader(self) -> Handle:
        """For a read transaction: a connection of its own."""
        with self._idle_lock:
            self._check_open()
            if self._idle:
                return self._idle.pop()
        return self._open_reader()

    def give_back(self, handle: Handle) -> None:
        """After a read transaction: its connection, in good order."""
        with self._idle_lock:
            if not self._closed and len(self._idle) < self._idle_readers_max:
                self._idle.append(handle)
                return
        handle.close()

    def take_writer(self) -> Handle:
        """For a write transaction: the connection, once nobody else writes."""
        self._write_lock.acquire()
        try:
            self._check_open()
        except StoreError:
            self._write_lock.release()
            raise
        assert self._writer is not None
        return self._writer

    def release_writer(self) -> None:
        """After a write transaction: let the next one in."""
        self._write_lock.release()

    def catalog_of(self, handle: Handle) -> Catalog:
        """The tables as the transaction that has just begun on a connection sees them."""
        cookie: int = handle.execute("PRAGMA schema_version").get
        catalog = self.catalog
        if catalog.cookie != cookie:
            self.catalog = catalog = load_catalog(cookie, handle.execute)
        return catalog

    def commit(self, handle: Handle) -> None:
        """Make the write transaction durable.

        Raises:
            StoreError: it was not, and is undone.
        """
        try:
            handle.execute("COMMIT")
        except apsw.Error as error:
            failure = store_error(self.path, error, handle.connection)
            self.roll_back(handle)
            _checkpoint(handle, "TRUNCATE")
            raise failure from error
        if self._log_pages >= _CHECKPOINT_PAGES:
            _checkpoint(handle, "PASSIVE")

    def roll_back(self, handle: Handle) -> None:
        """Undo the write transaction, as far as SQLite has not done so."""
        self.next_rows.clear()
        with suppress(apsw.Error):  # a failure that goes on will be told to the next writer
            if handle.connection.in_transaction:
                handle.execute("ROLLBACK")


def _checkpoint(handle: Handle, mode: str) -> None:
    with suppress(apsw.Error):
        handle.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
