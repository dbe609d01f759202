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
Rule 8: a horizon is told to every session that passes it, whatever it asked for. [DOWN-11]
Rule 9: where `fanout` knows what concerns the session, nothing is read for an exact message; it
        ends at the last version that was published. Otherwise the log is read, up to its end.
Rule 10: a set that asks for a field that is not queryable any more is withdrawn: the session is
         told, and sent nothing until the field is queryable again or another set takes over.
         Nothing is lost: the other set is served from where the session stands. [QUERYABLE-6]
Rule 11: where a user may read something else than before, the difference is staged as for another
         subscription set, under the version of the set there is. What was staged before is begun
         anew. [RULES-CHANGE-1]
Rule 12: the last set that was refused is kept in mind: when schema, queryable fields or roles
         change so that it can be served, the session is told; its client asks anew. [SUB-15]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from replication.errors import ErrorCode, QueryError, RemoteProtocolError, SchemaError
from replication.limits import DOWNLOAD_BYTES_TARGET, DOWNLOAD_ENTRIES_MAX
from replication.model.encoding import key_bytes
from replication.model.types import KEY_NAME
from replication.model.values import Key
from replication.protocol.body import EvictOp, ForgetOp, Operation, SchemaOp, encode_operations
from replication.protocol.messages import Download, Ident, Query, QueryState, clipped
from replication.query import parse
from replication.rules.roles import Roles
from replication.rules.sight import EVERYTHING, Sight
from replication.server import tables
from replication.server.changes import Changes, objects_in
from replication.server.exact import Exact, StoreNeeded, joined, moved, seen_by
from replication.server.fanout import News, Seat
from replication.server.lists import ask, present
from replication.server.members import NOBODY, Members, keep_members, members_after, members_at
from replication.server.namespace import Namespace
from replication.server.partitions import Partition
from replication.server.policy import FREE, Assigned
from replication.server.shared import Body
from replication.server.staging import Staging
from replication.server.tables import File, Ledger
from replication.server.types import Types
from replication.server.view import (
    NotReadableError,
    View,
    check_queries,
    declare_columns,
    read_of,
    unqueryable,
)
from replication.storage.contract import Reader, Writer


@dataclass(frozen=True, slots=True)
class _Target:
    """A subscription set that is to be served."""

    query_version: int
    view: View


