"""What a reader sees of a state, without metadata. [STATE-VIEW]

`fields_view` needs no schema: where a name holds several kinds (contradicting writes), the
greatest kind that shows something wins. The client engine reads by schema instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
from replication.model.values import Based, Container


def shows(head: bytes | None) -> bool:
    """Whether a reader sees the object with this head, mostly without decoding it."""
    if head is None:
        return False
    length, at = head[1], head[2]
    if length < 0x80 and at < 0x80:  # MessagePack's small integers are the numbers themselves
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
    """What queries see of a stored head: plain values, and lists and sets of them.

    A list that is spread over parts, dictionaries and embedded objects are left out: subscriptions
    don't query them.
    """
    return queryable(unpack_trusted(head))


def queryable(state: obj.ObjectState) -> dict[str, Any]:
    """The same of a decoded state; empty for one that is not alive."""
    if not obj.is_alive(state):
        return {}
    fields = state[3]
    out = registers(fields)
    for name, held in fields.get(obj.SET, {}).items():
        out[name] = members(held)
    for name, held in fields.get(obj.LIST, {}).items():
        if len(held) == 2:
            out[name] = [value for value, _ in list_values(held)]
    return out


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


def column_values(state: obj.ObjectState, names: Iterable[str]) -> dict[str, Any] | None:
    """The queryable fields ``names`` of an object as a store keeps them; None if not alive."""
    if not obj.is_alive(state):
        return None
    fields = state[3]
    groups = fields.get(obj.REGISTER)
    if groups and len(fields) == 1:  # nothing but registers
        return {name: _written(groups, name) for name in names}
    return {name: _column_value(fields, name) for name in names}


def _written(groups: Any, name: str) -> Any:
    # `register_value` where there are no counters.
    for group in groups:
        if name in group[2]:
            value = group[2][name]
            return shown(value, 0) if type(value) is Based else value
    return None


def _column_value(fields: obj.Fields, name: str) -> Any:
    # As `queryable`, one by one: most fields of an object are no columns.
    if obj.LIST in fields and name in fields[obj.LIST] and len(fields[obj.LIST][name]) == 2:
        return [value for value, _ in list_values(fields[obj.LIST][name])]
    if obj.SET in fields and name in fields[obj.SET]:
        return members(fields[obj.SET][name])
    return register_value(fields, name)
