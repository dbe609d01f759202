"""A feed: what one session is sent, from where it stands to the latest version.

Two ways lead there. **Exact**, for a session that is a little behind: one message with the deltas
of others to what it holds, the state of what enters its view, the eviction of what leaves it.
**Staged**, for one that is far behind or changes its view: see `staging`.

Rule 1: an object that was in view before a stretch of the log and is now, or is deleted now: the
        client holds it, and gets the deltas of others. In view now only: its state. In view
        before only: an eviction. [DOWN-1]
Rule 2: a file is not sent its own deltas: its pending ones fold, up to the mark. What it wrote to
        something outside of its view is evicted. An object that none but itself ever wrote to is
        not sent either. [DOWN-2]
Rule 3: stretches that hold nothing for a session are passed over in silence, until it waits for a
        barrier or its cursor falls far behind. One that asks for nothing hears nothing.
Rule 4: a new subscription set is served from where the session stands: what happened under the old
        one takes effect together with the new one. So an object that was written for the new set
        does not go and come back.
Rule 5: a client at version 0 is sent the schema first; later additions come with the log. One that
        leaps past a stretch of the log (Rule 6) is sent the schema in place of its additions.
        [DOWN-13]
Rule 6: for a session that asked for nothing so far, a set is staged from the latest version on,
        whatever its cursor. What its file wrote before goes with the last message, unless the set
        sees it: what was written offline stays to be seen all along. Where that is too much to be
        told at once, the log is read from the cursor on.
Rule 7: before what another file did to an object comes who did it and what they had seen by then,
        so that the receiver can tell who overwrote it unseen. [DOWN-9]
Rule 8: one to whom the log does not tell of the last horizon is told of it. [DOWN-11]

What it asks for is kept in `sets`, exact messages are made in `bodies`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from replication.limits import DOWNLOAD_BYTES_TARGET, DOWNLOAD_ENTRIES_MAX
from replication.model.encoding import key_bytes
from replication.model.values import Key
from replication.protocol.body import EvictOp, ForgetOp, Operation, SchemaOp, encode_operations
from replication.protocol.messages import Download, Ident, Query, QueryState
from replication.rules.sight import EVERYTHING, Sight
from replication.server import tables
from replication.server.bodies import Bodies, nothing
from replication.server.changes import objects_in
from replication.server.fanout import Seat
from replication.server.lists import present
from replication.server.members import NOBODY, Members, members_at
from replication.server.namespace import Namespace
from replication.server.partitions import Partition
from replication.server.policy import FREE, Assigned
from replication.server.sets import Sets
from replication.server.shared import Body
from replication.server.staging import Staging
from replication.server.tables import File, Ledger
from replication.server.types import Types
from replication.server.view import View
from replication.storage.contract import Reader, Writer

#: Objects that one message may name as the file's own.
_OWN_OBJECTS_MAX: Final = 10_000


class Feed:
    """What one session is sent.

    Args:
        namespace: the data set.
        reader: to read the schema.
        message: where the client file stands; it was held against the history.
        mark: the client version up to which its changesets are integrated.
        wake: called, from any thread, when there may be something to look for.
        assigned: what its user may do.
        held: what its user might read where the client file stands.
        partition: the one it was opened with.
        bytes_target: bytes of operations after which a staged message ends.
        entries_max: log entries that one message may cover.

    Attributes:
        sets: what it has asked for.

    Raises:
        QueryError: a query that can't be read.
    """

    def __init__(
        self,
        namespace: Namespace,
        reader: Reader,
        message: Ident,
        mark: int,
        wake: Callable[[], None],
        partition: Partition | None = None,
        *,
        assigned: Assigned = FREE,
        held: Sight = EVERYTHING,
        bytes_target: int = DOWNLOAD_BYTES_TARGET,
        entries_max: int = DOWNLOAD_ENTRIES_MAX,
    ) -> None:
        self._namespace = namespace
        self.sets = Sets(namespace, reader, message, held, assigned, partition)
        self._session = message.session
        self._ident = message.ident
        self._cursor = self._reached = message.cursor
        self._cursor_salt = self._reached_salt = message.cursor_salt
        self._mark = mark
        self._mark_sent = 0
        #: Where its user's roles were looked at first: nobody knows which they were before.
        self._began = 0 if assigned.roles is None else namespace.latest(reader)
        self._bytes_target = bytes_target
        self._entries_max = entries_max
        self._bodies = Bodies(
            namespace, message.ident, bytes_target=bytes_target, entries_max=entries_max
        )
        #: The schema it was sent whole, by this feed. Rule 5.
        self._told: Types | None = None
        self._seat = Seat(message.ident, wake)
        self._staging: Staging | None = None
        if message.position and message.base == self._base and not self._fresh:
            self._staging = self._staged(
                message.base, message.cursor, position=message.position, latest=namespace.version
            )

    def go_by(self, assigned: Assigned) -> None:
        """What its user may do, from now on: what was staged before is begun anew."""
        if self.sets.go_by(assigned):
            self._staging = None

    @property
    def _base(self) -> int:
        """What a staged download is called that begins where the client stands; see `Staging`."""
        return max(self._cursor, self.sets.assigned.since)

    def close(self) -> None:
        """The session is over. Idempotent."""
        self._namespace.fanout.leave(self._seat)

    @property
    def staging(self) -> bool:
        """Whether a download in several messages is under way, or a new set is to be served."""
        return self._staging is not None or self.sets.target is not None

    @property
    def behind(self) -> int:
        """How many log entries have to be read for the next message."""
        known = self._namespace.fanout.knows(self._seat, self._reached)
        return 0 if known else self._namespace.version - self._reached

    @property
    def more(self) -> bool:
        """Whether there may be another message right behind the last one."""
        at_end = self._reached == self._namespace.version and self._seat.view is self.sets.view
        return self.staging or not at_end

    def subscribe(self, writer: Writer, query: Query) -> QueryState | None:
        """Begin to serve a new subscription set, or say why not. Rule 4.

        Raises:
            RemoteProtocolError: a version that is not new, a position nobody gave out.
        """
        refused = self.sets.subscribe(writer, query)
        if refused is not None:
            return refused
        self._staging = None
        latest = self._namespace.version
        fits = query.base == self._base
        if self._fresh:
            fits = self.sets.assigned.since <= query.base <= latest
        if query.position and fits:
            self._staging = self._staged(
                query.base, self._cursor, position=query.position, latest=latest
            )
        return None

    @property
    def _fresh(self) -> bool:
        """Whether the client holds nothing but its own: Rule 6."""
        return self.sets.view.is_empty

    def _staged(self, base: int, start: int, *, position: bytes = b"", latest: int = 0) -> Staging:
        return Staging(
            base,
            self.sets.view,
            self.sets.wanted,
            self._ident,
            self._namespace.shared,
            start=start,
            since=self.sets.assigned.since,
            position=position,
            latest=latest,
        )

    def next(self, acknowledged: int, *, flush: bool = False) -> Download | None:
        """The next message, or None if there is nothing to send now.

        Args:
            acknowledged: the client version up to which ACKs were sent: what covers more has to
                wait for its ACK.
            flush: don't pass over in silence what holds nothing for this session.
        """
        sets, namespace = self.sets, self._namespace
        if sets.types is not None and sets.types.queryable is not namespace.queryable:
            with namespace.store.read() as reader:
                self._reread_views(reader)
        sets.look_at_refused()
        namespace.fanout.sit(self._seat, sets.wanted)
        if sets.withdrawn and sets.target is None:
            return None
        if not self.staging:
            if self._fresh and not flush and namespace.horizon <= self._cursor:
                return None
            if self._reached == namespace.version:
                behind = flush and self._reached > self._cursor
                return self._exact(nothing(self._reached, self._reached_salt)) if behind else None
            # At version 0 nothing could tell this message from one of a staged download.
            known = self._cursor > 0 and not self._fresh
            news = namespace.fanout.since(self._seat, self._reached) if known else None
            body = None if news is None else self._bodies.of_news(sets.view, news, self._since)
            if news is not None and body is not None:
                if news.client_version > acknowledged:
                    return None
                return self._unless_silent(body, max(self._mark, news.client_version), flush=flush)
        with namespace.store.read() as reader:
            return self._read(reader, acknowledged, flush=flush)

    def _read(self, reader: Reader, acknowledged: int, *, flush: bool) -> Download | None:
        ledger = tables.load_ledger(reader)
        file = tables.load_file(reader, self._ident)
        assert file is not None, "its session was resumed"
        if file.client_version > acknowledged:
            return None
        self._reread_views(reader)
        if not self.staging:
            body = self._body(reader, ledger, file)
            if body is not None:
                return self._unless_silent(body, file.client_version, flush=flush)
        if self._staging is None:
            leap = self._fresh and self._own(reader, file, ledger.version) is not None
            begin = (ledger.version, ledger.version) if leap else (self._base, self._cursor)
            self._staging = self._staged(*begin)
        return self._stage(reader, ledger, self._staging, file)

    def _reread_views(self, reader: Reader) -> None:
        """The schema may have grown: views are read as it says now."""
        sets, target = self.sets, self.sets.target
        # Its seat follows at the next look; see `more`.
        if not sets.reread(reader):
            return
        if target is not None and sets.target is None:  # it can't be served any more
            self._staging = None
        elif self._staging is not None:
            self._staging.reread(sets.view, sets.wanted)

    # -- exact -----------------------------------------------------------------------------------
    @property
    def _since(self) -> int:
        """The version from which on its user might read what the view shows; see `exact`."""
        return max(self._began, self.sets.assigned.since)

    def _body(self, reader: Reader, ledger: Ledger, file: File) -> Body | None:
        """What an exact message up to the latest version holds; None if it takes several."""
        view = self.sets.view
        if self._fresh:
            own = self._own(reader, file, ledger.version)
            if own is None:
                return None
            first = [*self._horizon(ledger), *self._first_schema()]
            operations = [*first, *self._letting_go(reader, own, view, NOBODY)]
            origins = frozenset((self._ident,))
            return self._bodies.encoded(ledger.version, ledger.salt, operations, origins)
        if not self._cursor:  # see `next`
            return None
        return self._bodies.of_log(reader, ledger, view, self._reached, self._since)

    def _horizon(self, ledger: Ledger) -> list[Operation]:
        """The last horizon, for a client that has not passed it. Rule 8."""
        return [ForgetOp(ledger.horizon)] if ledger.horizon > self._cursor else []

    def _own(self, reader: Reader, file: File, last: int) -> list[tuple[str, Key]] | None:
        """What the file itself wrote up to a version; None if that is too much for one message."""
        after, most = self._reached, self._entries_max
        versions = tables.versions_between(reader, self._ident, file, after, last, most=most)
        if versions is None:
            return None
        return objects_in(reader, versions, most=_OWN_OBJECTS_MAX)

    def _letting_go(
        self,
        reader: Reader,
        own: list[tuple[str, Key]] | None,
        view: View,
        members: Members,
    ) -> Iterator[Operation]:
        """Evictions of what the file wrote and a view does not see. Rule 6."""
        for class_name, key in own or ():
            if (class_name, key_bytes(key)) in members:
                continue
            row = reader.get_object(class_name, key)
            if row is None or not view.sees(class_name, present(reader, class_name, key, row)):
                yield EvictOp(class_name, key)

    def _unless_silent(self, body: Body, mark: int, *, flush: bool) -> Download | None:
        """Rule 3."""
        far = body.version - self._cursor > self._entries_max // 2
        if body.operations or mark > self._mark or flush or far or self._ident in body.origins:
            self._mark = mark
            return self._exact(body)
        self._reached, self._reached_salt = body.version, body.salt
        return None

    def _exact(self, body: Body) -> Download:
        self._arrived(body.version, body.salt)
        return Download(
            session=self._session,
            query_version=self.sets.query_version,
            version=body.version,
            salt=body.salt,
            mark=self._mark,
            last=True,
            base=0,
            position=b"",
            progress=1.0,
            size=body.size,
            body=body.body,
        )

    def _arrived(self, version: int, salt: int) -> None:
        self._cursor = self._reached = version
        self._cursor_salt = self._reached_salt = salt
        self._mark_sent = self._mark

    def _first_schema(self) -> list[Operation]:
        """The schema, for a client that is not to read all of it in the log. Rule 5."""
        first = self._told is None and not self._cursor
        types = self.sets.types
        leaps = self._fresh and self._told is not types
        if types is None or not (first or leaps):
            return []
        self._told = types
        return [SchemaOp(types.schema.to_packed())]

    # -- staged ----------------------------------------------------------------------------------
    def _stage(self, reader: Reader, ledger: Ledger, staging: Staging, file: File) -> Download:
        message = staging.next(
            reader,
            ledger.version,
            bytes_target=self._bytes_target,
            entries_max=self._entries_max,
        )
        operations = [*self._first_schema(), *message.operations]
        query_version = self.sets.wanted_version
        if message.last:
            operations = [*self._horizon(ledger), *operations]
            if self._fresh:
                own = self._own(reader, file, staging.base)
                new, shared, latest = self.sets.wanted, self._namespace.shared, ledger.version
                members = members_at(shared, new, reader, latest, latest)
                operations += self._letting_go(reader, own, new, members)
            self._mark = file.client_version
            self.sets.arrived()
            self._arrived(ledger.version, ledger.salt)
            self._staging = None
        size, body = encode_operations(operations)
        return Download(
            session=self._session,
            query_version=query_version,
            version=self._cursor,
            salt=self._cursor_salt,
            mark=self._mark_sent,
            last=message.last,
            base=staging.base,
            position=staging.position,
            progress=message.progress,
            size=size,
            body=body,
        )
