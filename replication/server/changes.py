"""What a stretch of the log did: the objects it touched, each as it was and as it is now.

Many sessions stand at the same place and look at the same stretch, so what is read and decoded for
one of them serves all. Who integrated the stretch has it decoded already; see `handover`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from replication.history.changeset import BLIND, Outline, outline_trusted
from replication.history.log import Entry
from replication.model.encoding import key_bytes
from replication.model.values import Key
from replication.protocol.body import AuthorOp
from replication.server import tables
from replication.server.lists import Lists
from replication.server.touches import UNKNOWN, Happened, Touch, Touched, weight_of
from replication.storage.contract import Reader


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


#: What was touched so far, by class and key.
Found = dict[str, dict[Key, Touched]]


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

    def add(self, entry: Happened, weight: int, found: Found) -> None:
        """One more entry of the log: the next.

        Args:
            weight: see `touches.weight_of`.
            found: what was touched so far, by class and key.
        """
        author = entry.author
        self.size += entry.size
        self.weight += weight
        self.origins[author.origin] = entry.client_version
        if entry.schema:
            self.schemas.append(entry.schema)
        if entry.is_horizon:
            self.horizons.append(author.version)
        for touch in entry.touches:
            class_name, key, was = touch[:3]
            of_class = found.setdefault(class_name, {})
            touched = of_class.get(key)
            if touched is None:
                touched = of_class[key] = Touched(class_name, key, was, self._lists)
                self.touched.append(touched)
            touched.add(author, touch)


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
    changes, found = Changes(lists), Found()
    for entry in tables.entries(reader, after + 1, last):
        if changes.size + len(entry.changeset) > bytes_max:
            return None
        happened = _happened(entry)
        changes.add(happened, weight_of(happened), found)
    spread = {name: tables.has_parts(reader, name) for name in found}
    for touched in changes.touched:
        touched.spread = spread[touched.class_name]
        row = reader.get_object(touched.class_name, touched.key)
        touched.ends_as(row)
        changes.weight += 0 if row is None else len(row.head)
    return changes


def _happened(entry: Entry) -> Happened:
    """What an entry did, as far as the log tells."""
    changeset = outline_trusted(entry.changeset)
    touches: list[Touch] = [
        (class_name, key, was, delta, int(changeset.marks.get(position) == BLIND), *UNKNOWN)
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
