"""What an exact message says of the objects that a stretch of the log touched.

Rules 1, 2 and 7 of `feed`.

Rule 1: where rules hide objects, deltas are sent only of what was in view all along: what was
        written to an object while it was hidden is never sent, even if it was overwritten since.
        [RULES-HIDE-3]
Rule 3: nor of what was written before it was known what the user might read, or before that
        changed last: roles that came back are no reason to tell what was written when they were
        gone. [RULES-HIDE-3]
Rule 2: of what only hidden fields changed nothing is sent, not even who changed it. [RULES-HIDE-2]
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

from replication.crdt.view import shows
from replication.model.encoding import key_bytes
from replication.model.values import Key
from replication.protocol.body import AuthorOp, DeltaOp, EvictOp, Operation, StateOp
from replication.server.changes import Told
from replication.server.lists import present
from replication.server.members import Members
from replication.server.shared import Shared
from replication.server.staging import cost, state_op
from replication.server.touches import Touched
from replication.server.view import View
from replication.storage.contract import Reader, StoredObject


class StoreNeeded(Exception):  # noqa: N818 - a question, not an error
    """A state has parts, which only the store has."""


class Exact:
    """What one session, or all that see the same, are told.

    Args:
        view: what they see, at both ends of the stretch.
        ident: of the client file that is told; what it wrote itself it has.
        shared: what was projected for others.
        since: the version from which on the user might read what the view shows. Rule 3.
        reader: to read parts; the stretch ends at its latest version. None where nothing can be
            read.
    """

    __slots__ = ("_ident", "_reader", "_shared", "_since", "_view")

    def __init__(
        self, view: View, ident: int, shared: Shared, since: int, reader: Reader | None
    ) -> None:
        self._view = view
        self._ident = ident
        self._shared = shared
        self._since = since
        self._reader = reader

    def operations(
        self, told: Iterable[Told], bytes_max: int, moved: Iterable[Operation] = ()
    ) -> list[Operation] | None:
        """The operations, each object once; None if they are too large for one message.

        Args:
            moved: what there is to say of objects that were not touched.

        Raises:
            StoreNeeded: without a reader.
        """
        out: list[Operation] = []
        authors: dict[int, AuthorOp] = {}
        left = bytes_max
        for item in told:
            about = self._about(item)
            for operation in about:
                left -= cost(operation)
                if left < 0 and out:
                    return None
                out.append(operation)
            if about and type(about[0]) is not EvictOp:
                for author in self._authors(item.touched, authors):
                    authors[author.version] = author
        for operation in moved:
            left -= cost(operation)
            if left < 0 and out:
                return None
            out.append(operation)
        return [*(authors[version] for version in sorted(authors)), *out]

    def _about(self, told: Told) -> Sequence[Operation]:
        touched, was, sees = told
        deleted = was and not touched.is_alive
        if was and (sees or deleted) and self._was_shown_throughout(touched):
            deltas = self._deltas(touched)
            if deltas is not None:
                return deltas
        row, own = touched.row, touched.is_by(self._ident)
        if row is not None and (sees or deleted):
            known = own and touched.gapless and touched.was is None
            if not known or touched.others(self._ident):
                return [self._state(touched, row)]
        elif was or own:
            return [EvictOp(touched.class_name, touched.key)]
        return []

    def _was_shown_throughout(self, touched: Touched) -> bool:
        """Rules 1 and 3."""
        if not touched.gapless or touched.first <= self._since:
            return False
        if not self._view.guards(touched.class_name):
            return True
        return all(self._view.sees(touched.class_name, image) for image in touched.between())

    def _deltas(self, touched: Touched) -> list[DeltaOp] | None:
        """Those of others, as they may be read; None where the state has to be sent."""
        readable = self._view.access(touched.class_name)
        if readable is None:
            return touched.others(self._ident)
        return touched.projected(self._ident, readable)

    def _authors(self, touched: Touched, known: Container[int] = ()) -> Iterable[AuthorOp]:
        """Who made what is told of an object, but for some versions. Rule 2."""
        authors = touched.authors(self._ident, known)
        if self._view.access(touched.class_name) is None:
            return authors
        # Where only the state can tell what is hidden, nobody is named.
        versions = {delta.version for delta in self._deltas(touched) or ()}
        return [author for author in authors if author.version in versions]

    def _state(self, touched: Touched, row: StoredObject) -> StateOp:
        class_name = touched.class_name
        versions = [author.version for author in self._authors(touched)]
        readable = self._view.access(class_name)
        if not touched.spread:
            head = row.head
            if readable is not None:
                head = self._shared.projected(class_name, row, readable)
            return StateOp(class_name, row.key, row.version, head, [], versions)
        if self._reader is None:
            raise StoreNeeded
        return state_op(self._reader, class_name, row, readable, self._shared, versions)


def seen_by(
    view: View, touched: Iterable[Touched], before: Members, now: Members
) -> Iterator[Told]:
    """What was touched, beside a view that was asked, and its members at both ends."""
    whole: dict[str, bool] = {}
    for item in touched:
        seen_whole = whole.get(item.class_name)
        if seen_whole is None:
            seen_whole = whole[item.class_name] = view.sees_all(item.class_name)
        if seen_whole:  # no image has to be made, and kept
            was, sees = shows(item.was), item.is_alive
        else:
            was = view.sees(item.class_name, item.before)
            sees = view.sees(item.class_name, item.now)
        if before or now:
            name = (item.class_name, key_bytes(item.key))
            was, sees = was or name in before, sees or name in now
        yield Told(item, was, sees)


def moved(
    view: View,
    reader: Reader,
    shared: Shared,
    touched: Iterable[Touched],
    before: Members,
    now: Members,
) -> Iterator[Operation]:
    """What came or went without having been touched itself: other objects decided."""
    changed = now.changed_since(before)
    if changed:
        changed -= {(item.class_name, key_bytes(item.key)) for item in touched}
    for name in sorted(changed):
        row = reader.get_object(name[0], now[name] if name in now else before[name])
        if row is None or view.sees(name[0], present(reader, name[0], row.key, row)):
            continue
        if name in now:
            yield state_op(reader, name[0], row, view.access(name[0]), shared)
        else:
            yield EvictOp(name[0], row.key)


def joined(told: list[Told]) -> Iterable[Told]:
    """Each object once, of what was touched in several stretches that a session is told of.

    A stretch in which an object is out of view before and after is not among them: so what
    follows on a moment out of view may have a gap before it.
    """
    if len(told) == 1:
        return told
    found: dict[tuple[str, Key], Told] = {}
    for item in told:
        name = (item.touched.class_name, item.touched.key)
        held = found.get(name)
        if held is not None:
            both = held.touched.followed_by(item.touched, gapless=held.sees)
            item = Told(both, held.was, item.sees)
        found[name] = item
    return found.values()
