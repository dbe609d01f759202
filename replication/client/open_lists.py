"""Lists that stay open from one transaction to the next.

Opening a list reads all of its places. A device that edits a long list again and again finds it
open as its last transaction left it, so that one insert does not cost the whole list.

Rule 1: a list is kept as a committed transaction left it. Whatever else is written to its object
        drops it, and so does a transaction that fails; a horizon drops all of them.
Rule 2: only the thread that left a list open uses it again. So nobody reads what another thread
        edits, and reading waits for no writer.
Rule 3: lists of embedded objects are not kept: their elements hold lists of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from replication.client.entities import ObjectName, Steps
from replication.crdt.container import Slot
from replication.crdt.edit import ListEditor
from replication.model.encoding import key_bytes
from replication.model.values import Key

#: Objects whose lists are kept; the one kept first goes first.
_OBJECTS_MAX: Final = 128
#: Elements, dead ones included, of all lists that are kept.
_ELEMENTS_MAX: Final = 200_000

_Place = tuple[Steps, Slot]


class OpenLists:
    """The lists of one database that are open between transactions.

    It is changed under the database's lock only; reading needs none.
    """

    def __init__(self) -> None:
        self._held: dict[ObjectName, tuple[int, dict[_Place, ListEditor]]] = {}

    def get(self, name: ObjectName, path: Steps, field: Slot) -> ListEditor | None:
        """A list as it is committed, to read; None if it is not open for this thread."""
        held = self._held.get(name)
        if held is None or held[0] != threading.get_ident():
            return None
        return held[1].get((path, field))

    def take(self, name: ObjectName, path: Steps, field: Slot) -> ListEditor | None:
        """The same, to edit: from now on it belongs to the running transaction."""
        editor = self.get(name, path, field)
        if editor is not None:
            del self._held[name][1][path, field]
        return editor

    def keep(self, name: ObjectName, editors: dict[_Place, ListEditor], *, replaced: bool) -> None:
        """A transaction has committed, with these lists open.

        Args:
            replaced: it may have replaced what other lists of the object were in.
        """
        held = self._held.get(name)
        if held is None and not editors:
            return
        thread = threading.get_ident()
        if held is not None and (replaced or held[0] != thread):
            del self._held[name]
            held = None
        kept = {place: editor for place, editor in editors.items() if not editor.elements.contents}
        if not kept:
            return
        if held is None:
            held = self._held[name] = (thread, {})
        held[1].update(kept)
        while len(self._held) > _OBJECTS_MAX or self._size() > _ELEMENTS_MAX:
            del self._held[next(iter(self._held))]

    def _size(self) -> int:
        return sum(
            len(editor.elements.places)
            for _, editors in self._held.values()
            for editor in editors.values()
        )

    def drop(self, objects: Iterable[tuple[str, Key]]) -> None:
        """These objects were written to otherwise."""
        if self._held:
            for class_name, key in objects:
                self._held.pop((class_name, key_bytes(key)), None)

    def clear(self) -> None:
        """Anything may have been written."""
        self._held.clear()
