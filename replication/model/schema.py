"""Schemas: the classes of a data set and their properties. [MODEL-40]

A `Schema` is a value: it is compared, packed into a changeset, and merged. What is declared once
is never taken back: `merge` adds, and what contradicts is refused and reported.

Rule 1: a `Schema` that exists is sound: names and types are legal, links lead to classes with a
        key, embedded objects to embedded classes, and no embedded class contains itself.
Rule 2: `merge` never raises, and what the first schema says stays. [MODEL-60]
Rule 3: order means nothing: classes and properties are kept by name.
"""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from replication.errors import DecodeError, LimitExceededError, SchemaError, WrongTypeError
from replication.limits import CLASSES_MAX, PROPERTIES_MAX, SCHEMA_PROPERTIES_MAX
from replication.model.additive import Contradiction, Merger
from replication.model.check import convert_key, shown
from replication.model.encoding import unpack_trusted
from replication.model.property import Property, fits_key
from replication.model.types import KEY_NAME, KEY_TYPES, broken_class_name
from replication.model.values import Key


@dataclass(frozen=True, slots=True, init=False)
class ClassSchema:
    """One class: its name, its properties, and its primary key unless it is embedded."""

    name: str
    #: By name, ascending; without the primary key.
    properties: Mapping[str, Property]
    #: The primary key's property, None for an embedded class.
    key: Property | None

    def __init__(
        self, name: str, properties: Iterable[Property] = (), *, key: str | None = None
    ) -> None:
        """Make a class; ``key`` is the type of its primary key, None for an embedded class.

        Raises:
            SchemaError: an illegal name or key type, a property declared twice, too many.
        """
        reason = broken_class_name(name)
        if reason is not None:
            raise SchemaError(reason)
        if key is not None and key not in KEY_TYPES:
            raise SchemaError(
                f"{name}.{KEY_NAME} is {key!r}; a primary key is one of {', '.join(KEY_TYPES)}"
            )
        owned: dict[str, Property] = {}
        for item in sorted(properties, key=lambda each: each.name):
            if item.name in owned or (key is not None and item.name == KEY_NAME):
                raise SchemaError(f"{name}.{item.name} is declared twice")
            if item.queryable and key is None:
                raise SchemaError(
                    f"{name}.{item.name} can't be queryable: {name} is an embedded class"
                )
            owned[item.name] = item if item.owner == name else replace(item, owner=name)
        if len(owned) > PROPERTIES_MAX:
            raise SchemaError(
                f"{name} has {len(owned)} properties, at most {PROPERTIES_MAX} are allowed"
            )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "properties", MappingProxyType(owned))
        own_key = None if key is None else Property(KEY_NAME, key, queryable=True, owner=name)
        object.__setattr__(self, "key", own_key)

    @property
    def embedded(self) -> bool:
        """Whether its objects live inside others and have no key."""
        return self.key is None

    @property
    def key_type(self) -> str | None:
        """The type of the primary key, None for an embedded class."""
        return None if self.key is None else self.key.type

    @property
    def queryable(self) -> list[str]:
        """The names of the queryable properties, ascending; the key is not among them."""
        return [item.name for item in self.properties.values() if item.queryable]

    def get(self, name: str) -> Property | None:
        """The property or primary key of that name, or None."""
        if self.key is not None and name == KEY_NAME:
            return self.key
        return self.properties.get(name)

    def __getitem__(self, name: str) -> Property:
        """The property or primary key of that name.

        Raises:
            SchemaError: there is none; the message names those that are alike.
        """
        found = self.get(name)
        if found is None:
            raise SchemaError(
                f"{self.name} has no property {name!r}{_alike(name, self.properties)}"
            )
        return found

    def check_key(self, key: object) -> Key:
        """``key`` as a primary key of this class.

        Raises:
            WrongTypeError: it is none.
        """
        assert self.key is not None, f"{self.name} is embedded and has no key"
        try:
            return convert_key(self.key.type, key)
        except WrongTypeError as error:
            message = f"{self.key} is {self.key.type}, got {shown(key)}; {error}"
            raise WrongTypeError(message) from None

    def fits_key(self, key: object) -> bool:
        """Whether a decoded primary key is one of this class."""
        return self.key is not None and fits_key(self.key.type, key)

    def to_packed(self) -> dict[str, Any]:
        """What `Schema.to_packed` holds of a class."""
        return {
            "key": self.key_type,
            "properties": {item.name: item.spelling for item in self.properties.values()},
            "queryable": self.queryable,
        }

    def _bound(self, key_types: Mapping[str, str | None]) -> ClassSchema:
        # Links learn the type of the key they hold; everything else stays the same object.
        links = [item for item in self.properties.values() if item.type == "link"]
        if all(item.target_key == key_types[str(item.target)] for item in links):
            return self
        items = (
            replace(item, target_key=key_types[str(item.target)]) if item.type == "link" else item
            for item in self.properties.values()
        )
        return ClassSchema(self.name, items, key=self.key_type)


