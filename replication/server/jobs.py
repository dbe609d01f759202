"""Jobs: what sessions have written in a commit of their host, one by one.

Rule 1: each has a savepoint of its own: an error ends the session it belongs to and leaves no trace
        in the others' work.
Rule 2: what a job led to is told once the commit has returned, where the session lives.
Rule 3: an upload is judged by the roles its user has when it is integrated. [RULES-ROLE-3]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from replication.errors import (
    ErrorCode,
    QueryError,
    RemoteProtocolError,
    SessionError,
    StoreError,
)
from replication.protocol.messages import Ack, Nack
from replication.protocol.server_session import (
    Effect,
    Integrate,
    Open,
    Refresh,
    Resume,
    Subscribe,
)
from replication.server import tables
from replication.server.feed import Feed
from replication.server.links import Link, Links
from replication.server.namespace import Namespace, rolled_back
from replication.server.policy import Assigned, Policy, assign
from replication.server.terms import Terms
from replication.server.users import User
from replication.storage.contract import Writer

#: What a commit or a fetch led to: call it where the session lives.
Outcome: TypeAlias = Callable[[], list[Effect]]


class Job(NamedTuple):
    """An effect that has to write."""

    link: Link
    effect: Open | Resume | Integrate | Subscribe | Refresh
    #: The namespace.
    name: str
    user: User

    @property
    def changesets(self) -> int:
        """How many changesets it integrates."""
        return len(self.effect.changesets) if isinstance(self.effect, Integrate) else 0


class Jobs:
    """Does jobs.

    Args:
        policy: what users may do.
        links: the sessions that are open.
        report: told of exceptions that are defects of this package or of a store.
        strict_view, bytes_target, entries_max: see `Host`.
    """

    def __init__(
        self,
        policy: Policy,
        links: Links,
        report: Callable[[Exception], None],
        *,
        strict_view: bool,
        bytes_target: int,
        entries_max: int,
    ) -> None:
        self._policy = policy
        self._links = links
        self._report = report
        self._strict_view = strict_view
        self._bytes_target = bytes_target
        self._entries_max = entries_max

    def do(self, namespace: Namespace, writer: Writer, job: Job) -> Outcome:
        """Do one in a savepoint of its own. Rule 1."""
        if job.link.ended is not None:
            return self.failure(job.link, job.link.ended)
        try:
            with writer.savepoint():
                match job.effect:
                    case Open():
                        return self._open(namespace, writer, job, job.effect)
                    case Resume():
                        return self._resume(namespace, writer, job, job.effect)
                    case Integrate():
                        return self._integrate(namespace, writer, job, job.effect)
                    case Refresh():
                        return list  # what it means is settled behind the commit
                    case Subscribe():
                        return self._subscribe(writer, job.link, job.effect)
        except StoreError:
            raise  # the whole transaction is lost
        except Exception as error:
            return self.failure(job.link, error)

    def _open(self, namespace: Namespace, writer: Writer, job: Job, effect: Open) -> Outcome:
        bind, link = effect.bind, job.link
        self._policy.admit(job.name)
        user = self._links.known(writer, job.user)
        partition = namespace.open_partition(bind.partition)
        told = None if partition is None else (partition.key, partition.is_flexible)
        ident, salt, assigned = namespace.open_file(writer, user.id, bind.ident, bind.salt)
        if assigned:
            roles = self._policy.roles(job.name, user, namespace.partitions, partition)
            tables.begin_sight(writer, ident, Assigned(roles, 0).sight)
        link.partition = partition
        self._links.add(link, job.name, namespace, ident, user)
        return lambda: link.session.opened(ident, salt, assigned=assigned, partition=told)

    def _resume(self, namespace: Namespace, writer: Writer, job: Job, effect: Resume) -> Outcome:
        link, ident = job.link, effect.ident.ident
        cursor, acknowledged, link.ends_at = namespace.resume(writer, effect.ident)
        tables.forget_sights(writer, ident, cursor)
        _, held = tables.sight_at(writer, ident, cursor)
        roles = self._policy.derive(link)
        link.assigned = Assigned(roles, assign(namespace, writer, [(ident, roles)])[ident])
        try:
            feed = Feed(
                namespace,
                writer,
                effect.ident,
                acknowledged,
                link.wake,
                link.partition,
                assigned=link.assigned,
                held=held,
                bytes_target=self._bytes_target,
                entries_max=self._entries_max,
            )
        except QueryError as error:
            raise SessionError(ErrorCode.BAD_QUERY, str(error)) from None

        feed.sets.ask(writer)

        def outcome() -> list[Effect]:
            link.feed = feed
            link.wake()
            effects = link.session.resumed(cursor, acknowledged)
            return [
                *effects,
                *link.session.noticed(feed.sets.notices(), stalled=feed.sets.withdrawn),
            ]

        return outcome

    def _integrate(
        self, namespace: Namespace, writer: Writer, job: Job, effect: Integrate
    ) -> Outcome:
        link, session = job.link, job.link.session
        answers, error = namespace.integrate(
            writer,
            session.number,
            session.ident,
            effect.first,
            effect.changesets,
            self._policy.derive(link),
            terms=self._terms(link),
        )

        if error is None and link.ends_at and effect.last >= link.ends_at:
            error = rolled_back(link.ends_at)

        def outcome() -> list[Effect]:
            link.wake()
            effects: list[Effect] = []
            answer: Ack | Nack
            for answer in answers:
                effects += session.integrated(answer)
            return effects + (session.failed(error.code, error.reason) if error else [])

        return outcome

    def _terms(self, link: Link) -> Terms | None:
        strict = self._strict_view and link.feed is not None
        view = link.feed.sets.written_view if strict and link.feed else None
        terms = Terms(view, link.partition, self._links.reserved(link))
        return None if terms == Terms() else terms

    def _subscribe(self, writer: Writer, link: Link, effect: Subscribe) -> Outcome:
        feed, session = link.feed, link.session
        assert feed is not None, "a session that may send QUERY was resumed"
        feed.go_by(link.assigned)
        refused = feed.subscribe(writer, effect.query)
        if refused is not None:
            return lambda: session.subscribed(refused)

        def outcome() -> list[Effect]:
            link.wake()
            return [*session.subscribed(None), *session.idle(staging=True)]

        return outcome

    def failure(self, link: Link, error: Exception) -> Outcome:
        """How a session ends that was in the way of an exception; a defect is reported."""
        code, message = ErrorCode.INTERNAL, "the server failed"
        match error:
            case SessionError():
                code, message = error.code, error.reason
            case RemoteProtocolError():
                code, message = error.code, str(error)
            case StoreError():
                code, message = ErrorCode.STORE_UNAVAILABLE, "the server can't write its storage"
        if not isinstance(error, SessionError | RemoteProtocolError):
            self._report(error)
        return lambda: link.session.failed(code, message)
