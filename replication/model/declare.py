"""Schemas declared as Python classes with annotations.

    class Author(Object):
        _id: ObjectId
        name: str

    class Book(Object):
        _id: int
        title: Annotated[str, Indexed]
        year: int = 1970                # what a new book starts with
        subtitle: str | None
        tags: list[str]
        extra: dict[str, Mixed]
        copies: Counter
        author: Author | None           # a link
        address: Address | None         # an embedded object: class Address(EmbeddedObject)

The classes only declare. The client engine makes its handles as subclasses of them, so that a type
checker knows what it gets from a variable of type Book.

Rule 1: an annotation says what reading gives. A link or an embedded object may always be null
        where it stands alone or in a dictionary, so its annotation must say ``| None``.
Rule 2: one type, one annotation. The exception is time: `Timestamp` with nanoseconds, or
        `datetime.datetime` for those who want to read that; `Declaration.datetimes` knows which.
"""

from __future__ import annotations

import datetime
import types
import typing
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeAlias

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from replication.errors import SchemaError, UsageError
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.types import KEY_NAME, KEY_TYPES, Collection, always_nullable
from replication.model.values import Float32, Timestamp


class _Stored:
    """What type checkers are to know of handles: the client engine makes it so."""

    if TYPE_CHECKING:

        @property
        def is_valid(self) -> bool: ...
        def to_dict(self) -> dict[str, Any]: ...
        def add(self, name: str, amount: int) -> None: ...
        def __getitem__(self, name: str) -> Any: ...
        def __setitem__(self, name: str, value: Any) -> None: ...


class Object(_Stored):
    """What a class of objects with a primary key ``_id`` derives from."""

    if TYPE_CHECKING:

        def observe(self, callback: Callable[[Any], None]) -> Any: ...


class EmbeddedObject(_Stored):
    """What a class of objects that live inside others derives from.

    Made with values for its properties, an object waits to be stored inside of another one:
    ``book.address = Address(city="Bern")``.
    """

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class Counter(int):
    """Declares an int whose concurrent increments add up.

    Reading gives an int that knows where it came from, and can be changed there.
    """

    __slots__ = ()

    @property
    def value(self) -> int:
        """What the counter shows now."""
        return int(self)

    def add(self, amount: int) -> None:
        """Add to the counter of the object that this was read from."""
        raise UsageError(
            f"{int(self)} was read from no object: there is nothing to add {amount} to"
        )

    def set(self, value: int) -> None:
        """Set the counter of the object that this was read from."""
        raise UsageError(f"{int(self)} was read from no object: nothing to set to {value}")


class Text(ABC):
    """Declares collaborative text, which merges by character; what reading gives can do this.

    Indexes and counts are of code points. See `client.texts` for what each method raises.
    """

    __slots__ = ()

    @abstractmethod
    def __str__(self) -> str: ...
    @abstractmethod
    def __len__(self) -> int: ...
    @abstractmethod
    def __getitem__(self, index: int | slice) -> str: ...
    @abstractmethod
    def __contains__(self, part: str) -> bool: ...
    @abstractmethod
    def __delitem__(self, index: int | slice) -> None: ...

    @abstractmethod
    def pieces(self) -> list[tuple[str, dict[str, Any]]]:
        """Strings in order, each with its formats."""

    @abstractmethod
    def observe(self, callback: Callable[[Any], None]) -> Any:
        """Be told what each transaction changes, as deltas."""

    @abstractmethod
    def insert(self, index: int, text: str, formats: Mapping[str, Any] | None = None) -> None:
        """Insert before the character at ``index``."""

    @abstractmethod
    def append(self, text: str, formats: Mapping[str, Any] | None = None) -> None:
        """Insert at the end."""

    @abstractmethod
    def erase(self, index: int, count: int = 1) -> None:
        """Erase ``count`` characters from ``index`` on."""

    @abstractmethod
    def format(self, index: int, count: int, formats: Mapping[str, Any]) -> None:
        """Format ``count`` characters from ``index`` on; None takes a format away."""

    @abstractmethod
    def apply_delta(self, delta: list[dict[str, Any]]) -> None:
        """Do what a delta says."""

    @abstractmethod
    def update(self) -> bytes:
        """All of it, for a Yjs document."""

    @abstractmethod
    def apply_update(self, update: bytes) -> None:
        """Write what a Yjs document bound to it wrote."""


