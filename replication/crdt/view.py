"""What a reader sees of a state, without metadata. [STATE-VIEW]

`fields_view` needs no schema: where a name holds several kinds (contradicting writes), the
greatest kind that shows something wins. The client engine reads by schema instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from replication.crdt import object as obj
from replication.crdt.container import Home, container_id, content, home_in, property_container
from replication.crdt.counter import shown
from replication.crdt.dictionary import plain_items
from replication.crdt.document import text_view
from replication.crdt.list import all_elements
from replication.crdt.parts import Parts, Path
from replication.crdt.sequence import Sequence
from replication.crdt.set import members
from replication.limits import CONTAINER_NESTING_MAX
from replication.model.encoding import unpack_trusted
from replication.model.values import (
    SPREAD,
    Based,
    Container,
    EmbeddedValues,
    NestedDict,
    NestedList,
    Spread,
)


def shows(head: bytes | None) -> bool:
    """Whether a reader sees the object with this head, mostly without decoding it."""
    if head is None:
        return False
    length, at = head[1], head[2]
    if length < 0x80:  # MessagePack's small integers are the numbers themselves, and no others
        return length == at and length % 2 == 1
    return obj.is_alive(unpack_trusted(head))


def register_value(fields: obj.Fields, name: str) -> Any:
    """The value of a register together with its increments, None where there is neither.

    A list or dictionary in a mixed value is a `Container`; see `container.property_container`.
    """
    total = fields.get(obj.COUNTER, {}).get(name, 0)
    for group in fields.get(obj.REGISTER, ()):
        if name in group[2]:
            return shown(group[2][name], total)
    return total if total else None


def registers(fields: obj.Fields) -> dict[str, Any]:
    """All registers and counters, by name."""
    totals = fields.get(obj.COUNTER, {})
    out: dict[str, Any] = dict(totals)
    for group in fields.get(obj.REGISTER, ()):
        for name, stored in group[2].items():
            out[name] = shown(stored, totals.get(name, 0))
    return out


def list_values(
    state: Any, parts: Parts | None = None, path: Path = ()
) -> Iterator[tuple[Any, obj.Fields | None]]:
    """Value and embedded fields of each visible element, in order."""
    elements = all_elements(state, parts, path)
    for here in Sequence(elements).visible:
        yield elements.values[here][2], elements.contents.get(here)


def query_values(head: bytes) -> Mapping[str, Any]:
    """What queries see of a stored head, field by field when it is asked for, for stores.

    A list that is spread over parts is `SPREAD`.
    """
    state = unpack_trusted(head)
    return _HeadFields(state[3] if obj.is_alive(state) else {})


def queryable(state: obj.ObjectState, parts: Parts | None = None) -> QueryFields:
    """The same of a decoded state and its parts; empty for one that is not alive."""
    return QueryFields(state[3] if obj.is_alive(state) else {}, parts)


def object_view(state: obj.ObjectState, parts: Parts | None = None) -> dict[str, Any] | None:
    """Canonical value of an object: everything a reader sees; None if it is not alive.

    Collections become lists, dictionaries dicts, sets lists in the order of their bytes, embedded
    objects dicts.
    """
    return fields_view(state[3], parts) if obj.is_alive(state) else None


def fields_view(fields: obj.Fields, parts: Parts | None = None, path: Path = ()) -> dict[str, Any]:
    """The same for the fields of one object."""
    out = registers(fields)
    nested = NestedView(fields, parts, path)
    for name, value in out.items():
        if type(value) is Container:
            inner = property_container(fields, name)
            assert inner is not None
            out[name] = nested.inside(inner, [obj.REGISTER, name])
    for name, held in fields.get(obj.SET, {}).items():
        out[name] = members(held)
    for name, held in fields.get(obj.DICTIONARY, {}).items():
        items = {
            key: nested.value(value, home_in(name, key)) for key, value in plain_items(held).items()
        }
        for key, embedded in held[2].items():
            if obj.is_alive(embedded):
                items[key] = fields_view(embedded[3], parts, (*path, obj.DICTIONARY, name, key))
        out[name] = dict(sorted(items.items()))
    for name, held in fields.get(obj.LIST, {}).items():
        here = (*path, obj.LIST, name)
        elements = all_elements(held, parts, here)
        out[name] = [
            fields_view(elements.contents[i], parts, (*here, i))
            if i in elements.contents
            else nested.value(elements.values[i][2], home_in(name, i))
            for i in Sequence(elements).visible
        ]
    for name, embedded in fields.get(obj.EMBEDDED, {}).items():
        if obj.is_alive(embedded):
            out[name] = fields_view(embedded[3], parts, (*path, obj.EMBEDDED, name))
        else:
            out.setdefault(name)
    for name, text in fields.get(obj.TEXT, {}).items():
        out[name] = text_view(text, parts, (*path, obj.TEXT, name))
    return dict(sorted(out.items()))


class NestedView:
    """The mixed values of one object's fields, with the lists and dictionaries in them."""

    __slots__ = ("_fields", "_parts", "_path")

    def __init__(self, fields: obj.Fields, parts: Parts | None, path: Path) -> None:
        self._fields = fields
        self._parts = parts
        self._path = path

    def value(self, stored: Any, home: Home, depth: int = 1) -> Any:
        """What is shown of a stored value at its place.

        Args:
            depth: how deep a container there would be, the outermost being 1.
        """
        slot = container_id(stored)
        return stored if slot is None else self.inside(slot, home, depth)

    def inside(self, slot: bytes, home: Home, depth: int = 1) -> Any:
        """The same for a reference to the container of that id; null where it shows nothing."""
        held = content(self._fields, slot, home)
        if held is None or depth > CONTAINER_NESTING_MAX:
            return None
        inner = depth + 1
        if obj.container_kind(slot) == obj.DICTIONARY:
            return {
                key: self.value(value, home_in(slot, key), inner)
                for key, value in plain_items(held).items()
            }
        elements = all_elements(held, self._parts, (*self._path, obj.CONTAINER, slot))
        return [
            self.value(elements.values[here][2], home_in(slot, here), inner)
            for here in Sequence(elements).visible
        ]


