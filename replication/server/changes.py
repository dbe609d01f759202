"""What a stretch of the log did: the objects it touched, each as it was and as it is now.

Many sessions stand at the same place and look at the same stretch, so what is read and decoded for
one of them serves all. Who integrated the stretch has it decoded already; see `handover`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

from replication.crdt.object import CONTAINER, REGISTER, ObjectState
from replication.crdt.view import shows
from replication.history.changeset import UNSEEN, Outline, outline_trusted
from replication.history.log import Entry
from replication.model.encoding import key_bytes, unpack_trusted
from replication.model.values import Key
from replication.protocol.body import AuthorOp, DeltaOp
from replication.rules.access import Access
from replication.rules.project import UnknownHomeError, projected_delta
from replication.server import tables
from replication.server.lists import Lists
from replication.server.view import Image
from replication.storage.contract import Reader, StoredObject

#: What one touch takes in memory beside its bytes, roughly.
_WEIGHT: Final = 1000


class After(NamedTuple):
    """What whoever wrote to an object knows of it, and the log does not tell.

    Attributes:
        row, spread: as in `Touched`, right behind the touch.
        delta: the delta, decoded.
        old, new: what queries see of some fields, before and after; None where it was, or is, not
            alive.
    """

    row: StoredObject
    spread: bool
    delta: ObjectState
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


class Touch(NamedTuple):
    """What one entry of the log did to one object.

    Attributes:
        was: its head before; None where it was not there.
        delta: as it travels. ``unseen``: see `DeltaOp`.
        after: what is known beside that; None for what was read in the log.
    """

    class_name: str
    key: Key
    was: bytes | None
    delta: bytes
    unseen: int
    after: After | None = None

    @property
    def weight(self) -> int:
        """Bytes in memory, roughly."""
        head = 0 if self.after is None else len(self.after.row.head)
        return _WEIGHT + len(self.delta) + len(self.was or b"") + head


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


def objects_in(reader: Reader, versions: list[int], *, most: int) -> list[tuple[str, Key]] | None:
    """The objects that some entries touched, each once; None if there are more than ``most``."""
    found: dict[tuple[str, bytes], Key] = {}
    for version in versions:
        entry = tables.entry_at(reader, version)
        assert entry is not None, "the log is dense"
        for class_name, key, _ in outline_trusted(entry.changeset).objects:
            found[class_name, key_bytes(key)] = key
        if len(found) > most:
            return None
    return [(class_name, key) for (class_name, _), key in found.items()]


class Touched:
    """One object that a stretch of the log touched.

    Very many of them live for a while: each is as few objects as can be, so that Python's garbage
    collector has little to walk.

    Attributes:
        was: its head before the first touch; None where it was not there.
        row: as it is at the end; None where no row was ever made.
        gapless: every touch of the stretch is here. Otherwise the object was out of the view in
            between, where what happened to it is not known.
        spread: objects of its class have parts, which are not here.
    """

    __slots__ = ("_before", "_between", "_decoded", "_lists", "_now", "_projected", "_touches",
                 "class_name", "gapless", "key", "row", "spread", "was")  # fmt: skip

    def __init__(self, class_name: str, key: Key, was: bytes | None, lists: Lists) -> None:
        self._lists = lists
        self.class_name = class_name
        self.key = key
        self.was = was
        self.row: StoredObject | None = None
        self.gapless = True
        self.spread = False
        self._before: Image | None = None
        self._now: Image | None = None
        #: Its heads between two touches.
        self._between: list[bytes | None] | None = None
        #: Author, delta and `unseen` of each, one behind the other.
        self._touches: list[Any] = []
        #: The deltas decoded, as long as all of them are known and not forgotten.
        self._decoded: list[ObjectState] | None = None
        #: The projections of the deltas, by readable fields.
        self._projected: dict[Access, list[bytes | None] | None] | None = None

    def add(self, author: AuthorOp, delta: bytes, unseen: int = 0) -> None:
        """The first touch; ``unseen``: see `DeltaOp`."""
        self._touches += (author, delta, unseen)

    def add_later(self, was: bytes | None, author: AuthorOp, delta: bytes, unseen: int) -> None:
        """One more touch; ``was``: its head before."""
        if self._between is None:
            self._between = []
        self._between.append(was)
        self._touches += (author, delta, unseen)

    def knows(self, after: After) -> None:
        """What is known of it beside the touch that was added last."""
        self.row, self.spread = after.row, after.spread
        if self._decoded is None:
            self._decoded = []
            self._before = self._image(self.was, self.first - 1, after.old)
        self._decoded.append(after.delta)
        self._now = self._image(after.row.head, after.row.version, after.new)

    def _image(
        self, head: bytes | None, version: int, values: Mapping[str, Any] | None = None
    ) -> Image:
        """As it was at a version."""
        return Image(
            self.key, head, partial(self._lists.of, self.class_name, self.key, version), values
        )

    @property
    def before(self) -> Image:
        """As it was before the first touch."""
        if self._before is None:
            self._before = self._image(self.was, self.first - 1)
        return self._before

    @property
    def now(self) -> Image:
        """As it is at the end."""
        if self._now is None:
            row = self.row
            self._now = self._image(*((None, 0) if row is None else (row.head, row.version)))
        return self._now

    @property
    def is_alive(self) -> bool:
        """Whether it is there at the end."""
        return self.row is not None and shows(self.row.head)

    def between(self) -> Iterator[Image]:
        """As it was between two touches."""
        for head, author in zip(self._between or (), islice(self._authors, 1, None), strict=True):
            yield self._image(head, author.version - 1)

    def _each(self) -> Iterator[tuple[AuthorOp, bytes, int]]:
        items = iter(self._touches)
        return zip(items, items, items, strict=True)

    @property
    def _authors(self) -> list[AuthorOp]:
        return self._touches[::3]

    @property
    def first(self) -> int:
        """The version of the first touch."""
        version: int = self._touches[0].version
        return version

    def is_by(self, ident: int) -> bool:
        """Whether a file is among those who touched it."""
        return any(author.origin == ident for author in self._authors)

    @property
    def origins(self) -> set[int]:
        """The files that touched it."""
        return {author.origin for author in self._authors}

    def concerns(self, names: Collection[str]) -> bool:
        """Whether any of these fields may have another value than before."""
        decoded = self._decoded or map(unpack_trusted, self._touches[1::3])
        return any(changes_any(delta, names) for delta in decoded)

    def forget(self) -> None:
        """What was decoded to be looked at is not needed any more."""
        self._before = self._now = self._decoded = None

    def authors(self, ident: int) -> list[AuthorOp]:
        """Who made the versions that touched it and are not this file's."""
        return [author for author in self._authors if author.origin != ident]

    def versions(self, ident: int) -> list[int]:
        """Those versions."""
        return [author.version for author in self.authors(ident)]

    def others(self, ident: int) -> list[DeltaOp]:
        """The deltas that are not this file's."""
        return [
            DeltaOp(self.class_name, self.key, by.version, delta, unseen)
            for by, delta, unseen in self._each()
            if by.origin != ident
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
        if found is None:
            return None
        return [
            DeltaOp(self.class_name, self.key, by.version, delta, unseen)
            for (by, _, unseen), delta in zip(self._each(), found, strict=True)
            if delta is not None and by.origin != ident
        ]

    def _project(self, readable: Access) -> list[bytes | None] | None:
        assert self.row is not None, "what was touched is there"
        now = unpack_trusted(self.row.head)
        try:
            return [projected_delta(delta, readable, now) for delta in self._touches[1::3]]
        except UnknownHomeError:
            return None

    def followed_by(self, later: Touched, *, gapless: bool) -> Touched:
        """Both in one.

        Args:
            later: the same object in a later stretch.
            gapless: whether nothing touched it in between.
        """
        both = Touched(self.class_name, self.key, self.was, self._lists)
        both.row, both.spread = later.row, later.spread
        both.gapless = self.gapless and gapless
        both._between = [*(self._between or ()), later.was, *(later._between or ())]
        both._touches = [*self._touches, *later._touches]
        return both


class Told(NamedTuple):
    """An object that was touched, beside a view.

    Attributes:
        was: whether the view showed it before.
        sees: whether it does now.
    """

    touched: Touched
    was: bool
    sees: bool


class Changes:
    """What the log did after one version up to another, which was the latest when it was read.

    Args:
        lists: what is shown of long ones, as long as somebody looks at what was touched.

    Attributes:
        touched: the objects, in the order of their first touch.
        origins: the files that wrote, each with the last of its changesets.
        schemas: what entries added to the schema, in order.
        horizons: the versions as of which everything dead is forgotten.
        size: bytes of the changesets.
        weight: bytes in memory, roughly.
    """

    __slots__ = ("_lists", "horizons", "origins", "schemas", "size", "touched", "weight")

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self.touched: list[Touched] = []
        self.origins: dict[int, int] = {}
        self.schemas: list[dict[str, Any]] = []
        self.horizons: list[int] = []
        self.size = self.weight = 0

    def add(self, entry: Happened, found: dict[tuple[str, bytes], Touched]) -> None:
        """One more entry of the log: the next.

        Args:
            found: what was touched so far, by class and the bytes of the key.
        """
        author = entry.author
        self.size += entry.size
        self.origins[author.origin] = entry.client_version
        if entry.schema:
            self.schemas.append(entry.schema)
        if entry.is_horizon:
            self.horizons.append(author.version)
        for touch in entry.touches:
            name = (touch.class_name, key_bytes(touch.key))
            touched = found.get(name)
            if touched is None:
                touched = Touched(touch.class_name, touch.key, touch.was, self._lists)
                found[name] = touched
                touched.add(author, touch.delta, touch.unseen)
                self.touched.append(touched)
            else:
                touched.add_later(touch.was, author, touch.delta, touch.unseen)
            if touch.after is not None:
                touched.knows(touch.after)
            self.weight += touch.weight


def changes_any(delta: ObjectState, names: Collection[str]) -> bool:
    """Whether a delta may change the value of any of these fields of a living object."""
    if delta[0]:
        return True  # its existence
    for kind, held in delta[3].items():
        if kind == CONTAINER:
            return True  # of a field that is not named here
        written = [held] if kind != REGISTER else [group[2] for group in held]
        if any(name in names for fields in written for name in fields):
            return True
    return False


def author_of(entry: Entry, changeset: Outline) -> AuthorOp:
    """Who made an entry of the log, whose changeset is at hand. [DOWN-9]"""
    return AuthorOp(entry.version, entry.origin, changeset.time, changeset.cursor)


def read_changes(
    reader: Reader, after: int, last: int, bytes_max: int, lists: Lists
) -> Changes | None:
    """What happened after a version up to the latest; None if it is more than ``bytes_max``.

    Args:
        last: the latest version of the transaction.
        lists: see `Changes`.
    """
    changes, found = Changes(lists), dict[tuple[str, bytes], Touched]()
    for entry in tables.entries(reader, after + 1, last):
        if changes.size + len(entry.changeset) > bytes_max:
            return None
        changes.add(_happened(entry), found)
    spread = {name: tables.has_parts(reader, name) for name in {name for name, _ in found}}
    for touched in changes.touched:
        touched.spread = spread[touched.class_name]
        touched.row = reader.get_object(touched.class_name, touched.key)
        changes.weight += 0 if touched.row is None else len(touched.row.head)
    return changes


def _happened(entry: Entry) -> Happened:
    """What an entry did, as far as the log tells."""
    changeset = outline_trusted(entry.changeset)
    touches = [
        Touch(class_name, key, was, delta, int(changeset.marks.get(position) == UNSEEN))
        for position, ((class_name, key, delta), was) in enumerate(
            zip(changeset.objects, entry.before, strict=True)
        )
    ]
    return Happened(
        author_of(entry, changeset),
        entry.client_version,
        entry.schema,
        changeset.horizon == entry.version,
        len(entry.changeset),
        touches,
    )
