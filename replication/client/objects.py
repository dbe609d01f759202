"""Handles: the objects of a database as an app holds them.

A handle stands for one object by class and key, or for an embedded object by the path to it. It
holds no data: reading shows what is committed last or, in the thread of a running write
transaction, what that transaction sees. It stays good across commits, downloads and deletions:
where its object is gone it says so, and where the object comes back it shows it again.

Rule 1: the class of a handle is made from the schema, with a descriptor for each property. Where
        the app declared a Python class, its handles are instances of that.
Rule 2: only what the schema knows is shown. A property whose name a handle needs for itself
        (`is_valid`, `to_dict`, ...) is reached as ``handle["is_valid"]``.
Rule 3: writing needs a write transaction in this thread, and is checked whole before any of it
        is written.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from replication.client import values
from replication.client.collections import Collection
from replication.client.entities import Entity, LinkState, Steps
from replication.client.fields import Shape
from replication.client.values import Place
from replication.crdt.list import Id
from replication.crdt.object import Fields
from replication.crdt.view import register_value
from replication.errors import (
    NoSuchObjectError,
    NoTransactionError,
    SchemaError,
    UsageError,
    WrongTypeError,
)
from replication.model.declare import Declaration, Declared, declaration_of
from replication.model.property import Property
from replication.model.schema import ClassSchema
from replication.model.types import KEY_NAME
from replication.model.values import Link

if TYPE_CHECKING:
    from replication.client.database import Database
    from replication.client.results import ObjectChange, ObjectObservation
    from replication.client.transaction import Transaction

_short: Final = reprlib.Repr()
_short.maxstring = _short.maxother = 60


class Handle:
    """An object of a database. Made by `Database.get`, `create`, `objects` and other handles."""

    # Named so that properties may have any other name.
    __slots__ = ("__weakref__", "_entity", "_path", "_renames")

    _shape: ClassVar[Shape]

    _entity: Entity
    _path: Steps
    _renames: int

    def __init__(self, entity: Entity, path: Steps = ()) -> None:
        _set_entity(self, entity)
        _set_path(self, path)
        if path:
            _set_renames(self, entity.db.entities.renames)

    # -- what it stands for ------------------------------------------------------------------
    @property
    def is_valid(self) -> bool:
        """Whether the object is there: neither deleted nor out of this device's view."""
        return self._look() is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Handle):
            return NotImplemented
        return self._entity is other._entity and self._steps() == other._steps()

    def __hash__(self) -> int:
        return hash(self._entity.name)

    def __repr__(self) -> str:
        name = self._shape.schema.name
        if not self.is_valid:
            return f"<{name} {self._entity.key!r}, not there>"
        fields = self._shape.fields.values()
        shown = (
            f"{field.name}={_short.repr(field.plain(self))}" for field in fields if field.is_plain
        )
        return f"{name}({', '.join(shown)})"

    # -- reading -----------------------------------------------------------------------------
    def __getitem__(self, name: str) -> Any:
        return self._shape.field(name).read(self)

    def __getattr__(self, name: str) -> Any:
        # Called only for what was not found.
        raise AttributeError(self._shape.unknown(name), name=name, obj=self)

    def to_dict(self) -> dict[str, Any]:
        """All properties as plain values, nested ones as dicts and lists.

        Sets become lists in canonical order; links stay `Link`s, if their targets are here.
        """
        return {name: field.plain(self) for name, field in self._shape.fields.items()}

    def link_states(self, name: str) -> list[tuple[Link, LinkState]]:
        """What a property links to, here or not: a link reads None, and is hidden in a list or
        set, both where its target was deleted and where this device does not see it.

        Of a list or dictionary the links that stand in it, in order.
        """
        shown = self._shape.field(name).read(self)
        if isinstance(shown, Collection):
            return shown.link_states()
        stored = register_value(self._fields(), name)
        if type(stored) is not Link:
            return []
        return [(stored, self._entity.db.entities.link_states([stored])[0])]

    def observe(self, callback: Callable[[ObjectChange], None]) -> ObjectObservation:
        """Call ``callback`` now, and after each transaction that changed what this shows.

        Raises:
            UsageError: it is embedded, or a write transaction is running in this thread.
        """
        from replication.client.results import ObjectObservation  # results are made of handles

        if self._path:
            raise UsageError("observe the object that this one is embedded in")
        return ObjectObservation(self._entity, self._shape.schema, callback)

    def _look(self) -> Fields | None:
        """The fields; None where there is no object."""
        entity = self._entity
        found = entity.fields(self._steps())
        if found is None and self._path and entity.db.entities.renaming:
            with entity.db.lock:  # ids are being renamed just now: wait until they are
                found = entity.fields(self._steps())
        return found

    def _fields(self) -> Fields:
        """The fields.

        Raises:
            NoSuchObjectError: there is no object.
        """
        found = self._look() if self._path else self._entity.fields()
        if found is None:
            raise self._entity.missing(self._steps())
        return found

    def _steps(self) -> Steps:
        """The path, with ids as they are named now."""
        if self._path:
            entities = self._entity.db.entities
            renames = entities.renames
            if self._renames != renames:
                _set_path(self, entities.current(self._path, self._renames))
                _set_renames(self, renames)
        return self._path

    # -- writing -----------------------------------------------------------------------------
    def __setitem__(self, name: str, value: Any) -> None:
        self._shape.field(name).write(self, value)

    def __setattr__(self, name: str, value: Any) -> None:
        field = self._shape.attributes.get(name)
        if field is not None:
            field.write(self, value)
        # A declared class has no slots: a misspelled name must not just become an attribute.
        elif name in self._shape.fields or not _is_settable(type(self), name):
            raise AttributeError(self._shape.unknown(name), name=name, obj=self)
        else:
            object.__setattr__(self, name, value)

    def add(self, name: str, amount: int) -> None:
        """Add to an int or a counter: concurrent additions add up.

        Raises:
            WrongTypeError: the property is no number that can be added to.
        """
        item = self._shape.field(name).item
        if not item.is_plain or item.type not in ("int", "counter", "mixed") or name == KEY_NAME:
            raise WrongTypeError(f"{item} is {item.spelling}: only to an int can be added")
        checked = _AMOUNT.check(amount)
        assert isinstance(checked, int)
        self._place().scope.add(name, checked)

    def set_default(self, name: str, value: Any) -> None:
        """Set a plain property as its default: it loses to what others set, at any time.

        Lists and dictionaries that devices set as defaults of a mixed property, each without
        having seen the others', are one, with what all of them put into it.

        Raises:
            WrongTypeError: the property is not plain, or the value does not fit.
        """
        item = self._shape.field(name).item
        if not item.is_plain or name == KEY_NAME:
            raise WrongTypeError(f"{item} is {item.spelling}: only a plain one takes a default")
        checked = values.checked_one(self._shape.handles, item, value)
        values.set_default(self._place(), name, checked)

    def _place(self) -> Place:
        """The fields, open for writing.

        Raises:
            NoTransactionError: no write transaction is running in this thread.
            NoSuchObjectError: there is no object.
        """
        entity = self._entity
        edit = running(entity.db).opened(entity)
        path = self._path and self._steps()
        try:
            return Place(edit, path, edit.scope(path))
        except NoSuchObjectError:
            raise entity.missing(path) from None


