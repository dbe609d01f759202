"""The properties of a handle's class: what each kind of them shows, and how it is assigned.

Rule 1: a property that can't be null and was never written shows its type's zero.
Rule 2: a link to what is not here reads None. In a mixed property too.
Rule 3: reading a counter gives an int, as it is now, that knows where it came from: ``+=`` on the
        property, `add` and `set` change it there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from replication.client import values
from replication.client.collections import Collection, Dictionary, List, Set
from replication.client.texts import FieldText
from replication.crdt import object as obj
from replication.crdt.container import Home, property_container
from replication.crdt.object import is_alive
from replication.crdt.view import register_value
from replication.errors import SchemaError, UsageError
from replication.model.check import ZEROS, shown
from replication.model.declare import Counter
from replication.model.property import Property
from replication.model.schema import ClassSchema
from replication.model.types import KEY_NAME
from replication.model.values import Link, Timestamp, Value

if TYPE_CHECKING:
    from replication.client.objects import Handle, Handles

#: What an app sees of a stored value; None where it sees just that.
Convert: TypeAlias = Callable[[Any], Any] | None


class Field:
    """A property of a handle's class; its descriptor."""

    __slots__ = ("convert", "item", "name", "shape")

    def __init__(self, shape: Shape, item: Property) -> None:
        self.shape = shape
        self.item = item
        self.name = item.name
        self.convert: Convert = None
        if item.type in ("link", "mixed"):
            self.convert = self._target if item.type == "link" else self._mixed
        elif item.type == "timestamp" and shape.reads_datetime(item.name):
            self.convert = Timestamp.datetime

    def __get__(self, handle: Handle | None, owner: type | None = None) -> Any:
        return self if handle is None else self.read(handle)

    def __set__(self, handle: Handle, value: Any) -> None:
        self.write(handle, value)

    @property
    def is_plain(self) -> bool:
        """Whether it is one value, and no object."""
        return self.item.is_plain

    def read(self, handle: Handle) -> Any:
        """What the property shows."""
        value = register_value(handle._fields(), self.name)
        if value is None:
            value = self._zero()
        return value if self.convert is None or value is None else self.convert(value)

    def write(self, handle: Handle, value: Any) -> None:
        """Assign it."""
        if self.convert is not None:
            value = values.checked_one(self.shape.handles, self.item, value)
        else:
            value = self.item.check(value)
        handle._place().scope.set(self.name, value)

    def plain(self, handle: Handle) -> Any:
        """What it shows, as `Handle.to_dict` has it."""
        return self.plain_one(self.read(handle))

    def plain_one(self, shown: Any) -> Any:
        """The same for something that one value shows as."""
        if isinstance(shown, int) and type(shown) is CounterValue:
            return int(shown)
        if isinstance(shown, List):
            return shown.to_list()
        if isinstance(shown, Dictionary):
            return shown.to_dict()
        link = self.shape.handles.link(shown) if self.convert is not None else None
        return shown if link is None else link

    def nested(self, handle: Handle, slot: bytes, home: Home) -> Any:
        """What a reference to a container shows at a place of an object."""
        from replication.client.nested import shown  # these are collections, with fields

        return shown(handle, self, slot, home)

    def _zero(self) -> Value:
        return None if self.item.nullable else ZEROS.get(self.item.type)

    def _target(self, link: Link) -> Handle | None:
        return self.shape.handles.target(link)

    def _mixed(self, value: Any) -> Any:
        return self.shape.handles.target(value) if type(value) is Link else value


class MixedField(Field):
    """A property that holds a value of any type, lists and dictionaries included."""

    __slots__ = ()

    def read(self, handle: Handle) -> Any:
        slot = property_container(handle._fields(), self.name)
        if slot is None:
            return super().read(handle)
        return self.nested(handle, slot, [obj.REGISTER, self.name])

    def write(self, handle: Handle, value: Any) -> None:
        if isinstance(value, Collection) and value.is_container(
            handle, property_container(handle._fields(), self.name)
        ):
            return  # the second half of `book.anything += [...]`
        checked = values.checked_one(self.shape.handles, self.item, value)
        values.nested(handle._place()).set(self.name, checked)


class KeyField(Field):
    """The primary key."""

    __slots__ = ()

    def read(self, handle: Handle) -> Any:
        return handle._entity.key

    def write(self, handle: Handle, value: Any) -> None:
        raise UsageError(
            f"{self.item} of {handle!r:.80} can't be changed to {shown(value)}: "
            "create an object with that key"
        )


class CounterField(Field):
    """A counter."""

    __slots__ = ()

    def read(self, handle: Handle) -> CounterValue:
        value = register_value(handle._fields(), self.name)
        return CounterValue.of(handle, self.name, 0 if value is None else value)

    def write(self, handle: Handle, value: Any) -> None:
        if isinstance(value, _Increased) and value.origin == (handle, self.name):
            handle.add(self.name, value.amount)
        else:
            super().write(handle, value)