@dataclass(frozen=True, slots=True, init=False)
class Schema:
    """The classes of a data set, by name, ascending."""

    classes: Mapping[str, ClassSchema]

    def __init__(self, classes: Iterable[ClassSchema] = ()) -> None:
        """Make a schema of whole classes.

        Raises:
            SchemaError: a class twice, a link or embedded object to a class that is not here or
                of the other kind, an embedded class that contains itself, too many classes.
        """
        found: dict[str, ClassSchema] = {}
        for item in sorted(classes, key=lambda each: each.name):
            if item.name in found:
                raise SchemaError(f"class {item.name} is declared twice")
            found[item.name] = item
        if len(found) > CLASSES_MAX:
            raise SchemaError(f"{len(found)} classes, at most {CLASSES_MAX} are allowed")
        count = sum(len(item.properties) for item in found.values())
        if count > SCHEMA_PROPERTIES_MAX:
            raise SchemaError(f"{count} properties, at most {SCHEMA_PROPERTIES_MAX} are allowed")
        for item in found.values():
            for each in item.properties.values():
                reason = _broken_target(each, found)
                if reason is not None:
                    raise SchemaError(f"{each} is {each.spelling}: {reason}")
        _refuse_cycles(found)
        key_types = {name: item.key_type for name, item in found.items()}
        bound = {name: item._bound(key_types) for name, item in found.items()}
        object.__setattr__(self, "classes", MappingProxyType(bound))

    def __iter__(self) -> Iterator[ClassSchema]:
        return iter(self.classes.values())

    def __len__(self) -> int:
        return len(self.classes)

    def __contains__(self, name: object) -> bool:
        return name in self.classes

    def get(self, name: str) -> ClassSchema | None:
        """The class of that name, or None."""
        return self.classes.get(name)

    def __getitem__(self, name: str) -> ClassSchema:
        """The class of that name.

        Raises:
            SchemaError: there is none; the message names those that are alike.
        """
        found = self.classes.get(name)
        if found is None:
            raise SchemaError(f"there is no class {name!r}{_alike(name, self.classes)}")
        return found

    def to_packed(self) -> dict[str, Any]:
        """Maps, lists and strings that are canonical MessagePack. [MODEL-50]"""
        return {item.name: item.to_packed() for item in self}

    @classmethod
    def from_packed(cls, packed: Any) -> Schema:
        """The schema that `to_packed` turned into this.

        Raises:
            DecodeError: anything that `to_packed` would not have returned.
        """
        if type(packed) is not dict:
            raise DecodeError(f"a schema is a map, this is {shown(packed)}")
        if len(packed) > CLASSES_MAX:
            raise LimitExceededError(f"{len(packed)} classes, at most {CLASSES_MAX} are allowed")
        try:
            return cls(_classes_from_packed(packed))
        except SchemaError as error:
            raise DecodeError(f"no schema: {error}") from None

    @staticmethod
    @lru_cache(maxsize=16)
    def from_stored(data: bytes) -> Schema:
        """The schema that a store holds; one for all files of a process that hold the same.

        Raises:
            DecodeError: as `from_packed`.
        """
        return Schema.from_packed(unpack_trusted(data))

    def merge(self, other: Schema) -> tuple[Schema, list[Contradiction]]:
        """This schema and what ``other`` adds to it, and what had to be refused."""
        if not other:
            return self, []
        merger = Merger()
        for each in (self, other):
            merger.add(each)
        merged = (
            ClassSchema(name, properties, key=key) for name, key, properties in merger.classes()
        )
        return Schema(merged), merger.refused

    def additions(self, known: Schema) -> Schema:
        """What this schema adds to ``known``: new classes, and new properties of known ones.

        It stands for itself: classes that additions lead to come along without properties.
        ``known.merge(self.additions(known))`` gives what ``known.merge(self)`` does.
        """
        added: dict[str, list[Property]] = {}
        for item in self:
            old = known.get(item.name)
            fresh = [
                each
                for each in item.properties.values()
                if old is None or not each.is_within(old.properties.get(each.name))
            ]
            if fresh or old is None or old.key_type != item.key_type:
                added[item.name] = fresh
        for each in [each for fresh in added.values() for each in fresh]:
            if each.target is not None:
                added.setdefault(each.target, [])
        return Schema(
            ClassSchema(name, fresh, key=self[name].key_type) for name, fresh in added.items()
        )


