"""The bodies of a session's exact messages, made once for all sessions that are told the same.

Rule 1: where `fanout` knows what concerns the session, nothing is read; the body ends at the last
        version that was published. Otherwise the log is read, up to its end.
Rule 2: what a session wrote itself, or might not read all along, makes its body its own.
Rule 3: a horizon is told to every session that passes it, whatever it asked for. [DOWN-11]
"""

from __future__ import annotations

from typing import Final

from replication.protocol.body import ForgetOp, Operation, SchemaOp, encode_operations
from replication.server.exact import Exact, StoreNeeded, joined, moved, seen_by
from replication.server.fanout import News
from replication.server.members import NOBODY, keep_members, members_after, members_at
from replication.server.namespace import Namespace
from replication.server.shared import Body
from replication.server.tables import Ledger
from replication.server.view import View
from replication.storage.contract import Reader

#: Size and body of a message without operations.
_NOTHING: Final = encode_operations([])


def nothing(version: int, salt: int) -> Body:
    """Of a message that only says how far it leads."""
    return Body(version, salt, frozenset(), 0, *_NOTHING)


class Bodies:
    """Makes them.

    Args:
        namespace: the data set.
        ident: of the client file that is told.
        bytes_target: bytes of operations that fit one message.
        entries_max: log entries that one message may cover.
    """

    def __init__(
        self, namespace: Namespace, ident: int, *, bytes_target: int, entries_max: int
    ) -> None:
        self._namespace = namespace
        self._shared = namespace.shared
        self._ident = ident
        self._bytes_target = bytes_target
        self._entries_max = entries_max

    def of_news(self, view: View, news: News, since: int) -> Body | None:
        """What there is to say of what is known; None if the store has to be asked. Rule 1.

        Args:
            since: the version from which on its user might read what the view shows; see `exact`.
        """
        if min(news.entries, len(news.told)) > self._entries_max:
            return None
        if not news.told:
            return nothing(news.version, news.salt)
        key = (view.key, news.start, news.version)
        # What tells of the time before is not what others are told.
        is_own = news.is_own or news.start < since
        body = None if is_own else self._shared.bodies.get(key)
        if body is None:
            exact = Exact(view, self._ident, self._shared, since, None)
            try:
                operations = exact.operations(joined(news.told), self._bytes_target)
            except StoreNeeded:
                return None
            if operations is None:
                return None
            origins = frozenset[int]().union(*(told.touched.origins for told in news.told))
            body = self.encoded(news.version, news.salt, operations, origins)
            if not is_own:
                self._share(key, body)
        return body

    def of_log(
        self, reader: Reader, ledger: Ledger, view: View, reached: int, since: int
    ) -> Body | None:
        """What there is to say up to the latest version; None if it takes several messages.

        Args:
            reached: the version it begins behind.
            since: as in `of_news`.
        """
        if ledger.version - reached > self._entries_max:
            return None
        shared, latest = self._shared, ledger.version
        changes = self._namespace.changes(reader, reached, latest, 2 * self._bytes_target)
        if changes is None:
            return None
        before = now = NOBODY
        if view.might_move(item.class_name for item in changes.touched):
            before = members_at(shared, view, reader, reached, latest)
            now = members_after(shared, view, reader, before, changes.touched, latest)
        else:
            keep_members(shared, view, reached, latest)
        told = Exact(view, self._ident, shared, since, reader).operations(
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
        body = self.encoded(latest, ledger.salt, operations, origins)
        if self._ident not in origins and reached >= since:
            self._share((view.key, reached, latest), body)
        return body

    def _share(self, key: tuple[tuple[str, ...], int, int], body: Body) -> None:
        """Keep a body for other sessions: by the view's key, where it begins and ends."""
        self._shared.bodies.put(key, body, len(body.body) + 100)

    def encoded(
        self, version: int, salt: int, operations: list[Operation], origins: frozenset[int]
    ) -> Body:
        """A body of operations.

        Args:
            origins: the files that wrote what they are about.
        """
        self._shared.encoded += 1
        size, data = encode_operations(operations) if operations else _NOTHING
        return Body(version, salt, origins, len(operations), size, data)
