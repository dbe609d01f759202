"""What handles read: one `Entity` for each object that some handle stands for.

Rule 1: outside of a write transaction, and inside one for objects it has not edited, a handle
        reads a `Snapshot`: the object as one read transaction of the store found it, decoded once.
Rule 2: a snapshot is valid until a commit that touched its object bumps the entity's generation.
        The generation is taken before the store is read, so that a commit in between only makes
        the fresh snapshot stale, never a stale one look fresh.
Rule 3: all handles of an object share its entity, which lives as long as one of them does: what
        is kept in memory follows what the app holds, not what the file holds.
Rule 4: ids under a former ident (0, or a copied file's) in paths that an app holds are renamed
        as the file's were, in the order in which that happened.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from replication.client.loaded_text import Load
from replication.client.replica import Change
from replication.client.typed import as_shown
from replication.crdt import object as obj
from replication.crdt.container import Slot, collection_of, list_path
from replication.crdt.delta import Pieces
from replication.crdt.document import pieces_of
from replication.crdt.list import Id, all_elements, empty_chunk
from replication.crdt.object import Fields, ObjectState, absent, is_alive
from replication.crdt.parts import Parts, Path
from replication.crdt.sequence import Sequence
from replication.crdt.text import Text, all_updates, empty_text
from replication.crdt.view import shows
from replication.errors import NoSuchObjectError
from replication.model.encoding import key_bytes, unpack_trusted
from replication.model.values import Key, Link

if TYPE_CHECKING:
    from replication.client.database import Database

_T = TypeVar("_T")

#: What names an object in memory: class and canonical key bytes.
ObjectName: TypeAlias = tuple[str, bytes]
#: Where an embedded object is, as apps go there: field names, and dictionary keys or element ids.
Steps: TypeAlias = tuple[str | tuple[int, int], ...]

#: Changes in one commit above which every entity is made stale, instead of looking each up.
MANY: Final = 1000


class Listing(Protocol):
    """A list as handles read it: its visible elements, in order.

    Attributes:
        edits: how often it was edited since it was opened.
        shown: for whoever hides elements to remember which are left.
    """

    edits: int
    shown: Any

    @property
    def ids(self) -> list[Id]:
        """The visible elements."""

    def value_at(self, index: int) -> Any:
        """The value of one; None for an embedded object."""

    def value_of(self, here: Id) -> Any:
        """The value of the element of that id; None where there is none."""

    def values(self) -> list[Any]:
        """All values; not to be changed."""


class CommittedList:
    """A list as it is committed."""

    __slots__ = ("_by_id", "_ids", "_values", "contents", "edits", "shown")

    def __init__(self, state: Any, parts: Parts, path: Path) -> None:
        elements = all_elements(state, parts, path)
        self._ids = Sequence(elements).visible
        self._by_id = elements.values
        self._values = [elements.values[here][2] for here in self._ids]
        self.contents: dict[Id, Fields] = elements.contents
        self.edits = 0
        self.shown: Any = None

    @property
    def ids(self) -> list[Id]:
        return self._ids

    def value_at(self, index: int) -> Any:
        return self._values[index]

    def value_of(self, here: Id) -> Any:
        held = self._by_id.get(here)
        return None if held is None else held[2]

    def values(self) -> list[Any]:
        return self._values


class PartsMissingError(Exception):
    """A list is spread over parts, and they were not read; it never leaves the client."""


def unread(_name: bytes) -> bytes:
    """Parts that nobody read."""
    raise PartsMissingError


class Snapshot:
    """One object as it is committed.

    Args:
        generation: its entity's, from before it was read.
        chunks: its parts by name; None where they were not read.
    """

    __slots__ = ("_lists", "_parts", "_places", "_texts", "generation", "top")

    def __init__(
        self, generation: int, state: ObjectState, chunks: Mapping[bytes, bytes] | None
    ) -> None:
        self.generation = generation
        #: The object's own fields; None if it is not alive.
        self.top: Fields | None = state[3] if is_alive(state) else None
        self._parts = Parts(unread if chunks is None else chunks.get)
        self._places: dict[Steps, tuple[Fields | None, Path]] = {(): (self.top, ())}
        self._lists: dict[tuple[Steps, Slot], CommittedList] = {}
        self._texts: dict[tuple[Steps, str], Pieces] = {}

    def fields(self, path: Steps) -> Fields | None:
        """The fields of the embedded object at a path; None where there is none."""
        return self._place(path)[0]

    def listing(self, path: Steps, name: Slot) -> CommittedList:
        """A list of the fields at a path: of a property, or a container; empty if none is."""
        found = self._lists.get((path, name))
        if found is None:
            fields, place = self._place(path)
            state = collection_of(fields or {}, obj.LIST, name) or [[], empty_chunk()]
            found = CommittedList(state, self._parts, list_path(place, name))
            self._lists[path, name] = found
        return found

    def text(self, path: Steps, name: str) -> Pieces:
        """What the text ``name`` of the fields at a path shows."""
        found = self._texts.get((path, name))
        if found is None:
            found = self._texts[path, name] = pieces_of(self.text_updates(path, name))
        return list(found)

    def text_updates(self, path: Steps, name: str) -> list[bytes]:
        """The updates whose union it is."""
        fields, place = self._place(path)
        state = (fields or {}).get(obj.TEXT, {}).get(name) or empty_text()
        return all_updates(state, self._parts, (*place, obj.TEXT, name))

    def text_state(self, path: Steps, name: str) -> tuple[Text | None, Load]:
        """Its state, None where no object is, and what reads the parts of it."""
        fields, place = self._place(path)
        state = None if fields is None else fields.get(obj.TEXT, {}).get(name) or empty_text()
        return state, lambda number: self._parts.load((*place, obj.TEXT, name), [], number)

    def _place(self, path: Steps) -> tuple[Fields | None, Path]:
        found = self._places.get(path)
        if found is None:
            found = self._places[path] = inside(self.top, path, self._element)
        return found

    def _element(self, path: Steps, name: str, here: Id) -> Fields | None:
        elements = self.listing(path, name)
        found = elements.contents.get(here)
        return {} if found is None and here in elements.ids else found


def inside(
    fields: Fields | None, path: Steps, element: Callable[[Steps, str, Id], Fields | None]
) -> tuple[Fields | None, Path]:
    """The fields at a path, for reading, and that path as `crdt.parts` spells it.

    The first is None where no object is. ``element`` gives the fields of a list's element, by the
    path and name of the list and the element's id.
    """
    place: list[Any] = []
    position = 0
    while position < len(path) and fields is not None:
        name, step = (*path[position : position + 2], None)[:2]
        assert isinstance(name, str)
        if isinstance(step, tuple):
            place += (obj.LIST, name, step)
            fields = element(path[:position], name, step)
            position += 2
            continue
        if name in fields.get(obj.EMBEDDED, {}):
            place += (obj.EMBEDDED, name)
            held = fields[obj.EMBEDDED][name]
            position += 1
        else:
            place += (obj.DICTIONARY, name, step)
            dictionary = fields.get(obj.DICTIONARY, {}).get(name)
            held = None if dictionary is None else dictionary[2].get(step)
            position += 2
        fields = held[3] if held is not None and is_alive(held) else None
    return fields, tuple(place)


class Entity:
    """One object, as all handles of a database that stand for it see it.

    Attributes:
        generation: grows with every commit that may have touched the object.
    """

    __slots__ = ("__weakref__", "_head", "_snapshot", "_wants_parts", "class_name", "db",
                 "generation", "key", "name")  # fmt: skip

    def __init__(self, db: Database, name: ObjectName, key: Key) -> None:
        self.db = db
        self.name = name
        self.class_name = name[0]
        self.key = key
        self.generation = 0
        self._wants_parts = False
        self._snapshot: Snapshot | None = None
        # The generation before it was read, and the head: most are never decoded.
        self._head: tuple[int, bytes] | None = None

    def fields(self, path: Steps = ()) -> Fields | None:
        """The fields at a path, as this thread sees them; None where no object is."""
        transaction = self.db.transaction
        if transaction is not None:
            edit = transaction.held(self.name)
            if edit is not None:
                return edit.fields(path)
        snapshot = self._snapshot
        if snapshot is None or snapshot.generation != self.generation:
            snapshot = self._load()
        if not path:
            return snapshot.top
        try:
            return snapshot.fields(path)
        except PartsMissingError:
            return self._load_parts().fields(path)

    def listing(self, path: Steps, name: Slot) -> Listing:
        """A list of the fields at a path, as this thread sees it; empty where there is none."""
        transaction = self.db.transaction
        if transaction is not None:
            edit = transaction.held(self.name)
            if edit is not None:
                return edit.editor(path, name)
        kept = self.db.open_lists.get(self.name, path, name)
        if kept is not None:
            return kept
        snapshot = self._snapshot
        if snapshot is None or snapshot.generation != self.generation:
            snapshot = self._load()
        try:
            return snapshot.listing(path, name)
        except PartsMissingError:
            return self._load_parts().listing(path, name)

    def text(self, path: Steps, name: str) -> Pieces:
        """What a text shows, as this thread sees it."""
        transaction = self.db.transaction
        edit = None if transaction is None else transaction.held(self.name)
        if edit is not None:
            return edit.text(path, name).pieces()
        return self._snapshot_of(lambda snapshot: snapshot.text(path, name))

    def text_updates(self, path: Steps, name: str) -> list[bytes]:
        """The updates of a text as it is committed."""
        return self._snapshot_of(lambda snapshot: snapshot.text_updates(path, name))

    def with_text(self, path: Steps, name: str, read: Callable[[Text | None, Load], _T]) -> _T:
        """What ``read`` makes of a text as it is committed; it may be called twice.

        Args:
            read: gets the state, None where no object is, and what reads the parts of it.
        """
        return self._snapshot_of(lambda snapshot: read(*snapshot.text_state(path, name)))

    def _snapshot_of(self, read: Callable[[Snapshot], _T]) -> _T:
        snapshot = self._snapshot
        if snapshot is None or snapshot.generation != self.generation:
            snapshot = self._load()
        try:
            return read(snapshot)
        except PartsMissingError:
            return read(self._load_parts())

    def missing(self, path: Steps = ()) -> NoSuchObjectError:
        """The error that tells why `fields` gave None."""
        what = f"{self.class_name} {self.key!r}"
        if path and self.fields() is not None:
            steps = ".".join(step for step in path if isinstance(step, str))
            return NoSuchObjectError(
                f"what was embedded in {what} at {steps} is not there any more"
            )
        if self._was_ever_here():
            return NoSuchObjectError(f"{what} is deleted")
        return NoSuchObjectError(
            f"{what} is not on this device: it was never here, or left its subscriptions"
        )

    def _was_ever_here(self) -> bool:
        transaction = self.db.transaction
        edit = None if transaction is None else transaction.held(self.name)
        if edit is not None:
            return bool(edit.view[0])
        with self.db.reading() as reader:
            return reader.get_object(self.class_name, self.key) is not None

    def remember(self, generation: int, head: bytes) -> None:
        """Take over a head that was read after ``generation`` was taken."""
        self._head = (generation, head)

    def _load(self) -> Snapshot:
        self.db.texts.note_read(self.name)
        held, generation = self._head, self.generation
        if held is not None and held[0] == generation and not self._wants_parts:
            snapshot = Snapshot(generation, unpack_trusted(held[1]), None)
        else:
            snapshot = self._read(generation)
        self._snapshot = snapshot
        self._head = None
        return snapshot

    def _read(self, generation: int) -> Snapshot:
        chunks: dict[bytes, bytes] | None = None
        # Asked first: another thread's commit may write the row that is read here as it was before.
        is_behind = self.db.is_behind(self.name)
        with self.db.reading() as reader:
            row = reader.get_object(self.class_name, self.key)
            if row is not None and is_behind:
                row = as_shown(reader, self.class_name, row)
            if self._wants_parts and row is not None:
                parts = reader.parts(self.class_name, row.row)
                chunks = {part.name: part.data for part in parts}
        state = absent() if row is None else unpack_trusted(row.head)
        return Snapshot(generation, state, chunks)

    def _load_parts(self) -> Snapshot:
        # With the head once more: both must come from one transaction of the store.
        self._wants_parts = True
        return self._load()


class LinkState(Enum):
    """Whether the target of a link is here."""

    ALIVE = "alive"
    #: This device held it, and learned that it was deleted.
    DELETED = "deleted"
    #: This device does not hold it: it was never in its view, or left it.
    NOT_HERE = "not here"


class Entities:
    """The entities of one database.

    Attributes:
        commits: how many commits changed any object.
        existence: grows with every commit that may have made an object appear or disappear.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._held: weakref.WeakValueDictionary[ObjectName, Entity] = weakref.WeakValueDictionary()
        self._renames: list[tuple[int, int, int]] = []
        #: While a transaction that renames ids is being committed.
        self.renaming = False
        self.commits = 0
        self.existence = 0

    def entity(self, class_name: str, key: Key) -> Entity:
        """The entity of an object, whether the object exists or not."""
        name = (class_name, key_bytes(key))
        with self._lock:
            held = self._held.get(name)
            if held is not None:
                return held
            fresh = Entity(self._db, name, key)
            self._held[name] = fresh
        return fresh

    def seeded(self, class_name: str, key: Key, head: bytes, commits: int) -> Entity:
        """The same, with a head read when ``commits`` was the number of commits."""
        entity = self.entity(class_name, key)
        generation = entity.generation
        # In this order: a commit counts first, then makes the entities it finds stale; a row that
        # was behind is none any more after that.
        if not self._db.is_behind(entity.name) and self.commits == commits:
            entity.remember(generation, head)
        return entity

    def changed(self, changes: list[Change], *, everything: bool = False) -> None:
        """A transaction is durable: what it touched is stale, or everything."""
        self.commits += 1
        if everything or len(changes) > MANY:
            self.existence += 1
            with self._lock:
                held = list(self._held.values())
            for each in held:
                each.generation += 1
            return
        for change in changes:
            entity = self._held.get((change.class_name, key_bytes(change.key)))
            if entity is not None:
                entity.generation += 1
            before, after = change.head_before, change.head_after
            if before is not after and shows(before) is not shows(after):
                self.existence += 1

    # -- ids in paths ------------------------------------------------------------------------
    def renamed(self, old: int, first: int, new: int) -> None:
        """The ids of ident ``old`` from sequence ``first`` on are ``new``'s from now on."""
        self._renames.append((old, first, new))

    @property
    def renames(self) -> int:
        """How often ids were renamed so far."""
        return len(self._renames)

    def current(self, path: Steps, renames: int) -> Steps:
        """A path that was current after ``renames`` renamings, as it is now."""
        for old, first, new in self._renames[renames:]:
            path = tuple(
                (new, step[1])
                if isinstance(step, tuple) and step[0] == old and step[1] >= first
                else step
                for step in path
            )
        return path

    # -- whether objects are there -----------------------------------------------------------
    def seen(self) -> tuple[Any, ...]:
        """Equal as long as the same objects exist for this thread."""
        transaction = self._db.transaction
        if transaction is None:
            return (self.existence,)
        return (self.existence, transaction.author.stamp, transaction.existence)

    def there(self, links: Iterable[Link]) -> list[bool]:
        """For each link whether its target exists, as this thread sees it."""
        transaction = self._db.transaction
        out = []
        with self._db.reading() as reader:
            for link in links:
                edit = None
                if transaction is not None:
                    edit = transaction.held((link.class_name, key_bytes(link.key)))
                if edit is not None:
                    out.append(is_alive(edit.view))
                else:
                    row = reader.get_object(link.class_name, link.key)
                    out.append(row is not None and shows(row.head))
        return out

    def link_states(self, links: Iterable[Link]) -> list[LinkState]:
        """For each link what became of its target, as this thread sees it."""
        transaction = self._db.transaction
        out = []
        with self._db.reading() as reader:
            for link in links:
                edit = None
                if transaction is not None:
                    edit = transaction.held((link.class_name, key_bytes(link.key)))
                if edit is not None:
                    state = edit.view
                else:
                    row = reader.get_object(link.class_name, link.key)
                    state = absent() if row is None else unpack_trusted(row.head)
                if is_alive(state):
                    out.append(LinkState.ALIVE)
                else:
                    deleted = state[0] and state[0] % 2 == 0
                    out.append(LinkState.DELETED if deleted else LinkState.NOT_HERE)
        return out