class CounterValue(Counter):
    """What a counter showed when it was read: an int. See Rule 3."""

    _origin: tuple[Handle, str]

    @classmethod
    def of(cls, handle: Handle, name: str, number: int) -> CounterValue:
        """The counter of an object."""
        new = cls(number)
        new._origin = (handle, name)
        return new

    @property
    def value(self) -> int:
        """What the counter shows now."""
        handle, name = self._origin
        return int(handle[name])

    def add(self, amount: int) -> None:
        """Add to the counter; whatever others add meanwhile counts too."""
        handle, name = self._origin
        handle.add(name, amount)

    def set(self, value: int) -> None:
        """Set it: what was added to it before, as far as this device knows, is replaced."""
        handle, name = self._origin
        handle[name] = value

    def __iadd__(self, amount: int) -> int:
        return _Increased.by(self, amount)

    def __isub__(self, amount: int) -> int:
        return _Increased.by(self, -amount)


class _Increased(int):
    """The result of ``+=`` on a counter, on its way back into the property."""

    origin: tuple[Handle, str]
    amount: int

    @classmethod
    def by(cls, value: CounterValue, amount: int) -> _Increased:
        new = cls(value + amount)
        new.origin, new.amount = value._origin, amount
        return new


class _PartField(Field):
    """A property that is written part by part."""

    __slots__ = ()

    def write(self, handle: Handle, value: Any) -> None:
        if isinstance(value, Collection) and value.is_of(handle, self):
            return  # the second half of `book.tags += [...]`
        handles = self.shape.handles
        checked = values.checked(handles, self.item, value)
        values.assign(handles, handle._place(), self.item, checked)


class EmbeddedField(_PartField):
    """An embedded object."""

    __slots__ = ()

    def read(self, handle: Handle) -> Handle | None:
        held = handle._fields().get(obj.EMBEDDED, {}).get(self.name)
        if held is None or not is_alive(held):
            return None
        return self.shape.handles.embedded(handle, self.item, self.name)

    def plain(self, handle: Handle) -> Any:
        held = self.read(handle)
        return None if held is None else held.to_dict()


class TextField(_PartField):
    """A collaborative text."""

    __slots__ = ()

    def read(self, handle: Handle) -> FieldText:
        return FieldText(handle, self)

    def plain(self, handle: Handle) -> Any:
        return str(self.read(handle))


class ListField(_PartField):
    """A list."""

    __slots__ = ()

    def read(self, handle: Handle) -> List:
        return List(handle, self)

    def plain(self, handle: Handle) -> Any:
        return self.read(handle).to_list()


class SetField(_PartField):
    """A set."""

    __slots__ = ()

    def read(self, handle: Handle) -> Set:
        return Set(handle, self)

    def plain(self, handle: Handle) -> Any:
        return self.read(handle).to_list()


class DictionaryField(_PartField):
    """A dictionary."""

    __slots__ = ()

    def read(self, handle: Handle) -> Dictionary:
        return Dictionary(handle, self)

    def plain(self, handle: Handle) -> Any:
        return self.read(handle).to_dict()


_COLLECTIONS = {"list": ListField, "set": SetField, "dict": DictionaryField}
_KINDS = {
    "counter": CounterField,
    "embedded": EmbeddedField,
    "mixed": MixedField,
    "text": TextField,
}


class Shape:
    """The properties that the handles of one class have.

    Attributes:
        fields: by name, the primary key first.
        attributes: those that are attributes, too; other names mean something else for handles.
    """

    def __init__(
        self,
        handles: Handles,
        schema: ClassSchema,
        datetimes: frozenset[tuple[str, str]],
        taken: frozenset[str],
    ) -> None:
        self.handles = handles
        self.schema = schema
        self._datetimes = datetimes
        self.fields: dict[str, Field] = {}
        if schema.key is not None:
            self.fields[KEY_NAME] = KeyField(self, schema.key)
        for name, item in schema.properties.items():
            self.fields[name] = self._kind(item)(self, item)
        self.attributes = {name: field for name, field in self.fields.items() if name not in taken}

    @staticmethod
    def _kind(item: Property) -> type[Field]:
        if item.collection is not None:
            return _COLLECTIONS[item.collection]
        return _KINDS.get(item.type, Field)

    def reads_datetime(self, name: str) -> bool:
        """Whether the app declared a timestamp as `datetime.datetime`."""
        return (self.schema.name, name) in self._datetimes

    def field(self, name: str) -> Field:
        """The property of that name.

        Raises:
            SchemaError: there is none.
        """
        found = self.fields.get(name)
        if found is None:
            self.schema[name]  # raises with names that are alike
            raise SchemaError(f"{self.schema.name} has no property {name!r}")
        return found

    def unknown(self, name: str) -> str:
        """Why there is no attribute of that name."""
        if name in self.fields:
            return f'{name!r} means something else for handles: write handle["{name}"]'
        try:
            self.schema[name]
        except SchemaError as error:
            return str(error)
        return f"{self.schema.name} has no property {name!r}"
