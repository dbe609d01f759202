"""Write transactions: what an app does to its objects, as one changeset.

`Transaction` is the engine's own interface, by class name, key and path; the object handles of
`objects.py` are built on it, and so are the importer and the scenario runner.

Rule 1: a transaction sees what it wrote; nobody else does before its commit.
Rule 2: a commit is durable on return and gives the changeset the next client version; one that
        wrote nothing leaves no trace.
Rule 3: creating a key that this file does not hold is a blind write, as is what is written to it
        until the create is acknowledged or the object comes. [CLIENT-4] [EDIT-6]
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from replication.client import typed
from replication.client.entities import Entity, ObjectName
from replication.client.object_edit import ObjectEdit
from replication.client.open_lists import OpenLists
from replication.client.replica import Change, Replica, fields_of, head_of
from replication.client.text_editor import Texts
from replication.client.typed import Typed
from replication.crdt import object as obj
from replication.crdt.edit import Author
from replication.crdt.object import ObjectState, is_alive
from replication.errors import NoSuchObjectError, NoTransactionError, ObjectExistsError
from replication.history.changeset import ATOMIC, Changeset, ObjectDelta
from replication.model.encoding import key_bytes, pack
from replication.model.values import Key
from replication.storage.contract import StoredObject, Writer


class Transaction:
    """One write transaction of a client file. Made by `Database.write`.

    Args:
        replica: access to the objects, inside the store's write transaction.
        author: the stamp and ids of what is written.
        pending: the objects that have pending deltas.
        blind: those that this file began without holding them; see `pending_objects`.
        open_lists: the lists that earlier transactions left open.
        texts: the texts that are open for writing.
        version: the client version it will have, if rows may be written later; see `typed.py`.
    """

    def __init__(
        self,
        replica: Replica,
        author: Author,
        pending: Container[ObjectName],
        blind: Mapping[ObjectName, int],
        open_lists: OpenLists,
        texts: Texts,
        version: int | None = None,
    ) -> None:
        self._replica = replica
        self._open_lists = open_lists
        self._version = version
        self._pending = pending
        self._blind = blind
        self._texts = texts
        self._is_over = False
        self.author = author
        self.atomic = False
        self.schema: dict[str, Any] = {}
        #: How often an object appeared or disappeared in it.
        self.existence = 0
        self._edits: dict[ObjectName, ObjectEdit] = {}
        #: An object of which it wrote to texts only.
        self._typed_in: ObjectEdit | None = None
        #: The objects it wrote to, once it is finished.
        self.names: list[ObjectName] = []
        #: Those of them that it wrote to without holding them, and the length that wrote.
        self.blind: dict[ObjectName, int] = {}

    @property
    def writer(self) -> Writer:
        """The store's transaction, for records that are to be durable together with it."""
        return self._replica.writer

    def edit(self, class_name: str, key: Key) -> ObjectEdit:
        """An object, whether it exists or not, to read and edit.

        Raises:
            NoTransactionError: the transaction is over.
        """
        return self._open((class_name, key_bytes(key)), key)

    def opened(self, entity: Entity) -> ObjectEdit:
        """The same, for handles, of the running transaction."""
        return self._edits.get(entity.name) or self._open(entity.name, entity.key)

    def _open(self, name: ObjectName, key: Key) -> ObjectEdit:
        if self._is_over:
            raise NoTransactionError(
                "this write transaction is over; open another with `with db.write() as tx:`"
            )
        edit = self._edits.get(name)
        if edit is None:
            edit = self._opened_again(name) or self._opened_anew(name, key)
            self._edits[name] = edit
        return edit

    def _opened_anew(self, name: ObjectName, key: Key) -> ObjectEdit:
        replica = self._replica
        if replica.typed is not None and replica.typed.name == name:
            self._texts.catch_up(replica)
        return ObjectEdit(replica, name, key, self.author, self._open_lists, self._texts)

    def _opened_again(self, name: ObjectName) -> ObjectEdit | None:
        """An object as the last transaction that typed into it left it, if it is still so."""
        edit = None if self._version is None else self._texts.take(name)
        if edit is not None:
            edit.again(self._replica, self.author)
        return edit

    def create(self, class_name: str, key: Key) -> ObjectEdit:
        """Create an object.

        Raises:
            ObjectExistsError: it is alive already.
        """
        edit = self.edit(class_name, key)
        if is_alive(edit.view):
            raise ObjectExistsError(
                f"{class_name} {key!r} exists already; edit it, or delete it first"
            )
        edit.create()
        self.existence += 1
        return edit

    def delete(self, class_name: str, key: Key) -> None:
        """Delete an object.

        Raises:
            NoSuchObjectError: it is not there.
        """
        edit = self.edit(class_name, key)
        if not is_alive(edit.view):
            raise NoSuchObjectError(f"there is no {class_name} {key!r} to delete")
        edit.delete()
        self.existence += 1

    def held(self, name: ObjectName) -> ObjectEdit | None:
        """The object of that name, if this transaction has it open for editing."""
        return self._edits.get(name)

    def touched(self) -> list[ObjectEdit]:
        """The objects this transaction looked at to edit."""
        return list(self._edits.values())

    def keep(self) -> None:
        """It is committed: what it opened may stay open for the next one."""
        for edit in self._edits.values():
            self._open_lists.keep(edit.name, edit.editors, replaced=edit.replaced)
        if self._typed_in is not None:
            self._texts.keep(self._typed_in)

    def over(self) -> None:
        """From now on it takes no more edits."""
        self._is_over = True

    def finish(self, cursor: int) -> tuple[Changeset, list[Change]] | None:
        """Write the views and bases; returns the changeset and what changed, None for nothing."""
        edits: list[ObjectEdit] = []
        deltas: list[ObjectDelta] = []
        for edit in self._edits.values():
            sealed = edit.sealed(begun=edit.start <= self._blind.get(edit.name, -1))
            if sealed is not None:
                edits.append(edit)
                deltas.append(sealed)
        if not deltas and not self.schema:
            return None
        self.names = [edit.name for edit in edits]
        self.blind = {
            edit.name: sealed.delta[0]
            for edit, sealed in zip(edits, deltas, strict=True)
            if sealed.blind
        }
        waits, typed_before = self._may_wait(edits, deltas), self._replica.typed
        if typed_before is not None and (not waits or typed_before.is_full):
            self._texts.catch_up(self._replica, self._edits.get(typed_before.name))
        if waits:
            changes = [self._type(edits[0], deltas[0].delta)]
        else:
            changes = [
                self._write(edit, sealed.delta) for edit, sealed in zip(edits, deltas, strict=True)
            ]
        flags = ATOMIC if self.atomic else 0
        changeset = Changeset(self.author.stamp[0], cursor, deltas, flags, self.schema)
        return changeset, changes

    def _may_wait(self, edits: list[ObjectEdit], deltas: list[ObjectDelta]) -> bool:
        """Whether all there is was typed, so that the row need not be written. See `typed.py`."""
        if self._version is None or len(edits) != 1 or self.schema:
            return False
        edit, held = edits[0], self._replica.typed
        if not edit.goes_on or edit.was_read or edit.name not in self._pending:
            return False
        return (held is None or held.name == edit.name) and edit.only_texts(deltas[0].delta)

    def _type(self, edit: ObjectEdit, delta: ObjectState) -> Change:
        replica, row = self._replica, edit.row
        assert row is not None, "it goes on"
        assert self._version is not None, "asked before"
        if replica.typed is None:
            replica.typed = Typed(edit.name, edit.key, self.author.stamp[1], self._version)
            typed.begin(self.writer, replica.typed)
        texts = delta[3][obj.TEXT]
        size = sum([len(update) for _, update in texts.values()])
        replica.typed = replica.typed.more(edit.typed(delta), size)
        self._typed_in = edit
        return Change(edit.class_name, edit.key, row.head, row.head, frozenset(texts))

    def _write(self, edit: ObjectEdit, delta: ObjectState) -> Change:
        class_name, key, row = edit.class_name, edit.key, edit.row
        if edit.settled is not None:
            assert row is not None, "only what is stored can be settled"
            self._replica.settle(class_name, row, edit.settled)
        after = edit.result(delta)
        head = pack(after)
        parts = edit.read_parts
        changing = () if parts is None else tuple(parts.changes())
        version = self._replica.horizon if row is None else row.version
        if edit.name not in self._pending:
            synced = None if row is None else (version, row.head)
            self._replica.keep_base(class_name, key, synced, row, changing)
        elif changing:
            self._replica.keep_base_parts(class_name, key, row, changing)
        number = self._replica.put_head(class_name, key, version, after, head, parts)
        if edit.only_texts(delta):
            edit.row = StoredObject(number, key, version, head)
            self._typed_in = edit
        return Change(class_name, key, head_of(row), head, fields_of(changing))
