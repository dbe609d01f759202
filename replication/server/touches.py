"""What entries of the log did to objects, one by one and each object's together.

Very many of these live for a while, and Python's garbage collector walks all containers there are
whenever a quarter more have come. So each is as few objects as can be, and plain tuples of numbers
and bytes, which the collector passes over.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

from replication.crdt.object import CONTAINER, REGISTER, ObjectState
from replication.crdt.view import shows
from replication.model.encoding import unpack_trusted
from replication.model.values import Key
from replication.protocol.body import AuthorOp, DeltaOp
from replication.rules.access import Access
from replication.rules.project import UnknownHomeError, projected_delta
from replication.server.lists import Lists
from replication.server.view import Image
from replication.storage.contract import StoredObject

#: What whoever wrote to an object knows of it, and the log does not tell: its head behind the
#: touch, its row and version; whether objects of its class have parts; the fields that were
#: written, see `fields_written`; what queries see of some fields before and after, names and values
#: in turn, None where it was, or is, not alive.
_After: TypeAlias = tuple[
    bytes | None,
    int,
    int,
    bool,
    tuple[str, ...] | None,
    tuple[Any, ...] | None,
    tuple[Any, ...] | None,
]
#: What one entry of the log did to one object: class and key, its head before (None where it was
#: not there), the delta as it travels, `DeltaOp.unseen`, and behind these the items of `_After`.
Touch: TypeAlias = tuple[str, Key, bytes | None, bytes, int, *_After]
#: The end of a touch that was read in the log.
UNKNOWN: Final[_After] = (None, 0, 0, False, None, None, None)


class Happened(NamedTuple):
    """What one entry of the log did.

    Attributes:
        client_version: of the changeset, whose author `author` is.
        schema: what it added to that.
        is_horizon: everything dead is forgotten here.
        size: bytes of the changeset.
    """

    author: AuthorOp
    client_version: int
    schema: dict[str, Any]
    is_horizon: bool
    size: int
    touches: list[Touch]


#: What one touch takes in memory beside its bytes, roughly.
_WEIGHT: Final = 500


def weight_of(entry: Happened) -> int:
    """Bytes in memory, roughly."""
    weight = entry.size
    for touch in entry.touches:
        weight += _WEIGHT + len(touch[3]) + len(touch[2] or b"") + len(touch[5] or b"")
    return weight


def known_values(values: Mapping[str, Any] | None) -> tuple[Any, ...] | None:
    """What queries see of some fields, as `After` has it."""
    return None if values is None else tuple(chain.from_iterable(values.items()))


def fields_written(delta: ObjectState) -> tuple[str, ...] | None:
    """The fields of a living object that a delta may change the values of; None: any."""
    if delta[0]:
        return None  # its existence
    names: list[str] = []
    for kind, held in delta[3].items():
        if kind == CONTAINER:
            return None  # of a field that is not named here
        if kind == REGISTER:
            for group in held:
                names += group[2]
        else:
            names += held
    return tuple(names)


#: What `Touched` holds of each touch: version, origin, time and seen of the author, the delta,
#: `unseen`, the head before.
_ITEMS: Final = 7
#: Touches of one object up to which a tuple is made anew for one more.
_FEW: Final = 16


class Touched:
    """One object that a stretch of the log touched.

    Attributes:
        was: its head before the first touch; None where it was not there.
        gapless: every touch of the stretch is here. Otherwise the object was out of the view in
            between, where what happened to it is not known.
        spread: objects of its class have parts, which are not here.
    """

    __slots__ = ("_before", "_head", "_lists", "_new", "_now", "_old", "_projected", "_row",
                 "_touches", "_version", "_written", "class_name", "gapless", "key", "spread",
                 "was")  # fmt: skip

    def __init__(self, class_name: str, key: Key, was: bytes | None, lists: Lists) -> None:
        self._lists = lists
        self.class_name = class_name
        self.key = key
        self.was = was
        self.gapless = True
        self.spread = False
        #: At the end; 0 where no row was ever made.
        self._row = self._version = 0
        self._head: bytes | None = None
        #: One touch behind the other; see `_ITEMS`.
        self._touches: tuple[Any, ...] | list[Any] = ()
        #: What each touch wrote, where that is known; see `fields_written`.
        self._written: tuple[tuple[str, ...] | None, ...] = ()
        #: What is known of the images, and these once they were asked for.
        self._old: tuple[Any, ...] | None = None
        self._new: tuple[Any, ...] | None = None
        self._before: Image | None = None
        self._now: Image | None = None
        #: The projections of the deltas, by readable fields.
        self._projected: dict[Access, list[bytes | None] | None] | None = None

    def add(self, author: AuthorOp, touch: Touch) -> None:
        """One more touch, behind those there are."""
        _, _, was, delta, unseen, head, row, version, spread, written, old, new = touch
        if head is not None:
            self._head, self._row, self._version, self.spread = head, row, version, spread
            self._new = new
            if not self._touches:
                self._old = old
            if len(self._written) < _FEW:
                self._written = (*self._written, written)
        items = (*author, delta, unseen, was)
        held = self._touches
        if isinstance(held, list):
            held += items
        elif len(held) < _FEW * _ITEMS:
            self._touches = (*held, *items)
        else:
            self._touches = [*held, *items]

    @property
    def row(self) -> StoredObject | None:
        """As it is at the end; None where no row was ever made."""
        if self._head is None:
            return None
        return StoredObject(self._row, self.key, self._version, self._head)

    def ends_as(self, row: StoredObject | None) -> None:
        """The row there is at the end."""
        if row is not None:
            self._row, _, self._version, self._head = row

    @property
    def before(self) -> Image:
        """As it was before the first touch."""
        if self._before is None:
            self._before = self._image(self.was, self.first - 1, self._old)
        return self._before

    @property
    def now(self) -> Image:
        """As it is at the end."""
        if self._now is None:
            self._now = self._image(self._head, self._version, self._new)
        return self._now

    @property
    def is_alive(self) -> bool:
        """Whether it is there at the end."""
        return shows(self._head)

    def between(self) -> Iterator[Image]:
        """As it was between two touches."""
        later = self._touches[_ITEMS::_ITEMS]
        for head, version in zip(self._touches[2 * _ITEMS - 1 :: _ITEMS], later, strict=True):
            yield self._image(head, version - 1)

    def _image(
        self, head: bytes | None, version: int, known: tuple[Any, ...] | None = None
    ) -> Image:
        """As it was at a version."""
        parts = partial(self._lists.of, self.class_name, self.key, version)
        values = None if known is None else dict(zip(known[::2], known[1::2], strict=True))
        return Image(self.key, head, parts, values)

    @property
    def first(self) -> int:
        """The version of the first touch."""
        version: int = self._touches[0]
        return version

    def is_by(self, ident: int) -> bool:
        """Whether a file is among those who touched it."""
        return ident in self._touches[1::_ITEMS]

    @property
    def origins(self) -> set[int]:
        """The files that touched it."""
        return set(self._touches[1::_ITEMS])

    @property
    def _deltas(self) -> tuple[bytes, ...] | list[bytes]:
        return self._touches[4::_ITEMS]

    def concerns(self, names: Collection[str]) -> bool:
        """Whether any of these fields may have another value than before."""
        all_written: Iterable[tuple[str, ...] | None] = self._written
        if len(self._written) * _ITEMS != len(self._touches):
            all_written = map(fields_written, map(unpack_trusted, self._deltas))
        return any(
            written is None or any(name in names for name in written) for written in all_written
        )

    def forget(self) -> None:
        """What is known so that it can be looked at is not needed any more."""
        self._before = self._now = self._old = self._new = None
        self._written = ()

    def authors(self, ident: int, known: Container[int] = ()) -> Iterator[AuthorOp]:
        """Who made the versions that touched it and are not this file's.

        Args:
            known: versions whose authors nobody needs.
        """
        touches = self._touches
        for at in range(0, len(touches), _ITEMS):
            if touches[at + 1] != ident and touches[at] not in known:
                yield AuthorOp(*touches[at : at + 4])

    def others(self, ident: int) -> list[DeltaOp]:
        """The deltas that are not this file's."""
        return self._told(ident, self._deltas)

    def _told(self, ident: int, deltas: Iterable[bytes | None]) -> list[DeltaOp]:
        touches = self._touches
        return [
            DeltaOp(self.class_name, self.key, touches[at], delta, touches[at + 5])
            for at, delta in zip(range(0, len(touches), _ITEMS), deltas, strict=True)
            if delta is not None and touches[at + 1] != ident
        ]

    def projected(self, ident: int, readable: Access) -> list[DeltaOp] | None:
        """The same with the readable fields alone; None where only the state can tell.

        A delta of which nothing is left is left out.
        """
        if self._projected is None:
            self._projected = {}
        if readable not in self._projected:
            self._projected[readable] = self._project(readable)
        found = self._projected[readable]
        return None if found is None else self._told(ident, found)

    def _project(self, readable: Access) -> list[bytes | None] | None:
        assert self._head is not None, "what was touched is there"
        now = unpack_trusted(self._head)
        try:
            return [projected_delta(delta, readable, now) for delta in self._deltas]
        except UnknownHomeError:
            return None

    def followed_by(self, later: Touched, *, gapless: bool) -> Touched:
        """Both in one.

        Args:
            later: the same object in a later stretch.
            gapless: whether nothing touched it in between.
        """
        both = Touched(self.class_name, self.key, self.was, self._lists)
        both._row, both._version, both._head = later._row, later._version, later._head
        both.spread = later.spread
        both.gapless = self.gapless and gapless
        both._touches = [*self._touches, *later._touches]
        return both
