"""Lists and dictionaries that are values: in mixed properties, and inside of one another.

They are read and written as those that are properties are, and hold no data either. One stands for
what one write put somewhere: edits of others show in it; once that place holds another value it
is gone, and says so.

Rule 1: what is gone raises `NoSuchObjectError`; `is_valid` asks first.
Rule 2: emptying one always writes: what others put into it meanwhile goes too.
Rule 3: one that was set as a default is found by its property, where all such defaults meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replication.client.collections import Collection, Dictionary, List
from replication.crdt import object as obj
from replication.crdt.container import (
    Home,
    Slot,
    collection_of,
    content,
    depth,
    property_container,
    trail,
)
from replication.crdt.list import Id
from replication.crdt.object import Fields
from replication.errors import NoSuchObjectError
from replication.limits import CONTAINER_NESTING_MAX
from replication.model.encoding import pack, unpack_trusted

if TYPE_CHECKING:
    from replication.client.fields import Field
    from replication.client.objects import Handle


class Address:
    """Which container of an object: its id, which may be renamed, or the property it is of."""

    __slots__ = ("_default_of", "_handle", "_id", "_renames", "kind")

    def __init__(self, handle: Handle, slot: bytes) -> None:
        self._handle = handle
        self._renames = handle._entity.db.entities.renames
        self.kind = obj.container_kind(slot)
        rest = unpack_trusted(slot)[1:]
        self._default_of: str | None = rest[0] if len(rest) == 3 else None
        self._id: Id = (0, 0) if len(rest) == 3 else (rest[0], rest[1])

    def slot(self, fields: Fields) -> bytes | None:
        """Its id now; None for a default that is none any more."""
        if self._default_of is not None:
            found = property_container(fields, self._default_of)
            is_it = found is not None and unpack_trusted(found)[:2] == [self.kind, self._default_of]
            return found if is_it else None
        entities = self._handle._entity.db.entities
        renames = entities.renames
        if self._renames != renames:
            (renamed,) = entities.current((self._id,), self._renames)
            assert isinstance(renamed, tuple)
            self._id, self._renames = renamed, renames
        return pack([self.kind, *self._id])

    def found(self) -> tuple[bytes, list[Home]] | None:
        """Its id, and the way to it from its property; None if it is not shown any more."""
        handle = self._handle
        fields = handle._look()
        slot = None if fields is None else self.slot(fields)
        if fields is None or slot is None:
            return None
        listing = handle._entity.listing

        def element(owner: Slot, here: Id) -> Any:
            return listing(handle._steps(), owner).value_of(here)

        way = trail(fields, slot, element)
        return None if way is None else (slot, way)

    def is_at(self, slot: bytes | None) -> bool:
        """Whether it is the container of that id."""
        fields = self._handle._look()
        return slot is not None and fields is not None and self.slot(fields) == slot

    def current(self) -> bytes:
        """Its id.

        Raises:
            NoSuchObjectError: the object is not there, or this is not in it any more.
        """
        found = self.found()
        if found is None:
            self._handle._fields()  # says so if the object is gone
            kind = "list" if self.kind == obj.LIST else "dictionary"
            raise NoSuchObjectError(
                f"that {kind} of {self._handle._entity.class_name} "
                f"{self._handle._entity.key!r} is not there any more: its place was written over "
                "or removed"
            )
        return found[0]


class _Nested(Collection):
    """What both kinds have in common."""

    __slots__ = ()

    _address: Address

    @property
    def is_valid(self) -> bool:
        """Whether it is still there. Rule 1."""
        return self._address.found() is not None

    def is_container(self, handle: Handle, slot: bytes | None) -> bool:
        return self._handle == handle and self._address.is_at(slot)

    def _slot(self) -> Slot:
        return self._address.current()


class NestedList(_Nested, List):
    """A list that is a value."""

    __slots__ = ("_address",)

    def __init__(self, handle: Handle, field: Field, slot: bytes) -> None:
        super().__init__(handle, field)
        self._address = Address(handle, slot)

    def clear(self) -> None:
        """Remove all elements. Rule 2."""
        place, slot = self._handle._place(), self._slot()
        place.edit.restart_list(place.path, slot)


class NestedDictionary(_Nested, Dictionary):
    """A dictionary that is a value."""

    __slots__ = ("_address",)

    def __init__(self, handle: Handle, field: Field, slot: bytes) -> None:
        super().__init__(handle, field)
        self._address = Address(handle, slot)

    def _state(self) -> Any:
        slot = self._slot()
        return collection_of(self._handle._fields(), obj.DICTIONARY, slot)

    def clear(self) -> None:
        """Remove all keys. Rule 2."""
        place, slot = self._handle._place(), self._slot()
        place.scope.restart(obj.DICTIONARY, slot)


def shown(handle: Handle, field: Field, slot: bytes, home: Home) -> Any:
    """What a reference at a place shows: the list or dictionary; None where it shows nothing."""
    fields = handle._fields()
    if content(fields, slot, home) is None or depth(fields, home) >= CONTAINER_NESTING_MAX:
        return None
    kind = NestedList if obj.container_kind(slot) == obj.LIST else NestedDictionary
    return kind(handle, field, slot)
