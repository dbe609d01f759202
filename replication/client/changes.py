"""What a transaction changed, as a reader sees it: the net of it, and which fields look different.

Rule 1: what is compared is what shows: writing the value that stood there changes nothing, nor
        does what the schema does not know. Values are the same when their canonical bytes are.
Rule 2: a field is a top-level property; whatever changes inside of it is a change of it.
Rule 3: a link is compared as a value: it has not changed when its target was deleted.
Rule 4: of a list that is spread over parts only the directory is at hand; it has changed when
        that has, or when the transaction changed parts of that field.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

from replication.client.replica import Change
from replication.crdt import object as obj
from replication.crdt.container import (
    Home,
    Slot,
    container_id,
    content,
    home_in,
    property_container,
)
from replication.crdt.dictionary import plain_items
from replication.crdt.list import expand
from replication.crdt.object import Fields, is_alive
from replication.crdt.sequence import Sequence
from replication.crdt.set import member_bytes
from replication.crdt.view import list_values, register_value
from replication.limits import CONTAINER_NESTING_MAX
from replication.model.check import ZEROS
from replication.model.encoding import pack
from replication.model.property import Property
from replication.model.schema import ClassSchema
from replication.model.values import Key, Value

#: Gives the class of a name.
Classes: TypeAlias = Callable[[str], ClassSchema]
#: The net changes of one transaction: for each class one change for each object.
NetChanges: TypeAlias = dict[str, list[Change]]


#: The fields of an object, and a collection among them.
_Side: TypeAlias = tuple[Fields, Any]


def net_changes(changes: list[Change]) -> NetChanges:
    """One change for each object, from before the transaction to after it."""
    by_class: dict[str, dict[Key, Change]] = {}
    for change in changes:
        of_class = by_class.setdefault(change.class_name, {})
        first = of_class.get(change.key)
        if first is not None:
            change = change._replace(
                head_before=first.head_before,
                parts_of=first.parts_of | change.parts_of,
                overridden=first.overridden + change.overridden,
            )
        of_class[change.key] = change
    return {name: list(of_class.values()) for name, of_class in by_class.items()}


def changed_fields(change: Change, schema: ClassSchema, classes: Classes) -> list[str]:
    """The names of the properties that look different, ascending; all of an object that came."""
    before, after = change.before, change.after
    if not is_alive(before) or not is_alive(after):
        return list(schema.properties) if is_alive(before) is not is_alive(after) else []
    if change.head_before == change.head_after and not change.parts_of:
        return []
    compare = _Comparison(classes, change)
    return [
        name
        for name, item in schema.properties.items()
        if compare.differ(item, before[3], after[3], name in change.parts_of)
    ]


class _Comparison:
    """Compares fields by schema."""

    def __init__(self, classes: Classes, change: Change) -> None:
        self._classes = classes
        self._parts_of = change.parts_of

    def differ(self, item: Property, before: Fields, after: Fields, parts_changed: bool) -> bool:
        """Whether a property looks different in two states of one object."""
        name = item.name
        if item.type == "text":
            old, new = (fields.get(obj.TEXT, {}).get(name) for fields in (before, after))
            return parts_changed or bool(old != new)
        if item.collection is None and item.type != "embedded":
            zero = None if item.nullable else ZEROS.get(item.type)
            return not same(
                _or(self._property(before, name, parts_changed), zero),
                _or(self._property(after, name, parts_changed), zero),
            )
        kind = _KINDS[item.collection]
        old, new = before.get(kind, {}).get(name), after.get(kind, {}).get(name)
        if old == new and not parts_changed and not self._nests(item, before, after):
            return False
        if item.collection == "list":
            return self._lists_differ(item, (before, old), (after, new), parts_changed)
        if item.collection == "set":
            return _members(old) != _members(new)
        if item.collection == "dict":
            return self._dictionaries_differ(item, (before, old), (after, new), parts_changed)
        return self._objects_differ(item, old, new, parts_changed)

    def _objects_differ(self, item: Property, old: Any, new: Any, parts_changed: bool) -> bool:
        was, now = old is not None and is_alive(old), new is not None and is_alive(new)
        if not was or not now:
            return was is not now
        return self._fields_differ(item, old[3], new[3], parts_changed)

    def _fields_differ(self, item: Property, old: Fields, new: Fields, parts_changed: bool) -> bool:
        assert item.target is not None
        properties = self._classes(item.target).properties.values()
        return any(self.differ(each, old, new, parts_changed) for each in properties)

    def _dictionaries_differ(
        self, item: Property, before: _Side, after: _Side, parts_changed: bool
    ) -> bool:
        (old_fields, old), (new_fields, new) = before, after
        old, new = old or [[], [], {}], new or [[], [], {}]
        if item.type != "embedded":
            was, now = plain_items(old), plain_items(new)
            return was.keys() != now.keys() or any(
                not same(
                    self._shown(old_fields, was[key], home_in(item.name, key), parts_changed),
                    self._shown(new_fields, now[key], home_in(item.name, key), parts_changed),
                )
                for key in was
            )
        keys = old[2].keys() | new[2].keys()
        return any(
            self._objects_differ(item, old[2].get(key), new[2].get(key), parts_changed)
            for key in keys
        )

    def _lists_differ(
        self, item: Property, before: _Side, after: _Side, parts_changed: bool
    ) -> bool:
        (old_fields, old), (new_fields, new) = before, after
        if any(state is not None and len(state) == 3 for state in (old, new)):
            return parts_changed or old != new or self._nests(item, old_fields, new_fields)
        if item.type == "mixed":
            elements = self._elements(old_fields, item.name, old, parts_changed)
            return elements != self._elements(new_fields, item.name, new, parts_changed)
        was, now = [list(list_values(state)) if state else [] for state in (old, new)]
        if len(was) != len(now):
            return True
        if item.type != "embedded":
            return any(not same(a[0], b[0]) for a, b in zip(was, now, strict=True))
        return any(
            self._fields_differ(item, a[1] or {}, b[1] or {}, parts_changed)
            for a, b in zip(was, now, strict=True)
        )

    # -- values that nest --------------------------------------------------------------------
    def _nests(self, item: Property, before: Fields, after: Fields) -> bool:
        """Whether containers changed, and might have in a property."""
        if item.type != "mixed" or obj.CONTAINER not in after:
            return False
        changed = any(type(slot) is bytes for slot in self._parts_of)
        return changed or before.get(obj.CONTAINER) != after[obj.CONTAINER]

    def _property(self, fields: Fields, name: str, parts_changed: bool) -> Any:
        slot = property_container(fields, name)
        if slot is None:
            return register_value(fields, name)
        return self._inside(fields, slot, [obj.REGISTER, name], parts_changed)

    def _shown(
        self, fields: Fields, value: Any, home: Home, parts_changed: bool, depth: int = 1
    ) -> Any:
        """What a stored value shows, comparable: lists and dictionaries in it hold bytes."""
        slot = container_id(value)
        if slot is None:
            return value
        return self._inside(fields, slot, home, parts_changed, depth)

    def _inside(
        self, fields: Fields, slot: bytes, home: Home, parts_changed: bool, depth: int = 1
    ) -> Any:
        held = content(fields, slot, home)
        if held is None or depth > CONTAINER_NESTING_MAX:
            return None
        if obj.container_kind(slot) == obj.LIST:
            return self._elements(fields, slot, held, parts_changed, depth)
        return {
            key: _leaf(self._shown(fields, value, home_in(slot, key), parts_changed, depth + 1))
            for key, value in plain_items(held).items()
        }

    def _elements(
        self, fields: Fields, slot: Slot, state: Any, parts_changed: bool, depth: int = 0
    ) -> list[Any]:
        if state is None:
            return []
        if len(state) == 3:  # Rule 4
            return [object() if parts_changed or slot in self._parts_of else pack(state)]
        elements = expand(state[1])
        return [
            _leaf(
                self._shown(
                    fields,
                    elements.values[here][2],
                    home_in(slot, here),
                    parts_changed,
                    depth + 1,
                )
            )
            for here in Sequence(elements).visible
        ]


def _leaf(shown: Any) -> Any:
    return shown if type(shown) in (list, dict) else pack(shown)


_KINDS: Final = {"list": obj.LIST, "set": obj.SET, "dict": obj.DICTIONARY, None: obj.EMBEDDED}


def _or(value: Any, zero: Value) -> Any:
    return zero if value is None else value


def _members(state: Any) -> Collection[bytes]:
    return [] if state is None else member_bytes(state)


def same(left: Any, right: Any) -> bool:
    """Whether two values have the same canonical bytes."""
    if left is right:
        return True
    if type(left) is not type(right):
        return False
    # Python finds 0.0 and -0.0 equal, and NaN unequal to itself.
    return pack(left) == pack(right) if isinstance(left, float) else bool(left == right)
