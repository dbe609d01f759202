"""A namespace: one data set, with its log, versions, idents and salts.

Nothing here knows of sessions on a wire: `host` ties the two together. All state is in the store;
a `Namespace` keeps what its feeds share and what version they may go up to.

Rule 1: a client file is known by ident and salt and belongs to one user.
Rule 2: a client whose position does not fit this history (a cursor, a salt, an acknowledged
        version that is not there) has seen another one: DIVERGED. One whose digest differs was
        copied or rolled back: FILE_COPIED. One that ends before what was integrated was rolled
        back, too; but what it holds of that has to be told from what it does not, or it would be
        counted twice. So it is told once it has uploaded all it has.
Rule 3: where a schema is given, it is what is checked against; in development mode clients add to
        it. Without either nothing is checked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

from replication.clock import HybridClock
from replication.crdt.edit import Author
from replication.errors import ErrorCode, SchemaError, SessionError, StoreError
from replication.history.changeset import Changeset, ObjectDelta
from replication.limits import DOWNLOAD_BYTES_TARGET
from replication.model.encoding import pack
from replication.model.schema import Schema
from replication.protocol.messages import Ack, Ident
from replication.rules.roles import Roles
from replication.server import tables
from replication.server.changes import Changes, read_changes
from replication.server.fanout import Fanout, Seat
from replication.server.handover import Handover
from replication.server.integrate import Integrated, Integration, digest_at
from replication.server.lists import Lists
from replication.server.log_index import LogIndex
from replication.server.partitions import Partition, Partitions
from replication.server.queryable import UNCONFIGURED, Queryable, is_column
from replication.server.shared import Shared
from replication.server.tables import SERVER_IDENT, File, Ledger
from replication.server.terms import Terms
from replication.server.types import Types
from replication.storage.contract import Reader, Store, Writer

#: Bytes of changesets that are matched at a time; what is more, everybody reads.
_MATCHED_BYTES_MAX: Final = 2 * DOWNLOAD_BYTES_TARGET


class Opened(NamedTuple):
    """A client file that may go on, and whether it got its ident just now."""

    ident: int
    salt: int
    assigned: bool


class Resumed(NamedTuple):
    """A client file whose position fits."""

    cursor: int
    #: The client version up to which its changesets are integrated.
    acknowledged: int
    #: The client version up to which it goes on; 0 for a file that was not rolled back.
    ends_at: int


class Published(NamedTuple):
    """Everybody may be sent what was committed.

    Attributes:
        woken: whom to wake.
        changes: what it was; None where that is too much, or nobody was to be told.
    """

    woken: list[Seat]
    changes: Changes | None


class Namespace:
    """One data set.

    Args:
        store: where it is kept.
        entropy: returns a random integer, 0 <= n < 2**63.
        wall_ms: the server's clock, in milliseconds since 2015.
        schema: what is checked against, beside what the store knows already.
        development: clients may add classes and properties.
        queryable: the fields that subscriptions may ask for, in place of what the store knows.
        partitions: how the data set is cut, in place of what the store knows.

    Attributes:
        version: the server version up to which everything is durable and may be sent.
        horizon: the last one as of which everything dead is forgotten.
        shared: what feeds share.
        fanout: which sessions hear of what.
        handover: what is written to it, for them.
        log_index: for those who were away.
        lists: long ones, as they were.
        queryable: the fields that subscriptions may ask for.

    Raises:
        SchemaError: the schema contradicts that of the store; see also `set_queryable`.
    """

    def __init__(
        self,
        store: Store,
        *,
        entropy: Callable[[], int],
        wall_ms: Callable[[], int],
        schema: Schema | None = None,
        development: bool = False,
        queryable: Queryable | None = None,
        partitions: Partitions | None = None,
    ) -> None:
        self.store = store
        self.entropy = entropy
        self.development = development
        self.shared = Shared()
        self.fanout = Fanout()
        self.log_index = LogIndex()
        self.lists = Lists(store.read)
        self.handover = Handover(self.lists)
        self._wall_ms = wall_ms
        self._publishing = threading.Lock()
        self._types: tuple[bytes, Types] | None = None
        self.version = self.horizon = self._salt = 0
        self.queryable = UNCONFIGURED
        self.partitions: Partitions | None = None
        with store.write() as writer:
            self._set_up(writer, schema)
            stored = writer.record(tables.META, tables.PARTITIONS)
            if stored is not None:
                self.partitions = Partitions.from_stored(stored)
            if partitions is not None:
                self._store_partitions(writer, partitions)
            stored = writer.record(tables.META, tables.QUERYABLE)
            if stored is not None:
                self.queryable = Queryable.from_stored(stored)
            if queryable is not None:
                self._store_queryable(writer, queryable)
            self.publish(tables.load_ledger(writer))

    # -- schema ----------------------------------------------------------------------------------
    def _set_up(self, writer: Writer, schema: Schema | None) -> None:
        if schema is None and not self.development:
            return
        known = self.types(writer)
        stored = Schema() if known is None else known.schema
        merged, contradictions = stored.merge(schema or Schema())
        if contradictions:
            raise SchemaError(
                "the schema contradicts what this data set holds: "
                + "; ".join(str(item) for item in contradictions)
            )
        if known is None:
            self.store_schema(writer, merged)
        elif merged != stored:
            self._extend(writer, merged)

    def types(self, reader: Reader) -> Types | None:
        """The schema as a transaction sees it; None where nothing is checked."""
        data = reader.record(tables.META, tables.SCHEMA)
        if data is None:
            return None
        held = self._types
        queryable = self.queryable
        if held is None or held[0] != data or held[1].queryable is not queryable:
            held = self._types = (data, Types(Schema.from_stored(data), queryable))
        return held[1]

    def store_schema(self, writer: Writer, schema: Schema) -> None:
        """Write the schema, and make its classes and columns."""
        writer.put_record(tables.META, tables.SCHEMA, pack(schema.to_packed()))
        for item in schema:
            if not item.embedded:
                writer.declare(item.name, item.queryable)

    def set_queryable(self, queryable: Queryable) -> None:
        """From now on these are the fields that subscriptions may ask for; feeds notice.

        Raises:
            SchemaError: there is no schema, or it names a field of a class that can't be asked for.
            StoreError: it could not be stored.
        """
        with self.store.write() as writer:
            self._store_queryable(writer, queryable)

    def queried(self, writer: Writer, names: Mapping[str, Collection[str]]) -> None:
        """In development mode: clients ask for these fields of these classes.

        Raises:
            SchemaError: they are too many.
        """
        queryable = self.queryable
        for class_name, each in names.items():
            queryable = queryable.with_names(class_name, each)
        if queryable is not self.queryable:
            self._store_queryable(writer, queryable)

    def _store_queryable(self, writer: Writer, queryable: Queryable) -> None:
        types = self.types(writer)
        if types is None:
            raise SchemaError("queryable fields are of a schema: give the server one first")
        if self.partitions is not None:
            queryable = replace(queryable, everywhere=queryable.everywhere | {self.partitions.key})
        queryable.check(types.schema)
        for item in types.schema:
            names = [name for name in item.properties if queryable.covers(item.name, name)]
            columns = [name for name in names if is_column(item.properties[name])]
            if not item.embedded and columns:
                writer.declare(item.name, columns)
        writer.put_record(tables.META, tables.QUERYABLE, pack(queryable.to_packed()))
        self.queryable = queryable

    def set_partitions(self, partitions: Partitions) -> None:
        """From now on the data set is cut like that.

        Raises:
            SchemaError: there is no schema, or a class has the key with another type.
            StoreError: it could not be stored.
        """
        with self.store.write() as writer:
            self._store_partitions(writer, partitions)

    def _store_partitions(self, writer: Writer, partitions: Partitions) -> None:
        types = self.types(writer)
        if types is None:
            raise SchemaError("partitions are of a schema: give the server one first")
        missing = partitions.missing(types.schema)
        writer.put_record(tables.META, tables.PARTITIONS, pack(partitions.to_packed()))
        self.partitions = partitions
        if missing.classes:
            self._extend(writer, types.schema.merge(missing)[0])
        if self.queryable.exact:
            self._store_queryable(writer, self.queryable)

    def _extend(self, writer: Writer, merged: Schema) -> None:
        if self.latest(writer):
            # Clients that were here before learn of it from the log.
            self.write(writer, lambda _author: [], schema=merged)
        else:
            self.store_schema(writer, merged)

    def open_partition(self, asked: list[Any] | None) -> Partition | None:
        """The partition that a client asks for, if it asks for one.

        Raises:
            SessionError: BAD_PARTITION.
        """
        partitions = self.partitions
        if asked is not None and partitions is None:
            message = "this data set has no partitions: open it without one"
            raise SessionError(ErrorCode.BAD_PARTITION, message)
        if asked is None and partitions is not None and partitions.served == "partitions":
            message = f"this data set is served by partition: open it with a {partitions.type}"
            raise SessionError(ErrorCode.BAD_PARTITION, message)
        return None if asked is None or partitions is None else partitions.open(asked[0])

    def latest(self, reader: Reader) -> int:
        """The latest server version a transaction sees."""
        return tables.load_ledger(reader).version

    def publish(self, ledger: Ledger) -> Published | None:
        """Up to there all is durable and may be sent; None if it is no news."""
        with self._publishing:
            if ledger.version <= self.version:
                return None
            changes = None
            if len(self.fanout):
                ledger, changes = self._news(ledger)
            woken = self.fanout.publish(changes, ledger.version, ledger.salt)
            # Only now, as who waits for a version has to be told when it is there.
            self.horizon, self._salt, self.version = ledger.horizon, ledger.salt, ledger.version
            return Published(woken, changes)

    def _news(self, ledger: Ledger) -> tuple[Ledger, Changes | None]:
        """What is to be published, and up to where: from the log if it was not handed over."""
        changes = self.handover.take(self.version, self._salt, ledger)
        if changes is not None:
            self._share(self.version, ledger.version, changes)
            return ledger, changes
        with suppress(StoreError), self.store.read() as reader:
            ledger = tables.load_ledger(reader)
            changes = self.changes(reader, self.version, ledger.version, _MATCHED_BYTES_MAX)
        return ledger, changes

    def changes(self, reader: Reader, after: int, last: int, bytes_max: int) -> Changes | None:
        """What happened after a version up to the latest; None if it is more than ``bytes_max``.

        Known where it was published as one stretch, or read by somebody who stood there, too;
        otherwise from the log.

        Args:
            last: the latest version of the transaction.
            bytes_max: of changesets.
        """
        changes = self.shared.changes.get((after, last))
        if changes is None:
            changes = read_changes(reader, after, last, bytes_max, self.lists)
            if changes is not None:
                self._share(after, last, changes)
        return None if changes is None or changes.size > bytes_max else changes

    def _share(self, after: int, last: int, changes: Changes) -> None:
        self.shared.changes.put((after, last), changes, changes.weight)

    # -- client files ----------------------------------------------------------------------------
    def open_file(self, writer: Writer, user: str, ident: int, salt: int) -> Opened:
        """Find a client file, or with ident 0 make one. Rule 1.

        Raises:
            SessionError: UNKNOWN_FILE, USER_MISMATCH.
        """
        if ident == 0:
            ledger = tables.load_ledger(writer)
            ident, salt = ledger.next_ident, self.entropy()
            ledger.next_ident += 1
            tables.store_ledger(writer, ledger)
            tables.store_file(writer, ident, File(salt, user))
            return Opened(ident, salt, assigned=True)
        file = tables.load_file(writer, ident) if ident != SERVER_IDENT else None
        if file is None or file.salt != salt:
            raise SessionError(ErrorCode.UNKNOWN_FILE, f"no client file {ident} with that salt")
        if file.user != user:
            raise SessionError(
                ErrorCode.USER_MISMATCH, f"client file {ident} belongs to another user than {user}"
            )
        return Opened(ident, salt, assigned=False)

    def resume(self, writer: Writer, message: Ident) -> Resumed:
        """Hold a client's position against the history. Rule 2.

        What its IDENT shows it has seen of refusals is forgotten.

        Raises:
            SessionError: DIVERGED, FILE_COPIED, UNKNOWN_FILE.
        """
        self._check_cursor(writer, message)
        ident, client_version = message.ident, message.client_version
        file = self._file(writer, ident)
        if client_version > file.client_version:
            raise SessionError(
                ErrorCode.DIVERGED,
                f"client version {client_version} was acknowledged, but only "
                f"{file.client_version} is here",
            )
        if digest_at(writer, ident, file, client_version) != message.digest:
            raise SessionError(
                ErrorCode.FILE_COPIED,
                f"what was integrated up to client version {client_version} is not what this "
                "file holds: it was copied or rolled back",
            )
        ends_at = 0
        if message.last_version < file.client_version:
            ends_at = message.last_version
            if ends_at <= client_version:
                raise rolled_back(ends_at)
        tables.forget(writer, ident, file, client_version)
        return Resumed(message.cursor, client_version, ends_at)

    def _check_cursor(self, reader: Reader, message: Ident) -> None:
        latest = self.latest(reader)
        if message.cursor > latest:
            raise SessionError(
                ErrorCode.DIVERGED,
                f"the cursor is at server version {message.cursor}, but the latest is {latest}",
            )
        entry = tables.entry_at(reader, message.cursor) if message.cursor else None
        if message.cursor_salt != (0 if entry is None else entry.salt):
            raise SessionError(
                ErrorCode.DIVERGED, f"server version {message.cursor} is not the one it was"
            )

    def _file(self, reader: Reader, ident: int) -> File:
        file = tables.load_file(reader, ident)
        if file is None:
            raise SessionError(ErrorCode.UNKNOWN_FILE, f"there is no client file {ident}")
        return file

    # -- writing ---------------------------------------------------------------------------------
    def integrate(
        self,
        writer: Writer,
        session: int,
        ident: int,
        first: int,
        changesets: list[bytes],
        roles: Roles | None = None,
        terms: Terms | None = None,
    ) -> Integrated:
        """Integrate an upload of a client file; see `integrate.Integration.upload`.

        Args:
            roles: of its user; None: everything may be written.
            terms: of its session; None: none.
        """
        file = self._file(writer, ident)
        integration = Integration(self, writer, self._wall_ms(), roles, terms)
        return integration.upload(session, ident, file, first, changesets)

    def write(
        self,
        writer: Writer,
        make: Callable[[Author], list[ObjectDelta]],
        *,
        schema: Schema | None = None,
        forget: bool = False,
    ) -> Ack:
        """Write as the server itself.

        Args:
            make: returns the deltas, given whose stamp and ids they carry.
            schema: classes and properties to add.
            forget: make its version a horizon; see `forget`.

        Returns:
            The server version, and what was refused.
        """
        file = tables.load_file(writer, SERVER_IDENT) or File(self.entropy(), "")
        ledger = tables.load_ledger(writer)
        time = HybridClock(ledger.clock).tick(self._wall_ms())

        def mint() -> int:
            ledger.sequence += 1
            return ledger.sequence

        objects = make(Author((time, SERVER_IDENT), mint))
        tables.store_ledger(writer, ledger)
        packed = {} if schema is None else schema.to_packed()
        horizon = ledger.version + 1 if forget else 0
        changeset = Changeset(time, ledger.version, objects, schema=packed, horizon=horizon)
        return Integration(self, writer, self._wall_ms()).write(file, changeset)

    def forget(self, writer: Writer) -> int:
        """Forget everything that is dead now; returns the server version of that. [UP-9]

        Deletions are remembered for devices that have not seen them. Those that were away come to
        no harm: they fit what they have pending to what is left, and then upload it.
        """
        return self.write(writer, lambda _author: [], forget=True).version


def rolled_back(ends_at: int) -> SessionError:
    """What a file is told that ends at a client version before what was integrated. Rule 2."""
    return SessionError(
        ErrorCode.FILE_COPIED,
        f"this file ends at client version {ends_at}, but a later one was integrated: it was "
        "rolled back",
    )
