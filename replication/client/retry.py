"""Writing again what was lost or refused. [JOURNAL-11]

Rule 1: a retry is a transaction like any other: it writes the parts of an entry to what is there
        now, with a stamp of now, and the server judges it anew.
Rule 2: what has no place of its own any more goes to the end: an element to that of its list, text
        to that of the text. An element that is still there is set, or moved, where it is, and
        characters that are still in a row are formatted there.
Rule 3: what can't be written to what is there now raises, and nothing is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replication.client import losses, values
from replication.client.entities import Steps
from replication.client.losses import Lost, Way
from replication.client.text_editor import write_updates
from replication.client.transaction import Transaction
from replication.client.values import Place
from replication.crdt.list import Id
from replication.crdt.object import is_alive
from replication.errors import UsageError
from replication.model.property import Property

if TYPE_CHECKING:
    from replication.client.database import Database
    from replication.client.journal import Entry


def retry(db: Database, transaction: Transaction, entry: Entry) -> None:
    """Write the parts of an entry again.

    Raises:
        UsageError: it has none, or one that can't be written by itself.
        NoSuchObjectError: what they are in is not here.
    """
    if not entry.lost or entry.key is None:
        raise UsageError(f"entry {entry.number} of the journal has nothing to write again")
    again = _Again(db, transaction, entry)
    for part in entry.lost:
        again.write(part)


class _Again:
    def __init__(self, db: Database, transaction: Transaction, entry: Entry) -> None:
        assert entry.key is not None
        self._db = db
        self._transaction = transaction
        self._entry = entry
        self._edit = transaction.edit(entry.class_name, entry.key)
        #: The new ids of elements that are inserted again.
        self._ids: dict[Any, Id] = {}

    def write(self, part: Lost) -> None:
        """Write one part."""
        if not part.path:
            self._existence(part.did)
            return
        place, item, rest = self._place(part.path)
        if item.type == "text" and part.did == losses.FORMATTED:
            self._format(place, item, rest, *part.old)
        elif item.type == "text":
            self._type(place, item, part.old)
        elif item.collection == "list" and len(rest) == 1:
            self._element(place, item, rest[0], part)
        elif item.collection == "dict" and len(rest) == 1:
            self._item(place, item, rest[0], part)
        elif item.collection == "set" and not rest:
            present = part.did == losses.INSERTED
            member = part.old if present else part.new
            place.scope.set_member(item.name, member, present=present)
        elif item.collection is None and not rest:
            self._property(place, item, part)
        else:
            raise UsageError(
                f"{item} is mixed: what was written inside of its value can't be written by itself"
            )

    def _existence(self, did: str) -> None:
        class_name, key = self._entry.class_name, self._edit.key
        if did == losses.DELETED:
            self._transaction.delete(class_name, key)
        elif not is_alive(self._edit.view):
            self._db.subscriptions.check_covers(class_name)
            self._transaction.create(class_name, key)

    def _place(self, way: Way) -> tuple[Place, Property, Way]:
        """The fields a path leads to, the property there, and what is left of the path."""
        schema = self._db.class_schema(self._entry.class_name)
        steps: Steps = ()
        while True:
            item, rest = schema[way[0]], way[1:]
            inner = rest if item.collection is None else rest[1:]
            if item.type != "embedded" or not inner:
                return Place(self._edit, steps, self._edit.scope(steps)), item, rest
            step = () if item.collection is None else (self._ids.get(rest[0], rest[0]),)
            assert item.target is not None
            steps, way = (*steps, item.name, *step), inner
            schema = self._db.class_schema(item.target)

    def _property(self, place: Place, item: Property, part: Lost) -> None:
        if item.type == "embedded":
            content: Any = None if part.did == losses.DELETED else {}
            values.write_embedded(self._db.handles, place, item, content)
        elif part.did == losses.ADDED:
            place.scope.add(item.name, part.old)
        else:
            values.nested(place).set(item.name, part.old)

    def _item(self, place: Place, item: Property, key: str, part: Lost) -> None:
        if part.did in (losses.REMOVED, losses.DELETED):
            values.erase_item(place, item, key)
        else:
            value = {} if item.type == "embedded" else part.old
            values.write_item(self._db.handles, place, item, key, value)

    def _element(self, place: Place, item: Property, here: Id, part: Lost) -> None:
        editor = place.edit.editor(place.path, item.name)
        if here in editor.ids:
            index = editor.ids.index(here)
            if part.did == losses.MOVED:
                place.scope.list_move(item.name, editor, index, min(part.old, len(editor) - 1))
            elif item.type != "embedded":
                values.nested(place).list_set(item.name, index, part.old)
        elif part.did != losses.MOVED:
            value = {} if item.type == "embedded" else part.old
            values.insert(self._db.handles, place, item, len(editor), [value])
            self._ids[here] = editor.id_at(len(editor) - 1)

    def _format(
        self, place: Place, item: Property, rest: Way, text: str, formats: dict[str, Any]
    ) -> None:
        editor = self._edit.text(place.path, item.name)
        at = editor.place_of(rest[0]) if rest else None
        if at is None or str(editor)[at : at + len(text)] != text:
            raise UsageError(f"the characters {text!r:.60} of {item} are not there as they were")
        write_updates(place.scope, item.name, editor.format(at, len(text), formats))

    def _type(self, place: Place, item: Property, text: str) -> None:
        editor = self._edit.text(place.path, item.name)
        written = editor.insert(len(editor), text, None)
        write_updates(place.scope, item.name, written)
