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
from replication.crdt.dictionary import plain_items
from replication.crdt.object import Fields, is_alive
from replication.crdt.set import member_bytes
from replication.crdt.view import list_values, register_value
from replication.model.check import ZEROS
from replication.model.encoding import pack
from replication.model.property import Property
from replication.model.schema import ClassSchema
from replication.model.values import Key, Value

#: Gives the class of a name.
Classes: TypeAlias = Callable[[str], ClassSchema]
#: The net changes of one transaction: for each class one change for each object.
NetChanges: TypeAlias = dict[str, list[Change]]


def net_changes(changes: list[Change]) -> NetChanges:
    """One change for each object, from before the transaction to after it."""
    by_class: dict[str, dict[Key, Change]] = {}
    for change in changes:
        of_class = by_class.setdefault(change.class_name, {})
        first = of_class.get(change.key)
        if first is not None:
            change = change._replace(
                head_before=first.head_before, parts_of=first.parts_of | change.parts_of
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
    compare = _Comparison(classes)
    return [
        name
        for name, item in schema.properties.items()
        if compare.differ(item, before[3], after[3], name in change.parts_of)
    ]


class _Comparison:
    """Compares fields by schema."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes

    def differ(self, item: Property, before: Fields, after: Fields, parts_changed: bool) -> bool:
        """Whether a property looks different in two states of one object."""
        name = item.name
        if item.collection is None and item.type != "embedded":
            zero = None if item.nullable else ZEROS.get(item.type)
            return not same(
                _or(register_value(before, name), zero), _or(register_value(after, name), zero)
            )
        kind = _KINDS[item.collection]
        old, new = before.get(kind, {}).get(name), after.get(kind, {}).get(name)
        if old == new and not parts_changed:
            return False
        if item.collection == "list":
            return self._lists_differ(item, old, new, parts_changed)
        if item.collection == "set":
            return _members(old) != _members(new)
        if item.collection == "dict":
            return self._dictionaries_differ(item, old, new, parts_changed)
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

    def _dictionaries_differ(self, item: Property, old: Any, new: Any, parts_changed: bool) -> bool:
        old, new = old or [[], [], {}], new or [[], [], {}]
        if item.type != "embedded":
            was, now = plain_items(old), plain_items(new)
            return was.keys() != now.keys() or any(not same(was[key], now[key]) for key in was)
        keys = old[2].keys() | new[2].keys()
        return any(
            self._objects_differ(item, old[2].get(key), new[2].get(key), parts_changed)
            for key in keys
        )

    def _lists_differ(self, item: Property, old: Any, new: Any, parts_changed: bool) -> bool:
        if any(state is not None and len(state) == 3 for state in (old, new)):
            return parts_changed or old != new
        was, now = [list(list_values(state)) if state else [] for state in (old, new)]
        if len(was) != len(now):
            return True
        if item.type != "embedded":
            return any(not same(a[0], b[0]) for a, b in zip(was, now, strict=True))
        return any(
            self._fields_differ(item, a[1] or {}, b[1] or {}, parts_changed)
            for a, b in zip(was, now, strict=True)
        )


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
