"""The subscription sets of one session: the one it holds, the one it is to be served, if another.

Rule 1: a set that asks for a field that is not queryable any more is withdrawn: the session is
        told, and sent nothing until the field is queryable again or another set takes over.
        Nothing is lost: the other set is served from where the session stands. [QUERYABLE-6]
Rule 2: where a user may read something else than before, the set there is is to be served again,
        under its own version, as another one would be. [RULES-CHANGE-1]
Rule 3: the last set that was refused is kept in mind: when schema, queryable fields or roles
        change so that it can be served, the session is told; its client asks anew. [SUB-15]
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from replication.errors import ErrorCode, QueryError, RemoteProtocolError, SchemaError
from replication.model.types import KEY_NAME
from replication.protocol.messages import Ident, Query, QueryState, clipped
from replication.query import parse
from replication.rules.roles import Roles
from replication.rules.sight import Sight
from replication.server.lists import ask
from replication.server.namespace import Namespace
from replication.server.partitions import Partition
from replication.server.policy import Assigned
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
class Target:
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


class Sets:
    """What a session has asked for.

    Args:
        namespace: the data set.
        reader: to read the schema.
        message: what the client file holds.
        held: what its user might read where the client file stands.
        assigned: what its user may do.
        partition: the one it was opened with.

    Attributes:
        view, query_version: of the set it holds.
        target: the set that is to be served; None where that is the same.
        assigned: what its user may do, from `go_by` on.
        types: the schema by which the views are read.
        withdrawn: whether the set it holds can't be served. Rule 1.

    Raises:
        QueryError: a query that can't be read.
    """

    def __init__(
        self,
        namespace: Namespace,
        reader: Reader,
        message: Ident,
        held: Sight,
        assigned: Assigned,
        partition: Partition | None,
    ) -> None:
        self._namespace = namespace
        #: What sessions that keep to a partition ask for, and nothing else.
        self._only = None if partition is None or partition.is_flexible else partition.query
        self._session = message.session
        self.assigned = assigned
        self.types = namespace.types(reader)
        self.query_version = message.query_version
        self.view = View(message.queries, self.types, held)
        self.target: Target | None = None
        self.withdrawn = False
        self._notices: list[QueryState] = []
        #: The last set, where it could not be served. Rule 3.
        self._refused: _Refused | None = None
        self._retarget()
        self._check_served()

    # -- what there is -----------------------------------------------------------------------
    @property
    def wanted(self) -> View:
        """What is to be served."""
        return self.view if self.target is None else self.target.view

    @property
    def wanted_version(self) -> int:
        """The version of the set that is to be served."""
        return self.query_version if self.target is None else self.target.query_version

    @property
    def written_view(self) -> View | None:
        """What the session sees as far as it knows when it writes; None if it never had a set."""
        if self.target is not None:
            return self.target.view
        return self.view if self.query_version else None

    def ask(self, writer: Writer) -> None:
        """Whatever is to be served has to be kept; see `lists`."""
        ask(writer, read_of(self.wanted))

    def notices(self) -> list[QueryState]:
        """What there is to say about sets, once."""
        notices, self._notices = self._notices, []
        return notices

    # -- what becomes of it ------------------------------------------------------------------
    def arrived(self) -> None:
        """What was to be served is what the session holds."""
        if self.target is not None:
            self.query_version, self.view = self.target.query_version, self.target.view
            self.target = None
            self.withdrawn = False

    def go_by(self, assigned: Assigned) -> bool:
        """What its user may do, from now on; whether something else is to be served. Rule 2."""
        held, self.assigned = self.assigned, assigned
        if (assigned.since, assigned.sight.key) == (held.since, held.sight.key):
            return False
        self._retarget()
        return True

    def _retarget(self) -> None:
        query_version = self.wanted_version
        view = self.wanted.again(self.types, self.assigned.sight)
        self.target = None
        if query_version > self.query_version or view.key != self.view.key:
            self.target = Target(query_version, view)
        else:
            self.view = view

    def reread(self, reader: Reader) -> bool:
        """Read the views as the schema says now; whether it has changed."""
        types = self._namespace.types(reader)
        if types is self.types:
            return False
        self.types = types
        self.view = self.view.again(types, self.view.sight)
        if self.target is not None:
            view = self.target.view.again(types, self.target.view.sight)
            self.target = Target(self.target.query_version, view)
        self._check_served()
        return True

    # -- new ones ----------------------------------------------------------------------------
    def subscribe(self, writer: Writer, query: Query) -> QueryState | None:
        """Have a new set be the one that is to be served, or say why not.

        Raises:
            RemoteProtocolError: a version that is not new.
        """
        if query.query_version <= self.wanted_version:
            raise RemoteProtocolError(
                f"QUERY has version {query.query_version}, but {self.wanted_version} came before",
                ErrorCode.BAD_MESSAGE,
            )
        namespace = self._namespace
        types = namespace.types(writer)
        self._refused = None
        try:
            self._check(query.queries, types)
            view = View(query.queries, types, self.assigned.sight)
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
        self.target = Target(query.query_version, view)
        return None

    def _check(self, texts: Mapping[str, str], types: Types | None) -> None:
        """Raise QueryError unless a set can be served."""
        namespace = self._namespace
        check_queries(texts, types, development=namespace.development, roles=self.assigned.roles)
        reason = self._strange(texts)
        if reason is not None:
            raise QueryError(reason)

    # -- those that can't be served ----------------------------------------------------------
    def _keep_refused(
        self, query_version: int, texts: Mapping[str, str], types: Types | None
    ) -> None:
        self._refused = _Refused(query_version, texts, types, self.assigned.roles)

    def look_at_refused(self) -> None:
        """Rule 3."""
        refused = self._refused
        if refused is None:
            return
        with self._namespace.store.read() as reader:
            types = self._namespace.types(reader)
        if refused.types is types and refused.roles is self.assigned.roles:
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

    def _check_served(self) -> None:
        """Whether the sets can be served, as things stand now. Rule 1."""
        target = self.target
        if target is not None and target.query_version > self.query_version:
            reason = self._unservable(target.view)
            if reason is not None:
                self._keep_refused(target.query_version, target.view.texts, self.types)
                self._notices.append(self._refusal(target.query_version, reason))
                self.target = None
        reason = self._unservable(self.view)
        if reason is not None and not self.withdrawn:
            self._notices.append(self._refusal(self.query_version, reason))
        elif reason is None and self.withdrawn:
            self._notices.append(QueryState(self._session, self.query_version, 0, ""))
        self.withdrawn = reason is not None

    def _unservable(self, view: View) -> str | None:
        reason = self._strange(view.texts)
        if reason is not None:
            return reason
        return unqueryable(view.texts, self.types, development=self._namespace.development)

    def _strange(self, texts: Mapping[str, str]) -> str | None:
        """Why a session that keeps to a partition may not ask for these; None if it may."""
        for name, text in texts.items():
            if self._only is not None and parse(text).text != self._only:
                return f"the query on {name}: this session's partition is {self._only}"
        return None
