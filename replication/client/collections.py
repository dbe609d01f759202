"""Lists, sets and dictionaries of objects, as an app holds them.

Like handles they hold no data: each operation reads what is committed, or what the running write
transaction sees, and writes into that transaction.

Rule 1: lists and sets hide links to what is not here; a list's indexes count what it shows. A
        dictionary's key with such a link reads None.
Rule 2: an element of a list keeps its identity when it moves; assigning to an index changes the
        element's value, and replaces an embedded object by another element.
Rule 3: emptying what is empty already does nothing; emptying or assigning anything else starts a
        new incarnation, which concurrent edits of the old one don't touch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSequence, MutableSet
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from replication.client import values
from replication.client.entities import LinkState, Listing
from replication.client.values import Place
from replication.crdt import object as obj
from replication.crdt import register
from replication.crdt.container import Slot, container_id, depth, home_in
from replication.crdt.dictionary import plain_items
from replication.crdt.edit import ListEditor
from replication.crdt.list import Id
from replication.crdt.object import is_alive
from replication.crdt.set import members
from replication.errors import WrongTypeError
from replication.limits import CONTAINER_NESTING_MAX
from replication.model.encoding import pack
from replication.model.values import ERASED, Link

if TYPE_CHECKING:
    from replication.client.fields import Field
    from replication.client.objects import Handle


class Collection(ABC):
    """A collection of an object: which object, and which property."""

    __slots__ = ("_field", "_handle", "_name")

    def __init__(self, handle: Handle, field: Field) -> None:
        self._handle = handle
        self._field = field
        self._name = field.name

    def is_of(self, handle: Handle, field: Field) -> bool:
        """Whether this is that property of that object."""
        return self._handle == handle and self._name == field.name

    def _slot(self) -> Slot:
        """What names it among the fields of its object."""
        return self._name

    def _checked(self, value: Any) -> Any:
        # How deep a value may nest follows from where it goes, which is at least here.
        room = CONTAINER_NESTING_MAX
        slot = self._slot()
        if type(slot) is bytes:
            room -= depth(self._handle._fields(), home_in(slot, ""))
        return values.checked_one(self._field.shape.handles, self._field.item, value, room)

    def _show(self, value: Any, step: str | Id) -> Any:
        """What a stored value shows at a key or element."""
        slot = container_id(value)
        if slot is not None:
            return self._field.nested(self._handle, slot, home_in(self._slot(), step))
        convert = self._field.convert
        return value if convert is None or value is None else convert(value)

    def _is_there(self, value: Any, stored: Any) -> bool:
        """Whether a value is the list or dictionary that stands there: ``x[0] += [1]``."""
        return isinstance(value, Collection) and value.is_container(
            self._handle, container_id(stored)
        )

    def is_container(self, handle: Handle, slot: bytes | None) -> bool:  # noqa: ARG002
        """Whether this is the container of that id of that object."""
        return False

    def link_states(self) -> list[tuple[Link, LinkState]]:
        """The links that stand here, hidden ones too, with what became of their targets."""
        found = [value for value in self._stored() if type(value) is Link]
        entities = self._handle._entity.db.entities
        return list(zip(found, entities.link_states(found), strict=True))

    @abstractmethod
    def _stored(self) -> Iterable[Any]:
        """The values as they are stored, in order."""

    def _clear(self) -> None:
        place = self._handle._place()
        if not values.is_empty(place, self._field.item):
            values.clear(place, self._field.item)


class List(Collection, MutableSequence[Any]):
    """A list of an object."""

    __slots__ = ()

    # -- reading -----------------------------------------------------------------------------
    def __len__(self) -> int:
        listing, shown = self._listing()
        return len(listing.ids if shown is None else shown)

    def __getitem__(self, index: Any) -> Any:
        listing, shown = self._listing()
        if isinstance(index, slice):
            numbers = range(len(listing.ids)) if shown is None else shown
            return [self._element(listing, number) for number in numbers[index]]
        if shown is None:
            return self._element(listing, _within(index, len(listing.ids)))
        return self._element(listing, shown[_within(index, len(shown))])

    def __iter__(self) -> Iterator[Any]:
        listing, shown = self._listing()
        if shown is not None or self._field.item.type == "embedded" or self._field.convert:
            numbers = range(len(listing.ids)) if shown is None else shown
            return iter([self._element(listing, number) for number in numbers])
        return iter(list(listing.values()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, List | list | tuple):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))

    def to_list(self) -> list[Any]:
        """The elements as plain values; see `Handle.to_dict`."""
        if self._field.item.type == "embedded":
            return [element.to_dict() for element in self]
        return [self._field.plain_one(element) for element in self]

    def _stored(self) -> Iterable[Any]:
        return self._listing()[0].values()

    def _listing(self) -> tuple[Listing, list[int] | None]:
        """The list, and the positions of the elements that show; None: all do."""
        handle = self._handle
        handle._fields()
        listing = handle._entity.listing(handle._steps(), self._slot())
        if self._field.item.type != "link":
            return listing, None
        return listing, self._shown(listing)

    def _shown(self, listing: Listing) -> list[int]:
        # Looking every target up is worth remembering, until one appears or disappears.
        entities = self._handle._entity.db.entities
        seen = (listing.edits, *entities.seen())
        if listing.shown is None or listing.shown[0] != seen:
            there = entities.there(listing.values())
            numbers = [number for number, here in enumerate(there) if here]
            listing.shown = (seen, numbers)
        found: list[int] = listing.shown[1]
        return found

    def _element(self, listing: Listing, number: int) -> Any:
        if self._field.item.type == "embedded":
            here = listing.ids[number]
            return self._field.shape.handles.embedded(
                self._handle, self._field.item, self._name, here
            )
        return self._show(listing.value_at(number), listing.ids[number])

    # -- writing -----------------------------------------------------------------------------
    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            self._set_slice(index, value)
            return
        place, editor, shown = self._editing()
        number = shown[_within(index, len(shown))]
        if self._is_there(value, editor.value_at(number)):
            return
        checked = self._checked(value)
        if self._field.item.type == "embedded":
            values.erase(place, self._field.item, editor, number)
            values.insert(self._field.shape.handles, place, self._field.item, number, [checked])
        else:
            values.nested(place).list_set(self._slot(), number, checked)

    def _set_slice(self, index: slice, value: Iterable[Any]) -> None:
        if index.step not in (None, 1):
            raise WrongTypeError("a slice with a step can't be assigned; assign the elements")
        checked = [self._checked(each) for each in value]
        start, stop, _ = index.indices(len(self))
        del self[start:stop]
        self._insert(start, checked)

    def __delitem__(self, index: Any) -> None:
        place, editor, shown = self._editing()
        if isinstance(index, slice):
            numbers = sorted(shown[index], reverse=True)
        else:
            numbers = [shown[_within(index, len(shown))]]
        for number in numbers:
            if self._field.item.type == "embedded":
                values.erase(place, self._field.item, editor, number)
            else:
                place.scope.list_erase(self._slot(), editor, number)

    def insert(self, index: int, value: Any) -> None:
        """Insert before the element at ``index``, as `list.insert` does."""
        self._insert(index, [self._checked(value)])

    def append(self, value: Any) -> None:
        """Insert at the end."""
        self._insert(None, [self._checked(value)])

    def extend(self, values: Iterable[Any]) -> None:
        """Insert a run at the end."""
        self._insert(None, [self._checked(each) for each in values])

    def __iadd__(self, values: Iterable[Any]) -> List:
        self.extend(values)
        return self

    def _insert(self, index: int | None, checked: list[Any]) -> None:
        place, editor, shown = self._editing()
        if index is not None:
            index = slice(index, None).indices(len(shown))[0]
        number = len(editor) if index is None or index == len(shown) else shown[index]
        if self._field.item.type == "embedded":
            values.insert(self._field.shape.handles, place, self._field.item, number, checked)
        else:
            values.nested(place).list_insert(self._slot(), number, checked)

    def move(self, source: int, target: int) -> None:
        """Move the element at ``source`` so that it stands at ``target`` afterwards.

        It stays the same element: what others do to it meanwhile happens to it where it goes.
        """
        place, editor, shown = self._editing()
        source, target = _within(source, len(shown)), _within(target, len(shown))
        if source != target:
            place.scope.list_move(self._slot(), editor, shown[source], shown[target])

    def reverse(self) -> None:
        """Reverse the order, by moves."""
        for index in range(1, len(self)):
            self.move(index, 0)

    def clear(self) -> None:
        """Remove all elements, hidden ones too."""
        self._clear()

    def _editing(self) -> tuple[Place, ListEditor, list[int] | range]:
        place = self._handle._place()
        editor = place.edit.editor(place.path, self._slot())
        hides = self._field.item.type == "link"
        return place, editor, self._shown(editor) if hides else range(len(editor))


def _within(index: int, length: int) -> int:
    """An index counted from the front, checked."""
    if not isinstance(index, int):
        raise WrongTypeError(f"{index!r} is no index of a list")
    if not -length <= index < length:
        raise IndexError(f"index {index} in a list of {length}")
    return index + length if index < 0 else index


class Set(Collection, MutableSet[Any]):
    """A set of an object; iterates in the order of the members' canonical bytes."""

    __slots__ = ()

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> AbstractSet[Any]:
        return set(it)  # of `a | b` and the like

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[Any]:
        return iter([self._show(member, "") for member in self._members()])

    def __contains__(self, value: object) -> bool:
        held = self._state()
        try:
            member = self._checked(value)
        except WrongTypeError:
            return False
        return held is not None and register.read(held[1], pack(member)) is True

    def __repr__(self) -> str:
        return "{" + ", ".join(map(repr, self)) + "}" if len(self) else "set()"

    def to_list(self) -> list[Any]:
        """The members as plain values; see `Handle.to_dict`."""
        return [self._field.plain_one(member) for member in self]

    def _stored(self) -> Iterable[Any]:
        held = self._state()
        return [] if held is None else members(held)

    def _state(self) -> Any:
        return self._handle._fields().get(obj.SET, {}).get(self._name)

    def _members(self) -> list[Any]:
        held = self._state()
        found = [] if held is None else members(held)
        links = [member for member in found if type(member) is Link]
        if not links:
            return found
        there = iter(self._handle._entity.db.entities.there(links))
        return [member for member in found if type(member) is not Link or next(there)]

    def add(self, value: Any) -> None:
        """Insert a member; also if it is there: a concurrent removal then loses."""
        checked = self._checked(value)
        self._handle._place().scope.set_member(self._name, checked, present=True)

    def discard(self, value: Any) -> None:
        """Remove a member if it is there."""
        held, checked = self._state(), self._checked(value)
        place = self._handle._place()
        if held is not None and register.read(held[1], pack(checked)) is True:
            place.scope.set_member(self._name, checked, present=False)

    def update(self, values: Iterable[Any]) -> None:
        """Insert members."""
        checked = {pack(member): member for member in map(self._checked, values)}
        place = self._handle._place()
        for data in sorted(checked):
            place.scope.set_member(self._name, checked[data], present=True)

    def clear(self) -> None:
        """Remove all members, hidden ones too."""
        self._clear()