# A handle's own __setattr__ is for the app.
_set_entity: Final = vars(Handle)["_entity"].__set__
_set_path: Final = vars(Handle)["_path"].__set__
_set_renames: Final = vars(Handle)["_renames"].__set__
#: Checks what is added.
_AMOUNT: Final = Property.of("amount", "int")
#: What is no property, because handles need it; see Rule 2.
_TAKEN: Final = frozenset(dir(Handle))


def _is_settable(kind: type, name: str) -> bool:
    return hasattr(getattr(kind, name, None), "__set__")


def running(db: Database) -> Transaction:
    """The write transaction of this thread.

    Raises:
        NoTransactionError: there is none.
    """
    transaction = db.transaction
    if transaction is None:
        raise NoTransactionError(
            "writing needs a write transaction in this thread: `with db.write(): ...`"
        )
    return transaction


class Handles:
    """What makes the handles of one database.

    Args:
        declaration: the app's declared classes, if it declared any.
    """

    def __init__(self, db: Database, declaration: Declaration | None) -> None:
        self._db = db
        self._declared: dict[str, Declared] = dict(declaration.classes) if declaration else {}
        self._datetimes = declaration.datetimes if declaration else frozenset()
        self._kinds: dict[str, tuple[ClassSchema, type[Handle]]] = {}

    # -- classes -----------------------------------------------------------------------------
    def class_schema(self, name: str) -> ClassSchema:
        """The class of that name. For `values.Classes`."""
        return self._db.class_schema(name)

    def keyed(self, cls: type | str) -> ClassSchema:
        """A class of objects with keys, by its name or declaration.

        Raises:
            SchemaError: there is none, it is embedded, or declared otherwise here.
        """
        if isinstance(cls, str):
            schema = self.class_schema(cls)
        else:
            schema = self.class_schema(cls.__name__)
            if self._declared.get(cls.__name__) is not cls:
                self._take(cls)
        if schema.embedded:
            raise SchemaError(f"{schema.name} is embedded: its objects live inside of others")
        return schema

    def _take(self, cls: Any) -> None:
        """Handles of a class that was not passed at opening are its instances from now on."""
        declaration = declaration_of(cls)
        for item in declaration.schema:
            known = self.class_schema(item.name)
            other = self._declared.get(item.name, declaration.classes[item.name])
            if known != item or other is not declaration.classes[item.name]:
                raise SchemaError(
                    f"class {item.name} of {declaration.classes[item.name].__module__} is not "
                    "what this database was opened with; open it with that class"
                )
        self._declared.update(declaration.classes)
        self._datetimes |= declaration.datetimes
        self._kinds.clear()

    def kind(self, name: str) -> type[Handle]:
        """The class of the handles of a class."""
        schema = self.class_schema(name)
        held = self._kinds.get(name)
        if held is None or held[0] is not schema:
            held = self._kinds[name] = (schema, self._made(schema))
        return held[1]

    def _made(self, schema: ClassSchema) -> type[Handle]:
        shape = Shape(self, schema, self._datetimes, _TAKEN)
        members: dict[str, Any] = {"_shape": shape, "__slots__": ()}
        members |= shape.attributes
        declared = self._declared.get(schema.name)
        bases = (Handle,) if declared is None else (Handle, declared)
        members["__module__"] = Handle.__module__ if declared is None else declared.__module__
        return type(schema.name, bases, members)

    # -- handles -----------------------------------------------------------------------------
    def handle(self, entity: Entity) -> Handle:
        """A handle for an object, whether it exists or not."""
        return self.kind(entity.class_name)(entity)

    def embedded(self, handle: Handle, item: Property, *steps: str | Id) -> Handle:
        """A handle for what is embedded in an object at ``steps`` further on."""
        assert item.target is not None
        return self.kind(item.target)(handle._entity, (*handle._steps(), *steps))

    def target(self, link: Link) -> Handle | None:
        """A handle for what a link leads to; None if that is not here."""
        entity = self._db.entities.entity(link.class_name, link.key)
        return None if entity.fields() is None else self.handle(entity)

    def link(self, value: Any) -> Link | None:
        """The link to the object that a handle stands for; None for anything else.

        Raises:
            UsageError: it is an object of another database.
            NoSuchObjectError: it is not there.
        """
        if not isinstance(value, Handle) or value._path:
            return None
        entity = value._entity
        if entity.db is not self._db:
            raise UsageError(f"{value!r} belongs to another database")
        value._fields()
        return Link(entity.class_name, entity.key)

    def content(self, value: Any) -> tuple[str, dict[str, Any]] | None:
        """Class and content of an embedded object, stored or not. For `values.Classes`."""
        if isinstance(value, Handle):
            return (value._shape.schema.name, value.to_dict()) if value._path else None
        return values.detached(value)

    # -- what apps do ------------------------------------------------------------------------
    def get(self, cls: type | str, key: Any) -> Handle | None:
        """The object with that key; None if it is not here."""
        schema = self.keyed(cls)
        entity = self._db.entities.entity(schema.name, schema.check_key(key))
        return None if entity.fields() is None else self.handle(entity)

    def create(self, cls: type | str, given: dict[str, Any]) -> Handle:
        """Create an object; see `Database.create`."""
        schema = self.keyed(cls)
        transaction = running(self._db)
        if KEY_NAME not in given:
            raise WrongTypeError(f"a {schema.name} needs its key: pass {KEY_NAME}=...")
        key = schema.check_key(given.pop(KEY_NAME))
        checked = values.checked_fields(self, schema, given)
        self._db.subscriptions.check_covers(schema.name)
        edit = transaction.create(schema.name, key)
        values.fill(self, Place(edit, (), edit.scope()), schema, checked)
        return self.handle(self._db.entities.entity(schema.name, key))

    def delete(self, target: Any) -> None:
        """Delete an object, or each of several; see `Database.delete`."""
        transaction = running(self._db)
        if not isinstance(target, Handle):
            if not isinstance(target, Iterable):
                raise WrongTypeError(f"{target!r:.80} is no object of a database")
            for each in list(target):
                self.delete(each)
            return
        if target._path:
            raise UsageError("an embedded object is not deleted: assign None where it stands")
        target._fields()
        transaction.delete(target._entity.class_name, target._entity.key)
