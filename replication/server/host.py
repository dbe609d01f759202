"""The host: performs the effects of server sessions on the namespaces they are bound to.

It does no I/O but the stores'. A shell feeds messages to the `ServerSession` of a `Link` and hands
the effects to `begin`; what has to write comes back as a `Job` for `commit`, which takes many
at once. What `commit` and `fetch` return is to be called where the session lives: it tells the
session and returns further effects.

Rule 1: jobs of many sessions share one commit; see `jobs`.
Rule 2: nothing is said before the commit has returned. A store that fails ends the sessions whose
        work was in that commit, and acknowledges none of it. [SESSION-1]
Rule 3: a session that was ended from elsewhere (see `links`) is told why; whatever it still had
        under way is dropped.
Rule 4: one link is used by one thread at a time: the next `begin`, `commit` or `fetch` after
        what the last one returned was called. Different links may be used at once.
Rule 5: what may be read changes at a version of the log; see `policy`. [RULES-CHANGE-2]
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from typing import Final

from replication.errors import ErrorCode, SessionError
from replication.limits import DOWNLOAD_BYTES_TARGET, DOWNLOAD_ENTRIES_MAX, NAMESPACE_BYTES_MAX
from replication.model.schema import Schema
from replication.protocol.server_session import (
    Barrier,
    Close,
    Confirm,
    Effect,
    Integrate,
    Open,
    Refresh,
    Resume,
    Send,
    ServerSession,
    Subscribe,
)
from replication.rules.roles import CLOSED, OPEN, Rules
from replication.server.custom_data import CustomData
from replication.server.jobs import Job, Jobs, Outcome
from replication.server.links import Link, Links
from replication.server.namespace import Namespace
from replication.server.partitions import Partitions
from replication.server.policy import Policy
from replication.server.queryable import Queryable
from replication.server.tables import Ledger, load_ledger
from replication.server.users import Authenticate, Revoked, nobody
from replication.storage.contract import Store

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.-]+")


class Host:
    """The namespaces of a server and the sessions bound to them.

    Args:
        open_store: the store of a namespace. Raises SessionError with BAD_NAMESPACE where there
            is none and none is to be made.
        authenticate: the user of a token; without it nobody is let in.
        entropy: returns a random integer, 0 <= n < 2**63.
        wall_ms: the server's clock, in milliseconds since 2015.
        schema: of a namespace, beside what its store holds; None where nothing is checked.
        development: clients may add classes and properties.
        queryable: the fields of a namespace that subscriptions may ask for; None where its schema,
            or what was configured before, says so.
        partitions: how a namespace is cut; None where its store says so, or it is not.
        strict_view: refuse what is written outside of a session's view, in place of taking and
            evicting it.
        report: told of exceptions that are defects of this package or of a store.
        revoked: why a user is not welcome any more; see `end_revoked`.
        custom_data: where the data sets say more about users; None where tokens do.
        rules: of a namespace; see `rules_changed`. None: everybody may do everything in development
            mode, and nobody anything otherwise.
        bytes_target, entries_max: see `Feed`.
    """

    def __init__(
        self,
        open_store: Callable[[str], Store],
        authenticate: Authenticate = nobody,
        *,
        entropy: Callable[[], int],
        wall_ms: Callable[[], int],
        schema: Callable[[str], Schema | None] = lambda _name: None,
        development: bool = False,
        queryable: Callable[[str], Queryable | None] = lambda _name: None,
        partitions: Callable[[str], Partitions | None] = lambda _name: None,
        strict_view: bool = False,
        report: Callable[[Exception], None] = lambda _error: None,
        revoked: Revoked = lambda _user: None,
        custom_data: CustomData | None = None,
        rules: Callable[[str], Rules] | None = None,
        bytes_target: int = DOWNLOAD_BYTES_TARGET,
        entries_max: int = DOWNLOAD_ENTRIES_MAX,
    ) -> None:
        self._open_store = open_store
        self._authenticate = authenticate
        self._entropy = entropy
        self._wall_ms = wall_ms
        self._schema = schema
        self._development = development
        self._queryable = queryable
        self._partitions = partitions
        self._report = report
        self._namespaces: dict[str, Namespace] = {}
        self._links = Links(revoked, custom_data)
        without = OPEN if development else CLOSED
        self._policy = Policy(rules or (lambda _name: without), report)
        self._jobs = Jobs(
            self._policy,
            self._links,
            report,
            strict_view=strict_view,
            bytes_target=bytes_target,
            entries_max=entries_max,
        )
        self._lock = threading.RLock()

    # -- namespaces ------------------------------------------------------------------------------
    def namespace(self, name: str) -> Namespace:
        """A namespace, opened on first use.

        Raises:
            SessionError: BAD_NAMESPACE.
            StoreError: its store can't be opened.
        """
        with self._lock:
            found = self._namespaces.get(name)
            if found is None:
                check_name(name)
                found = self._namespaces[name] = Namespace(
                    self._open_store(name),
                    entropy=self._entropy,
                    wall_ms=self._wall_ms,
                    schema=self._schema(name),
                    development=self._development,
                    queryable=self._queryable(name),
                    partitions=self._partitions(name),
                )
            return found

    def set_queryable(self, name: str, queryable: Queryable) -> None:
        """Change which fields of a namespace subscriptions may ask for, while it is served.

        Only sessions that ask for one that is gone are told.

        Raises:
            SchemaError: there is no schema, or it names a field of a class that can't be asked for.
            SessionError: BAD_NAMESPACE.
            StoreError: it could not be stored.
        """
        self.namespace(name).set_queryable(queryable)
        for link in self._links.of(name):
            link.wake()

    def set_partitions(self, name: str, partitions: Partitions) -> None:
        """Change how a namespace is cut, or how that is served, while it is served.

        Sessions that it concerns begin anew; nothing is lost or sent again.

        Raises:
            SchemaError: there is no schema, or a class has the key with another type.
            SessionError: BAD_NAMESPACE.
            StoreError: it could not be stored.
        """
        self.namespace(name).set_partitions(partitions)
        for link in self._links.of(name):
            concerned = link.partition is not None or partitions.served == "partitions"
            if concerned and (link.partition is None or link.partition.partitions != partitions):
                link.end(ErrorCode.MODE_CHANGED, "how partitions are served has changed")

    def partitions(self) -> dict[str, Partitions]:
        """How the namespaces are cut that are open, as far as they are."""
        with self._lock:
            found = [(name, space.partitions) for name, space in self._namespaces.items()]
        return {name: each for name, each in found if each is not None}

    def configuration_changed(self) -> None:
        """What is configured has changed: see it done for every namespace that is open.

        Raises:
            SchemaError: it does not fit a namespace; those before it have taken it over.
        """
        with self._lock:
            names = list(self._namespaces)
        for name in names:
            partitions, queryable = self._partitions(name), self._queryable(name)
            if partitions is not None and partitions != self.namespace(name).partitions:
                self.set_partitions(name, partitions)
            if queryable is not None:
                self.set_queryable(name, queryable)

    def close(self) -> None:
        """Close all stores. No link may be in use."""
        with self._lock:
            for namespace in self._namespaces.values():
                namespace.store.close()
            self._namespaces.clear()
            self._links.clear()

    def published(self, name: str) -> None:
        """Somebody else wrote to a namespace and committed: its feeds go on up to there."""
        namespace = self.namespace(name)
        with namespace.store.read() as reader:
            ledger = load_ledger(reader)
        self._publish(name, namespace, ledger)

    def forget(self, name: str) -> int:
        """Forget what is dead in a namespace, while it is served; returns the horizon.

        From any thread but that of `commit`, for whose transaction it waits.

        Raises:
            SessionError: BAD_NAMESPACE.
            StoreError: its store fails.
        """
        namespace = self.namespace(name)
        with namespace.store.write() as writer:
            horizon = namespace.forget(writer)
        self.published(name)
        return horizon

    def _publish(self, name: str, namespace: Namespace, ledger: Ledger) -> None:
        published = namespace.publish(ledger)
        if published is None:
            return
        try:
            self._links.tell_users(name, namespace, published.changes)
        except Exception as error:
            self._report(error)
        for seat in published.woken:
            seat.wake()
        self._settle(name, namespace, self._links.take_changed(name))

    def rules_changed(self) -> None:
        """Sessions go by the rules there are now.

        Called, from any thread, whenever `rules` may answer otherwise than before.
        """
        with self._lock:
            namespaces = list(self._namespaces.items())
        for name, namespace in namespaces:
            self._settle(name, namespace, self._links.of(name))

    def _settle(self, name: str, namespace: Namespace, links: list[Link]) -> None:
        """What the users of some sessions may read is what their roles say. Rule 5."""
        ledger = self._policy.settle(namespace, links)
        if ledger is not None:
            self._publish(name, namespace, ledger)

    def end_revoked(self) -> int:
        """End the sessions of all users who are not welcome any more; returns how many.

        Called, from any thread, whenever `revoked` may answer otherwise than before.
        """
        return self._links.end_revoked()

    # -- sessions --------------------------------------------------------------------------------
    def connect(self, number: int, wake: Callable[[], None]) -> Link:
        """A new session.

        Args:
            number: of the session on its connection.
            wake: called, from any thread, when there may be something to `fetch`.
        """
        return Link(ServerSession(number), wake)

    def disconnect(self, link: Link) -> None:
        """The session is over, or its connection lost. Idempotent."""
        self._links.remove(link)

    def begin(self, link: Link, effect: Effect) -> list[Effect] | Job:
        """Perform an effect other than `Send`, or make a job of it."""
        assert not isinstance(effect, Send), "messages are the shell's to send"
        match effect:
            case Open():
                try:
                    user = self._authenticate(effect.bind.token)
                except SessionError as error:
                    return link.session.failed(error.code, error.reason)
                return Job(link, effect, effect.bind.namespace, user)
            case Resume() | Integrate() | Subscribe():
                assert link.namespace is not None
                assert link.user is not None
                return Job(link, effect, link.namespace[0], link.user)
            case Barrier():
                assert link.namespace is not None
                link.barrier = link.namespace[1].version
                link.wake()
                return link.session.barrier(effect.request, link.barrier)
            case Refresh():
                return self._refresh(link, effect)
            case Confirm():
                return []
            case Close():
                self.disconnect(link)
                return []

    def perform(self, link: Link, effect: Effect) -> list[Effect]:
        """Perform an effect other than `Send` at once, with a commit of its own if need be."""
        begun = self.begin(link, effect)
        if isinstance(begun, Job):
            (outcome,) = self.commit([begun])
            return outcome()
        return begun

    def _refresh(self, link: Link, effect: Refresh) -> list[Effect] | Job:
        try:
            self._links.refresh(link, self._authenticate(effect.token))
        except SessionError as error:
            return link.session.failed(error.code, error.reason)
        assert link.namespace is not None
        assert link.user is not None
        return Job(link, effect, link.namespace[0], link.user)

    # -- committing ------------------------------------------------------------------------------
    def commit(self, jobs: Iterable[Job]) -> list[Outcome]:
        """Do jobs, those of one namespace in one commit. One thread at a time."""
        groups: dict[str, list[tuple[int, Job]]] = {}
        outcomes: dict[int, Outcome] = {}
        for position, job in enumerate(jobs):
            groups.setdefault(job.name, []).append((position, job))
        for name, group in groups.items():
            for (position, _), outcome in zip(
                group, self._commit(name, [job for _, job in group]), strict=True
            ):
                outcomes[position] = outcome
        return [outcomes[position] for position in range(len(outcomes))]

    def _commit(self, name: str, jobs: list[Job]) -> list[Outcome]:
        try:
            namespace = self.namespace(name)
            with namespace.store.write() as writer:
                outcomes = [self._jobs.do(namespace, writer, job) for job in jobs]
                ledger = load_ledger(writer)
        except Exception as error:
            return [self._jobs.failure(job.link, error) for job in jobs]
        self._publish(name, namespace, ledger)
        self._settle(name, namespace, self._links.take_changed(name))
        return outcomes

    # -- fetching --------------------------------------------------------------------------------
    def fetch(self, link: Link) -> Outcome:
        """What there is to send to a session now, at most one message of it."""
        session, feed = link.session, link.feed
        if link.ended is not None:
            return self._jobs.failure(link, link.ended)
        if feed is None:
            return list
        try:
            assert link.namespace is not None
            if not self._policy.is_settled(link):
                self._settle(*link.namespace, [link])
            feed.go_by(link.assigned)
            download = feed.next(session.acknowledged, flush=link.barrier > session.cursor)
        except Exception as error:
            return self._jobs.failure(link, error)
        staging, notices, stalled = feed.staging, feed.sets.notices(), feed.sets.withdrawn

        def outcome() -> list[Effect]:
            effects = session.noticed(notices, stalled=stalled) if notices else []
            if download is None:
                return [*effects, *session.idle(staging=staging)]
            return [*effects, *session.downloading(download, staging=staging)]

        return outcome


def check_name(name: str) -> None:
    """Raise SessionError with BAD_NAMESPACE unless ``name`` may name a namespace."""
    if not _NAMESPACE.fullmatch(name) or len(name) > NAMESPACE_BYTES_MAX or name in (".", ".."):
        raise SessionError(
            ErrorCode.BAD_NAMESPACE,
            f"{name!r:.160} is no name of a namespace: 1 to {NAMESPACE_BYTES_MAX} letters, digits "
            "and any of '_.-'",
        )
