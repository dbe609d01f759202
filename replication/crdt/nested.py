"""Writing values that nest: Python lists and dictionaries into whatever holds a mixed value. [EDIT]

Rule 1: each list and dictionary becomes a container of its own (see `container`), minted by this
        transaction; one that is set as a default shares the container of all such defaults.
Rule 2: nothing recurses: how deep a value may be is bounded by CONTAINER_NESTING_MAX alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replication.crdt import object as obj
from replication.crdt.container import Home, Slot, container_id, home_in
from replication.crdt.edit import ListEditor, Scope
from replication.crdt.list import Id


class Nested:
    """The mixed values of one object's fields, open for writing.

    Values are plain ones, lists of values, and dictionaries of values by strings.

    Args:
        scope: the fields.
        editor: gives a list of theirs, by its property or container, open for editing.
    """

    __slots__ = ("_editor", "_scope")

    def __init__(self, scope: Scope, editor: Callable[[Slot], ListEditor]) -> None:
        self._scope = scope
        self._editor = editor

    def set(self, name: str, value: Any) -> None:
        """An explicit write of a property."""
        stored = self._stored(value)
        self._scope.set(name, stored)
        self._fill([([obj.REGISTER, name], stored, value)])

    def set_default(self, name: str, value: Any) -> None:
        """A default of a property."""
        kind = _kind(value)
        if kind is None:
            self._scope.set_default(name, value)
            return
        slot = self._scope.default_container(name, kind)
        todo: list[tuple[Home, Any, Any]] = []
        self._fill_one(slot, value, todo)
        self._fill(todo)

    def put_item(self, slot: Slot, key: str, value: Any) -> None:
        """Set a key of a dictionary."""
        stored = self._stored(value)
        self._scope.put_item(slot, key, stored)
        self._fill([(home_in(slot, key), stored, value)])

    def list_insert(self, slot: Slot, index: int, values: list[Any]) -> list[Id]:
        """Insert a run into a list, before the element at ``index``; returns the new ids."""
        stored = [self._stored(value) for value in values]
        ids = self._scope.list_insert(slot, self._editor(slot), index, stored)
        homes = [home_in(slot, here) for here in ids]
        self._fill(list(zip(homes, stored, values, strict=True)))
        return ids

    def list_set(self, slot: Slot, index: int, value: Any) -> None:
        """Replace the value of the element at ``index``."""
        editor, stored = self._editor(slot), self._stored(value)
        self._scope.list_set(slot, editor, index, stored)
        self._fill([(home_in(slot, editor.id_at(index)), stored, value)])

    def _stored(self, value: Any) -> Any:
        kind = _kind(value)
        return value if kind is None else self._scope.author.container(kind)

    def _fill(self, todo: list[tuple[Home, Any, Any]]) -> None:
        while todo:
            home, stored, value = todo.pop()
            slot = container_id(stored)
            if slot is not None:
                self._scope.hold(slot, home)
                self._fill_one(slot, value, todo)

    def _fill_one(self, slot: bytes, value: Any, todo: list[tuple[Home, Any, Any]]) -> None:
        """Write what is in one container; what is inside of that is appended to ``todo``."""
        if isinstance(value, dict):
            for key in sorted(value):
                stored = self._stored(value[key])
                self._scope.put_item(slot, key, stored)
                todo.append((home_in(slot, key), stored, value[key]))
            return
        stored = [self._stored(each) for each in value]
        editor = self._editor(slot)
        ids = self._scope.list_insert(slot, editor, len(editor), stored)
        todo.extend(zip([home_in(slot, here) for here in ids], stored, value, strict=True))


def _kind(value: Any) -> int | None:
    """The kind of container for a value; None for a plain one."""
    if isinstance(value, list):
        return obj.LIST
    return obj.DICTIONARY if isinstance(value, dict) else None