def column_values(
    state: obj.ObjectState, names: Collection[str], spread: Spread | None = None
) -> dict[str, Any] | None:
    """The queryable fields ``names`` of an object as a store keeps them; None if not alive.

    Args:
        spread: what stands for a list that is spread over parts.
    """
    if not obj.is_alive(state):
        return None
    if not names:
        return {}
    fields = state[3]
    groups = fields.get(obj.REGISTER)
    if groups and len(fields) == 1:  # nothing but registers
        return {name: _written(groups, name) for name in names}
    seen = QueryFields(fields) if spread is None else _HeadFields(fields)
    return {name: seen.get(name) for name in names}


def _written(groups: Any, name: str) -> Any:
    # `register_value` where there are no counters.
    for group in groups:
        if name in group[2]:
            value = group[2][name]
            value = shown(value, 0) if type(value) is Based else value
            return None if type(value) is Container else value  # of which nothing is here
    return None


class QueryFields(Mapping[str, Any]):
    """The fields of one object as queries see them, to the bottom.

    An embedded object is `EmbeddedValues`, a list or set a list, a dictionary a dict, and what is
    in a mixed value a `NestedList` or `NestedDict`. A list that is spread over parts reads as
    null where there are no parts at hand; text always does.

    Attributes:
        held: the fields as the state has them.
        parts: what lies beside the head.
    """

    __slots__ = ("_path", "held", "parts")

    def __init__(self, fields: obj.Fields, parts: Parts | None = None, path: Path = ()) -> None:
        self.held = fields
        self.parts = parts
        self._path = path

    def __getitem__(self, name: str) -> Any:
        if name not in self.names():
            raise KeyError(name)
        return self.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def get(self, name: str, _default: Any = None) -> Any:
        """The value of one field; None for null and for an unknown name."""
        fields = self.held
        if len(fields) > 1 or obj.REGISTER not in fields:
            held = fields.get(obj.LIST, {}).get(name)
            if held is not None and (self.parts is not None or len(held) == 2):
                return self._elements(held, name)
            held = fields.get(obj.SET, {}).get(name)
            if held is not None:
                return members(held)
            held = fields.get(obj.DICTIONARY, {}).get(name)
            if held is not None:
                return self._items(held, name)
            held = fields.get(obj.EMBEDDED, {}).get(name)
            if held is not None and obj.is_alive(held):
                return self._embedded(held[3], (*self._path, obj.EMBEDDED, name))
        value = register_value(fields, name)
        if type(value) is not Container:
            return value
        inner = property_container(fields, name)
        assert inner is not None
        return _QueryView(fields, self.parts, self._path).inside(inner, [obj.REGISTER, name])

    def _elements(self, held: Any, name: str) -> list[Any]:
        here = (*self._path, obj.LIST, name)
        elements = all_elements(held, self.parts, here)
        nested = _QueryView(self.held, self.parts, self._path)
        return [
            self._embedded(elements.contents[i], (*here, i))
            if i in elements.contents
            else nested.value(elements.values[i][2], home_in(name, i))
            for i in Sequence(elements).visible
        ]

    def _items(self, held: Any, name: str) -> dict[str, Any]:
        nested = _QueryView(self.held, self.parts, self._path)
        items = {
            key: nested.value(value, home_in(name, key)) for key, value in plain_items(held).items()
        }
        for key, embedded in held[2].items():
            if obj.is_alive(embedded):
                items[key] = self._embedded(embedded[3], (*self._path, obj.DICTIONARY, name, key))
        return dict(sorted(items.items()))

    def _embedded(self, fields: obj.Fields, path: Path) -> EmbeddedValues:
        return EmbeddedValues(QueryFields(fields, self.parts, path))

    def names(self) -> list[str]:
        """The names of all fields that are not text, in order."""
        found = set(self.held.get(obj.COUNTER, ()))
        for group in self.held.get(obj.REGISTER, ()):
            found.update(group[2])
        for kind in (obj.SET, obj.LIST, obj.DICTIONARY, obj.EMBEDDED):
            found.update(self.held.get(kind, ()))
        return sorted(found)


class _HeadFields(QueryFields):
    """The same of a head alone, where a list that is spread over parts shows that it is."""

    __slots__ = ()

    def get(self, name: str, _default: Any = None) -> Any:
        held = self.held.get(obj.LIST, {}).get(name)
        return SPREAD if held is not None and len(held) != 2 else super().get(name)


class _QueryView(NestedView):
    """Nested lists and dictionaries as queries see them."""

    __slots__ = ()

    def inside(self, slot: bytes, home: Home, depth: int = 1) -> Any:
        held = content(self._fields, slot, home)
        is_list = obj.container_kind(slot) == obj.LIST
        if self._parts is None and is_list and held is not None and len(held) != 2:
            return NestedList()  # spread over parts: no null
        found = super().inside(slot, home, depth)
        if type(found) is list:
            return NestedList(found)
        return NestedDict(found) if type(found) is dict else found
