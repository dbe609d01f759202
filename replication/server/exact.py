"""What an exact message says of the objects that a stretch of the log touched.

Rules 1, 2 and 7 of `feed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replication.model.encoding import key_bytes
from replication.protocol.body import AuthorOp, DeltaOp, EvictOp, Operation, StateOp
from replication.server.changes import Touched
from replication.server.staging import cost, state_op
from replication.server.view import View
from replication.storage.contract import Reader


class StoreNeeded(Exception):  # noqa: N818 - a question, not an error
    """A state has parts, which only the store has."""


@dataclass(frozen=True, slots=True)
class Exact:
    """What one session, or all that see the same, are told.

    Args:
        view: what they see, at both ends of the stretch.
        ident: of the client file that is told; what it wrote itself it has.
        reader: to read parts; the stretch ends at its latest version. None where nothing can be
            read.
    """

    view: View
    ident: int
    reader: Reader | None

    def operations(self, touched: Iterable[Touched], bytes_max: int) -> list[Operation] | None:
        """The operations; None if they are too large for one message.

        Raises:
            StoreNeeded: without a reader.
        """
        out: list[Operation] = []
        told: set[AuthorOp] = set()
        left = bytes_max
        for item in touched:
            operation: Operation | None = None
            for operation in self._about(item):
                left -= cost(operation)
                if left < 0 and out:
                    return None
                out.append(operation)
            if operation is not None and type(operation) is not EvictOp:
                told.update(item.authors(self.ident))
        return [*sorted(told), *out]

    def joined(self, touched: Iterable[Touched]) -> Iterable[Touched]:
        """Each object once, of what was touched in several stretches that its view was told of.

        A stretch in which an object is out of view before and after is not among them: so what
        follows on a moment out of view may have a gap before it.
        """
        found: dict[tuple[str, bytes], Touched] = {}
        for item in touched:
            name = (item.class_name, key_bytes(item.key))
            held = found.get(name)
            if held is not None and held is not item:
                seen = self.view.sees(item.class_name, held.now)
                item = held.followed_by(item, gapless=seen)
            found[name] = item
        return found.values()

    def _about(self, touched: Touched) -> Iterator[Operation]:
        class_name, key, row = touched.class_name, touched.key, touched.row
        own = touched.is_by(self.ident)
        was = self.view.sees(class_name, touched.before)
        sees = self.view.sees(class_name, touched.now)
        deleted = was and not touched.now.is_alive
        if was and touched.gapless and (sees or deleted):
            for version, delta in touched.others(self.ident):
                yield DeltaOp(class_name, key, version, delta)
        elif row is not None and (sees or deleted):
            known = own and touched.gapless and touched.before.head is None
            if not known or touched.others(self.ident):
                yield self._state(touched)
        elif was or own:
            yield EvictOp(class_name, key)

    def _state(self, touched: Touched) -> StateOp:
        class_name, row = touched.class_name, touched.row
        assert row is not None
        if not touched.spread:
            return StateOp(class_name, row.key, row.version, row.head, [])
        if self.reader is None:
            raise StoreNeeded
        return state_op(self.reader, class_name, row)