class Indexed:
    """Marks a property queryable, as in ``title: Annotated[str, Indexed]``."""


#: Declares a property that takes a value of any type.
Mixed: TypeAlias = Any

Declared: TypeAlias = type[Object] | type[EmbeddedObject]

_PLAIN: Final[dict[Any, str]] = {
    bool: "bool",
    int: "int",
    Counter: "counter",
    Float32: "float",
    float: "double",
    str: "string",
    bytes: "binary",
    Timestamp: "timestamp",
    datetime.datetime: "timestamp",
    Decimal128: "decimal",
    ObjectId: "objectId",
    uuid.UUID: "uuid",
    Any: "mixed",
    Text: "text",
}
_COLLECTIONS: Final[dict[Any, Collection]] = {list: "list", set: "set", dict: "dict"}


@dataclass(frozen=True)
class Declaration:
    """What a set of declared classes says."""

    schema: Schema
    #: The declaring class of each class of the schema, by name.
    classes: Mapping[str, Declared]
    #: (class, property) of the timestamps that are to be read as `datetime.datetime`.
    datetimes: frozenset[tuple[str, str]]


def schema_of(*classes: Declared) -> Schema:
    """The schema that these classes, and those they lead to, declare.

    Raises:
        SchemaError: an annotation that declares nothing; the message names class and property.
        WrongTypeError: a default that does not fit its property.
    """
    return declaration_of(*classes).schema


def declaration_of(*classes: Declared) -> Declaration:
    """The same, together with the classes themselves; for an engine that makes handles."""
    found: dict[str, Declared] = {}
    schemas: list[ClassSchema] = []
    datetimes: set[tuple[str, str]] = set()
    names = {each.__name__: each for each in classes}
    waiting = list(classes)
    while waiting:
        declared = waiting.pop(0)
        name = declared.__name__
        if found.setdefault(name, declared) is not declared:
            raise SchemaError(
                f"class {name} is declared twice: in {found[name].__module__} and in "
                f"{declared.__module__}; rename one"
            )
        if all(each.name != name for each in schemas):
            reader = _Reader(declared, names)
            schemas.append(reader.schema())
            datetimes.update((name, each) for each in reader.datetimes)
            waiting.extend(reader.targets)
    return Declaration(Schema(schemas), types.MappingProxyType(found), frozenset(datetimes))