@dataclass(frozen=True, slots=True)
class _Refused:
    """A subscription set that could not be served."""

    query_version: int
    texts: Mapping[str, str]
    #: By what it was judged.
    types: Types | None
    roles: Roles | None


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
        #: What sessions that keep to a partition ask for, and nothing else.
        self._only = None if partition is None or partition.is_flexible else partition.query
        self._types = namespace.types(reader)
        self._session = message.session
        self._ident = message.ident
        self._cursor = self._reached = message.cursor
        self._cursor_salt = self._reached_salt = message.cursor_salt
        self._mark = mark
        self._mark_sent = 0
        self._query_version = message.query_version
        self._assigned = assigned
        #: Where its user's roles were looked at first: nobody knows which they were before.
        self._began = 0 if assigned.roles is None else namespace.latest(reader)
        self._view = View(message.queries, self._types, held)
        self._bytes_target = bytes_target
        self._entries_max = entries_max
        self._target: _Target | None = None
        self._staging: Staging | None = None
        #: The schema it was sent whole, by this feed. Rule 5.
        self._told: Types | None = None
        self._seat = Seat(message.ident, wake)
        #: Whether the active set can't be served. Rule 10.
        self.withdrawn = False
        self._notices: list[QueryState] = []
        #: The last set, where it could not be served. Rule 12.
        self._refused: _Refused | None = None
        self._reassigned()
        self._check_served()
        if message.position and message.base == self._base and not self._fresh:
            self._staging = self._staged(
                self._wanted,
                message.base,
                message.cursor,
                position=message.position,
                latest=namespace.version,
            )

    def go_by(self, assigned: Assigned) -> None:
        """What its user may do, from now on. Rule 11."""
        held, self._assigned = self._assigned, assigned
        if assigned is not held and (assigned.since, assigned.sight.key) != (
            held.since,
            held.sight.key,
        ):
            self._staging = None
            self._reassigned()

    def _reassigned(self) -> None:
        query_version = self._query_version
        if self._target is not None:
            query_version = self._target.query_version
        view = self._wanted.again(self._types, self._assigned.sight)
        self._target = None
        if query_version > self._query_version or view.key != self._view.key:
            self._target = _Target(query_version, view)
        else:
            self._view = view

    @property
    def _wanted(self) -> View:
        """What is to be served."""
        return self._view if self._target is None else self._target.view

    @property
    def _base(self) -> int:
        """What a staged download is called that begins where the client stands; see `Staging`."""
        return max(self._cursor, self._assigned.since)

    def close(self) -> None:
        """The session is over. Idempotent."""
        self._namespace.fanout.leave(self._seat)

    @property
    def staging(self) -> bool:
        """Whether a download in several messages is under way, or a new set is to be served."""
        return self._staging is not None or self._target is not None

    @property
    def behind(self) -> int:
        """How many log entries have to be read for the next message."""
        known = self._namespace.fanout.knows(self._seat, self._reached)
        return 0 if known else self._namespace.version - self._reached

    @property
    def more(self) -> bool:
        """Whether there may be another message right behind the last one."""
        at_end = self._reached == self._namespace.version and self._seat.view is self._view
        return self.staging or not at_end

    def subscribe(self, writer: Writer, query: Query) -> QueryState | None:
        """Begin to serve a new subscription set, or say why not.

        Raises:
            RemoteProtocolError: a version that is not new, a position nobody gave out.
        """
        last = self._query_version if self._target is None else self._target.query_version
        if query.query_version <= last:
            raise RemoteProtocolError(
                f"QUERY has version {query.query_version}, but {last} came before",
                ErrorCode.BAD_MESSAGE,
            )
        namespace = self._namespace
        types = namespace.types(writer)
        assigned = self._assigned
        self._refused = None
        try:
            self._check(query.queries, types)
            view = View(query.queries, types, assigned.sight)
            if namespace.development:
                fields = {name: each.fields - {KEY_NAME} for name, each in view.queries.items()}
                namespace.queried(writer, fields)
        except (QueryError, SchemaError) as error:
            self._keep_refused(query.query_version, query.queries, types)
            denied = isinstance(error, NotReadableError)
            code = ErrorCode.PERMISSION_DENIED if denied else ErrorCode.BAD_QUERY
            return self._refusal(query.query_version, str(error), code)
        if types is None or namespace.development:
            declare_columns(writer, view, types)
        ask(writer, read_of(view))
        self._target = _Target(query.query_version, view)
        self._staging = None
        latest = namespace.version
        fits = query.base == self._base
        if self._fresh:
            fits = assigned.since <= query.base <= latest
        if query.position and fits:
            self._staging = self._staged(
                view, query.base, self._cursor, position=query.position, latest=latest
            )
        return None

    def _check(self, texts: Mapping[str, str], types: Types | None) -> None:
        """Raise QueryError unless a set can be served."""
        namespace = self._namespace
        check_queries(texts, types, development=namespace.development, roles=self._assigned.roles)
        reason = self._strange(texts)
        if reason is not None:
            raise QueryError(reason)

    def _keep_refused(
        self, query_version: int, texts: Mapping[str, str], types: Types | None
    ) -> None:
        self._refused = _Refused(query_version, texts, types, self._assigned.roles)

    def _look_at_refused(self) -> None:
        """Rule 12."""
        refused = self._refused
        if refused is None:
            return
        with self._namespace.store.read() as reader:
            types = self._namespace.types(reader)
        if refused.types is types and refused.roles is self._assigned.roles:
            return
        self._keep_refused(refused.query_version, refused.texts, types)
        with suppress(QueryError):
            self._check(refused.texts, types)
            self._refused = None
            self._notices.append(QueryState(self._session, refused.query_version, 0, ""))

    def _refusal(
        self, query_version: int, message: str, code: ErrorCode = ErrorCode.BAD_QUERY
    ) -> QueryState:
        return QueryState(self._session, query_version, code, clipped(message))

    def ask(self, writer: Writer) -> None:
        """Whatever it is to be served has to be kept; see `lists`."""
        ask(writer, read_of(self._wanted))

    @property
    def written_view(self) -> View | None:
        """What the session sees as far as it knows when it writes; None if it never had a set."""
        if self._target is not None:
            return self._target.view
        return self._view if self._query_version else None

    def notices(self) -> list[QueryState]:
        """What there is to say about sets, once. Rule 10."""
        notices, self._notices = self._notices, []
        return notices

    def _check_served(self) -> None:
        """Whether the sets can be served, as things stand now. Rule 10."""
        target = self._target
        if target is not None and target.query_version > self._query_version:
            reason = self._unservable(target.view)
            if reason is not None:
                self._keep_refused(target.query_version, target.view.texts, self._types)
                self._notices.append(self._refusal(target.query_version, reason))
                self._target = self._staging = None
        reason = self._unservable(self._view)
        if reason is not None and not self.withdrawn:
            self._notices.append(self._refusal(self._query_version, reason))
        elif reason is None and self.withdrawn:
            self._notices.append(QueryState(self._session, self._query_version, 0, ""))
        self.withdrawn = reason is not None

    def _unservable(self, view: View) -> str | None:
        reason = self._strange(view.texts)
        if reason is not None:
            return reason
        return unqueryable(view.texts, self._types, development=self._namespace.development)

    def _strange(self, texts: Mapping[str, str]) -> str | None:
        """Why a session that keeps to a partition may not ask for these; None if it may."""
        for name, text in texts.items():
            if self._only is not None and parse(text).text != self._only:
                return f"the query on {name}: this session's partition is {self._only}"
        return None

    @property
    def _fresh(self) -> bool:
        """Whether the client holds nothing but its own: Rule 6."""
        return self._view.is_empty

    def _staged(
        self, view: View, base: int, start: int, *, position: bytes = b"", latest: int = 0
    ) -> Staging:
        return Staging(
            base,
            self._view,
            view,
            self._ident,
            self._namespace.shared,
            start=start,
            since=self._assigned.since,
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
        if self._types is not None and self._types.queryable is not self._namespace.queryable:
            with self._namespace.store.read() as reader:
                self._reread_views(reader)
        self._look_at_refused()
        fanout = self._namespace.fanout
        fanout.sit(self._seat, self._wanted)
        if self.withdrawn and self._target is None:
            return None
        if not self.staging:
            if self._fresh and not flush and self._namespace.horizon <= self._cursor:
                return None
            if self._reached == self._namespace.version:
                behind = flush and self._reached > self._cursor
                nothing = Body(self._reached, self._reached_salt, frozenset(), 0, *_NOTHING)
                return self._exact(nothing) if behind else None
            news = None if self._fresh else fanout.since(self._seat, self._reached)
            body = None if news is None else self._news(news)
            if news is not None and body is not None:
                if news.client_version > acknowledged:
                    return None
                return self._unless_silent(body, max(self._mark, news.client_version), flush=flush)
        with self._namespace.store.read() as reader:
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
            self._staging = self._staged(self._wanted, *begin)
        return self._stage(reader, ledger, self._staging, file)

    def _reread_views(self, reader: Reader) -> None:
        """The schema may have grown: views are read as it says now."""
        types = self._namespace.types(reader)
        if types is self._types:
            return
        self._types = types
        # Its seat follows at the next look; see `more`.
        self._view = self._view.again(types, self._view.sight)
        if self._target is not None:
            view = self._target.view.again(types, self._target.view.sight)
            self._target = _Target(self._target.query_version, view)
        if self._staging is not None:
            self._staging.reread(self._view, self._wanted)
        self._check_served()

    # -- exact -----------------------------------------------------------------------------------
    def _news(self, news: News) -> Body | None:
        """What an exact message says of what is known; None if the store has to be asked."""
        if not self._cursor or min(news.entries, len(news.told)) > self._entries_max:
            return None
        if not news.told:
            return Body(news.version, news.salt, frozenset(), 0, *_NOTHING)
        shared = self._namespace.shared.bodies
        key = (self._view.key, news.start, news.version)
        # What tells of the time before is not what others are told.
        is_own = news.is_own or news.start < self._since
        body = None if is_own else shared.get(key)
        if body is None:
            exact = self._teller(None)
            try:
                operations = exact.operations(joined(news.told), self._bytes_target)
            except StoreNeeded:
                return None
            if operations is None:
                return None
            origins = frozenset[int]().union(*(told.touched.origins for told in news.told))
            body = self._encoded(news.version, news.salt, operations, origins)
            if not is_own:
                shared.put(key, body, len(body.body) + 100)
        return body

    @property
    def _since(self) -> int:
        """The version from which on its user might read what the view shows; see `exact`."""
        return max(self._began, self._assigned.since)

    def _teller(self, reader: Reader | None) -> Exact:
        return Exact(self._view, self._ident, self._namespace.shared, self._since, reader)

    def _body(self, reader: Reader, ledger: Ledger, file: File) -> Body | None:
        """What an exact message up to the latest version holds; None if it takes several."""
        if self._fresh:
            own = self._own(reader, file, ledger.version)
            if own is None:
                return None
            gone = self._letting_go(reader, own, self._view, NOBODY)
            first = [*self._horizon(ledger), *self._first_schema()]
            operations = [*first, *gone]
            return self._encoded(ledger.version, ledger.salt, operations, frozenset((self._ident,)))
        # At version 0 nothing could tell this message from one of a staged download.
        if ledger.version - self._reached > self._entries_max or not self._cursor:
            return None
        changes = self._changes(reader, ledger)
        if changes is None:
            return None
        view, shared, latest = self._view, self._namespace.shared, ledger.version
        before = now = NOBODY
        if view.might_move(item.class_name for item in changes.touched):
            before = members_at(shared, view, reader, self._reached, latest)
            now = members_after(shared, view, reader, before, changes.touched, latest)
        else:
            keep_members(shared, view, self._reached, latest)
        told = self._teller(reader).operations(
            seen_by(view, changes.touched, before, now),
            self._bytes_target,
            moved(view, reader, shared, changes.touched, before, now),
        )
        if told is None:
            return None
        forget = [ForgetOp(version) for version in changes.horizons]
        schemas = [SchemaOp(schema) for schema in changes.schemas]
        operations = [*forget, *schemas, *told]
        origins = frozenset(changes.origins)
        body = self._encoded(ledger.version, ledger.salt, operations, origins)
        if self._ident not in origins and self._reached >= self._since:
            key = (self._view.key, self._reached, ledger.version)
            self._namespace.shared.bodies.put(key, body, len(body.body) + 100)
        return body

    def _horizon(self, ledger: Ledger) -> list[Operation]:
        """The last horizon, for a client that has not passed it. Rule 8."""
        return [ForgetOp(ledger.horizon)] if ledger.horizon > self._cursor else []

    def _encoded(
        self, version: int, salt: int, operations: list[Operation], origins: frozenset[int]
    ) -> Body:
        self._namespace.shared.encoded += 1
        size, data = encode_operations(operations) if operations else _NOTHING
        return Body(version, salt, origins, len(operations), size, data)

    def _changes(self, reader: Reader, ledger: Ledger) -> Changes | None:
        most = 2 * self._bytes_target
        return self._namespace.changes(reader, self._reached, ledger.version, most)

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
            query_version=self._query_version,
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
        leaps = self._fresh and self._told is not self._types
        if self._types is None or not (first or leaps):
            return []
        self._told = self._types
        return [SchemaOp(self._types.schema.to_packed())]

    # -- staged ----------------------------------------------------------------------------------
    def _stage(self, reader: Reader, ledger: Ledger, staging: Staging, file: File) -> Download:
        message = staging.next(
            reader,
            ledger.version,
            bytes_target=self._bytes_target,
            entries_max=self._entries_max,
        )
        operations = [*self._first_schema(), *message.operations]
        query_version = self._query_version
        if self._target is not None:
            query_version = self._target.query_version
        if message.last:
            operations = [*self._horizon(ledger), *operations]
            if self._fresh:
                own = self._own(reader, file, staging.base)
                new, shared, latest = self._wanted, self._namespace.shared, ledger.version
                members = members_at(shared, new, reader, latest, latest)
                operations += self._letting_go(reader, own, new, members)
            self._mark = file.client_version
            if self._target is not None:
                self._query_version, self._view = query_version, self._target.view
                self.withdrawn = False
            self._arrived(ledger.version, ledger.salt)
            self._target = self._staging = None
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


#: Objects that one message may name as the file's own.
_OWN_OBJECTS_MAX: Final = 10_000
#: Size and body of a message without operations.
_NOTHING: Final = encode_operations([])