def _embedded_targets(properties: Iterable[Property]) -> Iterator[str]:
    return (str(item.target) for item in properties if item.type == "embedded")


def _broken_target(item: Property, classes: Mapping[str, ClassSchema]) -> str | None:
    if item.target is None:
        return None
    target = classes.get(item.target)
    if target is None:
        return f"there is no class {item.target!r}{_alike(item.target, classes)}"
    if item.type == "link" and target.embedded:
        return f"{item.target} is embedded and can't be linked to; use embedded:{item.target}"
    if item.type == "embedded" and not target.embedded:
        return f"{item.target} is not embedded; use link:{item.target}"
    return None


def _refuse_cycles(classes: Mapping[str, ClassSchema]) -> None:
    graph = {
        name: set(_embedded_targets(item.properties.values()))
        for name, item in classes.items()
        if item.embedded
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        path = " in ".join(error.args[1])
        raise SchemaError(f"an embedded class can't contain itself: {path}") from None


def _classes_from_packed(packed: dict[Any, Any]) -> Iterator[ClassSchema]:
    count = 0
    for name, item in packed.items():
        if type(name) is not str or type(item) is not dict:
            raise DecodeError(f"{shown(name)}: {shown(item)} is no class of a schema")
        if list(item) != ["key", "properties", "queryable"]:
            raise DecodeError(f"class {name!r} has {shown(list(item))}, not a class's three parts")
        if type(item["properties"]) is not dict:
            raise DecodeError(f"class {name!r} has properties {shown(item['properties'])}")
        count += len(item["properties"])
        if count > SCHEMA_PROPERTIES_MAX or len(item["properties"]) > PROPERTIES_MAX:
            raise LimitExceededError(f"class {name!r} makes it too many properties")
        yield _class_from_packed(name, **item)


def _class_from_packed(name: str, key: Any, properties: Any, queryable: Any) -> ClassSchema:
    if key is not None and type(key) is not str:
        raise DecodeError(f"class {name!r} has the key type {shown(key)}")
    for each, spelling in properties.items():
        if type(each) is not str or type(spelling) is not str:
            raise DecodeError(f"class {name!r} has a property {shown(each)}: {shown(spelling)}")
    if type(queryable) is not list or not all(type(each) is str for each in queryable):
        raise DecodeError(f"class {name!r} has queryable properties {shown(queryable)}")
    if queryable != sorted(properties.keys() & queryable):
        raise DecodeError(f"class {name!r}: {shown(queryable)} are not properties in order")
    asked = set(queryable)
    items = (Property.of(each, text, queryable=each in asked) for each, text in properties.items())
    return ClassSchema(name, items, key=key)


def _alike(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""