class _Reader:
    """Reads one class: its schema, and the classes it leads to."""

    def __init__(self, declared: Declared, names: Mapping[str, Declared]) -> None:
        if not isinstance(declared, type) or not issubclass(declared, Object | EmbeddedObject):
            raise SchemaError(f"{declared!r} derives from neither Object nor EmbeddedObject")
        if issubclass(declared, Object) and issubclass(declared, EmbeddedObject):
            raise SchemaError(f"{declared.__name__} can't be both an Object and an EmbeddedObject")
        self._declared = declared
        self._hints = _resolved(declared, names)
        self._keyed = issubclass(declared, Object)
        self.targets: list[Declared] = []
        self.datetimes: list[str] = []

    def schema(self) -> ClassSchema:
        name = self._declared.__name__
        key = self._key() if self._keyed else None
        return ClassSchema(name, self._properties(), key=key)

    def _key(self) -> str:
        where = f"{self._declared.__name__}.{KEY_NAME}"
        kinds = "int, str, ObjectId or uuid.UUID"
        if KEY_NAME not in self._hints:
            raise SchemaError(f"{where} is missing: declare the primary key as {kinds}")
        annotation, _ = _unmarked(self._hints[KEY_NAME])
        key = _plain(annotation)
        if key not in KEY_TYPES:
            raise SchemaError(f"{where} is {_spelled(annotation)}; a primary key is {kinds}")
        if hasattr(self._declared, KEY_NAME):
            raise SchemaError(f"{where} can't have a default: every object has its own key")
        return key

    def _properties(self) -> Iterator[Property]:
        for name, annotation in self._hints.items():
            if ClassVar in (annotation, typing.get_origin(annotation)):
                continue
            if self._keyed and name == KEY_NAME:
                continue
            try:
                yield self._property(name, annotation)
            except UsageError as error:
                where = f"{self._declared.__name__}.{name}"
                raise type(error)(f"{where}: {error}") from None

    def _property(self, name: str, annotation: Any) -> Property:
        annotation, queryable = _unmarked(annotation)
        collection, item = _COLLECTIONS.get(typing.get_origin(annotation)), annotation
        if collection is not None:
            *key, item = typing.get_args(annotation)
            if key not in ([], [str]):
                raise SchemaError(f"{_spelled(annotation)}: the keys of a dictionary are str")
        item, null = _without_none(item)
        kind, target = self._one(item)
        if target is not None and null != always_nullable(kind, collection):
            raise SchemaError(_null_advice(kind, target, collection))
        if item is datetime.datetime:
            self.datetimes.append(name)
        null = null or always_nullable(kind, collection)
        found = Property(name, kind, null, collection, target, queryable)
        if not hasattr(self._declared, name):
            return found
        initial = getattr(self._declared, name)
        if initial is None:
            found.check(None)
        return replace(found, initial=initial)

    def _one(self, annotation: Any) -> tuple[str, str | None]:
        if isinstance(annotation, type) and issubclass(annotation, Object | EmbeddedObject):
            self.targets.append(annotation)
            kind = "link" if issubclass(annotation, Object) else "embedded"
            return kind, annotation.__name__
        plain = _plain(annotation)
        if plain is None:
            names = sorted({each.__name__ for each in _PLAIN if each is not Any})
            raise SchemaError(
                f"{_spelled(annotation)} is no type of a property; there are {', '.join(names)}, "
                "Mixed, classes of objects, and list, set, dict[str, ...] of them"
            )
        return plain, None


def _unmarked(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) is not Annotated:
        return annotation, False
    annotation, *marks = typing.get_args(annotation)
    return annotation, any(mark is Indexed or isinstance(mark, Indexed) for mark in marks)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation, False
    rest = [each for each in typing.get_args(annotation) if each is not types.NoneType]
    if len(rest) > 1:
        raise SchemaError(f"{_spelled(annotation)} are several types; declare it Mixed")
    return rest[0], True


def _plain(annotation: Any) -> str | None:
    try:
        return _PLAIN.get(annotation)
    except TypeError:  # an annotation that has no hash is none of ours
        return None


def _null_advice(kind: str, target: str, collection: Collection | None) -> str:
    what = "a link" if kind == "link" else "an embedded object"
    if collection is None:
        return f"{what} may be null: declare it {target} | None"
    if collection == "dict":
        return f"{what} in a dictionary may be null: declare dict[str, {target} | None]"
    return f"{what} in a {collection} is never null: declare {collection}[{target}]"


def _spelled(annotation: Any) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def _resolved(declared: Declared, names: Mapping[str, Declared]) -> dict[str, Any]:
    # The classes that were passed come first, so that classes inside functions find each other.
    try:
        return typing.get_type_hints(declared, localns=dict(names), include_extras=True)
    except NameError as error:
        raise SchemaError(
            f"{declared.__name__}: an annotation names {error.name!r}, which module "
            f"{declared.__module__} does not define; import it there, or pass that class too"
        ) from None
    except (TypeError, SyntaxError, AttributeError) as error:
        raise SchemaError(f"{declared.__name__}: an annotation is wrong: {error}") from None
