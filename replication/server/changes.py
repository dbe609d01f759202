"""What a stretch of the log did: the objects it touched, each as it was and as it is now.

Many sessions stand at the same place and look at the same stretch, so what is read and decoded for
one of them serves all.
"""

from __future__ import annotations

from typing import Any

from replication.history.changeset import Outline, outline_trusted
from replication.history.log import Entry
from replication.model.encoding import key_bytes
from replication.model.values import Key
from replication.protocol.body import AuthorOp
from replication.server import tables
from replication.server.view import Image
from replication.storage.contract import Reader, StoredObject


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

    Attributes:
        before: as it was before the first touch.
        row: as it is now; None where no row was ever made.
        now: the same, to look at.
    """

    __slots__ = ("_deltas", "before", "class_name", "key", "now", "row")

    def __init__(self, class_name: str, key: Key, before: bytes | None) -> None:
        self.class_name = class_name
        self.key = key
        self.before = Image(key, before)
        self.row: StoredObject | None = None
        self.now = Image(key, None)
        self._deltas: list[tuple[int, int, bytes]] = []

    def add(self, version: int, origin: int, delta: bytes) -> None:
        """One more touch."""
        self._deltas.append((version, origin, delta))

    def is_by(self, ident: int) -> bool:
        """Whether a file is among those who touched it."""
        return any(origin == ident for _, origin, _ in self._deltas)

    def versions(self, ident: int) -> list[int]:
        """The versions that touched it and are not this file's."""
        return [version for version, origin, _ in self._deltas if origin != ident]

    def others(self, ident: int) -> list[tuple[int, bytes]]:
        """Version and bytes of the deltas that are not this file's."""
        return [(version, delta) for version, origin, delta in self._deltas if origin != ident]


class Changes:
    """What the log did after one version up to another, which was the latest when it was read.

    Attributes:
        touched: the objects, in the order of their first touch.
        origins: the files that wrote.
        schemas: what entries added to the schema, in order.
        authors: who made each version that touched an object.
        horizons: the versions as of which everything dead is forgotten.
        size: bytes of the changesets.
    """

    __slots__ = ("authors", "horizons", "origins", "schemas", "size", "touched")

    def __init__(self) -> None:
        self.touched: list[Touched] = []
        self.origins: frozenset[int] = frozenset()
        self.schemas: list[dict[str, Any]] = []
        self.authors: dict[int, AuthorOp] = {}
        self.horizons: list[int] = []
        self.size = 0


def author_of(entry: Entry, changeset: Outline) -> AuthorOp:
    """Who made an entry of the log, whose changeset is at hand. [DOWN-9]"""
    return AuthorOp(entry.version, entry.origin, changeset.time, changeset.cursor)


def read_changes(reader: Reader, after: int, last: int, bytes_max: int) -> Changes | None:
    """What happened after a version up to the latest; None if it is more than ``bytes_max``.

    Args:
        last: the latest version of the transaction.
    """
    changes = Changes()
    origins = set()
    found: dict[tuple[str, bytes], Touched] = {}
    for entry in tables.entries(reader, after + 1, last):
        changes.size += len(entry.changeset)
        if changes.size > bytes_max:
            return None
        origins.add(entry.origin)
        if entry.schema:
            changes.schemas.append(entry.schema)
        changeset = outline_trusted(entry.changeset)
        if changeset.horizon == entry.version:
            changes.horizons.append(entry.version)
        changes.authors[entry.version] = author_of(entry, changeset)
        for (class_name, key, delta), before in zip(changeset.objects, entry.before, strict=True):
            name = (class_name, key_bytes(key))
            touched = found.get(name)
            if touched is None:
                touched = found[name] = Touched(class_name, key, before)
            touched.add(entry.version, entry.origin, delta)
    for touched in found.values():
        touched.row = reader.get_object(touched.class_name, touched.key)
        if touched.row is not None:
            touched.now = Image(touched.key, touched.row.head)
    changes.origins = frozenset(origins)
    changes.touched = list(found.values())
    return changes
