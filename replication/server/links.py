"""The sessions of a host, and the users they act for.

Rule 1: one live session a client file: the newest. [SESSION-8]
Rule 2: a link's user is what is known of them now: custom data that a commit changed, claims of a
        fresh token. Whoever derives something from a user looks whether `Link.user` is still the
        same object; the link is woken when it is not. [IDENTITY-6]
Rule 3: who is revoked is let in nowhere and out everywhere, also where that comes between the
        check of their token and the begin of their session. [IDENTITY-7]
Rule 4: what can't be found out about a user ends the sessions it matters to: nobody goes on with
        what they were allowed before.

All of it may be called from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from replication.errors import ErrorCode, SessionError
from replication.protocol.server_session import ServerSession
from replication.server.custom_data import CustomData
from replication.server.policy import FREE
from replication.server.users import Revoked, User
from replication.storage.contract import Reader, Writer

if TYPE_CHECKING:
    from replication.rules.roles import Roles, Rules
    from replication.server.changes import Changes
    from replication.server.feed import Feed
    from replication.server.namespace import Namespace
    from replication.server.partitions import Partition


class Link:
    """One session and what it is bound to. Made by `Host.connect`.

    Attributes:
        session: to feed messages to.
        wake: called when there may be something to fetch.
        user: who it acts for, once it is open. Rule 2.
        namespace: its name and the data set, once it is open.
        feed: what it is sent, once it is active.
        partition: the one it was opened with.
        ended: why it is over, if it was ended from elsewhere.
        barrier: the greatest server version that a MARK waits for.
        roles: what its user may do: by these it is written. None: everything.
        basis: the user and the rules that they were derived from; None: nothing was yet.
        assigned: the same as it is known to the log: by this it is read.
        ends_at: of a file that was rolled back, the client version it ends at; otherwise 0.
    """

    __slots__ = ("assigned", "barrier", "basis", "ended", "ends_at", "feed", "namespace",
                 "partition", "roles", "session", "user", "wake")  # fmt: skip

    def __init__(self, session: ServerSession, wake: Callable[[], None]) -> None:
        self.session = session
        self.wake = wake
        self.user: User | None = None
        self.namespace: tuple[str, Namespace] | None = None
        self.feed: Feed | None = None
        self.ended: SessionError | None = None
        self.barrier = 0
        self.roles: Roles | None = None
        self.basis: tuple[User, Rules] | None = None
        self.assigned = FREE
        self.partition: Partition | None = None
        self.ends_at = 0

    @property
    def more(self) -> bool:
        """Whether there may be another message right behind what was just fetched."""
        return self.feed is None or self.feed.more

    def acts_for(self, user: User) -> None:
        """What is known of its user has changed. Rule 2."""
        self.user = user
        self.wake()

    def end(self, code: ErrorCode, message: str) -> None:
        """It is over, for a reason from elsewhere."""
        self.ended = SessionError(code, message)
        self.wake()


class Links:
    """The links that are open, by namespace and client file.

    Args:
        revoked: why a user is not welcome any more.
        custom_data: where the data sets say more about users; None where tokens do.
    """

    def __init__(self, revoked: Revoked, custom_data: CustomData | None) -> None:
        self._revoked = revoked
        self._custom_data = custom_data
        self._open: dict[str, dict[int, Link]] = {}
        self._changed: dict[str, list[Link]] = {}
        self._lock = threading.RLock()

    def of(self, name: str) -> list[Link]:
        """Those of a namespace."""
        with self._lock:
            return list(self._open.get(name, {}).values())

    def take_changed(self, name: str) -> list[Link]:
        """Those of which more or something else is known of their user than at the last call."""
        with self._lock:
            return self._changed.pop(name, [])

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._open.values()))

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._open.clear()

    # -- a session's life ------------------------------------------------------------------------
    def known(self, writer: Writer, user: User) -> User:
        """A user with the custom data that the data set has about them.

        Raises:
            SessionError: PERMISSION_DENIED; see `custom_data`.
        """
        if self._custom_data is None:
            return user
        self._custom_data.prepare(writer)
        return replace(user, custom_data=self._custom_data.of(writer, user.id))

    def reserved(self, link: Link) -> str:
        """The class that a session may not write to, whatever it may else. See `Terms`."""
        user, custom_data = link.user, self._custom_data
        if custom_data is None or link.roles is not None or user is None or user.type == "server":
            return ""
        return custom_data.class_name

    def add(self, link: Link, name: str, namespace: Namespace, ident: int, user: User) -> None:
        """A session is open. The one that held its file before is over: Rule 1.

        Raises:
            SessionError: it was ended meanwhile, or its user is not welcome any more. Rule 3.
        """
        with self._lock:
            if link.ended is not None:
                raise link.ended
            self._admit(user)
            links = self._open.setdefault(name, {})
            before = links.get(ident)
            links[ident] = link
            link.namespace, link.user = (name, namespace), user
        if before is not None and before is not link:
            before.end(ErrorCode.SUPERSEDED, f"another session of client file {ident} began")

    def refresh(self, link: Link, user: User) -> None:
        """A session's user as a fresh token describes them.

        Raises:
            SessionError: USER_MISMATCH, or they are not welcome any more.
        """
        with self._lock:
            held = link.user
            assert held is not None
            if user.id != held.id:
                message = f"the session belongs to {held.id}, the fresh token to {user.id}"
                raise SessionError(ErrorCode.USER_MISMATCH, message)
            self._admit(user)
            if self._custom_data is not None:  # which commits keep up to date
                user = replace(user, custom_data=held.custom_data)
            self._acts_for(link, user)

    def remove(self, link: Link) -> None:
        """A session is over. Idempotent."""
        with self._lock:
            if link.namespace is not None:
                links = self._open.get(link.namespace[0], {})
                if links.get(link.session.ident) is link:
                    del links[link.session.ident]
            if link.feed is not None:
                link.feed.close()
            link.feed = None
            if link.ended is None:
                link.ended = SessionError(ErrorCode.SHUTTING_DOWN, "the session is over")

    # -- users -----------------------------------------------------------------------------------
    def end_revoked(self) -> int:
        """End the sessions of all users who are not welcome any more; returns how many. Rule 3."""
        ended = 0
        with self._lock:
            for link in [link for links in self._open.values() for link in links.values()]:
                reason = None if link.user is None else self._revoked(link.user)
                if reason is not None and link.ended is None:
                    link.end(ErrorCode.TOKEN_INVALID, reason)
                    ended += 1
        return ended

    def _admit(self, user: User) -> None:
        reason = self._revoked(user)
        if reason is not None:
            raise SessionError(ErrorCode.TOKEN_INVALID, reason)

    def tell_users(self, name: str, namespace: Namespace, changes: Changes | None) -> None:
        """The log has grown: sessions learn what it says of their users. Rules 2 and 4.

        Args:
            changes: what it has more; None where that is too much to be looked through.
        """
        custom_data = self._custom_data
        if custom_data is None:
            return
        try:
            named: set[str] | None = None
            if changes is not None:
                named = {user for item in changes.touched for user in custom_data.users(item)}
            if named != set():
                with namespace.store.read() as reader:
                    self._read_users(reader, name, named, custom_data)
        except Exception as error:
            for link in self.of(name):
                link.end(ErrorCode.STORE_UNAVAILABLE, "the server can't read who its user is")
            raise error

    def _read_users(
        self, reader: Reader, name: str, named: set[str] | None, custom_data: CustomData
    ) -> None:
        with self._lock:
            for link in self.of(name):
                if link.user is not None and custom_data.concerns(link.user.id, named):
                    self._read_user(reader, link, link.user, custom_data)

    def _read_user(self, reader: Reader, link: Link, user: User, custom_data: CustomData) -> None:
        try:
            known = custom_data.of(reader, user.id)
        except SessionError as error:
            link.end(error.code, error.reason)
            return
        if known != user.custom_data:
            self._acts_for(link, replace(user, custom_data=known))

    def _acts_for(self, link: Link, user: User) -> None:
        assert link.namespace is not None
        self._changed.setdefault(link.namespace[0], []).append(link)
        link.acts_for(user)
