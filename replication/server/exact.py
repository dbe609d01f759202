"""What an exact message says of the objects that a stretch of the log touched.

Rules 1, 2 and 7 of `feed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replication.model.encoding import key_bytes
from replication.protocol.body import AuthorOp, EvictOp, Operation, StateOp
from replication.server.changes import Told, Touched
from replication.server.staging import cost, state_op
from replication.server.view import View
from replication.storage.contract import Reader, StoredObject


class StoreNeeded(Exception):  # noqa: N818 - a question, not an error
    """A state has parts, which only the store has."""


@dataclass(frozen=True, slots=True)
class Exact:
    """What one session, or all that see the same, are told.

    Args:
        ident: of the client file that is told; what it wrote itself it has.
        reader: to read parts; the stretch ends at its latest version. None where nothing can be
            read.
    """

    ident: int
    reader: Reader | None

    def operations(self, told: Iterable[Told], bytes_max: int) -> list[Operation] | None:
        """The operations, each object once; None if they are too large for one message.

        Raises:
            StoreNeeded: without a reader.
        """
        out: list[Operation] = []
        authors: set[AuthorOp] = set()
        left = bytes_max
        for item in told:
            operation: Operation | None = None
            for operation in self._about(item):
                left -= cost(operation)
                if left < 0 and out:
                    return None
                out.append(operation)
            if operation is not None and type(operation) is not EvictOp:
                authors.update(item.touched.authors(self.ident))
        return [*sorted(authors), *out]

    def _about(self, told: Told) -> Iterator[Operation]:
        touched, was, sees = told
        class_name, key, row = touched.class_name, touched.key, touched.row
        own = touched.is_by(self.ident)
        deleted = was and not touched.now.is_alive
        if was and touched.gapless and (sees or deleted):
            yield from touched.others(self.ident)
        elif row is not None and (sees or deleted):
            known = own and touched.gapless and touched.before.head is None
            if not known or touched.others(self.ident):
                yield self._state(touched, row)
        elif was or own:
            yield EvictOp(class_name, key)

    def _state(self, touched: Touched, row: StoredObject) -> StateOp:
        class_name, versions = touched.class_name, touched.versions(self.ident)
        if not touched.spread:
            return StateOp(class_name, row.key, row.version, row.head, [], versions)
        if self.reader is None:
            raise StoreNeeded
        return state_op(self.reader, class_name, row, versions)


def seen_by(view: View, touched: Iterable[Touched]) -> Iterator[Told]:
    """What was touched, beside a view that was asked."""
    for item in touched:
        was = view.sees(item.class_name, item.before)
        yield Told(item, was, view.sees(item.class_name, item.now))


def joined(told: list[Told]) -> Iterable[Told]:
    """Each object once, of what was touched in several stretches that a session is told of.

    A stretch in which an object is out of view before and after is not among them: so what
    follows on a moment out of view may have a gap before it.
    """
    if len(told) == 1:
        return told
    found: dict[tuple[str, bytes], Told] = {}
    for item in told:
        name = (item.touched.class_name, key_bytes(item.touched.key))
        held = found.get(name)
        if held is not None:
            both = held.touched.followed_by(item.touched, gapless=held.sees)
            item = Told(both, held.was, item.sees)
        found[name] = item
    return found.values()