class Dictionary(Collection, MutableMapping[str, Any]):
    """A dictionary of an object, with strings for keys; iterates in their order."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._holds(key)

    def __getitem__(self, key: str) -> Any:
        if not isinstance(key, str) or not self._holds(key):
            raise KeyError(key)
        if self._field.item.type == "embedded":
            handles = self._field.shape.handles
            return handles.embedded(self._handle, self._field.item, self._name, key)
        return self._show(register.read(self._state()[1], key), key)

    def __setitem__(self, key: str, value: Any) -> None:
        name = self._field.item.check_key(key)
        if not self._is_there(value, register.read(self._state()[1], name)):
            self._write({name: self._checked(value)})

    def __delitem__(self, key: str) -> None:
        place = self._handle._place()
        if not isinstance(key, str) or not self._holds(key):
            raise KeyError(key)
        if self._field.item.type == "embedded":
            values.erase_item(place, self._field.item, key)
        else:
            place.scope.put_item(self._slot(), key, ERASED)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As `dict.update`; nothing is written if a key or value does not fit."""
        item = self._field.item
        given = dict(*args, **kwargs)
        self._write({item.check_key(key): self._checked(value) for key, value in given.items()})

    def setdefault(self, key: str, default: Any = None) -> Any:
        """What stands at a key; ``default`` is put there first if nothing does."""
        if key not in self:
            self[key] = default
        return self[key]

    def _write(self, checked: dict[str, Any]) -> None:
        item, place = self._field.item, self._handle._place()
        for key in sorted(checked):
            if item.type == "embedded":
                values.write_item(self._field.shape.handles, place, item, key, checked[key])
            else:
                values.nested(place).put_item(self._slot(), key, checked[key])

    def clear(self) -> None:
        """Remove all keys."""
        self._clear()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(dict(self))

    def to_dict(self) -> dict[str, Any]:
        """The values as plain values; see `Handle.to_dict`."""
        if self._field.item.type == "embedded":
            return {key: value.to_dict() for key, value in self.items()}
        return {key: self._field.plain_one(value) for key, value in self.items()}

    def _stored(self) -> Iterable[Any]:
        return plain_items(self._state()).values()

    def _state(self) -> Any:
        held = self._handle._fields().get(obj.DICTIONARY, {}).get(self._name)
        return [[], [], {}] if held is None else held

    def _holds(self, key: str) -> bool:
        held = self._state()
        if self._field.item.type == "embedded":
            return key in held[2] and is_alive(held[2][key])
        group = register.find(held[1], key)
        return group is not None and group[2][key] is not ERASED

    def _keys(self) -> list[str]:
        held = self._state()
        if self._field.item.type == "embedded":
            return [key for key, state in held[2].items() if is_alive(state)]
        return list(plain_items(held))
