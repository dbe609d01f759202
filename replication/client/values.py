"""What an app passes as values: checked and brought into one form first, then written.

Rule 1: nothing is written before all of it has been checked, so that a value that does not fit
        leaves no half of its siblings behind.
Rule 2: the checked form of a plain property is its value (an object is its `Link`), of an embedded
        object the dict of its given properties or None, of a list or set a list, of a dictionary
        a dict. An embedded object that stands elsewhere is copied.
Rule 3: creating writes what is given, and declared defaults as defaults; what is neither is not
        written and shows its zero. What is created is filled by inserts, not by assignment.
        In a mixed property a list or dictionary is a list or dict of checked values, too.
Rule 4: assigning a whole collection starts a new incarnation, save that emptying an empty one
        does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableSequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from replication.client.entities import Steps
from replication.client.object_edit import ObjectEdit
from replication.client.texts import assign_text
from replication.crdt import object as obj
from replication.crdt.container import property_container
from replication.crdt.dictionary import plain_items
from replication.crdt.edit import ListEditor, Scope
from replication.crdt.nested import Nested
from replication.crdt.object import is_alive
from replication.crdt.set import member_bytes
from replication.errors import LimitExceededError, WrongTypeError
from replication.limits import CONTAINER_NESTING_MAX
from replication.model.check import shown
from replication.model.declare import EmbeddedObject, Text
from replication.model.encoding import pack
from replication.model.property import Property
from replication.model.schema import ClassSchema
from replication.model.values import ERASED, Value

#: A checked value of a property; see Rule 2.
Checked: TypeAlias = Any


class Classes(Protocol):
    """What checking needs to know beyond one class."""

    def class_schema(self, name: str) -> ClassSchema:
        """The class of that name."""

    def link(self, value: Any) -> Value | None:
        """The link to an object of this database that ``value`` is; None for anything else."""

    def content(self, value: Any) -> tuple[str, dict[str, Any]] | None:
        """Class and properties of the embedded object that ``value`` is; None for others."""


class Place(NamedTuple):
    """The fields of one object, top-level or embedded, open for writing."""

    edit: ObjectEdit
    path: Steps
    scope: Scope


# -- checking ----------------------------------------------------------------------------------
def checked_fields(
    classes: Classes, schema: ClassSchema, values: Mapping[str, Any]
) -> dict[str, Checked]:
    """The given properties of a class, checked.

    Raises:
        SchemaError: the class has no property of that name.
        WrongTypeError: a value does not fit its property.
    """
    return {name: checked(classes, schema[name], value) for name, value in values.items()}


def checked(classes: Classes, item: Property, value: Any) -> Checked:
    """A whole value of a property, checked.

    Raises:
        WrongTypeError: it does not fit.
    """
    if item.collection is None:
        return checked_one(classes, item, value)
    if item.collection == "dict":
        if not isinstance(value, Mapping):
            raise WrongTypeError(_misfit(item, value, "pass a dict"))
        return {
            item.check_key(key): checked_one(classes, item, each) for key, each in value.items()
        }
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise WrongTypeError(_misfit(item, value, f"pass a {item.collection}"))
    return [checked_one(classes, item, each) for each in value]


def checked_one(
    classes: Classes, item: Property, value: Any, room: int = CONTAINER_NESTING_MAX
) -> Checked:
    """One value: of a collection, an element, member or dictionary value of it.

    Args:
        room: how deep lists and dictionaries in a mixed value may nest.

    Raises:
        WrongTypeError: it does not fit.
        LimitExceededError: it nests too deep.
    """
    if item.type == "embedded":
        return _checked_embedded(classes, item, value)
    if item.type == "text":
        if not isinstance(value, str | Text):
            raise WrongTypeError(_misfit(item, value, "pass a str"))
        return str(value)
    link = classes.link(value) if item.type in ("link", "mixed") else None
    if link is None and item.type == "mixed" and item.collection != "set":
        is_list = isinstance(value, MutableSequence | tuple) and not isinstance(value, bytearray)
        if is_list or isinstance(value, Mapping):
            return _checked_nested(classes, item, value, room)
    return item.check(value if link is None else link)


def _checked_nested(classes: Classes, item: Property, value: Any, room: int) -> Checked:
    if room == 0:
        raise LimitExceededError(
            f"{item}: more than {CONTAINER_NESTING_MAX} lists and dictionaries inside each other"
        )
    if isinstance(value, Mapping):
        return {
            item.check_key(key): checked_one(classes, item, each, room - 1)
            for key, each in value.items()
        }
    return [checked_one(classes, item, each, room - 1) for each in value]


def _checked_embedded(classes: Classes, item: Property, value: Any) -> dict[str, Checked] | None:
    assert item.target is not None
    if value is None:
        return None if item.nullable else item.check(None)  # type: ignore[return-value]
    content = classes.content(value)
    if content is not None:
        name, value = content
        if name != item.target:
            raise WrongTypeError(_misfit(item, value, f"it is an embedded object of {name}"))
    elif not isinstance(value, Mapping):
        raise WrongTypeError(_misfit(item, value, f"pass a dict or {item.target}(...)"))
    return checked_fields(classes, classes.class_schema(item.target), value)


def _misfit(item: Property, value: object, advice: str) -> str:
    return f"{item} is {item.spelling}, got {shown(value)}; {advice}"


def detached(value: Any) -> tuple[str, dict[str, Any]] | None:
    """Class and properties of an embedded object that was made, but never stored."""
    if isinstance(value, EmbeddedObject):
        return type(value).__name__, dict(vars(value))
    return None


# -- writing -----------------------------------------------------------------------------------
def fill(classes: Classes, place: Place, schema: ClassSchema, values: dict[str, Checked]) -> None:
    """Write the properties of an object that was just created. Rule 3."""
    for name, item in schema.properties.items():
        if name in values:
            _write(classes, place, item, values[name], fresh=True)
        elif item.initial is not None:
            place.scope.set_default(name, item.initial)


def assign(classes: Classes, place: Place, item: Property, value: Checked) -> None:
    """Write a property of an object that is there. Rule 4."""
    _write(classes, place, item, value, fresh=False)


def _write(classes: Classes, place: Place, item: Property, value: Checked, *, fresh: bool) -> None:
    if item.collection is None:
        if item.type == "embedded":
            write_embedded(classes, place, item, value)
        elif item.type == "text":
            assign_text(place, item.name, value)
        else:
            nested(place).set(item.name, value)
        return
    if not fresh and not _restart(place, item, value):
        return
    if item.collection == "list":
        insert(classes, place, item, 0, value)
    elif item.collection == "set":
        members = {pack(each): each for each in value}
        for data in sorted(members):  # in this order adding is fast
            place.scope.set_member(item.name, members[data], present=True)
    else:
        for key in sorted(value):
            write_item(classes, place, item, key, value[key])


def nested(place: Place) -> Nested:
    """The mixed values of an object, open for writing."""
    return Nested(place.scope, partial(place.edit.editor, place.path))


def set_default(place: Place, name: str, value: Any) -> None:
    """Write a default of a plain property."""
    slot = property_container(place.scope.delta, name)
    made = place.scope.delta.get(obj.CONTAINER, {})
    if slot is not None and slot in made and made[slot][0]:
        # Made by this transaction, it leaves nothing, and one of the same id may come: as all
        # defaults over the same write have one, what is open of it must go, too. [EDIT-1]
        place.edit.editors.pop((place.path, slot), None)
    nested(place).set_default(name, value)


def _restart(place: Place, item: Property, value: Checked) -> bool:
    if not value and is_empty(place, item):
        return False
    clear(place, item)
    return True


def is_empty(place: Place, item: Property) -> bool:
    """Whether a collection has nothing to show, not even links to what is gone."""
    if item.collection == "list":
        return not place.edit.editor(place.path, item.name).ids
    held = place.scope.view.get(_KINDS[item.collection], {}).get(item.name)
    if held is None:
        return True
    if item.collection == "set":
        return not member_bytes(held)
    return not plain_items(held) and not any(map(is_alive, held[2].values()))


def clear(place: Place, item: Property) -> None:
    """Start a new incarnation of a collection."""
    if item.collection == "list":
        place.edit.restart_list(place.path, item.name)
        return
    place.scope.restart(_KINDS[item.collection], item.name)
    place.edit.forget_below((*place.path, item.name))


_KINDS: Final[dict[str | None, int]] = {"set": obj.SET, "dict": obj.DICTIONARY}


def write_embedded(
    classes: Classes, place: Place, item: Property, value: dict[str, Checked] | None
) -> None:
    """Assign an embedded object that is a field, or null."""
    assert item.target is not None
    path = (*place.path, item.name)
    held = place.scope.view.get(obj.EMBEDDED, {}).get(item.name)
    start = place.edit.starting_length(path, 0 if held is None else held[0])
    place.edit.forget_below(path)
    if value is None:
        place.scope.erase_embedded(item.name, start)
    else:
        scope = place.scope.create_embedded(item.name, start)
        inner = Place(place.edit, path, scope)
        fill(classes, inner, classes.class_schema(item.target), value)


def write_item(classes: Classes, place: Place, item: Property, key: str, value: Checked) -> None:
    """Set a key of a dictionary."""
    if item.type != "embedded":
        nested(place).put_item(item.name, key, value)
    elif value is None:
        erase_item(place, item, key)
    else:
        assert item.target is not None
        path = (*place.path, item.name, key)
        start = _starting_length(place, item, key)
        place.edit.forget_below(path)
        inner = Place(place.edit, path, place.scope.create_item(item.name, key, start))
        fill(classes, inner, classes.class_schema(item.target), value)


def erase_item(place: Place, item: Property, key: str) -> None:
    """Remove a key of a dictionary, or write its absence."""
    if item.type == "embedded":
        start = _starting_length(place, item, key)
        place.edit.forget_below((*place.path, item.name, key))
        place.scope.erase_item(item.name, key, start)
    else:
        place.scope.put_item(item.name, key, ERASED)


def _starting_length(place: Place, item: Property, key: str) -> int:
    dictionary = place.scope.view.get(obj.DICTIONARY, {}).get(item.name)
    held = None if dictionary is None else dictionary[2].get(key)
    path = (*place.path, item.name, key)
    return place.edit.starting_length(path, 0 if held is None else held[0])


def insert(
    classes: Classes, place: Place, item: Property, index: int, values: list[Checked]
) -> None:
    """Insert a run into a list, before the element at ``index``."""
    if item.type != "embedded":
        nested(place).list_insert(item.name, index, values)
        return
    editor = place.edit.editor(place.path, item.name)
    assert item.target is not None
    schema = classes.class_schema(item.target)
    for here, value in zip(
        place.scope.list_insert(item.name, editor, index, [None] * len(values)),
        values,
        strict=True,
    ):
        scope = place.scope.element(item.name, editor, here)
        fill(classes, Place(place.edit, (*place.path, item.name, here), scope), schema, value)


def erase(place: Place, item: Property, editor: ListEditor, index: int) -> None:
    """Erase the element of a list at ``index``."""
    if item.type == "embedded":
        place.edit.forget_below((*place.path, item.name, editor.id_at(index)))
    place.scope.list_erase(item.name, editor, index)
